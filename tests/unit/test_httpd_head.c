/* Heads of requests: what is taken and how it reads, and every shape that two readers could understand differently. */
#include "httpd/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct {
  obs_httpd_step step;
  obs_httpd_fault why;
  obs_httpd_head head;
  size_t used;
  char bytes[OBS_HTTPD_HEAD_BYTES + 64]; /* what the head's views point into */
} result;

/* Scans in pieces of `piece` bytes and parses. */
static void read_pieces(const char *text, size_t len, size_t piece, result *r) {
  obs_httpd_scan scan = {0};
  char *exact = malloc(len + 1); /* so that a sanitizer sees a read beyond the bytes */
  assert_non_null(exact);
  *r = (result){.step = OBS_HTTPD_MORE};
  for (size_t at = 0; at < len && r->step == OBS_HTTPD_MORE; at += piece) {
    size_t n = len - at < piece ? len - at : piece, used;
    char *part = malloc(n);
    assert_non_null(part);
    memcpy(part, text + at, n);
    r->step = obs_httpd_scan_head(&scan, (const uint8_t *)part, n, &used, &r->why);
    free(part);
    assert_true(used <= n);
    r->used += used;
    if (r->step == OBS_HTTPD_MORE) assert_int_equal(used, n);
  }
  free(exact);
  if (r->step != OBS_HTTPD_DONE) return;
  assert_true(r->used <= sizeof r->bytes);
  memcpy(r->bytes, text, r->used);
  if (!obs_httpd_head_parse(&r->head, r->bytes, r->used, &r->why)) r->step = OBS_HTTPD_WRONG;
}

/* The same in one piece, in pieces of three, and byte by byte. */
static void read_head(const char *text, size_t len, result *r) {
  static const size_t pieces[] = {SIZE_MAX / 2, 3, 1};
  static result first;
  for (size_t i = 0; i < 3; i++) {
    read_pieces(text, len, pieces[i], r);
    if (i == 0) first = *r;
    assert_int_equal(r->step, first.step);
    assert_int_equal(r->why.status, first.why.status);
    assert_string_equal(r->why.text, first.why.text);
  }
}

static void refused(const char *text, size_t len, uint16_t status, const char *why) {
  static result r;
  read_head(text, len, &r);
  if (r.step != OBS_HTTPD_WRONG) fail_msg("not refused (step %d): %s", (int)r.step, text);
  if (r.why.status != status || strcmp(r.why.text, why) != 0)
    fail_msg("%s\n-> %d %s\nnot %d %s", text, r.why.status, r.why.text, status, why);
}

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST /event HTTP/1.1\r\n" HOST

static const char bad_line[] = "request line: must be METHOD TARGET HTTP/1.1";
static const char bad_end[] = "head: a line must end in CR LF";
static const char control[] = "head: contains a control byte";
static const char no_target[] = "request target: missing";
static const char bad_target[] = "request target: must be ASCII, without white space or #";
static const char no_slash[] = "request target: must start with a slash";
static const char bad_name[] = "header: the name must be a token, directly followed by a colon";
static const char folded[] = "header: must not be folded";
static const char bad_length[] = "content-length: must be a number of bytes";
static const char bad_coding[] = "transfer-encoding: chunked must be the last and only coding";
static const char other_coding[] = "transfer-encoding: only chunked is supported";
static const char no_host[] = "host: required";
static const char bad_host[] = "host: malformed";
static const char bad_absolute[] = "request target: its host is malformed";

