/* The types of values: what each accepts. */
#include "access/key_text.h"
#include "options/internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

typedef struct {
  const char *name; /* in small letters */
  uint64_t times;
} unit;

static const unit time_units[] = {{"ms", 1},      {"s", 1000},     {"sec", 1000},    {"m", 60000}, {"min", 60000},
                                  {"h", 3600000}, {"d", 86400000}, {"w", 604800000}, {NULL, 0}};
static const unit second[] = {{"", 1000}, {NULL, 0}};
#define KIB UINT64_C(1024)
static const unit byte_units[] = {{"b", 1},
                                  {"k", KIB},
                                  {"kb", KIB},
                                  {"kib", KIB},
                                  {"m", KIB *KIB},
                                  {"mb", KIB *KIB},
                                  {"mib", KIB *KIB},
                                  {"g", KIB *KIB *KIB},
                                  {"gb", KIB *KIB *KIB},
                                  {"gib", KIB *KIB *KIB},
                                  {"t", KIB *KIB *KIB *KIB},
                                  {"tb", KIB *KIB *KIB *KIB},
                                  {"tib", KIB *KIB *KIB *KIB},
                                  {NULL, 0}};

/* One part, as `1.5G`: moves *text behind it. Nothing wraps around: 17179869184G is refused. */
static bool read_part(const char **text, const unit *units, uint64_t *out) {
  enum { FRACTION_DIGITS = 9 };
  char *p;
  uint64_t whole, part = 0, scale = 1, times = 0;
  if (!read_digits(*text, &whole, &p)) return false;
  if (*p == '.') {
    if (!isdigit((unsigned char)*++p)) return false;
    for (int n = 0; isdigit((unsigned char)*p); p++, n++) {
      if (n == FRACTION_DIGITS) return false;
      part = part * 10 + (uint64_t)(*p - '0');
      scale *= 10;
    }
  }
  size_t len = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
  for (const unit *u = units; u->name != NULL; u++)
    if (strlen(u->name) == len && strncasecmp(u->name, p, len) == 0) times = u->times;
  if (times == 0 || whole > UINT64_MAX / times || part > UINT64_MAX / times) return false;
  *text = p + len;
  *out = whole * times;
  if (*out > UINT64_MAX - part * times / scale) return false;
  *out += part * times / scale;
  return true;
}

/* Part after part, each in a smaller unit than the one before: `1h30m`. */
static bool read_with_units(const char *text, const unit *units, uint64_t *out) {
  uint64_t last = UINT64_MAX, part;
  for (*out = 0; *text != '\0'; last = part) {
    if (!read_part(&text, units, &part) || part >= last || *out > UINT64_MAX - part) return false;
    *out += part;
  }
  return true;
}

bool obs_option_read_duration(const char *text, uint64_t *ms) {
  return *text != '\0' && read_with_units(text, time_units, ms);
}

static bool read_number(const obs_option *option, const char *text, uint64_t *out) {
  bool time = option->type == OBS_OPTION_TIME, bytes = option->type == OBS_OPTION_BYTES;
  uint64_t bare = time ? 1000 : option->bare, v;
  if (obs_option_read_number(text, 0, UINT64_MAX, &v)) {
    if (time && v > UINT64_MAX / bare) return false;
    *out = time ? v * bare : v;
  } else if (bytes) {
    if (!read_with_units(text, byte_units, out)) return false;
  } else if (bare > 0) {
    bool part = time && text[strspn(text, "0123456789.")] == '\0'; /* of a second: 0.5, .5 */
    char padded[32];
    if (part && (size_t)snprintf(padded, sizeof(padded), "0%s", text) >= sizeof(padded)) return false;
    if (!read_with_units(part ? padded : text, part ? second : time_units, &v) || (!time && v % bare != 0))
      return false;
    *out = time ? v : v / bare;
  } else {
    return false;
  }
  return *text != '\0' && *out >= option->min && *out <= option->max;
}

