#include "fleet/edge.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "fleet/again.h"
#include "fleet/edge_state.h"
#include "fleet/positions.h"
#include "fleet/roster.h"
#include "op/batch.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
  GATHER_MS = 5,      /* rows of a partition gather for so long, where nobody waits for the stream */
  CATCH_UP_MS = 50,   /* the same while more rows are there than can be read: batches are to be full then */
  AHEAD = 3,          /* batches of a partition that wait, the one that grows among them: others need not wait for it */
  IDLE_MS = 1000,     /* between two looks when nothing happens */
  PUBLISH_MS = 10000, /* for an answer */
  RETRY_MS = 500,     /* after a batch was refused */
  REOPEN_MS = 5000,   /* after the server refused the credentials for good */
  SAVE_MS = 1000,
  LOOK_MS = 10000,   /* between two looks whether the stream still has what it has acknowledged */
  AGAIN_MS = 5000,   /* a partition is published again for workers at most so often */
  HEAD_BYTES = 1024, /* of a message, for its headers */
  ROOM_PERCENT = 95  /* a spool that was full takes more when it is used so far */
};

typedef enum { IDLE, FLYING, ACKED, FAILED } flight_state;

typedef struct obs_edge_part {
  obs_edge *edge;
  obs_position known;           /* the last one that is known to be in the stream */
  uint64_t largest;             /* the last seq that was ever acknowledged */
  obs_fleet_batch ahead[AHEAD]; /* a ring of those that are to be sent; rows are added to the last one */
  uint64_t since_ms[AHEAD];     /* monotonic; when its first row was added */
  uint32_t next_ahead, nahead;  /* the first of them; how many, at least 1 */
  uint64_t built;               /* seq of the last row in any batch */
  uint64_t again; /* asked for, one above a worker's last seq, and nothing of it is in the stream yet; 0: nothing */
  uint32_t turn;  /* times that it was taken back: then ids of messages are new ones */

  /* The batch that is under way, or is to be sent again. */
  obs_buf sealed;
  char id[OBS_FLEET_ID_LEN + 16];
  uint64_t first, last;
  uint32_t rows;
  int64_t received_ms; /* of its first row */
  uint64_t retry_at;   /* monotonic ms */
  uint64_t above;      /* the newest position when it was sent */
  flight_state state;  /* under the edge's mutex, as the next three */
  observer_err err;
  uint64_t stream_seq;
  bool duplicate;
  char why[OBS_NATS_WHY_MAX];
} obs_edge_part;

struct obs_edge {
  obs_edge_opts opts;
  obs_nats *nats;
  obs_nats_listener *listener;
  obs_journal_cursor *cursor;
  obs_batch *row;           /* that a row is decoded in */
  obs_edge_state state;     /* as it was loaded, and is saved */
  obs_positions *positions; /* the thread's own */
  obs_edge_part parts[OBS_FLEET_PARTITIONS];
  pthread_t thread;
  bool started, has_sync;

  /* The thread's own. */
  bool synced; /* since the last connection it is known what is in the stream */
  bool told;   /* the first connection was logged */
  bool is_full;
  bool blocked;         /* a row waits for its partition's batch */
  bool more;            /* rows are there that were not read */
  bool changed;         /* `forward` is to be written */
  uint64_t now;         /* monotonic ms, of this turn */
  uint64_t read;        /* every row up to it was added to a batch, or needed none */
  uint64_t low;         /* every row up to it is in the stream */
  uint64_t max_payload; /* of a message */
  uint32_t gather_ms;   /* rows of a partition gather for so long, unless a batch is full before */
  uint64_t sync_at, look_at, save_at, reopen_at, full_at, beat_at;
  int64_t started_ms; /* wall clock */
  uint64_t stop_at;   /* monotonic ms; under the mutex */

  pthread_mutex_t mutex;
  pthread_cond_t cond;
  bool stopping, event, resync;
  uint32_t flying;
  uint64_t again[OBS_FLEET_PARTITIONS]; /* what a worker wants again, one above its last seq; 0: nothing */
  uint64_t again_at[OBS_FLEET_PARTITIONS];
  uint64_t away_since_ms; /* monotonic; 0: connected */
  uint64_t outages, outage_ms;
  obs_edge_counts counts;
  uint64_t shown_low; /* `low`, for those who count */

  _Atomic bool fresh, sleeping;
};

/* Of the batch that rows are added to. */
static uint32_t place_of_last(const obs_edge_part *p) {
  return (p->next_ahead + p->nahead - 1) % AHEAD;
}

/* ---- what others tell ---- */

static void signal_event(obs_edge *e) {
  e->event = true;
  pthread_cond_signal(&e->cond);
}

