#include "cluster/miner_impl.h"

#include <stdlib.h>
#include <strings.h>

enum { CLUSTERS = 4096, CONSTANT_WORDS = 2 /* a frame has at least that many words that stay */ };

typedef obs_miner_cluster cluster;
typedef obs_miner_frame frame;

/* ---- words ---- */

/* Each pair is a difference that matters. */
static const char *const opposites[] = {
    "start",        "stop",     "started",  "stopped", "starting",  "stopping",  "open",     "close",     "opened",
    "closed",       "opening",  "closing",  "allow",   "deny",      "allowed",   "denied",   "accept",    "reject",
    "accepted",     "rejected", "refused",  "success", "failure",   "succeeded", "failed",   "up",        "down",
    "on",           "off",      "enable",   "disable", "enabled",   "disabled",  "connect",  "connected", "disconnect",
    "disconnected", "true",     "false",    "startup", "shutdown",  "login",     "logout",   "added",     "removed",
    "enter",        "exit",     "entering", "leaving", "begin",     "end",       "online",   "offline",   "yes",
    "no",           "read",     "write",    "send",    "receive",   "sent",      "received", "acquired",  "released",
    "valid",        "invalid",  "known",    "unknown", "created",   "deleted",   "attached", "detached",  "mounted",
    "unmounted",    "locked",   "unlocked", "passed",  "granted",   "revoked",   "lost",     "restored",  "not",
    "timeout",      "full",     "empty",    "healthy", "unhealthy", "pass",      "fail",
};

static bool has_opposite(const obs_mask_token *t) {
  char first = (char)(t->p[0] | 0x20); /* most words are told apart by it */
  for (size_t i = 0; i < sizeof(opposites) / sizeof(opposites[0]); i++) {
    if (opposites[i][0] == first && strlen(opposites[i]) == t->len && strncasecmp(opposites[i], t->p, t->len) == 0)
      return true;
  }
  return false;
}

static uint64_t mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9FB21C651E98DF25u;
  return h ^ (h >> 29);
}

/* A form's hash is made of a sum, so that the frames of a form, which differ from it in one word, cost one step each.
 */
static uint64_t word_in_place(size_t i, uint64_t word) {
  return mix(mix(0x9E3779B97F4A7C15u, i), word);
}

static uint64_t sum_words(const obs_mask_token *t, size_t n) {
  uint64_t sum = 0;
  for (size_t i = 0; i < n; i++) sum += word_in_place(i, ((uint64_t)t[i].hash << 1) | 1);
  return sum;
}

static uint64_t hash_sum(uint64_t scope, size_t n, uint64_t sum) {
  return mix(mix(scope + 0x9E3779B97F4A7C15u, n), sum);
}

/* ---- clusters ---- */

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

void obs_miner_link_newest(obs_miner *m, uint32_t slot) {
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
  obs_miner_link_newest(m, slot);
}

static bool set_template(cluster *c, const obs_mask_token *t, size_t n) {
  obs_buf text = {0};
  obs_mask_template(t, n, &text);
  if (text.oom) {
    obs_buf_fini(&text);
    return false;
  }
  free(c->text);
  c->text = text.p;
  c->len = (uint32_t)text.len;
  return true;
}

