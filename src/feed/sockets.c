#include "base/log.h"
#include "feed/internal.h"

#include <inttypes.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <stdlib.h>

/* RECEIVE_BYTES: subscribers send nothing. SETTLE_MS: time for the last messages to leave NNG's queues. */
enum { RECEIVE_BYTES = 64, RECONNECT_MIN_MS = 100, RECONNECT_MAX_MS = 5000, SETTLE_MS = 50, CLOSE_MS = 500 };

/* ---- those that connect here ---- */

static void on_opened(obs_stream *s) {
  char why[OBS_SP_WHY_MAX];
  obs_feed *f = obs_sp_arg(s);
  const obs_identity *who = obs_sp_identity(s);
  if (!obs_identity_may(who, OBS_SCOPE_READ)) { /* it never joins */
    obs_sp_deny(s, who, OBS_SCOPE_READ, 1, why);
    obs_sp_turn_away(s);
    return;
  }
  (void)obs_feed_admit(f); /* the stream server keeps the bound */
  obs_fanout_join(f->sockets.fanout, s);
  obs_feed_greet(f);
}

static void on_written(obs_stream *s) {
  const obs_feed *f = obs_sp_arg(s);
  obs_fanout_written(f->sockets.fanout, s);
}

static void on_closed(obs_stream *s) {
  obs_feed *f = obs_sp_arg(s);
  const obs_fanout_member *m = obs_sp_own(s);
  if (!m->joined) return; /* it was turned away */
  uint64_t lost = obs_fanout_leave(f->sockets.fanout, s);
  obs_feed_dismiss(f);
  if (lost > 0)
    obs_log_info("feed", "%s disconnected; it was too slow and missed %" PRIu64 " messages", obs_stream_peer(s), lost);
}

static unsigned refuses(void *feed, const obs_address *at, obs_str host, obs_str origin) {
  const obs_feed *f = feed;
  return f->refuses != NULL ? f->refuses(f->refuses_arg, at, host, origin) : 0;
}

static observer_err open_streams(obs_feed *f, const obs_feed_opts *o) {
  const obs_sp_opts opts = {.name = "feed",
                            .own = OBS_SP_PUB,
                            .size = sizeof(obs_fanout_member),
                            .opened = on_opened,
                            .written = on_written,
                            .closed = on_closed,
                            .arg = f,
                            .message_bytes = RECEIVE_BYTES,
                            .max_connections = OBS_FEED_SUBSCRIBERS,
                            .tls = o->tls,
                            .refuses = refuses,
                            .access = o->access};
  observer_err err = obs_fanout_open(&f->sockets.fanout);
  return err == OBSERVER_E_OK ? obs_sp_open(&opts, &f->sockets.sp) : err;
}

/* ---- NNG's socket ---- */

/* Before a connection is used. REM_POST comes once for each ADD_PRE, whatever happens between. */
static void on_connect(nng_pipe pipe, nng_pipe_ev event, void *feed) {
  (void)event;
  if (!obs_feed_admit(feed)) nng_pipe_close(pipe);
}

static void on_connected(nng_pipe pipe, nng_pipe_ev event, void *feed) {
  (void)pipe, (void)event;
  obs_feed_greet(feed);
}

static void on_disconnect(nng_pipe pipe, nng_pipe_ev event, void *feed) {
  (void)pipe, (void)event;
  obs_feed_dismiss(feed);
}

static int open_nng(obs_feed *f) {
  nng_socket *s = &f->sockets.nng;
  int rv = nng_pub0_open(s);
  if (rv != 0) return rv;
  f->sockets.nng_open = true;
  if ((rv = nng_socket_set_int(*s, NNG_OPT_SENDBUF, OBS_FEED_SENDBUF)) != 0 ||
      (rv = nng_socket_set_size(*s, NNG_OPT_RECVMAXSZ, RECEIVE_BYTES)) != 0 ||
      (rv = nng_socket_set_ms(*s, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS)) != 0 ||
      (rv = nng_socket_set_ms(*s, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS)) != 0 ||
      (rv = nng_pipe_notify(*s, NNG_PIPE_EV_ADD_PRE, on_connect, f)) != 0 ||
      (rv = nng_pipe_notify(*s, NNG_PIPE_EV_ADD_POST, on_connected, f)) != 0) {
    return rv;
  }
  return nng_pipe_notify(*s, NNG_PIPE_EV_REM_POST, on_disconnect, f);
}

