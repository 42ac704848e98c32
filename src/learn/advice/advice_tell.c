/* The answer as JSON or msgpack, in at most OBS_ADVICE_MAX bytes. */
#include "base/utf8.h"
#include "learn/advice/internal.h"

#include <inttypes.h>
#include <msgpack.h>

/* Bytes of a text, as long as there are items to leave out rather, and at last; of the names told back, likewise. */
enum { TEXT_MAX = OBS_PLAYBOOK_TEXT, TEXT_SMALL = 60, TEXT_LEAST = 12, NAME_LEAST = 24 };

static obs_str text_at(const obs_advice_built *b, obs_advice_text t, uint32_t max) {
  const char *p = b->text.p + t.at;
  return (obs_str){p, (uint32_t)obs_utf8_cut(p, t.len, max), 0};
}

static obs_str name_at(obs_str name, uint32_t max) {
  if (name.p != NULL) name.len = (uint32_t)obs_utf8_cut(name.p, name.len, max);
  return name;
}

/* ---- JSON ---- */

static void json_name(obs_buf *out, const char *before, obs_str name) {
  obs_buf_puts(out, before);
  if (name.p != NULL)
    obs_buf_json_str(out, name);
  else
    obs_buf_puts(out, "null");
}

static void json_number(obs_buf *out, const char *before, uint64_t v) {
  obs_buf_puts(out, before);
  obs_buf_u64(out, v);
}

static void json_id(obs_buf *out, const char *before, const char *id) {
  obs_buf_puts(out, before);
  obs_buf_append(out, id, OBS_CLUSTER_ID_LEN);
}

static void json_entries(const obs_advice_answer *a, uint32_t max, obs_buf *out) {
  for (uint32_t i = 0; i < a->nentries; i++) {
    const obs_advice_entry *e = &a->built->entries[a->entries[i]];
    json_id(out, i > 0 ? ",{\"id\":\"" : "{\"id\":\"", e->id);
    obs_buf_puts(out, e->dont ? "\",\"kind\":\"dont\",\"text\":" : "\",\"kind\":\"do\",\"text\":");
    obs_buf_json_str(out, text_at(a->built, e->text, max));
    obs_buf_putc(out, '}');
  }
}

static void json_clusters(const obs_advice_answer *a, uint32_t max, obs_buf *out) {
  for (uint32_t i = 0; i < a->nclusters; i++) {
    const obs_advice_cluster *c = &a->built->clusters[a->clusters[i]];
    char id[OBS_CLUSTER_ID_LEN + 1];
    obs_cluster_id_format(c->id, id);
    json_id(out, i > 0 ? ",{\"id\":\"" : "{\"id\":\"", id);
    obs_buf_puts(out, "\",\"state\":\"");
    obs_buf_puts(out, obs_cluster_state_names[c->state]);
    json_number(out, "\",\"count\":", c->count);
    obs_buf_puts(out, ",\"template\":");
    obs_buf_json_str(out, text_at(a->built, c->template, max));
    obs_buf_putc(out, '}');
  }
}

static void json_corrections(const obs_advice_answer *a, uint32_t max, obs_buf *out) {
  for (uint32_t i = 0; i < a->ncorrections; i++) {
    const obs_advice_correction *c = &a->built->corrections[a->corrections[i]];
    json_number(out, i > 0 ? ",{\"seq\":" : "{\"seq\":", c->seq);
    obs_buf_puts(out, ",\"text\":");
    obs_buf_json_str(out, text_at(a->built, c->text, max));
    json_number(out, ",\"succeeded\":", c->succeeded);
    json_number(out, ",\"failed\":", c->failed);
    obs_buf_putc(out, '}');
  }
}

static void put_json(const obs_advice_answer *a, uint32_t name_max, uint32_t text_max, obs_buf *out) {
  json_name(out, "{\"endpoint\":", name_at(a->endpoint, name_max));
  json_name(out, ",\"task_class\":", name_at(a->task_class, name_max));
  obs_buf_puts(out, ",\"entries\":[");
  json_entries(a, text_max, out);
  obs_buf_puts(out, "],\"clusters\":[");
  json_clusters(a, text_max, out);
  obs_buf_puts(out, "],\"corrections\":[");
  json_corrections(a, text_max, out);
  json_number(out, "],\"as_of\":", a->built->as_of);
  obs_buf_putc(out, '}');
}

/* ---- msgpack: never longer than the JSON ---- */

static int write_out(void *data, const char *p, size_t n) {
  obs_buf *out = data;
  obs_buf_append(out, p, n);
  return out->oom ? -1 : 0;
}

static void pack_str(msgpack_packer *pk, obs_str s) {
  if (s.p == NULL) {
    msgpack_pack_nil(pk);
    return;
  }
  msgpack_pack_str(pk, s.len);
  msgpack_pack_str_body(pk, s.p, s.len);
}

static void pack_cstr(msgpack_packer *pk, const char *s) {
  pack_str(pk, (obs_str){s, (uint32_t)strlen(s), 1});
}

static void pack_text(msgpack_packer *pk, const char *key, obs_str s) {
  pack_cstr(pk, key);
  pack_str(pk, s);
}

static void pack_number(msgpack_packer *pk, const char *key, uint64_t v) {
  pack_cstr(pk, key);
  msgpack_pack_uint64(pk, v);
}

