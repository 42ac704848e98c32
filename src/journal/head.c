#include "journal/head.h"

#include "jsonl/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum { NAMED_BYTES = 64 };

static bool make(unsigned char head[OBS_HEAD], const char magic[OBS_HEAD_MAGIC], int segment_fd, uint64_t first_seq,
                 uint64_t n) {
  unsigned char named[NAMED_BYTES];
  if (obs_file_read_at(segment_fd, named, n, 0) != (ssize_t)n) {
    errno = EIO;
    return false;
  }
  memcpy(head, magic, OBS_HEAD_MAGIC);
  obs_head_put(head + 8, first_seq);
  obs_head_put(head + 16, n);
  obs_head_put(head + 24, XXH64(named, n, 0));
  obs_head_put(head + 32, XXH64(head, 32, 0));
  return true;
}

bool obs_head_make(unsigned char head[OBS_HEAD], const char magic[OBS_HEAD_MAGIC], int segment_fd, uint64_t first_seq) {
  struct stat st;
  if (fstat(segment_fd, &st) != 0) return false;
  uint64_t n = (uint64_t)st.st_size < NAMED_BYTES ? (uint64_t)st.st_size : NAMED_BYTES;
  return make(head, magic, segment_fd, first_seq, n);
}

bool obs_head_is_of(const unsigned char head[OBS_HEAD], const char magic[OBS_HEAD_MAGIC], int segment_fd,
                    uint64_t first_seq) {
  unsigned char own[OBS_HEAD];
  uint64_t n = obs_head_get(head + 16);
  return n > 0 && n <= NAMED_BYTES && make(own, magic, segment_fd, first_seq, n) && memcmp(own, head, OBS_HEAD) == 0;
}
