#include "op/arena.h"

#include <stdbool.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 16 * 1024, KEEP_BYTES = 64 * 1024 };

struct obs_arena_block {
  obs_arena_block *next;
  size_t cap, used;
  char bytes[];
};

/* Blocks are never moved: a view into one lives until reset. A large piece gets a block of its own size, which becomes
 * the head; what was left of the one before is not used again. */
char *obs_arena_alloc(obs_arena *a, size_t n) {
  obs_arena_block *block = a->head;
  if (block == NULL || block->cap - block->used < n) {
    size_t cap = n > BLOCK_BYTES ? n : BLOCK_BYTES;
    block = malloc(sizeof(*block) + cap);
    if (block == NULL) return NULL;
    block->next = a->head;
    block->cap = cap;
    block->used = 0;
    a->head = block;
    a->bytes += cap;
  }
  char *p = block->bytes + block->used;
  block->used += n;
  return p;
}

static void release(obs_arena *a, obs_arena_block *keep) {
  while (a->head != NULL) {
    obs_arena_block *next = a->head->next;
    if (a->head != keep) free(a->head);
    a->head = next;
  }
  a->head = keep;
  a->bytes = 0;
  if (keep == NULL) return;
  keep->next = NULL;
  keep->used = 0;
  a->bytes = keep->cap;
}

void obs_arena_reset(obs_arena *a) {
  bool keep = a->head != NULL && a->head->cap <= KEEP_BYTES;
  release(a, keep ? a->head : NULL);
}

void obs_arena_fini(obs_arena *a) {
  release(a, NULL);
}
