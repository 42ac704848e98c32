#include "fleet/batch.h"

#include "base/json_cursor.h"
#include "base/msgpack_cursor.h"

#include <inttypes.h>
#include <lz4.h>
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>

enum {
  VERSION = 2, /* 1 had no packed rows */
  VERSION_FIRST = 1,
  ROOM_BYTES = 4 * OBS_FLEET_BATCH_BYTES /* that are kept for the next one */
};

/* ---- partitions ---- */

#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t fnv1a(uint64_t hash, const void *p, size_t n) {
  const uint8_t *bytes = p;
  for (size_t i = 0; i < n; i++) hash = (hash ^ bytes[i]) * FNV_PRIME;
  return hash;
}

/* What decides; an absent one has the length 0. */
typedef struct {
  obs_str session_id, sig_hash, source, endpoint;
} placing;

static uint32_t place(const placing *by, uint32_t partitions) {
  uint64_t hash = FNV_OFFSET;
  if (by->session_id.len > 0) {
    hash = fnv1a(hash, by->session_id.p, by->session_id.len);
  } else if (by->sig_hash.len > 0) {
    hash = fnv1a(hash, by->sig_hash.p, by->sig_hash.len);
  } else {
    hash = fnv1a(hash, by->source.p, by->source.len);
    hash = fnv1a(hash, "", 1);
    hash = fnv1a(hash, by->endpoint.p, by->endpoint.len);
  }
  return (uint32_t)(hash % partitions);
}

uint32_t obs_fleet_partition(const obs_op *op, uint32_t partitions) {
  const obs_str none = {0};
  const placing by = {.session_id = OBS_HAS(op, session_id) ? op->session_id : none,
                      .sig_hash = OBS_HAS(op, sig_hash) ? op->sig_hash : none,
                      .source = op->source,
                      .endpoint = op->endpoint};
  return place(&by, partitions);
}

/* From behind the quotation mark that begins a text: its end, NULL when there is none. */
static const char *text_end(const char *begin, const char *end) {
  for (const char *p = begin; p < end && (p = memchr(p, '"', (size_t)(end - p))) != NULL; p++) {
    const char *slash = p;
    while (slash > begin && slash[-1] == '\\') slash--;
    if ((p - slash) % 2 == 0) return p;
  }
  return NULL;
}

/* Where a value ends that is no text. */
static const char *value_end(const char *p, const char *end) {
  if (*p == '{' || *p == '[') {
    obs_cursor c = obs_cursor_of(p, (size_t)(end - p));
    obs_cursor_value value;
    return obs_json_cursor_value(&c, &value) ? (const char *)c.p : NULL;
  }
  while (p < end && *p != ',' && *p != '}') p++;
  return p;
}

/* Of a row as observerd writes it, which was checked when it was taken: its members are found, not checked again. */
bool obs_fleet_partition_of_row(const char *line, size_t len, uint32_t partitions, uint32_t *out) {
  placing by = {{0}, {0}, {0}, {0}};
  const char *p = line, *end = line + len;
  if (len == 0 || *p != '{') return false;
  do {
    if (++p >= end || *p++ != '"') return false;
    const char *key_end = p; /* names are short */
    while (key_end < end && *key_end != '"' && *key_end != '\\') key_end++;
    if (end - key_end < 3 || key_end[0] != '"' || key_end[1] != ':') return false;
    obs_str key = {p, (uint32_t)(key_end - p), 0};
    obs_str *to = obs_str_is(key, "session_id") ? &by.session_id
                  : obs_str_is(key, "sig_hash") ? &by.sig_hash
                  : obs_str_is(key, "source")   ? &by.source
                  : obs_str_is(key, "endpoint") ? &by.endpoint
                                                : NULL;
    p = key_end + 2;
    if (*p == '"') {
      const char *begin = p + 1;
      if ((p = text_end(begin, end)) == NULL ||
          (to != NULL && (to->p != NULL || memchr(begin, '\\', (size_t)(p - begin)) != NULL)))
        return false;
      if (to != NULL) *to = (obs_str){begin, (uint32_t)(p - begin), 0};
      p++;
    } else if (to != NULL || (p = value_end(p, end)) == NULL) {
      return false;
    }
  } while (p < end && *p == ',');
  if (p >= end || *p != '}' || by.source.len == 0 || by.endpoint.len == 0) return false;
  *out = place(&by, partitions);
  return true;
}

