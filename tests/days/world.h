/* A fleet and one day of its work, made up from a seed: what the rows of a scripted day are drawn from.
 *
 * A row is an op as numbers: of each attribute the value's place in its vocabulary, or the number itself. What causes
 * failures is planted as data (days_plant), so the judge knows which rows each cause concerns without looking at how
 * they were made. Noise: values differ in how often they fail (log odds with a standard deviation for each attribute),
 * load and failures follow the hours, work belongs to teams, tasks to endpoints, sessions to staffers. The same seed
 * makes the same day on every machine. */
#ifndef TESTS_DAYS_WORLD_H
#define TESTS_DAYS_WORLD_H

#include "diagnose/error_kinds.h"

#include <stdbool.h>
#include <stdint.h>

/* X(attribute, member of the op, a name in its vocabulary; "": a number) */
#define DAYS_ATTRS(X)                                                                                                  \
  X(ENDPOINT, "endpoint", "/v2/desk-%02d")                                                                             \
  X(TASK, "task_class", "plan.%02d")                                                                                   \
  X(STAFFER, "staffer_id", "worker-%02d")                                                                              \
  X(SOURCE, "source", "feed%d")                                                                                        \
  X(EVENT, "event_kind", "step_%d")                                                                                    \
  X(ROLE, "role", "post %d")                                                                                           \
  X(CITY, "city", "Town %02d")                                                                                         \
  X(STATE, "state", "P%d")                                                                                             \
  X(SIG, "sig_hash", "c0ffee%07d")                                                                                     \
  X(SESSION, "session_id", "run-%05d")                                                                                 \
  X(CYCLE, "cycle_id", "round-%04d")                                                                                   \
  X(QUEUE, "queue", "lane-%d")                                                                                         \
  X(MODEL, "extra.model", "llm-%d")                                                                                    \
  X(REGION, "extra.region", "zone-%d")                                                                                 \
  X(VERSION, "extra.version", "2.%d.0")                                                                                \
  X(TRACE, "extra.trace", "t%08d")                                                                                     \
  X(RESCUE, "rescue_attempted", "%d")                                                                                  \
  X(COUNT, "count", "")                                                                                                \
  X(TURNS, "turns", "")                                                                                                \
  X(TOKENS, "extra.tokens", "")                                                                                        \
  X(LENGTH, "input_length", "")                                                                                        \
  X(HOUR, "hour", "")                                                                                                  \
  X(MINUTE, "minute", "")

typedef enum {
#define DAYS_ATTR_ENUM(id, name, format) DAYS_##id,
  DAYS_ATTRS(DAYS_ATTR_ENUM)
#undef DAYS_ATTR_ENUM
      DAYS_ATTR_COUNT
} days_attr;

enum { DAYS_NAME = 320, DAYS_CONDS = 3, DAYS_VALUES = 8, DAYS_PLANTS = 6, DAYS_ABSENT = -1, DAYS_LANES = 8 };
#define DAYS_START INT64_C(1772409600000) /* 2026-03-02T00:00:00Z */
#define DAYS_DAY_MS INT64_C(86400000)

/* X(error, text; %d: a number that varies, kind) */
#define DAYS_ERRORS(X)                                                                                                 \
  X(NONE, "", UNKNOWN)                                                                                                 \
  X(REFUSED, "connect ECONNREFUSED 10.2.0.%d:7443", REFUSED)                                                           \
  X(LIMIT, "HTTP 429 Too Many Requests", RATE_LIMIT)                                                                   \
  X(TIMEOUT, "request timed out after 30000 ms", TIMEOUT)                                                              \
  X(MISSING, "record %d not found", NOT_FOUND)                                                                         \
  X(SCHEMA, "schema validation failed: field %d is required", VALIDATION)                                              \
  X(GATE, "the draft was turned down by the gate", UNKNOWN)                                                            \
  X(PANIC, "panic: runtime error: index out of range [%d]", CRASH)                                                     \
  X(AUTH, "HTTP 401 Unauthorized", AUTH)                                                                               \
  X(MEMORY, "CUDA out of memory", RESOURCE)                                                                            \
  X(BROKE, "it went wrong at step %d", UNKNOWN)

typedef enum {
#define DAYS_ERROR_ENUM(id, text, kind) DAYS_ERROR_##id,
  DAYS_ERRORS(DAYS_ERROR_ENUM)
#undef DAYS_ERROR_ENUM
      DAYS_ERROR_COUNT
} days_error;

typedef enum { DAYS_OP, DAYS_DEPLOY, DAYS_CORRECTION } days_row_kind;

typedef struct {
  int64_t event_ms, received_ms, stamp_ms; /* when it was, when it came, what its producer's clock said */
  int32_t v[DAYS_ATTR_COUNT];              /* DAYS_ABSENT: it has none */
  int32_t duration_ms;
  uint32_t made;   /* its place in the order of making */
  uint16_t number; /* in its error's text */
  uint8_t error;   /* days_error; NONE: it worked */
  uint8_t kind;    /* days_row_kind */
} days_row;

