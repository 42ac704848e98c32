#include "metrics/metrics.h"

#include "base/clock.h"
#include "base/json.h"
#include "feed/encode.h"
#include "metrics/process.h"

#include <nng/nng.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- reading ---- */

uint64_t obs_metrics_number(const obs_metric *m, const obs_metrics_values *v, uint32_t value) {
  const char *at = (const char *)v + m->at + value * m->labels[0].step;
  uint64_t wide;
  uint32_t narrow;
  if (m->wide) {
    memcpy(&wide, at, sizeof(wide));
    return wide;
  }
  memcpy(&narrow, at, sizeof(narrow));
  return narrow;
}

/* NULL: there is none. */
static const char *time_text(int64_t ms, char out[OBS_ISO8601_LEN + 1]) {
  if (ms == 0) return NULL;
  obs_clock_format(ms, out);
  return out;
}

static void read_tls(obs_tls *tls, obs_metrics_values *out) {
  obs_tls_get_status(tls, &out->tls);
  out->tls_expires = time_text(out->tls.expires_ms, out->tls_times[0]);
  out->tls_ca_expires = time_text(out->tls.ca_expires_ms, out->tls_times[1]);
  out->tls_problem = out->tls.problem[0] != '\0' ? out->tls.problem : NULL;
  out->tls_expires_s = out->tls.expires_ms > 0 ? (uint64_t)(out->tls.expires_ms / 1000) : 0;
}

/* Kinds that are off count 0. Those of patterns are known by their names alone. */
static void read_redaction(const obs_metrics_sources *from, obs_metrics_values *out) {
  obs_redact_count counts[OBS_REDACT_ALL_KINDS];
  size_t n = obs_redact_get_counts(from->redact, counts, &out->redact_failures);
  obs_json_writer w = obs_json_write(&out->patterns_text);
  obs_json_object(&w, NULL);
  for (size_t i = 0; i < n; i++) {
    size_t kind = 0;
    while (kind < OBS_REDACT_KIND_COUNT && strcmp(obs_metrics_redact_kinds[kind], counts[i].name) != 0) kind++;
    if (kind < OBS_REDACT_KIND_COUNT)
      out->redacted[kind] = counts[i].count;
    else
      obs_json_u64(&w, counts[i].name, counts[i].count);
  }
  obs_json_end(&w);
  out->redact_mode = from->redact_mode != NULL ? from->redact_mode : "off";
  out->patterns = out->patterns_text.oom ? OBS_STR("{}") : obs_buf_view(&out->patterns_text);
}

