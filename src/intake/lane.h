/* The bus's inside, shared by its own files: sockets and life (bus.c), messages on their way (lane.c). */
#ifndef OBS_INTAKE_LANE_H
#define OBS_INTAKE_LANE_H

#include "base/url.h"
#include "intake/bus.h"

#include <nng/nng.h>
#include <pthread.h>

typedef struct obs_lane obs_lane;
typedef struct obs_port obs_port;

/* A message on its way. The batch comes first: `done` gets its address. */
typedef struct obs_parcel {
  obs_batch batch;
  nng_msg *msg;
  obs_lane *lane;
  struct obs_parcel *next;
} obs_parcel;

typedef enum {
  OBS_LANE_IDLE,
  OBS_LANE_RECEIVING,
  OBS_LANE_PAUSED,
  OBS_LANE_COMMITTING,
  OBS_LANE_SENDING
} obs_lane_state;

/* One receive at a time: the whole socket for PULL and SUB, one context for REP. `state` is guarded by bus->lock. */
struct obs_lane {
  obs_bus *bus;
  obs_port *port;
  nng_ctx ctx;
  bool ctx_open;
  nng_aio *aio;
  obs_lane_state state;
};

/* A socket with its lanes. */
struct obs_port {
  obs_transport transport;
  nng_socket socket;
  bool open;
  obs_lane *lanes;
  uint32_t nlanes;
  char (*urls)[OBS_URL_MAX];
  size_t nurls;
};

struct obs_bus {
  obs_bus_opts opts;
  obs_port ports[3];
  pthread_mutex_t lock; /* lane states, the pool, stopping */
  pthread_cond_t idle;
  obs_parcel *pool;
  uint32_t pooled;
  bool stopping;
};

/* The completion of a lane's aio: a message has come or an answer has gone. NNG's threads. */
void obs_lane_done(void *lane);
/* Receives the next message, unless the bus is stopping. Any thread. */
void obs_lane_next(obs_lane *l);
/* The lane's state must be OBS_LANE_RECEIVING. */
void obs_lane_receive(obs_lane *l);
void obs_parcel_free(obs_parcel *p);

#endif
