/* libobserver: what producers need to speak to an observer.
 *
 *   observer_client *client;
 *   if (observer_open(&(observer_options){0}, &client) != OBSERVER_E_OK) ...
 *   observer_publish(client, &(observer_op){.endpoint = "/v1/chat", .success = OBSERVER_TRUE});
 *   observer_close(client, 1000);
 *
 * An op is a struct made from the field table of op.h, for designated initialisers. A field that is left out is not
 * sent, except timestamp (then the time of the call), source and op_id (see observer_options). A thread of the client
 * ("obs:client") sends ops in batches.
 *
 * Threads: any, for every function except observer_close: it is the last call, while no other one runs. Publish calls
 *   that wait for room return CLOSED then. Callbacks come on the client's thread and may not call flush and close.
 * Ownership: arguments are copied before a call returns.
 * NULL: where it is not said to be allowed, a call with it does nothing and returns INVALID.
 * Fork: a client belongs to the process that opened it. In a child every call for it returns FORKED; observer_close
 *   there frees what is safe to free. A child can open clients of its own.
 * Exit: without observer_close a process loses what is queued, but for what is in a spool: the next observer_open of
 *   that spool sends it. */
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

/* A boolean that may be left out. C's `true` converts to OBSERVER_TRUE. */
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

/* Encodes `n` ops as one bus message, a msgpack array of maps, for programs with a transport of their own. The caller
 * frees *bytes with free(). NOMEM. */
observer_err observer_encode(const observer_op *ops, size_t n, void **bytes, size_t *len);

/* ---- a client ---- */

typedef struct observer_client observer_client;

typedef enum {
  /* To the daemon's PULL socket. Best effort with backpressure: when a connection breaks, messages that were written,
   * but had not arrived, are lost. */
  OBSERVER_PUSH,
  /* To the daemon's SUB socket. Best effort without backpressure: when the daemon cannot keep up, the oldest
   * messages are dropped, and not counted. Before the first connection, ops wait in the queue. */
  OBSERVER_PUB,
  /* To the daemon's REP socket. An op is sent again until the daemon answers that it is durable, and is recorded once.
   */
  OBSERVER_ACKNOWLEDGED
} observer_mode;

typedef enum {
  OBSERVER_RECORDED,  /* durable in the daemon's journal */
  OBSERVER_DUPLICATE, /* an op with this op_id was recorded before, usually by an earlier try */
  OBSERVER_REJECTED,  /* the daemon refuses it, for `reason` */
  OBSERVER_EXPIRED    /* the client gave up: expire_ms or the deadline of observer_close passed. It may have arrived */
} observer_outcome;

/* What became of one op, in acknowledged mode. The strings live until the callback returns. */
typedef struct {
  observer_outcome outcome;
  const char *op_id;  /* "" when the op has none, or when there is no memory for it */
  const char *reason; /* of REJECTED and EXPIRED, else NULL */
  void *tag;          /* as given to observer_publish_wait; NULL when an earlier process left the op in the spool */
  /* Records, as the daemon counted them: one of the three is 1; a `whole` message (observer_encoded) may hold several,
   * or none. */
  uint64_t accepted, duplicates, rejected;
} observer_delivery;

