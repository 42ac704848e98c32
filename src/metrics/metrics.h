/* Metrics: every number that the daemon tells about itself, one row each.
 *
 * /health, the feed's heartbeat and, by /health, `observerctl top` are printed from the table; a new number is a member
 * of its module's counts and a row here. obs_metrics_read takes one look at every module, so that what belongs together
 * (received = recorded + duplicate + rejected + in flight) is of one moment. Any thread; brief, never waits for a
 * disk. */
#ifndef OBS_METRICS_METRICS_H
#define OBS_METRICS_METRICS_H

#include "access/access.h"
#include "base/clock.h"
#include "base/str.h"
#include "feed/feed.h"
#include "learn/corrections/corrections_file.h"
#include "learn/learn.h"
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
  obs_state *state;
  obs_commit *commit;
  obs_journal *journal;
  obs_sessions *sessions;
  obs_clusters *clusters;
  obs_feed *feed;
  obs_learn *learn;
  obs_tls *tls;
  obs_redact *redact;
  const char *redact_mode; /* "secrets" */
  /* The connections of each listening socket. */
  void (*sockets)(void *arg, obs_stream_counts out[OBS_METRICS_SOCKETS]);
  void *sockets_arg;
  obs_access *access;
  obs_str open, plain; /* JSON lists of the listeners that are open to all, and not encrypted, where others reach them;
                          len 0: none */
  /* Appends the JSON object of all URLs by kind. */
  void (*urls)(void *arg, obs_buf *out);
  void *urls_arg;
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

/* One moment's numbers. */
typedef struct {
  const char *status, *version, *data_dir, *journal_name;
  obs_buf urls_text;
  obs_str urls, open, plain; /* JSON */
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
} obs_metrics_values;

typedef enum {
  OBS_METRIC_COUNTER = 1, /* only grows while the daemon runs */
  OBS_METRIC_GAUGE,
  OBS_METRIC_STATE, /* a number that stands for one of `states` */
  OBS_METRIC_TEXT,  /* const char *: no number, for /health alone */
  OBS_METRIC_JSON   /* obs_str: likewise */
} obs_metric_type;

typedef struct {
  const char *path; /* in /health: "feed/ops"; in "files/{file}/rows" each value of the label has its place */
  const char *name; /* as /metrics will call it: "observer_feed_ops_total" */
  const char *help;
  obs_metric_type type;
  bool wide;   /* 64 bits; else 32 */
  size_t at;   /* in the values */
  size_t step; /* from one value of the label to the next */
  const char *label;
  const char *const *values; /* of the label */
  uint32_t nvalues;
  const char *const *states;
  const char *beat; /* in the heartbeat: "ring", "feed/ops"; NULL: not in it */
} obs_metric;

/* The table's row at that place, in the order of /health; NULL beyond the last. */
const obs_metric *obs_metrics_at(size_t place);
/* The number; `value` of the label, 0 without one. */
uint64_t obs_metrics_number(const obs_metric *m, const obs_metrics_values *v, uint32_t value);

void obs_metrics_read(const obs_metrics_sources *from, obs_metrics_values *out);
void obs_metrics_fini(obs_metrics_values *v);
/* Appends the body of /health. */
void obs_metrics_health(const obs_metrics_values *v, obs_buf *out);
/* Appends the heartbeat's own members, `ring` and the map `feed`, as msgpack pairs. Returns how many. */
uint32_t obs_metrics_beat(const obs_metrics_values *v, obs_buf *out);

#endif
