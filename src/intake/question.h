/* Questions over REP: a message that is not an op but asks for advice.
 *
 * In:  a message whose payload (behind a topic or without one) is a map of one member, {advice: {endpoint,
 * task_class, session_id}}, in msgpack or JSON; at least one of the first two, null being as good as absent. No op
 * looks like that, since an op has an endpoint of its own. Out: the msgpack map that obs_bus_opts.advise makes, or
 * {error: text} that names the member and what is wrong with it. A question is neither recorded nor counted. Thread:
 * NNG's; nothing here waits.
 */
#ifndef OBS_INTAKE_QUESTION_H
#define OBS_INTAKE_QUESTION_H

#include "intake/bus.h"

/* Whether the message is a question; then its answer is appended to `reply`, whose `oom` is set without memory. `b` is
 * a batch that is reset afterwards: scratch. */
bool obs_question_answer(const obs_bus_opts *opts, obs_batch *b, const void *data, size_t size, obs_buf *reply);

#endif
