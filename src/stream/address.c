#include "stream/address.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
  const char *scheme;
  obs_address_kind kind;
  bool tls, path; /* it may have a path */
} schemes[] = {
    {"tcp", OBS_ADDRESS_TCP, false, false},  {"tls+tcp", OBS_ADDRESS_TCP, true, false},
    {"http", OBS_ADDRESS_TCP, false, false}, {"https", OBS_ADDRESS_TCP, true, false},
    {"ws", OBS_ADDRESS_WS, false, true},     {"wss", OBS_ADDRESS_WS, true, true},
    {"ipc", OBS_ADDRESS_IPC, false, true},   {"inproc", OBS_ADDRESS_INPROC, false, true},
};

static observer_err wrong(char *why, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static observer_err wrong(char *why, size_t size, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(why, size, fmt, ap);
  va_end(ap);
  return OBSERVER_E_INVALID;
}

/* Digits alone, at most `max`. */
static bool parse_number(const char *s, size_t len, uint64_t max, uint64_t *out) {
  uint64_t v = 0;
  if (len == 0 || len > 10) return false;
  for (size_t i = 0; i < len; i++) {
    if (s[i] < '0' || s[i] > '9') return false;
    v = v * 10 + (uint64_t)(s[i] - '0');
  }
  *out = v;
  return v <= max;
}

static observer_err parse_uid(obs_address *a, const char *value, size_t len, char *why, size_t size) {
  uint64_t uid;
  if (!parse_number(value, len, UINT32_MAX - 1, &uid)) return wrong(why, size, "uid: must be a number");
  if (a->nuids == OBS_ADDRESS_UIDS) return wrong(why, size, "uid: more than %d", OBS_ADDRESS_UIDS);
  a->uids[a->nuids++] = (uint32_t)uid;
  return OBSERVER_E_OK;
}

static observer_err parse_key(obs_address *a, const char *value, size_t len, char *why, size_t size) {
  if (len == 0 || len > OBS_ADDRESS_KEY_MAX)
    return wrong(why, size, "key: must be 1 to %d characters", OBS_ADDRESS_KEY_MAX);
  for (size_t i = 0; i < len; i++) {
    char c = value[i];
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-') continue;
    return wrong(why, size, "key: must be letters, digits, - and _");
  }
  memcpy(a->key, value, len);
  return OBSERVER_E_OK;
}

/* `params` begins behind the first semicolon. */
static observer_err parse_params(obs_address *a, const char *params, char *why, size_t size) {
  for (const char *p = params;; p++) {
    size_t len = strcspn(p, ";");
    observer_err err;
    if (strncmp(p, "uid=", 4) == 0)
      err = parse_uid(a, p + 4, len - 4, why, size);
    else if (strncmp(p, "key=", 4) == 0 && a->key[0] == '\0')
      err = parse_key(a, p + 4, len - 4, why, size);
    else { /* a long `key=` may be a secret */
      size_t most = strncmp(p, "key=", 4) == 0 && len > 20 ? 3 : 40;
      err = wrong(why, size, "parameter %.*s: must be ;uid=NUMBER, or ;key=ID once", (int)(len < most ? len : most), p);
    }
    if (err != OBSERVER_E_OK) return err;
    p += len;
    if (*p == '\0') break;
  }
  if (a->nuids > 0 && a->kind != OBS_ADDRESS_IPC)
    return wrong(why, size, "uid: only an ipc listener knows its peers' users");
  if (a->nuids > 0 && a->dial) return wrong(why, size, "uid: is for listeners");
  if (a->key[0] != '\0' && (a->dial || a->kind == OBS_ADDRESS_INPROC))
    return wrong(why, size, "key: is for listeners that others connect to");
  return OBSERVER_E_OK;
}

/* HOST:PORT[/path] */
static observer_err parse_place(obs_address *a, const char *place, bool path, char *why, size_t size) {
  size_t len = strcspn(place, "/?#");
  const char *rest = place + len;
  if (memchr(place, '@', len) != NULL) return wrong(why, size, "user and password: not allowed");
  const char *host = place, *colon;
  size_t host_len;
  if (*place == '[') {
    const char *end = memchr(place, ']', len);
    if (end == NULL || end[1] != ':') return wrong(why, size, "must be [ADDRESS]:PORT");
    host++;
    host_len = (size_t)(end - host);
    colon = end + 1;
  } else {
    colon = memchr(place, ':', len);
    if (colon == NULL) return wrong(why, size, "port: required");
    host_len = (size_t)(colon - place);
  }
  uint64_t port;
  if (!parse_number(colon + 1, (size_t)(rest - colon) - 1, 65535, &port))
    return wrong(why, size, "port: must be 0 to 65535");
  if (a->dial && port == 0) return wrong(why, size, "port: must be 1 to 65535");
  a->port = (uint16_t)port;
  if (host_len == 1 && *host == '*') host_len = 0;
  memcpy(a->host, host, host_len);
  if (!path && *rest != '\0' && strcmp(rest, "/") != 0)
    return wrong(why, size, "must be %s://HOST:PORT without a path", a->scheme);
  if (path && strpbrk(rest, "?#") != NULL) return wrong(why, size, "path: must have no query and no fragment");
  (void)snprintf(a->path, sizeof a->path, "%s", path && *rest != '\0' ? rest : "/");
  return OBSERVER_E_OK;
}

observer_err obs_address_parse(const char *spec, obs_address *out, char *why, size_t why_size) {
  *out = (obs_address){0};
  out->dial = strncmp(spec, "dial:", 5) == 0;
  if (out->dial)
    spec += 5;
  else if (strncmp(spec, "listen:", 7) == 0)
    spec += 7;
  size_t len = strcspn(spec, ";");
  if (len >= OBS_ADDRESS_MAX) return wrong(why, why_size, "longer than %d characters", OBS_ADDRESS_MAX - 1);
  for (size_t i = 0; spec[i] != '\0'; i++) {
    if ((unsigned char)spec[i] <= ' ' || spec[i] == 0x7f) return wrong(why, why_size, "must have no spaces");
  }
  memcpy(out->url, spec, len);
  const char *place = strstr(out->url, "://");
  size_t i = 0, n = sizeof schemes / sizeof *schemes;
  for (; place != NULL && i < n; i++) {
    if (strlen(schemes[i].scheme) == (size_t)(place - out->url) &&
        strncmp(schemes[i].scheme, out->url, strlen(schemes[i].scheme)) == 0)
      break;
  }
  if (place == NULL || i == n)
    return wrong(why, why_size, "must begin with tcp:// tls+tcp:// ws:// wss:// ipc:// inproc:// http:// or https://");
  place += 3;
  out->kind = schemes[i].kind;
  out->tls = schemes[i].tls;
  (void)snprintf(out->scheme, sizeof out->scheme, "%s", schemes[i].scheme);
  observer_err err = OBSERVER_E_OK;
  if (out->kind == OBS_ADDRESS_TCP || out->kind == OBS_ADDRESS_WS)
    err = parse_place(out, place, schemes[i].path, why, why_size);
  else if (*place == '\0')
    err = wrong(why, why_size, "%s: required", out->kind == OBS_ADDRESS_IPC ? "path" : "name");
  else
    (void)snprintf(out->path, sizeof out->path, "%s", place);
  if (err == OBSERVER_E_OK && spec[len] == ';') err = parse_params(out, spec + len + 1, why, why_size);
  return err;
}

bool obs_address_is_local(const obs_address *a) {
  struct in_addr v4;
  struct in6_addr v6;
  if (a->kind == OBS_ADDRESS_IPC || a->kind == OBS_ADDRESS_INPROC) return true;
  if (inet_pton(AF_INET, a->host, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  if (inet_pton(AF_INET6, a->host, &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return strcasecmp(a->host, "localhost") == 0;
}
