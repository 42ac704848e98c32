/* Who answers (ask.h). libnats' thread says that a question was heard, and notes it; obs:answer runs it. */
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "fleet/ask.h"
#include "http/http.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { REPLY_MAX = 96, SUBJECT_MAX = REPLY_MAX + OBS_FLEET_ASK_WHO_MAX + 64, NICE = 5 };

typedef struct request {
  struct request *next;
  uint64_t came_ms;
  char reply[REPLY_MAX];
  char target[]; /* ends with a NUL */
} request;

struct obs_fleet_answerer {
  obs_nats *nats;
  char who[OBS_FLEET_ASK_WHO_MAX + 1];
  char *socket;
  obs_nats_listener *listener;
  obs_http *http;
  int stop_fd; /* eventfd, readable once it is stopping */
  _Atomic bool stopping;
  pthread_t thread;
  bool started;
  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t woken;
  request *first, **last;
  uint32_t waiting;
  obs_fleet_answerer_counts counts;
};

static void count(obs_fleet_answerer *a, uint64_t *what) {
  pthread_mutex_lock(&a->lock);
  ++*what;
  pthread_mutex_unlock(&a->lock);
}

/* Part k of n. False: NATS does not take it. */
static bool send_part(obs_fleet_answerer *a, const char *reply, long status, size_t k, size_t n, obs_str part) {
  char subject[SUBJECT_MAX];
  (void)snprintf(subject, sizeof subject, "%s.%s.%ld.%zu.%zu", reply, a->who, status, k, n);
  return obs_nats_send(a->nats, subject, NULL, part.p, part.len) == OBSERVER_E_OK;
}

static bool send_error(obs_fleet_answerer *a, const char *reply, long status, const char *why) {
  obs_buf body = {0};
  obs_buf_puts(&body, "{\"error\":");
  obs_buf_json_cstr(&body, why);
  obs_buf_puts(&body, "}");
  bool sent = !body.oom && send_part(a, reply, status, 0, 1, obs_buf_view(&body));
  obs_buf_fini(&body);
  return sent;
}

/* Takes it over. False: there is no room. */
static bool enqueue(obs_fleet_answerer *a, request *r) {
  pthread_mutex_lock(&a->lock);
  bool room = a->waiting < OBS_FLEET_ASK_WAITING && !atomic_load(&a->stopping);
  if (room) {
    *a->last = r;
    a->last = &r->next;
    a->waiting++;
    pthread_cond_signal(&a->woken);
  }
  pthread_mutex_unlock(&a->lock);
  return room;
}

/* On libnats' thread. */
static void on_question(void *arg, const char *subject, const char *reply, const void *data, size_t len) {
  obs_fleet_answerer *a = arg;
  char target[OBS_FLEET_ASK_TARGET + 1];
  (void)subject;
  if (reply == NULL || strlen(reply) >= REPLY_MAX) {
    count(a, &a->counts.refused);
    return;
  }
  obs_fleet_asked asked = obs_fleet_ask_read(data, len, a->who, target);
  if (asked == OBS_FLEET_ASK_OTHERS) return;
  if (asked == OBS_FLEET_ASK_WRONG) {
    count(a, &a->counts.refused);
    (void)send_error(a, reply, 400, "what was asked is no target of this fleet's version");
    return;
  }
  request *r = malloc(sizeof *r + strlen(target) + 1);
  if (r != NULL) {
    *r = (request){.came_ms = obs_clock_mono_ms()};
    memcpy(r->reply, reply, strlen(reply) + 1);
    memcpy(r->target, target, strlen(target) + 1);
  }
  if (r != NULL && enqueue(a, r)) {
    (void)send_part(a, reply, 102, 0, 0, OBS_STR("")); /* the answer itself will tell whether NATS takes any */
    return;
  }
  free(r);
  count(a, &a->counts.dropped);
  (void)send_error(a, reply, 503, "too many questions of the fleet are waiting");
}

static bool is_stopping(void *arg) {
  const obs_fleet_answerer *a = arg;
  return atomic_load(&a->stopping);
}

static bool send_body(obs_fleet_answerer *a, const char *reply, long status, obs_str body) {
  size_t n = body.len > 0 ? (body.len + OBS_FLEET_ASK_PART - 1) / OBS_FLEET_ASK_PART : 1;
  bool sent = true;
  for (size_t k = 0; sent && k < n; k++)
    sent =
        send_part(a, reply, status, k, n, obs_str_slice(body, (uint32_t)(k * OBS_FLEET_ASK_PART), OBS_FLEET_ASK_PART));
  return sent;
}

