/* What was found, measured on the whole view: counts, evidence, when it began, and what happened shortly before. */
#ifndef OBS_DIAGNOSE_DESCRIBE_H
#define OBS_DIAGNOSE_DESCRIBE_H

#include "diagnose/search.h"
#include "diagnose/slow.h"
#include "diagnose/small_sample.h"

typedef struct {
  const obs_facts_view *view;
  const uint8_t *takes; /* rows that are compared */
  uint64_t cluster, since;
  bool by_kind;
  obs_error_kind kind;
} obs_describe_scope;

/* The candidate is the model's last factor. False: none of its failures is at or behind `since`. */
bool obs_describe(const obs_describe_scope *d, const obs_search *search, const obs_search_candidate *c,
                  obs_diagnose_finding *out);
bool obs_describe_few(const obs_describe_scope *d, const obs_small_sample *few, obs_diagnose_finding *out);
bool obs_describe_slow(const obs_describe_scope *d, const obs_slow *slow, obs_diagnose_finding *out);
/* A finding about failures and one about durations of the same value become one. */
void obs_describe_merge(obs_diagnose_finding *failures, const obs_diagnose_finding *slow);
void obs_describe_correction(const obs_search *search, uint32_t k, obs_diagnose_correction *out);

#endif