static uint32_t sum_of(const void *rows, size_t len) {
  return (uint32_t)XXH3_64bits(rows, len);
}

/* ---- making one ---- */

void obs_fleet_batch_fini(obs_fleet_batch *b) {
  obs_buf_fini(&b->rows);
  OBS_VEC_FINI(&b->seqs);
  OBS_VEC_FINI(&b->times);
}

void obs_fleet_batch_begin(obs_fleet_batch *b, uint64_t edge, uint32_t p, uint64_t prev) {
  b->edge = edge;
  b->p = p;
  b->prev = prev;
  b->first = b->last = 0;
  obs_buf_reset(&b->rows, 2 * (size_t)OBS_FLEET_BATCH_BYTES);
  b->seqs.n = b->times.n = 0;
}

bool obs_fleet_batch_add(obs_fleet_batch *b, const char *line, size_t len, uint64_t seq, int64_t received_ms,
                         int64_t skew_ms) {
  if (!OBS_VEC_RESERVE(&b->seqs, b->seqs.n + 1) || !OBS_VEC_RESERVE(&b->times, b->times.n + 1) ||
      !obs_buf_reserve(&b->rows, len + 1)) {
    b->rows.oom = false; /* what is in it stands */
    return false;
  }
  /* None of these fails: there is room. */
  uint64_t *place = OBS_VEC_PUSH(&b->seqs);
  obs_fleet_batch_time *time = b->times.n > 0 ? &b->times.at[b->times.n - 1] : NULL;
  if (time == NULL || time->received_ms != received_ms || time->skew_ms != skew_ms) time = OBS_VEC_PUSH(&b->times);
  if (place == NULL || time == NULL) return false;
  *place = seq;
  *time = (obs_fleet_batch_time){time->rows + 1, received_ms, skew_ms};
  obs_buf_append(&b->rows, line, len);
  obs_buf_putc(&b->rows, '\n');
  if (b->seqs.n == 1) b->first = seq;
  b->last = seq;
  return true;
}

bool obs_fleet_batch_is_full(const obs_fleet_batch *b, size_t len) {
  return b->seqs.n > 0 && (b->seqs.n >= OBS_FLEET_BATCH_ROWS || b->rows.len + len + 1 > OBS_FLEET_BATCH_BYTES);
}

static int pack_bytes(void *out, const char *p, size_t n) {
  obs_buf_append(out, p, n);
  return 0;
}

static void pack_name(msgpack_packer *pk, const char *name) {
  size_t n = strlen(name);
  msgpack_pack_str(pk, n);
  msgpack_pack_str_body(pk, name, n);
}

static void seal_head(const obs_fleet_batch *b, bool packed, obs_buf *out) {
  char edge[OBS_HEX_LEN + 1];
  msgpack_packer pk;
  obs_hex_format(b->edge, edge);
  msgpack_packer_init(&pk, out, pack_bytes);
  msgpack_pack_map(&pk, packed ? 8 : 7);
  pack_name(&pk, "v");
  msgpack_pack_uint64(&pk, VERSION);
  pack_name(&pk, "edge");
  pack_name(&pk, edge);
  pack_name(&pk, "p");
  msgpack_pack_uint64(&pk, b->p);
  pack_name(&pk, "prev");
  msgpack_pack_uint64(&pk, b->prev);
  pack_name(&pk, "seqs");
  msgpack_pack_array(&pk, b->seqs.n);
  for (uint32_t i = 0; i < b->seqs.n; i++)
    msgpack_pack_uint64(&pk, i == 0 ? b->seqs.at[0] : b->seqs.at[i] - b->seqs.at[i - 1]);
  pack_name(&pk, "times");
  msgpack_pack_array(&pk, b->times.n);
  for (uint32_t i = 0; i < b->times.n; i++) {
    msgpack_pack_array(&pk, 3);
    msgpack_pack_uint64(&pk, b->times.at[i].rows);
    msgpack_pack_int64(&pk, b->times.at[i].received_ms);
    msgpack_pack_int64(&pk, b->times.at[i].skew_ms);
  }
  pack_name(&pk, "sum");
  msgpack_pack_uint64(&pk, sum_of(obs_buf_view(&b->rows).p, b->rows.len));
  if (!packed) return;
  pack_name(&pk, "lz4");
  msgpack_pack_uint64(&pk, b->rows.len);
}

