/* Version 2 of the checkpoint's bytes: `u32 version, u32 parts`, for each part its head (name, version, bytes), then
 * the parts one after another, in this machine's byte order. The parts `state` and `dedupe` are always there, then one
 * for each follower that saves. Version 1, still read: `u32 version, u32 bytes of the state`, the state, the dedupe
 * window. A part may have a version of its own inside. What is of a later version ends the start, as what has it must
 * not be lost. The ring is in no part: its rows are read from the journal again. */
#include "commit/checkpoint.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>

enum { PARTS_MAX = OBS_FOLLOWERS + 2 };

typedef struct {
  uint32_t version, count; /* of parts; in version 1: bytes of the state */
} blob_head;

typedef struct {
  char name[OBS_FOLLOWER_NAME]; /* filled up with NUL */
  uint32_t version, reserved;
  uint64_t bytes;
} part_head;

/* ---- loading ---- */

typedef struct {
  const char *data;
  size_t len;
  uint32_t version;
} part;

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
    if (strncmp(h.name, name, OBS_FOLLOWER_NAME) == 0) return true;
    at += (size_t)h.bytes;
  }
  return false;
}

/* Always NEWER. `known` 0: the part has its version inside. */
static observer_err is_newer(const char *name, uint32_t version, uint32_t known, char newer[OBS_COMMIT_NEWER]) {
  if (known == 0)
    (void)snprintf(newer, OBS_COMMIT_NEWER, "its part %s is of a later version than observerd %s knows", name,
                   OBSERVER_VERSION);
  else
    (void)snprintf(newer, OBS_COMMIT_NEWER, "its part %s is of version %u, and observerd %s knows versions up to %u",
                   name, version, OBSERVER_VERSION, known);
  return OBSERVER_E_NEWER;
}

/* Before anything is restored: a part of a later version would not be used, and the next checkpoint would be without
 * what it had. */
static observer_err find_newer(const obs_commit_opts *opts, const obs_buf *blob, uint32_t version,
                               char newer[OBS_COMMIT_NEWER]) {
  part p;
  if (version > OBS_CHECKPOINT_VERSION) return is_newer("list", version, OBS_CHECKPOINT_VERSION, newer);
  for (uint32_t i = 0; version == OBS_CHECKPOINT_VERSION && i < opts->nfollowers; i++) {
    const obs_commit_follower *f = &opts->followers[i];
    if (f->load != NULL && find_part(blob, f->name, &p) && p.version > f->version)
      return is_newer(f->name, p.version, f->version, newer);
  }
  return OBSERVER_E_OK;
}

static observer_err load_follower(const obs_commit_follower *f, const part *p, bool *loaded,
                                  char newer[OBS_COMMIT_NEWER]) {
  observer_err (*reads)(void *arg, const void *data, size_t len) = p->version == f->version  ? f->load
                                                                   : p->version == f->former ? f->load_former
                                                                                             : NULL;
  if (reads == NULL) return OBSERVER_E_OK;
  observer_err err = reads(f->arg, p->data, p->len);
  *loaded = err == OBSERVER_E_OK;
  if (err == OBSERVER_E_NEWER) return is_newer(f->name, 0, 0, newer);
  if (err != OBSERVER_E_OK) obs_log_warn("commit", "checkpoint: part %s not used: %s", f->name, observer_strerror(err));
  return OBSERVER_E_OK;
}

