#include "observerctl/show.h"

double obs_show_number(const cJSON *object, const char *name) {
  const cJSON *n = cJSON_GetObjectItemCaseSensitive(object, name);
  return cJSON_IsNumber(n) ? cJSON_GetNumberValue(n) : 0;
}

char *obs_show_share(char out[OBS_TEXT_NUMBER], double part, double whole) {
  if (whole > 0)
    snprintf(out, OBS_TEXT_NUMBER, "%.1f %%", 100 * part / whole);
  else
    out[0] = '\0';
  return out;
}

bool obs_show_table(obs_table *t, const char *title) {
  if (t->cells.len > 0) putchar('\n');
  if (t->cells.len > 0 && title != NULL) printf("%s\n", title);
  bool ok = obs_table_print(t, stdout);
  obs_table_fini(t);
  return ok;
}
