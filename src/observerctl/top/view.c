/* One frame: the header; as many rows of the panes as there is room for: sources and endpoints as tables that are
 * sorted, failures of one kind, the last failures; the keys. */
#include "base/clock.h"
#include "observerctl/cli/line.h"
#include "observerctl/cli/text.h"
#include "observerctl/cli/when.h"
#include "observerctl/top/top.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_LEAST = 14, NAME_WIDE = 28, WHERE_LEAST = 8, WHAT_LEAST = 34, WHAT_WIDE = 40 };

/* ---- tables ---- */

typedef struct {
  const char *title;
  unsigned columns;
  unsigned gives; /* which leave first when it is narrow: the highest */
  double (*value)(const obs_top_series *s);
  char *(*format)(char out[OBS_TEXT_NUMBER], double value);
} column;

static double total_of(const obs_top_series *s) {
  return s->total;
}
static double rate_of(const obs_top_series *s) {
  return s->rate;
}
static double share_of(const obs_top_series *s) {
  return s->total > 0 ? s->failures * 100 / s->total : 0;
}
static double p50_of(const obs_top_series *s) {
  return s->p50;
}
static double p99_of(const obs_top_series *s) {
  return s->p99;
}
static double max_of(const obs_top_series *s) {
  return s->max;
}

static char *format_share(char out[OBS_TEXT_NUMBER], double percent) {
  snprintf(out, OBS_TEXT_NUMBER, percent > 0 && percent < 9.95 ? "%.1f%%" : "%.0f%%", percent);
  return out;
}

/* The first is the name. */
static const column columns[] = {
    {"name", 0, 0, NULL, NULL},
    {"count", 8, 0, total_of, obs_text_short},
    {"rate/s", 7, 3, rate_of, obs_text_short},
    {"failed", 7, 1, share_of, format_share},
    {"p50", 8, 4, p50_of, obs_text_duration},
    {"p99", 8, 2, p99_of, obs_text_duration},
    {"max", 8, 5, max_of, obs_text_duration},
};
enum { NCOLUMNS = sizeof(columns) / sizeof(columns[0]) };
const char obs_top_sort_letters[] = "nctf59m";

static bool passes(const obs_top_view *v, unsigned pane, const obs_top_series *s) {
  return pane != OBS_TOP_ENDPOINTS || v->filter[0] == '\0' || strcasestr(s->name, v->filter) != NULL;
}

static obs_top_series *list_of(const obs_top_view *v, unsigned pane, size_t *n) {
  const obs_top_period *p = v->data != NULL ? &v->data->periods[v->period] : NULL;
  *n = p == NULL ? 0 : pane == OBS_TOP_SOURCES ? p->nsources : p->nendpoints;
  return p == NULL ? NULL : pane == OBS_TOP_SOURCES ? p->sources : p->endpoints;
}

static int by_sort(const void *a, const void *b, void *arg) {
  const obs_top_view *v = arg;
  const obs_top_series *x = *(obs_top_series *const *)a, *y = *(obs_top_series *const *)b;
  int c = strcmp(x->name, y->name), least = c;
  if (columns[v->sort].value != NULL) {
    double p = columns[v->sort].value(x), q = columns[v->sort].value(y);
    if (isnan(p)) p = -1;
    if (isnan(q)) q = -1;
    c = p < q ? 1 : p > q ? -1 : 0; /* the most first */
  }
  if (c == 0) return least;
  return v->reverse ? -c : c;
}

/* The rows of a table in their order; the caller frees them. NULL: no memory. */
static obs_top_series **sorted_rows(const obs_top_view *v, unsigned pane, size_t *n) {
  size_t all;
  obs_top_series *list = list_of(v, pane, &all);
  obs_top_series **sorted = calloc(all + 1, sizeof(obs_top_series *));
  *n = 0;
  if (sorted == NULL) return NULL;
  for (size_t i = 0; i < all; i++)
    if (passes(v, pane, &list[i])) sorted[(*n)++] = &list[i];
  qsort_r(sorted, *n, sizeof(obs_top_series *), by_sort, (void *)v);
  return sorted;
}

/* ---- the selection ---- */

static const cJSON *recent_of(const obs_top_view *v) {
  return v->data != NULL ? cJSON_GetObjectItemCaseSensitive(v->data->failures, "ops") : NULL;
}

