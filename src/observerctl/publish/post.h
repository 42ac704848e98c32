/* The way out that publishing commands share: signals, socket, publisher, report. One thread. */
#ifndef OBS_OBSERVERCTL_POST_H
#define OBS_OBSERVERCTL_POST_H

#include "observerctl/publish/report.h"

/* Flags that go with it, beside those of the sockets. */
#define OBS_FLAGS_POST                                                                                                 \
  {"batch", 'b', "N", .initial = "512", .help = "most ops a message, 1 to 10000"},                                     \
      {"rate", 'r', "N", .initial = "0", .help = "ops a second, 0: as fast as it goes"},                               \
      {"timeout", 0, "MS", .initial = "5000",                                                                          \
       .help = "longest wait for the daemon, at the start and for each message"},                                      \
      OBS_FLAG_JSON

/* A record waits for company at most that long. */
enum { OBS_POST_LINGER_MS = 10 };

/* Embedded by commands, which use the publisher, the interrupt and the report; it must not move. */
typedef struct {
  const obs_args *args;
  const char *url;
  obs_sender_kind kind;
  uint32_t timeout_ms;
  obs_interrupt interrupt;
  obs_sender sender;
  obs_publisher publisher;
  obs_post_report report;
  char failure[512]; /* of the input; "": none */
} obs_post;

/* False: used wrongly, and why is on stderr. */
bool obs_post_parse(obs_post *p, const obs_args *args);
/* Blocks the signals and dials. False: obs_post_end tells. */
bool obs_post_open(obs_post *p);
/* Says why the input ended before its end. Returns false. */
bool obs_post_fail(obs_post *p, const char *name, const char *reason);
/* How long to wait for more input before what is gathered goes out; -1: for ever. */
int obs_post_idle_ms(const obs_post *p);
/* Shows how many bytes of the input have been read, and how many records are out. */
void obs_post_progress(obs_post *p, uint64_t bytes);
/* Sends what is gathered, prints the result, frees. Returns the exit status. After obs_post_open, whatever it said. */
int obs_post_end(obs_post *p);

#endif
