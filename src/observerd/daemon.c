#include "observerd/daemon.h"

#include "alerts/alerts.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/service_manager.h"
#include "bridge/bridge.h"
#include "cluster/clusters.h"
#include "commit/commit.h"
#include "feed/feed.h"
#include "httpd/host.h"
#include "intake/bus.h"
#include "learn/advice/advice.h"
#include "learn/learn.h"
#include "metrics/metrics.h"
#include "observerd/banner.h"
#include "observerd/fleet.h"
#include "observerd/listeners.h"
#include "observerd/receivers.h"
#include "stream/bind_check.h"
#include "stream/task_threads.h"
#include "stream/tls.h"
#include "timeline/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BRIDGE_STOP_MS = 3000, COMMIT_STOP_MS = 4000, FEED_STOP_MS = 500, BUS_CLOSE_MS = 500, FLEET_STOP_MS = 3000 };
enum { START_MORE_S = 60 };

struct obs_daemon {
  const obs_config *config;
  obs_access *access;
  obs_redact *redact; /* NULL: off */
  obs_state *state;
  obs_journal *journal; /* NULL: ephemeral */
  obs_sessions *sessions;
  obs_clusters *clusters;
  obs_graph *graph;
  obs_changes *changes;
  obs_learn *learn;
  obs_alerts *alerts;
  obs_notify *notify;
  obs_commit *commit;
  obs_fleet *fleet; /* NULL: it is alone */
  obs_bus *bus;
  obs_feed *feed;
  obs_bridge *bridge;
  obs_task_threads *task_threads;
  obs_buf open, plain; /* listeners with these risks, as JSON lists */
  obs_tls *tls;
  char *data_dir;           /* absolute; NULL: ephemeral */
  const char *journal_name; /* the configuration's */
  uint64_t started_ms;      /* monotonic */
  int64_t started_wall_ms;
  uint64_t settled;           /* ops that were answered when alerts looked last */
  _Atomic bool ready;         /* all URLs are bound */
  bool whole;                 /* every row was replayed */
  bool silent;                /* a listener did not serve when it was last asked */
  uint64_t cycle, logged_seq; /* the last seq that a cycle's line counted */
  uint64_t turns;             /* of the commit thread, when last looked at */
};

static obs_bus_url_list urls_of(const obs_option_list *list) {
  return (obs_bus_url_list){(const char *const *)list->items, list->n};
}

static obs_op_limits limits_of(const obs_config *o) {
  return (obs_op_limits){.message_bytes = (uint32_t)o->message_bytes,
                         .message_ops = (uint32_t)o->message_ops,
                         .op_bytes = (uint32_t)o->op_bytes,
                         .string_bytes = (uint32_t)o->string_bytes,
                         .unknown_fields = (uint32_t)o->unknown_fields,
                         .depth = (uint32_t)o->depth};
}

/* ---- what the stages tell each other ---- */

static void on_room(void *arg) {
  obs_daemon *d = arg;
  obs_bus_room(d->bus);
}

static void on_recorded(void *arg, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  const obs_daemon *d = arg;
  (void)now_ms;
  obs_feed_recorded(d->feed, b, first_seq);
  obs_fleet_recorded(d->fleet);
}

/* A cluster is new, has regressed, or spreads. Nothing is recorded before the feed is there. */
static void on_cluster(void *arg, const obs_cluster_event *e) {
  const obs_daemon *d = arg;
  obs_buf row = {0};
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_id(&w, "id", e->id);
  obs_json_cstr(&w, "state", obs_cluster_event_names[e->kind]);
  obs_json_text_if(&w, "template", e->template);
  obs_json_u64(&w, "count", e->count);
  obs_json_time(&w, "first_seen", e->first_ms);
  obs_json_time(&w, "last_seen", e->last_ms);
  obs_json_u64(&w, "op_seq", e->op_seq);
  obs_json_text_if(&w, "endpoint", e->endpoint);
  obs_json_text_if(&w, "source", e->source);
  obs_json_text_if(&w, "sig_hash", e->sig_hash);
  obs_json_text_if(&w, "event_kind", e->event_kind);
  obs_json_text_if(&w, "task_class", e->task_class);
  obs_json_u64(&w, "missed", e->missed);
  obs_json_end(&w);
  if (!row.oom)
    (void)obs_feed_event(d->feed, "failure.cluster", obs_buf_view(&row)); /* the feed counts what it drops */
  obs_buf_fini(&row);
  obs_learn_stir(d->learn);
}

/* The same holds for what the loops find out: they start after the feed. */
static void on_learned(void *arg, const char *topic, obs_str row) {
  const obs_daemon *d = arg;
  observer_err err = obs_feed_publish_row(d->feed, topic, row);
  if (err != OBSERVER_E_OK) obs_log_warn("observerd", "feed: %s is not sent: %s", topic, observer_strerror(err));
}

static observer_err on_alert_row(void *arg, const char *topic, obs_str row) {
  const obs_daemon *d = arg;
  return obs_feed_publish_row(d->feed, topic, row);
}

/* A WebSocket's Host and Origin are checked as those of any request that writes. A page that a WebSocket is for comes
 * from another port: this one has none. */
static unsigned refuses_site(void *arg, const obs_address *at, obs_str host, obs_str origin) {
  const obs_config *o = arg;
  if (!obs_host_is_served(at, host, (const char *const *)o->http_host.items, o->http_host.n)) return 421;
  return obs_host_serves_origin(origin, host, true, (const char *const *)o->http_origin.items, o->http_origin.n) ? 0
                                                                                                                 : 403;
}

