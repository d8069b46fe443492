/* ttfb-server ADDRESS PORT: sends one byte on each connection and waits for the client to close it. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &at.sin_addr);
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 512)) return perror("ttfb-server"), 1;
  puts("listening");
  fflush(stdout);
  for (;;) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int fd = accept(listener, (struct sockaddr *)&peer, &size);
    if (fd < 0) continue;
    char byte = 'x';
    if (write(fd, &byte, 1) == 1) (void)!read(fd, &byte, 1);
    close(fd);
  }
}
