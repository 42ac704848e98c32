#include "cluster/places.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <xxhash.h>

void obs_places_fini(obs_places *p) {
  for (uint32_t i = 0; i < p->n; i++) free(p->at[i].name);
  free(p->at);
  *p = (obs_places){0};
}

static obs_str name_of(obs_str endpoint) {
  return obs_utf8_cut_str(endpoint, OBS_CLUSTER_TEXT_MAX);
}

/* n when there is none. */
static uint32_t find(const obs_places *p, uint64_t hash) {
  uint32_t i = 0;
  while (i < p->n && p->hash[i] != hash) i++;
  return i;
}

bool obs_places_has(const obs_places *p, obs_str endpoint) {
  obs_str name = name_of(endpoint);
  return find(p, XXH3_64bits(name.p, name.len)) < p->n;
}

/* ---- endpoints that went: two bits each ---- */

static bool was_here(const obs_places *p, uint64_t hash) {
  uint64_t a = hash & 511, b = hash >> 9 & 511;
  return (p->seen[a >> 6] >> (a & 63) & 1) != 0 && (p->seen[b >> 6] >> (b & 63) & 1) != 0;
}

static void forget(obs_places *p, uint32_t i) {
  uint64_t a = p->hash[i] & 511, b = p->hash[i] >> 9 & 511;
  p->seen[a >> 6] |= UINT64_C(1) << (a & 63);
  p->seen[b >> 6] |= UINT64_C(1) << (b & 63);
  p->forgotten++;
  free(p->at[i].name);
}

static uint32_t oldest(const obs_places *p) {
  uint32_t i = 0;
  for (uint32_t k = 1; k < p->n; k++) {
    if (p->at[k].last_seq < p->at[i].last_seq) i = k;
  }
  return i;
}

/* A place for one more, not initialised; UINT32_MAX: no memory. */
static uint32_t make_room(obs_places *p) {
  if (p->n == OBS_CLUSTER_PLACES) {
    uint32_t i = oldest(p);
    forget(p, i);
    return i;
  }
  if (p->n == p->cap) { /* most kinds fail at one or two endpoints */
    uint32_t cap = p->cap == 0 ? 1 : p->cap * 2;
    obs_place *at = reallocarray(p->at, cap, sizeof(*at));
    if (at == NULL) return UINT32_MAX;
    p->at = at;
    p->cap = cap;
  }
  return p->n++;
}

/* ---- failures ---- */

/* The step of its state that a failure in time takes; true: it begins here. */
static bool step(obs_place *x, int64_t received_ms) {
  bool first = !x->timely, regressed = !first && x->state == OBS_CLUSTER_RESOLVED;
  x->timely = true;
  if (first || regressed) {
    x->state = first ? OBS_CLUSTER_NEW : OBS_CLUSTER_REGRESSED;
    x->state_ms = received_ms;
  } else if (x->state != OBS_CLUSTER_ONGOING && received_ms - x->state_ms >= OBS_CLUSTERS_FRESH_MS) {
    x->state = OBS_CLUSTER_ONGOING;
    x->state_ms = received_ms;
  }
  return first || regressed;
}

bool obs_places_add(obs_places *p, const obs_op *op, uint64_t seq, uint64_t cycle) {
  obs_str name = name_of(op->endpoint);
  uint64_t hash = XXH3_64bits(name.p, name.len);
  uint32_t i = find(p, hash);
  bool back = false;
  if (i == p->n && op->late && p->n == OBS_CLUSTER_PLACES) { /* what failed long ago displaces none that fails now */
    p->forgotten++;
    return false;
  }
  if (i == p->n) {
    char *copy = malloc((size_t)name.len + 1);
    back = was_here(p, hash);
    i = copy != NULL ? make_room(p) : UINT32_MAX;
    if (i == UINT32_MAX) {
      free(copy);
      return false;
    }
    if (name.len > 0) memcpy(copy, name.p, name.len);
    p->hash[i] = hash;
    p->at[i] = (obs_place){.state = OBS_CLUSTER_RESOLVED,
                           .state_ms = op->received_ms,
                           .first_ms = op->event_ms,
                           .last_ms = op->event_ms,
                           .name = copy,
                           .len = name.len};
  }
  obs_place *x = &p->at[i];
  x->count++;
  x->last_seq = seq;
  if (op->event_ms < x->first_ms) x->first_ms = op->event_ms;
  if (op->event_ms > x->last_ms) x->last_ms = op->event_ms;
  if (op->late) return false;
  x->last_cycle = cycle;
  obs_rate_add(&x->rate, op->received_ms);
  bool begins = step(x, op->received_ms);
  if (back) x->state = OBS_CLUSTER_ONGOING; /* how long it has been, nobody knows */
  return begins && !back;
}

