/* What the older observer's rules, observed() and summarize(), make of a gateway's answer. Thread-safe: no state. */
#ifndef OBS_CLIENT_ANSWER_H
#define OBS_CLIENT_ANSWER_H

#include "base/buf.h"

/* Characters of JSON in a summary, as JavaScript counts them. */
enum { OBS_ANSWER_JSON_UNITS = 100 };

/* True for a success, whose summary is appended to `summary`; else the reason is appended to `error`: the body is not
 * JSON, is null, or has a truthy `error`, written as JavaScript's String() would. Both are valid UTF-8. Where
 * summarize() would have thrown (an `answer` without slice) the summary is that of the whole answer. */
bool obs_answer_judge(const char *body, size_t len, obs_buf *error, obs_buf *summary);

#endif
