#include "learn/advice/advice.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"
#include "learn/advice/internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

/* TEXT: bytes of one that are kept. */
enum { TEXT = OBS_PLAYBOOK_TEXT, TEXT_ROOM = 4096 };

struct obs_advice {
  obs_clusters *clusters;
  obs_playbooks *playbooks;
  pthread_mutex_t lock; /* of `built` */
  bool lock_made;
  obs_advice_built *built; /* never NULL once open */
};

static void release(obs_advice_built *b) {
  if (b == NULL || atomic_fetch_sub(&b->references, 1) > 1) return;
  obs_buf_fini(&b->text);
  OBS_VEC_FINI(&b->entries);
  OBS_VEC_FINI(&b->clusters);
  OBS_VEC_FINI(&b->corrections);
  OBS_VEC_FINI(&b->postings);
  free(b);
}

/* At most OBS_ADVICE_NAME bytes of a name: as entries and clusters keep it. */
static obs_str cut_name(obs_str name) {
  return obs_utf8_cut_str(name, OBS_ADVICE_NAME);
}

static obs_str id_bytes(const uint64_t *id) {
  return (obs_str){(const char *)id, sizeof(*id), 0};
}

/* Of two names' lists. */
static int compare_lists(const obs_advice_posting *a, const obs_advice_posting *b) {
  if (a->list != b->list) return a->list < b->list ? -1 : 1;
  return (a->hash > b->hash) - (a->hash < b->hash);
}

/* ---- building ----
 *
 * Entries, clusters and corrections are gathered in the order in which they are answered; for each name a list of their
 * indices is kept (a posting each). An answer merges the lists of the names asked about, lowest index first, so nothing
 * is sorted or allocated when somebody asks. */

/* Memory that ran out, for whatever part, shows in text.oom. */
static obs_advice_text keep(obs_advice_built *b, obs_str text) {
  obs_advice_text t = {(uint32_t)b->text.len, (uint32_t)obs_utf8_cut(text.p, text.len, TEXT)};
  obs_buf_append(&b->text, text.p, t.len);
  return t;
}

static void post(obs_advice_built *b, obs_advice_list list, obs_str name, uint64_t index) {
  obs_advice_posting *p = OBS_VEC_PUSH(&b->postings);
  if (p != NULL)
    *p = (obs_advice_posting){list, XXH3_64bits(name.p, name.len), index};
  else
    b->text.oom = true;
}

static void post_values(obs_advice_built *b, obs_advice_list list, const obs_cluster_values *values, uint64_t index) {
  for (uint32_t i = 0; i < values->n; i++) post(b, list, cut_name(values->v[i].value), index);
  if (values->other > 0) post(b, list, OBS_STR("(other)"), index);
}

static bool add_entry(void *arg, const obs_playbook_view *v) {
  obs_advice_built *b = arg;
  obs_advice_entry *e = OBS_VEC_PUSH(&b->entries);
  obs_str endpoint = obs_str_of(v->endpoint), class = obs_str_of(v->task_class);
  b->text.oom = b->text.oom || e == NULL;
  if (b->text.oom) return false;
  uint32_t at = b->entries.n - 1;
  *e = (obs_advice_entry){.id = v->id,
                          .text = keep(b, obs_str_of(v->text)),
                          .dont = v->dont,
                          .has_endpoint = endpoint.len > 0,
                          .has_class = class.len > 0};
  if (e->has_endpoint) post(b, OBS_ADVICE_ENTRIES_OF_ENDPOINT, endpoint, at);
  if (e->has_class) post(b, OBS_ADVICE_ENTRIES_OF_CLASS, class, at);
  for (uint32_t i = 0; i < v->task_classes.n; i++)
    post(b, OBS_ADVICE_ENTRIES_OF_CLASS, obs_str_of(v->task_classes.v[i].text), at);
  if (!e->has_endpoint && !e->has_class) post(b, OBS_ADVICE_ENTRIES_ANYWHERE, OBS_STR(""), at);
  return true;
}

