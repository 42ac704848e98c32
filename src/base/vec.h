/* A growable array of any type.
 *
 *   OBS_VEC(uint64_t) seqs = {0};
 *   uint64_t *place = OBS_VEC_PUSH(&seqs);
 *   if (place == NULL) ... no memory, nothing has changed
 *
 * Growing moves the elements: a pointer to one lives until the next push or reserve. Not thread-safe. */
#ifndef OBS_BASE_VEC_H
#define OBS_BASE_VEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define OBS_VEC(type)                                                                                                  \
  struct {                                                                                                             \
    type *at;                                                                                                          \
    uint32_t n, cap;                                                                                                   \
  }

/* Room for `count` elements in all. False: no memory. */
#define OBS_VEC_RESERVE(v, count) obs_vec_reserve((void **)&(v)->at, &(v)->cap, (count), sizeof *(v)->at)
/* A new last element, zeroed; NULL: no memory. */
#define OBS_VEC_PUSH(v)                                                                                                \
  (obs_vec_push((void **)&(v)->at, &(v)->n, &(v)->cap, sizeof *(v)->at) ? &(v)->at[(v)->n - 1] : NULL)
#define OBS_VEC_FINI(v) (free((v)->at), (v)->at = NULL, (v)->n = (v)->cap = 0)

/* What the macros stand on. */
bool obs_vec_reserve(void **at, uint32_t *cap, uint32_t count, size_t size);
bool obs_vec_push(void **at, uint32_t *n, uint32_t *cap, size_t size);

#endif
