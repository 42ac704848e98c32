#include "observerctl/cli/text.h"

#include "base/terminal.h"
#include "base/utf8.h"
#include "observerctl/cli/term.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <wchar.h>

/* What stands for one character. */
typedef struct {
  char text[12];
  size_t len;
  unsigned columns;
} piece;

void obs_text_setup(void) {
  static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
  bool named = false;
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    const char *value = getenv(names[i]);
    named = named || (value != NULL && *value != '\0');
  }
  if (setlocale(LC_CTYPE, named ? "" : "C.UTF-8") == NULL) (void)setlocale(LC_CTYPE, "C.UTF-8");
}

static void escape(piece *out, const char *fmt, unsigned c) {
  out->columns = (unsigned)snprintf(out->text, sizeof(out->text), fmt, c);
  out->len = out->columns;
}

/* Reads the character at `p`; returns its bytes. */
static size_t next_piece(const char *p, size_t len, piece *out) {
  static const char letters[] = "abtnvfr";
  enum { REPLACEMENT = 0xfffd };
  size_t n = obs_utf8_char(p, len);
  uint32_t c = n > 0 ? obs_terminal_character(p, n) : REPLACEMENT;
  if (n == 0) {
    p = "\xef\xbf\xbd";
    len = 3;
  }
  bool narrow = c >= 0x80 && !obs_term_is_utf8();
  const char *ascii = narrow ? obs_term_ascii(c) : NULL;
  int columns = c == REPLACEMENT ? 1 : wcwidth((wchar_t)c);
  if (ascii != NULL) {
    out->len = strlen(ascii);
    memcpy(out->text, ascii, out->len);
    out->columns = (unsigned)out->len;
  } else if (c >= 7 && c < 7 + sizeof(letters) - 1) {
    escape(out, "\\%c", (unsigned char)letters[c - 7]);
  } else if (c < 0x20 || c == 0x7f) {
    escape(out, "\\x%02x", c);
  } else if (columns < 0 || obs_terminal_acts(c) || narrow) {
    escape(out, "\\u%04x", c);
  } else {
    out->len = n > 0 ? n : len;
    memcpy(out->text, p, out->len);
    out->columns = (unsigned)columns;
  }
  return n > 0 ? n : 1;
}

void obs_text_json(obs_buf *out, const char *json, size_t len) {
  for (size_t at = 0; at < len;) {
    size_t n = obs_utf8_char(json + at, len - at);
    uint32_t c = n > 0 ? obs_terminal_character(json + at, n) : 0;
    if (c >= 0x20 && obs_terminal_acts(c)) /* those below are white space between members */
      obs_buf_printf(out, "\\u%04x", (unsigned)c);
    else
      obs_buf_append(out, json + at, n > 0 ? n : 1);
    at += n > 0 ? n : 1;
  }
}

void obs_text_print_json(FILE *out, const char *json, size_t len) {
  obs_buf shown = {0};
  while (len > 0 && strchr("\r\n", json[len - 1]) != NULL) len--;
  if (isatty(fileno(out))) {
    obs_text_json(&shown, json, len);
    json = shown.oom ? "" : shown.p;
    len = shown.oom ? 0 : shown.len;
  }
  if (len > 0) (void)fwrite(json, 1, len, out);
  fputc('\n', out);
  obs_buf_fini(&shown);
}

unsigned obs_text_put(obs_buf *out, const char *s, size_t len, unsigned columns) {
  unsigned used = 0, kept_used = 0;
  size_t kept = out->len; /* where the mark still has room behind it */
  piece c;
  for (size_t i = 0; i < len;) {
    i += next_piece(s + i, len - i, &c);
    if (used + c.columns > columns) {
      if (out->oom || columns == 0) return 0;
      out->len = kept;
      obs_buf_puts(out, obs_term_is_utf8() ? "\xe2\x80\xa6" : "~");
      return kept_used + 1;
    }
    obs_buf_append(out, c.text, c.len);
    used += c.columns;
    if (used < columns) {
      kept = out->len;
      kept_used = used;
    }
  }
  return used;
}

void obs_text_vprintf(FILE *out, const char *fmt, va_list ap) {
  obs_buf shown = {0};
  char *text;
  int len = vasprintf(&text, fmt, ap);
  if (len < 0) return;
  (void)obs_text_put(&shown, text, (size_t)len, OBS_TEXT_ALL);
  if (shown.len > 0) (void)fwrite(shown.p, 1, shown.len, out);
  obs_buf_fini(&shown);
  free(text);
}

void obs_text_printf(FILE *out, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  obs_text_vprintf(out, fmt, ap);
  va_end(ap);
}

