/* Every command's table entry, defined in the file of its name. */
#ifndef OBS_OBSERVERCTL_COMMANDS_H
#define OBS_OBSERVERCTL_COMMANDS_H

#include "observerctl/cli/command.h"

extern const obs_command obs_ctl_pub, obs_ctl_run, obs_ctl_replay, obs_ctl_rejected, obs_ctl_demo;
extern const obs_command obs_ctl_stats, obs_ctl_summary, obs_ctl_ops, obs_ctl_clusters, obs_ctl_sessions;
extern const obs_command obs_ctl_analyses, obs_ctl_playbooks, obs_ctl_escalations, obs_ctl_advice, obs_ctl_review;
extern const obs_command obs_ctl_tail, obs_ctl_top;
extern const obs_command obs_ctl_check, obs_ctl_cluster, obs_ctl_doctor, obs_ctl_fields, obs_ctl_completion,
    obs_ctl_man;

#endif
