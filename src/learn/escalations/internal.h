/* The inside of obs_escalations, shared by its own files. */
#ifndef OBS_LEARN_ESCALATIONS_INTERNAL_H
#define OBS_LEARN_ESCALATIONS_INTERNAL_H

#include "jsonl/records.h"
#include "learn/cluster_memory.h"
#include "learn/escalations/escalations.h"

/* What is remembered of a cluster's last escalation. */
typedef struct {
  obs_cluster_memory_head head;
  uint64_t last_seq; /* its last failure then */
  uint32_t episode;
  int64_t time_ms;
} obs_escalation_entry;

struct obs_escalations {
  obs_escalations_opts opts;
  obs_records *records;
  /* The escalating thread's; it alone appends, so what is carried is its own too. */
  obs_cluster_memory table;
  int64_t *times; /* of the last `per_hour` ones, a ring */
  uint64_t ntimes;
  obs_cluster_memory_marks marks;
  _Atomic uint64_t held; /* back, by the last cycle */
};

#define OBS_ESCALATION_REASONS(X)                                                                                      \
  X(NONE, "")                                                                                                          \
  X(UNANALYSED, "unanalysed")                                                                                          \
  X(UNGROUNDED, "ungrounded") /* its analysis cites nothing */                                                         \
  X(UNSETTLED, "unsettled")   /* its analysis does not say what to do */                                               \
  X(CONTINUES, "continues")   /* it goes on failing */

typedef enum {
#define OBS_ESCALATION_ENUM(name, text) OBS_ESCALATION_##name,
  OBS_ESCALATION_REASONS(OBS_ESCALATION_ENUM)
#undef OBS_ESCALATION_ENUM
      OBS_ESCALATION_REASON_COUNT
} obs_escalation_reason;

extern const char *const obs_escalation_reasons[OBS_ESCALATION_REASON_COUNT];

/* One that is due, and what came of it. */
typedef struct {
  obs_cluster_mark mark;
  uint64_t recent;   /* failures in the window */
  uint64_t analysis; /* 0: none */
  obs_escalation_reason reason;
  uint64_t key;
  int64_t time_ms;
  obs_call_answer answer;
  bool sent;
  const char *error; /* NULL: none */
} obs_escalation;

/* The request for the team: {"mode","prompt","evidence"} (escalations_pack.c). False: the cluster is no more, or there
 * is no memory. */
bool obs_escalation_pack(const obs_escalations *e, const obs_escalation *x, obs_buf *out);
/* The row's members, and their map for the feed (escalations_row.c). */
void obs_escalation_put_row(const obs_escalations *e, const obs_escalation *x, obs_buf *out);
bool obs_escalations_fold(void *escalations, const cJSON *row, const char **why);
void obs_escalations_carry(void *escalations, obs_buf *out);
/* Counts one that was made. */
void obs_escalations_remember(obs_escalations *e, uint64_t cluster, const obs_escalation_entry *entry);

#endif
