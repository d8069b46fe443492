#define _GNU_SOURCE
#include "carrier.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define LONGEST_SLEEP 60000
#define WIRED_SLEEP 1000 /* calls have twice as long: then none of them has to wake the thread for its end */
#define CLOSE_BY 150
#define SOON 2

int64_t carrier_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

struct sockaddr_in carrier_address(uint32_t ip, uint16_t port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
}

/* The signal connection's events are told from the connection's own by the lowest bit. */
bool carrier_watch(struct im_carrier *carrier, struct im_connection *connection) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = (uintptr_t)connection};
  connection->watched = epoll_ctl(carrier->set, EPOLL_CTL_ADD, connection->fd, &event) == 0;
  if (connection->watched) return true;
  connection->deadline = 0; /* closed by `keep_time`: here it may be in the middle of something */
  carrier_hurry(carrier, 0);
  return false;
}

bool carrier_watch_signal(struct im_carrier *carrier, struct im_connection *connection, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = (uintptr_t)connection | 1};
  return epoll_ctl(carrier->set, EPOLL_CTL_ADD, connection->signal, &event) == 0 ||
         epoll_ctl(carrier->set, EPOLL_CTL_MOD, connection->signal, &event) == 0;
}

void carrier_unwatch(struct im_carrier *carrier, struct im_connection *connection) {
  if (connection->watched) epoll_ctl(carrier->set, EPOLL_CTL_DEL, connection->fd, NULL);
  connection->watched = false;
}

static void reset(int fd) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  if (fd < 0) return;
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

static void forget(struct im_carrier *carrier, struct im_connection *connection) {
  if (connection->stage < IM_READY) pool_unexpect(carrier, &connection->what);
  (void)fill_settled(carrier, connection, false);
  if (connection->stage == IM_READY) pool_remove(carrier, connection);
  if (connection->stage == IM_SIGNALLED) deliver_forget(carrier, connection);
  if (connection->next) connection->next->previous = connection->previous;
  if (connection->previous)
    connection->previous->next = connection->next;
  else
    carrier->all = connection->next;
  if (connection->stage == IM_WIRE) wire_forget(carrier, connection);
  wire_give_back(connection);
  /* A child that is being started may have a copy for a moment: closing alone does not end its events. */
  if (connection->signal >= 0) epoll_ctl(carrier->set, EPOLL_CTL_DEL, connection->signal, NULL);
  reset(connection->signal);
  connection->signal = connection->fd = -1;
  /* Events of this round may still point here. */
  connection->next = carrier->dead;
  carrier->dead = connection;
}

void carrier_close(struct im_carrier *carrier, struct im_connection *connection) {
  (void)open_bequeath(carrier, connection);
  carrier_unwatch(carrier, connection);
  if (connection->stage == IM_GIVEN)
    close(connection->fd); /* a guest's: it goes on */
  else
    reset(connection->fd);
  forget(carrier, connection);
}

void carrier_fail(struct im_carrier *carrier, struct im_connection *connection, int error) {
  uint32_t id = connection->what.id;
  bool alone = !connection->batch && id;
  if (connection->asked && error == ETIMEDOUT) wire_unheard(carrier, connection->what.peer);
  carrier_close(carrier, connection);
  if (alone) carrier->tell(carrier->context, IM_EVENT_FAILED, id, error);
}

void carrier_let_go(struct im_carrier *carrier, struct im_connection *connection) {
  carrier_unwatch(carrier, connection);
  forget(carrier, connection);
}

static void free_dead(struct im_carrier *carrier) {
  while (carrier->dead) {
    struct im_connection *next = carrier->dead->next;
    free(carrier->dead);
    carrier->dead = next;
  }
}

/* When something is to be done about it, whatever comes. */
static int64_t due(const struct im_connection *connection) {
  if (connection->stage == IM_SIGNALLED) return INT64_MAX;
  bool tries = connection->stage == IM_WAITING || connection->stage == IM_GIVEN ||
               (connection->stage == IM_LISTENING && connection->again);
  int64_t next = tries && connection->again < connection->deadline ? connection->again : connection->deadline;
  return connection->tell_by && connection->tell_by < next ? connection->tell_by : next;
}

