/* A report in plain words and as JSON. Pure functions: any thread. */
#ifndef OBS_DIAGNOSE_SENTENCES_H
#define OBS_DIAGNOSE_SENTENCES_H

#include "base/json.h"
#include "diagnose/diagnose.h"

/* One sentence each, without a line end: what was found, its likely cause, and what an agent should do about it. */
void obs_sentences_finding(const obs_diagnose_finding *f, obs_buf *out);
void obs_sentences_cause(const obs_diagnose_finding *f, obs_buf *out);
void obs_sentences_advice(const obs_diagnose_finding *f, obs_buf *out);
/* Whether it belongs in a playbook as a "don't": an agent can avoid it by acting otherwise. */
bool obs_sentences_is_dont(const obs_diagnose_finding *f);
/* What a kind of error alone tells: parts of sentences, and whether an agent can avoid it. Static. */
typedef struct {
  const char *cause, *advice;
  bool dont;
} obs_sentences_kind;
const obs_sentences_kind *obs_sentences_of_kind(obs_error_kind kind);
/* One sentence on the failures as a whole: what is left when no cause was found. */
void obs_sentences_summary(const obs_diagnose_report *r, obs_buf *out);
/* Writes the report as one JSON object, its sentences included. */
void obs_sentences_json(obs_json_writer *w, const obs_diagnose_report *r);

#endif
