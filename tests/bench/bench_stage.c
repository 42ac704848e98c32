/* What each stage of recording costs, ns an op, each alone on one thread: decode, what a key that is bound to sources
 * adds to it, JSON encode, redaction (clean, a secret in each op, all kinds, a pattern with letters and without),
 * journal write, journal write with its sync, times, keys of the journal's index (the two fields of this load, and all
 * five), apply, facts, changes (ops with the same members of their own, with others in each), the graph (with edges it
 * holds, with as many that take turns as to be displaced); and what a table of 2,000 failure clusters costs for a
 * success, and for a failure without a sig_hash, with one of 2,000, with one of its own, with one that four failures in
 * a row have; and a failure of one text at twelve endpoints; what the shipped rules of alerts cost, and twenty rules of
 * all forms; and what a worker of a fleet spends on a row, from the stream's message to its partition.
 *
 *   bench_stage DIR BATCH ROUNDS     DIR: where the journal is written; prints `stage ns` lines */
#include "bench_op.h"

#include "alerts/engine.h"
#include "base/clock.h"
#include "changes/changes.h"
#include "cluster/clusters.h"
#include "commit/skew.h"
#include "diagnose/facts.h"
#include "fleet/partition.h"
#include "graph/graph.h"
#include "journal/journal.h"
#include "op/decoder.h"
#include "state/state.h"
#include "timeline/keys.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct {
  msgpack_sbuffer payload;
  uint32_t batch, rounds;
  obs_batch b;
  int64_t now_ms;
} bench;

static void check(observer_err err, const char *what) {
  if (err == OBSERVER_E_OK) return;
  fprintf(stderr, "bench_stage: %s: %s\n", what, observer_strerror(err));
  exit(1);
}

static void report(const bench *x, const char *stage, uint64_t ns) {
  printf("%s %.1f\n", stage, (double)ns / ((double)x->batch * x->rounds));
}

static void decode_once(bench *x, const obs_identity *identity) {
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  obs_batch_reset(&x->b);
  x->b.identity = identity;
  x->b.data = (const uint8_t *)x->payload.data;
  x->b.size = x->payload.size;
  x->b.transport = OBS_TRANSPORT_PULL;
  x->b.profile = OBS_PROFILE_V1;
  obs_batch_decode(&x->b, OBS_FORMAT_ANY, &limits, x->now_ms);
  if (x->b.nops != x->batch) {
    fprintf(stderr, "bench_stage: %u of %u ops decoded\n", x->b.nops, x->batch);
    exit(1);
  }
}

/* What it adds that each op's source is looked up among those of a key: the last one of the list, mostly. It is so
 * little that it is the difference of the fastest rounds. */
static void bench_bound(bench *x) {
  static const obs_str sources[] = {{"mailer", 6, 0}, {"bot", 3, 0}, {"scenario", 8, 0}, {"mcp", 3, 0}};
  static const obs_key key = {.scopes = OBS_SCOPE_INGEST, .sources = sources, .nsources = 4};
  static const obs_identity bound = {.scopes = OBS_SCOPE_INGEST, .key = &key};
  uint64_t fastest[2] = {UINT64_MAX, UINT64_MAX};
  for (uint32_t r = 0; r < 2 * x->rounds; r++) {
    uint64_t start = obs_clock_mono_ns();
    decode_once(x, r % 2 != 0 ? &bound : NULL);
    uint64_t ns = obs_clock_mono_ns() - start;
    if (ns < fastest[r % 2]) fastest[r % 2] = ns;
  }
  report(x, "bound", fastest[1] > fastest[0] ? (fastest[1] - fastest[0]) * x->rounds : 0);
}

/* Decoding writes the JSON lines as well: the encoder is timed alone and taken off. */
static void bench_decode_encode(bench *x) {
  obs_buf out = {0};
  uint64_t encode = 0;
  uint64_t start = obs_clock_mono_ns();
  for (uint32_t r = 0; r < x->rounds; r++) decode_once(x, NULL);
  uint64_t both = obs_clock_mono_ns() - start;
  for (uint32_t r = 0; r < x->rounds; r++) {
    obs_buf_reset(&out, SIZE_MAX);
    start = obs_clock_mono_ns();
    for (uint32_t i = 0; i < x->b.nops; i++) {
      obs_op_encode(&out, &x->b.ops[i], x->b.unknown + x->b.ops[i].unknown_first);
    }
    encode += obs_clock_mono_ns() - start;
  }
  if (out.oom) check(OBSERVER_E_NOMEM, "encode");
  obs_buf_fini(&out);
  report(x, "decode", both > encode ? both - encode : 0);
  report(x, "encode", encode);
}

