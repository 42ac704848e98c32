#include "observerd/config.h"

#include "observerd/fleet.h"
#include "observerd/listeners.h"
#include "observerd/older.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
     .help = "host name under which clients may ask for HTTP, besides localhost and loopback addresses; repeatable; "
             "beyond loopback, every name is accepted unless one is given"},
    {"http-origin", .meta = "ORIGIN", .type = OBS_OPTION_TEXTS, IN("http", http_origin),
     .help = "web origin, such as https://example.org, whose pages may write and open WebSockets; repeatable"},
    {"public-url", URL("http https"), IN("http", public_url),
     .help =
         "URL under which people reach this daemon's page, for links in notifications; by default that of the first "
         "HTTP listener"},
    {"http-connections", NUMBER("N", 1, 60000), .initial = "1024", IN("http", http_connections),
     .help = "most HTTP connections open at once; further ones get a 503"},
    {"http-idle", TIME_IN("SECONDS", 1000, 1, 86400), .initial = "75", IN("http", http_idle_s),
     .help = "time until an idle keep-alive connection is closed"},
    {"pull", URLS(BUS_SCHEMES), .initial = "tcp://127.0.0.1:3801", IN("bus", pull),
     .help = "PULL socket, [listen:|dial:]URL; repeatable; none switches it off"},
    {"sub", URLS(BUS_SCHEMES), .initial = "tcp://127.0.0.1:3802", IN("bus", sub),
     .help = "SUB socket, [listen:|dial:]URL; repeatable; none switches it off"},
    {"rep", URLS(BUS_SCHEMES), .initial = "tcp://127.0.0.1:3803", IN("bus", rep),
     .help = "REP socket, [listen:|dial:]URL; repeatable; none switches it off"},
    {"feed", URLS(BUS_SCHEMES), .initial = "tcp://127.0.0.1:3804", IN("bus", feed),
     .help = "PUB socket that subscribers connect to, [listen:|dial:]URL; repeatable; none switches it off; ws serves "
             "pages of the same host and of --http-origin"},
    {"topic", .meta = "PREFIX", .type = OBS_OPTION_TEXTS, IN("bus", topic),
     .help = "topic prefix that SUB subscribes to; repeatable; all by default"},
    {"data-dir", .meta = "DIR", .type = OBS_OPTION_TEXT, .initial = "data/_observer", IN("journal", data_dir),
     .help = "directory of the journal and of all other files"},
    {"data-mode", .meta = "MODE", .type = OBS_OPTION_FORM, .initial = "0700", .choices = "0700 to 0777, in octal",
     .check = is_mode, IN("journal", data_mode),
     .help = "permissions of the data directory when it is created; its files get the same without the execute bits; "
             "an existing directory keeps its own, and its files follow them"},
    {"journal-name", .meta = "NAME", .type = OBS_OPTION_NAME, .initial = "ops.jsonl", IN("journal", journal_name),
     .help = "file name of the active segment; it must contain \"ops\" or \"obs\", which no other file of the "
             "directory does"},
    {"ephemeral", .type = OBS_OPTION_SWITCH, .initial = "false", IN("journal", ephemeral),
     .help = "keep no files at all"},
    {"fsync", .meta = "MODE", .type = OBS_OPTION_FORM, .initial = "always",
     .choices = "always, interval:MS (1 to 3600000) or never", .check = is_fsync, IN("journal", fsync),
     .help = "when the journal is synced: always (before each acknowledgement), interval:MS, or never"},
    {"segment-bytes", BYTES("BYTES", 0, UINT64_MAX), .initial = "256M", IN("journal", segment_bytes),
     .help = "size at which the journal is rotated; 0: never"},
    {"retain-segments", NUMBER("N", 0, UINT32_MAX), .initial = "0", IN("journal", retain_segments),
     .help = "most rotated segments to keep; 0: all"},
    {"retain-bytes", BYTES("BYTES", 0, UINT64_MAX), .initial = "0", IN("journal", retain_bytes),
     .help = "most bytes of rotated segments to keep; 0: all"},
    {"retain-hours", TIME_IN("HOURS", 3600000, 0, 1000000), .initial = "0", IN("journal", retain_hours),
     .help = "how long a rotated segment is kept after its last op was received; 0: for ever"},
    {"checkpoint", TIME_IN("SECONDS", 1000, 0, 86400), .initial = "60", IN("journal", checkpoint_s),
     .help = "time between two checkpoints, which shorten the next start; 0: only when stopping"},
    {"ring", NUMBER("N", 1, 1000000), .initial = "2000", IN("observerd", ring),
     .help = "number of last ops that /stats covers"},
    {"endpoints", NUMBER("N", 1, 100000), .initial = "1000", IN("observerd", endpoints),
     .help = "most endpoints counted by name; all others are counted together"},
    {"queue-bytes", BYTES("BYTES", 64 * KIB, 64 * KIB * KIB), .initial = "8M", IN("observerd", queue_bytes),
     .help = "most bytes of decoded ops that may wait for the disk"},
    {"bus-connections", NUMBER("N", 1, 60000), .initial = "4096", IN("bus", bus_connections),
     .help = "most connections open at once on a bus socket; further ones are closed"},
    {"max-message-bytes", BYTES("BYTES", KIB, 256 * KIB * KIB), .initial = "4M", IN("bus", message_bytes),
     .help = "size of the largest message or HTTP body accepted"},
    {"max-message-ops", NUMBER("N", 1, 65536), .initial = "10000", IN("bus", message_ops),
     .help = "most ops accepted in one message"},
    {"max-op-bytes", BYTES("BYTES", 256, LARGEST_OP), .initial = "256K", IN("bus", op_bytes),
     .help = "size of the largest op accepted"},
    {"max-string-bytes", BYTES("BYTES", 16, KIB *KIB *KIB), .initial = "64K", IN("bus", string_bytes),
     .help = "length of the longest string accepted"},
    {"max-unknown-fields", NUMBER("N", 0, 10000), .initial = "64", IN("bus", unknown_fields),
     .help = "most unknown fields accepted in an op"},
    {"max-depth", NUMBER("N", 1, 64), .initial = "8", IN("bus", depth),
     .help = "deepest nesting accepted within an op"},
    {"cycle", TIME("TIME", 10, 86400000), .initial = "30", .live = true, IN("observerd", cycle_ms),
     .help = "time between two rounds of learning: 50ms, 30s, or seconds"},
    {"clusters", NUMBER("N", 16, 100000), .initial = "2000", IN("learn", clusters),
     .help = "most failure clusters kept, those that failed last; after a change the next start reads the whole "
             "journal once"},
    {"cluster-quiet", NUMBER("CYCLES", 1, 1000000), .initial = "20", IN("learn", cluster_quiet),
     .help = "cycles without a failure after which a cluster is resolved"},
    {"overseer-corrections-path", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("learn", corrections_path),
     .help = "file to which overseers write corrections, one JSON object a line"},
    {"analyser", .meta = "NAME", .type = OBS_OPTION_CHOICE, .initial = "auto",
     .choices = "auto builtin lakehouse openai", IN("learn", analyser),
     .help = "what explains failures; builtin needs no network; auto takes openai if its URL is given, else lakehouse "
             "if its URL is given, else builtin"},
    {"lakehouse-url", URL("http https"), IN("learn", lakehouse_url),
     .help = "lakehouse that is asked at /ai/generate; texts of failures are sent there"},
    {"openai-url", URL("http https"), IN("learn", openai_url),
     .help = "OpenAI-compatible server that is asked at /v1/chat/completions; texts of failures are sent there"},
    {"model", .meta = "NAME", .type = OBS_OPTION_TEXT, .initial = "qwen2.5", IN("learn", model),
     .help = "language model to ask for"},
    {"openai-key-file", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("learn", openai_key_file),
     .help = "file whose first line is the key; without it, OPENAI_API_KEY of the environment is used"},
    {"llm-timeout", TIME_IN("SECONDS", 1000, 1, 3600), .initial = "60", IN("learn", llm_timeout_s),
     .help = "longest wait for a model to answer"},
    {"llm-calls-per-hour", NUMBER("N", 0, 1000000), .initial = "120", IN("learn", llm_calls_per_hour),
     .help = "most questions an hour to models and teams; 0: no limit"},
    {"llm-tokens-per-day", NUMBER("N", 0, UINT32_MAX), .initial = "0", IN("learn", llm_tokens_per_day),
     .help = "most tokens a day used by models; 0: no limit"},
    {"gateway-url", URL("http https"), IN("learn", gateway_url),
     .help = "gateway of the agents; what is learned is posted to its /log"},
    {"playbook-cycles", NUMBER("CYCLES", 1, 86400), .initial = "5", IN("learn", playbook_cycles),
     .help = "cycles between two looks at what succeeded"},
    {"advice-holdout", .meta = "SHARE", .type = OBS_OPTION_FORM, .initial = "0",
     .choices = "a share from 0 to 1, or a percentage", .check = is_share, IN("learn", advice_holdout),
     .help =
         "share of the sessions, chosen by a hash, that get no advice, so that its effect can be measured: 0.1 or 10%"},
    {"llm-team-url", URL("http https"), IN("learn", team_url),
     .help = "team of models to which clusters are escalated, at /api/run; texts of failures are sent there"},
    {"escalate-failures", NUMBER("N", 1, 1000000), .initial = "3", IN("learn", escalate_failures),
     .help = "failures within --escalate-window from which on a cluster is escalated"},
    {"escalate-window", TIME_IN("SECONDS", 1000, 1, 86400), .initial = "600", IN("learn", escalate_window_s),
     .help = "window in which failures are counted for an escalation"},
    {"escalate-cooldown", TIME_IN("SECONDS", 1000, 0, 31536000), .initial = "3600", IN("learn", escalate_cooldown_s),
     .help = "shortest time between two escalations of a cluster"},
    {"escalate-per-hour", NUMBER("N", 1, 10000), .initial = "12", IN("learn", escalate_per_hour),
     .help = "most escalations an hour"},
    {"rules", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("observerd", rules),
     .help =
         "file with rules of alerts and who is told, JSON (proto/alerts.md); without it the shipped rules hold, and "
         "alerts are shown but sent to nobody; read again on SIGHUP: one that is broken changes nothing"},
    {"tls-cert", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("security", tls_cert),
     .help =
         "certificate (PEM, with its chain) of listeners with TLS: https, tls+tcp, wss; read again when it changes"},
    {"tls-key", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("security", tls_key),
     .help = "private key (PEM) of the certificate, without a passphrase"},
    {"tls-ca", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("security", tls_ca),
     .help = "CA certificates (PEM): clients of listeners with TLS must present a certificate signed by one of them; "
             "without this option none is requested. What is dialled with TLS must be signed by one of them, or by an "
             "authority of the system where this is not given"},
    {"keys", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("security", keys),
     .not_empty = true, /* a variable that came to nothing must not leave everything open */
     .help =
         "key file, which observerctl key new makes: HTTP then needs a key, and each bus listener ;key=ID, ;uid= or "
         "client certificates; it is read again when it changes; without this option whoever reaches a listener "
         "may use it"},
    {"allow-open", .type = OBS_OPTION_SWITCH, .initial = "false", IN("security", allow_open),
     .help = "allow listeners that are open to all where the start refuses them: beyond loopback, and with --keys on "
             "the bus"},
    {"allow-plain", .type = OBS_OPTION_SWITCH, .initial = "false", IN("security", allow_plain),
     .help = "allow bus listeners that others can reach without encryption; without it the start refuses them"},
    {"redact", .meta = "KINDS", .type = OBS_OPTION_CHOICE, .initial = "secrets", .choices = "off secrets all",
     IN("security", redact),
     .help = "what becomes a token such as [API_KEY_7f3a9c0412de] before anything is recorded, sent or logged: secrets "
             "(keys of providers, JSON Web Tokens, credentials of Authorization headers, private keys, passwords in "
             "URLs), all (besides them e-mail addresses, card and phone numbers), or off"},
    {"redact-pattern", .meta = "PATTERN", .type = OBS_OPTION_TEXTS, IN("security", redact_pattern),
     .help = "NAME=REGEX: what the regular expression (PCRE2) matches becomes a token [NAME_...] as well; repeatable"},
    {"allow-old-nng", .type = OBS_OPTION_SWITCH, .initial = "false", IN("security", allow_old_nng),
     .help = "accepted from older configurations; has no effect"},
    {"forward", URLS("nats tls"), IN("cluster", forward),
     .help = "NATS servers with JetStream, of one cluster, that recorded ops are forwarded to: then this daemon is an "
             "edge of a fleet (proto/fleet.md); repeatable"},
    {"jetstream", URLS("nats tls"), IN("cluster", jetstream),
     .help = "NATS servers with JetStream, of one cluster, whose stream of ops is folded here: then this daemon is a "
             "worker of a fleet (proto/fleet.md), and has no bus unless --pull, --sub, --rep or --feed is given; "
             "repeatable"},
    {"accept-new-stream", .type = OBS_OPTION_SWITCH, .initial = "false", IN("cluster", accept_new_stream),
     .help = "take the stream that is there now for the fleet's, where it was deleted and made anew: without it "
             "workers fold nothing of it"},
    {"lead", .meta = "YES|NO", .type = OBS_OPTION_CHOICE, .initial = "yes", .choices = "yes no", IN("cluster", lead),
     .help =
         "whether this worker may lead the fleet: one of them does, which learns from all ops, asks models and tells "
         "receivers, once for all"},
    {"leader-ops", NUMBER("N", 1, 100000000), .initial = "50000", IN("cluster", leader_ops),
     .help = "ops a second of the whole fleet up to which its leader reads all; of more it reads as many whole "
             "partitions as fit, which are a fair sample"},
    {"replicas", NUMBER("N", 1, 5), .initial = "1", IN("cluster", replicas),
     .help = "servers that keep each message of what is made in NATS: 3 where there are three servers; what exists "
             "stays as it is"},
    {"ack", .meta = "WHEN", .type = OBS_OPTION_CHOICE, .initial = "spool", .choices = "spool stream",
     IN("cluster", ack),
     .help = "with --forward, when REP and HTTP are answered: spool (the ops are in the journal here) or stream (NATS "
             "has acknowledged them, too)"},
    {"ack-wait", TIME_IN("SECONDS", 1000, 1, 3600), .initial = "5", IN("cluster", ack_wait_s),
     .help =
         "with --ack stream, how long an answer waits for NATS; then it is an error, though the ops are recorded here"},
    {"spool-bytes", BYTES("BYTES", 64 * KIB, UINT64_MAX), .initial = "4G", IN("cluster", spool_bytes),
     .help = "most bytes of the journal that are not forwarded yet; then nothing more is taken until there is room"},
    {"forward-linger", TIME_IN("SECONDS", 1000, 0, 31536000), .initial = "300", IN("cluster", linger_s),
     .help =
         "how long the journal keeps ops that were forwarded, whatever is to be kept otherwise, so that they can be "
         "published again: longer than twice the sync_interval of the NATS servers"},
    {"nats-in", .meta = "MODE", .type = OBS_OPTION_CHOICE, .initial = "auto", .choices = "auto yes no",
     IN("cluster", nats_in),
     .help =
         "with --forward, whether ops are also taken from NATS, where producers publish them to observer.in.>; auto: "
         "unless there is a key file, for NATS decides who may publish there, as any source"},
    {"nats-in-bytes", BYTES("BYTES", 64 * KIB, UINT64_MAX / 2), .initial = "1G", IN("cluster", nats_in_bytes),
     .help = "most bytes of these that wait in NATS, then it refuses more; what exists stays as it is"},
    {"nats-creds", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("cluster", nats_creds),
     .help = "credentials for NATS: the file with the user's JWT and seed"},
    {"nats-ca", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("cluster", nats_ca),
     .help = "CA certificates (PEM) that sign those of the NATS servers; asks for TLS"},
    {"nats-cert", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("cluster", nats_cert),
     .help = "certificate (PEM) that is shown to the NATS servers; asks for TLS"},
    {"nats-key", .meta = "FILE", .type = OBS_OPTION_TEXT, IN("cluster", nats_key),
     .help = "private key (PEM) of that certificate, without a passphrase"},
    {"log-level", .meta = "LEVEL", .type = OBS_OPTION_CHOICE, .initial = "info", .choices = "debug info warn error",
     .live = true, IN("observerd", log_level), .help = "least severe level that is logged"},
    {"log-format", .meta = "FORMAT", .type = OBS_OPTION_CHOICE, .initial = "text", .choices = "text json", .live = true,
     IN("observerd", log_format), .help = "format of log lines"},
    {"config", .env = "OBSERVER_CONFIG", .meta = "FILE", .type = OBS_OPTION_TEXT, .offset = AT(config),
     .help = "configuration file (INI); of the older system's lakehouse.toml the block [observerd]"},
    {"check-config", .type = OBS_OPTION_SWITCH, .initial = "false", .offset = AT(check_config),
     .help = "check the configuration, print its effective values and where each comes from, and exit"},
    {"sample-config", .type = OBS_OPTION_SWITCH, .initial = "false", .offset = AT(sample_config),
     .help = "print a configuration file with every option, its default and what it does, and exit"},
    {"routes", .type = OBS_OPTION_SWITCH, .initial = "false", .offset = AT(routes),
     .help = "print the HTTP routes and exit"},
    {"metrics-table", .type = OBS_OPTION_SWITCH, .initial = "false", .offset = AT(metrics_table),
     .help = "print the metrics and exit: name, type, unit, labels, help, separated by tabs"},
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
  c->redact_kinds = strcmp(c->redact, "all") == 0   ? OBS_REDACT_ALL
                    : strcmp(c->redact, "off") == 0 ? OBS_REDACT_OFF
                                                    : OBS_REDACT_SECRETS;
  c->leads = c->jetstream.n > 0 && strcmp(c->lead, "yes") == 0;
  c->llm_url = openai ? c->openai_url : lakehouse ? c->lakehouse_url : NULL;
}

