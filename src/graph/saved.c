/* The graph as bytes (base/pack.h), version OBS_GRAPH_VERSION, which the checkpoint holds beside them:
 *
 *   graph    began_ms last_seq series(other) edges { edge }
 *   edge     present { text of each that is present } first_seq last_seq first_ms last_ms replaced heat series
 *   series   tick usual_ops usual_ms mask { tally of each slice that has ops }
 *   tally    ops failures retries timed ms
 *
 * usual_ops is in thousandths, usual_ms in whole ones. The bytes are not trusted. */
#include "graph/internal.h"

#include "base/pack.h"

#define TIME_MAX (INT64_C(1) << 53)

static void put_series(obs_buf *out, const obs_graph_series *s) {
  uint32_t mask = 0;
  obs_pack_u64(out, (uint64_t)s->tick);
  obs_pack_u64(out, (uint64_t)(s->usual_ops * 1000));
  obs_pack_u64(out, (uint64_t)s->usual_ms);
  for (int i = 0; i < OBS_GRAPH_SLICES; i++) mask |= (uint32_t)(s->slices[i].ops > 0) << i;
  obs_pack_u64(out, mask);
  for (int i = 0; i < OBS_GRAPH_SLICES; i++) {
    const obs_graph_tally *n = &s->slices[i];
    if (n->ops == 0) continue;
    obs_pack_u64(out, n->ops);
    obs_pack_u64(out, n->failures);
    obs_pack_u64(out, n->retries);
    obs_pack_u64(out, n->timed);
    obs_pack_u64(out, n->ms);
  }
}

static void get_series(obs_pack_reader *in, obs_graph_series *s) {
  s->tick = (int64_t)obs_pack_read_u64(in, TIME_MAX / OBS_GRAPH_TICK_MS);
  s->usual_ops = (double)obs_pack_read_u64(in, UINT64_C(1) << 60) / 1000;
  s->usual_ms = (double)obs_pack_read_u64(in, UINT64_C(1) << 62);
  uint32_t mask = (uint32_t)obs_pack_read_u64(in, (1u << OBS_GRAPH_SLICES) - 1);
  for (int i = 0; i < OBS_GRAPH_SLICES; i++) {
    obs_graph_tally *n = &s->slices[i];
    if ((mask & 1u << i) == 0) continue;
    n->ops = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
    n->failures = (uint32_t)obs_pack_read_u64(in, n->ops);
    n->retries = (uint32_t)obs_pack_read_u64(in, n->ops);
    n->timed = (uint32_t)obs_pack_read_u64(in, n->ops);
    n->ms = obs_pack_read_u64(in, UINT64_C(1) << 60);
  }
}

observer_err obs_graph_save(void *graph, obs_buf *out) {
  obs_graph *g = graph;
  pthread_mutex_lock(&g->lock);
  obs_pack_u64(out, (uint64_t)g->began_ms);
  obs_pack_u64(out, g->last_seq);
  put_series(out, &g->other);
  uint32_t n = 0;
  for (uint32_t i = 0; i < g->held; i++) n += g->slots[i].text != NULL;
  obs_pack_u64(out, n);
  for (uint32_t i = 0; i < g->held; i++) {
    const obs_graph_slot *s = &g->slots[i];
    if (s->text == NULL) continue;
    obs_pack_u64(out, s->present);
    for (int k = 0; k < OBS_GRAPH_TEXTS; k++)
      if ((s->present & 1u << k) != 0) obs_pack_str(out, obs_graph_text(s, k));
    obs_pack_u64(out, s->first_seq);
    obs_pack_u64(out, s->last_seq);
    obs_pack_i64(out, s->first_ms);
    obs_pack_i64(out, s->last_ms);
    obs_pack_u64(out, s->replaced);
    obs_pack_u64(out, g->heat[i]);
    put_series(out, &s->series);
  }
  pthread_mutex_unlock(&g->lock);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

/* The next edge; one beyond those that there is room for counts as other. */
static void get_edge(obs_graph *g, obs_pack_reader *in) {
  obs_str texts[OBS_GRAPH_TEXTS] = {{0}};
  obs_graph_slot read = {0};
  uint32_t present = (uint32_t)obs_pack_read_u64(in, (1u << OBS_GRAPH_TEXTS) - 1);
  for (int k = 0; k < OBS_GRAPH_TEXTS; k++)
    if ((present & 1u << k) != 0) texts[k] = obs_pack_read_str(in, OBS_NAMES_SHOWN);
  read.first_seq = obs_pack_read_u64(in, UINT64_MAX);
  read.last_seq = obs_pack_read_u64(in, UINT64_MAX);
  read.first_ms = obs_pack_read_i64(in, TIME_MAX);
  read.last_ms = obs_pack_read_i64(in, TIME_MAX);
  read.replaced = obs_pack_read_u64(in, 1) != 0;
  uint32_t heat = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  get_series(in, &read.series);
  uint64_t key = obs_graph_key(g, texts);
  if (in->bad || obs_map_get(&g->index, key, NULL)) {
    in->bad = true;
    return;
  }
  obs_graph_slot *s = &g->slots[g->held];
  if (g->held == g->opts.edges || !obs_graph_set_texts(s, texts)) return;
  s->key = key;
  s->first_seq = read.first_seq;
  s->last_seq = read.last_seq;
  s->first_ms = read.first_ms;
  s->last_ms = read.last_ms;
  s->replaced = read.replaced;
  s->series = read.series;
  g->heat[g->held] = heat;
  (void)obs_map_put(&g->index, key, g->held++); /* it has room for all */
}

observer_err obs_graph_load(void *graph, const void *data, size_t len) {
  obs_graph *g = graph;
  obs_pack_reader r = {.p = data, .end = (const uint8_t *)data + len}, *in = &r;
  pthread_mutex_lock(&g->lock);
  g->began_ms = (int64_t)obs_pack_read_u64(in, TIME_MAX);
  g->last_seq = obs_pack_read_u64(in, UINT64_MAX);
  get_series(in, &g->other);
  uint64_t n = obs_pack_read_u64(in, UINT32_MAX);
  for (uint64_t i = 0; i < n && !in->bad; i++) get_edge(g, in);
  observer_err err = obs_pack_at_end(in) ? OBSERVER_E_OK : OBSERVER_E_CORRUPT;
  if (err != OBSERVER_E_OK) obs_graph_clear(g);
  pthread_mutex_unlock(&g->lock);
  return err;
}
