/* Metrics: every number that the daemon tells about itself, one row each.
 *
 * /health, the feed's heartbeat, /metrics and, by /health, `observerctl top` are printed from the table (table.c), and
 * so are proto/metrics.md and the dashboard; a new number is a member of its module's counts and a row there.
 * obs_metrics_read takes one look at every module, so that what belongs together (received = recorded + duplicate +
 * rejected + in flight) is of one moment. Any thread; brief, never waits for a disk. obs_metrics_read_all adds what
 * only /metrics has: lists, and the process as the system sees it; not for NNG's threads. Bounds: a row says how many
 * series it can be (obs_metrics_most); a test adds them up: 2,000 at most. */
#ifndef OBS_METRICS_METRICS_H
#define OBS_METRICS_METRICS_H

#include "access/access.h"
#include "alerts/alerts.h"
#include "base/clock.h"
#include "base/histogram.h"
#include "base/str.h"
#include "bridge/bridge.h"
#include "feed/feed.h"
#include "fleet/ask.h"
#include "fleet/edge.h"
#include "fleet/leader.h"
#include "fleet/merge.h"
#include "fleet/worker.h"
#include "learn/advice/advice.h"
#include "learn/analyses/analyses.h"
#include "learn/corrections/corrections_file.h"
#include "learn/escalations/escalations.h"
#include "learn/learn.h"
#include "learn/playbooks/playbooks.h"
#include "learn/reviews/reviews.h"
#include "notify/notify.h"
#include "sessions/sessions.h"
#include "stream/stream.h"
#include "stream/tls.h"

typedef enum {
  OBS_METRICS_HTTP,
  OBS_METRICS_PULL,
  OBS_METRICS_SUB,
  OBS_METRICS_REP,
  OBS_METRICS_FEED,
  OBS_METRICS_SOCKETS
} obs_metrics_socket;

/* Where the numbers come from. NULL: not there, its numbers are 0. All outlive whoever reads. */
typedef struct {
  const char *version;
  const char *data_dir;     /* its absolute path; NULL: ephemeral */
  const char *journal_name; /* of the active segment; likewise */
  uint64_t started_ms;      /* monotonic */
  int64_t started_wall_ms;
  obs_state *state;
  obs_commit *commit;
  obs_journal *journal;
  obs_sessions *sessions;
  obs_clusters *clusters;
  obs_feed *feed;
  obs_learn *learn;
  obs_notify *notify;
  obs_alerts *alerts; /* NULL: none */
  obs_tls *tls;
  obs_redact *redact;
  const char *redact_mode; /* "secrets" */
  obs_edge *edge;          /* NULL: nothing is forwarded */
  bool works;              /* partitions are folded: */
  obs_fleet_worker_counts worker;
  obs_leader_counts leader;
  obs_fleet_asker_counts asked; /* of a fleet, and what was answered to it */
  obs_fleet_answerer_counts answered;
  /* The connections of each listening socket. */
  void (*sockets)(void *arg, obs_stream_counts out[OBS_METRICS_SOCKETS]);
  void *sockets_arg;
  obs_access *access;
  obs_str open, plain; /* JSON lists of the listeners that are open to all, and not encrypted, where others reach them;
                          len 0: none */
  /* Appends the JSON object of all URLs by kind. */
  void (*urls)(void *arg, obs_buf *out);
  void *urls_arg;
  obs_str fleet; /* a JSON object: what it is in its fleet; len 0: it is alone. Of /health alone */
  obs_ready_sources ready;
  obs_bridge *bridge;
} obs_metrics_sources;

/* The loops that keep rows in a file, and the ledger of calls. */
typedef enum {
  OBS_METRICS_ANALYSES,
  OBS_METRICS_PLAYBOOKS,
  OBS_METRICS_ESCALATIONS,
  OBS_METRICS_REVIEWS,
  OBS_METRICS_CALLS,
  OBS_METRICS_FILES
} obs_metrics_file;

enum { OBS_METRICS_SOURCES = 101 /* with OBS_NAMES_OTHER */ };
typedef struct {
  obs_str name;
  uint64_t succeeded, failed;
} obs_metrics_source;

/* Elements that begin with a name, each `size` bytes. */
typedef struct {
  const void *at;
  uint32_t n, size;
} obs_metrics_list;

/* The process, as the system sees it. */
typedef struct {
  uint64_t cpu_ms, resident_bytes, virtual_bytes, open_fds, max_fds, threads;
} obs_metrics_process;

/* How whole the view of a fleet is (fleet/merge.h). */
typedef struct {
  uint32_t partitions, missing, rebuilding;
  uint64_t folded, duplicate, rejected, age_ms;
} obs_metrics_fleet_view;

