#include "base/clock.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "feed/internal.h"

#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <stdlib.h>

/* GREET_EVERY_MS: subscribers that come and go do not flood the others. */
enum { BUFFER_BYTES = 8 << 20, GREET_EVERY_MS = 50, BEAT_MS = 1000, NICE = 10 };
enum { NAME_BYTES = (OBS_FEED_SOURCES + 1) * OBS_FEED_TOPIC_MAX, PAIRS_MAX = UINT16_MAX - 2 };

/* FLUSH_MS lets ops come together in one message, as each message costs. After a burst comes a pause, so that no flood
 * of small topics outruns subscribers that read: their messages fit into the ring, or into NNG's queues. */
enum { FLUSH_MS = 10, BURST = OBS_FANOUT_MESSAGES / 2, NNG_BURST = OBS_FEED_SENDBUF / 2, PAUSE_MS = 5 };
/* A low priority alone does not keep this thread from a core that recording is about to need, nor from the memory bus:
 * after CHUNK_BYTES of rows it rests REST times as long as they took. On a busy machine they take longer; at most
 * REST_MAX_MS, as they may have taken minutes: the process may have been suspended meanwhile. */
enum { CHUNK_BYTES = 1 << 20, REST = 9, REST_MAX_MS = 250, LATE_MS = 500, KEEP_BYTES = 256 << 10 };

static const char op_prefix[] = "op.";
enum { OP_PREFIX = sizeof op_prefix - 1, SOURCE_MAX = OBS_FEED_TOPIC_MAX - OP_PREFIX };

/* Keeps `seq` from falling behind `last`. */
static void raise_seq(obs_feed *f, uint64_t last) {
  uint64_t now = atomic_load_explicit(&f->seq, memory_order_relaxed);
  while (now < last && !atomic_compare_exchange_weak(&f->seq, &now, last)) continue;
}

/* ---- the commit thread's side: copies what was recorded, never waits ---- */

/* The id of a source's topic. What of its name fits into a topic: up to a NUL, whole characters. */
static uint32_t topic_of(obs_feed *f, obs_str source) {
  obs_str name = obs_utf8_cut_str(source, SOURCE_MAX);
  const char *nul = name.len > 0 ? memchr(name.p, 0, name.len) : NULL;
  if (nul != NULL) name.len = (uint32_t)(nul - name.p);
  uint32_t id = obs_names_intern(&f->sources, name);
  obs_feed_topic *t = &f->row_topics[id];
  if (t->name[0] != '\0') return id;
  if (id == OBS_NAME_OTHER) name = OBS_STR(OBS_NAMES_OTHER);
  memcpy(t->name, op_prefix, OP_PREFIX);
  if (name.len > 0) memcpy(t->name + OP_PREFIX, name.p, name.len);
  t->name[OP_PREFIX + name.len] = '\0';
  return id;
}

void obs_feed_recorded(void *feed, const obs_batch *b, uint64_t first_seq) {
  obs_feed *f = feed;
  if (!atomic_load_explicit(&f->active, memory_order_relaxed)) return;
  bool wanted = atomic_load_explicit(&f->subscribers, memory_order_relaxed) > 0;
  uint64_t seq = first_seq, dropped = 0;
  obs_str source = {0};
  uint32_t id = OBS_NAME_OTHER;
  if (first_seq != f->next_seq) { /* ops were recorded that were not counted here: every topic may have missed some */
    for (uint32_t i = 0; i < OBS_FEED_FIRST_EVENT; i++) f->row_topics[i].seq += f->row_topics[i].seq > 0;
  }
  for (uint32_t i = 0; i < b->nops; i++) {
    const obs_batch_line *line = &b->lines[i];
    if (line->duplicate) continue;
    if (seq == first_seq || !obs_str_eq(source, b->ops[i].source)) {
      source = b->ops[i].source;
      id = topic_of(f, source);
    }
    obs_feed_row head = {.topic = id, .len = line->len, .seq = seq, .topic_seq = ++f->row_topics[id].seq};
    seq++;
    if (wanted && !obs_feed_queue_put(&f->rows, &head, b->json.p + line->off)) dropped++;
  }
  f->next_seq = seq;
  if (dropped > 0) atomic_fetch_add_explicit(&f->dropped, dropped, memory_order_relaxed);
  obs_feed_queue_show(&f->rows);
  raise_seq(f, seq - 1);
}

