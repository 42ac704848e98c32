#include "learn/corrections/corrections_file.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/pack.h"
#include "base/thread.h"
#include "jsonl/file.h"
#include "jsonl/lines.h"
#include "learn/corrections/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* What goes to commit at a time; POLL_MS: how soon a stop is seen. */
enum {
  ROWS = 256,
  BYTES = 1 << 20,
  POLL_MS = 50,
  ROW_MAX = OBS_CORRECTIONS_FILE_LINE_MAX + 1,
  END_BYTES = 4096,
  HASH_DIGITS = 16
};

#define DIGITS "0123456789"

static const char source[] = "overseer_correction";

struct obs_corrections_file {
  obs_op_limits limits;
  obs_commit *commit;  /* of the loop */
  char *path, *former; /* former: PATH.1 */

  pthread_mutex_t lock; /* of what follows, down to `counts` */
  pthread_cond_t landed;
  bool lock_made, landed_made;
  bool flying; /* commit has the batch */
  obs_corrections_file_place place;
  obs_corrections_file_counts counts;

  /* The learning thread's own; message and batch are commit's while it flies. */
  int fd;          /* the file as it was found last; -1: none */
  bool complained; /* of a file that cannot be read; once */
  bool grace;      /* the file that was put aside got a cycle for its last line */
  obs_buf message;
  obs_batch batch;
};

typedef struct {
  uint64_t count, first; /* first: its place */
  char why[160];
} bad_lines;

/* One cycle. */
typedef struct {
  obs_corrections_file *t;
  obs_commit *commit;
  const _Atomic bool *stop;
  uint32_t recorded;
  bad_lines bad;

  /* Of the lines that are gathered and not yet taken. */
  uint64_t starts[ROWS]; /* of the rows in the message */
  uint32_t rows;
  bad_lines gathered;
  obs_corrections_file_place last; /* of the last one; end 0: none */
  bool end;                        /* no more whole lines behind them */
  bool waits;                      /* but a beginning of one that gets more time */
} cycle;

/* ---- places ---- */

static const char prefix[] = "correction:";

void obs_corrections_file_op_id(const obs_corrections_file_place *place, char out[OBS_CORRECTIONS_FILE_OP_ID_MAX]) {
  snprintf(out, OBS_CORRECTIONS_FILE_OP_ID_MAX, "%s%" PRIu64 "-%" PRIu64 ":%016" PRIx64, prefix, place->start,
           place->end, place->hash);
}

static bool is_valid(const obs_corrections_file_place *place) {
  return place->end <= INT64_MAX && place->start <= place->end && place->end - place->start <= ROW_MAX;
}

bool obs_corrections_file_place_of(obs_str op_id, obs_corrections_file_place *out) {
  char text[OBS_CORRECTIONS_FILE_OP_ID_MAX], *end;
  const size_t head = sizeof(prefix) - 1;
  if (op_id.len <= head + HASH_DIGITS || op_id.len >= sizeof(text) || memcmp(op_id.p, prefix, head) != 0) return false;
  memcpy(text, op_id.p, op_id.len);
  text[op_id.len] = '\0';
  /* Digits alone, as they were written; a number beyond 64 bits becomes the largest, which no place has. */
  size_t digits = strspn(text + head, DIGITS);
  if (digits == 0 || text[head + digits] != '-') return false;
  out->start = strtoull(text + head, &end, 10);
  digits = strspn(end + 1, DIGITS);
  if (digits == 0 || end[1 + digits] != ':') return false;
  out->end = strtoull(end + 1, &end, 10);
  obs_str hash = {end + 1, (uint32_t)(text + op_id.len - end - 1), 1};
  return obs_hex_parse(hash, &out->hash) && is_valid(out) && out->end > 0;
}

static observer_err hash_at(int fd, uint64_t start, uint64_t end, uint64_t *hash) {
  size_t len = (size_t)(end - start);
  char *row = malloc(len + 1);
  if (row == NULL) return OBSERVER_E_NOMEM;
  ssize_t n = obs_file_read_at(fd, row, len, start);
  observer_err err = n < 0 ? OBSERVER_E_IO : (size_t)n < len ? OBSERVER_E_NOTFOUND : OBSERVER_E_OK;
  if (err == OBSERVER_E_OK) *hash = XXH3_64bits(row, len > 0 && row[len - 1] == '\n' ? len - 1 : len);
  free(row);
  return err;
}

