/* Keys, the key file, and what the daemon makes of them: on real files in a temporary directory. */
#include "access/access.h"
#include "access/audit.h"
#include "access/key_file.h"
#include "access/peer.h"
#include "access/throttle.h"

#include "base/clock.h"
#include "base/row.h"
#include "journal_fixture.h"

#include <pthread.h>

static obs_str str(const char *text) {
  return obs_str_of(text);
}

static void write_file(const char *file, const char *text, mode_t mode) {
  FILE *out = fopen(file, "wb");
  assert_non_null(out);
  assert_int_equal(fchmod(fileno(out), mode), 0);
  fputs(text, out);
  assert_int_equal(fclose(out), 0);
}

/* ---- the text of a key ---- */

static void a_key_is_told_from_anything_else(void **state) {
  (void)state;
  char text[OBS_KEY_TEXT_LEN + 1], other[OBS_KEY_TEXT_LEN + 1];
  obs_key_text parts, again;
  assert_true(obs_key_text_make(OBS_SCOPE_INGEST, text));
  assert_int_equal(strlen(text), OBS_KEY_TEXT_LEN);
  assert_memory_equal(text, "obs_i_", 6);
  assert_true(obs_key_text_parse(str(text), &parts));
  assert_int_equal(parts.letter, 'i');
  assert_memory_equal(parts.id, text + 6, OBS_KEY_ID_LEN);
  assert_true(obs_key_text_is_id(str(parts.id)));
  assert_int_equal(parts.secret.len, OBS_KEY_SECRET_LEN);
  /* Any other byte in any place makes it no key. */
  for (size_t i = 0; i < OBS_KEY_TEXT_LEN; i++) {
    for (unsigned c = 0; c < 256; c++) {
      if ((char)c == text[i]) continue;
      memcpy(other, text, sizeof other);
      other[i] = (char)c;
      assert_false(obs_key_text_parse((obs_str){other, OBS_KEY_TEXT_LEN, 0}, &again));
    }
  }
  for (uint32_t n = 0; n < OBS_KEY_TEXT_LEN; n++) assert_false(obs_key_text_parse((obs_str){text, n, 0}, &again));
  (void)snprintf(other, sizeof other, "%.*s", OBS_KEY_TEXT_LEN, text);
  assert_true(obs_key_text_parse(str(other), &again));
  assert_true(obs_key_text_make(OBS_SCOPE_INGEST | OBS_SCOPE_READ, other));
  assert_int_equal(other[4], 'r');
  assert_string_not_equal(other + 6, text + 6);
  assert_true(obs_key_text_make(OBS_SCOPE_OF_KEYS, other));
  assert_int_equal(other[4], 'a');
}

static void keys_are_found_in_texts(void **state) {
  (void)state;
  char text[OBS_KEY_TEXT_LEN + 1], all[200];
  obs_str found;
  assert_true(obs_key_text_make(OBS_SCOPE_ADMIN, text));
  int n = snprintf(all, sizeof all, "obs_ obs_a_ Bearer %s\"}", text);
  assert_true(obs_key_text_find(all, (size_t)n, &found));
  assert_ptr_equal(found.p, all + 19);
  assert_int_equal(found.len, OBS_KEY_TEXT_LEN);
  /* With a typo, cut off, with more behind it: it is still the most of one. */
  all[60] = all[60] == 'x' ? 'y' : 'x';
  assert_true(obs_key_text_find(all, (size_t)n, &found));
  assert_int_equal(found.len, OBS_KEY_TEXT_LEN);
  assert_true(obs_key_text_find(all, 50, &found));
  assert_int_equal(found.len, 50 - 19);
  n = snprintf(all, sizeof all, "%sand more", text);
  assert_true(obs_key_text_find(all, (size_t)n, &found));
  assert_int_equal(found.len, OBS_KEY_TEXT_LEN);
  /* An id alone is none. */
  for (size_t i = 0; i < 16; i++) assert_false(obs_key_text_find(text, i, &found));
  assert_true(obs_key_text_find(text, 16, &found));
  static const char *const none[] = {"",
                                     "obs_",
                                     "obs_i_mailer22",
                                     "obs_i_mailer22_",
                                     "obs_i_mailer22 0123",
                                     "obs_x_mailer22_0123",
                                     "obs_i_mailer12_0123",
                                     "obs_i_Mailer22_0123",
                                     "obs_i_mailer2_01234",
                                     "OBS_i_mailer22_0123"};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++)
    assert_false(obs_key_text_find(none[i], strlen(none[i]), &found));
}

static void a_known_key_reads_as_proto_says(void **state) {
  (void)state;
  /* Of proto/access.md: the check by zlib's CRC-32, the hash by sha256sum. */
  static const char text[] = "obs_i_mailer22_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg_3AH3s7";
  static const uint8_t hash[4] = {0x71, 0xd8, 0x4b, 0x18};
  obs_key_text parts;
  uint8_t out[OBS_KEY_HASH_BYTES];
  assert_true(obs_key_text_parse(str(text), &parts));
  assert_string_equal(parts.id, "mailer22");
  assert_true(obs_key_text_hash(parts.secret, out));
  assert_memory_equal(out, hash, sizeof hash);
}

/* ---- the file's text ---- */

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY(more) "{\"id\":\"aaaaaaaa\",\"name\":\"a\",\"scopes\":[\"ingest\"],\"sha256\":\"" HASH "\"" more "}"
#define FILE_OF(keys) "{\"v\":1,\"keys\":[" keys "]}"

