#include "base/json_search.h"

#include "base/json_cursor.h"

#include <ctype.h>

/* A solidus may be written \/, what is not ASCII \u00e9, < and > \u003c. */
static bool is_plain(char c) {
  return (unsigned char)c < 0x80 && c != '\0' && (isalnum((unsigned char)c) || strchr("_-.: ", c) != NULL);
}

static bool has(obs_str text, obs_str part) {
  return part.len == 0 || (text.len >= part.len && memmem(text.p, text.len, part.p, part.len) != NULL);
}

obs_json_search obs_json_search_for(obs_str text) {
  obs_json_search s = {.text = text, .plain = true};
  for (uint32_t i = 0, start = 0; i <= text.len; i++) {
    if (i < text.len && is_plain(text.p[i])) continue;
    if (i < text.len) s.plain = false;
    if (i - start > s.needle.len) s.needle = (obs_str){text.p + start, i - start, 0};
    start = i + 1;
  }
  return s;
}

/* Without a backslash every text stands as it reads. */
bool obs_json_search_may(const obs_json_search *s, obs_str json) {
  if (!has(json, s->needle)) return false;
  return s->plain || memchr(json.p, '\\', json.len) != NULL || has(json, s->text);
}

static bool text_has(const obs_json_search *s, const obs_cursor_value *v, obs_buf *scratch) {
  if (!v->escaped) return has(v->s, s->text);
  if (!v->valid || v->s.len < s->text.len || !has(v->s, s->needle)) return false;
  scratch->len = 0;
  if (!obs_buf_reserve(scratch, v->s.len)) return false;
  scratch->len = obs_json_cursor_unescape(v->s, scratch->p);
  return has(obs_buf_view(scratch), s->text);
}

/* Token after token: in valid JSON a text is a name when a colon follows it. */
bool obs_json_search_in(const obs_json_search *s, obs_str json, obs_buf *scratch) {
  obs_cursor c = obs_cursor_of(json.p, json.len);
  while (c.p < c.end) {
    obs_cursor_value v;
    if (obs_json_cursor_take(&c, '"')) {
      if (!obs_json_cursor_string(&c, &v)) return false;
      obs_json_cursor_space(&c);
      if (!obs_json_cursor_take(&c, ':') && text_has(s, &v, scratch)) return true;
    } else if (*c.p == '-' || isdigit(*c.p)) {
      const char *start = (const char *)c.p;
      while (c.p < c.end && (isdigit(*c.p) || strchr("+-.eE", *c.p) != NULL) && *c.p != '\0') c.p++;
      if (has((obs_str){start, (uint32_t)((const char *)c.p - start), 0}, s->text)) return true;
    } else {
      c.p++;
    }
  }
  return false;
}

bool obs_json_has_nul(obs_str json) {
  for (uint32_t i = 0; i + 1 < json.len; i++) {
    if (json.p[i] != '\\') continue;
    if (json.len - i >= 6 && memcmp(json.p + i, "\\u0000", 6) == 0) return true;
    i++;
  }
  return json.len > 0 && memchr(json.p, '\0', json.len) != NULL;
}
