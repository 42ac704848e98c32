/* Rows of styled text, and ncurses that shows them: nothing of it is elsewhere but the names of keys. Its own signal
 * handlers never run: the caller blocks those signals and reads them from a descriptor. */
#include "observerctl/cli/term.h"
#include "observerctl/cli/text.h"
#include "observerctl/top/top.h"

#include <curses.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- rows ---- */

enum { KEEP_BYTES = 1 << 20, GAP = 2 };

void obs_top_frame_reset(obs_top_frame *f, unsigned columns) {
  obs_buf_reset(&f->text, KEEP_BYTES);
  obs_buf_reset(&f->spans, KEEP_BYTES);
  f->nspans = 0;
  f->columns = columns;
  f->row = f->used = 0;
  f->dim = false;
}

void obs_top_frame_fini(obs_top_frame *f) {
  obs_buf_fini(&f->text);
  obs_buf_fini(&f->spans);
}

/* What was appended to `text` since `at` becomes a span. */
static void add_span(obs_top_frame *f, obs_top_style style, size_t at, unsigned used) {
  if (f->dim && style != OBS_TOP_REVERSE) style = OBS_TOP_DIM;
  obs_top_span span = {f->row, style, at, f->text.len - at};
  if (f->text.oom || span.len == 0) return;
  obs_buf_append(&f->spans, &span, sizeof(span));
  if (!f->spans.oom) f->nspans++;
  f->used += used;
}

void obs_top_put(obs_top_frame *f, obs_top_style style, const char *text) {
  size_t at = f->text.len;
  unsigned used = obs_text_put(&f->text, text, strlen(text), f->columns - f->used);
  add_span(f, style, at, used);
}

/* Long enough for any line of text that is made here; what is longer is cut. */
static void format(char out[512], const char *fmt, va_list ap) {
  (void)vsnprintf(out, 512, fmt, ap);
}

void obs_top_printf(obs_top_frame *f, obs_top_style style, const char *fmt, ...) {
  char text[512];
  va_list ap;
  va_start(ap, fmt);
  format(text, fmt, ap);
  va_end(ap);
  obs_top_put(f, style, text);
}

void obs_top_cell(obs_top_frame *f, obs_top_style style, const char *text, unsigned columns, bool right) {
  obs_buf cell = {0};
  unsigned used = obs_text_put(&cell, text, strlen(text), columns);
  unsigned pad = columns - used;
  size_t at = f->text.len;
  unsigned left = f->columns - f->used;
  for (unsigned i = 0; right && i < pad; i++) obs_buf_putc(&f->text, ' ');
  obs_buf_append(&f->text, cell.p, cell.len);
  for (unsigned i = 0; !right && i < pad; i++) obs_buf_putc(&f->text, ' ');
  obs_buf_putc(&f->text, ' ');
  if (columns + 1 <= left) {
    add_span(f, style, at, columns + 1);
  } else { /* cut */
    obs_buf_reset(&cell, KEEP_BYTES);
    obs_buf_append(&cell, f->text.p + at, f->text.len - at);
    f->text.len = at;
    used = obs_text_put(&f->text, cell.p, cell.len, left);
    add_span(f, style, at, used);
  }
  obs_buf_fini(&cell);
}

void obs_top_word(obs_top_frame *f, obs_top_style style, const char *fmt, ...) {
  char text[512];
  obs_buf measured = {0};
  va_list ap;
  va_start(ap, fmt);
  format(text, fmt, ap);
  va_end(ap);
  unsigned width = obs_text_put(&measured, text, strlen(text), OBS_TEXT_ALL);
  obs_buf_fini(&measured);
  if (f->used > 0 && f->used + GAP + width > f->columns)
    obs_top_next_row(f);
  else if (f->used > 0)
    obs_top_put(f, OBS_TOP_PLAIN, "  ");
  obs_top_put(f, style, text);
}

void obs_top_next_row(obs_top_frame *f) {
  f->row++;
  f->used = 0;
}

void obs_top_frame_print(const obs_top_frame *f) {
  obs_buf row = {0};
  for (size_t i = 0; i < f->nspans; i++) {
    const obs_top_span *s = obs_top_span_at(f, i);
    obs_buf_append(&row, f->text.p + s->at, s->len);
    if (i + 1 < f->nspans && obs_top_span_at(f, i + 1)->row == s->row) continue;
    while (row.len > 0 && row.p[row.len - 1] == ' ') row.len--;
    obs_buf_putc(&row, '\n');
    if (!row.oom) fwrite(row.p, 1, row.len, stdout);
    obs_buf_reset(&row, row.cap);
  }
  obs_buf_fini(&row);
}

