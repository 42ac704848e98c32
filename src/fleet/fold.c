/* The thread of a partition that is held: begins with a checkpoint that the stream agrees with, folds, writes
 * checkpoints, and ends when the partition is given up or lost. */
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "fleet/again.h"
#include "fleet/worker_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
  FETCH_MS = 500,
  FETCH_MESSAGES = 256,
  FETCH_BYTES = 4 << 20,
  LOCAL_MS = 10000,
  LOCAL_BYTES = 8 << 20,
  KEPT_MS = 60000,
  KEPT_BYTES = 64 << 20,
  CHECK_MS = 10000,
  SILENT_MS = 10000,
  STILL_MS = 2000, /* shorter than servers need to agree on another leader, whose copy may have lost something */
  AGAIN_MS = 6000, /* an edge listens each 5 s */
  HOLE_MS = 300000,
  PAUSE_MS = 500,
  DEAD_MS = 5000
};
#define NS_PER_MS INT64_C(1000000)

static bool goes_on(const obs_fleet_part *x) {
  return !atomic_load(&x->w->gives_up);
}

/* Sleeps for a while, less when the worker is woken. */
static void pause_for(obs_fleet_part *x, uint64_t ms) {
  obs_fleet_worker *w = x->w;
  pthread_mutex_lock(&w->lock);
  if (goes_on(x)) obs_thread_cond_wait_ms(&w->woken, &w->lock, ms);
  pthread_mutex_unlock(&w->lock);
}

static void set_fold(obs_fleet_part *x, obs_partition *fold) {
  pthread_mutex_lock(&x->lock);
  obs_partition *old = x->fold;
  x->fold = fold;
  pthread_mutex_unlock(&x->lock);
  obs_partition_close(old);
}

/* ---- whether the stream still is what was folded ---- */

static obs_checkpoint_agreement agrees(obs_fleet_part *x, uint64_t seq, uint64_t tail) {
  return obs_checkpoint_agrees(x->w->nats, OBS_FLEET_STREAM, seq, tail);
}

/* ---- beginning ---- */

static obs_partition *open_fold(const obs_fleet_part *x) {
  const obs_fleet_worker *w = x->w;
  const obs_partition_opts opts = {
      .p = x->p, .partitions = w->opts.partitions, .stream_id = atomic_load(&w->stream_id), .quiet = w->opts.quiet};
  obs_partition *fold = NULL;
  observer_err err = obs_partition_open(&opts, &fold);
  if (err != OBSERVER_E_OK) obs_log_error("fleet", "partition %" PRIu32 ": %s", x->p, observer_strerror(err));
  return err == OBSERVER_E_OK ? fold : NULL;
}

/* The newest checkpoint below `below`, on disk or in the bucket. NOTFOUND: there is none; NET and the like: not known.
 */
static observer_err find_checkpoint(obs_fleet_part *x, uint64_t below, obs_checkpoint_mark *mark, obs_buf *bytes) {
  obs_fleet_worker *w = x->w;
  char why[OBS_NATS_WHY_MAX] = "";
  const obs_checkpoint_kept *best = NULL;
  observer_err err = obs_checkpoint_read(w->dir_fd, below, mark, bytes);
  if (err != OBSERVER_E_OK && err != OBSERVER_E_NOTFOUND) {
    obs_log_warn("fleet", "partition %" PRIu32 ": checkpoints on disk: %s", x->p, observer_strerror(err));
    err = OBSERVER_E_NOTFOUND;
  }
  for (int i = 0; i < 2; i++) {
    const obs_checkpoint_kept *k = &x->value.last[i];
    bool newer = err != OBSERVER_E_OK || k->stream_seq > mark->stream_seq;
    if (k->id[0] == '\0' || k->stream_id != mark->stream_id || k->stream_seq >= below || !newer) continue;
    if (best == NULL || k->stream_seq > best->stream_seq) best = k;
  }
  if (best == NULL) return err;
  observer_err got = obs_checkpoint_get(w->checkpoints, x->p, best, bytes, why);
  if (got == OBSERVER_E_OK) {
    mark->stream_seq = best->stream_seq;
    mark->tail = best->tail;
    return OBSERVER_E_OK;
  }
  if (got != OBSERVER_E_CORRUPT) return got;
  obs_log_warn("fleet", "partition %" PRIu32 ": a checkpoint of the bucket is passed over: %s", x->p, why);
  return find_checkpoint(x, best->stream_seq, mark, bytes);
}

