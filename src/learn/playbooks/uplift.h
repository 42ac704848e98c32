/* Uplift: do sessions that were advised fail more, or less, than others, tested at every look.
 *
 * Trials come in blocks (learn/exposure): of one scope and one hour, n1 trials of sessions that were advised, k1 of
 * which failed, and n0, k0 of others. Given the sizes and k = k1 + k0, and with an odds ratio θ between the two arms,
 * k1 has Fisher's noncentral hypergeometric distribution, whatever the block's own failure rate is:
 *
 *   P(k1; θ) = C(n1,k1) C(n0,k-k1) θ^k1 / Σj C(n1,j) C(n0,k-j) θ^j
 *
 * so LR(θ) = P(k1; θ) / P(k1; 1) has mean 1 when advice changes nothing, and at most 1 for θ > 1 when it does good.
 * Over blocks the product is a martingale, and so is its mean over several θ: that is the e-value. By Ville's
 * inequality it ever reaches 1/α with a probability of at most α, however often it is looked at.
 *
 *   worse  = mean over θ > 1 of Π LR(θ)    better = the same over θ < 1
 *
 * The interval has those θ that no e-value of 1/α speaks against: Π P(θ) > α · mean over all θ of Π P. It is always
 * valid too. Pure functions: any thread. */
#ifndef OBS_LEARN_PLAYBOOKS_UPLIFT_H
#define OBS_LEARN_PLAYBOOKS_UPLIFT_H

#include <stdint.h>

enum { OBS_UPLIFT_GRID = 33 }; /* odds ratios that are looked at; the middle one is 1 */

typedef struct {
  uint64_t trials, failures;
} obs_uplift_arm;

/* Zeroed: nothing is known. */
typedef struct {
  obs_uplift_arm advised, others;
  uint32_t blocks;                /* with both arms */
  double weight;                  /* Σ n1 n0 / (n1 + n0), Mantel and Haenszel's weights ... */
  double advised_sum, others_sum; /* ... and with them the arms' failure rates */
  double log_lr[OBS_UPLIFT_GRID]; /* ln Π LR(θ) */
} obs_uplift;

/* Takes a block. One without trials on both sides says nothing, and changes nothing. */
void obs_uplift_add(obs_uplift *u, obs_uplift_arm advised, obs_uplift_arm others);

/* ln of the e-values. */
double obs_uplift_worse(const obs_uplift *u);
double obs_uplift_better(const obs_uplift *u);

/* The failure rate's change in the same circumstances, and its 95 % interval; weight is above 0. */
typedef struct {
  double difference, low, high;
} obs_uplift_interval;
obs_uplift_interval obs_uplift_change(const obs_uplift *u);

#define OBS_UPLIFT_MISSED 0.05 /* how often an interval ever misses, at most */

/* e-BH: among n entries those are acted on whose e-value reaches n / (α k), where k is the largest number of which that
 * is true of k entries. Of those that are acted on at a look, at most a share of α is expected to be wrong, however the
 * entries hang together; of a single entry, the probability that it is ever wrong. */
#define OBS_UPLIFT_ALPHA 0.01
/* The ln of that least e-value; infinite when there is none. Sorts `log_e`. */
double obs_uplift_threshold(double *log_e, uint32_t n);

#endif
