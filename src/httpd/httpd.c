#include "httpd/httpd.h"

#include "base/clock.h"
#include "httpd/body.h"

#include <stdlib.h>

enum {
  MAX_CONNECTIONS = 1024,
  HELD_BYTES = 64 << 20, /* bodies and answers, each */
  HEAD_MS = 10000,
  BODY_MS = 30000,
  IDLE_MS = 75000,
  DRAIN_MS = 1000,
  SLOWEST = 256,           /* bytes a millisecond at which a client is expected to read the rest of an answer */
  SMALL = 4096,            /* bytes of a body or an answer that are not charged, and that a connection's buffers keep */
  UNREAD_BYTES = 64 << 10, /* of answers, at which a connection begins no further request */
  COMPRESSED_FROM = 1024,
  COPIED_UP_TO = 32 << 10 /* an answer is written with its head in one piece */
};

/* Whose the request is. READER is whoever runs on_received. */
enum { READER, APPLICATION, APPLICATION_AND_MORE /* bytes or the end came meanwhile: a kick is wanted */ };

typedef enum { HEAD, BODY, DRAIN /* what still comes is dropped */ } phase;

typedef struct obs_httpd_connection connection;
struct obs_httpd_connection {
  _Alignas(max_align_t) obs_stream *stream;
  obs_httpd *server;
  obs_httpd_request *request; /* behind this */
  _Atomic int turn;

  /* Of whose turn it is. */
  phase phase;
  bool used;           /* a head has come */
  bool unread;         /* bytes of a refused request may still come */
  uint64_t due;        /* monotonic ms: the deadline */
  obs_httpd_scan scan; /* of the head, whose bytes are gathered in `head` */
  obs_buf head;
  obs_httpd_body body;
  size_t body_charged;
  obs_stream_chunk *kept; /* for small answers, again and again */

  _Atomic size_t answer_charged;
  _Atomic bool stalled;       /* too many answers are unread: goes on when they are written */
  _Atomic uint32_t linger_ms; /* for the peer to close, when its last answer is written; 0: it is closed at once */
};

struct obs_httpd {
  obs_httpd_opts opts;
  obs_stream_protocol protocol;
  obs_stream_server *streams;
  obs_stream_chunk *interim, *refusal;
  _Atomic size_t body_bytes, answer_bytes;
  _Atomic bool stopping;
};

/* ---- what is held ---- */

static void set_deadline(connection *c, uint32_t ms) {
  c->due = obs_clock_mono_ms() + ms;
  obs_stream_deadline(c->stream, ms);
}

/* Charges the body for the memory that it has by now. False: all bodies together have too much. */
static bool charge_body(connection *c) {
  size_t now = c->request->in.cap > SMALL ? c->request->in.cap : 0;
  if (c->body.inflate != NULL) now += OBS_HTTPD_INFLATE_BYTES;
  size_t more = now - c->body_charged; /* wraps to a subtraction */
  if (more == 0) return true;
  c->body_charged = now;
  return atomic_fetch_add(&c->server->body_bytes, more) + more <= c->server->opts.body_bytes;
}

static void uncharge_body(connection *c) {
  if (c->body_charged > 0) atomic_fetch_sub(&c->server->body_bytes, c->body_charged);
  c->body_charged = 0;
}

static bool charge_answer(connection *c, size_t n) {
  obs_httpd *h = c->server;
  if (atomic_fetch_add(&h->answer_bytes, n) + n > h->opts.answer_bytes) {
    atomic_fetch_sub(&h->answer_bytes, n);
    return false;
  }
  atomic_fetch_add(&c->answer_charged, n);
  return true;
}

static void uncharge_answers(connection *c) {
  if (atomic_load(&c->answer_charged) == 0) return;
  atomic_fetch_sub(&c->server->answer_bytes, atomic_exchange(&c->answer_charged, 0));
}

/* ---- answers ---- */

/* A chunk of at least `n` bytes: the kept one when it has been written. With a reference of the caller's. */
static obs_stream_chunk *chunk_for(connection *c, size_t n) {
  if (n > SMALL + OBS_ANSWER_HEAD_MAX) return obs_stream_chunk_new(n);
  if (c->kept == NULL) c->kept = obs_stream_chunk_new(SMALL + OBS_ANSWER_HEAD_MAX);
  if (c->kept == NULL || atomic_load_explicit(&c->kept->refs, memory_order_acquire) > 1) return obs_stream_chunk_new(n);
  obs_stream_chunk_ref(c->kept);
  return c->kept;
}

