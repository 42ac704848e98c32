#include "client/spool.h"

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

/* HEADER to MAGIC are part of the format (spool.h). BODY_MAX: more than a message may have. */
enum { HEADER = 64, VERSION = 1, ORDER = 0x01020304, RAW = 1, WHOLE = 2, MAGIC = 0x4f627352 };
enum { BODY_MAX = 8 * 1024 * 1024, SCAN = 64 * 1024, COPY = 256 * 1024, OPEN_TRIES = 100 };

/* ---- the file: lock, header, the settled position, whole reads and writes ---- */

typedef struct {
  int fd;
  char *path;
  uint64_t turn; /* of the position in the header */
} spool_file;

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

_Static_assert(sizeof(header) == HEADER, "the header's size is part of the format");

static uint64_t sum(const void *bytes, size_t len, uint64_t seed) {
  return bytes == NULL || len == 0 ? seed : XXH64(bytes, len, seed);
}

static slot make_slot(uint64_t settled, uint64_t turn) {
  slot s = {settled, turn, 0};
  s.sum = sum(&s, offsetof(slot, sum), ORDER);
  return s;
}

/* Everything or nothing; on failure errno says why. So with put. */
static bool get(const spool_file *f, uint64_t at, void *bytes, size_t len) {
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

static bool write_header(int fd) {
  header h = {.version = VERSION, .order = ORDER};
  memcpy(h.magic, magic, sizeof(magic));
  h.slots[0] = make_slot(HEADER, 0);
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

static observer_err read_header(spool_file *f, uint64_t *settled, uint64_t *end, char *text, size_t size) {
  header h = {0};
  if (!get(f, 0, &h, *end < sizeof(h) ? (size_t)*end : sizeof(h))) {
    return fail(OBSERVER_E_IO, f->path, strerror(errno), text, size);
  }
  *settled = HEADER;
  /* A file that is empty, or that ends within a header of ours, has never had a record. */
  if (*end < sizeof(h) && memcmp(h.magic, magic, *end < sizeof(magic) ? (size_t)*end : sizeof(magic)) == 0) {
    *end = HEADER;
    if (!write_header(f->fd)) return fail(OBSERVER_E_IO, f->path, strerror(errno), text, size);
    sync_folder(f->path);
    return OBSERVER_E_OK;
  }
  if (memcmp(h.magic, magic, sizeof(magic)) != 0) {
    return fail(OBSERVER_E_CORRUPT, f->path, "not a spool; it is left as it is", text, size);
  }
  if (h.version != VERSION || h.order != ORDER) {
    return fail(OBSERVER_E_CORRUPT, f->path, "a spool of another version or byte order; it is left as it is", text,
                size);
  }
  for (unsigned i = 0; i < 2; i++) {
    const slot *s = &h.slots[i];
    if (make_slot(s->settled, s->turn).sum != s->sum || s->turn < f->turn) continue;
    f->turn = s->turn;
    *settled = s->settled;
  }
  if (*settled < HEADER || *settled > *end) *settled = HEADER;
  return OBSERVER_E_OK;
}

/* Puts a file in its place that has the same header and, right behind it, the bytes from `from` to `end`. False: all is
 * as before. */
static bool rewrite(spool_file *f, uint64_t from, uint64_t end) {
  char *name = malloc(strlen(f->path) + sizeof(".new"));
  if (name == NULL) return false;
  memcpy(name, f->path, strlen(f->path));
  memcpy(name + strlen(f->path), ".new", sizeof(".new"));
  int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  char *piece = malloc(COPY);
  bool ok = piece != NULL && fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && write_header(fd);
  for (uint64_t at = from; ok && at < end;) {
    size_t n = end - at < COPY ? (size_t)(end - at) : COPY;
    ok = get(f, at, piece, n) && put(fd, HEADER + at - from, piece, n);
    at += n;
  }
  free(piece);
  ok = ok && fdatasync(fd) == 0 && rename(name, f->path) == 0;
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

/* ---- records ---- */

typedef struct {
  uint32_t magic, flags, nops, ntags;
  uint64_t len, instance, serial;
  uint64_t body_sum; /* of tags and message */
  uint64_t head_sum; /* of all above */
} head;

struct obs_client_spool {
  spool_file file;
  uint64_t max;
  bool sync;
  uint64_t settled, read_at, end;
  uint64_t surveyed; /* damage before it was counted when the file was opened */
};

static uint64_t head_sum(const head *h) {
  return sum(h, offsetof(head, head_sum), 0);
}

static uint64_t record_size(const head *h) {
  return sizeof(*h) + h->ntags * sizeof(void *) + h->len;
}

static bool head_valid(const head *h) {
  return h->magic == MAGIC && h->head_sum == head_sum(h) && h->ntags <= OBS_CLIENT_SPOOL_TAGS_MAX && h->len > 0 &&
         h->len <= BODY_MAX;
}

/* ---- reading ---- */

typedef enum { GOOD, BAD_HEAD, BAD_BODY, SHORT, NO_MEMORY, NO_READ } look;

/* Where the next valid head after `at` is; the end when there is none. NO_MEMORY, NO_READ: not known. */
static look find_head(const obs_client_spool *s, uint64_t at, uint64_t *found) {
  char *piece = malloc(SCAN + sizeof(head));
  look result = piece != NULL ? GOOD : NO_MEMORY;
  *found = s->end;
  while (result == GOOD && at + sizeof(head) <= s->end && *found == s->end) {
    size_t n = s->end - at < SCAN + sizeof(head) ? (size_t)(s->end - at) : SCAN + sizeof(head);
    if (!get(&s->file, at, piece, n)) result = NO_READ;
    for (size_t i = 0; result == GOOD && i + sizeof(head) <= n && *found == s->end; i++) {
      head h;
      memcpy(&h, piece + i, sizeof(h));
      if (head_valid(&h)) *found = at + i;
    }
    at += n - sizeof(head) + 1;
  }
  free(piece);
  return result;
}

static look read_at(const obs_client_spool *s, uint64_t at, head *h, void **tags, obs_client_body **body) {
  if (s->end - at < sizeof(*h)) return SHORT;
  if (!get(&s->file, at, h, sizeof(*h))) return NO_READ;
  if (!head_valid(h)) return BAD_HEAD;
  if (record_size(h) > s->end - at) return SHORT;
  size_t tag_bytes = h->ntags * sizeof(void *);
  obs_client_body *read = obs_client_body_new((size_t)h->len);
  if (read == NULL) return NO_MEMORY;
  look result = GOOD;
  if (!get(&s->file, at + sizeof(*h), tags, tag_bytes) ||
      !get(&s->file, at + sizeof(*h) + tag_bytes, read->bytes, (size_t)h->len))
    result = NO_READ;
  else if (sum(read->bytes, (size_t)h->len, sum(tags, tag_bytes, 0)) != h->body_sum)
    result = BAD_BODY;
  if (result == GOOD)
    *body = read;
  else
    obs_client_body_unref(read);
  return result;
}

obs_client_spool_read_result obs_client_spool_read(obs_client_spool *s, obs_client_record *r, void **tags,
                                                   uint32_t max_tags, obs_client_body **body, uint64_t *damaged) {
  void *all_tags[OBS_CLIENT_SPOOL_TAGS_MAX];
  head h;
  while (s->read_at < s->end) {
    uint64_t next = s->read_at;
    look result = read_at(s, s->read_at, &h, all_tags, body), first = result;
    if (result == BAD_BODY) next += record_size(&h);
    if (result == BAD_HEAD || result == SHORT) result = find_head(s, s->read_at + 1, &next);
    if (result == NO_MEMORY) return OBS_SPOOL_NOMEM;
    if (result == NO_READ) return OBS_SPOOL_UNREADABLE;
    if (next == s->read_at) {
      uint32_t ntags = h.ntags < max_tags ? h.ntags : max_tags;
      *r = (obs_client_record){s->read_at, record_size(&h), h.instance,           h.serial,
                               h.nops,     ntags,           (h.flags & RAW) != 0, (h.flags & WHOLE) != 0};
      if (ntags > 0) memcpy(tags, all_tags, ntags * sizeof(void *));
      s->read_at += r->size;
      return OBS_SPOOL_RECORD;
    }
    /* What a crash cut short is the last record, and a prefix of it; after a power cut its place may hold zeros. */
    bool torn = next == s->end && (first == SHORT || (first == BAD_HEAD && h.magic == 0 && h.head_sum == 0));
    if (s->read_at >= s->surveyed && !torn) ++*damaged;
    s->read_at = next;
  }
  return OBS_SPOOL_END;
}

/* Reads through everything that waits. What no valid record follows is cut off: a write that a crash cut short, or
 * damage, which is counted. */
static observer_err survey(obs_client_spool *s, uint64_t *ops, uint64_t *damaged) {
  uint64_t good = s->settled;
  *ops = *damaged = 0;
  for (;;) {
    obs_client_record r;
    obs_client_body *body;
    obs_client_spool_read_result result = obs_client_spool_read(s, &r, NULL, 0, &body, damaged);
    if (result == OBS_SPOOL_NOMEM) return OBSERVER_E_NOMEM;
    if (result == OBS_SPOOL_UNREADABLE) return OBSERVER_E_IO;
    if (result == OBS_SPOOL_END) break;
    obs_client_body_unref(body);
    *ops += r.nops;
    good = s->read_at;
  }
  s->end = s->surveyed = good;
  s->read_at = s->settled;
  return ftruncate(s->file.fd, (off_t)good) == 0 ? OBSERVER_E_OK : OBSERVER_E_IO;
}

/* ---- life ---- */

observer_err obs_client_spool_open(const char *path, uint64_t max_bytes, bool sync, obs_client_spool **out,
                                   uint64_t *ops, uint64_t *damaged, char *text, size_t size) {
  obs_client_spool *s = calloc(1, sizeof(*s));
  if (s == NULL) return OBSERVER_E_NOMEM;
  s->max = max_bytes;
  s->sync = sync;
  s->file = (spool_file){.fd = -1, .path = strdup(path)};
  observer_err err = s->file.path != NULL ? open_locked(path, &s->file.fd, &s->end, text, size) : OBSERVER_E_NOMEM;
  if (err != OBSERVER_E_OK)
    s->file.fd = -1; /* closed already */
  else
    err = read_header(&s->file, &s->settled, &s->end, text, size);
  if (err != OBSERVER_E_OK) {
    obs_client_spool_close(s);
    return err;
  }
  s->read_at = s->settled;
  err = survey(s, ops, damaged);
  if (err != OBSERVER_E_OK) {
    snprintf(text, size, "spool %s: %s", path, err == OBSERVER_E_IO ? strerror(errno) : observer_strerror(err));
    obs_client_spool_close(s);
    return err;
  }
  if (s->end == s->settled) obs_client_spool_settled(s, s->end);
  *out = s;
  return OBSERVER_E_OK;
}

void obs_client_spool_close(obs_client_spool *s) {
  if (s == NULL) return;
  if (s->file.fd >= 0) close(s->file.fd);
  free(s->file.path);
  free(s);
}

/* ---- writing ---- */

static bool make_room(obs_client_spool *s, uint64_t size, uint64_t *shift) {
  uint64_t gain = s->settled - HEADER;
  *shift = 0;
  if (s->end + size <= s->max || gain < s->max / 4) return true;
  if (!rewrite(&s->file, s->settled, s->end)) return false;
  s->settled -= gain;
  s->read_at -= gain;
  s->end -= gain;
  s->surveyed = s->surveyed > gain ? s->surveyed - gain : 0;
  *shift = gain;
  return true;
}

bool obs_client_spool_append(obs_client_spool *s, obs_client_record *r, void *const *tags, const void *body, size_t len,
                             uint64_t *shift) {
  size_t tag_bytes = r->ntags * sizeof(void *);
  head h = {.magic = MAGIC,
            .flags = (r->raw ? RAW : 0) | (r->whole ? WHOLE : 0),
            .nops = r->nops,
            .ntags = r->ntags,
            .len = len};
  h.instance = r->instance;
  h.serial = r->serial;
  h.body_sum = sum(body, len, sum(tags, tag_bytes, 0));
  h.head_sum = head_sum(&h);
  r->size = record_size(&h);
  if (!make_room(s, r->size, shift)) return false;
  r->at = s->end;
  if (!put(s->file.fd, r->at, &h, sizeof(h)) || !put(s->file.fd, r->at + sizeof(h), tags, tag_bytes) ||
      !put(s->file.fd, r->at + sizeof(h) + tag_bytes, body, len) || (s->sync && fdatasync(s->file.fd) != 0)) {
    /* Should the cut fail too, the next append writes over it, and a torn end is no harm. */
    bool was_cut = ftruncate(s->file.fd, (off_t)s->end) == 0;
    (void)was_cut;
    return false;
  }
  s->end += r->size;
  return true;
}

uint64_t obs_client_spool_read_at(const obs_client_spool *s) {
  return s->read_at;
}

void obs_client_spool_set_read_at(obs_client_spool *s, uint64_t at) {
  s->read_at = at;
}

bool obs_client_spool_at_end(const obs_client_spool *s) {
  return s->read_at >= s->end;
}

uint64_t obs_client_spool_live(const obs_client_spool *s) {
  return s->end - s->settled;
}

/* The position first: after a crash in between, the file is as it was, and is sent again. */
void obs_client_spool_settled(obs_client_spool *s, uint64_t at) {
  bool all = at == s->end;
  s->settled = at;
  slot next = make_slot(all ? HEADER : at, s->file.turn + 1); /* the former one stays until this one is whole */
  if (!put(s->file.fd, offsetof(header, slots) + next.turn % 2 * sizeof(next), &next, sizeof(next))) return;
  s->file.turn = next.turn;
  if (!all) return;
  if (ftruncate(s->file.fd, HEADER) == 0) {
    s->settled = s->read_at = s->end = s->surveyed = HEADER;
  }
}
