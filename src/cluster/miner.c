#include "cluster/miner.h"

#include "base/clock.h"
#include "cluster/alike.h"
#include "cluster/reading.h"
#include "cluster/recent.h"

#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

/* LOOKED_AT: clusters of a shape that a new form is compared with, the latest first. COMPARED: of them, those with most
 * words in common. STEPS: in which a form may widen. REREAD: texts that are not read again when they come again. */
enum { CLUSTERS = 4096, LOOKED_AT = 256, COMPARED = 64, STEPS = 8, REREAD = 1024 };

typedef struct {
  uint64_t id;
  uint32_t tenant;
  uint32_t merged_into;  /* NONE: it stands for itself */
  uint32_t newer, older; /* by last use; NONE at the ends */
  uint32_t rank;         /* while loading: its place in that order */
  uint32_t len, nwords;
  char *text;
  obs_alike_word *words;
} cluster;

/* Of a cluster's slot, apart from it, because a new form walks along many of them: which clusters have the same shape.
 */
typedef struct {
  uint64_t shape, bits;
  uint32_t next, previous; /* in the list of its bucket; NONE at the ends */
  bool listed;
} neighbour;

/* The form of a text, by a hash of the text as it is. */
typedef struct {
  uint64_t text, form;
} reread;

struct obs_miner {
  cluster *clusters;
  neighbour *near;
  uint32_t *buckets; /* the latest of each; NONE: empty */
  uint32_t capacity, used, newest, oldest, bucket_mask;
  obs_recent forms; /* of obs_miner_ref */
  void (*merged)(void *arg, uint64_t to, uint64_t from);
  void *merged_arg;
  bool shared;
  uint64_t seed; /* of the texts' hashes: nobody can find two texts beforehand that are taken for one */
  reread reread[REREAD];
};

/* ---- clusters of one shape ---- */

static void list_near(obs_miner *m, uint32_t slot) {
  neighbour *x = &m->near[slot];
  uint32_t *head = &m->buckets[x->shape & m->bucket_mask];
  x->next = *head;
  x->previous = OBS_MINER_NONE;
  if (*head != OBS_MINER_NONE) m->near[*head].previous = slot;
  *head = slot;
  x->listed = true;
}

static void unlist_near(obs_miner *m, uint32_t slot) {
  neighbour *x = &m->near[slot];
  if (!x->listed) return;
  if (x->previous != OBS_MINER_NONE)
    m->near[x->previous].next = x->next;
  else
    m->buckets[x->shape & m->bucket_mask] = x->next;
  if (x->next != OBS_MINER_NONE) m->near[x->next].previous = x->previous;
  x->listed = false;
}

static void enter_near(obs_miner *m, uint32_t slot, const obs_alike_form *f) {
  m->near[slot].shape = obs_alike_shape(f);
  m->near[slot].bits = obs_alike_bits(f);
  list_near(m, slot);
}

/* ---- clusters by last use ---- */

static void unlink_cluster(obs_miner *m, uint32_t slot) {
  cluster *c = &m->clusters[slot];
  if (c->newer != OBS_MINER_NONE)
    m->clusters[c->newer].older = c->older;
  else
    m->newest = c->older;
  if (c->older != OBS_MINER_NONE)
    m->clusters[c->older].newer = c->newer;
  else
    m->oldest = c->newer;
}

static void link_newest(obs_miner *m, uint32_t slot) {
  cluster *c = &m->clusters[slot];
  c->newer = OBS_MINER_NONE;
  c->older = m->newest;
  if (m->newest != OBS_MINER_NONE) m->clusters[m->newest].newer = slot;
  m->newest = slot;
  if (m->oldest == OBS_MINER_NONE) m->oldest = slot;
}

static void touch(obs_miner *m, uint32_t slot) {
  if (m->newest == slot) return;
  unlink_cluster(m, slot);
  link_newest(m, slot);
}

