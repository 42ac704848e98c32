/* The rules were written in JavaScript, so values are read as JavaScript sees them: numbers are doubles, an object with
 * a repeated key has its last value, lengths and cuts count UTF-16 units. A value is a view of the checked text:
 * nothing is kept or copied, and depth costs no stack, because an answer may be 16 MiB of anything. */
#include "client/answer.h"

#include "base/number.h"
#include "base/utf8.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* MOST_TEXT: of `error` and output_summary, so that the daemon takes the op whatever the gateway said. */
enum { REPLACEMENT = 0xfffd, MOST_TEXT = 15 * 1024, ANSWER_UNITS = 80 };

typedef struct {
  const char *p; /* NULL: undefined */
  const char *end;
} js;

/* ---- the check of the text, strictly by RFC 8259 ---- */

typedef struct {
  const char *start, *p, *end;
  obs_buf open; /* the brackets that are open, innermost last */
} parser;

static void skip_space(parser *x) {
  while (x->p < x->end && (*x->p == ' ' || *x->p == '\n' || *x->p == '\r' || *x->p == '\t')) x->p++;
}

static bool take(parser *x, char c) {
  if (x->p >= x->end || *x->p != c) return false;
  x->p++;
  return true;
}

static bool take_digits(parser *x) {
  const char *first = x->p;
  while (x->p < x->end && *x->p >= '0' && *x->p <= '9') x->p++;
  return x->p > first;
}

static bool check_string(parser *x) {
  if (!take(x, '"')) return false;
  for (;;) {
    if (x->p >= x->end || (unsigned char)*x->p < 0x20) return false;
    if (take(x, '"')) return true;
    if (*x->p++ != '\\') continue;
    bool hex = take(x, 'u');
    const char *allowed = hex ? "0123456789abcdefABCDEF" : "\"\\/bfnrt";
    for (int i = hex ? 4 : 1; i > 0; i--, x->p++) {
      if (x->p >= x->end || *x->p == '\0' || strchr(allowed, *x->p) == NULL) return false;
    }
  }
}

static bool check_scalar(parser *x) {
  static const char *const words[] = {"true", "false", "null"};
  if (x->p < x->end && *x->p == '"') return check_string(x);
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    const char *word = words[i];
    if (!take(x, *word)) continue;
    while (*++word != '\0') {
      if (!take(x, *word)) return false;
    }
    return true;
  }
  take(x, '-');
  if (!take(x, '0') && !take_digits(x)) return false;
  if (take(x, '.') && !take_digits(x)) return false;
  if (!take(x, 'e') && !take(x, 'E')) return true;
  if (!take(x, '+')) take(x, '-');
  return take_digits(x);
}

static bool check_key(parser *x) {
  skip_space(x);
  if (!check_string(x)) return false;
  skip_space(x);
  return take(x, ':');
}

/* False: x->p is at what is wrong, or there was no memory for the brackets. */
static bool check(parser *x) {
  for (;;) {
    skip_space(x);
    char bracket = x->p < x->end ? *x->p : '\0';
    if (bracket == '{' || bracket == '[') {
      x->p++;
      skip_space(x);
      if (!take(x, bracket == '{' ? '}' : ']')) {
        obs_buf_putc(&x->open, bracket);
        if (x->open.oom || (bracket == '{' && !check_key(x))) return false;
        continue;
      }
    } else if (!check_scalar(x)) {
      return false;
    }
    /* A value has ended, and with it the brackets that close here. */
    for (;; x->open.len--) {
      skip_space(x);
      if (x->open.len == 0) return x->p == x->end;
      bracket = x->open.p[x->open.len - 1];
      if (take(x, ',')) {
        if (bracket == '{' && !check_key(x)) return false;
        break;
      }
      if (!take(x, bracket == '{' ? '}' : ']')) return false;
    }
  }
}

