#include "sp/sp.h"

#include "base/log.h"
#include "httpd/head.h"
#include "sp/websocket.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* JOINED_BYTES: of messages that came in WebSocket frames and are not taken yet, of all connections. PONGS_BYTES: a
 * peer that does not read gets no more of them. GOING_MS: for the last word to those that read. */
enum { JOINED_BYTES = 64 << 20, PONGS_BYTES = 64 << 10, GOING_MS = 100 };

struct obs_sp {
  obs_sp_opts opts;
  obs_stream_protocol protocol;
  obs_stream_server *server;
  obs_stream_chunk *greeting;
  obs_sp_doors doors;
  _Atomic uint64_t misfits;
  _Atomic size_t joined;
};

/* The stream's part of a connection; the user's stands behind it. */
typedef struct {
  _Atomic bool ready; /* hands are shaken; `written` may look meanwhile */
  bool refused;
  bool ipc, ws;
  bool timed; /* the deadline of a message runs */
  obs_sp_guest guest;
  /* Of a WebSocket. */
  obs_httpd_scan scan;
  size_t scanned;
  obs_websocket_reader reader;
  obs_buf joined;     /* messages as they are on tcp; behind them, the parts so far of the next one */
  size_t whole;       /* bytes of whole messages in `joined` */
  size_t charged;     /* bytes of `joined` that are counted */
  pthread_mutex_t tx; /* a message is two writes */
} connection;

enum { HEAD = (sizeof(connection) + 15) / 16 * 16, TCP_HEAD = 8 };

void *obs_sp_own(obs_stream *s) {
  return (char *)obs_stream_own(s) + HEAD;
}

static obs_sp *sp_of(const obs_stream *s) {
  return obs_stream_arg(s);
}

void *obs_sp_arg(const obs_stream *s) {
  return sp_of(s)->opts.arg;
}

void obs_sp_misfit(obs_stream *s) {
  atomic_fetch_add_explicit(&sp_of(s)->misfits, 1, memory_order_relaxed);
  obs_stream_close(s);
}

/* ---- sending ---- */

/* In front of the body, from the chunk's first byte on: the length of the WebSocket head (1), that head (10), and right
 * before the body the head of ipc (9), whose last 8 bytes are that of tcp. */
enum { WS_AT = 1, IPC_AT = OBS_SP_ROOM - OBS_SP_HEAD_MAX, TCP_AT = OBS_SP_ROOM - TCP_HEAD };
_Static_assert(WS_AT + OBS_WEBSOCKET_OWN_HEAD_MAX <= IPC_AT, "the heads have room");

static void write_heads(obs_stream_chunk *c) {
  size_t size = c->len - OBS_SP_ROOM;
  c->data[0] = (uint8_t)obs_websocket_head(size, c->data + WS_AT);
  (void)obs_sp_frame_head(true, size, c->data + IPC_AT);
}

obs_stream_chunk *obs_sp_chunk(size_t size) {
  obs_stream_chunk *c = obs_stream_chunk_new(OBS_SP_ROOM + size);
  if (c != NULL) write_heads(c);
  return c;
}

obs_stream_chunk *obs_sp_chunk_of(obs_buf *buf) {
  obs_stream_chunk *c = obs_stream_chunk_of(buf);
  if (c != NULL) write_heads(c);
  return c;
}

bool obs_sp_send(obs_stream *s, obs_stream_chunk *m) {
  connection *c = obs_stream_own(s);
  if (!c->ws) {
    size_t at = c->ipc ? IPC_AT : TCP_AT;
    return obs_stream_write(s, m, at, m->len - at);
  }
  pthread_mutex_lock(&c->tx);
  bool sent = obs_stream_write(s, m, WS_AT, m->data[0]) && obs_stream_write(s, m, OBS_SP_ROOM, m->len - OBS_SP_ROOM);
  pthread_mutex_unlock(&c->tx);
  return sent;
}

obs_stream_sent obs_sp_send_now(obs_stream *s, obs_stream_chunk *m) {
  const connection *c = obs_stream_own(s);
  if (c->ws) return obs_sp_send(s, m) ? OBS_STREAM_QUEUED : OBS_STREAM_CLOSED;
  size_t at = c->ipc ? IPC_AT : TCP_AT;
  return obs_stream_write_now(s, m, at, m->len - at);
}