observer_err obs_feed_event(obs_feed *f, const char *name, obs_str row) {
  uint32_t id = OBS_FEED_FIRST_EVENT;
  while (id < OBS_FEED_FIRST_EVENT + f->nevents && strcmp(f->row_topics[id].name, name) != 0) id++;
  if (id == OBS_FEED_ROW_TOPICS || strlen(name) > OBS_FEED_TOPIC_MAX) return OBSERVER_E_INVALID;
  obs_feed_topic *t = &f->row_topics[id];
  if (id == OBS_FEED_FIRST_EVENT + f->nevents) {
    memcpy(t->name, name, strlen(name) + 1);
    f->nevents++;
  }
  obs_feed_row head = {
      .topic = id, .len = row.len, .seq = atomic_load_explicit(&f->seq, memory_order_relaxed), .topic_seq = ++t->seq};
  if (atomic_load_explicit(&f->subscribers, memory_order_relaxed) == 0) return OBSERVER_E_OK;
  if (!obs_feed_queue_put(&f->rows, &head, row.p)) {
    atomic_fetch_add_explicit(&f->dropped, 1, memory_order_relaxed);
    return OBSERVER_E_FULL;
  }
  obs_feed_queue_show(&f->rows);
  return OBSERVER_E_OK;
}

/* ---- publications of other threads ---- */

/* `topic NUL payload`. NULL: no memory. */
static obs_stream_chunk *feed_message(const char *name, const void *payload, size_t len) {
  size_t head = strlen(name) + 1;
  obs_stream_chunk *m = obs_sp_chunk(head + len);
  if (m == NULL) return NULL;
  memcpy(m->data + OBS_SP_ROOM, name, head);
  memcpy(m->data + OBS_SP_ROOM + head, payload, len);
  return m;
}

/* Puts a message into the outbox. With the lock. */
static observer_err enqueue(obs_feed *f, const obs_feed_topic *t, const void *pairs, size_t len, uint32_t npairs) {
  if (f->noutbox == OBS_FEED_OUTBOX || f->outbox_bytes + len > OBS_FEED_OUTBOX_BYTES) return OBSERVER_E_FULL;
  msgpack_packer pk;
  obs_buf out = {0};
  obs_feed_packer(&pk, &out);
  obs_feed_pack_head(&pk, &out, atomic_load(&f->seq), t->seq);
  obs_feed_pack_count(&out, 0, npairs + 2);
  obs_buf_append(&out, pairs, len);
  obs_stream_chunk *m = out.oom ? NULL : feed_message(t->name, out.p, out.len);
  obs_buf_fini(&out);
  if (m == NULL) return OBSERVER_E_NOMEM;
  f->outbox[f->noutbox++] = m;
  f->outbox_bytes += m->len;
  pthread_cond_signal(&f->wake);
  return OBSERVER_E_OK;
}

