#include "base/thread.h"

#include <errno.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

observer_err obs_thread_start(pthread_t *thread, const char *name, void *(*fn)(void *), void *arg) {
  int rc = pthread_create(thread, NULL, fn, arg);
  if (rc != 0) return rc == EAGAIN ? OBSERVER_E_NOMEM : OBSERVER_E_INVALID;
  (void)pthread_setname_np(*thread, name); /* for people only */
  return OBSERVER_E_OK;
}

void obs_thread_step_back(int nice) {
  /* Of this thread alone, on Linux. Where it is not allowed, it runs as the others do. */
  id_t self = (id_t)syscall(SYS_gettid);
  errno = 0; /* -1 is a priority, too */
  int now = getpriority(PRIO_PROCESS, self);
  if (errno == 0) (void)setpriority(PRIO_PROCESS, self, now + nice);
}

observer_err obs_thread_cond_init(pthread_cond_t *cond) {
  pthread_condattr_t attr;
  if (pthread_condattr_init(&attr) != 0) return OBSERVER_E_NOMEM;
  int rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  if (rc == 0) rc = pthread_cond_init(cond, &attr);
  pthread_condattr_destroy(&attr);
  return rc == 0 ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

void obs_thread_cond_wait_ms(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t ms) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  ts.tv_sec += (time_t)(ms / 1000);
  ts.tv_nsec += (long)(ms % 1000) * 1000000;
  if (ts.tv_nsec >= 1000000000) {
    ts.tv_sec++;
    ts.tv_nsec -= 1000000000;
  }
  (void)pthread_cond_timedwait(cond, mutex, &ts); /* a time-out is what the caller asked for */
}
