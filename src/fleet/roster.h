/* Who is in the fleet, and how each of them is: what edges and workers say of themselves in NATS, read when somebody
 * asks, as one picture.
 *
 * An edge writes `edge.<id>` into the bucket OBSERVER_FLEET every OBS_ROSTER_BEAT_MS, a worker `w.<id>` into
 * OBSERVER_LEASES (lease.h), where the partitions' leases stand too. How old such a word is, is the distance of two
 * times of the server that stored them: its own, and that of the newest word of anybody, so no two machines' clocks
 * are compared; it is too small by at most a beat. One that has not been heard for OBS_ROSTER_AWAY_MS is away, unless
 * it said that it stops; behind OBS_ROSTER_GONE_MS it is no part of the picture any more, and its key is removed.
 *
 * Threads: any; reading waits for the server (not for NNG's threads and the commit thread), a beat does not.
 * Memory: at most OBS_ROSTER_EDGES and OBS_ROSTER_WORKERS, the newest words first; `more_*` says how many others there
 *   are. Failure: `why` (OBS_NATS_WHY_MAX bytes, may be NULL), errors of nats/jetstream.h. */
#ifndef OBS_FLEET_ROSTER_H
#define OBS_FLEET_ROSTER_H

#include "base/json.h"
#include "nats/jetstream.h"

enum {
  OBS_ROSTER_BEAT_MS = 10000,
  OBS_ROSTER_AWAY_MS = 35000,
  OBS_ROSTER_GONE_MS = 24 * 3600 * 1000,
  OBS_ROSTER_EDGES = 1024,
  OBS_ROSTER_WORKERS = 1024,
  OBS_ROSTER_NAME = 64,    /* bytes of a name, with the NUL */
  OBS_ROSTER_VERSION = 32, /* likewise */
  OBS_ROSTER_LAGS = 256    /* partitions of a worker's beat */
};

/* ---- what one says of itself ---- */

/* The machine's name, at most OBS_ROSTER_NAME. */
void obs_roster_own_name(char name[OBS_ROSTER_NAME]);

typedef struct {
  uint64_t id;
  char name[OBS_ROSTER_NAME], version[OBS_ROSTER_VERSION];
  int64_t started_ms;              /* of its own clock, since the epoch: for its start to be told from another */
  uint64_t seq, forwarded_seq;     /* recorded last; everything up to it is in the stream */
  uint64_t spool_ops, spool_bytes; /* not in the stream yet */
  uint64_t spool_max, spool_age_ms, linger_ms;
  uint64_t outages, outage_ms; /* how often NATS has been away since its start, and for how long the last time */
  bool stopped;                /* it has ended, on purpose */

  /* Of who reads. */
  int64_t age_ms; /* since it was heard */
  bool away;
} obs_roster_edge;

/* Sends it; whether it came is not waited for: the next one comes soon. */
void obs_roster_beat(obs_nats *nats, const obs_roster_edge *edge);

typedef struct {
  uint64_t id, run;
  char name[OBS_ROSTER_NAME], version[OBS_ROSTER_VERSION];
  int64_t started_ms;
  uint32_t rebuilding; /* partitions */
  uint64_t pending;    /* messages of its partitions that wait in the stream */
  int64_t at_ms; /* while some wait: when the last folded message of the partition that lags most was stored, by the
                    server's clock; 0: none waits */
  bool takes, stopped;

  /* Of who reads. */
  uint32_t held;
  int64_t age_ms, behind_ms; /* how far its partition that lags most is behind; 0: it does not */
  bool away;
} obs_roster_worker;

typedef struct {
  uint32_t p, rebuilding; /* 1: it is */
  uint64_t pending;
} obs_roster_lag;

/* The members of a worker's heartbeat behind those of the lease machine. */
void obs_roster_put_worker(const obs_roster_worker *worker, const obs_roster_lag *lags, uint32_t nlags,
                           obs_json_writer *w);

/* ---- the picture ---- */

typedef struct {
  uint64_t run;            /* 0: nobody has it */
  uint32_t worker;         /* its place in `workers`; UINT32_MAX: nobody that is alive holds it */
  uint64_t checkpoint_seq; /* message of the stream up to which its last checkpoint in NATS goes; 0: there is none */
  int64_t checkpoint_age_ms;
  uint64_t pending;
  bool rebuilding;
} obs_roster_partition;

typedef struct {
  obs_roster_edge *edges; /* by name */
  uint32_t nedges, more_edges;
  obs_roster_worker *workers; /* by name */
  uint32_t nworkers, more_workers;
  obs_roster_partition *partitions;
  uint32_t npartitions;
  uint32_t missing; /* partitions that nobody holds */

  bool has_leader;
  uint64_t leader; /* the worker that leads */
  int64_t leader_age_ms;

  bool has_stream;
  obs_nats_stream stream;
} obs_roster;

/* Only the edges: those whose answers can be expected are the ones that are neither away nor stopped. */
observer_err obs_roster_read_edges(obs_nats *nats, obs_roster *out, char *why);
/* All of it. A bucket or a stream that is not there yet leaves its part empty. */
observer_err obs_roster_read(obs_nats *nats, uint32_t partitions, obs_roster *out, char *why);
/* Also of one that failed to be read. */
void obs_roster_fini(obs_roster *r);

#endif
