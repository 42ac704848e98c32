#include "learn/advice/advice.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"
#include "learn/advice/internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

struct obs_advice {
  obs_advice_opts opts;
  pthread_mutex_t lock; /* of `built` */
  bool lock_made;
  obs_advice_built *built; /* never NULL once open */
  _Atomic uint64_t answered[OBS_ADVICE_HIT_COUNT], built_ms;
};

const char *const obs_advice_hit_names[OBS_ADVICE_HIT_COUNT] = {
#define HIT_NAME(name, text) text,
    OBS_ADVICE_HITS(HIT_NAME)
#undef HIT_NAME
};

void obs_advice_get_counts(obs_advice *a, obs_advice_counts *out) {
  for (uint32_t i = 0; i < OBS_ADVICE_HIT_COUNT; i++) out->answered[i] = atomic_load(&a->answered[i]);
  out->built_ms = atomic_load(&a->built_ms);
}

static void release(obs_advice_built *b) {
  if (b == NULL || atomic_fetch_sub(&b->references, 1) > 1) return;
  obs_buf_fini(&b->text);
  OBS_VEC_FINI(&b->findings);
  OBS_VEC_FINI(&b->entries);
  OBS_VEC_FINI(&b->clusters);
  OBS_VEC_FINI(&b->corrections);
  OBS_VEC_FINI(&b->postings);
  free(b);
}

obs_str obs_advice_name(obs_str name) {
  return obs_utf8_cut_str(name, OBS_ADVICE_NAME);
}

int obs_advice_compare(const obs_advice_posting *a, const obs_advice_posting *b) {
  if (a->list != b->list) return a->list < b->list ? -1 : 1;
  return (a->hash > b->hash) - (a->hash < b->hash);
}

observer_err obs_advice_build(obs_advice *a, int64_t now_ms, uint64_t as_of) {
  obs_advice_built *b = calloc(1, sizeof(*b));
  if (b == NULL) return OBSERVER_E_NOMEM;
  b->as_of = as_of;
  atomic_init(&b->references, 1);
  if (!obs_advice_gather(&a->opts, now_ms, b)) {
    release(b);
    return OBSERVER_E_NOMEM;
  }
  pthread_mutex_lock(&a->lock);
  obs_advice_built *old = a->built;
  a->built = b;
  pthread_mutex_unlock(&a->lock);
  release(old);
  atomic_store(&a->built_ms, obs_clock_mono_ms());
  return OBSERVER_E_OK;
}

/* ---- open and close ---- */

