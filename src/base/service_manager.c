#include "base/service_manager.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MESSAGE_MAX = 512 };

static struct {
  int fd; /* connected; below 1: nobody is told */
  bool watches;
} manager;

/* A path, or a name of the abstract namespace, which begins with @. Others (vsock) are not for a service. */
static int dial(const char *name) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t n = strlen(name);
  if ((name[0] != '/' && name[0] != '@') || n >= sizeof(to.sun_path)) return -1;
  memcpy(to.sun_path, name, n);
  if (name[0] == '@') to.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) != 0) {
    (void)close(fd);
    return -1;
  }
  return fd;
}

void obs_service_manager_begin(void) {
  const char *name = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
  manager.fd = name != NULL ? dial(name) : -1;
  bool ours = pid == NULL || strtol(pid, NULL, 10) == (long)getpid();
  manager.watches = manager.fd > 0 && ours && usec != NULL && strtoull(usec, NULL, 10) > 0;
}

/* What cannot be sent at once is lost: the next one comes soon. */
__attribute__((format(printf, 1, 2))) static void tell(const char *fmt, ...) {
  char text[MESSAGE_MAX];
  va_list ap;
  if (manager.fd < 1) return;
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof(text), fmt, ap);
  va_end(ap);
  if (n > 0 && n < MESSAGE_MAX) (void)!send(manager.fd, text, (size_t)n, MSG_NOSIGNAL);
}

void obs_service_manager_starting(uint32_t more_s, const char *status) {
  tell("EXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=%s\n", (uint64_t)more_s * 1000000, status);
}

void obs_service_manager_ready(const char *status) {
  tell("READY=1\nSTATUS=%s\n", status);
}

void obs_service_manager_reloading(void) {
  tell("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading\n", obs_clock_mono_ns() / 1000);
}

void obs_service_manager_stopping(void) {
  tell("STOPPING=1\nSTATUS=writing what waits, and the checkpoint\n");
}

bool obs_service_manager_watches(void) {
  return manager.watches;
}

void obs_service_manager_alive(void) {
  tell("WATCHDOG=1\n");
}
