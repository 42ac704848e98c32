/* Number.prototype.toString: the fewest digits that read back as the same double, laid out as ECMAScript says. */
#include "client/js_value.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_DIGITS = 17, LONG_NUMBER = 400 };

/* The digits without point and trailing zeros, and the place of the point behind the first `*point` of them. */
static size_t shortest(double v, char digits[MOST_DIGITS + 1], int *point) {
  char text[40];
  for (int precision = 0; precision < MOST_DIGITS; precision++) {
    int n = snprintf(text, sizeof(text), "%.*e", precision, v);
    if (n < 0 || (precision < MOST_DIGITS - 1 && strtod(text, NULL) != v)) continue;
    break;
  }
  size_t n = 0;
  const char *p = text;
  for (; *p != 'e'; p++) {
    if (*p >= '0' && *p <= '9') digits[n++] = *p;
  }
  *point = (int)strtol(p + 1, NULL, 10) + 1;
  while (n > 1 && digits[n - 1] == '0') n--;
  digits[n] = '\0';
  return n;
}

static void lay_out(const char *digits, int count, int point, char *out, size_t size) {
  if (count <= point && point <= 21) {
    snprintf(out, size, "%s%.*s", digits, point - count, "00000000000000000000");
  } else if (point > 0 && point <= 21) {
    snprintf(out, size, "%.*s.%s", point, digits, digits + point);
  } else if (point > -6 && point <= 0) {
    snprintf(out, size, "0.%.*s%s", -point, "00000", digits);
  } else {
    snprintf(out, size, "%.1s%s%se%+d", digits, count > 1 ? "." : "", digits + 1, point - 1);
  }
}

static void write_number(double v, char out[OBS_JS_NUMBER_SIZE]) {
  char digits[MOST_DIGITS + 1];
  int point;
  if (v == 0 || isinf(v)) {
    snprintf(out, OBS_JS_NUMBER_SIZE, "%s", v == 0 ? "0" : v > 0 ? "Infinity" : "-Infinity");
    return;
  }
  size_t n = shortest(fabs(v), digits, &point);
  if (v < 0) *out++ = '-';
  lay_out(digits, (int)n, point, out, OBS_JS_NUMBER_SIZE - 1);
}

/* strtod of text that does not end in a NUL. */
static double read_number(const char *p, const char *end) {
  char text[LONG_NUMBER];
  size_t n = (size_t)(end - p);
  char *copy = n < sizeof(text) ? text : malloc(n + 1);
  if (copy == NULL) return 0;
  memcpy(copy, p, n);
  copy[n] = '\0';
  double v = strtod(copy, NULL);
  if (copy != text) free(copy);
  return v;
}

double obs_js_number_text(const char *p, const char *end, char out[OBS_JS_NUMBER_SIZE]) {
  /* The program may have set a locale whose decimal point is a comma: this thread reads and writes without it. */
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  locale_t before = uselocale(c);
  double v = read_number(p, end);
  write_number(v, out);
  uselocale(before);
  if (c != (locale_t)0) freelocale(c);
  return v;
}
