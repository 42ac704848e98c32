#include "fleet/partition.h"

#include "base/fleet_seq.h"
#include "base/map.h"
#include "state/dedupe.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

enum {
  CLUSTERS = 500,
  ENDPOINTS = 1000,
  SOURCES = 100,
  NEWEST = 2000,
  SKETCH_BYTES = 4 << 20,
  TOGETHER = 16,            /* rows whose ids are looked up together */
  DEDUPE = 32768 - TOGETHER /* what obs_dedupe_open rounds up to a power of two */
};

_Static_assert((int)OBS_FLEET_PARTITIONS_MAX <= 1 << OBS_FLEET_SEQ_PARTITION_BITS &&
                   (int)OBS_FLEET_BATCH_ROWS <= 1 << OBS_FLEET_SEQ_ROW_BITS,
               "a seq has room for every partition and row");

/* What an edge has published up to. */
typedef struct {
  uint64_t edge, seq;
} mark;

struct obs_partition {
  obs_partition_opts opts; /* constant after open */
  pthread_mutex_t lock;    /* over the rest; taken before the locks of state and clusters */
  obs_state *state;
  obs_clusters *clusters;
  obs_newest newest;
  obs_dedupe *dedupe;
  mark marks[OBS_PARTITION_EDGES];
  uint32_t nmarks;
  obs_map index; /* of marks, by edge */
  obs_partition_counts counts;
  obs_batch rows; /* that are folded together */
  obs_buf room;   /* of a message's rows */
};

static void lock(obs_partition *p) {
  if (pthread_mutex_lock(&p->lock) != 0) __builtin_trap(); /* a default mutex that is used right does not fail */
}

static void unlock(obs_partition *p) {
  if (pthread_mutex_unlock(&p->lock) != 0) __builtin_trap();
}

/* ---- open, close ---- */

static uint32_t or_default(uint32_t n, uint32_t otherwise) {
  return n != 0 ? n : otherwise;
}

static bool are_valid(const obs_partition_opts *o) {
  return o->partitions > 0 && o->partitions <= OBS_FLEET_PARTITIONS_MAX && o->p < o->partitions &&
         o->clusters <= OBS_PARTITION_CLUSTERS_MAX && o->endpoints <= OBS_PARTITION_NAMES_MAX &&
         o->sources <= OBS_PARTITION_NAMES_MAX && o->newest <= OBS_NEWEST_MAX && o->dedupe <= OBS_PARTITION_DEDUPE_MAX;
}

static observer_err open_views(const obs_partition_opts *o, obs_state **state, obs_clusters **clusters,
                               obs_newest *newest) {
  const obs_state_opts so = {
      .ring = 1, .endpoints = o->endpoints, .sources = o->sources, .sketch_bytes = SKETCH_BYTES, .totals_only = true};
  const obs_clusters_opts co = {.clusters = o->clusters, .quiet = o->quiet, .fleet = true};
  observer_err err = obs_state_open(&so, state);
  if (err == OBSERVER_E_OK) err = obs_clusters_open(&co, clusters);
  if (err == OBSERVER_E_OK) err = obs_newest_init(newest, o->newest);
  return err;
}

static void close_views(obs_state **state, obs_clusters **clusters, obs_newest *newest) {
  obs_state_close(*state);
  obs_clusters_close(*clusters);
  obs_newest_fini(newest);
  *state = NULL;
  *clusters = NULL;
}

observer_err obs_partition_open(const obs_partition_opts *opts, obs_partition **out) {
  *out = NULL;
  if (!are_valid(opts)) return OBSERVER_E_INVALID;
  obs_partition *p = calloc(1, sizeof *p);
  if (p == NULL) return OBSERVER_E_NOMEM;
  p->opts = *opts;
  p->opts.clusters = or_default(opts->clusters, CLUSTERS);
  p->opts.endpoints = or_default(opts->endpoints, ENDPOINTS);
  p->opts.sources = or_default(opts->sources, SOURCES);
  p->opts.newest = or_default(opts->newest, NEWEST);
  p->opts.dedupe = or_default(opts->dedupe, DEDUPE);
  if (pthread_mutex_init(&p->lock, NULL) != 0) {
    free(p);
    return OBSERVER_E_NOMEM;
  }
  observer_err err = open_views(&p->opts, &p->state, &p->clusters, &p->newest);
  if (err == OBSERVER_E_OK) err = obs_dedupe_open(p->opts.dedupe, TOGETHER, &p->dedupe);
  if (err == OBSERVER_E_OK && !obs_map_init(&p->index, 0)) err = OBSERVER_E_NOMEM;
  if (err == OBSERVER_E_OK) err = obs_batch_init(&p->rows);
  if (err == OBSERVER_E_OK)
    *out = p;
  else
    obs_partition_close(p);
  return err;
}

