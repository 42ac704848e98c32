#include "fleet/producers.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/vec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
  PARCELS = 64,         /* on their way at once */
  MESSAGES = 500,       /* of a parcel */
  BYTES = 256 << 10,    /* of a parcel; one message may be larger */
  KEEP_BYTES = 1 << 20, /* of a parcel's memory */
  FETCH_MS = 250,       /* a stop waits so long at most */
  ACK_WAIT_MS = 30000,  /* then a message goes out again */
  MAX_PENDING = 65536,  /* messages that all edges together have */
  REOPEN_MS = 5000,     /* after the servers refused the credentials for good */
  RETRY_MS = 1000,      /* after NATS did not do what it was asked for */
  ROOM_MS = 250,        /* between two looks whether there is room */
  PATIENCE_MS = 2000,   /* what has come waits so long for room in the queue, then others may take it */
  RETURN_MS = 1000,     /* before what was given back goes out again */
  DEAD_MS = 5000,       /* for the answer to a dead letter */
  FLUSH_MS = 1000,
  HEAD_BYTES = 4096 /* of a message, for its headers */
};

typedef enum { RECORDED, DEAD, RETURNED, LEFT } verdict; /* LEFT: it comes again by itself */

typedef struct parcel parcel;

typedef struct {
  parcel *of;
  uint32_t subject, reply; /* in the parcel's texts, each with its NUL */
  size_t off, len;         /* in the parcel's bytes */
  uint64_t stream_seq;
  int64_t time_ms;
  uint32_t first_reject, nrejects, nitems; /* in the batch; nitems: ops, records and rejects */
  verdict verdict;                         /* of a dead letter that is under way: under the mutex */
} message;

/* What came with one fetch. The batch comes first: `done` gets its address. */
struct parcel {
  obs_batch batch;
  obs_producers *owner;
  obs_buf bytes, texts;
  OBS_VEC(message) messages;
  bool judged;      /* the verdicts are there, but for dead letters that are under way */
  uint32_t waiting; /* dead letters that are under way; under the mutex */
  parcel *next;
};

struct obs_producers {
  obs_producers_opts opts;
  obs_nats *nats; /* NULL: refused; changed by the taker, while no parcel is under way */
  pthread_t taker, settler;
  bool taking, settling;

  /* The taker's own. */
  obs_nats_work *work; /* NULL: it has to be opened */
  uint64_t retry_at;   /* monotonic ms */
  uint64_t no_room_ms; /* since when there is none; 0: there is */

  _Atomic uint64_t stream_id; /* of OBSERVER_IN: a part of dead letters' ids */

  pthread_mutex_t mutex;
  pthread_cond_t cond;   /* a parcel is free, there is room, it stops: the taker waits */
  pthread_cond_t settle; /* a parcel has come back, a dead letter was answered: the settler waits */
  bool stopping, ending; /* the taker; the settler */
  bool connected, open;  /* to NATS; the consumer */
  parcel *all[PARCELS];
  parcel *free;
  uint32_t nfree;
  parcel *back, **back_end; /* from commit, or with all of its dead letters answered */
  obs_producers_counts counts;
};

/* ---- parcels ---- */

static parcel *new_parcel(obs_producers *p) {
  parcel *x = calloc(1, sizeof(*x));
  if (x == NULL) return NULL;
  if (obs_batch_init(&x->batch) != OBSERVER_E_OK) {
    free(x);
    return NULL;
  }
  x->owner = p;
  return x;
}

static void destroy_parcel(parcel *x) {
  if (x == NULL) return;
  obs_batch_fini(&x->batch);
  obs_buf_fini(&x->bytes);
  obs_buf_fini(&x->texts);
  OBS_VEC_FINI(&x->messages);
  free(x);
}

/* With the mutex. */
static void keep_parcel(obs_producers *p, parcel *x) {
  x->next = p->free;
  p->free = x;
  p->nfree++;
  pthread_cond_signal(&p->cond);
}

static void free_parcel(obs_producers *p, parcel *x) {
  obs_batch_reset(&x->batch);
  obs_buf_reset(&x->bytes, KEEP_BYTES);
  obs_buf_reset(&x->texts, KEEP_BYTES);
  x->messages.n = 0;
  x->judged = false;
  pthread_mutex_lock(&p->mutex);
  keep_parcel(p, x);
  pthread_mutex_unlock(&p->mutex);
}

