/* What producers put into an op besides its fields: members of `extra`, and fields that are not known. Read in one way
 * by all who look for one, such as `model`. Pure functions. */
#ifndef OBS_OP_MEMBER_H
#define OBS_OP_MEMBER_H

#include "base/json_cursor.h"

enum { OBS_OP_MEMBER_MAX = 1024 };

/* Takes the value that comes next: a text, without its escapes, or a number, as it stands. p NULL: it is something
 * else, or a text with escapes that is longer than `room`. False: no JSON. */
bool obs_op_member_value(obs_cursor *at, char room[OBS_OP_MEMBER_MAX], obs_str *out);
/* The member of that name of a JSON object; of several the first one that is a text or a number. p NULL: none. */
obs_str obs_op_member_find(obs_str object, const char *name, char room[OBS_OP_MEMBER_MAX]);

#endif