/* Behind what `out` has. False: they would not get shorter, or there is no memory; then nothing was added. */
static bool pack_rows(const obs_buf *rows, obs_buf *out) {
  if (rows->len < 2 || rows->len > OBS_FLEET_BATCH_UNPACKED_MAX || !obs_buf_reserve(out, rows->len - 1)) return false;
  int n = LZ4_compress_default(rows->p, out->p + out->len, (int)rows->len, (int)rows->len - 1);
  out->len += n > 0 ? (size_t)n : 0;
  return n > 0;
}

observer_err obs_fleet_batch_seal(const obs_fleet_batch *b, obs_buf *out) {
  obs_buf_reset(out, ROOM_BYTES);
  seal_head(b, true, out);
  if (!pack_rows(&b->rows, out)) {
    obs_buf_reset(out, ROOM_BYTES);
    seal_head(b, false, out);
    obs_buf_append(out, obs_buf_view(&b->rows).p, b->rows.len);
  }
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

void obs_fleet_batch_id(const obs_fleet_batch *b, char out[OBS_FLEET_ID_LEN + 1]) {
  char edge[OBS_HEX_LEN + 1];
  obs_hex_format(b->edge, edge);
  (void)snprintf(out, OBS_FLEET_ID_LEN + 1, "%s.%" PRIu32 ".%" PRIu64 ".%" PRIu64, edge, b->p, b->first, b->last);
}

void obs_fleet_batch_subject(uint64_t edge, uint32_t p, char out[OBS_FLEET_SUBJECT_MAX]) {
  char id[OBS_HEX_LEN + 1];
  obs_hex_format(edge, id);
  (void)snprintf(out, OBS_FLEET_SUBJECT_MAX, "observer.ops.%" PRIu32 ".%s", p, id);
}

void obs_fleet_batch_filter(uint32_t p, char out[OBS_FLEET_SUBJECT_MAX]) {
  (void)snprintf(out, OBS_FLEET_SUBJECT_MAX, "observer.ops.%" PRIu32 ".*", p);
}

/* ---- reading one ---- */

/* What of the head has been met. */
enum {
  HAS_V = 1,
  HAS_EDGE = 2,
  HAS_P = 4,
  HAS_PREV = 8,
  HAS_SEQS = 16,
  HAS_TIMES = 32,
  HAS_SUM = 64,
  HAS_ALL = 127, /* that each has */
  HAS_LZ4 = 128
};

typedef struct {
  obs_cursor c;
  obs_fleet_batch_view *v;
  unsigned has;
  uint64_t timed; /* rows that `times` is for */
  uint32_t sum, unpacked;
  char *reason;
} head_reader;

static bool refuse(const head_reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(const head_reader *r, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  (void)vsnprintf(r->reason, OBS_FLEET_REASON_MAX, fmt, args);
  va_end(args);
  return false;
}

static bool broken(const head_reader *r) {
  if (r->c.error == NULL || r->c.at == NULL) return refuse(r, "the head is not msgpack of its kind");
  obs_cursor_reason(&r->c, r->reason, OBS_FLEET_REASON_MAX);
  return false;
}

/* An integer from 0 to `max`. Nearly all are distances of a byte. */
static bool take_u64(head_reader *r, const char *name, uint64_t max, uint64_t *out) {
  obs_msgpack_cursor_header h;
  if (r->c.p < r->c.end && *r->c.p < 0x80 && *r->c.p <= max) {
    *out = *r->c.p++;
    return true;
  }
  if (!obs_msgpack_cursor_head(&r->c, &h)) return broken(r);
  if (h.type != OBS_MSGPACK_INT || h.i < 0 || (uint64_t)h.i > max)
    return refuse(r, "%s: not a number from 0 to %" PRIu64, name, max);
  *out = (uint64_t)h.i;
  return true;
}

static bool take_i64(head_reader *r, const char *name, int64_t *out) {
  obs_msgpack_cursor_header h;
  if (!obs_msgpack_cursor_head(&r->c, &h)) return broken(r);
  if (h.type != OBS_MSGPACK_INT) return refuse(r, "%s: not an integer", name);
  *out = h.i;
  return true;
}

static bool take_array(head_reader *r, const char *name, uint32_t *n) {
  obs_msgpack_cursor_header h;
  if (!obs_msgpack_cursor_head(&r->c, &h)) return broken(r);
  if (h.type != OBS_MSGPACK_ARRAY) return refuse(r, "%s: not an array", name);
  *n = h.n;
  return true;
}

static bool take_edge(head_reader *r) {
  obs_cursor_value value;
  if (!obs_msgpack_cursor_value(&r->c, &value)) return broken(r);
  if (value.kind != OBS_VALUE_TEXT || !obs_hex_parse(value.s, &r->v->edge))
    return refuse(r, "edge: not 16 hexadecimal digits");
  return true;
}

static bool take_seqs(head_reader *r) {
  uint32_t n = 0;
  uint64_t seq = 0;
  if (!take_array(r, "seqs", &n)) return false;
  if (n == 0) return refuse(r, "seqs: there are none");
  r->v->rows = n;
  r->v->seqs = r->c.p;
  for (uint32_t i = 0; i < n; i++) {
    uint64_t step = 0;
    if (!take_u64(r, "seqs", (uint64_t)INT64_MAX - seq, &step)) return false;
    if (step == 0) return refuse(r, "seqs: they do not ascend");
    seq += step;
    if (i == 0) r->v->first = seq;
  }
  r->v->last = seq;
  return true;
}

static bool take_times(head_reader *r) {
  uint32_t n = 0;
  if (!take_array(r, "times", &n)) return false;
  r->v->times = r->c.p;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t members = 0;
    uint64_t rows = 0;
    int64_t received_ms = 0, skew_ms = 0;
    if (!take_array(r, "times", &members)) return false;
    if (members != 3) return refuse(r, "times: an entry has not three numbers");
    if (!take_u64(r, "times", UINT32_MAX, &rows)) return false;
    if (rows == 0) return refuse(r, "times: an entry is for no row");
    if (!take_i64(r, "times", &received_ms) || !take_i64(r, "times", &skew_ms)) return false;
    r->timed += rows;
  }
  return true;
}

/* One member, whose name was read. */
static bool take_member(head_reader *r, obs_str name) {
  static const struct {
    const char *name;
    unsigned bit;
  } members[] = {{"v", HAS_V},       {"edge", HAS_EDGE},   {"p", HAS_P},     {"prev", HAS_PREV},
                 {"seqs", HAS_SEQS}, {"times", HAS_TIMES}, {"sum", HAS_SUM}, {"lz4", HAS_LZ4}};
  uint64_t n = 0;
  unsigned bit = 0;
  for (size_t i = 0; i < sizeof members / sizeof *members; i++)
    if (obs_str_is(name, members[i].name)) bit = members[i].bit;
  if ((r->has & bit) != 0) return refuse(r, "%.*s: given twice", (int)name.len, name.p);
  r->has |= bit;
  switch (bit) {
  case HAS_V:
    if (!take_u64(r, "v", INT64_MAX, &n)) return false;
    return (n >= VERSION_FIRST && n <= VERSION) || refuse(r, "version %" PRIu64 " is not known", n);
  case HAS_EDGE:
    return take_edge(r);
  case HAS_P:
    if (!take_u64(r, "p", OBS_FLEET_PARTITIONS_MAX - 1, &n)) return false;
    r->v->p = (uint32_t)n;
    return true;
  case HAS_PREV:
    return take_u64(r, "prev", INT64_MAX, &r->v->prev);
  case HAS_SEQS:
    return take_seqs(r);
  case HAS_TIMES:
    return take_times(r);
  case HAS_SUM:
    if (!take_u64(r, "sum", UINT32_MAX, &n)) return false;
    r->sum = (uint32_t)n;
    return true;
  case HAS_LZ4:
    if (!take_u64(r, "lz4", OBS_FLEET_BATCH_UNPACKED_MAX, &n)) return false;
    r->unpacked = (uint32_t)n;
    return true;
  default:
    return obs_msgpack_cursor_skip(&r->c) || broken(r);
  }
}

static bool take_head(head_reader *r) {
  obs_msgpack_cursor_header h;
  if (!obs_msgpack_cursor_head(&r->c, &h)) return broken(r);
  if (h.type != OBS_MSGPACK_MAP) return refuse(r, "it does not begin with a map");
  for (uint32_t i = 0; i < h.n; i++) {
    obs_cursor_value name;
    if (!obs_msgpack_cursor_value(&r->c, &name)) return broken(r);
    if (name.kind != OBS_VALUE_TEXT) return refuse(r, "a member's name is no text");
    if (!take_member(r, name.s)) return false;
  }
  if ((r->has & HAS_ALL) != HAS_ALL) return refuse(r, "the head lacks a member");
  return true;
}

static uint64_t count_lines(const uint8_t *p, const uint8_t *end) {
  uint64_t n = 0;
  while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
    n++;
    p++;
  }
  return n;
}

