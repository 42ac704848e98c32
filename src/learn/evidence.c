#include "learn/evidence.h"

#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>

/* NEAR: in the journal, wanted rows this close to each other are read in one go. */
enum { NEAR = 4096 };

/* ---- rows by seq ---- */

typedef struct {
  uint64_t seq;
  size_t at, len;
  bool found;
} wanted;

typedef struct {
  wanted *rows; /* ascending, none twice */
  uint32_t n;
  uint32_t next; /* rows[next - 1] is the one to find */
  obs_buf text;
} search;

static int by_seq(const void *a, const void *b) {
  const wanted *x = a, *y = b;
  return (x->seq > y->seq) - (x->seq < y->seq);
}

static void keep(search *s, wanted *w, const char *p, size_t len) {
  while (len > 0 && (p[len - 1] == '\n' || p[len - 1] == '\r')) len--;
  w->at = s->text.len;
  w->len = len;
  obs_buf_append(&s->text, p, len);
  w->found = !s->text.oom;
}

static bool on_ring_row(void *arg, const obs_state_row *row) {
  search *s = arg;
  wanted *w = &s->rows[s->next - 1];
  if (row->seq == w->seq) keep(s, w, row->line.p, row->line.len);
  return false;
}

static void skip_found(search *s) {
  while (s->next > 0 && s->rows[s->next - 1].found) s->next--;
}

static bool on_journal_row(void *arg, const obs_journal_row *row) {
  search *s = arg;
  uint64_t seq = row->seq;
  /* Those above this row are no more. */
  while (s->next > 0 && (s->rows[s->next - 1].found || s->rows[s->next - 1].seq > seq)) s->next--;
  if (s->next > 0 && s->rows[s->next - 1].seq == seq) {
    keep(s, &s->rows[s->next - 1], row->line, row->len);
    s->next--;
    skip_found(s);
  }
  return s->next > 0 && s->rows[s->next - 1].seq + NEAR > seq;
}

/* A scan goes back from a seq. Each one begins at the highest seq that is still wanted and goes on while the next one
 * is within NEAR rows: a seek costs about as much as reading those. */
static void look_in_journal(search *s, obs_journal *journal) {
  s->next = s->n;
  for (skip_found(s); s->next > 0; skip_found(s)) {
    uint32_t at = s->next;
    obs_journal_range range = {.before_seq = s->rows[at - 1].seq + 1, .since_ms = INT64_MIN, .until_ms = INT64_MAX};
    bool more;
    uint64_t before;
    observer_err err = obs_journal_scan(journal, &range, on_journal_row, s, &more, &before);
    if (err != OBSERVER_E_OK)
      obs_log_warn("learn", "evidence: reading op %" PRIu64 " in the journal: %s", s->rows[at - 1].seq,
                   observer_strerror(err));
    if (s->next == at) return; /* nothing that old is left, or the disk failed */
  }
}

uint32_t obs_evidence_rows(const obs_evidence *e, const uint64_t *seqs, uint32_t n, obs_evidence_row fn, void *arg) {
  search s = {.rows = calloc((size_t)n + 1, sizeof(*s.rows))};
  obs_batch row;
  uint32_t given = 0;
  if (s.rows == NULL) return 0;
  for (uint32_t i = 0; i < n; i++) s.rows[i].seq = seqs[i];
  qsort(s.rows, n, sizeof(*s.rows), by_seq);
  for (uint32_t i = 0; i < n; i++)
    if (s.rows[i].seq != 0 && (s.n == 0 || s.rows[s.n - 1].seq != s.rows[i].seq)) s.rows[s.n++] = s.rows[i];

  for (s.next = s.n; s.next > 0; s.next--)
    (void)obs_state_ring_rows(e->state, s.rows[s.next - 1].seq + 1, on_ring_row, &s);
  if (e->journal != NULL) look_in_journal(&s, e->journal);

  bool ready = obs_batch_init(&row) == OBSERVER_E_OK;
  for (uint32_t i = 0; ready && i < s.n; i++) {
    const wanted *w = &s.rows[i];
    const char *reason;
    obs_batch_reset(&row);
    if (!w->found || !obs_batch_decode_row(&row, s.text.p + w->at, w->len, &reason)) continue;
    fn(arg, w->seq, &row.ops[0], (obs_str){s.text.p + w->at, (uint32_t)w->len, 0});
    given++;
  }
  if (ready) obs_batch_fini(&row);
  obs_buf_fini(&s.text);
  free(s.rows);
  return given;
}

