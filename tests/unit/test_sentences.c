/* The words of findings: honest shares, what to do, what not to do, in full and in brief. */
#include "diagnose/sentences.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOON INT64_C(1790078640000) /* 2026-09-22T12:04:00Z */

#define IS(name, value)                                                                                                \
  {                                                                                                                    \
    .field = name, .relation = OBS_RELATION_IS, .nvalues = 1, .values = { value }                                      \
  }
#define COUNTS(fail, all, rest_fail, rest_all)                                                                         \
  .failures = (fail), .ops = (all), .rest_failures = (rest_fail), .rest_ops = (rest_all)

static const struct {
  const char *name;
  obs_diagnose_finding f;
  const char *finding, *cause, *advice, *dont; /* dont "": none */
} rows[] = {
    {"a share",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_TIMEOUT,
      .nconditions = 1,
      .conditions = {IS("staffer_id", "qwen3-coder")},
      COUNTS(41, 102, 12, 3898)},
     "41 of 102 ops with staffer_id \"qwen3-coder\" failed (40 %); of the other 3,898, 0.31 %; mostly timeouts.",
     "The other side answers too slowly or not at all.",
     "Give the work of staffer_id \"qwen3-coder\" to another until this is fixed; try again later, with a longer pause "
     "each "
     "time.",
     ""},
    {"others fail as often, for other causes",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_VALIDATION,
      .nconditions = 1,
      .conditions = {IS("endpoint", "bot:cycle")},
      COUNTS(20, 158, 156, 1302),
      .unexplained_ops = 1085,
      .unexplained_failures = 8},
     "20 of 158 ops with endpoint \"bot:cycle\" failed (13 %); of the other 1,085 that have none of the other causes, "
     "0.74 %; mostly rejected input.",
     "The input does not have the required form.",
     "Expect failures of ops with endpoint \"bot:cycle\" until this is fixed; check the input against the schema "
     "before "
     "the call.",
     "For ops with endpoint \"bot:cycle\", do not send the same input again."},
    {"others fail much less",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_UNKNOWN,
      .nconditions = 1,
      .conditions = {IS("city", "Toledo")},
      COUNTS(94, 94, 82, 1366),
      .unexplained_ops = 1085,
      .unexplained_failures = 8},
     "94 of 94 ops with city \"Toledo\" failed (100 %); of the other 1,366, 6 %.",
     "The error texts match no built-in kind.",
     "Expect failures of ops with city \"Toledo\" until this is fixed; look at the cited ops before trying again.",
     ""},
    {"a rate limit, counted alone",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_RATE_LIMIT,
      .by_kind = true,
      .nconditions = 1,
      .conditions = {IS("endpoint", "/v1/search")},
      COUNTS(146, 7218, 0, 12000),
      .per_minute = 600},
     "146 of 7,218 ops with endpoint \"/v1/search\" met a rate limit (2 %); of the other 12,000, 0 %; in minutes with "
     "600 or "
     "more of them.",
     "More calls are made than the other side allows.",
     "Keep ops with endpoint \"/v1/search\" below 600 a minute; spread calls out, and wait longer after each refusal.",
     "For ops with endpoint \"/v1/search\", do not retry a refused call at once."},
    {"an input that mostly works",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_VALIDATION,
      .input_works = true,
      .nconditions = 1,
      .conditions = {IS("endpoint", "bot:cycle")},
      COUNTS(20, 158, 0, 1302)},
     "20 of 158 ops with endpoint \"bot:cycle\" failed (13 %); of the other 1,302, 0 %; mostly invalid data.",
     "Some data was not valid, and it was not the input: the same input mostly works.",
     "Expect failures of ops with endpoint \"bot:cycle\" until this is fixed; try again, and have it found out which "
     "data was not valid.",
     ""},
    {"everything, always",
     {.cause = OBS_CAUSE_SHARE, .error = OBS_ERROR_AUTH, COUNTS(1500, 1500, 0, 0)},
     "All 1,500 ops failed; mostly denied access.",
     "Credentials are missing, expired or not sufficient.",
     "All ops are affected: put off what can wait; have the credentials renewed or the permission granted.",
     ""},
    {"everything, until a moment",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_REFUSED,
      .until_seq = 421,
      .last_ms = NOON,
      COUNTS(1000, 2000, 0, 1000)},
     "Until 2026-09-22 12:04 UTC, 1,000 of 2,000 ops failed (50 %); of the other 1,000, 0 %; mostly connection "
     "failures.",
     "The other side is down or cannot be reached.",
     "Nothing to do now: it is over.",
     ""},
    {"everything from a moment on",
     {.cause = OBS_CAUSE_ONSET,
      .error = OBS_ERROR_REFUSED,
      .from_seq = 421,
      .from_ms = NOON,
      COUNTS(1000, 1000, 3, 3000)},
     "Since 2026-09-22 12:04 UTC (op 421), 1,000 of 1,000 ops failed (100 %); of the 3,000 before, 0.1 %; mostly "
     "connection failures.",
     "The other side is down or cannot be reached.",
     "All ops are affected: put off what can wait; check that it is up before calling it.",
     ""},
    {"what is over, after a deployment",
     {.cause = OBS_CAUSE_ONSET,
      .error = OBS_ERROR_UNKNOWN,
      .from_seq = 421,
      .from_ms = NOON,
      .until_seq = 900,
      .last_ms = NOON + 30 * 60000,
      .nconditions = 1,
      .conditions = {IS("endpoint", "/a")},
      COUNTS(30, 40, 0, 1),
      .deploy_seq = 419,
      .deploy = "ops:deploy/payments"},
     "From 2026-09-22 12:04 UTC (op 421) until 12:34 UTC, 30 of 40 ops with endpoint \"/a\" failed (75 %); of the "
     "other "
     "1, 0 %; "
     "it began shortly after \"ops:deploy/payments\" (op 419).",
     "A change shortly before, \"ops:deploy/payments\"; the error texts match no built-in kind.",
     "Nothing to do now: it is over.",
     ""},
    {"two conditions together, all of several values",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_NOT_FOUND,
      .nconditions = 2,
      .conditions =
          {{.field = "source", .relation = OBS_RELATION_IS, .nvalues = 3, .values = {"a", "b", "c d"}, .more = 2},
           IS("role", "Welder")},
      COUNTS(9, 10, 1, 100000)},
     "9 of 10 ops with source \"a\", \"b\", \"c d\" or one of 2 more and role \"Welder\" failed (90 %); of the other "
     "100,000, "
     "under 0.01 %; mostly missing names or files.",
     "The names or ids used do not exist.",
     "Expect failures of ops with source \"a\", \"b\", \"c d\" or one of 2 more and role \"Welder\" until this is "
     "fixed; look the "
     "name up before using it.",
     "For ops with source \"a\", \"b\", \"c d\" or one of 2 more and role \"Welder\", do not guess names or ids."},
    {"a threshold, and what is absent",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_VALIDATION,
      .nconditions = 2,
      .conditions = {{.field = "count", .relation = OBS_RELATION_ABOVE, .number = 7},
                     {.field = "city", .relation = OBS_RELATION_ABSENT}},
      COUNTS(999, 1000, 0, 0)},
     "999 of 1,000 ops with count above 7 and without city failed (over 99 %); mostly rejected input.",
     "The input does not have the required form.",
     "For ops without city, keep count at 7 or less until this is fixed; check the input against the schema before the "
     "call.",
     "For ops with count above 7 and without city, do not send the same input again."},
    {"a staffer in one city",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_CRASH,
      .nconditions = 2,
      .conditions = {IS("city", "Toledo"), IS("staffer_id", "bob")},
      COUNTS(5, 10, 0, 20)},
     "5 of 10 ops with city \"Toledo\" and staffer_id \"bob\" failed (50 %); of the other 20, 0 %; mostly crashes.",
     "The program that was called crashes.",
     "For ops with city \"Toledo\", give the work of staffer_id \"bob\" to another until this is fixed; report the "
     "cited ops to "
     "whoever maintains it.",
     "For ops with city \"Toledo\" and staffer_id \"bob\", do not repeat the call that made it crash."},
    {"an hour of the day",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_UNKNOWN,
      .nconditions = 1,
      .conditions = {IS("hour_of_day", "3")},
      COUNTS(30, 60, 0, 1440)},
     "30 of 60 ops in hour 3 of the day (UTC) failed (50 %); of the other 1,440, 0 %.",
     "The error texts match no built-in kind.",
     "Move the calls to another hour of the day (UTC) until this is fixed; look at the cited ops before trying again.",
     ""},
    {"minutes",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_UNKNOWN,
      .nconditions = 1,
      .conditions = {{.field = "minute_of_hour", .relation = OBS_RELATION_ABOVE, .number = 54}},
      COUNTS(3, 60, 0, 1440)},
     "3 of 60 ops with minute of the hour above 54 failed (5 %); of the other 1,440, 0 %.",
     "The error texts match no built-in kind.",
     "Move the calls to another minute of the hour until this is fixed; look at the cited ops before trying again.",
     ""},
    {"a correction",
     {.cause = OBS_CAUSE_REGRESSION,
      .error = OBS_ERROR_NOT_FOUND,
      .correction_seq = 88,
      .nconditions = 1,
      .conditions = {IS("sig_hash", "h")},
      COUNTS(20, 41, 2, 40)},
     "Since the correction of op 88, 20 of 41 ops with sig_hash \"h\" failed (49 %); of the other 40, 5 %; mostly "
     "missing names or files.",
     "The correction of op 88 made it worse; the names or ids used do not exist.",
     "Work without the correction of op 88, or correct it; look the name up before using it.",
     "For ops with sig_hash \"h\", do not guess names or ids."},
    {"of one kind of failure, which others may have others than",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_TIMEOUT,
      .of_cluster = true,
      .nconditions = 1,
      .conditions = {IS("city", "Toledo")},
      COUNTS(20, 40, 0, 90)},
     "20 of 40 ops with city \"Toledo\" failed this way (50 %); of the other 90, 0 %; mostly timeouts.",
     "The other side answers too slowly or not at all.",
     "Expect failures of ops with city \"Toledo\" until this is fixed; try again later, with a longer pause each time.",
     ""},
    {"slowness",
     {.cause = OBS_CAUSE_SLOW,
      .from_seq = 421,
      .from_ms = NOON,
      .ms_before = 300,
      .ms_after = 1200,
      .nconditions = 1,
      .conditions = {IS("endpoint", "/a")},
      COUNTS(0, 100, 0, 900)},
     "Since 2026-09-22 12:04 UTC (op 421), ops with endpoint \"/a\" take 1,200 ms, typically; 300 ms before.",
     "What ops with endpoint \"/a\" depend on has become slow.",
     "Allow ops with endpoint \"/a\" 1,200 ms or more until this is fixed.",
     ""},
    {"a timeout's duration, and what always comes with it",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_TIMEOUT,
      .nconditions = 1,
      .conditions = {IS("city", "Toledo")},
      COUNTS(40, 80, 0, 900),
      .at_ms = 30000,
      .same = {"state", "OH"}},
     "40 of 80 ops with city \"Toledo\" failed (50 %); of the other 900, 0 %; mostly timeouts; most after about 30,000 "
     "ms; "
     "state \"OH\" always comes with it, and may be the cause as well.",
     "The other side answers too slowly or not at all.",
     "Expect failures of ops with city \"Toledo\" until this is fixed; try again later, with a longer pause each time.",
     ""},
    {"a duration that is beyond what is kept of one",
     {.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_TIMEOUT,
      .nconditions = 1,
      .conditions = {IS("city", "Toledo")},
      COUNTS(40, 80, 0, 900),
      .at_ms = UINT32_MAX},
     "40 of 80 ops with city \"Toledo\" failed (50 %); of the other 900, 0 %; mostly timeouts; most after "
     "4,294,967,295 ms "
     "or more.",
     "The other side answers too slowly or not at all.",
     "Expect failures of ops with city \"Toledo\" until this is fixed; try again later, with a longer pause each time.",
     ""},
};