/* The bridge's answer, sent on. */
static void answer(obs_fleet_answerer *a, const request *r) {
  obs_buf url = {0};
  obs_http_reply reply = {0};
  bool sent;
  obs_buf_puts(&url, "http://localhost");
  obs_buf_append(&url, r->target, strlen(r->target) + 1);
  const obs_http_request get = {.url = url.p,
                                .unix_path = a->socket,
                                .timeout_ms = OBS_FLEET_ASK_RUN_MS,
                                .reply_max = OBS_FLEET_ASK_BODY,
                                .stop = is_stopping,
                                .stop_arg = a,
                                .stop_fd = a->stop_fd};
  bool got = !url.oom && obs_http_send(a->http, &get, &reply);
  if (got)
    sent = send_body(a, r->reply, reply.status, obs_buf_view(&reply.body));
  else
    sent = send_error(a, r->reply, 503, url.oom ? "out of memory" : reply.error);
  count(a, got && sent ? &a->counts.answered : &a->counts.failed);
  if (!got && !is_stopping(a)) obs_log_warn("fleet", "a question of the fleet was not answered: %s", reply.error);
  obs_http_reply_fini(&reply);
  obs_buf_fini(&url);
}

/* The oldest one; NULL: it is over. Those that nobody waits for any more are dropped. */
static request *take(obs_fleet_answerer *a) {
  request *r = NULL;
  pthread_mutex_lock(&a->lock);
  while (r == NULL && !atomic_load(&a->stopping)) {
    if (a->first == NULL) {
      pthread_cond_wait(&a->woken, &a->lock);
      continue;
    }
    r = a->first;
    a->first = r->next;
    if (a->first == NULL) a->last = &a->first;
    a->waiting--;
    if (obs_clock_mono_ms() - r->came_ms < OBS_FLEET_ASK_WAIT_MS) continue;
    a->counts.dropped++;
    free(r);
    r = NULL;
  }
  pthread_mutex_unlock(&a->lock);
  return r;
}

static void *run(void *arg) {
  obs_fleet_answerer *a = arg;
  obs_thread_step_back(NICE);
  for (request *r; (r = take(a)) != NULL; free(r)) answer(a, r);
  return NULL;
}

observer_err obs_fleet_answerer_open(obs_nats *nats, const char *subject, const char *who, const char *socket,
                                     obs_fleet_answerer **out, char *why) {
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  obs_fleet_answerer *a = calloc(1, sizeof *a);
  if (a == NULL) return err;
  a->nats = nats;
  a->last = &a->first;
  pthread_mutex_init(&a->lock, NULL); /* the default kind does not fail */
  pthread_cond_init(&a->woken, NULL); /* likewise */
  (void)snprintf(a->who, sizeof a->who, "%s", who);
  a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  a->socket = strdup(socket);
  a->http = obs_http_open();
  if (a->stop_fd < 0 || a->socket == NULL || a->http == NULL) goto fail;
  if ((err = obs_thread_start(&a->thread, "obs:answer", run, a)) != OBSERVER_E_OK) goto fail;
  a->started = true;
  if ((err = obs_nats_listen(nats, subject, on_question, a, &a->listener, why)) != OBSERVER_E_OK) goto fail;
  *out = a;
  return OBSERVER_E_OK;
fail:
  obs_fleet_answerer_close(a);
  return err;
}

void obs_fleet_answerer_close(obs_fleet_answerer *a) {
  if (a == NULL) return;
  obs_nats_listener_close(a->listener);
  pthread_mutex_lock(&a->lock);
  atomic_store(&a->stopping, true);
  pthread_cond_signal(&a->woken);
  pthread_mutex_unlock(&a->lock);
  if (a->stop_fd >= 0 && eventfd_write(a->stop_fd, 1) != 0 && errno != EAGAIN) /* EAGAIN: it is readable already */
    obs_log_warn("fleet", "answers: %s", strerror(errno));
  if (a->started) (void)pthread_join(a->thread, NULL);
  while (a->first != NULL) {
    request *r = a->first;
    a->first = r->next;
    free(r);
  }
  obs_http_close(a->http);
  if (a->stop_fd >= 0) (void)close(a->stop_fd);
  free(a->socket);
  pthread_cond_destroy(&a->woken);
  pthread_mutex_destroy(&a->lock);
  free(a);
}

void obs_fleet_answerer_add_counts(obs_fleet_answerer *a, obs_fleet_answerer_counts *sum) {
  if (a == NULL) return;
  pthread_mutex_lock(&a->lock);
  sum->answered += a->counts.answered;
  sum->refused += a->counts.refused;
  sum->dropped += a->counts.dropped;
  sum->failed += a->counts.failed;
  pthread_mutex_unlock(&a->lock);
}
