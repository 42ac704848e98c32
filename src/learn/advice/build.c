/* What is known, gathered in the order in which it is answered; for each name a list of the indices of what belongs to
 * it is kept (a posting each), so that nothing is sorted or allocated when somebody asks. */
#include "base/map.h"
#include "base/utf8.h"
#include "diagnose/sentences.h"
#include "learn/advice/internal.h"
#include "learn/analyses/prompt.h"

#include <stdlib.h>
#include <xxhash.h>

/* LEAST_OPS: of an endpoint's last ones that say how it does. */
enum { TEXT_ROOM = 4096, LEAST_OPS = 3 };
#define OVERSEER "overseer:" /* begins the endpoints of corrections */

typedef struct {
  obs_advice_built *b;
  const obs_advice_opts *from;
  int64_t now_ms;
  uint32_t nfindings; /* met by now */
  obs_map failing;    /* hashes of endpoints that are none to call */
  bool all_fail;
  obs_map clusters; /* places of those that are kept, by id */
} builder;

static uint64_t hash_of(obs_str name) {
  return XXH3_64bits(name.p, name.len);
}

static obs_str id_bytes(const uint64_t *id) {
  return (obs_str){(const char *)id, sizeof(*id), 0};
}

static obs_advice_text keep_most(obs_advice_built *b, obs_str text, uint32_t most) {
  obs_advice_text t = {(uint32_t)b->text.len, (uint32_t)obs_utf8_cut(text.p, text.len, most)};
  obs_buf_append(&b->text, text.p, t.len);
  return t;
}

static obs_advice_text keep(obs_advice_built *b, obs_str text) {
  return keep_most(b, text, OBS_ADVICE_TEXT);
}

static void post(obs_advice_built *b, obs_advice_list list, obs_str name, uint64_t index) {
  obs_advice_posting *p = OBS_VEC_PUSH(&b->postings);
  if (p != NULL)
    *p = (obs_advice_posting){list, hash_of(name), index};
  else
    b->text.oom = true;
}

static void post_values(obs_advice_built *b, obs_advice_list list, const obs_cluster_values *values, uint64_t index) {
  for (uint32_t i = 0; i < values->n; i++) post(b, list, obs_advice_name(values->v[i].value), index);
  if (values->other > 0) post(b, list, OBS_STR("(other)"), index);
}

/* ---- findings ---- */

static const obs_diagnose_condition *condition_of(const obs_diagnose_finding *f, const char *field) {
  for (uint32_t k = 0; k < f->nconditions; k++)
    if (f->conditions[k].relation == OBS_RELATION_IS && strcmp(f->conditions[k].field, field) == 0)
      return &f->conditions[k];
  return NULL;
}

/* Returns its index; text.oom: it is none. */
static uint32_t add_item(builder *x, const obs_diagnose_finding *f, const obs_diagnose_place *place) {
  obs_advice_built *b = x->b;
  obs_buf text = {0};
  obs_advice_finding *item = OBS_VEC_PUSH(&b->findings);
  obs_sentences_brief(f, place, x->now_ms, &text);
  b->text.oom = b->text.oom || item == NULL || text.oom;
  if (!b->text.oom) {
    *item = (obs_advice_finding){.finding = x->nfindings,
                                 .placed = place != NULL,
                                 .has_class = condition_of(f, "task_class") != NULL,
                                 .ops = place != NULL ? place->ops : f->ops,
                                 .failures = place != NULL ? place->failures : f->failures,
                                 .text = keep_most(b, obs_buf_view(&text), OBS_ADVICE_FINDING)};
    for (uint32_t i = 0; i < f->nevidence && item->nseqs < OBS_ADVICE_SEQS; i++)
      item->seqs[item->nseqs++] = f->evidence[i];
  }
  obs_buf_fini(&text);
  return b->findings.n - 1;
}

static void post_class(builder *x, const obs_diagnose_finding *f, uint32_t index) {
  const obs_diagnose_condition *c = condition_of(f, "task_class");
  for (uint32_t i = 0; c != NULL && i < c->nvalues; i++)
    post(x->b, OBS_ADVICE_FINDINGS_OF_CLASS, obs_str_of(c->values[i]), index);
}

/* An endpoint that is blamed, and nothing with it, is none to call; nor is any when everything fails. One whose limit
 * the load hits is, by fewer. */