/* OK: the file has that row there. NOTFOUND: it is shorter, or another row is there. IO: errno is set. */
static observer_err verify(int fd, const obs_corrections_file_place *place) {
  uint64_t hash;
  if (place->end == 0) return OBSERVER_E_OK;
  observer_err err = hash_at(fd, place->start, place->end, &hash);
  return err == OBSERVER_E_OK && hash != place->hash ? OBSERVER_E_NOTFOUND : err;
}

/* ---- life ---- */

observer_err obs_corrections_file_open(const obs_corrections_file_opts *opts, obs_corrections_file **out) {
  obs_corrections_file *t = calloc(1, sizeof(*t));
  *out = NULL;
  if (t == NULL) return OBSERVER_E_NOMEM;
  t->fd = -1;
  t->limits = opts->limits;
  t->limits.message_bytes = t->limits.message_ops = UINT32_MAX; /* the messages are made here */
  t->lock_made = pthread_mutex_init(&t->lock, NULL) == 0;
  t->landed_made = obs_thread_cond_init(&t->landed) == OBSERVER_E_OK;
  bool ok = t->lock_made && t->landed_made && obs_batch_init(&t->batch) == OBSERVER_E_OK;
  if (ok && opts->path != NULL) {
    t->path = strdup(opts->path);
    ok = t->path != NULL && asprintf(&t->former, "%s.1", opts->path) >= 0;
  }
  if (!ok) {
    obs_corrections_file_close(t);
    return OBSERVER_E_NOMEM;
  }
  *out = t;
  return OBSERVER_E_OK;
}

void obs_corrections_file_close(void *tail) {
  obs_corrections_file *t = tail;
  if (t == NULL) return;
  if (t->fd >= 0) (void)close(t->fd);
  obs_batch_fini(&t->batch);
  obs_buf_fini(&t->message);
  if (t->landed_made) pthread_cond_destroy(&t->landed);
  if (t->lock_made) pthread_mutex_destroy(&t->lock);
  free(t->path);
  free(t->former);
  free(t);
}

void obs_corrections_file_get_counts(obs_corrections_file *t, obs_corrections_file_counts *out) {
  pthread_mutex_lock(&t->lock);
  *out = t->counts;
  out->cursor = t->place.end;
  pthread_mutex_unlock(&t->lock);
}

/* ---- the follower ---- */

static obs_corrections_file_place get_place(obs_corrections_file *t) {
  pthread_mutex_lock(&t->lock);
  obs_corrections_file_place place = t->place;
  pthread_mutex_unlock(&t->lock);
  return place;
}

static void set_place(obs_corrections_file *t, const obs_corrections_file_place *place) {
  pthread_mutex_lock(&t->lock);
  t->place = *place;
  pthread_mutex_unlock(&t->lock);
}

static bool op_place(const obs_op *op, obs_corrections_file_place *place) {
  return OBS_HAS(op, op_id) && obs_corrections_file_place_of(op->op_id, place);
}

/* The last op that was recorded tells where the file is taken to. */
void obs_corrections_file_apply(void *tail, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  (void)first_seq;
  (void)now_ms;
  if (b->transport != OBS_TRANSPORT_TAIL) return;
  for (uint32_t i = b->nops; i-- > 0;) {
    obs_corrections_file_place place;
    if (b->lines[i].duplicate) continue;
    if (op_place(&b->ops[i], &place)) set_place(tail, &place);
    return;
  }
}

