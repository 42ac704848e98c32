#include "base/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A decimal of up to 15 digits comes back from a normal double as it was; 17 digits tell all doubles apart. Subnormal
 * ones hold fewer. */
enum { FEW_DIGITS = 15, MOST_DIGITS = 17 };

/* A number of at most 2^53 that has no fraction is its digits. */
static const double whole_max = 9007199254740992.0;

size_t obs_number_format(double v, char out[OBS_NUMBER_MAX]) {
  if (isnan(v) || isinf(v))
    return (size_t)snprintf(out, OBS_NUMBER_MAX, "%s", isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
  if (v == trunc(v) && fabs(v) <= whole_max) return (size_t)snprintf(out, OBS_NUMBER_MAX, "%lld", (long long)v);

  /* d.ddde±x. A locale may write another point, and reads it back: it is skipped below. */
  char text[40];
  for (int n = fabs(v) < DBL_MIN ? 1 : FEW_DIGITS; n <= MOST_DIGITS; n++) {
    snprintf(text, sizeof text, "%.*e", n - 1, fabs(v));
    if (strtod(text, NULL) == fabs(v)) break;
  }
  char digits[MOST_DIGITS + 1];
  int count = 0;
  const char *p = text;
  for (; *p != 'e'; p++) {
    if (*p >= '0' && *p <= '9' && count < MOST_DIGITS) digits[count++] = *p;
  }
  int point = (int)strtol(p + 1, NULL, 10) + 1; /* the point stands behind so many digits */
  while (count > 1 && digits[count - 1] == '0') count--;
  digits[count] = '\0';

  const char *sign = v < 0 ? "-" : "";
  int n;
  if (count <= point && point <= 21)
    n = snprintf(out, OBS_NUMBER_MAX, "%s%s%.*s", sign, digits, point - count, "00000000000000000000");
  else if (point > 0 && point < count)
    n = snprintf(out, OBS_NUMBER_MAX, "%s%.*s.%s", sign, point, digits, digits + point);
  else if (point > -6 && point <= 0)
    n = snprintf(out, OBS_NUMBER_MAX, "%s0.%.*s%s", sign, -point, "00000", digits);
  else
    n = snprintf(out, OBS_NUMBER_MAX, "%s%.1s%s%se%+d", sign, digits, count > 1 ? "." : "", digits + 1, point - 1);
  return (size_t)n;
}
