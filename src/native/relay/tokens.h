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

#define TOKEN_BYTES 32
#define TOKEN_BUCKETS 4096

/* A pair of tokens. Once made it belongs to the thread that calls token_use and tokens_due. */
struct expectation {
  struct token {
    unsigned char bytes[TOKEN_BYTES];
    bool used;
    struct token *next; /* of its bucket */
    struct expectation *of;
  } tokens[2];
  uint32_t id;
  int64_t deadline;
  void *arrived; /* who used the first one */
  struct expectation *earlier, *later;
};

struct tokens {
  pthread_mutex_t lock;
  struct token *buckets[TOKEN_BUCKETS];
  struct expectation *first, *last; /* by deadline */
  size_t count;
};

void tokens_init(struct tokens *tokens);
void tokens_free(struct tokens *tokens);

/* Any thread. Deadlines must not fall. False: no memory, or a token is expected already. *first: no other pair is. */
bool tokens_expect(struct tokens *tokens, const unsigned char *a, const unsigned char *b, uint32_t id, int64_t deadline,
                   bool *first);

/* How many pairs are expected, and the earliest deadline (-1: none). Any thread. */
size_t tokens_count(struct tokens *tokens, int64_t *earliest);

/* Uses up one token. NULL: it is none, or was used. The expectation stays until it is taken out. */
struct expectation *token_use(struct tokens *tokens, const unsigned char *bytes);

/* Takes out the earliest expectation whose deadline has come; the caller frees it. */
struct expectation *tokens_due(struct tokens *tokens, int64_t now);

/* Takes out this one; the caller frees it. */
void tokens_remove(struct tokens *tokens, struct expectation *expectation);

#endif
