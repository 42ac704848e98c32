/* The table of metrics: what is counted, under which names. /health, the heartbeat, /metrics, proto/metrics.md and the
 * dashboard are made from it. */
#include "learn/advice/advice.h"
#include "learn/escalations/escalations.h"
#include "learn/reviews/rules.h"
#include "metrics/metrics.h"

#include <stddef.h>

static const char *const file_names[OBS_METRICS_FILES] = {"analyses", "playbooks", "escalations", "reviews", "calls"};
static const char *const socket_names[OBS_METRICS_SOCKETS] = {"http", "pull", "sub", "rep", "feed"};
static const char *const key_file_names[] = {"none", "read", "broken"};
/* The builtin diagnosis, then the models as obs_llm_kind counts them. */
static const char *const analyser_names[] = {"builtin", "lakehouse", "openai"};
_Static_assert(sizeof(analyser_names) / sizeof(*analyser_names) == 1 + OBS_LLM_COUNT, "a model without a name");
static const char *const yes_no[] = {"false", "true"};
static const char *const playbook_kinds[] = {"do", "dont"};
static const char *const review_sources[] = {"heuristic", "llm"};

const char *const obs_metrics_redact_kinds[OBS_REDACT_KIND_COUNT] = {
#define KIND_NAME(name, all, text) #name,
    OBS_REDACT_BUILT_IN(KIND_NAME)
#undef KIND_NAME
};

/* clang-format off */
#define MEMBER(member) ((obs_metrics_values *)0)->member
#define AT(member) offsetof(obs_metrics_values, member)
#define WIDE(member) .wide = sizeof(MEMBER(member)) == sizeof(uint64_t), .at = AT(member)
#define VALUES(list) list, sizeof(list) / sizeof(*(list))
#define ROW(of_health, kind, said) .path = of_health, .type = OBS_METRIC_##kind, .help = said

/* Of /health alone: a text, JSON, or a number that is in /metrics under another form. */
#define TEXT(path, kind, member, help) {ROW(path, kind, help), .at = AT(member)}
#define NUMBER(path, member, help) {ROW(path, GAUGE, help), WIDE(member)}
#define PLAIN(path, called, kind, member, help) {ROW(path, kind, help), .name = "observer_" called, WIDE(member)}
#define BEAT(path, called, kind, member, in_beat, help) \
  {ROW(path, kind, help), .name = "observer_" called, WIDE(member), .beat = in_beat}
/* One of several rows of a family: the others have another value of the label that is fixed here. */
#define PART(path, called, kind, member, fix, help) \
  {ROW(path, kind, help), .name = "observer_" called, WIDE(member), .fixed = fix}
/* One number for each value of a label; `list` has an element for each, in the order of `values`. */
#define EACH(path, called, kind, list, member, label, values, help) \
  {ROW(path, kind, help), .name = "observer_" called, WIDE(list[0] member), \
   .labels = {{label, VALUES(values), sizeof(MEMBER(list[0]))}}}
#define EACH_PART(path, called, kind, list, member, label, values, fix, help) \
  {ROW(path, kind, help), .name = "observer_" called, WIDE(list[0] member), .fixed = fix, \
   .labels = {{label, VALUES(values), sizeof(MEMBER(list[0]))}}}
/* The same for each value of two labels. */
#define PAIRS(called, kind, list, member, label, values, label2, values2, help) \
  {ROW(NULL, kind, help), .name = "observer_" called, WIDE(list[0] member[0]), \
   .labels = {{label, VALUES(values), sizeof(MEMBER(list[0]))}, {label2, VALUES(values2), sizeof(MEMBER(list[0] member[0]))}}}
/* A name for each value: the number says which. */
#define STATE(path, called, member, names, help) \
  {ROW(path, STATE, help), .name = "observer_" called, WIDE(member), .states = names, .nstates = sizeof(names) / sizeof(*(names))}
/* Milliseconds that are shown as seconds; 0: there is none. */
#define SECONDS(called, member, help) \
  {ROW(NULL, GAUGE, help), .name = called, .per = 1000, .may_lack = true, WIDE(member)}
#define HISTOGRAM(called, member, bounds, a_unit, help) \
  {ROW(NULL, HISTOGRAM, help), .name = "observer_" called, .per = a_unit, .scale = &(bounds), .at = AT(member)}
/* A number for each element of a list (obs_metrics_list), which begins with the value of the label. */
#define LISTED(called, kind, of, most, element, member, label, help, ...) \
  {ROW(NULL, kind, help), .name = "observer_" called, .wide = true, .list = AT(of), .longest = most, \
   .at = offsetof(element, member), .labels = {{label, NULL, 0, 0}}, __VA_ARGS__}
/* clang-format on */