/* The partition's last message in the stream; 0: it has none. False: not known. */
static bool find_last(const obs_fleet_part *x, uint64_t *last_seq) {
  char filter[OBS_FLEET_SUBJECT_MAX];
  obs_buf message = {0};
  *last_seq = 0;
  obs_fleet_batch_filter(x->p, filter);
  observer_err err = obs_nats_stream_last(x->w->nats, OBS_FLEET_STREAM, filter, last_seq, &message, NULL);
  obs_buf_fini(&message);
  return err == OBSERVER_E_OK || err == OBSERVER_E_NOTFOUND;
}

static void begin_with(obs_fleet_part *x, obs_partition *fold, const obs_checkpoint_mark *mark, uint64_t last_seq) {
  obs_fleet_worker *w = x->w;
  uint64_t now_ms = obs_clock_mono_ms();
  x->tail = mark->tail;
  x->tail_stream_id = mark->stream_id;
  x->tail_seq = x->local_seq = mark->stream_seq;
  x->kept_seq = x->value.last[0].id[0] != '\0' ? x->value.last[0].stream_seq : 0;
  x->catch_up = last_seq;
  x->local_ms = x->kept_ms = x->cycle_ms = x->checked_ms = x->took_ms = now_ms;
  x->local_bytes = x->kept_bytes = 0;
  memset(x->holes, 0, sizeof x->holes);
  x->alone = false;
  atomic_store(&x->rebuilding, mark->stream_seq == 0 && last_seq > 0);
  obs_checkpoint_drop(w->dir_fd, x->p, mark->stream_seq + 1);
  set_fold(x, fold);
  obs_log_debug("fleet", "partition %" PRIu32 ": folds from message %" PRIu64, x->p, mark->stream_seq + 1);
  pthread_mutex_lock(&w->lock);
  w->loaded++;
  w->from_first += mark->stream_seq == 0;
  pthread_mutex_unlock(&w->lock);
}

/* False: not now. */
static bool load(obs_fleet_part *x) {
  obs_fleet_worker *w = x->w;
  obs_nats_stream stream;
  obs_buf bytes = {0};
  bool loaded = false, known = true, gone_back = false;
  uint64_t epoch = atomic_load(&w->epoch), below = UINT64_MAX;
  if (obs_nats_stream_look(w->nats, OBS_FLEET_STREAM, &stream, NULL) != OBSERVER_E_OK) return false;
  if (stream.id != atomic_load(&w->stream_id)) return false; /* the lease thread sees to it */
  if (x->tail_stream_id == stream.id) gone_back = agrees(x, x->tail_seq, x->tail) == OBS_CHECKPOINT_OTHER;
  while (known && !loaded && goes_on(x)) {
    obs_checkpoint_mark mark = {.partitions = w->opts.partitions, .p = x->p, .stream_id = stream.id};
    char reason[OBS_FLEET_REASON_MAX] = "";
    observer_err err = find_checkpoint(x, below, &mark, &bytes);
    if (err == OBSERVER_E_NOTFOUND)
      mark.stream_seq = 0;
    else if (err != OBSERVER_E_OK)
      break;
    obs_checkpoint_agreement is = agrees(x, mark.stream_seq, mark.tail);
    known = is != OBS_CHECKPOINT_UNKNOWN;
    obs_partition *fold = is == OBS_CHECKPOINT_SAME ? open_fold(x) : NULL;
    if (is == OBS_CHECKPOINT_SAME && fold == NULL) break; /* no memory */
    uint64_t last_seq = 0;
    if (is == OBS_CHECKPOINT_SAME && mark.stream_seq == 0 && !find_last(x, &last_seq)) {
      obs_partition_close(fold);
      break;
    }
    if (is == OBS_CHECKPOINT_SAME &&
        (mark.stream_seq == 0 ||
         obs_partition_load(fold, bytes.p, bytes.len, obs_clock_wall_ms(), reason) == OBSERVER_E_OK)) {
      begin_with(x, fold, &mark, last_seq);
      loaded = true;
    } else if (known) {
      obs_log_warn("fleet", "partition %" PRIu32 ": the checkpoint at %" PRIu64 " does not hold: %s", x->p,
                   mark.stream_seq, is == OBS_CHECKPOINT_OTHER ? "the stream has gone back behind it" : reason);
      obs_partition_close(fold);
      gone_back = gone_back || is == OBS_CHECKPOINT_OTHER;
      below = mark.stream_seq;
    }
  }
  if (loaded) x->epoch = epoch;
  if (loaded && gone_back) atomic_fetch_add(&w->rewinds, 1);
  obs_buf_fini(&bytes);
  return loaded;
}

