/* Gathering: entries, open clusters and corrections, and the lists by which they are found. */
#include "base/hex.h"
#include "base/utf8.h"
#include "learn/advice/internal.h"
#include "learn/member.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <xxhash.h>

/* TEXT: bytes of one that may be told. */
enum { TEXT = OBS_PLAYBOOK_TEXT, TEXT_ROOM = 4096 };

/* A posting whose index is not known yet: of what it is. */
typedef struct {
  obs_advice_key key;
  uint64_t seq;
} loose;

/* What is being gathered. Arrays grow by doubling. */
typedef struct {
  obs_advice_built *b;
  uint32_t entries_cap, clusters_cap, corrections_cap, postings_cap;
  loose *loose; /* corrections' postings, by seq */
  uint32_t nloose, loose_cap;
  bool oom;
} gathering;

obs_str obs_advice_name(obs_str name) {
  name.len = (uint32_t)obs_utf8_cut(name.p, name.len, OBS_ADVICE_NAME);
  return name;
}

obs_advice_key obs_advice_key_of(obs_advice_list list, obs_str name) {
  return (obs_advice_key){XXH3_64bits(name.p, name.len), list};
}

int obs_advice_compare(obs_advice_key a, obs_advice_key b) {
  if (a.list != b.list) return a.list < b.list ? -1 : 1;
  return (a.hash > b.hash) - (a.hash < b.hash);
}

static bool grow(gathering *g, void **list, uint32_t n, uint32_t *cap, size_t size) {
  if (g->oom) return false;
  if (n < *cap) return true;
  uint32_t more = *cap > 0 ? 2 * *cap : 64;
  void *p = realloc(*list, more * size);
  g->oom = p == NULL;
  if (p == NULL) return false;
  *list = p;
  *cap = more;
  return true;
}

static obs_advice_text keep(gathering *g, obs_str text) {
  obs_advice_text t = {(uint32_t)g->b->text.len, (uint32_t)obs_utf8_cut(text.p, text.len, TEXT)};
  obs_buf_append(&g->b->text, text.p, t.len);
  g->oom = g->oom || g->b->text.oom;
  return t;
}

static void post(gathering *g, obs_advice_list list, obs_str name, uint32_t index) {
  obs_advice_built *b = g->b;
  if (!grow(g, (void **)&b->postings, b->npostings, &g->postings_cap, sizeof(*b->postings))) return;
  b->postings[b->npostings++] = (obs_advice_posting){obs_advice_key_of(list, obs_advice_name(name)), index};
}

/* ---- entries ---- */

static bool on_entry(void *arg, const obs_playbook_view *v) {
  gathering *g = arg;
  obs_advice_built *b = g->b;
  if (!grow(g, (void **)&b->entries, b->nentries, &g->entries_cap, sizeof(*b->entries))) return false;
  uint32_t at = b->nentries++;
  obs_advice_entry *e = &b->entries[at];
  obs_str endpoint = obs_str_of(v->endpoint), class = obs_str_of(v->task_class);
  *e = (obs_advice_entry){.text = keep(g, obs_str_of(v->text)),
                          .dont = v->dont,
                          .has_endpoint = endpoint.len > 0,
                          .has_class = class.len > 0};
  obs_hex_format(v->id, e->id);
  if (e->has_endpoint) post(g, OBS_ADVICE_ENTRIES_OF_ENDPOINT, endpoint, at);
  if (e->has_class) post(g, OBS_ADVICE_ENTRIES_OF_CLASS, class, at);
  for (uint32_t i = 0; i < v->task_classes.n; i++)
    post(g, OBS_ADVICE_ENTRIES_OF_CLASS, obs_str_of(v->task_classes.v[i].text), at);
  if (!e->has_endpoint && !e->has_class) post(g, OBS_ADVICE_ENTRIES_ANYWHERE, OBS_STR(""), at);
  return true;
}

/* ---- clusters ---- */

static uint64_t number_of(const cJSON *map, const char *name) {
  uint64_t n = 0;
  (void)obs_member_u64(map, name, &n);
  return n;
}

static obs_str id_bytes(const uint64_t *id) {
  return (obs_str){(const char *)id, sizeof(*id), 0};
}

static void post_set(gathering *g, obs_advice_list list, const cJSON *set, uint32_t index) {
  const cJSON *v;
  cJSON_ArrayForEach(v, set) {
    post(g, list, obs_str_of(v->string), index);
  }
}

static void post_correction(gathering *g, obs_advice_key key, uint64_t seq) {
  if (!grow(g, (void **)&g->loose, g->nloose, &g->loose_cap, sizeof(*g->loose))) return;
  g->loose[g->nloose++] = (loose){key, seq};
}

/* A correction of several clusters comes with each of them. */
static void add_correction(gathering *g, uint64_t cluster, const cJSON *classes, const cJSON *item) {
  obs_advice_built *b = g->b;
  const cJSON *class;
  if (!grow(g, (void **)&b->corrections, b->ncorrections, &g->corrections_cap, sizeof(*b->corrections))) return;
  obs_advice_correction *c = &b->corrections[b->ncorrections++];
  *c = (obs_advice_correction){.seq = number_of(item, "seq"),
                               .succeeded = number_of(item, "succeeded"),
                               .failed = number_of(item, "failed"),
                               .text = keep(g, obs_member_text(item, "text"))};
  post_correction(g, obs_advice_key_of(OBS_ADVICE_CORRECTIONS_OF_CLUSTER, id_bytes(&cluster)), c->seq);
  cJSON_ArrayForEach(class, classes) {
    obs_str name = obs_str_of(class->string);
    post_correction(g, obs_advice_key_of(OBS_ADVICE_CORRECTIONS_OF_CLASS, obs_advice_name(name)), c->seq);
  }
}

