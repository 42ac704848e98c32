/* Parts of answers on the terminal, for several commands. */
#ifndef OBS_OBSERVERCTL_SHOW_H
#define OBS_OBSERVERCTL_SHOW_H

#include "observerctl/table.h"
#include "observerctl/text.h"

#include <cjson/cJSON.h>

/* A number of an object; 0 when it has none of that name. */
double obs_show_number(const cJSON *object, const char *name);
/* part / whole as "6.3 %", "" when there is no whole. Returns `out`. */
char *obs_show_share(char out[OBS_TEXT_NUMBER], double part, double whole);
/* Prints the table on stdout, an empty line and the title (NULL: none) before it, and frees it; an empty table is
 * nothing. False: there was no memory. */
bool obs_show_table(obs_table *t, const char *title);

#endif