/* ---- folding ---- */

/* It is remembered until it is filled, since the edge may be away, or the question be lost. What is beyond the table is
 * found again with the next batch of its edge. */
static void note_hole(obs_fleet_part *x, const obs_partition_result *r) {
  obs_fleet_hole *h = NULL;
  atomic_fetch_add(&x->w->holes, 1);
  for (int i = OBS_FLEET_HOLES - 1; i >= 0 && (h == NULL || h->edge != r->edge); i--) {
    if (x->holes[i].edge == r->edge || x->holes[i].edge == 0) h = &x->holes[i];
  }
  if (h == NULL) return;
  if (h->edge != r->edge) *h = (obs_fleet_hole){.edge = r->edge, .after = r->after, .since_ms = obs_clock_mono_ms()};
  if (r->until > h->until) h->until = r->until;
}

static bool has_holes(const obs_fleet_part *x) {
  for (int i = 0; i < OBS_FLEET_HOLES; i++) {
    if (x->holes[i].edge != 0) return true;
  }
  return false;
}

static void ask_again(obs_fleet_part *x, obs_fleet_hole *h, uint64_t now_ms) {
  if (h->asked_ms == 0)
    obs_log_warn("fleet", "partition %" PRIu32 ": rows of edge %016" PRIx64 " behind %" PRIu64 " are missing", x->p,
                 h->edge, h->after);
  h->asked_ms = now_ms;
  obs_again_ask(x->w->nats, h->edge, x->p, h->after);
}

static void look_at_holes(obs_fleet_part *x) {
  uint64_t now_ms = obs_clock_mono_ms();
  for (int i = 0; i < OBS_FLEET_HOLES; i++) {
    obs_fleet_hole *h = &x->holes[i];
    if (h->edge == 0) continue;
    uint64_t mark = obs_partition_mark(x->fold, h->edge);
    if (mark > h->after) h->since_ms = now_ms;
    h->after = mark;
    if (mark < h->until && now_ms - h->since_ms < HOLE_MS) {
      if (h->asked_ms == 0 || now_ms - h->asked_ms >= AGAIN_MS) ask_again(x, h, now_ms);
      continue;
    }
    if (mark < h->until)
      obs_log_error("fleet",
                    "partition %" PRIu32 ": edge %016" PRIx64 " has not published rows %" PRIu64 " to %" PRIu64
                    " again: nobody waits for them any more",
                    x->p, h->edge, mark + 1, h->until);
    *h = (obs_fleet_hole){.edge = 0};
  }
}

static void on_dead(void *arg, observer_err err, const char *why, uint64_t seq, bool duplicate) {
  (void)arg;
  (void)seq;
  (void)duplicate;
  if (err != OBSERVER_E_OK) obs_log_warn("fleet", "a message that cannot be read was not put aside: %s", why);
}

