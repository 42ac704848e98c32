/* An HTTP/1.1 server on byte streams (RFC 9110, 9112). It knows nothing of what it serves.
 *
 * In:  addresses; an application that admits, handles and answers requests.
 * Out: complete requests, one at a time for each connection, so that answers keep the order of pipelined requests.
 * Threads: `admit` and `handle` on NNG's, where nothing may wait; obs_httpd_answer on any. The rest is for the one
 *   thread that owns the server.
 * Bounds: a head as head.h has it, complete within head_ms of its first byte (of the connection's beginning for the
 *   first one), else 408; a body complete within body_ms; a connection without a request is closed after idle_ms, and
 *   may be closed for a newcomer until its request is complete. Bodies of all connections beyond 4 KiB each:
 *   body_bytes, by what has been received (503). Answers of more than 4 KiB that wait to be read: answer_bytes (503 in
 *   their place); smaller ones always pass, and a connection with 64 KiB of them unread has no further request begun.
 * Failure: every error closes the connection, after up to a second in which what still comes is dropped, so that the
 *   error is not lost to a reset. A connection too many gets a 503. A peer that has closed its side still gets its
 *   answer. */
#ifndef OBS_HTTPD_HTTPD_H
#define OBS_HTTPD_HTTPD_H

#include "httpd/answer.h"
#include "httpd/head.h"
#include "stream/stream.h"

typedef struct obs_httpd obs_httpd;

/* A connection's current request; the application's own struct begins with one. It belongs to the application from
 * `handle` to obs_httpd_answer. */
typedef struct {
  obs_httpd_head head;
  obs_buf in, out; /* the decoded body; the answer's, empty at the start */
  obs_answer answer;
  struct obs_httpd_connection *connection;
} obs_httpd_request;

typedef struct {
  const char *name;    /* in logs */
  void *arg;           /* obs_httpd_arg */
  size_t request_size; /* of the application's struct; zeroed for each connection, kept between its requests */
  /* A head has come, the body has not. False: `answer` and `out` are the refusal. */
  bool (*admit)(obs_httpd_request *r);
  /* All of it has come: obs_httpd_answer is due, once, now or later. */
  void (*handle)(obs_httpd_request *r);
  /* The request is over: answered, refused or cut off. What `admit` or `handle` acquired for it is let go. Also for one
   * that was not admitted, and at the end of the connection, where it was not answered. NULL: nothing is. */
  void (*ended)(obs_httpd_request *r, bool answered);
  /* Connected, but not one of the listener's `;uid=`: it is closed without a word. NULL: that is logged. */
  void (*stranger)(void *arg, const obs_address *at, const char *peer);
  size_t body_limit;                  /* of one, decoded */
  size_t body_bytes;                  /* of all; 0: 64 MiB */
  size_t answer_bytes;                /* 0: 64 MiB */
  uint32_t max_connections;           /* 0: 1024 */
  uint32_t head_ms, body_ms, idle_ms; /* 0: 10000, 30000, 75000 */
  obs_tls *tls;                       /* as in stream.h */
} obs_httpd_opts;

observer_err obs_httpd_open(const obs_httpd_opts *opts, obs_httpd **out);
/* Binds: as obs_stream_server_listen. */
observer_err obs_httpd_listen(obs_httpd *h, const obs_address *a, char bound[OBS_ADDRESS_MAX], char *why,
                              size_t why_size);
void obs_httpd_start(obs_httpd *h);
/* Takes no more requests (503), closes idle connections, and waits until what was taken is answered and written, at
 * most `deadline_ms`. */
void obs_httpd_stop(obs_httpd *h, uint32_t deadline_ms);
/* Closes what is left and frees. Every request that was handed to the application has been answered. NULL is allowed.
 */
bool obs_httpd_close(obs_httpd *h); /* as obs_stream_server_close */
void obs_httpd_get_counts(obs_httpd *h, obs_stream_counts *out);
/* Whether each listener still serves: as obs_stream_server_probe and obs_stream_server_silent. */
void obs_httpd_probe(obs_httpd *h);
const char *obs_httpd_silent(obs_httpd *h);

void *obs_httpd_arg(const obs_httpd_request *r);
bool obs_httpd_is_stopping(const obs_httpd_request *r);
const obs_address *obs_httpd_address(const obs_httpd_request *r);
const char *obs_httpd_peer(const obs_httpd_request *r);
/* Sends `answer` and `out`; the request is the application's no longer. */
void obs_httpd_answer(obs_httpd_request *r);

#endif
