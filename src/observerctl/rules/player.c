#include "observerctl/rules/player.h"

enum { SECOND = 1000, LONG_PAUSE_MS = 120000, LONG_STEP_MS = 30000, CYCLE_MS = 30000 };

bool obs_player_init(obs_player *p, const obs_rules *rules) {
  bool clusters = false;
  *p = (obs_player){.rules = rules, .cycle_ms = CYCLE_MS, .engine = obs_engine_open(rules)};
  for (uint32_t i = 0; i < rules->n; i++) clusters = clusters || rules->at[i].form == OBS_RULE_CLUSTER;
  const obs_clusters_opts opts = {.clusters = OBS_CLUSTERS_DEFAULT, .quiet = OBS_CLUSTERS_QUIET};
  return p->engine != NULL && (!clusters || obs_clusters_open(&opts, &p->clusters) == OBSERVER_E_OK);
}

void obs_player_fini(obs_player *p) {
  obs_engine_close(p->engine);
  obs_clusters_close(p->clusters);
  obs_engine_look_fini(&p->look);
}

static bool turn(obs_player *p) {
  if (p->clusters != NULL && p->now_ms >= p->cycle_at) {
    (void)obs_clusters_cycle(p->clusters, p->now_ms);
    p->cycle_at = p->now_ms + (int64_t)p->cycle_ms;
  }
  if (!obs_engine_look_at(p->rules, p->clusters, p->now_ms, &p->look)) return false;
  for (uint32_t i = 0; i < p->rules->n; i++) obs_engine_turn(p->engine, i, &p->look, p->now_ms, p->event, p->arg);
  return true;
}

bool obs_player_pass(obs_player *p, int64_t ms) {
  if (p->now_ms == 0) {
    p->now_ms = ms;
    p->cycle_at = ms + (int64_t)p->cycle_ms;
    obs_engine_begin(p->engine, ms, true);
  }
  for (int64_t began = p->now_ms; p->now_ms + SECOND <= ms;) {
    int64_t step = p->now_ms - began < LONG_PAUSE_MS || ms - p->now_ms < LONG_STEP_MS ? SECOND : LONG_STEP_MS;
    p->now_ms += step;
    if (!turn(p)) return false;
  }
  return true;
}

bool obs_player_op(obs_player *p, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq) {
  if (!obs_player_pass(p, op->received_ms)) return false;
  obs_engine_op(p->engine, op, unknown, seq);
  if (p->clusters != NULL) obs_clusters_apply_row(p->clusters, op, unknown, seq, op->received_ms);
  return true;
}
