#include "timeline/gather.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "diagnose/tries.h"
#include "op/member.h"
#include "timeline/gathered.h"

#include <xxhash.h>

typedef struct {
  const obs_gather_opts *o;
  obs_gather_result *g;
  obs_str needle;
  bool corrections; /* the second look: only these */
  obs_timeline_field subjects_of[OBS_GATHER_SUBJECTS];
  obs_str subjects[OBS_GATHER_SUBJECTS];
  uint32_t nsubjects;
  bool no_memory;
} gather;

/* ---- what is kept of an op ---- */

obs_str obs_gather_keep(obs_gather_result *g, obs_str text, bool *no_memory) {
  uint32_t place;
  if (text.p == NULL || text.len == 0) return text.p == NULL ? text : OBS_STR("");
  uint64_t hash = XXH3_64bits(text.p, text.len);
  if (obs_map_get(&g->places, hash, &place) && obs_str_eq(g->kept.at[place], text)) return g->kept.at[place];
  char *copy = obs_arena_alloc(&g->texts, text.len);
  obs_str *at = copy != NULL ? OBS_VEC_PUSH(&g->kept) : NULL;
  if (at == NULL || !obs_map_put(&g->places, hash, g->kept.n - 1)) {
    *no_memory = true;
    return (obs_str){0};
  }
  memcpy(copy, text.p, text.len);
  return *at = (obs_str){copy, text.len, text.plain};
}

static obs_str keep_text(gather *a, obs_str text) {
  return obs_gather_keep(a->g, text, &a->no_memory);
}

#define FIELD(op, name) (OBS_HAS(op, name) ? (op)->name : (obs_str){0})

/* The text of a failure, as its cluster reads it. */
static obs_str failure_text(const obs_op *op) {
  obs_str error = FIELD(op, error);
  return error.len > 0 ? error : FIELD(op, output_summary);
}

/* Of many failures with one text the kind is looked up once. */
static uint64_t cluster_of(gather *a, const obs_op *op, uint64_t text) {
  obs_gather_result *g = a->g;
  uint32_t place;
  if (a->o->clusters == NULL) return 0;
  if (obs_map_get(&g->kinds, text, &place)) return g->clusters.at[place];
  uint64_t id = obs_clusters_of(a->o->clusters, op), *at = OBS_VEC_PUSH(&g->clusters);
  if (at == NULL || !obs_map_put(&g->kinds, text, g->clusters.n - 1))
    a->no_memory = true;
  else
    *at = id;
  return id;
}

/* Which model did it: a field of that name, or a member of `extra`. */
static obs_str model_of(const gather *a, const obs_op *op, char room[OBS_OP_MEMBER_MAX]) {
  for (uint32_t i = 0; i < op->unknown_count; i++) {
    const obs_op_unknown *u = &a->o->scratch->unknown[op->unknown_first + i];
    obs_cursor at = obs_cursor_of(u->value.p, u->value.len);
    obs_str text;
    if (obs_str_is(u->key, "model") && obs_op_member_value(&at, room, &text) && text.len > 0) return text;
  }
  return OBS_HAS(op, extra) ? obs_op_member_find(op->extra, "model", room) : (obs_str){0};
}

static uint64_t task_of(const obs_op *op) {
  obs_str sig = FIELD(op, sig_hash);
  if (sig.len > 0) return XXH3_64bits_withSeed(sig.p, sig.len, 1);
  obs_str task = obs_tries_of(FIELD(op, input_summary)).task;
  return XXH3_64bits_withSeed(task.len > 0 ? task.p : "", task.len, 2);
}

static void note_failure(gather *a, const obs_op *op, obs_gather_item *x) {
  obs_str text = failure_text(op);
  uint64_t hash = XXH3_64bits(text.len > 0 ? text.p : "", text.len);
  x->error = keep_text(a, obs_utf8_cut_str(text.p != NULL ? text : OBS_STR(""), OBS_GATHER_CUT));
  x->cluster = cluster_of(a, op, hash);
  x->failure = x->cluster != 0 ? x->cluster : hash | 1;
}

static obs_gather_kind kind_of(const obs_op *op) {
  if (obs_op_is_correction(op)) return OBS_GATHER_A_CORRECTION;
  return obs_str_is(FIELD(op, event_kind), "change") ? OBS_GATHER_A_CHANGE : OBS_GATHER_A_OP;
}