static const struct {
  const char *head; /* the empty line follows, unless it is there */
  uint16_t status;
  const char *why;
} refusals[] = {
    /* request lines */
    {"GET  /x HTTP/1.1\r\n" HOST, 400, no_target},
    {"POST  /event HTTP/1.1\r\n" HOST, 400, no_target},
    {"X  HTTP/1.1\r\n" HOST, 400, no_target},
    {"GET  HTTP/1.1\r\n" HOST, 400, no_target},
    {"  \r\n" HOST, 400, bad_line},
    {" \r\n" HOST, 400, bad_line},
    {"GET\r\n" HOST, 400, bad_line},
    {"GET /\r\n" HOST, 400, bad_line},
    {"GET / \r\n" HOST, 400, bad_line},
    {" GET / HTTP/1.1\r\n" HOST, 400, bad_line},
    {"GET / HTTP/1.1 \r\n" HOST, 400, bad_line},
    {"GET /  HTTP/1.1\r\n" HOST, 400, bad_line},
    {"GET / x HTTP/1.1\r\n" HOST, 400, bad_line},
    {"GET\t/ HTTP/1.1\r\n" HOST, 400, bad_line},
    {"GET /\tHTTP/1.1\r\n" HOST, 400, bad_line},
    {"G(T / HTTP/1.1\r\n" HOST, 400, bad_line},
    {"G\xc3\xa4T / HTTP/1.1\r\n" HOST, 400, bad_line},
    {"GET: / HTTP/1.1\r\n" HOST, 400, bad_line},
    {"GET / http/1.1\r\n" HOST, 400, bad_line},
    {"GET / HTTP/1.1.1\r\n" HOST, 400, bad_line},
    {"GET / HTTP/11\r\n" HOST, 400, bad_line},
    {"GET / HTTP/a.b\r\n" HOST, 400, bad_line},
    {"GET / HTTPS/1.1\r\n" HOST, 400, bad_line},
    {"GET / HTTP/2.0\r\n" HOST, 505, "HTTP version: must be 1.0 or 1.1"},
    {"GET / HTTP/1.2\r\n" HOST, 505, "HTTP version: must be 1.0 or 1.1"},
    {"GET / HTTP/0.9\r\n" HOST, 505, "HTTP version: must be 1.0 or 1.1"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP version: must be 1.0 or 1.1"},
    {"\r\n\r\nGET / HTTP/1.1\r\n" HOST, 400, "head: empty lines before the request line"},
    {"\r\n\r\n\r\n", 400, "head: empty lines before the request line"},
    /* targets */
    {"GET stats HTTP/1.1\r\n" HOST, 400, no_slash},
    {"GET ?a HTTP/1.1\r\n" HOST, 400, no_slash},
    {"GET * HTTP/1.1\r\n" HOST, 400, no_slash},
    {"CONNECT h:1 HTTP/1.1\r\n" HOST, 400, no_slash},
    {"GET ftp://h/ HTTP/1.1\r\n" HOST, 400, no_slash},
    {"GET http:/h/ HTTP/1.1\r\n" HOST, 400, no_slash},
    {"GET /a#b HTTP/1.1\r\n" HOST, 400, bad_target},
    {"GET http://h/#b HTTP/1.1\r\n" HOST, 400, bad_target},
    {"GET /\xc3\xa4 HTTP/1.1\r\n" HOST, 400, bad_target},
    {"GET http://h HTTP/1.1\r\n" HOST, 400, "request target: needs a slash after the host"},
    {"GET http://h?a HTTP/1.1\r\n" HOST, 400, "request target: needs a slash after the host"},
    {"GET http://u@h/ HTTP/1.1\r\n" HOST, 400, bad_absolute},
    {"GET http://u:p@h/ HTTP/1.1\r\n" HOST, 400, bad_absolute},
    {"GET http:///x HTTP/1.1\r\n" HOST, 400, bad_absolute},
    {"GET http://h:/x HTTP/1.1\r\n" HOST, 400, bad_absolute},
    {"GET http://h?@x/ HTTP/1.1\r\n" HOST, 400, bad_absolute},
    {"GET /%7 HTTP/1.1\r\n" HOST, 400, "request target: invalid percent-escape"},
    {"GET /% HTTP/1.1\r\n" HOST, 400, "request target: invalid percent-escape"},
    {"GET /%zz HTTP/1.1\r\n" HOST, 400, "request target: invalid percent-escape"},
    {"GET /%7?a HTTP/1.1\r\n" HOST, 400, "request target: invalid percent-escape"},
    {"GET /a/../stats HTTP/1.1\r\n" HOST, 400, "request target: must not contain . or .. segments"},
    {"GET /.. HTTP/1.1\r\n" HOST, 400, "request target: must not contain . or .. segments"},
    {"GET /./stats HTTP/1.1\r\n" HOST, 400, "request target: must not contain . or .. segments"},
    {"GET /%2e%2E/stats HTTP/1.1\r\n" HOST, 400, "request target: must not contain . or .. segments"},
    {"GET http://h/x/%2e HTTP/1.1\r\n" HOST, 400, "request target: must not contain . or .. segments"},
    /* line ends and bytes */
    {"GET / HTTP/1.1\n" HOST, 400, bad_end},
    {"GET / HTTP/1.1\r\nHost: a\n", 400, bad_end},
    {GET "X: y\n\nPOST /event HTTP/1.1\r\n", 400, bad_end},
    {GET "X: y\r\n\n", 400, bad_end},
    {GET "X: y\r\rZ: a\r\n", 400, bad_end},
    {GET "X: y\rContent-Length: 5\r\n", 400, bad_end},
    {GET "X: y\r \r\n", 400, bad_end},
    {"\nGET / HTTP/1.1\r\n" HOST, 400, bad_end},
    {"\rGET / HTTP/1.1\r\n" HOST, 400, bad_end},
    {GET "X: \x01\r\n", 400, control},
    {GET "X: \x0b"
         "chunked\r\n",
     400, control},
    {GET "X: \x7f\r\n", 400, control},
    {"\x16\x03\x01\x02", 400, control},
    /* names of headers */
    {GET "Content-Length : 5\r\n", 400, bad_name},
    {GET "Content-Length  : 5\r\n", 400, bad_name},
    {GET "Content-Length\t: 5\r\n", 400, bad_name},
    {GET "Content Length: 5\r\n", 400, bad_name},
    {GET "Transfer-Encoding : chunked\r\n", 400, bad_name},
    {GET "Transfer-Encoding  : chunked\r\n", 400, bad_name},
    {GET "X : y\r\n", 400, bad_name},
    {GET "X(: y\r\n", 400, bad_name},
    {GET "X\"Y: y\r\n", 400, bad_name},
    {GET "X\xc3\xa4: y\r\n", 400, bad_name},
    {GET " Content-Length: 5\r\n", 400, folded},
    {GET "  Content-Length: 5\r\n", 400, folded},
    {GET " Content-Length : 5\r\n", 400, folded},
    {GET "\tX: y\r\n", 400, folded},
    {GET "X: y\r\n z\r\n", 400, folded},
    {GET "X: y\r\n\tz\r\n", 400, folded},
    {"GET / HTTP/1.1\r\n " HOST, 400, folded},
    {GET ": y\r\n", 400, "header: the name is missing"},
    {GET "novalue\r\n", 400, "header: needs a colon"},
    {GET "Transfer-Encoding chunked\r\n", 400, "header: needs a colon"},
    /* lengths */
    {POST "Content-Length: 5\r\nContent-Length: 5\r\n", 400, "content-length: given twice"},
    {POST "Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n", 400, "content-length: given twice"},
    {POST "Content-Length: 5, 5\r\n", 400, bad_length},
    {POST "Content-Length: 5,\r\n", 400, bad_length},
    {POST "Content-Length:\r\n", 400, bad_length},
    {POST "Content-Length: x\r\n", 400, bad_length},
    {POST "Content-Length: -1\r\n", 400, bad_length},
    {POST "Content-Length: +5\r\n", 400, bad_length},
    {POST "Content-Length: 0x10\r\n", 400, bad_length},
    {POST "Content-Length: 5 5\r\n", 400, bad_length},
    {POST "Content-Length: 5.0\r\n", 400, bad_length},
    {POST "Content-Length: \"5\"\r\n", 400, bad_length},
    {POST "Content-Length: 18446744073709551616\r\n", 400, bad_length},
    {POST "Content-Length: 99999999999999999999999\r\n", 400, bad_length},
    /* codings of the transfer */
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400,
     "transfer-encoding: not allowed together with content-length"},
    {POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400,
     "transfer-encoding: not allowed together with content-length"},
    {POST "Content-Length: 0\r\nTransfer-Encoding: identity\r\n", 400,
     "transfer-encoding: not allowed together with content-length"},
    {"POST /event HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n", 400,
     "transfer-encoding: not allowed in HTTP/1.0"},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400, "transfer-encoding: given twice"},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", 400, "transfer-encoding: given twice"},
    {POST "Transfer-Encoding: chunked, chunked\r\n", 400, bad_coding},
    {POST "Transfer-Encoding: chunked, identity\r\n", 400, bad_coding},
    {POST "Transfer-Encoding: chunked, gzip\r\n", 400, bad_coding},
    {POST "Transfer-Encoding: chunked,\r\n", 400, bad_coding},
    {POST "Transfer-Encoding: ,chunked\r\n", 400, bad_coding},
    {POST "Transfer-Encoding:\r\n", 400, bad_coding},
    {POST "Transfer-Encoding: chunked;q=1\r\n", 400, bad_coding},
    {POST "Transfer-Encoding: \"chunked\"\r\n", 400, bad_coding},
    {POST "Transfer-Encoding: chunked x\r\n", 400, bad_coding},
    {POST "Transfer-Encoding: identity\r\n", 501, other_coding},
    {POST "Transfer-Encoding: gzip, chunked\r\n", 501, other_coding},
    {POST "tRANSFER-eNCODING: xchunked\r\n", 501, other_coding},
    /* hosts */
    {"GET / HTTP/1.1\r\nX: y\r\n", 400, no_host},
    {"POST /event HTTP/1.1\r\nContent-Length: 92\r\n", 400, no_host},
    {"GET http://h/ HTTP/1.1\r\nX: y\r\n", 400, no_host},
    {GET "Host: a\r\n", 400, "host: given twice"},
    {GET "hOST: b\r\n", 400, "host: given twice"},
    {"GET / HTTP/1.1\r\nHost:\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: a b\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: a:\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: :80\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: a:x\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: a:65536\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: a:1:2\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: []\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: [::1]80\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: [x]\r\n", 400, bad_host},
    {"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n", 400, bad_host},
    {"GET / HTTP/1.0\r\nHost: a b\r\n", 400, bad_host},
    /* others */
    {POST "Expect: payment\r\n", 417, "expect: only 100-continue is supported"},
    {POST "Expect: 100-continue, x\r\n", 417, "expect: only 100-continue is supported"},
    {GET "Origin: http://a\r\nOrigin: http://b\r\n", 400, "origin: given twice"},
    {GET "Content-Type: a\r\nContent-Type: b\r\n", 400, "content-type: given twice"},
};