static observer_err load_blob(const obs_commit_opts *opts, obs_dedupe *dedupe, int64_t now_ms, const obs_buf *blob,
                              bool loaded[OBS_FOLLOWERS], char newer[OBS_COMMIT_NEWER]) {
  blob_head head;
  part state, window, p;
  if (blob->len < sizeof(head)) return OBSERVER_E_CORRUPT;
  memcpy(&head, blob->p, sizeof(head));
  observer_err err = find_newer(opts, blob, head.version, newer);
  if (err != OBSERVER_E_OK) return err;
  if (head.version == 1) {
    if (head.count > blob->len - sizeof(head)) return OBSERVER_E_CORRUPT;
    state = (part){blob->p + sizeof(head), head.count, 1};
    window = (part){state.data + state.len, blob->len - sizeof(head) - state.len, 1};
  } else if (head.version != OBS_CHECKPOINT_VERSION || !find_part(blob, "state", &state) ||
             !find_part(blob, "dedupe", &window)) {
    return OBSERVER_E_CORRUPT;
  }
  err = obs_dedupe_load(dedupe, window.data, window.len);
  if (err == OBSERVER_E_NEWER) return is_newer("dedupe", 0, 0, newer);
  if (err == OBSERVER_E_OK) err = obs_state_load(opts->state, state.data, state.len, now_ms);
  if (err == OBSERVER_E_NEWER) return is_newer("state", 0, 0, newer);
  for (uint32_t i = 0; err == OBSERVER_E_OK && head.version == OBS_CHECKPOINT_VERSION && i < opts->nfollowers; i++) {
    const obs_commit_follower *f = &opts->followers[i];
    if (f->load != NULL && find_part(blob, f->name, &p)) err = load_follower(f, &p, &loaded[i], newer);
  }
  return err;
}

observer_err obs_checkpoint_load(const obs_commit_opts *opts, obs_dedupe *dedupe, int64_t now_ms, uint64_t *seq,
                                 bool loaded[OBS_FOLLOWERS], char newer[OBS_COMMIT_NEWER]) {
  obs_buf blob = {0};
  *seq = 0;
  uint64_t up_to = 0;
  observer_err err = obs_journal_checkpoint_load(opts->journal, &up_to, &blob);
  if (err == OBSERVER_E_OK) err = load_blob(opts, dedupe, now_ms, &blob, loaded, newer);
  if (err == OBSERVER_E_OK)
    *seq = up_to;
  else if (err != OBSERVER_E_NOTFOUND && err != OBSERVER_E_NEWER)
    obs_log_warn("commit", "checkpoint not used: %s", observer_strerror(err));
  obs_buf_fini(&blob);
  return err == OBSERVER_E_NEWER ? err : OBSERVER_E_OK;
}

/* ---- saving ---- */

struct obs_checkpoint {
  const obs_commit_opts *opts;
  const obs_dedupe *dedupe;
  pthread_t thread;
  bool started;

  pthread_mutex_t lock; /* guards the rest; no other lock under it */
  pthread_cond_t changed;
  bool lock_made, changed_made;
  bool stopping, busy, ended; /* busy: `file` is the thread's */
  obs_buf file;
  uint64_t begun_ms; /* monotonic */
  obs_checkpoint_end last;
};

static void *checkpoint_thread(void *arg) {
  obs_checkpoint *c = arg;
  pthread_mutex_lock(&c->lock);
  for (;;) {
    while (!c->busy && !c->stopping) pthread_cond_wait(&c->changed, &c->lock);
    if (!c->busy) break;
    pthread_mutex_unlock(&c->lock);
    observer_err err = obs_journal_checkpoint_write(c->opts->journal, &c->file);
    if (err != OBSERVER_E_OK) obs_log_warn("commit", "checkpoint not written: %s", observer_strerror(err));
    pthread_mutex_lock(&c->lock);
    obs_buf_fini(&c->file);
    c->last.err = err;
    c->last.at_ms = obs_clock_wall_ms();
    c->last.took_ms = obs_clock_mono_ms() - c->begun_ms;
    c->busy = false;
    c->ended = true;
    pthread_cond_broadcast(&c->changed);
  }
  pthread_mutex_unlock(&c->lock);
  return NULL;
}

