#include "notify/receivers.h"

#include <stdio.h>

bool obs_notify_receivers_read(const obs_rules *rules, bool elsewhere, obs_notify_config **out, char *error,
                               size_t size) {
  *out = NULL;
  if (rules->file != NULL && (*out = obs_notify_config_read(rules->file, elsewhere, error, size)) == NULL) return false;
  for (uint32_t i = 0; i < rules->n; i++) {
    for (uint32_t k = 0; k < rules->at[i].nto; k++) {
      const char *name = rules->at[i].to[k];
      if (*out != NULL && obs_notify_config_has(*out, obs_str_of(name))) continue;
      (void)snprintf(error, size, "rule \"%s\": to: there is no receiver %s", rules->at[i].id, name);
      obs_notify_config_free(*out);
      *out = NULL;
      return false;
    }
  }
  return true;
}
