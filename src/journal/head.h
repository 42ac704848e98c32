/* The head of a sidecar that stands beside a segment under its first seq: it names the rows it belongs to, so that one
 * of other rows, left over under the same name, counts for nothing.
 *
 *   head (40 bytes, little-endian): magic, u64 first_seq, u64 n, XXH64 (seed 0) of the segment's first n bytes, XXH64
 * of the head before it */
#ifndef OBS_JOURNAL_HEAD_H
#define OBS_JOURNAL_HEAD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A magic is six letters, a digit that is the version, and a newline. */
enum { OBS_HEAD = 40, OBS_HEAD_MAGIC = 8, OBS_HEAD_DIGIT = 6 };

/* Whether `head` has the letters of `magic` and a later digit. */
static inline bool obs_head_is_later(const char head[OBS_HEAD_MAGIC], const char magic[OBS_HEAD_MAGIC]) {
  return memcmp(head, magic, OBS_HEAD_DIGIT) == 0 && head[OBS_HEAD_DIGIT] > magic[OBS_HEAD_DIGIT] &&
         head[OBS_HEAD_DIGIT] <= '9' && head[OBS_HEAD_MAGIC - 1] == '\n';
}

/* Little-endian numbers. */
static inline void obs_head_put(unsigned char *p, uint64_t v) {
  for (int i = 0; i < 8; i++) p[i] = (unsigned char)(v >> (8 * i));
}

static inline uint64_t obs_head_get(const unsigned char *p) {
  uint64_t v = 0;
  for (int i = 0; i < 8; i++) v |= (uint64_t)p[i] << (8 * i);
  return v;
}

/* Of the segment in `segment_fd`, which has a row. False: errno. */
bool obs_head_make(unsigned char head[OBS_HEAD], const char magic[OBS_HEAD_MAGIC], int segment_fd, uint64_t first_seq);
bool obs_head_is_of(const unsigned char head[OBS_HEAD], const char magic[OBS_HEAD_MAGIC], int segment_fd,
                    uint64_t first_seq);

#endif
