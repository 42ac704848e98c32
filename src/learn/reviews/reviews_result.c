/* A verdict as it is answered and recorded. */
#include "base/utf8.h"
#include "learn/member.h"
#include "learn/reviews/internal.h"

#include <inttypes.h>

obs_review_verdict obs_review_final(const obs_review_judgement *j, const obs_review_reason *why) {
  return why->opinion != NULL ? why->opinion->verdict : j->verdict;
}

static void put_notes(const obs_review_judgement *j, const obs_review_reason *why, obs_buf *out) {
  obs_buf notes = {0};
  if (why->opinion != NULL)
    obs_buf_append(&notes, why->opinion->notes.p, why->opinion->notes.len);
  else
    obs_review_notes(j, &notes);
  if (why->undecided != NULL) obs_buf_printf(&notes, " The rules alone do not decide it: %s.", why->undecided);
  if (notes.oom) out->oom = true;
  obs_buf_json_str(out, (obs_str){notes.p, (uint32_t)obs_utf8_cut(notes.p, notes.len, OBS_REVIEW_NOTES), 0});
  obs_buf_fini(&notes);
}

static void put_item(obs_buf *out, const char *rule, const char *text, const uint64_t *seqs, uint32_t n,
                     uint64_t cluster) {
  obs_buf_printf(out, "{\"rule\":\"%s\",\"text\":", rule);
  obs_buf_json_cstr(out, text);
  obs_member_put_seqs(out, "seqs", seqs, n);
  obs_buf_printf(out, cluster != 0 ? ",\"cluster\":\"%016" PRIx64 "\"}" : ",\"cluster\":null}", cluster);
}

static void put_opinion(const obs_review_reason *why, obs_buf *out) {
  const obs_review_opinion *o = why->opinion;
  obs_buf text = {0};
  obs_buf_printf(&text, "%s was asked", why->model);
  if (o->unshown > 0) obs_buf_printf(&text, "; it cites %" PRIu32 " ops that it was not shown", o->unshown);
  obs_buf_putc(&text, '\0');
  put_item(out, "model", text.oom ? "" : text.p, o->seqs, o->nseqs, 0);
  obs_buf_fini(&text);
}

void obs_review_result(const obs_review_judgement *j, const obs_review_reason *why, obs_buf *out) {
  double confidence = why->opinion != NULL ? why->opinion->confidence : j->confidence;
  obs_buf_printf(out, "\"verdict\":\"%s\",\"confidence\":%.2f,\"notes\":",
                 obs_review_verdict_names[obs_review_final(j, why)], confidence);
  put_notes(j, why, out);
  obs_buf_printf(out, ",\"source\":\"%s\",\"evidence\":[", why->opinion != NULL ? "llm" : "heuristic");
  for (uint32_t i = 0; i < j->n; i++) {
    const obs_review_finding *f = &j->findings[i];
    if (i > 0) obs_buf_putc(out, ',');
    put_item(out, obs_review_rule_names[f->rule], f->text, f->seqs, f->nseqs, f->cluster);
  }
  if (why->opinion != NULL) {
    if (j->n > 0) obs_buf_putc(out, ',');
    put_opinion(why, out);
  }
  obs_buf_putc(out, ']');
}

bool obs_review_result_of_row(const cJSON *row, obs_review_verdict *verdict, obs_buf *out) {
  static const struct {
    const char *name;
    cJSON_bool (*is)(const cJSON *const item);
  } members[] = {{"verdict", cJSON_IsString},
                 {"confidence", cJSON_IsNumber},
                 {"notes", cJSON_IsString},
                 {"source", cJSON_IsString},
                 {"evidence", cJSON_IsArray}};
  for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, members[i].name);
    if (!members[i].is(item)) return false;
    char *text = cJSON_PrintUnformatted(item);
    if (text == NULL) return false;
    obs_buf_printf(out, "%s\"%s\":", i > 0 ? "," : "", members[i].name);
    obs_buf_puts(out, text);
    cJSON_free(text);
  }
  return obs_review_verdict_parse(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, "verdict")), verdict) &&
         !out->oom;
}
