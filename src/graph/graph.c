/* The table of edges: which one an op belongs to, who makes room for whom, slices of time, retries. saved.c makes bytes
 * of it, views.c shows it. */
#include "base/clock.h"
#include "graph/internal.h"

#include <math.h>
#include <stdlib.h>
#include <sys/random.h>
#define XXH_INLINE_ALL /* three hashes an op, of a few bytes each: half of what they cost would be the calls */
#include <xxhash.h>

enum { STAFFER, SOURCE, ENDPOINT };
enum {
  CHUNK = 256,          /* ops under one lock */
  CANDIDATES = 16,      /* that the hand looks at for one place, */
  STRIDE = 1021,        /* so far apart, as those that came together are often busy together; prime: it gets to all */
  FADE = 16,            /* times all places taken, and heat is halved */
  SEEN_MAX = 16384,     /* in the filter of 262,144 bits, before it begins anew */
  DAY_MS = 86400000,    /* of a duration: what is longer counts so */
  DISPLACED_MAX = 1000, /* places taken in a second; it costs a microsecond, and a table is new in four seconds */
  BACK = 30             /* ticks: a clock that is further back was set, and the slices begin anew */
};

/* ---- slices ---- */

int64_t obs_graph_tick(int64_t ms) {
  return ms > 0 ? ms / OBS_GRAPH_TICK_MS : 0;
}

void obs_graph_tally_add(obs_graph_tally *to, const obs_graph_tally *n) {
  to->ops += n->ops;
  to->failures += n->failures;
  to->retries += n->retries;
  to->timed += n->timed;
  to->ms += n->ms;
}

/* Empties the slices after `from` up to `to`, of `n` kept at `slices`. */
static void clear_between(obs_graph_tally *slices, int64_t n, int64_t from, int64_t to) {
  if (to - from > n) from = to - n;
  while (from < to) slices[++from % n] = (obs_graph_tally){0};
}

void obs_graph_roll(obs_graph_series *s, int64_t tick) {
  obs_graph_tally *tens = s->slices, *minutes = tens + OBS_GRAPH_TENS, *fives = minutes + OBS_GRAPH_MINUTES;
  int64_t was = s->tick, five = was / OBS_GRAPH_FIVE;
  if (tick + BACK < was) {
    memset(s->slices, 0, sizeof(s->slices));
    s->tick = tick;
  }
  if (tick <= was) return;
  obs_graph_tally_add(&minutes[was / OBS_GRAPH_MINUTE % OBS_GRAPH_MINUTES], &tens[was % OBS_GRAPH_TENS]);
  if (tick / OBS_GRAPH_MINUTE > was / OBS_GRAPH_MINUTE)
    obs_graph_tally_add(&fives[five % OBS_GRAPH_FIVES], &minutes[was / OBS_GRAPH_MINUTE % OBS_GRAPH_MINUTES]);
  int64_t passed = tick / OBS_GRAPH_FIVE - five;
  if (passed > 0 && (s->usual_ops > 0 || fives[five % OBS_GRAPH_FIVES].timed > 0)) {
    /* What is over fades by the time that has passed since its end. */
    const obs_graph_tally *over = &fives[five % OBS_GRAPH_FIVES];
    double left = exp2(-(double)passed * OBS_GRAPH_FIVE * OBS_GRAPH_TICK_MS / OBS_GRAPH_HALF_LIFE_MS);
    s->usual_ops = (s->usual_ops + over->timed) * left;
    s->usual_ms = (s->usual_ms + (double)over->ms) * left;
  }
  clear_between(tens, OBS_GRAPH_TENS, was, tick);
  clear_between(minutes, OBS_GRAPH_MINUTES, was / OBS_GRAPH_MINUTE, tick / OBS_GRAPH_MINUTE);
  clear_between(fives, OBS_GRAPH_FIVES, five, tick / OBS_GRAPH_FIVE);
  s->tick = tick;
}

