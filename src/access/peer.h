/* Whom a peer is counted with. Attempts and refusals are counted by network, since one host has many ports, and one
 * IPv6 host many addresses. Pure. */
#ifndef OBS_ACCESS_PEER_H
#define OBS_ACCESS_PEER_H

#include <stddef.h>

enum { OBS_PEER_NETWORK_MAX = 64 };

/* Of what obs_stream_peer says: "192.0.2.1" of "192.0.2.1:40312" and of "[::ffff:192.0.2.1]:40312",
 * "2001:db8:0:1::/64" of "[2001:db8:0:1::7]:40312", "uid 1000" of "uid 1000"; what is none of these is taken as it is,
 * as far as it fits. NULL: "". */
void obs_peer_network(const char *peer, char out[OBS_PEER_NETWORK_MAX]);

#endif
