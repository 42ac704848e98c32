/* Every allocation of decoding fails once: each op of the message is then what it is otherwise, or a reject that says
 * so; none is lost, and none gets a default that is not its own. */
#include "alloc_fault.h"

#include "op/batch.h"
#include "redact/redact.h"
#include "sessions/sessions.h"

#include <observer/session.h>

#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* libcrypto's own allocations are not seen: the call fails as a whole. */
unsigned char *__real_HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *data, size_t n,
                           unsigned char *digest, unsigned int *len);
unsigned char *__wrap_HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *data, size_t n,
                           unsigned char *digest, unsigned int *len);

unsigned char *__wrap_HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *data, size_t n,
                           unsigned char *digest, unsigned int *len) {
  return alloc_fault_now() ? NULL : __real_HMAC(md, key, key_len, data, n, digest, len);
}

static const int64_t now_ms = 1767225600125; /* 2026-01-01 */

typedef struct {
  const char *bytes;
  size_t len;
  obs_op_profile profile;
  uint32_t items;
} message;

#define MESSAGE(text, profile, items)                                                                                  \
  { (text), sizeof(text) - 1, OBS_PROFILE_##profile, (items) }

static const message messages[] = {
    MESSAGE("{\"event_kind\":\"fill\",\"role\":\"a\\u00e9\",\"count\":3,\"city\":\"X\",\"mine\": { \"a\": [1, 2] }}",
            LEGACY, 1),
    MESSAGE("{\"source\":\"bot\",\"cycle_id\":\"c\",\"ok\":true}", V1, 1),
    MESSAGE("[{\"endpoint\":\"/a\"},{\"endpoint\":\"\"},7,{\"endpoint\":\"\\ud83d\\ude00\",\"extra\":{\"b\": "
            "1},\"u1\":1,\"u2\":2,"
            "\"u3\":3,\"u4\":4,\"u5\":5,\"u6\":6,\"u7\":7,\"u8\":8,\"u9\":9},{\"schema\":\"" OBSERVER_SESSION_SCHEMA
            "\",\"final_verdict\":\"accept\",\"attempts\":[{\"iteration\":1},{}],\"more\":\"\\n\"}]",
            V1, 5),
    MESSAGE("{\"endpoint\":\"/1\"}\n{\"endpoint\":\"/2\"\n{\"endpoint\":\"/3\"}\n", V1, 3),
    MESSAGE("\x93\x82\xa8"
            "endpoint"
            "\xa2"
            "/a"
            "\xa1"
            "u"
            "\x91\x01\x81\xa8"
            "endpoint"
            "\xa2"
            "/b"
            "\x83\xa6"
            "schema"
            "\xb2" OBSERVER_SESSION_SCHEMA "\xad"
            "final_verdict"
            "\xa6"
            "accept"
            "\xa1"
            "x"
            "\xcb\x3f\xf8\0\0\0\0\0\0",
            V1, 3),
};

static obs_redact *redact; /* NULL: nothing is redacted */

static void decode(obs_batch *b, const message *m, const obs_record_kinds *kinds, observer_err *err) {
  const obs_op_limits limits = OBS_LIMITS_DEFAULT;
  *err = obs_batch_init(b);
  if (*err != OBSERVER_E_OK) return;
  b->data = (const uint8_t *)m->bytes;
  b->size = m->len;
  b->transport = OBS_TRANSPORT_HTTP;
  b->profile = m->profile;
  b->kinds = kinds;
  b->redact = redact;
  obs_batch_decode(b, OBS_FORMAT_ANY, &limits, now_ms);
}

static bool has_line(const obs_batch *b, const obs_batch_line *lines, uint32_t n, uint32_t index, const char *line,
                     uint32_t len) {
  for (uint32_t i = 0; i < n; i++) {
    if (lines[i].index == index) return lines[i].len == len && memcmp(b->json.p + lines[i].off, line, len) == 0;
  }
  return false;
}

static void check(const obs_batch *b, const obs_batch *whole) {
  bool ended = false; /* by a message that could not be read on */
  for (uint32_t i = 0; i < b->nops; i++) {
    const obs_batch_line *l = &b->lines[i];
    assert_true(has_line(whole, whole->lines, whole->nops, l->index, b->json.p + l->off, l->len));
  }
  for (uint32_t i = 0; i < b->nrecords; i++) {
    const obs_batch_line *l = &b->records[i];
    assert_true(has_line(whole, whole->records, whole->nrecords, l->index, b->json.p + l->off, l->len));
  }
  for (uint32_t i = 0; i < b->nrejects; i++) ended |= strcmp(b->rejects[i].reason, "message: out of memory") == 0;
  if (!ended) assert_int_equal(obs_batch_items(b), obs_batch_items(whole));
  assert_true(b->nrejects >= whole->nrejects || ended);
}

static void test_every_allocation(void **state) {
  (void)state;
  const obs_record_kinds kinds = {{obs_sessions_kind(NULL)}, 1};
  unsigned runs = 0;
  for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
    obs_batch whole;
    observer_err err;
    decode(&whole, &messages[i], &kinds, &err);
    assert_int_equal(err, OBSERVER_E_OK);
    assert_int_equal(obs_batch_items(&whole), messages[i].items);
    assert_int_equal(whole.nrecords > 0, strstr(messages[i].bytes, "final_verdict") != NULL || whole.msgpack);
    for (unsigned long n = 1, fired = 1; fired; n++, runs++) {
      obs_batch b;
      alloc_fault_arm(n);
      decode(&b, &messages[i], &kinds, &err);
      fired = alloc_fault_disarm();
      if (err == OBSERVER_E_OK)
        check(&b, &whole);
      else
        assert_int_equal(err, OBSERVER_E_NOMEM);
      obs_batch_fini(&b);
    }
    obs_batch_fini(&whole);
  }
  assert_true(runs > 30);
}

