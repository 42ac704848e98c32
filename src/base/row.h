/* Members of a parsed row (a JSON object that cJSON has read), by name and type. Pure functions.
 *
 * `row` may be NULL in all of them: then it has no members. A member of another type counts as absent; then the result
 * is false, or a view with p NULL, and *out is as it was. Views live as long as the row. */
#ifndef OBS_BASE_ROW_H
#define OBS_BASE_ROW_H

#include "base/str.h"

#include <cjson/cJSON.h>

obs_str obs_row_text(const cJSON *row, const char *name);
/* From 0 to 2^53. */
bool obs_row_u64(const cJSON *row, const char *name, uint64_t *out);
/* From -2^53 to 2^53. */
bool obs_row_i64(const cJSON *row, const char *name, int64_t *out);
bool obs_row_double(const cJSON *row, const char *name, double *out);
bool obs_row_bool(const cJSON *row, const char *name, bool *out);
/* 16 hexadecimal digits. */
bool obs_row_id(const cJSON *row, const char *name, uint64_t *out);
/* ISO 8601, as milliseconds since the epoch. */
bool obs_row_time(const cJSON *row, const char *name, int64_t *out);
/* The text that an item of an array is. */
obs_str obs_row_item_text(const cJSON *item);

#endif
