/* The engine of alert rules: counts ops for each rule and group, and moves each (rule, group) through its states.
 *
 *   inactive -> pending (it holds, for `for`) -> firing -> recovering (it is clear, for `keep`) -> resolved
 *
 * In:  ops with their receipt (late ones are passed over); once a second a turn. Time is what the caller says: the
 *   daemon's receipt, or that of a journal that is replayed.
 * Out: an event when an alert fires and when it is resolved, nothing else; the alerts that are not inactive.
 * Storms: a group fires again only after it was clear for `keep`, which doubles with each time that it fires again
 *   within an hour (OBS_ENGINE_FLAPS times); a rule has OBS_ENGINE_GROUPS groups, all others are `(other)`; all rules
 *   together have OBS_ENGINE_ACTIVE alerts, beyond which groups are held back and counted.
 * Windows have OBS_ENGINE_BUCKETS buckets, and are that exact. A group is looked at when ops came, or while it is not
 *   inactive: so a turn costs what has changed.
 * Memory: a group is about 200 bytes, 480 more where there is a window, 800 more where the usual duration is learned;
 * an alert 2 KB. 64 rules of 1,000 groups: 45 MB at worst. Not thread-safe: alerts.h has the lock. */
#ifndef OBS_ALERTS_ENGINE_H
#define OBS_ALERTS_ENGINE_H

#include "alerts/rules.h"
#include "base/vec.h"

enum {
  OBS_ENGINE_GROUPS = 1000, /* of a rule, beside (other) */
  OBS_ENGINE_ACTIVE = 2048, /* alerts that are not inactive */
  OBS_ENGINE_BUCKETS = 60,
  OBS_ENGINE_FLAPS = 6,
  OBS_ENGINE_VERSION = 1, /* of what save makes */
  OBS_ALERT_LABELS = OBS_RULES_BY,
  OBS_ALERT_VALUE_MAX = 128,
  OBS_ALERT_TEXT_MAX = 500,
  OBS_ALERT_SEQS = 4
};

#define OBS_ALERT_STATE_MAP(X)                                                                                         \
  X(PENDING, "pending")                                                                                                \
  X(FIRING, "firing")                                                                                                  \
  X(RECOVERING, "recovering")                                                                                          \
  X(RESOLVED, "resolved")

typedef enum {
#define OBS_ALERT_STATE_ENUM(name, text) OBS_ALERT_##name,
  OBS_ALERT_STATE_MAP(OBS_ALERT_STATE_ENUM)
#undef OBS_ALERT_STATE_ENUM
      OBS_ALERT_STATES
} obs_alert_state;

extern const char *const obs_alert_state_names[OBS_ALERT_STATES];

typedef struct {
  char name[OBS_RULES_ID_MAX + 1], value[OBS_ALERT_VALUE_MAX + 1];
} obs_alert_label;

typedef struct {
  uint64_t number;      /* of this time that it is not inactive; ascends */
  uint64_t fingerprint; /* of rule and group: the same each time; not 0 */
  char rule[OBS_RULES_ID_MAX + 1];
  obs_rule_severity severity;
  obs_alert_state state;
  obs_alert_label labels[OBS_ALERT_LABELS];
  uint32_t nlabels;
  double value, threshold;
  char text[OBS_ALERT_TEXT_MAX]; /* a plain sentence */
  int64_t since_ms;              /* it holds since then */
  int64_t fired_ms, resolved_ms; /* 0: not yet */
  uint64_t seqs[OBS_ALERT_SEQS]; /* of ops that were counted, the newest first */
  uint32_t nseqs;
  uint64_t cluster; /* 0: none */
} obs_alert;

typedef struct obs_engine obs_engine;

/* How the daemon itself is. */
typedef struct {
  bool failing[OBS_RULE_CHECKS];
  char why[OBS_RULE_CHECKS][160];
} obs_engine_self;

