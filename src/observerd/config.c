#include "observerd/config.h"

#include "observerd/older.h"
#include "stream/address.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(obs_config, member)
#define IN(file_section, member) .section = (file_section), .offset = AT(member)
#define URL(schemes) .meta = "URL", .type = OBS_OPTION_URL, .choices = (schemes)
#define URLS(schemes) .meta = "URL", .type = OBS_OPTION_URLS, .choices = (schemes)
#define NUMBER(unit, from, to) .meta = (unit), .type = OBS_OPTION_NUMBER, .min = (from), .max = (to)
#define BYTES(unit, from, to) .meta = (unit), .type = OBS_OPTION_BYTES, .min = (from), .max = (to)
#define TIME(unit, from, to) .meta = (unit), .type = OBS_OPTION_TIME, .min = (from), .max = (to)
#define TIME_IN(unit, ms, from, to) NUMBER(unit, from, to), .bare = (ms)
#define BUS_SCHEMES "tcp tls+tcp ipc ws wss inproc"
#define KIB UINT64_C(1024)
/* A row is at most six times as long as its op, and has to be read again: jsonl/lines.h. */
#define LARGEST_OP (2 * KIB * KIB)

static bool read_fsync(const char *text, obs_journal_fsync *mode, uint32_t *ms) {
  uint64_t n = 0;
  if (strcmp(text, "always") == 0)
    *mode = OBS_FSYNC_ALWAYS;
  else if (strcmp(text, "never") == 0)
    *mode = OBS_FSYNC_NEVER;
  else if (strncmp(text, "interval:", 9) == 0 && obs_option_read_number(text + 9, 1, 3600000, &n))
    *mode = OBS_FSYNC_INTERVAL;
  else
    return false;
  *ms = (uint32_t)n;
  return true;
}

static bool is_fsync(const char *text) {
  obs_journal_fsync mode;
  uint32_t ms;
  return read_fsync(text, &mode, &ms);
}

/* The owner's own rights cannot be taken from the daemon. */
static bool read_mode(const char *text, uint32_t *mode) {
  char *end;
  long v = strtol(text, &end, 8);
  *mode = (uint32_t)v;
  return *text >= '0' && *text <= '7' && *end == '\0' && v >= 0700 && v <= 0777;
}

static bool is_mode(const char *text) {
  uint32_t mode;
  return read_mode(text, &mode);
}

/* "0.1" or "10%". */
static bool read_share(const char *text, double *share) {
  char *end = NULL;
  if (*text < '0' || *text > '9') return false;
  double v = strtod(text, &end);
  if (strspn(text, "0123456789.") != (size_t)(end - text)) return false; /* no exponent, no hexadecimal */
  if (*end == '%') {
    v /= 100;
    end++;
  }
  *share = v;
  return *end == '\0' && v >= 0 && v <= 1;
}

static bool is_share(const char *text) {
  double share;
  return read_share(text, &share);
}