static void pack_entries(const obs_advice_answer *a, uint32_t max, msgpack_packer *pk) {
  pack_cstr(pk, "entries");
  msgpack_pack_array(pk, a->nentries);
  for (uint32_t i = 0; i < a->nentries; i++) {
    const obs_advice_entry *e = &a->built->entries[a->entries[i]];
    msgpack_pack_map(pk, 3);
    pack_text(pk, "id", (obs_str){e->id, OBS_CLUSTER_ID_LEN, 1});
    pack_text(pk, "kind", e->dont ? OBS_STR("dont") : OBS_STR("do"));
    pack_text(pk, "text", text_at(a->built, e->text, max));
  }
}

static void pack_clusters(const obs_advice_answer *a, uint32_t max, msgpack_packer *pk) {
  pack_cstr(pk, "clusters");
  msgpack_pack_array(pk, a->nclusters);
  for (uint32_t i = 0; i < a->nclusters; i++) {
    const obs_advice_cluster *c = &a->built->clusters[a->clusters[i]];
    char id[OBS_CLUSTER_ID_LEN + 1];
    obs_cluster_id_format(c->id, id);
    msgpack_pack_map(pk, 4);
    pack_text(pk, "id", (obs_str){id, OBS_CLUSTER_ID_LEN, 1});
    pack_cstr(pk, "state");
    pack_cstr(pk, obs_cluster_state_names[c->state]);
    pack_number(pk, "count", c->count);
    pack_text(pk, "template", text_at(a->built, c->template, max));
  }
}

static void pack_corrections(const obs_advice_answer *a, uint32_t max, msgpack_packer *pk) {
  pack_cstr(pk, "corrections");
  msgpack_pack_array(pk, a->ncorrections);
  for (uint32_t i = 0; i < a->ncorrections; i++) {
    const obs_advice_correction *c = &a->built->corrections[a->corrections[i]];
    msgpack_pack_map(pk, 4);
    pack_number(pk, "seq", c->seq);
    pack_text(pk, "text", text_at(a->built, c->text, max));
    pack_number(pk, "succeeded", c->succeeded);
    pack_number(pk, "failed", c->failed);
  }
}

static void put_msgpack(const obs_advice_answer *a, uint32_t name_max, uint32_t text_max, obs_buf *out) {
  msgpack_packer pk;
  msgpack_packer_init(&pk, out, write_out);
  msgpack_pack_map(&pk, 6);
  pack_text(&pk, "endpoint", name_at(a->endpoint, name_max));
  pack_text(&pk, "task_class", name_at(a->task_class, name_max));
  pack_entries(a, text_max, &pk);
  pack_clusters(a, text_max, &pk);
  pack_corrections(a, text_max, &pk);
  pack_number(&pk, "as_of", a->built->as_of);
}

/* ---- fitting ---- */

/* Writes it as JSON in place of what stands behind `at`; whether it fits. */
static bool try(const obs_advice_answer *a, uint32_t name_max, uint32_t text_max, obs_buf *out, size_t at) {
  if (out->oom) return true; /* there is nothing to fit */
  out->len = at;
  put_json(a, name_max, text_max, out);
  return out->len - at <= OBS_ADVICE_MAX;
}

/* Leaves out the last item of the longest list, of corrections rather than clusters rather than entries. */
static bool leave_one_out(obs_advice_answer *a) {
  uint32_t *longest = &a->ncorrections;
  if (a->nclusters > *longest) longest = &a->nclusters;
  if (a->nentries > *longest) longest = &a->nentries;
  if (*longest == 0) return false;
  --*longest;
  return true;
}

/* The longest cut of the texts that fits; `low` does. */
static uint32_t widest(const obs_advice_answer *a, uint32_t name_max, uint32_t low, obs_buf *out, size_t at) {
  uint32_t high = TEXT_MAX;
  while (low + 1 < high) {
    uint32_t middle = low + (high - low) / 2;
    if (try(a, name_max, middle, out, at))
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* What does not fit with texts of TEXT_SMALL loses items, down to one of each; what does not fit then, for all that has
 * to be escaped, loses more. */
static void fit(obs_advice_answer *a, uint32_t *name_max, uint32_t *text_max, obs_buf *out, size_t at) {
  *name_max = OBS_ADVICE_NAME;
  *text_max = TEXT_MAX;
  if (try(a, *name_max, *text_max, out, at)) return;
  *text_max = TEXT_SMALL;
  while (!try(a, *name_max, *text_max, out, at)) {
    bool many = a->nentries > 1 || a->nclusters > 1 || a->ncorrections > 1;
    if (!many && *name_max > NAME_LEAST)
      *name_max = NAME_LEAST;
    else if (!many && *text_max > TEXT_LEAST)
      *text_max = TEXT_LEAST;
    else if (!leave_one_out(a))
      return;
  }
  *text_max = widest(a, *name_max, *text_max, out, at);
}

void obs_advice_tell(obs_advice_answer *a, obs_advice_form form, obs_buf *out) {
  size_t at = out->len;
  uint32_t name_max, text_max;
  if (!obs_buf_reserve(out, OBS_ADVICE_MAX)) return;
  fit(a, &name_max, &text_max, out, at);
  if (out->oom) return;
  out->len = at;
  if (form == OBS_ADVICE_JSON)
    put_json(a, name_max, text_max, out);
  else
    put_msgpack(a, name_max, text_max, out);
}
