#include "client/spool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL /* compiled in: who links libobserver needs no library for it */
#include <xxhash.h>

enum { ORDER = 0x01020304, COPY = 256 * 1024, OPEN_TRIES = 100 };

static const char magic[8] = {'O', 'B', 'S', 'S', 'P', 'O', 'O', 'L'};

/* The slot with the higher turn counts. */
typedef struct {
  uint64_t settled, turn, sum;
} slot;

typedef struct {
  char magic[8];
  uint32_t version, order;
  slot slots[2];
} header;

_Static_assert(sizeof(header) == OBS_CLIENT_SPOOL_HEADER, "the header's size is part of the format");

uint64_t obs_client_spool_sum(const void *bytes, size_t len, uint64_t seed) {
  return len == 0 ? seed : XXH64(bytes, len, seed);
}

static slot make_slot(uint64_t settled, uint64_t turn) {
  slot s = {settled, turn, 0};
  s.sum = obs_client_spool_sum(&s, offsetof(slot, sum), ORDER);
  return s;
}

/* ---- bytes ---- */

bool obs_client_spool_get(const obs_client_spool_file *f, uint64_t at, void *bytes, size_t len) {
  for (size_t have = 0; have < len;) {
    ssize_t n = pread(f->fd, (char *)bytes + have, len - have, (off_t)(at + have));
    if (n > 0) {
      have += (size_t)n;
    } else if (n == 0 || errno != EINTR) {
      if (n == 0) errno = EIO; /* somebody cut the file */
      return false;
    }
  }
  return true;
}

static bool put(int fd, uint64_t at, const void *bytes, size_t len) {
  for (size_t have = 0; have < len;) {
    ssize_t n = pwrite(fd, (const char *)bytes + have, len - have, (off_t)(at + have));
    if (n >= 0)
      have += (size_t)n;
    else if (errno != EINTR)
      return false;
  }
  return true;
}

bool obs_client_spool_put(const obs_client_spool_file *f, uint64_t at, const void *bytes, size_t len) {
  return put(f->fd, at, bytes, len);
}

bool obs_client_spool_sync(const obs_client_spool_file *f) {
  return fdatasync(f->fd) == 0;
}

bool obs_client_spool_cut(const obs_client_spool_file *f, uint64_t size) {
  return ftruncate(f->fd, (off_t)size) == 0;
}

bool obs_client_spool_mark(obs_client_spool_file *f, uint64_t settled) {
  slot s = make_slot(settled, f->turn + 1);
  if (!put(f->fd, offsetof(header, slots) + s.turn % 2 * sizeof(s), &s, sizeof(s))) return false;
  f->turn = s.turn;
  return true;
}

static bool write_header(int fd) {
  header h = {.version = OBS_CLIENT_SPOOL_VERSION, .order = ORDER};
  memcpy(h.magic, magic, sizeof(magic));
  h.slots[0] = make_slot(OBS_CLIENT_SPOOL_HEADER, 0);
  return put(fd, 0, &h, sizeof(h));
}

/* The file's name is durable once its folder is synced. Where that cannot be done the file is as good as before. */
static void sync_folder(const char *path) {
  const char *slash = strrchr(path, '/');
  char *folder = slash == NULL ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
  int fd = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  if (fd >= 0) {
    (void)fsync(fd);
    close(fd);
  }
  free(folder);
}

/* ---- opening ---- */

static observer_err fail(observer_err err, const char *path, const char *why, char *text, size_t size) {
  snprintf(text, size, "spool %s: %s", path, why);
  return err;
}

/* Opens and locks the file that has the name now: one that is being replaced may lose it between the two. */
static observer_err open_locked(const char *path, int *fd, uint64_t *length, char *text, size_t size) {
  for (int i = 0; i < OPEN_TRIES; i++) {
    struct stat opened, named;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) return fail(OBSERVER_E_IO, path, strerror(errno), text, size);
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
      int why = errno;
      close(*fd);
      if (why == EWOULDBLOCK) return fail(OBSERVER_E_LOCKED, path, "in use by another client", text, size);
      return fail(OBSERVER_E_IO, path, strerror(why), text, size);
    }
    if (fstat(*fd, &opened) == 0 && !S_ISREG(opened.st_mode)) {
      close(*fd);
      return fail(OBSERVER_E_INVALID, path, "not a regular file", text, size);
    }
    if (fstat(*fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
        opened.st_dev == named.st_dev) {
      *length = (uint64_t)opened.st_size;
      return OBSERVER_E_OK;
    }
    close(*fd);
  }
  return fail(OBSERVER_E_IO, path, "replaced again and again", text, size);
}

