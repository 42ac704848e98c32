/* The inside of redaction: a scan over a text, the rows of what begins a match, patterns. */
#ifndef OBS_REDACT_INTERNAL_H
#define OBS_REDACT_INTERNAL_H

#include "redact/prefilter.h"
#include "redact/redact.h"

#include <openssl/evp.h>
#include <stdatomic.h>

/* Kinds of runs: what a part of a secret consists of. X(name, letters and digits besides these, or all but these) */
#define OBS_REDACT_RUNS(X)                                                                                             \
  X(PLAIN, "", false)                                                                                                  \
  X(UNDERSCORE, "_", false)                                                                                            \
  X(HYPHEN, "-", false)                                                                                                \
  X(WORD, "-_", false)                                                                                                 \
  X(DOTTED, "-_.", false)                                                                                              \
  X(BASE64, "+/=", false)                                                                                              \
  X(BASE64_WORD, "+/=_", false)                                                                                        \
  X(HOOK, "/_", false)                                                                                                 \
  X(ACCOUNT_KEY, "+/=", false)                                                                                         \
  X(AWS_SECRET, "/+=", false)                                                                                          \
  X(JWT_HEADER, "-_", false)                                                                                           \
  X(JWT_PAYLOAD, "-_", false)                                                                                          \
  X(JWT_MORE, "-_", false)                                                                                             \
  X(CREDENTIAL, "-._~+/=:|", false)                                                                                    \
  X(BASIC, "+/=-_", false)                                                                                             \
  X(PEM_HEAD, "-:, ", false)                                                                                           \
  X(PEM_LINE, "+/=", false)                                                                                            \
  X(PERCENT, "-_.~%", false)                                                                                           \
  X(PARAMETER, "\"'<>`|^&;,)]}\\#", true)

typedef enum {
#define OBS_REDACT_RUN_ENUM(name, also, inverted) OBS_REDACT_RUN_##name,
  OBS_REDACT_RUNS(OBS_REDACT_RUN_ENUM)
#undef OBS_REDACT_RUN_ENUM
      OBS_REDACT_RUN_COUNT
} obs_redact_run_kind;

/* The run of each kind that was measured last. The places at which a kind is asked for only grow, but for the length of
 * a literal; so no byte is measured twice, however many literals stand in one run that is no secret after all. That is
 * what makes a look linear: two uses of the same bytes have a kind each, where the one runs ahead of the other. */
typedef struct {
  struct {
    size_t at, end;
  } runs[OBS_REDACT_RUN_COUNT];
  size_t no_sk_key; /* up to here `sk-` begins no key (find_sk_key) */
} obs_redact_memo;

/* A text that is looked through. In a `raw` scan of a whole message nobody knows where its strings begin and end and
 * what is escaped: then a finder must say yes whenever it would say yes to a part of it. */
typedef struct {
  const char *p;
  size_t n;
  size_t from; /* a match begins here at the earliest: before it is the last one */
  bool raw;
  bool loose; /* nobody knows what format it is in: a word may begin as in a raw scan */
  obs_redact_memo *memo;
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
  /* Of find_key: the bytes that follow, and how many at least. One that is longer than any is known to be is a secret
   * all the same. */
  obs_redact_run_kind run;
  uint16_t min;
  bool exact; /* it has just `min` bytes when a hyphen or an underscore stands behind them */
  bool cut;   /* fewer will do at the end of the text: it may have been cut there */
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
static inline bool obs_redact_is_hex(char c) {
  return obs_redact_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}
/* The letter or digit before `at` is the end of an escape, and so not of a word. */
bool obs_redact_ends_escape(const obs_redact_scan *s, size_t at);
/* Nothing of a word stands right before `at`. */
bool obs_redact_begins(const obs_redact_scan *s, size_t at);
/* How many bytes from `at` on are of that kind of run. */
size_t obs_redact_run(const obs_redact_scan *s, size_t at, obs_redact_run_kind kind);

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
  obs_redact_memo memo;
  obs_redact_match next[1 + OBS_REDACT_PATTERNS_MAX]; /* of the built-in kinds, and of each pattern; at n: none */
  bool whole;                                         /* the text goes as a whole: a pattern failed */
  bool begun;
} obs_redact_matches;

obs_redact_matches obs_redact_look(obs_redact *r, const char *p, size_t n);
bool obs_redact_next(obs_redact_matches *m, obs_redact_match *out);
size_t obs_redact_token_length(const obs_redact *r, uint8_t kind);
/* Writes the token of a match, counts it, and returns its length. 0: libcrypto has no memory. There is no other token
 * then: one that all secrets shared would make one op of two. */
size_t obs_redact_make_token(obs_redact *r, uint8_t kind, const char *p, size_t n, char out[OBS_REDACT_TOKEN_MAX]);

#endif