/* A cluster of this form, whose template is the tokens with `<*>` where the form has values. NONE: no memory. */
static uint32_t create(obs_miner *m, uint64_t id, const obs_alike_form *f, const obs_mask_token *t) {
  bool fresh = m->used < m->capacity;
  uint32_t slot = fresh ? m->used : m->oldest;
  cluster *c = &m->clusters[slot];
  obs_buf text = {0};
  obs_alike_word *words = malloc((f->n + 1) * sizeof(*words));
  obs_mask_template(t, f->n, &text);
  if (text.oom || words == NULL) {
    obs_buf_fini(&text);
    free(words);
    return OBS_MINER_NONE;
  }
  memcpy(words, f->word, f->n * sizeof(*words));
  free(c->text);
  free(c->words);
  c->text = text.p;
  c->len = (uint32_t)text.len;
  c->words = words;
  c->nwords = f->n;
  if (fresh) {
    m->used++;
  } else {
    unlink_cluster(m, slot);
    unlist_near(m, slot);
  }
  c->id = id;
  c->tenant++;
  c->merged_into = OBS_MINER_NONE;
  link_newest(m, slot);
  enter_near(m, slot, f);
  return slot;
}

static obs_miner_ref ref_of(const obs_miner *m, uint32_t slot) {
  return (obs_miner_ref){slot, m->clusters[slot].tenant};
}

/* What was merged is never used again, so it goes before what it was merged into. */
uint32_t obs_miner_find(const obs_miner *m, obs_miner_ref ref) {
  uint32_t slot = ref.slot;
  if (slot == OBS_MINER_NONE || m->clusters[slot].tenant != ref.tenant) return OBS_MINER_NONE;
  while (m->clusters[slot].merged_into != OBS_MINER_NONE) slot = m->clusters[slot].merged_into;
  return slot;
}

/* What is in `from` is of the kind in `to`, whose template is the wider one. */
static void merge(obs_miner *m, uint32_t to, uint32_t from) {
  if (to == from) return;
  m->clusters[from].merged_into = to;
  unlist_near(m, from);
  if (m->merged != NULL) m->merged(m->merged_arg, m->clusters[to].id, m->clusters[from].id);
}

/* ---- learning ---- */

static uint32_t known(obs_miner *m, uint64_t form) {
  const obs_miner_ref *r = obs_recent_get(&m->forms, form);
  return r != NULL ? obs_miner_find(m, *r) : OBS_MINER_NONE;
}

static void remember(obs_miner *m, uint64_t form, uint32_t slot) {
  obs_miner_ref *r = obs_recent_put(&m->forms, form);
  *r = ref_of(m, slot);
}

/* Clusters that a form may be of one kind with. */
typedef struct {
  uint32_t slot[COMPARED];
  obs_alike_places differs[COMPARED];
  uint32_t n;
} candidates;

/* A walk along the clusters that a form may be of one kind with. */
typedef struct {
  const obs_miner *m;
  uint32_t slot, nwords;
  uint64_t shape, bits;
  unsigned missing;
  int left;
} walk;

static walk begin_walk(const obs_miner *m, const obs_alike_form *f) {
  walk w = {.m = m, .nwords = f->n, .shape = obs_alike_shape(f), .bits = obs_alike_bits(f), .left = LOOKED_AT};
  w.missing = obs_alike_missing(w.bits);
  w.slot = m->buckets[w.shape & m->bucket_mask];
  return w;
}

/* NONE: there are no more. */
static uint32_t next_near(walk *w) {
  while (w->slot != OBS_MINER_NONE && w->left-- > 0) {
    uint32_t slot = w->slot;
    const neighbour *x = &w->m->near[slot];
    w->slot = x->next;
    if (x->shape == w->shape && obs_alike_may_be(w->bits, x->bits, w->missing) &&
        w->m->clusters[slot].nwords == w->nwords)
      return slot;
  }
  return OBS_MINER_NONE;
}

/* The cluster that the form is a case of. */
static uint32_t find_case(const obs_miner *m, const obs_mask_token *t, const obs_alike_form *f) {
  walk w = begin_walk(m, f);
  uint32_t slot, least = OBS_MINER_NONE; /* of several the one with the least id: a restart changes their order here */
  while ((slot = next_near(&w)) != OBS_MINER_NONE) {
    if (least != OBS_MINER_NONE && m->clusters[slot].id > m->clusters[least].id) continue;
    if (obs_alike_is_case(t, f, m->clusters[slot].words)) least = slot;
  }
  return least;
}