/* 0 and NULL choose the default, so `(observer_options){0}` works; -1 means none where noted. */
typedef struct {
  observer_mode mode;
  const char *const *urls; /* daemons to dial, NULL-terminated; default tcp://127.0.0.1:3801 (3802 PUB, 3803 REQ). tcp,
                              tls+tcp, ws, wss, ipc, abstract */
  const char *producer;    /* first part of op_id; default: program, host and process id */
  const char *source;      /* of ops without one; default: the daemon chooses */
  int32_t linger_ms;       /* longest time that an op waits for its batch to fill; default 5; -1: none */
  uint32_t batch_ops;      /* most ops a message; default 512, at most 1000 */
  uint32_t batch_bytes;    /* most bytes a message; default 256 KiB, at most 2 MiB */
  size_t queue_bytes;      /* most bytes of memory for ops that are not delivered yet; default 8 MiB */
  int32_t block_ms;        /* longest time that observer_publish waits for room; default 0; -1: no limit */

  /* Acknowledged mode. */
  int32_t expire_ms;           /* the client gives an op up after that; default 120 s; -1, or with a spool: never */
  uint32_t request_timeout_ms; /* a message without an answer is sent again after that; default 5 s */
  uint32_t retry_min_ms;       /* pause before a retry, doubled each time, with jitter; default 50 ms */
  uint32_t retry_max_ms;       /* longest pause; default 5 s */
  uint32_t in_flight;          /* most messages waiting for an answer; default 4, at most 16; 1 keeps the order */
  void (*on_delivery)(void *arg, const observer_delivery *delivery);
  void *delivery_arg;

  /* A file that keeps ops until they are acknowledged, so that they survive this process. One client at a time can use
   * it (LOCKED). An op is in the file when its batch is closed, at most linger_ms after the publish. NULL: no spool. */
  const char *spool;
  uint64_t spool_bytes; /* most bytes of the file; default 64 MiB, at least 64 KiB. Ops use three quarters of them; a
                           larger op is taken when the spool is empty */
  bool spool_sync;      /* sync the file after each batch, so that ops survive a power cut too */

  /* A key of the daemon (its --keys), for acknowledged mode. It goes first over every connection that is TLS or a Unix
   * socket, and over no other one: see observer_get_trouble. `key_file`: a file whose first line is the key; it is read
   * again for each connection, so that a new key is used when the old one has been revoked. It wins over `key`. Both
   * NULL: OBSERVER_KEY_FILE, else OBSERVER_KEY of the environment. "": no key. PUSH and PUB send none: there the key
   * or the certificate that the listener asks for counts. */
  const char *key, *key_file;
  /* PEM files for tls+tcp:// and wss://. `tls_ca`: the authorities that the daemon's certificate may be of; without it
   * those that the system trusts. The certificate has to name the URL's host. `tls_cert`, `tls_key`: the client's own,
   * for a daemon with --tls-ca. NULL: OBSERVER_TLS_CA, OBSERVER_TLS_CERT, OBSERVER_TLS_KEY of the environment. "":
   * none. They are read when the client is opened. */
  const char *tls_ca, *tls_cert, *tls_key;
} observer_options;

/* Starts a client. It does not wait for a daemon, and reconnects by itself. INVALID: a wrong option or URL, or a file
 * of TLS that cannot be used; IO: the key file or the spool cannot be read, or no descriptor is free; LOCKED, CORRUPT:
 * the spool cannot be used; NOMEM. On an error *out is NULL. */
observer_err observer_open(const observer_options *options, observer_client **out);

/* Why the last observer_open of this thread failed: text for a person, with the option, URL or path. Never NULL. */
const char *observer_open_error(void);

/* Queues one op. An error means that it is not queued: FULL, no room within block_ms; INVALID, no endpoint, a negative
 * duration, or a text that is not UTF-8 or longer than the daemon allows; NOMEM; CLOSED; FORKED. The counters count
 * FULL, NOMEM and INVALID. */
observer_err observer_publish(observer_client *client, const observer_op *op);
/* The same with a block_ms of its own (0: do not wait, -1: no limit). The delivery report returns `tag`. */
observer_err observer_publish_wait(observer_client *client, const observer_op *op, int32_t block_ms, void *tag);

/* Sends at once what is queued, and waits until every op published before the call is acknowledged or, in the
 * best-effort modes, written to the connections. TIMEDOUT: it took longer than `deadline_ms`; the client keeps sending.
 */
observer_err observer_flush(observer_client *client, uint32_t deadline_ms);

/* Flushes for at most `deadline_ms`, then stops the client and frees it. TIMEDOUT: some ops were not delivered; they
 * are in the spool, or else given up, counted as abandoned and reported as EXPIRED. `client` may be NULL. */
observer_err observer_close(observer_client *client, uint32_t deadline_ms);

/* Waits until one of the daemons is connected. TIMEDOUT: not within `deadline_ms`; the client keeps trying. Publishing
 * does not need it: what is published before waits in the queue. */
observer_err observer_connect(observer_client *client, uint32_t deadline_ms);

/* Why messages are not delivered, with a text for a person in `text` (may be NULL with size 0).
 *
 * Any mode: NET: no daemon is connected, and the last try failed, for example because the daemon's certificate is not
 * of a trusted authority or has expired; the client keeps trying. Acknowledged mode, of the last message: TIMEDOUT: no
 * answer; NET: the connection failed; IO: the daemon cannot record now, and `text` has its reason; DENIED: the daemon
 * wants a key, or not this one ("a valid key is needed"); CORRUPT: the answer is not that of an observer. The client
 * sends the message again in each case. OK: the last one was delivered, or none was sent yet. Then `text` is empty, or
 * says that the key is not sent, and why: over plain TCP others could read it. */
