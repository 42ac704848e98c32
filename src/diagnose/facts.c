#include "diagnose/facts_more.h"

#include "base/names.h"
#include "base/utf8.h"
#include "diagnose/tries.h"

#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
  COPY_ROWS = 4096,
  FIRST_NAMED = 1, /* the id that obs_names gives first; ours are one higher */
};

const char *const obs_fact_names[OBS_FACT_COUNT] = {
#define FACT_NAME(name, max, spread) #name,
    OBS_FACT_FIELDS(FACT_NAME)
#undef FACT_NAME
};

static const uint32_t most[OBS_FACT_COUNT] = {
#define FACT_MAX(name, max, spread) (max),
    OBS_FACT_FIELDS(FACT_MAX)
#undef FACT_MAX
};

/* Where a field is in the op. */
static const struct {
  uint32_t bit;
  uint32_t offset;
} places[OBS_FACT_COUNT] = {
#define FACT_PLACE(name, max, spread) {OBS_BIT(OBS_F_##name), offsetof(obs_op, name)},
    OBS_FACT_FIELDS(FACT_PLACE)
#undef FACT_PLACE
};

struct obs_facts {
  pthread_mutex_t mutex;
  obs_facts_view ring; /* op number i is at i % cap */
  uint64_t head;       /* ops taken */
  obs_names names[OBS_FACT_COUNT];
  obs_facts_more more; /* of ring.more */
  uint8_t *deploys[2]; /* by id: the endpoint or event_kind speaks of a deploy */
  bool reading;        /* names stay */
  bool unused[OBS_FACT_COUNT];
};

static void free_columns(obs_facts_view *v) {
  free(v->seq);
  free(v->time_ms);
  free(v->ms);
  free(v->cluster);
  free(v->flags);
  free(v->kind);
  free(v->task);
  free(v->chain);
  for (int f = 0; f < OBS_FACT_COUNT; f++) free(v->id[f]);
  for (int c = 0; c < OBS_FACT_MORE; c++) {
    free(v->more[c].id);
    free(v->more[c].name_at);
  }
}

static bool make_columns(obs_facts_view *v, uint32_t cap) {
  *v = (obs_facts_view){.cap = cap};
  bool ok = (v->seq = calloc(cap, sizeof *v->seq)) && (v->time_ms = calloc(cap, sizeof *v->time_ms)) &&
            (v->ms = calloc(cap, sizeof *v->ms)) && (v->cluster = calloc(cap, sizeof *v->cluster)) &&
            (v->flags = calloc(cap, sizeof *v->flags)) && (v->kind = calloc(cap, sizeof *v->kind)) &&
            (v->task = calloc(cap, sizeof *v->task)) && (v->chain = calloc(cap, sizeof *v->chain));
  for (int f = 0; ok && f < OBS_FACT_COUNT; f++) ok = (v->id[f] = calloc(cap, sizeof *v->id[f])) != NULL;
  return ok;
}

observer_err obs_facts_open(const obs_facts_opts *opts, obs_facts **out) {
  obs_facts_opts o = opts ? *opts : OBS_FACTS_OPTS_DEFAULT;
  if (o.ops == 0) return OBSERVER_E_INVALID;
  obs_facts *f = calloc(1, sizeof *f);
  if (!f) return OBSERVER_E_NOMEM;
  pthread_mutex_init(&f->mutex, NULL);
  bool ok = make_columns(&f->ring, o.ops);
  for (int i = 0; ok && i < OBS_FACT_COUNT; i++)
    ok = obs_names_init(&f->names[i], most[i], (size_t)most[i] * OBS_FACT_NAME) == OBSERVER_E_OK;
  ok = ok && (f->deploys[0] = calloc(most[OBS_FACT_endpoint] + FIRST_NAMED, 1)) &&
       (f->deploys[1] = calloc(most[OBS_FACT_event_kind] + FIRST_NAMED, 1));
  if (!ok) {
    obs_facts_close(f);
    return OBSERVER_E_NOMEM;
  }
  obs_facts_more_init(&f->more, &f->ring);
  *out = f;
  return OBSERVER_E_OK;
}

