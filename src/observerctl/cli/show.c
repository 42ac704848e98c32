#include "observerctl/cli/show.h"

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

const char *obs_show_template(const cJSON *object) {
  const char *template = obs_show_text(object, "template");
  if (strcmp(obs_show_text(object, "scope"), "fleet") == 0) return "all failures together";
  return *template != '\0' ? template : "(no text)";
}

void obs_show_failure(const cJSON *object, obs_buf *out) {
  obs_buf_puts(out, obs_show_template(object));
}

char *obs_show_share(char out[OBS_TEXT_NUMBER], double part, double whole) {
  if (whole > 0)
    snprintf(out, OBS_TEXT_NUMBER, "%.1f %%", 100 * part / whole);
  else
    out[0] = '\0';
  return out;
}

bool obs_show_table(obs_table *t, const char *title) {
  if (t->cells.len > 0 && title != NULL) printf(*title != '\0' ? "\n%s\n" : "%s\n", title);
  bool ok = obs_table_print(t, stdout);
  obs_table_fini(t);
  return ok;
}

void obs_show_join(obs_buf *out, const cJSON *values) {
  const cJSON *v;
  size_t start = out->len;
  cJSON_ArrayForEach(v, values) {
    if (out->len > start) obs_buf_puts(out, ", ");
    if (cJSON_IsString(v))
      obs_buf_puts(out, v->valuestring);
    else if (cJSON_IsObject(v))
      obs_buf_printf(out, "%s %.0f", obs_show_text(v, "value"), obs_show_number(v, "count"));
    else if (v->string != NULL)
      obs_buf_printf(out, "%s %.0f", *v->string != '\0' ? v->string : "(empty)", v->valuedouble);
    else
      obs_buf_printf(out, "%.0f", v->valuedouble);
  }
}

/* Puts what the field shows of the object into `out`. */
static void make(const obs_show_field *f, const cJSON *object, bool utc, obs_buf *out) {
  const cJSON *member = f->key != NULL ? cJSON_GetObjectItemCaseSensitive(object, f->key) : NULL;
  char text[OBS_TEXT_NUMBER], when[OBS_WHEN_LEN];
  obs_buf_reset(out, SIZE_MAX);
  if (f->make != NULL) {
    f->make(object, out);
    return;
  }
  switch (f->kind) {
  case OBS_SHOW_TEXT:
    obs_buf_puts(out, obs_show_text(object, f->key));
    break;
  case OBS_SHOW_COUNT:
    obs_buf_puts(out, obs_text_count(text, (uint64_t)obs_show_number(object, f->key)));
    break;
  case OBS_SHOW_NUMBER:
    obs_buf_printf(out, "%.0f", obs_show_number(object, f->key));
    break;
  case OBS_SHOW_ID:
    obs_buf_printf(out, "%.*s", OBS_SHOW_ID_DIGITS, obs_show_text(object, f->key));
    break;
  case OBS_SHOW_AGE:
  case OBS_SHOW_AGO:
    if (*obs_show_text(object, f->key) == '\0') break;
    obs_when_age(obs_show_text(object, f->key), when);
    if (!utc) obs_buf_puts(out, when);
    if (!utc && f->kind == OBS_SHOW_AGE) break;
    obs_when_text(obs_show_text(object, f->key), utc, when);
    obs_buf_printf(out, utc ? "%s" : " ago (%.19s)", when);
    break;
  case OBS_SHOW_DURATION:
    if (cJSON_IsNumber(member)) obs_buf_puts(out, obs_text_duration(text, obs_show_number(object, f->key)));
    break;
  case OBS_SHOW_YES_NO:
    obs_buf_puts(out, cJSON_IsTrue(member) ? "yes" : cJSON_IsFalse(member) ? "no" : "-");
    break;
  case OBS_SHOW_VALUES:
    obs_show_join(out, member);
  }
}

void obs_show_list_init(obs_show_list *l, const obs_show_field *fields, unsigned nfields, bool utc) {
  l->fields = fields;
  l->utc = utc;
  l->noted = nfields > 0 && fields[nfields - 1].note;
  if (l->noted) nfields--;
  for (unsigned i = 0; i < nfields; i++) {
    bool right = fields[i].right || fields[i].kind == OBS_SHOW_COUNT || fields[i].kind == OBS_SHOW_NUMBER ||
                 fields[i].kind == OBS_SHOW_DURATION;
    l->columns[i] = (obs_table_column){fields[i].title, right, fields[i].gives, fields[i].wraps, fields[i].below};
  }
  obs_table_init(&l->table, l->columns, nfields);
}

bool obs_show_list_add(obs_show_list *l, const cJSON *object) {
  obs_table *t = &l->table;
  obs_buf text = {0};
  for (unsigned i = 0; i < t->ncolumns; i++) {
    const obs_show_field *f = &l->fields[i];
    obs_term_look style = f->kind == OBS_SHOW_AGE || f->below ? OBS_STYLE_DIM : OBS_STYLE_PLAIN;
    if (f->style != NULL) style = f->style(object);
    make(f, object, l->utc, &text);
    obs_table_put(t, style, text.len > 0 ? text.p : "", text.len);
    t->text.oom = t->text.oom || text.oom;
  }
  if (l->noted) {
    make(&l->fields[t->ncolumns], object, l->utc, &text);
    obs_table_note(t, text.len > 0 ? text.p : "", text.len);
    t->text.oom = t->text.oom || text.oom;
  }
  obs_buf_fini(&text);
  return !t->text.oom && !t->cells.oom;
}

bool obs_show_list_end(obs_show_list *l, const char *title) {
  return obs_show_table(&l->table, title);
}

bool obs_show_rows(const cJSON *rows, const obs_show_field *fields, unsigned nfields, bool utc, const char *title) {
  obs_show_list l;
  const cJSON *row;
  obs_show_list_init(&l, fields, nfields, utc);
  cJSON_ArrayForEach(row, rows) {
    (void)obs_show_list_add(&l, row);
  }
  return obs_show_list_end(&l, title);
}

bool obs_show_facts(const char *title, const cJSON *object, const obs_show_field *fields, unsigned nfields, bool utc) {
  const obs_table_column columns[] = {{.title = title}, {.title = "", .wraps = true}};
  obs_table t;
  obs_buf text = {0};
  obs_table_init(&t, columns, 2);
  for (unsigned i = 0; i < nfields; i++) {
    make(&fields[i], object, utc, &text);
    t.text.oom = t.text.oom || text.oom;
    if (text.len == 0) continue;
    obs_table_puts(&t, OBS_STYLE_DIM, fields[i].title);
    obs_table_put(&t, OBS_STYLE_PLAIN, text.p, text.len);
  }
  obs_buf_fini(&text);
  return obs_show_table(&t, NULL);
}

void obs_show_title(const char *title) {
  printf("\n%s%s%s\n", obs_term_style(stdout, OBS_STYLE_BOLD), title, obs_term_style(stdout, OBS_STYLE_PLAIN));
}

void obs_show_wrapped(const char *text, size_t len) {
  obs_buf lines = {0};
  obs_text_wrap(&lines, text, len, 0, obs_term_text_width(stdout));
  if (!lines.oom && lines.len > 0) (void)fwrite(lines.p, 1, lines.len, stdout);
  obs_buf_fini(&lines);
}

void obs_show_paragraph(const char *title, const char *text) {
  if (*text == '\0') return;
  obs_show_title(title);
  obs_show_wrapped(text, strlen(text));
}

void obs_show_more(bool more) {
  if (more && isatty(STDOUT_FILENO)) fprintf(stderr, "... there are more: --limit N\n");
}
