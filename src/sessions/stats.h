/* Counts over all session records. Not thread-safe: the store locks. */
#ifndef OBS_SESSIONS_STATS_H
#define OBS_SESSIONS_STATS_H

#include "base/names.h"
#include "sessions/record.h"
#include "state/sketch.h"

/* The fields whose values are counted by name, and by which a question can be narrowed; the key in the answer. */
#define OBS_SESSION_GROUPS(X)                                                                                          \
  X(final_verdict, "by_verdict")                                                                                       \
  X(kind, "by_kind")                                                                                                   \
  X(model, "by_model")                                                                                                 \
  X(provider, "by_provider")

#define OBS_SESSION_GROUP_ENUM(name, key) OBS_GROUP_##name,
enum { OBS_SESSION_GROUPS(OBS_SESSION_GROUP_ENUM) OBS_GROUP_COUNT };
#undef OBS_SESSION_GROUP_ENUM

typedef struct {
  uint64_t total;
  obs_names groups[OBS_GROUP_COUNT]; /* a name's refs are its count */
  obs_names verdicts;                /* of attempts */
  uint64_t attempts;
  double iterations;         /* the sum */
  uint64_t with_iterations;  /* records that have them */
  uint64_t grounded, say_so; /* records that are, and those that say whether */
  obs_sketch_scale scale;
  obs_sketch_sum durations;
  uint64_t with_duration;
  int64_t longest;
} obs_session_stats;

observer_err obs_session_stats_init(obs_session_stats *s);
void obs_session_stats_fini(obs_session_stats *s);
/* Counts one record, just parsed by `reader`. */
void obs_session_stats_add(obs_session_stats *s, obs_session_reader *reader, const obs_session_record *record);
void obs_session_stats_json(obs_session_stats *s, obs_buf *out);

#endif