static bool unpack_rows(const head_reader *r, char *room) {
  size_t left = obs_cursor_left(&r->c);
  int n = left <= INT_MAX ? LZ4_decompress_safe((const char *)r->c.p, room, (int)left, (int)r->unpacked) : -1;
  return n == (int)r->unpacked || refuse(r, "lz4: the rows cannot be unpacked to %" PRIu32 " bytes", r->unpacked);
}

static bool check_rows(const head_reader *r) {
  const obs_fleet_batch_view *v = r->v;
  if (v->line == v->end || v->end[-1] != '\n') return refuse(r, "the last row has no newline");
  if (sum_of(v->line, (size_t)(v->end - v->line)) != r->sum)
    return refuse(r, "sum: the rows are not those that were sent");
  uint64_t lines = count_lines(v->line, v->end);
  return lines == v->rows || refuse(r, "%" PRIu64 " rows instead of %" PRIu32, lines, v->rows);
}

observer_err obs_fleet_batch_read(const void *data, size_t len, obs_buf *room, obs_fleet_batch_view *out,
                                  char reason[OBS_FLEET_REASON_MAX]) {
  head_reader r = {.c = obs_cursor_of(data, len), .v = out, .reason = reason};
  *out = (obs_fleet_batch_view){0};
  reason[0] = '\0';
  bool ok = take_head(&r) && (out->prev < out->first || refuse(&r, "prev: not below the first seq")) &&
            (r.timed == out->rows || refuse(&r, "times: for %" PRIu64 " rows of %" PRIu32, r.timed, out->rows));
  if (!ok) return OBSERVER_E_CORRUPT;
  out->line = r.c.p;
  out->end = out->head_end = r.c.end;
  if ((r.has & HAS_LZ4) != 0) {
    obs_buf_reset(room, ROOM_BYTES);
    if (!obs_buf_reserve(room, r.unpacked + 1)) {
      (void)refuse(&r, "no memory");
      return OBSERVER_E_NOMEM;
    }
    if (!unpack_rows(&r, room->p)) return OBSERVER_E_CORRUPT;
    room->len = r.unpacked;
    out->line = (const uint8_t *)room->p;
    out->end = out->line + room->len;
  }
  if (!check_rows(&r)) return OBSERVER_E_CORRUPT;
  out->left = out->rows;
  return OBSERVER_E_OK;
}

