/* A cluster that is new or has regressed goes out on the feed's topic `failure.cluster`. Commit thread; never waits. */
#ifndef OBS_OBSERVERD_LEARN_FEED_H
#define OBS_OBSERVERD_LEARN_FEED_H

#include "cluster/clusters.h"
#include "feed/feed.h"

void obs_learn_feed_cluster(obs_feed *feed, const obs_cluster_event *e);

#endif
