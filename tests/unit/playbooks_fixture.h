/* Playbooks over recorded ops, for their tests. */
#ifndef TESTS_PLAYBOOKS_FIXTURE_H
#define TESTS_PLAYBOOKS_FIXTURE_H

#include "learn_fixture.h"

#include "jsonl/internal.h"
#include "learn/playbooks/internal.h"

#include <inttypes.h>
#include <unistd.h>

enum { TOLD = 4096 };

typedef struct {
  learn_fixture f;
  obs_playbooks *p;
  char dir[64];
  cJSON *told[TOLD]; /* what the feed got */
  uint32_t ntold, sessions;
} fixture;

static const _Atomic bool go_on = false;

static inline void on_publish(void *arg, const char *topic, obs_str row) {
  fixture *x = arg;
  assert_string_equal(topic, "playbook");
  assert_true(x->ntold < TOLD);
  x->told[x->ntold] = cJSON_ParseWithLength(row.p, row.len);
  assert_non_null(x->told[x->ntold++]);
}

static inline void open_playbooks(fixture *x) {
  char error[256] = "";
  obs_playbooks_opts opts = {.dir = x->dir[0] != '\0' ? x->dir : NULL,
                             .facts = x->f.facts,
                             .exposure = x->f.exposure,
                             .evidence = {x->f.state, NULL},
                             .announce = {on_publish, x}};
  if (obs_playbooks_open(&opts, &x->p, error, sizeof(error)) != OBSERVER_E_OK) fail_msg("%s", error);
}

static inline fixture *open_fixture(uint32_t ring, bool files) {
  fixture *x = calloc(1, sizeof(*x));
  assert_non_null(x);
  learn_open(&x->f, ring);
  if (files) {
    snprintf(x->dir, sizeof(x->dir), "/tmp/obs_playbooks_XXXXXX");
    assert_non_null(mkdtemp(x->dir));
  }
  open_playbooks(x);
  return x;
}

static inline void close_fixture(fixture *x) {
  char path[128];
  obs_playbooks_close(x->p);
  learn_close(&x->f);
  for (uint32_t i = 0; i < x->ntold; i++) cJSON_Delete(x->told[i]);
  if (x->dir[0] != '\0') {
    snprintf(path, sizeof(path), "%s/playbooks.jsonl", x->dir);
    (void)unlink(path);
    assert_int_equal(rmdir(x->dir), 0);
  }
  free(x);
}

static inline void cycle(fixture *x) {
  obs_playbooks_cycle(x->p, &go_on);
}

static inline void work(fixture *x, int n, const char *endpoint, int ms, bool ok) {
  for (int i = 0; i < n; i++)
    learn_record(&x->f,
                 "\"endpoint\":\"%s\",\"success\":%s,\"duration_ms\":%d,\"input_summary\":\"fill %d of %d\","
                 "\"output_summary\":\"done\",\"staffer_id\":\"ann\",\"task_class\":\"fill\"",
                 endpoint, ok ? "true" : "false", ms, i, n);
}

/* One op each of n sessions that never were before; asked: about the endpoint, before they act. */
static inline void sessions(fixture *x, int n, const char *endpoint, bool asked, bool ok) {
  char name[32];
  for (int i = 0; i < n; i++) {
    snprintf(name, sizeof(name), "s%u", ++x->sessions);
    if (asked) (void)obs_exposure_asked(x->f.exposure, obs_str_of(name), obs_str_of(endpoint), x->f.now);
    learn_record(&x->f,
                 "\"endpoint\":\"%s\",\"success\":%s,\"duration_ms\":10,\"input_summary\":\"fill %d of %d\","
                 "\"output_summary\":\"done\",\"staffer_id\":\"ann\",\"task_class\":\"fill\",\"session_id\":\"%s\"",
                 endpoint, ok ? "true" : "false", i, n, name);
  }
}

static inline cJSON *list(fixture *x, obs_playbooks_filter filter, uint32_t *total) {
  obs_buf text = {0};
  obs_page_end end;
  filter.page.full = true;
  if (filter.page.limit == 0) filter.page.limit = 1000;
  assert_int_equal(obs_playbooks_list_json(x->p, &filter, &text, &end), OBSERVER_E_OK);
  *total = (uint32_t)end.total;
  return learn_parse(&text);
}

/* The one entry that matches. */
static inline cJSON *only(fixture *x, obs_playbooks_filter filter) {
  uint32_t total;
  cJSON *all = list(x, filter, &total), *one;
  assert_int_equal(total, 1);
  one = cJSON_DetachItemFromArray(all, 0);
  cJSON_Delete(all);
  return one;
}

static inline uint32_t count(fixture *x, obs_playbooks_filter filter) {
  uint32_t total;
  cJSON_Delete(list(x, filter, &total));
  return total;
}

static inline void dont(fixture *x, uint64_t cluster, const char *endpoint, const char *class, const char *text,
                        uint64_t seq) {
  obs_loop_dont d = {.cluster = cluster,
                     .analysis = 7,
                     .text = {text, (uint32_t)strlen(text), 0},
                     .seqs = &seq,
                     .nseqs = seq > 0,
                     .time_ms = x->f.now};
  if (endpoint != NULL) d.endpoint = (obs_str){endpoint, (uint32_t)strlen(endpoint), 0};
  if (class != NULL) d.task_class = (obs_str){class, (uint32_t)strlen(class), 0};
  obs_playbooks_dont(x->p, &d);
}

#define DO .kind = OBS_STR("do")
#define DONT .kind = OBS_STR("dont")

#endif
