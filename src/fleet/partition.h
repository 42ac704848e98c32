/* One partition of a fleet's ops, folded: what all edges published to it, each op once.
 *
 * In:  the stream's messages of this partition (fleet/batch.h), in the stream's order.
 * Out: totals, failures by kind and the newest ops, as bytes: WHOLE is a checkpoint, one atomic unit with the marks and
 *   the stream sequence up to which it holds; VIEW is the part that merge.h reads.
 * Once: of each edge the seq of its last row is kept (its mark); rows up to it are duplicates. A batch that begins
 *   behind the mark shows a hole: nothing of it is taken, and the edge is to publish again from the mark on. A retry
 *   through another edge is found by its source and op_id, within the last `dedupe` ones. So every row received is
 *   folded, a duplicate, or rejected (no op); what a hole hid is received when it comes again.
 * Numbers: an op's seq is its place in the stream (base/fleet_seq.h).
 * Times: receipt is the edge's, but never ahead of `now_ms`; what else goes by it: state.h, clusters.h.
 * Memory: with the defaults usually 2 to 4 MB (tests/bench), at worst 45: 20 of totals, 17 of clusters, 4 of runs of
 *   failures, 2 of op_ids, and 4096 edges.
 * Threads: any; one lock, held for one message or one save. What of the fold `now_ms` decides, the clock of who folds
 *   decides. */
#ifndef OBS_FLEET_PARTITION_H
#define OBS_FLEET_PARTITION_H

#include "base/hex.h"
#include "cluster/clusters.h"
#include "fleet/batch.h"
#include "state/state.h"

enum {
  OBS_PARTITION_EDGES = 4096,
  OBS_PARTITION_CLUSTERS_MAX = 65536,
  OBS_PARTITION_NAMES_MAX = 65536,
  OBS_PARTITION_DEDUPE_MAX = 1 << 24
};

typedef struct obs_partition obs_partition;

typedef struct {
  uint32_t p, partitions;
  uint64_t stream_id;          /* of the stream that is folded */
  uint32_t clusters, quiet;    /* clusters.h; 0: 500, and the default */
  uint32_t endpoints, sources; /* state.h; 0: 1000, 100 */
  uint32_t newest;             /* ops that /stats is about; 0: 2000 */
  uint32_t dedupe;             /* op_ids; 0: 32752 */
} obs_partition_opts;

/* INVALID: a number is beyond what the formats can hold. */
observer_err obs_partition_open(const obs_partition_opts *opts, obs_partition **out);
/* NULL is allowed. */
void obs_partition_close(obs_partition *p);

/* FOLDED: rows were taken (some may be duplicates or rejected). DUPLICATE: all of them had come before. HOLE: `edge` is
 * to publish again what is behind `after`, at least as far as `until`. POISON: it is no batch of this partition,
 * `reason` says why; it is to be put aside. BEHIND: the stream's message was taken before. With all of these the
 * message is done. REFUSED: it cannot be taken (`reason`: memory, or too many edges) and is to be given again; what of
 * it was taken stays taken. */
typedef enum {
  OBS_PARTITION_FOLDED,
  OBS_PARTITION_DUPLICATE,
  OBS_PARTITION_HOLE,
  OBS_PARTITION_POISON,
  OBS_PARTITION_BEHIND,
  OBS_PARTITION_REFUSED
} obs_partition_outcome;

typedef struct {
  obs_partition_outcome kind;
  uint64_t edge, after, until;          /* of HOLE */
  uint32_t folded, duplicate, rejected; /* rows */
  char reason[OBS_FLEET_REASON_MAX];    /* of POISON and REFUSED, and of the last rejected row; "": none */
} obs_partition_result;

/* One message of the stream. `now_ms`: the wall clock. */
void obs_partition_fold(obs_partition *p, uint64_t stream_seq, const void *data, size_t len, int64_t now_ms,
                        obs_partition_result *out);
/* A cycle is over (clusters.h); returns how many clusters it resolved. */
uint32_t obs_partition_cycle(obs_partition *p, int64_t now_ms);

typedef struct {
  uint64_t folded, duplicate, rejected; /* rows, ever */
  uint64_t holes, poison;               /* messages, ever */
  uint64_t stream_seq, bytes;           /* up to where it has folded; of all messages that were not BEHIND */
  uint32_t edges;
} obs_partition_counts;
void obs_partition_get_counts(obs_partition *p, obs_partition_counts *out);
uint64_t obs_partition_stream_seq(obs_partition *p);
uint64_t obs_partition_stream_id(const obs_partition *p);
/* The last seq of an edge that was taken; 0: none. */
uint64_t obs_partition_mark(obs_partition *p, uint64_t edge);

typedef enum { OBS_PARTITION_VIEW, OBS_PARTITION_WHOLE } obs_partition_form;
/* Appends. */
observer_err obs_partition_save(obs_partition *p, obs_partition_form form, obs_buf *out);
/* What WHOLE was saved of a partition of the same number and stream; before any fold. CORRUPT, or INVALID when it is
 * another partition's or another stream's, with the reason; the partition is as it was. */
observer_err obs_partition_load(obs_partition *p, const void *data, size_t len, int64_t now_ms,
                                char reason[OBS_FLEET_REASON_MAX]);

/* ---- the bytes, for who reads them (merge.h) ---- */

typedef struct {
  obs_partition_form form;
  obs_partition_opts opts; /* that it was saved with */
  obs_partition_counts counts;
  obs_str state, clusters, newest, dedupe, marks; /* views of the bytes; the latter two of WHOLE alone */
} obs_partition_saved;
/* Its frame: magic, version, checksum, lengths. Parts are read by their modules. */
bool obs_partition_read(const void *data, size_t len, obs_partition_saved *out, char reason[OBS_FLEET_REASON_MAX]);
/* The state and the clusters of such parts, to be closed by the caller, and its newest ops, into an empty one. CORRUPT.
 */
observer_err obs_partition_read_views(const obs_partition_saved *x, int64_t now_ms, obs_state **state,
                                      obs_clusters **clusters, obs_newest *newest);
/* Why that, or a load, failed, in words. */
const char *obs_partition_flaw(observer_err err);

#endif
