/* Who is told of what the learning loops find out: the feed. */
#ifndef OBS_LEARN_ANNOUNCE_H
#define OBS_LEARN_ANNOUNCE_H

#include <cjson/cJSON.h>

/* Puts a map on the feed's topic (feed.h); `fields` stays the caller's. Any thread; never waits. fn NULL: nobody. */
typedef struct {
  void (*fn)(void *arg, const char *topic, const cJSON *fields);
  void *arg;
} obs_announce;

#endif
