#include "cluster/alike.h"

#include "cluster/miner.h"
#include "cluster/traits.h"
#include "cluster/words.h"

/* WORDS: places where two words stand against each other, at most. LEAST: words that tell a case of what is known to
 * vary.
 */
enum { WORDS = 4, DISTINCT_MAX = 4, LEAST = 4 };
enum { VALUE_SHOWN = 3 }; /* <*> */

static bool is_text(const obs_mask_token *t, const char *text) {
  return !t->value && t->len == strlen(text) && memcmp(t->p, text, t->len) == 0;
}

/* `jq: command not found`: what stands before the colon is what is missing. */
static bool is_missing(const obs_mask_token *t, size_t n) {
  enum { MOST = 5 };
  return n >= 4 && n <= MOST && is_text(&t[n - 2], "not") && is_text(&t[n - 1], "found");
}

/* `getTasks: ...`: where it was said. */
static bool is_place(const obs_mask_token *t, size_t n, size_t i) {
  return i == 0 && n > 1 && t[1].sign == ':' && t[1].glued && memchr(t->p, '.', t->len) == NULL && !is_missing(t, n);
}

static uint8_t kind_of(const obs_mask_token *t, size_t n, size_t i) {
  unsigned is = 0;
  if (t[i].word) is |= OBS_ALIKE_WORD;
  if (t[i].value) return (uint8_t)(is | OBS_ALIKE_VALUE);
  if (!t[i].word) return (uint8_t)is;
  if (t[i].fixed || obs_trait_has_opposite(&t[i])) is |= OBS_ALIKE_FIXED;
  if (obs_trait_is_label(&t[i]) || obs_trait_is_said(&t[i]) || is_place(t, n, i)) is |= OBS_ALIKE_LABEL;
  if (i > 0 && t[i - 1].sign == '=') {
    bool state = i > 1 && t[i - 2].word && !t[i - 2].value && obs_word_names_state(&t[i - 2]);
    is |= state ? OBS_ALIKE_FIXED : OBS_ALIKE_NAMED;
  }
  if (obs_trait_is_name(&t[i], i > 0 ? &t[i - 1] : NULL)) is |= OBS_ALIKE_NAME;
  return (uint8_t)is;
}

void obs_alike_form_of(const obs_mask_token *tokens, size_t n, obs_alike_form *out) {
  out->n = (uint32_t)n;
  out->judged = false;
  for (size_t i = 0; i < n; i++) {
    unsigned is = (tokens[i].word ? OBS_ALIKE_WORD : 0u) | (tokens[i].value ? OBS_ALIKE_VALUE : 0u);
    unsigned len = tokens[i].value ? VALUE_SHOWN : tokens[i].len;
    out->word[i] = (obs_alike_word){tokens[i].hash, (uint8_t)is, (uint16_t)(len << 1 | tokens[i].glued)};
  }
}

void obs_alike_judge(const obs_mask_token *tokens, obs_alike_form *f) {
  for (uint32_t i = 0; i < f->n; i++) f->word[i].is = kind_of(tokens, f->n, i);
  f->judged = true;
}

static uint64_t mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9FB21C651E98DF25u;
  return h ^ (h >> 29);
}

static uint64_t hash_first(size_t n) {
  return mix(OBS_MINER_VERSION + 0x9E3779B97F4A7C15u, n);
}

uint64_t obs_alike_hash(const obs_alike_form *f) {
  uint64_t h = hash_first(f->n);
  for (uint32_t i = 0; i < f->n; i++) h = mix(h, f->word[i].hash);
  return h;
}

uint64_t obs_alike_hash_tokens(const obs_mask_token *tokens, size_t n) {
  uint64_t h = hash_first(n);
  for (size_t i = 0; i < n; i++) h = mix(h, tokens[i].hash);
  return h;
}

uint64_t obs_alike_shape(const obs_alike_form *f) {
  uint64_t h = f->n;
  for (uint32_t i = 0; i < f->n; i++) h = mix(h, (f->word[i].is & OBS_ALIKE_WORD) != 0 ? 1 : f->word[i].hash);
  return h;
}

static bool is_constant(const obs_alike_word *w) {
  return (w->is & (OBS_ALIKE_WORD | OBS_ALIKE_VALUE)) == OBS_ALIKE_WORD;
}

uint64_t obs_alike_bits(const obs_alike_form *f) {
  uint64_t bits = 0;
  for (uint32_t i = 0; i < f->n; i++) {
    if (is_constant(&f->word[i])) bits |= 1ull << (f->word[i].hash >> 26);
  }
  return bits;
}

/* Constants are at least twice the places that differ, less one (enough_constants), two thirds of the words or nearly;
 * of a case with LEAST of them half. */
unsigned obs_alike_missing(uint64_t bits) {
  unsigned words = (unsigned)__builtin_popcountll(bits);
  return words < LEAST + 3 ? (words + 3) / 3 : (words + 1) / 2;
}

/* Whether words that differ like this leave it open that the messages are of one kind. */
static bool may_differ(const obs_alike_word *a, const obs_alike_word *b) {
  if (((a->is | b->is) & OBS_ALIKE_FIXED) != 0 || (a->is & OBS_ALIKE_WORD) == 0) return false;
  return ((a->is | b->is) & OBS_ALIKE_VALUE) != 0 || ((a->is | b->is) & OBS_ALIKE_LABEL) == 0;
}

