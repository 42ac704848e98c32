/* Reading and masking of an error's text, and the miner that clusters by it: the lines of the input are messages, and
 * so is all of it. */
#include "cluster/mask.h"
#include "cluster/miner.h"
#include "cluster/reading.h"

#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  return 0;
}

static void check_tokens(obs_str message) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  size_t n = obs_mask(message, tokens);
  FUZZ_CHECK(n <= OBS_MASK_TOKENS);
  const char *at = message.p, *end = message.p + (message.len < OBS_MASK_BYTES ? message.len : OBS_MASK_BYTES);
  for (size_t i = 0; i < n; i++) { /* views of the message, one after another */
    FUZZ_CHECK(tokens[i].p >= at && tokens[i].len <= (size_t)(end - tokens[i].p));
    FUZZ_CHECK(!tokens[i].value || tokens[i].word);
    at = tokens[i].p;
  }
  obs_buf out = {0};
  obs_mask_template(tokens, n, &out);
  FUZZ_CHECK(!out.oom && out.len <= (size_t)OBS_MASK_BYTES + 4 * n);
  obs_buf_fini(&out);
}

/* What is read is a part of the message, or stands in the room. */
static void check_reading(obs_str message) {
  char room[OBS_READING_BYTES];
  obs_str read = obs_reading_of(message, room);
  bool composed = read.p == room;
  FUZZ_CHECK(read.len <= OBS_READING_BYTES);
  FUZZ_CHECK(composed || (read.p >= message.p && read.p + read.len <= message.p + message.len));
  check_tokens(read);
}

typedef struct {
  const char *at, *end;
} lines;

static bool next_line(lines *l, obs_str *out) {
  if (l->at >= l->end) return false;
  const char *nl = memchr(l->at, '\n', (size_t)(l->end - l->at));
  *out = (obs_str){l->at, (uint32_t)((nl != NULL ? nl : l->end) - l->at), 0};
  l->at += out->len + 1;
  return true;
}

static obs_miner *open_miner(void) {
  const obs_miner_opts opts = {.clusters = 8, .forms = 16};
  obs_miner *m = NULL;
  FUZZ_CHECK(obs_miner_open(&opts, &m) == OBSERVER_E_OK);
  return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *copy = fuzz_copy(data, size);
  const lines all = {(const char *)copy, (const char *)copy + size};
  obs_miner *m = open_miner(), *other = open_miner();
  obs_str message;
  for (lines l = all; next_line(&l, &message);) {
    check_tokens(message);
    check_reading(message);
    obs_miner_ref ref = obs_miner_add(m, message);
    uint32_t slot = obs_miner_find(m, ref);
    FUZZ_CHECK(ref.slot != OBS_MINER_NONE && slot != OBS_MINER_NONE);
    FUZZ_CHECK(obs_miner_peek(m, message) == slot); /* what was added is known */
  }
  const obs_str whole = {(const char *)copy, (uint32_t)size, 0};
  check_reading(whole);
  FUZZ_CHECK(obs_miner_find(m, obs_miner_add(m, whole)) != OBS_MINER_NONE);
  obs_buf saved = {0};
  obs_miner_save(m, &saved);
  const uint8_t *bytes = (const uint8_t *)saved.p;
  obs_pack_reader in = {.p = bytes, .end = bytes + saved.len};
  FUZZ_CHECK(obs_miner_load(other, &in) && obs_pack_at_end(&in));
  for (lines l = all; next_line(&l, &message);) { /* what was learned comes back */
    uint32_t slot = obs_miner_peek(m, message);
    FUZZ_CHECK(obs_miner_peek(other, message) == slot);
    if (slot != OBS_MINER_NONE) FUZZ_CHECK(obs_str_eq(obs_miner_template(m, slot), obs_miner_template(other, slot)));
  }
  obs_buf_fini(&saved);
  obs_miner_close(m);
  obs_miner_close(other);
  free(copy);
  return 0;
}