/* A correction of several clusters comes with each of them. Its postings have its seq until all are sorted. */
static bool add_cluster(void *arg, const obs_cluster_view *x) {
  obs_advice_built *b = arg;
  if (x->state == OBS_CLUSTER_RESOLVED) return true;
  obs_advice_cluster *cluster = OBS_VEC_PUSH(&b->clusters);
  b->text.oom = b->text.oom || cluster == NULL;
  if (b->text.oom) return false;
  uint32_t at = b->clusters.n - 1;
  *cluster = (obs_advice_cluster){x->id, x->count, x->state, keep(b, x->template)};
  post_values(b, OBS_ADVICE_CLUSTERS_OF_ENDPOINT, &x->endpoints, at);
  post_values(b, OBS_ADVICE_CLUSTERS_OF_CLASS, &x->task_classes, at);
  for (uint32_t i = 0; i < x->ncorrections; i++) {
    const obs_cluster_correction *r = &x->corrections[i];
    obs_advice_correction *c = OBS_VEC_PUSH(&b->corrections);
    b->text.oom = b->text.oom || c == NULL;
    if (b->text.oom) return false;
    *c = (obs_advice_correction){r->seq, r->succeeded, r->failed, keep(b, r->text)};
    post(b, OBS_ADVICE_CORRECTIONS_OF_CLUSTER, id_bytes(&x->id), r->seq);
    post_values(b, OBS_ADVICE_CORRECTIONS_OF_CLASS, &x->task_classes, r->seq);
  }
  return !b->text.oom;
}

static int latest(const void *a, const void *b) {
  const obs_advice_correction *x = a, *y = b;
  return (x->seq < y->seq) - (x->seq > y->seq);
}

