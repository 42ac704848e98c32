/* Publishes in acknowledged mode and prints what became of each op. With a spool (second argument) ops outlive this
 * process while the daemon is away. A key and the files of TLS, where the daemon wants them, are the environment's:
 * OBSERVER_KEY_FILE, OBSERVER_TLS_CA. A daemon that refuses the key is named as the reason why ops wait.
 *
 *   cc acknowledged.c $(pkg-config --cflags --libs observer) -o acknowledged && ./acknowledged [URL [SPOOL]] */
#include <observer/observer.h>
#include <stdio.h>

static void report(void *arg, const observer_delivery *delivery) {
  static const char *const names[] = {"recorded", "duplicate", "rejected", "expired"};
  (void)arg;
  printf("%s %s: %s %s\n", delivery->tag != NULL ? (const char *)delivery->tag : "(spooled)", delivery->op_id,
         names[delivery->outcome], delivery->reason != NULL ? delivery->reason : "");
}

int main(int argc, char **argv) {
  const char *urls[] = {argc > 1 ? argv[1] : "tcp://127.0.0.1:3803", NULL};
  observer_client *client;
  observer_options options = {
      .mode = OBSERVER_ACKNOWLEDGED, .urls = urls, .on_delivery = report, .spool = argc > 2 ? argv[2] : NULL};
  if (observer_open(&options, &client) != OBSERVER_E_OK) {
    fprintf(stderr, "acknowledged: %s\n", observer_open_error());
    return 1;
  }
  observer_op good = {.endpoint = "/v1/fill", .success = OBSERVER_TRUE, .output_summary = "filled"};
  observer_op named = {.endpoint = "/v1/fill", .success = OBSERVER_TRUE, .op_id = "fill-17"}; /* an id of our own */
  observer_op wrong = {.endpoint = "/v1/fill", .timestamp = "yesterday"};
  observer_publish_wait(client, &good, 0, "first");
  observer_publish_wait(client, &named, 0, "second");
  observer_publish_wait(client, &wrong, 0, "third");
  char why[256];
  if (observer_flush(client, 5000) != OBSERVER_E_OK && observer_get_trouble(client, why, sizeof(why)) != OBSERVER_E_OK)
    fprintf(stderr, "acknowledged: %s\n", why);
  return observer_close(client, 0) != OBSERVER_E_OK;
}
