#include "learn/escalations/base_rate.h"

#include "base/utf8.h"

#include <math.h>
#include <xxhash.h>

/* NAME: bytes of an endpoint's name, as clusters keep it. PARTS: what was before the window, and the hours before it.
 * ENOUGH: ops of the last day; with fewer what is older counts too. */
enum { NAME = 128, HOUR_MS = 3600000, PARTS = OBS_BASE_RATE_HOURS + 2, ENOUGH = 1000 };

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
  bool hour = now_ms - b->at.hours[b->hours] >= HOUR_MS;
  forget(b);
  if (b->look++ == 0) {
    for (int i = 0; i < OBS_BASE_RATE_NEAR; i++) b->at.near[i] = now_ms - HOUR_MS;
    for (int i = 0; i < OBS_BASE_RATE_HOURS; i++) b->at.hours[i] = now_ms - HOUR_MS;
    near = hour = false;
  }
  if (near) b->at.near[b->near = (b->near + 1) % OBS_BASE_RATE_NEAR] = now_ms;
  if (hour) b->at.hours[b->hours = (b->hours + 1) % OBS_BASE_RATE_HOURS] = now_ms;
  for (uint32_t i = 0; i < b->totals.n; i++) {
    obs_base_rate_total *t = &b->totals.at[i];
    if (near) t->near[b->near] = t->now;
    if (hour) t->hours[b->hours] = t->now;
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
  for (int i = 0; i < OBS_BASE_RATE_HOURS; i++) t->hours[i] += more > recent ? more - recent : 0;
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

/* The marks of what is usual, oldest first, and behind them that where now begins; their number. */
static uint32_t list_marks(const obs_base_rate *b, int64_t now_ms, int hours[OBS_BASE_RATE_HOURS], int *begins) {
  uint32_t n = 0;
  *begins = (int)((b->near + 1) % OBS_BASE_RATE_NEAR); /* the oldest */
  for (int i = OBS_BASE_RATE_NEAR - 1; i >= 0; i--) {  /* from the newest on */
    int at = (int)((b->near + 1 + (uint32_t)i) % OBS_BASE_RATE_NEAR);
    if (now_ms - b->at.near[at] < (int64_t)b->window_s * 1000) continue;
    *begins = at;
    break;
  }
  for (uint32_t i = 1; i <= OBS_BASE_RATE_HOURS; i++) {
    int at = (int)((b->hours + i) % OBS_BASE_RATE_HOURS);
    if (b->at.hours[at] < b->at.near[*begins]) hours[n++] = at;
  }
  return n;
}

/* Adds what a total did in each part: before the first mark, from each to the next, and now. */
static void add_parts(const obs_base_rate_total *t, const int *hours, uint32_t n, int begins, uint64_t *parts) {
  uint64_t last = 0;
  for (uint32_t i = 0; i < n; i++) {
    parts[i] += t->hours[hours[i]] - last;
    last = t->hours[hours[i]];
  }
  parts[n] += t->near[begins] - last;
  parts[n + 1] += t->now - t->near[begins];
}

static const obs_base_rate_total *find(const obs_base_rate *b, uint64_t key) {
  uint32_t at;
  return obs_map_get(&b->places, key, &at) ? &b->totals.at[at] : NULL;
}

static double share(obs_base_rate_side s) {
  return s.ops > 0 ? (double)s.failures / (double)s.ops : 0;
}

/* Whether a part stands out from the others: at least twice their share, by more than chance in one of some thousand
 * hours (the log likelihood ratio of a Poisson count). */
static bool stands_out(obs_base_rate_side part, obs_base_rate_side others) {
  static const double enough = 8;
  double k = (double)part.failures, expected = share(others) * (double)part.ops;
  if (k < 2 * expected || others.ops == 0) return false;
  return k * log(k / fmax(expected, 0.5)) - (k - expected) >= enough;
}

/* The day's parts together but for those that stand out, the worst first, up to a quarter of the ops. */
static obs_base_rate_side usual_of_day(const obs_base_rate_side *parts, uint32_t n) {
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
    if (worst == n) return kept;
    obs_base_rate_side others = {kept.ops - parts[worst].ops, kept.failures - parts[worst].failures};
    if (!stands_out(parts[worst], others)) return kept;
    left_out[worst] = true;
    may_go -= parts[worst].ops;
    kept = others;
  }
}

obs_base_rate_sides obs_base_rate_of(const obs_base_rate *b, uint64_t cluster, const obs_str *endpoints, uint32_t n,
                                     int64_t now_ms) {
  uint64_t failures[PARTS + 1] = {0}, ops[PARTS + 1] = {0}, all[PARTS + 1] = {0};
  obs_base_rate_side parts[PARTS + 1] = {{0, 0}};
  int hours[OBS_BASE_RATE_HOURS], begins;
  uint32_t marks = list_marks(b, now_ms, hours, &begins);
  const obs_base_rate_total *t = find(b, key_of_cluster(cluster));
  if (t != NULL) add_parts(t, hours, marks, begins, failures);
  for (uint32_t i = 0; i < (n > 0 ? n : 1); i++) {
    obs_str name = n > 0 ? endpoints[i] : (obs_str){0};
    t = find(b, key_of_endpoint(name, SEED_ENDPOINT));
    if (t != NULL) add_parts(t, hours, marks, begins, ops);
    t = find(b, key_of_endpoint(name, SEED_FAILURES));
    if (t != NULL) add_parts(t, hours, marks, begins, all);
  }
  for (uint32_t i = 0; i < marks + 2; i++) {
    uint64_t others = all[i] > failures[i] ? all[i] - failures[i] : 0;
    uint64_t left = ops[i] > others ? ops[i] - others : 0;
    parts[i] = (obs_base_rate_side){left > failures[i] ? left : failures[i], failures[i]};
  }
  obs_base_rate_side usual = parts[0]; /* all before the first mark */
  if (marks > 0) {
    obs_base_rate_side day = usual_of_day(parts + 1, marks);
    usual = day.ops >= ENOUGH ? day : (obs_base_rate_side){day.ops + usual.ops, day.failures + usual.failures};
  }
  return (obs_base_rate_sides){.now = parts[marks + 1], .usual = usual};
}

/* ---- the comparison ---- */

bool obs_base_rate_exceeds(const obs_base_rate_sides *s, uint32_t chosen) {
  /* Alternatives: the odds times e^x. PROOF: the e-value, the mean of the likelihood ratios over those, that is enough.
   */
  static const double more[] = {.25, .5, 1, 1.5, 2, 3, 4, 6};
  enum { PRIOR_FAILURES = 1, PRIOR_OPS = 40, ALTERNATIVES = sizeof(more) / sizeof(*more), PROOF = 45 };
  double k0 = (double)s->usual.failures + PRIOR_FAILURES, n0 = (double)s->usual.ops + PRIOR_OPS;
  double usual = k0 / n0, error = sqrt(usual * (1 - usual) / (n0 + 1));
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
    mean += exp(fmin(700, k * log(q / p) + (n - k) * log((1 - q) / (1 - p)))) / ALTERNATIVES;
  }
  double window = 1 + (double)s->usual.ops / n;
  return mean >= PROOF * window * window;
}
