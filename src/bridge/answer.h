/* An answer's status and headers; its body is the session's `out` buffer. */
#ifndef OBS_BRIDGE_ANSWER_H
#define OBS_BRIDGE_ANSWER_H

#include "base/buf.h"

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
/* The status of an error whose body the caller writes. */
void obs_answer_fail(obs_answer *a, uint16_t status);
/* Writes the head for a body of `length` bytes. Returns its length, 0 when `size` is too small. */
size_t obs_answer_head(const obs_answer *a, size_t length, char *out, size_t size);

#endif
