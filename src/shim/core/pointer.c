#include "pointer.h"

#include "libc_files.h"

#include <errno.h>
#include <link.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

/* No machine has smaller pages. To ask twice for one page does no harm. */
#define PAGE ((uintptr_t)4096)

/* So far above a frame there is stack: the frames of the callers, or what a thread keeps above them. */
#define NEAR ((uintptr_t)65536)

/* Where the program itself was loaded, with its literals. About more parts than these the kernel is asked. */
#define PARTS 8
static struct {
  uintptr_t start;
  size_t size;
} parts[PARTS];

static int note_parts(struct dl_phdr_info *program, size_t size, void *nothing) {
  (void)size, (void)nothing;
  for (int i = 0, at = 0; i < program->dlpi_phnum && at < PARTS; i++) {
    const ElfW(Phdr) *part = &program->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_R)) continue;
    parts[at].start = (uintptr_t)(program->dlpi_addr + part->p_vaddr);
    parts[at++].size = part->p_memsz;
  }
  return 1; /* the first is the program */
}

static bool is_loaded(uintptr_t at, size_t size) {
  for (int i = 0; i < PARTS; i++)
    if (at - parts[i].start < parts[i].size) return size <= parts[i].size - (at - parts[i].start);
  return false;
}

/* valgrind answers such questions itself, and reports them as the guest's mistakes; and bad pointers in any case. */
static bool watched;

void pointer_start(void) {
  const char *preloaded = getenv("LD_PRELOAD");
  watched = preloaded && strstr(preloaded, "/vgpreload_");
  dl_iterate_phdr(note_parts, 0);
}

static bool is_near(uintptr_t at, size_t size) {
  uintptr_t above = at - (uintptr_t)__builtin_frame_address(0);
  return above < NEAR && size < NEAR;
}

/* The kernel copies the set, and then refuses what is to be done with it. */
static bool page_readable(uintptr_t at) {
  uintptr_t set = at & ~(uintptr_t)7;
  IM_KEEP_ERRNO;
  return libc_syscall(SYS_rt_sigprocmask, -1, (long)set, 0, 8, 0, 0) != 0 && errno != EFAULT;
}

/*
 * The kernel sets no bit of the word there, and wakes no thread: none waits at `nobody`, and the comparison is a second
 * one.
 */
static bool page_writable(uintptr_t at) {
  static uint32_t nobody;
  IM_KEEP_ERRNO;
  long word = (long)(at & ~(uintptr_t)3), none = (long)(uintptr_t)&nobody;
  int operation = FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_LT, -2048);
  return libc_syscall(SYS_futex, none, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, word, operation) >= 0;
}

static bool all_pages(uintptr_t at, size_t size, bool (*there)(uintptr_t), struct im_page *found) {
  uintptr_t last = at + (size ? size - 1 : 0);
  /* No guest has the first page; and no set at all is none that the kernel copies. */
  if (last < at || at < PAGE) return false;
  if (watched) return true;
  for (uintptr_t page = at & ~(PAGE - 1); page <= (last & ~(PAGE - 1)); page += PAGE) {
    if (found->start == page) continue;
    if (!there(page > at ? page : at)) return false;
    found->start = page;
  }
  return true;
}

bool pointer_readable(const void *at, size_t size, struct im_page *found) {
  return !size || is_near((uintptr_t)at, size) || is_loaded((uintptr_t)at, size) ||
         all_pages((uintptr_t)at, size, page_readable, found);
}

bool pointer_text(const char *at, struct im_page *found) {
  for (;;) {
    size_t rest = PAGE - ((uintptr_t)at & (PAGE - 1));
    if (!pointer_readable(at, 1, found)) return false;
    if (memchr(at, 0, rest)) return true;
    at += rest;
  }
}

bool pointer_writable(void *at, size_t size) {
  struct im_page found = {0};
  return !size || is_near((uintptr_t)at, size) || all_pages((uintptr_t)at, size, page_writable, &found);
}
