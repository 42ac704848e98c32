/* What the builtin diagnosis says, in the form that a model's answer has too. */
#include "diagnose/sentences.h"
#include "learn/analyses/internal.h"
#include "learn/member.h"

#include <stdio.h>

/* PATTERN: from so many failures on, what they are is a pattern to avoid. */
enum { PATTERN = 3 };

static void add_sentence(obs_buf *out, void (*say)(const obs_diagnose_finding *, obs_buf *),
                         const obs_diagnose_finding *f) {
  obs_buf text = {0};
  say(f, &text);
  if (text.oom) out->oom = true;
  if (out->len > 0) obs_buf_putc(out, ' ');
  if (out->len < OBS_ANALYSES_TEXT) obs_prompt_put(out, obs_buf_view(&text), OBS_ANALYSES_TEXT - (uint32_t)out->len);
  obs_buf_fini(&text);
}

/* A part of a sentence as one of its own. */
static void add_part(obs_buf *out, const char *part) {
  if (out->len > 0) obs_buf_putc(out, ' ');
  size_t at = out->len;
  obs_buf_puts(out, part);
  if (!out->oom && out->p[at] >= 'a' && out->p[at] <= 'z') out->p[at] = (char)(out->p[at] - 'a' + 'A');
  obs_buf_putc(out, '.');
}

static void add_claim(obs_explanation *e, obs_str text, const uint64_t *seqs, uint32_t n) {
  if (e->nclaims == OBS_CLAIMS) return;
  obs_claim *c = &e->claims[e->nclaims++];
  obs_prompt_put(&c->text, text, OBS_CLAIM_TEXT);
  for (uint32_t i = 0; i < n && i < OBS_CLAIM_SEQS; i++) c->seqs[c->nseqs++] = seqs[i];
  c->grounded = c->nseqs > 0;
  e->grounded = e->grounded || c->grounded;
}

static void rest_dont_on(obs_explanation *e, const uint64_t *seqs, uint32_t n) {
  for (e->ndont_seqs = 0; e->ndont_seqs < n && e->ndont_seqs < OBS_CLAIM_SEQS; e->ndont_seqs++)
    e->dont_seqs[e->ndont_seqs] = seqs[e->ndont_seqs];
}

static void say_findings(const obs_diagnose_report *r, bool fleet, obs_explanation *e) {
  for (uint32_t i = 0; i < r->nfindings; i++) {
    const obs_diagnose_finding *f = &r->findings[i];
    obs_buf text = {0};
    obs_sentences_finding(f, &text);
    if (fleet || i == 0) add_sentence(&e->cause, obs_sentences_finding, f);
    if (i == 0) add_sentence(&e->cause, obs_sentences_cause, f);
    if (i == 0) add_sentence(&e->adjust, obs_sentences_advice, f);
    add_claim(e, obs_buf_view(&text), f->evidence, f->nevidence);
    obs_buf_fini(&text);
    if (e->dont.len > 0 || !obs_sentences_is_dont(f)) continue;
    add_sentence(&e->dont, obs_sentences_advice, f);
    rest_dont_on(e, f->evidence, f->nevidence);
  }
}

/* Nothing stands out: what the failures are is all there is to say. */
static void say_kind(const obs_diagnose_report *r, const obs_analysis *x, obs_explanation *e) {
  const obs_sentences_kind *words = obs_sentences_of_kind(x->kind);
  obs_buf text = {0};
  if (r->failures > 0)
    obs_sentences_summary(r, &text);
  else
    obs_buf_printf(&text, "%llu failures, of which the last ops tell nothing more.", (unsigned long long)x->untaken);
  obs_prompt_put(&e->cause, obs_buf_view(&text), OBS_ANALYSES_TEXT);
  add_part(&e->cause, words->cause);
  add_part(&e->adjust, words->advice);
  add_claim(e, obs_buf_view(&text), x->shown, x->nshown);
  e->vague = x->kind == OBS_ERROR_UNKNOWN;
  obs_buf_fini(&text);
  if (!words->dont || x->fleet || x->taken < PATTERN || x->nshown == 0 || x->template.p == NULL) return;
  if (x->endpoint.p != NULL) obs_buf_printf(&e->dont, "%.*s: ", (int)x->endpoint.len, x->endpoint.p);
  obs_prompt_put(&e->dont, x->template, OBS_PROMPT_TEMPLATE);
  obs_buf_printf(&e->dont, ": %s.", words->advice);
  rest_dont_on(e, x->shown, x->nshown);
}

void obs_analysis_builtin(const obs_diagnose_report *report, obs_analysis *x, obs_explanation *e) {
  x->kind = OBS_ERROR_UNKNOWN;
  for (int k = 0; k < OBS_ERROR_KIND_COUNT; k++)
    if (report->kinds[k] > report->kinds[x->kind]) x->kind = (obs_error_kind)k;
  if (report->failures == 0 && x->template.p != NULL) x->kind = obs_kinds_of(x->template);
  if (report->nfindings > 0)
    say_findings(report, x->fleet, e);
  else
    say_kind(report, x, e);
}
