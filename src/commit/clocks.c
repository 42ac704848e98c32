#include "commit/clocks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SAME_MS = 4000 }; /* clocks drift, and ways differ: skew.c takes offsets within it for one */

struct obs_clocks {
  pthread_mutex_t lock;
  obs_clocks_entry all[OBS_CLOCKS];
  uint32_t n;
};

obs_clocks *obs_clocks_open(void) {
  obs_clocks *c = calloc(1, sizeof(*c));
  if (c != NULL && pthread_mutex_init(&c->lock, NULL) != 0) {
    free(c);
    c = NULL;
  }
  return c;
}

void obs_clocks_close(obs_clocks *c) {
  if (c == NULL) return;
  (void)pthread_mutex_destroy(&c->lock);
  free(c);
}

static bool is_same(const obs_clocks_entry *x, const char *source, int64_t behind_ms) {
  int64_t apart = x->behind_ms - behind_ms;
  return apart >= -SAME_MS && apart <= SAME_MS && strcmp(x->source, source) == 0;
}

void obs_clocks_note(obs_clocks *c, obs_str source, int64_t behind_ms, int64_t received_ms) {
  char room[OBS_NAMES_SHOWN + 1], name[OBS_NAMES_SHOWN + 1];
  obs_str shown = obs_names_shown(source, room);
  memcpy(name, shown.p, shown.len);
  name[shown.len] = '\0';
  pthread_mutex_lock(&c->lock);
  obs_clocks_entry *x = NULL, *oldest = &c->all[0];
  for (uint32_t i = 0; i < c->n && x == NULL; i++) {
    if (is_same(&c->all[i], name, behind_ms)) x = &c->all[i];
    if (c->all[i].last_ms < oldest->last_ms) oldest = &c->all[i];
  }
  if (x == NULL) {
    x = c->n < OBS_CLOCKS ? &c->all[c->n++] : oldest;
    *x = (obs_clocks_entry){.since_ms = received_ms};
    memcpy(x->source, name, sizeof(name));
  }
  x->behind_ms = behind_ms;
  x->last_ms = received_ms;
  x->ops++;
  pthread_mutex_unlock(&c->lock);
}

static int by_size(const void *a, const void *b) {
  const obs_clocks_entry *x = a, *y = b;
  int64_t m = llabs(x->behind_ms), n = llabs(y->behind_ms);
  return m != n ? (m < n) - (m > n) : strcmp(x->source, y->source);
}

uint32_t obs_clocks_read(obs_clocks *c, int64_t now_ms, obs_clocks_entry out[OBS_CLOCKS]) {
  uint32_t n = 0;
  pthread_mutex_lock(&c->lock);
  for (uint32_t i = 0; i < c->n; i++)
    if (now_ms - c->all[i].last_ms <= OBS_CLOCKS_FRESH_MS) out[n++] = c->all[i];
  pthread_mutex_unlock(&c->lock);
  if (n > 1) qsort(out, n, sizeof(*out), by_size);
  return n;
}
