/* What an analysis looks at: the cluster as it is shown, and some of its failures. */
#include "learn/analyses/internal.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "learn/member.h"

#include <stdlib.h>

/* FIRST: of the samples this many are the first untaken failures, the others the last. LINE_TEXT: bytes of a text in
 * the older observer's lines. */
enum { FIRST = 2, QUOTE_TEXT = 600, LINE_TEXT = 1000 };

/* The commonest value of one of the cluster's sets; `alone`: only when there is no other. */
static obs_str set_member(const cJSON *json, const char *name, bool alone) {
  const cJSON *set = cJSON_GetObjectItemCaseSensitive(json, name);
  const cJSON *first = set != NULL ? set->child : NULL;
  if (first == NULL || first->string == NULL || (alone && first->next != NULL)) return (obs_str){NULL, 0, 0};
  if (strcmp(first->string, "(other)") == 0) return (obs_str){NULL, 0, 0};
  return obs_str_of(first->string);
}

static bool read_cluster(obs_analyses *a, obs_analysis *x) {
  if (!obs_clusters_one_json(a->opts.clusters, x->mark.id, obs_clock_wall_ms(), &x->cluster)) return false;
  if (x->cluster.oom) return false;
  x->json = cJSON_ParseWithLength(x->cluster.p, x->cluster.len);
  if (x->json == NULL) return false;
  x->template = obs_member_text(x->json, "template");
  x->endpoint = set_member(x->json, "endpoints", false);
  x->task_class = set_member(x->json, "task_classes", true);
  x->given = obs_member_text(x->json, "sig_hash").p != NULL ? 1u << OBS_FACT_sig_hash
                                                            : 1u << OBS_FACT_endpoint | 1u << OBS_FACT_event_kind;
  return true;
}

/* Failures that were recorded before two clusters became one have the former id. */
static void follow_former_ids(obs_facts_view *v, const obs_analysis *x) {
  const cJSON *each;
  cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(x->json, "former_ids")) {
    uint64_t id;
    obs_str text = obs_item_text(each);
    if (text.p == NULL || !obs_cluster_id_parse(text, &id)) continue;
    for (uint32_t i = 0; i < v->n; i++)
      if (v->cluster[i] == id) v->cluster[i] = x->mark.id;
  }
}

static bool is_taken_now(const obs_facts_view *v, uint32_t i, const obs_analysis *x) {
  return (v->flags[i] & OBS_FACT_FAILED) != 0 && v->cluster[i] == x->mark.id && v->seq[i] > x->since &&
         v->seq[i] <= x->mark.last_seq;
}

/* The first few of the untaken failures and the last ones. */
static void sample_view(const obs_facts_view *v, obs_analysis *x) {
  uint64_t last[OBS_ANALYSES_OPS] = {0};
  uint32_t nlast = 0, i = 0;
  for (; i < v->n && x->nseqs < FIRST; i++)
    if (is_taken_now(v, i, x)) x->seqs[x->nseqs++] = v->seq[i];
  for (uint32_t k = v->n; k > i && x->nseqs + nlast < OBS_ANALYSES_OPS; k--)
    if (is_taken_now(v, k - 1, x)) last[nlast++] = v->seq[k - 1];
  while (nlast > 0) x->seqs[x->nseqs++] = last[--nlast];
}

/* The facts reach back only so far; the cluster's own samples stay. */
static void sample_cluster(obs_analysis *x) {
  const cJSON *each;
  cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(x->json, "samples")) {
    uint64_t seq = cJSON_IsNumber(each) ? (uint64_t)each->valuedouble : 0;
    if (seq > x->since && seq <= x->mark.last_seq && x->nseqs < OBS_ANALYSES_OPS) x->seqs[x->nseqs++] = seq;
  }
}

static void put_cut(obs_buf *out, obs_str s) {
  obs_buf_append(out, s.p, obs_utf8_cut(s.p, s.len, LINE_TEXT));
}

/* An error that is not there was `undefined`. */
static void put_line(obs_buf *out, const obs_op *op) {
  if (out->len > 0) obs_buf_putc(out, '\n');
  obs_buf_putc(out, '[');
  put_cut(out, op->endpoint);
  obs_buf_puts(out, "] ");
  put_cut(out, op->input_summary);
  obs_buf_puts(out, ": ");
  put_cut(out, OBS_HAS(op, error) ? op->error : OBS_STR("undefined"));
}

static void on_sample(void *arg, uint64_t seq, const obs_op *op, obs_str line) {
  obs_analysis *x = arg;
  (void)line;
  if (op->success || x->nshown == OBS_ANALYSES_OPS) return;
  x->shown[x->nshown++] = seq;
  obs_evidence_quote(op, seq, QUOTE_TEXT, &x->ops);
  obs_buf_putc(&x->ops, '\n');
  put_line(&x->lines, op);
}

bool obs_analysis_gather(obs_analyses *a, obs_analysis *x) {
  if (!read_cluster(a, x)) return false;
  follow_former_ids(&a->view, x);
  sample_view(&a->view, x);
  if (x->nseqs == 0) sample_cluster(x);
  (void)obs_evidence_rows(&a->opts.evidence, x->seqs, x->nseqs, on_sample, x);
  x->first_seq = x->nseqs > 0 ? x->seqs[0] : x->mark.first_seq;
  x->last_seq = x->mark.last_seq;
  return !x->ops.oom && !x->lines.oom;
}

void obs_analysis_fini(obs_analysis *x) {
  obs_buf_fini(&x->cluster);
  cJSON_Delete(x->json);
  obs_buf_fini(&x->ops);
  obs_buf_fini(&x->lines);
  obs_buf_fini(&x->diagnosis);
  obs_explanation_fini(&x->said);
  obs_buf_fini(&x->row);
}
