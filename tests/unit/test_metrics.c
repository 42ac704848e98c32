/* The table of metrics: every row is whole, and shows in /health or in /metrics; the heartbeat has its own part of it.
 */
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

static bool is_histogram(const obs_metric *m) {
  return m->type == OBS_METRIC_HISTOGRAM;
}

static bool ends_in(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n > m && strcmp(text + n - m, end) == 0;
}

static void check_name(const obs_metric *m) {
  const char *name = m->name;
  if (strncmp(name, "observer_", 9) != 0 && strncmp(name, "process_", 8) != 0) fail_msg("%s: another program's", name);
  for (const char *p = name; *p != '\0'; p++)
    if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '_') fail_msg("%s: not a name", name);
  if (ends_in(name, "_total") != (m->type == OBS_METRIC_COUNTER)) fail_msg("%s: only counters are totals", name);
  if (ends_in(name, "_info") != (m->type == OBS_METRIC_INFO)) fail_msg("%s: only information is information", name);
  if (ends_in(name, "_count") || ends_in(name, "_sum") || ends_in(name, "_bucket")) fail_msg("%s: a histogram's", name);
  if ((m->per == 1000 || m->per == 1000000) && !ends_in(name, "_seconds") && !ends_in(name, "_seconds_total"))
    fail_msg("%s: has no unit", name);
}

static void every_metric_is_whole(void **state) {
  (void)state;
  size_t n = 0;
  bool of_health = true;
  for (const obs_metric *m; (m = obs_metrics_at(n)) != NULL; n++) {
    const char *shown = m->path != NULL ? m->path : m->name;
    if (shown == NULL || m->help == NULL || strlen(m->help) < 5) {
      fail_msg("row %zu lacks its path and name, or its help", n);
      return;
    }
    if (m->type < OBS_METRIC_COUNTER || m->type > OBS_METRIC_JSON) fail_msg("%s: no type", shown);
    if (m->path != NULL && !of_health) fail_msg("%s: behind those of /metrics alone", shown);
    of_health = m->path != NULL;
    if (m->name != NULL) check_name(m);
    if (m->path != NULL) {
      if (*m->path == '\0') fail_msg("%s: an empty path", shown);
      if ((strchr(m->path, '{') != NULL) != (m->labels[0].name != NULL))
        fail_msg("%s: the label and the path differ", shown);
      if (m->labels[1].name != NULL || m->list != 0 || is_histogram(m)) fail_msg("%s: not for /health", shown);
    } else if (m->type == OBS_METRIC_TEXT || m->type == OBS_METRIC_JSON) {
      fail_msg("%s: not for /metrics", shown);
    }
    for (int k = 0; k < 2 && m->list == 0; k++)
      if (m->labels[k].name != NULL && (m->labels[k].n == 0 || m->labels[k].step == 0))
        fail_msg("%s: no values", shown);
    if (m->list != 0 && (m->longest == 0 || m->labels[0].name == NULL)) fail_msg("%s: a list without an end", shown);
    if ((m->type == OBS_METRIC_STATE) != (m->states != NULL && m->nstates > 0)) fail_msg("%s: states", shown);
    if (is_histogram(m) != (m->scale != NULL)) fail_msg("%s: bounds", shown);
    for (size_t i = 0; i < n; i++)
      if (m->path != NULL && obs_metrics_at(i)->path != NULL) assert_string_not_equal(obs_metrics_at(i)->path, m->path);
  }
  assert_true(n > 100);
}

/* Rows of one name are of one type, and each has another value of the label that is fixed. No family takes the name of
 * another's samples. */
static void families_are_apart(void **state) {
  static const char *const suffixes[] = {"", "_total", "_bucket", "_count", "_sum", "_info"};
  (void)state;
  const obs_metric *m, *other;
  for (size_t n = 0; (m = obs_metrics_at(n)) != NULL; n++) {
    for (size_t i = 0; i < n && m->name != NULL; i++) {
      other = obs_metrics_at(i);
      if (other->name == NULL) continue;
      if (strcmp(other->name, m->name) == 0) {
        if (other->type != m->type || m->fixed == NULL || other->fixed == NULL || strcmp(m->fixed, other->fixed) == 0)
          fail_msg("%s: two rows that are not one family", m->name);
        continue;
      }
      for (size_t k = 0; k < sizeof suffixes / sizeof *suffixes; k++) {
        char longer[128];
        (void)snprintf(longer, sizeof longer, "%s%s", m->name, suffixes[k]);
        assert_string_not_equal(longer, other->name);
        (void)snprintf(longer, sizeof longer, "%s%s", other->name, suffixes[k]);
        assert_string_not_equal(longer, m->name);
      }
    }
  }
}

/* Whatever is published. */
static void series_are_bounded(void **state) {
  (void)state;
  uint32_t series = 0;
  for (size_t i = 0; obs_metrics_at(i) != NULL; i++) series += obs_metrics_most(obs_metrics_at(i));
  print_message("at most %u series\n", series);
  assert_in_range(series, 500, 2000);
}

