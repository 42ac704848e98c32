/* GET ops and sessions, on the thread `obs:scan`: newest first, back through the files. */
#include "bridge/scan.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "bridge/internal.h"
#include "cluster/clusters.h"
#include "fleet/rows.h"
#include "sessions/sessions.h"
#include "timeline/keys.h"

#include <inttypes.h>

/* What one request reads at most; the next page goes on from there. */
enum { SCAN_BYTES = 64 << 20 };

void obs_bridge_put_end(obs_json_writer *w, const obs_page_end *end, bool walked) {
  char cursor[OBS_PARAMS_WALK_LEN + 1];
  if (end->more && walked)
    obs_params_walk_format(&end->walk, cursor);
  else if (end->more)
    obs_params_cursor_format(end->next, cursor);
  if (end->counted) obs_json_u64(w, "total", end->total);
  obs_json_cstr(w, "next_cursor", end->more ? cursor : NULL);
  obs_json_bool(w, "complete", end->complete);
  obs_json_end(w);
}

/* What a row of an edge's page begins with. */
static void put_place(obs_json_writer *w, int64_t at_ms, uint64_t number) {
  char from[OBS_PARAMS_CURSOR_LEN + 1];
  obs_params_cursor_format(number + 1, from);
  obs_fleet_rows_put_place(w, at_ms, from);
}

/* ---- which ops ---- */

static const obs_scan_filter all_ops = {
    .success = -1, .since_ms = INT64_MIN, .until_ms = INT64_MAX, .received_since_ms = INT64_MIN};
static const obs_param ops_params[] = {
    OBS_PARAM("source", BYTES, obs_scan_filter, text[OBS_F_source]),
    OBS_PARAM("endpoint", BYTES, obs_scan_filter, text[OBS_F_endpoint]),
    OBS_PARAM("staffer_id", BYTES, obs_scan_filter, text[OBS_F_staffer_id]),
    OBS_PARAM("sig_hash", BYTES, obs_scan_filter, text[OBS_F_sig_hash]),
    OBS_PARAM("key_id", BYTES, obs_scan_filter, text[OBS_F_key_id]),
    OBS_PARAM("event_kind", BYTES, obs_scan_filter, text[OBS_F_event_kind]),
    OBS_PARAM("task_class", BYTES, obs_scan_filter, text[OBS_F_task_class]),
    OBS_PARAM("session_id", BYTES, obs_scan_filter, text[OBS_F_session_id]),
    OBS_PARAM("op_id", BYTES, obs_scan_filter, text[OBS_F_op_id]),
    OBS_PARAM("seq", SEQS, obs_scan_filter, seqs),
    OBS_PARAM("success", EITHER, obs_scan_filter, success),
    OBS_PARAM("since", TIME, obs_scan_filter, since_ms),
    OBS_PARAM("until", TIME, obs_scan_filter, until_ms),
    OBS_PARAM("received_since", TIME, obs_scan_filter, received_since_ms),
    OBS_PARAM("q", BYTES, obs_scan_filter, q),
    OBS_PARAM("cluster", CLUSTER, obs_scan_filter, cluster),
    OBS_PARAM("limit", LIMIT, obs_scan_filter, page.limit),
    OBS_PARAM("cursor", NEXT_CURSOR, obs_scan_filter, page.before),
};
const obs_params obs_bridge_ops_params = OBS_PARAMS(ops_params, all_ops);

void obs_scan_prepare(obs_scan_filter *f) {
  for (size_t k = 0; k < OBS_F_COUNT; k++)
    if (f->text[k].p != NULL) f->needle[k] = obs_json_search_for(f->text[k]).needle;
  if (f->q.p != NULL) f->search = obs_json_search_for(f->q);
}

static bool contains(obs_str row, obs_str part) {
  return part.len == 0 || memmem(row.p, row.len, part.p, part.len) != NULL;
}

bool obs_scan_may_match(const obs_scan_filter *f, obs_str row) {
  for (size_t i = 0; i < OBS_F_COUNT; i++)
    if (!contains(row, f->needle[i])) return false;
  if (f->cluster.p != NULL && !contains(row, OBS_STR("false"))) return false;
  return f->q.p == NULL || obs_json_search_may(&f->search, row);
}

