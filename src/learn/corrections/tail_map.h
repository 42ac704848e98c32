/* A row of the corrections file made an op, as the older observer made it (tail.h). */
#ifndef OBS_LEARN_CORRECTIONS_TAIL_MAP_H
#define OBS_LEARN_CORRECTIONS_TAIL_MAP_H

#include "base/buf.h"

/* Appends the op as a JSON object of one line with its newline. The timestamp is left out when the row has none that an
 * op can hold: then created_at, if it says anything, is carried along as it is. False, with `*why` (static text): the
 * line is not a JSON object; nothing was appended. */
bool obs_corrections_file_map(obs_str line, const char *op_id, obs_buf *out, const char **why);

#endif
