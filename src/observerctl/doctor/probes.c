/* doctor's probes: of the data directory, of the machine, of the daemon. */
#include "observerctl/doctor/doctor.h"

#include "base/clock.h"
#include "jsonl/lines.h"
#include "observerctl/ask/fetch.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/text.h"
#include "observerctl/journal/verify.h"

#include <curl/curl.h>
#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <nng/nng.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>
#include <xxhash.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

enum { AHEAD_S = 5 };
enum { TIMEOUT_MS = 3000, FILES_ENOUGH = 4096, FILES_LEAST = 256, VERSION = 32 };

#define MIB (UINT64_C(1) << 20)
#define DAY_MS INT64_C(86400000)

enum { PATH_SIZE = 4096, TAIL = 1 << 20 };

static const uint64_t bytes_least = 64 * MIB, bytes_enough = 1024 * MIB, inodes_least = 64, inodes_enough = 1000;

/* ---- what fixes it here ---- */

/* Where this program was built, and not installed. */
static bool in_build_tree(void) {
  char path[PATH_SIZE];
  ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("CMakeCache.txt"));
  if (n <= 0) return false;
  path[n] = '\0';
  char *slash = strrchr(path, '/');
  if (slash == NULL) return false;
  memcpy(slash + 1, "CMakeCache.txt", sizeof("CMakeCache.txt"));
  return access(path, F_OK) == 0;
}

static const char *fix_libraries(void) {
  return in_build_tree()
             ? "scripts/deps.sh build && cmake --preset release && cmake --build --preset release --clean-first"
             : "install observerd and observerctl again, built with the libraries of this system";
}

static bool is_systemd(void) {
  return access("/run/systemd/system", F_OK) == 0;
}

/* The directories in which systemd looks for a unit, the first that has it. */
static bool find_unit(char *path, size_t size) {
  static const char *const dirs[] = {"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
                                     "/usr/lib/systemd/system", "/lib/systemd/system"};
  for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
    snprintf(path, size, "%s/observerd.service", dirs[i]);
    if (access(path, F_OK) == 0) return true;
  }
  return false;
}

static bool has_unit(void) {
  char path[128];
  return is_systemd() && find_unit(path, sizeof(path));
}

static const char *fix_start(const obs_doctor *d, char *out, size_t size) {
  if (has_unit())
    snprintf(out, size, "sudo systemctl start observerd");
  else if (in_build_tree())
    snprintf(out, size, "scripts/run.sh");
  else
    snprintf(out, size, "observerd --data-dir '%.1000s'", d->data_dir);
  return out;
}

static const char *fix_restart(const obs_doctor *d, char *out, size_t size) {
  char start[PATH_SIZE];
  if (has_unit())
    snprintf(out, size, "sudo systemctl restart observerd");
  else if (d->lock_held)
    snprintf(out, size, "kill %d; then %s", d->lock_owner.pid, fix_start(d, start, sizeof(start)));
  else
    snprintf(out, size, "stop the observerd that answers at %.500s; then %s", d->url,
             fix_start(d, start, sizeof(start)));
  return out;
}

/* ---- the data directory ---- */

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

/* The command that gives it to the user who runs this. */
static void fix_owner(const char *dir, char *out, size_t size) {
  char user[64];
  snprintf(out, size, "sudo mkdir -p '%s' && sudo chown %s '%s'", dir, user_of(geteuid(), user), dir);
}

