/* Learning: the loops that make the record useful. Nothing here ever waits where recording does.
 *
 *   each cycle, on the thread `obs:learn`:  corrections (tail.h) -> analyses -> advice
 *   every OBS_PLAYBOOK_CYCLES cycles:       playbooks
 *   after the analyses, on `obs:escalate`:  escalations; a team takes minutes to answer
 *   on the thread `obs:review`:             reviews that a model decides
 *   on the commit thread:                   the facts (facts.h) and the tail's cursor follow what is recorded
 *
 * `obs:learn` and `obs:escalate` run at a low priority. A cycle that still runs when the next one is due makes that one
 * wait; of several that are due one is run, the others are counted as missed. Every outgoing call goes through one
 * obs_calls. Owner: the daemon. Open before recovery (followers), start when commit and feed run, stop before commit
 * stops. */
#ifndef OBS_LEARN_LEARN_H
#define OBS_LEARN_LEARN_H

#include "learn/advice/advice.h"
#include "learn/analyses/analyses.h"
#include "learn/corrections/corrections_file.h"
#include "learn/escalations/escalations.h"
#include "learn/playbooks/playbooks.h"
#include "learn/reviews/reviews.h"

typedef struct obs_learn obs_learn;

typedef struct {
  const char *dir; /* NULL: ephemeral */
  obs_state *state;
  obs_journal *journal; /* NULL: ephemeral */
  obs_clusters *clusters;
  obs_op_limits limits;
  const char *corrections_path, *gateway_url, *team_url; /* NULL: none */
  /* The model; url NULL: builtin. `calls` is set here. */
  obs_llm_opts model;
  obs_calls_opts calls;
  uint32_t escalate_failures, escalate_window_s, escalate_cooldown_s, escalate_per_hour;
  uint32_t playbook_cycles; /* default OBS_PLAYBOOK_CYCLES */
  obs_publish publish;
} obs_learn_opts;

/* Opens all stores and folds what they hold. `error_text` names the file or option and the reason. */
observer_err obs_learn_open(const obs_learn_opts *opts, obs_learn **out, char *error_text, size_t error_size);
/* Its followers of commit: appended to `list`, of which *n are used. */
void obs_learn_followers(obs_learn *l, obs_follower *list, uint32_t *n);
observer_err obs_learn_start(obs_learn *l, obs_commit *commit);
/* A cycle is due. Any thread; returns at once. */
void obs_learn_cycle(obs_learn *l);
/* A cluster is new or has regressed: advice is built again soon. Commit thread. */
void obs_learn_stir(obs_learn *l);
/* Ends calls, cycle and reviews, joins. */
void obs_learn_stop(obs_learn *l);
/* NULL is allowed. */
void obs_learn_close(obs_learn *l);

/* For the bridge and the bus. */
obs_analyses *obs_learn_analyses(obs_learn *l);
obs_playbooks *obs_learn_playbooks(obs_learn *l);
obs_escalations *obs_learn_escalations(obs_learn *l);
obs_reviews *obs_learn_reviews(obs_learn *l);
obs_advice *obs_learn_advice(obs_learn *l);
/* Appends `,"learn":{...}` for /health: backend, cycles, missed, tail, calls, counts of rows. NNG's threads; brief. */
void obs_learn_describe(obs_learn *l, obs_buf *out);

#endif