/* Each number a different one, so that none can stand for another. */
static void fill(obs_metrics_values *v) {
  *v = (obs_metrics_values){.status = "ok",
                            .version = "1.2.3",
                            .urls = OBS_STR("{}"),
                            .fleet = OBS_STR("null"),
                            .tls_expires = "2030-01-02T03:04:05.000Z",
                            .open = OBS_STR("[\"http http://0.0.0.0:3800\"]"),
                            .plain = OBS_STR("[]"),
                            .redact_mode = "secrets",
                            .patterns = OBS_STR("{\"BADGE\":7}")};
  for (size_t i = 0; obs_metrics_at(i) != NULL; i++) {
    const obs_metric *m = obs_metrics_at(i);
    for (uint32_t k = 0; is_number(m) && m->list == 0 && k < obs_metrics_label_values(m, 0); k++) {
      uint64_t wide = m->type == OBS_METRIC_STATE ? 1 : 100 * (i + 1) + k;
      uint32_t narrow = (uint32_t)wide;
      memcpy((char *)v + m->at + k * m->labels[0].step, m->wide ? (void *)&wide : (void *)&narrow, m->wide ? 8 : 4);
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
    for (uint32_t k = 0; m->path != NULL && k < obs_metrics_label_values(m, 0); k++) {
      const cJSON *shown = find(json, m->path, m->labels[0].name != NULL ? m->labels[0].values[k] : NULL);
      if (shown == NULL) fail_msg("%s is not in /health", m->path);
      if (m->type == OBS_METRIC_STATE)
        assert_string_equal(cJSON_GetStringValue(shown), m->states[1]);
      else if (is_number(m))
        assert_int_equal(cJSON_GetNumberValue(shown), obs_metrics_number(m, &v, k));
    }
  }
  assert_string_equal(cJSON_GetStringValue(find(json, "version", NULL)), "1.2.3");
  assert_true(cJSON_IsObject(find(json, "urls", NULL)));
  assert_true(cJSON_IsNull(find(json, "fleet", NULL)));
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
    if (is_number(m) && m->list == 0 && (m->path == NULL || strcmp(m->path, "uptime_s") != 0))
      assert_int_equal(obs_metrics_number(m, &v, 0), 0);
  }
  assert_true(obs_str_eq(v.urls, OBS_STR("{}")) && obs_str_eq(v.open, OBS_STR("[]")) && obs_str_eq(v.plain, v.open));
  assert_true(obs_str_eq(v.fleet, OBS_STR("null")));
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

/* ---- /metrics ---- */

static void show(const obs_metrics_values *v, bool open, obs_buf *out) {
  obs_buf_reset(out, SIZE_MAX);
  obs_metrics_text(v, open, out);
  obs_buf_putc(out, '\0');
  assert_false(out->oom);
}

static void has(const obs_buf *out, const char *line) {
  if (strstr(out->p, line) == NULL) fail_msg("not there: %s", line);
}

static void has_not(const obs_buf *out, const char *line) {
  if (strstr(out->p, line) != NULL) fail_msg("there: %s", line);
}

/* As much of `v` as there is of each kind of row. */
static void both_forms(void **state) {
  (void)state;
  obs_metrics_values v;
  obs_buf out = {0};
  fill(&v);
  v.build = "version=\"1.2.3\",nng=\"1.10\"";
  v.commit = (obs_commit_figures){.queue_capacity = 8, .checkpoint_took_ms = 1234};
  v.commit.groups = (obs_histogram){{2, 1, [12] = 4}, 70000};
  v.journal.sync_us = (obs_histogram){{5}, 1500001};
  v.journal.free_bytes = 0;
  v.tls_expires_s = 0;
  v.transports[OBS_TRANSPORT_SUB].rejects[OBS_REJECT_QUEUE] = 7;
  v.learn.calls.services[OBS_SERVICE_MODEL].breaker = OBS_BREAKER_OPEN;
  show(&v, false, &out);
  has(&out, "# HELP observer_journal_seq sequence number of the last recorded op; 0: none\n"
            "# TYPE observer_journal_seq gauge\nobserver_journal_seq ");
  has(&out, "# TYPE observer_intake_ops_rejected_total counter\n");
  has(&out, "observer_intake_ops_rejected_total{transport=\"sub\",reason=\"queue\"} 7\n");
  has(&out, "observer_intake_ops_rejected_total{transport=\"tail\",reason=\"disk\"} 0\n");
  has(&out, "observer_outbound_breaker{service=\"model\",state=\"closed\"} 0\n"
            "observer_outbound_breaker{service=\"model\",state=\"open\"} 1\n");
  has(&out, "# TYPE observer_build_info gauge\nobserver_build_info{version=\"1.2.3\",nng=\"1.10\"} 1\n");
  has(&out, "observer_commit_batch_ops_bucket{le=\"1.0\"} 2\nobserver_commit_batch_ops_bucket{le=\"2.0\"} 3\n");
  has(&out, "observer_commit_batch_ops_bucket{le=\"16384.0\"} 3\nobserver_commit_batch_ops_bucket{le=\"+Inf\"} 7\n"
            "observer_commit_batch_ops_sum 70000\nobserver_commit_batch_ops_count 7\n");
  has(&out, "observer_fsync_seconds_bucket{le=\"0.0001\"} 5\nobserver_fsync_seconds_bucket{le=\"0.00025\"} 5\n");
  has(&out, "observer_fsync_seconds_sum 1.500001\n");
  has(&out, "observer_checkpoint_seconds 1.234\n");
  has_not(&out, "\nobserver_journal_free_bytes ");
  has_not(&out, "\nobserver_tls_not_after_timestamp_seconds ");
  has_not(&out, "# UNIT");
  has_not(&out, "# EOF");

  show(&v, true, &out);
  has(&out, "# TYPE observer_intake_ops_rejected counter\nobserver_intake_ops_rejected_total{");
  has(&out, "# TYPE observer_intake_bytes counter\n# UNIT observer_intake_bytes bytes\n");
  has(&out, "# TYPE observer_build info\nobserver_build_info{");
  assert_string_equal(out.p + out.len - 1 - strlen("\n# EOF\n"), "\n# EOF\n");
  obs_buf_fini(&out);
}

/* Names come from outside: no two may look the same, and none may break a line. */
static void names_are_escaped(void **state) {
  (void)state;
  obs_metrics_values v;
  obs_buf out = {0};
  char text[200];
  memset(text, 'n', sizeof text);
  obs_metrics_source sources[] = {
      {OBS_STR("(other)"), 0, 1}, {OBS_STR("a\"b\\c\nd"), 2, 0},      {OBS_STR("x\x01"), 3, 0},
      {OBS_STR("x\x02"), 4, 0},   {(obs_str){text, 199, 0}, 5, 0},    {(obs_str){text, 200, 0}, 6, 0},
      {OBS_STR(""), 7, 0},        {OBS_STR("(other)…00000000"), 8, 0}};
  enum { N = sizeof sources / sizeof *sources };
  fill(&v);
  v.build = "version=\"1\"";
  v.sources = (obs_metrics_list){sources, N, sizeof sources[0]};
  show(&v, false, &out);
  has(&out, "observer_ops_total{outcome=\"failed\",source=\"(other)\"} 1\n");
  has(&out, "observer_ops_total{outcome=\"succeeded\",source=\"a\\\"b\\\\c\\nd\"} 2\n");
  has(&out, "source=\"\"} 7\n");
  has_not(&out, "\x01");
  has_not(&out, "(other)…00000000\"");
  char *lines[2 * N] = {0};
  size_t n = 0;
  for (char *p = out.p; (p = strstr(p, "\nobserver_ops_total{")) != NULL; p++) {
    assert_true(n < 2 * N);
    lines[n++] = p + 1;
  }
  assert_int_equal(n, 2 * N);
  for (size_t i = 0; i < n; i++) { /* without the number */
    char *end = strchr(lines[i], '\n');
    assert_true(end - lines[i] < 220);
    while (*end != '}') end--;
    end[1] = '\0';
  }
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < i; k++) assert_string_not_equal(lines[i], lines[k]);
  obs_buf_fini(&out);
}

