/* The connection: made once, it comes back by itself for as long as it is open. */
#include "nats/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  CONNECT_MS = 2000,
  RECONNECT_MS = 250,
  RECONNECT_JITTER_MS = 250,
  PING_MS = 5000, /* two that stay unanswered: the server is away */
  PINGS_OUT = 2,
  WRITE_MS = 5000,
  IO_BYTES = 256 << 10,
  CLOSE_MS = 10000,
  INFO_MAX = 64 << 10
};

#define REFUSED "its certificate or our credentials were refused: "

bool obs_nats_is_built_in(void) {
  return true;
}

/* ---- errors ---- */

void obs_nats_say(char *why, const char *fmt, ...) {
  va_list args;
  if (why == NULL) return;
  va_start(args, fmt);
  (void)vsnprintf(why, OBS_NATS_WHY_MAX, fmt, args);
  va_end(args);
}

/* JetStream's codes that mean more than "refused"; the numbers of newer servers have no names in older headers. */
static observer_err error_of_code(int code, jsErrCode err_code) {
  enum { WRONG_LAST_SEQ_2_12 = 10164, STORE_FAILED = 10077, STORAGE_EXCEEDED = 10047, NO_RESOURCES = 10023 };
  switch ((int)err_code) {
  case JSStreamNotFoundErr:
  case JSNoMessageFoundErr:
  case JSConsumerNotFoundErr:
    return OBSERVER_E_NOTFOUND;
  case JSStreamWrongLastSequenceErr:
  case WRONG_LAST_SEQ_2_12:
    return OBSERVER_E_LOCKED;
  case STORE_FAILED:
  case STORAGE_EXCEEDED:
  case NO_RESOURCES:
    return OBSERVER_E_NOSPC;
  case JSClusterNotAssignedErr: /* for as long as a cluster, a stream or a consumer has no leader */
  case JSClusterNotAvailErr:
  case JSClusterNotLeaderErr:
  case JSStreamOfflineErr:
  case JSConsumerOfflineErr:
    return OBSERVER_E_NET;
  default:
    return code >= 500 || code == 408 ? OBSERVER_E_NET : OBSERVER_E_INVALID;
  }
}

static observer_err error_of_status(natsStatus s, jsErrCode code) {
  switch (s) {
  case NATS_OK:
    return OBSERVER_E_OK;
  case NATS_NO_MEMORY:
    return OBSERVER_E_NOMEM;
  case NATS_TIMEOUT:
    return OBSERVER_E_TIMEDOUT;
  case NATS_NOT_FOUND:
    return OBSERVER_E_NOTFOUND;
  case NATS_CONNECTION_AUTH_FAILED:
  case NATS_NOT_PERMITTED:
    return OBSERVER_E_DENIED;
  case NATS_INVALID_ARG:
  case NATS_INVALID_SUBJECT:
  case NATS_MAX_PAYLOAD:
    return OBSERVER_E_INVALID;
  case NATS_ERR:
    return code != 0 ? error_of_code(0, code) : OBSERVER_E_NET;
  default:
    return OBSERVER_E_NET;
  }
}

observer_err obs_nats_fail(natsStatus s, jsErrCode code, const char *what, char *why) {
  natsStatus last = NATS_OK;
  const char *text = nats_GetLastError(&last);
  if (s == NATS_OK) return OBSERVER_E_OK;
  if (last != s || text == NULL || *text == '\0') text = natsStatus_GetText(s);
  obs_nats_say(why, "%s: %s", what, text);
  return error_of_status(s, code);
}

observer_err obs_nats_refused(int code, jsErrCode err_code, const char *text, char *why) {
  obs_nats_say(why, "%s (%d)", text != NULL ? text : "refused", err_code != 0 ? (int)err_code : code);
  return error_of_code(code, err_code);
}

observer_err obs_nats_check_connected(obs_nats *n, char *why) {
  if (obs_nats_is_connected(n)) return OBSERVER_E_OK;
  obs_nats_say(why, "not connected");
  return OBSERVER_E_NET;
}

/* ---- what libnats tells ---- */

/* That the connection ends while it is closed is no news. */
static void tell(obs_nats *n, bool connected, const char *why) {
  pthread_mutex_lock(&n->mutex);
  bool stopping = n->stopping;
  atomic_store(&n->connected, connected);
  pthread_cond_broadcast(&n->cond);
  pthread_mutex_unlock(&n->mutex);
  if (!connected) obs_nats_fail_waiting(n, why);
  if (n->changed != NULL && (connected || !stopping)) n->changed(n->arg, connected, why);
}

