#include "base/clock.h"
#include "base/stamp.h"
#include "base/thread.h"
#include "client/internal.h"
#include "client/mp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

/* A packet begins with 1 KiB and is doubled, unless the last full one tells how big it will be. ROOM_SLICE_MS: a
 * waiting publisher looks again after that, even when nobody wakes it. */
enum { FIRST_BYTES = 1024, ROOM_SLICE_MS = 1000 };

/* ---- lists and packets ---- */

void obs_client_list_add(obs_client_list *list, obs_client_packet *p) {
  p->prev = list->tail;
  p->next = NULL;
  if (list->tail != NULL)
    list->tail->next = p;
  else
    list->head = p;
  list->tail = p;
}

void obs_client_list_remove(obs_client_list *list, obs_client_packet *p) {
  if (p->prev != NULL)
    p->prev->next = p->next;
  else
    list->head = p->next;
  if (p->next != NULL)
    p->next->prev = p->prev;
  else
    list->tail = p->prev;
  p->prev = p->next = NULL;
}

obs_client_packet *obs_client_packet_wrap(obs_client_body *body, uint32_t ntags) {
  size_t own = sizeof(obs_client_packet) + ntags * sizeof(void *);
  obs_client_packet *p = calloc(1, own);
  if (p == NULL) return NULL;
  p->shared = body;
  p->body = body->bytes;
  p->len = p->cap = body->cap;
  p->ntags = ntags;
  p->memory = own + p->cap;
  return p;
}

obs_client_packet *obs_client_packet_new(size_t cap, uint32_t ntags) {
  obs_client_body *body = obs_client_body_new(cap);
  if (body == NULL) return NULL;
  obs_client_packet *p = obs_client_packet_wrap(body, ntags);
  if (p == NULL)
    obs_client_body_unref(body);
  else
    p->len = 0;
  return p;
}

/* ---- topics ---- */

/* Not where the daemon's limit leaves no room for it, and not behind the name of another kind of record, which daemons
 * that do not know the stamp look for as it is. */
static bool has_stamp(const char *name, size_t name_size, size_t need) {
  bool is_kind = name_size > 0 && strcmp(name, "session") == 0;
  return !is_kind && name_size + OBS_STAMP_BYTES + 1 + need <= OBS_CLIENT_MESSAGE_MAX;
}

size_t obs_client_topic_size(const char *name, size_t name_size, size_t need) {
  if (!has_stamp(name, name_size, need)) return name_size;
  return (name_size > 0 ? name_size - 1 : 0) + OBS_STAMP_BYTES + 1;
}

void obs_client_topic_write(obs_client_packet *p, const char *name, size_t name_size, size_t topic_size) {
  if (topic_size == 0) return;
  if (name_size > 0) memcpy(p->body, name, name_size - 1);
  p->name_size = (uint32_t)name_size;
  p->topic_size = (uint32_t)topic_size;
  p->stamped = topic_size > name_size;
  p->stamp_at = name_size > 0 ? p->name_size - 1 : 0;
  if (p->stamped) obs_stamp_write(p->body + p->stamp_at, 0, 0);
  p->body[topic_size - 1] = '\0';
}

void obs_client_topic_find(obs_client_packet *p) {
  int64_t sent_ms;
  uint64_t by;
  const char *end = p->len > 0 && (unsigned char)*p->body < 0x80 ? memchr(p->body, '\0', p->len) : NULL;
  if (end == NULL || *p->body == '{' || *p->body == '[') return; /* it begins with its payload */
  uint32_t size = (uint32_t)(end - p->body);
  p->stamp_at = obs_stamp_read((obs_str){p->body, size, 0}, &sent_ms, &by);
  p->stamped = p->stamp_at < size;
}

void obs_client_packet_free(obs_client_packet *p) {
  if (p == NULL) return;
  obs_client_body_unref(p->shared);
  free(p);
}

/* ---- closing and forgetting ---- */

void obs_client_wake(observer_client *c) {
  c->news = true;
  if (c->wake_ms == 0) return; /* it is awake, and looks before it rests */
  c->wake_ms = 0;
  (void)eventfd_write(c->wake, 1); /* it is full only when it is readable anyway */
}

