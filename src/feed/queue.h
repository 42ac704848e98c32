/* Rows on their way from the commit thread to the feed's: a ring of bytes with one writer and one reader and no lock,
 * so that the reader, which runs at the lowest priority, can never hold up the writer. */
#ifndef OBS_FEED_QUEUE_H
#define OBS_FEED_QUEUE_H

#include <observer/error.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct obs_feed_row obs_feed_row;

/* A row's head; `len` bytes of JSON follow it. */
struct obs_feed_row {
  uint32_t size;  /* of head and text, a multiple of 8; the queue's own */
  uint32_t topic; /* id; OBS_FEED_FILLER: nothing up to the ring's end */
  uint32_t len;
  uint64_t seq, topic_seq;
  obs_feed_row *next; /* the reader's */
};

enum { OBS_FEED_FILLER = UINT32_MAX };

static inline const char *obs_feed_row_text(const obs_feed_row *row) {
  return (const char *)(row + 1);
}

typedef struct {
  char *mem;
  size_t cap; /* a power of two */
  /* The writer's. */
  uint64_t head, known_tail;
  /* Shared: what the reader may see, and what it has given back. */
  _Atomic uint64_t visible, tail;
} obs_feed_queue;

/* NOMEM. `bytes` is made a power of two, at least 64 KiB. */
observer_err obs_feed_queue_init(obs_feed_queue *q, size_t bytes);
void obs_feed_queue_fini(obs_feed_queue *q);

/* Writer: copies a row in; the reader sees it after the next show. False: there is no room. */
bool obs_feed_queue_put(obs_feed_queue *q, const obs_feed_row *head, const char *text);
void obs_feed_queue_show(obs_feed_queue *q);

/* Reader: the places between which rows are, the row at *at (which moves behind it), and that all before `at` are done
 * with. */
uint64_t obs_feed_queue_first(const obs_feed_queue *q);
uint64_t obs_feed_queue_end(const obs_feed_queue *q);
obs_feed_row *obs_feed_queue_take(obs_feed_queue *q, uint64_t *at);
void obs_feed_queue_release(obs_feed_queue *q, uint64_t at);

#endif
