/* The ids that clusters had by an older rule: rows of analyses, playbooks and escalations, and people's notes, still
 * carry them. They are found in a replay of the whole journal, which is what a checkpoint of an older rule leads to.
 *
 * A rule from OBS_CLUSTERS_VERSION 2 on: its checkpoint says of each cluster, and of each id that led to one, which op
 * was the cluster's last; the id leads to the kind that this op is of now (obs_former_await).
 *
 * Version 1 (and any replay without a checkpoint, for nothing tells what wrote the rows): a cluster was a sig_hash, or
 * a text among the failures of one endpoint and event_kind; its id was a hash of that (former_rule.h). So the replay
 * computes each failure's former id and notes the kind that the failure is of now. Of a sig_hash that failed with
 * several kinds it is the first one, whose template the cluster had. Rows of forms that were joined later had the id of
 * the first: of each endpoint, event_kind and kind the first OBS_FORMER_FORMS forms are noted.
 *
 * Bounds: OBS_FORMER ids of sig_hashes and as many others, those that failed last; 0.4 MB each, once there are some.
 * Not thread-safe. */
#ifndef OBS_CLUSTER_FORMER_H
#define OBS_CLUSTER_FORMER_H

#include "base/vec.h"
#include "cluster/aliases.h"
#include "op/op.h"

enum { OBS_FORMER = 8192, OBS_FORMER_FORMS = 4, OBS_FORMER_SCOPES = 65536 };

typedef struct {
  uint64_t seq, id;
} obs_former_awaited;

/* Zeroed: none. */
typedef struct {
  obs_aliases by_sig, by_text; /* by_text: all others */
  /* While replaying. */
  obs_map forms; /* how many of a scope and kind, by a hash of both */
  OBS_VEC(obs_former_awaited) awaited;
  uint32_t next; /* of them; those before it have come */
} obs_former;

void obs_former_fini(obs_former *f);
/* Before the replay: the op `seq` was of the cluster `id`. At most OBS_FORMER. */
void obs_former_await(obs_former *f, uint64_t seq, uint64_t id);
/* All of them were told. */
void obs_former_await_end(obs_former *f);
/* A failure that is replayed is of this kind; seqs ascend. */
void obs_former_note(obs_former *f, const obs_op *op, uint64_t seq, uint64_t kind);
/* Nothing more will be noted: frees what that needs. */
void obs_former_end(obs_former *f);
/* False: it is no such id, *kind is as it was. */
bool obs_former_get(const obs_former *f, uint64_t id, uint64_t *kind);
/* The kind `was` is `is` now. */
void obs_former_retarget(obs_former *f, uint64_t was, uint64_t is);
void obs_former_save(const obs_former *f, obs_buf *out);
/* Into one that has none; in->bad when the bytes are none, or there is no memory. */
void obs_former_load(obs_former *f, obs_pack_reader *in);

#endif
