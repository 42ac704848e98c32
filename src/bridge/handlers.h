/* What the routes do, and their parameters. The contract of each kind is in route.h. */
#ifndef OBS_BRIDGE_HANDLERS_H
#define OBS_BRIDGE_HANDLERS_H

#include "bridge/params.h"

struct obs_connection;

/* views.c */
bool obs_bridge_get_health(struct obs_connection *s, const void *filter);
bool obs_bridge_get_stats(struct obs_connection *s, const void *filter);
bool obs_bridge_get_livez(struct obs_connection *s, const void *filter);
bool obs_bridge_get_readyz(struct obs_connection *s, const void *filter);
bool obs_bridge_get_sessions_stats(struct obs_connection *s, const void *filter);
bool obs_bridge_get_advice(struct obs_connection *s, const void *filter);
void obs_bridge_get_summary(struct obs_connection *s, const void *filter);
void obs_bridge_get_clusters(struct obs_connection *s, const void *filter);
void obs_bridge_get_cluster(struct obs_connection *s, const void *filter);
/* Any loop's list, and one of its rows. */
void obs_bridge_get_page(struct obs_connection *s, const void *filter);
void obs_bridge_get_one(struct obs_connection *s, const void *filter);
extern const obs_params obs_bridge_summary_params, obs_bridge_advice_params, obs_bridge_clusters_params,
    obs_bridge_analyses_params, obs_bridge_playbooks_params, obs_bridge_escalations_params;

/* scan.c */
void obs_bridge_get_ops(struct obs_connection *s, const void *filter);
void obs_bridge_get_sessions(struct obs_connection *s, const void *filter);
extern const obs_params obs_bridge_ops_params, obs_bridge_sessions_params;

/* post.c */
bool obs_bridge_post_event(struct obs_connection *s, const void *filter);
bool obs_bridge_post_session(struct obs_connection *s, const void *filter);
void obs_bridge_finish_post(struct obs_connection *s);

/* review.c */
void obs_bridge_post_review(struct obs_connection *s, const void *filter);
void obs_bridge_finish_review(struct obs_connection *s);
bool obs_bridge_get_review(struct obs_connection *s, const void *filter);

#endif
