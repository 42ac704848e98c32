/* Who holds what, as /proc tells it: listening TCP ports and file locks. */
#ifndef OBS_OBSERVERCTL_OWNER_H
#define OBS_OBSERVERCTL_OWNER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
  int pid;          /* 0: not to be seen by this user */
  char program[64]; /* of the pid; "" when not known */
} obs_owner;

/* Whether some process listens on the TCP port (any address), and who. False: /proc does not tell. */
bool obs_owner_of_port(uint16_t port, bool *taken, obs_owner *out);
/* Whether some process holds a flock on the file, and who. False: /proc does not tell. */
bool obs_owner_of_lock(const char *path, bool *held, obs_owner *out);

#endif
