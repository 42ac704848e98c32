#include "fleet/acks.h"

#include "base/clock.h"
#include "base/thread.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* REFUSED: rows that do not come into the stream are known for so many more of them: the edge may have found one before
 * its batch came here. */
enum { LOW = OBS_FLEET_PARTITIONS, QUEUES = LOW + 1, REFUSED = 64 };

#define STAYS "recorded here, will be forwarded; send again with the same op_id"

typedef struct waiting waiting;

/* That a partition, or LOW, has to come to a seq. In a queue the seqs ascend, as they do in the journal. */
typedef struct need {
  waiting *of;
  uint32_t queue;
  bool queued;
  uint64_t seq;
  struct need *next, *prev;
} need;

struct waiting {
  obs_batch *batch;
  uint64_t first, last; /* seqs of its rows; 0: none */
  uint64_t deadline_ms; /* monotonic */
  size_t bytes;
  uint32_t left; /* of its needs */
  bool hurries;  /* it came when the stop had begun */
  waiting *next, *prev;
  uint32_t nneeds;
  need needs[];
};

typedef struct {
  waiting *first, *last;
} list;

struct obs_acks {
  obs_acks_opts opts;
  pthread_t thread;
  bool started;

  pthread_mutex_t mutex; /* of all that follows; held for a few instructions a need */
  pthread_cond_t cond;
  bool stopping, hurries;
  uint64_t stop_at; /* monotonic ms, when it hurries */
  uint32_t hurry_ms;
  uint64_t seqs[QUEUES]; /* how far each is */
  struct {
    need *first, *last;
  } queues[QUEUES];
  list waits; /* by their deadlines */
  list ready; /* to be answered */
  size_t bytes;
  uint64_t refused[REFUSED]; /* seqs */
  uint32_t nrefused;
  obs_acks_counts counts;
};

/* ---- lists; with the mutex ---- */

static void push(list *l, waiting *w) {
  w->next = NULL;
  w->prev = l->last;
  *(l->last != NULL ? &l->last->next : &l->first) = w;
  l->last = w;
}

static void unlink_waiting(list *l, waiting *w) {
  *(w->prev != NULL ? &w->prev->next : &l->first) = w->next;
  *(w->next != NULL ? &w->next->prev : &l->last) = w->prev;
}

static void push_need(obs_acks *a, need *n) {
  n->next = NULL;
  n->prev = a->queues[n->queue].last;
  *(n->prev != NULL ? &n->prev->next : &a->queues[n->queue].first) = n;
  a->queues[n->queue].last = n;
  n->queued = true;
}

static void unlink_need(obs_acks *a, need *n) {
  *(n->prev != NULL ? &n->prev->next : &a->queues[n->queue].first) = n->next;
  *(n->next != NULL ? &n->next->prev : &a->queues[n->queue].last) = n->prev;
  n->queued = false;
}

/* ---- verdicts ---- */