void obs_doctor_data_dir(obs_doctor *d) {
  const char *const names[] = {"lock", d->journal_name};
  struct stat st;
  char fix[PATH_SIZE], path[PATH_SIZE], user[64], who[128];
  if (d->ephemeral || d->elsewhere) {
    if (d->ephemeral)
      obs_doctor_say(d, OBS_DOCTOR_OK, "data dir", "", "none: the observerd that answers at %s is ephemeral", d->url);
    else
      obs_doctor_say(d, OBS_DOCTOR_OK, "data dir", "", "%s on the machine of %s; observerctl doctor looks at it there",
                     d->data_dir, d->url);
    return;
  }
  fix_owner(d->data_dir, fix, sizeof(fix));
  if (stat(d->data_dir, &st) != 0) {
    int saved = errno;
    nearest(d->data_dir, path);
    if (saved != ENOENT)
      obs_doctor_say(d, OBS_DOCTOR_FAIL, "data dir", fix, "%s: %s", d->data_dir, strerror(saved));
    else if (writable(path))
      obs_doctor_say(d, OBS_DOCTOR_OK, "data dir", "", "%s does not exist yet; observerd creates it", d->data_dir);
    else
      obs_doctor_say(d, OBS_DOCTOR_FAIL, "data dir", fix, "%s does not exist and cannot be created: %s: %s",
                     d->data_dir, path, strerror(errno));
    return;
  }
  if (!S_ISDIR(st.st_mode)) {
    obs_doctor_say(d, OBS_DOCTOR_FAIL, "data dir", "observerd --data-dir data/_observer", "%s is not a directory",
                   d->data_dir);
    return;
  }
  if (!writable(d->data_dir)) {
    int saved = errno;
    obs_doctor_say(d, OBS_DOCTOR_FAIL, "data dir", fix, "%s, owned by %s, cannot be written: %s", d->data_dir,
                   user_of(st.st_uid, user), strerror(saved));
    return;
  }
  /* Files of another user, as of a daemon that once ran as root, keep observerd from starting. */
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    struct stat file;
    snprintf(path, sizeof(path), "%s/%s", d->data_dir, names[i]);
    if (stat(path, &file) != 0 || faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) == 0) continue;
    int saved = errno;
    snprintf(fix, sizeof(fix), "sudo chown -R %s '%.1000s'", user_of(geteuid(), user), d->data_dir);
    obs_doctor_say(d, OBS_DOCTOR_FAIL, "data dir", fix, "%s, owned by %s, cannot be written: %s", path,
                   user_of(file.st_uid, user), strerror(saved));
    return;
  }
  obs_doctor_say(d, OBS_DOCTOR_OK, "data dir", "", "%s, owned by %s, writable", d->data_dir, user_of(st.st_uid, user));
  if (d->lock_held)
    obs_doctor_say(d, OBS_DOCTOR_OK, "data lock", "", "held by %s: a second daemon would refuse to start there",
                   obs_owner_text(&d->lock_owner, who, sizeof(who)));
  else
    obs_doctor_say(d, OBS_DOCTOR_OK, "data lock", "", "free");
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

/* The last row of the file: e->reason says what is wrong with it. False and errno: it cannot be read. */
static bool check_last_row(int fd, const char *path, uint64_t *size, ending *e) {
  struct stat st;
  obs_verify v;
  obs_verify_totals sum = {0};
  if (!obs_verify_init(&v)) {
    errno = ENOMEM;
    return false;
  }
  v.fault = on_fault;
  v.arg = e;
  bool ok = fstat(fd, &st) == 0;
  if (ok) {
    /* Where the last row begins; the file's end when that is further than TAIL from it. The last byte is the row's own
     * newline: the search starts before it. */
    *size = (uint64_t)st.st_size;
    uint64_t from = *size > TAIL ? *size - TAIL : 0, at = from == 0 ? 0 : *size;
    char *tail = malloc(TAIL);
    ssize_t n = tail != NULL ? pread(fd, tail, TAIL, (off_t)from) : 0;
    const char *nl = n > 1 ? memrchr(tail, '\n', (size_t)n - 1) : NULL;
    if (nl != NULL) at = from + (uint64_t)(nl + 1 - tail);
    free(tail);
    ok = obs_verify_file(&v, fd, at, path, &sum);
  }
  int saved = errno;
  obs_verify_fini(&v);
  errno = saved;
  return ok;
}

static void say_missing(obs_doctor *d, const char *path) {
  char fix[80];
  snprintf(fix, sizeof(fix), "kill -USR1 %d; its log says where the rows are", d->lock_owner.pid);
  if (d->lock_held) /* a daemon has made it when it started */
    obs_doctor_say(
        d, OBS_DOCTOR_FAIL, "journal", fix,
        "%s was removed or renamed while observerd records (use --segment-bytes and --retain-*, not logrotate)", path);
  else
    obs_doctor_say(d, OBS_DOCTOR_OK, "journal", "", "%s does not exist yet", path);
}

