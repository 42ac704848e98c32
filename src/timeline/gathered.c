#include "timeline/gathered.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/json_cursor.h"
#include "base/utf8.h"

/* The texts of an op, in their order; each may be absent. */
#define TEXTS(X)                                                                                                       \
  X(endpoint) X(source) X(staffer_id) X(session_id) X(task_class) X(event_kind) X(sig_hash) X(model) X(error) X(text)

/* ---- writing ---- */

static void put_op(const obs_gather_item *x, obs_json_writer *w) {
  obs_json_array(w, NULL);
  obs_json_u64(w, NULL, x->kind);
  obs_json_u64(w, NULL, x->seq);
  obs_json_bool(w, NULL, x->success);
  obs_json_bool(w, NULL, x->late);
  obs_json_i64(w, NULL, x->start_ms);
  obs_json_i64(w, NULL, x->end_ms);
  obs_json_i64(w, NULL, x->duration_ms);
  obs_json_id(w, NULL, x->task);
  obs_json_id(w, NULL, x->failure);
  obs_json_id(w, NULL, x->cluster);
#define PUT(name) obs_json_text(w, NULL, x->name);
  TEXTS(PUT)
#undef PUT
  obs_json_end(w);
}

void obs_gathered_put(const obs_gather_result *g, obs_json_writer *w) {
  obs_json_u64(w, "matched", g->matched);
  obs_json_bool(w, "more", g->more);
  obs_json_u64(w, "next_seq", g->next_seq);
  obs_json_array(w, "ops");
  for (uint32_t i = 0; i < g->ops.n; i++) put_op(&g->ops.at[i], w);
  obs_json_end(w);
}

/* ---- reading ---- */

typedef struct {
  obs_cursor *c;
  obs_gather_result *g;
  obs_buf text; /* without its escapes */
  bool first;   /* of an array */
  bool good, no_memory;
} reader;

/* The value that comes next in the array; an empty one where something is wrong. */
static obs_cursor_value take(reader *r, obs_cursor_kind kind) {
  obs_cursor_value v = {.kind = OBS_VALUE_NULL};
  obs_json_cursor_space(r->c);
  r->good = r->good && (r->first || obs_json_cursor_take(r->c, ','));
  r->first = false;
  obs_json_cursor_space(r->c);
  r->good = r->good && obs_json_cursor_value(r->c, &v) && v.kind == kind;
  return v;
}

static int64_t take_int(reader *r, int64_t least) {
  int64_t i = take(r, OBS_VALUE_INT).i;
  r->good = r->good && i >= least;
  return r->good ? i : 0;
}

static bool take_bool(reader *r) {
  return take(r, OBS_VALUE_BOOL).b && r->good;
}

static uint64_t take_id(reader *r) {
  uint64_t id = 0;
  obs_str text = take(r, OBS_VALUE_TEXT).s;
  r->good = r->good && obs_hex_parse(text, &id);
  return id;
}

/* A text, or null. */
static obs_str take_text(reader *r) {
  obs_cursor_value v = {.kind = OBS_VALUE_NULL};
  obs_json_cursor_space(r->c);
  r->good = r->good && (r->first || obs_json_cursor_take(r->c, ','));
  r->first = false;
  obs_json_cursor_space(r->c);
  r->good =
      r->good && obs_json_cursor_value(r->c, &v) && (v.kind == OBS_VALUE_NULL || (v.kind == OBS_VALUE_TEXT && v.valid));
  if (!r->good || v.kind == OBS_VALUE_NULL) return (obs_str){0};
  obs_buf_reset(&r->text, SIZE_MAX);
  if (!obs_buf_reserve(&r->text, v.s.len + 1)) {
    r->no_memory = true;
    return (obs_str){0};
  }
  r->text.len = obs_json_cursor_unescape(v.s, r->text.p);
  return obs_gather_keep(r->g, obs_buf_view(&r->text), &r->no_memory);
}

