#include "fleet/roster.h"

#include "base/hex.h"
#include "base/log.h"
#include "base/row.h"
#include "fleet/checkpoint.h"
#include "fleet/edge.h"
#include "fleet/lease.h"
#include "fleet/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  READ_MESSAGES = 10000,
  READ_BYTES = 16 << 20,
  READ_MS = 3000,   /* for the next part of a bucket */
  BEAT_MS = 5000,   /* for the server's answer to a beat */
  REMOVED_MAX = 16, /* keys of those who are gone, a reading */
  PARTITIONS_MAX = 4096
};
#define NS_PER_MS INT64_C(1000000)

/* ---- what one says of itself ---- */

void obs_roster_own_name(char name[OBS_ROSTER_NAME]) {
  if (gethostname(name, OBS_ROSTER_NAME) != 0) (void)snprintf(name, OBS_ROSTER_NAME, "unknown");
  name[OBS_ROSTER_NAME - 1] = '\0'; /* of a longer name */
}

/* A beat that was lost is no matter; that NATS is away is told by who forwards. */
static void on_beat(void *arg, observer_err err, const char *why, uint64_t seq, bool duplicate) {
  (void)arg;
  (void)seq;
  (void)duplicate;
  if (err != OBSERVER_E_OK) obs_log_debug("fleet", "a beat of this edge is not in NATS: %s", why);
}

void obs_roster_beat(obs_nats *nats, const obs_roster_edge *e) {
  char subject[96];
  obs_buf text = {0};
  obs_json_writer w = obs_json_write(&text);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "v", 1);
  obs_json_id(&w, "id", e->id);
  obs_json_cstr(&w, "name", e->name);
  obs_json_cstr(&w, "version", e->version);
  obs_json_i64(&w, "started_ms", e->started_ms);
  obs_json_u64(&w, "seq", e->seq);
  obs_json_u64(&w, "forwarded_seq", e->forwarded_seq);
  obs_json_u64(&w, "spool_ops", e->spool_ops);
  obs_json_u64(&w, "spool_bytes", e->spool_bytes);
  obs_json_u64(&w, "spool_max", e->spool_max);
  obs_json_u64(&w, "spool_age_ms", e->spool_age_ms);
  obs_json_u64(&w, "linger_ms", e->linger_ms);
  obs_json_u64(&w, "outages", e->outages);
  obs_json_u64(&w, "outage_ms", e->outage_ms);
  obs_json_bool(&w, "stopped", e->stopped);
  obs_json_end(&w);
  (void)snprintf(subject, sizeof subject, "$KV." OBS_FLEET_BUCKET ".edge.%016" PRIx64, e->id);
  if (!text.oom) (void)obs_nats_publish(nats, subject, NULL, text.p, text.len, BEAT_MS, on_beat, NULL, NULL);
  obs_buf_fini(&text);
}

void obs_roster_put_worker(const obs_roster_worker *worker, const obs_roster_lag *lags, uint32_t nlags,
                           obs_json_writer *w) {
  obs_json_cstr(w, "name", worker->name);
  obs_json_cstr(w, "version", worker->version);
  obs_json_i64(w, "started_ms", worker->started_ms);
  obs_json_u64(w, "rebuilding", worker->rebuilding);
  obs_json_u64(w, "pending", worker->pending);
  obs_json_i64(w, "at_ms", worker->at_ms);
  obs_json_array(w, "lags");
  for (uint32_t i = 0; i < nlags && i < OBS_ROSTER_LAGS; i++) {
    const uint64_t lag[] = {lags[i].p, lags[i].pending, lags[i].rebuilding};
    obs_json_u64s(w, NULL, lag, 3);
  }
  obs_json_end(w);
}

/* ---- reading ---- */

/* One reading: what was found, with the server's times in place of ages. */
typedef struct {
  obs_nats *nats;
  obs_roster *out;
  uint32_t edges, workers; /* that came; beyond the bound the oldest make room, for the newest words come last */
  int64_t newest_ms;       /* of any word */
  obs_roster_lag *lags;    /* of partitions */
  uint64_t pending;        /* messages of the bucket that are still to come */
} reading;

static void take_text(const cJSON *row, const char *name, char *out, size_t size) {
  obs_str s = obs_row_text(row, name);
  (void)snprintf(out, size, "%.*s", (int)s.len, s.p != NULL ? s.p : "");
}