static void what_is_read(void **state) {
  (void)state;
  obs_keys keys;
  char error[256] = "";
  static const char text[] =
      "{\"v\":1,\"x_owner\":7,\"keys\":[" KEY(",\"sources\":[\"mailer\",\"bot-\"],\"created\":\"2026-11-21T03:54:10Z\","
                                              "\"expires\":\"2026-11-22T00:00:00Z\","
                                              "\"revoked\":\"2026-11-21T12:00:00Z\",\"note\":\"of the mail "
                                              "team\",\"x_ticket\":\"OPS-1\"") ",\n"
                                                                               "{\"id\":\"22222222\",\"name\":\"b\","
                                                                               "\"scopes\":[\"read\",\"admin\"],"
                                                                               "\"sha256\":\"" HASH "\"}]}\n";
  assert_int_equal(obs_keys_read(str(text), &keys, error, sizeof error), OBSERVER_E_OK);
  assert_string_equal(error, "");
  assert_int_equal(keys.n, 2);
  const obs_key *a = obs_keys_find(&keys, "aaaaaaaa"), *b = obs_keys_find(&keys, "22222222");
  assert_ptr_equal(a, &keys.at[0]);
  assert_ptr_equal(b, &keys.at[1]);
  assert_null(obs_keys_find(&keys, "aaaaaaab"));
  assert_null(obs_keys_find(&keys, ""));
  assert_null(obs_keys_find(&keys, "aaaaaaaaa"));
  assert_true(obs_str_is(a->name, "a"));
  assert_true(obs_str_is(a->note, "of the mail team"));
  assert_int_equal(a->scopes, OBS_SCOPE_INGEST);
  assert_int_equal(a->nsources, 2);
  assert_true(obs_str_is(a->sources[1], "bot-"));
  assert_int_equal(a->hash[1], 0x23);
  assert_int_equal(a->expires_ms - a->created_ms, 72350000);
  assert_int_equal(b->scopes, OBS_SCOPE_INGEST | OBS_SCOPE_READ | OBS_SCOPE_ADMIN);
  assert_true(b->created_ms == OBS_KEY_NEVER && b->expires_ms == OBS_KEY_NEVER && b->revoked_ms == OBS_KEY_NEVER);
  assert_int_equal(obs_key_state_at(a, a->created_ms), OBS_KEY_REVOKED);
  assert_int_equal(obs_key_state_at(b, INT64_MAX - 1), OBS_KEY_VALID);
  obs_key until = *a;
  until.revoked_ms = OBS_KEY_NEVER;
  assert_int_equal(obs_key_state_at(&until, a->expires_ms - 1), OBS_KEY_VALID);
  assert_int_equal(obs_key_state_at(&until, a->expires_ms), OBS_KEY_EXPIRED);
  obs_keys_fini(&keys);
  assert_int_equal(obs_keys_read(str(FILE_OF("")), &keys, error, sizeof error), OBSERVER_E_OK);
  assert_int_equal(keys.n, 0);
  assert_null(obs_keys_find(&keys, "aaaaaaaa"));
  obs_keys_fini(&keys);
}

static void what_is_wrong_is_named(void **state) {
  (void)state;
#define SOURCES17                                                                                                      \
  "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\""
  static const struct {
    const char *text, *error;
  } rows[] = {
      {"", "empty"},
      {"{\"v\":1,\n\"keys\":[}", "not JSON, in line 2"},
      {FILE_OF("") "x", "not JSON, in line 1"},
      {"{\"v\":1,\"keys\":[]", "not JSON, in line 1"},
      {"{\"v\":1,\"keys\":[\"\xff\"]}", "not UTF-8"},
      {"[]", "must be an object"},
      {"{\"keys\":[]}", "v: must be 1, the version that this program reads"},
      {"{\"v\":2,\"keys\":[]}", "v: must be 1, the version that this program reads"},
      {"{\"v\":1}", "keys: must be a list"},
      {"{\"v\":1,\"keys\":{}}", "keys: must be a list"},
      {"{\"v\":1,\"keys\":[],\"keys\":[]}", "keys: is there twice"},
      {"{\"v\":1,\"keys\":[],\"key\":[]}", "unknown member key; members of your own begin with x_"},
      {FILE_OF("1"), "key 1: must be an object"},
      {FILE_OF("{}"), "key 1: name: must be a text of 1 to 128 bytes"},
      {FILE_OF("{\"name\":\"a\"}"), "key 1 (a): id: must be 8 characters of a-z2-7"},
      {FILE_OF("{\"name\":\"a\",\"id\":\"aaaaaaa1\"}"), "key 1 (a): id: must be 8 characters of a-z2-7"},
      {FILE_OF(KEY(",\"source\":[\"x\"]")), "key 1 (a): unknown member source; members of your own begin with x_"},
      {FILE_OF(KEY(",\"expire\":\"2026-11-21\"")),
       "key 1 (a): unknown member expire; members of your own begin with x_"},
      {FILE_OF(KEY(",\"scopes\":[\"read\"]")), "key 1 (a): scopes: is there twice"},
      {FILE_OF(KEY(",\"sources\":[]")),
       "key 1 (a): sources: must be a list of 1 to 16 texts; without it the key may speak as any source"},
      {FILE_OF(KEY(",\"sources\":null")),
       "key 1 (a): sources: must be a list of 1 to 16 texts; without it the key may speak as any source"},
      {FILE_OF(KEY(",\"sources\":[" SOURCES17 "]")),
       "key 1 (a): sources: must be a list of 1 to 16 texts; without it the key may speak as any source"},
      {FILE_OF(KEY(",\"sources\":[\"\"]")), "key 1 (a): sources: each must be a text of 1 to 128 bytes"},
      {FILE_OF(KEY(",\"sources\":[7]")), "key 1 (a): sources: each must be a text of 1 to 128 bytes"},
      {FILE_OF(KEY(",\"sources\":[\"a\\u0000b\"]")), "a text has \\u0000 in it"},
      {FILE_OF(KEY(",\"expires\":\"soon\"")), "key 1 (a): expires: must be a time such as 2026-11-21T03:54:10Z"},
      {FILE_OF(KEY(",\"revoked\":false")), "key 1 (a): revoked: must be a time such as 2026-11-21T03:54:10Z"},
      {FILE_OF(KEY(",\"note\":1")), "key 1 (a): note: must be a text of 1 to 1024 bytes"},
      {FILE_OF(KEY("") "," KEY("")), "key 2 (a): id: aaaaaaaa is there twice"},
      {FILE_OF("{\"id\":\"aaaaaaaa\",\"name\":\"a\",\"scopes\":[],\"sha256\":\"" HASH "\"}"),
       "key 1 (a): scopes: must be a list of ingest, read or admin, and not empty"},
      {FILE_OF("{\"id\":\"aaaaaaaa\",\"name\":\"a\",\"scopes\":\"read\",\"sha256\":\"" HASH "\"}"),
       "key 1 (a): scopes: must be a list of ingest, read or admin, and not empty"},
      {FILE_OF("{\"id\":\"aaaaaaaa\",\"name\":\"a\",\"scopes\":[\"public\"],\"sha256\":\"" HASH "\"}"),
       "key 1 (a): scopes: public is none of ingest, read and admin"},
      {FILE_OF("{\"id\":\"aaaaaaaa\",\"name\":\"a\",\"scopes\":[\"read\"],\"sha256\":\"0123456789ABCDEF\"}"),
       "key 1 (a): sha256: must be 64 lower-case hexadecimal digits"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    obs_keys keys;
    char error[256] = "";
    observer_err err = obs_keys_read(str(rows[i].text), &keys, error, sizeof error);
    assert_string_equal(error, rows[i].error);
    assert_int_equal(err, OBSERVER_E_INVALID);
    obs_keys_fini(&keys);
  }
  /* A byte of a binary file, or of an editor that broke it. */
  static const char stray[] = "{\"v\":1,\n\"keys\":[]}\n\0";
  obs_keys keys;
  char error[256];
  assert_int_equal(obs_keys_read((obs_str){stray, sizeof stray - 1, 0}, &keys, error, sizeof error),
                   OBSERVER_E_INVALID);
  assert_string_equal(error, "a NUL byte in line 3");
  obs_keys_fini(&keys);
}

/* Whoever puts it where something else belongs finds it in no log. */
static void a_keys_text_in_the_wrong_place_is_not_shown(void **state) {
  (void)state;
  static const struct {
    const char *file, *error;
  } rows[] = {
      {"{\"v\":1,\"keys\":[],\"%s\":1}", "unknown member [the text of a key]; members of your own begin with x_"},
      {"{\"v\":1,\"keys\":[],\"x_%1$s\":1,\"x_%1$s\":2}", "[the text of a key]: is there twice"},
      {"{\"v\":1,\"keys\":[{\"name\":\"%s\"}]}", "key 1 ([the text of a key]): id: must be 8 characters of a-z2-7"},
      {FILE_OF(KEY(",\"%s\":1")), "key 1 (a): unknown member [the text of a key]; members of your own begin with x_"},
      {FILE_OF("{\"id\":\"%s\",\"name\":\"a\"}"), "key 1 (a): id: must be 8 characters of a-z2-7"},
      {FILE_OF("{\"id\":\"aaaaaaaa\",\"name\":\"a\",\"scopes\":[\"a word before it that is rather long %s\"],"
               "\"sha256\":\"" HASH "\"}"),
       "key 1 (a): scopes: [the text of a key] is none of ingest, read and admin"},
      {FILE_OF("{\"id\":\"aaaaaaaa\",\"name\":\"a\",\"scopes\":[\"read\"],\"sha256\":\"%s\"}"),
       "key 1 (a): sha256: must be 64 lower-case hexadecimal digits"},
  };
  char text[OBS_KEY_TEXT_LEN + 1];
  assert_true(obs_key_text_make(OBS_SCOPE_READ, text));
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    obs_keys keys;
    char file[1024], error[256] = "";
    (void)snprintf(file, sizeof file, rows[i].file, text);
    assert_int_equal(obs_keys_read(str(file), &keys, error, sizeof error), OBSERVER_E_INVALID);
    assert_string_equal(error, rows[i].error);
    obs_keys_fini(&keys);
  }
}

