/* Analyses as rows: written, announced, folded at open, carried over when the file is turned over, and read again. */
#include "base/row.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "learn/analyses/internal.h"

#include <inttypes.h>
#include <stdatomic.h>

enum { GATEWAY_UNITS = 500 };

static const obs_str none = {NULL, 0, 0};

/* ---- writing ---- */

/* Nothing said: null. */
static void put_said(obs_json_writer *w, const char *name, const obs_buf *text) {
  obs_json_text(w, name, text->len > 0 ? obs_buf_view(text) : none);
}

static const char *backend_of(const obs_analyses *a, const obs_analysis *x) {
  return x->by_model ? obs_llm_kind_name(a->tools->model) : "builtin";
}

/* All members but the id and the diagnosis: as the feed gets them too. */
static void put_members(const obs_analyses *a, const obs_analysis *x, obs_json_writer *w) {
  const obs_prompt_explanation *e = &x->said;
  obs_json_time(w, "time", x->time_ms);
  obs_json_cstr(w, "scope", x->fleet ? "fleet" : "cluster");
  if (x->fleet)
    obs_json_null(w, "cluster");
  else
    obs_json_id(w, "cluster", x->brief.id);
  obs_json_text(w, "template", x->template);
  obs_json_text(w, "endpoint", x->endpoint);
  obs_json_text(w, "task_class", x->task_class);
  obs_json_cstr(w, "state", x->fleet ? NULL : obs_cluster_state_names[x->brief.state]);
  if (x->fleet)
    obs_json_null(w, "episode");
  else
    obs_json_u64(w, "episode", x->brief.episode);
  obs_json_u64(w, "failures", x->untaken);
  obs_json_u64(w, "taken", x->taken);
  obs_json_u64(w, "first_seq", x->first_seq);
  obs_json_u64(w, "last_seq", x->last_seq);
  obs_json_cstr(w, "backend", backend_of(a, x));
  obs_json_cstr(w, "model", x->by_model ? obs_llm_name(a->tools->model) : NULL);
  put_said(w, "cause", &e->cause);
  put_said(w, "adjust", &e->adjust);
  put_said(w, "dont", &e->dont);
  obs_json_u64s(w, "dont_seqs", e->dont_seqs, e->dont.len > 0 ? e->ndont_seqs : 0);
  obs_json_array(w, "claims");
  for (uint32_t i = 0; i < e->nclaims; i++) {
    const obs_prompt_claim *c = &e->claims[i];
    obs_json_object(w, NULL);
    obs_json_text(w, "text", obs_buf_view(&c->text));
    obs_json_u64s(w, "seqs", c->seqs, c->nseqs);
    obs_json_bool(w, "grounded", c->grounded);
    obs_json_end(w);
  }
  obs_json_end(w);
  obs_json_bool(w, "grounded", e->grounded);
  obs_json_bool(w, "settled", obs_prompt_settles(e));
  obs_json_cstr(w, "model_error", x->model_error[0] != '\0' ? x->model_error : NULL);
  obs_json_u64(w, "ms", obs_clock_mono_ms() - x->started);
  obs_json_id(w, "conclusion", x->print);
}

/* In the older observer's words. */
static void tell_gateway(const obs_analyses *a, const obs_analysis *x) {
  if (a->tools->gateway == NULL || x->fleet) return;
  obs_str approach =
      x->by_model ? OBS_STR("LLM-analyzed error patterns") : OBS_STR("builtin diagnosis of error patterns");
  obs_buf operation = {0}, result = {0};
  obs_buf_printf(&operation, "error_analysis: %" PRIu64 " failures", x->untaken);
  obs_buf_append(&result, x->said.cause.p, x->said.cause.len);
  if (x->said.adjust.len > 0) obs_buf_putc(&result, '\n');
  obs_buf_append(&result, x->said.adjust.p, x->said.adjust.len);
  if (!operation.oom && !result.oom)
    obs_gateway_log(a->tools->gateway, obs_buf_view(&operation), approach,
                    obs_gateway_cut(obs_buf_view(&result), GATEWAY_UNITS),
                    obs_gateway_cut(obs_buf_view(&x->lines), GATEWAY_UNITS));
  obs_buf_fini(&operation);
  obs_buf_fini(&result);
}

static void set_name(obs_analysis_name *to, obs_str text) {
  to->given = text.p != NULL;
  to->len = (uint8_t)obs_utf8_cut(text.p, text.len, sizeof(to->text));
  if (to->given) memcpy(to->text, text.p, to->len);
}

