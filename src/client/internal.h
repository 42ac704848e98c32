/* The inside of a client: what its files share.
 *
 * An op is encoded by the thread that publishes it, straight into the body of the open packet: a packet is one message
 * of the bus, from its first op to its acknowledgement. A packet is closed when it is full, or when its linger is over
 * and somebody could take it. The client's thread writes closed packets to the spool (if there is one), gives them to
 * channels, and settles them when they are answered or given up. A channel sends one message at a time: in PUSH mode
 * there is one for each connection, in PUB mode one for all of them, in acknowledged mode one for each of `in_flight`
 * requests.
 *
 *   publish ─► open ─► fresh (not in the spool yet) ─► window (in memory, in order) ─► a channel ─► settled
 *                                    └─► only in the spool, when the window is full ──┘
 *
 * The client's thread does all that is done with connections, and waits for them and for publishers in one poll
 * (link.c): a connection (connection.c) dials its URL, shakes hands, writes its queue and takes answers, and is dialled
 * again when it has ended. With a key nothing else is sent before the daemon has taken the key (key.c).
 *
 * There is one lock, `lock`. It is held for work in memory only, never during operations on sockets and files, or
 * callbacks. Members marked `thread` are used by the client's thread alone. */
#ifndef OBS_CLIENT_INTERNAL_H
#define OBS_CLIENT_INTERNAL_H

#include "client/connection.h"
#include "client/spool.h"

#include <observer/observer.h>
#include <pthread.h>

enum {
  OBS_CLIENT_URLS_MAX = 16,
  OBS_CLIENT_CHANNELS_MAX = 16,
  OBS_CLIENT_PREFIX_MAX = 300,
  OBS_CLIENT_MESSAGE_MAX = 4 * 1024 * 1024
};
/* What failed for want of memory, or of a disk, rests so long. */
enum { OBS_CLIENT_PAUSE_MS = 100 };

struct obs_client_packet {
  obs_client_packet *prev, *next;
  obs_client_body *shared; /* with connections that are writing it */
  char *body;              /* its bytes, `cap` of them */
  size_t len, cap;
  size_t memory; /* as counted in the client's */
  uint32_t nops, tries;
  uint32_t topic_size; /* with its stamp and NUL; 0: none, or read back from the spool */
  uint32_t name_size;  /* of it, the caller's, with a NUL; 0: none */
  uint32_t stamp_at;   /* where in the body the stamp is (base/stamp.h) */
  bool stamped;        /* there is one */
  bool raw;            /* no msgpack array of ops: JSON, or a message of another kind */
  bool whole;          /* one message that may hold any number of records, but counts as one op */
  bool taken;          /* by a channel, or being settled */
  bool expired;        /* thread: its channel must release it */
  uint64_t serial;     /* from 1, in the order in which packets were closed */
  uint64_t opened_ms;  /* monotonic */
  uint64_t expires_ms;
  uint64_t at, size; /* its record in the spool; size 0: not there */
  uint32_t ntags;
  void *tags[];
};

typedef struct {
  obs_client_packet *head, *tail;
} obs_client_list;

/* What the records of one packet have in common. */
typedef struct {
  const char *topic;
  uint32_t topic_size; /* with its NUL; 0: none */
  bool json;           /* JSON texts, a line each; else maps of a msgpack array */
} obs_client_form;

/* The options, with defaults filled in. */
typedef struct {
  observer_mode mode;
  size_t nurls;
  char *urls[OBS_CLIENT_URLS_MAX];
  char *source;
  uint32_t source_len;
  uint32_t linger_ms, batch_ops, batch_bytes, request_timeout_ms, retry_min_ms, retry_max_ms, in_flight;
  size_t queue_bytes;
  int32_t block_ms, expire_ms; /* -1: no limit */
  void (*on_delivery)(void *arg, const observer_delivery *delivery);
  void *delivery_arg;
  char *spool_path;
  uint64_t spool_bytes;
  bool spool_sync;
  bool has_key;         /* one was given, whether it can be sent or not */
  char *key, *key_file; /* NULL: none that can be sent. The key of a file is that of its last reading */
  char *tls_ca, *tls_cert, *tls_key;
} obs_client_options;

struct observer_client {
  obs_client_options o;
  unsigned generation;                /* of the process that opened it */
  char prefix[OBS_CLIENT_PREFIX_MAX]; /* of op_id: `<producer>-<epoch>-` */
  uint32_t prefix_len;
  uint64_t instance; /* marks this client's records in the spool */
  pthread_t thread;