static void sources_match_by_words(void **state) {
  (void)state;
  static const struct {
    const char *prefix, *source;
    bool matches;
  } rows[] = {
      {"mailer", "mailer", true},
      {"mailer", "mailer-2", true},
      {"mailer", "mailer:x", true},
      {"mailer", "mailer.x.y", true},
      {"mailer", "mailer 2", true},
      {"mailer", "mailer_2", true},
      {"mailer", "mailers", false},
      {"mailer", "mailer2", false},
      {"mailer", "mailerX", false},
      {"mailer", "maile", false},
      {"mailer", "Mailer", false},
      {"mailer", "xmailer", false},
      {"mailer", "", false},
      {"mailer-", "mailer-2", true},
      {"mailer-", "mailer-", true},
      {"mailer-", "mailer", false},
      {"team:", "team:anything", true},
      {"mailer", "mailer\xc3\xa9", false},
      {"caf\xc3\xa9", "caf\xc3\xa9s", false},
      {"caf\xc3\xa9", "caf\xc3\xa9-2", true},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    obs_str prefixes[] = {str("other"), str(rows[i].prefix)};
    obs_key k = {.sources = prefixes, .nsources = 2};
    obs_identity who = {.scopes = OBS_SCOPE_INGEST, .key = &k};
    if (obs_identity_speaks_as(&who, str(rows[i].source)) != rows[i].matches)
      fail_msg("%s and %s", rows[i].prefix, rows[i].source);
  }
  obs_key any = {.nsources = 0};
  obs_identity who = obs_access_everything();
  assert_true(obs_key_speaks_as(&any, str("x")) && obs_key_speaks_as(&any, str("")));
  assert_true(obs_identity_speaks_as(&who, str("x")) && obs_identity_speaks_as(&who, str("")));
}

static void scopes_have_names(void **state) {
  (void)state;
  obs_scope s;
  obs_buf out = {0};
  assert_true(obs_scope_parse(str("admin"), &s) && s == OBS_SCOPE_ADMIN);
  assert_false(obs_scope_parse(str("public"), &s));
  assert_false(obs_scope_parse(str("Read"), &s));
  assert_false(obs_scope_parse(str(""), &s));
  assert_string_equal(obs_scope_name(OBS_SCOPE_PUBLIC), "public");
  obs_scope_put(&out, OBS_SCOPE_OF_KEYS, ", ");
  assert_true(obs_str_is(obs_buf_view(&out), "ingest, read, admin"));
  obs_buf_fini(&out);
  obs_identity nobody = {0}, reader = {.scopes = OBS_SCOPE_READ};
  assert_true(obs_identity_may(&nobody, OBS_SCOPE_PUBLIC));
  assert_false(obs_identity_may(&nobody, OBS_SCOPE_OF_KEYS));
  assert_true(obs_identity_may(&reader, OBS_SCOPE_INGEST | OBS_SCOPE_READ));
  assert_false(obs_identity_may(&reader, OBS_SCOPE_INGEST | OBS_SCOPE_ADMIN));
}

/* ---- where peers come from, and how often they may be wrong ---- */

static void peers_are_counted_by_network(void **state) {
  (void)state;
  static const char *const rows[][2] = {
      {"192.0.2.1:40312", "192.0.2.1"},
      {"[::ffff:192.0.2.1]:40312", "192.0.2.1"},
      {"[2001:db8:0:1:2:3:4:5]:7", "2001:db8:0:1::/64"},
      {"[2001:db8:0:1::9]:8", "2001:db8:0:1::/64"},
      {"[::1]:8", "::/64"},
      {"uid 1000", "uid 1000"},
      {"unknown", "unknown"},
      {"", ""},
      {":1", ""},
      {"[", "["},
      {"]:", "]"},
  };
  char out[OBS_PEER_NETWORK_MAX], longest[300];
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    obs_peer_network(rows[i][0], out);
    assert_string_equal(out, rows[i][1]);
  }
  obs_peer_network(NULL, out);
  assert_string_equal(out, "");
  memset(longest, 'x', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  obs_peer_network(longest, out);
  assert_int_equal(strlen(out), OBS_PEER_NETWORK_MAX - 1);
}

