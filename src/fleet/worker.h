/* A worker: leases partitions of the fleet's ops, folds what the stream has of them, and answers for them.
 *
 * The truth of a partition is its last checkpoint, which names the stream's message up to which it holds: what was
 * folded behind it and lost with its worker is folded again by the next one, so each op counts once. Nothing is
 * acknowledged to the server. Checkpoints go to this machine's disk (DIR/partitions) each 10 s or 8 MB of messages, and
 * to the bucket each 60 s or 64 MB, and when a partition is given up. Who takes one over begins with the newest of
 * both that the stream agrees with: its message at that seq must still be the same. Where the stream has gone back
 * (servers that sync lazily, killed together), a worker does the same, and counts a rewind.
 *
 * What stands in NATS, beside the stream OBSERVER_OPS (batch.h):
 *   OBSERVER_FLEET        partitions: how many; stream: when the stream was made, so that one that was deleted and made
 *                         anew is noticed: then nothing is folded until somebody accepts it
 *   OBSERVER_LEASES       p.<n>: obs_lease_value; w.<id>: a worker's heartbeat (lease.h)
 *   OBSERVER_CHECKPOINTS  chunks (checkpoint.h)
 *   observer.sum          who asks gets a view of each partition (query.h)
 *   observer.again.<edge> an edge is to publish again: {"p": 7, "after": 123}
 *   observer.dead.<why>   messages that could not be read, in the stream OBSERVER_DEAD
 *
 * Threads: `obs:lease` (the buckets), `obs:fold` (one for each partition held), `obs:pull` (shared_pull.h), and
 *   `obs:sum` (answers). All functions from any thread; open, changed and close from the one that owns it.
 * Memory: what partitions held need (partition.h), and 32 MB of messages (shared_pull.h), or 4 MB a partition that
 * reads by itself. Failure: the server may be away, now or later; nothing is lost. */
#ifndef OBS_FLEET_WORKER_H
#define OBS_FLEET_WORKER_H

#include "base/json.h"
#include "fleet/edge.h"
#include "fleet/partition.h"
#include "nats/jetstream.h"

#define OBS_FLEET_LEASES "OBSERVER_LEASES"
#define OBS_FLEET_CHECKPOINTS "OBSERVER_CHECKPOINTS"
#define OBS_FLEET_SUM "observer.sum"
enum { OBS_FLEET_PART = 512 << 10 /* bytes of a message of an answer */ };

typedef struct obs_fleet_worker obs_fleet_worker;

typedef struct {
  obs_nats *nats;  /* outlives it */
  const char *dir; /* the data directory, which is locked: `worker` is made in it, and `partitions` */
  uint32_t partitions, replicas;
  uint32_t cycle_ms, quiet; /* clusters.h */
  bool accept_new_stream;   /* the stream that is there now is the fleet's from now on */
  bool leads;               /* it leads the fleet when its turn comes (leader.h) */
} obs_fleet_worker_opts;

/* DENIED, NET: the servers do not have it now. */
observer_err obs_fleet_worker_open(const obs_fleet_worker_opts *opts, obs_fleet_worker **out, char *error, size_t size);
/* The connection was lost, or is there again. Any thread; brief. */
void obs_fleet_worker_changed(obs_fleet_worker *w, bool connected);
/* Gives everything up, with a last checkpoint. NULL is allowed. */
void obs_fleet_worker_close(obs_fleet_worker *w);

typedef struct {
  uint32_t workers, held, rebuilding;   /* workers alive; partitions */
  uint32_t unheld;                      /* partitions that nobody who is alive holds, as this worker sees it */
  uint64_t taken, given, lost;          /* partitions, since the start */
  uint64_t messages, bytes;             /* folded */
  uint64_t folded, duplicate, rejected; /* rows */
  uint64_t holes, poison, rewinds;
  uint64_t local_checkpoints, checkpoints, failed_checkpoints;
  uint64_t pending; /* messages of the partitions held that wait in the stream, as last known */
  uint64_t lag_ms;  /* for how long the last folded message of the partition that lags most has been stored, by the
                       server's clock; 0: none waits */
} obs_fleet_worker_counts;
void obs_fleet_worker_get_counts(obs_fleet_worker *w, obs_fleet_worker_counts *out);
/* Whether it leads the fleet now (lease.h). Any thread; brief. */
bool obs_fleet_worker_leads(obs_fleet_worker *w);
/* Whether another process of that run is alive, as far as this worker knows. */
bool obs_fleet_worker_is_run_alive(obs_fleet_worker *w, uint64_t run);
/* Who it is, and this process. */
uint64_t obs_fleet_worker_id(const obs_fleet_worker *w);
uint64_t obs_fleet_worker_run(const obs_fleet_worker *w);
/* Whether it would: told with the next heartbeat. */
void obs_fleet_worker_set_leads(obs_fleet_worker *w, bool leads);
/* Why it does not fold; false: it does, or waits for its share. */
bool obs_fleet_worker_is_hindered(obs_fleet_worker *w, char *why, size_t size);

#endif
