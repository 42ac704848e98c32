#include "state/ring.h"

#include "base/json.h"

#include <stdlib.h>

enum { FIRST_TEXT = 64 << 10, DIGEST_KEEP = 4 << 10, BY_SOURCE_BYTES = 900 << 10 };

observer_err obs_ring_init(obs_ring *r, uint32_t rows, uint32_t text_bytes) {
  *r = (obs_ring){.cap = rows, .text_max = text_bytes};
  if (obs_names_init(&r->sources, rows, OBS_RING_NAME_BYTES) != OBSERVER_E_OK) return OBSERVER_E_NOMEM;
  r->rows = calloc(rows, sizeof *r->rows);
  return r->rows ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

void obs_ring_fini(obs_ring *r) {
  for (uint32_t i = 0; i < OBS_RING_DIGESTS; i++) obs_buf_fini(&r->digests[i].text);
  for (int i = 0; i < 2; i++) obs_buf_fini(&r->stats[i].text);
  obs_names_fini(&r->sources);
  free(r->rows);
  free(r->text);
  *r = (obs_ring){0};
}

/* Copies into an arena, in two pieces where it wraps. */
static void text_put(char *text, uint32_t cap, uint64_t pos, const char *from, uint32_t len) {
  uint32_t at = (uint32_t)(pos % cap), first = len < cap - at ? len : cap - at;
  memcpy(text + at, from, first);
  memcpy(text, from + first, len - first);
}

/* Room for `need` bytes in all, by doubling, up to text_max. When there is no memory the arena stays as it is and old
 * rows lose their text earlier. */
static void text_grow(obs_ring *r, uint64_t need) {
  uint64_t cap = r->text_cap ? r->text_cap : FIRST_TEXT;
  while (cap < need && cap < r->text_max) cap *= 2;
  if (cap > r->text_max) cap = r->text_max;
  if (cap <= r->text_cap) return;
  char *text = malloc(cap);
  if (!text) return;
  for (uint64_t pos = r->floor; r->text_cap > 0 && pos < r->head;) {
    uint32_t at = (uint32_t)(pos % r->text_cap), len = r->text_cap - at;
    if (len > r->head - pos) len = (uint32_t)(r->head - pos);
    text_put(text, (uint32_t)cap, pos, r->text + at, len);
    pos += len;
  }
  free(r->text);
  r->text = text;
  r->text_cap = (uint32_t)cap;
}

/* Puts a text at the head; what it displaces is gone. */
static void text_append(obs_ring *r, obs_str line) {
  if (line.len == 0) return;
  uint64_t end = r->head + line.len;
  if (line.p && end - r->floor > r->text_cap && r->text_cap < r->text_max) {
    /* The oldest row may just have gone, and its text with it: the arena grows only for what rows still have. */
    uint64_t oldest = r->count ? obs_ring_row_at(r, r->count - 1)->text : r->head;
    if (oldest > r->floor) r->floor = oldest;
    if (end - r->floor > r->text_cap) text_grow(r, end - r->floor);
  }
  if (line.p && line.len <= r->text_cap) {
    text_put(r->text, r->text_cap, r->head, line.p, line.len);
    if (end - r->floor > r->text_cap) r->floor = end - r->text_cap;
  } else { /* it has no room at all, or is not wanted: nor has what is older, as texts go from the oldest on */
    r->floor = end;
  }
  r->head = end;
}

void obs_ring_text(const obs_ring *r, const obs_ring_row *row, obs_buf *out) {
  if (row->len == 0) return;
  uint32_t at = (uint32_t)(row->text % r->text_cap), first = row->len < r->text_cap - at ? row->len : r->text_cap - at;
  obs_buf_append(out, r->text + at, first);
  obs_buf_append(out, r->text, row->len - first);
}

/* What /stats shows of a scenario op. */
static const struct {
  const char *name;
  uint32_t bit;
  size_t offset; /* of the text in an op */
} digest_parts[4] = {{"ts", OBS_BIT(OBS_F_timestamp), offsetof(obs_op, timestamp)},
                     {"staffer", OBS_BIT(OBS_F_staffer_id), offsetof(obs_op, staffer_id)},
                     {"kind", OBS_BIT(OBS_F_event_kind), offsetof(obs_op, event_kind)},
                     {"role", OBS_BIT(OBS_F_role), offsetof(obs_op, role)}};

/* Copies it: the row may lose its text, and the op itself is the batch's. */
static void add_digest(obs_ring *r, const obs_op *op) {
  obs_ring_digest *d = &r->digests[r->next_digest];
  r->next_digest = (r->next_digest + 1) % OBS_RING_DIGESTS;
  obs_buf_reset(&d->text, DIGEST_KEEP);
  d->nth = r->pushed;
  d->ok = op->success;
  d->present = op->present;
  for (int i = 0; i < 4; i++) {
    const obs_str *part = (const obs_str *)((const char *)op + digest_parts[i].offset);
    d->len[i] = op->present & digest_parts[i].bit ? part->len : 0;
    if (d->len[i] > 0) obs_buf_append(&d->text, part->p, d->len[i]);
  }
  if (d->text.oom) d->nth = 0; /* not shown */
}

void obs_ring_push(obs_ring *r, const obs_op *op, uint64_t seq, obs_str line, bool digest) {
  obs_ring_row *row = &r->rows[r->next];
  if (r->count == r->cap) { /* the oldest one's place: what it counted is taken off */
    obs_name *gone = &r->sources.names[row->source];
    r->successes -= row->success;
    if (--gone->refs == 0 && row->source != OBS_NAME_OTHER) obs_names_remove(&r->sources, row->source);
    r->count--;
  }
  /* Rows of older observers may lack a source; those were the gateway's. */
  obs_str name = OBS_HAS(op, source) ? op->source : OBS_STR("mcp");
  uint32_t source = obs_names_intern(&r->sources, name);
  r->sources.names[source].refs++;
  uint64_t text = r->head;
  text_append(r, line);
  *row = (obs_ring_row){.seq = seq,
                        .received_ms = op->received_ms,
                        .skew_ms = op->skew_ms,
                        .text = text,
                        .len = line.len,
                        .source = source,
                        .success = op->success};
  r->successes += op->success;
  r->next = r->next + 1 == r->cap ? 0 : r->next + 1;
  r->count++;
  r->pushed++;
  if (digest) add_digest(r, op);
}

uint64_t obs_ring_of_source(obs_ring *r, obs_str source) {
  uint32_t id = obs_names_find(&r->sources, source);
  return id == UINT32_MAX ? 0 : r->sources.names[id].refs;
}

static void put_digest(obs_json_writer *w, const obs_ring_digest *d, bool omit_unset) {
  const char *p = d->text.p != NULL ? d->text.p : "";
  obs_json_object(w, NULL);
  for (int i = 0; i < 4; p += d->len[i++]) { /* the time is always shown */
    char room[OBS_NAMES_SHOWN + 1];
    if (i == 0 || (d->present & digest_parts[i].bit) || !omit_unset)
      obs_json_text(w, digest_parts[i].name, obs_names_shown((obs_str){p, d->len[i], 0}, room));
    if (i == 0) obs_json_bool(w, "ok", d->ok);
  }
  obs_json_end(w);
}

/* Beyond BY_SOURCE_BYTES, which many sources with names of control characters reach, the rest counts as other. */
static void put_sources(obs_json_writer *w, obs_ring *r) {
  size_t start = w->out->len;
  uint64_t other = r->sources.names[OBS_NAME_OTHER].refs;
  const uint32_t *ids = obs_names_sorted(&r->sources);
  obs_json_object(w, "by_source");
  for (uint32_t i = 0; i < r->sources.used; i++) {
    char room[OBS_NAMES_SHOWN + 1];
    uint64_t rows = r->sources.names[ids[i]].refs;
    if (rows == 0 || ids[i] == OBS_NAME_OTHER) continue;
    if (w->out->len - start > BY_SOURCE_BYTES) {
      other += rows;
      continue;
    }
    obs_json_key(w, obs_names_shown(obs_names_text(&r->sources, ids[i]), room));
    obs_json_u64(w, NULL, rows);
  }
  if (other > 0) obs_json_u64(w, OBS_NAMES_OTHER, other);
  obs_json_end(w);
}

static void write_stats(obs_ring *r, bool omit_unset, obs_buf *out) {
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "total", r->count);
  obs_json_u64(&w, "successes", r->successes);
  obs_json_u64(&w, "failures", r->count - r->successes);
  put_sources(&w, r);
  obs_json_array(&w, "recent_scenario_ops");
  for (uint32_t i = 0; i < OBS_RING_DIGESTS; i++) {
    const obs_ring_digest *d = &r->digests[(r->next_digest + i) % OBS_RING_DIGESTS];
    /* As long as its row is in the ring. */
    if (d->nth > 0 && d->nth + r->count > r->pushed) put_digest(&w, d, omit_unset);
  }
  obs_json_end(&w);
  obs_json_end(&w);
}

/* Many ask again before another op has come: they get the same text. */
void obs_ring_stats_json(obs_ring *r, bool omit_unset, obs_buf *out) {
  obs_buf *text = &r->stats[omit_unset].text;
  if (text->len == 0 || r->stats[omit_unset].pushed != r->pushed) {
    obs_buf_reset(text, SIZE_MAX);
    write_stats(r, omit_unset, text);
    r->stats[omit_unset].pushed = r->pushed;
  }
  obs_buf_append(out, text->p, text->len);
  if (!text->oom) return;
  out->oom = true;
  obs_buf_fini(text);
}