observer_err obs_feed_publish(obs_feed *f, const char *name, const void *pairs, size_t len, uint32_t npairs) {
  uint8_t c = (uint8_t)name[0];
  bool is_payload = c == '\0' || c == '{' || c == '[' || (c & 0xe0) == 0x80 || (c >= 0xdc && c <= 0xdf);
  if (is_payload || strlen(name) > OBS_FEED_TOPIC_MAX || strncmp(name, op_prefix, OP_PREFIX) == 0 ||
      npairs > PAIRS_MAX || len > OBS_FEED_LARGEST)
    return OBSERVER_E_INVALID;
  observer_err err = OBSERVER_E_FULL;
  pthread_mutex_lock(&f->lock);
  uint32_t id = obs_names_intern(&f->names, obs_str_of(name));
  if (id != OBS_NAME_OTHER) {
    obs_feed_topic *t = &f->topics[id];
    if (t->name[0] == '\0') memcpy(t->name, name, strlen(name) + 1);
    t->seq++;
    err = atomic_load(&f->subscribers) == 0 ? OBSERVER_E_OK : enqueue(f, t, pairs, len, npairs);
  }
  pthread_mutex_unlock(&f->lock);
  if (err != OBSERVER_E_OK) atomic_fetch_add(&f->dropped, 1);
  return err;
}

observer_err obs_feed_publish_row(obs_feed *f, const char *name, obs_str row) {
  obs_feed_encoder e;
  uint32_t npairs = 0;
  observer_err err = obs_feed_encoder_init(&e);
  if (err == OBSERVER_E_OK && !obs_feed_encode_members(&e, row, &npairs))
    err = e.out.oom ? OBSERVER_E_NOMEM : OBSERVER_E_INVALID;
  if (err == OBSERVER_E_OK)
    err = obs_feed_publish(f, name, e.out.p, e.out.len, npairs);
  else
    atomic_fetch_add(&f->dropped, 1);
  obs_feed_encoder_fini(&e);
  return err;
}

/* ---- the heartbeat ---- */

typedef struct {
  msgpack_packer pk;
  obs_buf pairs; /* of by_source */
  uint32_t named;
  uint64_t other, total, failures;
} tally;

/* Names of a topic's length only, so that a heartbeat stays small whatever sources are called. */
static void add_source(void *arg, obs_str name, uint64_t ops, uint64_t failures) {
  tally *t = arg;
  t->total += ops;
  t->failures += failures;
  if (name.len > OBS_FEED_TOPIC_MAX || obs_str_eq(name, OBS_STR(OBS_NAMES_OTHER))) {
    t->other += ops;
    return;
  }
  t->named++;
  obs_feed_pack_u64(&t->pk, name, ops);
}

/* Publishes `stats` now. */
static void publish_stats(obs_feed *f) {
  uint32_t more = 0;
  tally t = {0};
  obs_buf out = {0};
  msgpack_packer pk;
  obs_feed_packer(&t.pk, &t.pairs);
  obs_feed_packer(&pk, &out);
  obs_state_sources(f->state, add_source, &t);
  if (t.other > 0) obs_feed_pack_u64(&t.pk, OBS_STR(OBS_NAMES_OTHER), t.other);
  obs_feed_pack_u64(&pk, OBS_STR("boot"), (uint64_t)f->boot_ms);
  obs_feed_pack_u64(&pk, OBS_STR("time"), (uint64_t)obs_clock_wall_ms());
  obs_feed_pack_u64(&pk, OBS_STR("total"), t.total);
  obs_feed_pack_u64(&pk, OBS_STR("successes"), t.total - t.failures);
  obs_feed_pack_u64(&pk, OBS_STR("failures"), t.failures);
  obs_feed_pack_str(&pk, OBS_STR("by_source"));
  msgpack_pack_map(&pk, t.named + (t.other > 0));
  obs_buf_append(&out, t.pairs.p, t.pairs.len);
  if (f->stats != NULL) more = f->stats(f->stats_arg, f, &out);
  /* obs_feed_publish counts what is lost. */
  if (!out.oom && !t.pairs.oom) (void)obs_feed_publish(f, "stats", out.p, out.len, 6 + more);
  obs_buf_fini(&t.pairs);
  obs_buf_fini(&out);
}

