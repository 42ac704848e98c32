/* Kinds of records: what a map of a message can be besides an op. One row a kind; observerd puts the table together and
 * gives it to commit, which the sources ask for it (obs_commit_kinds).
 *
 * A map is a record of the kind whose `schema` it carries, or of the kind whose topic the message came under; any other
 * map is an op. */
#ifndef OBS_OP_RECORD_H
#define OBS_OP_RECORD_H

#include "op/op.h"

#include <observer/error.h>

struct obs_journal_group;

/* Where the rows of a kind go. Commit thread. */
typedef struct {
  /* Appends rows (at most 65,536) and syncs. duplicate[i] is set for a row that was there before, which is not
   * appended. `ops`: the rows of ops that are recorded with them or not at all (obs_journal_group_begin); NULL: none.
   * Then comes commit or rollback; until then the rows and both arrays stay where they are. After a failure there is
   * nothing to roll back. */
  observer_err (*append)(void *sink, const obs_str *rows, uint32_t n, bool *duplicate,
                         const struct obs_journal_group *ops);
  void (*commit)(void *sink);
  void (*rollback)(void *sink);
  /* After a failure: whether the disk takes as many bytes as could not be written. */
  observer_err (*probe)(void *sink, uint64_t bytes);
  /* Now and then: whether the rows still stand where a start will look for them. */
  observer_err (*check)(void *sink);
  const char *(*error)(const void *sink); /* why the last append, probe or check failed, with the path */
} obs_record_sink;

typedef struct {
  const char *name;   /* in reasons: `session: must be a map` */
  const char *schema; /* the text of its member `schema` */
  const char *topic;  /* on the bus: every map behind it is one */
  /* Makes the row (with its newline) of one record given as JSON text of one whole object and appends it to `row`.
   * False: `reason` names the field and what is wrong, and `row` is as it was. Any thread. */
  bool (*normalise)(obs_str json, const obs_op_limits *limits, int64_t now_ms, obs_buf *row, char *reason, size_t size);
  const obs_record_sink *write;
  void *sink;
} obs_record_kind;

enum { OBS_RECORD_KINDS = 4 };

typedef struct {
  obs_record_kind at[OBS_RECORD_KINDS];
  uint32_t n;
} obs_record_kinds;

/* The row of that name; NULL: none. */
static inline const obs_record_kind *obs_record_kind_named(const obs_record_kinds *kinds, const char *name) {
  for (uint32_t i = 0; i < kinds->n; i++) {
    if (strcmp(kinds->at[i].name, name) == 0) return &kinds->at[i];
  }
  return NULL;
}

#endif
