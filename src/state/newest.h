/* The newest N ops by receipt, whatever order they come in: what a part of a fleet keeps so that `/stats` can be told
 * of the whole fleet, whose ring is the newest N of all parts.
 *
 * Of each op stay its receipt, seq, source and success; of the last ten scenario ops what `/stats` shows of them, too.
 * Names are kept as they are shown (obs_names_shown), 128 bytes at most. Of ops that were received in the same
 * millisecond the one with the larger seq is newer. Rows are kept in no order until there are OBS_NEWEST_SLACK too
 * many; then they are sorted and the oldest dropped, so that an op costs about the same in whatever order they come.
 *
 * Memory: 24 bytes a row (N + OBS_NEWEST_SLACK), and at worst 200 for each source's name; ten digests of half a
 * kilobyte. Not thread-safe. */
#ifndef OBS_STATE_NEWEST_H
#define OBS_STATE_NEWEST_H

#include "base/names.h"
#include "base/pack.h"
#include "op/op.h"

enum { OBS_NEWEST_SLACK = 512, OBS_NEWEST_DIGESTS = 10, OBS_NEWEST_TEXTS = 4, OBS_NEWEST_MAX = 1 << 20 };

typedef struct {
  int64_t received_ms;
  uint64_t seq;
  uint32_t source; /* id in `sources` */
  bool success;
} obs_newest_row;

/* One of the last scenario ops. */
typedef struct {
  int64_t received_ms;
  uint64_t seq;
  bool success;
  bool has[OBS_NEWEST_TEXTS]; /* timestamp, staffer_id, event_kind, role */
  uint8_t len[OBS_NEWEST_TEXTS];
  char text[OBS_NEWEST_TEXTS][OBS_NAMES_SHOWN];
} obs_newest_digest;

typedef struct {
  obs_newest_row *rows;
  uint32_t n, keep;  /* `n` may be up to OBS_NEWEST_SLACK above `keep` */
  bool sorted;       /* oldest first */
  int64_t floor_ms;  /* what was received before this is not among the newest; INT64_MIN: not known yet */
  obs_names sources; /* refs: rows */
  obs_newest_digest digests[OBS_NEWEST_DIGESTS];
  uint32_t ndigests; /* oldest first */
} obs_newest;

/* `keep` from 1 to OBS_NEWEST_MAX. */
observer_err obs_newest_init(obs_newest *x, uint32_t keep);
void obs_newest_fini(obs_newest *x);
void obs_newest_add(obs_newest *x, const obs_op *op, uint64_t seq);
/* Adds those of `from`, which stays as it is (but for the order of its rows). */
void obs_newest_merge(obs_newest *x, obs_newest *from);
/* Drops what is too much, and sorts the rest, the oldest first. */
void obs_newest_settle(obs_newest *x);

/*   newest   keep; names { 1 + len name }, 0; n { zigzag ms since the row before, zigzag seq since it, 2 source +
 *            success }; digests { received seq success { 0, or 1 and the text } x 4 } */
void obs_newest_save(obs_newest *x, obs_buf *out);
/* Into an empty one of any `keep`; in->bad when the bytes are none, or there is no memory. */
void obs_newest_load(obs_newest *x, obs_pack_reader *in);

#endif
