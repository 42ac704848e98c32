/* One frame: the header, the panes that there is room for, the keys. */
#include "observerctl/cli/text.h"
#include "observerctl/top/top.h"

#include <math.h>
#include <stdio.h>

/* ---- the header ---- */

static void put_ready(const obs_top_view *v, obs_top_frame *f) {
  const cJSON *reasons = cJSON_GetObjectItemCaseSensitive(v->data->ready, "reasons"), *reason;
  const char *status = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(v->data->ready, "status"));
  bool ready = status != NULL && strcmp(status, "ready") == 0;
  obs_top_word(f, ready ? OBS_TOP_GREEN : OBS_TOP_RED, "%s", status != NULL ? status : "not ready");
  cJSON_ArrayForEach(reason, reasons) {
    const char *text = cJSON_GetStringValue(reason);
    if (text != NULL) obs_top_word(f, OBS_TOP_RED, "%s", text);
  }
}

static void put_identity(const obs_top_view *v, obs_top_frame *f) {
  char text[OBS_TEXT_NUMBER];
  const cJSON *health = v->data->health;
  const char *version = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(health, "version"));
  double uptime = obs_top_number(health, "uptime_s"), seq = obs_top_number(health, "seq");
  obs_top_put(f, OBS_TOP_BOLD, "observerd");
  if (version != NULL) obs_top_printf(f, OBS_TOP_BOLD, " %s", version);
  obs_top_word(f, OBS_TOP_PLAIN, "%s", v->url);
  if (!isnan(uptime)) obs_top_word(f, OBS_TOP_PLAIN, "up %s", obs_text_duration(text, uptime * 1000));
  if (!isnan(seq)) obs_top_word(f, OBS_TOP_PLAIN, "seq %s", obs_text_count(text, (uint64_t)seq));
  if (v->error == NULL) put_ready(v, f);
  if (v->paused) obs_top_word(f, OBS_TOP_YELLOW, "paused");
}

static void put_rate(obs_top_frame *f, obs_top_style style, const char *name, double now, double minute) {
  char a[OBS_TEXT_NUMBER], b[OBS_TEXT_NUMBER];
  obs_top_word(f, style, "%s %s now %s 1m", name, obs_text_short(a, now), obs_text_short(b, minute));
}

static double in_flight(const cJSON *health) {
  const cJSON *transport;
  double n = 0;
  cJSON_ArrayForEach(transport, cJSON_GetObjectItemCaseSensitive(health, "transports")) {
    double one = obs_top_number(transport, "in_flight");
    if (!isnan(one)) n += one;
  }
  return n;
}

static void put_rates(const obs_top_view *v, obs_top_frame *f) {
  char text[OBS_TEXT_NUMBER];
  const obs_top_period *minute = &v->data->periods[OBS_TOP_1M];
  double subscribers = obs_top_number(v->data->health, "feed/subscribers");
  put_rate(f, OBS_TOP_BOLD, "ops/s", v->ops_rate, minute->rate);
  put_rate(f, minute->failures > 0 ? OBS_TOP_RED : OBS_TOP_PLAIN, "failures/s", v->failure_rate, minute->failure_rate);
  obs_top_word(f, OBS_TOP_PLAIN, "in flight %s", obs_text_short(text, in_flight(v->data->health)));
  if (!isnan(subscribers)) obs_top_word(f, OBS_TOP_PLAIN, "feed %s subscribers", obs_text_short(text, subscribers));
}

static void put_transports(const obs_top_view *v, obs_top_frame *f) {
  const cJSON *t;
  cJSON_ArrayForEach(t, cJSON_GetObjectItemCaseSensitive(v->data->health, "transports")) {
    char a[OBS_TEXT_NUMBER], b[OBS_TEXT_NUMBER], c[OBS_TEXT_NUMBER];
    double rejected = obs_top_number(t, "rejected");
    if (!(obs_top_number(t, "received") > 0)) continue;
    obs_top_word(f, rejected > 0 ? OBS_TOP_YELLOW : OBS_TOP_PLAIN, "%s %s recorded %s duplicate %s rejected", t->string,
                 obs_text_short(a, obs_top_number(t, "recorded")), obs_text_short(b, obs_top_number(t, "duplicate")),
                 obs_text_short(c, rejected));
  }
}

