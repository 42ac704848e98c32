/* What the fuzz targets share. A target is one file fuzz_<name>.c with LLVMFuzzerTestOneInput; its seeds are in
 * corpus/<name>; scripts/fuzz.sh runs them. What must hold of any input is checked with FUZZ_CHECK, which ends the
 * process, so that libFuzzer keeps the input. */
#ifndef OBS_TESTS_FUZZ_H
#define OBS_TESTS_FUZZ_H

#include "base/buf.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define FUZZ_CHECK(what)                                                                                               \
  do {                                                                                                                 \
    if (!(what)) {                                                                                                     \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what);                                        \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

/* A copy of exactly its size, so that a read beyond the end is seen. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t size) {
  uint8_t *p = malloc(size > 0 ? size : 1);
  FUZZ_CHECK(p != NULL);
  if (size > 0) memcpy(p, data, size);
  return p;
}

#endif
