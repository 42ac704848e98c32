/* A report in plain words (sentences.c) and as JSON (report_json.c). Pure functions: any thread.
 *
 * A percentage stands beside the numbers that it is of, or names them ("of the other 3,898"). Numbers of ops are seqs,
 * without separators, so that they can be looked up. Times are UTC. */
#ifndef OBS_DIAGNOSE_SENTENCES_H
#define OBS_DIAGNOSE_SENTENCES_H

#include "base/json.h"
#include "diagnose/diagnose.h"

/* One sentence each, without a line end: what was found, its likely cause, and what an agent should do about it: the
 * action alone, and with what helps against that kind of error. */
void obs_sentences_finding(const obs_diagnose_finding *f, obs_buf *out);
void obs_sentences_cause(const obs_diagnose_finding *f, obs_buf *out);
void obs_sentences_action(const obs_diagnose_finding *f, obs_buf *out);
void obs_sentences_advice(const obs_diagnose_finding *f, obs_buf *out);
/* Whether it belongs in a playbook as a "don't": an agent can avoid it by acting otherwise. And what not to do: never
 * what the advice says in other words. Appends nothing where it is no "don't". */
bool obs_sentences_is_dont(const obs_diagnose_finding *f);
void obs_sentences_dont(const obs_diagnose_finding *f, obs_buf *out);
/* The finding and its action in the fewest words, without a full stop, for who is about to call `place`, one of its
 * places; NULL: somewhere. The shares are then those there. A day that is not `now_ms`'s is named. */
void obs_sentences_brief(const obs_diagnose_finding *f, const obs_diagnose_place *place, int64_t now_ms, obs_buf *out);

/* What a kind of error alone tells: parts of sentences. Static. */
typedef struct {
  const char *cause, *advice;
  const char *dont; /* NULL: an agent cannot avoid it */
} obs_sentences_kind;
const obs_sentences_kind *obs_sentences_of_kind(obs_error_kind kind, bool input_works);
/* The kind of error that most failures of a report are. */
obs_error_kind obs_sentences_most(const obs_diagnose_report *r);
/* The failures as a whole, one or two sentences: what is left when no cause was found. */
void obs_sentences_summary(const obs_diagnose_report *r, obs_buf *out);
/* Writes the report as one JSON object, its sentences included. */
void obs_sentences_json(obs_json_writer *w, const obs_diagnose_report *r);

#endif
