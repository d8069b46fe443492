#define _GNU_SOURCE
#include "base/secret.h"
#include "tokens.h"

#include <stdlib.h>
#include <string.h>

/* Tokens are random: any of their bytes do. */
static struct token **bucket_of(struct tokens *tokens, const unsigned char *bytes) {
  uint32_t number;
  memcpy(&number, bytes, sizeof number);
  return &tokens->buckets[number % TOKEN_BUCKETS];
}

static struct token *find(struct tokens *tokens, const unsigned char *bytes) {
  struct token *token = *bucket_of(tokens, bytes);
  while (token && !secret_is(token->bytes, bytes, TOKEN_BYTES)) token = token->next;
  return token;
}

static void add(struct tokens *tokens, struct token *token) {
  struct token **bucket = bucket_of(tokens, token->bytes);
  token->next = *bucket;
  *bucket = token;
}

static void unlink_expectation(struct tokens *tokens, struct expectation *expectation) {
  for (int i = 0; i < 2; i++) {
    struct token *token = &expectation->tokens[i], **at = bucket_of(tokens, token->bytes);
    while (*at != token) at = &(*at)->next;
    *at = token->next;
  }
  if (expectation->earlier)
    expectation->earlier->later = expectation->later;
  else
    tokens->first = expectation->later;
  if (expectation->later)
    expectation->later->earlier = expectation->earlier;
  else
    tokens->last = expectation->earlier;
  tokens->count--;
}

void tokens_init(struct tokens *tokens) {
  memset(tokens, 0, sizeof *tokens);
  pthread_mutex_init(&tokens->lock, NULL);
}

void tokens_free(struct tokens *tokens) {
  while (tokens->first) {
    struct expectation *next = tokens->first->later;
    free(tokens->first);
    tokens->first = next;
  }
  pthread_mutex_destroy(&tokens->lock);
}

bool tokens_expect(struct tokens *tokens, const unsigned char *a, const unsigned char *b, uint32_t id, int64_t deadline,
                   bool *first) {
  struct expectation *expectation = calloc(1, sizeof *expectation);
  if (!expectation) return false;
  expectation->id = id;
  expectation->deadline = deadline;
  memcpy(expectation->tokens[0].bytes, a, TOKEN_BYTES);
  memcpy(expectation->tokens[1].bytes, b, TOKEN_BYTES);
  expectation->tokens[0].of = expectation->tokens[1].of = expectation;
  pthread_mutex_lock(&tokens->lock);
  bool fresh = !secret_is(a, b, TOKEN_BYTES) && !find(tokens, a) && !find(tokens, b);
  if (fresh) {
    *first = tokens->count == 0;
    add(tokens, &expectation->tokens[0]);
    add(tokens, &expectation->tokens[1]);
    expectation->earlier = tokens->last;
    if (tokens->last)
      tokens->last->later = expectation;
    else
      tokens->first = expectation;
    tokens->last = expectation;
    tokens->count++;
  }
  pthread_mutex_unlock(&tokens->lock);
  if (!fresh) free(expectation);
  return fresh;
}

size_t tokens_count(struct tokens *tokens, int64_t *earliest) {
  pthread_mutex_lock(&tokens->lock);
  size_t count = tokens->count;
  if (earliest) *earliest = tokens->first ? tokens->first->deadline : -1;
  pthread_mutex_unlock(&tokens->lock);
  return count;
}

struct expectation *token_use(struct tokens *tokens, const unsigned char *bytes) {
  pthread_mutex_lock(&tokens->lock);
  struct token *token = find(tokens, bytes);
  struct expectation *found = token && !token->used ? token->of : NULL;
  if (found) token->used = true;
  pthread_mutex_unlock(&tokens->lock);
  return found;
}

struct expectation *tokens_due(struct tokens *tokens, int64_t now) {
  pthread_mutex_lock(&tokens->lock);
  struct expectation *due = tokens->first && tokens->first->deadline <= now ? tokens->first : NULL;
  if (due) unlink_expectation(tokens, due);
  pthread_mutex_unlock(&tokens->lock);
  return due;
}

void tokens_remove(struct tokens *tokens, struct expectation *expectation) {
  pthread_mutex_lock(&tokens->lock);
  unlink_expectation(tokens, expectation);
  pthread_mutex_unlock(&tokens->lock);
}
