#include "observerctl/cli/table.h"

#include "observerctl/cli/text.h"

/* LEAST_WRAPPED: words do not fit into less. BELOW_INDENT: of what stands below the first cell. */
enum { GAP = 2, LEAST = 6, LEAST_WRAPPED = 20, NOTE_INDENT = 4, BELOW_INDENT = 2, NARROW = 100 };

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

/* ---- widths ---- */

/* How a table is printed. */
typedef struct {
  const obs_table *t;
  FILE *out;
  unsigned width;                 /* columns of the terminal; 0: it is none */
  unsigned widths[OBS_TABLE_MAX]; /* of the columns */
  bool hidden[OBS_TABLE_MAX];     /* no column: below the first one, or nowhere */
  obs_buf scratch;
} printer;

static const obs_table_cell *cell_at(const printer *p, size_t row, unsigned c) {
  const obs_table_cell *cells = (const obs_table_cell *)(const void *)p->t->cells.p;
  return &cells[row * p->t->ncolumns + c];
}

static unsigned columns_of(printer *p, const char *text, size_t len) {
  p->scratch.len = 0;
  return obs_text_put(&p->scratch, text, len, OBS_TEXT_ALL);
}

/* As wide as the widest cell. Beyond the terminal's width the widest of those that give gets narrower, column by
 * column, down to the least that is of use. */
static void measure(printer *p, size_t nrows) {
  const obs_table *t = p->t;
  unsigned total = 0;
  for (unsigned c = 0; c < t->ncolumns; c++) {
    const obs_table_column *column = &t->columns[c];
    unsigned least = 0;
    p->hidden[c] = c > 0 && column->below && p->width > 0 && p->width < NARROW;
    for (size_t row = 0; row < nrows; row++) {
      const obs_table_cell *cell = cell_at(p, row, c);
      unsigned w = columns_of(p, t->text.p + cell->at, cell->len) + (p->hidden[c] ? BELOW_INDENT : 0);
      if (w > least) least = w;
    }
    unsigned *of = &p->widths[p->hidden[c] ? 0 : c];
    if (least > *of) *of = least;
    if (!p->hidden[c] && p->widths[c] < strlen(column->title)) p->widths[c] = (unsigned)strlen(column->title);
  }
  for (unsigned c = 0; c < t->ncolumns; c++)
    if (!p->hidden[c]) total += p->widths[c] + (c > 0 ? GAP : 0);
  for (; p->width > 0 && total > p->width; total--) {
    unsigned *widest = NULL;
    for (unsigned c = 0; c < t->ncolumns; c++) {
      unsigned least = t->columns[c].wraps ? LEAST_WRAPPED : LEAST;
      bool gives = !p->hidden[c] && (t->columns[c].gives || t->columns[c].wraps) && p->widths[c] > least;
      if (gives && (widest == NULL || p->widths[c] > *widest)) widest = &p->widths[c];
    }
    if (widest == NULL) return;
    --*widest;
  }
}

/* ---- lines ---- */

/* What of a cell is still to be printed. */
typedef struct {
  const char *p;
  size_t len;
  obs_term_look style;
  unsigned indent;
} rest;

typedef struct {
  printer *p;
  unsigned left; /* columns of the terminal's line */
  unsigned due;  /* spaces before the next cell that is not empty */
} line;

static void put_spaces(line *l, unsigned n) {
  if (l->p->width > 0 && n > l->left) n = l->left;
  l->left -= l->p->width > 0 ? n : 0;
  fprintf(l->p->out, "%*s", (int)n, "");
}

