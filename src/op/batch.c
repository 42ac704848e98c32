#include "op/batch.h"

#include "access/key_text.h"
#include "base/json_cursor.h"
#include "base/msgpack_cursor.h"
#include "base/stamp.h"
#include "base/vec.h"
#include "op/decoder.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* SMALLEST: what a batch of one op allocates beyond its own bytes. */
enum { SMALLEST = 4096 };
enum { KEEP_OPS = 1024, KEEP_UNKNOWN = 4096, KEEP_REJECTS = 256, KEEP_RECORDS = 256, KEEP_JSON = 1 << 20 };

const char *const obs_reject_class_names[OBS_REJECT_CLASSES] = {
#define REJECT_NAME(name, text) text,
    OBS_REJECT_MAP(REJECT_NAME)
#undef REJECT_NAME
};

const char *const obs_transport_names[OBS_TRANSPORT_COUNT] = {
#define OBS_TRANSPORT_NAME(name, text, ...) text,
    OBS_TRANSPORT_MAP(OBS_TRANSPORT_NAME)
#undef OBS_TRANSPORT_NAME
};

const obs_transport_policy obs_transport_policies[OBS_TRANSPORT_COUNT] = {
#define OBS_TRANSPORT_POLICY(name, text, ...) {__VA_ARGS__},
    OBS_TRANSPORT_MAP(OBS_TRANSPORT_POLICY)
#undef OBS_TRANSPORT_POLICY
};

static bool reserve_rejects(obs_batch *b, uint32_t more) {
  return obs_vec_reserve((void **)&b->rejects, &b->rejects_cap, b->nrejects + more, sizeof(*b->rejects));
}

observer_err obs_batch_init(obs_batch *b) {
  *b = (obs_batch){0};
  return reserve_rejects(b, 2) ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

void obs_batch_fini(obs_batch *b) {
  free(b->ops);
  free(b->lines);
  free(b->own_clusters);
  free(b->records);
  free(b->unknown);
  free(b->rejects);
  obs_buf_fini(&b->json);
  obs_arena_fini(&b->arena);
  *b = (obs_batch){0};
}

/* What one large message needed is given back; what a usual one needs stays. */
static void shrink(void **items, uint32_t *cap, uint32_t keep) {
  if (*cap <= keep) return;
  free(*items);
  *items = NULL;
  *cap = 0;
}

void obs_batch_reset(obs_batch *b) {
  uint32_t lines_cap = b->ops_cap; /* one capacity for both */
  shrink((void **)&b->lines, &lines_cap, KEEP_OPS);
  shrink((void **)&b->ops, &b->ops_cap, KEEP_OPS);
  shrink((void **)&b->unknown, &b->unknown_cap, KEEP_UNKNOWN);
  if (b->rejects_cap > KEEP_REJECTS) { /* never to nothing: a message without memory is rejected too */
    obs_batch_rejected *fewer = realloc(b->rejects, KEEP_REJECTS * sizeof(*fewer));
    if (fewer != NULL) {
      b->rejects = fewer;
      b->rejects_cap = KEEP_REJECTS;
    }
  }
  shrink((void **)&b->records, &b->records_cap, KEEP_RECORDS);
  shrink((void **)&b->own_clusters, &b->clusters_cap, KEEP_OPS);
  b->clusters = NULL;
  obs_buf_reset(&b->json, KEEP_JSON);
  obs_arena_reset(&b->arena);
  b->data = NULL;
  b->size = 0;
  b->topic = (obs_str){0};
  b->single = b->msgpack = false;
  b->messages = 0;
  b->message_bytes = 0;
  b->kinds = NULL;
  b->producer = 0;
  b->more = b->pipelined = false;
  b->only = NULL;
  b->identity = NULL;
  b->key_id[0] = '\0';
  b->redact = NULL;
  b->from = NULL;
  b->secret = b->looked = false;
  b->whole_off = b->whole_size = 0;
  b->nops = b->nrecords = b->nunknown = b->nrejects = b->denied = 0;
  b->error = OBSERVER_E_OK;
  b->error_text[0] = '\0';
  b->recorded = b->recorded_ops = b->duplicates = b->ring_size = 0;
  b->last_seq = 0;
  b->next = NULL;
}

size_t obs_batch_bytes(const obs_batch *b) {
  return SMALLEST + sizeof(*b) + b->size + b->json.len + b->arena.bytes +
         (size_t)b->nops * (sizeof(*b->ops) + sizeof(*b->lines)) + (size_t)b->nunknown * sizeof(*b->unknown) +
         (size_t)b->nrecords * sizeof(*b->records) + (size_t)b->nrejects * sizeof(*b->rejects);
}

uint64_t *obs_batch_clusters(obs_batch *b) {
  if (b->clusters != NULL || b->nops == 0) return b->clusters;
  if (b->clusters_cap < b->nops) {
    uint64_t *p = reallocarray(b->own_clusters, b->nops, sizeof(*p));
    if (p == NULL) return NULL;
    b->own_clusters = p;
    b->clusters_cap = b->nops;
  }
  memset(b->own_clusters, 0, b->nops * sizeof(*b->own_clusters));
  return b->clusters = b->own_clusters;
}

/* With the first reject of a message: one that cannot be looked into is not kept. The look costs as much as decoding,
 * so it is for those alone. */
static void note_opaque(obs_batch *b) {
  b->secret = b->redact != NULL && obs_redact_is_opaque(b->data + b->whole_off, b->whole_size);
  b->looked = true;
}

void obs_batch_reject(obs_batch *b, obs_reject_class why, uint32_t index, uint32_t offset, uint32_t length,
                      const char *fmt, ...) {
  char text[256];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof(text), fmt, ap);
  va_end(ap);
  size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
  if (!reserve_rejects(b, 1)) return;
  char *reason = obs_arena_alloc(&b->arena, len + 1);
  if (reason != NULL) {
    memcpy(reason, text, len);
    reason[len] = '\0';
  }
  obs_str key;
  if (!b->looked) note_opaque(b);
  if (b->secret || (length > 0 && obs_key_text_find(b->from + offset, length, &key))) length = 0; /* nobody's is kept */
  b->rejects[b->nrejects++] =
      (obs_batch_rejected){index, b->from, offset, length, why, reason != NULL ? reason : "out of memory"};
}

