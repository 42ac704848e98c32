/* Users whom a listener waits for, and who are nobody here. */
#include "base/log.h"
#include "stream/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* One line of the map: the first user inside the namespace, outside of it, and how many follow one another. */
static bool has(const char *line, uint32_t uid) {
  char *end;
  uint64_t first = strtoull(line, &end, 10);
  (void)strtoull(end, &end, 10);
  return uid >= first && uid - first < strtoull(end, NULL, 10);
}

/* True also where it cannot be found out. */
static bool is_known(uint32_t uid) {
  char line[128]; /* three numbers */
  FILE *map = fopen("/proc/self/uid_map", "re");
  bool known = map == NULL;
  while (!known && fgets(line, sizeof line, map) != NULL) known = has(line, uid);
  if (map != NULL) (void)fclose(map); /* only read from */
  return known;
}

void obs_stream_warn_of_users(const char *name, const obs_address *a) {
  for (uint32_t i = 0; i < a->nuids; i++) {
    if (!is_known(a->uids[i]))
      obs_log_warn("stream",
                   "%s %s: user %" PRIu32 " is not of this process's user namespace and cannot connect (a "
                   "unit of systemd: PrivateUsers=no)",
                   name, a->url, a->uids[i]);
  }
}