/* NNG's timer: one `stats`, and the next one a second later. Whose key is gone does not get it. */
static void on_beat(void *feed) {
  obs_feed *f = feed;
  if (nng_aio_result(f->beat) != 0) return; /* stopped */
  /* OBS_FEED_LINGER_S after the last subscriber left, the commit thread need not count any more. */
  pthread_mutex_lock(&f->lock);
  f->idle_s = atomic_load(&f->subscribers) == 0 ? f->idle_s + 1 : 0;
  if (f->idle_s >= OBS_FEED_LINGER_S) atomic_store(&f->active, false);
  pthread_mutex_unlock(&f->lock);
  obs_feed_sockets_review(&f->sockets);
  publish_stats(f);
  uint64_t now = obs_clock_mono_ms();
  f->next_beat += BEAT_MS;
  if (f->next_beat <= now) f->next_beat = now + BEAT_MS; /* the machine slept */
  nng_sleep_aio((nng_duration)(f->next_beat - now), f->beat);
}

/* ---- the thread: takes what waits, by topic, encodes and sends it ---- */

static bool past_deadline(obs_feed *f) {
  pthread_mutex_lock(&f->lock);
  bool past = f->stopping && obs_clock_mono_ms() >= f->stop_at;
  pthread_mutex_unlock(&f->lock);
  return past;
}

/* Takes over `m`; NULL stands for one that there was no memory for. */
static bool send_message(obs_feed *f, obs_stream_chunk *m) {
  if (m == NULL) return false;
  bool sent = obs_feed_sockets_send(&f->sockets, m);
  if (sent) {
    atomic_fetch_add_explicit(&f->messages, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&f->bytes, m->len - OBS_SP_ROOM, memory_order_relaxed);
  }
  obs_stream_chunk_unref(m);
  if (sent && ++f->burst >= (f->sockets.nng_open ? NNG_BURST : BURST)) {
    f->burst = 0;
    f->paused_ms += PAUSE_MS;
    nng_msleep(PAUSE_MS);
  }
  return sent;
}

/* Sends the first `len` bytes of what is encoded, `rows` of them, and keeps the rest. */
static void send_rows(obs_feed *f, const char *name, size_t len, uint32_t rows) {
  obs_buf *out = &f->encoder.out;
  bool sent = send_message(f, feed_message(name, out->p, len));
  /* Events are counted among the messages alone. */
  if (!sent || strncmp(name, op_prefix, OP_PREFIX) == 0)
    atomic_fetch_add_explicit(sent ? &f->ops : &f->dropped, rows, memory_order_relaxed);
  memmove(out->p, out->p + len, out->len - len);
  out->len -= len;
}

static void send_chain(obs_feed *f, uint32_t id) {
  obs_buf *out = &f->encoder.out;
  const char *name = f->row_topics[id].name;
  uint32_t ops = 0;
  for (const obs_feed_row *row = f->chains[id].first; row != NULL; row = row->next) {
    size_t before = out->len;
    if (!obs_feed_encode(&f->encoder, row) || out->len - before > OBS_FEED_LARGEST) {
      out->len = before;
      out->oom = false;
      atomic_fetch_add_explicit(&f->dropped, 1, memory_order_relaxed);
      continue;
    }
    if (out->len > OBS_FEED_MESSAGE_BYTES && ops > 0) {
      send_rows(f, name, before, ops);
      ops = 0;
    }
    ops++;
  }
  if (ops > 0) send_rows(f, name, out->len, ops);
  obs_buf_reset(out, KEEP_BYTES);
  f->chains[id] = (obs_feed_chain){0};
}

/* Chains the next rows up to `end` by topic, or takes one event, so that what was recorded before an event is sent
 * before it. Returns where it stopped. */
