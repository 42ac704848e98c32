#include "cluster/miner.h"
#include "redact/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static obs_str str(const char *s) {
  return (obs_str){s, (uint32_t)strlen(s), 0};
}

static void assert_masked(const char *message, const char *want) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  obs_buf text = {0};
  obs_mask_template(tokens, obs_mask(str(message), tokens), &text);
  obs_buf_putc(&text, '\0');
  assert_string_equal(text.p, want);
  obs_buf_fini(&text);
}

static void test_what_varies_is_masked(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"", ""},
      {"nothing varies here", "nothing varies here"},
      {"retry 3 of 17", "retry <*> of <*>"},
      {"took 120 ms", "took <*>"},
      {"took 120ms", "took <*>"},
      {"lifetime <1 sec", "lifetime <*>"},
      {"0x14ed93111f20005 expired", "<*> expired"},
      {"id 550e8400-e29b-41d4-a716-446655440000 gone", "id <*> gone"},
      {"from 10.0.0.1:8080 refused", "from <*> refused"},
      {"from /10.0.0.1:8080 refused", "from <*> refused"},
      {"open /var/log/app.log failed", "open <*> failed"},
      {"GET https://a.example/x?y=1 failed", "GET <*> failed"},
      {"mail to a@b.example bounced", "mail to <*> bounced"},
      {"host db.internal unreachable", "host <*> unreachable"},
      {"wpad:80 error", "<*> error"},
      {"at Fri Jun 17 07:07:00 2005 it broke", "at <*> it broke"},
      {"2026-11-21T07:00:00.123Z it broke", "<*> it broke"},
      {"user 'bob smith' unknown", "user <*> unknown"},
      {"user \"bob\" unknown", "user <*> unknown"},
      {"can't connect, won't retry", "can't connect, won't retry"},
      {"uid=0 euid=1", "uid=<*> euid=<*>"},
      {"ws=null", "ws=<*>"},
      {"sizes 1, 2, 3 seen", "sizes <*> seen"},
      {"1234##5678##9", "<*>"},
      {"connection from h.example () at", "connection from <*> at"},
      {"sent 5 bytes (1.2 KB) in all", "sent <*> bytes in all"},
      {"The end. Then more.", "The end. Then more."},
      {"cut off: `", "cut off: `"},
      {"cut off: `here", "cut off: <*>"},
      {"\xc3\xa9t\xc3\xa9 \xff\x01 bytes", "\xc3\xa9t\xc3\xa9 \xff bytes"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) assert_masked(cases[i][0], cases[i][1]);
}

/* A failure is of one kind whether its secrets came as they are or as tokens. */
static void test_tokens_are_masked_as_what_they_stand_for(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"mail to alice@example.com bounced", "mail to <*> bounced"},
      {"mail to alice@example.com, bob@example.com bounced", "mail to <*> bounced"},
      {"user=alice@example.com unknown", "user=<*> unknown"},
      {"no such user: alice@example.com.", "no such user: <*>"},
      {"<alice@example.com> refused", "<*>> refused"},
      {"(alice@example.com) refused it", "(<*>) refused it"},
      {"user 'alice@example.com' unknown", "user <*> unknown"},
      {"alice@example.com", "<*>"},
      {"card 4111 1111 1111 1111 declined", "card <*> declined"},
      {"call +49 30 901820 failed", "call <*> failed"},
      {"GET https://app:hunter2@h.example/x failed", "GET <*> failed"},
      {"GET /x?a=1&token=abcdefgh12 failed", "GET <*> failed"},
      {"key AKIAQ3XV7ZTLM2RBWNYC is unknown", "key <*> is unknown"},
      {"invalid key: sk-proj-aK3xQ9vTz7Lm2Rb8WnYc4JdPf6HsG5uEo1iVtX0g, aborting", "invalid key: <*>, aborting"},
  };
  static const uint8_t key[OBS_REDACT_KEY_BYTES] = "a key of thirty-two bytes, fixed";
  char error[256];
  obs_redact *r;
  assert_int_equal(obs_redact_open(OBS_REDACT_ALL, NULL, 0, key, &r, error, sizeof(error)), OBSERVER_E_OK);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    obs_buf token = {0};
    if (!obs_redact_text(r, str(cases[i][0]), &token)) fail_msg("%s: nothing is redacted", cases[i][0]);
    obs_buf_putc(&token, '\0');
    assert_masked(cases[i][0], cases[i][1]);
    assert_masked(token.p, cases[i][1]);
    obs_buf_fini(&token);
  }
  obs_redact_close(r);
}

