/* What the routes do. The contract of each kind is in route.h. */
#ifndef OBS_BRIDGE_HANDLERS_H
#define OBS_BRIDGE_HANDLERS_H

#include "bridge/internal.h"

bool obs_handle_health(obs_connection *s);
bool obs_handle_stats(obs_connection *s);
bool obs_handle_livez(obs_connection *s);
bool obs_handle_readyz(obs_connection *s);

bool obs_handle_event(obs_connection *s);
bool obs_handle_session(obs_connection *s);
void obs_finish_event(obs_connection *s);

void obs_work_summary(obs_connection *s, obs_batch *rows);
void obs_work_ops(obs_connection *s, obs_batch *rows);
/* False, with the error made, when the daemon keeps no session records. */
bool obs_have_sessions(obs_connection *s);
void obs_work_sessions(obs_connection *s, obs_batch *rows);
bool obs_handle_sessions_stats(obs_connection *s);

void obs_work_clusters(obs_connection *s, obs_batch *rows);
void obs_work_cluster(obs_connection *s, obs_batch *rows);

void obs_work_analyses(obs_connection *s, obs_batch *rows);
void obs_work_analysis(obs_connection *s, obs_batch *rows);
void obs_work_playbooks(obs_connection *s, obs_batch *rows);
void obs_work_playbook(obs_connection *s, obs_batch *rows);
void obs_work_escalations(obs_connection *s, obs_batch *rows);
bool obs_handle_advice(obs_connection *s);

void obs_work_review(obs_connection *s, obs_batch *rows);
void obs_finish_review(obs_connection *s);
bool obs_handle_review(obs_connection *s);

#endif