static void set_error(obs_batch *b, observer_err err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void set_error(obs_batch *b, observer_err err, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  b->error = err;
  (void)vsnprintf(b->error_text, sizeof(b->error_text), fmt, args);
  va_end(args);
}

static void refuse_large(obs_batch *b) {
  set_error(b, OBSERVER_E_INVALID, "not forwarded to NATS: an op is larger than its messages may be (recorded here)");
}

/* Moves it to those that are answered; with the mutex. */
static void make_ready(obs_acks *a, waiting *w) {
  for (uint32_t i = 0; i < w->nneeds; i++)
    if (w->needs[i].queued) unlink_need(a, &w->needs[i]);
  unlink_waiting(&a->waits, w);
  push(&a->ready, w);
  a->bytes -= w->bytes;
  a->counts.waiting--;
  pthread_cond_signal(&a->cond);
}

/* ---- in ---- */

/* What the batch needs, by queue; 0: nothing of it. Returns how many. */
static uint32_t find_needs(const obs_acks *a, const obs_batch *b, uint64_t needs[QUEUES]) {
  uint64_t seq = b->last_seq - b->recorded_ops; /* of the row before its first */
  uint32_t n = 0;
  for (uint32_t i = 0; i < b->nops; i++) {
    bool known = b->lines[i].duplicate;
    uint32_t queue = known ? LOW : obs_fleet_partition(&b->ops[i], OBS_FLEET_PARTITIONS);
    n += needs[queue] == 0;
    needs[queue] = known ? obs_journal_next_seq(a->opts.journal) - 1 : ++seq;
  }
  return n;
}

static waiting *new_waiting(obs_batch *b, const uint64_t needs[QUEUES], uint32_t n) {
  waiting *w = calloc(1, sizeof(*w) + n * sizeof(w->needs[0]));
  if (w == NULL) return NULL;
  w->batch = b;
  w->bytes = obs_batch_bytes(b);
  w->first = b->recorded_ops > 0 ? b->last_seq - b->recorded_ops + 1 : 0;
  w->last = b->last_seq;
  for (uint32_t queue = 0; queue < QUEUES; queue++)
    if (needs[queue] > 0) w->needs[w->nneeds++] = (need){.of = w, .queue = queue, .seq = needs[queue]};
  return w;
}

static bool has_refused(const obs_acks *a, const waiting *w) {
  for (uint32_t i = 0; i < REFUSED && i < a->nrefused; i++)
    if (w->first > 0 && a->refused[i] >= w->first && a->refused[i] <= w->last) return true;
  return false;
}

/* With the mutex. False: it is answered at once. */
static bool enqueue(obs_acks *a, waiting *w) {
  uint64_t now = obs_clock_mono_ms();
  if (has_refused(a, w)) {
    refuse_large(w->batch);
    a->counts.refused++;
    return false;
  }
  for (uint32_t i = 0; i < w->nneeds; i++) w->left += w->needs[i].seq > a->seqs[w->needs[i].queue];
  if (w->left == 0) {
    a->counts.confirmed++;
    return false;
  }
  if (a->bytes + w->bytes > a->opts.most_bytes || a->stopping) {
    set_error(w->batch, OBSERVER_E_FULL, "too many answers wait for NATS (" STAYS ")");
    a->counts.refused++;
    return false;
  }
  for (uint32_t i = 0; i < w->nneeds; i++) {
    if (w->needs[i].seq > a->seqs[w->needs[i].queue]) push_need(a, &w->needs[i]);
  }
  w->hurries = a->hurries;
  w->deadline_ms = now + (a->hurries ? a->hurry_ms : a->opts.wait_ms);
  bool wake = a->waits.first == NULL;
  push(&a->waits, w);
  a->bytes += w->bytes;
  a->counts.waiting++;
  if (wake) pthread_cond_signal(&a->cond); /* for its deadline */
  return true;
}

void obs_acks_hold(obs_acks *a, obs_batch *b) {
  uint64_t needs[QUEUES] = {0};
  uint32_t n = find_needs(a, b, needs);
  waiting *w = n > 0 ? new_waiting(b, needs, n) : NULL;
  if (n > 0 && w == NULL) set_error(b, OBSERVER_E_NOMEM, "no memory to wait for NATS (" STAYS ")");
  bool held = false;
  if (w != NULL) {
    pthread_mutex_lock(&a->mutex);
    held = enqueue(a, w);
    pthread_mutex_unlock(&a->mutex);
  }
  if (held) return;
  free(w);
  b->done(b);
}

void obs_acks_progress(obs_acks *a, const uint64_t seqs[OBS_FLEET_PARTITIONS], uint64_t low) {
  pthread_mutex_lock(&a->mutex);
  for (uint32_t queue = 0; queue < QUEUES; queue++) {
    uint64_t seq = a->seqs[queue] = queue == LOW ? low : seqs[queue];
    for (need *n; (n = a->queues[queue].first) != NULL && n->seq <= seq;) {
      waiting *w = n->of;
      unlink_need(a, n);
      if (--w->left > 0) continue;
      a->counts.confirmed++;
      make_ready(a, w);
    }
  }
  pthread_mutex_unlock(&a->mutex);
}

void obs_acks_refuse(obs_acks *a, uint64_t seq) {
  pthread_mutex_lock(&a->mutex);
  a->refused[a->nrefused++ % REFUSED] = seq;
  for (waiting *w = a->waits.first, *next; w != NULL; w = next) {
    next = w->next;
    if (w->first == 0 || seq < w->first || seq > w->last) continue;
    refuse_large(w->batch);
    a->counts.refused++;
    make_ready(a, w);
  }
  pthread_mutex_unlock(&a->mutex);
}

/* ---- out ---- */

/* Those whose time has come; with the mutex. Until when the next one waits; UINT64_MAX: none does. */
static uint64_t give_up(obs_acks *a, uint64_t now) {
  for (waiting *w; (w = a->waits.first) != NULL;) {
    uint64_t deadline = a->hurries && !w->hurries && a->stop_at < w->deadline_ms ? a->stop_at : w->deadline_ms;
    if (deadline > now && !a->stopping) return deadline;
    if (a->hurries || a->stopping)
      set_error(w->batch, OBSERVER_E_CLOSED, "shutting down before NATS has acknowledged it (" STAYS ")");
    else
      set_error(w->batch, OBSERVER_E_TIMEDOUT, "not acknowledged by NATS within %" PRIu32 " s (" STAYS ")",
                a->opts.wait_ms / 1000);
    a->counts.late++;
    make_ready(a, w);
  }
  return UINT64_MAX;
}

static void answer(waiting *w) {
  while (w != NULL) {
    waiting *next = w->next;
    w->batch->done(w->batch);
    free(w);
    w = next;
  }
}

static void *answer_all(void *arg) {
  obs_acks *a = arg;
  pthread_mutex_lock(&a->mutex);
  while (!a->stopping || a->waits.first != NULL || a->ready.first != NULL) {
    uint64_t now = obs_clock_mono_ms(), until = give_up(a, now);
    waiting *ready = a->ready.first;
    a->ready = (list){0};
    if (ready == NULL && !a->stopping) {
      if (until == UINT64_MAX)
        pthread_cond_wait(&a->cond, &a->mutex);
      else
        obs_thread_cond_wait_ms(&a->cond, &a->mutex, until - now);
      continue;
    }
    pthread_mutex_unlock(&a->mutex);
    answer(ready);
    pthread_mutex_lock(&a->mutex);
  }
  pthread_mutex_unlock(&a->mutex);
  return NULL;
}

/* ---- opening and closing ---- */

observer_err obs_acks_open(const obs_acks_opts *opts, obs_acks **out) {
  obs_acks *a = calloc(1, sizeof(*a));
  *out = NULL;
  if (a == NULL) return OBSERVER_E_NOMEM;
  a->opts = *opts;
  if (pthread_mutex_init(&a->mutex, NULL) != 0) {
    free(a);
    return OBSERVER_E_NOMEM;
  }
  observer_err err = obs_thread_cond_init(&a->cond);
  if (err != OBSERVER_E_OK) {
    pthread_mutex_destroy(&a->mutex);
    free(a);
    return err;
  }
  *out = a;
  return OBSERVER_E_OK;
}

observer_err obs_acks_start(obs_acks *a) {
  observer_err err = obs_thread_start(&a->thread, "obs:acks", answer_all, a);
  a->started = err == OBSERVER_E_OK;
  return err;
}

void obs_acks_hurry(obs_acks *a, uint32_t ms) {
  pthread_mutex_lock(&a->mutex);
  a->hurries = true;
  a->hurry_ms = ms;
  a->stop_at = obs_clock_mono_ms() + ms;
  pthread_cond_signal(&a->cond);
  pthread_mutex_unlock(&a->mutex);
}

void obs_acks_stop(obs_acks *a) {
  pthread_mutex_lock(&a->mutex);
  a->stopping = true;
  pthread_cond_signal(&a->cond);
  pthread_mutex_unlock(&a->mutex);
  if (a->started) (void)pthread_join(a->thread, NULL);
  a->started = false;
}

void obs_acks_close(obs_acks *a) {
  if (a == NULL) return;
  obs_acks_stop(a);
  pthread_cond_destroy(&a->cond);
  pthread_mutex_destroy(&a->mutex);
  free(a);
}

void obs_acks_get_counts(obs_acks *a, obs_acks_counts *out) {
  pthread_mutex_lock(&a->mutex);
  *out = a->counts;
  pthread_mutex_unlock(&a->mutex);
}
