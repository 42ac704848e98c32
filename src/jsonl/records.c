#include "jsonl/internal.h"

#include "base/log.h"
#include "jsonl/lines.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEPT = 1000, KEPT_BYTES = 4 << 20, TURN_BYTES = 32 << 20 };

static bool allocate(obs_records *r, const obs_records_opts *opts) {
  r->opts = *opts;
  if (r->opts.kept == 0) r->opts.kept = KEPT;
  if (r->opts.kept_bytes == 0) r->opts.kept_bytes = KEPT_BYTES;
  if (r->opts.turn_bytes == 0) r->opts.turn_bytes = TURN_BYTES;
  r->turn_at = r->opts.turn_bytes;
  r->next = 1;
  r->dir_fd = r->fd = -1;
  r->datasync = fdatasync;
  r->lock_made = pthread_mutex_init(&r->lock, NULL) == 0;
  r->name = strdup(opts->name);
  if (opts->dir != NULL) r->dir = strdup(opts->dir);
  return r->lock_made && r->name != NULL && (opts->dir == NULL || r->dir != NULL) && obs_records_kept_init(r);
}

observer_err obs_records_open(const obs_records_opts *opts, obs_records **out, char *error_text, size_t error_size) {
  *out = NULL;
  obs_records *r = calloc(1, sizeof(*r));
  if (r == NULL || !allocate(r, opts)) {
    snprintf(error_text, error_size, "%s: %s", opts->name, observer_strerror(OBSERVER_E_NOMEM));
    obs_records_close(r);
    return OBSERVER_E_NOMEM;
  }
  observer_err err = r->dir == NULL ? OBSERVER_E_OK : obs_records_load(r, error_text, error_size);
  if (err != OBSERVER_E_OK) {
    obs_records_close(r);
    return err;
  }
  *out = r;
  return OBSERVER_E_OK;
}

void obs_records_close(obs_records *r) {
  if (r == NULL) return;
  if (r->fd >= 0) (void)close(r->fd); /* every row was synced */
  if (r->dir_fd >= 0) (void)close(r->dir_fd);
  obs_records_kept_fini(r);
  if (r->lock_made) pthread_mutex_destroy(&r->lock);
  free(r->name);
  free(r->dir);
  free(r);
}

uint64_t obs_records_next(obs_records *r) {
  pthread_mutex_lock(&r->lock);
  uint64_t next = r->next;
  pthread_mutex_unlock(&r->lock);
  return next;
}

/* `{"id":N,` and the members, with the newline. */
static observer_err make_row(uint64_t number, const obs_buf *members, obs_buf *row) {
  if (members->oom) return OBSERVER_E_NOMEM;
  if (members->len > 0 && memchr(members->p, '\n', members->len) != NULL) return OBSERVER_E_INVALID;
  obs_buf_printf(row, "{\"id\":%" PRIu64 "%s", number, members->len > 0 ? "," : "");
  obs_buf_append(row, members->p, members->len);
  obs_buf_puts(row, "}\n");
  if (row->oom) return OBSERVER_E_NOMEM;
  return row->len <= OBS_LINE_MAX ? OBSERVER_E_OK : OBSERVER_E_INVALID;
}

static observer_err fail(obs_records *r, observer_err err, const char *why) {
  r->counts.failures++;
  if (!r->failing)
    obs_log_error("records", "write %s%s%s: %s", r->dir != NULL ? r->dir : "", r->dir != NULL ? "/" : "", r->name, why);
  r->failing = true;
  return err;
}

static observer_err append_locked(obs_records *r, const obs_buf *members, obs_buf *row) {
  observer_err err = make_row(r->next, members, row);
  if (err != OBSERVER_E_OK) return fail(r, err, observer_strerror(err));
  uint32_t len = (uint32_t)row->len - 1;
  char *copy = malloc(len);
  if (copy == NULL) return fail(r, OBSERVER_E_NOMEM, observer_strerror(OBSERVER_E_NOMEM));
  if (r->dir != NULL && !obs_records_write(r, row)) {
    int saved = errno;
    free(copy);
    return fail(r, saved == ENOSPC || saved == EDQUOT || saved == EFBIG ? OBSERVER_E_NOSPC : OBSERVER_E_IO,
                strerror(saved));
  }
  memcpy(copy, row->p, len);
  obs_records_keep(r, r->next++, copy, len);
  r->counts.rows++;
  r->failing = false;
  return OBSERVER_E_OK;
}

observer_err obs_records_append(obs_records *r, const obs_buf *members, uint64_t *number) {
  obs_buf row = {0};
  pthread_mutex_lock(&r->lock);
  if (number != NULL) *number = r->next;
  observer_err err = append_locked(r, members, &row);
  pthread_mutex_unlock(&r->lock);
  obs_buf_fini(&row);
  return err;
}

void obs_records_get_counts(obs_records *r, obs_records_counts *out) {
  pthread_mutex_lock(&r->lock);
  *out = r->counts;
  pthread_mutex_unlock(&r->lock);
}
