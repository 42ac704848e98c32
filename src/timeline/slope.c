#include "timeline/trajectory.h"

#include <math.h>

/* Outcomes in order; x: log2 of the attempt's number. */
typedef struct {
  const bool *failed;
  uint32_t n;
} outcomes;

static double x_of(uint32_t i) {
  return log2((double)i + 1);
}

/* ln L of the curve a + b x. */
static double likelihood(const outcomes *o, double a, double b) {
  double sum = 0;
  for (uint32_t i = 0; i < o->n; i++) {
    double z = a + b * x_of(i);
    sum += (o->failed[i] ? z : 0) - (z > 0 ? z + log1p(exp(-z)) : log1p(exp(z)));
  }
  return sum;
}

/* The largest ln L with that b. It is concave in a: Newton's steps, kept between the ends that its slope tells. */
static double profile(const outcomes *o, double b) {
  enum { STEPS = 40 };
  double low = -40 - fabs(b) * x_of(o->n), high = -low, a = 0;
  for (int step = 0; step < STEPS && high - low > 1e-7; step++) {
    double slope = 0, curve = 0;
    for (uint32_t i = 0; i < o->n; i++) {
      double p = 1 / (1 + exp(-(a + b * x_of(i))));
      slope += o->failed[i] - p;
      curve += p * (1 - p);
    }
    if (slope > 0)
      low = a;
    else
      high = a;
    double next = curve > 1e-12 ? a + slope / curve : (low + high) / 2;
    if (fabs(next - a) < 1e-7) break;
    a = next > low && next < high ? next : (low + high) / 2;
  }
  return likelihood(o, a, b);
}

/* A sum of exponentials, as its logarithm. */
static double add_log(double sum, double x) {
  if (sum < x) return x + log1p(exp(sum - x));
  return isinf(sum) ? sum : sum + log1p(exp(x - sum));
}

/* ln of the likelihood's mean over curves: flat ones, and those that cross even odds at some attempt. They do not
 * depend on the outcomes, nor on how many there are. */
static double mixture(const outcomes *o) {
  static const double steps[] = {.3, .8, 2, 5, 12},
                      crossings[] = {0, 1, 1.6, 2, 2.3, 2.6, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.5, 6, 6.5, 7, 8};
  static const double flat_share = 0.2;
  enum { STEPS = sizeof(steps) / sizeof(steps[0]), CROSSINGS = sizeof(crossings) / sizeof(crossings[0]), FLAT = 12 };
  double sum = -INFINITY, flat = log(flat_share / (2 * FLAT + 1)),
         curved = log((1 - flat_share) / (2.0 * STEPS * CROSSINGS));
  for (int i = -FLAT; i <= FLAT; i++) sum = add_log(sum, likelihood(o, i / 2.0, 0) + flat);
  for (int s = 0; s < STEPS; s++)
    for (int c = 0; c < CROSSINGS; c++)
      for (int side = -1; side <= 1; side += 2)
        sum = add_log(sum, likelihood(o, -side * steps[s] * crossings[c], side * steps[s]) + curved);
  return sum;
}

/* Where the concave profile falls to `least` on that side of `inside`. */
static double end_of(const outcomes *o, double inside, double outside, double least) {
  if (profile(o, outside) > least) return outside;
  for (int i = 0; i < 30 && fabs(outside - inside) > 1e-4; i++) {
    double b = (inside + outside) / 2;
    if (profile(o, b) > least)
      inside = b;
    else
      outside = b;
  }
  return outside;
}

obs_trajectory_slope obs_trajectory_slope_of(const bool *failed, uint32_t n) {
  const outcomes o = {failed, n};
  uint32_t failures = 0;
  for (uint32_t i = 0; i < n; i++) failures += failed[i];
  if (failures == 0 || failures == n) return (obs_trajectory_slope){.known = false};
  double least = mixture(&o) + log(OBS_TRAJECTORY_MISSED), low = -OBS_SLOPE_MOST, high = OBS_SLOPE_MOST;
  while (high - low > 1e-3) { /* the top of the profile, between thirds */
    double a = low + (high - low) / 3, b = high - (high - low) / 3;
    if (profile(&o, a) < profile(&o, b))
      low = a;
    else
      high = b;
  }
  double top = (low + high) / 2;
  return (obs_trajectory_slope){true, end_of(&o, top, -OBS_SLOPE_MOST, least), end_of(&o, top, OBS_SLOPE_MOST, least)};
}
