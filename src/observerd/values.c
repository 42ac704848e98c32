#include "observerd/values.h"

#include "observerd/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool is_list(const obs_value_rule *rule) {
  return rule->type == OBS_TYPE_TEXTS || rule->type == OBS_TYPE_URLS;
}

static bool is_number(const obs_value_rule *rule) {
  return rule->type == OBS_TYPE_NUMBER || rule->type == OBS_TYPE_BYTES;
}

/* Whether `word` is one of the space-separated `words`. */
static bool among(const char *words, const char *word, size_t len) {
  for (const char *p = words; *p != '\0';) {
    size_t n = strcspn(p, " ");
    if (n == len && memcmp(p, word, n) == 0) return true;
    p += n;
    p += strspn(p, " ");
  }
  return false;
}

static bool say(char *why, size_t size, const char *text) {
  snprintf(why, size, "%s", text);
  return false;
}

static bool is_http_url(const char *rest) {
  size_t host = strcspn(rest, rest[0] == '[' ? "]" : ":/");
  if (rest[0] == '[' && rest[host++] == '\0') return false;
  const char *p = rest + host;
  if (host == 0) return false;
  if (*p == ':') {
    char *end;
    long port = strtol(p + 1, &end, 10);
    if (!isdigit((unsigned char)p[1]) || port > 65535) return false;
    p = end;
  }
  return *p == '\0' || *p == '/';
}

static bool is_url(const obs_value_rule *rule, const char *text) {
  if (rule->type == OBS_TYPE_URLS) {
    if (strncmp(text, "listen:", 7) == 0)
      text += 7;
    else if (strncmp(text, "dial:", 5) == 0)
      text += 5;
  }
  const char *colon = strstr(text, "://");
  if (colon == NULL || colon[3] == '\0' || !among(rule->choices, text, (size_t)(colon - text))) return false;
  return strncmp(text, "http", 4) != 0 || is_http_url(colon + 3);
}

/* Digits, and for bytes one of K, M, G. */
static bool read_number(const obs_value_rule *rule, const char *text, uint64_t *out) {
  char *end;
  errno = 0;
  if (!isdigit((unsigned char)*text)) return false;
  uint64_t v = strtoull(text, &end, 10);
  if (errno != 0) return false;
  if (rule->type == OBS_TYPE_BYTES && *end != '\0') {
    static const char units[] = "KMG";
    const char *unit = strchr(units, toupper((unsigned char)*end++));
    if (unit == NULL) return false;
    unsigned shift = 10 * (1 + (unsigned)(unit - units));
    if (v > UINT64_MAX >> shift) return false;
    v <<= shift;
  }
  *out = v;
  return *end == '\0' && v >= rule->min && v <= rule->max;
}

static bool set_number(const obs_value_rule *rule, uint64_t *out, const char *text, char *why, size_t size) {
  if (read_number(rule, text, out)) return true;
  const char *what = rule->type == OBS_TYPE_BYTES ? "a size (K, M, G)" : "an integer";
  if (rule->max == UINT64_MAX)
    snprintf(why, size, "must be %s of at least %" PRIu64, what, rule->min);
  else
    snprintf(why, size, "must be %s from %" PRIu64 " to %" PRIu64, what, rule->min, rule->max);
  return false;
}

static bool set_switch(bool *out, const char *text, char *why, size_t size) {
  bool yes = among("true yes on 1", text, strlen(text));
  if (!yes && !among("false no off 0", text, strlen(text))) return say(why, size, "must be true or false");
  *out = yes;
  return true;
}

bool obs_value_fsync(const char *text, obs_journal_fsync *mode, uint32_t *ms) {
  *ms = 0;
  if (strcmp(text, "always") == 0)
    *mode = OBS_FSYNC_ALWAYS;
  else if (strcmp(text, "never") == 0)
    *mode = OBS_FSYNC_NEVER;
  else if (strncmp(text, "interval:", 9) == 0) {
    obs_value_rule rule = {OBS_TYPE_NUMBER, 1, 3600000, NULL};
    uint64_t v;
    if (!read_number(&rule, text + 9, &v)) return false;
    *mode = OBS_FSYNC_INTERVAL;
    *ms = (uint32_t)v;
  } else {
    return false;
  }
  return true;
}

/* What a text must be, or NULL when it is. */
static const char *text_fault(const obs_value_rule *rule, const char *text, char *buf, size_t size) {
  obs_journal_fsync mode;
  uint32_t ms;
  switch (rule->type) {
  case OBS_TYPE_NAME:
    return *text == '\0' || *text == '.' || strchr(text, '/') != NULL ? "must be a file name" : NULL;
  case OBS_TYPE_FSYNC:
    return obs_value_fsync(text, &mode, &ms) ? NULL : "must be always, interval:MS (1 to 3600000) or never";
  case OBS_TYPE_CHOICE:
    snprintf(buf, size, "must be one of: %s", rule->choices);
    return among(rule->choices, text, strlen(text)) ? NULL : buf;
  case OBS_TYPE_URL:
  case OBS_TYPE_URLS:
    if (rule->choices == NULL) return "must be none";
    snprintf(buf, size, "must be a URL of: %s", rule->choices);
    return is_url(rule, text) ? NULL : buf;
  default:
    return *text == '\0' ? "must not be empty" : NULL;
  }
}

