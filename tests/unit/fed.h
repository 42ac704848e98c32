/* What the learning loops read, fed with real ops: journal, ring, clusters and facts in step, and a directory for
 * records. */
#ifndef TESTS_FED_H
#define TESTS_FED_H

#include "base/clock.h"
#include "base/hex.h"
#include "cluster_rows.h"
#include "diagnose/facts.h"
#include "learn/evidence.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { FED_TOLD = 256 };

typedef struct {
  char dir[64];
  obs_journal *journal;
  obs_state *state;
  obs_clusters *clusters;
  obs_facts *facts;
  uint64_t seq; /* of the last op */
  /* What was published. */
  uint32_t ntold;
  char *topics[FED_TOLD];
  cJSON *told[FED_TOLD];
} fed;

static inline bool fed_row(void *arg, const obs_journal_row *row, int64_t *time_ms, const char **reason) {
  (void)arg, (void)row, (void)time_ms, (void)reason;
  return true;
}

static inline void fed_open_journal(fed *f) {
  char error[256];
  obs_journal_opts opts = {.dir = f->dir, .fsync = OBS_FSYNC_NEVER, .block_bytes = 1024};
  obs_journal_replayed replayed;
  assert_int_equal(obs_journal_open(&opts, &f->journal, error, sizeof(error)), OBSERVER_E_OK);
  assert_int_equal(obs_journal_replay(f->journal, 1, fed_row, NULL, &replayed), OBSERVER_E_OK);
}

static inline void fed_init(fed *f, uint32_t ring) {
  obs_state_opts state = OBS_STATE_OPTS_DEFAULT;
  obs_clusters_opts clusters = {.quiet = 2};
  obs_facts_opts facts = {20000};
  *f = (fed){.dir = "/tmp/obs-learn-XXXXXX"};
  state.ring = ring;
  assert_non_null(mkdtemp(f->dir));
  fed_open_journal(f);
  assert_int_equal(obs_state_open(&state, &f->state), OBSERVER_E_OK);
  assert_int_equal(obs_clusters_open(&clusters, &f->clusters), OBSERVER_E_OK);
  assert_int_equal(obs_facts_open(&facts, &f->facts), OBSERVER_E_OK);
}

static inline void fed_forget_told(fed *f) {
  for (uint32_t i = 0; i < f->ntold; i++) {
    free(f->topics[i]);
    cJSON_Delete(f->told[i]);
  }
  f->ntold = 0;
}

static inline void fed_fini(fed *f) {
  fed_forget_told(f);
  obs_facts_close(f->facts);
  obs_clusters_close(f->clusters);
  obs_state_close(f->state);
  obs_journal_close(f->journal);
  DIR *d = opendir(f->dir);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d)) != NULL;)
    if (e->d_name[0] != '.') assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
  closedir(d);
  assert_int_equal(rmdir(f->dir), 0);
}

/* Records ops, one JSON object a line; the clock says `now_ms`. */
static inline void fed_record_at(fed *f, const char *lines, int64_t now_ms) {
  obs_batch b;
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  obs_batch_reset(&b);
  b.data = (const uint8_t *)lines;
  b.size = strlen(lines);
  b.transport = OBS_TRANSPORT_HTTP;
  b.profile = OBS_PROFILE_V1;
  obs_batch_decode(&b, OBS_FORMAT_JSON, &limits, now_ms);
  if (b.nrejects > 0) print_error("%s\n", b.rejects[0].reason);
  assert_int_equal(b.nrejects, 0);
  for (uint32_t i = 0; i < b.nops; i++) obs_op_set_times(&b.ops[i], now_ms, 0);
  struct iovec iov = {b.json.p, b.json.len};
  assert_int_equal(obs_journal_append(f->journal, &iov, 1, b.nops, now_ms, now_ms), OBSERVER_E_OK);
  assert_int_equal(obs_journal_sync(f->journal), OBSERVER_E_OK);
  obs_state_apply(f->state, &b, f->seq + 1, now_ms);
  obs_clusters_apply(f->clusters, &b, f->seq + 1, now_ms);
  obs_facts_apply(f->facts, &b, f->seq + 1, b.clusters);
  f->seq += b.nops;
  obs_batch_fini(&b);
}

static inline void fed_record(fed *f, const char *lines) {
  fed_record_at(f, lines, obs_clock_wall_ms());
}

/* `n` failures of the endpoint with this error, and members of one's own ("" or `,"staffer_id":"bob"`). */
static inline void fed_fail(fed *f, const char *endpoint, const char *error, const char *more, uint32_t n) {
  obs_buf text = {0};
  for (uint32_t i = 0; i < n; i++)
    obs_buf_printf(&text,
                   "{\"endpoint\":\"%s\",\"input_summary\":\"ask %" PRIu32
                   "\",\"success\":false,\"output_summary\":\"no\",\"error\":\"%s\"%s}\n",
                   endpoint, i, error, more);
  obs_buf_putc(&text, '\0');
  fed_record(f, text.p);
  obs_buf_fini(&text);
}

/* The input says nothing of how it went. */
static inline void fed_succeed(fed *f, const char *endpoint, const char *more, uint32_t n) {
  obs_buf text = {0};
  for (uint32_t i = 0; i < n; i++)
    obs_buf_printf(&text,
                   "{\"endpoint\":\"%s\",\"input_summary\":\"ask %" PRIu32
                   "\",\"success\":true,\"output_summary\":\"ok\"%s}\n",
                   endpoint, i, more);
  obs_buf_putc(&text, '\0');
  fed_record(f, text.p);
  obs_buf_fini(&text);
}

static inline obs_evidence fed_evidence(const fed *f) {
  return (obs_evidence){f->state, f->journal};
}

static inline void fed_publish(void *arg, const char *topic, obs_str row) {
  fed *f = arg;
  assert_true(f->ntold < FED_TOLD);
  f->topics[f->ntold] = strdup(topic);
  f->told[f->ntold] = cJSON_ParseWithLength(row.p, row.len);
  assert_non_null(f->told[f->ntold++]);
}

static inline cJSON *fed_parse(obs_buf *text) {
  cJSON *json = cJSON_ParseWithLength(text->p, text->len);
  assert_non_null(json);
  obs_buf_fini(text);
  return json;
}

static inline const cJSON *fed_at(const cJSON *json, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
  if (item == NULL) print_error("no member %s\n", name);
  assert_non_null(item);
  return item;
}

/* A member, as JSON. */
static inline void fed_assert(const cJSON *json, const char *name, const char *want) {
  char *text = cJSON_PrintUnformatted(fed_at(json, name));
  assert_string_equal(text, want);
  cJSON_free(text);
}

/* The id of the only cluster with this in its template. */
static inline uint64_t fed_cluster(fed *f, const char *template) {
  obs_clusters_filter filter = {.state = -1, .since_ms = INT64_MIN, .page.limit = 10};
  filter.q = (obs_str){template, (uint32_t)strlen(template), 0};
  obs_buf text = {0};
  uint32_t total;
  uint64_t id;
  assert_int_equal(cluster_rows(f->clusters, &filter, obs_clock_wall_ms(), &text, &total), OBSERVER_E_OK);
  cJSON *list = fed_parse(&text);
  assert_int_equal(total, 1);
  const char *found = fed_at(list->child, "id")->valuestring;
  assert_true(obs_hex_parse((obs_str){found, (uint32_t)strlen(found), 0}, &id));
  cJSON_Delete(list);
  return id;
}

#endif
