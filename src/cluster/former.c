#include "cluster/former.h"

#include "cluster/former_rule.h"

#include <stdlib.h>

void obs_former_fini(obs_former *f) {
  obs_aliases_fini(&f->by_sig);
  obs_aliases_fini(&f->by_text);
  obs_former_end(f);
}

static bool make(obs_aliases *a) {
  if (a->max > 0) return true;
  if (obs_aliases_init(a, OBS_FORMER)) return true;
  obs_aliases_fini(a);
  return false;
}

/* Whether one more form of the scope and kind is noted. */
static bool is_early_form(obs_former *f, uint64_t scope, uint64_t kind) {
  uint64_t key = obs_former_rule_mix(scope, kind);
  uint32_t n = 0;
  bool known = obs_map_get(&f->forms, key, &n);
  if (n >= OBS_FORMER_FORMS || (!known && f->forms.n >= OBS_FORMER_SCOPES)) return false;
  return obs_map_put(&f->forms, key, n + 1);
}

void obs_former_await(obs_former *f, uint64_t seq, uint64_t id) {
  obs_former_awaited *x = f->awaited.n < OBS_FORMER ? OBS_VEC_PUSH(&f->awaited) : NULL;
  if (x != NULL) *x = (obs_former_awaited){seq, id};
}

static int by_seq(const void *a, const void *b) {
  const obs_former_awaited *x = a, *y = b;
  return (x->seq > y->seq) - (x->seq < y->seq);
}

void obs_former_await_end(obs_former *f) {
  if (f->awaited.n > 0) qsort(f->awaited.at, f->awaited.n, sizeof(f->awaited.at[0]), by_seq);
}

static void note_awaited(obs_former *f, uint64_t seq, uint64_t kind) {
  for (; f->next < f->awaited.n && f->awaited.at[f->next].seq <= seq; f->next++) {
    const obs_former_awaited *x = &f->awaited.at[f->next];
    if (x->seq == seq && make(&f->by_text)) obs_aliases_put(&f->by_text, x->id, kind);
  }
}

void obs_former_note(obs_former *f, const obs_op *op, uint64_t seq, uint64_t kind) {
  note_awaited(f, seq, kind);
  if (OBS_HAS(op, sig_hash) && op->sig_hash.len > 0) {
    uint64_t id = obs_former_rule_sig(op->sig_hash);
    if (make(&f->by_sig) && !obs_aliases_renew(&f->by_sig, id)) obs_aliases_put(&f->by_sig, id, kind);
    return;
  }
  uint64_t scope = obs_former_rule_scope(op), id = obs_former_rule_form(op, scope);
  if (make(&f->by_text) && !obs_aliases_renew(&f->by_text, id) && is_early_form(f, scope, kind))
    obs_aliases_put(&f->by_text, id, kind);
}

void obs_former_end(obs_former *f) {
  obs_map_fini(&f->forms);
  OBS_VEC_FINI(&f->awaited);
  f->next = 0;
}

bool obs_former_get(const obs_former *f, uint64_t id, uint64_t *kind) {
  return obs_aliases_get(&f->by_sig, id, kind) || obs_aliases_get(&f->by_text, id, kind);
}

void obs_former_retarget(obs_former *f, uint64_t was, uint64_t is) {
  obs_aliases_retarget(&f->by_sig, was, is);
  obs_aliases_retarget(&f->by_text, was, is);
}

/*   former  for sig_hashes and for texts: 0 (none), or 1 and the aliases */
void obs_former_save(const obs_former *f, obs_buf *out) {
  const obs_aliases *both[] = {&f->by_sig, &f->by_text};
  for (int i = 0; i < 2; i++) {
    obs_pack_u64(out, both[i]->max > 0);
    if (both[i]->max > 0) obs_aliases_save(both[i], out);
  }
}

void obs_former_load(obs_former *f, obs_pack_reader *in) {
  obs_aliases *both[] = {&f->by_sig, &f->by_text};
  for (int i = 0; i < 2; i++) {
    if (obs_pack_read_u64(in, 1) == 0) continue;
    if (!make(both[i])) in->bad = true;
    if (!in->bad) obs_aliases_load(both[i], in);
  }
}
