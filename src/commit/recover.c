#include "commit/recover.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

enum { VERSION = 2, PARTS_MAX = OBS_FOLLOWERS + 2 };

typedef struct {
  uint32_t version, count; /* of parts; in version 1: bytes of the state */
} blob_head;

typedef struct {
  char name[OBS_FOLLOWER_NAME]; /* filled up with NUL */
  uint32_t version, reserved;
  uint64_t bytes;
} part_head;

typedef struct {
  const char *data;
  size_t len;
  uint32_t version;
} part;

typedef struct {
  const obs_commit_opts *opts;
  obs_dedupe *dedupe;
  uint64_t checkpoint_seq;
  bool loaded[OBS_FOLLOWERS]; /* which followers have the rows up to there */
  int64_t now_ms;
  obs_batch row;
  uint64_t replayed;
} recovery;

/* ---- loading ---- */

static bool part_is(const part_head *h, const char *name) {
  return strncmp(h->name, name, OBS_FOLLOWER_NAME) == 0;
}

/* False: there is none of that name, or the blob is cut. */
static bool find_part(const obs_buf *blob, const char *name, part *out) {
  blob_head head;
  part_head h;
  memcpy(&head, blob->p, sizeof(head));
  size_t at = sizeof(head) + head.count * sizeof(h);
  if (head.count > PARTS_MAX || at > blob->len) return false;
  for (uint32_t i = 0; i < head.count; i++) {
    memcpy(&h, blob->p + sizeof(head) + i * sizeof(h), sizeof(h));
    if (h.bytes > blob->len - at) return false;
    *out = (part){blob->p + at, (size_t)h.bytes, h.version};
    if (part_is(&h, name)) return true;
    at += (size_t)h.bytes;
  }
  return false;
}

static observer_err load_core(recovery *r, const part *state, const part *dedupe) {
  observer_err err = obs_dedupe_load(r->dedupe, dedupe->data, dedupe->len);
  return err == OBSERVER_E_OK ? obs_state_load(r->opts->state, state->data, state->len, r->now_ms) : err;
}

static observer_err load_version_1(recovery *r, const obs_buf *blob, uint32_t state_bytes) {
  if (state_bytes > blob->len - sizeof(blob_head)) return OBSERVER_E_CORRUPT;
  part state = {blob->p + sizeof(blob_head), state_bytes, 1};
  const char *rest = state.data + state.len;
  part dedupe = {rest, (size_t)(blob->p + blob->len - rest), 1};
  return load_core(r, &state, &dedupe);
}

static void load_followers(recovery *r, const obs_buf *blob) {
  for (uint32_t i = 0; i < r->opts->nfollowers; i++) {
    const obs_follower *f = &r->opts->followers[i];
    part p;
    if (f->load == NULL || !find_part(blob, f->name, &p) || p.version != f->version) continue;
    observer_err err = f->load(f->arg, p.data, p.len);
    r->loaded[i] = err == OBSERVER_E_OK;
    if (err != OBSERVER_E_OK)
      obs_log_warn("commit", "checkpoint: part %s not used: %s", f->name, observer_strerror(err));
  }
}

static observer_err load_blob(recovery *r, const obs_buf *blob) {
  blob_head head;
  part state, dedupe;
  if (blob->len < sizeof(head)) return OBSERVER_E_CORRUPT;
  memcpy(&head, blob->p, sizeof(head));
  if (head.version == 1) return load_version_1(r, blob, head.count);
  if (head.version != VERSION || !find_part(blob, "state", &state) || !find_part(blob, "dedupe", &dedupe))
    return OBSERVER_E_CORRUPT;
  observer_err err = load_core(r, &state, &dedupe);
  if (err == OBSERVER_E_OK) load_followers(r, blob);
  return err;
}

/* An unusable checkpoint leaves everything to the replay. */
static void load_checkpoint(recovery *r) {
  obs_buf blob = {0};
  uint64_t seq = 0;
  observer_err err = obs_journal_checkpoint_load(r->opts->journal, &seq, &blob);
  if (err == OBSERVER_E_OK) err = load_blob(r, &blob);
  if (err == OBSERVER_E_OK)
    r->checkpoint_seq = seq;
  else if (err != OBSERVER_E_NOTFOUND)
    obs_log_warn("commit", "checkpoint not used: %s", observer_strerror(err));
  obs_buf_fini(&blob);
}

/* ---- replay ---- */

static void follow_row(recovery *r, const obs_op *op, uint64_t seq, bool counted) {
  for (uint32_t i = 0; i < r->opts->nfollowers; i++) {
    const obs_follower *f = &r->opts->followers[i];
    if (f->apply_row != NULL && !(counted && r->loaded[i])) f->apply_row(f->arg, op, seq, r->now_ms);
  }
}

