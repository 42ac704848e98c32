#include "observerd/leader.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/vec.h"
#include "fleet/archive.h"
#include "fleet/ask.h"
#include "fleet/query.h"
#include "observerd/daemon.h"
#include "observerd/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <xxhash.h>

enum {
  IDLE_MS = 500, /* between two looks at whether it leads */
  TICK_MS = 1000,
  AGAIN_MS = 5000,  /* until what could not start is tried again */
  YIELD_MS = 60000, /* so long others have the first turn then */
  CONNECT_MS = 5000,
  ARCHIVE_MS = 60000,
  ARCHIVE_AGAIN_MS = 1000,
  ARCHIVE_SHARE = 10, /* archiving takes at most so small a part of the time */
  STOP_SAVES = 3,
  GIVE_MS = 30000, /* so long one that is alive may take to give it up */
  SEGMENTS = 3,
  CHECKPOINT_S = 10,
  OTHERS_MS = 30000, /* between two looks for kinds that only partitions have which are not read */
  OTHERS_KINDS = 256,
  OTHERS_OPS = 3, /* of each */
  SOCKET_PATH_MAX = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1
};
#define SEGMENT_BYTES (UINT64_C(32) << 20)
static const char dir_name[] = "leader", socket_name[] = "leader.sock";

struct obs_leader {
  obs_leader_opts opts;
  obs_config config; /* the pipeline's; texts and lists are those of the process's */
  char *data_dir, *dir, *socket;
  int parent_fd; /* of the data directory, where its path is too long for a socket's; below 0: not open */
  uint64_t worker, run;
  pthread_t thread;
  bool started;
  _Atomic bool stopping, reload;

  /* The thread's own, while it leads. */
  obs_nats *nats;
  obs_nats_kv *leases, *chunks;
  obs_archive *archive;
  obs_daemon *daemon;
  obs_fleet_answerer *answerer;
  obs_fleet_query *query; /* NULL: not needed yet */
  uint64_t cycle_at, tick_at, answer_at, others_at;
  uint64_t archive_at, archive_from; /* when it is due, and before when it is not */
  uint64_t waits_from;               /* since when another one has not given it up; 0: it does not wait */
  uint64_t learned;                  /* hash of the files as they were archived */
  uint64_t next_at, yield_until;     /* not before then it is tried again; others go first until then */
  uint64_t fed;                      /* bytes since the last checkpoint was asked for */
  bool superseded;

  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t changed;
  obs_leader_reader *reader; /* NULL: it does not lead */
  bool leads;                /* what is begun may leave, */
  bool archives;             /* and waits until that is archived; not while the pipeline starts */
  uint64_t asked, archived;  /* numbers of requests to archive */
  obs_leader_counts counts;  /* but for those of the reader */
  uint64_t archived_ms;      /* monotonic; 0: not yet */
  char why[512];             /* "": nothing hinders it */
};

/* ---- who asks it ---- */

static void hinder(obs_leader *l, const char *why) {
  pthread_mutex_lock(&l->lock);
  bool is_new = strcmp(l->why, why) != 0;
  (void)snprintf(l->why, sizeof l->why, "%s", why);
  pthread_mutex_unlock(&l->lock);
  if (is_new && why[0] != '\0') obs_log_error("fleet", "leader: cannot begin: %s", why);
}

bool obs_leader_is_hindered(obs_leader *l, char *why, size_t size) {
  pthread_mutex_lock(&l->lock);
  bool is = l->why[0] != '\0';
  if (is) (void)snprintf(why, size, "the fleet's leader cannot begin: %s", l->why);
  pthread_mutex_unlock(&l->lock);
  return is;
}

void obs_leader_reload(obs_leader *l) {
  atomic_store(&l->reload, true);
}

const char *obs_leader_socket(const obs_leader *l) {
  return l->socket;
}

bool obs_leader_admit(void *leader, bool once) {
  obs_leader *l = leader;
  if (!obs_fleet_worker_leads(l->opts.worker)) return false;
  pthread_mutex_lock(&l->lock);
  uint64_t number = once ? ++l->asked : 0;
  while (l->leads && l->archives && l->archived < number) obs_thread_cond_wait_ms(&l->changed, &l->lock, IDLE_MS);
  bool leads = l->leads;
  pthread_mutex_unlock(&l->lock);
  return leads && obs_fleet_worker_leads(l->opts.worker);
}