static bool on_question(void *arg, const obs_bus_question *q, obs_buf *out) {
  const obs_daemon *d = arg;
  obs_advice *advice = obs_learn_loop(d->learn, &obs_advice_loop);
  const obs_advice_question question = {q->endpoint, q->task_class, q->session_id};
  return obs_advice_ask(advice, &question, OBS_ADVICE_MSGPACK, out) == OBSERVER_E_OK;
}

/* ---- what the daemon tells about itself ---- */

/* Each URL as it is bound or dialled. Before all is bound, the bridge's own URLs are not read. */
static void each_url(const obs_daemon *d, void (*fn)(void *arg, const char *kind, const char *url), void *arg) {
  obs_bus_urls(d->bus, fn, arg);
  obs_feed_urls(d->feed, fn, arg);
  for (size_t i = 0; atomic_load(&d->ready) && obs_bridge_url(d->bridge, i) != NULL; i++)
    fn(arg, "http", obs_bridge_url(d->bridge, i));
}

typedef struct {
  obs_json_writer *out;
  const char *kind;
} url_list;

static void add_url(void *arg, const char *kind, const char *url) {
  const url_list *list = arg;
  if (strcmp(kind, list->kind) == 0) obs_json_cstr(list->out, NULL, url);
}

static void put_urls(void *arg, obs_buf *out) {
  static const char *const kinds[] = {"http", "pull", "sub", "rep", "feed"};
  const obs_daemon *d = arg;
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    url_list list = {&w, kinds[i]};
    obs_json_array(&w, kinds[i]);
    each_url(d, add_url, &list);
    obs_json_end(&w);
  }
  obs_json_end(&w);
}

/* Before all is bound, nothing is asked. */
static const char *find_silent(void *arg) {
  const obs_daemon *d = arg;
  if (!atomic_load(&d->ready)) return NULL;
  const char *url = obs_bus_silent(d->bus);
  if (url == NULL) url = obs_feed_silent(d->feed);
  return url != NULL ? url : obs_bridge_silent(d->bridge);
}

/* ---- alerts: from the rules to those who are told ---- */

static obs_notify_alert notify_alert_of(const obs_alert *a, const obs_rule *rule) {
  static const obs_notify_severity severities[OBS_RULE_SEVERITIES] = {
      [OBS_RULE_INFO] = OBS_NOTIFY_INFO, [OBS_RULE_WARN] = OBS_NOTIFY_WARN, [OBS_RULE_PAGE] = OBS_NOTIFY_PAGE};
  obs_notify_alert n = {.fingerprint = a->fingerprint,
                        .rule = a->rule,
                        .severity = severities[a->severity],
                        .state = a->state == OBS_ALERT_RESOLVED ? OBS_NOTIFY_RESOLVED : OBS_NOTIFY_FIRING,
                        .nlabels = a->nlabels,
                        .value = a->value,
                        .threshold = a->threshold,
                        .text = a->text,
                        .path = "/#/alerts",
                        .since_ms = a->since_ms,
                        .fired_ms = a->fired_ms,
                        .resolved_ms = a->resolved_ms,
                        .receivers = rule != NULL ? (const char *const *)rule->to : NULL,
                        .nreceivers = rule != NULL ? rule->nto : 0};
  _Static_assert((int)OBS_ALERT_LABELS <= (int)OBS_NOTIFY_LABELS, "");
  for (uint32_t i = 0; i < a->nlabels; i++) n.labels[i] = (obs_notify_label){a->labels[i].name, a->labels[i].value};
  return n;
}

static observer_err on_alert(void *arg, const obs_alert *a, const obs_rule *rule, bool again) {
  const obs_daemon *d = arg;
  obs_notify_alert n = notify_alert_of(a, rule);
  n.again = again;
  return obs_notify_transition(d->notify, &n);
}

static void on_settled(void *arg) {
  const obs_daemon *d = arg;
  obs_notify_settled(d->notify);
}

static void look_at_alert(void *arg, const obs_alert *a, obs_alerts_look *out) {
  const obs_daemon *d = arg;
  obs_notify_look look;
  const obs_notify_alert n = notify_alert_of(a, NULL);
  obs_notify_look_at(d->notify, &n, &look);
  *out = (obs_alerts_look){.silenced_by = look.silenced_by, .notified_ms = look.notified_ms};
}

static bool take_receivers(void *arg, const obs_rules *rules, char *error, size_t size) {
  const obs_daemon *d = arg;
  obs_notify_config *config = NULL;
  if (!obs_receivers_read(rules, &config, error, size)) return false;
  observer_err err = obs_notify_configure(d->notify, config);
  if (err != OBSERVER_E_OK) (void)snprintf(error, size, "receivers: %s", observer_strerror(err));
  return err == OBSERVER_E_OK;
}

/* How the daemon is, for the rules on itself; on alerts' thread. Ops that stay under way while nothing is answered are
 * lost somewhere; while the disk fails, that is why. */
