/* Rows that are kept aside, each with the reason: a person can repair and publish them again.
 *
 * bad-rows.jsonl, rows that replay could not take, once each. Version 1, one object a line:
 *   {"id":"<16 hex digits>","file":"<name then>","segment":<first seq>,"offset":<byte>,"reason":"...","row":"..."}
 * `row` has at most BAD_ROW_BYTES of the row, with U+FFFD for what is not UTF-8. `id` is made of segment, offset and
 * row, so that no row is kept twice; it comes first, where load_seen looks for it. Best effort, synced at the end of a
 * replay; a file of BAD_ROWS_BYTES takes no more.
 *
 * rejected.jsonl, what was refused at the door, with its bytes. Version 1, one object a line:
 *   {"time":"<ISO 8601>","transport":"pull","reason":"...","index":0,"size":123,"truncated":false,"bytes":"<base64>"}
 * `size` is of the whole thing, `bytes` has at most REJECTED_BYTES of it. Best effort, not synced.
 *
 * Of both, a later version adds members behind these; rows of another shape are left alone. */
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "journal/internal.h"
#include "jsonl/lines.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>
#include <xxhash.h>

enum { BAD_ROWS_BYTES = 64 << 20, BAD_ROW_BYTES = 64 << 10, REJECTED_BYTES = 64 << 10 };

/* ---- bad-rows.jsonl ---- */

static const char id_prefix[] = "{\"id\":\"";
enum { ID_PREFIX = sizeof(id_prefix) - 1 };

void obs_journal_bad_rows_fini(obs_journal_bad_rows *b) {
  if (b->file.fd >= 0 && fdatasync(b->file.fd) != 0) {
    obs_log_warn("journal", "cannot sync %s/%s: %s", b->journal->dir, OBS_JOURNAL_BAD_ROWS, strerror(errno));
  }
  obs_jsonl_log_close(&b->file);
  obs_map_fini(&b->seen);
}

/* Opens the file and learns which rows it has. */
static void open_once(obs_journal_bad_rows *b) {
  if (b->opened) return;
  b->opened = true;
  if (!obs_jsonl_log_open(&b->file, b->journal->dir_fd, OBS_JOURNAL_BAD_ROWS, false)) {
    obs_log_warn("journal", "cannot open %s/%s: %s; bad rows are not kept", b->journal->dir, OBS_JOURNAL_BAD_ROWS,
                 strerror(errno));
    return;
  }
  obs_lines lines;
  obs_line_view line;
  obs_lines_init(&lines, b->file.fd, 0);
  observer_err err;
  while ((err = obs_lines_next(&lines, &line)) == OBSERVER_E_OK) {
    uint64_t id;
    if (line.len < ID_PREFIX + OBS_HEX_LEN || memcmp(line.p, id_prefix, ID_PREFIX) != 0) continue;
    if (!obs_hex_parse((obs_str){line.p + ID_PREFIX, OBS_HEX_LEN, 0}, &id)) continue;
    if (obs_map_put(&b->seen, id, 1)) continue;
    err = OBSERVER_E_NOMEM;
    break;
  }
  obs_lines_fini(&lines);
  if (err == OBSERVER_E_NOTFOUND) return;
  obs_log_warn("journal", "cannot read %s/%s: %s; some bad rows may be kept twice", b->journal->dir,
               OBS_JOURNAL_BAD_ROWS, observer_strerror(err));
}