/* What looking for secrets costs before a message is decoded: on clean ops, with one in each op, with all kinds, and
 * with a pattern that has letters to look for, or none. */
static void bench_redact(const bench *x) {
  static const char clean[] = "fill 3 pickers for the night shift", secret[] = "key AKIAQ3XV7ZTLM2RBWNYC was bad..";
  static const struct {
    const char *stage;
    obs_redact_kinds kinds;
    const char *pattern;
    bool secrets;
  } loads[] = {{"redact_clean", OBS_REDACT_SECRETS, NULL, false},
               {"redact_secret_each", OBS_REDACT_SECRETS, NULL, true},
               {"redact_all_clean", OBS_REDACT_ALL, NULL, false},
               {"redact_pattern", OBS_REDACT_SECRETS, "EMPLOYEE=\\bEMP-\\d{6}\\b", false},
               {"redact_pattern_bare", OBS_REDACT_SECRETS, "PLATE=\\b[A-Z]{2}\\d{4}[A-Z]{2}\\b", false}};
  static const uint8_t key[OBS_REDACT_KEY_BYTES];
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  _Static_assert(sizeof(clean) == sizeof(secret), "a message keeps its lengths");
  char *bytes = malloc(x->payload.size), error[256];
  check(bytes != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM, "redact");
  for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
    obs_redact *r;
    obs_buf out = {0};
    check(obs_redact_open(loads[i].kinds, &loads[i].pattern, loads[i].pattern != NULL, key, &r, error, sizeof(error)),
          error);
    memcpy(bytes, x->payload.data, x->payload.size);
    char *end = bytes + x->payload.size, *at = bytes;
    while (loads[i].secrets && (at = memmem(at, (size_t)(end - at), clean, sizeof(clean) - 1)) != NULL)
      memcpy(at, secret, sizeof(secret) - 1);
    uint64_t start = obs_clock_mono_ns();
    for (uint32_t round = 0; round < x->rounds; round++) {
      obs_buf_reset(&out, SIZE_MAX);
      if (obs_redact_message(r, OBS_REDACT_MSGPACK, bytes, x->payload.size, limits.string_bytes, &out) !=
          loads[i].secrets) {
        fprintf(stderr, "bench_stage: %s: redacted or not\n", loads[i].stage);
        exit(1);
      }
    }
    report(x, loads[i].stage, obs_clock_mono_ns() - start);
    obs_buf_fini(&out);
    obs_redact_close(r);
  }
  free(bytes);
}

static bool take_row(void *arg, const obs_journal_row *row, int64_t *time_ms, const char **reason) {
  (void)arg, (void)row, (void)time_ms, (void)reason;
  return true;
}

static void bench_journal(bench *x, const char *dir, obs_journal_fsync mode, const char *stage) {
  char text[256] = "";
  obs_journal *j;
  obs_journal_replayed replayed;
  obs_journal_opts opts = {.dir = dir, .fsync = mode, .segment_bytes = 0};
  if (obs_journal_open(&opts, &j, text, sizeof(text)) != OBSERVER_E_OK) {
    fprintf(stderr, "bench_stage: %s\n", text);
    exit(1);
  }
  check(obs_journal_replay(j, 1, take_row, NULL, &replayed), "replay");
  uint64_t start = obs_clock_mono_ns();
  for (uint32_t r = 0; r < x->rounds; r++) {
    struct iovec iov = {x->b.json.p, x->b.json.len};
    check(obs_journal_append(j, &iov, 1, x->b.nops, x->now_ms, x->now_ms), "append");
    check(obs_journal_sync(j), "sync");
  }
  report(x, stage, obs_clock_mono_ns() - start);
  obs_journal_close(j);
}

