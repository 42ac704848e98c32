#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void obs_base64_encode(obs_buf *b, const void *p, size_t n) {
  const unsigned char *in = p;
  if (!obs_buf_reserve(b, (n + 2) / 3 * 4)) return;
  char *out = b->p + b->len;
  for (size_t i = 0; i < n; i += 3) {
    size_t left = n - i;
    uint32_t w = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
    *out++ = alphabet[w >> 18];
    *out++ = alphabet[w >> 12 & 63];
    *out++ = left > 1 ? alphabet[w >> 6 & 63] : '=';
    *out++ = left > 2 ? alphabet[w & 63] : '=';
  }
  b->len = (size_t)(out - b->p);
}

static int sextet(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool obs_base64_decode(obs_str text, obs_buf *out) {
  uint32_t len = text.len;
  while (len > 0 && text.len - len < 2 && text.p[len - 1] == '=') len--;
  if (len % 4 == 1 || (len != text.len && text.len % 4 != 0)) return false;
  if (!obs_buf_reserve(out, len / 4 * 3 + 3)) return false;
  uint32_t held = 0, bits = 0;
  for (uint32_t i = 0; i < len; i++) {
    int v = sextet(text.p[i]);
    if (v < 0) return false;
    held = held << 6 | (uint32_t)v;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out->p[out->len++] = (char)(held >> bits & 0xff);
  }
  return true;
}
