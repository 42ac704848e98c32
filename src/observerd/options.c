#include "observerd/options.h"

#include "observerd/values.h"

#include <ctype.h>
#include <ini.h>
#include <stddef.h>
#include <stdlib.h>

typedef struct {
  const char *flag;    /* without the dashes; OBSERVER_<FLAG> in the environment */
  const char *section; /* of the file; the key is the flag with _ for - */
  obs_value_type type;
  size_t offset;
  const char *initial; /* as text; NULL: none */
  uint64_t min, max;   /* of a number */
  const char *choices; /* of an enumeration, or the schemes of a URL; space-separated */
  bool live;           /* SIGHUP changes it */
  const char *meta, *help;
} option;

#define AT(member) offsetof(obs_options, member)
#define BUS_SCHEMES "tcp ipc ws inproc"
#define KIB UINT64_C(1024)
/* A row is at most six times as long as its op, and has to be read again: journal/lines.h. */
#define LARGEST_OP (2 * KIB * KIB)

static const option table[] = {
    {"http", "http", OBS_TYPE_URLS, AT(http), "http://127.0.0.1:3800", 0, 0, "http", false, "URL",
     "HTTP listener; repeatable; none switches it off"},
    {"http-connections", "http", OBS_TYPE_NUMBER, AT(http_connections), "1024", 1, 60000, NULL, false, "N",
     "HTTP connections open at once; more are answered 503"},
    {"http-idle", "http", OBS_TYPE_NUMBER, AT(http_idle_s), "75", 1, 86400, NULL, false, "SECONDS",
     "a kept HTTP connection without a request is closed then"},
    {"pull", "bus", OBS_TYPE_URLS, AT(pull), "tcp://127.0.0.1:3801", 0, 0, BUS_SCHEMES, false, "URL",
     "PULL socket, [listen:|dial:]URL; repeatable; none"},
    {"sub", "bus", OBS_TYPE_URLS, AT(sub), "tcp://127.0.0.1:3802", 0, 0, BUS_SCHEMES, false, "URL",
     "SUB socket, [listen:|dial:]URL; repeatable; none"},
    {"rep", "bus", OBS_TYPE_URLS, AT(rep), "tcp://127.0.0.1:3803", 0, 0, BUS_SCHEMES, false, "URL",
     "REP socket, [listen:|dial:]URL; repeatable; none"},
    {"feed", "bus", OBS_TYPE_URLS, AT(feed), "tcp://127.0.0.1:3804", 0, 0, BUS_SCHEMES, false, "URL",
     "PUB socket that subscribers follow, [listen:|dial:]URL; repeatable; none; no ws unless asked for, as any web "
     "page "
     "in a browser on this machine could read it"},
    {"topic", "bus", OBS_TYPE_TEXTS, AT(topic), NULL, 0, 0, NULL, false, "PREFIX",
     "topic prefix that SUB takes; repeatable; default all"},
    {"data-dir", "journal", OBS_TYPE_TEXT, AT(data_dir), "data/_observer", 0, 0, NULL, false, "DIR",
     "where the journal lives"},
    {"journal-name", "journal", OBS_TYPE_NAME, AT(journal_name), "ops.jsonl", 0, 0, NULL, false, "NAME",
     "file name of the active segment"},
    {"ephemeral", "journal", OBS_TYPE_SWITCH, AT(ephemeral), "false", 0, 0, NULL, false, NULL, "keep no files at all"},
    {"fsync", "journal", OBS_TYPE_FSYNC, AT(fsync), "always", 0, 0, NULL, false, "MODE",
     "always, interval:MS or never"},
    {"segment-bytes", "journal", OBS_TYPE_BYTES, AT(segment_bytes), "256M", 0, UINT64_MAX, NULL, false, "BYTES",
     "rotate the journal at this size; 0: never"},
    {"retain-segments", "journal", OBS_TYPE_NUMBER, AT(retain_segments), "0", 0, UINT32_MAX, NULL, false, "N",
     "rotated segments kept; 0: all"},
    {"retain-bytes", "journal", OBS_TYPE_BYTES, AT(retain_bytes), "0", 0, UINT64_MAX, NULL, false, "BYTES",
     "bytes of rotated segments kept; 0: all"},
    {"retain-hours", "journal", OBS_TYPE_NUMBER, AT(retain_hours), "0", 0, 1000000, NULL, false, "HOURS",
     "age of rotated segments kept; 0: any"},
    {"checkpoint", "journal", OBS_TYPE_NUMBER, AT(checkpoint_s), "60", 0, 86400, NULL, false, "SECONDS",
     "between checkpoints; 0: only at the end"},
    {"ring", "observerd", OBS_TYPE_NUMBER, AT(ring), "2000", 1, 1000000, NULL, false, "N", "ops that /stats looks at"},
    {"endpoints", "observerd", OBS_TYPE_NUMBER, AT(endpoints), "1000", 1, 100000, NULL, false, "N",
     "endpoints counted by name"},
    {"queue-bytes", "observerd", OBS_TYPE_BYTES, AT(queue_bytes), "8M", 64 * KIB, 64 * KIB *KIB, NULL, false, "BYTES",
     "decoded ops that may wait for the disk"},
    {"max-message-bytes", "bus", OBS_TYPE_BYTES, AT(message_bytes), "4M", KIB, 256 * KIB *KIB, NULL, false, "BYTES",
     "largest message or HTTP body"},
    {"max-message-ops", "bus", OBS_TYPE_NUMBER, AT(message_ops), "10000", 1, 65536, NULL, false, "N",
     "most ops in a message"},
    {"max-op-bytes", "bus", OBS_TYPE_BYTES, AT(op_bytes), "256K", 256, LARGEST_OP, NULL, false, "BYTES", "largest op"},
    {"max-string-bytes", "bus", OBS_TYPE_BYTES, AT(string_bytes), "64K", 16, KIB *KIB *KIB, NULL, false, "BYTES",
     "longest string"},
    {"max-unknown-fields", "bus", OBS_TYPE_NUMBER, AT(unknown_fields), "64", 0, 10000, NULL, false, "N",
     "most unknown fields in an op"},
    {"max-depth", "bus", OBS_TYPE_NUMBER, AT(depth), "8", 1, 64, NULL, false, "N", "deepest nesting below an op"},
    {"cycle", "observerd", OBS_TYPE_NUMBER, AT(cycle_s), "30", 1, 86400, NULL, true, "SECONDS",
     "between two lines of totals, and two rounds of learning"},
    {"clusters", "learn", OBS_TYPE_NUMBER, AT(clusters), "2000", 16, 100000, NULL, false, "N",
     "failure clusters kept, those that failed last; another number has the journal read once"},
    {"cluster-quiet", "learn", OBS_TYPE_NUMBER, AT(cluster_quiet), "20", 1, 1000000, NULL, false, "CYCLES",
     "a cluster without a failure for so long is resolved"},
    {"overseer-corrections-path", "learn", OBS_TYPE_TEXT, AT(corrections_path), NULL, 0, 0, NULL, false, "FILE",
     "where overseers write corrections, a JSON object a line"},
    {"analyser", "learn", OBS_TYPE_CHOICE, AT(analyser), "auto", 0, 0, "auto builtin lakehouse openai", false, "NAME",
     "who explains failures: builtin (no network), lakehouse or openai; auto: openai when its URL is given, else the "
     "lakehouse when that is, else builtin"},
    {"lakehouse-url", "learn", OBS_TYPE_URL, AT(lakehouse_url), NULL, 0, 0, "http https", false, "URL",
     "the lakehouse, asked at /ai/generate"},
    {"openai-url", "learn", OBS_TYPE_URL, AT(openai_url), NULL, 0, 0, "http https", false, "URL",
     "any server of /v1/chat/completions"},
    {"model", "learn", OBS_TYPE_TEXT, AT(model), "qwen2.5", 0, 0, NULL, false, "NAME", "the language model to ask for"},
    {"openai-key-file", "learn", OBS_TYPE_TEXT, AT(openai_key_file), NULL, 0, 0, NULL, false, "FILE",
     "its first line is the key; without it OPENAI_API_KEY of the environment"},
    {"llm-timeout", "learn", OBS_TYPE_NUMBER, AT(llm_timeout_s), "60", 1, 3600, NULL, false, "SECONDS",
     "for one answer of a model"},
    {"llm-calls-per-hour", "learn", OBS_TYPE_NUMBER, AT(llm_calls_per_hour), "120", 0, 1000000, NULL, false, "N",
     "most questions to models and teams; 0: no limit"},
    {"llm-tokens-per-day", "learn", OBS_TYPE_NUMBER, AT(llm_tokens_per_day), "0", 0, UINT32_MAX, NULL, false, "N",
     "most tokens of models; 0: no limit"},
    {"gateway-url", "learn", OBS_TYPE_URL, AT(gateway_url), NULL, 0, 0, "http https", false, "URL",
     "the agents' gateway, told at /log what was learned"},
    {"playbook-cycles", "learn", OBS_TYPE_NUMBER, AT(playbook_cycles), "5", 1, 86400, NULL, false, "CYCLES",
     "between two looks at what succeeded"},
    {"llm-team-url", "learn", OBS_TYPE_URL, AT(team_url), NULL, 0, 0, "http https", false, "URL",
     "who gets escalated clusters, at /api/run"},
    {"escalate-failures", "learn", OBS_TYPE_NUMBER, AT(escalate_failures), "3", 1, 1000000, NULL, false, "N",
     "failures of a cluster within the window that escalate it"},
    {"escalate-window", "learn", OBS_TYPE_NUMBER, AT(escalate_window_s), "600", 1, 86400, NULL, false, "SECONDS",
     "the window of escalation"},
    {"escalate-cooldown", "learn", OBS_TYPE_NUMBER, AT(escalate_cooldown_s), "3600", 0, 31536000, NULL, false,
     "SECONDS", "between two escalations of a cluster"},
    {"escalate-per-hour", "learn", OBS_TYPE_NUMBER, AT(escalate_per_hour), "12", 1, 10000, NULL, false, "N",
     "most escalations in an hour"},
    {"allow-old-nng", "security", OBS_TYPE_SWITCH, AT(allow_old_nng), "false", 0, 0, NULL, false, NULL,
     "let NNG older than 1.6 listen beyond loopback"},
    {"log-level", "observerd", OBS_TYPE_CHOICE, AT(log_level), "info", 0, 0, "debug info warn error", true, "LEVEL",
     "debug, info, warn or error"},
    {"log-format", "observerd", OBS_TYPE_CHOICE, AT(log_format), "text", 0, 0, "text json", true, "FORMAT",
     "text or json"},
    {"config", NULL, OBS_TYPE_TEXT, AT(config), NULL, 0, 0, NULL, false, "FILE", "configuration file (INI)"},
    {"check-config", NULL, OBS_TYPE_SWITCH, AT(check_config), "false", 0, 0, NULL, false, NULL,
     "print the effective configuration and exit"},
    {"routes", NULL, OBS_TYPE_SWITCH, AT(routes), "false", 0, 0, NULL, false, NULL, "print the HTTP routes and exit"},
    {"man", NULL, OBS_TYPE_SWITCH, AT(man), "false", 0, 0, NULL, false, NULL, "print the manual page (roff) and exit"},
    {"version", NULL, OBS_TYPE_SWITCH, AT(version), "false", 0, 0, NULL, false, NULL, "print the version and exit"},
    {"help", NULL, OBS_TYPE_SWITCH, AT(help), "false", 0, 0, NULL, false, NULL, "print this and exit"},
};