/* What is late ends, what is to be tried again is tried; milliseconds until the next such moment. */
static int keep_time(struct im_carrier *carrier) {
  int64_t now = carrier_now(), next = INT64_MAX;
  for (struct im_connection *connection = carrier->all, *after; connection; connection = after) {
    after = connection->next;
    if (connection->tell_by && connection->tell_by <= now) {
      shim_not_yet(connection->what.reply_to);
      connection->tell_by = 0;
    }
    if (connection->stage == IM_WAITING && connection->again <= now && now < connection->deadline)
      open_start(carrier, connection, open_connect(connection));
    else if (connection->stage == IM_LISTENING && connection->again && connection->again <= now && now < connection->deadline) {
      connection->again = 0;
      if (connection->fd >= 0) open_accept(carrier, connection);
      after = carrier->all; /* others may have been closed, too */
    } else if (connection->stage == IM_GIVEN) {
      if (connection->again <= now && confirm_check(carrier, connection)) after = carrier->all;
    }
    else if (connection->deadline <= now && connection->stage != IM_SIGNALLED) {
      if (connection->stage < IM_READY)
        carrier_fail(carrier, connection, ETIMEDOUT);
      else
        pool_lose(carrier, connection);
    }
  }
  for (struct im_connection *connection = carrier->all; connection; connection = connection->next)
    if (due(connection) < next) next = due(connection);
  int64_t waited = wait_time(carrier, now);
  if (waited < next) next = waited;
  int longest = carrier->wires ? WIRED_SLEEP : LONGEST_SLEEP;
  int pause = next <= now ? 0 : next - now > longest ? longest : (int)(next - now);
  carrier->sleeps_until = now + pause;
  return pause;
}

static void on_event(struct im_carrier *carrier, struct im_connection *connection, bool of_signal, uint32_t events) {
  if (connection->fd < 0) return; /* closed earlier in this round */
  if (of_signal) {
    /* The listener was closed with the connection in its queue: as natively, that resets it. */
    if (events & (EPOLLHUP | EPOLLERR)) return carrier_close(carrier, connection);
    if (events & EPOLLRDHUP) return deliver_again(carrier, connection);
    if (events & EPOLLOUT) deliver_push(carrier, connection);
    return;
  }
  switch (connection->stage) {
  case IM_CONNECTING:
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) open_event(carrier, connection);
    break;
  case IM_LISTENING:
    open_accept(carrier, connection);
    break;
  case IM_HELLO:
    open_event(carrier, connection);
    break;
  case IM_HEADER:
    pool_header_event(carrier, connection);
    break;
  case IM_READY:
    pool_check(carrier, connection);
    break;
  case IM_GIVEN:
    confirm_check(carrier, connection);
    break;
  case IM_WIRE:
    wire_event(carrier, connection);
    break;
  case IM_WAITING:
  case IM_HELD:
  case IM_SIGNALLED:
    break;
  }
}

static void *run(void *argument) {
  struct im_carrier *carrier = argument;
  struct epoll_event events[BATCH];
  pthread_mutex_lock(&carrier->lock);
  while (!carrier->stopping) {
    int timeout = keep_time(carrier);
    free_dead(carrier);
    pthread_mutex_unlock(&carrier->lock);
    int count = epoll_wait(carrier->set, events, BATCH, timeout);
    pthread_mutex_lock(&carrier->lock);
    for (int i = 0; i < count && !carrier->stopping; i++) {
      struct im_connection *connection = (struct im_connection *)(uintptr_t)(events[i].data.u64 & ~(uint64_t)1);
      if ((void *)connection == (void *)carrier)
        wire_alarm(carrier);
      else if (connection)
        on_event(carrier, connection, events[i].data.u64 & 1, events[i].events);
      else {
        uint64_t woken;
        ssize_t got = read(carrier->wake, &woken, sizeof woken);
        (void)got;
      }
      if (__atomic_load_n(&carrier->wanted, __ATOMIC_RELAXED)) {
        pthread_mutex_unlock(&carrier->lock);
        sched_yield();
        pthread_mutex_lock(&carrier->lock);
      }
    }
  }
  pthread_mutex_unlock(&carrier->lock);
  return NULL;
}

