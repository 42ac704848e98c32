/* What is asked: the right few of what was built last. */
#include "base/clock.h"
#include "base/log.h"
#include "learn/advice/internal.h"

#include <stdlib.h>

/* ---- open, build ---- */

observer_err obs_advice_open(obs_clusters *clusters, obs_playbooks *playbooks, obs_advice **out) {
  obs_advice *a = calloc(1, sizeof(*a));
  *out = NULL;
  if (a == NULL) return OBSERVER_E_NOMEM;
  a->clusters = clusters;
  a->playbooks = playbooks;
  a->lock_made = pthread_mutex_init(&a->lock, NULL) == 0;
  a->built = calloc(1, sizeof(*a->built)); /* nothing is known yet */
  if (!a->lock_made || a->built == NULL) {
    obs_advice_close(a);
    return OBSERVER_E_NOMEM;
  }
  atomic_init(&a->built->references, 1);
  *out = a;
  return OBSERVER_E_OK;
}

void obs_advice_close(obs_advice *a) {
  if (a == NULL) return;
  obs_advice_release(a->built);
  if (a->lock_made) pthread_mutex_destroy(&a->lock);
  free(a);
}

observer_err obs_advice_build(obs_advice *a, int64_t now_ms, uint64_t as_of) {
  obs_advice_built *fresh = obs_advice_gather(a->clusters, a->playbooks, now_ms, as_of);
  if (fresh == NULL) return OBSERVER_E_NOMEM;
  pthread_mutex_lock(&a->lock);
  obs_advice_built *old = a->built;
  a->built = fresh;
  pthread_mutex_unlock(&a->lock);
  obs_advice_release(old);
  return OBSERVER_E_OK;
}

/* ---- lists ---- */

/* Where a list is looked at. */
typedef struct {
  const obs_advice_posting *at, *end;
} cursor;

static cursor none(void) {
  return (cursor){NULL, NULL};
}