static uint64_t gather(obs_feed *f, uint64_t end) {
  uint64_t first = obs_feed_queue_first(&f->rows), at = first;
  f->ntouched = 0;
  while (at != end && at - first < CHUNK_BYTES) {
    uint64_t next = at;
    obs_feed_row *row = obs_feed_queue_take(&f->rows, &next);
    bool event = row->topic >= OBS_FEED_FIRST_EVENT;
    if (event && f->ntouched > 0) break;
    at = next;
    obs_feed_chain *c = &f->chains[row->topic];
    row->next = NULL;
    if (c->first == NULL) {
      f->touched[f->ntouched++] = row->topic;
      c->first = row;
    } else {
      c->last->next = row;
    }
    c->last = row;
    if (event) break;
  }
  return at;
}

/* Rests; a stop ends it. */
static void rest(obs_feed *f, int64_t ms) {
  if (ms <= 0) return;
  uint64_t until = obs_clock_mono_ms() + (uint64_t)(ms < REST_MAX_MS ? ms : REST_MAX_MS);
  pthread_mutex_lock(&f->lock);
  for (uint64_t now; !f->stopping && (now = obs_clock_mono_ms()) < until;) {
    obs_thread_cond_wait_ms(&f->wake, &f->lock, until - now);
  }
  pthread_mutex_unlock(&f->lock);
}

static void send_chunk(obs_feed *f, uint64_t end) {
  uint64_t start = obs_clock_mono_ns();
  uint64_t at = gather(f, end);
  f->paused_ms = 0;
  for (uint32_t i = 0; i < f->ntouched; i++) send_chain(f, f->touched[i]);
  obs_feed_queue_release(&f->rows, at);
  rest(f, (int64_t)((obs_clock_mono_ns() - start) * REST / 1000000) - (int64_t)(f->paused_ms * REST));
}

/* Sends the rows before `end`; when nobody is there or time is up it only makes room. While there is no room for new
 * ones, those that wait too long go instead, so that a heartbeat behind them is not late by as much as the queue holds.
 */
static void drain(obs_feed *f, uint64_t end) {
  uint64_t late = obs_clock_mono_ms() + LATE_MS, dropped = atomic_load(&f->dropped);
  if (atomic_load(&f->subscribers) == 0) obs_feed_queue_release(&f->rows, end);
  while (obs_feed_queue_first(&f->rows) != end && !past_deadline(f)) {
    if (obs_clock_mono_ms() < late || atomic_load(&f->dropped) == dropped) {
      send_chunk(f, end);
      continue;
    }
    uint64_t at = obs_feed_queue_first(&f->rows), rows = 0;
    for (; at != end; rows++) (void)obs_feed_queue_take(&f->rows, &at);
    obs_feed_queue_release(&f->rows, end);
    atomic_fetch_add_explicit(&f->dropped, rows, memory_order_relaxed);
  }
}

/* Publications go behind the rows that came before them. */
static void flush(obs_feed *f) {
  obs_stream_chunk *messages[OBS_FEED_OUTBOX];
  pthread_mutex_lock(&f->lock);
  uint32_t n = f->noutbox;
  memcpy(messages, f->outbox, n * sizeof(*messages));
  f->noutbox = 0;
  f->outbox_bytes = 0;
  pthread_mutex_unlock(&f->lock);
  drain(f, obs_feed_queue_end(&f->rows));
  for (uint32_t i = 0; i < n; i++) {
    if (!send_message(f, messages[i])) atomic_fetch_add(&f->dropped, 1);
  }
}

/* True when the feed stops. */
static bool wait_for_work(obs_feed *f) {
  pthread_mutex_lock(&f->lock);
  if (!f->stopping) {
    if (atomic_load(&f->subscribers) > 0)
      obs_thread_cond_wait_ms(&f->wake, &f->lock, FLUSH_MS);
    else
      pthread_cond_wait(&f->wake, &f->lock);
  }
  bool stopping = f->stopping;
  pthread_mutex_unlock(&f->lock);
  return stopping;
}

static void *run(void *feed) {
  obs_feed *f = feed;
  obs_thread_step_back(NICE);
  for (bool stopping = false; !stopping;) {
    stopping = wait_for_work(f);
    flush(f);
  }
  return NULL;
}