void obs_partition_close(obs_partition *p) {
  if (p == NULL) return;
  close_views(&p->state, &p->clusters, &p->newest);
  obs_dedupe_close(p->dedupe);
  obs_map_fini(&p->index);
  obs_batch_fini(&p->rows);
  obs_buf_fini(&p->room);
  (void)pthread_mutex_destroy(&p->lock);
  free(p);
}

/* ---- marks ---- */

/* NULL: nothing of this edge has come. */
static mark *find_mark(obs_partition *p, uint64_t edge) {
  uint32_t i;
  return obs_map_get(&p->index, edge, &i) ? &p->marks[i] : NULL;
}

/* NULL: there is no room, or no memory. */
static mark *make_mark(obs_partition *p, uint64_t edge) {
  if (p->nmarks == OBS_PARTITION_EDGES || !obs_map_put(&p->index, edge, p->nmarks)) return NULL;
  p->marks[p->nmarks] = (mark){edge, 0};
  return &p->marks[p->nmarks++];
}

/* ---- folding ---- */

/* An edge's clock that is ahead must not push the windows of all others away; no skew is a hundred years. */
static void set_times(obs_op *op, const obs_fleet_row *row, int64_t now_ms) {
  const int64_t skew_max = INT64_C(3155760000000);
  int64_t received_ms = row->received_ms < now_ms ? row->received_ms : now_ms;
  bool skewed = row->skew_ms <= skew_max && row->skew_ms >= -skew_max;
  obs_op_set_times(op, received_ms > 0 ? received_ms : 0, skewed ? row->skew_ms : 0);
}

static bool has_id(const obs_op *op) {
  return OBS_HAS(op, op_id) && op->op_id.len > 0;
}

static obs_str scope_of(const obs_op *op) {
  return OBS_HAS(op, source) ? op->source : (obs_str){0};
}

/* Some rows of a message on their way. */
typedef struct {
  obs_fleet_row rows[TOGETHER];
  uint64_t seqs[TOGETHER]; /* the fleet's */
  bool wrong[TOGETHER];    /* no op; the others are the batch's ops, in order */
  uint32_t n;
} together;

/* The next rows that were not folded, and what of them is an op. False: no memory for those behind. */
static bool read_rows(obs_partition *p, obs_fleet_batch_view *v, uint64_t taken, uint64_t stream_seq, together *t,
                      obs_partition_result *out) {
  const char *reason;
  obs_fleet_row row;
  t->n = 0;
  obs_batch_reset(&p->rows);
  while (t->n < TOGETHER && obs_fleet_batch_next(v, &row)) {
    if (row.seq <= taken) {
      out->duplicate++;
      continue;
    }
    uint32_t rejects = p->rows.nrejects;
    t->wrong[t->n] = !obs_batch_decode_row(&p->rows, row.line, row.len, &reason);
    if (t->wrong[t->n] && p->rows.nrejects == rejects) return false; /* not even the reason had room */
    if (t->wrong[t->n]) (void)snprintf(out->reason, sizeof out->reason, "seq %" PRIu64 ": %s", row.seq, reason);
    t->rows[t->n] = row;
    t->seqs[t->n++] = obs_fleet_seq(p->opts.p, stream_seq, v->rows - v->left - 1);
  }
  return true;
}

static void expect_ids(const obs_partition *p) {
  uint32_t before = 0;
  for (uint32_t i = 0; i < p->rows.nops; i++) {
    const obs_op *op = &p->rows.ops[i];
    if (has_id(op)) obs_dedupe_expect(p->dedupe, before++, scope_of(op), op->op_id);
  }
}

