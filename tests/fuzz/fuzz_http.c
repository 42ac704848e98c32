/* HTTP requests as they come in on a connection: the first two bytes say in what pieces, the rest is a pipeline of
 * heads and bodies. Whatever the pieces are, the same requests come out, and what is refused is refused for the same
 * reason. A head that is taken is one that a second, simple reader understands in the same way: what is framed
 * differently by two readers is how requests are smuggled. */
#include "httpd/body.h"

#include "fuzz.h"

#include <strings.h>

enum { INPUT_MAX = 40000, BODY_MAX = 4096, REQUESTS = 64 };

typedef struct {
  unsigned requests, bodies;
  obs_httpd_step last;
  obs_httpd_fault why;
  size_t used;     /* of the input, by whole requests */
  obs_buf decoded; /* the bodies, one after the other */
} outcome;

/* ---- the simple reader ---- */

static bool is_field(const char *line, size_t len, const char *name) {
  size_t n = strlen(name);
  return len > n && strncasecmp(line, name, n) == 0 && line[n] == ':';
}

/* Reads the framing of a head off its bytes, line by line. */
static void check_head(const obs_httpd_head *h, const char *bytes, size_t len) {
  unsigned lengths = 0, codings = 0, hosts = 0;
  uint64_t length = 0;
  const char *p = bytes, *end = bytes + len;
  FUZZ_CHECK(len >= 4 && memcmp(end - 4, "\r\n\r\n", 4) == 0);
  if (p[0] == '\r' && p[1] == '\n') p += 2;
  for (bool first = true; p < end; first = false) {
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    FUZZ_CHECK(nl != NULL && nl > p && nl[-1] == '\r');
    size_t n = (size_t)(nl - p) - 1;
    for (size_t i = 0; i < n; i++) FUZZ_CHECK((uint8_t)p[i] >= ' ' || p[i] == '\t');
    FUZZ_CHECK(n > 0 || nl + 1 == end); /* a head has one empty line: its last */
    FUZZ_CHECK(n == 0 || first || (p[0] != ' ' && p[0] != '\t'));
    if (n > 0 && !first) {
      const char *colon = memchr(p, ':', n);
      FUZZ_CHECK(colon != NULL && colon > p && colon[-1] != ' ' && colon[-1] != '\t');
    }
    if (!first && is_field(p, n, "content-length")) {
      size_t i = 15;
      while (i < n && (p[i] == ' ' || p[i] == '\t')) i++;
      FUZZ_CHECK(i < n);
      for (lengths++; i < n && p[i] >= '0' && p[i] <= '9'; i++) length = length * 10 + (uint64_t)(p[i] - '0');
      for (; i < n; i++) FUZZ_CHECK(p[i] == ' ' || p[i] == '\t');
    }
    codings += !first && is_field(p, n, "transfer-encoding");
    hosts += !first && is_field(p, n, "host");
    p = nl + 1;
  }
  FUZZ_CHECK(lengths <= 1 && codings <= 1 && lengths + codings <= 1 && hosts <= 1 && (hosts == 1 || h->old));
  FUZZ_CHECK(h->has_length == (lengths == 1) && h->length == length && h->chunked == (codings == 1));
  FUZZ_CHECK(!(h->old && h->chunked));
}

static bool is_within(obs_str s, const char *bytes, size_t len) {
  return s.p == NULL || (s.p >= bytes && s.p + s.len <= bytes + len);
}

static void check_views(const obs_httpd_head *h, const char *bytes, size_t len) {
  const obs_str views[] = {h->method, h->path, h->query, h->host, h->origin, h->content_type};
  for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
    FUZZ_CHECK(is_within(views[i], bytes, len) || views[i].len <= 1); /* "/" of an absolute target without a path */
    for (uint32_t k = 0; k < views[i].len; k++) FUZZ_CHECK((uint8_t)views[i].p[k] >= ' ' || views[i].p[k] == '\t');
  }
  FUZZ_CHECK(h->method.len > 0 && h->path.len > 0 && (h->path.p[0] == '/' || obs_str_is(h->path, "*")));
}

/* ---- a connection ---- */

typedef struct {
  const uint8_t *p, *end;
  size_t piece;
} input;

/* The next bytes, as a copy of exactly their size; `used` of them are given back to it. */
static size_t next_piece(const input *in, uint8_t **out) {
  size_t left = (size_t)(in->end - in->p), n = left < in->piece ? left : in->piece;
  *out = fuzz_copy(in->p, n);
  return n;
}