void obs_doctor_journal(obs_doctor *d) {
  char path[PATH_SIZE], fix[PATH_SIZE];
  if (d->ephemeral || d->elsewhere) return;
  snprintf(path, sizeof(path), "%s/%s", d->data_dir, d->journal_name);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) {
    say_missing(d, path);
    return;
  }
  if (fd < 0) {
    int saved = errno;
    snprintf(fix, sizeof(fix), "sudo observerctl doctor --data-dir '%.1000s'", d->data_dir);
    obs_doctor_say(d, OBS_DOCTOR_WARN, "journal", fix, "%s: %s", path, strerror(saved));
    return;
  }
  uint64_t size = 0;
  ending e = {0};
  bool ok = check_last_row(fd, path, &size, &e);
  int saved = errno;
  (void)close(fd);
  snprintf(fix, sizeof(fix), "observerctl check '%.1000s'", d->data_dir);
  if (!ok)
    obs_doctor_say(d, OBS_DOCTOR_FAIL, "journal", fix, "%s: %s", path, strerror(saved));
  else if (e.torn)
    obs_doctor_say(d, OBS_DOCTOR_WARN, "journal", fix,
                   "the last row of %s is torn (%s); observerd cuts it off and keeps it aside when it starts", path,
                   e.text);
  else if (e.reason != NULL)
    obs_doctor_say(d, OBS_DOCTOR_WARN, "journal", fix, "the last row of %s is not an op: %s", path, e.text);
  else
    obs_doctor_say(d, OBS_DOCTOR_OK, "journal", "", "%s, %" PRIu64 " bytes, its last row is whole", path, size);
}

/* ---- room ---- */

static obs_doctor_status judge(uint64_t have, uint64_t least, uint64_t enough) {
  return have < least ? OBS_DOCTOR_FAIL : have < enough ? OBS_DOCTOR_WARN : OBS_DOCTOR_OK;
}

void obs_doctor_disk(obs_doctor *d) {
  char where[PATH_SIZE], fix[PATH_SIZE], left[32], number[OBS_TEXT_NUMBER];
  struct statvfs fs;
  if (d->ephemeral || d->elsewhere) return;
  nearest(d->data_dir, where);
  if (statvfs(where, &fs) != 0) {
    obs_doctor_say(d, OBS_DOCTOR_FAIL, "disk space", "df -h", "%s: %s", where, strerror(errno));
    return;
  }
  snprintf(fix, sizeof(fix),
           "df -h '%.1000s'; free space there, or let observerd delete old segments: observerd --retain-bytes 1G",
           where);
  uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize, all = (uint64_t)fs.f_blocks * fs.f_frsize;
  if (free_bytes >= 1024 * MIB)
    snprintf(left, sizeof(left), "%.1f GiB", (double)free_bytes / (double)(1024 * MIB));
  else
    snprintf(left, sizeof(left), "%" PRIu64 " MiB", free_bytes / MIB);
  obs_doctor_say(d, judge(free_bytes, bytes_least, bytes_enough), "disk space", fix, "%s free at %s (%.0f %%)", left,
                 where, all > 0 ? 100 * (double)free_bytes / (double)all : 0);
  if (fs.f_files == 0) return; /* the file system has no fixed number of inodes */
  snprintf(fix, sizeof(fix), "df -i '%.1000s'; delete files there", where);
  obs_doctor_say(d, judge(fs.f_favail, inodes_least, inodes_enough), "inodes", fix, "%s free at %s",
                 obs_text_count(number, fs.f_favail), where);
}

/* ---- libraries ---- */

static void xxhash_version(unsigned n, char out[VERSION]) {
  snprintf(out, VERSION, "%u.%u.%u", n / 10000, n / 100 % 100, n % 100);
}

/* Whether two versions have the same major and minor number. */
static bool alike(const char *a, const char *b) {
  for (int dots = 0; *a != '\0' && *a == *b; a++, b++) {
    if (*a == '.' && ++dots == 2) return true;
  }
  return (*a == '\0' || *a == '.' || *a == '-') && (*b == '\0' || *b == '.' || *b == '-');
}

