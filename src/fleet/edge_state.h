/* What an edge keeps in the data directory: who it is (`edge`), and how far it is (`forward`). */
#ifndef OBS_FLEET_EDGE_STATE_H
#define OBS_FLEET_EDGE_STATE_H

#include "fleet/positions.h"

typedef struct {
  uint64_t edge;
  uint64_t stream_id;                       /* of the stream; 0: not seen yet */
  uint64_t low;                             /* every row up to it is in the stream */
  obs_position known[OBS_FLEET_PARTITIONS]; /* of each partition the last one that is in the stream */
} obs_edge_state;

/* Reads both, or makes them. A journal whose next row has a seq that was forwarded before has begun anew: then so does
 * the edge. What `forward` says is taken if it is whole, else it begins at 0. `error`: which file cannot be read or
 * written. */
observer_err obs_edge_state_load(obs_edge_state *s, const char *dir, uint64_t next_seq, char *error, size_t size);
/* Writes `forward`; what fails is logged, and tried again with the next change. */
void obs_edge_state_save(const obs_edge_state *s, const char *dir);

#endif