static void ambiguous_heads_are_refused(void **state) {
  (void)state;
  char text[512];
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    int n = snprintf(text, sizeof text, "%s\r\n", refusals[i].head);
    refused(text, (size_t)n, refusals[i].status, refusals[i].why);
  }
  refused("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 28, 400, control);
  refused("GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", 33, 400, control);
}

static const struct {
  const char *head, *method, *path, *query, *host;
} taken[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n", "GET", "/", "", "a"},
    {"\r\nGET / HTTP/1.1\r\nHost: a\r\n", "GET", "/", "", "a"},
    {"GET /x?y=%zz&z=%41 HTTP/1.1\r\nHost:a:80\r\n", "GET", "/x", "y=%zz&z=%41", "a:80"},
    {"GET /? HTTP/1.1\r\nHost: a\r\n", "GET", "/", "", "a"},
    {"GET /x?a?b HTTP/1.1\r\nHost:\t a \t\r\n", "GET", "/x", "a?b", "a"},
    {"get /stats HTTP/1.1\r\nhOsT: [::1]:3800\r\n", "get", "/stats", "", "[::1]:3800"},
    {"GET /%73tats HTTP/1.1\r\nHost: 127.0.0.1\r\n", "GET", "/stats", "", "127.0.0.1"},
    {"GET /a%2Fb%2f%00%20 HTTP/1.1\r\nHost: a\r\n", "GET", "/a%2Fb%2f%00%20", "", "a"},
    {"GET /%7e%2d%5F HTTP/1.1\r\nHost: a\r\n", "GET", "/~-_", "", "a"},
    {"GET /...%2e/a. HTTP/1.1\r\nHost: a\r\n", "GET", "/..../a.", "", "a"},
    {"GET //x//y HTTP/1.1\r\nHost: a\r\n", "GET", "//x//y", "", "a"},
    {"GET /x?../.. HTTP/1.1\r\nHost: a\r\n", "GET", "/x", "../..", "a"},
    {"GET http://b.c:99/x?y HTTP/1.1\r\nHost: a\r\n", "GET", "/x", "y", "b.c:99"},
    {"GET HTTPS://[::1]/ HTTP/1.1\r\nHost: a\r\n", "GET", "/", "", "[::1]"},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n", "OPTIONS", "*", NULL, "a"},
    {"GET /x HTTP/1.0\r\n", "GET", "/x", "", NULL},
    {"M-SEARCH /x HTTP/1.1\r\nHost: a_b.c~d\r\n", "M-SEARCH", "/x", "", "a_b.c~d"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\xff\r\nY:\tz\r\nZ:\r\n", "GET", "/", "", "a"},
};

static void check_text(obs_str have, const char *want) {
  if (want == NULL) {
    assert_null(have.p);
    return;
  }
  if (!obs_str_is(have, want)) fail_msg("%.*s, not %s", (int)have.len, have.p, want);
}

static void good_heads_are_read(void **state) {
  (void)state;
  static result r;
  char text[512];
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
    int n = snprintf(text, sizeof text, "%s\r\nrest", taken[i].head);
    read_head(text, (size_t)n, &r);
    if (r.step != OBS_HTTPD_DONE) fail_msg("%s: %d %s", text, r.why.status, r.why.text);
    assert_int_equal(r.used, n - 4);
    check_text(r.head.method, taken[i].method);
    check_text(r.head.path, taken[i].path);
    check_text(r.head.query, taken[i].query);
    check_text(r.head.host, taken[i].host);
  }
}

