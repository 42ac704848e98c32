/* The ways by which a message comes in, and how each is treated: a row each, which commit and the sources go by. */
#ifndef OBS_OP_TRANSPORT_H
#define OBS_OP_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

/* What happens to a batch when the queue holds the transport's share of its bytes. Best effort yields: so it never
 * keeps those from the queue who wait for an answer. */
typedef enum {
  OBS_TRANSPORT_PAUSES, /* it is taken, and its source reads no more until there is room: senders feel it */
  OBS_TRANSPORT_SHEDS,  /* it is lost and counted: its sender cannot be slowed */
  OBS_TRANSPORT_REFUSES /* its peer is told to try again */
} obs_transport_full;

typedef struct {
  obs_transport_full full;
  uint8_t share;       /* of the queue, percent */
  uint8_t more_share;  /* the same for a peer that has others in it already; 0: as `share` */
  bool waits_for_disk; /* while the disk fails; else its peer is told at once */
  bool comes_again;    /* what was not recorded is sent again: it counts as received when it is, else as refused */
  bool confirms;       /* its peer's answer may wait for more than the journal: obs_commit_opts.confirm */
  bool topics;         /* a message may begin with one */
} obs_transport_policy;

#define OBS_TRANSPORT_MAP(X)                                                                                           \
  X(PULL, "pull", .full = OBS_TRANSPORT_PAUSES, .share = 75, .waits_for_disk = true, .topics = true)                   \
  X(SUB, "sub", .full = OBS_TRANSPORT_SHEDS, .share = 50, .waits_for_disk = true, .topics = true)                      \
  X(REP, "rep", .full = OBS_TRANSPORT_REFUSES, .share = 100, .more_share = 50, .comes_again = true, .confirms = true,  \
    .topics = true)                                                                                                    \
  X(HTTP, "http", .full = OBS_TRANSPORT_REFUSES, .share = 100, .comes_again = true, .confirms = true)                  \
  X(TAIL, "tail", .full = OBS_TRANSPORT_REFUSES, .share = 100, .comes_again = true) /* the file of corrections */      \
  X(NATS, "nats", .full = OBS_TRANSPORT_PAUSES, .share = 75, .comes_again = true)   /* producers on observer.in.> */

typedef enum {
#define OBS_TRANSPORT_ENUM(name, ...) OBS_TRANSPORT_##name,
  OBS_TRANSPORT_MAP(OBS_TRANSPORT_ENUM)
#undef OBS_TRANSPORT_ENUM
      OBS_TRANSPORT_COUNT
} obs_transport;

extern const char *const obs_transport_names[OBS_TRANSPORT_COUNT];
extern const obs_transport_policy obs_transport_policies[OBS_TRANSPORT_COUNT];

#endif
