#include "base/key_form.h"

#include <string.h>

static bool in_base32(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
}

static bool in_base62(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool only(const char *p, size_t n, bool (*in)(char)) {
  for (size_t i = 0; i < n; i++) {
    if (!in(p[i])) return false;
  }
  return true;
}

bool obs_key_form_is_id(const char *p, size_t n) {
  return n == OBS_KEY_ID_LEN && only(p, n, in_base32);
}

size_t obs_key_form_begins(const char *p, size_t n) {
  if (n <= OBS_KEY_SECRET_AT || memcmp(p, OBS_KEY_TEXT_BEGINS, OBS_KEY_LETTER_AT) != 0) return 0;
  char letter = p[OBS_KEY_LETTER_AT];
  if ((letter != 'i' && letter != 'r' && letter != 'a') || p[OBS_KEY_ID_AT - 1] != '_' ||
      p[OBS_KEY_SECRET_AT - 1] != '_' || !only(p + OBS_KEY_ID_AT, OBS_KEY_ID_LEN, in_base32) ||
      !in_base62(p[OBS_KEY_SECRET_AT]))
    return 0;
  size_t len = OBS_KEY_SECRET_AT;
  while (len < OBS_KEY_TEXT_LEN && len < n && (p[len] == '_' || in_base62(p[len]))) len++;
  return len;
}

bool obs_key_form_fits(const char *p, size_t n) {
  return n == OBS_KEY_TEXT_LEN && obs_key_form_begins(p, n) == n && p[OBS_KEY_CHECK_AT - 1] == '_' &&
         only(p + OBS_KEY_SECRET_AT, OBS_KEY_SECRET_LEN, in_base62) &&
         only(p + OBS_KEY_CHECK_AT, OBS_KEY_CHECK_LEN, in_base62);
}
