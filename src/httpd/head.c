#include "httpd/head.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

/* ---- bytes ---- */

enum {
  LINE = 1,       /* may stand in a line of a head */
  TOKEN = 2,      /* RFC 9110 5.6.2 */
  HOST = 4,       /* of a name or an IPv4 address; no comma, so that two hosts are not taken for one */
  UNRESERVED = 8, /* RFC 3986 2.3 */
  DIGIT = 16
};

#define ALNUM (LINE | TOKEN | HOST | UNRESERVED)

static const uint8_t kinds[256] = {
    ['0' ... '9'] = ALNUM | DIGIT,
    ['a' ... 'z'] = ALNUM,
    ['A' ... 'Z'] = ALNUM,
    ['-'] = ALNUM,
    ['.'] = ALNUM,
    ['_'] = ALNUM,
    ['~'] = ALNUM,
    ['!'] = LINE | TOKEN | HOST,
    ['$' ... '\''] = LINE | TOKEN | HOST,
    ['*' ... '+'] = LINE | TOKEN | HOST,
    ['#'] = LINE | TOKEN,
    ['^'] = LINE | TOKEN,
    ['`'] = LINE | TOKEN,
    ['|'] = LINE | TOKEN,
    ['(' ... ')'] = LINE | HOST,
    [';'] = LINE | HOST,
    ['='] = LINE | HOST,
    ['\t'] = LINE,
    [' '] = LINE,
    ['"'] = LINE,
    [','] = LINE,
    ['/'] = LINE,
    [':'] = LINE,
    ['<'] = LINE,
    ['>' ... '@'] = LINE,
    ['[' ... ']'] = LINE,
    ['{'] = LINE,
    ['}'] = LINE,
    [0x80 ... 0xff] = LINE,
};

static bool is(char c, unsigned kind) {
  return (kinds[(uint8_t)c] & kind) != 0;
}

static bool all(obs_str s, unsigned kind) {
  for (uint32_t i = 0; i < s.len; i++)
    if (!is(s.p[i], kind)) return false;
  return true;
}

static bool same(obs_str s, const char *text) {
  size_t n = strlen(text);
  return s.len == n && strncasecmp(s.p, text, n) == 0;
}

bool obs_httpd_refuse(obs_httpd_fault *why, uint16_t status, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  (void)vsnprintf(why->text, sizeof why->text, fmt, args);
  va_end(args);
  why->status = status;
  return false;
}

/* ---- the scan ---- */

const obs_httpd_scan obs_httpd_scan_trailers = {.lines = 1};

static obs_httpd_step wrong(obs_httpd_fault *why, uint16_t status, const char *text) {
  (void)obs_httpd_refuse(why, status, "%s", text);
  return OBS_HTTPD_WRONG;
}

obs_httpd_step obs_httpd_scan_head(obs_httpd_scan *s, const uint8_t *p, size_t len, size_t *used,
                                   obs_httpd_fault *why) {
  size_t room = OBS_HTTPD_HEAD_BYTES - s->bytes, end = len < room ? len : room, i = 0;
  *used = 0;
  while (i < end) {
    if (!s->cr) {
      size_t from = i;
      while (i < end && (kinds[p[i]] & LINE) != 0) i++;
      s->line += (uint32_t)(i - from);
      if (i == end) break;
      if (p[i] == '\n') return wrong(why, 400, "head: a line must end in CR LF");
      if (p[i] != '\r') return wrong(why, 400, "head: contains a control byte");
      s->cr = true;
      i++;
      continue;
    }
    if (p[i++] != '\n') return wrong(why, 400, "head: a line must end in CR LF");
    s->cr = false;
    if (s->line > 0) {
      s->line = 0;
      if (++s->lines > OBS_HTTPD_HEADERS + 1) return wrong(why, 431, "head: more than 100 headers");
    } else if (s->lines > 0) {
      s->bytes += (uint32_t)i;
      *used = i;
      return OBS_HTTPD_DONE;
    } else if (s->skipped) {
      return wrong(why, 400, "head: empty lines before the request line");
    } else {
      s->skipped = true;
    }
  }
  s->bytes += (uint32_t)i;
  *used = i;
  if (s->bytes == OBS_HTTPD_HEAD_BYTES) return wrong(why, 431, "head: larger than 16384 bytes");
  return OBS_HTTPD_MORE;
}

