#include "base/names.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { FIRST_CAP = 16, NONE = UINT32_MAX };

/* Room for `cap` ids; the table is rebuilt twice as large, so it is at most half full. On failure nothing changed but
 * that an array may be larger than it must. */
static bool grow(obs_names *n, uint32_t cap) {
  uint32_t mask = cap * 2 - 1;
  uint32_t *slots = calloc((size_t)mask + 1, sizeof *slots);
  obs_name *names = realloc(n->names, cap * sizeof *names);
  if (names) n->names = names;
  uint32_t *order = realloc(n->order, cap * sizeof *order);
  if (order) n->order = order;
  if (!slots || !names || !order) {
    free(slots);
    return false;
  }
  for (uint32_t id = 0; id < n->ids; id++) {
    if (!names[id].p) continue;
    uint32_t at = (uint32_t)names[id].hash & mask;
    while (slots[at]) at = (at + 1) & mask;
    slots[at] = id + 1;
  }
  free(n->slots);
  n->slots = slots;
  n->mask = mask;
  n->cap = cap;
  return true;
}

static bool same(const obs_names *n, uint32_t id, obs_str name) {
  return n->names[id].p && obs_str_eq(obs_names_text(n, id), name);
}

/* The slot that holds `name`, or the empty one where it belongs. */
static uint32_t slot_of(const obs_names *n, obs_str name, uint64_t hash) {
  uint32_t at = (uint32_t)hash & n->mask;
  for (; n->slots[at]; at = (at + 1) & n->mask) {
    uint32_t id = n->slots[at] - 1;
    if (n->names[id].hash == hash && same(n, id, name)) break;
  }
  return at;
}

/* Puts a new name in; its slot is empty. */
static uint32_t add(obs_names *n, obs_str name, uint64_t hash) {
  if (n->used > n->max || n->bytes + name.len > n->max_bytes) return OBS_NAME_OTHER;
  bool reuse = n->free_id != NONE;
  if (!reuse && n->ids == n->cap && !grow(n, n->cap * 2)) return OBS_NAME_OTHER;
  char *text = malloc((size_t)name.len + 1);
  if (!text) return OBS_NAME_OTHER;
  memcpy(text, name.p, name.len);
  text[name.len] = 0;

  uint32_t id = reuse ? n->free_id : n->ids++;
  if (reuse) n->free_id = n->names[id].next_free;
  n->names[id] = (obs_name){.p = text, .len = name.len, .hash = hash};
  n->slots[slot_of(n, name, hash)] = id + 1;
  n->used++;
  n->bytes += name.len;
  n->ordered = false;
  return id;
}

observer_err obs_names_init(obs_names *n, uint32_t max, size_t max_bytes) {
  obs_str other = OBS_STR(OBS_NAMES_OTHER);
  *n = (obs_names){.max = max, .max_bytes = max_bytes + other.len, .free_id = NONE};
  if (!grow(n, FIRST_CAP)) return OBSERVER_E_NOMEM;
  add(n, other, XXH3_64bits(other.p, other.len));
  return n->used == 1 ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

void obs_names_fini(obs_names *n) {
  for (uint32_t id = 0; id < n->ids; id++) free(n->names[id].p);
  free(n->names);
  free(n->slots);
  free(n->order);
  *n = (obs_names){0};
}

uint32_t obs_names_find(obs_names *n, obs_str name) {
  if (same(n, n->last, name)) return n->last;
  uint32_t id = n->slots[slot_of(n, name, XXH3_64bits(name.p, name.len))];
  if (id == 0) return NONE;
  return n->last = id - 1;
}

uint32_t obs_names_intern(obs_names *n, obs_str name) {
  if (same(n, n->last, name)) return n->last;
  uint64_t hash = XXH3_64bits(name.p, name.len);
  uint32_t id = n->slots[slot_of(n, name, hash)];
  n->last = id ? id - 1 : add(n, name, hash);
  return n->last;
}

void obs_names_remove(obs_names *n, uint32_t id) {
  obs_name *name = &n->names[id];
  uint32_t hole = slot_of(n, obs_names_text(n, id), name->hash);
  /* What probed past the slot moves back, so that no look-up ends at the hole. */
  for (uint32_t at = (hole + 1) & n->mask; n->slots[at]; at = (at + 1) & n->mask) {
    uint32_t home = (uint32_t)n->names[n->slots[at] - 1].hash & n->mask;
    if (((at - home) & n->mask) < ((at - hole) & n->mask)) continue;
    n->slots[hole] = n->slots[at];
    hole = at;
  }
  n->slots[hole] = 0;
  free(name->p);
  n->bytes -= name->len;
  n->used--;
  *name = (obs_name){.next_free = n->free_id};
  n->free_id = id;
  n->ordered = false;
}

static int by_text(const void *a, const void *b, void *arg) {
  const obs_name *x = &((const obs_name *)arg)[*(const uint32_t *)a],
                 *y = &((const obs_name *)arg)[*(const uint32_t *)b];
  int c = memcmp(x->p, y->p, x->len < y->len ? x->len : y->len);
  if (c != 0) return c;
  return (x->len > y->len) - (x->len < y->len);
}

const uint32_t *obs_names_sorted(obs_names *n) {
  if (n->ordered) return n->order;
  uint32_t count = 0;
  for (uint32_t id = 0; id < n->ids; id++)
    if (n->names[id].p) n->order[count++] = id;
  qsort_r(n->order, count, sizeof *n->order, by_text, n->names);
  n->ordered = true;
  return n->order;
}

obs_str obs_names_shown(obs_str name, char room[OBS_NAMES_SHOWN + 1]) {
  enum { END = sizeof("…") - 1 + 8 };
  if (name.len <= OBS_NAMES_SHOWN) return name;
  size_t len = obs_utf8_cut(name.p, name.len, OBS_NAMES_SHOWN - END);
  memcpy(room, name.p, len);
  (void)snprintf(room + len, END + 1, "…%08" PRIx32, (uint32_t)XXH64(name.p, name.len, 0));
  return (obs_str){room, (uint32_t)len + END, 0};
}