void obs_doctor_libraries(obs_doctor *d) {
  char xx_built[VERSION], xx_runs[VERSION];
  xxhash_version(XXH_VERSION_NUMBER, xx_built);
  xxhash_version(XXH_versionNumber(), xx_runs);
  const char *curses = curses_version(), *space = strchr(curses, ' '); /* `ncurses 6.4.20221231` */
  const struct {
    const char *name, *built, *runs;
  } libraries[] = {
      {"NNG", TEXT(NNG_MAJOR_VERSION) "." TEXT(NNG_MINOR_VERSION) "." TEXT(NNG_PATCH_VERSION), nng_version()},
      {"msgpack-c", MSGPACK_VERSION, msgpack_version()},
      {"libcurl", LIBCURL_VERSION, curl_version_info(CURLVERSION_NOW)->version},
      {"cJSON", TEXT(CJSON_VERSION_MAJOR) "." TEXT(CJSON_VERSION_MINOR) "." TEXT(CJSON_VERSION_PATCH), cJSON_Version()},
      {"xxHash", xx_built, xx_runs},
      {"ncurses", NCURSES_VERSION, space != NULL ? space + 1 : curses},
  };
  for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
    const char *built = libraries[i].built, *runs = libraries[i].runs;
    if (alike(built, runs))
      obs_doctor_say(d, OBS_DOCTOR_OK, libraries[i].name, "", "version %s", runs);
    else
      obs_doctor_say(d, OBS_DOCTOR_WARN, libraries[i].name, fix_libraries(), "built with version %s, runs with %s",
                     built, runs);
  }
}

/* ---- ports ---- */

/* Whether a text of the tree is a URL with that port. */
static bool names_port(const cJSON *node, uint16_t port) {
  if (cJSON_IsString(node)) {
    const char *colon = strrchr(node->valuestring, ':');
    return colon != NULL && strtoul(colon + 1, NULL, 10) == port;
  }
  const cJSON *child;
  cJSON_ArrayForEach(child, node) {
    if (names_port(child, port)) return true;
  }
  return false;
}

static void check_port(obs_doctor *d, uint16_t port) {
  const cJSON *urls = cJSON_GetObjectItemCaseSensitive(d->health, "urls");
  const cJSON *version = cJSON_GetObjectItemCaseSensitive(d->health, "version");
  const cJSON own = {.type = cJSON_String, .valuestring = (char *)(uintptr_t)d->url};
  char check[16], fix[160], who[128], pid[32] = "";
  bool taken;
  obs_owner owner;
  snprintf(check, sizeof(check), "port %u", port);
  if (!obs_owner_of_port(port, &taken, &owner)) {
    obs_doctor_say(d, OBS_DOCTOR_WARN, check, "ss -ltn", "unknown: /proc/net/tcp cannot be read");
    return;
  }
  if (owner.pid != 0) snprintf(pid, sizeof(pid), " (pid %d)", owner.pid);
  if (!taken) {
    obs_doctor_say(d, OBS_DOCTOR_OK, check, "", "free");
  } else if (d->health != NULL && (names_port(urls, port) || names_port(&own, port))) {
    obs_doctor_say(d, OBS_DOCTOR_OK, check, "", "taken by the observerd %s that answers at %s%s",
                   cJSON_IsString(version) ? version->valuestring : "", d->url, pid);
  } else if (strcmp(owner.program, "observerd") == 0) {
    obs_doctor_say(d, OBS_DOCTOR_OK, check, "", "taken by an observerd%s", pid);
  } else if (owner.pid == 0) {
    snprintf(fix, sizeof(fix), "sudo observerctl doctor --ports %u", port);
    obs_doctor_say(d, OBS_DOCTOR_WARN, check, fix, "taken by a process of another user, which only root can see");
  } else {
    /* The flag whose default has the port. */
    static const char *const by_port[] = {"http", "pull", "sub", "rep", "feed"};
    const char *flag = port >= 3800 && port <= 3804 ? by_port[port - 3800] : "pull";
    snprintf(fix, sizeof(fix), "observerd --%s %s://127.0.0.1:%u   (another port; or stop process %d)", flag,
             strcmp(flag, "http") == 0 ? "http" : "tcp", port < 55000 ? port + 10000U : port - 10000U, owner.pid);
    obs_doctor_say(d, OBS_DOCTOR_FAIL, check, fix, "taken by %s, so observerd cannot listen there",
                   obs_owner_text(&owner, who, sizeof(who)));
  }
}

