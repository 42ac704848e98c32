/* The inside of the stream server: connections (stream.c), listeners and life (server.c). */
#ifndef OBS_STREAM_INTERNAL_H
#define OBS_STREAM_INTERNAL_H

#include "base/vec.h"
#include "stream/stream.h"
#include "stream/tls.h"

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <pthread.h>

enum { OBS_STREAM_PEER_MAX = 64 };

typedef struct obs_stream_listener obs_stream_listener;
struct obs_stream_listener {
  obs_stream_server *server;
  uint32_t number;
  obs_address address;
  char bound[OBS_ADDRESS_MAX]; /* the URL with the real port */
  nng_stream_listener *nng;
  nng_aio *accept, *pause;
  bool shedding; /* the reserve was given up: what is accepted is closed */
  bool busy;     /* accept or pause is under way; the server's lock */
  /* The probe, with the server's lock. */
  int probe_fd; /* -1: none is under way */
  bool probe_said, silent;
  uint64_t probe_begun; /* monotonic ms */
};

typedef struct {
  obs_stream_chunk *chunk;
  size_t off, len;
} obs_stream_piece;

/* What the connection's one read is doing. */
typedef enum {
  OBS_STREAM_RESTING,
  OBS_STREAM_READING,
  OBS_STREAM_RUNNING /* `received` runs, or is about to */
} obs_stream_reader;

struct obs_stream {
  obs_stream_server *server;
  obs_stream_listener *listener;
  nng_stream *nng;
  nng_aio *rx, *tx, *now; /* now: has no callback; the lock's */
  void *own;
  char peer[OBS_STREAM_PEER_MAX];

  /* One for being open, one for a read and one for a write under way, one for each hold. */
  _Atomic uint32_t refs, holds;
  _Atomic uint64_t deadline, written_at;  /* monotonic ms; 0: none */
  _Atomic uint64_t evictable, incomplete; /* since when (incomplete: last grown), monotonic ns; 0: not */
  _Atomic size_t queued, charged;         /* charged: bytes of `in` that count against the server's bound */
  _Atomic bool closing, finishing;        /* finishing: closed when all is written */

  /* Of whoever runs `received`. */
  uint8_t *in;
  size_t off, len, cap; /* bytes off..len have come and are not consumed */
  size_t want, read_size;
  bool ended;
  bool yields; /* obs_stream_yield */

  pthread_mutex_t lock;
  obs_stream_reader reader;
  bool kicked, hop, silent, paused, expired, writing;
  bool is_open, refused;            /* `opened` was called; it is one too many */
  OBS_VEC(obs_stream_piece) pieces; /* from `first_piece` on */
  uint32_t first_piece;

  obs_stream *prev, *next; /* in live; next alone in spare; the server's lock */
};

struct obs_stream_server {
  obs_stream_opts opts;
  obs_stream_listener **listeners;
  uint32_t nlisteners;
  nng_aio *sweep;
  int reserve; /* a descriptor; -1: given up */
  _Atomic size_t bytes;
  _Atomic uint64_t accepted, refused, evicted, expired, accept_errors;
  _Atomic uint32_t open;    /* that are not closing */
  _Atomic uint32_t probing; /* probes under way: as many connections more are taken */

  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool stopping, sweeping; /* sweeping: `sweep` sleeps or its callback runs */
  bool closing;            /* no sweep any more */
  obs_stream *live, *spare;
  uint32_t nlive;
};

/* The callbacks of a connection's two aios. NNG's threads. */
void obs_stream_on_received(void *stream);
void obs_stream_on_written(void *stream);
/* Runs `received`, at once or after the next read, and reads on; has the read's reference. NNG's threads. */
void obs_stream_run(obs_stream *s, bool call);
/* A reference to one that was found in the list: false when it is on its way out. */
bool obs_stream_hold_found(obs_stream *s);
void obs_stream_unref(obs_stream *s);

/* Who connects from now on gets this configuration. Any thread. Returns NNG's error. */
int obs_stream_listener_set_tls(obs_stream_listener *l, nng_tls_config *config);

/* Gives the listener the certificate, now and when it changes. The first one reads the files. On failure `why` says
 * what is wrong. Main thread, as the next. */
observer_err obs_tls_attach(obs_tls *t, obs_stream_listener *l, char *why, size_t size);
/* It is about to be freed. NULL is allowed. */
void obs_tls_detach(obs_tls *t, const obs_stream_listener *l);

/* Says which users of the address the kernel shows as another user to this process, so that they are never let in.
 * `name`: of the socket. */
void obs_stream_warn_of_users(const char *name, const obs_address *a);

/* Looks what became of the probes under way. With the server's lock. */
void obs_stream_probe_look(obs_stream_server *srv);

#endif
