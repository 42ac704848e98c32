#include "access/peer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* The host of "HOST:PORT" or "[HOST]:PORT". */
static void host_of(const char *peer, char out[OBS_PEER_NETWORK_MAX]) {
  const char *end = strrchr(peer, ':'), *begin = peer;
  if (*peer == '[' && end != NULL && end > peer + 1 && end[-1] == ']') {
    begin++;
    end--;
  }
  int len = end != NULL ? (int)(end - begin) : (int)strnlen(peer, OBS_PEER_NETWORK_MAX);
  (void)snprintf(out, OBS_PEER_NETWORK_MAX, "%.*s", len, begin);
}

void obs_peer_network(const char *peer, char out[OBS_PEER_NETWORK_MAX]) {
  char host[OBS_PEER_NETWORK_MAX], text[INET6_ADDRSTRLEN];
  struct in6_addr address;
  out[0] = '\0';
  if (peer == NULL) return;
  host_of(peer, host);
  if (inet_pton(AF_INET6, host, &address) != 1) {
    (void)snprintf(out, OBS_PEER_NETWORK_MAX, "%s", host);
  } else if (IN6_IS_ADDR_V4MAPPED(&address)) {
    if (inet_ntop(AF_INET, address.s6_addr + 12, text, sizeof text) != NULL)
      (void)snprintf(out, OBS_PEER_NETWORK_MAX, "%s", text);
  } else {
    memset(address.s6_addr + 8, 0, 8);
    if (inet_ntop(AF_INET6, &address, text, sizeof text) != NULL)
      (void)snprintf(out, OBS_PEER_NETWORK_MAX, "%s/64", text);
  }
}
