#include "diagnose/sentences.h"

#include "base/clock.h"
#include "base/number.h"

#include <stdio.h>

static const char *const cause_names[OBS_CAUSE_COUNT] = {
#define CAUSE_NAME(kind, name) name,
    OBS_CAUSES(CAUSE_NAME)
#undef CAUSE_NAME
};

static const char *const verdict_names[] = {"unknown", "better", "worse", "same"};

/* What is likely behind each kind of error, what to do about it, and whether an agent can avoid it. */
static const obs_sentences_kind by_error[OBS_ERROR_KIND_COUNT] = {
    [OBS_ERROR_UNKNOWN] = {"the error texts do not say what failed", "look at the cited ops before trying again",
                           false},
    [OBS_ERROR_RATE_LIMIT] = {"more calls are made than the other side allows",
                              "spread calls out, and back off when refused", true},
    [OBS_ERROR_TIMEOUT] = {"the other side answers too slowly or not at all",
                           "try again later with a longer pause each time, or go elsewhere", false},
    [OBS_ERROR_REFUSED] = {"the other side is down or cannot be reached",
                           "check that it is up before calling it, or go elsewhere", false},
    [OBS_ERROR_AUTH] = {"credentials are missing, expired or not sufficient",
                        "do not repeat the call; have the credentials renewed or the permission granted", true},
    [OBS_ERROR_RESOURCE] = {"memory, disk, context or capacity is exhausted",
                            "ask for less at a time, or have the capacity raised", true},
    [OBS_ERROR_CRASH] = {"the program that was called crashes", "do not repeat the same call; report the cited ops",
                         false},
    [OBS_ERROR_NOT_FOUND] = {"the names or ids used do not exist", "look the name up before using it", true},
    [OBS_ERROR_VALIDATION] = {"the input does not have the required form",
                              "check the input against the schema before the call", true},
};

const obs_sentences_kind *obs_sentences_of_kind(obs_error_kind kind) {
  return &by_error[kind];
}

static const char *const relation_names[OBS_RELATION_COUNT] = {
#define RELATION_NAME(kind, name) name,
    OBS_RELATIONS(RELATION_NAME)
#undef RELATION_NAME
};

static void put_condition(obs_buf *out, const obs_diagnose_condition *c) {
  switch (c->relation) {
  case OBS_RELATION_ABSENT:
    obs_buf_printf(out, "no %s", c->field);
    return;
  case OBS_RELATION_ABOVE:
    obs_buf_printf(out, "%s above %.15g", c->field, c->number);
    return;
  case OBS_RELATION_AT_MOST:
    obs_buf_printf(out, "%s up to %.15g", c->field, c->number);
    return;
  case OBS_RELATION_IS:
  case OBS_RELATION_COUNT:
    break;
  }
  obs_buf_puts(out, c->field);
  for (uint32_t i = 0; i < c->nvalues; i++) {
    if (i > 0) obs_buf_puts(out, i + 1 < c->nvalues || c->more > 0 ? "," : " or");
    obs_buf_putc(out, ' ');
    obs_buf_json_cstr(out, c->values[i]);
  }
  if (c->more > 0) obs_buf_printf(out, " or %u more", c->more);
}

static void put_who(obs_buf *out, const obs_diagnose_finding *f) {
  if (f->nconditions == 0) obs_buf_puts(out, "everything");
  for (uint32_t k = 0; k < f->nconditions; k++) {
    if (k > 0) obs_buf_puts(out, " together with ");
    put_condition(out, &f->conditions[k]);
  }
}

static bool blames_field(const obs_diagnose_finding *f, const char *field) {
  return f->nconditions > 0 && strcmp(f->conditions[0].field, field) == 0;
}

static double percent(uint64_t part, uint64_t all) {
  return all > 0 ? 100.0 * (double)part / (double)all : 0;
}

