/* The last N ops: what `/stats` is about, and the rows that a query reads without the disk.
 *
 * Every row keeps its place in the counts until N newer ones came. Its JSON text is in a circular arena of bytes that
 * grows up to `text_bytes`; exactly the newest rows whose texts fit together have theirs. Totals and by_source are kept
 * by adding what comes and subtracting what goes. Not thread-safe: the state's lock covers it.
 *
 * Memory at worst: 40 bytes a row, the arena (while it grows, half of it more), OBS_RING_NAME_BYTES and about 60 bytes
 * a name for distinct sources (beyond that sources count as OBS_NAMES_OTHER), and ten digests of four strings each. */
#ifndef OBS_STATE_RING_H
#define OBS_STATE_RING_H

#include "base/names.h"
#include "op/op.h"

enum { OBS_RING_DIGESTS = 10, OBS_RING_NAME_BYTES = 2 << 20 };

typedef struct {
  uint64_t seq;
  int64_t received_ms, skew_ms;
  uint64_t text; /* where its text starts among all the bytes ever put in the arena */
  uint32_t len;
  uint32_t source : 31; /* id in `sources` */
  uint32_t success : 1;
} obs_ring_row;

/* One of the last scenario ops: its five fields as /stats shows them. */
typedef struct {
  uint64_t nth; /* which push it was, from 1; 0: none */
  bool ok;
  uint32_t present; /* OBS_BIT of what was set */
  uint32_t len[4];  /* timestamp, staffer_id, event_kind, role, one after the other in text */
  obs_buf text;
} obs_ring_digest;

typedef struct {
  obs_ring_row *rows;
  uint32_t cap, count, next; /* next: where the next row goes */
  uint64_t pushed;           /* rows ever */
  uint64_t successes;
  obs_names sources; /* refs: rows in the ring */

  char *text;
  uint32_t text_cap, text_max;
  uint64_t head;  /* bytes ever put in; byte b is at text[b % text_cap] */
  uint64_t floor; /* bytes before this one are gone */

  obs_ring_digest digests[OBS_RING_DIGESTS];
  uint32_t next_digest;

  struct {
    uint64_t pushed; /* as of when */
    obs_buf text;    /* empty: there is none */
  } stats[2];        /* the last answer of obs_ring_stats_json, in either form */
} obs_ring;

observer_err obs_ring_init(obs_ring *r, uint32_t rows, uint32_t text_bytes);
void obs_ring_fini(obs_ring *r);
static inline bool obs_ring_is_scenario(const obs_op *op) {
  return OBS_HAS(op, source) && op->source.len == 8 && memcmp(op->source.p, "scenario", 8) == 0;
}
/* The newest op. `line.p` NULL: a text of `line.len` bytes that later rows are known to displace. `digest`: one of the
 * last OBS_RING_DIGESTS scenario ops, as far as is known. */
void obs_ring_push(obs_ring *r, const obs_op *op, uint64_t seq, obs_str line, bool digest);

/* The i-th row from the newest (0). */
static inline const obs_ring_row *obs_ring_row_at(const obs_ring *r, uint32_t i) {
  return &r->rows[(r->next + r->cap - 1 - i) % r->cap];
}
/* Appends the text of a row that has one. */
void obs_ring_text(const obs_ring *r, const obs_ring_row *row, obs_buf *out);
/* Rows in the ring with this source. */
uint64_t obs_ring_of_source(obs_ring *r, obs_str source);
/* The body of /stats, at most about 1 MB: names are shown as obs_names_shown cuts them. */
void obs_ring_stats_json(obs_ring *r, bool omit_unset, obs_buf *out);

#endif
