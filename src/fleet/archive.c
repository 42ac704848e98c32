#include "fleet/archive.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "base/row.h"
#include "base/vec.h"
#include "jsonl/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { VERSION = 1, FILES_MAX = 4096, KEY = 64, LINEAGE_MAX = 64 };
static const char leader_key[] = "leader", lineage_file[] = "lineage", chunk_prefix[] = "leader.";

typedef struct {
  uint64_t run, number, hash; /* its key is leader.<run>.<number> */
  uint32_t bytes;
} chunk;

typedef OBS_VEC(chunk) chunk_list;

typedef struct {
  char *name;
  uint64_t bytes;
  chunk_list chunks;
  /* What it was when it was read: while this is the same, so are its bytes. */
  ino_t ino;
  struct timespec mtime, ctime;
} file;

typedef struct {
  OBS_VEC(file) files;
  uint64_t worker, run, by, bytes;
} manifest;

struct obs_archive {
  obs_archive_opts opts;
  char *dir, *fresh, *former; /* PARENT/NAME, and that while it is restored, and what was there before */
  manifest now;               /* as it stands in the bucket */
  uint64_t revision;          /* 0: there is none */
  bool unknown;               /* one that cannot be read */
  bool was_here;
  uint64_t numbers, sent;
};

/* ---- memory ---- */

static void free_manifest(manifest *m) {
  for (uint32_t i = 0; i < m->files.n; i++) {
    free(m->files.at[i].name);
    OBS_VEC_FINI(&m->files.at[i].chunks);
  }
  OBS_VEC_FINI(&m->files);
  *m = (manifest){.worker = 0};
}

observer_err obs_archive_open(const obs_archive_opts *opts, obs_archive **out) {
  *out = NULL;
  obs_archive *a = calloc(1, sizeof *a);
  if (a == NULL) return OBSERVER_E_NOMEM;
  a->opts = *opts;
  a->numbers = obs_clock_mono_ns(); /* a run that leads for a second time goes on */
  if (asprintf(&a->dir, "%s/%s", opts->parent, opts->name) < 0) a->dir = NULL;
  if (asprintf(&a->fresh, "%s/%s.restored", opts->parent, opts->name) < 0) a->fresh = NULL;
  if (asprintf(&a->former, "%s/%s.former", opts->parent, opts->name) < 0) a->former = NULL;
  if (a->dir == NULL || a->fresh == NULL || a->former == NULL) {
    obs_archive_close(a);
    return OBSERVER_E_NOMEM;
  }
  *out = a;
  return OBSERVER_E_OK;
}

void obs_archive_close(obs_archive *a) {
  if (a == NULL) return;
  free_manifest(&a->now);
  free(a->dir);
  free(a->fresh);
  free(a->former);
  free(a);
}

bool obs_archive_was_here(const obs_archive *a) {
  return a->was_here;
}

uint64_t obs_archive_bytes(const obs_archive *a) {
  return a->now.bytes;
}

uint64_t obs_archive_take_sent(obs_archive *a) {
  uint64_t sent = a->sent;
  a->sent = 0;
  return sent;
}

/* ---- the manifest as text ---- */

static void write_manifest(const manifest *m, uint32_t partitions, obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "v", VERSION);
  obs_json_id(&w, "worker", m->worker);
  obs_json_id(&w, "run", m->run);
  obs_json_id(&w, "by", m->by);
  obs_json_u64(&w, "partitions", partitions);
  obs_json_i64(&w, "made_ms", obs_clock_wall_ms());
  obs_json_u64(&w, "bytes", m->bytes);
  obs_json_array(&w, "files");
  for (uint32_t i = 0; i < m->files.n; i++) {
    const file *f = &m->files.at[i];
    obs_json_object(&w, NULL);
    obs_json_cstr(&w, "name", f->name);
    obs_json_u64(&w, "bytes", f->bytes);
    obs_json_array(&w, "chunks");
    for (uint32_t k = 0; k < f->chunks.n; k++) {
      const chunk *c = &f->chunks.at[k];
      char text[80];
      (void)snprintf(text, sizeof text, "%016" PRIx64 ".%" PRIu64 ":%016" PRIx64 ":%" PRIu32, c->run, c->number,
                     c->hash, c->bytes);
      obs_json_cstr(&w, NULL, text);
    }
    obs_json_end(&w);
    obs_json_end(&w);
  }
  obs_json_end(&w);
  obs_json_end(&w);
}