static void headers_are_read(void **state) {
  (void)state;
  static result r;
  static const struct {
    const char *version, *headers;
    bool keep, gzip, chunked, expects;
    obs_httpd_coding coding;
  } cases[] = {
      {"1.1", "", true, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.0", "", false, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.0", "Connection: Keep-Alive\r\n", true, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Connection: keep-alive, Close\r\n", false, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Connection: x\r\nConnection: close\r\n", false, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Connection: closed, xclose\r\n", true, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Accept-Encoding: gzip\r\n", true, true, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Accept-Encoding: br;q=1, GZIP;q=0.5 , *;q=0\r\n", true, true, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Accept-Encoding: gzip;q=0\r\n", true, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Accept-Encoding: gzip; q=0.000, *\r\n", true, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Accept-Encoding: gzip;q=0.001\r\n", true, true, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Accept-Encoding: *\r\n", true, true, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Accept-Encoding: *;q=0\r\n", true, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Accept-Encoding: br\r\nAccept-Encoding: x-gzip\r\n", true, true, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Accept-Encoding: ,;,gzipped\r\n", true, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Transfer-Encoding: Chunked\r\n", true, false, true, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Expect: 100-Continue\r\n", true, false, false, true, OBS_HTTPD_IDENTITY},
      {"1.0", "Expect: 100-continue\r\n", false, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Content-Encoding: gzip\r\n", true, false, false, false, OBS_HTTPD_GZIP},
      {"1.1", "Content-Encoding: X-GZIP\r\n", true, false, false, false, OBS_HTTPD_GZIP},
      {"1.1", "Content-Encoding: deflate\r\n", true, false, false, false, OBS_HTTPD_DEFLATE},
      {"1.1", "Content-Encoding: identity\r\n", true, false, false, false, OBS_HTTPD_IDENTITY},
      {"1.1", "Content-Encoding: br\r\n", true, false, false, false, OBS_HTTPD_UNKNOWN_CODING},
      {"1.1", "Content-Encoding: gzip, gzip\r\n", true, false, false, false, OBS_HTTPD_UNKNOWN_CODING},
      {"1.1", "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n", true, false, false, false,
       OBS_HTTPD_UNKNOWN_CODING},
  };
  char text[512];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int n = snprintf(text, sizeof text, "POST / HTTP/%s\r\nHost: a\r\n%s\r\n", cases[i].version, cases[i].headers);
    read_head(text, (size_t)n, &r);
    if (r.step != OBS_HTTPD_DONE) fail_msg("%s: %d %s", text, r.why.status, r.why.text);
    if (r.head.keep != cases[i].keep || r.head.takes_gzip != cases[i].gzip || r.head.chunked != cases[i].chunked ||
        r.head.expects_continue != cases[i].expects || r.head.coding != cases[i].coding)
      fail_msg("%s: read otherwise", text);
  }
  static const char post[] = "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 0042\r\nContent-Type: text/plain \r\n"
                             "Origin: null\r\n\r\n";
  read_head(post, sizeof post - 1, &r);
  assert_int_equal(r.step, OBS_HTTPD_DONE);
  assert_true(r.head.has_length && r.head.length == 42 && r.head.head);
  check_text(r.head.content_type, "text/plain");
  check_text(r.head.origin, "null");
}