/* What was counted of an edge that goes is other from now on. */
static void join(obs_graph_series *to, obs_graph_series *from) {
  int64_t tick = to->tick > from->tick ? to->tick : from->tick;
  obs_graph_roll(to, tick);
  obs_graph_roll(from, tick);
  for (int i = 0; i < OBS_GRAPH_SLICES; i++) obs_graph_tally_add(&to->slices[i], &from->slices[i]);
}

/* ---- keys ---- */

static uint64_t hash(obs_str s, uint64_t seed) {
  return s.p != NULL ? XXH3_64bits_withSeed(s.p, s.len, seed) : seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
}

uint64_t obs_graph_key(const obs_graph *g, const obs_str texts[OBS_GRAPH_TEXTS]) {
  return hash(texts[STAFFER], hash(texts[SOURCE], hash(texts[ENDPOINT], g->seed)));
}

/* What is known of an op before the lock is taken. */
typedef struct {
  uint64_t key, seq;
  uint32_t slot; /* UINT32_MAX: it is not held */
  bool retry;
} found;

typedef struct {
  obs_str text[OBS_GRAPH_TEXTS];
  char room[OBS_GRAPH_TEXTS][OBS_NAMES_SHOWN + 1];
} names;

static void name(const obs_op *op, names *n) {
  n->text[STAFFER] = OBS_HAS(op, staffer_id) ? obs_names_shown(op->staffer_id, n->room[STAFFER]) : (obs_str){0};
  n->text[SOURCE] = OBS_HAS(op, source) ? obs_names_shown(op->source, n->room[SOURCE]) : (obs_str){0};
  n->text[ENDPOINT] = OBS_HAS(op, endpoint) ? obs_names_shown(op->endpoint, n->room[ENDPOINT]) : (obs_str){0};
}

/* Whether the op follows a failure of the same task; notes it when it fails itself. Where an endpoint has had no
 * failure lately, which is mostly, it costs a look at its spot. */
static bool is_retry(obs_graph *g, const obs_op *op, uint64_t endpoint) {
  int64_t *spot = &g->spots[endpoint % OBS_GRAPH_SPOTS];
  bool session = OBS_HAS(op, session_id) && op->session_id.len > 0, sig = OBS_HAS(op, sig_hash) && op->sig_hash.len > 0;
  int64_t now_ms = op->received_ms;
  bool lately = *spot != 0 && now_ms - *spot <= OBS_GRAPH_RETRY_MS;
  if ((!session && !sig) || (op->success && !lately) || obs_op_is_correction(op)) return false;
  uint64_t key = hash(session ? op->session_id : (obs_str){0}, endpoint);
  key = hash(sig ? op->sig_hash : (obs_str){0}, key);
  uint32_t at = (uint32_t)(key >> 32) % OBS_GRAPH_FAILED;
  bool again = g->failed[at].key == key && now_ms - g->failed[at].ms <= OBS_GRAPH_RETRY_MS;
  if (op->success) {
    if (again) g->failed[at].key = 0;
    return again;
  }
  g->failed[at].key = key;
  g->failed[at].ms = *spot = now_ms;
  return again;
}

/* Without the lock: what it reads only this thread changes. */
static void find(obs_graph *g, const obs_op *op, uint64_t seq, found *out) {
  names n;
  name(op, &n);
  uint64_t endpoint = hash(n.text[ENDPOINT], g->seed);
  out->key = hash(n.text[STAFFER], hash(n.text[SOURCE], endpoint));
  out->seq = seq;
  out->slot = UINT32_MAX;
  out->retry = is_retry(g, op, endpoint);
  if (!obs_map_get(&g->index, out->key, &out->slot) && g->opts.fresh != NULL) g->opts.fresh(g->opts.fresh_arg, op, seq);
}

/* ---- places ---- */

obs_str obs_graph_text(const obs_graph_slot *s, int which) {
  uint32_t at = 0;
  for (int i = 0; i < which; i++) at += s->len[i];
  return (s->present & 1u << which) != 0 ? (obs_str){s->text + at, s->len[which], 0} : (obs_str){0};
}

