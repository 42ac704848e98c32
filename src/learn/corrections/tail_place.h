/* Places in the corrections file: which row was taken last, and how it is known again. */
#ifndef OBS_LEARN_CORRECTIONS_TAIL_PLACE_H
#define OBS_LEARN_CORRECTIONS_TAIL_PLACE_H

#include "base/buf.h"

#include <observer/error.h>

/* A row's bytes are [start, end), with its newline when it has one; `end` is where the next row begins. end 0: nothing
 * was taken yet. */
typedef struct {
  uint64_t start, end;
  uint64_t hash; /* XXH3 of the row without its newline */
} obs_corrections_file_place;

uint64_t obs_corrections_file_hash(const char *row, size_t len);

enum { OBS_CORRECTIONS_FILE_OP_ID_MAX = 80 };
/* `correction:<start>-<end>:<hash, 16 hex digits>`, with a NUL. */
void obs_corrections_file_op_id(const obs_corrections_file_place *place, char out[OBS_CORRECTIONS_FILE_OP_ID_MAX]);
/* Back again; false: it is not one of ours. */
bool obs_corrections_file_place_of(obs_str op_id, obs_corrections_file_place *out);
bool obs_corrections_file_place_valid(const obs_corrections_file_place *place);

/* OK: the file has that row there. NOTFOUND: it is shorter, or another row is there. IO: errno is set. */
observer_err obs_corrections_file_verify(int fd, const obs_corrections_file_place *place);
/* The place of a line that is too long to be a row: of its last bytes. */
observer_err obs_corrections_file_place_at_end(int fd, uint64_t end, obs_corrections_file_place *out);

#endif