/* It becomes the name of a file: a plain one, and none of those that are never archived. */
static bool is_name(obs_str s) {
  return s.p != NULL && s.len > 0 && s.len < NAME_MAX && s.p[0] != '.' && memchr(s.p, '/', s.len) == NULL &&
         memchr(s.p, '\0', s.len) == NULL && !obs_str_is(s, "redact.key") && !obs_str_is(s, "lock") &&
         !obs_str_is(s, lineage_file);
}

static bool read_chunk(const cJSON *item, chunk *out) {
  obs_str s = obs_row_item_text(item);
  int end = 0;
  if (s.p == NULL || s.len > 80) return false;
  char text[81];
  memcpy(text, s.p, s.len);
  text[s.len] = '\0';
  return sscanf(text, "%16" SCNx64 ".%" SCNu64 ":%16" SCNx64 ":%" SCNu32 "%n", &out->run, &out->number, &out->hash,
                &out->bytes, &end) == 4 &&
         text[end] == '\0' && out->bytes > 0 && out->bytes <= OBS_ARCHIVE_CHUNK;
}

static bool read_file_row(const cJSON *row, file *f) {
  const cJSON *item, *chunks = cJSON_GetObjectItemCaseSensitive(row, "chunks");
  obs_str name = obs_row_text(row, "name");
  uint64_t bytes = 0;
  if (!is_name(name) || !obs_row_u64(row, "bytes", &f->bytes) || !cJSON_IsArray(chunks)) return false;
  if ((f->name = strndup(name.p, name.len)) == NULL) return false;
  cJSON_ArrayForEach(item, chunks) {
    chunk *c = OBS_VEC_PUSH(&f->chunks);
    if (c == NULL || !read_chunk(item, c)) return false;
    bytes += c->bytes;
  }
  return bytes == f->bytes;
}

/* False: it is none, or of a later version. */
static bool read_manifest(const obs_buf *text, manifest *out) {
  uint64_t version = 0;
  cJSON *root = cJSON_ParseWithLength(obs_buf_view(text).p, text->len);
  const cJSON *row, *files = cJSON_GetObjectItemCaseSensitive(root, "files");
  bool ok = obs_row_id(root, "worker", &out->worker) && obs_row_id(root, "run", &out->run);
  ok = ok && obs_row_u64(root, "v", &version) && version == VERSION && obs_row_id(root, "by", &out->by) &&
       cJSON_IsArray(files);
  cJSON_ArrayForEach(row, files) {
    file *f = ok && out->files.n < FILES_MAX ? OBS_VEC_PUSH(&out->files) : NULL;
    ok = f != NULL && read_file_row(row, f);
    if (ok) out->bytes += f->bytes;
    ok = ok && out->bytes <= OBS_ARCHIVE_MAX;
    if (!ok) break;
  }
  cJSON_Delete(root);
  return ok;
}

observer_err obs_archive_look(obs_archive *a, obs_archive_holder *out, char *why) {
  obs_buf text = {0};
  free_manifest(&a->now);
  a->revision = 0;
  a->unknown = false;
  observer_err err = obs_nats_kv_get(a->opts.leases, leader_key, &text, &a->revision, why);
  if (err == OBSERVER_E_OK) a->unknown = !read_manifest(&text, &a->now);
  obs_buf_fini(&text);
  *out = (obs_archive_holder){a->now.worker, a->now.run};
  return err;
}

/* ---- chunks ---- */

static void name_chunk(const chunk *c, char out[KEY]) {
  (void)snprintf(out, KEY, "%s%016" PRIx64 ".%" PRIu64, chunk_prefix, c->run, c->number);
}

static bool is_same_key(const chunk *a, const chunk *b) {
  return a->run == b->run && a->number == b->number;
}

static bool has_key(const manifest *m, const chunk *c) {
  for (uint32_t i = 0; i < m->files.n; i++) {
    for (uint32_t k = 0; k < m->files.at[i].chunks.n; k++)
      if (is_same_key(&m->files.at[i].chunks.at[k], c)) return true;
  }
  return false;
}

