#include "observerctl/rules/rule_test.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/row.h"
#include "observerctl/rules/player.h"
#include "op/batch.h"
#include "options/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 4 << 20, OPS_MAX = 1000000, DAYS = 60 };
#define BEGAN_MS INT64_C(1790000000000)
#define LONGEST_MS (UINT64_C(86400000) * DAYS)

/* Something of a test's list, at its time. */
typedef struct {
  int64_t at_ms;
  const cJSON *op, *expect; /* one of them */
  unsigned order;           /* ops before what is expected at the same moment */
} moment;

typedef struct {
  const obs_rules *rules;
  obs_buf *error, *report;
  char at[120]; /* `tests[1]` */
} testing;

static bool fail(const testing *t, const char *member, const char *what) {
  obs_buf_printf(t->error, "%s%s%s: %s\n", t->at, t->at[0] != '\0' ? "." : "", member, what);
  return false;
}

/* ---- reading ---- */

static bool read_file(const char *path, obs_buf *out) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = 1;
  if (fd < 0 || !obs_buf_reserve(out, FILE_MAX + 1)) n = -1;
  while (n > 0 && out->len <= FILE_MAX) {
    n = read(fd, out->p + out->len, FILE_MAX + 1 - out->len);
    if (n > 0) out->len += (size_t)n;
  }
  int saved = n == 0 ? 0 : n > 0 ? EFBIG : errno;
  if (fd >= 0) (void)close(fd);
  errno = saved;
  return saved == 0;
}

/* A time of the test: "0s" is its beginning. */
static bool read_time(const testing *t, const cJSON *from, const char *name, bool needed, uint64_t *ms) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(from, name));
  if (text == NULL && !needed && cJSON_GetObjectItemCaseSensitive(from, name) == NULL) return true;
  if (text != NULL && obs_option_read_duration(text, ms) && *ms <= LONGEST_MS) return true;
  return fail(t, name, "must be a time since the beginning such as \"90s\", at most 60d");
}

typedef OBS_VEC(moment) moments;

static bool add_moment(const testing *t, moments *list, moment m) {
  moment *to = list->n < OPS_MAX ? OBS_VEC_PUSH(list) : NULL;
  if (to == NULL) return fail(t, "ops", "there are too many");
  *to = m;
  return true;
}

static bool read_ops(const testing *t, const cJSON *test, moments *list) {
  const cJSON *item;
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(test, "ops")) {
    uint64_t at = 0, every = 1000, times = 1;
    const cJSON *op = cJSON_GetObjectItemCaseSensitive(item, "op");
    if (!cJSON_IsObject(op)) return fail(t, "ops", "each must have an object `op`");
    if (!read_time(t, item, "at", true, &at) || !read_time(t, item, "every", false, &every)) return false;
    (void)obs_row_u64(item, "times", &times);
    for (uint64_t i = 0; i < times; i++)
      if (!add_moment(t, list, (moment){BEGAN_MS + (int64_t)(at + i * every), op, NULL, 0})) return false;
  }
  return true;
}

static bool is_state(const char *text) {
  static const char *const names[] = {"inactive", "pending", "firing", "recovering"};
  for (size_t i = 0; text != NULL && i < sizeof(names) / sizeof(names[0]); i++)
    if (strcmp(text, names[i]) == 0) return true;
  return false;
}

static bool read_expect(const testing *t, const cJSON *test, moments *list) {
  const cJSON *all = cJSON_GetObjectItemCaseSensitive(test, "expect"), *item;
  if (!cJSON_IsArray(all) || all->child == NULL) return fail(t, "expect", "must be a list of states");
  cJSON_ArrayForEach(item, all) {
    uint64_t at = 0;
    const char *rule = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "rule"));
    if (!read_time(t, item, "at", true, &at)) return false;
    if (rule == NULL || obs_rules_find(t->rules, rule) == NULL) return fail(t, "rule", "there is no such rule");
    if (!is_state(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "state"))))
      return fail(t, "state", "must be inactive, pending, firing or recovering");
    if (!add_moment(t, list, (moment){BEGAN_MS + (int64_t)at, NULL, item, 1})) return false;
  }
  return true;
}

static int in_time(const void *a, const void *b) {
  const moment *x = a, *y = b;
  if (x->at_ms != y->at_ms) return x->at_ms < y->at_ms ? -1 : 1;
  return (x->order > y->order) - (x->order < y->order);
}

/* ---- playing ---- */

/* The op as the daemon would take it from the bus, received at that moment. */
static bool play_op(const testing *t, obs_player *p, obs_batch *b, const cJSON *json, int64_t at_ms, uint64_t seq) {
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  char *text = cJSON_PrintUnformatted(json);
  if (text == NULL) return fail(t, "op", "out of memory");
  obs_batch_reset(b);
  b->data = (const uint8_t *)text;
  b->size = strlen(text);
  b->transport = OBS_TRANSPORT_HTTP;
  b->profile = OBS_PROFILE_V1;
  obs_batch_decode(b, OBS_FORMAT_JSON, &limits, at_ms);
  bool ok = b->nops == 1 && b->nrejects == 0;
  if (ok) {
    obs_op *op = &b->ops[0];
    obs_op_set_times(op, at_ms, 0);
    ok = obs_player_op(p, op, op->unknown_count > 0 ? b->unknown + op->unknown_first : NULL, seq);
  } else {
    (void)fail(t, "op", b->nrejects > 0 ? b->rejects[0].reason : "must be one op");
  }
  free(text);
  return ok;
}

typedef struct {
  const cJSON *expect;
  obs_alert_state found; /* OBS_ALERT_STATES: inactive */
  char text[OBS_ALERT_TEXT_MAX];
} state_finder;