bool obs_scan_match(const obs_scan_filter *f, const obs_op *op, obs_str row, obs_buf *scratch) {
  if (op->event_ms < f->since_ms || op->event_ms > f->until_ms || op->received_ms < f->received_since_ms) return false;
  if (f->success >= 0 && op->success != (f->success > 0)) return false;
  for (size_t i = 0; i < OBS_F_COUNT; i++) {
    if (f->text[i].p == NULL) continue;
    if ((op->present & OBS_BIT(i)) == 0) return false;
    obs_str have;
    memcpy(&have, (const char *)op + obs_op_fields[i].offset, sizeof have);
    if (!obs_str_eq(have, f->text[i])) return false;
  }
  return f->q.p == NULL || obs_json_search_in(&f->search, row, scratch);
}

/* ---- the search: from the ring, then back through the journal ---- */

typedef struct {
  obs_scan_filter filter;
  obs_clusters *clusters; /* NULL: none are kept */
  uint64_t cluster;       /* that is asked for */
  obs_batch *rows;        /* scratch, to decode one row at a time */
  obs_buf scratch;        /* for a text without its escapes */
  obs_page_fill page;
  bool placed;       /* for a fleet's list */
  bool by_number;    /* asked for by seq or op_id: all that is known of each is told */
  uint64_t last_seq; /* the oldest row looked at; what is below it may match, too */
  bool full;         /* the page */

  /* Of the seqs asked for: the place of the highest that is not looked for yet, and which are recorded. */
  uint32_t at;
  bool there[OBS_PARAMS_SEQS];
} search;

/* Rows come newest first. */
static bool is_asked_for(search *q, uint64_t seq) {
  const obs_params_seqs *seqs = &q->filter.seqs;
  if (seqs->n == 0) return true;
  while (q->at < seqs->n && seqs->at[q->at] > seq) q->at++;
  if (q->at == seqs->n || seqs->at[q->at] != seq) return false;
  q->there[q->at++] = true;
  return true;
}

/* False: the page has no room for it. */
static bool put_row(search *q, uint64_t seq, const obs_op *op, obs_str row) {
  obs_json_writer *w = q->page.w;
  obs_page_begin_row(&q->page);
  obs_json_object(w, NULL);
  if (q->placed) put_place(w, op->received_ms, seq);
  obs_json_u64(w, "seq", seq);
  /* Who asks by receipt, for an op of its own or for a list that is in its order is told what the row does not say. */
  if (q->placed || q->by_number || q->filter.received_since_ms != INT64_MIN) {
    obs_json_time(w, "received", op->received_ms);
    if (op->late) obs_json_bool(w, "late", true);
  }
  uint64_t cluster = q->by_number && q->clusters != NULL ? obs_clusters_of(q->clusters, op) : 0;
  if (cluster != 0) obs_json_id(w, "cluster", cluster);
  obs_json_raw(w, "op", row);
  obs_json_end(w);
  return obs_page_end_row(&q->page);
}

/* Looks at one row; false when the page is full. A row of the ring and one of the journal look alike, but for the
 * receipt, which may have to be made up from the row's own time. */
static bool look(search *q, uint64_t seq, obs_str row, const obs_journal_row *times) {
  while (row.len > 0 && (row.p[row.len - 1] == '\n' || row.p[row.len - 1] == '\r')) row.len--;
  q->last_seq = seq;
  if (!is_asked_for(q, seq) || !obs_scan_may_match(&q->filter, row)) return true;
  const char *reason;
  obs_batch_reset(q->rows);
  if (!obs_batch_decode_row(q->rows, row.p, row.len, &reason)) return true;
  obs_op *op = &q->rows->ops[0];
  obs_op_set_times(op, obs_journal_received(times, op->time_ms), times->skew_ms);
  if (!obs_scan_match(&q->filter, op, row, &q->scratch)) return true;
  if (q->filter.cluster.p != NULL && obs_clusters_of(q->clusters, op) != q->cluster) return true;
  if (!put_row(q, seq, op, row)) { /* it is the next page's first one */
    q->last_seq = seq + 1;
    q->full = true;
    if (q->filter.seqs.n > 0) q->there[--q->at] = false;
  } else {
    q->full = q->page.rows == q->page.limit;
  }
  return !q->full;
}

static bool on_ring_row(void *arg, const obs_state_row *row) {
  const obs_journal_row times = {.received_ms = row->received_ms, .skew_ms = row->skew_ms};
  return look(arg, row->seq, row->line, &times);
}

static bool on_journal_row(void *arg, const obs_journal_row *row) {
  return look(arg, row->seq, (obs_str){row->line, (uint32_t)row->len, 0}, row);
}

