#include "client/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *scheme;
  bool local, abstract, tls, ws;
  const char *port; /* where the URL has none; NULL: it has to have one */
} schemes[] = {
    {"tcp", false, false, false, false, NULL},    {"tls+tcp", false, false, true, false, NULL},
    {"ws", false, false, false, true, "80"},      {"wss", false, false, true, true, "443"},
    {"ipc", true, false, false, false, NULL},     {"unix", true, false, false, false, NULL},
    {"abstract", true, true, false, false, NULL},
};

enum { SCHEMES = sizeof(schemes) / sizeof(schemes[0]) };

static observer_err wrong(const char *url, const char *why, char *text, size_t size) {
  snprintf(text, size, "%s: %s", url, why);
  return OBSERVER_E_INVALID;
}

/* SCHEMES: none of them. */
static size_t find_scheme(const char *url, size_t len, int *family) {
  *family = len > 1 && url[len - 1] == '4' ? AF_INET : len > 1 && url[len - 1] == '6' ? AF_INET6 : AF_UNSPEC;
  size_t name = *family != AF_UNSPEC ? len - 1 : len, i = 0;
  while (i < SCHEMES && !(strlen(schemes[i].scheme) == name && memcmp(schemes[i].scheme, url, name) == 0)) i++;
  return i < SCHEMES && schemes[i].local && *family != AF_UNSPEC ? SCHEMES : i;
}

static int digit_of(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* The name of an abstract socket may have any byte, written %XX. */
static bool unescape(const char *s, char *out, size_t room, size_t *len) {
  for (*len = 0; *s != '\0'; s++) {
    int high = *s == '%' ? digit_of(s[1]) : -1, low = high >= 0 ? digit_of(s[2]) : -1;
    if (*len == room || (*s == '%' && low < 0)) return false;
    out[(*len)++] = *s == '%' ? (char)(high << 4 | low) : *s;
    if (*s == '%') s += 2;
  }
  return true;
}

static const char *parse_local(const char *place, bool abstract, obs_client_endpoint *out) {
  size_t room = sizeof(out->socket.sun_path) - 1, len = strlen(place);
  char *path = out->socket.sun_path;
  out->local = true;
  out->socket.sun_family = AF_UNIX;
  if (len == 0) return abstract ? "it needs a name" : "it needs a path";
  if (abstract && !unescape(place, path + 1, room, &len)) return "the name is too long, or has a % without two digits";
  if (!abstract && len > room) return "the path is too long for a Unix socket";
  if (!abstract) memcpy(path, place, len);
  out->socket_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
  return NULL;
}

static bool is_port(const char *s, size_t len) {
  char *end;
  if (len == 0 || len > 5 || strspn(s, "0123456789") < len) return false;
  unsigned long n = strtoul(s, &end, 10);
  return n > 0 && n <= 65535;
}

/* HOST, HOST:PORT, [ADDRESS]:PORT, with a path behind it. */
static const char *parse_place(const char *place, const char *port, obs_client_endpoint *out) {
  size_t len = strcspn(place, "/?#");
  const char *path = place + len, *host = place, *end = memchr(place, ':', len);
  if (memchr(place, '@', len) != NULL) return "a user and a password are not allowed";
  if (*place == '[') {
    const char *bracket = memchr(place, ']', len);
    if (bracket == NULL || (bracket + 1 < path && bracket[1] != ':')) return "an address in brackets needs ]:PORT";
    host++;
    end = bracket;
  }
  size_t host_len = (size_t)((end != NULL ? end : path) - host);
  const char *colon = end != NULL && *end == ']' ? end + 1 : end;
  if (host_len == 0) return "it needs a host";
  if (host_len >= sizeof(out->host)) return "the host is too long";
  memcpy(out->host, host, host_len);
  if (colon == NULL || colon == path) {
    if (port == NULL) return "it needs a port";
    snprintf(out->port, sizeof(out->port), "%s", port);
  } else {
    size_t n = (size_t)(path - colon) - 1;
    if (!is_port(colon + 1, n)) return "the port must be 1 to 65535";
    memcpy(out->port, colon + 1, n);
  }
  if (out->ws && strlen(path) >= sizeof(out->path)) return "the path is too long";
  if (!out->ws && *path != '\0' && strcmp(path, "/") != 0) return "it must have no path";
  if (strpbrk(path, "#") != NULL) return "it must have no fragment";
  snprintf(out->path, sizeof(out->path), "%s%s", *path == '/' ? "" : "/", path);
  return NULL;
}

observer_err obs_client_endpoint_parse(const char *url, obs_client_endpoint *out, char *text, size_t size) {
  *out = (obs_client_endpoint){0};
  for (const unsigned char *p = (const unsigned char *)url; *p != '\0'; p++) {
    if (*p <= ' ' || *p == 0x7f) return wrong(url, "it must have no spaces", text, size);
  }
  const char *place = strstr(url, "://");
  size_t i = place != NULL ? find_scheme(url, (size_t)(place - url), &out->family) : SCHEMES;
  if (i == SCHEMES)
    return wrong(url, "it must begin with tcp:// tls+tcp:// ws:// wss:// ipc:// or abstract://", text, size);
  place += 3;
  out->tls = schemes[i].tls;
  out->ws = schemes[i].ws;
  const char *why =
      schemes[i].local ? parse_local(place, schemes[i].abstract, out) : parse_place(place, schemes[i].port, out);
  return why == NULL ? OBSERVER_E_OK : wrong(url, why, text, size);
}
