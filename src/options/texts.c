/* What is printed from the table: --check-config, --help, the manual page. */
#include "base/roff.h"
#include "options/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A value that the file's reader would not take as it stands (options.c): it begins like a comment, or in quotes, or
 * with or before white space, or has a comment's sign behind white space. */
static bool needs_quotes(const char *value) {
  size_t n = strlen(value);
  if (strstr(value, " #") != NULL || strstr(value, "\t#") != NULL) return true;
  return n > 0 && (strchr("\"; \t\v\f\r", *value) != NULL || strchr(" \t\v\f\r", value[n - 1]) != NULL);
}

static void print_origin(const obs_option_value *v, FILE *out) {
  static const char *const origins[] = {"default", "file ", "environment ", "flag "};
  if (v->origin == OBS_OPTION_DEFAULT) return;
  fprintf(out, "# %s", origins[v->origin]);
  for (const char *p = v->where != NULL ? v->where : ""; *p != '\0'; p++)
    fputc(*p == '\n' || *p == '\r' ? ' ' : *p, out);
  fputc('\n', out);
}

static void print_line(const char *name, const char *value, FILE *out) {
  if (value == NULL) fputs("# ", out);
  for (const char *p = name; *p != '\0'; p++) fputc(*p == '-' ? '_' : *p, out);
  const char *quote = value != NULL && needs_quotes(value) ? "\"" : "";
  fprintf(out, " =%s%s%s%s\n", value != NULL ? " " : "", quote, value != NULL ? value : "", quote);
}

/* Of a URL without what may be a password. */
static void print_text(const obs_option *option, const char *value, FILE *out) {
  bool url = option->type == OBS_OPTION_URL || option->type == OBS_OPTION_URLS;
  char *shown = url ? obs_option_shown(value) : NULL;
  print_line(option->name, !url ? value : shown != NULL ? shown : "(no memory)", out);
  free(shown);
}

void obs_options_print(const obs_options *o, const char *const *sections, size_t n, FILE *out) {
  for (size_t s = 0; s < n; s++) {
    fprintf(out, "%s[%s]\n", s > 0 ? "\n" : "", sections[s]);
    for (size_t i = 0; i < o->table.n; i++) {
      const obs_option *option = &o->table.at[i];
      const obs_option_value *v = &o->values[i];
      if (option->section == NULL || strcmp(option->section, sections[s]) != 0) continue;
      print_origin(v, out);
      if (obs_option_is_number(option)) { /* in its unit, however it was given */
        char number[32];
        bool time = option->type == OBS_OPTION_TIME, whole = time && v->number % 1000 == 0;
        snprintf(number, sizeof(number), "%" PRIu64 "%s", whole ? v->number / 1000 : v->number,
                 time && !whole ? "ms" : "");
        print_line(option->name, number, out);
      } else if (option->type == OBS_OPTION_SWITCH) {
        print_line(option->name, v->number != 0 ? "true" : "false", out);
      } else {
        if (v->texts.n == 0) print_line(option->name, option->type == OBS_OPTION_URLS ? "none" : NULL, out);
        for (uint32_t k = 0; k < v->texts.n; k++) print_text(option, v->texts.at[k], out);
      }
    }
  }
}

/* ---- help and manual page ---- */

/* The choices to print; NULL: there are none, or the help text names them. */
static const char *choices_shown(const obs_option *option) {
  bool plain = option->type == OBS_OPTION_ANY || option->type == OBS_OPTION_CHOICE;
  return plain && option->meta != NULL ? option->choices : NULL;
}

/* "[=BOOL]" of a switch that may have a value. */
static const char *value_shown(const obs_option *option) {
  return option->type == OBS_OPTION_ANY && option->meta == NULL && option->choices != NULL ? "[=BOOL]" : "";
}

static const char *initial_shown(const obs_option *option) {
  return option->type == OBS_OPTION_SWITCH ? NULL : option->initial;
}