/* One that is in the bucket and has these bytes. */
static const chunk *find_bytes(const manifest *m, uint64_t hash, uint32_t bytes) {
  for (uint32_t i = 0; i < m->files.n; i++) {
    const chunk_list *list = &m->files.at[i].chunks;
    for (uint32_t k = 0; k < list->n; k++)
      if (list->at[k].hash == hash && list->at[k].bytes == bytes) return &list->at[k];
  }
  return NULL;
}

static void remove_chunk(const obs_archive *a, const chunk *c) {
  char key[KEY];
  name_chunk(c, key);
  (void)obs_nats_kv_delete(a->opts.chunks, key, NULL); /* what is left is swept by who leads next */
}

/* Chunks of `from` that `m` does not have. */
static void remove_others(const obs_archive *a, const manifest *from, const manifest *m) {
  for (uint32_t i = 0; i < from->files.n; i++) {
    for (uint32_t k = 0; k < from->files.at[i].chunks.n; k++)
      if (!has_key(m, &from->files.at[i].chunks.at[k])) remove_chunk(a, &from->files.at[i].chunks.at[k]);
  }
}

typedef struct {
  const obs_archive *a;
  obs_buf keys; /* that the manifest does not have, each with its NUL */
} sweep;

static void look_at_key(void *arg, const char *key) {
  sweep *s = arg;
  chunk c = {0};
  int end = 0;
  bool read = sscanf(key + sizeof chunk_prefix - 1, "%16" SCNx64 ".%" SCNu64 "%n", &c.run, &c.number, &end) == 2;
  if (read && has_key(&s->a->now, &c)) return;
  obs_buf_append(&s->keys, key, strlen(key) + 1);
}

/* Of leaders that died while they wrote. */
static void sweep_chunks(obs_archive *a) {
  sweep s = {a, {0}};
  if (obs_nats_kv_keys(a->opts.chunks, chunk_prefix, look_at_key, &s, NULL) == OBSERVER_E_OK && !s.keys.oom) {
    for (size_t at = 0; at < s.keys.len; at += strlen(s.keys.p + at) + 1)
      (void)obs_nats_kv_delete(a->opts.chunks, s.keys.p + at, NULL);
  }
  obs_buf_fini(&s.keys);
}

/* ---- the directory ---- */

static bool is_archived(const char *name, const struct stat *st) {
  size_t n = strlen(name);
  return S_ISREG(st->st_mode) && is_name((obs_str){name, (uint32_t)n, 0}) &&
         !(n > 4 && strcmp(name + n - 4, ".new") == 0);
}

/* Removes the directory and the files in it. */
static void remove_dir(const char *path) {
  DIR *dir = opendir(path);
  for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (unlinkat(dirfd(dir), e->d_name, 0) != 0) obs_log_warn("fleet", "%s/%s: %s", path, e->d_name, strerror(errno));
  }
  if (dir != NULL) (void)closedir(dir);
  if (dir != NULL && rmdir(path) != 0) obs_log_warn("fleet", "%s: %s", path, strerror(errno));
}

static observer_err fail_disk(const char *path, const char *name, char *why) {
  observer_err err = obs_file_err(errno);
  (void)snprintf(why, OBS_NATS_WHY_MAX, "%.160s%s%.40s: %.40s", path, name[0] != '\0' ? "/" : "", name,
                 strerror(errno));
  return err != OBSERVER_E_OK ? err : OBSERVER_E_IO;
}