static void put_since(obs_buf *out, const obs_diagnose_finding *f) {
  char time[OBS_ISO8601_LEN + 1];
  obs_clock_format(f->from_ms, time);
  obs_buf_printf(out, " since op %llu (%s)", (unsigned long long)f->from_seq, time);
  if (f->until_seq) obs_buf_printf(out, " until op %llu", (unsigned long long)f->until_seq);
}

void obs_sentences_finding(const obs_diagnose_finding *f, obs_buf *out) {
  put_who(out, f);
  switch (f->cause) {
  case OBS_CAUSE_SLOW:
    obs_buf_puts(out, " has been slow");
    put_since(out, f);
    obs_buf_printf(out, ": typically %u ms, before %u ms; ", f->ms_after, f->ms_before);
    break;
  case OBS_CAUSE_ONSET:
    obs_buf_puts(out, " has failed more");
    put_since(out, f);
    obs_buf_puts(out, ": ");
    break;
  case OBS_CAUSE_REGRESSION:
    obs_buf_printf(out, " has failed more since its correction, op %llu: ", (unsigned long long)f->correction_seq);
    break;
  case OBS_CAUSE_SHARE:
  case OBS_CAUSE_COUNT:
    obs_buf_puts(out, " fails more than others");
    if (f->until_seq) obs_buf_printf(out, ", until op %llu", (unsigned long long)f->until_seq);
    obs_buf_puts(out, ": ");
  }
  obs_buf_printf(out, "%.3g %% of its %llu ops failed, %.3g %% of the others", percent(f->failures, f->ops),
                 (unsigned long long)f->ops, percent(f->rest_failures, f->rest_ops));
  if (f->failures > 0 && f->error != OBS_ERROR_UNKNOWN)
    obs_buf_printf(out, ", mostly %s", obs_error_kind_phrases[f->error]);
  if (f->at_ms) obs_buf_printf(out, ", most after about %u ms", f->at_ms);
  if (f->per_minute) obs_buf_printf(out, ", in minutes with %u or more of them", f->per_minute);
  if (f->deploy_seq) {
    obs_buf_puts(out, "; it began shortly after ");
    obs_buf_json_cstr(out, f->deploy);
    obs_buf_printf(out, ", op %llu", (unsigned long long)f->deploy_seq);
  }
  if (f->same.field[0] != '\0') {
    obs_buf_printf(out, "; it always comes with %s ", f->same.field);
    obs_buf_json_cstr(out, f->same.name);
    obs_buf_puts(out, ", which may be the cause as well");
  }
  obs_buf_putc(out, '.');
}

void obs_sentences_cause(const obs_diagnose_finding *f, obs_buf *out) {
  if (f->cause == OBS_CAUSE_REGRESSION) {
    obs_buf_printf(out, "The correction of op %llu made it worse", (unsigned long long)f->correction_seq);
  } else if (f->deploy_seq) {
    obs_buf_puts(out, "A change shortly before, ");
    obs_buf_json_cstr(out, f->deploy);
  } else if (f->cause == OBS_CAUSE_SLOW) {
    obs_buf_puts(out, "What ");
    put_who(out, f);
    obs_buf_puts(out, " depends on has become slow");
  } else {
    obs_buf_puts(out, "Something in ");
    put_who(out, f);
    obs_buf_puts(out, f->cause == OBS_CAUSE_ONSET ? " changed" : " itself");
  }
  if (f->failures > 0) obs_buf_printf(out, "; %s", by_error[f->error].cause);
  obs_buf_putc(out, '.');
}

void obs_sentences_advice(const obs_diagnose_finding *f, obs_buf *out) {
  if (f->cause == OBS_CAUSE_REGRESSION) {
    obs_buf_printf(out, "Do not apply the correction of op %llu any more", (unsigned long long)f->correction_seq);
  } else if (f->per_minute) {
    obs_buf_puts(out, "Keep ");
    put_who(out, f);
    obs_buf_printf(out, " below %u ops a minute", f->per_minute);
  } else {
    obs_buf_puts(out, "With ");
    put_who(out, f);
    obs_buf_puts(out, blames_field(f, "staffer_id") ? ", give the work to someone else until it is fixed"
                                                    : ", expect failures until it is fixed");
    if (f->cause == OBS_CAUSE_SLOW) obs_buf_printf(out, " and allow for %u ms or more", f->ms_after);
  }
  obs_buf_printf(out, "; %s.", by_error[f->error].advice);
}

