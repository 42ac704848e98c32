/* A key file and the text of a key: the input is taken for both. What is read is written and read again as the same; a
 * text that is a key is found in any other. */
#include "access/keys.h"
#include "access/peer.h"

#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  return 0;
}

static void check_same(const obs_key *a, const obs_key *b) {
  FUZZ_CHECK(strcmp(a->id, b->id) == 0 && obs_str_eq(a->name, b->name) && a->scopes == b->scopes);
  FUZZ_CHECK(memcmp(a->hash, b->hash, sizeof a->hash) == 0 && a->nsources == b->nsources);
  FUZZ_CHECK(a->expires_ms == b->expires_ms && a->revoked_ms == b->revoked_ms && a->created_ms == b->created_ms);
  for (uint32_t i = 0; i < a->nsources; i++) FUZZ_CHECK(obs_str_eq(a->sources[i], b->sources[i]));
}

static void check_keys(const obs_keys *keys, obs_str source) {
  FUZZ_CHECK(keys->n <= OBS_KEYS_MAX);
  for (const obs_key *k = keys->at; k < keys->at + keys->n; k++) {
    FUZZ_CHECK(obs_keys_find(keys, k->id) == k);
    FUZZ_CHECK((k->scopes & ~(unsigned)OBS_SCOPE_OF_KEYS) == 0 && k->scopes != 0);
    FUZZ_CHECK(obs_scope_resolve(k->scopes) == k->scopes && k->nsources <= OBS_KEYS_SOURCES_MAX);
    FUZZ_CHECK(k->nsources == 0 || !obs_key_speaks_as(k, OBS_STR("")));
    (void)obs_key_speaks_as(k, source);
    for (uint32_t i = 0; i < k->nsources; i++) FUZZ_CHECK(obs_key_speaks_as(k, k->sources[i]));
  }
}

static void check_file(obs_str text) {
  char error[256] = "";
  obs_keys keys, again;
  obs_buf written = {0};
  if (obs_keys_read(text, &keys, error, sizeof error) == OBSERVER_E_OK) {
    check_keys(&keys, text);
    obs_keys_put(keys.document, &written);
    FUZZ_CHECK(obs_keys_read(obs_buf_view(&written), &again, error, sizeof error) == OBSERVER_E_OK);
    FUZZ_CHECK(again.n == keys.n);
    for (uint32_t i = 0; i < keys.n; i++) check_same(&keys.at[i], &again.at[i]);
    obs_keys_fini(&again);
  } else {
    FUZZ_CHECK(error[0] != '\0');
  }
  obs_keys_fini(&keys);
  obs_buf_fini(&written);
}

static void check_text(obs_str text) {
  obs_key_text parts;
  obs_str found;
  char peer[256], network[OBS_PEER_NETWORK_MAX];
  if (obs_key_text_find(text.p, text.len, &found))
    FUZZ_CHECK(found.p >= text.p && found.len <= OBS_KEY_TEXT_LEN && found.p + found.len <= text.p + text.len);
  if (obs_key_text_parse(text, &parts)) {
    FUZZ_CHECK(obs_key_text_is_id(obs_str_of(parts.id)) && parts.secret.len == OBS_KEY_SECRET_LEN);
    FUZZ_CHECK(obs_key_text_find(text.p, text.len, &found) && found.p == text.p && found.len == text.len);
  }
  (void)snprintf(peer, sizeof peer, "%.*s", (int)text.len, text.p);
  obs_peer_network(peer, network);
  FUZZ_CHECK(memchr(network, 0, sizeof network) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *copy = fuzz_copy(data, size);
  obs_str text = {(const char *)copy, (uint32_t)size, 0};
  check_file(text);
  check_text(text);
  free(copy);
  return 0;
}
