#include "observerctl/journal/segments.h"

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

typedef struct {
  const char *dir, *name;
  size_t stem;        /* of the name, without its extension */
  struct stat active; /* st_ino 0: there is none */
  rotated *items;
  size_t n;
} listing;

static char *path_of(const char *dir, const char *name) {
  size_t n = strlen(dir);
  while (n > 1 && dir[n - 1] == '/') n--;
  char *path;
  return asprintf(&path, "%.*s%s%s", (int)n, dir, dir[n - 1] == '/' ? "" : "/", name) < 0 ? NULL : path;
}

/* First seq in the name of a rotated segment; 0: it is none. */
static uint64_t seq_of(const listing *l, const char *file) {
  if (strncmp(file, l->name, l->stem) != 0 || file[l->stem] != '-') return 0;
  const char *digits = file + l->stem + 1;
  size_t n = strspn(digits, "0123456789");
  if (n == 0 || n > 19 || digits[0] == '0' || strcmp(digits + n, l->name + l->stem) != 0) return 0;
  return strtoull(digits, NULL, 10);
}

/* Adds a rotated segment; the active one may have become one since it was opened. */
static bool add(listing *l, int dir_fd, const char *file) {
  struct stat st;
  uint64_t seq = seq_of(l, file);
  if (seq == 0) return true;
  bool is_active = l->active.st_ino != 0 && fstatat(dir_fd, file, &st, 0) == 0 && st.st_ino == l->active.st_ino &&
                   st.st_dev == l->active.st_dev;
  if (is_active) return true;
  rotated *items = realloc(l->items, (l->n + 1) * sizeof(*items));
  if (items == NULL) return false;
  l->items = items;
  l->items[l->n] = (rotated){seq, path_of(l->dir, file)};
  return l->items[l->n++].path != NULL;
}

static int by_seq(const void *a, const void *b) {
  uint64_t x = ((const rotated *)a)->seq, y = ((const rotated *)b)->seq;
  return (x > y) - (x < y);
}

static bool read_names(listing *l) {
  DIR *d = opendir(l->dir);
  if (d == NULL) return false;
  bool ok = true;
  errno = 0;
  for (struct dirent *e; ok && (e = readdir(d)) != NULL; errno = 0) ok = add(l, dirfd(d), e->d_name);
  int saved = errno;
  ok = ok && saved == 0;
  (void)closedir(d);
  errno = saved;
  return ok;
}

/* The rotated ones by their seq, the active one last. */
static bool collect(obs_segments *s, listing *l, char *active) {
  s->paths = calloc(l->n + 1, sizeof(*s->paths));
  if (s->paths == NULL) return false;
  if (l->n > 0) qsort(l->items, l->n, sizeof(*l->items), by_seq);
  for (size_t i = 0; i < l->n; i++) {
    s->paths[s->n++] = l->items[i].path;
    l->items[i].path = NULL;
  }
  if (s->active_fd >= 0) s->paths[s->n++] = active;
  return true;
}

bool obs_segments_list(obs_segments *s, const char *dir, const char *name) {
  const char *dot = strrchr(name, '.');
  listing l = {.dir = dir, .name = name, .stem = dot != NULL ? (size_t)(dot - name) : strlen(name)};
  char *active = path_of(dir, name);
  *s = (obs_segments){.active_fd = -1};
  if (active == NULL) return false;
  s->active_fd = open(active, O_RDONLY | O_CLOEXEC);
  bool ok = s->active_fd >= 0 ? fstat(s->active_fd, &l.active) == 0 : errno == ENOENT;
  ok = ok && read_names(&l) && collect(s, &l, active);
  int saved = errno;
  for (size_t i = 0; i < l.n; i++) free(l.items[i].path);
  free(l.items);
  if (!ok || s->active_fd < 0) free(active);
  errno = saved;
  return ok;
}

void obs_segments_fini(obs_segments *s) {
  for (size_t i = 0; i < s->n; i++) free(s->paths[i]);
  free(s->paths);
  if (s->active_fd >= 0) (void)close(s->active_fd);
  *s = (obs_segments){.active_fd = -1};
}
