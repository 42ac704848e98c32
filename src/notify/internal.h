/* What the parts of notify share: receivers, the book of what is so and what each receiver was told, messages. */
#ifndef OBS_NOTIFY_INTERNAL_H
#define OBS_NOTIFY_INTERNAL_H

#include "base/map.h"
#include "base/vec.h"
#include "http/http.h"
#include "notify/notify.h"
#include "outbound/breaker.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
  OBS_NOTIFY_SLOTS = 2 * OBS_NOTIFY_RECEIVERS, /* receivers of the file, and former ones that were told something */
  OBS_NOTIFY_RULES = 1024,
  OBS_NOTIFY_ITEMS = 1000,       /* alerts in one message */
  OBS_NOTIFY_POST_ITEMS = 256,   /* in one post to an Alertmanager */
  OBS_NOTIFY_TIMEOUT_MS = 10000, /* of one attempt */
  OBS_NOTIFY_HOUR_MS = 3600000,
  OBS_NOTIFY_TEXT_MAX = 1024, /* bytes of an alert's text, */
  OBS_NOTIFY_VALUE_MAX = 256, /* of a label's value, */
  OBS_NOTIFY_PATH_MAX = 512   /* of its path: what is longer is cut, a path left out */
};

/* ---- receivers (config.c) ---- */

typedef struct {
  char name[OBS_NOTIFY_NAME_MAX + 1];
  obs_notify_type type;
  char *url; /* may be a secret: `shown` is for people */
  char *bearer, *user, *password, *ca_file, *from;
  char **to; /* addresses */
  uint32_t nto;
  bool plain;        /* mail: without TLS */
  bool ends;         /* resolved alerts are told, too */
  bool by_default;   /* of rules that name no receiver */
  int64_t resend_ms; /* Alertmanager: what fires is sent again so often */
  uint64_t digest;   /* of all of it: a receiver that stays as it is */
  char shown[OBS_HTTP_SHOWN_MAX];
} obs_notify_receiver;

struct obs_notify_config {
  obs_notify_receiver *at[OBS_NOTIFY_RECEIVERS];
  uint32_t n;
  int64_t repeat_ms, wait_ms, interval_ms;
  uint32_t per_hour;
};

/* ---- alerts ---- */

/* What was said of an alert last. Shared by the book and by messages; `refs` under the lock. */
typedef struct {
  uint32_t refs;
  uint64_t fingerprint;
  obs_notify_severity severity;
  double value, threshold;
  int64_t since_ms, fired_ms, resolved_ms;
  const char *rule, *text, *path; /* in `room`, as all texts */
  obs_notify_label labels[OBS_NOTIFY_LABELS];
  uint32_t nlabels;
  uint32_t nreceivers;
  const char *receivers[OBS_NOTIFY_RECEIVERS];
  char room[];
} obs_notify_facts;

/* What a receiver knows of an alert. UNSURE: it was being told that it fires when the process ended. */
typedef enum { OBS_NOTIFY_TOLD_NOTHING, OBS_NOTIFY_TOLD_FIRING, OBS_NOTIFY_TOLD_UNSURE } obs_notify_told_state;

typedef struct {
  uint8_t state;
  uint32_t times; /* how often it had begun to fire by then */
} obs_notify_told;

typedef struct {
  obs_notify_facts *facts; /* NULL: a free place */
  bool firing;
  bool said;       /* since this process began; before that it is only remembered */
  uint32_t times;  /* how often it began to fire */
  uint32_t rule;   /* place of its rule; of a free place: as `spare` */
  uint32_t wanted; /* bit per slot: receivers that it is for */
  uint64_t silenced_by;
  int64_t notified_ms;
  obs_notify_told told[OBS_NOTIFY_SLOTS];
} obs_notify_entry;

/* ---- messages ---- */

/* What a message says of an alert. */
typedef enum {
  OBS_NOTIFY_SAME,  /* nothing new */
  OBS_NOTIFY_BEGUN, /* fires, which the receiver does not know */
  OBS_NOTIFY_ENDED, /* fires no more, which the receiver does not know */
  OBS_NOTIFY_OVER,  /* fired and ended before the receiver could be told */
  OBS_NOTIFY_STILL, /* fires, as the receiver knows */
  OBS_NOTIFY_SAYS
} obs_notify_says;

extern const char *const obs_notify_says_names[OBS_NOTIFY_SAYS];

typedef enum {
  OBS_NOTIFY_CHANGE, /* of one rule's alerts (of any rule's, for an Alertmanager) */
  OBS_NOTIFY_REPEAT, /* they still fire */
  OBS_NOTIFY_DIGEST, /* of all rules, after some were held back */
  OBS_NOTIFY_KEEP,   /* keeps what fires alive at an Alertmanager; no row */
  OBS_NOTIFY_REASONS
} obs_notify_reason;