enum { OPTIONS = sizeof(table) / sizeof(table[0]) };

/* Names of the older observers. `bind` and OBSERVER_PORT give an address or a port, persist_path a journal's path. */
typedef struct {
  const char *env;           /* or NULL */
  const char *section, *key; /* or NULL */
  const char *flag;
  const char *format; /* of the new value; NULL: taken as it is */
} alias;

static const alias aliases[] = {
    {"OBSERVER_PORT", NULL, NULL, "http", "http://127.0.0.1:%s"},
    {"GATEWAY_URL", NULL, NULL, "gateway-url", NULL},
    {"LAKEHOUSE_URL", NULL, NULL, "lakehouse-url", NULL},
    {"LLM_TEAM_URL", NULL, NULL, "llm-team-url", NULL},
    {"OVERSEER_CORRECTIONS_PATH", NULL, NULL, "overseer-corrections-path", NULL},
    {NULL, "observerd", "bind", "http", "http://%s"},
};

enum { ALIASES = sizeof(aliases) / sizeof(aliases[0]) };

/* What is being loaded. `from` tells where an option's value came from; a list that a stronger origin names is begun
 * anew, so `rank` keeps the origin's strength. */
typedef enum { RANK_DEFAULT, RANK_FILE, RANK_ENV, RANK_FLAG } rank;

