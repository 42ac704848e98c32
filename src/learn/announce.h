/* Sends each new row of the learning loops to the feed, as it was written. */
#ifndef OBS_LEARN_ANNOUNCE_H
#define OBS_LEARN_ANNOUNCE_H

#include "base/str.h"

/* Puts a row, a JSON object, on the feed's topic. Any thread; never waits. fn NULL: there is no feed. */
typedef struct {
  void (*fn)(void *arg, const char *topic, obs_str row);
  void *arg;
} obs_announce;

/* `number` is from obs_records_append; `members` are the row's other members, or those of them that the feed gets. */
void obs_announce_row(const obs_announce *to, const char *topic, uint64_t number, obs_str members);

#endif
