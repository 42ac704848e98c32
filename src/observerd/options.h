/* The daemon's configuration: flag > environment > file > default.
 *
 * One table (options.c) drives all: flags, OBSERVER_* names, file keys, --help, --check-config and the man page's text.
 * Every bad value is named with where it came from. Owned by the caller; main thread only. */
#ifndef OBS_OBSERVERD_OPTIONS_H
#define OBS_OBSERVERD_OPTIONS_H

#include "base/buf.h"
#include "base/log.h"
#include "journal/journal.h"
#include "op/op.h"

#include <observer/error.h>
#include <stdio.h>

enum { OBS_LIST_MAX = 32 };

typedef struct {
  char *items[OBS_LIST_MAX];
  uint32_t n;
} obs_list;

typedef enum { OBS_OPTIONS_LLM_NONE, OBS_OPTIONS_LLM_LAKEHOUSE, OBS_OPTIONS_LLM_OPENAI } obs_options_llm;

typedef struct {
  obs_list http, pull, sub, rep, feed, topic;
  char *data_dir, *journal_name;
  bool ephemeral;
  char *fsync;
  uint64_t ring, endpoints, segment_bytes, retain_segments, retain_bytes, retain_hours, checkpoint_s, queue_bytes;
  uint64_t message_bytes, message_ops, op_bytes, string_bytes, unknown_fields, depth;
  uint64_t clusters, cluster_quiet;
  uint64_t cycle_s, http_connections, http_idle_s;
  char *gateway_url, *lakehouse_url, *openai_url, *team_url, *corrections_path;
  char *analyser, *model, *openai_key_file;
  uint64_t llm_timeout_s, llm_calls_per_hour, llm_tokens_per_day, playbook_cycles;
  uint64_t escalate_failures, escalate_window_s, escalate_cooldown_s, escalate_per_hour;
  char *log_level, *log_format;
  bool allow_old_nng;
  char *config;
  bool check_config, version, help, routes, man;

  /* Derived from the above by obs_options_load. */
  obs_journal_fsync fsync_mode;
  uint32_t fsync_ms;
  obs_log_level level;
  obs_log_format format;
  obs_options_llm llm;
  const char *llm_url; /* one of the URLs above; NULL: NONE */
} obs_options;

/* Reads everything. On failure `error` has one line for each bad value, and the result is to be thrown away. */
observer_err obs_options_load(int argc, char **argv, obs_options *out, obs_buf *error);
void obs_options_fini(obs_options *o);
/* The effective values in the file's format, each with where it came from. */
void obs_options_print(const obs_options *o, FILE *out);
void obs_options_help(FILE *out);
/* What the table says of an option, for the manual page. */
typedef struct {
  const char *flag, *env, *section; /* section NULL: no key of the file */
  const char *meta, *initial;       /* NULL: none */
  const char *help;
  bool live; /* SIGHUP changes it */
} obs_option_view;
void obs_options_each(void (*fn)(void *arg, const obs_option_view *option), void *arg);
/* Gives `o` the values of `next` for the options that a running daemon can change; `next` gets the old ones. */
void obs_options_take_live(obs_options *o, obs_options *next);
/* Names the options that differ and need a restart, separated by spaces; empty when there is none. */
void obs_options_restart_needed(const obs_options *now, const obs_options *next, obs_buf *names);

#endif
