/* A report in plain words and as JSON. Pure functions: any thread. */
#ifndef OBS_DIAGNOSE_WORDS_H
#define OBS_DIAGNOSE_WORDS_H

#include "diagnose/diagnose.h"

/* One sentence each, without a line end: what was found, its likely cause, and what an agent should do about it. */
void obs_words_finding(const obs_finding *f, obs_buf *out);
void obs_words_cause(const obs_finding *f, obs_buf *out);
void obs_words_advice(const obs_finding *f, obs_buf *out);
/* Whether it belongs in a playbook as a "don't": an agent can avoid it by acting otherwise. */
bool obs_words_is_dont(const obs_finding *f);
/* What can be said of a kind of error alone: parts of sentences, and whether an agent can avoid it. Static. */
typedef struct {
  const char *cause, *advice;
  bool dont;
} obs_kind_words;
const obs_kind_words *obs_words_of_kind(obs_error_kind kind);
/* One sentence on the failures as a whole: what stays when no cause was found. */
void obs_words_summary(const obs_report *r, obs_buf *out);
/* The report as one JSON object, its sentences included. */
void obs_words_json(const obs_report *r, obs_buf *out);

#endif