/* A worker's ops come from the stream. */
static void leave_bus_out(obs_options *o) {
  static const char *const sockets[] = {"pull", "sub", "rep", "feed"};
  for (size_t i = 0; obs_options_given(o, "jetstream") && i < sizeof(sockets) / sizeof(*sockets); i++) {
    if (!obs_options_given(o, sockets[i])) obs_options_set(o, sockets[i], "none", OBS_OPTION_DEFAULT, "");
  }
}

static bool check_patterns(const obs_config *c, obs_buf *error) {
  static const uint8_t no_key[OBS_REDACT_KEY_BYTES];
  const obs_option_list *list = &c->redact_pattern;
  obs_redact *redact;
  char why[512];
  observer_err err =
      obs_redact_open(c->redact_kinds, (const char *const *)list->items, list->n, no_key, &redact, why, sizeof(why));
  obs_redact_close(redact);
  if (err != OBSERVER_E_OK) obs_buf_printf(error, "%s\n", why);
  return err == OBSERVER_E_OK;
}

/* What is configured and is the leader's to use; or an edge's. */
static void note_untold(obs_config *c) {
  const struct {
    const char *name;
    bool given;
  } all[] = {{c->llm == OBS_CONFIG_LLM_OPENAI ? "openai-url" : "lakehouse-url", c->llm_url != NULL},
             {"llm-team-url", c->team_url != NULL},
             {"gateway-url", c->gateway_url != NULL},
             {"the receivers of rules", c->rules != NULL}};
  bool any = false;
  if (c->corrections_path != NULL && c->jetstream.n > 0 && c->forward.n == 0)
    obs_buf_puts(&c->notes,
                 "overseer-corrections-path: the fleet learns of corrections that an edge reads, not a worker\n");
  if (obs_config_tells(c) || c->leads) return;
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
    if (all[i].given) obs_buf_printf(&c->notes, "%s%s", any ? ", " : "", all[i].name);
    any |= all[i].given;
  }
  if (any) obs_buf_puts(&c->notes, ": not used here: in a fleet its leader, a worker, asks and tells others\n");
}