/* NULL: none is free now, or it stops. */
static parcel *take_parcel(obs_producers *p) {
  pthread_mutex_lock(&p->mutex);
  if (p->free == NULL && !p->stopping) obs_thread_cond_wait_ms(&p->cond, &p->mutex, ROOM_MS);
  parcel *x = p->stopping ? NULL : p->free;
  if (x != NULL) {
    p->free = x->next;
    p->nfree--;
  }
  pthread_mutex_unlock(&p->mutex);
  return x;
}

/* With the mutex. */
static void push_back(obs_producers *p, parcel *x) {
  x->next = NULL;
  *p->back_end = x;
  p->back_end = &x->next;
  pthread_cond_signal(&p->settle);
}

/* On the commit thread, or where the batch was refused. */
static void parcel_done(obs_batch *b) {
  parcel *x = (parcel *)b;
  obs_producers *p = x->owner;
  pthread_mutex_lock(&p->mutex);
  push_back(p, x);
  pthread_mutex_unlock(&p->mutex);
}

/* ---- taking ---- */

static void add_text(obs_buf *texts, const char *s, uint32_t *at) {
  *at = (uint32_t)texts->len;
  obs_buf_append(texts, s, strlen(s) + 1);
}

/* Without memory it is left alone, and comes again. */
static void on_task(void *arg, const obs_nats_task *t) {
  parcel *x = arg;
  obs_producers *p = x->owner;
  message m = {.of = x, .off = x->bytes.len, .len = t->len, .stream_seq = t->stream_seq};
  m.time_ms = t->time_ns / 1000000;
  add_text(&x->texts, t->subject, &m.subject);
  add_text(&x->texts, t->reply, &m.reply);
  obs_buf_append(&x->bytes, t->data, t->len);
  message *place = x->bytes.oom || x->texts.oom ? NULL : OBS_VEC_PUSH(&x->messages);
  if (place != NULL) *place = m;
  pthread_mutex_lock(&p->mutex);
  if (t->deliveries > 1) p->counts.redelivered++;
  p->counts.pending = t->pending;
  pthread_mutex_unlock(&p->mutex);
}

/* Who publishes there may name any source, and no key: NATS decides who that is. */
static const obs_identity anyone = {.scopes = OBS_SCOPE_INGEST};

static void decode_parcel(parcel *x) {
  obs_producers *p = x->owner;
  obs_batch *b = &x->batch;
  int64_t now_ms = obs_clock_wall_ms();
  b->data = (const uint8_t *)x->bytes.p;
  b->size = x->bytes.len;
  b->transport = OBS_TRANSPORT_NATS;
  b->profile = OBS_PROFILE_V1;
  b->kinds = obs_commit_kinds(p->opts.commit);
  b->redact = obs_commit_redact(p->opts.commit);
  b->identity = &anyone;
  b->owner = x;
  b->done = parcel_done;
  for (uint32_t i = 0; i < x->messages.n; i++) {
    message *m = &x->messages.at[i];
    uint32_t items = obs_batch_items(b);
    m->first_reject = b->nrejects;
    obs_batch_add_message(b, m->off, m->len, OBS_FORMAT_ANY, &p->opts.limits,
                          m->time_ms < now_ms ? m->time_ms : now_ms);
    m->nrejects = b->nrejects - m->first_reject;
    m->nitems = obs_batch_items(b) - items;
  }
  b->identity = NULL;
}

/* Whether commit would take more; `held`: it is not a matter of moments. */
static bool has_room(obs_producers *p, bool *held) {
  char why[160];
  *held = obs_commit_health(p->opts.commit, why, sizeof(why)) != OBSERVER_E_OK;
  return obs_commit_has_room(p->opts.commit, OBS_TRANSPORT_NATS) && !*held;
}

static void refuse_parcel(parcel *x) {
  x->batch.error = OBSERVER_E_FULL;
  x->batch.data = NULL;
  parcel_done(&x->batch);
}

static void submit_parcel(obs_producers *p, parcel *x) {
  bool held;
  if (x->bytes.len == 0) obs_buf_putc(&x->bytes, '\0'); /* nothing but empty messages: still a place */
  if (!has_room(p, &held) && held) {                    /* since it was asked for */
    refuse_parcel(x);
    return;
  }
  decode_parcel(x);
  const obs_batch *b = &x->batch;
  if (b->nrejects > 0)
    obs_log_warn("fleet", "nats: rejected %u of %u, first: %s: op %u: %s", b->nrejects, obs_batch_items(b),
                 x->texts.p + x->messages.at[0].subject, b->rejects[0].index, b->rejects[0].reason);
  if (obs_commit_submit(p->opts.commit, &x->batch) != OBSERVER_E_OK) parcel_done(&x->batch);
}

