/* The text of a key, which its holder sends: `obs_<letter>_<id>_<secret>_<check>`.
 *
 * letter: of the highest scope, for people; what a key may do is in the key file. id: what the key is found and named
 * by. secret: 256 random bits, of which the key file has the SHA-256. check: CRC-32 of all before it, so that a typo,
 * or a text that only looks like a key, is told without the file. Pure functions. */
#ifndef OBS_ACCESS_KEY_TEXT_H
#define OBS_ACCESS_KEY_TEXT_H

#include "base/key_form.h"
#include "base/str.h"

enum { OBS_KEY_HASH_BYTES = 32 };

typedef struct {
  char letter;
  char id[OBS_KEY_ID_LEN + 1];
  obs_str secret; /* a view of the text */
} obs_key_text;

/* A new key, with a NUL behind it. False and errno: there is no randomness to be had. */
bool obs_key_text_make(unsigned scopes, char out[OBS_KEY_TEXT_LEN + 1]);
/* False: not the text of any key. */
bool obs_key_text_parse(obs_str text, obs_key_text *out);
bool obs_key_text_is_id(obs_str text);
/* Whether a key's text stands somewhere in the bytes, or the most of one: what must not be kept or shown, with a typo
 * in it or cut off, too. *found: from its beginning to its last character that a key could have. */
bool obs_key_text_find(const void *p, size_t n, obs_str *found);
/* What the key file has of the secret. False: libcrypto could not (no memory). */
bool obs_key_text_hash(obs_str secret, uint8_t out[OBS_KEY_HASH_BYTES]);

#endif