static void test_long_messages_are_cut(void **state) {
  (void)state;
  obs_mask_token tokens[OBS_MASK_TOKENS];
  char many[4 * OBS_MASK_TOKENS + 1], deep[2 * OBS_MASK_BYTES];
  for (size_t i = 0; i < sizeof(many) - 1; i++) many[i] = i % 2 == 0 ? 'a' : ' ';
  many[sizeof(many) - 1] = '\0';
  assert_int_equal(obs_mask(str(many), tokens), OBS_MASK_TOKENS);
  memset(deep, '(', sizeof(deep));
  assert_int_equal(obs_mask((obs_str){deep, sizeof(deep), 0}, tokens), OBS_MASK_TOKENS);
  memset(deep, 'a', sizeof(deep));
  assert_int_equal(obs_mask((obs_str){deep, sizeof(deep), 0}, tokens), 1);
  assert_int_equal(tokens[0].len, OBS_MASK_BYTES);
}

typedef struct {
  obs_miner *miner;
  obs_miner_ref refs[4096];
} fixture;

static void open_fixture(fixture *f, uint32_t clusters) {
  obs_miner_opts opts = {.clusters = clusters};
  assert_int_equal(obs_miner_open(&opts, &f->miner), OBSERVER_E_OK);
}

static uint64_t id_of(const fixture *f, size_t i) {
  uint32_t slot = obs_miner_find(f->miner, f->refs[i]);
  assert_int_not_equal(slot, OBS_MINER_NONE);
  return obs_miner_id(f->miner, slot);
}

static void assert_template(const fixture *f, size_t i, const char *want) {
  obs_str text = obs_miner_template(f->miner, obs_miner_find(f->miner, f->refs[i]));
  assert_int_equal(text.len, strlen(want));
  assert_memory_equal(text.p, want, text.len);
}

static void test_a_word_that_varies(void **state) {
  (void)state;
  static const char *const users[] = {"cyrus", "news", "root", "test", "bob"};
  fixture f;
  char text[80];
  open_fixture(&f, 0);
  for (size_t i = 0; i < 5; i++) {
    snprintf(text, sizeof(text), "session broken because of %s by pid %zu", users[i], i);
    f.refs[i] = obs_miner_add(f.miner, str(text));
    if (i == 1) assert_true(id_of(&f, 0) != id_of(&f, 1));
  }
  for (size_t i = 1; i < 5; i++) assert_true(id_of(&f, i) == id_of(&f, 0));
  assert_template(&f, 0, "session broken because of <*> by pid <*>");
  obs_miner_close(f.miner);
}

/* A value in a place tells that words there are values too, whichever came first. */
static void test_a_word_where_values_were(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f, 0);
  f.refs[0] = obs_miner_add(f.miner, str("worker 17 lost its lease"));
  f.refs[1] = obs_miner_add(f.miner, str("worker main lost its lease"));
  f.refs[2] = obs_miner_add(f.miner, str("pool main has no room"));
  f.refs[3] = obs_miner_add(f.miner, str("pool 17 has no room"));
  assert_true(id_of(&f, 0) == id_of(&f, 1));
  assert_true(id_of(&f, 2) == id_of(&f, 3));
  assert_template(&f, 2, "pool <*> has no room");
  obs_miner_close(f.miner);
}

static void test_opposites_stay_apart(void **state) {
  (void)state;
  static const char *const texts[] = {"link eth is up",      "link eth is down",   "service web started",
                                      "service web stopped", "access was allowed", "access was denied",
                                      "disk check passed",   "disk check failed",  "disk check started",
                                      "disk check stopped",  "disk check enabled"};
  fixture f;
  open_fixture(&f, 0);
  size_t n = sizeof(texts) / sizeof(texts[0]);
  for (size_t i = 0; i < n; i++) f.refs[i] = obs_miner_add(f.miner, str(texts[i]));
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < i; k++) assert_true(id_of(&f, i) != id_of(&f, k));
  obs_miner_close(f.miner);
}

static void test_ids_hang_on_the_text_alone(void **state) {
  (void)state;
  fixture f, g;
  open_fixture(&f, 0);
  open_fixture(&g, 0);
  f.refs[0] = obs_miner_add(f.miner, str("upstream timed out after 3 s"));
  f.refs[1] = obs_miner_add(f.miner, str("upstream timed out after 4 s"));
  f.refs[2] = obs_miner_add(f.miner, str("upstream timed out after 5 s"));
  g.refs[0] = obs_miner_add(g.miner, str("something else"));
  g.refs[1] = obs_miner_add(g.miner, str("upstream timed out after 99 s"));
  assert_true(id_of(&f, 0) == id_of(&f, 1));
  assert_true(id_of(&f, 0) == id_of(&f, 2));
  assert_true(id_of(&f, 0) == id_of(&g, 1));
  obs_miner_close(f.miner);
  obs_miner_close(g.miner);
}

