#include "observerctl/follow/gaps.h"

#include <stdlib.h>

enum { TOPICS_MAX = 1000 };

struct obs_gap_topic {
  char *name;
  uint32_t len;
  uint64_t last; /* 0: none of this boot */
  bool fresh;    /* came since the last heartbeat */
};

void obs_gaps_fini(obs_gaps *g) {
  for (size_t i = 0; i < g->ntopics; i++) free(g->topics[i].name);
  free(g->topics);
  *g = (obs_gaps){0};
}

void obs_gaps_seen(obs_gaps *g, obs_str topic, uint64_t topic_seq) {
  if (topic_seq == 0) return;
  for (size_t i = 0; i < g->ntopics; i++) {
    if (!obs_str_eq((obs_str){g->topics[i].name, g->topics[i].len, 0}, topic)) continue;
    obs_gap_topic found = g->topics[i];
    /* Back, or the same number again: another daemon, which counts from 1. */
    g->missed += topic_seq > found.last ? topic_seq - found.last - 1 : topic_seq - 1;
    found.last = topic_seq;
    found.fresh = true;
    memmove(&g->topics[1], &g->topics[0], i * sizeof(found)); /* to the front: few are busy */
    g->topics[0] = found;
    return;
  }
  if (g->topics == NULL) g->topics = calloc(TOPICS_MAX, sizeof(*g->topics));
  if (g->topics == NULL || g->ntopics == TOPICS_MAX) return;
  char *name = malloc(topic.len + 1);
  if (name == NULL) return;
  memcpy(name, topic.p, topic.len);
  g->topics[g->ntopics++] = (obs_gap_topic){name, topic.len, topic_seq, true};
  if (g->booted_since) g->missed += topic_seq - 1;
}

bool obs_gaps_heartbeat(obs_gaps *g, uint64_t boot) {
  bool other = g->boot != 0 && boot != g->boot;
  for (size_t i = 0; i < g->ntopics; i++) {
    if (other && !g->topics[i].fresh) g->topics[i].last = 0;
    g->topics[i].fresh = false;
  }
  if (other) g->booted_since = true;
  g->boot = boot;
  return other;
}

uint64_t obs_gaps_take(obs_gaps *g) {
  uint64_t n = g->missed;
  g->missed = 0;
  return n;
}
