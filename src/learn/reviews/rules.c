#include "learn/reviews/rules.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "cluster/mask.h"
#include "learn/reviews/words.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

const char *const obs_review_verdict_names[OBS_REVIEW_VERDICT_COUNT] = {
#define VERDICT_NAME(verdict, name) name,
    OBS_REVIEW_VERDICTS(VERDICT_NAME)
#undef VERDICT_NAME
};

const obs_review_rule_row obs_review_rules[OBS_REVIEW_RULE_COUNT] = {
#define RULE_ROW(rule, name, weight, toward, note) {name, weight, OBS_REVIEW_##toward, note},
    OBS_REVIEW_RULES(RULE_ROW)
#undef RULE_ROW
};

static const char *const key_names[OBS_REVIEW_KEY_COUNT] = {
#define KEY_NAME(key) #key,
    OBS_REVIEW_KEYS(KEY_NAME)
#undef KEY_NAME
};

bool obs_review_verdict_parse(obs_str text, obs_review_verdict *out) {
  for (obs_review_verdict v = 0; text.p != NULL && v < OBS_REVIEW_VERDICT_COUNT; v++) {
    if (!obs_str_is(text, obs_review_verdict_names[v])) continue;
    *out = v;
    return true;
  }
  return false;
}

/* ---- what was recorded ---- */

typedef struct {
  const obs_review_subject *s;
  obs_review_record *out;
  uint64_t by_place[OBS_REVIEW_OPS]; /* of the same endpoint or task class */
  uint32_t nby_place;
} lookup;

static bool has(const obs_op *op, obs_op_field field, obs_str have, obs_str want) {
  return want.p != NULL && (op->present & OBS_BIT(field)) != 0 && obs_str_eq(have, want);
}

