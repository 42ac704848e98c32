/* The daemon's configuration: flag > environment > file > default.
 *
 * One table (config.c) drives all: flags, OBSERVER_* names, file keys, --help, --check-config and the man page's text.
 * Every bad value is named with where it came from. Owned by the caller; main thread only. */
#ifndef OBS_OBSERVERD_CONFIG_H
#define OBS_OBSERVERD_CONFIG_H

#include "base/buf.h"
#include "base/log.h"
#include "journal/journal.h"
#include "options/options.h"

#include <observer/error.h>
#include <stdio.h>

typedef enum { OBS_CONFIG_LLM_NONE, OBS_CONFIG_LLM_LAKEHOUSE, OBS_CONFIG_LLM_OPENAI } obs_config_llm;

typedef struct {
  obs_options options; /* owns the texts and lists */
  obs_buf notes;       /* a line for each variable of the environment that was passed over */
  obs_option_list http, http_host, http_origin, pull, sub, rep, feed, topic;
  char *data_dir, *data_mode, *journal_name;
  bool ephemeral;
  char *fsync;
  uint64_t ring, endpoints, segment_bytes, retain_segments, retain_bytes, retain_hours, checkpoint_s, queue_bytes;
  uint64_t message_bytes, message_ops, op_bytes, string_bytes, unknown_fields, depth;
  uint64_t clusters, cluster_quiet;
  uint64_t cycle_ms, http_connections, http_idle_s, bus_connections;
  char *gateway_url, *lakehouse_url, *openai_url, *team_url, *corrections_path;
  char *analyser, *model, *openai_key_file;
  uint64_t llm_timeout_s, llm_calls_per_hour, llm_tokens_per_day, playbook_cycles;
  char *advice_holdout;
  uint64_t escalate_failures, escalate_window_s, escalate_cooldown_s, escalate_per_hour;
  char *log_level, *log_format;
  bool allow_old_nng, allow_open, allow_plain;
  char *redact;
  obs_option_list redact_pattern;
  char *rules;
  char *keys, *tls_cert, *tls_key, *tls_ca;
  char *public_url;
  obs_option_list forward, jetstream;
  bool accept_new_stream;
  char *lead;
  char *nats_creds, *nats_ca, *nats_cert, *nats_key;
  uint64_t spool_bytes, linger_s, replicas, leader_ops;
  char *nats_in, *ack;
  uint64_t nats_in_bytes, ack_wait_s;
  char *config;
  bool check_config, sample_config, version, help, routes, metrics_table, man;

  /* Derived from the above. */
  obs_journal_fsync fsync_mode;
  uint32_t fsync_ms;
  double holdout; /* 0 to 1 */
  uint32_t data_mode_bits;
  obs_log_level level;
  obs_log_format format;
  obs_redact_kinds redact_kinds;
  obs_config_llm llm;
  bool leads;                /* in its turn */
  const char *llm_url;       /* one of the URLs above; NULL: NONE */
  struct obs_leader *leader; /* it is the leader's pipeline, the second one of its process, which asks it before it
                              * tells others something; NULL: it is not */
} obs_config;

/* Whether it asks models and teams, and tells receivers and the gateway: in a fleet the leader alone does. */
static inline bool obs_config_tells(const obs_config *c) {
  return c->leader != NULL || c->forward.n + c->jetstream.n == 0;
}

/* Reads everything. On failure `error` has a line for each bad value, and level and format are as far as they are
 * known. Fini in either case. */
observer_err obs_config_load(int argc, char **argv, obs_config *out, obs_buf *error);
void obs_config_fini(obs_config *c);
/* The data directory as an absolute path (as it was given where the working directory is not known), to be freed. NULL:
 * ephemeral, or no memory. */
char *obs_config_data_dir(const obs_config *c);
/* The effective values in the file's format. */
void obs_config_print(const obs_config *c, FILE *out);
/* A file with every option as a comment: what it does, and its default. */
void obs_config_sample(FILE *out);
void obs_config_help(FILE *out);
/* Its rows, for the manual page. */
obs_option_table obs_config_table(void);
/* Takes from `next` what a running daemon can change; `restart` gets the names of what else differs, separated by
 * spaces. `next` is to be thrown away. */
void obs_config_reload(obs_config *c, obs_config *next, obs_buf *restart);

#endif
