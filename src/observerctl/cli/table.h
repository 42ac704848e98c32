/* Aligned columns, as wide as they need and no wider than the terminal: what does not fit is cut, or wraps within its
 * column. A row may have a note, a text on lines of its own below it, which wraps. Where the output is no terminal, a
 * row is one line and its note another. */
#ifndef OBS_OBSERVERCTL_TABLE_H
#define OBS_OBSERVERCTL_TABLE_H

#include "base/buf.h"
#include "observerctl/cli/term.h"

typedef struct {
  const char *title;
  bool right; /* aligned: numbers */
  bool gives; /* is cut first when the terminal is narrow */
  bool wraps; /* takes more lines instead of being cut */
  bool below; /* where the terminal has less than 100 columns: stands below the first cell */
} obs_table_column;

typedef struct {
  size_t at, len; /* in `text` */
  obs_term_look style;
} obs_table_cell;

typedef struct {
  const obs_table_column *columns;
  unsigned ncolumns;
  obs_buf text, cells; /* obs_table_cell, row by row */
  obs_buf notes;       /* likewise, one a row; empty: no row has one */
} obs_table;

enum { OBS_TABLE_MAX = 16 }; /* columns */

void obs_table_init(obs_table *t, const obs_table_column *columns, unsigned ncolumns);
void obs_table_fini(obs_table *t);
/* The next cell, row by row. */
void obs_table_put(obs_table *t, obs_term_look style, const char *text, size_t len);
void obs_table_puts(obs_table *t, obs_term_look style, const char *text);
/* The note of the row whose cells were put last: of each row, or of none. */
void obs_table_note(obs_table *t, const char *text, size_t len);
/* With the titles; nothing at all without a row. False: there was no memory. */
bool obs_table_print(const obs_table *t, FILE *out);

#endif
