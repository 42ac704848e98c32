/* A message of the bus: where its topic ends, ops and session records in it, questions for advice. */
#include "base/json_cursor.h"
#include "intake/question.h"

#include "decoded.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  return 0;
}

/* As the design says it: a map or array of msgpack, `{` or `[` begins a payload, and so do byte order marks and white
 * space before these two; anything else a topic up to a NUL. */
static void check_payload(const uint8_t *data, size_t size) {
  obs_str topic = {0};
  const uint8_t *payload = obs_batch_payload(data, size, &topic);
  bool begins =
      size > 0 && ((*data >= 0x80 && *data < 0xa0) || (*data >= 0xdc && *data < 0xe0) || *data == '{' || *data == '[');
  FUZZ_CHECK((payload == data) == begins);
  if (payload == NULL || begins) return;
  if (topic.p == NULL) {
    FUZZ_CHECK(payload > data && payload < data + size && (*payload == '{' || *payload == '['));
    for (const uint8_t *p = data; p < payload; p++) FUZZ_CHECK(strchr("\xef\xbb\xbf \t\r\n", *p) != NULL && *p != 0);
    return;
  }
  FUZZ_CHECK(topic.p == (const char *)data && topic.len < size && data[topic.len] == 0);
  FUZZ_CHECK(memchr(data, 0, topic.len) == NULL && payload == data + topic.len + 1 && payload < data + size);
}

static bool advise(void *arg, const obs_bus_question *q, obs_buf *out) {
  (void)arg;
  FUZZ_CHECK(q->endpoint.p != NULL || q->task_class.p != NULL);
  obs_buf_putc(out, (char)0x80);
  return true;
}

static void ask(const uint8_t *data, size_t size) {
  const obs_bus_opts opts = {.limits = decoded_limits, .advise = advise};
  obs_batch b;
  obs_buf reply = {0};
  FUZZ_CHECK(obs_batch_init(&b) == OBSERVER_E_OK);
  obs_question q;
  bool found = obs_question_find(&opts, &b, data, size, &q);
  obs_batch_reset(&b);
  if (found && q.kind == OBS_QUESTION_KEY) {
    FUZZ_CHECK(obs_question_key(&opts, &b, &q).len <= size);
  } else if (found) {
    obs_question_answer(&opts, &b, &q, &reply);
    FUZZ_CHECK(reply.len > 0 && !reply.oom);
  }
  obs_buf_fini(&reply);
  obs_batch_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > decoded_limits.message_bytes + 16) return 0;
  const obs_record_kinds kinds = {.at = {obs_sessions_kind(NULL)}, .n = 1};
  uint8_t *copy = fuzz_copy(data, size);
  check_payload(copy, size);
  obs_batch b;
  decoded_open(&b, copy, size, OBS_TRANSPORT_PULL, OBS_PROFILE_V1, OBS_FORMAT_ANY, &kinds);
  for (uint32_t i = 0; i < b.nrecords; i++) { /* a record's row is one JSON object on one line */
    obs_cursor c = obs_cursor_of(b.json.p + b.records[i].off, b.records[i].len);
    FUZZ_CHECK(*c.p == '{' && obs_json_cursor_skip(&c) && c.p + 1 == c.end && *c.p == '\n');
    FUZZ_CHECK(b.records[i].kind < kinds.n);
  }
  obs_batch_fini(&b);
  ask(copy, size);
  free(copy);
  return 0;
}
