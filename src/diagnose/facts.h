/* Facts: the last ops as columns, for whoever asks what failures have in common.
 *
 * In:  recorded ops in journal order, from the one commit thread (and from replay, before that thread starts).
 * Out: a copy of the window (obs_facts_view), taken by one reader at a time, in the order of event time.
 * Locks: one mutex. The writer holds it for a batch; the reader for COPY_ROWS rows or one field's names at a time, so a
 *   snapshot never keeps the writer waiting for longer than that (about 20 us). Rows that leave the window meanwhile
 *   are missing from the copy, and names that nobody uses any more stay until it is done, so an id means the same in
 *   all of it.
 * Memory: 62 bytes an op, and 2 for each column of OBS_FACT_MORE that is in use, so 16.3 MB with the default, and 35 MB
 *   when ops have 32 members of their own; and the names: at most the numbers of OBS_FACT_FIELDS and
 *   OBS_FACT_MORE_NAMES for each column more, each of at most OBS_FACT_NAME bytes, about 9 MB at the worst, and 4 MB.
 *   A view takes as much again.
 * Names: one is counted as (other) when its field is full (of a producer's own member, rare values then make room for
 *   those of failures); longer names that agree in their first OBS_FACT_NAME bytes are one. A name that left the window
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
  X(sig_hash, 16384, 0.4)                                                                                              \
  X(session_id, 16384, 0.4)                                                                                            \
  X(cycle_id, 4096, 0.4)

typedef enum {
#define OBS_FACT_ENUM(name, max, spread) OBS_FACT_##name,
  OBS_FACT_FIELDS(OBS_FACT_ENUM)
#undef OBS_FACT_ENUM
      OBS_FACT_COUNT
} obs_fact_field;

extern const char *const obs_fact_names[OBS_FACT_COUNT];

/* Columns more: members of the op that are no text, in this order, and then the commonest members that this version
 * does not know and scalar members of `extra`. */
typedef enum {
  OBS_FACT_MORE_rescue_attempted,
  OBS_FACT_MORE_rescue_succeeded,
  OBS_FACT_MORE_count,
  OBS_FACT_MORE_turns,
  OBS_FACT_MORE_input_length, /* bytes of input_summary */
  OBS_FACT_MORE_OWN           /* members of the producers' own, from here on */
} obs_fact_more;

enum {
  OBS_FACT_OWN = 32, /* columns of producers' own members: the commonest */
  OBS_FACT_MORE = OBS_FACT_MORE_OWN + OBS_FACT_OWN,
  OBS_FACT_MORE_NAMES = 1024, /* of one such column */
  OBS_FACT_KEY = 58,          /* bytes of such a member's name; longer ones have no column */
  OBS_FACT_NAME = 128,        /* bytes of a name */
  /* Ids of values; real names begin with NAMED. */
  OBS_FACT_ABSENT = 0,
  OBS_FACT_OTHER = 1, /* not known: there was no room */
  OBS_FACT_NAMED = 2,
  OBS_FACT_FALSE = 2,
  OBS_FACT_TRUE = 3,
  /* Flags of an op. */
  OBS_FACT_FAILED = 1,
  OBS_FACT_CORRECTION = 2, /* an overseer's correction, of its sig_hash and task_class */
  OBS_FACT_DEPLOY = 4,     /* its endpoint or event_kind speaks of a deploy, restart, configuration ... */
  OBS_FACT_LATE = 8,       /* it came long after it happened: obs_op.late */
  OBS_FACT_AGAIN = 16,     /* its input says that it is not the first try: obs_tries_of */
  /* Bit of a task and of a chain: the sig_hash says which task it is; else the input, which tasks may share. */
  OBS_FACT_HASHED = 1,
};

/* Numbers as ids: in the same order, whole numbers below 1024 each with its own, others to 1 in 512. */
uint16_t obs_facts_code(double number);
/* The least number of the id. */
double obs_facts_number(uint16_t code);

typedef struct obs_facts obs_facts;

typedef struct {
  uint32_t ops; /* kept; default 262144 */
} obs_facts_opts;

enum { OBS_FACTS_ROWS = 262144 };
#define OBS_FACTS_OPTS_DEFAULT ((obs_facts_opts){OBS_FACTS_ROWS})

observer_err obs_facts_open(const obs_facts_opts *opts, obs_facts **out);
void obs_facts_close(obs_facts *f);

/* Takes every op of `b` that is not marked duplicate; the first gets seq `first_seq`, the next one more, and so on.
 * `clusters`: the cluster of each op of the batch, by its place in b->ops, 0 for none; NULL: no op has one. */
void obs_facts_apply(obs_facts *f, const obs_batch *b, uint64_t first_seq, const uint64_t *clusters);
/* Takes one op: replay. `unknown`: its own, op->unknown_count of them; NULL: they are not looked at. */
void obs_facts_apply_op(obs_facts *f, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq, uint64_t cluster);

/* One column more. */
typedef struct {
  char name[OBS_FACT_KEY + sizeof "extra."]; /* as the op has it; of extra's members `extra.` and theirs */
  bool number;                               /* ids are obs_facts_code's; else names' */
  uint16_t *id;                              /* NULL: no op has it */
  uint32_t values;                           /* ids are below this */
  uint32_t *name_at;                         /* as obs_facts_view.name_at; NULL: of numbers */
} obs_facts_column;

/* A copy of the window, by event time, oldest op first. */
typedef struct {
  uint32_t n, cap;
  uint64_t *seq;
  int64_t *time_ms; /* event time */
  uint32_t *ms;     /* duration; what is longer than 49 days is cut */
  uint64_t *cluster;
  uint8_t *flags;
  uint8_t *kind;   /* obs_error_kind of a failure, 0 otherwise */
  uint32_t *task;  /* the same for ops of one sig_hash, else of one input but for the number of the try; 0: not known */
  uint32_t *chain; /* the same for ops of one agent and task at one endpoint, 0: not known */
  uint16_t *id[OBS_FACT_COUNT];
  obs_facts_column more[OBS_FACT_MORE];
  uint32_t values[OBS_FACT_COUNT]; /* ids of a field are below this */
  obs_buf text;
  uint32_t *name_at[OBS_FACT_COUNT]; /* where the text of each id begins; values + 1 of them */
} obs_facts_view;

/* Copies the window into `view` (zeroed, or of an earlier call: its memory is used again). */
observer_err obs_facts_snapshot(obs_facts *f, obs_facts_view *view);
void obs_facts_view_fini(obs_facts_view *view);
obs_str obs_facts_view_name(const obs_facts_view *view, obs_fact_field field, uint16_t id);
/* Of a column of names. */
obs_str obs_facts_column_name(const obs_facts_view *view, const obs_facts_column *column, uint16_t id);

#endif