static void reject(obs_decoder *d, const uint8_t *start, const uint8_t *end) {
  obs_batch_reject(d->b, d->r.why, d->index, d->offset + (uint32_t)(start - d->r.in.base), (uint32_t)(end - start),
                   "%s", d->r.reason);
}

/* ---- one map ---- */

/* The map at the cursor as an op; its line is written. */
static obs_reader_result decode_op(obs_decoder *d, const obs_decoder_format *format) {
  obs_batch *b = d->b;
  obs_reader_result rc = obs_decoder_begin(d);
  if (rc == OBS_READ_OK) rc = format->op(d);
  if (rc != OBS_READ_OK) return rc;
  size_t off = b->json.len;
  obs_op_encode(&b->json, d->op, d->op->unknown_count > 0 ? b->unknown + d->op->unknown_first : NULL);
  if (b->json.oom) return obs_reader_no_memory(&d->r, OBS_STR("op"));
  b->lines[b->nops++] = (obs_batch_line){.off = (uint32_t)off, .len = (uint32_t)(b->json.len - off), .index = d->index};
  return OBS_READ_OK;
}

/* A record has no source of its own kind: who may speak as some sources only must name one of them, in a member
 * `source`, and nothing else under that name. */
static obs_reader_result check_record_source(obs_decoder *d, obs_str json) {
  if (d->bound == NULL) return OBS_READ_OK;
  obs_reader r = d->r;
  obs_str key;
  obs_cursor_value v;
  bool named = false;
  r.in = obs_cursor_of(json.p, json.len);
  obs_json_cursor_space(&r.in);
  r.in.p++; /* the map's brace */
  obs_json_cursor_space(&r.in);
  for (bool more = !obs_json_cursor_take(&r.in, '}'); more; more = obs_json_cursor_take(&r.in, ',')) {
    obs_reader_result rc = obs_reader_json_key(&r, &key);
    bool source = rc == OBS_READ_OK && obs_str_is(key, "source");
    if (source) rc = obs_reader_json_value(&r, key, &v);
    if (source && rc == OBS_READ_OK && v.kind != OBS_VALUE_TEXT) rc = obs_reader_wrong(&r, key, "must be a string");
    if (source && rc == OBS_READ_OK) rc = obs_reader_text(&r, key, v.s, &v.s);
    if (rc == OBS_READ_OK && !source && !obs_json_cursor_skip(&r.in)) rc = obs_reader_refused(&r, OBS_STR("source"));
    if (rc != OBS_READ_OK) {
      memcpy(d->r.reason, r.reason, sizeof d->r.reason);
      d->r.why = r.why;
      return OBS_READ_WRONG;
    }
    if (source && (rc = obs_decoder_check_source(d, v.s)) != OBS_READ_OK) return rc;
    named |= source;
    obs_json_cursor_space(&r.in);
  }
  if (named) return OBS_READ_OK;
  return obs_decoder_deny(d, "required: this key may speak for its own sources only");
}