static void explain(const parser *x, obs_buf *error) {
  size_t at = (size_t)(x->p - x->start);
  if (x->open.oom)
    obs_buf_puts(error, "no memory for the answer's JSON");
  else if (x->start == x->end)
    obs_buf_puts(error, "the answer is empty, not JSON");
  else if (x->p >= x->end)
    obs_buf_printf(error, "the answer is not JSON: it ends too early, after %zu bytes", at);
  else if (*x->p > ' ' && *x->p < 0x7f)
    obs_buf_printf(error, "the answer is not JSON: unexpected '%c' at byte %zu", *x->p, at);
  else
    obs_buf_printf(error, "the answer is not JSON: unexpected byte 0x%02x at byte %zu", (unsigned char)*x->p, at);
}

static bool parse(const char *text, size_t len, js *out, obs_buf *error) {
  parser x = {.start = text, .p = text, .end = text + len};
  if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) x.p += 3; /* a byte order mark is no part of the text */
  skip_space(&x);
  *out = (js){x.p, x.end};
  bool ok = check(&x);
  while (ok && strchr(" \t\r\n", out->end[-1]) != NULL) out->end--;
  if (!ok) explain(&x, error);
  obs_buf_fini(&x.open);
  return ok;
}

/* ---- walking checked text ---- */

/* Behind the value at `p`. */
static const char *skip_value(const char *p, const char *end) {
  size_t depth = 0;
  do {
    if (*p == '{' || *p == '[') depth++;
    if (*p == '}' || *p == ']') depth--;
    if (*p == '"') {
      while (*++p != '"') p += *p == '\\';
      if (depth == 0) return p + 1;
    }
    p++;
  } while (p < end && (depth > 0 || strchr(",]} \t\r\n", *p) == NULL));
  return p;
}

/* The value at *p, which moves behind it; undefined at the end of the object or array. */
static js next_value(const char **p, const char *end) {
  const char *start = *p;
  while (start < end && strchr(" \n\r\t,:", *start) != NULL) start++;
  if (start >= end || *start == '}' || *start == ']') return (js){0};
  *p = skip_value(start, end);
  return (js){start, *p};
}

static bool next_member(const char **p, const char *end, js *key, js *value) {
  *key = next_value(p, end);
  if (key->p == NULL) return false;
  *value = next_value(p, end);
  return true;
}

static uint32_t hex4(const char *p) {
  uint32_t c = 0;
  for (int i = 0; i < 4; i++) {
    uint32_t d = (unsigned char)p[i];
    c = c << 4 | (d <= '9' ? d - '0' : (d | 0x20) - 'a' + 10);
  }
  return c;
}

/* The character at *p of a string's inside: a lone surrogate is itself, a byte that is no UTF-8 is U+FFFD. */
static uint32_t next_char(const char **p, const char *end) {
  static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
  static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07}; /* bits of a character's first byte */
  const char *q = *p;
  if (*q != '\\') {
    size_t n = obs_utf8_char(q, (size_t)(end - q));
    *p += n == 0 ? 1 : n;
    uint32_t c = n == 0 ? REPLACEMENT : (unsigned char)*q & first[n];
    while (n > 0 && ++q < *p) c = c << 6 | ((unsigned char)*q & 0x3f);
    return c;
  }
  *p += 2;
  if (q[1] != 'u') {
    const char *at = strchr(letters, q[1]);
    return (unsigned char)(at != NULL ? meant[at - letters] : q[1]);
  }
  *p += 4;
  uint32_t high = hex4(q + 2);
  if (high < 0xd800 || high >= 0xdc00 || q[6] != '\\' || q[7] != 'u') return high;
  uint32_t low = hex4(q + 8);
  if (low < 0xdc00 || low >= 0xe000) return high;
  *p += 6;
  return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static bool same_text(js a, js b) {
  const char *p = a.p + 1, *q = b.p + 1, *pe = a.end - 1, *qe = b.end - 1;
  while (p < pe && q < qe) {
    if (next_char(&p, pe) != next_char(&q, qe)) return false;
  }
  return p == pe && q == qe;
}