/* An option is one row here and one member of obs_config. */
static const obs_option rows[] = {
    {"http", URLS("http https ipc"), .initial = "http://127.0.0.1:3800", IN("http", http),
     .help = "HTTP listener; repeatable; none switches it off"},
    {"http-host", .meta = "NAME", .type = OBS_OPTION_TEXTS, IN("http", http_host),
     .help =
         "host name by which HTTP is asked for, besides localhost and loopback addresses; repeatable; elsewhere than "
         "on loopback any name is, unless one is given"},
    {"http-origin", .meta = "ORIGIN", .type = OBS_OPTION_TEXTS, IN("http", http_origin),
     .help = "web origin, as https://example.org, whose pages may write, and connect to ws; repeatable"},
    {"http-connections", NUMBER("N", 1, 60000), .initial = "1024", IN("http", http_connections),
     .help = "HTTP connections open at once; others get a 503"},
    {"http-idle", TIME_IN("SECONDS", 1000, 1, 86400), .initial = "75", IN("http", http_idle_s),
     .help = "close an idle HTTP connection after so long"},
    {"pull", URLS(BUS_SCHEMES), .initial = "tcp://127.0.0.1:3801", IN("bus", pull),
     .help = "PULL socket, [listen:|dial:]URL; repeatable; none"},
    {"sub", URLS(BUS_SCHEMES), .initial = "tcp://127.0.0.1:3802", IN("bus", sub),
     .help = "SUB socket, [listen:|dial:]URL; repeatable; none"},
    {"rep", URLS(BUS_SCHEMES), .initial = "tcp://127.0.0.1:3803", IN("bus", rep),
     .help = "REP socket, [listen:|dial:]URL; repeatable; none"},
    {"feed", URLS(BUS_SCHEMES), .initial = "tcp://127.0.0.1:3804", IN("bus", feed),
     .help = "PUB socket that subscribers follow, [listen:|dial:]URL; repeatable; none; ws serves pages of the same "
             "host and "
             "of --http-origin"},
    {"topic", .meta = "PREFIX", .type = OBS_OPTION_TEXTS, IN("bus", topic),
     .help = "topic prefix that SUB takes; repeatable; default all"},
    {"data-dir", .meta = "DIR", .type = OBS_OPTION_TEXT, .initial = "data/_observer", IN("journal", data_dir),
     .help = "directory of the journal and of all other files"},
    {"data-mode", .meta = "MODE", .type = OBS_OPTION_FORM, .initial = "0700", .choices = "0700 to 0777, in octal",
     .check = is_mode, IN("journal", data_mode),
     .help = "permissions of a data directory that is made; its files have them without the right to execute; one that "
             "is there keeps its own, and so do its files"},
    {"journal-name", .meta = "NAME", .type = OBS_OPTION_NAME, .initial = "ops.jsonl", IN("journal", journal_name),
     .help = "file name of the active segment; it has \"ops\" or \"obs\" in it, as no other file of the directory has"},
    {"ephemeral", .type = OBS_OPTION_SWITCH, .initial = "false", IN("journal", ephemeral),
     .help = "keep no files at all"},
    {"fsync", .meta = "MODE", .type = OBS_OPTION_FORM, .initial = "always",
     .choices = "always, interval:MS (1 to 3600000) or never", .check = is_fsync, IN("journal", fsync),
     .help = "always, interval:MS or never"},
    {"segment-bytes", BYTES("BYTES", 0, UINT64_MAX), .initial = "256M", IN("journal", segment_bytes),
     .help = "rotate the journal at this size; 0: never"},
    {"retain-segments", NUMBER("N", 0, UINT32_MAX), .initial = "0", IN("journal", retain_segments),
     .help = "rotated segments kept; 0: all"},
    {"retain-bytes", BYTES("BYTES", 0, UINT64_MAX), .initial = "0", IN("journal", retain_bytes),
     .help = "bytes of rotated segments kept; 0: all"},
    {"retain-hours", TIME_IN("HOURS", 3600000, 0, 1000000), .initial = "0", IN("journal", retain_hours),
     .help = "age of rotated segments kept; 0: any"},
    {"checkpoint", TIME_IN("SECONDS", 1000, 0, 86400), .initial = "60", IN("journal", checkpoint_s),
     .help = "time between two checkpoints; 0: only at the end"},
    {"ring", NUMBER("N", 1, 1000000), .initial = "2000", IN("observerd", ring), .help = "last ops that /stats counts"},
    {"endpoints", NUMBER("N", 1, 100000), .initial = "1000", IN("observerd", endpoints),
     .help = "endpoints counted by name; others count as one"},
    {"queue-bytes", BYTES("BYTES", 64 * KIB, 64 * KIB * KIB), .initial = "8M", IN("observerd", queue_bytes),
     .help = "most bytes of decoded ops that wait for the disk"},
    {"bus-connections", NUMBER("N", 1, 60000), .initial = "4096", IN("bus", bus_connections),
     .help = "connections of a bus socket open at once; more are closed"},
    {"max-message-bytes", BYTES("BYTES", KIB, 256 * KIB * KIB), .initial = "4M", IN("bus", message_bytes),
     .help = "largest message or HTTP body"},
    {"max-message-ops", NUMBER("N", 1, 65536), .initial = "10000", IN("bus", message_ops),
     .help = "most ops in a message"},
    {"max-op-bytes", BYTES("BYTES", 256, LARGEST_OP), .initial = "256K", IN("bus", op_bytes), .help = "largest op"},
    {"max-string-bytes", BYTES("BYTES", 16, KIB *KIB *KIB), .initial = "64K", IN("bus", string_bytes),
     .help = "longest string"},
    {"max-unknown-fields", NUMBER("N", 0, 10000), .initial = "64", IN("bus", unknown_fields),
     .help = "most unknown fields in an op"},
    {"max-depth", NUMBER("N", 1, 64), .initial = "8", IN("bus", depth), .help = "deepest nesting below an op"},
    {"cycle", TIME("TIME", 10, 86400000), .initial = "30", .live = true, IN("observerd", cycle_ms),
     .help = "time between two rounds of learning, each with a line of totals: 50ms, 30s, or seconds"},
    {"clusters", NUMBER("N", 16, 100000), .initial = "2000", IN("learn", clusters),
     .help = "failure clusters kept, those that failed last; after a change the next start reads the whole journal"},
    {"cluster-quiet", NUMBER("CYCLES", 1, 1000000), .initial = "20", IN("learn", cluster_quiet),
     .help = "a cluster without a failure for so many cycles is resolved"},
    {"overseer-corrections-path", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("learn", corrections_path),
     .help = "file to which overseers write corrections, one JSON object a line"},
    {"analyser", .meta = "NAME", .type = OBS_OPTION_CHOICE, .initial = "auto",
     .choices = "auto builtin lakehouse openai", IN("learn", analyser),
     .help = "what explains failures; builtin needs no network; auto takes openai when its URL is given, else "
             "lakehouse when its URL is given, else builtin"},
    {"lakehouse-url", URL("http https"), IN("learn", lakehouse_url),
     .help = "the lakehouse, whose /ai/generate is asked"},
    {"openai-url", URL("http https"), IN("learn", openai_url), .help = "a server with /v1/chat/completions"},
    {"model", .meta = "NAME", .type = OBS_OPTION_TEXT, .initial = "qwen2.5", IN("learn", model),
     .help = "the language model to ask for"},
    {"openai-key-file", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("learn", openai_key_file),
     .help = "file whose first line is the key; without it, OPENAI_API_KEY of the environment is used"},
    {"llm-timeout", TIME_IN("SECONDS", 1000, 1, 3600), .initial = "60", IN("learn", llm_timeout_s),
     .help = "longest wait for an answer of a model"},
    {"llm-calls-per-hour", NUMBER("N", 0, 1000000), .initial = "120", IN("learn", llm_calls_per_hour),
     .help = "most questions to models and teams; 0: no limit"},
    {"llm-tokens-per-day", NUMBER("N", 0, UINT32_MAX), .initial = "0", IN("learn", llm_tokens_per_day),
     .help = "most tokens of models; 0: no limit"},
    {"gateway-url", URL("http https"), IN("learn", gateway_url),
     .help = "the agents' gateway, whose /log gets what was learned"},
    {"playbook-cycles", NUMBER("CYCLES", 1, 86400), .initial = "5", IN("learn", playbook_cycles),
     .help = "cycles between two looks at what succeeded"},
    {"advice-holdout", .meta = "SHARE", .type = OBS_OPTION_FORM, .initial = "0",
     .choices = "a share from 0 to 1, or a percentage", .check = is_share, IN("learn", advice_holdout),
     .help = "hold advice back from this share of the sessions that ask, chosen by a hash, so that what it brings can "
             "be measured: 0.1 or 10%"},
    {"llm-team-url", URL("http https"), IN("learn", team_url),
     .help = "the team of models that gets escalated clusters, at /api/run"},
    {"escalate-failures", NUMBER("N", 1, 1000000), .initial = "3", IN("learn", escalate_failures),
     .help = "a cluster with so many failures within the window is escalated"},
    {"escalate-window", TIME_IN("SECONDS", 1000, 1, 86400), .initial = "600", IN("learn", escalate_window_s),
     .help = "the window in which failures are counted for an escalation"},
    {"escalate-cooldown", TIME_IN("SECONDS", 1000, 0, 31536000), .initial = "3600", IN("learn", escalate_cooldown_s),
     .help = "shortest time between two escalations of a cluster"},
    {"escalate-per-hour", NUMBER("N", 1, 10000), .initial = "12", IN("learn", escalate_per_hour),
     .help = "most escalations in an hour"},
    {"tls-cert", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("security", tls_cert),
     .help = "certificate, with its chain (PEM), of listeners with TLS: https, tls+tcp, wss"},
    {"tls-key", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("security", tls_key),
     .help = "private key (PEM) of the certificate"},
    {"tls-ca", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("security", tls_ca),
     .help = "certificates (PEM), by one of which a client of a listener with TLS must have its own signed; without it "
             "none is asked for"},
    {"allow-old-nng", .type = OBS_OPTION_SWITCH, .initial = "false", IN("security", allow_old_nng),
     .help = "taken for the sake of older configurations; it has no effect: nothing listens through NNG's HTTP server "
             "any more"},
    {"log-level", .meta = "LEVEL", .type = OBS_OPTION_CHOICE, .initial = "info", .choices = "debug info warn error",
     .live = true, IN("observerd", log_level), .help = "the least severe messages that are logged"},
    {"log-format", .meta = "FORMAT", .type = OBS_OPTION_CHOICE, .initial = "text", .choices = "text json", .live = true,
     IN("observerd", log_format), .help = "the form of log lines"},
    {"config", .env = "OBSERVER_CONFIG", .meta = "FILE", .type = OBS_OPTION_TEXT, .offset = AT(config),
     .help = "configuration file (INI)"},
    {"check-config", .type = OBS_OPTION_SWITCH, .initial = "false", .offset = AT(check_config),
     .help = "print the effective configuration and exit"},
    {"routes", .type = OBS_OPTION_SWITCH, .initial = "false", .offset = AT(routes),
     .help = "print the HTTP routes and exit"},
    {"man", .type = OBS_OPTION_SWITCH, .initial = "false", .offset = AT(man),
     .help = "print the manual page (roff) and exit"},
    {"version", .type = OBS_OPTION_SWITCH, .initial = "false", .offset = AT(version),
     .help = "print the version and exit"},
    {"help", 'h', .type = OBS_OPTION_SWITCH, .initial = "false", .offset = AT(help), .help = "print this and exit"},
};