/* One moment's numbers. */
typedef struct {
  const char *status, *version, *data_dir, *journal_name;
  obs_buf urls_text;
  obs_str urls, open, plain, fleet; /* JSON */
  obs_tls_status tls;
  char tls_times[2][OBS_ISO8601_LEN + 1];
  const char *tls_expires, *tls_ca_expires, *tls_problem; /* NULL: not there */
  uint64_t tls_expires_s;
  const char *redact_mode;
  uint64_t redacted[OBS_REDACT_KIND_COUNT], redact_failures;
  obs_buf patterns_text;
  obs_str patterns; /* JSON: matches of each configured pattern */
  uint64_t uptime_s, sessions;
  obs_state_counts state;
  uint64_t clock_off_s; /* between the wall clock and receipt */
  obs_commit_times times;
  uint32_t key_file; /* 0: none, 1: read, 2: broken */
  obs_access_counts access;
  obs_commit_counts transports[OBS_TRANSPORT_COUNT];
  obs_stream_counts sockets[OBS_METRICS_SOCKETS];
  obs_feed_counts feed;
  obs_clusters_counts clusters;
  obs_learn_counts learn;
  uint64_t analysed_through, escalations_held;
  obs_corrections_file_counts corrections;
  obs_journal_counts journal;
  obs_records_counts files[OBS_METRICS_FILES];
  /* From here on of /metrics alone. */
  uint32_t ready;
  obs_commit_figures commit;
  uint64_t cycles_run, started_wall_ms, advice_age_ms;
  obs_analyses_counts analyses;
  obs_playbooks_counts playbooks;
  obs_advice_counts advice;
  obs_reviews_counts reviews;
  obs_notify_counts notify;
  obs_edge_counts edge;
  obs_fleet_worker_counts worker;
  obs_leader_counts leader;
  obs_fleet_asker_counts asked;
  obs_fleet_answerer_counts answered;
  obs_metrics_fleet_view fleet_view; /* of a fleet's alone */
  uint64_t escalations[OBS_ESCALATION_RESULT_COUNT];
  obs_metrics_process process;
  obs_alerts_counts alerts;
  obs_metrics_list sources, endpoints, routes, codes;
  void *listed; /* what the lists are of */
  char build_text[128];
  const char *build; /* labels */
} obs_metrics_values;

typedef enum {
  OBS_METRIC_COUNTER = 1, /* only grows while the daemon runs */
  OBS_METRIC_GAUGE,
  OBS_METRIC_STATE,     /* a number that stands for one of `states`; in /metrics 1 for that one and 0 for the others */
  OBS_METRIC_HISTOGRAM, /* obs_histogram: not for /health */
  OBS_METRIC_INFO,      /* const char *: the labels of a 1; likewise */
  OBS_METRIC_TEXT,      /* const char *: no number, for /health alone */
  OBS_METRIC_JSON       /* obs_str: likewise */
} obs_metric_type;

/* A label and its values; without values it is that of a list. */
typedef struct {
  const char *name; /* NULL: there is none */
  const char *const *values;
  uint32_t n;
  size_t step; /* from one value's number to the next */
} obs_metric_label;

typedef struct {
  const char
      *path; /* in /health: "feed/ops"; in "files/{file}/rows" each value of the label has its place. NULL: none */
  const char *name; /* in /metrics: "observer_feed_ops_total"; rows of one name are one family. NULL: not there */
  const char *help;
  obs_metric_type type;
  bool wide;     /* 64 bits; else 32 */
  bool may_lack; /* 0 means that there is none: not shown in /metrics */
  uint32_t per;  /* so many are one in /metrics, such as milliseconds in a second; 0: 1 */
  size_t at;     /* in the values, or in the list's element */
  obs_metric_label labels[2];
  const char *fixed; /* a label that all its samples have in /metrics: `result="ok"` */
  const char *const *states;
  uint32_t nstates;
  const char *beat; /* in the heartbeat: "ring", "feed/ops"; NULL: not in it */
  const obs_histogram_scale *scale;
  size_t list; /* the obs_metrics_list in the values; 0: none */
  uint32_t longest;
  const char *label_in; /* a second label, whose value is an obs_str of the element, at: */
  size_t label_at;
  size_t exemplars; /* obs_exposed_exemplar of each bucket, or of a counter, in the element; 0: none */
} obs_metric;

/* The table's row at that place, in the order of /health; NULL beyond the last. */
const obs_metric *obs_metrics_at(size_t place);
/* How many values the first or second label has; 1 without it. */
uint32_t obs_metrics_label_values(const obs_metric *m, uint32_t label);
/* How many series the row is in /metrics, at most. */
uint32_t obs_metrics_most(const obs_metric *m);
extern const char *const obs_metrics_redact_kinds[OBS_REDACT_KIND_COUNT];
/* The number; `value` of the first label, 0 without one. */
uint64_t obs_metrics_number(const obs_metric *m, const obs_metrics_values *v, uint32_t value);

void obs_metrics_read(const obs_metrics_sources *from, obs_metrics_values *out);
/* The same, and what /metrics alone has. Without memory the lists are empty. */
void obs_metrics_read_all(const obs_metrics_sources *from, obs_metrics_values *out);
/* A fleet's, put together: sources, endpoints, what state and clusters count, and how whole that is. Of endpoints the
 * lifetime's ops, of the 50 with most. */
void obs_metrics_read_fleet(obs_merge *merge, int64_t now_ms, obs_metrics_values *out);
void obs_metrics_fini(obs_metrics_values *v);
/* Appends the body of /health. */
void obs_metrics_health(const obs_metrics_values *v, obs_buf *out);
/* Appends the heartbeat's own members, `ring` and the map `feed`, as msgpack pairs. Returns how many. */
uint32_t obs_metrics_beat(const obs_metrics_values *v, obs_buf *out);

/* Appends the body of /metrics: text 0.0.4, or OpenMetrics 1.0 with exemplars (`open`). */
void obs_metrics_text(const obs_metrics_values *v, bool open, obs_buf *out);
/* The same of a fleet: the families that obs_metrics_read_fleet has read. */
void obs_metrics_fleet_text(const obs_metrics_values *v, bool open, obs_buf *out);
/* The families, one a line: name, type, unit, labels, help, separated by tabs. */
void obs_metrics_print(FILE *out);

#endif