void obs_text_pad(obs_buf *out, const char *s, size_t len, unsigned columns) {
  for (unsigned used = obs_text_put(out, s, len, columns); used < columns; used++) obs_buf_putc(out, ' ');
}

size_t obs_text_line(obs_buf *out, const char *s, size_t len, unsigned columns, unsigned *used) {
  size_t at = 0, start = out->len;
  struct {
    size_t at, len;
    unsigned used;
  } broken = {0}; /* where the line can end: before the last space */
  piece c;
  *used = 0;
  while (at < len && s[at] == ' ') at++;
  for (size_t n; at < len; at += n) {
    n = next_piece(s + at, len - at, &c);
    /* A number stays with its per cent sign. */
    if (s[at] == ' ' && s[at - 1] != ' ' && (at + 1 == len || s[at + 1] != '%')) {
      broken.at = at;
      broken.len = out->len;
      broken.used = *used;
    }
    if (*used + c.columns > columns && *used > 0) {
      if (broken.used > 0) {
        at = broken.at;
        if (!out->oom) out->len = broken.len;
        *used = broken.used;
      } /* else one word is longer than the line, and goes on in the next */
      break;
    }
    obs_buf_append(out, c.text, c.len);
    *used += c.columns;
  }
  while (at < len && s[at] == ' ') at++;
  while (at == len && out->len > start && out->p[out->len - 1] == ' ') {
    out->len--;
    --*used;
  }
  return at;
}

void obs_text_wrap(obs_buf *out, const char *s, size_t len, unsigned indent, unsigned columns) {
  unsigned room = columns == OBS_TEXT_ALL ? columns : columns > indent ? columns - indent : 1, used;
  for (size_t at = 0; at < len;) {
    size_t start = out->len;
    for (unsigned i = 0; i < indent; i++) obs_buf_putc(out, ' ');
    at += obs_text_line(out, s + at, len - at, room, &used);
    if (used > 0)
      obs_buf_putc(out, '\n');
    else if (!out->oom)
      out->len = start; /* nothing but spaces */
  }
}

char *obs_text_count(char out[OBS_TEXT_NUMBER], uint64_t n) {
  char digits[24], *p = out;
  int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
  for (int i = 0; i < len; i++) {
    if (i > 0 && (len - i) % 3 == 0) *p++ = ',';
    *p++ = digits[i];
  }
  *p = '\0';
  return out;
}

char *obs_text_counted(char out[OBS_TEXT_COUNTED], uint64_t n, const char *noun) {
  char count[OBS_TEXT_NUMBER];
  snprintf(out, OBS_TEXT_COUNTED, "%s %.24s%s", obs_text_count(count, n), noun, n == 1 ? "" : "s");
  return out;
}

char *obs_text_short(char out[OBS_TEXT_NUMBER], double v) {
  static const char units[] = "kMGTPE";
  if (isnan(v) || v < 0) {
    snprintf(out, OBS_TEXT_NUMBER, "-");
  } else if (v < 99.95 && floor(v) != v) {
    snprintf(out, OBS_TEXT_NUMBER, v < 9.995 ? "%.2f" : "%.1f", v);
  } else if (v < 99999.5) {
    obs_text_count(out, (uint64_t)llround(v));
  } else {
    size_t unit = 0;
    for (v /= 1000; v >= 999.5 && unit + 2 < sizeof(units); unit++) v /= 1000;
    snprintf(out, OBS_TEXT_NUMBER, v < 9.995 ? "%.2f%c" : v < 99.95 ? "%.1f%c" : "%.0f%c", v, units[unit]);
  }
  return out;
}

char *obs_text_duration(char out[OBS_TEXT_NUMBER], double ms) {
  double s = ms / 1000;
  if (isnan(ms) || ms < 0)
    snprintf(out, OBS_TEXT_NUMBER, "-");
  else if (ms < 999.5)
    snprintf(out, OBS_TEXT_NUMBER, ms < 9.95 && floor(ms) != ms ? "%.1f ms" : "%.0f ms", ms);
  else if (s < 59.95)
    snprintf(out, OBS_TEXT_NUMBER, s < 9.995 ? "%.2f s" : "%.1f s", s);
  else if (s < 3599.5)
    snprintf(out, OBS_TEXT_NUMBER, "%dm%02ds", (int)llround(s) / 60, (int)llround(s) % 60);
  else if (s < 172800)
    snprintf(out, OBS_TEXT_NUMBER, "%dh%02dm", (int)(s / 3600), (int)fmod(s / 60, 60));
  else
    snprintf(out, OBS_TEXT_NUMBER, "%.0fd%02dh", floor(s / 86400), (int)fmod(s / 3600, 24));
  return out;
}
