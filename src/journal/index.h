/* The index of one segment: where its rows are, block by block, so that replay and readers skip what they do not need,
 * and give every row its exact seq without counting from the start.
 *
 * A block is a stretch of whole lines, about `block_bytes` long (longer when one append or one line is). Bad rows have
 * no seq, so the index remembers where they are. The index covers bytes [0, indexed) of the file. Not thread-safe; the
 * journal's mutex guards it once readers exist. */
#ifndef OBS_JOURNAL_INDEX_H
#define OBS_JOURNAL_INDEX_H

#include "base/buf.h"
#include "base/vec.h"

#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint64_t first_seq;
  uint64_t offset;        /* ends where the next one begins */
  int64_t min_ms, max_ms; /* of its rows; min > max when it has none */
} obs_index_block;

/* Bytes [from, to): bad rows that follow each other. */
typedef struct {
  uint64_t from, to;
} obs_index_span;

typedef struct {
  uint64_t first_seq; /* 0: not known yet */
  uint64_t rows;      /* good ones in [0, indexed) */
  uint64_t indexed;
  int64_t min_ms, max_ms; /* never narrower than the blocks' */
  OBS_VEC(obs_index_block) blocks;
  OBS_VEC(obs_index_span) bad;
} obs_index;

void obs_index_init(obs_index *x, uint64_t first_seq);
void obs_index_fini(obs_index *x);

static inline uint64_t obs_index_next_seq(const obs_index *x) {
  return x->first_seq + x->rows;
}

/* Makes room for one more block, so that the next obs_index_extend cannot fail. */
bool obs_index_reserve(obs_index *x);
/* The bytes up to `end` hold `rows` more good rows with these times. False when there is no memory. */
bool obs_index_extend(obs_index *x, uint32_t block_bytes, uint64_t end, uint64_t rows, int64_t min_ms, int64_t max_ms);
/* The bytes up to `end` are one bad row that begins at `from`. */
bool obs_index_extend_bad(obs_index *x, uint32_t block_bytes, uint64_t from, uint64_t end);

/* Number of blocks whose first seq is below `seq`. */
size_t obs_index_below(const obs_index *x, uint64_t seq);
/* Number of spans that end at or before `offset`, so bad[n] is the first that can hold it. */
size_t obs_index_bad_before(const obs_index *x, uint64_t offset);
bool obs_index_is_bad(const obs_index *x, uint64_t offset);

/* As bytes, within a sidecar or a checkpoint; decode takes them off the front of `p` and leaves `x` alone on failure
 * (CORRUPT, NOMEM). */
void obs_index_encode(const obs_index *x, obs_buf *out);
observer_err obs_index_decode(obs_index *x, const char **p, size_t *left);

/* Sidecar files. Reading returns false unless a whole one is there. That of a rotated segment needs no sync: after a
 * power cut its checksum shows that it is torn, and it is made again. */
bool obs_index_read_sidecar(obs_index *x, int dir_fd, const char *name);
bool obs_index_write_sidecar(const obs_index *x, int dir_fd, const char *name, bool sync);

/* Fixed-width little-endian numbers, for the binary files. */
void obs_index_put_u64(obs_buf *b, uint64_t v);
bool obs_index_take_u64(const char **p, size_t *left, uint64_t *v);
/* Appends the XXH64 of what `b` holds; the check returns whether the last 8 of `n` bytes are it. */
void obs_index_put_checksum(obs_buf *b);
bool obs_index_checksum_ok(const char *p, size_t n);

#endif
