/* The leader of a fleet (proto/fleet.md): where the worker's turn comes (fleet/worker.h), a second pipeline in this
 * process, which learns from what all edges record, and alone asks models and teams and tells receivers and the
 * gateway.
 *
 * It is a daemon (daemon.h) of a configuration that is derived from the process's own: its directory is
 * DATA_DIR/leader, it has no bus and no feed, and HTTP on the Unix socket DATA_DIR/leader.sock alone, over which it
 * answers for observer.ask.leader (fleet/ask.h). What it records comes from the stream (fleet/leader.h). Its directory
 * is archived in the bucket (fleet/archive.h): when something was learned, before a question that is asked once or a
 * message leaves, each minute, and when it is given up. Who leads next goes on with that.
 *
 * Whoever does not lead any more, for whatever reason, sends nothing: before each call and message it is asked whether
 * it does (obs_leader_admit), and its archive is refused.
 *
 * Threads: `obs:leader` opens, feeds, archives and stops the pipeline; obs_leader_admit on those of the pipeline that
 *   tell others. Memory: that of a second daemon while it leads.
 * Failure: a pipeline that cannot start is tried again, by another worker first where there is one; /readyz says why.
 */
#ifndef OBS_OBSERVERD_LEADER_H
#define OBS_OBSERVERD_LEADER_H

#include "fleet/leader.h"
#include "nats/jetstream.h"
#include "observerd/config.h"

typedef struct obs_leader obs_leader;

typedef struct {
  const obs_config *config; /* the process's; it, and what follows, outlive the leader */
  obs_fleet_worker *worker;
  obs_nats_opts nats; /* of its connections */
  uint32_t partitions;
} obs_leader_opts;

observer_err obs_leader_open(const obs_leader_opts *opts, obs_leader **out);
/* Begins to give up what it leads; returns at once. */
void obs_leader_begin_stop(obs_leader *l);
/* Gives it up, with a last archive. NULL is allowed. */
void obs_leader_close(obs_leader *l);

/* Rules are to be read again. Any thread. */
void obs_leader_reload(obs_leader *l);
/* Whether something may leave now. `once`: it must never leave again, so it is archived first that it was begun, which
 * takes a moment. False: this is not the leader any more. On the pipeline's threads that may wait. */
bool obs_leader_admit(void *leader, bool once);
/* Of the pipeline's bridge. */
const char *obs_leader_socket(const obs_leader *l);
/* Any thread; brief. */
void obs_leader_get_counts(obs_leader *l, obs_leader_counts *out);
/* Why the pipeline cannot start; false: it does, or has no turn. Any thread; brief. */
bool obs_leader_is_hindered(obs_leader *l, char *why, size_t size);

#endif
