#include "diagnose/facts_more.h"

#include "base/json_cursor.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <xxhash.h>

enum {
  FIRST_NAMED = 1,    /* the id that obs_names gives first; ours are one higher */
  FORGET_OPS = 65536, /* uses count half after so many ops */
  LEAST_USES = 100,   /* of a member before it takes another's column */
  RESERVED = 256,     /* names of a column that only values of failures get */
  SWEEP_OPS = 16384,  /* between two times that a full column is swept */
  NO_COLUMN = UINT8_MAX,
};

/* ---- numbers ---- */

/* Sign, six bits of exponent (2^-15 to 2^47) and nine of mantissa; 32768 is 0. */
enum { CODE_ZERO = 32768, CODE_MOST = 63 * 512 - 1, CODE_SHIFT = 52 - 9, CODE_BIAS = (1023 - 15) << 9 };

uint16_t obs_facts_code(double number) {
  double size = number < 0 ? -number : number;
  if (!(size > 0)) return CODE_ZERO;
  uint64_t bits;
  memcpy(&bits, &size, sizeof bits);
  int64_t code = (int64_t)(bits >> CODE_SHIFT) - CODE_BIAS + 1;
  if (code < 1) code = 1;
  if (code > CODE_MOST) code = CODE_MOST;
  return (uint16_t)(number < 0 ? CODE_ZERO - code : CODE_ZERO + code);
}

double obs_facts_number(uint16_t code) {
  if (code == CODE_ZERO) return 0;
  int size = code > CODE_ZERO ? code - CODE_ZERO : CODE_ZERO - code;
  uint64_t bits = (uint64_t)(size - 1 + CODE_BIAS) << CODE_SHIFT;
  double number;
  memcpy(&number, &bits, sizeof number);
  return code > CODE_ZERO ? number : -number;
}

/* ---- columns ---- */

void obs_facts_more_init(obs_facts_more *m, obs_facts_view *ring) {
  static const struct {
    const char *name;
    bool number;
  } fixed[OBS_FACT_MORE_OWN] = {
      [OBS_FACT_MORE_rescue_attempted] = {"rescue_attempted", false},
      [OBS_FACT_MORE_rescue_succeeded] = {"rescue_succeeded", false},
      [OBS_FACT_MORE_count] = {"count", true},
      [OBS_FACT_MORE_turns] = {"turns", true},
      [OBS_FACT_MORE_input_length] = {"input_length", true},
  };
  m->ring = ring;
  for (int c = 0; c < OBS_FACT_MORE_OWN; c++) {
    memcpy(ring->more[c].name, fixed[c].name, strlen(fixed[c].name) + 1);
    ring->more[c].number = fixed[c].number;
  }
  memset(m->order, NO_COLUMN, sizeof m->order);
}

void obs_facts_more_fini(obs_facts_more *m) {
  for (int c = 0; c < OBS_FACT_MORE; c++)
    if (m->names[c].names) obs_names_fini(&m->names[c]);
}

void obs_facts_drop_unused(obs_names *names) {
  for (uint32_t id = FIRST_NAMED; id < names->ids; id++)
    if (names->names[id].p && names->names[id].refs == 0) obs_names_remove(names, id);
}

void obs_facts_more_unread(obs_facts_more *m) {
  for (int c = 0; c < OBS_FACT_MORE; c++) {
    if (m->unused[c]) obs_facts_drop_unused(&m->names[c]);
    m->unused[c] = false;
  }
}

static void release(obs_facts_more *m, int column, uint16_t id, bool reading) {
  if (id < OBS_FACT_NAMED) return;
  obs_names *names = &m->names[column];
  uint32_t name = id - FIRST_NAMED;
  if (--names->names[name].refs > 0) return;
  if (reading)
    m->unused[column] = true;
  else
    obs_names_remove(names, name);
}

static uint16_t intern(obs_facts_more *m, int column, obs_str text) {
  obs_names *names = &m->names[column];
  uint32_t id = obs_names_intern(names, obs_utf8_cut_str(text, OBS_FACT_NAME));
  if (id == OBS_NAME_OTHER) return OBS_FACT_OTHER;
  names->names[id].refs++;
  return (uint16_t)(id + FIRST_NAMED);
}

