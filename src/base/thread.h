/* Named threads. A thread is always joined by who started it. */
#ifndef OBS_BASE_THREAD_H
#define OBS_BASE_THREAD_H

#include <observer/error.h>
#include <pthread.h>
#include <stdint.h>

/* Starts `fn(arg)` as a thread called `name` (at most 15 bytes, `obs:...`). */
observer_err obs_thread_start(pthread_t *thread, const char *name, void *(*fn)(void *), void *arg);
/* The calling thread steps back behind those who record, by so much (nice(2)). Not to the lowest: a lock that it holds
 * while others have the processor is kept from them for as long as it waits for its turn. */
void obs_thread_step_back(int nice);
/* A condition variable whose timed waits use CLOCK_MONOTONIC. */
observer_err obs_thread_cond_init(pthread_cond_t *cond);
/* Waits at most `ms` milliseconds; spurious wake-ups happen. */
void obs_thread_cond_wait_ms(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t ms);

#endif