bool obs_graph_set_texts(obs_graph_slot *s, const obs_str texts[OBS_GRAPH_TEXTS]) {
  uint32_t at = 0;
  char *text = malloc((size_t)texts[0].len + texts[1].len + texts[2].len + 1);
  if (text == NULL) return false;
  *s = (obs_graph_slot){.text = text};
  for (int i = 0; i < OBS_GRAPH_TEXTS; i++) {
    s->len[i] = (uint8_t)texts[i].len;
    if (texts[i].p == NULL) continue;
    s->present |= (uint8_t)(1u << i);
    memcpy(text + at, texts[i].p, texts[i].len);
    at += texts[i].len;
  }
  return true;
}

/* Whether the key came before, lately; it has come then. */
static bool came_before(obs_graph *g, uint64_t key) {
  uint64_t *word = &g->seen[key >> 48 & (OBS_GRAPH_SEEN - 1)], bit = UINT64_C(1) << (key >> 40 & 63);
  bool before = (*word & bit) != 0;
  if (!before && ++g->nseen > SEEN_MAX) {
    memset(g->seen, 0, sizeof(g->seen));
    g->nseen = 0;
  }
  *word |= bit;
  return before;
}

/* A flood of edges that take turns is counted as other, beyond so many a second. */
static bool may_displace(obs_graph *g, int64_t now_ms) {
  if (now_ms / 1000 != g->second) {
    g->second = now_ms / 1000;
    g->in_second = 0;
  }
  return g->in_second++ < DISPLACED_MAX;
}

/* Makes room: the slot that is least active of those that the hand comes to. As space-saving has it, whoever takes it
 * begins with its heat, so that what comes often stays ahead of what comes in turns. All fade now and then. */
static uint32_t displace(obs_graph *g) {
  if (++g->displaced % (FADE * (uint64_t)g->opts.edges) == 0)
    for (uint32_t i = 0; i < g->opts.edges; i++) g->heat[i] /= 2;
  uint32_t least = g->hand;
  for (int i = 0; i < CANDIDATES; i++, g->hand = (g->hand + STRIDE) % g->opts.edges)
    if (g->heat[g->hand] < g->heat[least]) least = g->hand;
  obs_graph_slot *s = &g->slots[least];
  join(&g->other, &s->series);
  if (s->text != NULL) obs_map_remove(&g->index, s->key);
  free(s->text);
  *s = (obs_graph_slot){0};
  return least;
}

/* A slot for an edge that has none; UINT32_MAX: it counts as other. */
static uint32_t admit(obs_graph *g, const obs_op *op, const found *f) {
  bool full = g->held == g->opts.edges;
  names n;
  if (full && (!came_before(g, f->key) || !may_displace(g, op->received_ms))) return UINT32_MAX;
  name(op, &n);
  uint32_t at = full ? displace(g) : g->held;
  obs_graph_slot *s = &g->slots[at];
  if (!obs_graph_set_texts(s, n.text)) return UINT32_MAX; /* one that was displaced stays empty, and goes next */
  s->key = f->key;
  s->first_seq = f->seq;
  s->first_ms = op->received_ms;
  s->replaced = full;
  s->series.tick = obs_graph_tick(op->received_ms);
  g->held += !full;
  (void)obs_map_put(&g->index, s->key, at); /* it has room for all */
  return at;
}

/* ---- one op, with the lock ---- */

static void count(obs_graph_series *s, const obs_op *op, bool retry) {
  int64_t tick = obs_graph_tick(op->received_ms);
  if (tick != s->tick) obs_graph_roll(s, tick);
  obs_graph_tally *n = &s->slices[s->tick % OBS_GRAPH_TENS];
  n->ops++;
  n->failures += !op->success;
  n->retries += retry;
  if (!OBS_HAS(op, duration_ms) || op->duration_ms <= 0) return;
  n->timed++;
  n->ms += (uint64_t)(op->duration_ms < DAY_MS ? op->duration_ms : DAY_MS);
}