/* The map at the cursor as the row of a record. */
static obs_reader_result decode_record(obs_decoder *d, const obs_decoder_format *format, const obs_record_kind *kind) {
  obs_batch *b = d->b;
  obs_str name = obs_str_of(kind->name);
  obs_buf text = {0};
  obs_str json;
  const uint8_t *start = d->r.in.p;
  size_t off = b->json.len;
  obs_reader_result rc = format->record(d, &text, &json);
  if (rc == OBS_READ_OK && (size_t)(d->r.in.p - start) > d->r.limits->op_bytes)
    rc = obs_reader_wrong_limit(&d->r, name, "larger than %u bytes", d->r.limits->op_bytes);
  if (rc == OBS_READ_OK && !text.oom) rc = check_record_source(d, json);
  if (rc == OBS_READ_OK &&
      (text.oom || !obs_vec_reserve((void **)&b->records, &b->records_cap, b->nrecords + 1, sizeof(*b->records))))
    rc = obs_reader_no_memory(&d->r, name);
  if (rc == OBS_READ_OK && !kind->normalise(json, d->r.limits, d->now_ms, &b->json, d->r.reason, sizeof(d->r.reason))) {
    d->r.why = OBS_REJECT_VALUE;
    rc = OBS_READ_WRONG;
  }
  if (rc == OBS_READ_OK)
    b->records[b->nrecords++] = (obs_batch_line){.off = (uint32_t)off,
                                                 .len = (uint32_t)(b->json.len - off),
                                                 .index = d->index,
                                                 .kind = (uint8_t)(kind - b->kinds->at)};
  else
    b->json.len = off;
  obs_buf_fini(&text);
  return rc;
}

/* The kind whose schema the map at the cursor carries; NULL: none. */
static const obs_record_kind *find_kind(obs_decoder *d, const obs_decoder_format *format) {
  const obs_record_kinds *kinds = d->b->kinds;
  const uint8_t *start = d->r.in.p;
  obs_str schema = format->schema(d);
  d->r.in.p = start;
  for (uint32_t i = 0; schema.p != NULL && i < kinds->n; i++) {
    if (obs_str_is(schema, kinds->at[i].schema)) return &kinds->at[i];
  }
  return NULL;
}

/* An op, or a record: which kind is looked up only where a map has a `schema` or is no good as an op. */
static obs_reader_result decode_map(obs_decoder *d, const obs_decoder_format *format) {
  const uint8_t *start = d->r.in.p;
  uint32_t unknown = d->b->nunknown;
  char reason[sizeof(d->r.reason)];
  obs_reject_class why;
  if (d->only != NULL) return decode_record(d, format, d->only);
  d->look_for_schema = d->b->kinds != NULL;
  obs_reader_result rc = decode_op(d, format);
  if (rc == OBS_READ_OK || rc == OBS_READ_BROKEN || !d->look_for_schema) return rc;
  memcpy(reason, d->r.reason, sizeof(reason));
  why = d->r.why;
  d->b->nunknown = unknown;
  d->r.in.p = start;
  const obs_record_kind *kind = find_kind(d, format);
  if (kind != NULL) return decode_record(d, format, kind);
  d->look_for_schema = false; /* somebody else's schema: an unknown field of an op */
  if (rc == OBS_READ_SCHEMA) return decode_op(d, format);
  memcpy(d->r.reason, reason, sizeof(reason));
  d->r.why = why;
  return rc;
}

