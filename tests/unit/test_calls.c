/* Calls to a real HTTP server: how each ends, what is tried again, what is asked once, what is kept. */
#include "base/clock.h"
#include "base/thread.h"
#include "calls_fixture.h"
#include "http/http.h"
#include "jsonl/internal.h"
#include "outbound/breaker.h"
#include "outbound/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>

enum { HOUR_MS = 3600000 };

static obs_call call_to(const fixture *f, obs_calls_service service, uint64_t key) {
  return (obs_call){.service = service,
                    .purpose = "test",
                    .url = f->url,
                    .body = OBS_STR("{\"a\":1}"),
                    .timeout_ms = 20000,
                    .key = key};
}

static obs_call_end post(fixture *f, const obs_call *call, obs_call_answer *out) {
  bool ok = obs_calls_post(f->calls, call, out);
  assert_int_equal(ok, out->end == OBS_CALL_OK);
  assert_int_equal(ok, out->error[0] == '\0');
  obs_call_answer_fini(out);
  return out->end;
}

static obs_call_end post_key(fixture *f, obs_calls_service service, uint64_t key) {
  obs_call_answer answer;
  obs_call call = call_to(f, service, key);
  return post(f, &call, &answer);
}

/* ---- how calls end ---- */

typedef struct {
  const char *behaviour;
  uint32_t timeout_ms;
  obs_call_end end;
  long status;
  uint32_t attempts;
  const char *error; /* after the URL */
} end_case;

static const end_case ends[] = {
    {"{}", 20000, OBS_CALL_OK, 200, 1, NULL},
    {"{\"status\":201}", 20000, OBS_CALL_OK, 201, 1, NULL},
    {"{\"status\":500}", 20000, OBS_CALL_STATUS, 500, 3, ": HTTP status 500: status 500 was asked for"},
    {"{\"status\":429}", 20000, OBS_CALL_STATUS, 429, 3, ": HTTP status 429: status 429 was asked for"},
    {"{\"fail_first\":2}", 20000, OBS_CALL_OK, 200, 3, NULL},
    {"{\"fail_first\":1,\"retry_after\":1}", 20000, OBS_CALL_OK, 200, 2, NULL},
    {"{\"fail_first\":1,\"retry_after\":60}", 20000, OBS_CALL_STATUS, 503, 1,
     ": HTTP status 503: status 503 was asked for"},
    {"{\"status\":400,\"raw\":\"{\\\"error\\\":{\\\"message\\\":\\\" no\\\\nsuch model\\\"}}\"}", 20000,
     OBS_CALL_STATUS, 400, 1, ": HTTP status 400: no such model"},
    {"{\"status\":404,\"raw\":\"\"}", 20000, OBS_CALL_STATUS, 404, 1, ": HTTP status 404"},
    {"{\"status\":302,\"location\":\"/api/run\"}", 20000, OBS_CALL_STATUS, 302, 1,
     ": HTTP status 302: status 302 was asked for"},
    {"{\"hang\":true}", 600, OBS_CALL_TIMEOUT, 0, 1, ": no answer within 600 ms"},
    {"{\"delay\":60}", 600, OBS_CALL_TIMEOUT, 0, 1, ": no answer within 600 ms"},
    {"{\"close\":true}", 20000, OBS_CALL_NETWORK, 0, 1, NULL},
    {"{\"cut\":true}", 20000, OBS_CALL_NETWORK, 0, 1, NULL},
    {"{\"cut\":true,\"status\":503}", 20000, OBS_CALL_NETWORK, 0, 1, NULL},
    {"{\"big\":1048600}", 20000, OBS_CALL_NETWORK, 0, 1, ": the answer is longer than 1048576 bytes"},
};

