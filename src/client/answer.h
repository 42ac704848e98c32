/* What the older observer's rules say of a gateway's answer: observed() and summarize(). */
#ifndef OBS_CLIENT_ANSWER_H
#define OBS_CLIENT_ANSWER_H

#include "base/buf.h"

/* True for a success, whose summary is appended to `summary`; else the reason is appended to `error`: the body is not
 * JSON, is null, or has a truthy `error`, which is told as JavaScript's String() would. Where summarize() would have
 * thrown (an `answer` that has no slice) the summary is that of the whole answer. */
bool obs_answer_judge(const char *body, size_t len, obs_buf *error, obs_buf *summary);

#endif