/* Clusters that the form is no case of, but differs little from. */
static void find_candidates(const obs_miner *m, const obs_alike_form *f, candidates *out) {
  walk w = begin_walk(m, f);
  uint32_t slot;
  out->n = 0;
  while (out->n < COMPARED && (slot = next_near(&w)) != OBS_MINER_NONE) {
    obs_alike_places d;
    if (!obs_alike_compare(f, m->clusters[slot].words, &d)) continue;
    out->slot[out->n] = slot;
    out->differs[out->n++] = d;
  }
}

/* Whether the candidates show that the places of `d` vary. */
static bool opens(const obs_miner *m, const obs_alike_form *f, const candidates *all, obs_alike_places d) {
  const obs_alike_word *others[COMPARED];
  size_t n = 0;
  for (uint32_t i = 0; i < all->n; i++) {
    if (obs_alike_within(all->differs[i], d)) others[n++] = m->clusters[all->slot[i]].words;
  }
  return obs_alike_varies(f, others, n, d);
}

static bool is_wider(const obs_alike_form *f, obs_alike_places d) {
  for (; d != 0; d >>= 8) {
    if ((f->word[(d & 255) - 1].is & OBS_ALIKE_VALUE) == 0) return false;
  }
  return true;
}

/* The places that vary, as far as the candidates show it: the fewest, of as many the first. 0: none. The order in which
 * candidates were found does not matter. */
static obs_alike_places find_varying(const obs_miner *m, const obs_alike_form *f, const candidates *all) {
  obs_alike_places best = 0;
  for (uint32_t i = 0; i < all->n; i++) {
    obs_alike_places d = all->differs[i];
    if (d == best || (best != 0 && d > best) || is_wider(f, d)) continue; /* more places make a larger number */
    if (opens(m, f, all, d)) best = d;
  }
  return best;
}

/* Clusters to be merged, by id: their neighbours' order would not be the same after a restart. */
typedef struct {
  uint32_t slot[LOOKED_AT + COMPARED], n;
} merging;

static void note_merging(const obs_miner *m, merging *all, uint32_t slot) {
  uint32_t at = all->n;
  while (at > 0 && m->clusters[all->slot[at - 1]].id > m->clusters[slot].id) at--;
  if (at > 0 && all->slot[at - 1] == slot) return;
  memmove(&all->slot[at + 1], &all->slot[at], (all->n++ - at) * sizeof(all->slot[0]));
  all->slot[at] = slot;
}

/* What came before the places of `f` were known to vary, and is a case of it. */
static void note_cases(const obs_miner *m, const obs_alike_form *f, uint32_t except, merging *all) {
  walk w = begin_walk(m, f);
  uint32_t slot;
  w.missing = 0;
  while ((slot = next_near(&w)) != OBS_MINER_NONE) {
    obs_alike_form narrow;
    narrow.n = f->n;
    narrow.judged = true;
    memcpy(narrow.word, m->clusters[slot].words, f->n * sizeof(narrow.word[0]));
    if (slot != except && obs_alike_is_case(NULL, &narrow, f->word)) note_merging(m, all, slot);
  }
}

/* A form that was not seen before: opens what is known to vary until a known form is left, or makes a cluster, into
 * which all go that are cases of it. `t` are its tokens. */
