/* The server's questions to its own listeners: whether each one still serves. It connects as any peer does, says what
 * the protocol's peers say first, and looks for a word later. It does not go through NNG, whose state is in question.
 */
#include "base/clock.h"
#include "stream/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PROBE_MS = 2000 };

/* Where the listener is to be reached; 0 when it cannot be said (a name that is not an address). */
static socklen_t place_of(const obs_address *a, struct sockaddr_storage *out) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)out;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
  struct sockaddr_un *file = (struct sockaddr_un *)out;
  const char *host = a->host[0] == '\0' || strcmp(a->host, "0.0.0.0") == 0 || strcmp(a->host, "localhost") == 0
                         ? "127.0.0.1"
                     : strcmp(a->host, "::") == 0 ? "::1"
                                                  : a->host;
  *out = (struct sockaddr_storage){0};
  if (a->kind == OBS_ADDRESS_IPC) {
    file->sun_family = AF_UNIX;
    int n = snprintf(file->sun_path, sizeof file->sun_path, "%s", a->path);
    return n > 0 && (size_t)n < sizeof file->sun_path ? sizeof *file : 0;
  }
  if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(a->port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1) return 0;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(a->port);
  return sizeof *v6;
}

static void ended(obs_stream_listener *l, bool silent) {
  (void)close(l->probe_fd);
  l->probe_fd = -1;
  l->silent = silent;
  atomic_fetch_sub(&l->server->probing, 1);
}

/* Says what a peer says first; false: it did not go out. Where the protocol's own side speaks first, TLS and WebSocket
 * still wait for a word: their peers' end will do, which they answer with their own. */
static bool ask(const obs_stream_listener *l) {
  const obs_stream_protocol *p = l->server->opts.protocol;
  if (p->probe_len > 0) return send(l->probe_fd, p->probe, p->probe_len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
  bool waits = l->address.tls || l->address.kind == OBS_ADDRESS_WS;
  return !waits || shutdown(l->probe_fd, SHUT_WR) == 0;
}

/* Says what there is to say, once connected, and looks whether a word has come. */
static void look(obs_stream_listener *l, uint64_t now) {
  struct pollfd wait = {.fd = l->probe_fd, .events = l->probe_said ? POLLIN : POLLOUT};
  if (l->probe_fd < 0) return;
  if (poll(&wait, 1, 0) > 0 && !l->probe_said && (wait.revents & POLLOUT) != 0) {
    /* A few bytes into an empty socket go at once. TLS answers them with an alert, or closes. */
    l->probe_said = ask(l);
    wait.events = POLLIN;
    wait.revents = 0;
    (void)poll(&wait, 1, 0);
  }
  bool refused = false;
  if ((wait.revents & POLLERR) != 0) {
    int error = 0;
    socklen_t size = sizeof error;
    refused = getsockopt(l->probe_fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ECONNREFUSED;
  }
  if (refused)
    ended(l, true); /* nobody listens */
  else if ((wait.revents & (POLLIN | POLLHUP | POLLERR)) != 0)
    ended(l, false); /* a word, or a close: it was accepted at least */
  else if (now >= l->probe_begun + PROBE_MS)
    ended(l, true);
}

static void begin(obs_stream_listener *l, uint64_t now) {
  struct sockaddr_storage place;
  socklen_t len = place_of(&l->address, &place);
  if (len == 0) return;
  l->probe_fd = socket(place.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (l->probe_fd < 0) return; /* without descriptors nothing can be said */
  atomic_fetch_add(&l->server->probing, 1);
  l->probe_begun = now;
  l->probe_said = false;
  /* EAGAIN: a Unix socket whose queue is full. */
  if (connect(l->probe_fd, (struct sockaddr *)&place, len) != 0 && errno != EINPROGRESS) ended(l, true);
}

void obs_stream_probe_look(obs_stream_server *srv) {
  uint64_t now = obs_clock_mono_ms();
  for (uint32_t i = 0; i < srv->nlisteners; i++) look(srv->listeners[i], now);
}

void obs_stream_server_probe(obs_stream_server *srv) {
  pthread_mutex_lock(&srv->lock);
  obs_stream_probe_look(srv);
  for (uint32_t i = 0; i < srv->nlisteners && !srv->stopping; i++) {
    if (srv->listeners[i]->probe_fd < 0) begin(srv->listeners[i], obs_clock_mono_ms());
  }
  obs_stream_probe_look(srv);
  pthread_mutex_unlock(&srv->lock);
}

const char *obs_stream_server_silent(obs_stream_server *srv) {
  const char *url = NULL;
  pthread_mutex_lock(&srv->lock);
  if (!srv->stopping) obs_stream_probe_look(srv);
  for (uint32_t i = 0; i < srv->nlisteners && url == NULL && !srv->stopping; i++) {
    if (srv->listeners[i]->silent) url = srv->listeners[i]->bound;
  }
  pthread_mutex_unlock(&srv->lock);
  return url;
}