/* The list of a name; none when it was not asked for. */
static cursor list_of(const obs_advice_built *b, obs_advice_list list, obs_str name) {
  if (name.p == NULL || b->npostings == 0) return none();
  obs_advice_key key = obs_advice_key_of(list, name);
  uint32_t low = 0, high = b->npostings;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (obs_advice_compare(b->postings[middle].key, key) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  cursor c = {b->postings + low, b->postings + low};
  while (c.end < b->postings + b->npostings && obs_advice_compare(c.end->key, key) == 0) c.end++;
  return c;
}

/* The lowest index that any of the lists has next, which all move past; bits of `in` tell whose it is. */
static bool next(cursor *lists, uint32_t n, uint32_t *index, uint32_t *in) {
  uint32_t least = UINT32_MAX;
  for (uint32_t i = 0; i < n; i++)
    if (lists[i].at < lists[i].end && lists[i].at->index < least) least = lists[i].at->index;
  *index = least;
  *in = 0;
  for (uint32_t i = 0; i < n; i++)
    while (lists[i].at < lists[i].end && lists[i].at->index == least) {
      lists[i].at++;
      *in |= 1u << i;
    }
  return *in != 0;
}

enum { OF_ENDPOINT = 1, OF_CLASS = 2, BOTH = OF_ENDPOINT | OF_CLASS };

/* ---- picking ---- */

/* What is of the endpoint asked for but of another task class than that, or the other way round, is for others. */
static bool is_for_others(const obs_advice_answer *a, const obs_advice_entry *e, uint32_t in) {
  return (in == OF_ENDPOINT && e->has_class && a->task_class.p != NULL) ||
         (in == OF_CLASS && e->has_endpoint && a->endpoint.p != NULL);
}

static void pick_entries(obs_advice_answer *a) {
  const obs_advice_built *b = a->built;
  const cursor lists[] = {list_of(b, OBS_ADVICE_ENTRIES_OF_ENDPOINT, a->endpoint),
                          list_of(b, OBS_ADVICE_ENTRIES_OF_CLASS, a->task_class),
                          list_of(b, OBS_ADVICE_ENTRIES_ANYWHERE, (obs_str){"", 0, 1})};
  for (int first = 1; first >= 0; first--) {
    cursor c[] = {lists[0], lists[1], lists[2]};
    uint32_t index, in;
    while (a->nentries < OBS_ADVICE_EACH && next(c, 3, &index, &in))
      if ((in == BOTH) == (first == 1) && !is_for_others(a, &b->entries[index], in)) a->entries[a->nentries++] = index;
  }
}

static void pick_clusters(obs_advice_answer *a) {
  const cursor lists[] = {list_of(a->built, OBS_ADVICE_CLUSTERS_OF_ENDPOINT, a->endpoint),
                          list_of(a->built, OBS_ADVICE_CLUSTERS_OF_CLASS, a->task_class)};
  for (int first = 1; first >= 0; first--) {
    cursor c[] = {lists[0], lists[1]};
    uint32_t index, in;
    while (a->nclusters < OBS_ADVICE_EACH && next(c, 2, &index, &in))
      if ((in == BOTH) == (first == 1)) a->clusters[a->nclusters++] = index;
  }
}

static void pick_corrections(obs_advice_answer *a) {
  const obs_advice_built *b = a->built;
  cursor lists[OBS_ADVICE_EACH + 1];
  uint32_t n = 0, index, in;
  lists[n++] = list_of(b, OBS_ADVICE_CORRECTIONS_OF_CLASS, a->task_class);
  for (uint32_t i = 0; i < a->nclusters; i++) {
    const uint64_t *id = &b->clusters[a->clusters[i]].id;
    lists[n++] = list_of(b, OBS_ADVICE_CORRECTIONS_OF_CLUSTER, (obs_str){(const char *)id, sizeof(*id), 0});
  }
  while (a->ncorrections < OBS_ADVICE_EACH && next(lists, n, &index, &in)) a->corrections[a->ncorrections++] = index;
}

static obs_advice_built *hold(obs_advice *a) {
  pthread_mutex_lock(&a->lock);
  obs_advice_built *b = a->built;
  atomic_fetch_add(&b->references, 1);
  pthread_mutex_unlock(&a->lock);
  return b;
}

observer_err obs_advice_ask(obs_advice *a, obs_str endpoint, obs_str task_class, obs_advice_form form, obs_buf *out) {
  if (endpoint.p == NULL && task_class.p == NULL) return OBSERVER_E_INVALID;
  obs_advice_built *b = hold(a);
  obs_advice_answer answer = {.built = b};
  if (endpoint.p != NULL) answer.endpoint = obs_advice_name(endpoint);
  if (task_class.p != NULL) answer.task_class = obs_advice_name(task_class);
  pick_entries(&answer);
  pick_clusters(&answer);
  pick_corrections(&answer);
  obs_advice_tell(&answer, form, out);
  obs_advice_release(b);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

/* ---- the loop ---- */

static observer_err open_loop(obs_loop_tools *tools, void **loop, char *error_text, size_t size) {
  obs_advice *a = NULL;
  obs_playbooks *playbooks = obs_learn_loop(tools->learn, &obs_playbooks_loop);
  (void)error_text, (void)size;
  observer_err err = obs_advice_open(tools->opts->clusters, playbooks, &a);
  *loop = a;
  return err;
}

static void build(void *loop, const obs_loop_turn *turn) {
  observer_err err = obs_advice_build(loop, obs_clock_wall_ms(), turn->last_seq);
  if (err != OBSERVER_E_OK) obs_log_error("learn", "advice is not brought up to date: %s", observer_strerror(err));
}

static void close_loop(void *loop) {
  obs_advice_close(loop);
}

const obs_loop obs_advice_loop = {
    .name = "advice", .open = open_loop, .cycle = build, .refresh = build, .close = close_loop};
