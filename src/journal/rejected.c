/* rejected.jsonl: what was refused at the door, with its bytes, so that it can be replayed after a fix.
 *
 * Version 1, one object a line:
 *   {"time":"<ISO 8601>","transport":"pull","reason":"...","index":0,"size":123,"truncated":false,"bytes":"<base64>"}
 * `size` is of the whole thing, `bytes` has at most REJECTED_BYTES of it. Best effort, not synced. */
#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "journal/internal.h"

#include <errno.h>
#include <inttypes.h>

enum { REJECTED_BYTES = 64 << 10 };

static void put_row(obs_buf *out, int64_t now_ms, const char *transport, const char *reason, uint32_t index,
                    const void *bytes, size_t len) {
  char time[OBS_ISO8601_LEN + 1];
  obs_clock_format(now_ms, time);
  obs_buf_printf(out, "{\"time\":\"%s\",\"transport\":", time);
  obs_buf_json_cstr(out, transport);
  obs_buf_puts(out, ",\"reason\":");
  obs_buf_json_cstr(out, reason);
  bool truncated = len > REJECTED_BYTES;
  obs_buf_printf(out, ",\"index\":%" PRIu32 ",\"size\":%zu,\"truncated\":%s,\"bytes\":\"", index, len,
                 truncated ? "true" : "false");
  obs_base64_encode(out, bytes, truncated ? REJECTED_BYTES : len);
  obs_buf_puts(out, "\"}\n");
}

static bool append_row(obs_journal *j, const obs_buf *row) {
  if (row->oom) errno = ENOMEM;
  if (row->oom) return false;
  if (j->rejected.fd < 0 && !obs_sidefile_open(&j->rejected, j->dir_fd, OBS_JOURNAL_REJECTED)) return false;
  return obs_sidefile_append(&j->rejected, row);
}

void obs_journal_reject(obs_journal *j, int64_t now_ms, const char *transport, const char *reason, uint32_t index,
                        const void *bytes, size_t len) {
  obs_buf row = {0};
  put_row(&row, now_ms, transport, reason, index, bytes, len);
  bool ok = append_row(j, &row);
  int saved = errno;
  obs_buf_fini(&row);
  if (ok) return;
  obs_log_warn("journal", "write %s/%s: %s (a rejected payload is not kept)", j->dir, OBS_JOURNAL_REJECTED,
               strerror(saved));
  pthread_mutex_lock(&j->lock);
  j->counts.rejected_failures++;
  pthread_mutex_unlock(&j->lock);
}