static void ten_times_wrong_then_once_a_second(void **state) {
  (void)state;
  obs_throttle *t = obs_throttle_open();
  assert_non_null(t);
  for (unsigned i = 0; i < 10; i++) assert_false(obs_throttle_failed(t, "192.0.2.1", 5000));
  assert_true(obs_throttle_failed(t, "192.0.2.1", 5000));
  assert_true(obs_throttle_failed(t, "192.0.2.1", 5999));
  assert_false(obs_throttle_failed(t, "192.0.2.2", 5999)); /* another one */
  assert_false(obs_throttle_failed(t, "192.0.2.1", 6000));
  assert_true(obs_throttle_failed(t, "192.0.2.1", 6000));
  for (unsigned i = 0; i < 10; i++) assert_false(obs_throttle_failed(t, "192.0.2.1", 3600000));
  assert_true(obs_throttle_failed(t, "192.0.2.1", 3600000));
  /* Any number of networks takes no more memory, and each has its ten. */
  for (unsigned n = 0; n < 20000; n++) {
    char network[32];
    snprintf(network, sizeof network, "10.%u.%u.1", n / 200, n % 200);
    for (unsigned i = 0; i < 10; i++) assert_false(obs_throttle_failed(t, network, 7200000));
    assert_true(obs_throttle_failed(t, network, 7200000));
  }
  obs_throttle_close(t);
}

/* ---- the daemon's object ---- */

typedef struct {
  char text[OBS_KEY_TEXT_LEN + 1], id[OBS_KEY_ID_LEN + 1], hash[2 * OBS_KEY_HASH_BYTES + 1];
} made_key;

static made_key make_key(unsigned scopes) {
  made_key k = {0};
  obs_key_text parts;
  uint8_t hash[OBS_KEY_HASH_BYTES];
  assert_true(obs_key_text_make(scopes, k.text));
  assert_true(obs_key_text_parse(str(k.text), &parts));
  memcpy(k.id, parts.id, sizeof k.id);
  assert_true(obs_key_text_hash(parts.secret, hash));
  for (size_t i = 0; i < sizeof hash; i++) snprintf(k.hash + 2 * i, 3, "%02x", hash[i]);
  return k;
}

/* Appends the key's object. */
static void put_key(obs_buf *out, const made_key *k, const char *scopes, const char *more) {
  obs_buf_printf(out, "%s\n{\"id\":\"%s\",\"name\":\"k\",\"scopes\":[%s],\"sha256\":\"%s\"%s}", out->len > 0 ? "," : "",
                 k->id, scopes, k->hash, more);
}

/* Replaces the key file, as observerctl does. */
static void put_file(const fixture *f, obs_buf *keys) {
  obs_buf text = {0};
  obs_buf_printf(&text, "{\"v\":1,\"keys\":[%.*s]}", (int)keys->len, keys->p != NULL ? keys->p : "");
  obs_buf_putc(&text, '\0');
  write_file(path(f, "keys.new"), text.p, 0600);
  assert_int_equal(rename(path(f, "keys.new"), path(f, "keys")), 0);
  obs_buf_fini(&text);
  obs_buf_fini(keys);
}

static obs_access *open_access(const fixture *f, const char *audit) {
  obs_access *a = NULL;
  char error[256] = "";
  obs_access_opts opts = {.path = path(f, "keys"), .audit_path = audit};
  observer_err err = obs_access_open(&opts, &a, error, sizeof error);
  assert_string_equal(error, "");
  assert_int_equal(err, OBSERVER_E_OK);
  return a;
}

static obs_access_result ask(obs_access *a, const char *text) {
  obs_identity who;
  obs_access_result r = obs_access_key(a, str(text), "192.0.2.7:1", &who);
  assert_int_equal(who.scopes != 0, r == OBS_ACCESS_OK);
  obs_access_release(&who);
  return r;
}

static void without_a_file_all_is_open(void **state) {
  (void)state;
  obs_access *a = NULL;
  char error[256] = "";
  obs_identity who;
  obs_access_opts opts = {0};
  assert_int_equal(obs_access_open(&opts, &a, error, sizeof error), OBSERVER_E_OK);
  obs_access *both[] = {NULL, a};
  for (size_t i = 0; i < 2; i++) {
    assert_false(obs_access_enabled(both[i]));
    assert_int_equal(obs_access_key(both[i], str("obs_anything"), "192.0.2.1:1", &who), OBS_ACCESS_OK);
    assert_int_equal(who.scopes, OBS_SCOPE_OF_KEYS);
    assert_int_equal(obs_access_key(both[i], str(""), "192.0.2.1:1", &who), OBS_ACCESS_OK);
    assert_true(obs_access_still(both[i], &who));
    assert_int_equal(obs_access_listener(both[i], "aaaaaaaa", &who), OBS_ACCESS_WRONG);
    assert_int_equal(obs_access_generation(both[i]), 0);
    obs_access_denied(both[i], "192.0.2.1:1", NULL, "GET /", 401, 1);
    obs_access_audit(both[i], "reload", NULL, NULL);
    obs_access_tick(both[i], true);
    obs_access_counts counts;
    obs_access_get_counts(both[i], &counts);
    assert_int_equal(counts.keys, 0);
    assert_int_equal(counts.denied, i);
  }
  obs_access_close(a);
  obs_access_close(NULL);
}

static void a_wrong_file_stops_the_start(void **state) {
  fixture *f = *state;
  static const struct {
    mode_t mode;
    const char *text, *error;
  } rows[] = {{0644, FILE_OF(""), "mode 0644: others can read it, must be 0600"},
              {0640, FILE_OF(""), "mode 0640: others can read it, must be 0600"},
              {0604, FILE_OF(""), "mode 0604: others can read it, must be 0600"},
              {0620, FILE_OF(""), "mode 0620: others can write it, must be 0600"},
              {0601, FILE_OF(""), "mode 0601: others can execute it, must be 0600"},
              {0600, "", "empty"},
              {0600, FILE_OF("{}"), "key 1: name: must be a text of 1 to 128 bytes"}};
  for (size_t i = 0; i <= sizeof rows / sizeof *rows + 1; i++) {
    char error[512] = "", want[512];
    obs_access *a = NULL;
    obs_access_opts opts = {.path = path(f, "keys"), .audit_path = path(f, "audit.jsonl")};
    bool last = i >= sizeof rows / sizeof *rows;
    (void)unlink(opts.path);
    if (i == sizeof rows / sizeof *rows) assert_int_equal(mkfifo(opts.path, 0600), 0);
    if (!last) write_file(opts.path, rows[i].text, rows[i].mode);
    snprintf(want, sizeof want, "keys: %s: %s", opts.path,
             !last                             ? rows[i].error
             : i == sizeof rows / sizeof *rows ? "not a regular file"
                                               : "No such file or directory");
    observer_err err = obs_access_open(&opts, &a, error, sizeof error);
    assert_string_equal(error, want);
    assert_int_not_equal(err, OBSERVER_E_OK);
    assert_null(a);
  }
  assert_int_equal(access(path(f, "audit.jsonl"), F_OK), -1);
}