/* ---- the latest ---- */

typedef struct {
  obs_evidence_recent_row fn;
  void *arg;
  uint32_t left;
  obs_batch row;
} recent;

static bool on_recent_row(void *arg, const obs_state_row *row) {
  recent *r = arg;
  obs_str line = row->line;
  const char *reason;
  while (line.len > 0 && (line.p[line.len - 1] == '\n' || line.p[line.len - 1] == '\r')) line.len--;
  r->left--;
  obs_batch_reset(&r->row);
  if (!obs_batch_decode_row(&r->row, line.p, line.len, &reason)) return r->left > 0;
  obs_op *op = &r->row.ops[0];
  obs_op_set_times(op, row->received_ms, row->skew_ms);
  return r->fn(r->arg, row->seq, op, line) && r->left > 0;
}

void obs_evidence_recent(const obs_evidence *e, uint32_t limit, obs_evidence_recent_row fn, void *arg) {
  recent r = {.fn = fn, .arg = arg, .left = limit};
  if (limit == 0 || obs_batch_init(&r.row) != OBSERVER_E_OK) return;
  (void)obs_state_ring_rows(e->state, 0, on_recent_row, &r);
  obs_batch_fini(&r.row);
}

/* ---- quotations ---- */

/* No quotation may hold these characters as they are: `<`, `>`, the controls with DEL and C1, and the two line ends
 * that JSON lets through. */
void obs_evidence_escape(obs_str json, obs_buf *out) {
  size_t from = 0;
  for (size_t i = 0, n; i<json.len; i += n> 0 ? n : 1) {
    const unsigned char *c = (const unsigned char *)json.p + i;
    size_t left = json.len - i;
    uint32_t code = c[0];
    n = 0;
    if (c[0] == '<' || c[0] == '>' || c[0] < 0x20 || c[0] == 0x7f) {
      n = 1;
    } else if (left >= 2 && c[0] == 0xc2 && c[1] < 0xa0) {
      n = 2;
      code = c[1];
    } else if (left >= 3 && c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9)) {
      n = 3;
      code = 0x2000u + c[2] - 0x80;
    }
    if (n == 0) continue;
    obs_buf_append(out, json.p + from, i - from);
    obs_buf_printf(out, "\\u%04" PRIx32, code);
    from = i + n;
  }
  obs_buf_append(out, json.p + from, json.len - from);
}

void obs_evidence_quote(const obs_op *op, uint64_t seq, uint32_t text_max, obs_buf *out) {
  static const obs_op_field texts[] = {OBS_F_timestamp,  OBS_F_endpoint, OBS_F_source,        OBS_F_staffer_id,
                                       OBS_F_task_class, OBS_F_error,    OBS_F_input_summary, OBS_F_output_summary};
  obs_buf json = {0};
  obs_json_writer w = obs_json_write(&json);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "seq", seq);
  for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
    const obs_op_field_info *field = &obs_op_fields[texts[i]];
    obs_str text;
    if (texts[i] == OBS_F_error) { /* its place in the order, whether there is one or not */
      obs_json_i64(&w, "duration_ms", op->duration_ms);
      obs_json_bool(&w, "success", op->success);
    }
    if ((op->present & OBS_BIT(texts[i])) == 0) continue;
    memcpy(&text, (const char *)op + field->offset, sizeof(text));
    text.len = (uint32_t)obs_utf8_cut(text.p, text.len, text_max);
    obs_json_text(&w, field->name, text);
  }
  obs_json_end(&w);
  if (json.oom)
    out->oom = true;
  else
    obs_evidence_escape(obs_buf_view(&json), out);
  obs_buf_fini(&json);
}
