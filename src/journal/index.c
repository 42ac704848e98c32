#include "journal/index.h"

#include "jsonl/file.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

/* Sidecar, version 1, little-endian:
 *   "OBSIDX1\n", the index, XXH64 (seed 0) of everything before it.
 * The index, also in checkpoints: u64 first_seq, rows, indexed, nblocks, nbad;
 *   nblocks of {u64 first_seq, u64 offset, i64 min_ms, i64 max_ms}; nbad of {u64 from, u64 to}.
 * Another layout gets another magic. A sidecar that cannot be read is made again from the segment, so there is nothing
 * to upgrade; a checkpoint with another index gets another magic of its own. */
static const char sidecar_magic[8] = {'O', 'B', 'S', 'I', 'D', 'X', '1', '\n'};
enum { SIDECAR_MAX = 1 << 30 };

void obs_index_init(obs_index *x, uint64_t first_seq) {
  *x = (obs_index){.first_seq = first_seq, .min_ms = INT64_MAX, .max_ms = INT64_MIN};
}

void obs_index_fini(obs_index *x) {
  OBS_VEC_FINI(&x->blocks);
  OBS_VEC_FINI(&x->bad);
  *x = (obs_index){0};
}

bool obs_index_reserve(obs_index *x) {
  return OBS_VEC_RESERVE(&x->blocks, x->blocks.n + 1);
}

bool obs_index_extend(obs_index *x, uint32_t block_bytes, uint64_t end, uint64_t rows, int64_t min_ms, int64_t max_ms) {
  obs_index_block *last = x->blocks.n == 0 ? NULL : &x->blocks.at[x->blocks.n - 1];
  if (last == NULL || (x->indexed > last->offset && end - last->offset > block_bytes)) {
    last = OBS_VEC_PUSH(&x->blocks);
    if (last == NULL) return false;
    *last = (obs_index_block){obs_index_next_seq(x), x->indexed, INT64_MAX, INT64_MIN};
  }
  if (rows > 0) {
    if (min_ms < last->min_ms) last->min_ms = min_ms;
    if (max_ms > last->max_ms) last->max_ms = max_ms;
    if (min_ms < x->min_ms) x->min_ms = min_ms;
    if (max_ms > x->max_ms) x->max_ms = max_ms;
  }
  x->rows += rows;
  x->indexed = end;
  return true;
}

bool obs_index_extend_bad(obs_index *x, uint32_t block_bytes, uint64_t from, uint64_t end) {
  if (!OBS_VEC_RESERVE(&x->bad, x->bad.n + 1) || !obs_index_extend(x, block_bytes, end, 0, 0, 0)) return false;
  if (x->bad.n > 0 && x->bad.at[x->bad.n - 1].to == from)
    x->bad.at[x->bad.n - 1].to = end;
  else
    x->bad.at[x->bad.n++] = (obs_index_span){from, end};
  return true;
}

size_t obs_index_below(const obs_index *x, uint64_t seq) {
  size_t low = 0, high = x->blocks.n;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (x->blocks.at[mid].first_seq < seq) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low;
}

size_t obs_index_bad_before(const obs_index *x, uint64_t offset) {
  size_t low = 0, high = x->bad.n;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (x->bad.at[mid].to <= offset) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low;
}

bool obs_index_is_bad(const obs_index *x, uint64_t offset) {
  size_t i = obs_index_bad_before(x, offset);
  return i < x->bad.n && x->bad.at[i].from <= offset;
}

void obs_index_put_u64(obs_buf *b, uint64_t v) {
  char bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (char)(v >> (8 * i));
  obs_buf_append(b, bytes, sizeof(bytes));
}

bool obs_index_take_u64(const char **p, size_t *left, uint64_t *v) {
  if (*left < 8) return false;
  *v = 0;
  for (int i = 0; i < 8; i++) *v |= (uint64_t)(unsigned char)(*p)[i] << (8 * i);
  *p += 8;
  *left -= 8;
  return true;
}

void obs_index_put_checksum(obs_buf *b) {
  obs_index_put_u64(b, XXH64(b->p, b->len, 0));
}