static void look_at_self(void *arg, obs_engine_self *out) {
  obs_daemon *d = arg;
  char *why = out->why[OBS_RULE_RECORDING];
  uint64_t under_way = 0, answered = 0;
  bool records = obs_commit_health(d->commit, why, sizeof(out->why[0])) == OBSERVER_E_OK;
  const char *silent = records ? find_silent(d) : NULL;
  if (silent != NULL) (void)snprintf(why, sizeof(out->why[0]), "%s is not serving", silent);
  out->failing[OBS_RULE_RECORDING] = !records || silent != NULL;
  for (int t = 0; t < OBS_TRANSPORT_COUNT; t++) {
    obs_commit_counts n;
    obs_commit_get_counts(d->commit, (obs_transport)t, &n);
    under_way += n.in_flight;
    answered += n.recorded + n.duplicate + n.rejected;
  }
  out->failing[OBS_RULE_CONSERVATION] = records && under_way > 0 && answered == d->settled;
  (void)snprintf(out->why[OBS_RULE_CONSERVATION], sizeof(out->why[0]),
                 "%" PRIu64 " ops were received and are neither recorded, duplicates nor rejected", under_way);
  d->settled = answered;
}

static void count_connections(void *arg, obs_stream_counts out[OBS_METRICS_SOCKETS]) {
  static const struct {
    obs_metrics_socket socket;
    obs_transport transport;
  } bus[] = {{OBS_METRICS_PULL, OBS_TRANSPORT_PULL},
             {OBS_METRICS_SUB, OBS_TRANSPORT_SUB},
             {OBS_METRICS_REP, OBS_TRANSPORT_REP}};
  const obs_daemon *d = arg;
  if (!atomic_load(&d->ready)) return;
  for (size_t i = 0; i < sizeof bus / sizeof *bus; i++) {
    obs_sp_counts counts;
    obs_bus_get_counts(d->bus, bus[i].transport, &counts);
    out[bus[i].socket] = counts.streams;
  }
  obs_feed_get_connections(d->feed, &out[OBS_METRICS_FEED]);
  obs_bridge_get_connections(d->bridge, &out[OBS_METRICS_HTTP]);
}

static obs_metrics_sources sources_of(obs_daemon *d, obs_feed *feed) {
  return (obs_metrics_sources){.version = OBSERVER_VERSION,
                               .data_dir = d->data_dir,
                               .journal_name = d->journal_name,
                               .started_ms = d->started_ms,
                               .started_wall_ms = d->started_wall_ms,
                               .state = d->state,
                               .commit = d->commit,
                               .journal = d->journal,
                               .sessions = d->sessions,
                               .clusters = d->clusters,
                               .feed = feed,
                               .learn = d->learn,
                               .notify = d->notify,
                               .alerts = d->alerts,
                               .tls = d->tls,
                               .redact = d->redact,
                               .redact_mode = d->config->redact,
                               .edge = obs_fleet_edge(d->fleet),
                               .access = d->access,
                               .sockets = count_connections,
                               .sockets_arg = d,
                               .open = obs_buf_view(&d->open),
                               .plain = obs_buf_view(&d->plain)};
}

static void on_health(void *arg, obs_buf *out) {
  obs_daemon *d = arg;
  obs_metrics_values values;
  obs_metrics_sources from = sources_of(d, d->feed);
  from.urls = put_urls;
  from.urls_arg = d;
  obs_metrics_read(&from, &values);
  obs_metrics_health(&values, out);
  obs_metrics_fini(&values);
}

static void on_metrics(void *arg, bool open, obs_buf *out) {
  obs_daemon *d = arg;
  obs_metrics_values values;
  obs_metrics_sources from = sources_of(d, d->feed);
  from.silent = find_silent;
  from.silent_arg = d;
  from.bridge = d->bridge;
  obs_metrics_read_all(&from, &values);
  obs_metrics_text(&values, open, out);
  obs_metrics_fini(&values);
}

/* A subscriber may come, and be greeted, before obs_feed_open has returned. */
static uint32_t on_stats(void *arg, obs_feed *feed, obs_buf *out) {
  obs_metrics_values values;
  obs_metrics_sources from = sources_of(arg, feed);
  obs_metrics_read(&from, &values);
  uint32_t n = obs_metrics_beat(&values, out);
  obs_metrics_fini(&values);
  return n;
}

static void print_url(void *arg, const char *kind, const char *url) {
  fprintf(arg, "%-4s  %s\n", kind, url);
}

static void print_risk(void *arg, obs_listener_risk risk, const char *kind, const char *url) {
  const obs_daemon *d = arg;
  printf("WARNING: %s %s %s\n", kind, url, obs_listeners_text(d->config, risk, kind));
}

static void print_access(const obs_daemon *d) {
  obs_access_counts counts;
  obs_access_get_counts(d->access, &counts);
  if (d->config->keys != NULL) printf("access: %u keys in %s\n", counts.keys, d->config->keys);
}

/* The first PULL URL that another process can reach. */
static void find_pull(void *arg, const char *kind, const char *url) {
  const char **first = arg;
  bool reachable = strncmp(url, "dial:", 5) != 0 && strncmp(url, "inproc:", 7) != 0;
  if (*first == NULL && reachable && strcmp(kind, "pull") == 0) *first = url;
}

/* Before the first file is made, and before there are other threads: what is made has the data directory's permissions,
 * through the umask. */
static void set_permissions(const obs_config *o) {
  struct stat st;
  mode_t mode = o->data_mode_bits;
  if (stat(o->data_dir, &st) == 0 && S_ISDIR(st.st_mode)) {
    mode = st.st_mode & 0777;
    if ((mode & 0077) != 0)
      obs_log_warn("observerd",
                   "%s keeps its permissions %04o: other users can read what is recorded (chmod 0700 prevents it)",
                   o->data_dir, (unsigned)mode);
  }
  (void)umask(~mode & 0777);
}

