#include "cluster/distinct.h"

#include <math.h>

enum { RUN_MAX = 57 }; /* 56 bits, all zero */

/* Flajolet, Fusy, Gandouet and Meunier (2007): the harmonic mean of 2^longest, and while registers are empty and the
 * mean is small, how many must have come to fill the others. */
uint64_t obs_distinct_estimate(const obs_distinct *d) {
  const double m = OBS_DISTINCT_REGISTERS;
  double sum = 0;
  uint32_t empty = 0;
  for (uint32_t i = 0; i < OBS_DISTINCT_REGISTERS; i++) {
    sum += ldexp(1, -d->longest[i]);
    empty += d->longest[i] == 0;
  }
  double estimate = 0.7213 / (1 + 1.079 / m) * m * m / sum;
  if (estimate <= 2.5 * m && empty > 0) estimate = m * log(m / empty);
  return (uint64_t)(estimate + 0.5);
}

void obs_distinct_merge(obs_distinct *d, const obs_distinct *from) {
  for (uint32_t i = 0; i < OBS_DISTINCT_REGISTERS; i++) {
    if (from->longest[i] > d->longest[i]) d->longest[i] = from->longest[i];
  }
}

void obs_distinct_save(const obs_distinct *d, obs_buf *out) {
  obs_buf_append(out, d->longest, sizeof(d->longest));
}

void obs_distinct_load(obs_distinct *d, obs_pack_reader *in) {
  if (in->bad || (size_t)(in->end - in->p) < sizeof(d->longest)) {
    in->bad = true;
    return;
  }
  memcpy(d->longest, in->p, sizeof(d->longest));
  in->p += sizeof(d->longest);
  for (uint32_t i = 0; i < OBS_DISTINCT_REGISTERS; i++) {
    if (d->longest[i] > RUN_MAX) in->bad = true;
  }
}