/* False: closed, or no memory. */
static bool write_answer(connection *c, const char *head, size_t head_len, obs_buf *body) {
  obs_stream *s = c->stream;
  bool apart = head_len + body->len > COPIED_UP_TO;
  size_t copied = apart ? head_len : head_len + body->len;
  obs_stream_chunk *first = chunk_for(c, copied);
  if (first == NULL) return false;
  memcpy(first->data, head, head_len);
  if (!apart && body->len > 0) memcpy(first->data + head_len, body->p, body->len);
  obs_stream_sent sent = apart ? obs_stream_write(s, first, 0, copied) ? OBS_STREAM_QUEUED : OBS_STREAM_CLOSED
                               : obs_stream_write_now(s, first, 0, copied);
  obs_stream_chunk_unref(first);
  if (sent == OBS_STREAM_WRITTEN) uncharge_answers(c);
  if (!apart || sent == OBS_STREAM_CLOSED) return sent != OBS_STREAM_CLOSED;
  obs_stream_chunk *rest = obs_stream_chunk_of(body);
  bool ok = rest != NULL && obs_stream_write(s, rest, 0, rest->len);
  obs_stream_chunk_unref(rest);
  return ok;
}

/* Compresses the body when it is worth it and the client takes it, unless it comes in the form for this client. */
static void pack(obs_httpd_request *r, obs_answer_frame *f) {
  obs_buf packed = {0};
  if (r->answer.form != OBS_ANSWER_AS_MADE) {
    f->varies = true;
    f->gzip = r->answer.form == OBS_ANSWER_PACKED;
    return;
  }
  f->varies = r->out.len > COMPRESSED_FROM && !r->answer.plain;
  if (!f->varies || !r->head.takes_gzip) return;
  f->gzip = obs_answer_gzip(&r->out, &packed);
  if (f->gzip) {
    obs_buf old = r->out;
    r->out = packed;
    packed = old;
  }
  obs_buf_fini(&packed);
}

static void end_request(connection *c, bool answered) {
  if (c->server->opts.ended != NULL) c->server->opts.ended(c->request, answered);
}

/* Writes the answer and makes the connection ready for what follows: the next request, or its end. */
static void send_answer(connection *c) {
  obs_httpd_request *r = c->request;
  obs_answer *a = &r->answer;
  obs_answer_frame f = {0};
  char head[OBS_ANSWER_HEAD_MAX];
  if (!r->head.keep || atomic_load(&c->server->stopping)) a->close = true;
  if (a->type == NULL && r->out.len > 0 && r->out.p[r->out.len - 1] != '\n') obs_buf_putc(&r->out, '\n');
  if (r->out.oom) {
    obs_answer_no_memory(a, &r->out);
    obs_buf_putc(&r->out, '\n');
  }
  pack(r, &f);
  if (r->out.len > SMALL && !charge_answer(c, r->out.len)) {
    f = (obs_answer_frame){0};
    obs_answer_error(a, &r->out, 503, "too many answers are waiting to be read");
    obs_buf_putc(&r->out, '\n');
  }
  f.length = r->out.len;
  f.keeps_old = r->head.old;
  size_t head_len = obs_answer_head(a, &f, head);
  if (r->head.head) r->out.len = 0;
  bool close = a->close;
  /* NNG's TLS takes bytes before the system does, and a close drops them: the client, which knows the answer's length,
   * is to close first. Small answers too: on a busy machine one in some thousand did not leave. */
  size_t size = head_len + r->out.len;
  bool lingers = close && obs_stream_address(c->stream)->tls;
  if (lingers) set_deadline(c, 0);
  atomic_store(&c->linger_ms, lingers ? (uint32_t)(DRAIN_MS + size / SLOWEST) : 0);
  bool written = write_answer(c, head, head_len, &r->out);

  end_request(c, true);
  obs_httpd_body_end(&c->body);
  uncharge_body(c);
  obs_buf_reset(&r->in, SMALL);
  obs_buf_reset(&r->out, SMALL);
  obs_buf_reset(&c->head, SMALL);
  c->scan = (obs_httpd_scan){0};
  if (!written) {
    c->phase = DRAIN;            /* or what was refused would be read again, for ever */
    obs_stream_close(c->stream); /* half an answer is none */
  } else if (!close) {
    c->phase = HEAD;
    set_deadline(c, c->server->opts.idle_ms);
    obs_stream_evictable(c->stream, true);
  } else {
    c->phase = DRAIN;
    if (lingers) obs_stream_evictable(c->stream, true); /* newcomers go before it */
    if (c->unread || atomic_load(&c->turn) == APPLICATION_AND_MORE)
      set_deadline(c, DRAIN_MS);
    else if (!lingers)
      obs_stream_close_when_written(c->stream);
  }
}