bool obs_alike_compare(const obs_alike_form *f, const obs_alike_word *other, obs_alike_places *out) {
  unsigned places = 0, words = 0;
  *out = 0;
  for (uint32_t i = 0; i < f->n; i++) {
    if (f->word[i].hash == other[i].hash) continue;
    if (!may_differ(&f->word[i], &other[i]) || places == OBS_ALIKE_PLACES) return false;
    words += ((f->word[i].is | other[i].is) & OBS_ALIKE_VALUE) == 0;
    if (words > WORDS) return false;
    *out |= (uint64_t)(i + 1) << 8 * places++;
  }
  return true;
}

bool obs_alike_within(obs_alike_places part, obs_alike_places whole) {
  for (; part != 0; part >>= 8) {
    while ((whole & 255) != (part & 255)) {
      if (whole == 0) return false;
      whole >>= 8;
    }
  }
  return true;
}

static unsigned count_places(obs_alike_places d) {
  unsigned n = 0;
  for (; d != 0; d >>= 8) n++;
  return n;
}

static bool is_in(obs_alike_places d, uint32_t i) {
  for (; d != 0; d >>= 8) {
    if ((d & 255) == i + 1) return true;
  }
  return false;
}

/* Words of `f` that are the same in all that differ from it in `d` only. */
static unsigned count_constants(const obs_alike_form *f, obs_alike_places d) {
  unsigned n = 0;
  for (uint32_t i = 0; i < f->n; i++) n += is_constant(&f->word[i]) && !is_in(d, i);
  return n;
}

/* What stays the same must outweigh what differs, else any two short messages would be of one kind. */
static bool enough_constants(unsigned constants, unsigned places) {
  return constants >= 2 && constants + 1 >= 2 * places;
}

/* How many different words in one place make it vary when `places` do at once; 0: no number of them. `all` and `any` of
 * them have. */
static unsigned words_needed(unsigned constants, unsigned places, uint8_t all, uint8_t any) {
  bool names = (all & OBS_ALIKE_NAME) != 0;
  if ((any & OBS_ALIKE_NAMED) != 0) return constants >= 3 + 2 * places ? 4 : 0;
  if (names && constants >= 3 + places) return 2;
  if (names && constants >= 2 + places) return 3;
  if (constants >= 12 + 2 * places) return 2; /* a long message, but for a word */
  if (constants >= 3 + places) return 3;
  return constants >= 2 + places ? 4 : 0;
}

/* Whether the words that stood in place `i` show that it varies. */
static bool place_varies(const obs_alike_form *f, const obs_alike_word *const *others, size_t n, uint32_t i,
                         unsigned constants, unsigned places) {
  uint32_t seen[DISTINCT_MAX] = {f->word[i].hash};
  unsigned distinct = 1;
  uint8_t all = f->word[i].is, any = all;
  if ((f->word[i].is & OBS_ALIKE_VALUE) != 0) return true;
  for (size_t k = 0; k < n; k++) {
    if ((others[k][i].is & OBS_ALIKE_VALUE) != 0) return true;
    all &= others[k][i].is;
    any |= others[k][i].is;
    bool known = false;
    for (unsigned s = 0; s < distinct; s++) known = known || seen[s] == others[k][i].hash;
    if (!known && distinct < DISTINCT_MAX) seen[distinct++] = others[k][i].hash;
  }
  unsigned needed = words_needed(constants, places, all, any);
  return needed > 0 && distinct >= needed;
}

bool obs_alike_varies(const obs_alike_form *f, const obs_alike_word *const *others, size_t n, obs_alike_places d) {
  unsigned places = count_places(d), constants = count_constants(f, d);
  if (!enough_constants(constants, places)) return false;
  for (obs_alike_places rest = d; rest != 0; rest >>= 8) {
    if (!place_varies(f, others, n, (uint32_t)(rest & 255) - 1, constants, places)) return false;
  }
  return true;
}

bool obs_alike_is_case(const obs_mask_token *tokens, const obs_alike_form *f, const obs_alike_word *other) {
  unsigned places = 0, constants = 0;
  for (uint32_t i = 0; i < f->n; i++) {
    if (f->word[i].hash == other[i].hash) {
      constants += is_constant(&f->word[i]);
      continue;
    }
    if ((other[i].is & OBS_ALIKE_VALUE) == 0 || ++places > OBS_ALIKE_PLACES) return false;
    obs_alike_word w = {f->word[i].hash, f->judged ? f->word[i].is : kind_of(tokens, f->n, i), 0};
    if (!may_differ(&w, &other[i])) return false;
  }
  return places == 0 || enough_constants(constants, places) || (constants >= LEAST && constants + 1 >= places);
}

void obs_alike_open(obs_alike_form *f, obs_alike_places d) {
  for (; d != 0; d >>= 8) {
    obs_alike_word *w = &f->word[(d & 255) - 1];
    w->hash = 1; /* of values (mask.c) */
    w->is = OBS_ALIKE_WORD | OBS_ALIKE_VALUE;
    w->shown = (uint16_t)(VALUE_SHOWN << 1 | (w->shown & 1));
  }
}

bool obs_alike_tokens(obs_str template, const obs_alike_word *words, uint32_t n, obs_mask_token *out) {
  size_t at = 0;
  for (uint32_t i = 0; i < n; i++) {
    bool glued = (words[i].shown & 1) != 0, value = (words[i].is & OBS_ALIKE_VALUE) != 0;
    size_t len = words[i].shown >> 1;
    at += i > 0 && !glued;
    if (at > template.len || len > template.len - at || len == 0) return false;
    out[i] = (obs_mask_token){.p = template.p + at,
                              .len = (uint16_t)len,
                              .value = value,
                              .word = (words[i].is & OBS_ALIKE_WORD) != 0,
                              .glued = glued,
                              .hash = words[i].hash};
    at += len;
  }
  return at == template.len;
}
