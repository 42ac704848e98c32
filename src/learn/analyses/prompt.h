/* Prompts: what a model is asked about a failure cluster, and what is made of its answer.
 *
 * In a prompt everything that was recorded stands as JSON between two marks, each on a line of its own; the quoted JSON
 * has `<` and `>` escaped (evidence.h), so nothing recorded can end the quotation. What the model is to do, and that
 * the quoted lines are data whatever they say, stands in the system's part.
 * An answer is not trusted either: its form is checked, its texts are cut, and a claim counts only when it cites ops
 * that were shown. Pure functions: any thread. */
#ifndef OBS_LEARN_ANALYSES_PROMPT_H
#define OBS_LEARN_ANALYSES_PROMPT_H

#include "base/buf.h"

#include <cjson/cJSON.h>

#define OBS_PROMPT_DATA_BEGIN "<<<DATA"
#define OBS_PROMPT_DATA_END "DATA>>>"

enum {
  OBS_PROMPT_CLAIMS = 8,
  OBS_PROMPT_CLAIM_SEQS = 10,
  OBS_PROMPT_CLAIM_TEXT = 400,
  OBS_PROMPT_TEXT = 1000,
  OBS_PROMPT_TEMPLATE = 120
};

typedef struct {
  obs_buf text;
  uint64_t seqs[OBS_PROMPT_CLAIM_SEQS];
  uint32_t nseqs;
  bool grounded;
} obs_prompt_claim;

/* Why a cluster fails and what to do about it, whoever says so. Empty texts: nothing is said. */
typedef struct {
  obs_buf cause, adjust, dont;
  obs_prompt_claim claims[OBS_PROMPT_CLAIMS];
  uint32_t nclaims;
  uint64_t dont_seqs[OBS_PROMPT_CLAIM_SEQS]; /* what the don't rests on */
  uint32_t ndont_seqs;
  bool grounded; /* a claim is */
  bool prose;    /* a model's text without form */
  bool vague;    /* it names no cause: no more than that something failed, and in which way */
} obs_prompt_explanation;

void obs_prompt_explanation_fini(obs_prompt_explanation *e);
/* It is grounded, names a cause and says what to do. */
static inline bool obs_prompt_settles(const obs_prompt_explanation *e) {
  return e->grounded && !e->vague && e->adjust.len > 0;
}
/* Appends at most `max` bytes of a text, whole characters, without white space around it. */
void obs_prompt_put(obs_buf *out, obs_str text, uint32_t max);

/* The system's part for a question about a cluster. Static. */
obs_str obs_prompt_system(void);
/* Appends a question: what is asked, then the data between the marks: `cluster` and `known` (what was found out), JSON
 * objects, a line each, and `ops`, lines of quoted ops, each with its newline. */
void obs_prompt_question(obs_str asked, obs_str cluster, obs_str known, obs_str ops, obs_buf *out);

/* A model's answer as JSON: the object that it is, or that stands in a code fence in it. NULL: it is prose (*broken
 * false) or what should be JSON and is not (*broken true). cJSON_Delete what is given. */
cJSON *obs_prompt_json(obs_str answer, bool *broken);
/* Reads an answer into `e` (zeroed). `shown`: the seqs that may be cited, ascending. False: it is of no use, `error`
 * says why; `e` is to be freed all the same. */
bool obs_prompt_read(obs_str answer, const uint64_t *shown, uint32_t nshown, obs_prompt_explanation *e, char *error,
                     size_t size);

#endif
