/* Tasks that fail again and again: runs of failures without a success between, by sig_hash; an op that has none, by
 * session and endpoint; one that has neither is in no run.
 *
 * The older observers' rule "a sig_hash that failed 3 times" is a run of three here. A success of the same key ends the
 * run; a correction is no attempt, and a late op (op.h) says nothing of now: neither changes a run. With each key stay
 * the kinds that it failed with lately, also when its run has ended: a correction of a sig_hash is for them.
 *
 * Bounds: OBS_REPEATS keys. What failed once, or has ended, makes room before what failed again, the longest ago first,
 * so that a flood of tasks that fail once each displaces no task that is stuck; but OBS_REPEATS_ONCE of them stay, for
 * every run begins with one failure. An entry is 112 bytes and its texts, 512 at most. Not thread-safe. */
#ifndef OBS_CLUSTER_REPEATS_H
#define OBS_CLUSTER_REPEATS_H

#include "base/map.h"
#include "base/pack.h"
#include "cluster/clusters.h"

enum { OBS_REPEATS = 4096, OBS_REPEATS_ONCE = 1024 };

/* Its texts stand one behind the other. */
#define OBS_REPEATS_TEXT_MAP(X) X(sig_hash) X(session_id) X(endpoint) X(staffer_id)

#define OBS_REPEATS_TEXT_ENUM(field) OBS_REPEATS_##field,
enum { OBS_REPEATS_TEXT_MAP(OBS_REPEATS_TEXT_ENUM) OBS_REPEATS_TEXTS };
#undef OBS_REPEATS_TEXT_ENUM

typedef struct {
  uint64_t key;
  uint64_t failures; /* of the run; 0: it has ended */
  uint64_t first_seq, last_seq;
  int64_t first_ms, last_ms;
  uint64_t kinds[OBS_REPEAT_KINDS]; /* the latest first; 0: none */
  char *text;
  uint16_t cap, len[OBS_REPEATS_TEXTS]; /* len: 1 more than the text's, 0: none */
  uint32_t newer, older;                /* of its list; UINT32_MAX at the ends; of a free slot: newer is the next */
} obs_repeat_entry;

/* A list by last failure. */
typedef struct {
  uint32_t newest, oldest, n;
} obs_repeats_list;

typedef struct {
  obs_repeat_entry *all; /* OBS_REPEATS */
  obs_map places;
  obs_repeats_list once, again; /* once: runs of one failure or none */
  uint32_t used, free;
  uint64_t forgotten; /* runs of several failures that made room */
} obs_repeats;

/* False: no memory. */
bool obs_repeats_init(obs_repeats *r);
void obs_repeats_fini(obs_repeats *r);
void obs_repeats_clear(obs_repeats *r);
/* The key of an op; 0: it is of none. */
uint64_t obs_repeats_key(const obs_op *op);
/* The key of a sig_hash. */
uint64_t obs_repeats_sig_key(obs_str sig_hash);
void obs_repeats_fail(obs_repeats *r, const obs_op *op, uint64_t seq, uint64_t kind);
/* Whether a success of this op would end a run. */
bool obs_repeats_runs(const obs_repeats *r, const obs_op *op);
void obs_repeats_succeed(obs_repeats *r, const obs_op *op);
/* NULL: there is none. Of a key that failed, the run may have ended. */
const obs_repeat_entry *obs_repeats_find(const obs_repeats *r, uint64_t key);
/* A text of an entry; p NULL: none. */
obs_str obs_repeats_text(const obs_repeat_entry *e, int text);
/* Adds the runs of `from`, which is empty then. A key that both have: a run that goes on in both adds up; one that has
 * ended is over in both when its last failure is the later one. False: no memory for the order; all are there. */
bool obs_repeats_merge(obs_repeats *r, obs_repeats *from);
void obs_repeats_save(const obs_repeats *r, obs_buf *out);
/* Into an empty one; in->bad when the bytes are no repeats, or there is no memory. */
void obs_repeats_load(obs_repeats *r, obs_pack_reader *in);

#endif
