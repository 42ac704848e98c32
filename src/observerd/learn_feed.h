/* What is learned goes out on the feed: clusters, and the maps of the learning loops. Any thread; never waits. */
#ifndef OBS_OBSERVERD_LEARN_FEED_H
#define OBS_OBSERVERD_LEARN_FEED_H

#include "cluster/clusters.h"
#include "feed/feed.h"

void obs_learn_feed_cluster(obs_feed *feed, const obs_cluster_event *e);
/* A row, a JSON object, as a map; numbers without a fraction go out as integers. */
void obs_learn_feed_row(obs_feed *feed, const char *topic, obs_str row);

#endif
