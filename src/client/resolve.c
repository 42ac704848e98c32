#include "client/resolve.h"

#include "base/thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

struct obs_client_resolve {
  pthread_mutex_t lock;
  bool done, abandoned;
  int wake, error, family;
  struct addrinfo *found;
  const char *port;
  char host[]; /* and the port behind it */
};

static void free_resolve(obs_client_resolve *r) {
  if (r->found != NULL) freeaddrinfo(r->found);
  pthread_mutex_destroy(&r->lock);
  free(r);
}

static void *look_up(void *arg) {
  obs_client_resolve *r = arg;
  const struct addrinfo hints = {.ai_family = r->family, .ai_socktype = SOCK_STREAM};
  struct addrinfo *found = NULL;
  int error = getaddrinfo(r->host, r->port, &hints, &found);
  pthread_mutex_lock(&r->lock);
  r->error = error;
  r->found = error == 0 ? found : NULL;
  r->done = true;
  bool abandoned = r->abandoned;
  /* Under the lock: who abandons it closes the eventfd. It is full only when it is readable anyway. */
  if (!abandoned) (void)eventfd_write(r->wake, 1);
  pthread_mutex_unlock(&r->lock);
  if (abandoned) free_resolve(r);
  return NULL;
}

obs_client_resolve *obs_client_resolve_start(const char *host, const char *port, int family, int wake) {
  pthread_t thread;
  size_t host_size = strlen(host) + 1, port_size = strlen(port) + 1;
  obs_client_resolve *r = calloc(1, sizeof(*r) + host_size + port_size);
  if (r == NULL) return NULL;
  r->wake = wake;
  r->family = family;
  memcpy(r->host, host, host_size);
  r->port = memcpy(r->host + host_size, port, port_size);
  if (pthread_mutex_init(&r->lock, NULL) != 0) {
    free(r);
    return NULL;
  }
  if (obs_thread_start(&thread, "obs:resolve", look_up, r) != OBSERVER_E_OK) {
    free_resolve(r);
    return NULL;
  }
  pthread_detach(thread); /* a client that closes must not wait for a name server */
  return r;
}

bool obs_client_resolve_take(obs_client_resolve *r, int *error, struct addrinfo **out) {
  pthread_mutex_lock(&r->lock);
  bool done = r->done;
  pthread_mutex_unlock(&r->lock);
  if (!done) return false;
  *error = r->error;
  *out = r->found;
  r->found = NULL;
  free_resolve(r);
  return true;
}

void obs_client_resolve_abandon(obs_client_resolve *r) {
  if (r == NULL) return;
  pthread_mutex_lock(&r->lock);
  bool done = r->done;
  r->abandoned = true;
  pthread_mutex_unlock(&r->lock);
  if (done) free_resolve(r);
}
