/* The table of scripted days: each kind of cause, and each kind of day without one. */
#ifndef TESTS_DAYS_KINDS_H
#define TESTS_DAYS_KINDS_H

#include "world.h"

enum { DAYS_ARGS = 3 };

typedef struct days_kind days_kind;
struct days_kind {
  const char *name;
  void (*plan)(days_world *w, const days_kind *k); /* makes the world of this kind; its seed sets the rest */
  days_attr attrs[DAYS_ARGS];
  int nattrs;
  double x, y; /* of the plan */
};

extern const days_kind days_causes[], days_quiet[]; /* a name of NULL ends them */

#endif