/* The first allocation that a default needs fails: no op of 1970. */
static void test_no_memory_for_now(void **state) {
  (void)state;
  static const message m = MESSAGE("{\"endpoint\":\"/a\"}", V1, 1);
  unsigned rejected = 0;
  for (unsigned long n = 1, fired = 1; fired; n++) {
    obs_batch b;
    observer_err err;
    alloc_fault_arm(n);
    decode(&b, &m, NULL, &err);
    fired = alloc_fault_disarm();
    if (b.nops > 0) {
      assert_int_equal(b.ops[0].time_ms, now_ms);
      assert_null(memmem(b.json.p, b.json.len, "1970", 4));
    }
    rejected += b.nrejects;
    obs_batch_fini(&b);
  }
  assert_true(rejected >= 3);
}

#define MAIL_1 "jo@example.com"
#define MAIL_2 "ann@example.org"
#define KEY "sk-proj-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"

/* Two secrets of one kind, one twice, with escapes; a message that is refused; and msgpack. */
static const message secrets[] = {
    MESSAGE("[{\"endpoint\":\"/a\",\"op_id\":\"" MAIL_1 "\",\"error\":\"of " MAIL_2 " with " KEY
            "\"},{\"endpoint\":\"/b\",\"op_id\":\"jo\\u0040example.com\",\"more\":{\"to\":\"" MAIL_1 "\"}}]",
            V1, 2),
    MESSAGE("{\"endpoint\":\"\",\"error\":\"" MAIL_1 " and " MAIL_2 "\"}", V1, 1),
    MESSAGE("\x82\xa8"
            "endpoint"
            "\xa2"
            "/a"
            "\xa5"
            "error"
            "\xae" MAIL_1,
            V1, 1),
};

static bool shows(const void *p, size_t n) {
  static const char *const all[] = {MAIL_1, "jo\\u0040example", MAIL_2, KEY};
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
    if (n > 0 && memmem(p, n, all[i], strlen(all[i])) != NULL) return true;
  }
  return false;
}

/* Nothing of a secret comes out; what comes out has the tokens that it has otherwise, so that no two secrets share one.
 */
static void test_secrets(void **state) {
  (void)state;
  static const uint8_t key[OBS_REDACT_KEY_BYTES] = {1, 2, 3};
  char error[160];
  unsigned refused = 0;
  assert_int_equal(obs_redact_open(OBS_REDACT_ALL, NULL, 0, key, &redact, error, sizeof(error)), OBSERVER_E_OK);
  for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
    obs_batch whole;
    observer_err err;
    decode(&whole, &secrets[i], NULL, &err);
    assert_int_equal(err, OBSERVER_E_OK);
    assert_int_equal(obs_batch_items(&whole), secrets[i].items);
    for (unsigned long n = 1, fired = 1; fired; n++) {
      obs_batch b;
      alloc_fault_arm(n);
      decode(&b, &secrets[i], NULL, &err);
      fired = alloc_fault_disarm();
      if (err == OBSERVER_E_OK) check(&b, &whole);
      assert_false(shows(b.json.p, b.json.len));
      for (uint32_t k = 0; k < b.nrejects; k++) {
        const obs_batch_rejected *r = &b.rejects[k];
        assert_false(shows(r->reason, strlen(r->reason)) || shows(r->data + r->offset, r->length));
        refused += strcmp(r->reason, "message: out of memory") == 0;
      }
      obs_batch_fini(&b);
    }
    obs_batch_fini(&whole);
  }
  assert_true(refused >= 7); /* a match each of the first one, and more */
  obs_redact_close(redact);
  redact = NULL;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_allocation),
      cmocka_unit_test(test_no_memory_for_now),
      cmocka_unit_test(test_secrets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
