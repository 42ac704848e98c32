/* States that saw parts of the ops become one. */
#include "state/internal.h"

/* `s` and `from` are of one clock, the later one: what the earlier one has is rolled to it. A step back of a clock that
 * was set right is no such thing here: the windows of both stay. */
static void merge_clock(obs_totals *t, obs_totals *from) {
  if (from->clock > t->clock) t->clock = from->clock;
  if (from->since < t->since) t->since = from->since;
}

static void merge_keys(obs_totals *t, obs_totals_keys *k, obs_totals_keys *from) {
  for (uint32_t id = 0; id < from->names.ids; id++) {
    obs_series *se = from->names.names[id].p != NULL ? obs_totals_key_at(from, id) : NULL;
    if (se == NULL || obs_series_count(se) == 0) continue;
    obs_series *to = obs_totals_key(k, obs_names_text(&from->names, id), t->clock / OBS_TICK_MS);
    if (id != OBS_NAME_OTHER && to == k->series[OBS_NAME_OTHER]) t->overflow += obs_series_count(se);
    obs_series_merge(to, &t->pool, se);
  }
}

void obs_state_merge(obs_state *s, obs_state *from) {
  obs_totals *t = &s->totals, *f = &from->totals;
  obs_state_lock(s);
  merge_clock(t, f);
  obs_series_merge(&t->all, &t->pool, &f->all);
  merge_keys(t, &t->sources, &f->sources);
  merge_keys(t, &t->endpoints, &f->endpoints);
  t->overflow += f->overflow;
  t->overflow_sources += f->overflow_sources;
  t->overflow_endpoints += f->overflow_endpoints;
  t->pool.refused += f->pool.refused;
  if (f->last_seq > t->last_seq) t->last_seq = f->last_seq;
  obs_state_unlock(s);
}

/* The op that `/stats` needs of a row. */
static obs_op op_of(const obs_newest *x, const obs_newest_row *r, const obs_newest_digest *d) {
  obs_op op = {.received_ms = r->received_ms, .success = r->success, .present = OBS_BIT(OBS_F_source)};
  op.source = obs_names_text(&x->sources, r->source);
  if (d == NULL) return op;
  static const obs_op_field fields[OBS_NEWEST_TEXTS] = {OBS_F_timestamp, OBS_F_staffer_id, OBS_F_event_kind,
                                                        OBS_F_role};
  obs_str *texts[OBS_NEWEST_TEXTS] = {&op.timestamp, &op.staffer_id, &op.event_kind, &op.role};
  for (int i = 0; i < OBS_NEWEST_TEXTS; i++) {
    if (!d->has[i]) continue;
    *texts[i] = (obs_str){d->text[i], d->len[i], 0};
    op.present |= OBS_BIT(fields[i]);
  }
  return op;
}

void obs_state_put_newest(obs_state *s, obs_newest *x) {
  obs_newest_settle(x);
  uint32_t next = 0; /* digest; they are in the order of the rows */
  obs_state_lock(s);
  for (uint32_t i = 0; i < x->n; i++) {
    const obs_newest_row *r = &x->rows[i];
    while (next < x->ndigests && x->digests[next].seq != r->seq && x->digests[next].received_ms < r->received_ms)
      next++; /* of a row that is too old */
    bool scenario = next < x->ndigests && x->digests[next].seq == r->seq;
    obs_op op = op_of(x, r, scenario ? &x->digests[next++] : NULL);
    obs_ring_push(&s->ring, &op, r->seq, OBS_STR(""), scenario);
  }
  obs_state_unlock(s);
}
