#include "fleet/positions.h"

#include "base/log.h"

#include <stdlib.h>

enum {
  PAST = 256,      /* positions that a partition remembers: longer than two of the servers' sync intervals */
  ANCHORS = 40,    /* batches of any partition that are looked at: of more than two looks */
  EVERY_MS = 1000, /* one of each is remembered */
};

/* Which places of an array have what was remembered; the oldest falls out. */
typedef struct {
  uint32_t first, n;
  uint64_t last_ms; /* when the last one was acknowledged */
} ring;

typedef struct {
  obs_position last;       /* that is known to stand in the stream */
  obs_position past[PAST]; /* those before it, and perhaps itself */
  ring remembered;         /* of `past` */
} partition;

/* A batch that was acknowledged: it must stand where it did. */
typedef struct {
  uint32_t p;
  obs_position at;
} anchor;

struct obs_positions {
  uint64_t edge;
  uint64_t stream_id; /* 0: none was seen yet */
  partition parts[OBS_FLEET_PARTITIONS];
  anchor anchors[ANCHORS];
  ring dropped;        /* of `anchors` */
  uint32_t newest;     /* the partition of the batch that the stream has taken last */
  uint64_t newest_seq; /* and its message; 0: none is known */
  uint64_t lost_from;  /* this message was lost, though one behind it may stand; 0: nothing */
};

observer_err obs_positions_open(uint64_t edge, uint64_t stream_id, const obs_position last[OBS_FLEET_PARTITIONS],
                                obs_positions **out) {
  obs_positions *x = *out = calloc(1, sizeof(*x));
  if (x == NULL) return OBSERVER_E_NOMEM;
  x->edge = edge;
  x->stream_id = stream_id;
  for (uint32_t p = 0; p < OBS_FLEET_PARTITIONS; p++) x->parts[p].last = last[p];
  return OBSERVER_E_OK;
}

void obs_positions_close(obs_positions *x) {
  free(x);
}

uint64_t obs_positions_stream_id(const obs_positions *x) {
  return x->stream_id;
}

uint64_t obs_positions_newest(const obs_positions *x) {
  return x->newest_seq;
}

/* ---- what is remembered ---- */

static uint32_t ring_at(const ring *r, uint32_t size, uint32_t i) {
  return (r->first + i) % size;
}

/* Where another one goes. False: the last one is not old enough. */
static bool ring_add(ring *r, uint32_t size, uint64_t now_ms, uint32_t *at) {
  if (r->n > 0 && now_ms - r->last_ms < EVERY_MS) return false;
  if (r->n == size)
    r->first = (r->first + 1) % size;
  else
    r->n++;
  r->last_ms = now_ms;
  *at = ring_at(r, size, r->n - 1);
  return true;
}

/* From the oldest on. */
static const obs_position *past_at(const partition *part, uint32_t i) {
  return &part->past[ring_at(&part->remembered, PAST, i)];
}

static const anchor *anchor_at(const obs_positions *x, uint32_t i) {
  return &x->anchors[ring_at(&x->dropped, ANCHORS, i)];
}

bool obs_positions_acknowledged(obs_positions *x, uint32_t p, obs_position at, uint64_t above, uint64_t now_ms) {
  partition *part = &x->parts[p];
  uint32_t i;
  if (at.stream_seq > x->newest_seq) {
    x->newest = p;
    x->newest_seq = at.stream_seq;
  }
  if (at.stream_seq <= above) return false;
  part->last = at;
  if (ring_add(&part->remembered, PAST, now_ms, &i)) part->past[i] = at;
  if (ring_add(&x->dropped, ANCHORS, now_ms, &i)) x->anchors[i] = (anchor){p, at};
  return true;
}

void obs_positions_go_on(obs_positions *x, const obs_position found[OBS_FLEET_PARTITIONS], uint64_t stream_id) {
  x->newest_seq = 0;
  for (uint32_t p = 0; p < OBS_FLEET_PARTITIONS; p++) {
    partition *part = &x->parts[p];
    part->last = found[p];
    while (part->remembered.n > 0 && past_at(part, part->remembered.n - 1)->stream_seq > found[p].stream_seq)
      part->remembered.n--;
    if (found[p].stream_seq > x->newest_seq) {
      x->newest = p;
      x->newest_seq = found[p].stream_seq;
    }
  }
  while (x->dropped.n > 0) {
    uint64_t last = anchor_at(x, x->dropped.n - 1)->at.stream_seq;
    bool lost = x->lost_from > 0 && last >= x->lost_from;
    if (!lost && last <= x->newest_seq) break;
    x->dropped.n--;
  }
  x->lost_from = 0;
  x->stream_id = stream_id;
}

/* ---- what the stream has ---- */

/* The last row of a message that is a batch of this edge and partition. NOTFOUND: it is none. */
static observer_err read_own(const obs_positions *x, uint32_t p, const obs_buf *message, uint64_t *last) {
  char reason[OBS_FLEET_REASON_MAX];
  obs_fleet_batch_view v;
  obs_buf room = {0};
  observer_err err = obs_fleet_batch_read(message->p, message->len, &room, &v, reason);
  obs_buf_fini(&room);
  if (err == OBSERVER_E_NOMEM) return err;
  if (err != OBSERVER_E_OK || v.edge != x->edge || v.p != p) return OBSERVER_E_NOTFOUND;
  *last = v.last;
  return OBSERVER_E_OK;
}

