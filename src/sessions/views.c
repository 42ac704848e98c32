/* What is asked: pages of rows, newest first, and the statistics. Any thread. */
#include "sessions/internal.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>

enum { SCAN_BYTES = 64 << 20, PAGE_BYTES = 4 << 20 };

typedef struct {
  const obs_sessions_filter *filter;
  obs_batch scratch;
  obs_buf *out;
  uint32_t found;
  uint64_t last; /* the row looked at last */
  bool full;     /* the page */
} search;

static bool same(obs_str want, bool has, obs_str have) {
  return want.p == NULL || (has && obs_str_eq(want, have));
}

static bool matches(const obs_sessions_filter *f, const obs_session_record *r) {
#define GROUP_DIFFERS(name, key)                                                                                       \
  if (!same(f->name, OBS_SESSION_HAS(r, name), r->name)) return false;
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
  if (!obs_session_parse(&q->scratch, row, &record, &reason) || !matches(q->filter, &record)) return true;
  obs_buf_printf(q->out, "%s{\"number\":%" PRIu64 ",\"session\":", q->found > 0 ? "," : "", number);
  obs_buf_append(q->out, row.p, row.len);
  obs_buf_putc(q->out, '}');
  q->found++;
  q->full = q->found == q->filter->limit || q->out->len >= PAGE_BYTES;
  return !q->full;
}

/* Under the lock: at most OBS_SESSIONS_RING_BYTES are looked at. */
static void look_through_ring(obs_sessions *s, search *q) {
  pthread_mutex_lock(&s->lock);
  for (uint32_t i = s->kept; i-- > 0;) {
    const obs_sessions_kept *row = &s->ring[(s->first + i) % OBS_SESSIONS_RING];
    if (q->filter->before != 0 && row->number >= q->filter->before) continue;
    if (look(q, row->number, row->p, row->len)) continue;
    if (i == 0) q->last = 1; /* nothing older is kept */
    break;
  }
  pthread_mutex_unlock(&s->lock);
}

static observer_err look_through_file(obs_sessions *s, search *q, uint64_t *next) {
  const obs_sessions_filter *f = q->filter;
  obs_journal_range range = {f->before, f->since_ms, f->until_ms, SCAN_BYTES};
  bool more = false;
  uint64_t below = 0;
  observer_err err = obs_journal_scan(s->journal, &range, look, q, &more, &below);
  if (err != OBSERVER_E_OK) {
    obs_log_warn("sessions", "reading below record %" PRIu64 ": %s", f->before, observer_strerror(err));
  }
  *next = more && !q->full ? below : 0;
  return err;
}

observer_err obs_sessions_page(obs_sessions *s, const obs_sessions_filter *filter, obs_buf *out, uint64_t *next,
                               bool *complete) {
  search q = {.filter = filter, .out = out};
  observer_err err = obs_batch_init(&q.scratch);
  if (err != OBSERVER_E_OK) return err;
  *next = 0;
  obs_buf_putc(out, '[');
  if (s->journal == NULL)
    look_through_ring(s, &q);
  else if (filter->before != 1)
    err = look_through_file(s, &q, next);
  obs_buf_putc(out, ']');
  if (q.full) *next = q.last > 1 ? q.last : 0;
  *complete = *next == 0 || q.found == filter->limit;
  obs_batch_fini(&q.scratch);
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
