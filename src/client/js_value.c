#include "client/js_value.h"

#include "base/utf8.h"

#include <stdio.h>

enum { REPLACEMENT = 0xfffd };

/* ---- walking checked text ---- */

static const char *skip_space(const char *p, const char *end) {
  while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t' || *p == ',' || *p == ':')) p++;
  return p;
}

static const char *skip_string(const char *p) {
  for (p++; *p != '"'; p++) {
    if (*p == '\\') p++;
  }
  return p + 1;
}

/* Behind the value at `p`. */
static const char *skip_value(const char *p, const char *end) {
  size_t depth = 0;
  do {
    if (*p == '"') {
      p = skip_string(p);
      continue;
    }
    if (*p == '{' || *p == '[') depth++;
    if (*p == '}' || *p == ']') depth--;
    p++;
  } while (p < end && (depth > 0 || strchr(",]} \t\r\n", *p) == NULL));
  return p;
}

/* The value at *p, which moves behind it; undefined at the end of the object or array. */
static obs_js next_value(const char **p, const char *end) {
  *p = skip_space(*p, end);
  if (*p >= end || **p == '}' || **p == ']') return (obs_js){0};
  const char *start = *p;
  *p = *start == '"' ? skip_string(start) : skip_value(start, end);
  return (obs_js){start, *p};
}

static bool next_member(const char **p, const char *end, obs_js *key, obs_js *value) {
  *key = next_value(p, end);
  if (key->p == NULL) return false;
  *value = next_value(p, end);
  return true;
}

/* ---- characters of a string ---- */

static uint32_t hex4(const char *p) {
  uint32_t c = 0;
  for (int i = 0; i < 4; i++) {
    uint32_t d = (unsigned char)p[i];
    c = c << 4 | (d <= '9' ? d - '0' : (d | 0x20) - 'a' + 10);
  }
  return c;
}

static uint32_t escaped_char(const char **p) {
  static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
  char c = *(*p)++;
  if (c != 'u') {
    const char *at = strchr(letters, c);
    return (unsigned char)(at != NULL ? meant[at - letters] : c);
  }
  uint32_t high = hex4(*p);
  *p += 4;
  if (high < 0xd800 || high >= 0xdc00 || (*p)[0] != '\\' || (*p)[1] != 'u') return high;
  uint32_t low = hex4(*p + 2);
  if (low < 0xdc00 || low >= 0xe000) return high;
  *p += 6;
  return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static uint32_t utf8_char(const char **p, const char *end) {
  static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
  size_t n = obs_utf8_char(*p, (size_t)(end - *p));
  const char *q = *p;
  *p += n == 0 ? 1 : n;
  if (n == 0) return REPLACEMENT;
  uint32_t c = (unsigned char)*q & first[n];
  while (++q < *p) c = c << 6 | ((unsigned char)*q & 0x3f);
  return c;
}

/* The character at *p of a string's inside; a lone surrogate is itself. */
static uint32_t next_char(const char **p, const char *end) {
  if (**p != '\\') return utf8_char(p, end);
  (*p)++;
  return escaped_char(p);
}

static bool same_text(obs_js a, obs_js b) {
  const char *p = a.p + 1, *q = b.p + 1, *pe = a.end - 1, *qe = b.end - 1;
  while (p < pe && q < qe) {
    if (next_char(&p, pe) != next_char(&q, qe)) return false;
  }
  return p == pe && q == qe;
}

static size_t utf16_length(obs_js text) {
  size_t n = 0;
  const char *p = text.p + 1;
  while (p < text.end - 1) n += next_char(&p, text.end - 1) >= 0x10000 ? 2 : 1;
  return n;
}

/* ---- writing ---- */

static void put_char(obs_js_out *out, uint32_t c) {
  size_t units = c >= 0x10000 ? 2 : 1;
  if (out->full || units > out->left) {
    out->full = true;
    return;
  }
  out->left -= units;
  if (c == 0 || (c >= 0xd800 && c < 0xe000)) c = REPLACEMENT;
  if (c < 0x80) {
    obs_buf_putc(out->text, (char)c);
    return;
  }
  char bytes[4];
  size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = n; i-- > 1; c >>= 6) bytes[i] = (char)(0x80 | (c & 0x3f));
  bytes[0] = (char)((0xf00u >> n & 0xf0) | c);
  obs_buf_append(out->text, bytes, n);
}

