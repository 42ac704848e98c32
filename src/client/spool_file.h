/* The spool's file under its records: lock, header, the settled position, whole reads and writes. */
#ifndef OBS_CLIENT_SPOOL_FILE_H
#define OBS_CLIENT_SPOOL_FILE_H

#include <observer/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OBS_CLIENT_SPOOL_HEADER = 64, OBS_CLIENT_SPOOL_VERSION = 1 };

typedef struct {
  int fd;
  char *path;
  uint64_t turn; /* of the position in the header */
} obs_client_spool_file;

/* Opens or creates, locks, and reads the header. *settled lies between the header and *end, the file's size. */
observer_err obs_client_spool_file_open(obs_client_spool_file *f, const char *path, uint64_t *settled, uint64_t *end,
                                        char *text, size_t size);
void obs_client_spool_file_close(obs_client_spool_file *f);

/* Everything or nothing; on failure errno says why. */
bool obs_client_spool_get(const obs_client_spool_file *f, uint64_t at, void *bytes, size_t len);
bool obs_client_spool_put(const obs_client_spool_file *f, uint64_t at, const void *bytes, size_t len);
bool obs_client_spool_sync(const obs_client_spool_file *f);
bool obs_client_spool_cut(const obs_client_spool_file *f, uint64_t size);
/* Notes the settled position. False: the former one is still there. */
bool obs_client_spool_mark(obs_client_spool_file *f, uint64_t settled);
/* Puts a file in its place that has the same header and, right behind it, the bytes from `from` to `end`. False: all is
 * as before. */
bool obs_client_spool_rewrite(obs_client_spool_file *f, uint64_t from, uint64_t end);

uint64_t obs_client_spool_sum(const void *bytes, size_t len, uint64_t seed);

#endif