static void take_edge(reading *r, uint64_t id, const cJSON *row, int64_t time_ms) {
  obs_roster *out = r->out;
  uint32_t at = 0;
  while (at < out->nedges && out->edges[at].id != id) at++;
  if (at == out->nedges) {
    at = r->edges++ % OBS_ROSTER_EDGES;
    if (r->edges > OBS_ROSTER_EDGES) out->more_edges++;
  }
  if (at == out->nedges) out->nedges++;
  obs_roster_edge *e = &out->edges[at];
  *e = (obs_roster_edge){.id = id, .age_ms = time_ms};
  take_text(row, "name", e->name, sizeof e->name);
  take_text(row, "version", e->version, sizeof e->version);
  (void)obs_row_i64(row, "started_ms", &e->started_ms);
  (void)obs_row_u64(row, "seq", &e->seq);
  (void)obs_row_u64(row, "forwarded_seq", &e->forwarded_seq);
  (void)obs_row_u64(row, "spool_ops", &e->spool_ops);
  (void)obs_row_u64(row, "spool_bytes", &e->spool_bytes);
  (void)obs_row_u64(row, "spool_max", &e->spool_max);
  (void)obs_row_u64(row, "spool_age_ms", &e->spool_age_ms);
  (void)obs_row_u64(row, "linger_ms", &e->linger_ms);
  (void)obs_row_u64(row, "outages", &e->outages);
  (void)obs_row_u64(row, "outage_ms", &e->outage_ms);
  (void)obs_row_bool(row, "stopped", &e->stopped);
}

static void take_lags(const reading *r, const cJSON *row) {
  const cJSON *lag, *lags = cJSON_GetObjectItemCaseSensitive(row, "lags");
  cJSON_ArrayForEach(lag, lags) {
    const cJSON *p = cJSON_GetArrayItem(lag, 0), *pending = cJSON_GetArrayItem(lag, 1),
                *rebuilding = cJSON_GetArrayItem(lag, 2);
    if (!cJSON_IsNumber(p) || !cJSON_IsNumber(pending) || !cJSON_IsNumber(rebuilding)) continue;
    if (p->valuedouble < 0 || p->valuedouble >= r->out->npartitions || pending->valuedouble < 0) continue;
    r->lags[(uint32_t)p->valuedouble] =
        (obs_roster_lag){(uint32_t)p->valuedouble, rebuilding->valuedouble > 0, (uint64_t)pending->valuedouble};
  }
}

static void take_worker(reading *r, uint64_t id, const cJSON *row, int64_t time_ms) {
  obs_roster *out = r->out;
  uint32_t at = 0;
  uint64_t rebuilding = 0;
  while (at < out->nworkers && out->workers[at].id != id) at++;
  if (at == out->nworkers) {
    at = r->workers++ % OBS_ROSTER_WORKERS;
    if (r->workers > OBS_ROSTER_WORKERS) out->more_workers++;
  }
  if (at == out->nworkers) out->nworkers++;
  obs_roster_worker *w = &out->workers[at];
  *w = (obs_roster_worker){.id = id, .age_ms = time_ms};
  (void)obs_row_id(row, "run", &w->run);
  take_text(row, "name", w->name, sizeof w->name);
  take_text(row, "version", w->version, sizeof w->version);
  (void)obs_row_i64(row, "started_ms", &w->started_ms);
  (void)obs_row_u64(row, "rebuilding", &rebuilding);
  w->rebuilding = (uint32_t)rebuilding;
  (void)obs_row_u64(row, "pending", &w->pending);
  (void)obs_row_i64(row, "at_ms", &w->at_ms);
  (void)obs_row_bool(row, "takes", &w->takes);
  (void)obs_row_bool(row, "stopped", &w->stopped);
  w->behind_ms = w->at_ms > 0 && w->at_ms < time_ms ? time_ms - w->at_ms : 0;
  take_lags(r, row);
}

static void take_partition(const reading *r, uint32_t p, const obs_nats_message *m) {
  obs_lease_value value = {0};
  obs_roster_partition *x = &r->out->partitions[p];
  if (m->len == 0 || !obs_lease_value_read(m->data, m->len, &value)) return;
  x->run = value.run;
  x->checkpoint_seq = value.last[0].id[0] != '\0' ? value.last[0].stream_seq : 0;
  x->checkpoint_age_ms = m->time_ns / NS_PER_MS;
}

