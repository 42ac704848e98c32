/* The keys of a key file: who may do what, speaking for which sources, until when (proto/access.md has the form).
 *
 * Reading is strict, since a word that is passed over is a limit that does not hold: unknown members are refused unless
 * they begin with `x_`, and so are members that come twice and lists that are empty. Pure functions; a read set does
 * not change. */
#ifndef OBS_ACCESS_KEYS_H
#define OBS_ACCESS_KEYS_H

#include "access/key_text.h"
#include "access/scope.h"
#include "base/map.h"

#include <cjson/cJSON.h>
#include <observer/error.h>

enum {
  OBS_KEYS_VERSION = 1,
  OBS_KEYS_MAX = 10000,
  OBS_KEYS_SOURCES_MAX = 16, /* of a key */
  OBS_KEYS_NAME_MAX = 128,   /* bytes; of a name and of a source */
  OBS_KEYS_NOTE_MAX = 1024,
  OBS_KEYS_FILE_MAX = 32 << 20
};

/* The members of a key in the file: who reads it, who writes it, and what errors say, all have them from here. */
#define OBS_KEY_MEMBER_MAP(X)                                                                                          \
  X(ID, "id")                                                                                                          \
  X(NAME, "name")                                                                                                      \
  X(SCOPES, "scopes")                                                                                                  \
  X(SHA256, "sha256")                                                                                                  \
  X(SOURCES, "sources")                                                                                                \
  X(CREATED, "created")                                                                                                \
  X(EXPIRES, "expires")                                                                                                \
  X(REVOKED, "revoked")                                                                                                \
  X(NOTE, "note")

typedef enum {
#define OBS_KEY_MEMBER_ENUM(member, name) OBS_KEY_MEMBER_##member,
  OBS_KEY_MEMBER_MAP(OBS_KEY_MEMBER_ENUM)
#undef OBS_KEY_MEMBER_ENUM
      OBS_KEY_MEMBERS
} obs_key_member;

/* Their names, as in the file. */
extern const char *const obs_key_members[OBS_KEY_MEMBERS];

#define OBS_KEY_NEVER INT64_MAX

typedef struct obs_key {
  char id[OBS_KEY_ID_LEN + 1];
  obs_str name;
  obs_str note;    /* p NULL: none */
  unsigned scopes; /* with what admin implies */
  uint8_t hash[OBS_KEY_HASH_BYTES];
  const obs_str *sources; /* prefixes that it may speak as; */
  uint32_t nsources;      /* 0: any source */
  int64_t created_ms;     /* OBS_KEY_NEVER: the file does not say */
  int64_t expires_ms;     /* OBS_KEY_NEVER: it does not; from this moment on it is no key */
  int64_t revoked_ms;     /* OBS_KEY_NEVER: it is not; else it is, whatever the moment */
} obs_key;

/* Zeroed is an empty set. Views of its keys live as long as the set. */
typedef struct {
  cJSON *document; /* as read; what the views see */
  obs_key *at;     /* in the file's order */
  uint32_t n;
  obs_str *sources; /* of all keys */
  obs_map by_id;
} obs_keys;

/* Reads a file's text. INVALID: `error` says which key and what is wrong; NOMEM. Fini in either case. */
observer_err obs_keys_read(obs_str text, obs_keys *out, char *error, size_t size);
void obs_keys_fini(obs_keys *k);
/* Appends a document as a file's text, a key a line, with the members that only others know. */
void obs_keys_put(const cJSON *document, obs_buf *out);
/* NULL: there is none of that id. */
const obs_key *obs_keys_find(const obs_keys *k, const char *id);
/* The key whose text it is: its secret is compared in constant time, with that of no key where there is none of the id.
 * Not whether it is valid. NULL: none. */
const obs_key *obs_keys_match(const obs_keys *k, const obs_key_text *text);

typedef enum { OBS_KEY_VALID, OBS_KEY_EXPIRED, OBS_KEY_REVOKED } obs_key_state;
obs_key_state obs_key_state_at(const obs_key *k, int64_t wall_ms);
/* "valid", "expired", "revoked". */
const char *obs_key_state_name(obs_key_state s);
/* Whether it may speak as `source`. A prefix matches a source that equals it, or that begins with it and goes on in a
 * new word: the next character, or the prefix's last one, is no letter or digit. "mailer" is mailer, mailer-2 and
 * mailer:x, not mailers. A key that is bound to sources may not speak as none (len 0). */
bool obs_key_speaks_as(const obs_key *k, obs_str source);

#endif