void obs_leader_get_counts(obs_leader *l, obs_leader_counts *out) {
  uint64_t now_ms = obs_clock_mono_ms();
  pthread_mutex_lock(&l->lock);
  *out = l->counts;
  out->leads = l->leads;
  if (l->reader != NULL) obs_leader_reader_get_counts(l->reader, out);
  out->archive_age_ms = l->leads && l->archived_ms != 0 ? now_ms - l->archived_ms : 0;
  pthread_mutex_unlock(&l->lock);
}

/* ---- what the pipeline is fed ---- */

static bool goes_on(void *arg) {
  obs_leader *l = arg;
  return !atomic_load(&l->stopping) && obs_fleet_worker_leads(l->opts.worker);
}

/* Rows are not kept for long: what was made of them is in a checkpoint before they go. */
static observer_err submit(void *arg, obs_batch *b) {
  obs_leader *l = arg;
  l->fed += b->message_bytes;
  if (l->fed >= SEGMENT_BYTES) {
    l->fed = 0;
    obs_commit_checkpoint(l->daemon->commit);
  }
  return obs_commit_submit(l->daemon->commit, b);
}

/* ---- the archive ---- */

static bool is_learned(const char *name) {
  size_t n = strlen(name);
  return n > 6 && strcmp(name + n - 6, ".jsonl") == 0 && strncmp(name, "ops", 3) != 0;
}

/* What has been learned and told, as far as the files' sizes and times show it. */
static uint64_t hash_learned(const obs_leader *l) {
  uint64_t hash = 0;
  DIR *dir = opendir(l->dir);
  for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
    struct stat st;
    if (!is_learned(e->d_name) || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    const uint64_t is[] = {(uint64_t)st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
                           (uint64_t)st.st_mtim.tv_nsec};
    hash += XXH3_64bits_withSeed(is, sizeof is, XXH3_64bits(e->d_name, strlen(e->d_name))); /* in any order */
  }
  if (dir != NULL) (void)closedir(dir);
  return hash;
}

/* False: another one leads. */
static bool archive(obs_leader *l, bool gives) {
  char why[OBS_NATS_WHY_MAX] = "";
  uint64_t begun_ms = obs_clock_mono_ms();
  pthread_mutex_lock(&l->lock);
  uint64_t asked = l->asked;
  uint32_t partitions = l->counts.partitions;
  pthread_mutex_unlock(&l->lock);
  uint64_t learned = hash_learned(l);
  observer_err err = obs_archive_write(l->archive, partitions, gives, why);
  uint64_t now_ms = obs_clock_mono_ms();
  pthread_mutex_lock(&l->lock);
  if (err == OBSERVER_E_OK) {
    l->counts.archives++;
    l->archived = asked;
    l->archived_ms = begun_ms;
  } else
    l->counts.archive_failures++;
  l->counts.archive_bytes = obs_archive_bytes(l->archive);
  l->counts.archive_sent_bytes += obs_archive_take_sent(l->archive);
  pthread_cond_broadcast(&l->changed);
  pthread_mutex_unlock(&l->lock);
  if (err == OBSERVER_E_OK) l->learned = learned;
  l->archive_at = begun_ms + ARCHIVE_MS;
  l->archive_from = now_ms + (now_ms - begun_ms) * ARCHIVE_SHARE;
  if (err != OBSERVER_E_OK) l->archive_at = l->archive_from = now_ms + ARCHIVE_AGAIN_MS;
  if (err != OBSERVER_E_OK && err != OBSERVER_E_LOCKED) obs_log_warn("fleet", "leader: not archived: %s", why);
  l->superseded = err == OBSERVER_E_LOCKED;
  return !l->superseded;
}

/* False: another one leads. */
static bool archive_when_due(obs_leader *l, bool ticks) {
  uint64_t now_ms = obs_clock_mono_ms();
  if (now_ms < l->archive_from) return true;
  pthread_mutex_lock(&l->lock);
  bool asked = l->asked > l->archived;
  pthread_mutex_unlock(&l->lock);
  bool due = asked || now_ms >= l->archive_at || (ticks && hash_learned(l) != l->learned);
  return !due || archive(l, false);
}

