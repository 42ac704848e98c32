/* Gathers records into messages, paces them, sends them, and tells what became of which record. One thread. */
#ifndef OBS_OBSERVERCTL_PUBLISHER_H
#define OBS_OBSERVERCTL_PUBLISHER_H

#include "base/buf.h"
#include "observerctl/cli/interrupt.h"
#include "observerctl/publish/sender.h"

/* BATCH_BYTES: a message is sent before it is larger than that, but for its last record. */
enum { OBS_PUBLISHER_BATCH_OPS = 512, OBS_PUBLISHER_BATCH_OPS_MAX = 10000, OBS_PUBLISHER_BATCH_BYTES = 1 << 20 };

/* Where a record came from. */
typedef struct {
  const char *file; /* NULL: not a file */
  uint64_t number;  /* of the record in its file, from 1 */
  uint64_t line;    /* from 1; 0: it has none */
  uint64_t offset;  /* bytes from 0 */
} obs_origin;

typedef struct {
  uint64_t sent;                           /* records handed to the socket, or answered */
  uint64_t accepted, duplicates, rejected; /* of those, by the answers */
} obs_totals;

typedef struct {
  /* Set by the caller. */
  obs_sender *sender;
  obs_interrupt *interrupt;
  const char *topic;  /* NULL: none */
  uint32_t batch_ops; /* most records a message */
  uint64_t rate;      /* records a second; 0: as fast as it goes */
  void (*rejected)(void *arg, const obs_origin *origin, obs_str reason);
  void *arg;

  obs_totals totals; /* to be read */

  /* The publisher's own. */
  obs_buf message;
  obs_origin *origins;
  uint32_t gathered;
  bool failed; /* sending did, other than by a signal */
  uint64_t started_ns, paced;
} obs_publisher;

/* False: no memory. Close in either case. */
bool obs_publisher_open(obs_publisher *p);
/* Takes one record, JSON or msgpack (not mixed), and sends the message when it is full. False: it could not be sent;
 * the sender's `error` says why, or the interrupt has been taken. */
bool obs_publisher_add(obs_publisher *p, const void *bytes, size_t len, const obs_origin *origin);
/* Sends what is gathered. */
bool obs_publisher_send(obs_publisher *p);
/* The end of the input, or of the patience: sends what is gathered, unless sending failed before or a signal ended
 * that, and waits until it is out. NULL, or the failure. */
const char *obs_publisher_end(obs_publisher *p);
void obs_publisher_close(obs_publisher *p);

/* "N sent" or, when they were acknowledged, "N sent: N accepted, N duplicates, N rejected". */
void obs_totals_print(const obs_totals *t, bool acknowledged, FILE *out);
/* The same as JSON members, without brackets. */
void obs_totals_json(const obs_totals *t, bool acknowledged, obs_buf *out);

#endif
