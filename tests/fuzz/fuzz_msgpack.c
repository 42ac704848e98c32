/* msgpack: the cursor and the op decoder against msgpack-c.
 *
 * What the cursor takes, msgpack-c takes too: the same bytes, the same value. What the cursor refuses, msgpack-c does
 * too. Each field of a recorded op is what msgpack-c finds in the map. Exceptions:
 *  - more than 32 levels: msgpack-c 4.0 has no room for them;
 *  - where an array or map has a 16 or 32 bit count, msgpack-c is not asked about what the cursor refused: it allocates
 *    what the header claims;
 *  - as JSON text the cursor refuses more than msgpack-c: text that is not UTF-8, keys that are no strings, numbers
 * that are not finite. */
#include "base/clock.h"
#include "base/msgpack_cursor.h"
#include "base/number.h"
#include "base/utf8.h"

#include "decoded.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <msgpack.h>
#include <msgpack/timestamp.h>

enum { LEVELS = 32, INPUT_MAX = 8192 };

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  obs_log_setup(OBS_LOG_ERROR, OBS_LOG_TEXT);
  return 0;
}

/* ---- values ---- */

static uint32_t levels_of(const msgpack_object *o) {
  uint32_t deepest = 0;
  if (o->type == MSGPACK_OBJECT_ARRAY) {
    for (uint32_t i = 0; i < o->via.array.size; i++) {
      uint32_t n = levels_of(&o->via.array.ptr[i]);
      if (n > deepest) deepest = n;
    }
    return deepest + 1;
  }
  if (o->type != MSGPACK_OBJECT_MAP) return 0;
  for (uint32_t i = 0; i < o->via.map.size; i++) {
    uint32_t key = levels_of(&o->via.map.ptr[i].key), value = levels_of(&o->via.map.ptr[i].val);
    if (key > deepest) deepest = key;
    if (value > deepest) deepest = value;
  }
  return deepest + 1;
}

/* A timestamp as ISO 8601 where that can say it. */
static void print_ext(const msgpack_object *o, obs_buf *out) {
  msgpack_timestamp t;
  uint32_t n = o->via.ext.size;
  const int64_t least = OBS_CLOCK_MIN_MS / 1000, most = OBS_CLOCK_MAX_MS / 1000;
  if (o->via.ext.type != -1 || (n != 4 && n != 8 && n != 12) || !msgpack_object_to_timestamp(o, &t) ||
      t.tv_nsec > 999999999 || t.tv_sec < least || t.tv_sec > most) {
    obs_buf_puts(out, "null");
    return;
  }
  char text[OBS_ISO8601_LEN + 1];
  obs_clock_format(t.tv_sec * 1000 + t.tv_nsec / 1000000, text);
  obs_buf_json_cstr(out, text);
}

/* As JSON text, the way the cursor says it. False: JSON cannot. */
static bool print(const msgpack_object *o, obs_buf *out) {
  char number[OBS_NUMBER_MAX];
  bool ok = true;
  switch (o->type) {
  case MSGPACK_OBJECT_NIL:
    obs_buf_puts(out, "null");
    return true;
  case MSGPACK_OBJECT_EXT:
    print_ext(o, out);
    return true;
  case MSGPACK_OBJECT_BOOLEAN:
    obs_buf_puts(out, o->via.boolean ? "true" : "false");
    return true;
  case MSGPACK_OBJECT_POSITIVE_INTEGER:
    obs_buf_u64(out, o->via.u64);
    return true;
  case MSGPACK_OBJECT_NEGATIVE_INTEGER:
    obs_buf_i64(out, o->via.i64);
    return true;
  case MSGPACK_OBJECT_FLOAT32:
  case MSGPACK_OBJECT_FLOAT64:
    if (!isfinite(o->via.f64)) return false;
    obs_buf_append(out, number, obs_number_format(o->via.f64, number));
    return true;
  case MSGPACK_OBJECT_STR:
  case MSGPACK_OBJECT_BIN:
    if (!obs_utf8_valid(o->via.str.ptr, o->via.str.size)) return false;
    obs_buf_json_str(out, (obs_str){o->via.str.ptr, o->via.str.size, 0});
    return true;
  case MSGPACK_OBJECT_ARRAY:
    obs_buf_putc(out, '[');
    for (uint32_t i = 0; ok && i < o->via.array.size; i++) {
      if (i > 0) obs_buf_putc(out, ',');
      ok = print(&o->via.array.ptr[i], out);
    }
    obs_buf_putc(out, ']');
    return ok;
  case MSGPACK_OBJECT_MAP:
    obs_buf_putc(out, '{');
    for (uint32_t i = 0; ok && i < o->via.map.size; i++) {
      const msgpack_object_kv *kv = &o->via.map.ptr[i];
      if (i > 0) obs_buf_putc(out, ',');
      ok = (kv->key.type == MSGPACK_OBJECT_STR || kv->key.type == MSGPACK_OBJECT_BIN) && print(&kv->key, out);
      obs_buf_putc(out, ':');
      ok = ok && print(&kv->val, out);
    }
    obs_buf_putc(out, '}');
    return ok;
  default:
    return false;
  }
}