static void keys_are_told_apart(void **state) {
  fixture *f = *state;
  made_key writer = make_key(OBS_SCOPE_INGEST), reader = make_key(OBS_SCOPE_READ), admin = make_key(OBS_SCOPE_ADMIN);
  made_key expired = make_key(OBS_SCOPE_READ), revoked = make_key(OBS_SCOPE_READ), unknown = make_key(OBS_SCOPE_READ);
  obs_buf keys = {0};
  put_key(&keys, &writer, "\"ingest\"", ",\"sources\":[\"mailer\"]");
  put_key(&keys, &reader, "\"read\"", ",\"expires\":\"9999-01-01\"");
  put_key(&keys, &admin, "\"admin\"", "");
  put_key(&keys, &expired, "\"read\"", ",\"expires\":\"2020-01-01\"");
  put_key(&keys, &revoked, "\"read\"", ",\"revoked\":\"2020-01-01\"");
  put_file(f, &keys);
  obs_access *a = open_access(f, NULL);
  obs_identity who;
  assert_true(obs_access_enabled(a));
  assert_int_equal(obs_access_key(a, str(writer.text), "192.0.2.7:1", &who), OBS_ACCESS_OK);
  assert_string_equal(who.key->id, writer.id);
  assert_int_equal(who.scopes, OBS_SCOPE_INGEST);
  assert_true(obs_identity_speaks_as(&who, str("mailer-2")));
  assert_false(obs_identity_speaks_as(&who, str("other")));
  assert_true(obs_access_still(a, &who));
  obs_access_release(&who);
  assert_int_equal(obs_access_key(a, str(admin.text), "192.0.2.7:1", &who), OBS_ACCESS_OK);
  assert_int_equal(who.scopes, OBS_SCOPE_OF_KEYS);
  obs_access_release(&who);
  assert_int_equal(ask(a, reader.text), OBS_ACCESS_OK);
  assert_int_equal(ask(a, ""), OBS_ACCESS_NONE);
  assert_int_equal(ask(a, expired.text), OBS_ACCESS_WRONG);
  assert_int_equal(ask(a, revoked.text), OBS_ACCESS_WRONG);
  assert_int_equal(ask(a, unknown.text), OBS_ACCESS_WRONG);
  assert_int_equal(ask(a, "obs_r_"), OBS_ACCESS_WRONG);
  /* The id of one key with the secret of another, and a check that fits. */
  obs_key_text parts;
  char mixed[OBS_KEY_TEXT_LEN + 1];
  memcpy(mixed, reader.text, sizeof mixed);
  memcpy(mixed + 6, writer.id, OBS_KEY_ID_LEN);
  const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  uint64_t crc = 0;
  {
    uint32_t c = 0xffffffff;
    for (size_t i = 0; i < OBS_KEY_TEXT_LEN - 7; i++) {
      c ^= (uint8_t)mixed[i];
      for (unsigned bit = 0; bit < 8; bit++) c = c >> 1 ^ (c & 1 ? 0xedb88320 : 0);
    }
    crc = c ^ 0xffffffff;
  }
  for (size_t i = OBS_KEY_TEXT_LEN; i-- > OBS_KEY_TEXT_LEN - 6; crc /= 62) mixed[i] = digits[crc % 62];
  assert_true(obs_key_text_parse(str(mixed), &parts));
  assert_int_equal(ask(a, mixed), OBS_ACCESS_WRONG);
  /* Listeners. */
  assert_int_equal(obs_access_listener(a, writer.id, &who), OBS_ACCESS_OK);
  assert_int_equal(who.scopes, OBS_SCOPE_INGEST);
  obs_access_release(&who);
  assert_int_equal(obs_access_listener(a, expired.id, &who), OBS_ACCESS_WRONG);
  assert_int_equal(obs_access_listener(a, revoked.id, &who), OBS_ACCESS_WRONG);
  assert_int_equal(obs_access_listener(a, unknown.id, &who), OBS_ACCESS_WRONG);
  assert_int_equal(obs_access_listener(a, "", &who), OBS_ACCESS_WRONG);
  /* 5 wrong ones so far; a valid key passes however many there are. */
  for (unsigned i = 0; i < 5; i++) assert_int_equal(ask(a, unknown.text), OBS_ACCESS_WRONG);
  assert_int_equal(ask(a, unknown.text), OBS_ACCESS_LIMITED);
  assert_int_equal(ask(a, reader.text), OBS_ACCESS_OK);
  assert_int_equal(ask(a, ""), OBS_ACCESS_NONE);
  assert_int_equal(obs_access_key(a, str(unknown.text), "192.0.2.8:1", &who), OBS_ACCESS_WRONG);
  obs_access_counts counts;
  obs_access_get_counts(a, &counts);
  assert_int_equal(counts.accepted, 4);
  assert_int_equal(counts.limited, 1);
  assert_int_equal(counts.keys, 5);
  obs_access_close(a);
}

/* ---- reading the file again ---- */

static obs_access_counts counts_of(obs_access *a) {
  obs_access_counts counts;
  obs_access_get_counts(a, &counts);
  return counts;
}