static void take_op(reader *r, uint64_t bits) {
  obs_gather_item x = {0};
  r->good = r->good && obs_json_cursor_take(r->c, '[');
  r->first = true;
  int64_t kind = take_int(r, 0), seq = take_int(r, 1);
  r->good = r->good && kind <= OBS_GATHER_A_CHANGE && (uint64_t)seq <= OBS_GATHERED_SEQ_MAX;
  x.kind = (obs_gather_kind)kind;
  x.seq = bits | (uint64_t)seq;
  x.success = take_bool(r);
  x.late = take_bool(r);
  x.start_ms = take_int(r, OBS_CLOCK_MIN_MS);
  x.end_ms = take_int(r, OBS_CLOCK_MIN_MS);
  x.duration_ms = take_int(r, 0);
  r->good = r->good && x.start_ms <= x.end_ms && x.end_ms <= OBS_CLOCK_MAX_MS;
  x.task = take_id(r);
  x.failure = take_id(r);
  x.cluster = take_id(r);
#define TAKE(name) x.name = take_text(r);
  TEXTS(TAKE)
#undef TAKE
  obs_json_cursor_space(r->c);
  r->good = r->good && obs_json_cursor_take(r->c, ']') && !r->no_memory;
  obs_gather_item *at = r->good ? OBS_VEC_PUSH(&r->g->ops) : NULL;
  if (at != NULL) *at = x;
  r->no_memory |= r->good && at == NULL;
}

static void take_ops(reader *r, uint64_t bits) {
  r->good = obs_json_cursor_take(r->c, '[');
  obs_json_cursor_space(r->c);
  if (r->good && obs_json_cursor_take(r->c, ']')) return;
  for (uint32_t n = 0; r->good && !r->no_memory; n++) {
    obs_json_cursor_space(r->c);
    r->good = n < OBS_GATHER_OPS;
    take_op(r, bits);
    obs_json_cursor_space(r->c);
    if (r->good && obs_json_cursor_take(r->c, ']')) return;
    r->good = r->good && obs_json_cursor_take(r->c, ',');
  }
}

bool obs_gathered_take(obs_cursor *c, uint64_t bits, obs_gather_result *g, obs_gathered_end *end, bool *no_memory) {
  reader r = {.c = c, .g = g};
  bool has_ops = false, ended = false;
  *end = (obs_gathered_end){.matched = 0};
  r.good = obs_json_cursor_take(c, '{');
  while (r.good && !ended && !r.no_memory) {
    obs_cursor_value key, v = {.kind = OBS_VALUE_NULL};
    r.good = obs_json_cursor_key(c, &key);
    if (r.good && obs_str_is(key.s, "ops")) {
      r.good = !has_ops;
      if (r.good) take_ops(&r, bits);
      has_ops = true;
    } else if (r.good) {
      r.good = obs_json_cursor_value(c, &v);
      bool number = v.kind == OBS_VALUE_INT && v.i >= 0;
      if (obs_str_is(key.s, "matched") && number) end->matched = (uint64_t)v.i;
      if (obs_str_is(key.s, "next_seq") && number) end->next_seq = (uint64_t)v.i;
      if (obs_str_is(key.s, "more") && v.kind == OBS_VALUE_BOOL) end->more = v.b;
    }
    obs_json_cursor_space(c);
    ended = r.good && obs_json_cursor_take(c, '}');
    r.good = r.good && (ended || obs_json_cursor_take(c, ','));
  }
  obs_buf_fini(&r.text);
  *no_memory |= r.no_memory;
  return r.good && !r.no_memory && has_ops && end->matched <= OBS_GATHERED_SEQ_MAX;
}

static int by_time(const void *a, const void *b) {
  const obs_gather_item *x = a, *y = b;
  if (x->end_ms != y->end_ms) return x->end_ms < y->end_ms ? -1 : 1;
  return (x->seq > y->seq) - (x->seq < y->seq);
}

void obs_gathered_sort(obs_gather_result *g) {
  if (g->ops.n > 0) qsort(g->ops.at, g->ops.n, sizeof(g->ops.at[0]), by_time);
}
