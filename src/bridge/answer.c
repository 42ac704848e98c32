#include "bridge/answer.h"

#include <observer/error.h>
#include <stdarg.h>
#include <stdio.h>

const uint16_t obs_answer_statuses[OBS_ANSWER_STATUSES] = {
#define OBS_ANSWER_NUMBER(status, reason) status,
    OBS_ANSWER_STATUS_MAP(OBS_ANSWER_NUMBER)
#undef OBS_ANSWER_NUMBER
};

static const char *reason_of(uint16_t status) {
  static const char *const reasons[OBS_ANSWER_STATUSES] = {
#define OBS_ANSWER_REASON(status, reason) reason,
      OBS_ANSWER_STATUS_MAP(OBS_ANSWER_REASON)
#undef OBS_ANSWER_REASON
  };
  for (size_t i = 0; i < OBS_ANSWER_STATUSES; i++)
    if (obs_answer_statuses[i] == status) return reasons[i];
  return "Unknown";
}

void obs_answer_init(obs_answer *a) {
  *a = (obs_answer){.status = 200};
}

void obs_answer_later(obs_answer *a) {
  *a = (obs_answer){.status = 202, .retry_after = 1};
}

void obs_answer_fail(obs_answer *a, uint16_t status) {
  a->status = status;
  a->close = true;
  a->retry_after = status == 503 ? 1 : 0;
}

void obs_answer_error(obs_answer *a, obs_buf *body, uint16_t status, const char *fmt, ...) {
  char text[256];
  va_list args;
  va_start(args, fmt);
  int n = vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  obs_answer_fail(a, status);
  obs_buf_reset(body, body->cap);
  obs_buf_puts(body, "{\"error\":");
  obs_buf_json_cstr(body, n < 0 ? "internal error" : text);
  obs_buf_putc(body, '}');
}

void obs_answer_no_memory(obs_answer *a, obs_buf *body) {
  obs_answer_error(a, body, 503, "%s", observer_strerror(OBSERVER_E_NOMEM));
}

size_t obs_answer_head(const obs_answer *a, size_t length, char *out, size_t size) {
  char retry[32] = "";
  if (a->retry_after > 0) (void)snprintf(retry, sizeof retry, "retry-after: %u\r\n", (unsigned)a->retry_after);
  int n =
      snprintf(out, size, "HTTP/1.1 %u %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n%s%s%s%s%s\r\n",
               (unsigned)a->status, reason_of(a->status), length, a->allow ? "allow: " : "", a->allow ? a->allow : "",
               a->allow ? "\r\n" : "", retry, a->close ? "connection: close\r\n" : "");
  return n > 0 && (size_t)n < size ? (size_t)n : 0;
}