static int by_list(const void *a, const void *b) {
  const obs_advice_posting *x = a, *y = b;
  int order = compare_lists(x, y);
  return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

observer_err obs_advice_build(obs_advice *a, int64_t now_ms, uint64_t as_of) {
  /* "Don't"s stand before "do"s; clusters with most failures first, each copied by its own look at the table. */
  const obs_playbooks_filter donts = {.kind = OBS_STR("dont"), .limit = OBS_PLAYBOOK_ENTRIES};
  const obs_playbooks_filter dos = {.kind = OBS_STR("do"), .limit = OBS_PLAYBOOK_ENTRIES};
  const obs_clusters_filter all = {
      .state = -1, .since_ms = INT64_MIN, .order = OBS_CLUSTERS_BY_COUNT, .limit = UINT32_MAX};
  uint32_t total, n = 0;
  obs_advice_built *b = calloc(1, sizeof(*b));
  if (b == NULL) return OBSERVER_E_NOMEM;
  b->as_of = as_of;
  atomic_init(&b->references, 1);
  bool ok = obs_buf_reserve(&b->text, TEXT_ROOM) && /* so that an empty text is somewhere too */
            obs_playbooks_each(a->playbooks, &donts, add_entry, b, NULL) == OBSERVER_E_OK &&
            obs_playbooks_each(a->playbooks, &dos, add_entry, b, NULL) == OBSERVER_E_OK &&
            obs_clusters_each(a->clusters, &all, now_ms, add_cluster, b, &total) == OBSERVER_E_OK && !b->text.oom;
  if (!ok) {
    release(b);
    return OBSERVER_E_NOMEM;
  }

  /* Corrections: the latest first, none twice; then their postings get their places. */
  obs_advice_correction *list = b->corrections.at;
  if (b->corrections.n > 1) qsort(list, b->corrections.n, sizeof(*list), latest);
  for (uint32_t i = 0; i < b->corrections.n; i++)
    if (n == 0 || list[n - 1].seq != list[i].seq) list[n++] = list[i];
  b->corrections.n = n;
  for (uint32_t i = 0; i < b->postings.n; i++) {
    obs_advice_posting *p = &b->postings.at[i];
    if (p->list < OBS_ADVICE_CORRECTIONS_OF_CLUSTER) continue;
    uint32_t low = 0, high = n;
    while (low < high) {
      uint32_t middle = low + (high - low) / 2;
      if (list[middle].seq > p->index)
        low = middle + 1;
      else
        high = middle;
    }
    p->index = low;
  }
  if (b->postings.n > 1) qsort(b->postings.at, b->postings.n, sizeof(*b->postings.at), by_list);

  pthread_mutex_lock(&a->lock);
  obs_advice_built *old = a->built;
  a->built = b;
  pthread_mutex_unlock(&a->lock);
  release(old);
  return OBSERVER_E_OK;
}

/* ---- open and close ---- */

observer_err obs_advice_open(obs_clusters *clusters, obs_playbooks *playbooks, obs_advice **out) {
  obs_advice *a = calloc(1, sizeof(*a));
  *out = NULL;
  if (a == NULL) return OBSERVER_E_NOMEM;
  a->clusters = clusters;
  a->playbooks = playbooks;
  a->lock_made = pthread_mutex_init(&a->lock, NULL) == 0;
  a->built = calloc(1, sizeof(*a->built)); /* nothing is known yet */
  if (a->built != NULL) atomic_init(&a->built->references, 1);
  if (!a->lock_made || a->built == NULL) {
    obs_advice_close(a);
    return OBSERVER_E_NOMEM;
  }
  *out = a;
  return OBSERVER_E_OK;
}

void obs_advice_close(void *advice) {
  obs_advice *a = advice;
  if (a == NULL) return;
  release(a->built);
  if (a->lock_made) pthread_mutex_destroy(&a->lock);
  free(a);
}

/* ---- picking: any thread, also NNG's ---- */

/* Where a list is read. */
typedef struct {
  const obs_advice_posting *at, *end;
} span;

/* The list of a name; an empty one when the name is not given. */
static span list_of(const obs_advice_built *b, obs_advice_list list, obs_str name) {
  if (name.p == NULL || b->postings.n == 0) return (span){NULL, NULL};
  const obs_advice_posting first = {list, XXH3_64bits(name.p, name.len), 0};
  const obs_advice_posting *postings = b->postings.at;
  uint32_t low = 0, high = b->postings.n;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (compare_lists(&postings[middle], &first) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  span c = {postings + low, postings + low};
  while (c.end < postings + b->postings.n && compare_lists(c.end, &first) == 0) c.end++;
  return c;
}

/* The lowest index that any of the lists has next, which all move past; the bits of `in` are the lists that have it. */
static bool next(span *lists, uint32_t n, uint32_t *index, uint32_t *in) {
  uint32_t least = UINT32_MAX;
  for (uint32_t i = 0; i < n; i++)
    if (lists[i].at < lists[i].end && lists[i].at->index < least) least = (uint32_t)lists[i].at->index;
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

/* Entries and clusters: first those of both endpoint and task class, then the others. */
static void pick(obs_advice_answer *a) {
  const obs_advice_built *b = a->built;
  const span entries[] = {list_of(b, OBS_ADVICE_ENTRIES_OF_ENDPOINT, a->endpoint),
                          list_of(b, OBS_ADVICE_ENTRIES_OF_CLASS, a->task_class),
                          list_of(b, OBS_ADVICE_ENTRIES_ANYWHERE, OBS_STR(""))};
  const span clusters[] = {list_of(b, OBS_ADVICE_CLUSTERS_OF_ENDPOINT, a->endpoint),
                           list_of(b, OBS_ADVICE_CLUSTERS_OF_CLASS, a->task_class)};
  uint32_t index, in;
  for (int first = 1; first >= 0; first--) {
    span c[] = {entries[0], entries[1], entries[2]};
    while (a->nentries < OBS_ADVICE_EACH && next(c, 3, &index, &in)) {
      /* Of the endpoint that is asked about but of another task class, or the other way round: not of the question. */
      const obs_advice_entry *e = &b->entries.at[index];
      bool for_others = (in == OF_ENDPOINT && e->has_class && a->task_class.p != NULL) ||
                        (in == OF_CLASS && e->has_endpoint && a->endpoint.p != NULL);
      if ((in == BOTH) == (first == 1) && !for_others) a->entries[a->nentries++] = index;
    }
  }
  for (int first = 1; first >= 0; first--) {
    span c[] = {clusters[0], clusters[1]};
    while (a->nclusters < OBS_ADVICE_EACH && next(c, 2, &index, &in))
      if ((in == BOTH) == (first == 1)) a->clusters[a->nclusters++] = index;
  }
  span lists[OBS_ADVICE_EACH + 1]; /* corrections: of the task class and of those clusters */
  uint32_t n = 0;
  lists[n++] = list_of(b, OBS_ADVICE_CORRECTIONS_OF_CLASS, a->task_class);
  for (uint32_t i = 0; i < a->nclusters; i++)
    lists[n++] = list_of(b, OBS_ADVICE_CORRECTIONS_OF_CLUSTER, id_bytes(&b->clusters.at[a->clusters[i]].id));
  while (a->ncorrections < OBS_ADVICE_EACH && next(lists, n, &index, &in)) a->corrections[a->ncorrections++] = index;
}

observer_err obs_advice_ask(obs_advice *a, obs_str endpoint, obs_str task_class, obs_advice_form form, obs_buf *out) {
  if (endpoint.p == NULL && task_class.p == NULL) return OBSERVER_E_INVALID;
  /* The reference must be taken under the lock: a build could free it between the read and the count. */
  pthread_mutex_lock(&a->lock);
  obs_advice_built *b = a->built;
  atomic_fetch_add(&b->references, 1);
  pthread_mutex_unlock(&a->lock);
  obs_advice_answer answer = {.built = b};
  if (endpoint.p != NULL) answer.endpoint = cut_name(endpoint);
  if (task_class.p != NULL) answer.task_class = cut_name(task_class);
  pick(&answer);
  obs_advice_write(&answer, form, out);
  release(b);
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
  if (err != OBSERVER_E_OK) obs_log_error("learn", "advice not updated: %s", observer_strerror(err));
}

const obs_loop obs_advice_loop = {
    .name = "advice", .open = open_loop, .cycle = build, .refresh = build, .close = obs_advice_close};
