/* The fleet that `observerctl demo` plays: agents that chat, search, fill shifts and send mail, in sessions. Some of
 * what they do fails for reasons that are planted here, and noise that has no reason stands beside them.
 *
 * fleet.c has four tables: what the fleet does, what makes it fail, what happens at which moment, and what is told
 * about it. Nothing here knows how causes are searched for. Pure but for its own random numbers; one thread. */
#ifndef OBS_OBSERVERCTL_FLEET_H
#define OBS_OBSERVERCTL_FLEET_H

#include <observer/observer.h>

enum { OBS_FLEET_WORKS = 6, OBS_FLEET_SESSIONS = 4, OBS_FLEET_TEXT = 200, OBS_FLEET_ID = 48 };

typedef struct {
  char id[OBS_FLEET_ID];
  const char *staffer;
  unsigned left; /* ops until it ends */
} obs_fleet_session;

typedef struct {
  uint64_t random;
  uint32_t run; /* first part of all ids */
  unsigned long ops, sessions;
  unsigned moments; /* that have happened */
  obs_fleet_session open[OBS_FLEET_WORKS][OBS_FLEET_SESSIONS];
} obs_fleet;

/* An op and the texts that it points to. */
typedef struct {
  observer_op op;
  char input[OBS_FLEET_TEXT], output[OBS_FLEET_TEXT + 8], error[OBS_FLEET_TEXT];
  char op_id[OBS_FLEET_ID], cycle_id[OBS_FLEET_ID];
  unsigned char extra[32];
} obs_fleet_op;

/* Something that happens once. */
typedef struct {
  uint64_t at_ms;
  observer_op op;   /* recorded then; without an endpoint: nothing is */
  const char *told; /* what happens, for the one who watches */
} obs_fleet_moment;

/* `run` tells one run of the demo from another; all else follows from it. */
void obs_fleet_init(obs_fleet *f, uint32_t run);
/* What the fleet does next, `ms` after it began. */
void obs_fleet_next(obs_fleet *f, uint64_t ms, obs_fleet_op *out);
/* The next moment that has come by then, each once; NULL: none. */
const obs_fleet_moment *obs_fleet_moment_due(obs_fleet *f, uint64_t ms);

#endif
