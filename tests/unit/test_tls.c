/* When files of certificates are taken, when they are doubted, and when they are refused: look by look. What clients
 * see is tested with a daemon (tests/process/test_tls.py). */
#include "base/clock.h"
#include "stream/stream.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000, PATH_SIZE = 256, COMMAND_SIZE = 1024 };

static char dir[] = "/tmp/obs-tls-XXXXXX";

static const char *in_dir(const char *name, char out[PATH_SIZE]) {
  (void)snprintf(out, PATH_SIZE, "%s/%s", dir, name);
  return out;
}

static void run(const char *command) {
  assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): made here */
}

/* NAME.crt and NAME.key, which signs itself. */
static void make_pair(const char *name) {
  char command[COMMAND_SIZE];
  (void)snprintf(command, sizeof command,
                 "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=%s "
                 "-keyout %s/%s.key -out %s/%s.crt 2>/dev/null",
                 name, dir, name, dir, name);
  run(command);
}

static int make_all(void **state) {
  (void)state;
  assert_non_null(mkdtemp(dir));
  make_pair("one");
  make_pair("two");
  return 0;
}

static int remove_all(void **state) {
  char command[COMMAND_SIZE];
  (void)state;
  (void)snprintf(command, sizeof command, "rm -rf %s", dir);
  run(command);
  return 0;
}

static void put(const char *from, const char *to) {
  char command[COMMAND_SIZE];
  (void)snprintf(command, sizeof command, "cp %s/%s %s/%s", dir, from, dir, to);
  run(command);
}

static void opened(obs_stream *s) {
  obs_stream_close(s);
}

static void received(obs_stream *s) {
  obs_stream_close(s);
}

typedef struct {
  obs_tls *tls;
  obs_stream_server *server;
} fixture;

/* A listener with the first pair, read for good. */
static fixture listen_with_one(void) {
  static const obs_stream_protocol protocol = {.name = "test", .opened = opened, .received = received};
  char cert[PATH_SIZE], key[PATH_SIZE], bound[OBS_ADDRESS_MAX], why[OBS_TLS_PROBLEM_MAX] = "";
  fixture f = {0};
  obs_address at;
  put("one.crt", "live.crt");
  put("one.key", "live.key");
  assert_int_equal(obs_tls_open(in_dir("live.crt", cert), in_dir("live.key", key), NULL, &f.tls), OBSERVER_E_OK);
  assert_false(obs_tls_wants_clients(f.tls));
  assert_int_equal(obs_tls_tick(f.tls, true), OBS_TLS_UNCHANGED); /* no listener needs it yet */
  const obs_stream_opts opts = {.protocol = &protocol, .tls = f.tls};
  assert_int_equal(obs_stream_server_open(&opts, &f.server), OBSERVER_E_OK);
  assert_int_equal(obs_address_parse("tls+tcp://127.0.0.1:0", &at, why, sizeof why), OBSERVER_E_OK);
  assert_int_equal(obs_stream_server_listen(f.server, &at, bound, why, sizeof why), OBSERVER_E_OK);
  obs_stream_server_start(f.server);
  return f;
}

static void end(fixture *f) {
  assert_true(obs_stream_server_close(f->server));
  obs_tls_close(f->tls);
}

static obs_tls_status status_of(const fixture *f) {
  obs_tls_status s;
  obs_tls_get_status(f->tls, &s);
  return s;
}

/* Ticks until something else than nothing comes. */
static obs_tls_change tick_until_change(const fixture *f) {
  uint64_t end_ms = obs_clock_mono_ms() + PATIENCE_MS;
  obs_tls_change change = OBS_TLS_UNCHANGED;
  while (change == OBS_TLS_UNCHANGED && obs_clock_mono_ms() < end_ms) {
    change = obs_tls_tick(f->tls, false);
    (void)usleep(10000);
  }
  return change;
}

static void one_file_after_the_other_is_no_failure(void **state) {
  fixture f = listen_with_one();
  (void)state;
  put("two.crt", "live.crt");
  assert_int_equal(obs_tls_tick(f.tls, false), OBS_TLS_UNCHANGED);
  assert_string_equal(status_of(&f).problem, "");
  put("two.key", "live.key");
  assert_int_equal(obs_tls_tick(f.tls, false), OBS_TLS_RELOADED);
  assert_int_equal(status_of(&f).reloads, 1);
  assert_int_equal(status_of(&f).refused, 0);
  end(&f);
}

