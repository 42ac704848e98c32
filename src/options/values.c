/* The types of values: what each accepts. */
#include "options/internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS_MAX = 32, URLS_MAX = 1024 };

static bool refuse(char must[OBS_OPTION_MUST_MAX], const char *text) {
  snprintf(must, OBS_OPTION_MUST_MAX, "%s", text);
  return false;
}

bool obs_option_among(const char *words, const char *word, size_t len) {
  for (const char *p = words; *p != '\0'; p += strspn(p, " ")) {
    size_t n = strcspn(p, " ");
    if (n == len && memcmp(p, word, n) == 0) return true;
    p += n;
  }
  return false;
}

/* Digits; *unit is what follows them. */
static bool read_digits(const char *text, uint64_t *out, char **unit) {
  errno = 0;
  *out = strtoull(text, unit, 10);
  return isdigit((unsigned char)*text) && errno == 0;
}

bool obs_option_read_number(const char *text, uint64_t min, uint64_t max, uint64_t *out) {
  char *end;
  return read_digits(text, out, &end) && *end == '\0' && *out >= min && *out <= max;
}

static bool read_number(const obs_option *option, const char *text, uint64_t *out) {
  char *unit;
  uint64_t v, times = 1;
  if (!read_digits(text, &v, &unit)) return false;
  if (option->type == OBS_OPTION_TIME) {
    if (strcmp(unit, "s") == 0 || *unit == '\0')
      times = 1000;
    else if (strcmp(unit, "ms") != 0)
      return false;
  } else if (option->type == OBS_OPTION_BYTES && *unit != '\0') {
    static const char units[] = "KMG";
    const char *p = strchr(units, toupper((unsigned char)*unit));
    if (p == NULL || unit[1] != '\0') return false;
    times = UINT64_C(1) << 10 * (1 + (p - units));
  } else if (*unit != '\0') {
    return false;
  }
  if (v > UINT64_MAX / times) return false; /* 17179869184G would wrap around to 0 */
  *out = v * times;
  return *out >= option->min && *out <= option->max;
}

static bool is_url(const obs_option *option, const char *text) {
  if (option->type == OBS_OPTION_URLS && strncmp(text, "listen:", 7) == 0)
    text += 7;
  else if (option->type == OBS_OPTION_URLS && strncmp(text, "dial:", 5) == 0)
    text += 5;
  const char *colon = strstr(text, "://");
  if (colon == NULL || colon[3] == '\0' || !obs_option_among(option->choices, text, (size_t)(colon - text)))
    return false;
  /* NNG checks its own URLs when it listens or dials; HTTP ones would fail much later, at the first request: there must
   * be a host, and may be a port and a path. */
  if (strncmp(text, "http", 4) != 0) return true;
  const char *host = colon + 3, *p = host + strcspn(host, *host == '[' ? "]" : ":/");
  if (p == host || (*host == '[' && *p++ == '\0')) return false;
  if (*p == ':') {
    char *end;
    long port = strtol(p + 1, &end, 10);
    if (!isdigit((unsigned char)p[1]) || port > 65535) return false;
    p = end;
  }
  return *p == '\0' || *p == '/';
}

static bool is_wanted(const obs_option *option, const char *text, char must[OBS_OPTION_MUST_MAX]) {
  switch (option->type) {
  case OBS_OPTION_ANY:
  case OBS_OPTION_CHOICE:
    snprintf(must, OBS_OPTION_MUST_MAX, "must be one of: %s", option->choices != NULL ? option->choices : "");
    return option->choices == NULL || obs_option_among(option->choices, text, strlen(text));
  case OBS_OPTION_NAME:
    return (*text != '\0' && *text != '.' && strchr(text, '/') == NULL) || refuse(must, "must be a file name");
  case OBS_OPTION_FORM:
    snprintf(must, OBS_OPTION_MUST_MAX, "must be %s", option->choices);
    return option->check(text);
  case OBS_OPTION_URL:
  case OBS_OPTION_URLS:
    snprintf(must, OBS_OPTION_MUST_MAX, "must be a URL of: %s", option->choices);
    return is_url(option, text);
  default:
    return *text != '\0' || refuse(must, "must not be empty");
  }
}

static bool add_text(const obs_option *option, const char *text, obs_option_value *v, char *must) {
  if (!is_wanted(option, text, must)) return false;
  if (v->texts.n == ITEMS_MAX) return refuse(must, "must be given 32 times at most");
  char *copy = strdup(text), **place = copy != NULL ? OBS_VEC_PUSH(&v->texts) : NULL;
  if (place != NULL)
    *place = copy;
  else
    free(copy);
  return place != NULL || refuse(must, OBS_OPTION_NO_MEMORY);
}

static void drop_texts(obs_option_value *v, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) free(v->texts.at[i]);
  v->texts.n -= n;
  if (n > 0) memmove(v->texts.at, v->texts.at + n, v->texts.n * sizeof(*v->texts.at));
}

bool obs_option_read(const obs_option *option, const char *text, obs_option_value *v, char must[OBS_OPTION_MUST_MAX]) {
  if (option->type == OBS_OPTION_TEXTS) return add_text(option, text, v, must);
  if (option->type == OBS_OPTION_URLS) {
    char copy[URLS_MAX], *save = NULL;
    bool none = strcmp(text, "none") == 0, any = none;
    if (none) drop_texts(v, v->texts.n);
    if (strlen(text) >= sizeof(copy)) return refuse(must, "must be shorter than 1024 bytes (it may be given again)");
    snprintf(copy, sizeof(copy), "%s", none ? "" : text);
    for (char *url = strtok_r(copy, ", ", &save); url != NULL; url = strtok_r(NULL, ", ", &save), any = true) {
      if (!add_text(option, url, v, must)) return false;
    }
    return any || refuse(must, "must not be empty");
  }
  if (option->type == OBS_OPTION_SWITCH) {
    bool on = obs_option_among("true yes on 1", text, strlen(text));
    if (!on && !obs_option_among("false no off 0", text, strlen(text))) return refuse(must, "must be true or false");
    v->number = on;
  } else if (obs_option_is_number(option)) {
    const char *what = option->type == OBS_OPTION_BYTES ? "a size (K, M, G)" : "an integer";
    uint64_t n;
    if (!read_number(option, text, &n)) {
      if (option->type == OBS_OPTION_TIME)
        snprintf(must, OBS_OPTION_MUST_MAX, "must be a time from %" PRIu64 "ms to %" PRIu64 "s", option->min,
                 option->max / 1000);
      else if (option->max == UINT64_MAX)
        snprintf(must, OBS_OPTION_MUST_MAX, "must be %s of at least %" PRIu64, what, option->min);
      else
        snprintf(must, OBS_OPTION_MUST_MAX, "must be %s from %" PRIu64 " to %" PRIu64, what, option->min, option->max);
      return false;
    }
    v->number = n;
  }
  /* Numbers and switches keep their text, too: it is sent to the daemon as it was given. Of texts given more than once
   * the last one counts; the others go only when it was accepted. */
  uint32_t before = v->texts.n;
  if (!add_text(option, text, v, must)) return false;
  drop_texts(v, before);
  return true;
}
