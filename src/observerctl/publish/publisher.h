/* Publishes through libobserver, paces, and keeps what became of each record. One thread, the caller's.
 *
 * In acknowledged mode a full batch waits for its answer; in the others it waits for room in the client's queue. No
 * wait is longer than the timeout without a message getting through, and a signal ends every wait within GRACE_MS. */
#ifndef OBS_OBSERVERCTL_PUBLISHER_H
#define OBS_OBSERVERCTL_PUBLISHER_H

#include "base/buf.h"
#include "observerctl/ask/sockets.h"
#include "observerctl/cli/command.h"
#include "observerctl/cli/interrupt.h"

#include <observer/observer.h>

enum { OBS_PUBLISHER_BATCH_OPS = 512, OBS_PUBLISHER_BATCH_OPS_MAX = 10000 };

/* Where a record came from. */
typedef struct {
  const char *file; /* NULL: not a file */
  uint64_t number;  /* of the record in its file, from 1 */
  uint64_t line;    /* from 1; 0: it has none */
  uint64_t offset;  /* bytes from 0 */
} obs_publisher_origin;

typedef struct {
  uint64_t sent;                           /* records handed to the transport, or answered */
  uint64_t accepted, duplicates, rejected; /* of those, by the answers */
} obs_publisher_totals;

typedef struct obs_publisher_item obs_publisher_item;

typedef struct {
  /* Set by the caller. */
  observer_mode mode;
  const char *url;      /* NULL: the one of the mode of the daemon that the command's --url names */
  const obs_args *args; /* of the command */
  uint32_t timeout_ms;
  obs_interrupt *interrupt; /* open */
  const char *topic;        /* NULL: none */
  uint32_t batch_ops;       /* most records a batch */
  uint64_t rate;            /* records a second; 0: as fast as it goes */
  void (*rejected)(void *arg, const obs_publisher_origin *origin, obs_str reason); /* NULL: not asked for */
  void *arg;

  /* To be read. */
  obs_publisher_totals totals;
  uint32_t gathered; /* records of the batch so far */
  bool stopped;      /* a signal ended a wait */
  bool failed;       /* something else did: `error`, which begins with the URL */
  char error[384];

  /* The publisher's own. */
  observer_client *client;
  obs_publisher_item *items; /* one for each gathered record */
  uint64_t started_ns, paced;
  char found[OBS_SOCKETS_URL_MAX];
  char reason[520]; /* of obs_publisher_ask */
} obs_publisher;

/* Which of --push, --pub and --req is meant; the first that the command's table has when none was given, or --push with
 * --no-ack. *url is NULL where none was given. False and a message on stderr when more than one was. */
bool obs_publisher_choose(const obs_args *args, observer_mode *mode, const char **url);
/* The daemon's URL for a mode, as obs_sockets_find has it. False: `error` has the reason. */
bool obs_publisher_find(const obs_args *args, observer_mode mode, uint32_t timeout_ms, char url[OBS_SOCKETS_URL_MAX],
                        char *error, size_t size);
/* Connects, trying until the timeout. False: `stopped` or `failed`. Close in either case. */
bool obs_publisher_open(obs_publisher *p);
/* Takes one record, a JSON object or a msgpack map, and sends the batch when it is full. False: `stopped` or
 * `failed`. */
bool obs_publisher_add(obs_publisher *p, const void *bytes, size_t len, const obs_publisher_origin *origin);
/* The same for an op, which is not reported on. */
bool obs_publisher_add_op(obs_publisher *p, const observer_op *op);
/* Acknowledged mode: publishes any bytes as one message and waits for the daemon's counts of what it held, which the
 * totals get too. *reason: of a rejection, "" without one; it lives until the next call. */
bool obs_publisher_ask(obs_publisher *p, const void *bytes, size_t len, obs_publisher_totals *out, obs_str *reason);
/* Sends what is gathered. */
bool obs_publisher_send(obs_publisher *p);
/* The end of the input, or of the patience: sends what is gathered, unless sending failed or a signal ended it, waits
 * until it is out, and disconnects. NULL, or the failure. */
const char *obs_publisher_end(obs_publisher *p);
/* All zero is closed already. */
void obs_publisher_close(obs_publisher *p);

#endif
