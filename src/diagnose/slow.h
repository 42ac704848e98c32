/* Durations that rose from some op on.
 *
 * The logarithms of the durations are compared, less what is usual for each value of each column and for the part of
 * the window; outliers are cut, so that a few long ones do not count for many. The value whose durations show the
 * clearest step is a cause; its step is taken out, and the rest is looked at again. */
#ifndef OBS_DIAGNOSE_SLOW_H
#define OBS_DIAGNOSE_SLOW_H

#include "diagnose/columns.h"

#include <observer/error.h>

enum { OBS_SLOWS = 6, OBS_SLOW_ROWS = 65536 };

typedef struct {
  int column;
  uint16_t id;
  uint32_t row;                 /* of the view: the first that is slow */
  uint32_t ms_before, ms_after; /* medians */
  double log_p;                 /* natural, corrected */
} obs_slow;

/* `takes`: the rows of the view to look at, one byte each. Returns how many were found, strongest first; < 0: no
 * memory. */
int obs_slow_find(const obs_columns *columns, const uint8_t *takes, bool by_time, obs_slow out[OBS_SLOWS]);

#endif
