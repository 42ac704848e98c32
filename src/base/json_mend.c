#include "base/json.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* The four hexadecimal digits of a `\u` escape at `p`, or -1. */
static int32_t escape_at(const char *p, const char *end) {
  char digits[5] = {0};
  if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
  memcpy(digits, p + 2, 4);
  return strspn(digits, "0123456789abcdefABCDEF") == 4 ? (int32_t)strtol(digits, NULL, 16) : -1;
}

static bool in_range(int32_t c, int32_t first, int32_t last) {
  return c >= first && c <= last;
}

void obs_json_mend(obs_str json, obs_buf *out) {
  const char *end = json.p + json.len;
  for (const char *p = json.p; p < end;) {
    size_t n = obs_utf8_char(p, (size_t)(end - p));
    bool keep = n > 0 && *p != '\0';
    if (*p == '\\') {
      int32_t c = escape_at(p, end);
      bool pair = in_range(c, 0xd800, 0xdbff) && in_range(escape_at(p + 6, end), 0xdc00, 0xdfff);
      keep = pair || (c != 0 && !in_range(c, 0xd800, 0xdfff));
      n = pair ? 12 : c >= 0 ? 6 : end - p < 2 ? 1 : 2;
    }
    if (keep)
      obs_buf_append(out, p, n);
    else
      obs_buf_puts(out, "\xef\xbf\xbd");
    p += n > 0 ? n : 1;
  }
}
