/* What the miner has learned as bytes (base/pack.h):
 *
 *   miner    clusters_max forms_max births used { cluster, the least recently used first } forms frames
 *   cluster  slot id born tenant 1 + merged_into (0: not merged) template
 *   forms    two generations of { hash, ref }, 0      frames  two of { hash, open n { word, ref } }, 0
 *   ref      1 + slot tenant
 *
 * Templates are bytes, not text: a message may have been cut in the middle of a character. */
#include "cluster/miner_impl.h"

#include <stdlib.h>

enum { TEMPLATE_MAX = OBS_MASK_BYTES + 4 * OBS_MASK_TOKENS };

static void put_ref(obs_buf *out, obs_miner_ref r) {
  obs_pack_u64(out, (uint64_t)r.slot + 1);
  obs_pack_u64(out, r.tenant);
}

static void put_form(obs_buf *out, const void *value) {
  put_ref(out, *(const obs_miner_ref *)value);
}

static void put_frame(obs_buf *out, const void *value) {
  const obs_miner_frame *f = value;
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
  obs_pack_u64(out, m->births);
  obs_pack_u64(out, m->used);
  for (uint32_t slot = m->oldest; slot != OBS_MINER_NONE; slot = m->clusters[slot].newer) {
    const obs_miner_cluster *c = &m->clusters[slot];
    obs_pack_u64(out, slot);
    obs_pack_id(out, c->id);
    obs_pack_u64(out, c->born);
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
  obs_miner_frame *f = value;
  f->open = obs_pack_read_u64(in, 1) != 0;
  f->n = (uint32_t)obs_pack_read_u64(in, OBS_MINER_FRAME_WORDS - 1);
  for (uint32_t i = 0; i < f->n; i++) {
    f->words[i] = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
    if (!get_ref(arg, in, &f->clusters[i])) return false;
  }
  return !in->bad;
}

static bool get_template(obs_pack_reader *in, obs_miner_cluster *c) {
  uint32_t len = (uint32_t)obs_pack_read_u64(in, TEMPLATE_MAX);
  if (in->bad || len > (size_t)(in->end - in->p)) return false;
  c->text = malloc((size_t)len + 1);
  if (c->text == NULL) return false;
  memcpy(c->text, in->p, len);
  c->len = len;
  in->p += len;
  return true;
}

/* One cluster; it must be of a slot that has none yet. */
static bool get_cluster(obs_miner *m, obs_pack_reader *in) {
  uint32_t slot = (uint32_t)obs_pack_read_u64(in, m->used - 1);
  obs_miner_cluster *c = &m->clusters[slot];
  if (in->bad || c->text != NULL) return false;
  c->id = obs_pack_read_id(in);
  c->born = obs_pack_read_u64(in, m->births);
  c->tenant = (uint32_t)obs_pack_read_u64(in, UINT32_MAX);
  uint64_t into = obs_pack_read_u64(in, m->used);
  c->merged_into = into > 0 ? (uint32_t)into - 1 : OBS_MINER_NONE;
  if (!get_template(in, c)) return false;
  obs_miner_link_newest(m, slot);
  return true;
}

/* What was merged is younger than what it was merged into, so following it ends. */
static bool merges_end(const obs_miner *m) {
  for (uint32_t i = 0; i < m->used; i++) {
    uint32_t into = m->clusters[i].merged_into;
    if (into != OBS_MINER_NONE && m->clusters[into].born >= m->clusters[i].born) return false;
  }
  return true;
}

bool obs_miner_load(obs_miner *m, obs_pack_reader *in) {
  if (obs_pack_read_u64(in, UINT32_MAX) != m->capacity || obs_pack_read_u64(in, UINT32_MAX) != m->forms.capacity)
    return false;
  m->births = obs_pack_read_u64(in, UINT64_MAX);
  m->used = (uint32_t)obs_pack_read_u64(in, m->capacity);
  for (uint32_t i = 0; i < m->used; i++) {
    if (!get_cluster(m, in)) return false;
  }
  return !in->bad && merges_end(m) && obs_recent_load(&m->forms, in, get_form, m) &&
         obs_recent_load(&m->frames, in, get_frame, m);
}
