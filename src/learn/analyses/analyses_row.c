/* An analysis as a row, and who is told of it. */
#include "base/clock.h"
#include "base/log.h"
#include "diagnose/sentences.h"
#include "learn/analyses/internal.h"
#include "learn/member.h"

#include <inttypes.h>
#include <xxhash.h>

enum { GATEWAY_UNITS = 500, SEED = 0x6f627361 };

/* ---- the row's members ---- */

/* p NULL: null. */
static void put_text(obs_buf *out, const char *name, obs_str text) {
  obs_buf_printf(out, ",\"%s\":", name);
  if (text.p != NULL)
    obs_buf_json_str(out, text);
  else
    obs_buf_puts(out, "null");
}

static void put_said(obs_buf *out, const char *name, const obs_buf *text) {
  put_text(out, name, text->len > 0 ? obs_buf_view(text) : (obs_str){NULL, 0, 0});
}

static void put_name(obs_buf *out, const char *name, const char *text) {
  put_text(out, name, text != NULL ? obs_str_of(text) : (obs_str){NULL, 0, 0});
}

static void put_number(obs_buf *out, const char *name, uint64_t n) {
  obs_buf_printf(out, ",\"%s\":%" PRIu64, name, n);
}

static void put_bool(obs_buf *out, const char *name, bool yes) {
  obs_buf_printf(out, ",\"%s\":%s", name, yes ? "true" : "false");
}

static void put_claims(obs_buf *out, const obs_explanation *e) {
  obs_buf_puts(out, ",\"claims\":[");
  for (uint32_t i = 0; i < e->nclaims; i++) {
    const obs_claim *c = &e->claims[i];
    obs_buf_puts(out, i > 0 ? ",{\"text\":" : "{\"text\":");
    obs_buf_json_str(out, obs_buf_view(&c->text));
    obs_member_put_seqs(out, "seqs", c->seqs, c->nseqs);
    put_bool(out, "grounded", c->grounded);
    obs_buf_putc(out, '}');
  }
  obs_buf_putc(out, ']');
}

static void put_about(obs_buf *out, const obs_analysis *x) {
  char id[OBS_CLUSTER_ID_LEN + 1];
  obs_cluster_id_format(x->mark.id, id);
  put_name(out, "scope", x->fleet ? "fleet" : "cluster");
  put_name(out, "cluster", x->fleet ? NULL : id);
  put_text(out, "template", x->template);
  put_text(out, "endpoint", x->endpoint);
  put_text(out, "task_class", x->task_class);
  put_name(out, "state", x->fleet ? NULL : obs_cluster_state_names[x->mark.state]);
  if (x->fleet)
    put_name(out, "episode", NULL);
  else
    put_number(out, "episode", x->mark.episode);
  put_number(out, "failures", x->untaken);
  put_number(out, "taken", x->taken);
  put_number(out, "first_seq", x->first_seq);
  put_number(out, "last_seq", x->last_seq);
}

static void put_answer(obs_buf *out, const obs_analyses *a, const obs_analysis *x) {
  const obs_explanation *e = &x->said;
  put_name(out, "backend", x->by_model ? obs_llm_kind_name(a->opts.model) : "builtin");
  put_name(out, "model", x->by_model ? obs_llm_name(a->opts.model) : NULL);
  put_said(out, "cause", &e->cause);
  put_said(out, "adjust", &e->adjust);
  put_said(out, "dont", &e->dont);
  obs_member_put_seqs(out, "dont_seqs", e->dont_seqs, e->dont.len > 0 ? e->ndont_seqs : 0);
  put_claims(out, e);
  put_bool(out, "grounded", e->grounded);
  put_bool(out, "settled", obs_explanation_settles(e));
  put_name(out, "model_error", x->model_error[0] != '\0' ? x->model_error : NULL);
  put_number(out, "ms", obs_clock_mono_ms() - x->started);
}

