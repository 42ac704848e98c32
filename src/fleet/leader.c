#include "fleet/leader.h"

#include "base/clock.h"
#include "base/fleet_seq.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pack.h"
#include "base/thread.h"
#include "base/vec.h"
#include "fleet/again.h"
#include "fleet/checkpoint.h"
#include "fleet/worker_internal.h"
#include "jsonl/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum {
  FETCH_MS = 200,
  FETCH_BYTES = OBS_LEADER_UNSAVED_BYTES / 16, /* of messages, whose rows are packed */
  SAMPLE_MS = 20,                              /* of one of several pulls */
  FETCH_MESSAGES = 256,
  NAP_MS = 200,
  SAVE_MS = 1000,
  LOOK_MS = 5000,
  CHECK_MS = 30000,
  AGAIN_MS = 2000,
  TAILS = 64, /* what was read before, to be found again when the stream has gone back */
  TAIL_MS = 10000,
  BEHIND_S = 20, /* so far behind, and falling further, it reads less */
  BEHIND_LOOKS = 3,
  FILE_MAX = 64 << 20,
  OP_ID = 16 + 1 + 20
};
#define SEQ_MAX ((uint64_t)INT64_MAX)
#define ALL_ROWS UINT32_MAX
static const char position_file[] = "position", magic[] = "OBSLPOS1";
enum { MAGIC = sizeof magic - 1 };

/* A message that is being recorded. */
typedef struct {
  obs_batch batch; /* first: done finds the slot */
  obs_leader_reader *reader;
  obs_buf rows;
  bool busy; /* under the lock */
} slot;

typedef struct {
  uint64_t edge, seq; /* seq 0: not known, whatever comes is taken */
  uint32_t p;
} mark;

typedef struct {
  uint64_t seq, tail;
} place;

struct obs_leader_reader {
  obs_leader_reader_opts opts;
  int dir_fd;
  _Atomic uint64_t epoch;

  /* The position. */
  uint64_t stream_id; /* of the stream; 0: none was read */
  uint64_t *seqs;     /* of each partition, the last message that was read */
  uint64_t through;   /* all messages up to this one were read, of whichever partition */
  OBS_VEC(mark) marks;
  obs_map index;      /* of them */
  place tails[TAILS]; /* the newest last */
  uint32_t ntails;
  uint64_t tail_ms; /* when the newest but one was the newest */

  /* Reading. */
  uint32_t chosen;       /* the lowest partitions that are read */
  obs_nats_pull *all;    /* of all partitions; NULL: not open */
  obs_nats_pull **pulls; /* of each of the chosen ones */
  uint64_t *waiting;     /* messages of each that wait; [0] of all */
  place last;            /* the message that was read last */
  uint64_t unsaved;      /* bytes of rows */
  uint64_t saved_ms;
  obs_buf room; /* of a message's rows */
  uint64_t checked_ms, checked_epoch;
  uint64_t asked_edge, asked_ms;

  /* How much the stream brings. */
  uint64_t looked_ms, looked_seq, looked_pending;
  double rows_each; /* of a message */
  uint32_t behind;  /* looks at which it was behind, and fell further */

  pthread_mutex_t lock; /* of the slots' `busy`, and of the two below */
  pthread_cond_t changed;
  uint32_t under_way;
  bool failed; /* something was not recorded */
  slot *slots;

  _Atomic uint64_t ops, duplicates, rejected, holes, rewinds, passed_over, fetched, pending;
  _Atomic uint32_t partitions;
};

/* ---- marks ---- */

