/* Who asks for a request, and whether they may: decided from the head alone, before a byte of the body is read.
 *
 * Where there is a key file, a route asks for one of its scopes; what is not known to be allowed is refused (401, 403,
 * 429), also on paths that do not exist. A key comes as `Authorization: Bearer KEY`, `X-API-Key: KEY` or Basic
 * `any:KEY`; a request without one acts as its listener does (`;key=`, `;uid=`). Without a key file everybody may do
 * everything. */
#ifndef OBS_BRIDGE_GATE_H
#define OBS_BRIDGE_GATE_H

#include "stream/address.h"

struct obs_connection;

/* Of a request whose route is found or is none: sets its identity, which obs_gate_leave lets go. False: the refusal is
 * made, and noted for the audit. Any thread; never waits. */
bool obs_gate_admit(struct obs_connection *s);
/* The same once the body has come, which can take a while: what the identity held may be revoked or expired by now. */
bool obs_gate_still(struct obs_connection *s);
void obs_gate_leave(struct obs_connection *s);
/* Notes for the audit that ops of a post were refused for their source. */
void obs_gate_note_source(const struct obs_connection *s);
/* The same of a user whom a Unix socket does not admit; `bridge` is the obs_bridge. */
void obs_gate_note_stranger(void *bridge, const obs_address *at, const char *peer);
/* Whether the identity may see what only holders of a key see; everybody may without a key file. */
bool obs_gate_is_known(const struct obs_connection *s);

#endif