/* The next line of a cell; what is left of it stays in `r`. */
static void put_cell(line *l, unsigned c, rest *r) {
  printer *p = l->p;
  const obs_table_column *column = &p->t->columns[c];
  unsigned width = p->widths[c], indent = r->indent, used = 0;
  if (c > 0) l->due += GAP;
  if (p->width > 0 && l->due + width > l->left) width = l->left > l->due ? l->left - l->due : 0;
  if (r->len == 0 || width <= indent) { /* the end of the line cuts whatever stands there */
    l->due += p->widths[c];
    r->len = 0;
    return;
  }
  p->scratch.len = 0;
  if (column->wraps) {
    size_t n = obs_text_line(&p->scratch, r->p, r->len, width - indent, &used);
    r->p += n;
    r->len -= n;
  } else {
    used = obs_text_put(&p->scratch, r->p, r->len, width - indent);
    r->len = 0;
  }
  unsigned pad = width - indent > used ? width - indent - used : 0;
  put_spaces(l, l->due + indent + (column->right ? pad : 0));
  const char *start = r->style != OBS_STYLE_PLAIN ? obs_term_style(p->out, r->style) : "";
  fputs(start, p->out);
  (void)fwrite(p->scratch.p, 1, p->scratch.len, p->out);
  if (*start != '\0') fputs(obs_term_style(p->out, OBS_STYLE_PLAIN), p->out);
  l->left -= p->width > 0 ? used : 0;
  l->due = column->right ? 0 : pad;
}

static rest rest_of(const printer *p, size_t row, unsigned c) {
  const obs_table_cell *cell = cell_at(p, row, c);
  return (rest){p->t->text.p + cell->at, cell->len, cell->style, p->hidden[c] ? BELOW_INDENT : 0};
}

static void print_titles(printer *p) {
  line l = {p, p->width, 0};
  for (unsigned c = 0; c < p->t->ncolumns; c++) {
    const char *title = p->t->columns[c].title;
    rest r = {title, strlen(title), OBS_STYLE_BOLD, 0};
    if (!p->hidden[c]) put_cell(&l, c, &r);
  }
  fputc('\n', p->out);
}

/* The cells side by side, as many lines as the one that wraps most needs; below the first one those of hidden columns.
 */
static void print_row(printer *p, size_t row) {
  const obs_table *t = p->t;
  rest cells[OBS_TABLE_MAX] = {{0}}; /* a table has a column at least */
  unsigned below = 1;                /* the next column that may stand below the first cell */
  bool more = true;
  for (unsigned c = 0; c < t->ncolumns; c++) cells[c] = rest_of(p, row, c);
  while (more) {
    line l = {p, p->width, 0};
    more = false;
    for (unsigned c = 0; c < t->ncolumns; c++)
      if (!p->hidden[c]) put_cell(&l, c, &cells[c]);
    fputc('\n', p->out);
    for (; cells[0].len == 0 && below < t->ncolumns; below++)
      if (p->hidden[below]) cells[0] = cells[below];
    for (unsigned c = 0; c < t->ncolumns; c++) more = more || (!p->hidden[c] && cells[c].len > 0);
  }
}

bool obs_table_print(const obs_table *t, FILE *out) {
  const obs_table_cell *notes = (const obs_table_cell *)(const void *)t->notes.p;
  size_t nrows = t->cells.len / sizeof(obs_table_cell) / t->ncolumns;
  printer p = {.t = t, .out = out, .width = obs_term_width(out)};
  if (t->text.oom || t->cells.oom || t->notes.oom || !obs_buf_reserve(&p.scratch, 1)) return false;
  measure(&p, nrows);
  if (nrows > 0) print_titles(&p);
  for (size_t row = 0; row < nrows; row++) {
    print_row(&p, row);
    if (t->notes.len < (row + 1) * sizeof(*notes)) continue;
    p.scratch.len = 0;
    obs_text_wrap(&p.scratch, t->text.p + notes[row].at, notes[row].len, NOTE_INDENT, obs_term_text_width(out));
    (void)fwrite(p.scratch.p, 1, p.scratch.len, out);
  }
  bool ok = !p.scratch.oom;
  obs_buf_fini(&p.scratch);
  return ok;
}
