/* Standard output for a command that follows something: written line by line, never past a signal that ends the command
 * (a reader that stopped reading must not keep it alive), and quiet about a reader that has gone. One thread. */
#ifndef OBS_OBSERVERCTL_OUTLET_H
#define OBS_OBSERVERCTL_OUTLET_H

#include "base/buf.h"

typedef enum { OBS_OUTLET_OK, OBS_OUTLET_SIGNAL, OBS_OUTLET_CLOSED, OBS_OUTLET_FAILED } obs_outlet_state;

typedef struct {
  int fd;
  int stop_fd; /* readable when it is time to end (a signalfd) */
  obs_buf buf; /* whole lines, to be written */
  obs_outlet_state state;
  int error; /* errno, when it failed */
} obs_outlet;

/* Writes what is in `buf` and empties it. The state; other than OK it stays so and nothing more is written. */
obs_outlet_state obs_outlet_flush(obs_outlet *o);
void obs_outlet_fini(obs_outlet *o);

#endif
