/* How often each network (peer.h) was wrong: 10 times at once, then once a second.
 *
 * A fixed table: who comes from more networks than it has places gets some of them back, which gains little against 256
 * random bits. Thread-safe; never waits for more than a look. */
#ifndef OBS_ACCESS_THROTTLE_H
#define OBS_ACCESS_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

enum { OBS_THROTTLE_BURST = 10, OBS_THROTTLE_PLACES = 4096 };

typedef struct obs_throttle obs_throttle;

/* NULL: no memory. */
obs_throttle *obs_throttle_open(void);
/* NULL is allowed. */
void obs_throttle_close(obs_throttle *t);
/* Notes that this network was wrong at `now_ms` (monotonic). True: too often by now. */
bool obs_throttle_failed(obs_throttle *t, const char *network, uint64_t now_ms);

#endif
