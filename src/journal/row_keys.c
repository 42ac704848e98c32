/* Version 1, little-endian: the head (head.h), "OBSKEY1\n", then records:
 *   u64 XXH3 of the rest, u64 first_seq, u64 offset, u32 bytes, u16 rows, u16 n, n keys of u16: the upper 16 bits of
 *   each hash
 * The hashes of a field's values are its user's and part of the format: who changes them changes the magic. */
#include "journal/row_keys.h"

#include "journal/head.h"
#include "jsonl/file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static const char magic[OBS_HEAD_MAGIC] = {'O', 'B', 'S', 'K', 'E', 'Y', '1', '\n'};
enum { RECORD = 32, FILE_MAX = 1 << 30 };

static uint16_t short_of(uint64_t key) {
  return (uint16_t)(key >> 48);
}

/* ---- a part ---- */

void obs_row_keys_begin(obs_row_keys_part *part, uint64_t first_seq, uint64_t offset) {
  part->first_seq = first_seq;
  part->offset = part->end = offset;
}

void obs_row_keys_add(obs_row_keys_part *part, uint64_t end, const uint64_t *keys, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    uint16_t key = short_of(keys[i]);
    uint64_t *word = &part->seen[key / 64], bit = UINT64_C(1) << key % 64;
    part->keys[part->n] = key; /* there is room for one more than can be needed, or it is not counted */
    part->n += (*word & bit) == 0;
    *word |= bit;
  }
  part->end = end;
  part->rows++;
}

void obs_row_keys_seal(obs_row_keys_part *part, obs_buf *out) {
  unsigned char head[RECORD];
  size_t at = out->len;
  (void)obs_buf_reserve(out, sizeof(head) + part->n * sizeof(part->keys[0])); /* all of it or nothing */
  obs_head_put(head, 0);
  obs_head_put(head + 8, part->first_seq);
  obs_head_put(head + 16, part->offset);
  obs_head_put(head + 24, (part->end - part->offset) | (uint64_t)part->rows << 32 | (uint64_t)part->n << 48);
  obs_buf_append(out, head, sizeof(head));
  for (uint32_t i = 0; i < part->n; i++) {
    part->seen[part->keys[i] / 64] = 0;
    part->keys[i] = htole16(part->keys[i]);
  }
  obs_buf_append(out, part->keys, part->n * sizeof(part->keys[0]));
  if (!out->oom) obs_head_put((unsigned char *)out->p + at, XXH3_64bits(out->p + at + 8, out->len - at - 8));
  obs_row_keys_begin(part, part->first_seq + part->rows, part->end);
  part->rows = part->n = 0;
}

/* ---- records ---- */

obs_row_keys_taken obs_row_keys_take(const unsigned char **p, size_t *left, obs_row_keys_record *out) {
  if (*left < RECORD) return OBS_ROW_KEYS_END;
  uint64_t counts = obs_head_get(*p + 24);
  *out = (obs_row_keys_record){.first_seq = obs_head_get(*p + 8),
                               .offset = obs_head_get(*p + 16),
                               .rows = counts >> 32 & 0xffff,
                               .n = (uint32_t)(counts >> 48),
                               .keys = *p + RECORD};
  out->end = out->offset + (uint32_t)counts;
  if (out->rows == 0 || out->rows > OBS_ROW_KEYS_ROWS || out->n > OBS_ROW_KEYS_ROWS * OBS_ROW_KEYS_EACH)
    return OBS_ROW_KEYS_DAMAGED;
  size_t size = RECORD + out->n * sizeof(uint16_t);
  if (*left < size) return OBS_ROW_KEYS_END;
  if (XXH3_64bits(*p + 8, size - 8) != obs_head_get(*p)) return OBS_ROW_KEYS_DAMAGED;
  *p += size;
  *left -= size;
  return OBS_ROW_KEYS_TAKEN;
}