/* Each op's times: of producers whose clocks are right, and of some that are two hours off. */
static void bench_times(bench *x, int64_t behind_ms, const char *stage) {
  obs_skew *s = obs_skew_open();
  if (s == NULL) check(OBSERVER_E_NOMEM, "skew");
  uint64_t start = obs_clock_mono_ns();
  for (uint32_t r = 0; r < x->rounds; r++) {
    int64_t now_ms = x->now_ms + (int64_t)r * 50;
    for (uint32_t i = 0; i < x->b.nops; i++) {
      x->b.ops[i].time_ms = now_ms - behind_ms;
      obs_op_set_times(&x->b.ops[i], now_ms, obs_skew_of(s, &x->b.ops[i], now_ms, 0));
    }
  }
  report(x, stage, obs_clock_mono_ns() - start);
  obs_skew_close(s);
}

/* What the journal's index by session, cycle, agent and task costs: the keys of all five fields, or of those that the
 * load has. Of the five, session and cycle are one in 20 ops, sig_hash is another in each. */
static void bench_keys(bench *x, const char *dir, bool five, const char *stage) {
  char text[256] = "", (*values)[5][24] = calloc(x->batch, sizeof(*values));
  obs_journal *j;
  obs_journal_replayed replayed;
  obs_op *ops = calloc(x->batch, sizeof(*ops));
  obs_journal_opts opts = {.dir = dir, .name = five ? "obs-five.jsonl" : "obs-few.jsonl", .fsync = OBS_FSYNC_NEVER};
  check(values != NULL && ops != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM, stage);
  check(obs_journal_open(&opts, &j, text, sizeof(text)), text);
  check(obs_journal_replay(j, 1, take_row, NULL, &replayed), "replay");
  memcpy(ops, x->b.ops, x->batch * sizeof(*ops));
  uint64_t ns = 0;
  for (uint32_t r = 0; r < x->rounds; r++) {
    uint64_t first_seq = obs_journal_next_seq(j);
    for (uint32_t i = 0; five && i < x->batch; i++) {
      uint64_t n = first_seq + i;
      obs_str *const fields[] = {&ops[i].session_id, &ops[i].cycle_id, &ops[i].staffer_id, &ops[i].task_class,
                                 &ops[i].sig_hash};
      const uint64_t numbers[] = {n / 20, n / 20, n % 50, n % 8, n * 2654435761u};
      for (int f = 0; f < 5; f++) {
        snprintf(values[i][f], sizeof(values[i][f]), "value-%016" PRIx64, numbers[f]);
        *fields[f] = (obs_str){values[i][f], 22, 1};
      }
      ops[i].present |= OBS_BIT(OBS_F_session_id) | OBS_BIT(OBS_F_cycle_id) | OBS_BIT(OBS_F_staffer_id) |
                        OBS_BIT(OBS_F_task_class) | OBS_BIT(OBS_F_sig_hash);
    }
    struct iovec iov = {x->b.json.p, x->b.json.len};
    check(obs_journal_append(j, &iov, 1, x->b.nops, x->now_ms, x->now_ms), "append");
    obs_batch b = {.ops = ops, .lines = x->b.lines, .nops = x->batch};
    uint64_t start = obs_clock_mono_ns();
    obs_timeline_apply(j, &b, first_seq, x->now_ms);
    ns += obs_clock_mono_ns() - start;
  }
  report(x, stage, ns);
  obs_journal_close(j);
  free(ops);
  free(values);
}

static void bench_apply(bench *x) {
  const obs_state_opts opts = OBS_STATE_OPTS_DEFAULT;
  obs_state *s;
  check(obs_state_open(&opts, &s), "state");
  uint64_t start = obs_clock_mono_ns();
  for (uint32_t r = 0; r < x->rounds; r++) obs_state_apply(s, &x->b, 1 + (uint64_t)r * x->batch, x->now_ms + r);
  report(x, "apply", obs_clock_mono_ns() - start);
  obs_state_close(s);
}

/* ---- failure clusters ---- */

enum { KINDS = 2000, FAILURES = 16000, ROUNDS = 5 };

typedef enum { NO_SIG, SIG_OF_KIND, SIG_EACH, SIG_IN_FOURS } sig_use;

typedef struct {
  const char *stage;
  bool success;
  sig_use sig;
  uint32_t kinds, endpoints; /* endpoints: 0: one a kind */
} load;

typedef struct {
  obs_op ops[FAILURES];
  obs_batch_line lines[FAILURES];
  char texts[FAILURES][128], sigs[FAILURES][20], staffers[FAILURES][12], sessions[FAILURES][16],
      endpoints[FAILURES][16];
} failures;

