#include "options/toml.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const obs_toml_type_names[] = {"a string", "an integer", "a float", "a boolean",
                                           "a date",   "an array",   "a table", "an array of tables"};

typedef struct {
  const char *p, *end;
  unsigned line;
  obs_buf keys; /* the texts of the path, one behind the other */
  struct {
    size_t at, len;
  } part[OBS_TOML_KEYS];
  size_t depth; /* keys of the path */
  unsigned nesting;
  obs_buf text; /* of the value */
  void (*each)(void *arg, const obs_toml_value *value);
  void *arg;
  obs_toml_fault *fault;
} reader;

static bool read_value(reader *r, obs_toml_type *type, bool shown);

/* Always false. */
static bool fail(reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(reader *r, const char *format, ...) {
  va_list args;
  va_start(args, format);
  r->fault->line = r->line;
  (void)vsnprintf(r->fault->why, sizeof(r->fault->why), format, args);
  va_end(args);
  return false;
}

static bool no_memory(reader *r) {
  return fail(r, "out of memory");
}

/* ---- characters ---- */

static bool at(const reader *r, char c) {
  return r->p < r->end && *r->p == c;
}

static bool take(reader *r, char c) {
  if (!at(r, c)) return false;
  r->p++;
  return true;
}

static bool take_three(reader *r, char c) {
  if (r->end - r->p < 3 || r->p[0] != c || r->p[1] != c || r->p[2] != c) return false;
  r->p += 3;
  return true;
}

/* A line's end, which is LF or CR LF. */
static bool take_newline(reader *r) {
  size_t n = at(r, '\n') ? 1 : r->end - r->p >= 2 && r->p[0] == '\r' && r->p[1] == '\n' ? 2 : 0;
  r->p += n;
  r->line += n > 0;
  return n > 0;
}

static void skip_blanks(reader *r) {
  while (at(r, ' ') || at(r, '\t')) r->p++;
}

static bool is_control(char c) {
  return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_bare(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

/* The character at r->p, as a message shows it. */
static bool fail_at(reader *r, const char *expected) {
  char c = r->p < r->end ? *r->p : '\n';
  if (r->p == r->end) return fail(r, "%s, not the end of the file", expected);
  if (c == '\n' || c == '\r') return fail(r, "%s, not the end of the line", expected);
  if (is_control(c)) return fail(r, "%s, not a control character", expected);
  return fail(r, "%s, not \"%.*s\"", expected, (int)obs_utf8_char(r->p, (size_t)(r->end - r->p)), r->p);
}

static bool skip_comment(reader *r) {
  if (!take(r, '#')) return true;
  while (r->p < r->end && !is_control(*r->p)) r->p++;
  if (r->p == r->end || *r->p == '\n' || (r->end - r->p >= 2 && r->p[0] == '\r' && r->p[1] == '\n')) return true;
  return fail(r, "a comment must not have control characters in it");
}

/* Blanks, comments and ends of lines: what may stand between the values of an array, and between lines. */
static bool skip_space(reader *r) {
  do {
    skip_blanks(r);
    if (!skip_comment(r)) return false;
  } while (take_newline(r));
  return true;
}

/* ---- strings ---- */

static void put_character(obs_buf *out, uint32_t c) {
  char b[4];
  size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = n; i-- > 1; c >>= 6) b[i] = (char)(0x80 | (c & 0x3f));
  b[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xf0u) | c);
  obs_buf_append(out, b, n);
}

static bool read_code(reader *r, int digits, obs_buf *out) {
  uint32_t c = 0;
  for (int i = 0; i < digits; i++, r->p++) {
    char d = r->p < r->end ? *r->p : '\0';
    unsigned v = is_digit(d)            ? (unsigned)(d - '0')
                 : d >= 'a' && d <= 'f' ? (unsigned)(d - 'a') + 10
                 : d >= 'A' && d <= 'F' ? (unsigned)(d - 'A') + 10
                                        : 16;
    if (v > 15) return fail(r, "\\%c needs %d hexadecimal digits", digits == 4 ? 'u' : 'U', digits);
    c = c << 4 | v;
  }
  if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return fail(r, "U+%04" PRIX32 " is no character", c);
  put_character(out, c);
  return true;
}

/* A backslash at the end of a line, behind which white space and ends of lines do not count. */
static bool joins_lines(reader *r) {
  const char *begin = r->p;
  skip_blanks(r);
  if (!take_newline(r)) {
    r->p = begin;
    return false;
  }
  do skip_blanks(r);
  while (take_newline(r));
  return true;
}

static bool read_escape(reader *r, bool lines, obs_buf *out) {
  static const char letters[] = "btnfr\"\\", meant[] = "\b\t\n\f\r\"\\";
  if (lines && joins_lines(r)) return true;
  const char *found = r->p < r->end && *r->p != '\0' ? strchr(letters, *r->p) : NULL;
  if (found != NULL) {
    r->p++;
    obs_buf_putc(out, meant[found - letters]);
    return true;
  }
  if (take(r, 'u')) return read_code(r, 4, out);
  if (take(r, 'U')) return read_code(r, 8, out);
  return fail_at(r, "behind \\ must stand b t n f r \" \\ u or U");
}

/* Behind the opening quotes. Up to two quotes may stand before those that close one of several lines. */
static bool read_lines(reader *r, char quote, obs_buf *out) {
  unsigned begin = r->line;
  (void)take_newline(r);
  for (;;) {
    if (take_three(r, quote)) {
      for (int i = 0; i < 2 && take(r, quote); i++) obs_buf_putc(out, quote);
      return true;
    }
    if (r->p == r->end) return fail(r, "the string that begins in line %u has no end", begin);
    if (take_newline(r)) {
      obs_buf_putc(out, '\n');
    } else if (quote == '"' && take(r, '\\')) {
      if (!read_escape(r, true, out)) return false;
    } else if (is_control(*r->p)) {
      return fail(r, "a string must not have control characters in it");
    } else {
      obs_buf_putc(out, *r->p++);
    }
  }
}

/* One line; behind the opening quote. */
static bool read_line(reader *r, char quote, obs_buf *out) {
  while (!take(r, quote)) {
    if (r->p == r->end || *r->p == '\n' || *r->p == '\r') return fail(r, "the string has no end in its line");
    if (quote == '"' && take(r, '\\')) {
      if (!read_escape(r, false, out)) return false;
    } else if (is_control(*r->p)) {
      return fail(r, "a string must not have control characters in it");
    } else {
      obs_buf_putc(out, *r->p++);
    }
  }
  return true;
}

/* ---- keys ---- */

static bool read_key(reader *r) {
  size_t begin = r->keys.len;
  if (r->depth == OBS_TOML_KEYS) return fail(r, "more than %d keys within each other", OBS_TOML_KEYS);
  if (at(r, '"') || at(r, '\'')) {
    char quote = *r->p++;
    if (!read_line(r, quote, &r->keys)) return false;
  } else {
    const char *from = r->p;
    while (r->p < r->end && is_bare(*r->p)) r->p++;
    if (r->p == from) return fail_at(r, "must be a key");
    obs_buf_append(&r->keys, from, (size_t)(r->p - from));
  }
  r->part[r->depth].at = begin;
  r->part[r->depth++].len = r->keys.len - begin;
  return r->keys.oom ? no_memory(r) : true;
}

/* a . "b" . c */
static bool read_keys(reader *r) {
  do {
    skip_blanks(r);
    if (!read_key(r)) return false;
    skip_blanks(r);
  } while (take(r, '.'));
  return true;
}

/* Back to the first `depth` keys. */
static void leave_keys(reader *r, size_t depth) {
  r->depth = depth;
  r->keys.len = depth > 0 ? r->part[depth - 1].at + r->part[depth - 1].len : 0;
}

static void show(reader *r, obs_toml_type type, unsigned line, bool header) {
  obs_str path[OBS_TOML_KEYS];
  const char *keys = r->keys.p != NULL ? r->keys.p : "";
  for (size_t i = 0; i < r->depth; i++) path[i] = (obs_str){keys + r->part[i].at, (uint32_t)r->part[i].len, 0};
  bool has_text = type < OBS_TOML_ARRAY;
  r->each(r->arg,
          &(obs_toml_value){path, r->depth, type, has_text ? obs_buf_view(&r->text) : OBS_STR(""), line, header});
}

/* ---- numbers and dates ---- */

/* Digits, among which single underscores may stand; appends the digits. */
static const char *read_digits(const char *p, const char *set, obs_buf *out) {
  const char *begin = p;
  for (; *p != '\0'; p++) {
    if (*p == '_' && p > begin && p[-1] != '_' && p[1] != '\0' && strchr(set, p[1]) != NULL) continue;
    if (strchr(set, *p) == NULL) break;
    obs_buf_putc(out, *p);
  }
  return p;
}

static const char decimal[] = "0123456789";

/* The whole of `word` as an integer; its decimal form stands in r->text then. */
static bool is_integer(reader *r, const char *word, bool *fits) {
  static const struct {
    const char *prefix, *digits;
    int base;
  } forms[] = {{"0x", "0123456789abcdefABCDEF", 16}, {"0o", "01234567", 8}, {"0b", "01", 2}};
  const char *p = word, *end = NULL;
  int base = 10;
  r->text.len = 0;
  for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
    if (strncmp(word, forms[i].prefix, 2) != 0) continue;
    base = forms[i].base;
    p = word + 2;
    end = read_digits(p, forms[i].digits, &r->text);
  }
  if (base == 10) {
    if (*p == '-') obs_buf_putc(&r->text, '-');
    if (*p == '-' || *p == '+') p++;
    end = read_digits(p, decimal, &r->text);
    if (*p == '0' && end > p + 1) return false; /* 007 */
  }
  if (end == p || *end != '\0') return false;
  obs_buf_putc(&r->text, '\0');
  if (r->text.oom) return false;
  errno = 0;
  long long v = strtoll(r->text.p, NULL, base);
  *fits = errno == 0;
  r->text.len = 0;
  obs_buf_i64(&r->text, v);
  return true;
}

