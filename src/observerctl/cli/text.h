/* Text of others on a terminal, and numbers for people.
 *
 * What a text holds never acts on the terminal: control characters show as \n, \t or \x1b, characters that turn the
 * direction of writing or have no shape as \u202e, and bytes that are not UTF-8 as U+FFFD. In a locale without UTF-8
 * other characters show as ASCII that looks alike (obs_term_ascii), or as \u65e5. Columns are the terminal's: wide
 * characters take two, combining ones none. */
#ifndef OBS_OBSERVERCTL_TEXT_H
#define OBS_OBSERVERCTL_TEXT_H

#include "base/buf.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#define OBS_TEXT_ALL UINT_MAX /* columns: nothing is cut */
enum { OBS_TEXT_NUMBER = 32, OBS_TEXT_COUNTED = OBS_TEXT_NUMBER + 26 };

/* The locale's characters, C.UTF-8 when none is set. Once, before the others. */
void obs_text_setup(void);
/* Appends at most `columns` columns of `s`; the last one is … (~ without UTF-8) when it was cut. Returns the columns
 * used. */
unsigned obs_text_put(obs_buf *out, const char *s, size_t len, unsigned columns);
/* Prints a formatted text the same way, whole: what messages quote cannot act on the terminal. */
void obs_text_printf(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void obs_text_vprintf(FILE *out, const char *fmt, va_list ap);
/* The same as obs_text_put, filled up with spaces. */
void obs_text_pad(obs_buf *out, const char *s, size_t len, unsigned columns);

/* Appends the first line of the text, of at most `columns` columns: it ends at a space where there is one, else inside
 * of the word. Returns how many bytes it took, with the spaces around it. */
size_t obs_text_line(obs_buf *out, const char *s, size_t len, unsigned columns, unsigned *used);
/* Appends the whole text as such lines, each begun with `indent` spaces (which count) and ended with a newline. Nothing
 * for an empty text. */
void obs_text_wrap(obs_buf *out, const char *s, size_t len, unsigned indent, unsigned columns);

/* Prints JSON text and one newline: as it is, or as obs_text_json makes it where `out` is a terminal. */
void obs_text_print_json(FILE *out, const char *json, size_t len);
/* Appends equivalent JSON text in which characters that could act on a terminal are escaped (\u009b). */
void obs_text_json(obs_buf *out, const char *json, size_t len);

/* Each returns `out`. */
/* 1,234,567 */
char *obs_text_count(char out[OBS_TEXT_NUMBER], uint64_t n);
/* 1 failure, 1,234 failures: `noun` in the singular, which takes an s. At most 24 characters of it. */
char *obs_text_counted(char out[OBS_TEXT_COUNTED], uint64_t n, const char *noun);
/* 0.25, 12.5, 12,345, 1.23M; - when it is no number. */
char *obs_text_short(char out[OBS_TEXT_NUMBER], double v);
/* 120 ms, 12.5 s, 3m04s, 2h05m, 3d04h; - when it is no duration. */
char *obs_text_duration(char out[OBS_TEXT_NUMBER], double ms);

#endif
