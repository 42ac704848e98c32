/* How ops went before something was said about them, and since: what people are shown. It is no effect: whatever else
 * changed at that time is in it, so nothing is decided on it alone (uplift.h). Pure functions: any thread.
 *
 * Before ends where an episode begins: the stretch of ops in which failures are much more frequent than in the others,
 * when there is one, is left out. Else an outage that ends by itself would look like a success of what was said in it.
 * Since forgets: its ops are in windows, of which the last OBS_SINCE_WINDOWS count, so that an outage that is over does
 * not stand against an entry for ever. */
#ifndef OBS_LEARN_PLAYBOOKS_BEFORE_AFTER_H
#define OBS_LEARN_PLAYBOOKS_BEFORE_AFTER_H

#include "diagnose/facts.h"

enum {
  OBS_SINCE_WINDOWS = 8,
  OBS_SINCE_WINDOW_OPS = 100 /* a window ends with the look that finds so many ops in it */
};

typedef struct {
  uint64_t ops, failures;
} obs_before_after_side;

/* The failure rates, since minus before, and an interval that holds them with 95 % at every look while the windows
 * last. */
typedef struct {
  double difference, low, high;
} obs_before_after_interval;

typedef struct {
  obs_before_after_side before;
  obs_before_after_side windows[OBS_SINCE_WINDOWS]; /* a ring; windows[ended % OBS_SINCE_WINDOWS] is open */
  uint64_t ended;                                   /* windows, since they began anew */
  uint64_t since_seq;                               /* ops behind it are in the windows */
  uint64_t through_seq;                             /* ops up to here are counted, or are not to be */
  obs_before_after_interval change;                 /* kept, as it costs more than all else of a view; both have ops */
} obs_before_after;

/* Whose ops: of an endpoint, of a task class, or of both; len 0: of any. Names longer than OBS_FACT_NAME stand for all
 * that begin so. With neither nothing is counted. */
typedef struct {
  obs_str endpoint, task_class;
  obs_before_after *effect;
} obs_before_after_scope;

/* The largest seq of the view, which is in the order of event time; 0: it is empty. */
uint64_t obs_before_after_last(const obs_facts_view *view);

/* Begins: the view's ops are before, those behind it since. NOMEM: nothing is known of before. */
observer_err obs_before_after_begin(const obs_facts_view *view, const obs_before_after_scope *scope);
/* Counts the ops of the view that come after each effect's `through_seq`, in one pass, and moves it to the view's end.
 * Ops that came late are none of those since: they were before, or are of a time that nobody looks at.
 * NOMEM: nothing is counted. */
observer_err obs_before_after_count(const obs_facts_view *view, const obs_before_after_scope *scopes, uint32_t n);
/* Sets `change` to what the counts say, as count does. */
void obs_before_after_settle(obs_before_after *e);
/* The windows together. */
obs_before_after_side obs_before_after_since(const obs_before_after *e);

/* The episode among outcomes in order (true: failed): from *from up to before *to, with failures at least twice as
 * likely as elsewhere, and more than chance brings. False: there is none. */
bool obs_before_after_episode(const bool *failed, uint32_t n, uint32_t *from, uint32_t *to);

/* Both sides have ops. */
obs_before_after_interval obs_before_after_compare(obs_before_after_side before, obs_before_after_side since);

#endif
