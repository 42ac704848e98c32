#include "client/connection.h"

#include "base/clock.h"
#include "client/internal.h"
#include "sp/frame.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* HANDSHAKE_MS: for looking up a name, for connecting to the last of its addresses (CONNECT_MS: to each one before),
 * and from there to the greeting. CHUNK: what one write gives to the system. READS: after so many, other connections
 * have their turn. ANSWER_MAX: an answer lists at most 1,000 errors. */
enum { RECONNECT_MIN_MS = 50, RECONNECT_MAX_MS = 1000, HANDSHAKE_MS = 10000 };
enum { CHUNK = 64 * 1024, READ = 16 * 1024, READS = 64, IN_KEEP = 64 * 1024, ANSWER_MAX = 4 * 1024 * 1024 };
enum { PUB_QUEUE = 4096, PONGS_MAX = 16, CONNECT_MS = 3000, HEAD_MAX = OBS_CLIENT_WEBSOCKET_HEAD_MAX + 4 };
#define REQUEST_BIT UINT32_C(0x80000000)

static const char no_memory[] = "out of memory", closed_early[] = "the connection was closed while it was made";

static const struct {
  obs_sp_protocol own;
  const char *peer;
} modes[] = {[OBSERVER_PUSH] = {OBS_SP_PUSH, "PULL"},
             [OBSERVER_PUB] = {OBS_SP_PUB, "SUB"},
             [OBSERVER_ACKNOWLEDGED] = {OBS_SP_REQ, "REP"}};

static obs_sp_protocol peer_of(const obs_client_connection *x) {
  return obs_sp_peer_of(modes[x->client->o.mode].own);
}

struct obs_client_item {
  obs_client_item *next;
  obs_client_body *body;
  size_t len;
  obs_client_channel *channel; /* whose message it is; NULL: nobody waits for it */
  uint8_t head[HEAD_MAX], mask[4];
  uint8_t head_len;
  bool masked, pong;
  size_t filled;   /* bytes that the chunk has got */
  uint64_t end_at; /* of the connection's bytes, when it is filled */
};

/* ---- channels ---- */

bool obs_client_channel_is_busy(const obs_client_channel *l) {
  return l->state == OBS_CHANNEL_SENDS || l->state == OBS_CHANNEL_AWAITS;
}

static void finish(obs_client_channel *l, obs_client_end end) {
  l->done = true;
  l->end = end;
}

/* ---- the queue ---- */

static obs_client_item *add_item(obs_client_connection *x, obs_client_body *body, size_t len) {
  obs_client_item *item = calloc(1, sizeof(*item));
  if (item == NULL) return NULL;
  item->body = body;
  item->len = len;
  body->refs++;
  if (x->tail != NULL)
    x->tail->next = item;
  else
    x->head = item;
  x->tail = item;
  if (x->filling == NULL) x->filling = item;
  x->nitems++;
  x->queued_bytes += len;
  return item;
}

static void free_item(obs_client_connection *x, obs_client_item *item) {
  if (item->pong) x->npongs--;
  x->queued_bytes -= item->len;
  obs_client_body_unref(item->body);
  free(item);
  x->nitems--;
}

static void free_items(obs_client_connection *x) {
  for (obs_client_item *item = x->head, *next; item != NULL; item = next) {
    next = item->next;
    free_item(x, item);
  }
  x->head = x->tail = x->filling = NULL;
}

/* Takes one out that has not begun. */
static void remove_item(obs_client_connection *x, obs_client_item *item, obs_client_item *before) {
  if (before != NULL)
    before->next = item->next;
  else
    x->head = item->next;
  if (x->tail == item) x->tail = before;
  if (x->filling == item) x->filling = item->next;
  free_item(x, item);
}

/* Bytes without a frame around them: what is said before there are messages, and a WebSocket's control frames. */
static obs_client_item *say(obs_client_connection *x, const void *bytes, size_t n) {
  obs_client_body *body = obs_client_body_new(n);
  if (body == NULL) return NULL;
  memcpy(body->bytes, bytes, n);
  obs_client_item *item = add_item(x, body, n);
  obs_client_body_unref(body);
  return item;
}