observer_err obs_config_load(int argc, char **argv, obs_config *out, obs_buf *error) {
  obs_options *o = &out->options;
  const char *file = find_file(argc, argv);
  *out = (obs_config){.level = OBS_LOG_INFO};
  if (!obs_options_open(o, table, report, error)) return OBSERVER_E_NOMEM;
  obs_older older = {0};
  if (file != NULL && obs_older_is_toml(file))
    obs_older_read_toml(&older, o, file, &out->notes);
  else if (file != NULL)
    obs_options_file(o, file, obs_older_key, &older);
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
  leave_bus_out(o);
  derive(out);
  if (!obs_listeners_check(out, error) || !check_patterns(out, error) || !obs_fleet_check(out, error))
    return OBSERVER_E_INVALID;
  if (out->http.n + out->pull.n + out->sub.n + out->rep.n == 0 && out->corrections_path == NULL &&
      out->jetstream.n == 0)
    obs_buf_puts(&out->notes, "nothing to do: http, pull, sub and rep are all none, so no op can come in\n");
  note_untold(out);
  if (out->notes.oom) return OBSERVER_E_NOMEM;
  if (out->llm == OBS_CONFIG_LLM_NONE || out->llm_url != NULL) return OBSERVER_E_OK;
  obs_buf_printf(error, "analyser: %s needs %s-url\n", out->analyser, out->analyser);
  return OBSERVER_E_INVALID;
}