/* ---- who is connected (NNG's threads) ---- */

bool obs_feed_admit(obs_feed *f) {
  obs_state_counts counts;
  obs_state_get_counts(f->state, &counts);
  pthread_mutex_lock(&f->lock);
  if (!atomic_load(&f->active)) raise_seq(f, counts.last_seq);
  atomic_store(&f->active, true); /* before it counts: a subscriber that is counted misses nothing */
  bool room = atomic_fetch_add(&f->subscribers, 1) < OBS_FEED_SUBSCRIBERS;
  pthread_cond_signal(&f->wake);
  pthread_mutex_unlock(&f->lock);
  return room;
}

void obs_feed_greet(obs_feed *f) {
  uint64_t now = obs_clock_mono_ms();
  pthread_mutex_lock(&f->lock);
  bool greet = now - f->greeted_at >= GREET_EVERY_MS && !f->stopping;
  if (greet) f->greeted_at = now;
  pthread_mutex_unlock(&f->lock);
  if (greet) publish_stats(f);
}

void obs_feed_dismiss(obs_feed *f) {
  atomic_fetch_sub(&f->subscribers, 1);
}

/* ---- life ---- */

static observer_err make_parts(obs_feed *f, const obs_feed_opts *o) {
  f->row_topics = calloc(OBS_FEED_ROW_TOPICS, sizeof(*f->row_topics));
  f->chains = calloc(OBS_FEED_ROW_TOPICS, sizeof(*f->chains));
  f->touched = calloc(OBS_FEED_ROW_TOPICS, sizeof(*f->touched));
  f->topics = calloc(OBS_FEED_TOPICS + 1, sizeof(*f->topics));
  if (f->row_topics == NULL || f->chains == NULL || f->touched == NULL || f->topics == NULL) return OBSERVER_E_NOMEM;
  observer_err err = obs_names_init(&f->sources, OBS_FEED_SOURCES, NAME_BYTES);
  if (err == OBSERVER_E_OK) err = obs_names_init(&f->names, OBS_FEED_TOPICS, NAME_BYTES);
  if (err == OBSERVER_E_OK) (void)obs_names_intern(&f->names, OBS_STR("stats")); /* its place is sure, whatever comes */
  if (err == OBSERVER_E_OK) err = obs_feed_encoder_init(&f->encoder);
  if (err == OBSERVER_E_OK) err = obs_feed_queue_init(&f->rows, o->buffer_bytes > 0 ? o->buffer_bytes : BUFFER_BYTES);
  if (err == OBSERVER_E_OK) err = obs_url_error(nng_aio_alloc(&f->beat, on_beat, f));
  return err;
}

observer_err obs_feed_open(const obs_feed_opts *opts, obs_feed **out, char *error_text, size_t error_size) {
  obs_feed *f = calloc(1, sizeof(*f));
  if (f == NULL || obs_thread_cond_init(&f->wake) != OBSERVER_E_OK) {
    free(f);
    (void)snprintf(error_text, error_size, "feed: %s", observer_strerror(OBSERVER_E_NOMEM));
    return OBSERVER_E_NOMEM;
  }
  pthread_mutex_init(&f->lock, NULL); /* the default kind does not fail */
  f->state = opts->state;
  f->stats = opts->stats;
  f->stats_arg = opts->stats_arg;
  f->refuses = opts->refuses;
  f->refuses_arg = opts->refuses_arg;
  f->boot_ms = obs_clock_wall_ms();
  observer_err err = make_parts(f, opts);
  if (err != OBSERVER_E_OK) (void)snprintf(error_text, error_size, "feed: %s", observer_strerror(err));
  if (err == OBSERVER_E_OK && opts->nurls > 0) err = obs_feed_sockets_open(f, opts, error_text, error_size);
  if (err != OBSERVER_E_OK) {
    obs_feed_close(f);
    return err;
  }
  *out = f;
  return OBSERVER_E_OK;
}

