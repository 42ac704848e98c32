#include "journal/badrows.h"

#include "base/log.h"
#include "base/utf8.h"
#include "journal/internal.h"
#include "jsonl/lines.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

/* bad-rows.jsonl, version 1: one object a line,
 *   {"id":"<16 hex digits>","file":"<name then>","segment":<first seq>,"offset":<byte>,"reason":"...","row":"..."}
 * `row` has at most OBS_BADROWS_ROW_MAX bytes of the row, with U+FFFD for what is not UTF-8. `id` is made of segment,
 * offset and row, so that what is kept aside is not kept again; it comes first, where load_seen looks for it. Rows of
 * another shape are left alone. */
static const char id_prefix[] = "{\"id\":\"";
enum { ID_PREFIX = sizeof(id_prefix) - 1, ID_DIGITS = 16 };

void obs_badrows_init(obs_badrows *b, const char *dir, int dir_fd) {
  *b = (obs_badrows){.dir = dir, .dir_fd = dir_fd, .file = OBS_SIDEFILE_CLOSED};
}

void obs_badrows_fini(obs_badrows *b) {
  if (b->file.fd >= 0 && fdatasync(b->file.fd) != 0) {
    obs_log_warn("journal", "sync %s/%s: %s", b->dir, OBS_JOURNAL_BAD_ROWS, strerror(errno));
  }
  obs_sidefile_close(&b->file);
  free(b->seen);
  b->seen = NULL;
}

static bool take_id(const char *p, size_t len, uint64_t *id) {
  if (len < ID_PREFIX + ID_DIGITS + 1 || memcmp(p, id_prefix, ID_PREFIX) != 0) return false;
  char digits[ID_DIGITS + 1] = {0};
  memcpy(digits, p + ID_PREFIX, ID_DIGITS);
  if (strspn(digits, "0123456789abcdef") != ID_DIGITS) return false;
  *id = strtoull(digits, NULL, 16);
  return true;
}

static int by_value(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static observer_err load_seen(obs_badrows *b) {
  obs_lines lines;
  obs_line_view line;
  obs_lines_init(&lines, b->file.fd, 0);
  size_t cap = 0;
  observer_err err;
  while ((err = obs_lines_next(&lines, &line)) == OBSERVER_E_OK) {
    uint64_t id;
    if (!take_id(line.p, line.len, &id)) continue;
    if (b->nseen == cap) {
      cap = cap == 0 ? 64 : cap * 2;
      uint64_t *p = reallocarray(b->seen, cap, sizeof(*p));
      if (p == NULL) {
        err = OBSERVER_E_NOMEM;
        break;
      }
      b->seen = p;
    }
    b->seen[b->nseen++] = id;
  }
  obs_lines_fini(&lines);
  if (b->nseen > 0) qsort(b->seen, b->nseen, sizeof(*b->seen), by_value);
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
}

static void open_once(obs_badrows *b) {
  if (b->opened) return;
  b->opened = true;
  if (!obs_sidefile_open(&b->file, b->dir_fd, OBS_JOURNAL_BAD_ROWS)) {
    obs_log_warn("journal", "open %s/%s: %s (bad rows are not kept aside)", b->dir, OBS_JOURNAL_BAD_ROWS,
                 strerror(errno));
    return;
  }
  observer_err err = load_seen(b);
  if (err == OBSERVER_E_OK) return;
  obs_log_warn("journal", "read %s/%s: %s (some rows may be kept aside twice)", b->dir, OBS_JOURNAL_BAD_ROWS,
               observer_strerror(err));
}

static uint64_t id_of(const obs_badrow *row) {
  const uint64_t place[] = {row->segment, row->offset};
  return XXH64(row->row, row->len, XXH64(place, sizeof(place), 0));
}

/* Appends `p` as a JSON string, whatever its bytes are. */
static void put_text(obs_buf *out, const char *p, size_t len) {
  obs_buf text = {0};
  for (size_t i = 0; i < len;) {
    size_t n = obs_utf8_char(p + i, len - i);
    if (n == 0) {
      obs_buf_puts(&text, "\xef\xbf\xbd");
      i++;
    } else {
      obs_buf_append(&text, p + i, n);
      i += n;
    }
  }
  obs_buf_json_str(out, (obs_str){.p = text.p, .len = (uint32_t)text.len});
  out->oom = out->oom || text.oom;
  obs_buf_fini(&text);
}

static bool write_row(obs_badrows *b, const obs_badrow *row, uint64_t id) {
  obs_buf out = {0};
  obs_buf_printf(&out, "%s%016" PRIx64 "\",\"file\":", id_prefix, id);
  obs_buf_json_cstr(&out, row->file);
  obs_buf_printf(&out, ",\"segment\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"reason\":", row->segment, row->offset);
  obs_buf_json_cstr(&out, row->reason);
  obs_buf_puts(&out, ",\"row\":");
  put_text(&out, row->row, row->len);
  obs_buf_puts(&out, "}\n");
  bool ok = !out.oom && obs_sidefile_append(&b->file, &out);
  if (!ok) {
    obs_log_warn("journal", "write %s/%s: %s (the row is not kept aside)", b->dir, OBS_JOURNAL_BAD_ROWS,
                 strerror(out.oom ? ENOMEM : errno));
  }
  obs_buf_fini(&out);
  return ok;
}

bool obs_badrows_keep(obs_badrows *b, const obs_badrow *row) {
  open_once(b);
  if (b->file.fd < 0) return false;
  obs_badrow r = *row;
  if (r.len > OBS_BADROWS_ROW_MAX) r.len = OBS_BADROWS_ROW_MAX;
  uint64_t id = id_of(&r);
  if (b->nseen > 0 && bsearch(&id, b->seen, b->nseen, sizeof(id), by_value) != NULL) return true;
  if (b->file.size > OBS_BADROWS_MAX) {
    if (!b->full) obs_log_warn("journal", "%s/%s is full: no more rows are kept aside", b->dir, OBS_JOURNAL_BAD_ROWS);
    b->full = true;
    return false;
  }
  return write_row(b, &r, id);
}
