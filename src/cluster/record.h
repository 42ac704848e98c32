/* The error of a service, as JSON or as Python prints a dict: what of it says the kind. Part of reading (reading.h).
 *
 * The parser is tolerant: the text may be cut off anywhere, strings stand in either kind of quotes, what is no value is
 * skipped. Pure functions: any thread, nothing is allocated. */
#ifndef OBS_CLUSTER_RECORD_H
#define OBS_CLUSTER_RECORD_H

#include "base/str.h"

#include <stddef.h>

enum {
  OBS_RECORD_TYPE,
  OBS_RECORD_CODE,
  OBS_RECORD_STATUS,
  OBS_RECORD_ERROR, /* from here on they are text */
  OBS_RECORD_MESSAGE,
  OBS_RECORD_STEP, /* what was being done: tells the kind where the rest is but a status in words (failed) */
  OBS_RECORD_FIELDS
};

extern const char *const obs_record_names[OBS_RECORD_FIELDS];

/* Views of the text, escapes and all; p NULL: absent. */
typedef struct {
  obs_str field[OBS_RECORD_FIELDS];
  int depth[OBS_RECORD_FIELDS], rank[OBS_RECORD_FIELDS]; /* of what is in the field */
} obs_record;

/* Reads the object that begins at `p` (a brace). Returns what is behind it, `end` when it is cut off, NULL when it is
 * no object. */
const char *obs_record_read(const char *p, const char *end, obs_record *out);
/* Whether it says what failed; an object that does not is a value like any other. */
bool obs_record_says(const obs_record *r);
/* A string's text. Returns its length, at most `max`. */
size_t obs_record_unescape(obs_str raw, char *out, size_t max);

#endif
