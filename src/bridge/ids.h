/* Ids in requests: whole, or their first digits where these tell which is meant, as git takes them.
 *
 * What begins several ids is 400 with those as `candidates`; what begins none is 404 in the path, 400 as a parameter. A
 * whole id is taken as it is: what it was of may be kept no longer. On the thread of the route. */
#ifndef OBS_BRIDGE_IDS_H
#define OBS_BRIDGE_IDS_H

#include "bridge/connection.h"

enum { OBS_IDS_CANDIDATES = 8 /* that an answer names */ };

/* The id in the path, into `s->id`. False: answered. */
bool obs_ids_take_part(obs_connection *s);
/* Makes the ids of clusters in the filter whole. False: answered. */
bool obs_ids_take_params(obs_connection *s, const obs_params *params, void *filter);

/* What routes' rows name (route.h). */
uint32_t obs_ids_of_clusters(obs_connection *s, const obs_hex_range *r, uint64_t *out, uint32_t max);
uint32_t obs_ids_of_loop(obs_connection *s, const obs_hex_range *r, uint64_t *out, uint32_t max);

#endif