observer_err obs_checkpoint_open(const obs_commit_opts *opts, const obs_dedupe *dedupe, obs_checkpoint **out) {
  obs_checkpoint *c = calloc(1, sizeof(*c));
  if (c == NULL) return OBSERVER_E_NOMEM;
  c->opts = opts;
  c->dedupe = dedupe;
  observer_err err = OBSERVER_E_NOMEM;
  c->lock_made = pthread_mutex_init(&c->lock, NULL) == 0;
  c->changed_made = pthread_cond_init(&c->changed, NULL) == 0;
  if (c->lock_made && c->changed_made) err = obs_thread_start(&c->thread, "obs:checkpoint", checkpoint_thread, c);
  c->started = err == OBSERVER_E_OK;
  if (err == OBSERVER_E_OK)
    *out = c;
  else
    obs_checkpoint_close(c);
  return err;
}

void obs_checkpoint_close(obs_checkpoint *c) {
  if (c == NULL) return;
  if (c->started) {
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
  }
  if (c->lock_made) pthread_mutex_destroy(&c->lock);
  if (c->changed_made) pthread_cond_destroy(&c->changed);
  obs_buf_fini(&c->file);
  free(c);
}

bool obs_checkpoint_is_busy(obs_checkpoint *c) {
  pthread_mutex_lock(&c->lock);
  bool busy = c->busy;
  pthread_mutex_unlock(&c->lock);
  return busy;
}

bool obs_checkpoint_ended(obs_checkpoint *c, obs_checkpoint_end *out) {
  pthread_mutex_lock(&c->lock);
  bool ended = c->ended;
  c->ended = false;
  *out = c->last;
  pthread_mutex_unlock(&c->lock);
  return ended;
}

void obs_checkpoint_wait(obs_checkpoint *c) {
  pthread_mutex_lock(&c->lock);
  while (c->busy) pthread_cond_wait(&c->changed, &c->lock);
  pthread_mutex_unlock(&c->lock);
}

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

static observer_err save_parts(const obs_checkpoint *c, parts *p) {
  observer_err err = obs_state_save(c->opts->state, &p->data);
  end_part(p, "state", 1, 0);
  size_t from = p->data.len;
  obs_dedupe_save(c->dedupe, &p->data);
  end_part(p, "dedupe", 1, from);
  for (uint32_t i = 0; i < c->opts->nfollowers && err == OBSERVER_E_OK; i++) {
    const obs_commit_follower *f = &c->opts->followers[i];
    if (f->save == NULL) continue;
    from = p->data.len;
    err = f->save(f->arg, &p->data);
    end_part(p, f->name, f->version, from);
  }
  return err != OBSERVER_E_OK || !p->data.oom ? err : OBSERVER_E_NOMEM;
}

observer_err obs_checkpoint_begin(obs_checkpoint *c, uint64_t seq) {
  parts p = {0};
  obs_buf blob = {0}, file = {0};
  uint64_t begun_ms = obs_clock_mono_ms();
  observer_err err = save_parts(c, &p);
  if (err == OBSERVER_E_OK) {
    blob_head head = {OBS_CHECKPOINT_VERSION, p.count};
    obs_buf_append(&blob, &head, sizeof(head));
    obs_buf_append(&blob, p.heads, p.count * sizeof(p.heads[0]));
    obs_buf_append(&blob, p.data.p, p.data.len);
    err = blob.oom ? OBSERVER_E_NOMEM : obs_journal_checkpoint_encode(c->opts->journal, seq, blob.p, blob.len, &file);
  }
  obs_buf_fini(&p.data);
  obs_buf_fini(&blob);
  if (err != OBSERVER_E_OK) {
    obs_log_warn("commit", "checkpoint not written: %s", observer_strerror(err));
    obs_buf_fini(&file);
    return err;
  }
  pthread_mutex_lock(&c->lock);
  c->file = file;
  c->last.seq = seq;
  c->begun_ms = begun_ms;
  c->busy = true;
  c->ended = false;
  pthread_cond_broadcast(&c->changed);
  pthread_mutex_unlock(&c->lock);
  return OBSERVER_E_OK;
}