/* Sends bytes between messages; `buf` is empty afterwards. */
static void send_bytes(obs_stream *s, obs_buf *buf) {
  connection *c = obs_stream_own(s);
  obs_stream_chunk *chunk = obs_stream_chunk_of(buf);
  if (chunk == NULL) {
    obs_stream_close(s);
    return;
  }
  if (c->ws) pthread_mutex_lock(&c->tx);
  (void)obs_stream_write(s, chunk, 0, chunk->len); /* closed already, or it learns of no memory by the next one */
  if (c->ws) pthread_mutex_unlock(&c->tx);
  obs_stream_chunk_unref(chunk);
}

/* ---- the handshake ---- */

static void shaken(obs_stream *s) {
  connection *c = obs_stream_own(s);
  const obs_sp_opts *o = &sp_of(s)->opts;
  c->ready = true;
  obs_stream_deadline(s, 0);
  obs_stream_evictable(s, false);
  if (o->opened != NULL) o->opened(s);
}

static void read_greeting(obs_stream *s) {
  size_t n;
  const uint8_t *p = obs_stream_bytes(s, &n);
  if (!obs_sp_greeting_fits(obs_sp_peer_of(sp_of(s)->opts.own), p, n)) {
    obs_sp_misfit(s);
  } else if (n >= OBS_SP_GREETING_BYTES) {
    obs_stream_consume(s, OBS_SP_GREETING_BYTES);
    shaken(s);
  }
}

static unsigned refuses(void *arg, obs_str host, obs_str origin) {
  obs_stream *s = arg;
  const obs_sp_opts *o = &sp_of(s)->opts;
  return o->refuses != NULL ? o->refuses(o->arg, obs_stream_address(s), host, origin) : 0;
}

static void read_request(obs_stream *s) {
  connection *c = obs_stream_own(s);
  obs_httpd_fault why;
  obs_buf answer = {0}, head = {0};
  size_t n, used;
  unsigned status = 0;
  const uint8_t *p = obs_stream_bytes(s, &n);
  obs_httpd_step step = obs_httpd_scan_head(&c->scan, p + c->scanned, n - c->scanned, &used, &why);
  c->scanned += used;
  if (step == OBS_HTTPD_MORE) return;
  if (step == OBS_HTTPD_WRONG) {
    obs_websocket_refuse(&answer, why.status, why.text);
  } else if (!obs_stream_take(s, c->scanned, &head)) {
    obs_stream_close(s);
    return;
  } else {
    const obs_websocket_site site = {obs_stream_address(s)->path, obs_sp_name_of(sp_of(s)->opts.own), refuses, s};
    status = obs_websocket_handshake(&site, head.p, head.len, &answer);
  }
  obs_buf_fini(&head);
  send_bytes(s, &answer);
  if (status == 101) {
    shaken(s);
    return;
  }
  c->refused = true;
  atomic_fetch_add_explicit(&sp_of(s)->misfits, 1, memory_order_relaxed);
  obs_stream_close_when_written(s);
}

/* ---- messages in WebSocket frames ---- */

static void charge(obs_stream *s) {
  connection *c = obs_stream_own(s);
  size_t now = c->joined.len;
  atomic_fetch_add(&sp_of(s)->joined, now - c->charged); /* unsigned: wraps to a subtraction */
  c->charged = now;
}

static void end_websocket(obs_stream *s, uint16_t code) {
  obs_buf out = {0};
  obs_websocket_close(&out, code);
  send_bytes(s, &out);
  obs_stream_close_when_written(s);
}

/* Adds a part to the message that comes; a whole one gets its head. False: no memory. */
static bool join(connection *c, const obs_websocket_frame *f) {
  static const uint8_t room[TCP_HEAD] = {0};
  if (c->joined.len == c->whole) obs_buf_append(&c->joined, room, TCP_HEAD);
  obs_buf_append(&c->joined, f->body, f->size);
  if (c->joined.oom) return false;
  if (!f->last) return true;
  uint8_t head[OBS_SP_HEAD_MAX];
  (void)obs_sp_frame_head(false, c->joined.len - c->whole - TCP_HEAD, head);
  memcpy(c->joined.p + c->whole, head, TCP_HEAD);
  c->whole = c->joined.len;
  return true;
}

/* Frame after frame until the bytes end, or the connection does: false. Whole messages are handed over before a frame
 * that may end it: what was sent before the end counts, as it does on tcp. */