/* ---- beginning ---- */

/* The pipeline's configuration: what it learns, and tells, is as configured for the process. */
static void derive(obs_leader *l) {
  obs_config *c = &l->config;
  const obs_option_list none = {0};
  *c = *l->opts.config;
  c->leader = l;
  c->data_dir = l->dir;
  c->http = c->pull = c->sub = c->rep = c->feed = none;
  c->forward = c->jetstream = none;
  c->keys = c->tls_cert = c->tls_key = c->tls_ca = NULL; /* its socket is this user's alone */
  c->corrections_path = NULL;                            /* edges read them, and forward them */
  c->segment_bytes = SEGMENT_BYTES;
  c->retain_segments = SEGMENTS;
  c->retain_bytes = c->retain_hours = 0;
  c->checkpoint_s = CHECKPOINT_S;
}

static void on_connection(void *arg, bool connected, const char *why) {
  obs_leader *l = arg;
  (void)why;
  pthread_mutex_lock(&l->lock);
  if (connected && l->reader != NULL) obs_leader_reader_reconnected(l->reader);
  pthread_mutex_unlock(&l->lock);
}

static observer_err open_nats(obs_leader *l, char *why) {
  uint32_t replicas = (uint32_t)l->config.replicas;
  obs_nats_opts nats = l->opts.nats;
  nats.changed = on_connection;
  nats.arg = l;
  observer_err err = obs_nats_open(&nats, &l->nats, why);
  if (err == OBSERVER_E_OK && !obs_nats_wait(l->nats, CONNECT_MS)) {
    (void)snprintf(why, OBS_NATS_WHY_MAX, "NATS is away");
    err = OBSERVER_E_NET;
  }
  if (err == OBSERVER_E_OK) err = obs_nats_kv_open(l->nats, OBS_FLEET_LEASES, replicas, 0, &l->leases, why);
  if (err == OBSERVER_E_OK) err = obs_nats_kv_open(l->nats, OBS_FLEET_CHECKPOINTS, replicas, 0, &l->chunks, why);
  return err;
}

/* LOCKED: another one leads still, or has been faster. */
static observer_err take(obs_leader *l, char *why) {
  const obs_archive_opts opts = {.leases = l->leases,
                                 .chunks = l->chunks,
                                 .parent = l->opts.config->data_dir,
                                 .name = dir_name,
                                 .worker = l->worker,
                                 .run = l->run};
  obs_archive_holder holder;
  observer_err err = obs_archive_open(&opts, &l->archive);
  if (err != OBSERVER_E_OK) return err;
  err = obs_archive_look(l->archive, &holder, why);
  if (err != OBSERVER_E_OK && err != OBSERVER_E_NOTFOUND) return err;
  uint64_t now_ms = obs_clock_mono_ms();
  bool held = holder.run != 0 && holder.run != l->run && obs_fleet_worker_is_run_alive(l->opts.worker, holder.run);
  if (!held || l->waits_from == 0) l->waits_from = held ? now_ms : 0;
  if (held && now_ms - l->waits_from < GIVE_MS) {
    (void)snprintf(why, OBS_NATS_WHY_MAX, "worker %016" PRIx64 " has not given it up yet", holder.worker);
    return OBSERVER_E_LOCKED;
  }
  err = obs_archive_take(l->archive, why);
  if (err == OBSERVER_E_CORRUPT) {
    obs_log_error("fleet", "leader: the archive is broken: %s; it goes on with what is on this disk", why);
    err = obs_archive_take_anew(l->archive, why);
  }
  return err;
}

