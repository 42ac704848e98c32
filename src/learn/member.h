/* Reading and writing rows: members of a parsed one, and the map that the feed gets of a new one. Pure functions. */
#ifndef OBS_LEARN_MEMBER_H
#define OBS_LEARN_MEMBER_H

#include "base/buf.h"

#include <cjson/cJSON.h>

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

/* Appends `,"name":[1,2,...]`. */
void obs_member_put_seqs(obs_buf *out, const char *name, const uint64_t *seqs, uint32_t n);

/* The row that obs_records_append made of `members`. NULL: no memory. cJSON_Delete it. */
cJSON *obs_member_row(uint64_t number, const obs_buf *members);

#endif
