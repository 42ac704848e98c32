#include "fleet/shared_pull.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "fleet/batch.h"
#include "fleet/checkpoint.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
  FETCH_MS = 100, /* a server that sleeps over a message is noticed behind it (pull.c) */
  FETCH_MESSAGES = 512,
  FETCH_BYTES = 8 << 20,
  PAUSE_MS = 500,
  CHECK_MS = 30000,
  MEMBER_BYTES = OBS_SHARED_PULL_BYTES / 2, /* that wait for one member: it is too slow for the others */
  HEAD_BYTES = 256,
  NEAR = 16384,  /* messages, a second or three, that are read again for one that comes from behind */
  LEAST_PART = 8 /* who holds less than one of so many reads each partition by itself */
};
#define NOWHERE UINT64_MAX

typedef struct waiting {
  struct waiting *next;
  obs_nats_message m; /* its data are behind it; no subject */
} waiting;

typedef struct {
  bool joined;
  uint64_t tail; /* the last seq that it has, or that waits */
  waiting *first, **last;
  size_t bytes;
  pthread_cond_t came;
} member;

struct obs_shared_pull {
  obs_nats *nats;
  const _Atomic uint64_t *epoch;
  uint32_t partitions;
  pthread_t thread;
  bool started;

  /* The thread's own. */
  obs_nats_pull *pull; /* NULL: to be opened behind `at` */
  uint64_t checked_ms, checked_epoch;
  bool in_doubt; /* whether the stream still has this message, which was handed out: */
  uint64_t sample, sample_tail;

  pthread_mutex_t lock; /* of the rest; nothing is waited for under it but `changed` and `came` */
  pthread_cond_t changed;
  bool stopping;
  bool ended;  /* at the last look the stream had nothing more */
  uint64_t at; /* seq of the last message that was handed out, and its hash */
  uint64_t at_tail;
  uint64_t back; /* reading is to go on behind this one; NOWHERE: behind `at` */
  uint32_t joined, held;
  size_t bytes; /* that wait, of all */
  member *members;
};

/* ---- members; under the lock ---- */

static void free_list(waiting *w) {
  while (w != NULL) {
    waiting *next = w->next;
    free(w);
    w = next;
  }
}

static waiting *take_all(obs_shared_pull *s, member *m) {
  waiting *first = m->first;
  s->bytes -= m->bytes;
  m->first = NULL;
  m->last = &m->first;
  m->bytes = 0;
  pthread_cond_signal(&s->changed);
  return first;
}

static void put_out(obs_shared_pull *s, member *m) {
  if (!m->joined) return;
  free_list(take_all(s, m));
  m->joined = false;
  s->joined--;
  pthread_cond_signal(&m->came);
}

static void put_out_all(obs_shared_pull *s) {
  for (uint32_t p = 0; p < s->partitions; p++) put_out(s, &s->members[p]);
}

/* False: no memory. */
static bool enqueue(obs_shared_pull *s, member *m, const obs_nats_message *message) {
  waiting *w = malloc(sizeof *w + message->len);
  if (w == NULL) return false;
  memcpy(w + 1, message->data, message->len);
  w->next = NULL;
  w->m = *message;
  w->m.subject = NULL;
  w->m.data = w + 1;
  *m->last = w;
  m->last = &w->next;
  m->bytes += message->len;
  s->bytes += message->len;
  m->tail = message->stream_seq;
  pthread_cond_signal(&m->came);
  return true;
}

/* ---- the thread ---- */

static uint32_t partition_of(const char *subject) {
  static const char prefix[] = "observer.ops.";
  if (strncmp(subject, prefix, sizeof prefix - 1) != 0) return UINT32_MAX;
  return (uint32_t)strtoul(subject + sizeof prefix - 1, NULL, 10);
}

/* A hash that tells it from others: a batch begins with its edge and its first seqs. */
static uint64_t tail_of(const void *message, size_t len) {
  return obs_checkpoint_tail(message, len < HEAD_BYTES ? len : HEAD_BYTES);
}

