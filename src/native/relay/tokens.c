#define _GNU_SOURCE
#include "base/secret.h"
#include "tokens.h"

#include <stdlib.h>
#include <string.h>

/* Tokens are random: any of their bytes do. */
static struct im_token **bucket_of(struct im_tokens *tokens, const unsigned char *bytes) {
  uint32_t number;
  memcpy(&number, bytes, sizeof number);
  return &tokens->buckets[number % IM_TOKEN_BUCKETS];
}

static struct im_token *find(struct im_tokens *tokens, const unsigned char *bytes) {
  struct im_token *token = *bucket_of(tokens, bytes);
  while (token && !secret_is(token->bytes, bytes, IM_TOKEN_SIZE)) token = token->next;
  return token;
}

static void add(struct im_tokens *tokens, struct im_token *token) {
  struct im_token **bucket = bucket_of(tokens, token->bytes);
  token->next = *bucket;
  *bucket = token;
}

static void unlink_expectation(struct im_tokens *tokens, struct im_expectation *expectation) {
  for (int i = 0; i < 2; i++) {
    struct im_token *token = &expectation->tokens[i], **at = bucket_of(tokens, token->bytes);
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

void tokens_init(struct im_tokens *tokens) {
  memset(tokens, 0, sizeof *tokens);
  pthread_mutex_init(&tokens->lock, NULL);
}

void tokens_free(struct im_tokens *tokens) {
  while (tokens->first) {
    struct im_expectation *next = tokens->first->later;
    free(tokens->first);
    tokens->first = next;
  }
  pthread_mutex_destroy(&tokens->lock);
}

bool tokens_expect(struct im_tokens *tokens, const unsigned char *a, const unsigned char *b, uint32_t id,
                   int64_t deadline, bool *first) {
  struct im_expectation *expectation = calloc(1, sizeof *expectation);
  if (!expectation) return false;
  expectation->id = id;
  expectation->deadline = deadline;
  memcpy(expectation->tokens[0].bytes, a, IM_TOKEN_SIZE);
  memcpy(expectation->tokens[1].bytes, b, IM_TOKEN_SIZE);
  expectation->tokens[0].of = expectation->tokens[1].of = expectation;
  pthread_mutex_lock(&tokens->lock);
  bool fresh = !secret_is(a, b, IM_TOKEN_SIZE) && !find(tokens, a) && !find(tokens, b);
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

size_t tokens_count(struct im_tokens *tokens, int64_t *earliest) {
  pthread_mutex_lock(&tokens->lock);
  size_t count = tokens->count;
  if (earliest) *earliest = tokens->first ? tokens->first->deadline : -1;
  pthread_mutex_unlock(&tokens->lock);
  return count;
}

struct im_expectation *tokens_find(struct im_tokens *tokens, uint32_t id) {
  pthread_mutex_lock(&tokens->lock);
  struct im_expectation *expectation = tokens->first;
  while (expectation && expectation->id != id) expectation = expectation->later;
  pthread_mutex_unlock(&tokens->lock);
  return expectation;
}

struct im_expectation *tokens_use(struct im_tokens *tokens, const unsigned char *bytes) {
  pthread_mutex_lock(&tokens->lock);
  struct im_token *token = find(tokens, bytes);
  struct im_expectation *found = token && !token->used ? token->of : NULL;
  if (found) token->used = true;
  pthread_mutex_unlock(&tokens->lock);
  return found;
}

struct im_expectation *tokens_due(struct im_tokens *tokens, int64_t now) {
  pthread_mutex_lock(&tokens->lock);
  struct im_expectation *due = tokens->first && tokens->first->deadline <= now ? tokens->first : NULL;
  if (due) unlink_expectation(tokens, due);
  pthread_mutex_unlock(&tokens->lock);
  return due;
}

void tokens_remove(struct im_tokens *tokens, struct im_expectation *expectation) {
  pthread_mutex_lock(&tokens->lock);
  unlink_expectation(tokens, expectation);
  pthread_mutex_unlock(&tokens->lock);
}
