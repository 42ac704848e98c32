/* Values and whether they were there before. As bytes (base/pack.h), version OBS_CHANGES_VERSION, which the checkpoint
 * holds beside them:
 *
 *   changes  seed began_ms kinds { n { hash } } last firsts { first, the oldest first }
 *   first    seq time_ms what beyond more value place
 *
 * The bytes are not trusted. */
#include "base/clock.h"
#include "base/pack.h"
#include "changes/internal.h"
#include "op/member.h"

#include <stdlib.h>
#include <sys/random.h>
#define XXH_INLINE_ALL /* of a few bytes each */
#include <xxhash.h>

enum { EXTRA_BYTES = 4096, FEWEST = 64 };
#define TIME_MAX (INT64_C(1) << 53)

const char *const obs_changes_members[OBS_CHANGES_KINDS] = {
#define MEMBER(name, member, one, many) member,
    OBS_CHANGES_MAP(MEMBER)
#undef MEMBER
};

/* ---- sets ---- */

static uint64_t *find(const obs_changes_set *s, uint64_t hash) {
  uint32_t i = (uint32_t)(hash >> 32) & (s->cap - 1);
  while (s->slots[i] != 0 && s->slots[i] != hash) i = (i + 1) & (s->cap - 1);
  return &s->slots[i];
}

static bool has(const obs_changes_set *s, uint64_t hash) {
  return s->n > 0 && *find(s, hash) == hash;
}

static bool grow(obs_changes_set *s) {
  obs_changes_set larger = {.cap = s->cap == 0 ? FEWEST : 2 * s->cap};
  larger.slots = calloc(larger.cap, sizeof(*larger.slots));
  if (larger.slots == NULL) return false;
  for (uint32_t i = 0; i < s->cap; i++)
    if (s->slots[i] != 0) *find(&larger, s->slots[i]) = s->slots[i];
  free(s->slots);
  s->slots = larger.slots;
  s->cap = larger.cap;
  return true;
}

/* False: it is there, or there is no room or memory for it. */
static bool add(obs_changes_set *s, uint64_t hash) {
  if (s->n == OBS_CHANGES_VALUES || (2 * (s->n + 1) > s->cap && !grow(s))) return false;
  uint64_t *at = find(s, hash);
  if (*at == hash) return false;
  *at = hash;
  s->n++;
  return true;
}

static uint64_t hash_of(const obs_changes *c, obs_changes_what what, obs_str shown) {
  uint64_t hash = XXH3_64bits_withSeed(shown.p, shown.len, c->seed + what);
  return hash != 0 ? hash : 1;
}

/* ---- a value ---- */

/* The change of this minute that counts those of the kind beyond the limit; NULL: there is none yet. */
static obs_changes_first *more_of(obs_changes *c, obs_changes_what what, int64_t minute) {
  for (uint64_t n = c->last; n > 0 && c->last - n < OBS_CHANGES_KEPT; n--) {
    obs_changes_first *f = &c->firsts[n % OBS_CHANGES_KEPT];
    if (f->time_ms / 60000 != minute) return NULL;
    if (f->what == what && f->more > 0) return f;
  }
  return NULL;
}

static void tell(obs_changes *c, obs_changes_what what, obs_str value, const obs_op *op, uint64_t seq) {
  obs_changes_set *s = &c->sets[what];
  int64_t minute = op->received_ms / 60000;
  if (minute != s->minute) {
    s->minute = minute;
    s->told = 0;
  }
  bool beyond = s->n == OBS_CHANGES_VALUES, one = ++s->told <= OBS_CHANGES_MINUTE;
  char room[OBS_NAMES_SHOWN + 1];
  obs_str place = OBS_HAS(op, endpoint) ? obs_names_shown(op->endpoint, room) : (obs_str){0};
  pthread_mutex_lock(&c->lock);
  obs_changes_first *f = one || beyond ? NULL : more_of(c, what, minute);
  if (f != NULL) {
    f->more++;
  } else {
    f = &c->firsts[++c->last % OBS_CHANGES_KEPT];
    *f = (obs_changes_first){
        .seq = seq, .time_ms = op->received_ms, .what = (uint8_t)what, .beyond = beyond, .more = one || beyond ? 0 : 1};
    if (one && !beyond) {
      f->len = (uint8_t)value.len;
      f->place_len = (uint8_t)place.len;
      if (value.len > 0) memcpy(f->value, value.p, value.len);
      if (place.len > 0) memcpy(f->place, place.p, place.len);
    }
  }
  pthread_mutex_unlock(&c->lock);
}