static void on_changed(void *arg, bool connected, const char *why) {
  obs_edge *e = arg;
  if (!connected) obs_log_warn("fleet", "NATS is away: %s; what is recorded waits in the journal", why);
  uint64_t now = obs_clock_mono_ms();
  pthread_mutex_lock(&e->mutex);
  if (!connected && e->away_since_ms == 0) e->outages++;
  if (connected && e->outages > 0 && e->away_since_ms > 0) e->outage_ms = now - e->away_since_ms;
  e->away_since_ms = connected ? 0 : now;
  e->resync = true;
  signal_event(e);
  pthread_mutex_unlock(&e->mutex);
}

static void on_published(void *arg, observer_err err, const char *why, uint64_t stream_seq, bool duplicate) {
  obs_edge_part *p = arg;
  obs_edge *e = p->edge;
  pthread_mutex_lock(&e->mutex);
  p->state = err == OBSERVER_E_OK ? ACKED : FAILED;
  p->err = err;
  p->stream_seq = stream_seq;
  p->duplicate = duplicate;
  (void)snprintf(p->why, sizeof(p->why), "%s", why);
  e->flying--;
  signal_event(e);
  pthread_mutex_unlock(&e->mutex);
}

static void on_again(void *arg, const char *subject, const char *reply, const void *data, size_t len) {
  obs_edge *e = arg;
  uint32_t p;
  uint64_t after, now = obs_clock_mono_ms();
  (void)subject;
  (void)reply;
  if (!obs_again_read(data, len, OBS_FLEET_PARTITIONS, &p, &after)) return;
  pthread_mutex_lock(&e->mutex);
  if (e->again_at[p] == 0 || now - e->again_at[p] >= AGAIN_MS) {
    e->again_at[p] = now;
    e->again[p] = after + 1;
    e->resync = true;
    signal_event(e);
  }
  pthread_mutex_unlock(&e->mutex);
}

void obs_edge_recorded(obs_edge *e) {
  if (atomic_exchange(&e->fresh, true) || !atomic_load(&e->sleeping)) return;
  pthread_mutex_lock(&e->mutex);
  pthread_cond_signal(&e->cond);
  pthread_mutex_unlock(&e->mutex);
}

/* ---- what is in the stream ---- */

/* The fleet's number of partitions decides where an op goes: all must have the same. */
static observer_err check_partitions(obs_edge *e, char *why) {
  obs_nats_kv *kv = NULL;
  obs_buf value = {0};
  char own[16];
  int n = snprintf(own, sizeof(own), "%d", OBS_FLEET_PARTITIONS);
  observer_err err = obs_nats_kv_open(e->nats, OBS_FLEET_BUCKET, e->opts.replicas, 0, &kv, why);
  if (err != OBSERVER_E_OK) return err;
  err = obs_nats_kv_create(kv, "partitions", own, (size_t)n, NULL, why);
  if (err == OBSERVER_E_LOCKED) err = obs_nats_kv_get(kv, "partitions", &value, NULL, why);
  if (err == OBSERVER_E_OK && value.len > 0 && !obs_str_is(obs_buf_view(&value), own)) {
    (void)snprintf(why, OBS_NATS_WHY_MAX, "the fleet has %.*s partitions, this program makes %s",
                   (int)(value.len < 16 ? value.len : 16), value.p, own);
    err = OBSERVER_E_INVALID;
  }
  obs_buf_fini(&value);
  obs_nats_kv_close(kv);
  return err;
}

/* ---- from the beginning of what is missing ---- */

static uint64_t find_low(const obs_edge *e) {
  uint64_t low = e->read;
  for (uint32_t p = 0; p < OBS_FLEET_PARTITIONS; p++) {
    const obs_edge_part *part = &e->parts[p];
    const obs_fleet_batch *next = &part->ahead[part->next_ahead];
    uint64_t first = part->rows > 0 ? part->first : obs_fleet_batch_rows(next) > 0 ? next->first : 0;
    if (first > 0 && first - 1 < low) low = first - 1;
  }
  return low;
}

static void drop_batches(obs_edge_part *p, uint64_t seq) {
  p->rows = 0;
  p->sealed.len = 0;
  p->state = IDLE;
  p->built = seq;
  p->next_ahead = 0;
  p->nahead = 1;
  obs_fleet_batch_begin(&p->ahead[0], p->edge->state.edge, (uint32_t)(p - p->edge->parts), seq);
}

