#include "stream/stream.h"

#include "base/clock.h"
#include "base/log.h"
#include "stream/internal.h"

#include <stdlib.h>

/* IOV: what NNG takes at once. SWAP: from so many bytes on, buffers change places instead of being copied. */
enum { IOV = 8, SWAP = 16 << 10, LINGER_MS = 1000 };

/* ---- chunks ---- */

obs_stream_chunk *obs_stream_chunk_new(size_t len) {
  obs_stream_chunk *c = malloc(sizeof *c + len);
  if (c == NULL) return NULL;
  atomic_init(&c->refs, 1);
  c->len = len;
  c->data = (uint8_t *)(c + 1);
  return c;
}

obs_stream_chunk *obs_stream_chunk_of(obs_buf *buf) {
  obs_stream_chunk *c = malloc(sizeof *c);
  if (c == NULL || buf->oom) {
    free(c);
    obs_buf_fini(buf);
    return NULL;
  }
  atomic_init(&c->refs, 1);
  c->len = buf->len;
  c->data = (uint8_t *)buf->p;
  *buf = (obs_buf){0};
  return c;
}

void obs_stream_chunk_ref(obs_stream_chunk *c) {
  atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void obs_stream_chunk_unref(obs_stream_chunk *c) {
  if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) return;
  if (c->data != (uint8_t *)(c + 1)) free(c->data);
  free(c);
}

/* ---- lifetime ---- */

void obs_stream_hold(obs_stream *s) {
  atomic_fetch_add(&s->holds, 1);
  atomic_fetch_add(&s->refs, 1);
}

/* Of one that was found in the list: false when it is on its way out. */
bool obs_stream_hold_found(obs_stream *s) {
  uint32_t refs = atomic_load(&s->refs);
  while (refs > 0) {
    if (atomic_compare_exchange_weak(&s->refs, &refs, refs + 1)) return true;
  }
  return false;
}

static void charge(obs_stream *s, size_t now) {
  size_t before = atomic_exchange(&s->charged, now);
  atomic_fetch_add(&s->server->bytes, now - before); /* unsigned: wraps to a subtraction */
}

/* What a buffer of `cap` bytes counts. */
static size_t weight(size_t cap) {
  return cap > OBS_STREAM_READ_MIN ? cap - OBS_STREAM_READ_MIN : 0;
}

/* Gives back what the buffer no longer takes. One that is being closed has given back all already. */
static void recharge(obs_stream *s) {
  size_t now = weight(s->cap), before = atomic_load(&s->charged);
  while (now < before) {
    if (!atomic_compare_exchange_weak(&s->charged, &before, now)) continue;
    atomic_fetch_sub(&s->server->bytes, before - now);
    return;
  }
}

/* Nobody has it any more: it goes back to the spare ones. An aio cannot be freed in its own callback, so it is kept. */
static void finish(obs_stream *s) {
  obs_stream_server *srv = s->server;
  const obs_stream_protocol *p = srv->opts.protocol;
  if (s->is_open && p->closed != NULL) p->closed(s);
  for (uint32_t i = s->first_piece; i < s->pieces.n; i++) obs_stream_chunk_unref(s->pieces.at[i].chunk);
  s->pieces.n = s->first_piece = 0;
  free(s->in);
  s->in = NULL;
  s->off = s->len = s->cap = 0;
  recharge(s);
  nng_stream_free(s->nng);
  s->nng = NULL;
  pthread_mutex_lock(&srv->lock);
  if (s->prev != NULL)
    s->prev->next = s->next;
  else
    srv->live = s->next;
  if (s->next != NULL) s->next->prev = s->prev;
  s->next = srv->spare;
  srv->spare = s;
  srv->nlive--;
  pthread_cond_broadcast(&srv->changed);
  pthread_mutex_unlock(&srv->lock);
}

void obs_stream_unref(obs_stream *s) {
  if (atomic_fetch_sub(&s->refs, 1) == 1) finish(s);
}

void obs_stream_release(obs_stream *s) {
  atomic_fetch_sub(&s->holds, 1);
  obs_stream_unref(s);
}

bool obs_stream_hold_open(obs_stream *s) {
  if (!obs_stream_hold_found(s)) return false;
  atomic_fetch_add(&s->holds, 1);
  return true;
}

