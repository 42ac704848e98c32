#include "intake/internal.h"

#include "base/log.h"

#include <stdlib.h>

/* What comes back is used again. A batch keeps a bounded part of its memory (up to some MiB): of the large ones, few.
 */
enum { SMALL_MAX = 512, LARGE_MAX = 16, SMALL_OPS = 32, SMALL_BYTES = 32 << 10 };

struct obs_intake_pool {
  pthread_mutex_t lock;
  struct {
    obs_intake_message *first;
    uint32_t n;
  } lists[2]; /* small, large */
};

observer_err obs_intake_pool_open(struct obs_intake_pool **out) {
  *out = calloc(1, sizeof **out);
  if (*out == NULL) return OBSERVER_E_NOMEM;
  pthread_mutex_init(&(*out)->lock, NULL); /* the default kind does not fail */
  return OBSERVER_E_OK;
}

static void destroy(obs_intake_message *m) {
  obs_batch_fini(&m->batch);
  obs_buf_fini(&m->bytes);
  free(m);
}

void obs_intake_pool_close(struct obs_intake_pool *pool) {
  if (pool == NULL) return;
  for (size_t i = 0; i < 2; i++) {
    for (obs_intake_message *m = pool->lists[i].first; m != NULL;) {
      obs_intake_message *next = m->next;
      destroy(m);
      m = next;
    }
  }
  pthread_mutex_destroy(&pool->lock);
  free(pool);
}

static obs_intake_message *take(struct obs_intake_pool *pool, bool large) {
  obs_intake_message *m = NULL;
  pthread_mutex_lock(&pool->lock);
  for (size_t i = 0; i < 2 && m == NULL; i++) {
    size_t list = i ^ large;
    m = pool->lists[list].first;
    if (m == NULL) continue;
    pool->lists[list].first = m->next;
    pool->lists[list].n--;
  }
  pthread_mutex_unlock(&pool->lock);
  return m;
}

obs_intake_message *obs_intake_message_new(obs_bus *bus, obs_transport transport, uint32_t messages) {
  obs_intake_message *m = take(bus->pool, messages > 1);
  if (m == NULL) {
    m = calloc(1, sizeof *m);
    if (m != NULL && obs_batch_init(&m->batch) != OBSERVER_E_OK) {
      free(m);
      m = NULL;
    }
  }
  if (m == NULL) {
    obs_log_error("intake", "%s: no memory for %u message%s", obs_transport_names[transport], messages,
                  messages == 1 ? "" : "s");
    for (uint32_t i = 0; i < messages; i++) obs_commit_count_lost(bus->opts.commit, transport);
    return NULL;
  }
  m->bus = bus;
  m->from = m->foreign = NULL;
  m->way_bytes = 0;
  m->promised = 0;
  return m;
}

void obs_intake_message_free(obs_intake_message *m) {
  struct obs_intake_pool *pool = m->bus->pool;
  obs_batch_reset(&m->batch);
  obs_buf_reset(&m->bytes, OBS_STREAM_READ_MAX * 2);
  bool large = m->batch.ops_cap > SMALL_OPS || m->batch.json.cap + m->bytes.cap > SMALL_BYTES;
  pthread_mutex_lock(&pool->lock);
  bool keep = pool->lists[large].n < (large ? LARGE_MAX : SMALL_MAX);
  if (keep) {
    m->next = pool->lists[large].first;
    pool->lists[large].first = m;
    pool->lists[large].n++;
  }
  pthread_mutex_unlock(&pool->lock);
  if (!keep) destroy(m);
}

void obs_intake_message_begin(obs_intake_message *m, obs_transport transport, uint64_t producer,
                              const obs_identity *identity, const void *data, size_t size, void (*done)(obs_batch *b)) {
  obs_batch *b = &m->batch;
  b->data = data;
  b->size = size;
  b->transport = transport;
  b->producer = producer;
  b->identity = identity;
  b->profile = OBS_PROFILE_V1;
  b->kinds = obs_commit_kinds(m->bus->opts.commit);
  b->redact = obs_commit_redact(m->bus->opts.commit);
  b->owner = m;
  b->done = done;
}

void obs_intake_message_add(obs_intake_message *m, size_t off, size_t size, int64_t now_ms) {
  obs_batch_add_message(&m->batch, off, size, OBS_FORMAT_ANY, &m->bus->opts.limits, now_ms);
}

void obs_intake_message_submit(obs_intake_message *m) {
  obs_batch *b = &m->batch;
  const char *name = obs_transport_names[b->transport];
  if (b->nrejects > 0)
    obs_log_warn("intake", "%s: rejected %u of %u, first: op %u: %s", name, b->nrejects, obs_batch_items(b),
                 b->rejects[0].index, b->rejects[0].reason);
  if (obs_commit_submit(m->bus->opts.commit, b) == OBSERVER_E_OK) return;
  obs_log_warn("intake", "%s: message refused, ops lost: %u: %s", name, b->nops + b->nrecords, b->error_text);
  b->done(b);
}