/* Before anything is made or read: what cannot be listened at ends the start, and leaves nothing behind. */
static observer_err check_binds(const obs_config *o, char *error, size_t size) {
  const struct {
    const char *kind;
    const obs_option_list *urls;
  } all[] = {{"http", &o->http}, {"pull", &o->pull}, {"sub", &o->sub}, {"rep", &o->rep}, {"feed", &o->feed}};
  obs_bind_check check = {0};
  observer_err err = OBSERVER_E_OK;
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && err == OBSERVER_E_OK; i++) {
    for (size_t k = 0; k < all[i].urls->n && err == OBSERVER_E_OK; k++) {
      obs_address a;
      char why[400];
      err = obs_address_parse(all[i].urls->items[k], &a, why, sizeof(why));
      if (err == OBSERVER_E_OK) err = obs_bind_check_try(&check, &a, why, sizeof(why));
      if (err != OBSERVER_E_OK) (void)snprintf(error, size, "%s %s: %s", all[i].kind, all[i].urls->items[k], why);
    }
  }
  obs_bind_check_free(&check);
  return err;
}

/* Before a file is made. The audit's is made with its first row, which comes later. */
static observer_err open_access(obs_daemon *d, const obs_config *o, char *error, size_t size) {
  char *audit_path = NULL;
  obs_access_counts counts;
  if (d->data_dir != NULL && asprintf(&audit_path, "%s/audit.jsonl", d->data_dir) < 0) return OBSERVER_E_NOMEM;
  observer_err err = obs_listeners_open_access(o, audit_path, &d->access, error, size);
  if (err == OBSERVER_E_OK && o->keys == NULL) {
    obs_log_info("observerd", "access: open, there is no key file");
  } else if (err == OBSERVER_E_OK) {
    obs_access_get_counts(d->access, &counts);
    obs_log_info("observerd", "access: %u keys in %s, audit file %s", counts.keys, o->keys,
                 audit_path != NULL ? audit_path : "none (ephemeral)");
  }
  free(audit_path);
  return err;
}

/* ---- redaction ---- */

static bool redact_log(void *arg, obs_str text, obs_buf *out) {
  return obs_redact_text(arg, text, out);
}

static void log_redaction(const obs_daemon *d) {
  obs_redact_count kinds[OBS_REDACT_ALL_KINDS];
  uint64_t failures;
  obs_buf names = {0};
  size_t n = obs_redact_get_counts(d->redact, kinds, &failures);
  for (size_t i = 0; i < n; i++) obs_buf_printf(&names, " %s", kinds[i].name);
  if (n == 0)
    obs_log_warn("observerd", "redaction is off: secrets are recorded as they come");
  else if (!names.oom)
    obs_log_info("observerd", "redaction %s:%.*s", d->config->redact, (int)names.len, obs_buf_view(&names).p);
  obs_buf_fini(&names);
}

/* At the first start there is nothing to say. */
static void warn_of_new_key(const obs_daemon *d, const char *name) {
  obs_journal_counts counts;
  obs_journal_get_counts(d->journal, &counts);
  if (counts.bytes == 0) return;
  obs_log_warn("observerd",
               "redaction: %s/%s was not there, a new one was made: where rows of the journal have tokens, the same "
               "secrets get others from now on",
               d->data_dir, name);
}

/* The key of the installation stands in the data directory, which the journal has locked. From here on the log goes
 * through it as well. */
static observer_err open_redaction(obs_daemon *d, const obs_config *o, char *error, size_t size) {
  static const char name[] = "redact.key";
  uint8_t key[OBS_REDACT_KEY_BYTES];
  char why[256] = "no random numbers";
  bool made = false;
  observer_err err;
  const obs_option_list *patterns = &o->redact_pattern;
  if (o->redact_kinds == OBS_REDACT_OFF && patterns->n == 0) {
    log_redaction(d);
    return OBSERVER_E_OK;
  }
  if (d->data_dir != NULL) {
    int dir = open(d->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
      (void)snprintf(error, size, "open %s: %s", d->data_dir, strerror(errno));
      return OBSERVER_E_IO;
    }
    err = obs_redact_read_key(dir, name, key, &made, why, sizeof(why));
    (void)close(dir);
  } else {
    err = obs_redact_make_key(key);
  }
  if (err != OBSERVER_E_OK) {
    (void)snprintf(error, size, "redaction: %s%s%s", d->data_dir != NULL ? d->data_dir : "",
                   d->data_dir != NULL ? "/" : "", why);
    return err;
  }
  err =
      obs_redact_open(o->redact_kinds, (const char *const *)patterns->items, patterns->n, key, &d->redact, error, size);
  explicit_bzero(key, sizeof(key));
  if (err != OBSERVER_E_OK) return err;
  if (made) warn_of_new_key(d, name);
  if (d->journal != NULL) obs_journal_set_redact(d->journal, d->redact);
  obs_log_set_filter(redact_log, d->redact);
  log_redaction(d);
  return OBSERVER_E_OK;
}

/* A large journal takes its time: as long as rows are read, the service manager waits. */
static void tell_progress(void *arg, uint64_t rows, unsigned percent) {
  char status[96];
  (void)arg;
  (void)snprintf(status, sizeof(status), "reading the journal: %" PRIu64 " rows, %u %%", rows, percent);
  obs_service_manager_starting(START_MORE_S, status);
}