static void take(obs_graph *g, const obs_op *op, const found *f) {
  uint32_t at = f->slot;
  /* It may have been displaced, or come in, since it was looked up. */
  if ((at == UINT32_MAX || g->slots[at].key != f->key) && !obs_map_get(&g->index, f->key, &at)) at = admit(g, op, f);
  /* Of a journal whose first ops it has not seen it cannot say what is new. */
  if (g->began_ms == 0) g->began_ms = f->seq == 1 ? op->received_ms : obs_clock_receipt_ms();
  g->last_seq = f->seq;
  if (at == UINT32_MAX) {
    count(&g->other, op, f->retry);
    return;
  }
  obs_graph_slot *s = &g->slots[at];
  count(&s->series, op, f->retry);
  s->last_seq = f->seq;
  s->last_ms = op->received_ms;
  g->heat[at] += g->heat[at] < UINT32_MAX;
}

/* ---- the follower ---- */

void obs_graph_apply(void *graph, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  (void)now_ms;
  obs_graph *g = graph;
  found all[CHUNK];
  uint64_t seq = first_seq;
  for (uint32_t from = 0; from < b->nops; from += CHUNK) {
    uint32_t to = b->nops - from < CHUNK ? b->nops : from + CHUNK;
    for (uint32_t i = from; i < to; i++)
      if (!b->lines[i].duplicate) find(g, &b->ops[i], seq++, &all[i - from]);
    pthread_mutex_lock(&g->lock);
    for (uint32_t i = from; i < to; i++)
      if (!b->lines[i].duplicate) take(g, &b->ops[i], &all[i - from]);
    pthread_mutex_unlock(&g->lock);
  }
}

void obs_graph_apply_row(void *graph, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq, int64_t now_ms) {
  (void)unknown;
  (void)now_ms;
  obs_graph *g = graph;
  found f;
  find(g, op, seq, &f);
  pthread_mutex_lock(&g->lock);
  take(g, op, &f);
  pthread_mutex_unlock(&g->lock);
}

/* ---- life ---- */

void obs_graph_clear(obs_graph *g) {
  for (uint32_t i = 0; i < g->held; i++) {
    free(g->slots[i].text);
    g->slots[i] = (obs_graph_slot){0};
    g->heat[i] = 0;
  }
  obs_map_clear(&g->index);
  g->held = g->hand = 0;
  g->displaced = 0;
  g->other = (obs_graph_series){0};
  g->last_seq = 0;
  g->began_ms = 0;
}

observer_err obs_graph_open(const obs_graph_opts *opts, obs_graph **out) {
  obs_graph *g = calloc(1, sizeof(*g));
  *out = NULL;
  if (g == NULL) return OBSERVER_E_NOMEM;
  g->opts = *opts;
  if (g->opts.edges == 0) g->opts.edges = OBS_GRAPH_EDGES;
  if (getrandom(&g->seed, sizeof(g->seed), GRND_NONBLOCK) != sizeof(g->seed)) g->seed = obs_clock_mono_ns();
  pthread_mutex_init(&g->lock, NULL); /* the default kind does not fail */
  g->slots = calloc(g->opts.edges, sizeof(*g->slots));
  g->heat = calloc(g->opts.edges, sizeof(*g->heat));
  if (g->slots == NULL || g->heat == NULL || !obs_map_init(&g->index, g->opts.edges)) {
    obs_graph_close(g);
    return OBSERVER_E_NOMEM;
  }
  *out = g;
  return OBSERVER_E_OK;
}

void obs_graph_close(obs_graph *g) {
  if (g == NULL) return;
  if (g->slots != NULL && g->heat != NULL) obs_graph_clear(g);
  obs_map_fini(&g->index);
  free(g->slots);
  free(g->heat);
  pthread_mutex_destroy(&g->lock);
  free(g);
}
