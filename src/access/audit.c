#include "access/audit.h"

#include "access/key_text.h"
#include "access/peer.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "jsonl/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

enum { TURN_BYTES = 32 << 20 };

/* Refusals that are alike. */
typedef struct {
  char network[OBS_PEER_NETWORK_MAX], key[OBS_KEY_ID_LEN + 1], request[OBS_AUDIT_REQUEST_MAX + 1];
  unsigned status;
  uint64_t count;
  int64_t first_ms, last_ms;
} refusal;

typedef OBS_VEC(refusal) refusals;

struct obs_audit {
  char *path;              /* NULL: none; what is behind dir_end is the name */
  size_t dir_end;          /* 0: the working directory */
  pthread_mutex_t writing; /* first: of the file; held while the disk writes */
  int dir_fd;              /* -1: not open yet */
  obs_jsonl_log log;
  obs_buf waiting; /* rows that could not be written */
  bool failing;    /* logged already, until they are written */
  bool losing;     /* the same of rows that are lost */

  _Atomic uint64_t lost;

  pthread_mutex_t lock; /* second: of the refusals, brief */
  refusals refusals;
  obs_map places;  /* hash of a refusal -> its place */
  uint64_t others; /* for which there was no place */
  uint64_t due_ms; /* when they are written next */
};

obs_audit *obs_audit_open(const char *path) {
  obs_audit *a = calloc(1, sizeof *a);
  if (a == NULL) return NULL;
  a->dir_fd = -1;
  a->log = OBS_JSONL_LOG_CLOSED;
  bool ok = pthread_mutex_init(&a->writing, NULL) == 0;
  if (ok && pthread_mutex_init(&a->lock, NULL) != 0) {
    (void)pthread_mutex_destroy(&a->writing);
    ok = false;
  }
  if (!ok) {
    free(a);
    return NULL;
  }
  if (path == NULL) return a;
  a->path = strdup(path);
  if (a->path == NULL) {
    obs_audit_close(a);
    return NULL;
  }
  const char *slash = strrchr(path, '/');
  if (slash != NULL) a->dir_end = (size_t)(slash - path) + 1;
  return a;
}

/* ---- the file ---- */

void obs_audit_put(obs_buf *rows, const char *what, const char *key, const char *detail) {
  obs_json_writer w = obs_json_write(rows);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "v", 1);
  obs_json_time(&w, "time", obs_clock_wall_ms());
  obs_json_cstr(&w, "what", what);
  if (key != NULL) obs_json_cstr(&w, "key", key);
  if (detail != NULL) obs_json_cstr(&w, "detail", detail);
  obs_json_end(&w);
  obs_buf_putc(rows, '\n');
}

static bool open_file(obs_audit *a) {
  if (a->log.fd >= 0) return true;
  if (a->dir_fd < 0) {
    char *dir = a->dir_end > 0 ? strndup(a->path, a->dir_end) : strdup(".");
    if (dir == NULL) return false;
    a->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int saved = errno;
    free(dir);
    errno = saved;
    if (a->dir_fd < 0) return false;
  }
  return obs_jsonl_log_open(&a->log, a->dir_fd, a->path + a->dir_end, true);
}

/* With `writing`. A file that cannot be turned over goes on growing. */
static void write_waiting(obs_audit *a) {
  static const obs_buf nothing = {0};
  if (a->waiting.len == 0) return;
  bool ok = open_file(a);
  if (ok && a->log.size > TURN_BYTES && !obs_jsonl_log_turn(&a->log, &nothing))
    obs_log_warn("access", "cannot turn %s over: %s", a->path, strerror(errno));
  if (ok && obs_jsonl_log_append(&a->log, &a->waiting)) {
    obs_buf_reset(&a->waiting, 0);
    a->failing = a->losing = false;
    return;
  }
  if (!a->failing) obs_log_error("access", "cannot write %s: %s; its rows wait", a->path, strerror(errno));
  a->failing = true;
}

static uint64_t rows_in(const obs_buf *rows) {
  uint64_t n = 0;
  for (size_t i = 0; i < rows->len; i++) n += rows->p[i] == '\n';
  return n;
}

void obs_audit_write(obs_audit *a, const obs_buf *rows) {
  if (a->path == NULL) return;
  (void)pthread_mutex_lock(&a->writing);
  size_t before = a->waiting.len;
  if (before + rows->len <= OBS_AUDIT_WAITING_MAX || before == 0) obs_buf_append(&a->waiting, rows->p, rows->len);
  if (rows->oom || a->waiting.len == before) {
    atomic_fetch_add(&a->lost, rows->oom ? 1 : rows_in(rows));
    a->waiting.oom = false;
    if (!a->losing) obs_log_error("access", "%s: rows are lost: too many wait to be written", a->path);
    a->losing = true;
  }
  write_waiting(a);
  (void)pthread_mutex_unlock(&a->writing);
}

