#include "observerd/fleet.h"

#include "base/log.h"
#include "fleet/batch.h"
#include "nats/jetstream.h"
#include "observerd/leader.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONNECT_MS = 2000 };

struct obs_fleet {
  obs_commit *commit;
  const obs_config *config;
  obs_edge *edge;   /* NULL: it is none */
  obs_nats *nats;   /* the worker's */
  obs_nats *asking; /* of questions; NULL: not now */
  obs_fleet_query *query;
  _Atomic(obs_fleet_worker *) worker; /* NULL: it is none, or not started */
  _Atomic(obs_leader *) leader;       /* likewise, or it never leads */
};

bool obs_fleet_check(const obs_config *c, obs_buf *error) {
  size_t before = error->len;
  bool forwards = c->forward.n > 0, works = c->jetstream.n > 0;
  if (forwards && !obs_nats_is_built_in())
    obs_buf_puts(error, "forward: this program was built without NATS (libnats-dev)\n");
  if (works && !obs_nats_is_built_in())
    obs_buf_puts(error, "jetstream: this program was built without NATS (libnats-dev)\n");
  if (works && c->ephemeral) obs_buf_puts(error, "jetstream: needs a data directory, and ephemeral has none\n");
  if (forwards && c->ephemeral) obs_buf_puts(error, "forward: needs a journal, and there is none with ephemeral\n");
  if ((c->nats_cert == NULL) != (c->nats_key == NULL))
    obs_buf_puts(error, "nats-cert and nats-key: one needs the other\n");
  return error->len == before;
}

static void on_full(void *arg, const char *why) {
  const obs_fleet *f = arg;
  obs_commit_hold(f->commit, why);
}

static void on_connection(void *arg, bool connected, const char *why) {
  obs_fleet *f = arg;
  obs_fleet_worker *w = atomic_load(&f->worker);
  if (connected)
    obs_log_info("fleet", "connected to NATS");
  else
    obs_log_warn("fleet", "NATS is away: %s", why != NULL ? why : "");
  if (w != NULL) obs_fleet_worker_changed(w, connected);
}

static observer_err open_edge(obs_fleet *f, obs_journal *journal, char *error, size_t size) {
  const obs_config *c = f->config;
  const obs_edge_opts edge = {.journal = journal,
                              .dir = c->data_dir,
                              .urls = (const char *const *)c->forward.items,
                              .nurls = c->forward.n,
                              .creds_file = c->nats_creds,
                              .ca_file = c->nats_ca,
                              .cert_file = c->nats_cert,
                              .key_file = c->nats_key,
                              .replicas = (uint32_t)c->replicas,
                              .spool_bytes = c->spool_bytes,
                              .linger_ms = c->linger_s * 1000,
                              .full = on_full,
                              .arg = f};
  return obs_edge_open(&edge, &f->edge, error, size);
}

static obs_nats_opts nats_opts(obs_fleet *f, const char *name) {
  const obs_config *c = f->config;
  const obs_option_list *urls = c->jetstream.n > 0 ? &c->jetstream : &c->forward;
  return (obs_nats_opts){.urls = (const char *const *)urls->items,
                         .nurls = urls->n,
                         .name = name,
                         .creds_file = c->nats_creds,
                         .ca_file = c->nats_ca,
                         .cert_file = c->nats_cert,
                         .key_file = c->nats_key,
                         .arg = f};
}

static observer_err open_nats(obs_fleet *f, char *error, size_t size) {
  char why[OBS_NATS_WHY_MAX] = "";
  obs_nats_opts opts = nats_opts(f, "observer worker");
  opts.changed = on_connection;
  observer_err err = obs_nats_open(&opts, &f->nats, why);
  if (err != OBSERVER_E_OK) (void)snprintf(error, size, "jetstream: %s", why[0] != '\0' ? why : observer_strerror(err));
  return err;
}

static void close_query(obs_fleet *f) {
  obs_fleet_query_close(f->query);
  obs_nats_close(f->asking);
  f->query = NULL;
  f->asking = NULL;
}

/* Questions have a connection of their own: those of an edge and of a worker are busy. One that the servers have
 * refused is opened anew with the next question. */
static void open_query(obs_fleet *f) {
  char why[OBS_NATS_WHY_MAX] = "";
  const obs_nats_opts opts = nats_opts(f, "observer queries");
  observer_err err = obs_nats_open(&opts, &f->asking, why);
  if (err == OBSERVER_E_OK) err = obs_fleet_query_open(f->asking, OBS_FLEET_PARTITIONS, &f->query);
  if (err == OBSERVER_E_OK) return;
  obs_log_warn("fleet", "the fleet cannot be asked now: %s", why[0] != '\0' ? why : observer_strerror(err));
  close_query(f);
}

