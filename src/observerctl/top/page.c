/* A page about one thing: a source, an endpoint, a cluster, an analysis or an op, with lines that lead on. */
#include "base/clock.h"
#include "observerctl/cli/line.h"
#include "observerctl/cli/show.h"
#include "observerctl/cli/text.h"
#include "observerctl/cli/when.h"
#include "observerctl/top/top.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MARK_COLUMNS = 2, LINES_MAX = 10000, LEAST_COLUMNS = 8 };

/* ---- lines ---- */

static const obs_top_target nowhere;

static obs_top_line *add_line(obs_top_text *t, obs_top_style style, const obs_top_target *target) {
  obs_top_line *line = t->lines.n < LINES_MAX ? OBS_VEC_PUSH(&t->lines) : NULL;
  if (line != NULL) *line = (obs_top_line){.at = t->text.len, .style = style, .target = *target};
  return line;
}

/* The text in as many lines as it takes; the first one leads to the target, and has a mark. An empty one is a line. */
static void put_text(obs_top_text *t, obs_top_style style, const obs_top_target *target, const char *text) {
  size_t len = strlen(text), at = 0;
  bool leads = target->id[0] != '\0';
  unsigned room = t->columns > MARK_COLUMNS + LEAST_COLUMNS ? t->columns - MARK_COLUMNS : LEAST_COLUMNS, used;
  do {
    obs_top_line *line = add_line(t, style, at == 0 ? target : &nowhere);
    if (line == NULL) return;
    obs_buf_puts(&t->text, leads && at == 0 ? "\xe2\x96\xb8 " : "  ");
    at += obs_text_line(&t->text, text + at, len - at, room, &used);
    line->len = t->text.len - line->at;
  } while (at < len && !t->text.oom);
}

__attribute__((format(printf, 4, 5))) static void put(obs_top_text *t, obs_top_style style,
                                                      const obs_top_target *target, const char *fmt, ...) {
  char *text = NULL;
  va_list ap;
  va_start(ap, fmt);
  int len = vasprintf(&text, fmt, ap);
  va_end(ap);
  if (len < 0) return;
  put_text(t, style, target, text);
  free(text);
}

static void put_title(obs_top_text *t, const char *title) {
  if (t->lines.n > 0) put_text(t, OBS_TOP_PLAIN, &nowhere, "");
  put_text(t, OBS_TOP_BOLD, &nowhere, title);
}

/* A title and a text; nothing without one. */
static void put_paragraph(obs_top_text *t, const char *title, const char *text) {
  if (*text == '\0') return;
  put_title(t, title);
  put_text(t, OBS_TOP_PLAIN, &nowhere, text);
}

static obs_top_target to_number(obs_top_kind kind, double number) {
  obs_top_target out = {.kind = kind};
  if (number >= 1) snprintf(out.id, sizeof(out.id), "%.0f", number);
  return out;
}

static obs_top_target to_text(obs_top_kind kind, const char *id) {
  obs_top_target out = {.kind = kind};
  snprintf(out.id, sizeof(out.id), "%s", id);
  return out;
}

/* `staffers  qwen3-coder 12, llama 3`; nothing where there are none. */
static void put_counts(obs_top_text *t, const char *what, const cJSON *counts) {
  const cJSON *count;
  obs_buf text = {0};
  cJSON_ArrayForEach(count, counts) {
    obs_buf_printf(&text, "%s%s %.0f", text.len > 0 ? ", " : "", count->string, count->valuedouble);
  }
  obs_buf_putc(&text, '\0');
  if (text.len > 1 && !text.oom) put(t, OBS_TOP_PLAIN, &nowhere, "%s: %s", what, text.p);
  obs_buf_fini(&text);
}

/* Recorded ops, each leads to the op. */
static void put_ops(obs_top_text *t, const char *title, const cJSON *rows) {
  unsigned columns = t->columns > MARK_COLUMNS + LEAST_COLUMNS ? t->columns - MARK_COLUMNS : LEAST_COLUMNS;
  const obs_line_look look = {.columns = columns, .now_ms = obs_clock_wall_ms()};
  const cJSON *row;
  if (cJSON_GetArraySize(rows) > 0) put_title(t, title);
  cJSON_ArrayForEach(row, rows) {
    obs_line_op op;
    obs_buf line = {0};
    obs_top_target target = to_number(OBS_TOP_OP, obs_show_number(row, "seq"));
    obs_line_of_json(obs_show_member(row, "op"), &op);
    obs_line_put(&line, &op, &look);
    obs_buf_putc(&line, '\0');
    if (!line.oom) put_text(t, OBS_TOP_PLAIN, &target, line.p);
    obs_buf_fini(&line);
  }
}

