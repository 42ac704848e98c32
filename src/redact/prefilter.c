#include "redact/prefilter.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* CLASSES: the group of literals with classes of bytes in their hook, which the exact table does not have. */
enum { PLACES = 3, GROUPS = 8, CLASSES = GROUPS - 1, EXACT_BITS = 13 };

typedef size_t (*next_fn)(const obs_prefilter *f, const char *p, size_t at, size_t n);

struct obs_prefilter {
  uint8_t groups[PLACES][256];               /* by byte */
  uint8_t low[PLACES][32], high[PLACES][32]; /* by half a byte, twice the same: a shuffle has lanes of 16 */
  uint64_t exact[(1 << EXACT_BITS) / 64];    /* a bit for a hash of the three bytes of a hook */
  next_fn next;
  size_t n;
  size_t first[GROUPS + 1]; /* literal of each group */
  struct literal {
    const char *text;
    size_t len, index; /* index: among what was given to open */
    uint8_t hook, group;
    bool fold;
  } at[];
};

/* ---- literals ---- */

static bool is_letter(uint8_t c) {
  return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool fits(uint8_t want, bool fold, uint8_t c) {
  if (want == OBS_PREFILTER_ANY) return true;
  if (want == OBS_PREFILTER_DIGIT) return c >= '0' && c <= '9';
  return want == c || (fold && is_letter(want) && (want ^ c) == 0x20);
}

static uint8_t hook_byte(const struct literal *l, size_t place) {
  return (uint8_t)l->text[l->hook + place];
}

static bool has_class(const struct literal *l) {
  for (size_t i = 0; i < PLACES; i++) {
    if (hook_byte(l, i) <= OBS_PREFILTER_ANY) return true;
  }
  return false;
}

static uint32_t exact_hash(const uint8_t *b) {
  return (((uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2]) * 0x9e3779b1u) >> (32 - EXACT_BITS);
}

/* The hook in each mix of cases. */
static void fill_exact(obs_prefilter *f, const struct literal *l) {
  for (unsigned mix = 0; mix < 1u << PLACES; mix++) {
    uint8_t b[PLACES];
    for (size_t i = 0; i < PLACES; i++) {
      b[i] = hook_byte(l, i);
      if ((mix >> i & 1) != 0 && l->fold && is_letter(b[i])) b[i] ^= 0x20;
    }
    uint32_t hash = exact_hash(b);
    f->exact[hash / 64] |= UINT64_C(1) << hash % 64;
  }
}

static void fill_tables(obs_prefilter *f) {
  for (size_t i = 0; i < f->n; i++) {
    const struct literal *l = &f->at[i];
    uint8_t bit = (uint8_t)(1u << l->group);
    if (l->group != CLASSES) fill_exact(f, l);
    for (size_t place = 0; place < PLACES; place++) {
      for (unsigned c = 0; c < 256; c++) {
        if (!fits(hook_byte(l, place), l->fold, (uint8_t)c)) continue;
        f->groups[place][c] |= bit;
        f->low[place][c & 15] |= bit;
        f->low[place][16 + (c & 15)] |= bit;
        f->high[place][c >> 4] |= bit;
        f->high[place][16 + (c >> 4)] |= bit;
      }
    }
  }
}

/* ---- the ways ---- */

static unsigned groups_at(const obs_prefilter *f, const char *p) {
  const uint8_t *b = (const uint8_t *)p;
  return (unsigned)f->groups[0][b[0]] & f->groups[1][b[1]] & f->groups[2][b[2]];
}

static inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* Of a number that begins with a class of digits, only its begin is a candidate. */
static inline bool is_candidate(const obs_prefilter *f, const char *p, size_t at) {
  unsigned groups = groups_at(f, p + at);
  if (groups == 0) return false;
  if ((groups & 1u << CLASSES) != 0 && !(at > 0 && is_digit(p[at]) && is_digit(p[at - 1]))) return true;
  uint32_t hash = exact_hash((const uint8_t *)p + at);
  return (f->exact[hash / 64] >> hash % 64 & 1) != 0;
}

static size_t next_portable(const obs_prefilter *f, const char *p, size_t at, size_t n) {
  for (; at + PLACES <= n; at++) {
    if (is_candidate(f, p, at)) return at;
  }
  return n;
}

#if defined(__x86_64__)

/* Of the places in `mask`, a bit each from `at` on, the first that is a candidate by its whole bytes, too. */
static inline bool first_of(const obs_prefilter *f, const char *p, size_t at, uint32_t mask, size_t *found) {
  for (; mask != 0; mask &= mask - 1) {
    *found = at + (size_t)__builtin_ctz(mask);
    if (is_candidate(f, p, *found)) return true;
  }
  return false;
}

#define WAY(name, isa, vector, WIDTH, load, load_table, set1, shuffle, and, shift, equal, zero, movemask, ALL)         \
  __attribute__((target(isa))) static inline vector name##_place(const obs_prefilter *f, size_t place,                 \
                                                                 const char *p) {                                      \
    const vector half = set1(15), v = load((const vector *)(const void *)(p + place));                                 \
    vector low = shuffle(load_table((const vector *)(const void *)f->low[place]), and(v, half));                       \
    vector high = shuffle(load_table((const vector *)(const void *)f->high[place]), and(shift(v, 4), half));           \
    return and(low, high);                                                                                             \
  }                                                                                                                    \
  __attribute__((target(isa))) static size_t name(const obs_prefilter *f, const char *p, size_t at, size_t n) {        \
    size_t found;                                                                                                      \
    if (at + (WIDTH) + PLACES - 1 > n) return next_portable(f, p, at, n);                                              \
    for (;;) {                                                                                                         \
      vector all = and(and(name##_place(f, 0, p + at), name##_place(f, 1, p + at)), name##_place(f, 2, p + at));       \
      uint32_t none = (uint32_t)movemask(equal(all, zero()));                                                          \
      if (__builtin_expect(none != (ALL), 0) && first_of(f, p, at, ~none & (ALL), &found)) return found;               \
      if (at + (WIDTH) + PLACES - 1 == n) return n;                                                                    \
      at += (WIDTH);                                                                                                   \
      if (at + (WIDTH) + PLACES - 1 > n) at = n - (WIDTH) - (PLACES - 1); /* the rest, some of it a second time */     \
    }                                                                                                                  \
  }

WAY(next_ssse3, "ssse3", __m128i, 16, _mm_loadu_si128, _mm_loadu_si128, _mm_set1_epi8, _mm_shuffle_epi8, _mm_and_si128,
    _mm_srli_epi16, _mm_cmpeq_epi8, _mm_setzero_si128, _mm_movemask_epi8, 0xffffu)
WAY(next_avx2, "avx2", __m256i, 32, _mm256_loadu_si256, _mm256_loadu_si256, _mm256_set1_epi8, _mm256_shuffle_epi8,
    _mm256_and_si256, _mm256_srli_epi16, _mm256_cmpeq_epi8, _mm256_setzero_si256, _mm256_movemask_epi8, 0xffffffffu)

static next_fn choose(obs_prefilter_way way) {
  bool avx2 = __builtin_cpu_supports("avx2") != 0, ssse3 = __builtin_cpu_supports("ssse3") != 0;
  switch (way) {
  case OBS_PREFILTER_AVX2:
    return avx2 ? next_avx2 : NULL;
  case OBS_PREFILTER_SSSE3:
    return ssse3 ? next_ssse3 : NULL;
  case OBS_PREFILTER_BEST:
    if (avx2) return next_avx2;
    return ssse3 ? next_ssse3 : next_portable;
  case OBS_PREFILTER_PORTABLE:
    break;
  }
  return next_portable;
}

#else

static next_fn choose(obs_prefilter_way way) {
  return way == OBS_PREFILTER_BEST || way == OBS_PREFILTER_PORTABLE ? next_portable : NULL;
}

#endif

/* ---- open, close, look ---- */

/* ---- groups ---- */

/* What a group's tables of halves allow: for each place, which low and which high halves. */
typedef struct {
  uint16_t low[PLACES], high[PLACES];
} halves;

/* How often a byte stands in what is recorded, roughly. */
static unsigned frequency(unsigned c) {
  if (c >= 'a' && c <= 'z') return strchr("etaoinsr", (int)c) != NULL ? 16 : 6;
  if (c >= '0' && c <= '9') return 5;
  if (c == ' ' || c == '_' || c == '"' || c == ':') return 8;
  if (c == '-' || c == '.' || c == '/' || c == ',') return 5;
  return c >= 'A' && c <= 'Z' ? 2 : 1;
}

/* How often places of random text pass. */
static double passing(const halves *h, const uint16_t frequencies[16][16]) {
  double all = 1;
  for (size_t place = 0; place < PLACES; place++) {
    unsigned sum = 0;
    for (unsigned high = 0; high < 16; high++) {
      if ((h->high[place] >> high & 1) == 0) continue;
      for (unsigned low = 0; low < 16; low++) sum += (h->low[place] >> low & 1) != 0 ? frequencies[high][low] : 0;
    }
    all *= sum;
  }
  return all;
}

static halves joined(const halves *a, const halves *b) {
  halves h;
  for (size_t i = 0; i < PLACES; i++) {
    h.low[i] = a->low[i] | b->low[i];
    h.high[i] = a->high[i] | b->high[i];
  }
  return h;
}

static halves halves_of(const struct literal *l) {
  halves h = {{0}, {0}};
  for (size_t place = 0; place < PLACES; place++) {
    for (unsigned c = 0; c < 256; c++) {
      if (!fits(hook_byte(l, place), l->fold, (uint8_t)c)) continue;
      h.low[place] |= (uint16_t)(1u << (c & 15));
      h.high[place] |= (uint16_t)(1u << (c >> 4));
    }
  }
  return h;
}

static int compare_groups(const void *a, const void *b) {
  const struct literal *x = a, *y = b;
  return (int)x->group - (int)y->group;
}

/* What joining two groups would allow that neither of them has. */
static double price(const halves *a, const halves *b, const uint16_t frequencies[16][16]) {
  halves both = joined(a, b);
  return passing(&both, frequencies) - passing(a, frequencies) - passing(b, frequencies);
}

/* Joins, again and again, the two groups for which that is least, until there are few enough. Groups that are joined
 * into others stay in the list, empty: of[i] leads from a literal to its group. */
static void join_groups(halves *groups, double *prices, size_t *of, size_t n) {
  uint16_t frequencies[16][16];
  bool gone[OBS_PREFILTER_MAX] = {false};
  for (unsigned c = 0; c < 256; c++) frequencies[c >> 4][c & 15] = (uint16_t)frequency(c);
  for (size_t a = 0; a < n; a++) {
    for (size_t b = a + 1; b < n; b++) prices[a * n + b] = price(&groups[a], &groups[b], frequencies);
  }
  for (size_t left = n; left > CLASSES; left--) {
    size_t one = 0, other = 0;
    for (size_t a = 0; a < n; a++) {
      for (size_t b = a + 1; b < n && !gone[a]; b++) {
        if (gone[b] || (other != 0 && prices[a * n + b] >= prices[one * n + other])) continue;
        one = a;
        other = b;
      }
    }
    groups[one] = joined(&groups[one], &groups[other]);
    gone[other] = true;
    for (size_t i = 0; i < n; i++) {
      if (of[i] == other) of[i] = one;
      if (i < one) prices[i * n + one] = price(&groups[i], &groups[one], frequencies);
      if (i > one) prices[one * n + i] = price(&groups[one], &groups[i], frequencies);
    }
  }
}

/* Puts the literals into groups, and in their order. False: no memory. */
static bool make_groups(obs_prefilter *f) {
  halves groups[OBS_PREFILTER_MAX];
  size_t of[OBS_PREFILTER_MAX], names[OBS_PREFILTER_MAX], n = 0, count = 0;
  double *prices = calloc(f->n * f->n + 1, sizeof(*prices));
  if (prices == NULL) return false;
  for (size_t i = 0; i < f->n; i++) {
    if (has_class(&f->at[i])) continue;
    of[n] = n;
    groups[n++] = halves_of(&f->at[i]);
  }
  join_groups(groups, prices, of, n);
  free(prices);
  for (size_t i = 0; i < n; i++) {
    if (of[i] == i) names[i] = count++;
  }
  for (size_t i = 0, k = 0; i < f->n; i++) f->at[i].group = (uint8_t)(has_class(&f->at[i]) ? CLASSES : names[of[k++]]);
  qsort(f->at, f->n, sizeof(f->at[0]), compare_groups);
  for (size_t group = 0, i = 0; group <= GROUPS; group++) {
    while (i < f->n && f->at[i].group < group) i++;
    f->first[group] = i;
  }
  return true;
}

obs_prefilter *obs_prefilter_open(const obs_prefilter_literal *literals, size_t n, obs_prefilter_way way) {
  next_fn next = choose(way);
  if (next == NULL || n > OBS_PREFILTER_MAX) return NULL;
  obs_prefilter *f = calloc(1, sizeof(*f) + n * sizeof(f->at[0]));
  if (f == NULL) return NULL;
  f->next = next;
  f->n = n;
  for (size_t i = 0; i < n; i++) {
    const obs_prefilter_literal *l = &literals[i];
    f->at[i] = (struct literal){l->text, strlen(l->text), i, l->hook, 0, l->fold};
  }
  if (!make_groups(f)) {
    free(f);
    return NULL;
  }
  fill_tables(f);
  return f;
}

void obs_prefilter_close(obs_prefilter *f) {
  free(f);
}

size_t obs_prefilter_next(const obs_prefilter *f, const char *p, size_t at, size_t n) {
  return f->next(f, p, at, n);
}

bool obs_prefilter_literal_at(const obs_prefilter *f, const char *p, size_t n, size_t from, size_t candidate, size_t *i,
                              size_t *literal, size_t *at) {
  unsigned groups = groups_at(f, p + candidate);
  while (*i < f->n) {
    const struct literal *l = &f->at[*i];
    unsigned rest = groups >> l->group;
    if (rest == 0) return false;
    if ((rest & 1) == 0) {
      *i = f->first[l->group + (unsigned)__builtin_ctz(rest)];
      continue;
    }
    ++*i;
    if (candidate < from + l->hook || n - (candidate - l->hook) < l->len) continue;
    const char *q = p + candidate - l->hook;
    size_t k = 0;
    while (k < l->len && fits((uint8_t)l->text[k], l->fold, (uint8_t)q[k])) k++;
    if (k < l->len) continue;
    *literal = l->index;
    *at = candidate - l->hook;
    return true;
  }
  return false;
}
