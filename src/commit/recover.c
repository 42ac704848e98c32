#include "commit/recover.h"

#include "base/clock.h"
#include "base/log.h"

typedef struct {
  uint32_t version, state_bytes;
} blob_header;

typedef struct {
  obs_state *state;
  obs_dedupe *dedupe;
  uint64_t checkpoint_seq;
  int64_t now_ms;
  obs_batch row;
  uint64_t replayed;
} recovery;

static observer_err load_blob(recovery *r, const obs_buf *blob) {
  blob_header header;
  if (blob->len < sizeof(header)) return OBSERVER_E_CORRUPT;
  memcpy(&header, blob->p, sizeof(header));
  if (header.version != 1 || header.state_bytes > blob->len - sizeof(header)) return OBSERVER_E_CORRUPT;
  const char *state = blob->p + sizeof(header);
  const char *dedupe = state + header.state_bytes;
  observer_err err = obs_dedupe_load(r->dedupe, dedupe, (size_t)(blob->p + blob->len - dedupe));
  return err == OBSERVER_E_OK ? obs_state_load(r->state, state, header.state_bytes, r->now_ms) : err;
}

/* An unusable checkpoint leaves everything to the replay. */
static void load_checkpoint(recovery *r, obs_journal *journal) {
  obs_buf blob = {0};
  uint64_t seq = 0;
  observer_err err = obs_journal_checkpoint_load(journal, &seq, &blob);
  if (err == OBSERVER_E_OK) err = load_blob(r, &blob);
  if (err == OBSERVER_E_OK)
    r->checkpoint_seq = seq;
  else if (err != OBSERVER_E_NOTFOUND)
    obs_log_warn("commit", "checkpoint not used: %s", observer_strerror(err));
  obs_buf_fini(&blob);
}

static bool take_row(void *arg, uint64_t seq, const char *line, size_t len, int64_t *time_ms, const char **reason) {
  recovery *r = arg;
  obs_batch_reset(&r->row);
  if (!obs_batch_decode_row(&r->row, line, len, reason)) return false;
  const obs_op *op = &r->row.ops[0];
  bool counted = seq <= r->checkpoint_seq;
  *time_ms = op->time_ms;
  obs_state_apply_row(r->state, op, line, len, seq, counted, r->now_ms);
  if (counted) return true;
  r->replayed++;
  if (OBS_HAS(op, op_id) && op->op_id.len > 0) {
    (void)obs_dedupe_add(r->dedupe, op->op_id); /* an older observer's rows may repeat one */
    obs_dedupe_commit(r->dedupe);
  }
  return true;
}

observer_err obs_recover_run(obs_journal *journal, obs_state *state, obs_dedupe *dedupe, obs_commit_recovered *out) {
  recovery r = {.state = state, .dedupe = dedupe, .now_ms = obs_clock_wall_ms()};
  observer_err err = obs_batch_init(&r.row);
  if (err != OBSERVER_E_OK) return err;
  load_checkpoint(&r, journal);
  uint32_t ring = obs_state_ring_size(state);
  uint64_t from = r.checkpoint_seq >= ring ? r.checkpoint_seq - ring + 1 : 1;
  obs_journal_replayed replayed = {0};
  err = obs_journal_replay(journal, from, take_row, &r, &replayed);
  obs_batch_fini(&r.row);
  *out = (obs_commit_recovered){r.checkpoint_seq, r.replayed, replayed.bad_rows, replayed.torn};
  return err;
}

observer_err obs_recover_save(obs_journal *journal, obs_state *state, const obs_dedupe *dedupe, uint64_t seq) {
  obs_buf blob = {0};
  blob_header header = {1, 0};
  obs_buf_append(&blob, &header, sizeof(header));
  observer_err err = obs_state_save(state, &blob);
  if (err == OBSERVER_E_OK && blob.len - sizeof(header) > UINT32_MAX) err = OBSERVER_E_INVALID;
  if (err == OBSERVER_E_OK) {
    header.state_bytes = (uint32_t)(blob.len - sizeof(header));
    memcpy(blob.p, &header, sizeof(header));
    obs_dedupe_save(dedupe, &blob);
    err = blob.oom ? OBSERVER_E_NOMEM : obs_journal_checkpoint_save(journal, seq, blob.p, blob.len);
  }
  obs_buf_fini(&blob);
  return err;
}