static obs_httpd_step take_head(input *in, obs_httpd_head *h, char **bytes, outcome *o) {
  const uint8_t *start = in->p;
  obs_httpd_scan scan = {0};
  obs_httpd_step step = OBS_HTTPD_MORE;
  while (step == OBS_HTTPD_MORE && in->p < in->end) {
    uint8_t *piece;
    size_t used = 0, n = next_piece(in, &piece);
    step = obs_httpd_scan_head(&scan, piece, n, &used, &o->why);
    FUZZ_CHECK(used <= n && (step != OBS_HTTPD_MORE || used == n));
    in->p += used;
    free(piece);
  }
  size_t len = (size_t)(in->p - start);
  FUZZ_CHECK(len <= OBS_HTTPD_HEAD_BYTES + 2);
  if (step != OBS_HTTPD_DONE) return step;
  *bytes = (char *)fuzz_copy(start, len);
  if (!obs_httpd_head_parse(h, *bytes, len, &o->why)) return OBS_HTTPD_WRONG;
  check_head(h, (const char *)start, len);
  check_views(h, *bytes, len);
  return OBS_HTTPD_DONE;
}

static obs_httpd_step take_body(input *in, const obs_httpd_head *h, outcome *o) {
  obs_httpd_body body = {0};
  obs_buf out = {0};
  const uint8_t *start = in->p;
  obs_httpd_step step = obs_httpd_body_begin(&body, h, BODY_MAX, &o->why) ? OBS_HTTPD_MORE : OBS_HTTPD_WRONG;
  while (step == OBS_HTTPD_MORE && in->p < in->end) {
    uint8_t *piece;
    size_t used = 0, n = next_piece(in, &piece);
    step = obs_httpd_body_feed(&body, piece, n, &used, &out, &o->why);
    FUZZ_CHECK(used <= n && (step != OBS_HTTPD_MORE || used == n));
    FUZZ_CHECK(out.len <= BODY_MAX + (step == OBS_HTTPD_WRONG)); /* one more byte tells that it is too large */
    in->p += used;
    free(piece);
  }
  obs_httpd_body_end(&body);
  size_t len = (size_t)(in->p - start);
  if (step == OBS_HTTPD_DONE && !h->chunked) FUZZ_CHECK(len == h->length);
  if (step == OBS_HTTPD_DONE && h->coding == OBS_HTTPD_IDENTITY) {
    FUZZ_CHECK(h->chunked ? out.len < len : out.len == len && memcmp(out.p, start, len) == 0);
  }
  if (step == OBS_HTTPD_DONE) obs_buf_append(&o->decoded, out.p, out.len);
  obs_buf_fini(&out);
  return step;
}

static void connection(const uint8_t *p, size_t size, size_t piece, outcome *o) {
  input in = {p, p + size, piece};
  *o = (outcome){.last = OBS_HTTPD_MORE};
  while (o->requests < REQUESTS && in.p < in.end) {
    obs_httpd_head h = {0};
    char *bytes = NULL;
    o->last = take_head(&in, &h, &bytes, o);
    if (o->last == OBS_HTTPD_DONE && (h.chunked || h.length > 0)) {
      o->last = take_body(&in, &h, o);
      o->bodies++;
    }
    free(bytes);
    if (o->last != OBS_HTTPD_DONE) break;
    o->requests++;
    o->used = (size_t)(in.p - p);
  }
  if (o->last == OBS_HTTPD_WRONG) FUZZ_CHECK(o->why.status >= 400 && o->why.status < 600 && o->why.text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > INPUT_MAX) return 0;
  outcome whole, pieces;
  connection(data + 2, size - 2, SIZE_MAX / 2, &whole);
  connection(data + 2, size - 2, 1 + (size_t)(data[0] | data[1] << 8) % 300, &pieces);
  FUZZ_CHECK(whole.requests == pieces.requests && whole.bodies == pieces.bodies && whole.used == pieces.used);
  FUZZ_CHECK(whole.last == pieces.last && whole.why.status == pieces.why.status);
  FUZZ_CHECK(strcmp(whole.why.text, pieces.why.text) == 0);
  FUZZ_CHECK(whole.decoded.len == pieces.decoded.len);
  if (whole.decoded.len > 0) FUZZ_CHECK(memcmp(whole.decoded.p, pieces.decoded.p, whole.decoded.len) == 0);
  obs_buf_fini(&whole.decoded);
  obs_buf_fini(&pieces.decoded);
  return 0;
}
