/* Tests of significance, as natural logarithms of p, so that nothing underflows. Pure functions: any thread. */
#ifndef OBS_DIAGNOSE_STATS_H
#define OBS_DIAGNOSE_STATS_H

#include <stdbool.h>
#include <stddef.h>

/* P(X >= seen) where X is counted from a Poisson process whose mean is `expected` times a gamma of mean 1 and standard
 * deviation `spread`: a negative binomial. With spread 0 it is a Poisson. */
double obs_stats_excess(double seen, double expected, double spread);
/* How much more likely `seen` failures of `n` are at their own rate than at the expected one, where that is lower: the
 * log likelihood ratio of two binomials. */
double obs_stats_gain(double seen, double expected, double n);
/* P(X <= seen) of a Poisson of this mean. */
double obs_stats_shortfall(double seen, double expected);
/* P(X >= seen) of a binomial. */
double obs_stats_binomial(double seen, double n, double p);
/* P(X >= seen) when `n` of `all` are drawn and `marked` of all are of a kind: Fisher's exact test, one-sided. For few
 * marked ones: it takes a step for each. */
double obs_stats_hypergeometric(double seen, double n, double marked, double all);
/* P(the share after is as much higher than the one before) when both are as expected up to one factor; seen and
 * expected counts among `n` each. For counts of some size. */
double obs_stats_worse(double seen_before, double expected_before, double n_before, double seen_after,
                       double expected_after, double n_after);
/* Twice the log likelihood ratio of a change of rate: seen and expected counts before and after a point. */
double obs_stats_change(double seen_before, double expected_before, double seen_after, double expected_after);
/* P(the largest of all such ratios over the change points in [edge, 1 - edge] of the whole >= ratio) when there is no
 * change; 0 < edge < 0.5 (Csorgo and Horvath's tail of the supremum of a normalised Brownian bridge). */
double obs_stats_sup(double ratio, double edge);
/* Standard deviation of the log rates behind `n` counts beyond what counting explains, robust: values that stand out
 * do not widen it, and where the values fall into two groups far apart, it is that within them. `prior` counts as six
 * values. *usual: the rate of the lower group, in units of what is expected; 1 where there is but one. `lone`: one
 * value alone may be the lower group though most are above it. */
double obs_stats_spread(const double *seen, const double *expected, size_t n, double prior, bool lone, double *scratch,
                        double *usual);
#define OBS_STATS_SCRATCH(n) (3 * ((size_t)(n) + 6)) /* doubles */

/* ---- rates at every look ---- */

/* ln of the probability of `n` outcomes with `seen` failures, in their order: at a rate p; and when all rates are
 * possible, the beta-binomial mixture with Jeffreys' prior, B(seen + 1/2, n - seen + 1/2) / pi. */
double obs_stats_likelihood(double seen, double n, double p);
double obs_stats_mixture(double seen, double n);
/* The rates that outcomes do not speak against at any look, but with a probability of `alpha`: the one-sample e-process
 * M / L(p) of mixture and likelihood stays below 1 / alpha. n > 0. */
void obs_stats_rates(double seen, double n, double alpha, double *low, double *high);

/* The value below which this part of them lies; their order changes. n > 0. */
double obs_stats_quantile(double *values, size_t n, double part);

/* qsort's order of uint32_t, ascending. */
int obs_stats_by_number(const void *a, const void *b);

#endif