static bool read_frames(obs_stream *s) {
  connection *c = obs_stream_own(s);
  obs_sp *sp = sp_of(s);
  for (;;) {
    obs_websocket_frame f;
    obs_buf out = {0};
    size_t n;
    uint8_t *p = (uint8_t *)obs_stream_bytes(s, &n); /* this connection's own, to be unmasked in place */
    /* It is read once only: reading unmasks it. */
    if (c->whole > 0 && n > 0 && obs_websocket_is_control(p[0])) return true;
    obs_websocket_step step = obs_websocket_read(&c->reader, p, n, sp->opts.message_bytes, &f);
    switch (step) {
    case OBS_WEBSOCKET_MORE:
      obs_stream_want(s, f.used);
      return true;
    case OBS_WEBSOCKET_PART:
      if (sp->opts.messages == NULL) {
        f.code = OBS_WEBSOCKET_NOT_BINARY;
        break;
      }
      if (!join(c, &f)) {
        obs_stream_close(s);
        return false;
      }
      obs_stream_consume(s, f.used);
      charge(s);
      if (atomic_load(&sp->joined) <= JOINED_BYTES) continue;
      if (c->whole > 0) return true; /* handing it over makes room */
      f.code = OBS_WEBSOCKET_LATER;
      break;
    case OBS_WEBSOCKET_PING:
      obs_websocket_pong(&out, f.body, f.size);
      obs_stream_consume(s, f.used);
      if (obs_stream_queued(s) < PONGS_BYTES) send_bytes(s, &out);
      obs_buf_fini(&out);
      continue;
    case OBS_WEBSOCKET_PONG:
      obs_stream_consume(s, f.used);
      continue;
    case OBS_WEBSOCKET_CLOSE:
      obs_stream_consume(s, f.used);
      end_websocket(s, f.code);
      return false;
    case OBS_WEBSOCKET_REFUSED:
      if (c->whole > 0) return true; /* it is refused again, after what came before it */
      break;
    }
    atomic_fetch_add_explicit(&sp->misfits, 1, memory_order_relaxed);
    end_websocket(s, f.code);
    return false;
  }
}

/* ---- messages ---- */

const uint8_t *obs_sp_bytes(obs_stream *s) {
  connection *c = obs_stream_own(s);
  size_t n;
  return c->ws ? (const uint8_t *)c->joined.p : obs_stream_bytes(s, &n);
}

obs_sp_frame obs_sp_read(obs_stream *s, const uint8_t *p) {
  const connection *c = obs_stream_own(s);
  obs_sp_frame frame;
  (void)obs_sp_frame_read(c->ipc, p, SIZE_MAX, SIZE_MAX, &frame); /* it is known to be whole */
  return frame;
}

void obs_sp_consume(obs_stream *s, size_t n) {
  connection *c = obs_stream_own(s);
  if (!c->ws) {
    obs_stream_consume(s, n);
    return;
  }
  if (n == 0) return;
  c->joined.len -= n;
  c->whole -= n;
  memmove(c->joined.p, c->joined.p + n, c->joined.len);
  charge(s);
}

bool obs_sp_take(obs_stream *s, size_t n, obs_buf *out) {
  connection *c = obs_stream_own(s);
  if (!c->ws) return obs_stream_take(s, n, out);
  out->len = 0;
  if (n == c->joined.len) {
    obs_buf other = {.p = out->p, .cap = out->cap};
    *out = c->joined;
    c->joined = other;
    c->whole = 0;
    charge(s);
    return true;
  }
  if (!obs_buf_reserve(out, n)) return false;
  obs_buf_append(out, c->joined.p, n);
  obs_sp_consume(s, n);
  return true;
}

/* The bytes of whole messages. `wrong`: what comes behind them is none; `want`: its bytes when that is known. */
static size_t measure(const connection *c, const uint8_t *p, size_t n, size_t max, bool *wrong, size_t *want) {
  size_t at = 0;
  *wrong = false;
  *want = 0;
  while (at < n) {
    obs_sp_frame f;
    obs_sp_step step = obs_sp_frame_read(c->ipc, p + at, n - at, max, &f);
    *wrong = step == OBS_SP_WRONG;
    if (step == OBS_SP_MORE) *want = f.head + f.size;
    if (step != OBS_SP_MESSAGE) return at;
    at += f.head + f.size;
  }
  return at;
}

/* How long the message that has begun may take; `fresh`: it is another one than at the last look. */
static void set_deadline(obs_stream *s, bool incomplete, bool fresh) {
  connection *c = obs_stream_own(s);
  if (incomplete && (fresh || !c->timed))
    obs_stream_deadline(s, OBS_SP_MESSAGE_MS);
  else if (!incomplete && c->timed)
    obs_stream_deadline(s, 0);
  c->timed = incomplete;
}

/* The peer sends no more, and there is nothing left of what it sent. */
static void end(obs_stream *s) {
  const obs_sp_opts *o = &sp_of(s)->opts;
  if (o->busy == NULL || !o->busy(s)) obs_stream_close(s);
}