static void note_blamed(builder *x, const obs_diagnose_finding *f) {
  const obs_diagnose_condition *c = condition_of(f, "endpoint");
  bool alone = f->nconditions == 0 || (f->nconditions == 1 && c != NULL);
  if (!alone || f->failures == 0 || f->per_minute > 0) return;
  for (uint32_t i = 0; c != NULL && i < c->nvalues; i++)
    if (!obs_map_put(&x->failing, hash_of(obs_str_of(c->values[i])), 1)) x->b->text.oom = true;
  for (uint32_t i = 0; i < f->nplaces; i++)
    if (!obs_map_put(&x->failing, hash_of(obs_str_of(f->places[i].endpoint)), 1)) x->b->text.oom = true;
  x->all_fail = x->all_fail || (f->nconditions == 0 && f->nplaces == OBS_FINDING_PLACES);
}

/* One item for each endpoint that it is told at with a share of its own; then one as a whole. */
static bool add_finding(void *arg, const obs_diagnose_finding *f) {
  builder *x = arg;
  obs_advice_built *b = x->b;
  const obs_diagnose_condition *endpoints = condition_of(f, "endpoint");
  const obs_str any = {NULL, 0, 0}, elsewhere = OBS_STR(""); /* no op has an empty endpoint */
  const obs_diagnose_place *place;
  for (uint32_t i = 0; i < f->nplaces && !b->text.oom; i++) {
    if (!obs_analyses_concerns(f, obs_str_of(f->places[i].endpoint), any, &place)) continue;
    uint32_t index = add_item(x, f, place);
    post(b, OBS_ADVICE_FINDINGS_OF_ENDPOINT, obs_str_of(f->places[i].endpoint), index);
    post_class(x, f, index);
  }
  uint32_t whole = add_item(x, f, NULL);
  for (uint32_t i = 0; endpoints != NULL && i < endpoints->nvalues; i++)
    if (obs_analyses_concerns(f, obs_str_of(endpoints->values[i]), any, &place) && place == NULL)
      post(b, OBS_ADVICE_FINDINGS_OF_ENDPOINT, obs_str_of(endpoints->values[i]), whole);
  if (obs_analyses_concerns(f, elsewhere, any, &place)) post(b, OBS_ADVICE_FINDINGS_ANYWHERE, OBS_STR(""), whole);
  post_class(x, f, whole);
  if (endpoints == NULL && condition_of(f, "task_class") == NULL) post(b, OBS_ADVICE_FINDINGS_FREE, OBS_STR(""), whole);
  note_blamed(x, f);
  x->nfindings++;
  return !b->text.oom;
}

/* ---- how endpoints do ---- */

static void note_failing(void *arg, obs_str name, uint64_t ops, uint64_t failures) {
  builder *x = arg;
  if (ops < LEAST_OPS || failures * 100 < ops * OBS_ADVICE_FAILING) return;
  if (!obs_map_put(&x->failing, hash_of(obs_advice_name(name)), 1)) x->b->text.oom = true;
}

/* ---- kinds of failure, and corrections ---- */

/* Returns its index, before kinds are sorted. */
static uint32_t add_kind(builder *x, const obs_advice_cluster *kind) {
  obs_advice_built *b = x->b;
  obs_advice_cluster *c = OBS_VEC_PUSH(&b->clusters);
  if (c == NULL) {
    b->text.oom = true;
    return 0;
  }
  *c = *kind;
  return c->at = b->clusters.n - 1;
}

/* A correction of several clusters comes with each of them. Its postings have its seq until all are sorted. */
static void add_corrections(obs_advice_built *b, const obs_cluster_view *x) {
  for (uint32_t i = 0; i < x->ncorrections && !b->text.oom; i++) {
    const obs_cluster_correction *r = &x->corrections[i];
    if (r->failed > 0 && r->failed >= r->succeeded) continue;
    obs_advice_correction *c = OBS_VEC_PUSH(&b->corrections);
    b->text.oom = b->text.oom || c == NULL;
    if (b->text.oom) return;
    *c = (obs_advice_correction){r->seq, r->succeeded, r->failed, keep(b, r->text)};
    post(b, OBS_ADVICE_CORRECTIONS_OF_CLUSTER, id_bytes(&x->id), r->seq);
    post_values(b, OBS_ADVICE_CORRECTIONS_OF_CLASS, &x->task_classes, r->seq);
  }
}

