#include "bridge/request.h"

#include <inttypes.h>
#include <strings.h>

/* NNG keeps a header's name as it was sent, so `Content-Length : 5` is none to it and its body would be read as a
 * request. White space around the names that frame a message is refused. */
static const char *const hidden_framing[] = {"Content-Length ", " Content-Length", "Transfer-Encoding ",
                                             " Transfer-Encoding"};

static bool check_version(obs_request *r, nng_http_req *req, obs_answer *a, obs_buf *body) {
  const char *version = nng_http_req_get_version(req);
  if (strcmp(version, "HTTP/1.1") == 0) {
    const char *connection = nng_http_req_get_header(req, "Connection");
    r->keep = connection == NULL || strcasestr(connection, "close") == NULL;
    return true;
  }
  if (strcmp(version, "HTTP/1.0") == 0) return true;
  obs_answer_error(a, body, 505, "HTTP version: must be 1.0 or 1.1");
  return false;
}

static bool parse_length(const char *text, uint64_t *out) {
  uint64_t v = 0;
  if (*text == '\0') return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9' || v > (UINT64_MAX - 9) / 10) return false;
    v = v * 10 + (uint64_t)(*text - '0');
  }
  *out = v;
  return true;
}

static bool check_framing(obs_request *r, nng_http_req *req, obs_answer *a, obs_buf *body) {
  for (size_t i = 0; i < sizeof hidden_framing / sizeof hidden_framing[0]; i++) {
    if (nng_http_req_get_header(req, hidden_framing[i]) == NULL) continue;
    obs_answer_error(a, body, 400, "header: white space around its name");
    return false;
  }
  if (nng_http_req_get_header(req, "Transfer-Encoding") != NULL) {
    obs_answer_error(a, body, 501, "transfer-encoding: not supported; send content-length");
    return false;
  }
  const char *length = nng_http_req_get_header(req, "Content-Length");
  r->has_length = length != NULL;
  if (length != NULL && !parse_length(length, &r->length)) {
    obs_answer_error(a, body, 400, "content-length: must be a number of bytes");
    return false;
  }
  const char *expect = nng_http_req_get_header(req, "Expect");
  r->expects_continue = expect != NULL && strcasecmp(expect, "100-continue") == 0;
  if (expect == NULL || r->expects_continue) return true;
  obs_answer_error(a, body, 417, "expect: only 100-continue is met");
  return false;
}

static bool check_host(nng_http_req *req, obs_answer *a, obs_buf *body) {
  const char *host = nng_http_req_get_header(req, "Host");
  if (host == NULL && strcmp(nng_http_req_get_version(req), "HTTP/1.1") == 0) {
    obs_answer_error(a, body, 400, "host: required");
    return false;
  }
  if (host != NULL && strchr(host, ',') != NULL) { /* NNG joins repeated headers so */
    obs_answer_error(a, body, 400, "host: given twice");
    return false;
  }
  return true;
}

/* Origin form (`/path?query`) or absolute form (`http://host/path?query`). */
static bool split_target(obs_request *r, const char *uri, obs_answer *a, obs_buf *body) {
  if (strncasecmp(uri, "http://", 7) == 0) {
    uri += 7 + strcspn(uri + 7, "/?");
    if (*uri != '/') {
      r->path = OBS_STR("/");
      r->query = (obs_str){*uri == '?' ? uri + 1 : uri, (uint32_t)strlen(*uri == '?' ? uri + 1 : uri), 0};
      return true;
    }
  }
  if (*uri != '/') {
    obs_answer_error(a, body, 400, "request target: must start with a slash");
    return false;
  }
  size_t path = strcspn(uri, "?");
  r->path = (obs_str){uri, (uint32_t)path, 0};
  const char *query = uri[path] == '?' ? uri + path + 1 : uri + path;
  r->query = (obs_str){query, (uint32_t)strlen(query), 0};
  return true;
}

bool obs_request_read(obs_request *r, nng_http_req *req, obs_answer *a, obs_buf *body) {
  const char *uri = nng_http_req_get_uri(req);
  *r = (obs_request){.method = nng_http_req_get_method(req)};
  r->blank = *uri == '\0';
  if (r->blank) return true;
  r->head = strcmp(r->method, "HEAD") == 0;
  r->content_type = nng_http_req_get_header(req, "Content-Type");
  return check_version(r, req, a, body) && check_framing(r, req, a, body) && check_host(req, a, body) &&
         split_target(r, uri, a, body);
}
