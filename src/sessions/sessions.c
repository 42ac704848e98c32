/* The store: rows go to a journal beside the ops' one, which appends whole groups, repairs a torn end and finds rows
 * again. */
#include "sessions/internal.h"

#include "base/json.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* WINDOW: not less than a message can have records, so that a large one sent again is known. PENDING: most rows of one
 * group. BLOCK_BYTES: what a question reads at a time; SCAN_BYTES: at most. */
enum { WINDOW = 65536, PENDING = 65536, BLOCK_BYTES = 256 << 10, SCAN_BYTES = 64 << 20 };

/* ---- open and close ---- */

static bool take_row(void *arg, const obs_journal_row *given, int64_t *event_ms, const char **reason) {
  obs_sessions *s = arg;
  obs_session_record record;
  obs_str row = {given->line, (uint32_t)given->len, 0};
  if (!obs_session_parse(&s->reader, row, &record, reason)) return false;
  *event_ms = record.head.time_ms;
  obs_session_stats_add(&s->stats, &s->reader, &record);
  (void)obs_dedupe_add(s->dedupe, (obs_str){0}, row); /* the validator's logger may have written one twice */
  obs_dedupe_commit(s->dedupe);
  return true;
}

observer_err obs_sessions_open(const obs_sessions_opts *opts, obs_sessions **out, char *error_text, size_t error_size) {
  observer_err err = OBSERVER_E_NOMEM;
  error_text[0] = '\0';
  obs_sessions *s = calloc(1, sizeof(*s));
  if (s == NULL) goto fail;
  pthread_mutex_init(&s->lock, NULL); /* the default kind does not fail */
  err = obs_session_stats_init(&s->stats);
  if (err == OBSERVER_E_OK) err = obs_dedupe_open(WINDOW, PENDING, &s->dedupe);
  if (err != OBSERVER_E_OK) goto fail;
  if (opts->dir != NULL) {
    obs_journal_replayed replayed = {0};
    obs_journal_opts o = {.dir = opts->dir,
                          .name = opts->name != NULL ? opts->name : "coordinator_sessions.jsonl",
                          .fsync = opts->sync ? OBS_FSYNC_ALWAYS : OBS_FSYNC_NEVER,
                          .block_bytes = BLOCK_BYTES,
                          .beside = true};
    err = obs_journal_open(&o, &s->journal, error_text, error_size);
    if (err != OBSERVER_E_OK) goto fail;
    /* All of it, as counts and known rows are in no checkpoint: the file has a row a session, not an op. */
    err = obs_journal_replay(s->journal, 1, take_row, s, &replayed);
    if (err != OBSERVER_E_OK) snprintf(error_text, error_size, "%s", obs_journal_error(s->journal));
    if (err != OBSERVER_E_OK) goto fail;
    if (replayed.rows > 0 || replayed.bad_rows > 0)
      obs_log_info("sessions", "%s/%s: %" PRIu64 " records, %" PRIu64 " bad rows%s", o.dir, o.name, replayed.rows,
                   replayed.bad_rows, replayed.torn ? ", a torn last row cut off" : "");
  }
  *out = s;
  return OBSERVER_E_OK;
fail:
  if (error_text[0] == '\0') snprintf(error_text, error_size, "sessions: %s", observer_strerror(err));
  obs_sessions_close(s);
  return err;
}

void obs_sessions_close(obs_sessions *s) {
  if (s == NULL) return;
  obs_journal_close(s->journal);
  obs_dedupe_close(s->dedupe);
  obs_session_stats_fini(&s->stats);
  obs_session_reader_fini(&s->reader);
  for (uint32_t i = 0; i < s->kept; i++) free(s->ring[(s->first + i) % OBS_SESSIONS_RING].p);
  OBS_VEC_FINI(&s->iov);
  pthread_mutex_destroy(&s->lock);
  free(s);
}

/* ---- recording ---- */

static obs_str without_newline(obs_str row) {
  return (obs_str){row.p, row.len - 1, 0};
}

static void forget(obs_sessions *s) {
  s->rows = NULL;
  s->duplicate = NULL;
  s->nrows = s->fresh = 0;
}

