#include "journal/reading.h"

#include "base/clock.h"
#include "jsonl/file.h"
#include "jsonl/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void obs_journal_reading_begin(obs_journal_reading *r, obs_journal *j) {
  *r = (obs_journal_reading){.j = j, .fd = -1, .now_ms = obs_clock_receipt_ms()};
  r->times.fd = -1;
}

void obs_journal_reading_end(obs_journal_reading *r) {
  if (r->fd >= 0) (void)close(r->fd); /* read only */
  obs_times_reader_close(&r->times);
  obs_buf_fini(&r->bytes);
  OBS_VEC_FINI(&r->rows);
  OBS_VEC_FINI(&r->bad);
}

bool obs_journal_reading_bad(obs_journal_reading *r, const obs_index *x) {
  r->bad.n = 0;
  for (size_t n = obs_index_bad_before(x, r->offset); n < x->bad.n && x->bad.at[n].from < r->offset + r->len; n++) {
    obs_index_span *bad = OBS_VEC_PUSH(&r->bad);
    if (bad == NULL) return false;
    *bad = x->bad.at[n];
  }
  return true;
}

observer_err obs_journal_reading_open(obs_journal_reading *r) {
  obs_journal_file_name name;
  if (r->fd_segment != r->segment) {
    if (r->fd >= 0) (void)close(r->fd); /* read only */
    obs_journal_rotated_name(r->j, r->segment, name);
    r->fd = openat(r->j->dir_fd, name, O_RDONLY | O_CLOEXEC);
    r->fd_segment = r->fd < 0 ? 0 : r->segment;
    if (r->fd < 0) return obs_file_err(errno);
  }
  if (r->times_segment == r->segment) return OBSERVER_E_OK;
  obs_times_reader_close(&r->times);
  obs_journal_times_name(r->j, r->segment, name);
  obs_times_open(&r->times, r->j->dir_fd, name, r->fd, r->segment);
  r->times_segment = r->segment;
  return OBSERVER_E_OK;
}

int64_t obs_journal_reading_received(obs_journal_reading *r, uint64_t seq, int64_t *skew_ms) {
  *skew_ms = 0;
  int64_t ms = r->times.fd >= 0 ? obs_times_of(&r->times, seq, skew_ms) : INT64_MIN;
  return ms > r->now_ms ? INT64_MIN : ms;
}

observer_err obs_journal_reading_take(obs_journal_reading *r) {
  r->bytes.len = 0;
  r->rows.n = 0;
  if (!obs_buf_reserve(&r->bytes, r->len)) return OBSERVER_E_NOMEM;
  ssize_t n = obs_file_read_at(r->fd, r->bytes.p, r->len, r->offset);
  if (n < 0) return OBSERVER_E_IO;
  r->bytes.len = (size_t)n;
  r->read += (uint64_t)n;
  obs_times_seek(&r->times, r->first_seq);
  const char *p = r->bytes.p;
  size_t bad = 0;
  for (size_t at = 0; at < r->bytes.len;) {
    const char *nl = memchr(p + at, '\n', r->bytes.len - at);
    size_t len = nl == NULL ? r->bytes.len - at : (size_t)(nl - (p + at));
    uint64_t offset = r->offset + at;
    while (bad < r->bad.n && r->bad.at[bad].to <= offset) bad++;
    bool is_bad = bad < r->bad.n && r->bad.at[bad].from <= offset;
    if (!is_bad && !obs_line_blank(p + at, len)) {
      obs_journal_row_place *row = OBS_VEC_PUSH(&r->rows);
      if (row == NULL) return OBSERVER_E_NOMEM;
      *row = (obs_journal_row_place){.at = at, .len = len, .floor_ms = r->floor_ms};
      row->received_ms = obs_journal_reading_received(r, r->first_seq + r->rows.n - 1, &row->skew_ms);
      if (row->received_ms > r->floor_ms) r->floor_ms = row->received_ms;
    }
    at += len + 1;
  }
  return OBSERVER_E_OK;
}

obs_journal_row obs_journal_reading_row(const obs_journal_reading *r, uint32_t i) {
  const obs_journal_row_place *at = &r->rows.at[i];
  return (obs_journal_row){r->first_seq + i, r->bytes.p + at->at, at->len,    at->received_ms,
                           at->skew_ms,      at->floor_ms,        r->mtime_ms};
}
