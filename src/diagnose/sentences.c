#include "diagnose/sentences.h"

#include "diagnose/words.h"

#include <inttypes.h>
#include <stdio.h>

/* OLD_MS: a finding whose last failure is older says when that was. */
enum { OLD_MS = 3600000 };

/* What is likely behind each kind of error, what to do about it, what not to do. */
static const obs_sentences_kind by_error[OBS_ERROR_KIND_COUNT] = {
    [OBS_ERROR_UNKNOWN] = {"the error texts match no built-in kind", "look at the cited ops before trying again", NULL},
    [OBS_ERROR_RATE_LIMIT] = {"more calls are made than the other side allows",
                              "spread calls out, and wait longer after each refusal",
                              "do not retry a refused call at once"},
    [OBS_ERROR_TIMEOUT] = {"the other side answers too slowly or not at all",
                           "try again later, with a longer pause each time", NULL},
    [OBS_ERROR_REFUSED] = {"the other side is down or cannot be reached", "check that it is up before calling it",
                           NULL},
    [OBS_ERROR_AUTH] = {"credentials are missing, expired or not sufficient",
                        "have the credentials renewed or the permission granted",
                        "do not repeat a call with the same credentials"},
    [OBS_ERROR_RESOURCE] = {"a resource is exhausted or locked: memory, disk, context, connections, a database",
                            "ask for less at a time and wait between tries, or have the capacity raised",
                            "do not repeat the same request at once"},
    [OBS_ERROR_CRASH] = {"the program that was called crashes", "report the cited ops to whoever maintains it",
                         "do not repeat the call that made it crash"},
    [OBS_ERROR_NOT_FOUND] = {"the names or ids used do not exist", "look the name up before using it",
                             "do not guess names or ids"},
    [OBS_ERROR_VALIDATION] = {"the input does not have the required form",
                              "check the input against the schema before the call", "do not send the same input again"},
};

/* What ops do that fail so: of many, of one ("a staffer ..."), and in the past. */
typedef struct {
  const char *past, *one, *many;
} verb;
static const verb fails = {"failed", "fails", "fail"},
                  fails_so = {"failed this way", "fails this way", "fail this way"};
static const verb verbs[OBS_ERROR_KIND_COUNT] = {
    [OBS_ERROR_UNKNOWN] = {"failed", "fails", "fail"},
    [OBS_ERROR_RATE_LIMIT] = {"met a rate limit", "meets a rate limit", "meet a rate limit"},
    [OBS_ERROR_TIMEOUT] = {"timed out", "times out", "time out"},
    [OBS_ERROR_REFUSED] = {"could not connect", "cannot connect", "cannot connect"},
    [OBS_ERROR_AUTH] = {"were denied access", "is denied access", "are denied access"},
    [OBS_ERROR_RESOURCE] = {"ran out of a resource", "runs out of a resource", "run out of a resource"},
    [OBS_ERROR_CRASH] = {"crashed", "crashes", "crash"},
    [OBS_ERROR_NOT_FOUND] = {"asked for what does not exist", "asks for what does not exist",
                             "ask for what does not exist"},
    [OBS_ERROR_VALIDATION] = {"had their input rejected", "has its input rejected", "have their input rejected"},
};
_Static_assert(OBS_ERROR_KIND_COUNT == 9, "each kind has its words");

/* Of an input that was rejected, but mostly is not. */
static const obs_sentences_kind of_good_input = {
    "some data was not valid, and it was not the input: the same input mostly works",
    "try again, and have it found out which data was not valid", NULL};

const obs_sentences_kind *obs_sentences_of_kind(obs_error_kind kind, bool input_works) {
  return kind == OBS_ERROR_VALIDATION && input_works ? &of_good_input : &by_error[kind];
}

static const obs_sentences_kind *kind_of(const obs_diagnose_finding *f) {
  return obs_sentences_of_kind(f->error, f->input_works);
}

static const char *phrase_of(obs_error_kind kind, bool input_works) {
  return kind == OBS_ERROR_VALIDATION && input_works ? "invalid data" : obs_error_kind_phrases[kind];
}

