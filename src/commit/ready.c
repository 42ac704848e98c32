#include "commit/ready.h"

#include <stdio.h>

void obs_ready_find(const obs_ready_sources *from, obs_ready *out) {
  const char *silent = from->silent != NULL ? from->silent(from->arg) : NULL;
  out->n = 0;
  if (from->commit == NULL) (void)snprintf(out->why[0], sizeof(out->why[0]), "starting");
  out->records =
      from->commit != NULL && obs_commit_health(from->commit, out->why[0], sizeof(out->why[0])) == OBSERVER_E_OK;
  if (!out->records) out->n++;
  out->serves = silent == NULL;
  if (silent != NULL) (void)snprintf(out->why[out->n++], sizeof(out->why[0]), "%s is not serving", silent);
  if (from->hindered != NULL && from->hindered(from->hindered_arg, out->why[out->n], sizeof(out->why[0]))) out->n++;
}