static size_t pane_size(const obs_top_view *v, unsigned pane) {
  size_t n = 0, all;
  if (v->data == NULL) return 0;
  if (pane == OBS_TOP_GROUPS) return v->data->ngroups;
  if (pane == OBS_TOP_RECENT) return (size_t)cJSON_GetArraySize(recent_of(v));
  const obs_top_series *list = list_of(v, pane, &all);
  for (size_t i = 0; list != NULL && i < all; i++) n += passes(v, pane, &list[i]);
  return n;
}

/* What tells the rows of a pane apart. */
static void key_of(const obs_top_view *v, unsigned pane, size_t row, obs_top_series *const *sorted,
                   char out[OBS_TOP_ID]) {
  if (pane == OBS_TOP_GROUPS) {
    const obs_top_group *g = &v->data->groups[row];
    snprintf(out, OBS_TOP_ID, "%s", g->id != NULL ? g->id : g->what);
  } else if (pane == OBS_TOP_RECENT) {
    snprintf(out, OBS_TOP_ID, "%.0f", obs_top_number(cJSON_GetArrayItem(recent_of(v), (int)row), "seq"));
  } else {
    snprintf(out, OBS_TOP_ID, "%s", sorted != NULL ? sorted[row]->name : "");
  }
}

/* Finds the selected row again, and scrolls to it. */
static void place_cursor(obs_top_view *v, unsigned pane, obs_top_series *const *sorted, size_t n, unsigned rows) {
  obs_top_cursor *c = &v->cursors[pane];
  char key[OBS_TOP_ID];
  for (size_t i = 0; c->key[0] != '\0' && i < n; i++) {
    key_of(v, pane, i, sorted, key);
    if (strcmp(key, c->key) != 0) continue;
    c->at = (unsigned)i;
    break;
  }
  if (c->at >= n) c->at = n > 0 ? (unsigned)n - 1 : 0;
  if (c->key[0] == '\0') c->at = 0;
  if (c->first > c->at) c->first = c->at;
  if (rows > 0 && c->at >= c->first + rows) c->first = c->at - rows + 1;
  unsigned most = n > rows ? (unsigned)n - rows : 0;
  if (c->first > most) c->first = most;
}

void obs_top_select(obs_top_view *v, long rows) {
  obs_top_cursor *c = &v->cursors[v->focus];
  size_t n = pane_size(v, v->focus), ignored;
  long to = (long)c->at + rows;
  if (n == 0) return;
  c->at = to < 0 ? 0 : to >= (long)n ? (unsigned)n - 1 : (unsigned)to;
  bool table = v->focus == OBS_TOP_SOURCES || v->focus == OBS_TOP_ENDPOINTS;
  obs_top_series **sorted = table ? sorted_rows(v, v->focus, &ignored) : NULL;
  key_of(v, v->focus, c->at, sorted, c->key);
  if (c->at == 0) c->key[0] = '\0'; /* the first, whichever that is */
  free(sorted);
}

bool obs_top_selected(const obs_top_view *v, obs_top_target *out) {
  static const obs_top_kind kinds[] = {[OBS_TOP_SOURCES] = OBS_TOP_SOURCE,
                                       [OBS_TOP_ENDPOINTS] = OBS_TOP_ENDPOINT,
                                       [OBS_TOP_GROUPS] = OBS_TOP_CLUSTER,
                                       [OBS_TOP_RECENT] = OBS_TOP_OP};
  size_t n = pane_size(v, v->focus), at = v->cursors[v->focus].at, ignored;
  if (at >= n || (v->focus == OBS_TOP_GROUPS && v->data->groups[at].id == NULL)) return false;
  bool table = v->focus == OBS_TOP_SOURCES || v->focus == OBS_TOP_ENDPOINTS;
  obs_top_series **sorted = table ? sorted_rows(v, v->focus, &ignored) : NULL;
  bool ok = !table || (sorted != NULL && strlen(sorted[at]->name) < OBS_TOP_ID);
  out->kind = kinds[v->focus];
  if (ok) key_of(v, v->focus, at, sorted, out->id);
  free(sorted);
  return ok && out->id[0] != '\0';
}

static bool is_selected(const obs_top_view *v, unsigned pane, size_t row) {
  return v->rows > 0 && pane == v->focus && row == v->cursors[pane].at;
}

/* ---- drawing a table ---- */

static unsigned columns_of(const char *text) {
  obs_buf shown = {0};
  unsigned used = obs_text_put(&shown, text, strlen(text), OBS_TEXT_ALL);
  obs_buf_fini(&shown);
  return used;
}

