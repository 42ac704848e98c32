/* The bus: PULL, SUB and REP sockets; messages in, batches out.
 *
 * In:  messages on any number of URLs a socket, `listen:URL` (the default) or `dial:URL`. What listens stands on the
 *   stream server (streams.c); dialers, which reconnect, and inproc on NNG's own sockets (nng_source.c).
 * Out: decoded batches to commit: the messages of one read of a producer are one batch; each request of REP is its own,
 *   and is answered when commit gives it back: after the journal has it; a question for advice (question.h) at once.
 * Threads: decoding runs on NNG's callback threads (CPU only); the answers are built on the commit thread. None of them
 *   waits. The order of one producer is kept.
 * Full queue (op/transport.h): PULL reads no more until obs_bus_room (senders feel it); REP is answered an error; SUB,
 *   which cannot be slowed, loses the messages and their ops count as rejected.
 * Bounds of a requester: OBS_BUS_REQUESTS under way, and OBS_BUS_UNREAD_BYTES of answers that it has not read or will
 *   get; then nothing more is read from it.
 * Who may: where there is a key file, a peer is who its listener's `;key=ID` says, or a key that a requester sent
 *   (question.h). What it may not do is a reject, counted, told in the log and the audit; nothing of it is kept.
 * Failure: a malformed message is a reject like any other. One larger than twice the limit closes its connection. */
#ifndef OBS_INTAKE_BUS_H
#define OBS_INTAKE_BUS_H

#include "commit/commit.h"
#include "sp/sp.h"

enum { OBS_BUS_REQUESTS = 64, OBS_BUS_UNREAD_BYTES = 256 << 10 };

typedef struct obs_bus obs_bus;

typedef struct {
  const char *const *urls;
  size_t n;
} obs_bus_url_list;

typedef struct {
  obs_transport transport; /* one that a source can serve: PULL, SUB, REP */
  obs_bus_url_list urls;
} obs_bus_socket;

/* A question for advice (question.h); p NULL: not given. */
typedef struct {
  obs_str endpoint, task_class, session_id;
} obs_bus_question;

typedef struct {
  obs_commit *commit;
  obs_op_limits limits;
  const obs_bus_socket *sockets;
  uint32_t nsockets;
  obs_bus_url_list topics;  /* prefixes SUB takes; none: all. Outlives the bus */
  uint32_t max_connections; /* a socket; 0: the stream server's default */
  obs_tls *tls;             /* as obs_sp_opts */
  unsigned (*refuses)(void *arg, const obs_address *at, obs_str host, obs_str origin); /* as obs_sp_opts */
  void *refuses_arg;
  obs_access *access; /* as obs_sp_opts; what dials, and inproc, may do all */
  /* Appends the msgpack map that answers a question. On NNG's threads; must not block, not called once
   * obs_bus_stop_intake has returned. False: there was no memory. NULL: REP answers that there is no advice here. */
  bool (*advise)(void *arg, const obs_bus_question *q, obs_buf *out);
  void *advise_arg;
} obs_bus_opts;

/* Opens the sockets and binds; receives nothing yet. `error_text`: "pull tcp://127.0.0.1:3801: address in use". */
observer_err obs_bus_open(const obs_bus_opts *opts, obs_bus **out, char *error_text, size_t error_size);
void obs_bus_start(obs_bus *bus);
/* Each URL as it is bound (real port) or dialled. */
void obs_bus_urls(const obs_bus *bus, void (*fn)(void *arg, const char *kind, const char *url), void *arg);
/* Of what listens for this transport. */
void obs_bus_get_counts(const obs_bus *bus, obs_transport transport, obs_sp_counts *out);
/* Asks each listener whether it still serves; the answers come later. One that gave none within two seconds; NULL: all
 * did. */
void obs_bus_probe(obs_bus *bus);
const char *obs_bus_silent(obs_bus *bus);
/* The queue has room again: reads on. Any thread. */
void obs_bus_room(obs_bus *bus);
/* Takes no more messages; requests that are with commit are still answered. Returns when no receive is under way. */
void obs_bus_stop_intake(obs_bus *bus);
/* After commit has drained: waits until the last answers are sent (at most `deadline_ms`), closes, frees. */
void obs_bus_close(obs_bus *bus, uint32_t deadline_ms);

#endif
