/* The gateway's log: posts are sent in order on a thread of their own; whoever posts never waits. */
#include "outbound/gateway.h"

#include "base/clock.h"
#include "calls_fixture.h"

static obs_gateway *open_gateway(fixture *f) {
  obs_gateway *g = NULL;
  open_calls(f, (obs_calls_opts){.attempts = 1});
  obs_gateway_opts opts = {.calls = f->calls, .url = f->server.url, .timeout_ms = 60000};
  assert_int_equal(obs_gateway_open(&opts, &g), OBSERVER_E_OK);
  return g;
}

static void log_number(obs_gateway *g, int i) {
  char text[32];
  snprintf(text, sizeof(text), "post %d", i);
  obs_gateway_log(g, obs_str_of(text), OBS_STR("a"), OBS_STR("r"), obs_str_of("say \"c\""));
}

static obs_gateway_counts counts_of(obs_gateway *g) {
  obs_gateway_counts n;
  obs_gateway_get_counts(g, &n);
  return n;
}

static void test_what_waits_is_sent_in_order_at_stop(void **state) {
  fixture *f = *state;
  obs_gateway *g = open_gateway(f);
  for (int i = 0; i < 30; i++) log_number(g, i);
  assert_int_equal(counts_of(g).waiting, 30);
  assert_int_equal(obs_gateway_start(g), OBSERVER_E_OK);
  obs_gateway_stop(g, 60000);
  assert_int_equal(counts_of(g).waiting, 0);
  assert_int_equal(counts_of(g).dropped, 0);
  log_number(g, 30);
  assert_int_equal(counts_of(g).dropped, 1);
  obs_gateway_close(g);
  char *log = whole_file(f->server.log), *at = log;
  for (int i = 0; i < 30; i++) {
    char want[64];
    snprintf(want, sizeof(want), "\"operation\": \"post %d\"", i);
    at = strstr(at, want);
    assert_non_null(at);
  }
  assert_null(strstr(log, "post 30"));
  free(log);
}

static void test_a_hanging_gateway_holds_nobody_up(void **state) {
  fixture *f = *state;
  model_server_set(&f->server, "{\"hang\":true}");
  obs_gateway *g = open_gateway(f);
  assert_int_equal(obs_gateway_start(g), OBSERVER_E_OK);
  uint64_t from = obs_clock_mono_ms();
  for (int i = 0; i < OBS_GATEWAY_POSTS + 10; i++) log_number(g, i);
  assert_true(counts_of(g).dropped >= 9 && counts_of(g).dropped <= 10); /* one may be under way */
  obs_gateway_stop(g, 100);
  assert_int_equal(counts_of(g).waiting, 0);
  assert_true(counts_of(g).dropped >= OBS_GATEWAY_POSTS + 9);
  obs_calls_stop(f->calls);
  obs_gateway_close(g);
  assert_true(obs_clock_mono_ms() - from < 50000); /* not the minute that the post may take */
}

static void test_large_posts_are_bounded_in_bytes(void **state) {
  fixture *f = *state;
  obs_gateway *g = open_gateway(f);
  char *text = malloc(OBS_GATEWAY_BYTES / 4);
  assert_non_null(text);
  memset(text, 'x', OBS_GATEWAY_BYTES / 4);
  for (int i = 0; i < 5; i++)
    obs_gateway_log(g, OBS_STR("o"), OBS_STR("a"), (obs_str){text, OBS_GATEWAY_BYTES / 4, 0}, OBS_STR("c"));
  assert_int_equal(counts_of(g).waiting, 3);
  assert_int_equal(counts_of(g).dropped, 2);
  obs_gateway_close(g);
  free(text);
}

static void test_without_a_gateway_nothing_is_posted(void **state) {
  (void)state;
  obs_gateway_log(NULL, OBS_STR("o"), OBS_STR("a"), OBS_STR("r"), OBS_STR("c"));
  assert_int_equal(obs_gateway_start(NULL), OBSERVER_E_OK);
  obs_gateway_stop(NULL, 1000);
  assert_int_equal(counts_of(NULL).waiting, 0);
  obs_gateway_close(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_SERVER(test_what_waits_is_sent_in_order_at_stop),
      WITH_SERVER(test_a_hanging_gateway_holds_nobody_up),
      WITH_SERVER(test_large_posts_are_bounded_in_bytes),
      cmocka_unit_test(test_without_a_gateway_nothing_is_posted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
