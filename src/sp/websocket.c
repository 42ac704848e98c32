#include "sp/websocket.h"

#include "base/base64.h"
#include "httpd/head.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <strings.h>

/* ---- the handshake ---- */

static const char *text_of_status(unsigned status) {
  switch (status) {
  case 400:
    return "Bad Request";
  case 403:
    return "Forbidden";
  case 404:
    return "Not Found";
  case 405:
    return "Method Not Allowed";
  case 408:
    return "Request Timeout";
  case 421:
    return "Misdirected Request";
  case 426:
    return "Upgrade Required";
  case 431:
    return "Request Header Fields Too Large";
  default:
    return "Refused";
  }
}

void obs_websocket_refuse(obs_buf *answer, unsigned status, const char *text) {
  obs_buf_printf(
      answer, "HTTP/1.1 %u %s\r\n%sContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s\n",
      status, text_of_status(status), status == 426 ? "Sec-WebSocket-Version: 13\r\n" : "", strlen(text) + 1, text);
}

static obs_str trim(obs_str s) {
  while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) s = obs_str_slice(s, 1, UINT32_MAX);
  while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t')) s.len--;
  return s;
}

static bool same(obs_str s, const char *text) {
  return s.len == strlen(text) && strncasecmp(s.p, text, s.len) == 0;
}

/* Takes what stands before the next `at` off `rest`; at the end p is NULL afterwards. */
static obs_str cut(obs_str *rest, char at) {
  const char *found = memchr(rest->p, at, rest->len);
  obs_str out = *rest;
  if (found == NULL) {
    *rest = (obs_str){0};
    return out;
  }
  out.len = (uint32_t)(found - rest->p);
  *rest = obs_str_slice(*rest, out.len + 1, UINT32_MAX);
  return out;
}

/* Whether a header of this name lists the token, in any of its lines. */
static bool lists(obs_str head, const char *name, const char *token) {
  for (obs_str line; head.p != NULL;) {
    line = cut(&head, '\n');
    obs_str value = line, field = cut(&value, ':');
    if (value.p == NULL || !same(field, name)) continue;
    if (value.len > 0 && value.p[value.len - 1] == '\r') value.len--;
    while (value.p != NULL) {
      if (same(trim(cut(&value, ',')), token)) return true;
    }
  }
  return false;
}

/* The value of a header that has to come exactly once. */
static bool value_of(obs_str head, const char *name, obs_str *out) {
  unsigned n = 0;
  for (obs_str line; head.p != NULL;) {
    line = cut(&head, '\n');
    obs_str value = line, field = cut(&value, ':');
    if (value.p == NULL || !same(field, name)) continue;
    if (value.len > 0 && value.p[value.len - 1] == '\r') value.len--;
    *out = trim(value);
    n++;
  }
  return n == 1;
}

/* 16 bytes in Base64. */
static bool is_key(obs_str key) {
  obs_buf bytes = {0};
  bool good = key.len == 24 && obs_base64_decode(key, &bytes) && bytes.len == 16;
  obs_buf_fini(&bytes);
  return good;
}

/* RFC 6455, 4.2.2. False: libcrypto has no memory. */
static bool accept_key(obs_str key, obs_buf *out) {
  static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  char text[24 + sizeof guid];
  uint8_t hash[SHA_DIGEST_LENGTH];
  memcpy(text, key.p, 24);
  memcpy(text + 24, guid, sizeof guid - 1);
  if (SHA1((const unsigned char *)text, 24 + sizeof guid - 1, hash) == NULL) return false;
  obs_base64_encode(out, hash, sizeof hash);
  return true;
}

static unsigned refuse(obs_buf *answer, unsigned status, const char *text) {
  obs_websocket_refuse(answer, status, text);
  return status;
}

