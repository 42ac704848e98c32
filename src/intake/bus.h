/* The bus: PULL, SUB and REP sockets over NNG; messages in, batches out.
 *
 * In:  messages on any number of URLs a socket, `listen:URL` (the default) or `dial:URL`; dialers reconnect.
 * Out: decoded batches to commit. REP answers when commit gives the batch back: after the journal has it; a question
 *   for advice (question.h) it answers at once.
 * Threads: decoding runs on NNG's callback threads (CPU only); the answers are built on the commit thread. None of them
 *   waits. PULL and SUB read one message at a time, so the order of one producer is kept; REP serves `rep_parallel`
 *   requesters at once.
 * Full queue: PULL stops reading until obs_bus_room (senders feel it); REP is answered an error; SUB, which cannot be
 *   slowed, loses the message and its ops count as rejected.
 * Failure: a malformed message is a reject like any other. One larger than twice the limit closes its connection. */
#ifndef OBS_INTAKE_BUS_H
#define OBS_INTAKE_BUS_H

#include "commit/commit.h"

typedef struct obs_bus obs_bus;

typedef struct {
  const char *const *urls;
  size_t n;
} obs_bus_url_list;

typedef struct {
  obs_commit *commit;
  obs_op_limits limits;
  obs_bus_url_list pull, sub, rep;
  obs_bus_url_list topics; /* prefixes SUB takes; none: all */
  uint32_t rep_parallel;   /* default 128 */
  bool allow_old_nng;      /* NNG before 1.6 may host a ws listener beyond loopback */
  /* Appends the msgpack map that answers a question for advice (question.h); p NULL: not asked for. On NNG's threads;
   * must not block, not called once obs_bus_stop_intake has returned. False: there was no memory. NULL: REP answers
   * that there is no advice here. */
  bool (*advise)(void *arg, obs_str endpoint, obs_str task_class, obs_buf *out);
  void *advise_arg;
} obs_bus_opts;

/* Opens the sockets and binds; receives nothing yet. `error_text`: "pull tcp://127.0.0.1:3801: Address in use". */
observer_err obs_bus_open(const obs_bus_opts *opts, obs_bus **out, char *error_text, size_t error_size);
void obs_bus_start(obs_bus *bus);
/* Each URL as it is bound (real port) or dialled. */
void obs_bus_urls(const obs_bus *bus, void (*fn)(void *arg, const char *kind, const char *url), void *arg);
/* The queue has room again: reads on. Any thread. */
void obs_bus_room(obs_bus *bus);
/* Takes no more messages; requests that are with commit are still answered. Returns when no receive is under way. */
void obs_bus_stop_intake(obs_bus *bus);
/* After commit has drained: waits until the last answers are sent (at most `deadline_ms`), closes, frees. */
void obs_bus_close(obs_bus *bus, uint32_t deadline_ms);

#endif
