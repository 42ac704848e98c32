/* The file that the keys are in: reading it, and refusing one that others can open. */
#ifndef OBS_ACCESS_KEY_FILE_H
#define OBS_ACCESS_KEY_FILE_H

#include "base/buf.h"

#include <observer/error.h>
#include <sys/stat.h>

/* Appends what the file holds; *st is of the file that was read. INVALID: what stands there is not to be taken, by its
 * mode, kind or size; NOTFOUND, NOMEM, IO. `error`: "keys: FILE: mode 0644: others can read it, must be 0600". */
observer_err obs_key_file_read(const char *path, obs_buf *out, struct stat *st, char *error, size_t size);

#endif
