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
/* What a cluster, an analysis or an escalation is about: its template, "(no text)" where the failures have none; of the
 * fleet "all failures together". */
const char *obs_show_template(const cJSON *object);
/* The same as a field's `make`. */
void obs_show_failure(const cJSON *object, obs_buf *out);
/* part / whole as "6.3 %", "" when there is no whole. Returns `out`. */
char *obs_show_share(char out[OBS_TEXT_NUMBER], double part, double whole);
/* Prints the table on stdout and frees it; before it an empty line and the title ("": only the line; NULL: neither). An
 * empty table is nothing. False: there was no memory. */
bool obs_show_table(obs_table *t, const char *title);

enum { OBS_SHOW_ID_DIGITS = 8 };

/* How a member of an object is shown; one that is missing is empty, except a count, which is 0. */
typedef enum {
  OBS_SHOW_TEXT,
  OBS_SHOW_COUNT,
  OBS_SHOW_NUMBER,   /* that names something: without separators */
  OBS_SHOW_ID,       /* its first eight digits, by which the daemon finds it */
  OBS_SHOW_AGE,      /* how long ago, or when where times in UTC were asked for */
  OBS_SHOW_AGO,      /* both */
  OBS_SHOW_DURATION, /* of milliseconds */
  OBS_SHOW_YES_NO,   /* - for what is neither */
  OBS_SHOW_VALUES    /* a list of numbers, texts or {"value","count"}, or a map of counts */
} obs_show_kind;

/* A column of a list of objects, a note below its rows, or a line of one object in full. */
typedef struct {
  const char *title;
  obs_show_kind kind;
  const char *key;
  bool gives;                                      /* a column that is cut first when the terminal is narrow */
  bool wraps, below;                               /* a column of that kind (table.h) */
  bool note;                                       /* no column, but the row's note: of one field at most, the last */
  bool right;                                      /* one of numbers; counts and durations are anyway */
  void (*make)(const cJSON *object, obs_buf *out); /* what it shows when no single member has it */
  obs_term_look (*style)(const cJSON *object);     /* NULL: plain, a time dim */
} obs_show_field;

/* A list: a row for each object added. It must not move. */
typedef struct {
  obs_table table;
  obs_table_column columns[OBS_TABLE_MAX];
  const obs_show_field *fields;
  bool utc, noted;
} obs_show_list;
void obs_show_list_init(obs_show_list *l, const obs_show_field *fields, unsigned nfields, bool utc);
/* False: there is no memory. */
bool obs_show_list_add(obs_show_list *l, const cJSON *object);
/* Prints and frees it, as obs_show_table does. */
bool obs_show_list_end(obs_show_list *l, const char *title);
/* All of these in one call. */
bool obs_show_rows(const cJSON *rows, const obs_show_field *fields, unsigned nfields, bool utc, const char *title);
/* One object: a line for each field that is not empty, under the title. False: there was no memory. */
bool obs_show_facts(const char *title, const cJSON *object, const obs_show_field *fields, unsigned nfields, bool utc);

/* Appends what OBS_SHOW_VALUES shows. */
void obs_show_join(obs_buf *out, const cJSON *values);
/* Prints a text on lines of its own, which end between words where `out` is a terminal. */
void obs_show_wrapped(const char *text, size_t len);
/* An empty line and the title of what follows. */
void obs_show_title(const char *title);
/* The title and a text, which wraps at the terminal's width. Without a text it is nothing. */
void obs_show_paragraph(const char *title, const char *text);

/* Reports on a terminal that there is more than was shown. */
void obs_show_more(bool more);

#endif
