/* libobserver: calls that are observed as they are made.
 *
 * observer_op_begin and observer_op_end time a piece of work and publish it as one op. observer_call is the older
 * observer's wrapper: a POST to the gateway, published as one op by the same rules. Neither waits for the client: an op
 * that the client cannot queue appears in its counters (refused_full, refused_invalid), not as an error here. */
#ifndef OBSERVER_CALL_H
#define OBSERVER_CALL_H

#include <observer/observer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- timing ---- */

typedef struct observer_timed observer_timed;

/* Starts the clock (monotonic) and copies the texts. NULL: no memory; the other functions accept NULL. `client` may be
 * NULL: nothing is published. One thread at a time may use the result. */
observer_timed *observer_op_begin(observer_client *client, const char *endpoint, const char *input_summary);
/* The op that will be published, to set other fields (error, source, staffer_id, ...). The caller keeps their texts
 * until observer_op_end. NULL for NULL. */
observer_op *observer_op_fields(observer_timed *timed);
/* Publishes the op with its duration in milliseconds, and frees `timed`. `output_summary` may be NULL. A failure
 * without `error` gets the output_summary as its error. */
void observer_op_end(observer_timed *timed, bool success, const char *output_summary);
/* Frees without publishing. */
void observer_op_cancel(observer_timed *timed);

/* ---- the observed call ---- */

typedef struct {
  long status;     /* HTTP status; 0: no answer */
  char *body;      /* the answer's body, NUL-terminated; {"error":"..."} when the transport failed; not NULL on OK */
  size_t body_len; /* without the NUL */
  bool success;    /* as published */
  char error[256]; /* the reason of a failure, cut to fit; "" on success */
  int64_t duration_ms;
} observer_response;

typedef struct {
  const char *gateway_url; /* default: GATEWAY_URL of the environment, else http://localhost:3700 */
  uint32_t timeout_ms;     /* of the whole call; default 30,000 */
  size_t max_body;         /* bytes; a larger answer is a failure; default 16 MiB */
} observer_call_options;

/* POSTs the JSON text `body` to gateway_url + endpoint with `content-type: application/json`, waits for the answer and
 * publishes an op with `description` as its input_summary. A transport failure, an answer that is not JSON, and an
 * answer with a truthy `error` are failures: output_summary is `ERROR: <error>`. A success has the older observer's
 * summary: `hybrid: N sql → M results`, `N rows`, `answer: <80 characters>...`, `N sources`, or the first 100
 * characters of the JSON. `options` may be NULL (defaults), `client` may be NULL (nothing is published). Returns OK
 * when the call was made, whatever its result; INVALID or NOMEM when it was not. The caller frees the body with
 * observer_response_fini. */
observer_err observer_call(observer_client *client, const char *endpoint, const char *body, const char *description,
                           const observer_call_options *options, observer_response *out);
void observer_response_fini(observer_response *response);

#ifdef __cplusplus
}
#endif

#endif
