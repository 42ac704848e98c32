#include "base/service_manager.h"
#include "observerd/internal.h"
#include "observerd/listeners.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { START_MORE_S = 60 };

/* Before the first file is made, and before there are other threads: what is made has the data directory's permissions,
 * through the umask. */
static void set_permissions(const obs_config *o) {
  struct stat st;
  mode_t mode = o->data_mode_bits;
  if (stat(o->data_dir, &st) == 0 && S_ISDIR(st.st_mode)) {
    mode = st.st_mode & 0777;
    if ((mode & 0077) != 0)
      obs_log_warn("observerd",
                   "%s keeps its permissions %04o: other users can read what is recorded (chmod 0700 prevents it)",
                   o->data_dir, (unsigned)mode);
  }
  (void)umask(~mode & 0777);
}

/* Before a file is made. The audit's is made with its first row, which comes later. */
static observer_err open_access(obs_daemon *d, const obs_config *o, char *error, size_t size) {
  char *audit_path = NULL;
  obs_access_counts counts;
  if (d->data_dir != NULL && asprintf(&audit_path, "%s/audit.jsonl", d->data_dir) < 0) return OBSERVER_E_NOMEM;
  observer_err err = obs_listeners_open_access(o, audit_path, &d->access, error, size);
  bool told = err == OBSERVER_E_OK && o->leader == NULL; /* the leader's one socket is its own */
  if (told && o->keys == NULL) {
    obs_log_info("observerd", "access: open, there is no key file");
  } else if (told) {
    obs_access_get_counts(d->access, &counts);
    obs_log_info("observerd", "access: %u keys in %s, audit file %s", counts.keys, o->keys,
                 audit_path != NULL ? audit_path : "none (ephemeral)");
  }
  free(audit_path);
  return err;
}

/* ---- redaction ---- */

static bool redact_log(void *arg, obs_str text, obs_buf *out) {
  return obs_redact_text(arg, text, out);
}

static void log_redaction(const obs_daemon *d) {
  obs_redact_count kinds[OBS_REDACT_ALL_KINDS];
  uint64_t failures;
  obs_buf names = {0};
  size_t n = obs_redact_get_counts(d->redact, kinds, &failures);
  for (size_t i = 0; i < n; i++) obs_buf_printf(&names, " %s", kinds[i].name);
  if (n == 0)
    obs_log_warn("observerd", "redaction is off: secrets are recorded as they come");
  else if (!names.oom)
    obs_log_info("observerd", "redaction %s:%.*s", d->config->redact, (int)names.len, obs_buf_view(&names).p);
  obs_buf_fini(&names);
}

/* At the first start there is nothing to say. */
static void warn_of_new_key(const obs_daemon *d, const char *name) {
  obs_journal_counts counts;
  obs_journal_get_counts(d->journal, &counts);
  if (counts.bytes == 0) return;
  obs_log_warn("observerd",
               "redaction: %s/%s was not there, a new one was made: where rows of the journal have tokens, the same "
               "secrets get others from now on",
               d->data_dir, name);
}

/* The key of the installation stands in the data directory, which the journal has locked. From here on the log goes
 * through it as well. */
static observer_err open_redaction(obs_daemon *d, const obs_config *o, char *error, size_t size) {
  static const char name[] = "redact.key";
  uint8_t key[OBS_REDACT_KEY_BYTES];
  char why[256] = "no random numbers";
  bool made = false;
  observer_err err;
  const obs_option_list *patterns = &o->redact_pattern;
  if (o->redact_kinds == OBS_REDACT_OFF && patterns->n == 0) {
    log_redaction(d);
    return OBSERVER_E_OK;
  }
  if (d->data_dir != NULL) {
    int dir = open(d->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
      (void)snprintf(error, size, "open %s: %s", d->data_dir, strerror(errno));
      return OBSERVER_E_IO;
    }
    err = obs_redact_read_key(dir, name, key, &made, why, sizeof(why));
    (void)close(dir);
  } else {
    err = obs_redact_make_key(key);
  }
  if (err != OBSERVER_E_OK) {
    (void)snprintf(error, size, "redaction: %s%s%s", d->data_dir != NULL ? d->data_dir : "",
                   d->data_dir != NULL ? "/" : "", why);
    return err;
  }
  err =
      obs_redact_open(o->redact_kinds, (const char *const *)patterns->items, patterns->n, key, &d->redact, error, size);
  explicit_bzero(key, sizeof(key));
  if (err != OBSERVER_E_OK) return err;
  if (made && o->leader == NULL) warn_of_new_key(d, name); /* each worker has one */
  if (d->journal != NULL) obs_journal_set_redact(d->journal, d->redact);
  if (o->leader == NULL) obs_log_set_filter(redact_log, d->redact);
  log_redaction(d);
  return OBSERVER_E_OK;
}

/* ---- the journal ---- */

/* A large journal takes its time: as long as rows are read, the service manager waits. */
static void tell_progress(void *arg, uint64_t rows, unsigned percent) {
  char status[96];
  (void)arg;
  (void)snprintf(status, sizeof(status), "reading the journal: %" PRIu64 " rows, %u %%", rows, percent);
  obs_service_manager_starting(START_MORE_S, status);
}

/* ---- all of it ---- */

observer_err obs_daemon_open_record(obs_daemon *d, const obs_config *o, char *error, size_t size) {
  const char *dir = o->ephemeral ? NULL : o->data_dir;
  observer_err err = open_access(d, o, error, size);
  if (err != OBSERVER_E_OK) return err;

  obs_state_opts state = OBS_STATE_OPTS_DEFAULT;
  state.ring = (uint32_t)o->ring;
  state.endpoints = (uint32_t)o->endpoints;
  if ((err = obs_state_open(&state, &d->state)) != OBSERVER_E_OK) return err;
  if (dir != NULL && o->leader == NULL) set_permissions(o);

  /* It locks the directory; all files that are opened after it stand under that lock. */
  const obs_journal_opts journal = {.dir = dir,
                                    .name = o->journal_name,
                                    .fsync = o->fsync_mode,
                                    .fsync_ms = o->fsync_ms,
                                    .segment_bytes = o->segment_bytes,
                                    .retain_segments = (uint32_t)o->retain_segments,
                                    .retain_bytes = o->retain_bytes,
                                    .retain_seconds = o->retain_hours * 3600,
                                    .progress = o->leader == NULL ? tell_progress : NULL};
  if (dir != NULL && (err = obs_journal_open(&journal, &d->journal, error, size)) != OBSERVER_E_OK) return err;

  if ((err = open_redaction(d, o, error, size)) != OBSERVER_E_OK) return err;

  const obs_sessions_opts sessions = {.dir = dir, .sync = o->fsync_mode != OBS_FSYNC_NEVER};
  return obs_sessions_open(&sessions, &d->sessions, error, size);
}