/* `request` 0: none. */
static bool queue_message(obs_client_connection *x, obs_client_body *body, size_t len, obs_client_channel *l,
                          uint32_t request) {
  uint8_t id[4] = {(uint8_t)(request >> 24), (uint8_t)(request >> 16), (uint8_t)(request >> 8), (uint8_t)request};
  size_t id_len = request != 0 ? sizeof(id) : 0;
  uint8_t mask[4] = {0};
  if (x->to.ws && getrandom(mask, sizeof(mask), 0) != sizeof(mask)) return false;
  obs_client_item *item = add_item(x, body, len);
  if (item == NULL) return false;
  item->channel = l;
  if (x->to.ws) {
    item->masked = true;
    memcpy(item->mask, mask, sizeof(mask));
    item->head_len = (uint8_t)obs_client_ws_head(false, id_len + len, mask, item->head);
    obs_client_ws_mask(id, sizeof(id), mask, 0);
  } else {
    item->head_len = (uint8_t)obs_sp_frame_head(x->to.local, id_len + len, item->head);
  }
  memcpy(item->head + item->head_len, id, id_len);
  item->head_len = (uint8_t)(item->head_len + id_len);
  return true;
}

bool obs_client_connection_send(obs_client_connection *x, obs_client_body *body, size_t len, obs_client_channel *l) {
  observer_client *c = x->client;
  uint32_t request = 0;
  if (c->o.mode == OBSERVER_ACKNOWLEDGED) request = ++c->last_request | REQUEST_BIT;
  if (!queue_message(x, body, len, l, request)) return false;
  l->at = x;
  l->request = request;
  l->done = false;
  l->deadline_ms = obs_clock_mono_ms() + c->o.request_timeout_ms;
  return true;
}

bool obs_client_connection_publish(obs_client_connection *x, obs_client_body *body, size_t len) {
  obs_client_item *before = NULL;
  for (obs_client_item *item = x->head; item != NULL && item->filled > 0; item = item->next) before = item;
  /* The oldest that have not begun make room. */
  while (x->nitems >= PUB_QUEUE || (x->nitems > 0 && x->queued_bytes + len > x->client->o.queue_bytes)) {
    obs_client_item *oldest = before != NULL ? before->next : x->head;
    if (oldest == NULL) break;
    remove_item(x, oldest, before);
  }
  return queue_message(x, body, len, NULL, 0);
}

void obs_client_connection_cancel(obs_client_channel *l, obs_client_end end) {
  obs_client_connection *x = l->at;
  obs_client_item *before = NULL;
  for (obs_client_item *item = x->head; item != NULL; before = item, item = item->next) {
    if (item->channel != l) continue;
    item->channel = NULL; /* what has begun must be written to its end */
    if (item->filled == 0) remove_item(x, item, before);
    break;
  }
  finish(l, end);
}

/* ---- writing ---- */

typedef enum { IO_SOME, IO_WAITS, IO_ENDED, IO_FAILED } io_result;

static io_result io_of(obs_client_connection *x, obs_client_tls_step step, bool writes) {
  switch (step) {
  case OBS_TLS_DONE:
    return IO_SOME;
  case OBS_TLS_WANTS_READ:
    if (writes) x->write_wants_read = true;
    return IO_WAITS;
  case OBS_TLS_WANTS_WRITE:
    if (!writes) x->read_wants_write = true;
    return IO_WAITS;
  case OBS_TLS_ENDED:
    return IO_ENDED;
  default:
    return IO_FAILED;
  }
}

static io_result put(obs_client_connection *x, const void *bytes, size_t size, size_t *n) {
  if (x->tls != NULL) return io_of(x, obs_client_tls_write(x->tls, bytes, size, n), true);
  ssize_t rc = send(x->fd, bytes, size, MSG_NOSIGNAL);
  if (rc < 0) return errno == EAGAIN || errno == EINTR ? IO_WAITS : IO_FAILED;
  *n = (size_t)rc;
  return IO_SOME;
}