static void exemplars_name_an_op(void **state) {
  (void)state;
  static obs_exposed_place places[1];
  obs_metrics_values v;
  obs_buf out = {0};
  obs_exposed_place *p = &places[0];
  *p = (obs_exposed_place){.name = OBS_STR("/v1/chat"), .failed = 3, .ms = {{[4] = 2}, 400}};
  p->exemplars[4] = (obs_exposed_exemplar){.seq = 12, .ms = 201, .at_ms = 1700000000123, .len = 3, .session = "s\"1"};
  p->exemplars[OBS_EXPOSED_FAILURE] = (obs_exposed_exemplar){.seq = 13, .ms = 1, .at_ms = 1700000000007};
  fill(&v);
  v.build = "version=\"1\"";
  v.endpoints = (obs_metrics_list){places, 1, sizeof places[0]};
  show(&v, true, &out);
  has(&out,
      "observer_endpoint_ops_total{outcome=\"failed\",endpoint=\"/v1/chat\"} 3 # {seq=\"13\"} 1.0 1700000000.007\n");
  has(&out, "observer_op_duration_seconds_bucket{endpoint=\"/v1/chat\",le=\"0.25\"} 2 # "
            "{seq=\"12\",session_id=\"s\\\"1\"} 0.201 1700000000.123\n");
  has(&out, "observer_op_duration_seconds_bucket{endpoint=\"/v1/chat\",le=\"0.5\"} 2\n");
  has(&out, "observer_op_duration_seconds_sum{endpoint=\"/v1/chat\"} 0.400\n");
  show(&v, false, &out);
  has_not(&out, " # {");
  obs_buf_fini(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_metric_is_whole),
      cmocka_unit_test(families_are_apart),
      cmocka_unit_test(series_are_bounded),
      cmocka_unit_test(both_forms),
      cmocka_unit_test(names_are_escaped),
      cmocka_unit_test(exemplars_name_an_op),
      cmocka_unit_test(health_shows_every_metric),
      cmocka_unit_test(nothing_there_reads_as_zero),
      cmocka_unit_test(the_heartbeat_is_of_the_same_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