static bool is_float(reader *r, const char *word) {
  const char *p = word, *whole;
  r->text.len = 0;
  if (*p == '-') obs_buf_putc(&r->text, '-');
  if (*p == '-' || *p == '+') p++;
  if (strcmp(p, "inf") == 0 || strcmp(p, "nan") == 0) {
    obs_buf_puts(&r->text, p);
    return true;
  }
  whole = p;
  p = read_digits(p, decimal, &r->text);
  if (p == whole || (*whole == '0' && p > whole + 1)) return false;
  bool more = *p == '.' || *p == 'e' || *p == 'E';
  if (*p == '.') {
    obs_buf_putc(&r->text, *p++);
    const char *fraction = p;
    p = read_digits(p, decimal, &r->text);
    if (p == fraction) return false;
  }
  if (*p == 'e' || *p == 'E') {
    obs_buf_putc(&r->text, *p++);
    if (*p == '-' || *p == '+') obs_buf_putc(&r->text, *p++);
    const char *exponent = p;
    p = read_digits(p, decimal, &r->text);
    if (p == exponent) return false;
  }
  return more && *p == '\0';
}

/* Takes text of the form, in which 0 stands for a digit. */
static bool take_form(const char **p, const char *form) {
  size_t i = 0;
  for (; form[i] != '\0'; i++)
    if (form[i] == '0' ? !is_digit((*p)[i]) : (*p)[i] != form[i]) return false;
  *p += i;
  return true;
}

