#include "outbound/clean.h"

#include "base/utf8.h"

static bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_control(char c, bool line) {
  return line ? (unsigned char)c < ' ' || c == 0x7f : c == '\0';
}

void obs_clean_text(obs_str text, bool line, obs_buf *out) {
  while (text.len > 0 && is_space(text.p[text.len - 1])) text.len--;
  for (; text.len > 0 && is_space(text.p[0]); text.len--) text.p++;
  for (uint32_t at = 0; at < text.len;) {
    size_t n = obs_utf8_char(text.p + at, text.len - at);
    if (n == 0)
      obs_buf_puts(out, "\xef\xbf\xbd");
    else if (is_control(text.p[at], line))
      obs_buf_putc(out, ' ');
    else
      obs_buf_append(out, text.p + at, n);
    at += n == 0 ? 1 : (uint32_t)n;
  }
}