static obs_str text_of(const char *s) {
  return (obs_str){s, (uint32_t)strlen(s), 1};
}

/* Letters; most words of a kind are no other kind's, so that kinds stay apart. */
static void name_kind(uint64_t kind, char out[7]) {
  kind = (kind + 1) * 0x9E3779B97F4A7C15u;
  for (int i = 0; i < 6; i++, kind = kind * 0xD6E8FEB86659FD93u + 11) out[i] = (char)('a' + (kind >> 40) % 26);
  out[6] = '\0';
}

static void make_failure(failures *f, uint32_t i, const load *l, int64_t now_ms) {
  uint32_t kind = (i * 2654435761u >> 8) % l->kinds;
  char a[7], b[7], c[7], d[7];
  name_kind(kind, a);
  name_kind(kind * 31 + 70000, b);
  name_kind(kind * 131 + 900000, c);
  name_kind(kind * 17 + 8000000, d);
  snprintf(f->texts[i], sizeof(f->texts[i]), "%s: %s worker-%u lost %s of request %u %s %u ms", a, b, i % 7, c, i, d,
           i % 977);
  snprintf(f->staffers[i], sizeof(f->staffers[i]), "agent-%03u", i % 40);
  snprintf(f->sessions[i], sizeof(f->sessions[i]), "session-%u", i / 20);
  snprintf(f->endpoints[i], sizeof(f->endpoints[i]), "/v1/e%u", (l->endpoints > 0 ? i : kind) % 12);
  obs_op *op = &f->ops[i];
  *op = (obs_op){.success = l->success, .time_ms = now_ms};
  obs_op_set_times(op, now_ms, 0);
  op->present = OBS_BIT(OBS_F_endpoint) | OBS_BIT(OBS_F_source) | OBS_BIT(OBS_F_staffer_id) | OBS_BIT(OBS_F_error) |
                OBS_BIT(OBS_F_task_class) | OBS_BIT(OBS_F_session_id) | OBS_BIT(OBS_F_event_kind) |
                (l->sig != NO_SIG ? OBS_BIT(OBS_F_sig_hash) : 0);
  op->endpoint = text_of(f->endpoints[i]);
  op->source = text_of(i % 5 == 4 ? "scenario" : "mcp");
  op->event_kind = text_of("task");
  op->staffer_id = text_of(f->staffers[i]);
  op->session_id = text_of(f->sessions[i]);
  op->error = text_of(f->texts[i]);
  op->task_class = text_of("fill");
  op->sig_hash = text_of(f->sigs[i]);
}

/* Between rounds: a hash of its own is new in each. */
static void name_sigs(failures *f, const load *l, uint32_t round) {
  for (uint32_t i = 0; i < FAILURES; i++) {
    uint32_t n = l->sig == SIG_OF_KIND ? (i * 2654435761u >> 8) % l->kinds : round * FAILURES + i;
    if (l->sig == SIG_IN_FOURS) n /= 4;
    snprintf(f->sigs[i], sizeof(f->sigs[i]), "%016x", n * 2654435761u);
  }
}

static void bench_clusters(const bench *x, const load *l) {
  obs_clusters *c;
  obs_clusters_counts n;
  failures *f = calloc(1, sizeof(*f));
  check(f != NULL ? obs_clusters_open(&(obs_clusters_opts){0}, &c) : OBSERVER_E_NOMEM, "clusters");
  for (uint32_t i = 0; i < FAILURES; i++) make_failure(f, i, l, x->now_ms);
  uint64_t seq = 1, ns = 0, done = 0;
  for (uint32_t r = 0; r <= ROUNDS; r++) {
    name_sigs(f, l, r);
    uint64_t start = obs_clock_mono_ns();
    for (uint32_t i = 0; i + x->batch <= FAILURES; i += x->batch, seq += x->batch) {
      obs_batch b = {.ops = f->ops + i, .lines = f->lines + i, .nops = x->batch};
      obs_clusters_apply(c, &b, seq, x->now_ms);
    }
    if (r > 0) ns += obs_clock_mono_ns() - start; /* the first round makes the clusters */
    if (r > 0) done += FAILURES / x->batch * x->batch;
  }
  obs_clusters_get_counts(c, &n);
  if (!l->success && (n.held < l->kinds * 9 / 10 || n.held > l->kinds)) {
    fprintf(stderr, "bench_stage: %s: %u clusters\n", l->stage, n.held);
    exit(1);
  }
  if (done > 0) printf("%s %.1f\n", l->stage, (double)ns / (double)done);
  obs_clusters_close(c);
  free(f);
}