/* ---- names that the state and the graph know are not seen for the first time ---- */

static void know_edge(void *changes, const obs_graph_edge *e) {
  obs_changes_know(changes, OBS_CHANGES_OF_ENDPOINT, e->endpoint);
  obs_changes_know(changes, OBS_CHANGES_OF_SOURCE, e->source);
  obs_changes_know(changes, OBS_CHANGES_OF_STAFFER, e->staffer_id);
}

static void know_source(void *changes, obs_str name, uint64_t ops, uint64_t failures) {
  (void)ops;
  (void)failures;
  obs_changes_know(changes, OBS_CHANGES_OF_SOURCE, name);
}

static void know_endpoint(void *changes, const obs_state_endpoint *e) {
  obs_changes_know(changes, OBS_CHANGES_OF_ENDPOINT, e->name);
}

/* At the start: a checkpoint may lack the part of the changes. */
static void know_names(obs_daemon *d) {
  obs_graph_names(d->graph, know_edge, d->changes);
  obs_state_sources(d->state, know_source, d->changes);
  obs_state_endpoint_totals(d->state, know_endpoint, d->changes);
}

/* ---- construction: each stage gets those that were built before it ---- */

observer_err obs_daemon_open(const obs_config *o, obs_daemon **out, char *error, size_t error_size) {
  const char *dir = o->ephemeral ? NULL : o->data_dir;
  bool openai = o->llm == OBS_CONFIG_LLM_OPENAI;
  observer_err err = OBSERVER_E_NOMEM;
  obs_daemon *d = calloc(1, sizeof(*d));
  error[0] = '\0';
  *out = d;
  if (d == NULL) goto fail;

  if ((err = check_binds(o, error, error_size)) != OBSERVER_E_OK) goto fail;
  if (dir != NULL) {
    err = OBSERVER_E_NOMEM;
    d->data_dir = obs_config_data_dir(o);
    d->journal_name = o->journal_name;
    if (d->data_dir == NULL) goto fail;
  }
  d->config = o;
  if ((err = open_access(d, o, error, error_size)) != OBSERVER_E_OK) goto fail;

  obs_state_opts state = OBS_STATE_OPTS_DEFAULT;
  state.ring = (uint32_t)o->ring;
  state.endpoints = (uint32_t)o->endpoints;
  if ((err = obs_state_open(&state, &d->state)) != OBSERVER_E_OK) goto fail;
  if (dir != NULL) set_permissions(o);

  /* It locks the directory; all files that are opened after it stand under that lock. */
  const obs_journal_opts journal = {.dir = dir,
                                    .name = o->journal_name,
                                    .fsync = o->fsync_mode,
                                    .fsync_ms = o->fsync_ms,
                                    .segment_bytes = o->segment_bytes,
                                    .retain_segments = (uint32_t)o->retain_segments,
                                    .retain_bytes = o->retain_bytes,
                                    .retain_seconds = o->retain_hours * 3600,
                                    .progress = tell_progress};
  if (dir != NULL && (err = obs_journal_open(&journal, &d->journal, error, error_size)) != OBSERVER_E_OK) goto fail;

  if ((err = open_redaction(d, o, error, error_size)) != OBSERVER_E_OK) goto fail;

  const obs_sessions_opts sessions = {.dir = dir, .sync = o->fsync_mode != OBS_FSYNC_NEVER};
  if ((err = obs_sessions_open(&sessions, &d->sessions, error, error_size)) != OBSERVER_E_OK) goto fail;

  const obs_clusters_opts clusters = {
      .clusters = (uint32_t)o->clusters, .quiet = (uint32_t)o->cluster_quiet, .event = on_cluster, .event_arg = d};
  if ((err = obs_clusters_open(&clusters, &d->clusters)) != OBSERVER_E_OK) goto fail;

  const obs_learn_opts learn = {
      .dir = dir,
      .state = d->state,
      .journal = d->journal,
      .clusters = d->clusters,
      .limits = limits_of(o),
      .corrections_path = o->corrections_path,
      .gateway_url = o->gateway_url,
      .team_url = o->team_url,
      .model = {.kind = openai ? OBS_LLM_OPENAI : OBS_LLM_LAKEHOUSE,
                .url = o->llm_url,
                .model = o->model,
                .key = openai ? getenv("OPENAI_API_KEY") : NULL,
                .key_file = openai ? o->openai_key_file : NULL,
                .timeout_ms = (uint32_t)o->llm_timeout_s * 1000},
      .calls = {.calls_per_hour = o->llm_calls_per_hour, .tokens_per_day = o->llm_tokens_per_day, .redact = d->redact},
      .escalate_failures = (uint32_t)o->escalate_failures,
      .escalate_window_s = (uint32_t)o->escalate_window_s,
      .escalate_cooldown_s = (uint32_t)o->escalate_cooldown_s,
      .escalate_per_hour = (uint32_t)o->escalate_per_hour,
      .playbook_cycles = (uint32_t)o->playbook_cycles,
      .advice_holdout = o->holdout,
      .announce = {on_learned, d},
  };
  if ((err = obs_learn_open(&learn, &d->learn, error, error_size)) != OBSERVER_E_OK) goto fail;

  const obs_notify_opts notify = {.dir = dir, .redact = d->redact, .publish = on_alert_row, .arg = d};
  if ((err = obs_notify_open(&notify, &d->notify, error, error_size)) != OBSERVER_E_OK) goto fail;

  const obs_alerts_opts alerts = {.dir = dir,
                                  .rules = o->rules,
                                  .clusters = d->clusters,
                                  .self = look_at_self,
                                  .notify = on_alert,
                                  .settled = on_settled,
                                  .look = look_at_alert,
                                  .receivers = take_receivers,
                                  .arg = d};
  if ((err = obs_alerts_open(&alerts, &d->alerts, error, error_size)) != OBSERVER_E_OK) goto fail;

  const obs_changes_opts changes = {.clusters = d->clusters,
                                    .playbooks = obs_learn_loop(d->learn, &obs_playbooks_loop)};
  if ((err = obs_changes_open(&changes, &d->changes)) != OBSERVER_E_OK) goto fail;
  const obs_graph_opts graph = {.fresh = obs_changes_note, .fresh_arg = d->changes};
  if ((err = obs_graph_open(&graph, &d->graph)) != OBSERVER_E_OK) goto fail;

  /* The feed first: an op goes out before the cluster that begins with it. Then the clusters: they give each op of the
   * batch its cluster, which those behind them read. */
  uint32_t nfollowers = 6;
  obs_commit_follower followers[OBS_FOLLOWERS] = {
      {.name = "feed", .arg = d, .apply = on_recorded},
      {.name = "clusters",
       .version = OBS_CLUSTERS_VERSION,
       .arg = d->clusters,
       .apply = obs_clusters_apply,
       .apply_row = obs_clusters_apply_row,
       .save = obs_clusters_save,
       .load = obs_clusters_load,
       .former = OBS_CLUSTERS_FORMER,
       .load_former = obs_clusters_load_former},
      {.name = "alerts",
       .version = OBS_ENGINE_VERSION,
       .arg = d->alerts,
       .apply = obs_alerts_apply,
       .apply_row = obs_alerts_apply_row,
       .save = obs_alerts_save,
       .load = obs_alerts_load,
       .optional = true},
      {.name = "history",
       .version = OBS_STATE_HISTORY_VERSION,
       .arg = d->state,
       .save = obs_state_save_history,
       .load = obs_state_load_history},
      {.name = "graph",
       .version = OBS_GRAPH_VERSION,
       .arg = d->graph,
       .apply = obs_graph_apply,
       .apply_row = obs_graph_apply_row,
       .save = obs_graph_save,
       .load = obs_graph_load,
       .optional = true},
      {.name = "changes",
       .version = OBS_CHANGES_VERSION,
       .arg = d->changes,
       .apply = obs_changes_apply,
       .apply_row = obs_changes_apply_row,
       .save = obs_changes_save,
       .load = obs_changes_load,
       .optional = true},
  };
  obs_learn_followers(d->learn, followers, &nfollowers);
  if (d->journal != NULL)
    followers[nfollowers++] = (obs_commit_follower){.name = "keys", .arg = d->journal, .apply = obs_timeline_apply};
  const obs_record_kinds kinds = {{obs_sessions_kind(d->sessions)}, 1};
  const obs_commit_opts commit = {.journal = d->journal,
                                  .state = d->state,
                                  .kinds = &kinds,
                                  .redact = d->redact,
                                  .queue_bytes = o->queue_bytes,
                                  .checkpoint_s = (uint32_t)o->checkpoint_s,
                                  .room = on_room,
                                  .room_arg = d,
                                  .followers = followers,
                                  .nfollowers = nfollowers};
  if ((err = obs_commit_open(&commit, &d->commit)) != OBSERVER_E_OK) goto fail;

  obs_commit_recovered recovered;
  if ((err = obs_commit_recover(d->commit, &recovered)) != OBSERVER_E_OK) goto fail;
  d->whole = recovered.checkpoint_seq == 0;
  know_names(d);
  if (d->journal != NULL)
    obs_log_info("observerd",
                 "journal %s: %" PRIu64 " ops in the checkpoint, %" PRIu64 " replayed, %" PRIu64 " bad rows%s", dir,
                 recovered.checkpoint_seq, recovered.replayed, recovered.bad_rows,
                 recovered.torn ? ", a torn last row cut off" : "");
  return OBSERVER_E_OK;
fail:
  if (error[0] == '\0') snprintf(error, error_size, "%s", observer_strerror(err));
  obs_daemon_stop(d);
  return err;
}

