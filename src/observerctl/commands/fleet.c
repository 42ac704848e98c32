/* fleet: who is in it, and how they are, as GET fleet answers it. */
#include "observerctl/ask/ask.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"

#include <string.h>

enum { TIMEOUT_MS = 10000, LISTED = 24 };

static bool is(const cJSON *object, const char *name, const char *text) {
  return strcmp(obs_show_text(object, name), text) == 0;
}

static const char *after(char out[OBS_TEXT_NUMBER], const cJSON *object, const char *name) {
  return obs_text_duration(out, obs_show_number(object, name));
}

/* ---- the lines above the tables ---- */

static char *bytes_of(char out[OBS_TEXT_NUMBER], double bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++) bytes /= 1024;
  (void)snprintf(out, OBS_TEXT_NUMBER, bytes < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
  return out;
}

static void put_head(const char *name) {
  printf("%s%-11s%s", obs_term_style(stdout, OBS_STYLE_DIM), name, obs_term_style(stdout, OBS_STYLE_PLAIN));
}

static void put_bad(const char *text) {
  obs_text_printf(stdout, "%s%s%s", obs_term_style(stdout, OBS_STYLE_RED), text,
                  obs_term_style(stdout, OBS_STYLE_PLAIN));
}

static void put_nats(const cJSON *nats) {
  char since[OBS_TEXT_NUMBER];
  put_head("NATS");
  if (cJSON_IsTrue(obs_show_member(nats, "connected"))) {
    const char *version = obs_show_text(nats, "version");
    obs_text_printf(stdout, "nats-server %s", *version != '\0' ? version : "of unknown version");
    if (cJSON_IsTrue(obs_show_member(nats, "old"))) printf(", %s", "older than 2.10.27");
    if (is(nats, "syncs", "lazily")) printf("; acknowledges before it syncs");
    if (is(nats, "syncs", "lazily unless always"))
      printf("; acknowledges before it syncs, unless sync_interval is always");
    putchar('\n');
    return;
  }
  put_bad(obs_show_text(nats, "why"));
  if (obs_show_number(nats, "away_ms") > 0) printf(", for %s", after(since, nats, "away_ms"));
  putchar('\n');
}

static void put_stream(const cJSON *stream) {
  char messages[OBS_TEXT_COUNTED], bytes[OBS_TEXT_NUMBER], replicas[OBS_TEXT_COUNTED];
  if (!cJSON_IsObject(stream)) return;
  put_head("stream");
  obs_text_printf(stdout, "%s, ", obs_show_text(stream, "name"));
  printf("%s, %s, %s, first %.0f, last %.0f\n",
         obs_text_counted(messages, (uint64_t)obs_show_number(stream, "messages"), "message"),
         bytes_of(bytes, obs_show_number(stream, "bytes")),
         obs_text_counted(replicas, (uint64_t)obs_show_number(stream, "replicas"), "replica"),
         obs_show_number(stream, "first_seq"), obs_show_number(stream, "last_seq"));
}

/* 3-7, 12 */
static void put_ranges(const cJSON *numbers) {
  int listed = 0, from = -1, to = -1;
  for (const cJSON *n = numbers != NULL ? numbers->child : NULL;; n = n->next) {
    if (n != NULL && to >= 0 && n->valueint == to + 1) {
      to = n->valueint;
      continue;
    }
    if (from >= 0 && listed++ < LISTED) {
      printf("%s%d", listed > 1 ? ", " : "", from);
      if (to > from) printf("-%d", to);
    }
    if (n == NULL) break;
    from = to = n->valueint;
  }
  if (listed > LISTED) printf(" and more");
}

static void put_partitions(const cJSON *fleet) {
  const cJSON *missing = obs_show_member(fleet, "missing"), *p;
  unsigned all = (unsigned)cJSON_GetArraySize(obs_show_member(fleet, "partitions"));
  unsigned lost = (unsigned)cJSON_GetArraySize(missing), rebuilding = 0, lagging = 0;
  cJSON_ArrayForEach(p, obs_show_member(fleet, "partitions")) {
    rebuilding += cJSON_IsTrue(obs_show_member(p, "rebuilding"));
    lagging += obs_show_number(p, "pending") > 0;
  }
  if (all == 0) return;
  put_head("partitions");
  printf("%u, ", all);
  if (lost == 0) printf("each held by a worker");
  if (lost > 0) {
    printf("%s%u held by nobody:%s ", obs_term_style(stdout, OBS_STYLE_RED), lost,
           obs_term_style(stdout, OBS_STYLE_PLAIN));
    put_ranges(missing);
  }
  if (rebuilding > 0) printf("; %u rebuilding", rebuilding);
  if (lagging > 0) printf("; in %u messages wait", lagging);
  putchar('\n');
}