static bool on_word(void *arg, const obs_nats_message *m) {
  reading *r = arg;
  const char *key = strrchr(m->subject, '.');
  int64_t time_ms = m->time_ns / NS_PER_MS;
  uint64_t id = 0;
  r->pending = m->pending;
  if (time_ms > r->newest_ms) r->newest_ms = time_ms;
  if (key == NULL || m->len == 0) return true;
  const char *kind = key;
  while (kind > m->subject && kind[-1] != '.') kind--;
  obs_str name = {kind, (uint32_t)(key - kind), 0};
  if (r->out->partitions != NULL && obs_str_is(name, "p")) {
    char *end;
    unsigned long p = strtoul(key + 1, &end, 10);
    if (*end == '\0' && p < r->out->npartitions) take_partition(r, (uint32_t)p, m);
    return true;
  }
  bool edge = obs_str_is(name, "edge") && obs_hex_parse(obs_str_of(key + 1), &id);
  bool worker = obs_str_is(name, "w") && r->out->workers != NULL && obs_hex_parse(obs_str_of(key + 1), &id);
  bool leader = strcmp(key + 1, "leader") == 0;
  if (!edge && !worker && !leader) return true;
  cJSON *row = cJSON_ParseWithLength(m->data, m->len);
  uint64_t version = 0;
  bool known = obs_row_u64(row, "v", &version) && version == 1;
  if (known && edge) take_edge(r, id, row, time_ms);
  if (known && worker) take_worker(r, id, row, time_ms);
  if (known && leader && obs_row_id(row, "worker", &r->out->leader)) {
    r->out->has_leader = true;
    r->out->leader_age_ms = time_ms;
  }
  cJSON_Delete(row);
  return true;
}

/* Every key of the bucket. One that is not there yet has none. */
static observer_err read_bucket(reading *r, const char *stream, const char *filter, char *why) {
  obs_nats_pull *pull = NULL;
  obs_nats_stream bucket;
  observer_err err = obs_nats_stream_look(r->nats, stream, &bucket, why);
  if (err == OBSERVER_E_NOTFOUND || (err == OBSERVER_E_OK && bucket.messages == 0)) return OBSERVER_E_OK;
  if (err == OBSERVER_E_OK) err = obs_nats_pull_open(r->nats, stream, filter, 1, &pull, why);
  r->pending = 1;
  while (err == OBSERVER_E_OK && r->pending > 0)
    err = obs_nats_pull_fetch(pull, READ_MESSAGES, READ_BYTES, READ_MS, on_word, r, why);
  obs_nats_pull_close(pull);
  return err; /* half of it would look like partitions that nobody holds */
}

/* ---- what is made of it ---- */

static int by_edge_name(const void *a, const void *b) {
  const obs_roster_edge *x = a, *y = b;
  int is = strcmp(x->name, y->name);
  return is != 0 ? is : x->id < y->id ? -1 : x->id > y->id;
}

static int by_worker_name(const void *a, const void *b) {
  const obs_roster_worker *x = a, *y = b;
  int is = strcmp(x->name, y->name);
  return is != 0 ? is : x->id < y->id ? -1 : x->id > y->id;
}

static void remove_edge(const reading *r, uint64_t id, obs_nats_kv **kv) {
  char key[32];
  if (*kv == NULL && obs_nats_kv_open(r->nats, OBS_FLEET_BUCKET, 1, 0, kv, NULL) != OBSERVER_E_OK) return;
  (void)snprintf(key, sizeof key, "edge.%016" PRIx64, id);
  (void)obs_nats_kv_delete(*kv, key, NULL); /* the next reading tries again; one that lives writes it again */
}

static void judge_edges(reading *r) {
  obs_roster *out = r->out;
  uint32_t kept = 0, removed = 0;
  obs_nats_kv *kv = NULL;
  for (uint32_t i = 0; i < out->nedges; i++) {
    obs_roster_edge e = out->edges[i];
    e.age_ms = r->newest_ms - e.age_ms;
    e.away = e.age_ms >= OBS_ROSTER_AWAY_MS && !e.stopped;
    if (e.age_ms < OBS_ROSTER_GONE_MS)
      out->edges[kept++] = e;
    else if (removed++ < REMOVED_MAX)
      remove_edge(r, e.id, &kv);
  }
  obs_nats_kv_close(kv);
  out->nedges = kept;
  if (kept > 0) qsort(out->edges, kept, sizeof *out->edges, by_edge_name);
}