/* ---- values that keep their names ----
 *
 * A column has room for OBS_FACT_MORE_NAMES values, and the window may hold many more: hosts, requests. What is
 * frequent among failures must not be left out because it came late. So the last RESERVED names are for values of
 * failures alone, and when all are taken, a failure's new value has the column swept: values without a second failure
 * and with the fewest ops lose their names, until half of them are free. To the ops that had them they are not known
 * any more. */

typedef struct {
  uint32_t id, ops, failures;
} named_value;

static uint32_t weight_of(const named_value *v) {
  enum { FAILURE = 16 }; /* a failure beyond the first weighs as so many ops */
  return v->ops + (v->failures > 1 ? FAILURE * (v->failures - 1) : 0);
}

static int by_weight(const void *a, const void *b) {
  const uint32_t x = weight_of(a), y = weight_of(b);
  return (x > y) - (x < y);
}

static void sweep(obs_facts_more *m, int c, uint32_t rows) {
  obs_names *names = &m->names[c];
  uint16_t *ids = m->ring->more[c].id;
  named_value *values = calloc((size_t)names->ids + FIRST_NAMED, sizeof *values);
  uint8_t *gone = calloc((size_t)names->ids + FIRST_NAMED, 1);
  if (values && gone) {
    const uint32_t n = names->ids + FIRST_NAMED;
    for (uint32_t i = 0; i < rows; i++) {
      values[ids[i]].ops++;
      values[ids[i]].failures += m->ring->flags[i] & OBS_FACT_FAILED;
    }
    for (uint32_t k = 0; k < n; k++) values[k].id = k;
    qsort(values, n, sizeof *values, by_weight);
    uint32_t left = OBS_FACT_MORE_NAMES / 2;
    for (uint32_t k = 0; k < n && left > 0; k++) {
      if (values[k].id < OBS_FACT_NAMED || values[k].ops == 0) continue;
      gone[values[k].id] = 1;
      obs_names_remove(names, values[k].id - FIRST_NAMED);
      left--;
    }
    for (uint32_t i = 0; i < rows; i++)
      if (gone[ids[i]]) ids[i] = OBS_FACT_OTHER;
  }
  free(values);
  free(gone);
}

/* The id of a value of a producers' own member. */
static uint16_t intern_own(obs_facts_more *m, uint32_t own, obs_str text, bool failed, uint32_t rows, bool reading) {
  const int c = OBS_FACT_MORE_OWN + (int)own;
  obs_names *names = &m->names[c];
  const bool full = names->used > OBS_FACT_MORE_NAMES, nearly = names->used > OBS_FACT_MORE_NAMES - RESERVED;
  if (nearly && obs_names_find(names, obs_utf8_cut_str(text, OBS_FACT_NAME)) == UINT32_MAX) {
    if (!failed) return OBS_FACT_OTHER;
    if (full && (reading || (int32_t)(m->taken - m->sweeps_at[own]) < 0)) return OBS_FACT_OTHER;
    if (full) {
      m->sweeps_at[own] = m->taken + SWEEP_OPS;
      sweep(m, c, rows);
    }
  }
  return intern(m, c, text);
}

/* A column of the op's own fields comes into use: the ops before did not have it. */
static bool use(obs_facts_more *m, int c) {
  obs_facts_column *column = &m->ring->more[c];
  if (!column->id) column->id = calloc(m->ring->cap, sizeof *column->id);
  if (!column->id) return false;
  if (column->number || m->names[c].names) return true;
  obs_names *names = &m->names[c];
  if (obs_names_init(names, OBS_FACT_MORE_NAMES, (size_t)OBS_FACT_MORE_NAMES * OBS_FACT_NAME) != OBSERVER_E_OK)
    return false;
  if (c < OBS_FACT_MORE_OWN) { /* OBS_FACT_FALSE, OBS_FACT_TRUE: both stay */
    names->names[obs_names_intern(names, OBS_STR("false"))].refs = 1;
    names->names[obs_names_intern(names, OBS_STR("true"))].refs = 1;
  }
  return true;
}

