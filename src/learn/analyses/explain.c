/* What one analysis says: the cluster and some of its failures are gathered, diagnosed, and a model is asked. */
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/utf8.h"
#include "cluster/cluster_json.h"
#include "diagnose/sentences.h"
#include "learn/analyses/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

/* FIRST: of the samples this many are the first untaken failures, the others the last. LINE_TEXT: bytes of a text in
 * the older observer's lines. PATTERN: from so many failures on, what they are is a pattern to avoid. */
enum { FIRST = 2, QUOTE_TEXT = 600, LINE_TEXT = 1000, PATTERN = 3, PRINT_SEED = 0x6b696e64 };

static const obs_str none = {NULL, 0, 0};

/* ---- gathering ---- */

typedef struct {
  obs_facts_view *facts;
  obs_analysis *x;
} gathering;

static obs_str keep_text(obs_analysis *x, obs_str text) {
  if (text.p == NULL || text.len > sizeof(x->texts) - x->ntexts) return none;
  char *at = memcpy(x->texts + x->ntexts, text.p, text.len);
  x->ntexts += text.len;
  return (obs_str){at, text.len, 0};
}

/* Failures that were recorded before two clusters became one have the former id: in the facts they get the new one. */
static void read_cluster(void *arg, const obs_cluster_view *c) {
  gathering *g = arg;
  obs_analysis *x = g->x;
  obs_json_writer w = obs_json_write(&x->cluster);
  obs_cluster_view_json(&w, c, OBS_CLUSTER_WHOLE);
  x->template = keep_text(x, c->template);
  if (c->endpoints.n > 0) x->endpoint = keep_text(x, c->endpoints.v[0].value);
  if (c->task_classes.n == 1 && c->task_classes.other == 0) x->task_class = keep_text(x, c->task_classes.v[0].value);
  memcpy(x->samples, c->samples, sizeof(x->samples));
  x->nsamples = c->nsamples;
  obs_map former = {0};
  for (uint32_t k = 0; k < c->nformer_ids; k++)
    if (!obs_map_put(&former, c->former_ids[k], 0)) x->cluster.oom = true;
  for (uint32_t i = 0; former.n > 0 && i < g->facts->n; i++)
    if (obs_map_get(&former, g->facts->cluster[i], NULL)) g->facts->cluster[i] = x->brief.id;
  obs_map_fini(&former);
}

static bool is_taken_now(const obs_facts_view *v, uint32_t i, const obs_analysis *x) {
  return (v->flags[i] & OBS_FACT_FAILED) != 0 && v->cluster[i] == x->brief.id && v->seq[i] > x->since &&
         v->seq[i] <= x->brief.last_seq;
}

/* Quotes the op for the model, and writes it as the older observer did: an error that is not there was `undefined`. */
static void on_sample(void *arg, uint64_t seq, const obs_op *op, obs_str line) {
  obs_analysis *x = arg;
  const obs_str parts[] = {op->endpoint, op->input_summary, OBS_HAS(op, error) ? op->error : OBS_STR("undefined")};
  static const char *const before[] = {"[", "] ", ": "};
  (void)line;
  if (op->success || x->nshown == OBS_ANALYSES_OPS) return;
  x->shown[x->nshown++] = seq;
  obs_evidence_quote(op, seq, QUOTE_TEXT, &x->ops);
  obs_buf_putc(&x->ops, '\n');
  if (x->lines.len > 0) obs_buf_putc(&x->lines, '\n');
  for (int i = 0; i < 3; i++) {
    obs_buf_puts(&x->lines, before[i]);
    obs_buf_append(&x->lines, parts[i].p, obs_utf8_cut(parts[i].p, parts[i].len, LINE_TEXT));
  }
}

bool obs_analysis_meet(obs_analyses *a, obs_analysis *x) {
  gathering g = {.facts = &a->view, .x = x};
  return obs_clusters_one(a->opts->clusters, x->brief.id, obs_clock_receipt_ms(), read_cluster, &g) && !x->cluster.oom;
}