extern const char *const obs_notify_reason_names[OBS_NOTIFY_REASONS];

typedef struct {
  obs_notify_facts *facts;
  obs_notify_says says;
  uint32_t times; /* the entry's, */
  uint32_t fired; /* and how many of them the receiver does not know */
} obs_notify_item;

typedef struct {
  uint64_t id; /* the same for the same content after the same last message: when it is sent again, it has its id */
  uint64_t row;
  uint32_t slot;
  obs_notify_reason reason;
  const char *rule;                 /* of the first item's facts; NULL: of several */
  OBS_VEC(obs_notify_item) items;   /* what is new first */
  uint32_t counts[OBS_NOTIFY_SAYS]; /* of all alerts that it is about, also those beyond OBS_NOTIFY_ITEMS */
  uint64_t held_fired, held_ended;  /* digest */
  int64_t held_since_ms;
  int64_t until_ms; /* 0, or it is the last of `per_hour` that may go out before then */
  uint32_t per_hour;
  uint32_t next_at; /* KEEP: where the round goes on; 0: it is over */
  bool maybe_again; /* it may have been received before */
  int64_t now_ms;
} obs_notify_message;

/* ---- the book ---- */

typedef struct {
  int64_t last_ms;   /* when the last message about it was answered; 0: never */
  int64_t first_ms;  /* since when something is to be told; 0: nothing */
  uint64_t last_row; /* of that message */
} obs_notify_group;

typedef struct {
  char name[OBS_NOTIFY_NAME_MAX + 1]; /* "": a free place */
  uint32_t entries;
  uint32_t news, still; /* of the slot that is looked at */
  obs_notify_group groups[OBS_NOTIFY_SLOTS];
} obs_notify_rule;

typedef struct {
  obs_notify *notify;
  char name[OBS_NOTIFY_NAME_MAX + 1];  /* "": a free place */
  const obs_notify_receiver *receiver; /* NULL: not in the file now */
  pthread_t thread;
  bool running;
  _Atomic bool ending;
  pthread_cond_t wake; /* its thread: something is due earlier than it thought, or it is to end */
  int64_t planned_ms;  /* when the thread looks again */
  obs_breaker breaker;
  bool failing;
  uint64_t unsure;   /* a message that may have been received before this process began */
  cJSON *open;       /* while the ledger is read: a row of a message that no answer has followed yet */
  obs_buf in_flight; /* the row of the message that is being sent */
  int64_t hour[OBS_NOTIFY_PER_HOUR_MAX]; /* when messages were answered within the last hour, oldest first */
  uint32_t nhour;
  bool holding;
  uint64_t held_fired, held_ended;
  int64_t held_since_ms;
  int64_t first_ms;   /* Alertmanager: since when something is to be told; 0: nothing */
  int64_t resend_ms;  /* when what fires is to be sent again; 0: at once */
  uint32_t resend_at; /* the place that the round has come to */
  int64_t round_ms;   /* when it began */
} obs_notify_slot;

/* ---- silences (silences.c) ---- */

enum { OBS_NOTIFY_MATCHERS = 8 };

typedef struct {
  char *name, *value;
  bool glob;
} obs_notify_matcher;

typedef struct {
  uint64_t id; /* number of its row; 0: a free place */
  obs_notify_matcher matchers[OBS_NOTIFY_MATCHERS];
  uint32_t nmatchers;
  char *author, *comment;
  int64_t from_ms, until_ms;
  bool in_force; /* entries may be silenced by it */
} obs_notify_silence;

struct obs_notify {
  obs_notify_opts opts;
  char *public_url; /* without the slashes it ends in; NULL: none */
  obs_records *ledger, *silence_rows;
  int stop_fd; /* eventfd, readable once `stopped` is set */
  _Atomic bool stopped;
  bool started; /* receivers have threads */

  pthread_mutex_t silencing; /* across the write of a silence; taken before `lock` */
  pthread_mutex_t lock;      /* of what follows; brief */
  obs_notify_config *config;
  obs_notify_slot slots[OBS_NOTIFY_SLOTS];
  OBS_VEC(obs_notify_entry) entries;
  uint32_t spare; /* the first free place of `entries`, and 1; its `rule` leads to the next */
  uint32_t nentries;
  uint32_t hand;  /* where a full book looks next for an entry to forget */
  obs_map places; /* of a fingerprint in `entries` */
  OBS_VEC(obs_notify_rule) rules;
  OBS_VEC(obs_notify_silence) silences;
  obs_notify_counts counts;
};

