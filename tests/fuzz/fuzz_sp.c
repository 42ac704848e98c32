/* What a peer of the bus sends: frames as they are on tcp and on ipc, WebSocket's handshake and its frames. The first
 * byte says which, the second how large a message may be. In pieces the same messages come out as at once, and each is
 * where a simple reader finds it. */
#include "sp/frame.h"
#include "sp/websocket.h"

#include "fuzz.h"

enum { INPUT_MAX = 16384, FRAMES = 256 };

/* ---- tcp and ipc ---- */

static uint64_t big_endian(const uint8_t *p, size_t n) {
  uint64_t out = 0;
  for (size_t i = 0; i < n; i++) out = out << 8 | p[i];
  return out;
}

/* One frame of `left` bytes, read byte by byte. Returns what it takes; 0: no frame. */
static size_t one_frame(bool ipc, const uint8_t *p, size_t left, size_t max) {
  size_t head = ipc ? 9 : 8;
  obs_sp_frame f = {0}, early = {0};
  obs_sp_step step = obs_sp_frame_read(ipc, p, left, max, &f), piece = OBS_SP_MORE;
  size_t n = 0;
  bool well = left >= head && (!ipc || p[0] == 1) && big_endian(p + ipc, 8) <= max;
  while (piece == OBS_SP_MORE && n < left) {
    uint8_t *exact = fuzz_copy(p, ++n);
    piece = obs_sp_frame_read(ipc, exact, n, max, &early);
    free(exact);
  }
  FUZZ_CHECK(step == piece);
  if (step == OBS_SP_WRONG) FUZZ_CHECK(!well && ((ipc && p[0] != 1) || left >= head));
  if (step == OBS_SP_MORE) FUZZ_CHECK(left < head || (well && left - head < big_endian(p + ipc, 8)));
  if (step != OBS_SP_MESSAGE) return 0;
  FUZZ_CHECK(well && f.head == head && f.size == big_endian(p + ipc, 8) && f.size <= left - head);
  FUZZ_CHECK(early.head == f.head && early.size == f.size && n == head + f.size);
  uint8_t again[OBS_SP_HEAD_MAX];
  FUZZ_CHECK(obs_sp_frame_head(ipc, f.size, again) == head && memcmp(again, p, head) == 0);
  return head + f.size;
}

static void way_back(const uint8_t *p, size_t n) {
  uint8_t *exact = fuzz_copy(p, n);
  size_t way = obs_sp_way_back(exact, n);
  FUZZ_CHECK(way <= n && way % OBS_SP_WORD == 0 && way <= (OBS_SP_HOPS + 1) * OBS_SP_WORD);
  for (size_t i = 0; i < way; i += OBS_SP_WORD) FUZZ_CHECK(((exact[i] & 0x80) != 0) == (i + OBS_SP_WORD == way));
  free(exact);
}

static void frames(bool ipc, const uint8_t *p, size_t size, size_t max) {
  uint8_t greeting[OBS_SP_GREETING_BYTES];
  obs_sp_greeting_write(OBS_SP_PUSH, greeting);
  if (obs_sp_greeting_fits(OBS_SP_PUSH, p, size) && size >= sizeof greeting) {
    FUZZ_CHECK(memcmp(p, greeting, sizeof greeting) == 0);
    p += sizeof greeting;
    size -= sizeof greeting;
  }
  for (size_t used, i = 0; i < FRAMES && size > 0 && (used = one_frame(ipc, p, size, max)) > 0; i++) {
    size_t head = ipc ? 9 : 8;
    way_back(p + head, used - head);
    p += used;
    size -= used;
  }
}

/* ---- WebSocket ---- */

static unsigned refuses(void *arg, obs_str host, obs_str origin) {
  (void)arg;
  return obs_str_is(host, "evil") ? 421 : origin.p != NULL && obs_str_is(origin, "null") ? 403 : 0;
}