/* ---- what was found ---- */

/* Of one kind alone its verb says which; so does that of a cluster of refusals, which are one kind. */
static bool names_kind(const obs_diagnose_finding *f) {
  return f->by_kind || (f->of_cluster && f->error == OBS_ERROR_RATE_LIMIT);
}

static const verb *verb_of(const obs_diagnose_finding *f) {
  return names_kind(f) ? &verbs[f->error] : f->of_cluster ? &fails_so : &fails;
}

/* When it began, at the start of the sentence. */
static void put_range(obs_buf *out, const obs_diagnose_finding *f) {
  if (f->cause == OBS_CAUSE_REGRESSION) {
    obs_buf_printf(out, "Since the correction of op %" PRIu64 ", ", f->correction_seq);
    return;
  }
  if (f->cause == OBS_CAUSE_SHARE) {
    if (f->until_seq > 0) {
      obs_buf_puts(out, "Until ");
      obs_words_time(out, f->last_ms, INT64_MIN);
      obs_buf_puts(out, ", ");
    }
    return;
  }
  obs_buf_puts(out, f->until_seq > 0 ? "From " : "Since ");
  obs_words_time(out, f->from_ms, INT64_MIN);
  obs_buf_printf(out, " (op %" PRIu64 ")", f->from_seq);
  if (f->until_seq > 0) { /* a time: of a spool that came late, the first op behind it may have a lower number */
    obs_buf_puts(out, " until ");
    obs_words_time(out, f->last_ms, f->from_ms);
  }
  obs_buf_puts(out, ", ");
}

/* Whether the others fail nearly as often, but for other causes: then the difference shows only beside those that have
 * none of these. */
static bool others_have_causes(const obs_diagnose_finding *f) {
  const double own = (double)f->failures / (double)f->ops;
  return f->unexplained_ops > 0 && f->unexplained_ops < f->rest_ops &&
         2.0 * (double)f->rest_failures / (double)f->rest_ops > own &&
         (double)f->unexplained_failures / (double)f->unexplained_ops < (double)f->rest_failures / (double)f->rest_ops;
}

/* `41 of 102 ops with staffer_id "qwen3-coder" failed (40 %); of the other 3,898, 0.3 %` */
static void put_shares(obs_buf *out, const obs_diagnose_finding *f) {
  bool always = f->nconditions == 0 && f->until_seq == 0; /* what is not of it came before */
  bool narrow = others_have_causes(f);
  if (f->nconditions == 0 && f->rest_ops == 0 && f->failures == f->ops) {
    obs_buf_puts(out, "All ");
    obs_words_ops(out, f->ops);
    obs_buf_printf(out, " %s", verb_of(f)->past);
    return;
  }
  obs_words_count(out, f->failures);
  obs_buf_puts(out, " of ");
  obs_words_ops(out, f->ops);
  obs_words_conditions(out, f, -1, false);
  obs_buf_printf(out, " %s (", verb_of(f)->past);
  obs_words_percent(out, f->failures, f->ops);
  obs_buf_putc(out, ')');
  if (f->rest_ops == 0) return;
  obs_buf_puts(out, always ? "; of the " : "; of the other ");
  obs_words_count(out, narrow ? f->unexplained_ops : f->rest_ops);
  obs_buf_puts(out, always ? " before" : "");
  obs_buf_puts(out, narrow ? " that have none of the other causes, " : ", ");
  if (narrow)
    obs_words_percent(out, f->unexplained_failures, f->unexplained_ops);
  else
    obs_words_percent(out, f->rest_failures, f->rest_ops);
}

/* Facts keep durations in 32 bits: the largest stands for longer ones, too. */
static void put_ms(obs_buf *out, uint32_t ms) {
  obs_words_count(out, ms);
  obs_buf_puts(out, ms < UINT32_MAX ? " ms" : " ms or more");
}

