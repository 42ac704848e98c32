/* The inside of the playbooks, shared by their own files: the store and its edits (playbooks.c), an entry as JSON
 * (playbooks_row.c), what the ring's successes say (playbooks_ring.c), the cycle (playbooks_cycle.c). */
#ifndef OBS_LEARN_PLAYBOOKS_INTERNAL_H
#define OBS_LEARN_PLAYBOOKS_INTERNAL_H

#include "jsonl/records.h"
#include "learn/playbooks/before_after.h"
#include "learn/playbooks/playbooks.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
  OBS_PLAYBOOK_NAME = OBS_FACT_NAME, /* bytes of an endpoint, a task class, a staffer */
  OBS_PLAYBOOK_SUMMARY = 200,        /* bytes of a summary that is kept */
  OBS_PLAYBOOK_RECENT = 3,
  OBS_PLAYBOOK_EVIDENCE = 5
};

/* What a row says of an entry. COUNTED is no edit: only the effect has gone on. */
#define OBS_PLAYBOOK_CHANGES(X)                                                                                        \
  X(CREATED, "created")                                                                                                \
  X(UPDATED, "updated")                                                                                                \
  X(RETIRED, "retired")                                                                                                \
  X(REVIVED, "revived")                                                                                                \
  X(COUNTED, "counted")

typedef enum {
#define OBS_PLAYBOOK_CHANGE_ENUM(name, text) OBS_PLAYBOOK_##name,
  OBS_PLAYBOOK_CHANGES(OBS_PLAYBOOK_CHANGE_ENUM)
#undef OBS_PLAYBOOK_CHANGE_ENUM
      OBS_PLAYBOOK_CHANGE_COUNT
} obs_playbook_change;

/* What an edit says anew: bits, by their names in the history. */
#define OBS_PLAYBOOK_FIELDS(X)                                                                                         \
  X(endpoint)                                                                                                          \
  X(task_class)                                                                                                        \
  X(text)                                                                                                              \
  X(pattern)                                                                                                           \
  X(successes)                                                                                                         \
  X(avg_ms)                                                                                                            \
  X(p95_ms)                                                                                                            \
  X(staffers)                                                                                                          \
  X(task_classes)                                                                                                      \
  X(evidence)                                                                                                          \
  X(effect)

enum {
#define OBS_PLAYBOOK_FIELD_ENUM(name) OBS_PLAYBOOK_FIELD_##name,
  OBS_PLAYBOOK_FIELDS(OBS_PLAYBOOK_FIELD_ENUM)
#undef OBS_PLAYBOOK_FIELD_ENUM
      OBS_PLAYBOOK_FIELD_COUNT
};
#define OBS_PLAYBOOK_BIT(name) (1u << OBS_PLAYBOOK_FIELD_##name)

typedef struct {
  uint32_t version;
  obs_playbook_change change;
  uint32_t fields;
  int64_t time_ms;
} obs_playbook_edit;

/* A value and how often it succeeded. */
typedef struct {
  char text[OBS_PLAYBOOK_NAME + 1];
  uint64_t count;
} obs_playbook_value;

typedef struct {
  uint32_t n;
  obs_playbook_value v[OBS_PLAYBOOK_VALUES]; /* the most frequent first */
} obs_playbook_values;

/* An entry: no pointers, so that an edit is made on a copy. Texts end with a NUL; empty: there is none. */
typedef struct {
  uint64_t id, number; /* number: of its last row */
  bool dont, retired;
  obs_playbook_edit history[OBS_PLAYBOOK_HISTORY]; /* oldest first; the last one is the last edit */
  uint32_t nhistory;
  char endpoint[OBS_PLAYBOOK_NAME + 1], task_class[OBS_PLAYBOOK_NAME + 1];
  char text[OBS_PLAYBOOK_TEXT + 1];
  uint64_t evidence[OBS_PLAYBOOK_EVIDENCE]; /* ascending */
  uint32_t nevidence;
  int64_t created_ms;
  uint64_t created_seq;
  obs_before_after effect;
  uint64_t written_seq; /* the effect's through_seq in its last row */
  uint64_t written_ops; /* and how many ops were counted */

  uint64_t cluster, analysis; /* of a don't */

  char pattern[OBS_PLAYBOOK_TEXT + 1]; /* from here on of a do */
  double pattern_share;
  char recent[OBS_PLAYBOOK_RECENT][OBS_PLAYBOOK_SUMMARY + 1];
  uint32_t nrecent;
  uint64_t successes;
  double avg_ms;
  uint64_t p50_ms, p95_ms;
  obs_playbook_values staffers, task_classes;
} obs_playbook;

