#include "feed/fanout.h"

#include "base/clock.h"
#include "base/thread.h"

#include <stdlib.h>

/* PLACES: those of the messages, and the one behind the last, where members wait. */
enum { PLACES = OBS_FANOUT_MESSAGES + 1 };

typedef struct {
  obs_stream_chunk *message;
  uint32_t members; /* whose next one this is */
} place;

struct obs_fanout {
  _Atomic uint64_t lost;
  pthread_mutex_t lock; /* of all that follows, and of the members */
  pthread_cond_t caught_up;
  place places[PLACES]; /* by number modulo PLACES */
  uint64_t first, end;  /* the numbers of what is in the ring: first..end-1 */
  size_t bytes;
  uint32_t nmembers, nidle;
  uint32_t behind; /* members whose next message the ring has no more */
  /* Members that have been written all there is, in the order of the number they wait for. */
  obs_fanout_member *longest, *latest;
};

static place *place_of(obs_fanout *f, uint64_t number) {
  return &f->places[number % PLACES];
}

/* ---- members, with the lock ---- */

static void leave_place(obs_fanout *f, obs_fanout_member *m) {
  if (m->next >= f->first) {
    place_of(f, m->next)->members--;
    return;
  }
  f->behind--; /* what it lost is in the total already */
  m->lost += f->first - m->next;
}

static void go_to(obs_fanout *f, obs_fanout_member *m, uint64_t number) {
  m->next = number;
  place_of(f, number)->members++;
}

static void set_idle(obs_fanout *f, obs_fanout_member *m) {
  m->idle = true;
  m->after = NULL;
  m->before = f->latest;
  if (f->latest != NULL)
    f->latest->after = m;
  else
    f->longest = m;
  f->latest = m;
  if (++f->nidle == f->nmembers) pthread_cond_signal(&f->caught_up);
}

static void set_busy(obs_fanout *f, obs_fanout_member *m) {
  if (m->before != NULL)
    m->before->after = m->after;
  else
    f->longest = m->after;
  if (m->after != NULL)
    m->after->before = m->before;
  else
    f->latest = m->before;
  m->idle = false;
  f->nidle--;
}

/* What the member gets now, with references: nothing while it has something to write (`written` comes), or when it has
 * all (it is idle then). */
static uint32_t take(obs_fanout *f, obs_fanout_member *m, obs_stream_chunk *out[OBS_FANOUT_AT_ONCE]) {
  uint32_t n = 0;
  if (m->gone || obs_stream_queued(m->stream) > 0) return 0;
  leave_place(f, m);
  uint64_t at = m->next > f->first ? m->next : f->first;
  for (size_t bytes = 0; at < f->end && n < OBS_FANOUT_AT_ONCE; at++) {
    obs_stream_chunk *c = place_of(f, at)->message;
    bytes += c->len;
    if (n > 0 && bytes > OBS_FANOUT_WRITE_BYTES) break;
    obs_stream_chunk_ref(c);
    out[n++] = c;
  }
  go_to(f, m, at);
  if (n == 0) set_idle(f, m);
  return n;
}

/* Writes what the member has not got yet, as far as it goes. Whoever comes while another thread does it has nothing to
 * do: that one looks again when it has written. */
static void serve(obs_fanout *f, obs_fanout_member *m) {
  obs_stream_chunk *batch[OBS_FANOUT_AT_ONCE];
  pthread_mutex_lock(&f->lock);
  bool mine = m->joined && !m->writing && !m->idle;
  if (mine) m->writing = true;
  for (uint32_t n; mine && (n = take(f, m, batch)) > 0;) {
    bool sent = true;
    pthread_mutex_unlock(&f->lock);
    for (uint32_t i = 0; i < n; i++) {
      sent = sent && obs_sp_send(m->stream, batch[i]);
      obs_stream_chunk_unref(batch[i]);
    }
    if (!sent) obs_stream_close(m->stream);
    pthread_mutex_lock(&f->lock);
    m->gone = !sent;
  }
  if (mine) m->writing = false;
  pthread_mutex_unlock(&f->lock);
}