/* ---- the streams and the consumer ---- */

static observer_err open_work(obs_producers *p, char *why) {
  static const char *const in[] = {OBS_FLEET_IN_SUBJECTS}, *const dead[] = {OBS_FLEET_DEAD_SUBJECTS};
  obs_nats_stream stream;
  uint32_t replicas = p->opts.replicas;
  observer_err err = obs_nats_queue_ensure(p->nats, OBS_FLEET_IN, in, 1, replicas, p->opts.in_bytes, &stream, why);
  if (err == OBSERVER_E_OK)
    err = obs_nats_stream_ensure(p->nats, OBS_FLEET_DEAD, dead, 1, replicas, OBS_FLEET_DEAD_BYTES, NULL, why);
  if (err == OBSERVER_E_OK) {
    atomic_store(&p->stream_id, stream.id);
    err = obs_nats_work_open(p->nats, OBS_FLEET_IN, OBS_FLEET_IN_CONSUMER, ACK_WAIT_MS, MAX_PENDING, &p->work, why);
  }
  return err;
}

static void close_work(obs_producers *p) {
  obs_nats_work_close(p->work);
  p->work = NULL;
}

static void wait_a_while(obs_producers *p, uint32_t ms) {
  pthread_mutex_lock(&p->mutex);
  if (!p->stopping) obs_thread_cond_wait_ms(&p->cond, &p->mutex, ms);
  pthread_mutex_unlock(&p->mutex);
}

static bool is_stopping(obs_producers *p) {
  pthread_mutex_lock(&p->mutex);
  bool stopping = p->stopping;
  pthread_mutex_unlock(&p->mutex);
  return stopping;
}

static void set_open(obs_producers *p, bool open) {
  pthread_mutex_lock(&p->mutex);
  p->open = open;
  pthread_mutex_unlock(&p->mutex);
}

static void on_changed(void *arg, bool connected, const char *why) {
  obs_producers *p = arg;
  (void)why; /* the edge says it */
  pthread_mutex_lock(&p->mutex);
  p->connected = connected;
  pthread_mutex_unlock(&p->mutex);
}

/* Refused credentials end a connection for good: another one is opened, with the files as they are now, when nothing
 * uses this one any more. */
static void reopen(obs_producers *p) {
  char why[OBS_NATS_WHY_MAX] = "";
  pthread_mutex_lock(&p->mutex);
  bool idle = p->nfree == PARCELS;
  pthread_mutex_unlock(&p->mutex);
  if (!idle || obs_clock_mono_ms() < p->retry_at) {
    wait_a_while(p, ROOM_MS);
    return;
  }
  p->retry_at = obs_clock_mono_ms() + REOPEN_MS;
  obs_nats_close(p->nats);
  p->nats = NULL;
  if (obs_nats_open(&p->opts.nats, &p->nats, why) != OBSERVER_E_OK)
    obs_log_warn("fleet", "nothing is taken from " OBS_FLEET_IN_SUBJECTS ": %s", why);
  else
    p->retry_at = 0;
}

/* Whether the consumer is open; else tries, and waits. */
static bool is_open(obs_producers *p) {
  char why[OBS_NATS_WHY_MAX] = "";
  if (p->work != NULL) return true;
  if (p->nats == NULL || obs_nats_is_closed(p->nats)) {
    reopen(p);
    return false;
  }
  if (!obs_nats_is_connected(p->nats)) {
    (void)obs_nats_wait(p->nats, ROOM_MS);
    return false;
  }
  if (obs_clock_mono_ms() < p->retry_at) {
    wait_a_while(p, ROOM_MS);
    return false;
  }
  observer_err err = open_work(p, why);
  p->retry_at = obs_clock_mono_ms() + RETRY_MS;
  set_open(p, err == OBSERVER_E_OK);
  if (err != OBSERVER_E_OK)
    obs_log_warn("fleet", "nothing is taken from " OBS_FLEET_IN_SUBJECTS ": %s",
                 why[0] != '\0' ? why : observer_strerror(err));
  else
    obs_log_info("fleet", "taking what producers publish to " OBS_FLEET_IN_SUBJECTS " (stream " OBS_FLEET_IN ")");
  return err == OBSERVER_E_OK;
}

