/* What libobserver reads of a URL, and its side of WebSocket: without a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "base/base64.h"
#include "client/endpoint.h"
#include "client/websocket.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- URLs ---- */

static void test_urls(void **state) {
  (void)state;
  static const struct {
    const char *url, *host, *port, *path;
    bool tls, ws;
    int family;
  } cases[] = {
      {"tcp://127.0.0.1:3801", "127.0.0.1", "3801", "/", false, false, AF_UNSPEC},
      {"tcp4://h:1", "h", "1", "/", false, false, AF_INET},
      {"tcp6://[::1]:65535/", "::1", "65535", "/", false, false, AF_INET6},
      {"tls+tcp://a.example:3803", "a.example", "3803", "/", true, false, AF_UNSPEC},
      {"tls+tcp4://a.example:3803", "a.example", "3803", "/", true, false, AF_INET},
      {"ws://h/bus?x=1", "h", "80", "/bus?x=1", false, true, AF_UNSPEC},
      {"ws://h?x", "h", "80", "/?x", false, true, AF_UNSPEC},
      {"wss://[fe80::1%25eth0]:8443/a/b", "fe80::1%25eth0", "8443", "/a/b", true, true, AF_UNSPEC},
      {"wss6://h", "h", "443", "/", true, true, AF_INET6},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char text[256] = "";
    obs_client_endpoint e;
    assert_int_equal(obs_client_endpoint_parse(cases[i].url, &e, text, sizeof(text)), OBSERVER_E_OK);
    assert_false(e.local);
    assert_string_equal(e.host, cases[i].host);
    assert_string_equal(e.port, cases[i].port);
    assert_string_equal(e.path, cases[i].path);
    assert_int_equal(e.tls, cases[i].tls);
    assert_int_equal(e.ws, cases[i].ws);
    assert_int_equal(e.family, cases[i].family);
  }
}

static void test_local_urls(void **state) {
  (void)state;
  static const struct {
    const char *url, *path;
    size_t len;
  } cases[] = {
      {"ipc:///run/observer/rep", "/run/observer/rep", 17},
      {"ipc://relative", "relative", 8},
      {"unix:///x", "/x", 2},
      {"abstract://name", "\0name", 5},
      {"abstract://a%00%Fb", "\0a\0\xfb", 4},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char text[256] = "";
    obs_client_endpoint e;
    assert_int_equal(obs_client_endpoint_parse(cases[i].url, &e, text, sizeof(text)), OBSERVER_E_OK);
    assert_true(e.local);
    assert_int_equal(e.socket.sun_family, AF_UNIX);
    assert_memory_equal(e.socket.sun_path, cases[i].path, cases[i].len);
    bool abstract = cases[i].path[0] == '\0'; /* a path has its NUL */
    assert_int_equal(e.socket_size, offsetof(struct sockaddr_un, sun_path) + cases[i].len + !abstract);
  }
}