static void a_changed_file_acts_at_once(void **state) {
  fixture *f = *state;
  made_key one = make_key(OBS_SCOPE_READ), two = make_key(OBS_SCOPE_READ), other = make_key(OBS_SCOPE_READ);
  static const struct {
    const char *scopes, *more;
    bool holds;
  } rows[] = {
      {"\"read\"", "", true},
      {"\"read\"", ",\"note\":\"another\"", true},
      {"\"read\"", ",\"expires\":\"9999-01-01\"", true},
      {"\"read\"", ",\"expires\":\"2020-01-01\"", false},
      {"\"read\"", ",\"revoked\":\"2020-01-01\"", false},
      {"\"read\"", ",\"sources\":[\"a\"]", false},
      {"\"ingest\"", "", false},
      {NULL, NULL, false}, /* another key of that name */
  };
  obs_buf keys = {0};
  put_key(&keys, &one, "\"read\"", "");
  put_file(f, &keys);
  obs_access *a = open_access(f, NULL);
  assert_int_equal(obs_access_generation(a), 1);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    obs_identity who, kept;
    assert_int_equal(obs_access_key(a, str(one.text), "192.0.2.7:1", &who), OBS_ACCESS_OK);
    kept = who;
    obs_access_hold(&kept);
    put_key(&keys, &two, "\"read\"", "");
    if (rows[i].scopes != NULL) put_key(&keys, &one, rows[i].scopes, rows[i].more);
    put_file(f, &keys);
    assert_true(obs_access_still(a, &who)); /* as long as nobody looked */
    uint64_t generation = obs_access_generation(a);
    obs_access_tick(a, false);
    assert_int_equal(obs_access_generation(a), generation + 1);
    if (obs_access_still(a, &who) != rows[i].holds) fail_msg("row %zu", i);
    if (obs_access_still(a, &who) != rows[i].holds) fail_msg("row %zu, looked at again", i);
    assert_int_equal(ask(a, two.text), OBS_ACCESS_OK);
    assert_string_equal(kept.key->id, one.id); /* what is held stays */
    obs_access_release(&who);
    obs_access_release(&kept);
    assert_null(kept.key);
    obs_access_release(&kept); /* of nothing */
    put_key(&keys, &one, "\"read\"", "");
    put_file(f, &keys);
    obs_access_tick(a, false);
  }
  /* The same id with another secret is another key. */
  obs_identity who;
  assert_int_equal(obs_access_key(a, str(one.text), "192.0.2.7:1", &who), OBS_ACCESS_OK);
  memcpy(one.hash, other.hash, sizeof one.hash);
  put_key(&keys, &one, "\"read\"", "");
  put_file(f, &keys);
  obs_access_tick(a, false);
  assert_false(obs_access_still(a, &who));
  assert_int_equal(ask(a, one.text), OBS_ACCESS_WRONG);
  obs_access_close(a);
  obs_access_release(&who); /* later than the object */
}

static void a_key_expires_without_a_change(void **state) {
  fixture *f = *state;
  made_key one = make_key(OBS_SCOPE_READ);
  char more[64], when[OBS_ISO8601_LEN + 1];
  obs_buf keys = {0};
  obs_identity who;
  int64_t expires_ms = obs_clock_wall_ms() + 300;
  obs_clock_format(expires_ms, when);
  snprintf(more, sizeof more, ",\"expires\":\"%s\"", when);
  put_key(&keys, &one, "\"read\"", more);
  put_file(f, &keys);
  obs_access *a = open_access(f, NULL);
  if (obs_access_key(a, str(one.text), "192.0.2.7:1", &who) == OBS_ACCESS_OK) { /* not on a machine that is this slow */
    bool holds = true;
    while (obs_clock_wall_ms() < expires_ms && (holds = obs_access_still(a, &who))) usleep(1000);
    assert_true(holds || obs_clock_wall_ms() >= expires_ms);
    assert_false(obs_access_still(a, &who));
    obs_access_release(&who);
  }
  while (obs_clock_wall_ms() < expires_ms) usleep(1000);
  assert_int_equal(ask(a, one.text), OBS_ACCESS_WRONG);
  obs_access_close(a);
}

static void a_broken_file_keeps_the_last_keys(void **state) {
  fixture *f = *state;
  made_key one = make_key(OBS_SCOPE_READ), two = make_key(OBS_SCOPE_READ);
  obs_buf keys = {0};
  put_key(&keys, &one, "\"read\"", "");
  put_file(f, &keys);
  obs_access *a = open_access(f, NULL);
  obs_access_tick(a, false);
  obs_access_tick(a, true);
  assert_int_equal(counts_of(a).reloads, 0);
  for (unsigned i = 1; i <= 5; i++) {
    if (i == 1) write_file(path(f, "keys"), "{\"v\":1,", 0600);
    if (i == 2) write_file(path(f, "keys"), "", 0600);
    if (i == 3) assert_int_equal(unlink(path(f, "keys")), 0);
    if (i == 4) assert_int_equal(mkdir(path(f, "keys"), 0700), 0);
    if (i == 5) {
      assert_int_equal(rmdir(path(f, "keys")), 0);
      write_file(path(f, "keys"), "{\"v\":1,\"keys\":[]}", 0644);
    }
    /* Looked at often, and told once. */
    for (unsigned n = 0; n < 3; n++) obs_access_tick(a, n == 2);
    obs_access_counts c = counts_of(a);
    assert_int_equal(c.broken, i);
    assert_int_equal(c.reloads, 0);
    assert_true(c.stale);
    assert_int_equal(c.keys, 1);
    assert_int_equal(obs_access_generation(a), 1);
    assert_int_equal(ask(a, one.text), OBS_ACCESS_OK);
  }
  /* Its mode alone was wrong; then there are no keys, which is no fault. */
  assert_int_equal(chmod(path(f, "keys"), 0600), 0);
  obs_access_tick(a, false);
  assert_false(counts_of(a).stale);
  assert_int_equal(counts_of(a).reloads, 1);
  assert_int_equal(counts_of(a).keys, 0);
  assert_int_equal(ask(a, one.text), OBS_ACCESS_WRONG);
  /* Written in place, twice within one tick of the file system's clock, with the same length. */
  put_key(&keys, &one, "\"read\"", "");
  put_file(f, &keys);
  obs_access_tick(a, false);
  put_key(&keys, &two, "\"read\"", "");
  obs_buf_putc(&keys, '\0');
  char text[512];
  snprintf(text, sizeof text, "{\"v\":1,\"keys\":[%s]}", keys.p);
  struct stat before;
  assert_int_equal(stat(path(f, "keys"), &before), 0);
  write_file(path(f, "keys"), text, 0600);
  assert_int_equal(utimensat(AT_FDCWD, path(f, "keys"), (struct timespec[]){before.st_atim, before.st_mtim}, 0), 0);
  obs_access_tick(a, false);
  assert_int_equal(ask(a, one.text), OBS_ACCESS_WRONG);
  assert_int_equal(ask(a, two.text), OBS_ACCESS_OK);
  obs_buf_fini(&keys);
  obs_access_close(a);
}

/* ---- the audit ---- */

/* A time is one of the last hour, and then of no interest. */
static void forget_time(cJSON *row, const char *member) {
  int64_t ms = 0;
  obs_str text = obs_row_text(row, member);
  assert_non_null(text.p);
  assert_true(obs_clock_parse(text.p, text.len, &ms));
  assert_in_range(obs_clock_wall_ms() - ms, 0, 3600000);
  cJSON_DeleteItemFromObject(row, member);
}

