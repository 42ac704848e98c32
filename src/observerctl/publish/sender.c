#include "observerctl/publish/sender.h"

#include "base/clock.h"

#include <errno.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/util/platform.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* GRACE_MS: what is under way when a signal comes may take so long. PUB_QUEUE: messages for a slow subscriber before
 * they are dropped. ANSWER_BYTES: no answer is larger. */
enum { PROBE_MS = 1000, GRACE_MS = 300, SETTLE_MS = 150, RECONNECT_MS = 100, PUB_QUEUE = 128, ANSWER_BYTES = 4 << 20 };

typedef struct {
  const char *flag, *peer;
  int (*open)(nng_socket *socket);
} kind_info;

static const kind_info kinds[] = {
    [OBS_SENDER_PUSH] = {"push", "PULL", nng_push0_open},
    [OBS_SENDER_PUB] = {"pub", "SUB", nng_pub0_open},
    [OBS_SENDER_REQ] = {"req", "REP", nng_req0_open},
};

static bool fail(obs_sender *s, const char *reason) {
  snprintf(s->error, sizeof(s->error), "%s: %s", s->url, reason);
  return false;
}

static bool fail_after(obs_sender *s, const char *reason) {
  snprintf(s->error, sizeof(s->error), "%s: %s (tried for %u ms)", s->url, reason, (unsigned)s->timeout_ms);
  return false;
}

/* ---- waiting ---- */

static void aio_done(void *arg) {
  obs_sender *s = arg;
  (void)eventfd_write(s->done_fd, 1);
}

static void pipe_added(nng_pipe pipe, nng_pipe_ev event, void *arg) {
  (void)pipe;
  (void)event;
  obs_sender *s = arg;
  (void)eventfd_write(s->link_fd, 1);
}

/* True when `fd` became readable within the timeout; it is then empty again. What is under way when a signal comes gets
 * a moment to end. */
static bool await(obs_sender *s, int fd) {
  struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = s->stop_fd, .events = POLLIN}};
  uint64_t end = obs_clock_mono_ms() + s->timeout_ms;
  bool stopping = false;
  eventfd_t count;
  for (;;) {
    uint64_t now = obs_clock_mono_ms();
    int n = poll(p, 2, now < end ? (int)(end - now) : 0);
    if (n < 0 && errno == EINTR) continue;
    if (n > 0 && p[0].revents != 0) return eventfd_read(fd, &count) == 0;
    if (n <= 0) {
      s->stopped = stopping;
      return false;
    }
    stopping = true;
    p[1].fd = -1;
    now = obs_clock_mono_ms();
    if (now + GRACE_MS < end) end = now + GRACE_MS;
  }
}

/* Waits for what was started on the aio. 0 or NNG's error. */
static int finish(obs_sender *s) {
  eventfd_t count;
  if (await(s, s->done_fd)) return nng_aio_result(s->aio);
  nng_aio_cancel(s->aio);
  nng_aio_wait(s->aio);
  (void)eventfd_read(s->done_fd, &count);
  int rv = nng_aio_result(s->aio);
  return rv == NNG_ECANCELED && !s->stopped ? NNG_ETIMEDOUT : rv;
}

/* ---- opening ---- */

static bool make_descriptors(obs_sender *s) {
  s->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  s->link_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return s->done_fd >= 0 && s->link_fd >= 0;
}

static int set_options(obs_sender *s) {
  int rv = nng_socket_set_ms(s->socket, NNG_OPT_RECONNMINT, RECONNECT_MS);
  if (rv == 0 && s->kind == OBS_SENDER_PUB) rv = nng_socket_set_int(s->socket, NNG_OPT_SENDBUF, PUB_QUEUE);
  if (rv == 0 && s->kind == OBS_SENDER_REQ) rv = nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ, ANSWER_BYTES);
  return rv;
}

static int dial(obs_sender *s) {
  int rv = kinds[s->kind].open(&s->socket);
  if (rv != 0) return rv;
  s->open = true;
  rv = set_options(s);
  if (rv == 0) rv = nng_aio_alloc(&s->aio, aio_done, s);
  if (rv == 0) rv = nng_pipe_notify(s->socket, NNG_PIPE_EV_ADD_POST, pipe_added, s);
  return rv == 0 ? nng_dial(s->socket, s->url, NULL, NNG_FLAG_NONBLOCK) : rv;
}

