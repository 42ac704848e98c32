#include "observerctl/ask/endpoint.h"

#include "observerctl/ask/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

enum { TIMEOUT_MS = 5000 };

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
static void take(const char *base, const char *url, char out[OBS_FEED_URL_MAX]) {
  static const char *const any[] = {"tcp://0.0.0.0:", "tcp://[::]:", "tcp://*:"};
  CURLU *parsed = curl_url();
  char *host = NULL;
  snprintf(out, OBS_FEED_URL_MAX, "%s", url);
  if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, base, 0) == CURLUE_OK &&
      curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
    for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++)
      if (starts_with(url, any[i])) snprintf(out, OBS_FEED_URL_MAX, "tcp://%s:%s", host, url + strlen(any[i]));
  }
  curl_free(host);
  curl_url_cleanup(parsed);
}

void obs_endpoint_find(const char *base, obs_endpoint *out) {
  *out = (obs_endpoint){.has_feed = true};
  snprintf(out->url, sizeof(out->url), "%s", default_url);
  cJSON *health = obs_http_get_json(base, "/v1/observer/health", TIMEOUT_MS, out->error, sizeof(out->error));
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