bool obs_analysis_gather(obs_analyses *a, obs_analysis *x) {
  const obs_facts_view *v = &a->view;
  uint64_t last[OBS_ANALYSES_OPS] = {0};
  uint32_t nlast = 0, i = 0;

  /* The first few of the untaken failures and the last ones. */
  for (; i < v->n && x->nseqs < FIRST; i++)
    if (is_taken_now(v, i, x)) x->seqs[x->nseqs++] = v->seq[i];
  for (uint32_t k = v->n; k > i && x->nseqs + nlast < OBS_ANALYSES_OPS; k--)
    if (is_taken_now(v, k - 1, x)) last[nlast++] = v->seq[k - 1];
  while (nlast > 0) x->seqs[x->nseqs++] = last[--nlast];
  /* The facts reach back only so far; the cluster's own samples stay. */
  uint32_t own = x->nseqs == 0 ? x->nsamples : 0;
  for (uint32_t k = 0; k < own && x->nseqs < OBS_ANALYSES_OPS; k++)
    if (x->samples[k] > x->since && x->samples[k] <= x->brief.last_seq) x->seqs[x->nseqs++] = x->samples[k];

  (void)obs_evidence_rows(&a->tools->evidence, x->seqs, x->nseqs, on_sample, x);
  x->first_seq = x->nseqs > 0 ? x->seqs[0] : x->brief.first_seq;
  x->last_seq = x->brief.last_seq;
  return !x->ops.oom && !x->lines.oom;
}

/* ---- the builtin diagnosis ---- */

obs_error_kind obs_analysis_kind(const obs_diagnose_report *r, const obs_analysis *x) {
  return r->failures == 0 && x->template.p != NULL ? obs_error_kinds_of(x->template) : obs_sentences_most(r);
}

bool obs_analysis_diagnose(obs_analyses *a, obs_analysis *x) {
  const obs_diagnose_request request = {.cluster = x->fleet ? 0 : x->brief.id, .since = x->fleet ? 0 : x->since + 1};
  observer_err err = obs_diagnose(&a->view, &request, &a->report);
  if (err != OBSERVER_E_OK) {
    obs_log_error("learn", "diagnosis: %s", observer_strerror(err));
    return false;
  }
  a->report.of_cluster = !x->fleet;
  for (uint32_t i = 0; i < a->report.nfindings; i++) a->report.findings[i].of_cluster = !x->fleet;
  x->print = obs_analyses_print(&a->report);
  if (!x->fleet && x->print == 0) { /* what the failures are, whether there is a don't, and too few to tell more */
    const obs_error_kind kind = obs_analysis_kind(&a->report, x);
    const uint64_t parts[] = {kind,
                              obs_sentences_of_kind(kind, a->report.input_works)->dont != NULL && x->taken >= PATTERN,
                              a->report.failures < OBS_DIAGNOSE_LEAST};
    x->print = XXH64(parts, sizeof(parts), PRINT_SEED);
  }
  return true;
}

/* Whole sentences, as many as there is room for. False: there was none for this one. */
static bool add_sentence(obs_buf *out, const obs_buf *text) {
  if (text->oom) out->oom = true;
  if (out->oom || out->len + text->len + 1 > OBS_ANALYSES_TEXT) return false;
  if (out->len > 0 && text->len > 0) obs_buf_putc(out, ' ');
  obs_buf_append(out, text->p, text->len);
  return true;
}

static bool say(obs_buf *out, void (*sentence)(const obs_diagnose_finding *, obs_buf *),
                const obs_diagnose_finding *f) {
  obs_buf text = {0};
  sentence(f, &text);
  bool said = add_sentence(out, &text);
  obs_buf_fini(&text);
  return said;
}

/* Makes a part of a sentence a whole one: capital letter, full stop. */
static void add_part(obs_buf *out, const char *part) {
  if (out->len > 0) obs_buf_putc(out, ' ');
  size_t at = out->len;
  obs_buf_puts(out, part);
  if (!out->oom && out->p[at] >= 'a' && out->p[at] <= 'z') out->p[at] = (char)(out->p[at] - 'a' + 'A');
  obs_buf_putc(out, '.');
}