void obs_httpd_answer(obs_httpd_request *r) {
  connection *c = r->connection;
  send_answer(c);
  if (atomic_exchange(&c->turn, READER) == APPLICATION_AND_MORE) obs_stream_kick(c->stream);
  obs_stream_release(c->stream);
}

/* The reader's own error. What is left of the request is dropped. */
static void refuse(connection *c, const obs_httpd_fault *why) {
  obs_httpd_request *r = c->request;
  obs_answer_init(&r->answer);
  obs_answer_error(&r->answer, &r->out, why->status, "%s", why->text);
  c->unread = true;
  obs_stream_evictable(c->stream, false);
  send_answer(c);
}

/* ---- reading; each step says whether there may be more to do ---- */

/* The application has the request: what has come meanwhile waits until it is answered. */
static void leave_to_application(connection *c) {
  int before = APPLICATION;
  obs_stream_pause(c->stream); /* first: an answer that comes between is not missed */
  if (!atomic_compare_exchange_strong(&c->turn, &before, APPLICATION_AND_MORE) && before == READER)
    obs_stream_kick(c->stream);
}

static bool dispatch(connection *c) {
  size_t len;
  obs_stream_deadline(c->stream, 0);
  obs_stream_evictable(c->stream, false);
  obs_stream_hold(c->stream);
  atomic_store(&c->turn, APPLICATION);
  c->server->opts.handle(c->request);
  if (atomic_load(&c->turn) == READER) {
    obs_stream_yield(c->stream);
    return true;
  }
  (void)obs_stream_bytes(c->stream, &len);
  if (len > 0 || obs_stream_ended(c->stream)) leave_to_application(c);
  return false;
}

/* The head is complete: is it admitted, and is there a body? */
static bool begin_request(connection *c) {
  obs_httpd *h = c->server;
  obs_httpd_request *r = c->request;
  obs_httpd_fault why;
  size_t len;
  c->used = true;
  obs_answer_init(&r->answer);
  bool ok = obs_httpd_head_parse(&r->head, c->head.p, c->head.len, &why);
  if (ok && atomic_load(&h->stopping)) ok = obs_httpd_refuse(&why, 503, "stopping");
  if (!ok) {
    refuse(c, &why);
    return true;
  }
  bool has_body = r->head.chunked || r->head.length > 0;
  if (!h->opts.admit(r)) {
    c->unread = has_body;
    obs_stream_evictable(c->stream, false);
    send_answer(c);
    return true;
  }
  if (!has_body) return dispatch(c);
  if (!obs_httpd_body_begin(&c->body, &r->head, h->opts.body_limit, &why)) {
    refuse(c, &why);
    return true;
  }
  c->phase = BODY;
  set_deadline(c, h->opts.body_ms);
  (void)obs_stream_bytes(c->stream, &len);
  if (r->head.expects_continue && len == 0 && !obs_stream_write(c->stream, h->interim, 0, h->interim->len))
    obs_stream_close(c->stream);
  return true;
}

/* Whether answers that nobody reads keep the next request from being begun. */
static bool is_stalled(connection *c) {
  if (obs_stream_queued(c->stream) < UNREAD_BYTES) return false;
  obs_stream_pause(c->stream);
  atomic_store(&c->stalled, true);
  if (obs_stream_queued(c->stream) == 0 && atomic_exchange(&c->stalled, false)) obs_stream_kick(c->stream);
  return true;
}

static bool read_head(connection *c) {
  obs_httpd_fault why;
  size_t len, used;
  const uint8_t *p = obs_stream_bytes(c->stream, &len);
  bool begins = c->head.len == 0;
  if (len == 0) return false;
  obs_httpd_step step = obs_httpd_scan_head(&c->scan, p, len, &used, &why);
  obs_buf_append(&c->head, p, used);
  if (step != OBS_HTTPD_WRONG && c->head.oom) {
    (void)obs_httpd_refuse(&why, 503, "%s", observer_strerror(OBSERVER_E_NOMEM));
    step = OBS_HTTPD_WRONG;
  }
  if (step == OBS_HTTPD_WRONG) {
    c->request->head = (obs_httpd_head){0};
    refuse(c, &why);
    return true;
  }
  obs_stream_consume(c->stream, used);
  if (step == OBS_HTTPD_DONE) return begin_request(c);
  if (begins && c->used) set_deadline(c, c->server->opts.head_ms);
  obs_stream_evictable(c->stream, true);
  return false;
}

