/* A cluster as JSON: the form of the bridge's answers and of what is quoted to models and teams. */
#ifndef OBS_CLUSTER_CLUSTER_JSON_H
#define OBS_CLUSTER_CLUSTER_JSON_H

#include "base/json.h"
#include "cluster/clusters.h"

/* BRIEF: without what may be long (sessions, sig_hashes, places). WHOLE: with its corrections and former ids, too. */
typedef enum { OBS_CLUSTER_BRIEF, OBS_CLUSTER_ROW, OBS_CLUSTER_WHOLE } obs_cluster_form;

/* Writes it as an object. */
void obs_cluster_view_json(obs_json_writer *w, const obs_cluster_view *x, obs_cluster_form form);
/* Its members alone. */
void obs_cluster_members_json(obs_json_writer *w, const obs_cluster_view *x, obs_cluster_form form);

/* A run of failures of one task as an object. */
void obs_repeat_view_json(obs_json_writer *w, const obs_repeat_view *x);

#endif
