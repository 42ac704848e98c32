/* Moves packets between memory and the spool. A new packet stays in the window while the window is smaller than half of
 * the queue and no older packet is only on disk; otherwise it is dropped from memory. Packets on disk are read back in
 * order when the window has drained to a quarter of the queue. */
#include "base/clock.h"
#include "client/internal.h"

#include <string.h>

/* Writes one packet without the lock: only this thread takes packets off the lists. */
static bool write_packet(observer_client *c, obs_client_packet *p) {
  obs_client_record r = {
      .instance = c->instance, .serial = p->serial, .nops = p->nops, .raw = p->raw, .whole = p->whole};
  uint64_t shift = 0;
  r.ntags = p->ntags < p->nops ? p->ntags : p->nops;
  pthread_mutex_unlock(&c->lock);
  bool ok = obs_client_spool_append(c->spool, &r, p->tags, p->body, p->len, &shift);
  pthread_mutex_lock(&c->lock);
  for (obs_client_packet *q = shift > 0 ? c->window.head : NULL; q != NULL; q = q->next) {
    if (q->size > 0) q->at -= shift;
  }
  c->n.spool_bytes = obs_client_spool_live(c->spool);
  if (!ok) {
    c->n.spool_failures++;
    return false;
  }
  p->at = r.at;
  p->size = r.size;
  return true;
}

/* Reads one record into the window. False: none, or not now. */
static bool load(observer_client *c) {
  void *tags[OBS_CLIENT_SPOOL_TAGS_MAX];
  obs_client_record r;
  obs_client_body *body;
  uint32_t max_tags = c->o.on_delivery != NULL ? OBS_CLIENT_SPOOL_TAGS_MAX : 0;
  pthread_mutex_unlock(&c->lock);
  uint64_t damaged = 0;
  obs_client_spool_read_result result = obs_client_spool_read(c->spool, &r, tags, max_tags, &body, &damaged);
  obs_client_packet *p = NULL;
  if (result == OBS_SPOOL_RECORD) {
    p = obs_client_packet_wrap(body, r.instance == c->instance ? r.ntags : 0);
    if (p == NULL) obs_client_body_unref(body);
  }
  pthread_mutex_lock(&c->lock);
  c->n.spool_damaged += damaged;
  if (result == OBS_SPOOL_END) { /* ops of records that were damaged after they were written are lost */
    c->n.expired += c->disk_ops;
    c->disk_ops = 0;
    pthread_cond_broadcast(&c->settled);
  }
  if (result == OBS_SPOOL_RECORD && p == NULL) obs_client_spool_set_read_at(c->spool, r.at);
  c->read_again_ms = p == NULL && result != OBS_SPOOL_END ? obs_clock_mono_ms() + OBS_CLIENT_PAUSE_MS : 0;
  if (p == NULL) return false;
  if (p->ntags > 0) memcpy(p->tags, tags, p->ntags * sizeof(tags[0]));
  p->nops = r.nops;
  p->raw = r.raw;
  p->whole = r.whole;
  obs_client_topic_find(p);
  p->at = r.at;
  p->size = r.size;
  p->serial = r.instance == c->instance ? r.serial : 0;
  p->expires_ms = UINT64_MAX;
  c->memory += p->memory;
  c->disk_ops -= r.nops < c->disk_ops ? r.nops : c->disk_ops;
  c->disk_serial = p->serial == 0 ? 0 : p->serial + 1; /* of an earlier process there may be more */
  obs_client_list_add(&c->window, p);
  return true;
}

void obs_client_spooler_step(observer_client *c) {
  if (c->spool == NULL) return;
  while (c->fresh.head != NULL) {
    obs_client_packet *p = c->fresh.head;
    bool older_wait = !obs_client_spool_at_end(c->spool);
    bool written = write_packet(c, p);
    bool fits = c->memory - c->unspooled <= c->o.queue_bytes / 2;
    obs_client_list_remove(&c->fresh, p);
    c->unspooled -= p->len;
    if (!written || (fits && !older_wait)) {
      obs_client_list_add(&c->window, p);
      if (written) obs_client_spool_set_read_at(c->spool, p->at + p->size);
      continue;
    }
    if (c->disk_ops == 0) c->disk_serial = p->serial;
    c->disk_ops += p->nops;
    c->memory -= p->memory;
    obs_client_packet_free(p);
    if (c->publishers > 0) pthread_cond_broadcast(&c->room);
  }

  if (c->read_again_ms > obs_clock_mono_ms()) return;
  c->read_again_ms = 0;
  while (!obs_client_spool_at_end(c->spool) &&
         (c->window.head == NULL || c->memory - c->unspooled < c->o.queue_bytes / 4)) {
    if (!load(c)) return;
  }
}

void obs_client_spooler_settled(observer_client *c, obs_client_packet *settled) {
  if (c->spool == NULL) return;
  settled->size = 0;
  uint64_t oldest = obs_client_spool_read_at(c->spool);
  for (const obs_client_packet *p = c->window.head; p != NULL; p = p->next) {
    if (p->size == 0) continue;
    oldest = p->at < oldest ? p->at : oldest;
    break;
  }
  pthread_mutex_unlock(&c->lock);
  obs_client_spool_settled(c->spool, oldest);
  pthread_mutex_lock(&c->lock);
  c->n.spool_bytes = obs_client_spool_live(c->spool);
}

observer_err obs_client_spooler_open(observer_client *c, char *text, size_t size) {
  if (c->o.spool_path == NULL) return OBSERVER_E_OK;
  observer_err err = obs_client_spool_open(c->o.spool_path, c->o.spool_bytes, c->o.spool_sync, &c->spool, &c->disk_ops,
                                           &c->n.spool_damaged, text, size);
  if (err != OBSERVER_E_OK) return err;
  c->n.replayed = c->disk_ops;
  c->n.spool_bytes = obs_client_spool_live(c->spool);
  return OBSERVER_E_OK;
}