static void fill_from(obs_client_connection *x, obs_client_item *item) {
  size_t total = item->head_len + item->len;
  while (item->filled < total && x->chunk_len < CHUNK) {
    bool in_head = item->filled < item->head_len;
    size_t at = in_head ? item->filled : item->filled - item->head_len;
    size_t left = (in_head ? item->head_len : item->len) - at, room = CHUNK - x->chunk_len;
    size_t n = left < room ? left : room;
    uint8_t *to = x->chunk + x->chunk_len;
    memcpy(to, in_head ? (const char *)item->head + at : item->body->bytes + at, n);
    if (!in_head && item->masked) obs_client_ws_mask(to, n, item->mask, at);
    x->chunk_len += n;
    item->filled += n;
  }
}

static void wipe_chunk(obs_client_connection *x) {
  if (x->chunk_secret) explicit_bzero(x->chunk, CHUNK);
  x->chunk_secret = false;
}

static void fill(obs_client_connection *x) {
  wipe_chunk(x);
  x->chunk_len = x->chunk_at = 0;
  while (x->filling != NULL && x->chunk_len < CHUNK) {
    obs_client_item *item = x->filling;
    if (item->body->secret) x->chunk_secret = true;
    fill_from(x, item);
    if (item->filled < item->head_len + item->len) break;
    item->end_at = x->filled + x->chunk_len;
    x->filling = item->next;
  }
  x->filled += x->chunk_len;
}

/* The first items, as far as they are written. */
static void end_written(obs_client_connection *x) {
  for (obs_client_item *item; (item = x->head) != NULL && item != x->filling && item->end_at <= x->written;) {
    obs_client_channel *l = item->channel;
    if (l != NULL && l->request != 0) {
      l->state = OBS_CHANNEL_AWAITS;
      l->deadline_ms = x->progress_ms + x->client->o.request_timeout_ms;
    } else if (l != NULL) {
      finish(l, OBS_END_OK);
    }
    x->head = item->next;
    if (x->head == NULL) x->tail = NULL;
    free_item(x, item);
  }
}

/* As much as the socket takes. */
static io_result write_all(obs_client_connection *x) {
  for (;;) {
    size_t n = 0;
    if (x->chunk_at == x->chunk_len) fill(x);
    if (x->chunk_at == x->chunk_len) {
      wipe_chunk(x);
      return IO_SOME;
    }
    io_result result = put(x, x->chunk + x->chunk_at, x->chunk_len - x->chunk_at, &n);
    x->blocked = result == IO_WAITS;
    if (result != IO_SOME) return result;
    x->chunk_at += n;
    x->written += n;
    x->progress_ms = obs_clock_mono_ms();
    end_written(x);
  }
}

static bool has_to_write(const obs_client_connection *x) {
  return x->state >= OBS_CONNECTION_UPGRADES && (x->chunk_at < x->chunk_len || x->filling != NULL);
}

/* ---- beginning and ending ---- */

static void set_open(obs_client_connection *x, bool open, const char *why) {
  observer_client *c = x->client;
  c->stirred = true;
  pthread_mutex_lock(&c->lock);
  x->open = open;
  snprintf(x->why, sizeof(x->why), "%s", why);
  pthread_cond_broadcast(&c->settled); /* observer_connect */
  pthread_mutex_unlock(&c->lock);
}

static void free_attempt(obs_client_connection *x) {
  if (x->found != NULL) freeaddrinfo(x->found);
  x->found = x->next = NULL;
  obs_client_tls_end(x->tls, false);
  x->tls = NULL;
  if (x->fd >= 0) close(x->fd);
  x->fd = -1;
  if (x->chunk != NULL) wipe_chunk(x);
  free(x->chunk);
  x->chunk = NULL;
  x->chunk_len = x->chunk_at = 0;
  x->filled = x->written = 0;
  x->read_wants_write = x->write_wants_read = x->blocked = x->more = x->inside = x->taken = false;
  obs_buf_fini(&x->in);
  obs_buf_fini(&x->parts);
}

static void lose(obs_client_connection *x, obs_client_channel *l) {
  if (l->at == x && obs_client_channel_is_busy(l) && !l->done) finish(l, OBS_END_LOST);
}

