#include "alerts/condition.h"

#include "alerts/known.h"
#include "base/glob.h"
#include "base/number.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { EQUALS, EMPTY, GREATER, LESS, IN, MATCHES, ALWAYS, ALL, ANY, NOT, KINDS } condition_kind;

enum { FIELD = 1, VALUE = 2, THRESHOLD = 4, VALUES = 8, TEXT = 16, LIST = 32, ONE = 64 };

/* What a condition is called, and what it takes. */
static const struct {
  const char *name;
  unsigned takes;
} kinds[KINDS] = {[EQUALS] = {"FieldEquals", FIELD | VALUE},
                  [EMPTY] = {"FieldEmpty", FIELD},
                  [GREATER] = {"FieldGreater", FIELD | THRESHOLD},
                  [LESS] = {"FieldLess", FIELD | THRESHOLD},
                  [IN] = {"FieldIn", FIELD | VALUES},
                  [MATCHES] = {"FieldMatches", FIELD | TEXT},
                  [ALWAYS] = {"Always", 0},
                  [ALL] = {"All", LIST},
                  [ANY] = {"Any", LIST},
                  [NOT] = {"Not", ONE}};

struct obs_condition {
  condition_kind kind;
  uint32_t size; /* nodes of it and of those in it, which follow */
  bool glob;
  obs_field *field;
  obs_field_value *values;
  uint32_t nvalues;
  double threshold;
  uint32_t bit;     /* of its field in obs_op.present; 0: it is no field of the table */
  uint32_t offset;  /* of its field in obs_op */
  obs_op_kind type; /* of its field */
};

/* ---- reading ---- */

typedef struct {
  obs_conditions *out;
  char *error;
  size_t size;
} reading;

