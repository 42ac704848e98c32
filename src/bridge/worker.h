/* A thread with a bounded queue of jobs, run one at a time in the order of their coming. */
#ifndef OBS_BRIDGE_WORKER_H
#define OBS_BRIDGE_WORKER_H

#include <observer/error.h>
#include <stdbool.h>

enum { OBS_WORKER_WAITING = 64 /* jobs that a queue takes */ };

typedef struct obs_worker obs_worker;

/* Part of what is to be done. */
typedef struct obs_worker_job {
  void (*run)(struct obs_worker_job *job);
  struct obs_worker_job *next;
  bool dropped; /* the worker stops: it is only to be answered */
} obs_worker_job;

observer_err obs_worker_start(const char *name, obs_worker **out);
/* False: the queue is full, or the worker has stopped. Any thread. */
bool obs_worker_submit(obs_worker *w, obs_worker_job *job);
/* Waits for the job under way, and runs what is queued as `dropped`: how long a stop takes does not depend on how many
 * wait. NULL is allowed. Then free it, when nobody submits any more. */
void obs_worker_stop(obs_worker *w);
void obs_worker_free(obs_worker *w);

#endif
