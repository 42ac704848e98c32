#include "base/terminal.h"

#include "base/utf8.h"

bool obs_terminal_acts(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

uint32_t obs_terminal_character(const char *p, size_t n) {
  const unsigned char *b = (const unsigned char *)p;
  uint32_t c = n == 1 ? b[0] : b[0] & (0xffu >> (n + 1));
  for (size_t i = 1; i < n; i++) c = c << 6 | (b[i] & 0x3f);
  return c;
}

void obs_terminal_put(obs_buf *out, const char *p, size_t len, bool lines) {
  for (size_t at = 0, n; at<len; at += n> 0 ? n : 1) {
    n = obs_utf8_char(p + at, len - at);
    uint32_t c = n > 0 ? obs_terminal_character(p + at, n) : 0xfffd;
    if (n == 0)
      obs_buf_puts(out, "\xef\xbf\xbd");
    else if (!obs_terminal_acts(c) || (lines && c == '\n'))
      obs_buf_append(out, p + at, n);
    else if (c < 0x20)
      obs_buf_putc(out, ' ');
    else
      obs_buf_printf(out, "\\u%04x", c);
  }
}