/* One element at the cursor. OK also when it was wrong and could be stepped over: then it is a reject. */
static obs_reader_result decode_element(obs_decoder *d, const obs_decoder_format *format, bool is_map) {
  const uint8_t *start = d->r.in.p;
  uint32_t unknown = d->b->nunknown;
  if (d->index >= d->r.limits->message_ops) {
    snprintf(d->r.reason, sizeof(d->r.reason), "message: more than %u ops", d->r.limits->message_ops);
    d->r.why = OBS_REJECT_LIMIT;
    return OBS_READ_BROKEN;
  }
  /* A place for its reject, and one for the reject that ends the message: none is lost when memory runs out. */
  if (!reserve_rejects(d->b, 2)) {
    obs_reader_no_memory(&d->r, OBS_STR("message"));
    return OBS_READ_BROKEN;
  }
  obs_str what = obs_str_of(d->only != NULL ? d->only->name : "op");
  obs_reader_result rc = is_map ? decode_map(d, format) : obs_reader_wrong(&d->r, what, "must be a map");
  if (rc == OBS_READ_WRONG) { /* it was left in its middle: step over it from its start */
    d->b->nunknown = unknown;
    d->r.in.p = start;
    if (!format->skip(&d->r.in)) return obs_reader_refused(&d->r, what);
    reject(d, start, d->r.in.p);
    rc = OBS_READ_OK;
  }
  if (rc == OBS_READ_OK) d->index++;
  return rc;
}

/* ---- a message ---- */

static obs_reader_result decode_msgpack_value(obs_decoder *d, bool *array) {
  obs_cursor *in = &d->r.in;
  uint32_t count = 1;
  *array = obs_msgpack_cursor_is_array(in);
  if (*array && !obs_msgpack_cursor_array(in, &count)) return obs_reader_refused(&d->r, OBS_STR("message"));
  obs_reader_result rc = OBS_READ_OK;
  for (uint32_t i = 0; rc == OBS_READ_OK && i < count; i++) {
    if (in->p >= in->end) {
      obs_cursor_fail(in, "msgpack: truncated", in->end);
      return obs_reader_refused(&d->r, OBS_STR("message"));
    }
    rc = decode_element(d, &obs_decoder_msgpack, obs_msgpack_cursor_is_map(in));
  }
  return rc;
}

/* One value of the payload: an op, or an array of them. */
static obs_reader_result decode_json_value(obs_decoder *d, bool *array) {
  obs_cursor *in = &d->r.in;
  *array = obs_json_cursor_take(in, '[');
  obs_json_cursor_space(in);
  if (*array && obs_json_cursor_take(in, ']')) return OBS_READ_OK;
  for (;;) {
    obs_json_cursor_space(in);
    obs_reader_result rc = decode_element(d, &obs_decoder_json, in->p < in->end && *in->p == '{');
    if (rc != OBS_READ_OK || !*array) return rc;
    obs_json_cursor_space(in);
    if (obs_json_cursor_take(in, ']')) return OBS_READ_OK;
    if (!obs_json_cursor_take(in, ',')) {
      obs_json_cursor_unexpected(in);
      return obs_reader_refused(&d->r, OBS_STR("message"));
    }
  }
}

/* One op a line: behind a broken line the next one that starts an op is as good as ever. White space before it means
 * that it is inside of something. */
static bool next_line(obs_cursor *in) {
  const uint8_t *p = in->p > in->base ? in->p - 1 : in->p;
  while (in->end - p >= 2) {
    p = memchr(p, '\n', (size_t)(in->end - p) - 1);
    if (p == NULL) return false;
    in->p = ++p;
    while (obs_json_cursor_mark(in)) {
    }
    if (in->p < in->end && *in->p == '{') return true;
  }
  return false;
}

