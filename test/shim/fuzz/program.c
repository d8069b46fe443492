/* Programs that a guest starts: ELF files and scripts. Input: the file. */
#include "process/program.c"

#include "fuzz.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  strcpy(other, "/opt/imaginary/shim-musl.so");
  int fd = memfd_create("program", MFD_CLOEXEC);
  HOLDS(fd >= 0 && write(fd, data, size) == (ssize_t)size);
  const char *library = program_library_of(fd);
  HOLDS(library == other || library == paths_library());
  close(fd);
  return 0;
}