observer_err obs_sessions_append(void *sessions, const obs_str *rows, uint32_t n, bool *duplicate,
                                 const obs_journal_group *ops) {
  obs_sessions *s = sessions;
  int64_t min_ms = INT64_MAX, max_ms = INT64_MIN;
  s->group_error = NULL;
  if (!OBS_VEC_RESERVE(&s->iov, n)) return OBSERVER_E_NOMEM;
  /* Marks the duplicates and lists the others. The row itself is what is looked up: a record has no id. */
  for (uint32_t i = 0; i < n; i++) {
    obs_session_record record;
    const char *reason;
    duplicate[i] = !obs_dedupe_add(s->dedupe, (obs_str){0}, without_newline(rows[i]));
    if (duplicate[i]) continue;
    s->iov.at[s->fresh++] = (struct iovec){(void *)(uintptr_t)rows[i].p, rows[i].len};
    int64_t ms = obs_session_parse(&s->reader, rows[i], &record, &reason) ? record.head.time_ms : 0;
    if (ms < min_ms) min_ms = ms;
    if (ms > max_ms) max_ms = ms;
  }
  s->rows = rows;
  s->duplicate = duplicate;
  s->nrows = n;
  if (s->journal == NULL || s->fresh == 0) return OBSERVER_E_OK;
  observer_err err = ops != NULL ? obs_journal_group_begin(ops, s->journal) : OBSERVER_E_OK;
  if (err != OBSERVER_E_OK) s->group_error = obs_journal_error(ops->journal);
  if (err == OBSERVER_E_OK) err = obs_journal_append(s->journal, s->iov.at, s->fresh, s->fresh, min_ms, max_ms);
  if (err == OBSERVER_E_OK) err = obs_journal_sync(s->journal);
  if (err == OBSERVER_E_OK) return err;
  obs_dedupe_rollback(s->dedupe);
  forget(s);
  return err;
}

void obs_sessions_rollback(void *sessions) {
  obs_sessions *s = sessions;
  obs_dedupe_rollback(s->dedupe);
  if (s->journal != NULL && s->fresh > 0) obs_journal_take_back(s->journal);
  forget(s);
}

/* With the lock. Without memory the row is not kept; its number stays its own. */
static void keep(obs_sessions *s, uint64_t number, obs_str row) {
  while (s->kept > 0 && (s->kept == OBS_SESSIONS_RING || s->kept_bytes + row.len > OBS_SESSIONS_RING_BYTES)) {
    obs_sessions_kept *oldest = &s->ring[s->first];
    s->kept_bytes -= oldest->len;
    free(oldest->p);
    s->first = (s->first + 1) % OBS_SESSIONS_RING;
    s->kept--;
  }
  char *copy = malloc(row.len);
  if (copy == NULL) return;
  memcpy(copy, row.p, row.len);
  s->ring[(s->first + s->kept++) % OBS_SESSIONS_RING] = (obs_sessions_kept){number, copy, row.len};
  s->kept_bytes += row.len;
}

void obs_sessions_commit(void *sessions) {
  obs_sessions *s = sessions;
  obs_dedupe_commit(s->dedupe);
  if (s->journal != NULL && s->fresh > 0) obs_journal_keep(s->journal);
  for (uint32_t i = 0; i < s->nrows; i++) {
    obs_session_record record;
    const char *reason;
    obs_str row = without_newline(s->rows[i]);
    if (s->duplicate[i] || !obs_session_parse(&s->reader, row, &record, &reason)) continue;
    pthread_mutex_lock(&s->lock);
    obs_session_stats_add(&s->stats, &s->reader, &record);
    if (s->journal == NULL) keep(s, s->stats.total, row);
    pthread_mutex_unlock(&s->lock);
  }
  forget(s);
}

observer_err obs_sessions_probe(void *sessions, uint64_t bytes) {
  obs_sessions *s = sessions;
  return s->journal == NULL ? OBSERVER_E_OK : obs_journal_probe(s->journal, bytes);
}

static observer_err check(void *sessions) {
  obs_sessions *s = sessions;
  return s->journal == NULL ? OBSERVER_E_OK : obs_journal_check(s->journal);
}

const char *obs_sessions_error(const void *sessions) {
  const obs_sessions *s = sessions;
  if (s->group_error != NULL) return s->group_error;
  const char *text = s->journal == NULL ? "" : obs_journal_error(s->journal);
  return text[0] != '\0' ? text : observer_strerror(OBSERVER_E_NOMEM);
}

obs_record_kind obs_sessions_kind(obs_sessions *s) {
  static const obs_record_sink sink = {
      obs_sessions_append, obs_sessions_commit, obs_sessions_rollback, obs_sessions_probe, check, obs_sessions_error};
  return (obs_record_kind){.name = "session",
                           .schema = OBSERVER_SESSION_SCHEMA,
                           .topic = OBSERVER_SESSION_TOPIC,
                           .normalise = obs_session_normalise,
                           .write = &sink,
                           .sink = s};
}