static void media_types_are_compared(void **state) {
  static const struct {
    const char *accept;
    int open, text;
  } cases[] = {{"", 0, 0},
               {"*/*", 0, 0},
               {"a/b", 1000, 0},
               {"A/B;q=0.5 , text/plain; version=0.0.4; q=0.25", 500, 250},
               {"a/b;version=1.0.0;q=0", 0, 0},
               {"a/b;q=0.1,a/b;version=2", 1000, 0},
               {"a/bc, xa/b, a/b ;Q=0.125", 125, 0},
               {"text/plain;q=,a/b;q", 1000, 1000},
               {",;,=,a/b", 1000, 0}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    obs_str accept = obs_str_of(cases[i].accept);
    if (obs_httpd_accepts(accept, "a/b") != cases[i].open || obs_httpd_accepts(accept, "text/plain") != cases[i].text)
      fail_msg("%s: %d, %d", cases[i].accept, obs_httpd_accepts(accept, "a/b"),
               obs_httpd_accepts(accept, "text/plain"));
  }
  assert_int_equal(obs_httpd_accepts((obs_str){0}, "a/b"), 0);
  static result r;
  static const char two[] = GET "Accept: a/b\r\naccept: c/d\r\n\r\n";
  read_head(two, sizeof two - 1, &r);
  assert_int_equal(r.step, OBS_HTTPD_DONE);
  check_text(r.head.accept, "a/b");
}