unsigned obs_websocket_handshake(const obs_websocket_site *site, char *bytes, size_t len, obs_buf *answer) {
  obs_httpd_head h;
  obs_httpd_fault why;
  obs_str head = {bytes, (uint32_t)len, 0}, key = {0}, version = {0};
  char protocol[32];
  if (!obs_httpd_head_parse(&h, bytes, len, &why)) return refuse(answer, why.status, why.text);
  unsigned wrong = site->refuses != NULL ? site->refuses(site->refuses_arg, h.host, h.origin) : 0;
  if (wrong != 0)
    return refuse(answer, wrong,
                  wrong == 421 ? "host: not one that this listener answers to"
                               : "origin: pages of this site may not connect; --http-origin allows one");
  if (!obs_str_is(h.path, site->path)) return refuse(answer, 404, "no such path");
  if (!obs_str_is(h.method, "GET")) return refuse(answer, 405, "only GET");
  if (h.old || h.chunked || h.length > 0) return refuse(answer, 400, "not a WebSocket request");
  if (!lists(head, "upgrade", "websocket") || !lists(head, "connection", "upgrade"))
    return refuse(answer, 426, "this is a WebSocket");
  if (!value_of(head, "sec-websocket-version", &version) || !obs_str_is(version, "13"))
    return refuse(answer, 426, "sec-websocket-version: must be 13");
  if (!value_of(head, "sec-websocket-key", &key) || !is_key(key))
    return refuse(answer, 400, "sec-websocket-key: must be 16 bytes in Base64");
  (void)snprintf(protocol, sizeof protocol, "%s.sp.nanomsg.org", site->name);
  if (!lists(head, "sec-websocket-protocol", protocol)) {
    char text[96];
    (void)snprintf(text, sizeof text, "sec-websocket-protocol: must be %s", protocol);
    return refuse(answer, 400, text);
  }
  size_t before = answer->len;
  obs_buf_puts(answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: ");
  if (!accept_key(key, answer)) {
    answer->len = before;
    return refuse(answer, 503, "no memory");
  }
  obs_buf_printf(answer, "\r\nSec-WebSocket-Protocol: %s\r\n\r\n", protocol);
  return 101;
}

/* ---- frames ---- */

enum { CONTINUED = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
enum { FIN = 0x80, MASKED = 0x80, CONTROL_MAX = 125 };

bool obs_websocket_is_control(uint8_t first) {
  return (first & 0x0f) >= CLOSE;
}

static obs_websocket_step refused(obs_websocket_frame *f, uint16_t code) {
  f->code = code;
  return OBS_WEBSOCKET_REFUSED;
}

static void unmask(uint8_t *p, size_t n, const uint8_t mask[4]) {
  uint64_t wide, word;
  uint8_t twice[8];
  size_t i = 0;
  memcpy(twice, mask, 4);
  memcpy(twice + 4, mask, 4);
  memcpy(&wide, twice, 8);
  for (; n - i >= 8; i += 8) {
    memcpy(&word, p + i, 8);
    word ^= wide;
    memcpy(p + i, &word, 8);
  }
  for (; i < n; i++) p[i] ^= mask[i & 3];
}

static bool is_close_code(uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/* A whole control frame. */
static obs_websocket_step control(unsigned opcode, obs_websocket_frame *f) {
  if (opcode == PING) return OBS_WEBSOCKET_PING;
  if (opcode == PONG) return OBS_WEBSOCKET_PONG;
  f->code = f->size >= 2 ? (uint16_t)(f->body[0] << 8 | f->body[1]) : 0;
  if (f->size == 1 || (f->size >= 2 && !is_close_code(f->code))) return refused(f, OBS_WEBSOCKET_WRONG);
  return OBS_WEBSOCKET_CLOSE;
}

obs_websocket_step obs_websocket_read(obs_websocket_reader *r, uint8_t *p, size_t n, size_t max,
                                      obs_websocket_frame *f) {
  *f = (obs_websocket_frame){0};
  if (n < 2) return OBS_WEBSOCKET_MORE;
  unsigned opcode = p[0] & 0x0f;
  bool is_control = obs_websocket_is_control(p[0]);
  uint64_t size = p[1] & 0x7f;
  size_t wide = size == 126 ? 2 : size == 127 ? 8 : 0, head = 2 + wide + 4;
  f->last = (p[0] & FIN) != 0;
  /* What is wrong is said as early as it is seen. */
  if ((p[0] & 0x70) != 0 || (p[1] & MASKED) == 0) return refused(f, OBS_WEBSOCKET_WRONG);
  if (opcode > PONG || (opcode > BINARY && opcode < CLOSE)) return refused(f, OBS_WEBSOCKET_WRONG);
  if (is_control && (!f->last || size > CONTROL_MAX)) return refused(f, OBS_WEBSOCKET_WRONG);
  if (opcode == TEXT) return refused(f, OBS_WEBSOCKET_NOT_BINARY);
  if ((opcode == CONTINUED && !r->inside) || (opcode == BINARY && r->inside)) return refused(f, OBS_WEBSOCKET_WRONG);
  if (n < head) return OBS_WEBSOCKET_MORE;
  if (wide > 0) size = 0;
  for (size_t i = 0; i < wide; i++) size = size << 8 | p[2 + i];
  if ((wide == 2 && size < 126) || (wide == 8 && size <= UINT16_MAX)) return refused(f, OBS_WEBSOCKET_WRONG);
  if (!is_control && (size > max || r->bytes > max - size)) return refused(f, OBS_WEBSOCKET_LARGE);
  f->size = (size_t)size;
  f->used = head + f->size;
  if (n < f->used) return OBS_WEBSOCKET_MORE;
  f->body = p + head;
  unmask(f->body, f->size, p + head - 4);
  if (is_control) return control(opcode, f);
  r->inside = !f->last;
  r->bytes = f->last ? 0 : r->bytes + f->size;
  return OBS_WEBSOCKET_PART;
}

size_t obs_websocket_head(size_t size, uint8_t out[OBS_WEBSOCKET_OWN_HEAD_MAX]) {
  unsigned wide = size < 126 ? 0 : size <= UINT16_MAX ? 2 : 8;
  out[0] = FIN | BINARY;
  out[1] = (uint8_t)(wide == 0 ? size : wide == 2 ? 126 : 127);
  for (unsigned i = 0; i < wide; i++) out[2 + i] = (uint8_t)((uint64_t)size >> (8 * (wide - 1 - i)));
  return 2 + wide;
}

void obs_websocket_pong(obs_buf *out, const uint8_t *body, size_t size) {
  obs_buf_putc(out, (char)(FIN | PONG));
  obs_buf_putc(out, (char)size);
  obs_buf_append(out, body, size);
}

void obs_websocket_close(obs_buf *out, uint16_t code) {
  obs_buf_putc(out, (char)(FIN | CLOSE));
  obs_buf_putc(out, code != 0 ? 2 : 0);
  if (code == 0) return;
  obs_buf_putc(out, (char)(code >> 8));
  obs_buf_putc(out, (char)code);
}