observer_err obs_advice_open(const obs_advice_opts *opts, obs_advice **out) {
  obs_advice *a = calloc(1, sizeof(*a));
  *out = NULL;
  if (a == NULL) return OBSERVER_E_NOMEM;
  a->opts = *opts;
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

/* ---- picking: any thread, also NNG's ----
 *
 * An answer merges the lists of the names asked about, lowest index first. */

/* Where a list is read. */
typedef struct {
  const obs_advice_posting *at, *end;
} span;

static const span nothing = {NULL, NULL};

/* The list of a name; an empty one when the name is not given. */
static span list_of(const obs_advice_built *b, obs_advice_list list, obs_str name) {
  if (name.p == NULL || b->postings.n == 0) return nothing;
  const obs_advice_posting first = {list, XXH3_64bits(name.p, name.len), 0};
  const obs_advice_posting *postings = b->postings.at;
  uint32_t low = 0, high = b->postings.n;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (obs_advice_compare(&postings[middle], &first) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  span c = {postings + low, postings + low};
  while (c.end < postings + b->postings.n && obs_advice_compare(c.end, &first) == 0) c.end++;
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

enum { OF_ENDPOINT = 1, OF_CLASS = 2, BOTH = OF_ENDPOINT | OF_CLASS, ANYWHERE = 4, FREE = 8 };

static bool same_text(const obs_advice_built *b, obs_advice_text x, obs_advice_text y) {
  return x.len == y.len && memcmp(b->text.p + x.at, b->text.p + y.at, x.len) == 0;
}

/* Each finding once, with its share at the endpoint where it has one. */
static void pick_findings(obs_advice_answer *a) {
  const obs_advice_built *b = a->built;
  const obs_str empty = OBS_STR("");
  bool somewhere = a->endpoint.p != NULL;
  span lists[] = {list_of(b, OBS_ADVICE_FINDINGS_OF_ENDPOINT, a->endpoint),
                  list_of(b, OBS_ADVICE_FINDINGS_OF_CLASS, a->task_class),
                  somewhere ? list_of(b, OBS_ADVICE_FINDINGS_ANYWHERE, empty) : nothing,
                  somewhere ? nothing : list_of(b, OBS_ADVICE_FINDINGS_FREE, empty)};
  uint32_t index, in;
  while (a->nfindings < OBS_ADVICE_EACH && next(lists, 4, &index, &in)) {
    const obs_advice_finding *f = &b->findings.at[index];
    bool fits = somewhere ? (in & (OF_ENDPOINT | ANYWHERE)) != 0 : !f->placed;
    if (f->has_class && a->task_class.p != NULL && (in & OF_CLASS) == 0) fits = false;
    for (uint32_t i = 0; i < a->nfindings; i++) {
      const obs_advice_finding *told = &b->findings.at[a->findings[i]];
      if (told->finding == f->finding || same_text(b, told->text, f->text)) fits = false;
    }
    if (fits) a->findings[a->nfindings++] = index;
  }
}

/* Kinds of failure: first those of both endpoint and task class, then the others. */
static void pick_clusters(obs_advice_answer *a) {
  const obs_advice_built *b = a->built;
  const span lists[] = {list_of(b, OBS_ADVICE_CLUSTERS_OF_ENDPOINT, a->endpoint),
                        list_of(b, OBS_ADVICE_CLUSTERS_OF_CLASS, a->task_class)};
  uint32_t index, in;
  for (int first = 1; first >= 0; first--) {
    span c[] = {lists[0], lists[1]};
    while (a->nclusters < OBS_ADVICE_EACH && next(c, 2, &index, &in)) {
      const obs_advice_cluster *x = &b->clusters.at[index];
      bool fits = (in == BOTH) == (first == 1) && (!x->placed || (in & OF_ENDPOINT) != 0);
      for (uint32_t i = 0; i < a->nclusters; i++) {
        const obs_advice_cluster *told = &b->clusters.at[a->clusters[i]];
        if (told->id == x->id || same_text(b, told->template, x->template)) fits = false;
      }
      if (fits) a->clusters[a->nclusters++] = index;
    }
  }
}

/* Of those clusters and of the task class. */
static void pick_corrections(obs_advice_answer *a) {
  const obs_advice_built *b = a->built;
  span lists[OBS_ADVICE_EACH + 1];
  uint32_t n = 0, index, in;
  lists[n++] = list_of(b, OBS_ADVICE_CORRECTIONS_OF_CLASS, a->task_class);
  for (uint32_t i = 0; i < a->nclusters; i++) {
    const uint64_t *id = &b->clusters.at[a->clusters[i]].id;
    lists[n++] = list_of(b, OBS_ADVICE_CORRECTIONS_OF_CLUSTER, (obs_str){(const char *)id, sizeof(*id), 0});
  }
  while (a->ncorrections < OBS_ADVICE_EACH && next(lists, n, &index, &in)) {
    bool fits = true;
    for (uint32_t i = 0; i < a->ncorrections; i++)
      if (same_text(b, b->corrections.at[a->corrections[i]].text, b->corrections.at[index].text)) fits = false;
    if (fits) a->corrections[a->ncorrections++] = index;
  }
}

obs_advice_text obs_advice_entry_text(const obs_advice_answer *a, const obs_advice_entry *e) {
  for (uint32_t i = 0; e->rest.len > 0 && i < a->nclusters; i++)
    if (a->built->clusters.at[a->clusters[i]].id == e->cluster) return e->rest;
  return e->text;
}

/* Whether the answer says it already: by a correction, or by another entry. */
static bool is_said(const obs_advice_answer *a, obs_advice_text text) {
  const obs_advice_built *b = a->built;
  for (uint32_t i = 0; i < a->ncorrections; i++)
    if (same_text(b, b->corrections.at[a->corrections[i]].text, text)) return true;
  for (uint32_t i = 0; i < a->nentries; i++)
    if (same_text(b, obs_advice_entry_text(a, &b->entries.at[a->entries[i]]), text)) return true;
  return false;
}

/* First those of both endpoint and task class, then the others; one "do" at most. */
static void pick_entries(obs_advice_answer *a) {
  const obs_advice_built *b = a->built;
  const span lists[] = {list_of(b, OBS_ADVICE_ENTRIES_OF_ENDPOINT, a->endpoint),
                        list_of(b, OBS_ADVICE_ENTRIES_OF_CLASS, a->task_class),
                        list_of(b, OBS_ADVICE_ENTRIES_ANYWHERE, OBS_STR(""))};
  uint32_t index, in, dos = 0;
  for (int first = 1; first >= 0; first--) {
    span c[] = {lists[0], lists[1], lists[2]};
    while (a->nentries < OBS_ADVICE_EACH && next(c, 3, &index, &in)) {
      /* Of the endpoint that is asked about but of another task class, or the other way round: not of the question. */
      const obs_advice_entry *e = &b->entries.at[index];
      bool for_others = (in == OF_ENDPOINT && e->has_class && a->task_class.p != NULL) ||
                        (in == OF_CLASS && e->has_endpoint && a->endpoint.p != NULL);
      if ((in == BOTH) != (first == 1) || for_others || (!e->dont && dos > 0)) continue;
      if (is_said(a, obs_advice_entry_text(a, e))) continue;
      dos += !e->dont;
      a->entries[a->nentries++] = index;
    }
  }
}

observer_err obs_advice_ask(obs_advice *a, const obs_advice_question *q, obs_advice_form form, obs_buf *out) {
  if (q->endpoint.p == NULL && q->task_class.p == NULL) return OBSERVER_E_INVALID;
  obs_advice_answer answer = {0};
  if (a->opts.exposure != NULL && q->session_id.p != NULL)
    answer.held_back = obs_exposure_asked(a->opts.exposure, q->session_id, q->endpoint, obs_clock_receipt_ms());
  /* The reference must be taken under the lock: a build could free it between the read and the count. */
  pthread_mutex_lock(&a->lock);
  obs_advice_built *b = a->built;
  atomic_fetch_add(&b->references, 1);
  pthread_mutex_unlock(&a->lock);
  answer.built = b;
  if (q->endpoint.p != NULL) answer.endpoint = obs_advice_name(q->endpoint);
  if (q->task_class.p != NULL) answer.task_class = obs_advice_name(q->task_class);
  if (!answer.held_back) {
    pick_findings(&answer);
    pick_clusters(&answer);
    pick_corrections(&answer);
    pick_entries(&answer);
  }
  bool hit = answer.nfindings + answer.nentries + answer.nclusters + answer.ncorrections > 0;
  atomic_fetch_add(&a->answered[answer.held_back ? OBS_ADVICE_HIT_HELD
                                : hit            ? OBS_ADVICE_HIT_YES
                                                 : OBS_ADVICE_HIT_NO],
                   1);
  obs_advice_write(&answer, form, out);
  release(b);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

/* ---- the loop ---- */

static observer_err open_loop(obs_loop_tools *tools, void **loop, char *error_text, size_t size) {
  const obs_advice_opts opts = {.clusters = tools->opts->clusters,
                                .playbooks = obs_learn_loop(tools->learn, &obs_playbooks_loop),
                                .analyses = obs_learn_loop(tools->learn, &obs_analyses_loop),
                                .state = tools->opts->state,
                                .exposure = tools->exposure};
  obs_advice *a = NULL;
  (void)error_text, (void)size;
  observer_err err = obs_advice_open(&opts, &a);
  *loop = a;
  return err;
}

static void build(void *loop, const obs_loop_turn *turn) {
  observer_err err = obs_advice_build(loop, obs_clock_receipt_ms(), turn->last_seq);
  if (err != OBSERVER_E_OK) obs_log_error("learn", "advice not updated: %s", observer_strerror(err));
}

const obs_loop obs_advice_loop = {
    .name = "advice", .open = open_loop, .cycle = build, .refresh = build, .close = obs_advice_close};
