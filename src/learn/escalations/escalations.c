#include "learn/escalations/escalations.h"

#include "base/clock.h"
#include "base/log.h"
#include "learn/escalations/internal.h"
#include "learn/member.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

/* CLUSTERS: whose last escalation is known. */
enum {
  CLUSTERS = 8192,
  TIMEOUT_MS = 180000,
  FAILURES = 3,
  WINDOW_S = 600,
  PER_HOUR = 12,
  HOUR_MS = 3600000,
  KEY_SEED = 0x657363
};

/* ---- open and close ---- */

static void set_default(uint32_t *value, uint32_t usual) {
  if (*value == 0) *value = usual;
}

static void set_defaults(obs_escalations_opts *o) {
  set_default(&o->timeout_ms, TIMEOUT_MS);
  set_default(&o->failures, FAILURES);
  set_default(&o->window_s, WINDOW_S);
  set_default(&o->per_hour, PER_HOUR);
}

observer_err obs_escalations_open(const obs_escalations_opts *opts, obs_escalations **out, char *error_text,
                                  size_t size) {
  obs_escalations *e = calloc(1, sizeof(*e));
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  if (e != NULL) {
    e->opts = *opts;
    set_defaults(&e->opts);
    e->table = OBS_CLUSTER_MEMORY(obs_escalation_entry, CLUSTERS);
    e->times = calloc(e->opts.per_hour, sizeof(*e->times));
  }
  if (e == NULL || e->times == NULL) {
    (void)snprintf(error_text, size, "escalations: %s", observer_strerror(err));
    obs_escalations_close(e);
    return err;
  }
  obs_records_opts records = {.dir = opts->dir,
                              .name = "escalations.jsonl",
                              .fold = obs_escalations_fold,
                              .carry = obs_escalations_carry,
                              .arg = e};
  err = obs_records_open(&records, &e->records, error_text, size);
  if (err == OBSERVER_E_OK)
    *out = e;
  else
    obs_escalations_close(e);
  return err;
}

void obs_escalations_close(obs_escalations *e) {
  if (e == NULL) return;
  obs_records_close(e->records);
  obs_cluster_memory_fini(&e->table);
  free(e->times);
  obs_cluster_memory_marks_fini(&e->marks);
  free(e);
}

void obs_escalations_remember(obs_escalations *e, uint64_t cluster, const obs_escalation_entry *entry) {
  e->times[e->ntimes++ % e->opts.per_hour] = entry->time_ms;
  obs_escalation_entry *there = obs_cluster_memory_put(&e->table, cluster, entry->head.number);
  if (there == NULL) return; /* the ledger still knows the question */
  there->last_seq = entry->last_seq;
  there->episode = entry->episode;
  there->time_ms = entry->time_ms;
}

/* ---- what is due ---- */

static void join(void *into, const void *former) {
  obs_escalation_entry *e = into;
  const obs_escalation_entry *f = former;
  if (f->time_ms > e->time_ms) e->time_ms = f->time_ms;
  if (f->last_seq > e->last_seq) e->last_seq = f->last_seq;
  if (f->episode > e->episode) e->episode = f->episode;
}

static obs_escalation_reason reason_of(const obs_escalations *e, const obs_cluster_mark *m, uint64_t *analysis) {
  obs_analysis_mark last;
  *analysis = 0;
  if (!obs_analyses_last(e->opts.analyses, m->id, &last)) return OBS_ESCALATION_UNANALYSED;
  *analysis = last.number;
  if (!last.grounded) return OBS_ESCALATION_UNGROUNDED;
  if (!last.settled) return OBS_ESCALATION_UNSETTLED;
  bool continues = m->count >= last.settled_at && m->count - last.settled_at >= e->opts.failures;
  return continues ? OBS_ESCALATION_CONTINUES : OBS_ESCALATION_NONE;
}

/* A cluster that the table forgot and met again begins anew. */
static bool was_escalated(const obs_escalation_entry *entry, const obs_cluster_mark *m) {
  return entry != NULL && m->episode <= entry->episode && m->first_seq <= entry->last_seq;
}

