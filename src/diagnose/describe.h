/* What was found, measured on the whole view: counts, evidence, when it began, and what happened shortly before. */
#ifndef OBS_DIAGNOSE_DESCRIBE_H
#define OBS_DIAGNOSE_DESCRIBE_H

#include "diagnose/search.h"
#include "diagnose/slow.h"

/* The rows that are compared, and which of their failures count. */
typedef struct {
  const obs_facts_view *view;
  const obs_columns *columns;
  const obs_diagnose_request *request;
  uint8_t *takes;   /* by row of the view: it is compared */
  uint8_t *again;   /* by row: an attempt that had just failed goes on (retries.h) */
  uint8_t *works;   /* by row: it failed, and its input works at other times (inputs.h) */
  uint8_t *limited; /* by row: a finding that is a limit tells of it */
  bool by_kind;
  obs_error_kind kind; /* by_kind: only failures of this kind count */
} obs_describe_scope;

static inline bool obs_describe_is_failure(const obs_describe_scope *s, uint32_t i) {
  const obs_facts_view *v = s->view;
  return (v->flags[i] & OBS_FACT_FAILED) != 0 && (!s->by_kind || v->kind[i] == s->kind) &&
         (s->request->cluster == 0 || v->cluster[i] == s->request->cluster);
}

/* The value that few failures share. */
typedef struct {
  int column, same; /* same < 0: none */
  uint16_t id, same_id;
  double expected, log_p; /* natural, corrected */
} obs_describe_shared;

/* Whether two findings blame the same ops, whenever. */
bool obs_describe_same(const obs_diagnose_finding *a, const obs_diagnose_finding *b);
/* The candidate is the model's factor `k`. False: none of its failures is at or behind the request's `since`. */
bool obs_describe(const obs_describe_scope *s, const obs_search *search, uint32_t k, const obs_search_candidate *c,
                  obs_diagnose_finding *out);
/* Of all failures in question. */
bool obs_describe_input_works(const obs_describe_scope *s);
bool obs_describe_few(const obs_describe_scope *s, const obs_describe_shared *few, obs_diagnose_finding *out);
/* All ops, compared with nothing. */
bool obs_describe_all(const obs_describe_scope *s, obs_diagnose_finding *out);
/* A limit that all ops together meet. False: the load does not tell. */
bool obs_describe_load(const obs_describe_scope *s, obs_diagnose_finding *out);
bool obs_describe_slow(const obs_describe_scope *s, const obs_slow *slow, obs_diagnose_finding *out);
/* A finding about failures and one about durations of the same value become one. */
void obs_describe_merge(obs_diagnose_finding *failures, const obs_diagnose_finding *slow);
void obs_describe_correction(const obs_describe_scope *s, const obs_search *search, uint32_t k,
                             obs_diagnose_correction *out);

#endif
