/* Start-up: state, dedupe window and followers come back from the checkpoint and the journal's rows behind it. A
 * checkpoint that is damaged costs time, nothing else: then every row is replayed; a part that cannot be used, or
 * is missing, has every row replayed to its follower alone, unless that is optional. */
#include "commit/internal.h"

#include "base/clock.h"

typedef struct {
  const obs_commit_opts *opts;
  obs_dedupe *dedupe;
  obs_skew *skew;
  obs_clocks *clocks;
  uint64_t checkpoint_seq;
  bool loaded[OBS_FOLLOWERS]; /* which followers have the rows up to there */
  int64_t now_ms;
  obs_batch row;
  uint64_t replayed;
} recovery;

/* The times are those that the op had when it came. */
static bool take_row(void *arg, const obs_journal_row *row, int64_t *event_ms, const char **reason) {
  recovery *r = arg;
  const char *line = row->line;
  size_t len = row->len;
  uint64_t seq = row->seq;
  obs_batch_reset(&r->row);
  if (!obs_batch_decode_row(&r->row, line, len, reason)) return false;
  obs_op *op = &r->row.ops[0];
  bool counted = seq <= r->checkpoint_seq;
  obs_op_set_times(op, obs_journal_received(row, op->time_ms), row->skew_ms);
  *event_ms = op->event_ms;
  if (op->skew_ms != 0 && OBS_HAS(op, source)) {
    obs_skew_recall(r->skew, op->source, op->received_ms, op->skew_ms);
    obs_clocks_note(r->clocks, op->source, op->skew_ms, op->received_ms);
  }
  obs_state_apply_row(r->opts->state, op, line, len, seq, counted, r->now_ms);
  const obs_op_unknown *unknown = op->unknown_count > 0 ? r->row.unknown + op->unknown_first : NULL;
  for (uint32_t i = 0; i < r->opts->nfollowers; i++) {
    const obs_commit_follower *f = &r->opts->followers[i];
    if (f->apply_row != NULL && !(counted && r->loaded[i])) f->apply_row(f->arg, op, unknown, seq, r->now_ms);
  }
  if (counted) return true; /* the dedupe window came with the checkpoint */
  r->replayed++;
  if (OBS_HAS(op, op_id) && op->op_id.len > 0) {
    obs_str source = OBS_HAS(op, source) ? op->source : (obs_str){0};
    (void)obs_dedupe_add(r->dedupe, source, op->op_id); /* an older observer's rows may repeat one */
    obs_dedupe_commit(r->dedupe);
  }
  return true;
}

/* A follower lacks what its part would have, and rows would bring it. */
static bool lacks_part(const recovery *r) {
  for (uint32_t i = 0; i < r->opts->nfollowers; i++) {
    const obs_commit_follower *f = &r->opts->followers[i];
    if (f->load != NULL && f->apply_row != NULL && !f->optional && !r->loaded[i]) return true;
  }
  return false;
}

/* The first row that is needed: every row for a follower that lacks its part; else, before the checkpoint's end, as
 * many as the ring and the followers that keep nothing want. */
static uint64_t first_row(const recovery *r) {
  uint32_t rows = obs_state_ring_size(r->opts->state);
  for (uint32_t i = 0; i < r->opts->nfollowers; i++) {
    const obs_commit_follower *f = &r->opts->followers[i];
    if (f->load == NULL && f->apply_row != NULL && f->rows > rows) rows = f->rows;
  }
  return !lacks_part(r) && r->checkpoint_seq >= rows ? r->checkpoint_seq - rows + 1 : 1;
}

observer_err obs_commit_recover(obs_commit *c, obs_commit_recovered *out) {
  recovery r = {
      .opts = &c->opts, .dedupe = c->dedupe, .skew = c->skew, .clocks = c->clocks, .now_ms = obs_clock_receipt_ms()};
  obs_journal_replayed replayed = {0};
  *out = (obs_commit_recovered){0};
  if (c->opts.journal == NULL) return OBSERVER_E_OK;
  observer_err err = obs_batch_init(&r.row);
  if (err != OBSERVER_E_OK) return err;
  err = obs_checkpoint_load(r.opts, r.dedupe, r.now_ms, &r.checkpoint_seq, r.loaded, out->newer);
  if (err != OBSERVER_E_OK) {
    obs_batch_fini(&r.row);
    return err;
  }
  err = obs_journal_replay(c->opts.journal, first_row(&r), take_row, &r, &replayed);
  if (err == OBSERVER_E_OK) err = obs_journal_skip_lost(c->opts.journal);
  obs_batch_fini(&r.row);
  *out = (obs_commit_recovered){r.checkpoint_seq, r.replayed, replayed.bad_rows, replayed.torn, lacks_part(&r), ""};
  /* Nothing has changed since: the checkpoint on disk is still the newest there can be. */
  if (err == OBSERVER_E_OK && r.replayed == 0 && !out->rebuilt) c->checkpoint_seq = r.checkpoint_seq;
  return err;
}