/* Values one after another until the end: concatenated maps, lines, or one array. */
static void decode_payload(obs_decoder *d, bool msgpack) {
  obs_cursor *in = &d->r.in;
  uint32_t values = 0;
  bool array = false;
  if (msgpack && in->p < in->end && *in->p < 0x80) {
    /* A text that was declared as msgpack: each byte of it is a number, which would be a reject. */
    (void)obs_reader_wrong(&d->r, obs_str_of(d->only != NULL ? d->only->name : "op"), "must be a map");
    reject(d, in->p, in->end);
    d->index++;
    return;
  }
  for (;; values++) {
    if (!msgpack) obs_json_cursor_margin(in);
    if (in->p >= in->end) break;
    const uint8_t *start = in->p;
    obs_reader_result rc = msgpack ? decode_msgpack_value(d, &array) : decode_json_value(d, &array);
    if (rc == OBS_READ_OK) continue;
    bool resume =
        !msgpack && !array && d->index < d->r.limits->message_ops && reserve_rejects(d->b, 2) && next_line(in);
    reject(d, start, resume ? in->p : in->end);
    d->index++;
    if (!resume) return;
  }
  d->b->single = values == 1 && !array;
  if (values == 0)
    obs_batch_reject(d->b, OBS_REJECT_SYNTAX, 0, d->offset, (uint32_t)(in->end - in->base), "message: empty");
}

/* Whether a message begins with its payload: a msgpack map or array marker, or `{` or `[`. */
static bool starts_payload(uint8_t c) {
  return c == '{' || c == '[' || (c & 0xe0) == 0x80 || (c >= 0xdc && c <= 0xdf);
}

/* Behind byte order marks and white space, where JSON follows them: editors and shells write those. Else `data`. */
static const uint8_t *skip_mark(const uint8_t *data, size_t size) {
  obs_cursor c = obs_cursor_of(data, size);
  obs_json_cursor_margin(&c);
  return c.p < c.end && (*c.p == '{' || *c.p == '[') ? c.p : data;
}

/* Nothing but such marks and white space. */
static bool is_blank(const uint8_t *data, size_t size) {
  obs_cursor c = obs_cursor_of(data, size);
  obs_json_cursor_margin(&c);
  return c.p == c.end;
}

/* JSON behind a mark, in either order of its bytes. */
static bool is_utf16(const uint8_t *data, size_t size) {
  static const char starts[][4] = {
      {'\xff', '\xfe', '{', 0}, {'\xff', '\xfe', '[', 0}, {'\xfe', '\xff', 0, '{'}, {'\xfe', '\xff', 0, '['}};
  for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
    if (size >= sizeof starts[i] && memcmp(data, starts[i], sizeof starts[i]) == 0) return true;
  return false;
}

const uint8_t *obs_batch_payload(const uint8_t *data, size_t size, obs_str *topic) {
  if (size == 0) return NULL;
  data = skip_mark(data, size);
  if (starts_payload(*data)) return data;
  const uint8_t *nul = memchr(data, 0, size);
  if (nul == NULL || nul + 1 == data + size) return NULL;
  *topic = (obs_str){(const char *)data, (uint32_t)(nul - data), 0};
  return nul + 1;
}

uint64_t obs_batch_new_producer(void) {
  static _Atomic uint64_t last;
  return atomic_fetch_add(&last, 1) + 1;
}

/* Places in a message that has a stamp count from its payload: its sender does not know the stamp. */
static void take_stamp(obs_decoder *d) {
  obs_cursor *in = &d->r.in;
  uint32_t len = obs_stamp_read(d->b->topic, &d->sent_ms, &d->producer);
  if (len == d->b->topic.len) return;
  d->b->topic.len = len;
  d->offset += (uint32_t)(in->p - in->base);
  *in = obs_cursor_of(in->p, (size_t)(in->end - in->p));
}

static const obs_key *bound_key(const obs_identity *i) {
  return i != NULL && i->key != NULL && i->key->nsources > 0 ? i->key : NULL;
}

/* ---- redaction ---- */

/* Copies what was redacted to the arena, where decoding goes on. False: no memory. */
static bool keep_redacted(obs_batch *b, obs_buf *text) {
  char *copy = text->oom ? NULL : obs_arena_alloc(&b->arena, text->len + 1);
  if (copy != NULL) memcpy(copy, text->p, text->len);
  obs_buf_fini(text);
  b->from = (const uint8_t *)copy;
  return copy != NULL;
}