static uint32_t create(obs_miner *m, uint64_t id, const obs_mask_token *t, size_t n) {
  bool fresh = m->used < m->capacity;
  uint32_t slot = fresh ? m->used : m->oldest;
  cluster *c = &m->clusters[slot];
  if (!set_template(c, t, n)) return OBS_MINER_NONE;
  if (fresh)
    m->used++;
  else
    unlink_cluster(m, slot);
  c->id = id;
  c->born = ++m->births;
  c->tenant++;
  c->merged_into = OBS_MINER_NONE;
  obs_miner_link_newest(m, slot);
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

/* Makes the two one; the older stays, with the template of `a`. Returns which stays. */
static uint32_t merge(obs_miner *m, uint32_t a, uint32_t b) {
  if (a == b) return a;
  cluster *x = &m->clusters[a], *y = &m->clusters[b];
  uint32_t stays = x->born < y->born ? a : b, goes = stays == a ? b : a;
  if (stays == b) {
    char *text = y->text;
    uint32_t len = y->len;
    y->text = x->text;
    y->len = x->len;
    x->text = text;
    x->len = len;
  }
  m->clusters[goes].merged_into = stays;
  if (m->merged != NULL) m->merged(m->merged_arg, m->clusters[stays].id, m->clusters[goes].id);
  touch(m, stays);
  return stays;
}

/* ---- learning ---- */

typedef struct {
  obs_miner *m;
  const void *(*frame_of)(obs_recent *frames, uint64_t key);
  uint64_t scope;
  obs_mask_token *t;
  size_t n;
  uint64_t sum;       /* of its words */
  uint32_t constants; /* words that are no values */
  obs_miner_ref peers[OBS_MINER_FRAME_WORDS];
  uint32_t npeers; /* clusters that turned out to be this one */
} lesson;

static uint32_t count_constants(const obs_mask_token *t, size_t n) {
  uint32_t count = 0;
  for (size_t i = 0; i < n; i++) count += t[i].word && !t[i].value;
  return count;
}

/* The message's tokens are what they are now. */
static uint64_t look_again(lesson *l) {
  l->sum = sum_words(l->t, l->n);
  l->constants = count_constants(l->t, l->n);
  return hash_sum(l->scope, l->n, l->sum);
}

/* Of the frame with the word at `p` open. */
static uint64_t hash_frame(const lesson *l, size_t p) {
  uint64_t word = word_in_place(p, ((uint64_t)l->t[p].hash << 1) | 1);
  return hash_sum(l->scope, l->n, l->sum - word + word_in_place(p, 0));
}

static bool may_open(const lesson *l, size_t p) {
  const obs_mask_token *t = &l->t[p];
  if (!t->word || l->constants < CONSTANT_WORDS + (t->value ? 0u : 1u)) return false;
  return t->value || !has_opposite(t);
}

/* The word at `p` is a value; values side by side are one. */
static void open_word(lesson *l, size_t p) {
  l->t[p].value = true;
  l->t[p].hash = 1;
  size_t n = 0;
  for (size_t i = 0; i < l->n; i++) {
    if (!(n > 0 && l->t[i].value && l->t[n - 1].value)) l->t[n++] = l->t[i];
  }
  l->n = n;
}

/* A word whose frame is known to hold a value there; n when there is none. */
static size_t find_open(lesson *l) {
  for (size_t p = 0; p < l->n; p++) {
    if (l->t[p].value || !may_open(l, p)) continue;
    const frame *f = l->frame_of(&l->m->frames, hash_frame(l, p));
    if (f != NULL && f->open) return p;
  }
  return l->n;
}

/* Enters one word into its frame; true when that opens it: the frame's clusters are then peers. */
static bool enter_word(lesson *l, size_t p, uint32_t slot) {
  frame *f = obs_recent_put(&l->m->frames, hash_frame(l, p));
  for (uint32_t i = 0; i < f->n; i++) {
    if (f->words[i] == l->t[p].hash) return false;
  }
  bool was_open = f->open;
  f->open = was_open || l->t[p].value || f->n == OBS_MINER_FRAME_WORDS - 1;
  if (f->open && !was_open && f->n > 0) {
    memcpy(l->peers, f->clusters, f->n * sizeof(obs_miner_ref));
    l->npeers = f->n;
    return true;
  }
  if (!f->open) {
    f->words[f->n] = l->t[p].hash;
    f->clusters[f->n++] = ref_of(l->m, slot);
  }
  return false;
}

/* Enters a new form into all its frames, until one opens. Returns where; n when none did. */
static size_t enter(lesson *l, uint32_t slot) {
  for (size_t p = 0; p < l->n; p++) {
    if (may_open(l, p) && enter_word(l, p, slot)) return p;
  }
  return l->n;
}

static uint32_t known(obs_miner *m, uint64_t form) {
  const obs_miner_ref *r = obs_recent_get(&m->forms, form);
  return r != NULL ? obs_miner_find(m, *r) : OBS_MINER_NONE;
}

static void remember(obs_miner *m, uint64_t form, uint32_t slot) {
  obs_miner_ref *r = obs_recent_put(&m->forms, form);
  *r = ref_of(m, slot);
}

static uint32_t join_peers(lesson *l, uint32_t slot) {
  for (uint32_t i = 0; i < l->npeers; i++) {
    uint32_t peer = obs_miner_find(l->m, l->peers[i]);
    if (peer != OBS_MINER_NONE) slot = merge(l->m, slot, peer);
  }
  l->npeers = 0;
  return slot;
}

/* A form that was not seen before: opens what is known to vary until a known form is left, or makes a cluster. */
static uint32_t learn(lesson *l, uint64_t first) {
  obs_miner *m = l->m;
  for (;;) {
    uint64_t form = look_again(l);
    uint32_t slot = known(m, form);
    size_t p = slot == OBS_MINER_NONE ? find_open(l) : l->n;
    if (slot == OBS_MINER_NONE && p == l->n) {
      slot = create(m, form, l->t, l->n);
      if (slot == OBS_MINER_NONE) return slot;
      remember(m, form, slot);
      slot = join_peers(l, slot);
      p = enter(l, slot);
      if (p < l->n) l->peers[l->npeers++] = ref_of(m, slot);
    }
    if (p == l->n) {
      slot = join_peers(l, slot);
      remember(m, first, slot);
      return slot;
    }
    open_word(l, p);
  }
}

static const void *use_frame(obs_recent *frames, uint64_t key) {
  return obs_recent_get(frames, key);
}

static const void *look_at_frame(obs_recent *frames, uint64_t key) {
  return obs_recent_peek(frames, key);
}

obs_miner_ref obs_miner_add(obs_miner *m, uint64_t scope, obs_str message) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  size_t n = obs_mask(message, tokens);
  uint64_t form = hash_sum(scope, n, sum_words(tokens, n));
  uint32_t slot = known(m, form);
  if (slot == OBS_MINER_NONE) {
    lesson l = {.m = m, .frame_of = use_frame, .scope = scope, .t = tokens, .n = n};
    slot = learn(&l, form);
  }
  if (slot == OBS_MINER_NONE) return (obs_miner_ref){OBS_MINER_NONE, 0};
  touch(m, slot);
  return ref_of(m, slot);
}

