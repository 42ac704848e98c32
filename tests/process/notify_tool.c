/* Drives src/notify for tests: what it is told on its standard input, a line each, it does and answers with a line.
 *
 *   notify_tool DIR|- [PUBLIC_URL]
 *
 *   config FILE                reads receivers; answers `ok` or the error
 *   fire N RULE SEVERITY NAME=VALUE TEXT...     alert N (a number) begins to fire; `again N ...`: it fired before
 *   end N RULE SEVERITY NAME=VALUE TEXT...      it is resolved
 *   flap COUNT GROUPS RULE     so many transitions, to and fro, over so many groups
 *   settled | counts | silences | look N RULE NAME=VALUE
 *   silence JSON | unsilence ID
 * Rows for the feed are printed as `feed TOPIC JSON`, before the answer. At the end of its input it stops. */
#include "base/clock.h"
#include "base/log.h"
#include "notify/notify.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t fired[4096]; /* by an alert's number */

static observer_err print_row(void *arg, const char *topic, obs_str row) {
  (void)arg;
  printf("feed %s %.*s\n", topic, (int)row.len, row.p);
  return OBSERVER_E_OK;
}

static void configure(obs_notify *n, const char *path) {
  char text[65536], error[512];
  FILE *in = fopen(path, "re");
  size_t len = in != NULL ? fread(text, 1, sizeof text - 1, in) : 0;
  text[len] = '\0';
  if (in != NULL) fclose(in);
  cJSON *file = cJSON_Parse(text);
  obs_notify_config *config = obs_notify_config_read(file, false, error, sizeof error);
  cJSON_Delete(file);
  printf("%s\n", config == NULL ? error : observer_strerror(obs_notify_configure(n, config)));
}

/* N RULE SEVERITY NAME=VALUE TEXT... */
static bool read_alert(char *rest, obs_notify_alert *a) {
  char *words[5] = {0}, *save = NULL;
  for (int i = 0; i < 4; i++) words[i] = strtok_r(i == 0 ? rest : NULL, " ", &save);
  words[4] = save;
  if (words[3] == NULL) return false;
  *a = (obs_notify_alert){.fingerprint = strtoull(words[0], NULL, 10),
                          .rule = words[1],
                          .value = 0.34,
                          .threshold = NAN,
                          .text = words[4] != NULL ? words[4] : "",
                          .path = "/#/alerts"};
  for (int i = 0; i < OBS_NOTIFY_SEVERITIES; i++)
    if (strcmp(obs_notify_severity_names[i], words[2]) == 0) a->severity = (obs_notify_severity)i;
  char *equals = strchr(words[3], '=');
  if (equals == NULL) return a->fingerprint < sizeof fired / sizeof *fired;
  *equals = '\0';
  a->labels[0] = (obs_notify_label){words[3], equals + 1};
  a->nlabels = 1;
  return a->fingerprint < sizeof fired / sizeof *fired;
}

static observer_err transition(obs_notify *n, obs_notify_alert *a, obs_notify_state state, bool again) {
  int64_t *at = &fired[a->fingerprint];
  a->state = state;
  a->again = again;
  if (state == OBS_NOTIFY_FIRING) *at = obs_clock_receipt_ms();
  if (again) *at = 1764435600000; /* the same at each start */
  a->since_ms = a->fired_ms = *at;
  if (state == OBS_NOTIFY_RESOLVED) a->resolved_ms = obs_clock_receipt_ms();
  return obs_notify_transition(n, a);
}

static void flap(obs_notify *n, uint64_t count, uint64_t groups, const char *rule) {
  static bool on[4096];
  char value[32];
  for (uint64_t i = 0; i < count; i++) {
    uint64_t group = i % groups;
    obs_notify_alert a = {.fingerprint = 1 + group,
                          .rule = rule,
                          .severity = OBS_NOTIFY_WARN,
                          .value = 1,
                          .threshold = NAN,
                          .text = "it goes up and down",
                          .nlabels = 1};
    snprintf(value, sizeof value, "/v1/%" PRIu64, group);
    a.labels[0] = (obs_notify_label){"endpoint", value};
    on[group] = !on[group];
    (void)transition(n, &a, on[group] ? OBS_NOTIFY_FIRING : OBS_NOTIFY_RESOLVED, false);
  }
  printf("ok\n");
}

