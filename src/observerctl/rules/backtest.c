#include "observerctl/rules/backtest.h"

#include "journal/times.h"
#include "jsonl/lines.h"
#include "observerctl/journal/segments.h"
#include "observerctl/rules/player.h"
#include "op/batch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROGRESS_BYTES = 1 << 22 };

typedef struct {
  obs_backtest *b;
  obs_player player;
  obs_batch rows;
  uint64_t seq; /* of the next row */
  bool begun;   /* a segment was played, so that `seq` is known */
} run;

/* ---- what would have fired ---- */

static uint32_t place_of(const obs_backtest *b, const char *rule) {
  for (uint32_t i = 0; i < b->rules->n; i++)
    if (strcmp(b->rules->at[i].id, rule) == 0) return i;
  return 0;
}

static obs_alert *find_listed(obs_backtest *b, const obs_alert *a) {
  for (uint32_t i = b->alerts.n; i-- > 0;)
    if (b->alerts.at[i].number == a->number) return &b->alerts.at[i];
  return NULL;
}

static bool is_known_group(const obs_backtest *b, const obs_alert *a) {
  for (uint32_t i = 0; i < b->alerts.n; i++)
    if (b->alerts.at[i].fingerprint == a->fingerprint) return true;
  return false;
}

static void on_event(void *arg, const obs_alert *a) {
  obs_backtest *b = arg;
  obs_backtest_rule *r = &b->of[place_of(b, a->rule)];
  if (a->state == OBS_ALERT_FIRING) {
    r->fired++;
    r->open++;
    r->last_ms = a->fired_ms;
    r->groups += !is_known_group(b, a);
    obs_alert *row = b->alerts.n < OBS_BACKTEST_KEPT ? OBS_VEC_PUSH(&b->alerts) : NULL;
    if (row != NULL)
      *row = *a;
    else
      b->left_out++;
    return;
  }
  int64_t lasted = a->resolved_ms - a->fired_ms;
  r->open--;
  r->total_ms += lasted;
  if (lasted > r->longest_ms) r->longest_ms = lasted;
  obs_alert *row = find_listed(b, a);
  if (row != NULL) *row = *a;
}

static bool count_open(void *arg, const obs_alert *a) {
  obs_backtest *b = arg;
  if (a->state == OBS_ALERT_PENDING) return true;
  obs_backtest_rule *r = &b->of[place_of(b, a->rule)];
  int64_t lasted = b->last_ms - a->fired_ms;
  r->total_ms += lasted;
  if (lasted > r->longest_ms) r->longest_ms = lasted;
  return true;
}

/* ---- reading ---- */

/* Rows of an op that is no op, or that nobody can tell when it came, say nothing. */
static bool play_row(run *r, const char *line, size_t len, obs_times_reader *times) {
  obs_backtest *b = r->b;
  const char *reason;
  int64_t skew_ms = 0;
  obs_batch_reset(&r->rows);
  if (!obs_batch_decode_row(&r->rows, line, len, &reason)) {
    b->bad_rows++;
    return true;
  }
  uint64_t seq = r->seq++;
  obs_op *op = &r->rows.ops[0];
  int64_t received_ms = times->fd >= 0 ? obs_times_of(times, seq, &skew_ms) : OBS_TIMES_NONE;
  if (received_ms == OBS_TIMES_NONE) {
    b->untimed++;
    received_ms = op->time_ms > b->last_ms ? op->time_ms : b->last_ms; /* receipt never goes back */
  }
  if (received_ms < b->since_ms || received_ms > b->until_ms) return true;
  obs_op_set_times(op, received_ms, skew_ms);
  if (b->rows++ == 0) b->first_ms = received_ms;
  b->last_ms = received_ms;
  return obs_player_op(&r->player, op, op->unknown_count > 0 ? r->rows.unknown + op->unknown_first : NULL, seq);
}