/* "must begin with http://, https:// or ipc://" */
static bool refuse_scheme(const char *schemes, char must[OBS_OPTION_MUST_MAX]) {
  size_t n = (size_t)snprintf(must, OBS_OPTION_MUST_MAX, "must begin with ");
  for (const char *p = schemes; *p != '\0' && n < OBS_OPTION_MUST_MAX;) {
    size_t len = strcspn(p, " ");
    const char *next = p + len + strspn(p + len, " ");
    const char *between = *next == '\0' ? "" : strchr(next, ' ') == NULL ? " or " : ", ";
    n += (size_t)snprintf(must + n, OBS_OPTION_MUST_MAX - n, "%.*s://%s", (int)len, p, between);
    p = next;
  }
  return false;
}

static bool is_url(const obs_option *option, const char *text, char must[OBS_OPTION_MUST_MAX]) {
  if (*text == '\0') return refuse(must, "must not be empty");
  if (option->type == OBS_OPTION_URLS && strncmp(text, "listen:", 7) == 0)
    text += 7;
  else if (option->type == OBS_OPTION_URLS && strncmp(text, "dial:", 5) == 0)
    text += 5;
  const char *colon = strstr(text, "://");
  if (colon == NULL || colon[3] == '\0' || !obs_option_among(option->choices, text, (size_t)(colon - text)))
    return refuse_scheme(option->choices, must);
  /* NNG checks its own URLs when it listens or dials; HTTP ones would fail much later, at the first request: there must
   * be a host, and may be a port and a path. */
  if (strncmp(text, "http", 4) != 0) return true;
  refuse(must, "must be a URL such as http://host:8080/path");
  const char *host = colon + 3, *p = host + strcspn(host, *host == '[' ? "]" : ":/");
  if (p == host || (*host == '[' && *p++ == '\0')) return false;
  if (*p == ':') {
    char *end;
    long port = strtol(p + 1, &end, 10);
    if (!isdigit((unsigned char)p[1]) || port > 65535) return false;
    p = end;
  }
  return *p == '\0' || *p == '/' || (*p == ';' && option->type == OBS_OPTION_URLS); /* ;key=ID of a listener */
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
    return is_url(option, text, must);
  case OBS_OPTION_MAYBE:
    return true;
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

/* In the largest unit that it is a whole number of. */
static void put_time(uint64_t ms, char out[24]) {
  static const unit units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
  const unit *u = units;
  while (ms % u->times != 0) u++;
  snprintf(out, 24, "%" PRIu64 "%s", ms / u->times, ms == 0 ? "" : u->name);
}

static void refuse_time(uint64_t min, uint64_t max, uint64_t bare, char must[OBS_OPTION_MUST_MAX]) {
  char from[24], to[24], of[24] = "";
  put_time(min, from);
  put_time(max, to);
  if (bare > 0) put_time(bare, of);
  snprintf(must, OBS_OPTION_MUST_MAX, "must be a time (ms s m h d) from %s to %s%s%s", from, to,
           bare > 0 ? ", a multiple of " : "", of);
}

bool obs_option_read(const obs_option *option, const char *text, obs_option_value *v, char must[OBS_OPTION_MUST_MAX]) {
  obs_str key;
  if (obs_key_text_find(text, strlen(text), &key))
    return refuse(must, strstr(text, ";key=") != NULL
                            ? "must not hold the text of a key: ;key= takes the id, the third part of a key's text"
                            : "must not hold the text of a key");
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
    char word[8] = "";
    for (size_t i = 0; i < sizeof(word) - 1 && text[i] != '\0'; i++) word[i] = (char)tolower((unsigned char)text[i]);
    size_t len = strlen(text) < sizeof(word) ? strlen(text) : 0; /* a longer one is none of them */
    bool on = obs_option_among("true yes on 1", word, len);
    if (!on && !obs_option_among("false no off 0", word, len)) return refuse(must, "must be true or false");
    v->number = on;
  } else if (obs_option_is_number(option)) {
    const char *what = option->type == OBS_OPTION_BYTES ? "a size (K, M, G)" : "an integer";
    uint64_t n;
    if (!read_number(option, text, &n)) {
      uint64_t unit_ms = option->type == OBS_OPTION_TIME ? 1 : option->bare;
      if (unit_ms > 0 && option->max < UINT64_MAX / unit_ms)
        refuse_time(option->min * unit_ms, option->max * unit_ms, option->type == OBS_OPTION_TIME ? 0 : option->bare,
                    must);
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
