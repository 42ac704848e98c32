/* JavaScript's Number() on a string; NaN when it is not a number. */
#ifndef OBS_OP_JS_NUMBER_H
#define OBS_OP_JS_NUMBER_H

#include "base/str.h"

double obs_js_number(obs_str s);

#endif
