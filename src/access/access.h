/* Who may do what: the keys of the daemon's key file, which is read again when it changes; how often an address may be
 * wrong; the audit.
 *
 * In: the key file, and keys that peers give. Out: identities, audit.jsonl. Without a key file everything is open.
 * A file that cannot be read or is wrong stops the start; later on the last good set of keys holds, which is logged,
 * audited and shown.
 * Threads: any, but for what says main. Nothing but open, audit and tick waits for the disk. */
#ifndef OBS_ACCESS_ACCESS_H
#define OBS_ACCESS_ACCESS_H

#include "access/identity.h"

typedef struct obs_access obs_access;

typedef struct {
  const char *path;       /* the key file; NULL: everything is open */
  const char *audit_path; /* DATA_DIR/audit.jsonl; NULL: none (ephemeral) */
} obs_access_opts;

/* INVALID, NOTFOUND, IO: `error` says what is wrong with the file; NOMEM. */
observer_err obs_access_open(const obs_access_opts *opts, obs_access **out, char *error, size_t size);
/* Writes what the audit still has to. Identities may be released later. NULL is allowed. */
void obs_access_close(obs_access *a);
/* There is a key file. NULL: false. */
bool obs_access_enabled(const obs_access *a);

typedef enum {
  OBS_ACCESS_OK,
  OBS_ACCESS_NONE,   /* no key was given */
  OBS_ACCESS_WRONG,  /* unknown, wrong, expired, revoked: one answer for all */
  OBS_ACCESS_LIMITED /* wrong, and this address has been wrong too often */
} obs_access_result;

/* All scopes, any source: who asks where everything is open. */
obs_identity obs_access_everything(void);
/* Who gives this key; `text` len 0: nobody gave one. `peer`: obs_stream_peer's text, whose network (peer.h) may be
 * wrong 10 times, then once a second; a valid key always passes. Without a key file: OK and everything. *out is {0}
 * unless OK; release it. */
obs_access_result obs_access_key(obs_access *a, obs_str text, const char *peer, obs_identity *out);
/* What a listener's `;key=ID` names. WRONG: no such key, revoked or expired now. */
obs_access_result obs_access_listener(obs_access *a, const char *id, obs_identity *out);
/* One more holder of the same; after a copy. */
void obs_access_hold(obs_identity *i);
/* Becomes {0}. */
void obs_access_release(obs_identity *i);
/* Whether an identity of a longer connection still holds: its key is there, with the same secret, scopes and sources,
 * neither revoked nor expired. Cheap when nothing changed. Moves the identity to the newest set; one thread at a time
 * for one identity. Without a key: true. */
bool obs_access_still(obs_access *a, obs_identity *i);
/* Grows when other keys were read. NULL: 0. */
uint64_t obs_access_generation(const obs_access *a);

/* Why somebody is refused: what status says so. */
#define OBS_ACCESS_DENIAL_MAP(X)                                                                                       \
  X(NO_KEY, "no_key")       /* 401: no valid key */                                                                    \
  X(FORBIDDEN, "forbidden") /* 403, or none: it may not do that, or not speak as that source */                        \
  X(LIMITED, "limited")     /* 429: too many wrong keys */
typedef enum {
#define OBS_ACCESS_DENIAL_ENUM(name, text) OBS_ACCESS_DENIED_##name,
  OBS_ACCESS_DENIAL_MAP(OBS_ACCESS_DENIAL_ENUM)
#undef OBS_ACCESS_DENIAL_ENUM
      OBS_ACCESS_DENIALS
} obs_access_denial;
extern const char *const obs_access_denial_names[OBS_ACCESS_DENIALS];
/* `n` refusals, of messages or ops, for the audit. `key_id`: NULL or "": none that could be read (obs_key_text_parse
 * gives the id of a text that is one; never the text). `what`: the request, such as "GET /v1/observer/ops" or "pull
 * tcp://0.0.0.0:3801". `status`: HTTP's, 0: none. */
void obs_access_denied(obs_access *a, const char *peer, const char *key_id, const char *what, unsigned status,
                       uint32_t n);
/* What an admin did, such as "tls_reload". Written before it returns. `key_id`, `detail`: NULL: none. */
void obs_access_audit(obs_access *a, const char *what, const char *key_id, const char *detail);
/* Main, about once a second: reads the file again when it changed, or with `force`; writes refusals that are due. */
void obs_access_tick(obs_access *a, bool force);

typedef struct {
  uint64_t accepted, limited;           /* by obs_access_key */
  uint64_t denied;                      /* by obs_access_denied */
  uint64_t denials[OBS_ACCESS_DENIALS]; /* of them, those for each reason */
  uint64_t reloads, broken;             /* of the file; each broken state of it counts once */
  uint64_t audit_lost;                  /* rows */
  uint32_t keys;                        /* in the file, valid or not */
  bool stale;                           /* the file is broken: the last good set holds */
} obs_access_counts;
/* NULL: all 0. */
void obs_access_get_counts(obs_access *a, obs_access_counts *out);

#endif