/* ---- the request line ---- */

/* Takes one line off `rest`, without its CR LF. False: there is none. */
static bool next_line(obs_str *rest, obs_str *line) {
  const char *cr = rest->len > 0 ? memchr(rest->p, '\r', rest->len) : NULL;
  size_t n = cr != NULL ? (size_t)(cr - rest->p) : 0;
  if (cr == NULL || n + 1 >= rest->len || cr[1] != '\n') return false;
  *line = obs_str_slice(*rest, 0, (uint32_t)n);
  *rest = obs_str_slice(*rest, (uint32_t)n + 2, UINT32_MAX);
  return true;
}

/* Takes what stands before the first `at` off `rest`, and the separator. False: there is no separator. */
static bool cut(obs_str *rest, char at, obs_str *out) {
  const char *found = rest->len > 0 ? memchr(rest->p, at, rest->len) : NULL;
  if (found == NULL) return false;
  uint32_t n = (uint32_t)(found - rest->p);
  *out = obs_str_slice(*rest, 0, n);
  *rest = obs_str_slice(*rest, n + 1, UINT32_MAX);
  return true;
}

static bool read_version(obs_httpd_head *h, obs_str v, obs_httpd_fault *why) {
  if (v.len != 8 || memcmp(v.p, "HTTP/", 5) != 0 || !is(v.p[5], DIGIT) || v.p[6] != '.' || !is(v.p[7], DIGIT))
    return obs_httpd_refuse(why, 400, "request line: must be METHOD TARGET HTTP/1.1");
  h->old = v.p[5] == '1' && v.p[7] == '0';
  if (!h->old && (v.p[5] != '1' || v.p[7] != '1'))
    return obs_httpd_refuse(why, 505, "HTTP version: must be 1.0 or 1.1");
  h->keep = !h->old;
  return true;
}

