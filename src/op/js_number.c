/* JavaScript's Number() on a string: what the older observer did to duration_ms. */
#include "op/js_number.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

enum { LONGEST = 63 };

static bool blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static double radix_number(const char *digits, unsigned radix) {
  double v = 0;
  if (*digits == '\0') return NAN;
  for (; *digits != '\0'; digits++) {
    int c = tolower((unsigned char)*digits);
    unsigned n = isdigit(c) ? (unsigned)(c - '0') : isalpha(c) ? (unsigned)(c - 'a') + 10 : radix;
    if (n >= radix) return NAN;
    v = v * radix + n;
  }
  return v;
}

/* Decimal only: strtod alone would also take "inf", "nan" and hexadecimal floats. */
static double decimal_number(const char *s) {
  const char *p = s;
  if (*p == '+' || *p == '-') p++;
  if (strcmp(p, "Infinity") == 0) return *s == '-' ? -INFINITY : INFINITY;
  if (!isdigit((unsigned char)*p) && (*p != '.' || !isdigit((unsigned char)p[1]))) return NAN;
  if (strspn(p, "0123456789.eE+-") != strlen(p)) return NAN;
  char *end;
  double v = strtod(s, &end);
  return *end == '\0' ? v : NAN;
}

double obs_js_number(obs_str s) {
  while (s.len > 0 && blank(s.p[0])) s.p++, s.len--;
  while (s.len > 0 && blank(s.p[s.len - 1])) s.len--;
  if (s.len == 0) return 0;
  char text[LONGEST + 1];
  if (s.len > LONGEST || memchr(s.p, '\0', s.len) != NULL) return NAN;
  memcpy(text, s.p, s.len);
  text[s.len] = '\0';
  if (text[0] == '0' && (text[1] | 0x20) == 'x') return radix_number(text + 2, 16);
  if (text[0] == '0' && (text[1] | 0x20) == 'o') return radix_number(text + 2, 8);
  if (text[0] == '0' && (text[1] | 0x20) == 'b') return radix_number(text + 2, 2);
  return decimal_number(text);
}
