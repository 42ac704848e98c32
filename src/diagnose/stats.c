#include "diagnose/stats.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static double log_gamma(double x) {
  int sign; /* lgamma's own sign is a global */
  return lgamma_r(x, &sign);
}

double obs_stats_likelihood(double seen, double n, double p) {
  return (seen > 0 ? seen * log(p) : 0) + (seen < n ? (n - seen) * log(1 - p) : 0);
}

double obs_stats_mixture(double seen, double n) {
  return log_gamma(seen + 0.5) + log_gamma(n - seen + 0.5) - log_gamma(n + 1) - log(M_PI);
}

void obs_stats_rates(double seen, double n, double alpha, double *low, double *high) {
  double ends[2], least = obs_stats_mixture(seen, n) + log(alpha), rate = seen / n;
  for (int side = 0; side < 2; side++) {
    double in = rate, out = side == 0 ? 0 : 1;
    for (int i = 0; i < 40; i++) {
      double p = (in + out) / 2;
      if (obs_stats_likelihood(seen, n, p) > least)
        in = p;
      else
        out = p;
    }
    ends[side] = (in + out) / 2;
  }
  *low = ends[0];
  *high = ends[1];
}

/* The continued fraction of the incomplete beta function, by Lentz. */
static double beta_fraction(double a, double b, double x) {
  const double tiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  if (fabs(d) < tiny) d = tiny;
  d = 1 / d;
  double h = d;
  for (int m = 1; m <= 500; m++) {
    double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + even * d;
    c = 1 + even / c;
    d = 1 / (fabs(d) < tiny ? tiny : d);
    c = fabs(c) < tiny ? tiny : c;
    h *= d * c;
    d = 1 + odd * d;
    c = 1 + odd / c;
    d = 1 / (fabs(d) < tiny ? tiny : d);
    c = fabs(c) < tiny ? tiny : c;
    h *= d * c;
    if (fabs(d * c - 1) < 1e-12) break;
  }
  return h;
}

/* log I_x(a, b), the regularised incomplete beta function. */
static double log_beta(double a, double b, double x) {
  if (x <= 0) return -INFINITY;
  if (x >= 1) return 0;
  double front = log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(x) + b * log1p(-x);
  if (x < (a + 1) / (a + b + 2)) return front + log(beta_fraction(a, b, x)) - log(a);
  double rest = exp(front + log(beta_fraction(b, a, 1 - x)) - log(b));
  return rest < 1 ? log1p(-rest) : -745; /* as small as a double gets */
}

double obs_stats_excess(double seen, double expected, double spread) {
  if (seen <= 0) return 0;
  if (expected <= 0) expected = 1e-9;
  double variance = spread * spread < 1e-6 ? 1e-6 : spread * spread;
  double shape = 1 / variance;
  return log_beta(seen, shape, expected / (expected + shape));
}

double obs_stats_gain(double seen, double expected, double n) {
  if (seen <= expected || n <= 0) return 0;
  double own = seen / n, usual = fmin(fmax(expected / n, 1e-9), 1 - 1e-9);
  double gain = seen * log(own / usual);
  return seen < n ? gain + (n - seen) * log((1 - own) / (1 - usual)) : gain;
}

double obs_stats_shortfall(double seen, double expected) {
  double over = obs_stats_excess(floor(seen) + 1, expected, 0);
  return over < 0 ? log(-expm1(over)) : -745;
}

double obs_stats_binomial(double seen, double n, double p) {
  if (seen <= 0) return 0;
  return log_beta(seen, n - seen + 1, p);
}

static double log_choose(double n, double k) {
  return log_gamma(n + 1) - log_gamma(k + 1) - log_gamma(n - k + 1);
}

double obs_stats_hypergeometric(double seen, double n, double marked, double all) {
  double whole = log_choose(all, n), sum = 0;
  uint32_t first = (uint32_t)fmax(seen, n + marked - all), last = (uint32_t)fmin(n, marked);
  for (uint32_t k = first; k <= last; k++) sum += exp(log_choose(marked, k) + log_choose(all - marked, n - k) - whole);
  return sum < 1 ? log(fmax(sum, 1e-300)) : 0;
}

static double share(double seen, double expected, double scale) {
  return seen > 0 ? seen * log(seen / (expected * scale)) : 0;
}

double obs_stats_change(double seen_before, double expected_before, double seen_after, double expected_after) {
  double expected = expected_before + expected_after, seen = seen_before + seen_after;
  if (expected_before <= 0 || expected_after <= 0 || seen <= 0) return 0;
  double scale = seen / expected;
  return 2 * (share(seen_before, expected_before, scale) + share(seen_after, expected_after, scale));
}

double obs_stats_worse(double seen_before, double expected_before, double n_before, double seen_after,
                       double expected_after, double n_after) {
  double scale = (seen_before + seen_after) / (expected_before + expected_after);
  double before = expected_before * scale, after = expected_after * scale;
  if (seen_after <= after || before >= n_before || after >= n_after) return 0;
  double ratio =
      obs_stats_change(seen_before, before, seen_after, after) +
      2 * (share(n_before - seen_before, n_before - before, 1) + share(n_after - seen_after, n_after - after, 1));
  if (ratio <= 0) return 0;
  double z = sqrt(ratio);
  if (z < 30) return log(erfc(z / M_SQRT2) / 2);
  return -ratio / 2 - log(z * sqrt(2 * M_PI));
}

double obs_stats_sup(double ratio, double edge) {
  if (ratio < 4) return 0;
  double width = 2 * log((1 - edge) / edge);
  double p = 0.5 * log(ratio) - ratio / 2 - 0.5 * log(2 * M_PI) + log(width * (1 - 1 / ratio) + 4 / ratio);
  return p < 0 ? p : 0;
}