typedef struct {
  obs_options *o;
  rank ranks[OPTIONS];
  obs_buf *error;
  const char *file;
} loader;

static const option *find(const char *flag, size_t len) {
  for (size_t i = 0; i < OPTIONS; i++) {
    if (strlen(table[i].flag) == len && memcmp(table[i].flag, flag, len) == 0) return &table[i];
  }
  return NULL;
}

static obs_value_rule rule_of(const option *opt) {
  return (obs_value_rule){opt->type, opt->min, opt->max, opt->choices};
}

/* Gives an option a value; `origin` is for the message: "environment OBSERVER_RING". */
static void assign(loader *l, const option *opt, const char *text, rank r, const char *origin) {
  char why[160] = "";
  obs_value_rule rule = rule_of(opt);
  rank *before = &l->ranks[opt - table];
  void *member = (char *)l->o + opt->offset;
  if (*before != r) obs_value_clear(&rule, member);
  *before = r;
  if (obs_value_set(&rule, member, text, why, sizeof(why))) return;
  obs_buf_printf(l->error, "%s: %s, not \"%.80s\" (%s)\n", opt->flag, why, text, origin);
}

static void load_defaults(loader *l) {
  for (size_t i = 0; i < OPTIONS; i++) {
    if (table[i].initial != NULL) assign(l, &table[i], table[i].initial, RANK_DEFAULT, "default");
  }
}

