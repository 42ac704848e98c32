/* top: the command, its keys and signals. */
#include "observerctl/top/top.h"
#include "base/signal_fd.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/term.h"
#include "observerctl/cli/text.h"
#include "observerctl/cli/watchdog.h"

#include <curses.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CTRL_L = 12, ESCAPE = 27, DELETE = 127, DEFAULT_COLUMNS = 120, WHEEL = 1 };

typedef struct {
  obs_top_view view;
  obs_top_data *data;
  obs_top_answer answer; /* to the page that is open */
  obs_top_frame frame;
  obs_top_fetch fetch;
  int signal_fd;
  bool quit;
  char error[256];
} top;

/* ---- what came ---- */

/* While the daemon is away its last numbers stay on the screen. */
static void take_data(top *t) {
  obs_top_data *now = obs_top_fetch_take(&t->fetch), *before = t->data;
  if (now == NULL) return;
  if (now->page.target.id[0] != '\0' && now->health != NULL) { /* also while paused: the page was just opened */
    obs_top_answer_fini(&t->answer);
    t->answer = now->page;
    now->page = (obs_top_answer){0};
    t->view.answer = &t->answer;
  }
  t->view.error = now->error[0] != '\0' ? t->error : NULL;
  if (t->view.error != NULL) snprintf(t->error, sizeof(t->error), "%s", now->error);
  if (now->summary == NULL || t->view.paused) {
    obs_top_data_free(now);
    return;
  }
  /* Rates from this snapshot and the one before; not over a restart. */
  if (before != NULL && before->summary != NULL && now->mono_ms > before->mono_ms) {
    const obs_top_period *a = &before->periods[OBS_TOP_LIFETIME], *b = &now->periods[OBS_TOP_LIFETIME];
    double seconds = (double)(now->mono_ms - before->mono_ms) / 1000;
    bool restarted = b->total < a->total;
    t->view.ops_rate = restarted ? NAN : (b->total - a->total) / seconds;
    t->view.failure_rate = restarted ? NAN : (b->failures - a->failures) / seconds;
  }
  obs_top_data_free(before);
  t->data = now;
  t->view.data = now;
}

/* ---- keys ---- */

static void filter_key(obs_top_view *v, int key) {
  size_t n = strlen(v->filter);
  if (key == ESCAPE) v->filter[0] = '\0';
  if (key == ESCAPE || key == '\r' || key == '\n' || key == KEY_ENTER) {
    v->filtering = false;
  } else if (key == KEY_BACKSPACE || key == DELETE || key == '\b') {
    while (n > 0 && ((unsigned char)v->filter[n - 1] & 0xc0) == 0x80) n--; /* a whole character */
    v->filter[n > 0 ? n - 1 : 0] = '\0';
  } else if (key >= ' ' && key <= 0xff && n + 1 < sizeof(v->filter)) {
    v->filter[n] = (char)key;
    v->filter[n + 1] = '\0';
  }
  v->cursors[OBS_TOP_ENDPOINTS] = (obs_top_cursor){0};
}

/* ---- pages ---- */

/* What the last page is about, or nothing, is asked for from now on. */
static void ask_page(top *t) {
  const obs_top_target nothing = {0};
  obs_top_fetch_page(&t->fetch, t->view.depth > 0 ? &t->view.pages[t->view.depth - 1].target : &nothing);
}

static void open_selected(top *t) {
  obs_top_view *v = &t->view;
  obs_top_target target = {0};
  if (v->depth == OBS_TOP_DEPTH) return;
  if (!(v->depth > 0 ? obs_top_page_selected(v, &target) : obs_top_selected(v, &target))) return;
  v->pages[v->depth++] = (obs_top_page){.target = target};
  ask_page(t);
}

static void go_back(top *t) {
  obs_top_view *v = &t->view;
  if (v->depth == 0) {
    v->filter[0] = '\0';
    return;
  }
  v->depth--;
  ask_page(t);
}