static obs_gather_item make(gather *a, const obs_op *op, uint64_t seq) {
  obs_gather_item x = {
      .seq = seq, .success = op->success, .late = op->late, .end_ms = op->event_ms, .task = task_of(op)};
  x.kind = kind_of(op);
  x.duration_ms = OBS_HAS(op, duration_ms) && x.kind == OBS_GATHER_A_OP ? op->duration_ms : 0;
  /* What has lasted longer than time itself began with it. */
  x.start_ms = x.duration_ms < x.end_ms - OBS_CLOCK_MIN_MS ? x.end_ms - x.duration_ms : OBS_CLOCK_MIN_MS;
  x.endpoint = keep_text(a, FIELD(op, endpoint));
  x.source = keep_text(a, FIELD(op, source));
  x.staffer_id = keep_text(a, FIELD(op, staffer_id));
  x.session_id = keep_text(a, FIELD(op, session_id));
  x.task_class = keep_text(a, FIELD(op, task_class));
  x.event_kind = keep_text(a, FIELD(op, event_kind));
  x.sig_hash = keep_text(a, FIELD(op, sig_hash));
  if (x.kind == OBS_GATHER_A_OP) {
    char room[OBS_OP_MEMBER_MAX];
    x.model = keep_text(a, model_of(a, op, room));
    if (!op->success) note_failure(a, op, &x);
    return x;
  }
  obs_str text = FIELD(op, correction);
  if (text.len == 0) text = FIELD(op, output_summary);
  if (text.len == 0) text = FIELD(op, input_summary);
  x.text = keep_text(a, obs_utf8_cut_str(text, OBS_GATHER_CUT));
  return x;
}

/* ---- which ops ---- */

static bool is_wanted(const gather *a, const obs_op *op) {
  if (op->event_ms < a->o->since_ms || op->event_ms > a->o->until_ms) return false;
  if (!a->corrections) return obs_str_eq(obs_timeline_value(op, a->o->field), a->o->value);
  if (!obs_op_is_correction(op)) return false;
  if (obs_str_eq(obs_timeline_value(op, a->o->field), a->o->value)) return false; /* it is there already */
  obs_timeline_field field;
  obs_str what = obs_timeline_corrected(op, &field);
  for (uint32_t i = 0; what.len > 0 && i < a->nsubjects; i++)
    if (a->subjects_of[i] == field && obs_str_eq(a->subjects[i], what)) return true;
  return false;
}

/* Whether there is room for one more. */
static bool has_room(const gather *a) {
  uint32_t most = a->o->most != 0 && a->o->most < OBS_GATHER_OPS ? a->o->most : OBS_GATHER_OPS;
  return a->g->ops.n < most && a->g->texts.bytes < OBS_GATHER_TEXT;
}

/* False: enough. */
static bool look(gather *a, uint64_t seq, obs_str row, const obs_journal_row *times) {
  const obs_gather_opts *o = a->o;
  obs_gather_result *g = a->g;
  const char *reason;
  while (row.len > 0 && (row.p[row.len - 1] == '\n' || row.p[row.len - 1] == '\r')) row.len--;
  if (a->needle.len > 0 && memmem(row.p, row.len, a->needle.p, a->needle.len) == NULL) return true;
  obs_batch_reset(o->scratch);
  if (!obs_batch_decode_row(o->scratch, row.p, row.len, &reason)) return true;
  obs_op *op = &o->scratch->ops[0];
  obs_op_set_times(op, obs_journal_received(times, op->time_ms), times->skew_ms);
  if (!is_wanted(a, op)) return true;
  bool room = has_room(a);
  if (!room && ((o->oldest_first && o->journal != NULL) || a->corrections)) {
    g->more |= !a->corrections;
    if (!a->corrections) g->next_seq = seq;
    return false;
  }
  g->matched += !a->corrections && kind_of(op) == OBS_GATHER_A_OP;
  if (!room) return true;
  obs_gather_item x = make(a, op, seq), *at = OBS_VEC_PUSH(&g->ops);
  if (at == NULL) a->no_memory = true;
  if (at != NULL) *at = x;
  return !a->no_memory;
}

