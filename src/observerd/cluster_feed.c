#include "observerd/cluster_feed.h"

#include "base/clock.h"
#include "feed/encode.h"

typedef struct {
  msgpack_packer pk;
  obs_buf out;
  uint32_t pairs;
} packer;

static void put_text(packer *p, obs_str key, obs_str value) {
  if (value.p == NULL) return;
  obs_feed_pack_str(&p->pk, key);
  obs_feed_pack_str(&p->pk, value);
  p->pairs++;
}

static void put_number(packer *p, obs_str key, uint64_t value) {
  obs_feed_pack_u64(&p->pk, key, value);
  p->pairs++;
}

static void put_time(packer *p, obs_str key, int64_t ms) {
  char text[OBS_ISO8601_LEN + 1];
  obs_clock_format(ms, text);
  put_text(p, key, (obs_str){text, OBS_ISO8601_LEN, 1});
}

void obs_cluster_feed_publish(obs_feed *feed, const obs_cluster_event *e) {
  packer p = {0};
  char id[OBS_CLUSTER_ID_LEN + 1];
  const char *state = obs_cluster_state_names[e->state];
  obs_cluster_id_format(e->id, id);
  obs_feed_packer(&p.pk, &p.out);
  put_text(&p, OBS_STR("id"), (obs_str){id, OBS_CLUSTER_ID_LEN, 1});
  put_text(&p, OBS_STR("state"), (obs_str){state, (uint32_t)strlen(state), 1});
  put_text(&p, OBS_STR("template"), e->template);
  put_number(&p, OBS_STR("count"), e->count);
  put_time(&p, OBS_STR("first_seen"), e->first_ms);
  put_time(&p, OBS_STR("last_seen"), e->last_ms);
  put_number(&p, OBS_STR("op_seq"), e->op_seq);
  put_text(&p, OBS_STR("endpoint"), e->endpoint);
  put_text(&p, OBS_STR("source"), e->source);
  put_text(&p, OBS_STR("sig_hash"), e->sig_hash);
  put_text(&p, OBS_STR("event_kind"), e->event_kind);
  put_text(&p, OBS_STR("task_class"), e->task_class);
  put_number(&p, OBS_STR("missed"), e->missed);
  if (!p.out.oom) (void)obs_feed_publish(feed, "failure.cluster", p.out.p, p.out.len, p.pairs);
  obs_buf_fini(&p.out);
}
