/* The bus's inside: sources (bus.c has their table), and messages on their way (message.c). */
#ifndef OBS_INTAKE_INTERNAL_H
#define OBS_INTAKE_INTERNAL_H

#include "intake/bus.h"

#include <pthread.h>

/* ---- sources: where messages come from ---- */

typedef struct {
  const char *name;
  bool (*takes)(const obs_address *at); /* whether this URL is one of its own */
  /* Binds or dials all of them, for one socket; receives nothing yet. `at` does not outlive the call. `text`: which and
   * why not. */
  observer_err (*open)(obs_bus *bus, obs_transport transport, const obs_address *at, uint32_t n, void **source,
                       char *text, size_t size);
  void (*start)(void *source);
  void (*room)(void *source); /* the queue has room again; any thread */
  void (*stop)(void *source); /* takes no more; returns when none is being taken */
  /* Of what listens; NULL: nothing does. */
  void (*counts)(void *source, obs_sp_counts *out);
  void (*probe)(void *source);         /* as obs_stream_server_probe */
  const char *(*silent)(void *source); /* as obs_stream_server_silent */
  /* Waits until the last answers are sent, at most until `until` (monotonic ms); closes, frees. NULL is allowed. */
  void (*close)(void *source, uint64_t until);
  void (*urls)(const void *source, void (*fn)(void *arg, const char *kind, const char *url), void *arg);
} obs_intake_source;

extern const obs_intake_source obs_intake_streams, obs_intake_nng;

struct obs_bus {
  obs_bus_opts opts;
  struct {
    const obs_intake_source *source;
    obs_transport transport;
    void *own;
  } * open;
  uint32_t nopen;
  struct obs_intake_pool *pool;
};

/* ---- messages ---- */

enum { OBS_INTAKE_WAY_MAX = (OBS_SP_HOPS + 1) * OBS_SP_WORD };

/* A batch on its way. The batch comes first: `done` gets its address. */
typedef struct obs_intake_message obs_intake_message;
struct obs_intake_message {
  obs_batch batch;
  obs_bus *bus;
  obs_buf bytes; /* what the batch points into, when they are its own */
  /* The source's. */
  void *from, *foreign;
  uint8_t way[OBS_INTAKE_WAY_MAX]; /* of a request: what its answer begins with */
  uint8_t way_bytes;
  size_t promised;
  obs_intake_message *next;
};

observer_err obs_intake_pool_open(struct obs_intake_pool **out);
void obs_intake_pool_close(struct obs_intake_pool *pool);
/* NULL: no memory, which is logged and counted as `messages` lost ones of the transport. */
obs_intake_message *obs_intake_message_new(obs_bus *bus, obs_transport transport, uint32_t messages);
void obs_intake_message_free(obs_intake_message *m);
/* Makes its batch ready for messages in `data`, of that connection (obs_batch.producer) and peer (obs_batch.identity),
 * whose `done` gets it back. */
void obs_intake_message_begin(obs_intake_message *m, obs_transport transport, uint64_t producer,
                              const obs_identity *identity, const void *data, size_t size, void (*done)(obs_batch *b));
/* The same as decoded by now_ms, for each message. */
void obs_intake_message_add(obs_intake_message *m, size_t off, size_t size, int64_t now_ms);
/* Hands it to commit, or straight back to `done`. */
void obs_intake_message_submit(obs_intake_message *m);

#endif
