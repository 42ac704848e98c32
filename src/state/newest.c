#include "state/newest.h"

#include "base/utf8.h"

#include <stdlib.h>

#define MS_MAX (INT64_C(1) << 53)

observer_err obs_newest_init(obs_newest *x, uint32_t keep) {
  *x = (obs_newest){.keep = keep, .sorted = true, .floor_ms = INT64_MIN};
  if (keep == 0 || keep > OBS_NEWEST_MAX) return OBSERVER_E_INVALID;
  uint32_t max = keep + OBS_NEWEST_SLACK;
  if (obs_names_init(&x->sources, max, (size_t)max * OBS_NAMES_SHOWN) != OBSERVER_E_OK) return OBSERVER_E_NOMEM;
  x->rows = calloc(max, sizeof *x->rows);
  return x->rows != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

void obs_newest_fini(obs_newest *x) {
  obs_names_fini(&x->sources);
  free(x->rows);
  *x = (obs_newest){0};
}

static int by_age(int64_t a_ms, uint64_t a_seq, int64_t b_ms, uint64_t b_seq) {
  if (a_ms != b_ms) return a_ms < b_ms ? -1 : 1;
  return (a_seq > b_seq) - (a_seq < b_seq);
}

static int oldest_first(const void *a, const void *b) {
  const obs_newest_row *x = a, *y = b;
  return by_age(x->received_ms, x->seq, y->received_ms, y->seq);
}

void obs_newest_settle(obs_newest *x) {
  if (!x->sorted) qsort(x->rows, x->n, sizeof *x->rows, oldest_first);
  x->sorted = true;
  if (x->n < x->keep) return;
  uint32_t gone = x->n - x->keep;
  for (uint32_t i = 0; i < gone; i++) {
    uint32_t source = x->rows[i].source;
    if (--x->sources.names[source].refs == 0 && source != OBS_NAME_OTHER) obs_names_remove(&x->sources, source);
  }
  memmove(x->rows, x->rows + gone, x->keep * sizeof *x->rows);
  x->n = x->keep;
  x->floor_ms = x->rows[0].received_ms;
}

static void add_row(obs_newest *x, int64_t received_ms, uint64_t seq, obs_str source, bool success) {
  if (received_ms < x->floor_ms) return;
  if (x->n == x->keep + OBS_NEWEST_SLACK) obs_newest_settle(x);
  obs_newest_row *row = &x->rows[x->n];
  uint32_t id = obs_names_intern(&x->sources, source);
  *row = (obs_newest_row){received_ms, seq, id, success};
  x->sources.names[id].refs++;
  if (x->n > 0 && x->sorted) x->sorted = oldest_first(row - 1, row) <= 0;
  x->n++;
}

static void add_digest(obs_newest *x, const obs_newest_digest *d) {
  uint32_t at = x->ndigests;
  while (at > 0 && by_age(x->digests[at - 1].received_ms, x->digests[at - 1].seq, d->received_ms, d->seq) > 0) at--;
  if (x->ndigests < OBS_NEWEST_DIGESTS) {
    memmove(&x->digests[at + 1], &x->digests[at], (x->ndigests++ - at) * sizeof *d);
  } else if (at == 0) {
    return;
  } else { /* the oldest makes room */
    memmove(&x->digests[0], &x->digests[1], --at * sizeof *d);
  }
  x->digests[at] = *d;
}

static void set_text(obs_newest_digest *d, int i, bool has, obs_str s) {
  char room[OBS_NAMES_SHOWN + 1];
  d->has[i] = has;
  if (!has) return;
  obs_str shown = obs_names_shown(s, room);
  d->len[i] = (uint8_t)shown.len;
  if (shown.len > 0) memcpy(d->text[i], shown.p, shown.len);
}

void obs_newest_add(obs_newest *x, const obs_op *op, uint64_t seq) {
  char room[OBS_NAMES_SHOWN + 1];
  /* Rows of older observers may lack a source; those were the gateway's. */
  obs_str source = OBS_HAS(op, source) ? op->source : OBS_STR("mcp");
  add_row(x, op->received_ms, seq, obs_names_shown(source, room), op->success);
  if (!obs_str_is(source, "scenario")) return;
  obs_newest_digest d = {.received_ms = op->received_ms, .seq = seq, .success = op->success};
  set_text(&d, 0, OBS_HAS(op, timestamp), op->timestamp);
  set_text(&d, 1, OBS_HAS(op, staffer_id), op->staffer_id);
  set_text(&d, 2, OBS_HAS(op, event_kind), op->event_kind);
  set_text(&d, 3, OBS_HAS(op, role), op->role);
  add_digest(x, &d);
}

void obs_newest_merge(obs_newest *x, obs_newest *from) {
  obs_newest_settle(from);
  for (uint32_t i = 0; i < from->n; i++) {
    const obs_newest_row *r = &from->rows[i];
    add_row(x, r->received_ms, r->seq, obs_names_text(&from->sources, r->source), r->success);
  }
  for (uint32_t i = 0; i < from->ndigests; i++) add_digest(x, &from->digests[i]);
}

/* ---- as bytes ---- */

static void save_sources(const obs_newest *x, obs_buf *out, uint32_t *number) {
  uint32_t n = 0;
  for (uint32_t id = 0; id < x->sources.ids; id++) {
    if (x->sources.names[id].p == NULL || x->sources.names[id].refs == 0) continue;
    number[id] = n++;
    obs_pack_u64(out, 1 + (uint64_t)x->sources.names[id].len);
    obs_buf_append(out, x->sources.names[id].p, x->sources.names[id].len);
  }
  obs_pack_u64(out, 0);
}

void obs_newest_save(obs_newest *x, obs_buf *out) {
  obs_newest_settle(x);
  uint32_t *number = calloc(x->sources.ids, sizeof *number);
  if (number == NULL) {
    out->oom = true;
    return;
  }
  obs_pack_u64(out, x->keep);
  save_sources(x, out, number);
  obs_pack_u64(out, x->n);
  int64_t ms = 0;
  uint64_t seq = 0;
  for (uint32_t i = 0; i < x->n; i++) {
    const obs_newest_row *r = &x->rows[i];
    obs_pack_i64(out, r->received_ms - ms);
    obs_pack_i64(out, (int64_t)(r->seq - seq));
    obs_pack_u64(out, (uint64_t)number[r->source] << 1 | r->success);
    ms = r->received_ms;
    seq = r->seq;
  }
  free(number);
  obs_pack_u64(out, x->ndigests);
  for (uint32_t i = 0; i < x->ndigests; i++) {
    const obs_newest_digest *d = &x->digests[i];
    obs_pack_i64(out, d->received_ms);
    obs_pack_u64(out, d->seq);
    obs_pack_u64(out, d->success);
    for (int k = 0; k < OBS_NEWEST_TEXTS; k++) {
      obs_pack_u64(out, d->has[k]);
      if (d->has[k]) obs_pack_str(out, (obs_str){d->text[k], d->len[k], 0});
    }
  }
}

/* Views of what is read; returns how many, at most `max`. */
static uint32_t load_sources(obs_pack_reader *in, obs_str *names, uint32_t max) {
  uint32_t n = 0;
  for (uint64_t len; (len = obs_pack_read_u64(in, 1 + OBS_NAMES_SHOWN)) != 0; n++) {
    size_t left = (size_t)(in->end - in->p);
    if (n == max || --len > left || !obs_utf8_valid((const char *)in->p, len)) {
      in->bad = true;
      return n;
    }
    names[n] = (obs_str){(const char *)in->p, (uint32_t)len, 0};
    in->p += len;
  }
  return n;
}

static void load_digest(obs_newest *x, obs_pack_reader *in) {
  obs_newest_digest d = {.received_ms = obs_pack_read_i64(in, MS_MAX), .seq = obs_pack_read_u64(in, UINT64_MAX)};
  d.success = obs_pack_read_u64(in, 1) != 0;
  for (int k = 0; k < OBS_NEWEST_TEXTS; k++)
    if (obs_pack_read_u64(in, 1) != 0) set_text(&d, k, true, obs_pack_read_str(in, OBS_NAMES_SHOWN));
  if (!in->bad) add_digest(x, &d);
}

void obs_newest_load(obs_newest *x, obs_pack_reader *in) {
  uint32_t keep = (uint32_t)obs_pack_read_u64(in, OBS_NEWEST_MAX);
  size_t max = (size_t)(in->end - in->p) < keep ? (size_t)(in->end - in->p) : keep; /* a name has a byte at least */
  obs_str *names = calloc(max + 1, sizeof *names);
  if (names == NULL) in->bad = true;
  uint32_t nnames = in->bad ? 0 : load_sources(in, names, (uint32_t)max);
  uint32_t n = (uint32_t)obs_pack_read_u64(in, keep);
  int64_t ms = 0;
  uint64_t seq = 0;
  for (uint32_t i = 0; i < n && !in->bad; i++) {
    ms += obs_pack_read_i64(in, MS_MAX); /* below 2^53 before and after: it does not overflow */
    seq += (uint64_t)obs_pack_read_i64(in, INT64_MAX);
    uint64_t bits = obs_pack_read_u64(in, 2 * (uint64_t)keep + 1);
    if (ms < -MS_MAX || ms > MS_MAX || bits >> 1 >= nnames) in->bad = true;
    if (!in->bad) add_row(x, ms, seq, names[bits >> 1], (bits & 1) != 0);
  }
  uint32_t ndigests = (uint32_t)obs_pack_read_u64(in, OBS_NEWEST_DIGESTS);
  for (uint32_t i = 0; i < ndigests && !in->bad; i++) load_digest(x, in);
  free(names);
}