/* Put aside under its reason, whose words become one token. The same one again is a duplicate for the server. */
static void put_aside(obs_fleet_part *x, const obs_nats_message *m, const char *reason) {
  char subject[96] = "observer.dead.", id[64], why[OBS_NATS_WHY_MAX] = "";
  size_t n = strlen(subject);
  for (const char *r = reason; *r != '\0' && n < sizeof subject - 1; r++) {
    bool plain = (*r >= 'a' && *r <= 'z') || (*r >= 'A' && *r <= 'Z') || (*r >= '0' && *r <= '9');
    if (plain)
      subject[n++] = *r;
    else if (subject[n - 1] != '-' && subject[n - 1] != '.')
      subject[n++] = '-';
  }
  (void)snprintf(id, sizeof id, "dead.%016" PRIx64 ".%" PRIu64, atomic_load(&x->w->stream_id), m->stream_seq);
  atomic_fetch_add(&x->w->poison, 1);
  obs_log_warn("fleet", "partition %" PRIu32 ": message %" PRIu64 " cannot be read and is put aside: %s", x->p,
               m->stream_seq, reason);
  observer_err err = obs_nats_publish(x->w->nats, subject, id, m->data, m->len, DEAD_MS, on_dead, NULL, why);
  if (err != OBSERVER_E_OK) on_dead(NULL, err, why, 0, false);
}

/* Whether what comes now goes on where the last message was. Servers that lose the end of the stream stand still before
 * they take more, perhaps without any connection ending; and what is folded of the new end hides that the old one is
 * not there any more. */
static bool goes_on_from_tail(obs_fleet_part *x) {
  uint64_t now_ms = obs_clock_mono_ms(), epoch = atomic_load(&x->w->epoch);
  if (epoch == x->epoch && now_ms - x->took_ms < STILL_MS) return true;
  obs_checkpoint_agreement is = agrees(x, x->tail_seq, x->tail);
  x->checked_ms = is == OBS_CHECKPOINT_SAME ? now_ms : 0; /* else at the next turn */
  if (is == OBS_CHECKPOINT_SAME) x->epoch = epoch;
  return is == OBS_CHECKPOINT_SAME;
}

/* What it is given is folded even when its time has just ended: no checkpoint of that lands. */
static bool on_message(void *arg, const obs_nats_message *m) {
  obs_fleet_part *x = arg;
  obs_fleet_worker *w = x->w;
  obs_partition_result r;
  if (!goes_on_from_tail(x)) {
    x->refused = true;
    return false;
  }
  x->took_ms = obs_clock_mono_ms();
  obs_partition_fold(x->fold, m->stream_seq, m->data, m->len, obs_clock_wall_ms(), &r);
  if (r.kind == OBS_PARTITION_REFUSED) {
    obs_log_error("fleet", "partition %" PRIu32 ": message %" PRIu64 " is not taken: %s", x->p, m->stream_seq,
                  r.reason);
    x->refused = true;
    return false;
  }
  if (r.kind == OBS_PARTITION_HOLE) note_hole(x, &r);
  if (r.kind == OBS_PARTITION_POISON) put_aside(x, m, r.reason);
  if (r.kind != OBS_PARTITION_BEHIND) {
    x->tail = obs_checkpoint_tail(m->data, m->len);
    x->tail_seq = m->stream_seq;
  }
  x->alone = false;
  x->local_bytes += m->len;
  x->kept_bytes += m->len;
  atomic_store(&x->at_ms, m->pending > 0 ? m->time_ns / NS_PER_MS : 0);
  atomic_store(&x->pending, m->pending);
  if (m->stream_seq >= x->catch_up || m->pending == 0) atomic_store(&x->rebuilding, false);
  atomic_fetch_add(&w->messages, 1);
  atomic_fetch_add(&w->bytes, m->len);
  atomic_fetch_add(&w->folded, r.folded);
  atomic_fetch_add(&w->duplicate, r.duplicate);
  atomic_fetch_add(&w->rejected, r.rejected);
  return goes_on(x) && obs_fleet_worker_is_valid(w);
}

static void close_pull(obs_fleet_part *x) {
  obs_nats_pull_close(x->pull);
  x->pull = NULL;
  if (x->shares) obs_shared_pull_leave(x->w->shared, x->p);
  x->shares = false;
}

/* The consumer is with one of the servers: where its copy of the stream does not go on any more, it says that there is
 * nothing. The stream's leader knows better, and another consumer may be with another server. */
