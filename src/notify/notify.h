/* Notifications: tells people and other programs that an alert fires or is resolved (proto/notifications.md).
 *
 * In:  transitions of alerts from the rules; the receivers of the rules' file; silences of operators.
 * Out: messages to Alertmanager, webhooks, Slack, e-mail, each receiver on a thread of its own (`obs:notify`); rows of
 *   the feed's topic `alert.RULE`; rows of `notifications.jsonl` and `silences.jsonl`.
 *
 * What is sent is the difference between what is so and what a receiver has been told. So nothing is said twice, a
 * receiver that was away hears what is so now, not what was, and an alert that fires and ends again and again makes one
 * message a `group_interval`. A message has the alerts of one rule. At most `per_hour` go to a receiver; then what is
 * held back is counted and told in one digest.
 *
 * Durable: a row is on the disk before the first byte of a message goes out, and one when it was answered. What was
 *   answered is not sent again after kill -9; what was not answered is, under the same id. For that the rules say at
 *   each start what fires (obs_notify_transition with `again`), and then obs_notify_settled.
 * Secrets: come from files alone; in no row, log or error. What leaves is redacted.
 * Threads: any but NNG's for obs_notify_transition and the silences; one mutex, held for a look or a copy, never across
 *   the disk or a call.
 * Memory: OBS_NOTIFY_ALERTS alerts of at most OBS_NOTIFY_ALERT_BYTES, OBS_NOTIFY_SILENCES silences.
 * Failure: of a receiver: counted, logged, tried again with growing pauses (outbound/breaker.h); the others go on. */
#ifndef OBS_NOTIFY_NOTIFY_H
#define OBS_NOTIFY_NOTIFY_H

#include "base/page.h"
#include "jsonl/records.h"
#include "redact/redact.h"

#include <cjson/cJSON.h>
#include <observer/error.h>

enum {
  OBS_NOTIFY_ALERTS = 8192,
  OBS_NOTIFY_ALERT_BYTES = 4096, /* names, values and texts of one */
  OBS_NOTIFY_LABELS = 4,
  OBS_NOTIFY_RECEIVERS = 16,
  OBS_NOTIFY_SILENCES = 256,
  OBS_NOTIFY_NAME_MAX = 64, /* of a rule, a receiver, a label */
  OBS_NOTIFY_PER_HOUR_MAX = 240
};

typedef struct obs_notify obs_notify;

/* ---- the receivers of the rules' file ---- */

typedef struct obs_notify_config obs_notify_config;

/* Reads `receivers`, `to` (default receivers), `repeat`, `group_wait`, `group_interval`, `per_hour` of the file's
 * object, and the files with secrets that they name; other members are left to the caller. NULL: `error` says what is
 * wrong, naming receiver and field: `receivers.chat.slack_url_file: cannot read /x: No such file or directory`.
 * `elsewhere`: it is only looked at, for a daemon of another machine; files that are not on this one are no error. */
obs_notify_config *obs_notify_config_read(const cJSON *file, bool elsewhere, char *error, size_t size);
/* Whether there is a receiver of that name: for the `to` of a rule. */
bool obs_notify_config_has(const obs_notify_config *c, obs_str name);
/* NULL is allowed. */
void obs_notify_config_free(obs_notify_config *c);

/* ---- life ---- */

typedef struct {
  const char *dir;    /* of notifications.jsonl and silences.jsonl; NULL: ephemeral */
  obs_redact *redact; /* NULL: what leaves is as it is; outlives it */
  /* The feed: puts a row, a JSON object, on a topic; never waits. NULL: there is no feed. */
  observer_err (*publish)(void *arg, const char *topic, obs_str row);
  /* Asked when the row that a message begins with is on the disk, before the first byte goes out, on the receiver's
   * thread; it may wait. `once`: it must not be sent again. False: nothing is this daemon's to send any more, and what
   * was begun is as at a stop. NULL: all are. */
  bool (*admit)(void *arg, bool once);
  void *admit_arg;
  void *arg;
  uint64_t turn_bytes; /* size at which notifications.jsonl is turned over; 0: 32 MiB */
} obs_notify_opts;

/* Without receivers; silences are known. `error_text` names file and reason. */
observer_err obs_notify_open(const obs_notify_opts *opts, obs_notify **out, char *error_text, size_t error_size);
/* What links in messages begin with: "http://127.0.0.1:3800"; NULL: there are no links. Before start. */
observer_err obs_notify_set_public_url(obs_notify *n, const char *url);
/* Takes other receivers from now on; `config` becomes its own, also on failure. A receiver that stays as it is goes on
 * as it was. NULL: none. NOMEM: the former ones stay. Not two at once; may wait for a message under way, as stop. */
observer_err obs_notify_configure(obs_notify *n, obs_notify_config *config);
/* From now on messages are sent. */
observer_err obs_notify_start(obs_notify *n);
/* Ends what is under way within a tenth of a second; what was not answered is sent at the next start. */
void obs_notify_stop(obs_notify *n);
/* Joins; NULL is allowed. */
void obs_notify_close(obs_notify *n);

/* ---- transitions ---- */

typedef enum { OBS_NOTIFY_FIRING, OBS_NOTIFY_RESOLVED } obs_notify_state;
typedef enum { OBS_NOTIFY_INFO, OBS_NOTIFY_WARN, OBS_NOTIFY_PAGE, OBS_NOTIFY_SEVERITIES } obs_notify_severity;
extern const char *const obs_notify_severity_names[OBS_NOTIFY_SEVERITIES];