static observer_err start_pipeline(obs_leader *l, char *error, size_t size) {
  obs_leader_reader *reader;
  char why[OBS_NATS_WHY_MAX] = "";
  const obs_leader_reader_opts opts = {.nats = l->nats,
                                       .worker = l->opts.worker,
                                       .dir = l->dir,
                                       .partitions = l->opts.partitions,
                                       .most_ops = l->config.leader_ops,
                                       .submit = submit,
                                       .goes_on = goes_on,
                                       .arg = l};
  observer_err err = obs_daemon_open(&l->config, &l->daemon, error, size);
  if (err != OBSERVER_E_OK) {
    l->daemon = NULL;
    return err;
  }
  /* Alerts that fire are told as soon as it starts. */
  pthread_mutex_lock(&l->lock);
  l->leads = true;
  pthread_mutex_unlock(&l->lock);
  if ((err = obs_daemon_start(l->daemon, &l->config, error, size)) != OBSERVER_E_OK) {
    l->daemon = NULL;
    return err;
  }
  err = obs_leader_reader_open(&opts, &reader, why);
  if (err != OBSERVER_E_OK) {
    (void)snprintf(error, size, "%s", why);
    return err;
  }
  pthread_mutex_lock(&l->lock);
  l->reader = reader;
  l->counts.begun++;
  pthread_mutex_unlock(&l->lock);
  return OBSERVER_E_OK;
}

/* The answers to who asks the leader; tried again where they cannot begin. */
static void tend_answers(obs_leader *l) {
  char who[OBS_HEX_LEN + 1], why[OBS_NATS_WHY_MAX] = "";
  uint64_t now_ms = obs_clock_mono_ms();
  if (l->answerer != NULL || now_ms < l->answer_at) return;
  l->answer_at = now_ms + AGAIN_MS;
  obs_hex_format(l->worker, who);
  observer_err err = obs_fleet_answerer_open(l->nats, OBS_FLEET_ASK_LEADER, who, l->socket, &l->answerer, why);
  if (err != OBSERVER_E_OK)
    obs_log_warn("fleet", "leader: does not answer: %s", why[0] != '\0' ? why : observer_strerror(err));
}

/* ---- kinds that it cannot see ---- */

typedef struct {
  obs_clusters *own;
  OBS_VEC(uint64_t) seqs;
} other_kinds;

static void ignore(void *arg, const obs_cluster_view *x) {
  (void)arg;
  (void)x;
}

static bool on_kind(void *arg, const obs_cluster_view *x) {
  other_kinds *others = arg;
  if (obs_clusters_one(others->own, x->id, obs_clock_receipt_ms(), ignore, NULL)) return true;
  for (uint32_t i = 0; i < x->nsamples && i < OTHERS_OPS; i++) {
    uint64_t *seq = OBS_VEC_PUSH(&others->seqs);
    if (seq != NULL) *seq = x->samples[i];
  }
  return true;
}

/* Where it reads a part, the workers know kinds of failures that it does not: some of their ops are fetched. */
static void fetch_other_kinds(obs_leader *l) {
  const obs_clusters_filter newest = {
      .state = -1, .since_ms = INT64_MIN, .order = OBS_CLUSTERS_BY_FIRST_SEEN, .page = {.limit = OTHERS_KINDS}};
  char error[256] = "";
  obs_page_end page_end;
  obs_merge *fleet = NULL;
  other_kinds others = {.own = l->daemon->clusters};
  l->others_at = obs_clock_mono_ms() + OTHERS_MS;
  observer_err err = l->query != NULL ? OBSERVER_E_OK : obs_fleet_query_open(l->nats, l->opts.partitions, &l->query);
  if (err == OBSERVER_E_OK) err = obs_fleet_query_ask(l->query, 1, &fleet, error, sizeof error);
  if (err == OBSERVER_E_OK)
    err = obs_clusters_each(obs_merge_clusters(fleet), &newest, obs_clock_receipt_ms(), on_kind, &others, &page_end);
  if (err != OBSERVER_E_OK)
    obs_log_debug("fleet", "leader: other kinds are not known: %s", error[0] != '\0' ? error : observer_strerror(err));
  for (uint32_t i = 0; i < others.seqs.n && goes_on(l) && obs_leader_reader_fetch(l->reader, others.seqs.at[i]); i++)
    continue;
  OBS_VEC_FINI(&others.seqs);
  obs_merge_close(fleet);
}

/* ---- the end ---- */

