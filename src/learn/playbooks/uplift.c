#include "learn/playbooks/uplift.h"

#include "diagnose/stats.h"
#include "learn/playbooks/before_after.h"

#include <math.h>
#include <stdlib.h>

enum { MIDDLE = OBS_UPLIFT_GRID / 2 };

/* ln θ: close where most effects are; beyond a factor of e^4 all are alike. */
static const double steps[MIDDLE + 1] = {0, .05, .1, .15, .2, .3, .4, .5, .65, .8, 1, 1.25, 1.5, 2, 2.5, 3, 4};

static double log_odds_ratio(int i) {
  return i < MIDDLE ? -steps[MIDDLE - i] : steps[i - MIDDLE];
}

/* A sum of exponentials, as its logarithm. */
typedef struct {
  double most, sum; /* e^most · sum */
} log_sum;

static void add_log(log_sum *s, double x) {
  if (s->sum == 0) {
    *s = (log_sum){x, 1};
  } else if (x <= s->most) {
    s->sum += exp(x - s->most);
  } else {
    s->sum = s->sum * exp(s->most - x) + 1;
    s->most = x;
  }
}

static double log_of(log_sum s) {
  return s.most + log(s.sum);
}

void obs_uplift_add(obs_uplift *u, obs_uplift_arm advised, obs_uplift_arm others) {
  double n1 = (double)advised.trials, n0 = (double)others.trials, k = (double)(advised.failures + others.failures);
  if (n1 == 0 || n0 == 0) return;
  double w = n1 * n0 / (n1 + n0);
  u->advised.trials += advised.trials;
  u->advised.failures += advised.failures;
  u->others.trials += others.trials;
  u->others.failures += others.failures;
  u->blocks++;
  u->weight += w;
  u->advised_sum += w * (double)advised.failures / n1;
  u->others_sum += w * (double)others.failures / n0;
  double least = fmax(0, k - n0), most = fmin(n1, k);
  if (least == most) return; /* all or none failed: every θ says the same */

  /* ln Σj C(n1,j) C(n0,k-j) θ^j, relative to its first term with θ = 1; from one j to the next the product changes by
   * (n1-j)(k-j) / ((j+1)(n0-k+j+1)). */
  log_sum sums[OBS_UPLIFT_GRID] = {{0, 0}};
  double log_term = 0;
  for (uint64_t step = 0, steps_up = (uint64_t)(most - least); step <= steps_up; step++) {
    double j = least + (double)step;
    for (int i = 0; i < OBS_UPLIFT_GRID; i++) add_log(&sums[i], log_term + j * log_odds_ratio(i));
    log_term += log((n1 - j) * (k - j) / ((j + 1) * (n0 - k + j + 1)));
  }
  double none = log_of(sums[MIDDLE]);
  for (int i = 0; i < OBS_UPLIFT_GRID; i++)
    u->log_lr[i] += (double)advised.failures * log_odds_ratio(i) - log_of(sums[i]) + none;
}

static double log_mean(const obs_uplift *u, int from, int to) {
  log_sum s = {0, 0};
  for (int i = from; i < to; i++) add_log(&s, u->log_lr[i]);
  return log_of(s) - log(to - from);
}

double obs_uplift_worse(const obs_uplift *u) {
  return log_mean(u, MIDDLE + 1, OBS_UPLIFT_GRID);
}

double obs_uplift_better(const obs_uplift *u) {
  return log_mean(u, 0, MIDDLE);
}

/* Rates with the given odds ratio that together make the rate `all`, when a share of the trials is the advised's: the
 * advised's minus the others'. */
static double change_at(double all, double share, double odds_ratio) {
  double low = 0, high = 1, others = 0, advised = 0;
  for (int i = 0; i < 40; i++) { /* both grow with the others' */
    others = (low + high) / 2;
    advised = odds_ratio * others / (1 - others + odds_ratio * others);
    if (share * advised + (1 - share) * others < all)
      low = others;
    else
      high = others;
  }
  return advised - others;
}

/* The least (side -1) or most (1) that an odds ratio makes of all rates from `low` to `high`. */
static double end_of_changes(double odds_ratio, double share, double low, double high, int side) {
  enum { STEPS = 16 };
  double end = -1;
  for (int i = 0; i <= STEPS; i++) end = fmax(end, side * change_at(low + (high - low) * i / STEPS, share, odds_ratio));
  return side * end;
}

/* Where ln Π P(θ) falls to `least` outside of the last θ that is looked at and above it, at most. It is concave: beyond
 * that θ it is below the line through it and the next one inside, and at the next one outside it is below `least`. */
static double end_of_ratios(const obs_uplift *u, int last, int side, double least) {
  static const double unbounded = 30;
  int inside = last - side, outside = last + side;
  double at = log_odds_ratio(last), end = side * unbounded;
  if (outside >= 0 && outside < OBS_UPLIFT_GRID) end = log_odds_ratio(outside);
  if (inside < 0 || inside >= OBS_UPLIFT_GRID) return end;
  double slope = (u->log_lr[last] - u->log_lr[inside]) / (at - log_odds_ratio(inside));
  double crossing = at + (least - u->log_lr[last]) / slope;
  return side * slope < 0 && side * crossing < side * end ? crossing : end;
}

obs_uplift_interval obs_uplift_change(const obs_uplift *u) {
  enum { LAST = OBS_UPLIFT_GRID - 1 };
  /* Half of the 5 % for the odds ratio, half for the rate of both arms, which says what that means in points. */
  double least = log_mean(u, 0, OBS_UPLIFT_GRID) + log(OBS_UPLIFT_MISSED / 2), rate_low, rate_high;
  obs_before_after_side all = {u->advised.trials + u->others.trials, u->advised.failures + u->others.failures};
  double share = (double)u->advised.trials / (double)all.ops;
  int low = 0, high = LAST;
  obs_stats_rates((double)all.failures, (double)all.ops, OBS_UPLIFT_MISSED / 2, &rate_low, &rate_high);
  while (low < high && u->log_lr[low] <= least) low++;
  while (high > low && u->log_lr[high] <= least) high--;
  return (obs_uplift_interval){(u->advised_sum - u->others_sum) / u->weight,
                               end_of_changes(exp(end_of_ratios(u, low, -1, least)), share, rate_low, rate_high, -1),
                               end_of_changes(exp(end_of_ratios(u, high, 1, least)), share, rate_low, rate_high, 1)};
}

/* ---- several entries ---- */

static int by_size(const void *a, const void *b) {
  const double *x = a, *y = b;
  return (*x < *y) - (*x > *y);
}

double obs_uplift_threshold(double *log_e, uint32_t n) {
  qsort(log_e, n, sizeof(*log_e), by_size);
  for (uint32_t k = n; k > 0; k--) {
    double least = log(n / (OBS_UPLIFT_ALPHA * k));
    if (log_e[k - 1] >= least) return least;
  }
  return INFINITY;
}