/* strtod of text that does not end in a NUL, without the decimal point of the program's locale. */
static double number_of(js v) {
  char text[400]; /* more than a double needs: a longer one is copied */
  size_t n = (size_t)(v.end - v.p);
  char *copy = n < sizeof(text) ? text : malloc(n + 1);
  if (copy == NULL) return 0;
  memcpy(copy, v.p, n);
  copy[n] = '\0';
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(c);
  double d = strtod(copy, NULL);
  uselocale(before);
  if (c != (locale_t)0) freelocale(c);
  if (copy != text) free(copy);
  return d;
}

static bool is_truthy(js v) {
  if (v.p == NULL || *v.p == 'n' || *v.p == 'f') return false;
  if (*v.p == '"') return v.p[1] != '"';
  return strchr("{[t", *v.p) != NULL || number_of(v) != 0;
}

/* value.name; undefined where there is none, and for a value that is no object. */
static js get(js value, const char *name) {
  js found = {0}, key, member;
  char quoted[32];
  js wanted = {quoted, quoted + snprintf(quoted, sizeof(quoted), "\"%s\"", name)};
  if (value.p == NULL || *value.p != '{') return found;
  for (const char *p = value.p + 1; next_member(&p, value.end, &key, &member);) {
    if (same_text(key, wanted)) found = member;
  }
  return found;
}

/* ---- writing ---- */

/* At most `left` more UTF-16 units. A character that would be cut in two is left out; a lone surrogate and U+0000,
 * which a C text cannot hold, are U+FFFD. */
typedef struct {
  obs_buf *text;
  size_t left;
  bool full; /* something was left out */
} output;

static void put_char(output *out, uint32_t c) {
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

static void put_ascii(output *out, const char *s) {
  while (*s != '\0') put_char(out, (unsigned char)*s++);
}

/* String(value) of what is no object or array. */
static void put_scalar(output *out, js v) {
  char number[OBS_NUMBER_MAX];
  if (*v.p == '"') {
    for (const char *p = v.p + 1; p < v.end - 1 && !out->full;) put_char(out, next_char(&p, v.end - 1));
  } else if (strchr("tfn", *v.p) != NULL) {
    put_ascii(out, *v.p == 't' ? "true" : *v.p == 'f' ? "false" : "null");
  } else {
    obs_number_format_js(number_of(v), number);
    put_ascii(out, number);
  }
}

/* String(array.slice(0, n)): join at every depth, so brackets vanish, commas stay, and null is nothing. */
static void put_array_text(output *out, js array, size_t n) {
  size_t depth = 0;
  for (const char *p = array.p; p < array.end && !out->full;) {
    js v = {p, p + 1};
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
      v.end = skip_value(p, array.end);
      if (*p != 'n') put_scalar(out, v);
    }
    p = v.end;
  }
}

/* String(value). */
static void put_text(output *out, js v) {
  if (v.p == NULL)
    put_ascii(out, "undefined");
  else if (*v.p == '{')
    put_ascii(out, "[object Object]");
  else if (*v.p == '[')
    put_array_text(out, v, SIZE_MAX);
  else
    put_scalar(out, v);
}

/* String(value.length). */
static void put_length(output *out, js v) {
  char text[24];
  size_t n = 0;
  if (*v.p != '"' && *v.p != '[') {
    put_text(out, get(v, "length"));
    return;
  }
  for (const char *p = v.p + 1; *v.p == '"' && p < v.end - 1;) n += next_char(&p, v.end - 1) >= 0x10000 ? 2 : 1;
  for (const char *p = v.p + 1; *v.p == '[' && next_value(&p, v.end).p != NULL;) n++;
  snprintf(text, sizeof(text), "%zu", n);
  put_ascii(out, text);
}

/* ---- JSON.stringify ---- */

