#include "fleet/query.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "fleet/checkpoint.h"
#include "fleet/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { INBOX = 48, CHUNKS_MAX = OBS_FLEET_ANSWER_MAX / OBS_FLEET_PART };

/* Of a partition, what its worker has sent so far. Where two answer for it, the one that has folded more counts. */
typedef struct {
  obs_buf chunks[CHUNKS_MAX]; /* those that came; len 0: not yet */
  uint64_t stream_seq, run;
  uint32_t n, have; /* n 0: nothing came */
  bool rebuilding;
} answer;

struct obs_fleet_query {
  obs_nats *nats;
  uint32_t partitions;
  char inbox[INBOX];
  obs_nats_listener *listener;
  obs_nats_kv *leases, *checkpoints;
  pthread_mutex_t turn; /* one question at a time */
  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t came;
  uint64_t number; /* of the question under way; answers to others are passed over */
  uint32_t whole;
  answer *answers;
};

static void forget(answer *a) {
  for (uint32_t k = 0; k < CHUNKS_MAX; k++) obs_buf_fini(&a->chunks[k]);
  *a = (answer){.n = 0};
}

static bool is_whole(const answer *a) {
  return a->n > 0 && a->have == a->n;
}

/* On libnats' thread. `<inbox>.<number>.<p>.<stream seq>.<run>.<rebuilding>.<k>.<n>` */
static void on_answer(void *arg, const char *subject, const char *reply, const void *data, size_t len) {
  obs_fleet_query *q = arg;
  uint64_t number, seq, run;
  uint32_t p, rebuilding, k, n;
  (void)reply;
  size_t skip = strlen(q->inbox);
  if (strlen(subject) <= skip ||
      sscanf(subject + skip, ".%" SCNu64 ".%" SCNu32 ".%" SCNu64 ".%" SCNx64 ".%" SCNu32 ".%" SCNu32 ".%" SCNu32,
             &number, &p, &seq, &run, &rebuilding, &k, &n) != 7)
    return;
  if (p >= q->partitions || n == 0 || n > CHUNKS_MAX || k >= n || len == 0 || len > OBS_FLEET_PART) return;
  pthread_mutex_lock(&q->lock);
  answer *a = &q->answers[p];
  bool mine = number == q->number;
  if (mine && (a->n == 0 || seq > a->stream_seq)) {
    if (is_whole(a)) q->whole--;
    forget(a);
    a->stream_seq = seq;
    a->run = run;
    a->n = n;
    a->rebuilding = rebuilding != 0;
  }
  if (mine && seq == a->stream_seq && run == a->run && n == a->n && a->chunks[k].len == 0) {
    obs_buf_append(&a->chunks[k], data, len);
    a->have += !a->chunks[k].oom;
    if (is_whole(a) && ++q->whole == q->partitions) pthread_cond_signal(&q->came);
  }
  pthread_mutex_unlock(&q->lock);
}

observer_err obs_fleet_query_open(obs_nats *nats, uint32_t partitions, obs_fleet_query **out) {
  uint64_t id;
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  obs_fleet_query *q = calloc(1, sizeof *q);
  if (q == NULL) return err;
  q->nats = nats;
  q->partitions = partitions;
  pthread_mutex_init(&q->turn, NULL); /* the default kind does not fail */
  pthread_mutex_init(&q->lock, NULL);
  if ((err = obs_thread_cond_init(&q->came)) != OBSERVER_E_OK) goto fail;
  err = OBSERVER_E_NOMEM;
  q->answers = calloc(partitions, sizeof *q->answers);
  if (q->answers == NULL || getrandom(&id, sizeof id, 0) != sizeof id) goto fail;
  (void)snprintf(q->inbox, sizeof q->inbox, "observer.got.%016" PRIx64, id);
  char all[INBOX + 2];
  (void)snprintf(all, sizeof all, "%s.>", q->inbox);
  if ((err = obs_nats_listen(nats, all, on_answer, q, &q->listener, NULL)) != OBSERVER_E_OK) goto fail;
  *out = q;
  return OBSERVER_E_OK;
fail:
  obs_fleet_query_close(q);
  return err;
}

void obs_fleet_query_close(obs_fleet_query *q) {
  if (q == NULL) return;
  obs_nats_listener_close(q->listener);
  obs_nats_kv_close(q->leases);
  obs_nats_kv_close(q->checkpoints);
  for (uint32_t p = 0; q->answers != NULL && p < q->partitions; p++) forget(&q->answers[p]);
  free(q->answers);
  pthread_mutex_destroy(&q->turn);
  pthread_mutex_destroy(&q->lock);
  pthread_cond_destroy(&q->came);
  free(q);
}