typedef struct {
  const char *name, *value; /* "endpoint", "/v1/chat" */
} obs_notify_label;

typedef struct {
  uint64_t fingerprint; /* of rule and group: one alert, whenever it fires; not 0 */
  const char *rule;
  obs_notify_severity severity;
  obs_notify_state state;
  obs_notify_label labels[OBS_NOTIFY_LABELS]; /* the group */
  uint32_t nlabels;
  double value, threshold;      /* NAN: there is none */
  const char *text;             /* a plain sentence: "34 of 100 ops of /v1/chat failed ..." */
  const char *path;             /* of the page, behind the public URL: "/#/alerts/failing"; NULL: "/" */
  int64_t since_ms, fired_ms;   /* receipt: when it became pending, when it began to fire */
  int64_t resolved_ms;          /* 0 while it fires */
  const char *const *receivers; /* names; */
  uint32_t nreceivers;          /* 0: the file's `to`, else all of them */
  bool again;                   /* said at a start of what was so before: no row for the feed */
} obs_notify_alert;

/* Takes a copy; never waits for disk or network. Saying the same again changes nothing (but text and value, which the
 * next message has). FULL: no room, counted: say it again later. INVALID: no fingerprint, more labels than there may
 * be, or a name that is too long. */
observer_err obs_notify_transition(obs_notify *n, const obs_notify_alert *a);
/* After open, everything that fires has been said: what receivers were told of and does not fire any more is resolved.
 */
void obs_notify_settled(obs_notify *n);

/* ---- views; any thread, brief ---- */

typedef struct {
  int64_t notified_ms;  /* when a receiver last heard of it and answered; 0: not yet */
  uint64_t silenced_by; /* id of a silence that holds it back now; 0: none */
} obs_notify_look;
/* The rule and its labels decide what silences it, known to notify or not. */
void obs_notify_look_at(obs_notify *n, const obs_notify_alert *a, obs_notify_look *out);

#define OBS_NOTIFY_TYPES(X)                                                                                            \
  X(ALERTMANAGER, "alertmanager")                                                                                      \
  X(WEBHOOK, "webhook")                                                                                                \
  X(SLACK, "slack")                                                                                                    \
  X(MAIL, "mail")                                                                                                      \
  X(FEED, "feed")

typedef enum {
#define OBS_NOTIFY_TYPE_ENUM(name, text) OBS_NOTIFY_##name,
  OBS_NOTIFY_TYPES(OBS_NOTIFY_TYPE_ENUM)
#undef OBS_NOTIFY_TYPE_ENUM
      OBS_NOTIFY_TYPE_COUNT
} obs_notify_type;

extern const char *const obs_notify_type_names[OBS_NOTIFY_TYPE_COUNT];

/* Why an alert's transition was not told by itself. */
#define OBS_NOTIFY_WHYS(X)                                                                                             \
  X(SILENCED, "silenced")                                                                                              \
  X(FLAPPING, "flapping") /* it was over before it was told, or fires again before its end was told */                 \
  X(PER_HOUR, "per_hour") /* counted in a digest instead */                                                            \
  X(FULL, "full")

typedef enum {
#define OBS_NOTIFY_WHY_ENUM(name, text) OBS_NOTIFY_WHY_##name,
  OBS_NOTIFY_WHYS(OBS_NOTIFY_WHY_ENUM)
#undef OBS_NOTIFY_WHY_ENUM
      OBS_NOTIFY_WHY_COUNT
} obs_notify_why;

extern const char *const obs_notify_why_names[OBS_NOTIFY_WHY_COUNT];

typedef struct {
  uint64_t sent[OBS_NOTIFY_TYPE_COUNT], failed[OBS_NOTIFY_TYPE_COUNT]; /* messages answered; attempts that failed */
  uint64_t suppressed[OBS_NOTIFY_WHY_COUNT];
  uint32_t alerts, silences; /* known now; silences in force */
  uint32_t receivers;
  uint32_t failing;   /* receivers whose last message failed */
  uint64_t held_back; /* transitions that wait for a digest now */
  obs_records_counts ledger, silence_rows;
} obs_notify_counts;
void obs_notify_get_counts(obs_notify *n, obs_notify_counts *out);

/* ---- silences ---- */

/* Sets a silence from a request's body: {"matchers":[{"name","value","glob"}],"until"|"for","author","comment"};
 * without an author it is `author`. Waits for the disk: not on NNG's threads. Appends the silence, as the list has it;
 * *id is its own. INVALID: `error` names the member; FULL: too many; others: the disk. */
observer_err obs_notify_silence_add(obs_notify *n, const cJSON *body, const char *author, uint64_t *id, obs_buf *out,
                                    char *error, size_t size);
/* Ends one now. NOTFOUND: there is none in force with that id. Appends it as it is then. */
observer_err obs_notify_silence_end(obs_notify *n, uint64_t id, obs_buf *out);
/* A page of the silences as a JSON array, newest first: those in force, with `ended` also those that are over, as far
 * as they are remembered. */
void obs_notify_silences(obs_notify *n, const obs_page *page, bool ended, obs_buf *out, obs_page_end *end);

#endif
