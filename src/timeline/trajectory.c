#include "timeline/trajectory.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

const char *const obs_trajectory_class_names[OBS_TRAJECTORY_CLASS_COUNT] = {
#define NAME(name) #name,
    OBS_TRAJECTORY_CLASSES(NAME)
#undef NAME
};

enum { FACTOR_TEXT = 16, SLOPE_TEXT = 128 };

/* ---- which class ---- */

/* How many of the last `last` attempts failed with the kind that most of these failed with; *failed: with any. */
static uint32_t same_kind(const uint64_t *failure, uint32_t n, uint32_t last, uint32_t *failed) {
  uint32_t from = n > last ? n - last : 0, most = 0;
  *failed = 0;
  for (uint32_t i = from; i < n; i++) {
    uint32_t same = 0;
    *failed += failure[i] != 0;
    for (uint32_t k = from; failure[i] != 0 && k < n; k++) same += failure[k] == failure[i];
    if (same > most) most = same;
  }
  return most;
}

/* Of the failures among the last attempts, how many had a kind that no attempt before them had; *failed: all. */
static uint32_t novel_kinds(const uint64_t *failure, uint32_t n, uint32_t last, uint32_t *failed) {
  uint32_t novel = 0;
  *failed = 0;
  for (uint32_t i = n > last ? n - last : 0; i < n; i++) {
    bool known = false;
    if (failure[i] == 0) continue;
    ++*failed;
    for (uint32_t k = 0; k < i && !known; k++) known = failure[k] == failure[i];
    novel += !known;
  }
  return novel;
}

/* A factor as one reads it: no powers of ten. */
static const char *factor_text(double f, char out[FACTOR_TEXT]) {
  if (f >= 1000)
    snprintf(out, FACTOR_TEXT, "over 1,000");
  else if (f < 0.001)
    snprintf(out, FACTOR_TEXT, "under 0.001");
  else
    snprintf(out, FACTOR_TEXT, f >= 100 ? "%.0f" : "%.2g", f);
  return out;
}

static void put_slope(const obs_trajectory_slope *s, char out[SLOPE_TEXT]) {
  char low[FACTOR_TEXT], high[FACTOR_TEXT];
  if (!s->known) {
    snprintf(out, SLOPE_TEXT, "all went alike");
    return;
  }
  static const char head[] = "with each doubling of the attempts the odds of a failure change by a factor of ";
  factor_text(exp(s->low), low);
  factor_text(exp(s->high), high);
  if (s->low <= -OBS_SLOPE_MOST)
    snprintf(out, SLOPE_TEXT, "%s%s at most", head, high);
  else if (s->high >= OBS_SLOPE_MOST)
    snprintf(out, SLOPE_TEXT, "%s%s at least", head, low);
  else
    snprintf(out, SLOPE_TEXT, "%s%s to %s", head, low, high);
}

obs_trajectory_verdict obs_trajectory_judge(const uint64_t *failure, uint32_t n) {
  obs_trajectory_verdict v = {.class = OBS_TRAJECTORY_MIXED};
  bool *failed = calloc(n + 1, sizeof(*failed));
  uint32_t failures = 0, last_failed, recent_failed;
  for (uint32_t i = 0; failed != NULL && i < n; i++) {
    failed[i] = failure[i] != 0;
    failures += failed[i];
  }
  if (failed != NULL) v.slope = obs_trajectory_slope_of(failed, n);
  free(failed);
  uint32_t same = same_kind(failure, n, OBS_LOOPING_LAST, &last_failed);
  uint32_t novel = novel_kinds(failure, n, OBS_ORBITING_LAST, &recent_failed);
  uint32_t last = n < OBS_LOOPING_LAST ? n : OBS_LOOPING_LAST, recent = n < OBS_ORBITING_LAST ? n : OBS_ORBITING_LAST;
  char slope[SLOPE_TEXT];
  put_slope(&v.slope, slope);
  if (n < OBS_TRAJECTORY_LEAST) {
    v.class = OBS_TRAJECTORY_NONE;
    snprintf(v.why, sizeof(v.why), "%" PRIu32 " attempt%s: too few to say", n, n == 1 ? "" : "s");
  } else if (v.slope.known && v.slope.high < 0) {
    v.class = OBS_TRAJECTORY_CONVERGING;
    snprintf(v.why, sizeof(v.why), "Failures get rarer: %s.%s", slope,
             same >= OBS_LOOPING_SAME ? " But the latest ones failed alike." : "");
  } else if (same >= OBS_LOOPING_SAME) {
    v.class = OBS_TRAJECTORY_LOOPING;
    snprintf(v.why, sizeof(v.why), "%" PRIu32 " of the last %" PRIu32 " attempts failed in the same way.", same, last);
  } else if (failure[n - 1] != 0 && last_failed >= OBS_LOOPING_SAME && 2 * novel >= recent_failed) {
    v.class = OBS_TRAJECTORY_ORBITING;
    snprintf(v.why, sizeof(v.why),
             "It keeps failing in new ways: %" PRIu32 " of %" PRIu32 " failures among the last %" PRIu32
             " attempts were of a kind not seen before.",
             novel, recent_failed, recent);
  } else if (n >= OBS_PLATEAU_LEAST && (!v.slope.known || v.slope.low <= 0)) {
    v.class = OBS_TRAJECTORY_PLATEAU;
    snprintf(v.why, sizeof(v.why),
             "Neither better nor worse over %" PRIu32 " attempts, of which %" PRIu32 " failed: %s.", n, failures,
             slope);
  } else if (v.slope.known && v.slope.low > 0) {
    snprintf(v.why, sizeof(v.why), "Failures get more frequent: %s.", slope);
  } else {
    snprintf(v.why, sizeof(v.why), "%" PRIu32 " of %" PRIu32 " attempts failed, too few to tell a direction.", failures,
             n);
  }
  return v;
}

