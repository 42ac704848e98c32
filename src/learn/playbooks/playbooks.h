/* Playbooks: what worked (`do`, one entry for each endpoint), and what does not (`dont`, one for each cluster), kept up
 * to date by small edits. proto/learning.md describes entries and their rows in playbooks.jsonl.
 *
 * In:  every OBS_PLAYBOOK_CYCLES cycles the successes in the ring (evidence.h); "don't"s of analyses.
 * Out: entries; each edit is a row and, without its history, goes to the feed's topic `playbook`; of a `do` also to
 *   the gateway's log. An entry is edited only when it says something new.
 * Since (before_after.h): failures of all ops of the entry's endpoint and task class before it was made and since.
 *   It is shown, and nothing is decided on it.
 * Uplift (uplift.h): sessions that asked for advice there beside sessions that did not, or whose advice was held
 *   back (learn/exposure). Evidence that the advised fail more retires the entry: it is kept, but never advised.
 *   Of several entries of one endpoint the one edited last is retired, and the others' evidence begins anew, as
 *   the advice is another one then.
 * Return: a retired entry is revived when it says something new, or when the ops of its endpoint fail no more than
 *   before in the windows that ended since: 1, 2, 4, at most 7 of them, more with each time it was retired.
 * Threads: cycle and dont on the learning thread, which alone changes entries; views on any; one mutex, never
 *   across I/O. */
#ifndef OBS_LEARN_PLAYBOOKS_PLAYBOOKS_H
#define OBS_LEARN_PLAYBOOKS_PLAYBOOKS_H

#include "learn/loop.h"
#include "learn/playbooks/before_after.h"
#include "learn/playbooks/uplift.h"

enum {
  OBS_PLAYBOOK_ORDER = 32, /* of walks through the entries */
  OBS_PLAYBOOK_CYCLES = 5,
  OBS_PLAYBOOK_ENTRIES = 512,        /* the one edited longest ago makes room */
  OBS_PLAYBOOK_EACH = 32,            /* edits of `do`s a cycle, the endpoints with most successes first */
  OBS_PLAYBOOK_HISTORY = 20,         /* edits that are kept of an entry */
  OBS_PLAYBOOK_PROOF = 30,           /* ops before it: with fewer an edit looks again what was before */
  OBS_PLAYBOOK_NAME = OBS_FACT_NAME, /* bytes of an endpoint, a task class, a staffer: cut as the facts do */
  OBS_PLAYBOOK_TEXT = 240,
  OBS_PLAYBOOK_SUMMARY = 200, /* bytes of a summary */
  OBS_PLAYBOOK_RECENT = 3,
  OBS_PLAYBOOK_VALUES = 5, /* staffers, task classes of an entry */
  OBS_PLAYBOOK_EVIDENCE = 5
};

typedef struct obs_playbooks obs_playbooks;
extern const obs_loop obs_playbooks_loop;

typedef struct {
  const char *dir; /* NULL: ephemeral */
  obs_facts *facts;
  obs_exposure *exposure; /* NULL: none */
  obs_evidence evidence;
  obs_gateway *gateway; /* NULL: none */
  obs_announce announce;
} obs_playbooks_opts;

observer_err obs_playbooks_open(const obs_playbooks_opts *opts, obs_playbooks **out, char *error_text, size_t size);
void obs_playbooks_close(void *playbooks);
/* Consolidates: the caller counts the cycles. Ends early when `*stop`. */
void obs_playbooks_cycle(obs_playbooks *p, const _Atomic bool *stop);
/* Enters or edits the cluster's entry. `playbooks` is the obs_playbooks. */
void obs_playbooks_dont(void *playbooks, const obs_loop_dont *d);

/* ---- entries ---- */

/* The kind of a row. COUNTED is no edit: only effect and uplift have gone on. */
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

extern const char *const obs_playbook_change_names[OBS_PLAYBOOK_CHANGE_COUNT];

typedef struct {
  uint32_t version;
  obs_playbook_change change;
  uint32_t fields; /* OBS_PLAYBOOK_BIT of what is new */
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

/* An entry: no pointers, so that edits and views are copies. Texts end with a NUL; empty: there is none. */
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
  obs_uplift uplift;
  bool holdout;            /* the others are sessions whose advice was held back */
  uint64_t written_seq;    /* the effect's through_seq in its last row, */
  uint64_t written_ops;    /* how many ops were counted since it began, */
  uint32_t written_blocks; /* and how many blocks its uplift had */

  uint64_t cluster, analysis; /* of a `dont` */

  char pattern[OBS_PLAYBOOK_TEXT + 1]; /* from here on of a `do` */
  double pattern_share;
  char recent[OBS_PLAYBOOK_RECENT][OBS_PLAYBOOK_SUMMARY + 1];
  uint32_t nrecent;
  uint64_t successes;
  double avg_ms;
  uint64_t p50_ms, p95_ms;
  obs_playbook_values staffers, task_classes;
} obs_playbook_view;

typedef struct {
  obs_page page; /* walked */
  /* p NULL: any; an entry without one matches only NULL. A `do` is of the task classes in its list. */
  obs_str endpoint, task_class;
  obs_str kind; /* "do", "dont"; p NULL: both */
  bool retired; /* those too */
} obs_playbooks_filter;

/* How many entries there are: [dont][retired]. Any thread; brief. */
typedef struct {
  uint64_t entries[2][2];
} obs_playbooks_counts;
void obs_playbooks_get_counts(obs_playbooks *p, obs_playbooks_counts *out);

/* Calls `fn` with a copy of each entry of the page that is asked for, the last edited first, under no lock, until it
 * returns false, which says that it has not taken that one. NOMEM: `fn` was not called. */
observer_err obs_playbooks_each(obs_playbooks *p, const obs_playbooks_filter *f,
                                bool (*fn)(void *arg, const obs_playbook_view *entry), void *arg, obs_page_end *end);
/* A page of entries as a JSON array (the row's form, `id` being the entry's id; light ones have no details). */
observer_err obs_playbooks_list_json(obs_playbooks *p, const obs_playbooks_filter *f, obs_buf *out, obs_page_end *end);
bool obs_playbooks_one_json(void *playbooks, uint64_t id, obs_buf *out);

#endif