static void handshake(const uint8_t *p, size_t size) {
  static const char start[] = "HTTP/1.1 ";
  const obs_websocket_site site = {.path = "/p", .name = "pull", .refuses = refuses};
  obs_buf answer = {0};
  char *head = (char *)fuzz_copy(p, size);
  unsigned status = obs_websocket_handshake(&site, head, size, &answer);
  FUZZ_CHECK(!answer.oom && answer.len > sizeof start && memcmp(answer.p, start, sizeof start - 1) == 0);
  FUZZ_CHECK(status == 101 || (status >= 400 && status < 600));
  obs_buf_putc(&answer, '\0');
  FUZZ_CHECK(strlen(answer.p) == answer.len - 1 && (unsigned)atoi(answer.p + sizeof start - 1) == status);
  if (status == 101) { /* nothing of the peer's is in the answer, but what the key hashes to */
    obs_buf want = {0};
    obs_buf_puts(&want, "Sec-WebSocket-Protocol: pull.sp.nanomsg.org\r\n\r\n");
    FUZZ_CHECK(answer.len > want.len && memcmp(answer.p + answer.len - 1 - want.len, want.p, want.len) == 0);
    obs_buf_fini(&want);
  }
  free(head);
  obs_buf_fini(&answer);
}

static void websocket_frames(const uint8_t *p, size_t size, size_t max) {
  obs_websocket_reader r = {0}, early = {0};
  uint8_t *at_once = fuzz_copy(p, size);
  size_t at = 0, message = 0;
  for (int i = 0; i < FRAMES && at < size; i++) {
    obs_websocket_frame f, g = {0};
    obs_websocket_step step = obs_websocket_read(&r, at_once + at, size - at, max, &f), piece = OBS_WEBSOCKET_MORE;
    size_t n = 0;
    uint8_t *exact = NULL;
    while (piece == OBS_WEBSOCKET_MORE && n < size - at) {
      free(exact);
      exact = fuzz_copy(p + at, ++n);
      piece = obs_websocket_read(&early, exact, n, max, &g);
      if (piece == OBS_WEBSOCKET_MORE) FUZZ_CHECK(g.used == 0 || g.used > n);
    }
    FUZZ_CHECK(step == piece && r.inside == early.inside && r.bytes == early.bytes);
    if (step == OBS_WEBSOCKET_REFUSED) FUZZ_CHECK(f.code == g.code && f.code >= 1000);
    bool whole = step == OBS_WEBSOCKET_PART || step == OBS_WEBSOCKET_PING || step == OBS_WEBSOCKET_PONG ||
                 step == OBS_WEBSOCKET_CLOSE;
    if (whole) {
      FUZZ_CHECK(f.used == n && g.used == n && f.size == g.size && f.last == g.last && f.code == g.code);
      FUZZ_CHECK(f.body == at_once + at + f.used - f.size && memcmp(f.body, g.body, f.size) == 0);
      const uint8_t *mask = p + at + f.used - f.size - 4;
      for (size_t k = 0; k < f.size; k++) FUZZ_CHECK(f.body[k] == (p[at + f.used - f.size + k] ^ mask[k % 4]));
      FUZZ_CHECK(step == OBS_WEBSOCKET_PART || (f.size <= 125 && f.last));
    }
    if (step == OBS_WEBSOCKET_PART) {
      message += f.size;
      FUZZ_CHECK(message <= max);
      if (f.last) message = 0;
      FUZZ_CHECK(r.inside == !f.last && r.bytes == message);
    }
    free(exact);
    if (!whole || step == OBS_WEBSOCKET_CLOSE) break;
    at += f.used;
  }
  free(at_once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > INPUT_MAX) return 0;
  const uint8_t *p = data + 2;
  size_t n = size - 2, max = (size_t)data[1] * 64;
  switch (data[0] & 3) {
  case 0:
  case 1:
    frames(data[0] & 1, p, n, max);
    break;
  case 2:
    handshake(p, n);
    break;
  default:
    websocket_frames(p, n, max);
    break;
  }
  return 0;
}