static void bench_all_clusters(const bench *x) {
  static const load loads[] = {
      {"clusters_success", true, NO_SIG, KINDS, 0},
      {"clusters_no_sig", false, NO_SIG, KINDS, 0},
      {"clusters_sig_of_kind", false, SIG_OF_KIND, KINDS, 0},
      {"clusters_sig_each", false, SIG_EACH, KINDS, 0},
      {"clusters_sig_in_fours", false, SIG_IN_FOURS, KINDS, 0},
      {"clusters_one_text", false, SIG_EACH, 1, 12},
  };
  for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) bench_clusters(x, &loads[i]);
}

static void bench_facts(bench *x) {
  obs_facts *f;
  check(obs_facts_open(NULL, &f), "facts");
  uint64_t start = obs_clock_mono_ns();
  for (uint32_t r = 0; r < x->rounds; r++) obs_facts_apply(f, &x->b, 1 + (uint64_t)r * x->batch, NULL);
  report(x, "facts", obs_clock_mono_ns() - start);
  obs_facts_close(f);
}

/* Beside the shipped six: rules as an operator of this fleet might have. */
static const char rules[] = "{\"rules\":["
#define IS(field, value) "{\"FieldEquals\":{\"field\":\"" field "\",\"value\":" value "}}"
#define FAILING IS("success", "false")
#define OP(id, when) "{\"id\":\"" id "\",\"on\":\"op\",\"when\":[" when "],\"count\":{\"at_least\":1000000}},"
#define COUNTED(id, when, by)                                                                                          \
  "{\"id\":\"" id "\",\"on\":\"op\",\"when\":[" when "],\"count\":{\"at_least\":1000000,\"by\":[\"" by "\"]}},"
#define SHARE(id, when, by)                                                                                            \
  "{\"id\":\"" id "\",\"on\":\"rate\",\"when\":[" when "],\"of\":[" FAILING "],\"above\":0.9,\"by\":[\"" by "\"]},"
    OP("o1", IS("source", "\"bot\"") "," IS("event_kind", "\"tests_failed\"")) OP(
        "o2",
        "{\"FieldGreater\":{\"field\":\"duration_ms\",\"threshold\":5000}},{\"FieldEmpty\":{\"field\":\"error\"}}")
        OP("o3", FAILING "," IS("city", "\"Dayton\""))
            OP("o4", FAILING ",{\"FieldMatches\":{\"field\":\"error\",\"value\":\"timed out\"}}") OP(
                "o5", "{\"FieldIn\":{\"field\":\"source\",\"values\":[\"bot\",\"langfuse\",\"scrum\"]}}")
                OP("o6", "{\"Not\":{\"FieldEmpty\":{\"field\":\"correction\"}}}") OP(
                    "o7", "{\"FieldGreater\":{\"field\":\"extra.tokens.input\",\"threshold\":100000}}")
                    COUNTED("c1", FAILING, "staffer_id") COUNTED("c2", FAILING, "sig_hash") COUNTED(
                        "c3", IS("role", "\"nurse\""), "city") SHARE("s1", IS("source", "\"scenario\""), "staffer_id")
                        SHARE("s2", IS("role", "\"welder\""), "city") "{\"id\":\"a1\",\"on\":\"absence\",\"when\":[" IS(
                            "source", "\"scenario\"") "],\"for\":\"15m\"},"
                                                      "{\"id\":\"k1\",\"on\":\"cluster\",\"at_least\":100}]}";

#define OP_FIRES "{\"id\":\"f\",\"on\":\"op\",\"count\":{\"at_least\":1,\"within\":\"1d\",\"by\":[\"endpoint\"]}}"
#define ABSENT "{\"id\":\"a\",\"on\":\"absence\",\"by\":[\"endpoint\"],\"for\":\"10m\",\"learned\":true}"