bool obs_journal_bad_rows_keep(obs_journal_bad_rows *b, const obs_journal_bad_row *row) {
  open_once(b);
  if (b->file.fd < 0) return false;
  size_t len = row->len < BAD_ROW_BYTES ? row->len : BAD_ROW_BYTES;
  const uint64_t place[] = {row->segment, row->offset};
  uint64_t id = XXH64(row->row, len, XXH64(place, sizeof(place), 0));
  if (obs_map_get(&b->seen, id, NULL)) return true;
  if (b->file.size > BAD_ROWS_BYTES) {
    if (!b->full)
      obs_log_warn("journal", "%s/%s is full: no more bad rows are kept", b->journal->dir, OBS_JOURNAL_BAD_ROWS);
    b->full = true;
    return false;
  }
  /* Redacted whole, then cut. The row in the journal stays as it was written. */
  obs_redact *redact = b->journal->redact;
  obs_buf out = {0}, text = {0}, why = {0};
  obs_str kept = {row->row, (uint32_t)len, 0}, reason = obs_str_of(row->reason);
  if (obs_redact_message(redact, OBS_REDACT_JSON, row->row, row->len, 0, &text)) kept = obs_buf_view(&text);
  if (kept.len > len) kept.len = (uint32_t)len;
  if (obs_redact_text(redact, reason, &why)) reason = obs_buf_view(&why);
  if (text.oom || why.oom) out.oom = true;
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  obs_json_id(&w, "id", id);
  obs_json_cstr(&w, "file", row->file);
  obs_json_u64(&w, "segment", row->segment);
  obs_json_u64(&w, "offset", row->offset);
  obs_json_bytes(&w, "reason", reason.p, reason.len);
  obs_json_bytes(&w, "row", kept.p, kept.len);
  obs_json_end(&w);
  obs_buf_putc(&out, '\n');
  bool ok = !out.oom && obs_jsonl_log_append(&b->file, &out);
  if (!ok)
    obs_log_warn("journal", "cannot write %s/%s: %s; the bad row is not kept", b->journal->dir, OBS_JOURNAL_BAD_ROWS,
                 strerror(out.oom ? ENOMEM : errno));
  obs_buf_fini(&out);
  obs_buf_fini(&text);
  obs_buf_fini(&why);
  return ok;
}

/* ---- rejected.jsonl ---- */

void obs_journal_rejects_add(obs_journal_rejects *r, int64_t now_ms, const char *transport, const char *reason,
                             uint32_t index, const void *bytes, size_t len) {
  size_t before = r->rows.len, kept = len < REJECTED_BYTES ? len : REJECTED_BYTES;
  r->count++;
  if (before + kept / 3 * 4 <= OBS_JOURNAL_REJECTS_MAX) {
    obs_json_writer w = obs_json_write(&r->rows);
    obs_json_object(&w, NULL);
    obs_json_time(&w, "time", now_ms);
    obs_json_cstr(&w, "transport", transport);
    obs_json_cstr(&w, "reason", reason);
    obs_json_u64(&w, "index", index);
    obs_json_u64(&w, "size", len);
    obs_json_bool(&w, "truncated", kept < len);
    obs_json_base64(&w, "bytes", bytes, kept);
    obs_json_end(&w);
    obs_buf_putc(&r->rows, '\n');
    if (!r->rows.oom) return;
  }
  /* No room or no memory: half a row is taken off again. */
  r->rows.oom = false;
  r->rows.len = before;
  r->dropped++;
}

void obs_journal_rejects_fini(obs_journal_rejects *r) {
  obs_buf_fini(&r->rows);
  *r = (obs_journal_rejects){0};
}

void obs_journal_write_rejects(obs_journal *j, obs_journal_rejects *r) {
  if (r->count == 0) return;
  uint64_t written = r->count - r->dropped, failed = 0;
  if (r->dropped > 0)
    obs_log_warn("journal", "%s/%s: the message has %" PRIu64 " rejected ops too many to keep", j->dir,
                 OBS_JOURNAL_REJECTED, r->dropped);
  /* The file is made by the first reject. */
  bool opened =
      written == 0 || j->rejected.fd >= 0 || obs_jsonl_log_open(&j->rejected, j->dir_fd, OBS_JOURNAL_REJECTED, false);
  if (written > 0 && !(opened && obs_jsonl_log_append(&j->rejected, &r->rows))) {
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
  obs_log_warn("journal", "cannot rotate %s/%s: %s; the file keeps growing", j->dir, OBS_JOURNAL_REJECTED,
               strerror(errno));
}
