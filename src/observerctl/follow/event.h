/* Events of the feed, beside ops, as lines for a person:
 *
 *   09:53:35.122 new        no roster for city <*> at scenario:fill, 1 failure (observerctl clusters 06aa676d)
 *   09:53:38.004 analysis   24 of 24 ops with city "Toledo" failed this way (100 %) ... (observerctl analyses 7)
 *
 * What an event holds never acts on the terminal (cli/text.h). */
#ifndef OBS_OBSERVERCTL_EVENT_H
#define OBS_OBSERVERCTL_EVENT_H

#include "observerctl/cli/line.h"

/* Appends the event in as many lines as it takes in the look's columns, without the last newline. `map`: the message.
 * False: the topic is none that is known here, and nothing was appended. */
bool obs_event_put(obs_buf *out, obs_str topic, const cJSON *map, const obs_line_look *look);

#endif
