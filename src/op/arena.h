/* Bump allocation for what lives as long as a batch. Pointers stay valid until reset. Not thread-safe. */
#ifndef OBS_OP_ARENA_H
#define OBS_OP_ARENA_H

#include <stddef.h>

typedef struct obs_arena_block obs_arena_block;
typedef struct {
  obs_arena_block *head;
  size_t bytes; /* held */
} obs_arena;

/* NULL when there is no memory. Unaligned: for bytes. */
char *obs_arena_alloc(obs_arena *a, size_t n);
/* Forgets all; keeps one block of at most 64 KiB. */
void obs_arena_reset(obs_arena *a);
void obs_arena_fini(obs_arena *a);

#endif