static void look_for_more(obs_fleet_part *x) {
  uint64_t last_seq, now_ms = obs_clock_mono_ms();
  if (now_ms - x->heard_ms < SILENT_MS) return;
  x->heard_ms = now_ms;
  if (!find_last(x, &last_seq) || last_seq <= x->tail_seq) return;
  obs_log_warn("fleet", "partition %" PRIu32 ": message %" PRIu64 " has not come: it is asked for anew", x->p,
               last_seq);
  close_pull(x);
  x->alone = true;
}

/* When it is known that the stream agrees. A message that was refused, or has not come, is asked for alone: the others
 * need not have what follows it again. */
static void share(obs_fleet_part *x) {
  obs_fleet_worker *w = x->w;
  if (x->shares || x->refused || x->alone || x->epoch != atomic_load(&w->epoch)) return;
  if (!obs_shared_pull_join(w->shared, x->p, x->tail_seq)) return;
  close_pull(x);
  x->shares = true;
}

static observer_err fetch_own(obs_fleet_part *x, char *why) {
  char filter[OBS_FLEET_SUBJECT_MAX];
  observer_err err = OBSERVER_E_OK;
  if (x->pull == NULL) {
    x->heard_ms = obs_clock_mono_ms();
    obs_fleet_batch_filter(x->p, filter);
    err = obs_nats_pull_open(x->w->nats, OBS_FLEET_STREAM, filter, x->tail_seq + 1, &x->pull, why);
  }
  return err == OBSERVER_E_OK ? obs_nats_pull_fetch(x->pull, FETCH_MESSAGES, FETCH_BYTES, FETCH_MS, on_message, x, why)
                              : err;
}

static void fetch(obs_fleet_part *x) {
  char why[OBS_NATS_WHY_MAX] = "";
  share(x);
  x->refused = false;
  observer_err err = x->shares ? obs_shared_pull_fetch(x->w->shared, x->p, FETCH_MS, on_message, x) : fetch_own(x, why);
  if (x->shares && err == OBSERVER_E_NOTFOUND) { /* no member any more */
    x->shares = false;
    err = OBSERVER_E_OK;
  }
  if (err == OBSERVER_E_TIMEDOUT) { /* there is nothing more */
    atomic_store(&x->rebuilding, false);
    atomic_store(&x->pending, 0);
    atomic_store(&x->at_ms, 0);
    look_for_more(x);
  } else if (err != OBSERVER_E_OK || x->refused) {
    if (!x->refused) obs_log_debug("fleet", "partition %" PRIu32 ": %s", x->p, why);
    close_pull(x);
    pause_for(x, PAUSE_MS);
  } else {
    x->heard_ms = obs_clock_mono_ms();
  }
}

/* ---- checkpoints ---- */

static bool save(obs_fleet_part *x, obs_checkpoint_mark *mark, obs_buf *bytes) {
  const obs_fleet_worker *w = x->w;
  *mark = (obs_checkpoint_mark){.partitions = w->opts.partitions,
                                .p = x->p,
                                .stream_id = obs_partition_stream_id(x->fold),
                                .stream_seq = x->tail_seq,
                                .tail = x->tail};
  return obs_partition_save(x->fold, OBS_PARTITION_WHOLE, bytes) == OBSERVER_E_OK && !bytes->oom;
}

static void fail_checkpoint(obs_fleet_part *x, const char *where, const char *why) {
  atomic_fetch_add(&x->w->failed_checkpoints, 1);
  obs_log_warn("fleet", "partition %" PRIu32 ": no checkpoint %s: %s", x->p, where, why);
}

static void write_local(obs_fleet_part *x, const obs_checkpoint_mark *mark, const obs_buf *bytes) {
  x->local_ms = obs_clock_mono_ms();
  if (mark->stream_seq == x->local_seq) return;
  if (obs_checkpoint_write(x->w->dir_fd, mark, bytes->p, bytes->len) != OBSERVER_E_OK) {
    fail_checkpoint(x, "on disk", strerror(errno));
    return;
  }
  x->local_seq = mark->stream_seq;
  x->local_bytes = 0;
  atomic_fetch_add(&x->w->local_checkpoints, 1);
}

/* Writes the value of the lease at the revision that this worker knows: it still holds it, or the write is refused.
 * LOCKED: it is lost. */