static void bench_alerts(bench *x, const char *json, uint32_t count, const char *stage) {
  obs_buf faults = {0};
  obs_rules *r = obs_rules_read(json, json != NULL ? strlen(json) : 0, &faults);
  obs_engine *e = r != NULL && r->n == count ? obs_engine_open(r) : NULL;
  if (e == NULL) {
    fprintf(stderr, "bench_stage: %s: %.*s\n", stage, (int)faults.len, obs_buf_view(&faults).p);
    exit(1);
  }
  obs_engine_begin(e, x->now_ms, true);
  uint64_t fastest = UINT64_MAX, seq = 0; /* it is so little that the fastest round is what it costs */
  for (uint32_t round = 0; round < x->rounds; round++) {
    uint64_t start = obs_clock_mono_ns();
    for (uint32_t i = 0; i < x->b.nops; i++) {
      obs_op *op = &x->b.ops[i];
      op->received_ms = x->now_ms + round;
      op->late = false;
      obs_engine_op(e, op, x->b.unknown + op->unknown_first, ++seq);
    }
    uint64_t ns = obs_clock_mono_ns() - start;
    if (ns < fastest) fastest = ns;
  }
  report(x, stage, fastest * x->rounds);
  obs_engine_close(e);
  obs_rules_free(r);
}

/* Turns of one rule with many groups: those that fire all the time, or (an absence that is learned) those that have all
 * stopped. Nanoseconds a group and turn. */
static void bench_turns(bench *x, const char *json, uint32_t each, int64_t step_ms, const char *stage) {
  enum { GROUPS = 1000, TURNS = 50 };
  obs_buf faults = {0};
  obs_rules *r = obs_rules_read(json, strlen(json), &faults);
  obs_engine *e = r != NULL ? obs_engine_open(r) : NULL;
  const obs_engine_look look = {.clusters = {0}};
  char names[GROUPS][16];
  check(e != NULL ? OBSERVER_E_OK : OBSERVER_E_INVALID, stage);
  int64_t now = x->now_ms;
  uint64_t seq = 0, fastest = UINT64_MAX;
  obs_engine_begin(e, now, true);
  for (uint32_t i = 0; i < each; i++, now += step_ms) {
    for (uint32_t g = 0; g < GROUPS; g++) {
      obs_op op = x->b.ops[0];
      snprintf(names[g], sizeof(names[g]), "/group%u", g);
      op.endpoint = text_of(names[g]);
      op.present |= OBS_BIT(OBS_F_endpoint);
      op.received_ms = now;
      op.late = op.success = false;
      obs_engine_op(e, &op, NULL, ++seq);
    }
  }
  now += 5 * step_ms;
  for (uint32_t i = 0; i < TURNS; i++, now += 1000) {
    uint64_t start = obs_clock_mono_ns();
    obs_engine_turn(e, 0, &look, now, NULL, NULL);
    uint64_t ns = obs_clock_mono_ns() - start;
    if (i > 2 && ns < fastest) fastest = ns;
  }
  printf("%s %.1f\n", stage, (double)fastest / GROUPS);
  obs_engine_close(e);
  obs_rules_free(r);
}

/* With members of its own in each op: the same ones, and others in each. */
static void bench_changes(bench *x, bool each, const char *stage) {
  obs_changes *c;
  char(*extras)[96] = calloc(x->batch, sizeof(*extras));
  check(extras != NULL ? obs_changes_open(&(obs_changes_opts){0}, &c) : OBSERVER_E_NOMEM, "changes");
  uint64_t ns = 0;
  for (uint32_t r = 0; r < x->rounds; r++) {
    for (uint32_t i = 0; i < x->b.nops; i++) {
      snprintf(extras[i], sizeof(*extras), "{\"model\":\"gpt-5\",\"tokens\":%u,\"version\":\"1.4\"}",
               each ? r * x->b.nops + i : i % 8);
      x->b.ops[i].extra = text_of(extras[i]);
      x->b.ops[i].present |= OBS_BIT(OBS_F_extra);
    }
    uint64_t start = obs_clock_mono_ns();
    obs_changes_apply(c, &x->b, 1 + (uint64_t)r * x->batch, x->now_ms);
    ns += obs_clock_mono_ns() - start;
  }
  report(x, stage, ns);
  obs_changes_close(c);
  free(extras);
}

