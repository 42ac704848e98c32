/* The files of a journal, oldest first, opened for reading. */
#ifndef OBS_OBSERVERCTL_SEGMENTS_H
#define OBS_OBSERVERCTL_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names of the segments of journal `name` (ops.jsonl: ops-<seq>.jsonl ..., ops.jsonl) in a directory, with the
 * directory before them. The active one is opened first, at `active_fd` (-1: there is none), and is the last of the
 * list, so that a rotation meanwhile hides no row. False: errno says why. Fini in either
 * case. */
typedef struct {
  char **paths;
  uint64_t *first_seqs; /* as their names say; 0: the active one, whose name says none */
  size_t n;
  int active_fd;
} obs_segments;

bool obs_segments_list(obs_segments *s, const char *dir, const char *name);
void obs_segments_fini(obs_segments *s);

#endif
