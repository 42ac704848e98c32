/* libobserver: what producers need to speak to an observer.
 *
 *   observer_client *client;
 *   if (observer_open(&(observer_options){0}, &client) != OBSERVER_E_OK) ...
 *   observer_publish(client, &(observer_op){.endpoint = "/v1/chat", .success = OBSERVER_TRUE});
 *   observer_close(client, 1000);
 *
 * An op is a struct made from the field table of op.h, for designated initialisers; what is left out is not sent, but
 * for the timestamp, which is then the time of the publish call, and source and op_id as the options below say. Ops are
 * gathered into batches by a thread of the client's own ("obs:client"), because the bus costs per message.
 *
 * Threads: every function may be called from any thread, except observer_close, which is the last call: publish calls
 *   that wait for room then return CLOSED, and no other call may be under way or begin. Callbacks run
 *   on the client's thread; from one, any function but flush and close may be called.
 * Ownership: what a call is given is copied before it returns.
 * Fork: a client belongs to the process that opened it, and NNG itself cannot be used in a forked child. There every
 *   call returns OBSERVER_E_FORKED at once, and observer_close only frees (what other threads may have been changing at
 *   the fork is left to the process) and lets go of the spool, which a child that lives on would keep locked; a child
 * that has not called exec opens clients of its own only if the parent had opened none (prefork servers: open in each
 * child). Exit: observer_close delivers what waits. A process that ends without it loses what is still queued, except
 * what is in the spool, which the next observer_open on that spool sends. */
#ifndef OBSERVER_OBSERVER_H
#define OBSERVER_OBSERVER_H

#include <observer/error.h>
#include <observer/op.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A boolean that may be left out. C's `true` is OBSERVER_TRUE. */
typedef enum { OBSERVER_FALSE = -1, OBSERVER_UNSET = 0, OBSERVER_TRUE = 1 } observer_bool;

/* An integer that may be left out. */
typedef struct {
  int64_t value;
  bool set;
} observer_int;
#define OBSERVER_INT(number) ((observer_int){(number), true})

typedef const char *observer_TIME; /* texts are NUL-terminated UTF-8; NULL: left out */
typedef const char *observer_TEXT;
typedef observer_bool observer_BOOL;
typedef observer_int observer_DURATION;
typedef observer_int observer_INT;
typedef struct {
  const void *msgpack; /* one msgpack value; NULL: left out */
  size_t len;
} observer_JSON;

typedef struct {
#define OBSERVER_OP_MEMBER(name, kind, required, rule) observer_##kind name;
  OBSERVER_OP_FIELDS(OBSERVER_OP_MEMBER)
#undef OBSERVER_OP_MEMBER
} observer_op;

/* Encodes `n` ops as one bus message: a msgpack array of maps. The caller frees *bytes. NOMEM. */
observer_err observer_encode(const observer_op *ops, size_t n, void **bytes, size_t *len);

/* ---- a client ---- */

typedef struct observer_client observer_client;

typedef enum {
  OBSERVER_PUSH, /* best effort, with backpressure: the daemon's PULL socket; what a connection that breaks had
                    taken is lost */
  OBSERVER_PUB,  /* best effort, never waits: the daemon's SUB socket may miss what it cannot keep up with. What is
                    published before the first connection waits for it, and what a slow one leaves unread for long
                    is dropped by the transport, oldest first, uncounted */
  OBSERVER_ACKNOWLEDGED /* the daemon's REP socket: each op is reported on, sent again until it is durable, once */
} observer_mode;

typedef enum {
  OBSERVER_RECORDED,  /* durable in the daemon's journal */
  OBSERVER_DUPLICATE, /* its op_id was recorded before: an earlier try had arrived */
  OBSERVER_REJECTED,  /* the daemon will not take it: `reason` */
  OBSERVER_EXPIRED    /* given up: expire_ms or the deadline of observer_close passed; it may have arrived */
} observer_outcome;

/* What became of one op. Strings live until the callback returns. */
typedef struct {
  observer_outcome outcome;
  const char *op_id;
  const char *reason; /* of REJECTED and EXPIRED, else NULL */
  void *tag;          /* as given to observer_publish_wait; NULL for an op that an earlier process left in the spool */
  uint64_t accepted, duplicates, rejected; /* records as the daemon counted them: one of them 1, except for a `whole`
                                              message (observer_encoded), which may hold several, or none */
} observer_delivery;