static uint32_t learn(obs_miner *m, obs_mask_token *t, obs_alike_form *f, uint64_t first) {
  candidates near;
  uint64_t form = first, narrower[STEPS];
  uint32_t slot, steps = 0;
  for (;;) {
    slot = find_case(m, t, f);
    if (slot != OBS_MINER_NONE) break;
    if (!f->judged) obs_alike_judge(t, f);
    find_candidates(m, f, &near);
    obs_alike_places d = find_varying(m, f, &near);
    if (d == 0) break;
    if (steps < STEPS) narrower[steps++] = form;
    obs_alike_open(f, d);
    for (; d != 0; d >>= 8) t[(d & 255) - 1].value = true;
    form = obs_alike_hash(f);
    slot = known(m, form);
    if (slot != OBS_MINER_NONE) break;
  }
  if (slot == OBS_MINER_NONE) {
    slot = create(m, form, f, t);
    if (slot == OBS_MINER_NONE) return slot;
    merging all = {.n = 0};
    for (uint32_t i = 0; i < near.n; i++) {
      uint32_t other = near.slot[i];
      if (is_wider(f, near.differs[i]) && opens(m, f, &near, near.differs[i]) && other != slot)
        note_merging(m, &all, other);
    }
    if (steps > 0) note_cases(m, f, slot, &all);
    for (uint32_t i = 0; i < all.n; i++) merge(m, slot, all.slot[i]);
    remember(m, form, slot);
  } else if (m->near[slot].previous != OBS_MINER_NONE) { /* others of its kind will be looked for soon */
    unlist_near(m, slot);
    list_near(m, slot);
  }
  if (form != first) remember(m, first, slot);
  /* Who has seen less may have taken it for a kind of its own. */
  for (uint32_t i = 0; m->merged != NULL && i < steps; i++) m->merged(m->merged_arg, m->clusters[slot].id, narrower[i]);
  return slot;
}

/* The place of the text's form, whether it is there or not. What stands there is a function of the text alone, so that
 * a miner that has it does what one without it does, faster: reading and masking are most of what a failure costs. */
static reread *reread_of(obs_miner *m, obs_str message, uint64_t *text) {
  *text = XXH3_64bits_withSeed(message.p, message.len, m->seed);
  return &m->reread[*text % REREAD];
}

static uint32_t read_and_add(obs_miner *m, obs_str message, uint64_t *form) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  char room[OBS_READING_BYTES];
  size_t n = obs_mask(obs_reading_of(message, room), tokens);
  *form = obs_alike_hash_tokens(tokens, n);
  uint32_t slot = known(m, *form);
  if (slot != OBS_MINER_NONE) return slot;
  obs_alike_form f;
  obs_alike_form_of(tokens, n, &f);
  return learn(m, tokens, &f, *form);
}

obs_miner_ref obs_miner_add(obs_miner *m, obs_str message) {
  uint64_t text, form;
  reread *r = reread_of(m, message, &text);
  uint32_t slot = r->text == text ? known(m, r->form) : OBS_MINER_NONE;
  if (slot == OBS_MINER_NONE) {
    slot = read_and_add(m, message, &form);
    *r = (reread){text, form};
  }
  if (slot == OBS_MINER_NONE) return (obs_miner_ref){OBS_MINER_NONE, 0};
  touch(m, slot);
  return ref_of(m, slot);
}

bool obs_miner_merge(obs_miner *m, const obs_miner *from, void (*placed)(void *arg, uint64_t id, obs_miner_ref at),
                     void *arg) {
  bool whole = true;
  for (uint32_t i = from->oldest; i != OBS_MINER_NONE; i = from->clusters[i].newer) {
    const cluster *c = &from->clusters[i];
    obs_mask_token tokens[OBS_MASK_TOKENS];
    obs_alike_form f = {.n = c->nwords, .judged = true};
    if (c->merged_into != OBS_MINER_NONE ||
        !obs_alike_tokens((obs_str){c->text, c->len, 0}, c->words, c->nwords, tokens))
      continue;
    memcpy(f.word, c->words, c->nwords * sizeof(f.word[0]));
    uint32_t slot = known(m, c->id);
    if (slot == OBS_MINER_NONE) slot = learn(m, tokens, &f, c->id);
    whole = whole && slot != OBS_MINER_NONE;
    if (slot == OBS_MINER_NONE) continue;
    touch(m, slot);
    placed(arg, c->id, ref_of(m, slot));
  }
  return whole;
}

static uint32_t peek_form(const obs_miner *m, uint64_t form) {
  const obs_miner_ref *r = obs_recent_peek(&m->forms, form);
  return r != NULL ? obs_miner_find(m, *r) : OBS_MINER_NONE;
}