static void add_claim(obs_prompt_explanation *e, obs_str text, const uint64_t *seqs, uint32_t n) {
  if (e->nclaims == OBS_PROMPT_CLAIMS) return;
  obs_prompt_claim *c = &e->claims[e->nclaims++];
  obs_prompt_put(&c->text, text, OBS_PROMPT_CLAIM_TEXT);
  for (uint32_t i = 0; i < n && i < OBS_PROMPT_CLAIM_SEQS; i++) c->seqs[c->nseqs++] = seqs[i];
  c->grounded = c->nseqs > 0;
  e->grounded = e->grounded || c->grounded;
}

static void rest_dont_on(obs_prompt_explanation *e, const uint64_t *seqs, uint32_t n) {
  for (e->ndont_seqs = 0; e->ndont_seqs < n && e->ndont_seqs < OBS_PROMPT_CLAIM_SEQS; e->ndont_seqs++)
    e->dont_seqs[e->ndont_seqs] = seqs[e->ndont_seqs];
}

/* Each finding, the first one's likely cause, and what to do about each; what helps against a kind of error once. */
static void say_findings(const obs_diagnose_report *r, obs_prompt_explanation *e) {
  uint32_t kinds = 0, left_out = 0; /* kinds: bits of those that advice was given about */
  bool named = false;
  for (uint32_t i = 0; i < r->nfindings; i++) {
    const obs_diagnose_finding *f = &r->findings[i];
    const uint32_t kind = 1u << f->error;
    named = named || f->nconditions > 0;
    obs_buf text = {0};
    obs_sentences_finding(f, &text);
    add_claim(e, obs_buf_view(&text), f->evidence, f->nevidence);
    if (add_sentence(&e->cause, &text)) {
      if (i == 0) (void)say(&e->cause, obs_sentences_cause, f);
      (void)say(&e->adjust, (kinds & kind) != 0 ? obs_sentences_action : obs_sentences_advice, f);
      kinds |= kind;
    } else {
      left_out++;
    }
    obs_buf_fini(&text);
    if (e->dont.len > 0 || !obs_sentences_is_dont(f)) continue;
    (void)say(&e->dont, obs_sentences_dont, f);
    rest_dont_on(e, f->evidence, f->nevidence);
  }
  e->vague = !named;
  if (left_out > 0)
    obs_buf_printf(&e->cause, " The diagnosis has %" PRIu32 " more finding%s.", left_out, left_out == 1 ? "" : "s");
}

/* Nothing stands out: what the failures are is all there is to say. */
static void say_kind(const obs_diagnose_report *r, const obs_analysis *x, obs_prompt_explanation *e) {
  const obs_error_kind kind = obs_analysis_kind(r, x);
  const obs_sentences_kind *words = obs_sentences_of_kind(kind, r->input_works);
  obs_buf text = {0};
  if (r->failures > 0)
    obs_sentences_summary(r, &text);
  else
    obs_buf_printf(&text, "%" PRIu64 " failure%s, older than what is kept for a diagnosis.", x->untaken,
                   x->untaken == 1 ? "" : "s");
  obs_prompt_put(&e->cause, obs_buf_view(&text), OBS_ANALYSES_TEXT);
  if (kind == OBS_ERROR_UNKNOWN && x->template.p != NULL) {
    obs_buf_puts(&e->cause, " No built-in error kind matches: ");
    obs_buf_json_str(&e->cause, obs_utf8_cut_str(x->template, OBS_PROMPT_TEMPLATE));
    obs_buf_putc(&e->cause, '.');
  } else {
    add_part(&e->cause, words->cause);
  }
  add_part(&e->adjust, words->advice);
  add_claim(e, obs_buf_view(&text), x->shown, x->nshown);
  e->vague = true; /* what a kind of failure asks for is no cause of these */
  obs_buf_fini(&text);
  if (words->dont == NULL || x->fleet || x->taken < PATTERN || x->nshown == 0 || x->template.p == NULL) return;
  if (x->endpoint.p != NULL) obs_buf_printf(&e->dont, "%.*s: ", (int)x->endpoint.len, x->endpoint.p);
  obs_prompt_put(&e->dont, x->template, OBS_PROMPT_TEMPLATE);
  obs_buf_printf(&e->dont, ": %s.", words->dont);
  rest_dont_on(e, x->shown, x->nshown);
}