static observer_err write_lease(obs_fleet_part *x, const obs_lease_value *value, bool gives, char *why) {
  obs_fleet_worker *w = x->w;
  obs_buf text = {0};
  char key[24];
  (void)snprintf(key, sizeof key, "p.%" PRIu32, x->p);
  obs_lease_value_write(value, &text);
  pthread_mutex_lock(&w->lock);
  bool held = gives ? obs_lease_gives(w->lease, x->p) : obs_lease_holds(w->lease, x->p);
  uint64_t expected = obs_lease_revision(w->lease, x->p), revision = 0;
  pthread_mutex_unlock(&w->lock);
  observer_err err = !held ? OBSERVER_E_LOCKED : text.oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
  if (err == OBSERVER_E_OK && expected == 0) {
    (void)snprintf(why, OBS_NATS_WHY_MAX, "the leases are being read again");
    err = OBSERVER_E_NET;
  }
  if (err == OBSERVER_E_OK) err = obs_nats_kv_update(w->leases, key, text.p, text.len, expected, &revision, why);
  pthread_mutex_lock(&w->lock);
  if (err == OBSERVER_E_OK && gives)
    obs_lease_gave(w->lease, x->p, revision);
  else if (err == OBSERVER_E_OK)
    obs_lease_kept(w->lease, x->p, revision);
  else if (err == OBSERVER_E_LOCKED && obs_lease_revision(w->lease, x->p) == expected)
    obs_lease_lost(w->lease, x->p);
  if (err == OBSERVER_E_LOCKED && held) atomic_store(&w->reread, true); /* perhaps the bucket has gone back */
  pthread_mutex_unlock(&w->lock);
  obs_buf_fini(&text);
  return err;
}

/* `bytes` NULL: what is kept already holds. */
static observer_err write_kept(obs_fleet_part *x, const obs_checkpoint_mark *mark, const obs_buf *bytes, bool gives) {
  obs_fleet_worker *w = x->w;
  char id[OBS_CHECKPOINT_ID + 1], why[OBS_NATS_WHY_MAX] = "";
  obs_lease_value value = x->value;
  obs_checkpoint_kept oldest = {0};
  observer_err err = OBSERVER_E_OK;
  x->kept_ms = obs_clock_mono_ms();
  value.worker = w->id;
  value.run = gives ? 0 : w->run;
  if (bytes != NULL) {
    oldest = value.last[1];
    value.last[1] = value.last[0];
    (void)snprintf(id, sizeof id, "%016" PRIx64 "-%" PRIu64, w->run, ++x->ids);
    err = obs_checkpoint_put(w->checkpoints, mark, id, obs_clock_wall_ms(), bytes->p, bytes->len, &value.last[0], why);
  }
  if (err == OBSERVER_E_OK) err = write_lease(x, &value, gives, why);
  if (err == OBSERVER_E_LOCKED) obs_log_info("fleet", "partition %" PRIu32 ": another worker has taken it over", x->p);
  if (err == OBSERVER_E_LOCKED && bytes != NULL) obs_checkpoint_remove(w->checkpoints, x->p, &value.last[0]);
  if (err != OBSERVER_E_OK) {
    if (err != OBSERVER_E_LOCKED) fail_checkpoint(x, "in the bucket", why);
    return err; /* what was written stays: the answer may be what was lost. Who takes it next sweeps. */
  }
  x->value = value;
  x->kept_seq = mark->stream_seq;
  x->kept_bytes = 0;
  atomic_fetch_add(&w->kept_checkpoints, 1);
  if (oldest.id[0] != '\0') obs_checkpoint_remove(w->checkpoints, x->p, &oldest);
  return OBSERVER_E_OK;
}

