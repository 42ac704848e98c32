#include "cluster/repeats.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <xxhash.h>

enum { NONE = UINT32_MAX, SEED_SIG = 1, SEED_SESSION = 3 };

/* ---- the two lists ---- */

static obs_repeats_list *list_of(obs_repeats *r, const obs_repeat_entry *e) {
  return e->failures > 1 ? &r->again : &r->once;
}

static void unlink_entry(obs_repeats *r, obs_repeats_list *l, uint32_t slot) {
  const obs_repeat_entry *e = &r->all[slot];
  if (e->newer != NONE)
    r->all[e->newer].older = e->older;
  else
    l->newest = e->older;
  if (e->older != NONE)
    r->all[e->older].newer = e->newer;
  else
    l->oldest = e->newer;
  l->n--;
}

static void link_newest(obs_repeats *r, obs_repeats_list *l, uint32_t slot) {
  obs_repeat_entry *e = &r->all[slot];
  e->newer = NONE;
  e->older = l->newest;
  if (l->newest != NONE) r->all[l->newest].newer = slot;
  l->newest = slot;
  if (l->oldest == NONE) l->oldest = slot;
  l->n++;
}

/* ---- entries ---- */

bool obs_repeats_init(obs_repeats *r) {
  *r = (obs_repeats){.all = calloc(OBS_REPEATS, sizeof(obs_repeat_entry)), .free = NONE};
  r->once = r->again = (obs_repeats_list){NONE, NONE, 0};
  return r->all != NULL && obs_map_init(&r->places, OBS_REPEATS);
}

void obs_repeats_clear(obs_repeats *r) {
  if (r->all == NULL) return;
  for (uint32_t i = 0; i < r->used; i++) free(r->all[i].text);
  memset(r->all, 0, r->used * sizeof(r->all[0]));
  obs_map_clear(&r->places);
  r->once = r->again = (obs_repeats_list){NONE, NONE, 0};
  r->used = 0;
  r->free = NONE;
  r->forgotten = 0;
}

void obs_repeats_fini(obs_repeats *r) {
  obs_repeats_clear(r);
  free(r->all);
  obs_map_fini(&r->places);
  *r = (obs_repeats){0};
}

uint64_t obs_repeats_sig_key(obs_str sig_hash) {
  return XXH3_64bits_withSeed(sig_hash.p, sig_hash.len, SEED_SIG);
}

uint64_t obs_repeats_key(const obs_op *op) {
  if (OBS_HAS(op, sig_hash) && op->sig_hash.len > 0) return obs_repeats_sig_key(op->sig_hash);
  if (!OBS_HAS(op, session_id) || op->session_id.len == 0) return 0;
  uint64_t session = XXH3_64bits_withSeed(op->session_id.p, op->session_id.len, SEED_SESSION);
  return XXH3_64bits_withSeed(op->endpoint.p, op->endpoint.len, session);
}

const obs_repeat_entry *obs_repeats_find(const obs_repeats *r, uint64_t key) {
  uint32_t slot;
  return obs_map_get(&r->places, key, &slot) ? &r->all[slot] : NULL;
}

static void drop(obs_repeats *r, uint32_t slot) {
  obs_repeat_entry *e = &r->all[slot];
  if (e->failures > 1) r->forgotten++;
  unlink_entry(r, list_of(r, e), slot);
  obs_map_remove(&r->places, e->key);
  e->newer = r->free; /* its text's memory is for the next one */
  r->free = slot;
}

/* A place for a new entry, in no list. */
static uint32_t make_room(obs_repeats *r) {
  if (r->free == NONE && r->used == OBS_REPEATS)
    drop(r, r->once.n > OBS_REPEATS_ONCE || r->again.n == 0 ? r->once.oldest : r->again.oldest);
  uint32_t slot = r->free;
  if (slot == NONE) return r->used++;
  r->free = r->all[slot].newer;
  return slot;
}

