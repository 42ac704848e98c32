#include "observerctl/ask/page.h"

#include "base/json_cursor.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
  obs_page_row fn;
  void *arg;
  bool stopped;
  obs_cursor c;
} reader;

static bool take(obs_cursor *c, char ch) {
  obs_json_cursor_space(c);
  bool taken = obs_json_cursor_take(c, ch);
  obs_json_cursor_space(c);
  return taken;
}

/* `"key":` at the cursor, as it is written. */
static bool take_key(obs_cursor *c, obs_str *key) {
  obs_cursor_value v;
  if (!obs_json_cursor_key(c, &v)) return false;
  *key = v.s;
  return true;
}

/* {"seq":N,"op":{...}}: the member that is an object is the row, the one before it its number. */
static bool take_row(reader *r) {
  obs_str key;
  uint64_t number = 0;
  if (!take(&r->c, '{')) return false;
  do {
    if (!take_key(&r->c, &key)) return false;
    const uint8_t *start = r->c.p;
    if (!obs_json_cursor_skip(&r->c)) return false;
    if (*start != '{')
      number = strtoull((const char *)start, NULL, 10);
    else if (!r->stopped)
      r->stopped = !r->fn(r->arg, number, (const char *)start, (size_t)(r->c.p - start));
  } while (take(&r->c, ','));
  return take(&r->c, '}');
}

static bool take_rows(reader *r) {
  if (!take(&r->c, '[')) return false;
  if (take(&r->c, ']')) return true;
  do {
    if (!take_row(r)) return false;
  } while (take(&r->c, ','));
  return take(&r->c, ']');
}

bool obs_page_read(const obs_buf *body, obs_page_row fn, void *arg, char cursor[OBS_PAGE_CURSOR]) {
  reader r = {.fn = fn, .arg = arg, .c = obs_cursor_of(body->p, body->len)};
  obs_str key;
  cursor[0] = '\0';
  if (!take(&r.c, '{')) return false;
  do {
    if (!take_key(&r.c, &key)) return false;
    const uint8_t *start = r.c.p;
    if (r.c.p < r.c.end && *r.c.p == '[') {
      if (!take_rows(&r)) return false;
    } else if (!obs_json_cursor_skip(&r.c)) {
      return false;
    } else if (obs_str_eq(key, OBS_STR("next_cursor")) && *start == '"') {
      (void)snprintf(cursor, OBS_PAGE_CURSOR, "%.*s", (int)(r.c.p - start) - 2, (const char *)start + 1);
    }
  } while (take(&r.c, ','));
  return take(&r.c, '}');
}
