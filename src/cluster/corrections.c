#include "cluster/corrections.h"

#include "base/utf8.h"

#include <stdlib.h>

void obs_corrections_fini(obs_corrections *c) {
  for (uint32_t i = 0; i < OBS_CORRECTIONS; i++) free(c->ring[i].text);
  *c = (obs_corrections){0};
}

static void set_bits(obs_corrections *c) {
  c->bits = 0;
  for (uint32_t i = 0; i < c->nopen; i++) c->bits |= UINT64_C(1) << (c->keys[i] & 63);
}

static void end(obs_corrections *c, uint32_t i) {
  c->nopen--;
  memmove(&c->open[i], &c->open[i + 1], (c->nopen - i) * sizeof(c->open[0]));
  memmove(&c->keys[i], &c->keys[i + 1], (c->nopen - i) * sizeof(c->keys[0]));
  set_bits(c);
}

/* nopen when there is none. Every recorded op asks: the bits answer for nearly all of them. */
static uint32_t find_open(const obs_corrections *c, uint64_t key) {
  if ((c->bits >> (key & 63) & 1) == 0) return c->nopen;
  uint32_t i = 0;
  while (i < c->nopen && c->keys[i] != key) i++;
  return i;
}

static void set_text(obs_correction *r, obs_str text) {
  r->len = (uint32_t)obs_utf8_cut(text.p, text.len, OBS_CORRECTION_TEXT_MAX);
  r->text = malloc((size_t)r->len + 1);
  if (r->text == NULL)
    r->len = 0;
  else if (r->len > 0)
    memcpy(r->text, text.p, r->len);
}

uint64_t obs_corrections_add(obs_corrections *c, uint64_t seq, int64_t time_ms, uint64_t key, bool by_class,
                             obs_str text) {
  obs_correction *r = &c->ring[++c->last % OBS_CORRECTIONS];
  if (c->nopen > 0 && obs_corrections_get(c, c->open[0]) == NULL)
    end(c, 0); /* its place in the ring is this one's now */
  free(r->text);
  *r = (obs_correction){.seq = seq, .key = key, .time_ms = time_ms, .by_class = by_class};
  set_text(r, text);
  /* It takes the place of the open one of its key, or else, when all are taken, of the oldest. */
  uint32_t i = find_open(c, key);
  if (i < c->nopen)
    end(c, i);
  else if (c->nopen == OBS_CORRECTIONS_OPEN)
    end(c, 0);
  c->open[c->nopen] = c->last;
  c->keys[c->nopen++] = key;
  set_bits(c);
  return c->last;
}

const obs_correction *obs_corrections_get(const obs_corrections *c, uint64_t number) {
  bool kept = number > 0 && number <= c->last && c->last - number < OBS_CORRECTIONS;
  return kept ? &c->ring[number % OBS_CORRECTIONS] : NULL;
}

void obs_corrections_note(obs_corrections *c, uint64_t key, bool success) {
  uint32_t i = find_open(c, key);
  if (i == c->nopen) return;
  obs_correction *r = &c->ring[c->open[i] % OBS_CORRECTIONS];
  if (!r->came) r->next = success;
  r->came = true;
  if (success)
    r->succeeded++;
  else
    r->failed++;
  if (r->succeeded + r->failed >= OBS_CORRECTION_NEXT) end(c, i);
}

/* ---- two that become one ---- */

/* A walk through those that are remembered, oldest first. */
static uint64_t first_of(const obs_corrections *c) {
  return c->last < OBS_CORRECTIONS ? 1 : c->last - OBS_CORRECTIONS + 1;
}

/* Moves the open ones over. */
static void keep_open(obs_corrections *c, const obs_corrections *from, const obs_corrections_numbers *numbers) {
  for (uint32_t i = 0; i < from->nopen; i++) {
    uint64_t number = obs_corrections_number(numbers, from->open[i]);
    if (number == 0) continue;
    if (c->nopen == OBS_CORRECTIONS_OPEN) end(c, 0);
    uint32_t at = c->nopen++;
    for (; at > 0 && c->open[at - 1] > number; at--) {
      c->open[at] = c->open[at - 1];
      c->keys[at] = c->keys[at - 1];
    }
    c->open[at] = number;
    c->keys[at] = from->keys[i];
  }
}