obs_str obs_repeats_text(const obs_repeat_entry *e, int text) {
  uint32_t at = 0;
  for (int i = 0; i < text; i++) at += e->len[i] > 0 ? e->len[i] - 1u : 0;
  return e->len[text] > 0 ? (obs_str){e->text + at, e->len[text] - 1u, 0} : (obs_str){NULL, 0, 0};
}

/* False: no memory, and no text. */
static bool set_texts(obs_repeat_entry *e, const obs_str texts[OBS_REPEATS_TEXTS]) {
  obs_str cut[OBS_REPEATS_TEXTS];
  uint32_t all = 0;
  for (int i = 0; i < OBS_REPEATS_TEXTS; i++) {
    cut[i] = texts[i].p != NULL ? obs_utf8_cut_str(texts[i], OBS_CLUSTER_TEXT_MAX) : texts[i];
    all += cut[i].p != NULL ? cut[i].len : 0;
  }
  memset(e->len, 0, sizeof(e->len));
  if (e->text == NULL || all > e->cap) {
    uint32_t cap = all > 48 ? all : 48;
    char *p = realloc(e->text, cap);
    if (p == NULL) return false;
    e->text = p;
    e->cap = (uint16_t)cap;
  }
  char *at = e->text;
  for (int i = 0; i < OBS_REPEATS_TEXTS; i++) {
    if (cut[i].p == NULL) continue;
    if (cut[i].len > 0) memcpy(at, cut[i].p, cut[i].len);
    at += cut[i].len;
    e->len[i] = (uint16_t)(cut[i].len + 1);
  }
  return true;
}

/* The kind to the front, the others one back. */
static void note_kind(obs_repeat_entry *e, uint64_t kind) {
  uint32_t i = 0;
  while (i + 1 < OBS_REPEAT_KINDS && e->kinds[i] != kind) i++;
  memmove(e->kinds + 1, e->kinds, i * sizeof(e->kinds[0]));
  e->kinds[0] = kind;
}

void obs_repeats_fail(obs_repeats *r, const obs_op *op, uint64_t seq, uint64_t kind) {
  uint64_t key = obs_repeats_key(op);
  uint32_t slot;
  if (key == 0 || op->late) return;
  bool known = obs_map_get(&r->places, key, &slot);
  if (known) {
    unlink_entry(r, list_of(r, &r->all[slot]), slot);
  } else {
    slot = make_room(r);
    obs_repeat_entry *e = &r->all[slot];
    char *text = e->text;
    uint16_t cap = e->cap;
    *e = (obs_repeat_entry){.key = key, .text = text, .cap = cap};
    (void)obs_map_put(&r->places, key, slot); /* it has room for all */
  }
  obs_repeat_entry *e = &r->all[slot];
  if (e->failures++ == 0) {
    e->first_seq = seq;
    e->first_ms = op->event_ms;
#define TEXT_OF(field) OBS_HAS(op, field) ? op->field : (obs_str){NULL, 0, 0},
    const obs_str texts[] = {OBS_REPEATS_TEXT_MAP(TEXT_OF)};
#undef TEXT_OF
    (void)set_texts(e, texts); /* without memory it is shown without them */
  }
  e->last_seq = seq;
  e->last_ms = op->event_ms;
  note_kind(e, kind);
  link_newest(r, list_of(r, e), slot);
}

bool obs_repeats_runs(const obs_repeats *r, const obs_op *op) {
  if (r->places.n == 0 || op->late) return false;
  uint64_t key = obs_repeats_key(op);
  const obs_repeat_entry *e = key != 0 ? obs_repeats_find(r, key) : NULL;
  return e != NULL && e->failures > 0;
}

void obs_repeats_succeed(obs_repeats *r, const obs_op *op) {
  if (!obs_repeats_runs(r, op)) return;
  uint32_t slot = 0;
  (void)obs_map_get(&r->places, obs_repeats_key(op), &slot);
  obs_repeat_entry *e = &r->all[slot];
  unlink_entry(r, list_of(r, e), slot);
  e->failures = 0;
  link_newest(r, &r->once, slot);
}

