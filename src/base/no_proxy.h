/* Which hosts are asked without the proxy that http_proxy, all_proxy and their like name in the environment. */
#ifndef OBS_BASE_NO_PROXY_H
#define OBS_BASE_NO_PROXY_H

#include "base/buf.h"

/* Appends a list for CURLOPT_NOPROXY, with its NUL: what no_proxy says, and this machine's own addresses, which a proxy
 * elsewhere would take for its own. */
void obs_no_proxy(obs_buf *out);

#endif
