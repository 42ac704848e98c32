/* Times a piece of work, and a call to the gateway, each published as one op.
 *
 *   cc timed_call.c $(pkg-config --cflags --libs observer) -o timed_call && GATEWAY_URL=http://... ./timed_call [URL]
 */
#include <observer/call.h>
#include <stdio.h>

int main(int argc, char **argv) {
  const char *urls[] = {argc > 1 ? argv[1] : "tcp://127.0.0.1:3801", NULL};
  observer_client *client;
  observer_options options = {.urls = urls, .source = "example"};
  if (observer_open(&options, &client) != OBSERVER_E_OK) {
    fprintf(stderr, "timed_call: %s\n", observer_open_error());
    return 1;
  }

  observer_timed *work = observer_op_begin(client, "/jobs/count", "to a million");
  volatile unsigned long n = 0;
  while (n < 1000000) n = n + 1;
  if (work != NULL) observer_op_fields(work)->staffer_id = "counter";
  observer_op_end(work, true, "counted");

  observer_response answer;
  observer_err err = observer_call(client, "/search", "{\"query\":\"welders\"}", "search welders", NULL, &answer);
  if (err == OBSERVER_E_OK) {
    printf("HTTP %ld after %lld ms: %s\n", answer.status, (long long)answer.duration_ms,
           answer.success ? answer.body : answer.error);
    observer_response_fini(&answer);
  }
  return observer_close(client, 5000) != OBSERVER_E_OK || err != OBSERVER_E_OK;
}
