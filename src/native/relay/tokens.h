/*
 * The tokens that a data port waits for, in pairs: one for either side of a connection, each good for one use. Filled
 * on one thread, used up on another.
 */
#ifndef IMAGINARY_NATIVE_TOKENS_H
#define IMAGINARY_NATIVE_TOKENS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IM_TOKEN_SIZE 32
#define IM_TOKEN_BUCKETS 4096

/* A pair of tokens. Once made it belongs to the thread that calls tokens_use and tokens_due. */
struct im_expectation {
  struct im_token {
    unsigned char bytes[IM_TOKEN_SIZE];
    bool used;
    struct im_token *next; /* of its bucket */
    struct im_expectation *of;
  } tokens[2];
  uint32_t id;
  int64_t deadline;
  void *arrived; /* the arrival that used the first token */
  struct im_expectation *earlier, *later;
};

struct im_tokens {
  pthread_mutex_t lock;
  struct im_token *buckets[IM_TOKEN_BUCKETS];
  struct im_expectation *first, *last; /* by deadline */
  size_t count;
};

void tokens_init(struct im_tokens *tokens);
void tokens_free(struct im_tokens *tokens);

/* Any thread. Deadlines must not fall. False: no memory, or a token is expected already. *first: no other pair is. */
bool tokens_expect(struct im_tokens *tokens, const unsigned char *a, const unsigned char *b, uint32_t id,
                   int64_t deadline, bool *first);

/* How many pairs are expected, and the earliest deadline (-1: none). Any thread. */
size_t tokens_count(struct im_tokens *tokens, int64_t *earliest);

/* The pair with that id. NULL: it is not expected. */
struct im_expectation *tokens_find(struct im_tokens *tokens, uint32_t id);

/* Uses up one token. NULL: it is none, or was used. The expectation stays until it is taken out. */
struct im_expectation *tokens_use(struct im_tokens *tokens, const unsigned char *bytes);

/* Takes out the earliest expectation whose deadline has come; the caller frees it. */
struct im_expectation *tokens_due(struct im_tokens *tokens, int64_t now);

/* Takes out this one; the caller frees it. */
void tokens_remove(struct im_tokens *tokens, struct im_expectation *expectation);

#endif