/* The head was checked: none of these fails. */
static int64_t next_number(const uint8_t **at, const uint8_t *end) {
  if (*at < end && **at < 0x80) return *(*at)++;
  obs_cursor c = obs_cursor_of(*at, (size_t)(end - *at));
  obs_msgpack_cursor_header h;
  (void)obs_msgpack_cursor_head(&c, &h);
  *at = c.p;
  return h.type == OBS_MSGPACK_INT ? h.i : 0;
}

bool obs_fleet_batch_next(obs_fleet_batch_view *v, obs_fleet_row *out) {
  if (v->left == 0) return false;
  if (v->run == 0) {
    (void)next_number(&v->times, v->head_end); /* the entry's own head */
    v->run = (uint32_t)next_number(&v->times, v->head_end);
    v->received_ms = next_number(&v->times, v->head_end);
    v->skew_ms = next_number(&v->times, v->head_end);
  }
  v->seq += (uint64_t)next_number(&v->seqs, v->head_end);
  const uint8_t *newline = memchr(v->line, '\n', (size_t)(v->end - v->line));
  *out = (obs_fleet_row){.seq = v->seq,
                         .line = (const char *)v->line,
                         .len = (uint32_t)(newline - v->line),
                         .received_ms = v->received_ms,
                         .skew_ms = v->skew_ms};
  v->line = newline + 1;
  v->left--;
  v->run--;
  return true;
}
