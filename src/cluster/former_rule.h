/* The rule of version 1 by which a failure had its cluster's id. Only for ids that were given out (former.h): it is as
 * it was, and changes no more. Pure functions. */
#ifndef OBS_CLUSTER_FORMER_RULE_H
#define OBS_CLUSTER_FORMER_RULE_H

#include "op/op.h"

/* The cluster of a sig_hash. */
uint64_t obs_former_rule_sig(obs_str sig_hash);
/* The failures of one endpoint and event_kind. */
uint64_t obs_former_rule_scope(const obs_op *op);
/* The cluster of a failure's text in its scope, when it was the first of its form. */
uint64_t obs_former_rule_form(const obs_op *op, uint64_t scope);
uint64_t obs_former_rule_mix(uint64_t h, uint64_t v);

#endif