/* ---- pages ---- */

static void build_cluster(obs_top_text *t, const obs_top_answer *a) {
  const cJSON *cluster = a->parts[0], *analyses = obs_show_member(a->parts[1], "analyses"), *analysis;
  char state[OBS_WHEN_LEN], first[OBS_WHEN_LEN], last[OBS_WHEN_LEN], failures[OBS_TEXT_COUNTED];
  put_text(t, OBS_TOP_RED, &nowhere, obs_show_template(cluster));
  put_counts(t, "at", obs_show_member(cluster, "endpoints"));
  obs_when_age(obs_show_text(cluster, "state_since"), state);
  obs_when_age(obs_show_text(cluster, "first_seen"), first);
  obs_when_age(obs_show_text(cluster, "last_seen"), last);
  put(t, OBS_TOP_PLAIN, &nowhere, "%s for %s; first seen %s ago, last %s ago; cluster %.*s",
      obs_show_text(cluster, "state"), state, first, last, OBS_SHOW_ID_DIGITS, obs_show_text(cluster, "id"));
  put(t, OBS_TOP_PLAIN, &nowhere, "%s, %.0f in the last hour, %.0f in the last minute",
      obs_text_counted(failures, (uint64_t)obs_show_number(cluster, "count"), "failure"),
      obs_show_number(cluster, "last_hour"), obs_show_number(cluster, "last_minute"));
  put_counts(t, "staffers", obs_show_member(cluster, "staffers"));
  put_counts(t, "sources", obs_show_member(cluster, "sources"));
  put_counts(t, "task classes", obs_show_member(cluster, "task_classes"));

  const cJSON *newest = cJSON_GetArrayItem(analyses, 0);
  put_paragraph(t, "WHY", obs_show_text(newest, "cause"));
  put_paragraph(t, "WHAT TO DO", obs_show_text(newest, "adjust"));
  put_paragraph(t, "DON'T", obs_show_text(newest, "dont"));
  if (newest != NULL) put_title(t, "ANALYSES");
  cJSON_ArrayForEach(analysis, analyses) {
    obs_top_target target = to_number(OBS_TOP_ANALYSIS, obs_show_number(analysis, "id"));
    obs_when_age(obs_show_text(analysis, "time"), first);
    put(t, OBS_TOP_PLAIN, &target, "analysis %s, %s ago: %s", target.id, first, obs_show_text(analysis, "cause"));
  }
  put_ops(t, "LAST FAILURES", obs_show_member(a->parts[2], "ops"));
}

static void build_analysis(obs_top_text *t, const obs_top_answer *a) {
  const cJSON *analysis = a->parts[0], *claim, *seq;
  char age[OBS_WHEN_LEN], failures[OBS_TEXT_COUNTED];
  obs_top_target cluster = to_text(OBS_TOP_CLUSTER, obs_show_text(analysis, "cluster"));
  obs_when_age(obs_show_text(analysis, "time"), age);
  put_text(t, OBS_TOP_RED, &nowhere, obs_show_template(analysis));
  put(t, OBS_TOP_PLAIN, &nowhere, "analysis %s, %s ago, of %s, by %s", a->target.id, age,
      obs_text_counted(failures, (uint64_t)obs_show_number(analysis, "failures"), "failure"),
      obs_show_text(analysis, "backend"));
  if (cluster.id[0] != '\0') put(t, OBS_TOP_PLAIN, &cluster, "cluster %.*s", OBS_SHOW_ID_DIGITS, cluster.id);
  put_paragraph(t, "WHY", obs_show_text(analysis, "cause"));
  put_paragraph(t, "WHAT TO DO", obs_show_text(analysis, "adjust"));
  put_paragraph(t, "DON'T", obs_show_text(analysis, "dont"));
  if (cJSON_GetArraySize(obs_show_member(analysis, "claims")) > 0) put_title(t, "EVIDENCE");
  cJSON_ArrayForEach(claim, obs_show_member(analysis, "claims")) {
    put(t, OBS_TOP_PLAIN, &nowhere, "%s%s", obs_show_text(claim, "text"),
        cJSON_IsTrue(obs_show_member(claim, "grounded")) ? "" : " (no recorded op supports it)");
    cJSON_ArrayForEach(seq, obs_show_member(claim, "seqs")) {
      obs_top_target op = to_number(OBS_TOP_OP, cJSON_IsNumber(seq) ? seq->valuedouble : 0);
      put(t, OBS_TOP_PLAIN, &op, "op %s", op.id);
    }
  }
}

