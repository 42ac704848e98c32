/* What has changed in the fleet: values that were seen for the first time, kinds of failure that are new, came back or
 * spread, corrections, edits of playbooks.
 *
 * In:  recorded ops: those with members of their own, as a follower of the commit stage (commit.h); those whose
 *   endpoint, source and staffer_id were not seen together lately, by obs_changes_note; names that were known before.
 * Out: pages of changes, the newest first.
 * Seen: for each kind (OBS_CHANGES_MAP) the hashes of at most OBS_CHANGES_VALUES values. Of more, one change says that
 *   there are more, and they are told no longer. Model, version and prompt_hash are members of `extra` or of the op.
 *   In the OBS_CHANGES_YOUNG_MS after the first op everything is new, and nothing is told; nor of a journal's rows
 * whose first it has not seen. Of one kind OBS_CHANGES_MINUTE values are told a minute; those beyond are one change
 * that counts them. The last OBS_CHANGES_KEPT stay. The rest is read when it is asked for from what clusters and
 * playbooks keep: of a cluster the latest of each kind. Restart: its part of the checkpoint has values and changes;
 * without it, it begins with the rows that the ring gets, and knows the names that it is told (obs_changes_know).
 * Memory: 128 KB to 256 KB a kind that has many values, 0.5 MB of changes, at worst 2 MB in all.
 * Threads: note, apply, apply_row, save, load on the commit thread (or before it starts); each on any. One mutex, held
 *   for a value or a look at 64 changes. */
#ifndef OBS_CHANGES_CHANGES_H
#define OBS_CHANGES_CHANGES_H

#include "base/page.h"
#include "cluster/clusters.h"
#include "learn/playbooks/playbooks.h"
#include "op/batch.h"

enum {
  OBS_CHANGES_VALUES = 16384, /* of a kind */
  OBS_CHANGES_KEPT = 1000,
  OBS_CHANGES_MINUTE = 20,
  OBS_CHANGES_YOUNG_MS = 600000,
  OBS_CHANGES_TEXT = 600, /* bytes of a sentence */
  OBS_CHANGES_ORDER = 80, /* of a walk */
  OBS_CHANGES_VERSION = 1 /* of the bytes that save makes (seen.c) */
};

/* What is looked at for values of the first time, and its name in a sentence. */
#define OBS_CHANGES_MAP(X)                                                                                             \
  X(ENDPOINT, "endpoint", "Endpoint", "endpoints")                                                                     \
  X(SOURCE, "source", "Source", "sources")                                                                             \
  X(STAFFER, "staffer_id", "Staffer", "staffers")                                                                      \
  X(MODEL, "model", "Model", "models")                                                                                 \
  X(VERSION, "version", "Version", "versions")                                                                         \
  X(PROMPT, "prompt_hash", "Prompt", "prompts")

typedef enum {
#define OBS_CHANGES_ENUM(name, member, one, many) OBS_CHANGES_OF_##name,
  OBS_CHANGES_MAP(OBS_CHANGES_ENUM)
#undef OBS_CHANGES_ENUM
      OBS_CHANGES_KINDS
} obs_changes_what;

typedef struct obs_changes obs_changes;

typedef struct {
  obs_clusters *clusters;   /* NULL: none are kept */
  obs_playbooks *playbooks; /* NULL: nothing is learned */
} obs_changes_opts;

observer_err obs_changes_open(const obs_changes_opts *opts, obs_changes **out);
/* NULL is allowed. */
void obs_changes_close(obs_changes *c);

/* An op whose endpoint, source or staffer_id may be new; `changes` is the obs_changes. Brief. */
void obs_changes_note(void *changes, const obs_op *op, uint64_t seq);
/* A value that was there before: it is never told as new. */
void obs_changes_know(obs_changes *c, obs_changes_what what, obs_str value);

/* The follower of the commit stage. */
void obs_changes_apply(void *changes, obs_batch *b, uint64_t first_seq, int64_t now_ms);
void obs_changes_apply_row(void *changes, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq,
                           int64_t now_ms);
observer_err obs_changes_save(void *changes, obs_buf *out);
/* Before any apply. CORRUPT leaves it empty. */
observer_err obs_changes_load(void *changes, const void *data, size_t len);

#define OBS_CHANGE_MAP(X)                                                                                              \
  X(CLUSTER_NEW, "cluster_new")                                                                                        \
  X(CLUSTER_REGRESSED, "cluster_regressed")                                                                            \
  X(CLUSTER_SPREAD, "cluster_spread")                                                                                  \
  X(CORRECTION, "correction")                                                                                          \
  X(PLAYBOOK_NEW, "playbook_new")                                                                                      \
  X(PLAYBOOK_EDITED, "playbook_edited")                                                                                \
  X(PLAYBOOK_RETIRED, "playbook_retired")                                                                              \
  X(FIRST_SEEN, "first_seen")

typedef enum {
#define OBS_CHANGE_ENUM(name, text) OBS_CHANGE_##name,
  OBS_CHANGE_MAP(OBS_CHANGE_ENUM)
#undef OBS_CHANGE_ENUM
      OBS_CHANGE_KINDS
} obs_change_kind;

extern const char *const obs_change_names[OBS_CHANGE_KINDS];

/* Texts live as long as the call. */
typedef struct {
  obs_change_kind kind;
  int64_t time_ms;
  const char *what;      /* a member of an op; NULL: of none */
  obs_str value;         /* its value, cut as obs_names_shown does; p NULL: none, or several */
  obs_str text;          /* a sentence */
  uint64_t cluster, seq; /* 0: none */
  uint64_t playbook;     /* 0: none */
} obs_change;

typedef struct {
  int64_t since_ms; /* INT64_MIN: any */
  obs_page page;    /* walked */
} obs_changes_filter;

/* Gives a page to `fn`, under no lock, until it returns false, which says that it has not taken that one. */
observer_err obs_changes_each(obs_changes *c, const obs_changes_filter *f, int64_t now_ms,
                              bool (*fn)(void *arg, const obs_change *x), void *arg, obs_page_end *end);

#endif