void obs_sentences_finding(const obs_diagnose_finding *f, obs_buf *out) {
  put_range(out, f);
  if (f->cause == OBS_CAUSE_SLOW) {
    obs_buf_puts(out, "ops");
    obs_words_conditions(out, f, -1, false);
    obs_buf_puts(out, " take ");
    put_ms(out, f->ms_after);
    obs_buf_puts(out, ", typically; ");
    put_ms(out, f->ms_before);
    obs_buf_puts(out, f->failures > 0 ? " before; " : " before");
  }
  if (f->cause != OBS_CAUSE_SLOW || f->failures > 0) put_shares(out, f);
  if (f->failures > 0 && f->error != OBS_ERROR_UNKNOWN && !names_kind(f))
    obs_buf_printf(out, "; mostly %s", phrase_of(f->error, f->input_works));
  if (f->at_ms > 0) {
    obs_buf_puts(out, f->at_ms < UINT32_MAX ? "; most after about " : "; most after ");
    put_ms(out, f->at_ms);
  }
  if (f->per_minute > 0) {
    obs_buf_puts(out, "; in minutes with ");
    obs_words_count(out, f->per_minute);
    obs_buf_puts(out, " or more of them");
  }
  if (f->deploy_seq > 0) {
    obs_buf_puts(out, "; it began shortly after ");
    obs_buf_json_cstr(out, f->deploy);
    obs_buf_printf(out, " (op %" PRIu64 ")", f->deploy_seq);
  }
  if (f->same.field[0] != '\0') {
    obs_buf_printf(out, "; %s ", f->same.field);
    obs_buf_json_cstr(out, f->same.name);
    obs_buf_puts(out, " always comes with it, and may be the cause as well");
  }
  obs_buf_putc(out, '.');
}

/* A part of a sentence begins one. */
static void put_capital(obs_buf *out, const char *part) {
  obs_buf_putc(out, part[0] >= 'a' && part[0] <= 'z' ? (char)(part[0] - 'a' + 'A') : part[0]);
  obs_buf_puts(out, part + 1);
}

void obs_sentences_cause(const obs_diagnose_finding *f, obs_buf *out) {
  size_t at = out->len;
  if (f->cause == OBS_CAUSE_REGRESSION) {
    obs_buf_printf(out, "The correction of op %" PRIu64 " made it worse", f->correction_seq);
  } else if (f->deploy_seq > 0) {
    obs_buf_puts(out, "A change shortly before, ");
    obs_buf_json_cstr(out, f->deploy);
  } else if (f->cause == OBS_CAUSE_SLOW) {
    obs_buf_puts(out, "What ops");
    obs_words_conditions(out, f, -1, false);
    obs_buf_puts(out, " depend on has become slow");
  }
  if (out->len > at && f->failures > 0)
    obs_buf_printf(out, "; %s", kind_of(f)->cause);
  else if (out->len == at)
    put_capital(out, kind_of(f)->cause);
  obs_buf_putc(out, '.');
}

/* ---- what to do ---- */

/* What to do about a condition, the first that applies. */
typedef enum { TO_ANOTHER, WITHIN, OUTSIDE, SET, ELSEWHERE, EXPECT } deed;

static deed deed_of(const obs_diagnose_condition *c) {
  if (obs_words_moment_of(c->field) != NULL) return OUTSIDE;
  if (c->relation == OBS_RELATION_ABOVE || c->relation == OBS_RELATION_AT_MOST) return WITHIN;
  if (c->relation == OBS_RELATION_ABSENT) return SET;
  if (strcmp(c->field, "staffer_id") == 0) return TO_ANOTHER;
  return strcmp(c->field, "endpoint") == 0 ? ELSEWHERE : EXPECT;
}

/* The condition that an agent can do most about. */
static int chosen_of(const obs_diagnose_finding *f) {
  int best = -1;
  for (uint32_t k = 0; k < f->nconditions; k++)
    if (best < 0 || deed_of(&f->conditions[k]) < deed_of(&f->conditions[best])) best = (int)k;
  return best;
}

