#include "bridge/ids.h"

#include "base/json.h"
#include "bridge/internal.h"

uint32_t obs_ids_of_clusters(obs_connection *s, const obs_hex_range *r, uint64_t *out, uint32_t max) {
  return obs_clusters_ids(s->bridge->opts.clusters, r, out, max);
}

uint32_t obs_ids_of_loop(obs_connection *s, const obs_hex_range *r, uint64_t *out, uint32_t max) {
  const obs_loop *loop = s->route->loop;
  return loop->ids(obs_learn_loop(s->bridge->opts.learn, loop), r, out, max);
}

/* The error names them, for who reads it; `candidates` lists them, for programs. */
static void answer_ambiguous(obs_connection *s, const char *name, obs_str digits, const uint64_t *ids, uint32_t n) {
  uint32_t shown = n < OBS_IDS_CANDIDATES ? n : OBS_IDS_CANDIDATES;
  obs_buf *out = &s->http.out, text = {0};
  obs_buf_printf(&text, "%s: %.*s is ambiguous:", name, (int)digits.len, digits.p);
  for (uint32_t i = 0; i < shown; i++) {
    char id[OBS_HEX_LEN + 1];
    obs_hex_format(ids[i], id);
    obs_buf_printf(&text, "%s %s", i > 0 ? "," : "", id);
  }
  if (shown < n) obs_buf_puts(&text, " and more");
  obs_answer_fail(&s->http.answer, 400);
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_text(&w, "error", obs_buf_view(&text));
  obs_json_array(&w, "candidates");
  for (uint32_t i = 0; i < shown; i++) obs_json_id(&w, NULL, ids[i]);
  obs_json_end(&w);
  obs_json_end(&w);
  if (text.oom) obs_answer_no_memory(&s->http.answer, out);
  obs_buf_fini(&text);
}

bool obs_ids_take_part(obs_connection *s) {
  const obs_route *r = s->route;
  uint64_t ids[OBS_IDS_CANDIDATES + 1];
  obs_hex_range range;
  if (obs_hex_parse(s->part, &s->id)) return true;
  if (r->ids == NULL || !obs_hex_parse_prefix(s->part, &range)) {
    obs_answer_error(&s->http.answer, &s->http.out, 400, "id: must be 16 hex digits%s",
                     r->ids != NULL ? ", or the first 4 or more of them" : "");
    return false;
  }
  uint32_t n = r->ids(s, &range, ids, OBS_IDS_CANDIDATES + 1);
  if (n == 0)
    obs_answer_error(&s->http.answer, &s->http.out, 404, "no %s whose id begins with %.*s", r->one, (int)s->part.len,
                     s->part.p);
  else if (n > 1)
    answer_ambiguous(s, "id", s->part, ids, n);
  else
    s->id = ids[0];
  return n == 1;
}

bool obs_ids_take_params(obs_connection *s, const obs_params *params, void *filter) {
  for (size_t i = 0; i < params->n; i++) {
    const obs_param *p = &params->list[i];
    uint64_t ids[OBS_IDS_CANDIDATES + 1];
    obs_hex_range range;
    if (p->kind != OBS_PARAM_CLUSTER) continue;
    void *at = (char *)filter + p->at;
    obs_str *value = at;
    bool begins = value->p != NULL && value->len < OBS_HEX_LEN && obs_hex_parse_prefix(*value, &range);
    if (!begins || s->bridge->opts.clusters == NULL) continue; /* the route says that there are none */
    uint32_t n = obs_ids_of_clusters(s, &range, ids, OBS_IDS_CANDIDATES + 1);
    if (n == 0)
      obs_answer_error(&s->http.answer, &s->http.out, 400, "%s: no cluster whose id begins with %.*s", p->name,
                       (int)value->len, value->p);
    else if (n > 1)
      answer_ambiguous(s, p->name, *value, ids, n);
    if (n != 1) return false;
    obs_hex_format(ids[0], s->cluster);
    *value = obs_str_of(s->cluster);
  }
  return true;
}