/* Lines that are no ops have no op to tell that they are taken: the checkpoint does. */
observer_err obs_corrections_file_save(void *tail, obs_buf *out) {
  obs_corrections_file_place place = get_place(tail);
  obs_pack_u64(out, place.start);
  obs_pack_u64(out, place.end);
  obs_pack_id(out, place.hash);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

observer_err obs_corrections_file_load(void *tail, const void *data, size_t len) {
  obs_pack_reader in = {data, (const uint8_t *)data + len, false};
  obs_corrections_file_place place = {.start = obs_pack_read_u64(&in, INT64_MAX)};
  place.end = obs_pack_read_u64(&in, INT64_MAX);
  place.hash = obs_pack_read_id(&in);
  if (!obs_pack_at_end(&in) || !is_valid(&place)) return OBSERVER_E_CORRUPT;
  set_place(tail, &place);
  return OBSERVER_E_OK;
}

/* ---- rows become ops ---- */

static void note_bad(bad_lines *bad, uint64_t count, uint64_t offset, const char *why) {
  if (bad->count == 0) {
    bad->first = offset;
    snprintf(bad->why, sizeof(bad->why), "%s", why);
  }
  bad->count += count;
}

static bool complain(obs_corrections_file *t, const char *verb, const char *path, const char *why) {
  if (!t->complained) obs_log_warn("learn", "corrections: %s %s: %s", verb, path, why);
  t->complained = true;
  return false;
}

/* A line of the file as a row of the message. Redacted before anything is cut out of it. */
static bool add_row(cycle *c, obs_str line, const char *op_id, const char **why) {
  obs_buf redacted = {0};
  if (obs_redact_message(obs_commit_redact(c->commit), OBS_REDACT_JSON, line.p, line.len, 0, &redacted))
    line = obs_buf_view(&redacted);
  if (redacted.oom) c->t->message.oom = true;
  bool added = !redacted.oom && obs_corrections_file_map(line, op_id, &c->t->message, why);
  obs_buf_fini(&redacted);
  return added;
}

/* The next lines, up to what goes to commit at a time. False: later. */
static bool gather(cycle *c, int fd, obs_lines *lines, bool aside) {
  char op_id[OBS_CORRECTIONS_FILE_OP_ID_MAX];
  const char *why = "out of memory";
  obs_line_view line;
  obs_corrections_file *t = c->t;
  obs_buf_reset(&t->message, BYTES);
  c->rows = 0;
  c->gathered = (bad_lines){0};
  c->last = (obs_corrections_file_place){0};
  while (c->rows < ROWS && t->message.len < BYTES) {
    observer_err err = obs_lines_next(lines, &line);
    if (err != OBSERVER_E_OK && err != OBSERVER_E_NOTFOUND) return complain(t, "read", t->path, observer_strerror(err));
    /* A last line without its newline waits; of a file that was put aside one cycle, then it is what it is. */
    c->end = err == OBSERVER_E_NOTFOUND || (!line.newline && !aside);
    if (!c->end && !line.newline) c->end = c->waits = t->grace = !t->grace;
    if (c->end) break;
    if (obs_line_blank(line.p, line.len)) continue;

    c->last = (obs_corrections_file_place){line.offset, line.next, XXH3_64bits(line.p, line.len)};
    if (!is_valid(&c->last)) { /* too long to be a row: known again by its last bytes */
      c->last.start = line.next > END_BYTES ? line.next - END_BYTES : 0;
      if (hash_at(fd, c->last.start, c->last.end, &c->last.hash) != OBSERVER_E_OK)
        return complain(t, "read", t->path, strerror(errno));
    }
    obs_corrections_file_op_id(&c->last, op_id);
    if (line.oversize || line.len > OBS_CORRECTIONS_FILE_LINE_MAX)
      note_bad(&c->gathered, 1, line.offset, "longer than 1 MiB");
    else if (!add_row(c, (obs_str){line.p, (uint32_t)line.len, 0}, op_id, &why))
      note_bad(&c->gathered, 1, line.offset, why);
    else
      c->starts[c->rows++] = line.offset;
  }
  return !t->message.oom;
}

static void on_done(obs_batch *b) {
  obs_corrections_file *t = b->owner;
  pthread_mutex_lock(&t->lock);
  t->flying = false;
  pthread_cond_signal(&t->landed);
  pthread_mutex_unlock(&t->lock);
}

/* Gives the gathered lines to commit and waits; recorded, or bad, they are taken. False: later. */
static bool record(cycle *c) {
  obs_corrections_file *t = c->t;
  obs_batch *b = &t->batch;
  bad_lines *bad = &c->gathered;
  if (c->rows > 0) {
    obs_batch_reset(b);
    b->data = (const uint8_t *)t->message.p;
    b->size = t->message.len;
    b->transport = OBS_TRANSPORT_TAIL;
    b->profile = OBS_PROFILE_V1;
    b->redact = obs_commit_redact(c->commit);
    b->owner = t;
    b->done = on_done;
    obs_batch_decode(b, OBS_FORMAT_JSON, &t->limits, obs_clock_wall_ms());
    pthread_mutex_lock(&t->lock);
    t->flying = true;
    pthread_mutex_unlock(&t->lock);
    if (obs_commit_submit(c->commit, b) != OBSERVER_E_OK) on_done(b);
    pthread_mutex_lock(&t->lock);
    while (t->flying && !*c->stop) obs_thread_cond_wait_ms(&t->landed, &t->lock, POLL_MS);
    bool landed = !t->flying;
    pthread_mutex_unlock(&t->lock);
    if (!landed || b->error != OBSERVER_E_OK) return false;
    for (uint32_t i = 0; i < b->nrejects; i++) {
      const obs_batch_rejected *r = &b->rejects[i];
      note_bad(bad, 1, r->index < c->rows ? c->starts[r->index] : 0, r->reason);
    }
    c->recorded += b->recorded;
  }
  note_bad(&c->bad, bad->count, bad->first, bad->why);
  pthread_mutex_lock(&t->lock);
  t->counts.bad_lines += bad->count;
  if (c->rows > 0) t->counts.recorded += b->recorded;
  if (c->rows > 0) t->counts.duplicates += b->duplicates;
  t->place = c->last;
  pthread_mutex_unlock(&t->lock);
  return true;
}

/* Takes what a file has behind the place, a message at a time: the place moves on only when commit has recorded it, so
 * that a full disk or a stop loses no line. `aside`: it is not the one that is written to now. False: later. */
static bool drain(cycle *c, int fd, bool aside) {
  obs_lines lines;
  bool go = true;
  c->end = c->waits = false;
  obs_lines_init(&lines, fd, get_place(c->t).end);
  while (go && !c->end) {
    go = !*c->stop && gather(c, fd, &lines, aside);
    if (go && c->last.end > 0) go = record(c);
  }
  obs_lines_fini(&lines);
  return go && !c->waits;
}

/* ---- files ---- */

typedef enum { FILE_OPEN, FILE_MISSING, FILE_UNREADABLE } file_state;

static file_state open_file(obs_corrections_file *t, const char *path, int *fd) {
  struct stat st;
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe would block */
  if (*fd < 0 && errno == ENOENT) return FILE_MISSING;
  if (*fd >= 0 && fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) return FILE_OPEN;
  complain(t, "open", path, *fd < 0 ? strerror(errno) : "not a regular file");
  if (*fd >= 0) (void)close(*fd);
  *fd = -1;
  return FILE_UNREADABLE;
}

/* The journal does not tell who sent an op: one that anybody made up in the form of the tail's must not move the place,
 * for then the file would be read again from its start. So PATH or PATH.1 has the row, or neither can be read. */
void obs_corrections_file_apply_row(void *tail, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq,
                                    int64_t now_ms) {
  (void)unknown;
  obs_corrections_file *t = tail;
  const char *paths[] = {t->path, t->former};
  obs_corrections_file_place place;
  bool found = false, denied = false;
  int fd;
  (void)seq;
  (void)now_ms;
  if (!OBS_HAS(op, source) || !obs_str_eq(op->source, OBS_STR(source)) || !op_place(op, &place)) return;
  for (size_t i = 0; t->path != NULL && !found && i < sizeof(paths) / sizeof(*paths); i++) {
    if (open_file(t, paths[i], &fd) != FILE_OPEN) continue;
    observer_err err = verify(fd, &place);
    (void)close(fd);
    found = err == OBSERVER_E_OK;
    denied = denied || err == OBSERVER_E_NOTFOUND;
  }
  if (found || !denied) set_place(t, &place);
}

/* Reads an open file on from the place. False: later. */
static bool take_file(cycle *c, int fd, bool aside) {
  obs_corrections_file *t = c->t;
  const obs_corrections_file_place place = get_place(t);
  observer_err err = verify(fd, &place);
  if (err == OBSERVER_E_NOTFOUND) {
    /* It is another file, or the same one begun again. What the one that the place is of still has is taken from
     * PATH.1, when it stands there. */
    int former;
    if (open_file(t, t->former, &former) == FILE_OPEN) {
      bool done = verify(former, &place) != OBSERVER_E_OK || drain(c, former, true);
      (void)close(former);
      if (!done) return false;
    }
    obs_log_info("learn", "corrections: %s was truncated or replaced: reading it from its start", t->path);
    pthread_mutex_lock(&t->lock);
    t->place = (obs_corrections_file_place){0};
    t->counts.restarts++;
    pthread_mutex_unlock(&t->lock);
  } else if (err != OBSERVER_E_OK) {
    return complain(t, "read", t->path, observer_strerror(err));
  }
  return drain(c, fd, aside);
}

/* What is at PATH now, after the rest of what was there before. How a file is replaced is not known, so the one that
 * was read last stays open, and PATH is looked at anew each cycle. When PATH is the same file, that is read on. When it
 * is another one, the rest of the open one (`aside`) is read first, then this one from its start. When there is none,
 * the open one is read on: its writer may be between rename and create. When it cannot be read, nothing is done, and it
 * is warned of once. A file that was copied and truncated is the same file, but the row before the place is gone:
 * take_file sees that, and looks for the rest in PATH.1. */
static void take_files(cycle *c) {
  obs_corrections_file *t = c->t;
  struct stat was, is;
  int fd;
  file_state state = open_file(t, t->path, &fd);
  if (state == FILE_UNREADABLE) return;
  bool aside = t->fd >= 0 && state == FILE_OPEN &&
               (fstat(t->fd, &was) != 0 || fstat(fd, &is) != 0 || was.st_dev != is.st_dev || was.st_ino != is.st_ino);
  if (t->fd >= 0 && (aside || state == FILE_MISSING) && (!take_file(c, t->fd, aside) || !aside)) {
    if (fd >= 0) (void)close(fd);
    return;
  }
  if (state == FILE_MISSING) return;
  if (t->fd >= 0) (void)close(t->fd);
  t->fd = fd;
  if (take_file(c, fd, false)) t->complained = false;
}

uint32_t obs_corrections_file_cycle(obs_corrections_file *t, obs_commit *commit, const _Atomic bool *stop) {
  cycle c = {.t = t, .commit = commit, .stop = stop};
  pthread_mutex_lock(&t->lock);
  bool flying = t->flying; /* the last cycle was stopped while it waited */
  pthread_mutex_unlock(&t->lock);
  if (t->path == NULL || flying) return 0;
  take_files(&c);
  if (c.bad.count > 0)
    obs_log_warn("learn", "corrections: %s: %" PRIu64 " bad line%s ignored, the first at byte %" PRIu64 ": %s", t->path,
                 c.bad.count, c.bad.count == 1 ? "" : "s", c.bad.first, c.bad.why);
  if (c.bad.count > 0 && c.recorded == 0) obs_commit_checkpoint(commit); /* no op tells that they are taken */
  return c.recorded;
}

/* ---- the loop ---- */

static observer_err open_loop(obs_loop_tools *tools, void **loop, char *error_text, size_t size) {
  obs_corrections_file *t = NULL;
  obs_corrections_file_opts opts = {.path = tools->opts->corrections_path, .limits = tools->opts->limits};
  (void)error_text, (void)size;
  observer_err err = obs_corrections_file_open(&opts, &t);
  *loop = t;
  return err;
}

static observer_err start_loop(void *loop, obs_commit *commit) {
  obs_corrections_file *t = loop;
  t->commit = commit;
  return OBSERVER_E_OK;
}

/* The line is the older observer's. */
static void run_loop(void *loop, const obs_loop_turn *turn) {
  obs_corrections_file *t = loop;
  uint32_t taken = obs_corrections_file_cycle(t, t->commit, turn->stop);
  if (taken > 0) obs_log_info("learn", "[observer] pulled %" PRIu32 " new overseer correction(s) into ring", taken);
}

const obs_loop obs_corrections_loop = {.name = "corrections",
                                       .open = open_loop,
                                       .start = start_loop,
                                       .cycle = run_loop,
                                       .close = obs_corrections_file_close,
                                       .follower = {.name = "tail",
                                                    .version = OBS_CORRECTIONS_FILE_VERSION,
                                                    .apply = obs_corrections_file_apply,
                                                    .apply_row = obs_corrections_file_apply_row,
                                                    .save = obs_corrections_file_save,
                                                    .load = obs_corrections_file_load}};
