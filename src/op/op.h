/* A decoded ObservedOp.
 *
 * Strings are views: into the message, or into the batch's arena where the bytes on the wire were escaped. They live as
 * long as the batch (batch.h). A member is meaningful only when its bit of `present` is set. */
#ifndef OBS_OP_OP_H
#define OBS_OP_OP_H

#include "base/buf.h"

#include <observer/op.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
#define OBS_OP_ENUM(name, kind, required, rule) OBS_F_##name,
  OBSERVER_OP_FIELDS(OBS_OP_ENUM) OBSERVER_OP_DAEMON_FIELDS(OBS_OP_ENUM)
#undef OBS_OP_ENUM
      OBS_F_COUNT,
  OBS_F_GIVEN = OBS_F_key_id /* those before it are the producers' own */
} obs_op_field;

typedef enum {
  OBS_KIND_TIME,
  OBS_KIND_TEXT,
  OBS_KIND_BOOL,
  OBS_KIND_DURATION,
  OBS_KIND_INT,
  OBS_KIND_JSON
} obs_op_kind;

typedef obs_str obs_op_member_TIME;
typedef obs_str obs_op_member_TEXT;
typedef bool obs_op_member_BOOL;
typedef int64_t obs_op_member_DURATION;
typedef int64_t obs_op_member_INT;
typedef obs_str obs_op_member_JSON; /* the value as JSON text */

/* A field this version does not know: key, and the value as JSON text. */
typedef struct {
  obs_str key;
  obs_str value;
} obs_op_unknown;

typedef struct {
  uint32_t present;                      /* bit per obs_op_field */
  uint32_t unknown_first, unknown_count; /* into the batch's unknown[] */
  int64_t time_ms;                       /* `timestamp`, milliseconds since the epoch, as its producer wrote it */
  int64_t sent_ms;                       /* its message left then, by its producer's clock; 0: not said */
  uint64_t producer;                     /* who sent it, a number for a producer or its connection; 0: not known */
  /* The commit thread sets these before anybody sees the op (obs_op_set_times). */
  int64_t received_ms; /* receipt, by the daemon's clock: what rates, windows, states and alarms go by; 0: not set */
  int64_t skew_ms;     /* by how much its producer's clock is behind the daemon's */
  int64_t event_ms;    /* `timestamp` without the skew, never behind receipt: what orders the diagnosis */
  bool late;           /* event_ms is more than OBS_OP_LATE_MS before received_ms: a spool, a backfill */
#define OBS_OP_MEMBER(name, kind, required, rule) obs_op_member_##kind name;
  OBSERVER_OP_FIELDS(OBS_OP_MEMBER) OBSERVER_OP_DAEMON_FIELDS(OBS_OP_MEMBER)
#undef OBS_OP_MEMBER
} obs_op;

typedef struct {
  const char *name;
  const char *rule;
  const char *json_key; /* `"name":` */
  uint32_t offset;      /* of the member in obs_op */
  uint16_t name_len, json_key_len;
  obs_op_kind kind;
  bool required;
} obs_op_field_info;

extern const obs_op_field_info obs_op_fields[OBS_F_COUNT];

static inline obs_str obs_op_field_name(uint32_t field) {
  return (obs_str){obs_op_fields[field].name, obs_op_fields[field].name_len, 1};
}

enum { OBS_OP_LATE_MS = 10 * 60 * 1000 };

/* The times of an op that came at `received_ms` from a producer whose clock is `skew_ms` behind the daemon's. */
static inline void obs_op_set_times(obs_op *op, int64_t received_ms, int64_t skew_ms) {
  int64_t event_ms = op->time_ms + skew_ms;
  op->received_ms = received_ms;
  op->skew_ms = skew_ms;
  op->event_ms = event_ms < received_ms ? event_ms : received_ms;
  op->late = received_ms - op->event_ms > OBS_OP_LATE_MS;
}

#define OBS_BIT(field) (UINT32_C(1) << (field))
#define OBS_HAS(op, name) (((op)->present & OBS_BIT(OBS_F_##name)) != 0)

/* An overseer's correction, which is no attempt at a task. An op of another source that has a member `correction` is
 * one. */
static inline bool obs_op_is_correction(const obs_op *op) {
  return OBS_HAS(op, source) && obs_str_eq(op->source, OBS_STR("overseer_correction"));
}

/* What is defaulted, and how strictly types are taken (design: profiles). */
typedef enum {
  OBS_PROFILE_V1,     /* bus and the v1 routes: endpoint required, source mcp */
  OBS_PROFILE_LEGACY, /* POST /event: JavaScript truthiness, numeric strings, scenario defaults */
  OBS_PROFILE_REPLAY  /* a journal row, of this or an older observer: a known field of another type is carried along
                         as an unknown one */
} obs_op_profile;

/* Upper bounds on what a message may hold; bytes unless said otherwise. */
typedef struct {
  uint32_t message_bytes;
  uint32_t message_ops; /* ops */
  uint32_t op_bytes;
  uint32_t string_bytes;
  uint32_t unknown_fields; /* fields an op */
  uint32_t depth;          /* levels below the op itself */
} obs_op_limits;

#define OBS_LIMITS_DEFAULT ((obs_op_limits){4u << 20, 10000, 256u << 10, 64u << 10, 64, 8})

/* Appends the op's JSON line with its newline. `unknown`: its own, op->unknown_count. Without memory only out->oom is
 * set. */
void obs_op_encode(obs_buf *out, const obs_op *op, const obs_op_unknown *unknown);

#endif