/* `why`: how a try to connect failed; a connection that was open has just gone. */
static void end(obs_client_connection *x, const char *why) {
  observer_client *c = x->client;
  bool was_open = x->state == OBS_CONNECTION_OPEN;
  free_items(x);
  for (size_t i = 0; i < c->nchannels; i++) lose(x, &c->channels[i]);
  lose(x, &x->key);
  free_attempt(x);
  x->state = OBS_CONNECTION_RESTS;
  uint64_t most = (uint64_t)RECONNECT_MIN_MS << (x->failures < 10 ? x->failures : 10);
  if (most > RECONNECT_MAX_MS) most = RECONNECT_MAX_MS;
  x->failures = was_open ? 0 : x->failures + 1;
  x->due_ms = obs_client_moment_within(c, most);
  set_open(x, false, was_open ? "" : why);
}

void obs_client_connection_drop(obs_client_connection *x) {
  if (x->state != OBS_CONNECTION_RESTS) end(x, closed_early);
}

observer_err obs_client_connection_init(obs_client_connection *x, observer_client *c, const char *url, char *text,
                                        size_t size) {
  *x = (obs_client_connection){.client = c, .fd = -1};
  observer_err err = obs_client_endpoint_parse(url, &x->to, text, size);
  x->local = (struct addrinfo){.ai_family = AF_UNIX,
                               .ai_socktype = SOCK_STREAM,
                               .ai_addr = (struct sockaddr *)&x->to.socket,
                               .ai_addrlen = x->to.socket_size};
  return err;
}

/* What is written has left this process, but may not have left the machine: it would be thrown away if there were
 * something that nobody has read. */
static void part(obs_client_connection *x) {
  char unread[READ];
  obs_client_tls_end(x->tls, true);
  x->tls = NULL;
  (void)shutdown(x->fd, SHUT_WR);
  for (unsigned i = 0; i < READS && recv(x->fd, unread, sizeof(unread), MSG_DONTWAIT) > 0; i++) continue;
}

void obs_client_connection_fini(obs_client_connection *x) {
  if (x->state == OBS_CONNECTION_OPEN) part(x);
  free_items(x);
  free_attempt(x);
  obs_client_resolve_abandon(x->resolve);
  x->resolve = NULL;
  obs_buf_fini(&x->key.answer);
}

/* ---- the try to connect ---- */

static void open_now(obs_client_connection *x) {
  x->state = OBS_CONNECTION_OPEN;
  x->due_ms = UINT64_MAX;
  x->failures = x->refusals = 0;
  x->heard_ms = obs_clock_mono_ms();
  x->taken = x->key.done = false; /* an answer of the connection before says nothing here */
  x->key.state = OBS_CHANNEL_FREE;
  obs_client_link_spread(x->client);
  set_open(x, true, "");
}

/* There is a way for bytes: what stands before messages is said. */
static void begin_talk(obs_client_connection *x) {
  bool ok;
  if (x->to.ws) {
    obs_buf request = {0};
    ok = obs_client_ws_request(&request, x->to.host, x->to.port, x->to.path, obs_sp_name_of(peer_of(x)), x->accept) &&
         say(x, request.p, request.len) != NULL;
    obs_buf_fini(&request);
  } else {
    uint8_t greeting[OBS_SP_GREETING_BYTES];
    obs_sp_greeting_write(modes[x->client->o.mode].own, greeting);
    ok = say(x, greeting, sizeof(greeting)) != NULL;
  }
  x->state = x->to.ws ? OBS_CONNECTION_UPGRADES : OBS_CONNECTION_GREETS;
  x->more = x->tls != NULL; /* what came with the end of its handshake */
  x->progress_ms = obs_clock_mono_ms();
  x->chunk = ok ? malloc(CHUNK) : NULL;
  if (x->chunk == NULL) end(x, no_memory);
}

static void explain_tls(obs_client_connection *x, obs_client_tls_step step, char *why, size_t size) {
  obs_client_tls_explain(x->tls, step, x->to.host, x->client->o.tls_cert != NULL, why, size);
}

static void shake_hands(obs_client_connection *x) {
  char why[OBS_CLIENT_TROUBLE_MAX];
  obs_client_tls_step step = obs_client_tls_shake_hands(x->tls, x->to.host);
  x->read_wants_write = step == OBS_TLS_WANTS_WRITE;
  if (step == OBS_TLS_WANTS_READ || step == OBS_TLS_WANTS_WRITE) return;
  if (step == OBS_TLS_DONE) {
    begin_talk(x);
    return;
  }
  explain_tls(x, step, why, sizeof(why));
  end(x, why);
}