static void put_json_string(output *out, js text) {
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

/* Where JavaScript writes a key: an array index ("0", "17", below 2^32 - 1) by its value, the others behind. */
static int64_t key_rank(js key) {
  int64_t n = -1;
  for (const char *p = key.p + 1; p < key.end - 1;) {
    uint32_t c = next_char(&p, key.end - 1);
    if (c < '0' || c > '9' || n == 0) return INT64_MAX;
    n = (n < 0 ? 0 : n) * 10 + (c - '0');
    if (n >= UINT32_MAX) return INT64_MAX;
  }
  return n < 0 ? INT64_MAX : n;
}

static void put_json(output *out, js v);

/* Every key that is written costs at least two of the few characters, so the text is walked anew for each. */
static void put_json_object(output *out, js object) {
  enum { MOST_KEYS = OBS_ANSWER_JSON_UNITS / 2 };
  js done[MOST_KEYS];
  size_t n = 0;
  put_char(out, '{');
  while (!out->full && n < MOST_KEYS) {
    js key, value, next = {0}, next_value = {0};
    int64_t rank = INT64_MAX;
    for (const char *p = object.p + 1; next_member(&p, object.end, &key, &value);) {
      bool is_done = false;
      for (size_t i = 0; i < n && !is_done; i++) is_done = same_text(done[i], key);
      if (is_done) continue;
      if (next.p == NULL || key_rank(key) < rank) {
        next = key;
        rank = key_rank(key);
        next_value = value;
      } else if (same_text(key, next)) {
        next_value = value;
      }
    }
    if (next.p == NULL) break;
    if (n > 0) put_char(out, ',');
    done[n++] = next;
    put_json_string(out, next);
    put_char(out, ':');
    put_json(out, next_value);
  }
  put_char(out, '}');
}

/* As deep as there are characters left: each level writes one. */
static void put_json(output *out, js v) {
  if (out->full || v.p == NULL) return;
  if (*v.p == '[') {
    const char *p = v.p + 1;
    put_char(out, '[');
    for (js item = next_value(&p, v.end); item.p != NULL && !out->full;) {
      put_json(out, item);
      item = next_value(&p, v.end);
      if (item.p != NULL) put_char(out, ',');
    }
    put_char(out, ']');
  } else if (*v.p == '{') {
    put_json_object(out, v);
  } else if (*v.p == '"') {
    put_json_string(out, v);
  } else if (strchr("tfn", *v.p) == NULL && isinf(number_of(v))) {
    put_ascii(out, "null");
  } else {
    put_scalar(out, v);
  }
}

/* ---- the rules ---- */

/* summarize(), rule by rule. */
static void summarize(js data, obs_buf *text) {
  output out = {.text = text, .left = MOST_TEXT};
  js matches = get(data, "sql_matches"), rows = get(data, "rows");
  js answer = get(data, "answer"), sources = get(data, "sources");
  if (matches.p != NULL) {
    obs_buf_puts(text, "hybrid: ");
    put_text(&out, matches);
    obs_buf_puts(text, " sql \xe2\x86\x92 ");
    put_text(&out, get(data, "vector_reranked"));
    obs_buf_puts(text, " results");
  } else if (is_truthy(rows)) {
    js count = get(data, "row_count");
    if (is_truthy(count))
      put_text(&out, count);
    else
      put_length(&out, rows);
    obs_buf_puts(text, " rows");
  } else if (is_truthy(answer) && (*answer.p == '"' || *answer.p == '[')) { /* what has a slice(0, 80) */
    output cut = {.text = text, .left = ANSWER_UNITS};
    obs_buf_puts(text, "answer: ");
    if (*answer.p == '[')
      put_array_text(&out, answer, ANSWER_UNITS);
    else
      put_text(&cut, answer);
    obs_buf_puts(text, "...");
  } else if (is_truthy(sources)) {
    put_length(&out, sources);
    obs_buf_puts(text, " sources");
  } else {
    output json = {.text = text, .left = OBS_ANSWER_JSON_UNITS};
    put_json(&json, data);
  }
}

bool obs_answer_judge(const char *body, size_t len, obs_buf *error, obs_buf *summary) {
  output out = {.text = error, .left = MOST_TEXT};
  js data;
  if (!parse(body, len, &data, error)) return false;
  js reason = get(data, "error");
  if (*data.p == 'n') {
    obs_buf_puts(error, "the answer is null, not an object");
    return false;
  }
  if (is_truthy(reason)) {
    put_text(&out, reason);
    return false;
  }
  summarize(data, summary);
  return true;
}