void obs_stream_close(obs_stream *s) {
  pthread_mutex_lock(&s->lock);
  bool first = !atomic_exchange(&s->closing, true);
  pthread_mutex_unlock(&s->lock);
  if (!first) return;
  if (!s->refused) atomic_fetch_sub(&s->server->open, 1);
  charge(s, 0);             /* what it holds is as good as given back */
  nng_stream_close(s->nng); /* ends what is under way */
  obs_stream_unref(s);
}

/* ---- reading ---- */

void *obs_stream_own(obs_stream *s) {
  return s->own;
}

void *obs_stream_arg(const obs_stream *s) {
  return s->server->opts.arg;
}

const obs_address *obs_stream_address(const obs_stream *s) {
  return &s->listener->address;
}

uint32_t obs_stream_listener_number(const obs_stream *s) {
  return s->listener->number;
}

const char *obs_stream_peer(const obs_stream *s) {
  return s->peer;
}

const uint8_t *obs_stream_bytes(const obs_stream *s, size_t *len) {
  *len = s->len - s->off;
  return s->in + s->off;
}

void obs_stream_consume(obs_stream *s, size_t n) {
  s->off += n;
  if (s->off == s->len) s->off = s->len = 0;
}

bool obs_stream_take(obs_stream *s, size_t n, obs_buf *out) {
  size_t rest = s->len - s->off - n;
  out->len = 0;
  if (n < SWAP || s->off > 0) {
    if (!obs_buf_reserve(out, n)) return false;
    memcpy(out->p, s->in + s->off, n);
    out->len = n;
    obs_stream_consume(s, n);
    return true;
  }
  if (rest > 0 && !obs_buf_reserve(out, rest)) return false;
  uint8_t *other = (uint8_t *)out->p;
  size_t other_cap = out->cap;
  if (rest > 0) memcpy(other, s->in + n, rest);
  *out = (obs_buf){.p = (char *)s->in, .len = n, .cap = s->cap};
  s->in = other;
  s->cap = other_cap;
  s->len = rest;
  charge(s, weight(s->cap)); /* the other one's size is the protocol's */
  return true;
}

void obs_stream_want(obs_stream *s, size_t total) {
  s->want = total;
  atomic_store(&s->incomplete, total > 0 ? obs_clock_mono_ns() : 0);
}

void obs_stream_pause(obs_stream *s) {
  pthread_mutex_lock(&s->lock);
  s->paused = true;
  pthread_mutex_unlock(&s->lock);
}

void obs_stream_yield(obs_stream *s) {
  s->yields = true;
}

void obs_stream_take_turns(obs_stream *s) {
  s->yields = true;
  pthread_mutex_lock(&s->lock);
  s->kicked = true;
  pthread_mutex_unlock(&s->lock);
}

bool obs_stream_ended(const obs_stream *s) {
  return s->ended;
}

bool obs_stream_expired(obs_stream *s) {
  pthread_mutex_lock(&s->lock);
  bool expired = s->expired;
  s->expired = false;
  pthread_mutex_unlock(&s->lock);
  return expired;
}

static bool resize(obs_stream *s, size_t cap) {
  uint8_t *in = realloc(s->in, cap);
  if (in != NULL) {
    s->in = in;
    s->cap = cap;
  }
  recharge(s);
  return in != NULL;
}

/* Closes the connection whose incomplete message has not grown for the longest: one that comes in is not it. False:
 * that is `s` itself. */
static bool make_way(obs_stream *s) {
  obs_stream_server *srv = s->server;
  obs_stream *oldest = s;
  uint64_t since = atomic_load(&s->incomplete);
  if (since == 0) since = UINT64_MAX;
  pthread_mutex_lock(&srv->lock);
  for (obs_stream *o = srv->live; o != NULL; o = o->next) {
    uint64_t at = atomic_load(&o->incomplete);
    if (at == 0 || at >= since || atomic_load(&o->closing) || !obs_stream_hold_found(o)) continue;
    if (oldest != s) atomic_fetch_sub(&oldest->refs, 1); /* not the last: it is in the list, open */
    oldest = o;
    since = at;
  }
  pthread_mutex_unlock(&srv->lock);
  atomic_fetch_add(&srv->evicted, 1);
  obs_log_warn("stream",
               "%s: incomplete messages hold %zu bytes: closed %s, whose message has not grown for the longest",
               srv->opts.protocol->name, atomic_load(&srv->bytes), oldest->peer);
  if (oldest == s) return false;
  obs_stream_close(oldest);
  obs_stream_unref(oldest);
  return true;
}

