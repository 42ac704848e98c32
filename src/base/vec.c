#include "base/vec.h"

#include <string.h>

enum { FIRST = 8 };

bool obs_vec_reserve(void **at, uint32_t *cap, uint32_t count, size_t size) {
  if (count <= *cap) return true;
  uint64_t more = *cap < FIRST ? FIRST : *cap;
  while (more < count) more *= 2;
  if (more > UINT32_MAX || more > SIZE_MAX / size) return false;
  void *grown = realloc(*at, (size_t)more * size);
  if (grown == NULL) return false;
  *at = grown;
  *cap = (uint32_t)more;
  return true;
}

bool obs_vec_push(void **at, uint32_t *n, uint32_t *cap, size_t size) {
  if (*n == *cap) {
    if (*n == UINT32_MAX || !obs_vec_reserve(at, cap, *n + 1 > *cap * 2 ? *n + 1 : *cap * 2, size)) return false;
  }
  memset((char *)*at + (size_t)*n * size, 0, size);
  ++*n;
  return true;
}
