#include "cluster/top_set.h"

#include "base/names.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <xxhash.h>

void obs_top_set_fini(obs_top_set *s) {
  for (uint32_t i = 0; i < s->n; i++) free(s->e[i].p);
  *s = (obs_top_set){0};
}

static obs_top_set_entry *find(const obs_top_set *s, uint64_t hash, obs_str v) {
  for (uint32_t i = 0; i < s->n; i++) {
    const obs_top_set_entry *e = &s->e[i];
    if (e->hash == hash && obs_str_eq((obs_str){e->p, e->len, 0}, v)) return (obs_top_set_entry *)e;
  }
  return NULL;
}

static obs_top_set_entry *rarest(obs_top_set *s) {
  obs_top_set_entry *least = &s->e[0];
  for (uint32_t i = 1; i < s->n; i++) {
    if (s->e[i].count < least->count) least = &s->e[i];
  }
  return least;
}

static char *copy_of(obs_str v) {
  char *p = malloc((size_t)v.len + 1);
  if (p != NULL && v.len > 0) memcpy(p, v.p, v.len);
  return p;
}

void obs_top_set_add(obs_top_set *s, obs_str value) {
  obs_str v = obs_utf8_cut_str(value, OBS_CLUSTER_TEXT_MAX);
  uint64_t hash = XXH3_64bits(v.p, v.len);
  obs_top_set_entry *e = find(s, hash, v);
  s->total++;
  if (e != NULL) {
    e->count++;
    return;
  }
  char *p = obs_str_eq(v, OBS_STR(OBS_NAMES_OTHER)) ? NULL : copy_of(v);
  if (p == NULL) return; /* it counts as other */
  if (s->n < OBS_CLUSTER_TOP) {
    s->e[s->n++] = (obs_top_set_entry){hash, 1, 0, p, v.len};
    return;
  }
  e = rarest(s); /* the new value may have come as often before, unlisted: that is its error */
  free(e->p);
  *e = (obs_top_set_entry){hash, e->count + 1, e->count, p, v.len};
}

bool obs_top_set_has(const obs_top_set *s, obs_str value) {
  obs_str v = obs_utf8_cut_str(value, OBS_CLUSTER_TEXT_MAX);
  return s->n > 0 && find(s, XXH3_64bits(v.p, v.len), v) != NULL;
}

void obs_top_set_merge(obs_top_set *s, obs_top_set *from) {
  s->total += from->total;
  for (uint32_t i = 0; i < from->n; i++) {
    obs_top_set_entry *other = &from->e[i], *e = find(s, other->hash, (obs_str){other->p, other->len, 0});
    if (e != NULL) {
      e->count += other->count;
      e->error += other->error;
    } else if (s->n < OBS_CLUSTER_TOP) {
      s->e[s->n++] = *other;
      continue; /* with its text */
    } else if ((e = rarest(s))->count < other->count) {
      free(e->p);
      *e = *other;
      continue;
    }
    free(other->p);
  }
  *from = (obs_top_set){0};
}

/* By what is sure: the error is what the entry took over from the one before it. */
static int by_count(const void *a, const void *b) {
  const obs_top_set_entry *x = *(const obs_top_set_entry *const *)a, *y = *(const obs_top_set_entry *const *)b;
  uint64_t nx = x->count - x->error, ny = y->count - y->error;
  if (nx != ny) return nx < ny ? 1 : -1;
  int c = memcmp(x->p, y->p, x->len < y->len ? x->len : y->len);
  return c != 0 ? c : (x->len > y->len) - (x->len < y->len);
}

uint32_t obs_top_set_order(const obs_top_set *s, const obs_top_set_entry *order[OBS_CLUSTER_TOP], uint64_t *other) {
  *other = s->total;
  for (uint32_t i = 0; i < s->n; i++) {
    order[i] = &s->e[i];
    *other -= s->e[i].count - s->e[i].error;
  }
  qsort(order, s->n, sizeof(*order), by_count);
  return s->n;
}

void obs_top_set_save(const obs_top_set *s, obs_buf *out) {
  obs_pack_u64(out, s->total);
  obs_pack_u64(out, s->n);
  for (uint32_t i = 0; i < s->n; i++) {
    obs_pack_u64(out, s->e[i].count);
    obs_pack_u64(out, s->e[i].error);
    obs_pack_str(out, (obs_str){s->e[i].p, s->e[i].len, 0});
  }
}

void obs_top_set_load(obs_top_set *s, obs_pack_reader *in) {
  *s = (obs_top_set){.total = obs_pack_read_u64(in, UINT64_MAX)};
  uint64_t left = s->total; /* what entries say they counted cannot be more */
  uint32_t n = (uint32_t)obs_pack_read_u64(in, OBS_CLUSTER_TOP);
  for (uint32_t i = 0; i < n && !in->bad; i++) {
    obs_top_set_entry e = {.count = obs_pack_read_u64(in, UINT64_MAX)};
    e.error = obs_pack_read_u64(in, e.count);
    obs_str v = obs_pack_read_str(in, OBS_CLUSTER_TEXT_MAX);
    e.hash = XXH3_64bits(v.p, v.len);
    e.len = v.len;
    if (in->bad || e.count - e.error > left || find(s, e.hash, v) != NULL || (e.p = copy_of(v)) == NULL) {
      in->bad = true;
      return;
    }
    left -= e.count - e.error;
    s->e[s->n++] = e;
  }
}
