/* Publishes the record of a session: three tries, the last of them accepted. It lands in coordinator_sessions.jsonl.
 *
 *   cc session.c $(pkg-config --cflags --libs observer) -o session && ./session [URL] */
#include <observer/session.h>
#include <stdio.h>

int main(int argc, char **argv) {
  const char *urls[] = {argc > 1 ? argv[1] : "tcp://127.0.0.1:3803", NULL};
  observer_client *client;
  observer_options options = {.mode = OBSERVER_ACKNOWLEDGED, .urls = urls};
  if (observer_open(&options, &client) != OBSERVER_E_OK) {
    fprintf(stderr, "session: %s\n", observer_open_error());
    return 1;
  }
  const observer_attempt tries[] = {{.iteration = 1, .verdict_kind = "no_json", .span_id = "span-1"},
                                    {.iteration = 2, .verdict_kind = "validation_failed", .error = "no such city"},
                                    {.iteration = 3, .verdict_kind = "accepted"}};
  const observer_session session = {.session_id = "trace-1",
                                    .kind = "fill",
                                    .model = "qwen2.5",
                                    .provider = "ollama",
                                    .prompt = "fill 2 welders in Toledo",
                                    .max_iterations = 5,
                                    .duration_ms = 1200,
                                    .attempts = tries,
                                    .nattempts = 3};
  const char artifact[] = "\x81\xa5names\x92\xa3"
                          "Ann\xa3"
                          "Bob"; /* msgpack: {"names": ["Ann", "Bob"]} */
  observer_session_accepted(client, &session, artifact, sizeof(artifact) - 1, OBSERVER_TRUE);
  return observer_close(client, 5000) != OBSERVER_E_OK;
}
