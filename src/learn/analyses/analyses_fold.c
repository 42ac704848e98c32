/* What is remembered of the rows: folded from them at open, carried over when the file is turned over. */
#include "base/clock.h"
#include "learn/analyses/internal.h"
#include "learn/member.h"

#include <inttypes.h>

static bool fold_fleet(obs_analyses *a, const cJSON *row, uint64_t number) {
  uint64_t last_seq, print;
  if (!obs_member_u64(row, "last_seq", &last_seq)) return false;
  if (!obs_member_id(row, "print", &print))
    print = obs_analyses_print(cJSON_GetObjectItemCaseSensitive(row, "diagnosis"));
  a->fleet_seq = last_seq;
  a->fleet_print = print;
  a->fleet_number = number;
  return true;
}

obs_analysis_entry *obs_analyses_enter(obs_analyses *a, uint64_t cluster, const obs_analysis_entry *last) {
  obs_analysis_entry *e = obs_cluster_memory_put(&a->table, cluster, last->head.number);
  if (e == NULL) return NULL; /* it is analysed again */
  bool goes_on = e->settled && last->settled && e->episode == last->episode;
  uint64_t settled_at = goes_on ? e->settled_at : last->taken;
  obs_cluster_memory_head head = e->head;
  *e = *last;
  e->head = head;
  e->settled_at = settled_at;
  return e;
}

static bool fold_cluster(obs_analyses *a, const cJSON *row, uint64_t number, int64_t time_ms) {
  uint64_t cluster, episode;
  obs_analysis_entry last = {.head.number = number, .time_ms = time_ms};
  if (!obs_member_id(row, "cluster", &cluster) || !obs_member_u64(row, "taken", &last.taken) ||
      !obs_member_u64(row, "last_seq", &last.last_seq) || !obs_member_u64(row, "episode", &episode))
    return false;
  last.episode = (uint32_t)episode;
  last.grounded = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(row, "grounded"));
  last.settled = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(row, "settled"));
  obs_analysis_entry *e = obs_analyses_enter(a, cluster, &last);
  if (e != NULL) (void)obs_member_u64(row, "settled_at", &e->settled_at); /* of a carried row */
  return true;
}

bool obs_analyses_fold(void *analyses, const cJSON *row, const char **why) {
  obs_analyses *a = analyses;
  obs_str scope = obs_member_text(row, "scope");
  uint64_t number = 0;
  int64_t time_ms;
  *why = "not an analysis";
  if (!obs_member_u64(row, "id", &number) || !obs_member_time(row, "time", &time_ms)) return false;
  if (obs_str_eq(scope, OBS_STR("fleet"))) return fold_fleet(a, row, number);
  return obs_str_eq(scope, OBS_STR("cluster")) && fold_cluster(a, row, number, time_ms);
}

static void carry_entry(const obs_analysis_entry *e, obs_buf *out) {
  char time[OBS_ISO8601_LEN + 1];
  obs_clock_format(e->time_ms, time);
  obs_buf_printf(out,
                 "{\"id\":%" PRIu64 ",\"time\":\"%s\",\"scope\":\"cluster\",\"cluster\":\"%016" PRIx64
                 "\",\"carried\":true,\"episode\":%" PRIu32 ",\"taken\":%" PRIu64 ",\"last_seq\":%" PRIu64
                 ",\"settled_at\":%" PRIu64 ",\"grounded\":%s,\"settled\":%s}\n",
                 e->head.number, time, e->head.cluster, e->episode, e->taken, e->last_seq, e->settled_at,
                 e->grounded ? "true" : "false", e->settled ? "true" : "false");
}

static void carry_fleet(const obs_analyses *a, obs_buf *out) {
  char time[OBS_ISO8601_LEN + 1];
  obs_clock_format(obs_clock_wall_ms(), time);
  obs_buf_printf(out,
                 "{\"id\":%" PRIu64 ",\"time\":\"%s\",\"scope\":\"fleet\",\"carried\":true,\"last_seq\":%" PRIu64
                 ",\"print\":\"%016" PRIx64 "\"}\n",
                 a->fleet_number, time, a->fleet_seq, a->fleet_print);
}

void obs_analyses_carry(void *analyses, obs_buf *out) {
  obs_analyses *a = analyses;
  pthread_mutex_lock(&a->lock);
  for (uint32_t i = 0; i < a->table.n; i++) carry_entry(obs_cluster_memory_at(&a->table, i), out);
  if (a->fleet_number != 0) carry_fleet(a, out);
  pthread_mutex_unlock(&a->lock);
}