/* As wide as the longest name of both tables, so that their columns stand below each other; not wider than there is
 * room. */
static unsigned name_columns(const obs_top_view *v, unsigned room) {
  unsigned widest = NAME_WIDE;
  for (unsigned pane = OBS_TOP_SOURCES; pane <= OBS_TOP_ENDPOINTS; pane++) {
    size_t n;
    const obs_top_series *list = list_of(v, pane, &n);
    for (size_t i = 0; list != NULL && i < n && widest < room; i++) {
      unsigned w = columns_of(list[i].name);
      if (w > widest) widest = w;
    }
  }
  return widest < room ? widest : room;
}

static void draw_table(obs_top_view *v, obs_top_frame *f, unsigned pane, const char *title, obs_top_style style,
                       unsigned rows) {
  /* Which columns fit, and what is left for the name. */
  bool shown[NCOLUMNS] = {false};
  unsigned worst = NCOLUMNS, name;
  do {
    unsigned used = 0;
    for (unsigned i = 1; i < NCOLUMNS; i++) {
      shown[i] = columns[i].gives < worst;
      if (shown[i]) used += columns[i].columns + 1;
    }
    name = f->columns > used + 1 ? f->columns - used - 1 : 0;
  } while (name < NAME_LEAST && --worst > 0);
  name = name_columns(v, name);

  obs_top_cell(f, style, title, name, false);
  for (unsigned i = 1; i < NCOLUMNS; i++) {
    char text[64];
    const char *arrow = i != v->sort ? "" : v->reverse ? "\xe2\x86\x91" : "\xe2\x86\x93";
    if (!shown[i]) continue;
    snprintf(text, sizeof(text), "%s%s", columns[i].title, arrow);
    obs_top_cell(f, style, text, columns[i].columns, true);
  }
  obs_top_next_row(f);

  size_t n;
  obs_top_series **sorted = sorted_rows(v, pane, &n);
  if (sorted == NULL) return;
  place_cursor(v, pane, sorted, n, rows);
  unsigned first = v->cursors[pane].first;
  for (size_t i = first; i < n && i - first < rows; i++) {
    bool selected = is_selected(v, pane, i);
    double share = share_of(sorted[i]);
    obs_top_style plain = selected ? OBS_TOP_REVERSE : OBS_TOP_PLAIN;
    obs_top_style judged = selected ? plain : share <= 0 ? OBS_TOP_DIM : share < 5 ? OBS_TOP_YELLOW : OBS_TOP_RED;
    obs_top_cell(f, plain, sorted[i]->name, name, false);
    for (unsigned c = 1; c < NCOLUMNS; c++) {
      char text[OBS_TEXT_NUMBER];
      if (!shown[c]) continue;
      obs_top_cell(f, columns[c].value == share_of ? judged : plain,
                   columns[c].format(text, columns[c].value(sorted[i])), columns[c].columns, true);
    }
    obs_top_next_row(f);
  }
  free(sorted);
}

/* ---- failures ---- */

/* What fails, then these, of which the highest leave first when it is narrow. */
static const struct {
  const char *title;
  unsigned columns, gives;
  bool right;
} group_columns[] = {{"where", 24, 5, false}, {"state", 9, 6, false}, {"1m", 5, 2, true},
                     {"1h", 6, 3, true},      {"since", 6, 4, true},  {"id", 8, 1, false}};
enum { GROUP_COLUMNS = sizeof(group_columns) / sizeof(group_columns[0]) };

static const char *group_cell(const obs_top_group *g, unsigned c, char out[OBS_WHEN_LEN]) {
  char number[OBS_TEXT_NUMBER];
  switch (c) {
  case 0:
    return g->where;
  case 1:
    return g->state != NULL ? g->state : "";
  case 2:
  case 3:
    snprintf(out, OBS_WHEN_LEN, "%.31s",
             obs_text_short(number, c == 2           ? g->minute
                                    : isnan(g->hour) ? g->count
                                                     : g->hour));
    return out;
  case 4:
    if (g->since == NULL) return "";
    obs_when_age(g->since, out);
    return out;
  default:
    snprintf(out, OBS_WHEN_LEN, "%.8s", g->id != NULL ? g->id : "");
    return out;
  }
}