static bool set_text(const obs_value_rule *rule, char **out, const char *text, char *why, size_t size) {
  char buf[128];
  const char *fault = text_fault(rule, text, buf, sizeof(buf));
  if (fault != NULL) return say(why, size, fault);
  char *copy = strdup(text);
  if (copy == NULL) return say(why, size, "out of memory");
  free(*out);
  *out = copy;
  return true;
}

static bool add_item(const obs_value_rule *rule, obs_list *list, const char *text, char *why, size_t size) {
  char *item = NULL;
  if (list->n == OBS_LIST_MAX) return say(why, size, "must be given 32 times at most");
  if (!set_text(rule, &item, text, why, size)) return false;
  list->items[list->n++] = item;
  return true;
}

static bool set_urls(const obs_value_rule *rule, obs_list *list, const char *text, char *why, size_t size) {
  char copy[1024];
  if (strlen(text) >= sizeof(copy)) return say(why, size, "must be shorter than 1024 bytes (it may be given again)");
  if (strcmp(text, "none") == 0) {
    obs_value_clear(rule, list);
    return true;
  }
  snprintf(copy, sizeof(copy), "%s", text);
  char *save = NULL;
  bool any = false;
  for (char *url = strtok_r(copy, ", ", &save); url != NULL; url = strtok_r(NULL, ", ", &save), any = true) {
    if (!add_item(rule, list, url, why, size)) return false;
  }
  return any ? true : say(why, size, "must not be empty");
}

bool obs_value_set(const obs_value_rule *rule, void *member, const char *text, char *why, size_t why_size) {
  if (is_number(rule)) return set_number(rule, member, text, why, why_size);
  if (rule->type == OBS_TYPE_SWITCH) return set_switch(member, text, why, why_size);
  if (rule->type == OBS_TYPE_TEXTS) return add_item(rule, member, text, why, why_size);
  if (rule->type == OBS_TYPE_URLS) return set_urls(rule, member, text, why, why_size);
  return set_text(rule, member, text, why, why_size);
}

void obs_value_clear(const obs_value_rule *rule, void *member) {
  if (is_number(rule)) {
    *(uint64_t *)member = 0;
  } else if (rule->type == OBS_TYPE_SWITCH) {
    *(bool *)member = false;
  } else if (is_list(rule)) {
    obs_list *list = member;
    while (list->n > 0) free(list->items[--list->n]);
  } else {
    free(*(char **)member);
    *(char **)member = NULL;
  }
}

void obs_value_swap(const obs_value_rule *rule, void *a, void *b) {
  obs_list saved; /* the largest of them */
  size_t size = is_list(rule)                   ? sizeof(obs_list)
                : is_number(rule)               ? sizeof(uint64_t)
                : rule->type == OBS_TYPE_SWITCH ? sizeof(bool)
                                                : sizeof(char *);
  memcpy(&saved, a, size);
  memcpy(a, b, size);
  memcpy(b, &saved, size);
}

static bool same_text(const char *a, const char *b) {
  return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool obs_value_equal(const obs_value_rule *rule, const void *a, const void *b) {
  if (is_number(rule)) return *(const uint64_t *)a == *(const uint64_t *)b;
  if (rule->type == OBS_TYPE_SWITCH) return *(const bool *)a == *(const bool *)b;
  if (!is_list(rule)) return same_text(*(char *const *)a, *(char *const *)b);
  const obs_list *x = a, *y = b;
  if (x->n != y->n) return false;
  for (uint32_t i = 0; i < x->n; i++) {
    if (!same_text(x->items[i], y->items[i])) return false;
  }
  return true;
}

static void print_line(const char *flag, const char *value, FILE *out) {
  if (value == NULL) fputs("# ", out);
  for (const char *p = flag; *p != '\0'; p++) fputc(*p == '-' ? '_' : *p, out);
  fprintf(out, " =%s%s\n", value != NULL ? " " : "", value != NULL ? value : "");
}

void obs_value_print(const obs_value_rule *rule, const char *flag, const void *member, FILE *out) {
  char number[24];
  if (is_number(rule)) {
    snprintf(number, sizeof(number), "%" PRIu64, *(const uint64_t *)member);
    print_line(flag, number, out);
  } else if (rule->type == OBS_TYPE_SWITCH) {
    print_line(flag, *(const bool *)member ? "true" : "false", out);
  } else if (is_list(rule)) {
    const obs_list *list = member;
    for (uint32_t i = 0; i < list->n; i++) print_line(flag, list->items[i], out);
    if (list->n == 0) print_line(flag, rule->type == OBS_TYPE_URLS ? "none" : NULL, out);
  } else {
    print_line(flag, *(char *const *)member, out);
  }
}
