/* Views of the graph: a page of edges, the names of all. Any thread; the lock is held for some edges at a time. */
#include "graph/internal.h"

#include <stdlib.h>

enum { AT_ONCE = 64 /* edges, some 20 us */ };

static obs_graph_tally sum(const obs_graph_series *s, int window) {
  const obs_graph_tally *tens = s->slices, *minutes = tens + OBS_GRAPH_TENS, *fives = minutes + OBS_GRAPH_MINUTES;
  obs_graph_tally n = {0};
  for (int i = 0; i < OBS_GRAPH_TENS && window == OBS_GRAPH_1M; i++) obs_graph_tally_add(&n, &tens[i]);
  for (int i = 0; i < OBS_GRAPH_MINUTES && window == OBS_GRAPH_5M; i++) obs_graph_tally_add(&n, &minutes[i]);
  for (int i = 0; i < OBS_GRAPH_FIVES && window == OBS_GRAPH_1H; i++) obs_graph_tally_add(&n, &fives[i]);
  if (window == OBS_GRAPH_1H) obs_graph_tally_add(&n, &minutes[s->tick / OBS_GRAPH_MINUTE % OBS_GRAPH_MINUTES]);
  if (window != OBS_GRAPH_1M) obs_graph_tally_add(&n, &tens[s->tick % OBS_GRAPH_TENS]);
  return n;
}

static obs_graph_count count_of(const obs_graph_tally *n) {
  return (obs_graph_count){n->ops, n->failures, n->retries, n->timed > 0, n->timed > 0 ? (double)n->ms / n->timed : 0};
}

/* An edge that is on the list. */
typedef struct {
  obs_page_place place; /* first: what obs_page_compare sorts by; its id is the number of the first op */
  obs_graph_tally n;
  uint32_t slot;
} listed;

typedef struct {
  obs_graph_edge edge;
  char text[OBS_GRAPH_TEXTS * OBS_NAMES_SHOWN];
} copy;

/* False: another one stands there by now. With the lock. */
static bool copy_edge(const obs_graph *g, const listed *x, int64_t now_ms, copy *to) {
  const obs_graph_slot *s = &g->slots[x->slot];
  obs_str texts[OBS_GRAPH_TEXTS];
  uint32_t used = 0;
  if (s->text == NULL || s->first_seq != x->place.id) return false;
  for (int i = 0; i < OBS_GRAPH_TEXTS; i++) {
    texts[i] = obs_graph_text(s, i);
    if (texts[i].p == NULL) continue;
    memcpy(to->text + used, texts[i].p, texts[i].len);
    texts[i].p = to->text + used;
    used += texts[i].len;
  }
  bool usual = s->series.usual_ops >= OBS_GRAPH_USUAL;
  to->edge = (obs_graph_edge){.staffer_id = texts[0],
                              .source = texts[1],
                              .endpoint = texts[2],
                              .n = count_of(&x->n),
                              .usual = usual,
                              .usual_ms = usual ? s->series.usual_ms / s->series.usual_ops : 0,
                              .first_ms = s->first_ms,
                              .last_ms = s->last_ms,
                              .fresh = !s->replaced && now_ms - s->first_ms < OBS_GRAPH_FRESH_MS &&
                                       s->first_ms - g->began_ms >= OBS_GRAPH_FRESH_MS};
  return true;
}

observer_err obs_graph_each(obs_graph *g, const obs_graph_filter *f, int64_t now_ms,
                            bool (*fn)(void *arg, const obs_graph_edge *e), void *arg, obs_graph_rest *rest,
                            obs_page_end *end) {
  /* Two steps: all are looked at, and those of the page are copied one by one. */
  listed *list = malloc(g->opts.edges * sizeof(*list));
  const uint32_t rows = obs_page_rows(&f->page);
  const int64_t tick = obs_graph_tick(now_ms);
  obs_page_walk walk = f->page.walk;
  uint32_t n = 0, i = 0;
  *end = (obs_page_end){.counted = true};
  *rest = (obs_graph_rest){.held = 1};
  if (list == NULL) return OBSERVER_E_NOMEM;
  if (walk.through == 0) walk = (obs_page_walk){.began_ms = now_ms, .order = OBS_GRAPH_ORDER + (uint32_t)f->window};
  for (uint32_t at = 0; at < rest->held;) {
    pthread_mutex_lock(&g->lock);
    if (at == 0) {
      obs_graph_roll(&g->other, tick);
      obs_graph_tally other = sum(&g->other, f->window);
      rest->other = count_of(&other);
      if (f->page.walk.through == 0) walk.through = g->last_seq;
    }
    rest->held = g->held;
    for (uint32_t to = at + AT_ONCE; at < to && at < g->held; at++) {
      obs_graph_slot *s = &g->slots[at];
      obs_graph_roll(&s->series, tick);
      listed *x = &list[n];
      *x = (listed){.n = sum(&s->series, f->window), .slot = at};
      if (x->n.ops == 0) continue;
      end->total++;
      x->place = (obs_page_place){.id = s->first_seq, .key = x->n.ops, .then = s->last_seq};
      if (obs_page_walk_has(&f->page.walk, s->first_seq, s->last_seq, &x->place)) n++;
    }
    pthread_mutex_unlock(&g->lock);
  }
  qsort(list, n, sizeof(*list), obs_page_compare);
  for (bool taken = true; i < n && i < rows; i++) {
    copy x;
    pthread_mutex_lock(&g->lock);
    bool there = copy_edge(g, &list[i], now_ms, &x);
    pthread_mutex_unlock(&g->lock);
    if (there) taken = fn(arg, &x.edge);
    if (!taken) break;
    walk.at = list[i].place;
  }
  obs_page_end_after(end, i, n, rows);
  end->walk = walk;
  free(list);
  return OBSERVER_E_OK;
}

void obs_graph_names(obs_graph *g, void (*fn)(void *arg, const obs_graph_edge *e), void *arg) {
  pthread_mutex_lock(&g->lock);
  for (uint32_t i = 0; i < g->held; i++) {
    const obs_graph_slot *s = &g->slots[i];
    if (s->text == NULL) continue;
    fn(arg, &(obs_graph_edge){.staffer_id = obs_graph_text(s, 0),
                              .source = obs_graph_text(s, 1),
                              .endpoint = obs_graph_text(s, 2),
                              .first_ms = s->first_ms,
                              .last_ms = s->last_ms});
  }
  pthread_mutex_unlock(&g->lock);
}
