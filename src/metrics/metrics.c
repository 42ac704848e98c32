#include "metrics/metrics.h"

#include "base/clock.h"
#include "base/json.h"
#include "feed/encode.h"
#include "learn/analyses/analyses.h"
#include "learn/escalations/escalations.h"
#include "learn/playbooks/playbooks.h"
#include "learn/reviews/reviews.h"

#include <stddef.h>

/* ---- the table ---- */

static const char *const file_names[OBS_METRICS_FILES] = {"analyses", "playbooks", "escalations", "reviews", "calls"};
static const char *const socket_names[OBS_METRICS_SOCKETS] = {"http", "pull", "sub", "rep", "feed"};
static const char *const key_file_names[] = {"none", "read", "broken"};
/* The builtin diagnosis, then the models as obs_llm_kind counts them. */
static const char *const analyser_names[] = {"builtin", "lakehouse", "openai"};
_Static_assert(sizeof(analyser_names) / sizeof(*analyser_names) == 1 + OBS_LLM_COUNT, "a model without a name");

static const char *const redact_kinds[OBS_REDACT_KIND_COUNT] = {
#define KIND_NAME(name, all, text) #name,
    OBS_REDACT_BUILT_IN(KIND_NAME)
#undef KIND_NAME
};

#define AT(member) offsetof(obs_metrics_values, member)
#define WIDE(member) .wide = sizeof(((obs_metrics_values *)0)->member) == sizeof(uint64_t), .at = AT(member)
#define PLAIN(path, name, type, member, help)                                                                          \
  { path, "observer_" name, help, OBS_METRIC_##type, WIDE(member) }
/* One number for each value of a label; `list` has an element for each, in the order of `values`. */
#define EACH(path, name, type, list, member, label, values, help)                                                      \
  {                                                                                                                    \
    path, "observer_" name, help, OBS_METRIC_##type, WIDE(list[0] member), sizeof(((obs_metrics_values *)0)->list[0]), \
        label, values, sizeof(values) / sizeof(*(values))                                                              \
  }
#define TRANSPORT(member, name, help)                                                                                  \
  EACH("transports/{transport}/" #member, name, COUNTER, transports, .member, "transport", obs_transport_names, help)
#define SERVICE(member, name, help)                                                                                    \
  EACH("learn/calls/{service}/" #member, name, COUNTER, learn.calls.services, .member, "service",                      \
       obs_calls_service_names, help)
#define SOCKET(member, name, type, help)                                                                               \
  EACH("connections/{socket}/" #member, name, type, sockets, .member, "socket", socket_names, help)
#define STORE(member, name, help) EACH("files/{file}/" #member, name, COUNTER, files, .member, "file", file_names, help)

/* In the order of /health: rows of one object stand together. */
static const obs_metric table[] = {
    {"status", "observer_status", "ok while the daemon answers", OBS_METRIC_TEXT, .at = AT(status)},
    {"ops_in_ring", "observer_ring_ops", "ops that /stats covers", OBS_METRIC_GAUGE, WIDE(state.ring), .beat = "ring"},
    {"version", "observer_version", "version of the daemon", OBS_METRIC_TEXT, .at = AT(version)},
    {"data_dir", "observer_data_dir", "the data directory; null: ephemeral", OBS_METRIC_TEXT, .at = AT(data_dir)},
    {"journal_name", "observer_journal_name", "name of the journal's active segment in it", OBS_METRIC_TEXT,
     .at = AT(journal_name)},
    PLAIN("seq", "last_seq", GAUGE, state.last_seq, "sequence number of the last recorded op; 0: none"),
    PLAIN("sessions", "sessions", GAUGE, sessions, "session records in the file"),
    PLAIN("uptime_s", "uptime_seconds", GAUGE, uptime_s, "seconds since the start"),
    TRANSPORT(received, "received_total", "ops and session records received"),
    TRANSPORT(recorded, "recorded_total", "of them, recorded"),
    TRANSPORT(duplicate, "duplicate_total", "of them, recorded before"),
    TRANSPORT(rejected, "rejected_total", "of them, rejected"),
    EACH("transports/{transport}/in_flight", "in_flight", GAUGE, transports, .in_flight, "transport",
         obs_transport_names, "of them, still on their way"),
    TRANSPORT(refused, "refused_total",
              "not among them: refused while the disk failed or the queue was full, to be sent again"),
    {"urls", "observer_urls", "where the daemon listens or dials, by kind", OBS_METRIC_JSON, .at = AT(urls)},
    {"access/open", "observer_access_open", "listeners that others can reach and that are open to all", OBS_METRIC_JSON,
     .at = AT(open)},
    {"access/plain", "observer_access_plain", "listeners that others can reach and that are not encrypted",
     OBS_METRIC_JSON, .at = AT(plain)},
    {"access/key_file", "observer_access_key_file",
     "state of the key file: none, read, or broken: then the keys that were read last hold", OBS_METRIC_STATE,
     WIDE(key_file), .states = key_file_names},
    PLAIN("access/keys", "access_keys", GAUGE, access.keys, "keys in the key file"),
    PLAIN("access/accepted", "access_accepted_total", COUNTER, access.accepted, "times that a valid key was given"),
    PLAIN("access/denied", "access_denied_total", COUNTER, access.denied,
          "requests and connections that were refused for want of a key or of a scope"),
    PLAIN("access/limited", "access_limited_total", COUNTER, access.limited,
          "wrong keys from an address that had given too many"),
    PLAIN("access/reloads", "access_reloads_total", COUNTER, access.reloads, "times that other keys were read"),
    PLAIN("access/broken", "access_broken_total", COUNTER, access.broken, "times that the key file could not be read"),
    PLAIN("access/audit_lost", "access_audit_lost_total", COUNTER, access.audit_lost,
          "rows that the audit file could not take"),
    {"tls/expires", "observer_tls_expires", "when the first certificate of the listeners' chain expires; null: no TLS",
     OBS_METRIC_TEXT, .at = AT(tls_expires)},
    {"tls/ca_expires", "observer_tls_ca_expires",
     "when the last CA of clients expires; null: clients need no certificate", OBS_METRIC_TEXT,
     .at = AT(tls_ca_expires)},
    {"tls/problem", "observer_tls_problem",
     "why the TLS files as they are now are not used, but what was read before; null: they are", OBS_METRIC_TEXT,
     .at = AT(tls_problem)},
    PLAIN("tls/expires_s", "tls_expires_timestamp_seconds", GAUGE, tls_expires_s,
          "the same as seconds since the epoch; 0: no TLS"),
    PLAIN("tls/reloads", "tls_reloads_total", COUNTER, tls.reloads, "times that changed TLS files were taken"),
    PLAIN("tls/refused", "tls_reloads_refused_total", COUNTER, tls.refused,
          "times that changed TLS files were not taken: what was read before stayed in use"),
    {"redaction/kinds", "observer_redaction_kinds", "what is redacted: off, secrets or all", OBS_METRIC_TEXT,
     .at = AT(redact_mode)},
    EACH("redaction/redacted/{kind}", "redacted_total", COUNTER, redacted, , "kind", redact_kinds,
         "matches that became tokens; a text that comes several ways, or is logged, counts each time"),
    {"redaction/patterns", "observer_redacted_by_pattern", "the same for each configured pattern", OBS_METRIC_JSON,
     .at = AT(patterns)},
    PLAIN("redaction/pattern_failures", "redaction_pattern_failures_total", COUNTER, redact_failures,
          "texts that became a token as a whole, because a pattern went beyond its limits"),
    {"feed/ops", "observer_feed_ops_total", "ops sent on the feed, once however many subscribers", OBS_METRIC_COUNTER,
     WIDE(feed.ops), .beat = "feed/ops"},
    {"feed/messages", "observer_feed_messages_total", "messages sent on the feed", OBS_METRIC_COUNTER,
     WIDE(feed.messages), .beat = "feed/messages"},
    {"feed/bytes", "observer_feed_bytes_total", "bytes sent on the feed", OBS_METRIC_COUNTER, WIDE(feed.bytes),
     .beat = "feed/bytes"},
    {"feed/dropped", "observer_feed_dropped_total", "ops and publications that had subscribers but no room",
     OBS_METRIC_COUNTER, WIDE(feed.dropped), .beat = "feed/dropped"},
    {"feed/lost", "observer_feed_lost_total", "messages that connected subscribers were too slow for, for each of them",
     OBS_METRIC_COUNTER, WIDE(feed.lost), .beat = "feed/lost"},
    {"feed/subscribers", "observer_feed_subscribers", "subscribers connected now", OBS_METRIC_GAUGE,
     WIDE(feed.subscribers), .beat = "feed/subscribers"},
    PLAIN("clusters/held", "clusters", GAUGE, clusters.held, "failure clusters held"),
    EACH("clusters/{state}", "clusters_in_state", GAUGE, clusters.states, , "state", obs_cluster_state_names,
         "of them, those in each state"),
    PLAIN("clusters/failures", "cluster_failures_total", COUNTER, clusters.failures, "failures put into clusters"),
    PLAIN("clusters/merged", "clusters_merged_total", COUNTER, clusters.merged, "clusters merged into others"),
    PLAIN("clusters/forgotten", "clusters_forgotten_total", COUNTER, clusters.forgotten,
          "clusters forgotten to make room"),
    PLAIN("clusters/lost", "cluster_failures_lost_total", COUNTER, clusters.lost,
          "failures without a cluster for lack of memory"),
    PLAIN("clusters/repeats", "repeats", GAUGE, clusters.repeats,
          "tasks that failed twice or more and have not succeeded since"),
    PLAIN("clusters/repeats_forgotten", "repeats_forgotten_total", COUNTER, clusters.repeats_forgotten,
          "of these, those forgotten to make room"),
    {"learn/analyser", "observer_analyser", "who analyses failures", OBS_METRIC_STATE, WIDE(learn.analyser),
     .states = analyser_names},
    PLAIN("learn/cycles", "learn_cycles_total", COUNTER, learn.cycles, "learning cycles that were due"),
    PLAIN("learn/missed_cycles", "learn_missed_cycles_total", COUNTER, learn.missed_cycles,
          "of them, those that came while another one ran"),
    PLAIN("learn/analysed_through", "analysed_through_seq", GAUGE, analysed_through,
          "the last failure that the analysis of all failures has seen"),
    PLAIN("learn/escalations_held_back", "escalations_held_back", GAUGE, escalations_held,
          "escalations that the last cycle held back"),
    PLAIN("learn/corrections/recorded", "corrections_recorded_total", COUNTER, corrections.recorded,
          "corrections recorded from the file"),
    PLAIN("learn/corrections/duplicates", "corrections_duplicate_total", COUNTER, corrections.duplicates,
          "corrections recorded before"),
    PLAIN("learn/corrections/bad_lines", "corrections_bad_lines_total", COUNTER, corrections.bad_lines,
          "lines of the file that are no corrections"),
    PLAIN("learn/corrections/restarts", "corrections_restarts_total", COUNTER, corrections.restarts,
          "times that the file was truncated or replaced"),
    PLAIN("learn/corrections/cursor", "corrections_cursor_bytes", GAUGE, corrections.cursor,
          "bytes of the file that are taken"),
    SERVICE(calls, "calls_total", "outgoing calls"),
    SERVICE(ok, "calls_ok_total", "of them, answered well"),
    SERVICE(failed, "calls_failed_total", "of them, failed"),
    SERVICE(refused, "calls_refused_total", "calls that the breaker or a budget refused"),
    {"learn/calls/{service}/breaker", "observer_calls_breaker", "state of the service's breaker", OBS_METRIC_STATE,
     WIDE(learn.calls.services[0].breaker), sizeof(obs_calls_service_counts), "service", obs_calls_service_names,
     OBS_SERVICE_COUNT, .states = obs_breaker_names},
    SERVICE(tokens, "calls_tokens_total", "tokens that calls cost"),
    PLAIN("learn/calls/budget/calls_this_hour", "calls_this_hour", GAUGE, learn.calls.calls_this_hour,
          "calls counted against the budget of this hour"),
    PLAIN("learn/calls/budget/tokens_today", "tokens_today", GAUGE, learn.calls.tokens_today,
          "tokens counted against the budget of this day"),
    PLAIN("learn/calls/gateway_queue/waiting", "gateway_waiting", GAUGE, learn.gateway.waiting,
          "posts to the gateway that wait"),
    PLAIN("learn/calls/gateway_queue/dropped", "gateway_dropped_total", COUNTER, learn.gateway.dropped,
          "posts to the gateway dropped for lack of room"),
    PLAIN("journal/bytes", "journal_bytes", GAUGE, journal.bytes, "bytes of all segments"),
    PLAIN("journal/segments", "journal_segments", GAUGE, journal.segments, "segments, the active one included"),
    PLAIN("journal/appends", "journal_appends_total", COUNTER, journal.appends, "groups of rows written"),
    PLAIN("journal/syncs", "journal_syncs_total", COUNTER, journal.syncs, "times that the journal was synced"),
    PLAIN("journal/failures", "journal_failures_total", COUNTER, journal.failures, "writes and syncs that failed"),
    PLAIN("journal/bad_rows", "journal_bad_rows_total", COUNTER, journal.bad_rows, "rows that replay passed over"),
    PLAIN("journal/bad_rows_kept", "journal_bad_rows_kept", GAUGE, journal.bad_rows_kept,
          "of them, kept in bad-rows.jsonl"),
    PLAIN("journal/rejected", "journal_rejected_total", COUNTER, journal.rejected, "rows written to rejected.jsonl"),
    PLAIN("journal/rejected_dropped", "journal_rejected_dropped_total", COUNTER, journal.rejected_dropped,
          "rejects beyond a batch's limit, not written"),
    PLAIN("journal/rejected_failures", "journal_rejected_failures_total", COUNTER, journal.rejected_failures,
          "rejects that could not be written"),
    STORE(rows, "file_rows_total", "rows read or written since the start"),
    STORE(bad_rows, "file_bad_rows_total", "rows that could not be read"),
    STORE(failures, "file_failures_total", "rows that could not be written"),
    EACH("traffic/{transport}/messages", "messages_total", COUNTER, transports, .messages, "transport",
         obs_transport_names, "messages received"),
    EACH("traffic/{transport}/bytes", "bytes_total", COUNTER, transports, .bytes, "transport", obs_transport_names,
         "bytes received"),
    SOCKET(open, "connections_open", GAUGE, "connections open now"),
    SOCKET(accepted, "connections_accepted_total", COUNTER, "connections accepted"),
    SOCKET(refused, "connections_refused_total", COUNTER,
           "of them, closed because there were too many, or not allowed"),
    SOCKET(evicted, "connections_evicted_total", COUNTER, "of them, closed to make way for others"),
    SOCKET(expired, "connections_expired_total", COUNTER, "times that a deadline of a connection passed"),
    SOCKET(accept_errors, "connections_accept_errors_total", COUNTER,
           "connections that the system could not hand over"),
    SOCKET(bytes, "connections_buffered_bytes", GAUGE, "bytes held of what is not complete yet"),
    PLAIN("state/total", "ops_total", COUNTER, state.total, "ops recorded in the lifetime"),
    PLAIN("state/successes", "ops_succeeded_total", COUNTER, state.successes, "of them, those that succeeded"),
    PLAIN("state/failures", "ops_failed_total", COUNTER, state.failures, "of them, those that failed"),
    PLAIN("state/endpoints", "endpoints", GAUGE, state.endpoints, "endpoints counted by name"),
    PLAIN("state/sources", "sources", GAUGE, state.sources, "sources counted by name"),
    PLAIN("state/overflow", "ops_overflow_total", COUNTER, state.overflow, "ops counted under (other)"),
    PLAIN("state/sketch_pages_refused", "sketch_pages_refused_total", COUNTER, state.sketch_pages_refused,
          "windows without quantiles for lack of memory"),
    PLAIN("state/late", "ops_late_total", COUNTER, times.late,
          "ops recorded more than 10 minutes after their event: a spool, a backfill"),
    PLAIN("state/skewed", "ops_skewed_total", COUNTER, times.skewed, "ops whose producer's clock was off"),
    PLAIN("state/clock_off_s", "clock_off_seconds", GAUGE, clock_off_s,
          "by how much the wall clock was set while the daemon ran"),
};
enum { METRICS = sizeof(table) / sizeof(*table) };

const obs_metric *obs_metrics_at(size_t place) {
  return place < METRICS ? &table[place] : NULL;
}

/* ---- reading ---- */

uint64_t obs_metrics_number(const obs_metric *m, const obs_metrics_values *v, uint32_t value) {
  const char *at = (const char *)v + m->at + value * m->step;
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
    while (kind < OBS_REDACT_KIND_COUNT && strcmp(redact_kinds[kind], counts[i].name) != 0) kind++;
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
}

void obs_metrics_fini(obs_metrics_values *v) {
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
    for (uint32_t i = 0; i < (each ? m->nvalues : 1); i++) {
      const char *member = each ? m->values[i] : text;
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
  obs_json_object(&w, NULL);
  put_members(&w, table, table + METRICS, 0, v, 0);
  obs_json_end(&w);
}

/* ---- the heartbeat ---- */

uint32_t obs_metrics_beat(const obs_metrics_values *v, obs_buf *out) {
  msgpack_packer pk;
  uint32_t own = 0, feed = 0;
  obs_feed_packer(&pk, out);
  for (const obs_metric *m = table; m < table + METRICS; m++) {
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
  for (const obs_metric *m = table; m < table + METRICS; m++)
    if (m->beat != NULL && strncmp(m->beat, "feed/", 5) == 0)
      obs_feed_pack_u64(&pk, obs_str_of(m->beat + 5), obs_metrics_number(m, v, 0));
  return own + 1;
}
