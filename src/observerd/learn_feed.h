/* What is learned goes out on the feed: clusters, and the maps of the learning loops. Any thread; never waits. */
#ifndef OBS_OBSERVERD_LEARN_FEED_H
#define OBS_OBSERVERD_LEARN_FEED_H

#include "cluster/clusters.h"
#include "feed/feed.h"

#include <cjson/cJSON.h>

void obs_learn_feed_cluster(obs_feed *feed, const obs_cluster_event *e);
/* A map as it is; numbers without a fraction go out as integers. `feed` is the obs_feed (publish.h). */
void obs_learn_feed_map(void *feed, const char *topic, const cJSON *fields);

#endif