static void assign_alias(loader *l, const alias *a, const char *text, rank r, const char *origin) {
  char value[640];
  snprintf(value, sizeof(value), a->format != NULL ? a->format : "%s", text);
  assign(l, find(a->flag, strlen(a->flag)), value, r, origin);
}

/* ---- environment ---- */

static void env_name(const char *flag, char out[64]) {
  size_t n = (size_t)snprintf(out, 64, "OBSERVER_%s", flag);
  for (size_t i = 0; i < n && i < 63; i++) out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static void load_env(loader *l) {
  char origin[80];
  for (size_t i = 0; i < ALIASES; i++) {
    const char *text = aliases[i].env != NULL ? getenv(aliases[i].env) : NULL;
    if (text == NULL || *text == '\0') continue;
    snprintf(origin, sizeof(origin), "environment %s", aliases[i].env);
    assign_alias(l, &aliases[i], text, RANK_ENV, origin);
  }
  for (size_t i = 0; i < OPTIONS; i++) {
    char name[64];
    env_name(table[i].flag, name);
    const char *text = table[i].section != NULL || AT(config) == table[i].offset ? getenv(name) : NULL;
    if (text == NULL || *text == '\0') continue;
    snprintf(origin, sizeof(origin), "environment %s", name);
    l->ranks[i] = RANK_DEFAULT; /* the new name wins over the older one */
    assign(l, &table[i], text, RANK_ENV, origin);
  }
}

/* ---- file ---- */

static bool key_is(const char *flag, const char *key) {
  for (; *flag != '\0' && *key != '\0'; flag++, key++) {
    if (*flag != *key && !(*flag == '-' && *key == '_')) return false;
  }
  return *flag == *key;
}

/* The older port's file is TOML: its strings are quoted. */
static void unquote(const char *text, char out[512]) {
  size_t n = strlen(text);
  bool quoted = n >= 2 && text[0] == '"' && text[n - 1] == '"';
  snprintf(out, 512, "%.*s", (int)(quoted ? n - 2 : n), text + quoted);
}

static void assign_persist_path(loader *l, const char *path, const char *origin) {
  const char *slash = strrchr(path, '/');
  char dir[512] = ".";
  if (slash != NULL) snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
  assign(l, find("data-dir", 8), dir, RANK_FILE, origin);
  assign(l, find("journal-name", 12), slash != NULL ? slash + 1 : path, RANK_FILE, origin);
}

static int on_ini(void *user, const char *section, const char *key, const char *raw) {
  loader *l = user;
  char origin[320], text[512];
  unquote(raw, text);
  snprintf(origin, sizeof(origin), "file %s, [%s] %s", l->file, section, key);
  for (size_t i = 0; i < ALIASES; i++) {
    const alias *a = &aliases[i];
    if (a->section == NULL || strcmp(a->section, section) != 0 || strcmp(a->key, key) != 0) continue;
    assign_alias(l, a, text, RANK_FILE, origin);
    return 1;
  }
  if (strcmp(section, "observerd") == 0 && strcmp(key, "persist_path") == 0) {
    assign_persist_path(l, text, origin);
    return 1;
  }
  for (size_t i = 0; i < OPTIONS; i++) {
    if (table[i].section == NULL || strcmp(table[i].section, section) != 0 || !key_is(table[i].flag, key)) continue;
    assign(l, &table[i], text, RANK_FILE, origin);
    return 1;
  }
  obs_buf_printf(l->error, "[%s] %s: no such option (file %s)\n", section, key, l->file);
  return 1;
}

static void load_file(loader *l) {
  int rc = ini_parse(l->file, on_ini, l);
  if (rc == -1)
    obs_buf_printf(l->error, "config: cannot read \"%s\"\n", l->file);
  else if (rc < -1)
    obs_buf_puts(l->error, "config: out of memory\n");
  else if (rc > 0)
    obs_buf_printf(l->error, "config: %s, line %d: not a section, a key or a comment\n", l->file, rc);
}

/* ---- flags ---- */

/* One flag at argv[*i]; moves *i over its value. */
static void load_flag(loader *l, int argc, char **argv, int *i) {
  const char *arg = argv[*i];
  char origin[80];
  if (strncmp(arg, "--", 2) != 0) {
    obs_buf_printf(l->error, "%s: not an option (see --help)\n", arg);
    return;
  }
  const char *equals = strchr(arg, '=');
  size_t len = equals != NULL ? (size_t)(equals - arg) - 2 : strlen(arg) - 2;
  const option *opt = find(arg + 2, len);
  if (opt == NULL) {
    obs_buf_printf(l->error, "%s: no such option (see --help)\n", arg);
    return;
  }
  const char *text = equals != NULL ? equals + 1 : opt->type == OBS_TYPE_SWITCH ? "true" : argv[*i + 1];
  if (equals == NULL && opt->type != OBS_TYPE_SWITCH) ++*i;
  if (text == NULL || *i >= argc) {
    obs_buf_printf(l->error, "--%s: needs a value\n", opt->flag);
    return;
  }
  snprintf(origin, sizeof(origin), "flag --%s", opt->flag);
  assign(l, opt, text, RANK_FLAG, origin);
}

/* The file's name is looked for first: it is read before what overrides it. */
static const char *config_name(int argc, char **argv) {
  for (int i = argc - 1; i > 0; i--) {
    if (strncmp(argv[i], "--config=", 9) == 0) return argv[i] + 9;
    if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) return argv[i + 1];
  }
  const char *env = getenv("OBSERVER_CONFIG");
  return env != NULL && *env != '\0' ? env : NULL;
}

