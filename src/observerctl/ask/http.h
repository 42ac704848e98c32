/* Questions to the daemon's HTTP bridge, with libcurl. One thread at a time. */
#ifndef OBS_OBSERVERCTL_HTTP_H
#define OBS_OBSERVERCTL_HTTP_H

#include "base/buf.h"

#include <cjson/cJSON.h>

typedef struct {
  long status;     /* HTTP status; 0: there was no answer */
  obs_buf body;    /* NUL-terminated beyond its length */
  char error[256]; /* status 0 or not 2xx: what went wrong, for a person: "http://127.0.0.1:3800: Connection refused" or
                      the daemon's own words, which are to be shown by text.h only */
} obs_http_answer;

/* GET base + path; `path` starts with a slash. True: status is 2xx. Fini in either case. */
bool obs_http_get(const char *base, const char *path, uint32_t timeout_ms, obs_http_answer *out);
/* POST of `len` bytes of `content_type`. */
bool obs_http_post(const char *base, const char *path, const char *content_type, const void *body, size_t len,
                   uint32_t timeout_ms, obs_http_answer *out);
void obs_http_answer_fini(obs_http_answer *a);

/* Asked about once a second while a request is under way; true gives it up. NULL: nobody is asked (the default). */
void obs_http_set_stop(bool (*stop)(void *arg), void *arg);

/* GET and parse. NULL: `error` says why. The caller deletes the result. */
cJSON *obs_http_get_json(const char *base, const char *path, uint32_t timeout_ms, char *error, size_t size);

/* Appends `name=value` to a path, escaped, with `?` or `&` before it. */
void obs_http_param(obs_buf *path, const char *name, const char *value);

#endif