/* With the message's own few edges, and with `endpoints` that come in turns. */
static void bench_graph(bench *x, uint32_t endpoints, const char *stage) {
  obs_graph *g;
  char(*names)[16] = calloc(endpoints > 0 ? endpoints : 1, sizeof(*names));
  check(names != NULL ? obs_graph_open(&(obs_graph_opts){0}, &g) : OBSERVER_E_NOMEM, "graph");
  for (uint32_t i = 0; i < endpoints; i++) snprintf(names[i], sizeof(*names), "/v1/e%u", i);
  uint64_t ns = 0;
  for (uint32_t r = 0; r < x->rounds; r++) {
    for (uint32_t i = 0; i < x->b.nops && endpoints > 0; i++)
      x->b.ops[i].endpoint = text_of(names[(r * x->b.nops + i) % endpoints]);
    uint64_t start = obs_clock_mono_ns();
    obs_graph_apply(g, &x->b, 1 + (uint64_t)r * x->batch, x->now_ms);
    ns += obs_clock_mono_ns() - start;
  }
  report(x, stage, ns);
  obs_graph_close(g);
  free(names);
}

/* Messages as an edge makes them, of the batch's rows again and again. */
static void bench_fold(const bench *x) {
  obs_partition *p;
  obs_fleet_batch b = {0};
  obs_buf message = {0};
  obs_partition_result r;
  check(obs_partition_open(&(obs_partition_opts){.partitions = OBS_FLEET_PARTITIONS}, &p), "fold");
  uint64_t ns = 0, seq = 0, stream_seq = 0, folded = 0;
  for (uint32_t round = 0; round < x->rounds; round++) {
    for (uint32_t i = 0; i < x->batch;) {
      obs_fleet_batch_begin(&b, 1, 0, seq);
      for (; i < x->batch && !obs_fleet_batch_is_full(&b, x->b.lines[i].len); i++) {
        const char *line = x->b.json.p + x->b.lines[i].off;
        if (!obs_fleet_batch_add(&b, line, x->b.lines[i].len - 1, ++seq, x->now_ms + round, 0))
          check(OBSERVER_E_NOMEM, "fold");
      }
      check(obs_fleet_batch_seal(&b, &message), "fold");
      uint64_t start = obs_clock_mono_ns();
      obs_partition_fold(p, ++stream_seq, message.p, message.len, x->now_ms + round, &r);
      ns += obs_clock_mono_ns() - start;
      folded += r.folded;
    }
  }
  if (folded != (uint64_t)x->batch * x->rounds) check(OBSERVER_E_CORRUPT, "fold");
  report(x, "fold", ns);
  obs_fleet_batch_fini(&b);
  obs_buf_fini(&message);
  obs_partition_close(p);
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: bench_stage DIR BATCH ROUNDS\n");
    return 2;
  }
  bench x = {.batch = (uint32_t)strtoul(argv[2], NULL, 10), .rounds = (uint32_t)strtoul(argv[3], NULL, 10)};
  x.now_ms = obs_clock_wall_ms();
  msgpack_sbuffer_init(&x.payload);
  bench_pack_message(&x.payload, x.batch);
  check(obs_batch_init(&x.b), "batch");
  decode_once(&x, NULL);
  printf("bytes %.1f %.1f\n", (double)x.payload.size / x.batch, (double)x.b.json.len / x.batch);
  bench_decode_encode(&x);
  bench_bound(&x);
  bench_redact(&x);
  bench_journal(&x, argv[1], OBS_FSYNC_NEVER, "journal_write");
  bench_journal(&x, argv[1], OBS_FSYNC_ALWAYS, "journal_write_sync");
  bench_times(&x, 0, "times");
  bench_times(&x, 7200000, "times_skewed");
  bench_keys(&x, argv[1], false, "keys");
  bench_keys(&x, argv[1], true, "keys_five");
  bench_apply(&x);
  bench_all_clusters(&x);
  bench_facts(&x);
  bench_alerts(&x, NULL, 6, "alerts_shipped");
  bench_alerts(&x, rules, 20, "alerts_20_rules");
  bench_turns(&x, "{\"builtin\":false,\"rules\":[" OP_FIRES "]}", 2, 100, "alerts_turn_firing");
  bench_turns(&x, "{\"builtin\":false,\"rules\":[" ABSENT "]}", 101, 900000, "alerts_turn_absent");
  bench_changes(&x, false, "changes_same");
  bench_changes(&x, true, "changes_each");
  bench_graph(&x, 0, "graph");
  bench_graph(&x, 4000, "graph_4000");
  bench_graph(&x, 10000, "graph_10000");
  bench_fold(&x);
  obs_batch_fini(&x.b);
  msgpack_sbuffer_destroy(&x.payload);
  return 0;
}