/* With nothing under way. */
static void go_on_from(obs_edge *e, const obs_position found[], const uint64_t again[], uint64_t stream_id) {
  uint64_t from = e->low + 1, missing = 0, before = obs_positions_stream_id(e->positions);
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++) {
    obs_edge_part *p = &e->parts[i];
    obs_position known = found[i];
    if (again[i] > 0 && (p->again == 0 || again[i] < p->again)) p->again = again[i];
    if (p->again > 0 && p->again - 1 < known.seq)
      known.seq = p->again - 1;
    else
      p->again = 0;
    if (known.seq < p->known.seq) {
      if (known.seq + 1 < from) from = known.seq + 1;
      missing++;
      p->turn++;
    }
    p->known = known;
    drop_batches(p, known.seq);
  }
  if (missing > 0)
    obs_log_warn("fleet", "%" PRIu64 " partitions lack batches that they had: published again from seq %" PRIu64,
                 missing, from);
  if (before != 0 && before != stream_id)
    obs_log_warn("fleet", "the stream " OBS_FLEET_STREAM " was made anew: what the journal has is published again");
  obs_positions_go_on(e->positions, found, stream_id);
  e->read = e->low = from - 1;
  e->blocked = false;
  e->more = e->changed = true;
  obs_journal_cursor_seek(e->cursor, from);
}

static void tell_connection(obs_edge *e, const obs_nats_stream *stream) {
  obs_nats_server server;
  char edge[OBS_HEX_LEN + 1];
  (void)obs_nats_get_server(e->nats, &server);
  e->max_payload = server.max_payload;
  obs_hex_format(e->state.edge, edge);
  obs_log_info("fleet", "forwarding as edge %s to %s, nats-server %s, stream " OBS_FLEET_STREAM " with %u replicas",
               edge, e->opts.nats.urls[0], server.version[0] != '\0' ? server.version : "of unknown version",
               stream->replicas);
  if (e->told) return;
  e->told = true;
  bool always_lazy = server.version[0] != '\0' && obs_nats_is_older(&server, 2, 10, 0);
  obs_log_info("fleet",
               "NATS acknowledges before it syncs%s: recorded rows are kept for at least %" PRIu64
               " s, and published again if the stream has lost them",
               always_lazy ? "" : ", unless its sync_interval is always", e->opts.linger_ms / 1000);
  if (server.version[0] != '\0' && obs_nats_is_older(&server, 2, 10, 27))
    obs_log_warn("fleet", "nats-server %s is older than 2.10.27, which has fixes against lost messages",
                 server.version);
  if (stream->replicas < 3)
    obs_log_warn("fleet",
                 "the stream has %u replicas: the loss of a server's disk loses it; edges publish again what "
                 "their journals have",
                 stream->replicas);
}

static observer_err synchronise(obs_edge *e, char *why) {
  static const char *const subjects[] = {OBS_FLEET_SUBJECTS};
  obs_position found[OBS_FLEET_PARTITIONS] = {{0}};
  uint64_t again[OBS_FLEET_PARTITIONS];
  obs_nats_stream stream;
  observer_err err = obs_nats_stream_ensure(e->nats, OBS_FLEET_STREAM, subjects, 1, e->opts.replicas, 0, &stream, why);
  if (err == OBSERVER_E_OK) err = check_partitions(e, why);
  if (err == OBSERVER_E_OK) err = obs_positions_find(e->positions, e->nats, &stream, found, why);
  if (err != OBSERVER_E_OK) return err;
  pthread_mutex_lock(&e->mutex);
  memcpy(again, e->again, sizeof(again));
  memset(e->again, 0, sizeof(e->again));
  pthread_mutex_unlock(&e->mutex);
  go_on_from(e, found, again, stream.id);
  tell_connection(e, &stream);
  return OBSERVER_E_OK;
}

/* When something has changed, and nothing is under way any more. */
static void look_at_stream(obs_edge *e, uint64_t now) {
  char why[OBS_NATS_WHY_MAX] = "";
  bool gone_back = false;
  if (e->synced && now >= e->look_at && obs_nats_is_connected(e->nats)) {
    gone_back = obs_positions_have_gone_back(e->positions, e->nats);
    e->look_at = now + LOOK_MS;
  }
  pthread_mutex_lock(&e->mutex);
  if (gone_back) e->resync = true;
  if (e->resync) e->synced = false;
  bool ready = !e->synced && e->flying == 0;
  pthread_mutex_unlock(&e->mutex);
  if (!ready || now < e->sync_at || !obs_nats_is_connected(e->nats)) return;
  pthread_mutex_lock(&e->mutex);
  e->resync = false;
  pthread_mutex_unlock(&e->mutex);
  e->low = find_low(e);
  observer_err err = synchronise(e, why);
  e->synced = err == OBSERVER_E_OK;
  e->look_at = now + LOOK_MS;
  if (e->synced) return;
  e->sync_at = now + RETRY_MS;
  obs_log_warn("fleet", "NATS: %s", why[0] != '\0' ? why : observer_strerror(err));
}

/* ---- publishing ---- */

