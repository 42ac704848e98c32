/* Reading and writing rows: members of a parsed one, and the map that the feed gets of a new one. Pure functions. */
#ifndef OBS_LEARN_MEMBER_H
#define OBS_LEARN_MEMBER_H

#include "base/buf.h"

#include <cjson/cJSON.h>

/* What a buffer holds; p is never NULL. */
static inline obs_str obs_buf_view(const obs_buf *b) {
  return (obs_str){b->p != NULL ? b->p : "", (uint32_t)b->len, 0};
}

/* `row` may be NULL in all of them: then it has no members. */

/* p NULL: there is none, or it is no text. */
obs_str obs_member_text(const cJSON *row, const char *name);
/* The text of an item itself. */
obs_str obs_item_text(const cJSON *item);
/* False: there is none, or it is no number from 0 to 2^53. */
bool obs_member_u64(const cJSON *row, const char *name, uint64_t *out);
/* An id of 16 hex digits. */
bool obs_member_id(const cJSON *row, const char *name, uint64_t *out);
/* ISO 8601, as milliseconds. */
bool obs_member_time(const cJSON *row, const char *name, int64_t *out);

/* The row that obs_records_append made of `members`. NULL: no memory. cJSON_Delete it. */
cJSON *obs_member_row(uint64_t number, const obs_buf *members);

#endif