/* How many connections a socket may have of the descriptors that there are: the rest are for files and other calls. */
static uint32_t fit_connections(const char *option, uint64_t wanted) {
  enum { KEPT = 64, FEWEST = 16 };
  struct rlimit files;
  uint64_t most = wanted;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
    most = files.rlim_cur > KEPT ? (files.rlim_cur - KEPT) / OBS_METRICS_SOCKETS : 0;
  if (most < FEWEST) most = FEWEST;
  if (wanted <= most) return (uint32_t)wanted;
  obs_log_info("observerd",
               "%s: limited to %" PRIu64 " instead of %" PRIu64 ", because only %" PRIu64 " files may be open", option,
               most, wanted, (uint64_t)files.rlim_cur);
  return (uint32_t)most;
}

/* Where people who are told of an alert look further: what is configured, else the first listener, by the machine's
 * name where it listens on all addresses. */
static observer_err set_public_url(obs_daemon *d, const obs_config *o) {
  static const char *const any[] = {"//0.0.0.0:", "//[::]:", "//*:"};
  char host[256] = "";
  obs_buf named = {0};
  const char *url = o->public_url;
  for (size_t i = 0; url == NULL && obs_bridge_url(d->bridge, i) != NULL; i++)
    if (strncmp(obs_bridge_url(d->bridge, i), "http", 4) == 0) url = obs_bridge_url(d->bridge, i);
  for (size_t i = 0; url != NULL && o->public_url == NULL && i < sizeof any / sizeof *any; i++) {
    const char *found = strstr(url, any[i]);
    if (found == NULL || gethostname(host, sizeof host - 1) != 0) continue;
    obs_buf_append(&named, url, (size_t)(found + 2 - url));
    obs_buf_puts(&named, host);
    obs_buf_puts(&named, found + strlen(any[i]) - 1);
    obs_buf_putc(&named, '\0');
    url = named.p;
    break;
  }
  observer_err err = named.oom ? OBSERVER_E_NOMEM : obs_notify_set_public_url(d->notify, url);
  obs_buf_fini(&named);
  return err;
}