/* The key of the journal's index that the filter names, the rarest kind first. False: it names none. */
static bool find_key(const obs_scan_filter *f, uint64_t *key) {
  static const struct {
    obs_op_field field;
    obs_timeline_field of;
  } keys[] = {{OBS_F_sig_hash, OBS_TIMELINE_sig_hash},
              {OBS_F_session_id, OBS_TIMELINE_session_id},
              {OBS_F_staffer_id, OBS_TIMELINE_staffer_id},
              {OBS_F_task_class, OBS_TIMELINE_task_class}};
  for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
    obs_str value = f->text[keys[i].field];
    if (value.p == NULL) continue;
    *key = obs_timeline_key(keys[i].of, value);
    return true;
  }
  return false;
}

/* The rows below `before` that may match. *next: the seq below which there are more of them; 0: all were read. */
static observer_err look_in_journal(search *q, obs_journal *j, uint64_t before, uint64_t *next) {
  obs_journal_range range = {.before_seq = before,
                             .since_ms = q->filter.since_ms,
                             .until_ms = q->filter.until_ms,
                             .max_bytes = SCAN_BYTES,
                             .received_since_ms = q->filter.received_since_ms};
  bool more = false;
  uint64_t stopped_at = 0, key;
  const obs_journal_lookup lookup = {.keys = &key,
                                     .nkeys = 1,
                                     .before_seq = before,
                                     .since_ms = range.since_ms,
                                     .until_ms = range.until_ms,
                                     .received_since_ms = range.received_since_ms,
                                     .max_bytes = SCAN_BYTES,
                                     .keys_of = obs_timeline_row_keys,
                                     .keys_of_arg = q->rows};
  observer_err err = find_key(&q->filter, &key) ? obs_journal_find(j, &lookup, on_journal_row, q, &more, &stopped_at)
                                                : obs_journal_scan(j, &range, on_journal_row, q, &more, &stopped_at);
  if (more) *next = stopped_at;
  return err;
}

/* The rows below `before` that are asked for by seq: the journal's index says which block has each of them. */
static observer_err look_up(search *q, obs_journal *j, uint64_t before) {
  const obs_params_seqs *seqs = &q->filter.seqs;
  observer_err err = OBSERVER_E_OK;
  while (q->at < seqs->n && before != 0 && seqs->at[q->at] >= before) q->at++;
  while (err == OBSERVER_E_OK && !q->full && q->at < seqs->n) {
    uint32_t at = q->at;
    obs_journal_range range = {
        .before_seq = seqs->at[at] + 1, .since_ms = INT64_MIN, .until_ms = INT64_MAX, .max_bytes = 1 /* one block */};
    bool more;
    uint64_t stopped_at;
    err = obs_journal_scan(j, &range, on_journal_row, q, &more, &stopped_at);
    if (q->at == at && !q->full) q->at++; /* nothing that old is kept */
  }
  return err;
}

/* Fills the page. False: answered with an error. */
static bool run(search *q, obs_connection *s, obs_page_end *end) {
  const obs_bridge_opts *o = &s->bridge->opts;
  uint64_t before = q->filter.page.before, next = 0;
  obs_scan_prepare(&q->filter);
  uint64_t oldest = obs_state_ring_rows(o->state, before, on_ring_row, q);
  if (oldest != 0 && (before == 0 || oldest < before)) before = oldest;
  bool by_seq = q->filter.seqs.n > 0;
  if (!q->full && o->journal != NULL && before != 1) {
    observer_err err = by_seq ? look_up(q, o->journal, before) : look_in_journal(q, o->journal, before, &next);
    if (err != OBSERVER_E_OK) {
      obs_log_warn("bridge", "ops: reading the journal below seq %" PRIu64 ": %s", before, observer_strerror(err));
      obs_answer_error(&s->http.answer, &s->http.out, 500, "ops: the journal could not be read");
      return false;
    }
  }
  if (q->full) next = q->last_seq > 1 && (!by_seq || q->at < q->filter.seqs.n) ? q->last_seq : 0;
  *end = (obs_page_end){.more = next != 0, .next = next, .complete = next == 0 || q->page.rows == q->page.limit};
  return true;
}

