#include "redact/token.h"

#include "redact/redact.h"

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

size_t obs_redact_token(const char *p, size_t n) {
  enum { SHORTEST = 1 + 1 + 1 + OBS_REDACT_HEX + 1 };
  if (n < SHORTEST || p[0] != '[' || p[1] < 'A' || p[1] > 'Z') return 0;
  size_t i = 2, last = 0; /* the last `_` of the kind's letters: a digest of digits alone looks like more of them */
  while (i < n && i <= OBS_REDACT_NAME_MAX + 1 && ((p[i] >= 'A' && p[i] <= 'Z') || is_digit(p[i]) || p[i] == '_')) {
    if (p[i] == '_') last = i;
    i++;
  }
  if (last == 0 || n - last < OBS_REDACT_HEX + 2) return 0;
  for (i = last + 1; i <= last + OBS_REDACT_HEX; i++) {
    if (!is_digit(p[i]) && (p[i] < 'a' || p[i] > 'f')) return 0;
  }
  return p[i] == ']' ? i + 1 : 0;
}
