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

/* ---- the map, as JSON or as msgpack, which is never longer than the JSON ---- */

typedef struct {
  bool packs; /* msgpack */
  obs_json_writer json;
  msgpack_packer pk;
} writer;

static int append(void *data, const char *p, size_t n) {
  obs_buf *out = data;
  obs_buf_append(out, p, n);
  return out->oom ? -1 : 0;
}

/* NULL: no name. */
static void pack_name(writer *w, const char *name) {
  if (name == NULL) return;
  msgpack_pack_str(&w->pk, strlen(name));
  msgpack_pack_str_body(&w->pk, name, strlen(name));
}

static void put_map(writer *w, size_t members) {
  if (w->packs)
    msgpack_pack_map(&w->pk, members);
  else
    obs_json_object(&w->json, NULL);
}

static void put_array(writer *w, const char *name, size_t items) {
  if (!w->packs) {
    obs_json_array(&w->json, name);
    return;
  }
  pack_name(w, name);
  msgpack_pack_array(&w->pk, items);
}

static void put_end(writer *w) {
  if (!w->packs) obs_json_end(&w->json);
}

static void put_text(writer *w, const char *name, obs_str s) {
  if (!w->packs) {
    obs_json_text(&w->json, name, s);
    return;
  }
  pack_name(w, name);
  if (s.p == NULL) {
    msgpack_pack_nil(&w->pk);
    return;
  }
  msgpack_pack_str(&w->pk, s.len);
  msgpack_pack_str_body(&w->pk, s.p, s.len);
}

static void put_u64(writer *w, const char *name, uint64_t v) {
  if (!w->packs) {
    obs_json_u64(&w->json, name, v);
    return;
  }
  pack_name(w, name);
  msgpack_pack_uint64(&w->pk, v);
}

static void put_id(writer *w, uint64_t id) {
  char text[OBS_HEX_LEN + 1];
  obs_hex_format(id, text);
  put_text(w, "id", obs_str_of(text));
}

static void put_answer(const obs_advice_answer *a, obs_advice_form form, uint32_t name_max, uint32_t text_max,
                       obs_buf *out) {
  const obs_advice_built *b = a->built;
  writer w = {.packs = form == OBS_ADVICE_MSGPACK, .json = obs_json_write(out)};
  msgpack_packer_init(&w.pk, out, append);
  put_map(&w, 6);
  put_text(&w, "endpoint", obs_utf8_cut_str(a->endpoint, name_max));
  put_text(&w, "task_class", obs_utf8_cut_str(a->task_class, name_max));
  put_array(&w, "entries", a->nentries);
  for (uint32_t i = 0; i < a->nentries; i++) {
    const obs_advice_entry *e = &b->entries.at[a->entries[i]];
    put_map(&w, 3);
    put_id(&w, e->id);
    put_text(&w, "kind", e->dont ? OBS_STR("dont") : OBS_STR("do"));
    put_text(&w, "text", text_at(b, e->text, text_max));
    put_end(&w);
  }
  put_end(&w);
  put_array(&w, "clusters", a->nclusters);
  for (uint32_t i = 0; i < a->nclusters; i++) {
    const obs_advice_cluster *c = &b->clusters.at[a->clusters[i]];
    put_map(&w, 4);
    put_id(&w, c->id);
    put_text(&w, "state", obs_str_of(obs_cluster_state_names[c->state]));
    put_u64(&w, "count", c->count);
    put_text(&w, "template", text_at(b, c->template, text_max));
    put_end(&w);
  }
  put_end(&w);
  put_array(&w, "corrections", a->ncorrections);
  for (uint32_t i = 0; i < a->ncorrections; i++) {
    const obs_advice_correction *c = &b->corrections.at[a->corrections[i]];
    put_map(&w, 4);
    put_u64(&w, "seq", c->seq);
    put_text(&w, "text", text_at(b, c->text, text_max));
    put_u64(&w, "succeeded", c->succeeded);
    put_u64(&w, "failed", c->failed);
    put_end(&w);
  }
  put_end(&w);
  put_u64(&w, "as_of", b->as_of);
  put_end(&w);
}

/* ---- fitting ---- */

/* Writes it as JSON in place of what stands behind `at`; whether it fits. */
static bool try(const obs_advice_answer *a, uint32_t name_max, uint32_t text_max, obs_buf *out, size_t at) {
  if (out->oom) return true; /* there is nothing to fit */
  out->len = at;
  put_answer(a, OBS_ADVICE_JSON, name_max, text_max, out);
  return out->len - at <= OBS_ADVICE_MAX;
}

/* What does not fit with texts of TEXT_SMALL loses items, down to one of each; what does not fit then, because so much
 * has to be escaped, gets shorter names and texts, then loses more. Then the texts grow as far as they fit. */
void obs_advice_write(obs_advice_answer *a, obs_advice_form form, obs_buf *out) {
  size_t at = out->len;
  uint32_t name_max = OBS_ADVICE_NAME, text_max = TEXT_MAX;
  if (!obs_buf_reserve(out, OBS_ADVICE_MAX)) return;
  bool whole = try(a, name_max, text_max, out, at);
  if (!whole) text_max = TEXT_SMALL;
  while (!whole && !try(a, name_max, text_max, out, at)) {
    bool many = a->nentries > 1 || a->nclusters > 1 || a->ncorrections > 1;
    uint32_t *longest = &a->ncorrections; /* its last item goes: a correction rather than a cluster than an entry */
    if (a->nclusters > *longest) longest = &a->nclusters;
    if (a->nentries > *longest) longest = &a->nentries;
    if (!many && name_max > NAME_LEAST)
      name_max = NAME_LEAST;
    else if (!many && text_max > TEXT_LEAST)
      text_max = TEXT_LEAST;
    else if (*longest > 0)
      --*longest;
    else
      break;
  }
  for (uint32_t high = TEXT_MAX; !whole && text_max + 1 < high;) {
    uint32_t middle = text_max + (high - text_max) / 2;
    if (try(a, name_max, middle, out, at))
      text_max = middle;
    else
      high = middle;
  }
  if (out->oom || (whole && form == OBS_ADVICE_JSON)) return;
  out->len = at;
  put_answer(a, form, name_max, text_max, out);
}
