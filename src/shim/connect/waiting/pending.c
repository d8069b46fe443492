#include "pending.h"

#include <pthread.h>
#include <sys/mman.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct im_pending *inbox, *active, *unused;

void pending_lock(sigset_t *signals) {
  sigset_t all;
  sigfillset(&all);
  if (signals) pthread_sigmask(SIG_SETMASK, &all, signals);
  pthread_mutex_lock(&lock);
}

void pending_unlock(const sigset_t *signals) {
  pthread_mutex_unlock(&lock);
  if (signals) pthread_sigmask(SIG_SETMASK, signals, 0);
}

struct im_pending *pending_new(void) {
  const size_t size = 64 * 1024;
  if (!unused) {
    struct im_pending *slab = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slab == MAP_FAILED) return 0;
    for (size_t i = 0; i < size / sizeof *slab; i++) {
      slab[i].next = unused;
      unused = &slab[i];
    }
  }
  struct im_pending *pending = unused;
  unused = pending->next;
  static uint32_t last_id;
  *pending = (struct im_pending){
      .fd = -1, .id = ++last_id, .real = IM_NONE, .waker = IM_NONE, .reply = IM_NONE, .unsent = IM_NONE};
  return pending;
}

void pending_release(struct im_pending *pending) {
  private_fd_close(&pending->real);
  private_fd_close(&pending->waker);
  private_fd_close(&pending->reply);
  private_fd_close(&pending->unsent);
  pending->stage = IM_STAGE_DEAD;
  pending->next = unused;
  unused = pending;
}

void pending_add(struct im_pending *pending) {
  pending->next = inbox;
  inbox = pending;
}

struct im_pending *pending_take(void) {
  struct im_pending *pending = inbox;
  if (!pending) return 0;
  inbox = pending->next;
  pending->previous = 0;
  pending->next = active;
  if (active) active->previous = pending;
  active = pending;
  return pending;
}

struct im_pending *pending_first(void) { return active; }

void pending_free(struct im_pending *pending) {
  if (pending->next) pending->next->previous = pending->previous;
  if (pending->previous)
    pending->previous->next = pending->next;
  else
    active = pending->next;
  pending_release(pending);
}

bool pending_none(void) { return !inbox && !active; }

struct im_pending *pending_pop(void) {
  struct im_pending **list = inbox ? &inbox : &active, *first = *list;
  if (first) *list = first->next;
  return first;
}

bool pending_stands_at(const struct im_pending *pending, int fd) {
  return fd >= 0 && private_fd_inode(fd) == pending->inode;
}

static struct im_pending **const lists[] = {&inbox, &active};
#define LISTS 2

struct im_pending *pending_at(int fd) {
  ino_t inode = private_fd_inode(fd);
  if (!inode) return 0;
  for (int i = 0; i < LISTS; i++)
    for (struct im_pending *pending = *lists[i]; pending; pending = pending->next)
      if (pending->inode == inode && pending->stage != IM_STAGE_RETIRED && pending->stage != IM_STAGE_DEAD)
        return pending;
  return 0;
}

void pending_forget(int fd) {
  for (int i = 0; i < LISTS; i++)
    for (struct im_pending *pending = *lists[i]; pending; pending = pending->next)
      if (pending->fd == fd) pending->fd = -1;
}

void pending_share(void) {
  for (int i = 0; i < LISTS; i++)
    for (struct im_pending *pending = *lists[i]; pending; pending = pending->next) pending->shared = true;
}