static bool has_key(const obs_op *op, const obs_review_subject *s, obs_review_key key) {
  switch (key) {
#define HAS_KEY(name)                                                                                                  \
  case OBS_REVIEW_KEY_##name:                                                                                          \
    return has(op, OBS_F_##name, op->name, s->keys[OBS_REVIEW_KEY_##name]);
    OBS_REVIEW_KEYS(HAS_KEY)
#undef HAS_KEY
  case OBS_REVIEW_KEY_COUNT:
    break;
  }
  return false;
}

/* Copies a text that is known to be UTF-8, cut between two characters. */
static void copy_text(char *out, size_t size, obs_str s) {
  size_t n = s.len < size ? s.len : obs_utf8_cut(s.p, s.len, size - 1);
  if (n > 0) memcpy(out, s.p, n);
  out[n] = '\0';
}

/* All that is known of the context is so of the op too, it says who asks, and it is not long ago: the op is of the same
 * chain of attempts. */
static bool in_chain(const obs_review_subject *s, const obs_op *op) {
  const struct {
    obs_op_field field;
    obs_str have, want;
    bool asker;
  } parts[] = {{OBS_F_endpoint, op->endpoint, s->endpoint, false},
               {OBS_F_task_class, op->task_class, s->task_class, false},
               {OBS_F_staffer_id, op->staffer_id, s->staffer_id, true},
               {OBS_F_cycle_id, op->cycle_id, s->keys[OBS_REVIEW_KEY_cycle_id], true},
               {OBS_F_session_id, op->session_id, s->keys[OBS_REVIEW_KEY_session_id], true},
               {OBS_F_sig_hash, op->sig_hash, s->keys[OBS_REVIEW_KEY_sig_hash], false}};
  bool asker = false;
  for (size_t i = 0; i < COUNT(parts); i++) {
    if (parts[i].want.p == NULL) continue;
    if (!has(op, parts[i].field, parts[i].have, parts[i].want)) return false;
    asker = asker || parts[i].asker;
  }
  return asker && obs_clock_receipt_ms() - op->received_ms <= OBS_REVIEW_CHAIN_MS;
}

/* Newest first. */
static bool on_op(void *arg, uint64_t seq, const obs_op *op, obs_str line) {
  lookup *l = arg;
  const obs_review_subject *s = l->s;
  obs_review_record *r = l->out;
  (void)line;
  bool at_endpoint = has(op, OBS_F_endpoint, op->endpoint, s->endpoint), by_key = false;
  bool same_endpoint = s->endpoint.p == NULL || at_endpoint;
  for (obs_review_key k = 0; k < OBS_REVIEW_KEY_COUNT; k++) {
    if (!has_key(op, s, k)) continue;
    by_key = true;
    obs_review_outcome *o = &r->last[k];
    if (o->seq != 0 && (o->same_endpoint || !same_endpoint)) continue;
    *o = (obs_review_outcome){seq, op->time_ms, op->success, same_endpoint, ""};
    bool said = OBS_HAS(op, error) && op->error.len > 0;
    copy_text(o->error, sizeof(o->error), said ? op->error : op->output_summary);
  }
  if (by_key && r->nnear < OBS_REVIEW_OPS) r->near[r->nnear++] = seq;
  if (!by_key && l->nby_place < OBS_REVIEW_OPS &&
      (at_endpoint || has(op, OBS_F_task_class, op->task_class, s->task_class)))
    l->by_place[l->nby_place++] = seq;
  bool is_subject = s->is_op && (has_key(op, s, OBS_REVIEW_KEY_op_id) || (op->time_ms == s->time_ms && at_endpoint));
  if (r->nrepeats < OBS_REVIEW_SEQS && !op->success && !is_subject && in_chain(s, op) &&
      obs_review_same_text(op->output_summary, s->text))
    r->repeats[r->nrepeats++] = seq;
  return true;
}

void obs_review_look(const obs_evidence *e, const obs_review_subject *s, obs_review_record *out) {
  lookup l = {.s = s, .out = out};
  *out = (obs_review_record){0};
  obs_evidence_recent(e, OBS_REVIEW_LOOK, on_op, &l);
  for (uint32_t i = 0; i < l.nby_place && out->nnear < OBS_REVIEW_OPS; i++) out->near[out->nnear++] = l.by_place[i];
}

/* ---- known failures: the templates of an endpoint's open clusters, looked for in a text ----
 *
 * Both are masked as failures are (mask.h), and the template's tokens must come one after the other in a line of the
 * text, a `<*>` standing for any one token. A template of fewer than two words that stay the same says too little. */

enum { TEMPLATES = 50, TEXT_TOKENS = 1024, WORDS_LEAST = 2 };

typedef struct {
  obs_mask_token *tokens; /* lines, an empty token behind each */
  size_t n, words;        /* words: without punctuation and line ends */
} masked_text;

static observer_err mask_lines(obs_str text, masked_text *out) {
  obs_mask_token line[OBS_MASK_TOKENS];
  *out = (masked_text){.tokens = malloc(TEXT_TOKENS * sizeof(obs_mask_token))};
  if (out->tokens == NULL) return OBSERVER_E_NOMEM;
  for (size_t at = 0; at < text.len;) {
    const char *nl = memchr(text.p + at, '\n', text.len - at);
    size_t end = nl != NULL ? (size_t)(nl - text.p) : text.len;
    size_t n = obs_mask((obs_str){text.p + at, (uint32_t)(end - at), 0}, line);
    if (out->n + n + 1 > TEXT_TOKENS) break;
    memcpy(out->tokens + out->n, line, n * sizeof(*line));
    out->n += n;
    out->tokens[out->n++] = (obs_mask_token){.p = ""};
    for (size_t i = 0; i < n; i++) out->words += line[i].word ? 1 : 0;
    at = end + 1;
  }
  return OBSERVER_E_OK;
}

/* The share of the text's words that the template covers; 0: it does not stand there. */
static double share_of(obs_str template, const masked_text *text) {
  static const char gap[] = "<*>", any[] = "obsanyvalue";
  obs_mask_token tokens[OBS_MASK_TOKENS];
  obs_buf buf = {0}; /* the template, a word in place of each gap, so that it is masked as one */
  for (const char *p = template.p, *end = p + template.len, *at; p < end; p = at + sizeof(gap) - 1) {
    at = memmem(p, (size_t)(end - p), gap, sizeof(gap) - 1);
    obs_buf_append(&buf, p, (size_t)((at != NULL ? at : end) - p));
    if (at == NULL) break;
    obs_buf_puts(&buf, any);
  }
  size_t n = buf.oom || buf.len == 0 ? 0 : obs_mask(obs_buf_view(&buf), tokens), words = 0, fixed = 0;
  for (size_t i = 0; i < n; i++) {
    obs_mask_token *t = &tokens[i];
    if (t->len == sizeof(any) - 1 && memcmp(t->p, any, t->len) == 0) t->value = true;
    words += t->word ? 1 : 0;
    fixed += t->word && !t->value ? 1 : 0;
  }
  bool found = false;
  for (size_t from = 0; fixed >= WORDS_LEAST && !found && from + n <= text->n; from++) {
    size_t i = 0;
    for (; i < n; i++) {
      const obs_mask_token *t = &tokens[i], *x = &text->tokens[from + i];
      bool same = !x->value && t->hash == x->hash && t->len == x->len && memcmp(t->p, x->p, t->len) == 0;
      if (!(t->value ? x->word : same)) break;
    }
    found = i == n;
  }
  obs_buf_fini(&buf);
  if (!found || text->words == 0) return 0;
  double share = (double)words / (double)text->words;
  return share < 1 ? share : 1;
}

typedef struct {
  const masked_text *text;
  uint32_t least;
  obs_review_finding *out;
  double share;
} template_search;

static bool look_at(void *arg, const obs_cluster_view *x) {
  template_search *s = arg;
  if (x->state == OBS_CLUSTER_RESOLVED || x->count < s->least || x->template.p == NULL) return true;
  double covered = share_of(x->template, s->text);
  if (covered <= s->share) return true;
  s->share = covered;
  obs_review_finding *f = s->out;
  obs_buf text = {0};
  obs_buf_puts(&text, "matches `");
  obs_buf_append(&text, x->template.p, x->template.len);
  obs_buf_printf(&text, "`, %s at this endpoint", obs_cluster_state_names[x->state]);
  copy_text(f->text, sizeof(f->text), obs_buf_view(&text));
  obs_buf_fini(&text);
  f->cluster = x->id;
  f->nseqs = 0;
  for (uint32_t i = 0; i < x->nsamples && f->nseqs < OBS_REVIEW_SEQS; i++) f->seqs[f->nseqs++] = x->samples[i];
  return true;
}

/* ---- the rules ---- */

/* A new finding of a rule, with its weight and verdict from the table. */
static obs_review_finding *add(obs_review_judgement *j, obs_review_rule rule, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static obs_review_finding *add(obs_review_judgement *j, obs_review_rule rule, const char *fmt, ...) {
  char text[OBS_REVIEW_FINDING_TEXT * 2];
  obs_review_finding *f = &j->findings[j->n++];
  *f = (obs_review_finding){
      .rule = rule, .weight = obs_review_rules[rule].weight, .toward = obs_review_rules[rule].toward};
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof(text), fmt, ap);
  va_end(ap);
  size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
  copy_text(f->text, sizeof(f->text), (obs_str){text, (uint32_t)len, 0});
  return f;
}

/* At most this much of a phrase or path is shown. */
enum { SHOWN = 60 };

static int shown(obs_str s) {
  return (int)(s.len < SHOWN ? s.len : obs_utf8_cut(s.p, s.len, SHOWN));
}

static void add_hit(obs_review_judgement *j, obs_review_rule rule, obs_review_hit hit) {
  if (hit.count > 0) (void)add(j, rule, "says `%.*s`", shown(hit.phrase), hit.phrase.p);
}

static void check_repeated(const obs_review_case *c, obs_review_judgement *j) {
  const obs_review_earlier *e = c->earlier;
  const obs_review_record *r = c->record;
  const uint32_t last = 3; /* from this attempt on, the same text again is useless */
  if ((e->count == 0 || e->answered) && r->nrepeats == 0) return;
  uint32_t attempt = c->subject->attempt != 0 ? c->subject->attempt : e->count + 1;
  obs_review_finding *f;
  if (e->count > 0 && e->last != 0)
    f = add(j, OBS_REVIEW_RULE_REPEATED, "the same text was reviewed before: %016" PRIx64 ", %s", e->last,
            obs_review_verdict_names[e->verdict]);
  else
    f = add(j, OBS_REVIEW_RULE_REPEATED, "the same text was recorded before, as a failure");
  for (uint32_t i = 0; i < r->nrepeats; i++) f->seqs[f->nseqs++] = r->repeats[i];
  if (attempt >= last) f->toward = OBS_REVIEW_REJECT;
}

/* What the subject claims beside the last outcome that was recorded; the most telling key decides. */
static void check_outcome(const obs_review_case *c, obs_str low, obs_review_judgement *j) {
  const double later = -0.8; /* an op that ended later than the recorded one may well have ended otherwise */
  const double modest = -2.5;
  const obs_review_subject *s = c->subject;
  int claim = s->success >= 0 ? (s->success > 0 ? 1 : -1) : obs_review_claim(low);
  obs_review_key key = 0;
  while (key < OBS_REVIEW_KEY_COUNT && c->record->last[key].seq == 0) key++;
  if (claim == 0 || key == OBS_REVIEW_KEY_COUNT) return;
  const obs_review_outcome *o = &c->record->last[key];
  obs_review_finding *f;
  if (o->success && claim > 0) {
    f = add(j, OBS_REVIEW_RULE_CONFIRMED, "op %" PRIu64 ", the last of its %s, succeeded", o->seq, key_names[key]);
  } else if (o->success) {
    f = add(j, OBS_REVIEW_RULE_CONTRADICTION, "claims failure, but op %" PRIu64 ", the last of its %s, succeeded",
            o->seq, key_names[key]);
    f->weight = modest;
    f->toward = OBS_REVIEW_CYCLE;
  } else if (claim > 0) {
    f = add(j, OBS_REVIEW_RULE_CONTRADICTION, "claims success, but op %" PRIu64 ", the last of its %s, failed: %s",
            o->seq, key_names[key], o->error);
  } else {
    return; /* both say failure: nothing speaks for the text */
  }
  f->seqs[f->nseqs++] = o->seq;
  if (f->rule == OBS_REVIEW_RULE_CONTRADICTION && s->is_op && key != OBS_REVIEW_KEY_op_id && s->time_ms > o->time_ms) {
    f->weight = later;
    f->toward = OBS_REVIEW_CYCLE;
  }
}

/* The template of an open cluster of the endpoint that covers most of the text. */
static observer_err check_known(const obs_review_case *c, obs_review_judgement *j) {
  const double most = 0.5, part = 0.35; /* a message quoted in a longer text weighs less */
  const obs_review_subject *s = c->subject;
  if (c->clusters == NULL || s->endpoint.p == NULL) return OBSERVER_E_OK;
  obs_clusters_filter filter = {.endpoint = s->endpoint, .state = -1, .since_ms = INT64_MIN, .page.limit = TEMPLATES};
  masked_text masked = {0};
  obs_review_finding found = {.rule = OBS_REVIEW_RULE_KNOWN_FAILURE};
  obs_page_end end;
  observer_err err = mask_lines(s->text, &masked);
  template_search search = {
      .text = &masked, .least = s->success == 0 ? 2 : 1 /* one may be this very op */, .out = &found};
  if (err == OBSERVER_E_OK)
    err = obs_clusters_each(c->clusters, &filter, obs_clock_receipt_ms(), look_at, &search, &end);
  free(masked.tokens);
  if (err != OBSERVER_E_OK || search.share <= 0) return err;
  found.weight = obs_review_rules[found.rule].weight * (search.share >= most ? 1 : part);
  found.toward = search.share >= most ? obs_review_rules[found.rule].toward : OBS_REVIEW_CYCLE;
  j->findings[j->n++] = found;
  return OBSERVER_E_OK;
}

/* A summary of an op is cut by its nature, so that it breaks off says nothing. */
static void check_shape(const obs_review_case *c, obs_str low, obs_str own, obs_review_judgement *j) {
  obs_buf lines = {0};
  obs_words_lower(c->subject->text, true, &lines);
  obs_review_hit page = obs_review_page(low, obs_buf_view(&lines)), loop = obs_review_loop(own);
  add_hit(j, OBS_REVIEW_RULE_ERROR_PAGE, page);
  obs_buf_fini(&lines);
  if (loop.count > 0) (void)add(j, OBS_REVIEW_RULE_LOOP, "says the same thing %" PRIu32 " times", loop.count);
  if (c->subject->is_op || page.count > 0 || loop.count > 0) return;
  obs_review_cut cut = obs_review_breaks_off(c->subject->text, own);
  if (cut.part <= 0) return;
  obs_review_finding *f = add(j, OBS_REVIEW_RULE_CUT_OFF, "ends in `%.*s`", (int)cut.end.len, cut.end.p);
  f->weight *= cut.part;
}

static void check_hedges(obs_str own, obs_review_judgement *j) {
  const double little = 0.3; /* of its weight, for a guess */
  obs_review_hedge hedge = obs_review_hedges(own);
  if (hedge.kind == OBS_REVIEW_NO_HEDGE) return;
  add_hit(j, OBS_REVIEW_RULE_HEDGE, hedge.hit);
  if (hedge.kind == OBS_REVIEW_GUESSED) j->findings[j->n - 1].weight *= little;
}

/* Who refuses says that it is not done, too: that is said once. */
static void check_failed(const obs_review_case *c, obs_str low, obs_str own, bool refused, obs_review_judgement *j) {
  if (c->subject->success == 0) {
    (void)add(j, OBS_REVIEW_RULE_FAILED, "the op says success is false");
    return;
  }
  obs_review_hit hit = obs_review_error(low);
  if (hit.count == 0 && !refused) hit = obs_review_undone(own);
  add_hit(j, OBS_REVIEW_RULE_FAILED, hit);
}

/* Every rule that a text which says something is held against. */
static observer_err check_all(const obs_review_case *c, obs_str low, obs_str said, obs_str own,
                              obs_review_judgement *j) {
  enum { MOST = 3 }; /* unsupported claims that add up */
  const obs_review_hit refused = obs_review_refusal(own);
  add_hit(j, OBS_REVIEW_RULE_REFUSAL, refused);
  check_shape(c, low, own, j);
  check_hedges(own, j);
  add_hit(j, OBS_REVIEW_RULE_INSTRUCTIONS, obs_review_orders(low));
  check_failed(c, low, own, refused.count > 0, j);
  check_outcome(c, low, j);
  check_repeated(c, j);
  add_hit(j, OBS_REVIEW_RULE_PLACEHOLDER, obs_review_placeholder(said, own, low));
  obs_review_hit claim = obs_review_unsupported(low);
  if (claim.count > 0) {
    obs_review_finding *f = add(j, OBS_REVIEW_RULE_UNSUPPORTED, "claims `%.*s`%s without a number or a place",
                                shown(claim.phrase), claim.phrase.p, claim.count > 1 ? " and more" : "");
    f->weight *= 0.5 * (1 + (claim.count < MOST ? claim.count : MOST));
  }
  obs_str what = obs_review_concrete(low);
  if (what.p != NULL) (void)add(j, OBS_REVIEW_RULE_CONCRETE, "gives `%.*s`", shown(what), what.p);
  return check_known(c, j);
}

observer_err obs_review_judge(const obs_review_case *c, obs_review_judgement *out) {
  obs_buf low = {0}, said = {0}, own = {0};
  observer_err err = OBSERVER_E_OK;
  *out = (obs_review_judgement){.n = 0};
  obs_review_lower(c->subject->text, &low);
  obs_review_said(c->subject->text, &said);
  obs_words_lower(obs_buf_view(&said), true, &own);
  obs_str text = obs_buf_view(&low);
  if (low.oom || said.oom || own.oom)
    err = OBSERVER_E_NOMEM;
  else if (obs_review_is_empty(text))
    (void)add(out, OBS_REVIEW_RULE_EMPTY, "the text says nothing");
  else
    err = check_all(c, text, obs_buf_view(&said), obs_buf_view(&own), out);
  obs_buf_fini(&own);
  obs_buf_fini(&said);
  obs_buf_fini(&low);

  const obs_review_finding *worst = NULL;
  for (uint32_t i = 0; i < out->n; i++) {
    out->sum += out->findings[i].weight;
    if (worst == NULL || out->findings[i].weight < worst->weight) worst = &out->findings[i];
  }
  out->verdict = out->sum < 0 && worst != NULL ? worst->toward : OBS_REVIEW_ACCEPT;
  out->confidence = 1 / (1 + exp(-fabs(out->sum)));
  out->decisive = fabs(out->sum) >= OBS_REVIEW_DECISIVE;
  return err;
}

void obs_review_notes(const obs_review_judgement *j, obs_buf *out) {
  enum { SENTENCES = 3 };
  bool named[OBS_REVIEW_FINDINGS] = {false};
  for (uint32_t n = 0; n < SENTENCES; n++) {
    int best = -1;
    for (uint32_t i = 0; i < j->n; i++) {
      bool speaks = (j->findings[i].weight < 0) == (j->sum < 0);
      bool more = best < 0 || fabs(j->findings[i].weight) > fabs(j->findings[best].weight);
      if (speaks && !named[i] && more) best = (int)i;
    }
    if (best < 0) break;
    named[best] = true;
    obs_buf_printf(out, "%s%s", n > 0 ? " " : "", obs_review_rules[j->findings[best].rule].note);
  }
}