static void test_ends(void **state) {
  fixture *f = *state;
  open_calls(f, (obs_calls_opts){0});
  for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
    const end_case *e = &ends[i];
    obs_call_answer answer;
    obs_call call = call_to(f, OBS_SERVICE_GATEWAY, 0);
    call.timeout_ms = e->timeout_ms;
    int before = model_server_requests(&f->server);
    model_server_set(&f->server, e->behaviour);
    post(f, &call, &answer);
    if (answer.end != e->end) print_error("%s: %s\n", e->behaviour, answer.error);
    assert_int_equal(answer.end, e->end);
    assert_int_equal(answer.status, e->status);
    assert_int_equal(answer.attempts, e->attempts);
    assert_int_equal(model_server_requests(&f->server) - before, e->attempts);
    if (e->end != OBS_CALL_OK) assert_memory_equal(answer.error, f->server.url, strlen(f->server.url));
    if (e->error != NULL) assert_string_equal(answer.error + strlen(f->server.url), e->error);
  }
  assert_int_equal(count_in_file(f->ledger, "\"event\":\"begin\""), sizeof(ends) / sizeof(*ends));
  assert_int_equal(count_in_file(f->ledger, "\"event\":\"end\""), sizeof(ends) / sizeof(*ends));
}

static void test_answer(void **state) {
  fixture *f = *state;
  obs_call_answer answer;
  open_calls(f, (obs_calls_opts){0});
  obs_call call = call_to(f, OBS_SERVICE_TEAM, 0);
  assert_true(obs_calls_post(f->calls, &call, &answer));
  assert_string_equal(answer.body.p, "{\"ok\": true}");
  assert_int_equal(answer.body.len, 12);
  obs_call_answer_fini(&answer);
  assert_int_equal(count_in_file(f->server.log, "\"body\": {\"a\": 1}"), 1);
  assert_int_equal(count_in_file(f->server.log, "\"content-type\": \"application/json\""), 1);
  assert_int_equal(count_in_file(f->server.log, "\"expect\""), 0);
}

static void test_nobody_there(void **state) {
  fixture *f = *state;
  obs_call_answer answer;
  open_calls(f, (obs_calls_opts){0});
  obs_call call = call_to(f, OBS_SERVICE_MODEL, 0);
  call.url = "http://127.0.0.1:1/ai/generate";
  assert_int_equal(post(f, &call, &answer), OBS_CALL_NETWORK);
  assert_int_equal(answer.attempts, 3);
  assert_string_equal(answer.error, "http://127.0.0.1:1: Connection refused");
  call.url = "ftp://127.0.0.1/x";
  assert_int_equal(post(f, &call, &answer), OBS_CALL_FAILED);
  assert_string_equal(answer.error, "the URL of the model: must be an http:// or https:// URL");
}

/* ---- asked once ---- */

static void test_asked_once(void **state) {
  fixture *f = *state;
  obs_call_answer answer;
  open_calls(f, (obs_calls_opts){0});
  obs_call call = call_to(f, OBS_SERVICE_MODEL, 7);
  assert_int_equal(post(f, &call, &answer), OBS_CALL_OK);
  assert_int_equal(post(f, &call, &answer), OBS_CALL_ASKED);
  open_calls(f, (obs_calls_opts){0});
  assert_int_equal(post(f, &call, &answer), OBS_CALL_ASKED);
  assert_int_equal(post_key(f, OBS_SERVICE_MODEL, 8), OBS_CALL_OK);
  assert_int_equal(model_server_requests(&f->server), 2);
  assert_int_equal(count_in_file(f->ledger, "\n"), 4); /* what is refused is no row */
}

/* Killed while it waits for the answer: the question counts as asked. */
static void test_killed(void **state) {
  fixture *f = *state;
  model_server_set(&f->server, "{\"hang\":true}");
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    open_calls(f, (obs_calls_opts){0});
    (void)post_key(f, OBS_SERVICE_MODEL, 7);
    _exit(0);
  }
  while (model_server_requests(&f->server) == 0) usleep(2000);
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
  model_server_set(&f->server, "{}");
  open_calls(f, (obs_calls_opts){0});
  assert_int_equal(post_key(f, OBS_SERVICE_MODEL, 7), OBS_CALL_ASKED);
  assert_int_equal(model_server_requests(&f->server), 1);
}

