/* top: what its parts share. A thread asks the daemon and makes each answer a snapshot (data.c); the main thread draws
 * the last one as rows of styled text, as panes (view.c) or as a page about one thing (page.c), which go to the screen
 * or, with --once, to standard output (screen.c). */
#ifndef OBS_OBSERVERCTL_TOP_H
#define OBS_OBSERVERCTL_TOP_H

#include "base/buf.h"
#include "base/vec.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>

/* ---- a snapshot (data.c) ---- */

enum { OBS_TOP_1M, OBS_TOP_5M, OBS_TOP_1H, OBS_TOP_LIFETIME, OBS_TOP_PERIODS };
extern const char *const obs_top_period_names[OBS_TOP_PERIODS];

/* One source or endpoint; NaN: not known. */
typedef struct {
  const char *name;
  double total, failures, rate; /* rate: ops a second in the period; in the lifetime, in the last minute */
  double p50, p99, max;         /* ms */
} obs_top_series;

typedef struct {
  double total, failures, rate, failure_rate;
  obs_top_series *sources, *endpoints;
  size_t nsources, nendpoints;
} obs_top_period;

/* Failures of one kind: an open cluster. Of a daemon without clusters, the last failures by endpoint and error; then
 * there are no id, state and since. */
typedef struct {
  char *key; /* what makes it one kind: where, and the rest; NULL: the cluster's id does */
  const char *where, *what, *last;
  const char *id, *state, *since;
  double count, minute, hour;
} obs_top_group;

/* What a page is about. */
typedef enum { OBS_TOP_SOURCE, OBS_TOP_ENDPOINT, OBS_TOP_CLUSTER, OBS_TOP_ANALYSIS, OBS_TOP_OP } obs_top_kind;
enum { OBS_TOP_ID = 256, OBS_TOP_PARTS = 3 };
typedef struct {
  obs_top_kind kind;
  char id[OBS_TOP_ID]; /* a name, an id or a number; "": of nothing */
} obs_top_target;

/* What the daemon says of it. */
typedef struct {
  obs_top_target target;
  cJSON *parts[OBS_TOP_PARTS]; /* NULL: no answer */
  char error[256];             /* no first part: why */
} obs_top_answer;
void obs_top_answer_fini(obs_top_answer *a);
bool obs_top_same(const obs_top_target *a, const obs_top_target *b);

/* Texts are views into the answers. */
typedef struct {
  cJSON *health, *ready, *summary, *failures, *clusters; /* NULL: no answer */
  obs_top_period periods[OBS_TOP_PERIODS];
  obs_top_group *groups;
  size_t ngroups;
  obs_top_answer page; /* of the target that was asked for */
  uint64_t mono_ms;
  char error[256]; /* no health: why */
} obs_top_data;

/* Asks the daemon, and for a page unless the target's id is "". `ask_clusters` is cleared when it has no such route.
 * NULL: no memory. */
obs_top_data *obs_top_data_get(const char *url, bool *ask_clusters, const obs_top_target *page);
/* NULL is allowed. */
void obs_top_data_free(obs_top_data *d);
/* Appends one JSON object: the answers, and the failures by kind that were made of them. */
void obs_top_data_json(const obs_top_data *d, const char *url, obs_buf *out);
/* A number at a path of member names, "feed/subscribers"; NaN: there is none. */
double obs_top_number(const cJSON *json, const char *path);

/* ---- the thread (data.c) ---- */

typedef struct {
  const char *url;
  uint64_t interval_ms;
  int event_fd; /* readable when there is a snapshot */
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  obs_top_data *data;  /* the newest, not taken yet */
  obs_top_target page; /* to be asked for, too */
  bool running;
  atomic_bool stop;
} obs_top_fetch;

/* False: it does not start. Signals must be blocked. Close in either case. */
bool obs_top_fetch_open(obs_top_fetch *f, const char *url, uint64_t interval_ms);
/* The newest snapshot, the caller's now; NULL: none since the last call. */
obs_top_data *obs_top_fetch_take(obs_top_fetch *f);
/* What to ask for besides, from now on; at once. */
void obs_top_fetch_page(obs_top_fetch *f, const obs_top_target *page);
/* Gives up a request under way (within a second). */
void obs_top_fetch_close(obs_top_fetch *f);

/* ---- rows of styled text (screen.c) ---- */

typedef enum {
  OBS_TOP_PLAIN,
  OBS_TOP_BOLD,
  OBS_TOP_DIM,
  OBS_TOP_RED,
  OBS_TOP_GREEN,
  OBS_TOP_YELLOW,
  OBS_TOP_REVERSE,
  OBS_TOP_STYLES
} obs_top_style;

typedef struct {
  unsigned row;
  obs_top_style style;
  size_t at, len; /* in `text` */
} obs_top_span;