/* As wide as the longest text of the column, within these bounds. */
static unsigned fit(const obs_top_data *d, bool where, unsigned least, unsigned most) {
  for (size_t i = 0; i < d->ngroups && least < most; i++) {
    unsigned w = columns_of(where ? d->groups[i].where : d->groups[i].what);
    if (w > least) least = w;
  }
  return least < most ? least : most;
}

static void draw_groups(obs_top_view *v, obs_top_frame *f, const char *title, obs_top_style style, unsigned rows) {
  size_t n = v->data->ngroups;
  unsigned worst = GROUP_COLUMNS, what, widths[GROUP_COLUMNS];
  for (unsigned c = 0; c < GROUP_COLUMNS; c++) widths[c] = group_columns[c].columns;
  widths[0] = fit(v->data, true, WHERE_LEAST, widths[0]);
  for (;; worst--) {
    unsigned used = 0;
    for (unsigned c = 0; c < GROUP_COLUMNS; c++)
      if (group_columns[c].gives <= worst) used += widths[c] + 1;
    what = f->columns > used + 1 ? f->columns - used - 1 : 0;
    if (what >= WHAT_LEAST || worst == 0) break;
  }
  what = fit(v->data, false, WHAT_WIDE, what);

  obs_top_cell(f, style, title, what, false);
  for (unsigned c = 0; c < GROUP_COLUMNS; c++)
    if (group_columns[c].gives <= worst)
      obs_top_cell(f, style, group_columns[c].title, widths[c], group_columns[c].right);
  obs_top_next_row(f);
  place_cursor(v, OBS_TOP_GROUPS, NULL, n, rows);
  unsigned first = v->cursors[OBS_TOP_GROUPS].first;
  for (size_t i = first; i < n && i - first < rows; i++) {
    char text[OBS_WHEN_LEN];
    const obs_top_group *g = &v->data->groups[i];
    bool selected = is_selected(v, OBS_TOP_GROUPS, i), bad = g->minute > 0;
    obs_top_cell(f, selected ? OBS_TOP_REVERSE : bad ? OBS_TOP_RED : OBS_TOP_YELLOW, g->what, what, false);
    for (unsigned c = 0; c < GROUP_COLUMNS; c++)
      if (group_columns[c].gives <= worst)
        obs_top_cell(f, selected ? OBS_TOP_REVERSE : OBS_TOP_PLAIN, group_cell(g, c, text), widths[c],
                     group_columns[c].right);
    obs_top_next_row(f);
  }
}

static void draw_recent(obs_top_view *v, obs_top_frame *f, const char *title, obs_top_style style, unsigned rows) {
  obs_line_look look = {.columns = f->columns, .now_ms = obs_clock_wall_ms()};
  const cJSON *row;
  place_cursor(v, OBS_TOP_RECENT, NULL, pane_size(v, OBS_TOP_RECENT), rows);
  size_t at = 0, first = v->cursors[OBS_TOP_RECENT].first;
  obs_top_put(f, style, title);
  obs_top_next_row(f);
  cJSON_ArrayForEach(row, recent_of(v)) {
    if (at++ < first) continue;
    if (at - first > rows) break;
    obs_line_op op;
    obs_buf line = {0};
    obs_line_of_json(cJSON_GetObjectItemCaseSensitive(row, "op"), &op);
    obs_line_put(&line, &op, &look);
    obs_buf_putc(&line, '\0');
    if (!line.oom) obs_top_put(f, is_selected(v, OBS_TOP_RECENT, at - 1) ? OBS_TOP_REVERSE : OBS_TOP_PLAIN, line.p);
    obs_buf_fini(&line);
    obs_top_next_row(f);
  }
}

/* ---- any pane ---- */

/* The title and `rows` rows. */
static void draw_pane(obs_top_view *v, obs_top_frame *f, unsigned pane, unsigned rows) {
  char title[160];
  size_t n = pane_size(v, pane);
  obs_top_style style = OBS_TOP_BOLD;
  if (pane == v->focus) v->page = rows;
  const char *period = obs_top_period_names[v->period];
  char count[OBS_TEXT_NUMBER];
  (void)obs_text_count(count, n);
  if (pane == OBS_TOP_SOURCES)
    snprintf(title, sizeof(title), "SOURCES %s (%s)", count, period);
  else if (pane == OBS_TOP_ENDPOINTS)
    snprintf(title, sizeof(title), "ENDPOINTS %s (%s)%s%s", count, period, v->filter[0] != '\0' ? " /" : "", v->filter);
  else if (pane == OBS_TOP_GROUPS)
    snprintf(title, sizeof(title), "FAILING %s (%s)", count,
             v->data->clusters != NULL ? "open clusters" : "the last 200 failures, by endpoint and error");
  else
    snprintf(title, sizeof(title), "RECENT FAILURES %s", count);
  if (pane == OBS_TOP_GROUPS)
    draw_groups(v, f, title, style, rows);
  else if (pane == OBS_TOP_RECENT)
    draw_recent(v, f, title, style, rows);
  else
    draw_table(v, f, pane, title, style, rows);
  if (n > 0) return;
  obs_top_put(f, OBS_TOP_DIM, "none");
  obs_top_next_row(f);
}

