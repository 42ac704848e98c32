/* What a terminal gets and a pipe does not: colours, the width, a progress line; and what it cannot show. */
#ifndef OBS_OBSERVERCTL_TERM_H
#define OBS_OBSERVERCTL_TERM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum {
  OBS_STYLE_PLAIN,
  OBS_STYLE_BOLD,
  OBS_STYLE_DIM,
  OBS_STYLE_RED,
  OBS_STYLE_GREEN,
  OBS_STYLE_YELLOW
} obs_term_look;

/* "always", "never", or "auto": on a terminal that is not dumb, unless NO_COLOR is set. Once, before the others. */
void obs_term_set_colour(const char *when);
/* Whether colours are wanted where `terminal` says that it is one that has them. */
bool obs_term_wants_colour(bool terminal);
/* The escape that starts a style, "" without colours. PLAIN ends all. */
const char *obs_term_style(FILE *out, obs_term_look style);
/* Whether the locale's characters are UTF-8. */
bool obs_term_is_utf8(void);
/* What stands for a character where they are not: "x" for the multiplication sign. NULL: there is nothing like it. */
const char *obs_term_ascii(uint32_t character);
/* Columns of the terminal behind `out`; 0: it is none. */
unsigned obs_term_width(FILE *out);

/* Columns in which sentences wrap: the terminal's, as far as a line can be read at a glance; UINT_MAX: it is none. */
unsigned obs_term_text_width(FILE *out);

/* A progress line on stderr, redrawn at most 10 times a second; silent when stderr is not a terminal. */
typedef struct {
  const char *what; /* "ops" */
  uint64_t total;   /* 0: not known */
  uint64_t started_ms, drawn_ms;
  bool shown;
} obs_term_progress;

void obs_term_progress_start(obs_term_progress *p, const char *what, uint64_t total);
/* `done` of what total counts; `note` follows it, NULL: nothing. */
void obs_term_progress_update(obs_term_progress *p, uint64_t done, const char *note);
/* Takes the line away. */
void obs_term_progress_end(obs_term_progress *p);

#endif
