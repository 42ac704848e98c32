/* Publishes a thousand ops, one call each: the library makes batches of them.
 *
 *   cc publish.c $(pkg-config --cflags --libs observer) -o publish && ./publish [URL] */
#include <observer/observer.h>
#include <stdio.h>

int main(int argc, char **argv) {
  const char *urls[] = {argc > 1 ? argv[1] : "tcp://127.0.0.1:3801", NULL};
  observer_client *client;
  observer_options options = {.urls = urls, .source = "example", .block_ms = 1000};
  if (observer_open(&options, &client) != OBSERVER_E_OK) {
    fprintf(stderr, "publish: %s\n", observer_open_error());
    return 1;
  }
  for (int i = 0; i < 1000; i++) {
    observer_err err = observer_publish(client, &(observer_op){.endpoint = "/v1/chat",
                                                               .input_summary = "a question",
                                                               .success = i % 10 == 0 ? OBSERVER_FALSE : OBSERVER_TRUE,
                                                               .duration_ms = OBSERVER_INT(100 + i % 7),
                                                               .error = i % 10 == 0 ? "timeout" : NULL,
                                                               .count = OBSERVER_INT(i)});
    if (err != OBSERVER_E_OK) fprintf(stderr, "publish: op %d: %s\n", i, observer_strerror(err));
  }
  observer_err err = observer_close(client, 5000); /* delivers what waits */
  if (err != OBSERVER_E_OK) fprintf(stderr, "publish: %s\n", observer_strerror(err));
  return err != OBSERVER_E_OK;
}
