#include "observerctl/ask/sockets.h"

#include "observerctl/ask/credentials.h"
#include "observerctl/ask/fetch.h"
#include "observerctl/cli/args.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 256 };

/* In the order of obs_socket_kind. */
static const struct {
  const char *member, *what, *fallback, *option;
} sockets[OBS_SOCKET_KINDS] = {
    [OBS_SOCKET_PULL] = {"pull", "PULL socket", "tcp://127.0.0.1:3801", "--push URL"},
    [OBS_SOCKET_SUB] = {"sub", "SUB socket", "tcp://127.0.0.1:3802", "--pub URL"},
    [OBS_SOCKET_REP] = {"rep", "REP socket", "tcp://127.0.0.1:3803", "--req URL"},
    [OBS_SOCKET_FEED] = {"feed", "feed", "tcp://127.0.0.1:3804", "--feed URL"},
};

static bool starts_with(const char *s, const char *prefix) {
  return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* ---- hosts ---- */

static bool is_any(const char *host) {
  return *host == '\0' || strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "[::]") == 0;
}

static bool is_loopback(const char *host) {
  return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 || starts_with(host, "127.");
}

/* The host of the bridge's URL, which may lack its scheme; "": it has none (ipc). */
static void host_of(const char *base, char out[HOST_MAX]) {
  CURLU *parsed = curl_url();
  char *host = NULL;
  out[0] = '\0';
  if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, base, CURLU_DEFAULT_SCHEME) == CURLUE_OK &&
      curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK)
    snprintf(out, HOST_MAX, "%s", host);
  curl_free(host);
  curl_url_cleanup(parsed);
}

static bool is_here(const char *host) {
  return *host == '\0' || is_loopback(host);
}

bool obs_sockets_is_here(const char *base) {
  char host[HOST_MAX];
  host_of(base, host);
  return is_here(host);
}

/* How `url`, as the daemon listens on it, is dialled from here. False: it cannot be. */
static bool reach(const char *url, const char *base_host, char out[OBS_SOCKETS_URL_MAX]) {
  char host[HOST_MAX];
  bool here = is_here(base_host);
  const char *rest = strstr(url, "://");
  if (rest == NULL || starts_with(url, "dial:") || starts_with(url, "inproc:")) return false;
  rest += strlen("://");
  if (starts_with(url, "ipc:") || starts_with(url, "abstract:")) {
    int len = snprintf(out, OBS_SOCKETS_URL_MAX, "%s", url);
    return here && len < OBS_SOCKETS_URL_MAX; /* else a socket of the other machine's */
  }
  size_t n = *rest == '[' ? strcspn(rest, "]") + 1 : strcspn(rest, ":/");
  if (n >= sizeof(host) || n > strlen(rest)) return false;
  snprintf(host, sizeof(host), "%.*s", (int)n, rest);
  /* A certificate names the host that the user names. */
  bool tls = obs_dial_tls_is(url);
  bool replaced = *base_host != '\0' && (is_any(host) || ((!here || tls) && is_loopback(host)));
  /* NNG takes the first address that a name has, which may be the one of IPv6 where nobody listens. */
  bool was_ipv4 = replaced && tls && isdigit((unsigned char)host[0]) && isalpha((unsigned char)base_host[0]);
  const char *scheme = was_ipv4 && starts_with(url, "tls+tcp://") ? "tls+tcp4://" : NULL;
  int len =
      snprintf(out, OBS_SOCKETS_URL_MAX, "%.*s%s%s", (int)(scheme != NULL ? strlen(scheme) : (size_t)(rest - url)),
               scheme != NULL ? scheme : url, replaced ? base_host : host, rest + n);
  return len > 0 && len < OBS_SOCKETS_URL_MAX;
}

/* ---- the answer ---- */

/* The first that needs no certificates, else the first that can be reached. Where a key is to be sent, it is the first
 * that it may go over (`key`). */
static void choose(const cJSON *urls, const char *base_host, bool key, char out[OBS_SOCKETS_URL_MAX]) {
  const cJSON *item;
  char url[OBS_SOCKETS_URL_MAX];
  cJSON_ArrayForEach(item, urls) {
    const char *text = cJSON_GetStringValue(item);
    if (text == NULL || !reach(text, base_host, url)) continue;
    bool best = starts_with(url, "ipc://") || (key ? obs_dial_tls_is(url) : starts_with(url, "tcp://"));
    if (best || *out == '\0') memcpy(out, url, sizeof(url));
    if (best) return;
  }
}

void obs_sockets_ask(const char *base, uint32_t timeout_ms, obs_sockets *out) {
  char host[HOST_MAX];
  *out = (obs_sockets){0};
  cJSON *health = obs_fetch_json(base, "/v1/observer/health", timeout_ms, out->error, sizeof(out->error));
  if (health == NULL) return;
  const cJSON *seq = cJSON_GetObjectItemCaseSensitive(health, "seq");
  const cJSON *urls = cJSON_GetObjectItemCaseSensitive(health, "urls");
  out->answered = true;
  out->tells = urls != NULL;
  out->wants_key = urls == NULL && !cJSON_IsNumber(seq) && obs_credentials_get()->key == NULL &&
                   cJSON_IsString(cJSON_GetObjectItemCaseSensitive(health, "status"));
  if (cJSON_IsNumber(seq) && seq->valuedouble > 0) out->seq = (uint64_t)seq->valuedouble;
  host_of(base, host);
  for (int i = 0; i < OBS_SOCKET_KINDS; i++)
    choose(cJSON_GetObjectItemCaseSensitive(urls, sockets[i].member), host,
           i == OBS_SOCKET_REP && obs_credentials_get()->key != NULL, out->url[i]);
  cJSON_Delete(health);
}

bool obs_sockets_choose(const obs_args *args, const obs_sockets *found, obs_socket_kind socket,
                        char url[OBS_SOCKETS_URL_MAX], char *error, size_t size) {
  const char *base = obs_args_text(args, "url");
  if (found->answered && found->url[socket][0] != '\0') {
    memcpy(url, found->url[socket], OBS_SOCKETS_URL_MAX);
    return true;
  }
  if (!found->answered && !obs_args_given(args, "url")) {
    snprintf(url, OBS_SOCKETS_URL_MAX, "%s", sockets[socket].fallback);
    return true;
  }
  if (!found->answered)
    snprintf(error, size,
             "%s (is observerd running there? It would say where its %s is; %s gives the address directly)",
             found->error, sockets[socket].what, sockets[socket].option);
  else if (found->wants_key)
    snprintf(error, size,
             "%s: the daemon says where its %s is to holders of a key only: set OBSERVER_KEY_FILE or give --key-file "
             "FILE (%s gives the address directly)",
             base, sockets[socket].what, sockets[socket].option);
  else if (!found->tells)
    snprintf(error, size, "%s: the answer does not say where its %s is: is this observerd? (%s gives its address)",
             base, sockets[socket].what, sockets[socket].option);
  else
    snprintf(error, size, "%s: the daemon has no %s that can be reached from here (%s gives the address of one)", base,
             sockets[socket].what, sockets[socket].option);
  return false;
}

bool obs_sockets_find(const obs_args *args, obs_socket_kind socket, uint32_t timeout_ms, char url[OBS_SOCKETS_URL_MAX],
                      char *error, size_t size) {
  obs_sockets found;
  obs_sockets_ask(obs_args_text(args, "url"), timeout_ms, &found);
  return obs_sockets_choose(args, &found, socket, url, error, size);
}
