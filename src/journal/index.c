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
  free(x->blocks);
  free(x->bad);
  *x = (obs_index){0};
}

/* The array, with room for one more; NULL when there is no memory. */
static void *grown(void *array, size_t *cap, size_t used, size_t size) {
  if (array != NULL && used < *cap) return array;
  size_t more = *cap == 0 ? 16 : *cap * 2;
  void *p = reallocarray(array, more, size);
  if (p != NULL) *cap = more;
  return p;
}

bool obs_index_reserve(obs_index *x) {
  obs_index_block *p = grown(x->blocks, &x->blocks_cap, x->nblocks, sizeof(*p));
  if (p == NULL) return false;
  x->blocks = p;
  return true;
}

bool obs_index_extend(obs_index *x, uint32_t block_bytes, uint64_t end, uint64_t rows, int64_t min_ms, int64_t max_ms) {
  obs_index_block *last = x->nblocks == 0 ? NULL : &x->blocks[x->nblocks - 1];
  if (last == NULL || (x->indexed > last->offset && end - last->offset > block_bytes)) {
    if (!obs_index_reserve(x)) return false;
    last = &x->blocks[x->nblocks++];
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
  obs_index_span *p = grown(x->bad, &x->bad_cap, x->nbad, sizeof(*p));
  if (p == NULL) return false;
  x->bad = p;
  if (!obs_index_extend(x, block_bytes, end, 0, 0, 0)) return false;
  if (x->nbad > 0 && x->bad[x->nbad - 1].to == from) {
    x->bad[x->nbad - 1].to = end;
  } else {
    x->bad[x->nbad++] = (obs_index_span){from, end};
  }
  return true;
}

size_t obs_index_below(const obs_index *x, uint64_t seq) {
  size_t low = 0, high = x->nblocks;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (x->blocks[mid].first_seq < seq) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low;
}

size_t obs_index_bad_before(const obs_index *x, uint64_t offset) {
  size_t low = 0, high = x->nbad;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (x->bad[mid].to <= offset) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low;
}

bool obs_index_is_bad(const obs_index *x, uint64_t offset) {
  size_t i = obs_index_bad_before(x, offset);
  return i < x->nbad && x->bad[i].from <= offset;
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
  const uint64_t head[] = {x->first_seq, x->rows, x->indexed, x->nblocks, x->nbad};
  for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) obs_index_put_u64(out, head[i]);
  for (size_t i = 0; i < x->nblocks; i++) {
    obs_index_put_u64(out, x->blocks[i].first_seq);
    obs_index_put_u64(out, x->blocks[i].offset);
    obs_index_put_u64(out, (uint64_t)x->blocks[i].min_ms);
    obs_index_put_u64(out, (uint64_t)x->blocks[i].max_ms);
  }
  for (size_t i = 0; i < x->nbad; i++) {
    obs_index_put_u64(out, x->bad[i].from);
    obs_index_put_u64(out, x->bad[i].to);
  }
}

static bool take_blocks(obs_index *x, const char **p, size_t *left) {
  for (size_t i = 0; i < x->nblocks; i++) {
    obs_index_block *b = &x->blocks[i];
    uint64_t min_ms, max_ms;
    if (!obs_index_take_u64(p, left, &b->first_seq) || !obs_index_take_u64(p, left, &b->offset)) return false;
    if (!obs_index_take_u64(p, left, &min_ms) || !obs_index_take_u64(p, left, &max_ms)) return false;
    b->min_ms = (int64_t)min_ms;
    b->max_ms = (int64_t)max_ms;
    if (b->min_ms < x->min_ms) x->min_ms = b->min_ms;
    if (b->max_ms > x->max_ms) x->max_ms = b->max_ms;
  }
  return true;
}

static bool take_bad(obs_index *x, const char **p, size_t *left) {
  for (size_t i = 0; i < x->nbad; i++) {
    if (!obs_index_take_u64(p, left, &x->bad[i].from) || !obs_index_take_u64(p, left, &x->bad[i].to)) return false;
  }
  return true;
}

observer_err obs_index_decode(obs_index *x, const char **p, size_t *left) {
  uint64_t head[5];
  for (size_t i = 0; i < 5; i++) {
    if (!obs_index_take_u64(p, left, &head[i])) return OBSERVER_E_CORRUPT;
  }
  if (head[3] > *left / 32 || head[4] > (*left - head[3] * 32) / 16) return OBSERVER_E_CORRUPT;
  obs_index y;
  obs_index_init(&y, head[0]);
  y.rows = head[1];
  y.indexed = head[2];
  y.nblocks = y.blocks_cap = head[3];
  y.nbad = y.bad_cap = head[4];
  if (y.nblocks > 0) y.blocks = calloc(y.nblocks, sizeof(obs_index_block));
  if (y.nbad > 0) y.bad = calloc(y.nbad, sizeof(obs_index_span));
  bool room = (y.nblocks == 0 || y.blocks != NULL) && (y.nbad == 0 || y.bad != NULL);
  if (!room || !take_blocks(&y, p, left) || !take_bad(&y, p, left)) {
    obs_index_fini(&y);
    return room ? OBSERVER_E_CORRUPT : OBSERVER_E_NOMEM;
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