static void put_member(obs_top_text *t, const cJSON *item, obs_top_style style) {
  char *text = cJSON_IsString(item) ? NULL : cJSON_PrintUnformatted(item);
  const char *value = text != NULL ? text : cJSON_GetStringValue(item);
  if (value != NULL && *value != '\0') put(t, style, &nowhere, "%s: %s", item->string, value);
  cJSON_free(text);
}

/* What went wrong first, then what was asked and what came of it, then the rest. */
static void build_op(obs_top_text *t, const obs_top_answer *a) {
  static const char *const ahead[] = {"error", "input_summary", "output_summary"};
  enum { AHEAD = sizeof(ahead) / sizeof(ahead[0]) };
  const cJSON *op = obs_show_member(a->parts[0], "op"), *item;
  bool success = cJSON_IsTrue(obs_show_member(op, "success"));
  obs_top_target cluster = to_text(OBS_TOP_CLUSTER, obs_show_text(a->parts[0], "cluster"));
  put(t, success ? OBS_TOP_GREEN : OBS_TOP_RED, &nowhere, "op %s  %s", a->target.id, success ? "ok" : "FAIL");
  if (cluster.id[0] != '\0') put(t, OBS_TOP_PLAIN, &cluster, "cluster %.*s", OBS_SHOW_ID_DIGITS, cluster.id);
  for (size_t i = 0; i < AHEAD; i++) {
    item = obs_show_member(op, ahead[i]);
    if (item != NULL) put_member(t, item, i == 0 ? OBS_TOP_RED : OBS_TOP_PLAIN);
  }
  cJSON_ArrayForEach(item, op) {
    bool shown = strcmp(item->string, "success") == 0;
    for (size_t i = 0; i < AHEAD; i++) shown = shown || strcmp(item->string, ahead[i]) == 0;
    if (!shown) put_member(t, item, OBS_TOP_PLAIN);
  }
  item = obs_show_member(a->parts[0], "received");
  if (item != NULL) put_member(t, item, OBS_TOP_PLAIN);
}

static const obs_top_series *find_series(const obs_top_period *p, const obs_top_target *target) {
  bool source = target->kind == OBS_TOP_SOURCE;
  const obs_top_series *list = source ? p->sources : p->endpoints;
  for (size_t i = 0; list != NULL && i < (source ? p->nsources : p->nendpoints); i++)
    if (strcmp(list[i].name, target->id) == 0) return &list[i];
  return NULL;
}

/* A source or an endpoint: how it goes, what fails there, and the last failures. */
static void build_place(obs_top_text *t, const obs_top_answer *a, const obs_top_data *data) {
  static const char *const words[OBS_TOP_PERIODS] = {"last minute", "last 5 minutes", "last hour", "lifetime"};
  const cJSON *cluster;
  put(t, OBS_TOP_BOLD, &nowhere, "%s %s", a->target.kind == OBS_TOP_SOURCE ? "source" : "endpoint", a->target.id);
  for (int i = 0; data != NULL && i < OBS_TOP_PERIODS; i++) {
    const obs_top_series *s = find_series(&data->periods[i], &a->target);
    char ops[OBS_TEXT_COUNTED], failed[OBS_TEXT_NUMBER], p50[OBS_TEXT_NUMBER], p99[OBS_TEXT_NUMBER];
    if (s == NULL) continue;
    put(t, s->failures > 0 ? OBS_TOP_RED : OBS_TOP_PLAIN, &nowhere, "%s: %s, %s failed (%.1f %%), p50 %s, p99 %s",
        words[i], obs_text_counted(ops, (uint64_t)s->total, "op"), obs_text_count(failed, (uint64_t)s->failures),
        s->total > 0 ? 100 * s->failures / s->total : 0, obs_text_duration(p50, s->p50),
        obs_text_duration(p99, s->p99));
  }
  bool titled = false;
  cJSON_ArrayForEach(cluster, obs_show_member(a->parts[0], "clusters")) {
    obs_top_target target = to_text(OBS_TOP_CLUSTER, obs_show_text(cluster, "id"));
    const char *state = obs_show_text(cluster, "state");
    if (!titled) put_title(t, "WHAT FAILS");
    titled = true;
    put(t, strcmp(state, "resolved") == 0 ? OBS_TOP_DIM : OBS_TOP_PLAIN, &target, "%s (%s, %.0f in the last hour)",
        obs_show_template(cluster), state, obs_show_number(cluster, "last_hour"));
  }
  put_ops(t, "LAST FAILURES", obs_show_member(a->parts[1], "ops"));
}

