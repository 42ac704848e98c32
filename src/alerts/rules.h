/* The rules of alerts: what a rules' file says, checked and compiled (proto/alerts.md).
 *
 * In:  JSON text: `rules`, and `builtin`, which of the shipped rules stand beside them (true: all that the file does
 * not replace by an id of its own). What else a file has is for the receivers (src/notify) and is left alone here, when
 *   its name is one of theirs.
 * Out: rules, the shipped ones first; or every fault, a line each: `rules[2] "failing": above: must be a number from 0
 *   to 1`.
 * Bounds: OBS_RULES_MAX rules, OBS_RULES_BYTES of text. A set is not changed after it was read: any thread. */
#ifndef OBS_ALERTS_RULES_H
#define OBS_ALERTS_RULES_H

#include "alerts/condition.h"
#include "cluster/clusters.h"

enum {
  OBS_RULES_MAX = 64,
  OBS_RULES_BYTES = 1 << 20,
  OBS_RULES_BY = 4, /* fields that make a group */
  OBS_RULES_TO = 16,
  OBS_RULES_ID_MAX = 64,
  OBS_RULES_FAULTS = 20 /* that are told */
};

#define OBS_RULE_FORM_MAP(X)                                                                                           \
  X(OP, "op")                                                                                                          \
  X(RATE, "rate")                                                                                                      \
  X(CLUSTER, "cluster")                                                                                                \
  X(ABSENCE, "absence")                                                                                                \
  X(SELF, "self")

typedef enum {
#define OBS_RULE_FORM_ENUM(name, text) OBS_RULE_##name,
  OBS_RULE_FORM_MAP(OBS_RULE_FORM_ENUM)
#undef OBS_RULE_FORM_ENUM
      OBS_RULE_FORMS
} obs_rule_form;

extern const char *const obs_rule_form_names[OBS_RULE_FORMS];

typedef enum { OBS_RULE_INFO, OBS_RULE_WARN, OBS_RULE_PAGE, OBS_RULE_SEVERITIES } obs_rule_severity;
extern const char *const obs_rule_severity_names[OBS_RULE_SEVERITIES];

/* What a rule `on` self looks at. */
typedef enum { OBS_RULE_RECORDING, OBS_RULE_CONSERVATION, OBS_RULE_CHECKS } obs_rule_check;
extern const char *const obs_rule_check_names[OBS_RULE_CHECKS];

typedef struct {
  char id[OBS_RULES_ID_MAX + 1];
  bool builtin;
  obs_rule_form form;
  obs_rule_severity severity;
  obs_conditions when; /* which ops it is about */
  obs_conditions of;   /* RATE: those of them that are counted as bad */
  obs_field *by;
  uint32_t nby;
  double above, clear_below;
  double confidence;        /* RATE: the share's lower bound of that confidence must be above; 0: the share itself */
  uint64_t min_ops;         /* RATE */
  uint64_t at_least;        /* OP, CLUSTER */
  uint64_t within_ms;       /* the window of what is counted */
  uint64_t clear_within_ms; /* RATE: a share below clear_below in the last so long clears; 0: the window's alone */
  uint64_t for_ms;          /* it has to hold so long before it fires; ABSENCE: so long without an op */
  uint64_t keep_ms;         /* it has to be clear so long before it is resolved */
  unsigned states;          /* CLUSTER: 1 << obs_cluster_state */
  bool learned;             /* ABSENCE: of groups that were regular, and longer than they ever paused */
  double slower_times;      /* RATE: bad are ops that take so many times the group's usual; 0: `of` says what is bad */
  uint64_t slower_by_ms;    /* and so much longer */
  obs_rule_check check;     /* SELF */
  char *to[OBS_RULES_TO];   /* receivers; none: the file's own */
  uint32_t nto;
  char *text;       /* what it means, in words; the file's, or made */
  char *bad;        /* OP, RATE: what is wrong with an op that counts, in words: "failed" */
  char *definition; /* its JSON */
  uint64_t digest;  /* of the definition */
} obs_rule;

typedef struct {
  obs_rule *at;
  uint32_t n;
  cJSON *file; /* the whole of it, for the receivers; NULL: there was none */
} obs_rules;

/* NULL: the shipped rules alone. Faults are appended to `faults`, each with its newline; NULL is returned then. No
 * memory is one of them, unless it is `faults` that has none (its oom). */
obs_rules *obs_rules_read(const char *text, size_t len, obs_buf *faults);
/* The same of a file; one that cannot be read is a fault. */
obs_rules *obs_rules_read_file(const char *path, obs_buf *faults);
void obs_rules_free(obs_rules *r);
/* NULL: there is none. */
const obs_rule *obs_rules_find(const obs_rules *r, const char *id);

/* The shipped rules' text, and a duration as people write it: 90s, 15m, 1h30m. */
extern const char obs_rules_builtin[];
enum { OBS_RULES_DURATION = 32 };
const char *obs_rules_duration(uint64_t ms, char out[OBS_RULES_DURATION]);

#endif
