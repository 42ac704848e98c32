#include "httpd/host.h"
#include "learn/advice/advice.h"
#include "metrics/metrics.h"
#include "observerd/internal.h"
#include "observerd/leader.h"
#include "stream/bind_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

observer_err obs_daemon_check_binds(const obs_config *o, char *error, size_t size) {
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

static obs_bus_url_list urls_of(const obs_option_list *list) {
  return (obs_bus_url_list){(const char *const *)list->items, list->n};
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

static bool hold_fleet(void *arg, obs_fleet_hands *out) {
  const obs_daemon *d = arg;
  return obs_fleet_hold(d->fleet, out);
}

static void release_fleet(void *arg) {
  const obs_daemon *d = arg;
  obs_fleet_release(d->fleet);
}

static void look_at_fleet(void *arg, obs_fleet_picture *out) {
  const obs_daemon *d = arg;
  obs_fleet_look(d->fleet, out);
}

observer_err obs_daemon_open_sockets(obs_daemon *d, const obs_config *o, char *error, size_t size) {
  observer_err err;
  const obs_bridge_opts bridge = {.urls = (const char *const *)o->http.items,
                                  .nurls = o->http.n,
                                  .own_socket =
                                      o->leader != NULL ? obs_leader_socket(o->leader) : obs_fleet_socket(d->fleet),
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
                                  .limits = obs_daemon_limits(o),
                                  .health = obs_daemon_on_health,
                                  .health_arg = d,
                                  .metrics = obs_daemon_on_metrics,
                                  .fleet_metrics = obs_daemon_on_fleet_metrics,
                                  .metrics_arg = d,
                                  .ready = obs_daemon_ready(d),
                                  .fleet_hold = o->forward.n + o->jetstream.n > 0 ? hold_fleet : NULL,
                                  .fleet_release = release_fleet,
                                  .fleet_arg = d,
                                  .picture = look_at_fleet,
                                  .refuses_ops = obs_fleet_refuses(o),
                                  .fleet_ring = (uint32_t)o->ring,
                                  .max_connections = fit_connections("http-connections", o->http_connections),
                                  .tls = d->tls,
                                  .hosts = (const char *const *)o->http_host.items,
                                  .nhosts = o->http_host.n,
                                  .origins = (const char *const *)o->http_origin.items,
                                  .norigins = o->http_origin.n,
                                  .idle_ms = (uint32_t)(o->http_idle_s * 1000)};
  if ((err = obs_bridge_open(&bridge, &d->bridge, error, size)) != OBSERVER_E_OK) return err;

  const obs_bus_socket sockets[] = {{OBS_TRANSPORT_PULL, urls_of(&o->pull)},
                                    {OBS_TRANSPORT_SUB, urls_of(&o->sub)},
                                    {OBS_TRANSPORT_REP, urls_of(&o->rep)}};
  const obs_bus_opts bus = {.commit = d->commit,
                            .limits = obs_daemon_limits(o),
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
  if ((err = obs_bus_open(&bus, &d->bus, error, size)) != OBSERVER_E_OK) return err;

  const obs_feed_opts feed = {.urls = (const char *const *)o->feed.items,
                              .nurls = o->feed.n,
                              .state = d->state,
                              .stats = obs_daemon_on_stats,
                              .stats_arg = d,
                              .tls = d->tls,
                              .refuses = refuses_site,
                              .refuses_arg = (void *)(uintptr_t)o,
                              .access = d->access};
  return obs_feed_open(&feed, &d->feed, error, size);
}

/* Where people who are told of an alert look further: what is configured, else the first listener, by the machine's
 * name where it listens on all addresses. */
observer_err obs_daemon_set_public_url(obs_daemon *d, const obs_config *o) {
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