static void credentials_are_read(void **state) {
  static result r;
  static const char some[] = GET "Authorization:  Bearer a b \r\nx-api-KEY: k\r\nX-API-Key: k\r\n\r\n";
  static const struct {
    const char *text;
    bool many;
  } cases[] = {{GET "\r\n", false},
               {GET "X-API-Key: a\r\nX-API-Key: a\r\n\r\n", false},
               {GET "X-API-Key: a\r\nX-API-Key: b\r\n\r\n", true},
               {GET "X-API-Key: a\r\nX-API-Key:\r\n\r\n", true},
               {GET "Authorization: a\r\nX-API-Key: b\r\n\r\n", false}, /* whoever asks for keys compares these */
               {GET "Authorization: a\r\nAuthorization: a\r\nAuthorization: b\r\nAuthorization: b\r\n\r\n", true},
               {GET "X-API-Keys: a\r\nX-API-Key: b\r\nProxy-Authorization: c\r\n\r\n", false}};
  (void)state;
  read_head(some, sizeof some - 1, &r);
  assert_int_equal(r.step, OBS_HTTPD_DONE);
  check_text(r.head.authorization, "Bearer a b");
  check_text(r.head.api_key, "k");
  assert_false(r.head.many_credentials);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    read_head(cases[i].text, strlen(cases[i].text), &r);
    assert_int_equal(r.step, OBS_HTTPD_DONE);
    assert_int_equal(r.head.many_credentials, cases[i].many);
  }
  check_text(r.head.api_key, "b");
  assert_null(r.head.authorization.p);
}