static void end_row(obs_top_frame *f) {
  if (f->used > 0) obs_top_next_row(f);
}

static void draw_header(const obs_top_view *v, obs_top_frame *f) {
  if (v->error != NULL) {
    obs_top_printf(f, OBS_TOP_REVERSE, "the daemon is away: %s", v->error);
    end_row(f);
  }
  if (v->data == NULL && v->error == NULL) obs_top_printf(f, OBS_TOP_PLAIN, "asking %s ...", v->url);
  f->dim = v->error != NULL;
  if (v->data != NULL) {
    put_identity(v, f);
    end_row(f);
    put_rates(v, f);
    end_row(f);
    put_transports(v, f);
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

/* ---- the panes ---- */

enum { PANE_LEAST = 2 }; /* a title and a row */

static unsigned wants(const obs_top_view *v, unsigned pane) {
  size_t n = obs_top_pane_size(v, pane);
  return n > 0 ? (unsigned)n + 1 : PANE_LEAST;
}

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
      if (got[pane] == 0 || got[pane] >= wants(v, pane)) continue;
      got[pane]++;
      rows--;
      more = true;
    }
  }
}

static void draw_panes(obs_top_view *v, obs_top_frame *f, unsigned rows) {
  unsigned got[OBS_TOP_PANES];
  if (v->data == NULL) return;
  share_rows(v, rows, got);
  for (unsigned i = 0; i < OBS_TOP_PANES; i++)
    if (got[i] >= PANE_LEAST) obs_top_pane_draw(v, f, i, got[i] - 1);
}

/* ---- keys ---- */

static const char *const help[] = {
    "s          sort by the next column; n c t f 5 9 m: name, count, rate, failed, p50, p99, max",
    "r          reverse the order",
    "w          window: 1 minute, 5 minutes, 1 hour, lifetime",
    "/          show only endpoints with a text; Enter ends it, Escape drops it",
    "Tab        the next pane; Shift-Tab: the one before",
    "arrows     scroll; also j k, Page Up, Page Down, Home, End",
    "space      pause; again: go on",
    "Ctrl-L     draw everything anew",
    "q          quit",
    "h ?        this help; any key ends it",
};

static void draw_help(obs_top_frame *f) {
  for (size_t i = 0; i < sizeof(help) / sizeof(help[0]); i++) {
    obs_top_put(f, OBS_TOP_PLAIN, help[i]);
    obs_top_next_row(f);
  }
}

static void draw_footer(const obs_top_view *v, obs_top_frame *f) {
  f->row = v->rows - 1;
  f->used = 0;
  f->dim = false;
  if (v->filtering)
    obs_top_printf(f, OBS_TOP_BOLD, "/%s_", v->filter);
  else
    obs_top_printf(f, OBS_TOP_DIM, "q quit  s sort:%s  r reverse  w window:%s  / filter  Tab pane  space %s  h help",
                   obs_top_sort_name(v->sort), obs_top_period_names[v->period], v->paused ? "go on" : "pause");
}

void obs_top_draw(obs_top_view *v, obs_top_frame *f) {
  enum { UNBOUNDED = 100000 };
  obs_top_frame_reset(f, v->columns);
  unsigned body = v->rows == 0 ? UNBOUNDED : v->rows - (v->rows > 1 ? 1 : 0);
  if (v->help) {
    draw_help(f);
  } else {
    draw_header(v, f);
    cut_rows(f, v->rows == 0 ? UNBOUNDED : v->rows > 8 ? v->rows / 2 : 1);
    draw_panes(v, f, body > f->row ? body - f->row : 0);
  }
  cut_rows(f, body);
  if (v->rows > 1) draw_footer(v, f);
}