static void send_batch(obs_edge *e, obs_edge_part *p, uint64_t now) {
  char subject[OBS_FLEET_SUBJECT_MAX];
  char why[OBS_NATS_WHY_MAX] = "";
  obs_fleet_batch_subject(e->state.edge, (uint32_t)(p - e->parts), subject);
  p->above = obs_positions_newest(e->positions);
  pthread_mutex_lock(&e->mutex);
  p->state = FLYING;
  e->flying++;
  pthread_mutex_unlock(&e->mutex);
  observer_err err =
      obs_nats_publish(e->nats, subject, p->id, p->sealed.p, p->sealed.len, PUBLISH_MS, on_published, p, why);
  if (err == OBSERVER_E_OK) return;
  pthread_mutex_lock(&e->mutex);
  p->state = FAILED;
  p->err = err;
  (void)snprintf(p->why, sizeof(p->why), "%s", why);
  e->flying--;
  pthread_mutex_unlock(&e->mutex);
  p->retry_at = now + RETRY_MS;
}

/* Behind the last one, which is full, another begins. */
static void begin_batch(obs_edge *e, obs_edge_part *p) {
  uint64_t prev = p->ahead[place_of_last(p)].last;
  p->nahead++;
  obs_fleet_batch_begin(&p->ahead[place_of_last(p)], e->state.edge, (uint32_t)(p - e->parts), prev);
}

/* The next batch is sealed and sent. False: no memory. */
static bool begin_flight(obs_edge *e, obs_edge_part *p, uint64_t now) {
  const obs_fleet_batch *b = &p->ahead[p->next_ahead];
  if (obs_fleet_batch_seal(b, &p->sealed) != OBSERVER_E_OK) return false;
  obs_fleet_batch_id(b, p->id);
  if (p->turn > 0) (void)snprintf(p->id + strlen(p->id), 16, ".r%" PRIu32, p->turn);
  p->first = b->first;
  p->last = b->last;
  p->rows = obs_fleet_batch_rows(b);
  p->received_ms = b->times.at[0].received_ms;
  if (p->nahead == 1) begin_batch(e, p);
  p->next_ahead = (p->next_ahead + 1) % AHEAD;
  p->nahead--;
  send_batch(e, p, now);
  return true;
}

static void take_ack(obs_edge *e, obs_edge_part *p, uint64_t now) {
  const obs_position at = {p->last, p->stream_seq};
  bool ahead = obs_positions_acknowledged(e->positions, (uint32_t)(p - e->parts), at, p->duplicate ? 0 : p->above, now);
  if (at.seq > p->known.seq) p->known.seq = at.seq;
  if (at.stream_seq > p->known.stream_seq) p->known.stream_seq = at.stream_seq;
  if (at.seq > p->largest) p->largest = at.seq;
  pthread_mutex_lock(&e->mutex);
  if (!ahead) e->resync = true;
  e->counts.ops += p->rows;
  e->counts.batches++;
  e->counts.bytes += p->sealed.len;
  p->state = IDLE;
  pthread_mutex_unlock(&e->mutex);
  p->rows = 0;
  p->again = 0; /* the stream's last message tells from here on */
  e->changed = true;
  e->blocked = false;
}

static void take_failure(obs_edge *e, obs_edge_part *p, uint64_t now) {
  obs_log_warn("fleet", "a batch is not in the stream, it is sent again: %s",
               p->why[0] != '\0' ? p->why : observer_strerror(p->err));
  pthread_mutex_lock(&e->mutex);
  e->counts.errors++;
  /* Without an answer it may be there: that is looked up first. What is sent twice a server refuses, and copies of a
   * stream can come to differ where 2.9 has refused something (nats/kv.c). */
  if (p->err == OBSERVER_E_TIMEDOUT) e->resync = true;
  p->err = OBSERVER_E_OK; /* counted */
  pthread_mutex_unlock(&e->mutex);
  p->retry_at = now + RETRY_MS;
}

static void take_results(obs_edge *e, uint64_t now) {
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++) {
    obs_edge_part *p = &e->parts[i];
    pthread_mutex_lock(&e->mutex);
    flight_state state = p->state;
    bool news = state == FAILED && p->err != OBSERVER_E_OK;
    pthread_mutex_unlock(&e->mutex);
    if (state == ACKED) take_ack(e, p, now);
    if (news) take_failure(e, p, now);
  }
}

static uint64_t gathers_ms(const obs_edge *e) {
  return e->blocked ? CATCH_UP_MS : e->gather_ms;
}

static bool is_due(const obs_edge_part *p, uint64_t now, uint64_t ms) {
  const obs_fleet_batch *b = &p->ahead[p->next_ahead];
  return obs_fleet_batch_rows(b) > 0 &&
         (p->nahead > 1 || now - p->since_ms[p->next_ahead] >= ms || obs_fleet_batch_is_full(b, 0));
}

/* What has gathered for so long; 0: everything. */
static void send_due(obs_edge *e, uint64_t now, uint64_t ms) {
  if (!e->synced || !obs_nats_is_connected(e->nats)) return;
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++) {
    obs_edge_part *p = &e->parts[i];
    if (p->rows > 0) {
      pthread_mutex_lock(&e->mutex);
      bool failed = p->state == FAILED;
      pthread_mutex_unlock(&e->mutex);
      if (failed && now >= p->retry_at) send_batch(e, p, now);
    } else if (is_due(p, now, ms)) {
      if (!begin_flight(e, p, now)) return;
    }
  }
}