/* Before a message is redacted: bytes that hold a key, or that cannot be looked into, are not kept. */
static void note_secrets(obs_batch *b, const uint8_t *p, size_t size) {
  obs_str key;
  b->secret = b->redact != NULL && (obs_redact_is_opaque(p, size) || obs_key_text_find(p, size, &key));
  b->looked = true;
}

/* A message that is refused as a whole: what it is cannot be told, or is no matter. */
static void reject_message(obs_batch *b, size_t off, size_t size, obs_reject_class why, const char *words) {
  obs_buf text = {0};
  note_secrets(b, b->data + off, size);
  if (!b->secret && obs_redact_bytes(b->redact, b->data + off, size, &text)) {
    size = text.len;
    off = 0;
    if (!keep_redacted(b, &text)) size = 0;
  }
  obs_batch_reject(b, why, 0, (uint32_t)off, (uint32_t)size, "%s", words);
}

/* The payload at the cursor becomes its redacted form, and `limits` what it may be then: tokens can be longer than what
 * they stand for. False: no memory, which is a reject. */
static bool redact_payload(obs_decoder *d, obs_op_limits *limits) {
  obs_batch *b = d->b;
  obs_cursor *in = &d->r.in;
  size_t size = obs_cursor_left(in);
  obs_buf text = {0};
  obs_redact_format format = b->msgpack ? OBS_REDACT_MSGPACK : OBS_REDACT_JSON;
  if (!obs_redact_message(b->redact, format, in->p, size, limits->string_bytes, &text)) return true;
  size_t redacted = text.len;
  note_secrets(b, in->p, size);
  if (!keep_redacted(b, &text)) {
    obs_batch_reject(b, OBS_REJECT_MEMORY, 0, 0, 0, "message: out of memory");
    return false;
  }
  *in = obs_cursor_of(b->from, redacted);
  d->offset = 0;
  if (redacted > size) limits->op_bytes += (uint32_t)(redacted - size);
  d->r.limits = limits;
  return true;
}

/* ---- all together ---- */

void obs_batch_add_message(obs_batch *b, size_t off, size_t size, obs_batch_format format, const obs_op_limits *limits,
                           int64_t now_ms) {
  obs_decoder d = {.r = {.in = obs_cursor_of(b->data + off, size), .limits = limits, .arena = &b->arena},
                   .b = b,
                   .profile = b->profile,
                   .now_ms = now_ms,
                   .producer = b->producer,
                   .offset = (uint32_t)off,
                   .only = b->only,
                   .bound = bound_key(b->identity),
                   .trusted = b->identity == NULL || obs_identity_may(b->identity, OBS_SCOPE_ADMIN)};
  if (b->identity != NULL && b->identity->key != NULL)
    memcpy(b->key_id, b->identity->key->id, sizeof b->key_id);
  else
    b->key_id[0] = '\0';
  obs_op_limits grown = *limits;
  b->from = b->data;
  b->secret = b->looked = false;
  b->whole_off = off;
  b->whole_size = size;
  b->messages++;
  b->message_bytes += size;
  b->single = b->msgpack = false;
  b->topic = (obs_str){0};
  if (size > limits->message_bytes) {
    char why[64];
    (void)snprintf(why, sizeof(why), "message: larger than %u bytes", limits->message_bytes);
    reject_message(b, off, limits->message_bytes, OBS_REJECT_LIMIT, why);
    return;
  }
  /* Space and marks are of text: declared msgpack starts with its first byte, whatever that is. */
  bool may_be_text = format != OBS_FORMAT_MSGPACK;
  if (size == 0 || (may_be_text && is_blank(d.r.in.p, size))) {
    reject_message(b, off, size, OBS_REJECT_SYNTAX, "message: empty");
    return;
  }
  if (may_be_text && is_utf16(d.r.in.p, size)) {
    reject_message(b, off, size, OBS_REJECT_SYNTAX, "message: UTF-16, must be UTF-8");
    return;
  }
  if (obs_transport_policies[b->transport].topics) {
    d.r.in.p = obs_batch_payload(d.r.in.p, size, &b->topic);
    if (d.r.in.p == NULL) {
      reject_message(b, off, size, OBS_REJECT_SYNTAX, "message: no payload after the topic");
      return;
    }
    take_stamp(&d);
  }
  if (may_be_text) d.r.in.p = skip_mark(d.r.in.p, (size_t)(d.r.in.end - d.r.in.p));
  for (uint32_t i = 0; b->topic.p != NULL && b->kinds != NULL && i < b->kinds->n; i++) {
    if (obs_str_is(b->topic, b->kinds->at[i].topic)) d.only = &b->kinds->at[i];
  }
  b->msgpack = format == OBS_FORMAT_MSGPACK || (format == OBS_FORMAT_ANY && *d.r.in.p >= 0x80);
  if (redact_payload(&d, &grown)) decode_payload(&d, b->msgpack);
}

