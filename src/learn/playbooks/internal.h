/* What the playbooks' files share: the store, its edits and cycle (playbooks.c), an entry as JSON (row.c), and what the
 * ring's successes say (successes.c). */
#ifndef OBS_LEARN_PLAYBOOKS_INTERNAL_H
#define OBS_LEARN_PLAYBOOKS_INTERNAL_H

#include "base/json.h"
#include "base/map.h"
#include "base/vec.h"
#include "jsonl/records.h"
#include "learn/playbooks/playbooks.h"

#include <pthread.h>

/* What can be new in an edit: bits, by their names in the history. */
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

struct obs_playbooks {
  obs_playbooks_opts opts;
  uint32_t every;        /* cycles of learning; of the loop, as the next one */
  uint64_t consolidated; /* how often it was due */
  obs_records *records;
  pthread_mutex_t lock; /* of the entries, for others than the learning thread, which alone changes them */
  bool lock_made;
  obs_playbook_view *entries[OBS_PLAYBOOK_ENTRIES]; /* in no order */
  uint32_t n;
};

/* At most `max` bytes of a text (p NULL: none), whole characters, without NUL; `to` holds max + 1. */
void obs_playbook_put(char *to, obs_str text, uint32_t max);

/* Grows with the ops that are counted since. */
uint64_t obs_playbook_counted(const obs_before_after *e);

/* ---- row.c ---- */

/* Of the last edit; zeros when there was none. */
obs_playbook_edit obs_playbook_last_edit(const obs_playbook_view *e);
/* Writes all members of an entry but its ids; returns where those begin in the buffer that the feed does not get.
 * `kept`: also what only the file needs, to go on with. */
size_t obs_playbook_write(const obs_playbook_view *e, obs_playbook_change change, bool kept, obs_json_writer *w);
/* Without what is behind the text: how it came about, and its history. */
void obs_playbook_write_light(const obs_playbook_view *e, obs_playbook_change change, obs_json_writer *w);
/* Reads a row. False: it is not one of an entry; *why is the reason. */
bool obs_playbook_read(const cJSON *row, obs_playbook_view *e, const char **why);

/* ---- successes.c ---- */

/* How often each value came. */
typedef struct {
  uint64_t hash, count;
  size_t at; /* in the ring's text */
  uint32_t len;
} obs_playbook_tally_value;

typedef OBS_VEC(obs_playbook_tally_value) obs_playbook_tally; /* the most frequent first, when gathered */

/* The successes of an endpoint. */
typedef struct {
  char endpoint[OBS_PLAYBOOK_NAME + 1];
  obs_buf whole; /* the endpoint, of whatever length */
  uint32_t successes;
  OBS_VEC(uint64_t) ms; /* of those that were measured; ascending, when gathered */
  double sum_ms, squares_ms;
  uint64_t first_seq;
  obs_playbook_tally patterns, staffers, task_classes;
  obs_buf recent[OBS_PLAYBOOK_RECENT]; /* newest first, each cut at what the gateway gets at most */
  uint32_t nrecent;
  uint64_t evidence[OBS_PLAYBOOK_EVIDENCE]; /* newest first */
  uint32_t nevidence;
} obs_playbook_group;

typedef struct {
  OBS_VEC(obs_playbook_group) groups; /* those with most successes first, when gathered */
  obs_map by_endpoint;                /* their places, while it gathers */
  obs_map failed;                     /* failures of an endpoint, and of it with a pattern (successes.c) */
  uint64_t successes;
  obs_buf text;
  bool oom;
} obs_playbook_ring;

/* False: no memory. Fini in either case. */
bool obs_playbook_ring_gather(const obs_evidence *evidence, obs_playbook_ring *out);
void obs_playbook_ring_fini(obs_playbook_ring *r);
/* Writes a group's successes into an entry: all but its ids, its history and its effect. */
void obs_playbook_describe(const obs_playbook_ring *r, const obs_playbook_group *g, obs_playbook_view *e);
/* What is new about a group: bits; 0: nothing. */
uint32_t obs_playbook_news(const obs_playbook_ring *r, const obs_playbook_group *g, const obs_playbook_view *e);
/* Logs a group at the gateway, as the older observer did. */
void obs_playbook_log(obs_gateway *gateway, const obs_playbook_group *g);

#endif