/* The rows of a file without their versions and times; `since` becomes the last member, true. "" when there is no file.
 * The caller frees. */
static char *audit_rows(const fixture *f, const char *name) {
  size_t len;
  uint64_t version;
  obs_buf out = {0};
  char *text = slurp(path(f, name), &len), *save = NULL;
  for (char *line = text != NULL ? strtok_r(text, "\n", &save) : NULL; line != NULL;
       line = strtok_r(NULL, "\n", &save)) {
    cJSON *row = cJSON_Parse(line);
    assert_true(obs_row_u64(row, "v", &version));
    assert_int_equal(version, 1);
    cJSON_DeleteItemFromObject(row, "v");
    forget_time(row, "time");
    if (cJSON_HasObjectItem(row, "since")) {
      forget_time(row, "since");
      assert_non_null(cJSON_AddTrueToObject(row, "since"));
    }
    char *printed = cJSON_PrintUnformatted(row);
    assert_non_null(printed);
    obs_buf_puts(&out, printed);
    obs_buf_putc(&out, '\n');
    free(printed);
    cJSON_Delete(row);
  }
  free(text);
  obs_buf_putc(&out, '\0');
  assert_false(out.oom);
  return out.p;
}

static void must_have_rows(const fixture *f, const char *want) {
  char *rows = audit_rows(f, "audit.jsonl");
  assert_string_equal(rows, want);
  free(rows);
}

static void what_changes_is_audited(void **state) {
  fixture *f = *state;
  made_key k[4];
  char want[2048], audit[200];
  snprintf(audit, sizeof audit, "%s/audit.jsonl", f->dir);
  obs_buf keys = {0};
  for (unsigned i = 0; i < 4; i++) k[i] = make_key(OBS_SCOPE_READ);
  for (unsigned i = 0; i < 3; i++) put_key(&keys, &k[i], "\"read\"", "");
  put_file(f, &keys);
  obs_access *a = open_access(f, audit);
  assert_int_equal(access(audit, F_OK), -1);
  put_key(&keys, &k[0], "\"admin\"", ",\"sources\":[\"m\"],\"expires\":\"9999-01-01\"");
  put_key(&keys, &k[1], "\"read\"", ",\"revoked\":\"2026-01-01\"");
  put_key(&keys, &k[3], "\"ingest\",\"read\"", "");
  put_file(f, &keys);
  obs_access_tick(a, false);
  write_file(path(f, "keys"), "no", 0600);
  obs_access_tick(a, false);
  obs_access_audit(a, "tls_reload", NULL, "certificate of \"x\"\n");
  obs_access_close(a);
  snprintf(want, sizeof want,
           "{\"what\":\"key_changed\",\"key\":\"%s\",\"detail\":\"scopes, sources, expires\"}\n"
           "{\"what\":\"key_revoked\",\"key\":\"%s\"}\n"
           "{\"what\":\"key_added\",\"key\":\"%s\",\"detail\":\"ingest, read\"}\n"
           "{\"what\":\"key_removed\",\"key\":\"%s\"}\n"
           "{\"what\":\"keys_broken\",\"detail\":\"keys: %s: not JSON, in line 1\"}\n"
           "{\"what\":\"tls_reload\",\"detail\":\"certificate of \\\"x\\\"\\n\"}\n",
           k[0].id, k[1].id, k[3].id, k[2].id, path(f, "keys"));
  must_have_rows(f, want);
}

static void refusals_are_counted_and_written_once_a_minute(void **state) {
  fixture *f = *state;
  char request[400], want[1024];
  obs_audit *a = obs_audit_open(path(f, "audit.jsonl"));
  assert_non_null(a);
  obs_audit_tick(a, 1000000);
  assert_int_equal(access(path(f, "audit.jsonl"), F_OK), -1);
  obs_audit_refused(a, "192.0.2.1", "", "GET /v1/observer/ops", 401, 2);
  obs_audit_refused(a, "192.0.2.1", "", "GET /v1/observer/ops", 401, 1);
  obs_audit_refused(a, "192.0.2.1", "aaaaaaaa", "GET /v1/observer/ops", 401, 1);
  obs_audit_refused(a, "192.0.2.1", "", "GET /v1/observer/ops", 429, 1);
  /* 127 bytes, and a character of two that does not fit. */
  memset(request, 'x', sizeof request);
  memcpy(request + 127, "\xc3\xa9", 3);
  obs_audit_refused(a, "", "", request, 0, 1);
  obs_audit_refused(a, "uid 7", "", "GET /\xff\n", 401, 1);
  obs_audit_tick(a, 2000000);
  int written = snprintf(
      want, sizeof want,
      "{\"what\":\"denied\",\"address\":\"192.0.2.1\",\"request\":\"GET "
      "/v1/observer/ops\",\"status\":401,"
      "\"count\":3,\"since\":true}\n"
      "{\"what\":\"denied\",\"key\":\"aaaaaaaa\",\"address\":\"192.0.2.1\",\"request\":\"GET /v1/observer/ops\","
      "\"status\":401,\"count\":1}\n"
      "{\"what\":\"denied\",\"address\":\"192.0.2.1\",\"request\":\"GET "
      "/v1/observer/ops\",\"status\":429,\"count\":1}\n"
      "{\"what\":\"denied\",\"request\":\"%.127s\",\"count\":1}\n"
      "{\"what\":\"denied\",\"address\":\"uid 7\",\"request\":\"GET /\xef\xbf\xbd\\n\",\"status\":401,\"count\":1}\n",
      request);
  must_have_rows(f, want);
  obs_audit_refused(a, "192.0.2.1", "", "x", 401, 1);
  obs_audit_tick(a, 2000000 + OBS_AUDIT_EVERY_MS - 1);
  must_have_rows(f, want);
  obs_audit_tick(a, 2000000 + OBS_AUDIT_EVERY_MS);
  snprintf(want + written, sizeof want - (size_t)written,
           "{\"what\":\"denied\",\"address\":\"192.0.2.1\",\"request\":\"x\",\"status\":401,\"count\":1}\n");
  must_have_rows(f, want);
  obs_audit_close(a);
  must_have_rows(f, want);
}

