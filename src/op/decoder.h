/* Decoding an op: what the msgpack and the JSON reader share.
 *
 * A reader walks the bytes once, hands each value of a known field to obs_decoder_set, and keeps unknown ones as JSON
 * text. Outcomes are the reader's (reader.h); SCHEMA: an unknown field `schema` came where `look_for_schema` asks for
 * it, so the map may be a record of another kind; it is to be read again as what it is. */
#ifndef OBS_OP_DECODER_H
#define OBS_OP_DECODER_H

#include "op/batch.h"
#include "op/reader.h"

typedef struct {
  obs_reader r;
  obs_batch *b;
  obs_op_profile profile;
  int64_t now_ms;
  int64_t sent_ms;   /* of the message (base/stamp.h); 0: it does not say */
  uint64_t producer; /* of the message; 0: not known */
  uint32_t offset;   /* of the message, in the batch's data */
  uint32_t index;    /* of the op, in the message */
  const obs_record_kind *only;
  const obs_key *bound; /* of the sender, and bound to sources; NULL: it may name any */
  bool trusted;         /* the sender may give what the daemon sets */
  bool look_for_schema;
  /* The op being read. */
  obs_op *op;
  uint32_t seen;       /* bit per obs_op_field, null ones too */
  uint32_t expect;     /* the field that usually comes next */
  obs_cursor_value ok; /* the alias of success */
  uint32_t ok_at;      /* its place among the unknown fields */
  bool ok_seen;
} obs_decoder;

enum { OBS_DECODER_UNKNOWN = OBS_F_COUNT };

/* Starts op `d->index`: takes a place in ops[]. WRONG when there is no memory. */
obs_reader_result obs_decoder_begin(obs_decoder *d);
/* Which field a key names; counts it as seen. WRONG for a second one. */
obs_reader_result obs_decoder_key(obs_decoder *d, obs_str key, uint32_t *field);
/* Gives a known field its value by its kind's rule. */
obs_reader_result obs_decoder_set(obs_decoder *d, uint32_t field, const obs_cursor_value *v);
/* The same for a field of kind JSON. */
void obs_decoder_set_json(obs_decoder *d, uint32_t field, obs_str json);
/* Keeps a field that the table does not have (or, in replay, one of another type). `v` is used for `ok` only. */
obs_reader_result obs_decoder_keep(obs_decoder *d, obs_str key, obs_str json, const obs_cursor_value *v);
/* Ends the op that began at `start`: its source, `ok`, limits, defaults, required fields. Then it stands in ops[]; its
 * JSON line is written by the batch. */
obs_reader_result obs_decoder_end(obs_decoder *d, const uint8_t *start);

/* Whether the sender, whose key is bound, may speak as `source`; WRONG counts as denied. */
obs_reader_result obs_decoder_check_source(obs_decoder *d, obs_str source);
/* Counts as denied: WRONG, of `source`. */
obs_reader_result obs_decoder_deny(obs_decoder *d, const char *text);

/* A format: an op at the cursor (which is at a map); moving over any value; what a map's member `schema` says (p NULL:
 * none that is a text), the cursor anywhere then; the map as JSON text, of which msgpack makes one in `buf`. */
typedef struct {
  obs_reader_result (*op)(obs_decoder *d);
  bool (*skip)(obs_cursor *c);
  obs_str (*schema)(obs_decoder *d);
  obs_reader_result (*record)(obs_decoder *d, obs_buf *buf, obs_str *json);
} obs_decoder_format;

extern const obs_decoder_format obs_decoder_json, obs_decoder_msgpack;

#endif
