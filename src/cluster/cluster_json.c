#include "cluster/cluster_json.h"

#include "base/fleet_seq.h"
#include "base/names.h"

/* A fleet's as a text. */
static void put_seq(obs_json_writer *w, const char *name, uint64_t seq, bool fleet) {
  char room[OBS_FLEET_SEQ_TEXT];
  if (fleet)
    obs_json_text(w, name, obs_fleet_seq_text(seq, room));
  else
    obs_json_u64(w, name, seq);
}

/* {"value":count,...}: the values are names of members. */
static void put_values(obs_json_writer *w, const char *name, const obs_cluster_values *values) {
  obs_json_object(w, name);
  for (uint32_t i = 0; i < values->n; i++) {
    obs_json_key(w, values->v[i].value);
    obs_json_u64(w, NULL, values->v[i].count);
  }
  if (values->other > 0) obs_json_u64(w, OBS_NAMES_OTHER, values->other);
  obs_json_end(w);
}

/* What the number of different tasks among the failures says; NULL: there are too few, or it says nothing. */
static const char *pattern_of(const obs_cluster_many *many) {
  if (many->failures < 2) return NULL;
  if (many->distinct == 1) return "one";
  return many->distinct * 4 >= many->failures * 3 ? "each" : "some"; /* the estimate may be off by a tenth */
}

static void put_many(obs_json_writer *w, const char *name, const obs_cluster_many *many) {
  obs_json_object(w, name);
  obs_json_u64(w, "failures", many->failures);
  obs_json_u64(w, "distinct", many->distinct);
  obs_json_cstr(w, "pattern", pattern_of(many));
  put_values(w, "top", &many->top);
  obs_json_end(w);
}

static void put_places(obs_json_writer *w, const obs_cluster_view *x) {
  obs_json_array(w, "places");
  for (uint32_t i = 0; i < x->nplaces; i++) {
    const obs_cluster_place *p = &x->places[i];
    obs_json_object(w, NULL);
    obs_json_text(w, "endpoint", p->endpoint);
    obs_json_cstr(w, "state", obs_cluster_state_names[p->state]);
    obs_json_time(w, "state_since", p->state_ms);
    obs_json_u64(w, "count", p->count);
    obs_json_u64(w, "last_minute", p->last_minute);
    obs_json_u64(w, "last_hour", p->last_hour);
    obs_json_time(w, "first_seen", p->first_ms);
    obs_json_time(w, "last_seen", p->last_ms);
    obs_json_end(w);
  }
  obs_json_end(w);
  obs_json_u64(w, "places_forgotten", x->places_forgotten);
}

static void put_time_if(obs_json_writer *w, const char *name, bool known, int64_t ms) {
  if (known)
    obs_json_time(w, name, ms);
  else
    obs_json_null(w, name);
}

static void put_corrections(obs_json_writer *w, const obs_cluster_view *x) {
  obs_json_array(w, "corrections");
  for (uint32_t i = 0; i < x->ncorrections; i++) {
    const obs_cluster_correction *r = &x->corrections[i];
    obs_json_object(w, NULL);
    put_seq(w, "seq", r->seq, x->fleet);
    obs_json_time(w, "time", r->time_ms);
    obs_json_text(w, "text", r->text);
    obs_json_cstr(w, "for", r->by_class ? "task_class" : "sig_hash");
    if (r->came)
      obs_json_bool(w, "next", r->next);
    else
      obs_json_null(w, "next");
    obs_json_u64(w, "succeeded", r->succeeded);
    obs_json_u64(w, "failed", r->failed);
    obs_json_end(w);
  }
  obs_json_end(w);
}

void obs_cluster_members_json(obs_json_writer *w, const obs_cluster_view *x, obs_cluster_form form) {
  obs_json_id(w, "id", x->id);
  obs_json_cstr(w, "state", obs_cluster_state_names[x->state]);
  obs_json_time(w, "state_since", x->state_ms);
  obs_json_text(w, "template", x->template);
  obs_json_text(w, "sig_hash", x->sig_hash);
  obs_json_text(w, "event_kind", x->event_kind);
  obs_json_u64(w, "count", x->count);
  obs_json_u64(w, "late", x->late);
  obs_json_u64(w, "last_minute", x->last_minute);
  obs_json_u64(w, "last_hour", x->last_hour);
  obs_json_time(w, "first_seen", x->first_ms);
  put_seq(w, "first_seq", x->first_seq, x->fleet);
  obs_json_time(w, "last_seen", x->last_ms);
  put_seq(w, "last_seq", x->last_seq, x->fleet);
  obs_json_time(w, "last_received", x->received_ms);
  obs_json_u64(w, "wasted_ms", x->wasted_ms);
  obs_json_array(w, "trend");
  for (uint32_t i = 0; i < OBS_CLUSTER_HOURS; i++) obs_json_u64(w, NULL, x->trend[i]);
  obs_json_end(w);
  put_values(w, "endpoints", &x->endpoints);
  put_values(w, "sources", &x->sources);
  put_values(w, "staffers", &x->staffers);
  put_values(w, "task_classes", &x->task_classes);
  put_values(w, "event_kinds", &x->event_kinds);
  obs_json_u64(w, "places_known", x->nplaces);
  if (form != OBS_CLUSTER_BRIEF) {
    put_many(w, "sessions", &x->sessions);
    put_many(w, "sig_hashes", &x->sig_hashes);
    put_places(w, x);
  }
  obs_json_array(w, "samples");
  for (uint32_t i = 0; i < x->nsamples; i++) put_seq(w, NULL, x->samples[i], x->fleet);
  obs_json_end(w);
  obs_json_u64(w, "corrected", x->corrected);
  obs_json_u64(w, "regressions", x->regressions);
  put_time_if(w, "regressed_at", x->regressions > 0, x->regressed_ms);
  put_time_if(w, "resolved_at", x->resolutions > 0, x->resolved_ms);
  obs_json_u64(w, "spreads", x->spreads);
  put_time_if(w, "spread_at", x->spreads > 0, x->spread_ms);
  if (form != OBS_CLUSTER_WHOLE) return;
  put_corrections(w, x);
  obs_json_array(w, "former_ids");
  for (uint32_t i = 0; i < x->nformer_ids; i++) obs_json_id(w, NULL, x->former_ids[i]);
  obs_json_end(w);
}

void obs_cluster_view_json(obs_json_writer *w, const obs_cluster_view *x, obs_cluster_form form) {
  obs_json_object(w, NULL);
  obs_cluster_members_json(w, x, form);
  obs_json_end(w);
}

void obs_repeat_view_json(obs_json_writer *w, const obs_repeat_view *x) {
  obs_json_object(w, NULL);
  obs_json_text(w, "sig_hash", x->sig_hash);
  obs_json_text(w, "session_id", x->session_id);
  obs_json_text(w, "endpoint", x->endpoint);
  obs_json_text(w, "staffer_id", x->staffer_id);
  obs_json_u64(w, "failures", x->failures);
  obs_json_time(w, "first_seen", x->first_ms);
  put_seq(w, "first_seq", x->first_seq, x->fleet);
  obs_json_time(w, "last_seen", x->last_ms);
  put_seq(w, "last_seq", x->last_seq, x->fleet);
  obs_json_array(w, "clusters");
  for (uint32_t i = 0; i < x->nkinds; i++) obs_json_id(w, NULL, x->kinds[i]);
  obs_json_end(w);
  obs_json_end(w);
}