/* ---- two that become one ---- */

/* The kinds of both, those of the later one first. */
static void join_kinds(obs_repeat_entry *x, const obs_repeat_entry *y) {
  uint64_t all[OBS_REPEAT_KINDS];
  const uint64_t *rest = y->last_seq > x->last_seq ? x->kinds : y->kinds;
  memcpy(all, rest == x->kinds ? y->kinds : x->kinds, sizeof(all));
  for (uint32_t i = 0; i < OBS_REPEAT_KINDS && rest[i] != 0; i++) {
    uint32_t k = 0;
    while (k < OBS_REPEAT_KINDS && all[k] != 0 && all[k] != rest[i]) k++;
    if (k < OBS_REPEAT_KINDS) all[k] = rest[i];
  }
  memcpy(x->kinds, all, sizeof(all));
}

static void swap_texts(obs_repeat_entry *x, obs_repeat_entry *y) {
  obs_repeat_entry was = *x;
  x->text = y->text;
  x->cap = y->cap;
  memcpy(x->len, y->len, sizeof(x->len));
  y->text = was.text;
  y->cap = was.cap;
  memcpy(y->len, was.len, sizeof(y->len));
}

static void join(obs_repeat_entry *x, obs_repeat_entry *y) {
  bool later = y->last_seq > x->last_seq;
  join_kinds(x, y);
  const obs_repeat_entry *ended = x->failures == 0 ? x : y->failures == 0 ? y : NULL;
  const obs_repeat_entry *last = later ? y : x;
  bool over = ended != NULL && last->failures == 0, takes = y->failures > 0 && !over;
  if (over) {
    x->failures = 0;
  } else if (takes && (x->failures == 0 || y->first_seq < x->first_seq)) { /* it begins with the other's */
    swap_texts(x, y);
    x->first_seq = y->first_seq;
    x->first_ms = y->first_ms;
    x->failures += y->failures;
  } else if (takes) {
    x->failures += y->failures;
  }
  if (later) {
    x->last_seq = y->last_seq;
    x->last_ms = y->last_ms;
  }
}

/* Whether one that failed last as `seq` would be the next to go. */
static bool is_too_old(const obs_repeats *r, uint64_t seq) {
  if (r->free != NONE || r->used < OBS_REPEATS) return false;
  uint32_t next = r->once.n > OBS_REPEATS_ONCE || r->again.n == 0 ? r->once.oldest : r->again.oldest;
  return seq < r->all[next].last_seq;
}

static void take_entry(obs_repeats *r, obs_repeat_entry *y) {
  uint32_t slot;
  if (obs_map_get(&r->places, y->key, &slot)) {
    unlink_entry(r, list_of(r, &r->all[slot]), slot);
    join(&r->all[slot], y);
  } else {
    if (is_too_old(r, y->last_seq)) {
      r->forgotten += y->failures > 1;
      return;
    }
    slot = make_room(r);
    free(r->all[slot].text);
    r->all[slot] = *y;
    y->text = NULL;                              /* it went with it */
    (void)obs_map_put(&r->places, y->key, slot); /* it has room for all */
  }
  link_newest(r, list_of(r, &r->all[slot]), slot);
}

static int older_first(const void *a, const void *b, void *all) {
  const obs_repeat_entry *x = &((const obs_repeat_entry *)all)[*(const uint32_t *)a],
                         *y = &((const obs_repeat_entry *)all)[*(const uint32_t *)b];
  return (x->last_seq > y->last_seq) - (x->last_seq < y->last_seq);
}

static void sort_list(obs_repeats *r, obs_repeats_list *l, uint32_t *room) {
  uint32_t n = 0;
  for (uint32_t slot = l->oldest; slot != NONE; slot = r->all[slot].newer) room[n++] = slot;
  qsort_r(room, n, sizeof(*room), older_first, r->all);
  *l = (obs_repeats_list){NONE, NONE, 0};
  for (uint32_t i = 0; i < n; i++) link_newest(r, l, room[i]);
}

