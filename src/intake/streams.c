/* The source of what listens: an endpoint of src/sp for a socket.
 *
 * The messages of one read of a producer become one batch, whose bytes are the read's own: nothing is copied. Each
 * request becomes a batch of its own, and its answer goes out as soon as commit gives it back. */
#include "base/clock.h"
#include "base/log.h"
#include "intake/internal.h"
#include "intake/question.h"
#include "intake/reply.h"

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <stdlib.h>

enum { TURN_REQUESTS = 16 };

typedef struct {
  obs_bus *bus;
  obs_transport transport;
  bool filters; /* by the options' topics */
  obs_sp *sp;
  char (*urls)[OBS_ADDRESS_MAX];
  uint32_t nurls;
  _Atomic bool stopping;
  _Atomic uint32_t taking; /* callbacks that take messages now */
} streams;

/* A producer's part of its connection. */
typedef struct {
  uint64_t number; /* 0: it has sent nothing yet */
} producer;

/* A requester's part of its connection. */
typedef struct {
  producer producer;
  _Atomic uint32_t requests; /* under way */
  _Atomic size_t promised;   /* about the bytes of their answers */
  _Atomic bool waits;        /* is kicked when one is answered, or all that was is written */
} requester;

/* ---- producers: PULL and SUB ---- */

static uint64_t number_of(producer *p) {
  if (p->number == 0) p->number = obs_batch_new_producer();
  return p->number;
}

static void producer_done(obs_batch *b) {
  obs_intake_message_free((obs_intake_message *)b);
}

static bool is_wanted(const obs_bus_opts *o, const uint8_t *body, size_t size) {
  for (size_t i = 0; i < o->topics.n; i++) {
    size_t n = strlen(o->topics.urls[i]);
    if (n <= size && memcmp(body, o->topics.urls[i], n) == 0) return true;
  }
  return o->topics.n == 0;
}

static void count_lost(const streams *in, uint32_t messages) {
  for (uint32_t i = 0; i < messages; i++) obs_commit_count_lost(in->bus->opts.commit, in->transport);
}

/* A batch on its way, and what its sender may not speak as. */
static void submit(obs_intake_message *m, obs_stream *s) {
  if (m->batch.denied > 0) obs_sp_deny_source(s, m->batch.identity, m->batch.denied);
  m->batch.identity = NULL; /* it is the connection's, and decoded is all */
  obs_intake_message_submit(m);
}

static void take_messages(streams *in, obs_stream *s, size_t n) {
  const obs_bus_opts *o = &in->bus->opts;
  bool filters = in->filters && o->topics.n > 0;
  const uint8_t *p = obs_sp_bytes(s);
  uint32_t messages = 0;
  for (size_t at = 0; at < n;) {
    obs_sp_frame f = obs_sp_read(s, p + at);
    messages += !filters || is_wanted(o, p + at + f.head, f.size);
    at += f.head + f.size;
  }
  const obs_identity *who = obs_sp_identity(s);
  if (!obs_identity_may(who, OBS_SCOPE_INGEST)) {
    char why[OBS_SP_WHY_MAX];
    if (messages > 0) obs_sp_deny(s, who, OBS_SCOPE_INGEST, messages, why);
    count_lost(in, messages);
    obs_sp_consume(s, n);
    return;
  }
  obs_intake_message *m = messages > 0 ? obs_intake_message_new(in->bus, in->transport, messages) : NULL;
  if (m == NULL || !obs_sp_take(s, n, &m->bytes)) { /* not wanted, or lost and counted */
    if (m != NULL) {
      count_lost(in, messages);
      obs_intake_message_free(m);
    }
    obs_sp_consume(s, n);
    return;
  }
  int64_t now_ms = obs_clock_wall_ms();
  const uint8_t *bytes = (const uint8_t *)m->bytes.p;
  obs_intake_message_begin(m, in->transport, number_of(obs_sp_own(s)), who, bytes, n, producer_done);
  for (size_t at = 0; at < n;) {
    obs_sp_frame f = obs_sp_read(s, bytes + at);
    if (!filters || is_wanted(o, bytes + at + f.head, f.size)) obs_intake_message_add(m, at + f.head, f.size, now_ms);
    at += f.head + f.size;
  }
  submit(m, s);
}

static void on_messages(streams *in, obs_stream *s, size_t n) {
  if (obs_transport_policies[in->transport].full == OBS_TRANSPORT_PAUSES &&
      !obs_commit_has_room(in->bus->opts.commit, in->transport)) {
    /* Its room callback kicks every connection. Looked at again after the pause, so that none is missed. */
    obs_stream_pause(s);
    if (obs_commit_has_room(in->bus->opts.commit, in->transport)) obs_stream_kick(s);
    return;
  }
  take_messages(in, s, n);
}