static const obs_option_table table = {rows, sizeof(rows) / sizeof(rows[0]), "OBSERVER_"};

/* ---- loading ---- */

/* The file is read before what overrides it, so its name is looked for first. */
static const char *find_file(int argc, char **argv) {
  for (int i = argc - 1; i > 0; i--) {
    if (strncmp(argv[i], "--config=", 9) == 0) return argv[i] + 9;
    if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) return argv[i + 1];
  }
  const char *env = getenv("OBSERVER_CONFIG");
  return env != NULL && *env != '\0' ? env : NULL;
}

static void report(void *arg, const obs_option_fault *f) {
  static const char *const origins[] = {"default", "file ", "environment ", "flag --"};
  if (f->option == NULL)
    obs_buf_printf(arg, "%s: %s\n", f->where, f->must);
  else
    obs_buf_printf(arg, *f->value != '\0' ? "%s: %s, not \"%.80s\" (%s%s)\n" : "%s: %s%.80s (%s%s)\n", f->option->name,
                   f->must, f->value, origins[f->origin], f->origin == OBS_OPTION_FLAG ? f->option->name : f->where);
}

/* How it is logged: known also when something else is wrong. */
static void derive_log(obs_config *c) {
  static const char *const levels[] = {"debug", "info", "warn", "error"};
  const char *level = obs_options_text(&c->options, "log-level"), *format = obs_options_text(&c->options, "log-format");
  for (int i = 0; level != NULL && i < 4; i++) {
    if (strcmp(level, levels[i]) == 0) c->level = (obs_log_level)i;
  }
  c->format = format != NULL && strcmp(format, "json") == 0 ? OBS_LOG_JSON : OBS_LOG_TEXT;
}