static void connected(obs_client_connection *x) {
  int yes = 1;
  x->due_ms = obs_clock_mono_ms() + HANDSHAKE_MS;
  if (!x->to.local) (void)setsockopt(x->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)); /* only slower without */
  if (!x->to.tls) {
    begin_talk(x);
    return;
  }
  x->tls = obs_client_tls_start(x->client->tls, x->fd, x->to.host);
  x->state = OBS_CONNECTION_SECURES;
  if (x->tls == NULL)
    end(x, no_memory);
  else
    shake_hands(x);
}

/* One address after the other. `error`: of the one before. */
static void connect_next(obs_client_connection *x, int error) {
  while (x->next != NULL) {
    const struct addrinfo *to = x->next;
    x->next = to->ai_next;
    if (x->fd >= 0) close(x->fd);
    x->due_ms = obs_clock_mono_ms() + (x->next != NULL ? CONNECT_MS : HANDSHAKE_MS);
    x->fd = socket(to->ai_family, to->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, to->ai_protocol);
    int rc = x->fd >= 0 ? connect(x->fd, to->ai_addr, to->ai_addrlen) : -1;
    if (rc == 0) {
      connected(x);
      return;
    }
    error = errno;
    if (x->fd >= 0 && error == EINPROGRESS) {
      x->state = OBS_CONNECTION_CONNECTS;
      return;
    }
  }
  end(x, strerror(error));
}

static void end_connecting(obs_client_connection *x) {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(x->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error == 0)
    connected(x);
  else
    connect_next(x, error);
}

static void use_addresses(obs_client_connection *x, int error, struct addrinfo *found) {
  if (error != 0) {
    end(x, gai_strerror(error));
    return;
  }
  x->found = x->next = found;
  connect_next(x, 0);
}