void obs_doctor_ports(obs_doctor *d) {
  for (const char *p = obs_args_text(d->args, "ports"); *p != '\0';) {
    check_port(d, (uint16_t)strtoul(p, NULL, 10));
    p += strcspn(p, ",");
    p += *p == ',';
  }
}

/* ---- limits, clock, unit ---- */

void obs_doctor_files(obs_doctor *d) {
  static const char name[] = "open files";
  static const char fix[] = "as root: ulimit -n 65536, then start observerd from that shell; under systemd: "
                            "LimitNOFILE=65536 in the unit";
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  unsigned long long most = files.rlim_max;
  obs_doctor_status finding = most >= FILES_ENOUGH  ? OBS_DOCTOR_OK
                              : most >= FILES_LEAST ? OBS_DOCTOR_WARN
                                                    : OBS_DOCTOR_FAIL;
  const char *meaning = finding == OBS_DOCTOR_OK ? "enough" : "too few for 1,024 HTTP connections and the bus";
  if (files.rlim_max == RLIM_INFINITY)
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "no limit");
  else
    obs_doctor_say(d, finding, name, fix, "at most %llu, %s (observerd raises its own limit to it)", most, meaning);
}

void obs_doctor_clock(obs_doctor *d) {
  static const char name[] = "clock";
  static const int64_t oldest = INT64_C(1767225600000); /* 2026: before this program */
  char now[OBS_ISO8601_LEN + 1];
  struct timex state = {0};
  int64_t received_ms = d->elsewhere ? OBS_TIMES_NONE : obs_times_newest_in(d->data_dir, "ops", 3);
  int64_t ahead_s = received_ms != OBS_TIMES_NONE ? (received_ms - obs_clock_wall_ms()) / 1000 : 0;
  obs_clock_format(obs_clock_wall_ms(), now);
  if (obs_clock_wall_ms() < oldest)
    obs_doctor_say(d, OBS_DOCTOR_FAIL, name, "sudo timedatectl set-ntp true", "it says %s, which is in the past", now);
  else if (ahead_s > AHEAD_S)
    obs_doctor_say(d, OBS_DOCTOR_WARN, name, "sudo timedatectl set-ntp true",
                   "%s; the last op of %s was received %" PRId64 " s later: the clock was set back", now, d->data_dir,
                   ahead_s);
  else if (adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) != 0 && is_systemd())
    obs_doctor_say(d, OBS_DOCTOR_WARN, name, "sudo apt-get install systemd-timesyncd && sudo timedatectl set-ntp true",
                   "%s; the kernel reports that it is not synchronised", now);
  else if ((state.status & STA_UNSYNC) != 0) /* a container's is its host's */
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "",
                   "%s; the kernel does not report it as synchronised (in a container, the host sees to that)", now);
  else
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "%s", now);
}

void obs_doctor_unit(obs_doctor *d) {
  static const char name[] = "systemd unit";
  static const char *const groups[] = {"/sys/fs/cgroup/system.slice/observerd.service",
                                       "/sys/fs/cgroup/systemd/system.slice/observerd.service"};
  char path[128];
  bool active = access(groups[0], F_OK) == 0 || access(groups[1], F_OK) == 0;
  if (!find_unit(path, sizeof(path)))
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "none installed");
  else if (!is_systemd())
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "%s, but systemd does not run this machine", path);
  else if (active)
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "%s, active", path);
  else
    obs_doctor_say(d, OBS_DOCTOR_WARN, name, "sudo systemctl enable --now observerd", "%s, not active", path);
}

/* ---- the daemon ---- */

