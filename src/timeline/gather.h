/* Gathering the ops of one key: from the journal through its index, or from the ring where there is no journal.
 *
 * Memory: OBS_GATHER_OPS ops of 250 bytes, and OBS_GATHER_TEXT of texts, of which each is kept once. Threads: each
 * gathering belongs to one thread. Blocks on the disk; takes the clusters' lock for a look at each kind of failure. */
#ifndef OBS_TIMELINE_GATHER_H
#define OBS_TIMELINE_GATHER_H

#include "base/json_search.h"
#include "base/map.h"
#include "base/vec.h"
#include "cluster/clusters.h"
#include "op/arena.h"
#include "state/state.h"
#include "timeline/keys.h"

enum {
  OBS_GATHER_OPS = 20000,
  OBS_GATHER_TEXT = 8 << 20,
  OBS_GATHER_BYTES = 64 << 20, /* of the journal, that one gathering reads */
  OBS_GATHER_CUT = 200,        /* bytes of an error, of a correction's text */
  OBS_GATHER_SUBJECTS = 32     /* sig_hashes and task classes whose corrections are looked for */
};

/* An op, or what is told about ops. */
typedef enum { OBS_GATHER_A_OP, OBS_GATHER_A_CORRECTION, OBS_GATHER_A_CHANGE } obs_gather_kind;

/* Texts live as long as the gathering; equal ones have the same p. p NULL: it has none. */
typedef struct {
  uint64_t seq;
  obs_gather_kind kind;
  bool success, late;
  int64_t start_ms, end_ms; /* of the event: it ends at its timestamp */
  int64_t duration_ms;
  obs_str endpoint, source, staffer_id, session_id, task_class, event_kind, sig_hash, model;
  obs_str error;    /* of a failure */
  obs_str text;     /* of a correction or a change */
  uint64_t task;    /* a hash of what was asked: of the sig_hash, else of the input without the number of the try */
  uint64_t failure; /* which kind of failure: its cluster, else a hash of its text; 0: it succeeded */
  uint64_t cluster; /* 0: none */
} obs_gather_item;

typedef struct {
  obs_journal *journal; /* NULL: there is none, the ring is all */
  obs_state *state;
  obs_clusters *clusters; /* NULL: none are kept */
  obs_batch *scratch;
  obs_timeline_field field;
  obs_str value;
  bool oldest_first;              /* which are left out when there are too many */
  uint64_t from_seq, through_seq; /* both included; through 0: the newest */
  int64_t since_ms, until_ms;     /* event time, both included */
  uint32_t most;                  /* ops; 0: OBS_GATHER_OPS */
} obs_gather_opts;

typedef struct {
  OBS_VEC(obs_gather_item) ops; /* by the end of their event */
  uint64_t matched;             /* ops, gathered or not */
  bool more;                    /* not all were looked at: */
  uint64_t next_seq;            /* from here on up or (this one not included) down */

  obs_arena texts;
  obs_map places; /* of a text's hash in `kept` */
  OBS_VEC(obs_str) kept;
  obs_map kinds; /* of a failure's text in `clusters` */
  OBS_VEC(uint64_t) clusters;
} obs_gather_result;

/* Starts as {0}; fini in either case. With `oldest_first` it ends at the op that is one too many; else all are counted
 * that can be read, and those gathered are the newest. NOMEM, IO. */
observer_err obs_gather(const obs_gather_opts *o, obs_gather_result *out);
/* The text, kept once; p NULL, and *no_memory, where there is none for it. */
obs_str obs_gather_keep(obs_gather_result *g, obs_str text, bool *no_memory);
void obs_gather_fini(obs_gather_result *g);

#endif