bool obs_places_resolve(obs_places *p, uint64_t cycle, uint64_t quiet, int64_t now_ms) {
  bool any = false;
  for (uint32_t i = 0; i < p->n; i++) {
    obs_place *x = &p->at[i];
    if (x->state == OBS_CLUSTER_RESOLVED || cycle - x->last_cycle <= quiet) continue;
    x->state = OBS_CLUSTER_RESOLVED;
    x->state_ms = now_ms;
    any = true;
  }
  return any;
}

/* ---- two that become one ---- */

/* When it opened, at the latest; INT64_MAX: it is not open. */
static int64_t opened(const obs_cluster_course *x) {
  if (x->state == OBS_CLUSTER_RESOLVED) return INT64_MAX;
  return x->state == OBS_CLUSTER_ONGOING ? x->state_ms - OBS_CLUSTERS_FRESH_MS : x->state_ms;
}

static int64_t later(int64_t a, int64_t b) {
  return a > b ? a : b;
}

obs_cluster_course obs_cluster_course_joined(const obs_cluster_course *a, const obs_cluster_course *b) {
  int64_t a_opened = opened(a), b_opened = opened(b), open = a_opened < b_opened ? a_opened : b_opened;
  obs_cluster_course x = {.resolved_ms = later(a->resolved_ms, b->resolved_ms),
                          .last_ms = later(a->last_ms, b->last_ms)};
  if (open == INT64_MAX) {
    x.state = OBS_CLUSTER_RESOLVED;
    x.state_ms = later(a->state_ms, b->state_ms);
  } else if (a->state == OBS_CLUSTER_ONGOING || b->state == OBS_CLUSTER_ONGOING || x.resolved_ms >= open ||
             x.last_ms - open >= OBS_CLUSTERS_FRESH_MS) {
    x.state = OBS_CLUSTER_ONGOING;
    x.state_ms = open + OBS_CLUSTERS_FRESH_MS;
  } else {
    x.state = x.resolved_ms != OBS_COURSE_NEVER ? OBS_CLUSTER_REGRESSED : OBS_CLUSTER_NEW;
    x.state_ms = open;
  }
  return x;
}

/* A place does not keep when it was resolved before it failed again. */
static obs_cluster_course course_of(const obs_place *x) {
  int64_t resolved_ms = x->state == OBS_CLUSTER_REGRESSED ? x->state_ms - 1 : OBS_COURSE_NEVER;
  if (x->state == OBS_CLUSTER_RESOLVED && x->timely) resolved_ms = x->state_ms;
  return (obs_cluster_course){x->state, x->state_ms, resolved_ms, x->last_ms};
}

static void join(obs_place *x, const obs_place *y) {
  obs_cluster_course a = course_of(x), b = course_of(y), both = obs_cluster_course_joined(&a, &b);
  x->state = both.state;
  x->state_ms = both.state_ms;
  x->count += y->count;
  if (y->last_seq > x->last_seq) x->last_seq = y->last_seq;
  if (y->last_cycle > x->last_cycle) x->last_cycle = y->last_cycle;
  if (y->first_ms < x->first_ms) x->first_ms = y->first_ms;
  if (y->last_ms > x->last_ms) x->last_ms = y->last_ms;
  x->timely = x->timely || y->timely;
  obs_rate_merge(&x->rate, &y->rate);
}

