#include "bridge/worker.h"

#include "base/thread.h"

#include <stdlib.h>

/* NICE: who looks waits for who records. */
enum { NICE = 5 };

struct obs_worker {
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  obs_worker_job *head, **tail;
  uint32_t waiting;
  bool stop;
};

static void *work(void *arg) {
  obs_worker *w = arg;
  obs_thread_step_back(NICE);
  for (;;) {
    pthread_mutex_lock(&w->mutex);
    while (w->head == NULL && !w->stop) pthread_cond_wait(&w->wake, &w->mutex);
    obs_worker_job *job = w->head;
    if (job != NULL) {
      w->head = job->next;
      if (w->head == NULL) w->tail = &w->head;
      w->waiting--;
      job->dropped = w->stop;
    }
    pthread_mutex_unlock(&w->mutex);
    if (job == NULL) return NULL; /* stopped, and nothing is left */
    job->run(job);
  }
}

observer_err obs_worker_start(const char *name, obs_worker **out) {
  obs_worker *w = calloc(1, sizeof *w);
  if (w == NULL) return OBSERVER_E_NOMEM;
  w->tail = &w->head;
  pthread_mutex_init(&w->mutex, NULL); /* the default kind does not fail */
  pthread_cond_init(&w->wake, NULL);   /* likewise */
  observer_err err = obs_thread_start(&w->thread, name, work, w);
  if (err == OBSERVER_E_OK) {
    *out = w;
    return err;
  }
  pthread_cond_destroy(&w->wake);
  pthread_mutex_destroy(&w->mutex);
  free(w);
  return err;
}

bool obs_worker_submit(obs_worker *w, obs_worker_job *job) {
  pthread_mutex_lock(&w->mutex);
  bool room = w->waiting < OBS_WORKER_WAITING && !w->stop;
  if (room) {
    job->next = NULL;
    *w->tail = job;
    w->tail = &job->next;
    w->waiting++;
    pthread_cond_signal(&w->wake);
  }
  pthread_mutex_unlock(&w->mutex);
  return room;
}

void obs_worker_stop(obs_worker *w) {
  if (w == NULL) return;
  pthread_mutex_lock(&w->mutex);
  w->stop = true;
  pthread_cond_signal(&w->wake);
  pthread_mutex_unlock(&w->mutex);
  pthread_join(w->thread, NULL);
}

void obs_worker_free(obs_worker *w) {
  if (w == NULL) return;
  pthread_cond_destroy(&w->wake);
  pthread_mutex_destroy(&w->mutex);
  free(w);
}
