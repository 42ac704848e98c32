/* An answer as JSON or msgpack, in at most OBS_ADVICE_MAX bytes. */
#include "base/hex.h"
#include "base/json.h"
#include "base/utf8.h"
#include "learn/advice/internal.h"

#include <msgpack.h>

/* Most bytes of a text, then while there are items that can be left out instead, and at last; the least of the names
 * that are repeated. */
enum { TEXT_MAX = OBS_PLAYBOOK_TEXT, TEXT_SMALL = 60, TEXT_LEAST = 12, NAME_LEAST = 24 };

static obs_str text_at(const obs_advice_built *b, obs_advice_text t, uint32_t max) {
  return obs_utf8_cut_str((obs_str){b->text.p + t.at, t.len, 0}, max);
}

static obs_str name_at(obs_str name, uint32_t max) {
  return name.p != NULL ? obs_utf8_cut_str(name, max) : name;
}

static void put_json(const obs_advice_answer *a, uint32_t name_max, uint32_t text_max, obs_buf *out) {
  const obs_advice_built *b = a->built;
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_text(&w, "endpoint", name_at(a->endpoint, name_max));
  obs_json_text(&w, "task_class", name_at(a->task_class, name_max));
  obs_json_array(&w, "entries");
  for (uint32_t i = 0; i < a->nentries; i++) {
    const obs_advice_entry *e = &b->entries.at[a->entries[i]];
    obs_json_object(&w, NULL);
    obs_json_id(&w, "id", e->id);
    obs_json_text(&w, "kind", e->dont ? OBS_STR("dont") : OBS_STR("do"));
    obs_json_text(&w, "text", text_at(b, e->text, text_max));
    obs_json_end(&w);
  }
  obs_json_end(&w);
  obs_json_array(&w, "clusters");
  for (uint32_t i = 0; i < a->nclusters; i++) {
    const obs_advice_cluster *c = &b->clusters.at[a->clusters[i]];
    obs_json_object(&w, NULL);
    obs_json_id(&w, "id", c->id);
    obs_json_text(&w, "state", obs_str_of(obs_cluster_state_names[c->state]));
    obs_json_u64(&w, "count", c->count);
    obs_json_text(&w, "template", text_at(b, c->template, text_max));
    obs_json_end(&w);
  }
  obs_json_end(&w);
  obs_json_array(&w, "corrections");
  for (uint32_t i = 0; i < a->ncorrections; i++) {
    const obs_advice_correction *c = &b->corrections.at[a->corrections[i]];
    obs_json_object(&w, NULL);
    obs_json_u64(&w, "seq", c->seq);
    obs_json_text(&w, "text", text_at(b, c->text, text_max));
    obs_json_u64(&w, "succeeded", c->succeeded);
    obs_json_u64(&w, "failed", c->failed);
    obs_json_end(&w);
  }
  obs_json_end(&w);
  obs_json_u64(&w, "as_of", b->as_of);
  obs_json_end(&w);
}

/* ---- msgpack: the same map, never longer than the JSON ---- */

static int append(void *data, const char *p, size_t n) {
  obs_buf *out = data;
  obs_buf_append(out, p, n);
  return out->oom ? -1 : 0;
}

static void pack_text(msgpack_packer *pk, obs_str s) {
  if (s.p == NULL) {
    msgpack_pack_nil(pk);
    return;
  }
  msgpack_pack_str(pk, s.len);
  msgpack_pack_str_body(pk, s.p, s.len);
}

static void pack_member(msgpack_packer *pk, const char *name, obs_str s) {
  pack_text(pk, obs_str_of(name));
  pack_text(pk, s);
}

static void pack_id(msgpack_packer *pk, const char *name, uint64_t id) {
  char text[OBS_HEX_LEN + 1];
  obs_hex_format(id, text);
  pack_member(pk, name, obs_str_of(text));
}

static void pack_number(msgpack_packer *pk, const char *name, uint64_t v) {
  pack_text(pk, obs_str_of(name));
  msgpack_pack_uint64(pk, v);
}

