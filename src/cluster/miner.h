/* The miner: gives each message the cluster of messages of its kind, online.
 *
 * A message is read (reading.h) and masked (mask.h); the tokens that are left are its form. A form seen before names
 * its cluster: that is the fast way, one look-up. A new one is compared with the clusters whose signs stand in the same
 * places (alike.h): it is a case of one of them, or it shows with others that words in some places vary, so that they
 * become one, or it is a cluster of its own. So `session opened for user cyrus by (uid=0)` and the same for two others
 * end in `session opened for user <*> by (uid=<*>)`, and `state is up`, `state is down` never do.
 *
 * Ids: a cluster's id is a hash of its template, with the rules' version in the seed, and of nothing else: the same
 *   text gets the same id on every machine and after every restart. When clusters become one, the id is that of the
 *   joined template, whichever of them came first, and the ids of the narrower ones are told to `merged`.
 * Memory: bounded by `clusters` and `forms`; the least recently seen go first.
 * Threads: one at a time. */
#ifndef OBS_CLUSTER_MINER_H
#define OBS_CLUSTER_MINER_H

#include "base/pack.h"
#include "cluster/mask.h"

#include <observer/error.h>

/* Of the rules of reading, masking and joining: what they make of a text, and so its id, is only that of one version.
 * The bytes of obs_miner_save are too. */
enum { OBS_MINER_VERSION = 2 };

typedef struct obs_miner obs_miner;

typedef struct {
  uint32_t clusters; /* at most; default 4096 */
  uint32_t forms;    /* at most; default 4 a cluster */
  /* What had the id `from` is of the kind `to` now; during an add. `to` may be new. NULL: not wanted. */
  void (*merged)(void *arg, uint64_t to, uint64_t from);
  void *merged_arg;
  bool shared; /* its bytes also say where a template's words stand, which obs_miner_merge needs */
} obs_miner_opts;

observer_err obs_miner_open(const obs_miner_opts *opts, obs_miner **out);
void obs_miner_close(obs_miner *m);

enum { OBS_MINER_NONE = UINT32_MAX };

/* A slot of the table and its tenant: a cluster that went to make room leaves its slot to another. */
typedef struct {
  uint32_t slot, tenant;
} obs_miner_ref;

/* The cluster of a message. `slot` is NONE when there is no memory. */
obs_miner_ref obs_miner_add(obs_miner *m, obs_str message);
/* The slot it would have, NONE when it would be a new cluster. Learns nothing. */
uint32_t obs_miner_peek(obs_miner *m, obs_str message);
/* Where that cluster is now: its slot, that of the cluster it was merged into, or NONE when it has gone. */
uint32_t obs_miner_find(const obs_miner *m, obs_miner_ref ref);
/* Of a slot that find gave. The template is good until the next add. */
uint64_t obs_miner_id(const obs_miner *m, uint32_t slot);
obs_str obs_miner_template(const obs_miner *m, uint32_t slot);

/* Learns what `from` has learned, as if it had seen a message of each of its kinds, the one that came longest ago
 * first; so kinds that `from` and `m` saw parts of become one. `placed` is told where each kind of `from` is here.
 * `from` has learned all by itself, or from bytes that are shared. False: no memory, and some are missing. */
bool obs_miner_merge(obs_miner *m, const obs_miner *from, void (*placed)(void *arg, uint64_t id, obs_miner_ref at),
                     void *arg);

/* All that was learned, as bytes, so that what comes next is clustered as it would have been; and back into a miner
 * that has learned nothing, of the same bounds. False: the bytes are not of such a miner; close it then. */
void obs_miner_save(const obs_miner *m, obs_buf *out);
bool obs_miner_load(obs_miner *m, obs_pack_reader *in);

#endif