/* Waits while too much waits: then those who fold are slower than the stream. */
static bool hand_out(void *arg, const obs_nats_message *message) {
  obs_shared_pull *s = arg;
  uint32_t p = partition_of(message->subject);
  uint64_t tail = tail_of(message->data, message->len);
  pthread_mutex_lock(&s->lock);
  bool goes_on = !s->stopping && s->back == NOWHERE;
  if (goes_on) {
    member *m = p < s->partitions ? &s->members[p] : NULL;
    if (m != NULL && m->joined && message->stream_seq > m->tail && (!enqueue(s, m, message) || m->bytes > MEMBER_BYTES))
      put_out(s, m);
    s->at = message->stream_seq;
    s->at_tail = tail;
    s->ended = message->pending == 0;
  }
  while (s->bytes > OBS_SHARED_PULL_BYTES && !s->stopping && s->back == NOWHERE)
    obs_thread_cond_wait_ms(&s->changed, &s->lock, PAUSE_MS);
  pthread_mutex_unlock(&s->lock);
  return goes_on;
}

typedef enum { SAME, OTHER, UNKNOWN } agreement;

/* It must still be the one that was handed out; else the stream has gone back. */
static agreement agrees(obs_shared_pull *s) {
  uint64_t at = s->sample, tail = s->sample_tail;
  obs_buf message = {0};
  obs_nats_stream stream;
  agreement is = UNKNOWN;
  if (at == 0 || tail == 0) return SAME;
  observer_err err = obs_nats_stream_get(s->nats, OBS_FLEET_STREAM, at, &message, NULL);
  if (err == OBSERVER_E_OK)
    is = tail_of(obs_buf_view(&message).p, message.len) == tail ? SAME : OTHER;
  else if (err == OBSERVER_E_NOTFOUND &&
           obs_nats_stream_look(s->nats, OBS_FLEET_STREAM, &stream, NULL) == OBSERVER_E_OK)
    is = stream.last_seq < at ? OTHER : SAME;
  obs_buf_fini(&message);
  return is;
}

static void close_pull(obs_shared_pull *s) {
  obs_nats_pull_close(s->pull);
  s->pull = NULL;
}

/* What follows `at`. */
static observer_err read_on(obs_shared_pull *s, uint64_t at) {
  char why[OBS_NATS_WHY_MAX] = "";
  observer_err err = OBSERVER_E_OK;
  if (s->pull == NULL) err = obs_nats_pull_open(s->nats, OBS_FLEET_STREAM, "observer.ops.>", at + 1, &s->pull, why);
  if (err == OBSERVER_E_OK) err = obs_nats_pull_fetch(s->pull, FETCH_MESSAGES, FETCH_BYTES, FETCH_MS, hand_out, s, why);
  if (err == OBSERVER_E_OK || err == OBSERVER_E_TIMEDOUT) return err;
  obs_log_debug("fleet", "reading the stream: %s", why);
  close_pull(s);
  return err;
}

/* Whether the stream still is what was handed out: behind each reconnect, and now and then. `at`: handed out before the
 * last look at it, for the server may have come back while it was read. */
static bool has_gone_back(obs_shared_pull *s, uint64_t at, uint64_t tail) {
  uint64_t now_ms = obs_clock_mono_ms(), epoch = atomic_load(s->epoch);
  bool due = epoch != s->checked_epoch || now_ms - s->checked_ms >= CHECK_MS;
  if (due && !s->in_doubt) {
    s->in_doubt = true;
    s->sample = at;
    s->sample_tail = tail;
  }
  agreement is = s->in_doubt ? agrees(s) : UNKNOWN;
  if (is == UNKNOWN) return false;
  s->in_doubt = false;
  s->checked_epoch = epoch;
  s->checked_ms = now_ms;
  return is == OTHER;
}

/* Reads for the members for a while. False: it could not. */
static bool turn(obs_shared_pull *s, uint64_t at, uint64_t tail) {
  observer_err err = read_on(s, at);
  bool read = err == OBSERVER_E_OK || err == OBSERVER_E_TIMEDOUT;
  bool back = has_gone_back(s, at, tail);
  pthread_mutex_lock(&s->lock);
  if (back) put_out_all(s);
  if (err == OBSERVER_E_TIMEDOUT && s->back == NOWHERE) s->ended = true;
  pthread_mutex_unlock(&s->lock);
  return read;
}

static void *run(void *arg) {
  obs_shared_pull *s = arg;
  bool read = true;
  pthread_mutex_lock(&s->lock);
  while (!s->stopping) {
    if (s->held * LEAST_PART < s->partitions) put_out_all(s);
    if (!read || s->joined == 0) {
      obs_thread_cond_wait_ms(&s->changed, &s->lock, PAUSE_MS);
      if (s->stopping) break;
    }
    bool moved = s->back != NOWHERE, reads = s->joined > 0;
    if (moved) {
      s->at = s->back;
      s->at_tail = 0;
      s->back = NOWHERE;
      s->ended = false;
    }
    uint64_t at = s->at, tail = s->at_tail;
    pthread_mutex_unlock(&s->lock);
    if (moved || !reads) close_pull(s);
    read = !reads || turn(s, at, tail);
    pthread_mutex_lock(&s->lock);
  }
  put_out_all(s);
  pthread_mutex_unlock(&s->lock);
  close_pull(s);
  return NULL;
}