/* Most values are known: it costs their hash and a look. */
static void see(obs_changes *c, obs_changes_what what, obs_str value, const obs_op *op, uint64_t seq) {
  char room[OBS_NAMES_SHOWN + 1];
  if (value.len == 0) return;
  obs_str shown = obs_names_shown(value, room);
  uint64_t hash = hash_of(c, what, shown);
  obs_changes_set *s = &c->sets[what];
  if (has(s, hash) || !add(s, hash)) return;
  if (op->received_ms - c->began_ms >= OBS_CHANGES_YOUNG_MS) tell(c, what, shown, op, seq);
}

void obs_changes_know(obs_changes *c, obs_changes_what what, obs_str value) {
  char room[OBS_NAMES_SHOWN + 1];
  if (value.len > 0) (void)add(&c->sets[what], hash_of(c, what, obs_names_shown(value, room)));
}

/* Of a journal whose first ops it has not seen it cannot say what is new. */
static void begin(obs_changes *c, const obs_op *op, uint64_t seq) {
  if (c->began_ms == 0) c->began_ms = seq == 1 ? op->received_ms : obs_clock_receipt_ms();
}

void obs_changes_note(void *changes, const obs_op *op, uint64_t seq) {
  obs_changes *c = changes;
  begin(c, op, seq);
  if (OBS_HAS(op, endpoint)) see(c, OBS_CHANGES_OF_ENDPOINT, op->endpoint, op, seq);
  if (OBS_HAS(op, source)) see(c, OBS_CHANGES_OF_SOURCE, op->source, op, seq);
  if (OBS_HAS(op, staffer_id)) see(c, OBS_CHANGES_OF_STAFFER, op->staffer_id, op, seq);
}

/* ---- members of an op's own ---- */

/* The kind of such a member; OBS_CHANGES_KINDS: none. */
static obs_changes_what what_of(obs_str key) {
  obs_changes_what what = OBS_CHANGES_OF_MODEL;
  while (what < OBS_CHANGES_KINDS && !obs_str_is(key, obs_changes_members[what])) what++;
  return what;
}

/* What comes next. */
static bool see_member(obs_changes *c, obs_cursor *at, obs_changes_what what, const obs_op *op, uint64_t seq) {
  char room[OBS_OP_MEMBER_MAX];
  obs_str text;
  if (!obs_op_member_value(at, room, &text)) return false;
  if (what != OBS_CHANGES_KINDS) see(c, what, text, op, seq);
  return true;
}

static void take_extra(obs_changes *c, const obs_op *op, uint64_t seq) {
  uint64_t hash = XXH3_64bits_withSeed(op->extra.p, op->extra.len, c->seed), *lately;
  lately = &c->extras[hash % OBS_CHANGES_EXTRAS];
  if (*lately == hash) return; /* mostly the same few come again and again */
  *lately = hash;
  obs_cursor at = obs_cursor_of(op->extra.p, op->extra.len < EXTRA_BYTES ? op->extra.len : EXTRA_BYTES);
  obs_json_cursor_space(&at);
  if (!obs_json_cursor_take(&at, '{')) return;
  for (obs_cursor_value key; obs_json_cursor_key(&at, &key);) {
    if (!see_member(c, &at, what_of(key.s), op, seq)) return;
    obs_json_cursor_space(&at);
    if (!obs_json_cursor_take(&at, ',')) return;
  }
}

static void take(obs_changes *c, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq) {
  begin(c, op, seq);
  if (OBS_HAS(op, extra)) take_extra(c, op, seq);
  for (uint32_t i = 0; i < op->unknown_count && unknown != NULL; i++) {
    obs_changes_what what = what_of(unknown[i].key);
    if (what == OBS_CHANGES_KINDS) continue;
    obs_cursor at = obs_cursor_of(unknown[i].value.p, unknown[i].value.len);
    (void)see_member(c, &at, what, op, seq);
  }
}

void obs_changes_apply(void *changes, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  (void)now_ms;
  uint64_t seq = first_seq;
  for (uint32_t i = 0; i < b->nops; i++) {
    const obs_op *op = &b->ops[i];
    if (b->lines[i].duplicate) continue;
    if (OBS_HAS(op, extra) || op->unknown_count > 0) take(changes, op, b->unknown + op->unknown_first, seq);
    seq++;
  }
}

void obs_changes_apply_row(void *changes, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq,
                           int64_t now_ms) {
  (void)now_ms;
  if (OBS_HAS(op, extra) || op->unknown_count > 0) take(changes, op, unknown, seq);
}

/* ---- bytes ---- */

