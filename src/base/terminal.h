/* Text of others in front of a person: nothing of it acts on a terminal. */
#ifndef OBS_BASE_TERMINAL_H
#define OBS_BASE_TERMINAL_H

#include "base/buf.h"

#include <stdbool.h>

/* Whether a character acts on a terminal in place of being shown: controls (C0, DEL, C1), those that turn the direction
 * of writing, and separators of lines and paragraphs. */
bool obs_terminal_acts(uint32_t character);
/* The value of a valid character of `n` bytes (obs_utf8_char). */
uint32_t obs_terminal_character(const char *p, size_t n);
/* Appends a text: characters that act show as \u009b, but for those below U+0020, which become spaces (with `lines`,
 * newlines stay); bytes that are not UTF-8 show as U+FFFD. */
void obs_terminal_put(obs_buf *out, const char *p, size_t len, bool lines);

#endif
