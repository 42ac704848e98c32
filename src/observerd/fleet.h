/* What a daemon does in a fleet: with --forward it is an edge (fleet/edge.h), with --jetstream a
 * worker (fleet/worker.h), and with either it can be asked for all of it (fleet/query.h). One file so that the daemon
 * itself knows no roles. */
#ifndef OBS_OBSERVERD_FLEET_H
#define OBS_OBSERVERD_FLEET_H

#include "commit/commit.h"
#include "fleet/hands.h"
#include "fleet/leader.h"
#include "fleet/picture.h"
#include "observerd/config.h"

typedef struct obs_fleet obs_fleet;

/* Whether what the configuration says of the fleet goes together. False: `error` got a line for each fault. */
bool obs_fleet_check(const obs_config *c, obs_buf *error);

/* Why a daemon of this configuration records nothing; NULL: it does. A worker without a bus of its own has only ops of
 * the stream: what was posted to it, nobody would forward. */
const char *obs_fleet_refuses(const obs_config *c);

/* NULL in *out: the daemon is alone. `journal` is replayed. */
observer_err obs_fleet_open(const obs_config *c, obs_journal *journal, obs_commit *commit, obs_fleet **out, char *error,
                            size_t size);
/* All take NULL. */
observer_err obs_fleet_start(obs_fleet *f);
void obs_fleet_recorded(obs_fleet *f);
/* Files that can change while it runs are to be read again. */
void obs_fleet_reload(obs_fleet *f);
/* What takes its time begins to stop; returns at once. */
void obs_fleet_begin_stop(obs_fleet *f);
/* Where the bridge listens for what the fleet asks of an edge; NULL: nowhere. */
const char *obs_fleet_socket(const obs_fleet *f);
/* Main: sees to it that an edge answers, once the bridge listens there, and about once a second; and before the bridge
 * stops. */
void obs_fleet_tend_answers(obs_fleet *f);
void obs_fleet_end_answers(obs_fleet *f);
/* After the commit has stopped: what was recorded is forwarded, for at most `ms`. */
void obs_fleet_stop(obs_fleet *f, uint32_t ms);
void obs_fleet_close(obs_fleet *f);
/* NULL: it is none. */
obs_edge *obs_fleet_edge(obs_fleet *f);
/* False: it is no worker, or NATS refuses it. */
bool obs_fleet_get_worker_counts(obs_fleet *f, obs_fleet_worker_counts *out);
/* Of the leader's pipeline; zero where there is none. */
void obs_fleet_get_leader(obs_fleet *f, obs_leader_counts *out);
/* Since the start. Any thread; brief. */
void obs_fleet_get_ask_counts(obs_fleet *f, obs_fleet_asker_counts *asked, obs_fleet_answerer_counts *answered);
/* What the fleet is asked with, until release; false: NATS refuses this daemon. Any thread, several at a time; may wait
 * for a connection. */
bool obs_fleet_hold(obs_fleet *f, obs_fleet_hands *out);
void obs_fleet_release(obs_fleet *f);
/* The fleet as it is now, or what is known of it. From one thread; the caller ends *out. */
void obs_fleet_look(obs_fleet *f, obs_fleet_picture *out);
/* What this daemon is in it, as a JSON object; nothing when it is alone. Any thread; brief. */
void obs_fleet_put_self(obs_fleet *f, obs_buf *out);
/* Why its part in the fleet keeps it from being ready; false: it does not. */
bool obs_fleet_is_hindered(obs_fleet *f, char *why, size_t size);

#endif