bool obs_repeats_merge(obs_repeats *r, obs_repeats *from) {
  obs_repeats_list *lists[] = {&from->once, &from->again};
  for (int i = 0; i < 2; i++)
    for (uint32_t slot = lists[i]->oldest; slot != NONE; slot = from->all[slot].newer) take_entry(r, &from->all[slot]);
  r->forgotten += from->forgotten;
  obs_repeats_clear(from);
  uint32_t *room = malloc(OBS_REPEATS * sizeof(*room));
  if (room == NULL) return false;
  sort_list(r, &r->once, room);
  sort_list(r, &r->again, room);
  free(room);
  return true;
}

/* ---- the checkpoint ---- */

/*   repeats  forgotten, for `once` and `again`: n { entry, the oldest first }
 *   entry    key failures first_seq last_seq first_ms last_ms kinds { 0 or 1 text } */
static void save_list(const obs_repeats *r, const obs_repeats_list *l, obs_buf *out) {
  obs_pack_u64(out, l->n);
  for (uint32_t slot = l->oldest; slot != NONE; slot = r->all[slot].newer) {
    const obs_repeat_entry *e = &r->all[slot];
    obs_pack_id(out, e->key);
    obs_pack_u64(out, e->failures);
    obs_pack_u64(out, e->first_seq);
    obs_pack_u64(out, e->last_seq);
    obs_pack_i64(out, e->first_ms);
    obs_pack_i64(out, e->last_ms);
    for (int i = 0; i < OBS_REPEAT_KINDS; i++) obs_pack_id(out, e->kinds[i]);
    for (int i = 0; i < OBS_REPEATS_TEXTS; i++) {
      obs_str s = obs_repeats_text(e, i);
      obs_pack_u64(out, s.p != NULL);
      if (s.p != NULL) obs_pack_str(out, s);
    }
  }
}

void obs_repeats_save(const obs_repeats *r, obs_buf *out) {
  obs_pack_u64(out, r->forgotten);
  save_list(r, &r->once, out);
  save_list(r, &r->again, out);
}

static void load_entry(obs_repeats *r, obs_repeats_list *l, obs_pack_reader *in) {
  obs_repeat_entry x = {.key = obs_pack_read_id(in)};
  bool again = l == &r->again;
  x.failures = obs_pack_read_u64(in, again ? UINT64_MAX : 1);
  x.first_seq = obs_pack_read_u64(in, UINT64_MAX);
  x.last_seq = obs_pack_read_u64(in, UINT64_MAX);
  x.first_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  x.last_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
  for (int i = 0; i < OBS_REPEAT_KINDS; i++) x.kinds[i] = obs_pack_read_id(in);
  obs_str texts[OBS_REPEATS_TEXTS] = {{0}};
  for (int i = 0; i < OBS_REPEATS_TEXTS; i++)
    if (obs_pack_read_u64(in, 1) != 0) texts[i] = obs_pack_read_str(in, OBS_CLUSTER_TEXT_MAX);
  if (in->bad || (again && x.failures < 2) || r->used == OBS_REPEATS || obs_repeats_find(r, x.key) != NULL) {
    in->bad = true;
    return;
  }
  uint32_t slot = r->used++;
  r->all[slot] = x;
  in->bad = !set_texts(&r->all[slot], texts) || !obs_map_put(&r->places, x.key, slot);
  link_newest(r, l, slot);
}

void obs_repeats_load(obs_repeats *r, obs_pack_reader *in) {
  r->forgotten = obs_pack_read_u64(in, UINT64_MAX);
  obs_repeats_list *lists[] = {&r->once, &r->again};
  for (int i = 0; i < 2; i++) {
    uint64_t n = obs_pack_read_u64(in, OBS_REPEATS);
    for (uint64_t k = 0; k < n && !in->bad; k++) load_entry(r, lists[i], in);
  }
}