observer_err obs_feed_start(obs_feed *f) {
  if (f->sockets.nurls == 0) return OBSERVER_E_OK;
  observer_err err = obs_thread_start(&f->thread, "obs:feed", run, f);
  if (err != OBSERVER_E_OK) return err;
  f->started = true;
  f->next_beat = obs_clock_mono_ms();
  nng_sleep_aio(0, f->beat);
  if (f->sockets.sp != NULL) obs_stream_server_start(obs_sp_streams(f->sockets.sp));
  return OBSERVER_E_OK;
}

void obs_feed_urls(const obs_feed *f, void (*fn)(void *arg, const char *kind, const char *url), void *arg) {
  for (size_t i = 0; i < f->sockets.nurls; i++) fn(arg, "feed", f->sockets.urls[i]);
}

void obs_feed_get_counts(const obs_feed *f, obs_feed_counts *out) {
  uint32_t connected = atomic_load(&f->subscribers);
  *out = (obs_feed_counts){
      .ops = atomic_load(&f->ops),
      .messages = atomic_load(&f->messages),
      .bytes = atomic_load(&f->bytes),
      .dropped = atomic_load(&f->dropped),
      .lost = f->sockets.fanout != NULL ? obs_fanout_lost(f->sockets.fanout) : 0,
      .subscribers = connected < OBS_FEED_SUBSCRIBERS ? connected : OBS_FEED_SUBSCRIBERS,
  };
}

void obs_feed_probe(obs_feed *f) {
  if (f->sockets.sp != NULL) obs_stream_server_probe(obs_sp_streams(f->sockets.sp));
}

const char *obs_feed_silent(obs_feed *f) {
  return f->sockets.sp != NULL ? obs_stream_server_silent(obs_sp_streams(f->sockets.sp)) : NULL;
}

void obs_feed_get_connections(obs_feed *f, obs_stream_counts *out) {
  obs_sp_counts counts = {0};
  if (f->sockets.sp != NULL) obs_sp_get_counts(f->sockets.sp, &counts);
  *out = counts.streams;
}

void obs_feed_stop(obs_feed *f, uint32_t deadline_ms) {
  if (!f->started) return;
  nng_aio_stop(f->beat);
  if (f->sockets.sp != NULL) obs_stream_server_stop_accept(obs_sp_streams(f->sockets.sp));
  publish_stats(f);
  pthread_mutex_lock(&f->lock);
  f->stop_at = obs_clock_mono_ms() + deadline_ms;
  f->stopping = true;
  pthread_cond_signal(&f->wake);
  pthread_mutex_unlock(&f->lock);
  pthread_join(f->thread, NULL);
  f->started = false;
  uint64_t now = obs_clock_mono_ms();
  if (now < f->stop_at) obs_feed_sockets_drain(&f->sockets, (uint32_t)(f->stop_at - now));
}

void obs_feed_close(obs_feed *f) {
  if (f == NULL) return;
  obs_feed_stop(f, 0);
  if (f->beat != NULL) nng_aio_free(f->beat);       /* waits for its callback, which nng_aio_stop may not (nng#2208) */
  if (!obs_feed_sockets_close(&f->sockets)) return; /* left behind, so that a stop ends */
  for (uint32_t i = 0; i < f->noutbox; i++) obs_stream_chunk_unref(f->outbox[i]);
  obs_feed_encoder_fini(&f->encoder);
  obs_feed_queue_fini(&f->rows);
  obs_names_fini(&f->sources);
  obs_names_fini(&f->names);
  free(f->row_topics);
  free(f->chains);
  free(f->touched);
  free(f->topics);
  pthread_cond_destroy(&f->wake);
  pthread_mutex_destroy(&f->lock);
  free(f);
}