/* The members, from the options. */
static void derive(obs_config *c) {
  obs_options_store(&c->options, c);
  (void)read_fsync(c->fsync, &c->fsync_mode, &c->fsync_ms);
  (void)read_share(c->advice_holdout, &c->holdout);
  (void)read_mode(c->data_mode, &c->data_mode_bits);
  derive_log(c);
  /* Which model explains failures, and where it is. */
  bool is_auto = strcmp(c->analyser, "auto") == 0;
  bool openai = strcmp(c->analyser, "openai") == 0 || (is_auto && c->openai_url != NULL);
  bool lakehouse = !openai && (strcmp(c->analyser, "lakehouse") == 0 || (is_auto && c->lakehouse_url != NULL));
  c->llm = openai ? OBS_CONFIG_LLM_OPENAI : lakehouse ? OBS_CONFIG_LLM_LAKEHOUSE : OBS_CONFIG_LLM_NONE;
  c->llm_url = openai ? c->openai_url : lakehouse ? c->lakehouse_url : NULL;
}

/* Why a listener could not be opened, whatever the machine: false, and the reason in `why`. */
static bool is_listener(const obs_config *c, const char *url, bool http, char *why, size_t size) {
  obs_address a;
  if (obs_address_parse(url, &a, why, size) != OBSERVER_E_OK) return false;
  if (http && a.dial)
    (void)snprintf(why, size, "dial: HTTP only listens");
  else if (a.key[0] != '\0')
    (void)snprintf(why, size, "key: there is no key file");
  else if (a.tls && !a.dial && (c->tls_cert == NULL || c->tls_key == NULL))
    (void)snprintf(why, size, "needs --tls-cert and --tls-key");
  else
    return true;
  return false;
}