/* The last batch of this edge in the stream. NOTFOUND: there is none. */
static observer_err look_up(const obs_positions *x, obs_nats *nats, uint32_t p, obs_position *out, char *why) {
  char subject[OBS_FLEET_SUBJECT_MAX];
  obs_buf message = {0};
  obs_fleet_batch_subject(x->edge, p, subject);
  observer_err err = obs_nats_stream_last(nats, OBS_FLEET_STREAM, subject, &out->stream_seq, &message, why);
  if (err == OBSERVER_E_OK) {
    err = read_own(x, p, &message, &out->seq);
    if (err == OBSERVER_E_NOTFOUND)
      obs_log_error("fleet", "the last message of %s is no batch of this edge: its partition is published again",
                    subject);
  }
  obs_buf_fini(&message);
  return err;
}

/* The last row of the batch that this message is. NOTFOUND: it is none of this edge and partition, or not there. */
static observer_err look_at(const obs_positions *x, obs_nats *nats, uint32_t p, uint64_t stream_seq, uint64_t *last,
                            char *why) {
  obs_buf message = {0};
  observer_err err = obs_nats_stream_get(nats, OBS_FLEET_STREAM, stream_seq, &message, why);
  if (err == OBSERVER_E_OK) err = read_own(x, p, &message, last);
  obs_buf_fini(&message);
  return err;
}

/* Whether the batch that was acknowledged at this position still stands there. What those who run the stream have taken
 * out of its beginning counts as there. */
static observer_err stands(const obs_positions *x, obs_nats *nats, uint32_t p, const obs_position *at,
                           const obs_nats_stream *stream, bool *out, char *why) {
  uint64_t last = 0;
  *out = true;
  if (at->stream_seq < stream->first_seq) return OBSERVER_E_OK;
  observer_err err = look_at(x, nats, p, at->stream_seq, &last, why);
  *out = err == OBSERVER_E_OK && last == at->seq;
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
}

/* The stream has lost its end, and behind that has taken a batch of which those before it are missing. What it has lost
 * is its end, so all before the newest position that still stands is there. None that is remembered does: from the
 * journal's beginning. `below`: positions at that message and behind it tell nothing. */
static observer_err find_standing(const obs_positions *x, obs_nats *nats, uint32_t p, uint64_t below,
                                  const obs_nats_stream *stream, obs_position *out, char *why) {
  const partition *part = &x->parts[p];
  uint32_t low = 0, high = part->remembered.n; /* `low` of them stand, from the oldest on */
  while (high > 0 && past_at(part, high - 1)->stream_seq >= below) high--;
  *out = (obs_position){0};
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    const obs_position *at = past_at(part, middle);
    bool there = false;
    observer_err err = stands(x, nats, p, at, stream, &there, why);
    if (err != OBSERVER_E_OK) return err;
    if (there) {
      *out = *at;
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return OBSERVER_E_OK;
}

static observer_err find(const obs_positions *x, obs_nats *nats, uint32_t p, const obs_nats_stream *stream,
                         obs_position *out, char *why) {
  const obs_position *acked = &x->parts[p].last;
  bool same = x->stream_id == stream->id && acked->stream_seq > 0, there = true;
  if (x->stream_id != 0 && x->stream_id != stream->id) {
    *out = (obs_position){0}; /* whatever it has taken already, those before it are missing */
    return OBSERVER_E_OK;
  }
  observer_err err = look_up(x, nats, p, out, why);
  if (err == OBSERVER_E_NOTFOUND) { /* what those who run the stream have taken out counts as there */
    *out = same && stream->first_seq > acked->stream_seq ? *acked : (obs_position){0};
    return OBSERVER_E_OK;
  }
  bool hides = x->lost_from > 0 || out->seq > acked->seq; /* a later batch may be there without those before it */
  if (err != OBSERVER_E_OK || !same || !hides) return err;
  bool vouches = x->lost_from == 0 || acked->stream_seq < x->lost_from; /* when it stands, all is there */
  if (vouches) err = stands(x, nats, p, acked, stream, &there, why);
  if (err != OBSERVER_E_OK || (vouches && there)) return err;
  obs_position before;
  err = find_standing(x, nats, p, x->lost_from > 0 ? x->lost_from : UINT64_MAX, stream, &before, why);
  if (err == OBSERVER_E_OK && before.seq < out->seq) *out = before;
  return err;
}

observer_err obs_positions_find(const obs_positions *x, obs_nats *nats, const obs_nats_stream *stream,
                                obs_position out[OBS_FLEET_PARTITIONS], char *why) {
  observer_err err = OBSERVER_E_OK;
  for (uint32_t p = 0; p < OBS_FLEET_PARTITIONS && err == OBSERVER_E_OK; p++)
    err = find(x, nats, p, stream, &out[p], why);
  return err;
}

/* Servers may lose what they have acknowledged, or the whole stream, without any connection ending. Whatever was lost
 * of its end, this edge's last batch is lost with it. */
bool obs_positions_have_gone_back(obs_positions *x, obs_nats *nats) {
  obs_nats_stream stream;
  uint64_t last;
  observer_err err = obs_nats_stream_look(nats, OBS_FLEET_STREAM, &stream, NULL);
  if (err == OBSERVER_E_NOTFOUND) return true;
  if (err != OBSERVER_E_OK) return false;
  if (stream.id != x->stream_id) return true;
  for (uint32_t i = 0; i < x->dropped.n; i++) {
    const anchor *a = anchor_at(x, i);
    bool there = true;
    if (stands(x, nats, a->p, &a->at, &stream, &there, NULL) != OBSERVER_E_OK) return false;
    if (there) continue;
    x->lost_from = a->at.stream_seq;
    return true;
  }
  return x->newest_seq >= stream.first_seq &&
         look_at(x, nats, x->newest, x->newest_seq, &last, NULL) == OBSERVER_E_NOTFOUND;
}