void obs_bridge_get_ops(obs_connection *s, const void *filter) {
  const obs_bridge_opts *o = &s->bridge->opts;
  obs_json_writer w = obs_json_write(&s->http.out);
  search q = {.filter = *(const obs_scan_filter *)filter, .clusters = o->clusters, .rows = obs_connection_batch(s)};
  if (q.rows == NULL) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
    return;
  }
  if (q.filter.cluster.p != NULL) {
    if (q.clusters == NULL) {
      obs_answer_error(&s->http.answer, &s->http.out, 503, "clusters are not kept here");
      return;
    }
    (void)obs_hex_parse(q.filter.cluster, &q.cluster);
    q.cluster = obs_clusters_now(q.clusters, q.cluster); /* it may have been merged since */
  }
  q.by_number = q.filter.seqs.n > 0 || q.filter.text[OBS_F_op_id].p != NULL;
  q.placed = s->own;
  obs_json_object(&w, NULL);
  obs_json_array(&w, "ops");
  q.page = obs_page_fill_begin(&q.filter.page, &w);
  obs_page_end end;
  bool ok = run(&q, s, &end);
  obs_buf_fini(&q.scratch);
  if (!ok) return;
  obs_json_end(&w);
  if (q.filter.seqs.n > 0) {
    uint64_t before = q.filter.page.before != 0 ? q.filter.page.before : UINT64_MAX;
    obs_json_array(&w, "missing"); /* of those that this page is about */
    for (uint32_t i = 0; i < (q.full ? q.at : q.filter.seqs.n); i++)
      if (!q.there[i] && q.filter.seqs.at[i] < before) obs_json_u64(&w, NULL, q.filter.seqs.at[i]);
    obs_json_end(&w);
  }
  obs_bridge_put_end(&w, &end, false);
}

void obs_bridge_get_op(obs_connection *s, const void *filter) {
  (void)filter;
  const obs_bridge_opts *o = &s->bridge->opts;
  obs_json_writer w = obs_json_write(&s->http.out);
  search q = {.filter = all_ops, .clusters = o->clusters, .rows = obs_connection_batch(s), .by_number = true};
  obs_state_counts counts;
  obs_page_end end;
  q.filter.page.limit = 1;
  q.page = obs_page_fill_begin(&q.filter.page, &w);
  q.filter.seqs.n = 1;
  q.filter.seqs.at[0] = s->id;
  if (q.rows == NULL) {
    obs_answer_no_memory(&s->http.answer, &s->http.out);
    return;
  }
  if (!run(&q, s, &end) || q.page.rows > 0) return;
  obs_state_get_counts(o->state, &counts);
  if (s->id > counts.last_seq)
    obs_answer_error(&s->http.answer, &s->http.out, 404, "no op %" PRIu64 ": the last one recorded is %" PRIu64, s->id,
                     counts.last_seq);
  else /* it is lost where older rows are there */
    obs_answer_error(&s->http.answer, &s->http.out, 404, "no op %" PRIu64 ": %s", s->id,
                     q.last_seq < s->id ? "its row is lost" : "it is no longer kept");
}

/* ---- session records ---- */

static const obs_sessions_filter all_sessions = {.grounded = -1, .since_ms = INT64_MIN, .until_ms = INT64_MAX};
static const obs_param sessions_params[] = {
    OBS_PARAM("kind", BYTES, obs_sessions_filter, kind),
    OBS_PARAM("model", BYTES, obs_sessions_filter, model),
    OBS_PARAM("provider", BYTES, obs_sessions_filter, provider),
    OBS_PARAM("final_verdict", BYTES, obs_sessions_filter, final_verdict),
    OBS_PARAM("grounded", EITHER, obs_sessions_filter, grounded),
    OBS_PARAM("since", TIME, obs_sessions_filter, since_ms),
    OBS_PARAM("until", TIME, obs_sessions_filter, until_ms),
    OBS_PARAM("limit", LIMIT, obs_sessions_filter, page.limit),
    OBS_PARAM("cursor", NEXT_CURSOR, obs_sessions_filter, page.before),
};
const obs_params obs_bridge_sessions_params = OBS_PARAMS(sessions_params, all_sessions);

void obs_bridge_get_sessions(obs_connection *s, const void *filter) {
  obs_page_end end;
  obs_sessions_filter f = *(const obs_sessions_filter *)filter;
  f.place = s->own ? put_place : NULL;
  obs_buf_puts(&s->http.out, "{\"sessions\":");
  if (obs_sessions_page(s->bridge->opts.sessions, &f, &s->http.out, &end) != OBSERVER_E_OK) {
    obs_answer_error(&s->http.answer, &s->http.out, 500, "sessions: the file could not be read");
    return;
  }
  obs_json_writer w = obs_json_write_members(&s->http.out);
  obs_bridge_put_end(&w, &end, false);
}
