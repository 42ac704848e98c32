/* The feed is told of what the learning loops find out: of each new row, as it was written. */
#ifndef OBS_LEARN_ANNOUNCE_H
#define OBS_LEARN_ANNOUNCE_H

#include "base/str.h"

/* Puts a row, a JSON object, on the feed's topic. Any thread; never waits. fn NULL: nobody is told. */
typedef struct {
  void (*fn)(void *arg, const char *topic, obs_str row);
  void *arg;
} obs_announce;

/* Of the row that obs_records_append numbered; `members` are its other members, or those of them that are told. */
void obs_announce_row(const obs_announce *to, const char *topic, uint64_t number, obs_str members);

#endif