void obs_facts_close(obs_facts *f) {
  if (!f) return;
  free_columns(&f->ring);
  obs_facts_more_fini(&f->more);
  for (int i = 0; i < OBS_FACT_COUNT; i++) obs_names_fini(&f->names[i]);
  free(f->deploys[0]);
  free(f->deploys[1]);
  pthread_mutex_destroy(&f->mutex);
  free(f);
}

/* A value left the window. While a reader copies the window, names stay, so that an id means the same in all of it. */
static void release(obs_facts *f, int field, uint32_t id) {
  if (id < OBS_FACT_NAMED) return;
  obs_names *names = &f->names[field];
  uint32_t name = id - FIRST_NAMED;
  if (--names->names[name].refs > 0) return;
  if (f->reading)
    f->unused[field] = true;
  else
    obs_names_remove(names, name);
}

/* The id of a value that came into the window. Whether a name is a deploy's is found out once, when it is new. */
static uint16_t intern(obs_facts *f, int field, obs_str text) {
  obs_names *names = &f->names[field];
  obs_str name = obs_utf8_cut_str(text, OBS_FACT_NAME);
  uint32_t id = obs_names_intern(names, name);
  if (id == OBS_NAME_OTHER) return OBS_FACT_OTHER;
  if (names->names[id].refs++ == 0) {
    if (field == OBS_FACT_endpoint) f->deploys[0][id] = obs_error_kinds_is_deploy(name);
    if (field == OBS_FACT_event_kind) f->deploys[1][id] = obs_error_kinds_is_deploy(name);
  }
  return (uint16_t)(id + FIRST_NAMED);
}

static uint8_t flags_of(const obs_facts *f, const obs_op *op, uint32_t at) {
  uint8_t flags = op->success ? 0 : OBS_FACT_FAILED;
  uint16_t endpoint = f->ring.id[OBS_FACT_endpoint][at], kind = f->ring.id[OBS_FACT_event_kind][at];
  if (endpoint >= OBS_FACT_NAMED && f->deploys[0][endpoint - FIRST_NAMED]) flags |= OBS_FACT_DEPLOY;
  if (kind >= OBS_FACT_NAMED && f->deploys[1][kind - FIRST_NAMED]) flags |= OBS_FACT_DEPLOY;
  if (obs_op_is_correction(op)) flags |= OBS_FACT_CORRECTION;
  if (op->late) flags |= OBS_FACT_LATE;
  return flags;
}

/* Of a name that has an id its hash is known. */
static uint64_t hash_of(const obs_facts *f, int field, uint32_t at, obs_str text) {
  uint16_t id = f->ring.id[field][at];
  if (id >= OBS_FACT_NAMED) return f->names[field].names[id - FIRST_NAMED].hash;
  return XXH3_64bits(text.p, text.len);
}

static uint32_t key_of(uint64_t hash, bool hashed) {
  uint32_t key = (uint32_t)(hash ^ hash >> 32) & ~(uint32_t)OBS_FACT_HASHED;
  return (key != 0 ? key : 2) | (hashed ? OBS_FACT_HASHED : 0);
}

/* What is tried: the sig_hash, else the input. And who tries it where: who is the session, else the staffer. */
static void set_task(obs_facts *f, const obs_op *op, uint32_t at) {
  const bool hashed = OBS_HAS(op, sig_hash) && op->sig_hash.len > 0;
  const obs_tries tries = obs_tries_of(op->input_summary);
  const uint64_t what =
      hashed ? hash_of(f, OBS_FACT_sig_hash, at, op->sig_hash) : XXH3_64bits(tries.task.p, tries.task.len);
  uint64_t who = 0, where = hash_of(f, OBS_FACT_endpoint, at, op->endpoint);
  bool asked = true;
  if (OBS_HAS(op, session_id) && op->session_id.len > 0)
    who = hash_of(f, OBS_FACT_session_id, at, op->session_id);
  else if (OBS_HAS(op, staffer_id) && op->staffer_id.len > 0)
    who = hash_of(f, OBS_FACT_staffer_id, at, op->staffer_id);
  else
    asked = hashed;
  const uint64_t all = (who * UINT64_C(0x9e3779b97f4a7c15) ^ what) * UINT64_C(0xc2b2ae3d27d4eb4f) ^ where;
  f->ring.task[at] = hashed || op->input_summary.len > 0 ? key_of(what, hashed) : 0;
  f->ring.chain[at] = asked ? key_of(all, hashed) : 0;
  if (tries.again) f->ring.flags[at] |= OBS_FACT_AGAIN;
}