/* ---- reading ---- */

/* Its partition, and when it was received. Most rows need no decoding for that. */
static bool place_row(obs_edge *e, const obs_journal_row *row, uint32_t *partition, int64_t *received_ms) {
  const char *reason = NULL;
  bool placed = obs_fleet_partition_of_row(row->line, row->len, OBS_FLEET_PARTITIONS, partition);
  *received_ms = row->received_ms;
  if (placed && row->received_ms != INT64_MIN) return true;
  obs_batch_reset(e->row);
  if (!obs_batch_decode_row(e->row, row->line, row->len, &reason)) { /* replay counted it as an op, so it is one */
    obs_log_error("fleet", "row %" PRIu64 " is not forwarded: %s", row->seq, reason);
    return false;
  }
  *partition = obs_fleet_partition(&e->row->ops[0], OBS_FLEET_PARTITIONS);
  *received_ms = obs_journal_received(row, e->row->ops[0].time_ms);
  return true;
}

/* The row is left for the next time. */
static bool wait_for_room(obs_edge *e) {
  e->blocked = true;
  return false;
}

/* Whether the server takes a message of this row, packed if need be. FULL: it does not; NOMEM: that is not known. */
static observer_err check_size(const obs_edge *e, const obs_journal_row *row) {
  if (e->max_payload == 0 || row->len + HEAD_BYTES <= e->max_payload) return OBSERVER_E_OK;
  obs_fleet_batch alone = {0};
  obs_buf message = {0};
  obs_fleet_batch_begin(&alone, e->state.edge, 0, 0);
  bool added = obs_fleet_batch_add(&alone, row->line, row->len, row->seq, 0, 0);
  observer_err err = added ? obs_fleet_batch_seal(&alone, &message) : OBSERVER_E_NOMEM;
  if (err == OBSERVER_E_OK && message.len + HEAD_BYTES > e->max_payload) err = OBSERVER_E_FULL;
  obs_buf_fini(&message);
  obs_fleet_batch_fini(&alone);
  return err;
}

/* Of what the server takes, one half is for rows, which perhaps cannot be packed, the other for their head. */
static bool is_full(const obs_edge *e, const obs_fleet_batch *b, size_t len) {
  bool large = e->max_payload > 0 && b->rows.len + len > e->max_payload / 2;
  return obs_fleet_batch_is_full(b, len) || (large && obs_fleet_batch_rows(b) > 0);
}

static bool add_row(void *arg, const obs_journal_row *row) {
  obs_edge *e = arg;
  uint32_t partition;
  int64_t received_ms;
  if (!place_row(e, row, &partition, &received_ms)) {
    e->read = row->seq;
    return true;
  }
  obs_edge_part *p = &e->parts[partition];
  uint64_t now = e->now;
  if (row->seq <= p->known.seq) {
    e->read = row->seq;
    return true;
  }
  observer_err err = check_size(e, row);
  if (err == OBSERVER_E_NOMEM) return wait_for_room(e);
  if (err != OBSERVER_E_OK) {
    obs_log_error("fleet",
                  "row %" PRIu64
                  " is not forwarded: its %zu bytes, even packed, are more than the server takes (max_payload)",
                  row->seq, row->len);
    pthread_mutex_lock(&e->mutex);
    e->counts.too_large++;
    pthread_mutex_unlock(&e->mutex);
    if (e->opts.acks != NULL) obs_acks_refuse(e->opts.acks, row->seq);
    e->read = row->seq;
    return true;
  }
  if (is_full(e, &p->ahead[place_of_last(p)], row->len)) {
    if (p->rows == 0 && !begin_flight(e, p, now)) return wait_for_room(e);
    if (obs_fleet_batch_rows(&p->ahead[place_of_last(p)]) > 0) {
      if (p->nahead == AHEAD) return wait_for_room(e);
      begin_batch(e, p);
    }
  }
  uint32_t last = place_of_last(p);
  if (obs_fleet_batch_rows(&p->ahead[last]) == 0) p->since_ms[last] = now;
  if (!obs_fleet_batch_add(&p->ahead[last], row->line, row->len, row->seq, received_ms, row->skew_ms))
    return wait_for_room(e); /* no memory: again when something was acknowledged */
  if (row->seq <= p->largest) {
    pthread_mutex_lock(&e->mutex);
    e->counts.republished++;
    pthread_mutex_unlock(&e->mutex);
  }
  p->built = e->read = row->seq;
  return true;
}