static bool read_body(connection *c) {
  obs_httpd_request *r = c->request;
  obs_httpd_fault why;
  size_t len, used;
  const uint8_t *p = obs_stream_bytes(c->stream, &len);
  if (len == 0) return false;
  obs_httpd_step step = obs_httpd_body_feed(&c->body, p, len, &used, &r->in, &why);
  obs_stream_consume(c->stream, used);
  if (step != OBS_HTTPD_WRONG && !charge_body(c)) {
    (void)obs_httpd_refuse(&why, 503, "too many request bodies at once");
    step = OBS_HTTPD_WRONG;
  }
  if (step == OBS_HTTPD_WRONG) {
    refuse(c, &why);
    return true;
  }
  if (step == OBS_HTTPD_DONE) return dispatch(c);
  obs_stream_evictable(c->stream, true);
  return false;
}

/* The peer has ended, time is up, or the server stops, and no complete request is there. */
static void give_up(connection *c, bool late) {
  obs_httpd_fault why;
  bool begun = c->phase == BODY || (c->phase == HEAD && (c->head.len > 0 || !c->used));
  if (late && begun)
    (void)obs_httpd_refuse(&why, 408, "the request did not arrive in time");
  else if (!obs_stream_ended(c->stream) && begun && (c->used || c->head.len > 0))
    (void)obs_httpd_refuse(&why, 503, "stopping");
  else if (late) { /* nothing was written lately */
    obs_stream_close(c->stream);
    return;
  } else {
    obs_stream_close_when_written(c->stream);
    return;
  }
  if (c->phase == HEAD) c->request->head = (obs_httpd_head){0};
  refuse(c, &why);
}

static void on_received(obs_stream *s) {
  connection *c = obs_stream_own(s);
  size_t len;
  bool expired = obs_stream_expired(s);
  if (atomic_load(&c->turn) != READER) {
    leave_to_application(c);
    return;
  }
  for (bool more = true; more;) {
    switch (c->phase) {
    case HEAD:
      if (c->head.len == 0 && !atomic_load(&c->server->stopping) && is_stalled(c)) {
        if (expired) set_deadline(c, c->server->opts.idle_ms); /* a write without progress has a deadline of its own */
        return;
      }
      more = read_head(c);
      break;
    case BODY:
      more = read_body(c);
      break;
    case DRAIN:
      (void)obs_stream_bytes(s, &len);
      obs_stream_consume(s, len);
      more = false;
      break;
    }
    if (atomic_load(&c->turn) != READER) return;
  }
  bool late = expired && obs_clock_mono_ms() >= c->due;
  if (late || obs_stream_ended(s) || (atomic_load(&c->server->stopping) && c->phase != DRAIN)) give_up(c, late);
}

static void on_opened(obs_stream *s) {
  connection *c = obs_stream_own(s);
  c->stream = s;
  c->server = obs_stream_arg(s);
  c->request = (obs_httpd_request *)(c + 1);
  c->request->connection = c;
  set_deadline(c, c->server->opts.head_ms);
  obs_stream_evictable(s, true);
}

static void on_written(obs_stream *s) {
  connection *c = obs_stream_own(s);
  uncharge_answers(c);
  uint32_t linger_ms = atomic_load(&c->linger_ms);
  if (linger_ms > 0) obs_stream_deadline(s, linger_ms);
  if (atomic_exchange(&c->stalled, false)) obs_stream_kick(s);
}

static void on_closed(obs_stream *s) {
  connection *c = obs_stream_own(s);
  end_request(c, false);
  obs_httpd_body_end(&c->body);
  uncharge_body(c);
  uncharge_answers(c);
  obs_buf_fini(&c->head);
  obs_buf_fini(&c->request->in);
  obs_buf_fini(&c->request->out);
  obs_stream_chunk_unref(c->kept);
}

static void on_stranger(const obs_stream *s) {
  const obs_httpd *h = obs_stream_arg(s);
  h->opts.stranger(h->opts.arg, obs_stream_address(s), obs_stream_peer(s));
}

/* Its request is not read. That costs one write, and the stream server does it for a few at a time only. */
static void on_refused(obs_stream *s) {
  obs_httpd *h = obs_stream_arg(s);
  (void)obs_stream_write(s, h->refusal, 0, h->refusal->len); /* else it is closed without a word */
  obs_stream_close_when_written(s);
}

/* ---- the server ---- */

