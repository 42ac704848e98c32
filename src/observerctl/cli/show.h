/* Parts of answers on the terminal, for several commands. */
#ifndef OBS_OBSERVERCTL_SHOW_H
#define OBS_OBSERVERCTL_SHOW_H

#include "observerctl/cli/command.h"
#include "observerctl/cli/table.h"
#include "observerctl/cli/text.h"

#include <cjson/cJSON.h>

/* A number of an object; 0 when it has none of that name. */
double obs_show_number(const cJSON *object, const char *name);
const cJSON *obs_show_member(const cJSON *object, const char *name);
/* A text of an object; "" when it has none of that name. */
const char *obs_show_text(const cJSON *object, const char *name);
/* part / whole as "6.3 %", "" when there is no whole. Returns `out`. */
char *obs_show_share(char out[OBS_TEXT_NUMBER], double part, double whole);
/* Prints the table on stdout, an empty line and the title (NULL: none) before it, and frees it; an empty table is
 * nothing. False: there was no memory. */
bool obs_show_table(obs_table *t, const char *title);

/* Cells: a time, and a number as obs_show_number has it. */
void obs_show_cell_when(obs_table *t, const cJSON *object, const char *key, bool utc);
void obs_show_cell_count(obs_table *t, const cJSON *object, const char *key);
/* Facts of one thing, a row of a name and a value each; what is missing, or "", has none. */
void obs_show_line(obs_table *t, const char *name, const char *value);
/* The same of a value that was put together; frees it. */
void obs_show_made_line(obs_table *t, const char *name, obs_buf *line);
void obs_show_when(obs_table *t, const char *name, const cJSON *object, const char *key, bool utc);
/* 0 when it is missing. */
void obs_show_count(obs_table *t, const char *name, const cJSON *object, const char *key);
/* A list of numbers or texts, or a map of counts, in one line. */
void obs_show_values(obs_table *t, const char *name, const cJSON *values);
/* Appends what such a line shows. */
void obs_show_join(obs_buf *out, const cJSON *values);
/* An empty line and the title of what follows. */
void obs_show_title(const char *title);
/* The title and a text, whole: what wraps is the terminal's to wrap. Without a text it is nothing. */
void obs_show_paragraph(const char *title, const char *text);

/* Whether `text`, which becomes part of a path, is 16 hex digits; else that is reported: it is "no id of `what`". */
bool obs_show_is_id(const obs_args *args, const char *text, const char *what);
/* Reports on a terminal that there is more than was shown. */
void obs_show_more(bool more);

#endif
