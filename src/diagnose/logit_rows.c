#include "diagnose/logit_rows.h"

#include <stdlib.h>

enum { MORE_FITTED = 8, MORE_VALUES = 256 };

static uint64_t mix(uint64_t x) {
  x ^= x >> 31;
  x *= UINT64_C(0x9e3779b97f4a7c15);
  return x ^ x >> 32;
}

/* Whether one of `have` is among about `want` of them. */
static bool drawn(uint64_t seq, uint32_t want, uint32_t have) {
  return have <= want || (mix(seq) & 0xffffffff) * have < (uint64_t)want << 32;
}

static observer_err sample(obs_logit *m, const obs_logit_opts *o) {
  const obs_facts_view *v = m->view;
  uint32_t cases = 0, others = 0;
  for (uint32_t i = 0; i < v->n; i++) {
    bool failed;
    if (o->takes(o->arg, v, i, &failed)) *(failed ? &cases : &others) += 1;
  }
  if (cases == 0 || others == 0) return OBSERVER_E_NOTFOUND;
  uint32_t most_cases = OBS_LOGIT_CASES, most_others = OBS_LOGIT_ROWS - OBS_LOGIT_CASES;
  uint32_t room = cases + others; /* draws are about right only */
  m->row = malloc(room * sizeof *m->row);
  m->failed = malloc(room);
  if (!m->row || !m->failed) return OBSERVER_E_NOMEM;
  for (uint32_t i = 0; i < v->n; i++) {
    bool failed;
    if (!o->takes(o->arg, v, i, &failed)) continue;
    if (failed ? !drawn(v->seq[i], most_cases, cases) : !drawn(v->seq[i], most_others, others)) continue;
    m->row[m->n] = i;
    m->failed[m->n++] = failed;
    m->cases += failed;
  }
  m->thinned = (float)((double)(m->n - m->cases) / others * cases / (m->cases ? m->cases : 1));
  return m->cases > 0 && m->cases < m->n ? OBSERVER_E_OK : OBSERVER_E_NOTFOUND;
}

static bool allocate(obs_logit *m) {
  if (m->n == 0) return false;
  return (m->odds = calloc(m->n, sizeof *m->odds)) && (m->rate = calloc(m->n, sizeof *m->rate)) &&
         (m->still = calloc(m->n, sizeof *m->still)) && (m->plain = calloc(m->n, sizeof *m->plain)) &&
         (m->still_plain = calloc(m->n, sizeof *m->still_plain)) && (m->through = calloc(m->n, sizeof *m->through)) &&
         (m->slope = calloc(m->n, sizeof *m->slope)) && (m->bend = calloc(m->n, sizeof *m->bend)) &&
         (m->gradient = malloc((UINT16_MAX + 1) * sizeof *m->gradient)) &&
         (m->curvature = malloc((UINT16_MAX + 1) * sizeof *m->curvature));
}

/* The numbers that occur get ids in their order, without gaps. */
static bool rank_numbers(obs_logit *m, int f) {
  uint16_t *rank = calloc(UINT16_MAX + 1, sizeof *rank);
  uint32_t next = OBS_FACT_NAMED;
  if (!rank || !(m->codes[f] = malloc((UINT16_MAX + 1) * sizeof *m->codes[f]))) {
    free(rank);
    return false;
  }
  for (uint32_t i = 0; i < m->n; i++) rank[m->id[f][i]] = 1;
  for (uint32_t code = OBS_FACT_NAMED; code <= UINT16_MAX; code++) {
    if (!rank[code]) continue;
    m->codes[f][next] = (uint16_t)code;
    rank[code] = (uint16_t)next++;
  }
  rank[OBS_FACT_OTHER] = OBS_FACT_OTHER;
  rank[OBS_FACT_ABSENT] = OBS_FACT_ABSENT;
  for (uint32_t i = 0; i < m->n; i++) m->id[f][i] = rank[m->id[f][i]];
  m->values[f] = next;
  free(rank);
  return true;
}

double obs_logit_usual_spread(const obs_logit *m, int f) {
  const double of_kinds = 2;
  return m->columns->at[f].spread * (m->one_kind ? of_kinds : 1);
}

/* The column's values by row; one that says the same of all rows is not tried. */
static bool fill(obs_logit *m, int f, int *more) {
  const obs_column *c = &m->columns->at[f];
  if (!c->id || c->values == 0) return true;
  uint32_t i = 1;
  while (i < m->n && c->id[m->row[i]] == c->id[m->row[0]]) i++;
  if (i >= m->n) return true;
  if (!(m->id[f] = malloc(m->n * sizeof *m->id[f]))) return false;
  for (i = 0; i < m->n; i++) m->id[f][i] = c->id[m->row[i]];
  m->values[f] = c->values;
  if (c->number && !rank_numbers(m, f)) return false;
  const uint32_t values = m->values[f];
  /* Members of the producers' own take part, too, as long as that costs little. */
  bool fitted = c->model || (f >= OBS_FACT_COUNT && !c->number && values <= MORE_VALUES && *more < MORE_FITTED);
  if (fitted && !c->model) (*more)++;
  m->spread[f] = obs_logit_usual_spread(m, f);
  return (!fitted || (m->effect[f] = calloc(values, sizeof *m->effect[f]))) &&
         (m->ops[f] = calloc(values, sizeof *m->ops[f])) && (m->seen[f] = calloc(values, sizeof *m->seen[f])) &&
         (m->expected[f] = calloc(values, sizeof *m->expected[f])) &&
         (m->unexplained[f] = calloc(values, sizeof *m->unexplained[f])) &&
         (m->alias[f] = malloc(values * sizeof *m->alias[f]));
}

