#include "learn/member.h"

#include "base/clock.h"
#include "cluster/clusters.h"

#include <inttypes.h>

obs_str obs_item_text(const cJSON *item) {
  if (item == NULL || !cJSON_IsString(item)) return (obs_str){NULL, 0, 0};
  return obs_str_of(item->valuestring);
}

obs_str obs_member_text(const cJSON *row, const char *name) {
  return obs_item_text(cJSON_GetObjectItemCaseSensitive(row, name));
}

bool obs_member_u64(const cJSON *row, const char *name, uint64_t *out) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, name);
  if (item == NULL || !cJSON_IsNumber(item)) return false;
  if (item->valuedouble < 0 || item->valuedouble > 9007199254740992.0) return false;
  *out = (uint64_t)item->valuedouble;
  return true;
}

bool obs_member_id(const cJSON *row, const char *name, uint64_t *out) {
  obs_str text = obs_member_text(row, name);
  return text.p != NULL && obs_cluster_id_parse(text, out);
}

bool obs_member_time(const cJSON *row, const char *name, int64_t *out) {
  obs_str text = obs_member_text(row, name);
  return text.p != NULL && obs_clock_parse(text.p, text.len, out);
}

void obs_member_put_seqs(obs_buf *out, const char *name, const uint64_t *seqs, uint32_t n) {
  obs_buf_printf(out, ",\"%s\":[", name);
  for (uint32_t i = 0; i < n; i++) obs_buf_printf(out, "%s%" PRIu64, i > 0 ? "," : "", seqs[i]);
  obs_buf_putc(out, ']');
}

cJSON *obs_member_row(uint64_t number, const obs_buf *members) {
  obs_buf text = {0};
  obs_buf_printf(&text, "{\"id\":%" PRIu64 ",", number);
  obs_buf_append(&text, members->p, members->len);
  obs_buf_putc(&text, '}');
  cJSON *row = text.oom ? NULL : cJSON_ParseWithLength(text.p, text.len);
  obs_buf_fini(&text);
  return row;
}
