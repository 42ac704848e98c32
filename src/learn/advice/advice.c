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

static obs_advice_key key_of(obs_advice_list list, obs_str name) {
  return (obs_advice_key){XXH3_64bits(name.p, name.len), list};
}

static obs_str id_bytes(const uint64_t *id) {
  return (obs_str){(const char *)id, sizeof(*id), 0};
}

static int compare_keys(obs_advice_key a, obs_advice_key b) {
  if (a.list != b.list) return a.list < b.list ? -1 : 1;
  return (a.hash > b.hash) - (a.hash < b.hash);
}

/* ---- building ----
 *
 * Entries, clusters and corrections are gathered in the order in which they are answered; for each name a list of their
 * indices is kept (a posting each). An answer merges the lists of the names asked about, lowest index first, so nothing
 * is sorted or allocated when somebody asks. */

/* A posting of a correction, whose index is not known before all are sorted. */
typedef struct {
  obs_advice_key key;
  uint64_t seq;
} loose_posting;

typedef struct {
  obs_advice_built *b;
  OBS_VEC(loose_posting) loose;
  bool oom;
} gathering;

static obs_advice_text keep(gathering *g, obs_str text) {
  obs_advice_text t = {(uint32_t)g->b->text.len, (uint32_t)obs_utf8_cut(text.p, text.len, TEXT)};
  obs_buf_append(&g->b->text, text.p, t.len);
  g->oom = g->oom || g->b->text.oom;
  return t;
}

static void post(gathering *g, obs_advice_key key, uint32_t index) {
  obs_advice_posting *p = OBS_VEC_PUSH(&g->b->postings);
  if (p != NULL)
    *p = (obs_advice_posting){key, index};
  else
    g->oom = true;
}

static bool add_entry(void *arg, const obs_playbook_view *v) {
  gathering *g = arg;
  obs_advice_entry *e = OBS_VEC_PUSH(&g->b->entries);
  obs_str endpoint = obs_str_of(v->endpoint), class = obs_str_of(v->task_class);
  g->oom = g->oom || e == NULL;
  if (g->oom) return false;
  uint32_t at = g->b->entries.n - 1;
  *e = (obs_advice_entry){.id = v->id,
                          .text = keep(g, obs_str_of(v->text)),
                          .dont = v->dont,
                          .has_endpoint = endpoint.len > 0,
                          .has_class = class.len > 0};
  if (e->has_endpoint) post(g, key_of(OBS_ADVICE_ENTRIES_OF_ENDPOINT, endpoint), at);
  if (e->has_class) post(g, key_of(OBS_ADVICE_ENTRIES_OF_CLASS, class), at);
  for (uint32_t i = 0; i < v->task_classes.n; i++)
    post(g, key_of(OBS_ADVICE_ENTRIES_OF_CLASS, obs_str_of(v->task_classes.v[i].text)), at);
  if (!e->has_endpoint && !e->has_class) post(g, key_of(OBS_ADVICE_ENTRIES_ANYWHERE, OBS_STR("")), at);
  return true;
}

static void post_values(gathering *g, obs_advice_list list, const obs_cluster_values *values, uint32_t index) {
  for (uint32_t i = 0; i < values->n; i++) post(g, key_of(list, cut_name(values->v[i].value)), index);
  if (values->other > 0) post(g, key_of(list, OBS_STR("(other)")), index);
}

static void post_correction(gathering *g, obs_advice_key key, uint64_t seq) {
  loose_posting *p = OBS_VEC_PUSH(&g->loose);
  if (p != NULL)
    *p = (loose_posting){key, seq};
  else
    g->oom = true;
}

/* A correction of several clusters comes with each of them. */
static void add_correction(gathering *g, const obs_cluster_view *x, const obs_cluster_correction *r) {
  obs_advice_correction *c = OBS_VEC_PUSH(&g->b->corrections);
  g->oom = g->oom || c == NULL;
  if (g->oom) return;
  *c = (obs_advice_correction){.seq = r->seq, .succeeded = r->succeeded, .failed = r->failed, .text = keep(g, r->text)};
  post_correction(g, key_of(OBS_ADVICE_CORRECTIONS_OF_CLUSTER, id_bytes(&x->id)), r->seq);
  for (uint32_t i = 0; i < x->task_classes.n; i++)
    post_correction(g, key_of(OBS_ADVICE_CORRECTIONS_OF_CLASS, cut_name(x->task_classes.v[i].value)), r->seq);
  if (x->task_classes.other > 0)
    post_correction(g, key_of(OBS_ADVICE_CORRECTIONS_OF_CLASS, OBS_STR("(other)")), r->seq);
}

static bool add_cluster(void *arg, const obs_cluster_view *x) {
  gathering *g = arg;
  if (x->state == OBS_CLUSTER_RESOLVED) return true;
  obs_advice_cluster *c = OBS_VEC_PUSH(&g->b->clusters);
  g->oom = g->oom || c == NULL;
  if (g->oom) return false;
  uint32_t at = g->b->clusters.n - 1;
  *c = (obs_advice_cluster){x->id, x->count, x->state, keep(g, x->template)};
  post_values(g, OBS_ADVICE_CLUSTERS_OF_ENDPOINT, &x->endpoints, at);
  post_values(g, OBS_ADVICE_CLUSTERS_OF_CLASS, &x->task_classes, at);
  for (uint32_t i = 0; i < x->ncorrections; i++) add_correction(g, x, &x->corrections[i]);
  return !g->oom;
}

