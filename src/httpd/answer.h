/* An answer's status and headers; its body is the request's `out`. */
#ifndef OBS_HTTPD_ANSWER_H
#define OBS_HTTPD_ANSWER_H

#include "base/buf.h"

/* What is answered, ascending. */
#define OBS_ANSWER_STATUS_MAP(X)                                                                                       \
  X(200, "OK")                                                                                                         \
  X(202, "Accepted")                                                                                                   \
  X(304, "Not Modified")                                                                                               \
  X(400, "Bad Request")                                                                                                \
  X(401, "Unauthorized")                                                                                               \
  X(403, "Forbidden")                                                                                                  \
  X(404, "Not Found")                                                                                                  \
  X(405, "Method Not Allowed")                                                                                         \
  X(408, "Request Timeout")                                                                                            \
  X(411, "Length Required")                                                                                            \
  X(413, "Content Too Large")                                                                                          \
  X(415, "Unsupported Media Type")                                                                                     \
  X(417, "Expectation Failed")                                                                                         \
  X(421, "Misdirected Request")                                                                                        \
  X(429, "Too Many Requests")                                                                                          \
  X(431, "Request Header Fields Too Large")                                                                            \
  X(500, "Internal Server Error")                                                                                      \
  X(501, "Not Implemented")                                                                                            \
  X(503, "Service Unavailable")                                                                                        \
  X(505, "HTTP Version Not Supported")

typedef enum {
#define OBS_ANSWER_PLACE(status, reason) OBS_ANSWER_PLACE_##status,
  OBS_ANSWER_STATUS_MAP(OBS_ANSWER_PLACE)
#undef OBS_ANSWER_PLACE
      OBS_ANSWER_STATUSES
} obs_answer_place;

/* A set of statuses: OBS_ANSWER_200 | OBS_ANSWER_400. */
enum {
#define OBS_ANSWER_BIT(status, reason) OBS_ANSWER_##status = 1 << OBS_ANSWER_PLACE_##status,
  OBS_ANSWER_STATUS_MAP(OBS_ANSWER_BIT)
#undef OBS_ANSWER_BIT
};

extern const uint16_t obs_answer_statuses[OBS_ANSWER_STATUSES];

/* One more header of an answer. */
typedef struct {
  const char *name, *value;
} obs_answer_header;

/* Which form of the body `out` is. */
typedef enum {
  OBS_ANSWER_AS_MADE, /* it is compressed for those who take that */
  OBS_ANSWER_PLAIN,   /* the plain one of two */
  OBS_ANSWER_PACKED   /* the one of two that is compressed */
} obs_answer_form;

typedef struct {
  uint16_t status;
  bool close;            /* after this answer; always on an error */
  bool plain;            /* never compressed: whoever answers has no time for that */
  uint16_t retry_after;  /* seconds; 0: no header */
  const char *allow;     /* NULL: no header */
  const char *challenge; /* www-authenticate; NULL: no header */

  /* Of the body; an error, which has another one, forgets them. */
  const char *type;                 /* content-type; NULL: application/json, whose body gets a newline at its end */
  const char *etag;                 /* NULL: no header */
  const obs_answer_header *headers; /* what else stands in the head: ends with a name NULL; NULL: nothing */
  obs_answer_form form;
} obs_answer;

/* 200, keeping the connection. */
void obs_answer_init(obs_answer *a);
/* 202, keeping the connection: ask again after a second. */
void obs_answer_later(obs_answer *a);
/* An error: `{"error":"..."}`, and the connection closes. A 429 and a 503 ask for a retry after a second. */
void obs_answer_error(obs_answer *a, obs_buf *body, uint16_t status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* 503: out of memory. */
void obs_answer_no_memory(obs_answer *a, obs_buf *body);
/* The status of an error whose body the caller writes. */
void obs_answer_fail(obs_answer *a, uint16_t status);

enum { OBS_ANSWER_HEAD_MAX = 1024 };

/* What the head says about the body and the connection besides. */
typedef struct {
  size_t length;
  bool gzip, varies; /* it is compressed; it depends on what the client takes */
  bool keeps_old;    /* an HTTP/1.0 client asked to stay */
} obs_answer_frame;

/* Writes the head, with the date. Returns its length; what the answer has of texts is short. A 304, which has no body,
 * says nothing of one. */
size_t obs_answer_head(const obs_answer *a, const obs_answer_frame *f, char out[OBS_ANSWER_HEAD_MAX]);
/* Compresses `in` to `out`. False: no memory, or it got no smaller; `in` stands as it was. */
bool obs_answer_gzip(const obs_buf *in, obs_buf *out);

#endif
