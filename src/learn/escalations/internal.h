/* The inside of the escalations, for their test. */
#ifndef OBS_LEARN_ESCALATIONS_INTERNAL_H
#define OBS_LEARN_ESCALATIONS_INTERNAL_H

#include "learn/cluster_memory.h"
#include "learn/escalations/base_rate.h"
#include "learn/escalations/escalations.h"

/* What is remembered of a cluster's last escalation. */
typedef struct {
  obs_cluster_memory_head head;
  uint64_t last_seq; /* its last failure then */
  uint64_t failures; /* within the window then */
  uint32_t episode;
  int64_t time_ms;
  bool over; /* it was back at its usual rate since; of this process */
} obs_escalation_entry;

/* One that was made: what the hour's budget went to. */
typedef struct {
  int64_t time_ms;
  uint64_t failures;
} obs_escalation_spent;

struct obs_escalations {
  const obs_loop_tools *tools;
  const obs_learn_opts *opts; /* theirs */
  obs_analyses *analyses;
  uint32_t failures, window_s, per_hour; /* of the options, or the defaults */
  obs_records *records;
  obs_kept_rows kept; /* obs_escalation_view */
  /* The escalating thread's; it alone appends, so what is carried is its own too. */
  obs_cluster_memory table;
  obs_escalation_spent *spent; /* the last `kept_spent` ones, a ring */
  uint64_t nspent;
  uint32_t kept_spent;
  obs_base_rate rates;
  obs_cluster_memory_briefs briefs;
  _Atomic uint64_t held; /* back, by the last cycle */
  _Atomic uint64_t results[OBS_ESCALATION_RESULT_COUNT];
};

#define OBS_ESCALATION_REASONS(X)                                                                                      \
  X(NONE, "")                                                                                                          \
  X(UNANALYSED, "unanalysed")                                                                                          \
  X(UNGROUNDED, "ungrounded") /* its analysis cites nothing */                                                         \
  X(UNSETTLED, "unsettled")   /* no cause is named, or not what to do */                                               \
  X(CONTINUES, "continues")   /* it goes on failing */                                                                 \
  X(OUTAGE, "outage")         /* it has failed most ops of its endpoints, and many */

typedef enum {
#define OBS_ESCALATION_ENUM(name, text) OBS_ESCALATION_##name,
  OBS_ESCALATION_REASONS(OBS_ESCALATION_ENUM)
#undef OBS_ESCALATION_ENUM
      OBS_ESCALATION_REASON_COUNT
} obs_escalation_reason;

/* One that is due, and what came of it. */
typedef struct {
  obs_cluster_brief brief;
  uint64_t recent; /* failures in the window */
  obs_base_rate_sides rates;
  uint64_t analysis; /* 0: none */
  obs_escalation_reason reason;
  uint64_t key;
  int64_t time_ms;
  obs_call_answer answer;
  bool sent;
  const char *error; /* NULL: none */
} obs_escalation;

/* The request for the team: {"mode","prompt","evidence"}. False: the cluster is no more, or there is no memory. */
bool obs_escalation_pack(const obs_escalations *e, const obs_escalation *x, obs_buf *out);

#endif