static int two(const char *p) {
  return (p[0] - '0') * 10 + p[1] - '0';
}

static bool is_day(const char *p) {
  static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  int year = two(p) * 100 + two(p + 2), month = two(p + 5), day = two(p + 8);
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] - (month == 2 && !leap);
}

static bool take_time(const char **p) {
  const char *t = *p;
  if (!take_form(p, "00:00:00")) return false;
  if (take_form(p, ".0"))
    while (is_digit(**p)) ++*p;
  return two(t) < 24 && two(t + 3) < 60 && two(t + 6) <= 60; /* a leap second */
}

/* A date, a time, or both, then perhaps with an offset. */
static bool is_date(const char *word) {
  const char *p = word;
  if (!take_form(&p, "0000-00-00")) return take_time(&p) && *p == '\0';
  if (!is_day(word)) return false;
  if (*p == '\0') return true;
  if (*p != 'T' && *p != 't' && *p != ' ') return false;
  p++;
  if (!take_time(&p)) return false;
  if (*p == 'Z' || *p == 'z') return p[1] == '\0';
  const char *offset = p + 1;
  if (take_form(&p, "+00:00") || take_form(&p, "-00:00"))
    if (two(offset) > 23 || two(offset + 3) > 59) return false;
  return *p == '\0';
}

/* What is neither quoted nor bracketed: up to the next blank, comma, bracket or comment; of a date with its time behind
 * a blank, both. */
static bool read_word(reader *r, obs_toml_type *type) {
  enum { WORD = 128 };
  char word[WORD];
  const char *begin = r->p, *p = begin;
  while (p < r->end && (is_bare(*p) || *p == '+' || *p == '.' || *p == ':')) p++;
  if (p - begin == 10 && r->end - p >= 3 && *p == ' ' && is_digit(p[1]) && is_digit(p[2]) && begin[4] == '-')
    for (p++; p < r->end && (is_bare(*p) || *p == '+' || *p == '.' || *p == ':');) p++;
  size_t n = (size_t)(p - begin);
  bool fits = true;
  if (n == 0) return fail_at(r, "must be a value");
  if (n >= sizeof(word)) return fail(r, "a number or date of more than %d characters", WORD - 1);
  memcpy(word, begin, n);
  word[n] = '\0';
  if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
    *type = OBS_TOML_BOOLEAN;
  else if (is_date(word))
    *type = OBS_TOML_DATE;
  else if (is_integer(r, word, &fits))
    *type = OBS_TOML_INTEGER;
  else if (is_float(r, word))
    *type = OBS_TOML_FLOAT;
  else
    return fail(r, "%s is no value; a text needs quotes", word);
  if (!fits) return fail(r, "%s is beyond 64 bits", word);
  r->p = p;
  if (*type == OBS_TOML_BOOLEAN || *type == OBS_TOML_DATE) {
    r->text.len = 0;
    obs_buf_append(&r->text, word, n);
  }
  return true;
}