/* Whether commit has room; else waits, and gives back what has come meanwhile where that takes long. */
static bool wait_for_room(obs_producers *p) {
  bool held;
  uint64_t now = obs_clock_mono_ms();
  if (has_room(p, &held)) {
    p->no_room_ms = 0;
    return true;
  }
  if (p->no_room_ms == 0) p->no_room_ms = now;
  if (held || now - p->no_room_ms >= PATIENCE_MS) obs_nats_work_return(p->work, RETURN_MS);
  wait_a_while(p, ROOM_MS);
  return false;
}

static void fetch(obs_producers *p) {
  char why[OBS_NATS_WHY_MAX] = "";
  parcel *x = take_parcel(p);
  if (x == NULL) return;
  observer_err err = obs_nats_work_fetch(p->work, MESSAGES, BYTES, FETCH_MS, on_task, x, why);
  if (x->messages.n > 0)
    submit_parcel(p, x);
  else
    free_parcel(p, x);
  if (err == OBSERVER_E_OK || err == OBSERVER_E_TIMEDOUT) return;
  obs_log_warn("fleet", "nothing is taken from " OBS_FLEET_IN_SUBJECTS " for now: %s", why);
  set_open(p, false);
  close_work(p);
  /* nats-server 2.9 goes on removing a stream's files when it has said that it is deleted, those of one that is made
   * anew among them. */
  p->retry_at = obs_clock_mono_ms() + RETRY_MS;
}

static void *take(void *arg) {
  obs_producers *p = arg;
  while (!is_stopping(p)) {
    if (is_open(p) && wait_for_room(p)) fetch(p);
  }
  close_work(p); /* what has come and was not taken is given back */
  set_open(p, false);
  return NULL;
}

/* ---- dead letters ---- */

static void on_dead(void *arg, observer_err err, const char *why, uint64_t seq, bool duplicate) {
  message *m = arg;
  parcel *x = m->of;
  obs_producers *p = x->owner;
  (void)seq;
  (void)duplicate;
  bool comes_again = err == OBSERVER_E_NET || err == OBSERVER_E_TIMEDOUT || err == OBSERVER_E_NOMEM;
  if (err != OBSERVER_E_OK)
    obs_log_warn("fleet",
                 "message %" PRIu64 " of " OBS_FLEET_IN " was rejected, and is not put aside in " OBS_FLEET_DEAD
                 "%s: %s",
                 m->stream_seq, comes_again ? " yet" : ", it is in rejected.jsonl alone", why);
  pthread_mutex_lock(&p->mutex);
  m->verdict = comes_again ? LEFT : DEAD;
  if (err != OBSERVER_E_OK && !comes_again) p->counts.dead_lost++;
  if (--x->waiting == 0 && x->judged) push_back(p, x);
  pthread_cond_signal(&p->settle);
  pthread_mutex_unlock(&p->mutex);
}

/* Its own bytes where all of it is rejected as it came; else those of its rejects. */
static void put_body(const parcel *x, const message *m, obs_buf *out) {
  const obs_batch *b = &x->batch;
  const obs_batch_rejected *rejects = b->rejects + m->first_reject;
  bool whole = m->nrejects == m->nitems;
  for (uint32_t i = 0; i < m->nrejects; i++) whole = whole && rejects[i].data == b->data && rejects[i].length > 0;
  if (whole) {
    obs_buf_append(out, x->bytes.p + m->off, m->len);
    return;
  }
  for (uint32_t i = 0; i < m->nrejects; i++) {
    const obs_batch_rejected *r = &rejects[i];
    bool text = r->length > 0 && r->data[r->offset] < 0x80;
    obs_buf_append(out, r->data + r->offset, r->length);
    if (text) obs_buf_putc(out, '\n');
  }
}

