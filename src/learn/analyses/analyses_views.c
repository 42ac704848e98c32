/* What is asked of the analyses. Any thread. */
#include "learn/analyses/internal.h"
#include "learn/member.h"

bool obs_analyses_last(obs_analyses *a, uint64_t cluster, obs_analysis_mark *out) {
  pthread_mutex_lock(&a->lock);
  const obs_analysis_entry *e = obs_cluster_memory_find(&a->table, cluster);
  if (e != NULL)
    *out = (obs_analysis_mark){e->head.number, e->taken, e->settled_at, e->time_ms, e->grounded, e->settled};
  pthread_mutex_unlock(&a->lock);
  return e != NULL;
}

static bool is_carried(const cJSON *row) {
  return cJSON_HasObjectItem(row, "carried");
}

static cJSON *row_of(obs_analyses *a, uint64_t number, obs_buf *text) {
  cJSON *row = NULL;
  if (obs_records_one(a->records, number, text) && !text->oom) row = cJSON_ParseWithLength(text->p, text->len);
  if (row == NULL || !is_carried(row)) return row;
  cJSON_Delete(row);
  return NULL;
}

bool obs_analyses_cause(obs_analyses *a, uint64_t cluster, obs_buf *out) {
  obs_analysis_mark last;
  obs_buf text = {0};
  if (!obs_analyses_last(a, cluster, &last)) return false;
  cJSON *row = row_of(a, last.number, &text);
  obs_str cause = obs_member_text(row, "cause");
  bool known = cause.p != NULL;
  obs_buf_append(out, cause.p, cause.len);
  cJSON_Delete(row);
  obs_buf_fini(&text);
  return known;
}

bool obs_analyses_one(obs_analyses *a, uint64_t number, obs_buf *out) {
  obs_buf text = {0};
  cJSON *row = row_of(a, number, &text);
  if (row != NULL) obs_buf_append(out, text.p, text.len);
  cJSON_Delete(row);
  obs_buf_fini(&text);
  return row != NULL;
}

typedef struct {
  obs_analyses *a;
  const obs_analyses_filter *f;
  bool by_cluster;
  uint64_t cluster; /* as it is now */
} question;

static bool is_text(const cJSON *row, const char *name, obs_str want) {
  obs_str have = obs_member_text(row, name);
  return want.p == NULL || (have.p != NULL && obs_str_eq(have, want));
}

static bool is_cluster(const question *q, const cJSON *row) {
  uint64_t id;
  if (!q->by_cluster) return true;
  if (!obs_member_id(row, "cluster", &id)) return false;
  return id == q->cluster || obs_clusters_now(q->a->opts.clusters, id) == q->cluster;
}

static bool is_since(const cJSON *row, int64_t since_ms) {
  int64_t ms;
  return since_ms == INT64_MIN || (obs_member_time(row, "time", &ms) && ms >= since_ms);
}

static bool matches(void *arg, const cJSON *row) {
  const question *q = arg;
  const obs_analyses_filter *f = q->f;
  if (is_carried(row)) return false;
  if (f->grounded >= 0 && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(row, "grounded")) != (f->grounded == 1))
    return false;
  return is_text(row, "scope", f->scope) && is_text(row, "endpoint", f->endpoint) &&
         is_text(row, "task_class", f->task_class) && is_text(row, "backend", f->backend) &&
         is_since(row, f->since_ms) && is_cluster(q, row);
}

observer_err obs_analyses_page(obs_analyses *a, const obs_analyses_filter *f, obs_buf *out, uint64_t *next) {
  question q = {.a = a, .f = f, .by_cluster = f->cluster.p != NULL};
  *next = 0;
  if (q.by_cluster && !obs_cluster_id_parse(f->cluster, &q.cluster)) {
    obs_buf_puts(out, "[]");
    return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
  }
  if (q.by_cluster) q.cluster = obs_clusters_now(a->opts.clusters, q.cluster);
  return obs_records_page(a->records, matches, &q, f->before, f->limit, out, next);
}