  pthread_mutex_t lock;
  int wake;               /* an eventfd, for the thread: `news` */
  pthread_cond_t room;    /* for publishers */
  pthread_cond_t settled; /* for flush and close */
  bool news, closing, stop, ended;
  uint32_t publishers; /* that wait for room */
  uint64_t wake_ms;    /* when the thread wakes by itself; 0: it is awake */
  uint64_t next_op, serial;
  int64_t stamp_ms; /* of `stamp` */
  char stamp[32];

  obs_client_packet *open;
  obs_client_list fresh, window;
  size_t memory;        /* of open, fresh and window */
  size_t unspooled;     /* bytes that wait for the spool: open and fresh */
  size_t typical;       /* bytes of the last full packet */
  uint64_t disk_ops;    /* ops that are only in the spool */
  uint64_t disk_serial; /* packets that are only in the spool have this serial or a higher one */
  observer_counters n;  /* without queued, memory_bytes */
  observer_err trouble; /* why the last message was not delivered; OK: it was */
  char trouble_text[OBS_CLIENT_TROUBLE_MAX];
  bool trouble_is_key; /* the key was refused; it ends when it is taken */
  size_t unwritten;    /* PUB: messages that were taken, of all connections */

  obs_client_connection connections[OBS_CLIENT_URLS_MAX]; /* one for each URL */
  size_t nconnections;

  /* thread: */
  SSL_CTX *tls; /* NULL: no URL needs it */
  obs_client_channel channels[OBS_CLIENT_CHANNELS_MAX];
  size_t nchannels;
  obs_client_spool *spool;
  uint64_t read_again_ms; /* the spool could not be read: not before then; 0: it could */
  uint64_t random;
  uint32_t last_request;
  bool stirred; /* a connection has begun or ended since the thread looked */
};

/* ---- client.c ---- */

/* Which process this is: a forked child has another generation than its parent. */
unsigned obs_client_generation(void);

/* ---- publish.c: what every way to publish shares ---- */

/* An op whose pairs are known: `size` is the most bytes they take, and `write` writes them. */
typedef struct {
  uint32_t n;
  size_t size;
  bool has_timestamp, has_source, has_op_id;
  char *(*write)(char *p, const void *arg);
  const void *arg;
} obs_client_pairs;

/* Queues it, with what the client adds: timestamp, source, op_id. INVALID: too long with these. */
observer_err obs_client_publish(observer_client *c, const obs_client_pairs *pairs, int32_t block_ms, void *tag);
/* Counts an op that is not taken. Returns `err`, INVALID or NOMEM. */
observer_err obs_client_refuse(observer_client *c, observer_err err);

/* ---- options.c ---- */

/* Fills in the defaults and copies. INVALID with `text`, NOMEM. obs_client_options_fini frees, also after a failure. */
observer_err obs_client_options_init(obs_client_options *o, const observer_options *given, char *text, size_t size);
void obs_client_options_fini(obs_client_options *o);
/* Writes `<producer>-<epoch>-`; draws the instance. */
observer_err obs_client_name(observer_client *c, const char *producer, char *text, size_t size);

/* ---- queue.c: all with the lock held ---- */

void obs_client_list_add(obs_client_list *list, obs_client_packet *p);
void obs_client_list_remove(obs_client_list *list, obs_client_packet *p);
/* A packet whose body has room for `cap` bytes, outside every list and count. NULL: no memory. */
obs_client_packet *obs_client_packet_new(size_t cap, uint32_t ntags);
/* The same around a body that exists. The caller keeps the body when it is NULL. */
obs_client_packet *obs_client_packet_wrap(obs_client_body *body, uint32_t ntags);
/* Bytes that a message's topic takes, with its stamp and NUL, before `need` bytes of payload. 0: it has none.
 * `name_size`: of `name`, the caller's topic, with its NUL; 0: none. */
size_t obs_client_topic_size(const char *name, size_t name_size, size_t need);
/* Writes it to the beginning of the body, which has room for it. */
void obs_client_topic_write(obs_client_packet *p, const char *name, size_t name_size, size_t topic_size);
/* Finds the stamp of a message that exists. */
void obs_client_topic_find(obs_client_packet *p);
void obs_client_packet_free(obs_client_packet *p);

/* Room for `need` bytes of one op in an open packet of that form, waiting `block_ms` at most. FULL, CLOSED, NOMEM. */
observer_err obs_client_reserve(observer_client *c, const obs_client_form *form, size_t need, int32_t block_ms,
                                char **at);
