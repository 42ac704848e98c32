/* rejected.jsonl: what was refused at the door, with its bytes, so that it can be replayed after a fix.
 *
 * Version 1, one object a line:
 *   {"time":"<ISO 8601>","transport":"pull","reason":"...","index":0,"size":123,"truncated":false,"bytes":"<base64>"}
 * `size` is of the whole thing, `bytes` has at most REJECTED_BYTES of it. Best effort, not synced. */
#include "base/base64.h"
#include "base/json.h"
#include "base/log.h"
#include "journal/internal.h"

#include <errno.h>
#include <inttypes.h>

enum { REJECTED_BYTES = 64 << 10 };

static void put_row(obs_buf *out, int64_t now_ms, const char *transport, const char *reason, uint32_t index,
                    const void *bytes, size_t len, size_t kept) {
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_time(&w, "time", now_ms);
  obs_json_cstr(&w, "transport", transport);
  obs_json_cstr(&w, "reason", reason);
  obs_json_u64(&w, "index", index);
  obs_json_u64(&w, "size", len);
  obs_json_bool(&w, "truncated", kept < len);
  obs_buf_puts(out, ",\"bytes\":\"");
  obs_base64_encode(out, bytes, kept);
  obs_buf_putc(out, '"');
  obs_json_end(&w);
  obs_buf_putc(out, '\n');
}

void obs_journal_rejects_add(obs_journal_rejects *r, int64_t now_ms, const char *transport, const char *reason,
                             uint32_t index, const void *bytes, size_t len) {
  size_t before = r->rows.len, kept = len < REJECTED_BYTES ? len : REJECTED_BYTES;
  r->count++;
  if (before + kept / 3 * 4 <= OBS_JOURNAL_REJECTS_MAX)
    put_row(&r->rows, now_ms, transport, reason, index, bytes, len, kept);
  if (r->rows.len > before && !r->rows.oom) return;
  r->rows.oom = false;
  r->rows.len = before;
  r->dropped++;
}

void obs_journal_rejects_fini(obs_journal_rejects *r) {
  obs_buf_fini(&r->rows);
  *r = (obs_journal_rejects){0};
}

static bool append(obs_journal *j, const obs_buf *rows) {
  if (j->rejected.fd < 0 && !obs_jsonl_log_open(&j->rejected, j->dir_fd, OBS_JOURNAL_REJECTED, false)) return false;
  return obs_jsonl_log_append(&j->rejected, rows);
}

void obs_journal_write_rejects(obs_journal *j, obs_journal_rejects *r) {
  if (r->count == 0) return;
  uint64_t written = r->count - r->dropped, failed = 0;
  if (r->dropped > 0)
    obs_log_warn("journal", "%s/%s: the message has %" PRIu64 " rejected ops too many to keep", j->dir,
                 OBS_JOURNAL_REJECTED, r->dropped);
  if (written > 0 && !append(j, &r->rows)) {
    obs_log_warn("journal", "write %s/%s: %s (rejected payloads not kept: %" PRIu64 ")", j->dir, OBS_JOURNAL_REJECTED,
                 strerror(errno), written);
    failed = written;
  }
  pthread_mutex_lock(&j->lock);
  j->counts.rejected += written - failed;
  j->counts.rejected_dropped += r->dropped;
  j->counts.rejected_failures += failed;
  pthread_mutex_unlock(&j->lock);
  r->rows.len = 0;
  r->count = r->dropped = 0;
}

void obs_journal_maintain_rejected(obs_journal *j) {
  static const obs_buf nothing = {0};
  if (j->rejected.fd < 0 || j->rejected.size < j->opts.rejected_bytes) return;
  if (obs_jsonl_log_turn(&j->rejected, &nothing)) return;
  obs_log_warn("journal", "turn over %s/%s: %s (the file goes on growing)", j->dir, OBS_JOURNAL_REJECTED,
               strerror(errno));
}
