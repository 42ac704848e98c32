#include "outbound/gateway.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct post {
  struct post *next;
  uint32_t len;
  char body[];
} post;

struct obs_gateway {
  obs_calls *calls;
  obs_buf url; /* of the log */
  uint32_t timeout_ms;
  pthread_t thread;
  bool running;

  pthread_mutex_t lock; /* of what follows; never held during a call */
  pthread_cond_t wake;  /* of the thread: there is a post, or it is to end; of who stops it: all is sent */
  bool lock_made, wake_made;
  post *first, *last;
  uint32_t waiting;
  size_t bytes;
  bool sending, stopping;
  uint64_t dropped;
};

observer_err obs_gateway_open(const obs_gateway_opts *opts, obs_gateway **out) {
  obs_gateway *g = calloc(1, sizeof(*g));
  *out = NULL;
  if (g == NULL) return OBSERVER_E_NOMEM;
  g->calls = opts->calls;
  g->timeout_ms = opts->timeout_ms != 0 ? opts->timeout_ms : OBS_GATEWAY_TIMEOUT_MS;
  obs_gateway_url(&g->url, opts->url, "/log");
  g->lock_made = pthread_mutex_init(&g->lock, NULL) == 0;
  g->wake_made = obs_thread_cond_init(&g->wake) == OBSERVER_E_OK;
  if (g->url.oom || !g->lock_made || !g->wake_made) {
    obs_gateway_close(g);
    return OBSERVER_E_NOMEM;
  }
  *out = g;
  return OBSERVER_E_OK;
}

/* Under the lock. */
static post *take_first(obs_gateway *g) {
  post *p = g->first;
  g->first = p->next;
  if (g->first == NULL) g->last = NULL;
  g->waiting--;
  g->bytes -= p->len;
  return p;
}

static void *gateway_thread(void *arg) {
  obs_gateway *g = arg;
  pthread_mutex_lock(&g->lock);
  for (;;) {
    if (g->first == NULL) {
      if (g->stopping) break;
      pthread_cond_wait(&g->wake, &g->lock);
      continue;
    }
    post *p = take_first(g);
    g->sending = true;
    pthread_mutex_unlock(&g->lock);
    const obs_call call = {.service = OBS_SERVICE_GATEWAY,
                           .purpose = "log",
                           .url = g->url.p,
                           .body = {p->body, p->len, 0},
                           .timeout_ms = g->timeout_ms};
    obs_call_answer answer;
    if (!obs_calls_post(g->calls, &call, &answer) && answer.end != OBS_CALL_BREAKER && answer.end != OBS_CALL_STOPPED)
      obs_log_warn("learn", "a post to the gateway failed: %s", answer.error);
    obs_call_answer_fini(&answer);
    free(p);
    pthread_mutex_lock(&g->lock);
    g->sending = false;
    pthread_cond_broadcast(&g->wake);
  }
  pthread_mutex_unlock(&g->lock);
  return NULL;
}

observer_err obs_gateway_start(obs_gateway *g) {
  if (g == NULL) return OBSERVER_E_OK;
  observer_err err = obs_thread_start(&g->thread, "obs:gateway", gateway_thread, g);
  g->running = err == OBSERVER_E_OK;
  return err;
}

void obs_gateway_log(obs_gateway *g, obs_str operation, obs_str approach, obs_str result, obs_str context) {
  if (g == NULL) return;
  obs_buf body = {0};
  obs_json_writer w = obs_json_write(&body);
  obs_json_object(&w, NULL);
  obs_json_text(&w, "operation", operation);
  obs_json_text(&w, "approach", approach);
  obs_json_text(&w, "result", result);
  obs_json_text(&w, "context", context);
  obs_json_end(&w);
  post *p = body.oom ? NULL : malloc(sizeof(*p) + body.len);
  if (p != NULL) {
    p->next = NULL;
    p->len = (uint32_t)body.len;
    memcpy(p->body, body.p, body.len);
  }
  obs_buf_fini(&body);

  /* The newest is dropped, not the oldest: the gateway's log has no gaps before it. */
  pthread_mutex_lock(&g->lock);
  if (p == NULL || g->stopping || g->waiting == OBS_GATEWAY_POSTS || g->bytes + p->len > OBS_GATEWAY_BYTES) {
    g->dropped++;
    pthread_mutex_unlock(&g->lock);
    free(p);
    return;
  }
  if (g->last != NULL)
    g->last->next = p;
  else
    g->first = p;
  g->last = p;
  g->waiting++;
  g->bytes += p->len;
  pthread_cond_broadcast(&g->wake);
  pthread_mutex_unlock(&g->lock);
}

void obs_gateway_stop(obs_gateway *g, uint32_t deadline_ms) {
  if (g == NULL) return;
  uint64_t until = obs_clock_mono_ms() + deadline_ms, now;
  pthread_mutex_lock(&g->lock);
  while (g->running && (g->first != NULL || g->sending) && (now = obs_clock_mono_ms()) < until)
    obs_thread_cond_wait_ms(&g->wake, &g->lock, until - now);
  uint32_t lost = g->waiting;
  while (g->first != NULL) free(take_first(g));
  g->dropped += lost;
  g->stopping = true;
  pthread_cond_broadcast(&g->wake);
  pthread_mutex_unlock(&g->lock);
  if (lost > 0)
    obs_log_warn("learn", "%" PRIu32 " post%s to the gateway dropped at the stop", lost, lost == 1 ? "" : "s");
}

void obs_gateway_close(obs_gateway *g) {
  if (g == NULL) return;
  if (g->lock_made && g->wake_made) obs_gateway_stop(g, 0);
  if (g->running) pthread_join(g->thread, NULL);
  if (g->wake_made) pthread_cond_destroy(&g->wake);
  if (g->lock_made) pthread_mutex_destroy(&g->lock);
  obs_buf_fini(&g->url);
  free(g);
}

void obs_gateway_get_counts(obs_gateway *g, obs_gateway_counts *out) {
  *out = (obs_gateway_counts){0};
  if (g == NULL) return;
  pthread_mutex_lock(&g->lock);
  *out = (obs_gateway_counts){g->waiting, g->dropped};
  pthread_mutex_unlock(&g->lock);
}

void obs_gateway_url(obs_buf *out, const char *base, const char *path) {
  size_t len = strlen(base);
  while (len > 0 && base[len - 1] == '/') len--;
  obs_buf_append(out, base, len);
  obs_buf_append(out, path, strlen(path) + 1);
}

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