struct obs_playbooks {
  obs_playbooks_opts opts;
  uint32_t every;        /* cycles of learning; of the loop, as the next one */
  uint64_t consolidated; /* how often it was due */
  obs_records *records;
  pthread_mutex_t lock; /* of the entries, for others than the learning thread, which alone changes them */
  bool lock_made;
  obs_playbook *entries[OBS_PLAYBOOK_ENTRIES]; /* in no order */
  uint32_t n;
  _Atomic uint64_t revision;
};

/* ---- playbooks.c ---- */

uint64_t obs_playbook_id(bool dont, obs_str endpoint, uint64_t cluster);
/* NULL: there is none. Learning thread. */
const obs_playbook *obs_playbooks_find(const obs_playbooks *p, uint64_t id);
/* Writes an edited copy of an entry (or a new one), then puts it in its place and tells of it. False: it could not be
 * written, all is as it was. Learning thread. */
bool obs_playbooks_edit(obs_playbooks *p, obs_playbook *edited, obs_playbook_change change, uint32_t fields,
                        int64_t now_ms);
/* Begins an entry's effect: `view` is before, counted from `from_seq`; what comes later is after. */
void obs_playbook_begin(obs_playbook *e, const obs_facts_view *view, uint64_t from_seq);
/* At most `max` bytes of a text, whole characters, without NUL; `to` holds max + 1. */
void obs_playbook_put(char *to, obs_str text, uint32_t max);

/* ---- playbooks_row.c ---- */

/* The last edit's. */
int64_t obs_playbook_edited(const obs_playbook *e);
/* Appends all members of an entry but its ids. */
void obs_playbook_members(const obs_playbook *e, obs_playbook_change change, obs_buf *out);
/* Reads a row. False: it is none, `*why` says so. */
bool obs_playbook_read(const cJSON *row, obs_playbook *e, const char **why);
extern const char *const obs_playbook_change_names[OBS_PLAYBOOK_CHANGE_COUNT];

/* ---- playbooks_ring.c ---- */

/* How often each value came. */
typedef struct {
  uint64_t hash, count;
  size_t at; /* in the ring's text */
  uint32_t len;
} obs_playbook_tally_value;

typedef struct {
  obs_playbook_tally_value *list; /* the most frequent first, when gathered */
  uint32_t n, cap;
} obs_playbook_tally;

/* The successes of an endpoint. */
typedef struct {
  char endpoint[OBS_PLAYBOOK_NAME + 1];
  obs_buf whole; /* the endpoint, of whatever length */
  uint64_t *ms;  /* ascending, when gathered */
  uint32_t n, cap;
  double sum_ms, squares_ms;
  uint64_t first_seq;
  obs_playbook_tally patterns, staffers, task_classes;
  obs_buf recent[OBS_PLAYBOOK_RECENT]; /* newest first, each cut at what the gateway is told at most */
  uint32_t nrecent;
  uint64_t evidence[OBS_PLAYBOOK_EVIDENCE]; /* newest first */
  uint32_t nevidence;
} obs_playbook_group;

typedef struct {
  obs_playbook_group *groups; /* those with most successes first, when gathered */
  uint32_t n, cap;
  uint64_t *hashes; /* of their endpoints, while it gathers */
  uint32_t hashes_cap;
  uint64_t successes;
  obs_buf text;
  bool oom;
} obs_playbook_ring;

/* False: no memory. Fini in either case. */
bool obs_playbook_ring_gather(const obs_evidence *evidence, obs_playbook_ring *out);
void obs_playbook_ring_fini(obs_playbook_ring *r);
static inline obs_str obs_playbook_ring_text(const obs_playbook_ring *r, const obs_playbook_tally_value *v) {
  return (obs_str){r->text.p + v->at, v->len, 0};
}

/* ---- playbooks_do.c ---- */

/* What a group says, into an entry: all but its ids, its history and its effect. */
void obs_playbook_describe(const obs_playbook_ring *r, const obs_playbook_group *g, obs_playbook *e);
/* What is new about it: bits; 0: nothing. */
uint32_t obs_playbook_news(const obs_playbook_ring *r, const obs_playbook_group *g, const obs_playbook *e);
/* Tells the gateway, as the older observer did. */
void obs_playbook_tell(obs_gateway *gateway, const obs_playbook_group *g);

#endif
