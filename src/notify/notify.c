#include "notify/notify.h"

#include <stdio.h>
#include <stdlib.h>

const char *const obs_notify_severity_names[OBS_NOTIFY_SEVERITIES] = {"info", "warn", "page"};

const char *const obs_notify_type_names[OBS_NOTIFY_TYPE_COUNT] = {
#define OBS_NOTIFY_TYPE_NAME(name, text) [OBS_NOTIFY_##name] = (text),
    OBS_NOTIFY_TYPES(OBS_NOTIFY_TYPE_NAME)
#undef OBS_NOTIFY_TYPE_NAME
};

struct obs_notify_config {
  uint32_t n;
};

obs_notify_config *obs_notify_config_read(const cJSON *file, char *error, size_t size) {
  (void)file;
  obs_notify_config *c = calloc(1, sizeof(*c));
  if (c == NULL) snprintf(error, size, "receivers: out of memory");
  return c;
}

bool obs_notify_config_has(const obs_notify_config *c, obs_str name) {
  (void)name;
  return c->n > 0;
}

void obs_notify_config_free(obs_notify_config *c) {
  free(c);
}

struct obs_notify {
  obs_notify_opts opts;
};

observer_err obs_notify_open(const obs_notify_opts *opts, obs_notify **out, char *error_text, size_t error_size) {
  *out = calloc(1, sizeof(**out));
  if (*out == NULL) {
    snprintf(error_text, error_size, "notify: out of memory");
    return OBSERVER_E_NOMEM;
  }
  (*out)->opts = *opts;
  return OBSERVER_E_OK;
}

observer_err obs_notify_configure(obs_notify *n, obs_notify_config *config) {
  (void)n;
  obs_notify_config_free(config);
  return OBSERVER_E_OK;
}

void obs_notify_stop(obs_notify *n) {
  (void)n;
}

void obs_notify_close(obs_notify *n) {
  free(n);
}

observer_err obs_notify_transition(obs_notify *n, const obs_notify_alert *a) {
  (void)n;
  return a->fingerprint != 0 ? OBSERVER_E_OK : OBSERVER_E_INVALID;
}

void obs_notify_settled(obs_notify *n) {
  (void)n;
}

void obs_notify_look_at(obs_notify *n, const obs_notify_alert *a, obs_notify_look *out) {
  (void)n;
  (void)a;
  *out = (obs_notify_look){0};
}

void obs_notify_get_counts(obs_notify *n, obs_notify_counts *out) {
  (void)n;
  *out = (obs_notify_counts){0};
}