static void check_probe(obs_doctor *d, const char *path, const char *good) {
  obs_fetch_answer answer;
  obs_buf reasons = {0};
  if (obs_fetch_get(d->url, path, TIMEOUT_MS, &answer)) {
    obs_doctor_say(d, OBS_DOCTOR_OK, path + 1, "", "%s", good);
  } else if (answer.status == 503) {
    char fix[512];
    cJSON *json = cJSON_ParseWithLength(answer.body.p, answer.body.len);
    const cJSON *reason;
    cJSON_ArrayForEach(reason, cJSON_GetObjectItemCaseSensitive(json, "reasons")) {
      const char *text = cJSON_GetStringValue(reason);
      obs_buf_printf(&reasons, "%s%s", reasons.len > 0 ? "; " : "", text != NULL ? text : "");
    }
    cJSON_Delete(json);
    if (reasons.len == 0) obs_buf_puts(&reasons, "no reason given");
    obs_buf_putc(&reasons, '\0');
    bool fleet = !reasons.oom && (strstr(reasons.p, "NATS") != NULL || strstr(reasons.p, "the stream") != NULL);
    if (fleet)
      snprintf(fix, sizeof(fix), "see what is said of nats below; it goes on by itself when the reason is gone");
    else if (reasons.oom || strstr(reasons.p, "replaced while in use") != NULL ||
             strstr(reasons.p, "another program") != NULL)
      snprintf(fix, sizeof(fix),
               "do not move, rotate or write to its files (--segment-bytes and --retain-* rotate them); recording "
               "continues in a new file with the next op");
    else
      snprintf(fix, sizeof(fix), "df -h '%.300s'; fix what the reason names; recording then resumes by itself",
               d->data_dir);
    obs_doctor_say(d, OBS_DOCTOR_FAIL, path + 1, fix, "not ready%s: %s", fleet ? "" : " to record",
                   reasons.oom ? "" : reasons.p);
  } else {
    char restart[2 * PATH_SIZE];
    obs_doctor_say(d, OBS_DOCTOR_FAIL, path + 1, fix_restart(d, restart, sizeof(restart)), "%s", answer.error);
  }
  obs_buf_fini(&reasons);
  obs_fetch_answer_fini(&answer);
}

void obs_doctor_daemon(obs_doctor *d) {
  if (d->health == NULL) {
    char fix[PATH_SIZE];
    bool expected = d->url_given || d->lock_held;
    obs_doctor_say(d, expected ? OBS_DOCTOR_FAIL : OBS_DOCTOR_WARN, "daemon", fix_start(d, fix, sizeof(fix)),
                   "does not answer: %s", d->error);
    return;
  }
  const cJSON *version = cJSON_GetObjectItemCaseSensitive(d->health, "version");
  const cJSON *ring = cJSON_GetObjectItemCaseSensitive(d->health, "ops_in_ring");
  char fix[2 * PATH_SIZE];
  const char *theirs = cJSON_IsString(version) ? version->valuestring : "unknown";
  if (version == NULL && ring == NULL) /* every version tells the ring's ops to whom it knows */
    obs_doctor_say(d, OBS_DOCTOR_WARN, "daemon",
                   "export OBSERVER_KEY_FILE=FILE, with a key of observerctl key new in it",
                   "answers at %s, and tells more to holders of a key alone", d->url);
  else if (strcmp(theirs, OBSERVER_VERSION) == 0)
    obs_doctor_say(d, OBS_DOCTOR_OK, "daemon", "", "version %s answers at %s", theirs, d->url);
  else
    obs_doctor_say(d, OBS_DOCTOR_WARN, "daemon", fix_restart(d, fix, sizeof(fix)),
                   "version %s answers at %s, and this is observerctl %s: an older one still runs, or two are "
                   "installed",
                   theirs, d->url, OBSERVER_VERSION);
  check_probe(d, "/livez", "the process is alive");
  check_probe(d, "/readyz", "able to record");
}

/* ---- who may do what ---- */

/* A warning for each listener of the list. Returns how many. */
static uint32_t say_risks(obs_doctor *d, const cJSON *list, const char *fix, const char *risk) {
  const cJSON *listener;
  uint32_t n = 0;
  cJSON_ArrayForEach(listener, list) {
    const char *name = cJSON_GetStringValue(listener);
    if (name == NULL) continue;
    obs_doctor_say(d, OBS_DOCTOR_WARN, "access", fix, "%s %s", name, risk);
    n++;
  }
  return n;
}

