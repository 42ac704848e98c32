/* The bus's inside, shared by its own files: sockets and life (bus.c), messages on their way (receiver.c). */
#ifndef OBS_INTAKE_INTERNAL_H
#define OBS_INTAKE_INTERNAL_H

#include "base/url.h"
#include "intake/bus.h"

#include <nng/nng.h>
#include <pthread.h>

typedef struct obs_intake_receiver obs_intake_receiver;
typedef struct obs_intake_port obs_intake_port;

/* A message on its way. The batch comes first: `done` gets its address. */
typedef struct obs_intake_message {
  obs_batch batch;
  nng_msg *msg;
  obs_intake_receiver *receiver;
  struct obs_intake_message *next;
} obs_intake_message;

typedef enum {
  OBS_INTAKE_IDLE,
  OBS_INTAKE_RECEIVING,
  OBS_INTAKE_PAUSED,
  OBS_INTAKE_COMMITTING,
  OBS_INTAKE_SENDING
} obs_intake_state;

/* One receive at a time: the whole socket for PULL and SUB, one context for REP. `state` is guarded by bus->lock. */
struct obs_intake_receiver {
  obs_bus *bus;
  obs_intake_port *port;
  nng_ctx ctx;
  bool ctx_open;
  nng_aio *aio;
  obs_intake_state state;
};

/* A socket with its receivers. */
struct obs_intake_port {
  obs_transport transport;
  nng_socket socket;
  bool open;
  obs_intake_receiver *receivers;
  uint32_t nreceivers;
  char (*urls)[OBS_URL_MAX];
  size_t nurls;
};

struct obs_bus {
  obs_bus_opts opts;
  obs_intake_port ports[3];
  pthread_mutex_t lock; /* receiver states, the pool, stopping */
  pthread_cond_t idle;
  obs_intake_message *pool;
  uint32_t pooled;
  bool stopping;
};

/* The completion of a receiver's aio: a message has come or an answer has gone. NNG's threads. */
void obs_receiver_done(void *receiver);
/* Receives the next message, unless the bus is stopping. Any thread. */
void obs_receiver_next(obs_intake_receiver *r);
/* The receiver's state must be OBS_INTAKE_RECEIVING. */
void obs_receiver_receive(obs_intake_receiver *r);
void obs_receiver_message_free(obs_intake_message *m);

#endif
