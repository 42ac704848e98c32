/* Doubles as text: the fewest digits that read back as the same double. The locale does not matter. */
#ifndef OBS_BASE_NUMBER_H
#define OBS_BASE_NUMBER_H

#include <stddef.h>

enum { OBS_NUMBER_MAX = 32, OBS_NUMBER_DIGITS = 17 };

/* As JSON, laid out like C's %g of at least 15 digits: 1.5, 1e+20, 1e-05; 0 for -0. Returns the length; a NUL stands
 * behind it. `v` is finite. */
size_t obs_number_format(double v, char out[OBS_NUMBER_MAX]);
/* As ECMAScript's Number::toString: 1.5, 100000000000000000000, 0.00001, NaN, Infinity. */
size_t obs_number_format_js(double v, char out[OBS_NUMBER_MAX]);

#endif
