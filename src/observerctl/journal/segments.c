#include "observerctl/journal/segments.h"

#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
  uint64_t seq;
  char *path;
} rotated;

static char *path_of(const char *dir, const char *name) {
  size_t n = strlen(dir);
  while (n > 1 && dir[n - 1] == '/') n--;
  char *path;
  return asprintf(&path, "%.*s%s%s", (int)n, dir, dir[n - 1] == '/' ? "" : "/", name) < 0 ? NULL : path;
}

static int by_seq(const void *a, const void *b) {
  uint64_t x = ((const rotated *)a)->seq, y = ((const rotated *)b)->seq;
  return (x > y) - (x < y);
}

bool obs_segments_list(obs_segments *s, const char *dir, const char *name) {
  const char *dot = strrchr(name, '.');
  size_t stem = dot != NULL ? (size_t)(dot - name) : strlen(name);
  OBS_VEC(rotated) found = {0};
  DIR *d = NULL;
  struct stat active = {0}, st; /* st_ino 0: there is no active one */
  bool ok = false;
  char *path = path_of(dir, name);
  *s = (obs_segments){.active_fd = -1};
  if (path == NULL) return false;
  s->active_fd = open(path, O_RDONLY | O_CLOEXEC);
  if (s->active_fd >= 0 ? fstat(s->active_fd, &active) != 0 : errno != ENOENT) goto end;

  /* The rotated ones: STEM-<first seq>EXTENSION. */
  if ((d = opendir(dir)) == NULL) goto end;
  errno = 0;
  for (struct dirent *e; (e = readdir(d)) != NULL; errno = 0) {
    if (strncmp(e->d_name, name, stem) != 0 || e->d_name[stem] != '-') continue;
    const char *digits = e->d_name + stem + 1;
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 19 || digits[0] == '0' || strcmp(digits + n, name + stem) != 0) continue;
    /* The active one may have become one of them since it was opened. */
    if (active.st_ino != 0 && fstatat(dirfd(d), e->d_name, &st, 0) == 0 && st.st_ino == active.st_ino &&
        st.st_dev == active.st_dev)
      continue;
    rotated *r = OBS_VEC_PUSH(&found);
    if (r != NULL) *r = (rotated){strtoull(digits, NULL, 10), path_of(dir, e->d_name)};
    if (r == NULL || r->path == NULL) {
      errno = ENOMEM;
      break;
    }
  }
  if (errno != 0) goto end;

  s->paths = calloc((size_t)found.n + 1, sizeof(*s->paths));
  s->first_seqs = calloc((size_t)found.n + 1, sizeof(*s->first_seqs));
  if (s->paths == NULL || s->first_seqs == NULL) goto end;
  if (found.at != NULL) qsort(found.at, found.n, sizeof(*found.at), by_seq);
  for (size_t i = 0; found.at != NULL && i < found.n; i++) {
    s->first_seqs[s->n] = found.at[i].seq;
    s->paths[s->n++] = found.at[i].path;
    found.at[i].path = NULL;
  }
  if (s->active_fd >= 0) {
    s->paths[s->n++] = path;
    path = NULL;
  }
  ok = true;

end:;
  int saved = errno;
  if (d != NULL) (void)closedir(d);
  for (size_t i = 0; found.at != NULL && i < found.n; i++) free(found.at[i].path);
  OBS_VEC_FINI(&found);
  free(path);
  errno = saved;
  return ok;
}

void obs_segments_fini(obs_segments *s) {
  for (size_t i = 0; i < s->n; i++) free(s->paths[i]);
  free(s->paths);
  free(s->first_seqs);
  if (s->active_fd >= 0) (void)close(s->active_fd);
  *s = (obs_segments){.active_fd = -1};
}