/* Charges for a buffer of `cap` bytes, before it is there, so that all threads together keep the bound. */
static bool may_grow(obs_stream *s, size_t cap) {
  obs_stream_server *srv = s->server;
  size_t now = weight(cap), charged = atomic_load(&s->charged);
  size_t bytes = atomic_load(&srv->bytes);
  if (now <= charged) return true;
  do {
    if (bytes + now - charged > srv->opts.max_bytes) return false;
  } while (!atomic_compare_exchange_weak(&srv->bytes, &bytes, bytes + now - charged));
  /* One that is being closed has given back what it held (obs_stream_close): it is charged for what it takes now. */
  size_t before = atomic_exchange(&s->charged, now);
  if (before != charged) atomic_fetch_add(&srv->bytes, charged - before);
  return true;
}

/* Room for the next read: as much as the last one took, or what the message still needs, as far as the bound on all
 * buffers goes. False: nothing can be read. */
static bool make_room(obs_stream *s) {
  size_t have = s->len - s->off, size = s->read_size;
  if (s->off > 0) {
    memmove(s->in, s->in + s->off, have);
    s->off = 0;
    s->len = have;
  }
  if (s->want > have + size) { /* doubles with what has come, so that bytes are paid for when they are there */
    size_t missing = s->want - have, step = have > size ? have : size;
    size = missing < step ? missing : step;
  } else if (have >= (s->want > 0 ? s->want : OBS_STREAM_READ_MAX)) {
    return false; /* the protocol does not take it: it goes on at a kick */
  }
  size_t cap = have + size > OBS_STREAM_READ_MIN ? have + size : OBS_STREAM_READ_MIN;
  if (s->cap >= cap && (have > 0 || s->cap <= 2 * cap)) return true;
  while (cap > s->cap && !may_grow(s, cap)) {
    if (s->cap - have >= OBS_STREAM_READ_MIN / 4) return true; /* less at a time does too */
    if (have <= OBS_STREAM_READ_MIN * 3 / 4)
      cap = OBS_STREAM_READ_MIN;
    else if (!make_way(s))
      return false;
  }
  return resize(s, cap) || s->cap > have;
}

/* With the lock, so that a kick finds either a read that it can cancel, or none. The callback comes on another thread.
 */
static void start_read(obs_stream *s) {
  nng_iov iov = {.iov_buf = s->in + s->len, .iov_len = s->cap - s->len};
  s->reader = OBS_STREAM_READING;
  (void)nng_aio_set_iov(s->rx, 1, &iov); /* fails for more pieces than eight */
  nng_stream_recv(s->nng, s->rx);
}

/* Comes back on one of NNG's threads, behind what they have to do already; `silent`: only to read on. With the lock. */
static void hop(obs_stream *s, bool silent) {
  s->hop = true;
  s->silent = silent;
  (void)nng_aio_begin(s->rx); /* it is never stopped before it is freed */
  nng_aio_finish(s->rx, 0);
}

/* Runs `received` as often as it is wanted, and reads on. On NNG's threads; has the read's reference. */
void obs_stream_run(obs_stream *s, bool call) {
  const obs_stream_protocol *p = s->server->opts.protocol;
  for (;; call = true) {
    if (call && !atomic_load(&s->closing) && !atomic_load(&s->finishing)) p->received(s);
    bool rest = atomic_load(&s->closing) || atomic_load(&s->finishing) || s->refused || s->paused || s->ended;
    bool room = !rest && make_room(s);
    /* What it needs it does not get: no memory, or it is the one that has to make way. */
    if (!rest && !room && s->len - s->off < (s->want > 0 ? s->want : OBS_STREAM_READ_MAX)) obs_stream_close(s);
    pthread_mutex_lock(&s->lock);
    bool again = s->kicked && !atomic_load(&s->closing);
    bool read = !again && room && !atomic_load(&s->closing);
    if (again) s->kicked = s->paused = false;
    bool hops = s->yields && (again || read);
    if (hops)
      hop(s, !again);
    else if (read)
      start_read(s);
    else if (!again)
      s->reader = OBS_STREAM_RESTING;
    s->yields = false;
    pthread_mutex_unlock(&s->lock);
    if (hops || read) return;
    if (again) continue;
    obs_stream_unref(s);
    return;
  }
}

