#include "observerctl/ask/history.h"

#include "base/clock.h"
#include "observerctl/ask/http.h"
#include "observerctl/ask/page.h"

#include <stdio.h>

enum { PAGE_ROWS = 1000, TIMEOUT_MS = 10000, SEARCH_MS = 5000 };

typedef struct {
  obs_history *h;
  uint64_t after_seq;
  size_t limit;
  char cursor[OBS_PAGE_CURSOR]; /* of the next page; "": there is none */
  bool done;
} search;

static bool on_row(void *arg, uint64_t seq, const char *text, size_t len) {
  search *q = arg;
  obs_history *h = q->h;
  if (seq > q->after_seq) {
    obs_history_row row = {seq, h->text.len, len};
    obs_buf_append(&h->text, text, len);
    obs_buf_append(&h->rows, &row, sizeof(row));
    h->nrows++;
  }
  q->done = seq <= q->after_seq || h->nrows == q->limit;
  return !q->done;
}

static bool get_page(obs_history *h, search *q, const char *url, const obs_match *match, char *error, size_t size) {
  char limit[24];
  obs_buf path = {0};
  obs_http_answer answer;
  size_t want = q->limit - h->nrows;
  snprintf(limit, sizeof(limit), "%zu", want < PAGE_ROWS ? want : (size_t)PAGE_ROWS);
  obs_buf_puts(&path, "/v1/observer/ops");
  obs_http_param(&path, "limit", limit);
  obs_match_path(match, &path);
  if (q->cursor[0] != '\0') obs_http_param(&path, "cursor", q->cursor);
  obs_buf_putc(&path, '\0');
  bool ok = !path.oom && obs_http_get(url, path.p, TIMEOUT_MS, &answer);
  if (!ok)
    snprintf(error, size, "%s", path.oom ? "out of memory" : answer.error);
  else if (!obs_page_read(&answer.body, on_row, q, q->cursor) || h->text.oom || h->rows.oom) {
    snprintf(error, size, "%s/v1/observer/ops: the answer is not understood", url);
    ok = false;
  }
  if (!path.oom) obs_http_answer_fini(&answer);
  obs_buf_fini(&path);
  return ok;
}

bool obs_history_read(obs_history *h, const char *url, const obs_match *match, uint64_t after_seq, size_t limit,
                      char *error, size_t size) {
  *h = (obs_history){0};
  search q = {.h = h, .after_seq = after_seq, .limit = limit, .done = limit == 0};
  uint64_t end = obs_clock_mono_ms() + SEARCH_MS;
  while (!q.done) {
    if (!get_page(h, &q, url, match, error, size)) return false;
    h->more = q.done ? h->nrows == limit : q.cursor[0] != '\0';
    q.done = q.done || q.cursor[0] == '\0' || obs_clock_mono_ms() > end;
  }
  return true;
}

void obs_history_fini(obs_history *h) {
  obs_buf_fini(&h->text);
  obs_buf_fini(&h->rows);
}