observer_err obs_daemon_start(obs_daemon *d, const obs_config *o, char *error, size_t error_size) {
  observer_err err;
  error[0] = '\0';
  d->started_ms = obs_clock_mono_ms();
  d->started_wall_ms = obs_clock_wall_ms();
  obs_listeners_json(o, OBS_LISTENER_OPEN, &d->open);
  obs_listeners_json(o, OBS_LISTENER_PLAIN, &d->plain);
  if (d->open.oom || d->plain.oom) {
    err = OBSERVER_E_NOMEM;
    goto fail;
  }
  obs_state_counts counts;
  obs_state_get_counts(d->state, &counts);
  d->logged_seq = counts.last_seq; /* what was replayed is told already */

  if ((err = obs_tls_open(o->tls_cert, o->tls_key, o->tls_ca, &d->tls)) != OBSERVER_E_OK) goto fail;

  /* Sockets are opened before threads start: an address in use ends the start before anything is taken. */
  const obs_bridge_opts bridge = {.urls = (const char *const *)o->http.items,
                                  .nurls = o->http.n,
                                  .access = d->access,
                                  .commit = d->commit,
                                  .state = d->state,
                                  .journal = d->journal,
                                  .sessions = d->sessions,
                                  .clusters = d->clusters,
                                  .graph = d->graph,
                                  .changes = d->changes,
                                  .learn = d->learn,
                                  .alerts = d->alerts,
                                  .notify = d->notify,
                                  .limits = limits_of(o),
                                  .health = on_health,
                                  .health_arg = d,
                                  .metrics = on_metrics,
                                  .metrics_arg = d,
                                  .silent = find_silent,
                                  .silent_arg = d,
                                  .max_connections = fit_connections("http-connections", o->http_connections),
                                  .tls = d->tls,
                                  .hosts = (const char *const *)o->http_host.items,
                                  .nhosts = o->http_host.n,
                                  .origins = (const char *const *)o->http_origin.items,
                                  .norigins = o->http_origin.n,
                                  .idle_ms = (uint32_t)(o->http_idle_s * 1000)};
  if ((err = obs_bridge_open(&bridge, &d->bridge, error, error_size)) != OBSERVER_E_OK) goto fail;

  const obs_bus_socket sockets[] = {{OBS_TRANSPORT_PULL, urls_of(&o->pull)},
                                    {OBS_TRANSPORT_SUB, urls_of(&o->sub)},
                                    {OBS_TRANSPORT_REP, urls_of(&o->rep)}};
  const obs_bus_opts bus = {.commit = d->commit,
                            .limits = limits_of(o),
                            .sockets = sockets,
                            .nsockets = sizeof sockets / sizeof *sockets,
                            .topics = urls_of(&o->topic),
                            .max_connections = fit_connections("bus-connections", o->bus_connections),
                            .tls = d->tls,
                            .refuses = refuses_site,
                            .refuses_arg = (void *)(uintptr_t)o, /* it is only read */
                            .access = d->access,
                            .advise = on_question,
                            .advise_arg = d};
  if ((err = obs_bus_open(&bus, &d->bus, error, error_size)) != OBSERVER_E_OK) goto fail;

  const obs_feed_opts feed = {.urls = (const char *const *)o->feed.items,
                              .nurls = o->feed.n,
                              .state = d->state,
                              .stats = on_stats,
                              .stats_arg = d,
                              .tls = d->tls,
                              .refuses = refuses_site,
                              .refuses_arg = (void *)(uintptr_t)o,
                              .access = d->access};
  if ((err = obs_feed_open(&feed, &d->feed, error, error_size)) != OBSERVER_E_OK) goto fail;

  if ((err = obs_task_threads_open(obs_task_threads_enough(), &d->task_threads)) != OBSERVER_E_OK) goto fail;

  if ((err = obs_fleet_open(o, d->journal, d->commit, &d->fleet, error, error_size)) != OBSERVER_E_OK) goto fail;

  /* From the end of the data's way to its beginning. */
  if ((err = obs_feed_start(d->feed)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_commit_start(d->commit)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_fleet_start(d->fleet)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_learn_start(d->learn, d->commit)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_alerts_start(d->alerts, d->whole)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_bridge_start(d->bridge, error, error_size)) != OBSERVER_E_OK) goto fail;
  if ((err = set_public_url(d, o)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_notify_start(d->notify)) != OBSERVER_E_OK) goto fail;
  atomic_store(&d->ready, true);
  obs_bus_start(d->bus);

  const char *pull = NULL;
  each_url(d, print_url, stdout);
  each_url(d, find_pull, &pull);
  print_access(d);
  obs_listeners_risks(o, print_risk, d);
  obs_banner_print(stdout, program_invocation_name, obs_bridge_url(d->bridge, 0), pull, o->keys);
  puts("ready");
  fflush(stdout);
  return OBSERVER_E_OK;
fail:
  if (error[0] == '\0') snprintf(error, error_size, "%s", observer_strerror(err));
  obs_daemon_stop(d);
  return err;
}

