#include "metrics/metrics.h"
#include "observerd/banner.h"
#include "observerd/internal.h"
#include "observerd/listeners.h"

#include <errno.h>
#include <stdio.h>

/* ---- listeners ---- */

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

const char *obs_daemon_silent(void *arg) {
  const obs_daemon *d = arg;
  if (!atomic_load(&d->ready)) return NULL;
  const char *url = obs_bus_silent(d->bus);
  if (url == NULL) url = obs_feed_silent(d->feed);
  return url != NULL ? url : obs_bridge_silent(d->bridge);
}

static bool find_hindrance(void *arg, char *why, size_t size) {
  const obs_daemon *d = arg;
  return obs_fleet_is_hindered(d->fleet, why, size);
}

obs_ready_sources obs_daemon_ready(obs_daemon *d) {
  return (obs_ready_sources){d->commit, obs_daemon_silent, d, find_hindrance, d};
}

/* ---- figures ---- */

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
  obs_fleet_worker_counts worker = {0};
  obs_leader_counts leader;
  obs_fleet_get_leader(d->fleet, &leader);
  obs_fleet_asker_counts asked;
  obs_fleet_answerer_counts answered;
  bool works = obs_fleet_get_worker_counts(d->fleet, &worker);
  obs_fleet_get_ask_counts(d->fleet, &asked, &answered);
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
                               .works = works,
                               .worker = worker,
                               .leader = leader,
                               .asked = asked,
                               .answered = answered,
                               .access = d->access,
                               .sockets = count_connections,
                               .sockets_arg = d,
                               .open = obs_buf_view(&d->open),
                               .plain = obs_buf_view(&d->plain)};
}

void obs_daemon_on_health(void *arg, obs_buf *out) {
  obs_daemon *d = arg;
  obs_metrics_values values;
  obs_metrics_sources from = sources_of(d, d->feed);
  from.urls = put_urls;
  from.urls_arg = d;
  obs_buf fleet = {0};
  obs_fleet_put_self(d->fleet, &fleet);
  if (!fleet.oom) from.fleet = obs_buf_view(&fleet);
  obs_metrics_read(&from, &values);
  obs_metrics_health(&values, out);
  obs_metrics_fini(&values);
  obs_buf_fini(&fleet);
}

void obs_daemon_on_metrics(void *arg, bool open, obs_buf *out) {
  obs_daemon *d = arg;
  obs_metrics_values values;
  obs_metrics_sources from = sources_of(d, d->feed);
  from.ready = obs_daemon_ready(d);
  from.bridge = d->bridge;
  obs_metrics_read_all(&from, &values);
  obs_metrics_text(&values, open, out);
  obs_metrics_fini(&values);
}

void obs_daemon_on_fleet_metrics(void *arg, obs_merge *merge, bool open, obs_buf *out) {
  obs_metrics_values values;
  (void)arg;
  obs_metrics_read_fleet(merge, obs_clock_wall_ms(), &values);
  obs_metrics_fleet_text(&values, open, out);
  obs_metrics_fini(&values);
}

/* A subscriber may come, and be greeted, before obs_feed_open has returned. */
uint32_t obs_daemon_on_stats(void *arg, obs_feed *feed, obs_buf *out) {
  obs_metrics_values values;
  obs_metrics_sources from = sources_of(arg, feed);
  obs_metrics_read(&from, &values);
  uint32_t n = obs_metrics_beat(&values, out);
  obs_metrics_fini(&values);
  return n;
}

/* ---- the start ---- */

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

void obs_daemon_say_ready(obs_daemon *d) {
  const char *pull = NULL;
  each_url(d, print_url, stdout);
  each_url(d, find_pull, &pull);
  print_access(d);
  obs_listeners_risks(d->config, print_risk, d);
  obs_banner_print(stdout, program_invocation_name, obs_bridge_url(d->bridge, 0), pull, d->config->keys,
                   obs_fleet_refuses(d->config) == NULL);
  puts("ready");
  fflush(stdout);
}
