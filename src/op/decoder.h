/* Decoding by schema: what the msgpack and the JSON reader share.
 *
 * A reader walks the bytes once, hands each value of a known field to obs_decoder_set as an obs_decoder_value, and
 * keeps unknown ones as JSON text. It never trusts a declared count: counts are checked against the bytes that remain,
 * nesting is counted, nothing is allocated by what a header claims.
 *
 * Outcomes: OK; WRONG (this op is rejected, the reader can go on behind it); BROKEN (syntax: the message ends here).
 * For these two `reason` says why. SCHEMA: an unknown field `schema` came where `look_for_schema` asks for it, so the
 * map may be a session record; it is to be read again as what it is. */
#ifndef OBS_OP_DECODER_H
#define OBS_OP_DECODER_H

#include "op/batch.h"

typedef enum { OBS_DECODE_OK, OBS_DECODE_WRONG, OBS_DECODE_BROKEN, OBS_DECODE_SCHEMA } obs_decoder_result;

typedef enum {
  OBS_VALUE_NULL,
  OBS_VALUE_SKIPPED, /* msgpack ext */
  OBS_VALUE_BOOL,
  OBS_VALUE_INT,
  OBS_VALUE_BIG, /* an integer beyond int64, or a number of more than 1023 characters */
  OBS_VALUE_FLOAT,
  OBS_VALUE_TEXT,
  OBS_VALUE_TREE /* a map or array */
} obs_decoder_value_kind;

typedef struct {
  obs_decoder_value_kind kind;
  bool b;
  int64_t i;
  double d;
  obs_str s;
} obs_decoder_value;

typedef struct {
  obs_batch *b;
  const obs_op_limits *limits;
  obs_op_profile profile;
  int64_t now_ms;
  const uint8_t *base, *p, *end;
  /* The op being read. */
  obs_op *op;
  uint32_t index;  /* in the message */
  uint32_t seen;   /* bit per obs_op_field, null ones too */
  uint32_t expect; /* the field that usually comes next */
  uint32_t key_index;
  obs_decoder_value ok; /* the alias of success */
  uint32_t ok_at;       /* its place among the unknown fields */
  bool ok_seen;
  bool look_for_schema;
  char reason[256];
} obs_decoder;

enum { OBS_KEY_UNKNOWN = OBS_F_COUNT };

/* Sets the reason and returns its outcome. `field` is cut at 64 bytes or a little before. */
obs_decoder_result obs_decoder_wrong(obs_decoder *d, obs_str field, const char *text);
obs_decoder_result obs_decoder_wrong_limit(obs_decoder *d, obs_str field, const char *fmt, uint32_t limit);
obs_decoder_result obs_decoder_broken(obs_decoder *d, const char *what, const uint8_t *at);

/* Starts op `d->index`: takes a place in ops[]. WRONG when there is no memory. */
obs_decoder_result obs_decoder_begin(obs_decoder *d);
/* Which field a key names; counts it as seen. WRONG for a second one. */
obs_decoder_result obs_decoder_key(obs_decoder *d, obs_str key, uint32_t *field);
/* Gives a known field its value by its kind's rule. */
obs_decoder_result obs_decoder_set(obs_decoder *d, uint32_t field, const obs_decoder_value *v);
/* Keeps a field that the table does not have (or, in replay, one of another type). `v` is used for `ok` only. */
obs_decoder_result obs_decoder_keep(obs_decoder *d, obs_str key, obs_str json, const obs_decoder_value *v);
/* Ends the op: defaults, required fields, limits. Then the op stands in ops[] (its JSON line is written by the batch).
 */
obs_decoder_result obs_decoder_end(obs_decoder *d, const uint8_t *start);

/* What a text and a number of any table must be; `name` is who gets blamed. */
obs_decoder_result obs_decoder_text(obs_decoder *d, obs_str name, obs_str s, obs_str *out);
/* A double is rounded, or must be integral. */
obs_decoder_result obs_decoder_int(obs_decoder *d, obs_str name, const obs_decoder_value *v, bool rounded,
                                   int64_t *out);
/* A duration: rounded, not negative. */
obs_decoder_result obs_decoder_duration(obs_decoder *d, obs_str name, const obs_decoder_value *v, int64_t *out);

static inline obs_str obs_op_field_name(uint32_t field) {
  return (obs_str){obs_op_fields[field].name, obs_op_fields[field].name_len, 1};
}

/* The readers: one op at d->p (which is a map / an object), and the skipping of one value at d->p. */
obs_decoder_result obs_msgpack_op(obs_decoder *d);
obs_decoder_result obs_msgpack_skip(obs_decoder *d);
/* A batch's header. Its count is not checked: nothing is made by it, and what comes before a cut stands. */
obs_decoder_result obs_msgpack_array(obs_decoder *d, uint32_t *count);
/* Any one msgpack value, appended to `out` as JSON text. Returns the bytes it took; 0: it is broken, or JSON cannot say
 * it (a key that is no string, text that is not UTF-8, NaN, more than 32 levels). What was appended then is of no use.
 */
size_t obs_msgpack_to_json(const void *data, size_t size, obs_buf *out);
bool obs_msgpack_is_array(const obs_decoder *d);
bool obs_msgpack_is_map(const obs_decoder *d);
/* Whether the map at d->p has `schema` as a session record has it. Moves d->p. */
bool obs_msgpack_is_session(obs_decoder *d);
/* Moves over the map at d->p; it as JSON text, of which msgpack makes one in `buf`. */
obs_decoder_result obs_msgpack_record(obs_decoder *d, obs_buf *buf, obs_str *json);

obs_decoder_result obs_json_op(obs_decoder *d);
obs_decoder_result obs_json_skip(obs_decoder *d);
void obs_json_space(obs_decoder *d);
bool obs_json_is_session(obs_decoder *d);
obs_decoder_result obs_json_record(obs_decoder *d, obs_buf *buf, obs_str *json);
/* For readers of other tables, d->expect being OBS_F_COUNT: a member's key up to its value, a value to set, a value to
 * keep. */
obs_decoder_result obs_json_key(obs_decoder *d, obs_str *key);
obs_decoder_result obs_json_value_at(obs_decoder *d, obs_str name, obs_decoder_value *v);
obs_decoder_result obs_json_keep(obs_decoder *d, obs_str name, obs_str *json);

/* Defaults of the profile, then what must hold (normalise.c). */
obs_decoder_result obs_decoder_normalise(obs_decoder *d);
/* Appends the op's JSON line with its newline (encode.c). */
void obs_op_encode(obs_buf *out, const obs_op *op, const obs_op_unknown *unknown);
/* Number() of JavaScript on a string; NaN when it is not a number. */
double obs_js_number(obs_str s);

#endif