static bool has_group(const obs_alert *a, const cJSON *group) {
  const cJSON *label;
  cJSON_ArrayForEach(label, group) {
    bool same = false;
    for (uint32_t i = 0; i < a->nlabels; i++)
      same = same || (strcmp(a->labels[i].name, label->string) == 0 && cJSON_IsString(label) &&
                      strcmp(a->labels[i].value, label->valuestring) == 0);
    if (!same) return false;
  }
  return true;
}

/* Of several groups the one that is furthest. */
static bool find_state(void *arg, const obs_alert *a) {
  state_finder *f = arg;
  const char *rule = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(f->expect, "rule"));
  if (strcmp(a->rule, rule) != 0 || !has_group(a, cJSON_GetObjectItemCaseSensitive(f->expect, "group"))) return true;
  if (f->found != OBS_ALERT_STATES && f->found >= a->state) return true;
  f->found = a->state;
  (void)snprintf(f->text, sizeof(f->text), "%s", a->text);
  return true;
}

static bool check(const testing *t, obs_player *p, const cJSON *expect) {
  state_finder f = {.expect = expect, .found = OBS_ALERT_STATES};
  const char *want = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(expect, "state"));
  obs_engine_each(p->engine, find_state, &f);
  const char *have = f.found == OBS_ALERT_STATES ? "inactive" : obs_alert_state_names[f.found];
  if (strcmp(have, want) == 0) return true;
  obs_buf_printf(t->report, "  at %s: %s is %s, expected %s%s%s\n",
                 cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(expect, "at")),
                 cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(expect, "rule")), have, want,
                 f.text[0] != '\0' ? ": " : "", f.text);
  return false;
}

/* False: it could not be played. */
static bool play(const testing *t, const moments *list, bool *passed) {
  obs_player p;
  obs_batch b;
  bool ok = obs_player_init(&p, t->rules);
  ok = obs_batch_init(&b) == OBSERVER_E_OK && ok && obs_player_pass(&p, BEGAN_MS);
  *passed = true;
  for (uint32_t i = 0; i < list->n && ok; i++) {
    const moment *m = &list->at[i];
    if (m->op != NULL) {
      ok = play_op(t, &p, &b, m->op, m->at_ms, i + 1);
    } else {
      ok = obs_player_pass(&p, m->at_ms);
      *passed = check(t, &p, m->expect) && *passed;
    }
  }
  obs_player_fini(&p);
  obs_batch_fini(&b);
  return ok;
}

static bool run_test(testing *t, const cJSON *test, unsigned index, obs_rule_tests *out) {
  moments list = {0};
  bool passed = false;
  const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(test, "name"));
  obs_buf failures = {0}, *report = t->report;
  (void)snprintf(t->at, sizeof(t->at), "tests[%u]", index);
  bool ok = read_ops(t, test, &list) && read_expect(t, test, &list);
  if (ok) {
    qsort(list.at, list.n, sizeof(*list.at), in_time);
    t->report = &failures;
    ok = play(t, &list, &passed);
    t->report = report;
    obs_buf_printf(report, "%s %s\n", passed ? "ok  " : "FAIL", name != NULL ? name : t->at);
    obs_buf_append(report, failures.p, failures.len);
    out->tests++;
    out->passed += passed;
  }
  obs_buf_fini(&failures);
  OBS_VEC_FINI(&list);
  return ok;
}

/* The rules of the file of tests, or of the one that it names. */
static obs_rules *rules_of(const cJSON *file, const char *path, obs_buf *error) {
  const char *other = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(file, "rules_file"));
  obs_rules *r = NULL;
  if (other != NULL) {
    const char *slash = strrchr(path, '/');
    char *full = NULL;
    int dir = other[0] != '/' && slash != NULL ? (int)(slash - path) + 1 : 0;
    if (asprintf(&full, "%.*s%s", dir, path, other) >= 0) r = obs_rules_read_file(full, error);
    free(full);
    return r;
  }
  cJSON *own = cJSON_CreateObject();
  static const char *const members[] = {"rules", "builtin"};
  for (size_t i = 0; i < 2; i++) {
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(file, members[i]);
    if (m != NULL) (void)cJSON_AddItemReferenceToObject(own, members[i], (cJSON *)(uintptr_t)m);
  }
  char *text = cJSON_PrintUnformatted(own);
  if (text != NULL) r = obs_rules_read(text, strlen(text), error);
  free(text);
  cJSON_Delete(own);
  return r;
}

bool obs_rule_tests_run(const char *path, obs_rule_tests *out, obs_buf *error) {
  obs_buf text = {0};
  testing t = {.error = error, .report = &out->report};
  unsigned index = 0;
  *out = (obs_rule_tests){0};
  if (!read_file(path, &text)) {
    obs_buf_printf(error, "cannot be read: %s\n", strerror(errno));
    obs_buf_fini(&text);
    return false;
  }
  cJSON *file = cJSON_ParseWithLength(text.p, text.len);
  const cJSON *tests = cJSON_GetObjectItemCaseSensitive(file, "tests"), *test;
  obs_rules *rules = NULL;
  bool ok = cJSON_IsArray(tests) && tests->child != NULL;
  if (!ok) obs_buf_puts(error, file == NULL ? "is no JSON\n" : "must be an object with `tests`\n");
  if (ok) ok = (rules = rules_of(file, path, error)) != NULL;
  t.rules = rules;
  if (ok) {
    cJSON_ArrayForEach(test, tests) {
      ok = ok && run_test(&t, test, index++, out);
    }
  }
  obs_rules_free(rules);
  cJSON_Delete(file);
  obs_buf_fini(&text);
  return ok;
}

void obs_rule_tests_fini(obs_rule_tests *t) {
  obs_buf_fini(&t->report);
}
