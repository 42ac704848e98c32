/* An answer's status and headers; its body is the connection's `out` buffer. */
#ifndef OBS_BRIDGE_ANSWER_H
#define OBS_BRIDGE_ANSWER_H

#include "base/buf.h"

/* What the bridge answers, ascending. */
#define OBS_ANSWER_STATUS_MAP(X)                                                                                       \
  X(200, "OK")                                                                                                         \
  X(202, "Accepted")                                                                                                   \
  X(400, "Bad Request")                                                                                                \
  X(404, "Not Found")                                                                                                  \
  X(405, "Method Not Allowed")                                                                                         \
  X(411, "Length Required")                                                                                            \
  X(413, "Content Too Large")                                                                                          \
  X(417, "Expectation Failed")                                                                                         \
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

typedef struct {
  uint16_t status;
  bool close;           /* after this answer; always on an error */
  uint16_t retry_after; /* seconds; 0: no header */
  const char *allow;    /* NULL: no header */
} obs_answer;

/* 200, keeping the connection. */
void obs_answer_init(obs_answer *a);
/* 202, keeping the connection: ask again after a second. */
void obs_answer_later(obs_answer *a);
/* An error: `{"error":"..."}`, and the connection closes. A 503 asks for a retry after a second. */
void obs_answer_error(obs_answer *a, obs_buf *body, uint16_t status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* 503: out of memory. */
void obs_answer_no_memory(obs_answer *a, obs_buf *body);
/* The status of an error whose body the caller writes. */
void obs_answer_fail(obs_answer *a, uint16_t status);
/* Writes the head for a body of `length` bytes. Returns its length, 0 when `size` is too small. */
size_t obs_answer_head(const obs_answer *a, size_t length, char *out, size_t size);

#endif
