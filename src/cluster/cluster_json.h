/* A cluster as JSON: the form of the bridge's answers and of what is quoted to models and teams. */
#ifndef OBS_CLUSTER_CLUSTER_JSON_H
#define OBS_CLUSTER_CLUSTER_JSON_H

#include "base/json.h"
#include "cluster/clusters.h"

/* Writes it as an object. `whole`: with its corrections and former ids. */
void obs_cluster_view_json(obs_json_writer *w, const obs_cluster_view *x, bool whole);

/* A run of failures of one task as an object. */
void obs_repeat_view_json(obs_json_writer *w, const obs_repeat_view *x);

#endif