static bool on_journal_row(void *arg, const obs_journal_row *row) {
  return look(arg, row->seq, (obs_str){row->line, (uint32_t)row->len, 0}, row);
}

static bool on_ring_row(void *arg, const obs_state_row *row) {
  gather *a = arg;
  const obs_journal_row times = {.received_ms = row->received_ms, .skew_ms = row->skew_ms};
  if (row->seq < a->o->from_seq) return false;
  return look(a, row->seq, row->line, &times);
}

/* Looks at the rows that may have one of the keys. */
static observer_err look_through(gather *a, const uint64_t *keys, uint32_t n, uint64_t from, uint64_t through) {
  const obs_gather_opts *o = a->o;
  obs_gather_result *g = a->g;
  bool more = false;
  uint64_t next = 0;
  if (o->journal == NULL) {
    (void)obs_state_ring_rows(o->state, through != 0 ? through + 1 : 0, on_ring_row, a);
    return OBSERVER_E_OK;
  }
  const obs_journal_lookup lookup = {.keys = keys,
                                     .nkeys = n,
                                     .oldest_first = o->oldest_first,
                                     .from_seq = from,
                                     .before_seq = through != 0 ? through + 1 : 0,
                                     .since_ms = o->since_ms,
                                     .until_ms = o->until_ms,
                                     .max_bytes = OBS_GATHER_BYTES,
                                     .keys_of = obs_timeline_row_keys,
                                     .keys_of_arg = o->scratch};
  observer_err err = obs_journal_find(o->journal, &lookup, on_journal_row, a, &more, &next);
  if (err == OBSERVER_E_OK && more && !g->more && !a->corrections) {
    g->more = true;
    g->next_seq = next;
  }
  return err;
}

/* ---- corrections of what the ops are about ---- */

static void add_subject(gather *a, obs_timeline_field field, obs_str what) {
  if (what.len == 0 || a->nsubjects == OBS_GATHER_SUBJECTS) return;
  for (uint32_t i = 0; i < a->nsubjects; i++)
    if (a->subjects_of[i] == field && a->subjects[i].p == what.p) return; /* kept once */
  a->subjects_of[a->nsubjects] = field;
  a->subjects[a->nsubjects++] = what;
}

/* Those that came between the first and the last of them. */
static observer_err add_corrections(gather *a) {
  obs_gather_result *g = a->g;
  uint64_t keys[OBS_GATHER_SUBJECTS], first = UINT64_MAX, last = 0;
  for (uint32_t i = 0; i < g->ops.n; i++) {
    const obs_gather_item *x = &g->ops.at[i];
    if (x->seq < first) first = x->seq;
    if (x->seq > last) last = x->seq;
    if (x->kind != OBS_GATHER_A_OP) continue;
    if (a->o->field != OBS_TIMELINE_sig_hash) add_subject(a, OBS_TIMELINE_CORRECTED_SIG, x->sig_hash);
    if (a->o->field != OBS_TIMELINE_task_class) add_subject(a, OBS_TIMELINE_CORRECTED_CLASS, x->task_class);
  }
  if (a->nsubjects == 0) return OBSERVER_E_OK;
  for (uint32_t i = 0; i < a->nsubjects; i++) keys[i] = obs_timeline_key(a->subjects_of[i], a->subjects[i]);
  a->corrections = true;
  a->needle = OBS_STR("overseer_correction");
  return look_through(a, keys, a->nsubjects, first, last);
}

observer_err obs_gather(const obs_gather_opts *o, obs_gather_result *out) {
  gather a = {.o = o, .g = out, .needle = obs_json_search_for(o->value).needle};
  uint64_t key = obs_timeline_key(o->field, o->value);
  observer_err err = look_through(&a, &key, 1, o->from_seq, o->through_seq);
  if (err == OBSERVER_E_OK && !a.no_memory) err = add_corrections(&a);
  if (a.no_memory) err = OBSERVER_E_NOMEM;
  obs_gathered_sort(out);
  return err;
}

void obs_gather_fini(obs_gather_result *g) {
  OBS_VEC_FINI(&g->ops);
  OBS_VEC_FINI(&g->kept);
  OBS_VEC_FINI(&g->clusters);
  obs_map_fini(&g->places);
  obs_map_fini(&g->kinds);
  obs_arena_fini(&g->texts);
}
