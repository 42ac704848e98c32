/* The head of a request, checked: what NNG's parser lets through and a strict server must not. */
#ifndef OBS_BRIDGE_REQUEST_H
#define OBS_BRIDGE_REQUEST_H

#include "bridge/answer.h"

#include <nng/nng.h>
#include <nng/supplemental/http/http.h>

/* Strings are views into the nng_http_req. */
typedef struct {
  const char *method;
  obs_str path, query;         /* as sent, without the `?` */
  const char *content_type;    /* NULL: none */
  uint64_t length;             /* of the body */
  bool has_length, head, keep; /* HEAD; the client lets the connection stay */
  bool expects_continue;
  bool blank; /* an empty line where a request was expected: to be skipped */
} obs_request;

/* False: `a` and `body` are the error to answer; the rest of the connection's bytes means nothing then. */
bool obs_request_read(obs_request *r, nng_http_req *req, obs_answer *a, obs_buf *body);

#endif