static void on_connected(natsConnection *nc, void *arg) {
  (void)nc;
  tell(arg, true, "");
}

static void on_disconnected(natsConnection *nc, void *arg) {
  obs_nats *n = arg;
  const char *why = NULL;
  (void)natsConnection_GetLastError(nc, &why);
  if (atomic_load(&n->connected)) tell(n, false, why != NULL && *why != '\0' ? why : "the connection has ended");
}

/* By obs_nats_close, or because the server refused the credentials time and again. */
static void on_closed(natsConnection *nc, void *arg) {
  obs_nats *n = arg;
  const char *why = NULL;
  char text[OBS_NATS_WHY_MAX];
  (void)natsConnection_GetLastError(nc, &why);
  (void)snprintf(text, sizeof(text), REFUSED "%s", why != NULL && *why != '\0' ? why : "closed");
  pthread_mutex_lock(&n->mutex);
  bool stopping = n->stopping;
  pthread_mutex_unlock(&n->mutex);
  if (!stopping) tell(n, false, text);
  pthread_mutex_lock(&n->mutex);
  n->closed = true;
  pthread_cond_broadcast(&n->cond);
  pthread_mutex_unlock(&n->mutex);
}

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus err, void *arg) {
  const char *text = NULL;
  (void)sub;
  (void)arg;
  (void)natsConnection_GetLastError(nc, &text);
  obs_log_warn("nats", "%s", text != NULL && *text != '\0' ? text : natsStatus_GetText(err));
}

/* ---- opening ---- */

static observer_err check_readable(const char *path, char *why) {
  if (path == NULL || access(path, R_OK) == 0) return OBSERVER_E_OK;
  obs_nats_say(why, "%s: %s", path, strerror(errno));
  return OBSERVER_E_INVALID;
}

static observer_err check_files(const obs_nats_opts *o, char *why) {
  const char *const files[] = {o->creds_file, o->ca_file, o->cert_file, o->key_file};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    observer_err err = check_readable(files[i], why);
    if (err != OBSERVER_E_OK) return err;
  }
  if ((o->cert_file == NULL) == (o->key_file == NULL)) return OBSERVER_E_OK;
  obs_nats_say(why, "a certificate needs its key, and a key its certificate");
  return OBSERVER_E_INVALID;
}

#define TRY(call)                                                                                                      \
  if (s == NATS_OK) s = (call)

static natsStatus set_options(natsOptions *to, const obs_nats_opts *o, obs_nats *n) {
  natsStatus s = NATS_OK;
  bool tls = o->ca_file != NULL || o->cert_file != NULL;
  TRY(natsOptions_SetServers(to, (const char **)(uintptr_t)o->urls, (int)o->nurls)); /* they are copied */
  TRY(natsOptions_SetName(to, o->name));
  TRY(natsOptions_SetTimeout(to, CONNECT_MS));
  TRY(natsOptions_SetMaxReconnect(to, -1));
  TRY(natsOptions_SetReconnectWait(to, RECONNECT_MS));
  TRY(natsOptions_SetReconnectJitter(to, RECONNECT_JITTER_MS, RECONNECT_JITTER_MS));
  TRY(natsOptions_SetRetryOnFailedConnect(to, true, on_connected, n));
  TRY(natsOptions_SetReconnectedCB(to, on_connected, n));
  TRY(natsOptions_SetDisconnectedCB(to, on_disconnected, n));
  TRY(natsOptions_SetClosedCB(to, on_closed, n));
  TRY(natsOptions_SetErrorHandler(to, on_error, n));
  TRY(natsOptions_SetFailRequestsOnDisconnect(to, true));
  TRY(natsOptions_SetPingInterval(to, PING_MS));
  TRY(natsOptions_SetMaxPingsOut(to, PINGS_OUT));
  TRY(natsOptions_SetWriteDeadline(to, WRITE_MS));
  TRY(natsOptions_SetIOBufSize(to, IO_BYTES));
  if (o->creds_file != NULL) TRY(natsOptions_SetUserCredentialsFromFiles(to, o->creds_file, NULL));
  if (tls) TRY(natsOptions_SetSecure(to, true));
  if (o->ca_file != NULL) TRY(natsOptions_LoadCATrustedCertificates(to, o->ca_file));
  if (o->cert_file != NULL) TRY(natsOptions_LoadCertificatesChain(to, o->cert_file, o->key_file));
  return s;
}

