/* Playbooks: what worked, and what does not, kept up to date by small edits.
 *
 * In:  every OBS_PLAYBOOK_CYCLES cycles the successes in the ring (evidence.h); "don't"s of analyses.
 * Out: entries; each edit a row of playbooks.jsonl and, without its history, on the feed's topic `playbook`; of a
 *   `do` also in the gateway's log.
 * Kinds: `do`, one for each endpoint with 3 or more successes when there are 5 in all: the pattern that its input
 *   summaries share (mask.h, the commonest template and its share), the last three summaries, count, mean, p50 and
 *   p95 of the duration, the staffers and task classes that succeeded most (up to OBS_PLAYBOOK_VALUES, with counts).
 *   `dont`, one for each cluster (a later analysis edits it).
 * Edits: an entry has an id (16 hex digits of a hash of kind, endpoint or cluster), a version and a history of its
 *   last OBS_PLAYBOOK_HISTORY edits {version,time,change:"created"|"updated"|"retired"|"revived",fields:[names]}. A
 *   `do` is edited only when it says something new: another pattern (one that is more common by more than chance),
 *   another staffer or task class (with 3 successes, and when the list is full with more than the last one listed by
 *   more than chance), mean or p95 off by a quarter and 5 ms and by more than chance, or twice as many successes; a
 *   `dont` when its text or place is another. Otherwise nothing is written or told. At most OBS_PLAYBOOK_EACH edits
 *   of `do`s a cycle, the endpoints with most successes first; the others come at the next cycle. `do`s are of at
 *   most half as many endpoints as there are places. A playbook holds at most OBS_PLAYBOOK_ENTRIES; the one edited
 *   longest ago makes room.
 * Evidence: up to 5 op seqs, recorded.
 * Effect (effect.h): of the ops of its endpoint (and task class, for a `dont` that has one): failures of all ops
 *   in the facts' window before its creation (of a `dont`: from its cluster's first failure on, for that is what it
 *   is to mend), and since; rates, their difference and its 95 % interval. Counted to a seq that is kept with the
 *   entry, so that a restart and the window's end lose nothing that was written; it is written with each edit, and
 *   when half a window went by since (a row of change "counted": no edit, nobody is told).
 * Harm: the lower bound of the difference's 99.9 % interval is above 0, with at least OBS_PLAYBOOK_PROOF ops on
 *   both sides. Such an entry is retired (kept, shown with ?retired=true, never advised), and revived when no more
 *   fail than before, or when it says something new. The effect begins anew, at `since_seq`, when it is revived for
 *   that, and with each edit as long as there are not OBS_PLAYBOOK_PROOF ops before.
 * Names are cut at OBS_FACT_NAME bytes, as the facts do.
 * Row: {"id" (records' number),"entry":id,"version","time","change","kind","endpoint","task_class","cluster",
 *   "analysis","text","pattern","pattern_share","recent":[..],"successes","avg_ms","p50_ms","p95_ms",
 *   "staffers":[{"value","count"}],"task_classes":[...],"evidence":[seqs],"created","created_seq",
 *   "effect":{"before":{"ops","failures","rate"},"after":{...},"difference","low","high","since_seq","through_seq"},
 *   "retired":bool,"history":[...]}: the whole entry as it is after the edit, so that the last row of an entry is
 *   the entry. `text` is one sentence that an agent can act on.
 * Gateway, of a `do` on creation and edit: {"operation":"consolidated: N successful ENDPOINT calls",
 *   "approach":"common pattern: LAST THREE SUMMARIES joined by "; ", first 200 units", "result":"avg_duration=Mms, N
 *   successes", "context":"endpoint=ENDPOINT"}, M rounded as toFixed(0), N the successes in the ring.
 * Threads: cycle and dont on the learning thread, which alone changes entries; views on any; one mutex, never
 *   across I/O. */
#ifndef OBS_LEARN_PLAYBOOKS_PLAYBOOKS_H
#define OBS_LEARN_PLAYBOOKS_PLAYBOOKS_H

#include "learn/loop.h"

enum {
  OBS_PLAYBOOK_CYCLES = 5,
  OBS_PLAYBOOK_ENTRIES = 512,
  OBS_PLAYBOOK_HISTORY = 20,
  OBS_PLAYBOOK_PROOF = 30,
  OBS_PLAYBOOK_TEXT = 240,
  OBS_PLAYBOOK_VALUES = 5, /* staffers, task classes of an entry */
  OBS_PLAYBOOK_EACH = 32   /* edits a cycle */
};

typedef struct obs_playbooks obs_playbooks;
extern const obs_loop obs_playbooks_loop;

typedef struct {
  const char *dir; /* NULL: ephemeral */
  obs_facts *facts;
  obs_evidence evidence;
  obs_gateway *gateway; /* NULL: none */
  obs_announce announce;
} obs_playbooks_opts;

observer_err obs_playbooks_open(const obs_playbooks_opts *opts, obs_playbooks **out, char *error_text, size_t size);
void obs_playbooks_close(obs_playbooks *p);
/* Consolidates: the caller counts the cycles. Ends early when `*stop`. */
void obs_playbooks_cycle(obs_playbooks *p, const _Atomic bool *stop);
/* Enters or edits the cluster's entry. `playbooks` is the obs_playbooks. */
void obs_playbooks_dont(void *playbooks, const obs_loop_dont *d);

typedef struct {
  /* p NULL: any; an entry without one matches only NULL. A `do` is of the task classes in its list. */
  obs_str endpoint, task_class;
  obs_str kind; /* "do", "dont"; p NULL: both */
  bool retired; /* those too */
  uint32_t limit;
} obs_playbooks_filter;
/* Entries, last edited first, as a JSON array (the row's form, `id` being the entry's id); *total says how many match.
 */
observer_err obs_playbooks_list_json(obs_playbooks *p, const obs_playbooks_filter *f, obs_buf *out, uint32_t *total);
bool obs_playbooks_one_json(obs_playbooks *p, obs_str id, obs_buf *out);

/* Visits the entries that are not retired, last edited first, under the mutex: brief, no I/O. */
typedef struct {
  obs_str id, endpoint, task_class, text; /* p NULL: none */
  bool dont;
  uint64_t successes;
  obs_str done[OBS_PLAYBOOK_VALUES]; /* task classes that a `do` was done for */
  uint32_t ndone;
} obs_playbook_view;
void obs_playbooks_each(obs_playbooks *p, void (*fn)(void *arg, const obs_playbook_view *entry), void *arg);
/* Counts up with every edit. Any thread, no lock. */
uint64_t obs_playbooks_revision(const obs_playbooks *p);

#endif
