/* The recorded ops that a command cites by their numbers. The last line that it prints says how to open them. */
#ifndef OBS_OBSERVERCTL_CITE_H
#define OBS_OBSERVERCTL_CITE_H

#include "observerctl/cli/command.h"

#include <cjson/cJSON.h>

enum { OBS_CITE_MAX = 5 }; /* named in the line: the first ones */

/* Starts as {0}. */
typedef struct {
  uint64_t seqs[OBS_CITE_MAX];
  unsigned n;
} obs_cite;

/* A number, an array of numbers, or NULL. */
void obs_cite_numbers(obs_cite *c, const cJSON *seqs);
/* Those of the daemon's sentences: `op 421`, `ops 421, 924 and 1853`, `seq 1853 to 2727`. */
void obs_cite_text(obs_cite *c, const char *text);
/* Prints `evidence: observerctl op 421 924` on standard output; nothing when nothing was cited. */
void obs_cite_end(const obs_cite *c, const obs_args *args);

#endif