static uint64_t key_of(const obs_escalation_entry *entry, const obs_cluster_mark *m) {
  const uint64_t parts[] = {m->id, m->episode, entry != NULL ? entry->last_seq : 0};
  uint64_t key = XXH64(parts, sizeof(parts), KEY_SEED);
  return key != 0 ? key : 1;
}

/* Whether it is due but for cooldown and limits. */
static bool is_due(const obs_escalations *e, const obs_cluster_mark *m, int64_t now_ms, obs_escalation *x) {
  const obs_escalation_entry *entry = obs_cluster_memory_find(&e->table, m->id);
  *x = (obs_escalation){.mark = *m, .time_ms = now_ms, .key = key_of(entry, m)};
  if (m->state == OBS_CLUSTER_RESOLVED || m->count < e->opts.failures || was_escalated(entry, m)) return false;
  x->reason = reason_of(e, m, &x->analysis);
  if (x->reason == OBS_ESCALATION_NONE) return false;
  x->recent = obs_clusters_within(e->opts.clusters, m->id, (uint64_t)e->opts.window_s * 1000, now_ms);
  return x->recent >= e->opts.failures;
}

static bool is_cooling(const obs_escalations *e, uint64_t cluster, int64_t now_ms) {
  const obs_escalation_entry *entry = obs_cluster_memory_find(&e->table, cluster);
  return entry != NULL && now_ms - entry->time_ms < (int64_t)e->opts.cooldown_s * 1000;
}

/* How many more there may be this hour. */
static uint32_t left_of_hour(const obs_escalations *e, int64_t now_ms) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < e->opts.per_hour && i < e->ntimes; i++)
    if (now_ms - e->times[i] < HOUR_MS) n++;
  return e->opts.per_hour - n;
}

static int by_failures(const void *x, const void *y) {
  const obs_escalation *a = x, *b = y;
  if (a->recent != b->recent) return a->recent > b->recent ? -1 : 1;
  if (a->mark.count != b->mark.count) return a->mark.count > b->mark.count ? -1 : 1;
  return (a->mark.id > b->mark.id) - (a->mark.id < b->mark.id);
}

/* ---- one escalation ---- */

/* How the call ended, as the row tells it. False: nothing left this machine, it comes later. */
static bool call_team(const obs_escalations *e, obs_escalation *x, const obs_buf *body) {
  obs_buf url = {0};
  obs_gateway_url(&url, e->opts.team_url, "/api/run");
  obs_call call = {.service = OBS_SERVICE_TEAM,
                   .purpose = "escalation",
                   .url = url.p,
                   .body = {body->p, (uint32_t)body->len, 0},
                   .timeout_ms = e->opts.timeout_ms,
                   .key = x->key};
  bool ok = !url.oom && obs_calls_post(e->opts.calls, &call, &x->answer);
  bool made = !url.oom && (x->answer.end < OBS_CALL_BREAKER || x->answer.end == OBS_CALL_ASKED);
  obs_buf_fini(&url);
  if (!made || x->answer.end == OBS_CALL_STOPPED) return false;
  x->sent = true;
  if (!ok) x->error = x->answer.end == OBS_CALL_ASKED ? "interrupted" : x->answer.error;
  return true;
}

static bool record(obs_escalations *e, const obs_escalation *x) {
  obs_buf members = {0};
  obs_escalation_entry entry = {.last_seq = x->mark.last_seq, .episode = x->mark.episode, .time_ms = x->time_ms};
  obs_escalation_put_row(e, x, &members);
  bool ok = !members.oom && obs_records_append(e->records, &members, &entry.head.number) == OBSERVER_E_OK;
  if (ok) {
    obs_escalations_remember(e, x->mark.id, &entry);
    obs_announce_row(&e->opts.announce, "alert.escalation", entry.head.number, obs_buf_view(&members));
    obs_log_warn("learn", "cluster %016" PRIx64 " is escalated (%s): %" PRIu64 " failures, %s", x->mark.id,
                 obs_escalation_reasons[x->reason], x->recent,
                 !x->sent           ? "no team is configured"
                 : x->error != NULL ? x->error
                                    : "the team has answered");
  }
  obs_buf_fini(&members);
  return ok;
}

