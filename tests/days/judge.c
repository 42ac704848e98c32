#include "judge.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define NEAR_MS INT64_C(2700000)
#define THRESHOLD 0.97

/* A finding's condition as the rows are made. `known`: the field is one of the rows' attributes. */
typedef struct {
  days_attr attr;
  bool known, sharp;
  const obs_diagnose_condition *c;
  uint8_t *is; /* by value, for texts */
  int32_t most;
} reading;

/* Other names that a reader would understand. */
static const struct {
  days_attr attr;
  const char *name;
} other_names[] = {
    {DAYS_LENGTH, "input_summary"},
    {DAYS_LENGTH, "input_bytes"},
    {DAYS_LENGTH, "input_summary.length"},
    {DAYS_LENGTH, "input_summary_length"},
    {DAYS_HOUR, "hour_of_day"},
    {DAYS_HOUR, "hour of the day"},
    {DAYS_MINUTE, "minute_of_hour"},
    {DAYS_MINUTE, "minute of the hour"},
    {DAYS_LENGTH, "length of input_summary"},
};

static bool attr_of(const char *field, days_attr *attr) {
  for (int a = 0; a < DAYS_ATTR_COUNT; a++) {
    if (strcmp(days_attr_names[a], field) != 0) continue;
    *attr = (days_attr)a;
    return true;
  }
  for (size_t i = 0; i < sizeof(other_names) / sizeof(other_names[0]); i++) {
    if (strcmp(other_names[i].name, field) != 0) continue;
    *attr = other_names[i].attr;
    return true;
  }
  return false;
}

/* A name as a report has it: cut. */
static bool is_name(const days_world *w, days_attr attr, int32_t value, const char *said) {
  char name[DAYS_NAME];
  if (days_is_number(attr)) return strtol(said, NULL, 10) == value;
  days_name(w, attr, value, name);
  size_t len = strlen(name), cut = strlen(said);
  return cut == len ? strcmp(name, said) == 0 : cut < len && cut + 4 > OBS_FACT_NAME && strncmp(name, said, cut) == 0;
}

static reading read_condition(const days_world *w, const obs_diagnose_condition *c) {
  reading r = {.c = c, .most = -1};
  r.known = attr_of(c->field, &r.attr);
  if (!r.known || c->relation != OBS_RELATION_IS) return r;
  r.sharp = true;
  for (uint32_t i = 0; i < w->nrows; i++)
    if (w->rows[i].v[r.attr] > r.most) r.most = w->rows[i].v[r.attr];
  r.is = calloc((size_t)r.most + 2, 1);
  if (r.is == NULL) abort();
  for (int32_t v = 0; v <= r.most; v++)
    for (uint32_t k = 0; k < c->nvalues; k++) r.is[v] |= is_name(w, r.attr, v, c->values[k]);
  return r;
}

static bool holds(const reading *r, const days_row *row) {
  if (!r->known) return false;
  int32_t v = row->v[r->attr];
  switch (r->c->relation) {
  case OBS_RELATION_IS:
    return v != DAYS_ABSENT && r->is[v];
  case OBS_RELATION_ABSENT:
    return v == DAYS_ABSENT;
  case OBS_RELATION_ABOVE:
    return v != DAYS_ABSENT && v > r->c->number;
  case OBS_RELATION_AT_MOST:
    return v != DAYS_ABSENT && v <= r->c->number;
  case OBS_RELATION_COUNT:
    break;
  }
  return false;
}

static uint32_t fields_said(const obs_diagnose_finding *f) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < f->nconditions; i++) {
    bool again = false;
    for (uint32_t k = 0; k < i; k++) again = again || strcmp(f->conditions[k].field, f->conditions[i].field) == 0;
    n += !again;
  }
  return n;
}

static uint32_t values_said(const obs_diagnose_finding *f) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < f->nconditions; i++) n += f->conditions[i].nvalues + f->conditions[i].more;
  return n;
}

static uint32_t values_planted(const days_plant *p) {
  uint32_t n = 0;
  for (int i = 0; i < p->nconds; i++) n += p->conds[i].nvalues > 0 ? (uint32_t)p->conds[i].nvalues : 1;
  return n;
}

static bool is_sharp(const days_plant *p) {
  for (int i = 0; i < p->nconds; i++)
    if (p->conds[i].relation == DAYS_ABOVE || p->conds[i].relation == DAYS_AT_MOST) return false;
  return true;
}