#define TRANSPORT(member, called, kind, help)                                                                          \
  EACH("transports/{transport}/" #member, "intake_ops_" called, kind, transports, .member, "transport",                \
       obs_transport_names, help)
#define CALLS(member, help)                                                                                            \
  EACH_PART("learn/calls/{service}/" #member, "outbound_calls_total", COUNTER, learn.calls.services, .member,          \
            "service", obs_calls_service_names, "result=\"" #member "\"", help)
#define SOCKET(member, called, kind, help)                                                                             \
  EACH("connections/{socket}/" #member, "connections" called, kind, sockets, .member, "socket", socket_names, help)
#define STORE(member, called, help)                                                                                    \
  EACH("files/{file}/" #member, called, COUNTER, files, .member, "file", file_names, help)

/* First those of /health, in its order: rows of one object stand together. Of a family that has several rows the first
 * one's help is the family's. */
static const obs_metric table[] = {
    TEXT("status", TEXT, status, "ok while the daemon answers"),
    BEAT("ops_in_ring", "ring_ops", GAUGE, state.ring, "ring", "ops that /stats covers"),
    TEXT("version", TEXT, version, "version of the daemon"),
    TEXT("data_dir", TEXT, data_dir, "the data directory; null: ephemeral"),
    TEXT("journal_name", TEXT, journal_name, "name of the journal's active segment in it"),
    PLAIN("seq", "journal_seq", GAUGE, state.last_seq, "sequence number of the last recorded op; 0: none"),
    PLAIN("sessions", "sessions", GAUGE, sessions, "session records in the file"),
    PLAIN("uptime_s", "uptime_seconds", GAUGE, uptime_s, "seconds since the start"),
    TRANSPORT(received, "received_total", COUNTER, "ops and session records received"),
    TRANSPORT(recorded, "recorded_total", COUNTER, "of those received, recorded"),
    TRANSPORT(duplicate, "duplicate_total", COUNTER, "of those received, recorded before"),
    {ROW("transports/{transport}/rejected", COUNTER, "of those received, rejected"), WIDE(transports[0].rejected),
     .labels = {{"transport", VALUES(obs_transport_names), sizeof(obs_commit_counts)}}},
    TRANSPORT(in_flight, "in_flight", GAUGE, "of those received, still on their way"),
    TRANSPORT(refused, "refused_total", COUNTER,
              "not among those received: refused while the disk failed or the queue was full, to be sent again"),
    TEXT("urls", JSON, urls, "where the daemon listens or dials, by kind"),
    TEXT("fleet", JSON, fleet, "what the daemon is in its fleet, its spool and its partitions; null: it is alone"),
    TEXT("access/open", JSON, open, "listeners that others can reach and that are open to all"),
    TEXT("access/plain", JSON, plain, "listeners that others can reach and that are not encrypted"),
    STATE("access/key_file", "access_key_file", key_file, key_file_names,
          "state of the key file: none, read, or broken: then the keys that were read last hold"),
    PLAIN("access/keys", "access_keys", GAUGE, access.keys, "keys in the key file"),
    PLAIN("access/accepted", "auth_accepted_total", COUNTER, access.accepted, "times that a valid key was given"),
    NUMBER("access/denied", access.denied,
           "requests and connections that were refused for want of a key or of a scope"),
    NUMBER("access/limited", access.limited, "wrong keys from an address that had given too many"),
    PLAIN("access/reloads", "access_reloads_total", COUNTER, access.reloads, "times that other keys were read"),
    PLAIN("access/broken", "access_failures_total", COUNTER, access.broken,
          "times that the key file could not be read"),
    PLAIN("access/audit_lost", "audit_rows_lost_total", COUNTER, access.audit_lost,
          "rows that the audit file could not take"),
    TEXT("tls/expires", TEXT, tls_expires, "when the first certificate of the listeners' chain expires; null: no TLS"),
    TEXT("tls/ca_expires", TEXT, tls_ca_expires,
         "when the last CA of clients expires; null: clients need no certificate"),
    TEXT("tls/problem", TEXT, tls_problem,
         "why the TLS files as they are now are not used, but what was read before; null: they are"),
    {ROW("tls/expires_s", GAUGE,
         "when the first certificate of the listeners' chain expires, seconds since the epoch; 0 or absent: no TLS"),
     .name = "observer_tls_not_after_timestamp_seconds", .may_lack = true, WIDE(tls_expires_s)},
    PLAIN("tls/reloads", "tls_reloads_total", COUNTER, tls.reloads, "times that changed TLS files were taken"),
    PLAIN("tls/refused", "tls_reloads_refused_total", COUNTER, tls.refused,
          "times that changed TLS files were not taken: what was read before stayed in use"),
    TEXT("redaction/kinds", TEXT, redact_mode, "what is redacted: off, secrets or all"),
    EACH("redaction/redacted/{kind}", "redacted_total", COUNTER, redacted, , "kind", obs_metrics_redact_kinds,
         "matches that became tokens; a text that comes several ways, or is logged, counts each time"),
    TEXT("redaction/patterns", JSON, patterns, "the same for each configured pattern"),
    PLAIN("redaction/pattern_failures", "redaction_pattern_failures_total", COUNTER, redact_failures,
          "texts that became a token as a whole, because a pattern went beyond its limits"),
    BEAT("feed/ops", "feed_ops_total", COUNTER, feed.ops, "feed/ops",
         "ops sent on the feed, once however many subscribers"),
    BEAT("feed/messages", "feed_messages_total", COUNTER, feed.messages, "feed/messages", "messages sent on the feed"),
    BEAT("feed/bytes", "feed_bytes_total", COUNTER, feed.bytes, "feed/bytes", "bytes sent on the feed"),
    BEAT("feed/dropped", "feed_dropped_ops_total", COUNTER, feed.dropped, "feed/dropped",
         "ops and publications that had subscribers but no room"),
    BEAT("feed/lost", "feed_lost_messages_total", COUNTER, feed.lost, "feed/lost",
         "messages that connected subscribers were too slow for, for each of them"),
    BEAT("feed/subscribers", "feed_subscribers", GAUGE, feed.subscribers, "feed/subscribers",
         "subscribers connected now"),
    NUMBER("clusters/held", clusters.held, "failure clusters held"),
    EACH("clusters/{state}", "clusters", GAUGE, clusters.states, , "state", obs_cluster_state_names,
         "failure clusters held, by state"),
    PLAIN("clusters/failures", "cluster_failures_total", COUNTER, clusters.failures,
          "failures put into clusters, in the journal's lifetime"),
    PLAIN("clusters/merged", "clusters_merged_total", COUNTER, clusters.merged, "clusters merged into others"),
    PLAIN("clusters/forgotten", "clusters_forgotten_total", COUNTER, clusters.forgotten,
          "clusters forgotten to make room"),
    PLAIN("clusters/lost", "failures_unclustered_total", COUNTER, clusters.lost,
          "failures without a cluster for lack of memory"),
    PLAIN("clusters/repeats", "repeats", GAUGE, clusters.repeats,
          "tasks that failed twice or more and have not succeeded since"),
    PLAIN("clusters/repeats_forgotten", "repeats_forgotten_total", COUNTER, clusters.repeats_forgotten,
          "such tasks that were forgotten to make room"),
    STATE("learn/analyser", "analyser", learn.analyser, analyser_names, "who analyses failures"),
    NUMBER("learn/cycles", learn.cycles, "learning cycles that were due"),
    PART("learn/missed_cycles", "learn_cycles_total", COUNTER, learn.missed_cycles, "result=\"missed\"",
         "learning cycles that were due: those that ran, and those that came while another one did"),
    PLAIN("learn/analysed_through", "analysed_through_seq", GAUGE, analysed_through,
          "the last failure that the analysis of all failures has seen"),
    PLAIN("learn/escalations_held_back", "escalations_held_back", GAUGE, escalations_held,
          "escalations that the last cycle held back"),
    PLAIN("learn/corrections/recorded", "corrections_total", COUNTER, corrections.recorded,
          "corrections recorded from the file"),
    PLAIN("learn/corrections/duplicates", "corrections_duplicate_total", COUNTER, corrections.duplicates,
          "corrections in the file that were recorded before"),
    PLAIN("learn/corrections/bad_lines", "corrections_bad_lines_total", COUNTER, corrections.bad_lines,
          "lines of the file that are no corrections"),
    PLAIN("learn/corrections/restarts", "corrections_restarts_total", COUNTER, corrections.restarts,
          "times that the file of corrections was truncated or replaced"),
    PLAIN("learn/corrections/cursor", "corrections_cursor_bytes", GAUGE, corrections.cursor,
          "bytes of the file of corrections that are taken"),
    {ROW("learn/calls/{service}/calls", COUNTER, "outgoing calls"), WIDE(learn.calls.services[0].calls),
     .labels = {{"service", VALUES(obs_calls_service_names), sizeof(obs_calls_service_counts)}}},
    CALLS(ok, "outgoing calls that have ended: well or not, or refused by the breaker or a budget"),
    CALLS(failed, "those that failed"),
    CALLS(refused, "those that the breaker or a budget refused"),
    {ROW("learn/calls/{service}/breaker", STATE, "state of the service's breaker"), .name = "observer_outbound_breaker",
     WIDE(learn.calls.services[0].breaker), .states = obs_breaker_names, .nstates = OBS_BREAKER_COUNT,
     .labels = {{"service", VALUES(obs_calls_service_names), sizeof(obs_calls_service_counts)}}},
    EACH("learn/calls/{service}/tokens", "outbound_tokens_total", COUNTER, learn.calls.services, .tokens, "service",
         obs_calls_service_names, "tokens that outgoing calls cost"),
    PLAIN("learn/calls/budget/calls_this_hour", "outbound_calls_this_hour", GAUGE, learn.calls.calls_this_hour,
          "outgoing calls counted against the budget of this hour"),
    PLAIN("learn/calls/budget/tokens_today", "outbound_tokens_today", GAUGE, learn.calls.tokens_today,
          "tokens counted against the budget of this day"),
    PLAIN("learn/calls/gateway_queue/waiting", "gateway_queue_posts", GAUGE, learn.gateway.waiting,
          "posts to the gateway that wait"),
    PLAIN("learn/calls/gateway_queue/dropped", "gateway_dropped_posts_total", COUNTER, learn.gateway.dropped,
          "posts to the gateway dropped for lack of room"),
    PLAIN("journal/bytes", "journal_bytes", GAUGE, journal.bytes, "bytes of all segments"),
    PLAIN("journal/segments", "journal_segments", GAUGE, journal.segments, "segments, the active one included"),
    PLAIN("journal/appends", "journal_appends_total", COUNTER, journal.appends, "groups of rows written"),
    PLAIN("journal/syncs", "journal_syncs_total", COUNTER, journal.syncs, "times that the journal was synced"),
    PLAIN("journal/failures", "journal_failures_total", COUNTER, journal.failures,
          "writes and syncs of the journal that failed"),
    PLAIN("journal/bad_rows", "journal_bad_rows_total", COUNTER, journal.bad_rows,
          "rows that replay passed over at the start"),
    PLAIN("journal/bad_rows_kept", "journal_bad_rows_kept", GAUGE, journal.bad_rows_kept, "rows in bad-rows.jsonl"),
    PLAIN("journal/rejected", "journal_rejected_rows_total", COUNTER, journal.rejected,
          "rows written to rejected.jsonl"),
    PLAIN("journal/rejected_dropped", "journal_rejected_rows_dropped_total", COUNTER, journal.rejected_dropped,
          "rejects beyond a batch's limit, not written to rejected.jsonl"),
    PLAIN("journal/rejected_failures", "journal_rejected_rows_failed_total", COUNTER, journal.rejected_failures,
          "rejects that could not be written to rejected.jsonl"),
    STORE(rows, "file_rows_total", "rows of the loops' files read or written since the start"),
    STORE(bad_rows, "file_bad_rows_total", "rows of the loops' files that could not be read"),
    STORE(failures, "file_failures_total", "rows of the loops' files that could not be written"),
    EACH("traffic/{transport}/messages", "intake_messages_total", COUNTER, transports, .messages, "transport",
         obs_transport_names, "messages received"),
    EACH("traffic/{transport}/bytes", "intake_bytes_total", COUNTER, transports, .bytes, "transport",
         obs_transport_names, "bytes received"),
    SOCKET(open, "", GAUGE, "connections open now"),
    SOCKET(accepted, "_accepted_total", COUNTER, "connections accepted"),
    SOCKET(refused, "_refused_total", COUNTER,
           "connections closed at once because there were too many, or not allowed"),
    SOCKET(evicted, "_evicted_total", COUNTER, "connections closed to make way for others"),
    SOCKET(expired, "_expired_total", COUNTER, "times that a deadline of a connection passed"),
    SOCKET(accept_errors, "_accept_errors_total", COUNTER, "connections that the system could not hand over"),
    SOCKET(bytes, "_buffered_bytes", GAUGE, "bytes held of what is not complete yet"),
    NUMBER("state/total", state.total, "ops recorded in the lifetime"),
    NUMBER("state/successes", state.successes, "of them, those that succeeded"),
    NUMBER("state/failures", state.failures, "of them, those that failed"),
    PLAIN("state/endpoints", "endpoints", GAUGE, state.endpoints, "endpoints counted by name"),
    PLAIN("state/sources", "sources", GAUGE, state.sources, "sources counted by name"),
    NUMBER("state/overflow", state.overflow, "ops counted under (other)"),
    PLAIN("state/sketch_pages_refused", "sketch_pages_refused_total", COUNTER, state.sketch_pages_refused,
          "windows without quantiles for lack of memory"),
    PLAIN("state/late", "ops_late_total", COUNTER, times.late,
          "ops recorded more than 10 minutes after their event: a spool, a backfill"),
    PLAIN("state/skewed", "ops_skewed_total", COUNTER, times.skewed, "ops whose producer's clock was off"),
    PLAIN("state/clock_off_s", "clock_off_seconds", GAUGE, clock_off_s,
          "by how much the wall clock was set while the daemon ran"),

    /* Of /metrics alone. */
    PART(NULL, "learn_cycles_total", COUNTER, cycles_run, "result=\"run\"", "those that ran"),
    PLAIN(NULL, "ready", GAUGE, ready, "1 while ops can be recorded and every listener serves, as /readyz says"),
    LISTED("ops_total", COUNTER, sources, OBS_METRICS_SOURCES, obs_metrics_source, succeeded, "source",
           "ops recorded in the journal's lifetime", .fixed = "outcome=\"succeeded\""),
    LISTED("ops_total", COUNTER, sources, OBS_METRICS_SOURCES, obs_metrics_source, failed, "source",
           "those that failed", .fixed = "outcome=\"failed\""),
    LISTED("endpoint_ops_total", COUNTER, endpoints, OBS_EXPOSED_PLACES, obs_exposed_place, succeeded, "endpoint",
           "ops recorded since the start, of the 50 busiest endpoints and of all others as (other)",
           .fixed = "outcome=\"succeeded\""),
    LISTED("endpoint_ops_total", COUNTER, endpoints, OBS_EXPOSED_PLACES, obs_exposed_place, failed, "endpoint",
           "those that failed", .fixed = "outcome=\"failed\"",
           .exemplars = offsetof(obs_exposed_place, exemplars[OBS_EXPOSED_FAILURE])),
    LISTED("op_duration_seconds", HISTOGRAM, endpoints, OBS_EXPOSED_PLACES, obs_exposed_place, ms, "endpoint",
           "how long ops took, of those that say so, by endpoint as in observer_endpoint_ops_total; one of more "
           "than a day counts in the sum as a day",
           .per = 1000, .scale = &obs_exposed_scale, .exemplars = offsetof(obs_exposed_place, exemplars)),
    PAIRS("intake_ops_rejected_total", COUNTER, transports, .rejects, "transport", obs_transport_names, "reason",
          obs_reject_class_names, "of those received, rejected, by the class of the reason"),
    PLAIN(NULL, "commit_queue_bytes", GAUGE, commit.queue_bytes, "bytes of batches that wait for the commit thread"),
    PLAIN(NULL, "commit_queue_capacity_bytes", GAUGE, commit.queue_capacity,
          "how many may wait before sources are paused or refused"),
    PLAIN(NULL, "commit_stalls_total", COUNTER, commit.stalls,
          "times that a socket stopped reading since its share of the queue was used"),
    HISTOGRAM("commit_batch_ops", commit.groups, obs_commit_group_scale, 1,
              "ops and records that were written and synced together"),
    SECONDS("observer_last_commit_timestamp_seconds", commit.committed_ms, "when something was recorded last"),
    HISTOGRAM("fsync_seconds", journal.sync_us, obs_journal_sync_scale, 1000000, "how long syncs of the journal took"),
    {ROW(NULL, GAUGE, "room on the journal's file system"), .name = "observer_journal_free_bytes", .may_lack = true,
     WIDE(journal.free_bytes)},
    SECONDS("observer_checkpoint_timestamp_seconds", commit.checkpoint_ms,
            "when the last checkpoint since the start was written; none is due while nothing is recorded"),
    SECONDS("observer_checkpoint_seconds", commit.checkpoint_took_ms, "how long the last checkpoint took"),
    PLAIN(NULL, "checkpoint_failures_total", COUNTER, commit.checkpoint_failures,
          "checkpoints that could not be written"),
    PART(NULL, "alerts", GAUGE, alerts.states[OBS_ALERT_PENDING], "state=\"pending\"",
         "alerts that hold, and do not fire yet"),
    PART(NULL, "alerts", GAUGE, alerts.states[OBS_ALERT_FIRING], "state=\"firing\"", "that fire"),
    PART(NULL, "alerts", GAUGE, alerts.states[OBS_ALERT_RECOVERING], "state=\"recovering\"",
         "that fire, and are clear for a moment"),
    PLAIN(NULL, "alerts_fired_total", COUNTER, alerts.fired, "how often alerts began to fire"),
    PLAIN(NULL, "alerts_held_back", GAUGE, alerts.held_back, "groups that hold, and for which there is no room"),
    PLAIN(NULL, "alert_row_failures_total", COUNTER, alerts.row_failures,
          "rows of alerts.jsonl that could not be written"),
    PLAIN(NULL, "alert_rules", GAUGE, alerts.rules, "rules of alerts that stand"),
    PLAIN(NULL, "alert_rules_broken", GAUGE, alerts.broken,
          "1 while the file of --rules is broken, and other rules stand"),
    PART(NULL, "names_overflow_total", COUNTER, state.overflow_sources, "kind=\"source\"",
         "ops counted under (other) because there were too many names"),
    PART(NULL, "names_overflow_total", COUNTER, state.overflow_endpoints, "kind=\"endpoint\"", "of endpoints"),
    EACH(NULL, "cluster_transitions_total", COUNTER, clusters.transitions, , "to", obs_cluster_state_names,
         "times that a failure cluster came into a state"),
    SECONDS("observer_learn_cycle_seconds", learn.cycle_ms, "how long the last learning cycle took"),
    PAIRS("analyses_total", COUNTER, analyses.written, , "backend", analyser_names, "grounded", yes_no,
          "analyses written, by who made them, and whether what they say cites recorded ops"),
    PAIRS("playbook_entries", GAUGE, playbooks.entries, , "kind", playbook_kinds, "retired", yes_no,
          "playbook entries"),
    EACH(NULL, "advice_requests_total", COUNTER, advice.answered, , "hit", obs_advice_hit_names,
         "questions for advice, by whether there was any, or it was held back for comparison"),
    SECONDS("observer_advice_age_seconds", advice_age_ms, "age of what advice is answered from"),
    PAIRS("reviews_total", COUNTER, reviews.given, , "verdict", obs_review_verdict_names, "source", review_sources,
          "verdicts of reviews, by who gave them"),
    EACH(NULL, "escalations_total", COUNTER, escalations, , "result", obs_escalation_result_names,
         "escalations written, by what came of them"),
    EACH(NULL, "auth_denied_total", COUNTER, access.denials, , "reason", obs_access_denial_names,
         "requests and connections refused for want of a key or of a scope, or for too many wrong keys"),
    {ROW(NULL, GAUGE, "when the last CA of clients expires"), .name = "observer_tls_ca_not_after_timestamp_seconds",
     .may_lack = true, .per = 1000, WIDE(tls.ca_expires_ms)},
    EACH_PART(NULL, "notifications_total", COUNTER, notify.sent, , "type", obs_notify_type_names, "result=\"sent\"",
              "attempts to send a message about alerts, by the receiver's type and how they ended"),
    EACH_PART(NULL, "notifications_total", COUNTER, notify.failed, , "type", obs_notify_type_names, "result=\"failed\"",
              "attempts to send a message about alerts, by the receiver's type and how they ended"),
    EACH(NULL, "notifications_suppressed_total", COUNTER, notify.suppressed, , "why", obs_notify_why_names,
         "transitions of alerts that were not told by themselves"),
    PLAIN(NULL, "notifications_held_back", GAUGE, notify.held_back, "transitions of alerts that wait for a digest"),
    PLAIN(NULL, "notifications_receivers_failing", GAUGE, notify.failing, "receivers whose last message failed"),
    PLAIN(NULL, "silences", GAUGE, notify.silences, "silences in force"),
    PLAIN(NULL, "forward_connected", GAUGE, edge.connected, "1: connected to NATS; 0: away, or nothing is forwarded"),
    PLAIN(NULL, "forward_ops_total", COUNTER, edge.ops, "ops that the stream in NATS has acknowledged"),
    PLAIN(NULL, "forward_batches_total", COUNTER, edge.batches, "batches that it has acknowledged"),
    PLAIN(NULL, "forward_bytes_total", COUNTER, edge.bytes, "bytes of these batches"),
    PLAIN(NULL, "forward_republished_total", COUNTER, edge.republished,
          "ops published again, since the stream had lost them or a worker asked for them"),
    PLAIN(NULL, "forward_errors_total", COUNTER, edge.errors, "batches that were refused or not answered in time"),
    PLAIN(NULL, "forward_too_large_total", COUNTER, edge.too_large,
          "ops that are not forwarded, because they are larger than a message of NATS may be"),
    PLAIN(NULL, "spool_ops", GAUGE, edge.spool_ops, "recorded ops that are not forwarded yet"),
    PLAIN(NULL, "spool_bytes", GAUGE, edge.spool_bytes, "bytes of these ops in the journal"),
    {ROW(NULL, GAUGE, "how long ago the oldest of these ops was received"), .name = "observer_spool_age_seconds",
     .per = 1000, WIDE(edge.spool_age_ms)},
    PLAIN(NULL, "spool_full_total", COUNTER, edge.spool_full,
          "times that the spool was full and nothing more was taken"),
    PLAIN(NULL, "fleet_workers", GAUGE, worker.workers, "workers of the fleet that are alive, as this worker sees it"),
    PLAIN(NULL, "fleet_partitions", GAUGE, worker.held, "partitions that this worker holds"),
    PLAIN(NULL, "fleet_partitions_rebuilding", GAUGE, worker.rebuilding,
          "of these, those that are folded from the stream's first message on, since there was no checkpoint"),
    PLAIN(NULL, "fleet_partitions_unheld", GAUGE, worker.unheld,
          "partitions of the fleet that no worker that is alive holds, as this worker sees it"),
    PLAIN(NULL, "fleet_partitions_taken_total", COUNTER, worker.taken, "partitions that this worker has taken"),
    PLAIN(NULL, "fleet_partitions_given_total", COUNTER, worker.given,
          "partitions that it has given up, with a checkpoint"),
    PLAIN(NULL, "fleet_partitions_lost_total", COUNTER, worker.lost, "partitions that another worker has taken over"),
    PLAIN(NULL, "fleet_pending_messages", GAUGE, worker.pending,
          "messages of the partitions held that wait in the stream, as last known"),
    {ROW(NULL, GAUGE,
         "how long ago the last folded message of the partition held that lags most was stored; 0: none waits"),
     .name = "observer_fleet_lag_seconds", .per = 1000, WIDE(worker.lag_ms)},
    PLAIN(NULL, "fleet_messages_total", COUNTER, worker.messages, "messages of the stream that were folded"),
    PLAIN(NULL, "fleet_bytes_total", COUNTER, worker.bytes, "bytes of these messages"),
    PART(NULL, "fleet_ops_total", COUNTER, worker.folded, "result=\"folded\"",
         "rows of edges, by what became of them: folded, known already, or no op"),
    PART(NULL, "fleet_ops_total", COUNTER, worker.duplicate, "result=\"duplicate\"", "known already"),
    PART(NULL, "fleet_ops_total", COUNTER, worker.rejected, "result=\"rejected\"", "no op"),
    PLAIN(NULL, "fleet_holes_total", COUNTER, worker.holes,
          "messages before which others of their edge were missing: it was asked to publish again"),
    PLAIN(NULL, "fleet_poison_total", COUNTER, worker.poison, "messages that could not be read, and were put aside"),
    PLAIN(NULL, "fleet_rewinds_total", COUNTER, worker.rewinds,
          "times that a partition began at an earlier checkpoint, because the stream had gone back"),
    PART(NULL, "fleet_checkpoints_total", COUNTER, worker.local_checkpoints, "place=\"disk\"",
         "checkpoints of partitions that were written, by where"),
    PART(NULL, "fleet_checkpoints_total", COUNTER, worker.checkpoints, "place=\"bucket\"", "in NATS"),
    PLAIN(NULL, "fleet_checkpoint_failures_total", COUNTER, worker.failed_checkpoints,
          "checkpoints of partitions that could not be written"),
    PLAIN(NULL, "leader", GAUGE, leader.leads, "1: this worker leads the fleet"),
    PLAIN(NULL, "leader_begun_total", COUNTER, leader.begun, "times that this worker began to lead"),
    PLAIN(NULL, "leader_partitions", GAUGE, leader.partitions,
          "partitions that the leader reads: all, or a sample when the fleet brings more than --leader-ops"),
    PLAIN(NULL, "leader_pending_messages", GAUGE, leader.pending,
          "messages of these that wait in the stream for the leader, as last known"),
    PART(NULL, "leader_ops_total", COUNTER, leader.ops, "result=\"recorded\"",
         "rows of the stream that the leader has read, and what became of them"),
    PART(NULL, "leader_ops_total", COUNTER, leader.duplicates, "result=\"duplicate\"", "known already"),
    PART(NULL, "leader_ops_total", COUNTER, leader.rejected, "result=\"rejected\"", "no op"),
    PLAIN(NULL, "leader_holes_total", COUNTER, leader.holes,
          "messages before which the leader has missed others of their edge: it was asked to publish again"),
    PLAIN(NULL, "leader_rewinds_total", COUNTER, leader.rewinds,
          "times that the leader began at an earlier message, because the stream had gone back"),
    PLAIN(NULL, "leader_passed_over_total", COUNTER, leader.passed_over,
          "times that the leader began to read a partition again behind what it had not read of it"),
    PLAIN(NULL, "leader_fetched_ops_total", COUNTER, leader.fetched,
          "ops of partitions that the leader does not read, which it fetched since they are of kinds that it had not "
          "seen"),
    PLAIN(NULL, "leader_archive_bytes", GAUGE, leader.archive_bytes, "size of the leader's directory in the bucket"),
    PLAIN(NULL, "leader_archive_sent_bytes_total", COUNTER, leader.archive_sent_bytes,
          "bytes of it that were sent, since they were not in the bucket yet"),
    {ROW(NULL, GAUGE, "how long ago the leader's directory was archived last"),
     .name = "observer_leader_archive_age_seconds", .per = 1000, WIDE(leader.archive_age_ms)},
    PLAIN(NULL, "leader_archives_total", COUNTER, leader.archives, "times that the leader's directory was archived"),
    PLAIN(NULL, "leader_archive_failures_total", COUNTER, leader.archive_failures,
          "times that it could not be archived"),
    PLAIN(NULL, "fleet_questions_total", COUNTER, asked.asked, "questions to edges or the leader, for scope=cluster"),
    PLAIN(NULL, "fleet_questions_missing_total", COUNTER, asked.missing,
          "answers that were expected to these and did not come, or not whole"),
    PLAIN(NULL, "fleet_questions_dropped_total", COUNTER, asked.dropped,
          "parts of answers that were too late, too large, too many or malformed"),
    PART(NULL, "fleet_answers_total", COUNTER, answered.answered, "result=\"answered\"",
         "questions of the fleet to this edge, by what became of them: answered with whatever status; refused, no "
         "question; dropped, no room or too old; failed, the answer was not made or not sent"),
    PART(NULL, "fleet_answers_total", COUNTER, answered.refused, "result=\"refused\"", "no question"),
    PART(NULL, "fleet_answers_total", COUNTER, answered.dropped, "result=\"dropped\"", "no room, or too old"),
    PART(NULL, "fleet_answers_total", COUNTER, answered.failed, "result=\"failed\"", "not made or not sent"),
    PLAIN(NULL, "fleet_view_partitions", GAUGE, fleet_view.partitions,
          "with scope=cluster: partitions that the fleet has; what else is shown is what they have folded"),
    PLAIN(NULL, "fleet_view_missing_partitions", GAUGE, fleet_view.missing,
          "of these, those that are not in it: neither a worker nor a checkpoint has answered for them"),
    PLAIN(NULL, "fleet_view_rebuilding_partitions", GAUGE, fleet_view.rebuilding,
          "of these, those that are still folded from the stream's first message on"),
    PART(NULL, "fleet_view_ops_total", COUNTER, fleet_view.folded, "result=\"folded\"",
         "rows of edges that it is made from, by what became of them: folded, known already, or no op"),
    PART(NULL, "fleet_view_ops_total", COUNTER, fleet_view.duplicate, "result=\"duplicate\"", "known already"),
    PART(NULL, "fleet_view_ops_total", COUNTER, fleet_view.rejected, "result=\"rejected\"", "no op"),
    {ROW(NULL, GAUGE, "how old the oldest of its partitions is"), .name = "observer_fleet_view_age_seconds",
     .per = 1000, WIDE(fleet_view.age_ms)},
    LISTED("http_requests_total", COUNTER, codes, 1 + OBS_REQUESTS_CODES, obs_requests_code, count, "route",
           "HTTP requests answered, by route and status", .label_in = "code",
           .label_at = offsetof(obs_requests_code, code)),
    LISTED("http_request_seconds", HISTOGRAM, routes, 1 + OBS_REQUESTS_ROUTES, obs_requests_route, us, "route",
           "how long requests took, from the head to the answer", .per = 1000000, .scale = &obs_requests_scale),
    {ROW(NULL, INFO, "the daemon's version, and NNG's"), .name = "observer_build_info", .at = AT(build)},
    SECONDS("observer_start_time_seconds", started_wall_ms, "when the daemon started"),
    SECONDS("process_start_time_seconds", started_wall_ms, "when the process started"),
    {ROW(NULL, COUNTER, "processor time that the process has used"), .name = "process_cpu_seconds_total", .per = 1000,
     WIDE(process.cpu_ms)},
    {ROW(NULL, GAUGE, "memory of the process that is resident"), .name = "process_resident_memory_bytes",
     WIDE(process.resident_bytes)},
    {ROW(NULL, GAUGE, "memory of the process that is mapped"), .name = "process_virtual_memory_bytes",
     WIDE(process.virtual_bytes)},
    {ROW(NULL, GAUGE, "file descriptors that are open"), .name = "process_open_fds", WIDE(process.open_fds)},
    {ROW(NULL, GAUGE, "file descriptors that may be open"), .name = "process_max_fds", WIDE(process.max_fds)},
    {ROW(NULL, GAUGE, "threads of the process"), .name = "process_threads", WIDE(process.threads)},
};
enum { METRICS = sizeof(table) / sizeof(*table) };

const obs_metric *obs_metrics_at(size_t place) {
  return place < METRICS ? &table[place] : NULL;
}

uint32_t obs_metrics_label_values(const obs_metric *m, uint32_t label) {
  return m->labels[label].values != NULL ? m->labels[label].n : 1;
}

uint32_t obs_metrics_most(const obs_metric *m) {
  if (m->name == NULL) return 0;
  uint32_t each = m->type == OBS_METRIC_STATE ? m->nstates : m->type == OBS_METRIC_HISTOGRAM ? m->scale->n + 3 : 1;
  uint32_t elements = m->list != 0 ? m->longest : obs_metrics_label_values(m, 0) * obs_metrics_label_values(m, 1);
  return each * elements;
}