static void dial(obs_client_connection *x) {
  const struct addrinfo hints = {
      .ai_family = x->to.family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
  struct addrinfo *found = NULL;
  x->due_ms = obs_clock_mono_ms() + HANDSHAKE_MS;
  if (x->to.local) {
    x->next = &x->local;
    connect_next(x, 0);
    return;
  }
  int error = getaddrinfo(x->to.host, x->to.port, &hints, &found);
  if (error != EAI_NONAME) {
    use_addresses(x, error, found);
    return;
  }
  x->state = OBS_CONNECTION_RESOLVES;
  if (x->resolve == NULL) /* else that of the last try still goes on */
    x->resolve = obs_client_resolve_start(x->to.host, x->to.port, x->to.family, x->client->wake);
  if (x->resolve == NULL) end(x, no_memory);
}

static void take_addresses(obs_client_connection *x) {
  int error;
  struct addrinfo *found = NULL;
  if (!obs_client_resolve_take(x->resolve, &error, &found)) return;
  x->resolve = NULL;
  use_addresses(x, error, found);
}

/* ---- reading ---- */

/* Bytes of `in` that were used, and whether to go on. */
typedef enum { READ_ON, READ_MORE, READ_END } parse_result;

static bool answer(obs_client_channel *l, const obs_client_connection *x, uint32_t request, const void *p, size_t n) {
  if (l->at != x || l->state != OBS_CHANNEL_AWAITS || l->done || l->request != request) return false;
  l->answer.len = 0;
  obs_buf_append(&l->answer, p, n);
  finish(l, l->answer.oom ? OBS_END_LOST : OBS_END_OK);
  l->answer.oom = false;
  return true;
}

/* False: nothing of this kind is awaited here. An answer that comes too late is nobody's. */
static bool take_message(obs_client_connection *x, const uint8_t *p, size_t n) {
  observer_client *c = x->client;
  if (c->o.mode != OBSERVER_ACKNOWLEDGED || n < 4) return false;
  uint32_t request = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
  bool found = answer(&x->key, x, request, p + 4, n - 4);
  for (size_t i = 0; i < c->nchannels && !found; i++) found = answer(&c->channels[i], x, request, p + 4, n - 4);
  return true;
}

static parse_result parse_frame(obs_client_connection *x, const uint8_t *p, size_t n, size_t *used) {
  obs_sp_frame f;
  obs_sp_step step = obs_sp_frame_read(x->to.local, p, n, ANSWER_MAX, &f);
  if (step == OBS_SP_MORE) return READ_MORE;
  if (step == OBS_SP_WRONG || !take_message(x, p + f.head, f.size)) return READ_END;
  *used = f.head + f.size;
  return READ_ON;
}

static bool pong(obs_client_connection *x, const obs_client_ws_frame *f) {
  uint8_t out[OBS_CLIENT_WEBSOCKET_HEAD_MAX + 125], mask[4];
  if (x->npongs == PONGS_MAX || getrandom(mask, sizeof(mask), 0) != sizeof(mask)) return false;
  size_t head = obs_client_ws_head(true, f->size, mask, out);
  memcpy(out + head, f->body, f->size);
  obs_client_ws_mask(out + head, f->size, mask, 0);
  obs_client_item *item = say(x, out, head + f->size);
  if (item == NULL) return false;
  item->pong = true;
  x->npongs++;
  return true;
}

static bool take_part(obs_client_connection *x, const obs_client_ws_frame *f, bool last) {
  if (last && !x->inside) return take_message(x, f->body, f->size);
  obs_buf_append(&x->parts, f->body, f->size);
  if (x->parts.oom || x->parts.len > ANSWER_MAX) return false;
  x->inside = !last;
  if (!last) return true;
  bool ok = take_message(x, (const uint8_t *)x->parts.p, x->parts.len);
  obs_buf_reset(&x->parts, IN_KEEP);
  return ok;
}

static parse_result parse_websocket(obs_client_connection *x, const uint8_t *p, size_t n, size_t *used) {
  obs_client_ws_frame f;
  obs_client_ws_step step = obs_client_ws_read(x->inside, p, n, ANSWER_MAX, &f);
  *used = f.used;
  switch (step) {
  case OBS_WS_MORE:
    return READ_MORE;
  case OBS_WS_MESSAGE:
  case OBS_WS_PART:
    return take_part(x, &f, step == OBS_WS_MESSAGE) ? READ_ON : READ_END;
  case OBS_WS_PING:
    return pong(x, &f) ? READ_ON : READ_END;
  case OBS_WS_PONG:
    return READ_ON;
  default:
    return READ_END;
  }
}

static parse_result parse_upgrade(obs_client_connection *x, const uint8_t *p, size_t n, size_t *used, char *why,
                                  size_t size) {
  unsigned status;
  obs_client_ws_step step =
      obs_client_ws_answer((const char *)p, n, obs_sp_name_of(peer_of(x)), x->accept, used, &status);
  if (step == OBS_WS_MORE) return READ_MORE;
  if (step == OBS_WS_MESSAGE) {
    open_now(x);
    return READ_ON;
  }
  if (status != 0) snprintf(why, size, "the listener refused the WebSocket with status %u", status);
  return READ_END;
}

static parse_result parse_greeting(obs_client_connection *x, const uint8_t *p, size_t n, size_t *used) {
  if (!obs_sp_greeting_fits(peer_of(x), p, n)) return READ_END;
  if (n < OBS_SP_GREETING_BYTES) return READ_MORE;
  *used = OBS_SP_GREETING_BYTES;
  open_now(x);
  return READ_ON;
}

/* All that is whole. False: it has ended. */
static bool parse(obs_client_connection *x) {
  char why[OBS_CLIENT_TROUBLE_MAX];
  size_t at = 0;
  parse_result result = READ_ON;
  snprintf(why, sizeof(why), "the listener there is not a %s socket (wrong port?)", modes[x->client->o.mode].peer);
  while (result == READ_ON && at < x->in.len) {
    const uint8_t *p = (const uint8_t *)x->in.p + at;
    size_t n = x->in.len - at, used = 0;
    if (x->state == OBS_CONNECTION_UPGRADES)
      result = parse_upgrade(x, p, n, &used, why, sizeof(why));
    else if (x->state == OBS_CONNECTION_GREETS)
      result = parse_greeting(x, p, n, &used);
    else
      result = x->to.ws ? parse_websocket(x, p, n, &used) : parse_frame(x, p, n, &used);
    if (result == READ_ON) at += used;
  }
  if (result == READ_END) {
    end(x, why);
    return false;
  }
  if (at > 0) memmove(x->in.p, x->in.p + at, x->in.len - at);
  x->in.len -= at;
  if (x->in.len == 0) obs_buf_reset(&x->in, IN_KEEP);
  return true;
}

static io_result get(obs_client_connection *x, void *to, size_t size, size_t *n) {
  if (x->tls != NULL) return io_of(x, obs_client_tls_read(x->tls, to, size, n), false);
  ssize_t rc = recv(x->fd, to, size, 0);
  if (rc < 0) return errno == EAGAIN || errno == EINTR ? IO_WAITS : IO_FAILED;
  *n = (size_t)rc;
  return rc == 0 ? IO_ENDED : IO_SOME;
}

/* What came after hands were shaken, but before the connection was open, tells why it is not. */
static void end_broken(obs_client_connection *x, io_result result) {
  char why[OBS_CLIENT_TROUBLE_MAX];
  int error = errno;
  if (x->state != OBS_CONNECTION_OPEN && x->tls != NULL) {
    explain_tls(x, result == IO_ENDED ? OBS_TLS_ENDED : OBS_TLS_FAILED, why, sizeof(why));
    end(x, why);
  } else if (result == IO_ENDED || error == ECONNRESET || error == EPIPE) {
    end(x, closed_early);
  } else {
    end(x, strerror(error));
  }
}

static void receive(obs_client_connection *x) {
  x->read_wants_write = false;
  for (unsigned i = 0; i < READS; i++) {
    size_t n = 0;
    if (!obs_buf_reserve(&x->in, READ)) {
      end(x, no_memory);
      return;
    }
    io_result result = get(x, x->in.p + x->in.len, READ, &n);
    if (result == IO_WAITS) {
      x->more = false;
      return;
    }
    if (result != IO_SOME) {
      end_broken(x, result);
      return;
    }
    x->in.len += n;
    if (!parse(x)) return;
    x->more = x->tls != NULL; /* of a socket there is no more; if there is after all, poll tells */
    if (!x->more && n < READ) return;
  }
  x->more = true;
}

/* ---- what the thread calls ---- */

struct pollfd obs_client_connection_poll(const obs_client_connection *x) {
  bool writes = x->state == OBS_CONNECTION_CONNECTS || x->read_wants_write || (has_to_write(x) && !x->write_wants_read);
  return (struct pollfd){.fd = x->fd, .events = (short)(POLLIN | (writes ? POLLOUT : 0))};
}

uint64_t obs_client_connection_due(const obs_client_connection *x) {
  bool now = x->more || (has_to_write(x) && !x->blocked);
  return now ? 0 : x->due_ms;
}

static void talk(obs_client_connection *x, short revents) {
  if ((revents & (POLLIN | POLLERR | POLLHUP)) != 0 || x->more || (x->read_wants_write && (revents & POLLOUT) != 0))
    receive(x);
  if ((revents & POLLOUT) != 0 || (x->write_wants_read && (revents & POLLIN) != 0))
    x->blocked = x->write_wants_read = false;
  if (!has_to_write(x) || x->blocked) return;
  io_result result = write_all(x);
  if (result == IO_ENDED || result == IO_FAILED) end_broken(x, result);
}

void obs_client_connection_step(obs_client_connection *x, short revents) {
  if (x->state != OBS_CONNECTION_RESTS && x->due_ms <= obs_clock_mono_ms()) {
    if (x->state == OBS_CONNECTION_CONNECTS && x->next != NULL)
      connect_next(x, ETIMEDOUT);
    else
      end(x, "no connection in time");
    return;
  }
  switch (x->state) {
  case OBS_CONNECTION_RESTS:
    if (x->due_ms <= obs_clock_mono_ms()) dial(x);
    break;
  case OBS_CONNECTION_RESOLVES:
    take_addresses(x);
    break;
  case OBS_CONNECTION_CONNECTS:
    if (revents != 0) end_connecting(x);
    break;
  case OBS_CONNECTION_SECURES:
    if (revents != 0) shake_hands(x);
    break;
  default:
    talk(x, revents);
  }
}
