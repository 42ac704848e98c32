/* Between the files of options. */
#ifndef OBS_OPTIONS_INTERNAL_H
#define OBS_OPTIONS_INTERNAL_H

#include "options/options.h"

enum { OBS_OPTION_MUST_MAX = 160 };
#define OBS_OPTION_NO_MEMORY "out of memory"

/* Reads `text` into the value; a list gets it added. False: `must` has what it has to be. */
bool obs_option_read(const obs_option *option, const char *text, obs_option_value *v, char must[OBS_OPTION_MUST_MAX]);
/* Whether it is one of the words, which spaces separate. */
bool obs_option_among(const char *words, const char *word, size_t len);

static inline bool obs_option_is_list(const obs_option *option) {
  return option->type == OBS_OPTION_TEXTS || option->type == OBS_OPTION_URLS;
}

static inline bool obs_option_is_number(const obs_option *option) {
  return option->type == OBS_OPTION_NUMBER || option->type == OBS_OPTION_BYTES || option->type == OBS_OPTION_TIME;
}

#endif
