/* libobserver: calls that are observed as they are made.
 *
 * observer_op_begin ... observer_op_end time a piece of work and publish it as one op. observer_call is the older
 * observer's wrapper: a POST to the gateway, published as one op by the same rules. Both publish without waiting
 * (observer_publish_wait with 0): what the client cannot take is counted there and never an error here. */
#ifndef OBSERVER_CALL_H
#define OBSERVER_CALL_H

#include <observer/observer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- timing ---- */

typedef struct observer_timed observer_timed;

/* Starts the clock (monotonic). Texts are copied. NULL when there is no memory; observer_op_end takes NULL. One thread
 * at a time may use the result. */
observer_timed *observer_op_begin(observer_client *client, const char *endpoint, const char *input_summary);
/* The op to be published: set what else is known (error, source, staffer_id, ...). Its texts must live until
 * observer_op_end. NULL for NULL. */
observer_op *observer_op_fields(observer_timed *timed);
/* Publishes with the time passed, in milliseconds, and frees. `output_summary` may be NULL. A failure without `error`
 * gets the output_summary as its error. */
void observer_op_end(observer_timed *timed, bool success, const char *output_summary);
/* Frees without publishing. */
void observer_op_cancel(observer_timed *timed);

/* ---- the observed call ---- */

typedef struct {
  long status;     /* HTTP status; 0: there was no answer */
  char *body;      /* of the answer, NUL-terminated; on a transport failure {"error":"..."}; never NULL on OK */
  size_t body_len; /* without the NUL */
  bool success;    /* as published */
  char error[256]; /* why not; "" on success */
  int64_t duration_ms;
} observer_response;

typedef struct {
  const char *gateway_url; /* default: GATEWAY_URL of the environment, else http://localhost:3700 */
  uint32_t timeout_ms;     /* of the whole call; default 30 s */
  size_t max_body;         /* a larger answer is a failure; default 16 MiB */
} observer_call_options;

/* POSTs the JSON text `body` to gateway_url + endpoint with `content-type: application/json`, waits for the answer and
 * publishes the op: input_summary is `description`; a transport failure, an answer that is not JSON, or one with a
 * truthy `error` is a failure, with output_summary `ERROR: <error>`; else output_summary is the older observer's
 * summary: `hybrid: N sql → M results`, `N rows`, `answer: <80 characters>...`, `N sources`, or the first 100
 * characters of the JSON. `options` NULL: defaults; `client` NULL: nothing is published. INVALID, NOMEM: no call was
 * made; else OK, whatever came of it. observer_response_fini frees the body. Blocks its caller only. */
observer_err observer_call(observer_client *client, const char *endpoint, const char *body, const char *description,
                           const observer_call_options *options, observer_response *out);
void observer_response_fini(observer_response *response);

#ifdef __cplusplus
}
#endif

#endif