static uint64_t mark_key(uint64_t edge, uint32_t p) {
  return edge ^ ((uint64_t)p + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* NULL: no memory, or no room. */
static mark *find_mark(obs_leader_reader *r, uint64_t edge, uint32_t p) {
  uint32_t at;
  if (obs_map_get(&r->index, mark_key(edge, p), &at)) {
    mark *m = &r->marks.at[at];
    return m->edge == edge && m->p == p ? m : NULL;
  }
  if (r->marks.n == OBS_LEADER_MARKS || !obs_map_put(&r->index, mark_key(edge, p), r->marks.n)) return NULL;
  mark *m = OBS_VEC_PUSH(&r->marks);
  if (m == NULL) {
    obs_map_remove(&r->index, mark_key(edge, p));
    return NULL;
  }
  *m = (mark){edge, 0, p};
  return m;
}

static void forget_marks(obs_leader_reader *r, uint32_t p) {
  for (uint32_t i = 0; i < r->marks.n; i++)
    if (r->marks.at[i].p == p) r->marks.at[i].seq = 0;
}

/* ---- the position ---- */

static uint64_t seq_of(const obs_leader_reader *r, uint32_t p) {
  return r->seqs[p] > r->through ? r->seqs[p] : r->through;
}

static void write_position(const obs_leader_reader *r, obs_buf *out) {
  obs_buf_append(out, magic, MAGIC);
  obs_pack_id(out, r->stream_id);
  obs_pack_u64(out, r->opts.partitions);
  for (uint32_t p = 0; p < r->opts.partitions; p++) obs_pack_u64(out, seq_of(r, p));
  obs_pack_u64(out, r->chosen);
  obs_pack_u64(out, r->ntails);
  for (uint32_t i = 0; i < r->ntails; i++) {
    obs_pack_u64(out, r->tails[i].seq);
    obs_pack_id(out, r->tails[i].tail);
  }
  obs_pack_u64(out, r->marks.n);
  for (uint32_t i = 0; i < r->marks.n; i++) {
    obs_pack_id(out, r->marks.at[i].edge);
    obs_pack_u64(out, r->marks.at[i].p);
    obs_pack_u64(out, r->marks.at[i].seq);
  }
  obs_pack_id(out, XXH64(obs_buf_view(out).p, out->len, 0));
}

static bool read_position(obs_leader_reader *r, const obs_buf *text) {
  uint64_t sum;
  if (text->len < MAGIC + sizeof sum || memcmp(text->p, magic, MAGIC) != 0) return false;
  memcpy(&sum, text->p + text->len - sizeof sum, sizeof sum);
  if (XXH64(text->p, text->len - sizeof sum, 0) != sum) return false;
  obs_pack_reader in = {.p = (const uint8_t *)text->p + MAGIC,
                        .end = (const uint8_t *)text->p + text->len - sizeof sum};
  r->stream_id = obs_pack_read_id(&in);
  if (obs_pack_read_u64(&in, OBS_FLEET_PARTITIONS_MAX) != r->opts.partitions) return false;
  for (uint32_t p = 0; p < r->opts.partitions; p++) r->seqs[p] = obs_pack_read_u64(&in, SEQ_MAX);
  r->chosen = (uint32_t)obs_pack_read_u64(&in, r->opts.partitions);
  r->ntails = (uint32_t)obs_pack_read_u64(&in, TAILS);
  for (uint32_t i = 0; i < r->ntails; i++) {
    r->tails[i].seq = obs_pack_read_u64(&in, SEQ_MAX);
    r->tails[i].tail = obs_pack_read_id(&in);
  }
  for (uint64_t n = obs_pack_read_u64(&in, OBS_LEADER_MARKS); n > 0 && !in.bad; n--) {
    uint64_t edge = obs_pack_read_id(&in), p = obs_pack_read_u64(&in, OBS_FLEET_PARTITIONS_MAX);
    mark *m = find_mark(r, edge, (uint32_t)p);
    if (m == NULL) return false;
    m->seq = obs_pack_read_u64(&in, SEQ_MAX);
  }
  return obs_pack_at_end(&in);
}

/* As it was saved last; at first, or where nothing was, the beginning. */
static bool load_position(obs_leader_reader *r) {
  obs_buf text = {0};
  r->stream_id = 0;
  r->through = 0;
  memset(r->seqs, 0, r->opts.partitions * sizeof *r->seqs);
  r->marks.n = 0;
  obs_map_clear(&r->index);
  r->ntails = 0;
  r->chosen = r->opts.partitions;
  r->last = (place){0, 0};
  observer_err err = obs_file_read_all(r->dir_fd, position_file, FILE_MAX, &text);
  bool ok = err == OBSERVER_E_NOTFOUND || (err == OBSERVER_E_OK && read_position(r, &text));
  if (r->chosen == 0) r->chosen = r->opts.partitions;
  obs_buf_fini(&text);
  return ok;
}

/* The last message that was read becomes the newest of those that are looked for again. */
static void push_tail(obs_leader_reader *r, uint64_t now_ms) {
  if (r->last.seq == 0 || (r->ntails > 0 && r->tails[r->ntails - 1].seq >= r->last.seq)) return;
  if (r->ntails > 0 && now_ms - r->tail_ms < TAIL_MS) {
    r->tails[r->ntails - 1] = r->last;
    return;
  }
  if (r->ntails == TAILS) memmove(r->tails, r->tails + 1, --r->ntails * sizeof *r->tails);
  r->tails[r->ntails++] = r->last;
  r->tail_ms = now_ms;
}

bool obs_leader_reader_save(obs_leader_reader *r) {
  obs_buf text = {0};
  uint64_t now_ms = obs_clock_mono_ms();
  pthread_mutex_lock(&r->lock);
  bool whole = r->under_way == 0 && !r->failed;
  pthread_mutex_unlock(&r->lock);
  if (!whole) return false;
  push_tail(r, now_ms);
  write_position(r, &text);
  bool ok = !text.oom && obs_file_replace(r->dir_fd, position_file, &text, true);
  if (!ok) obs_log_error("fleet", "leader: %s/%s: %s", r->opts.dir, position_file, strerror(errno));
  obs_buf_fini(&text);
  if (!ok) return false;
  r->unsaved = 0;
  r->saved_ms = now_ms;
  return true;
}

/* ---- pulls ---- */

static void close_pulls(obs_leader_reader *r) {
  obs_nats_pull_close(r->all);
  r->all = NULL;
  for (uint32_t p = 0; p < r->opts.partitions; p++) {
    obs_nats_pull_close(r->pulls[p]);
    r->pulls[p] = NULL;
    r->waiting[p] = 0;
  }
}

static bool reads_all(const obs_leader_reader *r) {
  return r->chosen == r->opts.partitions;
}

/* Other partitions than before. Those that are read again begin behind what is in the stream now. */
static void choose(obs_leader_reader *r, uint32_t chosen, uint64_t last_seq) {
  if (chosen == r->chosen) return;
  obs_log_warn("fleet", "leader: reads %" PRIu32 " of %" PRIu32 " partitions%s", chosen, r->opts.partitions,
               chosen < r->chosen ? ", a sample: the fleet brings more ops than the leader is to learn from" : "");
  close_pulls(r);
  for (uint32_t p = 0; p < r->opts.partitions; p++) r->seqs[p] = seq_of(r, p);
  r->through = 0;
  for (uint32_t p = r->chosen; p < chosen; p++) {
    r->seqs[p] = last_seq;
    forget_marks(r, p);
    atomic_fetch_add(&r->passed_over, 1);
  }
  r->chosen = chosen;
}

/* ---- the stream as it is ---- */

static void begin_at(obs_leader_reader *r, uint64_t seq) {
  close_pulls(r);
  for (uint32_t p = 0; p < r->opts.partitions; p++) {
    uint64_t had = seq_of(r, p);
    r->seqs[p] = had < seq ? had : seq;
  }
  r->through = 0;
}

/* Another stream, which was accepted: what its edges publish again is known by the marks. */
static void begin_anew(obs_leader_reader *r, uint64_t stream_id) {
  if (r->stream_id != 0)
    obs_log_warn("fleet", "leader: the stream was made anew, and is read from its first message on");
  begin_at(r, 0);
  r->ntails = 0;
  r->last = (place){0, 0};
  r->stream_id = stream_id;
}

/* Behind each reconnect, and now and then: whether the stream has gone back. False: that is not known. */
static bool check_stream(obs_leader_reader *r) {
  uint64_t now_ms = obs_clock_mono_ms(), epoch = atomic_load(&r->epoch);
  if (epoch == r->checked_epoch && now_ms - r->checked_ms < CHECK_MS) return true;
  push_tail(r, now_ms);
  uint32_t had = r->ntails;
  while (r->ntails > 0) {
    const place *t = &r->tails[r->ntails - 1];
    obs_checkpoint_agreement is = obs_checkpoint_agrees(r->opts.nats, OBS_FLEET_STREAM, t->seq, t->tail);
    if (is == OBS_CHECKPOINT_UNKNOWN) return false;
    if (is == OBS_CHECKPOINT_SAME) break;
    r->ntails--;
  }
  r->checked_ms = now_ms;
  r->checked_epoch = epoch;
  if (r->ntails == had) return true;
  uint64_t seq = r->ntails > 0 ? r->tails[r->ntails - 1].seq : 0;
  atomic_fetch_add(&r->rewinds, 1);
  obs_log_warn("fleet", "leader: the stream has gone back behind message %" PRIu64 "; it is read from %" PRIu64 " on",
               r->last.seq, seq + 1);
  r->last = r->ntails > 0 ? r->tails[r->ntails - 1] : (place){0, 0};
  begin_at(r, seq);
  return true;
}

static uint64_t count_pending(const obs_leader_reader *r) {
  uint64_t n = 0;
  for (uint32_t p = 0; p < (reads_all(r) ? 1 : r->chosen); p++) n += r->waiting[p];
  return n;
}

/* How many partitions are to be read, when the stream gets `rate` messages a second. */
static uint32_t partitions_for(obs_leader_reader *r, double rate) {
  uint32_t n = r->opts.partitions, now = r->chosen;
  double ops = rate * r->rows_each, most = (double)r->opts.most_ops;
  uint64_t pending = count_pending(r);
  double behind_s = rate > 0 ? (double)pending / (rate * now / n) : 0;
  r->behind = behind_s > BEHIND_S && pending > r->looked_pending ? r->behind + 1 : 0;
  r->looked_pending = pending;
  uint32_t fit = ops > most ? (uint32_t)(n * most / ops) : n;
  if (fit == 0) fit = 1;
  if (r->behind >= BEHIND_LOOKS && now > 1) {
    r->behind = 0;
    return fit < now * 3 / 4 ? fit : now * 3 / 4 > 0 ? now * 3 / 4 : 1;
  }
  if (fit < now && ops * now / n > most * 1.1) return fit;
  /* More only with some room, and when it has caught up. */
  bool room = fit >= now + now / 4 + 1 && behind_s < BEHIND_S / 4.0 && (fit < n || ops < most * 0.8);
  return room ? fit : now;
}

/* False: the stream cannot be read now. */
static bool look(obs_leader_reader *r) {
  obs_nats_stream stream;
  uint64_t now_ms = obs_clock_mono_ms();
  uint64_t fleets = atomic_load(&r->opts.worker->stream_id);
  if (fleets == 0 || !obs_nats_is_connected(r->opts.nats)) return false;
  if (fleets == r->stream_id && r->looked_ms != 0 && now_ms - r->looked_ms < LOOK_MS) return check_stream(r);
  if (obs_nats_stream_look(r->opts.nats, OBS_FLEET_STREAM, &stream, NULL) != OBSERVER_E_OK) return false;
  if (stream.id != fleets) return false; /* nobody has accepted it */
  if (stream.id != r->stream_id) begin_anew(r, stream.id);
  if (!check_stream(r)) return false;
  if (r->looked_ms != 0 && stream.last_seq >= r->looked_seq) {
    double rate = (double)(stream.last_seq - r->looked_seq) * 1000 / (double)(now_ms - r->looked_ms);
    choose(r, partitions_for(r, rate), stream.last_seq);
  }
  r->looked_ms = now_ms;
  r->looked_seq = stream.last_seq;
  return true;
}

/* ---- what is under way ---- */

/* Any thread. */
static void on_done(obs_batch *b) {
  slot *s = b->owner;
  obs_leader_reader *r = s->reader;
  if (b->error == OBSERVER_E_OK) {
    atomic_fetch_add(&r->ops, b->recorded);
    atomic_fetch_add(&r->duplicates, b->duplicates);
    atomic_fetch_add(&r->rejected, b->nrejects);
  }
  pthread_mutex_lock(&r->lock);
  r->failed = r->failed || b->error != OBSERVER_E_OK;
  s->busy = false;
  r->under_way--;
  pthread_cond_signal(&r->changed);
  pthread_mutex_unlock(&r->lock);
}

/* Waits until fewer than `n` are under way. False: it is not to wait any longer. */
static bool wait_below(obs_leader_reader *r, uint32_t n) {
  bool ok = true;
  pthread_mutex_lock(&r->lock);
  while (ok && r->under_way >= n) {
    obs_thread_cond_wait_ms(&r->changed, &r->lock, NAP_MS);
    if (r->under_way < n) break;
    pthread_mutex_unlock(&r->lock);
    ok = r->opts.goes_on(r->opts.arg);
    pthread_mutex_lock(&r->lock);
  }
  ok = ok && !r->failed;
  pthread_mutex_unlock(&r->lock);
  return ok;
}

static slot *take_slot(obs_leader_reader *r) {
  slot *s = NULL;
  if (!wait_below(r, OBS_LEADER_BATCHES)) return NULL;
  pthread_mutex_lock(&r->lock);
  for (uint32_t i = 0; i < OBS_LEADER_BATCHES && s == NULL; i++)
    if (!r->slots[i].busy) s = &r->slots[i];
  pthread_mutex_unlock(&r->lock);
  return s;
}

/* ---- a message ---- */

/* An edge's clock that is ahead must not push the windows of all others away. */
static void set_times(obs_op *op, const obs_fleet_row *row, int64_t now_ms) {
  const int64_t skew_max = INT64_C(3155760000000);
  int64_t received_ms = row->received_ms < now_ms ? row->received_ms : now_ms;
  bool skewed = row->skew_ms <= skew_max && row->skew_ms >= -skew_max;
  obs_op_set_times(op, received_ms > 0 ? received_ms : 1, skewed ? row->skew_ms : 0); /* 0 is: not set */
}

static void add_row(slot *s, uint32_t index, const obs_fleet_row *row, const char *line, uint64_t edge,
                    int64_t now_ms) {
  char id[OP_ID + 1];
  int n = snprintf(id, sizeof id, "%016" PRIx64 ":%" PRIu64, edge, row->seq);
  obs_op *op = obs_batch_add_row(&s->batch, index, line, row->len, (obs_str){id, (uint32_t)n, 1});
  if (op != NULL) set_times(op, row, now_ms);
}

/* The rows behind `taken` are on their way; or, unless it is ALL_ROWS, the one at that place. False: they are not. */
static bool submit_rows(obs_leader_reader *r, obs_fleet_batch_view *v, uint64_t taken, uint32_t only) {
  slot *s = take_slot(r);
  obs_fleet_row row;
  int64_t now_ms = obs_clock_receipt_ms();
  size_t bytes = (size_t)(v->end - v->line);
  if (s == NULL) return false;
  obs_batch *b = &s->batch;
  obs_batch_reset(b);
  obs_buf_reset(&s->rows, 4 * (size_t)OBS_FLEET_BATCH_BYTES);
  const char *from = (const char *)v->line;
  obs_buf_append(&s->rows, from, bytes);
  if (s->rows.oom) return false;
  b->data = (const uint8_t *)s->rows.p;
  b->size = bytes;
  b->transport = OBS_TRANSPORT_PULL; /* it waits for the disk, and is never refused */
  b->profile = OBS_PROFILE_REPLAY;
  b->owner = s;
  b->done = on_done;
  b->messages = 1;
  b->message_bytes = bytes;
  for (uint32_t i = 0; obs_fleet_batch_next(v, &row); i++) {
    if (only != ALL_ROWS && i != only) continue;
    if (row.seq > taken)
      add_row(s, i, &row, s->rows.p + (row.line - from), v->edge, now_ms);
    else
      atomic_fetch_add(&r->duplicates, 1);
  }
  pthread_mutex_lock(&r->lock);
  s->busy = true;
  r->under_way++;
  pthread_mutex_unlock(&r->lock);
  observer_err err = r->opts.submit(r->opts.arg, b);
  if (err == OBSERVER_E_OK) return true;
  b->error = err;
  on_done(b);
  return false;
}

static void ask_again(obs_leader_reader *r, const obs_fleet_batch_view *v, uint64_t after) {
  uint64_t now_ms = obs_clock_mono_ms();
  atomic_fetch_add(&r->holes, 1);
  if (v->edge == r->asked_edge && now_ms - r->asked_ms < AGAIN_MS) return;
  r->asked_edge = v->edge;
  r->asked_ms = now_ms;
  obs_again_ask(r->opts.nats, v->edge, v->p, after); /* if it is lost, the next batch asks again */
}

/* False: it is to be read again. */
static bool take_batch(obs_leader_reader *r, obs_fleet_batch_view *v) {
  mark *m = find_mark(r, v->edge, v->p);
  uint32_t rows = v->rows;
  if (m == NULL) {
    obs_log_error("fleet", "leader: no room for what is known of edge %016" PRIx64, v->edge);
    return false;
  }
  r->rows_each = r->rows_each * 0.99 + rows * 0.01;
  if (m->seq != 0 && v->prev > m->seq) {
    ask_again(r, v, m->seq);
    return true;
  }
  if (v->last <= m->seq) {
    atomic_fetch_add(&r->duplicates, rows);
    return true;
  }
  uint64_t last = v->last;
  if (!submit_rows(r, v, m->seq, ALL_ROWS)) return false;
  m->seq = last;
  return true;
}

static bool on_message(obs_leader_reader *r, const obs_nats_message *message) {
  obs_fleet_batch_view v;
  char reason[OBS_FLEET_REASON_MAX];
  observer_err err = obs_fleet_batch_read(message->data, message->len, &r->room, &v, reason);
  if (err == OBSERVER_E_NOMEM) return false;
  bool read = err == OBSERVER_E_OK && v.p < r->opts.partitions && v.rows <= OBS_FLEET_BATCH_ROWS;
  size_t bytes = read ? (size_t)(v.end - v.line) : message->len;
  bool known = read && message->stream_seq <= seq_of(r, v.p);
  if (read && !known && v.p < r->chosen && !take_batch(r, &v)) return false;
  if (reads_all(r))
    r->through = message->stream_seq > r->through ? message->stream_seq : r->through;
  else if (read && !known)
    r->seqs[v.p] = message->stream_seq;
  if (message->stream_seq > r->last.seq)
    r->last = (place){message->stream_seq, obs_checkpoint_tail(message->data, message->len)};
  r->unsaved += bytes;
  return r->unsaved < OBS_LEADER_UNSAVED_BYTES;
}

typedef struct {
  obs_leader_reader *reader;
  uint32_t at; /* in `waiting` */
  bool stuck;
} reading;

static bool on_pulled(void *arg, const obs_nats_message *message) {
  reading *x = arg;
  uint64_t unsaved = x->reader->unsaved;
  bool more = on_message(x->reader, message);
  x->stuck = x->reader->unsaved == unsaved; /* it was not taken */
  if (!x->stuck) x->reader->waiting[x->at] = message->pending;
  return more;
}

/* False: another pull is needed, after a while. */
static bool pull(obs_leader_reader *r, obs_nats_pull **from, uint32_t at, uint64_t start, uint32_t bytes, uint32_t ms) {
  char filter[OBS_FLEET_SUBJECT_MAX] = OBS_FLEET_SUBJECTS, why[OBS_NATS_WHY_MAX] = "";
  reading x = {r, at, false};
  observer_err err = OBSERVER_E_OK;
  if (!reads_all(r)) obs_fleet_batch_filter(at, filter);
  if (*from == NULL) err = obs_nats_pull_open(r->opts.nats, OBS_FLEET_STREAM, filter, start, from, why);
  if (err == OBSERVER_E_OK) err = obs_nats_pull_fetch(*from, FETCH_MESSAGES, bytes, ms, on_pulled, &x, why);
  if (err == OBSERVER_E_TIMEDOUT) r->waiting[at] = 0;
  if (!x.stuck && (err == OBSERVER_E_OK || err == OBSERVER_E_TIMEDOUT)) return true;
  if (!x.stuck) obs_log_debug("fleet", "leader: %s", why);
  obs_nats_pull_close(*from);
  *from = NULL;
  return false;
}

static bool fetch(obs_leader_reader *r) {
  bool ok = true;
  if (reads_all(r)) {
    uint64_t start = UINT64_MAX;
    for (uint32_t p = 0; p < r->opts.partitions; p++) start = seq_of(r, p) < start ? seq_of(r, p) : start;
    return pull(r, &r->all, 0, start + 1, FETCH_BYTES, FETCH_MS);
  }
  uint32_t each = FETCH_BYTES / r->chosen;
  for (uint32_t p = 0; p < r->chosen && r->unsaved < OBS_LEADER_UNSAVED_BYTES; p++)
    ok &= pull(r, &r->pulls[p], p, seq_of(r, p) + 1, each > OBS_FLEET_BATCH_BYTES ? each : OBS_FLEET_BATCH_BYTES,
               SAMPLE_MS);
  return ok;
}

static void nap(obs_leader_reader *r) {
  pthread_mutex_lock(&r->lock);
  obs_thread_cond_wait_ms(&r->changed, &r->lock, NAP_MS);
  pthread_mutex_unlock(&r->lock);
}

/* What was read and not recorded is read again. */
static bool go_back(obs_leader_reader *r) {
  close_pulls(r);
  if (!wait_below(r, 1)) {
    pthread_mutex_lock(&r->lock);
    bool none = r->under_way == 0;
    pthread_mutex_unlock(&r->lock);
    if (!none) return false; /* it is to stop */
  }
  pthread_mutex_lock(&r->lock);
  r->failed = false;
  pthread_mutex_unlock(&r->lock);
  bool ok = load_position(r);
  r->unsaved = 0;
  nap(r);
  return ok;
}

bool obs_leader_reader_turn(obs_leader_reader *r) {
  if (!look(r)) {
    nap(r);
    return true;
  }
  bool fetched = fetch(r);
  if (!wait_below(r, 1)) return go_back(r);
  atomic_store(&r->pending, count_pending(r));
  atomic_store(&r->partitions, r->chosen);
  bool due =
      r->unsaved > 0 && (r->unsaved >= OBS_LEADER_UNSAVED_BYTES / 2 || obs_clock_mono_ms() - r->saved_ms >= SAVE_MS);
  if (due && !obs_leader_reader_save(r)) return false;
  if (!fetched) nap(r);
  return true;
}

bool obs_leader_reader_samples(const obs_leader_reader *r) {
  return !reads_all(r);
}

bool obs_leader_reader_fetch(obs_leader_reader *r, uint64_t fleet_seq) {
  obs_fleet_seq_parts at = obs_fleet_seq_split(fleet_seq);
  obs_buf message = {0}, room = {0};
  obs_fleet_batch_view v;
  char reason[OBS_FLEET_REASON_MAX];
  bool ok = true;
  if (at.partition < r->chosen) return true;
  bool read = obs_nats_stream_get(r->opts.nats, OBS_FLEET_STREAM, at.stream_seq, &message, NULL) == OBSERVER_E_OK &&
              obs_fleet_batch_read(obs_buf_view(&message).p, message.len, &room, &v, reason) == OBSERVER_E_OK &&
              v.p == at.partition && at.row < v.rows;
  size_t bytes = read ? (size_t)(v.end - v.line) : 0;
  if (read) ok = submit_rows(r, &v, 0, at.row);
  if (read && ok) {
    r->unsaved += bytes;
    atomic_fetch_add(&r->fetched, 1);
  }
  obs_buf_fini(&room);
  obs_buf_fini(&message);
  return ok;
}

/* ---- construction ---- */

observer_err obs_leader_reader_open(const obs_leader_reader_opts *opts, obs_leader_reader **out, char *why) {
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  (void)snprintf(why, OBS_NATS_WHY_MAX, "%s", observer_strerror(err));
  obs_leader_reader *r = calloc(1, sizeof *r);
  if (r == NULL) return err;
  r->opts = *opts;
  r->rows_each = 1;
  r->checked_epoch = UINT64_MAX;
  pthread_mutex_init(&r->lock, NULL); /* the default kind does not fail */
  if ((err = obs_thread_cond_init(&r->changed)) != OBSERVER_E_OK) {
    pthread_mutex_destroy(&r->lock);
    free(r);
    return err;
  }
  err = OBSERVER_E_NOMEM;
  r->dir_fd = open(opts->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  r->seqs = calloc(opts->partitions, sizeof *r->seqs);
  r->pulls = calloc(opts->partitions, sizeof(obs_nats_pull *));
  r->waiting = calloc(opts->partitions, sizeof *r->waiting);
  r->slots = calloc(OBS_LEADER_BATCHES, sizeof *r->slots);
  if (r->seqs == NULL || r->pulls == NULL || r->waiting == NULL || r->slots == NULL ||
      !obs_map_init(&r->index, OBS_FLEET_PARTITIONS))
    goto fail;
  for (uint32_t i = 0; i < OBS_LEADER_BATCHES; i++) {
    r->slots[i].reader = r;
    if (obs_batch_init(&r->slots[i].batch) != OBSERVER_E_OK) goto fail;
  }
  err = OBSERVER_E_CORRUPT;
  if (r->dir_fd < 0 || !load_position(r)) {
    (void)snprintf(why, OBS_NATS_WHY_MAX, "%.180s/%s cannot be read", opts->dir, position_file);
    goto fail;
  }
  atomic_store(&r->partitions, r->chosen);
  *out = r;
  return OBSERVER_E_OK;
fail:
  obs_leader_reader_close(r);
  return err;
}

void obs_leader_reader_close(obs_leader_reader *r) {
  if (r == NULL) return;
  if (r->pulls != NULL && r->waiting != NULL) close_pulls(r);
  for (uint32_t i = 0; r->slots != NULL && i < OBS_LEADER_BATCHES; i++) {
    obs_batch_fini(&r->slots[i].batch);
    obs_buf_fini(&r->slots[i].rows);
  }
  if (r->dir_fd >= 0) (void)close(r->dir_fd);
  OBS_VEC_FINI(&r->marks);
  obs_map_fini(&r->index);
  obs_buf_fini(&r->room);
  free(r->slots);
  free(r->seqs);
  free(r->pulls);
  free(r->waiting);
  pthread_mutex_destroy(&r->lock);
  pthread_cond_destroy(&r->changed);
  free(r);
}

void obs_leader_reader_reconnected(obs_leader_reader *r) {
  atomic_fetch_add(&r->epoch, 1);
}

void obs_leader_reader_get_counts(obs_leader_reader *r, obs_leader_counts *out) {
  out->partitions = atomic_load(&r->partitions);
  out->pending = atomic_load(&r->pending);
  out->ops += atomic_load(&r->ops);
  out->duplicates += atomic_load(&r->duplicates);
  out->rejected += atomic_load(&r->rejected);
  out->holes += atomic_load(&r->holes);
  out->rewinds += atomic_load(&r->rewinds);
  out->passed_over += atomic_load(&r->passed_over);
  out->fetched += atomic_load(&r->fetched);
}