static void expect(const char *name, void (*say)(const obs_diagnose_finding *, obs_buf *),
                   const obs_diagnose_finding *f, const char *want) {
  obs_buf out = {0};
  say(f, &out);
  obs_buf_putc(&out, '\0');
  if (strcmp(out.p, want) != 0) fail_msg("%s:\n%s\n%s", name, out.p, want);
  obs_buf_fini(&out);
}

static void test_findings(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
    expect(rows[i].name, obs_sentences_finding, &rows[i].f, rows[i].finding);
    expect(rows[i].name, obs_sentences_cause, &rows[i].f, rows[i].cause);
    expect(rows[i].name, obs_sentences_advice, &rows[i].f, rows[i].advice);
    expect(rows[i].name, obs_sentences_dont, &rows[i].f, rows[i].dont);
    assert_int_equal(obs_sentences_is_dont(&rows[i].f), rows[i].dont[0] != '\0');
  }
}

/* ---- in brief ---- */

static const obs_diagnose_place chat = {"/v1/chat", 102, 41, 500, 0}, alone = {"/v1/chat", 10, 9, 0, 0};

static const struct {
  obs_diagnose_finding f;
  const obs_diagnose_place *place;
  int64_t now_ms;
  const char *want;
} briefs[] = {
    {{.cause = OBS_CAUSE_ONSET,
      .error = OBS_ERROR_TIMEOUT,
      .from_ms = NOON,
      .nconditions = 1,
      .conditions = {IS("staffer_id", "qwen3-coder")},
      COUNTS(50, 200, 1, 1000)},
     &chat,
     NOON + 60000,
     "staffer qwen3-coder fails 40 % here since 12:04 UTC, others 0 %: give the work to another"},
    {{.cause = OBS_CAUSE_SHARE,
      .nconditions = 1,
      .conditions = {IS("staffer_id", "the new one")},
      COUNTS(50, 200, 1, 1000)},
     NULL,
     NOON,
     "staffer \"the new one\" fails 25 %, others 0.1 %: give the work to another"},
    {{.cause = OBS_CAUSE_SHARE, .nconditions = 1, .conditions = {IS("staffer_id", "a")}, COUNTS(50, 200, 1, 1000)},
     &alone,
     NOON,
     "staffer a fails 90 % here, others elsewhere 0.1 %: give the work to another"},
    {{.cause = OBS_CAUSE_ONSET,
      .error = OBS_ERROR_REFUSED,
      .from_ms = NOON - 86400000,
      .nconditions = 1,
      .conditions = {IS("endpoint", "/v1/chat")},
      COUNTS(41, 102, 3, 9000)},
     &chat,
     NOON,
     "/v1/chat fails 40 % since 2026-09-21 12:04 UTC, before 0 %: check that it is up before calling it"},
    {{.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_RATE_LIMIT,
      .by_kind = true,
      .nconditions = 1,
      .conditions = {IS("endpoint", "/v1/chat")},
      .per_minute = 60,
      COUNTS(41, 102, 3, 9000)},
     &alone,
     NOON,
     "/v1/chat meets a rate limit in 90 %, others 0.033 %: keep below 60 a minute"},
    {{.cause = OBS_CAUSE_SHARE, .error = OBS_ERROR_RATE_LIMIT, .per_minute = 55, COUNTS(4740, 16230, 0, 0)},
     NULL,
     NOON,
     "ops meet a rate limit in minutes with 55 or more of them, 29 % in all: keep below 55 a minute"},
    {{.cause = OBS_CAUSE_SHARE, .error = OBS_ERROR_AUTH, COUNTS(1500, 1500, 0, 0)},
     NULL,
     NOON,
     "everything fails 100 %: have the credentials renewed or the permission granted"},
    {{.cause = OBS_CAUSE_ONSET, .error = OBS_ERROR_REFUSED, .from_ms = NOON, COUNTS(41, 102, 3, 9000)},
     &chat,
     NOON,
     "everything fails 40 % since 12:04 UTC, before 0 %: check that it is up before calling it"},
    {{.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_NOT_FOUND,
      .nconditions = 2,
      .conditions = {IS("endpoint", "/v1/chat"), IS("city", "Toledo")},
      COUNTS(41, 102, 3, 9000)},
     &chat,
     NOON,
     "city Toledo fails 40 % here, others 0 %: look the name up before using it"},
    {{.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_VALIDATION,
      .nconditions = 2,
      .conditions = {{.field = "count", .relation = OBS_RELATION_ABOVE, .number = 7}, IS("city", "Toledo")},
      COUNTS(41, 102, 3, 9000)},
     &chat,
     NOON,
     "ops with count above 7 and city Toledo fail 40 % here, others 0 %: keep count at 7 or less"},
    {{.cause = OBS_CAUSE_SHARE,
      .error = OBS_ERROR_VALIDATION,
      .nconditions = 1,
      .conditions = {{.field = "city", .relation = OBS_RELATION_ABSENT}},
      COUNTS(41, 102, 3, 9000)},
     NULL,
     NOON,
     "ops without city fail 40 %, others 0.033 %: set city"},
    {{.cause = OBS_CAUSE_REGRESSION,
      .correction_seq = 88,
      .nconditions = 1,
      .conditions = {IS("task_class", "fill")},
      COUNTS(41, 102, 3, 9000)},
     NULL,
     NOON,
     "task class fill fails 40 % since the correction of op 88, others 0.033 %: work without it, or correct it"},
    {{.cause = OBS_CAUSE_SHARE,
      .nconditions = 1,
      .last_ms = NOON - 7200000,
      .conditions = {IS("staffer_id", "a")},
      COUNTS(41, 102, 3, 9000)},
     NULL,
     NOON,
     "staffer a fails 40 %, others 0.033 % (last at 10:04 UTC): give the work to another"},
    {{.cause = OBS_CAUSE_SLOW,
      .from_ms = NOON,
      .ms_before = 300,
      .ms_after = 1200,
      .nconditions = 1,
      .conditions = {IS("endpoint", "/a")},
      COUNTS(0, 102, 3, 9000)},
     NULL,
     NOON,
     "endpoint /a takes 1,200 ms (before: 300 ms) since 12:04 UTC: allow for it"},
};