void obs_metrics_read(const obs_metrics_sources *from, obs_metrics_values *out) {
  static const obs_loop *const keepers[] = {[OBS_METRICS_ANALYSES] = &obs_analyses_loop,
                                            [OBS_METRICS_PLAYBOOKS] = &obs_playbooks_loop,
                                            [OBS_METRICS_ESCALATIONS] = &obs_escalations_loop,
                                            [OBS_METRICS_REVIEWS] = &obs_reviews_loop};
  *out = (obs_metrics_values){
      .status = "ok", .version = from->version, .data_dir = from->data_dir, .journal_name = from->journal_name};
  out->uptime_s = (obs_clock_mono_ms() - from->started_ms) / 1000;
  out->sessions = obs_sessions_total(from->sessions);
  if (from->state != NULL) obs_state_get_counts(from->state, &out->state);
  for (obs_transport t = 0; t < OBS_TRANSPORT_COUNT && from->commit != NULL; t++)
    obs_commit_get_counts(from->commit, t, &out->transports[t]);
  if (from->commit != NULL) obs_commit_get_times(from->commit, &out->times);
  int64_t off_ms = out->times.clock_step_ms;
  out->clock_off_s = (uint64_t)(off_ms < 0 ? -off_ms : off_ms) / 1000;
  if (from->sockets != NULL) from->sockets(from->sockets_arg, out->sockets);
  if (from->feed != NULL) obs_feed_get_counts(from->feed, &out->feed);
  if (from->clusters != NULL) obs_clusters_get_counts(from->clusters, &out->clusters);
  if (from->journal != NULL) obs_journal_get_counts(from->journal, &out->journal);
  if (from->learn != NULL) {
    obs_learn_get_counts(from->learn, &out->learn);
    out->analysed_through = obs_analyses_through(obs_learn_loop(from->learn, &obs_analyses_loop));
    out->escalations_held = obs_escalations_held(obs_learn_loop(from->learn, &obs_escalations_loop));
    obs_corrections_file_get_counts(obs_learn_loop(from->learn, &obs_corrections_loop), &out->corrections);
    for (size_t i = 0; i < sizeof(keepers) / sizeof(*keepers); i++)
      obs_records_get_counts(keepers[i]->records(obs_learn_loop(from->learn, keepers[i])), &out->files[i]);
    out->files[OBS_METRICS_CALLS] = out->learn.calls.ledger;
  }
  read_tls(from->tls, out);
  read_redaction(from, out);
  obs_access_get_counts(from->access, &out->access);
  out->key_file = !obs_access_enabled(from->access) ? 0 : out->access.stale ? 2 : 1;
  out->open = from->open.len > 0 ? from->open : OBS_STR("[]");
  out->plain = from->plain.len > 0 ? from->plain : OBS_STR("[]");
  if (from->urls != NULL) from->urls(from->urls_arg, &out->urls_text);
  out->urls = out->urls_text.len > 0 ? obs_buf_view(&out->urls_text) : OBS_STR("{}");
  out->fleet = from->fleet.len > 0 ? from->fleet : OBS_STR("null");
}

/* ---- what /metrics alone has ---- */

typedef struct {
  obs_metrics_source sources[OBS_METRICS_SOURCES];
  uint32_t nsources;
  obs_exposed_place endpoints[OBS_EXPOSED_PLACES];
  obs_requests_counts requests;
} lists;

/* The first place is of those that have no name, or no place. */
static void add_source(void *arg, obs_str name, uint64_t ops, uint64_t failures) {
  lists *l = arg;
  bool other = obs_str_is(name, OBS_NAMES_OTHER) || l->nsources == OBS_METRICS_SOURCES;
  obs_metrics_source *s = &l->sources[other ? 0 : l->nsources++];
  if (!other) s->name = name;
  s->succeeded += ops - failures;
  s->failed += failures;
}

static void read_lists(const obs_metrics_sources *from, obs_metrics_values *out) {
  lists *l = calloc(1, sizeof *l);
  out->listed = l;
  if (l == NULL) return;
  l->sources[0].name = OBS_STR(OBS_NAMES_OTHER);
  l->nsources = 1;
  uint32_t endpoints = 0;
  if (from->state != NULL) {
    obs_state_sources(from->state, add_source, l);
    endpoints = obs_state_exposed(from->state, obs_clock_receipt_ms(), l->endpoints);
  }
  if (from->bridge != NULL) obs_bridge_get_requests(from->bridge, &l->requests);
  out->sources = (obs_metrics_list){l->sources, l->nsources, sizeof l->sources[0]};
  out->endpoints = (obs_metrics_list){l->endpoints, endpoints, sizeof l->endpoints[0]};
  out->routes = (obs_metrics_list){l->requests.routes, l->requests.nroutes, sizeof l->requests.routes[0]};
  out->codes = (obs_metrics_list){l->requests.codes, l->requests.ncodes, sizeof l->requests.codes[0]};
}

