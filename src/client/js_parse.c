/* The check of a JSON text: one pass, no recursion, so that depth costs a byte a level and nothing else. */
#include "client/js_value.h"

#include <stdio.h>

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

static bool is_digit(const parser *x) {
  return x->p < x->end && *x->p >= '0' && *x->p <= '9';
}

static bool is_hex(char c) {
  return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool check_escape(parser *x) {
  if (take(x, 'u')) {
    for (int i = 0; i < 4; i++, x->p++) {
      if (x->p >= x->end || !is_hex(*x->p)) return false;
    }
    return true;
  }
  if (x->p >= x->end || *x->p == '\0' || strchr("\"\\/bfnrt", *x->p) == NULL) return false;
  x->p++;
  return true;
}

static bool check_string(parser *x) {
  if (!take(x, '"')) return false;
  while (x->p < x->end) {
    if (take(x, '"')) return true;
    if (take(x, '\\')) {
      if (!check_escape(x)) return false;
    } else if ((unsigned char)*x->p < 0x20) {
      return false;
    } else {
      x->p++;
    }
  }
  return false;
}

static bool check_digits(parser *x) {
  if (!is_digit(x)) return false;
  while (is_digit(x)) x->p++;
  return true;
}

static bool check_number(parser *x) {
  take(x, '-');
  if (!take(x, '0') && !check_digits(x)) return false;
  if (take(x, '.') && !check_digits(x)) return false;
  if (!take(x, 'e') && !take(x, 'E')) return true;
  if (!take(x, '+')) take(x, '-');
  return check_digits(x);
}

static bool check_word(parser *x, const char *word) {
  for (; *word != '\0'; word++) {
    if (!take(x, *word)) return false;
  }
  return true;
}

static bool check_scalar(parser *x) {
  switch (x->p < x->end ? *x->p : '\0') {
  case '"':
    return check_string(x);
  case 't':
    return check_word(x, "true");
  case 'f':
    return check_word(x, "false");
  case 'n':
    return check_word(x, "null");
  default:
    return check_number(x);
  }
}

static bool check_key(parser *x) {
  skip_space(x);
  if (!check_string(x)) return false;
  skip_space(x);
  return take(x, ':');
}

/* Moves behind a scalar, an empty object or array, or the bracket that opens one (`*opened`). */
static bool check_start(parser *x, bool *opened) {
  skip_space(x);
  *opened = false;
  char bracket = x->p < x->end ? *x->p : '\0';
  if (bracket != '{' && bracket != '[') return check_scalar(x);
  x->p++;
  skip_space(x);
  if (take(x, bracket == '{' ? '}' : ']')) return true;
  obs_buf_putc(&x->open, bracket);
  *opened = true;
  return bracket == '[' || check_key(x);
}

/* Behind a value: closes what ends here. False with x->p at what is wrong; `*more` when another value follows. */
static bool check_end(parser *x, bool *more) {
  *more = false;
  while (x->open.len > 0) {
    char bracket = x->open.p[x->open.len - 1];
    skip_space(x);
    if (take(x, ',')) {
      *more = true;
      return bracket == '[' || check_key(x);
    }
    if (!take(x, bracket == '{' ? '}' : ']')) return false;
    x->open.len--;
  }
  skip_space(x);
  return x->p == x->end;
}

static bool check_text(parser *x) {
  bool more = true, opened;
  while (more) {
    if (!check_start(x, &opened) || x->open.oom) return false;
    if (!opened && !check_end(x, &more)) return false;
  }
  return true;
}

static void explain(const parser *x, char *reason, size_t size) {
  if (x->open.oom) {
    snprintf(reason, size, "no memory for the answer's JSON");
  } else if (x->start == x->end) {
    snprintf(reason, size, "the answer is empty, not JSON");
  } else if (x->p >= x->end) {
    snprintf(reason, size, "the answer is not JSON: it ends too early, after %zu bytes", (size_t)(x->end - x->start));
  } else if (*x->p > ' ' && *x->p < 0x7f) {
    snprintf(reason, size, "the answer is not JSON: unexpected '%c' at byte %zu", *x->p, (size_t)(x->p - x->start));
  } else {
    snprintf(reason, size, "the answer is not JSON: unexpected byte 0x%02x at byte %zu", (unsigned char)*x->p,
             (size_t)(x->p - x->start));
  }
}

bool obs_js_parse(const char *text, size_t len, obs_js *out, char *reason, size_t size) {
  parser x = {.start = text, .p = text, .end = text + len};
  if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) x.p += 3; /* a byte order mark is no part of the text */
  skip_space(&x);
  *out = (obs_js){x.p, x.end};
  bool ok = check_text(&x);
  if (!ok) explain(&x, reason, size);
  while (ok && strchr(" \t\r\n", out->end[-1]) != NULL) out->end--;
  obs_buf_fini(&x.open);
  return ok;
}