void obs_stream_on_received(void *arg) {
  obs_stream *s = arg;
  int rv = nng_aio_result(s->rx);
  size_t n = rv == 0 ? nng_aio_count(s->rx) : 0;
  pthread_mutex_lock(&s->lock);
  bool hopped = s->hop, silent = s->silent;
  s->hop = s->silent = false;
  s->reader = OBS_STREAM_RUNNING;
  if (s->kicked) s->kicked = s->paused = silent = false;
  pthread_mutex_unlock(&s->lock);
  if (!hopped && rv == 0) {
    size_t room = s->cap - s->len;
    s->len += n;
    if (n == room && s->read_size < OBS_STREAM_READ_MAX)
      s->read_size *= 2;
    else if (n < s->read_size / 4 && s->read_size > OBS_STREAM_READ_MIN)
      s->read_size /= 2;
  } else if (rv == NNG_ECONNSHUT) {
    s->ended = true;
  } else if (rv != 0 && rv != NNG_ECANCELED) {
    obs_stream_close(s);
  }
  obs_stream_run(s, !silent);
}

/* False: it has to be closed. NNG's TLS does not take a read back, nor a write: a cancelled one ends the connection,
 * and one that waits for the handshake is not even cancelled. Who holds it has an answer to write: then it stays, and
 * what was wanted comes after the read. With the lock. */
static bool kick(obs_stream *s) {
  if (s->reader == OBS_STREAM_READING && s->listener->address.tls) {
    s->kicked = true;
    return atomic_load(&s->holds) > 0;
  }
  if (s->reader == OBS_STREAM_RESTING) {
    s->reader = OBS_STREAM_RUNNING;
    s->paused = false;
    atomic_fetch_add(&s->refs, 1);
    hop(s, false);
  } else {
    s->kicked = true;
    if (s->reader == OBS_STREAM_READING) nng_aio_cancel(s->rx);
  }
  return true;
}

void obs_stream_kick(obs_stream *s) {
  pthread_mutex_lock(&s->lock);
  bool kicked = atomic_load(&s->closing) || kick(s);
  pthread_mutex_unlock(&s->lock);
  if (!kicked) obs_stream_close(s);
}

void obs_stream_resume(obs_stream *s) {
  pthread_mutex_lock(&s->lock);
  /* While `received` runs it may be about to pause. It is not reading: nothing is to be closed. */
  bool pauses = s->paused || s->reader == OBS_STREAM_RUNNING;
  if (pauses && !atomic_load(&s->closing)) (void)kick(s);
  pthread_mutex_unlock(&s->lock);
}

/* ---- writing ---- */

/* `n` bytes have gone. With the lock. */
static void advance(obs_stream *s, size_t n) {
  atomic_fetch_sub(&s->queued, n);
  while (n > 0) {
    obs_stream_piece *p = &s->pieces.at[s->first_piece];
    size_t part = n < p->len ? n : p->len;
    p->off += part;
    p->len -= part;
    n -= part;
    if (p->len > 0) return;
    obs_stream_chunk_unref(p->chunk);
    s->first_piece++;
  }
  if (s->first_piece == s->pieces.n) s->first_piece = s->pieces.n = 0;
}

/* With the lock; there is something to write. */
static void send_pieces(obs_stream *s, nng_aio *aio) {
  nng_iov iov[IOV];
  unsigned n = 0;
  for (uint32_t i = s->first_piece; i < s->pieces.n && n < IOV; i++, n++) {
    const obs_stream_piece *p = &s->pieces.at[i];
    iov[n] = (nng_iov){.iov_buf = p->chunk->data + p->off, .iov_len = p->len};
  }
  (void)nng_aio_set_iov(aio, n, iov);
  nng_stream_send(s->nng, aio);
}

static void start_write(obs_stream *s) {
  s->writing = true;
  atomic_store(&s->written_at, obs_clock_mono_ms());
  send_pieces(s, s->tx);
}

/* NNG writes at once what the system takes, also from here, and only then tells a callback, on another thread. Without
 * a callback there is no such hop; what was not taken is taken back, and goes the usual way. False: the connection is
 * broken. With the lock. */
static bool write_now(obs_stream *s) {
  send_pieces(s, s->now);
  if (nng_aio_count(s->now) == 0 && nng_aio_result(s->now) == 0) nng_aio_cancel(s->now);
  nng_aio_wait(s->now);
  int rv = nng_aio_result(s->now);
  advance(s, nng_aio_count(s->now));
  return rv == 0 || rv == NNG_ECANCELED;
}

