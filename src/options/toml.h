/* Reads a TOML 1.0 document value by value, without a tree: who reads a file that belongs to other programs as well
 * takes its own keys and passes over all others. (Debian has libraries for TOML in C++ alone.)
 *
 * In:      the whole text, UTF-8; a byte order mark before it is passed over.
 * Out:     a call for each table and each value, in the order of the text: for a header `[a.b]` or `[[a.b]]`, a key
 * with its value, and then, where that value is an inline table, each key of it. What is inside arrays is checked and
 * not shown. Checked: the syntax of all of it, and the ranges of numbers and dates. Whether a key or a table is given
 * twice is left to the caller, who knows which ones matter. Bounds:  OBS_TOML_KEYS keys in a path, OBS_TOML_NESTING
 * values within each other. Memory: one path and one text. Failure: false, with the line and the reason; what came
 * before it has been shown. One thread. */
#ifndef OBS_OPTIONS_TOML_H
#define OBS_OPTIONS_TOML_H

#include "base/str.h"

#include <stddef.h>

enum { OBS_TOML_KEYS = 32, OBS_TOML_NESTING = 64, OBS_TOML_WHY = 120 };

typedef enum {
  OBS_TOML_STRING,
  OBS_TOML_INTEGER,
  OBS_TOML_FLOAT,
  OBS_TOML_BOOLEAN,
  OBS_TOML_DATE, /* or a time of day */
  OBS_TOML_ARRAY,
  OBS_TOML_TABLE,
  OBS_TOML_ARRAY_OF_TABLES /* a header [[a]] */
} obs_toml_type;

/* "a string", as a message says it. */
extern const char *const obs_toml_type_names[];

/* A view that lives for the call. */
typedef struct {
  const obs_str *path; /* its keys, from the root */
  size_t depth;        /* how many; at least 1 */
  obs_toml_type type;
  obs_str text;  /* of a STRING what it says, which may have a NUL in it; INTEGER in decimal; FLOAT, BOOLEAN, DATE
                    without  underscores; else empty */
  unsigned line; /* of the key, from 1 */
  bool header;   /* [a.b] or [[a.b]] */
} obs_toml_value;

typedef struct {
  unsigned line;
  char why[OBS_TOML_WHY];
} obs_toml_fault;

bool obs_toml_read(const char *text, size_t len, void (*each)(void *arg, const obs_toml_value *value), void *arg,
                   obs_toml_fault *fault);

#endif