/* Nothing leaves any more, and who waits for that is told. */
static void end_leading(obs_leader *l) {
  pthread_mutex_lock(&l->lock);
  l->leads = l->archives = false;
  pthread_cond_broadcast(&l->changed);
  pthread_mutex_unlock(&l->lock);
}

/* `gives`: with a last archive, for who leads next. Where the position cannot be written, that one reads more again. */
static void end(obs_leader *l, bool gives) {
  end_leading(l);
  obs_fleet_answerer_close(l->answerer);
  l->answerer = NULL;
  if (l->reader != NULL && gives) (void)obs_leader_reader_save(l->reader);
  obs_daemon_stop(l->daemon); /* what is under way comes back */
  l->daemon = NULL;
  for (int i = 0; gives && i < STOP_SAVES && !l->superseded; i++) {
    uint64_t before = l->counts.archives;
    (void)archive(l, true);
    gives = l->counts.archives == before;
  }
  pthread_mutex_lock(&l->lock);
  obs_leader_reader *reader = l->reader;
  l->reader = NULL;
  if (reader != NULL) obs_leader_reader_get_counts(reader, &l->counts);
  l->counts.partitions = 0;
  l->counts.pending = 0;
  pthread_mutex_unlock(&l->lock);
  obs_leader_reader_close(reader);
  obs_fleet_query_close(l->query);
  l->query = NULL;
  obs_archive_close(l->archive);
  obs_nats_kv_close(l->leases);
  obs_nats_kv_close(l->chunks);
  obs_nats_close(l->nats);
  l->archive = NULL;
  l->leases = l->chunks = NULL;
  l->nats = NULL;
  l->next_at = obs_clock_mono_ms() + AGAIN_MS;
}

static void begin(obs_leader *l) {
  char why[OBS_NATS_WHY_MAX] = "", error[512] = "";
  l->superseded = false;
  observer_err err = open_nats(l, why);
  if (err == OBSERVER_E_OK) err = take(l, why);
  bool taken = err == OBSERVER_E_OK;
  if (taken) err = start_pipeline(l, error, sizeof error);
  if (err != OBSERVER_E_OK) {
    const char *text = error[0] != '\0' ? error : why[0] != '\0' ? why : observer_strerror(err);
    bool waits = !taken && (err == OBSERVER_E_LOCKED || err == OBSERVER_E_NET || err == OBSERVER_E_TIMEDOUT);
    if (waits)
      obs_log_info("fleet", "leader: waits: %s", text);
    else
      hinder(l, text);
    end(l, taken);
    l->next_at = obs_clock_mono_ms() + (waits ? TICK_MS : AGAIN_MS);
    if (!waits) { /* another one may be able to */
      l->yield_until = obs_clock_mono_ms() + YIELD_MS;
      obs_fleet_worker_set_leads(l->opts.worker, false);
    }
    return;
  }
  hinder(l, "");
  pthread_mutex_lock(&l->lock);
  l->archives = true;
  pthread_mutex_unlock(&l->lock);
  l->waits_from = 0;
  uint64_t now_ms = obs_clock_mono_ms();
  l->cycle_at = now_ms + l->config.cycle_ms;
  l->tick_at = now_ms;
  l->archive_at = l->archive_from = now_ms;
  l->answer_at = 0;
  l->others_at = now_ms;
  l->learned = l->fed = 0;
  obs_log_info("fleet", "leader: begins, with %s",
               obs_archive_was_here(l->archive) ? "what is on this disk" : "the archive");
}

/* ---- the thread ---- */

static void lead(obs_leader *l) {
  bool ok = obs_leader_reader_turn(l->reader), leads = goes_on(l);
  uint64_t now_ms = obs_clock_mono_ms();
  bool ticks = now_ms >= l->tick_at;
  if (ticks) {
    l->tick_at = now_ms + TICK_MS;
    obs_daemon_tick(l->daemon, atomic_exchange(&l->reload, false));
    tend_answers(l);
  }
  if (now_ms >= l->cycle_at) {
    l->cycle_at = now_ms + l->config.cycle_ms;
    obs_daemon_cycle(l->daemon);
  }
  if (leads && ok && obs_leader_reader_samples(l->reader) && now_ms >= l->others_at) fetch_other_kinds(l);
  leads = leads && archive_when_due(l, ticks);
  if (leads && ok) return;
  if (l->superseded)
    obs_log_warn("fleet", "leader: another worker leads; what is here ends");
  else if (ok || atomic_load(&l->stopping))
    obs_log_info("fleet", "leader: gives up");
  else
    obs_log_error("fleet", "leader: cannot go on, and begins anew");
  end(l, !l->superseded);
}