/* ---- the model ---- */

/* False: the daemon stops. */
static bool ask_model(obs_analyses *a, obs_analysis *x, obs_prompt_explanation *said) {
  obs_buf prompt = {0}, known = {0};
  obs_llm_answer answer = {.end = OBS_CALL_FAILED};
  /* Two questions about a cluster differ in what was analysed before them. 0 would be no key. */
  const uint64_t parts[] = {x->brief.id, x->since};
  uint64_t key = XXH64(parts, sizeof(parts), 0);
  if (key == 0) key = 1;

  obs_json_writer w = obs_json_write(&known);
  obs_json_object(&w, NULL);
  obs_json_text(&w, "cause", obs_buf_view(&x->said.cause));
  obs_json_array(&w, "statistics");
  for (uint32_t i = 0; i < x->said.nclaims; i++) obs_json_text(&w, NULL, obs_buf_view(&x->said.claims[i].text));
  obs_json_end(&w);
  obs_json_end(&w);
  obs_prompt_question(OBS_STR("Diagnose this cluster of failures."), obs_buf_view(&x->cluster), obs_buf_view(&known),
                      obs_buf_view(&x->ops), &prompt);

  if (known.oom || prompt.oom)
    (void)snprintf(x->model_error, sizeof(x->model_error), "%s", observer_strerror(OBSERVER_E_NOMEM));
  else if (!obs_llm_ask(a->tools->model, "analysis", key, obs_prompt_system(), obs_buf_view(&prompt), &answer))
    (void)snprintf(x->model_error, sizeof(x->model_error), "%s", answer.error);
  else
    x->by_model =
        obs_prompt_read(obs_buf_view(&answer.text), x->shown, x->nshown, said, x->model_error, sizeof(x->model_error));
  bool stopped = answer.end == OBS_CALL_STOPPED;
  x->late = answer.end == OBS_CALL_TIMEOUT;
  obs_llm_answer_fini(&answer);
  obs_buf_fini(&prompt);
  obs_buf_fini(&known);
  return !stopped;
}

bool obs_analysis_explain(obs_analyses *a, obs_analysis *x) {
  const obs_diagnose_report *report = &a->report;
  obs_prompt_explanation model = {0};
  bool going_on = true;
  obs_json_writer w = obs_json_write(&x->diagnosis);
  obs_sentences_json(&w, report);
  if (report->nfindings > 0)
    say_findings(report, &x->said);
  else
    say_kind(report, x, &x->said);

  if (a->tools->model != NULL && !x->fleet) going_on = ask_model(a, x, &model);
  if (x->by_model) { /* its answer takes the builtin's place; without a don't of its own the builtin's stays */
    obs_prompt_explanation builtin = x->said;
    x->said = model;
    model = builtin;
    if (x->said.dont.len == 0) {
      obs_buf_fini(&x->said.dont);
      x->said.dont = model.dont;
      model.dont = (obs_buf){0};
      memcpy(x->said.dont_seqs, model.dont_seqs, sizeof(model.dont_seqs));
      x->said.ndont_seqs = model.ndont_seqs;
    }
  }
  obs_prompt_explanation_fini(&model);
  return going_on;
}

void obs_analysis_fini(obs_analysis *x) {
  obs_buf_fini(&x->cluster);
  obs_buf_fini(&x->ops);
  obs_buf_fini(&x->lines);
  obs_buf_fini(&x->diagnosis);
  obs_prompt_explanation_fini(&x->said);
}