observer_err observer_get_trouble(observer_client *client, char *text, size_t size);

/* published + replayed = delivered + rejected + expired + abandoned + queued, at every moment. */
typedef struct {
  uint64_t published;         /* ops that publish calls queued */
  uint64_t replayed;          /* ops found in the spool at open */
  uint64_t delivered;         /* acknowledged; PUSH: written to the socket; PUB: in the queues of connections */
  uint64_t duplicates;        /* of those: acknowledged as recorded before */
  uint64_t rejected, expired; /* refused by the daemon; given up after expire_ms */
  uint64_t abandoned;         /* queued when the client closed, and in no spool */
  uint64_t queued;            /* waiting or under way now, in memory or in the spool */
  uint64_t refused_full;      /* publish calls that returned FULL or NOMEM */
  uint64_t refused_invalid;   /* that returned INVALID */
  uint64_t retried;           /* ops sent again, counted each time */
  uint64_t spool_failures;    /* batches that could not be written to the spool and stay in memory */
  uint64_t spool_damaged;     /* unreadable places of the spool that were skipped, each a batch or more */
  size_t memory_bytes;  /* held for queued ops; at most queue_bytes and a batch. In PUB mode each connection that is
                           slow holds up to queue_bytes besides */
  uint64_t spool_bytes; /* in the spool, not yet acknowledged */
} observer_counters;

void observer_get_counters(observer_client *client, observer_counters *out);

/* ---- a builder, for ops whose fields are known at run time only ---- */

typedef struct observer_builder observer_builder;

/* NULL: no memory. One thread at a time may use a builder. */
observer_builder *observer_builder_new(void);
void observer_builder_free(observer_builder *b);
/* Empties it for the next op. */
void observer_builder_reset(observer_builder *b);
/* Set a field by its name. The daemon keeps fields that op.h does not have. Setting a field again replaces its value.
 * Errors (a text for an integer field, no memory) are reported by observer_builder_publish. */
void observer_builder_text(observer_builder *b, const char *name, const char *value);
void observer_builder_int(observer_builder *b, const char *name, int64_t value);
void observer_builder_real(observer_builder *b, const char *name, double value);
void observer_builder_bool(observer_builder *b, const char *name, bool value);
/* `value`: one msgpack value of `len` bytes. */
void observer_builder_msgpack(observer_builder *b, const char *name, const void *value, size_t len);
/* As observer_publish_wait. The builder keeps its fields. */
observer_err observer_builder_publish(observer_builder *b, observer_client *client, int32_t block_ms, void *tag);

/* ---- finished records ---- */

/* A record that is encoded already. The client adds nothing to it: no op_id, source or timestamp. */
typedef struct {
  const void *bytes; /* one JSON object as UTF-8 text, or one msgpack map, of at most 4 MiB */
  size_t len;
  const char *topic; /* of its message, before the stamp that says when it is sent; NULL: none */
  bool whole;        /* send the bytes as one message, whatever they hold */
} observer_encoded;

/* Publishes one finished record. Records of the same form and topic share messages: JSON objects one a line, msgpack
 * maps in one array, together with ops. Counters and reports treat a record as one op; the report has the op_id of a
 * msgpack map, and "" for JSON and `whole`. A record without an op_id that is sent again may be recorded twice.
 * INVALID: empty or too large; not beginning with `{` and not one well-formed msgpack map; an empty topic, or one that
 * begins like a payload. The text of a JSON object is not checked: the daemon rejects a broken one and all that follows
 * it in the message. Other errors as observer_publish_wait. */
observer_err observer_publish_encoded(observer_client *client, const observer_encoded *record, int32_t block_ms,
                                      void *tag);

/* ---- messages of another kind ---- */

/* Publishes one message that holds one record of another kind, such as a session record: `topic` (NULL: none) and `len`
 * bytes of payload. It is not batched. Counters and reports treat it as one op with op_id "". A message that is sent
 * again may be recorded twice. INVALID: no payload or more than 4 MiB; an empty topic, or one that begins like a
 * payload; without a topic, a payload that is no map or array. Other errors as observer_publish_wait. */
observer_err observer_publish_message(observer_client *client, const char *topic, const void *payload, size_t len,
                                      int32_t block_ms, void *tag);

#ifdef __cplusplus
}
#endif

#endif