/* Of a WebSocket. Returns whether whole messages are left, because it was paused; `over`: it closes. */
static bool read_joined(obs_stream *s, bool *fresh, bool *over) {
  const connection *c = obs_stream_own(s);
  const obs_sp_opts *o = &sp_of(s)->opts;
  *fresh = *over = false;
  while (c->whole == 0) {
    *over = !read_frames(s);
    if (*over || c->whole == 0) return false;
    *fresh = true;
    o->messages(s, c->whole);
  }
  return true;
}

static void read_websocket(obs_stream *s) {
  const connection *c = obs_stream_own(s);
  bool fresh, over;
  size_t n;
  if (c->whole > 0) sp_of(s)->opts.messages(s, c->whole); /* it was paused: first what waits */
  bool left = read_joined(s, &fresh, &over);
  if (over) return;
  (void)obs_stream_bytes(s, &n);
  set_deadline(s, !left && (n > 0 || c->joined.len > c->whole), fresh);
  if (obs_stream_ended(s) && !left) end(s);
}

static void read_stream(obs_stream *s) {
  const connection *c = obs_stream_own(s);
  const obs_sp_opts *o = &sp_of(s)->opts;
  bool wrong;
  size_t n, whole, want, rest;
  const uint8_t *p = obs_stream_bytes(s, &n);
  if (n > 0 && o->messages == NULL) {
    obs_sp_misfit(s);
    return;
  }
  whole = measure(c, p, n, o->message_bytes, &wrong, &want);
  if (whole > 0) o->messages(s, whole);
  (void)obs_stream_bytes(s, &rest);
  bool left = rest > n - whole;
  if (wrong && !left) {
    obs_sp_misfit(s);
    return;
  }
  obs_stream_want(s, left ? 0 : want);
  set_deadline(s, !left && rest > 0, whole > 0);
  if (obs_stream_ended(s) && !left) end(s);
}

/* ---- who the peer is ---- */

const obs_identity *obs_sp_identity(obs_stream *s) {
  connection *c = obs_stream_own(s);
  return obs_sp_guest_identity(&c->guest, &sp_of(s)->doors, s);
}

obs_access_result obs_sp_identify(obs_stream *s, obs_str key) {
  connection *c = obs_stream_own(s);
  return obs_sp_guest_identify(&c->guest, &sp_of(s)->doors, s, key);
}

bool obs_sp_is_private(const obs_stream *s) {
  const obs_address *a = obs_stream_address(s);
  return a->tls || a->kind == OBS_ADDRESS_IPC;
}

static const char *key_of(const obs_identity *who) {
  return who->key != NULL ? who->key->id : "";
}

void obs_sp_deny(obs_stream *s, const obs_identity *who, unsigned needs, uint32_t n, char why[OBS_SP_WHY_MAX]) {
  obs_sp_why_not(who, needs, why);
  obs_sp_denied(&sp_of(s)->doors, s, key_of(who), who->scopes != 0 ? 403 : 401, why, n);
}

void obs_sp_deny_source(obs_stream *s, const obs_identity *who, uint32_t n) {
  obs_sp_denied(&sp_of(s)->doors, s, key_of(who), 403, "this key may not speak as that source", n);
}

void obs_sp_turn_away(obs_stream *s) {
  const connection *c = obs_stream_own(s);
  if (c->ws && c->ready)
    end_websocket(s, OBS_WEBSOCKET_POLICY);
  else
    obs_stream_close(s);
}

/* One that has not shaken hands is looked at when it has. */
static void review_one(obs_stream *s, void *arg) {
  const connection *c = obs_stream_own(s);
  obs_sp *sp = sp_of(s);
  const unsigned *needs = arg;
  if (!c->ready || obs_sp_door_admits(&sp->doors, obs_stream_listener_number(s), *needs)) return;
  obs_sp_denied(&sp->doors, s, obs_stream_address(s)->key, 401, "its listener's key is not valid any more", 1);
  obs_sp_turn_away(s);
}

void obs_sp_review(obs_sp *sp, unsigned needs) {
  bool all = true;
  for (uint32_t i = 0; i < sp->doors.ndoors; i++) all = all && obs_sp_door_admits(&sp->doors, i, needs);
  if (!all) obs_stream_server_each(sp->server, review_one, &needs);
}

/* ---- the stream's callbacks ---- */

static void on_stranger(const obs_stream *s) {
  const obs_sp *sp = sp_of(s);
  obs_sp_denied(&sp->doors, s, "", 401, "not one of the listener's users", 1);
}

