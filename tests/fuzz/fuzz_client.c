/* What libobserver reads: a URL, and of a daemon the answer to a WebSocket's handshake, its frames, and answers to ops
 * and keys. The first byte says which, the second how large a frame may be, or how many ops were sent. */
#include "client/internal.h"

#include "fuzz.h"

enum { INPUT_MAX = 16384, FRAMES = 256 };

static void url(const uint8_t *p, size_t size) {
  obs_client_endpoint e;
  char text[OBS_CLIENT_TROUBLE_MAX] = "";
  char *given = malloc(size + 1);
  FUZZ_CHECK(given != NULL);
  memcpy(given, p, size);
  given[size] = '\0';
  observer_err err = obs_client_endpoint_parse(given, &e, text, sizeof(text));
  FUZZ_CHECK((err == OBSERVER_E_OK) == (text[0] == '\0'));
  if (err == OBSERVER_E_OK) {
    FUZZ_CHECK(e.local ? e.socket_size <= sizeof(e.socket) : e.host[0] != '\0' && e.port[0] != '\0');
    FUZZ_CHECK(e.local || e.path[0] == '/');
  }
  free(given);
}

static void handshake(const uint8_t *p, size_t size) {
  char *whole = (char *)fuzz_copy(p, size);
  size_t used = 0, early_used = 0;
  unsigned status = 0, early_status = 0;
  obs_client_ws_step step = size > 0 ? obs_client_ws_answer(whole, size, "rep", "ABC=", &used, &status) : OBS_WS_MORE,
                     piece = OBS_WS_MORE;
  for (size_t n = 1; piece == OBS_WS_MORE && n <= size; n++) {
    char *exact = (char *)fuzz_copy(p, n);
    piece = obs_client_ws_answer(exact, n, "rep", "ABC=", &early_used, &early_status);
    free(exact);
  }
  if (step == OBS_WS_MESSAGE) FUZZ_CHECK(piece == step && used == early_used && used <= size && status == 101);
  FUZZ_CHECK(step == piece && status == early_status);
  free(whole);
}

static void frames(const uint8_t *p, size_t size, size_t max) {
  bool inside = false;
  for (unsigned i = 0; i < FRAMES && size > 0; i++) {
    obs_client_ws_frame f, early = {0};
    obs_client_ws_step step = obs_client_ws_read(inside, p, size, max, &f), piece = OBS_WS_MORE;
    for (size_t n = 1; piece == OBS_WS_MORE && n <= size; n++) {
      uint8_t *exact = fuzz_copy(p, n);
      piece = obs_client_ws_read(inside, exact, n, max, &early);
      free(exact);
    }
    FUZZ_CHECK(step == piece);
    if (step == OBS_WS_MORE || step == OBS_WS_WRONG || step == OBS_WS_CLOSE) return;
    FUZZ_CHECK(f.used == early.used && f.size == early.size && f.used <= size && f.size <= max);
    FUZZ_CHECK(f.body + f.size == p + f.used);
    if (step == OBS_WS_PART) inside = true;
    if (step == OBS_WS_MESSAGE) inside = false;
    p += f.used;
    size -= f.used;
  }
}

static void reply(const uint8_t *p, size_t size, uint32_t nops) {
  static observer_client client;
  obs_client_packet *packet = obs_client_packet_new(1, 0);
  FUZZ_CHECK(packet != NULL);
  packet->nops = nops;
  packet->raw = true;
  packet->whole = nops == 1;
  uint8_t *exact = fuzz_copy(p, size);
  const obs_str answer = {(const char *)exact, (uint32_t)size, 0};
  char text[OBS_CLIENT_TROUBLE_MAX] = "";
  obs_client_verdict verdict;
  observer_err err = obs_client_reply_settle(&client, packet, answer, &verdict, text);
  FUZZ_CHECK(strlen(text) < sizeof(text) && verdict.duplicates <= verdict.delivered);
  if (err == OBSERVER_E_OK) FUZZ_CHECK(verdict.delivered + verdict.rejected == nops);
  err = obs_client_reply_key(answer, text);
  FUZZ_CHECK(err == OBSERVER_E_OK || text[0] != '\0' || err == OBSERVER_E_DENIED);
  free(exact);
  obs_client_packet_free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > INPUT_MAX) return 0;
  const uint8_t *p = data + 2;
  size_t n = size - 2;
  switch (data[0] & 3) {
  case 0:
    url(p, n);
    break;
  case 1:
    handshake(p, n);
    break;
  case 2:
    frames(p, n, (size_t)data[1] << 3);
    break;
  default:
    reply(p, n, 1 + data[1]);
  }
  return 0;
}