static bool is_name(const obs_analysis_name *have, obs_str want) {
  return want.p == NULL || (have->given && obs_str_eq((obs_str){have->text, have->len, 0}, want));
}

bool obs_analysis_record(obs_analyses *a, const obs_analysis *x, uint64_t *number) {
  const obs_prompt_explanation *e = &x->said;
  obs_buf row = {0};
  obs_json_writer w = {.out = &row, .depth = 1};
  put_members(a, x, &w);
  size_t announced = row.len; /* the feed gets no diagnosis: it is long, and one request away */
  obs_json_raw(&w, "diagnosis", obs_buf_view(&x->diagnosis));
  bool ok =
      !row.oom && !x->diagnosis.oom && !e->cause.oom && obs_records_append(a->records, &row, number) == OBSERVER_E_OK;
  if (ok) {
    atomic_fetch_add(&a->written[x->by_model ? 1 + a->opts->model.kind : 0][e->grounded], 1);
    obs_analysis_view v = {.head = {.number = *number, .cluster = x->fleet ? 0 : x->brief.id},
                           .time_ms = x->time_ms,
                           .grounded = e->grounded};
    set_name(&v.endpoint, x->endpoint);
    set_name(&v.task_class, x->task_class);
    set_name(&v.backend, obs_str_of(backend_of(a, x)));
    obs_kept_rows_add(&a->kept, &v);
    if (a->tools->dont != NULL && !x->fleet && e->dont.len > 0) {
      const obs_loop_dont d = {.cluster = x->brief.id,
                               .analysis = *number,
                               .endpoint = x->endpoint,
                               .task_class = x->task_class,
                               .text = obs_buf_view(&e->dont),
                               .seqs = e->dont_seqs,
                               .nseqs = e->ndont_seqs,
                               .time_ms = x->time_ms,
                               .facts = a->view.n > 0 ? &a->view : NULL};
      a->tools->dont(a->tools->dont_arg, &d);
    }
    obs_announce_row(&a->opts->announce, "analysis", *number, (obs_str){row.p, (uint32_t)announced, 0});
    tell_gateway(a, x);
  }
  obs_buf_fini(&row);
  return ok;
}

/* ---- folding ---- */

obs_analysis_entry *obs_analyses_enter(obs_analyses *a, uint64_t cluster, const obs_analysis_entry *last) {
  obs_analysis_entry *e = obs_cluster_memory_put(&a->table, cluster, last->head.number);
  if (e == NULL) return NULL;
  /* Escalations count the failures since the first of the settled analyses in a row, not since the last one. */
  bool goes_on = e->settled && last->settled && e->episode == last->episode;
  uint64_t settled_at = goes_on ? e->settled_at : last->taken;
  obs_cluster_memory_head head = e->head;
  *e = *last;
  e->head = head;
  e->settled_at = settled_at;
  return e;
}

/* A row with the members that are counted; carried rows have no others but settled_at. */
bool obs_analyses_fold(void *analyses, const cJSON *row, const char **why) {
  obs_analyses *a = analyses;
  obs_str scope = obs_row_text(row, "scope");
  obs_analysis_entry last = {0};
  uint64_t cluster = 0, episode;
  *why = "not an analysis";
  if (!obs_row_u64(row, "id", &last.head.number) || !obs_row_time(row, "time", &last.time_ms) ||
      !obs_row_u64(row, "last_seq", &last.last_seq))
    return false;
  (void)obs_row_bool(row, "grounded", &last.grounded);
  (void)obs_row_id(row, "conclusion",
                   &last.print); /* none in rows of before 0.2: the conclusion is written once more */
  if (obs_str_is(scope, "fleet")) {
    atomic_store(&a->fleet_seq, last.last_seq);
    a->fleet_print = last.print;
    a->fleet_number = last.head.number;
    a->fleet_taken = last.last_seq;
  } else {
    if (!obs_str_is(scope, "cluster") || !obs_row_id(row, "cluster", &cluster) ||
        !obs_row_u64(row, "taken", &last.taken) || !obs_row_u64(row, "episode", &episode))
      return false;
    last.episode = (uint32_t)episode;
    last.seen = last.taken;
    last.seen_seq = last.last_seq;
    last.by_model = !obs_str_is(obs_row_text(row, "backend"), "builtin");
    (void)obs_row_bool(row, "settled", &last.settled);
    obs_analysis_entry *e = obs_analyses_enter(a, cluster, &last);
    if (e != NULL) (void)obs_row_u64(row, "settled_at", &e->settled_at);
  }
  if (cJSON_HasObjectItem(row, "carried")) return true; /* it is not the whole row: pages leave it out */
  obs_analysis_view v = {
      .head = {.number = last.head.number, .cluster = cluster}, .time_ms = last.time_ms, .grounded = last.grounded};
  set_name(&v.endpoint, obs_row_text(row, "endpoint"));
  set_name(&v.task_class, obs_row_text(row, "task_class"));
  set_name(&v.backend, obs_row_text(row, "backend"));
  obs_kept_rows_add(&a->kept, &v);
  return true;
}

