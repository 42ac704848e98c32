/* An observer_op as msgpack: measured first, so that it is written into room that suffices, without checks. */
#ifndef OBS_CLIENT_ENCODE_H
#define OBS_CLIENT_ENCODE_H

#include <observer/observer.h>

/* The daemon's default limits. */
enum { OBS_CLIENT_TEXT_MAX = 64 * 1024, OBS_CLIENT_OP_MAX = 256 * 1024, OBS_CLIENT_DEPTH_MAX = 8 };
/* Of a finished record, whose values the daemon judges. */
enum { OBS_CLIENT_RECORD_DEPTH_MAX = 64 };

typedef enum {
#define OBS_CLIENT_FIELD(name, kind, required, rule) OBS_CLIENT_FIELD_##name,
  OBSERVER_OP_FIELDS(OBS_CLIENT_FIELD)
#undef OBS_CLIENT_FIELD
      OBS_CLIENT_FIELDS
} obs_client_field;

typedef struct {
  size_t size;                     /* most bytes that the pairs take, without the map's head */
  uint32_t n;                      /* pairs */
  uint32_t len[OBS_CLIENT_FIELDS]; /* of each text that is there */
} obs_client_measure;

void obs_client_op_measure(const observer_op *op, obs_client_measure *m);
/* Whether the daemon would take it: see observer_publish. `m` is its measure. */
bool obs_client_op_valid(const observer_op *op, const obs_client_measure *m);
/* Writes the pairs; returns the end. */
char *obs_client_op_write(char *p, const observer_op *op, const obs_client_measure *m);
/* Whether `len` bytes are exactly one msgpack value with at most `depth` arrays and maps in each other. */
bool obs_client_msgpack_valid(const void *bytes, size_t len, unsigned depth);
/* UTF-8 and not too long. */
bool obs_client_text_valid(const char *s, size_t len);

#endif