/* Nothing goes out that the ledger does not have; afterwards it can be asked. */
static void test_ledger_full(void **state) {
  fixture *f = *state;
  obs_call_answer answer;
  struct rlimit old, none;
  obs_call call = call_to(f, OBS_SERVICE_MODEL, 7);
  open_calls(f, (obs_calls_opts){.calls_per_hour = 1});
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  none = (struct rlimit){0, old.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
  obs_call_end end = post(f, &call, &answer);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  assert_int_equal(end, OBS_CALL_FAILED);
  assert_string_equal(answer.error + strlen(f->server.url), ": not asked: the ledger calls.jsonl cannot be written");
  assert_int_equal(model_server_requests(&f->server), 0);
  assert_int_equal(post(f, &call, &answer), OBS_CALL_OK);
}

/* When the ledger's file is turned over the keys stay known, and what was spent counted. */
static void test_turned_over(void **state) {
  fixture *f = *state;
  open_calls(f, (obs_calls_opts){.calls_per_hour = 5});
  for (uint64_t key = 1; key <= 3; key++) assert_int_equal(post_key(f, OBS_SERVICE_TEAM, key), OBS_CALL_OK);
  f->calls->ledger->turn_at = 1;
  assert_int_equal(post_key(f, OBS_SERVICE_TEAM, 4), OBS_CALL_OK);
  assert_int_equal(count_in_file(f->ledger, "\"event\":\"known\""), 3);
  open_calls(f, (obs_calls_opts){.calls_per_hour = 5});
  obs_records_counts counts;
  obs_records_get_counts(f->calls->ledger, &counts);
  assert_int_equal(counts.bad_rows, 0);
  for (uint64_t key = 1; key <= 4; key++) assert_int_equal(post_key(f, OBS_SERVICE_TEAM, key), OBS_CALL_ASKED);
  assert_int_equal(post_key(f, OBS_SERVICE_TEAM, 5), OBS_CALL_OK);
  assert_int_equal(post_key(f, OBS_SERVICE_TEAM, 6), OBS_CALL_BUDGET);
}

static void test_bad_rows(void **state) {
  fixture *f = *state;
  obs_records_counts counts;
  FILE *out = fopen(f->ledger, "w");
  assert_non_null(out);
  fputs("{\"id\":1,\"time\":\"2026-01-01T00:00:00Z\",\"event\":\"begin\",\"service\":\"later\",\"key\":"
        "\"0000000000000007\"}\n"
        "{\"id\":2,\"time\":\"yesterday\",\"event\":\"begin\",\"service\":\"model\",\"key\":\"0000000000000008\"}\n"
        "{\"id\":3,\"time\":\"2026-01-01T00:00:00Z\",\"event\":\"else\"}\n"
        "garbage\n"
        "{\"id\":4,\"time\":\"2026-01-01T00:00:00Z\",\"event\":\"begin\",\"service\":\"model\",\"key\":\"9\"}\n"
        "{\"id\":5,\"time\":\"2026-01-01T00:00:00Z\",\"eve",
        out);
  fclose(out);
  open_calls(f, (obs_calls_opts){0});
  obs_records_get_counts(f->calls->ledger, &counts);
  assert_int_equal(counts.bad_rows, 3);
  assert_int_equal(post_key(f, OBS_SERVICE_MODEL, 7), OBS_CALL_ASKED);
  assert_int_equal(post_key(f, OBS_SERVICE_MODEL, 8), OBS_CALL_OK);
  assert_int_equal(post_key(f, OBS_SERVICE_MODEL, 9), OBS_CALL_OK);
}

/* ---- breaker and budget ---- */

static void test_breaker_states(void **state) {
  (void)state;
  obs_breaker b = {0};
  obs_breaker_result(&b, false, 2, 100, 0);
  obs_breaker_result(&b, true, 2, 100, 0);
  obs_breaker_result(&b, false, 2, 100, 0);
  assert_true(obs_breaker_admit(&b, 1000));
  obs_breaker_result(&b, false, 2, 100, 1000); /* the second one after another */
  assert_int_equal(b.state, OBS_BREAKER_OPEN);
  assert_false(obs_breaker_admit(&b, 1099));
  assert_int_equal(obs_breaker_wait_ms(&b, 1099), 1);
  assert_true(obs_breaker_admit(&b, 1100));
  assert_false(obs_breaker_admit(&b, 1100)); /* one call tries */
  obs_breaker_result(&b, false, 2, 100, 1150);
  assert_false(obs_breaker_admit(&b, 1349));
  assert_true(obs_breaker_admit(&b, 1350)); /* 200 later */
  obs_breaker_release(&b, 1400);            /* it came to nothing: another may try */
  assert_true(obs_breaker_admit(&b, 1400));
  obs_breaker_result(&b, true, 2, 100, 1400);
  assert_int_equal(b.state, OBS_BREAKER_CLOSED);
  obs_breaker_result(&b, false, 1, 500000, 2000);
  assert_true(obs_breaker_admit(&b, 502000));
  obs_breaker_result(&b, false, 1, 500000, 502000);
  assert_int_equal(obs_breaker_wait_ms(&b, 502000), OBS_BREAKER_MS_MAX);
}

static void test_breaker(void **state) {
  fixture *f = *state;
  obs_call_answer answer;
  open_calls(f, (obs_calls_opts){.breaker_failures = 2, .breaker_ms = 200, .attempts = 1});
  obs_call call = call_to(f, OBS_SERVICE_MODEL, 0);
  model_server_set(&f->server, "{\"status\":500}");
  assert_int_equal(post(f, &call, &answer), OBS_CALL_STATUS);
  assert_int_equal(post(f, &call, &answer), OBS_CALL_STATUS);
  call.key = 7;
  assert_int_equal(post(f, &call, &answer), OBS_CALL_BREAKER);
  assert_string_equal(answer.error + strlen(f->server.url),
                      ": not asked: too many failures one after another; again in 1 s");
  assert_int_equal(post_key(f, OBS_SERVICE_TEAM, 0), OBS_CALL_STATUS); /* each service has its own */
  model_server_set(&f->server, "{}");
  while (post(f, &call, &answer) == OBS_CALL_BREAKER) usleep(5000); /* with the key: it was not asked yet */
  assert_int_equal(answer.end, OBS_CALL_OK);
  assert_int_equal(post_key(f, OBS_SERVICE_MODEL, 0), OBS_CALL_OK);
  assert_int_equal(model_server_requests(&f->server), 5);
}

static uint64_t ten_tokens(obs_str asked, obs_str answer) {
  return asked.len > 0 && answer.len > 0 ? 10 : 1;
}

/* The tests of budgets do not run over the end of an hour. */
static void within_an_hour(void) {
  while (obs_clock_wall_ms() % HOUR_MS > HOUR_MS - 10000) usleep(100000);
}

static void test_calls_budget(void **state) {
  fixture *f = *state;
  obs_call_answer answer;
  within_an_hour();
  open_calls(f, (obs_calls_opts){.calls_per_hour = 2});
  obs_call call = call_to(f, OBS_SERVICE_TEAM, 7);
  assert_int_equal(post_key(f, OBS_SERVICE_GATEWAY, 0), OBS_CALL_OK);
  assert_int_equal(post_key(f, OBS_SERVICE_MODEL, 0), OBS_CALL_OK);
  open_calls(f, (obs_calls_opts){.calls_per_hour = 2});
  assert_int_equal(post_key(f, OBS_SERVICE_TEAM, 0), OBS_CALL_OK);
  assert_int_equal(post(f, &call, &answer), OBS_CALL_BUDGET);
  assert_string_equal(answer.error + strlen(f->server.url), ": not asked: 2 calls this hour are the limit");
  open_calls(f, (obs_calls_opts){.calls_per_hour = 2});
  assert_int_equal(post(f, &call, &answer), OBS_CALL_BUDGET);
  assert_int_equal(post_key(f, OBS_SERVICE_GATEWAY, 0), OBS_CALL_OK);
  f->calls->budget.hour--; /* an hour goes by */
  assert_int_equal(post(f, &call, &answer), OBS_CALL_OK);
}

static void test_tokens_budget(void **state) {
  fixture *f = *state;
  obs_call_answer answer;
  within_an_hour();
  open_calls(f, (obs_calls_opts){.tokens_per_day = 21});
  obs_call call = call_to(f, OBS_SERVICE_MODEL, 0);
  call.tokens = ten_tokens;
  assert_int_equal(post(f, &call, &answer), OBS_CALL_OK);
  assert_int_equal(answer.tokens, 10);
  assert_int_equal(post(f, &call, &answer), OBS_CALL_OK);
  model_server_set(&f->server, "{\"status\":400}");
  assert_int_equal(post(f, &call, &answer), OBS_CALL_STATUS);
  assert_int_equal(answer.tokens, 0); /* a refusal is free */
  model_server_set(&f->server, "{\"close\":true}");
  assert_int_equal(post(f, &call, &answer), OBS_CALL_NETWORK);
  assert_int_equal(answer.tokens, 1); /* the question was read by somebody */
  open_calls(f, (obs_calls_opts){.tokens_per_day = 21});
  assert_int_equal(post(f, &call, &answer), OBS_CALL_BUDGET);
  assert_string_equal(answer.error + strlen(f->server.url), ": not asked: 21 tokens a day are the limit");
  f->calls->budget.day--;
  model_server_set(&f->server, "{}");
  assert_int_equal(post(f, &call, &answer), OBS_CALL_OK);
}

static void test_counts(void **state) {
  fixture *f = *state;
  within_an_hour();
  open_calls(f, (obs_calls_opts){.breaker_failures = 1, .attempts = 1, .calls_per_hour = 2});
  obs_call call = call_to(f, OBS_SERVICE_MODEL, 3);
  obs_call_answer answer;
  call.tokens = ten_tokens;
  assert_int_equal(post(f, &call, &answer), OBS_CALL_OK);
  assert_int_equal(post(f, &call, &answer), OBS_CALL_ASKED);
  model_server_set(&f->server, "{\"status\":500}");
  assert_int_equal(post_key(f, OBS_SERVICE_GATEWAY, 0), OBS_CALL_STATUS);
  assert_int_equal(post_key(f, OBS_SERVICE_GATEWAY, 0), OBS_CALL_BREAKER);
  obs_calls_counts n;
  obs_calls_get_counts(f->calls, &n);
  const obs_calls_service_counts *gateway = &n.services[OBS_SERVICE_GATEWAY], *model = &n.services[OBS_SERVICE_MODEL];
  assert_int_equal(gateway->calls, 1);
  assert_int_equal(gateway->ok, 0);
  assert_int_equal(gateway->failed, 1);
  assert_int_equal(gateway->refused, 1);
  assert_int_equal(gateway->breaker, OBS_BREAKER_OPEN);
  assert_int_equal(gateway->tokens, 0);
  assert_int_equal(model->calls, 1);
  assert_int_equal(model->ok, 1);
  assert_int_equal(model->failed, 0);
  assert_int_equal(model->refused, 1);
  assert_int_equal(model->breaker, OBS_BREAKER_CLOSED);
  assert_int_equal(model->tokens, 10);
  assert_int_equal(n.services[OBS_SERVICE_TEAM].calls, 0);
  assert_int_equal(n.calls_this_hour, 1);
  assert_int_equal(n.tokens_today, 10);
  assert_int_equal(n.ledger.failures, 0);
  assert_true(n.ledger.rows > 0);
}

/* ---- threads ---- */

typedef struct {
  fixture *f;
  obs_call call;
  obs_call_end end;
} job;

static void *run_job(void *arg) {
  job *j = arg;
  obs_call_answer answer;
  j->end = post(j->f, &j->call, &answer);
  return NULL;
}

static void test_stop(void **state) {
  fixture *f = *state;
  /* One waits for the answer, one for its next try. */
  static const char *const behaviours[] = {"{\"hang\":true}", "{\"status\":503,\"retry_after\":30}"};
  for (int i = 0; i < 2; i++) {
    pthread_t thread;
    open_calls(f, (obs_calls_opts){0});
    job j = {f, call_to(f, OBS_SERVICE_MODEL, 0), OBS_CALL_OK};
    j.call.timeout_ms = 600000;
    model_server_set(&f->server, behaviours[i]);
    assert_int_equal(obs_thread_start(&thread, "obs:test", run_job, &j), OBSERVER_E_OK);
    while (model_server_requests(&f->server) <= i) usleep(2000);
    obs_calls_stop(f->calls);
    obs_calls_stop(f->calls); /* twice does no harm */
    pthread_join(thread, NULL);
    assert_int_equal(j.end, OBS_CALL_STOPPED);
    assert_int_equal(post_key(f, OBS_SERVICE_TEAM, 0), OBS_CALL_STOPPED);
  }
  assert_int_equal(model_server_requests(&f->server), 2);
  assert_int_equal(count_in_file(f->ledger, "\"end\":\"stopped\""), 2);
}

static void test_many_threads(void **state) {
  fixture *f = *state;
  enum { THREADS = 8 };
  pthread_t threads[THREADS];
  job jobs[THREADS];
  int ok = 0, asked = 0;
  open_calls(f, (obs_calls_opts){0});
  for (int i = 0; i < THREADS; i++) {
    jobs[i] = (job){f, call_to(f, OBS_SERVICE_MODEL, 7), OBS_CALL_FAILED};
    assert_int_equal(obs_thread_start(&threads[i], "obs:test", run_job, &jobs[i]), OBSERVER_E_OK);
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    ok += jobs[i].end == OBS_CALL_OK;
    asked += jobs[i].end == OBS_CALL_ASKED;
  }
  assert_int_equal(ok, 1);
  assert_int_equal(asked, THREADS - 1);
  assert_int_equal(model_server_requests(&f->server), 1);
}

/* ---- keys, names ---- */

static void test_keys(void **state) {
  (void)state;
  obs_ledger_keys k;
  assert_true(obs_ledger_keys_init(&k));
  for (uint64_t i = 0; i < OBS_CALLS_KEYS + 100; i++) {
    const obs_ledger_key key = {.key = i + 1, .begin = i};
    assert_true(obs_ledger_keys_add(&k, &key));
    assert_false(obs_ledger_keys_add(&k, &key));
  }
  for (uint64_t i = 0; i < OBS_CALLS_KEYS + 100; i++) assert_int_equal(obs_ledger_keys_has(&k, i + 1), i >= 100);
  obs_ledger_keys_forget(&k, 500);
  obs_ledger_keys_forget(&k, 500);
  assert_false(obs_ledger_keys_has(&k, 500));
  assert_int_equal(k.places.n, OBS_CALLS_KEYS - 1);
  obs_ledger_keys_fini(&k);
}

static const struct {
  const char *url, *base, *shown; /* base NULL: no target */
} targets[] = {
    {"http://127.0.0.1:3100/ai/generate", "http://127.0.0.1:3100", "http://127.0.0.1:3100/ai/generate"},
    {"https://me:secret@example.org/v1/?key=secret#secret", "https://example.org", "https://example.org/v1"},
    {"http://[::1]:80", "http://[::1]:80", "http://[::1]:80"},
    {"ftp://example.org", NULL, NULL},
    {"file:///etc/passwd", NULL, NULL},
    {"example.org:3100", NULL, NULL},
    {"http://", NULL, NULL},
    {"", NULL, NULL},
};

static void test_targets(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
    obs_http_url t;
    const char *bad = obs_http_url_read(targets[i].url, &t);
    if (targets[i].base == NULL) {
      assert_string_equal(bad, "must be an http:// or https:// URL");
      continue;
    }
    assert_null(bad);
    assert_string_equal(t.base, targets[i].base);
    assert_string_equal(t.shown, targets[i].shown);
  }
}