/* One item for each endpoint where it is open, with the failures and the state there; then one as a whole. */
static bool add_cluster(void *arg, const obs_cluster_view *v) {
  builder *x = arg;
  obs_advice_built *b = x->b;
  if (v->state == OBS_CLUSTER_RESOLVED) return true;
  const obs_advice_text template = keep(b, v->template);
  for (uint32_t i = 0; i < v->nplaces && !b->text.oom; i++) {
    const obs_cluster_place *p = &v->places[i];
    if (p->state == OBS_CLUSTER_RESOLVED) continue;
    const obs_advice_cluster here = {.id = v->id,
                                     .count = p->count,
                                     .recent = p->last_hour,
                                     .placed = true,
                                     .state = p->state,
                                     .template = template};
    uint32_t index = add_kind(x, &here);
    post(b, OBS_ADVICE_CLUSTERS_OF_ENDPOINT, obs_advice_name(p->endpoint), index);
    post_values(b, OBS_ADVICE_CLUSTERS_OF_CLASS, &v->task_classes, index);
  }
  const obs_advice_cluster all = {
      .id = v->id, .count = v->count, .recent = v->last_hour, .state = v->state, .template = template};
  uint32_t whole = add_kind(x, &all);
  if (v->endpoints.other > 0) post(b, OBS_ADVICE_CLUSTERS_OF_ENDPOINT, OBS_STR("(other)"), whole);
  post_values(b, OBS_ADVICE_CLUSTERS_OF_CLASS, &v->task_classes, whole);
  add_corrections(b, v);
  return !b->text.oom;
}

static int by_recent(const void *a, const void *b) {
  const obs_advice_cluster *x = a, *y = b;
  if (x->recent != y->recent) return x->recent < y->recent ? 1 : -1;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  return (x->at > y->at) - (x->at < y->at);
}

/* Those with most failures of the last hour first; their postings follow, and the templates by id. False: no memory. */
static bool sort_kinds(builder *x) {
  obs_advice_built *b = x->b;
  uint32_t *rank = calloc((size_t)b->clusters.n + 1, sizeof(*rank));
  bool ok = rank != NULL;
  if (b->clusters.n > 1) qsort(b->clusters.at, b->clusters.n, sizeof(*b->clusters.at), by_recent);
  for (uint32_t i = 0; ok && i < b->clusters.n; i++) {
    const obs_advice_cluster *c = &b->clusters.at[i];
    rank[c->at] = i;
    ok = c->placed || obs_map_put(&x->clusters, c->id, i);
  }
  for (uint32_t i = 0; ok && i < b->postings.n; i++) {
    obs_advice_posting *p = &b->postings.at[i];
    if (p->list == OBS_ADVICE_CLUSTERS_OF_ENDPOINT || p->list == OBS_ADVICE_CLUSTERS_OF_CLASS)
      p->index = rank[p->index];
  }
  free(rank);
  return ok;
}

/* ---- entries ---- */

/* What a don't says behind its cluster's template, which stands in it as far as an analysis quotes it. */
static obs_advice_text rest_of(builder *x, const obs_playbook_view *v) {
  obs_advice_built *b = x->b;
  uint32_t place;
  if (v->cluster == 0 || !obs_map_get(&x->clusters, obs_clusters_now(x->from->clusters, v->cluster), &place))
    return (obs_advice_text){0, 0};
  obs_str template = obs_utf8_cut_str(obs_advice_text_of(b, b->clusters.at[place].template), OBS_PROMPT_TEMPLATE);
  const char *found = template.len > 0 ? memmem(v->text, strlen(v->text), template.p, template.len) : NULL;
  if (found == NULL || strncmp(found + template.len, ": ", 2) != 0) return (obs_advice_text){0, 0};
  obs_advice_text rest = keep(b, obs_str_of(found + template.len + 2));
  char *first = b->text.oom || rest.len == 0 ? NULL : &b->text.p[rest.at];
  if (first != NULL && *first >= 'a' && *first <= 'z') *first = (char)(*first - 'a' + 'A');
  return rest;
}