/* A file that is empty, or that ends within a header of ours, has never had a record. */
static bool is_new(const header *h, uint64_t length) {
  size_t n = length < sizeof(magic) ? (size_t)length : sizeof(magic);
  return length < sizeof(*h) && memcmp(h->magic, magic, n) == 0;
}

static observer_err read_header(obs_client_spool_file *f, uint64_t *settled, uint64_t *end, char *text, size_t size) {
  header h = {0};
  if (!obs_client_spool_get(f, 0, &h, *end < sizeof(h) ? (size_t)*end : sizeof(h))) {
    return fail(OBSERVER_E_IO, f->path, strerror(errno), text, size);
  }
  *settled = OBS_CLIENT_SPOOL_HEADER;
  if (is_new(&h, *end)) {
    *end = OBS_CLIENT_SPOOL_HEADER;
    if (!write_header(f->fd)) return fail(OBSERVER_E_IO, f->path, strerror(errno), text, size);
    sync_folder(f->path);
    return OBSERVER_E_OK;
  }
  if (memcmp(h.magic, magic, sizeof(magic)) != 0) {
    return fail(OBSERVER_E_CORRUPT, f->path, "not a spool; it is left as it is", text, size);
  }
  if (h.version != OBS_CLIENT_SPOOL_VERSION || h.order != ORDER) {
    return fail(OBSERVER_E_CORRUPT, f->path, "a spool of another version or byte order; it is left as it is", text,
                size);
  }
  for (unsigned i = 0; i < 2; i++) {
    const slot *s = &h.slots[i];
    if (make_slot(s->settled, s->turn).sum != s->sum || s->turn < f->turn) continue;
    f->turn = s->turn;
    *settled = s->settled;
  }
  if (*settled < OBS_CLIENT_SPOOL_HEADER || *settled > *end) *settled = OBS_CLIENT_SPOOL_HEADER;
  return OBSERVER_E_OK;
}

observer_err obs_client_spool_file_open(obs_client_spool_file *f, const char *path, uint64_t *settled, uint64_t *end,
                                        char *text, size_t size) {
  *f = (obs_client_spool_file){.fd = -1, .path = strdup(path)};
  if (f->path == NULL) return OBSERVER_E_NOMEM;
  observer_err err = open_locked(path, &f->fd, end, text, size);
  if (err != OBSERVER_E_OK)
    f->fd = -1;
  else
    err = read_header(f, settled, end, text, size);
  if (err != OBSERVER_E_OK) obs_client_spool_file_close(f);
  return err;
}

void obs_client_spool_file_close(obs_client_spool_file *f) {
  if (f->fd >= 0) close(f->fd);
  free(f->path);
  *f = (obs_client_spool_file){.fd = -1};
}

/* ---- rewriting ---- */

static bool copy(const obs_client_spool_file *f, int to, uint64_t from, uint64_t end) {
  char *piece = malloc(COPY);
  bool ok = piece != NULL && write_header(to);
  for (uint64_t at = from; ok && at < end;) {
    size_t n = end - at < COPY ? (size_t)(end - at) : COPY;
    ok = obs_client_spool_get(f, at, piece, n) && put(to, OBS_CLIENT_SPOOL_HEADER + at - from, piece, n);
    at += n;
  }
  free(piece);
  return ok && fdatasync(to) == 0;
}

bool obs_client_spool_rewrite(obs_client_spool_file *f, uint64_t from, uint64_t end) {
  char *name = malloc(strlen(f->path) + sizeof(".new"));
  if (name == NULL) return false;
  memcpy(name, f->path, strlen(f->path));
  memcpy(name + strlen(f->path), ".new", sizeof(".new"));
  int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  bool ok = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && copy(f, fd, from, end) && rename(name, f->path) == 0;
  if (ok) {
    sync_folder(f->path);
    close(f->fd);
    f->fd = fd;
    f->turn = 0;
  } else if (fd >= 0) {
    close(fd);
    unlink(name);
  }
  free(name);
  return ok;
}