static observer_err say_refused(const obs_nats *n, char *why) {
  const char *text = NULL;
  (void)natsConnection_GetLastError(n->nc, &text);
  obs_nats_say(why, "NATS: " REFUSED "%s", text != NULL ? text : "");
  return OBSERVER_E_DENIED;
}

/* The address as it was given, but for a user's name and password. */
static void say_unanswered(const obs_nats_opts *o) {
  const char *user = strrchr(o->urls[0], '@');
  obs_log_warn("nats", "no server answers at %s%s; tried again until one does", user != NULL ? user + 1 : o->urls[0],
               o->nurls > 1 ? ", nor at the others" : "");
}

observer_err obs_nats_open(const obs_nats_opts *opts, obs_nats **out, char *why) {
  natsOptions *options = NULL;
  natsStatus s;
  observer_err err = check_files(opts, why);
  *out = NULL;
  if (err != OBSERVER_E_OK) return err;
  obs_nats *n = calloc(1, sizeof(*n));
  if (n == NULL) return OBSERVER_E_NOMEM;
  n->changed = opts->changed;
  n->arg = opts->arg;
  n->closed = true; /* libnats knows nothing of it yet */
  if (pthread_mutex_init(&n->mutex, NULL) != 0) {
    free(n);
    return OBSERVER_E_NOMEM;
  }
  if ((err = obs_thread_cond_init(&n->cond)) != OBSERVER_E_OK) {
    pthread_mutex_destroy(&n->mutex);
    free(n);
    return err;
  }
  if ((err = obs_nats_open_places(n)) != OBSERVER_E_OK) goto fail;
  s = natsOptions_Create(&options);
  if (s == NATS_OK) s = set_options(options, opts, n);
  if ((err = obs_nats_fail(s, 0, "NATS", why)) != OBSERVER_E_OK) {
    if (err == OBSERVER_E_NET) err = OBSERVER_E_INVALID; /* such as a file that holds no certificate */
    goto fail;
  }
  n->closed = false;
  s = natsConnection_Connect(&n->nc, options);
  if (s != NATS_OK && s != NATS_NOT_YET_CONNECTED) {
    n->closed = true;
    err = obs_nats_fail(s, 0, "NATS", why);
    goto fail;
  }
  if ((err = obs_nats_fail(natsConnection_JetStream(&n->js, n->nc, NULL), 0, "JetStream", why)) != OBSERVER_E_OK)
    goto fail;
  if ((err = obs_nats_open_acks(n, why)) != OBSERVER_E_OK) goto fail;
  natsOptions_Destroy(options);
  *out = n;
  if (s == NATS_OK)
    tell(n, true, "");
  else /* `changed` is about a connection that there was */
    say_unanswered(opts);
  return OBSERVER_E_OK;
fail:
  /* A certificate that nobody vouches for, or refused credentials, end it at once. */
  if (n->nc != NULL && natsConnection_IsClosed(n->nc)) err = say_refused(n, why);
  natsOptions_Destroy(options);
  obs_nats_close(n);
  return err;
}

void obs_nats_close(obs_nats *n) {
  if (n == NULL) return;
  pthread_mutex_lock(&n->mutex);
  n->stopping = true;
  pthread_cond_broadcast(&n->cond);
  pthread_mutex_unlock(&n->mutex);
  obs_nats_close_acks(n);
  natsConnection_Close(n->nc);
  uint64_t end = obs_clock_mono_ms() + CLOSE_MS;
  pthread_mutex_lock(&n->mutex);
  while (!n->closed && obs_clock_mono_ms() < end) obs_thread_cond_wait_ms(&n->cond, &n->mutex, 100);
  bool closed = n->closed;
  pthread_mutex_unlock(&n->mutex);
  jsCtx_Destroy(n->js);
  for (uint32_t i = 0; i < n->ended.n; i++) natsSubscription_Destroy(n->ended.at[i]);
  OBS_VEC_FINI(&n->ended);
  obs_nats_free_boxes(n);
  natsConnection_Destroy(n->nc);
  natsInbox_Destroy(n->inbox);
  if (!closed) { /* libnats may still call: the memory stays */
    obs_log_error("nats", "the connection did not end within %d s", CLOSE_MS / 1000);
    return;
  }
  free(n->waiting);
  pthread_cond_destroy(&n->cond);
  pthread_mutex_destroy(&n->mutex);
  free(n);
}

bool obs_nats_is_connected(obs_nats *n) {
  return atomic_load(&n->connected);
}

/* Not asked of libnats, which may hold its lock for as long as an attempt to connect takes. */
bool obs_nats_is_closed(obs_nats *n) {
  pthread_mutex_lock(&n->mutex);
  bool closed = n->closed;
  pthread_mutex_unlock(&n->mutex);
  return closed;
}

