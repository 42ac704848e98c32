#include "observerd/fleet.h"

#include "base/clock.h"
#include "base/log.h"
#include "fleet/batch.h"
#include "nats/jetstream.h"
#include "observerd/leader.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  CONNECT_MS = 2000,
  ANSWERS_AGAIN_MS = 30000,
  SOCKET_PATH_MAX = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1
};

struct obs_fleet {
  obs_commit *commit;
  const obs_config *config;
  obs_edge *edge;   /* NULL: it is none */
  obs_nats *nats;   /* the worker's */
  char *socket;     /* of the bridge, for an edge's answers; NULL: there is none */
  int dir_fd;       /* of the data directory, where its path is too long for a socket's; below 0: not open */
  obs_nats *answering;
  obs_fleet_answerer *answerer; /* as `answering`, main thread; NULL: it does not */
  uint64_t answers_next_ms;     /* when that is tried again, monotonic */
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

/* In the data directory; one with a long path is named by its descriptor, which is short. */
static observer_err name_socket(obs_fleet *f) {
  static const char name[] = "fleet.sock";
  if (asprintf(&f->socket, "%s/%s", f->config->data_dir, name) < 0) f->socket = NULL;
  if (f->socket == NULL) return OBSERVER_E_NOMEM;
  if (strlen(f->socket) <= SOCKET_PATH_MAX) return OBSERVER_E_OK;
  free(f->socket);
  f->dir_fd = open(f->config->data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (f->dir_fd < 0 || asprintf(&f->socket, "/proc/self/fd/%d/%s", f->dir_fd, name) < 0) f->socket = NULL;
  return f->socket != NULL ? OBSERVER_E_OK : OBSERVER_E_IO;
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

static void close_hands(obs_fleet *f) {
  obs_fleet_asker_close(f->hands.asker);
  obs_fleet_query_close(f->hands.query);
  obs_nats_close(f->hands.nats);
  f->hands = (obs_fleet_hands){NULL};
}

/* Questions have a connection of their own: those of an edge and of a worker are busy. One that the servers have
 * refused is opened anew with the next question. */
static void open_hands(obs_fleet *f) {
  char why[OBS_NATS_WHY_MAX] = "";
  const obs_nats_opts opts = nats_opts(f, "observer queries");
  obs_fleet_hands *h = &f->hands;
  observer_err err = obs_nats_open(&opts, &h->nats, why);
  if (err == OBSERVER_E_OK) err = obs_fleet_query_open(h->nats, OBS_FLEET_PARTITIONS, &h->query);
  if (err == OBSERVER_E_OK) err = obs_fleet_asker_open(h->nats, &h->asker, why);
  if (err == OBSERVER_E_OK) return;
  obs_log_warn("fleet", "the fleet cannot be asked now: %s", why[0] != '\0' ? why : observer_strerror(err));
  close_hands(f);
}

observer_err obs_fleet_open(const obs_config *c, obs_journal *journal, obs_commit *commit, obs_fleet **out, char *error,
                            size_t size) {
  *out = NULL;
  if (c->forward.n == 0 && c->jetstream.n == 0) return OBSERVER_E_OK;
  obs_fleet *f = calloc(1, sizeof(*f));
  if (f == NULL) return OBSERVER_E_NOMEM;
  f->commit = commit;
  f->config = c;
  f->dir_fd = -1;
  pthread_mutex_init(&f->hands_lock, NULL); /* the default kind does not fail */
  observer_err err = c->forward.n > 0 ? open_edge(f, journal, error, size) : OBSERVER_E_OK;
  if (err == OBSERVER_E_OK && c->forward.n > 0) err = name_socket(f);
  if (err == OBSERVER_E_OK && c->jetstream.n > 0) err = open_nats(f, error, size);
  if (err != OBSERVER_E_OK) {
    obs_fleet_close(f);
    return err;
  }
  open_hands(f);
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

const char *obs_fleet_socket(const obs_fleet *f) {
  return f != NULL ? f->socket : NULL;
}

void obs_fleet_tend_answers(obs_fleet *f) {
  char who[OBS_HEX_LEN + 1], why[OBS_NATS_WHY_MAX] = "";
  uint64_t now_ms = obs_clock_mono_ms();
  if (f == NULL || f->socket == NULL || now_ms < f->answers_next_ms) return;
  if (f->answerer != NULL && !obs_nats_is_closed(f->answering)) return;
  obs_fleet_end_answers(f);
  obs_hex_format(obs_edge_id(f->edge), who);
  const obs_nats_opts opts = nats_opts(f, "observer answers");
  observer_err err = obs_nats_open(&opts, &f->answering, why);
  if (err == OBSERVER_E_OK)
    err = obs_fleet_answerer_open(f->answering, OBS_FLEET_ASK_EDGES, who, f->socket, &f->answerer, why);
  if (err == OBSERVER_E_OK) return;
  f->answers_next_ms = now_ms + ANSWERS_AGAIN_MS;
  obs_log_warn("fleet", "this edge does not answer for its rows: %s", why[0] != '\0' ? why : observer_strerror(err));
}

void obs_fleet_end_answers(obs_fleet *f) {
  if (f == NULL) return;
  obs_fleet_answerer_close(f->answerer);
  obs_nats_close(f->answering);
  f->answerer = NULL;
  f->answering = NULL;
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
  obs_fleet_end_answers(f);
  obs_fleet_worker_close(atomic_exchange(&f->worker, NULL));
  close_hands(f);
  obs_nats_close(f->nats);
  obs_edge_close(f->edge);
  if (f->dir_fd >= 0) (void)close(f->dir_fd);
  free(f->socket);
  pthread_mutex_destroy(&f->hands_lock);
  free(f);
}

obs_edge *obs_fleet_edge(obs_fleet *f) {
  return f != NULL ? f->edge : NULL;
}

obs_fleet_worker *obs_fleet_get_worker(obs_fleet *f) {
  return f != NULL ? atomic_load(&f->worker) : NULL;
}

bool obs_fleet_hold(obs_fleet *f, obs_fleet_hands *out) {
  if (f == NULL) return false;
  pthread_mutex_lock(&f->hands_lock);
  if (f->holders == 0 && f->hands.nats != NULL && obs_nats_is_closed(f->hands.nats)) close_hands(f);
  if (f->hands.nats == NULL) {
    open_hands(f);
    if (f->hands.nats != NULL) (void)obs_nats_wait(f->hands.nats, CONNECT_MS);
  }
  bool held = f->hands.nats != NULL;
  f->holders += held;
  *out = f->hands;
  pthread_mutex_unlock(&f->hands_lock);
  return held;
}

void obs_fleet_release(obs_fleet *f) {
  pthread_mutex_lock(&f->hands_lock);
  f->holders--;
  pthread_mutex_unlock(&f->hands_lock);
}

bool obs_fleet_is_hindered(obs_fleet *f, char *why, size_t size) {
  obs_fleet_worker *w = obs_fleet_get_worker(f);
  if (w == NULL) return false;
  obs_leader *l = atomic_load(&f->leader);
  if (!obs_nats_is_closed(f->nats))
    return obs_fleet_worker_is_hindered(w, why, size) || (l != NULL && obs_leader_is_hindered(l, why, size));
  (void)snprintf(why, size, "NATS refuses this worker for good: start it again when its credentials are right");
  return true;
}