static bool fail(const reading *r, const char *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool fail(const reading *r, const char *at, const char *fmt, ...) {
  va_list args;
  int n = snprintf(r->error, r->size, "%s: ", at);
  va_start(args, fmt);
  if (n > 0 && (size_t)n < r->size) (void)vsnprintf(r->error + n, r->size - (size_t)n, fmt, args);
  va_end(args);
  return false;
}

/* Where a fault is; one that is longer than the room is cut. */
enum { PLACE_MAX = 256 };
static void place(char out[PLACE_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void place(char out[PLACE_MAX], const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  (void)vsnprintf(out, PLACE_MAX, fmt, args);
  va_end(args);
}

static obs_condition *push(const reading *r, condition_kind kind) {
  obs_condition *x = &r->out->nodes[r->out->n++];
  *x = (obs_condition){.kind = kind, .size = 1};
  return x;
}

static bool read_value(const reading *r, const cJSON *v, const char *at, obs_field_value *out) {
  if (cJSON_IsNull(v)) {
    out->type = OBS_FIELD_NULL;
  } else if (cJSON_IsBool(v)) {
    *out = (obs_field_value){.type = OBS_FIELD_BOOL, .b = cJSON_IsTrue(v) != 0};
  } else if (cJSON_IsNumber(v)) {
    *out = (obs_field_value){.type = OBS_FIELD_NUMBER, .n = v->valuedouble};
  } else if (cJSON_IsString(v)) {
    size_t n = strlen(v->valuestring);
    if (n > OBS_CONDITION_TEXT_MAX) return fail(r, at, "must be at most %d bytes", OBS_CONDITION_TEXT_MAX);
    *out = (obs_field_value){.type = OBS_FIELD_TEXT, .text = {strdup(v->valuestring), (uint32_t)n, 0}};
    if (out->text.p == NULL) return fail(r, at, "out of memory");
  } else {
    return fail(r, at, "must be a text, a number, true, false or null");
  }
  return true;
}

static bool read_values(const reading *r, const cJSON *v, const char *at, obs_condition *x) {
  char item_at[PLACE_MAX];
  uint32_t n = (uint32_t)cJSON_GetArraySize(v);
  if (!cJSON_IsArray(v) || n == 0 || n > OBS_CONDITION_VALUES)
    return fail(r, at, "must be a list of 1 to %d values", OBS_CONDITION_VALUES);
  x->values = calloc(n, sizeof(*x->values));
  if (x->values == NULL) return fail(r, at, "out of memory");
  const cJSON *item;
  cJSON_ArrayForEach(item, v) {
    place(item_at, "%s[%u]", at, x->nvalues);
    if (!read_value(r, item, item_at, &x->values[x->nvalues])) return false;
    x->nvalues++;
  }
  return true;
}

/* What a condition on a field takes. */
static bool read_members(const reading *r, const cJSON *json, const char *at, obs_condition *x) {
  static const char *const names[] = {"field", "value", "threshold", "values"};
  const unsigned bits[] = {FIELD, VALUE | TEXT, THRESHOLD, VALUES};
  unsigned takes = kinds[x->kind].takes;
  char member_at[PLACE_MAX], why[200];
  if (!cJSON_IsObject(json)) return fail(r, at, takes != 0 ? "must be an object" : "must be {}");
  const cJSON *m;
  cJSON_ArrayForEach(m, json) {
    size_t i = 0;
    while (i < 4 && ((bits[i] & takes) == 0 || strcmp(names[i], m->string) != 0)) i++;
    if (i < 4) continue;
    const char *taken[4];
    for (i = 0; i < 4; i++) taken[i] = (bits[i] & takes) != 0 ? names[i] : NULL;
    const char *near = obs_known_near(m->string, taken, 4);
    place(member_at, "%s.%.64s", at, m->string);
    return near != NULL ? fail(r, member_at, "is not known; did you mean %s?", near)
                        : fail(r, member_at, "is not known");
  }
  for (size_t i = 0; i < 4; i++) {
    if ((bits[i] & takes) == 0) continue;
    m = cJSON_GetObjectItemCaseSensitive(json, names[i]);
    place(member_at, "%s.%s", at, names[i]);
    if (m == NULL) return fail(r, member_at, "is missing");
    if (bits[i] == FIELD) {
      if (!cJSON_IsString(m)) return fail(r, member_at, "must be a dot path such as extra.tokens.input");
      if ((x->field = malloc(sizeof(*x->field))) == NULL) return fail(r, member_at, "out of memory");
      if (!obs_field_compile(m->valuestring, x->field, why, sizeof(why))) return fail(r, member_at, "%s", why);
    } else if (bits[i] == THRESHOLD) {
      if (!cJSON_IsNumber(m)) return fail(r, member_at, "must be a number");
      x->threshold = m->valuedouble;
    } else if (bits[i] == VALUES) {
      if (!read_values(r, m, member_at, x)) return false;
    } else {
      if ((takes & TEXT) != 0 && (!cJSON_IsString(m) || m->valuestring[0] == '\0'))
        return fail(r, member_at, "must be a text that is not empty");
      if ((x->values = calloc(1, sizeof(*x->values))) == NULL) return fail(r, member_at, "out of memory");
      if (!read_value(r, m, member_at, &x->values[0])) return false;
      x->nvalues = 1;
      x->glob = (takes & TEXT) != 0 && strpbrk(m->valuestring, "*?") != NULL;
    }
  }
  return true;
}

static bool read_list(const reading *r, const cJSON *list, const char *at, unsigned depth);

static bool read_one(const reading *r, const cJSON *json, const char *at, unsigned depth) {
  char below[PLACE_MAX];
  const cJSON *m = json != NULL ? json->child : NULL;
  if (!cJSON_IsObject(json) || m == NULL || m->next != NULL)
    return fail(r, at, "must be a condition such as {\"FieldEquals\": {\"field\": \"source\", \"value\": \"bot\"}}");
  if (depth == OBS_CONDITION_DEPTH) return fail(r, at, "conditions are nested deeper than %d", OBS_CONDITION_DEPTH);
  if (r->out->n == OBS_CONDITION_NODES) return fail(r, at, "has more than %d conditions", OBS_CONDITION_NODES);
  condition_kind kind = EQUALS;
  while (kind < KINDS && strcmp(kinds[kind].name, m->string) != 0) kind++;
  if (kind == KINDS) {
    const char *names[KINDS], *best;
    for (size_t i = 0; i < KINDS; i++) names[i] = kinds[i].name;
    best = obs_known_near(m->string, names, KINDS);
    return best != NULL ? fail(r, at, "%.64s is no condition; did you mean %s?", m->string, best)
                        : fail(r, at, "%.64s is no condition", m->string);
  }
  place(below, "%s.%s", at, kinds[kind].name);
  obs_condition *x = push(r, kind);
  bool ok = (kinds[kind].takes & LIST) != 0  ? read_list(r, m, below, depth + 1)
            : (kinds[kind].takes & ONE) != 0 ? read_one(r, m, below, depth + 1)
                                             : read_members(r, m, below, x);
  x->size = (uint32_t)(r->out->nodes + r->out->n - x);
  if (x->field != NULL && x->field->field < OBS_F_COUNT) {
    x->bit = OBS_BIT(x->field->field);
    x->offset = obs_op_fields[x->field->field].offset;
    x->type = obs_op_fields[x->field->field].kind;
  }
  return ok;
}

static bool read_list(const reading *r, const cJSON *list, const char *at, unsigned depth) {
  char item_at[PLACE_MAX];
  unsigned i = 0;
  if (!cJSON_IsArray(list) || list->child == NULL) return fail(r, at, "must be a list of conditions");
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    place(item_at, "%s[%u]", at, i++);
    if (!read_one(r, item, item_at, depth)) return false;
  }
  return true;
}

bool obs_conditions_read(const cJSON *list, const char *at, obs_conditions *out, char *error, size_t size) {
  const reading r = {out, error, size};
  *out = (obs_conditions){.nodes = calloc(OBS_CONDITION_NODES, sizeof(obs_condition))};
  if (out->nodes == NULL) return fail(&r, at, "out of memory");
  if (!read_list(&r, list, at, 0)) return false;
  obs_condition *fewer = realloc(out->nodes, out->n * sizeof(*fewer));
  if (fewer != NULL) out->nodes = fewer;
  return true;
}

void obs_conditions_fini(obs_conditions *c) {
  for (uint32_t i = 0; i < c->n; i++) {
    for (uint32_t k = 0; k < c->nodes[i].nvalues; k++) free((char *)(uintptr_t)c->nodes[i].values[k].text.p);
    free(c->nodes[i].values);
    free(c->nodes[i].field);
  }
  free(c->nodes);
  *c = (obs_conditions){0};
}

/* ---- asking ---- */

static bool equal(const obs_field_value *a, const obs_field_value *b) {
  if (a->type != b->type) return false;
  switch (a->type) {
  case OBS_FIELD_BOOL:
    return a->b == b->b;
  case OBS_FIELD_NUMBER:
    return a->n == b->n;
  case OBS_FIELD_TEXT:
    return obs_str_eq(a->text, b->text);
  case OBS_FIELD_NULL:
    return true;
  case OBS_FIELD_MISSING:
  case OBS_FIELD_TREE:
    break;
  }
  return false;
}

/* What most conditions are, without a value in between: on a field that the op lacks, and on texts, numbers and truths
 * of the table. Each op is asked by each rule, so this is where the time goes. False: it has to be read. */
static inline bool is_quick(const obs_condition *x, const obs_op *op, bool *result) {
  if (x->bit == 0) return false;
  if ((op->present & x->bit) == 0) {
    *result = x->kind == EMPTY;
    return true;
  }
  const void *at = (const char *)op + x->offset;
  if (x->type == OBS_KIND_TEXT && (x->kind == EQUALS || x->kind == IN)) {
    const obs_str *s = at;
    *result = false;
    for (const obs_field_value *v = x->values; v < x->values + x->nvalues && !*result; v++)
      *result = v->text.len == s->len && v->type == OBS_FIELD_TEXT && memcmp(v->text.p, s->p, s->len) == 0;
    return true;
  }
  if (x->type == OBS_KIND_TEXT && x->kind == EMPTY) {
    *result = ((const obs_str *)at)->len == 0;
    return true;
  }
  if (x->type == OBS_KIND_BOOL && x->kind == EQUALS) {
    *result = x->values->type == OBS_FIELD_BOOL && *(const bool *)at == x->values->b;
    return true;
  }
  if ((x->type == OBS_KIND_DURATION || x->type == OBS_KIND_INT) && (x->kind == GREATER || x->kind == LESS)) {
    double n = (double)*(const int64_t *)at;
    *result = x->kind == GREATER ? n > x->threshold : n < x->threshold;
    return true;
  }
  return false;
}

static bool holds(const obs_condition *x, const obs_op *op, const obs_op_unknown *unknown, obs_condition_room *room) {
  obs_field_value v;
  bool result;
  if (is_quick(x, op, &result)) return result;
  switch (x->kind) {
  case ALWAYS:
    return true;
  case ALL:
  case ANY:
    for (const obs_condition *y = x + 1; y < x + x->size; y += y->size)
      if (holds(y, op, unknown, room) == (x->kind == ANY)) return x->kind == ANY;
    return x->kind == ALL;
  case NOT:
    return !holds(x + 1, op, unknown, room);
  case EQUALS:
  case IN:
    v = obs_field_read(x->field, op, unknown, &room->text);
    for (uint32_t i = 0; i < x->nvalues; i++)
      if (equal(&v, &x->values[i])) return true;
    return false;
  case EMPTY:
    v = obs_field_read(x->field, op, unknown, &room->text);
    return v.type == OBS_FIELD_MISSING || v.type == OBS_FIELD_NULL || (v.type == OBS_FIELD_TEXT && v.text.len == 0);
  case GREATER:
  case LESS:
    v = obs_field_read(x->field, op, unknown, &room->text);
    if (v.type == OBS_FIELD_NUMBER) return x->kind == GREATER ? v.n > x->threshold : v.n < x->threshold;
    room->not_numbers += v.type != OBS_FIELD_MISSING;
    return false;
  case MATCHES:
    v = obs_field_read(x->field, op, unknown, &room->text);
    if (v.type != OBS_FIELD_TEXT) return false;
    if (x->glob) return obs_glob_matches(x->values[0].text, v.text);
    return v.text.len > 0 && memmem(v.text.p, v.text.len, x->values[0].text.p, x->values[0].text.len) != NULL;
  case KINDS:
    break;
  }
  return false;
}

bool obs_conditions_hold(const obs_conditions *c, const obs_op *op, const obs_op_unknown *unknown,
                         obs_condition_room *room) {
  bool result;
  for (const obs_condition *x = c->nodes; x < c->nodes + c->n; x += x->size)
    if (is_quick(x, op, &result) ? !result : !holds(x, op, unknown, room)) return false;
  return true;
}

obs_condition_quick obs_conditions_quick(const obs_conditions *c) {
  const obs_condition *x = c->nodes;
  obs_condition_quick q = {.test = OBS_CONDITION_NOTHING};
  if (c->n == 0 || x->bit == 0 || x->kind == EMPTY) return q;
  q.bit = x->bit;
  q.offset = x->offset;
  bool number = x->type == OBS_KIND_INT || x->type == OBS_KIND_DURATION;
  if (x->kind == EQUALS && x->type == OBS_KIND_TEXT && x->values->type == OBS_FIELD_TEXT) {
    q.test = OBS_CONDITION_TEXT_IS;
    q.text = x->values->text;
  } else if (x->kind == EQUALS && x->type == OBS_KIND_BOOL && x->values->type == OBS_FIELD_BOOL) {
    q.test = OBS_CONDITION_BOOL_IS;
    q.b = x->values->b;
  } else if (number && (x->kind == GREATER || x->kind == LESS)) {
    q.test = x->kind == GREATER ? OBS_CONDITION_MORE : OBS_CONDITION_LESS;
    q.n = x->threshold;
  }
  return q;
}

/* ---- in words ---- */

static void describe_value(const obs_field_value *v, obs_buf *out) {
  char number[OBS_NUMBER_MAX];
  if (v->type == OBS_FIELD_TEXT) {
    obs_buf_json_str(out, v->text);
  } else if (v->type == OBS_FIELD_NUMBER) {
    obs_buf_append(out, number, obs_number_format(v->n, number));
  } else {
    obs_buf_puts(out, v->type == OBS_FIELD_NULL ? "null" : v->b ? "true" : "false");
  }
}

static void describe_all(const obs_condition *from, const obs_condition *to, const char *between, bool nested,
                         obs_buf *out);

static void describe(const obs_condition *x, obs_buf *out) {
  const obs_field_value threshold = {.type = OBS_FIELD_NUMBER, .n = x->threshold};
  switch (x->kind) {
  case ALWAYS:
    obs_buf_puts(out, "always");
    return;
  case ALL:
  case ANY:
    describe_all(x + 1, x + x->size, x->kind == ALL ? " and " : " or ", true, out);
    return;
  case NOT:
    obs_buf_puts(out, "not (");
    describe(x + 1, out);
    obs_buf_putc(out, ')');
    return;
  case EMPTY:
    obs_buf_printf(out, "%s is empty", x->field->text);
    return;
  case GREATER:
  case LESS:
    obs_buf_printf(out, "%s is %s than ", x->field->text, x->kind == GREATER ? "more" : "less");
    describe_value(&threshold, out);
    return;
  case MATCHES:
    obs_buf_printf(out, "%s %s ", x->field->text, x->glob ? "matches" : "has");
    describe_value(&x->values[0], out);
    return;
  case EQUALS:
  case IN:
    obs_buf_printf(out, "%s is ", x->field->text);
    for (uint32_t i = 0; i < x->nvalues; i++) {
      if (i > 0) obs_buf_puts(out, i + 1 < x->nvalues ? ", " : " or ");
      describe_value(&x->values[i], out);
    }
    return;
  case KINDS:
    return;
  }
}

static void describe_all(const obs_condition *from, const obs_condition *to, const char *between, bool nested,
                         obs_buf *out) {
  bool several = nested && from < to && from + from->size < to;
  if (several) obs_buf_putc(out, '(');
  for (const obs_condition *x = from; x < to; x += x->size) {
    if (x > from) obs_buf_puts(out, between);
    describe(x, out);
  }
  if (several) obs_buf_putc(out, ')');
}

void obs_conditions_describe(const obs_conditions *c, obs_buf *out) {
  if (c->n == 0)
    obs_buf_puts(out, "always");
  else
    describe_all(c->nodes, c->nodes + c->n, " and ", false, out);
}
