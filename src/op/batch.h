/* A batch: the unit that moves from intake to the acknowledgement.
 *
 * In:  the bytes of one message (bus or HTTP body), or of several of one peer that came together; their transport and
 *   profile.
 * Out: the valid ops as views, the JSON line of each, the rows of records, and the rejects with index and reason.
 * Owner: whoever holds the pointer, one thread at a time: intake -> commit -> back to its source through `done`.
 * Failure: a wrong op is one reject and the next op follows; broken syntax ends the message (of ops one a line, the
 *   line): what came before it stands, and one reject tells where it broke. Out of memory is a reject too. */
#ifndef OBS_OP_BATCH_H
#define OBS_OP_BATCH_H

#include "access/identity.h"
#include "op/arena.h"
#include "op/record.h"
#include "op/reject.h"
#include "op/transport.h"
#include "redact/redact.h"

typedef struct {
  uint32_t index;          /* of the op in the message, from 0 */
  const uint8_t *data;     /* the batch's, or in its arena where the message was redacted */
  uint32_t offset, length; /* its bytes in `data`; from the break to the message's end for broken syntax */
  obs_reject_class why;
  const char *reason; /* "duration_ms: must not be negative"; in the arena, NUL-terminated */
} obs_batch_rejected;

typedef struct {
  uint32_t off, len; /* in `json`; len includes the newline */
  uint32_t index;    /* of the op in the message */
  bool duplicate;    /* set by commit: recorded before (op_id, or the same row), not again */
  uint8_t kind;      /* of a record: its place in the table of kinds */
} obs_batch_line;

enum { OBS_BATCH_SEVERAL_BYTES = 256 << 10 };

typedef enum { OBS_FORMAT_ANY, OBS_FORMAT_JSON, OBS_FORMAT_MSGPACK } obs_batch_format;

typedef struct obs_batch obs_batch;
struct obs_batch {
  /* Input, set by the source before obs_batch_decode or obs_batch_add_message. `data` outlives the batch's way. */
  const uint8_t *data;
  size_t size;
  obs_transport transport;
  obs_op_profile profile;
  const obs_record_kinds *kinds; /* what a map can be besides an op; NULL: nothing */
  uint64_t producer;             /* whose connection it came by (obs_batch_new_producer); 0: not known */
  const obs_record_kind *only;   /* of `kinds`: every map is one, as behind a kind's topic. NULL: any */
  /* Who sent it. Its ops have the key's id; a key that is bound to sources lets its ops and records name those alone,
   * and gives an op without one the first of them. Read while decoding only. NULL: any source, and any key_id. */
  const obs_identity *identity;
  bool more;          /* others follow at once: the last of them, or obs_commit_wake, wakes the commit thread */
  bool pipelined;     /* its peer waits for answers to others too, which came before it */
  obs_redact *redact; /* nothing of a message is decoded or kept before it was redacted; NULL: as it came */
  void *owner;        /* the source's own */
  void (*done)(obs_batch *batch);

  /* Decoded; the first three are of the last message. */
  obs_str topic; /* without the stamp (base/stamp.h) */
  bool single;   /* the payload was one op, not an array and not several concatenated */
  bool msgpack;
  char key_id[OBS_KEY_ID_LEN + 1]; /* of `identity`; "": it has no key */
  uint32_t messages;
  uint64_t message_bytes; /* of them all */
  obs_op *ops;
  obs_batch_line *lines;
  uint32_t nops, ops_cap;
  uint64_t *clusters; /* cluster of each op by its place in `ops`, 0: none; NULL: none has one (obs_batch_clusters) */
  uint64_t *own_clusters; /* its memory, kept over a reset */
  uint32_t clusters_cap;
  obs_batch_line *records; /* rows of what is no op, in the message's order */
  uint32_t nrecords, records_cap;
  obs_op_unknown *unknown;
  uint32_t nunknown, unknown_cap;
  obs_batch_rejected *rejects;
  uint32_t nrejects, rejects_cap;
  uint32_t denied; /* of the rejects: those of a source that `identity` may not speak as */
  obs_buf json;
  obs_arena arena;
  /* Of the message that is decoded now: what offsets count from, `data` or the redacted form; and whether no bytes of
   * its rejects are kept, since nobody can look into them or a key's text stood there. */
  const uint8_t *from;
  bool secret;
  bool looked; /* whether `secret` is known, of the message that is in `data` at: */
  size_t whole_off, whole_size;

  /* Result, set by commit before `done`. */
  observer_err error;            /* not OK: nothing of this batch was recorded, or not confirmed (obs_commit_opts) */
  char error_text[160];          /* why, when error is set */
  uint32_t recorded, duplicates; /* ops and records */
  uint32_t recorded_ops;         /* ops alone */
  uint64_t last_seq;             /* of the last recorded op; 0 when none was recorded */
  uint32_t ring_size;            /* after this batch */

  obs_batch *next; /* whoever holds it may use it */
};

observer_err obs_batch_init(obs_batch *b);
void obs_batch_fini(obs_batch *b);
/* How many ops and records the message is made of, whole or not. */
static inline uint32_t obs_batch_items(const obs_batch *b) {
  return b->nops + b->nrecords + b->nrejects;
}
/* Ready for the next message; keeps a bounded part of its memory. */
void obs_batch_reset(obs_batch *b);
/* Decodes, normalises, validates and encodes all of `data` as one message. Topics are looked for where the transport
 * has them (transport.h). `format` other than ANY overrides what the first byte says. Never fails: what is wrong is a
 * reject. */
void obs_batch_decode(obs_batch *b, obs_batch_format format, const obs_op_limits *limits, int64_t now_ms);
/* The same for the message of `size` bytes at `off` of `data`, behind the messages that were added before. Limits hold
 * for each message, and an op's index is that in its message. A batch of several should stay below
 * OBS_BATCH_SEVERAL_BYTES, so that it has no more ops than one message may have. */
void obs_batch_add_message(obs_batch *b, size_t off, size_t size, obs_batch_format format, const obs_op_limits *limits,
                           int64_t now_ms);
/* Where the payload of a message of the bus begins, behind *topic (as it was when there is none). NULL: nowhere. */
const uint8_t *obs_batch_payload(const uint8_t *data, size_t size, obs_str *topic);
/* A number that no connection has had: for `producer`. Any thread. */
uint64_t obs_batch_new_producer(void);
/* Memory used, bytes: what the queue is bounded by. The same until the batch is reset. */
size_t obs_batch_bytes(const obs_batch *b);
/* `clusters`, all zero at the first call after a reset. NULL: no memory (or no ops). Of the follower that sets them. */
uint64_t *obs_batch_clusters(obs_batch *b);
/* Adds a reject for op `index` with the given reason; without its bytes where a key's text stands in them. */
void obs_batch_reject(obs_batch *b, obs_reject_class why, uint32_t index, uint32_t offset, uint32_t length,
                      const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* One journal row: decodes `line` (no newline) with OBS_PROFILE_REPLAY into the next of b->ops. False with `*reason`
 * (in the arena, or constant where there is no memory: then there is no reject either) when it is not an op. */
bool obs_batch_decode_row(obs_batch *b, const char *line, size_t len, const char **reason);
/* Adds one as row `index` of a batch that is to be recorded: behind its ops, with the JSON line that is written for it,
 * and with `op_id` where it has none; to be submitted with the numbers of messages and bytes set. `line` outlives the
 * batch's way. The op, until the next is added; NULL: a reject. */
obs_op *obs_batch_add_row(obs_batch *b, uint32_t index, const char *line, size_t len, obs_str op_id);

#endif