observer_err obs_fleet_open(const obs_config *c, obs_journal *journal, obs_commit *commit, obs_fleet **out, char *error,
                            size_t size) {
  *out = NULL;
  if (c->forward.n == 0 && c->jetstream.n == 0) return OBSERVER_E_OK;
  obs_fleet *f = calloc(1, sizeof(*f));
  if (f == NULL) return OBSERVER_E_NOMEM;
  f->commit = commit;
  f->config = c;
  observer_err err = c->forward.n > 0 ? open_edge(f, journal, error, size) : OBSERVER_E_OK;
  if (err == OBSERVER_E_OK && c->jetstream.n > 0) err = open_nats(f, error, size);
  if (err != OBSERVER_E_OK) {
    obs_fleet_close(f);
    return err;
  }
  open_query(f);
  *out = f;
  return OBSERVER_E_OK;
}

static observer_err start_worker(obs_fleet *f) {
  const obs_config *c = f->config;
  char error[256];
  obs_fleet_worker *w;
  const obs_fleet_worker_opts opts = {.nats = f->nats,
                                      .dir = c->data_dir,
                                      .partitions = OBS_FLEET_PARTITIONS,
                                      .replicas = (uint32_t)c->replicas,
                                      .cycle_ms = (uint32_t)c->cycle_ms,
                                      .quiet = (uint32_t)c->cluster_quiet,
                                      .accept_new_stream = c->accept_new_stream,
                                      .leads = c->leads};
  observer_err err = obs_fleet_worker_open(&opts, &w, error, sizeof error);
  if (err != OBSERVER_E_OK) {
    obs_log_error("fleet", "worker: %s", error);
    return err;
  }
  atomic_store(&f->worker, w);
  obs_fleet_worker_changed(w, true); /* it may have been connected before: a look more does no harm */
  return OBSERVER_E_OK;
}

static observer_err start_leader(obs_fleet *f) {
  obs_leader *l;
  const obs_leader_opts opts = {.config = f->config,
                                .worker = atomic_load(&f->worker),
                                .nats = nats_opts(f, "observer leader"),
                                .partitions = OBS_FLEET_PARTITIONS};
  observer_err err = obs_leader_open(&opts, &l);
  if (err == OBSERVER_E_OK) atomic_store(&f->leader, l);
  return err;
}

observer_err obs_fleet_start(obs_fleet *f) {
  observer_err err = OBSERVER_E_OK;
  if (f != NULL && f->edge != NULL) err = obs_edge_start(f->edge);
  if (f != NULL && err == OBSERVER_E_OK && f->config->jetstream.n > 0) err = start_worker(f);
  if (f != NULL && err == OBSERVER_E_OK && f->config->leads) err = start_leader(f);
  return err;
}

void obs_fleet_recorded(obs_fleet *f) {
  if (f != NULL && f->edge != NULL) obs_edge_recorded(f->edge);
}

void obs_fleet_reload(obs_fleet *f) {
  obs_leader *l = f != NULL ? atomic_load(&f->leader) : NULL;
  if (l != NULL) obs_leader_reload(l);
}

void obs_fleet_begin_stop(obs_fleet *f) {
  obs_leader *l = f != NULL ? atomic_load(&f->leader) : NULL;
  if (l != NULL) obs_leader_begin_stop(l);
}

void obs_fleet_get_leader(obs_fleet *f, obs_leader_counts *out) {
  obs_leader *l = f != NULL ? atomic_load(&f->leader) : NULL;
  *out = (obs_leader_counts){.leads = 0};
  if (l != NULL) obs_leader_get_counts(l, out);
}

void obs_fleet_stop(obs_fleet *f, uint32_t ms) {
  if (f != NULL && f->edge != NULL) obs_edge_stop(f->edge, ms);
}

void obs_fleet_close(obs_fleet *f) {
  if (f == NULL) return;
  obs_leader_close(atomic_exchange(&f->leader, NULL)); /* before its partition is given up */
  obs_fleet_worker_close(atomic_exchange(&f->worker, NULL));
  close_query(f);
  obs_nats_close(f->nats);
  obs_edge_close(f->edge);
  free(f);
}

obs_edge *obs_fleet_edge(obs_fleet *f) {
  return f != NULL ? f->edge : NULL;
}

obs_fleet_worker *obs_fleet_get_worker(obs_fleet *f) {
  return f != NULL ? atomic_load(&f->worker) : NULL;
}

obs_fleet_query *obs_fleet_get_query(obs_fleet *f) {
  if (f == NULL) return NULL;
  if (f->query != NULL && obs_nats_is_closed(f->asking)) close_query(f);
  if (f->query == NULL) {
    open_query(f);
    if (f->query != NULL) (void)obs_nats_wait(f->asking, CONNECT_MS);
  }
  return f->query;
}

bool obs_fleet_is_hindered(obs_fleet *f, char *why, size_t size) {
  obs_fleet_worker *w = obs_fleet_get_worker(f);
  if (w == NULL) return false;
  if (!obs_nats_is_closed(f->nats)) return obs_fleet_worker_is_hindered(w, why, size);
  (void)snprintf(why, size, "NATS refuses this worker for good: start it again when its credentials are right");
  return true;
}
