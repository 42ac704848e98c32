/* Plans: what a kind of day makes of the plain fleet. causes.c: causes in a fleet like any other. fleets.c: fleets that
 * are special, with a cause when the kind names attributes, and without one else. plants.c: what both plant with. */
#ifndef TESTS_DAYS_PLANS_H
#define TESTS_DAYS_PLANS_H

#include "kinds.h"

#define DAYS_PLANS(X)                                                                                                  \
  X(one_value)                                                                                                         \
  X(one_run)                                                                                                           \
  X(together)                                                                                                          \
  X(onset)                                                                                                             \
  X(few_endpoints)                                                                                                     \
  X(recovered)                                                                                                         \
  X(flapping)                                                                                                          \
  X(grows)                                                                                                             \
  X(everything)                                                                                                        \
  X(deployed)                                                                                                          \
  X(corrected)                                                                                                         \
  X(helped)                                                                                                            \
  X(slow)                                                                                                              \
  X(several)                                                                                                           \
  X(several_since)                                                                                                     \
  X(limit_then_outage)                                                                                                 \
  X(outage_then_limit)                                                                                                 \
  X(load_limit)                                                                                                        \
  X(nested)                                                                                                            \
  X(threshold)                                                                                                         \
  X(absence)                                                                                                           \
  X(tokens)                                                                                                            \
  X(absence_elsewhere)                                                                                                 \
  X(clockwork)                                                                                                         \
  X(independent)                                                                                                       \
  X(share_and_onset)                                                                                                   \
  X(two_outages)                                                                                                       \
  X(rare)                                                                                                              \
  X(one_cluster)                                                                                                       \
  X(loud)                                                                                                              \
  X(silent)                                                                                                            \
  X(dead)                                                                                                              \
  X(weak)                                                                                                              \
  X(mixed)                                                                                                             \
  X(just_now)                                                                                                          \
  X(range)                                                                                                             \
  X(two_pairs)                                                                                                         \
  X(down_twice)                                                                                                        \
  X(quota)                                                                                                             \
  X(bot)                                                                                                               \
  X(outcome_field)                                                                                                     \
  X(simpson_hidden)                                                                                                    \
  X(simpson_blame)                                                                                                     \
  X(young)                                                                                                             \
  X(fleet)                                                                                                             \
  X(lonely)                                                                                                            \
  X(giant)                                                                                                             \
  X(met)                                                                                                               \
  X(chained)                                                                                                           \
  X(handed_on)                                                                                                         \
  X(storm)                                                                                                             \
  X(late_spool)                                                                                                        \
  X(skewed)                                                                                                            \
  X(rhythm)                                                                                                            \
  X(long_name)                                                                                                         \
  X(crowd)                                                                                                             \
  X(rollout)                                                                                                           \
  X(mirror)                                                                                                            \
  X(plain)                                                                                                             \
  X(big)                                                                                                               \
  X(unequal)                                                                                                           \
  X(overdispersed)                                                                                                     \
  X(bursts)                                                                                                            \
  X(sampled)                                                                                                           \
  X(only_chains)                                                                                                       \
  X(healing)                                                                                                           \
  X(chatter)                                                                                                           \
  X(backfill)                                                                                                          \
  X(shift)                                                                                                             \
  X(newcomers)                                                                                                         \
  X(busy)                                                                                                              \
  X(chained_onset)                                                                                                     \
  X(chained_pair)                                                                                                      \
  X(week)                                                                                                              \
  X(odd_names)                                                                                                         \
  X(overflow)                                                                                                          \
  X(skewed_and_late)                                                                                                   \
  X(bare)                                                                                                              \
  X(small)                                                                                                             \
  X(tenth)                                                                                                             \
  X(near)                                                                                                              \
  X(no_failures)

#define DAYS_PLAN(name) void days_plan_##name(days_world *w, const days_kind *k);
DAYS_PLANS(DAYS_PLAN)
#undef DAYS_PLAN

enum { DAYS_ENOUGH = 250 };

/* One more plant, of every op so far. */
days_plant *days_plant_new(days_world *w, double rate, days_error error);
/* One more condition, to be filled. */
days_cond *days_plant_cond(days_plant *p, days_attr attr);
/* One more condition: this value. */
void days_plant_is(days_plant *p, days_attr attr, int32_t value);
/* One more condition for each attribute: values of them that come together in at least `least` ops. */
void days_plant_are(days_world *w, days_plant *p, const days_attr *attrs, int n, int least);
/* A plant of one value, in DAYS_ENOUGH ops. */
days_plant *days_plant_one(days_world *w, days_attr attr, double rate, days_error error);

#endif