static bool take_row(void *arg, uint64_t seq, const char *line, size_t len, int64_t *time_ms, const char **reason) {
  recovery *r = arg;
  obs_batch_reset(&r->row);
  if (!obs_batch_decode_row(&r->row, line, len, reason)) return false;
  const obs_op *op = &r->row.ops[0];
  bool counted = seq <= r->checkpoint_seq;
  *time_ms = op->time_ms;
  obs_state_apply_row(r->opts->state, op, line, len, seq, counted, r->now_ms);
  follow_row(r, op, seq, counted);
  if (counted) return true;
  r->replayed++;
  if (OBS_HAS(op, op_id) && op->op_id.len > 0) {
    (void)obs_dedupe_add(r->dedupe, op->op_id); /* an older observer's rows may repeat one */
    obs_dedupe_commit(r->dedupe);
  }
  return true;
}

/* A follower lacks what its part would have. */
static bool lacks_part(const recovery *r) {
  for (uint32_t i = 0; i < r->opts->nfollowers; i++) {
    if (r->opts->followers[i].load != NULL && !r->loaded[i]) return true;
  }
  return false;
}

/* How many rows before the checkpoint's end are needed: those of the ring, and of followers that keep nothing. */
static uint32_t rows_back(const recovery *r) {
  uint32_t rows = obs_state_ring_size(r->opts->state);
  for (uint32_t i = 0; i < r->opts->nfollowers; i++) {
    const obs_follower *f = &r->opts->followers[i];
    if (f->load == NULL && f->apply_row != NULL && f->rows > rows) rows = f->rows;
  }
  return rows;
}

/* The first row that is needed: all for a follower that lacks its part. */
static uint64_t first_row(const recovery *r) {
  uint32_t rows = rows_back(r);
  return !lacks_part(r) && r->checkpoint_seq >= rows ? r->checkpoint_seq - rows + 1 : 1;
}

observer_err obs_recover_run(const obs_commit_opts *opts, obs_dedupe *dedupe, obs_commit_recovered *out) {
  recovery r = {.opts = opts, .dedupe = dedupe, .now_ms = obs_clock_wall_ms()};
  observer_err err = obs_batch_init(&r.row);
  if (err != OBSERVER_E_OK) return err;
  load_checkpoint(&r);
  obs_journal_replayed replayed = {0};
  err = obs_journal_replay(opts->journal, first_row(&r), take_row, &r, &replayed);
  obs_batch_fini(&r.row);
  *out = (obs_commit_recovered){r.checkpoint_seq, r.replayed, replayed.bad_rows, replayed.torn, lacks_part(&r)};
  return err;
}

/* ---- saving ---- */

typedef struct {
  part_head heads[PARTS_MAX];
  uint32_t count;
  obs_buf data;
} parts;

/* Ends the part that began at `from`. */
static void end_part(parts *p, const char *name, uint32_t version, size_t from) {
  part_head *h = &p->heads[p->count++];
  *h = (part_head){.version = version, .bytes = p->data.len - from};
  memcpy(h->name, name, strnlen(name, OBS_FOLLOWER_NAME));
}

static observer_err save_parts(const obs_commit_opts *opts, const obs_dedupe *dedupe, parts *p) {
  observer_err err = obs_state_save(opts->state, &p->data);
  end_part(p, "state", 1, 0);
  size_t from = p->data.len;
  obs_dedupe_save(dedupe, &p->data);
  end_part(p, "dedupe", 1, from);
  for (uint32_t i = 0; i < opts->nfollowers && err == OBSERVER_E_OK; i++) {
    const obs_follower *f = &opts->followers[i];
    if (f->save == NULL) continue;
    from = p->data.len;
    err = f->save(f->arg, &p->data);
    end_part(p, f->name, f->version, from);
  }
  return err != OBSERVER_E_OK || !p->data.oom ? err : OBSERVER_E_NOMEM;
}

observer_err obs_recover_save(const obs_commit_opts *opts, const obs_dedupe *dedupe, uint64_t seq) {
  parts p = {0};
  obs_buf blob = {0};
  observer_err err = save_parts(opts, dedupe, &p);
  if (err == OBSERVER_E_OK) {
    blob_head head = {VERSION, p.count};
    obs_buf_append(&blob, &head, sizeof(head));
    obs_buf_append(&blob, p.heads, p.count * sizeof(p.heads[0]));
    obs_buf_append(&blob, p.data.p, p.data.len);
    err = blob.oom ? OBSERVER_E_NOMEM : obs_journal_checkpoint_save(opts->journal, seq, blob.p, blob.len);
  }
  obs_buf_fini(&p.data);
  obs_buf_fini(&blob);
  return err;
}