/* A part of a sentence. `whole`: it says of what, and until when. */
static void put_deed(obs_buf *out, const obs_diagnose_finding *f, bool whole) {
  int chosen = chosen_of(f);
  const obs_diagnose_condition *c = chosen >= 0 ? &f->conditions[chosen] : NULL;
  if (whole && f->nconditions > 1 && deed_of(c) != EXPECT && deed_of(c) != ELSEWHERE) {
    obs_buf_puts(out, "for ops");
    obs_words_conditions(out, f, chosen, false);
    obs_buf_puts(out, ", ");
  }
  if (c == NULL) {
    obs_buf_puts(out, "all ops are affected: put off what can wait");
    return;
  }
  switch (deed_of(c)) {
  case TO_ANOTHER:
    obs_buf_puts(out, "give the work");
    if (whole) obs_buf_puts(out, " of staffer_id ");
    if (whole) obs_words_values(out, c, false);
    obs_buf_puts(out, " to another");
    break;
  case WITHIN:
    obs_buf_printf(out, c->relation == OBS_RELATION_ABOVE ? "keep %s at %.15g or less" : "keep %s above %.15g",
                   c->field, c->number);
    break;
  case OUTSIDE:
    obs_buf_printf(out, "move the calls to another %s%s", obs_words_moment_of(c->field)->before,
                   obs_words_moment_of(c->field)->after);
    break;
  case SET:
    obs_buf_printf(out, "set %s", c->field);
    return;
  case ELSEWHERE:
  case EXPECT:
    obs_buf_puts(out, "expect failures");
    if (whole) obs_buf_puts(out, " of ops");
    if (whole) obs_words_conditions(out, f, -1, false);
  }
  if (whole) obs_buf_puts(out, " until this is fixed");
}

static void put_action(obs_buf *out, const obs_diagnose_finding *f) {
  if (f->cause == OBS_CAUSE_REGRESSION) {
    obs_buf_printf(out, "work without the correction of op %" PRIu64 ", or correct it", f->correction_seq);
  } else if (f->per_minute > 0) {
    obs_buf_puts(out, "keep ops");
    obs_words_conditions(out, f, -1, false);
    obs_buf_puts(out, " below ");
    obs_words_count(out, f->per_minute);
    obs_buf_puts(out, " a minute");
  } else if (f->cause == OBS_CAUSE_SLOW) {
    obs_buf_puts(out, "allow ops");
    obs_words_conditions(out, f, -1, false);
    obs_buf_putc(out, ' ');
    obs_words_count(out, f->ms_after);
    obs_buf_puts(out, " ms or more until this is fixed");
  } else {
    put_deed(out, f, true);
  }
}

static void put_whole(obs_buf *out, const obs_diagnose_finding *f, bool kind) {
  size_t at = out->len;
  if (f->until_seq > 0) {
    obs_buf_puts(out, "Nothing to do now: it is over.");
    return;
  }
  put_action(out, f);
  if (!out->oom && out->len > at) out->p[at] = (char)(out->p[at] - 'a' + 'A'); /* each begins with a small letter */
  if (kind) obs_buf_printf(out, "; %s", kind_of(f)->advice);
  obs_buf_putc(out, '.');
}

void obs_sentences_action(const obs_diagnose_finding *f, obs_buf *out) {
  put_whole(out, f, false);
}

void obs_sentences_advice(const obs_diagnose_finding *f, obs_buf *out) {
  put_whole(out, f, f->failures > 0);
}

bool obs_sentences_is_dont(const obs_diagnose_finding *f) {
  return f->nconditions > 0 && f->failures > 0 && kind_of(f)->dont != NULL;
}

void obs_sentences_dont(const obs_diagnose_finding *f, obs_buf *out) {
  if (!obs_sentences_is_dont(f)) return;
  obs_buf_puts(out, "For ops");
  obs_words_conditions(out, f, -1, false);
  obs_buf_printf(out, ", %s.", kind_of(f)->dont);
}

/* ---- in brief ---- */

static bool blames_place(const obs_diagnose_condition *c, const obs_diagnose_place *place) {
  if (place == NULL || c->relation != OBS_RELATION_IS || strcmp(c->field, "endpoint") != 0) return false;
  for (uint32_t i = 0; i < c->nvalues; i++)
    if (strcmp(c->values[i], place->endpoint) == 0) return true;
  return false;
}