bool obs_sentences_is_dont(const obs_diagnose_finding *f) {
  if (f->nconditions == 0) return false;
  return f->cause == OBS_CAUSE_REGRESSION || f->nconditions > 1 || by_error[f->error].dont;
}

void obs_sentences_summary(const obs_diagnose_report *r, obs_buf *out) {
  obs_error_kind most = OBS_ERROR_UNKNOWN;
  for (int k = 1; k < OBS_ERROR_KIND_COUNT; k++)
    if (r->kinds[k] > r->kinds[most]) most = (obs_error_kind)k;
  obs_buf_printf(out, "%llu of %llu ops failed", (unsigned long long)r->failures, (unsigned long long)r->ops);
  if (r->failures > 0)
    obs_buf_printf(out, ", ops %llu to %llu, %.3g %% of them %s", (unsigned long long)r->first_seq,
                   (unsigned long long)r->last_seq, percent(r->kinds[most], r->failures), obs_error_kind_phrases[most]);
  if (r->failures > 0 && r->nfindings == 0)
    obs_buf_puts(out, r->failures < OBS_DIAGNOSE_LEAST ? "; too few to tell whether a field or moment stands out"
                                                       : "; no field or moment stands out");
  obs_buf_putc(out, '.');
}

/* ---- as JSON ---- */

/* A member that is left out when it is 0. */
static void put_u64_if(obs_json_writer *w, const char *name, uint64_t value) {
  if (value != 0) obs_json_u64(w, name, value);
}

static void put_number(obs_json_writer *w, const char *name, double value) {
  char text[OBS_NUMBER_MAX];
  int n = snprintf(text, sizeof(text), "%.15g", value);
  obs_json_raw(w, name, (obs_str){text, (uint32_t)n, 1});
}

static void put_value_json(obs_json_writer *w, const char *name, const char *field, const char *value) {
  obs_json_object(w, name);
  obs_json_cstr(w, "field", field);
  obs_json_cstr(w, "value", value);
  obs_json_end(w);
}

/* The first two conditions as version 1 wrote them, which had two values at most, and all of them. */
static void put_blame(obs_json_writer *w, const obs_diagnose_finding *f) {
  const obs_diagnose_condition *c = f->conditions;
  put_value_json(w, "blames", f->nconditions > 0 ? c[0].field : "*", f->nconditions > 0 ? c[0].values[0] : "");
  if (f->nconditions > 1) put_value_json(w, "with", c[1].field, c[1].values[0]);
  obs_json_array(w, "conditions");
  for (uint32_t k = 0; k < f->nconditions; k++, c++) {
    obs_json_object(w, NULL);
    obs_json_cstr(w, "field", c->field);
    obs_json_cstr(w, "relation", relation_names[c->relation]);
    if (c->relation == OBS_RELATION_IS) {
      obs_json_array(w, "values");
      for (uint32_t i = 0; i < c->nvalues; i++) obs_json_cstr(w, NULL, c->values[i]);
      obs_json_end(w);
      put_u64_if(w, "more", c->more);
    } else if (c->relation != OBS_RELATION_ABSENT) {
      put_number(w, "number", c->number);
    }
    obs_json_end(w);
  }
  obs_json_end(w);
  if (f->same.field[0] != '\0') put_value_json(w, "same_as", f->same.field, f->same.name);
  obs_json_array(w, "places");
  for (uint32_t i = 0; i < f->nplaces; i++) {
    obs_json_object(w, NULL);
    obs_json_cstr(w, "endpoint", f->places[i].endpoint);
    obs_json_u64(w, "ops", f->places[i].ops);
    obs_json_u64(w, "failures", f->places[i].failures);
    obs_json_end(w);
  }
  obs_json_end(w);
}