static void put(obs_facts_more *m, int c, uint32_t at, uint16_t id) {
  if (m->ring->more[c].id || (id != OBS_FACT_ABSENT && use(m, c))) m->ring->more[c].id[at] = id;
}

/* ---- members that are the producers' own ---- */

static bool is_member(const obs_facts_member *m, obs_str key, bool extra, bool number) {
  return m->len == key.len && m->extra == extra && m->number == number && memcmp(m->key, key.p, key.len) == 0;
}

/* The column is from now on of this member. What ops before had of it is not known. */
static void give(obs_facts_more *m, uint32_t own, obs_str key, bool extra, bool number, uint32_t rows) {
  const int c = OBS_FACT_MORE_OWN + (int)own;
  obs_facts_column *column = &m->ring->more[c];
  if (m->names[c].names) obs_names_fini(&m->names[c]);
  m->unused[c] = false;
  obs_facts_member *member = &m->own[own];
  *member = (obs_facts_member){.len = key.len, .extra = extra, .number = number};
  memcpy(member->key, key.p, key.len);
  size_t prefix = extra ? sizeof "extra." - 1 : 0;
  memcpy(column->name, "extra.", prefix);
  memcpy(column->name + prefix, member->key, key.len + 1);
  column->number = number;
  m->uses[own] = 0;
  m->sweeps_at[own] = m->taken;
  if (!use(m, c)) {
    member->len = 0;
    free(column->id);
    column->id = NULL;
    return;
  }
  for (uint32_t i = 0; i < rows; i++) column->id[i] = OBS_FACT_OTHER;
}

/* Counts a member without a column. Its own count rises; a new one takes the place of the least and goes on from
 * there (space-saving). Returns how often it came at least. */
static uint32_t count_candidate(obs_facts_more *m, obs_str key, bool extra, bool number) {
  uint64_t hash = XXH3_64bits_withSeed(key.p, key.len, (extra ? 2 : 0) + (number ? 1 : 0));
  uint32_t at = 0;
  for (uint32_t i = 0; i < OBS_FACTS_CANDIDATES; i++) {
    if (m->candidates[i].uses < m->candidates[at].uses) at = i;
    if (m->candidates[i].hash != hash) continue;
    at = i;
    break;
  }
  if (m->candidates[at].hash != hash) {
    m->candidates[at].hash = hash;
    m->candidates[at].taken_over = m->candidates[at].uses;
  }
  return ++m->candidates[at].uses - m->candidates[at].taken_over;
}

/* The column of a member; NO_COLUMN: none. `place`: which of the op's members it is. */
static uint8_t find_column(obs_facts_more *m, uint32_t place, obs_str key, bool extra, bool number, uint32_t rows,
                           bool reading) {
  uint8_t own = m->order[place];
  uint32_t uses = 0;
  if (own != NO_COLUMN && is_member(&m->own[own], key, extra, number)) return own;
  if (key.len == 0 || key.len > OBS_FACT_KEY || memchr(key.p, '\\', key.len)) return NO_COLUMN;
  for (uint32_t k = 0; k < m->nown; k++)
    if (is_member(&m->own[k], key, extra, number)) return m->order[place] = (uint8_t)k;
  if (m->nown < OBS_FACT_OWN) {
    own = (uint8_t)m->nown++;
  } else {
    uint32_t least = 0;
    uses = count_candidate(m, key, extra, number);
    for (uint32_t k = 1; k < OBS_FACT_OWN; k++)
      if (m->uses[k] < m->uses[least]) least = k;
    if (reading || uses < LEAST_USES || uses / 2 < m->uses[least]) return NO_COLUMN;
    own = (uint8_t)least;
  }
  give(m, own, key, extra, number, rows);
  m->uses[own] = uses;
  return m->order[place] = own;
}

