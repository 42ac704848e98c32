/* The thread: takes what waits, by topic, encodes and sends it. */
#include "base/thread.h"
#include "base/clock.h"
#include "feed/internal.h"

#include <nng/supplemental/util/platform.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* FLUSH_MS lets ops come together in one message, as the bus costs by the message. After BURST messages comes a pause,
 * so that they fit into the queues of subscribers that read (SENDBUF), and no flood of small topics can outrun NNG. */
enum { FLUSH_MS = 10, BURST = OBS_FEED_SENDBUF / 2, PAUSE_MS = 5 };
/* A low priority alone does not keep this thread from a core that recording is about to need, nor from the memory bus:
 * after CHUNK_BYTES of rows it rests REST times as long as they took. On a busy machine they take longer; at most
 * REST_MAX_MS, as they may have taken minutes: the process may have been suspended meanwhile. */
enum { CHUNK_BYTES = 1 << 20, REST = 9, REST_MAX_MS = 250, LATE_MS = 500, KEEP_BYTES = 256 << 10 };

static bool past_deadline(obs_feed *f) {
  pthread_mutex_lock(&f->lock);
  bool past = f->stopping && obs_clock_mono_ms() >= f->stop_at;
  pthread_mutex_unlock(&f->lock);
  return past;
}

/* Takes over `m`; NULL stands for one that there was no memory for. */
static bool send_message(obs_feed *f, nng_msg *m) {
  size_t len = m != NULL ? nng_msg_len(m) : 0;
  if (m == NULL || nng_sendmsg(f->socket, m, NNG_FLAG_NONBLOCK) != 0) {
    if (m != NULL) nng_msg_free(m);
    return false;
  }
  atomic_fetch_add_explicit(&f->messages, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&f->bytes, len, memory_order_relaxed);
  if (++f->burst == BURST) {
    f->burst = 0;
    f->paused_ms += PAUSE_MS;
    nng_msleep(PAUSE_MS);
  }
  return true;
}

/* Sends the first `len` bytes of what is encoded, `ops` of them, and keeps the rest. */
static void send_ops(obs_feed *f, const char *topic, size_t len, uint32_t ops) {
  obs_buf *out = &f->encoder.out;
  bool sent = send_message(f, obs_feed_message(topic, out->p, len));
  atomic_fetch_add_explicit(sent ? &f->ops : &f->dropped, ops, memory_order_relaxed);
  memmove(out->p, out->p + len, out->len - len);
  out->len -= len;
}

/* Encodes a row behind what is there. False: it cannot be sent. */
static bool add_row(obs_feed *f, const obs_feed_row *row) {
  obs_buf *out = &f->encoder.out;
  size_t before = out->len;
  if (obs_feed_encode(&f->encoder, row) && out->len - before <= OBS_FEED_LARGEST) return true;
  out->len = before;
  out->oom = false;
  atomic_fetch_add_explicit(&f->dropped, 1, memory_order_relaxed);
  return false;
}

static void send_chain(obs_feed *f, uint32_t id) {
  obs_buf *out = &f->encoder.out;
  const char *topic = f->source_topics[id].name;
  uint32_t ops = 0;
  for (const obs_feed_row *row = f->chains[id].first; row != NULL; row = row->next) {
    size_t before = out->len;
    if (!add_row(f, row)) continue;
    if (out->len > OBS_FEED_MESSAGE_BYTES && ops > 0) {
      send_ops(f, topic, before, ops);
      ops = 0;
    }
    ops++;
  }
  if (ops > 0) send_ops(f, topic, out->len, ops);
  obs_buf_reset(out, KEEP_BYTES);
  f->chains[id] = (obs_feed_chain){0};
}

/* Chains the next rows up to `end` by topic. Returns where it stopped. */
static uint64_t gather(obs_feed *f, uint64_t end) {
  uint64_t first = obs_feed_queue_first(&f->rows), at = first;
  f->ntouched = 0;
  while (at != end && at - first < CHUNK_BYTES) {
    obs_feed_row *row = obs_feed_queue_take(&f->rows, &at);
    obs_feed_chain *c = &f->chains[row->topic];
    row->next = NULL;
    if (c->first == NULL) {
      f->touched[f->ntouched++] = row->topic;
      c->first = row;
    } else {
      c->last->next = row;
    }
    c->last = row;
  }
  return at;
}

/* A stop ends it. */
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

static void drop_rows(obs_feed *f, uint64_t end) {
  uint64_t at = obs_feed_queue_first(&f->rows), rows = 0;
  for (; at != end; rows++) (void)obs_feed_queue_take(&f->rows, &at);
  obs_feed_queue_release(&f->rows, end);
  atomic_fetch_add_explicit(&f->dropped, rows, memory_order_relaxed);
}

/* Sends the rows before `end`; when nobody is there or time is up it only makes room. While there is no room for new
 * ones, those that wait too long go instead, so that a heartbeat behind them is not late by as much as the queue holds.
 */
static void send_rows(obs_feed *f, uint64_t end) {
  uint64_t late = obs_clock_mono_ms() + LATE_MS, dropped = atomic_load(&f->dropped);
  if (atomic_load(&f->subscribers) == 0) obs_feed_queue_release(&f->rows, end);
  while (obs_feed_queue_first(&f->rows) != end && !past_deadline(f)) {
    if (obs_clock_mono_ms() < late || atomic_load(&f->dropped) == dropped)
      send_chunk(f, end);
    else
      drop_rows(f, end);
  }
}

/* Publications go behind the rows that came before them. */
static void flush(obs_feed *f) {
  nng_msg *messages[OBS_FEED_OUTBOX];
  pthread_mutex_lock(&f->lock);
  uint32_t n = f->noutbox;
  memcpy(messages, f->outbox, n * sizeof(*messages));
  f->noutbox = 0;
  f->outbox_bytes = 0;
  pthread_mutex_unlock(&f->lock);
  send_rows(f, obs_feed_queue_end(&f->rows));
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

void *obs_feed_run(void *feed) {
  obs_feed *f = feed;
  /* Of this thread alone, on Linux. Where it is not allowed, it runs as the others do. */
  (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
  for (bool stopping = false; !stopping;) {
    stopping = wait_for_work(f);
    flush(f);
  }
  return NULL;
}