static void heads_have_limits(void **state) {
  (void)state;
  static char text[3 * OBS_HTTPD_HEAD_BYTES];
  static result r;
  /* exactly the limit, and a byte more */
  for (int more = 0; more < 2; more++) {
    size_t n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    size_t fill = OBS_HTTPD_HEAD_BYTES - n - 4 + (size_t)more;
    memset(text + n, 'x', fill);
    memcpy(text + n + fill, "\r\n\r\n", 4);
    read_head(text, n + fill + 4, &r);
    assert_int_equal(r.step, more ? OBS_HTTPD_WRONG : OBS_HTTPD_DONE);
    if (more) assert_int_equal(r.why.status, 431);
  }
  memset(text, 'x', sizeof text);
  refused(text, sizeof text, 431, "head: larger than 16384 bytes");
  for (int more = 0; more < 2; more++) {
    size_t n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 1; i < OBS_HTTPD_HEADERS + more; i++) n += (size_t)sprintf(text + n, "X%d: y\r\n", i);
    n += (size_t)sprintf(text + n, "\r\n");
    if (more) refused(text, n, 431, "head: more than 100 headers");
    read_head(text, n, &r);
    assert_int_equal(r.step, more ? OBS_HTTPD_WRONG : OBS_HTTPD_DONE);
  }
}

/* Any bytes: heads that are taken, with a few bytes changed, cut or doubled. A sanitizer watches. */
static void changed_heads_harm_nothing(void **state) {
  (void)state;
  static result r;
  static obs_httpd_head head;
  uint64_t seed = 42;
  char text[600];
  for (int round = 0; round < 200000; round++) {
    size_t from = (size_t)round % (sizeof refusals / sizeof *refusals + sizeof taken / sizeof *taken);
    const char *base = from < sizeof refusals / sizeof *refusals
                           ? refusals[from].head
                           : taken[from - sizeof refusals / sizeof *refusals].head;
    size_t n = (size_t)snprintf(text, sizeof text, "%s\r\n", base);
    for (int change = 0; change < 3; change++) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      size_t at = (size_t)(seed >> 33) % n;
      static const char bytes[] = "\r\n\t :,;/?%#@[]*.09aZ\x80\xff\x7f\x00";
      if ((seed >> 20) % 4 == 0) {
        memmove(text + at, text + at + 1, n - at);
        if (n > 2) n--;
      } else {
        text[at] = bytes[(seed >> 25) % (sizeof bytes - 1)];
      }
    }
    read_pieces(text, n, 1 + (size_t)(seed >> 60), &r);
    /* the parser alone takes any bytes */
    char *exact = malloc(n);
    assert_non_null(exact);
    memcpy(exact, text, n);
    (void)obs_httpd_head_parse(&head, exact, n, &r.why);
    free(exact);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ambiguous_heads_are_refused),
      cmocka_unit_test(good_heads_are_read),
      cmocka_unit_test(headers_are_read),
      cmocka_unit_test(media_types_are_compared),
      cmocka_unit_test(credentials_are_read),
      cmocka_unit_test(heads_have_limits),
      cmocka_unit_test(changed_heads_harm_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
