#include "journal/badrows.h"

#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "journal/internal.h"
#include "jsonl/lines.h"

#include <errno.h>
#include <unistd.h>
#include <xxhash.h>

/* bad-rows.jsonl, version 1: one object a line,
 *   {"id":"<16 hex digits>","file":"<name then>","segment":<first seq>,"offset":<byte>,"reason":"...","row":"..."}
 * `row` has at most OBS_BADROWS_ROW_MAX bytes of the row, with U+FFFD for what is not UTF-8. `id` is made of segment,
 * offset and row, so that no row is kept twice; it comes first, where load_seen looks for it. Rows of another shape are
 * left alone: a later version may add members behind these. */
static const char id_prefix[] = "{\"id\":\"";
enum { ID_PREFIX = sizeof(id_prefix) - 1 };

void obs_badrows_init(obs_badrows *b, const char *dir, int dir_fd) {
  *b = (obs_badrows){.dir = dir, .dir_fd = dir_fd, .file = OBS_JSONL_LOG_CLOSED};
}

void obs_badrows_fini(obs_badrows *b) {
  if (b->file.fd >= 0 && fdatasync(b->file.fd) != 0) {
    obs_log_warn("journal", "sync %s/%s: %s", b->dir, OBS_JOURNAL_BAD_ROWS, strerror(errno));
  }
  obs_jsonl_log_close(&b->file);
  obs_map_fini(&b->seen);
}

static observer_err load_seen(obs_badrows *b) {
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
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
}

static void open_once(obs_badrows *b) {
  if (b->opened) return;
  b->opened = true;
  if (!obs_jsonl_log_open(&b->file, b->dir_fd, OBS_JOURNAL_BAD_ROWS, false)) {
    obs_log_warn("journal", "open %s/%s: %s (bad rows are not kept aside)", b->dir, OBS_JOURNAL_BAD_ROWS,
                 strerror(errno));
    return;
  }
  observer_err err = load_seen(b);
  if (err == OBSERVER_E_OK) return;
  obs_log_warn("journal", "read %s/%s: %s (some rows may be kept aside twice)", b->dir, OBS_JOURNAL_BAD_ROWS,
               observer_strerror(err));
}

static bool write_row(obs_badrows *b, const obs_badrows_row *row, size_t len, uint64_t id) {
  obs_buf out = {0};
  obs_json_writer w = obs_json_write(&out);
  obs_json_object(&w, NULL);
  obs_json_id(&w, "id", id);
  obs_json_cstr(&w, "file", row->file);
  obs_json_u64(&w, "segment", row->segment);
  obs_json_u64(&w, "offset", row->offset);
  obs_json_cstr(&w, "reason", row->reason);
  obs_json_bytes(&w, "row", row->row, len);
  obs_json_end(&w);
  obs_buf_putc(&out, '\n');
  bool ok = !out.oom && obs_jsonl_log_append(&b->file, &out);
  if (!ok) {
    obs_log_warn("journal", "write %s/%s: %s (the row is not kept aside)", b->dir, OBS_JOURNAL_BAD_ROWS,
                 strerror(out.oom ? ENOMEM : errno));
  }
  obs_buf_fini(&out);
  return ok;
}

bool obs_badrows_keep(obs_badrows *b, const obs_badrows_row *row) {
  open_once(b);
  if (b->file.fd < 0) return false;
  size_t len = row->len < OBS_BADROWS_ROW_MAX ? row->len : OBS_BADROWS_ROW_MAX;
  const uint64_t place[] = {row->segment, row->offset};
  uint64_t id = XXH64(row->row, len, XXH64(place, sizeof(place), 0));
  if (obs_map_get(&b->seen, id, NULL)) return true;
  if (b->file.size > OBS_BADROWS_MAX) {
    if (!b->full) obs_log_warn("journal", "%s/%s is full: no more rows are kept aside", b->dir, OBS_JOURNAL_BAD_ROWS);
    b->full = true;
    return false;
  }
  return write_row(b, row, len, id);
}