static void derive(obs_options *o) {
  obs_value_fsync(o->fsync, &o->fsync_mode, &o->fsync_ms);
  static const char *const levels[] = {"debug", "info", "warn", "error"};
  for (int i = 0; i < 4; i++) {
    if (strcmp(o->log_level, levels[i]) == 0) o->level = (obs_log_level)i;
  }
  o->format = strcmp(o->log_format, "json") == 0 ? OBS_LOG_JSON : OBS_LOG_TEXT;
}

/* Which model explains failures, and where it is. */
static void resolve_analyser(loader *l) {
  obs_options *o = l->o;
  if (o->analyser == NULL) return;
  bool is_auto = strcmp(o->analyser, "auto") == 0;
  bool openai = strcmp(o->analyser, "openai") == 0 || (is_auto && o->openai_url != NULL);
  bool lakehouse = !openai && (strcmp(o->analyser, "lakehouse") == 0 || (is_auto && o->lakehouse_url != NULL));
  o->llm = openai ? OBS_OPTIONS_LLM_OPENAI : lakehouse ? OBS_OPTIONS_LLM_LAKEHOUSE : OBS_OPTIONS_LLM_NONE;
  o->llm_url = openai ? o->openai_url : lakehouse ? o->lakehouse_url : NULL;
  if (o->llm != OBS_OPTIONS_LLM_NONE && o->llm_url == NULL)
    obs_buf_printf(l->error, "analyser: %s needs %s-url\n", o->analyser, o->analyser);
}