/* Sends it; the verdict comes with the answer. FULL: too many are under way. */
static observer_err send_dead(obs_producers *p, parcel *x, message *m, obs_buf *body) {
  const obs_batch_rejected *first = &x->batch.rejects[m->first_reject];
  char subject[64], id[64], count[16], seq[24], why[OBS_NATS_WHY_MAX] = "";
  (void)snprintf(subject, sizeof(subject), "observer.dead.%s", obs_reject_class_names[first->why]);
  (void)snprintf(id, sizeof(id), "in.%016" PRIx64 ".%" PRIu64, atomic_load(&p->stream_id), m->stream_seq);
  (void)snprintf(count, sizeof(count), "%" PRIu32, m->nrejects);
  (void)snprintf(seq, sizeof(seq), "%" PRIu64, m->stream_seq);
  const obs_nats_header headers[] = {{"Observer-Reason", first->reason},
                                     {"Observer-Rejected", count},
                                     {"Observer-Subject", x->texts.p + m->subject},
                                     {"Observer-Seq", seq}};
  uint64_t most = obs_nats_max_payload(p->nats);
  body->len = 0;
  put_body(x, m, body);
  if (body->oom) return OBSERVER_E_NOMEM;
  if (most > HEAD_BYTES && body->len > most - HEAD_BYTES) body->len = most - HEAD_BYTES;
  pthread_mutex_lock(&p->mutex);
  x->waiting++;
  m->verdict = LEFT;
  pthread_mutex_unlock(&p->mutex);
  observer_err err = obs_nats_publish_headers(p->nats, subject, id, headers, sizeof headers / sizeof *headers, body->p,
                                              body->len, DEAD_MS, on_dead, m, why);
  if (err == OBSERVER_E_FULL) {
    pthread_mutex_lock(&p->mutex);
    x->waiting--;
    pthread_mutex_unlock(&p->mutex);
  } else if (err != OBSERVER_E_OK) {
    on_dead(m, err, why, 0, false);
  }
  return err;
}

/* ---- settling ---- */

/* What becomes of each message. Dead letters go out; while too many are under way it waits. */
static void judge(obs_producers *p, parcel *x) {
  obs_buf body = {0};
  const obs_batch *b = &x->batch;
  for (uint32_t i = 0; i < x->messages.n; i++) {
    message *m = &x->messages.at[i];
    if (b->error != OBSERVER_E_OK) {
      m->verdict = RETURNED;
    } else if (m->nrejects == 0) {
      m->verdict = RECORDED;
    } else {
      for (bool again = true; again;) {
        again = send_dead(p, x, m, &body) == OBSERVER_E_FULL;
        pthread_mutex_lock(&p->mutex);
        if (again && p->ending) again = false;
        if (again) obs_thread_cond_wait_ms(&p->settle, &p->mutex, ROOM_MS);
        pthread_mutex_unlock(&p->mutex);
      }
      if (body.oom) { /* it comes again */
        m->verdict = LEFT;
        body.oom = false;
      }
    }
  }
  obs_buf_fini(&body);
  pthread_mutex_lock(&p->mutex);
  x->judged = true;
  if (x->waiting == 0) push_back(p, x);
  pthread_mutex_unlock(&p->mutex);
}

/* Tells NATS. An acknowledgement that does not arrive brings the message again. */
static void settle(obs_producers *p, parcel *x) {
  obs_producers_counts n = {0};
  uint32_t delay_ms = is_stopping(p) ? 0 : RETURN_MS;
  for (uint32_t i = 0; i < x->messages.n; i++) {
    const message *m = &x->messages.at[i];
    const char *reply = x->texts.p + m->reply;
    switch (m->verdict) {
    case RECORDED:
      n.recorded++;
      (void)obs_nats_task_done(p->nats, reply);
      break;
    case DEAD:
      n.dead++;
      (void)obs_nats_task_done(p->nats, reply);
      break;
    case RETURNED:
      n.returned++;
      (void)obs_nats_task_return(p->nats, reply, delay_ms);
      break;
    case LEFT:
      break;
    }
  }
  pthread_mutex_lock(&p->mutex);
  p->counts.recorded += n.recorded;
  p->counts.dead += n.dead;
  p->counts.returned += n.returned;
  pthread_mutex_unlock(&p->mutex);
  free_parcel(p, x);
}

static void *settle_all(void *arg) {
  obs_producers *p = arg;
  pthread_mutex_lock(&p->mutex);
  while (!p->ending || p->back != NULL) {
    parcel *x = p->back;
    if (x == NULL) {
      pthread_cond_wait(&p->settle, &p->mutex);
      continue;
    }
    p->back = x->next;
    if (p->back == NULL) p->back_end = &p->back;
    pthread_mutex_unlock(&p->mutex);
    if (x->judged)
      settle(p, x);
    else
      judge(p, x);
    pthread_mutex_lock(&p->mutex);
  }
  pthread_mutex_unlock(&p->mutex);
  return NULL;
}