static void put_ascii(obs_js_out *out, const char *s) {
  while (*s != '\0') put_char(out, (unsigned char)*s++);
}

static void put_inside(obs_js_out *out, obs_js text) {
  const char *p = text.p + 1;
  while (p < text.end - 1 && !out->full) put_char(out, next_char(&p, text.end - 1));
}

/* ---- questions ---- */

bool obs_js_is_null(obs_js v) {
  return v.p != NULL && *v.p == 'n';
}
bool obs_js_is_text(obs_js v) {
  return v.p != NULL && *v.p == '"';
}
bool obs_js_is_array(obs_js v) {
  return v.p != NULL && *v.p == '[';
}

bool obs_js_truthy(obs_js v) {
  char number[OBS_JS_NUMBER_SIZE];
  if (v.p == NULL || *v.p == 'n' || *v.p == 'f') return false;
  if (*v.p == '"') return v.p[1] != '"';
  if (*v.p == '-' || (*v.p >= '0' && *v.p <= '9')) return obs_js_number_text(v.p, v.end, number) != 0;
  return true;
}

obs_js obs_js_get(obs_js value, const char *name) {
  obs_js found = {0}, key, member;
  if (value.p == NULL || *value.p != '{') return found;
  char quoted[64];
  int n = snprintf(quoted, sizeof(quoted), "\"%s\"", name);
  obs_js wanted = {quoted, quoted + n};
  for (const char *p = value.p + 1; next_member(&p, value.end, &key, &member);) {
    if (same_text(key, wanted)) found = member;
  }
  return found;
}

/* ---- String(value) ---- */

static void put_scalar(obs_js_out *out, obs_js v) {
  char text[OBS_JS_NUMBER_SIZE];
  if (*v.p == '"') {
    put_inside(out, v);
  } else if (*v.p == 't' || *v.p == 'f' || *v.p == 'n') {
    put_ascii(out, *v.p == 't' ? "true" : *v.p == 'f' ? "false" : "null");
  } else {
    obs_js_number_text(v.p, v.end, text);
    put_ascii(out, text);
  }
}

/* Array.prototype.join at every depth: brackets vanish, commas stay, null is nothing. */
void obs_js_array_text(obs_js array, size_t n, obs_js_out *out) {
  size_t depth = 0;
  for (const char *p = array.p; p < array.end && !out->full;) {
    obs_js v = {p, p + 1};
    if (*p == '[') {
      depth++;
    } else if (*p == ']') {
      depth--;
    } else if (*p == ',') {
      if (depth == 1 && --n == 0) return;
      put_char(out, ',');
    } else if (*p == '{') {
      put_ascii(out, "[object Object]");
      v.end = skip_value(p, array.end);
    } else if (strchr(" \t\r\n", *p) == NULL) {
      v.end = *p == '"' ? skip_string(p) : skip_value(p, array.end);
      if (*p != 'n') put_scalar(out, v);
    }
    p = v.end;
  }
}

void obs_js_text(obs_js v, obs_js_out *out) {
  if (v.p == NULL) {
    put_ascii(out, "undefined");
  } else if (*v.p == '{') {
    put_ascii(out, "[object Object]");
  } else if (*v.p == '[') {
    obs_js_array_text(v, SIZE_MAX, out);
  } else {
    put_scalar(out, v);
  }
}

void obs_js_length(obs_js v, obs_js_out *out) {
  if (v.p == NULL || (*v.p != '"' && *v.p != '[')) {
    obs_js_text(obs_js_get(v, "length"), out);
    return;
  }
  char text[OBS_JS_NUMBER_SIZE];
  size_t n = 0;
  const char *p = v.p + 1;
  if (*v.p == '"') {
    n = utf16_length(v);
  } else {
    while (next_value(&p, v.end).p != NULL) n++;
  }
  snprintf(text, sizeof(text), "%zu", n);
  put_ascii(out, text);
}

/* ---- JSON.stringify ---- */

static void put_json(obs_js_out *out, obs_js v);

