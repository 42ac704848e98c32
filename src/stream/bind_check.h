/* The places of listeners, before they are opened: so that a start which cannot listen leaves nothing behind, and says
 * who is there. */
#ifndef OBS_STREAM_BIND_CHECK_H
#define OBS_STREAM_BIND_CHECK_H

#include "stream/address.h"

enum { OBS_BIND_CHECKS_MAX = 256 };

/* Places that are held while the others are tried, so that one which is given twice is found. Zeroed before use. */
typedef struct {
  int fds[OBS_BIND_CHECKS_MAX];
  uint32_t n;
} obs_bind_check;

/* Tries to bind where `a` listens; OK for what does not listen on a place of the system. ADDRINUSE, NET: `why` says
 * what is wrong, and who has it. */
observer_err obs_bind_check_try(obs_bind_check *p, const obs_address *a, char *why, size_t size);
/* Lets go of all. */
void obs_bind_check_free(obs_bind_check *p);

/* "address in use by observerd (pid 12)". */
void obs_bind_check_taken_text(const obs_address *a, char *why, size_t size);

#endif