static void put_msgpack(const obs_advice_answer *a, uint32_t name_max, uint32_t text_max, obs_buf *out) {
  const obs_advice_built *b = a->built;
  msgpack_packer pk;
  msgpack_packer_init(&pk, out, append);
  msgpack_pack_map(&pk, 6);
  pack_member(&pk, "endpoint", name_at(a->endpoint, name_max));
  pack_member(&pk, "task_class", name_at(a->task_class, name_max));
  pack_text(&pk, OBS_STR("entries"));
  msgpack_pack_array(&pk, a->nentries);
  for (uint32_t i = 0; i < a->nentries; i++) {
    const obs_advice_entry *e = &b->entries.at[a->entries[i]];
    msgpack_pack_map(&pk, 3);
    pack_id(&pk, "id", e->id);
    pack_member(&pk, "kind", e->dont ? OBS_STR("dont") : OBS_STR("do"));
    pack_member(&pk, "text", text_at(b, e->text, text_max));
  }
  pack_text(&pk, OBS_STR("clusters"));
  msgpack_pack_array(&pk, a->nclusters);
  for (uint32_t i = 0; i < a->nclusters; i++) {
    const obs_advice_cluster *c = &b->clusters.at[a->clusters[i]];
    msgpack_pack_map(&pk, 4);
    pack_id(&pk, "id", c->id);
    pack_member(&pk, "state", obs_str_of(obs_cluster_state_names[c->state]));
    pack_number(&pk, "count", c->count);
    pack_member(&pk, "template", text_at(b, c->template, text_max));
  }
  pack_text(&pk, OBS_STR("corrections"));
  msgpack_pack_array(&pk, a->ncorrections);
  for (uint32_t i = 0; i < a->ncorrections; i++) {
    const obs_advice_correction *c = &b->corrections.at[a->corrections[i]];
    msgpack_pack_map(&pk, 4);
    pack_number(&pk, "seq", c->seq);
    pack_member(&pk, "text", text_at(b, c->text, text_max));
    pack_number(&pk, "succeeded", c->succeeded);
    pack_number(&pk, "failed", c->failed);
  }
  pack_number(&pk, "as_of", b->as_of);
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

/* What does not fit with texts of TEXT_SMALL loses items, down to one of each; what does not fit then, because so much
 * has to be escaped, gets shorter names and texts, then loses more. Then the texts grow as far as they fit. True: `out`
 * has the answer already, as JSON. */
static bool fit(obs_advice_answer *a, uint32_t *name_max, uint32_t *text_max, obs_buf *out, size_t at) {
  *name_max = OBS_ADVICE_NAME;
  *text_max = TEXT_MAX;
  if (try(a, *name_max, *text_max, out, at)) return true;
  *text_max = TEXT_SMALL;
  while (!try(a, *name_max, *text_max, out, at)) {
    bool many = a->nentries > 1 || a->nclusters > 1 || a->ncorrections > 1;
    if (!many && *name_max > NAME_LEAST)
      *name_max = NAME_LEAST;
    else if (!many && *text_max > TEXT_LEAST)
      *text_max = TEXT_LEAST;
    else if (!leave_one_out(a))
      return false;
  }
  for (uint32_t high = TEXT_MAX; *text_max + 1 < high;) {
    uint32_t middle = *text_max + (high - *text_max) / 2;
    if (try(a, *name_max, middle, out, at))
      *text_max = middle;
    else
      high = middle;
  }
  return false;
}

void obs_advice_write(obs_advice_answer *a, obs_advice_form form, obs_buf *out) {
  size_t at = out->len;
  uint32_t name_max, text_max;
  if (!obs_buf_reserve(out, OBS_ADVICE_MAX)) return;
  bool written = fit(a, &name_max, &text_max, out, at);
  if (out->oom || (written && form == OBS_ADVICE_JSON)) return;
  out->len = at;
  (form == OBS_ADVICE_JSON ? put_json : put_msgpack)(a, name_max, text_max, out);
}