/* ---- running and stopping ---- */

/* Whether each listener still serves, as the last cycle's probe found; and the next one. */
static void probe_listeners(obs_daemon *d) {
  const char *silent = find_silent(d);
  if (silent != NULL && !d->silent) obs_log_error("observerd", "not ready: %s is not serving", silent);
  if (silent == NULL && d->silent) obs_log_info("observerd", "every listener serves again");
  d->silent = silent != NULL;
  obs_bus_probe(d->bus);
  obs_feed_probe(d->feed);
  obs_bridge_probe(d->bridge);
}

/* The line is the older observer's, which wrote it each cycle. It comes only when something was recorded. */
static void log_cycle(obs_daemon *d) {
  obs_state_counts c;
  char message[48];
  obs_buf row = {0};
  obs_state_get_counts(d->state, &c);
  if (c.last_seq == d->logged_seq) return;
  d->logged_seq = c.last_seq;
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "cycle", d->cycle);
  obs_json_u64(&w, "total_ops", c.ring);
  obs_json_u64(&w, "successes", c.ring_successes);
  obs_json_u64(&w, "failures", c.ring_failures);
  obs_json_u64(&w, "scenario_ops", c.scenario);
  obs_json_u64(&w, "langfuse_ops", c.langfuse);
  obs_json_u64(&w, "overseer_corrections", c.corrections);
  obs_json_end(&w);
  (void)snprintf(message, sizeof(message), "[observer] cycle %" PRIu64, d->cycle);
  if (!row.oom) obs_log_members("observerd", message, obs_buf_view(&row));
  obs_buf_fini(&row);
}

void obs_daemon_cycle(obs_daemon *d) {
  probe_listeners(d);
  /* The journal does not say that a cluster was resolved: the checkpoint does. */
  if (obs_clusters_cycle(d->clusters, obs_clock_receipt_ms()) > 0) obs_commit_checkpoint(d->commit);
  d->cycle++;
  log_cycle(d);
  obs_learn_cycle(d->learn);
}

void obs_daemon_tick(obs_daemon *d, bool reload) {
  obs_access_tick(d->access, reload);
  if (reload && d->config->rules != NULL)
    obs_access_audit(d->access, obs_alerts_reload(d->alerts) ? "rules_reload" : "rules_refused", NULL, NULL);
  switch (obs_tls_tick(d->tls, reload)) { /* it logs and counts what changes */
  case OBS_TLS_RELOADED:
    obs_access_audit(d->access, "tls_reload", NULL, NULL);
    break;
  case OBS_TLS_REFUSED:
    obs_access_audit(d->access, "tls_refused", NULL, NULL);
    break;
  case OBS_TLS_UNCHANGED:
    break;
  }
}

bool obs_daemon_is_alive(obs_daemon *d) {
  uint64_t turns = obs_commit_turns(d->commit), before = d->turns;
  d->turns = turns;
  return turns != before;
}

void obs_daemon_reopen(obs_daemon *d) {
  obs_commit_look(d->commit);
}

void obs_daemon_stop(obs_daemon *d) {
  if (d == NULL) return;
  obs_task_threads_close(d->task_threads); /* so that a stop finds them all */
  if (d->bus != NULL) obs_bus_stop_intake(d->bus);
  if (d->bridge != NULL) obs_bridge_stop(d->bridge, BRIDGE_STOP_MS); /* the commit still answers posts that wait */
  if (d->alerts != NULL) obs_alerts_stop(d->alerts);
  if (d->notify != NULL) obs_notify_stop(d->notify);
  if (d->learn != NULL) obs_learn_stop(d->learn);                    /* and takes the last corrections */
  if (d->commit != NULL) obs_commit_stop(d->commit, COMMIT_STOP_MS); /* drains, syncs, writes the checkpoint */
  obs_fleet_stop(d->fleet, FLEET_STOP_MS);                           /* forwards what was recorded last */
  if (d->feed != NULL) obs_feed_stop(d->feed, FEED_STOP_MS);         /* sends what was recorded last */
  obs_bridge_close(d->bridge);
  obs_fleet_close(d->fleet);
  obs_commit_close(d->commit);
  obs_learn_close(d->learn);
  obs_alerts_close(d->alerts);
  obs_notify_close(d->notify);
  obs_clusters_close(d->clusters);
  obs_graph_close(d->graph);
  obs_changes_close(d->changes);
  obs_sessions_close(d->sessions);
  obs_journal_close(d->journal);
  obs_feed_close(d->feed);
  obs_state_close(d->state);
  obs_bus_close(d->bus, BUS_CLOSE_MS);
  obs_access_close(d->access);
  obs_buf_fini(&d->open);
  obs_buf_fini(&d->plain);
  obs_tls_close(d->tls);
  obs_log_set_filter(NULL, NULL);
  obs_redact_close(d->redact);
  free(d->data_dir);
  free(d);
}
