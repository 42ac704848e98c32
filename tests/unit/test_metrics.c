/* The table of metrics: every row is whole, and shows in /health; the heartbeat has its own part of it. */
#include "metrics/metrics.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static bool is_number(const obs_metric *m) {
  return m->type == OBS_METRIC_COUNTER || m->type == OBS_METRIC_GAUGE || m->type == OBS_METRIC_STATE;
}

static void every_metric_is_whole(void **state) {
  (void)state;
  size_t n = 0;
  for (const obs_metric *m; (m = obs_metrics_at(n)) != NULL; n++) {
    const char *name = m->name;
    if (m->path == NULL || name == NULL || m->help == NULL) {
      fail_msg("row %zu lacks its path, name or help", n);
      return;
    }
    if (*m->path == '\0' || strlen(m->help) < 5) fail_msg("%s: no path or no help", name);
    if (m->type < OBS_METRIC_COUNTER || m->type > OBS_METRIC_JSON) fail_msg("%s: no type", name);
    if (strncmp(name, "observer_", 9) != 0) fail_msg("%s: another program's", name);
    for (const char *p = name; *p != '\0'; p++)
      if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '_') fail_msg("%s: not a name", name);
    bool total = strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0;
    if (total != (m->type == OBS_METRIC_COUNTER)) fail_msg("%s: only counters are totals", name);
    if ((strchr(m->path, '{') != NULL) != (m->label != NULL)) fail_msg("%s: the label and the path differ", name);
    if (m->label != NULL && (m->nvalues == 0 || m->step == 0)) fail_msg("%s: a label without values", name);
    if ((m->type == OBS_METRIC_STATE) != (m->states != NULL)) fail_msg("%s: states", name);
    for (size_t i = 0; i < n; i++) {
      assert_string_not_equal(obs_metrics_at(i)->name, name);
      assert_string_not_equal(obs_metrics_at(i)->path, m->path);
    }
  }
  assert_true(n > 30);
}

/* Each number a different one, so that none can stand for another. */
static void fill(obs_metrics_values *v) {
  *v = (obs_metrics_values){.status = "ok",
                            .version = "1.2.3",
                            .urls = OBS_STR("{}"),
                            .tls_expires = "2030-01-02T03:04:05.000Z",
                            .open = OBS_STR("[\"http http://0.0.0.0:3800\"]"),
                            .plain = OBS_STR("[]"),
                            .redact_mode = "secrets",
                            .patterns = OBS_STR("{\"BADGE\":7}")};
  for (size_t i = 0; obs_metrics_at(i) != NULL; i++) {
    const obs_metric *m = obs_metrics_at(i);
    for (uint32_t k = 0; is_number(m) && k < (m->label != NULL ? m->nvalues : 1); k++) {
      uint64_t wide = m->type == OBS_METRIC_STATE ? 1 : 100 * (i + 1) + k;
      uint32_t narrow = (uint32_t)wide;
      memcpy((char *)v + m->at + k * m->step, m->wide ? (void *)&wide : (void *)&narrow, m->wide ? 8 : 4);
    }
  }
}

static const cJSON *find(const cJSON *json, const char *path, const char *value) {
  char name[64];
  while (json != NULL && *path != '\0') {
    size_t n = strcspn(path, "/");
    (void)snprintf(name, sizeof name, "%.*s", (int)n, path);
    json = cJSON_GetObjectItemCaseSensitive(json, *name == '{' ? value : name);
    path += n + (path[n] == '/');
  }
  return json;
}

static void health_shows_every_metric(void **state) {
  (void)state;
  obs_metrics_values v;
  obs_buf out = {0};
  fill(&v);
  obs_metrics_health(&v, &out);
  cJSON *json = cJSON_ParseWithLength(out.p, out.len);
  assert_non_null(json);
  for (size_t i = 0; obs_metrics_at(i) != NULL; i++) {
    const obs_metric *m = obs_metrics_at(i);
    for (uint32_t k = 0; k < (m->label != NULL ? m->nvalues : 1); k++) {
      const cJSON *shown = find(json, m->path, m->label != NULL ? m->values[k] : NULL);
      if (shown == NULL) fail_msg("%s is not in /health", m->path);
      if (m->type == OBS_METRIC_STATE)
        assert_string_equal(cJSON_GetStringValue(shown), m->states[1]);
      else if (is_number(m))
        assert_int_equal(cJSON_GetNumberValue(shown), obs_metrics_number(m, &v, k));
    }
  }
  assert_string_equal(cJSON_GetStringValue(find(json, "version", NULL)), "1.2.3");
  assert_true(cJSON_IsObject(find(json, "urls", NULL)));
  assert_string_equal(cJSON_GetStringValue(find(json, "tls/expires", NULL)), "2030-01-02T03:04:05.000Z");
  assert_true(cJSON_IsNull(find(json, "tls/problem", NULL)));
  assert_string_equal(cJSON_GetStringValue(find(json, "access/open", NULL)->child), "http http://0.0.0.0:3800");
  assert_int_equal(cJSON_GetArraySize(find(json, "access/plain", NULL)), 0);
  assert_string_equal(cJSON_GetStringValue(find(json, "redaction/kinds", NULL)), "secrets");
  assert_int_equal(cJSON_GetNumberValue(find(json, "redaction/patterns/BADGE", NULL)), 7);
  cJSON_Delete(json);
  obs_buf_fini(&out);
}

static void nothing_there_reads_as_zero(void **state) {
  (void)state;
  const obs_metrics_sources none = {.version = "1"};
  obs_metrics_values v;
  obs_metrics_read(&none, &v);
  for (size_t i = 0; obs_metrics_at(i) != NULL; i++) {
    const obs_metric *m = obs_metrics_at(i);
    if (is_number(m) && strcmp(m->path, "uptime_s") != 0) assert_int_equal(obs_metrics_number(m, &v, 0), 0);
  }
  assert_true(obs_str_eq(v.urls, OBS_STR("{}")) && obs_str_eq(v.open, OBS_STR("[]")) && obs_str_eq(v.plain, v.open));
  obs_metrics_fini(&v);
}

static void the_heartbeat_is_of_the_same_numbers(void **state) {
  (void)state;
  obs_metrics_values v;
  obs_buf out = {0};
  msgpack_unpacked got;
  size_t at = 0;
  fill(&v);
  assert_int_equal(obs_metrics_beat(&v, &out), 2);
  msgpack_unpacked_init(&got);
  const char *const names[] = {"ring", "feed"};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(msgpack_unpack_next(&got, out.p, out.len, &at), MSGPACK_UNPACK_SUCCESS);
    assert_memory_equal(got.data.via.str.ptr, names[i], 4);
    assert_int_equal(msgpack_unpack_next(&got, out.p, out.len, &at), MSGPACK_UNPACK_SUCCESS);
    if (i == 0) assert_int_equal(got.data.via.u64, v.state.ring);
  }
  const uint64_t want[] = {v.feed.ops, v.feed.messages, v.feed.bytes, v.feed.dropped, v.feed.lost, v.feed.subscribers};
  assert_int_equal(got.data.via.map.size, 6);
  for (uint32_t i = 0; i < 6; i++) assert_int_equal(got.data.via.map.ptr[i].val.via.u64, want[i]);
  msgpack_unpacked_destroy(&got);
  obs_buf_fini(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_metric_is_whole),
      cmocka_unit_test(health_shows_every_metric),
      cmocka_unit_test(nothing_there_reads_as_zero),
      cmocka_unit_test(the_heartbeat_is_of_the_same_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
