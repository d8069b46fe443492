#define _GNU_SOURCE
#include "clients.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MINUTE 60000.0
#define ROUNDING 0.001 /* of sums of shares of a minute, in milliseconds */
/* Clients of which something is kept; those of which nothing need be kept are forgotten from here on. */
#define FEW 1024
#define MOST_CLIENTS 65536
#define LOOKS 1000.0 /* between two looks whether one of so many can be forgotten, in milliseconds */
#define ROOM 2       /* places in the table for each of them, at least */

struct client {
  uint32_t address;
  bool used;
  uint32_t open;
  /* When its budgets are whole again: at most a minute from now, of which each one takes its share. */
  double connections, allocations;
};

struct im_clients {
  pthread_mutex_t lock;
  atomic_int shares;
  struct im_client_rules rules;
  uint32_t key; /* nobody knows which addresses share a place */
  struct client *table;
  size_t places, size, forget_at; /* `places` is a power of two */
  double look_at;                 /* when it is full */
  struct im_block blocks[];
};

const char *clients_reason(enum im_refusal refusal) {
  static const char *const reasons[IM_REFUSALS] = {[IM_NOT_LISTED] = "allowFrom",
                                                   [IM_TOO_MANY_OPEN] = "maxConnectionsPerClient",
                                                   [IM_TOO_MANY_NEW] = "maxNewConnectionsPerMinutePerClient",
                                                   [IM_TOO_MANY_ALLOCATIONS] = "maxAllocationsPerMinutePerClient",
                                                   [IM_TOO_MANY_CLIENTS] = "too many clients"};
  return reasons[refusal];
}

/* ---- the table ---- */

static uint32_t place_of(const struct im_clients *clients, uint32_t address) {
  uint32_t mixed = (address ^ clients->key) * 2654435761u;
  return mixed ^ mixed >> 15;
}

/* The client's, or the one that is free for it. There is one. */
static struct client *look(const struct im_clients *clients, uint32_t address) {
  size_t at = place_of(clients, address);
  for (;; at++) {
    struct client *client = &clients->table[at & (clients->places - 1)];
    if (!client->used || client->address == address) return client;
  }
}

static struct client *find(const struct im_clients *clients, uint32_t address) {
  struct client *client = look(clients, address);
  return client->used ? client : NULL;
}

static bool is_kept(const struct client *client, double now) {
  return client->used && (client->open > 0 || client->connections > now || client->allocations > now);
}

/* Another table, with those of which something is to be kept. */
static bool forget(struct im_clients *clients, double now) {
  struct client *old = clients->table;
  size_t old_places = clients->places, kept = 0;
  for (size_t i = 0; i < old_places; i++) kept += is_kept(&old[i], now);
  size_t next = 2 * kept > FEW ? 2 * kept : FEW, places = FEW;
  if (next > MOST_CLIENTS) next = MOST_CLIENTS;
  while (places < ROOM * next) places *= 2;
  struct client *table = calloc(places, sizeof *table);
  if (!table) return false;
  clients->table = table;
  clients->places = places;
  clients->size = kept;
  clients->forget_at = next;
  clients->look_at = now + LOOKS;
  for (size_t i = 0; i < old_places; i++)
    if (is_kept(&old[i], now)) *look(clients, old[i].address) = old[i];
  free(old);
  return true;
}

static struct client *add(struct im_clients *clients, uint32_t address, double now) {
  if (clients->size >= MOST_CLIENTS && now < clients->look_at) return NULL;
  if (clients->size >= clients->forget_at && !forget(clients, now)) return NULL;
  if (clients->size >= MOST_CLIENTS) return NULL;
  struct client *client = look(clients, address);
  *client = (struct client){.address = address, .used = true};
  clients->size++;
  return client;
}

/* ---- what a client may ---- */

/* One more, if the budget is not spent. */
static bool take(double *whole, double now, uint32_t a_minute) {
  double after = (*whole > now ? *whole : now) + MINUTE / a_minute;
  if (after - now > MINUTE + ROUNDING) return false;
  *whole = after;
  return true;
}

bool clients_list(const struct im_clients *clients, uint32_t address) {
  for (size_t i = 0; i < clients->rules.blocks_count; i++)
    if ((address & clients->blocks[i].mask) == clients->blocks[i].network) return true;
  return false;
}

static enum im_refusal connect_one(struct im_clients *clients, uint32_t address, double now) {
  struct client *client = find(clients, address);
  if (!client) client = add(clients, address, now);
  if (!client) return IM_TOO_MANY_CLIENTS;
  if (client->open >= clients->rules.most_open) return IM_TOO_MANY_OPEN;
  if (!take(&client->connections, now, clients->rules.new_a_minute)) return IM_TOO_MANY_NEW;
  client->open++;
  return IM_ALLOWED;
}

enum im_refusal clients_connect(struct im_clients *clients, uint32_t address, double now) {
  if (!clients_list(clients, address)) return IM_NOT_LISTED;
  pthread_mutex_lock(&clients->lock);
  enum im_refusal refusal = connect_one(clients, address, now);
  pthread_mutex_unlock(&clients->lock);
  return refusal;
}

void clients_leave(struct im_clients *clients, uint32_t address) {
  pthread_mutex_lock(&clients->lock);
  struct client *client = find(clients, address);
  if (client && client->open > 0) client->open--;
  pthread_mutex_unlock(&clients->lock);
}

enum im_refusal clients_allocate(struct im_clients *clients, uint32_t address, double now) {
  pthread_mutex_lock(&clients->lock);
  struct client *client = find(clients, address);
  bool may = client && take(&client->allocations, now, clients->rules.allocations_a_minute);
  pthread_mutex_unlock(&clients->lock);
  return may ? IM_ALLOWED : IM_TOO_MANY_ALLOCATIONS;
}

size_t clients_size(struct im_clients *clients) {
  pthread_mutex_lock(&clients->lock);
  size_t size = clients->size;
  pthread_mutex_unlock(&clients->lock);
  return size;
}

/* ---- its life ---- */

struct im_clients *clients_new(const struct im_client_rules *rules) {
  size_t blocks = rules->blocks_count * sizeof(struct im_block);
  struct im_clients *clients = calloc(1, sizeof *clients + blocks);
  if (!clients) return NULL;
  clients->rules = *rules;
  if (blocks) memcpy(clients->blocks, rules->blocks, blocks);
  clients->rules.blocks = NULL;
  atomic_init(&clients->shares, 1);
  if (getrandom(&clients->key, sizeof clients->key, 0) == sizeof clients->key && forget(clients, 0)) {
    pthread_mutex_init(&clients->lock, NULL);
    return clients;
  }
  free(clients);
  return NULL;
}

struct im_clients *clients_share(struct im_clients *clients) {
  atomic_fetch_add(&clients->shares, 1);
  return clients;
}

void clients_release(struct im_clients *clients) {
  if (!clients || atomic_fetch_sub(&clients->shares, 1) != 1) return;
  pthread_mutex_destroy(&clients->lock);
  free(clients->table);
  free(clients);
}
