/* Facts: the last ops as columns, for whoever asks what failures have in common.
 *
 * In:  recorded ops in journal order, from the one commit thread (and from replay, before that thread starts).
 * Out: a copy of the window (obs_facts_view), taken by one reader at a time.
 * Locks: one mutex. The writer holds it for a batch; the reader for COPY_ROWS rows or one field's names at a time, so a
 *   snapshot never keeps the writer waiting for longer than that (about 20 us). Rows that leave the window meanwhile
 *   are missing from the copy, and names that nobody uses any more stay until it is done, so an id means the same in
 *   all of it.
 * Memory: 48 bytes an op, so 12.6 MB with the default, and the names: at most the numbers of OBS_FACT_FIELDS, each of
 *   at most OBS_FACT_NAME bytes, about 7 MB at the worst. A view takes as much again. A name is counted as (other) when
 *   its field is full; longer names that agree in their first OBS_FACT_NAME bytes are one. A name that left the window
 *   makes room for another. */
#ifndef OBS_DIAGNOSE_FACTS_H
#define OBS_DIAGNOSE_FACTS_H

#include "diagnose/error_kinds.h"
#include "op/batch.h"

#include <observer/error.h>

/* What an op may have in common with others: X(field of the op, most names, usual spread of its values' failure odds).
 * The spread is the standard deviation of the log odds that is expected before any data is seen. Where two values
 * always come together, the one that stands first here is named. */
#define OBS_FACT_FIELDS(X)                                                                                             \
  X(endpoint, 2048, 0.5)                                                                                               \
  X(task_class, 2048, 0.4)                                                                                             \
  X(staffer_id, 4096, 0.25)                                                                                            \
  X(source, 256, 0.4)                                                                                                  \
  X(event_kind, 512, 0.4)                                                                                              \
  X(role, 1024, 0.25)                                                                                                  \
  X(city, 4096, 0.25)                                                                                                  \
  X(state, 512, 0.25)                                                                                                  \
  X(sig_hash, 16384, 0.4)

typedef enum {
#define OBS_FACT_ENUM(name, max, spread) OBS_FACT_##name,
  OBS_FACT_FIELDS(OBS_FACT_ENUM)
#undef OBS_FACT_ENUM
      OBS_FACT_COUNT
} obs_fact_field;

extern const char *const obs_fact_names[OBS_FACT_COUNT];

enum {
  OBS_FACT_NAME = 128, /* bytes of a name */
  /* Ids of values; real names begin with NAMED. */
  OBS_FACT_ABSENT = 0,
  OBS_FACT_OTHER = 1,
  OBS_FACT_NAMED = 2,
  /* Flags of an op. */
  OBS_FACT_FAILED = 1,
  OBS_FACT_CORRECTION = 2, /* an overseer's correction, of its sig_hash and task_class */
  OBS_FACT_DEPLOY = 4,     /* its endpoint or event_kind speaks of a deploy, restart, configuration ... */
};

typedef struct obs_facts obs_facts;

typedef struct {
  uint32_t ops; /* kept; default 262144 */
} obs_facts_opts;

enum { OBS_FACTS_ROWS = 262144 };
#define OBS_FACTS_OPTS_DEFAULT ((obs_facts_opts){OBS_FACTS_ROWS})

observer_err obs_facts_open(const obs_facts_opts *opts, obs_facts **out);
void obs_facts_close(obs_facts *f);

/* Takes every op of `b` that is not marked duplicate; the first gets seq `first_seq`, the next one more, and so on.
 * `clusters`: the cluster of each op of the batch, by its place in b->ops, 0 for none; NULL: no op has one. An op
 * counts at its own timestamp, at `now_ms` when that lies in the future. */
void obs_facts_apply(obs_facts *f, const obs_batch *b, uint64_t first_seq, int64_t now_ms, const uint64_t *clusters);
/* Takes one op: replay. */
void obs_facts_apply_op(obs_facts *f, const obs_op *op, uint64_t seq, int64_t now_ms, uint64_t cluster);

/* A copy of the window, oldest op first. */
typedef struct {
  uint32_t n, cap;
  uint64_t *seq;
  int64_t *time_ms;
  uint32_t *ms; /* duration; what is longer than 49 days is cut */
  uint64_t *cluster;
  uint8_t *flags;
  uint8_t *kind; /* obs_error_kind of a failure, 0 otherwise */
  uint16_t *id[OBS_FACT_COUNT];
  uint32_t values[OBS_FACT_COUNT]; /* ids of a field are below this */
  obs_buf text;
  uint32_t *name_at[OBS_FACT_COUNT]; /* where the text of each id begins; values + 1 of them */
} obs_facts_view;

/* Copies the window into `view` (zeroed, or of an earlier call: its memory is used again). */
observer_err obs_facts_snapshot(obs_facts *f, obs_facts_view *view);
void obs_facts_view_fini(obs_facts_view *view);
obs_str obs_facts_view_name(const obs_facts_view *view, obs_fact_field field, uint16_t id);

#endif
