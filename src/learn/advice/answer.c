/* An answer as JSON or msgpack, in at most OBS_ADVICE_MAX bytes. */
#include "base/hex.h"
#include "base/json.h"
#include "base/utf8.h"
#include "learn/advice/internal.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>

/* Most bytes of a text, then while there are items that can be left out instead, and at last; the least of the names
 * that are repeated. */
enum {
  TEXT_MAX = OBS_ADVICE_TEXT,
  FINDING_MAX = OBS_ADVICE_FINDING,
  TEXT_SMALL = 60,
  TEXT_LEAST = 12,
  NAME_LEAST = 24
};
#define CUT "\xe2\x80\xa6" /* an ellipsis, where a text was cut */

/* How long things may be. Findings are whole as long as possible: what to do stands at their end. */
typedef struct {
  uint32_t name, text, finding;
} limits;

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

static void put_cut(writer *w, const char *name, const obs_advice_built *b, obs_advice_text t, uint32_t max) {
  obs_str text = obs_advice_text_of(b, t);
  char room[FINDING_MAX + sizeof(CUT)];
  if (text.len > max) {
    uint32_t n = (uint32_t)obs_utf8_cut(text.p, text.len, max - (uint32_t)strlen(CUT));
    memcpy(room, text.p, n);
    memcpy(room + n, CUT, strlen(CUT));
    text = (obs_str){room, n + (uint32_t)strlen(CUT), 0};
  }
  put_text(w, name, text);
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

static void put_true(writer *w, const char *name) {
  if (!w->packs) {
    obs_json_bool(&w->json, name, true);
    return;
  }
  pack_name(w, name);
  msgpack_pack_true(&w->pk);
}

static void put_findings(writer *w, const obs_advice_answer *a, uint32_t text_max) {
  const obs_advice_built *b = a->built;
  put_array(w, "findings", a->nfindings);
  for (uint32_t i = 0; i < a->nfindings; i++) {
    const obs_advice_finding *f = &b->findings.at[a->findings[i]];
    put_map(w, 4);
    put_cut(w, "text", b, f->text, text_max);
    put_u64(w, "ops", f->ops);
    put_u64(w, "failures", f->failures);
    put_array(w, "evidence", f->nseqs);
    for (uint32_t k = 0; k < f->nseqs; k++) put_u64(w, NULL, f->seqs[k]);
    put_end(w);
    put_end(w);
  }
  put_end(w);
}

static bool is_empty(const obs_advice_answer *a) {
  return a->nfindings + a->nentries + a->nclusters + a->ncorrections == 0;
}

/* Why there is nothing to say: so that empty lists do not look like a fault. */
static void put_note(writer *w, const obs_advice_answer *a, uint32_t name_max) {
  obs_str endpoint = obs_utf8_cut_str(a->endpoint, name_max), class = obs_utf8_cut_str(a->task_class, name_max);
  char text[2 * OBS_ADVICE_NAME + 256];
  int n;
  if (a->built->as_of == 0)
    n = snprintf(text, sizeof(text),
                 "nothing has been learned yet: nothing was recorded when the daemon last looked (it "
                 "looks once a cycle, and soon after a new kind of failure begins)");
  else
    n = snprintf(text, sizeof(text),
                 "nothing is known about %.*s%s%.*s yet: no open failures, findings, corrections or playbook entries "
                 "there, as of op %" PRIu64,
                 (int)endpoint.len, endpoint.p != NULL ? endpoint.p : "",
                 class.p == NULL      ? ""
                 : endpoint.p == NULL ? "task class "
                                      : " for task class ",
                 (int)class.len, class.p != NULL ? class.p : "", a->built->as_of);
  put_text(w, "note", (obs_str){text, n > 0 ? (uint32_t)n : 0, 0});
}

static void put_answer(const obs_advice_answer *a, obs_advice_form form, const limits *most, obs_buf *out) {
  const obs_advice_built *b = a->built;
  const uint32_t text_max = most->text;
  const bool noted = is_empty(a) && !a->held_back;
  writer w = {.packs = form == OBS_ADVICE_MSGPACK, .json = obs_json_write(out)};
  msgpack_packer_init(&w.pk, out, append);
  put_map(&w, a->held_back || noted ? 8 : 7);
  put_text(&w, "endpoint", obs_utf8_cut_str(a->endpoint, most->name));
  put_text(&w, "task_class", obs_utf8_cut_str(a->task_class, most->name));
  put_findings(&w, a, most->finding);
  put_array(&w, "entries", a->nentries);
  for (uint32_t i = 0; i < a->nentries; i++) {
    const obs_advice_entry *e = &b->entries.at[a->entries[i]];
    put_map(&w, 3);
    put_id(&w, e->id);
    put_text(&w, "kind", e->dont ? OBS_STR("dont") : OBS_STR("do"));
    put_cut(&w, "text", b, obs_advice_entry_text(a, e), text_max);
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
    put_cut(&w, "template", b, c->template, text_max);
    put_end(&w);
  }
  put_end(&w);
  put_array(&w, "corrections", a->ncorrections);
  for (uint32_t i = 0; i < a->ncorrections; i++) {
    const obs_advice_correction *c = &b->corrections.at[a->corrections[i]];
    put_map(&w, 4);
    put_u64(&w, "seq", c->seq);
    put_cut(&w, "text", b, c->text, text_max);
    put_u64(&w, "succeeded", c->succeeded);
    put_u64(&w, "failed", c->failed);
    put_end(&w);
  }
  put_end(&w);
  put_u64(&w, "as_of", b->as_of);
  if (a->held_back) put_true(&w, "held_back");
  if (noted) put_note(&w, a, most->name);
  put_end(&w);
}

/* ---- fitting ---- */

/* Writes it as JSON in place of what stands behind `at`; whether it fits. */
static bool try(const obs_advice_answer *a, const limits *most, obs_buf *out, size_t at) {
  if (out->oom) return true; /* there is nothing to fit */
  out->len = at;
  put_answer(a, OBS_ADVICE_JSON, most, out);
  return out->len - at <= OBS_ADVICE_MAX;
}

/* Takes something away: the last item of the longest list (a correction rather than a kind of failure than an entry)
 * while there is more than one of one, then findings but the first; then names and texts get shorter, the finding's
 * too; then the rest goes. False: nothing is left. */
static bool shrink(obs_advice_answer *a, limits *most) {
  uint32_t *longest = &a->ncorrections;
  if (a->nclusters > *longest) longest = &a->nclusters;
  if (a->nentries > *longest) longest = &a->nentries;
  if (*longest > 1)
    --*longest;
  else if (a->nfindings > 1)
    a->nfindings--;
  else if (most->name > NAME_LEAST)
    most->name = NAME_LEAST;
  else if (most->text > TEXT_LEAST)
    most->text = TEXT_LEAST;
  else if (*longest > 0)
    --*longest;
  else if (most->finding > TEXT_SMALL)
    most->finding = TEXT_SMALL;
  else if (a->nfindings > 0)
    a->nfindings--;
  else
    return false;
  return true;
}

/* What does not fit with texts of TEXT_SMALL shrinks until it does. Then the texts grow as far as they fit. */
void obs_advice_write(obs_advice_answer *a, obs_advice_form form, obs_buf *out) {
  size_t at = out->len;
  limits most = {OBS_ADVICE_NAME, TEXT_MAX, FINDING_MAX};
  if (!obs_buf_reserve(out, OBS_ADVICE_MAX)) return;
  bool whole = try(a, &most, out, at);
  if (!whole) most.text = TEXT_SMALL;
  while (!whole && !try(a, &most, out, at) && shrink(a, &most)) continue;
  for (uint32_t high = TEXT_MAX; !whole && most.text + 1 < high;) {
    limits more = most;
    more.text = most.text + (high - most.text) / 2;
    if (try(a, &more, out, at))
      most = more;
    else
      high = more.text;
  }
  if (out->oom || (whole && form == OBS_ADVICE_JSON)) return;
  out->len = at;
  put_answer(a, form, &most, out);
}
