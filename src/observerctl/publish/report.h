/* What publishing commands say: each record that was not taken, and the result, as text or as one JSON object. */
#ifndef OBS_OBSERVERCTL_REPORT_H
#define OBS_OBSERVERCTL_REPORT_H

#include "observerctl/cli/term.h"
#include "observerctl/publish/publisher.h"

typedef struct {
  const obs_args *args;
  bool json;         /* one object at the end, instead of lines */
  bool acknowledged; /* the totals know what was accepted */
  obs_term_progress progress;
  uint64_t bad;   /* records that could not be read, and were not sent */
  obs_buf errors; /* JSON: members of the array, the first OBS_REPORT_ERRORS */
  uint64_t nerrors;
} obs_post_report;

enum { OBS_REPORT_ERRORS = 1000 };

/* A record that the daemon rejected; `arg` is the report. Text: on stderr, `FILE: record 3 (line 3): reason`, or
 * `FILE:3: reason` for one whose number is 0. */
void obs_report_rejected(void *arg, const obs_origin *origin, obs_str reason);
/* One that could not be read. */
void obs_report_bad(obs_post_report *r, const obs_origin *origin, const char *reason);
/* The result, on stdout; `failure` (NULL: none) ended the work before its end, and goes to stderr too. Returns the exit
 * status. */
int obs_report_end(obs_post_report *r, const obs_totals *totals, const char *failure);
void obs_report_fini(obs_post_report *r);

#endif
