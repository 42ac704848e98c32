/* Conditions on an op: read from JSON, compiled into one flat list, asked for each op.
 *
 *   {"FieldEquals": {"field": "source", "value": "bot"}}       typed: 1 is not "1"
 *   {"FieldEmpty": {"field": "error"}}                         missing, null or ""
 *   {"FieldGreater": {"field": "duration_ms", "threshold": 5000}}, FieldLess: false for what is no number, and counted
 *   {"FieldIn": {"field": "source", "values": ["bot", "mcp"]}} equal to one of them
 *   {"FieldMatches": {"field": "error", "value": "time*out"}}  a part of the text; with * or ? all of it
 *   {"Always": {}}   {"All": [...]}   {"Any": [...]}   {"Not": {...}}
 *
 * A list of conditions is All of them. At most OBS_CONDITION_NODES in a list, OBS_CONDITION_DEPTH levels. Asking is
 * pure but for the room: one thread a room. */
#ifndef OBS_ALERTS_CONDITION_H
#define OBS_ALERTS_CONDITION_H

#include "alerts/field.h"

#include <cjson/cJSON.h>

enum { OBS_CONDITION_NODES = 128, OBS_CONDITION_DEPTH = 8, OBS_CONDITION_VALUES = 256, OBS_CONDITION_TEXT_MAX = 4096 };

typedef struct obs_condition obs_condition;

typedef struct {
  obs_condition *nodes; /* NULL: always */
  uint32_t n;
} obs_conditions;

typedef struct {
  obs_buf text;         /* what reading needs */
  uint64_t not_numbers; /* values that were to be compared with a number, and are none */
} obs_condition_room;

/* Reads a list. False: `error` says what is wrong, below `at`: `when[1].FieldGreater.threshold: must be a number`. Fini
 * in either case. */
bool obs_conditions_read(const cJSON *list, const char *at, obs_conditions *out, char *error, size_t size);
void obs_conditions_fini(obs_conditions *c);
bool obs_conditions_hold(const obs_conditions *c, const obs_op *op, const obs_op_unknown *unknown,
                         obs_condition_room *room);
/* The first of a list as something that a few loads decide: each op is asked by each rule, and most are decided here.
 */
typedef enum {
  OBS_CONDITION_NOTHING,
  OBS_CONDITION_TEXT_IS,
  OBS_CONDITION_BOOL_IS,
  OBS_CONDITION_MORE,
  OBS_CONDITION_LESS
} obs_condition_test;

typedef struct {
  uint32_t bit; /* of a field that has to be there; 0: none has to */
  uint32_t offset;
  obs_condition_test test; /* what else can be said of it */
  bool b;
  double n;
  obs_str text; /* the conditions' own */
} obs_condition_quick;

obs_condition_quick obs_conditions_quick(const obs_conditions *c);

/* True: they do not hold. False: they may. */
static inline bool obs_condition_quick_refuses(const obs_condition_quick *q, const obs_op *op) {
  if ((op->present & q->bit) != q->bit) return true;
  const void *at = (const char *)op + q->offset;
  switch (q->test) {
  case OBS_CONDITION_NOTHING:
    return false;
  case OBS_CONDITION_TEXT_IS: {
    const obs_str *s = (const obs_str *)at;
    return s->len != q->text.len || memcmp(s->p, q->text.p, s->len) != 0;
  }
  case OBS_CONDITION_BOOL_IS:
    return *(const bool *)at != q->b;
  case OBS_CONDITION_MORE:
    return (double)*(const int64_t *)at <= q->n;
  case OBS_CONDITION_LESS:
    return (double)*(const int64_t *)at >= q->n;
  }
  return false;
}

/* Appends them in words: `source is "bot" and error is empty`. */
void obs_conditions_describe(const obs_conditions *c, obs_buf *out);

#endif
