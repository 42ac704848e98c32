#include "base/thread.h"
#include "observerctl/ask/http.h"
#include "observerctl/top/top.h"

#include <sys/eventfd.h>
#include <unistd.h>

static bool is_stopped(void *arg) {
  return atomic_load(&((obs_top_fetch *)arg)->stop);
}

static void hand_over(obs_top_fetch *f, obs_top_data *data) {
  pthread_mutex_lock(&f->mutex);
  obs_top_data *old = f->data;
  f->data = data;
  pthread_mutex_unlock(&f->mutex);
  obs_top_data_free(old);
  (void)eventfd_write(f->event_fd, 1);
}

static void *fetch(void *arg) {
  obs_top_fetch *f = arg;
  bool ask_clusters = true;
  while (!is_stopped(f)) {
    obs_top_data *data = obs_top_data_get(f->url, &ask_clusters);
    if (data != NULL) hand_over(f, data);
    pthread_mutex_lock(&f->mutex);
    if (!is_stopped(f)) obs_thread_cond_wait_ms(&f->cond, &f->mutex, f->interval_ms);
    pthread_mutex_unlock(&f->mutex);
  }
  return NULL;
}

bool obs_top_fetch_open(obs_top_fetch *f, const char *url, uint64_t interval_ms) {
  *f = (obs_top_fetch){.url = url, .interval_ms = interval_ms, .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  atomic_init(&f->stop, false);
  if (pthread_mutex_init(&f->mutex, NULL) != 0) return false;
  if (f->event_fd < 0 || obs_thread_cond_init(&f->cond) != OBSERVER_E_OK) return false;
  obs_http_set_stop(is_stopped, f);
  f->running = obs_thread_start(&f->thread, "obs:top", fetch, f) == OBSERVER_E_OK;
  return f->running;
}

obs_top_data *obs_top_fetch_take(obs_top_fetch *f) {
  eventfd_t count;
  (void)eventfd_read(f->event_fd, &count);
  pthread_mutex_lock(&f->mutex);
  obs_top_data *data = f->data;
  f->data = NULL;
  pthread_mutex_unlock(&f->mutex);
  return data;
}

void obs_top_fetch_close(obs_top_fetch *f) {
  if (f->running) {
    pthread_mutex_lock(&f->mutex);
    atomic_store(&f->stop, true);
    pthread_cond_signal(&f->cond);
    pthread_mutex_unlock(&f->mutex);
    pthread_join(f->thread, NULL);
  }
  obs_http_set_stop(NULL, NULL);
  obs_top_data_free(f->data);
  if (f->event_fd >= 0) close(f->event_fd);
}