/* ---- refusals ---- */

static uint64_t hash_of(const refusal *r) {
  const uint64_t parts[] = {XXH3_64bits(r->network, strlen(r->network)), XXH3_64bits(r->key, strlen(r->key)),
                            XXH3_64bits(r->request, strlen(r->request)), r->status};
  return XXH3_64bits(parts, sizeof parts);
}

/* With `lock`. NULL: there is no place for one more. */
static refusal *place_of(obs_audit *a, const refusal *r) {
  uint64_t hash = hash_of(r);
  uint32_t place;
  if (obs_map_get(&a->places, hash, &place)) return &a->refusals.at[place];
  if (a->refusals.n == OBS_AUDIT_PLACES) return NULL;
  refusal *added = OBS_VEC_PUSH(&a->refusals);
  if (added == NULL) return NULL;
  if (!obs_map_put(&a->places, hash, a->refusals.n - 1)) {
    a->refusals.n--;
    return NULL;
  }
  *added = *r;
  return added;
}

void obs_audit_refused(obs_audit *a, const char *network, const char *key, const char *request, unsigned status,
                       uint32_t n) {
  refusal r = {.status = status, .first_ms = obs_clock_wall_ms()};
  (void)snprintf(r.network, sizeof r.network, "%s", network);
  (void)snprintf(r.key, sizeof r.key, "%s", key);
  memcpy(r.request, request, obs_utf8_cut(request, strlen(request), OBS_AUDIT_REQUEST_MAX));
  (void)pthread_mutex_lock(&a->lock);
  refusal *at = place_of(a, &r);
  if (at != NULL) {
    at->count += n;
    at->last_ms = r.first_ms;
  } else {
    a->others += n;
  }
  (void)pthread_mutex_unlock(&a->lock);
}

static void put_refusal(obs_buf *rows, const refusal *r) {
  obs_json_writer w = obs_json_write(rows);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "v", 1);
  obs_json_time(&w, "time", r->last_ms);
  obs_json_cstr(&w, "what", "denied");
  if (r->count > 1) obs_json_time(&w, "since", r->first_ms);
  if (r->key[0] != '\0') obs_json_cstr(&w, "key", r->key);
  if (r->network[0] != '\0') obs_json_bytes(&w, "address", r->network, strlen(r->network));
  obs_json_bytes(&w, "request", r->request, strlen(r->request));
  if (r->status != 0) obs_json_u64(&w, "status", r->status);
  obs_json_u64(&w, "count", r->count);
  obs_json_end(&w);
  obs_buf_putc(rows, '\n');
}

static void write_refusals(obs_audit *a) {
  obs_buf rows = {0};
  (void)pthread_mutex_lock(&a->lock);
  refusals due = a->refusals;
  uint64_t others = a->others;
  memset(&a->refusals, 0, sizeof a->refusals);
  a->others = 0;
  obs_map_fini(&a->places);
  (void)pthread_mutex_unlock(&a->lock);
  for (uint32_t i = 0; i < due.n; i++) put_refusal(&rows, &due.at[i]);
  if (others > 0) {
    int64_t now = obs_clock_wall_ms();
    put_refusal(&rows, &(refusal){.request = "others", .count = others, .first_ms = now, .last_ms = now});
  }
  OBS_VEC_FINI(&due);
  if (rows.len > 0 || rows.oom) obs_audit_write(a, &rows);
  obs_buf_fini(&rows);
}

void obs_audit_tick(obs_audit *a, uint64_t now_ms) {
  (void)pthread_mutex_lock(&a->lock);
  bool any = a->refusals.n > 0 || a->others > 0, due = any && now_ms >= a->due_ms;
  if (due) a->due_ms = now_ms + OBS_AUDIT_EVERY_MS;
  (void)pthread_mutex_unlock(&a->lock);
  if (due) write_refusals(a);
  (void)pthread_mutex_lock(&a->writing);
  write_waiting(a);
  (void)pthread_mutex_unlock(&a->writing);
}

uint64_t obs_audit_lost(const obs_audit *a) {
  return atomic_load(&a->lost);
}

void obs_audit_close(obs_audit *a) {
  if (a == NULL) return;
  write_refusals(a);
  (void)pthread_mutex_lock(&a->writing);
  write_waiting(a);
  (void)pthread_mutex_unlock(&a->writing);
  obs_jsonl_log_close(&a->log);
  if (a->dir_fd >= 0) (void)close(a->dir_fd);
  obs_buf_fini(&a->waiting);
  OBS_VEC_FINI(&a->refusals);
  obs_map_fini(&a->places);
  (void)pthread_mutex_destroy(&a->lock);
  (void)pthread_mutex_destroy(&a->writing);
  free(a->path);
  free(a);
}
