/* A snapshot of what the daemon reports, and the thread that fetches one after the other. */
#include "base/clock.h"
#include "base/json.h"
#include "base/thread.h"
#include "cluster/mask.h"
#include "cluster/reading.h"
#include "observerctl/ask/fetch.h"
#include "observerctl/cli/show.h"
#include "observerctl/top/top.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TIMEOUT_MS = 10000, GROUPS_MAX = 1000 };

const char *const obs_top_period_names[OBS_TOP_PERIODS] = {"1m", "5m", "1h", "lifetime"};

static const cJSON *member(const cJSON *json, const char *name) {
  return cJSON_GetObjectItemCaseSensitive(json, name);
}

static const char *text_of(const cJSON *json, const char *name) {
  return cJSON_GetStringValue(member(json, name));
}

double obs_top_number(const cJSON *json, const char *path) {
  char name[64];
  for (; *path != '\0'; path += *path == '/') {
    size_t n = strcspn(path, "/");
    snprintf(name, sizeof(name), "%.*s", (int)n, path);
    json = member(json, name);
    path += n;
  }
  return cJSON_IsNumber(json) ? json->valuedouble : NAN;
}

static double or_zero(double v) {
  return isnan(v) ? 0 : v;
}

/* ---- the summary ---- */

static obs_top_series *take_list(const cJSON *object, double seconds, size_t *n) {
  obs_top_series *list = calloc((size_t)cJSON_GetArraySize(object) + 1, sizeof(*list));
  const cJSON *counts;
  *n = 0;
  if (list == NULL) return NULL;
  cJSON_ArrayForEach(counts, object) {
    obs_top_series *s = &list[(*n)++];
    *s = (obs_top_series){
        .name = counts->string,
        .total = or_zero(obs_top_number(counts, "total")),
        .failures = or_zero(obs_top_number(counts, "failures")),
        .p50 = obs_top_number(counts, "duration_ms/p50"),
        .p99 = obs_top_number(counts, "duration_ms/p99"),
        .max = obs_top_number(counts, "duration_ms/max"),
    };
    s->rate = s->total / seconds; /* the lifetime's is set later */
  }
  return list;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const obs_top_series *)a)->name, ((const obs_top_series *)b)->name);
}

/* A rate over the whole lifetime says little: the rate of the last minute is shown instead. */
static void lend_rates(obs_top_series *to, size_t nto, obs_top_series *from, size_t nfrom) {
  if (to == NULL || from == NULL) return;
  qsort(from, nfrom, sizeof(*from), by_name);
  for (size_t i = 0; i < nto; i++) {
    const obs_top_series *found = bsearch(&to[i], from, nfrom, sizeof(*from), by_name);
    to[i].rate = found != NULL ? found->rate : 0;
  }
}

static void take_summary(obs_top_data *d) {
  for (unsigned i = 0; i < OBS_TOP_PERIODS; i++) {
    const cJSON *json = i == OBS_TOP_LIFETIME ? member(d->summary, "lifetime")
                                              : member(member(d->summary, "windows"), obs_top_period_names[i]);
    /* Those that the window has had; the lifetime says none, and of a new daemon's first second there are 0. */
    double seconds = obs_top_number(json, "seconds");
    if (seconds < 1) seconds = 1;
    obs_top_period *p = &d->periods[i];
    p->total = or_zero(obs_top_number(json, "total"));
    p->failures = or_zero(obs_top_number(json, "failures"));
    p->rate = p->total / seconds;
    p->failure_rate = p->failures / seconds;
    p->sources = take_list(member(json, "by_source"), seconds, &p->nsources);
    p->endpoints = take_list(member(json, "by_endpoint"), seconds, &p->nendpoints);
  }
  obs_top_period *life = &d->periods[OBS_TOP_LIFETIME], *minute = &d->periods[OBS_TOP_1M];
  lend_rates(life->sources, life->nsources, minute->sources, minute->nsources);
  lend_rates(life->endpoints, life->nendpoints, minute->endpoints, minute->nendpoints);
}

/* ---- failures of one kind ---- */