static void read_rows(obs_edge *e) {
  uint64_t before;
  if (!e->synced || e->blocked || !obs_nats_is_connected(e->nats)) return;
  do {
    before = e->read;
    e->now = obs_clock_mono_ms();
    observer_err err = obs_journal_cursor_read(e->cursor, add_row, e, &e->more);
    if (err != OBSERVER_E_OK) {
      obs_log_error("fleet", "cannot read the journal: %s", observer_strerror(err));
      return;
    }
    take_results(e, e->now);
    send_due(e, e->now, CATCH_UP_MS);
  } while (e->more && !e->blocked && e->read > before);
}

/* ---- who waits for the stream ---- */

static void tell_progress(obs_edge *e) {
  uint64_t seqs[OBS_FLEET_PARTITIONS];
  if (e->opts.acks == NULL || !e->synced) return;
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++) seqs[i] = e->parts[i].known.seq;
  obs_acks_progress(e->opts.acks, seqs, find_low(e));
}

/* ---- the spool ---- */

static int64_t oldest_received(const obs_edge *e) {
  int64_t oldest = INT64_MAX;
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++) {
    const obs_edge_part *p = &e->parts[i];
    if (p->rows > 0 && p->received_ms < oldest) oldest = p->received_ms;
    const obs_fleet_batch *next = &p->ahead[p->next_ahead];
    if (obs_fleet_batch_rows(next) > 0 && next->times.at[0].received_ms < oldest)
      oldest = next->times.at[0].received_ms;
  }
  return oldest;
}

static void tell_full(obs_edge *e, uint64_t bytes, uint64_t now) {
  char why[160];
  pthread_mutex_lock(&e->mutex);
  uint64_t away = e->away_since_ms;
  if (!e->is_full) e->counts.spool_full++;
  pthread_mutex_unlock(&e->mutex);
  if (away > 0)
    (void)snprintf(why, sizeof(why), "spool full: NATS has been away for %" PRIu64 " s", (now - away) / 1000);
  else
    (void)snprintf(why, sizeof(why), "spool full: %" PRIu64 " bytes wait for NATS", bytes);
  if (!e->is_full) obs_log_error("fleet", "%s: nothing more is taken", why);
  e->is_full = true;
  e->full_at = now;
  e->opts.full(e->opts.arg, why);
}

static void look_at_spool(obs_edge *e, uint64_t now) {
  e->low = find_low(e);
  uint64_t bytes = obs_journal_bytes_from(e->opts.journal, e->low + 1);
  int64_t oldest = oldest_received(e), age = oldest != INT64_MAX ? obs_clock_receipt_ms() - oldest : 0;
  obs_journal_hold(e->opts.journal, e->low + 1, e->opts.linger_ms);
  bool empty = obs_journal_next_seq(e->opts.journal) <= e->low + 1;
  pthread_mutex_lock(&e->mutex);
  e->shown_low = e->low;
  if (age == 0 && !empty && e->away_since_ms > 0) age = (int64_t)(now - e->away_since_ms);
  e->counts.spool_age_ms = age > 0 ? (uint64_t)age : 0;
  pthread_mutex_unlock(&e->mutex);
  if (bytes >= e->opts.spool_bytes) {
    if (!e->is_full || now - e->full_at >= 1000) tell_full(e, bytes, now);
  } else if (e->is_full && bytes < e->opts.spool_bytes / 100 * ROOM_PERCENT) {
    e->is_full = false;
    obs_log_info("fleet", "the spool has room again");
    e->opts.full(e->opts.arg, NULL);
  }
}

static void save(obs_edge *e, uint64_t now) {
  if (!e->changed || now < e->save_at) return;
  e->save_at = now + SAVE_MS;
  e->changed = false;
  e->state.low = e->low;
  e->state.stream_id = obs_positions_stream_id(e->positions);
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++) e->state.known[i] = e->parts[i].known;
  obs_edge_state_save(&e->state, e->opts.dir);
}

/* ---- the fleet's picture ---- */

/* What it says of itself, now and then, and at its end. */
static void beat(obs_edge *e, uint64_t now, bool stopped) {
  obs_edge_counts counts;
  if (e->nats == NULL || !e->synced || !obs_nats_is_connected(e->nats) || (now < e->beat_at && !stopped)) return;
  e->beat_at = now + OBS_ROSTER_BEAT_MS;
  obs_edge_get_counts(e, &counts);
  obs_roster_edge own = {.id = e->state.edge,
                         .started_ms = e->started_ms,
                         .seq = obs_journal_next_seq(e->opts.journal) - 1,
                         .forwarded_seq = e->low,
                         .spool_ops = counts.spool_ops,
                         .spool_bytes = counts.spool_bytes,
                         .spool_max = e->opts.spool_bytes,
                         .spool_age_ms = counts.spool_age_ms,
                         .linger_ms = e->opts.linger_ms,
                         .stopped = stopped};
  pthread_mutex_lock(&e->mutex);
  own.outages = e->outages;
  own.outage_ms = e->outage_ms;
  pthread_mutex_unlock(&e->mutex);
  obs_roster_own_name(own.name);
  (void)snprintf(own.version, sizeof own.version, "%s", OBSERVER_VERSION);
  obs_roster_beat(e->nats, &own);
}