static void what_stays_wrong_is_refused_once(void **state) {
  fixture f = listen_with_one();
  (void)state;
  put("two.key", "live.key");
  assert_int_equal(obs_tls_tick(f.tls, false), OBS_TLS_UNCHANGED);
  assert_int_equal(tick_until_change(&f), OBS_TLS_REFUSED);
  assert_non_null(strstr(status_of(&f).problem, "is not the key of"));
  for (int i = 0; i < 10; i++) assert_int_equal(obs_tls_tick(f.tls, false), OBS_TLS_UNCHANGED);
  assert_int_equal(status_of(&f).refused, 1);
  put("one.key", "live.key");
  assert_int_equal(obs_tls_tick(f.tls, false), OBS_TLS_UNCHANGED); /* it is what is in use */
  assert_string_equal(status_of(&f).problem, "");
  put("two.key", "live.key"); /* the same trouble once more is doubted and told once more */
  assert_int_equal(obs_tls_tick(f.tls, false), OBS_TLS_UNCHANGED);
  assert_int_equal(tick_until_change(&f), OBS_TLS_REFUSED);
  assert_int_equal(status_of(&f).refused, 2);
  end(&f);
}

static void who_asks_is_told_at_once(void **state) {
  fixture f = listen_with_one();
  (void)state;
  assert_int_equal(obs_tls_tick(f.tls, true), OBS_TLS_UNCHANGED);
  put("two.key", "live.key");
  assert_int_equal(obs_tls_tick(f.tls, true), OBS_TLS_REFUSED);
  assert_int_equal(obs_tls_tick(f.tls, true), OBS_TLS_REFUSED);
  assert_int_equal(status_of(&f).refused, 2);
  put("two.crt", "live.crt");
  assert_int_equal(obs_tls_tick(f.tls, true), OBS_TLS_RELOADED);
  assert_string_equal(status_of(&f).problem, "");
  end(&f);
}

/* As a copy that keeps the time of its original. */
static void times_that_are_put_back_hide_no_change(void **state) {
  char path[PATH_SIZE];
  struct stat st;
  fixture f = listen_with_one();
  (void)state;
  put("two.crt", "live.crt");
  put("two.key", "live.key");
  assert_int_equal(obs_tls_tick(f.tls, false), OBS_TLS_RELOADED);
  assert_int_equal(stat(in_dir("live.crt", path), &st), 0);
  put("one.key", "live.key");
  put("one.crt", "live.crt");
  const struct timespec times[2] = {st.st_atim, st.st_mtim};
  assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
  assert_int_equal(tick_until_change(&f), OBS_TLS_RELOADED);
  assert_int_equal(status_of(&f).reloads, 2);
  end(&f);
}

static void without_files(void **state) {
  static const obs_stream_protocol protocol = {.name = "test", .opened = opened, .received = received};
  char bound[OBS_ADDRESS_MAX], why[OBS_TLS_PROBLEM_MAX], cert[PATH_SIZE];
  obs_tls_status none;
  obs_address at;
  (void)state;
  assert_int_equal(obs_address_parse("tls+tcp://127.0.0.1:0", &at, why, sizeof why), OBSERVER_E_OK);
  for (int i = 0; i < 2; i++) {
    obs_tls *tls = NULL;
    obs_stream_server *server;
    if (i == 1) assert_int_equal(obs_tls_open(in_dir("one.crt", cert), NULL, cert, &tls), OBSERVER_E_OK);
    assert_int_equal(obs_tls_wants_clients(tls), i == 1);
    const obs_stream_opts opts = {.protocol = &protocol, .tls = tls};
    assert_int_equal(obs_stream_server_open(&opts, &server), OBSERVER_E_OK);
    assert_int_equal(obs_stream_server_listen(server, &at, bound, why, sizeof why), OBSERVER_E_INVALID);
    assert_string_equal(why, "needs --tls-cert and --tls-key");
    assert_int_equal(obs_tls_tick(tls, true), OBS_TLS_UNCHANGED);
    obs_tls_get_status(tls, &none);
    assert_false(none.used);
    assert_true(obs_stream_server_close(server));
    obs_tls_close(tls);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_file_after_the_other_is_no_failure),
      cmocka_unit_test(what_stays_wrong_is_refused_once),
      cmocka_unit_test(who_asks_is_told_at_once),
      cmocka_unit_test(times_that_are_put_back_hide_no_change),
      cmocka_unit_test(without_files),
  };
  return cmocka_run_group_tests(tests, make_all, remove_all);
}
