/* Searching JSON text for what a reader of its values sees: a text as it reads, without its escapes, or a number as it
 * is written, at any depth. Names of members, true, false and null do not count. */
#ifndef OBS_BASE_JSON_SEARCH_H
#define OBS_BASE_JSON_SEARCH_H

#include "base/buf.h"

/* What is searched for. Reads from `text`, which stays the caller's. */
typedef struct {
  obs_str text;
  obs_str needle; /* the longest part of it that no JSON writer escapes; may be empty */
  bool plain;     /* that is all of it */
} obs_json_search;

obs_json_search obs_json_search_for(obs_str text);
/* False: `json` cannot have it. Looks at its bytes only. */
bool obs_json_search_may(const obs_json_search *s, obs_str json);
/* Whether a value of `json`, which is valid, has it. `scratch` is written over. */
bool obs_json_search_in(const obs_json_search *s, obs_str json, obs_buf *scratch);
/* Whether a text of `json` has U+0000, at which cJSON would end it: who must not lose the rest refuses it. */
bool obs_json_has_nul(obs_str json);

#endif
