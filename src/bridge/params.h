/* The parameters of a query string: decoded, checked against the route's table, put into its filter.
 *
 * A filter is a plain struct; a table says of each parameter its name, kind and place in the struct, so that one parser
 * serves all routes. Errors name the parameter: `limit: must be a number from 1 to 1000`. */
#ifndef OBS_BRIDGE_PARAMS_H
#define OBS_BRIDGE_PARAMS_H

#include "base/buf.h"
#include "base/page.h"
#include "redact/redact.h"

#include <stddef.h>

enum {
  OBS_PARAMS_MAX = 32,            /* in one query */
  OBS_PARAMS_FILTER_BYTES = 2048, /* of the largest filter */
  OBS_PARAMS_LIMIT_MAX = 1000,
  OBS_PARAMS_SEQS = 100, /* that one request names at most */
  OBS_PARAMS_CURSOR_LEN = 17,
  OBS_PARAMS_WALK_LEN = 112
};

/* Numbers of ops. */
typedef struct {
  uint32_t n; /* 0: not given */
  uint64_t at[OBS_PARAMS_SEQS];
} obs_params_seqs;

/* The kinds, and the type of the filter's member. Texts have p NULL when they are not given. */
typedef enum {
  OBS_PARAM_BYTES,       /* obs_str: compared with as it is */
  OBS_PARAM_TEXT,        /* obs_str: valid UTF-8 */
  OBS_PARAM_CLUSTER,     /* obs_str: the id of a cluster, or how it begins (ids.h makes it whole) */
  OBS_PARAM_WORD,        /* obs_str: one of the choices */
  OBS_PARAM_CHOICE,      /* int: place of the choice */
  OBS_PARAM_BOOL,        /* bool */
  OBS_PARAM_EITHER,      /* int8_t: 0 or 1; the default says what stands for neither */
  OBS_PARAM_TIME,        /* int64_t, wall milliseconds */
  OBS_PARAM_LIMIT,       /* uint32_t */
  OBS_PARAM_COUNT,       /* uint64_t, 0 among them */
  OBS_PARAM_NEXT_CURSOR, /* uint64_t, from `next_cursor` of an earlier answer */
  OBS_PARAM_WALK,        /* obs_page_walk, likewise */
  OBS_PARAM_SEQS         /* obs_params_seqs: with commas between them, or given again; highest first, none twice */
} obs_param_kind;

typedef struct {
  const char *name;
  obs_param_kind kind;
  size_t at; /* in the filter */
  const char *const *choices;
  size_t nchoices;
  uint32_t most; /* of a LIMIT; 0: OBS_PARAMS_LIMIT_MAX */
} obs_param;

#define OBS_PARAM_TYPE_BYTES obs_str
#define OBS_PARAM_TYPE_TEXT obs_str
#define OBS_PARAM_TYPE_CLUSTER obs_str
#define OBS_PARAM_TYPE_WORD obs_str
#define OBS_PARAM_TYPE_CHOICE int
#define OBS_PARAM_TYPE_BOOL bool
#define OBS_PARAM_TYPE_EITHER int8_t
#define OBS_PARAM_TYPE_TIME int64_t
#define OBS_PARAM_TYPE_LIMIT uint32_t
#define OBS_PARAM_TYPE_COUNT uint64_t
#define OBS_PARAM_TYPE_NEXT_CURSOR uint64_t
#define OBS_PARAM_TYPE_WALK obs_page_walk
#define OBS_PARAM_TYPE_SEQS obs_params_seqs

/* Place of a member; does not compile when the member is of another size than the kind wants. */
#define OBS_PARAM_AT(filter, member, type)                                                                             \
  (offsetof(filter, member) + 0 * sizeof(char[sizeof(((filter *)0)->member) == sizeof(type) ? 1 : -1]))
/* A row of a table. */
#define OBS_PARAM(name, kind, filter, member)                                                                          \
  { name, OBS_PARAM_##kind, OBS_PARAM_AT(filter, member, OBS_PARAM_TYPE_##kind), NULL, 0, 0 }
/* One with choices, an array of C strings. */
#define OBS_PARAM_OF(name, kind, filter, member, choices)                                                              \
  {                                                                                                                    \
    name, OBS_PARAM_##kind, OBS_PARAM_AT(filter, member, OBS_PARAM_TYPE_##kind), choices,                              \
        sizeof(choices) / sizeof(*(choices)), 0                                                                        \
  }

/* The table of a route. */
typedef struct {
  const obs_param *list;
  size_t n;
  const void *defaults; /* a filter: what stands for parameters that are not given */
  size_t size;          /* of the filter, at most OBS_PARAMS_FILTER_BYTES */
} obs_params;

#define OBS_PARAMS(list, defaults)                                                                                     \
  { list, sizeof(list) / sizeof(*(list)), &(defaults), sizeof(defaults) }

/* A query string, decoded: `a=1&b=two+words%21`. */
typedef struct {
  obs_buf bytes, redacted[2 * OBS_PARAMS_MAX]; /* what the views point into */
  struct {
    obs_str name, value;
  } params[OBS_PARAMS_MAX];
  size_t count;
} obs_params_query;

/* Percent-escapes and `+` are decoded, then names and values redacted, as what they are compared with was. False:
 * `error` says which parameter and why (a broken escape, empty, too many). Fini in either case. */
bool obs_params_decode(obs_params_query *q, obs_str text, obs_redact *redact, char *error, size_t size);
void obs_params_query_fini(obs_params_query *q);
/* Fills the filter; its texts point into `q`. False: `error` names the parameter and what is wrong with it, such as
 * that it is given twice. */
bool obs_params_read(const obs_params *params, const obs_params_query *q, void *filter, char *error, size_t size);

/* The opaque cursor for "rows below this seq or number" (not 0): a format letter and the number in hexadecimal. */
void obs_params_cursor_format(uint64_t below, char out[OBS_PARAMS_CURSOR_LEN + 1]);
bool obs_params_cursor_parse(obs_str text, uint64_t *below);
/* The opaque cursor of a walk that has begun: another format letter, and its members in hexadecimal. */
void obs_params_walk_format(const obs_page_walk *w, char out[OBS_PARAMS_WALK_LEN + 1]);
bool obs_params_walk_parse(obs_str text, obs_page_walk *out);
/* A decimal number from 1 to 10^18 - 1. */
bool obs_params_number_parse(obs_str text, uint64_t *out);

#endif
