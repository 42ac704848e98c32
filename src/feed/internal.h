/* The feed's inside: what it sends (feed.c), and where it goes (sockets.c); and its test's. */
#ifndef OBS_FEED_INTERNAL_H
#define OBS_FEED_INTERNAL_H

#include "base/names.h"
#include "base/url.h"
#include "feed/encode.h"
#include "feed/fanout.h"
#include "feed/feed.h"
#include "feed/queue.h"

#include <nng/nng.h>
#include <pthread.h>

enum { OBS_FEED_OUTBOX = 256 };

/* Topics of rows, by id: of the ops' sources, 0 being `(other)`, and behind them those of events. */
enum {
  OBS_FEED_EVENT_TOPICS = 4,
  OBS_FEED_FIRST_EVENT = OBS_FEED_SOURCES + 1,
  OBS_FEED_ROW_TOPICS = OBS_FEED_FIRST_EVENT + OBS_FEED_EVENT_TOPICS
};

/* A topic's name does not change once a message of it is on its way. */
typedef struct {
  char name[OBS_FEED_TOPIC_MAX + 1];
  uint64_t seq; /* of its last message or row */
} obs_feed_topic;

typedef struct {
  obs_feed_row *first, *last;
} obs_feed_chain;

/* Where messages go: to those that connect here, through the fan-out, and to those that NNG alone reaches: what is
 * dialled, and inproc. */
typedef struct {
  obs_sp *sp; /* NULL: nothing listens */
  obs_fanout *fanout;
  bool nng_open;
  nng_socket nng;
  char (*urls)[OBS_URL_MAX];
  size_t nurls;
} obs_feed_sockets;

struct obs_feed {
  obs_state *state;
  uint32_t (*stats)(void *arg, obs_feed *f, obs_buf *out);
  void *stats_arg;
  unsigned (*refuses)(void *arg, const obs_address *at, obs_str host, obs_str origin);
  void *refuses_arg;
  obs_feed_sockets sockets;
  int64_t boot_ms;

  /* Whether the commit thread has anything to do here: somebody subscribes, or did lately. */
  _Atomic bool active;
  _Atomic uint32_t subscribers;
  _Atomic uint64_t seq; /* the last op's that came while active */
  _Atomic uint64_t ops, messages, bytes, dropped;

  /* The commit thread's, which takes no lock here: it must never wait for a thread of the lowest priority. The feed's
   * thread reads the names of topics whose rows it was shown. */
  obs_names sources;          /* by topic id */
  obs_feed_topic *row_topics; /* OBS_FEED_ROW_TOPICS */
  uint32_t nevents;           /* topics of events that are in use */
  uint64_t next_seq;

  obs_feed_queue rows;

  pthread_mutex_t lock; /* of what follows; brief */
  pthread_cond_t wake;
  bool stopping;
  uint64_t stop_at; /* monotonic ms */
  uint32_t idle_s;  /* without a subscriber */
  uint64_t greeted_at;
  obs_names names; /* of publications */
  obs_feed_topic *topics;
  obs_stream_chunk *outbox[OBS_FEED_OUTBOX];
  uint32_t noutbox;
  size_t outbox_bytes;

  /* The thread's. */
  pthread_t thread;
  bool started;
  obs_feed_encoder encoder;
  obs_feed_chain *chains; /* by topic id */
  uint32_t *touched;      /* ids of chains that are not empty */
  uint32_t ntouched;
  uint32_t burst; /* messages since the last pause */
  uint64_t paused_ms;

  nng_aio *beat;
  uint64_t next_beat; /* monotonic ms */
};

/* ---- sockets.c ---- */

/* Binds and dials. On failure the text names the URL and why. */
observer_err obs_feed_sockets_open(obs_feed *f, const obs_feed_opts *o, char *text, size_t size);
/* Sends a message made by obs_sp_chunk. False: no memory. The thread. */
bool obs_feed_sockets_send(obs_feed_sockets *s, obs_stream_chunk *m);
/* Closes those who may not read any more. */
void obs_feed_sockets_review(obs_feed_sockets *s);
/* Waits until subscribers that read have all, at most `deadline_ms`. */
void obs_feed_sockets_drain(obs_feed_sockets *s, uint32_t deadline_ms);
/* False: NNG did not give its socket back; nothing that its callbacks use may be freed. */
bool obs_feed_sockets_close(obs_feed_sockets *s);

/* ---- feed.c: who comes and goes. NNG's threads ---- */

/* Before a subscriber is sent anything; dismiss is called for it in any case. False: there are too many. */
bool obs_feed_admit(obs_feed *f);
/* A new subscriber gets `stats` at once: it knows how things stand, and that it is connected. */
void obs_feed_greet(obs_feed *f);
void obs_feed_dismiss(obs_feed *f);

#endif