typedef enum { DAYS_IS, DAYS_IS_ABSENT, DAYS_ABOVE, DAYS_AT_MOST } days_relation;

typedef struct {
  days_attr attr;
  days_relation relation;
  int32_t number;              /* ABOVE, AT_MOST */
  int32_t values[DAYS_VALUES]; /* IS: any of them */
  int nvalues;
} days_cond;

/* A cause: rows that meet all its conditions (none: every row) fail with `rate` from `from` until `until`. */
typedef struct {
  days_cond conds[DAYS_CONDS];
  int nconds;
  double from, until; /* parts of the day; until 0: it lasts */
  double rate;
  days_error error;
  bool joined;    /* tells of the same cause as the plant before: one finding for both */
  bool grows;     /* from 0 to `rate` over its time */
  int exactly;    /* not 0: so many of its rows fail, `rate` is not used */
  double slower;  /* not 0: durations are multiplied */
  double limit;   /* not 0: what is more than so many a minute fails */
  bool deploy;    /* a deploy comes a few minutes before */
  bool corrected; /* a correction of its sig_hash comes at `from`; before, rows failed with `rate_before` */
  double rate_before;
  bool helped;   /* a correction of its sig_hash comes at `until`: it must be called better */
  bool optional; /* may be told or not: it follows from another cause */
  bool first;    /* it must be said first */
  bool mirror;   /* another attribute always comes with its value, and is to be told */
} days_plant;

typedef struct days_world days_world;
struct days_world {
  uint64_t seed, random;
  /* The fleet; a script changes what days_world_init sets. */
  int ops, days;
  int n[DAYS_ATTR_COUNT];         /* size of the vocabulary; 0: the attribute is not used */
  double sd[DAYS_ATTR_COUNT];     /* of the values' log odds */
  double absent[DAYS_ATTR_COUNT]; /* share of the rows without it */
  const char *format[DAYS_ATTR_COUNT];
  const char *const *names[DAYS_ATTR_COUNT]; /* not NULL: instead of the format */
  double base;                               /* odds of failure of the noise */
  double rhythm_load, rhythm_odds;           /* how far load and log odds swing over the day */
  double retry, stuck;                       /* a failure is tried again, and then fails again */
  bool handed_on;                            /* ... by another staffer, at another endpoint */
  double sampled;                            /* share of successes that is recorded */
  int bursts;                                /* short times in which all fail more */
  int busy;                                  /* 1 + an endpoint that gets most of the load in some minutes */
  int chatter;                               /* deploys and corrections that change nothing */
  days_cond late;                            /* rows of it between late_from and late_until arrive at late_at */
  double late_from, late_until, late_at;
  days_cond skewed; /* rows of it have clocks that are skew_ms ahead */
  int64_t skew_ms;
  double lastweek;                            /* share of the rows that is of a week ago and arrives at the end */
  void (*shape)(days_world *w, days_row *r);  /* changes a row's attributes before its outcome */
  void (*result)(days_world *w, days_row *r); /* ... after it */
  int shaped[4];                              /* for shape and result */
  days_plant plants[DAYS_PLANTS];
  int nplants;
  bool ask_cluster; /* the diagnosis is asked for the cluster of the first plant's error */
  /* The day, in order of arrival. */
  days_row *rows;
  uint32_t nrows, cap;
  int32_t session_of[512], session_left[512], sessions, lane_cycle[DAYS_LANES], lane_left[DAYS_LANES], cycles;
  int64_t minute;
  double in_minute;
  bool busy_minute;
};

extern const char *const days_attr_names[DAYS_ATTR_COUNT];
extern const char *const days_error_texts[DAYS_ERROR_COUNT];
extern const obs_error_kind days_error_kinds[DAYS_ERROR_COUNT];

/* The plain fleet of this seed: its size, the number of ops and the noise differ from seed to seed. Nothing is planted.
 */
void days_world_init(days_world *w, uint64_t seed);
void days_world_fini(days_world *w);
/* Makes the day's rows. */
void days_world_make(days_world *w);

double days_uniform(days_world *w);
double days_between(days_world *w, double low, double high);
int days_below(days_world *w, int n);
/* Takes values of these attributes that come together in at least `least` rows of the day, and of which none comes only
 * with the others; false: there are none. */
bool days_pick(days_world *w, const days_attr *attrs, int n, int least, int32_t *values);
/* The name of a value as its op says it. */
void days_name(const days_world *w, days_attr attr, int32_t value, char out[DAYS_NAME]);
bool days_is_number(days_attr attr);
bool days_meets(const days_cond *conds, int nconds, const days_row *r);

#endif