/* Others have had their chance. */
static void end_yielding(obs_leader *l) {
  if (l->yield_until == 0 || obs_clock_mono_ms() < l->yield_until) return;
  l->yield_until = 0;
  obs_fleet_worker_set_leads(l->opts.worker, true);
}

static void *run(void *arg) {
  obs_leader *l = arg;
  while (!atomic_load(&l->stopping)) {
    if (l->reader != NULL) {
      lead(l);
      continue;
    }
    end_yielding(l);
    if (obs_clock_mono_ms() >= l->next_at && obs_fleet_worker_leads(l->opts.worker))
      begin(l);
    else if (l->yield_until == 0)
      hinder(l, "");
    pthread_mutex_lock(&l->lock);
    if (l->reader == NULL && !atomic_load(&l->stopping)) obs_thread_cond_wait_ms(&l->changed, &l->lock, IDLE_MS);
    pthread_mutex_unlock(&l->lock);
  }
  if (l->reader != NULL) end(l, !l->superseded);
  return NULL;
}

/* ---- construction ---- */

static observer_err name_socket(obs_leader *l) {
  if (asprintf(&l->socket, "%s/%s", l->data_dir, socket_name) < 0) l->socket = NULL;
  if (l->socket == NULL) return OBSERVER_E_NOMEM;
  if (strlen(l->socket) <= SOCKET_PATH_MAX) return OBSERVER_E_OK;
  free(l->socket);
  l->parent_fd = open(l->data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (l->parent_fd < 0 || asprintf(&l->socket, "/proc/self/fd/%d/%s", l->parent_fd, socket_name) < 0) l->socket = NULL;
  return l->socket != NULL ? OBSERVER_E_OK : OBSERVER_E_IO;
}

observer_err obs_leader_open(const obs_leader_opts *opts, obs_leader **out) {
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  obs_leader *l = calloc(1, sizeof *l);
  if (l == NULL) return err;
  l->opts = *opts;
  l->parent_fd = -1;
  pthread_mutex_init(&l->lock, NULL); /* the default kind does not fail */
  if ((err = obs_thread_cond_init(&l->changed)) != OBSERVER_E_OK) {
    pthread_mutex_destroy(&l->lock);
    free(l);
    return err;
  }
  l->worker = obs_fleet_worker_id(opts->worker);
  l->run = obs_fleet_worker_run(opts->worker);
  err = OBSERVER_E_NOMEM;
  l->data_dir = obs_config_data_dir(opts->config);
  if (l->data_dir == NULL || asprintf(&l->dir, "%s/%s", l->data_dir, dir_name) < 0) l->dir = NULL;
  if (l->dir == NULL) goto fail;
  if ((err = name_socket(l)) != OBSERVER_E_OK) goto fail;
  derive(l);
  if ((err = obs_thread_start(&l->thread, "obs:leader", run, l)) != OBSERVER_E_OK) goto fail;
  l->started = true;
  *out = l;
  return OBSERVER_E_OK;
fail:
  obs_leader_close(l);
  return err;
}

void obs_leader_begin_stop(obs_leader *l) {
  pthread_mutex_lock(&l->lock);
  atomic_store(&l->stopping, true);
  pthread_cond_broadcast(&l->changed);
  pthread_mutex_unlock(&l->lock);
}

void obs_leader_close(obs_leader *l) {
  if (l == NULL) return;
  obs_leader_begin_stop(l);
  if (l->started) (void)pthread_join(l->thread, NULL);
  if (l->parent_fd >= 0) (void)close(l->parent_fd);
  free(l->data_dir);
  free(l->dir);
  free(l->socket);
  pthread_mutex_destroy(&l->lock);
  pthread_cond_destroy(&l->changed);
  free(l);
}
