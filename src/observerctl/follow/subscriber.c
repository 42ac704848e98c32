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

/* The first tcp or ipc URL, else the first of all. */
static const char *choose(const cJSON *urls) {
  const cJSON *url;
  cJSON_ArrayForEach(url, urls) {
    const char *text = cJSON_GetStringValue(url);
    if (text != NULL && (starts_with(text, "tcp://") || starts_with(text, "ipc://"))) return text;
  }
  return cJSON_GetStringValue(cJSON_GetArrayItem(urls, 0));
}

/* A daemon that listens on all addresses is reached where its bridge is. */
static void take(const char *base, const char *url, char out[OBS_SUBSCRIBER_URL_MAX]) {
  static const char *const any[] = {"tcp://0.0.0.0:", "tcp://[::]:", "tcp://*:"};
  CURLU *parsed = curl_url();
  char *host = NULL;
  snprintf(out, OBS_SUBSCRIBER_URL_MAX, "%s", url);
  if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, base, 0) == CURLUE_OK &&
      curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
    for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++)
      if (starts_with(url, any[i])) snprintf(out, OBS_SUBSCRIBER_URL_MAX, "tcp://%s:%s", host, url + strlen(any[i]));
  }
  curl_free(host);
  curl_url_cleanup(parsed);
}

void obs_subscriber_find(const char *base, obs_subscriber_place *out) {
  *out = (obs_subscriber_place){.has_feed = true};
  snprintf(out->url, sizeof(out->url), "%s", default_url);
  cJSON *health = obs_fetch_json(base, "/v1/observer/health", ASK_MS, out->error, sizeof(out->error));
  if (health == NULL) return;
  const cJSON *seq = cJSON_GetObjectItemCaseSensitive(health, "seq");
  const cJSON *urls = cJSON_GetObjectItemCaseSensitive(health, "urls");
  const cJSON *feed = cJSON_GetObjectItemCaseSensitive(urls, "feed");
  const char *url = choose(feed);
  out->answered = true;
  if (cJSON_IsNumber(seq) && seq->valuedouble > 0) out->seq = (uint64_t)seq->valuedouble;
  if (url != NULL) take(base, url, out->url);
  out->has_feed = url != NULL || urls == NULL;
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

/* The maps of one message, one after another. */
static int each_map(obs_subscriber *s, obs_str topic, const char *p, const char *end, obs_subscriber_fn fn, void *arg,
                    bool *more) {
  while (*more && p < end) {
    obs_buf_reset(&s->json, KEEP_BYTES);
    size_t n = obs_msgpack_cursor_to_json(p, (size_t)(end - p), &s->json);
    if (n == 0 || s->json.p[0] != '{') return NNG_EPROTO;
    *more = fn(arg, topic, (obs_str){s->json.p, (uint32_t)s->json.len, 0});
    p += n;
  }
  return 0;
}

int obs_subscriber_drain(obs_subscriber *s, unsigned messages, obs_subscriber_fn fn, void *arg) {
  bool more = true;
  int bad = 0;
  for (unsigned i = 0; more && i < messages; i++) {
    nng_msg *msg;
    int rv = nng_recvmsg(s->socket, &msg, NNG_FLAG_NONBLOCK);
    if (rv != 0) return rv == NNG_EAGAIN ? bad : rv;
    const char *p = nng_msg_body(msg), *end = p + nng_msg_len(msg);
    const char *nul = memchr(p, '\0', nng_msg_len(msg));
    if (nul != NULL) rv = each_map(s, (obs_str){p, (uint32_t)(nul - p), 0}, nul + 1, end, fn, arg, &more);
    if (nul == NULL || rv != 0) bad = NNG_EPROTO;
    nng_msg_free(msg);
  }
  return bad;
}

void obs_subscriber_fini(obs_subscriber *s) {
  obs_buf_fini(&s->json);
}