/* What a turn looks at that is not the engine's: clusters, and the daemon itself. Zeroed: nothing. */
typedef struct {
  uint32_t rule; /* its place */
  uint64_t id, failures;
  bool goes_on; /* it failed within the last minute */
  int64_t state_ms;
  obs_cluster_state state;
  char template[200];
  struct {
    uint64_t hash, failures;
    char name[OBS_ALERT_VALUE_MAX + 1];
  } places[OBS_CLUSTER_PLACES];
  uint32_t nplaces;
  uint64_t seqs[OBS_ALERT_SEQS];
  uint32_t nseqs;
} obs_engine_cluster;

typedef struct {
  OBS_VEC(obs_engine_cluster) clusters;
  obs_engine_self self;
} obs_engine_look;

/* `rules` outlive the engine. NULL: no memory. */
obs_engine *obs_engine_open(const obs_rules *rules);
void obs_engine_close(obs_engine *e);

/* A recorded op. */
void obs_engine_op(obs_engine *e, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq);

/* Looks at the clusters for the rules that are about them; calls obs_clusters, and reads nothing of the engine but its
 * rules. False: no memory. */
bool obs_engine_look_at(const obs_rules *rules, obs_clusters *clusters, int64_t now_ms, obs_engine_look *out);
void obs_engine_look_fini(obs_engine_look *look);

/* An alert fires or is resolved (a->state); within obs_engine_turn. */
typedef void (*obs_engine_event)(void *arg, const obs_alert *a);
/* Moves one rule on to `now_ms`, which never goes back. The rules are those from 0 to obs_engine_rules - 1. */
void obs_engine_turn(obs_engine *e, uint32_t rule, const obs_engine_look *look, int64_t now_ms, obs_engine_event event,
                     void *arg);

/* ---- over restarts and reloads ---- */

/* Counts, and what is pending: not what fires, which adopt brings back. */
void obs_engine_save(obs_engine *e, obs_buf *out);
/* Into a new one. Rules that are no more, or others now, are passed over. CORRUPT: some may be loaded. */
observer_err obs_engine_load(obs_engine *e, const void *data, size_t len);
/* From now on time passes: absence is counted from here. `complete`: the counts are as if the daemon had been there
 * all the time; otherwise nothing is clear before its window has passed. */
void obs_engine_begin(obs_engine *e, int64_t now_ms, bool complete);
/* An alert fires already. False: there is no such rule or group any more. */
bool obs_engine_adopt(obs_engine *e, const obs_alert *a);
/* Takes what it can from the engine of the former rules, which is closed then: counts and alerts of the rules that are
 * the same, alerts that fire of those that are otherwise defined now. `lost` gets the alerts that fired and whose rule
 * is gone. */
void obs_engine_take(obs_engine *e, obs_engine *former, int64_t now_ms, obs_engine_event lost, void *arg);
/* The number that the next alert gets is at least this. */
void obs_engine_number_from(obs_engine *e, uint64_t number);

/* ---- questions ---- */

typedef struct {
  uint32_t groups, counts[OBS_ALERT_STATES]; /* of RESOLVED: none, they are no longer the engine's */
  uint64_t fired;                            /* how often */
  uint64_t not_numbers;                      /* values that were to be compared with a number, and are none */
  int64_t last_fired_ms;                     /* 0: never */
} obs_engine_rule;

uint32_t obs_engine_rules(const obs_engine *e);
void obs_engine_get_rule(const obs_engine *e, uint32_t rule, obs_engine_rule *out);
/* Calls `fn` with each alert, in no order, until it returns false. */
void obs_engine_each(const obs_engine *e, bool (*fn)(void *arg, const obs_alert *a), void *arg);
/* Groups that hold, and for which there was no room at the last turn. */
uint64_t obs_engine_held_back(const obs_engine *e);
/* The fingerprint of a rule and its group. */
uint64_t obs_alert_fingerprint(const char *rule, const obs_alert_label *labels, uint32_t nlabels);

#endif