/* Whether the directory on the disk is a state of what that run has written. */
static bool has_lineage(const obs_archive *a, uint64_t run) {
  obs_buf text = {0};
  char hex[OBS_HEX_LEN + 1];
  int fd = open(a->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  obs_hex_format(run, hex);
  bool has = fd >= 0 && obs_file_read_all(fd, lineage_file, LINEAGE_MAX, &text) == OBSERVER_E_OK;
  obs_buf_putc(&text, '\0');
  has = has && !text.oom && strstr(text.p, hex) != NULL;
  if (fd >= 0) (void)close(fd);
  obs_buf_fini(&text);
  return has;
}

/* `former` 0: of this run alone. While the claim is under way it is of both. */
static observer_err write_lineage(const obs_archive *a, const char *path, uint64_t former, char *why) {
  obs_buf text = {0};
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (former != 0) obs_buf_printf(&text, "%016" PRIx64 "\n", former);
  obs_buf_printf(&text, "%016" PRIx64 "\n", a->opts.run);
  bool ok = fd >= 0 && !text.oom && obs_file_replace(fd, lineage_file, &text, true);
  observer_err err = ok ? OBSERVER_E_OK : fail_disk(path, lineage_file, why);
  if (fd >= 0) (void)close(fd);
  obs_buf_fini(&text);
  return err;
}

/* ---- restoring ---- */

static observer_err restore_file(const obs_archive *a, int dir_fd, const file *f, char *why) {
  observer_err err = OBSERVER_E_OK;
  obs_buf bytes = {0};
  uint64_t at = 0;
  int fd = openat(dir_fd, f->name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, OBS_FILE_MODE);
  if (fd < 0) return fail_disk(a->fresh, f->name, why);
  for (uint32_t k = 0; k < f->chunks.n && err == OBSERVER_E_OK; k++) {
    const chunk *c = &f->chunks.at[k];
    char key[KEY];
    name_chunk(c, key);
    obs_buf_reset(&bytes, SIZE_MAX);
    err = obs_nats_kv_get(a->opts.chunks, key, &bytes, NULL, why);
    bool same = bytes.len == c->bytes && XXH3_64bits(obs_buf_view(&bytes).p, bytes.len) == c->hash;
    if (err == OBSERVER_E_NOTFOUND || (err == OBSERVER_E_OK && !same)) {
      (void)snprintf(why, OBS_NATS_WHY_MAX, "%s: %s", key, err == OBSERVER_E_OK ? "not what was written" : "missing");
      err = OBSERVER_E_CORRUPT;
    }
    struct iovec iov = {bytes.p, bytes.len};
    if (err == OBSERVER_E_OK && !obs_file_write_at(fd, &iov, 1, at)) err = fail_disk(a->fresh, f->name, why);
    at += c->bytes;
  }
  if (err == OBSERVER_E_OK && fsync(fd) != 0) err = fail_disk(a->fresh, f->name, why);
  (void)close(fd);
  obs_buf_fini(&bytes);
  return err;
}

/* What is of this machine stays. */
static observer_err keep_own(const obs_archive *a, int dir_fd, char *why) {
  static const char name[] = "redact.key";
  obs_buf key = {0};
  int fd = open(a->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  observer_err err = fd >= 0 ? obs_file_read_all(fd, name, 4096, &key) : OBSERVER_E_NOTFOUND;
  if (fd >= 0) (void)close(fd);
  if (err == OBSERVER_E_OK && !obs_file_replace(dir_fd, name, &key, true)) err = fail_disk(a->fresh, name, why);
  if (key.p != NULL) explicit_bzero(key.p, key.len);
  obs_buf_fini(&key);
  return err == OBSERVER_E_NOTFOUND ? OBSERVER_E_OK : err;
}

static observer_err restore(obs_archive *a, char *why) {
  remove_dir(a->fresh);
  if (mkdir(a->fresh, OBS_FILE_DIR_MODE) != 0) return fail_disk(a->fresh, "", why);
  int fd = open(a->fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  observer_err err = fd >= 0 ? OBSERVER_E_OK : fail_disk(a->fresh, "", why);
  for (uint32_t i = 0; i < a->now.files.n && err == OBSERVER_E_OK; i++)
    err = restore_file(a, fd, &a->now.files.at[i], why);
  if (err == OBSERVER_E_OK) err = keep_own(a, fd, why);
  if (err == OBSERVER_E_OK && fsync(fd) != 0) err = fail_disk(a->fresh, "", why);
  if (fd >= 0) (void)close(fd);
  if (err != OBSERVER_E_OK) {
    remove_dir(a->fresh);
    return err;
  }
  remove_dir(a->former);
  if (rename(a->dir, a->former) != 0 && errno != ENOENT) return fail_disk(a->dir, "", why);
  if (rename(a->fresh, a->dir) != 0) return fail_disk(a->dir, "", why);
  remove_dir(a->former);
  return OBSERVER_E_OK;
}

/* ---- claiming and writing ---- */

/* Whether it is refused because of an own write whose answer was lost: then it is to be tried again, at that revision.
 */
static observer_err see_own(obs_archive *a, char *why) {
  manifest own = {.worker = 0};
  obs_buf text = {0};
  uint64_t revision = 0;
  observer_err err = obs_nats_kv_get(a->opts.leases, leader_key, &text, &revision, why);
  bool is_own = err == OBSERVER_E_OK && read_manifest(&text, &own) && own.by == a->opts.run;
  obs_buf_fini(&text);
  if (err != OBSERVER_E_OK || !is_own) {
    free_manifest(&own);
    return err == OBSERVER_E_OK || err == OBSERVER_E_NOTFOUND ? OBSERVER_E_LOCKED : err;
  }
  free_manifest(&a->now);
  a->now = own;
  a->revision = revision;
  (void)snprintf(why, OBS_NATS_WHY_MAX, "an answer of NATS was lost; it is tried again");
  return OBSERVER_E_NET;
}

static observer_err put_manifest(obs_archive *a, const manifest *m, uint32_t partitions, char *why) {
  obs_buf text = {0};
  write_manifest(m, partitions, &text);
  observer_err err = text.oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
  if (err == OBSERVER_E_OK && text.len > OBS_ARCHIVE_MANIFEST) {
    (void)snprintf(why, OBS_NATS_WHY_MAX, "the leader's directory has too many files: %zu bytes of names", text.len);
    err = OBSERVER_E_INVALID;
  }
  uint64_t revision = 0;
  if (err == OBSERVER_E_OK)
    err = a->revision == 0
              ? obs_nats_kv_create(a->opts.leases, leader_key, text.p, text.len, &revision, why)
              : obs_nats_kv_update(a->opts.leases, leader_key, text.p, text.len, a->revision, &revision, why);
  if (err == OBSERVER_E_OK) a->revision = revision;
  if (err == OBSERVER_E_LOCKED) err = see_own(a, why);
  obs_buf_fini(&text);
  return err;
}

static observer_err claim(obs_archive *a, char *why) {
  uint64_t former = a->now.by;
  observer_err err = write_lineage(a, a->dir, former, why);
  a->now.worker = a->opts.worker;
  a->now.run = a->now.by = a->opts.run;
  if (err == OBSERVER_E_OK) err = put_manifest(a, &a->now, 0, why);
  if (err == OBSERVER_E_OK) err = write_lineage(a, a->dir, 0, why);
  if (err == OBSERVER_E_OK) sweep_chunks(a);
  return err;
}

observer_err obs_archive_take(obs_archive *a, char *why) {
  if (a->unknown) {
    (void)snprintf(why, OBS_NATS_WHY_MAX, "key %s of the leases is of a later version", leader_key);
    return OBSERVER_E_NEWER;
  }
  if (a->revision == 0) return obs_archive_take_anew(a, why);
  a->was_here = has_lineage(a, a->now.by);
  observer_err err = a->was_here ? OBSERVER_E_OK : restore(a, why);
  return err == OBSERVER_E_OK ? claim(a, why) : err;
}

observer_err obs_archive_take_anew(obs_archive *a, char *why) {
  if (mkdir(a->dir, OBS_FILE_DIR_MODE) != 0 && errno != EEXIST) return fail_disk(a->dir, "", why);
  free_manifest(&a->now);
  a->was_here = true;
  return claim(a, why);
}

/* Puts the chunk where it is not there yet. */
static observer_err put_chunk(obs_archive *a, const obs_buf *bytes, chunk *out, char *why) {
  char key[KEY];
  *out = (chunk){a->opts.run, 0, XXH3_64bits(obs_buf_view(bytes).p, bytes->len), (uint32_t)bytes->len};
  const chunk *there = find_bytes(&a->now, out->hash, out->bytes);
  if (there != NULL) {
    *out = *there;
    return OBSERVER_E_OK;
  }
  out->number = ++a->numbers;
  name_chunk(out, key);
  a->sent += bytes->len;
  return obs_nats_kv_put(a->opts.chunks, key, bytes->p, bytes->len, NULL, why);
}

static bool same_time(struct timespec a, struct timespec b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* The file as it was archived last, when it has not changed since; NULL: it has. */
static const file *find_unchanged(const manifest *m, const char *name, const struct stat *st) {
  for (uint32_t i = 0; i < m->files.n; i++) {
    const file *f = &m->files.at[i];
    if (f->ino == st->st_ino && f->bytes == (uint64_t)st->st_size && same_time(f->mtime, st->st_mtim) &&
        same_time(f->ctime, st->st_ctim) && strcmp(f->name, name) == 0)
      return f;
  }
  return NULL;
}

/* What of it is read is what it had when it was opened: it may grow meanwhile. */
static observer_err read_chunks(obs_archive *a, int fd, uint64_t size, file *f, char *why) {
  observer_err err = OBSERVER_E_OK;
  obs_buf bytes = {0};
  if (!obs_buf_reserve(&bytes, OBS_ARCHIVE_CHUNK)) return OBSERVER_E_NOMEM;
  while (f->bytes < size && err == OBSERVER_E_OK) {
    uint64_t left = size - f->bytes;
    ssize_t n = obs_file_read_at(fd, bytes.p, left < OBS_ARCHIVE_CHUNK ? left : OBS_ARCHIVE_CHUNK, f->bytes);
    if (n < 0) err = fail_disk(a->dir, f->name, why);
    if (n <= 0) break; /* it was cut */
    bytes.len = (size_t)n;
    chunk *c = OBS_VEC_PUSH(&f->chunks);
    err = c != NULL ? put_chunk(a, &bytes, c, why) : OBSERVER_E_NOMEM;
    f->bytes += (uint64_t)n;
  }
  obs_buf_fini(&bytes);
  return err;
}

static observer_err add_file(obs_archive *a, int dir_fd, const char *name, manifest *to, char *why) {
  struct stat st;
  int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ELOOP || errno == ENXIO ? OBSERVER_E_OK : fail_disk(a->dir, name, why);
  observer_err err = fstat(fd, &st) == 0 ? OBSERVER_E_OK : fail_disk(a->dir, name, why);
  if (err != OBSERVER_E_OK || !is_archived(name, &st)) {
    (void)close(fd);
    return err;
  }
  file *f = to->files.n < FILES_MAX ? OBS_VEC_PUSH(&to->files) : NULL;
  if (f == NULL || (f->name = strdup(name)) == NULL) {
    (void)close(fd);
    return OBSERVER_E_NOMEM;
  }
  f->ino = st.st_ino;
  f->mtime = st.st_mtim;
  f->ctime = st.st_ctim;
  const file *same = find_unchanged(&a->now, name, &st);
  if (same != NULL && OBS_VEC_RESERVE(&f->chunks, same->chunks.n + 1)) {
    if (same->chunks.n > 0) memcpy(f->chunks.at, same->chunks.at, same->chunks.n * sizeof *f->chunks.at);
    f->chunks.n = same->chunks.n;
    f->bytes = same->bytes;
  } else
    err = read_chunks(a, fd, (uint64_t)st.st_size, f, why);
  (void)close(fd);
  to->bytes += f->bytes;
  if (err == OBSERVER_E_OK && to->bytes > OBS_ARCHIVE_MAX) {
    (void)snprintf(why, OBS_NATS_WHY_MAX, "the leader's directory has more than %d MiB", OBS_ARCHIVE_MAX >> 20);
    err = OBSERVER_E_INVALID;
  }
  return err;
}

observer_err obs_archive_write(obs_archive *a, uint32_t partitions, bool gives, char *why) {
  manifest next = {.worker = a->opts.worker, .run = gives ? 0 : a->opts.run, .by = a->opts.run};
  DIR *dir = opendir(a->dir);
  observer_err err = dir != NULL ? OBSERVER_E_OK : fail_disk(a->dir, "", why);
  for (const struct dirent *e; err == OBSERVER_E_OK && (e = readdir(dir)) != NULL;)
    err = add_file(a, dirfd(dir), e->d_name, &next, why);
  if (dir != NULL) (void)closedir(dir);
  if (err == OBSERVER_E_OK) err = put_manifest(a, &next, partitions, why);
  if (err != OBSERVER_E_OK) { /* an answer may have been lost: what was written stays, and is swept by who leads next */
    free_manifest(&next);
    return err;
  }
  manifest former = a->now;
  a->now = next;
  remove_others(a, &former, &a->now);
  free_manifest(&former);
  return OBSERVER_E_OK;
}