char *obs_config_data_dir(const obs_config *c) {
  char *path = NULL, *cwd = NULL;
  if (c->ephemeral) return NULL;
  if (c->data_dir[0] != '/') cwd = getcwd(NULL, 0); /* without it, it stays relative */
  if (asprintf(&path, "%s%s%s", cwd != NULL ? cwd : "", cwd != NULL ? "/" : "", c->data_dir) < 0) path = NULL;
  free(cwd);
  return path;
}

void obs_config_fini(obs_config *c) {
  obs_options_close(&c->options);
  obs_buf_fini(&c->notes);
}

static const char *const sections[] = {"observerd", "http", "bus", "journal", "learn", "security", "cluster"};
enum { SECTIONS = sizeof(sections) / sizeof(sections[0]) };

void obs_config_print(const obs_config *c, FILE *out) {
  obs_options_print(&c->options, sections, SECTIONS, out);
}

void obs_config_sample(FILE *out) {
  fputs(
      "# observerd " OBSERVER_VERSION
      ": a sample configuration file. Every option is here, with its default; remove the # in\n"
      "# front of those that you change. Start with: observerd --config FILE, or OBSERVER_CONFIG=FILE.\n"
      "#\n"
      "# Each option is also a flag (--data-dir) and a variable of the environment (OBSERVER_DATA_DIR): a flag wins "
      "over\n"
      "# the environment, which wins over this file. observerd --check-config checks the file and prints what holds.\n"
      "# What is marked (reload) can be changed while observerd runs: send it SIGHUP.\n"
      "#\n"
      "# Comments begin with # or ;. Lists are repeated lines. Times: 50ms, 30s, 1h30m; sizes: 64K, 1.5G.\n",
      out);
  obs_options_sample(table, sections, SECTIONS, out);
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