/* Zero is the default everywhere, so that `(observer_options){0}` works; -1 stands for none where noted. */
typedef struct {
  observer_mode mode;
  const char *const *urls; /* daemons to dial, NULL-terminated; default tcp://127.0.0.1:3801 (3802 PUB, 3803 REQ) */
  const char *producer;    /* first part of op_id; default: program, host and process id */
  const char *source;      /* of ops that name none; default: the daemon's */
  int32_t linger_ms;       /* an op waits for company at most that long; default 5; -1: none */
  uint32_t batch_ops;      /* most ops a message; default 512, at most 1000 */
  uint32_t batch_bytes;    /* most bytes a message; default 256 KiB, at most 2 MiB */
  size_t queue_bytes;      /* most bytes held in memory for ops that are not delivered yet; default 8 MiB */
  int32_t block_ms;        /* observer_publish waits that long for room; default 0: not at all; -1: until there is */

  /* Acknowledged mode. */
  int32_t expire_ms;           /* an op is given up after that; default 120 s, -1 (also with a spool) never */
  uint32_t request_timeout_ms; /* an unanswered message is sent again; default 5 s */
  uint32_t retry_min_ms;       /* pause before that, doubled each time with jitter; default 50 ms */
  uint32_t retry_max_ms;       /* default 5 s */
  uint32_t in_flight;          /* messages unanswered at once; default 4, at most 16; 1 keeps the order on retries */
  void (*on_delivery)(void *arg, const observer_delivery *delivery);
  void *delivery_arg;

  /* A file in which ops wait until they are acknowledged, so that they outlive this process; one client at a time
   * (LOCKED). An op is in it once its batch is closed, at most linger_ms after the publish. NULL: none. */
  const char *spool;
  uint64_t spool_bytes; /* most bytes of it; default 64 MiB, at least 64 KiB; a quarter of them is room to work in.
                           An op that is larger by itself is taken when the spool is empty */
  bool spool_sync;      /* survives a power cut too: synced after each batch */
} observer_options;

/* Starts the client. Does not wait for the daemon: it may come later, and may go and come. INVALID: an option or URL
 * that cannot be; IO, LOCKED, CORRUPT: the spool. */
observer_err observer_open(const observer_options *options, observer_client **out);

/* Why the last observer_open of this thread failed, with the option, URL or path, for a person. Never NULL. */
const char *observer_open_error(void);

/* Publishes one op. OK: it is queued. FULL: there was no room within block_ms (counted, not queued). INVALID: no
 * endpoint, a text that is not UTF-8 or over the daemon's limits, a negative duration (counted, not queued). CLOSED,
 * FORKED, NOMEM. */
observer_err observer_publish(observer_client *client, const observer_op *op);
/* The same, waiting `block_ms` at most (0: not at all, -1: until there is room); `tag` comes back in the report. */
observer_err observer_publish_wait(observer_client *client, const observer_op *op, int32_t block_ms, void *tag);

/* Sends what waits without lingering, and returns when every op published before the call is acknowledged (or handed to
 * the transport, in the best-effort modes). TIMEDOUT: not within `deadline_ms`; nothing is given up. */
observer_err observer_flush(observer_client *client, uint32_t deadline_ms);

/* Flushes, at most until the deadline, then stops and frees. TIMEDOUT: some ops were given up (counted, reported as
 * EXPIRED) or, with a spool, left in it. NULL is allowed. */
observer_err observer_close(observer_client *client, uint32_t deadline_ms);

/* Waits until one of the daemons is connected. TIMEDOUT: not within `deadline_ms`; the client keeps trying. Publishing
 * does not need it: what is published before waits in the queue. */
observer_err observer_connect(observer_client *client, uint32_t deadline_ms);

/* Acknowledged mode: why the last message was not delivered, with a text for a person in `text` (may be NULL with size
 * 0). OK: the last one was delivered, or none was sent yet. TIMEDOUT: no answer; NET: the connection failed; IO: the
 * daemon cannot record now, and `text` has its reason; CORRUPT: the answer is not that of an observer. The client sends
 * the message again in each case. */
