/* Diagnosis: what explains the failures of a window of facts, found from the data alone.
 *
 * Each value of each column (columns.h) is compared with what a model of the op's fields expects of it (logit.h). What
 * stands out most is looked at closely: values that fail alike, since when, after which correction, under which other
 * conditions; then it goes into the model, and the rest is looked at again (search.h), so what only comes with a cause
 * is not named. In the end causes that the others explain as well go again. Which hypotheses are tested, against what,
 * is said in search_steps.h; which ops are trials in retries.h; which fields are outcomes and no causes in columns.c.
 * Durations that rose from some op on are looked for apart (slow.h), and so are failures of a rate limit. Of too few
 * failures for the model, the one value that at least half of them share is found by an exact test.
 *
 * Pure: the same view and request give the same report. Any thread; nothing is shared. Cost of a full window of 262,144
 * ops on one core of 2020: 0.2 s when there is little to find, 0.6 s with ten causes, 1 s when ops have six members of
 * their own besides; 25 MB beside the view. */
#ifndef OBS_DIAGNOSE_DIAGNOSE_H
#define OBS_DIAGNOSE_DIAGNOSE_H

#include "diagnose/facts.h"

#include <observer/error.h>

enum {
  OBS_FINDINGS = 16,
  OBS_EVIDENCE = 5,
  OBS_REPORT_CORRECTIONS = 64,
  OBS_FINDING_CONDITIONS = 3,
  OBS_FINDING_VALUES = 8,
  OBS_FINDING_PLACES = 8,
  OBS_DIAGNOSE_FIELD = 64 /* bytes of a field's name */
};
enum { OBS_DIAGNOSE_LEAST = 10 }; /* failures of a value that the model finds; fewer: the exact test */

/* X(kind, name in JSON) */
#define OBS_CAUSES(X)                                                                                                  \
  X(SHARE, "share")           /* fails more than others, all the time */                                               \
  X(ONSET, "onset")           /* fails more since some op */                                                           \
  X(SLOW, "slow")             /* takes longer since some op; may fail more too */                                      \
  X(REGRESSION, "regression") /* fails more since a correction */

typedef enum {
#define OBS_CAUSE_ENUM(kind, name) OBS_CAUSE_##kind,
  OBS_CAUSES(OBS_CAUSE_ENUM)
#undef OBS_CAUSE_ENUM
      OBS_CAUSE_COUNT
} obs_diagnose_cause;

/* X(relation, name in JSON) */
#define OBS_RELATIONS(X)                                                                                               \
  X(IS, "is")           /* the field has one of `values` */                                                            \
  X(ABSENT, "absent")   /* the op does not have the field */                                                           \
  X(ABOVE, "above")     /* it is greater than `number` */                                                              \
  X(AT_MOST, "at_most") /* it is `number` or less */

typedef enum {
#define OBS_RELATION_ENUM(kind, name) OBS_RELATION_##kind,
  OBS_RELATIONS(OBS_RELATION_ENUM)
#undef OBS_RELATION_ENUM
      OBS_RELATION_COUNT
} obs_diagnose_relation;

/* A value of a field. */
typedef struct {
  char field[OBS_DIAGNOSE_FIELD + 1]; /* as the op has it; empty: none */
  char name[OBS_FACT_NAME + 1];
} obs_diagnose_value;

/* What an op must be like to be among those that a finding blames. */
typedef struct {
  char field[OBS_DIAGNOSE_FIELD + 1];
  obs_diagnose_relation relation;
  double number;
  uint32_t nvalues, more; /* more: values beyond those */
  char values[OBS_FINDING_VALUES][OBS_FACT_NAME + 1];
} obs_diagnose_condition;

/* An endpoint that ops of a finding went to; rest: all other ops of that endpoint. */
typedef struct {
  char endpoint[OBS_FACT_NAME + 1];
  uint64_t ops, failures, rest_ops, rest_failures;
} obs_diagnose_place;

typedef struct {
  obs_diagnose_cause cause;
  obs_error_kind error;                                      /* what most of the failures are */
  bool by_kind;                                              /* all counts of failures are of that kind alone */
  bool of_cluster;                                           /* all counts of failures are of one cluster\'s alone */
  obs_diagnose_condition conditions[OBS_FINDING_CONDITIONS]; /* what is to blame: ops for which all of them hold */
  uint32_t nconditions;                                      /* 0: everything */
  bool input_works;                                          /* most inputs that were rejected work at other times */
  obs_diagnose_value same; /* always comes together with the first condition: the data cannot tell them apart */
  uint64_t ops, failures;  /* of what is to blame, while it lasted */
  uint64_t rest_ops, rest_failures;
  uint64_t unexplained_ops, unexplained_failures; /* of the rest: of what no other cause was found for */
  double expected;              /* failures that there would be without the cause, all other things equal */
  double log10_p;               /* after correction for all that was tried */
  uint64_t from_seq, until_seq; /* first op it concerns; first op after it, 0: it lasts */
  int64_t from_ms;
  uint64_t last_seq; /* its last failure; 0: it has none */
  int64_t last_ms;
  uint64_t ops_since;           /* of its ops, behind that */
  uint32_t ms_before, ms_after; /* SLOW: typical durations */
  uint32_t at_ms;               /* most failures took this long, 0: no */
  uint32_t per_minute;          /* failures come when there are at least so many ops a minute, 0: no */
  uint64_t correction_seq;      /* REGRESSION */
  uint64_t deploy_seq;          /* shortly before it began, 0: none */
  char deploy[OBS_FACT_NAME + 1];
  obs_diagnose_place places[OBS_FINDING_PLACES]; /* where its failures are, the most first */
  uint32_t nplaces;
  uint64_t evidence[OBS_EVIDENCE]; /* seqs of ops that show it, ascending */
  uint32_t nevidence;
} obs_diagnose_finding;

typedef enum { OBS_VERDICT_UNKNOWN, OBS_VERDICT_BETTER, OBS_VERDICT_WORSE, OBS_VERDICT_SAME } obs_diagnose_verdict;

/* How a situation went before a correction of it and after, up to the corrections next to it. */
typedef struct {
  uint64_t seq; /* of the correction */
  obs_diagnose_value value;
  uint32_t ops_before, failures_before, ops_after, failures_after;
  obs_diagnose_verdict verdict; /* UNKNOWN: too little to tell */
} obs_diagnose_correction;

typedef struct {
  uint64_t cluster; /* its failures; 0: all */
  uint64_t since;   /* a cause is reported if it concerns a failure of this seq or a later one */
} obs_diagnose_request;

typedef struct {
  uint64_t ops, failures; /* that were looked at */
  bool of_cluster;        /* failures are one cluster's */
  bool input_works;       /* most inputs that were rejected work at other times */
  uint64_t kinds[OBS_ERROR_KIND_COUNT];
  uint64_t first_seq, last_seq; /* failures */
  obs_diagnose_finding findings[OBS_FINDINGS];
  uint32_t nfindings; /* strongest first */
  obs_diagnose_correction corrections[OBS_REPORT_CORRECTIONS];
  uint32_t ncorrections; /* the latest, oldest first */
} obs_diagnose_report;

/* NOMEM: nothing was found out. No failures: OK and an empty report. */
observer_err obs_diagnose(const obs_facts_view *view, const obs_diagnose_request *request, obs_diagnose_report *report);

#endif
