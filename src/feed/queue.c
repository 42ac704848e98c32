#include "feed/queue.h"

#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 64 << 10 };

observer_err obs_feed_queue_init(obs_feed_queue *q, size_t bytes) {
  *q = (obs_feed_queue){.cap = SMALLEST};
  while (q->cap < bytes && q->cap <= SIZE_MAX / 4) q->cap *= 2;
  q->mem = malloc(q->cap); /* aligned for a head; its pages cost nothing before they are used */
  return q->mem != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

void obs_feed_queue_fini(obs_feed_queue *q) {
  free(q->mem);
  q->mem = NULL;
}

static obs_feed_row *at(const obs_feed_queue *q, uint64_t place) {
  return (obs_feed_row *)(void *)(q->mem + (place & (q->cap - 1)));
}

static bool has_room(obs_feed_queue *q, size_t need) {
  if (q->head + need - q->known_tail <= q->cap) return true;
  q->known_tail = atomic_load_explicit(&q->tail, memory_order_acquire);
  return q->head + need - q->known_tail <= q->cap;
}

bool obs_feed_queue_put(obs_feed_queue *q, const obs_feed_row *head, const char *text) {
  size_t need = (sizeof(*head) + head->len + 7) & ~(size_t)7;
  size_t to_end = q->cap - (size_t)(q->head & (q->cap - 1));
  size_t filler = to_end < need ? to_end : 0;
  if (need > q->cap / 2 || !has_room(q, filler + need)) return false;
  if (filler > 0) {
    obs_feed_row *rest = at(q, q->head); /* at least 8 bytes: size and topic */
    rest->size = (uint32_t)filler;
    rest->topic = OBS_FEED_FILLER;
    q->head += filler;
  }
  obs_feed_row *row = at(q, q->head);
  *row = *head;
  row->size = (uint32_t)need;
  memcpy(row + 1, text, head->len);
  q->head += need;
  return true;
}

void obs_feed_queue_show(obs_feed_queue *q) {
  atomic_store_explicit(&q->visible, q->head, memory_order_release);
}

uint64_t obs_feed_queue_first(const obs_feed_queue *q) {
  return atomic_load_explicit(&q->tail, memory_order_relaxed);
}

uint64_t obs_feed_queue_end(const obs_feed_queue *q) {
  return atomic_load_explicit(&q->visible, memory_order_acquire);
}

obs_feed_row *obs_feed_queue_take(obs_feed_queue *q, uint64_t *place) {
  obs_feed_row *row = at(q, *place);
  if (row->topic == OBS_FEED_FILLER) {
    *place += row->size;
    row = at(q, *place);
  }
  *place += row->size;
  return row;
}

void obs_feed_queue_release(obs_feed_queue *q, uint64_t place) {
  atomic_store_explicit(&q->tail, place, memory_order_release);
}