static void fold_op(obs_partition *p, obs_op *op, const obs_fleet_row *row, uint64_t seq, int64_t now_ms,
                    obs_partition_result *out) {
  set_times(op, row, now_ms);
  if (has_id(op) && !obs_dedupe_add(p->dedupe, scope_of(op), op->op_id)) {
    out->duplicate++;
    return;
  }
  const obs_op_unknown *unknown = op->unknown_count > 0 ? p->rows.unknown + op->unknown_first : NULL;
  obs_state_apply_row(p->state, op, row->line, row->len, seq, false, now_ms);
  obs_clusters_apply_row(p->clusters, op, unknown, seq, now_ms);
  obs_newest_add(&p->newest, op, seq);
  out->folded++;
}

/* The mark moves with the rows, so that a message that is given again goes on where it ended. False: no memory. */
static bool fold_rows(obs_partition *p, obs_fleet_batch_view *v, mark *m, uint64_t stream_seq, int64_t now_ms,
                      obs_partition_result *out) {
  together t;
  bool ok = true;
  while (ok && v->left > 0) {
    ok = read_rows(p, v, m->seq, stream_seq, &t, out);
    obs_op *op = p->rows.ops;
    expect_ids(p);
    for (uint32_t i = 0; i < t.n; i++) {
      if (t.wrong[i])
        out->rejected++;
      else
        fold_op(p, op++, &t.rows[i], t.seqs[i], now_ms, out);
      m->seq = t.rows[i].seq;
    }
    obs_dedupe_commit(p->dedupe);
  }
  return ok;
}

static bool is_ours(const obs_partition *p, const obs_fleet_batch_view *v, uint64_t stream_seq, char *reason) {
  if (v->p != p->opts.p)
    (void)snprintf(reason, OBS_FLEET_REASON_MAX, "p: %" PRIu32 " in partition %" PRIu32, v->p, p->opts.p);
  else if (v->rows > OBS_FLEET_BATCH_ROWS)
    (void)snprintf(reason, OBS_FLEET_REASON_MAX, "%" PRIu32 " rows, more than %d", v->rows, OBS_FLEET_BATCH_ROWS);
  else if (stream_seq > OBS_FLEET_SEQ_STREAM_MAX)
    (void)snprintf(reason, OBS_FLEET_REASON_MAX, "stream sequence %" PRIu64 " has no number", stream_seq);
  else
    return true;
  return false;
}

static obs_partition_outcome take(obs_partition *p, uint64_t stream_seq, const void *data, size_t len, int64_t now_ms,
                                  obs_partition_result *out) {
  obs_fleet_batch_view v;
  observer_err err = obs_fleet_batch_read(data, len, &p->room, &v, out->reason);
  if (err == OBSERVER_E_NOMEM) return OBS_PARTITION_REFUSED;
  if (err != OBSERVER_E_OK || !is_ours(p, &v, stream_seq, out->reason)) return OBS_PARTITION_POISON;
  mark *m = find_mark(p, v.edge);
  uint64_t taken = m != NULL ? m->seq : 0;
  if (v.prev > taken) {
    out->edge = v.edge;
    out->after = taken;
    out->until = v.prev;
    return OBS_PARTITION_HOLE;
  }
  if (v.last <= taken) {
    out->duplicate = v.rows;
    return OBS_PARTITION_DUPLICATE;
  }
  if (m == NULL) m = make_mark(p, v.edge);
  if (m != NULL && fold_rows(p, &v, m, stream_seq, now_ms, out)) return OBS_PARTITION_FOLDED;
  bool full = m == NULL && p->nmarks == OBS_PARTITION_EDGES;
  (void)snprintf(out->reason, sizeof out->reason, full ? "%d edges have published, one more has no room" : "no memory",
                 OBS_PARTITION_EDGES);
  return OBS_PARTITION_REFUSED;
}

void obs_partition_fold(obs_partition *p, uint64_t stream_seq, const void *data, size_t len, int64_t now_ms,
                        obs_partition_result *out) {
  obs_partition_counts *n = &p->counts;
  *out = (obs_partition_result){.kind = OBS_PARTITION_BEHIND};
  lock(p);
  if (stream_seq > n->stream_seq) {
    out->kind = take(p, stream_seq, data, len, now_ms, out);
    n->folded += out->folded;
    n->duplicate += out->duplicate;
    n->rejected += out->rejected;
    n->holes += out->kind == OBS_PARTITION_HOLE;
    n->poison += out->kind == OBS_PARTITION_POISON;
    if (out->kind != OBS_PARTITION_REFUSED) {
      n->bytes += len;
      n->stream_seq = stream_seq;
    }
  }
  unlock(p);
}