/* facts.c: a copy that fits; NULL: no memory. */
obs_notify_facts *obs_notify_facts_make(const obs_notify_alert *a, obs_redact *redact);
/* With the lock. */
obs_notify_facts *obs_notify_facts_hold(obs_notify_facts *f);
void obs_notify_facts_release(obs_notify_facts *f);
/* A label's value; NULL: it has none of that name. `rule` and `severity` are labels, too. */
const char *obs_notify_facts_label(const obs_notify_facts *f, const char *name);

/* book.c, all with the lock but for message_fini. */

/* Place of a slot by its name, made when it is new; UINT32_MAX: no room. */
uint32_t obs_notify_slot_of(obs_notify *n, obs_str name);
/* Takes over what is said of an alert; the facts become its own in any case. *changed: it is new that it fires, or that
 * it does not. FULL: no room. */
observer_err obs_notify_book_take(obs_notify *n, obs_notify_facts *facts, bool firing, int64_t now, bool *changed);
/* What is to be said of it to a slot. */
obs_notify_says obs_notify_book_says(const obs_notify *n, const obs_notify_entry *e, uint32_t slot);
obs_notify_entry *obs_notify_book_find(obs_notify *n, uint64_t fingerprint);
/* What is only remembered does not fire any more. */
void obs_notify_book_settle(obs_notify *n, int64_t now);
/* An entry as the ledger remembers it, made when it is new; NULL: no room. The facts become its own in any case. */
obs_notify_entry *obs_notify_book_remember(obs_notify *n, obs_notify_facts *facts);
/* Place of a rule, made when it is new; UINT32_MAX: no room. */
uint32_t obs_notify_rule_of(obs_notify *n, const char *name);
/* Frees the entry when nobody has to be told of it any more. True: it is gone. */
bool obs_notify_book_drop(obs_notify *n, obs_notify_entry *e);
/* What receivers the entries are for, after the receivers have changed. */
void obs_notify_book_aim(obs_notify *n);
/* The message that is due for the slot; false: none, *wake says when to look again. FULL items hold facts. */
bool obs_notify_book_due(obs_notify *n, uint32_t slot, int64_t now, obs_notify_message *m, int64_t *wake);
/* The message was answered. */
void obs_notify_book_told(obs_notify *n, const obs_notify_message *m, int64_t now);
/* Its thread looks again at `when` at the latest. */
void obs_notify_book_wake(obs_notify *n, uint32_t slot, int64_t when);
void obs_notify_message_fini(obs_notify *n, obs_notify_message *m);

/* ledger.c */
observer_err obs_notify_ledger_open(obs_notify *n, char *error_text, size_t error_size);
/* The row before the first byte. A row that cannot be written does not keep a message back: better told twice than
 * never. */
void obs_notify_ledger_begin(obs_notify *n, obs_notify_message *m, const obs_notify_receiver *r);
typedef struct {
  bool ok;
  bool unsure; /* it may have been received all the same */
  long status; /* 0: none came */
  uint32_t ms;
  int64_t at_ms; /* when that was known */
  uint64_t retry_after_ms;
  char error[256];
} obs_notify_result;
void obs_notify_ledger_end(obs_notify *n, const obs_notify_message *m, const obs_notify_receiver *r,
                           const obs_notify_result *result);

/* silences.c; all with the lock but for those of notify.h, and open. */
observer_err obs_notify_silences_open(obs_notify *n, char *error_text, size_t error_size);
void obs_notify_silences_fini(obs_notify *n);
/* Id of the one in force that matches; 0: none. */
uint64_t obs_notify_silenced_by(const obs_notify *n, const obs_notify_facts *f);
bool obs_notify_silence_is_over(const obs_notify_silence *s, int64_t now);
/* Ends those whose time is over. Returns when the next one ends. */
int64_t obs_notify_silences_expire(obs_notify *n, int64_t now);

/* text.c: a message in words. */
void obs_notify_text_subject(const obs_notify_message *m, obs_buf *out);
void obs_notify_text_body(const obs_notify_message *m, const char *public_url, obs_buf *out);
/* The link of an alert; appends nothing without a public URL. */
void obs_notify_text_link(const obs_notify_facts *f, const char *public_url, obs_buf *out);

/* send.c: sends it and waits; `result` says how that went. */
void obs_notify_send(const obs_notify_slot *s, const obs_notify_receiver *r, const obs_notify_message *m,
                     obs_notify_result *result);
/* What the receivers' types differ in. */
bool obs_notify_type_groups(obs_notify_type t);

#endif