static void check_scalar(const obs_cursor_value *v, const msgpack_object *o) {
  switch (v->kind) {
  case OBS_VALUE_NULL:
    FUZZ_CHECK(o->type == MSGPACK_OBJECT_NIL);
    break;
  case OBS_VALUE_SKIPPED:
    FUZZ_CHECK(o->type == MSGPACK_OBJECT_EXT);
    break;
  case OBS_VALUE_BOOL:
    FUZZ_CHECK(o->type == MSGPACK_OBJECT_BOOLEAN && o->via.boolean == v->b);
    break;
  case OBS_VALUE_INT:
    FUZZ_CHECK((o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 == (uint64_t)v->i && v->i >= 0) ||
               (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER && o->via.i64 == v->i));
    break;
  case OBS_VALUE_BIG:
    FUZZ_CHECK(o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 > INT64_MAX);
    break;
  case OBS_VALUE_FLOAT:
    FUZZ_CHECK(o->type == MSGPACK_OBJECT_FLOAT32 || o->type == MSGPACK_OBJECT_FLOAT64);
    FUZZ_CHECK(o->via.f64 == v->d || (isnan(v->d) && isnan(o->via.f64)));
    break;
  case OBS_VALUE_TEXT:
    FUZZ_CHECK((o->type == MSGPACK_OBJECT_STR || o->type == MSGPACK_OBJECT_BIN) && o->via.str.size == v->s.len);
    FUZZ_CHECK(v->s.len == 0 || memcmp(o->via.str.ptr, v->s.p, v->s.len) == 0);
    break;
  case OBS_VALUE_TREE:
    FUZZ_CHECK(o->type == MSGPACK_OBJECT_ARRAY || o->type == MSGPACK_OBJECT_MAP);
    break;
  }
}

/* Whether an array or map may claim more than 15 elements, wherever headers stand. */
static bool claims_much(const uint8_t *data, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (data[i] >= 0xdc && data[i] <= 0xdf) return true;
  }
  return false;
}

/* One value after another, as long as both take them. */
static void compare_values(const uint8_t *data, size_t size) {
  bool much = claims_much(data, size);
  size_t at = 0;
  while (at < size) {
    obs_cursor c = obs_cursor_of(data + at, size - at), again = c;
    obs_cursor_value v;
    bool taken = obs_msgpack_cursor_skip(&c);
    FUZZ_CHECK(obs_msgpack_cursor_value(&again, &v) == taken && (!taken || again.p == c.p));
    if (!taken && much) return;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t end = at;
    msgpack_unpack_return got = msgpack_unpack_next(&unpacked, (const char *)data, size, &end);
    bool theirs = got == MSGPACK_UNPACK_SUCCESS || got == MSGPACK_UNPACK_EXTRA_BYTES;
    if (!taken) FUZZ_CHECK(!theirs);
    if (taken && !theirs) FUZZ_CHECK(got == MSGPACK_UNPACK_NOMEM_ERROR); /* too deep for it */
    if (taken && theirs) {
      FUZZ_CHECK(end - at == (size_t)(c.p - c.base));
      check_scalar(&v, &unpacked.data);
      obs_buf mine = {0}, other = {0};
      size_t used = obs_msgpack_cursor_to_json(data + at, size - at, &mine);
      bool printed = levels_of(&unpacked.data) <= LEVELS && print(&unpacked.data, &other);
      FUZZ_CHECK(used == (printed ? end - at : 0));
      FUZZ_CHECK(!printed || (mine.len == other.len && memcmp(mine.p, other.p, mine.len) == 0));
      obs_buf_fini(&mine);
      obs_buf_fini(&other);
    }
    msgpack_unpacked_destroy(&unpacked);
    if (!taken || !theirs) return;
    at += (size_t)(c.p - c.base);
  }
}

