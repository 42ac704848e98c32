/* What publishing commands share: their flags, the signals, the publisher, and what they print: each record that was
 * not taken, and the result, as text or as one JSON object. One thread. */
#ifndef OBS_OBSERVERCTL_POST_H
#define OBS_OBSERVERCTL_POST_H

#include "observerctl/cli/term.h"
#include "observerctl/publish/publisher.h"

/* How it is published, of every command that publishes: acknowledged, unless told otherwise. */
#define OBS_FLAGS_WAY                                                                                                  \
  {"req", 0, "[URL]", .type = OBS_OPTION_MAYBE,                                                                        \
   .help = "use the daemon's REP socket, which acknowledges ops (the default), or the one at URL"},                    \
      {"push", 0, "[URL]", .type = OBS_OPTION_MAYBE,                                                                   \
       .help = "use the daemon's PULL socket, which does not acknowledge, or the one at URL"},                         \
  {                                                                                                                    \
    "no-ack", .help = "do not wait for acknowledgements; the same as --push"                                           \
  }

/* Flags that go with it, beside those of the sockets. */
#define OBS_FLAGS_POST                                                                                                 \
  {"batch",                                                                                                            \
   'b',                                                                                                                \
   "N",                                                                                                                \
   .initial = "512",                                                                                                   \
   .type = OBS_OPTION_NUMBER,                                                                                          \
   .min = 1,                                                                                                           \
   .max = OBS_PUBLISHER_BATCH_OPS_MAX,                                                                                 \
   .help = "most ops to send at once, 1 to 10000 (a message holds up to 1000)"},                                       \
      {"rate",                                                                                                         \
       'r',                                                                                                            \
       "N",                                                                                                            \
       .initial = "0",                                                                                                 \
       .type = OBS_OPTION_NUMBER,                                                                                      \
       .max = OBS_POST_RATE_MAX,                                                                                       \
       .help = "ops per second; 0: as fast as possible"},                                                              \
      {"timeout",                                                                                                      \
       0,                                                                                                              \
       "TIME",                                                                                                         \
       .initial = "5000",                                                                                              \
       .type = OBS_OPTION_NUMBER,                                                                                      \
       .min = 1,                                                                                                       \
       .max = OBS_POST_TIMEOUT_MAX_MS,                                                                                 \
       .bare = 1,                                                                                                      \
       .help = "longest wait for the daemon, at the start and for each message: 5s, or a number of milliseconds"},     \
      OBS_FLAG_JSON

enum { OBS_POST_RATE_MAX = 10000000, OBS_POST_TIMEOUT_MAX_MS = 3600000 };
/* OBS_POST_LINGER_MS: a record waits for company at most that long. */
enum { OBS_POST_LINGER_MS = 10, OBS_POST_ERRORS = 1000 };

/* Embedded by commands, which use the publisher, the interrupt and the progress; it must not move. */
typedef struct {
  const obs_args *args;
  obs_interrupt interrupt;
  obs_publisher publisher;
  obs_term_progress progress;
  char failure[512]; /* of the input; "": none */
  bool json;         /* one object at the end, instead of lines */
  bool alone;        /* the one op that the command line gives: reports do not number it */
  uint64_t bad;      /* records that could not be read, and were not sent */
  obs_buf errors;    /* JSON: members of the array, the first OBS_POST_ERRORS */
  uint64_t nerrors;
} obs_post;

/* False: wrong use, which was reported on stderr. */
bool obs_post_parse(obs_post *p, const obs_args *args);
/* Blocks the signals and connects. False: obs_post_end reports why. */
bool obs_post_open(obs_post *p);
/* Notes why the input ended before its end. Returns false. */
bool obs_post_fail(obs_post *p, const char *name, const char *reason);
/* A record that could not be read. Text: on stderr, `FILE: record 3 (line 3): reason`, or `FILE:3: reason` for one
 * whose number is 0. */
void obs_post_bad(obs_post *p, const obs_publisher_origin *origin, const char *reason);
/* How long to wait for more input before what is gathered goes out; -1: for ever. */
int obs_post_idle_ms(const obs_post *p);
/* Shows how many bytes of the input have been read, and how many records are out. */
void obs_post_progress(obs_post *p, uint64_t bytes);
/* Sends what is gathered, prints the result on stdout and a failure on stderr, frees. Returns the exit status. After
 * obs_post_open, whatever it returned. */
int obs_post_end(obs_post *p);

#endif
