/* The fleet as one daemon of it shows it (GET /v1/observer/fleet): what it is itself, NATS, the stream, and who else is
 * there. Plain data, and its JSON. */
#ifndef OBS_FLEET_PICTURE_H
#define OBS_FLEET_PICTURE_H

#include "fleet/edge.h"
#include "fleet/roster.h"
#include "fleet/worker.h"

typedef struct {
  bool is_edge, is_worker, records; /* ops that come to itself */
  uint64_t edge_id, worker_id;      /* of this daemon */
  obs_edge_counts edge;             /* likewise */
  obs_fleet_worker_counts worker;   /* likewise */
  uint64_t linger_ms;
  char hindered[256]; /* why its part in the fleet keeps it from being ready; "": it does not */

  bool connected;
  char why[OBS_NATS_WHY_MAX]; /* it is not, or the roster could not be read */
  uint64_t away_ms;           /* for how long NATS has been away, where that is known; 0: it is there */
  obs_nats_server server;     /* version "": not known */
  bool has_roster;
  obs_roster roster;
} obs_fleet_picture;

/* The server acknowledges before it has synced to its disk: always before 2.10, later unless its sync_interval is
 * `always`, which the protocol does not tell. */
bool obs_fleet_always_lazy(const obs_nats_server *s);
/* It has not the fixes against lost messages of 2.10.27. */
bool obs_fleet_is_old(const obs_nats_server *s);

/* What is known of this daemon alone: also without the rest. */
void obs_fleet_picture_put_self(const obs_fleet_picture *p, const char *name, obs_json_writer *w);
void obs_fleet_picture_put(const obs_fleet_picture *p, obs_json_writer *w);
void obs_fleet_picture_fini(obs_fleet_picture *p);

#endif
