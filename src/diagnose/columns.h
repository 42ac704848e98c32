/* What the diagnosis tries: every column of a view, by one number.
 *
 * The op's texts come first (obs_fact_field is their number), then its numbers and flags and its producer's own
 * members, then the minute of the hour and the hour of the day, where the window is long enough for one to come again.
 */
#ifndef OBS_DIAGNOSE_COLUMNS_H
#define OBS_DIAGNOSE_COLUMNS_H

#include "diagnose/diagnose.h"

enum {
  OBS_COLUMN_MINUTE = OBS_FACT_COUNT + OBS_FACT_MORE,
  OBS_COLUMN_HOUR,
  OBS_COLUMNS,
  OBS_TERM_VALUES = 64,
};

typedef struct {
  const char *name;
  const uint16_t *id; /* by row of the view; NULL: no op has it */
  uint32_t values;    /* ids are below this */
  bool number;        /* ids are obs_facts_code's */
  bool late;          /* may be known only when the op has ended, and so say what came of it */
  bool model;         /* its values take part in what is expected of an op (logit.h) */
  double spread;      /* usual standard deviation of the log odds of its values */
} obs_column;

typedef struct {
  const obs_facts_view *view;
  obs_column at[OBS_COLUMNS];
  uint16_t *minute, *hour;
} obs_columns;

/* False: no memory. The view must stay. */
bool obs_columns_open(const obs_facts_view *view, obs_columns *c);
void obs_columns_close(obs_columns *c);
/* Drops columns that say what came of an op. `takes`: which ops are looked at. A field whose values tell failures from
 * successes all but exactly says what failed and not why; so does a number that failures of every kind have (a cause
 * makes failures of its own kind). */
bool obs_columns_drop_outcomes(obs_columns *c, const uint8_t *takes);

/* One thing that an op must be like. */
typedef struct {
  int column;
  obs_diagnose_relation relation;
  uint16_t bound; /* ABOVE, AT_MOST: the greatest id that is not above */
  uint32_t n;     /* IS: any of these */
  uint16_t ids[OBS_TERM_VALUES];
} obs_columns_term;

/* Ops for which all of them hold; none: every op. */
typedef struct {
  uint32_t n;
  obs_columns_term terms[OBS_FINDING_CONDITIONS];
} obs_columns_where;

bool obs_columns_term_has(const obs_columns_term *t, uint16_t id);
static inline bool obs_columns_where_has(const obs_columns_where *w, const obs_columns *c, uint32_t row) {
  for (uint32_t k = 0; k < w->n; k++)
    if (!obs_columns_term_has(&w->terms[k], c->at[w->terms[k].column].id[row])) return false;
  return true;
}
static inline obs_columns_where obs_columns_where_is(int column, uint16_t id) {
  obs_columns_where w = {.n = 1};
  w.terms[0] = (obs_columns_term){.column = column,
                                  .relation = id == OBS_FACT_ABSENT ? OBS_RELATION_ABSENT : OBS_RELATION_IS,
                                  .n = id != OBS_FACT_ABSENT,
                                  .ids = {id}};
  return w;
}
/* Whether it is that one value and nothing else. */
bool obs_columns_where_is_value(const obs_columns_where *w, int column, uint16_t id);
bool obs_columns_where_same(const obs_columns_where *a, const obs_columns_where *b);
/* As text: of names their own, of numbers their digits. */
void obs_columns_text(const obs_columns *c, int column, uint16_t id, char out[OBS_FACT_NAME + 1]);
void obs_columns_describe(const obs_columns *c, const obs_columns_term *t, obs_diagnose_condition *out);

#endif
