/* Makes one allocation of the calling thread fail: the n-th from now on. Include it in one file of a test that
 * tests/CMakeLists.txt names in `alloc_fault_tests`; what other threads and the C library itself allocate is left
 * alone.
 *
 *   for (unsigned long n = 1, fired = 1; fired; n++) {
 *     alloc_fault_arm(n);
 *     observer_err err = ...;             no assertions here
 *     fired = alloc_fault_disarm();       0: there were fewer than n allocations
 *     ... err is OBSERVER_E_NOMEM, or the result is right
 *   }
 */
#ifndef ALLOC_FAULT_H
#define ALLOC_FAULT_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local unsigned long alloc_fault_left; /* 0: none fails */
static _Thread_local bool alloc_fault_fired;
static _Atomic unsigned long alloc_fault_left_everywhere; /* the same for all threads together */
static _Atomic bool alloc_fault_fired_everywhere;

static inline void alloc_fault_arm(unsigned long n) {
  alloc_fault_left = n;
  alloc_fault_fired = false;
}

/* Whether an allocation failed since it was armed. */
static inline bool alloc_fault_disarm(void) {
  alloc_fault_left = 0;
  return alloc_fault_fired;
}

/* The n-th allocation of any thread. */
static inline void alloc_fault_arm_everywhere(unsigned long n) {
  alloc_fault_fired_everywhere = false;
  alloc_fault_left_everywhere = n;
}

static inline bool alloc_fault_disarm_everywhere(void) {
  alloc_fault_left_everywhere = 0;
  return alloc_fault_fired_everywhere;
}

static inline bool alloc_fault_now_everywhere(void) {
  unsigned long left = alloc_fault_left_everywhere;
  while (left > 0 && !atomic_compare_exchange_weak(&alloc_fault_left_everywhere, &left, left - 1)) continue;
  if (left != 1) return false;
  alloc_fault_fired_everywhere = true;
  errno = ENOMEM;
  return true;
}

static inline bool alloc_fault_now(void) {
  if (alloc_fault_now_everywhere()) return true;
  if (alloc_fault_left == 0 || --alloc_fault_left > 0) return false;
  alloc_fault_fired = true;
  errno = ENOMEM;
  return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n) {
  return alloc_fault_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size) {
  return alloc_fault_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n) {
  return alloc_fault_now() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size) {
  return alloc_fault_now() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s) {
  return alloc_fault_now() ? NULL : __real_strdup(s);
}

#endif
