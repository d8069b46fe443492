/* Replies of the supervisor: of any size and content, or none. Input: the datagram. */
#include "core/request.h"

#include "fuzz.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int ends[2];
  for (int wait = 0; wait < 2; wait++) {
    struct im_reply reply;
    int passed = -1;
    HOLDS(request_pair(ends) == 0);
    if (size) HOLDS(send(ends[1], data, size, MSG_NOSIGNAL) == (ssize_t)size || errno == EMSGSIZE);
    close(ends[1]);
    int result = wait ? request_wait(ends[0], &reply, &passed, IM_FOREVER) : request_take(ends[0], &reply, &passed);
    HOLDS(result == -EPIPE || (result == 0 && reply.status >= 0 && reply.status < 4096 && size == sizeof reply));
    HOLDS(passed < 0); /* none came */
    close(ends[0]);
  }
  return 0;
}