/* ---- the header ---- */

/* `now 151 ops/s, 12 failures/s`; nothing before it is known. */
static void put_rates(obs_top_frame *f, obs_top_style style, const char *when, double ops, double failures) {
  char a[OBS_TEXT_NUMBER], b[OBS_TEXT_NUMBER];
  if (!isnan(ops))
    obs_top_word(f, style, "%s %s ops/s, %s failures/s", when, obs_text_short(a, ops), obs_text_short(b, failures));
}

static void end_row(obs_top_frame *f) {
  if (f->used > 0) obs_top_next_row(f);
}

static void draw_header(const obs_top_view *v, obs_top_frame *f) {
  char a[OBS_TEXT_NUMBER], b[OBS_TEXT_NUMBER], c[OBS_TEXT_NUMBER];
  if (v->error != NULL) {
    obs_top_printf(f, OBS_TOP_REVERSE, "the daemon is away: %s", v->error);
    end_row(f);
  }
  if (v->data == NULL && v->error == NULL) obs_top_printf(f, OBS_TOP_PLAIN, "asking %s ...", v->url);
  f->dim = v->error != NULL;
  if (v->data == NULL) {
    end_row(f);
    return;
  }
  /* Which daemon it is, and whether it is ready. */
  const cJSON *health = v->data->health;
  const char *version = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(health, "version"));
  double uptime = obs_top_number(health, "uptime_s"), seq = obs_top_number(health, "seq");
  obs_top_put(f, OBS_TOP_BOLD, "observerd");
  if (version != NULL) obs_top_printf(f, OBS_TOP_BOLD, " %s", version);
  obs_top_word(f, OBS_TOP_PLAIN, "%s", v->url);
  if (!isnan(uptime)) obs_top_word(f, OBS_TOP_PLAIN, "up %s", obs_text_duration(a, uptime * 1000));
  if (!isnan(seq)) obs_top_word(f, OBS_TOP_PLAIN, "seq %.0f", seq);
  if (v->error == NULL) {
    const char *status = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(v->data->ready, "status"));
    bool ready = status != NULL && strcmp(status, "ready") == 0;
    const cJSON *reason;
    obs_top_word(f, ready ? OBS_TOP_GREEN : OBS_TOP_RED, "%s", status != NULL ? status : "not ready");
    cJSON_ArrayForEach(reason, cJSON_GetObjectItemCaseSensitive(v->data->ready, "reasons")) {
      if (cJSON_IsString(reason)) obs_top_word(f, OBS_TOP_RED, "%s", reason->valuestring);
    }
  }
  if (v->paused) obs_top_word(f, OBS_TOP_YELLOW, "paused");
  end_row(f);

  const cJSON *transports = cJSON_GetObjectItemCaseSensitive(health, "transports"), *t;
  const obs_top_period *minute = &v->data->periods[OBS_TOP_1M];
  double subscribers = obs_top_number(health, "feed/subscribers"), in_flight = 0;
  cJSON_ArrayForEach(t, transports) {
    double one = obs_top_number(t, "in_flight");
    if (!isnan(one)) in_flight += one;
  }
  put_rates(f, OBS_TOP_BOLD, "now", v->ops_rate, v->failure_rate);
  put_rates(f, minute->failures > 0 ? OBS_TOP_RED : OBS_TOP_PLAIN, "last minute", minute->rate, minute->failure_rate);
  obs_top_word(f, OBS_TOP_PLAIN, "in flight %s", obs_text_short(a, in_flight));
  if (!isnan(subscribers))
    obs_top_word(f, OBS_TOP_PLAIN, "feed %s subscriber%s", obs_text_short(a, subscribers), subscribers == 1 ? "" : "s");
  end_row(f);

  cJSON_ArrayForEach(t, transports) {
    double rejected = obs_top_number(t, "rejected");
    if (!(obs_top_number(t, "received") > 0)) continue;
    obs_top_word(f, rejected > 0 ? OBS_TOP_YELLOW : OBS_TOP_PLAIN, "%s %s recorded %s duplicate %s rejected", t->string,
                 obs_text_short(a, obs_top_number(t, "recorded")), obs_text_short(b, obs_top_number(t, "duplicate")),
                 obs_text_short(c, rejected));
  }
  end_row(f);
}