uint32_t obs_miner_peek(obs_miner *m, uint64_t scope, obs_str message) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  lesson l = {.m = m, .frame_of = look_at_frame, .scope = scope, .t = tokens};
  l.n = obs_mask(message, tokens);
  for (;;) {
    const obs_miner_ref *r = obs_recent_peek(&m->forms, look_again(&l));
    uint32_t slot = r != NULL ? obs_miner_find(m, *r) : OBS_MINER_NONE;
    if (slot != OBS_MINER_NONE) return slot;
    size_t p = find_open(&l);
    if (p == l.n) return OBS_MINER_NONE;
    open_word(&l, p);
  }
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
  m->capacity = opts->clusters > 0 ? opts->clusters : CLUSTERS;
  uint32_t forms = opts->forms > 0 ? opts->forms : m->capacity * 4;
  m->newest = m->oldest = OBS_MINER_NONE;
  m->merged = opts->merged;
  m->merged_arg = opts->merged_arg;
  m->clusters = calloc(m->capacity, sizeof(*m->clusters));
  if (m->clusters != NULL && obs_recent_init(&m->forms, forms, sizeof(obs_miner_ref)) &&
      obs_recent_init(&m->frames, forms * 4, sizeof(frame)))
    return OBSERVER_E_OK;
  obs_miner_close(m);
  *out = NULL;
  return OBSERVER_E_NOMEM;
}

void obs_miner_close(obs_miner *m) {
  if (m == NULL) return;
  for (uint32_t i = 0; i < m->used; i++) free(m->clusters[i].text);
  obs_recent_fini(&m->forms);
  obs_recent_fini(&m->frames);
  free(m->clusters);
  free(m);
}