/* ---- the thread ---- */

/* Refused credentials end a connection for good: another one is opened, with the files as they are now. */
static observer_err connect_nats(obs_edge *e, char *why) {
  obs_nats_opts opts = e->opts.nats;
  opts.changed = on_changed;
  opts.arg = e;
  char subject[OBS_AGAIN_SUBJECT_MAX];
  obs_again_subject(e->state.edge, subject);
  observer_err err = obs_nats_open(&opts, &e->nats, why);
  if (err == OBSERVER_E_OK) err = obs_nats_listen(e->nats, subject, on_again, e, &e->listener, why);
  return err;
}

static void disconnect_nats(obs_edge *e) {
  obs_nats_listener_close(e->listener);
  obs_nats_close(e->nats);
  e->listener = NULL;
  e->nats = NULL;
}

static void look_at_connection(obs_edge *e, uint64_t now) {
  char why[OBS_NATS_WHY_MAX] = "";
  if ((e->nats != NULL && !obs_nats_is_closed(e->nats)) || now < e->reopen_at) return;
  e->reopen_at = now + REOPEN_MS;
  disconnect_nats(e);
  if (connect_nats(e, why) == OBSERVER_E_OK) return;
  obs_log_error("fleet", "%s", why);
  disconnect_nats(e);
}

static uint64_t wait_ms(const obs_edge *e, uint64_t now) {
  uint64_t ms = e->more && !e->blocked && e->synced ? GATHER_MS : IDLE_MS;
  for (uint32_t i = 0; e->synced && i < OBS_FLEET_PARTITIONS; i++) {
    const obs_edge_part *p = &e->parts[i];
    uint64_t at = UINT64_MAX;
    if (p->rows == 0 && obs_fleet_batch_rows(&p->ahead[p->next_ahead]) > 0)
      at = p->since_ms[p->next_ahead] + gathers_ms(e);
    if (p->rows > 0 && p->retry_at > now) at = p->retry_at;
    if (at != UINT64_MAX && at <= now) return 1;
    if (at != UINT64_MAX && at - now < ms) ms = at - now;
  }
  if (!e->synced && e->sync_at > now && e->sync_at - now < ms) ms = e->sync_at - now;
  return ms;
}

/* Until something was answered or recorded, or is due. Rows that are recorded meanwhile gather for a moment. */
static void wait_for_work(obs_edge *e, uint64_t now) {
  uint64_t ms = wait_ms(e, now);
  pthread_mutex_lock(&e->mutex);
  if (!e->event && !e->stopping) {
    if (atomic_load(&e->fresh)) {
      if (e->gather_ms > 0) obs_thread_cond_wait_ms(&e->cond, &e->mutex, e->gather_ms < ms ? e->gather_ms : ms);
    } else {
      atomic_store(&e->sleeping, true);
      if (!atomic_load(&e->fresh)) obs_thread_cond_wait_ms(&e->cond, &e->mutex, ms);
      atomic_store(&e->sleeping, false);
    }
  }
  e->event = false;
  pthread_mutex_unlock(&e->mutex);
}

/* At the end: everything was acknowledged, or it takes too long. */
static bool is_finished(obs_edge *e, uint64_t now) {
  pthread_mutex_lock(&e->mutex);
  bool stopping = e->stopping, late = stopping && now >= e->stop_at;
  bool idle = e->flying == 0;
  pthread_mutex_unlock(&e->mutex);
  if (!stopping) return false;
  bool done = e->synced && e->low + 1 >= obs_journal_next_seq(e->opts.journal);
  return late || (idle && (done || e->nats == NULL || !obs_nats_is_connected(e->nats)));
}

static void *forward(void *arg) {
  obs_edge *e = arg;
  uint64_t now = obs_clock_mono_ms();
  while (!is_finished(e, now)) {
    atomic_store(&e->fresh, false); /* before the look: what comes behind it is seen the next time */
    look_at_connection(e, now);
    if (e->nats != NULL) {
      take_results(e, now);
      look_at_stream(e, now);
      tell_progress(e);
      pthread_mutex_lock(&e->mutex);
      bool stopping = e->stopping;
      pthread_mutex_unlock(&e->mutex);
      read_rows(e);
      now = obs_clock_mono_ms(); /* not before rows that were read just now: they gather from then on */
      send_due(e, now, stopping ? 0 : gathers_ms(e));
    }
    look_at_spool(e, now);
    save(e, now);
    beat(e, now, false);
    wait_for_work(e, now);
    now = obs_clock_mono_ms();
  }
  e->save_at = 0;
  e->low = find_low(e);
  save(e, now);
  beat(e, now, true);
  return NULL;
}

