#include "httpd/host.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static bool is_text(obs_str s, const char *text) {
  return strlen(text) == s.len && strncasecmp(s.p, text, s.len) == 0;
}

void obs_host_split(obs_str host, obs_str *name, obs_str *port) {
  uint32_t end = host.len;
  while (end > 0 && host.p[end - 1] != ':' && host.p[end - 1] != ']') end--;
  bool has_port = end > 0 && host.p[end - 1] == ':';
  *port = has_port ? obs_str_slice(host, end, UINT32_MAX) : (obs_str){0};
  *name = has_port ? obs_str_slice(host, 0, end - 1) : host;
  if (name->len >= 2 && name->p[0] == '[') *name = obs_str_slice(*name, 1, name->len - 2);
}

static bool is_loopback(obs_str name) {
  char text[INET6_ADDRSTRLEN] = "";
  struct in_addr v4;
  struct in6_addr v6;
  if (name.len >= sizeof text) return false;
  memcpy(text, name.p, name.len);
  if (strcasecmp(text, "localhost") == 0 || strcasecmp(text, "localhost.") == 0) return true;
  if (inet_pton(AF_INET, text, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool obs_host_is_served(const obs_address *at, obs_str host, const char *const *allowed, size_t nallowed) {
  obs_str name, port;
  if (host.p == NULL || at->kind == OBS_ADDRESS_IPC) return true; /* no browser comes that way */
  if (nallowed == 0 && !obs_address_is_local(at)) return true;
  obs_host_split(host, &name, &port);
  if (is_loopback(name)) return true;
  for (size_t i = 0; i < nallowed; i++)
    if (is_text(name, allowed[i])) return true;
  return false;
}

/* The port of an origin or a host; without one that of the origin's scheme. */
static bool same_port(obs_str a, obs_str b, bool tls) {
  obs_str usual = tls ? OBS_STR("443") : OBS_STR("80");
  return obs_str_eq(a.len > 0 ? a : usual, b.len > 0 ? b : usual);
}

static bool is_own(obs_str origin, obs_str host, bool any_port) {
  obs_str name, port, own_name, own_port;
  bool tls = origin.len > 8 && strncasecmp(origin.p, "https://", 8) == 0;
  if (!tls && (origin.len <= 7 || strncasecmp(origin.p, "http://", 7) != 0)) return false;
  obs_host_split(obs_str_slice(origin, tls ? 8 : 7, UINT32_MAX), &name, &port);
  obs_host_split(host, &own_name, &own_port);
  return host.p != NULL && name.len == own_name.len && strncasecmp(name.p, own_name.p, name.len) == 0 &&
         (any_port || same_port(port, own_port, tls));
}

bool obs_host_serves_origin(obs_str origin, obs_str host, bool any_port, const char *const *allowed, size_t nallowed) {
  if (origin.p == NULL || is_own(origin, host, any_port)) return true;
  for (size_t i = 0; i < nallowed; i++)
    if (is_text(origin, allowed[i])) return true;
  return false;
}