static obs_stream_chunk *make_chunk(const char *head, size_t head_len, const char *body, size_t body_len) {
  obs_stream_chunk *c = obs_stream_chunk_new(head_len + body_len);
  if (c == NULL) return NULL;
  memcpy(c->data, head, head_len);
  if (body_len > 0) memcpy(c->data + head_len, body, body_len);
  return c;
}

observer_err obs_httpd_open(const obs_httpd_opts *opts, obs_httpd **out) {
  static const char probe[] = "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
  static const char too_many[] = "{\"error\":\"too many connections\"}\n";
  obs_httpd *h = calloc(1, sizeof *h);
  if (h == NULL) return OBSERVER_E_NOMEM;
  obs_httpd_opts *o = &h->opts;
  *o = *opts;
  if (o->body_bytes == 0) o->body_bytes = HELD_BYTES;
  if (o->answer_bytes == 0) o->answer_bytes = HELD_BYTES;
  if (o->max_connections == 0) o->max_connections = MAX_CONNECTIONS;
  if (o->head_ms == 0) o->head_ms = HEAD_MS;
  if (o->body_ms == 0) o->body_ms = BODY_MS;
  if (o->idle_ms == 0) o->idle_ms = IDLE_MS;
  h->protocol = (obs_stream_protocol){.name = o->name,
                                      .size = sizeof(connection) + o->request_size,
                                      .handles_expiry = true,
                                      .opened = on_opened,
                                      .received = on_received,
                                      .written = on_written,
                                      .closed = on_closed,
                                      .stranger = o->stranger != NULL ? on_stranger : NULL,
                                      .refused = on_refused,
                                      .probe = probe,
                                      .probe_len = sizeof probe - 1};
  char head[OBS_ANSWER_HEAD_MAX];
  obs_answer refused = {.status = 503, .close = true, .retry_after = 1};
  obs_answer_frame frame = {.length = sizeof too_many - 1};
  h->interim = make_chunk(interim, sizeof interim - 1, NULL, 0);
  size_t head_len = obs_answer_head(&refused, &frame, head);
  h->refusal = make_chunk(head, head_len, too_many, sizeof too_many - 1);
  const obs_stream_opts streams = {
      .protocol = &h->protocol, .arg = h, .max_connections = o->max_connections, .tls = o->tls};
  observer_err err =
      h->interim != NULL && h->refusal != NULL ? obs_stream_server_open(&streams, &h->streams) : OBSERVER_E_NOMEM;
  if (err == OBSERVER_E_OK)
    *out = h;
  else
    (void)obs_httpd_close(h); /* nothing is connected */
  return err;
}

observer_err obs_httpd_listen(obs_httpd *h, const obs_address *a, char bound[OBS_ADDRESS_MAX], char *why,
                              size_t why_size) {
  return obs_stream_server_listen(h->streams, a, bound, why, why_size);
}

void obs_httpd_start(obs_httpd *h) {
  obs_stream_server_start(h->streams);
}

/* It looks at itself: an idle one ends. */
static void wake(obs_stream *s, void *arg) {
  (void)arg;
  obs_stream_kick(s);
}

void obs_httpd_stop(obs_httpd *h, uint32_t deadline_ms) {
  atomic_store(&h->stopping, true);
  obs_stream_server_stop_accept(h->streams);
  obs_stream_server_each(h->streams, wake, NULL);
  obs_stream_server_drain(h->streams, deadline_ms);
}

bool obs_httpd_close(obs_httpd *h) {
  if (h == NULL) return true;
  atomic_store(&h->stopping, true);
  if (!obs_stream_server_close(h->streams)) return false;
  obs_stream_chunk_unref(h->interim);
  obs_stream_chunk_unref(h->refusal);
  free(h);
  return true;
}

void obs_httpd_get_counts(obs_httpd *h, obs_stream_counts *out) {
  obs_stream_server_get_counts(h->streams, out);
}

void obs_httpd_probe(obs_httpd *h) {
  obs_stream_server_probe(h->streams);
}

const char *obs_httpd_silent(obs_httpd *h) {
  return obs_stream_server_silent(h->streams);
}

void *obs_httpd_arg(const obs_httpd_request *r) {
  return r->connection->server->opts.arg;
}

bool obs_httpd_is_stopping(const obs_httpd_request *r) {
  return atomic_load(&r->connection->server->stopping);
}

const obs_address *obs_httpd_address(const obs_httpd_request *r) {
  return obs_stream_address(r->connection->stream);
}

const char *obs_httpd_peer(const obs_httpd_request *r) {
  return obs_stream_peer(r->connection->stream);
}
