/* A directory of the process's own, in memory where there is such a place: some targets read files. */
#ifndef OBS_TESTS_PLACE_H
#define OBS_TESTS_PLACE_H

#include "fuzz.h"

#include <dirent.h>
#include <unistd.h>

static char place_dir[64];

static inline const char *place_path(const char *name) {
  static char text[4][128];
  static unsigned next;
  char *out = text[next++ % 4];
  snprintf(out, sizeof(text[0]), "%s/%s", place_dir, name);
  return out;
}

static inline void place_clear(void) {
  DIR *d = opendir(place_dir);
  FUZZ_CHECK(d != NULL);
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    if (e->d_name[0] != '.') FUZZ_CHECK(unlinkat(dirfd(d), e->d_name, 0) == 0);
  }
  closedir(d);
}

static inline void place_remove(void) {
  place_clear();
  (void)rmdir(place_dir);
}

static inline void place_make(void) {
  snprintf(place_dir, sizeof(place_dir), "%s/obs-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  FUZZ_CHECK(mkdtemp(place_dir) != NULL && atexit(place_remove) == 0);
}

static inline void place_spill(const char *name, const void *p, size_t len) {
  FILE *out = fopen(place_path(name), "wb");
  FUZZ_CHECK(out != NULL && fwrite(p, 1, len, out) == len && fclose(out) == 0);
}

#endif
