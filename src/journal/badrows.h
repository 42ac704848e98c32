/* bad-rows.jsonl: rows that replay could not take, kept aside once each, for a person to repair and publish again.
 *
 * One object lives as long as a replay. The file is read at the first bad row only, to know what it already has; beyond
 * OBS_BADROWS_MAX bytes nothing more is kept (logged once), which bounds file and memory. Best effort: failures are
 * logged and never stop a replay. */
#ifndef OBS_JOURNAL_BADROWS_H
#define OBS_JOURNAL_BADROWS_H

#include "base/map.h"
#include "jsonl/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OBS_BADROWS_MAX = 64 << 20, OBS_BADROWS_ROW_MAX = 64 << 10 };

typedef struct {
  const char *dir;
  int dir_fd;
  obs_jsonl_log file;
  obs_map seen; /* ids of the rows that the file had at the first one */
  bool opened, full;
} obs_badrows;

typedef struct {
  uint64_t segment; /* first seq: the file's name changes when it is rotated */
  const char *file;
  uint64_t offset;
  const char *reason;
  const char *row;
  size_t len;
} obs_badrows_row;

void obs_badrows_init(obs_badrows *b, const char *dir, int dir_fd);
/* Syncs what was kept and closes. */
void obs_badrows_fini(obs_badrows *b);
/* True when the row is in the file, now or from before. */
bool obs_badrows_keep(obs_badrows *b, const obs_badrows_row *row);

#endif
