#include "alerts/known.h"

#include "options/options.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The options' tool compares in small letters, with - for _. */
const char *obs_known_near(const char *name, const char *const *names, size_t n) {
  char plain[OBS_OPTION_NAME_MAX];
  const char *best = NULL;
  obs_option_near near = obs_option_near_begin(name);
  for (size_t i = 0; i < n; i++) {
    if (names[i] == NULL) continue;
    (void)snprintf(plain, sizeof(plain), "%s", names[i]);
    for (char *p = plain; *p != '\0'; p++) *p = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
    unsigned before = near.least;
    obs_option_near_try(&near, plain);
    if (near.least < before) best = names[i];
  }
  return best;
}
