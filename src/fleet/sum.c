/* Answers of a worker: who asks on OBS_FLEET_SUM gets, on `<reply>.<p>.<stream seq>.<run>.<rebuilding>.<k>.<n>`, part k
 * of n of the view of each partition that is held here. libnats' thread only notes who asks. */
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "fleet/worker_internal.h"

#include <inttypes.h>
#include <stdio.h>

static void on_asked(void *arg, const char *subject, const char *reply, const void *data, size_t len) {
  obs_fleet_worker *w = arg;
  (void)subject;
  (void)data;
  (void)len;
  if (reply == NULL || strlen(reply) >= OBS_FLEET_REPLY_MAX) return;
  pthread_mutex_lock(&w->asked_lock);
  if (w->nasked < OBS_FLEET_ASKERS) { /* else who asks hears nothing from here, and takes the checkpoints */
    (void)snprintf(w->asked[w->nasked++], OBS_FLEET_REPLY_MAX, "%s", reply);
    pthread_cond_signal(&w->asked_woken);
  }
  pthread_mutex_unlock(&w->asked_lock);
}

static void send_view(obs_fleet_part *x, const char *reply, const obs_buf *view, uint64_t stream_seq) {
  char subject[OBS_FLEET_REPLY_MAX + 96];
  size_t n = (view->len + OBS_FLEET_PART - 1) / OBS_FLEET_PART;
  for (size_t k = 0; k < n; k++) {
    size_t at = k * OBS_FLEET_PART, len = view->len - at < OBS_FLEET_PART ? view->len - at : OBS_FLEET_PART;
    (void)snprintf(subject, sizeof subject, "%s.%" PRIu32 ".%" PRIu64 ".%016" PRIx64 ".%d.%zu.%zu", reply, x->p,
                   stream_seq, x->w->run, atomic_load(&x->rebuilding), k, n);
    if (obs_nats_send(x->w->nats, subject, NULL, view->p + at, len) != OBSERVER_E_OK) return; /* it takes what it has */
  }
}

static void answer(obs_fleet_worker *w, const char *reply, obs_buf *view) {
  for (uint32_t p = 0; p < w->opts.partitions; p++) {
    obs_fleet_part *x = &w->parts[p];
    uint64_t seq = 0;
    obs_buf_reset(view, OBS_FLEET_PART);
    pthread_mutex_lock(&x->lock);
    if (x->fold != NULL && obs_fleet_worker_is_valid(w)) {
      seq = obs_partition_stream_seq(x->fold);
      if (obs_partition_save(x->fold, OBS_PARTITION_VIEW, view) != OBSERVER_E_OK) view->len = 0;
    }
    pthread_mutex_unlock(&x->lock);
    if (view->len > 0) send_view(x, reply, view, seq);
  }
}

static void *run(void *arg) {
  obs_fleet_worker *w = arg;
  obs_buf view = {0};
  pthread_mutex_lock(&w->asked_lock);
  while (!atomic_load(&w->stopping) || w->nasked > 0) {
    char reply[OBS_FLEET_REPLY_MAX];
    if (w->nasked == 0) {
      obs_thread_cond_wait_ms(&w->asked_woken, &w->asked_lock, 1000);
      continue;
    }
    memcpy(reply, w->asked[0], sizeof reply);
    memmove(w->asked[0], w->asked[1], --w->nasked * sizeof w->asked[0]);
    pthread_mutex_unlock(&w->asked_lock);
    answer(w, reply, &view);
    pthread_mutex_lock(&w->asked_lock);
  }
  pthread_mutex_unlock(&w->asked_lock);
  obs_buf_fini(&view);
  return NULL;
}

observer_err obs_fleet_sum_start(obs_fleet_worker *w, char *error, size_t size) {
  char why[OBS_NATS_WHY_MAX] = "";
  observer_err err = obs_nats_listen(w->nats, OBS_FLEET_SUM, on_asked, w, &w->listener, why);
  if (err != OBSERVER_E_OK) {
    (void)snprintf(error, size, "%s", why);
    return err;
  }
  err = obs_thread_start(&w->sum_thread, "obs:sum", run, w);
  w->sum_started = err == OBSERVER_E_OK;
  return err;
}

void obs_fleet_sum_stop(obs_fleet_worker *w) {
  obs_nats_listener_close(w->listener);
  w->listener = NULL;
  if (!w->sum_started) return;
  pthread_mutex_lock(&w->asked_lock);
  pthread_cond_signal(&w->asked_woken);
  pthread_mutex_unlock(&w->asked_lock);
  (void)pthread_join(w->sum_thread, NULL);
  w->sum_started = false;
}
