/* Doubles as text: the fewest digits that read back as the same double, laid out as ECMAScript's Number::toString. */
#ifndef OBS_BASE_NUMBER_H
#define OBS_BASE_NUMBER_H

#include <stddef.h>

enum { OBS_NUMBER_MAX = 32 };

/* Writes `v` with a NUL and returns the length. 0 for -0; "Infinity", "-Infinity" and "NaN", which are not JSON, are
 * the caller's to avoid. The locale does not matter. */
size_t obs_number_format(double v, char out[OBS_NUMBER_MAX]);

#endif
