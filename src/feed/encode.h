/* A journal row as the feed's msgpack map. */
#ifndef OBS_FEED_ENCODE_H
#define OBS_FEED_ENCODE_H

#include "base/buf.h"
#include "feed/queue.h"

#include <msgpack.h>

/* One thread's. */
typedef struct {
  obs_buf text; /* the last one that had escapes, without them */
  msgpack_packer pk;
  obs_buf out;
} obs_feed_encoder;

observer_err obs_feed_encoder_init(obs_feed_encoder *e);
void obs_feed_encoder_fini(obs_feed_encoder *e);
/* Appends the row to `out`: seq, topic_seq, then its fields in their order. A field of the producer's own that has one
 * of these two names is left out. False: no memory (out->oom), or not a row; `out` is as before. */
bool obs_feed_encode(obs_feed_encoder *e, const obs_feed_row *row);

/* Appends the members of a row alone, and counts them: obs_feed_publish takes these. */
bool obs_feed_encode_members(obs_feed_encoder *e, obs_str row, uint32_t *entries);

/* Begins the map of a row or a publication: a count filled in later, then the two numbers. */
void obs_feed_pack_head(msgpack_packer *pk, obs_buf *out, uint64_t seq, uint64_t topic_seq);
/* Gives the map that begins at `at` its count, the two numbers included. */
void obs_feed_pack_count(obs_buf *out, size_t at, uint32_t entries);
/* A packer that writes to `out`. */
void obs_feed_packer(msgpack_packer *pk, obs_buf *out);
void obs_feed_pack_str(msgpack_packer *pk, obs_str s);
void obs_feed_pack_u64(msgpack_packer *pk, obs_str key, uint64_t value);

#endif