uint32_t obs_partition_cycle(obs_partition *p, int64_t now_ms) {
  return obs_clusters_cycle(p->clusters, now_ms);
}

void obs_partition_get_counts(obs_partition *p, obs_partition_counts *out) {
  lock(p);
  *out = p->counts;
  out->edges = p->nmarks;
  unlock(p);
}

uint64_t obs_partition_stream_seq(obs_partition *p) {
  obs_partition_counts n;
  obs_partition_get_counts(p, &n);
  return n.stream_seq;
}

uint64_t obs_partition_stream_id(const obs_partition *p) {
  return p->opts.stream_id;
}

uint64_t obs_partition_mark(obs_partition *p, uint64_t edge) {
  lock(p);
  const mark *m = find_mark(p, edge);
  uint64_t seq = m != NULL ? m->seq : 0;
  unlock(p);
  return seq;
}

/* ---- as bytes ----
 *
 *   u32 MAGIC (so it tells the byte order, too), then of base/pack.h: VERSION form p partitions stream_id clusters
 *   endpoints sources newest dedupe, the counts in their order, for each part { length bytes }, and a CRC-32 of all
 *   before it. */

#define MAGIC UINT32_C(0x5053424f)
enum { VERSION = 1 };

static void put_part(obs_buf *out, const obs_buf *part) {
  obs_pack_u64(out, part->len);
  obs_buf_append(out, obs_buf_view(part).p, part->len);
}

static void put_head(const obs_partition *p, obs_partition_form form, obs_buf *out) {
  const obs_partition_opts *o = &p->opts;
  const obs_partition_counts *n = &p->counts;
  const uint32_t magic = MAGIC;
  obs_buf_append(out, &magic, sizeof magic);
  const uint64_t numbers[] = {VERSION,      form,       o->p,      o->partitions, o->stream_id, o->clusters,
                              o->endpoints, o->sources, o->newest, o->dedupe,     n->folded,    n->duplicate,
                              n->rejected,  n->holes,   n->poison, n->stream_seq, n->bytes,     p->nmarks};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) obs_pack_u64(out, numbers[i]);
}

static void put_marks(const obs_partition *p, obs_buf *out) {
  for (uint32_t i = 0; i < p->nmarks; i++) {
    obs_pack_id(out, p->marks[i].edge);
    obs_pack_u64(out, p->marks[i].seq);
  }
}