/* The thread is there from the first connection on: a member that can connect directly never needs it. */
static int start(struct im_carrier *carrier) {
  sigset_t all, before;
  struct epoll_event event = {.events = EPOLLIN}, timer = {.events = EPOLLIN, .data.u64 = (uintptr_t)carrier};
  if (carrier->running) return 0;
  carrier->set = epoll_create1(EPOLL_CLOEXEC);
  carrier->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  carrier->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  int error = carrier->set < 0 || carrier->wake < 0 || carrier->timer < 0 ? errno : 0;
  if (!error && epoll_ctl(carrier->set, EPOLL_CTL_ADD, carrier->wake, &event) != 0) error = errno;
  if (!error && epoll_ctl(carrier->set, EPOLL_CTL_ADD, carrier->timer, &timer) != 0) error = errno;
  if (!error) {
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the JavaScript thread's */
    error = pthread_create(&carrier->thread, NULL, run, carrier);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  if (error) {
    if (carrier->set >= 0) close(carrier->set);
    if (carrier->wake >= 0) close(carrier->wake);
    if (carrier->timer >= 0) close(carrier->timer);
  }
  carrier->running = error == 0;
  return error;
}

static void wake(struct im_carrier *carrier) {
  uint64_t one = 1;
  ssize_t written = write(carrier->wake, &one, sizeof one);
  (void)written;
}

void carrier_hurry(struct im_carrier *carrier, int64_t moment) {
  if (carrier->sleeps_until > moment) wake(carrier);
  carrier->sleeps_until = moment; /* it has been woken once: that is enough */
}

struct im_carrier *carrier_create(uint32_t faces, void (*tell)(void *, enum im_event, uint32_t, int32_t), void *context) {
  struct im_carrier *carrier = calloc(1, sizeof *carrier);
  if (!carrier) return NULL;
  pthread_mutex_init(&carrier->lock, NULL);
  pthread_cond_init(&carrier->more, NULL);
  carrier->references = 1;
  carrier->set = carrier->wake = carrier->timer = -1;
  carrier->faces = faces;
  carrier->share = share_total();
  carrier->close_by = CLOSE_BY;
  carrier->soon = SOON;
  carrier->tell = tell;
  carrier->context = context;
  return carrier;
}

void carrier_hold(struct im_carrier *carrier) { __atomic_add_fetch(&carrier->references, 1, __ATOMIC_RELAXED); }

void carrier_release(struct im_carrier *carrier) {
  if (__atomic_sub_fetch(&carrier->references, 1, __ATOMIC_ACQ_REL) > 0) return;
  carrier_stop(carrier);
  free(carrier->listeners);
  pthread_cond_destroy(&carrier->more);
  pthread_mutex_destroy(&carrier->lock);
  free(carrier);
}

void carrier_stop(struct im_carrier *carrier) {
  pthread_mutex_lock(&carrier->lock);
  bool running = carrier->running;
  carrier->stopping = true;
  carrier->running = false;
  if (running) wake(carrier);
  pthread_mutex_unlock(&carrier->lock);
  fill_stop(carrier);
  if (running) pthread_join(carrier->thread, NULL);
  pthread_mutex_lock(&carrier->lock);
  while (carrier->all) carrier_close(carrier, carrier->all);
  free_dead(carrier);
  while (carrier->pools) {
    struct im_pool *next = carrier->pools->next;
    free(carrier->pools);
    carrier->pools = next;
  }
  if (running) close(carrier->set);
  if (running) close(carrier->wake);
  if (running) close(carrier->timer);
  pthread_mutex_unlock(&carrier->lock);
}

int carrier_open(struct im_carrier *carrier, const struct im_opening *what) { return carrier_begin(carrier, what, NULL); }

void carrier_add(struct im_carrier *carrier, struct im_connection *connection) {
  connection->deadline = carrier_now() + connection->what.timeout;
  connection->next = carrier->all;
  if (carrier->all) carrier->all->previous = connection;
  carrier->all = connection;
}

int carrier_begin(struct im_carrier *carrier, const struct im_opening *what, struct im_batch *batch) {
  struct im_connection *connection = calloc(1, sizeof *connection);
  if (!connection) return ENOMEM;
  connection->what = *what;
  connection->signal = -1;
  int result = open_connect(connection);
  pthread_mutex_lock(&carrier->lock);
  int error = carrier->stopping ? ESHUTDOWN : fill_is_over(batch) ? ECANCELED : start(carrier);
  if (!error && !batch && !share_allows(carrier, what, 1)) error = EDQUOT;
  if (!error && !batch && !pool_expect(carrier, what, 1)) error = ENOMEM;
  if (error) {
    reset(connection->fd);
    free(connection);
  } else {
    connection->batch = batch;
    carrier_add(carrier, connection);
    open_start(carrier, connection, result);
    /* It may have failed already, and be in nobody's hands any more. */
    if (carrier->dead || due(connection) < carrier->sleeps_until) wake(carrier);
  }
  pthread_mutex_unlock(&carrier->lock);
  return error;
}

bool carrier_cancel(struct im_carrier *carrier, uint32_t id) {
  pthread_mutex_lock(&carrier->lock);
  bool found = fill_give_up(carrier, id, 0);
  for (struct im_connection *connection = carrier->all, *after; connection; connection = after) {
    after = connection->next;
    if (connection->what.id != id || connection->stage >= IM_READY) continue;
    carrier_close(carrier, connection);
    found = true;
  }
  pthread_mutex_unlock(&carrier->lock);
  return found;
}

void carrier_listeners(struct im_carrier *carrier, const struct im_listener *listeners, size_t count) {
  struct im_listener *copy = count ? malloc(count * sizeof *copy) : NULL;
  if (count && !copy) return;
  if (count) memcpy(copy, listeners, count * sizeof *copy);
  pthread_mutex_lock(&carrier->lock);
  struct im_listener *old = carrier->listeners;
  carrier->listeners = copy;
  carrier->listeners_count = count;
  pthread_mutex_unlock(&carrier->lock);
  free(old);
}

void carrier_drop(struct im_carrier *carrier, uint32_t peer) {
  pthread_mutex_lock(&carrier->lock);
  fill_give_up(carrier, 0, peer);
  for (struct im_connection *connection = carrier->all, *after; connection; connection = after) {
    after = connection->next;
    bool kept = connection->what.purpose == IM_POOL_OUT || connection->what.purpose == IM_POOL_IN;
    bool wire = connection->stage == IM_WIRE;
    if ((peer && connection->what.peer != peer) || !(kept || wire) || (connection->stage >= IM_SIGNALLED && !wire)) continue;
    /* What has been sent already is delivered. */
    if (connection->stage == IM_HEADER) pool_header_event(carrier, connection);
    if (connection->fd >= 0 && connection->stage != IM_SIGNALLED) carrier_close(carrier, connection);
  }
  pthread_mutex_unlock(&carrier->lock);
}

unsigned carrier_arriving(struct im_carrier *carrier) {
  unsigned count = 0;
  pthread_mutex_lock(&carrier->lock);
  for (struct im_connection *connection = carrier->all, *after; connection; connection = after) {
    after = connection->next;
    if (connection->stage == IM_HEADER) pool_header_event(carrier, connection);
    if (connection->fd >= 0 && connection->stage == IM_SIGNALLED) count++;
    if (connection->fd >= 0 && connection->what.purpose == IM_DELIVER && connection->stage < IM_READY) count++;
    if (connection->asked) count++;
  }
  count += wait_count(carrier);
  pthread_mutex_unlock(&carrier->lock);
  return count;
}

int carrier_ready(struct im_carrier *carrier, uint32_t peer) {
  int count = 0;
  pthread_mutex_lock(&carrier->lock);
  for (const struct im_pool *pool = carrier->pools; pool; pool = pool->next) {
    if (!peer) count += (int)pool->count;
    if (pool->peer == peer) count = (int)pool->count - (int)pool->waiting;
  }
  pthread_mutex_unlock(&carrier->lock);
  return count;
}

void carrier_withdraw(struct im_carrier *carrier, const void *context) {
  pthread_mutex_lock(&carrier->lock);
  wait_withdraw(carrier, context);
  wire_withdraw(carrier, context);
  pthread_mutex_unlock(&carrier->lock);
}