/* The value of this rank, by quickselect; values of lower rank are before it then. */
static double select_rank(double *v, size_t n, size_t rank) {
  for (size_t low = 0, high = n - 1; low < high;) {
    double pivot = v[low + (high - low) / 2];
    size_t i = low, j = high;
    while (i <= j) {
      while (v[i] < pivot) i++;
      while (v[j] > pivot) j--;
      if (i > j) break;
      double x = v[i];
      v[i++] = v[j];
      v[j] = x;
      if (j == 0) break;
      j--;
    }
    if (rank <= j)
      high = j;
    else if (rank >= i)
      low = i;
    else
      break;
  }
  return v[rank];
}

static double median(double *v, size_t n) {
  double upper = select_rank(v, n, n / 2), lower = -INFINITY;
  if (n % 2) return upper;
  for (size_t i = 0; i < n / 2; i++) lower = fmax(lower, v[i]);
  return (lower + upper) / 2;
}

/* Median of how far log rates lie from `centre`, squared and in units of their variance when the spread is `s`. */
static double scatter(const double *rate, const double *noise, size_t n, double centre, double s, double *scratch) {
  for (size_t i = 0; i < n; i++) {
    double far = rate[i] - centre;
    scratch[i] = far * far / (noise[i] + s * s);
  }
  return median(scratch, n);
}

typedef struct {
  double *rate, *noise;
  size_t n;
} rates;

/* By rate; of few. */
static void sort_rates(rates *r) {
  for (size_t i = 1; i < r->n; i++) {
    double rate = r->rate[i], noise = r->noise[i];
    size_t k = i;
    for (; k > 0 && r->rate[k - 1] > rate; k--) {
      r->rate[k] = r->rate[k - 1];
      r->noise[k] = r->noise[k - 1];
    }
    r->rate[k] = rate;
    r->noise[k] = noise;
  }
}

static double mean_of(const rates *r, size_t from, size_t until, double *weight) {
  double sum = 0;
  *weight = 0;
  for (size_t i = from; i < until; i++) {
    sum += r->rate[i] / r->noise[i];
    *weight += 1 / r->noise[i];
  }
  return sum / *weight;
}

/* Where the sorted rates fall into two groups: the first of the upper one, 0: they do not. The gap between them is a
 * factor of three at least and four times their scatter; the lower group is no exception: it has a fifth of what is
 * expected, and, where the upper one has most of the values, two of them. */
static size_t find_gap(const rates *r, bool lone, double *low_mean, double *high_mean) {
  const double least = 1.1, clear = 4, share = 0.2;
  size_t at = 0;
  double gap = least, low_weight, high_weight, squares = 0;
  for (size_t i = 1; i < r->n; i++) {
    if (r->rate[i] - r->rate[i - 1] <= gap) continue;
    gap = r->rate[i] - r->rate[i - 1];
    at = i;
  }
  if (at == 0) return 0;
  *low_mean = mean_of(r, 0, at, &low_weight);
  *high_mean = mean_of(r, at, r->n, &high_weight);
  if (low_weight < share * (low_weight + high_weight)) return 0;
  if (2 * (r->n - at) > r->n && at < 2 && !lone) return 0;
  for (size_t i = 0; i < r->n; i++) {
    double far = r->rate[i] - (i < at ? *low_mean : *high_mean);
    squares += far * far;
  }
  double scatter_within = r->n > 2 ? sqrt(squares / (double)(r->n - 2)) : 0;
  double noise = sqrt(r->noise[at - 1] + r->noise[at]);
  return gap > clear * scatter_within && gap > 2 * noise ? at : 0;
}

double obs_stats_spread(const double *seen, const double *expected, size_t n, double prior, bool lone, double *scratch,
                        double *usual) {
  static const double normal[] = {-1.15, -0.67, -0.32, 0.32, 0.67, 1.15};
  enum { PRIOR = 6, SORTED = 512 };
  const double enough = 3, median_chi = 0.4549;
  rates r = {scratch, scratch + n + PRIOR, 0};
  double *work = r.noise + n + PRIOR;
  for (size_t i = 0; i < n; i++) {
    if (expected[i] < enough) continue;
    r.rate[r.n] = log((seen[i] + 0.5) / (expected[i] + 0.5));
    r.noise[r.n++] = 1 / (expected[i] + 0.5);
  }
  *usual = 1;
  double centre = 0, low_mean, high_mean;
  size_t gap = 0;
  if (r.n >= 2 && r.n <= SORTED) {
    sort_rates(&r);
    gap = find_gap(&r, lone, &low_mean, &high_mean);
  }
  if (gap > 0) {
    *usual = fmin(1, exp(low_mean));
    for (size_t i = 0; i < r.n; i++) r.rate[i] -= i < gap ? low_mean : high_mean;
  } else if (r.n >= 3) {
    memcpy(work, r.rate, r.n * sizeof *work);
    centre = select_rank(work, r.n, r.n / 2);
  }
  for (size_t i = 0; i < PRIOR; i++) {
    r.rate[r.n + i] = centre + normal[i] * prior;
    r.noise[r.n + i] = 0;
  }
  double low = 0.02, high = 3;
  for (int i = 0; i < 24; i++) {
    double middle = (low + high) / 2;
    if (scatter(r.rate, r.noise, r.n + PRIOR, centre, middle, work) > median_chi)
      low = middle;
    else
      high = middle;
  }
  return (low + high) / 2;
}

double obs_stats_quantile(double *values, size_t n, double part) {
  return select_rank(values, n, (size_t)(part * (double)(n - 1)));
}

int obs_stats_by_number(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}