static void build(obs_top_view *v) {
  const obs_top_target *target = &v->pages[v->depth - 1].target;
  obs_top_text *t = &v->text;
  obs_buf_reset(&t->text, SIZE_MAX);
  t->lines.n = 0;
  t->columns = v->columns;
  if (v->answer == NULL || !obs_top_same(&v->answer->target, target)) {
    put_text(t, OBS_TOP_DIM, &nowhere, "asking ...");
    return;
  }
  if (v->answer->parts[0] == NULL) {
    put_text(t, OBS_TOP_RED, &nowhere, v->answer->error);
    return;
  }
  if (target->kind == OBS_TOP_CLUSTER)
    build_cluster(t, v->answer);
  else if (target->kind == OBS_TOP_ANALYSIS)
    build_analysis(t, v->answer);
  else if (target->kind == OBS_TOP_OP)
    build_op(t, v->answer);
  else
    build_place(t, v->answer, v->data);
}

/* ---- the selection ---- */

static obs_top_page *current(obs_top_view *v) {
  return &v->pages[v->depth - 1];
}

static bool leads(const obs_top_view *v, uint32_t line) {
  return v->text.lines.at[line].target.id[0] != '\0';
}

static void select_line(obs_top_view *v, uint32_t line) {
  obs_top_page *p = current(v);
  p->at = line;
  p->placed = true;
  p->selected = line < v->text.lines.n ? v->text.lines.at[line].target : nowhere;
}

void obs_top_page_select(obs_top_view *v, long lines) {
  const obs_top_page *p = current(v);
  long to = (long)p->at + lines, last = (long)v->text.lines.n - 1;
  select_line(v, to < 0 || last < 0 ? 0 : (uint32_t)(to > last ? last : to));
}

void obs_top_page_next(obs_top_view *v) {
  uint32_t n = v->text.lines.n, at = current(v)->at;
  for (uint32_t i = 1; i <= n; i++) {
    uint32_t line = (at + i) % n;
    if (!leads(v, line)) continue;
    select_line(v, line);
    return;
  }
}

bool obs_top_page_selected(const obs_top_view *v, obs_top_target *out) {
  const obs_top_page *p = &v->pages[v->depth - 1];
  if (p->at >= v->text.lines.n || !leads(v, p->at)) return false;
  *out = v->text.lines.at[p->at].target;
  return true;
}

void obs_top_page_draw(obs_top_view *v, obs_top_frame *f, unsigned rows) {
  obs_top_page *p = current(v);
  build(v);
  uint32_t n = v->text.lines.n;
  bool answered = v->answer != NULL && obs_top_same(&v->answer->target, &p->target);
  for (uint32_t i = 0; answered && i < n; i++) {
    bool found = p->placed ? p->selected.id[0] != '\0' && obs_top_same(&v->text.lines.at[i].target, &p->selected)
                           : leads(v, i); /* the first that leads on */
    if (!found) continue;
    select_line(v, i);
    break;
  }
  if (answered && n > 0 && p->at >= n) p->at = n - 1;
  if (p->first > p->at) p->first = p->at;
  if (rows > 0 && p->at >= p->first + rows) p->first = p->at - rows + 1;
  if (p->at < rows) p->first = 0;
  v->page = rows;
  for (uint32_t i = p->first; i < n && i - p->first < rows; i++) {
    const obs_top_line *line = &v->text.lines.at[i];
    obs_buf text = {0};
    obs_buf_append(&text, v->text.text.p + line->at, line->len);
    obs_buf_putc(&text, '\0');
    if (!text.oom) obs_top_put(f, i == p->at && answered ? OBS_TOP_REVERSE : line->style, text.p);
    obs_buf_fini(&text);
    obs_top_next_row(f);
  }
}

void obs_top_view_fini(obs_top_view *v) {
  obs_buf_fini(&v->text.text);
  OBS_VEC_FINI(&v->text.lines);
}
