/* A backtest: the rows of a journal, with the times at which they were received, through the daemon's own engine: how
 * often each rule would have fired, when, and for how long. The journal is only read; a daemon may go on writing. */
#ifndef OBS_OBSERVERCTL_BACKTEST_H
#define OBS_OBSERVERCTL_BACKTEST_H

#include "alerts/engine.h"

enum { OBS_BACKTEST_KEPT = 1000 /* alerts that are listed */ };

/* What one rule would have done. */
typedef struct {
  uint64_t fired, open; /* open: that still fire at the end */
  int64_t total_ms, longest_ms, last_ms;
  uint64_t groups; /* different ones, at most OBS_BACKTEST_KEPT of them told apart */
} obs_backtest_rule;

typedef struct {
  const obs_rules *rules; /* the caller's */
  int64_t since_ms, until_ms;
  obs_backtest_rule of[OBS_RULES_MAX];
  OBS_VEC(obs_alert) alerts; /* the first OBS_BACKTEST_KEPT, as they ended; open ones have no end */
  uint64_t rows, bad_rows, untimed, left_out;
  uint64_t missing; /* rows between segments that are there: what they would have done is not known */
  int64_t first_ms, last_ms;
  bool oom;
  void (*progress)(void *arg, uint64_t bytes);
  void *arg;
} obs_backtest;

/* False: `error` says what could not be read. Fini in either case. */
bool obs_backtest_run(obs_backtest *b, const char *dir, const char *journal_name, char *error, size_t size);
void obs_backtest_fini(obs_backtest *b);

#endif