static bool send_to_nng(nng_socket socket, const obs_stream_chunk *c) {
  nng_msg *m;
  size_t size = c->len - OBS_SP_ROOM;
  if (nng_msg_alloc(&m, size) != 0) return false;
  memcpy(nng_msg_body(m), c->data + OBS_SP_ROOM, size);
  if (nng_sendmsg(socket, m, NNG_FLAG_NONBLOCK) == 0) return true;
  nng_msg_free(m);
  return false;
}

/* ---- both ---- */

static observer_err attach(obs_feed *f, const obs_feed_opts *o, const char *spec, char *why, size_t size) {
  obs_feed_sockets *s = &f->sockets;
  obs_address a;
  char *bound = s->urls[s->nurls];
  observer_err err = obs_address_parse(spec, &a, why, size);
  if (err != OBSERVER_E_OK) return err;
  bool http = strncmp(a.scheme, "http", 4) == 0;
  if (http || (a.key[0] != '\0' && !obs_access_enabled(o->access))) {
    (void)snprintf(why, size, "%s", http ? "HTTP is not a way to subscribe" : "key: there is no key file");
    return OBSERVER_E_INVALID;
  }
  if (!a.dial && a.kind != OBS_ADDRESS_INPROC) {
    err = s->sp == NULL ? open_streams(f, o) : OBSERVER_E_OK;
    if (err == OBSERVER_E_OK) return obs_sp_listen(s->sp, &a, bound, why, size);
    (void)snprintf(why, size, "%s", observer_strerror(err));
    return err;
  }
  int rv = s->nng_open ? 0 : open_nng(f);
  const obs_pem_files tls = obs_tls_of_dialers(o->tls);
  if (rv == 0) return obs_url_open(s->nng, a.dial, a.url, &tls, bound, why, size);
  (void)snprintf(why, size, "%s", nng_strerror(rv));
  return obs_url_error(rv);
}

observer_err obs_feed_sockets_open(obs_feed *f, const obs_feed_opts *o, char *text, size_t size) {
  char why[200];
  obs_feed_sockets *s = &f->sockets;
  s->urls = calloc(o->nurls, sizeof(*s->urls));
  if (s->urls == NULL) {
    (void)snprintf(text, size, "feed: %s", observer_strerror(OBSERVER_E_NOMEM));
    return OBSERVER_E_NOMEM;
  }
  for (size_t i = 0; i < o->nurls; i++) {
    observer_err err = attach(f, o, o->urls[i], why, sizeof(why));
    if (err != OBSERVER_E_OK) {
      (void)snprintf(text, size, "feed %s: %s", o->urls[i], why);
      return err;
    }
    s->nurls++;
  }
  return OBSERVER_E_OK;
}

bool obs_feed_sockets_send(obs_feed_sockets *s, obs_stream_chunk *m) {
  if (s->fanout != NULL) obs_fanout_put(s->fanout, m);
  return !s->nng_open || send_to_nng(s->nng, m) || s->fanout != NULL;
}

void obs_feed_sockets_review(obs_feed_sockets *s) {
  if (s->sp != NULL) obs_sp_review(s->sp, OBS_SCOPE_READ);
}

void obs_feed_sockets_drain(obs_feed_sockets *s, uint32_t deadline_ms) {
  if (s->fanout != NULL) obs_fanout_drain(s->fanout, deadline_ms);
  if (s->nng_open && deadline_ms >= SETTLE_MS) nng_msleep(SETTLE_MS);
}

bool obs_feed_sockets_close(obs_feed_sockets *s) {
  if (s->nng_open && !obs_url_close(s->nng, CLOSE_MS)) return false;
  if (!obs_sp_close(s->sp)) return false; /* and with it all members of the fan-out */
  obs_fanout_close(s->fanout);
  free(s->urls);
  return true;
}
