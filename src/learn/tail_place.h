/* Places in the corrections file: which row was taken last, and how it is known again. */
#ifndef OBS_LEARN_TAIL_PLACE_H
#define OBS_LEARN_TAIL_PLACE_H

#include "base/buf.h"

#include <observer/error.h>

/* A row's bytes are [start, end), with its newline when it has one; `end` is where the next row begins. end 0: nothing
 * was taken yet. */
typedef struct {
  uint64_t start, end;
  uint64_t hash; /* XXH3 of the row without its newline */
} obs_tail_place;

uint64_t obs_tail_hash(const char *row, size_t len);

enum { OBS_TAIL_OP_ID_MAX = 80 };
/* `correction:<start>-<end>:<hash, 16 hex digits>`, with a NUL. */
void obs_tail_op_id(const obs_tail_place *place, char out[OBS_TAIL_OP_ID_MAX]);
/* Back again; false: it is not one of ours. */
bool obs_tail_place_of(obs_str op_id, obs_tail_place *out);
bool obs_tail_place_valid(const obs_tail_place *place);

/* OK: the file has that row there. NOTFOUND: it is shorter, or another row is there. IO: errno is set. */
observer_err obs_tail_verify(int fd, const obs_tail_place *place);
/* The place of a line that is too long to be a row: of its last bytes. */
observer_err obs_tail_place_at_end(int fd, uint64_t end, obs_tail_place *out);

#endif
