/* The thread `obs:query`: runs the routes that may block, one at a time, from a bounded queue. */
#ifndef OBS_BRIDGE_QUERY_THREAD_H
#define OBS_BRIDGE_QUERY_THREAD_H

#include "bridge/internal.h"

observer_err obs_query_thread_start(obs_query_thread **out);
/* Takes a parked session; it is resumed when its route's work is done. False: the queue is full. Any thread. */
bool obs_query_thread_submit(obs_query_thread *q, obs_connection *s);
/* Finishes what is queued, joins, frees. NULL is allowed. */
void obs_query_thread_stop(obs_query_thread *q);

#endif