/* ---- requesters: REP ---- */

static bool has_room(const requester *r, obs_stream *s) {
  return atomic_load(&r->requests) < OBS_BUS_REQUESTS &&
         atomic_load(&r->promised) + obs_stream_queued(s) < OBS_BUS_UNREAD_BYTES;
}

static void wake(requester *r, obs_stream *s) {
  if (atomic_exchange(&r->waits, false)) obs_stream_kick(s);
}

/* `reply` begins with OBS_SP_ROOM bytes and the way back; takes over its memory. */
static void send_reply(obs_stream *s, obs_buf *reply) {
  bool oom = reply->oom;
  obs_stream_chunk *chunk = obs_sp_chunk_of(reply);
  if (oom || chunk == NULL)
    obs_log_error("intake", "rep: no memory for an answer"); /* the requester asks again */
  else
    (void)obs_sp_send_now(s, chunk); /* it may have gone */
  obs_stream_chunk_unref(chunk);
}

static void begin_reply(obs_buf *reply, const uint8_t *way, size_t n) {
  static const uint8_t room[OBS_SP_ROOM] = {0};
  obs_buf_append(reply, room, sizeof room);
  obs_buf_append(reply, way, n);
}

/* On the commit thread, or where it was refused. */
static void request_done(obs_batch *b) {
  obs_intake_message *m = (obs_intake_message *)b;
  obs_stream *s = m->from;
  requester *r = obs_sp_own(s);
  obs_buf reply = {0};
  begin_reply(&reply, m->way, m->way_bytes);
  obs_reply_make(b, &reply);
  send_reply(s, &reply);
  atomic_fetch_sub(&r->promised, m->promised);
  atomic_fetch_sub(&r->requests, 1);
  obs_intake_message_free(m);
  wake(r, s);
  obs_stream_release(s);
}

/* The peer sends a key. Where others can listen it is not even looked at, so that nobody comes to rely on it. One that
 * a device brings is not its own: with it every other requester of the device would act with that key. */
static void take_key(const streams *in, obs_stream *s, obs_intake_message *m, size_t way, const obs_question *q,
                     obs_buf *reply) {
  if (!obs_sp_is_private(s)) {
    obs_reply_error("key: only over TLS or a Unix socket", reply);
    return;
  }
  if (way > OBS_SP_WORD) {
    obs_reply_error("key: not through a device, whose requesters share one connection", reply);
    return;
  }
  obs_access_result result = obs_sp_identify(s, obs_question_key(&in->bus->opts, &m->batch, q));
  if (result == OBS_ACCESS_OK) {
    const obs_identity *who = obs_sp_identity(s);
    obs_reply_key(who->key != NULL ? who->key->id : "", reply);
  } else {
    obs_reply_error(result == OBS_ACCESS_LIMITED ? "too many wrong keys: try again later" : "a valid key is needed",
                    reply);
  }
}

/* An empty list records nothing: `observerctl ping` asks with one how long an answer takes. */
static bool is_empty_list(const uint8_t *body, size_t size) {
  enum { LOOKED_AT = 256 }; /* a topic with a list behind it */
  static const uint8_t msgpack = 0x90;
  obs_str topic = {0};
  const uint8_t *p = size <= LOOKED_AT ? obs_batch_payload(body, size, &topic) : NULL;
  size_t n = p != NULL ? (size_t)(body + size - p) : 0;
  return (n == 1 && *p == msgpack) || (n == 2 && memcmp(p, "[]", 2) == 0);
}

/* What is answered at once: questions, and ops of who may not record. False: ops of who may. `way`: the bytes of the
 * way back, with which the request begins. */
static bool answer_at_once(const streams *in, obs_stream *s, const obs_identity *who, obs_intake_message *m,
                           const uint8_t *request, size_t way, size_t request_size, obs_buf *reply) {
  const obs_bus_opts *o = &in->bus->opts;
  const uint8_t *body = request + way;
  size_t size = request_size - way;
  char why[OBS_SP_WHY_MAX];
  obs_question q;
  bool question = obs_question_find(o, &m->batch, body, size, &q);
  bool asks = question || is_empty_list(body, size);
  unsigned needs = asks ? OBS_SCOPE_INGEST | OBS_SCOPE_READ : OBS_SCOPE_INGEST;
  if (question && q.kind == OBS_QUESTION_KEY) {
    take_key(in, s, m, way, &q, reply);
  } else if (!obs_identity_may(who, needs)) {
    obs_sp_deny(s, who, needs, 1, why);
    if (question) {
      obs_reply_error(why, reply);
    } else {
      count_lost(in, 1);
      obs_reply_denied(why, reply);
    }
  } else if (question) {
    obs_question_answer(o, &m->batch, &q, reply);
  } else {
    return false;
  }
  return true;
}

