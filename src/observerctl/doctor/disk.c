/* doctor's probes of the data directory: whether observerd can live there, who does, and how much room is left. */
#include "observerctl/doctor/doctor.h"

#include "jsonl/lines.h"
#include "observerctl/cli/text.h"
#include "observerctl/journal/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

enum { PATH_SIZE = 4096, TAIL = 1 << 20 };

static const uint64_t bytes_least = 64 * MIB, bytes_enough = 1024 * MIB, inodes_least = 64, inodes_enough = 1000;

/* The directory, or the nearest one above it that exists. */
static void nearest(const char *dir, char out[PATH_SIZE]) {
  snprintf(out, PATH_SIZE, "%s", dir);
  while (access(out, F_OK) != 0) {
    char *slash = strrchr(out, '/');
    if (slash == NULL) {
      snprintf(out, PATH_SIZE, ".");
      return;
    }
    slash[slash == out ? 1 : 0] = '\0';
    if (slash == out) return;
  }
}

static const char *user_of(uid_t uid, char out[64]) {
  const struct passwd *user = getpwuid(uid);
  if (user != NULL)
    snprintf(out, 64, "%s", user->pw_name);
  else
    snprintf(out, 64, "%u", (unsigned)uid);
  return out;
}

static bool writable(const char *dir) {
  return faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0;
}

/* Gives it to who runs this. */
static void fix_owner(const char *dir, char *out, size_t size) {
  char user[64];
  snprintf(out, size, "sudo mkdir -p '%s' && sudo chown %s '%s'", dir, user_of(geteuid(), user), dir);
}

static void check_missing(obs_doctor *d) {
  char above[PATH_SIZE], fix[PATH_SIZE];
  nearest(d->data_dir, above);
  snprintf(fix, sizeof(fix), "mkdir -p '%.1000s'", d->data_dir);
  if (writable(above)) {
    obs_doctor_say(d, OBS_FINDING_OK, "data dir", "", "%s is not there yet; observerd makes it", d->data_dir);
    return;
  }
  int saved = errno;
  fix_owner(d->data_dir, fix, sizeof(fix));
  obs_doctor_say(d, OBS_FINDING_FAIL, "data dir", fix, "%s is not there and cannot be made: %s: %s", d->data_dir, above,
                 strerror(saved));
}

/* Files of another user, as of a daemon that once ran as root, keep observerd from starting. */
static bool files_writable(obs_doctor *d) {
  static const char *const names[] = {"lock", "ops.jsonl"};
  char path[PATH_SIZE], fix[PATH_SIZE], mine[64], theirs[64];
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", d->data_dir, names[i]);
    if (stat(path, &st) != 0 || faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) == 0) continue;
    int saved = errno;
    snprintf(fix, sizeof(fix), "sudo chown -R %s '%.1000s'", user_of(geteuid(), mine), d->data_dir);
    obs_doctor_say(d, OBS_FINDING_FAIL, "data dir", fix, "%s, owned by %s, cannot be written: %s", path,
                   user_of(st.st_uid, theirs), strerror(saved));
    return false;
  }
  return true;
}

static void check_lock(obs_doctor *d) {
  const char *program = d->lock_owner.program[0] != '\0' ? d->lock_owner.program : "a process";
  if (d->lock_held)
    obs_doctor_say(d, OBS_FINDING_OK, "data lock", "",
                   "held by %s (pid %d): a second daemon would refuse to start there", program, d->lock_owner.pid);
  else
    obs_doctor_say(d, OBS_FINDING_OK, "data lock", "", "free");
}

void obs_doctor_data_dir(obs_doctor *d) {
  struct stat st;
  char fix[PATH_SIZE], user[64];
  if (stat(d->data_dir, &st) != 0 && errno == ENOENT) {
    check_missing(d);
    return;
  }
  fix_owner(d->data_dir, fix, sizeof(fix));
  if (stat(d->data_dir, &st) != 0) {
    obs_doctor_say(d, OBS_FINDING_FAIL, "data dir", fix, "%s: %s", d->data_dir, strerror(errno));
  } else if (!S_ISDIR(st.st_mode)) {
    obs_doctor_say(d, OBS_FINDING_FAIL, "data dir", "observerd --data-dir data/_observer", "%s is no directory",
                   d->data_dir);
  } else if (!writable(d->data_dir)) {
    int saved = errno;
    obs_doctor_say(d, OBS_FINDING_FAIL, "data dir", fix, "%s, owned by %s, cannot be written: %s", d->data_dir,
                   user_of(st.st_uid, user), strerror(saved));
  } else if (files_writable(d)) {
    obs_doctor_say(d, OBS_FINDING_OK, "data dir", "", "%s, owned by %s, writable", d->data_dir,
                   user_of(st.st_uid, user));
    check_lock(d);
  }
}

/* ---- the journal's end ---- */