observer_err obs_nats_check(obs_nats *n, observer_err err, char *why) {
  return err != OBSERVER_E_OK && natsConnection_IsClosed(n->nc) ? say_refused(n, why) : err;
}

bool obs_nats_wait(obs_nats *n, uint32_t timeout_ms) {
  uint64_t end = obs_clock_mono_ms() + timeout_ms;
  pthread_mutex_lock(&n->mutex);
  for (uint64_t now = obs_clock_mono_ms(); !atomic_load(&n->connected) && !n->closed && now < end;
       now = obs_clock_mono_ms())
    obs_thread_cond_wait_ms(&n->cond, &n->mutex, end - now);
  pthread_mutex_unlock(&n->mutex);
  return obs_nats_is_connected(n);
}

/* ---- the server's version, which libnats keeps to itself: the server greets each connection with it ---- */

/* host and port of `nats://user:word@host:port`. */
static bool split_url(const char *url, char *host, size_t size, char port[8]) {
  const char *at = strstr(url, "://");
  at = at != NULL ? at + 3 : url;
  const char *user = strrchr(at, '@');
  if (user != NULL) at = user + 1;
  const char *colon = strrchr(at, ':');
  if (colon == NULL || colon == at) return false;
  size_t n = (size_t)(colon - at);
  if (*at == '[' && n > 2 && at[n - 1] == ']') {
    at++;
    n -= 2;
  }
  if (n >= size || strlen(colon + 1) >= 8) return false;
  memcpy(host, at, n);
  host[n] = '\0';
  memcpy(port, colon + 1, strlen(colon + 1) + 1);
  return true;
}

static bool wait_for(int fd, short events, uint64_t end) {
  struct pollfd p = {.fd = fd, .events = events};
  uint64_t now = obs_clock_mono_ms();
  return now < end && poll(&p, 1, (int)(end - now)) == 1;
}

static int dial(const struct addrinfo *a, uint64_t end) {
  int failed = 0;
  socklen_t size = sizeof(failed);
  int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) return fd;
  if (errno == EINPROGRESS && wait_for(fd, POLLOUT, end) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) == 0 &&
      failed == 0)
    return fd;
  (void)close(fd);
  return -1;
}

/* Its first line, "INFO {...}", with a NUL in place of the line's end. */
static bool read_greeting(const char *host, const char *port, obs_buf *line) {
  const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
  struct addrinfo *all = NULL;
  uint64_t end = obs_clock_mono_ms() + CONNECT_MS;
  char bytes[4096], *newline = NULL;
  int fd = -1;
  if (getaddrinfo(host, port, &hints, &all) != 0) return false;
  for (const struct addrinfo *a = all; a != NULL && fd < 0; a = a->ai_next) fd = dial(a, end);
  freeaddrinfo(all);
  if (fd < 0) return false;
  while (newline == NULL && line->len < INFO_MAX && !line->oom && wait_for(fd, POLLIN, end)) {
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
    if (n <= 0) break;
    obs_buf_append(line, bytes, (size_t)n);
    if (!line->oom) newline = memchr(line->p, '\n', line->len);
  }
  (void)close(fd);
  if (newline != NULL) *newline = '\0';
  return newline != NULL && strncmp(line->p, "INFO ", 5) == 0;
}

observer_err obs_nats_get_server(obs_nats *n, obs_nats_server *out) {
  char url[512], host[256], port[8];
  obs_buf line = {0};
  *out = (obs_nats_server){0};
  if (!obs_nats_is_connected(n) || natsConnection_GetConnectedUrl(n->nc, url, sizeof(url)) != NATS_OK)
    return OBSERVER_E_NET;
  int64_t max_payload = natsConnection_GetMaxPayload(n->nc);
  out->max_payload = max_payload > 0 ? (uint64_t)max_payload : 0;
  cJSON *info = NULL;
  if (split_url(url, host, sizeof(host), port) && read_greeting(host, port, &line)) info = cJSON_Parse(line.p + 5);
  const cJSON *version = cJSON_GetObjectItemCaseSensitive(info, "version");
  if (cJSON_IsString(version)) {
    (void)snprintf(out->version, sizeof(out->version), "%.31s", version->valuestring);
    (void)sscanf(out->version, "%d.%d.%d", &out->major, &out->minor, &out->patch);
  }
  cJSON_Delete(info);
  obs_buf_fini(&line);
  return out->version[0] != '\0' ? OBSERVER_E_OK : OBSERVER_E_NET;
}
