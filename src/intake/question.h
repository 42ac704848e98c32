/* Questions over REP: a message that is not an op but asks for something.
 *
 * In:  a message whose payload (behind a topic or without one) is a map of one member, in msgpack or JSON:
 *   {advice: {endpoint, task_class, session_id}}, at least one of the first two, null being as good as absent:
 *   what is known about them;
 *   {key: text}: from now on the requester is who this key belongs to.
 *   No op looks like that, since an op has an endpoint of its own.
 * Out: the msgpack map that obs_bus_opts.advise makes, or {error: text} that names the member and what is wrong
 *   with it; the text of a key. A question is neither recorded nor counted.
 * Thread: NNG's; nothing here waits. */
#ifndef OBS_INTAKE_QUESTION_H
#define OBS_INTAKE_QUESTION_H

#include "base/cursor.h"
#include "intake/bus.h"

typedef enum { OBS_QUESTION_ADVICE, OBS_QUESTION_KEY } obs_question_kind;

typedef struct {
  obs_question_kind kind;
  bool msgpack;
  obs_cursor payload;
} obs_question;

/* Whether the message is a question. `b` is a batch that is reset afterwards: scratch, here and below. */
bool obs_question_find(const obs_bus_opts *opts, obs_batch *b, const void *data, size_t size, obs_question *out);
/* Appends the answer of one for advice to `reply`, whose `oom` is set without memory. */
void obs_question_answer(const obs_bus_opts *opts, obs_batch *b, const obs_question *q, obs_buf *reply);
/* The text of a key, in the message or in `b`; empty: there is none. */
obs_str obs_question_key(const obs_bus_opts *opts, obs_batch *b, const obs_question *q);

#endif
