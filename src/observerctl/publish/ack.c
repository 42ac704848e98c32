#include "observerctl/publish/ack.h"

#include "base/clock.h"
#include "base/msgpack_cursor.h"

#include <poll.h>
#include <stdlib.h>

enum { PAUSE_MIN_MS = 50, PAUSE_MAX_MS = 1000 };

static bool is_key(const msgpack_object *o, const char *key) {
  size_t n = strlen(key);
  return o->type == MSGPACK_OBJECT_STR && o->via.str.size == n && memcmp(o->via.str.ptr, key, n) == 0;
}

static const msgpack_object *find(const msgpack_object *map, const char *key) {
  for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++) {
    if (is_key(&map->via.map.ptr[i].key, key)) return &map->via.map.ptr[i].val;
  }
  return NULL;
}

static bool read_count(const msgpack_object *map, const char *key, uint64_t *out) {
  const msgpack_object *v = find(map, key);
  if (v == NULL || v->type != MSGPACK_OBJECT_POSITIVE_INTEGER) return false;
  *out = v->via.u64;
  return true;
}

static bool read_errors(const msgpack_object *map, obs_ack *out) {
  const msgpack_object *list = find(map, "errors");
  if (list == NULL || list->type != MSGPACK_OBJECT_ARRAY) return false;
  out->errors = calloc(list->via.array.size + 1, sizeof(*out->errors));
  if (out->errors == NULL) return false;
  for (uint32_t i = 0; i < list->via.array.size; i++) {
    const msgpack_object *error = &list->via.array.ptr[i];
    const msgpack_object *text = find(error, "error");
    obs_ack_error *e = &out->errors[out->nerrors];
    if (!read_count(error, "index", &e->index) || text == NULL || text->type != MSGPACK_OBJECT_STR) return false;
    e->reason = (obs_str){text->via.str.ptr, text->via.str.size, 0};
    out->nerrors++;
  }
  return true;
}

/* msgpack-c allocates what a header claims, so the claims are checked first. */
static bool read_answer(obs_ack *out) {
  const uint8_t *p = nng_msg_body(out->msg);
  size_t len = nng_msg_len(out->msg);
  obs_cursor c = obs_cursor_of(p, len);
  if (!obs_msgpack_cursor_skip(&c) || c.p != c.end) return false;
  if (msgpack_unpack_next(&out->unpacked, (const char *)p, len, NULL) != MSGPACK_UNPACK_SUCCESS) return false;
  const msgpack_object *map = &out->unpacked.data;
  const msgpack_object *retry = find(map, "retry");
  out->retry = retry != NULL && retry->type == MSGPACK_OBJECT_BOOLEAN && retry->via.boolean;
  return read_count(map, "accepted", &out->accepted) && read_count(map, "duplicates", &out->duplicates) &&
         read_count(map, "rejected", &out->rejected) && read_count(map, "seq", &out->seq) && read_errors(map, out);
}

static void init(obs_ack *a) {
  *a = (obs_ack){0};
  msgpack_unpacked_init(&a->unpacked);
}

static bool ask_once(obs_sender *s, const void *bytes, size_t len, obs_ack *out) {
  if (!obs_sender_ask(s, bytes, len, &out->msg)) return false;
  if (read_answer(out)) return true;
  snprintf(s->error, sizeof(s->error), "%s: the answer is not that of an observer", s->url);
  return false;
}

bool obs_ack_ask(obs_sender *s, const void *bytes, size_t len, obs_ack *out) {
  uint64_t end = obs_clock_mono_ms() + s->timeout_ms;
  int pause = PAUSE_MIN_MS;
  init(out);
  while (ask_once(s, bytes, len, out)) {
    if (!out->retry) return true;
    bool late = obs_clock_mono_ms() >= end;
    struct pollfd stop = {.fd = s->stop_fd, .events = POLLIN};
    if (!late && poll(&stop, 1, pause) > 0) s->stopped = true;
    if (late || s->stopped) {
      obs_str why = out->nerrors > 0 ? out->errors[0].reason : OBS_STR("it cannot record now");
      snprintf(s->error, sizeof(s->error), "%s: %.*s", s->url, (int)(why.len < 200 ? why.len : 200), why.p);
      return false;
    }
    pause = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
    obs_ack_fini(out);
    init(out);
  }
  return false;
}

void obs_ack_fini(obs_ack *a) {
  free(a->errors);
  msgpack_unpacked_destroy(&a->unpacked);
  if (a->msg != NULL) nng_msg_free(a->msg);
  *a = (obs_ack){0};
}
