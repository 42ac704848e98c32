#include "base/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A decimal of up to 15 digits comes back from a normal double as it was; 17 digits tell all doubles apart. Subnormal
 * ones hold fewer. */
enum { SURE_DIGITS = 15 };

/* Whole numbers below it are their digits in both layouts. */
static const double whole_max = 1e15;

typedef struct {
  char digits[OBS_NUMBER_DIGITS + 1];
  int count;
  int point; /* the decimal point stands behind so many digits */
} decimal;

/* Of a finite v > 0. */
static decimal shortest(double v) {
  decimal d = {.count = 0};
  char text[40]; /* d.ddde+x; another locale's point is read back below and skipped after that */
  for (int n = v < DBL_MIN ? 1 : SURE_DIGITS; n <= OBS_NUMBER_DIGITS; n++) {
    snprintf(text, sizeof text, "%.*e", n - 1, v);
    if (strtod(text, NULL) == v) break;
  }
  const char *p = text;
  for (; *p != 'e'; p++) {
    if (*p >= '0' && *p <= '9' && d.count < OBS_NUMBER_DIGITS) d.digits[d.count++] = *p;
  }
  d.point = (int)strtol(p + 1, NULL, 10) + 1;
  while (d.count > 1 && d.digits[d.count - 1] == '0') d.count--;
  d.digits[d.count] = '\0';
  return d;
}

/* The point stands among the digits while `least` <= its place <= `most` (or it lies within them); else there is an
 * exponent of at least `wide` digits. */
static size_t lay_out(double v, int least, int most, int wide, char out[OBS_NUMBER_MAX]) {
  if (v == trunc(v) && fabs(v) < whole_max) return (size_t)snprintf(out, OBS_NUMBER_MAX, "%lld", (long long)v);
  decimal d = shortest(fabs(v));
  const char *sign = v < 0 ? "-" : "";
  if (most < d.count) most = d.count;
  int n;
  if (d.count <= d.point && d.point <= most)
    n = snprintf(out, OBS_NUMBER_MAX, "%s%s%.*s", sign, d.digits, d.point - d.count, "00000000000000000000");
  else if (d.point > 0 && d.point < d.count)
    n = snprintf(out, OBS_NUMBER_MAX, "%s%.*s.%s", sign, d.point, d.digits, d.digits + d.point);
  else if (d.point >= least && d.point <= 0)
    n = snprintf(out, OBS_NUMBER_MAX, "%s0.%.*s%s", sign, -d.point, "00000", d.digits);
  else
    n = snprintf(out, OBS_NUMBER_MAX, "%s%.1s%s%se%c%0*d", sign, d.digits, d.count > 1 ? "." : "", d.digits + 1,
                 d.point > 0 ? '+' : '-', wide, abs(d.point - 1));
  return (size_t)n;
}

size_t obs_number_format(double v, char out[OBS_NUMBER_MAX]) {
  return lay_out(v, -3, SURE_DIGITS, 2, out);
}

size_t obs_number_format_js(double v, char out[OBS_NUMBER_MAX]) {
  if (isnan(v) || isinf(v))
    return (size_t)snprintf(out, OBS_NUMBER_MAX, "%s", isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
  return lay_out(v, -5, 21, 1, out);
}