/* ---- for the partitions ---- */

observer_err obs_shared_pull_open(obs_nats *nats, const _Atomic uint64_t *epoch, uint32_t partitions,
                                  obs_shared_pull **out) {
  observer_err err = OBSERVER_E_NOMEM;
  obs_shared_pull *s = calloc(1, sizeof *s);
  *out = NULL;
  if (s == NULL) return err;
  s->nats = nats;
  s->epoch = epoch;
  s->checked_epoch = atomic_load(epoch);
  s->checked_ms = obs_clock_mono_ms();
  s->back = NOWHERE;
  pthread_mutex_init(&s->lock, NULL); /* the default kind does not fail */
  if ((err = obs_thread_cond_init(&s->changed)) != OBSERVER_E_OK) goto fail;
  err = OBSERVER_E_NOMEM;
  if ((s->members = calloc(partitions, sizeof *s->members)) == NULL) goto fail;
  for (; s->partitions < partitions; s->partitions++) {
    member *m = &s->members[s->partitions];
    m->last = &m->first;
    if ((err = obs_thread_cond_init(&m->came)) != OBSERVER_E_OK) goto fail;
  }
  if ((err = obs_thread_start(&s->thread, "obs:pull", run, s)) != OBSERVER_E_OK) goto fail;
  s->started = true;
  *out = s;
  return OBSERVER_E_OK;
fail:
  obs_shared_pull_close(s);
  return err;
}

void obs_shared_pull_close(obs_shared_pull *s) {
  if (s == NULL) return;
  pthread_mutex_lock(&s->lock);
  s->stopping = true;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
  if (s->started) (void)pthread_join(s->thread, NULL);
  for (uint32_t p = 0; p < s->partitions; p++) pthread_cond_destroy(&s->members[p].came);
  free(s->members);
  pthread_cond_destroy(&s->changed);
  pthread_mutex_destroy(&s->lock);
  free(s);
}

void obs_shared_pull_set_held(obs_shared_pull *s, uint32_t held) {
  pthread_mutex_lock(&s->lock);
  s->held = held;
  pthread_mutex_unlock(&s->lock);
}

bool obs_shared_pull_join(obs_shared_pull *s, uint32_t p, uint64_t tail) {
  member *m = &s->members[p];
  pthread_mutex_lock(&s->lock);
  put_out(s, m);
  uint64_t next = s->back != NOWHERE ? s->back : s->at;
  bool joins = !s->stopping && s->held * LEAST_PART >= s->partitions && (s->joined == 0 || tail + NEAR >= next);
  if (joins) {
    if (s->joined == 0 || tail < next) s->back = tail;
    m->joined = true;
    m->tail = tail;
    s->joined++;
    pthread_cond_signal(&s->changed);
  }
  pthread_mutex_unlock(&s->lock);
  return joins;
}

void obs_shared_pull_leave(obs_shared_pull *s, uint32_t p) {
  pthread_mutex_lock(&s->lock);
  put_out(s, &s->members[p]);
  pthread_mutex_unlock(&s->lock);
}

observer_err obs_shared_pull_fetch(obs_shared_pull *s, uint32_t p, uint32_t timeout_ms,
                                   bool (*fn)(void *arg, const obs_nats_message *m), void *arg) {
  member *m = &s->members[p];
  pthread_mutex_lock(&s->lock);
  if (m->joined && m->first == NULL) obs_thread_cond_wait_ms(&m->came, &s->lock, timeout_ms);
  bool joined = m->joined, ended = s->ended && s->back == NOWHERE, more = true;
  waiting *first = joined ? take_all(s, m) : NULL;
  pthread_mutex_unlock(&s->lock);
  for (const waiting *w = first; w != NULL && more; w = w->next) more = fn(arg, &w->m);
  if (!more) obs_shared_pull_leave(s, p);
  bool none = first == NULL;
  free_list(first);
  if (!joined) return OBSERVER_E_NOTFOUND;
  return none && ended ? OBSERVER_E_TIMEDOUT : OBSERVER_E_OK;
}
