/* What the system knows of this process. What cannot be read is 0. Reads /proc: not for NNG's threads. */
#ifndef OBS_METRICS_PROCESS_H
#define OBS_METRICS_PROCESS_H

#include "metrics/metrics.h"

void obs_metrics_read_process(obs_metrics_process *out);

#endif
