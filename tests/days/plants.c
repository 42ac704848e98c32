#include "plans.h"

#include <stdio.h>
#include <stdlib.h>

days_plant *days_plant_new(days_world *w, double rate, days_error error) {
  days_plant *p = &w->plants[w->nplants++];
  *p = (days_plant){.rate = rate, .error = error};
  return p;
}

days_cond *days_plant_cond(days_plant *p, days_attr attr) {
  days_cond *c = &p->conds[p->nconds++];
  *c = (days_cond){.attr = attr};
  return c;
}

void days_plant_is(days_plant *p, days_attr attr, int32_t value) {
  days_cond *c = days_plant_cond(p, attr);
  c->values[c->nvalues++] = value;
}

void days_plant_are(days_world *w, days_plant *p, const days_attr *attrs, int n, int least) {
  int32_t values[DAYS_CONDS];
  if (!days_pick(w, attrs, n, least, values)) {
    fprintf(stderr, "days: seed %llu has no such values\n", (unsigned long long)w->seed);
    exit(2);
  }
  for (int i = 0; i < n; i++) days_plant_is(p, attrs[i], values[i]);
}

days_plant *days_plant_one(days_world *w, days_attr attr, double rate, days_error error) {
  days_plant *p = days_plant_new(w, rate, error);
  days_plant_are(w, p, &attr, 1, DAYS_ENOUGH);
  return p;
}
