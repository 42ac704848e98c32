/* What a message's sender makes of its ops: which sources they and records may name when its key is bound to some, in
 * both formats, in all profiles, and of several ops in a message; and the key's id. Which source a prefix takes in is
 * tested with the keys. */
#include "op/batch.h"
#include "op/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define M(literal) (literal), sizeof(literal) - 1

static const obs_op_limits limits = OBS_LIMITS_DEFAULT;

static bool take_session(obs_str json, const obs_op_limits *l, int64_t now_ms, obs_buf *row, char *reason,
                         size_t size) {
  (void)l, (void)now_ms, (void)reason, (void)size;
  obs_buf_append(row, json.p, json.len);
  obs_buf_putc(row, '\n');
  return true;
}

static const obs_record_kinds kinds = {
    {{.name = "session", .schema = "session.iterate.v1", .topic = "session", .normalise = take_session}}, 1};

static const obs_str mailer[] = {{"mailer", 6, 0}, {"bot", 3, 0}};
static const obs_key mailer_key = {.id = "mailerid", .scopes = OBS_SCOPE_INGEST, .sources = mailer, .nsources = 2};
static const obs_identity bound = {.scopes = OBS_SCOPE_INGEST, .key = &mailer_key};
static const obs_key free_key = {.id = "anyoneid", .scopes = OBS_SCOPE_INGEST};
static const obs_identity unbound = {.scopes = OBS_SCOPE_INGEST, .key = &free_key};
static const obs_identity open_to_all = {.scopes = OBS_SCOPE_OF_KEYS};

static void decode(obs_batch *b, const obs_identity *who, obs_op_profile profile, const char *bytes, size_t size) {
  assert_int_equal(obs_batch_init(b), OBSERVER_E_OK);
  b->data = (const uint8_t *)bytes;
  b->size = size;
  b->transport = OBS_TRANSPORT_PULL;
  b->profile = profile;
  b->kinds = &kinds;
  b->identity = who;
  obs_batch_decode(b, OBS_FORMAT_ANY, &limits, 0);
}

#define NOT_AS(name) "source: this key may not speak as \"" name "\""