bool obs_corrections_merge(obs_corrections *c, obs_corrections *from, obs_corrections_numbers *own,
                           obs_corrections_numbers *others) {
  obs_corrections *both = calloc(1, sizeof(*both));
  if (both == NULL) return false;
  own->last = c->last;
  others->last = from->last;
  for (uint64_t a = first_of(c), b = first_of(from); a <= c->last || b <= from->last;) {
    obs_correction *x = a <= c->last ? &c->ring[a % OBS_CORRECTIONS] : NULL;
    obs_correction *y = b <= from->last ? &from->ring[b % OBS_CORRECTIONS] : NULL;
    bool is_own = y == NULL || (x != NULL && x->seq <= y->seq);
    obs_correction *place = &both->ring[++both->last % OBS_CORRECTIONS];
    free(place->text);
    *place = is_own ? *x : *y;
    if (is_own)
      own->now[a++ % OBS_CORRECTIONS] = both->last;
    else
      others->now[b++ % OBS_CORRECTIONS] = both->last;
  }
  /* Texts have gone with their entries. */
  for (uint32_t i = 0; i < OBS_CORRECTIONS; i++) {
    c->ring[i].text = from->ring[i].text = NULL;
    own->now[i] = own->now[i] + OBS_CORRECTIONS > both->last ? own->now[i] : 0;
    others->now[i] = others->now[i] + OBS_CORRECTIONS > both->last ? others->now[i] : 0;
  }
  keep_open(both, c, own);
  keep_open(both, from, others);
  set_bits(both);
  *c = *both;
  *from = (obs_corrections){0};
  free(both);
  return true;
}

void obs_corrections_save(const obs_corrections *c, obs_buf *out) {
  uint64_t n = c->last < OBS_CORRECTIONS ? c->last : OBS_CORRECTIONS;
  obs_pack_u64(out, c->last);
  for (uint64_t number = c->last - n + 1; number <= c->last; number++) {
    const obs_correction *r = &c->ring[number % OBS_CORRECTIONS];
    obs_pack_u64(out, r->seq);
    obs_pack_id(out, r->key);
    obs_pack_i64(out, r->time_ms);
    obs_pack_u64(out, (uint64_t)r->by_class << 2 | (uint64_t)r->next << 1 | r->came);
    obs_pack_u64(out, r->succeeded);
    obs_pack_u64(out, r->failed);
    obs_pack_str(out, (obs_str){r->text, r->len, 0});
  }
  obs_pack_u64(out, c->nopen);
  for (uint32_t i = 0; i < c->nopen; i++) obs_pack_u64(out, c->open[i]);
}

void obs_corrections_load(obs_corrections *c, obs_pack_reader *in) {
  c->last = obs_pack_read_u64(in, INT64_MAX); /* so that counting up to it ends */
  uint64_t n = c->last < OBS_CORRECTIONS ? c->last : OBS_CORRECTIONS;
  for (uint64_t i = 0; i < n && !in->bad; i++) {
    obs_correction *r = &c->ring[(c->last - n + 1 + i) % OBS_CORRECTIONS];
    *r = (obs_correction){.seq = obs_pack_read_u64(in, UINT64_MAX)};
    r->key = obs_pack_read_id(in);
    r->time_ms = obs_pack_read_i64(in, OBS_CLUSTER_TIME_MAX);
    uint64_t bits = obs_pack_read_u64(in, 7);
    r->by_class = (bits & 4) != 0;
    r->next = (bits & 2) != 0;
    r->came = (bits & 1) != 0;
    r->succeeded = (uint32_t)obs_pack_read_u64(in, OBS_CORRECTION_NEXT);
    r->failed = (uint32_t)obs_pack_read_u64(in, OBS_CORRECTION_NEXT);
    set_text(r, obs_pack_read_str(in, OBS_CORRECTION_TEXT_MAX));
  }
  c->nopen = (uint32_t)obs_pack_read_u64(in, OBS_CORRECTIONS_OPEN);
  for (uint32_t i = 0; i < c->nopen; i++) {
    c->open[i] = obs_pack_read_u64(in, c->last);
    const obs_correction *r = obs_corrections_get(c, c->open[i]);
    if (r == NULL) in->bad = true;
    c->keys[i] = r != NULL ? r->key : 0;
  }
  set_bits(c);
}
