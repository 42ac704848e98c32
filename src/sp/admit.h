/* Who the peers of an endpoint are, and what is done about those who may not do what they try.
 *
 * In:  the listener that a peer came by; the key file as it is now; a key that the peer sent.
 *   A listener names a key (`;key=ID`), or its peers have shown a user or a certificate, or need not show
 *   anything: then they may record and read.
 * Out: the peer's identity, which follows the key file within a moment; denials in the log, once a listener
 *   and minute with how many there were, and in the audit.
 * Threads: a guest belongs to the callbacks of its connection. The rest may be called by any thread.
 * Nothing here waits. */
#ifndef OBS_SP_ADMIT_H
#define OBS_SP_ADMIT_H

#include "access/access.h"
#include "base/log.h"
#include "stream/stream.h"

/* A listener. */
typedef struct {
  char what[OBS_ADDRESS_MAX + 8]; /* "pull tcp://127.0.0.1:3801" */
  char key[OBS_ADDRESS_KEY_MAX + 1];
  _Atomic uint64_t denied;  /* messages and connections */
  obs_log_site site;        /* each tells for itself */
  _Atomic uint64_t told_at; /* monotonic ms; 0: never */
} obs_sp_door;

/* All listeners of an endpoint, by their number (obs_stream_listener_number). */
typedef struct {
  obs_access *access; /* NULL, or without a key file: everybody may do all */
  const char *name;   /* in logs */
  obs_sp_door *doors;
  uint32_t ndoors;
} obs_sp_doors;

/* A connection's peer. Zeroed at first. */
typedef struct {
  obs_identity identity;
  uint64_t generation; /* of the key file when it was last looked up */
  bool known;          /* it was looked up */
  bool own;            /* by a key that the peer sent */
} obs_sp_guest;

/* Before anything is accepted, in the order of listening. False: no memory. */
bool obs_sp_doors_add(obs_sp_doors *d, const obs_address *a, const char *bound);
void obs_sp_doors_fini(obs_sp_doors *d);

/* Who the peer is now; it has no scopes while it is nobody. Good until the next call for the guest. */
const obs_identity *obs_sp_guest_identity(obs_sp_guest *g, const obs_sp_doors *d, const obs_stream *s);
/* The peer sent a key: from now on it is who that belongs to, or, when it is wrong, who it was before. A denial is told
 * already. OK also where there is no key file: then it is nobody's. */
obs_access_result obs_sp_guest_identify(obs_sp_guest *g, const obs_sp_doors *d, const obs_stream *s, obs_str text);
void obs_sp_guest_fini(obs_sp_guest *g);

/* Whether a listener's peers have one of these scopes now, by the key that it names. */
bool obs_sp_door_admits(const obs_sp_doors *d, uint32_t door, unsigned scopes);

/* Why somebody may not do what needs one of these scopes. */
enum { OBS_SP_WHY_MAX = 96 };
void obs_sp_why_not(const obs_identity *who, unsigned needs, char out[OBS_SP_WHY_MAX]);
/* `n` messages, or a connection, were refused by this listener: with a status as HTTP has it. `key_id`: of who tried;
 * "": not known. */
void obs_sp_denied(const obs_sp_doors *d, const obs_stream *s, const char *key_id, unsigned status, const char *why,
                   uint32_t n);

#endif