static void take(obs_facts *f, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq, uint64_t cluster) {
  obs_facts_view *r = &f->ring;
  uint32_t at = (uint32_t)(f->head % r->cap);
  bool full = f->head >= r->cap;
  for (int i = 0; i < OBS_FACT_COUNT; i++) {
    uint16_t left = full ? r->id[i][at] : OBS_FACT_ABSENT;
    obs_str text = {NULL, 0, 0};
    if (op->present & places[i].bit) memcpy(&text, (const char *)op + places[i].offset, sizeof text);
    r->id[i][at] = text.len > 0 ? intern(f, i, text) : OBS_FACT_ABSENT;
    release(f, i, left); /* after the new one, which may be the same */
  }
  r->seq[at] = seq;
  r->time_ms[at] = op->event_ms;
  r->ms[at] = op->duration_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)op->duration_ms;
  r->cluster[at] = op->success ? 0 : cluster;
  r->flags[at] = flags_of(f, op, at);
  r->kind[at] = 0;
  if (!op->success) r->kind[at] = (uint8_t)obs_error_kinds_of(OBS_HAS(op, error) ? op->error : op->output_summary);
  set_task(f, op, at);
  obs_facts_more_take(&f->more, op, unknown, at, full ? r->cap : at, f->reading);
  f->head++;
}

void obs_facts_apply(obs_facts *f, const obs_batch *b, uint64_t first_seq, const uint64_t *clusters) {
  pthread_mutex_lock(&f->mutex);
  for (uint32_t i = 0; i < b->nops; i++) {
    if (b->lines[i].duplicate) continue;
    const obs_op *op = &b->ops[i];
    take(f, op, op->unknown_count > 0 ? b->unknown + op->unknown_first : NULL, first_seq++, clusters ? clusters[i] : 0);
  }
  pthread_mutex_unlock(&f->mutex);
}

void obs_facts_apply_op(obs_facts *f, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq, uint64_t cluster) {
  pthread_mutex_lock(&f->mutex);
  take(f, op, unknown, seq, cluster);
  pthread_mutex_unlock(&f->mutex);
}

/* `n` ops from place `from` of the ring behind those that the view has. */
static void copy_rows(const obs_facts_view *r, obs_facts_view *v, uint32_t from, uint32_t n) {
  uint32_t to = v->n;
  memcpy(v->seq + to, r->seq + from, n * sizeof *v->seq);
  memcpy(v->time_ms + to, r->time_ms + from, n * sizeof *v->time_ms);
  memcpy(v->ms + to, r->ms + from, n * sizeof *v->ms);
  memcpy(v->cluster + to, r->cluster + from, n * sizeof *v->cluster);
  memcpy(v->flags + to, r->flags + from, n * sizeof *v->flags);
  memcpy(v->kind + to, r->kind + from, n * sizeof *v->kind);
  memcpy(v->task + to, r->task + from, n * sizeof *v->task);
  memcpy(v->chain + to, r->chain + from, n * sizeof *v->chain);
  for (int f = 0; f < OBS_FACT_COUNT; f++) memcpy(v->id[f] + to, r->id[f] + from, n * sizeof *v->id[f]);
  for (int c = 0; c < OBS_FACT_MORE; c++)
    if (v->more[c].id) memcpy(v->more[c].id + to, r->more[c].id + from, n * sizeof *v->more[c].id);
  v->n += n;
}

/* The columns more that are in use get room in the view. A column that comes into use later is not in it. */
static bool match_columns(obs_facts *f, obs_facts_view *v) {
  for (int c = 0; c < OBS_FACT_MORE; c++) {
    const obs_facts_column *from = &f->ring.more[c];
    obs_facts_column *to = &v->more[c];
    if (!from->id) {
      free(to->id);
      to->id = NULL;
      continue;
    }
    if (!to->id && !(to->id = malloc(v->cap * sizeof *to->id))) return false;
    memcpy(to->name, from->name, sizeof to->name);
    to->number = from->number;
  }
  return true;
}

/* The ops that were there when it began; each step under the lock. What left the window while it was read is dropped,
 * with all that is older. */