void obs_analysis_put_row(const obs_analyses *a, obs_analysis *x) {
  char time[OBS_ISO8601_LEN + 1];
  obs_clock_format(x->time_ms, time);
  obs_buf_reset(&x->row, SIZE_MAX);
  obs_buf_printf(&x->row, "\"time\":\"%s\"", time);
  put_about(&x->row, x);
  put_answer(&x->row, a, x);
  obs_buf_puts(&x->row, ",\"diagnosis\":");
  obs_buf_append(&x->row, x->diagnosis.p, x->diagnosis.len);
  if (x->diagnosis.oom || x->said.cause.oom) x->row.oom = true;
}

/* ---- what the findings are ---- */

uint64_t obs_analyses_print(const cJSON *diagnosis) {
  const cJSON *each;
  uint64_t sum = 0;
  cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(diagnosis, "findings")) {
    const cJSON *blames = cJSON_GetObjectItemCaseSensitive(each, "blames");
    const cJSON *with = cJSON_GetObjectItemCaseSensitive(each, "with");
    const obs_str parts[] = {obs_member_text(each, "cause"), obs_member_text(blames, "field"),
                             obs_member_text(blames, "value"), obs_member_text(with, "field"),
                             obs_member_text(with, "value")};
    uint64_t h = SEED;
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) h = XXH64(parts[i].p, parts[i].len, h);
    sum += h;
  }
  return sum;
}

/* ---- who is told ---- */

static void put_result(obs_buf *out, const obs_explanation *e) {
  obs_buf_append(out, e->cause.p, e->cause.len);
  if (e->adjust.len == 0) return;
  obs_buf_putc(out, '\n');
  obs_buf_append(out, e->adjust.p, e->adjust.len);
}

static void tell_gateway(const obs_analyses *a, const obs_analysis *x) {
  obs_buf operation = {0}, result = {0};
  obs_str approach =
      x->by_model ? OBS_STR("LLM-analyzed error patterns") : OBS_STR("builtin diagnosis of error patterns");
  if (a->opts.gateway == NULL || x->fleet) return;
  obs_buf_printf(&operation, "error_analysis: %" PRIu64 " failures", x->untaken);
  put_result(&result, &x->said);
  if (!operation.oom && !result.oom)
    obs_gateway_log(a->opts.gateway, obs_buf_view(&operation), approach,
                    obs_gateway_cut(obs_buf_view(&result), GATEWAY_UNITS),
                    obs_gateway_cut(obs_buf_view(&x->lines), GATEWAY_UNITS));
  obs_buf_fini(&operation);
  obs_buf_fini(&result);
}

void obs_analyses_offer(const obs_analyses *a, const cJSON *row) {
  uint64_t seqs[OBS_CLAIM_SEQS];
  obs_loop_dont d = {.text = obs_member_text(row, "dont"), .seqs = seqs, .facts = a->view.n > 0 ? &a->view : NULL};
  const cJSON *each;
  if (a->opts.dont == NULL || d.text.p == NULL || !obs_member_id(row, "cluster", &d.cluster)) return;
  if (!obs_member_u64(row, "id", &d.analysis) || !obs_member_time(row, "time", &d.time_ms)) return;
  d.endpoint = obs_member_text(row, "endpoint");
  d.task_class = obs_member_text(row, "task_class");
  cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(row, "dont_seqs")) {
    if (cJSON_IsNumber(each) && d.nseqs < OBS_CLAIM_SEQS) seqs[d.nseqs++] = (uint64_t)each->valuedouble;
  }
  a->opts.dont(a->opts.dont_arg, &d);
}

static void tell(obs_analyses *a, const obs_analysis *x, uint64_t number) {
  cJSON *row = obs_member_row(number, &x->row);
  if (row == NULL) {
    obs_log_error("learn", "analysis %" PRIu64 ": out of memory, nobody is told of it", number);
    return;
  }
  obs_analyses_offer(a, row);
  cJSON_DeleteItemFromObjectCaseSensitive(row, "diagnosis");
  if (a->opts.announce.fn != NULL) a->opts.announce.fn(a->opts.announce.arg, "analysis", row);
  cJSON_Delete(row);
}

bool obs_analysis_publish(obs_analyses *a, obs_analysis *x, uint64_t *number) {
  if (x->row.oom || obs_records_append(a->records, &x->row, number) != OBSERVER_E_OK) return false;
  tell(a, x, *number);
  tell_gateway(a, x);
  return true;
}
