#include "observerctl/follow/outlet.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum { CHUNK = 4096, KEEP_BYTES = 1 << 16 }; /* a pipe that is writable takes CHUNK (PIPE_BUF) without waiting */

obs_outlet_state obs_outlet_flush(obs_outlet *o) {
  if (o->buf.oom) {
    o->error = ENOMEM;
    o->state = OBS_OUTLET_FAILED;
  }
  for (size_t done = 0; o->state == OBS_OUTLET_OK && done < o->buf.len;) {
    struct pollfd fds[] = {{.fd = o->fd, .events = POLLOUT}, {.fd = o->stop_fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR) continue;
    if (fds[1].revents != 0) { /* a reader that does not read must not hold up the end */
      o->state = OBS_OUTLET_SIGNAL;
      break;
    }
    size_t left = o->buf.len - done;
    ssize_t n = write(o->fd, o->buf.p + done, left < CHUNK ? left : CHUNK);
    if (n >= 0) {
      done += (size_t)n;
    } else if (errno != EAGAIN && errno != EINTR) {
      o->error = errno;
      o->state = errno == EPIPE ? OBS_OUTLET_CLOSED : OBS_OUTLET_FAILED;
    }
  }
  obs_buf_reset(&o->buf, KEEP_BYTES);
  return o->state;
}

void obs_outlet_fini(obs_outlet *o) {
  obs_buf_fini(&o->buf);
}