uint32_t obs_miner_peek(obs_miner *m, obs_str message) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  char room[OBS_READING_BYTES];
  uint64_t text;
  reread *r = reread_of(m, message, &text);
  uint32_t slot = r->text == text ? peek_form(m, r->form) : OBS_MINER_NONE;
  if (slot != OBS_MINER_NONE) return slot;
  size_t n = obs_mask(obs_reading_of(message, room), tokens);
  *r = (reread){text, obs_alike_hash_tokens(tokens, n)};
  if ((slot = peek_form(m, r->form)) != OBS_MINER_NONE) return slot;
  obs_alike_form f;
  obs_alike_form_of(tokens, n, &f);
  return find_case(m, tokens, &f);
}

uint64_t obs_miner_id(const obs_miner *m, uint32_t slot) {
  return m->clusters[slot].id;
}

obs_str obs_miner_template(const obs_miner *m, uint32_t slot) {
  return (obs_str){m->clusters[slot].text, m->clusters[slot].len, 0};
}

observer_err obs_miner_open(const obs_miner_opts *opts, obs_miner **out) {
  obs_miner *m = calloc(1, sizeof(*m));
  *out = m;
  if (m == NULL) return OBSERVER_E_NOMEM;
  if (getrandom(&m->seed, sizeof(m->seed), GRND_NONBLOCK) < 0) m->seed = obs_clock_mono_ns();
  m->capacity = opts->clusters > 0 ? opts->clusters : CLUSTERS;
  uint32_t forms = opts->forms > 0 ? opts->forms : m->capacity * 4;
  m->newest = m->oldest = OBS_MINER_NONE;
  m->merged = opts->merged;
  m->merged_arg = opts->merged_arg;
  m->shared = opts->shared;
  m->clusters = calloc(m->capacity, sizeof(*m->clusters));
  m->near = calloc(m->capacity, sizeof(*m->near));
  uint32_t buckets = 16;
  while (buckets < m->capacity) buckets *= 2;
  m->bucket_mask = buckets - 1;
  m->buckets = malloc(buckets * sizeof(*m->buckets));
  if (m->buckets != NULL) memset(m->buckets, 0xFF, buckets * sizeof(*m->buckets)); /* NONE */
  if (m->clusters != NULL && m->near != NULL && m->buckets != NULL &&
      obs_recent_init(&m->forms, forms, sizeof(obs_miner_ref)))
    return OBSERVER_E_OK;
  obs_miner_close(m);
  *out = NULL;
  return OBSERVER_E_NOMEM;
}

void obs_miner_close(obs_miner *m) {
  if (m == NULL) return;
  for (uint32_t i = 0; m->clusters != NULL && i < m->used; i++) {
    free(m->clusters[i].text);
    free(m->clusters[i].words);
  }
  obs_recent_fini(&m->forms);
  free(m->clusters);
  free(m->near);
  free(m->buckets);
  free(m);
}

/* ---- the checkpoint ---- */

/* What the miner has learned as bytes (base/pack.h):
 *
 *   miner    OBS_MINER_VERSION clusters_max forms_max used { cluster, the least recently used first } forms
 *   cluster  slot id tenant 1 + merged_into (0: not merged) template words { hash is [ shown, when they are shared ] }
 *   forms    two generations of { hash, ref }, 0
 *   ref      1 + slot tenant
 *
 * Templates are bytes, not text: a message may have been cut in the middle of a character. */

enum { TEMPLATE_MAX = OBS_MASK_BYTES + 4 * OBS_MASK_TOKENS };

static void put_ref(obs_buf *out, obs_miner_ref r) {
  obs_pack_u64(out, (uint64_t)r.slot + 1);
  obs_pack_u64(out, r.tenant);
}

static void put_form(obs_buf *out, const void *value) {
  put_ref(out, *(const obs_miner_ref *)value);
}

