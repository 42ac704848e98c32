#include "observerctl/follow/outlet.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum { CHUNK = 4096, KEEP_BYTES = 1 << 16 }; /* a pipe that is writable takes CHUNK (PIPE_BUF) without waiting */

/* Until there is room to write. */
static obs_outlet_state wait_room(const obs_outlet *o) {
  struct pollfd fds[] = {{.fd = o->fd, .events = POLLOUT}, {.fd = o->stop_fd, .events = POLLIN}};
  while (poll(fds, 2, -1) < 0 && errno == EINTR) continue;
  if (fds[1].revents != 0) return OBS_OUTLET_SIGNAL;
  return OBS_OUTLET_OK;
}

static obs_outlet_state write_some(obs_outlet *o, size_t *done) {
  size_t left = o->buf.len - *done;
  ssize_t n = write(o->fd, o->buf.p + *done, left < CHUNK ? left : CHUNK);
  if (n >= 0) {
    *done += (size_t)n;
    return OBS_OUTLET_OK;
  }
  if (errno == EAGAIN || errno == EINTR) return OBS_OUTLET_OK;
  o->error = errno;
  return errno == EPIPE ? OBS_OUTLET_CLOSED : OBS_OUTLET_FAILED;
}

obs_outlet_state obs_outlet_flush(obs_outlet *o) {
  if (o->buf.oom) {
    o->error = ENOMEM;
    o->state = OBS_OUTLET_FAILED;
  }
  for (size_t done = 0; o->state == OBS_OUTLET_OK && done < o->buf.len;) {
    o->state = wait_room(o);
    if (o->state == OBS_OUTLET_OK) o->state = write_some(o, &done);
  }
  obs_buf_reset(&o->buf, KEEP_BYTES);
  return o->state;
}

void obs_outlet_fini(obs_outlet *o) {
  obs_buf_fini(&o->buf);
}
