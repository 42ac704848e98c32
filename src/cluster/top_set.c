#include "cluster/top_set.h"

#include "base/names.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <xxhash.h>

enum { TEXT_LEAST = 24 }; /* bytes taken for a text: most texts that take its place later fit too */

void obs_top_set_fini(obs_top_set *s) {
  for (uint32_t i = 0; i < s->n; i++) free(s->text[i].p);
  *s = (obs_top_set){0};
}

/* n when there is none. */
static uint32_t find(const obs_top_set *s, uint64_t hash) {
  uint32_t i = 0;
  while (i < s->n && s->hash[i] != hash) i++;
  return i;
}

static uint32_t rarest(const obs_top_set *s) {
  uint32_t least = 0;
  for (uint32_t i = 1; i < s->n; i++) {
    if (s->count[i] < s->count[least]) least = i;
  }
  return least;
}

/* Puts a text where another one was, or none. False: no memory, nothing has changed. */
static bool set_text(obs_top_set *s, uint32_t i, obs_str v) {
  if (s->text[i].p == NULL || v.len > s->text[i].cap) {
    uint32_t cap = v.len > TEXT_LEAST ? v.len : TEXT_LEAST;
    char *p = realloc(s->text[i].p, cap);
    if (p == NULL) return false;
    s->text[i].p = p;
    s->text[i].cap = (uint16_t)cap;
  }
  if (v.len > 0) memcpy(s->text[i].p, v.p, v.len);
  s->text[i].len = (uint16_t)v.len;
  return true;
}

uint64_t obs_top_set_add(obs_top_set *s, obs_str value) {
  obs_str v = obs_utf8_cut_str(value, OBS_CLUSTER_TEXT_MAX);
  uint64_t hash = XXH3_64bits(v.p, v.len);
  uint32_t i = find(s, hash);
  s->total++;
  if (i < s->n) {
    s->count[i]++;
    return hash;
  }
  if (obs_str_eq(v, OBS_STR(OBS_NAMES_OTHER))) return hash; /* it counts as other */
  bool full = s->n == OBS_CLUSTER_TOP;
  i = full ? rarest(s) : s->n;
  if (!set_text(s, i, v)) return hash; /* so does what there is no memory for */
  s->hash[i] = hash;
  s->error[i] = full ? s->count[i] : 0; /* it may have come as often before, unlisted */
  s->count[i] = s->error[i] + 1;
  if (!full) s->n++;
  return hash;
}

bool obs_top_set_has(const obs_top_set *s, obs_str value) {
  obs_str v = obs_utf8_cut_str(value, OBS_CLUSTER_TEXT_MAX);
  return find(s, XXH3_64bits(v.p, v.len)) < s->n;
}

/* Takes an entry of another set over, with its text. */
static void move_entry(obs_top_set *s, uint32_t i, obs_top_set *from, uint32_t k) {
  free(s->text[i].p);
  s->hash[i] = from->hash[k];
  s->count[i] = from->count[k];
  s->error[i] = from->error[k];
  s->text[i] = from->text[k];
  from->text[k].p = NULL;
}

void obs_top_set_merge(obs_top_set *s, obs_top_set *from) {
  s->total += from->total;
  for (uint32_t k = 0; k < from->n; k++) {
    uint32_t i = find(s, from->hash[k]);
    if (i < s->n) {
      s->count[i] += from->count[k];
      s->error[i] += from->error[k];
    } else if (s->n < OBS_CLUSTER_TOP) {
      move_entry(s, s->n++, from, k);
    } else if (s->count[i = rarest(s)] < from->count[k]) {
      move_entry(s, i, from, k);
    }
  }
  obs_top_set_fini(from);
}

/* By what is sure: the error is what the entry took over from the one before it. */
static int by_count(const void *a, const void *b) {
  const obs_cluster_value *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  int c = memcmp(x->value.p, y->value.p, x->value.len < y->value.len ? x->value.len : y->value.len);
  return c != 0 ? c : (x->value.len > y->value.len) - (x->value.len < y->value.len);
}

void obs_top_set_list(const obs_top_set *s, obs_cluster_values *out) {
  out->n = s->n;
  out->other = s->total;
  for (uint32_t i = 0; i < s->n; i++) {
    out->v[i] = (obs_cluster_value){{s->text[i].p, s->text[i].len, 0}, s->count[i] - s->error[i]};
    out->other -= out->v[i].count;
  }
  qsort(out->v, out->n, sizeof(out->v[0]), by_count);
}

void obs_top_set_save(const obs_top_set *s, obs_buf *out) {
  obs_pack_u64(out, s->total);
  obs_pack_u64(out, s->n);
  for (uint32_t i = 0; i < s->n; i++) {
    obs_pack_u64(out, s->count[i]);
    obs_pack_u64(out, s->error[i]);
    obs_pack_str(out, (obs_str){s->text[i].p, s->text[i].len, 0});
  }
}

void obs_top_set_load(obs_top_set *s, obs_pack_reader *in) {
  *s = (obs_top_set){.total = obs_pack_read_u64(in, UINT64_MAX)};
  uint64_t left = s->total; /* what entries say they counted cannot be more */
  uint32_t n = (uint32_t)obs_pack_read_u64(in, OBS_CLUSTER_TOP);
  for (uint32_t i = 0; i < n && !in->bad; i++) {
    uint64_t count = obs_pack_read_u64(in, UINT64_MAX), error = obs_pack_read_u64(in, count);
    obs_str v = obs_pack_read_str(in, OBS_CLUSTER_TEXT_MAX);
    uint64_t hash = XXH3_64bits(v.p, v.len);
    if (in->bad || count - error > left || find(s, hash) < s->n || !set_text(s, i, v)) {
      in->bad = true;
      return;
    }
    left -= count - error;
    s->hash[i] = hash;
    s->count[i] = count;
    s->error[i] = error;
    s->n++;
  }
}
