#include "learn/kept_rows.h"

#include "base/hex.h"
#include "base/json.h"

#include <stdlib.h>

enum { PAGE_BYTES = 1 << 20 };

bool obs_kept_rows_init(obs_kept_rows *k, size_t view_size) {
  *k = (obs_kept_rows){.size = view_size, .views = calloc(OBS_KEPT_ROWS, view_size)};
  k->lock_made = pthread_mutex_init(&k->lock, NULL) == 0;
  return k->lock_made && k->views != NULL;
}

void obs_kept_rows_fini(obs_kept_rows *k) {
  if (k->lock_made) pthread_mutex_destroy(&k->lock);
  k->lock_made = false;
  free(k->views);
  k->views = NULL;
}

void obs_kept_rows_add(obs_kept_rows *k, const void *view) {
  pthread_mutex_lock(&k->lock);
  memcpy(k->views + k->n++ % OBS_KEPT_ROWS * k->size, view, k->size);
  pthread_mutex_unlock(&k->lock);
}

/* The i-th from the newest, 0 first; NULL: there are no more. Under the lock. */
static const obs_kept_rows_head *at(const obs_kept_rows *k, uint64_t i) {
  if (i >= k->n || i >= OBS_KEPT_ROWS) return NULL;
  return (const void *)(k->views + (k->n - 1 - i) % OBS_KEPT_ROWS * k->size);
}

bool obs_kept_rows_has(obs_kept_rows *k, uint64_t number) {
  const obs_kept_rows_head *v;
  bool found = false;
  pthread_mutex_lock(&k->lock);
  for (uint64_t i = 0; !found && (v = at(k, i)) != NULL; i++) found = v->number == number;
  pthread_mutex_unlock(&k->lock);
  return found;
}

observer_err obs_kept_rows_each(obs_kept_rows *k, const obs_kept_rows_query *q, void (*fn)(void *arg, const void *view),
                                void *arg, uint64_t *next) {
  const obs_kept_rows_head *v;
  const uint32_t limit = q->limit < OBS_KEPT_ROWS ? q->limit : OBS_KEPT_ROWS;
  uint64_t cluster = 0;
  uint32_t n = 0;
  size_t bytes = 0;
  obs_buf text = {0};
  *next = 0;
  if (q->cluster.p != NULL && !obs_hex_parse(q->cluster, &cluster)) return OBSERVER_E_OK;
  if (q->cluster.p != NULL) cluster = obs_clusters_now(q->clusters, cluster);
  char *found = malloc(((size_t)limit + 1) * k->size); /* one more, to know whether there is a next page */
  if (found == NULL) return OBSERVER_E_NOMEM;

  pthread_mutex_lock(&k->lock);
  for (uint64_t i = 0; n <= limit && (v = at(k, i)) != NULL; i++) {
    if (q->before != 0 && v->number >= q->before) continue;
    bool about = q->cluster.p == NULL ||
                 (v->cluster != 0 && (v->cluster == cluster || obs_clusters_now(q->clusters, v->cluster) == cluster));
    if (about && (q->matches == NULL || q->matches(q->filter, v))) memcpy(found + n++ * k->size, v, k->size);
  }
  pthread_mutex_unlock(&k->lock);

  for (uint32_t i = 0; i < n && i < limit && !text.oom; i++) {
    obs_kept_rows_head *view = (void *)(found + i * k->size);
    obs_buf_reset(&text, SIZE_MAX);
    if (!obs_records_one(q->records, view->number, &text)) break; /* the records keep older rows no longer */
    view->row = obs_buf_view(&text);
    if (!text.oom) fn(arg, view);
    bytes += view->row.len;
    if ((i + 1 == limit && n > limit) || (i + 1 < n && bytes >= PAGE_BYTES)) {
      *next = view->number;
      break;
    }
  }
  bool oom = text.oom;
  free(found);
  obs_buf_fini(&text);
  return oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

void obs_kept_rows_put(void *writer, const void *view) {
  obs_json_raw(writer, NULL, ((const obs_kept_rows_head *)view)->row);
}
