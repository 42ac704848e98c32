/* A message decoded as a batch, and what must hold of a batch whatever the message was. */
#ifndef OBS_TESTS_DECODED_H
#define OBS_TESTS_DECODED_H

#include "op/batch.h"
#include "sessions/sessions.h"

#include "fuzz.h"

enum { DECODED_NOW_MS = 1795402445 };

/* Smaller than the daemon's, so that small inputs reach them. */
static const obs_op_limits decoded_limits = {
    .message_bytes = 8192, .message_ops = 40, .op_bytes = 1024, .string_bytes = 96, .unknown_fields = 6, .depth = 4};

static inline bool decoded_is_item(const obs_batch *b, uint32_t index) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < b->nops; i++) found += b->lines[i].index == index;
  for (uint32_t i = 0; i < b->nrecords; i++) found += b->records[i].index == index;
  for (uint32_t i = 0; i < b->nrejects; i++) found += b->rejects[i].index == index;
  return found == 1;
}

/* A line that was made can be read again as the row of a journal, and is the same then. */
static inline void decoded_check_row(obs_batch *row, const char *line, size_t len) {
  const char *reason = NULL;
  obs_batch_reset(row);
  FUZZ_CHECK(obs_batch_decode_row(row, line, len, &reason));
  const obs_op *op = &row->ops[0];
  obs_buf again = {0};
  obs_op_encode(&again, op, op->unknown_count > 0 ? row->unknown + op->unknown_first : NULL);
  FUZZ_CHECK(again.len == len + 1 && memcmp(again.p, line, len) == 0 && again.p[len] == '\n');
  obs_buf_fini(&again);
}

static inline void decoded_check(const obs_batch *b) {
  /* Nothing is lost and nothing counts twice. */
  uint32_t items = obs_batch_items(b);
  FUZZ_CHECK(items > 0 || (b->size > 0 && !b->single));
  FUZZ_CHECK(b->nops + b->nrecords <= decoded_limits.message_ops);
  if (items < 64) {
    for (uint32_t i = 0; i < items; i++) FUZZ_CHECK(decoded_is_item(b, i));
  }
  for (uint32_t i = 0; i < b->nrejects; i++) {
    const obs_batch_rejected *r = &b->rejects[i];
    FUZZ_CHECK(r->offset <= b->size && r->length <= b->size - r->offset);
    FUZZ_CHECK(r->reason != NULL && *r->reason != '\0' && strlen(r->reason) < 256);
  }
  obs_batch row;
  FUZZ_CHECK(obs_batch_init(&row) == OBSERVER_E_OK);
  for (uint32_t i = 0; i < b->nops; i++) {
    const obs_batch_line *line = &b->lines[i];
    FUZZ_CHECK(line->len > 0 && line->off + line->len <= b->json.len && b->json.p[line->off + line->len - 1] == '\n');
    FUZZ_CHECK(memchr(b->json.p + line->off, '\n', line->len - 1) == NULL);
    decoded_check_row(&row, b->json.p + line->off, line->len - 1);
  }
  obs_batch_fini(&row);
}

/* Decodes all of `data`, which stays the caller's. */
static inline void decoded_open(obs_batch *b, const uint8_t *data, size_t size, obs_transport transport,
                                obs_op_profile profile, obs_batch_format format, const obs_record_kinds *kinds) {
  FUZZ_CHECK(obs_batch_init(b) == OBSERVER_E_OK);
  b->data = data;
  b->size = size;
  b->transport = transport;
  b->profile = profile;
  b->kinds = kinds;
  obs_batch_decode(b, format, &decoded_limits, DECODED_NOW_MS);
  if (size <= decoded_limits.message_bytes) decoded_check(b);
}

#endif
