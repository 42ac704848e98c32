/* Files: whole reads and writes with EINTR and short counts handled, and the error codes of errno. */
#ifndef OBS_JSONL_FILE_H
#define OBS_JSONL_FILE_H

#include "base/buf.h"

#include <observer/error.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Of files and directories that are made: the process's umask takes from it. */
enum { OBS_FILE_MODE = 0666, OBS_FILE_DIR_MODE = 0777 };

/* ENOSPC, EDQUOT and EFBIG are NOSPC; ENOMEM is NOMEM; ENOENT is NOTFOUND; everything else is IO. */
observer_err obs_file_err(int errnum);
/* Makes `path` and its parents. errno is set on failure. */
bool obs_file_make_dirs(const char *path);
/* Whether `name` in the directory still is the file that is open as `fd`; the name may be a link to it. */
bool obs_file_in_place(int dir_fd, const char *name, int fd);
/* Whether `path` still is the directory that is open as `dir_fd`. */
bool obs_file_dir_in_place(const char *path, int dir_fd);
/* Reads up to `n` bytes at `offset`; fewer only at the end of the file. -1 and errno on failure. */
ssize_t obs_file_read_at(int fd, void *p, size_t n, uint64_t offset);
/* Writes all of `iov` (which is used up) at `offset`. False and errno on failure; a part may then be written. */
bool obs_file_write_at(int fd, struct iovec *iov, uint32_t niov, uint64_t offset);
/* Reads the whole file; NOTFOUND, NOMEM, IO; CORRUPT when it is longer than `max`. errno is set for IO. */
observer_err obs_file_read_all(int dir_fd, const char *name, size_t max, obs_buf *out);
/* Replaces `name` in one step: temporary file, write, sync when `sync` (file and directory), rename. False and errno.
 */
bool obs_file_replace(int dir_fd, const char *name, const obs_buf *content, bool sync);

#endif