/* Whether a finding is about just the ops of a plant. */
static bool names(const days_world *w, const obs_diagnose_finding *f, const days_plant *p) {
  reading said[OBS_FINDING_CONDITIONS];
  uint64_t both = 0, either = 0;
  if (fields_said(f) > (uint32_t)p->nconds || values_said(f) > values_planted(p)) return false;
  for (uint32_t i = 0; i < f->nconditions; i++) said[i] = read_condition(w, &f->conditions[i]);
  for (uint32_t i = 0; i < w->nrows; i++) {
    if (w->rows[i].kind != DAYS_OP) continue;
    bool is_said = true, planted = days_meets(p->conds, p->nconds, &w->rows[i]);
    for (uint32_t k = 0; k < f->nconditions; k++) is_said = is_said && holds(&said[k], &w->rows[i]);
    both += is_said && planted;
    either += is_said || planted;
  }
  for (uint32_t i = 0; i < f->nconditions; i++) free(said[i].is);
  return both > 0 && (double)both >= (is_sharp(p) ? 1 : THRESHOLD) * (double)either;
}

static bool about(int64_t ms, const days_world *w, double part) {
  return llabs(ms - DAYS_START - (int64_t)(part * (double)(w->days * DAYS_DAY_MS))) <= NEAR_MS;
}

static const days_row *row_of(const days_world *w, uint64_t seq) {
  return seq >= 1 && seq <= w->nrows ? &w->rows[seq - 1] : NULL;
}

static bool evidence_is_good(const days_world *w, const obs_diagnose_finding *f, const days_plant *p) {
  for (uint32_t i = 0; i < f->nevidence; i++) {
    const days_row *r = row_of(w, f->evidence[i]);
    if (r == NULL || r->kind != DAYS_OP || !days_meets(p->conds, p->nconds, r)) return false;
    if (r->error == DAYS_ERROR_NONE && f->cause != OBS_CAUSE_SLOW) return false;
  }
  return f->nevidence > 0;
}

static bool cause_is_right(const obs_diagnose_finding *f, const days_plant *p, bool has_joined) {
  if (p->corrected) return f->cause == OBS_CAUSE_REGRESSION;
  if (p->slower > 0) return f->cause == OBS_CAUSE_SLOW || (p->rate > 0 && f->cause == OBS_CAUSE_ONSET);
  if (p->grows || has_joined || p->from <= 0) return true;
  return f->cause == OBS_CAUSE_ONSET;
}

/* What of a finding that names the plant's ops is wrong; NULL: nothing. */
static const char *wrong(const days_world *w, const obs_diagnose_finding *f, const days_plant *p, bool has_joined) {
  bool timed = p->from > 0 && !p->grows && !has_joined;
  const days_row *end = row_of(w, f->until_seq), *deploy = row_of(w, f->deploy_seq),
                 *correction = row_of(w, f->correction_seq);
  if (!cause_is_right(f, p, has_joined)) return "kind of cause";
  if (timed && !about(f->from_ms, w, p->from)) return "when it began";
  if (!p->grows && !has_joined && p->until > 0 && (end == NULL || !about(end->event_ms, w, p->until)))
    return "when it ended";
  if (timed && p->until <= 0 && f->until_seq != 0) return "that it lasts";
  if (p->slower <= 0 && f->error != days_error_kinds[p->error]) return "kind of error";
  if (p->limit > 0 && f->per_minute == 0) return "load";
  if (p->deploy && (deploy == NULL || deploy->kind != DAYS_DEPLOY)) return "deploy";
  if (p->corrected && (correction == NULL || correction->kind != DAYS_CORRECTION)) return "correction";
  if (p->mirror && f->same.field[0] == '\0') return "the other field that always comes with it";
  return evidence_is_good(w, f, p) ? NULL : "evidence";
}

static void say_time(obs_buf *out, int64_t ms) {
  char text[OBS_ISO8601_LEN + 1];
  obs_clock_format(ms, text);
  obs_buf_append(out, text + 5, 11);
}

static void say_plant(const days_world *w, const days_plant *p, obs_buf *out) {
  static const char *const relations[] = {"", " is absent", " > ", " <= "};
  for (int i = 0; i < p->nconds; i++) {
    const days_cond *c = &p->conds[i];
    obs_buf_printf(out, "%s%s%s", i ? " AND " : "", days_attr_names[c->attr], relations[c->relation]);
    if (c->relation == DAYS_ABOVE || c->relation == DAYS_AT_MOST) obs_buf_printf(out, "%d", c->number);
    for (int v = 0; v < c->nvalues; v++) {
      char name[DAYS_NAME];
      days_name(w, c->attr, c->values[v], name);
      obs_buf_printf(out, "%s%.40s", v ? "|" : " ", name);
    }
  }
  if (p->nconds == 0) obs_buf_puts(out, "everything");
  if (p->rate > 0) obs_buf_printf(out, " %.3g %%", p->rate * 100);
  if (p->from > 0) {
    obs_buf_puts(out, " from ");
    say_time(out, DAYS_START + (int64_t)(p->from * (double)(w->days * DAYS_DAY_MS)));
  }
}

