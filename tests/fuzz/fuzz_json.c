/* JSON: the cursor and the op decoder against cJSON.
 *
 * What the cursor takes, cJSON takes too, with the same value. Exceptions:
 *  - a number of more than 62 characters: cJSON 1.7.15 reads it in pieces;
 *  - a text that holds U+0000: cJSON's texts end there;
 *  - a text that is not UTF-8 or has half a surrogate pair: the cursor passes over it as invalid and its reader refuses
 *    it, cJSON refuses half a pair at once.
 * The other direction does not hold: cJSON takes control characters, bad UTF-8 and leading zeros
 * (tests/unit/test_json_suite.c says what the cursor must refuse). */
#include "base/json_cursor.h"

#include "decoded.h"

#include <cjson/cJSON.h>

enum { INPUT_MAX = 8192, NUMBER = 62 };

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  return 0;
}

/* Whether a number stands in the text that is longer than cJSON reads at once, or an escape that says U+0000. */
static bool is_beyond(const uint8_t *data, size_t size) {
  size_t run = 0;
  for (size_t i = 0; i < size; i++) {
    bool of_number = (data[i] >= '0' && data[i] <= '9') || strchr("+-.eE", data[i] != 0 ? data[i] : 'x') != NULL;
    run = of_number ? run + 1 : 0;
    if (run > NUMBER || (size - i >= 6 && memcmp(data + i, "\\u0000", 6) == 0)) return true;
  }
  return false;
}

static void same_text(const obs_cursor_value *v, const char *other) {
  char *plain = malloc(v->s.len + 1u);
  FUZZ_CHECK(plain != NULL);
  size_t len = obs_json_cursor_unescape(v->s, plain);
  FUZZ_CHECK(len <= v->s.len && other != NULL && strlen(other) == len && memcmp(other, plain, len) == 0);
  free(plain);
}

/* The value at the cursor is that of cJSON. */
static void same_value(obs_cursor *c, const cJSON *other) {
  obs_cursor_value v;
  obs_json_cursor_space(c);
  bool object = obs_json_cursor_take(c, '{');
  if (!object && !obs_json_cursor_take(c, '[')) {
    FUZZ_CHECK(obs_json_cursor_value(c, &v));
    switch (v.kind) {
    case OBS_VALUE_NULL:
      FUZZ_CHECK(cJSON_IsNull(other));
      break;
    case OBS_VALUE_BOOL:
      FUZZ_CHECK(v.b ? cJSON_IsTrue(other) : cJSON_IsFalse(other));
      break;
    case OBS_VALUE_INT:
      FUZZ_CHECK(cJSON_IsNumber(other) && other->valuedouble == (double)v.i);
      break;
    case OBS_VALUE_FLOAT:
      FUZZ_CHECK(cJSON_IsNumber(other) && other->valuedouble == v.d);
      break;
    case OBS_VALUE_BIG:
      FUZZ_CHECK(cJSON_IsNumber(other));
      break;
    case OBS_VALUE_TEXT:
      same_text(&v, cJSON_GetStringValue(other));
      break;
    default:
      FUZZ_CHECK(!"a scalar");
    }
    return;
  }
  FUZZ_CHECK(object ? cJSON_IsObject(other) : cJSON_IsArray(other));
  const cJSON *child = other->child;
  char close = object ? '}' : ']';
  obs_json_cursor_space(c);
  if (obs_json_cursor_take(c, close)) {
    FUZZ_CHECK(child == NULL);
    return;
  }
  do {
    FUZZ_CHECK(child != NULL);
    if (object) {
      FUZZ_CHECK(obs_json_cursor_key(c, &v));
      same_text(&v, child->string);
    }
    same_value(c, child);
    child = child->next;
    obs_json_cursor_space(c);
  } while (obs_json_cursor_take(c, ','));
  FUZZ_CHECK(obs_json_cursor_take(c, close) && child == NULL);
}

/* Without white space it is the same value, and nothing is left to take out. */
static void check_compact(const uint8_t *data, size_t len) {
  obs_json_cursor_shape shape, again;
  char *out = malloc(len);
  FUZZ_CHECK(out != NULL);
  size_t n = obs_json_cursor_compact((obs_str){(const char *)data, (uint32_t)len, 0}, out);
  obs_cursor c = obs_cursor_of(data, len), d = obs_cursor_of(out, n);
  FUZZ_CHECK(n <= len && obs_json_cursor_scan(&c, &shape) && obs_json_cursor_scan(&d, &again) && d.p == d.end);
  FUZZ_CHECK(!again.spaced && again.depth == shape.depth && again.longest == shape.longest);
  free(out);
}

static void compare(const uint8_t *data, size_t size) {
  obs_cursor c = obs_cursor_of(data, size);
  obs_json_cursor_shape shape;
  obs_json_cursor_space(&c);
  const uint8_t *start = c.p;
  if (!obs_json_cursor_scan(&c, &shape)) {
    FUZZ_CHECK(c.at >= c.base && c.at <= c.end);
    return;
  }
  size_t len = (size_t)(c.p - start);
  check_compact(start, len);
  if (!shape.valid || is_beyond(start, len)) return;
  cJSON *other = cJSON_ParseWithLength((const char *)start, len);
  FUZZ_CHECK(other != NULL);
  obs_cursor from = obs_cursor_of(start, len);
  same_value(&from, other);
  FUZZ_CHECK(from.p == from.end);
  cJSON_Delete(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > INPUT_MAX) return 0;
  uint8_t *copy = fuzz_copy(data, size);
  compare(copy, size);
  static const obs_op_profile profiles[] = {OBS_PROFILE_V1, OBS_PROFILE_LEGACY};
  for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
    obs_batch b;
    decoded_open(&b, copy, size, OBS_TRANSPORT_HTTP, profiles[i], OBS_FORMAT_JSON, NULL);
    for (uint32_t k = 0; k < b.nops; k++) compare((const uint8_t *)b.json.p + b.lines[k].off, b.lines[k].len);
    obs_batch_fini(&b);
  }
  obs_batch row;
  const char *reason = NULL;
  FUZZ_CHECK(obs_batch_init(&row) == OBSERVER_E_OK);
  if (!obs_batch_decode_row(&row, (const char *)copy, size, &reason)) FUZZ_CHECK(reason != NULL && *reason != '\0');
  obs_batch_fini(&row);
  free(copy);
  return 0;
}
