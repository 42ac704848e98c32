/* How many of NNG's task threads run callbacks.
 *
 * NNG starts two task threads a core, for callbacks that may wait. Ours never do, and all these threads take their work
 * from one list: a thread that is woken for each message and finds the list's lock taken sleeps again at once, which
 * costs more than the message. With fewer of them each finds the next callback when it is done with one: `GET /stats`
 * 125 k/s with four threads on two cores, 165 k/s with two. The others are given a callback that waits until close.
 *
 * Owner: the daemon. Any one thread at a time. */
#ifndef OBS_STREAM_TASK_THREADS_H
#define OBS_STREAM_TASK_THREADS_H

#include <observer/error.h>
#include <stdint.h>

typedef struct obs_task_threads obs_task_threads;

/* Half as many as there are cores, but two: a callback of NNG's own may need another one to end. */
uint32_t obs_task_threads_enough(void);
/* Leaves `keep` of NNG's task threads; more where /proc does not show them. */
observer_err obs_task_threads_open(uint32_t keep, obs_task_threads **out);
/* They all run callbacks again. NULL is allowed. */
void obs_task_threads_close(obs_task_threads *t);

#endif
