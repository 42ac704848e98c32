/* How much of the feed was missed: each message is numbered by topic since the daemon's start (feed/feed.h), so a jump
 * is what was dropped. Counts are reported once a heartbeat, because only that shows whether the daemon was restarted.
 */
#ifndef OBS_OBSERVERCTL_GAPS_H
#define OBS_OBSERVERCTL_GAPS_H

#include "base/buf.h"

typedef struct obs_gap_topic obs_gap_topic;

typedef struct {
  obs_gap_topic *topics;
  size_t ntopics;
  uint64_t boot;     /* of the daemon; 0: not heard yet */
  bool booted_since; /* it was restarted while this listened: its numbers are known from 1 */
  uint64_t missed;   /* not reported yet */
} obs_gaps;

void obs_gaps_fini(obs_gaps *g);
/* A message of a topic came. Topics beyond 1,000 are not watched. */
void obs_gaps_seen(obs_gaps *g, obs_str topic, uint64_t topic_seq);
/* A heartbeat came. True: the daemon is another one than before. */
bool obs_gaps_heartbeat(obs_gaps *g, uint64_t boot);
/* How many ops were missed since the last call. */
uint64_t obs_gaps_take(obs_gaps *g);

#endif