observer_err obs_partition_save(obs_partition *p, obs_partition_form form, obs_buf *out) {
  obs_buf part = {0};
  size_t begin = out->len;
  lock(p);
  put_head(p, form, out);
  observer_err err = obs_state_save(p->state, &part);
  put_part(out, &part);
  obs_buf_reset(&part, SIZE_MAX);
  if (err == OBSERVER_E_OK) err = obs_clusters_save(p->clusters, &part);
  put_part(out, &part);
  obs_buf_reset(&part, SIZE_MAX);
  obs_newest_save(&p->newest, &part);
  put_part(out, &part);
  bool oom = part.oom;
  if (form == OBS_PARTITION_WHOLE) {
    obs_buf_reset(&part, SIZE_MAX);
    obs_dedupe_save(p->dedupe, &part);
    put_part(out, &part);
    oom = oom || part.oom;
    obs_buf_reset(&part, SIZE_MAX);
    put_marks(p, &part);
    put_part(out, &part);
  }
  unlock(p);
  oom = oom || part.oom || out->oom;
  obs_buf_fini(&part);
  if (err != OBSERVER_E_OK || oom) return OBSERVER_E_NOMEM;
  uint32_t crc = (uint32_t)crc32_z(0, (const Bytef *)out->p + begin, out->len - begin);
  obs_buf_append(out, &crc, sizeof crc);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

static bool refuse(char *reason, const char *text) {
  (void)snprintf(reason, OBS_FLEET_REASON_MAX, "%s", text);
  return false;
}

static obs_str read_part(obs_pack_reader *in) {
  uint64_t len = obs_pack_read_u64(in, UINT32_MAX);
  if (in->bad || len > (size_t)(in->end - in->p)) {
    in->bad = true;
    return OBS_STR("");
  }
  obs_str part = {(const char *)in->p, (uint32_t)len, 0};
  in->p += len;
  return part;
}

bool obs_partition_read(const void *data, size_t len, obs_partition_saved *out, char reason[OBS_FLEET_REASON_MAX]) {
  uint32_t magic = 0, crc = 0;
  reason[0] = '\0';
  *out = (obs_partition_saved){0};
  if (len < sizeof magic + sizeof crc) return refuse(reason, "it is cut");
  memcpy(&magic, data, sizeof magic);
  memcpy(&crc, (const char *)data + len - sizeof crc, sizeof crc);
  if (magic != MAGIC) return refuse(reason, "it is no partition, or one of a machine of another byte order");
  if (crc != crc32_z(0, data, len - sizeof crc)) return refuse(reason, "its checksum is wrong");
  obs_pack_reader reader = {.p = (const uint8_t *)data + sizeof magic, .end = (const uint8_t *)data + len - sizeof crc};
  obs_pack_reader *in = &reader;
  obs_partition_opts *o = &out->opts;
  obs_partition_counts *n = &out->counts;
  uint64_t version = obs_pack_read_u64(in, UINT64_MAX);
  if (version != VERSION) {
    (void)snprintf(reason, OBS_FLEET_REASON_MAX, "version %" PRIu64 " is not known", version);
    return false;
  }
  out->form = (obs_partition_form)obs_pack_read_u64(in, OBS_PARTITION_WHOLE);
  uint32_t *const numbers[] = {&o->p, &o->partitions};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    *numbers[i] = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  o->stream_id = obs_pack_read_u64(in, UINT64_MAX);
  uint32_t *const sizes[] = {&o->clusters, &o->endpoints, &o->sources, &o->newest, &o->dedupe};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) *sizes[i] = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  uint64_t *const counts[] = {&n->folded, &n->duplicate,  &n->rejected, &n->holes,
                              &n->poison, &n->stream_seq, &n->bytes};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) *counts[i] = obs_pack_read_u64(in, UINT64_MAX);
  n->edges = (uint32_t)obs_pack_read_u64(in, OBS_PARTITION_EDGES);
  bool sized = o->clusters > 0 && o->endpoints > 0 && o->sources > 0 && o->newest > 0 && o->dedupe > 0;
  if (in->bad || !are_valid(o) || !sized || n->stream_seq > OBS_FLEET_SEQ_STREAM_MAX)
    return refuse(reason, "its head is wrong");
  obs_str *const parts[] = {&out->state, &out->clusters, &out->newest, &out->dedupe, &out->marks};
  size_t nparts = out->form == OBS_PARTITION_WHOLE ? 5 : 3;
  for (size_t i = 0; i < nparts; i++) *parts[i] = read_part(in);
  return obs_pack_at_end(in) || refuse(reason, "its parts do not fill it");
}

static observer_err load_views(const obs_partition_opts *o, const obs_partition_saved *x, int64_t now_ms,
                               obs_state **state, obs_clusters **clusters, obs_newest *newest) {
  *state = NULL;
  *clusters = NULL;
  *newest = (obs_newest){0};
  observer_err err = open_views(o, state, clusters, newest);
  if (err == OBSERVER_E_OK) err = obs_state_load(*state, x->state.p, x->state.len, now_ms);
  if (err == OBSERVER_E_OK) err = obs_clusters_load(*clusters, x->clusters.p, x->clusters.len);
  if (err == OBSERVER_E_OK) {
    obs_pack_reader in = {.p = (const uint8_t *)x->newest.p, .end = (const uint8_t *)x->newest.p + x->newest.len};
    obs_newest_load(newest, &in);
    if (!obs_pack_at_end(&in)) err = OBSERVER_E_CORRUPT;
  }
  if (err != OBSERVER_E_OK) close_views(state, clusters, newest);
  return err;
}

