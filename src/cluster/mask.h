/* Masking: what varies in a message is taken out, so that messages of one kind become the same tokens.
 *
 * A message is split at white space and around punctuation. A word is a value when it holds a digit (numbers, hex,
 * uuids, addresses, timestamps, blk_123), is a path, a url, an e-mail address or a host name, when it stands in quotes,
 * or is a day or month beside a number. Values that only punctuation, a unit (ms, KB, seconds) or nothing separates are
 * one; a token of redaction ([EMAIL_7f3a9c0412de]) counts as a digit, so that it is a value, or a part of one; so are
 * lists, and groups that repeat. A bracket that holds nothing else is dropped, because such details come and go.
 *
 * Some are constants in spite of their looks: the number of a code, status, errno, exit or signal (but not which
 * success a status under 400 is), HTTP methods, functions like `jk2_init()`, states in quotes, the name that something
 * is set to. proto/clusters.md lists the rules.
 *
 * Pure functions of their input: any thread. Nothing is allocated; tokens are views of the message. */
#ifndef OBS_CLUSTER_MASK_H
#define OBS_CLUSTER_MASK_H

#include "base/buf.h"

enum {
  OBS_MASK_TOKENS = 96,  /* of a message; the rest is not looked at */
  OBS_MASK_BYTES = 2048, /* of a message; the rest is not looked at */
};

typedef struct {
  const char *p;
  uint16_t len;
  bool value; /* varies: shown as <*> */
  bool word;  /* not punctuation; values are words */
  bool glued; /* no white space before it */
  bool fixed; /* a constant that other messages' words in its place say nothing against: a code, a state */
  char sign;  /* punctuation: which, as ASCII; 0: a word */
  bool soft;  /* looks like a host name or a file: a value unless something is set to it */
  uint32_t hash;
} obs_mask_token;

/* Returns how many tokens there are. */
size_t obs_mask(obs_str message, obs_mask_token tokens[OBS_MASK_TOKENS]);
/* Appends the template: the tokens as they stood, `<*>` for values. */
void obs_mask_template(const obs_mask_token *tokens, size_t n, obs_buf *out);

#endif
