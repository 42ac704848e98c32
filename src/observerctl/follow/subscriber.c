#include "observerctl/follow/subscriber.h"

#include "base/msgpack_cursor.h"
#include "observerctl/ask/fetch.h"

#include <curl/curl.h>
#include <nng/protocol/pubsub0/sub.h>
#include <stdio.h>
#include <string.h>

enum { RECV_MESSAGES = 1024, RECV_BYTES = 16 << 20, REDIAL_MIN_MS = 100, REDIAL_MAX_MS = 1000, KEEP_BYTES = 1 << 20 };
enum { ASK_MS = 5000 };

/* ---- where the feed is ---- */

static const char default_url[] = "tcp://127.0.0.1:3804";

static bool starts_with(const char *s, const char *prefix) {
  return strncmp(s, prefix, strlen(prefix)) == 0;
}

void obs_subscriber_find(const char *base, obs_subscriber_place *out) {
  static const char *const any[] = {"tcp://0.0.0.0:", "tcp://[::]:", "tcp://*:"};
  *out = (obs_subscriber_place){.has_feed = true};
  snprintf(out->url, sizeof(out->url), "%s", default_url);
  cJSON *health = obs_fetch_json(base, "/v1/observer/health", ASK_MS, out->error, sizeof(out->error));
  if (health == NULL) return;
  out->answered = true;
  const cJSON *seq = cJSON_GetObjectItemCaseSensitive(health, "seq");
  if (cJSON_IsNumber(seq) && seq->valuedouble > 0) out->seq = (uint64_t)seq->valuedouble;

  /* The first tcp or ipc URL, else the first of all. */
  const cJSON *urls = cJSON_GetObjectItemCaseSensitive(health, "urls"), *item;
  const cJSON *feed = cJSON_GetObjectItemCaseSensitive(urls, "feed");
  const char *url = cJSON_GetStringValue(cJSON_GetArrayItem(feed, 0));
  cJSON_ArrayForEach(item, feed) {
    const char *text = cJSON_GetStringValue(item);
    if (text == NULL || !(starts_with(text, "tcp://") || starts_with(text, "ipc://"))) continue;
    url = text;
    break;
  }
  out->has_feed = url != NULL || urls == NULL;
  if (url != NULL) {
    snprintf(out->url, sizeof(out->url), "%s", url);
    /* A daemon that listens on all addresses is reached where its bridge is. */
    CURLU *parsed = curl_url();
    char *host = NULL;
    if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
      for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++)
        if (starts_with(url, any[i])) snprintf(out->url, sizeof(out->url), "tcp://%s:%s", host, url + strlen(any[i]));
    }
    curl_free(host);
    curl_url_cleanup(parsed);
  }
  cJSON_Delete(health);
}

/* ---- the socket ---- */

int obs_subscriber_open(obs_subscriber *s) {
  *s = (obs_subscriber){.socket = NNG_SOCKET_INITIALIZER, .dialer = NNG_DIALER_INITIALIZER, .fd = -1};
  int rv = nng_sub0_open(&s->socket);
  if (rv == 0) rv = nng_socket_set_int(s->socket, NNG_OPT_RECVBUF, RECV_MESSAGES);
  if (rv == 0) rv = nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ, RECV_BYTES);
  if (rv == 0) rv = nng_socket_set_ms(s->socket, NNG_OPT_RECONNMINT, REDIAL_MIN_MS);
  if (rv == 0) rv = nng_socket_set_ms(s->socket, NNG_OPT_RECONNMAXT, REDIAL_MAX_MS);
  if (rv == 0) rv = nng_socket_get_int(s->socket, NNG_OPT_RECVFD, &s->fd);
  return rv;
}

int obs_subscriber_take(obs_subscriber *s, const char *topic_prefix) {
  return nng_socket_set(s->socket, NNG_OPT_SUB_SUBSCRIBE, topic_prefix, strlen(topic_prefix));
}

int obs_subscriber_dial(obs_subscriber *s, const char *url) {
  if (nng_dialer_id(s->dialer) > 0) (void)nng_dialer_close(s->dialer);
  s->dialer = (nng_dialer)NNG_DIALER_INITIALIZER;
  return nng_dial(s->socket, url, &s->dialer, NNG_FLAG_NONBLOCK);
}

int obs_subscriber_drain(obs_subscriber *s, unsigned messages, obs_subscriber_fn fn, void *arg) {
  bool more = true;
  int bad = 0;
  for (unsigned i = 0; more && i < messages; i++) {
    nng_msg *msg;
    int rv = nng_recvmsg(s->socket, &msg, NNG_FLAG_NONBLOCK);
    if (rv != 0) return rv == NNG_EAGAIN ? bad : rv;
    /* The topic, a NUL, and maps one after another. */
    const char *topic = nng_msg_body(msg), *end = topic + nng_msg_len(msg);
    const char *nul = memchr(topic, '\0', nng_msg_len(msg)), *p = nul != NULL ? nul + 1 : end;
    if (nul == NULL) bad = NNG_EPROTO;
    for (size_t n; more && p < end; p += n) {
      obs_buf_reset(&s->json, KEEP_BYTES);
      n = obs_msgpack_cursor_to_json(p, (size_t)(end - p), &s->json);
      if (n == 0 || s->json.p[0] != '{') {
        bad = NNG_EPROTO;
        break;
      }
      more = fn(arg, (obs_str){topic, (uint32_t)(nul - topic), 0}, (obs_str){s->json.p, (uint32_t)s->json.len, 0});
    }
    nng_msg_free(msg);
  }
  return bad;
}

void obs_subscriber_fini(obs_subscriber *s) {
  obs_buf_fini(&s->json);
}