static void move_selection(obs_top_view *v, long rows) {
  if (v->depth > 0)
    obs_top_page_select(v, rows);
  else
    obs_top_select(v, rows);
}

static void move_on(obs_top_view *v, unsigned panes) {
  if (v->depth > 0)
    obs_top_page_next(v);
  else
    v->focus = (v->focus + panes) % OBS_TOP_PANES;
}

static void plain_key(top *t, int key) {
  obs_top_view *v = &t->view;
  long page = v->page > 1 ? v->page - 1 : 1, all = INT32_MAX; /* one row of the page before stays */
  const char *letter = key > 0 && key < 0x80 ? strchr(obs_top_sort_letters, key) : NULL;
  switch (key) {
  case 'q':
  case 'Q':
    t->quit = true;
    break;
  case 'h':
  case '?':
    v->help = true;
    break;
  case ' ':
    v->paused = !v->paused;
    break;
  case CTRL_L:
    obs_top_screen_refit();
    break;
  /* what is shown */
  case 's':
    v->sort = (v->sort + 1) % (unsigned)strlen(obs_top_sort_letters);
    break;
  case 'r':
    v->reverse = !v->reverse;
    break;
  case 'w':
    v->period = (v->period + 1) % OBS_TOP_PERIODS;
    break;
  case '/':
    v->filtering = v->depth == 0;
    v->focus = v->depth == 0 ? OBS_TOP_ENDPOINTS : v->focus;
    break;
  /* what is selected, and what it is about */
  case '\t':
    move_on(v, 1);
    break;
  case KEY_BTAB:
    move_on(v, OBS_TOP_PANES - 1);
    break;
  case KEY_UP:
  case 'k':
    move_selection(v, -WHEEL);
    break;
  case KEY_DOWN:
  case 'j':
    move_selection(v, WHEEL);
    break;
  case KEY_PPAGE:
    move_selection(v, -page);
    break;
  case KEY_NPAGE:
    move_selection(v, page);
    break;
  case KEY_HOME:
  case 'g':
    move_selection(v, -all);
    break;
  case KEY_END:
  case 'G':
    move_selection(v, all);
    break;
  case '\r':
  case '\n':
  case KEY_ENTER:
  case KEY_RIGHT:
    open_selected(t);
    break;
  case ESCAPE:
  case KEY_BACKSPACE:
  case DELETE:
  case '\b':
  case KEY_LEFT:
    go_back(t);
    break;
  default:
    if (letter != NULL) v->sort = (unsigned)(letter - obs_top_sort_letters);
  }
}

/* ---- the command ---- */