bool obs_row_keys_may_have(const obs_row_keys_record *r, const uint64_t *keys, uint32_t n) {
  for (uint32_t k = 0; k < n; k++) {
    uint16_t want = htole16(short_of(keys[k]));
    uint32_t same = 0; /* without a way out, so that many are compared at once */
    for (uint32_t i = 0; i < r->n; i++) {
      uint16_t have;
      memcpy(&have, r->keys + 2 * (size_t)i, sizeof(have));
      same |= have == want;
    }
    if (same) return true;
  }
  return false;
}

static bool read_file(int dir_fd, const char *name, obs_buf *file) {
  struct stat st;
  /* A pipe of that name must not stop the reader. */
  if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) return false;
  return obs_file_read_all(dir_fd, name, FILE_MAX, file) == OBSERVER_E_OK && file->len >= OBS_HEAD;
}

bool obs_row_keys_read(int dir_fd, const char *name, int segment_fd, uint64_t first_seq, obs_buf *out, uint64_t *good,
                       obs_row_keys_taken *ended) {
  obs_row_keys_record record;
  out->len = 0;
  if (!read_file(dir_fd, name, out) || !obs_head_is_of((const unsigned char *)out->p, magic, segment_fd, first_seq)) {
    out->len = 0;
    return false;
  }
  const unsigned char *p = (const unsigned char *)out->p + OBS_HEAD;
  size_t left = out->len - OBS_HEAD;
  do *ended = obs_row_keys_take(&p, &left, &record);
  while (*ended == OBS_ROW_KEYS_TAKEN);
  *good = out->len - left;
  out->len = *good - OBS_HEAD;
  memmove(out->p, out->p + OBS_HEAD, out->len);
  return true;
}

int obs_row_keys_open(int dir_fd, const char *name, int segment_fd, uint64_t first_seq) {
  unsigned char head[OBS_HEAD];
  int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, OBS_FILE_MODE);
  if (fd < 0) return -1;
  if (obs_file_read_at(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
      obs_head_is_of(head, magic, segment_fd, first_seq))
    return fd;
  struct iovec iov = {head, sizeof(head)};
  if (ftruncate(fd, 0) == 0 && obs_head_make(head, magic, segment_fd, first_seq) && obs_file_write_at(fd, &iov, 1, 0))
    return fd;
  int saved = errno;
  (void)close(fd); /* nothing of worth is in it */
  errno = saved;
  return -1;
}

/* ---- writing ---- */

/* Takes the records of rows from `next_seq` on out of those in `file`. */
static void drop_later(obs_buf *file, uint64_t next_seq) {
  obs_row_keys_record record;
  const unsigned char *p = (const unsigned char *)file->p;
  size_t left = file->len, kept = 0;
  for (const unsigned char *from = p; obs_row_keys_take(&p, &left, &record) == OBS_ROW_KEYS_TAKEN; from = p) {
    if (record.first_seq + record.rows > next_seq) continue;
    memmove(file->p + kept, from, (size_t)(p - from));
    kept += (size_t)(p - from);
  }
  file->len = kept;
}

bool obs_row_keys_resume(obs_row_keys_writer *w, int dir_fd, const char *name, int segment_fd, uint64_t first_seq,
                         uint64_t next_seq) {
  obs_buf records = {0};
  uint64_t good = 0;
  obs_row_keys_taken ended = OBS_ROW_KEYS_END;
  bool known = obs_row_keys_read(dir_fd, name, segment_fd, first_seq, &records, &good, &ended);
  w->next_seq = next_seq;
  w->part.rows = 0;
  w->fd = obs_row_keys_open(dir_fd, name, segment_fd, first_seq);
  bool ok = w->fd >= 0;
  if (ok && known) {
    drop_later(&records, next_seq);
    struct stat st;
    struct iovec iov = {records.p, records.len};
    ok = fstat(w->fd, &st) == 0;
    if (ok && (uint64_t)st.st_size != OBS_HEAD + records.len)
      ok = ftruncate(w->fd, OBS_HEAD) == 0 && (records.len == 0 || obs_file_write_at(w->fd, &iov, 1, OBS_HEAD));
  }
  int saved = errno;
  obs_buf_fini(&records);
  if (!ok && w->fd >= 0) {
    (void)close(w->fd); /* never synced: a failure tells nothing */
    w->fd = -1;
  }
  errno = saved;
  return ok;
}
