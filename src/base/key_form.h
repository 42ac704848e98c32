/* The form of a key's text, `obs_<letter>_<id>_<secret>_<check>`: what can be told of it without libcrypto and without
 * the key file, so that clients look before they send. What the parts mean is in access/key_text.h. Pure functions. */
#ifndef OBS_BASE_KEY_FORM_H
#define OBS_BASE_KEY_FORM_H

#include <stdbool.h>
#include <stddef.h>

enum {
  OBS_KEY_ID_LEN = 8,      /* a-z2-7 */
  OBS_KEY_SECRET_LEN = 43, /* base62 */
  OBS_KEY_CHECK_LEN = 6,   /* base62 */
  OBS_KEY_TEXT_LEN = 4 + 1 + 1 + OBS_KEY_ID_LEN + 1 + OBS_KEY_SECRET_LEN + 1 + OBS_KEY_CHECK_LEN
};

/* What every text of a key begins with. */
#define OBS_KEY_TEXT_BEGINS "obs_"

/* Where its parts stand. */
enum {
  OBS_KEY_LETTER_AT = 4,
  OBS_KEY_ID_AT = OBS_KEY_LETTER_AT + 2,
  OBS_KEY_SECRET_AT = OBS_KEY_ID_AT + OBS_KEY_ID_LEN + 1,
  OBS_KEY_CHECK_AT = OBS_KEY_SECRET_AT + OBS_KEY_SECRET_LEN + 1
};

bool obs_key_form_is_id(const char *p, size_t n);
/* Whether it could be the text of a key, apart from the value of its check. */
bool obs_key_form_fits(const char *p, size_t n);
/* Whether the text of a key begins here, up to the first character of its secret at least: 0, or the bytes up to the
 * last one that a key could have. */
size_t obs_key_form_begins(const char *p, size_t n);

#endif
