/* The thread of leases: prepares the buckets, writes the heartbeat, follows what the bucket of leases says, and does
 * what the state machine (lease.h) tells it. A partition that is held has a thread of its own (fold.c). */
#include "fleet/worker.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/row.h"
#include "base/thread.h"
#include "fleet/roster.h"
#include "fleet/worker_internal.h"
#include "jsonl/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  TURN_MS = 1000,
  PREPARE_MS = 10000,
  WATCH_MS = 500,
  WATCH_MESSAGES = 10000,
  WATCH_BYTES = 16 << 20,
  UNSEEN_MS = 6000, /* so long the own heartbeat may take to come back before the bucket is read again */
  STOP_MS = 15000,
  STOP_AWAY_MS = 2000, /* the same while NATS is away */
  AGREED = 24          /* a text that the fleet agrees upon */
};
#define NS_PER_MS INT64_C(1000000)
static const char id_file[] = "worker";
static const char dead_stream[] = "OBSERVER_DEAD";

/* ---- why it does not fold ---- */

static void hinder(obs_fleet_worker *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void hinder(obs_fleet_worker *w, const char *fmt, ...) {
  char text[sizeof w->why];
  va_list args;
  va_start(args, fmt);
  (void)vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  pthread_mutex_lock(&w->lock);
  bool is_new = strcmp(text, w->why) != 0;
  memcpy(w->why, text, sizeof text);
  pthread_mutex_unlock(&w->lock);
  if (is_new && text[0] != '\0') obs_log_warn("fleet", "nothing is folded: %s", text);
}

bool obs_fleet_worker_is_hindered(obs_fleet_worker *w, char *why, size_t size) {
  pthread_mutex_lock(&w->lock);
  (void)snprintf(why, size, "%s", w->why);
  pthread_mutex_unlock(&w->lock);
  return why[0] != '\0';
}

/* ---- what must be there before anything is leased ---- */

/* What the fleet has agreed upon under this key: what stands there, else `mine`, which then does. */
static observer_err agree(obs_fleet_worker *w, const char *key, const char *mine, char agreed[AGREED],
                          uint64_t *revision, char *why) {
  obs_buf value = {0};
  observer_err err = obs_nats_kv_create(w->fleet, key, mine, strlen(mine), revision, why);
  (void)snprintf(agreed, AGREED, "%s", mine);
  if (err == OBSERVER_E_LOCKED) {
    err = obs_nats_kv_get(w->fleet, key, &value, revision, why);
    (void)snprintf(agreed, AGREED, "%.*s", (int)value.len, value.len > 0 ? value.p : "");
  }
  obs_buf_fini(&value);
  return err;
}

/* REFUSED: it takes no part. AWAY: that cannot be known now, and changes nothing. */
typedef enum { READY, REFUSED, AWAY } standing;

/* Nothing that was folded has been kept: any stream may be the fleet's. It is so when the fleet begins; then the stream
 * may be made twice, once each by two who found none, and the servers keep the second one. */
static bool is_at_its_beginning(obs_fleet_worker *w) {
  obs_nats_stream checkpoints;
  return obs_nats_stream_look(w->nats, "KV_" OBS_FLEET_CHECKPOINTS, &checkpoints, NULL) == OBSERVER_E_OK &&
         checkpoints.last_seq == 0;
}

/* Whether the stream is the fleet's: the one that it was when the fleet began, or one that somebody has accepted. */
static standing check_stream(obs_fleet_worker *w, const obs_nats_stream *stream) {
  char why[OBS_NATS_WHY_MAX] = "", mine[AGREED], agreed[AGREED];
  uint64_t revision;
  (void)snprintf(mine, sizeof mine, "%016" PRIx64, stream->id);
  observer_err err = agree(w, "stream", mine, agreed, &revision, why);
  bool same = strcmp(agreed, mine) == 0;
  if (err == OBSERVER_E_OK && !same && (w->opts.accept_new_stream || is_at_its_beginning(w))) {
    err = obs_nats_kv_update(w->fleet, "stream", mine, strlen(mine), revision, NULL, why);
    if (err == OBSERVER_E_OK) obs_log_warn("fleet", "the stream that is there now is accepted as the fleet's");
    same = true;
  }
  if (err != OBSERVER_E_OK)
    hinder(w, "NATS: %s", why[0] != '\0' ? why : observer_strerror(err));
  else if (!same)
    hinder(w, "the stream " OBS_FLEET_STREAM " was made anew: what was folded is of another one; start a worker with "
              "--accept-new-stream if that is meant");
  if (err != OBSERVER_E_OK) return AWAY;
  if (!same) return REFUSED;
  w->opts.accept_new_stream = false; /* it was about this one, not about those that come */
  return READY;
}

static bool open_buckets(obs_fleet_worker *w, char *why) {
  static const char *const subjects[] = {OBS_FLEET_SUBJECTS}, *const dead[] = {"observer.dead.>"};
  const struct {
    const char *name;
    obs_nats_kv **kv;
  } buckets[] = {
      {OBS_FLEET_BUCKET, &w->fleet}, {OBS_FLEET_LEASES, &w->leases}, {OBS_FLEET_CHECKPOINTS, &w->checkpoints}};
  obs_nats_stream stream;
  uint32_t replicas = w->opts.replicas;
  observer_err err = obs_nats_stream_ensure(w->nats, OBS_FLEET_STREAM, subjects, 1, replicas, 0, &stream, why);
  if (err == OBSERVER_E_OK)
    err = obs_nats_stream_ensure(w->nats, dead_stream, dead, 1, replicas, UINT64_C(1) << 30, &stream, why);
  for (size_t i = 0; err == OBSERVER_E_OK && i < sizeof buckets / sizeof *buckets; i++) {
    obs_nats_kv *kv = NULL; /* also of one that is open: its bucket may have been lost */
    err = obs_nats_kv_open(w->nats, buckets[i].name, replicas, 0, &kv, why);
    if (*buckets[i].kv == NULL)
      *buckets[i].kv = kv;
    else
      obs_nats_kv_close(kv);
  }
  return err == OBSERVER_E_OK;
}

/* READY: the buckets are there, and the stream is the fleet's. Looked at behind each reconnect, and now and then. */
static standing prepare(obs_fleet_worker *w) {
  uint64_t now_ms = obs_clock_mono_ms(), epoch = atomic_load(&w->epoch);
  if (w->prepared_ms != 0 && epoch == w->prepared_epoch && now_ms - w->prepared_ms < PREPARE_MS) return READY;
  char why[OBS_NATS_WHY_MAX] = "";
  char partitions[AGREED], mine[AGREED];
  obs_nats_stream stream;
  uint64_t revision;
  (void)snprintf(mine, sizeof mine, "%" PRIu32, w->opts.partitions);
  w->prepared_ms = 0;
  if (!obs_nats_is_connected(w->nats)) {
    hinder(w, "NATS is away");
    return AWAY;
  }
  if (!open_buckets(w, why) || obs_nats_stream_look(w->nats, OBS_FLEET_STREAM, &stream, why) != OBSERVER_E_OK ||
      agree(w, "partitions", mine, partitions, &revision, why) != OBSERVER_E_OK) {
    hinder(w, "NATS: %s", why);
    return AWAY;
  }
  if (strcmp(partitions, mine) != 0) {
    hinder(w, "the fleet has %s partitions, and this worker is made for %s", partitions, mine);
    return REFUSED;
  }
  standing is = check_stream(w, &stream);
  if (is != READY) return is;
  atomic_store(&w->stream_id, stream.id);
  w->prepared_ms = now_ms;
  w->prepared_epoch = epoch;
  return READY;
}

/* ---- the heartbeat ---- */

/* What it says of itself, for the fleet's picture (roster.h). */
static void put_own(obs_fleet_worker *w, obs_json_writer *j) {
  obs_roster_worker own = {.id = w->id, .run = w->run, .started_ms = w->started_ms};
  obs_roster_lag lags[OBS_ROSTER_LAGS];
  uint32_t nlags = 0;
  for (uint32_t p = 0; p < w->opts.partitions; p++) {
    uint64_t pending = atomic_load(&w->parts[p].pending);
    int64_t at_ms = atomic_load(&w->parts[p].at_ms);
    bool rebuilding = atomic_load(&w->parts[p].rebuilding);
    own.pending += pending;
    own.rebuilding += rebuilding;
    if (at_ms > 0 && (own.at_ms == 0 || at_ms < own.at_ms)) own.at_ms = at_ms;
    if ((pending > 0 || rebuilding) && nlags < OBS_ROSTER_LAGS)
      lags[nlags++] = (obs_roster_lag){.p = p, .rebuilding = rebuilding, .pending = pending};
  }
  obs_roster_own_name(own.name);
  (void)snprintf(own.version, sizeof own.version, "%s", OBSERVER_VERSION);
  obs_roster_put_worker(&own, lags, nlags, j);
}

static void beat(obs_fleet_worker *w, bool takes, bool stopped) {
  char key[24], why[OBS_NATS_WHY_MAX];
  obs_buf value = {0};
  uint64_t begun_ms = obs_clock_mono_ms(), revision = 0;
  pthread_mutex_lock(&w->lock);
  uint64_t expected = obs_lease_beat_revision(w->lease);
  bool leads = takes && obs_lease_would_lead(w->lease);
  pthread_mutex_unlock(&w->lock);
  obs_json_writer j = obs_json_write(&value);
  obs_json_object(&j, NULL);
  obs_json_u64(&j, "v", 1);
  obs_json_id(&j, "run", w->run);
  obs_json_bool(&j, "takes", takes);
  obs_json_bool(&j, "leads", leads);
  obs_json_bool(&j, "stopped", stopped);
  put_own(w, &j);
  obs_json_end(&j);
  (void)snprintf(key, sizeof key, "w.%016" PRIx64, w->id);
  observer_err err = value.oom       ? OBSERVER_E_NOMEM
                     : expected == 0 ? obs_nats_kv_create(w->leases, key, value.p, value.len, &revision, why)
                                     : obs_nats_kv_update(w->leases, key, value.p, value.len, expected, &revision, why);
  pthread_mutex_lock(&w->lock);
  if (err == OBSERVER_E_OK) obs_lease_beat(w->lease, begun_ms, revision);
  pthread_mutex_unlock(&w->lock);
  if (err == OBSERVER_E_LOCKED && expected != 0) atomic_store(&w->reread, true);
  obs_buf_fini(&value);
}

/* ---- following the bucket ---- */

static void see_worker(obs_fleet_worker *w, uint64_t id, const obs_nats_message *m) {
  uint64_t run = 0, version = 0, now_ms = obs_clock_mono_ms();
  bool takes = false, leads = false, stopped = false;
  cJSON *row = cJSON_ParseWithLength(m->data, m->len);
  bool ok = obs_row_u64(row, "v", &version) && obs_row_id(row, "run", &run) && obs_row_bool(row, "takes", &takes);
  (void)obs_row_bool(row, "stopped", &stopped);
  (void)obs_row_bool(row, "leads", &leads);
  cJSON_Delete(row);
  if (id == w->id) w->seen_ms = now_ms;
  observer_err err = ok ? obs_lease_see_worker(w->lease, now_ms, id, run, takes, m->stream_seq) : OBSERVER_E_OK;
  if (err != OBSERVER_E_OK) obs_log_warn("fleet", "worker %016" PRIx64 ": %s", id, observer_strerror(err));
  if (ok) obs_lease_see_leads(w->lease, id, leads);
  if ((!ok || stopped) && id != w->id) obs_lease_see_stopped(w->lease, now_ms, id);
}

static bool on_change(void *arg, const obs_nats_message *m) {
  obs_fleet_worker *w = arg;
  const char *key = strrchr(m->subject, '.');
  obs_lease_value value = {0};
  char *end;
  w->last_change = m->stream_seq;
  atomic_store(&w->clock_ms, m->time_ns / NS_PER_MS - (int64_t)obs_clock_mono_ms());
  if (key == NULL || key - m->subject < 2) return true;
  char kind = key[-1];
  pthread_mutex_lock(&w->lock);
  if (kind == 'p') {
    unsigned long p = strtoul(key + 1, &end, 10);
    /* What cannot be read is of a later version: its holder is alive, and nobody here takes it. */
    if (*end == '\0' && p < w->opts.partitions && m->len > 0 && !obs_lease_value_read(m->data, m->len, &value))
      obs_log_warn("fleet", "the lease of partition %lu cannot be read", p);
    if (*end == '\0' && p < w->opts.partitions) obs_lease_see(w->lease, (uint32_t)p, value.run, m->stream_seq);
  } else if (kind == 'w') {
    uint64_t id;
    if (obs_hex_parse(obs_str_of(key + 1), &id)) see_worker(w, id, m);
  }
  pthread_mutex_unlock(&w->lock);
  return true;
}

static void close_watch(obs_fleet_worker *w) {
  obs_nats_pull_close(w->watch);
  w->watch = NULL;
}

/* Reads the bucket from its first key on. When it is not the one that was followed, all is forgotten; that one may have
 * gone back, also behind writes of this worker that have not been seen to come back, and have grown again since: so
 * what is known is not compared with it, but read anew. It has a few hundred bytes a worker and partition. */
static bool begin_bucket(obs_fleet_worker *w) {
  obs_nats_stream bucket;
  observer_err err = obs_nats_stream_look(w->nats, "KV_" OBS_FLEET_LEASES, &bucket, NULL);
  if (err == OBSERVER_E_NOTFOUND) w->prepared_ms = 0; /* it is made anew */
  if (err != OBSERVER_E_OK) return false;
  bool same = w->bucket_id == bucket.id;
  if (!same && w->bucket_id != 0) obs_log_warn("fleet", "the leases were lost: all are taken anew");
  if (same && bucket.last_seq < w->last_change) obs_log_warn("fleet", "the leases have gone back: they are read again");
  close_watch(w);
  w->last_change = 0;
  w->seen_ms = obs_clock_mono_ms();
  w->bucket_id = bucket.id;
  pthread_mutex_lock(&w->lock);
  if (same)
    obs_lease_reread(w->lease);
  else
    obs_lease_forget(w->lease);
  pthread_mutex_unlock(&w->lock);
  return true;
}

static void follow(obs_fleet_worker *w) {
  char why[OBS_NATS_WHY_MAX];
  observer_err err = OBSERVER_E_OK;
  uint64_t epoch = atomic_load(&w->epoch), now_ms = obs_clock_mono_ms();
  bool again = atomic_exchange(&w->reread, false);
  if (again || epoch != w->read_epoch || w->bucket_id == 0 || now_ms - w->seen_ms >= UNSEEN_MS) {
    if (!begin_bucket(w)) {
      atomic_store(&w->reread, true);
      return;
    }
    w->read_epoch = epoch;
  }
  if (w->watch == NULL)
    err = obs_nats_pull_open(w->nats, "KV_" OBS_FLEET_LEASES, "$KV." OBS_FLEET_LEASES ".>", w->last_change + 1,
                             &w->watch, why);
  if (err == OBSERVER_E_OK)
    err = obs_nats_pull_fetch(w->watch, WATCH_MESSAGES, WATCH_BYTES, WATCH_MS, on_change, w, why);
  if (err != OBSERVER_E_OK && err != OBSERVER_E_TIMEDOUT) close_watch(w);
}

/* ---- doing what the machine says ---- */

/* Its thread has ended, and its memory is free. */
static bool is_at_rest(obs_fleet_worker *w, obs_fleet_part *x) {
  pthread_mutex_lock(&w->lock);
  bool ended = x->finished;
  pthread_mutex_unlock(&w->lock);
  if (x->started && ended) {
    (void)pthread_join(x->thread, NULL);
    x->started = x->finished = false;
  }
  return !x->started;
}

static void take(obs_fleet_worker *w, const obs_lease_action *a) {
  obs_fleet_part *x = &w->parts[a->partition];
  obs_buf text = {0};
  char key[24], why[OBS_NATS_WHY_MAX] = "";
  uint64_t found = 0, revision = 0;
  if (!is_at_rest(w, x)) return;
  (void)snprintf(key, sizeof key, "p.%" PRIu32, a->partition);
  obs_lease_value value = {0};
  observer_err err = obs_nats_kv_get(w->leases, key, &text, &found, why);
  if (err == OBSERVER_E_OK && found < a->revision) atomic_store(&w->reread, true);
  if (err == OBSERVER_E_OK && (found != a->revision || !obs_lease_value_read(text.p, text.len, &value)))
    err = OBSERVER_E_LOCKED;
  bool is_new = err == OBSERVER_E_NOTFOUND;
  value.worker = w->id;
  value.run = w->run;
  obs_buf_reset(&text, SIZE_MAX);
  obs_lease_value_write(&value, &text);
  if (is_new)
    err = obs_nats_kv_create(w->leases, key, text.p, text.len, &revision, why);
  else if (err == OBSERVER_E_OK)
    err = obs_nats_kv_update(w->leases, key, text.p, text.len, a->revision, &revision, why);
  obs_buf_fini(&text);
  pthread_mutex_lock(&w->lock);
  if (err == OBSERVER_E_OK)
    obs_lease_took(w->lease, a->partition, revision);
  else if (err == OBSERVER_E_LOCKED)
    obs_lease_lost(w->lease, a->partition);
  pthread_mutex_unlock(&w->lock);
  if (err != OBSERVER_E_OK) return; /* written all the same, perhaps: then the bucket says so */
  x->value = value;
  x->started = obs_thread_start(&x->thread, "obs:fold", obs_fleet_part_run, x) == OBSERVER_E_OK;
  if (x->started) return;
  obs_log_error("fleet", "partition %" PRIu32 ": no thread", a->partition);
  pthread_mutex_lock(&w->lock);
  obs_lease_lost(w->lease, a->partition); /* and taken again, when there is one */
  pthread_mutex_unlock(&w->lock);
}

bool obs_fleet_worker_is_valid(obs_fleet_worker *w) {
  return obs_clock_mono_ms() < atomic_load(&w->valid_until_ms);
}

static void set_validity(obs_fleet_worker *w) {
  pthread_mutex_lock(&w->lock);
  uint64_t until_ms = obs_lease_valid_until(w->lease);
  pthread_mutex_unlock(&w->lock);
  atomic_store(&w->valid_until_ms, until_ms);
}

/* One line when all that was taken has begun, not one for each partition. */
static void tell_begun(obs_fleet_worker *w) {
  uint32_t held = 0, loading = 0;
  uint64_t pending = 0;
  for (uint32_t p = 0; p < w->opts.partitions; p++) {
    obs_fleet_part *x = &w->parts[p];
    if (!x->started) continue;
    pthread_mutex_lock(&x->lock);
    loading += x->fold == NULL;
    pthread_mutex_unlock(&x->lock);
    held++;
    pending += atomic_load(&x->pending);
  }
  pthread_mutex_lock(&w->lock);
  uint32_t loaded = loading == 0 ? w->loaded : 0, from_first = w->from_first;
  if (loaded > 0) w->loaded = w->from_first = 0;
  pthread_mutex_unlock(&w->lock);
  if (loaded == 0) return;
  obs_log_info("fleet",
               "%" PRIu32 " of %" PRIu32 " partitions are folded here; begun now: %" PRIu32
               " with a checkpoint, %" PRIu32 " with the stream's first message; %" PRIu64 " messages wait",
               held, w->opts.partitions, loaded - from_first, from_first, pending);
}

/* How many it will hold is known before the threads begin. */
static void take_all(obs_fleet_worker *w, const obs_lease_action *todo, uint32_t n) {
  obs_lease_counts leases;
  uint32_t takes = 0;
  for (uint32_t i = 0; i < n; i++) takes += todo[i].kind == OBS_LEASE_TAKE;
  pthread_mutex_lock(&w->lock);
  obs_lease_get_counts(w->lease, obs_clock_mono_ms(), &leases);
  pthread_mutex_unlock(&w->lock);
  obs_shared_pull_set_held(w->shared, leases.held + takes);
  for (uint32_t i = 0; i < n; i++) {
    if (todo[i].kind == OBS_LEASE_TAKE) take(w, &todo[i]);
  }
}

static void turn(obs_fleet_worker *w) {
  obs_lease_action todo[OBS_LEASE_TURN];
  standing is = prepare(w);
  if (w->leases == NULL || !obs_nats_is_connected(w->nats)) return;
  follow(w);
  pthread_mutex_lock(&w->lock);
  if (is != AWAY) obs_lease_set_takes(w->lease, is == READY);
  bool takes = obs_lease_takes(w->lease);
  bool due = obs_lease_is_due(w->lease, obs_clock_mono_ms());
  bool superseded = obs_lease_is_superseded(w->lease);
  pthread_mutex_unlock(&w->lock);
  if (due) {
    beat(w, takes, false);
    follow(w);
  }
  set_validity(w);
  pthread_mutex_lock(&w->lock);
  uint32_t n = obs_lease_turn(w->lease, obs_clock_mono_ms(), todo);
  pthread_mutex_unlock(&w->lock);
  take_all(w, todo, n);
  for (uint32_t p = 0; p < w->opts.partitions; p++) (void)is_at_rest(w, &w->parts[p]);
  if (n == 0) tell_begun(w);
  if (superseded)
    hinder(w, "another process writes the heartbeat of this worker: was the data directory copied? Remove %s/%s there",
           w->opts.dir, id_file);
  else if (is == READY)
    hinder(w, "%s", "");
}

/* ---- the end ---- */

/* Gives everything up, as far as there is time. */
static void leave(obs_fleet_worker *w) {
  obs_lease_action todo[OBS_LEASE_TURN];
  bool away = !obs_nats_is_connected(w->nats) || w->leases == NULL;
  uint64_t end_ms = obs_clock_mono_ms() + (away ? STOP_AWAY_MS : STOP_MS);
  bool left = false;
  while (!left && obs_clock_mono_ms() < end_ms) {
    pthread_mutex_lock(&w->lock);
    bool due = !away && obs_lease_is_due(w->lease, obs_clock_mono_ms());
    bool rereading = !away && obs_lease_is_rereading(w->lease);
    pthread_mutex_unlock(&w->lock);
    if (due) beat(w, false, false);
    if (rereading || (!away && atomic_load(&w->reread))) follow(w); /* no key can be written before it is known */
    set_validity(w);
    pthread_mutex_lock(&w->lock);
    while (obs_lease_leave(w->lease, todo) > 0) continue;
    pthread_cond_broadcast(&w->woken);
    pthread_mutex_unlock(&w->lock);
    left = true;
    for (uint32_t p = 0; p < w->opts.partitions; p++) left &= is_at_rest(w, &w->parts[p]);
    pthread_mutex_lock(&w->lock);
    if (!left) obs_thread_cond_wait_ms(&w->woken, &w->lock, 20);
    pthread_mutex_unlock(&w->lock);
  }
  pthread_mutex_lock(&w->lock);
  atomic_store(&w->gives_up, true);
  pthread_cond_broadcast(&w->woken);
  pthread_mutex_unlock(&w->lock);
  for (uint32_t p = 0; p < w->opts.partitions; p++) {
    if (w->parts[p].started) (void)pthread_join(w->parts[p].thread, NULL);
    w->parts[p].started = false;
  }
  if (!away) beat(w, false, true);
}

static void *run(void *arg) {
  obs_fleet_worker *w = arg;
  while (!atomic_load(&w->stopping)) {
    uint64_t begun_ms = obs_clock_mono_ms();
    turn(w);
    uint64_t took_ms = obs_clock_mono_ms() - begun_ms;
    pthread_mutex_lock(&w->lock);
    if (took_ms < TURN_MS && !atomic_load(&w->stopping))
      obs_thread_cond_wait_ms(&w->woken, &w->lock, TURN_MS - took_ms);
    pthread_mutex_unlock(&w->lock);
  }
  leave(w);
  return NULL;
}

/* ---- construction ---- */

/* The worker's id is of the data directory: it is the same worker when it starts again. */
static observer_err read_id(int dir_fd, uint64_t *id) {
  obs_buf text = {0};
  observer_err err = obs_file_read_all(dir_fd, id_file, 64, &text);
  if (err == OBSERVER_E_OK && !obs_hex_parse((obs_str){text.p, OBS_HEX_LEN, 0}, id)) err = OBSERVER_E_CORRUPT;
  if (err == OBSERVER_E_NOTFOUND) {
    char hex[OBS_HEX_LEN + 1];
    err = getrandom(id, sizeof *id, 0) == sizeof *id ? OBSERVER_E_OK : OBSERVER_E_IO;
    obs_hex_format(*id, hex);
    obs_buf_reset(&text, SIZE_MAX);
    obs_buf_printf(&text, "%s\n", hex);
    if (err == OBSERVER_E_OK && !obs_file_replace(dir_fd, id_file, &text, true)) err = obs_file_err(errno);
  }
  obs_buf_fini(&text);
  return err;
}

static observer_err open_dir(obs_fleet_worker *w, char *error, size_t size) {
  int fd = open(w->opts.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  observer_err err = fd >= 0 ? read_id(fd, &w->id) : obs_file_err(errno);
  if (err != OBSERVER_E_OK)
    (void)snprintf(error, size, "%s/%s: %s", w->opts.dir, id_file, observer_strerror(err));
  else if ((mkdirat(fd, "partitions", OBS_FILE_DIR_MODE) != 0 && errno != EEXIST) ||
           (w->dir_fd = openat(fd, "partitions", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
    err = obs_file_err(errno);
    (void)snprintf(error, size, "%s/partitions: %s", w->opts.dir, strerror(errno));
  }
  if (fd >= 0) (void)close(fd);
  return err;
}

observer_err obs_fleet_worker_open(const obs_fleet_worker_opts *opts, obs_fleet_worker **out, char *error,
                                   size_t size) {
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  error[0] = '\0';
  obs_fleet_worker *w = calloc(1, sizeof *w);
  if (w == NULL) return err;
  w->opts = *opts;
  w->nats = opts->nats;
  w->dir_fd = -1;
  w->started_ms = obs_clock_wall_ms();
  (void)snprintf(w->why, sizeof w->why, "not connected to NATS yet");
  pthread_mutex_init(&w->lock, NULL); /* the default kind does not fail */
  pthread_mutex_init(&w->asked_lock, NULL);
  if ((err = obs_thread_cond_init(&w->woken)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_thread_cond_init(&w->asked_woken)) != OBSERVER_E_OK) goto fail;
  if ((err = open_dir(w, error, size)) != OBSERVER_E_OK) goto fail;
  err = OBSERVER_E_NOMEM;
  while (w->run == 0) {
    if (getrandom(&w->run, sizeof w->run, 0) != sizeof w->run) goto fail;
  }
  w->parts = calloc(opts->partitions, sizeof *w->parts);
  const obs_lease_opts lease = {opts->partitions, w->id, w->run};
  w->lease = obs_lease_open(&lease);
  if (w->parts == NULL || w->lease == NULL) goto fail;
  obs_lease_set_leads(w->lease, opts->leads);
  for (uint32_t p = 0; p < opts->partitions; p++) {
    w->parts[p].w = w;
    w->parts[p].p = p;
    pthread_mutex_init(&w->parts[p].lock, NULL);
  }
  if ((err = obs_shared_pull_open(w->nats, &w->epoch, opts->partitions, &w->shared)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_fleet_sum_start(w, error, size)) != OBSERVER_E_OK) goto fail;
  if ((err = obs_thread_start(&w->lease_thread, "obs:lease", run, w)) != OBSERVER_E_OK) goto fail;
  w->lease_started = true;
  obs_log_info("fleet", "worker %016" PRIx64 ", run %016" PRIx64 ", %" PRIu32 " partitions", w->id, w->run,
               opts->partitions);
  *out = w;
  return OBSERVER_E_OK;
fail:
  if (error[0] == '\0') (void)snprintf(error, size, "%s", observer_strerror(err));
  obs_fleet_worker_close(w);
  return err;
}

bool obs_fleet_worker_leads(obs_fleet_worker *w) {
  pthread_mutex_lock(&w->lock);
  bool leads = obs_lease_leads(w->lease, obs_clock_mono_ms());
  pthread_mutex_unlock(&w->lock);
  return leads && obs_fleet_worker_is_valid(w);
}

bool obs_fleet_worker_is_run_alive(obs_fleet_worker *w, uint64_t run) {
  pthread_mutex_lock(&w->lock);
  bool alive = obs_lease_is_run_alive(w->lease, run);
  pthread_mutex_unlock(&w->lock);
  return alive;
}

uint64_t obs_fleet_worker_run(const obs_fleet_worker *w) {
  return w->run;
}

void obs_fleet_worker_set_leads(obs_fleet_worker *w, bool leads) {
  pthread_mutex_lock(&w->lock);
  obs_lease_set_leads(w->lease, leads);
  pthread_mutex_unlock(&w->lock);
}

void obs_fleet_worker_changed(obs_fleet_worker *w, bool connected) {
  if (connected) atomic_fetch_add(&w->epoch, 1);
}

void obs_fleet_worker_close(obs_fleet_worker *w) {
  if (w == NULL) return;
  pthread_mutex_lock(&w->lock);
  atomic_store(&w->stopping, true);
  pthread_cond_broadcast(&w->woken);
  pthread_mutex_unlock(&w->lock);
  if (w->lease_started) (void)pthread_join(w->lease_thread, NULL);
  obs_shared_pull_close(w->shared);
  obs_fleet_sum_stop(w);
  close_watch(w);
  obs_nats_kv_close(w->leases);
  obs_nats_kv_close(w->checkpoints);
  obs_nats_kv_close(w->fleet);
  for (uint32_t p = 0; w->parts != NULL && p < w->opts.partitions; p++) pthread_mutex_destroy(&w->parts[p].lock);
  obs_lease_close(w->lease);
  free(w->parts);
  if (w->dir_fd >= 0) (void)close(w->dir_fd);
  pthread_mutex_destroy(&w->lock);
  pthread_mutex_destroy(&w->asked_lock);
  pthread_cond_destroy(&w->woken);
  pthread_cond_destroy(&w->asked_woken);
  free(w);
}

void obs_fleet_worker_get_counts(obs_fleet_worker *w, obs_fleet_worker_counts *out) {
  obs_lease_counts leases;
  int64_t oldest_ms = 0, now_ms = (int64_t)obs_clock_mono_ms() + atomic_load(&w->clock_ms);
  pthread_mutex_lock(&w->lock);
  obs_lease_get_counts(w->lease, obs_clock_mono_ms(), &leases);
  pthread_mutex_unlock(&w->lock);
  *out = (obs_fleet_worker_counts){.workers = leases.workers,
                                   .held = leases.held,
                                   .unheld = leases.free,
                                   .taken = leases.taken,
                                   .given = leases.given,
                                   .lost = leases.lost,
                                   .messages = atomic_load(&w->messages),
                                   .bytes = atomic_load(&w->bytes),
                                   .folded = atomic_load(&w->folded),
                                   .duplicate = atomic_load(&w->duplicate),
                                   .rejected = atomic_load(&w->rejected),
                                   .holes = atomic_load(&w->holes),
                                   .poison = atomic_load(&w->poison),
                                   .rewinds = atomic_load(&w->rewinds),
                                   .local_checkpoints = atomic_load(&w->local_checkpoints),
                                   .checkpoints = atomic_load(&w->kept_checkpoints),
                                   .failed_checkpoints = atomic_load(&w->failed_checkpoints)};
  for (uint32_t p = 0; p < w->opts.partitions; p++) {
    out->rebuilding += atomic_load(&w->parts[p].rebuilding);
    out->pending += atomic_load(&w->parts[p].pending);
    int64_t at_ms = atomic_load(&w->parts[p].at_ms);
    if (at_ms > 0 && (oldest_ms == 0 || at_ms < oldest_ms)) oldest_ms = at_ms;
  }
  if (oldest_ms > 0 && oldest_ms < now_ms) out->lag_ms = (uint64_t)(now_ms - oldest_ms);
}

uint64_t obs_fleet_worker_id(const obs_fleet_worker *w) {
  return w->id;
}