/* The op ends at `end`. */
void obs_client_commit(observer_client *c, const char *end, void *tag);
/* Queues a packet that is a message of its own. On failure the caller still owns it. */
observer_err obs_client_push_packet(observer_client *c, obs_client_packet *p, int32_t block_ms);
/* Closes the open packet, if it has ops. */
void obs_client_seal(observer_client *c);
/* Wakes the client's thread. */
void obs_client_wake(observer_client *c);
/* Removes a packet from the window and the counts and frees it; wakes publishers that wait for room, and flushes. */
void obs_client_forget(observer_client *c, obs_client_packet *p);
/* Whether everything up to `serial` is settled. */
bool obs_client_is_settled(const observer_client *c, uint64_t serial);

/* ---- link.c: all connections ---- */

/* What connections need, but none is dialled yet. INVALID with `text`, NOMEM; then obs_client_link_close frees. */
observer_err obs_client_link_open(observer_client *c, char *text, size_t size);
/* Any thread, with the lock held: whether a daemon is connected, and if not, how the last try ended. */
bool obs_client_link_is_connected(const observer_client *c);
bool obs_client_link_explain(const observer_client *c, char *text, size_t size);
/* The rest is for the thread. Gives channels their homes: the messages are spread over the connections. */
void obs_client_link_spread(observer_client *c);
/* With the lock held: where the channel's next message can go; NULL: nowhere. One that is sent again goes to another
 * daemon, if there is one. In PUB mode each goes to all. */
obs_client_connection *obs_client_link_way(observer_client *c, const obs_client_channel *l);
/* Gives the channel's packet to that connection; the channel is done later. False: no memory. */
bool obs_client_link_send(observer_client *c, obs_client_channel *l, obs_client_connection *way);
/* Messages that connections have not written. */
size_t obs_client_link_queued(const observer_client *c);
/* Without the lock: does what connections have to do, and waits for more, for a wake, or until `until_ms`. Returns at
 * once when a channel is done. */
void obs_client_link_run(observer_client *c, uint64_t until_ms);
/* Without the lock: ends all. */
void obs_client_link_close(observer_client *c);

/* ---- sender.c ---- */

void *obs_client_run(void *client);
/* With the lock held: what observer_get_trouble says from now on. */
void obs_client_note_trouble(observer_client *c, observer_err err, const char *text);
/* Full jitter: between nothing and the doubled pause, so that many producers do not come back at once. */
uint64_t obs_client_resume_at(observer_client *c, uint32_t tries);
/* Some moment within so many ms from now. */
uint64_t obs_client_moment_within(observer_client *c, uint64_t ms);

/* ---- key.c ---- */

/* Whether a key may go over connections to `url`: nobody between can read it. */
bool obs_client_key_may_go(const char *url);
/* Why the key is not sent over some connections; "": it is, or there is none. */
void obs_client_key_note(const obs_client_options *o, char *text, size_t size);
/* Thread, with the lock held; it lets go of it for the key file: sends the key where it is due, and takes answers. */
void obs_client_key_step(observer_client *c);
/* When there is more to do; UINT64_MAX: when something happens. */
uint64_t obs_client_key_due(const observer_client *c);

/* ---- reply.c: thread, without the lock ---- */

/* The outcomes of a packet's ops. */
typedef struct {
  uint32_t delivered, duplicates, rejected;
} obs_client_verdict;

/* Reads the answer to `p` and reports on each op. IO: the daemon cannot record now, DENIED: this peer may not, and
 * `text` says why; CORRUPT: it is not an observer's answer to that message; NOMEM. Then nothing was reported, and the
 * message is to be sent again. */
observer_err obs_client_reply_settle(observer_client *c, const obs_client_packet *p, obs_str answer,
                                     obs_client_verdict *out, char text[OBS_CLIENT_TROUBLE_MAX]);
/* Reads the answer to a key. OK: it was taken; DENIED: refused, for the reason in `text`; CORRUPT: no answer to a key.
 */
observer_err obs_client_reply_key(obs_str answer, char text[OBS_CLIENT_TROUBLE_MAX]);
/* Reports the same outcome on every op of `p`. */
void obs_client_report_all(observer_client *c, const obs_client_packet *p, observer_outcome outcome,
                           const char *reason);

/* ---- spooler.c: thread, with the lock held; they release it during file operations ---- */

/* Opens the spool and counts what is in it. */
observer_err obs_client_spooler_open(observer_client *c, char *text, size_t size);
/* Writes fresh packets, and reads back what the window has room for. */
void obs_client_spooler_step(observer_client *c);
/* Records in the spool that `settled` is settled. The caller frees it next. */
void obs_client_spooler_settled(observer_client *c, obs_client_packet *settled);

#endif
