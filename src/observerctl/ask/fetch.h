/* Requests to the daemon's HTTP bridge. One thread at a time; one connection, kept from request to request. */
#ifndef OBS_OBSERVERCTL_FETCH_H
#define OBS_OBSERVERCTL_FETCH_H

#include "base/buf.h"

#include <cjson/cJSON.h>

typedef struct {
  long status;     /* HTTP status; 0: there was no answer */
  obs_buf body;    /* NUL-terminated beyond its length */
  char error[256]; /* status 0 or not 2xx: what went wrong, for a person: "http://127.0.0.1:3800: Connection refused" or
                      the daemon's own words, which are to be shown by text.h only */
} obs_fetch_answer;

/* Appends base + path with a NUL, as libcurl takes it. `base` is http://, https://, HOST[:PORT], or ipc:///PATH: then
 * the result is the path of the Unix socket, else NULL. */
const char *obs_fetch_url(const char *base, const char *path, obs_buf *url);

/* GET base + path; `path` starts with a slash. True: status is 2xx. Fini in either case. */
bool obs_fetch_get(const char *base, const char *path, uint32_t timeout_ms, obs_fetch_answer *out);
/* POST of JSON text; NULL: GET. */
bool obs_fetch_post(const char *base, const char *path, const obs_buf *json, uint32_t timeout_ms,
                    obs_fetch_answer *out);
bool obs_fetch_delete(const char *base, const char *path, uint32_t timeout_ms, obs_fetch_answer *out);
void obs_fetch_answer_fini(obs_fetch_answer *a);
/* GET and parse. NULL: `error` has the reason. The caller deletes the result. */
cJSON *obs_fetch_json(const char *base, const char *path, uint32_t timeout_ms, char *error, size_t size);

/* Called about once a second during a request; true gives the request up. NULL: requests are not given up. */
void obs_fetch_set_stop(bool (*stop)(void *arg), void *arg);

/* The key that goes with every request from now on, which must not change meanwhile. NULL: none. */
void obs_fetch_set_key(const char *key);
/* The header lines of a request: its type (NULL: none) and, in `room`, the key. Then NULL. `room` may run out of
 * memory.
 */
enum { OBS_FETCH_HEADERS = 3 };
void obs_fetch_headers(const char *type, obs_buf *room, const char *lines[OBS_FETCH_HEADERS]);
void obs_fetch_headers_fini(obs_buf *room);

/* Appends a value to a path, escaped. */
void obs_fetch_value(obs_buf *path, const char *value);
/* Appends `name=value` to a path, escaped, with `?` or `&` before it. */
void obs_fetch_param(obs_buf *path, const char *name, const char *value);

/* One row of a page, {"<rows>":[{"<number>":N,"<row>":{...}},...],"next_cursor":...}: as recorded, so not through a
 * parser that would write numbers its own way. `edge`: of a fleet, whose number it is; else empty. False: no more of
 * them.
 */
typedef bool (*obs_fetch_row)(void *arg, obs_str edge, uint64_t number, const char *row, size_t len);
/* Asks for page after page of `path`, which has the filters, until `limit` rows were given (0: all), `fn` wants no
 * more, none is left, or the monotonic clock is past `until_ms` (0: it does not matter). *more: others would follow.
 * False: out->error says why. Fini of `out` in either case. */
bool obs_fetch_pages(const char *base, const obs_buf *path, uint64_t limit, uint64_t until_ms, uint32_t timeout_ms,
                     obs_fetch_row fn, void *arg, bool *more, obs_fetch_answer *out);

#endif
