/* The parts that sentences about findings are made of: numbers, times, and what is blamed. Pure functions: any thread.
 */
#ifndef OBS_DIAGNOSE_WORDS_H
#define OBS_DIAGNOSE_WORDS_H

#include "base/buf.h"
#include "diagnose/diagnose.h"

/* 1,234,567; 1 op, 1,234 ops. */
void obs_words_count(obs_buf *out, uint64_t n);
void obs_words_ops(obs_buf *out, uint64_t n);
/* To two digits; what is not none is not 0 %, what is not all is not 100 %. */
void obs_words_percent(obs_buf *out, uint64_t part, uint64_t all);
/* `12:04 UTC`, with the date before it when that is not the day of `now_ms`; INT64_MIN: always. */
void obs_words_time(obs_buf *out, int64_t ms, int64_t now_ms);

/* A field that is no member of an op but a moment, and what is said around its values. */
typedef struct {
  const char *field, *before, *after;
} obs_words_moment;
/* NULL: it is a member. */
const obs_words_moment *obs_words_moment_of(const char *field);

/* A value, and those of a condition. `brief`: few of them, cut, and without quotes where they are not needed to see
 * where a value ends. */
void obs_words_value(obs_buf *out, const char *value, bool brief);
void obs_words_values(obs_buf *out, const obs_diagnose_condition *c, bool brief);
/* What stands behind "ops": ` with city "Toledo" and role "Welder"`, ` without city`, ` with count above 7`, ` in hour
 * 3 of the day (UTC)`; but for the condition `but` (< 0: none); nothing for everything. */
void obs_words_conditions(obs_buf *out, const obs_diagnose_finding *f, int but, bool brief);

#endif
