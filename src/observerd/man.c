#include "observerd/man.h"

#include "base/roff.h"
#include "observerd/config.h"
#include "observerd/older.h"

static const char about[] =
    "observerd is the third-party witness of a fleet of agents and services. Producers publish what they did "
    "(observed ops) on a message bus; it records every op durably, one JSON line each, keeps live aggregates, answers "
    "over HTTP, and sends what it recorded on to subscribers.\n\n"
    "What is acknowledged (REP, HTTP) is in the journal and synced. PULL applies backpressure and has no "
    "acknowledgement; SUB is best effort. Only one daemon at a time writes to a data directory.\n\n"
    "SIGTERM and SIGINT stop it in order: intake ends, what waits is written, synced and answered; a second one ends "
    "it at once. SIGHUP reads the configuration again: from a valid one the daemon takes what it can change while it "
    "runs, a bad one is refused. The key file and the TLS files are read again when they change, and at SIGHUP.\n\n"
    "Without --keys whoever reaches a listener may use it, and one that others can reach is refused unless "
    "--allow-open "
    "is given, or its clients need a certificate. With --keys HTTP needs a key, and each listener of the bus and the "
    "feed has to say who its peers are: ;key=ID behind its URL for the rights of a key, ;uid=NUMBER for users of a "
    "Unix "
    "socket, or client certificates (--tls-ca). observerctl key makes and revokes keys.";

static const char configuration[] =
    "Each option but those that print something is also a key of the file given with --config, with _ for -, in the "
    "section in which --check-config prints it. A flag wins over the environment, which wins over the file, which wins "
    "over the default. --sample-config prints a file that explains every option; --check-config prints the effective "
    "values, and where each comes from.";

static const char variables[] =
    "Each key of the configuration file is also a variable: OBSERVER_ and the key in capitals. OBSERVER_DATA_DIR is "
    "--data-dir. OBSERVER_CONFIG names the file. Variables of the older observers yield to these:";

static const char example_file[] = "[http]\nhttp = http://127.0.0.1:3800\n\n[journal]\ndata_dir = /var/lib/observerd\n"
                                   "fsync = interval:50\nretain_bytes = 10G";

/* Entries of a section: tag and text. */
typedef struct {
  const char *tag, *text;
} entry;

static const entry files[] = {
    {"DATA_DIR/ops.jsonl", "the journal: the active segment, one op a line"},
    {"DATA_DIR/ops-N.jsonl, ops-N.idx",
     "rotated segments, N the seq of their first op, and their indexes, which are made "
     "again when they are missing"},
    {"DATA_DIR/ops-N.times", "when each op of a segment was received"},
    {"DATA_DIR/ops-N.keys", "which sessions, agents and tasks a segment's ops are of; made again when it is missing"},
    {"DATA_DIR/ops-found-*.jsonl", "files that stood in the journal's place after that was taken away"},
    {"DATA_DIR/coordinator_sessions.jsonl", "session records, one a line"},
    {"DATA_DIR/analyses.jsonl", "explanations of failures"},
    {"DATA_DIR/playbooks.jsonl", "what works and what does not, with the effect of each entry"},
    {"DATA_DIR/escalations.jsonl", "failures that were escalated to a team of models"},
    {"DATA_DIR/reviews.jsonl", "answers that were judged, with the verdicts"},
    {"DATA_DIR/calls.jsonl", "every call to a model or another service"},
    {"DATA_DIR/rejected.jsonl, rejected.1.jsonl", "rejected messages and ops, with the reason and the bytes"},
    {"DATA_DIR/alerts.jsonl, alerts.1.jsonl", "which alerts fire and which are resolved"},
    {"DATA_DIR/notifications.jsonl, silences.jsonl", "who was told of which alerts, and what nobody is told of"},
    {"DATA_DIR/audit.jsonl, audit.1.jsonl", "what was done to the keys and the daemon, and who was refused"},
    {"DATA_DIR/bad-rows.jsonl", "rows that could not be read, set aside"},
    {"DATA_DIR/redact.key", "key of the tokens that stand for what was redacted"},
    {"DATA_DIR/group", "ops and session records of one message while they are written"},
    {"DATA_DIR/checkpoint", "aggregates up to a seq, so that the daemon starts quickly"},
    {"DATA_DIR/format",
     "which format the directory has, and which observerd wrote it; an older one does not start there"},
    {"DATA_DIR/edge, forward", "of an edge: who it is, and how far it has forwarded"},
    {"DATA_DIR/fleet.sock", "of an edge: a socket of its own, for what the fleet asks"},
    {"DATA_DIR/worker, partitions/", "of a worker: who it is, and its last checkpoints"},
    {"DATA_DIR/lock", "locked by the daemon that writes there; contains its process id"},
};

static const entry statuses[] = {
    {"0", "stopped by a signal, or printed what was requested"},
    {"1", "could not run; the reason is on standard error"},
    {"2", "the configuration is wrong; each bad value is named on standard error"},
};

static void put_entries(FILE *out, const entry *entries, size_t n) {
  for (size_t i = 0; i < n; i++) {
    obs_roff_tag(out, entries[i].tag, NULL);
    obs_roff_text(out, entries[i].text);
  }
}

void obs_man_print(FILE *out) {
  const obs_option_table table = obs_config_table();
  obs_roff_begin(out, "observerd", 8, OBSERVER_VERSION);
  obs_roff_section(out, "NAME");
  obs_roff_text(out, "observerd - records what a fleet of agents and services did");
  obs_roff_section(out, "SYNOPSIS");
  obs_roff_text(out, "observerd [OPTION]...");
  obs_roff_section(out, "DESCRIPTION");
  obs_roff_text(out, about);
  obs_roff_section(out, "OPTIONS");
  obs_options_man(table, out);
  obs_roff_section(out, "CONFIGURATION");
  obs_roff_text(out, configuration);
  obs_roff_example(out, example_file);
  obs_roff_section(out, "ENVIRONMENT");
  obs_roff_text(out, variables);
  for (size_t i = 0; i < OBS_OLDER_VARIABLES; i++) {
    obs_roff_tag(out, obs_older_variables[i].env, NULL);
    obs_roff_text(out, obs_older_variables[i].help);
  }
  obs_roff_section(out, "FILES");
  put_entries(out, files, sizeof(files) / sizeof(files[0]));
  obs_roff_section(out, "EXIT STATUS");
  put_entries(out, statuses, sizeof(statuses) / sizeof(statuses[0]));
  obs_roff_section(out, "EXAMPLES");
  obs_roff_text(out, "Records in /var/lib/observerd and syncs every 50 ms at most:");
  obs_roff_example(out, "observerd --data-dir /var/lib/observerd --fsync interval:50");
  obs_roff_paragraph(out);
  obs_roff_text(out, "For trying things out: no files, other ports:");
  obs_roff_example(out, "observerd --ephemeral --http http://127.0.0.1:4800 --pull tcp://127.0.0.1:4801 \\\n"
                        "  --sub none --rep none --feed none");
  obs_roff_paragraph(out);
  obs_roff_text(out, "For others, with keys and TLS; ID is that of a key in the file:");
  obs_roff_example(out, "observerd --keys keys.json --tls-cert cert.pem --tls-key cert.key \\\n"
                        "  --http https://0.0.0.0:3800 --pull 'tls+tcp://0.0.0.0:3801;key=ID' \\\n"
                        "  --sub none --rep none --feed none");
  obs_roff_section(out, "SEE ALSO");
  obs_roff_text(out, "observerctl(1), nngcat(1)");
}