static const char *letters(size_t n, char out[8]) {
  for (int i = 0; i < 7; i++, n /= 26) out[i] = (char)('a' + n % 26);
  out[7] = '\0';
  return out;
}

/* More kinds than there is room for: the ones not seen for long go, the ones in use stay. */
static void test_the_oldest_go(void **state) {
  (void)state;
  enum { ROOM = 64, KINDS = 1000 };
  fixture f;
  char text[80], a[8], b[8], c[8];
  open_fixture(&f, ROOM);
  obs_miner_ref kept = obs_miner_add(f.miner, str("the one that is always there"));
  for (size_t i = 0; i < KINDS; i++) {
    snprintf(text, sizeof(text), "%s %s %s happened", letters(i * 7919, a), letters(i * 104729, b), letters(i, c));
    f.refs[i] = obs_miner_add(f.miner, str(text));
    obs_miner_ref again = obs_miner_add(f.miner, str("the one that is always there"));
    assert_int_equal(again.slot, kept.slot);
    assert_int_equal(again.tenant, kept.tenant);
  }
  size_t there = 0;
  for (size_t i = 0; i < KINDS; i++) there += obs_miner_find(f.miner, f.refs[i]) != OBS_MINER_NONE;
  assert_int_equal(there, ROOM - 1);
  assert_int_equal(obs_miner_find(f.miner, f.refs[0]), OBS_MINER_NONE);
  obs_miner_close(f.miner);
}

static uint32_t next_random(uint32_t *seed) {
  return *seed = *seed * 1664525u + 1013904223u;
}

static void test_hostile_messages(void **state) {
  (void)state;
  static const char *const parts[] = {"a",
                                      "1",
                                      "(",
                                      ")",
                                      "[",
                                      "]",
                                      "{",
                                      "}",
                                      "<",
                                      ">",
                                      "\"",
                                      "'",
                                      ":",
                                      "#",
                                      ",",
                                      "=",
                                      "jan",
                                      "mon",
                                      "ms",
                                      "-",
                                      ".",
                                      "a.b",
                                      "/x/y",
                                      "null",
                                      "up",
                                      " ",
                                      "\xff",
                                      "",
                                      "|",
                                      "`",
                                      "::",
                                      "::1",
                                      "fe80",
                                      "\xe3\x80\x8c",
                                      "\xe2\x80\x9c",
                                      "\xe3",
                                      "==",
                                      "\\",
                                      "C:\\",
                                      "\x02",
                                      "\x1b[",
                                      "code",
                                      " set to ",
                                      " and ",
                                      "msg=\"",
                                      "{\"a\":",
                                      "{'error':",
                                      "status",
                                      "404",
                                      "()",
                                      "\n  at ",
                                      "\n",
                                      "Traceback (most recent call last)\n"};
  fixture f;
  uint32_t seed = 1;
  open_fixture(&f, 100);
  for (int i = 0; i < 20000; i++) {
    char text[600] = "";
    size_t len = 0;
    for (uint32_t n = next_random(&seed) >> 25; n > 0; n--) {
      const char *part = parts[(next_random(&seed) >> 16) % (sizeof(parts) / sizeof(parts[0]))];
      len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", part);
    }
    obs_miner_ref ref = obs_miner_add(f.miner, (obs_str){text, (uint32_t)len, 0});
    assert_int_not_equal(obs_miner_find(f.miner, ref), OBS_MINER_NONE);
  }
  obs_miner_close(f.miner);
}

/* ---- miners of parts ---- */

enum { MESSAGES = 240, PARTS = 6, SENTENCES = 12, LONGEST = 9 };

static uint32_t draw(uint64_t *random, uint32_t n) {
  *random ^= *random << 13;
  *random ^= *random >> 7;
  *random ^= *random << 17;
  return (uint32_t)((*random >> 11) % n);
}

typedef struct {
  int words[LONGEST], n; /* -1 and below: a place that varies, of its own sort */
} sentence;

/* Sentences of words that are mostly no other sentence's, with up to two places that vary. */
static void make_sentence(uint64_t *random, int number, sentence *s) {
  s->n = 5 + (int)draw(random, LONGEST - 4);
  for (int i = 0; i < s->n; i++) s->words[i] = number * 100 + i;
  for (uint32_t k = draw(random, 3); k > 0; k--) s->words[draw(random, (uint32_t)s->n)] = -1 - (int)draw(random, 3);
}

