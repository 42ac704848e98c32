/* The commit thread's side: copies what was recorded, never waits. */
#include "feed/internal.h"

static const char prefix[] = "op.";
enum { PREFIX = sizeof(prefix) - 1, SOURCE_MAX = OBS_FEED_TOPIC_MAX - PREFIX };

/* What of a source's name fits into a topic: up to a NUL, whole characters. */
static obs_str cut(obs_str source) {
  uint32_t len = source.len < SOURCE_MAX ? source.len : SOURCE_MAX;
  const char *nul = len > 0 ? memchr(source.p, 0, len) : NULL;
  if (nul != NULL) len = (uint32_t)(nul - source.p);
  if (len < source.len && nul == NULL) {
    while (len > 0 && ((uint8_t)source.p[len] & 0xc0) == 0x80) len--;
  }
  return (obs_str){source.p, len, 0};
}

static uint32_t topic_of(obs_feed *f, obs_str source) {
  obs_str name = cut(source);
  uint32_t id = obs_names_intern(&f->sources, name);
  obs_feed_topic *t = &f->source_topics[id];
  if (t->name[0] != '\0') return id;
  if (id == OBS_NAME_OTHER) name = OBS_STR(OBS_STATE_OTHER);
  memcpy(t->name, prefix, PREFIX);
  if (name.len > 0) memcpy(t->name + PREFIX, name.p, name.len);
  t->name[PREFIX + name.len] = '\0';
  return id;
}

/* Ops were recorded that were not counted here: every topic may have missed some. */
static void skip_uncounted(obs_feed *f) {
  for (uint32_t id = 0; id <= OBS_FEED_SOURCES; id++) {
    if (f->source_topics[id].seq > 0) f->source_topics[id].seq++;
  }
}

static void take(obs_feed *f, const obs_batch *b, uint64_t first_seq) {
  bool wanted = atomic_load_explicit(&f->subscribers, memory_order_relaxed) > 0;
  uint64_t seq = first_seq, dropped = 0;
  obs_str source = {0};
  uint32_t topic = OBS_NAME_OTHER;
  if (first_seq != f->next_seq) skip_uncounted(f);
  for (uint32_t i = 0; i < b->nops; i++) {
    const obs_batch_line *line = &b->lines[i];
    if (line->duplicate) continue;
    if (seq == first_seq || !obs_str_eq(source, b->ops[i].source)) {
      source = b->ops[i].source;
      topic = topic_of(f, source);
    }
    uint64_t topic_seq = ++f->source_topics[topic].seq;
    obs_feed_row head = {.topic = topic, .len = line->len, .seq = seq, .topic_seq = topic_seq};
    seq++;
    if (wanted && !obs_feed_queue_put(&f->rows, &head, b->json.p + line->off)) dropped++;
  }
  f->next_seq = seq;
  if (dropped > 0) atomic_fetch_add_explicit(&f->dropped, dropped, memory_order_relaxed);
  obs_feed_queue_show(&f->rows);
  obs_feed_raise_seq(f, seq - 1);
}

void obs_feed_recorded(void *feed, const obs_batch *b, uint64_t first_seq) {
  obs_feed *f = feed;
  if (atomic_load_explicit(&f->active, memory_order_relaxed)) take(f, b, first_seq);
}
