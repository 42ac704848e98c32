#include "learn/kept_rows.h"

#include "base/hex.h"
#include "base/json_cursor.h"

#include <stdlib.h>

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

observer_err obs_kept_rows_each(obs_kept_rows *k, const obs_kept_rows_query *q, bool (*fn)(void *arg, const void *view),
                                void *arg, obs_page_end *end) {
  const obs_kept_rows_head *v;
  const uint32_t asked = obs_page_rows(q->page), limit = asked < OBS_KEPT_ROWS ? asked : OBS_KEPT_ROWS;
  uint64_t cluster = 0;
  uint32_t n = 0, given = 0;
  obs_buf text = {0};
  *end = (obs_page_end){.complete = true};
  if (q->cluster.p != NULL && !obs_hex_parse(q->cluster, &cluster)) return OBSERVER_E_OK;
  if (q->cluster.p != NULL) cluster = obs_clusters_now(q->clusters, cluster);
  char *found = malloc(((size_t)limit + 1) * k->size); /* one more, to know whether there is a next page */
  if (found == NULL) return OBSERVER_E_NOMEM;

  pthread_mutex_lock(&k->lock);
  for (uint64_t i = 0; n <= limit && (v = at(k, i)) != NULL; i++) {
    if (q->page->before != 0 && v->number >= q->page->before) continue;
    bool about = q->cluster.p == NULL ||
                 (v->cluster != 0 && (v->cluster == cluster || obs_clusters_now(q->clusters, v->cluster) == cluster));
    if (about && (q->matches == NULL || q->matches(q->filter, v))) memcpy(found + n++ * k->size, v, k->size);
  }
  pthread_mutex_unlock(&k->lock);

  for (; given < n && given < limit; given++) {
    obs_kept_rows_head *view = (void *)(found + given * k->size);
    obs_buf_reset(&text, SIZE_MAX);
    if (!obs_records_one(q->records, view->number, &text)) {
      n = given; /* the records keep older rows no longer */
      break;
    }
    view->row = obs_buf_view(&text);
    if (text.oom || !fn(arg, view)) break;
    end->next = view->number;
  }
  obs_page_end_after(end, given, n, limit);
  bool oom = text.oom;
  free(found);
  obs_buf_fini(&text);
  return oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

/* ---- as JSON ---- */

typedef struct {
  obs_page_fill fill;
  obs_kept_rows_put put;
} page_writer;

/* Rows are the loops' own: an object without white space around it. */
static void put_light(obs_json_writer *w, obs_str row, obs_kept_rows_put put) {
  obs_cursor c = obs_cursor_of(row.p, row.len);
  obs_cursor_value key;
  obs_json_object(w, NULL);
  if (obs_json_cursor_take(&c, '{')) {
    do {
      if (!obs_json_cursor_key(&c, &key)) break;
      const char *value = (const char *)c.p;
      if (!obs_json_cursor_skip(&c)) break;
      put(w, key.s, (obs_str){value, (uint32_t)((const char *)c.p - value), 0});
    } while (obs_json_cursor_take(&c, ','));
  }
  obs_json_end(w);
}

static bool put_row(void *arg, const void *view) {
  page_writer *p = arg;
  const obs_kept_rows_head *v = view;
  obs_page_begin_row(&p->fill);
  if (p->put != NULL)
    put_light(p->fill.w, v->row, p->put);
  else
    obs_json_raw(p->fill.w, NULL, v->row);
  return obs_page_end_row(&p->fill);
}

observer_err obs_kept_rows_page(obs_kept_rows *k, const obs_kept_rows_query *q, obs_kept_rows_put put, obs_buf *out,
                                obs_page_end *end) {
  obs_json_writer w = obs_json_write(out);
  obs_json_array(&w, NULL);
  page_writer p = {obs_page_fill_begin(q->page, &w), q->page->full ? NULL : put};
  observer_err err = obs_kept_rows_each(k, q, put_row, &p, end);
  obs_json_end(&w);
  return out->oom ? OBSERVER_E_NOMEM : err;
}