/* "-u, --url URL"; `letters`: there are some in the table, and the names stand below each other. */
static int put_left(const obs_option *option, bool letters, char *out, size_t size) {
  const char *meta = option->meta != NULL ? option->meta : "", *before = option->meta != NULL ? " " : "";
  char letter[8] = "";
  if (letters) snprintf(letter, sizeof(letter), "    ");
  if (option->letter != 0) snprintf(letter, sizeof(letter), "-%c, ", option->letter);
  return snprintf(out, size, "%s--%s%s%s%s", letter, option->name, value_shown(option), before, meta);
}

/* The text in lines of a comment. */
static void put_comment(const char *text, FILE *out) {
  enum { WIDTH = 100 };
  while (*text != '\0') {
    size_t n = strlen(text), fits = n;
    if (n > WIDTH)
      for (fits = WIDTH; fits > 0 && text[fits] != ' ';) fits--;
    if (fits == 0) fits = n;
    fprintf(out, "# %.*s\n", (int)fits, text);
    text += fits;
    text += strspn(text, " ");
  }
}

void obs_options_sample(obs_option_table table, const char *const *sections, size_t n, FILE *out) {
  char text[640];
  for (size_t s = 0; s < n; s++) {
    fprintf(out, "\n[%s]\n", sections[s]);
    for (size_t i = 0; i < table.n; i++) {
      const obs_option *option = &table.at[i];
      if (option->section == NULL || strcmp(option->section, sections[s]) != 0) continue;
      const char *choices = choices_shown(option);
      snprintf(text, sizeof(text), "%s%s%s%s", option->help, choices != NULL ? ": " : "",
               choices != NULL ? choices : "", option->live ? " (reload)" : "");
      fputc('\n', out);
      put_comment(text, out);
      fputs("#", out);
      if (option->initial != NULL) {
        print_line(option->name, option->initial, out);
      } else {
        for (const char *p = option->name; *p != '\0'; p++) fputc(*p == '-' ? '_' : *p, out);
        fprintf(out, " = %s\n", option->meta);
      }
    }
  }
}

void obs_options_help(obs_option_table table, FILE *out) {
  char left[96];
  int width = 0;
  bool letters = false;
  for (size_t i = 0; i < table.n; i++) letters = letters || table.at[i].letter != 0;
  for (size_t i = 0; i < table.n; i++) {
    int n = put_left(&table.at[i], letters, left, sizeof(left));
    if (n > width) width = n;
  }
  for (size_t i = 0; i < table.n; i++) {
    const obs_option *option = &table.at[i];
    (void)put_left(option, letters, left, sizeof(left));
    fprintf(out, "  %-*s  %s", width, left, option->help);
    if (choices_shown(option) != NULL) fprintf(out, ": %s", choices_shown(option));
    if (initial_shown(option) != NULL) fprintf(out, " [%s]", initial_shown(option));
    if (option->env != NULL) fprintf(out, " (%s)", option->env);
    fputc('\n', out);
  }
}

/* The three parts (NULL: omitted) and a full stop, as one line. */
static void put_sentence(FILE *out, const char *a, const char *b, const char *c) {
  char text[640];
  size_t n = (size_t)snprintf(text, sizeof(text) - 1, "%s%s%s", a, b != NULL ? b : "", c != NULL ? c : "");
  if (n < sizeof(text) - 1 && n > 0 && text[n - 1] != '.') memcpy(text + n, ".", 2);
  obs_roff_text(out, text);
}

void obs_options_man(obs_option_table table, FILE *out) {
  for (size_t i = 0; i < table.n; i++) {
    const obs_option *option = &table.at[i];
    const char *choices = choices_shown(option);
    char tag[80], letter[8] = "";
    if (option->letter != 0) snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    snprintf(tag, sizeof(tag), "%s--%s%s", letter, option->name, value_shown(option));
    obs_roff_tag(out, tag, option->meta);
    put_sentence(out, option->help, choices != NULL ? ": " : NULL, choices);
    if (initial_shown(option) != NULL) put_sentence(out, "Default ", "", initial_shown(option));
    if (option->env != NULL) put_sentence(out, "Environment ", "", option->env);
    if (option->live) obs_roff_text(out, "SIGHUP changes it.");
  }
}
