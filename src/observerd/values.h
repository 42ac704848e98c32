/* The types of option values: reading, checking, comparing and printing each. */
#ifndef OBS_OBSERVERD_VALUES_H
#define OBS_OBSERVERD_VALUES_H

#include "journal/journal.h"

#include <stdio.h>

typedef enum {
  OBS_TYPE_TEXT,   /* char *, not empty */
  OBS_TYPE_NAME,   /* char *, a file name without a slash */
  OBS_TYPE_URL,    /* char *, of one of the schemes in `choices` */
  OBS_TYPE_CHOICE, /* char *, one of `choices` */
  OBS_TYPE_FSYNC,  /* char *, always | interval:MS | never */
  OBS_TYPE_NUMBER, /* uint64_t in [min, max] */
  OBS_TYPE_BYTES,  /* the same, with K, M or G for powers of 1024 */
  OBS_TYPE_SWITCH, /* bool: true false yes no on off 1 0 */
  OBS_TYPE_TEXTS,  /* obs_list, not empty texts */
  OBS_TYPE_URLS    /* obs_list; several separated by commas; `none` empties it; without choices only none */
} obs_value_type;

typedef struct {
  obs_value_type type;
  uint64_t min, max;
  const char *choices;
} obs_value_rule;

/* Reads `text` into the member (a list gets it added). False with why: "must be an integer from 1 to 9". */
bool obs_value_set(const obs_value_rule *rule, void *member, const char *text, char *why, size_t why_size);
/* Frees and zeroes. */
void obs_value_clear(const obs_value_rule *rule, void *member);
void obs_value_swap(const obs_value_rule *rule, void *a, void *b);
bool obs_value_equal(const obs_value_rule *rule, const void *a, const void *b);
/* `key = value` lines; an unset one as a comment. */
void obs_value_print(const obs_value_rule *rule, const char *flag, const void *member, FILE *out);
bool obs_value_fsync(const char *text, obs_journal_fsync *mode, uint32_t *ms);

#endif
