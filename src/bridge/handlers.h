/* What the routes do. The contract of each kind is in route.h. */
#ifndef OBS_BRIDGE_HANDLERS_H
#define OBS_BRIDGE_HANDLERS_H

#include "bridge/core.h"

bool obs_handle_health(obs_session *s);
bool obs_handle_stats(obs_session *s);
bool obs_handle_livez(obs_session *s);
bool obs_handle_readyz(obs_session *s);

bool obs_handle_event(obs_session *s);
bool obs_handle_session(obs_session *s);
void obs_finish_event(obs_session *s);

void obs_work_summary(obs_session *s, obs_batch *rows);
void obs_work_ops(obs_session *s, obs_batch *rows);
/* False, with the error made, when the daemon keeps no session records. */
bool obs_have_sessions(obs_session *s);
void obs_work_sessions(obs_session *s, obs_batch *rows);
bool obs_handle_sessions_stats(obs_session *s);

void obs_work_clusters(obs_session *s, obs_batch *rows);
void obs_work_cluster(obs_session *s, obs_batch *rows);

void obs_work_analyses(obs_session *s, obs_batch *rows);
void obs_work_analysis(obs_session *s, obs_batch *rows);
void obs_work_playbooks(obs_session *s, obs_batch *rows);
void obs_work_playbook(obs_session *s, obs_batch *rows);
void obs_work_escalations(obs_session *s, obs_batch *rows);
bool obs_handle_advice(obs_session *s);

void obs_work_review(obs_session *s, obs_batch *rows);
void obs_finish_review(obs_session *s);
bool obs_handle_review(obs_session *s);

#endif