/* ---- values ---- */

static bool read_array(reader *r) {
  unsigned begin = r->line;
  while (skip_space(r)) {
    obs_toml_type type;
    if (take(r, ']')) return true;
    if (r->p == r->end) return fail(r, "the array that begins in line %u has no end", begin);
    if (!read_value(r, &type, false) || !skip_space(r)) return false;
    if (!at(r, ']') && !take(r, ',')) return fail_at(r, "behind a value of an array must stand a comma or ]");
  }
  return false;
}

/* Reads `= value`, behind a key. An inline table is shown before what is in it. */
static bool read_pair(reader *r, bool shown) {
  unsigned line = r->line;
  obs_toml_type type;
  size_t depth = r->depth;
  if (!read_keys(r)) return false;
  if (!take(r, '=')) return fail_at(r, "behind a key must stand =");
  skip_blanks(r);
  if (shown && at(r, '{')) show(r, OBS_TOML_TABLE, line, false);
  if (!read_value(r, &type, shown)) return false;
  if (shown && type != OBS_TOML_TABLE) show(r, type, line, false);
  leave_keys(r, depth);
  return true;
}

/* In one line, behind {. */
static bool read_inline_table(reader *r, bool shown) {
  skip_blanks(r);
  if (take(r, '}')) return true;
  for (;;) {
    if (!read_pair(r, shown)) return false;
    skip_blanks(r);
    if (take(r, '}')) return true;
    if (!take(r, ',')) return fail_at(r, "behind a value of a table must stand a comma or }");
  }
}

static bool read_nested(reader *r, obs_toml_type type, bool shown) {
  if (r->nesting == OBS_TOML_NESTING) return fail(r, "more than %d values within each other", OBS_TOML_NESTING);
  r->nesting++;
  bool ok = type == OBS_TOML_ARRAY ? read_array(r) : read_inline_table(r, shown);
  r->nesting--;
  return ok;
}

/* Of an array and an inline table r->text is nothing; else what it says. */
static bool read_value(reader *r, obs_toml_type *type, bool shown) {
  r->text.len = 0;
  *type = OBS_TOML_STRING;
  bool ok;
  if (take_three(r, '"'))
    ok = read_lines(r, '"', &r->text);
  else if (take_three(r, '\''))
    ok = read_lines(r, '\'', &r->text);
  else if (take(r, '"'))
    ok = read_line(r, '"', &r->text);
  else if (take(r, '\''))
    ok = read_line(r, '\'', &r->text);
  else if (take(r, '['))
    ok = read_nested(r, *type = OBS_TOML_ARRAY, shown);
  else if (take(r, '{'))
    ok = read_nested(r, *type = OBS_TOML_TABLE, shown);
  else
    ok = read_word(r, type);
  return r->text.oom ? no_memory(r) : ok;
}

/* ---- lines ---- */

static bool read_header(reader *r) {
  unsigned line = r->line;
  bool array = take(r, '[');
  leave_keys(r, 0);
  if (!read_keys(r)) return false;
  if (!take(r, ']') || (array && !take(r, ']'))) return fail_at(r, array ? "must be ]]" : "must be ]");
  show(r, array ? OBS_TOML_ARRAY_OF_TABLES : OBS_TOML_TABLE, line, true);
  return true;
}

static bool read_document(reader *r) {
  while (skip_space(r)) {
    if (r->p == r->end) return true;
    if (take(r, '[') ? !read_header(r) : !read_pair(r, true)) return false;
    skip_blanks(r);
    if (!skip_comment(r)) return false;
    if (r->p < r->end && !take_newline(r)) return fail_at(r, "must be the end of the line");
  }
  return false;
}

/* The line of the first byte that is no UTF-8. */
static bool check_utf8(reader *r) {
  for (const char *p = r->p; p < r->end;) {
    size_t n = obs_utf8_char(p, (size_t)(r->end - p));
    if (n == 0) return fail(r, "is not UTF-8");
    r->line += *p == '\n';
    p += n;
  }
  r->line = 1;
  return true;
}

bool obs_toml_read(const char *text, size_t len, void (*each)(void *arg, const obs_toml_value *value), void *arg,
                   obs_toml_fault *fault) {
  reader r = {.p = text, .end = text + len, .line = 1, .each = each, .arg = arg, .fault = fault};
  if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) r.p += 3;
  bool ok = check_utf8(&r) && read_document(&r);
  obs_buf_fini(&r.keys);
  obs_buf_fini(&r.text);
  return ok;
}