static void put_leader(const cJSON *fleet) {
  char since[OBS_TEXT_NUMBER];
  const cJSON *leader = obs_show_member(fleet, "leader"), *w;
  const char *id = obs_show_text(leader, "worker"), *name = "";
  if (!cJSON_IsObject(leader)) return;
  cJSON_ArrayForEach(w, obs_show_member(fleet, "workers")) {
    if (is(w, "id", id)) name = obs_show_text(w, "name");
  }
  put_head("leader");
  obs_text_printf(stdout, "%s%s%.8s", name, *name != 0 ? " " : "", id);
  printf(", saved %s ago\n", after(since, leader, "written_ms"));
}

static void put_self(const cJSON *self) {
  const cJSON *edge = obs_show_member(self, "edge"), *worker = obs_show_member(self, "worker");
  const char *hindered = obs_show_text(self, "hindered");
  char ops[OBS_TEXT_COUNTED], bytes[OBS_TEXT_NUMBER], age[OBS_TEXT_NUMBER], held[OBS_TEXT_COUNTED];
  put_head("this one");
  if (edge != NULL) {
    obs_text_printf(stdout, "edge %.8s", obs_show_text(edge, "id"));
    if (obs_show_number(edge, "spool_ops") > 0)
      printf(", %s (%s) wait to be forwarded, the oldest for %s",
             obs_text_counted(ops, (uint64_t)obs_show_number(edge, "spool_ops"), "op"),
             bytes_of(bytes, obs_show_number(edge, "spool_bytes")), after(age, edge, "spool_age_ms"));
    else
      printf(", all is forwarded");
  }
  if (worker != NULL) {
    obs_text_printf(stdout, "%sworker %.8s", edge != NULL ? "; " : "", obs_show_text(worker, "id"));
    printf(", holds %s", obs_text_counted(held, (uint64_t)obs_show_number(worker, "partitions"), "partition"));
  }
  if (*hindered != '\0') {
    printf("; ");
    put_bad(hindered);
  }
  putchar('\n');
}

/* ---- the tables ---- */

static void make_state(const cJSON *row, obs_buf *out) {
  char age[OBS_TEXT_NUMBER];
  const char *state = obs_show_text(row, "state");
  obs_buf_puts(out, state);
  if (strcmp(state, "here") != 0) obs_buf_printf(out, ", seen %s ago", after(age, row, "seen_ms"));
}

static obs_term_look state_style(const cJSON *row) {
  return is(row, "state", "away") ? OBS_STYLE_RED : is(row, "state", "stopped") ? OBS_STYLE_DIM : OBS_STYLE_GREEN;
}

static void make_name(const cJSON *row, obs_buf *out) {
  const char *name = obs_show_text(row, "name");
  obs_buf_puts(out, *name != '\0' ? name : "?");
}

static void make_spool(const cJSON *row, obs_buf *out) {
  char bytes[OBS_TEXT_NUMBER];
  if (obs_show_number(row, "spool_ops") > 0) obs_buf_puts(out, bytes_of(bytes, obs_show_number(row, "spool_bytes")));
}

static void make_oldest(const cJSON *row, obs_buf *out) {
  char age[OBS_TEXT_NUMBER];
  if (obs_show_number(row, "spool_ops") > 0) obs_buf_puts(out, after(age, row, "spool_age_ms"));
}

static void make_full(const cJSON *row, obs_buf *out) {
  char share[OBS_TEXT_NUMBER];
  if (obs_show_number(row, "spool_ops") > 0)
    obs_buf_puts(out,
                 obs_show_share(share, obs_show_number(row, "spool_bytes"), obs_show_number(row, "spool_max_bytes")));
}

static void make_lag(const cJSON *row, obs_buf *out) {
  char lag[OBS_TEXT_NUMBER];
  if (obs_show_number(row, "lag_ms") > 0) obs_buf_puts(out, after(lag, row, "lag_ms"));
}