/* Asks all workers, and waits until each partition has come, or nobody can be expected any more. */
static observer_err gather(obs_fleet_query *q) {
  char reply[INBOX + 24];
  pthread_mutex_lock(&q->lock);
  for (uint32_t p = 0; p < q->partitions; p++) forget(&q->answers[p]);
  q->whole = 0;
  (void)snprintf(reply, sizeof reply, "%s.%" PRIu64, q->inbox, ++q->number);
  pthread_mutex_unlock(&q->lock);
  observer_err err = obs_nats_send(q->nats, OBS_FLEET_SUM, reply, "", 0);
  if (err != OBSERVER_E_OK) return err;
  uint64_t end_ms = obs_clock_mono_ms() + OBS_FLEET_WAIT_MS, now_ms;
  pthread_mutex_lock(&q->lock);
  while (q->whole < q->partitions && (now_ms = obs_clock_mono_ms()) < end_ms)
    obs_thread_cond_wait_ms(&q->came, &q->lock, end_ms - now_ms);
  q->number++; /* what comes later is for nobody */
  pthread_mutex_unlock(&q->lock);
  return OBSERVER_E_OK;
}

static void add(obs_merge *m, uint32_t p, const obs_buf *bytes, int64_t made_ms, bool rebuilding) {
  char reason[OBS_FLEET_REASON_MAX] = "";
  observer_err err = obs_merge_add(m, bytes->p, bytes->len, made_ms, rebuilding, obs_clock_wall_ms(), reason);
  if (err != OBSERVER_E_OK)
    obs_log_warn("fleet", "partition %" PRIu32 " is missing in an answer: %s", p,
                 reason[0] != '\0' ? reason : observer_strerror(err));
}

/* The last checkpoint of a partition that nobody has answered for. */
static void add_checkpoint(obs_fleet_query *q, obs_merge *m, uint32_t p, obs_buf *bytes) {
  char key[24], why[OBS_NATS_WHY_MAX] = "";
  obs_lease_value value;
  obs_buf text = {0};
  (void)snprintf(key, sizeof key, "p.%" PRIu32, p);
  observer_err err = obs_nats_kv_get(q->leases, key, &text, NULL, why);
  bool there = err == OBSERVER_E_OK && !text.oom && obs_lease_value_read(text.p, text.len, &value);
  for (int i = 0; there && i < 2 && value.last[i].id[0] != '\0'; i++) {
    if (obs_checkpoint_get(q->checkpoints, p, &value.last[i], bytes, why) != OBSERVER_E_OK) continue;
    add(m, p, bytes, value.last[i].made_ms, false);
    break;
  }
  obs_buf_fini(&text);
}

static observer_err put_together(obs_fleet_query *q, obs_merge *m) {
  obs_buf bytes = {0};
  observer_err err = OBSERVER_E_OK;
  if (q->whole < q->partitions && q->leases == NULL)
    err = obs_nats_kv_open(q->nats, OBS_FLEET_LEASES, 1, 0, &q->leases, NULL);
  if (err == OBSERVER_E_OK && q->whole < q->partitions && q->checkpoints == NULL)
    err = obs_nats_kv_open(q->nats, OBS_FLEET_CHECKPOINTS, 1, 0, &q->checkpoints, NULL);
  for (uint32_t p = 0; err == OBSERVER_E_OK && p < q->partitions; p++) {
    const answer *a = &q->answers[p];
    obs_buf_reset(&bytes, SIZE_MAX);
    if (!is_whole(a)) {
      add_checkpoint(q, m, p, &bytes);
      continue;
    }
    for (uint32_t k = 0; k < a->n; k++) obs_buf_append(&bytes, a->chunks[k].p, a->chunks[k].len);
    if (bytes.oom)
      err = OBSERVER_E_NOMEM;
    else
      add(m, p, &bytes, obs_clock_wall_ms(), a->rebuilding);
  }
  obs_buf_fini(&bytes);
  return err;
}

observer_err obs_fleet_query_ask(obs_fleet_query *q, uint32_t ring, obs_merge **out, char *error, size_t size) {
  obs_merge *m = NULL;
  observer_err err = OBSERVER_E_NET;
  *out = NULL;
  pthread_mutex_lock(&q->turn);
  if (obs_nats_is_connected(q->nats)) err = gather(q);
  if (err == OBSERVER_E_OK) err = obs_merge_open(q->partitions, ring, &m);
  if (err == OBSERVER_E_OK) err = put_together(q, m); /* nobody writes the answers any more */
  pthread_mutex_unlock(&q->turn);
  if (err == OBSERVER_E_NET)
    (void)snprintf(error, size, "NATS is away");
  else if (err != OBSERVER_E_OK)
    (void)snprintf(error, size, "%s", observer_strerror(err));
  if (err != OBSERVER_E_OK) obs_merge_close(m);
  if (err == OBSERVER_E_OK) *out = m;
  return err;
}