/* ---- views: pages of rows, newest first, and the statistics ---- */

typedef struct {
  const obs_sessions_filter *filter;
  obs_session_reader reader;
  obs_page_fill page;
  uint64_t last; /* what is below it may match, too */
  bool full;     /* the page */
} search;

static bool matches(const obs_sessions_filter *f, const obs_session_record *r) {
#define GROUP_DIFFERS(name, key)                                                                                       \
  if (f->name.p != NULL && !(OBS_SESSION_HAS(r, name) && obs_str_eq(f->name, r->name))) return false;
  OBS_SESSION_GROUPS(GROUP_DIFFERS)
#undef GROUP_DIFFERS
  if (f->grounded >= 0 && (!OBS_SESSION_HAS(r, grounded_in_roster) || r->grounded_in_roster != (f->grounded != 0))) {
    return false;
  }
  return r->head.time_ms >= f->since_ms && r->head.time_ms <= f->until_ms;
}

/* Looks at one row; false when the page is full. */
static bool look(void *arg, uint64_t number, const char *line, size_t len) {
  search *q = arg;
  obs_session_record record;
  const char *reason;
  obs_str row = {line, (uint32_t)len, 0};
  q->last = number;
  while (row.len > 0 && row.p[row.len - 1] == '\r') row.len--;
  if (!obs_session_parse(&q->reader, row, &record, &reason) || !matches(q->filter, &record)) return true;
  obs_page_begin_row(&q->page);
  obs_json_object(q->page.w, NULL);
  if (q->filter->place != NULL) q->filter->place(q->page.w, record.head.time_ms, number);
  obs_json_u64(q->page.w, "number", number);
  obs_json_raw(q->page.w, "session", row);
  obs_json_end(q->page.w);
  bool fits = obs_page_end_row(&q->page);
  if (!fits) q->last = number + 1; /* it is the next page's first one */
  q->full = !fits || q->page.rows == q->page.limit;
  return !q->full;
}

static bool look_at_row(void *arg, const obs_journal_row *row) {
  return look(arg, row->seq, row->line, row->len);
}

observer_err obs_sessions_page(obs_sessions *s, const obs_sessions_filter *filter, obs_buf *out, obs_page_end *end) {
  obs_json_writer w = obs_json_write(out);
  search q = {.filter = filter};
  observer_err err = OBSERVER_E_OK;
  uint64_t next = 0;
  obs_json_array(&w, NULL);
  q.page = obs_page_fill_begin(&filter->page, &w);
  if (s->journal == NULL) {
    /* Under the lock: at most OBS_SESSIONS_RING_BYTES are looked at. */
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = s->kept; i-- > 0;) {
      const obs_sessions_kept *row = &s->ring[(s->first + i) % OBS_SESSIONS_RING];
      if (filter->page.before != 0 && row->number >= filter->page.before) continue;
      if (look(&q, row->number, row->p, row->len)) continue;
      if (i == 0 && q.last == row->number) q.last = 1; /* nothing older is kept */
      break;
    }
    pthread_mutex_unlock(&s->lock);
  } else if (filter->page.before != 1) { /* nothing is before the first */
    obs_journal_range range = {.before_seq = filter->page.before,
                               .since_ms = filter->since_ms,
                               .until_ms = filter->until_ms,
                               .max_bytes = SCAN_BYTES};
    bool more = false;
    uint64_t below = 0;
    err = obs_journal_scan(s->journal, &range, look_at_row, &q, &more, &below);
    if (err != OBSERVER_E_OK)
      obs_log_warn("sessions", "reading below record %" PRIu64 ": %s", filter->page.before, observer_strerror(err));
    if (more && !q.full) next = below; /* SCAN_BYTES were read: the caller asks again */
  }
  obs_json_end(&w);
  if (q.full) next = q.last > 1 ? q.last : 0;
  *end = (obs_page_end){.more = next != 0, .next = next, .complete = next == 0 || q.page.rows == q.page.limit};
  obs_session_reader_fini(&q.reader);
  return err;
}

void obs_sessions_stats_json(obs_sessions *s, obs_buf *out) {
  pthread_mutex_lock(&s->lock);
  obs_session_stats_json(&s->stats, out);
  pthread_mutex_unlock(&s->lock);
}

uint64_t obs_sessions_total(obs_sessions *s) {
  if (s == NULL) return 0;
  pthread_mutex_lock(&s->lock);
  uint64_t total = s->stats.total;
  pthread_mutex_unlock(&s->lock);
  return total;
}
