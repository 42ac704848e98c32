#include "observerd/banner.h"

#include <stdlib.h>
#include <string.h>

static bool is_on_path(const char *dir, size_t len) {
  const char *at = getenv("PATH");
  while (at != NULL && *at != '\0') {
    size_t n = strcspn(at, ":");
    if (n == len && memcmp(at, dir, n) == 0) return true;
    at += n + (at[n] == ':');
  }
  return false;
}

/* The directory to be put in front of a program's name, with its slash; its length, 0: none. */
static size_t directory_of(const char *program) {
  const char *slash = strrchr(program, '/');
  if (slash == NULL || is_on_path(program, (size_t)(slash - program))) return 0;
  return (size_t)(slash + 1 - program);
}

void obs_banner_print(FILE *out, const char *program, const char *http, const char *pull, const char *keys,
                      bool records) {
  int n = (int)directory_of(program);
  bool has_http = http != NULL && strncmp(http, "http", 4) == 0;
  bool usual = has_http && strcmp(http, "http://127.0.0.1:3800") == 0; /* where observerctl looks by itself */
  const char *option = usual ? "" : " --url ", *url = usual ? "" : http;
  if (has_http) fprintf(out, "page  %s/\n", http);
  if (has_http && keys != NULL)
    fprintf(out,
            "key:      (umask 077; %.*sobserverctl key new me --scope ingest,read --keys %s > me.key); export "
            "OBSERVER_KEY_FILE=me.key\n",
            n, program, keys);
  if (!records)
    fputs("worker:   it folds what edges forward to NATS, and records nothing itself: publish to an edge "
          "(observerd --forward)\n",
          out);
  if (has_http && records)
    fprintf(out, "publish:  %.*sobserverctl pub --endpoint /v1/chat --success%s%s\n", n, program, option, url);
  if (has_http) {
    fprintf(out, "watch:    %.*sobserverctl %s%s%s\n", n, program, records ? "top" : "fleet", option, url);
    /* A key is no argument of a program: every user of the machine can see those. */
    fprintf(out,
            records ? "          %s %s/stats    (package curl)\n"
                    : "          %s '%s/v1/observer/summary?scope=cluster'    (package curl)\n",
            keys != NULL ? "printf 'header = \"X-API-Key: %s\"' \"$(cat $OBSERVER_KEY_FILE)\" | curl -K -" : "curl",
            http);
  }
  if (pull != NULL)
    fprintf(
        out,
        "%s  nngcat --push --dial=%s --data='{\"endpoint\":\"/v1/chat\",\"success\":true}'    (package nng-utils)\n",
        has_http ? "        " : "publish:", pull);
}