static void say_finding(const days_world *w, const obs_diagnose_finding *f, obs_buf *out) {
  static const char *const relations[] = {"", " is absent", " > ", " <= "};
  for (uint32_t i = 0; i < f->nconditions; i++) {
    const obs_diagnose_condition *c = &f->conditions[i];
    obs_buf_printf(out, "%s%s%s", i ? " AND " : "", c->field, relations[c->relation]);
    if (c->relation == OBS_RELATION_ABOVE || c->relation == OBS_RELATION_AT_MOST) obs_buf_printf(out, "%g", c->number);
    for (uint32_t v = 0; v < c->nvalues; v++) obs_buf_printf(out, "%s%.40s", v ? "|" : " ", c->values[v]);
    if (c->more > 0) obs_buf_printf(out, "|+%u", c->more);
  }
  if (f->nconditions == 0) obs_buf_puts(out, "everything");
  static const char *const causes[] = {
#define CAUSE_NAME(kind, name) name,
      OBS_CAUSES(CAUSE_NAME)
#undef CAUSE_NAME
  };
  obs_buf_printf(out, " (%s, %s, %llu of %llu", causes[f->cause], obs_error_kind_names[f->error],
                 (unsigned long long)f->failures, (unsigned long long)f->ops);
  if (f->cause != OBS_CAUSE_SHARE) {
    obs_buf_puts(out, ", from ");
    say_time(out, f->from_ms);
  }
  const days_row *end = row_of(w, f->until_seq);
  if (end != NULL) {
    obs_buf_puts(out, " until ");
    say_time(out, end->event_ms);
  }
  obs_buf_putc(out, ')');
}

static void say_findings(const days_world *w, const obs_diagnose_report *report, obs_buf *out) {
  for (uint32_t i = 0; i < report->nfindings; i++) {
    if (i > 0) obs_buf_puts(out, "; ");
    say_finding(w, &report->findings[i], out);
  }
  if (report->nfindings == 0) obs_buf_puts(out, "nothing");
}

/* The finding that tells of a plant: the best of those that name its ops and tell of no other. UINT32_MAX: none. */
static uint32_t finding_of(const days_world *w, const obs_diagnose_report *r, const days_plant *p, bool has_joined,
                           const bool *taken, const char **why) {
  uint32_t found = UINT32_MAX;
  for (uint32_t i = 0; i < r->nfindings; i++) {
    if (taken[i] || !names(w, &r->findings[i], p)) continue;
    const char *bad = wrong(w, &r->findings[i], p, has_joined);
    if (found != UINT32_MAX && bad != NULL) continue;
    found = i;
    *why = bad;
    if (bad == NULL) break;
  }
  return found;
}

/* What comes and goes may be told time by time. */
static void take_parts(const days_world *w, const obs_diagnose_report *r, const days_plant *p, bool *taken) {
  for (uint32_t i = 0; i < r->nfindings; i++) taken[i] = taken[i] || names(w, &r->findings[i], p);
}

static bool is_called_better(const days_world *w, const obs_diagnose_report *r) {
  for (uint32_t i = 0; i < r->ncorrections; i++) {
    const days_row *row = row_of(w, r->corrections[i].seq);
    if (row != NULL && row->kind == DAYS_CORRECTION) return r->corrections[i].verdict == OBS_VERDICT_BETTER;
  }
  return false;
}

days_verdict days_judge(const days_world *w, const obs_diagnose_report *report, obs_buf *said) {
  days_verdict v = {0};
  bool taken[OBS_FINDINGS] = {false}, good = true;
  for (int i = 0; i < w->nplants; i++) {
    const days_plant *p = &w->plants[i];
    const char *why = NULL;
    if (p->joined) continue;
    v.planted += !p->optional;
    uint32_t f = finding_of(w, report, p, i + 1 < w->nplants && w->plants[i + 1].joined, taken, &why);
    if (f != UINT32_MAX) taken[f] = true;
    if (i + 1 < w->nplants && w->plants[i + 1].joined) take_parts(w, report, p, taken);
    if (p->optional) continue;
    if (f != UINT32_MAX && why == NULL && p->helped && !is_called_better(w, report)) why = "that the correction helped";
    if (f != UINT32_MAX && why == NULL && p->first && f != 0) why = "that it comes first";
    v.named += f != UINT32_MAX && why == NULL;
    if (f != UINT32_MAX && why == NULL) continue;
    good = false;
    obs_buf_puts(said, said->len > 0 ? "; planted: " : "planted: ");
    say_plant(w, p, said);
    if (why != NULL) obs_buf_printf(said, " [wrong: %s]", why);
  }
  for (uint32_t i = 0; i < report->nfindings; i++) v.others += !taken[i];
  v.exact = good && v.others == 0;
  if (v.exact) return v;
  obs_buf_puts(said, said->len > 0 ? " -- said: " : "said: ");
  say_findings(w, report, said);
  return v;
}