static void put_tenths(obs_json_writer *w, const char *name, double value) {
  char text[OBS_NUMBER_MAX];
  int n = snprintf(text, sizeof(text), "%.1f", value);
  obs_json_raw(w, name, (obs_str){text, (uint32_t)n, 1});
}

static void put_sentence(obs_json_writer *w, const char *name, void (*say)(const obs_diagnose_finding *, obs_buf *),
                         const obs_diagnose_finding *f) {
  obs_buf text = {0};
  say(f, &text);
  if (text.oom) w->out->oom = true;
  obs_json_text(w, name, obs_buf_view(&text));
  obs_buf_fini(&text);
}

static void put_finding(obs_json_writer *w, const obs_diagnose_finding *f) {
  obs_json_object(w, NULL);
  obs_json_cstr(w, "cause", cause_names[f->cause]);
  obs_json_cstr(w, "error_kind", obs_error_kind_names[f->error]);
  put_blame(w, f);
  obs_json_u64(w, "ops", f->ops);
  obs_json_u64(w, "failures", f->failures);
  obs_json_u64(w, "rest_ops", f->rest_ops);
  obs_json_u64(w, "rest_failures", f->rest_failures);
  put_tenths(w, "expected_failures", f->expected);
  put_tenths(w, "log10_p", f->log10_p);
  obs_json_u64(w, "from_seq", f->from_seq);
  obs_json_time(w, "from", f->from_ms);
  put_u64_if(w, "until_seq", f->until_seq);
  put_u64_if(w, "ms_before", f->ms_before);
  put_u64_if(w, "ms_after", f->ms_after);
  put_u64_if(w, "failures_at_ms", f->at_ms);
  put_u64_if(w, "limit_per_minute", f->per_minute);
  put_u64_if(w, "correction_seq", f->correction_seq);
  put_u64_if(w, "deploy_seq", f->deploy_seq);
  put_sentence(w, "finding", obs_sentences_finding, f);
  put_sentence(w, "likely_cause", obs_sentences_cause, f);
  put_sentence(w, "advice", obs_sentences_advice, f);
  obs_json_bool(w, "dont", obs_sentences_is_dont(f));
  obs_json_u64s(w, "evidence", f->evidence, f->nevidence);
  obs_json_end(w);
}

void obs_sentences_json(obs_json_writer *w, const obs_diagnose_report *r) {
  obs_buf summary = {0};
  obs_sentences_summary(r, &summary);
  if (summary.oom) w->out->oom = true;
  obs_json_object(w, NULL);
  obs_json_u64(w, "ops", r->ops);
  obs_json_u64(w, "failures", r->failures);
  obs_json_text(w, "summary", obs_buf_view(&summary));
  obs_json_object(w, "error_kinds");
  for (int k = 0; k < OBS_ERROR_KIND_COUNT; k++) put_u64_if(w, obs_error_kind_names[k], r->kinds[k]);
  obs_json_end(w);
  obs_json_array(w, "findings");
  for (uint32_t i = 0; i < r->nfindings; i++) put_finding(w, &r->findings[i]);
  obs_json_end(w);
  obs_json_array(w, "corrections");
  for (uint32_t i = 0; i < r->ncorrections; i++) {
    const obs_diagnose_correction *c = &r->corrections[i];
    obs_json_object(w, NULL);
    obs_json_u64(w, "seq", c->seq);
    put_value_json(w, "of", c->value.field, c->value.name);
    obs_json_u64(w, "ops_before", c->ops_before);
    obs_json_u64(w, "failures_before", c->failures_before);
    obs_json_u64(w, "ops_after", c->ops_after);
    obs_json_u64(w, "failures_after", c->failures_after);
    obs_json_cstr(w, "verdict", verdict_names[c->verdict]);
    obs_json_end(w);
  }
  obs_json_end(w);
  obs_json_end(w);
  obs_buf_fini(&summary);
}
