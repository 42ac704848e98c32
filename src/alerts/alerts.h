/* Alerts: the rules that stand, the engine that watches them, and what fires.
 *
 * In:  recorded ops, as a follower of the commit stage; clusters and the daemon itself, looked at once a second.
 * Out: a row of `alerts.jsonl` for each alert that fires and each that is resolved, on the disk before anybody is told;
 *   then the caller's `notify`; views. When the disk takes no rows, they follow those who are told.
 * Restart: counts come from the checkpoint and the journal's rows behind it, what fires from the rows: so what fired
 *   before kill -9 fires on, with the time it had, and no second row says that it began. A checkpoint without the part
 *   costs nothing: then nothing is clear before a window has passed.
 * Reload: a file that is broken changes nothing, and is told by the views and the log. At a start it leaves the shipped
 *   rules. Rules that stay as they are keep their counts; alerts of rules that are gone are resolved.
 * Threads: apply, apply_row, save and load on the commit thread (or before it starts); `obs:alerts`, which may wait for
 *   the disk, makes the turns; everything else on any. One mutex, held for a batch, for one rule's turn, or for a copy.
 *   A second one, for the thread and a reload, is taken before it and held across the disk.
 * Memory: that of the engine, OBS_ALERTS_RESOLVED alerts of 2 KB, and as many as wait to be written or told. */
#ifndef OBS_ALERTS_ALERTS_H
#define OBS_ALERTS_ALERTS_H

#include "alerts/engine.h"
#include "base/page.h"
#include "op/batch.h"

enum { OBS_ALERTS_RESOLVED = 256 /* that are still shown */, OBS_ALERTS_TURN_MS = 1000 };

typedef struct obs_alerts obs_alerts;

/* What the receivers say of an alert. */
typedef struct {
  uint64_t silenced_by; /* 0: nothing */
  int64_t notified_ms;  /* 0: not yet */
} obs_alerts_look;

typedef struct {
  const char *dir;        /* of alerts.jsonl; NULL: ephemeral */
  const char *rules;      /* the rules' file; NULL: the shipped rules */
  obs_clusters *clusters; /* NULL: rules about clusters see none */
  /* All of these may be NULL, and are called on `obs:alerts`, but for `look`, which is called on any thread. */
  void (*self)(void *arg, obs_engine_self *out);
  /* Takes a copy and never waits. FULL: it is said again later. `again`: it fired before the start, or before a
   * reload. */
  observer_err (*notify)(void *arg, const obs_alert *a, const obs_rule *rule, bool again);
  void (*settled)(void *arg); /* after a start or a reload, what fires has been said */
  void (*look)(void *arg, const obs_alert *a, obs_alerts_look *out);
  /* Takes the receivers of a file, on the thread that opens or reloads. False: `error` says what is wrong with them,
   * and nothing has changed. NULL rules->file: there are none. */
  bool (*receivers)(void *arg, const obs_rules *rules, char *error, size_t size);
  void *arg;
} obs_alerts_opts;

observer_err obs_alerts_open(const obs_alerts_opts *opts, obs_alerts **out, char *error_text, size_t error_size);
/* NULL is allowed. */
void obs_alerts_close(obs_alerts *a);

/* As obs_commit_follower wants them; the part is optional there. */
void obs_alerts_apply(void *alerts, obs_batch *b, uint64_t first_seq, int64_t now_ms);
void obs_alerts_apply_row(void *alerts, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq, int64_t now_ms);
observer_err obs_alerts_save(void *alerts, obs_buf *out);
observer_err obs_alerts_load(void *alerts, const void *data, size_t len);

/* Behind the recovery. `whole`: all rows there are were replayed, or the part was loaded. */
observer_err obs_alerts_start(obs_alerts *a, bool whole);
void obs_alerts_stop(obs_alerts *a);
/* Reads the file again. False: it is broken, which was logged, and the former rules stand. */
bool obs_alerts_reload(obs_alerts *a);

/* ---- views ---- */

typedef struct {
  uint32_t rules, groups, states[OBS_ALERT_STATES];
  uint64_t fired;
  uint64_t held_back;    /* groups that hold, for which there is no room */
  uint64_t row_failures; /* rows that could not be written */
  uint32_t broken;       /* 1: the rules' file is */
} obs_alerts_counts;
/* As of the last turn; waits for nobody. */
void obs_alerts_get_counts(obs_alerts *a, obs_alerts_counts *out);

typedef struct {
  obs_page page;
  int state;    /* -1: any */
  obs_str rule; /* p NULL: any */
} obs_alerts_filter;

/* Adds a page as the member `alerts`, newest first, and the counts. Not OK: no memory. */
observer_err obs_alerts_list(obs_alerts *a, const obs_alerts_filter *f, obs_json_writer *w, obs_page_end *end);
/* Adds file, problem and rules. */
void obs_alerts_put_rules(obs_alerts *a, obs_json_writer *w);
/* One alert's members, as rows and views have them. */
void obs_alert_put(obs_json_writer *w, const obs_alert *a);
/* The same read again. False: `*why` says what it lacks. */
bool obs_alert_read(const cJSON *row, obs_alert *out, const char **why);

#endif