/* What is gathered of one op: the ids of its members by column. */
typedef struct {
  uint16_t id[OBS_FACT_OWN];
  uint32_t place;
  bool failed; /* the op did */
} gathered;

static void take_member(obs_facts_more *m, gathered *g, obs_str key, bool extra, const obs_cursor_value *v,
                        uint32_t rows, bool reading) {
  if (g->place == OBS_FACTS_MEMBERS || v->kind == OBS_VALUE_NULL || v->kind == OBS_VALUE_TREE) return;
  bool number = v->kind == OBS_VALUE_INT || v->kind == OBS_VALUE_FLOAT;
  uint8_t own = find_column(m, g->place++, key, extra, number, rows, reading);
  if (own == NO_COLUMN || m->own[own].len == 0 || g->id[own] != OBS_FACT_ABSENT) return;
  m->uses[own]++;
  if (number) {
    g->id[own] = obs_facts_code(v->kind == OBS_VALUE_INT ? (double)v->i : v->d);
    return;
  }
  obs_str text = v->kind == OBS_VALUE_BOOL ? (v->b ? OBS_STR("true") : OBS_STR("false")) : v->s;
  char plain[1024];
  if (v->kind == OBS_VALUE_TEXT && v->escaped && text.len <= sizeof plain)
    text = (obs_str){plain, (uint32_t)obs_json_cursor_unescape(text, plain), 0};
  if (v->kind == OBS_VALUE_BIG || text.len == 0) return;
  g->id[own] = intern_own(m, own, text, g->failed, rows, reading);
}

static void take_extra(obs_facts_more *m, gathered *g, obs_str extra, uint32_t rows, bool reading) {
  obs_cursor c = obs_cursor_of(extra.p, extra.len < OBS_FACTS_EXTRA_BYTES ? extra.len : OBS_FACTS_EXTRA_BYTES);
  obs_json_cursor_space(&c);
  if (!obs_json_cursor_take(&c, '{')) return;
  for (obs_cursor_value key, value; g->place < OBS_FACTS_MEMBERS && obs_json_cursor_key(&c, &key);) {
    if (!obs_json_cursor_value(&c, &value)) return;
    take_member(m, g, key.s, true, &value, rows, reading);
    obs_json_cursor_space(&c);
    if (!obs_json_cursor_take(&c, ',')) return;
  }
}

static void take_own(obs_facts_more *m, const obs_op *op, const obs_op_unknown *unknown, uint32_t at, uint32_t rows,
                     bool reading) {
  gathered g;
  memset(g.id, 0, sizeof g.id);
  g.place = 0;
  g.failed = !op->success;
  if (OBS_HAS(op, extra)) take_extra(m, &g, op->extra, rows, reading);
  for (uint32_t i = 0; unknown && i < op->unknown_count; i++) {
    obs_cursor c = obs_cursor_of(unknown[i].value.p, unknown[i].value.len);
    obs_cursor_value value;
    if (obs_json_cursor_value(&c, &value)) take_member(m, &g, unknown[i].key, false, &value, rows, reading);
  }
  for (uint32_t k = 0; k < m->nown; k++) {
    const int c = OBS_FACT_MORE_OWN + (int)k;
    obs_facts_column *column = &m->ring->more[c];
    if (!column->id) continue;
    if (!column->number && at < rows) release(m, c, column->id[at], reading);
    column->id[at] = g.id[k];
  }
}

