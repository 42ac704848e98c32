#include "access/key_text.h"

#include "access/scope.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sys/random.h>
#include <zlib.h>

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
enum { SECRET_BYTES = 32, ID_BYTES = 5 };

/* `n` digits of the number that the bytes are, most significant first. Uses the bytes up. */
static void put_base62(uint8_t *bytes, size_t size, char *out, size_t n) {
  while (n-- > 0) {
    unsigned rest = 0;
    for (size_t i = 0; i < size; i++) {
      unsigned value = rest << 8 | bytes[i];
      bytes[i] = (uint8_t)(value / 62);
      rest = value % 62;
    }
    out[n] = base62[rest];
  }
}

static void put_check(const char *text, size_t n, char out[OBS_KEY_CHECK_LEN]) {
  uint32_t crc = (uint32_t)crc32(0, (const Bytef *)text, (uInt)n);
  uint8_t bytes[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
  put_base62(bytes, sizeof bytes, out, OBS_KEY_CHECK_LEN);
}

static bool fill_with_noise(uint8_t *p, size_t n) {
  while (n > 0) {
    ssize_t got = getrandom(p, n, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    p += got;
    n -= (size_t)got;
  }
  return true;
}

bool obs_key_text_make(unsigned scopes, char out[OBS_KEY_TEXT_LEN + 1]) {
  uint8_t noise[SECRET_BYTES + ID_BYTES];
  if (!fill_with_noise(noise, sizeof noise)) return false;
  uint64_t id = 0;
  char *p = out;
  memcpy(p, OBS_KEY_TEXT_BEGINS, 4);
  p += 4;
  *p++ = obs_scope_letter(scopes);
  *p++ = '_';
  for (size_t i = 0; i < ID_BYTES; i++) id = id << 8 | noise[SECRET_BYTES + i];
  for (unsigned i = 0; i < OBS_KEY_ID_LEN; i++) *p++ = base32[id >> (5 * (OBS_KEY_ID_LEN - 1 - i)) & 31];
  *p++ = '_';
  put_base62(noise, SECRET_BYTES, p, OBS_KEY_SECRET_LEN);
  p += OBS_KEY_SECRET_LEN;
  put_check(out, (size_t)(p - out), p + 1);
  *p = '_';
  out[OBS_KEY_TEXT_LEN] = '\0';
  OPENSSL_cleanse(noise, sizeof noise);
  return true;
}

bool obs_key_text_is_id(obs_str text) {
  return obs_key_form_is_id(text.p, text.len);
}

bool obs_key_text_parse(obs_str text, obs_key_text *out) {
  char check[OBS_KEY_CHECK_LEN];
  if (!obs_key_form_fits(text.p, text.len)) return false;
  put_check(text.p, OBS_KEY_CHECK_AT - 1, check);
  if (memcmp(check, text.p + OBS_KEY_CHECK_AT, sizeof check) != 0) return false;
  *out = (obs_key_text){.letter = text.p[OBS_KEY_LETTER_AT],
                        .secret = obs_str_slice(text, OBS_KEY_SECRET_AT, OBS_KEY_SECRET_LEN)};
  memcpy(out->id, text.p + OBS_KEY_ID_AT, OBS_KEY_ID_LEN);
  return true;
}

bool obs_key_text_find(const void *p, size_t n, obs_str *found) {
  const char *at = p, *end = at + n;
  while (n > 0 && (at = memmem(at, (size_t)(end - at), OBS_KEY_TEXT_BEGINS, OBS_KEY_LETTER_AT)) != NULL) {
    size_t len = obs_key_form_begins(at, (size_t)(end - at));
    if (len > 0) {
      *found = (obs_str){at, (uint32_t)len, 0};
      return true;
    }
    at += OBS_KEY_LETTER_AT;
  }
  return false;
}

/* Looking an algorithm up takes libcrypto longer than hashing a secret, so it is done once. */
static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void find_sha256(void) {
  sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

bool obs_key_text_hash(obs_str secret, uint8_t out[OBS_KEY_HASH_BYTES]) {
  if (pthread_once(&sha256_once, find_sha256) != 0) return false;
  const EVP_MD *with = sha256 != NULL ? sha256 : EVP_sha256(); /* there was no memory then */
  return EVP_Digest(secret.p, secret.len, out, NULL, with, NULL) == 1;
}