void obs_batch_decode(obs_batch *b, obs_batch_format format, const obs_op_limits *limits, int64_t now_ms) {
  obs_batch_add_message(b, 0, b->size, format, limits, now_ms);
}

/* The whole of a line as the op in ops[b->nops], which is not counted yet. */
static obs_reader_result decode_row(obs_decoder *d) {
  obs_cursor *in = &d->r.in;
  obs_json_cursor_space(in);
  bool is_map = in->p < in->end && *in->p == '{';
  obs_reader_result rc = is_map ? obs_decoder_begin(d) : obs_reader_wrong(&d->r, OBS_STR("op"), "must be a map");
  if (rc == OBS_READ_OK) rc = obs_decoder_json.op(d);
  if (rc != OBS_READ_OK) return rc;
  obs_json_cursor_space(in);
  if (in->p == in->end) return OBS_READ_OK;
  obs_json_cursor_unexpected(in);
  return obs_reader_refused(&d->r, OBS_STR("op"));
}

static obs_decoder row_decoder(obs_batch *b, const char *line, size_t len) {
  static const obs_op_limits limits = {UINT32_MAX, 1, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
  return (obs_decoder){.r = {.in = obs_cursor_of(line, len), .limits = &limits, .arena = &b->arena, .lax = true},
                       .b = b,
                       .profile = OBS_PROFILE_REPLAY,
                       .trusted = true};
}

static bool set_op_id(obs_batch *b, obs_op *op, obs_str op_id) {
  char *text = obs_arena_alloc(&b->arena, op_id.len);
  if (text == NULL) return false;
  memcpy(text, op_id.p, op_id.len);
  op->op_id = (obs_str){text, op_id.len, op_id.plain};
  op->present |= OBS_BIT(OBS_F_op_id);
  return true;
}

obs_op *obs_batch_add_row(obs_batch *b, uint32_t index, const char *line, size_t len, obs_str op_id) {
  obs_decoder d = row_decoder(b, line, len);
  uint32_t unknown = b->nunknown;
  size_t off = b->json.len;
  d.index = index;
  obs_reader_result rc = decode_row(&d);
  bool has_id = rc == OBS_READ_OK && OBS_HAS(d.op, op_id) && d.op->op_id.len > 0;
  if (rc == OBS_READ_OK && !has_id && !set_op_id(b, d.op, op_id)) rc = obs_reader_no_memory(&d.r, OBS_STR("op_id"));
  if (rc == OBS_READ_OK) {
    obs_op_encode(&b->json, d.op, d.op->unknown_count > 0 ? b->unknown + d.op->unknown_first : NULL);
    if (b->json.oom) rc = obs_reader_no_memory(&d.r, OBS_STR("op"));
  }
  if (rc != OBS_READ_OK) {
    b->nunknown = unknown;
    obs_batch_reject(b, d.r.why, index, 0, 0, "%s", d.r.reason);
    return NULL;
  }
  b->lines[b->nops] = (obs_batch_line){.off = (uint32_t)off, .len = (uint32_t)(b->json.len - off), .index = index};
  return &b->ops[b->nops++];
}

bool obs_batch_decode_row(obs_batch *b, const char *line, size_t len, const char **reason) {
  obs_decoder d = row_decoder(b, line, len);
  if (decode_row(&d) == OBS_READ_OK) {
    b->nops++;
    return true;
  }
  obs_batch_reject(b, d.r.why, 0, 0, 0, "%s", d.r.reason);
  *reason = b->nrejects > 0 ? b->rejects[0].reason : "out of memory";
  return false;
}