static bool add_entry(void *arg, const obs_playbook_view *v) {
  builder *x = arg;
  obs_advice_built *b = x->b;
  obs_str endpoint = obs_str_of(v->endpoint), class = obs_str_of(v->task_class);
  bool none_to_call = x->all_fail || strncmp(v->endpoint, OVERSEER, strlen(OVERSEER)) == 0 ||
                      obs_map_get(&x->failing, hash_of(endpoint), NULL);
  if (!v->dont && none_to_call) return true;
  obs_advice_entry *e = OBS_VEC_PUSH(&b->entries);
  b->text.oom = b->text.oom || e == NULL;
  if (b->text.oom) return false;
  uint32_t at = b->entries.n - 1;
  *e = (obs_advice_entry){.id = v->id,
                          .cluster = v->dont && v->cluster != 0 ? obs_clusters_now(x->from->clusters, v->cluster) : 0,
                          .text = keep(b, obs_str_of(v->text)),
                          .dont = v->dont,
                          .has_endpoint = endpoint.len > 0,
                          .has_class = class.len > 0};
  e->rest = rest_of(x, v);
  if (e->has_endpoint) post(b, OBS_ADVICE_ENTRIES_OF_ENDPOINT, endpoint, at);
  if (e->has_class) post(b, OBS_ADVICE_ENTRIES_OF_CLASS, class, at);
  for (uint32_t i = 0; i < v->task_classes.n; i++)
    post(b, OBS_ADVICE_ENTRIES_OF_CLASS, obs_str_of(v->task_classes.v[i].text), at);
  if (!e->has_endpoint && !e->has_class) post(b, OBS_ADVICE_ENTRIES_ANYWHERE, OBS_STR(""), at);
  return !b->text.oom;
}

/* ---- sorting ---- */

/* Those that helped, then those that nothing came after yet; the latest first. */
static int by_help(const void *a, const void *b) {
  const obs_advice_correction *x = a, *y = b;
  bool helped = x->succeeded > 0, helps = y->succeeded > 0;
  if (helped != helps) return helped ? -1 : 1;
  return (x->seq < y->seq) - (x->seq > y->seq);
}

static int by_list(const void *a, const void *b) {
  const obs_advice_posting *x = a, *y = b;
  int order = obs_advice_compare(x, y);
  return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

/* Corrections, none twice; then their postings get their places. */
static void sort_corrections(obs_advice_built *b) {
  obs_advice_correction *list = b->corrections.at;
  obs_map places = {0};
  uint32_t n = 0;
  if (b->corrections.n > 1) qsort(list, b->corrections.n, sizeof(*list), by_help);
  for (uint32_t i = 0; i < b->corrections.n; i++) {
    if (obs_map_get(&places, list[i].seq, NULL)) continue;
    if (!obs_map_put(&places, list[i].seq, n)) b->text.oom = true;
    list[n++] = list[i];
  }
  b->corrections.n = n;
  for (uint32_t i = 0; i < b->postings.n; i++) {
    obs_advice_posting *p = &b->postings.at[i];
    uint32_t place = 0;
    if (p->list < OBS_ADVICE_CORRECTIONS_OF_CLUSTER) continue;
    (void)obs_map_get(&places, p->index, &place);
    p->index = place;
  }
  obs_map_fini(&places);
}

bool obs_advice_gather(const obs_advice_opts *from, int64_t now_ms, obs_advice_built *b) {
  const obs_playbooks_filter donts = {.kind = OBS_STR("dont"), .page.limit = OBS_PLAYBOOK_ENTRIES};
  const obs_playbooks_filter dos = {.kind = OBS_STR("do"), .page.limit = OBS_PLAYBOOK_ENTRIES};
  const obs_clusters_filter all = {
      .state = -1, .since_ms = INT64_MIN, .order = OBS_CLUSTERS_BY_COUNT, .page.limit = UINT32_MAX};
  builder x = {.b = b, .from = from, .now_ms = now_ms};
  obs_page_end end;
  bool ok = obs_buf_reserve(&b->text, TEXT_ROOM); /* so that an empty text is somewhere too */
  if (ok && from->analyses != NULL) ok = obs_analyses_findings(from->analyses, add_finding, &x) == OBSERVER_E_OK;
  if (ok && from->state != NULL) obs_state_endpoints(from->state, now_ms, note_failing, &x);
  ok = ok && obs_clusters_each(from->clusters, &all, now_ms, add_cluster, &x, &end) == OBSERVER_E_OK &&
       sort_kinds(&x) && obs_playbooks_each(from->playbooks, &donts, add_entry, &x, &end) == OBSERVER_E_OK &&
       obs_playbooks_each(from->playbooks, &dos, add_entry, &x, &end) == OBSERVER_E_OK;
  if (ok) sort_corrections(b);
  ok = ok && !b->text.oom;
  if (ok && b->postings.n > 1) qsort(b->postings.at, b->postings.n, sizeof(*b->postings.at), by_list);
  obs_map_fini(&x.failing);
  obs_map_fini(&x.clusters);
  return ok;
}
