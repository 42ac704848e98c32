/* What a daemon asks its fleet with. */
#ifndef OBS_FLEET_HANDS_H
#define OBS_FLEET_HANDS_H

#include "fleet/ask.h"
#include "fleet/query.h"
#include "fleet/rows.h"

typedef struct {
  obs_nats *nats;         /* for questions alone */
  obs_fleet_query *query; /* of the workers: what the stream has */
  obs_fleet_asker *asker; /* of edges and the leader: what only they know */
} obs_fleet_hands;

/* Tells the list which edges there are, and which of them answer. What cannot be known now is not told. */
void obs_fleet_hands_expect(const obs_fleet_hands *h, obs_fleet_rows *rows);

#endif