typedef struct {
  obs_buf text, spans; /* obs_top_span, from left to right and from top to bottom */
  size_t nspans;
  unsigned columns; /* nothing goes beyond */
  unsigned row, used;
  bool dim; /* everything, because it is old */
} obs_top_frame;

void obs_top_frame_reset(obs_top_frame *f, unsigned columns);
void obs_top_frame_fini(obs_top_frame *f);
void obs_top_put(obs_top_frame *f, obs_top_style style, const char *text);
void obs_top_printf(obs_top_frame *f, obs_top_style style, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Exactly `columns` wide, and a space behind. */
void obs_top_cell(obs_top_frame *f, obs_top_style style, const char *text, unsigned columns, bool right);
/* Two spaces before it; on the next row when it does not fit on this one. */
void obs_top_word(obs_top_frame *f, obs_top_style style, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void obs_top_next_row(obs_top_frame *f);
/* On standard output, without the spaces at the end of each row. */
void obs_top_frame_print(const obs_top_frame *f);
static inline const obs_top_span *obs_top_span_at(const obs_top_frame *f, size_t i) {
  return (const obs_top_span *)(const void *)f->spans.p + i;
}

/* ---- what is shown (view.c) ---- */

enum { OBS_TOP_SOURCES, OBS_TOP_ENDPOINTS, OBS_TOP_GROUPS, OBS_TOP_RECENT, OBS_TOP_PANES };
enum { OBS_TOP_FILTER = 64, OBS_TOP_DEPTH = 16 };

/* The selected row of a pane: it keeps its row when others come before it. */
typedef struct {
  char key[OBS_TOP_ID]; /* "": none is selected, and the first is shown so */
  unsigned at, first;   /* where it is, and the first row that is drawn */
} obs_top_cursor;

/* An open page. */
typedef struct {
  obs_top_target target;
  unsigned at, first;      /* the selected line, and the first that is drawn */
  obs_top_target selected; /* where that line leads: it stays selected when the page changes */
  bool placed;             /* the selection is at a line that leads on, or was moved */
} obs_top_page;

/* A line of the page as last drawn. */
typedef struct {
  size_t at, len; /* in `text` */
  obs_top_style style;
  obs_top_target target; /* where Enter leads; an id of "": nowhere */
} obs_top_line;
typedef struct {
  obs_buf text;
  OBS_VEC(obs_top_line) lines;
  unsigned columns;
} obs_top_text;

typedef struct {
  const char *url;
  const obs_top_data *data; /* NULL: nothing yet */
  const char *error;        /* the daemon does not answer: why; NULL: it does */
  double ops_rate, failure_rate;
  unsigned rows, columns; /* rows 0: as many as it takes */
  unsigned period, focus, sort;
  bool reverse, paused, help, filtering;
  obs_top_cursor cursors[OBS_TOP_PANES];
  unsigned page;                     /* rows of the focused pane or page, as last drawn */
  obs_top_page pages[OBS_TOP_DEPTH]; /* the last one is shown */
  unsigned depth;                    /* 0: the panes are */
  const obs_top_answer *answer;      /* to the last page; NULL: none yet */
  obs_top_text text;                 /* of it */
  char filter[OBS_TOP_FILTER];
} obs_top_view;

void obs_top_draw(obs_top_view *v, obs_top_frame *f);
/* Columns of the tables that can be sorted by; NUL-terminated letters, in their order. */
extern const char obs_top_sort_letters[];

/* Moves the selection of the focused pane, as far as there are rows. */
void obs_top_select(obs_top_view *v, long rows);
/* What the selected row of the focused pane is about. False: nothing that can be opened. */
bool obs_top_selected(const obs_top_view *v, obs_top_target *out);

/* ---- a page (page.c) ---- */

/* At most `rows` rows of the last page. */
void obs_top_page_draw(obs_top_view *v, obs_top_frame *f, unsigned rows);
/* Moves its selection by lines, or to the next line that leads on. */
void obs_top_page_select(obs_top_view *v, long lines);
void obs_top_page_next(obs_top_view *v);
bool obs_top_page_selected(const obs_top_view *v, obs_top_target *out);
void obs_top_view_fini(obs_top_view *v);

/* ---- the screen (screen.c) ---- */

/* False: this terminal cannot show it; `error` has the reason. */
bool obs_top_screen_open(char *error, size_t size);
void obs_top_screen_size(unsigned *rows, unsigned *columns);
void obs_top_screen_paint(const obs_top_frame *f);
/* After SIGWINCH, SIGCONT, Ctrl-L. */
void obs_top_screen_refit(void);
/* Restores the terminal, stops the process as Ctrl-Z does, and takes the terminal again when it is continued. */
void obs_top_screen_suspend(void);
/* A key of ncurses; -1: none. */
int obs_top_screen_key(void);
/* Restores the terminal. Without an open screen: nothing. */
void obs_top_screen_close(void);

#endif
