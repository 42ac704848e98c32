/* The inside of the corrections file, and for its test. */
#ifndef OBS_LEARN_CORRECTIONS_INTERNAL_H
#define OBS_LEARN_CORRECTIONS_INTERNAL_H

#include "learn/corrections/corrections_file.h"

/* Which row was taken last, and how it is known again. A row's bytes are [start, end), with its newline when it has
 * one; `end` is where the next row begins. end 0: nothing was taken yet. */
typedef struct {
  uint64_t start, end;
  uint64_t hash; /* XXH3 of the row without its newline */
} obs_corrections_file_place;

enum { OBS_CORRECTIONS_FILE_OP_ID_MAX = 80 };
/* `correction:<start>-<end>:<hash, 16 hex digits>`, with a NUL. */
void obs_corrections_file_op_id(const obs_corrections_file_place *place, char out[OBS_CORRECTIONS_FILE_OP_ID_MAX]);
/* Back again; false: it is not one of ours. */
bool obs_corrections_file_place_of(obs_str op_id, obs_corrections_file_place *out);

/* Appends the op that a row becomes as a JSON object of one line with its newline (as_op.c). The timestamp is left out
 * when the row has none that an op can hold: then created_at, if it says anything, is carried along as it is. False,
 * with `*why` (static text): the line is not a JSON object; nothing was appended. */
bool obs_corrections_file_map(obs_str line, const char *op_id, obs_buf *out, const char **why);

#endif
