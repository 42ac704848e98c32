/* Redaction: secrets and personal data in texts become tokens such as [EMAIL_7f3a9c0412de], before anything is
 * recorded, sent or logged.
 *
 * In:  texts and whole messages (JSON, msgpack), as they came from outside.
 * Out: the same with each match as its token: kind, and HMAC-SHA256 of kind and match under the key of the
 *   installation, cut to OBS_REDACT_HEX digits. One secret has one token everywhere, so what is counted and grouped by
 *   it stays what it was; without the key nobody can try out what it may have been. A token is never redacted again. 12
 *   digits, because tokens stand in op_ids: two secrets with one token would make one op of two. Of 10,000 addresses, 4
 *   digits would give some 700 the token of another one, 8 digits two of them with a probability of 1 %, 12 digits with
 *   2 in 10 million.
 * Speed: a prefilter (prefilter.h) looks for three bytes of each kind at once; what has none of them is clean.
 * Threads: any; nothing changes after open but the counts. What is found, and what is not: proto/redaction.md. */
#ifndef OBS_REDACT_REDACT_H
#define OBS_REDACT_REDACT_H

#include "base/buf.h"

#include <observer/error.h>

typedef struct obs_redact obs_redact;

typedef enum { OBS_REDACT_OFF, OBS_REDACT_SECRETS, OBS_REDACT_ALL } obs_redact_kinds;

/* The built-in kinds: how the token calls them, whether only `all` looks for them, and what they are. */
#define OBS_REDACT_BUILT_IN(X)                                                                                         \
  X(API_KEY, false, "keys of providers, known by how they begin")                                                      \
  X(AWS_SECRET, false, "secret keys of AWS behind their name")                                                         \
  X(JWT, false, "JSON Web Tokens")                                                                                     \
  X(AUTH, false, "credentials of Authorization and API key headers, Bearer and Basic")                                 \
  X(PRIVATE_KEY, false, "private keys as PEM, also a part of one")                                                     \
  X(URL_PASSWORD, false, "passwords before the host of a URL")                                                         \
  X(URL_SECRET, false, "values of secret parameters of a URL")                                                         \
  X(EMAIL, true, "e-mail addresses")                                                                                   \
  X(CARD, true, "card numbers")                                                                                        \
  X(PHONE, true, "phone numbers")

enum {
#define OBS_REDACT_ENUM(name, all, text) OBS_REDACT_##name,
  OBS_REDACT_BUILT_IN(OBS_REDACT_ENUM)
#undef OBS_REDACT_ENUM
      OBS_REDACT_KIND_COUNT
};

enum {
  OBS_REDACT_KEY_BYTES = 32,
  OBS_REDACT_HEX = 12,
  OBS_REDACT_PATTERNS_MAX = 32,
  OBS_REDACT_NAME_MAX = 32, /* of a pattern */
  OBS_REDACT_TOKEN_MAX = OBS_REDACT_NAME_MAX + OBS_REDACT_HEX + 3,
  OBS_REDACT_ALL_KINDS = OBS_REDACT_KIND_COUNT + OBS_REDACT_PATTERNS_MAX
};

/* `patterns`: `NAME=REGEX` each, looked for whatever `kinds` says. With OFF and no pattern *out is NULL, which all
 * functions take as "nothing is redacted". An error names the pattern and the place in it. */
observer_err obs_redact_open(obs_redact_kinds kinds, const char *const *patterns, size_t n,
                             const uint8_t key[OBS_REDACT_KEY_BYTES], obs_redact **out, char *error, size_t size);
void obs_redact_close(obs_redact *r);

/* The key of the installation in the file `name` of a directory, made at the first start, mode 0600: *made. `error`
 * says what is wrong with it: no file, another length, all zero, or others can read it. Does not block. */
observer_err obs_redact_read_key(int dir_fd, const char *name, uint8_t key[OBS_REDACT_KEY_BYTES], bool *made,
                                 char *error, size_t size);
/* A key for this process alone. */
observer_err obs_redact_make_key(uint8_t key[OBS_REDACT_KEY_BYTES]);

/* False: there is surely nothing to redact. Of a text, or of a whole message in any format. */
bool obs_redact_hits(const obs_redact *r, const char *p, size_t n);

/* Each of these appends the redacted form and returns true, or returns false, appending nothing, when it is the same as
 * what came in. Without memory: true, with out->oom. */

/* A text. */
bool obs_redact_text(obs_redact *r, obs_str text, obs_buf *out);

typedef enum { OBS_REDACT_JSON, OBS_REDACT_MSGPACK } obs_redact_format;

/* A message: one value or several, whole or broken. Strings and keys are redacted each for itself, in JSON without
 * their escapes; what is not well-formed is taken as text. The result is well-formed where the message was. A string of
 * up to `string_bytes` bytes does not become longer than that: tokens are cut there. */
bool obs_redact_message(obs_redact *r, obs_redact_format format, const void *p, size_t n, uint32_t string_bytes,
                        obs_buf *out);

/* Bytes that a format cannot be told of, with a topic before them, perhaps. */
bool obs_redact_bytes(obs_redact *r, const void *p, size_t n, obs_buf *out);
/* Bytes that can hold anything, since they are compressed or in UTF-16 or -32: who keeps bytes keeps none of these. */
bool obs_redact_is_opaque(const void *p, size_t n);

typedef struct {
  const char *name;
  uint64_t count; /* of matches since the start */
} obs_redact_count;

/* Returns how many kinds are on; `failures`: texts on which a pattern went beyond its limits, so that the whole text
 * became its token. */
size_t obs_redact_get_counts(const obs_redact *r, obs_redact_count out[OBS_REDACT_ALL_KINDS], uint64_t *failures);

#endif
