/* The bytes of a message, which a packet and the queues of connections share. The client's thread alone counts who
 * does.
 */
#ifndef OBS_CLIENT_BODY_H
#define OBS_CLIENT_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t refs;
  bool secret; /* it is wiped when it is freed */
  size_t cap;
  char bytes[];
} obs_client_body;

/* With one reference. NULL: no memory. */
obs_client_body *obs_client_body_new(size_t cap);
/* Of one that nobody shares; NULL: no memory, and it is as it was. */
obs_client_body *obs_client_body_resize(obs_client_body *body, size_t cap);
void obs_client_body_unref(obs_client_body *body); /* NULL is allowed */

#endif