/* What a field is called where one of its values stands for those who have it. */
static const char *noun_of(const char *field) {
  static const char *const nouns[][2] = {{"staffer_id", "staffer"},    {"task_class", "task class"},
                                         {"event_kind", "event kind"}, {"session_id", "session"},
                                         {"cycle_id", "cycle"},        {"sig_hash", "the task of sig_hash"}};
  for (size_t i = 0; i < sizeof(nouns) / sizeof(*nouns); i++)
    if (strcmp(nouns[i][0], field) == 0) return nouns[i][1];
  return field;
}

/* `staffer qwen3-coder`, `ops without city`, `/v1/chat`. True: one, false: many. */
static bool put_subject(obs_buf *out, const obs_diagnose_finding *f, const obs_diagnose_place *place) {
  int here = -1;
  for (uint32_t k = 0; k < f->nconditions; k++)
    if (blames_place(&f->conditions[k], place)) here = (int)k;
  uint32_t others = f->nconditions - (here >= 0);
  if (f->nconditions == 0) {
    obs_buf_puts(out, "everything");
    return true;
  }
  if (others == 0) {
    obs_words_value(out, place->endpoint, true);
    return true;
  }
  const obs_diagnose_condition *c = &f->conditions[here == 0 ? 1 : 0];
  if (others == 1 && c->relation == OBS_RELATION_IS && c->nvalues == 1 && c->more == 0 &&
      obs_words_moment_of(c->field) == NULL) {
    obs_buf_puts(out, noun_of(c->field));
    obs_buf_putc(out, ' ');
    obs_words_values(out, c, true);
    return true;
  }
  obs_buf_puts(out, "ops");
  obs_words_conditions(out, f, here, true);
  return false;
}

/* The share, and what it is compared with: of the others there, of before, or of the others elsewhere. */
static void put_brief_shares(obs_buf *out, const obs_diagnose_finding *f, const obs_diagnose_place *place) {
  bool endpoint = f->nconditions == 1 && blames_place(&f->conditions[0], place); /* it is all there is there */
  bool before = f->nconditions == 0 || endpoint;
  if (place != NULL && place->rest_ops > 0) {
    obs_buf_puts(out, before ? ", before " : ", others ");
    obs_words_percent(out, place->rest_failures, place->rest_ops);
  } else if (f->rest_ops > 0 && f->nconditions > 0) {
    const bool narrow = others_have_causes(f);
    obs_buf_puts(out, place == NULL || endpoint ? ", others " : ", others elsewhere ");
    obs_buf_puts(out, narrow ? "without another cause " : "");
    obs_words_percent(out, narrow ? f->unexplained_failures : f->rest_failures,
                      narrow ? f->unexplained_ops : f->rest_ops);
  }
}

/* A limit that all ops together meet has no one who fails: `ops meet a rate limit in minutes with 55 or more of them`
 */
static void put_brief_load(obs_buf *out, const obs_diagnose_finding *f, uint64_t failures, uint64_t ops) {
  obs_buf_printf(out, "ops %s in minutes with ", verbs[f->error].many);
  obs_words_count(out, f->per_minute);
  obs_buf_puts(out, " or more of them, ");
  obs_words_percent(out, failures, ops);
  obs_buf_puts(out, " in all");
}

