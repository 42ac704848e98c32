#include "cluster/miner.h"

#include "cluster/recent.h"

#include <stdlib.h>
#include <strings.h>

/* CONSTANT_WORDS: of a frame, at least so many words stay. FRAME_WORDS: so many different words in one place are
 * values.
 */
enum { CLUSTERS = 4096, CONSTANT_WORDS = 2, FRAME_WORDS = 4 };

typedef struct {
  uint32_t words[FRAME_WORDS - 1]; /* hashes */
  obs_miner_ref clusters[FRAME_WORDS - 1];
  uint32_t n;
  bool open; /* its word is a value */
} frame;

typedef struct {
  uint64_t id;
  uint32_t tenant;
  uint32_t merged_into;  /* NONE: it stands for itself */
  uint32_t newer, older; /* by last use; NONE at the ends */
  uint32_t rank;         /* while loading: its place in that order */
  char *text;
  uint32_t len;
} cluster;

struct obs_miner {
  cluster *clusters;
  uint32_t capacity, used, newest, oldest;
  obs_recent forms;  /* of obs_miner_ref */
  obs_recent frames; /* of `frame` */
  void (*merged)(void *arg, uint64_t to, uint64_t from);
  void *merged_arg;
};

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

static uint64_t hash_sum(size_t n, uint64_t sum) {
  return mix(mix(OBS_MINER_VERSION + 0x9E3779B97F4A7C15u, n), sum);
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

static uint32_t create(obs_miner *m, uint64_t id, const obs_mask_token *t, size_t n) {
  bool fresh = m->used < m->capacity;
  uint32_t slot = fresh ? m->used : m->oldest;
  cluster *c = &m->clusters[slot];
  obs_buf text = {0};
  obs_mask_template(t, n, &text);
  if (text.oom) {
    obs_buf_fini(&text);
    return OBS_MINER_NONE;
  }
  free(c->text);
  c->text = text.p;
  c->len = (uint32_t)text.len;
  if (fresh)
    m->used++;
  else
    unlink_cluster(m, slot);
  c->id = id;
  c->tenant++;
  c->merged_into = OBS_MINER_NONE;
  link_newest(m, slot);
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
  if (m->merged != NULL) m->merged(m->merged_arg, m->clusters[to].id, m->clusters[from].id);
}

/* ---- learning ---- */

typedef struct {
  obs_miner *m;
  const void *(*frame_of)(obs_recent *frames, uint64_t key);
  obs_mask_token *t;
  size_t n;
  uint64_t sum;       /* of its words */
  uint32_t constants; /* words that are no values */
  obs_miner_ref peers[FRAME_WORDS];
  uint32_t npeers; /* clusters that turned out to be this one */
} lesson;

/* The message's tokens are what they are now. */
static uint64_t look_again(lesson *l) {
  l->sum = sum_words(l->t, l->n);
  l->constants = 0;
  for (size_t i = 0; i < l->n; i++) l->constants += l->t[i].word && !l->t[i].value;
  return hash_sum(l->n, l->sum);
}

/* Of the frame with the word at `p` open. */
static uint64_t hash_frame(const lesson *l, size_t p) {
  uint64_t word = word_in_place(p, ((uint64_t)l->t[p].hash << 1) | 1);
  return hash_sum(l->n, l->sum - word + word_in_place(p, 0));
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
  f->open = was_open || l->t[p].value || f->n == FRAME_WORDS - 1;
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

static uint32_t known(obs_miner *m, uint64_t form) {
  const obs_miner_ref *r = obs_recent_get(&m->forms, form);
  return r != NULL ? obs_miner_find(m, *r) : OBS_MINER_NONE;
}

static void remember(obs_miner *m, uint64_t form, uint32_t slot) {
  obs_miner_ref *r = obs_recent_put(&m->forms, form);
  *r = ref_of(m, slot);
}

static void join_peers(lesson *l, uint32_t slot) {
  for (uint32_t i = 0; i < l->npeers; i++) {
    uint32_t peer = obs_miner_find(l->m, l->peers[i]);
    if (peer != OBS_MINER_NONE) merge(l->m, slot, peer);
  }
  l->npeers = 0;
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
      join_peers(l, slot);
      for (p = 0; p < l->n; p++) { /* the new form enters all its frames, until one opens */
        if (may_open(l, p) && enter_word(l, p, slot)) break;
      }
      if (p < l->n) l->peers[l->npeers++] = ref_of(m, slot);
    }
    if (p == l->n) {
      join_peers(l, slot);
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

obs_miner_ref obs_miner_add(obs_miner *m, obs_str message) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  size_t n = obs_mask(message, tokens);
  uint64_t form = hash_sum(n, sum_words(tokens, n));
  uint32_t slot = known(m, form);
  if (slot == OBS_MINER_NONE) {
    lesson l = {.m = m, .frame_of = use_frame, .t = tokens, .n = n};
    slot = learn(&l, form);
  }
  if (slot == OBS_MINER_NONE) return (obs_miner_ref){OBS_MINER_NONE, 0};
  touch(m, slot);
  return ref_of(m, slot);
}

uint32_t obs_miner_peek(obs_miner *m, obs_str message) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  lesson l = {.m = m, .frame_of = look_at_frame, .t = tokens};
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

/* ---- the checkpoint ---- */

/* What the miner has learned as bytes (base/pack.h):
 *
 *   miner    clusters_max forms_max used { cluster, the least recently used first } forms frames
 *   cluster  slot id tenant 1 + merged_into (0: not merged) template
 *   forms    two generations of { hash, ref }, 0      frames  two of { hash, open n { word, ref } }, 0
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

static void put_frame(obs_buf *out, const void *value) {
  const frame *f = value;
  obs_pack_u64(out, f->open);
  obs_pack_u64(out, f->n);
  for (uint32_t i = 0; i < f->n; i++) {
    obs_pack_u64(out, f->words[i]);
    put_ref(out, f->clusters[i]);
  }
}

void obs_miner_save(const obs_miner *m, obs_buf *out) {
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
  }
  obs_recent_save(&m->forms, out, put_form);
  obs_recent_save(&m->frames, out, put_frame);
}

static bool get_ref(const obs_miner *m, obs_pack_reader *in, obs_miner_ref *r) {
  r->slot = (uint32_t)obs_pack_read_u64(in, m->used) - 1;
  r->tenant = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  return !in->bad && r->slot < m->used;
}

static bool get_form(void *arg, obs_pack_reader *in, void *value) {
  return get_ref(arg, in, value);
}

static bool get_frame(void *arg, obs_pack_reader *in, void *value) {
  frame *f = value;
  f->open = obs_pack_read_u64(in, 1) != 0;
  f->n = (uint32_t)obs_pack_read_u64(in, FRAME_WORDS - 1);
  for (uint32_t i = 0; i < f->n; i++) {
    f->words[i] = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
    if (!get_ref(arg, in, &f->clusters[i])) return false;
  }
  return !in->bad;
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
  link_newest(m, slot);
  return true;
}

bool obs_miner_load(obs_miner *m, obs_pack_reader *in) {
  if (obs_pack_read_u64(in, UINT32_MAX) != m->capacity || obs_pack_read_u64(in, UINT32_MAX) != m->forms.capacity)
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
  return !in->bad && obs_recent_load(&m->forms, in, get_form, m) && obs_recent_load(&m->frames, in, get_frame, m);
}