static void print_counts(obs_notify *n) {
  obs_notify_counts c;
  obs_notify_get_counts(n, &c);
  printf("{");
  for (int i = 0; i < OBS_NOTIFY_TYPE_COUNT; i++)
    printf("\"%s\":[%" PRIu64 ",%" PRIu64 "],", obs_notify_type_names[i], c.sent[i], c.failed[i]);
  for (int i = 0; i < OBS_NOTIFY_WHY_COUNT; i++)
    printf("\"%s\":%" PRIu64 ",", obs_notify_why_names[i], c.suppressed[i]);
  printf("\"alerts\":%u,\"active\":%u,\"receivers\":%u,\"failing\":%u,\"held_back\":%" PRIu64 ",\"rows\":%" PRIu64
         "}\n",
         c.alerts, c.silences, c.receivers, c.failing, c.held_back, c.ledger.rows);
}

static void print_silences(obs_notify *n) {
  obs_buf out = {0};
  obs_page_end end;
  const obs_page page = {0};
  obs_notify_silences(n, &page, true, &out, &end);
  printf("%.*s\n", (int)out.len, out.p);
  obs_buf_fini(&out);
}

static void silence(obs_notify *n, const char *text) {
  char error[256] = "";
  uint64_t id;
  obs_buf out = {0};
  cJSON *body = cJSON_Parse(text);
  observer_err err = obs_notify_silence_add(n, body, "tester", &id, &out, error, sizeof error);
  printf("%.*s\n", err == OBSERVER_E_OK ? (int)out.len : (int)strlen(error), err == OBSERVER_E_OK ? out.p : error);
  cJSON_Delete(body);
  obs_buf_fini(&out);
}

static void unsilence(obs_notify *n, const char *id) {
  obs_buf out = {0};
  observer_err err = obs_notify_silence_end(n, strtoull(id, NULL, 10), &out);
  printf("%s\n", observer_strerror(err));
  obs_buf_fini(&out);
}

static void look(obs_notify *n, const obs_notify_alert *a) {
  obs_notify_look seen;
  obs_notify_look_at(n, a, &seen);
  printf("{\"notified\":%s,\"silenced_by\":%" PRIu64 "}\n", seen.notified_ms != 0 ? "true" : "false", seen.silenced_by);
}

static void obey(obs_notify *n, char *line) {
  char *rest = strchr(line, ' ');
  obs_notify_alert a;
  if (rest == NULL) rest = line + strlen(line);
  if (*rest != '\0') *rest++ = '\0';
  if (strcmp(line, "config") == 0) {
    configure(n, rest);
  } else if (strcmp(line, "fire") == 0 && read_alert(rest, &a)) {
    printf("%s\n", observer_strerror(transition(n, &a, OBS_NOTIFY_FIRING, false)));
  } else if (strcmp(line, "again") == 0 && read_alert(rest, &a)) {
    printf("%s\n", observer_strerror(transition(n, &a, OBS_NOTIFY_FIRING, true)));
  } else if (strcmp(line, "end") == 0 && read_alert(rest, &a)) {
    printf("%s\n", observer_strerror(transition(n, &a, OBS_NOTIFY_RESOLVED, false)));
  } else if (strcmp(line, "look") == 0 && read_alert(rest, &a)) {
    look(n, &a);
  } else if (strcmp(line, "flap") == 0 && *rest != '\0') {
    char *end = rest;
    uint64_t count = strtoull(end, &end, 10), groups = strtoull(end, &end, 10);
    flap(n, count, groups, end + 1);
  } else if (strcmp(line, "settled") == 0) {
    obs_notify_settled(n);
    printf("ok\n");
  } else if (strcmp(line, "counts") == 0) {
    print_counts(n);
  } else if (strcmp(line, "silences") == 0) {
    print_silences(n);
  } else if (strcmp(line, "silence") == 0) {
    silence(n, rest);
  } else if (strcmp(line, "unsilence") == 0) {
    unsilence(n, rest);
  } else {
    printf("not understood\n");
  }
}

int main(int argc, char **argv) {
  static char line[65536];
  char error[512];
  obs_notify *n = NULL;
  setvbuf(stdout, NULL, _IOLBF, 0);
  const obs_notify_opts opts = {.dir = argc > 1 && strcmp(argv[1], "-") != 0 ? argv[1] : NULL, .publish = print_row};
  if (obs_notify_open(&opts, &n, error, sizeof error) != OBSERVER_E_OK) {
    fprintf(stderr, "notify_tool: %s\n", error);
    return 1;
  }
  if (argc > 2 && obs_notify_set_public_url(n, argv[2]) != OBSERVER_E_OK) return 1;
  if (obs_notify_start(n) != OBSERVER_E_OK) return 1;
  printf("ready\n");
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    obey(n, line);
  }
  obs_notify_stop(n);
  obs_notify_close(n);
  return 0;
}