static bool play_file(run *r, int fd, obs_times_reader *times) {
  obs_lines lines;
  obs_line_view row;
  struct stat st;
  uint64_t reported = 0;
  bool ok = true;
  if (fstat(fd, &st) != 0) return false;
  obs_lines_init(&lines, fd, 0);
  observer_err err = OBSERVER_E_OK;
  while (ok && lines.offset < (uint64_t)st.st_size && (err = obs_lines_next(&lines, &row)) == OBSERVER_E_OK) {
    if (!row.newline) break; /* a daemon is writing it */
    if (row.oversize)
      r->b->bad_rows++;
    else if (!obs_line_blank(row.p, row.len))
      ok = play_row(r, row.p, row.len, times);
    if (row.next - reported >= PROGRESS_BYTES && r->b->progress != NULL) {
      r->b->progress(r->b->arg, row.next - reported);
      reported = row.next;
    }
  }
  int saved = !ok || err == OBSERVER_E_NOMEM ? ENOMEM : errno;
  obs_lines_fini(&lines);
  errno = saved;
  return ok && (err == OBSERVER_E_OK || err == OBSERVER_E_NOTFOUND);
}

/* The seq that the active segment begins with, as the name of its sidecar says; 0: it has none. */
static uint64_t active_seq(const char *dir, const char *name, int fd) {
  const char *dot = strrchr(name, '.');
  size_t stem = dot != NULL ? (size_t)(dot - name) : strlen(name);
  uint64_t found = 0;
  DIR *d = opendir(dir);
  if (d == NULL) return 0;
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    if (strncmp(e->d_name, name, stem) != 0 || e->d_name[stem] != '-') continue;
    const char *digits = e->d_name + stem + 1;
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 19 || strcmp(digits + n, ".times") != 0) continue;
    uint64_t seq = strtoull(digits, NULL, 10);
    obs_times_reader times;
    obs_times_open(&times, dirfd(d), e->d_name, fd, seq);
    if (times.fd >= 0 && seq > found) found = seq;
    obs_times_reader_close(&times);
  }
  (void)closedir(d);
  return found;
}

static bool play_segment(run *r, const char *dir, const char *name, const obs_segments *s, size_t i) {
  bool active = i + 1 == s->n && s->active_fd >= 0;
  int fd = active ? s->active_fd : open(s->paths[i], O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT; /* retention may have deleted it since it was listed */
  const char *dot = strrchr(name, '.');
  int stem = dot != NULL ? (int)(dot - name) : (int)strlen(name);
  uint64_t seq = active ? active_seq(dir, name, fd) : s->first_seqs[i];
  char *sidecar = NULL;
  obs_times_reader times = {.fd = -1};
  if (r->begun && seq > r->seq) r->b->missing += seq - r->seq;
  if (seq > 0) r->seq = seq;
  r->begun = true;
  if (seq > 0 && asprintf(&sidecar, "%s/%.*s-%llu.times", dir, stem, name, (unsigned long long)seq) >= 0)
    obs_times_open(&times, AT_FDCWD, sidecar, fd, seq);
  free(sidecar);
  bool ok = play_file(r, fd, &times);
  int saved = errno;
  obs_times_reader_close(&times);
  if (!active) (void)close(fd);
  errno = saved;
  return ok;
}

bool obs_backtest_run(obs_backtest *b, const char *dir, const char *journal_name, char *error, size_t size) {
  run r = {.b = b, .seq = 1};
  obs_segments s = {.active_fd = -1};
  bool ok = obs_batch_init(&r.rows) == OBSERVER_E_OK && obs_player_init(&r.player, b->rules);
  errno = ENOMEM;
  r.player.event = on_event;
  r.player.arg = b;
  if (!ok) {
    (void)snprintf(error, size, "out of memory");
  } else if (!(ok = obs_segments_list(&s, dir, journal_name))) {
    (void)snprintf(error, size, "%s: %s", dir, strerror(errno));
  } else if (!(ok = s.n > 0)) {
    (void)snprintf(error, size, "%s: there is no journal called %s", dir, journal_name);
  }
  for (size_t i = 0; ok && i < s.n; i++) {
    ok = play_segment(&r, dir, journal_name, &s, i);
    if (!ok) (void)snprintf(error, size, "%s: %s", s.paths[i], strerror(errno));
  }
  if (ok && b->rows > 0) obs_engine_each(r.player.engine, count_open, b);
  obs_segments_fini(&s);
  obs_player_fini(&r.player);
  obs_batch_fini(&r.rows);
  return ok;
}

void obs_backtest_fini(obs_backtest *b) {
  OBS_VEC_FINI(&b->alerts);
}
