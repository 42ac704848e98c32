#include "sessions/stats.h"

#include <inttypes.h>

enum { NAMES = 256, NAME_BYTES = 256 << 10 };

static const struct {
  const char *key;
  uint32_t offset; /* of the text in a record */
  uint32_t bit;
} groups[OBS_GROUP_COUNT] = {
#define GROUP(name, key) {"\"" key "\":", offsetof(obs_session_record, name), OBS_BIT(OBS_S_##name)},
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

static obs_reader_result count_attempt(void *arg, obs_session_reader *reader, obs_attempt_record *attempt) {
  (void)reader;
  obs_session_stats *s = arg;
  count(&s->verdicts, attempt->verdict_kind);
  s->attempts++;
  return OBS_READ_OK;
}

static void add_duration(obs_session_stats *s, int64_t ms) {
  if (!obs_sketch_sum_add(&s->durations, obs_sketch_index(&s->scale, ms), 1)) return; /* no memory: not counted */
  if (s->with_duration == 0 || ms > s->longest) s->longest = ms;
  s->with_duration++;
}

void obs_session_stats_add(obs_session_stats *s, obs_batch *scratch, const obs_session_record *r) {
  s->total++;
  for (uint32_t g = 0; g < OBS_GROUP_COUNT; g++) {
    obs_str text = OBS_STR("");
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
  if (OBS_SESSION_HAS(r, duration_ms)) add_duration(s, r->duration_ms);
  if (!OBS_SESSION_HAS(r, attempts)) return;
  obs_session_reader reader = obs_session_reader_of(scratch, r->attempts, NULL);
  (void)obs_session_attempts(&reader, r->attempts, count_attempt, s); /* what is no attempt is not counted */
}

static void put_names(obs_buf *out, const char *key, obs_names *names) {
  const uint32_t *sorted = obs_names_sorted(names);
  char before = '{';
  obs_buf_putc(out, ',');
  obs_buf_puts(out, key);
  for (uint32_t i = 0; i < names->used; i++) {
    if (names->names[sorted[i]].refs == 0) continue;
    obs_buf_putc(out, before);
    obs_buf_json_str(out, obs_names_text(names, sorted[i]));
    obs_buf_printf(out, ":%" PRIu64, names->names[sorted[i]].refs);
    before = ',';
  }
  obs_buf_puts(out, before == '{' ? "{}" : "}");
}

/* A quotient, null when there is nothing to divide. */
static void put_ratio(obs_buf *out, const char *key, double sum, uint64_t n) {
  obs_buf_printf(out, ",\"%s\":", key);
  if (n > 0)
    obs_buf_printf(out, "%.10g", sum / (double)n);
  else
    obs_buf_puts(out, "null");
}

static void put_durations(obs_buf *out, const obs_session_stats *s) {
  static const uint32_t percents[] = {50, 90, 99};
  if (s->with_duration == 0) {
    obs_buf_puts(out, ",\"duration_ms\":{\"p50\":null,\"p90\":null,\"p99\":null,\"max\":null}");
    return;
  }
  obs_sketch_flat flat = {{0}};
  obs_sketch_flat_add_sum(&flat, &s->durations);
  obs_buf_puts(out, ",\"duration_ms\":{");
  for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
    int64_t v = obs_sketch_quantile(&s->scale, &flat, s->with_duration, s->longest, percents[i]);
    obs_buf_printf(out, "\"p%" PRIu32 "\":%" PRId64 ",", percents[i], v);
  }
  obs_buf_printf(out, "\"max\":%" PRId64 "}", s->longest);
}

void obs_session_stats_json(obs_session_stats *s, obs_buf *out) {
  obs_buf_printf(out, "{\"total\":%" PRIu64, s->total);
  for (uint32_t g = 0; g < OBS_GROUP_COUNT; g++) put_names(out, groups[g].key, &s->groups[g]);
  put_ratio(out, "mean_iterations", s->iterations, s->with_iterations);
  obs_buf_printf(out, ",\"attempts\":%" PRIu64, s->attempts);
  put_names(out, "\"attempt_verdicts\":", &s->verdicts);
  obs_buf_printf(out, ",\"grounded\":%" PRIu64 ",\"grounded_of\":%" PRIu64, s->grounded, s->say_so);
  put_ratio(out, "grounded_share", (double)s->grounded, s->say_so);
  put_durations(out, s);
  obs_buf_puts(out, ",\"relative_error\":0.01}");
}