/* ---- the screen ---- */

enum { ESCAPE_MS = 25 };

static const struct {
  attr_t attributes;
  short colour; /* -1: as it is */
} styles[OBS_TOP_STYLES] = {
    [OBS_TOP_PLAIN] = {A_NORMAL, -1},
    [OBS_TOP_BOLD] = {A_BOLD, -1},
    [OBS_TOP_DIM] = {A_DIM, -1},
    [OBS_TOP_RED] = {A_NORMAL, COLOR_RED},
    [OBS_TOP_GREEN] = {A_NORMAL, COLOR_GREEN},
    [OBS_TOP_YELLOW] = {A_NORMAL, COLOR_YELLOW},
    [OBS_TOP_REVERSE] = {A_REVERSE, -1},
};

static SCREEN *screen;
static bool coloured; /* the screen has colours, and they are wanted */

bool obs_top_screen_open(char *error, size_t size) {
  const char *term = getenv("TERM");
  set_escdelay(ESCAPE_MS);
  screen = newterm(NULL, stdout, stdin);
  if (screen == NULL) {
    snprintf(error, size, "TERM=%s: not a terminal that is known here (--once prints without one)",
             term != NULL ? term : "");
    return false;
  }
  set_term(screen);
  if (tigetstr("cup") == NULL) { /* the cursor cannot be moved */
    obs_top_screen_close();
    snprintf(error, size, "TERM=%s: this terminal shows lines only (--once prints one frame)",
             term != NULL ? term : "");
    return false;
  }
  cbreak();
  noecho();
  nonl();
  intrflush(stdscr, FALSE);
  keypad(stdscr, TRUE);
  nodelay(stdscr, TRUE);
  (void)curs_set(0);
  coloured = obs_term_wants_colour(has_colors()) && has_colors() && start_color() == OK;
  if (!coloured) return true;
  short background = use_default_colors() == OK ? -1 : COLOR_BLACK;
  for (int i = 0; i < OBS_TOP_STYLES; i++)
    if (styles[i].colour >= 0) (void)init_pair((short)(i + 1), styles[i].colour, background);
  return true;
}

void obs_top_screen_size(unsigned *rows, unsigned *columns) {
  int y = getmaxy(stdscr), x = getmaxx(stdscr);
  *rows = y > 0 ? (unsigned)y : 1;
  *columns = x > 0 ? (unsigned)x : 1;
}

void obs_top_screen_paint(const obs_top_frame *f) {
  int rows = getmaxy(stdscr);
  werase(stdscr);
  for (size_t i = 0; i < f->nspans; i++) {
    const obs_top_span *s = obs_top_span_at(f, i);
    if (s->row >= (unsigned)rows) break;
    if (i == 0 || s->row != obs_top_span_at(f, i - 1)->row) (void)wmove(stdscr, (int)s->row, 0);
    bool painted = styles[s->style].colour >= 0 && coloured;
    wattrset(stdscr, (int)(styles[s->style].attributes | (painted ? (attr_t)COLOR_PAIR(s->style + 1) : 0)));
    (void)waddnstr(stdscr, f->text.p + s->at, (int)s->len);
  }
  wattrset(stdscr, A_NORMAL);
  wrefresh(stdscr);
}

void obs_top_screen_refit(void) {
  struct winsize size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
    (void)resizeterm(size.ws_row, size.ws_col);
  clearok(curscr, TRUE);
}

void obs_top_screen_suspend(void) {
  struct sigaction stop = {.sa_handler = SIG_DFL}, old;
  sigset_t set;
  def_prog_mode();
  endwin();
  sigemptyset(&set);
  sigaddset(&set, SIGTSTP);
  (void)sigaction(SIGTSTP, &stop, &old);
  (void)raise(SIGTSTP); /* is pending until it is let through: then the process stops here */
  (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
  (void)sigaction(SIGTSTP, &old, NULL);
  reset_prog_mode();
  obs_top_screen_refit();
}

int obs_top_screen_key(void) {
  int key = wgetch(stdscr);
  return key == ERR ? -1 : key;
}

void obs_top_screen_close(void) {
  if (screen == NULL) return;
  endwin();
  delscreen(screen);
  screen = NULL;
}
