/* One daemon of a fleet asks others what only they know: the edges for their rows, the leader for what was learned.
 *
 * A question is a message of core NATS with a reply subject, `{"v":1,"target":"/v1/observer/ops?limit=10"}`; with a
 * member `for`, `{"<who>":"cursor=a7",...}`, it is for those alone, and the text is one more parameter of the target.
 * Who is asked runs the target as a GET on its own bridge, through that one's own Unix socket (bridge.h), so that
 * parameters, threads and bounds are those of any request; who may ask at all is decided by the daemon that was asked
 * first, and by NATS. The answer comes on `<reply>.<who>.<status>.<k>.<n>`, part k of n (OBS_FLEET_ASK_PART each; one
 * empty part when there is no body), with the status of HTTP; before it comes `<reply>.<who>.102.0.0`: it was heard,
 * and is worked on. So who is dead costs a moment, and who reads its disk gets the time that it needs.
 *
 * Threads: an answerer has its own, obs:answer, and one request at a time; libnats' threads only note and copy.
 *   obs_fleet_ask: any thread, several at a time; it waits.
 * Memory, answerer: OBS_FLEET_ASK_WAITING targets, and a body of OBS_FLEET_ASK_BODY. Asker: of each question
 *   OBS_FLEET_ASK_MEMBERS answers, all together OBS_FLEET_ASK_BYTES. What is beyond is dropped and counted.
 * Failure: NET: NATS is away. What others sent is not trusted: what does not hold together is as if it had not come. */
#ifndef OBS_FLEET_ASK_H
#define OBS_FLEET_ASK_H

#include "nats/jetstream.h"

#define OBS_FLEET_ASK_EDGES "observer.ask.edges"
#define OBS_FLEET_ASK_LEADER "observer.ask.leader"

enum {
  OBS_FLEET_ASK_TARGET = 12 << 10, /* bytes of a target; a head of HTTP has 16 KiB */
  OBS_FLEET_ASK_PART = 512 << 10,
  OBS_FLEET_ASK_BODY = 8 << 20,   /* of one answer */
  OBS_FLEET_ASK_BYTES = 64 << 20, /* of all answers to a question */
  OBS_FLEET_ASK_MEMBERS = 256,
  OBS_FLEET_ASK_WAITING = 64,    /* requests at an answerer */
  OBS_FLEET_ASK_RUN_MS = 10000,  /* of one request at an answerer; older ones are not begun */
  OBS_FLEET_ASK_BEGIN_MS = 2000, /* who has not been heard of by then is missing */
  OBS_FLEET_ASK_WAIT_MS = 10000, /* who has not answered by then is missing */
  OBS_FLEET_ASK_WHO_MAX = 32     /* bytes of a name: 0-9 a-z - */
};

/* Whether it is the name of one who answers. */
bool obs_fleet_ask_is_name(const char *who, size_t len);

/* ---- who answers ---- */

typedef struct obs_fleet_answerer obs_fleet_answerer;

/* `who`: what this daemon is called in answers: an edge's id, a worker's. `socket`: of the bridge, which listens
 * already. `nats` outlives it. */
observer_err obs_fleet_answerer_open(obs_nats *nats, const char *subject, const char *who, const char *socket,
                                     obs_fleet_answerer **out, char *why);
/* The request under way is given up. NULL is allowed. Before the bridge stops. */
void obs_fleet_answerer_close(obs_fleet_answerer *a);

typedef struct {
  uint64_t answered; /* with whatever status */
  uint64_t refused;  /* what was asked is no target */
  uint64_t dropped;  /* there was no room, or it had waited too long */
  uint64_t failed;   /* the bridge did not answer, or NATS did not take the answer */
} obs_fleet_answerer_counts;
/* Adds what it has counted. Any thread. NULL: nothing. */
void obs_fleet_answerer_add_counts(obs_fleet_answerer *a, obs_fleet_answerer_counts *sum);

/* What a question's body says to `who`: its target, with a NUL behind it. WRONG: it is none: not version 1, or not a
 * plain path below /v1/observer/ with a query of printable ASCII. */
typedef enum { OBS_FLEET_ASK_WRONG, OBS_FLEET_ASK_OTHERS, OBS_FLEET_ASK_MINE } obs_fleet_asked;
obs_fleet_asked obs_fleet_ask_read(const void *data, size_t len, const char *who,
                                   char target[OBS_FLEET_ASK_TARGET + 1]);

/* ---- who asks ---- */

typedef struct obs_fleet_asker obs_fleet_asker;

/* `nats` outlives it. */
observer_err obs_fleet_asker_open(obs_nats *nats, obs_fleet_asker **out, char *why);
/* Nobody asks any more. NULL is allowed. */
void obs_fleet_asker_close(obs_fleet_asker *a);

/* One who is expected to answer, or (`away`) who is asked, but not waited for unless it is heard of. */
typedef struct {
  char who[OBS_FLEET_ASK_WHO_MAX + 1];
  bool away;
  const char *more; /* a parameter of its own, "cursor=a7"; NULL: none */
} obs_fleet_member;

typedef struct {
  const char *subject, *target;
  const obs_fleet_member *members;
  uint32_t nmembers;
  bool only; /* the members; else whoever hears it answers, and the members are waited for */
  bool one;  /* the first answer will do */
} obs_fleet_question;

typedef struct {
  const char *who;
  uint16_t status; /* 0: no whole answer came in time */
  obs_str body;
} obs_fleet_reply;

/* Asks and waits; then `fn` is called on this thread, of each who was expected or heard of, in the order of their
 * names. With `one`, of the one that answered; NOTFOUND: nobody did. NET: NATS is away. INVALID: no target. */
observer_err obs_fleet_ask(obs_fleet_asker *a, const obs_fleet_question *q,
                           void (*fn)(void *arg, const obs_fleet_reply *reply), void *arg);

typedef struct {
  uint64_t asked;   /* questions */
  uint64_t missing; /* answers that were expected and did not come, or not whole */
  uint64_t dropped; /* parts of answers: too late, too large, too many, or malformed */
} obs_fleet_asker_counts;
/* As obs_fleet_answerer_add_counts. */
void obs_fleet_asker_add_counts(obs_fleet_asker *a, obs_fleet_asker_counts *sum);

#endif