static void read_loops(const obs_learn *learn, obs_metrics_values *out) {
  obs_analyses_get_counts(obs_learn_loop(learn, &obs_analyses_loop), &out->analyses);
  obs_playbooks_get_counts(obs_learn_loop(learn, &obs_playbooks_loop), &out->playbooks);
  obs_advice_get_counts(obs_learn_loop(learn, &obs_advice_loop), &out->advice);
  obs_reviews_get_counts(obs_learn_loop(learn, &obs_reviews_loop), &out->reviews);
  obs_escalations_get_results(obs_learn_loop(learn, &obs_escalations_loop), out->escalations);
  out->cycles_run = out->learn.cycles - out->learn.missed_cycles;
  if (out->advice.built_ms != 0) out->advice_age_ms = obs_clock_mono_ms() - out->advice.built_ms;
}

void obs_metrics_read_all(const obs_metrics_sources *from, obs_metrics_values *out) {
  obs_metrics_read(from, out);
  if (from->commit != NULL) obs_commit_get_figures(from->commit, &out->commit);
  if (from->learn != NULL) read_loops(from->learn, out);
  if (from->edge != NULL) obs_edge_get_counts(from->edge, &out->edge);
  if (from->works) out->worker = from->worker;
  out->leader = from->leader;
  out->asked = from->asked;
  out->answered = from->answered;
  if (from->notify != NULL) obs_notify_get_counts(from->notify, &out->notify);
  if (from->alerts != NULL) obs_alerts_get_counts(from->alerts, &out->alerts);
  obs_ready ready;
  obs_ready_find(&from->ready, &ready);
  out->ready = ready.n == 0;
  read_lists(from, out);
  obs_metrics_read_process(&out->process);
  out->started_wall_ms = (uint64_t)from->started_wall_ms;
  (void)snprintf(out->build_text, sizeof out->build_text, "version=\"%s\",nng=\"%s\"", from->version, nng_version());
  out->build = out->build_text;
}

/* ---- of a fleet ---- */

typedef struct {
  lists *l;
  uint32_t n; /* places that are used, the first by those that have none */
} endpoint_list;

/* Those with most ops have a place of their own. */
static void add_endpoint(void *arg, const obs_state_endpoint *e) {
  endpoint_list *to = arg;
  obs_exposed_place *other = &to->l->endpoints[0], *least = other;
  obs_exposed_place place = {.name = e->name, .succeeded = e->ops - e->failures, .failed = e->failures};
  if (!obs_str_is(e->name, OBS_NAMES_OTHER) && to->n < OBS_EXPOSED_PLACES) {
    to->l->endpoints[to->n++] = place;
    return;
  }
  for (uint32_t i = 1; i < to->n && !obs_str_is(e->name, OBS_NAMES_OTHER); i++) {
    obs_exposed_place *p = &to->l->endpoints[i];
    uint64_t ops = p->succeeded + p->failed;
    if (ops < e->ops && (least == other || ops < least->succeeded + least->failed)) least = p;
  }
  obs_exposed_place out = least == other ? place : *least;
  if (least != other) *least = place;
  other->succeeded += out.succeeded;
  other->failed += out.failed;
}

void obs_metrics_read_fleet(obs_merge *merge, int64_t now_ms, obs_metrics_values *out) {
  obs_merge_counts c;
  lists *l = calloc(1, sizeof *l);
  *out = (obs_metrics_values){.listed = l};
  obs_merge_get_counts(merge, &c);
  out->fleet_view =
      (obs_metrics_fleet_view){c.partitions, c.missing, c.rebuilding, c.folded, c.duplicate, c.rejected, 0};
  if (c.oldest_ms != 0 && c.oldest_ms < now_ms) out->fleet_view.age_ms = (uint64_t)(now_ms - c.oldest_ms);
  obs_state_get_counts(obs_merge_state(merge), &out->state);
  obs_clusters_get_counts(obs_merge_clusters(merge), &out->clusters);
  if (l == NULL) return;
  l->sources[0].name = l->endpoints[0].name = OBS_STR(OBS_NAMES_OTHER);
  l->nsources = 1;
  endpoint_list endpoints = {l, 1};
  obs_state_sources(obs_merge_state(merge), add_source, l);
  obs_state_endpoint_totals(obs_merge_state(merge), add_endpoint, &endpoints);
  out->sources = (obs_metrics_list){l->sources, l->nsources, sizeof l->sources[0]};
  out->endpoints = (obs_metrics_list){l->endpoints, endpoints.n, sizeof l->endpoints[0]};
}