static bool put_tables(const cJSON *fleet) {
  static const obs_show_field edges[] = {
      {"EDGE", .make = make_name},
      {"ID", OBS_SHOW_ID, .key = "id"},
      {"STATE", .make = make_state, .style = state_style},
      {"RECORDED", OBS_SHOW_COUNT, .key = "seq"},
      {"FORWARDED", OBS_SHOW_COUNT, .key = "forwarded_seq"},
      {"WAITING", OBS_SHOW_COUNT, .key = "spool_ops"},
      {"SPOOL", .make = make_spool, .right = true},
      {"FULL", .make = make_full, .right = true},
      {"OLDEST", .make = make_oldest, .right = true},
      {"VERSION", .key = "version", .gives = true},
  };
  static const obs_show_field workers[] = {
      {"WORKER", .make = make_name},
      {"ID", OBS_SHOW_ID, .key = "id"},
      {"STATE", .make = make_state, .style = state_style},
      {"PARTITIONS", OBS_SHOW_COUNT, .key = "partitions"},
      {"REBUILDING", OBS_SHOW_COUNT, .key = "rebuilding"},
      {"PENDING", OBS_SHOW_COUNT, .key = "pending"},
      {"LAG", .make = make_lag, .right = true},
      {"VERSION", .key = "version", .gives = true},
  };
  return obs_show_rows(obs_show_member(fleet, "edges"), OBS_TABLE(edges), false, "") &&
         obs_show_rows(obs_show_member(fleet, "workers"), OBS_TABLE(workers), false, "");
}

/* Who holds what: a line for each worker, and for what lags one for each partition. */
static void put_holders(const cJSON *fleet) {
  const cJSON *w, *p;
  char age[OBS_TEXT_NUMBER], messages[OBS_TEXT_COUNTED];
  cJSON_ArrayForEach(w, obs_show_member(fleet, "workers")) {
    const char *id = obs_show_text(w, "id");
    cJSON *numbers = cJSON_CreateArray();
    double oldest = 0;
    cJSON_ArrayForEach(p, obs_show_member(fleet, "partitions")) {
      if (!is(p, "worker", id)) continue;
      (void)cJSON_AddItemToArray(numbers, cJSON_CreateNumber(obs_show_number(p, "p")));
      if (obs_show_number(p, "checkpoint_ms") > oldest) oldest = obs_show_number(p, "checkpoint_ms");
    }
    if (cJSON_GetArraySize(numbers) > 0) {
      putchar('\n');
      obs_text_printf(stdout, "%s %.8s holds ", obs_show_text(w, "name"), id);
      put_ranges(numbers);
      if (oldest > 0) printf("; oldest checkpoint %s ago", obs_text_duration(age, oldest));
    }
    cJSON_Delete(numbers);
  }
  cJSON_ArrayForEach(p, obs_show_member(fleet, "partitions")) {
    if (obs_show_number(p, "pending") > 0)
      printf("\n  partition %.0f: %s wait%s", obs_show_number(p, "p"),
             obs_text_counted(messages, (uint64_t)obs_show_number(p, "pending"), "message"),
             cJSON_IsTrue(obs_show_member(p, "rebuilding")) ? ", rebuilding" : "");
  }
  putchar('\n');
}

static int run_fleet(const obs_args *args) {
  obs_fetch_answer answer;
  bool got = obs_fetch_get(obs_args_text(args, "url"), "/v1/observer/fleet", TIMEOUT_MS, &answer);
  cJSON *fleet = got ? cJSON_ParseWithLength(answer.body.p, answer.body.len) : NULL;
  bool ok = got && fleet != NULL;
  if (!ok) obs_args_error(args, "%s", got ? "the answer is no JSON" : answer.error);
  if (ok && obs_args_given(args, "json"))
    obs_text_print_json(stdout, answer.body.p, answer.body.len);
  else if (ok) {
    put_nats(obs_show_member(fleet, "nats"));
    put_stream(obs_show_member(fleet, "stream"));
    put_partitions(fleet);
    put_leader(fleet);
    put_self(obs_show_member(fleet, "self"));
    ok = put_tables(fleet);
    if (ok && obs_args_given(args, "partitions")) put_holders(fleet);
    if (!ok) obs_args_error(args, "out of memory");
  }
  cJSON_Delete(fleet);
  obs_fetch_answer_fini(&answer);
  return ok ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    {"partitions", 0, NULL, .help = "also which partitions each worker holds, and which of them lag"},
    OBS_FLAG_JSON,
};

OBS_COMMAND(fleet) = {
    .name = "fleet",
    .summary = "show the fleet: NATS, the stream, edges, workers, partitions",
    .description =
        "Asks a daemon that belongs to a fleet, edge or worker, for all of it: the nats-server and the stream, the "
        "edges "
        "with what they have recorded, forwarded and still have to forward, the workers with what they hold and how "
        "far "
        "they lag, the partitions that nobody holds, and the leader. `away` is who has not been heard for 35 seconds "
        "(a worker: 10); `stopped` who has said that it stops. Both are listed for a day.\n\n"
        "While NATS is away only the daemon itself is known. --json prints the daemon's answer as it is.",
    .examples = "observerctl fleet\nobserverctl fleet --partitions\n"
                "observerctl fleet --json | jq '.edges[] | select(.state == \"away\")'",
    .flags = OBS_TABLE(flags),
    .run = run_fleet,
};
