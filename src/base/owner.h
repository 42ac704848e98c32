/* Which process holds a listening TCP port, a Unix socket or a file lock, according to /proc. */
#ifndef OBS_BASE_OWNER_H
#define OBS_BASE_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  int pid;          /* 0: not to be seen by this user */
  char program[64]; /* of the pid; "" when not known */
} obs_owner;

/* Whether a process listens on the TCP port (any address), and which. False: /proc does not show it. */
bool obs_owner_of_port(uint16_t port, bool *taken, obs_owner *out);
/* The same of a Unix socket with that path, which is compared as it was given when the socket was bound. */
bool obs_owner_of_socket(const char *path, bool *taken, obs_owner *out);
/* Whether a process holds a flock on the file, and which. False: /proc does not show it. */
bool obs_owner_of_lock(const char *path, bool *held, obs_owner *out);

/* For a sentence: "observerd (pid 12)", "this process itself", "a process that this user cannot see". */
const char *obs_owner_text(const obs_owner *o, char *out, size_t size);

#endif