static void test_wrong_urls(void **state) {
  (void)state;
  static const char scheme[] = "it must begin with tcp:// tls+tcp:// ws:// wss:// ipc:// or abstract://";
  static const char port[] = "the port must be 1 to 65535";
  char host[400] = "tcp://", path[200] = "ipc:///";
  memset(host + 6, 'h', 300);
  memcpy(host + 306, ":1", 3);
  memset(path + 7, 'p', 150);
  path[157] = '\0';
  const struct {
    const char *url, *why;
  } cases[] = {
      {"", scheme},
      {"no url", "it must have no spaces"},
      {"http://x:1/", scheme},
      {"tcp5://x:1", scheme},
      {"ipc4:///x", scheme},
      {"4://x:1", scheme},
      {"inproc://x", scheme},
      {"tcp://x", "it needs a port"},
      {"tcp://x:", port},
      {"tcp://x:0", port},
      {"tcp://x:65536", port},
      {"tcp://x:+1", port},
      {"tcp://x:1a", port},
      {"tcp://:1", "it needs a host"},
      {"tcp://[::1:1", "an address in brackets needs ]:PORT"},
      {"tcp://[::1]1", "an address in brackets needs ]:PORT"},
      {"tcp://[]:1", "it needs a host"},
      {"tcp://u:p@x:1", "a user and a password are not allowed"},
      {"tcp://x:1/path", "it must have no path"},
      {"ws://x/a#b", "it must have no fragment"},
      {"ipc://", "it needs a path"},
      {"abstract://", "it needs a name"},
      {"abstract://%4", "the name is too long, or has a % without two digits"},
      {host, "the host is too long"},
      {path, "the path is too long for a Unix socket"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char text[600] = "", expected[600];
    obs_client_endpoint e;
    assert_int_equal(obs_client_endpoint_parse(cases[i].url, &e, text, sizeof(text)), OBSERVER_E_INVALID);
    snprintf(expected, sizeof(expected), "%s: %s", cases[i].url, cases[i].why);
    assert_string_equal(text, expected);
  }
}

/* ---- the handshake of a WebSocket ---- */

#define SWITCHED "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
#define UPGRADED SWITCHED "Sec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n"

static void test_request(void **state) {
  (void)state;
  char accept[OBS_CLIENT_WEBSOCKET_ACCEPT_BYTES + 1], again[OBS_CLIENT_WEBSOCKET_ACCEPT_BYTES + 1];
  obs_buf out = {0}, second = {0}, expected = {0};
  assert_true(obs_client_ws_request(&out, "::1", "80", "/bus", "rep", accept));
  assert_true(obs_client_ws_request(&second, "h", "443", "/", "pull", again));
  assert_string_not_equal(accept, again);
  obs_buf_putc(&out, '\0');
  assert_non_null(strstr(out.p, "GET /bus HTTP/1.1\r\nHost: [::1]:80\r\n"));
  assert_non_null(strstr(out.p, "\r\nSec-WebSocket-Protocol: rep.sp.nanomsg.org\r\n\r\n"));
  /* RFC 6455, 4.2.2 */
  char *key = strstr(out.p, "Sec-WebSocket-Key: ") + strlen("Sec-WebSocket-Key: "), text[128];
  uint8_t hash[SHA_DIGEST_LENGTH];
  snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
  SHA1((const unsigned char *)text, strlen(text), hash);
  obs_base64_encode(&expected, hash, sizeof(hash));
  assert_memory_equal(expected.p, accept, sizeof(accept) - 1);
  obs_buf_fini(&out);
  obs_buf_fini(&second);
  obs_buf_fini(&expected);
}

static void test_answers(void **state) {
  (void)state;
  static const struct {
    const char *text;
    obs_client_ws_step step;
    unsigned status;
  } cases[] = {
      {UPGRADED "Sec-WebSocket-Accept: ABC=\r\n\r\n", OBS_WS_MESSAGE, 101},
      {UPGRADED "sec-websocket-accept:\tABC= \r\nx: y\r\n\r\n", OBS_WS_MESSAGE, 101},
      {UPGRADED "Sec-WebSocket-Accept: ABC\r\n\r\n", OBS_WS_WRONG, 101},
      {UPGRADED "Sec-WebSocket-Accepted: ABC=\r\n\r\n", OBS_WS_WRONG, 101},
      {UPGRADED "\r\n", OBS_WS_WRONG, 101},
      {SWITCHED "Sec-WebSocket-Accept: ABC=\r\n\r\n", OBS_WS_WRONG, 101},
      {SWITCHED "Sec-WebSocket-Protocol: pull.sp.nanomsg.org\r\nSec-WebSocket-Accept: ABC=\r\n\r\n", OBS_WS_WRONG, 101},
      {"HTTP/1.1 403 Forbidden\r\nSec-WebSocket-Accept: ABC=\r\n\r\n", OBS_WS_WRONG, 403},
      {"HTTP/1.1 \r\n\r\n", OBS_WS_WRONG, 0},
      {"HTTP/1.0 101 x\r\n", OBS_WS_WRONG, 0},
      {"SSH-2.0", OBS_WS_WRONG, 0},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    size_t n = strlen(cases[i].text), used = 0;
    unsigned status;
    assert_int_equal(obs_client_ws_answer(cases[i].text, n, "rep", "ABC=", &used, &status), cases[i].step);
    assert_int_equal(status, cases[i].status);
    if (cases[i].step == OBS_WS_MESSAGE) assert_int_equal(used, n);
  }
  const char *whole = cases[0].text;
  for (size_t n = 1; n < strlen(whole); n++) { /* of a part of it nothing behind its end is read */
    char *exact = malloc(n);
    size_t used;
    unsigned status;
    assert_non_null(exact);
    memcpy(exact, whole, n);
    assert_int_equal(obs_client_ws_answer(exact, n, "rep", "ABC=", &used, &status), OBS_WS_MORE);
    free(exact);
  }
  char *endless = malloc(20000);
  size_t used;
  unsigned status;
  assert_non_null(endless);
  memset(endless, 'x', 20000);
  memcpy(endless, "HTTP/1.1 101 ", 13);
  assert_int_equal(obs_client_ws_answer(endless, 20000, "rep", "ABC=", &used, &status), OBS_WS_WRONG);
  free(endless);
}

/* ---- frames ---- */

static void test_heads(void **state) {
  (void)state;
  static const uint8_t mask[4] = {1, 2, 3, 4};
  uint8_t out[OBS_CLIENT_WEBSOCKET_HEAD_MAX];
  assert_int_equal(obs_client_ws_head(false, 125, mask, out), 6);
  assert_memory_equal(out, "\x82\xfd\1\2\3\4", 6);
  assert_int_equal(obs_client_ws_head(false, 126, mask, out), 8);
  assert_memory_equal(out, "\x82\xfe\x00\x7e\1\2\3\4", 8);
  assert_int_equal(obs_client_ws_head(false, 65535, mask, out), 8);
  assert_int_equal(obs_client_ws_head(false, 65536, mask, out), 14);
  assert_memory_equal(out, "\x82\xff\0\0\0\0\0\1\0\0\1\2\3\4", 14);
  assert_int_equal(obs_client_ws_head(true, 3, mask, out), 6);
  assert_memory_equal(out, "\x8a\x83\1\2\3\4", 6);
  uint8_t bytes[] = {0, 0, 0, 0, 0};
  obs_client_ws_mask(bytes, 2, mask, 0); /* in pieces as at once */
  obs_client_ws_mask(bytes + 2, 3, mask, 2);
  assert_memory_equal(bytes, "\1\2\3\4\1", 5);
}

static void test_frames(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t n;
    bool inside;
    obs_client_ws_step step;
    size_t size;
  } cases[] = {
      {"\x82\x03xyz", 5, false, OBS_WS_MESSAGE, 3},
      {"\x82\x00", 2, false, OBS_WS_MESSAGE, 0},
      {"\x02\x01x", 3, false, OBS_WS_PART, 1},
      {"\x00\x01x", 3, true, OBS_WS_PART, 1},
      {"\x80\x01x", 3, true, OBS_WS_MESSAGE, 1},
      {"\x89\x01p", 3, true, OBS_WS_PING, 1},
      {"\x8a\x00", 2, false, OBS_WS_PONG, 0},
      {"\x88\x02\x03\xe8", 4, false, OBS_WS_CLOSE, 2},
      {"\x80\x01x", 3, false, OBS_WS_WRONG, 0}, /* nothing to continue */
      {"\x82\x01x", 3, true, OBS_WS_WRONG, 0},  /* the one before has not ended */
      {"\x81\x01x", 3, false, OBS_WS_WRONG, 0}, /* text */
      {"\xc2\x01x", 3, false, OBS_WS_WRONG, 0}, /* an extension's bit */
      {"\x82\x81", 2, false, OBS_WS_WRONG, 0},  /* masked by a server */
      {"\x8b\x00", 2, false, OBS_WS_WRONG, 0},
      {"\x09\x00", 2, false, OBS_WS_WRONG, 0}, /* a control frame in parts */
      {"\x89\x7e\x00\x80", 4, false, OBS_WS_WRONG, 0},
      {"\x82\x7e\x03\xe9", 4, false, OBS_WS_WRONG, 0}, /* 1001 bytes */
      {"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10, false, OBS_WS_WRONG, 0},
      {"\x82\x7e\x03\xe8", 4, false, OBS_WS_MORE, 1000},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    obs_client_ws_frame f;
    const uint8_t *p = (const uint8_t *)cases[i].bytes;
    assert_int_equal(obs_client_ws_read(cases[i].inside, p, cases[i].n, 1000, &f), cases[i].step);
    if (cases[i].step == OBS_WS_WRONG) continue;
    assert_int_equal(f.size, cases[i].size);
    if (cases[i].step != OBS_WS_MORE) assert_int_equal(f.used, cases[i].n);
    for (size_t n = 0; cases[i].step != OBS_WS_MORE && n < cases[i].n; n++) {
      uint8_t *exact = malloc(n + 1);
      assert_non_null(exact);
      memcpy(exact + 1, p, n); /* so that what is read too far is behind the end */
      assert_int_equal(obs_client_ws_read(cases[i].inside, exact + 1, n, 1000, &f), OBS_WS_MORE);
      free(exact);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_urls),    cmocka_unit_test(test_local_urls), cmocka_unit_test(test_wrong_urls),
      cmocka_unit_test(test_request), cmocka_unit_test(test_answers),    cmocka_unit_test(test_heads),
      cmocka_unit_test(test_frames),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
