/* A report as JSON, with its sentences. */
#include "base/number.h"
#include "diagnose/sentences.h"

#include <stdio.h>

static const char *const cause_names[OBS_CAUSE_COUNT] = {
#define CAUSE_NAME(kind, name) name,
    OBS_CAUSES(CAUSE_NAME)
#undef CAUSE_NAME
};

static const char *const relation_names[OBS_RELATION_COUNT] = {
#define RELATION_NAME(kind, name) name,
    OBS_RELATIONS(RELATION_NAME)
#undef RELATION_NAME
};

static const char *const verdict_names[] = {"unknown", "better", "worse", "same"};

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
    obs_json_u64(w, "rest_ops", f->places[i].rest_ops);
    obs_json_u64(w, "rest_failures", f->places[i].rest_failures);
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
  if (f->by_kind) obs_json_bool(w, "of_error_kind", true);
  if (f->of_cluster) obs_json_bool(w, "of_cluster", true);
  put_blame(w, f);
  obs_json_u64(w, "ops", f->ops);
  obs_json_u64(w, "failures", f->failures);
  obs_json_u64(w, "rest_ops", f->rest_ops);
  obs_json_u64(w, "rest_failures", f->rest_failures);
  obs_json_u64(w, "unexplained_ops", f->unexplained_ops);
  obs_json_u64(w, "unexplained_failures", f->unexplained_failures);
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
