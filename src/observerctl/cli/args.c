#include "observerctl/cli/args.h"

#include "access/key_text.h"
#include "observerctl/cli/term.h"
#include "observerctl/cli/text.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { URL_MAX = 512 };

void obs_args_error(const obs_args *a, const char *fmt, ...) {
  obs_buf text = {0}, lines = {0};
  char *words = NULL;
  va_list ap;
  va_start(ap, fmt);
  int len = vasprintf(&words, fmt, ap);
  va_end(ap);
  if (len < 0) return;
  obs_buf_printf(&text, "observerctl %s: %s", a->command->name, words);
  free(words);
  obs_text_wrap(&lines, text.p, text.len, 0, obs_term_text_width(stderr));
  if (!lines.oom && lines.len > 0) (void)fwrite(lines.p, 1, lines.len, stderr);
  obs_buf_fini(&text);
  obs_buf_fini(&lines);
}

void obs_args_reading(const obs_args *a, const char *what) {
  if (isatty(STDIN_FILENO)) obs_args_error(a, "reading %s from standard input; end with Ctrl-D", what);
}

bool obs_args_opens_line(const char *word) {
  static const char *const options[] = {"--url", "-u", "--key-file", "--tls-ca", "--tls-cert", "--tls-key", "--color"};
  size_t n = strcspn(word, "=");
  for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
    if (strlen(options[i]) == n && strncmp(word, options[i], n) == 0) return true;
  return false;
}

bool obs_args_is_url(const char *text) {
  if (strncmp(text, "ipc:///", 7) == 0) return text[7] != '\0';
  const char *scheme = strstr(text, "://"), *host = scheme != NULL ? scheme + 3 : text;
  size_t n = scheme != NULL ? (size_t)(scheme - text) : 0;
  bool http =
      scheme == NULL || (n == 4 && strncasecmp(text, "http", n) == 0) || (n == 5 && strncasecmp(text, "https", n) == 0);
  return http && *host != '\0' && strchr(":/?#", *host) == NULL;
}

static void report(void *arg, const obs_option_fault *f) {
  const obs_args *a = arg;
  char name[80] = "";
  if (f->option != NULL && f->origin == OBS_OPTION_ENV)
    snprintf(name, sizeof(name), "%s", f->where);
  else if (f->option != NULL)
    snprintf(name, sizeof(name), "--%s", f->option->name);
  if (f->option == NULL)
    obs_args_error(a, "%s: %s", f->where, f->must);
  else if (f->option->type == OBS_OPTION_NUMBER && f->option->bare == 0)
    obs_args_error(a, "%s: \"%s\" is not a number from %" PRIu64 " to %" PRIu64, name, f->value, f->option->min,
                   f->option->max);
  else if (f->option->choices != NULL && (f->option->type == OBS_OPTION_CHOICE || f->option->type == OBS_OPTION_ANY))
    obs_args_error(a, "%s: \"%s\" is none of: %s", name, f->value, f->option->choices);
  else if (*f->value == '\0')
    obs_args_error(a, "%s: %s", name, f->must);
  else
    obs_args_error(a, "%s: %s, not \"%s\"", name, f->must, f->value);
}

/* The usage line says it: a word for each, and ... for any number. */
static int most_arguments(const obs_command *command) {
  int n = command->arguments != NULL ? 1 : 0;
  if (n > 0 && strstr(command->arguments, "...") != NULL) return INT_MAX;
  for (const char *p = command->arguments; p != NULL && *p != '\0'; p++) n += *p == ' ';
  return n;
}

/* The bridge that observerd's own variable names (the first that can be dialled): in the environment that a daemon has
 * OBSERVER_URL need not be set as well. */
static void take_listener(obs_options *o) {
  static const char *const any[] = {"0.0.0.0", "[::]", "*"};
  const char *list = getenv("OBSERVER_HTTP"), *listen = "listen:";
  char url[URL_MAX];
  for (size_t n; list != NULL && *list != '\0'; list += n + (list[n] == ',')) {
    n = strcspn(list, ",\r\n");
    const char *p = strncmp(list, listen, strlen(listen)) == 0 ? list + strlen(listen) : list;
    const char *host = strncmp(p, "http://", 7) == 0 ? p + 7 : strncmp(p, "https://", 8) == 0 ? p + 8 : NULL;
    int len = (int)(list + n - p);
    bool any_port = len >= 2 && memcmp(p + len - 2, ":0", 2) == 0; /* which one it became, only the daemon knows */
    if (host != NULL && len < URL_MAX && !any_port) {
      size_t wild = 0;
      for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++)
        if (strncmp(host, any[i], strlen(any[i])) == 0) wild = strlen(any[i]);
      snprintf(url, sizeof(url), "%.*s%s%.*s", (int)(host - p), p, wild > 0 ? "127.0.0.1" : "",
               len - (int)(host - p) - (int)wild, host + wild);
      obs_options_set(o, "url", url, OBS_OPTION_ENV, "OBSERVER_HTTP");
      return;
    }
    if (list[n] != ',') return;
  }
}

static bool has_flag(const obs_command *c, const char *name) {
  for (size_t i = 0; i < c->nflags; i++)
    if (strcmp(c->flags[i].name, name) == 0) return true;
  return false;
}

/* Every user of the machine can see the arguments of all processes, and messages repeat them. */
static bool has_key(const char *word) {
  obs_str found;
  return obs_key_text_find(word, strlen(word), &found);
}

bool obs_args_parse(obs_args *a, const obs_command *command, int argc, char **argv) {
  *a = (obs_args){.command = command};
  obs_options *o = &a->options;
  for (int i = 1; i < argc; i++) {
    if (command->verbatim && argv[i][0] != '-') break; /* another command's words are its own */
    if (!has_key(argv[i])) continue;
    obs_args_error(a,
                   "argument %d has a key in it, which every user of this machine can see there: replace that key, and "
                   "give the new one in a file (OBSERVER_KEY_FILE) or in OBSERVER_KEY",
                   i);
    return false;
  }
  a->rest = calloc((size_t)argc + 1, sizeof(*a->rest));
  if (!obs_options_open(o, (obs_option_table){command->flags, command->nflags, NULL}, report, a) || a->rest == NULL) {
    obs_args_error(a, "out of memory");
    return false;
  }
  obs_options_environment(o);
  if (has_flag(command, "url") && obs_options_origin(o, "url") == OBS_OPTION_DEFAULT) take_listener(o);
  bool flags = true;
  for (int i = 1; i < argc && !o->failed; i++) {
    bool is_flag = flags && argv[i][0] == '-' && argv[i][1] != '\0';
    if (is_flag && strcmp(argv[i], "--") == 0) {
      flags = false;
    } else if (is_flag) {
      obs_options_flag(o, argc, argv, &i);
    } else {
      a->rest[a->nrest++] = argv[i];
      if (command->verbatim) flags = false;
    }
  }
  if (!o->failed && has_flag(command, "color")) obs_term_set_colour(obs_options_text(o, "color"));
  int most = most_arguments(command);
  if (!o->failed && a->nrest > most) {
    obs_args_error(a, "unexpected argument \"%s\"", a->rest[most]);
    return false;
  }
  return !o->failed;
}

void obs_args_fini(obs_args *a) {
  obs_options_close(&a->options);
  free(a->rest);
}

const char *obs_args_text(const obs_args *a, const char *flag) {
  return obs_options_text(&a->options, flag);
}

uint64_t obs_args_u64(const obs_args *a, const char *flag) {
  return obs_options_number(&a->options, flag);
}

bool obs_args_given(const obs_args *a, const char *flag) {
  return obs_options_given(&a->options, flag);
}
