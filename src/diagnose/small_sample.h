/* Of few failures: the one value that they have in common more than chance would have it.
 *
 * Where failures are too few for a model of all fields at once, each value is tried alone, by Fisher's exact test
 * against all other ops, corrected for the number of values tried. The clearest one is the cause, if it stands for at
 * least half of the failures; of values that always come together the first field's. Pure: any thread. */
#ifndef OBS_DIAGNOSE_SMALL_SAMPLE_H
#define OBS_DIAGNOSE_SMALL_SAMPLE_H

#include "diagnose/facts.h"

#include <observer/error.h>

enum { OBS_FEW_LEAST = 3, OBS_FEW_MOST = 40 }; /* failures */

typedef struct {
  int field, same; /* same < 0: none */
  uint16_t id, same_id;
  double expected, log_p; /* natural, corrected */
} obs_small_sample;

/* `failed[i]`: op i of the view is compared (1) and failed (2), or is not looked at (0). `given`: bits of the fields
 * that all of them share. NOTFOUND: no value stands out. */
observer_err obs_small_sample_find(const obs_facts_view *view, const uint8_t *failed, uint32_t given,
                                   obs_small_sample *out);

#endif
