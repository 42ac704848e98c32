#include "learn/escalations/base_rate.h"

#include "base/utf8.h"

#include <math.h>
#include <xxhash.h>

/* NAME: bytes of an endpoint's name, as clusters keep it. PARTS: what was before the marks, the quarters, and
 * now. ENOUGH: ops of the quarters; with fewer what is older counts too. */
enum {
  NAME = 128,
  HOUR_MS = 3600000,
  QUARTER_MS = 900000,
  PARTS = OBS_BASE_RATE_QUARTERS + 2,
  ENOUGH = 1000,
  YOUNG = 100
};

#define SEED_ENDPOINT UINT64_C(0x7c0ffee123456789)
#define SEED_CLUSTER UINT64_C(0x3c6ef372fe94f82b)
#define SEED_FAILURES UINT64_C(0xbb67ae8584caa73b)

/* ---- totals ---- */

void obs_base_rate_init(obs_base_rate *b, uint32_t window_s) {
  *b = (obs_base_rate){.window_s = window_s};
}

void obs_base_rate_fini(obs_base_rate *b) {
  OBS_VEC_FINI(&b->totals);
  obs_map_fini(&b->places);
}

/* Of its ops or its failures, by the seed; an empty name: of all endpoints. */
static uint64_t key_of_endpoint(obs_str name, uint64_t seed) {
  obs_str cut = obs_utf8_cut_str(name, NAME);
  return cut.len > 0 ? XXH3_64bits_withSeed(cut.p, cut.len, seed) : seed;
}

static const obs_base_rate_total *find(const obs_base_rate *b, uint64_t key) {
  uint32_t at;
  return obs_map_get(&b->places, key, &at) ? &b->totals.at[at] : NULL;
}

static uint64_t key_of_cluster(uint64_t id) {
  return XXH3_64bits_withSeed(&id, sizeof(id), SEED_CLUSTER);
}

/* Makes room when there soon is none: forgets what the last look did not have. */
static void forget(obs_base_rate *b) {
  uint32_t kept = 0;
  if (b->totals.n < OBS_BASE_RATE_KEYS) return;
  obs_map_clear(&b->places);
  for (uint32_t i = 0; i < b->totals.n; i++) {
    if (b->totals.at[i].look != b->look) continue;
    b->totals.at[kept] = b->totals.at[i];
    (void)obs_map_put(&b->places, b->totals.at[kept].key, kept); /* it had as many before */
    kept++;
  }
  b->totals.n = kept;
}

void obs_base_rate_begin(obs_base_rate *b, int64_t now_ms) {
  bool near = now_ms - b->at.near[b->near] >= (int64_t)b->window_s * 1000 / (OBS_BASE_RATE_NEAR - 2);
  bool quarter = now_ms - b->at.quarters[b->quarters] >= QUARTER_MS;
  /* While a fleet is young its ops, not the time, tell how much there is: a mark with each doubling. */
  const obs_base_rate_total *all = find(b, key_of_endpoint((obs_str){0}, SEED_ENDPOINT));
  near = near || (all != NULL && all->now >= 2 * all->near[b->near] && all->now >= YOUNG);
  forget(b);
  if (b->look++ == 0) {
    for (int i = 0; i < OBS_BASE_RATE_NEAR; i++) b->at.near[i] = now_ms - HOUR_MS;
    for (int i = 0; i < OBS_BASE_RATE_QUARTERS; i++) b->at.quarters[i] = now_ms - HOUR_MS;
    near = quarter = false;
  }
  if (near) b->at.near[b->near = (b->near + 1) % OBS_BASE_RATE_NEAR] = now_ms;
  if (quarter) b->at.quarters[b->quarters = (b->quarters + 1) % OBS_BASE_RATE_QUARTERS] = now_ms;
  obs_base_rate_total *t = b->totals.at;
  for (uint32_t i = 0; t != NULL && i < b->totals.n; i++, t++) {
    if (near) t->near[b->near] = t->now;
    if (quarter) t->quarters[b->quarters] = t->now;
  }
}

/* NULL: there is no room. What no look had before was 0 at all marks. */
static obs_base_rate_total *total_of(obs_base_rate *b, uint64_t key) {
  uint32_t at;
  if (!obs_map_get(&b->places, key, &at)) {
    at = b->totals.n;
    if (at == OBS_BASE_RATE_KEYS || OBS_VEC_PUSH(&b->totals) == NULL) return NULL;
    b->totals.at[at].key = key;
    if (!obs_map_put(&b->places, key, at)) {
      b->totals.n--;
      return NULL;
    }
  }
  obs_base_rate_total *t = &b->totals.at[at];
  if (t->look != b->look) t->now = 0;
  t->look = b->look;
  return t;
}

/* A key may come more than once a look: names that agree as far as they are kept are one. */
static void add_total(obs_base_rate *b, uint64_t key, uint64_t more, uint64_t recent) {
  obs_base_rate_total *t = total_of(b, key);
  if (t == NULL) return;
  t->now += more;
  if (b->look > 1) return;
  for (int i = 0; i < OBS_BASE_RATE_NEAR; i++) t->near[i] += more > recent ? more - recent : 0;
  for (int i = 0; i < OBS_BASE_RATE_QUARTERS; i++) t->quarters[i] += more > recent ? more - recent : 0;
}

