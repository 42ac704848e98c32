/* A server and calls in a temporary directory: what the tests of calls and models share. */
#ifndef OBS_TESTS_CALLS_FIXTURE_H
#define OBS_TESTS_CALLS_FIXTURE_H

#include "base/log.h"
#include "model_server.h"
#include "outbound/calls.h"

typedef struct {
  char dir[32], ledger[64], url[96];
  model_server server;
  obs_calls *calls;
} fixture;

static inline int make(void **state) {
  fixture *f = calloc(1, sizeof(*f));
  assert_non_null(f);
  strcpy(f->dir, "/tmp/obs-calls-XXXXXX");
  assert_non_null(mkdtemp(f->dir));
  snprintf(f->ledger, sizeof(f->ledger), "%s/calls.jsonl", f->dir);
  model_server_start(&f->server, f->dir);
  snprintf(f->url, sizeof(f->url), "%s/log", f->server.url);
  *state = f;
  return 0;
}

static inline int clear(void **state) {
  fixture *f = *state;
  char path[96];
  obs_calls_close(f->calls);
  model_server_stop(&f->server);
  unlink(f->ledger);
  snprintf(path, sizeof(path), "%s/calls.1.jsonl", f->dir);
  unlink(path);
  snprintf(path, sizeof(path), "%s/key", f->dir);
  unlink(path);
  assert_int_equal(rmdir(f->dir), 0);
  free(f);
  return 0;
}

/* Opens, or opens again as after a restart. Pauses are short unless given. */
static inline void open_calls(fixture *f, obs_calls_opts o) {
  char error[256] = "";
  obs_calls_close(f->calls);
  f->calls = NULL;
  o.dir = f->dir;
  if (o.backoff_ms == 0) o.backoff_ms = 10;
  if (o.breaker_failures == 0) o.breaker_failures = 1000;
  assert_int_equal(obs_calls_open(&o, &f->calls, error, sizeof(error)), OBSERVER_E_OK);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, make, clear)

#endif
