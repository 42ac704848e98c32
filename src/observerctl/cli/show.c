#include "observerctl/cli/show.h"

#include "observerctl/cli/args.h"
#include "observerctl/cli/when.h"

#include <unistd.h>

double obs_show_number(const cJSON *object, const char *name) {
  const cJSON *n = cJSON_GetObjectItemCaseSensitive(object, name);
  return cJSON_IsNumber(n) ? cJSON_GetNumberValue(n) : 0;
}

const cJSON *obs_show_member(const cJSON *object, const char *name) {
  return cJSON_GetObjectItemCaseSensitive(object, name);
}

const char *obs_show_text(const cJSON *object, const char *name) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
  return text != NULL ? text : "";
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

void obs_show_cell_when(obs_table *t, const cJSON *object, const char *key, bool utc) {
  char when[OBS_WHEN_LEN];
  obs_when_text(obs_show_text(object, key), utc, when);
  obs_table_puts(t, OBS_STYLE_DIM, when);
}

void obs_show_cell_count(obs_table *t, const cJSON *object, const char *key) {
  char number[OBS_TEXT_NUMBER];
  obs_table_puts(t, OBS_STYLE_PLAIN, obs_text_count(number, (uint64_t)obs_show_number(object, key)));
}

void obs_show_line(obs_table *t, const char *name, const char *value) {
  if (*value == '\0') return;
  obs_table_puts(t, OBS_STYLE_DIM, name);
  obs_table_puts(t, OBS_STYLE_PLAIN, value);
}

void obs_show_when(obs_table *t, const char *name, const cJSON *object, const char *key, bool utc) {
  char when[OBS_WHEN_LEN];
  const char *iso = obs_show_text(object, key);
  if (*iso == '\0') return;
  obs_when_text(iso, utc, when);
  obs_show_line(t, name, when);
}

void obs_show_count(obs_table *t, const char *name, const cJSON *object, const char *key) {
  char number[OBS_TEXT_NUMBER];
  obs_show_line(t, name, obs_text_count(number, (uint64_t)obs_show_number(object, key)));
}

void obs_show_join(obs_buf *out, const cJSON *values) {
  const cJSON *v;
  size_t start = out->len;
  cJSON_ArrayForEach(v, values) {
    if (out->len > start) obs_buf_puts(out, ", ");
    if (cJSON_IsString(v))
      obs_buf_puts(out, v->valuestring);
    else if (v->string != NULL)
      obs_buf_printf(out, "%s %.0f", *v->string != '\0' ? v->string : "(empty)", v->valuedouble);
    else
      obs_buf_printf(out, "%.0f", v->valuedouble);
  }
}

void obs_show_made_line(obs_table *t, const char *name, obs_buf *line) {
  obs_buf_putc(line, '\0');
  if (line->oom)
    t->text.oom = true;
  else
    obs_show_line(t, name, line->p);
  obs_buf_fini(line);
}

void obs_show_values(obs_table *t, const char *name, const cJSON *values) {
  obs_buf line = {0};
  obs_show_join(&line, values);
  obs_show_made_line(t, name, &line);
}

void obs_show_title(const char *title) {
  printf("\n%s%s%s\n", obs_term_style(stdout, OBS_STYLE_BOLD), title, obs_term_style(stdout, OBS_STYLE_PLAIN));
}

void obs_show_paragraph(const char *title, const char *text) {
  if (*text == '\0') return;
  obs_show_title(title);
  obs_text_printf(stdout, "%s", text);
  putchar('\n');
}

bool obs_show_is_id(const obs_args *args, const char *text, const char *what) {
  if (strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16) return true;
  obs_args_error(args, "\"%s\" is no id of %s: 16 hex digits", text, what);
  return false;
}

void obs_show_more(bool more) {
  if (more && isatty(STDOUT_FILENO)) fprintf(stderr, "... there are more: --limit N\n");
}