/* One request; `more`: others follow. False: it is none. */
static bool take_request(streams *in, obs_stream *s, const uint8_t *body, size_t size, bool more) {
  requester *r = obs_sp_own(s);
  size_t way = obs_sp_way_back(body, size);
  if (way == 0 || way > OBS_INTAKE_WAY_MAX) return false;
  obs_intake_message *m = obs_intake_message_new(in->bus, in->transport, 1);
  if (m == NULL) return true;
  const obs_identity *who = obs_sp_identity(s);
  obs_buf reply = {0};
  begin_reply(&reply, body, way);
  if (answer_at_once(in, s, who, m, body, way, size, &reply)) {
    obs_intake_message_free(m);
    send_reply(s, &reply);
    return true;
  }
  obs_buf_fini(&reply);
  obs_buf_append(&m->bytes, body + way, size - way);
  if (m->bytes.oom) {
    obs_commit_count_lost(in->bus->opts.commit, in->transport);
    m->bytes.oom = false;
    obs_intake_message_free(m);
    return true;
  }
  memcpy(m->way, body, way);
  m->way_bytes = (uint8_t)way;
  m->from = s;
  obs_stream_hold(s);
  obs_intake_message_begin(m, in->transport, number_of(&r->producer), who, m->bytes.p, m->bytes.len, request_done);
  obs_intake_message_add(m, 0, m->bytes.len, obs_clock_wall_ms());
  m->batch.more = more;
  m->batch.pipelined = atomic_load(&r->requests) > 0;
  m->promised = obs_reply_size(&m->batch);
  atomic_fetch_add(&r->promised, m->promised);
  atomic_fetch_add(&r->requests, 1);
  submit(m, s);
  return true;
}

/* So many a turn, so that a peer that asks without end does not keep others waiting. */
static void on_requests(streams *in, obs_stream *s, size_t n) {
  requester *r = obs_sp_own(s);
  const uint8_t *p = obs_sp_bytes(s);
  size_t at = 0;
  bool more = false; /* the last one was submitted as one that others follow */
  for (uint32_t left = TURN_REQUESTS; at < n; left--) {
    if (left == 0) {
      obs_stream_take_turns(s);
      break;
    }
    if (!has_room(r, s)) {
      obs_stream_pause(s);
      atomic_store(&r->waits, true);
      if (has_room(r, s)) wake(r, s); /* it was answered between */
      break;
    }
    obs_sp_frame f = obs_sp_read(s, p + at);
    size_t next = at + f.head + f.size;
    more = next < n && left > 1;
    if (!take_request(in, s, p + at + f.head, f.size, more)) {
      obs_sp_misfit(s);
      break;
    }
    at = next;
  }
  if (more) obs_commit_wake(in->bus->opts.commit);
  obs_sp_consume(s, at);
}

static void on_answers_written(obs_stream *s) {
  wake(obs_sp_own(s), s);
}

/* A requester that sends no more still gets its answers. */
static bool has_requests(obs_stream *s) {
  requester *r = obs_sp_own(s);
  if (atomic_load(&r->requests) == 0 && obs_stream_queued(s) == 0) return false;
  atomic_store(&r->waits, true);
  if (atomic_load(&r->requests) > 0 || obs_stream_queued(s) > 0) return true;
  return false;
}

/* ---- the source ---- */

/* What a socket is on the wire. */
static const struct row {
  obs_transport transport;
  obs_sp_protocol protocol;
  size_t own;
  bool filters; /* by topics */
  void (*take)(streams *in, obs_stream *s, size_t n);
  void (*written)(obs_stream *s);
  bool (*busy)(obs_stream *s);
} rows[] = {
    {OBS_TRANSPORT_PULL, OBS_SP_PULL, sizeof(producer), false, on_messages, NULL, NULL},
    {OBS_TRANSPORT_SUB, OBS_SP_SUB, sizeof(producer), true, on_messages, NULL, NULL},
    {OBS_TRANSPORT_REP, OBS_SP_REP, sizeof(requester), false, on_requests, on_answers_written, has_requests},
};

static const struct row *row_of(obs_transport transport) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (rows[i].transport == transport) return &rows[i];
  }
  return NULL;
}