bool obs_index_checksum_ok(const char *p, size_t n) {
  if (n < 8) return false;
  const char *end = p + n - 8;
  size_t left = 8;
  uint64_t sum;
  return obs_index_take_u64(&end, &left, &sum) && sum == XXH64(p, n - 8, 0);
}

void obs_index_encode(const obs_index *x, obs_buf *out) {
  const uint64_t head[] = {x->first_seq, x->rows, x->indexed, x->blocks.n, x->bad.n};
  for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) obs_index_put_u64(out, head[i]);
  for (size_t i = 0; i < x->blocks.n; i++) {
    obs_index_put_u64(out, x->blocks.at[i].first_seq);
    obs_index_put_u64(out, x->blocks.at[i].offset);
    obs_index_put_u64(out, (uint64_t)x->blocks.at[i].min_ms);
    obs_index_put_u64(out, (uint64_t)x->blocks.at[i].max_ms);
  }
  for (size_t i = 0; i < x->bad.n; i++) {
    obs_index_put_u64(out, x->bad.at[i].from);
    obs_index_put_u64(out, x->bad.at[i].to);
  }
}

observer_err obs_index_decode(obs_index *x, const char **p, size_t *left) {
  uint64_t head[5];
  for (size_t i = 0; i < 5; i++) {
    if (!obs_index_take_u64(p, left, &head[i])) return OBSERVER_E_CORRUPT;
  }
  uint64_t nblocks = head[3], nbad = head[4];
  if (nblocks > *left / 32 || nbad > (*left - nblocks * 32) / 16 || nblocks > UINT32_MAX || nbad > UINT32_MAX)
    return OBSERVER_E_CORRUPT;
  obs_index y;
  obs_index_init(&y, head[0]);
  y.rows = head[1];
  y.indexed = head[2];
  if (!OBS_VEC_RESERVE(&y.blocks, (uint32_t)nblocks) || !OBS_VEC_RESERVE(&y.bad, (uint32_t)nbad)) {
    obs_index_fini(&y);
    return OBSERVER_E_NOMEM;
  }
  /* `left` was looked at above: nothing more is missing. */
  for (; y.blocks.n < nblocks; y.blocks.n++) {
    uint64_t v[4] = {0};
    for (size_t i = 0; i < 4; i++) (void)obs_index_take_u64(p, left, &v[i]);
    obs_index_block *b = &y.blocks.at[y.blocks.n];
    *b = (obs_index_block){v[0], v[1], (int64_t)v[2], (int64_t)v[3]};
    if (b->min_ms < y.min_ms) y.min_ms = b->min_ms;
    if (b->max_ms > y.max_ms) y.max_ms = b->max_ms;
  }
  for (; y.bad.n < nbad; y.bad.n++) {
    obs_index_span *bad = &y.bad.at[y.bad.n];
    (void)obs_index_take_u64(p, left, &bad->from);
    (void)obs_index_take_u64(p, left, &bad->to);
  }
  obs_index_fini(x);
  *x = y;
  return OBSERVER_E_OK;
}

bool obs_index_read_sidecar(obs_index *x, int dir_fd, const char *name) {
  obs_buf file = {0};
  bool ok = obs_file_read_all(dir_fd, name, SIDECAR_MAX, &file) == OBSERVER_E_OK &&
            obs_index_checksum_ok(file.p, file.len) && file.len >= sizeof(sidecar_magic) + 8 &&
            memcmp(file.p, sidecar_magic, sizeof(sidecar_magic)) == 0;
  if (ok) {
    const char *p = file.p + sizeof(sidecar_magic);
    size_t left = file.len - sizeof(sidecar_magic) - 8;
    ok = obs_index_decode(x, &p, &left) == OBSERVER_E_OK && left == 0;
  }
  obs_buf_fini(&file);
  return ok;
}

bool obs_index_write_sidecar(const obs_index *x, int dir_fd, const char *name, bool sync) {
  obs_buf file = {0};
  obs_buf_append(&file, sidecar_magic, sizeof(sidecar_magic));
  obs_index_encode(x, &file);
  obs_index_put_checksum(&file);
  bool ok = !file.oom && obs_file_replace(dir_fd, name, &file, sync);
  int saved = file.oom ? ENOMEM : errno;
  obs_buf_fini(&file);
  errno = saved;
  return ok;
}