void obs_fanout_join(obs_fanout *f, obs_stream *s) {
  obs_fanout_member *m = obs_sp_own(s);
  pthread_mutex_lock(&f->lock);
  m->stream = s;
  m->joined = true;
  f->nmembers++;
  go_to(f, m, f->end);
  pthread_mutex_unlock(&f->lock);
  serve(f, m);
}

void obs_fanout_written(obs_fanout *f, obs_stream *s) {
  serve(f, obs_sp_own(s));
}

uint64_t obs_fanout_leave(obs_fanout *f, obs_stream *s) {
  obs_fanout_member *m = obs_sp_own(s);
  pthread_mutex_lock(&f->lock);
  leave_place(f, m);
  if (m->idle) set_busy(f, m);
  f->nmembers--;
  if (f->nidle == f->nmembers) pthread_cond_signal(&f->caught_up);
  pthread_mutex_unlock(&f->lock);
  return m->lost;
}

/* ---- messages ---- */

/* Adds the message when there is room for it, else takes out the oldest one, to be given back without the lock. */
static bool add(obs_fanout *f, obs_stream_chunk *message, obs_stream_chunk **oldest) {
  pthread_mutex_lock(&f->lock);
  bool room = f->end - f->first < OBS_FANOUT_MESSAGES && (f->bytes + message->len <= OBS_FANOUT_BYTES || f->bytes == 0);
  place *p = place_of(f, room ? f->end : f->first);
  if (room) {
    obs_stream_chunk_ref(message);
    p->message = message;
    f->bytes += message->len;
    f->end++;
  } else {
    *oldest = p->message;
    f->bytes -= p->message->len;
    f->behind += p->members;
    f->first++;
    *p = (place){0};
    atomic_fetch_add_explicit(&f->lost, f->behind, memory_order_relaxed);
  }
  pthread_mutex_unlock(&f->lock);
  return room;
}

/* A member that waits for something there is now, held. NULL: none does. */
static obs_fanout_member *find_waiting(obs_fanout *f) {
  obs_fanout_member *m;
  pthread_mutex_lock(&f->lock);
  for (;;) {
    m = f->longest;
    if (m != NULL && m->next == f->end) m = NULL;
    if (m == NULL) break;
    set_busy(f, m);
    if (obs_stream_hold_open(m->stream)) break; /* else it leaves as soon as the lock is free */
  }
  pthread_mutex_unlock(&f->lock);
  return m;
}

void obs_fanout_put(obs_fanout *f, obs_stream_chunk *message) {
  obs_stream_chunk *oldest;
  while (!add(f, message, &oldest)) obs_stream_chunk_unref(oldest);
  for (obs_fanout_member *m; (m = find_waiting(f)) != NULL;) {
    obs_stream *s = m->stream;
    serve(f, m);
    obs_stream_release(s);
  }
}

uint64_t obs_fanout_lost(const obs_fanout *f) {
  return atomic_load(&f->lost);
}

void obs_fanout_drain(obs_fanout *f, uint32_t deadline_ms) {
  uint64_t until = obs_clock_mono_ms() + deadline_ms;
  pthread_mutex_lock(&f->lock);
  for (uint64_t now; f->nidle < f->nmembers && (now = obs_clock_mono_ms()) < until;)
    obs_thread_cond_wait_ms(&f->caught_up, &f->lock, until - now);
  pthread_mutex_unlock(&f->lock);
}

/* ---- life ---- */

observer_err obs_fanout_open(obs_fanout **out) {
  obs_fanout *f = calloc(1, sizeof *f);
  if (f == NULL || obs_thread_cond_init(&f->caught_up) != OBSERVER_E_OK) {
    free(f);
    return OBSERVER_E_NOMEM;
  }
  pthread_mutex_init(&f->lock, NULL); /* the default kind does not fail */
  *out = f;
  return OBSERVER_E_OK;
}

void obs_fanout_close(obs_fanout *f) {
  if (f == NULL) return;
  for (uint32_t i = 0; i < PLACES; i++) obs_stream_chunk_unref(f->places[i].message);
  pthread_cond_destroy(&f->caught_up);
  pthread_mutex_destroy(&f->lock);
  free(f);
}