/* The thread takes a closed packet up at once, or when a channel is free. */
static void enqueue(observer_client *c, obs_client_packet *p) {
  p->serial = ++c->serial;
  p->expires_ms = c->o.expire_ms < 0 ? UINT64_MAX : p->opened_ms + c->o.linger_ms + (uint64_t)(uint32_t)c->o.expire_ms;
  obs_client_list_add(c->spool != NULL ? &c->fresh : &c->window, p);
  obs_client_wake(c);
}

void obs_client_seal(observer_client *c) {
  obs_client_packet *p = c->open;
  if (p == NULL || p->nops == 0) return;
  c->open = NULL;
  if (!p->raw) obs_mp_array32(p->body + p->topic_size, p->nops);
  c->typical = p->len + p->len / 8;
  enqueue(c, p);
}

void obs_client_forget(observer_client *c, obs_client_packet *p) {
  obs_client_list_remove(&c->window, p);
  c->memory -= p->memory;
  if (c->publishers > 0) pthread_cond_broadcast(&c->room);
  pthread_cond_broadcast(&c->settled);
  obs_client_packet_free(p);
}

/* The lists are in order, except that packets that could not be written to the spool overtake those that are only
 * there. */
static bool all_after(const obs_client_list *list, uint64_t serial) {
  for (const obs_client_packet *p = list->head; p != NULL; p = p->next) {
    if (p->serial <= serial) return false;
  }
  return true;
}

bool obs_client_is_settled(const observer_client *c, uint64_t serial) {
  return (c->disk_ops == 0 || c->disk_serial > serial) && all_after(&c->window, serial) && all_after(&c->fresh, serial);
}

/* ---- room ---- */

static bool memory_has(const observer_client *c, size_t more) {
  bool empty = c->open == NULL && c->fresh.head == NULL && c->window.head == NULL;
  return empty || c->memory + more <= c->o.queue_bytes;
}

/* A quarter of the spool is kept free for rewriting it (spool.h). An op that is larger than the rest is taken when the
 * spool is empty. */
static bool spool_has(const observer_client *c, size_t more) {
  uint64_t used = c->n.spool_bytes + c->unspooled;
  return c->spool == NULL || used == 0 || used + more <= c->o.spool_bytes - c->o.spool_bytes / 4;
}

static observer_err open_packet(observer_client *c, const obs_client_form *form, size_t need) {
  uint32_t ntags = c->o.on_delivery != NULL ? c->o.batch_ops : 0;
  size_t topic_size = obs_client_topic_size(form->topic, form->topic_size, need + OBS_MP_ARRAY_HEAD);
  size_t head = topic_size + (form->json ? 0 : OBS_MP_ARRAY_HEAD);
  size_t least = head + need, cap = c->typical > FIRST_BYTES ? c->typical : FIRST_BYTES;
  size_t own = sizeof(obs_client_packet) + ntags * sizeof(void *);
  if (cap < least || !memory_has(c, own + cap)) cap = least;
  if (!memory_has(c, own + cap)) return OBSERVER_E_FULL;
  obs_client_packet *p = obs_client_packet_new(cap, ntags);
  if (p == NULL) return OBSERVER_E_NOMEM;
  obs_client_topic_write(p, form->topic, form->topic_size, topic_size);
  p->raw = form->json;
  p->len = head;
  c->memory += p->memory;
  c->unspooled += p->len;
  c->open = p;
  return OBSERVER_E_OK;
}

/* Doubles it, within what the batch and the queue have room for. */
static observer_err grow_packet(observer_client *c, size_t need) {
  obs_client_packet *p = c->open;
  size_t least = p->len + need, cap = p->cap * 2 < c->o.batch_bytes ? p->cap * 2 : c->o.batch_bytes;
  size_t room = c->o.queue_bytes > c->memory ? c->o.queue_bytes - c->memory : 0;
  if (cap > p->cap + room) cap = p->cap + room;
  if (cap < least) cap = least;
  if (cap > p->cap + room) return OBSERVER_E_FULL;
  obs_client_body *body = obs_client_body_resize(p->shared, cap);
  if (body == NULL) return OBSERVER_E_NOMEM;
  c->memory += cap - p->cap;
  p->memory += cap - p->cap;
  p->cap = cap;
  p->shared = body;
  p->body = body->bytes;
  return OBSERVER_E_OK;
}