/* Queues. NULL: closed or no memory. With the lock. */
static obs_stream_piece *push_piece(obs_stream *s, obs_stream_chunk *c, size_t off, size_t len) {
  obs_stream_piece *p = atomic_load(&s->closing) ? NULL : OBS_VEC_PUSH(&s->pieces);
  if (p == NULL) return NULL;
  obs_stream_chunk_ref(c);
  *p = (obs_stream_piece){c, off, len};
  atomic_fetch_add(&s->queued, len);
  return p;
}

bool obs_stream_write(obs_stream *s, obs_stream_chunk *c, size_t off, size_t len) {
  if (len == 0) return true;
  pthread_mutex_lock(&s->lock);
  bool queued = push_piece(s, c, off, len) != NULL;
  if (queued && !s->writing) {
    atomic_fetch_add(&s->refs, 1);
    start_write(s);
  }
  pthread_mutex_unlock(&s->lock);
  return queued;
}

obs_stream_sent obs_stream_write_now(obs_stream *s, obs_stream_chunk *c, size_t off, size_t len) {
  obs_stream_sent sent = OBS_STREAM_QUEUED;
  bool good = true;
  if (len == 0) return atomic_load(&s->queued) > 0 ? OBS_STREAM_QUEUED : OBS_STREAM_WRITTEN;
  pthread_mutex_lock(&s->lock);
  if (push_piece(s, c, off, len) == NULL) {
    sent = OBS_STREAM_CLOSED;
  } else if (!s->writing) {
    good = s->listener->address.tls || write_now(s); /* what TLS does not take at once cannot be taken back */
    if (good && s->pieces.n == 0) {
      sent = OBS_STREAM_WRITTEN;
    } else if (good) {
      atomic_fetch_add(&s->refs, 1);
      start_write(s);
    }
  }
  pthread_mutex_unlock(&s->lock);
  if (good) return sent;
  obs_stream_close(s);
  return OBS_STREAM_CLOSED;
}

/* Everything is written: it is closed. TLS takes bytes before the system does, and a close drops them: there the peer
 * is to close first, within LINGER_MS; until then others go before it. */
static void close_written(obs_stream *s) {
  if (!s->listener->address.tls) {
    obs_stream_close(s);
    return;
  }
  if (!s->refused) obs_stream_evictable(s, true);
  obs_stream_deadline(s, LINGER_MS);
}

void obs_stream_on_written(void *arg) {
  obs_stream *s = arg;
  const obs_stream_protocol *p = s->server->opts.protocol;
  int rv = nng_aio_result(s->tx);
  pthread_mutex_lock(&s->lock);
  if (rv == 0) advance(s, nng_aio_count(s->tx));
  bool more = s->pieces.n > 0;
  bool goes_on = rv == 0 && !atomic_load(&s->closing);
  if (goes_on && !more && p->written != NULL && !atomic_load(&s->finishing) && !s->refused) {
    pthread_mutex_unlock(&s->lock); /* `writing` stays, so that it is not called twice at a time */
    p->written(s);
    pthread_mutex_lock(&s->lock);
    more = s->pieces.n > 0;
    goes_on = !atomic_load(&s->closing);
  }
  if (goes_on && more) {
    start_write(s);
    pthread_mutex_unlock(&s->lock);
    return;
  }
  s->writing = false;
  atomic_store(&s->written_at, 0);
  bool finished = atomic_load(&s->finishing);
  pthread_mutex_unlock(&s->lock);
  if (rv != 0)
    obs_stream_close(s);
  else if (finished)
    close_written(s);
  obs_stream_unref(s);
}

size_t obs_stream_queued(obs_stream *s) {
  return atomic_load(&s->queued);
}

void obs_stream_close_when_written(obs_stream *s) {
  pthread_mutex_lock(&s->lock);
  atomic_store(&s->finishing, true);
  bool now = !s->writing;
  pthread_mutex_unlock(&s->lock);
  if (now) close_written(s);
}

/* ---- deadlines ---- */

void obs_stream_deadline(obs_stream *s, uint32_t ms) {
  atomic_store(&s->deadline, ms > 0 ? obs_clock_mono_ms() + ms : 0);
}

void obs_stream_evictable(obs_stream *s, bool yes) {
  atomic_store(&s->evictable, yes ? obs_clock_mono_ns() : 0);
}