/* ---- ops ---- */

/* The bytes of element `index` of the message: of a top-level array its elements, else the value itself. */
static bool find_element(const uint8_t *data, size_t size, uint32_t index, obs_cursor *out) {
  obs_cursor c = obs_cursor_of(data, size);
  for (uint32_t at = 0; c.p < c.end;) {
    uint32_t count = 1;
    if (obs_msgpack_cursor_is_array(&c) && !obs_msgpack_cursor_array(&c, &count)) return false;
    for (uint32_t i = 0; i < count; i++, at++) {
      const uint8_t *start = c.p;
      if (start >= c.end || !obs_msgpack_cursor_skip(&c)) return false;
      *out = obs_cursor_of(start, (size_t)(c.p - start));
      if (at == index) return true;
    }
  }
  return false;
}

static void compare_field(const cJSON *line, const obs_op_field_info *f, const msgpack_object *o) {
  if (f->kind == OBS_KIND_TEXT && (o->type == MSGPACK_OBJECT_STR || o->type == MSGPACK_OBJECT_BIN) &&
      o->via.str.size > 0 && memchr(o->via.str.ptr, 0, o->via.str.size) == NULL) { /* cJSON's texts end at a NUL */
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(line, f->name));
    FUZZ_CHECK(text != NULL && strlen(text) == o->via.str.size && memcmp(text, o->via.str.ptr, o->via.str.size) == 0);
  }
  if (f->kind == OBS_KIND_INT && o->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(line, f->name);
    FUZZ_CHECK(cJSON_IsNumber(number) && number->valuedouble == (double)o->via.u64);
  }
}

static void compare_op(const obs_batch *b, uint32_t i) {
  const obs_batch_line *at = &b->lines[i];
  obs_cursor element;
  FUZZ_CHECK(find_element(b->data, b->size, at->index, &element));
  msgpack_unpacked unpacked;
  msgpack_unpacked_init(&unpacked);
  size_t end = 0;
  msgpack_unpack_return got =
      msgpack_unpack_next(&unpacked, (const char *)element.base, obs_cursor_left(&element), &end);
  FUZZ_CHECK(got == MSGPACK_UNPACK_SUCCESS && end == obs_cursor_left(&element));
  FUZZ_CHECK(unpacked.data.type == MSGPACK_OBJECT_MAP);
  cJSON *line = cJSON_ParseWithLength(b->json.p + at->off, at->len);
  FUZZ_CHECK(line != NULL);
  for (uint32_t k = 0; k < unpacked.data.via.map.size; k++) {
    const msgpack_object_kv *kv = &unpacked.data.via.map.ptr[k];
    FUZZ_CHECK(kv->key.type == MSGPACK_OBJECT_STR || kv->key.type == MSGPACK_OBJECT_BIN);
    for (uint32_t f = 0; f < OBS_F_COUNT; f++) {
      if (obs_str_eq((obs_str){kv->key.via.str.ptr, kv->key.via.str.size, 0}, obs_op_field_name(f)))
        compare_field(line, &obs_op_fields[f], &kv->val);
    }
  }
  cJSON_Delete(line);
  msgpack_unpacked_destroy(&unpacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > INPUT_MAX) return 0;
  uint8_t *copy = fuzz_copy(data, size);
  compare_values(copy, size);
  static const obs_op_profile profiles[] = {OBS_PROFILE_V1, OBS_PROFILE_LEGACY};
  for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
    obs_batch b;
    decoded_open(&b, copy, size, OBS_TRANSPORT_HTTP, profiles[i], OBS_FORMAT_MSGPACK, NULL);
    for (uint32_t k = 0; k < b.nops; k++) compare_op(&b, k);
    obs_batch_fini(&b);
  }
  free(copy);
  return 0;
}