static void test_briefs(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(briefs) / sizeof(*briefs); i++) {
    obs_buf out = {0};
    obs_sentences_brief(&briefs[i].f, briefs[i].place, briefs[i].now_ms, &out);
    obs_buf_putc(&out, '\0');
    if (strcmp(out.p, briefs[i].want) != 0) fail_msg("%zu:\n%s\n%s", i, out.p, briefs[i].want);
    obs_buf_fini(&out);
  }
}

/* ---- the failures as a whole ---- */

static const struct {
  obs_diagnose_report r;
  const char *want;
} summaries[] = {
    {{.ops = 4}, "0 of 4 ops failed."},
    {{.ops = 1, .failures = 1, .kinds = {1}, .first_seq = 4, .last_seq = 4},
     "1 op failed (seq 4), unknown kind. Too few failures to find a common factor."},
    {{.ops = 49, .failures = 2, .kinds = {2}, .first_seq = 1853, .last_seq = 2727},
     "2 of 49 ops failed (seq 1853 to 2727), unknown kind. Too few failures to find a common factor."},
    {{.ops = 20, .failures = 20, .kinds = {[OBS_ERROR_TIMEOUT] = 20}, .first_seq = 1, .last_seq = 20},
     "All 20 ops failed (seq 1 to 20), all timeouts. No field or moment stands out."},
    {{.ops = 4000, .failures = 1000, .kinds = {100, [OBS_ERROR_TIMEOUT] = 900}, .first_seq = 1, .last_seq = 20},
     "1,000 of 4,000 ops failed (seq 1 to 20), mostly timeouts (90 % of the failures). No field or moment stands out."},
    {{.ops = 4000,
      .failures = 13,
      .of_cluster = true,
      .kinds = {[OBS_ERROR_AUTH] = 13},
      .first_seq = 1,
      .last_seq = 20},
     "13 of 4,000 ops failed this way (seq 1 to 20), all denied access. No field or moment stands out."},
    {{.ops = 4000, .failures = 1000, .kinds = {1000}, .first_seq = 1, .last_seq = 20, .nfindings = 1},
     "1,000 of 4,000 ops failed (seq 1 to 20), unknown kind."},
};

static void test_summaries(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(summaries) / sizeof(*summaries); i++) {
    obs_buf out = {0};
    obs_sentences_summary(&summaries[i].r, &out);
    obs_buf_putc(&out, '\0');
    if (strcmp(out.p, summaries[i].want) != 0) fail_msg("%zu:\n%s\n%s", i, out.p, summaries[i].want);
    obs_buf_fini(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_findings),
      cmocka_unit_test(test_briefs),
      cmocka_unit_test(test_summaries),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
