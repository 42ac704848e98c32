/* The worker's queue: order, and what a stop does with those that wait. */
#include "bridge/worker.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

enum { QUEUED = 3, PROBES = OBS_WORKER_WAITING - QUEUED };

static sem_t started, go;
static int order[OBS_WORKER_WAITING + 1];
static int nrun;

typedef struct {
  obs_worker_job job;
  int number;
} numbered;

/* Negative: it was dropped. */
static void note(obs_worker_job *job) {
  int number = ((numbered *)job)->number;
  order[nrun++] = job->dropped ? -number : number;
}

static void hold(obs_worker_job *job) {
  note(job);
  (void)sem_post(&started);
  (void)sem_wait(&go);
}

static void *stop(void *worker) {
  obs_worker_stop(worker);
  return NULL;
}

static void test_a_stop_drops_what_waits(void **state) {
  (void)state;
  obs_worker *w;
  pthread_t stopper;
  numbered first = {{.run = hold}, 1}, queued[QUEUED], probes[PROBES];
  assert_int_equal(sem_init(&started, 0, 0), 0);
  assert_int_equal(sem_init(&go, 0, 0), 0);
  assert_int_equal(obs_worker_start("obs:test", &w), OBSERVER_E_OK);
  assert_true(obs_worker_submit(w, &first.job));
  assert_int_equal(sem_wait(&started), 0);
  for (int i = 0; i < QUEUED; i++) {
    queued[i] = (numbered){{.run = note}, i + 2};
    assert_true(obs_worker_submit(w, &queued[i].job));
  }
  assert_int_equal(pthread_create(&stopper, NULL, stop, w), 0);
  int n = 0; /* a worker that stops takes no more */
  for (bool taken = true; taken && n < PROBES; n += taken) {
    probes[n] = (numbered){{.run = note}, QUEUED + 2 + n};
    taken = obs_worker_submit(w, &probes[n].job);
    if (taken) (void)usleep(100000);
  }
  assert_true(n < PROBES);
  assert_int_equal(sem_post(&go), 0);
  assert_int_equal(pthread_join(stopper, NULL), 0);
  assert_int_equal(nrun, 1 + QUEUED + n);
  assert_int_equal(order[0], 1);
  for (int i = 1; i < nrun; i++) assert_int_equal(order[i], -(i + 1));
  obs_worker_free(w);
  (void)sem_destroy(&started);
  (void)sem_destroy(&go);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_stop_drops_what_waits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
