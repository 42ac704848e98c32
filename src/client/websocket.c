#include "client/websocket.h"

#include "base/base64.h"
#include "client/tls.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { HEAD_MAX = 16 * 1024, CONTROL_MAX = 125 };
enum { CONTINUED = 0, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
enum { FIN = 0x80, MASKED = 0x80 };

/* ---- the handshake ---- */

/* RFC 6455, 4.2.2. */
static bool write_accept(const obs_buf *key, char accept[OBS_CLIENT_WEBSOCKET_ACCEPT_BYTES + 1]) {
  obs_buf text = {0}, out = {0};
  uint8_t hash[OBS_CLIENT_TLS_SHA1_BYTES];
  obs_buf_append(&text, key->p, key->len);
  obs_buf_puts(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  bool ok = !text.oom && obs_client_tls_sha1(text.p, text.len, hash);
  if (ok) obs_base64_encode(&out, hash, sizeof(hash));
  ok = ok && !out.oom && out.len == OBS_CLIENT_WEBSOCKET_ACCEPT_BYTES;
  if (ok) memcpy(accept, out.p, out.len);
  accept[OBS_CLIENT_WEBSOCKET_ACCEPT_BYTES] = '\0';
  obs_buf_fini(&text);
  obs_buf_fini(&out);
  return ok;
}

bool obs_client_ws_request(obs_buf *out, const char *host, const char *port, const char *path, const char *protocol,
                           char accept[OBS_CLIENT_WEBSOCKET_ACCEPT_BYTES + 1]) {
  uint8_t random[16];
  obs_buf key = {0};
  if (getrandom(random, sizeof(random), 0) != sizeof(random)) return false;
  obs_base64_encode(&key, random, sizeof(random));
  bool ok = !key.oom && write_accept(&key, accept), address = strchr(host, ':') != NULL;
  if (ok)
    obs_buf_printf(out,
                   "GET %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %.*s\r\n"
                   "Sec-WebSocket-Protocol: %s.sp.nanomsg.org\r\n\r\n",
                   path, address ? "[" : "", host, address ? "]" : "", port, (int)key.len, key.p, protocol);
  obs_buf_fini(&key);
  return ok && !out->oom;
}

/* Whether a line of the head is this header with this value. */
static bool has_header(const char *head, size_t n, const char *name, const char *value) {
  size_t name_len = strlen(name), value_len = strlen(value);
  for (const char *p = head, *end = head + n, *line_end; p < end; p = line_end + 2) {
    line_end = memmem(p, (size_t)(end - p), "\r\n", 2);
    if (line_end == NULL) break;
    if ((size_t)(line_end - p) <= name_len || strncasecmp(p, name, name_len) != 0 || p[name_len] != ':') continue;
    const char *v = p + name_len + 1, *v_end = line_end;
    while (v < v_end && (*v == ' ' || *v == '\t')) v++;
    while (v_end > v && (v_end[-1] == ' ' || v_end[-1] == '\t')) v_end--;
    if ((size_t)(v_end - v) == value_len && memcmp(v, value, value_len) == 0) return true;
  }
  return false;
}

obs_client_ws_step obs_client_ws_answer(const char *p, size_t n, const char *protocol, const char *accept, size_t *used,
                                        unsigned *status) {
  static const char version[] = "HTTP/1.1 ";
  const char *end = memmem(p, n, "\r\n\r\n", 4);
  *status = 0;
  if (memcmp(p, version, n < sizeof(version) - 1 ? n : sizeof(version) - 1) != 0) return OBS_WS_WRONG;
  if (end == NULL) return n > HEAD_MAX ? OBS_WS_WRONG : OBS_WS_MORE;
  *used = (size_t)(end - p) + 4;
  const char *digits = p + sizeof(version) - 1;
  for (unsigned i = 0; i < 3 && digits[i] >= '0' && digits[i] <= '9'; i++)
    *status = *status * 10 + (unsigned)(digits[i] - '0');
  char name[64];
  (void)snprintf(name, sizeof(name), "%s.sp.nanomsg.org", protocol);
  bool agrees = *status == 101 && has_header(p, *used - 2, "sec-websocket-accept", accept) &&
                has_header(p, *used - 2, "sec-websocket-protocol", name);
  return agrees ? OBS_WS_MESSAGE : OBS_WS_WRONG;
}

/* ---- frames ---- */

size_t obs_client_ws_head(bool pong, size_t size, const uint8_t mask[4], uint8_t out[OBS_CLIENT_WEBSOCKET_HEAD_MAX]) {
  unsigned wide = size < 126 ? 0 : size <= UINT16_MAX ? 2 : 8;
  out[0] = FIN | (pong ? PONG : BINARY);
  out[1] = (uint8_t)(MASKED | (wide == 0 ? size : wide == 2 ? 126 : 127));
  for (unsigned i = 0; i < wide; i++) out[2 + i] = (uint8_t)((uint64_t)size >> (8 * (wide - 1 - i)));
  memcpy(out + 2 + wide, mask, 4);
  return 2 + wide + 4;
}

void obs_client_ws_mask(uint8_t *p, size_t n, const uint8_t mask[4], size_t at) {
  for (size_t i = 0; i < n; i++) p[i] ^= mask[(at + i) & 3];
}

static obs_client_ws_step step_of(unsigned opcode, bool last) {
  if (opcode == CLOSE) return OBS_WS_CLOSE;
  if (opcode == PING) return OBS_WS_PING;
  if (opcode == PONG) return OBS_WS_PONG;
  return last ? OBS_WS_MESSAGE : OBS_WS_PART;
}

obs_client_ws_step obs_client_ws_read(bool inside, const uint8_t *p, size_t n, size_t max, obs_client_ws_frame *f) {
  *f = (obs_client_ws_frame){0};
  if (n < 2) return OBS_WS_MORE;
  unsigned opcode = p[0] & 0x0f;
  bool last = (p[0] & FIN) != 0, control = opcode >= CLOSE;
  uint64_t size = p[1] & 0x7f;
  size_t wide = size == 126 ? 2 : size == 127 ? 8 : 0, head = 2 + wide;
  if ((p[0] & 0x70) != 0 || (p[1] & MASKED) != 0 || opcode > PONG) return OBS_WS_WRONG;
  if (control ? !last || size > CONTROL_MAX : opcode != (inside ? CONTINUED : BINARY)) return OBS_WS_WRONG;
  if (n < head) return OBS_WS_MORE;
  if (wide > 0) size = 0;
  for (size_t i = 0; i < wide; i++) size = size << 8 | p[2 + i];
  if (size > max) return OBS_WS_WRONG;
  f->size = (size_t)size;
  f->used = head + f->size;
  f->body = p + head;
  return n < f->used ? OBS_WS_MORE : step_of(opcode, last);
}
