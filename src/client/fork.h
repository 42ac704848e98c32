/* Which process this is: a forked child has another generation than its parent. */
#ifndef OBS_CLIENT_FORK_H
#define OBS_CLIENT_FORK_H

#include <observer/error.h>

unsigned obs_client_generation(void);
/* Says that this process uses NNG. FORKED: a parent did, so that NNG would end this one. NOMEM. */
observer_err obs_client_claim(void);

#endif