/* ---- opening and closing ---- */

static observer_err init_sync(obs_producers *p) {
  if (pthread_mutex_init(&p->mutex, NULL) != 0) return OBSERVER_E_NOMEM;
  observer_err err = obs_thread_cond_init(&p->cond);
  if (err != OBSERVER_E_OK) {
    pthread_mutex_destroy(&p->mutex);
    return err;
  }
  if ((err = obs_thread_cond_init(&p->settle)) == OBSERVER_E_OK) return err;
  pthread_cond_destroy(&p->cond);
  pthread_mutex_destroy(&p->mutex);
  return err;
}

observer_err obs_producers_open(const obs_producers_opts *opts, obs_producers **out) {
  char why[OBS_NATS_WHY_MAX] = "";
  obs_producers *p = calloc(1, sizeof(*p));
  *out = NULL;
  if (p == NULL) return OBSERVER_E_NOMEM;
  p->opts = *opts;
  p->back_end = &p->back;
  observer_err err = init_sync(p);
  if (err != OBSERVER_E_OK) {
    free(p);
    return err;
  }
  for (size_t i = 0; i < PARCELS; i++) {
    if ((p->all[i] = new_parcel(p)) == NULL) {
      obs_producers_close(p);
      return OBSERVER_E_NOMEM;
    }
    keep_parcel(p, p->all[i]);
  }
  p->opts.nats.changed = on_changed;
  p->opts.nats.arg = p;
  err = obs_nats_open(&p->opts.nats, &p->nats, why);
  if (err == OBSERVER_E_INVALID || err == OBSERVER_E_NOMEM) {
    obs_producers_close(p);
    return err;
  }
  if (err != OBSERVER_E_OK) { /* another one is opened later */
    obs_log_error("fleet", "nothing is taken from " OBS_FLEET_IN_SUBJECTS ": %s", why);
    p->retry_at = obs_clock_mono_ms() + REOPEN_MS;
  }
  *out = p;
  return OBSERVER_E_OK;
}

observer_err obs_producers_start(obs_producers *p) {
  observer_err err = obs_thread_start(&p->settler, "obs:settle", settle_all, p);
  p->settling = err == OBSERVER_E_OK;
  if (err == OBSERVER_E_OK) {
    err = obs_thread_start(&p->taker, "obs:take", take, p);
    p->taking = err == OBSERVER_E_OK;
  }
  return err;
}

void obs_producers_room(obs_producers *p) {
  pthread_mutex_lock(&p->mutex);
  pthread_cond_signal(&p->cond);
  pthread_mutex_unlock(&p->mutex);
}

void obs_producers_stop_take(obs_producers *p) {
  pthread_mutex_lock(&p->mutex);
  p->stopping = true;
  pthread_cond_signal(&p->cond);
  pthread_mutex_unlock(&p->mutex);
  if (p->taking) (void)pthread_join(p->taker, NULL);
  p->taking = false;
}

void obs_producers_stop(obs_producers *p, uint32_t ms) {
  uint64_t end = obs_clock_mono_ms() + ms, now = 0;
  char why[OBS_NATS_WHY_MAX];
  obs_producers_stop_take(p);
  pthread_mutex_lock(&p->mutex);
  while (p->settling && p->nfree < PARCELS && (now = obs_clock_mono_ms()) < end)
    obs_thread_cond_wait_ms(&p->cond, &p->mutex, end - now);
  p->ending = true;
  pthread_cond_signal(&p->settle);
  pthread_mutex_unlock(&p->mutex);
  if (p->settling) (void)pthread_join(p->settler, NULL);
  p->settling = false;
  if (p->nats != NULL) (void)obs_nats_flush(p->nats, FLUSH_MS, why);
}

void obs_producers_close(obs_producers *p) {
  if (p == NULL) return;
  obs_producers_stop(p, 0);
  obs_nats_close(p->nats); /* from here on nothing calls back */
  for (size_t i = 0; i < PARCELS; i++) destroy_parcel(p->all[i]);
  pthread_cond_destroy(&p->settle);
  pthread_cond_destroy(&p->cond);
  pthread_mutex_destroy(&p->mutex);
  free(p);
}

void obs_producers_get_counts(obs_producers *p, obs_producers_counts *out) {
  pthread_mutex_lock(&p->mutex);
  *out = p->counts;
  out->connected = p->connected && p->open;
  pthread_mutex_unlock(&p->mutex);
}
