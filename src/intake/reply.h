/* REP's answer: the msgpack map {accepted, duplicates, rejected, errors: [{index, error}], seq}. */
#ifndef OBS_INTAKE_REPLY_H
#define OBS_INTAKE_REPLY_H

#include "op/batch.h"

#include <nng/nng.h>

/* The answer for a batch that commit gave back or refused; at most 1,000 errors are listed. NULL: no memory. */
nng_msg *obs_reply_make(const obs_batch *b);
/* {error: text}: a question that cannot be answered. NULL: no memory. */
nng_msg *obs_reply_error(const char *text);
/* These bytes. NULL: no memory. */
nng_msg *obs_reply_bytes(const void *p, size_t len);

#endif
