#include "observerd/learn_feed.h"

#include "base/clock.h"
#include "base/log.h"
#include "feed/encode.h"

#include <cjson/cJSON.h>
#include <math.h>

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

void obs_learn_feed_cluster(obs_feed *feed, const obs_cluster_event *e) {
  packer p = {0};
  char id[OBS_CLUSTER_ID_LEN + 1];
  obs_cluster_id_format(e->id, id);
  obs_feed_packer(&p.pk, &p.out);
  put_text(&p, OBS_STR("id"), (obs_str){id, OBS_CLUSTER_ID_LEN, 1});
  put_text(&p, OBS_STR("state"), obs_str_of(obs_cluster_state_names[e->state]));
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

/* ---- maps ---- */

static void pack_number(msgpack_packer *pk, double v) {
  double whole;
  if (modf(v, &whole) != 0 || fabs(v) > 9007199254740992.0)
    msgpack_pack_double(pk, v);
  else if (v < 0)
    msgpack_pack_int64(pk, (int64_t)v);
  else
    msgpack_pack_uint64(pk, (uint64_t)v);
}

static void pack_value(msgpack_packer *pk, const cJSON *v);

static void pack_members(msgpack_packer *pk, const cJSON *map) {
  const cJSON *member;
  cJSON_ArrayForEach(member, map) {
    obs_feed_pack_str(pk, obs_str_of(member->string));
    pack_value(pk, member);
  }
}

/* As deep as the loops' own maps are. */
static void pack_value(msgpack_packer *pk, const cJSON *v) {
  const cJSON *item;
  if (cJSON_IsString(v)) {
    obs_feed_pack_str(pk, obs_str_of(v->valuestring));
  } else if (cJSON_IsNumber(v)) {
    pack_number(pk, v->valuedouble);
  } else if (cJSON_IsBool(v)) {
    if (cJSON_IsTrue(v))
      msgpack_pack_true(pk);
    else
      msgpack_pack_false(pk);
  } else if (cJSON_IsObject(v)) {
    msgpack_pack_map(pk, (size_t)cJSON_GetArraySize(v));
    pack_members(pk, v);
  } else if (cJSON_IsArray(v)) {
    msgpack_pack_array(pk, (size_t)cJSON_GetArraySize(v));
    cJSON_ArrayForEach(item, v) {
      pack_value(pk, item);
    }
  } else {
    msgpack_pack_nil(pk);
  }
}

void obs_learn_feed_row(obs_feed *feed, const char *topic, obs_str row) {
  msgpack_packer pk;
  obs_buf out = {0};
  cJSON *map = cJSON_ParseWithLength(row.p, row.len);
  obs_feed_packer(&pk, &out);
  pack_members(&pk, map);
  observer_err err = OBSERVER_E_NOMEM;
  if (map != NULL && !out.oom) err = obs_feed_publish(feed, topic, out.p, out.len, (uint32_t)cJSON_GetArraySize(map));
  if (err != OBSERVER_E_OK) obs_log_warn("observerd", "feed: %s not told: %s", topic, observer_strerror(err));
  cJSON_Delete(map);
  obs_buf_fini(&out);
}