static void put_json_string(obs_js_out *out, obs_js text) {
  static const char short_form[] = {
      ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
  put_char(out, '"');
  for (const char *p = text.p + 1; p < text.end - 1 && !out->full;) {
    uint32_t c = next_char(&p, text.end - 1);
    char escape[8];
    if (c < sizeof(short_form) && short_form[c] != 0) {
      put_char(out, '\\');
      put_char(out, (unsigned char)short_form[c]);
    } else if (c < 0x20 || (c >= 0xd800 && c < 0xe000)) {
      snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)c);
      put_ascii(out, escape);
    } else {
      put_char(out, c);
    }
  }
  put_char(out, '"');
}

/* The value of a key that is an array index ("0", "17", below 2^32 - 1), or -1. */
static int64_t key_index(obs_js key) {
  const char *p = key.p + 1, *end = key.end - 1;
  int64_t n = -1;
  while (p < end) {
    uint32_t c = next_char(&p, end);
    if (c < '0' || c > '9' || n == 0) return -1;
    n = (n < 0 ? 0 : n) * 10 + (c - '0');
    if (n >= UINT32_MAX) return -1;
  }
  return n;
}

/* JavaScript's order of an object's keys: indexes by value, then the others as they came. Every key that is written
 * costs at least two of the few characters, so the text is walked anew for each rather than kept. */
enum { MOST_KEYS = OBS_JS_JSON_UNITS / 2 };

typedef struct {
  obs_js object, seen[MOST_KEYS];
  size_t n;
} members;

static void put_member(obs_js_out *out, members *m, obs_js key, obs_js value) {
  if (m->n > 0) put_char(out, ',');
  if (m->n < MOST_KEYS) m->seen[m->n++] = key;
  put_json_string(out, key);
  put_char(out, ':');
  put_json(out, value);
}

static bool was_put(const members *m, obs_js key) {
  for (size_t i = 0; i < m->n; i++) {
    if (same_text(m->seen[i], key)) return true;
  }
  return false;
}

static void put_indexed(obs_js_out *out, members *m) {
  int64_t last = -1;
  while (!out->full) {
    int64_t next = INT64_MAX;
    obs_js key, value, next_key = {0}, next_one = {0};
    for (const char *p = m->object.p + 1; next_member(&p, m->object.end, &key, &value);) {
      int64_t i = key_index(key);
      if (i <= last || i > next) continue;
      next = i;
      next_key = key;
      next_one = value;
    }
    if (next == INT64_MAX) return;
    put_member(out, m, next_key, next_one);
    last = next;
  }
}

static void put_named(obs_js_out *out, members *m) {
  obs_js key, value, later, last;
  for (const char *p = m->object.p + 1; !out->full && next_member(&p, m->object.end, &key, &value);) {
    if (key_index(key) >= 0 || was_put(m, key)) continue;
    for (const char *q = p; next_member(&q, m->object.end, &later, &last);) {
      if (same_text(later, key)) value = last;
    }
    put_member(out, m, key, value);
  }
}

static void put_array(obs_js_out *out, obs_js array) {
  const char *p = array.p + 1;
  put_char(out, '[');
  for (bool first = true; !out->full; first = false) {
    obs_js v = next_value(&p, array.end);
    if (v.p == NULL) break;
    if (!first) put_char(out, ',');
    put_json(out, v);
  }
  put_char(out, ']');
}

/* As deep as there are characters left: each level writes one. */
static void put_json(obs_js_out *out, obs_js v) {
  if (out->full || v.p == NULL) return;
  if (*v.p == '[') {
    put_array(out, v);
  } else if (*v.p == '{') {
    members m = {.object = v};
    put_char(out, '{');
    put_indexed(out, &m);
    put_named(out, &m);
    put_char(out, '}');
  } else if (*v.p == '"') {
    put_json_string(out, v);
  } else {
    char text[OBS_JS_NUMBER_SIZE];
    bool infinite = false;
    if (strchr("tfn", *v.p) == NULL) {
      double number = obs_js_number_text(v.p, v.end, text);
      infinite = number - number != 0;
    }
    put_scalar(out, infinite ? (obs_js){"null", NULL} : v);
  }
}

void obs_js_json(obs_js v, obs_buf *text) {
  obs_js_out out = {.text = text, .left = OBS_JS_JSON_UNITS};
  put_json(&out, v);
}
