#include "base/owner.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { LINE = 512, LISTENING = 10 };

static void name_program(obs_owner *o) {
  char path[64];
  snprintf(path, sizeof(path), "/proc/%d/comm", o->pid);
  FILE *f = fopen(path, "re");
  if (f == NULL) return;
  if (fgets(o->program, sizeof(o->program), f) != NULL) o->program[strcspn(o->program, "\n")] = '\0';
  (void)fclose(f);
}

/* ---- sockets ---- */

/* The inode of the socket of a listener on `port`; 0: there is none. False: the file is not there. */
static bool find_listener(const char *table, uint16_t port, uint64_t *inode) {
  char line[LINE];
  FILE *f = fopen(table, "re");
  if (f == NULL) return false;
  while (*inode == 0 && fgets(line, sizeof(line), f) != NULL) {
    unsigned local = 0, state = 0;
    uint64_t found = 0;
    int n = sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %" SCNu64, &local,
                   &state, &found);
    if (n == 3 && local == port && state == LISTENING) *inode = found;
  }
  (void)fclose(f);
  return true;
}

/* Whether one of the process' descriptors is that socket. */
static bool has_socket(const char *pid, uint64_t inode) {
  char path[64], wanted[48], target[sizeof(wanted) + 1];
  snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
  int len = snprintf(wanted, sizeof(wanted), "socket:[%" PRIu64 "]", inode);
  bool found = false;
  DIR *d = opendir(path);
  if (d == NULL) return false; /* another user's, or gone */
  for (const struct dirent *e; !found && (e = readdir(d)) != NULL;) {
    ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target));
    found = n == len && memcmp(target, wanted, (size_t)len) == 0;
  }
  (void)closedir(d);
  return found;
}

/* 0: there is none. */
static void find_holder(uint64_t inode, obs_owner *out) {
  *out = (obs_owner){0};
  DIR *d = inode != 0 ? opendir("/proc") : NULL;
  if (d == NULL) return;
  for (const struct dirent *e; out->pid == 0 && (e = readdir(d)) != NULL;) {
    if (isdigit((unsigned char)e->d_name[0]) && has_socket(e->d_name, inode)) out->pid = atoi(e->d_name);
  }
  (void)closedir(d);
  if (out->pid != 0) name_program(out);
}

bool obs_owner_of_port(uint16_t port, bool *taken, obs_owner *out) {
  uint64_t inode = 0;
  bool readable = find_listener("/proc/net/tcp", port, &inode);
  readable = find_listener("/proc/net/tcp6", port, &inode) || readable;
  *taken = inode != 0;
  find_holder(inode, out);
  return readable;
}

/* `Num RefCount Protocol Flags Type St Inode Path`; of those that are connected to it the path is the same, the flags
 * are not. */
bool obs_owner_of_socket(const char *path, bool *taken, obs_owner *out) {
  enum { ACCEPTS = 0x10000 };
  char line[LINE];
  uint64_t inode = 0;
  FILE *f = fopen("/proc/net/unix", "re");
  while (f != NULL && inode == 0 && fgets(line, sizeof(line), f) != NULL) {
    unsigned flags = 0;
    uint64_t found = 0;
    int at = 0, n = sscanf(line, "%*s %*x %*x %x %*x %*x %" SCNu64 " %n", &flags, &found, &at);
    line[strcspn(line, "\n")] = '\0';
    if (n == 2 && at > 0 && (flags & ACCEPTS) != 0 && strcmp(line + at, path) == 0) inode = found;
  }
  if (f != NULL) (void)fclose(f);
  *taken = inode != 0;
  find_holder(inode, out);
  return f != NULL;
}

/* ---- locks ---- */

/* Whether one of the process' descriptors is that file: the device numbers of /proc/locks and of stat differ on some
 * file systems. */
static bool has_file(int pid, const struct stat *file) {
  char path[64];
  struct stat st;
  bool found = false;
  snprintf(path, sizeof(path), "/proc/%d/fd", pid);
  DIR *d = opendir(path);
  if (d == NULL) return false;
  for (const struct dirent *e; !found && (e = readdir(d)) != NULL;) {
    found = fstatat(dirfd(d), e->d_name, &st, 0) == 0 && st.st_ino == file->st_ino && st.st_dev == file->st_dev;
  }
  (void)closedir(d);
  return found;
}

bool obs_owner_of_lock(const char *path, bool *held, obs_owner *out) {
  struct stat file;
  char line[LINE];
  *held = false;
  *out = (obs_owner){0};
  if (stat(path, &file) != 0) return true; /* a file that does not exist is not locked */
  FILE *f = fopen("/proc/locks", "re");
  if (f == NULL) return false;
  while (out->pid == 0 && fgets(line, sizeof(line), f) != NULL) {
    unsigned dev_major = 0, dev_minor = 0;
    uint64_t inode = 0;
    int pid = 0, n = sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%" SCNu64, &pid, &dev_major, &dev_minor, &inode);
    if (n != 4 || inode != file.st_ino) continue;
    bool same = dev_major == major(file.st_dev) && dev_minor == minor(file.st_dev);
    if (same || has_file(pid, &file)) out->pid = pid;
  }
  (void)fclose(f);
  *held = out->pid != 0;
  if (*held) name_program(out);
  return true;
}

const char *obs_owner_text(const obs_owner *o, char *out, size_t size) {
  if (o->pid == 0)
    (void)snprintf(out, size, "a process that this user cannot see");
  else if (o->pid == (int)getpid())
    (void)snprintf(out, size, "this process itself");
  else
    (void)snprintf(out, size, "%s (pid %d)", o->program[0] != '\0' ? o->program : "a process", o->pid);
  return out;
}
