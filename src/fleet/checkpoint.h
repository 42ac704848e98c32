/* Checkpoints of a partition: its fold's bytes as of a message of the stream, on this machine's disk and in the bucket.
 *
 * On disk, in one directory for all partitions, `<p>-<stream seq, 20 digits>`, the last OBS_CHECKPOINT_KEPT of each:
 *   "OBSPCP1\n", u32 P, u32 p, u64 stream id, u64 stream seq, u64 tail, u64 length, that many bytes, XXH64 of all that;
 *   little-endian. Another version gets another magic.
 *
 * In the bucket, chunks `<p>.<id>.<k>` from 0; the value of the partition's lease says which id holds
 * (obs_lease_value), so that taking a partition over, writing a checkpoint and giving it up are one compare-and-set of
 * one key.
 *
 * A checkpoint belongs to one stream (`stream_id`) and to what that had at its seq (`tail`, a hash of the message):
 * servers that sync lazily can come back without their last messages, and give the same seqs to others.
 *
 * Threads: any, but one at a time for a partition. Memory: the caller's. Failure: a file that is broken is passed over
 * and logged; errors of the bucket are those of nats/jetstream.h. */
#ifndef OBS_FLEET_CHECKPOINT_H
#define OBS_FLEET_CHECKPOINT_H

#include "base/buf.h"
#include "nats/jetstream.h"

enum {
  OBS_CHECKPOINT_KEPT = 4,
  OBS_CHECKPOINT_CHUNK = 512 << 10,
  OBS_CHECKPOINT_MAX = 1 << 30,
  OBS_CHECKPOINT_ID = 40
};

/* What it is of. */
typedef struct {
  uint32_t partitions, p;
  uint64_t stream_id;  /* of the stream */
  uint64_t stream_seq; /* of the last message that is in it; 0: none is */
  uint64_t tail;       /* obs_checkpoint_tail of that message */
} obs_checkpoint_mark;

uint64_t obs_checkpoint_tail(const void *message, size_t len);

typedef enum { OBS_CHECKPOINT_SAME, OBS_CHECKPOINT_OTHER, OBS_CHECKPOINT_UNKNOWN } obs_checkpoint_agreement;
/* Whether the stream's message at that seq still is the one with that tail; 0 always is. One that the stream has
 * dropped with age says nothing against it. UNKNOWN: NATS does not answer. */
obs_checkpoint_agreement obs_checkpoint_agrees(obs_nats *nats, const char *stream, uint64_t seq, uint64_t tail);

/* ---- on disk ---- */

/* Replaces one of the same seq; older ones than the last few go. errno says what is wrong. */
observer_err obs_checkpoint_write(int dir_fd, const obs_checkpoint_mark *mark, const void *bytes, size_t len);
/* The newest one of this stream that is below stream seq `below`: `mark` has partitions, p and stream_id, and gets the
 * rest. NOTFOUND: there is none. */
observer_err obs_checkpoint_read(int dir_fd, uint64_t below, obs_checkpoint_mark *mark, obs_buf *bytes);
/* Removes those of the partition that are not below that seq. */
void obs_checkpoint_drop(int dir_fd, uint32_t p, uint64_t below);

/* ---- in the bucket ---- */

/* One that is there; id "": none. */
typedef struct {
  char id[OBS_CHECKPOINT_ID + 1];
  uint64_t bytes, stream_seq, tail, hash;
  uint64_t stream_id;
  int64_t made_ms;
  uint32_t chunks;
} obs_checkpoint_kept;

/* The value of a partition's lease. */
typedef struct {
  uint64_t worker, run;        /* run 0: nobody holds it */
  obs_checkpoint_kept last[2]; /* the newest first */
} obs_lease_value;

void obs_lease_value_write(const obs_lease_value *v, obs_buf *out);
/* False: it is none, or of a later version. */
bool obs_lease_value_read(const void *data, size_t len, obs_lease_value *out);

/* Writes the chunks; `out` is what the lease is to say of them. */
observer_err obs_checkpoint_put(obs_nats_kv *kv, const obs_checkpoint_mark *mark, const char *id, int64_t made_ms,
                                const void *bytes, size_t len, obs_checkpoint_kept *out, char *why);
/* CORRUPT: chunks are missing, or are not what was written. */
observer_err obs_checkpoint_get(obs_nats_kv *kv, uint32_t p, const obs_checkpoint_kept *kept, obs_buf *bytes,
                                char *why);
/* Removes its chunks, as far as that can be done. */
void obs_checkpoint_remove(obs_nats_kv *kv, uint32_t p, const obs_checkpoint_kept *kept);
/* Removes chunks of the partition that the lease does not know: of who died while it wrote them. */
void obs_checkpoint_sweep(obs_nats_kv *kv, uint32_t p, const obs_lease_value *value);

#endif