static bool check_urls(const obs_config *c, obs_buf *error) {
  const struct {
    const char *name;
    const obs_option_list *urls;
  } all[] = {{"http", &c->http}, {"pull", &c->pull}, {"sub", &c->sub}, {"rep", &c->rep}, {"feed", &c->feed}};
  char why[160];
  bool good = true;
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
    for (size_t k = 0; k < all[i].urls->n; k++) {
      const char *url = all[i].urls->items[k];
      if (is_listener(c, url, i == 0, why, sizeof(why))) continue;
      obs_buf_printf(error, "%s %s: %s\n", all[i].name, url, why);
      good = false;
    }
  }
  return good;
}

observer_err obs_config_load(int argc, char **argv, obs_config *out, obs_buf *error) {
  obs_options *o = &out->options;
  const char *file = find_file(argc, argv);
  *out = (obs_config){.level = OBS_LOG_INFO};
  if (!obs_options_open(o, table, report, error)) return OBSERVER_E_NOMEM;
  obs_older older = {0};
  if (file != NULL) obs_options_file(o, file, obs_older_key, &older);
  obs_options_environment(o);
  for (int i = 1; i < argc; i++) {
    if (argv[i][0] == '-' && argv[i][1] != '\0')
      obs_options_flag(o, argc, argv, &i);
    else
      obs_options_complain(o, argv[i], "unexpected argument: options begin with -- (see --help)");
  }
  obs_older_apply(&older, o, &out->notes);
  obs_older_fini(&older);
  obs_older_look(table, &out->notes);
  derive_log(out);
  if (o->oom || error->oom || out->notes.oom) return OBSERVER_E_NOMEM;
  if (o->failed) return OBSERVER_E_INVALID;
  derive(out);
  if (!check_urls(out, error)) return OBSERVER_E_INVALID;
  if (out->llm == OBS_CONFIG_LLM_NONE || out->llm_url != NULL) return OBSERVER_E_OK;
  obs_buf_printf(error, "analyser: %s needs %s-url\n", out->analyser, out->analyser);
  return OBSERVER_E_INVALID;
}

void obs_config_fini(obs_config *c) {
  obs_options_close(&c->options);
  obs_buf_fini(&c->notes);
}

void obs_config_print(const obs_config *c, FILE *out) {
  static const char *const sections[] = {"observerd", "http", "bus", "journal", "learn", "security"};
  obs_options_print(&c->options, sections, sizeof(sections) / sizeof(sections[0]), out);
}

void obs_config_help(FILE *out) {
  fputs("usage: observerd [OPTION]...\n\nRecords what a fleet of agents and services did.\n\n", out);
  obs_options_help(table, out);
  fputs("\nEach is also OBSERVER_<OPTION> in the environment and a key of the file; flag > environment > file.\n"
        "Names of the older observers, which yield to these:\n",
        out);
  for (size_t i = 0; i < OBS_OLDER_VARIABLES; i++)
    fprintf(out, "  %-26s %s\n", obs_older_variables[i].env, obs_older_variables[i].help);
  fputs("  [observerd] bind           an address for --http; persist_path: the journal's file\n", out);
}

obs_option_table obs_config_table(void) {
  return table;
}

void obs_config_reload(obs_config *c, obs_config *next, obs_buf *restart) {
  obs_options_differing(&c->options, &next->options, restart);
  obs_options_swap_live(&c->options, &next->options);
  derive(c);
}