static void write_checkpoints(obs_fleet_part *x) {
  uint64_t now_ms = obs_clock_mono_ms();
  bool local = x->tail_seq != x->local_seq && (now_ms - x->local_ms >= LOCAL_MS || x->local_bytes >= LOCAL_BYTES);
  bool kept = x->tail_seq != x->kept_seq && (now_ms - x->kept_ms >= KEPT_MS || x->kept_bytes >= KEPT_BYTES);
  obs_checkpoint_mark mark;
  obs_buf bytes = {0};
  if ((!local && !kept) || has_holes(x)) return; /* whoever begins behind a hole does not know of it */
  if (!save(x, &mark, &bytes))
    fail_checkpoint(x, "anywhere", "out of memory");
  else {
    if (local) write_local(x, &mark, &bytes);
    if (kept && obs_fleet_worker_is_valid(x->w)) (void)write_kept(x, &mark, &bytes, false);
  }
  obs_buf_fini(&bytes);
}

/* Until it is known what came of it: only then may another one fold. */
static void give_up(obs_fleet_part *x) {
  obs_checkpoint_mark mark = {0};
  obs_buf bytes = {0};
  bool whole = x->fold != NULL && x->tail_seq != x->kept_seq && !has_holes(x) && save(x, &mark, &bytes);
  if (whole) write_local(x, &mark, &bytes);
  if (!whole) mark.stream_seq = x->kept_seq;
  for (bool more = true; more && !atomic_load(&x->w->gives_up);) {
    observer_err err = write_kept(x, &mark, whole ? &bytes : NULL, true);
    more = err != OBSERVER_E_OK;
    pthread_mutex_lock(&x->w->lock);
    if (more) obs_thread_cond_wait_ms(&x->w->woken, &x->w->lock, PAUSE_MS);
    more = more && obs_lease_gives(x->w->lease, x->p);
    pthread_mutex_unlock(&x->w->lock);
  }
  obs_buf_fini(&bytes);
}

/* ---- the thread ---- */

/* Behind each reconnect, and now and then: whether the stream has gone back. Then it begins anew. */
static void check_stream(obs_fleet_part *x) {
  obs_fleet_worker *w = x->w;
  uint64_t now_ms = obs_clock_mono_ms(), epoch = atomic_load(&w->epoch);
  if (epoch == x->epoch && now_ms - x->checked_ms < CHECK_MS) return;
  obs_checkpoint_agreement is = agrees(x, x->tail_seq, x->tail);
  if (is == OBS_CHECKPOINT_UNKNOWN) return;
  x->checked_ms = now_ms;
  x->epoch = epoch;
  if (is == OBS_CHECKPOINT_SAME) return;
  obs_log_warn("fleet", "partition %" PRIu32 ": the stream has gone back behind message %" PRIu64, x->p, x->tail_seq);
  close_pull(x);
  set_fold(x, NULL);
}

static void turn(obs_fleet_part *x) {
  obs_fleet_worker *w = x->w;
  if (!obs_fleet_worker_is_valid(w)) {
    pause_for(x, PAUSE_MS);
    return;
  }
  if (x->fold == NULL && !load(x)) {
    pause_for(x, PAUSE_MS);
    return;
  }
  check_stream(x);
  if (x->fold == NULL) return;
  fetch(x);
  look_at_holes(x);
  uint64_t now_ms = obs_clock_mono_ms();
  if (now_ms - x->cycle_ms >= w->opts.cycle_ms) {
    x->cycle_ms = now_ms;
    (void)obs_partition_cycle(x->fold, obs_clock_wall_ms());
  }
  write_checkpoints(x);
}

void *obs_fleet_part_run(void *part) {
  obs_fleet_part *x = part;
  obs_fleet_worker *w = x->w;
  bool gives = false, holds = true;
  obs_checkpoint_sweep(w->checkpoints, x->p, &x->value);
  while (holds && goes_on(x)) {
    turn(x);
    pthread_mutex_lock(&w->lock);
    holds = obs_lease_holds(w->lease, x->p);
    gives = obs_lease_gives(w->lease, x->p);
    pthread_mutex_unlock(&w->lock);
  }
  close_pull(x);
  if (gives) give_up(x);
  set_fold(x, NULL);
  atomic_store(&x->rebuilding, false);
  atomic_store(&x->pending, 0);
  atomic_store(&x->at_ms, 0);
  pthread_mutex_lock(&w->lock);
  x->finished = true;
  pthread_mutex_unlock(&w->lock);
  return NULL;
}