void obs_metrics_fini(obs_metrics_values *v) {
  free(v->listed);
  obs_buf_fini(&v->urls_text);
  obs_buf_fini(&v->patterns_text);
}

/* ---- /health ---- */

/* The path's segment at that depth; empty beyond the last. */
static obs_str segment(const char *path, uint32_t depth) {
  for (; depth > 0; depth--) {
    path += strcspn(path, "/");
    path += *path == '/';
  }
  return (obs_str){path, (uint32_t)strcspn(path, "/"), 1};
}

/* The members of rows m..end, whose paths are the same above `depth`; `value` of the label when that is above. */
static void put_members(obs_json_writer *w, const obs_metric *m, const obs_metric *end, uint32_t depth,
                        const obs_metrics_values *v, uint32_t value) {
  for (const obs_metric *next; m < end; m = next) {
    obs_str name = segment(m->path, depth);
    char text[64];
    for (next = m + 1; next < end && obs_str_eq(segment(next->path, depth), name);) next++;
    if (name.len >= sizeof(text)) name.len = sizeof(text) - 1;
    memcpy(text, name.p, name.len);
    text[name.len] = '\0';
    bool leaf = segment(m->path, depth + 1).len == 0, each = text[0] == '{';
    for (uint32_t i = 0; i < (each ? m->labels[0].n : 1); i++) {
      const char *member = each ? m->labels[0].values[i] : text;
      uint32_t of = each ? i : value;
      if (!leaf) {
        obs_json_object(w, member);
        put_members(w, m, next, depth + 1, v, of);
        obs_json_end(w);
      } else if (m->type == OBS_METRIC_STATE) {
        obs_json_cstr(w, member, m->states[obs_metrics_number(m, v, of)]);
      } else if (m->type == OBS_METRIC_TEXT) {
        const char *said;
        memcpy(&said, (const char *)v + m->at, sizeof(said));
        obs_json_cstr(w, member, said);
      } else if (m->type == OBS_METRIC_JSON) {
        obs_str json;
        memcpy(&json, (const char *)v + m->at, sizeof(json));
        obs_json_raw(w, member, json);
      } else {
        obs_json_u64(w, member, obs_metrics_number(m, v, of));
      }
    }
  }
}

void obs_metrics_health(const obs_metrics_values *v, obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  const obs_metric *first = obs_metrics_at(0), *end = first;
  while (end->path != NULL) end++; /* those of /metrics alone are behind them */
  obs_json_object(&w, NULL);
  put_members(&w, first, end, 0, v, 0);
  obs_json_end(&w);
}

/* ---- the heartbeat ---- */

uint32_t obs_metrics_beat(const obs_metrics_values *v, obs_buf *out) {
  msgpack_packer pk;
  const obs_metric *m;
  uint32_t own = 0, feed = 0;
  obs_feed_packer(&pk, out);
  for (size_t i = 0; (m = obs_metrics_at(i)) != NULL; i++) {
    if (m->beat == NULL) continue;
    if (strncmp(m->beat, "feed/", 5) == 0) {
      feed++;
      continue;
    }
    obs_feed_pack_u64(&pk, obs_str_of(m->beat), obs_metrics_number(m, v, 0));
    own++;
  }
  obs_feed_pack_str(&pk, OBS_STR("feed"));
  msgpack_pack_map(&pk, feed);
  for (size_t i = 0; (m = obs_metrics_at(i)) != NULL; i++)
    if (m->beat != NULL && strncmp(m->beat, "feed/", 5) == 0)
      obs_feed_pack_u64(&pk, obs_str_of(m->beat + 5), obs_metrics_number(m, v, 0));
  return own + 1;
}
