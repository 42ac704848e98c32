#include "outbound/target.h"

#include "base/utf8.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

/* Without its parts that are secret or long. */
static bool strip(CURLU *u) {
  static const CURLUPart out[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS, CURLUPART_QUERY,
                                  CURLUPART_FRAGMENT};
  for (size_t i = 0; i < sizeof(out) / sizeof(*out); i++) {
    if (curl_url_set(u, out[i], NULL, 0) != CURLUE_OK) return false;
  }
  return true;
}

/* The URL as it is now, without slashes at its end. */
static bool name(CURLU *u, char *out, size_t size) {
  char *text = NULL;
  if (curl_url_get(u, CURLUPART_URL, &text, 0) != CURLUE_OK) return false;
  size_t len = strlen(text);
  while (len > 0 && text[len - 1] == '/') len--;
  int n = snprintf(out, size, "%.*s", (int)len, text);
  /* A character that was cut. */
  for (len = n < (int)size ? (size_t)n : size - 1; !obs_utf8_valid(out, len); len--) out[len - 1] = '\0';
  curl_free(text);
  return true;
}

static bool is_http(CURLU *u) {
  char *scheme = NULL;
  bool ok = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
            (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
  curl_free(scheme);
  return ok;
}

const char *obs_target_read(const char *url, obs_target *out) {
  const char *why = "must be an http:// or https:// URL";
  *out = (obs_target){0};
  CURLU *u = curl_url();
  if (u == NULL) return "out of memory";
  if (curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK && is_http(u)) {
    why = NULL;
    if (!strip(u) || !name(u, out->shown, sizeof(out->shown)) ||
        curl_url_set(u, CURLUPART_PATH, NULL, 0) != CURLUE_OK || !name(u, out->base, sizeof(out->base)))
      why = "out of memory";
  }
  curl_url_cleanup(u);
  return why;
}