/* What varies from one failure to the next becomes `<*>`, as the daemon groups failures. */
static void count_group(obs_top_data *d, const char *where, const char *what, const char *last) {
  /* The key is `where NUL what NUL`. */
  obs_buf key = {0};
  size_t len = what != NULL ? strlen(what) : 0;
  obs_buf_puts(&key, where != NULL ? where : "");
  obs_buf_putc(&key, '\0');
  size_t at = key.len;
  if (len > 0) {
    obs_mask_token tokens[OBS_MASK_TOKENS];
    char room[OBS_READING_BYTES];
    obs_str text = obs_reading_of(obs_str_of(what), room);
    obs_mask_template(tokens, obs_mask(text, tokens), &key);
  } else {
    obs_buf_puts(&key, "(no text)");
  }
  obs_buf_putc(&key, '\0');
  if (key.oom) {
    obs_buf_fini(&key);
    return;
  }
  obs_top_group *g = NULL;
  for (size_t i = 0; i < d->ngroups && g == NULL; i++) {
    obs_top_group *other = &d->groups[i];
    if (other->key != NULL && strcmp(other->where, key.p) == 0 && strcmp(other->what, key.p + at) == 0) g = other;
  }
  if (g == NULL && d->ngroups < GROUPS_MAX) {
    g = &d->groups[d->ngroups++];
    *g = (obs_top_group){.key = key.p, .where = key.p, .what = key.p + at, .last = last, .minute = NAN, .hour = NAN};
    key = (obs_buf){0}; /* the group's now */
  }
  if (g != NULL) g->count++;
  obs_buf_fini(&key);
}

/* What fails now comes first. */
static int by_count(const void *a, const void *b) {
  const obs_top_group *x = a, *y = b;
  if (x->minute < y->minute || x->minute > y->minute)
    return x->minute < y->minute ? 1 : -1; /* not where they are NaN */
  if (x->hour < y->hour || x->hour > y->hour) return x->hour < y->hour ? 1 : -1;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  int c = strcmp(x->where, y->where);
  return c != 0 ? c : strcmp(x->what, y->what);
}

static void take_cluster(obs_top_data *d, const cJSON *c) {
  const char *state = text_of(c, "state");
  const cJSON *endpoints = member(c, "endpoints");
  if (d->ngroups == GROUPS_MAX || state == NULL || strcmp(state, "resolved") == 0) return;
  d->groups[d->ngroups++] = (obs_top_group){
      .what = obs_show_template(c),
      .where = endpoints != NULL && endpoints->child != NULL ? endpoints->child->string : "",
      .id = text_of(c, "id"),
      .state = state,
      .since = text_of(c, "state_since"),
      .last = text_of(c, "last_seen"),
      .count = or_zero(obs_top_number(c, "count")),
      .minute = or_zero(obs_top_number(c, "last_minute")),
      .hour = or_zero(obs_top_number(c, "last_hour")),
  };
}

/* Of the daemon's clusters; without them, of the last failures. */
static void take_groups(obs_top_data *d) {
  const cJSON *failures = d->clusters == NULL ? member(d->failures, "ops") : NULL, *c, *row;
  d->groups = calloc(GROUPS_MAX, sizeof(*d->groups));
  if (d->groups == NULL) return;
  cJSON_ArrayForEach(c, member(d->clusters, "clusters")) {
    take_cluster(d, c);
  }
  /* Newest first, so that the first of a kind is its last. */
  cJSON_ArrayForEach(row, failures) {
    const cJSON *op = member(row, "op");
    const char *error = text_of(op, "error");
    count_group(d, text_of(op, "endpoint"), error != NULL ? error : text_of(op, "output_summary"),
                text_of(op, "timestamp"));
  }
  qsort(d->groups, d->ngroups, sizeof(*d->groups), by_count);
}

/* ---- a page ---- */

