#include "intake/reply.h"

#include <msgpack.h>

enum { ERRORS_MAX = 1000 };

static void pack_text(msgpack_packer *pk, const char *s) {
  size_t n = strlen(s);
  msgpack_pack_str(pk, n);
  msgpack_pack_str_body(pk, s, n);
}

static void pack_count(msgpack_packer *pk, const char *key, uint64_t n) {
  pack_text(pk, key);
  msgpack_pack_uint64(pk, n);
}

static void pack_error(msgpack_packer *pk, uint32_t index, const char *text) {
  msgpack_pack_map(pk, 2);
  pack_count(pk, "index", index);
  pack_text(pk, "error");
  pack_text(pk, text);
}

/* Ops and records that stand, in the order of the message. `*ops` and `*records` begin as 0; NULL at the end. */
static const obs_batch_line *next_line(const obs_batch *b, uint32_t *ops, uint32_t *records) {
  const obs_batch_line *op = *ops < b->nops ? &b->lines[*ops] : NULL;
  const obs_batch_line *record = *records < b->nrecords ? &b->records[*records] : NULL;
  if (op != NULL && (record == NULL || op->index < record->index)) {
    ++*ops;
    return op;
  }
  *records += record != NULL;
  return record;
}

/* When nothing of the batch could be recorded, every op has that error; else those that were rejected. */
static void pack_errors(msgpack_packer *pk, const obs_batch *b) {
  uint32_t failed = b->error != OBSERVER_E_OK ? b->nops + b->nrecords : 0;
  if (failed > ERRORS_MAX) failed = ERRORS_MAX;
  uint32_t rejects = b->nrejects < ERRORS_MAX - failed ? b->nrejects : ERRORS_MAX - failed;
  pack_text(pk, "errors");
  msgpack_pack_array(pk, failed + rejects);
  for (uint32_t i = 0, ops = 0, records = 0; i < failed; i++) {
    pack_error(pk, next_line(b, &ops, &records)->index, b->error_text);
  }
  for (uint32_t i = 0; i < rejects; i++) pack_error(pk, b->rejects[i].index, b->rejects[i].reason);
}

/* Which ops and records of the message had been recorded before. */
static void pack_duplicates(msgpack_packer *pk, const obs_batch *b) {
  pack_text(pk, "duplicate_ops");
  msgpack_pack_array(pk, b->duplicates);
  uint32_t ops = 0, records = 0;
  for (const obs_batch_line *line; (line = next_line(b, &ops, &records)) != NULL;) {
    if (line->duplicate) msgpack_pack_uint32(pk, line->index);
  }
}

static int write_out(void *data, const char *p, size_t n) {
  obs_buf *out = data;
  obs_buf_append(out, p, n);
  return out->oom ? -1 : 0;
}

void obs_reply_error(const char *text, obs_buf *out) {
  msgpack_packer pk;
  msgpack_packer_init(&pk, out, write_out);
  msgpack_pack_map(&pk, 1);
  pack_text(&pk, "error");
  pack_text(&pk, text);
}

void obs_reply_denied(const char *text, obs_buf *out) {
  msgpack_packer pk;
  msgpack_packer_init(&pk, out, write_out);
  msgpack_pack_map(&pk, 6);
  pack_count(&pk, "accepted", 0);
  pack_count(&pk, "duplicates", 0);
  pack_count(&pk, "rejected", 1);
  pack_text(&pk, "errors");
  msgpack_pack_array(&pk, 1);
  pack_error(&pk, 0, text);
  pack_count(&pk, "seq", 0);
  pack_text(&pk, "error");
  pack_text(&pk, text);
}

void obs_reply_key(const char *id, obs_buf *out) {
  msgpack_packer pk;
  msgpack_packer_init(&pk, out, write_out);
  msgpack_pack_map(&pk, 1 + (*id != '\0'));
  pack_text(&pk, "ok");
  msgpack_pack_true(&pk);
  if (*id == '\0') return;
  pack_text(&pk, "key");
  pack_text(&pk, id);
}

size_t obs_reply_size(const obs_batch *b) {
  enum { MAP = 64, ERROR = 24, INDEX = 5 };
  size_t n = MAP + INDEX * ((size_t)b->nops + b->nrecords);
  for (uint32_t i = 0; i < b->nrejects && i < ERRORS_MAX; i++) n += ERROR + strlen(b->rejects[i].reason);
  return n;
}

void obs_reply_make(const obs_batch *b, obs_buf *out) {
  bool failed = b->error != OBSERVER_E_OK;
  msgpack_packer pk;
  msgpack_packer_init(&pk, out, write_out);
  bool duplicates = !failed && b->duplicates > 0;
  msgpack_pack_map(&pk, 5 + failed + duplicates);
  pack_count(&pk, "accepted", failed ? 0 : b->recorded);
  pack_count(&pk, "duplicates", failed ? 0 : b->duplicates);
  pack_count(&pk, "rejected", b->nrejects + (failed ? b->nops + b->nrecords : 0));
  pack_errors(&pk, b);
  pack_count(&pk, "seq", failed ? 0 : b->last_seq);
  if (duplicates) pack_duplicates(&pk, b);
  if (failed) {
    pack_text(&pk, "retry");
    msgpack_pack_true(&pk);
  }
}
