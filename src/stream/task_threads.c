#include "stream/task_threads.h"

#include <dirent.h>
#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FEWEST: see obs_task_threads_enough. A_CORE, MOST: what NNG starts; WAIT_MS: for them to have begun. */
enum { FEWEST = 2, A_CORE = 2, MOST = 16, WAIT_MS = 200 };

struct obs_task_threads {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool closing;
  uint32_t n;
  nng_aio *resting[];
};

uint32_t obs_task_threads_enough(void) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores / 2 > FEWEST ? (uint32_t)(cores / 2) : FEWEST;
}

/* The threads of this process that NNG calls so: it tells their number to nobody, and to let all of them rest would end
 * everything. */
static uint32_t count_task_threads(void) {
  static const char name[] = "nng:task\n";
  uint32_t n = 0;
  DIR *dir = opendir("/proc/self/task");
  for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
    char path[64], comm[32] = "";
    (void)snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", e->d_name);
    FILE *f = e->d_name[0] != '.' ? fopen(path, "re") : NULL;
    if (f == NULL) continue;
    n += fgets(comm, sizeof(comm), f) != NULL && strcmp(comm, name) == 0;
    (void)fclose(f);
  }
  if (dir != NULL) (void)closedir(dir);
  return n;
}

/* A thread that was started a moment ago has not its name yet. */
static uint32_t wait_task_threads(void) {
  long started = A_CORE * sysconf(_SC_NPROCESSORS_ONLN);
  uint32_t n = count_task_threads(), expected = started < MOST ? (uint32_t)started : MOST;
  for (int ms = 0; n < expected && ms < WAIT_MS; ms++) {
    nng_msleep(1);
    n = count_task_threads();
  }
  return n;
}

static void rest(void *arg) {
  obs_task_threads *t = arg;
  pthread_mutex_lock(&t->lock);
  while (!t->closing) pthread_cond_wait(&t->changed, &t->lock);
  pthread_mutex_unlock(&t->lock);
}

observer_err obs_task_threads_open(uint32_t keep, obs_task_threads **out) {
  nng_aio *first;
  *out = NULL;
  if (nng_aio_alloc(&first, NULL, NULL) != 0) return OBSERVER_E_NOMEM; /* NNG starts with its first object */
  nng_aio_free(first);
  uint32_t all = wait_task_threads(), n = all > keep ? all - keep : 0;
  obs_task_threads *t = calloc(1, sizeof(*t) + n * sizeof(nng_aio *));
  if (t == NULL) return OBSERVER_E_NOMEM;
  pthread_mutex_init(&t->lock, NULL);
  pthread_cond_init(&t->changed, NULL);
  *out = t;
  for (; t->n < n; t->n++) {
    if (nng_aio_alloc(&t->resting[t->n], rest, t) != 0) {
      obs_task_threads_close(t);
      *out = NULL;
      return OBSERVER_E_NOMEM;
    }
    nng_sleep_aio(0, t->resting[t->n]);
  }
  return OBSERVER_E_OK;
}

void obs_task_threads_close(obs_task_threads *t) {
  if (t == NULL) return;
  pthread_mutex_lock(&t->lock);
  t->closing = true;
  pthread_cond_broadcast(&t->changed);
  pthread_mutex_unlock(&t->lock);
  for (uint32_t i = 0; i < t->n; i++) {
    nng_aio_wait(t->resting[i]);
    nng_aio_free(t->resting[i]);
  }
  pthread_cond_destroy(&t->changed);
  pthread_mutex_destroy(&t->lock);
  free(t);
}