void obs_base_rate_endpoint(obs_base_rate *b, obs_str name, obs_base_rate_side total, obs_base_rate_side recent) {
  add_total(b, key_of_endpoint((obs_str){0}, SEED_ENDPOINT), total.ops, recent.ops);
  add_total(b, key_of_endpoint((obs_str){0}, SEED_FAILURES), total.failures, recent.failures);
  add_total(b, key_of_endpoint(name, SEED_ENDPOINT), total.ops, recent.ops);
  add_total(b, key_of_endpoint(name, SEED_FAILURES), total.failures, recent.failures);
}

void obs_base_rate_cluster(obs_base_rate *b, uint64_t id, uint64_t failures, uint64_t recent) {
  add_total(b, key_of_cluster(id), failures, recent);
}

/* ---- sides ---- */

/* The near mark where the window begins; the oldest when it is not so old. */
static uint32_t window_begin(const obs_base_rate *b, int64_t now_ms) {
  uint32_t oldest = b->near + 1;
  for (uint32_t i = OBS_BASE_RATE_NEAR; i-- > 0;) { /* from the newest on */
    uint32_t at = (oldest + i) % OBS_BASE_RATE_NEAR;
    if (now_ms - b->at.near[at] >= (int64_t)b->window_s * 1000) return at;
  }
  return oldest % OBS_BASE_RATE_NEAR;
}

/* The quarters' marks before a near one, oldest first; their number. */
static uint32_t list_marks(const obs_base_rate *b, uint32_t begins, uint32_t quarters[OBS_BASE_RATE_QUARTERS]) {
  uint32_t n = 0;
  for (uint32_t i = 1; i <= OBS_BASE_RATE_QUARTERS; i++) {
    uint32_t at = (b->quarters + i) % OBS_BASE_RATE_QUARTERS;
    if (b->at.quarters[at] < b->at.near[begins]) quarters[n++] = at;
  }
  return n;
}

/* Adds what a total did in each part: before the first mark, from each to the next, and now. */
static void add_parts(const obs_base_rate_total *t, const uint32_t *quarters, uint32_t n, uint32_t begins,
                      uint64_t *parts) {
  uint64_t last = 0;
  for (uint32_t i = 0; i < n; i++) {
    parts[i] += t->quarters[quarters[i]] - last;
    last = t->quarters[quarters[i]];
  }
  parts[n] += t->near[begins] - last;
  parts[n + 1] += t->now - t->near[begins];
}

static double share(obs_base_rate_side s) {
  return s.ops > 0 ? (double)s.failures / (double)s.ops : 0;
}

/* Whether a part stands out from the others: at least twice their share, by more than chance in one of some thousand
 * hours (the log likelihood ratio of a Poisson count). */
static bool stands_out(obs_base_rate_side part, obs_base_rate_side others) {
  static const double enough = 24;
  double k = (double)part.failures, expected = share(others) * (double)part.ops;
  if (k < 2 * expected || others.ops == 0) return false;
  return k * log(k / fmax(expected, 0.5)) - (k - expected) >= enough;
}

/* How much the number of failures of the parts varies, in the variance of independent ones: the squares of what they
 * are off by what is expected. Few failures say little of it: twenty are added that vary as runs do. */
static double clumps_of(const obs_base_rate_side *parts, const bool *left_out, uint32_t n, obs_base_rate_side kept) {
  enum { PRIOR_FAILURES = 20, PRIOR_RUN = 6 };
  double squares = 0;
  for (uint32_t i = 0; i < n; i++) {
    double off = (double)parts[i].failures - share(kept) * (double)parts[i].ops;
    if (!left_out[i]) squares += off * off;
  }
  return fmax(1, (squares + PRIOR_FAILURES * PRIOR_RUN) / ((double)kept.failures + PRIOR_FAILURES));
}

/* The quarters together but for those that stand out, the worst first, up to a quarter of the ops. */
static obs_base_rate_side usual_of_quarters(const obs_base_rate_side *parts, uint32_t n, double *clumps) {
  obs_base_rate_side kept = {0, 0};
  bool left_out[PARTS] = {false};
  for (uint32_t i = 0; i < n; i++) {
    kept.ops += parts[i].ops;
    kept.failures += parts[i].failures;
  }
  uint64_t may_go = kept.ops / 4;
  for (;;) {
    uint32_t worst = n;
    for (uint32_t i = 0; i < n; i++)
      if (!left_out[i] && parts[i].ops > 0 && parts[i].ops <= may_go &&
          (worst == n || share(parts[i]) > share(parts[worst])))
        worst = i;
    if (worst == n) break;
    obs_base_rate_side others = {kept.ops - parts[worst].ops, kept.failures - parts[worst].failures};
    if (!stands_out(parts[worst], others)) break;
    left_out[worst] = true;
    may_go -= parts[worst].ops;
    kept = others;
  }
  *clumps = clumps_of(parts, left_out, n, kept);
  return kept;
}