static bool escalate(obs_escalations *e, obs_escalation *x) {
  obs_buf body = {0};
  bool ok = true;
  if (e->opts.team_url != NULL) ok = obs_escalation_pack(e, x, &body) && call_team(e, x, &body);
  if (ok) ok = record(e, x);
  obs_call_answer_fini(&x->answer);
  obs_buf_fini(&body);
  return ok;
}

/* ---- the cycle ---- */

static void escalate_some(obs_escalations *e, obs_escalation *list, uint32_t n, const _Atomic bool *stop) {
  int64_t now_ms = obs_clock_wall_ms();
  uint32_t left = left_of_hour(e, now_ms);
  uint64_t held = 0;
  if (left > OBS_ESCALATIONS_EACH) left = OBS_ESCALATIONS_EACH;
  for (uint32_t i = 0; i < n && !atomic_load(stop); i++) {
    if (left == 0 || is_cooling(e, list[i].mark.id, now_ms)) {
      held++;
    } else if (escalate(e, &list[i])) {
      left--;
    } else {
      left = 0; /* what held this one holds the others too */
      held++;
    }
  }
  atomic_store(&e->held, held);
}

void obs_escalations_cycle(obs_escalations *e, const _Atomic bool *stop) {
  int64_t now_ms = obs_clock_wall_ms();
  uint32_t n = 0;
  obs_cluster_memory_follow(&e->table, e->opts.clusters, join, NULL);
  obs_escalation *list =
      obs_cluster_memory_marks_take(&e->marks, e->opts.clusters) ? calloc((size_t)e->marks.n + 1, sizeof(*list)) : NULL;
  if (list == NULL) {
    obs_log_error("learn", "escalations wait for the next cycle: %s", observer_strerror(OBSERVER_E_NOMEM));
    return;
  }
  for (uint32_t i = 0; i < e->marks.n; i++)
    if (is_due(e, &e->marks.list[i], now_ms, &list[n])) n++;
  qsort(list, n, sizeof(*list), by_failures);
  escalate_some(e, list, n, stop);
  free(list);
}

uint64_t obs_escalations_held(const obs_escalations *e) {
  return atomic_load(&e->held);
}

/* ---- the loop ---- */

static observer_err open_loop(obs_loop_tools *tools, void **loop, char *error_text, size_t size) {
  obs_escalations *e = NULL;
  const obs_learn_opts *o = tools->opts;
  obs_escalations_opts opts = {.dir = o->dir,
                               .clusters = o->clusters,
                               .analyses = obs_learn_loop(tools->learn, &obs_analyses_loop),
                               .evidence = tools->evidence,
                               .calls = tools->calls,
                               .team_url = o->team_url,
                               .failures = o->escalate_failures,
                               .window_s = o->escalate_window_s,
                               .cooldown_s = o->escalate_cooldown_s,
                               .per_hour = o->escalate_per_hour,
                               .announce = o->announce};
  observer_err err = obs_escalations_open(&opts, &e, error_text, size);
  *loop = e;
  return err;
}

static void run_loop(void *loop, const obs_loop_turn *turn) {
  obs_escalations_cycle(loop, turn->stop);
}

static observer_err put_page(void *loop, const void *filter, obs_buf *out, obs_loop_end *end) {
  return obs_escalations_page(loop, filter, out, &end->next);
}

static void describe(void *loop, obs_buf *out) {
  obs_buf_printf(out, ",\"escalations_held_back\":%" PRIu64, obs_escalations_held(loop));
}

static void close_loop(void *loop) {
  obs_escalations_close(loop);
}

const obs_loop obs_escalations_loop = {.name = "escalations",
                                       .thread = "obs:escalate",
                                       .open = open_loop,
                                       .cycle = run_loop,
                                       .close = close_loop,
                                       .page = put_page,
                                       .describe = describe};