void obs_places_merge(obs_places *p, obs_places *from) {
  p->forgotten += from->forgotten;
  for (uint32_t i = 0; i < OBS_PLACES_SEEN; i++) p->seen[i] |= from->seen[i];
  for (uint32_t k = 0; k < from->n; k++) {
    obs_place *y = &from->at[k];
    uint32_t i = find(p, from->hash[k]);
    if (i < p->n) {
      join(&p->at[i], y);
      continue;
    }
    if (p->n == OBS_CLUSTER_PLACES && p->at[oldest(p)].last_seq > y->last_seq) {
      forget(from, k);
      y->name = NULL;
      p->forgotten++;
      continue;
    }
    if ((i = make_room(p)) == UINT32_MAX) continue;
    p->hash[i] = from->hash[k];
    p->at[i] = *y;
    y->name = NULL; /* it went with it */
  }
  for (uint32_t i = 0; i < OBS_PLACES_SEEN; i++) p->seen[i] |= from->seen[i];
  obs_places_fini(from);
}

/* ---- the checkpoint ---- */

/*   places  forgotten seen n { name count last_seq last_cycle first_ms last_ms state_ms state timely rate } */
void obs_places_save(const obs_places *p, obs_buf *out) {
  obs_pack_u64(out, p->forgotten);
  for (uint32_t i = 0; i < OBS_PLACES_SEEN; i++) obs_pack_id(out, p->seen[i]);
  obs_pack_u64(out, p->n);
  for (uint32_t i = 0; i < p->n; i++) {
    const obs_place *x = &p->at[i];
    obs_pack_str(out, (obs_str){x->name, x->len, 0});
    obs_pack_u64(out, x->count);
    obs_pack_u64(out, x->last_seq);
    obs_pack_u64(out, x->last_cycle);
    obs_pack_i64(out, x->first_ms);
    obs_pack_i64(out, x->last_ms);
    obs_pack_i64(out, x->state_ms);
    obs_pack_u64(out, x->state);
    obs_pack_u64(out, x->timely);
    obs_rate_save(&x->rate, out);
  }
}

void obs_places_load(obs_places *p, obs_pack_reader *in) {
  p->forgotten = obs_pack_read_u64(in, UINT64_MAX);
  for (uint32_t i = 0; i < OBS_PLACES_SEEN; i++) p->seen[i] = obs_pack_read_id(in);
  uint32_t n = (uint32_t)obs_pack_read_u64(in, OBS_CLUSTER_PLACES);
  for (uint32_t i = 0; i < n && !in->bad; i++) {
    obs_str name = obs_pack_read_str(in, OBS_CLUSTER_TEXT_MAX);
    uint64_t hash = XXH3_64bits(name.p, name.len);
    bool known = find(p, hash) < p->n;
    char *copy = malloc((size_t)name.len + 1);
    uint32_t at = copy != NULL && !in->bad && !known ? make_room(p) : UINT32_MAX;
    if (at == UINT32_MAX) {
      free(copy);
      in->bad = true;
      return;
    }
    if (name.len > 0) memcpy(copy, name.p, name.len);
    p->hash[at] = hash;
    obs_place *x = &p->at[at];
    *x = (obs_place){.name = copy, .len = name.len};
    x->count = obs_pack_read_u64(in, UINT64_MAX);
    x->last_seq = obs_pack_read_u64(in, UINT64_MAX);
    x->last_cycle = obs_pack_read_u64(in, UINT64_MAX);
    x->first_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
    x->last_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
    x->state_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
    x->state = (obs_cluster_state)obs_pack_read_u64(in, OBS_CLUSTER_STATES - 1);
    x->timely = obs_pack_read_u64(in, 1) != 0;
    obs_rate_load(&x->rate, in);
  }
}
