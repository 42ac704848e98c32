/* ncurses, and nothing of it elsewhere. Its own signal handlers never run: the caller blocks those signals and reads
 * them from a descriptor. */
#include "observerctl/top/top.h"

#include <curses.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

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

static void set_colours(void) {
  const char *no_color = getenv("NO_COLOR");
  if (!has_colors() || (no_color != NULL && *no_color != '\0') || start_color() == ERR) return;
  short background = use_default_colors() == OK ? -1 : COLOR_BLACK;
  for (int i = 0; i < OBS_TOP_STYLES; i++)
    if (styles[i].colour >= 0) (void)init_pair((short)(i + 1), styles[i].colour, background);
}

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
  cbreak();
  noecho();
  nonl();
  intrflush(stdscr, FALSE);
  keypad(stdscr, TRUE);
  nodelay(stdscr, TRUE);
  (void)curs_set(0);
  set_colours();
  return true;
}

void obs_top_screen_size(unsigned *rows, unsigned *columns) {
  int y = getmaxy(stdscr), x = getmaxx(stdscr);
  *rows = y > 0 ? (unsigned)y : 1;
  *columns = x > 0 ? (unsigned)x : 1;
}

static attr_t attributes_of(obs_top_style style) {
  attr_t a = styles[style].attributes;
  return styles[style].colour >= 0 && has_colors() ? a | (attr_t)COLOR_PAIR(style + 1) : a;
}

void obs_top_screen_paint(const obs_top_frame *f) {
  int rows = getmaxy(stdscr);
  werase(stdscr);
  for (size_t i = 0; i < f->nspans; i++) {
    const obs_top_span *s = obs_top_span_at(f, i);
    if (s->row >= (unsigned)rows) break;
    if (i == 0 || s->row != obs_top_span_at(f, i - 1)->row) (void)wmove(stdscr, (int)s->row, 0);
    wattrset(stdscr, (int)attributes_of(s->style));
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
