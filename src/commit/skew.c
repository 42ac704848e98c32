#include "commit/skew.h"

#include <stdlib.h>
#include <xxhash.h>

enum {
  NEAR_MS = 2000,        /* within it a clock is right, and an offset the same */
  SETTLE_MS = 60 * 1000, /* so long it must stay the same */
  SETTLE_OPS = 3,
  FRESH_MS = 10 * 60 * 1000, /* what was seen within it speaks for the producer now */
  SHARE = 4,                 /* an offset is a clock's if one in so many of the producer's ops has it */
  LEVELS = 4,
  WAYS = 4,
  SETS = 256 /* WAYS producers share each */
};
enum { SEED_SOURCE = 1, SEED_STAMP = 2 };
#define UNKNOWN INT64_MIN

typedef struct {
  int64_t low, high; /* low > high: empty */
} range;

static const range nothing = {INT64_MAX, INT64_MIN};

/* Offsets that are about the same. `now` and `before` are what this minute and the last one had: clocks drift. */
typedef struct {
  uint32_t ops;      /* 0: not in use */
  uint32_t from;     /* how many ops its producer had sent at its first */
  int64_t since_ms;  /* receipt of the first one */
  int64_t last_ms;   /* and of the latest */
  int64_t turned_ms; /* when `now` began */
  range now, before;
  bool settled;
  int64_t skew_ms; /* when it is settled */
} level;

typedef struct {
  uint64_t key; /* 0: not in use */
  int64_t used_ms;
  int64_t right_ms; /* when an op with the right time was last seen; kept only while some skew is known */
  uint32_t ops;
  level levels[LEVELS];
} producer;

struct obs_skew {
  producer all[SETS][WAYS];
  bool any; /* some skew was settled: only then it is worth to note who has the right time */
  /* Of the last message that said when it was sent: the next op is mostly of the same. */
  uint64_t stamp_producer;
  int64_t stamp_sent_ms, stamp_received_ms, stamp_skew_ms;
};

obs_skew *obs_skew_open(void) {
  return calloc(1, sizeof(obs_skew));
}

void obs_skew_close(obs_skew *s) {
  free(s);
}

static bool is_near(int64_t offset) {
  return offset >= -NEAR_MS && offset <= NEAR_MS;
}

/* ---- the table ---- */

static producer *find(obs_skew *s, uint64_t key, int64_t now_ms) {
  producer *set = s->all[key % SETS], *victim = set;
  for (int i = 0; i < WAYS; i++) {
    if (set[i].key == key) {
      set[i].used_ms = now_ms;
      return &set[i];
    }
    if (victim->key != 0 && (set[i].key == 0 || set[i].used_ms < victim->used_ms)) victim = &set[i];
  }
  *victim = (producer){.key = key, .used_ms = now_ms, .right_ms = UNKNOWN};
  return victim;
}

static uint64_t key_of(uint64_t seed, const void *p, size_t n) {
  uint64_t key = XXH3_64bits_withSeed(p, n, seed);
  return key != 0 ? key : 1;
}

/* `connection` 0: the source in all. */
static uint64_t source_key(obs_str source, uint64_t connection) {
  return key_of(SEED_SOURCE + connection * 2, source.p, source.len);
}

/* ---- levels ---- */

static range both(range a, range b) {
  return (range){a.low < b.low ? a.low : b.low, a.high > b.high ? a.high : b.high};
}

static void widen(range *r, int64_t offset) {
  *r = both(*r, (range){offset, offset});
}

static bool fits(const level *l, int64_t offset) {
  range r = both(l->now, l->before);
  return l->ops > 0 && offset <= r.low + 2 * NEAR_MS && offset >= r.high - 2 * NEAR_MS;
}

static void add(level *l, int64_t offset, int64_t now_ms) {
  if (now_ms - l->turned_ms >= SETTLE_MS) {
    l->before = l->now;
    l->now = nothing;
    l->turned_ms = now_ms;
  }
  widen(&l->now, offset);
  l->last_ms = now_ms;
  l->ops += l->ops < UINT32_MAX;
}

static level begin(int64_t offset, int64_t now_ms, uint32_t from) {
  level l = {.from = from, .since_ms = now_ms, .turned_ms = now_ms, .now = nothing, .before = nothing};
  add(&l, offset, now_ms);
  return l;
}

/* The way of a message only adds to an offset, so the least one is the skew. It is looked at when a minute is over, and
 * so does not change with each op. */
static void settle(obs_skew *s, const producer *p, level *l, bool turned) {
  bool is_clock = l->settled || (l->ops >= SETTLE_OPS && l->last_ms - l->since_ms >= SETTLE_MS &&
                                 l->ops >= (p->ops - l->from) / SHARE);
  if (is_clock && (turned || !l->settled)) l->skew_ms = both(l->now, l->before).low;
  l->settled = is_clock;
  s->any |= is_clock;
}

/* The level that makes way for a new one: one not in use, else of those that are no clock's, else of those that were
 * not seen lately, the one seen longest ago. NULL: none. */
