/* A data directory of any bytes: the daemon's start reads it, and what it made of it stands at the next start.
 *
 * Input: parts, each behind a line `@<name>`: a file of the directory (names[] below), or `@blob`, which becomes the
 * caller's part of a checkpoint whose head and checksum are right. */
#include "base/clock.h"
#include "cluster/clusters.h"
#include "commit/commit.h"
#include "sessions/sessions.h"

#include "place.h"

static const char *const names[] = {
    "ops.jsonl", "ops-1.jsonl",   "ops-1.idx", "ops-3.jsonl", "ops.idx", "checkpoint", "coordinator_sessions.jsonl",
    "group",     "bad-rows.jsonl"};
enum { NAMES = sizeof(names) / sizeof(names[0]), INPUT_MAX = 32768 };

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  obs_log_setup(OBS_LOG_ERROR + 1, OBS_LOG_TEXT); /* what is damaged is logged: not of interest here */
  place_make();
  return 0;
}

typedef struct {
  const uint8_t *p;
  size_t len;
} part;

/* Moves over the part at *p, whose head gives its name's place; NAMES: the blob; -1: no part. */
static int take_part(const uint8_t **p, const uint8_t *end, part *out) {
  const uint8_t *head = *p, *nl = memchr(head, '\n', (size_t)(end - head));
  if (end - head < 2 || *head != '@' || nl == NULL) return -1;
  const uint8_t *q = nl + 1;
  while (q < end) { /* up to the next line that begins with @ */
    if (*q == '@' && q[-1] == '\n') break;
    q++;
  }
  *out = (part){nl + 1, (size_t)(q - nl - 1)};
  *p = q;
  size_t n = (size_t)(nl - head) - 1;
  if (n == 4 && memcmp(head + 1, "blob", 4) == 0) return NAMES;
  for (int i = 0; i < NAMES; i++) {
    if (strlen(names[i]) == n && memcmp(head + 1, names[i], n) == 0) return i;
  }
  return -1;
}

static bool any_row(void *arg, const obs_journal_row *row, int64_t *time_ms, const char **reason) {
  (void)arg;
  (void)time_ms;
  *reason = "empty";
  return row->len > 0 && row->line[row->len - 1] == '}';
}

static void save(obs_journal *j, uint64_t seq, const part *blob) {
  obs_buf file = {0};
  if (obs_journal_checkpoint_encode(j, seq, blob->p, blob->len, &file) == OBSERVER_E_OK)
    (void)obs_journal_checkpoint_write(j, &file);
  obs_buf_fini(&file);
}

/* A checkpoint as the daemon writes it, of other bytes. */
static void save_blob(const part *blob) {
  const obs_journal_opts opts = {.dir = place_dir, .fsync = OBS_FSYNC_NEVER};
  obs_journal *j = NULL;
  obs_journal_replayed replayed;
  char text[256];
  if (obs_journal_open(&opts, &j, text, sizeof(text)) != OBSERVER_E_OK) return;
  if (obs_journal_replay(j, 1, any_row, NULL, &replayed) == OBSERVER_E_OK) save(j, obs_journal_next_seq(j) - 1, blob);
  obs_journal_close(j);
}

typedef struct {
  uint64_t next_seq, bad, total, successes;
  bool torn;
} outcome;

/* One start, up to where sockets would open, and the stop. False: it was refused, with words. */
static bool start(outcome *out) {
  char text[512] = "";
  obs_journal *j = NULL;
  obs_sessions *sessions = NULL;
  obs_state *state = NULL;
  obs_clusters *clusters = NULL;
  obs_commit *commit = NULL;
  obs_commit_recovered recovered;
  const obs_journal_opts journal_opts = {.dir = place_dir, .fsync = OBS_FSYNC_NEVER, .block_bytes = 512};
  const obs_sessions_opts sessions_opts = {.dir = place_dir};
  const obs_state_opts state_opts = {
      .ring = 8, .ring_text_bytes = 4096, .endpoints = 4, .sources = 4, .sketch_bytes = 1 << 16};
  const obs_clusters_opts clusters_opts = {.clusters = 16};
  observer_err err = obs_journal_open(&journal_opts, &j, text, sizeof(text));
  if (err == OBSERVER_E_OK) err = obs_sessions_open(&sessions_opts, &sessions, text, sizeof(text));
  if (err != OBSERVER_E_OK) {
    FUZZ_CHECK(text[0] != '\0');
    obs_journal_close(j);
    return false;
  }
  FUZZ_CHECK(obs_state_open(&state_opts, &state) == OBSERVER_E_OK);
  FUZZ_CHECK(obs_clusters_open(&clusters_opts, &clusters) == OBSERVER_E_OK);
  const obs_commit_follower follower = {.name = "clusters",
                                        .version = OBS_CLUSTERS_VERSION,
                                        .arg = clusters,
                                        .apply_row = obs_clusters_apply_row,
                                        .save = obs_clusters_save,
                                        .load = obs_clusters_load};
  const obs_commit_opts commit_opts = {
      .journal = j, .state = state, .dedupe = 16, .followers = &follower, .nfollowers = 1};
  FUZZ_CHECK(obs_commit_open(&commit_opts, &commit) == OBSERVER_E_OK);
  err = obs_commit_recover(commit, &recovered);
  obs_state_counts counts;
  obs_state_get_counts(state, &counts);
  *out = (outcome){obs_journal_next_seq(j), recovered.bad_rows, counts.total, counts.successes, recovered.torn};
  obs_buf views = {0};
  obs_state_stats_json(state, true, &views);
  obs_json_writer w = obs_json_write(&views);
  obs_json_object(&w, NULL);
  obs_state_put_summary(state, obs_clock_wall_ms(), &w);
  obs_json_end(&w);
  obs_sessions_stats_json(sessions, &views);
  FUZZ_CHECK(!views.oom);
  obs_buf_fini(&views);
  obs_commit_close(commit);
  obs_clusters_close(clusters);
  obs_state_close(state);
  obs_sessions_close(sessions);
  obs_journal_close(j);
  return err == OBSERVER_E_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > INPUT_MAX) return 0;
  const uint8_t *p = data, *end = data + size;
  part blob = {NULL, 0};
  place_clear();
  while (p < end) {
    part one;
    int i = take_part(&p, end, &one);
    if (i == -1) break;
    if (i == NAMES)
      blob = one;
    else
      place_spill(names[i], one.p, one.len);
  }
  if (blob.p != NULL) save_blob(&blob);
  outcome first, second;
  if (!start(&first)) return 0;
  FUZZ_CHECK(first.next_seq >= 1 && first.successes <= first.total);
  /* What the first start repaired is whole, and counts as it did. */
  FUZZ_CHECK(start(&second));
  FUZZ_CHECK(!second.torn && second.next_seq == first.next_seq);
  FUZZ_CHECK(second.total == first.total && second.successes == first.successes);
  return 0;
}