/* ---- attempts and marks ---- */

static bool add_mark(obs_trajectory *t, obs_trajectory_mark mark) {
  obs_trajectory_mark *m = OBS_VEC_PUSH(&t->marks);
  if (m == NULL) return false;
  for (; m > t->marks.at && m[-1].ms > mark.ms; m--) *m = m[-1];
  *m = mark;
  return true;
}

static bool mark(obs_trajectory *t, obs_trajectory_mark_kind kind, const obs_gather_item *x, obs_str text) {
  return add_mark(t, (obs_trajectory_mark){kind, t->attempts.n + 1, x->end_ms, x->seq, text});
}

bool obs_trajectory_mark_at(obs_trajectory *t, const obs_gather_result *g, obs_trajectory_mark_kind kind, int64_t ms,
                            obs_str text) {
  uint32_t n = 0;
  while (n < t->attempts.n && g->ops.at[t->attempts.at[n]].end_ms <= ms) n++;
  return n == 0 || add_mark(t, (obs_trajectory_mark){kind, n + 1, ms, 0, text});
}

static bool add_attempt(obs_trajectory *t, uint32_t op, const obs_gather_item *x, uint64_t correction) {
  uint32_t *at = OBS_VEC_PUSH(&t->attempts);
  uint64_t *seq = OBS_VEC_PUSH(&t->corrections), *failure = OBS_VEC_PUSH(&t->failures);
  if (at == NULL || seq == NULL || failure == NULL) return false;
  *at = op;
  *seq = correction;
  *failure = x->failure;
  return true;
}

bool obs_trajectory_of(const obs_gather_result *g, uint32_t limit, obs_trajectory *out) {
  uint32_t n = 0;
  uint64_t correction = 0;
  obs_str model = {0};
  bool ok = true;
  for (uint32_t i = 0; i < g->ops.n; i++) n += g->ops.at[i].kind == OBS_GATHER_A_OP;
  uint32_t skip = n > limit ? n - limit : 0;
  out->earlier = g->matched > n ? g->matched - n + skip : skip;
  for (uint32_t i = 0; ok && i < g->ops.n; i++) {
    const obs_gather_item *x = &g->ops.at[i];
    bool told = skip == 0;
    if (x->kind == OBS_GATHER_A_CORRECTION) {
      correction = x->seq;
      ok = !told || mark(out, OBS_TRAJECTORY_MARK_CORRECTION, x, x->text);
    } else if (x->kind == OBS_GATHER_A_OP) {
      if (told && x->model.len > 0 && model.len > 0 && !obs_str_eq(model, x->model))
        ok = mark(out, OBS_TRAJECTORY_MARK_MODEL, x, x->model);
      if (x->model.len > 0) model = x->model;
      if (told)
        ok = ok && add_attempt(out, i, x, correction);
      else
        skip--;
    }
  }
  if (ok) out->verdict = obs_trajectory_judge(out->failures.at, out->failures.n);
  return ok;
}

void obs_trajectory_fini(obs_trajectory *t) {
  OBS_VEC_FINI(&t->attempts);
  OBS_VEC_FINI(&t->corrections);
  OBS_VEC_FINI(&t->failures);
  OBS_VEC_FINI(&t->marks);
}