static level *weakest(producer *p, int64_t now_ms) {
  level *w = NULL;
  for (level *l = p->levels; l < p->levels + LEVELS; l++) {
    if (l->ops == 0) return l;
    if (l->settled && now_ms - l->last_ms < FRESH_MS) continue;
    if (w == NULL || l->settled < w->settled || (l->settled == w->settled && l->last_ms < w->last_ms)) w = l;
  }
  return w;
}

/* The skew of a producer that has one clock, for an op that tells nothing of it: one of its spool. What it showed
 * lately counts, by when it was last heard of: it may have been cut off for hours. */
static int64_t only_skew(const producer *p) {
  int64_t latest_ms = p->right_ms, skew = UNKNOWN;
  for (const level *l = p->levels; l < p->levels + LEVELS; l++) {
    if (l->settled && l->last_ms > latest_ms) latest_ms = l->last_ms;
  }
  if (latest_ms == UNKNOWN || (p->right_ms != UNKNOWN && latest_ms - p->right_ms < FRESH_MS)) return UNKNOWN;
  for (const level *l = p->levels; l < p->levels + LEVELS; l++) {
    if (!l->settled || latest_ms - l->last_ms >= FRESH_MS) continue;
    if (skew != UNKNOWN) return UNKNOWN;
    skew = l->skew_ms;
  }
  return skew;
}

/* The skew that this offset shows; UNKNOWN: none that is known. */
static int64_t learn(obs_skew *s, producer *p, int64_t offset, int64_t now_ms) {
  p->ops++;
  for (level *l = p->levels; l < p->levels + LEVELS; l++) {
    if (!fits(l, offset)) continue;
    int64_t turned_ms = l->turned_ms;
    add(l, offset, now_ms);
    settle(s, p, l, l->turned_ms != turned_ms);
    return l->settled ? l->skew_ms : UNKNOWN;
  }
  level *l = weakest(p, now_ms);
  if (l != NULL) *l = begin(offset, now_ms, p->ops - 1);
  return UNKNOWN;
}

/* ---- ops ---- */

static void note_right(obs_skew *s, const obs_op *op, int64_t now_ms) {
  if (!OBS_HAS(op, source)) return;
  find(s, source_key(op->source, 0), now_ms)->right_ms = now_ms;
  if (op->producer != 0) find(s, source_key(op->source, op->producer), now_ms)->right_ms = now_ms;
}

/* What its message says settles it. A message can have waited on its way, as when the disk failed for a while: the
 * least offset of the last minutes is the clock's. */
static int64_t of_stamp(obs_skew *s, const obs_op *op, int64_t now_ms, int64_t step_ms) {
  if (op->producer == s->stamp_producer && op->sent_ms == s->stamp_sent_ms && now_ms == s->stamp_received_ms)
    return s->stamp_skew_ms;
  int64_t offset = now_ms - op->sent_ms;
  producer *p = find(s, key_of(SEED_STAMP, &op->producer, sizeof op->producer), now_ms);
  level *l = &p->levels[0];
  if (l->ops == 0)
    *l = begin(offset, now_ms, 0);
  else
    add(l, offset, now_ms);
  int64_t skew = both(l->now, l->before).low;
  if (is_near(skew)) skew = 0;
  if (!is_near(step_ms) && is_near(offset - step_ms)) skew = step_ms;
  s->stamp_producer = op->producer;
  s->stamp_sent_ms = op->sent_ms;
  s->stamp_received_ms = now_ms;
  s->stamp_skew_ms = skew;
  return skew;
}

static int64_t first_known(int64_t a, int64_t b) {
  return a != UNKNOWN ? a : b;
}

int64_t obs_skew_of(obs_skew *s, const obs_op *op, int64_t received_ms, int64_t step_ms) {
  if (op->sent_ms != 0) return of_stamp(s, op, received_ms, step_ms);
  int64_t offset = received_ms - op->time_ms;
  if (is_near(offset)) {
    if (s->any) note_right(s, op, received_ms);
    return 0;
  }
  if (!is_near(step_ms) && is_near(offset - step_ms)) return step_ms;
  if (!OBS_HAS(op, source)) return 0;
  producer *here = op->producer != 0 ? find(s, source_key(op->source, op->producer), received_ms) : NULL;
  int64_t skew = here != NULL ? learn(s, here, offset, received_ms) : UNKNOWN;
  producer *all = find(s, source_key(op->source, 0), received_ms);
  skew = first_known(skew, learn(s, all, offset, received_ms));
  if (skew == UNKNOWN) skew = only_skew(here != NULL ? here : all);
  return first_known(skew, 0);
}

void obs_skew_recall(obs_skew *s, obs_str source, int64_t received_ms, int64_t skew_ms) {
  producer *p = find(s, source_key(source, 0), received_ms);
  level *l = NULL;
  for (level *each = p->levels; each < p->levels + LEVELS && l == NULL; each++) {
    if (fits(each, skew_ms)) l = each;
  }
  if (l == NULL) {
    l = weakest(p, received_ms);
    if (l == NULL) return;
    *l = begin(skew_ms, received_ms, p->ops);
  }
  add(l, skew_ms, received_ms);
  l->settled = s->any = true;
  l->skew_ms = skew_ms;
}
