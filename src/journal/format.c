/* Which format a data directory has, so that no daemon starts where a newer one has written what it would lose or
 * misread.
 *
 * The file `format` is one line: `format 2, written by observerd 0.2.0`. A directory without it is of format 1, which
 * is that of observerd 0.1. The line is written, and synced, before anything else is written there. One that cannot be
 * read tells nothing, as does one that is missing: so the heads of those files are looked at besides that cannot be
 * made again from rows (proto/data_directory.md has them all).
 *
 * OBS_JOURNAL_FORMAT is raised with every change after which an older daemon would lose or misread something: another
 * version of a file or of a part of the checkpoint, and a new file that counts. It is not raised for a new member of a
 * row that older readers pass over, nor for what is made again from rows (ops-*.idx, ops-*.keys). */
#include "base/log.h"
#include "journal/head.h"
#include "journal/internal.h"
#include "jsonl/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 256 };

static observer_err newer(obs_journal *j, const char *name, const char *what) {
  (void)snprintf(j->error, sizeof(j->error),
                 "%s/%s: %s: start the newer observerd again, or give this one another --data-dir", j->dir, name, what);
  return OBSERVER_E_NEWER;
}

/* The line. 0: there is none that can be read. */
static uint32_t read_line(const obs_journal *j, char by[64]) {
  obs_buf file = {0};
  unsigned number = 0;
  int end = 0;
  by[0] = '\0';
  observer_err err = obs_file_read_all(j->dir_fd, OBS_JOURNAL_FORMAT_FILE, LINE_MAX_BYTES, &file);
  if (err == OBSERVER_E_OK) {
    obs_buf_putc(&file, '\0');
    bool read = !file.oom && sscanf(file.p, "format %9u, written by observerd %63s%n", &number, by, &end) == 2;
    if (!read || file.p[end] != '\n') number = 0;
  }
  if (number == 0 && err != OBSERVER_E_NOTFOUND)
    obs_log_warn("journal", "%s/%s cannot be read; it is written again", j->dir, OBS_JOURNAL_FORMAT_FILE);
  obs_buf_fini(&file);
  return number;
}

void obs_journal_mark_format(obs_journal *j) {
  obs_buf line = {0};
  obs_buf_printf(&line, "format %d, written by observerd %s\n", OBS_JOURNAL_FORMAT, OBSERVER_VERSION);
  if (line.oom) errno = ENOMEM;
  if (line.oom || !obs_file_replace(j->dir_fd, OBS_JOURNAL_FORMAT_FILE, &line, true))
    obs_log_warn("journal", "cannot write %s/%s: %s; older versions cannot tell that this one wrote here", j->dir,
                 OBS_JOURNAL_FORMAT_FILE, strerror(errno));
  obs_buf_fini(&line);
}

/* A file that begins as `magic` does, but with a later digit. */
static observer_err check_head(obs_journal *j, const char *name, const char magic[OBS_HEAD_MAGIC]) {
  char head[OBS_HEAD_MAGIC], what[160];
  int fd = openat(j->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return OBSERVER_E_OK; /* who needs it says so */
  bool read = obs_file_read_at(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head);
  (void)close(fd);
  if (!read || !obs_head_is_later(head, magic)) return OBSERVER_E_OK;
  (void)snprintf(what, sizeof(what), "its format is %c, and observerd %s knows formats up to %c", head[OBS_HEAD_DIGIT],
                 OBSERVER_VERSION, magic[OBS_HEAD_DIGIT]);
  return newer(j, name, what);
}

static observer_err check_heads(obs_journal *j) {
  static const char ending[] = ".times";
  observer_err err = check_head(j, OBS_JOURNAL_CHECKPOINT, OBS_JOURNAL_CHECKPOINT_MAGIC);
  if (err == OBSERVER_E_OK) err = check_head(j, OBS_JOURNAL_GROUP, OBS_JOURNAL_GROUP_MAGIC);
  if (err != OBSERVER_E_OK) return err;
  DIR *d = opendir(j->dir);
  if (d == NULL) return obs_journal_fail(j, "list", "");
  errno = 0;
  for (struct dirent *e; err == OBSERVER_E_OK && (e = readdir(d)) != NULL; errno = 0) {
    size_t n = strlen(e->d_name), m = sizeof(ending) - 1;
    if (n > m && strcmp(e->d_name + n - m, ending) == 0) err = check_head(j, e->d_name, OBS_TIMES_MAGIC);
  }
  if (err == OBSERVER_E_OK && errno != 0) err = obs_journal_fail(j, "list", "");
  (void)closedir(d);
  return err;
}

observer_err obs_journal_check_format(obs_journal *j) {
  char by[64], what[240];
  uint32_t number = read_line(j, by);
  if (number > OBS_JOURNAL_FORMAT) {
    (void)snprintf(
        what, sizeof(what),
        "observerd %s wrote this directory, in format %u, and this is observerd %s, which knows formats up to %d", by,
        number, OBSERVER_VERSION, OBS_JOURNAL_FORMAT);
    return newer(j, OBS_JOURNAL_FORMAT_FILE, what);
  }
  observer_err err = check_heads(j);
  if (err == OBSERVER_E_OK && (number != OBS_JOURNAL_FORMAT || strcmp(by, OBSERVER_VERSION) != 0))
    obs_journal_mark_format(j);
  return err;
}
