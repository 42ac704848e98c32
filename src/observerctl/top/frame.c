#include "observerctl/cli/text.h"
#include "observerctl/top/top.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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