static void refusals_are_bounded_and_the_last_ones_written(void **state) {
  fixture *f = *state;
  char text[64];
  unsigned rows = 0;
  obs_audit *a = obs_audit_open(path(f, "audit.jsonl"));
  assert_non_null(a);
  for (unsigned i = 0; i < 3000; i++) {
    snprintf(text, sizeof text, "GET /%u", i);
    obs_audit_refused(a, "192.0.2.1", "", text, 401, 1);
  }
  obs_audit_close(a);
  char *all = audit_rows(f, "audit.jsonl");
  for (const char *p = all; *p != '\0'; p++) rows += *p == '\n';
  assert_int_equal(rows, OBS_AUDIT_PLACES + 1);
  assert_non_null(strstr(all, "{\"what\":\"denied\",\"request\":\"others\",\"count\":1976,\"since\":true}\n"));
  free(all);
}

static void rows_wait_for_a_place_to_be_written(void **state) {
  fixture *f = *state;
  char file[200];
  unsigned rows = 0;
  obs_buf row = {0};
  snprintf(file, sizeof file, "%s/later/audit.jsonl", f->dir);
  obs_audit *a = obs_audit_open(file);
  assert_non_null(a);
  obs_audit_refused(a, "192.0.2.1", "", "x", 401, 1);
  obs_audit_tick(a, 1000000);
  obs_audit_put(&row, "first", NULL, NULL);
  obs_audit_write(a, &row);
  assert_int_equal(obs_audit_lost(a), 0);
  /* A mebibyte waits; then the newest are lost, and counted. */
  for (unsigned i = 0; i < 2 * OBS_AUDIT_WAITING_MAX / row.len; i++) obs_audit_write(a, &row);
  uint64_t lost = obs_audit_lost(a);
  assert_in_range(lost * row.len, OBS_AUDIT_WAITING_MAX - 2 * row.len, OBS_AUDIT_WAITING_MAX + 1000);
  *strrchr(file, '/') = '\0';
  assert_int_equal(mkdir(file, 0700), 0);
  obs_audit_tick(a, 1000001);
  obs_audit_close(a);
  char *all = audit_rows(f, "later/audit.jsonl");
  for (const char *p = all; *p != '\0'; p++) rows += *p == '\n';
  assert_memory_equal(all, "{\"what\":\"denied\"", 16);
  assert_int_equal(rows + lost, 2 + 2 * OBS_AUDIT_WAITING_MAX / row.len);
  free(all);
  obs_buf_fini(&row);
  assert_int_equal(unlink(path(f, "later/audit.jsonl")), 0);
  assert_int_equal(rmdir(path(f, "later")), 0);
}

/* ---- threads ---- */

typedef struct {
  obs_access *access;
  const made_key *stays, *comes_and_goes;
  _Atomic bool stop;
  _Atomic unsigned wrong, ok, was_there, was_not;
} together;

static void *use(void *arg) {
  together *t = arg;
  obs_identity who, mine = {0};
  if (obs_access_key(t->access, str(t->stays->text), "192.0.2.7:1", &mine) != OBS_ACCESS_OK) t->wrong++;
  while (!t->stop) {
    if (!obs_access_still(t->access, &mine)) t->wrong++;
    if (obs_access_key(t->access, str(t->stays->text), "192.0.2.7:1", &who) == OBS_ACCESS_OK)
      t->ok++;
    else
      t->wrong++;
    obs_access_release(&who);
    if (obs_access_key(t->access, str(t->comes_and_goes->text), "192.0.2.7:1", &who) == OBS_ACCESS_OK)
      t->was_there++;
    else
      t->was_not++;
    obs_access_denied(t->access, "192.0.2.7:1", t->stays->id, "GET /", 403, 1);
    obs_access_release(&who);
  }
  obs_access_release(&mine);
  return NULL;
}

static void keys_are_used_while_the_file_changes(void **state) {
  fixture *f = *state;
  made_key stays = make_key(OBS_SCOPE_READ), comes_and_goes = make_key(OBS_SCOPE_READ);
  obs_buf keys = {0};
  pthread_t threads[3];
  put_key(&keys, &stays, "\"read\"", "");
  put_file(f, &keys);
  together t = {.access = open_access(f, path(f, "audit.jsonl")), .stays = &stays, .comes_and_goes = &comes_and_goes};
  for (unsigned i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, use, &t), 0);
  uint64_t until = obs_clock_mono_ms() + 60000;
  unsigned n = 0;
  for (; n < 50 || t.was_there == 0 || t.was_not == 0; n++) {
    assert_true(obs_clock_mono_ms() < until);
    if (n % 2 == 0) put_key(&keys, &comes_and_goes, "\"read\"", "");
    put_key(&keys, &stays, "\"read\"", "");
    put_file(f, &keys);
    obs_access_tick(t.access, false);
    (void)counts_of(t.access);
  }
  t.stop = true;
  for (unsigned i = 0; i < 3; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_int_equal(t.wrong, 0);
  obs_access_counts c = counts_of(t.access);
  assert_int_equal(c.reloads, n);
  assert_int_equal(c.broken, 0);
  assert_int_equal(c.accepted, t.ok + t.was_there + 3);
  assert_int_equal(c.denied, t.ok);
  obs_access_close(t.access);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_key_is_told_from_anything_else),
      cmocka_unit_test(keys_are_found_in_texts),
      cmocka_unit_test(a_known_key_reads_as_proto_says),
      cmocka_unit_test(what_is_read),
      cmocka_unit_test(what_is_wrong_is_named),
      cmocka_unit_test(a_keys_text_in_the_wrong_place_is_not_shown),
      cmocka_unit_test(sources_match_by_words),
      cmocka_unit_test(scopes_have_names),
      cmocka_unit_test(peers_are_counted_by_network),
      cmocka_unit_test(ten_times_wrong_then_once_a_second),
      cmocka_unit_test(without_a_file_all_is_open),
      cmocka_unit_test_setup_teardown(a_wrong_file_stops_the_start, make, clear),
      cmocka_unit_test_setup_teardown(keys_are_told_apart, make, clear),
      cmocka_unit_test_setup_teardown(a_changed_file_acts_at_once, make, clear),
      cmocka_unit_test_setup_teardown(a_key_expires_without_a_change, make, clear),
      cmocka_unit_test_setup_teardown(a_broken_file_keeps_the_last_keys, make, clear),
      cmocka_unit_test_setup_teardown(what_changes_is_audited, make, clear),
      cmocka_unit_test_setup_teardown(refusals_are_counted_and_written_once_a_minute, make, clear),
      cmocka_unit_test_setup_teardown(refusals_are_bounded_and_the_last_ones_written, make, clear),
      cmocka_unit_test_setup_teardown(rows_wait_for_a_place_to_be_written, make, clear),
      cmocka_unit_test_setup_teardown(keys_are_used_while_the_file_changes, make, clear),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