/* The paths that a page is made of, before its id. */
static const char *const parts_of[][OBS_TOP_PARTS] = {
    [OBS_TOP_SOURCE] = {"clusters?limit=50&source=", "ops?success=false&limit=50&source="},
    [OBS_TOP_ENDPOINT] = {"clusters?limit=50&endpoint=", "ops?success=false&limit=50&endpoint="},
    [OBS_TOP_CLUSTER] = {"clusters/", "analyses?limit=5&cluster=", "ops?limit=20&cluster="},
    [OBS_TOP_ANALYSIS] = {"analyses/"},
    [OBS_TOP_OP] = {"ops/"},
};

static void ask_page(const char *url, const obs_top_target *target, obs_top_answer *out) {
  *out = (obs_top_answer){.target = *target};
  for (int i = 0; target->id[0] != '\0' && i < OBS_TOP_PARTS && parts_of[target->kind][i] != NULL; i++) {
    obs_buf path = {0};
    char error[256] = "out of memory";
    obs_buf_printf(&path, "/v1/observer/%s", parts_of[target->kind][i]);
    obs_fetch_value(&path, target->id);
    obs_buf_putc(&path, '\0');
    if (!path.oom) out->parts[i] = obs_fetch_json(url, path.p, TIMEOUT_MS, error, sizeof(error));
    if (out->parts[i] == NULL && i == 0) snprintf(out->error, sizeof(out->error), "%s", error);
    obs_buf_fini(&path);
  }
}

void obs_top_answer_fini(obs_top_answer *a) {
  for (int i = 0; i < OBS_TOP_PARTS; i++) cJSON_Delete(a->parts[i]);
  *a = (obs_top_answer){0};
}

bool obs_top_same(const obs_top_target *a, const obs_top_target *b) {
  return a->kind == b->kind && strcmp(a->id, b->id) == 0;
}

/* ---- asking ---- */

obs_top_data *obs_top_data_get(const char *url, bool *ask_clusters, const obs_top_target *page) {
  char ignored[256];
  obs_fetch_answer answer;
  obs_top_data *d = calloc(1, sizeof(*d));
  if (d == NULL) return NULL;
  d->health = obs_fetch_json(url, "/v1/observer/health", TIMEOUT_MS, d->error, sizeof(d->error));
  d->mono_ms = obs_clock_mono_ms();
  if (d->health == NULL) return d;
  (void)obs_fetch_get(url, "/readyz", TIMEOUT_MS, &answer); /* with status 503, too: its body has the reasons */
  if (answer.status != 0) d->ready = cJSON_ParseWithLength(answer.body.p, answer.body.len);
  obs_fetch_answer_fini(&answer);
  d->summary = obs_fetch_json(url, "/v1/observer/summary", TIMEOUT_MS, d->error, sizeof(d->error));
  d->failures = obs_fetch_json(url, "/v1/observer/ops?success=false&limit=200", TIMEOUT_MS, ignored, sizeof(ignored));
  if (*ask_clusters) {
    if (obs_fetch_get(url, "/v1/observer/clusters?limit=500", TIMEOUT_MS, &answer))
      d->clusters = cJSON_ParseWithLength(answer.body.p, answer.body.len);
    *ask_clusters = answer.status != 404;
    obs_fetch_answer_fini(&answer);
  }
  ask_page(url, page, &d->page);
  take_summary(d);
  take_groups(d);
  return d;
}

void obs_top_data_free(obs_top_data *d) {
  if (d == NULL) return;
  for (size_t i = 0; i < d->ngroups; i++) free(d->groups[i].key);
  free(d->groups);
  for (unsigned i = 0; i < OBS_TOP_PERIODS; i++) {
    free(d->periods[i].sources);
    free(d->periods[i].endpoints);
  }
  cJSON_Delete(d->health);
  cJSON_Delete(d->ready);
  cJSON_Delete(d->summary);
  cJSON_Delete(d->failures);
  cJSON_Delete(d->clusters);
  obs_top_answer_fini(&d->page);
  free(d);
}

/* What was answered, as it was; null: nothing. */
static void put_answer(obs_json_writer *w, const char *name, const cJSON *json) {
  char *text = json != NULL ? cJSON_PrintUnformatted(json) : NULL;
  if (text != NULL)
    obs_json_raw(w, name, obs_str_of(text));
  else
    obs_json_null(w, name);
  cJSON_free(text);
}