static int run_screen(top *t, const obs_args *args, uint64_t interval_ms) {
  static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT};
  char error[256];
  obs_watchdog watchdog = {
      .signal_fd = -1,
      .told_fd = -1}; /* ncurses writes until the terminal has taken all, and takes no notice of signals */
  (void)signal(SIGPIPE, SIG_IGN);
  t->signal_fd = obs_signal_fd_open(signals, sizeof(signals) / sizeof(signals[0]));
  if (t->signal_fd < 0 || !obs_watchdog_open(&watchdog) || !obs_top_fetch_open(&t->fetch, t->view.url, interval_ms)) {
    obs_args_error(args, "%s", strerror(errno));
    obs_top_fetch_close(&t->fetch);
    obs_watchdog_close(&watchdog);
    return OBS_COMMAND_FAILED;
  }
  bool ok = obs_top_screen_open(error, sizeof(error));
  while (ok && !t->quit) {
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = t->signal_fd, .events = POLLIN},
                           {.fd = t->fetch.event_fd, .events = POLLIN}};
    obs_top_screen_size(&t->view.rows, &t->view.columns);
    obs_top_draw(&t->view, &t->frame);
    obs_top_screen_paint(&t->frame);
    if (poll(fds, 3, -1) < 0 && errno != EINTR) break;
    if ((fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) break; /* the terminal has gone */
    for (int number; fds[1].revents != 0 && (number = obs_signal_fd_read(t->signal_fd, NULL)) != 0;) {
      if (number == SIGTSTP)
        obs_top_screen_suspend();
      else if (number == SIGWINCH || number == SIGCONT)
        obs_top_screen_refit();
      else
        t->quit = true;
    }
    for (int key; fds[0].revents != 0 && !t->quit && (key = obs_top_screen_key()) >= 0;) {
      if (t->view.help)
        t->view.help = false;
      else if (t->view.filtering)
        filter_key(&t->view, key);
      else
        plain_key(t, key);
    }
    if (fds[2].revents != 0) take_data(t);
  }
  obs_watchdog_ending(&watchdog);
  obs_top_screen_close();
  obs_top_fetch_close(&t->fetch);
  obs_watchdog_close(&watchdog);
  if (!ok) obs_args_error(args, "%s", error);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static int run_once(top *t, const obs_args *args) {
  bool ask_clusters = true;
  const obs_top_target nothing = {0};
  t->data = obs_top_data_get(t->view.url, &ask_clusters, &nothing);
  if (t->data == NULL || t->data->error[0] != '\0') {
    obs_args_error(args, "%s", t->data != NULL ? t->data->error : "out of memory");
    return OBS_COMMAND_FAILED;
  }
  if (obs_args_given(args, "json")) {
    obs_buf json = {0};
    obs_top_data_json(t->data, t->view.url, &json);
    obs_buf_putc(&json, '\n');
    bool ok = !json.oom;
    if (ok) obs_text_print_json(stdout, json.p, json.len);
    obs_buf_fini(&json);
    return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
  }
  unsigned width = obs_term_width(stdout);
  t->view.data = t->data;
  t->view.columns = width > 0 ? width : DEFAULT_COLUMNS;
  obs_top_draw(&t->view, &t->frame);
  obs_top_frame_print(&t->frame);
  return OBS_COMMAND_OK;
}

static int run_top(const obs_args *args) {
  top t = {
      .view = {.url = obs_args_text(args, "url"),
               .ops_rate = NAN,
               .failure_rate = NAN,
               .focus = OBS_TOP_ENDPOINTS,
               .sort = 1},
      .signal_fd = -1,
  };
  bool once =
      obs_args_given(args, "once") || obs_args_given(args, "json") || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO);
  int status = once ? run_once(&t, args) : run_screen(&t, args, obs_args_u64(args, "interval"));
  obs_top_data_free(t.data);
  obs_top_answer_fini(&t.answer);
  obs_top_view_fini(&t.view);
  obs_top_frame_fini(&t.frame);
  if (t.signal_fd >= 0) close(t.signal_fd);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    {"interval", 'i', "TIME", .initial = "1", .type = OBS_OPTION_TIME, .min = 100, .max = 3600000,
     .help = "how often to ask the daemon: 500ms, or a number of seconds"},
    {"once", '1', .help = "print one frame as text and exit; the default without a terminal"},
    {"json", 'j', .help = "print the data of one frame as JSON and exit"},
};

OBS_COMMAND(top) = {
    .name = "top",
    .summary = "the daemon at a glance, full-screen",
    .description = "Shows rates, transports, sources, endpoints with their durations and share of failures, the open "
                   "failure clusters and the latest failures, and refreshes them every --interval. The last row shows "
                   "the keys; h lists all. While the daemon is away, the first row says so and the last numbers stay, "
                   "dimmed; top continues by itself.\n\n"
                   "Arrow keys select a row, and Enter shows its details: what fails at an endpoint or source, the "
                   "cause of a cluster and what to do about it, the ops that an analysis cites, an op as recorded. "
                   "Escape goes back.",
    .examples = "observerctl top\n"
                "observerctl top --url http://10.0.0.7:3800 --interval 5\n"
                "observerctl top --once --json | jq .failing",
    .flags = OBS_TABLE(flags),
    .run = run_top,
};