void obs_facts_more_take(obs_facts_more *m, const obs_op *op, const obs_op_unknown *unknown, uint32_t at, uint32_t rows,
                         bool reading) {
  put(m, OBS_FACT_MORE_rescue_attempted, at,
      !OBS_HAS(op, rescue_attempted) ? OBS_FACT_ABSENT
      : op->rescue_attempted         ? OBS_FACT_TRUE
                                     : OBS_FACT_FALSE);
  put(m, OBS_FACT_MORE_rescue_succeeded, at,
      !OBS_HAS(op, rescue_succeeded) ? OBS_FACT_ABSENT
      : op->rescue_succeeded         ? OBS_FACT_TRUE
                                     : OBS_FACT_FALSE);
  put(m, OBS_FACT_MORE_count, at, OBS_HAS(op, count) ? obs_facts_code((double)op->count) : OBS_FACT_ABSENT);
  put(m, OBS_FACT_MORE_turns, at, OBS_HAS(op, turns) ? obs_facts_code((double)op->turns) : OBS_FACT_ABSENT);
  put(m, OBS_FACT_MORE_input_length, at,
      OBS_HAS(op, input_summary) ? obs_facts_code((double)op->input_summary.len) : OBS_FACT_ABSENT);
  if (m->nown > 0 || unknown || OBS_HAS(op, extra)) take_own(m, op, unknown, at, rows, reading);
  if (++m->taken % FORGET_OPS) return;
  for (uint32_t k = 0; k < m->nown; k++) m->uses[k] /= 2;
  for (uint32_t i = 0; i < OBS_FACTS_CANDIDATES; i++) m->candidates[i].uses /= 2, m->candidates[i].taken_over /= 2;
}

/* ---- order ---- */

/* Rows come nearly in order, so runs are merged: `order` of n rows, with room for as many in `work`. */
static void sort_rows(const int64_t *time_ms, uint32_t *order, uint32_t *work, uint32_t n) {
  if (n < 2) return;
  uint32_t half = n / 2;
  sort_rows(time_ms, order, work, half);
  sort_rows(time_ms, order + half, work, n - half);
  if (time_ms[order[half - 1]] <= time_ms[order[half]]) return;
  memcpy(work, order, half * sizeof *work);
  for (uint32_t a = 0, b = half, to = 0; a < half; to++)
    order[to] = b < n && time_ms[order[b]] < time_ms[work[a]] ? order[b++] : work[a++];
}

static void permute(void *column, size_t size, const uint32_t *order, void *work, uint32_t n) {
  if (!column) return;
  if (size == 8)
    for (uint32_t i = 0; i < n; i++) ((uint64_t *)work)[i] = ((const uint64_t *)column)[order[i]];
  else if (size == 4)
    for (uint32_t i = 0; i < n; i++) ((uint32_t *)work)[i] = ((const uint32_t *)column)[order[i]];
  else if (size == 2)
    for (uint32_t i = 0; i < n; i++) ((uint16_t *)work)[i] = ((const uint16_t *)column)[order[i]];
  else
    for (uint32_t i = 0; i < n; i++) ((uint8_t *)work)[i] = ((const uint8_t *)column)[order[i]];
  memcpy(column, work, n * size);
}

bool obs_facts_sort(obs_facts_view *v) {
  uint32_t ordered = 1;
  while (ordered < v->n && v->time_ms[ordered - 1] <= v->time_ms[ordered]) ordered++;
  if (ordered >= v->n) return true;
  uint32_t *order = malloc(v->n * sizeof *order);
  void *work = malloc(v->n * sizeof *v->seq);
  bool ok = order && work;
  if (ok) {
    for (uint32_t i = 0; i < v->n; i++) order[i] = i;
    sort_rows(v->time_ms, order, work, v->n);
    permute(v->seq, sizeof *v->seq, order, work, v->n);
    permute(v->time_ms, sizeof *v->time_ms, order, work, v->n);
    permute(v->ms, sizeof *v->ms, order, work, v->n);
    permute(v->cluster, sizeof *v->cluster, order, work, v->n);
    permute(v->flags, sizeof *v->flags, order, work, v->n);
    permute(v->kind, sizeof *v->kind, order, work, v->n);
    permute(v->task, sizeof *v->task, order, work, v->n);
    permute(v->chain, sizeof *v->chain, order, work, v->n);
    for (int f = 0; f < OBS_FACT_COUNT; f++) permute(v->id[f], sizeof *v->id[f], order, work, v->n);
    for (int c = 0; c < OBS_FACT_MORE; c++) permute(v->more[c].id, sizeof *v->more[c].id, order, work, v->n);
  }
  free(order);
  free(work);
  return ok;
}