void obs_analyses_carry(void *analyses, obs_buf *out) {
  obs_analyses *a = analyses;
  pthread_mutex_lock(&a->lock);
  for (uint32_t i = 0; i < a->table.n; i++) {
    const obs_analysis_entry *e = obs_cluster_memory_at(&a->table, i);
    obs_json_writer w = obs_json_write(out);
    obs_json_object(&w, NULL);
    obs_json_u64(&w, "id", e->head.number);
    obs_json_time(&w, "time", e->time_ms);
    obs_json_cstr(&w, "scope", "cluster");
    obs_json_id(&w, "cluster", e->head.cluster);
    obs_json_bool(&w, "carried", true);
    obs_json_u64(&w, "episode", e->episode);
    obs_json_u64(&w, "taken", e->taken);
    obs_json_u64(&w, "last_seq", e->last_seq);
    obs_json_u64(&w, "settled_at", e->settled_at);
    obs_json_bool(&w, "grounded", e->grounded);
    obs_json_bool(&w, "settled", e->settled);
    obs_json_id(&w, "conclusion", e->print);
    if (!e->by_model) obs_json_cstr(&w, "backend", "builtin");
    obs_json_end(&w);
    obs_buf_putc(out, '\n');
  }
  if (a->fleet_number != 0) {
    obs_json_writer w = obs_json_write(out);
    obs_json_object(&w, NULL);
    obs_json_u64(&w, "id", a->fleet_number);
    obs_json_time(&w, "time", obs_clock_wall_ms());
    obs_json_cstr(&w, "scope", "fleet");
    obs_json_bool(&w, "carried", true);
    obs_json_u64(&w, "last_seq", a->fleet_taken);
    obs_json_id(&w, "conclusion", a->fleet_print);
    obs_json_end(&w);
    obs_buf_putc(out, '\n');
  }
  pthread_mutex_unlock(&a->lock);
}

/* ---- reading ---- */

/* A row as the disk has it, parsed; NULL: it is not in memory. cJSON_Delete it. */
static cJSON *parse_row(obs_analyses *a, uint64_t number) {
  obs_buf text = {0};
  cJSON *row = NULL;
  if (obs_records_one(a->records, number, &text) && !text.oom) row = cJSON_ParseWithLength(text.p, text.len);
  obs_buf_fini(&text);
  return row;
}

void obs_analyses_offer_last(obs_analyses *a) {
  uint64_t seqs[OBS_PROMPT_CLAIM_SEQS];
  const cJSON *each;
  cJSON *row = parse_row(a, obs_records_next(a->records) - 1);
  obs_loop_dont d = {.text = obs_row_text(row, "dont"), .seqs = seqs};
  if (a->tools->dont != NULL && d.text.p != NULL && obs_row_id(row, "cluster", &d.cluster) &&
      obs_row_u64(row, "id", &d.analysis) && obs_row_time(row, "time", &d.time_ms)) {
    d.endpoint = obs_row_text(row, "endpoint");
    d.task_class = obs_row_text(row, "task_class");
    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(row, "dont_seqs")) {
      if (cJSON_IsNumber(each) && d.nseqs < OBS_PROMPT_CLAIM_SEQS) seqs[d.nseqs++] = (uint64_t)each->valuedouble;
    }
    a->tools->dont(a->tools->dont_arg, &d);
  }
  cJSON_Delete(row);
}

bool obs_analyses_last(obs_analyses *a, uint64_t cluster, obs_analysis_last *out) {
  pthread_mutex_lock(&a->lock);
  const obs_analysis_entry *e = obs_cluster_memory_find(&a->table, cluster);
  if (e != NULL)
    *out = (obs_analysis_last){e->head.number, e->taken, e->settled_at, e->time_ms, e->grounded, e->settled};
  pthread_mutex_unlock(&a->lock);
  return e != NULL;
}

