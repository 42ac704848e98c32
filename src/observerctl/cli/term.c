#include "observerctl/cli/term.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { REDRAW_MS = 100, BAR = 24 };

const char *obs_term_style(FILE *out, obs_term_look style) {
  static const char *const escapes[] = {
      [OBS_STYLE_PLAIN] = "\033[0m", [OBS_STYLE_BOLD] = "\033[1m",   [OBS_STYLE_DIM] = "\033[2m",
      [OBS_STYLE_RED] = "\033[31m",  [OBS_STYLE_GREEN] = "\033[32m", [OBS_STYLE_YELLOW] = "\033[33m",
  };
  const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
  bool plain = term == NULL || strcmp(term, "dumb") == 0 || (no_color != NULL && *no_color != '\0');
  return plain || !isatty(fileno(out)) ? "" : escapes[style];
}

unsigned obs_term_width(FILE *out) {
  struct winsize size;
  if (!isatty(fileno(out)) || ioctl(fileno(out), TIOCGWINSZ, &size) != 0) return 0;
  return size.ws_col > 0 ? size.ws_col : 80;
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