/* One op each, by a key that is bound: what its source is in the end, or why it is refused. */
static void test_one_op(void **state) {
  static const struct {
    const char *bytes;
    size_t size;
    obs_op_profile profile;
    const char *source, *reason; /* one of them */
  } rows[] = {
      {M("{\"endpoint\":\"/a\",\"source\":\"mailer\"}"), OBS_PROFILE_V1, "mailer", NULL},
      {M("{\"endpoint\":\"/a\",\"source\":\"mailer-2\"}"), OBS_PROFILE_V1, "mailer-2", NULL},
      {M("{\"endpoint\":\"/a\",\"source\":\"bot\"}"), OBS_PROFILE_V1, "bot", NULL},
      {M("{\"endpoint\":\"/a\"}"), OBS_PROFILE_V1, "mailer", NULL},
      {M("{\"endpoint\":\"/a\",\"source\":\"\"}"), OBS_PROFILE_V1, "mailer", NULL},
      {M("{\"endpoint\":\"/a\",\"source\":null}"), OBS_PROFILE_V1, "mailer", NULL},
      {M("{\"endpoint\":\"/a\",\"source\":\"m\\u0061iler\"}"), OBS_PROFILE_V1, "mailer", NULL},
      {M("{\"endpoint\":\"/a\",\"source\":\"mailers\"}"), OBS_PROFILE_V1, NULL, NOT_AS("mailers")},
      {M("{\"endpoint\":\"/a\",\"source\":\"mcp\"}"), OBS_PROFILE_V1, NULL, NOT_AS("mcp")},
      {M("{\"source\":\"mcp\",\"endpoint\":\"/a\"}"), OBS_PROFILE_V1, NULL, NOT_AS("mcp")},
      {M("{\"endpoint\":\"/a\",\"source\":\"overseer_correction\"}"), OBS_PROFILE_V1, NULL,
       NOT_AS("overseer_correction")},
      {M("op.mailer\0{\"endpoint\":\"/a\",\"source\":\"mcp\"}"), OBS_PROFILE_V1, NULL, NOT_AS("mcp")},
      {M("{\"endpoint\":\"/a\",\"source\":\"a\\u001b[2J\\nb\\u0085\"}"), OBS_PROFILE_V1, NULL,
       NOT_AS("a [2J b\\u0085")},
      {M("{\"endpoint\":\"/a\",\"source\":\"0123456789012345678901234567890123456789012345678901234567890123\"}"),
       OBS_PROFILE_V1, NULL, NOT_AS("0123456789012345678901234567890123456789012345678901234567890123")},
      {M("{\"endpoint\":\"/"
         "a\",\"source\":\"012345678901234567890123456789012345678901234567890123456789012\\u00e9x\"}"),
       OBS_PROFILE_V1, NULL, NOT_AS("012345678901234567890123456789012345678901234567890123456789012...")},
      {M("\x82\xa8"
         "endpoint\xa2/a\xa6"
         "source\xa6"
         "mailer"),
       OBS_PROFILE_V1, "mailer", NULL},
      {M("\x81\xa8"
         "endpoint\xa2/a"),
       OBS_PROFILE_V1, "mailer", NULL},
      {M("\x82\xa8"
         "endpoint\xa2/a\xa6"
         "source\xa3"
         "mcp"),
       OBS_PROFILE_V1, NULL, NOT_AS("mcp")},
      /* the older profile has a default of its own, which the key's comes before */
      {M("{}"), OBS_PROFILE_LEGACY, "mailer", NULL},
      {M("{\"source\":\"scenario\"}"), OBS_PROFILE_LEGACY, NULL, NOT_AS("scenario")},
      {M("{\"source\":\"mailer\"}"), OBS_PROFILE_LEGACY, "mailer", NULL},
      /* what was wrong before is wrong in the same words */
      {M("{\"source\":\"mailer\"}"), OBS_PROFILE_V1, NULL, "endpoint: required"},
      {M("{\"endpoint\":\"/a\",\"source\":7}"), OBS_PROFILE_V1, NULL, "source: must be a string"},
      {M("{\"endpoint\":\"/a\",\"source\":\"mailer\",\"source\":\"mcp\"}"), OBS_PROFILE_V1, NULL,
       "source: duplicate key"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    obs_batch b;
    decode(&b, &bound, rows[i].profile, rows[i].bytes, rows[i].size);
    if (b.nops + b.nrejects != 1) fail_msg("row %zu: %u ops, %u rejects", i, b.nops, b.nrejects);
    if (rows[i].source != NULL && (b.nops != 1 || !obs_str_is(b.ops[0].source, rows[i].source)))
      fail_msg("row %zu: %s", i, b.nops != 1 ? b.rejects[0].reason : "another source");
    if (rows[i].reason != NULL && (b.nrejects != 1 || strcmp(b.rejects[0].reason, rows[i].reason) != 0))
      fail_msg("row %zu: %s", i, b.nrejects != 1 ? "not refused" : b.rejects[0].reason);
    assert_int_equal(b.denied, rows[i].reason != NULL && strstr(rows[i].reason, "may not speak") != NULL);
    obs_batch_fini(&b);
  }
}

/* The line that is recorded has the source that the key gave. */
static void test_the_line(void **state) {
  obs_batch b;
  (void)state;
  decode(&b, &bound, OBS_PROFILE_V1, M("{\"endpoint\":\"/a\",\"timestamp\":\"2026-01-01T00:00:00.000Z\"}"));
  assert_int_equal(b.nops, 1);
  const char want[] =
      "{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"endpoint\":\"/a\",\"input_summary\":\"\",\"success\":"
      "false,\"duration_ms\":0,\"output_summary\":\"\",\"source\":\"mailer\",\"key_id\":\"mailerid\"}\n";
  assert_int_equal(b.lines[0].len, sizeof(want) - 1);
  assert_memory_equal(b.json.p + b.lines[0].off, want, sizeof(want) - 1);
  obs_batch_fini(&b);
}

/* The id of the key stands in the op, behind `extra`. Only who has the scope admin, or where nobody needs a key, may
 * give another one: as a replay does. */
static void test_key_ids(void **state) {
  static const obs_key admin_key = {.id = "adminid2", .scopes = OBS_SCOPE_OF_KEYS};
  static const obs_identity admin = {.scopes = OBS_SCOPE_OF_KEYS, .key = &admin_key};
  static const obs_identity user = {.scopes = OBS_SCOPE_INGEST | OBS_SCOPE_READ};
  static const char without[] = "{\"endpoint\":\"/a\",\"x\":1,\"extra\":2}";
  static const char with[] = "{\"key_id\":\"older123\",\"endpoint\":\"/a\",\"x\":1,\"extra\":2}";
  static const char packed[] = "\x82\xa8"
                               "endpoint\xa2/a\xa6"
                               "key_id\xa8older123";
  static const char number[] = "{\"key_id\":7,\"endpoint\":\"/a\"}";
  static const struct {
    const obs_identity *who;
    const char *bytes;
    size_t size;
    const char *key_id; /* NULL: none */
    const char *reason; /* NULL: it is taken */
  } rows[] = {
      {&unbound, M(without), "anyoneid", NULL},
      {&bound, M(without), "mailerid", NULL},
      {&admin, M(without), "adminid2", NULL},
      {&user, M(without), NULL, NULL},
      {&open_to_all, M(without), NULL, NULL},
      {NULL, M(without), NULL, NULL},
      {&unbound, M(with), NULL, "key_id: is set by the daemon"},
      {&bound, M(with), NULL, "key_id: is set by the daemon"},
      {&bound, M(packed), NULL, "key_id: is set by the daemon"},
      {&bound, M(number), NULL, "key_id: is set by the daemon"},
      {&user, M(with), NULL, "key_id: is set by the daemon"},
      {&admin, M(with), "older123", NULL},
      {&admin, M(packed), "older123", NULL},
      {&admin, M(number), NULL, "key_id: must be a string"},
      {&open_to_all, M(with), "older123", NULL},
      {NULL, M(packed), "older123", NULL},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    obs_batch b;
    decode(&b, rows[i].who, OBS_PROFILE_V1, rows[i].bytes, rows[i].size);
    if (b.nrejects != (rows[i].reason != NULL) || (b.nrejects == 1 && strcmp(b.rejects[0].reason, rows[i].reason) != 0))
      fail_msg("row %zu: %s", i, b.nrejects > 0 ? b.rejects[0].reason : "taken");
    if (rows[i].reason == NULL) {
      bool has = OBS_HAS(&b.ops[0], key_id);
      if (has != (rows[i].key_id != NULL) || (has && !obs_str_is(b.ops[0].key_id, rows[i].key_id)))
        fail_msg("row %zu: another key_id", i);
      char *line = b.json.p + b.lines[0].off, want[64];
      line[b.lines[0].len - 1] = '\0';
      (void)snprintf(want, sizeof want, has ? "\"key_id\":\"%s\"" : "", rows[i].key_id);
      assert_non_null(strstr(line, want));
      if (has && strstr(line, "\"extra\"") != NULL) {
        assert_true(strstr(line, "\"extra\"") < strstr(line, "\"key_id\""));
        assert_true(strstr(line, "\"key_id\"") < strstr(line, "\"x\""));
      }
    }
    obs_batch_fini(&b);
  }
  /* A row is read as it stands, also with a key_id of another type. */
  const char *const lines[] = {with, number};
  for (size_t i = 0; i < 2; i++) {
    obs_batch b;
    const char *reason;
    assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
    assert_true(obs_batch_decode_row(&b, lines[i], strlen(lines[i]), &reason));
    assert_int_equal(OBS_HAS(&b.ops[0], key_id), i == 0);
    assert_int_equal(b.ops[0].unknown_count, 1);
    obs_batch_fini(&b);
  }
}

/* A bot's rules are those of the source that it has in the end. */
static void test_a_key_of_a_bot(void **state) {
  static const obs_str bot[] = {{"bot", 3, 0}};
  static const obs_key key = {.id = "botbotid", .scopes = OBS_SCOPE_INGEST, .sources = bot, .nsources = 1};
  const obs_identity who = {.scopes = OBS_SCOPE_INGEST, .key = &key};
  obs_batch b;
  (void)state;
  decode(&b, &who, OBS_PROFILE_V1, M("{\"ok\":true,\"success\":false}"));
  assert_int_equal(b.nops, 1);
  assert_true(obs_str_is(b.ops[0].endpoint, "bot:cycle"));
  assert_true(b.ops[0].success);
  obs_batch_fini(&b);
}

/* The others of a message stand. */
static void test_several_ops(void **state) {
  obs_batch b;
  (void)state;
  decode(
      &b, &bound, OBS_PROFILE_V1,
      M("[{\"endpoint\":\"/0\"},{\"endpoint\":\"/1\",\"source\":\"mcp\"},{\"endpoint\":\"/2\",\"source\":\"mailer\"},"
        "{\"endpoint\":\"/3\",\"source\":\"scenario\",\"x\":[1,{}]},{\"endpoint\":\"/4\",\"source\":\"bot\"}]"));
  assert_int_equal(b.nops, 3);
  assert_int_equal(b.lines[0].index, 0);
  assert_int_equal(b.lines[1].index, 2);
  assert_int_equal(b.lines[2].index, 4);
  assert_int_equal(b.nrejects, 2);
  assert_int_equal(b.denied, 2);
  assert_int_equal(b.rejects[0].index, 1);
  assert_string_equal(b.rejects[0].reason, NOT_AS("mcp"));
  assert_int_equal(b.rejects[0].why, OBS_REJECT_SOURCE);
  assert_int_equal(b.rejects[1].index, 3);
  assert_string_equal(b.rejects[1].reason, NOT_AS("scenario"));
  obs_batch_fini(&b);
}

/* Records of another kind name their source in a member of that name. */
static void test_records(void **state) {
#define SCHEMA "\"schema\":\"session.iterate.v1\""
  static const struct {
    const char *bytes;
    size_t size;
    const char *reason; /* NULL: taken */
    bool denied;
  } rows[] = {
      {M("{" SCHEMA ",\"source\":\"mailer\"}"), NULL, false},
      {M("{\"source\":\"mailer:x\"," SCHEMA "}"), NULL, false},
      {M("{" SCHEMA ",\"so\\u0075rce\":\"mailer\"}"), NULL, false},
      {M("session\0{\"source\":\"mailer\"}"), NULL, false},
      {M("session\0\x81\xa6source\xa6mailer"), NULL, false},
      {M("{" SCHEMA "}"), "source: required: this key may speak for its own sources only", true},
      {M("session\0{}"), "source: required: this key may speak for its own sources only", true},
      {M("session\0 { }"), "source: required: this key may speak for its own sources only", true},
      {M("session\0\x80"), "source: required: this key may speak for its own sources only", true},
      {M("{" SCHEMA ",\"extra\":{\"source\":\"mailer\"}}"),
       "source: required: this key may speak for its own sources only", true},
      {M("{" SCHEMA ",\"source\":\"mcp\"}"), NOT_AS("mcp"), true},
      {M("{" SCHEMA ",\"so\\u0075rce\":\"mcp\"}"), NOT_AS("mcp"), true},
      {M("{" SCHEMA ",\"source\":\"mailer\",\"source\":\"mcp\"}"), NOT_AS("mcp"), true},
      {M("session\0\x81\xa6source\xa3mcp"), NOT_AS("mcp"), true},
      {M("{" SCHEMA ",\"source\":[\"mailer\"]}"), "source: must be a string", false},
      {M("{" SCHEMA ",\"source\":null}"), "source: must be a string", false},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    obs_batch b;
    decode(&b, &bound, OBS_PROFILE_V1, rows[i].bytes, rows[i].size);
    if (b.nrecords != (rows[i].reason == NULL) || b.nrejects != (rows[i].reason != NULL) || b.nops != 0 ||
        (b.nrejects == 1 && strcmp(b.rejects[0].reason, rows[i].reason) != 0))
      fail_msg("row %zu: %u records, %u ops, %s", i, b.nrecords, b.nops,
               b.nrejects > 0 ? b.rejects[0].reason : "no reject");
    assert_int_equal(b.denied, rows[i].denied);
    obs_batch_fini(&b);
  }
}

/* Who is bound to nothing may say what they like; so may rows of the journal, whoever is said to send them. */
static void test_bound_to_nothing(void **state) {
  const obs_identity *const who[] = {NULL, &unbound, &open_to_all};
  static const char message[] = "[{\"endpoint\":\"/a\"},{\"endpoint\":\"/b\",\"source\":\"x\"},{" SCHEMA "}]";
  (void)state;
  for (size_t i = 0; i < sizeof(who) / sizeof(who[0]); i++) {
    obs_batch b;
    decode(&b, who[i], OBS_PROFILE_V1, M(message));
    assert_int_equal(b.nops, 2);
    assert_int_equal(b.nrecords, 1);
    assert_int_equal(b.nrejects, 0);
    assert_true(obs_str_is(b.ops[0].source, "mcp"));
    assert_true(obs_str_is(b.ops[1].source, "x"));
    obs_batch_fini(&b);
  }
  obs_batch b;
  const char *reason;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  b.identity = &bound;
  assert_true(obs_batch_decode_row(&b, M("{\"endpoint\":\"/a\",\"source\":\"x\"}"), &reason));
  assert_true(obs_str_is(b.ops[0].source, "x"));
  obs_batch_fini(&b);
}

/* A batch that is used again knows nothing of who sent the last one. */
static void test_reset(void **state) {
  static const char op[] = "{\"endpoint\":\"/a\",\"source\":\"mcp\"}";
  obs_batch b;
  (void)state;
  decode(&b, &bound, OBS_PROFILE_V1, M(op));
  assert_int_equal(b.denied, 1);
  obs_batch_reset(&b);
  assert_null(b.identity);
  assert_string_equal(b.key_id, "");
  assert_int_equal(b.denied, 0);
  obs_batch_fini(&b);
}

/* Bytes with the text of a key are not kept, whatever is wrong with them. */
static void test_keys_are_not_kept(void **state) {
#define KEY "obs_i_abcdefg2_0123456789012345678901234567890123456789012_a1b2c3"
  static const struct {
    const char *bytes;
    size_t size;
    bool kept;
  } rows[] = {
      {M("{\"key\":\"" KEY "\"}"), false},
      {M("{\"x\":1,\"key\":\"" KEY "\"}"), false},
      {M("topic\0{\"key\":\"" KEY "\"}"), false},
      {M("{\"key\":\"" KEY), false},
      {M("obs_ obs_i_ obs_i_abcdefg2_0123"), false},
      {M("\x81\xa3key\xd9\x42" KEY), false},
      {M("{\"key\":\"obs_i_abcdefg2_0\"}"), false},
      {M("{\"key\":\"obs_i_abcdefg2\"}"), true},
      {M("{\"key\":\"obs_i_ABCDEFG2_0123456789\"}"), true},
      {M("obs_"), true},
      {M("{\"x\":\"jobs_in_progress_today_and_tomorrow\"}"), true},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
    obs_batch b;
    char *exact = malloc(rows[i].size); /* a sanitizer sees any read past it */
    assert_non_null(exact);
    memcpy(exact, rows[i].bytes, rows[i].size);
    decode(&b, NULL, OBS_PROFILE_V1, exact, rows[i].size);
    assert_int_equal(b.nrejects, 1);
    if ((b.rejects[0].length > 0) != rows[i].kept) fail_msg("row %zu: %u bytes", i, b.rejects[0].length);
    obs_batch_fini(&b);
    free(exact);
  }
  /* Those of the other ops of a message are. */
  obs_batch b;
  decode(&b, NULL, OBS_PROFILE_V1, M("[{\"x\":1},{\"key\":\"" KEY "\"},{\"x\":22}]"));
  assert_int_equal(b.nrejects, 3);
  assert_int_equal(b.rejects[0].length, 7);
  assert_int_equal(b.rejects[1].length, 0);
  assert_int_equal(b.rejects[2].length, 8);
  obs_batch_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_op),
      cmocka_unit_test(test_the_line),
      cmocka_unit_test(test_key_ids),
      cmocka_unit_test(test_a_key_of_a_bot),
      cmocka_unit_test(test_several_ops),
      cmocka_unit_test(test_records),
      cmocka_unit_test(test_bound_to_nothing),
      cmocka_unit_test(test_reset),
      cmocka_unit_test(test_keys_are_not_kept),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
