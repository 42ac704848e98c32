/* What a command is: one table entry from which parsing, --help, the man page and the shell completion are made.
 *
 * A command gets its parsed arguments and returns the exit status: 0 done, 1 failed, 2 wrong use, others as its `exits`
 * say. Flags: --name VALUE, --name=VALUE, -n VALUE; `--` ends them. Main thread. */
#ifndef OBS_OBSERVERCTL_COMMAND_H
#define OBS_OBSERVERCTL_COMMAND_H

#include "options/options.h"

enum { OBS_COMMAND_OK = 0, OBS_COMMAND_FAILED = 1, OBS_COMMAND_USAGE = 2 };

typedef struct {
  int status;
  const char *meaning;
} obs_command_exit;

typedef struct obs_args obs_args; /* cli/args.h */

typedef struct {
  const char *name;
  const char *arguments;   /* as in the usage line: "[FILE]..."; NULL: none are taken */
  bool own_key;            /* it reads the key by itself (ask/credentials.h) */
  bool verbatim;           /* flags end at the first argument: what follows is another command's */
  const char *summary;     /* one line, without a full stop */
  const char *description; /* paragraphs, separated by an empty line; NULL: the summary is enough */
  const char *examples;    /* one a line, as typed; NULL: none */
  const obs_option *flags;
  size_t nflags;
  const obs_command_exit *exits; /* beside 0, 1 and 2 */
  size_t nexits;
  int (*run)(const obs_args *args);
} obs_command;

#define OBS_TABLE(array) (array), sizeof(array) / sizeof((array)[0])

/* Whether the daemon can be asked there: http, https, ipc, or HOST[:PORT] alone. */
bool obs_args_is_url(const char *text);

/* Flags that several commands share. */
#define OBS_FLAG_URL                                                                                                   \
  {                                                                                                                    \
    "url", 'u', "URL", .initial = "http://127.0.0.1:3800", .env = "OBSERVER_URL", .type = OBS_OPTION_FORM,             \
                       .check = obs_args_is_url,                                                                       \
                       .choices = "an http://, https:// or ipc:// URL such as http://127.0.0.1:3800",                  \
                       .help = "the daemon's HTTP address, which leads to its other sockets"                           \
  }
#define OBS_FLAG_KEY_FILE                                                                                              \
  {                                                                                                                    \
    "key-file", 0, "FILE", .env = "OBSERVER_KEY_FILE", .type = OBS_OPTION_TEXT,                                        \
                           .help = "file whose first line is the key that the daemon wants; without it, OBSERVER_KEY " \
                                   "holds the key itself"                                                              \
  }
#define OBS_FLAGS_TLS                                                                                                  \
  {"tls-ca",                                                                                                           \
   0,                                                                                                                  \
   "FILE",                                                                                                             \
   .env = "OBSERVER_TLS_CA",                                                                                           \
   .type = OBS_OPTION_TEXT,                                                                                            \
   .help = "authority of the daemon's certificate, PEM; without it those that the system trusts"},                     \
      {"tls-cert",                                                                                                     \
       0,                                                                                                              \
       "FILE",                                                                                                         \
       .env = "OBSERVER_TLS_CERT",                                                                                     \
       .type = OBS_OPTION_TEXT,                                                                                        \
       .help = "own certificate for a daemon that wants one, PEM"},                                                    \
  {                                                                                                                    \
    "tls-key", 0, "FILE", .env = "OBSERVER_TLS_KEY", .type = OBS_OPTION_TEXT, .help = "private key of --tls-cert, PEM" \
  }
/* Where the daemon is, and what it wants to be shown. */
#define OBS_FLAGS_DAEMON OBS_FLAG_URL, OBS_FLAG_KEY_FILE, OBS_FLAGS_TLS
#define OBS_FLAG_COLOR                                                                                                 \
  {                                                                                                                    \
    "color", 0, "WHEN", .initial = "auto", .choices = "auto always never",                                             \
                        .help = "colours: on a terminal unless NO_COLOR is set, always, or never"                      \
  }
/* Of commands whose question a fleet can answer (ask.h adds it to the question); OBS_FLAG_FROM where --scope is taken.
 */
#define OBS_FLEET_SCOPES "instance cluster"
#define OBS_FLAG_OF_FLEET(name)                                                                                        \
  {                                                                                                                    \
    name, 0, "SCOPE", .initial = "instance", .choices = OBS_FLEET_SCOPES,                                              \
                      .help = "instance: this daemon alone; cluster: the whole fleet that it belongs to"               \
  }
#define OBS_FLAG_SCOPE OBS_FLAG_OF_FLEET("scope")
#define OBS_FLAG_FROM OBS_FLAG_OF_FLEET("from")
#define OBS_FLAG_JSON                                                                                                  \
  { "json", 'j', .help = "JSON for programs instead of text for people" }

/* ---- the table (main.c) ---- */

extern const obs_command *const obs_commands[];
extern const size_t obs_command_count;

#endif