static void add_cluster(gathering *g, const obs_cluster_mark *mark, const cJSON *one) {
  obs_advice_built *b = g->b;
  const cJSON *classes = cJSON_GetObjectItemCaseSensitive(one, "task_classes"), *item;
  if (!grow(g, (void **)&b->clusters, b->nclusters, &g->clusters_cap, sizeof(*b->clusters))) return;
  uint32_t at = b->nclusters++;
  b->clusters[at] = (obs_advice_cluster){mark->id, mark->count, mark->state, keep(g, obs_member_text(one, "template"))};
  post_set(g, OBS_ADVICE_CLUSTERS_OF_ENDPOINT, cJSON_GetObjectItemCaseSensitive(one, "endpoints"), at);
  post_set(g, OBS_ADVICE_CLUSTERS_OF_CLASS, classes, at);
  const cJSON *corrections = cJSON_GetObjectItemCaseSensitive(one, "corrections");
  cJSON_ArrayForEach(item, corrections) {
    add_correction(g, mark->id, classes, item);
  }
}

static int by_count(const void *a, const void *b) {
  const obs_cluster_mark *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  return (x->last_seq < y->last_seq) - (x->last_seq > y->last_seq);
}

/* Each by its own look at the table. */
static void gather_clusters(gathering *g, obs_clusters *clusters, int64_t now_ms) {
  obs_clusters_counts counts;
  obs_clusters_get_counts(clusters, &counts);
  obs_cluster_mark *marks = calloc((size_t)counts.held + 1, sizeof(*marks));
  g->oom = g->oom || marks == NULL;
  uint32_t n = marks != NULL ? obs_clusters_marks(clusters, now_ms, marks, counts.held) : 0;
  obs_buf text = {0};
  if (n > 1) qsort(marks, n, sizeof(*marks), by_count);
  for (uint32_t i = 0; i < n && !g->oom; i++) {
    obs_buf_reset(&text, SIZE_MAX);
    if (marks[i].state == OBS_CLUSTER_RESOLVED || !obs_clusters_one_json(clusters, marks[i].id, now_ms, &text))
      continue;
    cJSON *one = text.oom ? NULL : cJSON_ParseWithLength(text.p, text.len);
    g->oom = one == NULL;
    if (one != NULL) add_cluster(g, &marks[i], one);
    cJSON_Delete(one);
  }
  obs_buf_fini(&text);
  free(marks);
}

/* ---- corrections ---- */

static int latest(const void *a, const void *b) {
  const obs_advice_correction *x = a, *y = b;
  return (x->seq < y->seq) - (x->seq > y->seq);
}

static uint32_t index_of(const obs_advice_built *b, uint64_t seq) {
  uint32_t low = 0, high = b->ncorrections;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (b->corrections[middle].seq > seq)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The latest first, none twice; then their postings. */
static void order_corrections(gathering *g) {
  obs_advice_built *b = g->b;
  uint32_t n = 0;
  if (b->ncorrections > 1) qsort(b->corrections, b->ncorrections, sizeof(*b->corrections), latest);
  for (uint32_t i = 0; i < b->ncorrections; i++)
    if (n == 0 || b->corrections[n - 1].seq != b->corrections[i].seq) b->corrections[n++] = b->corrections[i];
  b->ncorrections = n;
  for (uint32_t i = 0; i < g->nloose; i++) {
    if (!grow(g, (void **)&b->postings, b->npostings, &g->postings_cap, sizeof(*b->postings))) return;
    b->postings[b->npostings++] = (obs_advice_posting){g->loose[i].key, index_of(b, g->loose[i].seq)};
  }
}

/* ---- all of it ---- */

static int by_key(const void *a, const void *b) {
  const obs_advice_posting *x = a, *y = b;
  int order = obs_advice_compare(x->key, y->key);
  return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

obs_advice_built *obs_advice_gather(obs_clusters *clusters, obs_playbooks *playbooks, int64_t now_ms, uint64_t as_of) {
  gathering g = {.b = calloc(1, sizeof(*g.b))};
  if (g.b == NULL) return NULL;
  g.b->as_of = as_of;
  atomic_init(&g.b->references, 1);
  g.oom = !obs_buf_reserve(&g.b->text, TEXT_ROOM); /* so that an empty text is somewhere too */
  /* "Don't"s stand before "do"s. */
  const obs_playbooks_filter donts = {.kind = OBS_STR("dont"), .limit = OBS_PLAYBOOK_ENTRIES};
  const obs_playbooks_filter dos = {.kind = OBS_STR("do"), .limit = OBS_PLAYBOOK_ENTRIES};
  if (obs_playbooks_each(playbooks, &donts, on_entry, &g, NULL) != OBSERVER_E_OK ||
      obs_playbooks_each(playbooks, &dos, on_entry, &g, NULL) != OBSERVER_E_OK)
    g.oom = true;
  gather_clusters(&g, clusters, now_ms);
  order_corrections(&g);
  if (g.b->npostings > 1) qsort(g.b->postings, g.b->npostings, sizeof(*g.b->postings), by_key);
  free(g.loose);
  if (!g.oom) return g.b;
  obs_advice_release(g.b);
  return NULL;
}

void obs_advice_release(obs_advice_built *b) {
  if (b == NULL || atomic_fetch_sub(&b->references, 1) > 1) return;
  obs_buf_fini(&b->text);
  free(b->entries);
  free(b->clusters);
  free(b->corrections);
  free(b->postings);
  free(b);
}
