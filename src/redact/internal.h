/* The inside of redaction: a scan over a text, the rows of what begins a match, patterns. */
#ifndef OBS_REDACT_INTERNAL_H
#define OBS_REDACT_INTERNAL_H

#include "redact/prefilter.h"
#include "redact/redact.h"

#include <openssl/evp.h>
#include <stdatomic.h>

/* A text that is looked through. In a `raw` scan of a whole message nobody knows where its strings begin and end and
 * what is escaped: then a finder must say yes whenever it would say yes to a part of it. */
typedef struct {
  const char *p;
  size_t n;
  size_t from; /* a match begins here at the earliest: before it is the last one */
  bool raw;
} obs_redact_scan;

typedef struct {
  size_t at, end;
  uint8_t kind;
} obs_redact_match;

/* What a kind can be found by. `find` is asked where `literal` stands, at `at`. */
typedef struct obs_redact_row obs_redact_row;
struct obs_redact_row {
  const char *literal; /* bytes 1 and 2 stand for any digit and any byte (prefilter.h) */
  uint8_t hook;        /* which three bytes of it the prefilter looks for: they should be rare */
  bool fold;           /* letters of either case */
  bool all;            /* only with OBS_REDACT_ALL */
  uint8_t kind;
  bool (*find)(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out);
  /* Of find_key: the bytes that follow, and how many. */
  const char *also; /* besides letters and digits */
  uint16_t min, max;
  bool cut; /* fewer will do at the end of the text: it may have been cut there */
};

/* The rows of escapes, which may hide anything, of secrets and of personal data. */
extern const obs_redact_row obs_redact_escape_rows[], obs_redact_secret_rows[], obs_redact_personal_rows[];
extern const size_t obs_redact_escape_count, obs_redact_secret_count, obs_redact_personal_count;

/* Whether a string is all of a secret because of the name before it: the value of a header or a member. */
bool obs_redact_is_named(obs_str name, obs_str value, obs_redact_match *out);

static inline bool obs_redact_is_digit(char c) {
  return c >= '0' && c <= '9';
}
static inline bool obs_redact_is_alnum(char c) {
  return obs_redact_is_digit(c) || ((unsigned char)(c | 0x20) >= 'a' && (unsigned char)(c | 0x20) <= 'z');
}
/* Nothing of a word stands right before `at`. */
bool obs_redact_begins(const obs_redact_scan *s, size_t at);
/* How many bytes from `at` on are letters, digits or of `also`. */
size_t obs_redact_run(const obs_redact_scan *s, size_t at, const char *also);

/* ---- configured patterns ---- */

typedef struct obs_redact_pattern obs_redact_pattern;

/* `spec`: NAME=REGEX. */
observer_err obs_redact_pattern_open(const char *spec, obs_redact_pattern **out, char *error, size_t size);
void obs_redact_pattern_close(obs_redact_pattern *p);
const char *obs_redact_pattern_name(const obs_redact_pattern *p);
/* Three bytes or more that every match contains; NULL: none are known. */
const char *obs_redact_pattern_literal(const obs_redact_pattern *p);
/* The first match in p[from..n) that is not empty. False: none; *failed: it went beyond its limits. */
bool obs_redact_pattern_find(const obs_redact_pattern *p, const char *text, size_t n, size_t from, size_t *at,
                             size_t *end, bool *failed);

/* ---- the object ---- */

struct obs_redact {
  obs_redact_kinds kinds;
  obs_prefilter *prefilter;
  const obs_redact_row **rows; /* as the prefilter numbers them */
  size_t nrows;
  obs_redact_row literals[OBS_REDACT_PATTERNS_MAX]; /* of the patterns that have one */
  obs_redact_pattern *patterns[OBS_REDACT_PATTERNS_MAX];
  size_t npatterns;
  bool every; /* a pattern has no literal: every text is looked through */
  EVP_MD *sha256;
  uint8_t keys[OBS_REDACT_ALL_KINDS][OBS_REDACT_KEY_BYTES]; /* of the installation, for each kind */
  _Atomic uint64_t counts[OBS_REDACT_ALL_KINDS], failures;
};

/* The first place from `at` on, in a raw scan, where a match of some string may be found by what stands there; n: there
 * is none. */
size_t obs_redact_next_hit(const obs_redact *r, const char *p, size_t n, size_t at);

/* All matches of a text, from left to right. */
typedef struct {
  obs_redact *r;
  obs_redact_scan scan;
  obs_redact_match next[1 + OBS_REDACT_PATTERNS_MAX]; /* of the built-in kinds, and of each pattern; at n: none */
  bool whole;                                         /* the text goes as a whole: a pattern failed */
  bool begun;
} obs_redact_matches;

obs_redact_matches obs_redact_look(obs_redact *r, const char *p, size_t n);
bool obs_redact_next(obs_redact_matches *m, obs_redact_match *out);
size_t obs_redact_token_length(const obs_redact *r, uint8_t kind);
/* Writes the token of a match, counts it, and returns its length. */
size_t obs_redact_make_token(obs_redact *r, uint8_t kind, const char *p, size_t n, char out[OBS_REDACT_TOKEN_MAX]);

#endif
