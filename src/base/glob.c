#include "base/glob.h"

bool obs_glob_matches(obs_str pattern, obs_str text) {
  uint32_t i = 0, k = 0, star = UINT32_MAX, from = 0; /* star: the last one met; from: where it ends in the text */
  while (k < text.len) {
    if (i < pattern.len && pattern.p[i] == '*') {
      star = i++;
      from = k;
    } else if (i < pattern.len && (pattern.p[i] == '?' || pattern.p[i] == text.p[k])) {
      i++;
      k++;
    } else if (star != UINT32_MAX) {
      i = star + 1;
      k = ++from;
    } else {
      return false;
    }
  }
  while (i < pattern.len && pattern.p[i] == '*') i++;
  return i == pattern.len;
}
