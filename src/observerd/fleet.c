#include "observerd/fleet.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "fleet/batch.h"
#include "nats/jetstream.h"
#include "observerd/leader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  SETTLE_MS = 2000,
  HURRY_MS = 1500,
  CONNECT_MS = 2000,
  LOOK_MS = 1000,    /* whether the servers still have the worker */
  REJOIN_MS = 5000,  /* after they refused it for good */
  SERVER_MS = 60000, /* so long the server's version is taken to be what it was */
  ANSWERS_AGAIN_MS = 30000,
  SOCKET_PATH_MAX = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1
};

struct obs_fleet {
  obs_commit *commit;
  const obs_config *config;
  obs_acks *acks;             /* NULL: answers do not wait for the stream */
  obs_edge *edge;             /* NULL: it is none */
  obs_producers *producers;   /* NULL: nothing is taken from NATS */
  char *socket;               /* of the bridge, for an edge's answers; NULL: there is none */
  int dir_fd;                 /* of the data directory, where its path is too long for a socket's; below 0: not open */
  obs_nats *answering;        /* main thread, as what it is for */
  uint64_t answers_next_ms;   /* when that is tried again, monotonic */
  pthread_mutex_t hands_lock; /* of what follows: the connection of questions */
  uint32_t holders;
  obs_fleet_hands hands;  /* nats NULL: it is not open now */
  obs_nats_server server; /* as obs_fleet_look last asked for it, at: */
  uint64_t server_ms;

  /* The worker comes and goes on `obs:join`: one that the servers refuse is started again. */
  pthread_t join;
  bool joins;
  pthread_mutex_t lock; /* of what follows; never held while NATS is waited for */
  pthread_cond_t woken;
  bool stopping;
  obs_fleet_asker *asker;       /* of the hands, and the answerer, for their counts; what former ones have counted: */
  obs_fleet_answerer *answerer; /* set by the main thread alone; NULL: it does not answer */
  obs_fleet_asker_counts asked;
  obs_fleet_answerer_counts answered;
  obs_nats *nats;           /* the worker's; NULL: not now */
  obs_fleet_worker *worker; /* NULL: it is none, or not now */
  obs_leader *leader;       /* lives as long as the worker; NULL: none, or it never leads */
  uint64_t worker_id;       /* once it was known */
  uint64_t away_since_ms;   /* monotonic; 0: it is connected */
  char refused[256];        /* why the servers do not have it; "": they do, or that is not known */
};

static void on_full(void *arg, const char *why) {
  const obs_fleet *f = arg;
  obs_commit_hold(f->commit, why);
}

static void on_connection(void *arg, bool connected, const char *why) {
  obs_fleet *f = arg;
  if (connected)
    obs_log_info("fleet", "connected to NATS");
  else
    obs_log_warn("fleet", "NATS is away: %s", why != NULL ? why : "");
  pthread_mutex_lock(&f->lock);
  f->away_since_ms = connected ? 0 : obs_clock_mono_ms();
  if (connected) f->refused[0] = '\0';
  if (f->worker != NULL) obs_fleet_worker_changed(f->worker, connected);
  pthread_mutex_unlock(&f->lock);
}

static obs_nats_opts nats_opts_of(obs_fleet *f, const obs_option_list *urls, const char *name) {
  const obs_config *c = f->config;
  return (obs_nats_opts){.urls = (const char *const *)urls->items,
                         .nurls = urls->n,
                         .name = name,
                         .creds_file = c->nats_creds,
                         .ca_file = c->nats_ca,
                         .cert_file = c->nats_cert,
                         .key_file = c->nats_key,
                         .arg = f};
}

