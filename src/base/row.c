#include "base/row.h"

#include "base/clock.h"
#include "base/hex.h"

/* Beyond it a double no longer holds every whole number. */
static const double whole_max = 9007199254740992.0;

static const cJSON *number_of(const cJSON *row, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, name);
  return cJSON_IsNumber(item) ? item : NULL;
}

obs_str obs_row_item_text(const cJSON *item) {
  return cJSON_IsString(item) ? obs_str_of(item->valuestring) : (obs_str){NULL, 0, 0};
}

obs_str obs_row_text(const cJSON *row, const char *name) {
  return obs_row_item_text(cJSON_GetObjectItemCaseSensitive(row, name));
}

bool obs_row_u64(const cJSON *row, const char *name, uint64_t *out) {
  const cJSON *item = number_of(row, name);
  if (item == NULL || !(item->valuedouble >= 0 && item->valuedouble <= whole_max)) return false;
  *out = (uint64_t)item->valuedouble;
  return true;
}

bool obs_row_i64(const cJSON *row, const char *name, int64_t *out) {
  const cJSON *item = number_of(row, name);
  if (item == NULL || !(item->valuedouble >= -whole_max && item->valuedouble <= whole_max)) return false;
  *out = (int64_t)item->valuedouble;
  return true;
}

bool obs_row_double(const cJSON *row, const char *name, double *out) {
  const cJSON *item = number_of(row, name);
  if (item != NULL) *out = item->valuedouble;
  return item != NULL;
}

bool obs_row_bool(const cJSON *row, const char *name, bool *out) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, name);
  if (!cJSON_IsBool(item)) return false;
  *out = cJSON_IsTrue(item);
  return true;
}

bool obs_row_id(const cJSON *row, const char *name, uint64_t *out) {
  obs_str text = obs_row_text(row, name);
  return text.p != NULL && obs_hex_parse(text, out);
}

bool obs_row_time(const cJSON *row, const char *name, int64_t *out) {
  obs_str text = obs_row_text(row, name);
  return text.p != NULL && obs_clock_parse(text.p, text.len, out);
}
