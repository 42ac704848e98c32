/* Names of a rules' file that are nearly right: members, conditions, forms. Pure. */
#ifndef OBS_ALERTS_KNOWN_H
#define OBS_ALERTS_KNOWN_H

#include <stddef.h>

/* The one of `names` that `name` is likely meant to be; NULL: none is near. NULLs among them are passed over. */
const char *obs_known_near(const char *name, const char *const *names, size_t n);

#endif
