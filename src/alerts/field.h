/* A field of an op by its dot path, compiled once: a field of the table is a slot, what stands in `extra` or in members
 * that this version does not know is walked to.
 *
 *   source             a field of the table
 *   extra.tokens.input a member of a member of `extra`; `extra.list.0` an item of an array
 *   model, usage.cost  a member that the table does not have, and what is in it
 *
 * A value has the type that it has in the op: 1 is not "1". What is not there is MISSING. Texts are views: of the op,
 * or of the room, until it is used again. Reading is pure but for the room: one thread a room. */
#ifndef OBS_ALERTS_FIELD_H
#define OBS_ALERTS_FIELD_H

#include "op/op.h"

enum { OBS_FIELD_STEPS = 8, OBS_FIELD_PATH_MAX = 256 };

typedef struct {
  char text[OBS_FIELD_PATH_MAX]; /* the path, as it was given */
  uint32_t field;                /* of the table; OBS_F_COUNT: the first step is a member that it does not have */
  uint32_t nsteps;               /* into a JSON value */
  obs_str steps[OBS_FIELD_STEPS];
} obs_field;

typedef enum {
  OBS_FIELD_MISSING,
  OBS_FIELD_NULL,
  OBS_FIELD_BOOL,
  OBS_FIELD_NUMBER,
  OBS_FIELD_TEXT,
  OBS_FIELD_TREE /* an object or an array */
} obs_field_type;

typedef struct {
  obs_field_type type;
  bool b;
  double n;
  obs_str text; /* of TEXT; of TREE its JSON */
} obs_field_value;

/* False: `why` says what is wrong with the path. The steps point into `out`, which must not move. */
bool obs_field_compile(const char *path, obs_field *out, char *why, size_t size);
/* `unknown`: the op's own. */
obs_field_value obs_field_read(const obs_field *f, const obs_op *op, const obs_op_unknown *unknown, obs_buf *room);

#endif