/* A name, an IPv4 address or [IPv6], and a port. */
static bool is_host(obs_str host) {
  obs_str name = host, port = {0};
  if (host.len > 0 && host.p[0] == '[') {
    const char *end = memchr(host.p, ']', host.len);
    if (end == NULL) return false;
    name = obs_str_slice(host, 1, (uint32_t)(end - host.p) - 1);
    obs_str rest = obs_str_slice(host, name.len + 2, UINT32_MAX);
    for (uint32_t i = 0; i < name.len; i++)
      if (strchr("0123456789abcdefABCDEF:.", name.p[i]) == NULL || name.p[i] == '\0') return false;
    if (rest.len == 0) return name.len > 0;
    if (rest.p[0] != ':') return false;
    port = obs_str_slice(rest, 1, UINT32_MAX);
  } else {
    const char *colon = host.len > 0 ? memchr(host.p, ':', host.len) : NULL;
    if (colon != NULL) {
      name = obs_str_slice(host, 0, (uint32_t)(colon - host.p));
      port = obs_str_slice(host, name.len + 1, UINT32_MAX);
    }
    if (!all(name, HOST)) return false;
    if (colon == NULL) return name.len > 0;
  }
  if (name.len == 0 || port.len == 0 || port.len > 5 || !all(port, DIGIT)) return false;
  uint32_t n = 0;
  for (uint32_t i = 0; i < port.len; i++) n = n * 10 + (uint32_t)(port.p[i] - '0');
  return n <= 65535;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Decodes what the RFC calls equal, in place; the rest keeps its escapes, so that `%2F` is no slash. */
static bool decode_path(obs_str *path, obs_httpd_fault *why) {
  char *bytes = (char *)path->p; /* the head's own bytes, which the caller gave to be changed */
  uint32_t n = 0;
  if (memchr(bytes, '%', path->len) == NULL) return true;
  for (uint32_t i = 0; i < path->len; i++) {
    char c = bytes[i];
    if (c == '%') {
      int high = path->len - i > 2 ? hex_digit(bytes[i + 1]) : -1, low = high >= 0 ? hex_digit(bytes[i + 2]) : -1;
      if (low < 0) return obs_httpd_refuse(why, 400, "request target: invalid percent-escape");
      char plain = (char)(high << 4 | low);
      if (is(plain, UNRESERVED)) {
        c = plain;
        i += 2;
      }
    }
    bytes[n++] = c;
  }
  path->len = n;
  return true;
}

/* A part of dots would be resolved by some and not by others. */
static bool has_dot_part(obs_str path) {
  for (uint32_t i = 0; i < path.len;) {
    const char *slash = memchr(path.p + i, '/', path.len - i);
    uint32_t end = slash != NULL ? (uint32_t)(slash - path.p) : path.len;
    if ((end - i == 1 && path.p[i] == '.') || (end - i == 2 && path.p[i] == '.' && path.p[i + 1] == '.')) return true;
    i = end + 1;
  }
  return false;
}

/* `/path?query`, `http://host/path?query` (its host stands for Host), or `*` of OPTIONS. */
static bool read_target(obs_httpd_head *h, obs_str target, obs_httpd_fault *why) {
  if (target.len == 0) return obs_httpd_refuse(why, 400, "request target: missing");
  for (uint32_t i = 0; i < target.len; i++) {
    if ((uint8_t)target.p[i] <= ' ' || (uint8_t)target.p[i] >= 0x7f || target.p[i] == '#')
      return obs_httpd_refuse(why, 400, "request target: must be ASCII, without white space or #");
  }
  if (obs_str_is(target, "*") && obs_str_is(h->method, "OPTIONS")) {
    h->path = target;
    return true;
  }
  uint32_t scheme = same(obs_str_slice(target, 0, 7), "http://")    ? 7
                    : same(obs_str_slice(target, 0, 8), "https://") ? 8
                                                                    : 0;
  if (scheme > 0) {
    target = obs_str_slice(target, scheme, UINT32_MAX);
    const char *slash = memchr(target.p, '/', target.len);
    if (slash == NULL) return obs_httpd_refuse(why, 400, "request target: needs a slash after the host");
    h->host = obs_str_slice(target, 0, (uint32_t)(slash - target.p));
    if (!is_host(h->host)) return obs_httpd_refuse(why, 400, "request target: its host is malformed");
    target = obs_str_slice(target, h->host.len, UINT32_MAX);
  }
  if (target.p[0] != '/') return obs_httpd_refuse(why, 400, "request target: must start with a slash");
  h->path = target;
  h->query = obs_str_slice(target, target.len, 0);
  obs_str path;
  if (cut(&target, '?', &path)) {
    h->path = path;
    h->query = target;
  }
  if (!decode_path(&h->path, why)) return false;
  if (has_dot_part(h->path)) return obs_httpd_refuse(why, 400, "request target: must not contain . or .. segments");
  return true;
}

static bool read_request_line(obs_httpd_head *h, obs_str line, obs_httpd_fault *why) {
  obs_str target;
  if (!cut(&line, ' ', &h->method) || h->method.len == 0 || !all(h->method, TOKEN))
    return obs_httpd_refuse(why, 400, "request line: must be METHOD TARGET HTTP/1.1");
  if (!cut(&line, ' ', &target)) return obs_httpd_refuse(why, 400, "request line: must be METHOD TARGET HTTP/1.1");
  if (target.len == 0) return obs_httpd_refuse(why, 400, "request target: missing");
  h->head = obs_str_is(h->method, "HEAD");
  return read_version(h, line, why) && read_target(h, target, why);
}

/* ---- headers ---- */

/* What is gathered over all headers. */
typedef struct {
  obs_httpd_head *h;
  obs_str host, encoding;
  bool close, keep_alive;
  bool has_encoding, coded; /* transfer-encoding, content-encoding came */
  int gzip, any;            /* thousandths of the quality that accept-encoding gives; -1: not named */
} fields;

static obs_str trim(obs_str v) {
  while (v.len > 0 && (v.p[0] == ' ' || v.p[0] == '\t')) v = obs_str_slice(v, 1, UINT32_MAX);
  while (v.len > 0 && (v.p[v.len - 1] == ' ' || v.p[v.len - 1] == '\t')) v.len--;
  return v;
}

/* The next member of a list; empty ones too. False: there are no more. `rest` p NULL: the list has ended. */
static bool next_member(obs_str *rest, obs_str *out) {
  if (rest->p == NULL) return false;
  if (!cut(rest, ',', out)) {
    *out = *rest;
    rest->p = NULL;
  }
  *out = trim(*out);
  return true;
}

static bool twice(obs_httpd_fault *why, const char *name) {
  return obs_httpd_refuse(why, 400, "%s: given twice", name);
}

static bool read_length(fields *f, obs_str v, obs_httpd_fault *why) {
  uint64_t n = 0;
  if (f->h->has_length) return twice(why, "content-length");
  if (v.len == 0 || v.len > 19 || !all(v, DIGIT)) /* 19 digits do not overflow */
    return obs_httpd_refuse(why, 400, "content-length: must be a number of bytes");
  for (uint32_t i = 0; i < v.len; i++) n = n * 10 + (uint64_t)(v.p[i] - '0');
  f->h->has_length = true;
  f->h->length = n;
  return true;
}

static void read_connection(fields *f, obs_str v) {
  obs_str token;
  while (next_member(&v, &token)) {
    f->close |= same(token, "close");
    f->keep_alive |= same(token, "keep-alive");
  }
}

/* "q=0.5" in thousandths; anything else is taken as 1, so that a strange list still gets an answer. */
static int quality(obs_str v) {
  v = trim(v);
  if (v.len < 3 || (v.p[0] != 'q' && v.p[0] != 'Q') || v.p[1] != '=' || v.p[2] != '0') return 1000;
  int n = 0, unit = 100;
  for (uint32_t i = 4; i < v.len && unit > 0 && is(v.p[i], DIGIT); i++, unit /= 10) n += unit * (v.p[i] - '0');
  return n;
}

int obs_httpd_accepts(obs_str accept, const char *type) {
  obs_str member, part;
  int best = 0;
  while (next_member(&accept, &member)) {
    obs_str params = member;
    bool has_params = cut(&params, ';', &part);
    if (!same(has_params ? trim(part) : member, type)) continue;
    int q = 1000;
    for (bool more = has_params; more;) {
      more = cut(&params, ';', &part);
      obs_str param = trim(more ? part : params);
      if (param.len > 1 && (param.p[0] == 'q' || param.p[0] == 'Q') && param.p[1] == '=') q = quality(param);
    }
    if (q > best) best = q;
  }
  return best;
}

static void read_accept_encoding(fields *f, obs_str v) {
  obs_str member, name;
  while (next_member(&v, &member)) {
    obs_str params = member;
    int q = cut(&params, ';', &name) ? quality(params) : 1000;
    name = params.p != member.p ? trim(name) : member;
    if (same(name, "gzip") || same(name, "x-gzip"))
      f->gzip = q;
    else if (same(name, "*"))
      f->any = q;
  }
}

static void read_coding(fields *f, obs_str v) {
  static const struct {
    const char *name;
    obs_httpd_coding coding;
  } codings[] = {{"identity", OBS_HTTPD_IDENTITY},
                 {"gzip", OBS_HTTPD_GZIP},
                 {"x-gzip", OBS_HTTPD_GZIP},
                 {"deflate", OBS_HTTPD_DEFLATE}};
  obs_httpd_coding found = OBS_HTTPD_UNKNOWN_CODING; /* also several of them, one after the other */
  for (size_t i = 0; i < sizeof codings / sizeof *codings; i++)
    if (same(v, codings[i].name)) found = codings[i].coding;
  f->h->coding = f->coded ? OBS_HTTPD_UNKNOWN_CODING : found;
  f->coded = true;
}

static bool read_text(obs_str *at, const char *name, obs_str v, obs_httpd_fault *why) {
  if (at->p != NULL) return twice(why, name);
  *at = v;
  return true;
}

/* One that comes twice with the same value is one. What two values mean is the application's to say, which may need
 * none. */
static void read_credential(fields *f, obs_str *at, obs_str v) {
  if (at->p != NULL && !obs_str_eq(*at, v)) f->h->many_credentials = true;
  *at = v;
}

/* One header of those that mean something here. */
static bool read_field(fields *f, obs_str name, obs_str v, obs_httpd_fault *why) {
  switch (name.len) {
  case 4:
    if (same(name, "host")) return read_text(&f->host, "host", v, why);
    break;
  case 6:
    if (same(name, "origin")) return read_text(&f->h->origin, "origin", v, why);
    if (same(name, "accept") && f->h->accept.p == NULL) f->h->accept = v;
    if (same(name, "expect")) {
      if (!same(v, "100-continue")) return obs_httpd_refuse(why, 417, "expect: only 100-continue is supported");
      f->h->expects_continue = !f->h->old;
    }
    break;
  case 9:
    if (same(name, "x-api-key")) read_credential(f, &f->h->api_key, v);
    break;
  case 10:
    if (same(name, "connection")) read_connection(f, v);
    break;
  case 12:
    if (same(name, "content-type")) return read_text(&f->h->content_type, "content-type", v, why);
    break;
  case 13:
    if (same(name, "authorization")) read_credential(f, &f->h->authorization, v);
    if (same(name, "if-none-match")) f->h->if_none_match = v;
    break;
  case 14:
    if (same(name, "content-length")) return read_length(f, v, why);
    break;
  case 15:
    if (same(name, "accept-encoding")) read_accept_encoding(f, v);
    break;
  case 16:
    if (same(name, "content-encoding")) read_coding(f, v);
    break;
  case 17:
    if (!same(name, "transfer-encoding")) break;
    if (f->has_encoding) return twice(why, "transfer-encoding");
    f->has_encoding = true;
    f->encoding = v;
    break;
  default:
    break;
  }
  return true;
}

static bool read_line(fields *f, obs_str line, obs_httpd_fault *why) {
  obs_str name;
  if (line.p[0] == ' ' || line.p[0] == '\t') return obs_httpd_refuse(why, 400, "header: must not be folded");
  if (!cut(&line, ':', &name)) return obs_httpd_refuse(why, 400, "header: needs a colon");
  if (name.len == 0) return obs_httpd_refuse(why, 400, "header: the name is missing");
  if (!all(name, TOKEN))
    return obs_httpd_refuse(why, 400, "header: the name must be a token, directly followed by a colon");
  return read_field(f, name, trim(line), why);
}

/* ---- what the headers mean together ---- */

/* `chunked` alone is served. A list in which it is not last, or comes twice, has no end that two readers agree on. */
static bool settle_framing(fields *f, obs_httpd_fault *why) {
  obs_httpd_head *h = f->h;
  if (!f->has_encoding) return true;
  if (h->old) return obs_httpd_refuse(why, 400, "transfer-encoding: not allowed in HTTP/1.0");
  if (h->has_length) return obs_httpd_refuse(why, 400, "transfer-encoding: not allowed together with content-length");
  h->chunked = same(f->encoding, "chunked");
  if (h->chunked) return true;
  obs_str rest = f->encoding, coding;
  bool ended = false, bad = false;
  while (next_member(&rest, &coding)) {
    bad |= ended || coding.len == 0 || !all(coding, TOKEN);
    ended |= same(coding, "chunked");
  }
  if (bad) return obs_httpd_refuse(why, 400, "transfer-encoding: chunked must be the last and only coding");
  return obs_httpd_refuse(why, 501, "transfer-encoding: only chunked is supported");
}

static bool settle_host(fields *f, obs_httpd_fault *why) {
  if (f->host.p == NULL) {
    if (!f->h->old) return obs_httpd_refuse(why, 400, "host: required");
    return true;
  }
  if (!is_host(f->host)) return obs_httpd_refuse(why, 400, "host: malformed");
  if (f->h->host.p == NULL) f->h->host = f->host;
  return true;
}

bool obs_httpd_head_parse(obs_httpd_head *h, char *bytes, size_t len, obs_httpd_fault *why) {
  fields f = {.h = h, .gzip = -1, .any = -1};
  obs_str rest = {bytes, (uint32_t)len, 0}, line;
  *h = (obs_httpd_head){0};
  if (len >= 2 && bytes[0] == '\r' && bytes[1] == '\n') rest = obs_str_slice(rest, 2, UINT32_MAX);
  if (!next_line(&rest, &line)) return obs_httpd_refuse(why, 400, "request line: must be METHOD TARGET HTTP/1.1");
  if (!read_request_line(h, line, why)) return false;
  while (next_line(&rest, &line) && line.len > 0)
    if (!read_line(&f, line, why)) return false;
  if (f.keep_alive) h->keep = true;
  if (f.close) h->keep = false;
  h->takes_gzip = f.gzip >= 0 ? f.gzip > 0 : f.any > 0;
  return settle_framing(&f, why) && settle_host(&f, why);
}
