/* Ops recorded as the daemon does it, into everything that the learning loops look at; without files, unless a test
 * gives a directory for theirs. */
#ifndef TESTS_LEARN_FIXTURE_H
#define TESTS_LEARN_FIXTURE_H

#include "cluster/clusters.h"
#include "diagnose/facts.h"
#include "learn/evidence.h"
#include "learn/exposure/exposure.h"
#include "state/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#define LEARN_T0 INT64_C(1790000000000)

typedef struct {
  obs_state *state;
  obs_facts *facts;
  obs_clusters *clusters;
  obs_exposure *exposure;
  uint64_t seq;
  int64_t now;
} learn_fixture;

static inline void learn_open(learn_fixture *f, uint32_t ring) {
  obs_state_opts state = OBS_STATE_OPTS_DEFAULT;
  *f = (learn_fixture){.now = LEARN_T0};
  if (ring > 0) state.ring = ring;
  assert_int_equal(obs_state_open(&state, &f->state), OBSERVER_E_OK);
  assert_int_equal(obs_facts_open(&(obs_facts_opts){20000}, &f->facts), OBSERVER_E_OK);
  assert_int_equal(obs_clusters_open(&(obs_clusters_opts){.clusters = 2000}, &f->clusters), OBSERVER_E_OK);
  assert_int_equal(obs_exposure_open(0, &f->exposure), OBSERVER_E_OK);
}

static inline void learn_close(learn_fixture *f) {
  obs_state_close(f->state);
  obs_facts_close(f->facts);
  obs_clusters_close(f->clusters);
  obs_exposure_close(f->exposure);
}

/* One op of these members: printf's form of what stands between the braces. */
static inline uint64_t learn_record(learn_fixture *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline uint64_t learn_record(learn_fixture *f, const char *fmt, ...) {
  static const obs_op_limits limits = {4u << 20, 10000, 256u << 10, 64u << 10, 64, 8};
  obs_buf text = {0};
  obs_batch b;
  char members[8192];
  va_list ap;
  va_start(ap, fmt);
  assert_true(vsnprintf(members, sizeof(members), fmt, ap) < (int)sizeof(members));
  va_end(ap);
  obs_buf_printf(&text, "{%s}", members);
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  b.data = (const uint8_t *)text.p;
  b.size = text.len;
  b.profile = OBS_PROFILE_V1;
  obs_batch_decode(&b, OBS_FORMAT_JSON, &limits, f->now);
  assert_int_equal(b.nrejects, 0);
  assert_int_equal(b.nops, 1);
  obs_op_set_times(&b.ops[0], f->now, 0);
  f->seq++;
  obs_state_apply(f->state, &b, f->seq, f->now);
  obs_clusters_apply(f->clusters, &b, f->seq, f->now);
  obs_facts_apply(f->facts, &b, f->seq, b.clusters);
  obs_exposure_apply(f->exposure, &b, f->seq, f->now);
  obs_batch_fini(&b);
  obs_buf_fini(&text);
  f->now += 10;
  return f->seq;
}

static inline cJSON *learn_parse(obs_buf *text) {
  cJSON *json = cJSON_ParseWithLength(text->p, text->len);
  assert_non_null(json);
  obs_buf_fini(text);
  return json;
}

/* What stands at a path of names and indices: "effect.before.ops", "history.0.change". */
static inline const cJSON *learn_at(const cJSON *json, const char *path) {
  char copy[200], *rest = copy, *name;
  snprintf(copy, sizeof(copy), "%s", path);
  while (json != NULL && (name = strsep(&rest, ".")) != NULL)
    json = cJSON_IsArray(json) ? cJSON_GetArrayItem(json, atoi(name)) : cJSON_GetObjectItemCaseSensitive(json, name);
  if (json == NULL) fail_msg("there is no %s", path);
  return json;
}

static inline void learn_expect(const cJSON *json, const char *path, const char *want) {
  char *got = cJSON_PrintUnformatted(learn_at(json, path));
  if (strcmp(got, want) != 0) fail_msg("%s: %s, not %s", path, got, want);
  cJSON_free(got);
}

#endif
