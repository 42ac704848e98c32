/* GET ops and summary, on the query thread. Ops come newest first: from the ring, then back through the journal. */
#include "base/clock.h"
#include "base/log.h"
#include "bridge/filter.h"
#include "bridge/handlers.h"

#include <inttypes.h>

enum { SCAN_BYTES = 64 << 20, PAGE_BYTES = 4 << 20 };

typedef struct {
  obs_filter filter;
  obs_clusters *clusters; /* NULL: no cluster is asked for */
  obs_batch *rows;        /* scratch, to decode one row at a time */
  obs_buf *out;
  uint32_t found;
  uint64_t last_seq; /* the oldest row looked at */
  bool full;         /* the page */
} search;

static void put_row(search *q, uint64_t seq, obs_str row) {
  obs_buf_printf(q->out, "%s{\"seq\":%" PRIu64 ",\"op\":", q->found > 0 ? "," : "", seq);
  obs_buf_append(q->out, row.p, row.len);
  obs_buf_putc(q->out, '}');
  q->found++;
}

/* Looks at one row; false when the page is full. A row of the ring and one of the journal look alike. */
static bool look(search *q, uint64_t seq, obs_str row) {
  while (row.len > 0 && (row.p[row.len - 1] == '\n' || row.p[row.len - 1] == '\r')) row.len--;
  q->last_seq = seq;
  if (!obs_filter_may_match(&q->filter, row)) return true;
  const char *reason;
  obs_batch_reset(q->rows);
  if (!obs_batch_decode_row(q->rows, row.p, row.len, &reason)) return true;
  const obs_op *op = &q->rows->ops[0];
  if (!obs_filter_match(&q->filter, op)) return true;
  if (q->clusters != NULL && obs_clusters_of(q->clusters, op) != q->filter.cluster) return true;
  put_row(q, seq, row);
  q->full = q->found == q->filter.limit || q->out->len >= PAGE_BYTES;
  return !q->full;
}

static bool on_ring_row(void *arg, uint64_t seq, obs_str line) {
  return look(arg, seq, line);
}

static bool on_journal_row(void *arg, uint64_t seq, const char *line, size_t len) {
  return look(arg, seq, (obs_str){line, (uint32_t)len, 0});
}

/* Sets *next to the seq below which to go on, 0 when all was seen. False when the disk failed. */
static bool search_run(search *q, const obs_bridge *b, uint64_t *next) {
  uint64_t before = q->filter.before_seq;
  uint64_t oldest = obs_state_ring_rows(b->opts.state, before, on_ring_row, q);
  *next = q->full && q->last_seq > 1 ? q->last_seq : 0;
  if (q->full || b->opts.journal == NULL) return true;
  if (oldest != 0 && (before == 0 || oldest < before)) before = oldest;
  if (before == 1) return true;
  obs_journal_range range = {before, q->filter.since_ms, q->filter.until_ms, SCAN_BYTES};
  bool more = false;
  uint64_t next_before = 0;
  observer_err err = obs_journal_scan(b->opts.journal, &range, on_journal_row, q, &more, &next_before);
  if (err != OBSERVER_E_OK) {
    obs_log_warn("bridge", "ops: reading the journal below seq %" PRIu64 ": %s", before, observer_strerror(err));
    return false;
  }
  if (q->full)
    *next = q->last_seq > 1 ? q->last_seq : 0;
  else if (more)
    *next = next_before;
  return true;
}

static void answer_ops(obs_connection *s, search *q) {
  uint64_t next;
  obs_buf_puts(&s->out, "{\"ops\":[");
  if (!search_run(q, s->bridge, &next)) {
    obs_answer_error(&s->answer, &s->out, 500, "ops: the journal could not be read");
    return;
  }
  bool complete = next == 0 || q->found == q->filter.limit;
  char cursor[OBS_CURSOR_LEN + 1];
  obs_cursor_format(next, cursor);
  obs_buf_puts(&s->out, "],\"next_cursor\":");
  obs_buf_printf(&s->out, next != 0 ? "\"%s\"" : "null", cursor);
  obs_buf_printf(&s->out, ",\"complete\":%s}", complete ? "true" : "false");
}

/* The id may be one that a cluster had before it was merged. False, with the error made: there are no clusters here. */
static bool find_cluster(obs_connection *s, search *q) {
  if (!q->filter.has_cluster) return true;
  q->clusters = s->bridge->opts.clusters;
  if (q->clusters == NULL)
    obs_answer_error(&s->answer, &s->out, 503, "clusters are not kept here");
  else
    q->filter.cluster = obs_clusters_now(q->clusters, q->filter.cluster);
  return q->clusters != NULL;
}

static void answer_if_clear(obs_connection *s, search *q) {
  if (find_cluster(s, q)) answer_ops(s, q);
}

void obs_work_ops(obs_connection *s, obs_batch *rows) {
  char error[160];
  obs_query query;
  search q = {.rows = rows, .out = &s->out};
  if (obs_query_parse(&query, s->request.query, error, sizeof error) &&
      obs_filter_parse(&q.filter, &query, error, sizeof error))
    answer_if_clear(s, &q);
  else
    obs_answer_error(&s->answer, &s->out, 400, "%s", error);
  obs_batch_reset(rows);
  obs_query_fini(&query);
}

static bool check_scope(const obs_query *query, char *error, size_t size) {
  for (size_t i = 0; i < query->count; i++) {
    obs_str name = query->params[i].name;
    bool is_scope = obs_str_eq(name, OBS_STR("scope"));
    if (is_scope && obs_str_eq(query->params[i].value, OBS_STR("instance"))) continue;
    if (is_scope)
      (void)snprintf(error, size, "scope: only `instance` is served");
    else
      (void)snprintf(error, size, "%.*s: unknown parameter", (int)(name.len < 64 ? name.len : 64), name.p);
    return false;
  }
  return true;
}

void obs_work_summary(obs_connection *s, obs_batch *rows) {
  (void)rows;
  char error[160];
  obs_query query;
  if (obs_query_parse(&query, s->request.query, error, sizeof error) && check_scope(&query, error, sizeof error))
    obs_state_summary_json(s->bridge->opts.state, obs_clock_wall_ms(), &s->out);
  else
    obs_answer_error(&s->answer, &s->out, 400, "%s", error);
  obs_query_fini(&query);
}
