#include "observerctl/cli/term.h"

#include "base/clock.h"

#include <inttypes.h>
#include <langinfo.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { REDRAW_MS = 100, BAR = 24, TEXT_WIDTH_MAX = 120 };

static enum { AUTO, ALWAYS, NEVER } colour;

void obs_term_set_colour(const char *when) {
  colour = strcmp(when, "always") == 0 ? ALWAYS : strcmp(when, "never") == 0 ? NEVER : AUTO;
}

bool obs_term_wants_colour(bool terminal) {
  const char *no_color = getenv("NO_COLOR");
  if (colour != AUTO) return colour == ALWAYS;
  return terminal && (no_color == NULL || *no_color == '\0');
}

const char *obs_term_style(FILE *out, obs_term_look style) {
  static const char *const escapes[] = {
      [OBS_STYLE_PLAIN] = "\033[0m", [OBS_STYLE_BOLD] = "\033[1m",   [OBS_STYLE_DIM] = "\033[2m",
      [OBS_STYLE_RED] = "\033[31m",  [OBS_STYLE_GREEN] = "\033[32m", [OBS_STYLE_YELLOW] = "\033[33m",
  };
  const char *term = getenv("TERM");
  bool able = term != NULL && strcmp(term, "dumb") != 0 && isatty(fileno(out));
  return obs_term_wants_colour(able) ? escapes[style] : "";
}

bool obs_term_is_utf8(void) {
  return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

const char *obs_term_ascii(uint32_t character) {
  static const struct {
    uint32_t character;
    const char *ascii;
  } alike[] = {
      {0xa0, " "},    {0xb1, "+-"},   {0xb7, "*"},    {0xd7, "x"},    {0x2010, "-"},  {0x2011, "-"}, {0x2013, "-"},
      {0x2014, "-"},  {0x2018, "'"},  {0x2019, "'"},  {0x201c, "\""}, {0x201d, "\""}, {0x2022, "*"}, {0x2026, "..."},
      {0x2190, "<-"}, {0x2191, "^"},  {0x2192, "->"}, {0x2193, "v"},  {0x2212, "-"},  {0x2248, "~"}, {0x2260, "!="},
      {0x2264, "<="}, {0x2265, ">="}, {0x2500, "-"},  {0x2502, "|"},  {0x25b8, ">"},  {0xfffd, "?"},
  };
  for (size_t i = 0; i < sizeof(alike) / sizeof(alike[0]); i++)
    if (alike[i].character == character) return alike[i].ascii;
  return NULL;
}

unsigned obs_term_width(FILE *out) {
  struct winsize size;
  if (!isatty(fileno(out)) || ioctl(fileno(out), TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col > 0 ? size.ws_col : 80;
}

unsigned obs_term_text_width(FILE *out) {
  unsigned width = obs_term_width(out);
  return width == 0 ? UINT_MAX : width < TEXT_WIDTH_MAX ? width : TEXT_WIDTH_MAX;
}

void obs_term_progress_start(obs_term_progress *p, const char *what, uint64_t total) {
  *p = (obs_term_progress){.what = what, .total = total, .started_ms = obs_clock_mono_ms()};
}

void obs_term_progress_update(obs_term_progress *p, uint64_t done, const char *note) {
  uint64_t now = obs_clock_mono_ms();
  if ((p->shown && now - p->drawn_ms < REDRAW_MS) || !isatty(STDERR_FILENO)) return;
  double seconds = (double)(now - p->started_ms) / 1000;
  p->shown = true;
  p->drawn_ms = now;
  fputs("\r\033[K", stderr);
  if (p->total > 0) {
    uint64_t part = done < p->total ? done : p->total;
    fputc('[', stderr);
    for (uint64_t i = 0; i < BAR; i++) fputc(i < part * BAR / p->total ? '#' : '.', stderr);
    fprintf(stderr, "] %3d%% ", (int)(part * 100 / p->total));
  }
  fprintf(stderr, "%" PRIu64 " %s", done, p->what);
  if (seconds > 0) fprintf(stderr, ", %.0f/s", (double)done / seconds);
  if (note != NULL) fprintf(stderr, ", %s", note);
  fflush(stderr);
}

void obs_term_progress_end(obs_term_progress *p) {
  if (p->shown) fputs("\r\033[K", stderr);
  p->shown = false;
}
