/* What requests and mail share. */
#ifndef OBS_HTTP_INTERNAL_H
#define OBS_HTTP_INTERNAL_H

#include "http/http.h"

#include <curl/curl.h>

enum { OBS_HTTP_CONNECT_MS = 5000 };

struct obs_http {
  CURL *easy;
  CURLM *multi; /* its pool keeps the connection between requests */
};

/* Runs until what was added is done, or the request is stopped (ABORTED_BY_CALLBACK). */
CURLcode obs_http_drive(CURLM *multi, const obs_http_request *request);
/* What became of a request that has no reply. The reason is the system's own word where there is one ("Connection
 * refused"): libcurl's repeats host and port, which callers name already. */
void obs_http_explain(CURL *curl, CURLcode rc, const char *detail, const obs_http_request *request, bool too_long,
                      obs_http_reply *out);

#endif