/* ---- opening and closing ---- */

observer_err obs_edge_open(const obs_edge_opts *opts, obs_edge **out, char *error, size_t size) {
  char why[OBS_NATS_WHY_MAX] = "";
  observer_err err = OBSERVER_E_NOMEM;
  obs_edge *e = calloc(1, sizeof(*e));
  *out = NULL;
  if (e == NULL) return err;
  e->opts = *opts;
  e->gather_ms = opts->acks != NULL ? 0 : GATHER_MS;
  e->away_since_ms = obs_clock_mono_ms();
  e->started_ms = obs_clock_wall_ms();
  if (pthread_mutex_init(&e->mutex, NULL) != 0) {
    free(e);
    return err;
  }
  if (obs_thread_cond_init(&e->cond) != OBSERVER_E_OK) {
    pthread_mutex_destroy(&e->mutex);
    free(e);
    return err;
  }
  e->row = calloc(1, sizeof(*e->row));
  if (e->row == NULL || (err = obs_batch_init(e->row)) != OBSERVER_E_OK) {
    free(e->row);
    e->row = NULL;
    goto fail;
  }
  err = obs_edge_state_load(&e->state, opts->dir, obs_journal_next_seq(opts->journal), error, size);
  if (err != OBSERVER_E_OK) goto fail;
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++) {
    e->parts[i].edge = e;
    e->parts[i].known = e->state.known[i];
    e->parts[i].largest = e->state.known[i].seq;
    drop_batches(&e->parts[i], e->state.known[i].seq);
  }
  err = obs_positions_open(e->state.edge, e->state.stream_id, e->state.known, &e->positions);
  if (err != OBSERVER_E_OK) goto fail;
  e->low = e->read = e->state.low;
  if ((err = obs_journal_cursor_open(opts->journal, e->low + 1, &e->cursor)) != OBSERVER_E_OK) goto fail;
  look_at_spool(e, obs_clock_mono_ms());
  err = connect_nats(e, why);
  if (err == OBSERVER_E_INVALID || err == OBSERVER_E_NOMEM) {
    (void)snprintf(error, size, "forward: %s", why[0] != '\0' ? why : observer_strerror(err));
    goto fail;
  }
  if (err != OBSERVER_E_OK) { /* a server that cannot be trusted or refuses the edge may be another one tomorrow */
    obs_log_error("fleet", "%s", why);
    disconnect_nats(e);
    e->reopen_at = obs_clock_mono_ms() + REOPEN_MS;
  }
  *out = e;
  return OBSERVER_E_OK;
fail:
  obs_edge_close(e);
  return err;
}

observer_err obs_edge_start(obs_edge *e) {
  observer_err err = obs_thread_start(&e->thread, "obs:forward", forward, e);
  e->started = err == OBSERVER_E_OK;
  return err;
}

void obs_edge_stop(obs_edge *e, uint32_t ms) {
  if (!e->started) return;
  pthread_mutex_lock(&e->mutex);
  e->stopping = true;
  e->stop_at = obs_clock_mono_ms() + ms;
  signal_event(e);
  pthread_mutex_unlock(&e->mutex);
  (void)pthread_join(e->thread, NULL);
  e->started = false;
}

void obs_edge_close(obs_edge *e) {
  if (e == NULL) return;
  disconnect_nats(e); /* from here on nothing calls back */
  obs_journal_cursor_close(e->cursor);
  obs_positions_close(e->positions);
  for (uint32_t i = 0; i < OBS_FLEET_PARTITIONS; i++) {
    for (uint32_t k = 0; k < AHEAD; k++) obs_fleet_batch_fini(&e->parts[i].ahead[k]);
    obs_buf_fini(&e->parts[i].sealed);
  }
  if (e->row != NULL) obs_batch_fini(e->row);
  free(e->row);
  pthread_cond_destroy(&e->cond);
  pthread_mutex_destroy(&e->mutex);
  free(e);
}

void obs_edge_get_counts(obs_edge *e, obs_edge_counts *out) {
  pthread_mutex_lock(&e->mutex);
  *out = e->counts;
  out->connected = e->away_since_ms == 0;
  out->away_ms = e->away_since_ms > 0 ? obs_clock_mono_ms() - e->away_since_ms : 0;
  uint64_t low = e->shown_low;
  pthread_mutex_unlock(&e->mutex);
  /* Of this moment: what was acknowledged to a producer is in it, or in the stream. */
  uint64_t next = obs_journal_next_seq(e->opts.journal);
  out->spool_ops = next > low + 1 ? next - low - 1 : 0;
  out->spool_bytes = obs_journal_bytes_from(e->opts.journal, low + 1);
  out->seq = next - 1;
  out->forwarded_seq = low;
  out->spool_max = e->opts.spool_bytes;
}

uint64_t obs_edge_id(const obs_edge *e) {
  return e->state.edge;
}
