/* Looks for many short literals at once, by three bytes of each.
 *
 * The literals are in eight groups. For each of the three places, a table says of a byte which groups have it there; a
 * place where all three agree on a group is a candidate, and the literals of that group are compared. 16 or 32 places
 * are tried at once where the processor has SSSE3 or AVX2: a table over a byte's low half and one over its high half,
 * looked up by a shuffle (the method of Hyperscan's "Teddy"). All ways find the same.
 *
 * Read-only after open: any thread. */
#ifndef OBS_REDACT_PREFILTER_H
#define OBS_REDACT_PREFILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In a literal: any digit, any byte. */
enum { OBS_PREFILTER_DIGIT = 1, OBS_PREFILTER_ANY = 2 };

enum { OBS_PREFILTER_MAX = 192 }; /* literals */

typedef struct {
  const char *text; /* three bytes at least */
  uint8_t hook;     /* which three of them are looked for */
  bool fold;        /* letters of either case */
} obs_prefilter_literal;

typedef enum { OBS_PREFILTER_BEST, OBS_PREFILTER_PORTABLE, OBS_PREFILTER_SSSE3, OBS_PREFILTER_AVX2 } obs_prefilter_way;

typedef struct obs_prefilter obs_prefilter;

/* NULL: no memory, too many literals, or the processor has not that way. The literals' texts stay where they are. */
obs_prefilter *obs_prefilter_open(const obs_prefilter_literal *literals, size_t n, obs_prefilter_way way);
void obs_prefilter_close(obs_prefilter *f);

/* The first place from `at` on where the three bytes of some literal may stand; n: there is none. A literal that begins
 * with a class of digits is found where a number begins. */
size_t obs_prefilter_next(const obs_prefilter *f, const char *p, size_t at, size_t n);

/* The literals that stand around a candidate, one after another: `*i` begins as 0. False: no more. `*at`: where the
 * literal begins; not before `from`. */
bool obs_prefilter_literal_at(const obs_prefilter *f, const char *p, size_t n, size_t from, size_t candidate, size_t *i,
                              size_t *literal, size_t *at);

#endif
