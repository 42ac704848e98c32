/* What the feed says of failure clusters: the topic `failure.cluster` (proto/clusters.md). */
#ifndef OBS_OBSERVERD_CLUSTER_FEED_H
#define OBS_OBSERVERD_CLUSTER_FEED_H

#include "cluster/clusters.h"
#include "feed/feed.h"

/* Never waits; what the feed drops, it counts. */
void obs_cluster_feed_publish(obs_feed *feed, const obs_cluster_event *e);

#endif