static observer_err open_edge(obs_fleet *f, obs_journal *journal, char *error, size_t size) {
  const obs_config *c = f->config;
  const obs_acks_opts acks = {journal, (uint32_t)c->ack_wait_s * 1000, c->queue_bytes};
  observer_err err = strcmp(c->ack, "stream") == 0 ? obs_acks_open(&acks, &f->acks) : OBSERVER_E_OK;
  if (err != OBSERVER_E_OK) return err;
  const obs_edge_opts edge = {.journal = journal,
                              .dir = c->data_dir,
                              .nats = nats_opts_of(f, &c->forward, "observer edge"),
                              .replicas = (uint32_t)c->replicas,
                              .spool_bytes = c->spool_bytes,
                              .linger_ms = c->linger_s * 1000,
                              .acks = f->acks,
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
  return nats_opts_of(f, c->jetstream.n > 0 ? &c->jetstream : &c->forward, name);
}

static bool takes_from_nats(const obs_config *c) {
  bool is_auto = strcmp(c->nats_in, "auto") == 0;
  if (c->forward.n == 0 || strcmp(c->nats_in, "no") == 0) return false;
  if (is_auto && c->keys != NULL)
    obs_log_info("fleet",
                 "nothing is taken from " OBS_FLEET_IN_SUBJECTS
                 ", because there is a key file: --nats-in yes takes it from whomever NATS lets publish there");
  return !is_auto || c->keys == NULL;
}

static observer_err open_producers(obs_fleet *f, const obs_op_limits *limits) {
  const obs_config *c = f->config;
  const obs_producers_opts opts = {.commit = f->commit,
                                   .limits = *limits,
                                   .nats = nats_opts_of(f, &c->forward, "observer producers"),
                                   .replicas = (uint32_t)c->replicas,
                                   .in_bytes = c->nats_in_bytes};
  return takes_from_nats(c) ? obs_producers_open(&opts, &f->producers) : OBSERVER_E_OK;
}

/* It holds until they have taken it: tries between do not change it. Another reason than the last is logged. */
static void set_refused(obs_fleet *f, observer_err err, const char *why) {
  char text[sizeof f->refused] = "";
  (void)snprintf(text, sizeof text, "%s", why[0] != '\0' ? why : observer_strerror(err));
  pthread_mutex_lock(&f->lock);
  bool is_new = strcmp(f->refused, text) != 0;
  memcpy(f->refused, text, sizeof text);
  pthread_mutex_unlock(&f->lock);
  if (is_new) obs_log_error("fleet", "no worker: %s; tried again", text);
}

/* The servers do not have it now, and may later. */
static bool is_refusal(observer_err err) {
  return err == OBSERVER_E_DENIED || err == OBSERVER_E_NET || err == OBSERVER_E_TIMEDOUT;
}

/* OK also where the servers refuse it now: `obs:join` tries again. */
static observer_err open_nats(obs_fleet *f, char *error, size_t size) {
  char why[OBS_NATS_WHY_MAX] = "";
  obs_nats *nats = NULL;
  obs_nats_opts opts = nats_opts(f, "observer worker");
  opts.changed = on_connection;
  observer_err err = obs_nats_open(&opts, &nats, why);
  pthread_mutex_lock(&f->lock);
  f->nats = nats;
  pthread_mutex_unlock(&f->lock);
  if (is_refusal(err)) {
    set_refused(f, err, why);
    return OBSERVER_E_OK;
  }
  if (err != OBSERVER_E_OK) (void)snprintf(error, size, "jetstream: %s", why[0] != '\0' ? why : observer_strerror(err));
  return err;
}

/* What is counted of one that ends stays counted. */
static void show_asker(obs_fleet *f, obs_fleet_asker *asker) {
  pthread_mutex_lock(&f->lock);
  obs_fleet_asker_add_counts(f->asker, &f->asked);
  f->asker = asker;
  pthread_mutex_unlock(&f->lock);
}

static void show_answerer(obs_fleet *f, obs_fleet_answerer *answerer) {
  pthread_mutex_lock(&f->lock);
  obs_fleet_answerer_add_counts(f->answerer, &f->answered);
  f->answerer = answerer;
  pthread_mutex_unlock(&f->lock);
}

static void close_hands(obs_fleet *f) {
  show_asker(f, NULL);
  obs_fleet_asker_close(f->hands.asker);
  obs_fleet_query_close(f->hands.query);
  obs_nats_close(f->hands.nats);
  f->hands = (obs_fleet_hands){.nats = NULL};
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
  if (err == OBSERVER_E_OK) show_asker(f, h->asker);
  if (err == OBSERVER_E_OK) return;
  obs_log_warn("fleet", "the fleet cannot be asked now: %s", why[0] != '\0' ? why : observer_strerror(err));
  close_hands(f);
}

observer_err obs_fleet_open(const obs_config *c, const obs_op_limits *limits, obs_journal *journal, obs_commit *commit,
                            obs_fleet **out, char *error, size_t size) {
  *out = NULL;
  if (c->forward.n == 0 && c->jetstream.n == 0) return OBSERVER_E_OK;
  obs_fleet *f = calloc(1, sizeof(*f));
  if (f == NULL) return OBSERVER_E_NOMEM;
  f->commit = commit;
  f->config = c;
  f->dir_fd = -1;
  pthread_mutex_init(&f->hands_lock, NULL); /* the default kind does not fail */
  f->away_since_ms = obs_clock_mono_ms();
  pthread_mutex_init(&f->lock, NULL); /* the default kind does not fail */
  if (obs_thread_cond_init(&f->woken) != OBSERVER_E_OK) {
    pthread_mutex_destroy(&f->lock);
    free(f);
    return OBSERVER_E_NOMEM;
  }
  observer_err err = c->forward.n > 0 ? open_edge(f, journal, error, size) : OBSERVER_E_OK;
  if (err == OBSERVER_E_OK) err = open_producers(f, limits);
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

/* It leads when the worker's turn comes. */
static observer_err start_leader(obs_fleet *f, obs_fleet_worker *worker) {
  obs_leader *l = NULL;
  const obs_leader_opts opts = {.config = f->config,
                                .worker = worker,
                                .nats = nats_opts(f, "observer leader"),
                                .partitions = OBS_FLEET_PARTITIONS};
  observer_err err = obs_leader_open(&opts, &l);
  if (err != OBSERVER_E_OK) obs_log_error("fleet", "leader: %s", observer_strerror(err));
  pthread_mutex_lock(&f->lock);
  f->leader = l;
  if (l != NULL && f->stopping) obs_leader_begin_stop(l);
  pthread_mutex_unlock(&f->lock);
  return err;
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
  if (is_refusal(err)) {
    set_refused(f, err, error);
    return OBSERVER_E_OK;
  }
  if (err != OBSERVER_E_OK) {
    obs_log_error("fleet", "worker: %s", error);
    return err;
  }
  pthread_mutex_lock(&f->lock);
  f->worker = w;
  f->worker_id = obs_fleet_worker_id(w);
  pthread_mutex_unlock(&f->lock);
  obs_fleet_worker_changed(w, true); /* it may have been connected before: a look more does no harm */
  return c->leads ? start_leader(f, w) : OBSERVER_E_OK;
}

/* Nobody sees it any more, then it ends. */
static void end_worker(obs_fleet *f) {
  pthread_mutex_lock(&f->lock);
  obs_fleet_worker *worker = f->worker;
  obs_leader *leader = f->leader;
  f->worker = NULL;
  f->leader = NULL;
  pthread_mutex_unlock(&f->lock);
  obs_leader_close(leader); /* while the worker still has its partitions */
  obs_fleet_worker_close(worker);
  pthread_mutex_lock(&f->lock);
  obs_nats *nats = f->nats;
  f->nats = NULL;
  pthread_mutex_unlock(&f->lock);
  obs_nats_close(nats);
}

/* Refused credentials end a connection for good: another one is opened, with the files as they are now. */
static void rejoin(obs_fleet *f) {
  char error[256] = "";
  pthread_mutex_lock(&f->lock);
  bool known = f->refused[0] != '\0';
  pthread_mutex_unlock(&f->lock);
  if (!known) set_refused(f, OBSERVER_E_DENIED, "NATS refuses this worker");
  end_worker(f);
  observer_err err = open_nats(f, error, sizeof error);
  if (err == OBSERVER_E_OK && f->nats != NULL) err = start_worker(f);
  if (err != OBSERVER_E_OK) set_refused(f, err, error);
  if (f->worker == NULL) end_worker(f); /* also the connection of one that could not be opened */
}

static void *join_fleet(void *arg) {
  obs_fleet *f = arg;
  pthread_mutex_lock(&f->lock);
  while (!f->stopping) {
    obs_nats *nats = f->nats; /* it changes on this thread alone, as the worker does */
    bool lost = f->worker == NULL;
    pthread_mutex_unlock(&f->lock);
    lost = lost || obs_nats_is_closed(nats);
    if (lost) rejoin(f);
    pthread_mutex_lock(&f->lock);
    if (!f->stopping) obs_thread_cond_wait_ms(&f->woken, &f->lock, lost ? REJOIN_MS : LOOK_MS);
  }
  pthread_mutex_unlock(&f->lock);
  return NULL;
}

observer_err obs_fleet_start(obs_fleet *f) {
  observer_err err = OBSERVER_E_OK;
  if (f != NULL && f->acks != NULL) err = obs_acks_start(f->acks);
  if (f != NULL && f->edge != NULL && err == OBSERVER_E_OK) err = obs_edge_start(f->edge);
  if (f == NULL || err != OBSERVER_E_OK || f->config->jetstream.n == 0) return err;
  if (f->nats != NULL) err = start_worker(f);
  if (err == OBSERVER_E_OK) err = obs_thread_start(&f->join, "obs:join", join_fleet, f);
  f->joins = err == OBSERVER_E_OK;
  return err;
}

observer_err obs_fleet_start_intake(obs_fleet *f) {
  return f != NULL && f->producers != NULL ? obs_producers_start(f->producers) : OBSERVER_E_OK;
}

void obs_fleet_stop_intake(obs_fleet *f) {
  if (f != NULL && f->producers != NULL) obs_producers_stop_take(f->producers);
  if (f != NULL && f->acks != NULL) obs_acks_hurry(f->acks, HURRY_MS);
}

void obs_fleet_room(obs_fleet *f) {
  if (f != NULL && f->producers != NULL) obs_producers_room(f->producers);
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
  obs_fleet_answerer *answerer = NULL;
  obs_hex_format(obs_edge_id(f->edge), who);
  const obs_nats_opts opts = nats_opts(f, "observer answers");
  observer_err err = obs_nats_open(&opts, &f->answering, why);
  if (err == OBSERVER_E_OK)
    err = obs_fleet_answerer_open(f->answering, OBS_FLEET_ASK_EDGES, who, f->socket, &answerer, why);
  if (err == OBSERVER_E_OK) show_answerer(f, answerer);
  if (err == OBSERVER_E_OK) return;
  f->answers_next_ms = now_ms + ANSWERS_AGAIN_MS;
  obs_log_warn("fleet", "this edge does not answer for its rows: %s", why[0] != '\0' ? why : observer_strerror(err));
}

void obs_fleet_end_answers(obs_fleet *f) {
  if (f == NULL) return;
  obs_fleet_answerer *answerer = f->answerer;
  show_answerer(f, NULL);
  obs_fleet_answerer_close(answerer);
  obs_nats_close(f->answering);
  f->answering = NULL;
}

void obs_fleet_recorded(obs_fleet *f) {
  if (f != NULL && f->edge != NULL) obs_edge_recorded(f->edge);
}

void obs_fleet_reload(obs_fleet *f) {
  if (f == NULL) return;
  pthread_mutex_lock(&f->lock);
  if (f->leader != NULL) obs_leader_reload(f->leader);
  pthread_mutex_unlock(&f->lock);
}

void obs_fleet_begin_stop(obs_fleet *f) {
  if (f == NULL) return;
  pthread_mutex_lock(&f->lock);
  if (f->leader != NULL) obs_leader_begin_stop(f->leader);
  pthread_mutex_unlock(&f->lock);
}

void obs_fleet_get_leader(obs_fleet *f, obs_leader_counts *out) {
  *out = (obs_leader_counts){.leads = 0};
  if (f == NULL) return;
  pthread_mutex_lock(&f->lock);
  if (f->leader != NULL) obs_leader_get_counts(f->leader, out);
  pthread_mutex_unlock(&f->lock);
}

void obs_fleet_stop(obs_fleet *f, uint32_t ms) {
  if (f != NULL && f->producers != NULL) obs_producers_stop(f->producers, SETTLE_MS);
  if (f != NULL && f->edge != NULL) obs_edge_stop(f->edge, ms);
  if (f != NULL && f->acks != NULL) obs_acks_stop(f->acks);
}

void obs_fleet_close(obs_fleet *f) {
  if (f == NULL) return;
  pthread_mutex_lock(&f->lock);
  f->stopping = true;
  pthread_cond_signal(&f->woken);
  pthread_mutex_unlock(&f->lock);
  if (f->joins) (void)pthread_join(f->join, NULL);
  obs_fleet_end_answers(f);
  end_worker(f);
  close_hands(f);
  obs_producers_close(f->producers);
  obs_edge_close(f->edge);
  obs_acks_close(f->acks);
  if (f->dir_fd >= 0) (void)close(f->dir_fd);
  free(f->socket);
  pthread_mutex_destroy(&f->hands_lock);
  pthread_cond_destroy(&f->woken);
  pthread_mutex_destroy(&f->lock);
  free(f);
}

void obs_fleet_confirm(obs_fleet *f, obs_batch *b) {
  if (f != NULL && f->acks != NULL)
    obs_acks_hold(f->acks, b);
  else
    b->done(b);
}

obs_acks *obs_fleet_acks(obs_fleet *f) {
  return f != NULL ? f->acks : NULL;
}

obs_edge *obs_fleet_edge(obs_fleet *f) {
  return f != NULL ? f->edge : NULL;
}

obs_producers *obs_fleet_producers(obs_fleet *f) {
  return f != NULL ? f->producers : NULL;
}

bool obs_fleet_get_worker_counts(obs_fleet *f, obs_fleet_worker_counts *out) {
  if (f == NULL) return false;
  pthread_mutex_lock(&f->lock);
  bool works = f->worker != NULL;
  if (works) obs_fleet_worker_get_counts(f->worker, out);
  pthread_mutex_unlock(&f->lock);
  return works;
}

void obs_fleet_get_ask_counts(obs_fleet *f, obs_fleet_asker_counts *asked, obs_fleet_answerer_counts *answered) {
  *asked = (obs_fleet_asker_counts){.asked = 0};
  *answered = (obs_fleet_answerer_counts){.answered = 0};
  if (f == NULL) return;
  pthread_mutex_lock(&f->lock);
  *asked = f->asked;
  *answered = f->answered;
  obs_fleet_asker_add_counts(f->asker, asked);
  obs_fleet_answerer_add_counts(f->answerer, answered);
  pthread_mutex_unlock(&f->lock);
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
  if (f == NULL || f->config->jetstream.n == 0) return false;
  pthread_mutex_lock(&f->lock);
  bool hindered = f->worker == NULL || f->refused[0] != '\0';
  if (hindered)
    (void)snprintf(why, size, "%s", f->refused[0] != '\0' ? f->refused : "NATS refuses this worker");
  else
    hindered = obs_fleet_worker_is_hindered(f->worker, why, size) ||
               (f->leader != NULL && obs_leader_is_hindered(f->leader, why, size));
  pthread_mutex_unlock(&f->lock);
  return hindered;
}

/* ---- the fleet's picture ---- */

/* Asked of the server with a connection of its own, so not each time. */
static void look_at_server(obs_fleet *f, obs_nats *nats, obs_fleet_picture *out) {
  uint64_t now_ms = obs_clock_mono_ms();
  if (f->server_ms == 0 || now_ms - f->server_ms >= SERVER_MS)
    f->server_ms = obs_nats_get_server(nats, &f->server) == OBSERVER_E_OK ? now_ms : 0;
  out->server = f->server;
}

static void look_at_self(obs_fleet *f, obs_fleet_picture *out) {
  out->is_edge = f->edge != NULL;
  out->is_worker = f->config->jetstream.n > 0;
  out->records = obs_fleet_refuses(f->config) == NULL;
  out->linger_ms = f->config->linger_s * 1000;
  if (f->edge != NULL) {
    out->edge_id = obs_edge_id(f->edge);
    obs_edge_get_counts(f->edge, &out->edge);
    out->away_ms = out->edge.away_ms;
  }
  (void)obs_fleet_get_worker_counts(f, &out->worker);
  pthread_mutex_lock(&f->lock);
  out->worker_id = f->worker_id;
  if (f->edge == NULL && f->away_since_ms != 0) out->away_ms = obs_clock_mono_ms() - f->away_since_ms;
  pthread_mutex_unlock(&f->lock);
  if (!obs_fleet_is_hindered(f, out->hindered, sizeof out->hindered)) out->hindered[0] = '\0';
}

void obs_fleet_put_self(obs_fleet *f, obs_buf *out) {
  obs_fleet_picture picture = {.is_edge = false};
  if (f == NULL) return;
  look_at_self(f, &picture);
  obs_json_writer w = obs_json_write(out);
  obs_fleet_picture_put_self(&picture, NULL, &w);
}

static void look_at_roster(obs_nats *nats, obs_fleet_picture *out) {
  observer_err err = obs_roster_read(nats, OBS_FLEET_PARTITIONS, &out->roster, out->why);
  out->has_roster = err == OBSERVER_E_OK;
  if (err == OBSERVER_E_OK) return;
  if (out->why[0] == '\0') (void)snprintf(out->why, sizeof out->why, "%s", observer_strerror(err));
  obs_roster_fini(&out->roster); /* half of it would be shown as the whole */
}

void obs_fleet_look(obs_fleet *f, obs_fleet_picture *out) {
  *out = (obs_fleet_picture){.is_edge = false};
  look_at_self(f, out);
  obs_fleet_hands hands;
  bool held = obs_fleet_hold(f, &hands);
  out->connected = held && obs_nats_is_connected(hands.nats);
  if (out->connected) {
    out->away_ms = 0;
    look_at_server(f, hands.nats, out);
    look_at_roster(hands.nats, out);
  } else {
    f->server_ms = 0; /* it may be another one behind it */
    (void)snprintf(out->why, sizeof out->why, "%s", held ? "NATS is away" : "NATS refuses this daemon");
  }
  if (held) obs_fleet_release(f);
}
