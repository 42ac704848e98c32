/* Which forms are of one kind: what the miner compares, and when a word is taken for one that varies.
 *
 * Forms are compared when their signs are the same and stand in the same places. Where two differ, a word stands
 * against a word or a value. A value tells that words in its place vary too; words alone do when enough different ones
 * have stood there, the fewer the more words of the message stay the same, and one less where they are names that
 * somebody gave (get_weather). Several places may vary at once. Words that have an opposite, codes, labels and
 * exceptions never vary; words in capitals only where values were, and others behind a `=` only there or when four were
 * seen.
 *
 * Pure functions of their input: any thread, nothing is allocated. */
#ifndef OBS_CLUSTER_ALIKE_H
#define OBS_CLUSTER_ALIKE_H

#include "cluster/mask.h"

enum {
  OBS_ALIKE_WORD = 1,   /* no sign */
  OBS_ALIKE_VALUE = 2,  /* shown as <*> */
  OBS_ALIKE_FIXED = 4,  /* never varies */
  OBS_ALIKE_NAMED = 8,  /* behind `=` */
  OBS_ALIKE_NAME = 16,  /* an identifier */
  OBS_ALIKE_LABEL = 32, /* in capitals, or says what happened: varies where values were */
};

/* A token of a form. */
typedef struct {
  uint32_t hash;
  uint8_t is;
  uint16_t shown; /* in the template: 2 x its length, and 1 when no space stands before it */
} obs_alike_word;

typedef struct {
  uint32_t n;
  bool judged;
  obs_alike_word word[OBS_MASK_TOKENS];
} obs_alike_form;

/* Where two forms differ: places + 1, ascending, a byte each, the first one lowest; 0: nowhere. */
typedef uint64_t obs_alike_places;
enum { OBS_ALIKE_PLACES = 8 };

/* A form of which only words and values are told apart: enough for hash, shape, bits and is_case. */
void obs_alike_form_of(const obs_mask_token *tokens, size_t n, obs_alike_form *out);
/* And all else of it, which costs more than the rest of an op's clustering: only for forms that nothing knows. */
void obs_alike_judge(const obs_mask_token *tokens, obs_alike_form *f);
/* Of its words and their order; with the rules' version. */
uint64_t obs_alike_hash(const obs_alike_form *f);
uint64_t obs_alike_hash_tokens(const obs_mask_token *tokens, size_t n); /* without making the form */
/* Equal for forms that can be compared. */
uint64_t obs_alike_shape(const obs_alike_form *f);
/* A bit for each word that is no value, for a quick look whether two forms can be alike. */
uint64_t obs_alike_bits(const obs_alike_form *f);
/* How many of them may be missing in those of a form of the same kind. */
unsigned obs_alike_missing(uint64_t bits);
static inline bool obs_alike_may_be(uint64_t bits, uint64_t others, unsigned missing) {
  uint64_t gone = bits & ~others;
  for (; gone != 0 && missing > 0; missing--) gone &= gone - 1; /* the lowest bit */
  return gone == 0;
}

/* False: they are of different kinds, whatever else is seen. `other` has `f->n` words of the same shape. */
bool obs_alike_compare(const obs_alike_form *f, const obs_alike_word *other, obs_alike_places *out);
/* Whether `part` names places of `whole` only. */
bool obs_alike_within(obs_alike_places part, obs_alike_places whole);
/* Whether `f` and the `n` others, which differ from it in places of `d` only, show that these places vary. */
bool obs_alike_varies(const obs_alike_form *f, const obs_alike_word *const *others, size_t n, obs_alike_places d);
/* Makes these places values. */
void obs_alike_open(obs_alike_form *f, obs_alike_places d);
/* The tokens of a template whose words these are, as views of it: enough to make a wider template of. False: they are
 * not its words. */
bool obs_alike_tokens(obs_str template, const obs_alike_word *words, uint32_t n, obs_mask_token *out);
/* Whether `f` is `other`, or that with words where it has values. */
bool obs_alike_is_case(const obs_mask_token *tokens, const obs_alike_form *f, const obs_alike_word *other);

#endif