observer_err obs_options_load(int argc, char **argv, obs_options *out, obs_buf *error) {
  loader l = {.o = out, .error = error, .file = config_name(argc, argv)};
  *out = (obs_options){0};
  load_defaults(&l);
  if (l.file != NULL) load_file(&l);
  load_env(&l);
  for (int i = 1; i < argc; i++) load_flag(&l, argc, argv, &i);
  if (error->len == 0) resolve_analyser(&l);
  if (error->len > 0) return OBSERVER_E_INVALID;
  if (error->oom || out->analyser == NULL || out->fsync == NULL || out->log_level == NULL || out->log_format == NULL)
    return OBSERVER_E_NOMEM;
  derive(out);
  return OBSERVER_E_OK;
}

void obs_options_fini(obs_options *o) {
  for (size_t i = 0; i < OPTIONS; i++) {
    obs_value_rule rule = rule_of(&table[i]);
    obs_value_clear(&rule, (char *)o + table[i].offset);
  }
}

void obs_options_print(const obs_options *o, FILE *out) {
  static const char *const sections[] = {"observerd", "http", "bus", "journal", "learn", "security"};
  for (size_t s = 0; s < sizeof(sections) / sizeof(sections[0]); s++) {
    fprintf(out, "%s[%s]\n", s > 0 ? "\n" : "", sections[s]);
    for (size_t i = 0; i < OPTIONS; i++) {
      if (table[i].section == NULL || strcmp(table[i].section, sections[s]) != 0) continue;
      obs_value_rule rule = rule_of(&table[i]);
      obs_value_print(&rule, table[i].flag, (const char *)o + table[i].offset, out);
    }
  }
}

void obs_options_help(FILE *out) {
  fputs("usage: observerd [OPTION]...\n\nRecords what a fleet of agents and services did.\n\n", out);
  for (size_t i = 0; i < OPTIONS; i++) {
    char left[64];
    const char *meta = table[i].meta;
    snprintf(left, sizeof(left), "--%s%s%s", table[i].flag, meta != NULL ? " " : "", meta != NULL ? meta : "");
    const char *initial = table[i].type == OBS_TYPE_SWITCH ? NULL : table[i].initial;
    fprintf(out, "  %-34s %s%s%s%s\n", left, table[i].help, initial != NULL ? " [" : "", initial != NULL ? initial : "",
            initial != NULL ? "]" : "");
  }
  fputs("\nEach is also OBSERVER_<OPTION> in the environment and a key of the file; flag > environment > file.\n", out);
}

void obs_options_each(void (*fn)(void *arg, const obs_option_view *option), void *arg) {
  for (size_t i = 0; i < OPTIONS; i++) {
    const option *opt = &table[i];
    char env[64];
    env_name(opt->flag, env);
    bool has_env = opt->section != NULL || AT(config) == opt->offset;
    obs_option_view view = {opt->flag,
                            has_env ? env : NULL,
                            opt->section,
                            opt->meta,
                            opt->type == OBS_TYPE_SWITCH ? NULL : opt->initial,
                            opt->help,
                            opt->live};
    fn(arg, &view);
  }
}

void obs_options_take_live(obs_options *o, obs_options *next) {
  for (size_t i = 0; i < OPTIONS; i++) {
    if (!table[i].live) continue;
    obs_value_rule rule = rule_of(&table[i]);
    obs_value_swap(&rule, (char *)o + table[i].offset, (char *)next + table[i].offset);
  }
  derive(o);
}

void obs_options_restart_needed(const obs_options *now, const obs_options *next, obs_buf *names) {
  for (size_t i = 0; i < OPTIONS; i++) {
    obs_value_rule rule = rule_of(&table[i]);
    size_t at = table[i].offset;
    if (table[i].live || obs_value_equal(&rule, (const char *)now + at, (const char *)next + at)) continue;
    obs_buf_printf(names, "%s%s", names->len > 0 ? " " : "", table[i].flag);
  }
}