static void on_opened(obs_stream *s) {
  connection *c = obs_stream_own(s);
  const obs_sp *sp = sp_of(s);
  obs_address_kind kind = obs_stream_address(s)->kind;
  c->ipc = kind == OBS_ADDRESS_IPC;
  c->ws = kind == OBS_ADDRESS_WS;
  pthread_mutex_init(&c->tx, NULL); /* the default kind does not fail */
  obs_stream_deadline(s, OBS_SP_HANDSHAKE_MS);
  obs_stream_evictable(s, true);
  if (!c->ws && !obs_stream_write(s, sp->greeting, 0, OBS_SP_GREETING_BYTES)) obs_stream_close(s);
}

static void on_received(obs_stream *s) {
  connection *c = obs_stream_own(s);
  if (!c->ready) {
    c->ws ? read_request(s) : read_greeting(s);
    if (!c->ready) {
      if (obs_stream_ended(s) && !c->refused) obs_stream_close(s);
      return;
    }
  }
  c->ws ? read_websocket(s) : read_stream(s);
}

static void on_written(obs_stream *s) {
  const connection *c = obs_stream_own(s);
  const obs_sp_opts *o = &sp_of(s)->opts;
  if (c->ready && o->written != NULL) o->written(s);
}

static void on_closed(obs_stream *s) {
  connection *c = obs_stream_own(s);
  const obs_sp_opts *o = &sp_of(s)->opts;
  if (c->ready && o->closed != NULL) o->closed(s);
  obs_buf_fini(&c->joined);
  charge(s);
  obs_sp_guest_fini(&c->guest);
  pthread_mutex_destroy(&c->tx);
}

/* ---- life ---- */

observer_err obs_sp_open(const obs_sp_opts *opts, obs_sp **out) {
  obs_sp *sp = calloc(1, sizeof *sp);
  if (sp == NULL) return OBSERVER_E_NOMEM;
  sp->opts = *opts;
  sp->doors = (obs_sp_doors){.access = opts->access, .name = opts->name};
  sp->greeting = obs_stream_chunk_new(OBS_SP_GREETING_BYTES);
  if (sp->greeting == NULL) {
    free(sp);
    return OBSERVER_E_NOMEM;
  }
  obs_sp_greeting_write(opts->own, sp->greeting->data);
  sp->protocol = (obs_stream_protocol){.name = opts->name,
                                       .size = HEAD + opts->size,
                                       .opened = on_opened,
                                       .received = on_received,
                                       .written = on_written,
                                       .closed = on_closed,
                                       .stranger = on_stranger};
  const obs_stream_opts streams = {
      .protocol = &sp->protocol, .arg = sp, .max_connections = opts->max_connections, .tls = opts->tls};
  observer_err err = obs_stream_server_open(&streams, &sp->server);
  if (err == OBSERVER_E_OK)
    *out = sp;
  else
    obs_sp_close(sp);
  return err;
}

observer_err obs_sp_listen(obs_sp *sp, const obs_address *a, char bound[OBS_ADDRESS_MAX], char *why, size_t why_size) {
  observer_err err = obs_stream_server_listen(sp->server, a, bound, why, why_size);
  if (err != OBSERVER_E_OK || obs_sp_doors_add(&sp->doors, a, bound)) return err;
  (void)snprintf(why, why_size, "%s", observer_strerror(OBSERVER_E_NOMEM));
  return OBSERVER_E_NOMEM;
}

obs_stream_server *obs_sp_streams(obs_sp *sp) {
  return sp->server;
}

void obs_sp_get_counts(obs_sp *sp, obs_sp_counts *out) {
  obs_stream_server_get_counts(sp->server, &out->streams);
  out->streams.bytes += atomic_load(&sp->joined);
  out->misfits = atomic_load(&sp->misfits);
}

static void say_going(obs_stream *s, void *arg) {
  const connection *c = obs_stream_own(s);
  (void)arg;
  if (c->ws && c->ready) end_websocket(s, OBS_WEBSOCKET_GOING);
}

bool obs_sp_close(obs_sp *sp) {
  if (sp == NULL) return true;
  if (sp->server != NULL) {
    obs_stream_server_stop_accept(sp->server);
    obs_stream_server_each(sp->server, say_going, NULL);
    obs_stream_server_drain(sp->server, GOING_MS);
  }
  if (!obs_stream_server_close(sp->server)) return false;
  obs_stream_chunk_unref(sp->greeting);
  obs_sp_doors_fini(&sp->doors);
  free(sp);
  return true;
}