static bool copy_window(obs_facts *f, obs_facts_view *v) {
  const uint32_t cap = f->ring.cap;
  pthread_mutex_lock(&f->mutex);
  f->reading = true;
  bool ok = match_columns(f, v);
  uint64_t end = f->head, at = end > cap ? end - cap : 0;
  pthread_mutex_unlock(&f->mutex);
  v->n = 0;
  while (ok && at < end) {
    pthread_mutex_lock(&f->mutex);
    uint64_t oldest = f->head > cap ? f->head - cap : 0;
    if (oldest > at) {
      at = oldest;
      v->n = 0;
    }
    uint32_t from = (uint32_t)(at % cap), n = COPY_ROWS;
    if (n > cap - from) n = cap - from;
    if (at >= end)
      n = 0;
    else if (n > end - at)
      n = (uint32_t)(end - at);
    copy_rows(&f->ring, v, from, n);
    at += n;
    pthread_mutex_unlock(&f->mutex);
  }
  return ok;
}

static bool copy_names(const obs_names *names, obs_facts_view *v, uint32_t **name_at, uint32_t *out_values) {
  uint32_t values = names->ids + FIRST_NAMED;
  uint32_t *at = realloc(*name_at, (values + 1) * sizeof *at);
  if (!at) return false;
  *name_at = at;
  *out_values = values;
  at[OBS_FACT_ABSENT] = (uint32_t)v->text.len;
  for (uint32_t id = 0; id < names->ids; id++) {
    at[id + FIRST_NAMED] = (uint32_t)v->text.len;
    if (names->names[id].p) obs_buf_append(&v->text, names->names[id].p, names->names[id].len);
  }
  at[values] = (uint32_t)v->text.len;
  return !v->text.oom;
}

observer_err obs_facts_snapshot(obs_facts *f, obs_facts_view *view) {
  if (view->cap != f->ring.cap) {
    obs_facts_view_fini(view);
    if (!make_columns(view, f->ring.cap)) {
      obs_facts_view_fini(view);
      return OBSERVER_E_NOMEM;
    }
  }
  bool ok = copy_window(f, view);
  obs_buf_reset(&view->text, SIZE_MAX);
  for (int i = 0; i < OBS_FACT_COUNT; i++) {
    pthread_mutex_lock(&f->mutex);
    ok = ok && copy_names(&f->names[i], view, &view->name_at[i], &view->values[i]);
    pthread_mutex_unlock(&f->mutex);
  }
  for (int c = 0; c < OBS_FACT_MORE; c++) {
    obs_facts_column *column = &view->more[c];
    if (!column->id) continue;
    column->values = UINT16_MAX + 1;
    if (column->number) continue;
    pthread_mutex_lock(&f->mutex);
    ok = ok && copy_names(&f->more.names[c], view, &column->name_at, &column->values);
    pthread_mutex_unlock(&f->mutex);
  }
  pthread_mutex_lock(&f->mutex);
  f->reading = false;
  for (int i = 0; i < OBS_FACT_COUNT; i++) { /* the names that left the window while it was read */
    if (f->unused[i]) obs_facts_drop_unused(&f->names[i]);
    f->unused[i] = false;
  }
  obs_facts_more_unread(&f->more);
  pthread_mutex_unlock(&f->mutex);
  ok = ok && obs_facts_sort(view);
  if (!ok) obs_facts_view_fini(view);
  return ok ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

void obs_facts_view_fini(obs_facts_view *view) {
  free_columns(view);
  for (int f = 0; f < OBS_FACT_COUNT; f++) free(view->name_at[f]);
  obs_buf_fini(&view->text);
  *view = (obs_facts_view){0};
}

static obs_str name_of(const obs_facts_view *view, const uint32_t *name_at, uint32_t values, uint16_t id) {
  if (id >= values) return (obs_str){"", 0, 0};
  return (obs_str){view->text.p + name_at[id], name_at[id + 1] - name_at[id], 0};
}

obs_str obs_facts_view_name(const obs_facts_view *view, obs_fact_field field, uint16_t id) {
  return name_of(view, view->name_at[field], view->values[field], id);
}

obs_str obs_facts_column_name(const obs_facts_view *view, const obs_facts_column *column, uint16_t id) {
  return name_of(view, column->name_at, column->values, id);
}
