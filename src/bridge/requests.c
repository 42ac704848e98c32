#include "bridge/requests.h"

#include "base/names.h"
#include "httpd/answer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

const obs_histogram_scale obs_requests_scale = {5, {1000, 10000, 100000, 1000000, 10000000}};

/* A route of the table, or none of them. */
typedef struct {
  char name[OBS_REQUESTS_NAME];
  uint8_t place; /* in counts.routes; 0: of none yet */
  uint8_t codes[OBS_ANSWER_STATUSES];
} entry;
_Static_assert(1 + OBS_REQUESTS_ROUTES <= UINT8_MAX && 1 + OBS_REQUESTS_CODES <= UINT8_MAX, "a place is a byte");

struct obs_requests {
  char code_names[OBS_ANSWER_STATUSES][8];
  pthread_mutex_t lock; /* of what follows */
  obs_requests_counts counts;
  size_t n; /* of routes; the entry behind them is of none */
  entry entries[];
};

obs_requests *obs_requests_open(void) {
  size_t n = 0;
  while (obs_route_at(n) != NULL) n++;
  obs_requests *r = calloc(1, sizeof *r + (n + 1) * sizeof r->entries[0]);
  if (r == NULL) return NULL;
  if (pthread_mutex_init(&r->lock, NULL) != 0) {
    free(r);
    return NULL;
  }
  r->n = n;
  for (size_t i = 0; i < n; i++)
    (void)snprintf(r->entries[i].name, sizeof r->entries[i].name, "%s /%s", obs_route_at(i)->method,
                   obs_route_at(i)->name);
  (void)snprintf(r->entries[n].name, sizeof r->entries[n].name, "(none)");
  for (size_t i = 0; i < OBS_ANSWER_STATUSES; i++)
    (void)snprintf(r->code_names[i], sizeof r->code_names[i], "%u", (unsigned)obs_answer_statuses[i]);
  r->counts.routes[0].name = OBS_STR(OBS_NAMES_OTHER);
  r->counts.codes[0] = (obs_requests_code){OBS_STR(OBS_NAMES_OTHER), OBS_STR(OBS_NAMES_OTHER), 0};
  r->counts.nroutes = r->counts.ncodes = 1;
  return r;
}

void obs_requests_close(obs_requests *r) {
  if (r == NULL) return;
  (void)pthread_mutex_destroy(&r->lock);
  free(r);
}

static size_t place_of(uint16_t status) {
  size_t i = 0;
  while (i + 1 < OBS_ANSWER_STATUSES && obs_answer_statuses[i] < status) i++;
  return i;
}

void obs_requests_count(obs_requests *r, const obs_route *route, uint16_t status, uint64_t ns) {
  size_t code = place_of(status);
  entry *e = &r->entries[route != NULL ? (size_t)(route - obs_route_at(0)) : r->n];
  obs_requests_counts *c = &r->counts;
  pthread_mutex_lock(&r->lock);
  if (e->place == 0 && c->nroutes <= OBS_REQUESTS_ROUTES) {
    e->place = (uint8_t)c->nroutes;
    c->routes[c->nroutes++].name = obs_str_of(e->name);
  }
  if (e->codes[code] == 0 && c->ncodes <= OBS_REQUESTS_CODES) {
    e->codes[code] = (uint8_t)c->ncodes;
    c->codes[c->ncodes++] = (obs_requests_code){obs_str_of(e->name), obs_str_of(r->code_names[code]), 0};
  }
  obs_histogram_add(&c->routes[e->place].us, &obs_requests_scale, ns / 1000);
  c->codes[e->codes[code]].count++;
  pthread_mutex_unlock(&r->lock);
}

void obs_requests_get_counts(obs_requests *r, obs_requests_counts *out) {
  pthread_mutex_lock(&r->lock);
  *out = r->counts;
  pthread_mutex_unlock(&r->lock);
}