static void on_read(obs_stream *s, size_t n) {
  streams *in = obs_sp_arg(s);
  atomic_fetch_add(&in->taking, 1);
  if (atomic_load(&in->stopping))
    obs_stream_pause(s);
  else
    row_of(in->transport)->take(in, s, n);
  atomic_fetch_sub(&in->taking, 1);
}

static unsigned refuses(void *arg, const obs_address *at, obs_str host, obs_str origin) {
  const obs_bus_opts *o = &((streams *)arg)->bus->opts;
  return o->refuses != NULL ? o->refuses(o->refuses_arg, at, host, origin) : 0;
}

static bool takes(const obs_address *at) {
  return !at->dial && at->kind != OBS_ADDRESS_INPROC;
}

static void close_streams(void *source, uint64_t until) {
  streams *in = source;
  uint64_t now = obs_clock_mono_ms();
  if (until > now) obs_stream_server_drain(obs_sp_streams(in->sp), (uint32_t)(until - now));
  if (!obs_sp_close(in->sp)) return; /* left behind, so that a stop ends */
  free(in->urls);
  free(in);
}

static observer_err open_streams(obs_bus *bus, obs_transport transport, const obs_address *at, uint32_t n,
                                 void **source, char *text, size_t size) {
  const struct row *row = row_of(transport);
  const char *name = obs_transport_names[transport];
  streams *in = calloc(1, sizeof *in);
  observer_err err = OBSERVER_E_NOMEM;
  if (in != NULL) in->urls = calloc(n, sizeof *in->urls);
  if (in != NULL && in->urls != NULL) {
    in->bus = bus;
    in->transport = transport;
    in->filters = row->filters;
    const obs_sp_opts sp = {.name = name,
                            .own = row->protocol,
                            .size = row->own,
                            .messages = on_read,
                            .written = row->written,
                            .busy = row->busy,
                            .arg = in,
                            .message_bytes = (size_t)bus->opts.limits.message_bytes * 2,
                            .max_connections = bus->opts.max_connections,
                            .tls = bus->opts.tls,
                            .refuses = refuses,
                            .access = bus->opts.access};
    err = obs_sp_open(&sp, &in->sp);
  }
  if (err != OBSERVER_E_OK) (void)snprintf(text, size, "%s: %s", name, observer_strerror(err));
  for (; err == OBSERVER_E_OK && in->nurls < n; in->nurls++) {
    char why[160];
    err = obs_sp_listen(in->sp, &at[in->nurls], in->urls[in->nurls], why, sizeof why);
    if (err == OBSERVER_E_OK) continue;
    (void)snprintf(text, size, "%s %s: %s", name, at[in->nurls].url, why);
    break;
  }
  if (err == OBSERVER_E_OK) {
    *source = in;
    return err;
  }
  if (in != NULL) {
    (void)obs_sp_close(in->sp); /* nothing is connected yet */
    free(in->urls);
    free(in);
  }
  return err;
}

static void start_streams(void *source) {
  streams *in = source;
  obs_stream_server_start(obs_sp_streams(in->sp));
}

static void resume(obs_stream *s, void *arg) {
  (void)arg;
  obs_stream_resume(s);
}

static void tell_room(void *source) {
  streams *in = source;
  if (obs_transport_policies[in->transport].full == OBS_TRANSPORT_PAUSES)
    obs_stream_server_each(obs_sp_streams(in->sp), resume, NULL);
}

static void stop_streams(void *source) {
  streams *in = source;
  obs_stream_server_stop_accept(obs_sp_streams(in->sp));
  atomic_store(&in->stopping, true);
  while (atomic_load(&in->taking) > 0) nng_msleep(1); /* they decode what they have, and wait for nothing */
}

static void count_streams(void *source, obs_sp_counts *out) {
  obs_sp_get_counts(((streams *)source)->sp, out);
}

static void probe_streams(void *source) {
  obs_stream_server_probe(obs_sp_streams(((streams *)source)->sp));
}

static const char *find_silent(void *source) {
  return obs_stream_server_silent(obs_sp_streams(((streams *)source)->sp));
}

static void each_url(const void *source, void (*fn)(void *arg, const char *kind, const char *url), void *arg) {
  const streams *in = source;
  for (uint32_t i = 0; i < in->nurls; i++) fn(arg, obs_transport_names[in->transport], in->urls[i]);
}

const obs_intake_source obs_intake_streams = {.name = "streams",
                                              .takes = takes,
                                              .open = open_streams,
                                              .start = start_streams,
                                              .room = tell_room,
                                              .stop = stop_streams,
                                              .counts = count_streams,
                                              .probe = probe_streams,
                                              .silent = find_silent,
                                              .close = close_streams,
                                              .urls = each_url};
