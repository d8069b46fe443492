#define _GNU_SOURCE
#include "connector.h"

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
#define SIGNALLING_SLEEP 1000 /* calls have twice as long: then none of them has to wake the thread for its end */
#define CLOSE_BY 150
#define SOON 2

int64_t connector_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

struct sockaddr_in connector_address(uint32_t ip, uint16_t port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
}

/* The signal connection's events are told from the connection's own by the lowest bit. */
bool connector_watch(struct im_connector *connector, struct im_connection *connection) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = (uintptr_t)connection};
  connection->watched = epoll_ctl(connector->set, EPOLL_CTL_ADD, connection->fd, &event) == 0;
  if (connection->watched) return true;
  connection->deadline = 0; /* closed by `keep_time`: here it may be in the middle of something */
  connector_hurry(connector, 0);
  return false;
}

bool connector_watch_signal(struct im_connector *connector, struct im_connection *connection, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = (uintptr_t)connection | 1};
  return epoll_ctl(connector->set, EPOLL_CTL_ADD, connection->signal, &event) == 0 ||
         epoll_ctl(connector->set, EPOLL_CTL_MOD, connection->signal, &event) == 0;
}

void connector_unwatch(struct im_connector *connector, struct im_connection *connection) {
  if (connection->watched) epoll_ctl(connector->set, EPOLL_CTL_DEL, connection->fd, NULL);
  connection->watched = false;
}

static void reset(int fd) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  if (fd < 0) return;
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

static void forget(struct im_connector *connector, struct im_connection *connection) {
  if (connection->stage < IM_READY) pool_unexpect(connector, &connection->what);
  (void)fill_settled(connector, connection, false);
  if (connection->stage == IM_READY) pool_remove(connector, connection);
  if (connection->stage == IM_SIGNALLED) deliver_forget(connector, connection);
  if (connection->next) connection->next->previous = connection->previous;
  if (connection->previous)
    connection->previous->next = connection->next;
  else
    connector->all = connection->next;
  if (connection->stage == IM_SIGNALLING) signalling_forget(connector, connection);
  signalling_give_back(connection);
  /* A child that is being started may have a copy for a moment: closing alone does not end its events. */
  if (connection->signal >= 0) epoll_ctl(connector->set, EPOLL_CTL_DEL, connection->signal, NULL);
  reset(connection->signal);
  connection->signal = connection->fd = -1;
  /* Events of this round may still point here. */
  connection->next = connector->dead;
  connector->dead = connection;
}

void connector_close(struct im_connector *connector, struct im_connection *connection) {
  (void)open_bequeath(connector, connection);
  connector_unwatch(connector, connection);
  if (connection->stage == IM_GIVEN)
    close(connection->fd); /* a guest's: it goes on */
  else
    reset(connection->fd);
  forget(connector, connection);
}

void connector_fail(struct im_connector *connector, struct im_connection *connection, int error) {
  uint32_t id = connection->what.id;
  bool alone = !connection->batch && id;
  if (connection->call && error == ETIMEDOUT) signalling_unheard(connector, connection->what.peer);
  connector_close(connector, connection);
  if (alone) connector->tell(connector->context, IM_EVENT_FAILED, id, error);
}

void connector_let_go(struct im_connector *connector, struct im_connection *connection) {
  connector_unwatch(connector, connection);
  forget(connector, connection);
}