void obs_doctor_access(obs_doctor *d) {
  const cJSON *access = cJSON_GetObjectItemCaseSensitive(d->health, "access");
  if (access == NULL) return; /* nobody answers, or an older daemon */
  const char *file = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(access, "key_file"));
  bool keys = file != NULL && strcmp(file, "none") != 0, broken = file != NULL && strcmp(file, "broken") == 0;
  if (broken)
    obs_doctor_say(d, OBS_DOCTOR_WARN, "access", "mend the file that --keys names; observerd reads it again by itself",
                   "the key file is broken; the keys that were read last hold (the log has the reason)");
  uint32_t risks =
      say_risks(d, cJSON_GetObjectItemCaseSensitive(access, "open"),
                keys ? "give the listener ;key=ID, ;uid=NUMBER (ipc) or TLS with --tls-ca; then start "
                       "without --allow-open"
                     : "give observerd --keys FILE (observerctl key new makes one), or listen on 127.0.0.1; "
                       "then start without --allow-open",
                keys ? "can be used without a key (--allow-open)"
                     : "can be reached by others and is open to all (--allow-open)") +
      say_risks(d, cJSON_GetObjectItemCaseSensitive(access, "plain"),
                "listen with TLS (https, tls+tcp, wss; --tls-cert and --tls-key), or on 127.0.0.1",
                "can be reached by others and is not encrypted");
  if (risks == 0 && !broken)
    obs_doctor_say(d, OBS_DOCTOR_OK, "access", "", keys ? "a key is needed" : "no listener is open to others");
}

/* ---- certificates ---- */

static void check_certificate(obs_doctor *d, const cJSON *tls, const char *member, const char *what) {
  static const char name[] = "tls";
  static const char fix[] =
      "renew it and put the new files in the place of the old ones: the daemon takes them within seconds";
  const char *expires = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tls, member));
  int64_t end_ms;
  if (expires == NULL || !obs_clock_parse(expires, strlen(expires), &end_ms)) return;
  int64_t left_ms = end_ms - obs_clock_wall_ms();
  if (left_ms <= 0)
    obs_doctor_say(d, OBS_DOCTOR_FAIL, name, fix, "%s expired at %s", what, expires);
  else
    obs_doctor_say(d, left_ms <= 30 * DAY_MS ? OBS_DOCTOR_WARN : OBS_DOCTOR_OK, name, fix,
                   "%s expires in %" PRId64 " days, at %s", what, left_ms / DAY_MS, expires);
}

void obs_doctor_tls(obs_doctor *d) {
  const cJSON *tls = cJSON_GetObjectItemCaseSensitive(d->health, "tls");
  const char *problem = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tls, "problem"));
  check_certificate(d, tls, "expires", "the listeners' certificate");
  check_certificate(d, tls, "ca_expires", "the CA of clients' certificates");
  if (problem != NULL)
    obs_doctor_say(d, OBS_DOCTOR_FAIL, "tls", "put whole files there; the daemon takes them within seconds",
                   "%s; the daemon goes on with the certificate that it read before", problem);
}

/* ---- the producers' clocks ---- */

void obs_doctor_producers(obs_doctor *d) {
  static const char name[] = "producers";
  char error[256];
  cJSON *summary =
      d->health != NULL ? obs_fetch_json(d->url, "/v1/observer/summary", TIMEOUT_MS, error, sizeof(error)) : NULL;
  const cJSON *clocks = cJSON_GetObjectItemCaseSensitive(summary, "clocks"), *clock;
  cJSON_ArrayForEach(clock, clocks) {
    char fix[512], off[OBS_TEXT_NUMBER];
    const char *source = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(clock, "source"));
    const char *since = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(clock, "since"));
    double behind = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(clock, "behind_ms"));
    if (source == NULL || since == NULL || isnan(behind)) continue;
    snprintf(fix, sizeof(fix), "on the machine that sends as %s: sudo timedatectl set-ntp true", source);
    obs_doctor_say(d, OBS_DOCTOR_WARN, name, fix,
                   "a clock of source %s is %s %s this daemon's since %s; its ops are corrected", source,
                   obs_text_duration(off, fabs(behind)), behind > 0 ? "behind" : "ahead of", since);
  }
  if (cJSON_IsArray(clocks) && clocks->child == NULL)
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "no producer had a clock that was off within the last hour");
  cJSON_Delete(summary);
}
