/* REP's answer: the msgpack map {accepted, duplicates, rejected, errors: [{index, error}], seq}. */
#ifndef OBS_INTAKE_REPLY_H
#define OBS_INTAKE_REPLY_H

#include "op/batch.h"

/* Appends the answer for a batch that commit gave back or refused; at most 1,000 errors are listed. */
void obs_reply_make(const obs_batch *b, obs_buf *out);
/* About how many bytes it will have at most, when the batch is recorded. */
size_t obs_reply_size(const obs_batch *b);
/* Appends {error: text}: a question that cannot be answered. */
void obs_reply_error(const char *text, obs_buf *out);
/* Appends the answer for a message whose sender may not record: one reject, which stands for all that is in it, and the
 * text as `error` once more. */
void obs_reply_denied(const char *text, obs_buf *out);
/* Appends {ok: true, key: id}: the key was taken. `id` "": {ok: true}, none is needed. */
void obs_reply_key(const char *id, obs_buf *out);

#endif
