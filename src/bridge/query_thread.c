#include "bridge/query_thread.h"

#include "base/thread.h"
#include "bridge/connection.h"
#include "bridge/route.h"

#include <stdlib.h>

struct obs_query_thread {
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  obs_connection *head, **tail;
  uint32_t waiting;
  bool stop;
  obs_batch rows; /* scratch of the thread */
};

/* NULL: stopped and nothing left. */
static obs_connection *take(obs_query_thread *q) {
  pthread_mutex_lock(&q->mutex);
  while (q->head == NULL && !q->stop) pthread_cond_wait(&q->wake, &q->mutex);
  obs_connection *s = q->head;
  if (s != NULL) {
    q->head = s->next_job;
    if (q->head == NULL) q->tail = &q->head;
    q->waiting--;
  }
  pthread_mutex_unlock(&q->mutex);
  return s;
}

static void *run(void *arg) {
  obs_query_thread *q = arg;
  for (obs_connection *s; (s = take(q)) != NULL;) {
    s->route->work(s, &q->rows);
    obs_connection_resume(s);
  }
  return NULL;
}

observer_err obs_query_thread_start(obs_query_thread **out) {
  obs_query_thread *q = calloc(1, sizeof *q);
  if (q == NULL) return OBSERVER_E_NOMEM;
  q->tail = &q->head;
  observer_err err = obs_batch_init(&q->rows);
  if (err != OBSERVER_E_OK) {
    free(q);
    return err;
  }
  pthread_mutex_init(&q->mutex, NULL); /* the default kind does not fail */
  err = obs_thread_cond_init(&q->wake);
  if (err == OBSERVER_E_OK) {
    err = obs_thread_start(&q->thread, "obs:query", run, q);
    if (err == OBSERVER_E_OK) {
      *out = q;
      return OBSERVER_E_OK;
    }
    pthread_cond_destroy(&q->wake);
  }
  pthread_mutex_destroy(&q->mutex);
  obs_batch_fini(&q->rows);
  free(q);
  return err;
}

bool obs_query_thread_submit(obs_query_thread *q, obs_connection *s) {
  pthread_mutex_lock(&q->mutex);
  bool room = q->waiting < OBS_QUERIES_WAITING;
  if (room) {
    s->next_job = NULL;
    *q->tail = s;
    q->tail = &s->next_job;
    q->waiting++;
    pthread_cond_signal(&q->wake);
  }
  pthread_mutex_unlock(&q->mutex);
  return room;
}

void obs_query_thread_stop(obs_query_thread *q) {
  if (q == NULL) return;
  pthread_mutex_lock(&q->mutex);
  q->stop = true;
  pthread_cond_signal(&q->wake);
  pthread_mutex_unlock(&q->mutex);
  pthread_join(q->thread, NULL);
  pthread_cond_destroy(&q->wake);
  pthread_mutex_destroy(&q->mutex);
  obs_batch_fini(&q->rows);
  free(q);
}
