#include "observerctl/page.h"

#include "op/json_scan.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
  obs_page_row fn;
  void *arg;
  bool stopped;
  obs_decoder d;
} reader;

static bool take(obs_decoder *d, char c) {
  obs_json_space(d);
  bool taken = obs_json_take(d, c);
  obs_json_space(d);
  return taken;
}

/* `"key":` at d->p. */
static bool take_key(obs_decoder *d, obs_str *key) {
  obs_json_string s;
  if (!take(d, '"') || obs_json_scan_string(d, &s) != OBS_DECODE_OK) return false;
  *key = (obs_str){(const char *)s.first, (uint32_t)(s.last - s.first), 0};
  return take(d, ':');
}

/* {"seq":N,"op":{...}}: the member that is an object is the row, the one before it its number. */
static bool take_row(reader *r) {
  obs_str key;
  uint64_t number = 0;
  if (!take(&r->d, '{')) return false;
  do {
    if (!take_key(&r->d, &key)) return false;
    const uint8_t *start = r->d.p;
    if (obs_json_skip(&r->d) != OBS_DECODE_OK) return false;
    if (*start != '{')
      number = strtoull((const char *)start, NULL, 10);
    else if (!r->stopped)
      r->stopped = !r->fn(r->arg, number, (const char *)start, (size_t)(r->d.p - start));
  } while (take(&r->d, ','));
  return take(&r->d, '}');
}

static bool take_rows(reader *r) {
  if (!take(&r->d, '[')) return false;
  if (take(&r->d, ']')) return true;
  do {
    if (!take_row(r)) return false;
  } while (take(&r->d, ','));
  return take(&r->d, ']');
}

bool obs_page_read(const obs_buf *body, obs_page_row fn, void *arg, char cursor[OBS_PAGE_CURSOR]) {
  static const obs_op_limits limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 64};
  const uint8_t *p = (const uint8_t *)body->p;
  reader r = {.fn = fn, .arg = arg, .d = {.limits = &limits, .base = p, .p = p, .end = p + body->len}};
  obs_str key;
  cursor[0] = '\0';
  if (!take(&r.d, '{')) return false;
  do {
    if (!take_key(&r.d, &key)) return false;
    const uint8_t *start = r.d.p;
    if (r.d.p < r.d.end && *r.d.p == '[') {
      if (!take_rows(&r)) return false;
    } else if (obs_json_skip(&r.d) != OBS_DECODE_OK) {
      return false;
    } else if (obs_str_eq(key, OBS_STR("next_cursor")) && *start == '"') {
      (void)snprintf(cursor, OBS_PAGE_CURSOR, "%.*s", (int)(r.d.p - start) - 2, (const char *)start + 1);
    }
  } while (take(&r.d, ','));
  return take(&r.d, '}');
}
