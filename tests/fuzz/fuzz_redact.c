/* Redaction: the input is a text, a JSON and a msgpack message. What is redacted is redacted: a second time nothing
 * changes; what was well-formed stays so; all ways of the prefilter find the same; and nothing is redacted that did not
 * hit. */
#include "base/json_cursor.h"
#include "base/msgpack_cursor.h"
#include "redact/internal.h"

#include "fuzz.h"

static obs_redact *redact;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  static const uint8_t key[OBS_REDACT_KEY_BYTES] = "a key of thirty-two bytes, fixed";
  static const char *const patterns[] = {"BADGE=\\bB-\\d{4}\\b", "WORD=(?i)secret \\w+"};
  char error[256];
  (void)argc;
  (void)argv;
  FUZZ_CHECK(obs_redact_open(OBS_REDACT_ALL, patterns, 2, key, &redact, error, sizeof(error)) == OBSERVER_E_OK);
  return 0;
}

static bool is_json(const void *p, size_t n) {
  obs_cursor c = obs_cursor_of(p, n);
  obs_json_cursor_space(&c);
  if (c.p == c.end || !obs_json_cursor_skip(&c)) return false;
  obs_json_cursor_space(&c);
  return c.p == c.end;
}

static bool is_msgpack(const void *p, size_t n) {
  obs_cursor c = obs_cursor_of(p, n);
  return n > 0 && obs_msgpack_cursor_skip(&c) && c.p == c.end;
}

static void check_message(obs_redact_format format, const uint8_t *data, size_t size) {
  obs_buf out = {0}, again = {0};
  bool (*well_formed)(const void *, size_t) = format == OBS_REDACT_JSON ? is_json : is_msgpack;
  if (obs_redact_message(redact, format, data, size, 0, &out)) {
    FUZZ_CHECK(!out.oom);
    FUZZ_CHECK(!well_formed(data, size) || well_formed(out.p, out.len));
    if (format == OBS_REDACT_MSGPACK) FUZZ_CHECK(well_formed(data, size) || !well_formed(out.p, out.len));
    FUZZ_CHECK(!obs_redact_message(redact, format, out.p, out.len, 0, &again));
  } else {
    FUZZ_CHECK(out.len == 0);
  }
  obs_buf_fini(&out);
  obs_buf_fini(&again);
}

static void check_text(obs_str text) {
  obs_buf out = {0}, again = {0};
  obs_redact_matches all = obs_redact_look(redact, text.p, text.len);
  obs_redact_match match;
  size_t end = 0;
  while (obs_redact_next(&all, &match)) { /* one after another, within the text */
    FUZZ_CHECK(match.at >= end && match.end > match.at && match.end <= text.len);
    end = match.end;
  }
  if (obs_redact_text(redact, text, &out)) {
    const obs_str clean = obs_buf_view(&out);
    FUZZ_CHECK(!obs_redact_text(redact, clean, &again));
  }
  obs_buf_fini(&out);
  obs_buf_fini(&again);
}

static void check_prefilter(const char *p, size_t n) {
  static obs_prefilter *ways[3];
  for (size_t i = 0; i < 3 && ways[0] == NULL; i++) {
    obs_prefilter_literal literals[OBS_PREFILTER_MAX];
    for (size_t k = 0; k < obs_redact_secret_count; k++)
      literals[k] = (obs_prefilter_literal){obs_redact_secret_rows[k].literal, obs_redact_secret_rows[k].hook,
                                            obs_redact_secret_rows[k].fold};
    for (size_t way = 3; way-- > 0;)
      ways[way] =
          obs_prefilter_open(literals, obs_redact_secret_count, (obs_prefilter_way)(OBS_PREFILTER_PORTABLE + way));
    FUZZ_CHECK(ways[0] != NULL);
  }
  for (size_t at = 0; at < n;) {
    size_t found = obs_prefilter_next(ways[0], p, at, n);
    for (size_t i = 1; i < 3; i++) FUZZ_CHECK(ways[i] == NULL || obs_prefilter_next(ways[i], p, at, n) == found);
    at = found + 1;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *copy = fuzz_copy(data, size);
  check_text((obs_str){(const char *)copy, (uint32_t)size, 0});
  check_message(OBS_REDACT_JSON, copy, size);
  check_message(OBS_REDACT_MSGPACK, copy, size);
  check_prefilter((const char *)copy, size);
  free(copy);
  return 0;
}