/* Carried rows are not among the kept ones. */
bool obs_analyses_one(void *analyses, uint64_t number, obs_buf *out) {
  obs_analyses *a = analyses;
  return obs_kept_rows_has(&a->kept, number) && obs_records_one(a->records, number, out);
}

bool obs_analyses_cause(obs_analyses *a, uint64_t cluster, obs_buf *out) {
  obs_analysis_last last;
  if (!obs_analyses_last(a, cluster, &last) || !obs_kept_rows_has(&a->kept, last.number)) return false;
  cJSON *row = parse_row(a, last.number);
  obs_str cause = obs_row_text(row, "cause");
  bool known = cause.p != NULL;
  obs_buf_append(out, cause.p, cause.len);
  cJSON_Delete(row);
  return known;
}

/* The seqs that its claims cite, each once, as they come. */
static uint32_t list_evidence(const cJSON *row, uint64_t seqs[OBS_ANALYSES_EVIDENCE]) {
  const cJSON *claim, *each;
  uint32_t n = 0;
  cJSON_ArrayForEach(claim, cJSON_GetObjectItemCaseSensitive(row, "claims")) {
    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(claim, "seqs")) {
      uint64_t seq = cJSON_IsNumber(each) && each->valuedouble >= 1 ? (uint64_t)each->valuedouble : 0;
      uint32_t i = 0;
      while (i < n && seqs[i] != seq) i++;
      if (seq != 0 && i == n && n < OBS_ANALYSES_EVIDENCE) seqs[n++] = seq;
    }
  }
  return n;
}

void obs_analyses_last_json(obs_analyses *a, uint64_t cluster, obs_json_writer *w, const char *name) {
  obs_analysis_last last;
  cJSON *row = NULL;
  if (obs_analyses_last(a, cluster, &last) && obs_kept_rows_has(&a->kept, last.number)) row = parse_row(a, last.number);
  if (row == NULL) {
    obs_json_null(w, name);
    return;
  }
  uint64_t seqs[OBS_ANALYSES_EVIDENCE];
  uint32_t n = list_evidence(row, seqs);
  obs_json_object(w, name);
  obs_json_u64(w, "analysis", last.number);
  obs_json_time(w, "time", last.time_ms);
  obs_json_text(w, "cause", obs_row_text(row, "cause"));
  obs_json_text(w, "adjust", obs_row_text(row, "adjust"));
  obs_json_text(w, "dont", obs_row_text(row, "dont"));
  obs_json_bool(w, "grounded", last.grounded);
  obs_json_bool(w, "settled", last.settled);
  obs_json_u64s(w, "evidence", seqs, n);
  obs_json_end(w);
  cJSON_Delete(row);
}

static bool matches(const void *filter, const void *view) {
  const obs_analyses_filter *f = filter;
  const obs_analysis_view *v = view;
  return (f->grounded < 0 || v->grounded == (f->grounded == 1)) &&
         (f->since_ms == INT64_MIN || v->time_ms >= f->since_ms) &&
         (f->scope.p == NULL || obs_str_is(f->scope, v->head.cluster == 0 ? "fleet" : "cluster")) &&
         is_name(&v->endpoint, f->endpoint) && is_name(&v->task_class, f->task_class) &&
         is_name(&v->backend, f->backend);
}

/* What is left out of light rows: what supports the text. */
static void put_light(obs_json_writer *w, obs_str name, obs_str value) {
  static const char *const heavy[] = {"dont_seqs", "claims", "model_error", "ms", "conclusion", "diagnosis"};
  for (size_t i = 0; i < sizeof(heavy) / sizeof(*heavy); i++)
    if (obs_str_is(name, heavy[i])) return;
  obs_json_key(w, name);
  obs_json_raw(w, NULL, value);
}

observer_err obs_analyses_page(void *analyses, const void *filter, obs_buf *out, obs_page_end *end) {
  obs_analyses *a = analyses;
  const obs_analyses_filter *f = filter;
  const obs_kept_rows_query q = {.records = a->records,
                                 .clusters = a->opts->clusters,
                                 .page = &f->page,
                                 .cluster = f->cluster,
                                 .matches = matches,
                                 .filter = f};
  return obs_kept_rows_page(&a->kept, &q, put_light, out, end);
}
