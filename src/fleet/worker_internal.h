/* What the files of a worker share: worker.c (leases), fold.c (partitions that are held), sum.c (answers). */
#ifndef OBS_FLEET_WORKER_INTERNAL_H
#define OBS_FLEET_WORKER_INTERNAL_H

#include "fleet/checkpoint.h"
#include "fleet/lease.h"
#include "fleet/shared_pull.h"
#include "fleet/worker.h"

#include <pthread.h>
#include <stdatomic.h>

enum { OBS_FLEET_ASKERS = 64, OBS_FLEET_REPLY_MAX = 128, OBS_FLEET_HOLES = 8 };

/* Rows of an edge that were not there when those behind them came. */
typedef struct {
  uint64_t edge;               /* 0: none */
  uint64_t until;              /* seq up to which rows are missing */
  uint64_t after;              /* seq up to which they have come */
  uint64_t since_ms, asked_ms; /* when `after` has moved; when the edge was asked, 0: not yet */
} obs_fleet_hole;

/* A partition's thread: what it is to do, and its fold. */
typedef struct {
  obs_fleet_worker *w;
  uint32_t p;
  pthread_t thread;
  bool started;          /* by the lease thread, which joins it */
  bool finished;         /* under the worker's lock */
  obs_lease_value value; /* of the thread, once it runs */

  pthread_mutex_t lock; /* of `fold` as a pointer: who looks at it holds it */
  obs_partition *fold;  /* NULL: not loaded */
  _Atomic bool rebuilding;

  /* The thread's own. */
  bool shares;                  /* its messages come by the worker's shared pull, */
  obs_nats_pull *pull;          /* else by its own; NULL: none is open */
  uint64_t tail;                /* of the message that was folded last */
  uint64_t tail_seq;            /* its seq; 0: none */
  uint64_t tail_stream_id;      /* of its stream; these three stay when the partition is given up */
  uint64_t catch_up;            /* the partition's last seq in the stream when it was loaded; 0: not looked for */
  uint64_t local_seq, kept_seq; /* of the last checkpoints */
  uint64_t local_ms, kept_ms, local_bytes, kept_bytes;
  uint64_t cycle_ms, checked_ms, heard_ms, epoch;
  uint64_t took_ms; /* when a message was folded last */
  obs_fleet_hole holes[OBS_FLEET_HOLES];
  uint64_t ids;
  bool refused; /* a message was not taken: it is asked for again */
  bool alone;   /* a message has not come: until one does, it reads by itself */
  _Atomic uint64_t pending;
  _Atomic int64_t at_ms; /* while messages wait: when the last one that was folded was stored, by the server's clock */
} obs_fleet_part;

struct obs_fleet_worker {
  obs_fleet_worker_opts opts;
  obs_nats *nats;
  uint64_t id, run;
  int dir_fd; /* of partitions */
  obs_nats_kv *leases, *checkpoints, *fleet;
  _Atomic uint64_t stream_id;      /* of the fleet's stream; 0: not known yet */
  _Atomic uint64_t valid_until_ms; /* until when what is held may be folded */
  _Atomic uint64_t epoch;          /* grows with each connection */
  _Atomic int64_t clock_ms;        /* the server's clock less this machine's monotonic one, as last seen; 0: not yet */
  _Atomic bool stopping;
  _Atomic bool gives_up; /* no time is left for the bucket */
  _Atomic bool reread;   /* a write to the bucket of leases was refused: it is to be read again */

  pthread_mutex_t lock; /* of the lease machine, of `why`, and of the parts' ends */
  pthread_cond_t woken;
  obs_lease *lease;
  obs_fleet_part *parts;
  obs_shared_pull *shared;
  char why[256];               /* it is hindered; "": it is not */
  uint32_t loaded, from_first; /* partitions that have begun and were not told yet; with the stream's first message */

  /* The lease thread's own. */
  pthread_t lease_thread;
  bool lease_started;
  obs_nats_pull *watch;
  uint64_t bucket_id;   /* of the bucket of leases; 0: not known yet */
  uint64_t last_change; /* of it */
  uint64_t seen_ms;     /* when the own heartbeat was seen last */
  uint64_t read_epoch, prepared_epoch, prepared_ms;
  int64_t started_ms; /* wall clock */

  /* Those who have asked. */
  pthread_t sum_thread;
  bool sum_started;
  obs_nats_listener *listener;
  char asked[OBS_FLEET_ASKERS][OBS_FLEET_REPLY_MAX];
  uint32_t nasked;
  pthread_mutex_t asked_lock;
  pthread_cond_t asked_woken;

  _Atomic uint64_t messages, bytes, folded, duplicate, rejected, holes, poison, rewinds;
  _Atomic uint64_t local_checkpoints, kept_checkpoints, failed_checkpoints;
};

/* Whether this worker may fold and answer now. */
bool obs_fleet_worker_is_valid(obs_fleet_worker *w);
/* fold.c: the thread of a partition. */
void *obs_fleet_part_run(void *part);
/* sum.c */
observer_err obs_fleet_sum_start(obs_fleet_worker *w, char *error, size_t size);
void obs_fleet_sum_stop(obs_fleet_worker *w);

#endif