observer_err observer_get_trouble(observer_client *client, char *text, size_t size);

/* published + replayed = delivered + rejected + expired + abandoned + queued, at every moment. */
typedef struct {
  uint64_t published;         /* ops that publish calls took */
  uint64_t replayed;          /* ops found in the spool at open */
  uint64_t delivered;         /* acknowledged, or handed to the transport in the best-effort modes */
  uint64_t duplicates;        /* of those: acknowledged as recorded before */
  uint64_t rejected, expired; /* by the daemon; by expire_ms */
  uint64_t abandoned;         /* queued when the client closed, and in no spool */
  uint64_t queued;            /* waiting or under way now, in memory or in the spool */
  uint64_t refused_full;      /* publish calls that returned FULL or NOMEM */
  uint64_t refused_invalid;   /* that returned INVALID */
  uint64_t retried;           /* ops sent again, counted each time */
  uint64_t spool_failures;    /* batches that could not be written to the spool; kept in memory instead */
  uint64_t spool_damaged;     /* places where the spool could not be read, each a batch or more, passed over */
  size_t memory_bytes;        /* held for queued ops; at most queue_bytes and a batch. The transport has
                                 copies of up to in_flight batches besides */
  uint64_t spool_bytes;       /* in the spool, not yet acknowledged */
} observer_counters;

void observer_get_counters(observer_client *client, observer_counters *out);

/* ---- a builder, for ops whose fields are known at run time only ---- */

typedef struct observer_builder observer_builder;

/* NULL: no memory. One thread at a time. */
observer_builder *observer_builder_new(void);
void observer_builder_free(observer_builder *b);
/* Empties it for the next op. */
void observer_builder_reset(observer_builder *b);
/* Set a field by its name; one that op.h does not have is kept by the daemon as it is. The value of a field set twice
 * is the last. What is wrong (a text for an integer field, no memory) is told by observer_builder_publish. */
void observer_builder_text(observer_builder *b, const char *name, const char *value);
void observer_builder_int(observer_builder *b, const char *name, int64_t value);
void observer_builder_real(observer_builder *b, const char *name, double value);
void observer_builder_bool(observer_builder *b, const char *name, bool value);
/* One msgpack value. */
void observer_builder_msgpack(observer_builder *b, const char *name, const void *value, size_t len);
/* As observer_publish_wait; the builder keeps its fields. */
observer_err observer_builder_publish(observer_builder *b, observer_client *client, int32_t block_ms, void *tag);

/* ---- finished records ---- */

/* A record that is encoded already. The client adds nothing to it: no op_id, source or timestamp. */
typedef struct {
  const void *bytes; /* one JSON object as UTF-8 text, or one msgpack map, of at most 4 MiB */
  size_t len;
  const char *topic; /* of its message; NULL: none */
  bool whole;        /* the bytes are a message as they are, whatever they hold, and are not batched */
} observer_encoded;

/* Publishes one finished record. Records of the same form and topic are batched: JSON objects one a line, msgpack maps
 * as one array, together with ops. The bytes are copied. In the counters and reports it is one op; its report has the
 * op_id of a msgpack map and "" for JSON and `whole`. Without an op_id in it, a record that is sent again may be
 * recorded twice. INVALID: empty, too large, neither `{` nor one well-formed msgpack map at the start, or a topic that
 * is empty or begins like a payload. The text of a JSON object is not checked: a broken one makes the daemon reject
 * what comes after it in its message too. Returns as observer_publish_wait. */
observer_err observer_publish_encoded(observer_client *client, const observer_encoded *record, int32_t block_ms,
                                      void *tag);

/* ---- messages of another kind ---- */

/* Publishes one message as it is, not batched with others: `topic` (NULL: none) and `len` bytes of payload that hold
 * one record that is not an op, such as a session record. It counts as one op everywhere above; its delivery report
 * has no op_id (""), and one that is sent again may be recorded twice. INVALID: no payload, more than 4 MiB, an empty
 * topic or one that begins like a payload, or without a topic a payload that is no map or array. Returns as
 * observer_publish_wait. */
observer_err observer_publish_message(observer_client *client, const char *topic, const void *payload, size_t len,
                                      int32_t block_ms, void *tag);

#ifdef __cplusplus
}
#endif

#endif
