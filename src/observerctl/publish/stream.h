/* Splits a stream of ops into records as it is read: JSON (objects one after the other, NDJSON, arrays of objects) or
 * msgpack (maps one after the other, arrays of maps), told apart by the first byte.
 *
 * Memory is bounded by the largest record. A record is whole and well-formed; what is in it is the daemon's to judge. A
 * broken JSON record is told, and reading goes on at the next line that starts with `{`; behind a broken msgpack record
 * nothing can be told apart any more. One thread. */
#ifndef OBS_OBSERVERCTL_STREAM_H
#define OBS_OBSERVERCTL_STREAM_H

#include "base/buf.h"

/* RECORD_BYTES: a larger record is bad. HELD_BYTES: one that is larger than that is not even read to its end. */
enum { OBS_STREAM_RECORD_BYTES = 256 << 10, OBS_STREAM_HELD_BYTES = 4 << 20 };

typedef enum { OBS_STREAM_RECORD, OBS_STREAM_BAD, OBS_STREAM_MORE } obs_stream_result;

typedef struct {
  const char *p; /* until the next call; msgpack or JSON text; NULL when bad */
  size_t len;
  uint64_t number;    /* from 1; bad ones count */
  uint64_t line;      /* where it starts, from 1; 0 in msgpack */
  uint64_t offset;    /* where it starts, bytes from 0 */
  const char *reason; /* of a bad one; a byte that it names is counted from the record's start */
} obs_stream_item;

typedef struct {
  obs_buf buf;
  size_t at;        /* what is before it is done with */
  size_t tried;     /* bytes of the unfinished record that were looked at in vain */
  uint64_t offset;  /* of buf.p[0] in the stream */
  uint64_t line;    /* of buf.p[at] */
  uint64_t number;  /* records so far */
  uint64_t left;    /* msgpack: elements of the array being read */
  char reason[256]; /* of the last bad record */
  enum { OBS_STREAM_UNKNOWN, OBS_STREAM_JSON, OBS_STREAM_MSGPACK } format;
  enum {
    OBS_ARRAY_NONE,
    OBS_ARRAY_FIRST,
    OBS_ARRAY_ELEMENT,
    OBS_ARRAY_BEHIND,
    OBS_ARRAY_BROKEN
  } array;       /* JSON: where in one */
  bool skipping; /* JSON: to the next line that starts with `{` */
  bool dead;     /* msgpack: nothing more can be read */
  bool ended;
} obs_stream;

void obs_stream_init(obs_stream *s);
void obs_stream_fini(obs_stream *s);
/* Room for `n` bytes to be read into. NULL: no memory. Records given out before are gone. */
char *obs_stream_room(obs_stream *s, size_t n);
/* `n` bytes were read there; 0: the stream has ended. */
void obs_stream_fed(obs_stream *s, size_t n);
/* The next record, good or bad. MORE: feed it; at the end of the stream: that was all. */
obs_stream_result obs_stream_next(obs_stream *s, obs_stream_item *out);

#endif