observer_err obs_partition_read_views(const obs_partition_saved *x, int64_t now_ms, obs_state **state,
                                      obs_clusters **clusters, obs_newest *newest) {
  return load_views(&x->opts, x, now_ms, state, clusters, newest);
}

/* ---- loading ---- */

/* Why the bytes are not of this partition; NULL: they are. */
static const char *differs(const obs_partition_opts *own, const obs_partition_saved *x) {
  if (x->form != OBS_PARTITION_WHOLE) return "it is a view, without marks";
  if (x->opts.p != own->p || x->opts.partitions != own->partitions) return "it is another partition";
  if (x->opts.stream_id != own->stream_id) return "it is of another stream";
  return x->opts.clusters != own->clusters ? "it was made with room for another number of clusters" : NULL;
}

/* Into a table that is empty. */
static observer_err load_marks(obs_partition *p, const obs_partition_saved *x) {
  obs_pack_reader reader = {.p = (const uint8_t *)x->marks.p, .end = (const uint8_t *)x->marks.p + x->marks.len};
  for (uint32_t i = 0; i < x->counts.edges && !reader.bad; i++) {
    uint64_t edge = obs_pack_read_id(&reader), seq = obs_pack_read_u64(&reader, INT64_MAX);
    if (reader.bad || find_mark(p, edge) != NULL) return OBSERVER_E_CORRUPT;
    mark *m = make_mark(p, edge);
    if (m == NULL) return OBSERVER_E_NOMEM;
    m->seq = seq;
  }
  return obs_pack_at_end(&reader) ? OBSERVER_E_OK : OBSERVER_E_CORRUPT;
}

/* All parts into a partition of their own, so that what is wrong in the last one leaves nothing of the first. */
static observer_err load_parts(const obs_partition_opts *o, const obs_partition_saved *x, int64_t now_ms,
                               obs_partition **out) {
  observer_err err = obs_partition_open(o, out);
  obs_partition *p = *out;
  if (err != OBSERVER_E_OK) return err;
  close_views(&p->state, &p->clusters, &p->newest);
  err = load_views(o, x, now_ms, &p->state, &p->clusters, &p->newest);
  if (err == OBSERVER_E_OK) err = obs_dedupe_load(p->dedupe, x->dedupe.p, x->dedupe.len);
  if (err == OBSERVER_E_OK) err = load_marks(p, x);
  p->counts = x->counts;
  return err;
}

/* What was loaded becomes this one's, and the other way round. */
static void swap_parts(obs_partition *p, obs_partition *from) {
#define SWAP(type, member)                                                                                             \
  do {                                                                                                                 \
    type was = p->member;                                                                                              \
    p->member = from->member;                                                                                          \
    from->member = was;                                                                                                \
  } while (0)
  lock(p);
  SWAP(obs_state *, state);
  SWAP(obs_clusters *, clusters);
  SWAP(obs_newest, newest);
  SWAP(obs_dedupe *, dedupe);
  SWAP(obs_map, index);
  SWAP(uint32_t, nmarks);
  SWAP(obs_partition_counts, counts);
  memcpy(p->marks, from->marks, p->nmarks * sizeof *p->marks);
  unlock(p);
#undef SWAP
}

const char *obs_partition_flaw(observer_err err) {
  return err == OBSERVER_E_CORRUPT ? "a part of it is wrong"
         : err == OBSERVER_E_NEWER ? "a part of it is of a later version"
                                   : "no memory";
}

observer_err obs_partition_load(obs_partition *p, const void *data, size_t len, int64_t now_ms,
                                char reason[OBS_FLEET_REASON_MAX]) {
  obs_partition_saved x;
  obs_partition *loaded = NULL;
  if (!obs_partition_read(data, len, &x, reason)) return OBSERVER_E_CORRUPT;
  const char *why = differs(&p->opts, &x);
  observer_err err = why != NULL ? OBSERVER_E_INVALID : load_parts(&p->opts, &x, now_ms, &loaded);
  if (err == OBSERVER_E_OK)
    swap_parts(p, loaded);
  else
    (void)refuse(reason, why != NULL ? why : obs_partition_flaw(err));
  if (err == OBSERVER_E_NEWER) err = OBSERVER_E_CORRUPT; /* of as little use */
  obs_partition_close(loaded);
  return err;
}