static void test_clean(void **state) {
  (void)state;
  static const char dirty[] = " \n a\tb\0c\xff\xe2\x82\xac\xe2\x82 \r\n";
  obs_buf out = {0};
  obs_http_clean_text((obs_str){dirty, sizeof(dirty) - 1, 0}, false, &out);
  obs_buf_putc(&out, '|');
  obs_http_clean_text((obs_str){dirty, sizeof(dirty) - 1, 0}, true, &out);
  obs_buf_putc(&out, '\0');
  assert_string_equal(
      out.p,
      "a\tb c\xef\xbf\xbd\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd|a b c\xef\xbf\xbd\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd");
  obs_buf_fini(&out);
}

/* ---- secrets ---- */

static void test_secrets(void **state) {
  fixture *f = *state;
  obs_call_answer answer;
  char url[96];
  open_calls(f, (obs_calls_opts){.attempts = 1});
  snprintf(url, sizeof(url), "http://me:hidden@%s/log?key=hidden", f->server.url + strlen("http://"));
  obs_call call = call_to(f, OBS_SERVICE_MODEL, 0);
  call.bearer = "sk-hidden";
  model_server_set(&f->server, "{\"status\":400,\"raw\":\"{\\\"error\\\":\\\"bad key sk-hidden\\\"}\"}");
  assert_int_equal(post(f, &call, &answer), OBS_CALL_STATUS);
  assert_null(strstr(answer.error, "hidden"));
  assert_int_equal(count_in_file(f->server.log, "\"authorization\": \"Bearer sk-hidden\""), 1);
  model_server_set(&f->server, "{\"status\":401,\"raw\":\"{\\\"error\\\":\\\"bad key sk-***den\\\"}\"}");
  assert_int_equal(post(f, &call, &answer), OBS_CALL_STATUS);
  assert_string_equal(answer.error + strlen(f->server.url), ": HTTP status 401");
  call.url = url;
  call.bearer = NULL;
  assert_int_equal(post(f, &call, &answer), OBS_CALL_STATUS);
  assert_null(strstr(answer.error, "hidden"));
  model_server_stop(&f->server);
  assert_int_equal(post(f, &call, &answer), OBS_CALL_NETWORK);
  assert_null(strstr(answer.error, "hidden"));
  assert_int_equal(count_in_file(f->ledger, "hidden"), 0);
  model_server_start(&f->server, f->dir);
}

int main(void) {
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  const struct CMUnitTest tests[] = {
      WITH_SERVER(test_ends),        WITH_SERVER(test_answer),       WITH_SERVER(test_nobody_there),
      WITH_SERVER(test_asked_once),  WITH_SERVER(test_killed),       WITH_SERVER(test_ledger_full),
      WITH_SERVER(test_turned_over), WITH_SERVER(test_bad_rows),     cmocka_unit_test(test_breaker_states),
      WITH_SERVER(test_breaker),     WITH_SERVER(test_calls_budget), WITH_SERVER(test_tokens_budget),
      WITH_SERVER(test_counts),      WITH_SERVER(test_stop),         WITH_SERVER(test_many_threads),
      cmocka_unit_test(test_keys),   cmocka_unit_test(test_targets), cmocka_unit_test(test_clean),
      WITH_SERVER(test_secrets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