/* With now beginning at a near mark. */
static obs_base_rate_sides sides_from(const obs_base_rate *b, const obs_base_rate_query *q, uint32_t begins) {
  uint64_t failures[PARTS + 1] = {0}, ops[PARTS + 1] = {0}, all[PARTS + 1] = {0};
  obs_base_rate_side parts[PARTS + 1] = {{0, 0}};
  uint32_t quarters[OBS_BASE_RATE_QUARTERS], marks = list_marks(b, begins, quarters), n = q->nendpoints;
  const obs_base_rate_total *t = find(b, key_of_cluster(q->cluster));
  if (t != NULL) add_parts(t, quarters, marks, begins, failures);
  for (uint32_t i = 0; i < (n > 0 ? n : 1); i++) {
    obs_str name = n > 0 ? q->endpoints[i] : (obs_str){0};
    t = find(b, key_of_endpoint(name, SEED_ENDPOINT));
    if (t != NULL) add_parts(t, quarters, marks, begins, ops);
    t = find(b, key_of_endpoint(name, SEED_FAILURES));
    if (t != NULL) add_parts(t, quarters, marks, begins, all);
  }
  for (uint32_t i = 0; i < marks + 2; i++) {
    uint64_t others = all[i] > failures[i] ? all[i] - failures[i] : 0;
    uint64_t left = ops[i] > others ? ops[i] - others : 0;
    parts[i] = (obs_base_rate_side){left > failures[i] ? left : failures[i], failures[i]};
  }
  obs_base_rate_sides s = {.now = parts[marks + 1], .usual = parts[0], .clumps = 1};
  if (parts[0].ops > 0 || marks > 0) { /* parts[0] is all before the first mark */
    obs_base_rate_side late = usual_of_quarters(parts + 1, marks, &s.clumps);
    s.usual.ops = late.ops + (late.ops < ENOUGH ? parts[0].ops : 0);
    s.usual.failures = late.failures + (late.ops < ENOUGH ? parts[0].failures : 0);
  }
  s.clumps = fmax(s.clumps, q->clumps);
  /* Others are in its total that are none of now: late ones, and those of clusters that were merged into it. */
  uint64_t beyond = s.now.failures > q->recent ? s.now.failures - q->recent : 0;
  s.now.failures -= beyond;
  s.now.ops -= beyond;
  return s;
}

/* ---- the comparison ---- */

bool obs_base_rate_exceeds(const obs_base_rate_sides *s, uint32_t chosen, uint32_t tries) {
  /* Alternatives: the odds times e^x. PROOF: the e-value, the mean of the likelihood ratios over those, that is enough.
   */
  static const double more[] = {.25, .5, 1, 1.5, 2, 3, 4, 6};
  enum { PRIOR_FAILURES = 1, PRIOR_OPS = 40, ALTERNATIVES = sizeof(more) / sizeof(*more), PROOF = 45 };
  double k0 = (double)s->usual.failures + PRIOR_FAILURES, n0 = (double)s->usual.ops + PRIOR_OPS;
  double usual = k0 / n0, clumps = fmax(1, s->clumps), error = sqrt(clumps * usual * (1 - usual) / (n0 + 1));
  /* Twice the odds, or what the usual rate may be at most by what is known of it (two standard deviations). */
  double twice = 2 * usual / (1 + usual), most = fmin(usual + 2 * error, (1 + usual) / 2), p = fmax(twice, most);
  double k = (double)s->now.failures, n = (double)s->now.ops, mean = 0;
  if (s->usual.failures == 0) { /* an endpoint is looked at because it failed once: that failure shows nothing */
    k = fmax(0, k - chosen);
    n = fmax(k, n - chosen);
  }
  if (k <= n * p) return false;
  for (int i = 0; i < ALTERNATIVES; i++) {
    double odds = p / (1 - p) * exp(more[i]), q = odds / (1 + odds);
    /* So many failures tell as much as that part of them would, did each come by itself. */
    double log_ratio = (k * log(q / p) + (n - k) * log((1 - q) / (1 - p))) / clumps;
    mean += exp(fmin(700, log_ratio)) / ALTERNATIVES;
  }
  double window = 1 + (double)s->usual.ops / n;
  return mean >= PROOF * window * window * tries;
}

bool obs_base_rate_stands_out(const obs_base_rate *b, const obs_base_rate_query *q, int64_t now_ms,
                              obs_base_rate_sides *out) {
  uint32_t begins = window_begin(b, now_ms), chosen = q->nendpoints > 0 ? q->nendpoints : 1;
  *out = sides_from(b, q, begins);
  if (obs_base_rate_exceeds(out, chosen, 1)) return true;
  /* What began within the window is less of it. */
  for (uint32_t at = begins; at != b->near;) {
    at = (at + 1) % OBS_BASE_RATE_NEAR;
    if (b->at.near[at] == b->at.near[begins]) continue;
    obs_base_rate_sides later = sides_from(b, q, at);
    if (!obs_base_rate_exceeds(&later, chosen, OBS_BASE_RATE_NEAR)) continue;
    *out = later;
    return true;
  }
  return false;
}