/* Those with most failures first. Each is copied by its own look at the table. */
static void gather_clusters(gathering *g, obs_clusters *clusters, int64_t now_ms) {
  const obs_clusters_filter all = {
      .state = -1, .since_ms = INT64_MIN, .order = OBS_CLUSTERS_BY_COUNT, .limit = UINT32_MAX};
  uint32_t total;
  if (obs_clusters_each(clusters, &all, now_ms, add_cluster, g, &total) != OBSERVER_E_OK) g->oom = true;
}

static int latest(const void *a, const void *b) {
  const obs_advice_correction *x = a, *y = b;
  return (x->seq < y->seq) - (x->seq > y->seq);
}

/* The latest first, none twice; then their postings. */
static void order_corrections(gathering *g) {
  obs_advice_correction *list = g->b->corrections.at;
  uint32_t n = 0;
  if (g->b->corrections.n > 1) qsort(list, g->b->corrections.n, sizeof(*list), latest);
  for (uint32_t i = 0; i < g->b->corrections.n; i++)
    if (n == 0 || list[n - 1].seq != list[i].seq) list[n++] = list[i];
  g->b->corrections.n = n;
  for (uint32_t i = 0; i < g->loose.n; i++) {
    uint32_t low = 0, high = n;
    while (low < high) {
      uint32_t middle = low + (high - low) / 2;
      if (list[middle].seq > g->loose.at[i].seq)
        low = middle + 1;
      else
        high = middle;
    }
    post(g, g->loose.at[i].key, low);
  }
}

static int by_key(const void *a, const void *b) {
  const obs_advice_posting *x = a, *y = b;
  int order = compare_keys(x->key, y->key);
  return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

/* NULL: no memory. */
static obs_advice_built *gather(obs_clusters *clusters, obs_playbooks *playbooks, int64_t now_ms, uint64_t as_of) {
  /* "Don't"s stand before "do"s. */
  const obs_playbooks_filter donts = {.kind = OBS_STR("dont"), .limit = OBS_PLAYBOOK_ENTRIES};
  const obs_playbooks_filter dos = {.kind = OBS_STR("do"), .limit = OBS_PLAYBOOK_ENTRIES};
  gathering g = {.b = calloc(1, sizeof(*g.b))};
  if (g.b == NULL) return NULL;
  g.b->as_of = as_of;
  atomic_init(&g.b->references, 1);
  g.oom = !obs_buf_reserve(&g.b->text, TEXT_ROOM); /* so that an empty text is somewhere too */
  if (obs_playbooks_each(playbooks, &donts, add_entry, &g, NULL) != OBSERVER_E_OK ||
      obs_playbooks_each(playbooks, &dos, add_entry, &g, NULL) != OBSERVER_E_OK)
    g.oom = true;
  gather_clusters(&g, clusters, now_ms);
  order_corrections(&g);
  if (g.b->postings.n > 1) qsort(g.b->postings.at, g.b->postings.n, sizeof(*g.b->postings.at), by_key);
  OBS_VEC_FINI(&g.loose);
  if (!g.oom) return g.b;
  release(g.b);
  return NULL;
}

observer_err obs_advice_build(obs_advice *a, int64_t now_ms, uint64_t as_of) {
  obs_advice_built *fresh = gather(a->clusters, a->playbooks, now_ms, as_of);
  if (fresh == NULL) return OBSERVER_E_NOMEM;
  pthread_mutex_lock(&a->lock);
  obs_advice_built *old = a->built;
  a->built = fresh;
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

void obs_advice_close(obs_advice *a) {
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
  obs_advice_key key = key_of(list, name);
  const obs_advice_posting *postings = b->postings.at;
  uint32_t low = 0, high = b->postings.n;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (compare_keys(postings[middle].key, key) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  span c = {postings + low, postings + low};
  while (c.end < postings + b->postings.n && compare_keys(c.end->key, key) == 0) c.end++;
  return c;
}

/* The lowest index that any of the lists has next, which all move past; the bits of `in` are the lists that have it. */
static bool next(span *lists, uint32_t n, uint32_t *index, uint32_t *in) {
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

/* Of the endpoint that is asked about but of another task class, or the other way round. */
static bool is_for_others(const obs_advice_answer *a, const obs_advice_entry *e, uint32_t in) {
  return (in == OF_ENDPOINT && e->has_class && a->task_class.p != NULL) ||
         (in == OF_CLASS && e->has_endpoint && a->endpoint.p != NULL);
}

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
    while (a->nentries < OBS_ADVICE_EACH && next(c, 3, &index, &in))
      if ((in == BOTH) == (first == 1) && !is_for_others(a, &b->entries.at[index], in))
        a->entries[a->nentries++] = index;
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

static void close_loop(void *loop) {
  obs_advice_close(loop);
}

const obs_loop obs_advice_loop = {
    .name = "advice", .open = open_loop, .cycle = build, .refresh = build, .close = close_loop};