static void free_dead(struct im_connector *connector) {
  while (connector->dead) {
    struct im_connection *next = connector->dead->next;
    free(connector->dead);
    connector->dead = next;
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
static int keep_time(struct im_connector *connector) {
  int64_t now = connector_now(), next = INT64_MAX;
  for (struct im_connection *connection = connector->all, *after; connection; connection = after) {
    after = connection->next;
    if (connection->tell_by && connection->tell_by <= now) {
      shim_not_yet(connection->what.reply_to);
      connection->tell_by = 0;
    }
    if (connection->stage == IM_WAITING && connection->again <= now && now < connection->deadline)
      open_start(connector, connection, open_connect(connection));
    else if (connection->stage == IM_LISTENING && connection->again && connection->again <= now &&
             now < connection->deadline) {
      connection->again = 0;
      if (connection->fd >= 0) open_accept(connector, connection);
      after = connector->all; /* others may have been closed, too */
    } else if (connection->stage == IM_GIVEN) {
      if (connection->again <= now && confirm_check(connector, connection)) after = connector->all;
    } else if (connection->deadline <= now && connection->stage != IM_SIGNALLED) {
      if (connection->stage < IM_READY)
        connector_fail(connector, connection, ETIMEDOUT);
      else
        pool_lose(connector, connection);
    }
  }
  for (struct im_connection *connection = connector->all; connection; connection = connection->next)
    if (due(connection) < next) next = due(connection);
  int64_t waited = wait_time(connector, now);
  if (waited < next) next = waited;
  int longest = connector->channels ? SIGNALLING_SLEEP : LONGEST_SLEEP;
  int pause = next <= now ? 0 : next - now > longest ? longest : (int)(next - now);
  connector->sleeps_until = now + pause;
  return pause;
}

static void on_event(struct im_connector *connector, struct im_connection *connection, bool of_signal,
                     uint32_t events) {
  if (connection->fd < 0) return; /* closed earlier in this round */
  if (of_signal) {
    /* The listener was closed with the connection in its queue: as natively, that resets it. */
    if (events & (EPOLLHUP | EPOLLERR)) return connector_close(connector, connection);
    if (events & EPOLLRDHUP) return deliver_again(connector, connection);
    if (events & EPOLLOUT) deliver_push(connector, connection);
    return;
  }
  switch (connection->stage) {
  case IM_CONNECTING:
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) open_event(connector, connection);
    break;
  case IM_LISTENING: open_accept(connector, connection); break;
  case IM_HELLO: open_event(connector, connection); break;
  case IM_HEADER: pool_header_event(connector, connection); break;
  case IM_READY: pool_check(connector, connection); break;
  case IM_GIVEN: confirm_check(connector, connection); break;
  case IM_SIGNALLING: signalling_event(connector, connection); break;
  case IM_WAITING:
  case IM_HELD:
  case IM_SIGNALLED: break;
  }
}

static void *run(void *argument) {
  struct im_connector *connector = argument;
  struct epoll_event events[BATCH];
  pthread_mutex_lock(&connector->lock);
  while (!connector->stopping) {
    int timeout = keep_time(connector);
    free_dead(connector);
    pthread_mutex_unlock(&connector->lock);
    int count = epoll_wait(connector->set, events, BATCH, timeout);
    pthread_mutex_lock(&connector->lock);
    for (int i = 0; i < count && !connector->stopping; i++) {
      struct im_connection *connection = (struct im_connection *)(uintptr_t)(events[i].data.u64 & ~(uint64_t)1);
      if ((void *)connection == (void *)connector)
        signalling_alarm(connector);
      else if (connection)
        on_event(connector, connection, events[i].data.u64 & 1, events[i].events);
      else {
        uint64_t woken;
        ssize_t got = read(connector->wake, &woken, sizeof woken);
        (void)got;
      }
      if (__atomic_load_n(&connector->wanted, __ATOMIC_RELAXED)) {
        pthread_mutex_unlock(&connector->lock);
        sched_yield();
        pthread_mutex_lock(&connector->lock);
      }
    }
  }
  pthread_mutex_unlock(&connector->lock);
  return NULL;
}

/* The thread is there from the first connection on: a member that can connect directly never needs it. */
static int start(struct im_connector *connector) {
  sigset_t all, before;
  struct epoll_event event = {.events = EPOLLIN}, timer = {.events = EPOLLIN, .data.u64 = (uintptr_t)connector};
  if (connector->running) return 0;
  connector->set = epoll_create1(EPOLL_CLOEXEC);
  connector->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  connector->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  int error = connector->set < 0 || connector->wake < 0 || connector->timer < 0 ? errno : 0;
  if (!error && epoll_ctl(connector->set, EPOLL_CTL_ADD, connector->wake, &event) != 0) error = errno;
  if (!error && epoll_ctl(connector->set, EPOLL_CTL_ADD, connector->timer, &timer) != 0) error = errno;
  if (!error) {
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the JavaScript thread's */
    error = pthread_create(&connector->thread, NULL, run, connector);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  if (error) {
    if (connector->set >= 0) close(connector->set);
    if (connector->wake >= 0) close(connector->wake);
    if (connector->timer >= 0) close(connector->timer);
  }
  connector->running = error == 0;
  return error;
}

static void wake(struct im_connector *connector) {
  uint64_t one = 1;
  ssize_t written = write(connector->wake, &one, sizeof one);
  (void)written;
}

void connector_hurry(struct im_connector *connector, int64_t moment) {
  if (connector->sleeps_until > moment) wake(connector);
  connector->sleeps_until = moment; /* it has been woken once: that is enough */
}

struct im_connector *connector_create(uint32_t alias_base, void (*tell)(void *, enum im_event, uint32_t, int32_t),
                                      void *context) {
  struct im_connector *connector = calloc(1, sizeof *connector);
  if (!connector) return NULL;
  pthread_mutex_init(&connector->lock, NULL);
  pthread_cond_init(&connector->more, NULL);
  connector->references = 1;
  connector->set = connector->wake = connector->timer = -1;
  connector->alias_base = alias_base;
  connector->share = share_total();
  connector->close_by = CLOSE_BY;
  connector->soon = SOON;
  connector->tell = tell;
  connector->context = context;
  return connector;
}

void connector_hold(struct im_connector *connector) { __atomic_add_fetch(&connector->references, 1, __ATOMIC_RELAXED); }

void connector_release(struct im_connector *connector) {
  if (__atomic_sub_fetch(&connector->references, 1, __ATOMIC_ACQ_REL) > 0) return;
  connector_stop(connector);
  free(connector->listeners);
  pthread_cond_destroy(&connector->more);
  pthread_mutex_destroy(&connector->lock);
  free(connector);
}

void connector_stop(struct im_connector *connector) {
  pthread_mutex_lock(&connector->lock);
  bool running = connector->running;
  connector->stopping = true;
  connector->running = false;
  if (running) wake(connector);
  pthread_mutex_unlock(&connector->lock);
  fill_stop(connector);
  if (running) pthread_join(connector->thread, NULL);
  pthread_mutex_lock(&connector->lock);
  while (connector->all) connector_close(connector, connector->all);
  free_dead(connector);
  while (connector->pools) {
    struct im_pool *next = connector->pools->next;
    free(connector->pools);
    connector->pools = next;
  }
  if (running) close(connector->set);
  if (running) close(connector->wake);
  if (running) close(connector->timer);
  pthread_mutex_unlock(&connector->lock);
}

int connector_open(struct im_connector *connector, const struct im_opening *what) {
  return connector_begin(connector, what, NULL);
}

void connector_add(struct im_connector *connector, struct im_connection *connection) {
  connection->deadline = connector_now() + connection->what.timeout;
  connection->next = connector->all;
  if (connector->all) connector->all->previous = connection;
  connector->all = connection;
}

int connector_begin(struct im_connector *connector, const struct im_opening *what, struct im_batch *batch) {
  struct im_connection *connection = calloc(1, sizeof *connection);
  if (!connection) return ENOMEM;
  connection->what = *what;
  connection->signal = -1;
  int result = open_connect(connection);
  pthread_mutex_lock(&connector->lock);
  int error = connector->stopping ? ESHUTDOWN : fill_is_over(batch) ? ECANCELED : start(connector);
  if (!error && !batch && !share_allows(connector, what, 1)) error = EDQUOT;
  if (!error && !batch && !pool_expect(connector, what, 1)) error = ENOMEM;
  if (error) {
    reset(connection->fd);
    free(connection);
  } else {
    connection->batch = batch;
    connector_add(connector, connection);
    open_start(connector, connection, result);
    /* It may have failed already, and be in nobody's hands any more. */
    if (connector->dead || due(connection) < connector->sleeps_until) wake(connector);
  }
  pthread_mutex_unlock(&connector->lock);
  return error;
}

bool connector_cancel(struct im_connector *connector, uint32_t id) {
  pthread_mutex_lock(&connector->lock);
  bool found = fill_give_up(connector, id, 0);
  for (struct im_connection *connection = connector->all, *after; connection; connection = after) {
    after = connection->next;
    if (connection->what.id != id || connection->stage >= IM_READY) continue;
    connector_close(connector, connection);
    found = true;
  }
  pthread_mutex_unlock(&connector->lock);
  return found;
}

void connector_listeners(struct im_connector *connector, const struct im_listener *listeners, size_t count) {
  struct im_listener *copy = count ? malloc(count * sizeof *copy) : NULL;
  if (count && !copy) return;
  if (count) memcpy(copy, listeners, count * sizeof *copy);
  pthread_mutex_lock(&connector->lock);
  struct im_listener *old = connector->listeners;
  connector->listeners = copy;
  connector->listeners_count = count;
  pthread_mutex_unlock(&connector->lock);
  free(old);
}

void connector_drop(struct im_connector *connector, uint32_t peer) {
  pthread_mutex_lock(&connector->lock);
  fill_give_up(connector, 0, peer);
  for (struct im_connection *connection = connector->all, *after; connection; connection = after) {
    after = connection->next;
    bool kept = connection->what.purpose == IM_POOL_OUT || connection->what.purpose == IM_POOL_IN;
    bool channel = connection->stage == IM_SIGNALLING;
    if ((peer && connection->what.peer != peer) || !(kept || channel) ||
        (connection->stage >= IM_SIGNALLED && !channel))
      continue;
    /* What has been sent already is delivered. */
    if (connection->stage == IM_HEADER) pool_header_event(connector, connection);
    if (connection->fd >= 0 && connection->stage != IM_SIGNALLED) connector_close(connector, connection);
  }
  pthread_mutex_unlock(&connector->lock);
}

unsigned connector_arriving(struct im_connector *connector) {
  unsigned count = 0;
  pthread_mutex_lock(&connector->lock);
  for (struct im_connection *connection = connector->all, *after; connection; connection = after) {
    after = connection->next;
    if (connection->stage == IM_HEADER) pool_header_event(connector, connection);
    if (connection->fd >= 0 && connection->stage == IM_SIGNALLED) count++;
    if (connection->fd >= 0 && connection->what.purpose == IM_DELIVER && connection->stage < IM_READY) count++;
    if (connection->call) count++;
  }
  count += wait_count(connector);
  pthread_mutex_unlock(&connector->lock);
  return count;
}

int connector_ready(struct im_connector *connector, uint32_t peer) {
  int count = 0;
  pthread_mutex_lock(&connector->lock);
  for (const struct im_pool *pool = connector->pools; pool; pool = pool->next) {
    if (!peer) count += (int)pool->count;
    if (pool->peer == peer) count = (int)pool->count - (int)pool->waiting;
  }
  pthread_mutex_unlock(&connector->lock);
  return count;
}

void connector_withdraw(struct im_connector *connector, const void *context) {
  pthread_mutex_lock(&connector->lock);
  wait_withdraw(connector, context);
  signalling_withdraw(connector, context);
  pthread_mutex_unlock(&connector->lock);
}