void obs_miner_save(const obs_miner *m, obs_buf *out) {
  obs_pack_u64(out, OBS_MINER_VERSION);
  obs_pack_u64(out, m->capacity);
  obs_pack_u64(out, m->forms.capacity);
  obs_pack_u64(out, m->used);
  for (uint32_t slot = m->oldest; slot != OBS_MINER_NONE; slot = m->clusters[slot].newer) {
    const cluster *c = &m->clusters[slot];
    obs_pack_u64(out, slot);
    obs_pack_id(out, c->id);
    obs_pack_u64(out, c->tenant);
    obs_pack_u64(out, c->merged_into != OBS_MINER_NONE ? (uint64_t)c->merged_into + 1 : 0);
    obs_pack_u64(out, c->len);
    obs_buf_append(out, c->text, c->len);
    obs_pack_u64(out, c->nwords);
    for (uint32_t i = 0; i < c->nwords; i++) {
      obs_pack_u64(out, c->words[i].hash);
      obs_pack_u64(out, c->words[i].is);
      if (m->shared) obs_pack_u64(out, c->words[i].shown);
    }
  }
  obs_recent_save(&m->forms, out, put_form);
}

static bool get_ref(const obs_miner *m, obs_pack_reader *in, obs_miner_ref *r) {
  r->slot = (uint32_t)obs_pack_read_u64(in, m->used) - 1;
  r->tenant = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  return !in->bad && r->slot < m->used;
}

static bool get_form(void *arg, obs_pack_reader *in, void *value) {
  return get_ref(arg, in, value);
}

/* One cluster; it must be of a slot that has none yet. */
static bool get_cluster(obs_miner *m, obs_pack_reader *in, uint32_t rank) {
  uint32_t slot = (uint32_t)obs_pack_read_u64(in, m->used - 1);
  cluster *c = &m->clusters[slot];
  if (in->bad || c->text != NULL) return false;
  c->id = obs_pack_read_id(in);
  c->rank = rank;
  c->tenant = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  uint64_t into = obs_pack_read_u64(in, m->used);
  c->merged_into = into > 0 ? (uint32_t)into - 1 : OBS_MINER_NONE;
  uint32_t len = (uint32_t)obs_pack_read_u64(in, TEMPLATE_MAX);
  if (in->bad || len > (size_t)(in->end - in->p) || (c->text = malloc((size_t)len + 1)) == NULL) return false;
  memcpy(c->text, in->p, len);
  c->len = len;
  in->p += len;
  obs_alike_form f = {.n = (uint32_t)obs_pack_read_u64(in, OBS_MASK_TOKENS)};
  for (uint32_t i = 0; i < f.n; i++) {
    f.word[i].hash = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
    f.word[i].is = (uint8_t)obs_pack_read_u64(in, UINT8_MAX);
    f.word[i].shown = m->shared ? (uint16_t)obs_pack_read_u64(in, UINT16_MAX) : 0;
  }
  obs_mask_token tokens[OBS_MASK_TOKENS];
  if (m->shared && !in->bad &&
      (c->id != obs_alike_hash(&f) || !obs_alike_tokens((obs_str){c->text, len, 0}, f.word, f.n, tokens)))
    return false;
  c->words = malloc((f.n + 1) * sizeof(*c->words));
  if (in->bad || c->words == NULL) return false;
  memcpy(c->words, f.word, f.n * sizeof(*c->words));
  c->nwords = f.n;
  link_newest(m, slot);
  if (c->merged_into == OBS_MINER_NONE) enter_near(m, slot, &f);
  return true;
}

bool obs_miner_load(obs_miner *m, obs_pack_reader *in) {
  if (obs_pack_read_u64(in, UINT32_MAX) != OBS_MINER_VERSION || obs_pack_read_u64(in, UINT32_MAX) != m->capacity ||
      obs_pack_read_u64(in, UINT32_MAX) != m->forms.capacity)
    return false;
  m->used = (uint32_t)obs_pack_read_u64(in, m->capacity);
  for (uint32_t i = 0; i < m->used; i++) {
    if (!get_cluster(m, in, i)) return false;
  }
  /* What a cluster was merged into is in use and newer: following it ends. */
  for (uint32_t i = 0; i < m->used; i++) {
    uint32_t into = m->clusters[i].merged_into;
    if (into != OBS_MINER_NONE && m->clusters[into].rank <= m->clusters[i].rank) return false;
  }
  return !in->bad && obs_recent_load(&m->forms, in, get_form, m);
}