void obs_sentences_brief(const obs_diagnose_finding *f, const obs_diagnose_place *place, int64_t now_ms, obs_buf *out) {
  const uint64_t ops = place != NULL ? place->ops : f->ops, failures = place != NULL ? place->failures : f->failures;
  const bool slow = f->cause == OBS_CAUSE_SLOW, load = f->per_minute > 0 && f->nconditions == 0;
  const bool one = !load && put_subject(out, f, place);
  if (load) put_brief_load(out, f, failures, ops);
  bool here = place != NULL && f->nconditions > 0 && !(f->nconditions == 1 && blames_place(&f->conditions[0], place));
  if (slow) {
    obs_buf_puts(out, one ? " takes " : " take ");
    obs_words_count(out, f->ms_after);
    obs_buf_puts(out, " ms (before: ");
    obs_words_count(out, f->ms_before);
    obs_buf_puts(out, " ms)");
  }
  if (!load && (!slow || failures > 0)) {
    const verb *v = verb_of(f);
    obs_buf_printf(out, "%s %s%s ", slow ? " and" : "", one ? v->one : v->many, names_kind(f) ? " in" : "");
    obs_words_percent(out, failures, ops);
    if (here) obs_buf_puts(out, " here");
  }
  if (f->cause == OBS_CAUSE_ONSET || slow) {
    obs_buf_puts(out, " since ");
    obs_words_time(out, f->from_ms, now_ms);
  } else if (f->cause == OBS_CAUSE_REGRESSION) {
    obs_buf_printf(out, " since the correction of op %" PRIu64, f->correction_seq);
  }
  if (!slow || failures > 0) put_brief_shares(out, f, place);
  if (f->last_ms > 0 && now_ms - f->last_ms > OLD_MS) { /* nobody has tried since, or it may be over */
    obs_buf_puts(out, " (last at ");
    obs_words_time(out, f->last_ms, now_ms);
    obs_buf_putc(out, ')');
  }
  obs_buf_puts(out, ": ");
  if (f->cause == OBS_CAUSE_REGRESSION) {
    obs_buf_puts(out, "work without it, or correct it");
  } else if (f->per_minute > 0) {
    obs_buf_puts(out, "keep below ");
    obs_words_count(out, f->per_minute);
    obs_buf_puts(out, " a minute");
  } else if (slow) {
    obs_buf_puts(out, "allow for it");
  } else {
    int chosen = chosen_of(f);
    deed d = chosen >= 0 ? deed_of(&f->conditions[chosen]) : EXPECT;
    if (d < ELSEWHERE)
      put_deed(out, f, false);
    else
      obs_buf_puts(out, kind_of(f)->advice);
  }
}

/* ---- the failures as a whole ---- */

obs_error_kind obs_sentences_most(const obs_diagnose_report *r) {
  obs_error_kind most = OBS_ERROR_UNKNOWN;
  for (int k = 1; k < OBS_ERROR_KIND_COUNT; k++)
    if (r->kinds[k] > r->kinds[most]) most = (obs_error_kind)k;
  return most;
}

void obs_sentences_summary(const obs_diagnose_report *r, obs_buf *out) {
  const obs_error_kind most = obs_sentences_most(r);
  if (r->failures > 0 && r->failures == r->ops) {
    if (r->failures > 1) obs_buf_puts(out, "All ");
    obs_words_ops(out, r->ops);
  } else {
    obs_words_count(out, r->failures);
    obs_buf_puts(out, " of ");
    obs_words_ops(out, r->ops);
  }
  obs_buf_puts(out, r->of_cluster ? " failed this way" : " failed");
  if (r->failures > 0) {
    if (r->first_seq == r->last_seq)
      obs_buf_printf(out, " (seq %" PRIu64 ")", r->first_seq);
    else
      obs_buf_printf(out, " (seq %" PRIu64 " to %" PRIu64 ")", r->first_seq, r->last_seq);
    const bool all = r->kinds[most] == r->failures;
    const char *phrase = most != OBS_ERROR_UNKNOWN ? phrase_of(most, r->input_works) : "unknown kind";
    bool many = r->failures > 1 && most != OBS_ERROR_UNKNOWN;
    obs_buf_printf(out, ", %s%s", !many ? "" : all ? "all " : "mostly ", phrase);
    if (many && !all) {
      obs_buf_puts(out, " (");
      obs_words_percent(out, r->kinds[most], r->failures);
      obs_buf_puts(out, " of the failures)");
    }
  }
  obs_buf_putc(out, '.');
  if (r->failures > 0 && r->nfindings == 0)
    obs_buf_puts(out, r->failures < OBS_DIAGNOSE_LEAST ? " Too few failures to find a common factor."
                                                       : " No field or moment stands out.");
}