/* The keys of workers stay: their leases are written at the revisions that they know. */
static void judge_workers(reading *r) {
  obs_roster *out = r->out;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < out->nworkers; i++) {
    obs_roster_worker w = out->workers[i];
    w.age_ms = r->newest_ms - w.age_ms;
    w.away = w.age_ms >= OBS_LEASE_DEAD_MS && !w.stopped;
    if (w.age_ms < OBS_ROSTER_GONE_MS) out->workers[kept++] = w;
  }
  out->nworkers = kept;
  if (kept > 0) qsort(out->workers, kept, sizeof *out->workers, by_worker_name);
}

static void judge_partitions(reading *r) {
  obs_roster *out = r->out;
  for (uint32_t p = 0; p < out->npartitions; p++) {
    obs_roster_partition *x = &out->partitions[p];
    if (x->checkpoint_seq > 0) x->checkpoint_age_ms = r->newest_ms - x->checkpoint_age_ms;
    if (x->checkpoint_seq == 0) x->checkpoint_age_ms = 0;
    x->worker = UINT32_MAX;
    for (uint32_t i = 0; x->run != 0 && i < out->nworkers; i++) {
      obs_roster_worker *w = &out->workers[i];
      if (w->run != x->run || w->away || w->stopped) continue;
      x->worker = i;
      w->held++;
      x->pending = r->lags[p].pending;
      x->rebuilding = r->lags[p].rebuilding != 0;
      break;
    }
    out->missing += x->worker == UINT32_MAX;
  }
  if (out->has_leader) out->leader_age_ms = r->newest_ms - out->leader_age_ms;
}

/* ---- both readings ---- */

static observer_err begin(reading *r, obs_nats *nats, obs_roster *out) {
  *out = (obs_roster){.nedges = 0};
  *r = (reading){.nats = nats, .out = out};
  out->edges = calloc(OBS_ROSTER_EDGES, sizeof *out->edges);
  return out->edges != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

observer_err obs_roster_read_edges(obs_nats *nats, obs_roster *out, char *why) {
  reading r;
  observer_err err = begin(&r, nats, out);
  if (err == OBSERVER_E_OK) err = read_bucket(&r, "KV_" OBS_FLEET_BUCKET, "$KV." OBS_FLEET_BUCKET ".>", why);
  if (err == OBSERVER_E_OK) judge_edges(&r);
  return err;
}

observer_err obs_roster_read(obs_nats *nats, uint32_t partitions, obs_roster *out, char *why) {
  reading r;
  observer_err err = begin(&r, nats, out);
  if (err != OBSERVER_E_OK) return err;
  if (partitions == 0 || partitions > PARTITIONS_MAX) return OBSERVER_E_INVALID;
  out->npartitions = partitions;
  out->workers = calloc(OBS_ROSTER_WORKERS, sizeof *out->workers);
  out->partitions = calloc(partitions, sizeof *out->partitions);
  r.lags = calloc(partitions, sizeof *r.lags);
  if (out->workers == NULL || out->partitions == NULL || r.lags == NULL) err = OBSERVER_E_NOMEM;
  if (err == OBSERVER_E_OK) err = read_bucket(&r, "KV_" OBS_FLEET_BUCKET, "$KV." OBS_FLEET_BUCKET ".>", why);
  if (err == OBSERVER_E_OK) err = read_bucket(&r, "KV_" OBS_FLEET_LEASES, "$KV." OBS_FLEET_LEASES ".>", why);
  if (err == OBSERVER_E_OK) {
    err = obs_nats_stream_look(nats, OBS_FLEET_STREAM, &out->stream, why);
    out->has_stream = err == OBSERVER_E_OK;
    if (err == OBSERVER_E_NOTFOUND) err = OBSERVER_E_OK;
  }
  if (err == OBSERVER_E_OK) {
    judge_edges(&r);
    judge_workers(&r);
    judge_partitions(&r);
  }
  free(r.lags);
  return err;
}

void obs_roster_fini(obs_roster *r) {
  free(r->edges);
  free(r->workers);
  free(r->partitions);
  *r = (obs_roster){.nedges = 0};
}