observer_err obs_changes_save(void *changes, obs_buf *out) {
  const obs_changes *c = changes; /* the thread that changes it */
  obs_pack_id(out, c->seed);
  obs_pack_i64(out, c->began_ms);
  obs_pack_u64(out, OBS_CHANGES_KINDS);
  for (int what = 0; what < OBS_CHANGES_KINDS; what++) {
    const obs_changes_set *s = &c->sets[what];
    obs_pack_u64(out, s->n);
    for (uint32_t i = 0; i < s->cap; i++)
      if (s->slots[i] != 0) obs_pack_id(out, s->slots[i]);
  }
  uint64_t n = c->last < OBS_CHANGES_KEPT ? c->last : OBS_CHANGES_KEPT;
  obs_pack_u64(out, c->last);
  obs_pack_u64(out, n);
  for (uint64_t i = c->last - n + 1; i <= c->last; i++) {
    const obs_changes_first *f = &c->firsts[i % OBS_CHANGES_KEPT];
    obs_pack_u64(out, f->seq);
    obs_pack_i64(out, f->time_ms);
    obs_pack_u64(out, f->what);
    obs_pack_u64(out, f->beyond);
    obs_pack_u64(out, f->more);
    obs_pack_str(out, (obs_str){f->value, f->len, 0});
    obs_pack_str(out, (obs_str){f->place, f->place_len, 0});
  }
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

static void clear(obs_changes *c) {
  for (int what = 0; what < OBS_CHANGES_KINDS; what++) {
    free(c->sets[what].slots);
    c->sets[what] = (obs_changes_set){0};
  }
  c->last = 0;
  c->began_ms = 0;
}

static void get_first(obs_pack_reader *in, obs_changes_first *f) {
  f->seq = obs_pack_read_u64(in, UINT64_MAX);
  f->time_ms = obs_pack_read_i64(in, TIME_MAX);
  f->what = (uint8_t)obs_pack_read_u64(in, OBS_CHANGES_KINDS - 1);
  f->beyond = obs_pack_read_u64(in, 1) != 0;
  f->more = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  obs_str value = obs_pack_read_str(in, OBS_NAMES_SHOWN), place = obs_pack_read_str(in, OBS_NAMES_SHOWN);
  if (in->bad) return;
  f->len = (uint8_t)value.len;
  f->place_len = (uint8_t)place.len;
  if (value.len > 0) memcpy(f->value, value.p, value.len);
  if (place.len > 0) memcpy(f->place, place.p, place.len);
}

observer_err obs_changes_load(void *changes, const void *data, size_t len) {
  obs_changes *c = changes;
  obs_pack_reader r = {.p = data, .end = (const uint8_t *)data + len}, *in = &r;
  c->seed = obs_pack_read_id(in);
  c->began_ms = obs_pack_read_i64(in, TIME_MAX);
  if (obs_pack_read_u64(in, UINT32_MAX) != OBS_CHANGES_KINDS) in->bad = true;
  for (int what = 0; what < OBS_CHANGES_KINDS; what++) {
    uint64_t n = obs_pack_read_u64(in, OBS_CHANGES_VALUES);
    for (uint64_t i = 0; i < n && !in->bad; i++) {
      uint64_t hash = obs_pack_read_id(in);
      if (hash == 0 || !add(&c->sets[what], hash)) in->bad = true;
    }
  }
  c->last = obs_pack_read_u64(in, UINT64_MAX / 2);
  uint64_t n = obs_pack_read_u64(in, c->last < OBS_CHANGES_KEPT ? c->last : OBS_CHANGES_KEPT);
  if (n < OBS_CHANGES_KEPT && n != c->last) in->bad = true;
  for (uint64_t i = c->last - n + 1; i <= c->last && !in->bad; i++) get_first(in, &c->firsts[i % OBS_CHANGES_KEPT]);
  observer_err err = obs_pack_at_end(in) ? OBSERVER_E_OK : OBSERVER_E_CORRUPT;
  if (err != OBSERVER_E_OK) clear(c);
  return err;
}

/* ---- life ---- */

observer_err obs_changes_open(const obs_changes_opts *opts, obs_changes **out) {
  obs_changes *c = calloc(1, sizeof(*c));
  *out = NULL;
  if (c == NULL) return OBSERVER_E_NOMEM;
  c->opts = *opts;
  if (getrandom(&c->seed, sizeof(c->seed), GRND_NONBLOCK) != sizeof(c->seed)) c->seed = obs_clock_mono_ns();
  pthread_mutex_init(&c->lock, NULL); /* the default kind does not fail */
  *out = c;
  return OBSERVER_E_OK;
}

void obs_changes_close(obs_changes *c) {
  if (c == NULL) return;
  clear(c);
  pthread_mutex_destroy(&c->lock);
  free(c);
}