typedef struct {
  const char *reason; /* of the last row; NULL: it is sound */
  char text[256];
  bool torn;
} ending;

static void on_fault(void *arg, const obs_verify_fault *f) {
  ending *e = arg;
  snprintf(e->text, sizeof(e->text), "%s", f->reason);
  e->reason = e->text;
  e->torn = f->torn;
}

/* Where the last row of a file of `size` bytes begins; `size` when it is further than TAIL from the end. */
static uint64_t last_row(int fd, uint64_t size) {
  uint64_t from = size > TAIL ? size - TAIL : 0, at = from == 0 ? 0 : size;
  char *tail = malloc(TAIL);
  ssize_t n = tail != NULL ? pread(fd, tail, TAIL, (off_t)from) : 0;
  const char *nl = n > 1 ? memrchr(tail, '\n', (size_t)n - 1) : NULL;
  if (nl != NULL) at = from + (uint64_t)(nl + 1 - tail);
  free(tail);
  return at;
}

static void check_ending(obs_doctor *d, int fd, const char *path) {
  struct stat st;
  obs_verify v;
  obs_verify_totals sum = {0};
  ending e = {0};
  char fix[PATH_SIZE];
  if (!obs_verify_init(&v)) return;
  v.fault = on_fault;
  v.arg = &e;
  bool ok = fstat(fd, &st) == 0;
  ok = ok && obs_verify_file(&v, fd, last_row(fd, (uint64_t)st.st_size), path, &sum);
  int saved = errno;
  obs_verify_fini(&v);
  snprintf(fix, sizeof(fix), "observerctl check '%.1000s'", d->data_dir);
  if (!ok)
    obs_doctor_say(d, OBS_FINDING_FAIL, "journal", fix, "%s: %s", path, strerror(saved));
  else if (e.torn)
    obs_doctor_say(d, OBS_FINDING_WARN, "journal", fix,
                   "the last row of %s is torn (%s); observerd cuts it off and keeps it aside when it starts", path,
                   e.text);
  else if (e.reason != NULL)
    obs_doctor_say(d, OBS_FINDING_WARN, "journal", fix, "the last row of %s is no op: %s", path, e.text);
  else
    obs_doctor_say(d, OBS_FINDING_OK, "journal", "", "%s, %" PRIu64 " bytes, its last row is whole", path,
                   (uint64_t)st.st_size);
}

void obs_doctor_journal(obs_doctor *d) {
  char path[PATH_SIZE], fix[PATH_SIZE];
  snprintf(path, sizeof(path), "%s/ops.jsonl", d->data_dir);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0) {
    check_ending(d, fd, path);
    (void)close(fd);
  } else if (errno == ENOENT) {
    obs_doctor_say(d, OBS_FINDING_OK, "journal", "", "%s is not there yet", path);
  } else {
    int saved = errno;
    snprintf(fix, sizeof(fix), "sudo observerctl doctor --data-dir '%.1000s'", d->data_dir);
    obs_doctor_say(d, OBS_FINDING_WARN, "journal", fix, "%s: %s", path, strerror(saved));
  }
}

/* ---- room ---- */

static obs_doctor_finding judge(uint64_t have, uint64_t least, uint64_t enough) {
  return have < least ? OBS_FINDING_FAIL : have < enough ? OBS_FINDING_WARN : OBS_FINDING_OK;
}

static void bytes_text(uint64_t n, char out[32]) {
  if (n >= 1024 * MIB)
    snprintf(out, 32, "%.1f GiB", (double)n / (double)(1024 * MIB));
  else
    snprintf(out, 32, "%" PRIu64 " MiB", n / MIB);
}

void obs_doctor_disk(obs_doctor *d) {
  char where[PATH_SIZE], fix[PATH_SIZE], left[32], number[OBS_TEXT_NUMBER];
  struct statvfs fs;
  nearest(d->data_dir, where);
  if (statvfs(where, &fs) != 0) {
    obs_doctor_say(d, OBS_FINDING_FAIL, "disk space", "df -h", "%s: %s", where, strerror(errno));
    return;
  }
  snprintf(fix, sizeof(fix),
           "df -h '%.1000s'; free space there, or let observerd delete old segments: observerd --retain-bytes 1G",
           where);
  uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize, all = (uint64_t)fs.f_blocks * fs.f_frsize;
  bytes_text(free_bytes, left);
  obs_doctor_say(d, judge(free_bytes, bytes_least, bytes_enough), "disk space", fix, "%s free at %s (%.0f %%)", left,
                 where, all > 0 ? 100 * (double)free_bytes / (double)all : 0);
  if (fs.f_files == 0) return; /* a file system without a fixed number of inodes */
  snprintf(fix, sizeof(fix), "df -i '%.1000s'; delete files there", where);
  obs_doctor_say(d, judge(fs.f_favail, inodes_least, inodes_enough), "inodes", fix, "%s free at %s",
                 obs_text_count(number, fs.f_favail), where);
}
