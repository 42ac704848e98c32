#include "stream/bind_check.h"

#include "base/owner.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void obs_bind_check_taken_text(const obs_address *a, char *why, size_t size) {
  obs_owner owner;
  bool taken, known = a->kind == OBS_ADDRESS_IPC ? obs_owner_of_socket(a->path, &taken, &owner)
                                                 : obs_owner_of_port(a->port, &taken, &owner);
  char who[128];
  if (known && taken)
    (void)snprintf(why, size, "%s by %s", observer_strerror(OBSERVER_E_ADDRINUSE),
                   obs_owner_text(&owner, who, sizeof who));
  else
    (void)snprintf(why, size, "%s", observer_strerror(OBSERVER_E_ADDRINUSE));
}

static observer_err fail(const obs_address *a, int errnum, char *why, size_t size) {
  if (errnum == EADDRINUSE) {
    obs_bind_check_taken_text(a, why, size);
    return OBSERVER_E_ADDRINUSE;
  }
  (void)snprintf(why, size, "cannot listen there: %s", strerror(errnum));
  return OBSERVER_E_NET;
}

static observer_err try_tcp(obs_bind_check *p, const obs_address *a, char *why, size_t size) {
  const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  struct addrinfo *found = NULL;
  char port[8];
  const int on = 1;
  (void)snprintf(port, sizeof port, "%u", a->port);
  int rv = getaddrinfo(a->host[0] != '\0' ? a->host : "0.0.0.0", port, &hints, &found);
  if (rv != 0) {
    (void)snprintf(why, size, "%s: %s", a->host, gai_strerror(rv));
    return OBSERVER_E_NET;
  }
  /* As the listener binds: what a connection that was closed left behind is no hindrance. */
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
            bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 1) == 0;
  int errnum = errno;
  freeaddrinfo(found);
  if (ok) {
    p->fds[p->n++] = fd;
    return OBSERVER_E_OK;
  }
  if (fd >= 0) (void)close(fd);
  return fail(a, errnum, why, size);
}

/* A file that nobody listens at is left from a daemon that was killed, and makes way. */
static observer_err try_ipc(const obs_address *a, char *why, size_t size) {
  const size_t most = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
  char dir[OBS_ADDRESS_MAX];
  obs_owner owner;
  bool taken;
  if (strlen(a->path) > most) {
    (void)snprintf(why, size, "%s: a path of more than %zu bytes is too long for a socket", a->path, most);
    return OBSERVER_E_INVALID;
  }
  /* Connecting would tell as well, but the other side would have to cope with it. */
  if (obs_owner_of_socket(a->path, &taken, &owner) && taken) return fail(a, EADDRINUSE, why, size);
  (void)snprintf(dir, sizeof dir, "%s", a->path);
  char *slash = strrchr(dir, '/');
  if (slash != NULL) slash[slash == dir ? 1 : 0] = '\0';
  if (access(slash != NULL ? dir : ".", W_OK | X_OK) == 0) return OBSERVER_E_OK;
  (void)snprintf(why, size, "cannot make a socket in %s: %s", slash != NULL ? dir : ".", strerror(errno));
  return OBSERVER_E_NET;
}

observer_err obs_bind_check_try(obs_bind_check *p, const obs_address *a, char *why, size_t size) {
  if (a->dial || a->kind == OBS_ADDRESS_INPROC) return OBSERVER_E_OK;
  if (a->kind == OBS_ADDRESS_IPC) return try_ipc(a, why, size);
  if (a->port == 0 || p->n == OBS_BIND_CHECKS_MAX) return OBSERVER_E_OK;
  return try_tcp(p, a, why, size);
}

void obs_bind_check_free(obs_bind_check *p) {
  for (uint32_t i = 0; i < p->n; i++) (void)close(p->fds[i]);
  p->n = 0;
}