void obs_top_data_json(const obs_top_data *d, const char *url, obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_cstr(&w, "url", url);
  put_answer(&w, "health", d->health);
  put_answer(&w, "ready", d->ready);
  put_answer(&w, "summary", d->summary);
  obs_json_array(&w, "failing");
  for (size_t i = 0; i < d->ngroups; i++) {
    obs_json_object(&w, NULL);
    obs_json_cstr(&w, "endpoint", d->groups[i].where);
    obs_json_cstr(&w, "what", d->groups[i].what);
    obs_json_double(&w, "count", d->groups[i].count);
    if (d->groups[i].last != NULL) obs_json_cstr(&w, "last", d->groups[i].last);
    if (d->groups[i].id != NULL) {
      obs_json_cstr(&w, "id", d->groups[i].id);
      obs_json_cstr(&w, "state", d->groups[i].state);
      obs_json_double(&w, "last_minute", d->groups[i].minute);
      obs_json_double(&w, "last_hour", d->groups[i].hour);
    }
    obs_json_end(&w);
  }
  obs_json_end(&w);
  put_answer(&w, "recent_failures", member(d->failures, "ops"));
  obs_json_end(&w);
}

/* ---- the thread ---- */

static bool is_stopped(void *arg) {
  return atomic_load(&((obs_top_fetch *)arg)->stop);
}

static void *fetch(void *arg) {
  obs_top_fetch *f = arg;
  bool ask_clusters = true;
  while (!is_stopped(f)) {
    pthread_mutex_lock(&f->mutex);
    obs_top_target page = f->page;
    pthread_mutex_unlock(&f->mutex);
    obs_top_data *data = obs_top_data_get(f->url, &ask_clusters, &page);
    pthread_mutex_lock(&f->mutex);
    if (data != NULL) {
      obs_top_data_free(f->data); /* not taken in time: only the newest is worth drawing */
      f->data = data;
      (void)eventfd_write(f->event_fd, 1);
    }
    if (!is_stopped(f) && obs_top_same(&page, &f->page)) obs_thread_cond_wait_ms(&f->cond, &f->mutex, f->interval_ms);
    pthread_mutex_unlock(&f->mutex);
  }
  return NULL;
}

bool obs_top_fetch_open(obs_top_fetch *f, const char *url, uint64_t interval_ms) {
  *f = (obs_top_fetch){.url = url, .interval_ms = interval_ms, .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  atomic_init(&f->stop, false);
  if (pthread_mutex_init(&f->mutex, NULL) != 0) return false;
  if (f->event_fd < 0 || obs_thread_cond_init(&f->cond) != OBSERVER_E_OK) return false;
  obs_fetch_set_stop(is_stopped, f);
  f->running = obs_thread_start(&f->thread, "obs:top", fetch, f) == OBSERVER_E_OK;
  return f->running;
}

obs_top_data *obs_top_fetch_take(obs_top_fetch *f) {
  eventfd_t count;
  (void)eventfd_read(f->event_fd, &count);
  pthread_mutex_lock(&f->mutex);
  obs_top_data *data = f->data;
  f->data = NULL;
  pthread_mutex_unlock(&f->mutex);
  return data;
}

void obs_top_fetch_page(obs_top_fetch *f, const obs_top_target *page) {
  pthread_mutex_lock(&f->mutex);
  f->page = *page;
  pthread_cond_signal(&f->cond);
  pthread_mutex_unlock(&f->mutex);
}

void obs_top_fetch_close(obs_top_fetch *f) {
  if (f->running) {
    pthread_mutex_lock(&f->mutex);
    atomic_store(&f->stop, true);
    pthread_cond_signal(&f->cond);
    pthread_mutex_unlock(&f->mutex);
    pthread_join(f->thread, NULL);
  }
  obs_fetch_set_stop(NULL, NULL);
  obs_top_data_free(f->data);
  if (f->event_fd >= 0) close(f->event_fd);
}