static bool fill_time(obs_logit *m) {
  const int f = OBS_LOGIT_TIME;
  m->values[f] = OBS_LOGIT_PARTS;
  m->spread[f] = 0.3;
  if (!(m->id[f] = malloc(m->n * sizeof *m->id[f])) || !(m->effect[f] = calloc(OBS_LOGIT_PARTS, sizeof *m->effect[f])))
    return false;
  for (uint32_t i = 0; i < m->n; i++) m->id[f][i] = m->by_time ? (uint16_t)((uint64_t)i * OBS_LOGIT_PARTS / m->n) : 0;
  return true;
}

/* ---- values that always come together ---- */

enum { UNSEEN = UINT16_MAX - 1, MANY = UINT16_MAX, MOST_NUMBERS = 64 };

/* For each value of column `a` (of which `present` occur), the one of column `b` that it always comes with, or MANY.
 * False: all come with several. */
static bool companions(const obs_logit *m, int a, int b, uint32_t present, uint16_t *with) {
  for (uint32_t v = 0; v < m->values[a]; v++) with[v] = UNSEEN;
  for (uint32_t i = 0; i < m->n && present > 0; i++) {
    uint16_t va = m->id[a][i], vb = m->id[b][i];
    if (with[va] == UNSEEN) {
      with[va] = vb;
    } else if (with[va] != vb && with[va] != MANY) {
      with[va] = MANY;
      present--;
    }
  }
  return present > 0;
}

static uint32_t count_present(const obs_logit *m, int f) {
  uint32_t present = 0;
  memset(m->gradient, 0, m->values[f] * sizeof *m->gradient);
  for (uint32_t i = 0; i < m->n; i++) m->gradient[m->id[f][i]] = 1;
  for (uint32_t v = 0; v < m->values[f]; v++) present += m->gradient[v] > 0;
  return present;
}

/* Each is the other's alias. That a field is absent is no name for a thing that has one. */
static void note_aliases(obs_logit *m, int a, int b, const uint16_t *a_with, const uint16_t *b_with) {
  for (uint32_t v = 0; v < m->values[b]; v++) {
    uint16_t w = b_with[v];
    if (v == OBS_FACT_OTHER || w >= UNSEEN || w == OBS_FACT_OTHER || a_with[w] != v) continue;
    if (m->alias[b][v].column >= 0) continue;
    m->alias[b][v] = (obs_logit_alias){a, w};
    if (m->alias[a][w].column < 0) m->alias[a][w] = (obs_logit_alias){b, (uint16_t)v};
  }
}

static bool is_named_by_other(const obs_logit *m, int f, uint16_t v) {
  obs_logit_alias other = m->alias[f][v];
  if (other.column < 0) return false;
  if ((v == OBS_FACT_ABSENT) != (other.id == OBS_FACT_ABSENT)) return v == OBS_FACT_ABSENT;
  return other.column < f;
}

/* Of many numbers one is no name. */
static bool has_names(const obs_logit *m, int f) {
  return m->id[f] && (!m->codes[f] || m->values[f] <= MOST_NUMBERS + OBS_FACT_NAMED);
}

/* Values that always come together are one: that of the later column is not looked at. */
static bool fold_aliases(obs_logit *m) {
  uint16_t *with = malloc((size_t)2 * (UINT16_MAX + 1) * sizeof *with);
  uint32_t present[OBS_COLUMNS] = {0};
  if (!with) return false;
  for (int f = 0; f < OBS_COLUMNS; f++) {
    if (!m->id[f]) continue;
    present[f] = count_present(m, f);
    for (uint32_t v = 0; v < m->values[f]; v++) m->alias[f][v] = (obs_logit_alias){-1, 0};
  }
  for (int b = 1; b < OBS_COLUMNS; b++)
    for (int a = 0; has_names(m, b) && a < b; a++) {
      if (!has_names(m, a) || !companions(m, a, b, present[a], with) ||
          !companions(m, b, a, present[b], with + UINT16_MAX + 1))
        continue;
      note_aliases(m, a, b, with, with + UINT16_MAX + 1);
    }
  for (int f = 0; f < OBS_COLUMNS; f++) {
    if (!has_names(m, f)) continue;
    for (uint32_t i = 0; i < m->n; i++) {
      if (!is_named_by_other(m, f, m->id[f][i])) continue;
      m->id[f][i] = OBS_FACT_OTHER;
      m->folded[f] = true;
    }
  }
  free(with);
  return true;
}

observer_err obs_logit_take_rows(obs_logit *m, const obs_logit_opts *opts) {
  observer_err err = sample(m, opts);
  if (err != OBSERVER_E_OK) return err;
  if (!allocate(m) || !fill_time(m)) return OBSERVER_E_NOMEM;
  for (uint32_t i = 0; i < m->n; i++) m->through[i] = 1;
  for (int f = 0, more = 0; f < OBS_COLUMNS; f++)
    if (!fill(m, f, &more)) return OBSERVER_E_NOMEM;
  return fold_aliases(m) ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}
