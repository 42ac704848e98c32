#include "learn/publish.h"

#include "base/log.h"
#include "base/utf8.h"

obs_str obs_gateway_cut(obs_str text, uint32_t units) {
  uint32_t at = 0;
  while (at < text.len) {
    uint32_t n = (uint32_t)obs_utf8_char(text.p + at, text.len - at);
    uint32_t takes = n == 4 ? 2 : 1;
    if (n == 0 || takes > units) break;
    units -= takes;
    at += n;
  }
  text.len = at;
  return text;
}

static void put_member(obs_buf *out, const char *name, obs_str text) {
  obs_buf_puts(out, name);
  obs_buf_json_str(out, text);
}

void obs_publish_url(obs_buf *out, const char *base, const char *path) {
  size_t len = strlen(base);
  while (len > 0 && base[len - 1] == '/') len--;
  obs_buf_append(out, base, len);
  obs_buf_append(out, path, strlen(path) + 1);
}

static bool post(const obs_gateway *g, const char *url, const obs_buf *body) {
  obs_call call = {.service = OBS_SERVICE_GATEWAY,
                   .purpose = "log",
                   .url = url,
                   .body = {body->p, (uint32_t)body->len, 0},
                   .timeout_ms = g->timeout_ms};
  obs_call_answer answer;
  bool ok = obs_calls_post(g->calls, &call, &answer);
  if (!ok && answer.end != OBS_CALL_BREAKER && answer.end != OBS_CALL_STOPPED)
    obs_log_warn("learn", "the gateway was not told: %s", answer.error);
  obs_call_answer_fini(&answer);
  return ok;
}

bool obs_gateway_log(const obs_gateway *g, obs_str operation, obs_str approach, obs_str result, obs_str context) {
  obs_buf body = {0}, url = {0};
  bool ok = false;
  if (g->url == NULL) return false;
  obs_publish_url(&url, g->url, "/log");
  put_member(&body, "{\"operation\":", operation);
  put_member(&body, ",\"approach\":", approach);
  put_member(&body, ",\"result\":", result);
  put_member(&body, ",\"context\":", context);
  obs_buf_putc(&body, '}');
  if (!url.oom && !body.oom) ok = post(g, url.p, &body);
  obs_buf_fini(&url);
  obs_buf_fini(&body);
  return ok;
}
