#include "sessions/stats.h"

#include "base/json.h"

#include <stdio.h>

/* Of each group: names are the producers' own texts, so they are bounded. */
enum { NAMES = 256, NAME_BYTES = 256 << 10 };

static const struct {
  const char *key;
  uint32_t offset; /* of the text in a record */
  uint32_t bit;
} groups[OBS_GROUP_COUNT] = {
#define GROUP(name, key) {key, offsetof(obs_session_record, name), OBS_BIT(OBS_S_##name)},
    OBS_SESSION_GROUPS(GROUP)
#undef GROUP
};

observer_err obs_session_stats_init(obs_session_stats *s) {
  *s = (obs_session_stats){0};
  obs_sketch_scale_init(&s->scale);
  observer_err err = obs_names_init(&s->verdicts, NAMES, NAME_BYTES);
  for (uint32_t g = 0; err == OBSERVER_E_OK && g < OBS_GROUP_COUNT; g++) {
    err = obs_names_init(&s->groups[g], NAMES, NAME_BYTES);
  }
  return err;
}

void obs_session_stats_fini(obs_session_stats *s) {
  obs_names_fini(&s->verdicts);
  for (uint32_t g = 0; g < OBS_GROUP_COUNT; g++) obs_names_fini(&s->groups[g]);
  obs_sketch_sum_fini(&s->durations);
}

static void count(obs_names *names, obs_str name) {
  uint32_t id = obs_names_intern(names, name.p != NULL ? name : OBS_STR(""));
  names->names[id].refs++;
}

static obs_reader_result count_attempt(void *arg, obs_session_reader *reader, obs_session_attempt *attempt) {
  (void)reader;
  obs_session_stats *s = arg;
  count(&s->verdicts, attempt->verdict_kind);
  s->attempts++;
  return OBS_READ_OK;
}

void obs_session_stats_add(obs_session_stats *s, obs_session_reader *reader, const obs_session_record *r) {
  s->total++;
  for (uint32_t g = 0; g < OBS_GROUP_COUNT; g++) {
    obs_str text = OBS_STR(""); /* absent is a value of its own: each group's counts add up to the total */
    if ((r->head.present & groups[g].bit) != 0) memcpy(&text, (const char *)r + groups[g].offset, sizeof(text));
    count(&s->groups[g], text);
  }
  if (OBS_SESSION_HAS(r, iterations)) {
    s->iterations += (double)r->iterations;
    s->with_iterations++;
  }
  if (OBS_SESSION_HAS(r, grounded_in_roster)) {
    s->grounded += r->grounded_in_roster;
    s->say_so++;
  }
  if (OBS_SESSION_HAS(r, duration_ms) && r->duration_ms > 0 &&                             /* 0: nobody measured it */
      obs_sketch_sum_add(&s->durations, obs_sketch_index(&s->scale, r->duration_ms), 1)) { /* no memory: not counted */
    if (s->with_duration == 0 || r->duration_ms > s->longest) s->longest = r->duration_ms;
    s->with_duration++;
  }
  if (!OBS_SESSION_HAS(r, attempts)) return;
  (void)obs_session_attempts(reader, r->attempts, count_attempt, s); /* what is no attempt is not counted */
}

static void put_names(obs_json_writer *w, const char *key, obs_names *names) {
  const uint32_t *sorted = obs_names_sorted(names);
  obs_json_object(w, key);
  for (uint32_t i = 0; i < names->used; i++) {
    if (names->names[sorted[i]].refs == 0) continue; /* `(other)` that nothing was counted under */
    char room[OBS_NAMES_SHOWN + 1];
    obs_json_key(w, obs_names_shown(obs_names_text(names, sorted[i]), room));
    obs_json_u64(w, NULL, names->names[sorted[i]].refs);
  }
  obs_json_end(w);
}

/* A quotient to ten digits, null when there is nothing to divide. */
static void put_ratio(obs_json_writer *w, const char *key, double sum, uint64_t n) {
  char text[32] = "null";
  if (n > 0) snprintf(text, sizeof(text), "%.10g", sum / (double)n);
  obs_json_raw(w, key, obs_str_of(text));
}

static void put_durations(obs_json_writer *w, const obs_session_stats *s) {
  static const struct {
    const char *name;
    uint32_t percent;
  } quantiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}};
  bool any = s->with_duration > 0;
  obs_sketch_flat flat = {{0}};
  obs_sketch_flat_add_sum(&flat, &s->durations);
  obs_json_object(w, "duration_ms");
  for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
    if (any)
      obs_json_i64(w, quantiles[i].name,
                   obs_sketch_quantile(&s->scale, &flat, s->with_duration, s->longest, quantiles[i].percent));
    else
      obs_json_null(w, quantiles[i].name);
  }
  if (any)
    obs_json_i64(w, "max", s->longest);
  else
    obs_json_null(w, "max");
  obs_json_end(w);
}

void obs_session_stats_json(obs_session_stats *s, obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "total", s->total);
  for (uint32_t g = 0; g < OBS_GROUP_COUNT; g++) put_names(&w, groups[g].key, &s->groups[g]);
  put_ratio(&w, "mean_iterations", s->iterations, s->with_iterations);
  obs_json_u64(&w, "attempts", s->attempts);
  put_names(&w, "attempt_verdicts", &s->verdicts);
  obs_json_u64(&w, "grounded", s->grounded);
  obs_json_u64(&w, "grounded_of", s->say_so);
  put_ratio(&w, "grounded_share", (double)s->grounded, s->say_so);
  put_durations(&w, s);
  obs_json_double(&w, "relative_error", 0.01);
  obs_json_end(&w);
}