/* Rows from `limit` on are taken back. */
static void cut_rows(obs_top_frame *f, unsigned limit) {
  if (f->row <= limit) return;
  while (f->nspans > 0 && obs_top_span_at(f, f->nspans - 1)->row >= limit) {
    f->nspans--;
    f->spans.len -= sizeof(obs_top_span);
  }
  f->row = limit;
  f->used = 0;
}

/* ---- the rows of the panes ---- */

enum { PANE_LEAST = 2 }; /* a title and a row */

/* The focused pane first, then each in turn until nothing is left or wanted. */
static void share_rows(const obs_top_view *v, unsigned rows, unsigned got[OBS_TOP_PANES]) {
  for (unsigned i = 0; i < OBS_TOP_PANES; i++) {
    unsigned pane = (v->focus + i) % OBS_TOP_PANES;
    got[pane] = rows >= PANE_LEAST ? PANE_LEAST : 0;
    rows -= got[pane];
  }
  for (bool more = true; more && rows > 0;) {
    more = false;
    for (unsigned i = 0; i < OBS_TOP_PANES && rows > 0; i++) {
      unsigned pane = (v->focus + i) % OBS_TOP_PANES;
      if (got[pane] < PANE_LEAST || got[pane] > pane_size(v, pane)) continue; /* has none, or all it has */
      got[pane]++;
      rows--;
      more = true;
    }
  }
}

/* ---- keys ---- */

static const char *const help[] = {
    "s          sort by the next column; n c t f 5 9 m: name, count, rate, failed, p50, p99, max",
    "r          reverse the order",
    "w          window: 1 minute, 5 minutes, 1 hour, lifetime",
    "/          show only endpoints with a text; Enter keeps it, Escape drops it, then or later",
    "Tab        the next pane, or what leads on from a page; Shift-Tab: the pane before",
    "arrows     select a row; also j k, Page Up, Page Down, Home, End",
    "Enter      what the row is about: from a failure to its cluster, its analysis and the ops that it cites",
    "Escape     back; also Backspace and the left arrow",
    "space      pause; again: continue",
    "Ctrl-L     redraw everything",
    "q          quit",
    "h ?        this help; any key ends it",
};

void obs_top_draw(obs_top_view *v, obs_top_frame *f) {
  enum { UNBOUNDED = 100000 };
  obs_top_frame_reset(f, v->columns);
  unsigned body = v->rows == 0 ? UNBOUNDED : v->rows - (v->rows > 1 ? 1 : 0);
  for (size_t i = 0; v->help && i < sizeof(help) / sizeof(help[0]); i++) {
    obs_top_put(f, OBS_TOP_PLAIN, help[i]);
    obs_top_next_row(f);
  }
  if (!v->help) {
    unsigned got[OBS_TOP_PANES] = {0};
    draw_header(v, f);
    cut_rows(f, v->rows == 0 ? UNBOUNDED : v->rows > 8 ? v->rows / 2 : 1);
    unsigned left = body > f->row ? body - f->row : 0;
    if (v->depth > 0)
      obs_top_page_draw(v, f, left);
    else if (v->data != NULL)
      share_rows(v, left, got);
    for (unsigned i = 0; i < OBS_TOP_PANES; i++)
      if (got[i] >= PANE_LEAST) draw_pane(v, f, i, got[i] - 1);
  }
  cut_rows(f, body);
  if (v->rows <= 1) return;
  f->row = v->rows - 1;
  f->used = 0;
  f->dim = false;
  if (v->filtering)
    obs_top_printf(f, OBS_TOP_BOLD, "/%s_", v->filter);
  else if (v->depth > 0)
    obs_top_put(f, OBS_TOP_DIM, "q quit  Escape back  Enter open  arrows select  Tab next  space pause  h help");
  else
    obs_top_printf(f, OBS_TOP_DIM, "q quit  Enter details  Tab pane  s sort:%s  w window:%s  / filter  h help",
                   columns[v->sort].title, obs_top_period_names[v->period]);
}
