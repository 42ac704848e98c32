#include "observerctl/cli/table.h"

#include "observerctl/cli/text.h"

enum { GAP = 2, LEAST = 6, NOTE_INDENT = 4 };

void obs_table_init(obs_table *t, const obs_table_column *columns, unsigned ncolumns) {
  *t = (obs_table){.columns = columns, .ncolumns = ncolumns};
}

void obs_table_fini(obs_table *t) {
  obs_buf_fini(&t->text);
  obs_buf_fini(&t->cells);
  obs_buf_fini(&t->notes);
}

void obs_table_note(obs_table *t, const char *text, size_t len) {
  obs_table_cell cell = {t->text.len, len, OBS_STYLE_PLAIN};
  obs_buf_append(&t->text, text, len);
  obs_buf_append(&t->notes, &cell, sizeof(cell));
}

void obs_table_put(obs_table *t, obs_term_look style, const char *text, size_t len) {
  obs_table_cell cell = {t->text.len, len, style};
  obs_buf_append(&t->text, text, len);
  obs_buf_append(&t->cells, &cell, sizeof(cell));
}

void obs_table_puts(obs_table *t, obs_term_look style, const char *text) {
  obs_table_put(t, style, text, strlen(text));
}

/* As wide as the widest cell. Beyond `width` columns in all (0: any) the widest of those that give gets narrower,
 * column by column, down to LEAST. */
static void measure(const obs_table *t, size_t nrows, unsigned width, obs_buf *scratch, unsigned *widths) {
  const obs_table_cell *cells = (const obs_table_cell *)(const void *)t->cells.p;
  unsigned total = GAP * (t->ncolumns - 1);
  for (unsigned c = 0; c < t->ncolumns; c++) {
    widths[c] = (unsigned)strlen(t->columns[c].title);
    for (size_t row = 0; row < nrows; row++) {
      const obs_table_cell *cell = &cells[row * t->ncolumns + c];
      scratch->len = 0;
      unsigned w = obs_text_put(scratch, t->text.p + cell->at, cell->len, OBS_TEXT_ALL);
      if (w > widths[c]) widths[c] = w;
    }
    total += widths[c];
  }
  for (; width > 0 && total > width; total--) {
    unsigned *widest = NULL;
    for (unsigned c = 0; c < t->ncolumns; c++) {
      if (t->columns[c].gives && widths[c] > LEAST && (widest == NULL || widths[c] > *widest)) widest = &widths[c];
    }
    if (widest == NULL) return;
    --*widest;
  }
}

typedef struct {
  FILE *out;
  obs_buf *scratch;
  unsigned left; /* columns of the line; 0 when `bounded`: the line is full */
  bool bounded;
} line;

static void put_spaces(line *l, unsigned n) {
  if (l->bounded && n > l->left) n = l->left;
  l->left -= l->bounded ? n : 0;
  fprintf(l->out, "%*s", (int)n, "");
}

/* One cell, padded to `width` unless it is the last of its line. */
static void put_cell(line *l, const obs_table_column *column, unsigned width, bool last, obs_term_look style,
                     const char *text, size_t len) {
  if (l->bounded && width > l->left) width = l->left;
  if (width == 0) return;
  l->scratch->len = 0;
  unsigned w = obs_text_put(l->scratch, text, len, width), pad = width > w ? width - w : 0;
  if (column->right) put_spaces(l, pad);
  const char *start = style != OBS_STYLE_PLAIN ? obs_term_style(l->out, style) : "";
  fputs(start, l->out);
  (void)fwrite(l->scratch->p, 1, l->scratch->len, l->out);
  if (*start != '\0') fputs(obs_term_style(l->out, OBS_STYLE_PLAIN), l->out);
  l->left -= l->bounded ? w : 0;
  if (!column->right && !last) put_spaces(l, pad);
}

bool obs_table_print(const obs_table *t, FILE *out) {
  const obs_table_cell *cells = (const obs_table_cell *)(const void *)t->cells.p;
  const obs_table_cell *notes = (const obs_table_cell *)(const void *)t->notes.p;
  size_t nrows = t->cells.len / sizeof(obs_table_cell) / t->ncolumns;
  unsigned widths[OBS_TABLE_MAX], width = obs_term_width(out);
  obs_buf scratch = {0};
  if (t->text.oom || t->cells.oom || t->notes.oom || !obs_buf_reserve(&scratch, 1)) return false;
  measure(t, nrows, width, &scratch, widths);
  for (size_t row = 0; nrows > 0 && row <= nrows; row++) {
    line l = {out, &scratch, width, width > 0};
    for (unsigned c = 0; c < t->ncolumns; c++) {
      const obs_table_cell *cell = row > 0 ? &cells[(row - 1) * t->ncolumns + c] : NULL;
      const char *text = cell != NULL ? t->text.p + cell->at : t->columns[c].title;
      if (c > 0) put_spaces(&l, GAP);
      put_cell(&l, &t->columns[c], widths[c], c + 1 == t->ncolumns, cell != NULL ? cell->style : OBS_STYLE_BOLD, text,
               cell != NULL ? cell->len : strlen(text));
    }
    fputc('\n', out);
    if (row == 0 || t->notes.len < row * sizeof(*notes)) continue;
    scratch.len = 0;
    obs_text_wrap(&scratch, t->text.p + notes[row - 1].at, notes[row - 1].len, NOTE_INDENT,
                  width > 0 ? width : OBS_TEXT_ALL);
    (void)fwrite(scratch.p, 1, scratch.len, out);
  }
  bool ok = !scratch.oom;
  obs_buf_fini(&scratch);
  return ok;
}