static observer_err try_reserve(observer_client *c, const obs_client_form *form, size_t need, char **at) {
  const obs_client_packet *p = c->open;
  if (!spool_has(c, need)) return OBSERVER_E_FULL;
  bool fits = p != NULL && p->len + need <= c->o.batch_bytes && p->raw == form->json &&
              p->name_size == form->topic_size &&
              (form->topic_size == 0 || memcmp(p->body, form->topic, form->topic_size - 1) == 0);
  if (!fits) obs_client_seal(c);
  observer_err err = OBSERVER_E_OK;
  if (c->open == NULL)
    err = open_packet(c, form, need);
  else if (c->open->len + need > c->open->cap)
    err = grow_packet(c, need);
  if (err == OBSERVER_E_OK) *at = c->open->body + c->open->len;
  return err;
}

/* Waits for a change, until *until_ms (0: not set yet). False: the time is over, and what was to be queued is refused.
 */
static bool wait_for_room(observer_client *c, int32_t block_ms, uint64_t *until_ms) {
  uint64_t now = obs_clock_mono_ms();
  obs_client_seal(c); /* nothing more fits: the batch need not linger */
  if (*until_ms == 0) *until_ms = block_ms < 0 ? UINT64_MAX : now + (uint64_t)(uint32_t)block_ms;
  if (now >= *until_ms) {
    c->n.refused_full++;
    return false;
  }
  uint64_t slice = *until_ms - now < ROOM_SLICE_MS ? *until_ms - now : ROOM_SLICE_MS;
  c->publishers++;
  obs_thread_cond_wait_ms(&c->room, &c->lock, slice);
  c->publishers--;
  if (c->closing) pthread_cond_broadcast(&c->settled); /* observer_close waits for the last publisher */
  return true;
}

observer_err obs_client_reserve(observer_client *c, const obs_client_form *form, size_t need, int32_t block_ms,
                                char **at) {
  for (uint64_t until_ms = 0; !c->closing;) {
    observer_err err = try_reserve(c, form, need, at);
    if (err == OBSERVER_E_NOMEM) c->n.refused_full++;
    if (err != OBSERVER_E_FULL) return err;
    if (!wait_for_room(c, block_ms, &until_ms)) return OBSERVER_E_FULL;
  }
  return OBSERVER_E_CLOSED;
}

/* ---- what was written ---- */

void obs_client_commit(observer_client *c, const char *end, void *tag) {
  obs_client_packet *p = c->open;
  if (p->nops == 0) {
    p->opened_ms = obs_clock_mono_ms();
    if (c->wake_ms > p->opened_ms + c->o.linger_ms) obs_client_wake(c); /* it has to know when the linger is over */
  }
  c->unspooled += (size_t)(end - (p->body + p->len));
  p->len = (size_t)(end - p->body);
  if (p->ntags > 0) p->tags[p->nops] = tag;
  p->nops++;
  c->n.published++;
  if (p->nops >= c->o.batch_ops) obs_client_seal(c);
}

observer_err obs_client_push_packet(observer_client *c, obs_client_packet *p, int32_t block_ms) {
  uint64_t until_ms = 0;
  while (!c->closing && !(memory_has(c, p->memory) && spool_has(c, p->len))) {
    if (!wait_for_room(c, block_ms, &until_ms)) return OBSERVER_E_FULL;
  }
  if (c->closing) return OBSERVER_E_CLOSED;
  obs_client_seal(c); /* keeps the order: earlier ops go first */
  p->opened_ms = obs_clock_mono_ms();
  p->nops = 1;
  c->memory += p->memory;
  c->unspooled += p->len;
  c->n.published++;
  enqueue(c, p);
  return OBSERVER_E_OK;
}
