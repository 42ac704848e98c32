/* Publications of other stages, and the feed's own: the heartbeat. */
#include "base/clock.h"
#include "feed/internal.h"

enum { BEAT_MS = 1000, PAIRS_MAX = UINT16_MAX - 2 };

nng_msg *obs_feed_message(const char *topic, const void *payload, size_t len) {
  nng_msg *m;
  size_t name = strlen(topic) + 1;
  if (nng_msg_alloc(&m, name + len) != 0) return NULL;
  memcpy(nng_msg_body(m), topic, name);
  memcpy((char *)nng_msg_body(m) + name, payload, len);
  return m;
}

void obs_feed_raise_seq(obs_feed *f, uint64_t last) {
  uint64_t now = atomic_load_explicit(&f->seq, memory_order_relaxed);
  while (now < last && !atomic_compare_exchange_weak(&f->seq, &now, last)) continue;
}

/* A topic that nobody could take for the begin of a payload, nor for one of the ops'. */
static bool is_topic(const char *topic) {
  uint8_t c = (uint8_t)topic[0];
  if (c == '\0' || c == '{' || c == '[' || (c & 0xe0) == 0x80 || (c >= 0xdc && c <= 0xdf)) return false;
  return strlen(topic) <= OBS_FEED_TOPIC_MAX && strncmp(topic, "op.", 3) != 0;
}

/* The topic's entry; NULL when there are too many. With the lock. */
static obs_feed_topic *topic_entry(obs_feed *f, const char *topic) {
  uint32_t id = obs_names_intern(&f->names, (obs_str){topic, (uint32_t)strlen(topic), 0});
  if (id == OBS_NAME_OTHER) return NULL;
  obs_feed_topic *t = &f->topics[id];
  if (t->name[0] == '\0') memcpy(t->name, topic, strlen(topic) + 1);
  return t;
}

static nng_msg *make(obs_feed *f, const obs_feed_topic *t, const void *pairs, size_t len, uint32_t npairs) {
  msgpack_packer pk;
  obs_buf out = {0};
  nng_msg *m = NULL;
  obs_feed_packer(&pk, &out);
  obs_feed_pack_head(&pk, &out, atomic_load(&f->seq), t->seq);
  obs_feed_pack_count(&out, 0, npairs + 2);
  obs_buf_append(&out, pairs, len);
  if (!out.oom) m = obs_feed_message(t->name, out.p, out.len);
  obs_buf_fini(&out);
  return m;
}

/* With the lock. */
static observer_err enqueue(obs_feed *f, const obs_feed_topic *t, const void *pairs, size_t len, uint32_t npairs) {
  if (f->noutbox == OBS_FEED_OUTBOX || f->outbox_bytes + len > OBS_FEED_OUTBOX_BYTES) return OBSERVER_E_FULL;
  nng_msg *m = make(f, t, pairs, len, npairs);
  if (m == NULL) return OBSERVER_E_NOMEM;
  f->outbox[f->noutbox++] = m;
  f->outbox_bytes += nng_msg_len(m);
  pthread_cond_signal(&f->wake);
  return OBSERVER_E_OK;
}

observer_err obs_feed_publish(obs_feed *f, const char *topic, const void *pairs, size_t len, uint32_t npairs) {
  if (!is_topic(topic) || npairs > PAIRS_MAX || len > OBS_FEED_LARGEST) return OBSERVER_E_INVALID;
  observer_err err = OBSERVER_E_FULL;
  pthread_mutex_lock(&f->lock);
  obs_feed_topic *t = topic_entry(f, topic);
  if (t != NULL) {
    t->seq++;
    err = atomic_load(&f->subscribers) == 0 ? OBSERVER_E_OK : enqueue(f, t, pairs, len, npairs);
  }
  pthread_mutex_unlock(&f->lock);
  if (err != OBSERVER_E_OK) atomic_fetch_add(&f->dropped, 1);
  return err;
}

/* ---- the heartbeat ---- */

typedef struct {
  msgpack_packer pk;
  obs_buf pairs; /* of by_source */
  uint32_t named;
  uint64_t other, total, failures;
} tally;

/* Names of a topic's length only, so that a heartbeat stays small whatever sources are called. */
static void add_source(void *arg, obs_str name, uint64_t ops, uint64_t failures) {
  tally *t = arg;
  t->total += ops;
  t->failures += failures;
  if (name.len > OBS_FEED_TOPIC_MAX || obs_str_eq(name, OBS_STR(OBS_STATE_OTHER))) {
    t->other += ops;
    return;
  }
  t->named++;
  obs_feed_pack_u64(&t->pk, name, ops);
}

void obs_feed_publish_stats(obs_feed *f) {
  uint32_t more = 0;
  tally t = {0};
  obs_buf out = {0};
  msgpack_packer pk;
  obs_feed_packer(&t.pk, &t.pairs);
  obs_feed_packer(&pk, &out);
  obs_state_sources(f->state, add_source, &t);
  if (t.other > 0) obs_feed_pack_u64(&t.pk, OBS_STR(OBS_STATE_OTHER), t.other);
  obs_feed_pack_u64(&pk, OBS_STR("boot"), (uint64_t)f->boot_ms);
  obs_feed_pack_u64(&pk, OBS_STR("time"), (uint64_t)obs_clock_wall_ms());
  obs_feed_pack_u64(&pk, OBS_STR("total"), t.total);
  obs_feed_pack_u64(&pk, OBS_STR("successes"), t.total - t.failures);
  obs_feed_pack_u64(&pk, OBS_STR("failures"), t.failures);
  obs_feed_pack_str(&pk, OBS_STR("by_source"));
  msgpack_pack_map(&pk, t.named + (t.other > 0));
  obs_buf_append(&out, t.pairs.p, t.pairs.len);
  if (f->stats != NULL) more = f->stats(f->stats_arg, f, &out);
  /* What is lost is counted. */
  if (!out.oom && !t.pairs.oom) (void)obs_feed_publish(f, "stats", out.p, out.len, 6 + more);
  obs_buf_fini(&t.pairs);
  obs_buf_fini(&out);
}

/* A minute after the last subscriber left, the commit thread need not count any more. */
static void rest_when_alone(obs_feed *f) {
  pthread_mutex_lock(&f->lock);
  f->idle_s = atomic_load(&f->subscribers) == 0 ? f->idle_s + 1 : 0;
  if (f->idle_s >= OBS_FEED_LINGER_S) atomic_store(&f->active, false);
  pthread_mutex_unlock(&f->lock);
}

void obs_feed_beat(void *feed) {
  obs_feed *f = feed;
  if (nng_aio_result(f->beat) != 0) return; /* stopped */
  rest_when_alone(f);
  obs_feed_publish_stats(f);
  uint64_t now = obs_clock_mono_ms();
  f->next_beat += BEAT_MS;
  if (f->next_beat <= now) f->next_beat = now + BEAT_MS; /* the machine slept */
  nng_sleep_aio((nng_duration)(f->next_beat - now), f->beat);
}
