#include "observerctl/cli/command.h"
#include "observerctl/cli/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { NOT_FOUND = -1 };

void obs_command_error(const obs_args *a, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fprintf(stderr, "observerctl %s: ", a->command->name);
  obs_text_vprintf(stderr, fmt, ap);
  fputc('\n', stderr);
  va_end(ap);
}

/* `name` may go on with `=VALUE`. */
static int find_long(const obs_command *c, const char *name) {
  size_t len = strcspn(name, "=");
  for (size_t i = 0; i < c->nflags; i++) {
    if (strlen(c->flags[i].name) == len && memcmp(c->flags[i].name, name, len) == 0) return (int)i;
  }
  return NOT_FOUND;
}

static int find_letter(const obs_command *c, char letter) {
  for (size_t i = 0; i < c->nflags; i++) {
    if (c->flags[i].letter == letter) return (int)i;
  }
  return NOT_FOUND;
}

static bool is_choice(const char *choices, const char *value) {
  size_t n = strlen(value);
  for (const char *p = choices; *p != '\0'; p += strspn(p, " ")) {
    size_t len = strcspn(p, " ");
    if (len == n && memcmp(p, value, n) == 0) return true;
    p += len;
  }
  return false;
}

static bool set(obs_args *a, int flag, const char *value, const char *origin) {
  const obs_flag *f = &a->command->flags[flag];
  if (f->choices != NULL && !is_choice(f->choices, value)) {
    obs_command_error(a, "%s: \"%s\" is none of: %s", origin, value, f->choices);
    return false;
  }
  a->values[flag] = value;
  a->given[flag] = true;
  return true;
}

/* One flag at argv[*i]; moves *i over a value that stands by itself. */
static bool parse_flag(obs_args *a, int argc, char **argv, int *i) {
  const char *arg = argv[*i];
  bool is_long = arg[1] == '-';
  int flag = is_long ? find_long(a->command, arg + 2) : find_letter(a->command, arg[1]);
  if (flag == NOT_FOUND) {
    obs_command_error(a, "%s: no such option (see --help)", arg);
    return false;
  }
  const char *joined = is_long ? strchr(arg, '=') : arg[2] != '\0' ? arg + 1 : NULL;
  const obs_flag *f = &a->command->flags[flag];
  bool has_value = f->meta != NULL;
  if (!has_value && f->choices != NULL) { /* may have one */
    bool follows = joined == NULL && *i + 1 < argc && is_choice(f->choices, argv[*i + 1]);
    return set(a, flag, joined != NULL ? joined + 1 : follows ? argv[++*i] : "true", arg);
  }
  if (!has_value && joined != NULL) {
    obs_command_error(a, "%s: takes no value", arg);
    return false;
  }
  if (!has_value) return set(a, flag, "", arg);
  if (joined == NULL && *i + 1 >= argc) {
    obs_command_error(a, "%s: needs a value", arg);
    return false;
  }
  return set(a, flag, joined != NULL ? joined + 1 : argv[++*i], arg);
}

static bool load_environment(obs_args *a) {
  bool ok = true;
  for (size_t i = 0; i < a->command->nflags; i++) {
    const obs_flag *f = &a->command->flags[i];
    const char *env = f->env != NULL ? getenv(f->env) : NULL;
    a->values[i] = f->initial;
    if (env != NULL && *env != '\0' && !set(a, (int)i, env, f->env)) ok = false;
  }
  return ok;
}

bool obs_args_parse(obs_args *a, const obs_command *command, int argc, char **argv) {
  *a = (obs_args){.command = command};
  a->values = calloc(command->nflags + 1, sizeof(*a->values));
  a->given = calloc(command->nflags + 1, sizeof(*a->given));
  a->rest = calloc((size_t)argc + 1, sizeof(*a->rest));
  if (a->values == NULL || a->given == NULL || a->rest == NULL) {
    obs_command_error(a, "out of memory");
    return false;
  }
  if (!load_environment(a)) return false;
  bool flags = true;
  for (int i = 1; i < argc; i++) {
    bool is_flag = flags && argv[i][0] == '-' && argv[i][1] != '\0';
    if (is_flag && strcmp(argv[i], "--") == 0)
      flags = false;
    else if (is_flag && !parse_flag(a, argc, argv, &i))
      return false;
    else if (!is_flag) {
      a->rest[a->nrest++] = argv[i];
      if (command->verbatim) flags = false;
    }
  }
  if (a->nrest > 0 && command->arguments == NULL) {
    obs_command_error(a, "%s: takes no arguments", a->rest[0]);
    return false;
  }
  return true;
}

void obs_args_fini(obs_args *a) {
  free(a->values);
  free(a->given);
  free(a->rest);
}

static size_t index_of(const obs_args *a, const char *flag) {
  int i = find_long(a->command, flag);
  if (i == NOT_FOUND) abort();
  return (size_t)i;
}

const char *obs_args_text(const obs_args *a, const char *flag) {
  return a->values[index_of(a, flag)];
}

bool obs_args_given(const obs_args *a, const char *flag) {
  return a->given[index_of(a, flag)];
}

bool obs_args_number(const obs_args *a, const char *flag, uint64_t min, uint64_t max, uint64_t *out) {
  const char *text = obs_args_text(a, flag);
  if (text == NULL) return true;
  char *end;
  errno = 0;
  unsigned long long n = strtoull(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n < min || n > max) {
    obs_command_error(a, "--%s: \"%s\" is not a number from %llu to %llu", flag, text, (unsigned long long)min,
                      (unsigned long long)max);
    return false;
  }
  *out = n;
  return true;
}
