/* The edge: forwards what is recorded here to the fleet's stream in NATS.
 *
 * The journal is its spool: an op is acknowledged when it is there, and a thread of its own reads it from the first row
 * that is not known to be in the stream, and publishes the rows in batches (batch.h), one under way for each partition.
 * So nothing is written twice, what is in the stream is what was acknowledged, and NATS may be away for as long as the
 * spool has room; then nothing more is taken (opts.full).
 *
 * What is in the stream is asked of the stream: at each connection it is looked up which of this edge's batches is the
 * last of each partition. What was lost there, because the servers lost unsynced messages or the stream was made anew,
 * is published again, as far as the journal has it; so is what a worker asks for (observer.again.<edge>). Readers skip
 * what they know, by the seqs.
 *
 * Files in the data directory: `edge` (who it is, made once) and `forward` (how far it is; it may be old or lost, which
 * costs reading). A journal that begins anew makes another edge: its seqs are other ops'.
 * Threads: obs:forward; obs_edge_recorded from the commit thread, which never waits; counts from any.
 * Memory: for each partition a batch under way, and three that wait or grow. */
#ifndef OBS_FLEET_EDGE_H
#define OBS_FLEET_EDGE_H

#include "fleet/acks.h"
#include "journal/journal.h"
#include "nats/jetstream.h"

#define OBS_FLEET_BUCKET "OBSERVER_FLEET" /* key `partitions`: how many the fleet has */

typedef struct obs_edge obs_edge;

typedef struct {
  obs_journal *journal; /* replayed */
  const char *dir;      /* the data directory */
  obs_nats_opts nats;   /* its texts outlive it; `changed` is its own */
  uint32_t replicas;    /* of what it makes in NATS */
  uint64_t spool_bytes; /* of rows that are not in the stream yet; when there are more, nothing is taken */
  uint64_t linger_ms;   /* rows are kept for so long although they are in the stream */
  obs_acks *acks; /* answers that wait for the stream, which then gets rows as soon as they are recorded; NULL: none */
  /* There is no room in the spool, `why` says so, perhaps again with other words; NULL: there is. From obs:forward, and
   * from obs_edge_open. */
  void (*full)(void *arg, const char *why);
  void *arg;
} obs_edge_opts;

/* Connects, or goes on trying; nothing is published yet. `error` says what is wrong with a file or an option. */
observer_err obs_edge_open(const obs_edge_opts *opts, obs_edge **out, char *error, size_t size);
observer_err obs_edge_start(obs_edge *e);
/* Rows were recorded. */
void obs_edge_recorded(obs_edge *e);
/* Publishes what the journal has, for at most `ms`; then writes how far it is. */
void obs_edge_stop(obs_edge *e, uint32_t ms);
void obs_edge_close(obs_edge *e);

typedef struct {
  uint32_t connected;                            /* 1: it is */
  uint64_t ops, batches, bytes;                  /* that the stream has acknowledged; bytes of messages */
  uint64_t republished;                          /* ops that were in the stream before, or may have been */
  uint64_t errors;                               /* batches that were refused or not answered */
  uint64_t too_large;                            /* ops that the server takes in no message */
  uint64_t spool_ops, spool_bytes, spool_age_ms; /* not in the stream yet; of the oldest */
  uint64_t spool_full;                           /* times that there was no room */
  uint64_t spool_max;                            /* bytes that it may have */
  uint64_t seq, forwarded_seq;                   /* recorded last; everything up to it is in the stream */
  uint64_t away_ms;                              /* for how long NATS has been away; 0: it is there */
} obs_edge_counts;
void obs_edge_get_counts(obs_edge *e, obs_edge_counts *out);
uint64_t obs_edge_id(const obs_edge *e);

#endif