static void put_sentence(uint64_t *random, const sentence *s, char *out, size_t size) {
  size_t at = 0;
  for (int i = 0; i < s->n; i++) {
    char word[8], text[24];
    uint32_t value = draw(random, 9);
    if (s->words[i] >= 0)
      (void)snprintf(text, sizeof(text), "w%s", letters((size_t)s->words[i] * 7919 + 17, word) + 3);
    else if (s->words[i] == -1)
      (void)snprintf(text, sizeof(text), "get_%s", letters(value * 131 + 5, word) + 4);
    else if (s->words[i] == -2)
      (void)snprintf(text, sizeof(text), "%u", value * 37);
    else
      (void)snprintf(text, sizeof(text), "n%s", letters(value * 977 + 3, word) + 4);
    at += (size_t)snprintf(out + at, size - at, "%s%s", i > 0 ? " " : "", text);
  }
}

static void note_nothing(void *arg, uint64_t id, obs_miner_ref at) {
  (void)id;
  (void)at;
  ++*(uint32_t *)arg;
}

/* Miners that saw parts of the messages, put together in any order by way of their bytes, know the kinds of one that
 * saw all. */
static void test_parts_learn_what_the_whole_does(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    uint64_t random = seed * 0x9E3779B97F4A7C15u;
    static char texts[MESSAGES][160];
    sentence sentences[SENTENCES];
    obs_miner *parts[PARTS], *whole, *joined;
    const obs_miner_opts opts = {.clusters = 500, .shared = true};
    assert_int_equal(obs_miner_open(&opts, &whole), OBSERVER_E_OK);
    assert_int_equal(obs_miner_open(&opts, &joined), OBSERVER_E_OK);
    for (uint32_t p = 0; p < PARTS; p++) assert_int_equal(obs_miner_open(&opts, &parts[p]), OBSERVER_E_OK);
    for (int i = 0; i < SENTENCES; i++) make_sentence(&random, i, &sentences[i]);
    for (uint32_t i = 0; i < MESSAGES; i++) {
      put_sentence(&random, &sentences[draw(&random, SENTENCES)], texts[i], sizeof(texts[i]));
      (void)obs_miner_add(whole, str(texts[i]));
      (void)obs_miner_add(parts[draw(&random, PARTS)], str(texts[i]));
    }
    for (uint32_t p = 0; p < PARTS; p++) {
      obs_buf bytes = {0};
      obs_miner *read;
      uint32_t placed = 0;
      assert_int_equal(obs_miner_open(&opts, &read), OBSERVER_E_OK);
      obs_miner_save(parts[p], &bytes);
      obs_pack_reader in = {.p = (const uint8_t *)bytes.p, .end = (const uint8_t *)bytes.p + bytes.len};
      assert_true(obs_miner_load(read, &in) && obs_pack_at_end(&in));
      assert_true(obs_miner_merge(joined, read, note_nothing, &placed));
      assert_true(placed > 0);
      obs_buf_fini(&bytes);
      obs_miner_close(read);
    }
    for (uint32_t i = 0; i < MESSAGES; i++) {
      uint32_t a = obs_miner_peek(whole, str(texts[i])), b = obs_miner_peek(joined, str(texts[i]));
      assert_int_not_equal(a, OBS_MINER_NONE);
      assert_int_not_equal(b, OBS_MINER_NONE);
      if (obs_miner_id(whole, a) != obs_miner_id(joined, b)) {
        obs_str x = obs_miner_template(whole, a), y = obs_miner_template(joined, b);
        print_error("seed %d: '%s': '%.*s', joined '%.*s'\n", (int)seed, texts[i], (int)x.len, x.p, (int)y.len, y.p);
        fail();
      }
    }
    for (uint32_t p = 0; p < PARTS; p++) obs_miner_close(parts[p]);
    obs_miner_close(whole);
    obs_miner_close(joined);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_varies_is_masked),
      cmocka_unit_test(test_tokens_are_masked_as_what_they_stand_for),
      cmocka_unit_test(test_long_messages_are_cut),
      cmocka_unit_test(test_a_word_that_varies),
      cmocka_unit_test(test_a_word_where_values_were),
      cmocka_unit_test(test_opposites_stay_apart),
      cmocka_unit_test(test_ids_hang_on_the_text_alone),
      cmocka_unit_test(test_the_oldest_go),
      cmocka_unit_test(test_hostile_messages),
      cmocka_unit_test(test_parts_learn_what_the_whole_does),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