/* NNG dials in the background and keeps to itself why that fails: a bare connection tells. */
static void say_why(obs_sender *s) {
  nng_stream_dialer *dialer = NULL;
  char text[128];
  snprintf(text, sizeof(text), "what listens there does not answer as a %s socket: another one, or a daemon that hangs",
           kinds[s->kind].peer);
  int rv = nng_stream_dialer_alloc(&dialer, s->url);
  if (rv == 0) {
    nng_aio_set_timeout(s->aio, PROBE_MS);
    nng_stream_dialer_dial(dialer, s->aio);
    nng_aio_wait(s->aio);
    rv = nng_aio_result(s->aio);
    if (rv == 0) nng_stream_free(nng_aio_get_output(s->aio, 0));
    nng_stream_dialer_free(dialer);
  }
  fail_after(s, rv == 0 ? text : nng_strerror(rv));
}

bool obs_sender_open(obs_sender *s, obs_sender_kind kind, const char *url, uint32_t timeout_ms, int stop_fd) {
  *s = (obs_sender){
      .kind = kind, .url = url, .timeout_ms = timeout_ms, .stop_fd = stop_fd, .done_fd = -1, .link_fd = -1};
  if (!make_descriptors(s)) return fail(s, strerror(errno));
  int rv = dial(s);
  if (rv != 0) return fail(s, nng_strerror(rv));
  if (await(s, s->link_fd)) return true;
  if (s->stopped) return fail(s, "interrupted");
  say_why(s);
  return false;
}

/* ---- sending ---- */

static bool send_message(obs_sender *s, const void *bytes, size_t len) {
  nng_msg *msg;
  int rv = nng_msg_alloc(&msg, len);
  if (rv != 0) return fail(s, nng_strerror(rv));
  if (len > 0) memcpy(nng_msg_body(msg), bytes, len);
  nng_aio_set_msg(s->aio, msg);
  nng_aio_set_timeout(s->aio, NNG_DURATION_INFINITE);
  nng_send_aio(s->socket, s->aio);
  rv = finish(s);
  if (rv == 0) return true;
  nng_msg_free(msg);
  if (rv != NNG_ETIMEDOUT) return fail(s, s->stopped ? "interrupted" : nng_strerror(rv));
  return fail_after(s, "does not take the message");
}

bool obs_sender_send(obs_sender *s, const void *bytes, size_t len) {
  return send_message(s, bytes, len);
}

bool obs_sender_ask(obs_sender *s, const void *bytes, size_t len, nng_msg **answer) {
  if (!send_message(s, bytes, len)) return false;
  nng_recv_aio(s->socket, s->aio);
  int rv = finish(s);
  if (rv == NNG_ETIMEDOUT) return fail_after(s, "no answer");
  if (rv != 0) return fail(s, s->stopped ? "interrupted" : nng_strerror(rv));
  *answer = nng_aio_get_msg(s->aio);
  return true;
}

/* A PUSH socket takes a message when the one before it has been written: an empty batch says that all were. */
bool obs_sender_flush(obs_sender *s) {
  if (s->kind == OBS_SENDER_PUB) nng_msleep(SETTLE_MS);
  return s->kind == OBS_SENDER_PUSH ? send_message(s, "[]", 2) : true;
}

void obs_sender_close(obs_sender *s) {
  if (s->url == NULL) return;
  if (s->open) nng_close(s->socket);
  if (s->aio != NULL) nng_aio_free(s->aio);
  if (s->done_fd >= 0) (void)close(s->done_fd);
  if (s->link_fd >= 0) (void)close(s->link_fd);
  *s = (obs_sender){0};
}

/* ---- which one ---- */

static bool has_flag(const obs_command *c, const char *name) {
  for (size_t i = 0; i < c->nflags; i++) {
    if (strcmp(c->flags[i].name, name) == 0) return true;
  }
  return false;
}

bool obs_sender_choose(const obs_args *args, obs_sender_kind *kind, const char **url) {
  const char *given = NULL;
  *url = NULL;
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    const char *flag = kinds[i].flag;
    if (!has_flag(args->command, flag)) continue;
    if (obs_args_given(args, flag) && given != NULL) {
      obs_args_error(args, "--%s, --%s: one of them, not both", given, flag);
      return false;
    }
    if (obs_args_given(args, flag)) given = flag;
    if (obs_args_given(args, flag) || (given == NULL && obs_args_text(args, flag) != NULL)) {
      *kind = (obs_sender_kind)i;
      *url = obs_args_text(args, flag);
    }
  }
  return true;
}
