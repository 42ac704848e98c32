/* The golden vectors of proto/vectors (format: its README.md) through obs_batch_decode: as they are, cut at every byte,
 * and with bytes changed. Every input lies in a block of exactly its size, so that a sanitizer sees any read past it.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/stamp.h"
#include "op/batch.h"

#include <cjson/cJSON.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct {
  const char *name, *format;
  const cJSON *json;
  obs_buf input, *rows;
  uint32_t nrows;
} vector;

typedef struct {
  cJSON *roots[32];
  size_t nroots;
  vector *vectors;
  size_t count;
  int64_t now_ms;
} corpus;

static const char *text_of(const cJSON *object, const char *key) {
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static cJSON *item_of(const cJSON *object, const char *key) {
  return cJSON_GetObjectItemCaseSensitive(object, key);
}

static void append_hex(obs_buf *out, const char *hex) {
  for (; hex[0] != '\0'; hex += 2) {
    const char digits[3] = {hex[0], hex[1], '\0'};
    obs_buf_putc(out, (char)strtoul(digits, NULL, 16));
  }
}

/* A string, {"hex"}, {"text"}, {"repeat", "times"} or {"parts"}. */
static void append_input(obs_buf *out, const cJSON *in) {
  if (cJSON_IsString(in)) obs_buf_puts(out, in->valuestring);
  if (text_of(in, "text") != NULL) obs_buf_puts(out, text_of(in, "text"));
  if (text_of(in, "hex") != NULL) append_hex(out, text_of(in, "hex"));
  const cJSON *part;
  cJSON_ArrayForEach(part, item_of(in, "parts")) append_input(out, part);
  if (item_of(in, "repeat") == NULL) return;
  obs_buf once = {0};
  append_input(&once, item_of(in, "repeat"));
  for (int i = 0; i < item_of(in, "times")->valueint; i++) obs_buf_append(out, once.p, once.len);
  obs_buf_fini(&once);
}

/* A row that is {"repeat", "times"} stands for that many rows; one made of parts is one long row. */
static void read_rows(vector *v, const cJSON *rows) {
  const cJSON *row;
  cJSON_ArrayForEach(row, rows) {
    const cJSON *again = item_of(row, "repeat");
    uint32_t times = again != NULL ? (uint32_t)item_of(row, "times")->valueint : 1;
    v->rows = realloc(v->rows, (v->nrows + times) * sizeof(*v->rows));
    assert_non_null(v->rows);
    for (uint32_t i = 0; i < times; i++) {
      obs_buf *line = &v->rows[v->nrows++];
      *line = (obs_buf){0};
      append_input(line, again != NULL ? again : row);
      obs_buf_putc(line, '\n');
    }
  }
}

static void read_vector(corpus *c, const cJSON *json) {
  c->vectors = realloc(c->vectors, (c->count + 1) * sizeof(*c->vectors));
  assert_non_null(c->vectors);
  vector *v = &c->vectors[c->count++];
  *v = (vector){.name = text_of(json, "name"), .format = text_of(json, "format"), .json = json};
  append_input(&v->input, item_of(json, "input"));
  read_rows(v, item_of(json, "rows"));
}

static void read_file(corpus *c, const char *path) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  obs_buf text = {0};
  char block[65536];
  for (size_t n; (n = fread(block, 1, sizeof(block), f)) > 0;) obs_buf_append(&text, block, n);
  assert_int_equal(fclose(f), 0);
  cJSON *root = cJSON_ParseWithLength(text.p, text.len);
  if (root == NULL) fail_msg("%s is not JSON", path);
  obs_buf_fini(&text);
  assert_true(c->nroots < sizeof(c->roots) / sizeof(c->roots[0]));
  c->roots[c->nroots++] = root;
  assert_true(obs_clock_parse(text_of(root, "now"), strlen(text_of(root, "now")), &c->now_ms));
  const cJSON *json;
  cJSON_ArrayForEach(json, item_of(root, "vectors")) read_vector(c, json);
}

static int load(void **state) {
  static corpus c;
  glob_t found;
  assert_int_equal(glob(OBSERVER_SOURCE_DIR "/proto/vectors/*.json", 0, NULL, &found), 0);
  for (size_t i = 0; i < found.gl_pathc; i++) read_file(&c, found.gl_pathv[i]);
  globfree(&found);
  *state = &c;
  return 0;
}

static int unload(void **state) {
  corpus *c = *state;
  for (size_t i = 0; i < c->count; i++) {
    for (uint32_t k = 0; k < c->vectors[i].nrows; k++) obs_buf_fini(&c->vectors[i].rows[k]);
    free(c->vectors[i].rows);
    obs_buf_fini(&c->vectors[i].input);
  }
  free(c->vectors);
  for (size_t i = 0; i < c->nroots; i++) cJSON_Delete(c->roots[i]);
  return 0;
}

/* Decodes `len` bytes as a message that came `via` bus, v1 or legacy. `copy` is freed by the caller, after `b`. */
static uint8_t *decode(obs_batch *b, const corpus *c, const vector *v, const char *via, const void *p, size_t len) {
  static const obs_op_limits limits = {4u << 20, 10000, 256u << 10, 64u << 10, 64, 8};
  bool bus = strcmp(via, "bus") == 0;
  obs_batch_format format = bus                              ? OBS_FORMAT_ANY
                            : strcmp(v->format, "json") == 0 ? OBS_FORMAT_JSON
                                                             : OBS_FORMAT_MSGPACK;
  uint8_t *copy = malloc(len + (len == 0));
  assert_non_null(copy);
  if (len > 0) memcpy(copy, p, len);
  obs_batch_reset(b);
  b->data = copy;
  b->size = len;
  b->transport = bus ? OBS_TRANSPORT_PULL : OBS_TRANSPORT_HTTP;
  b->profile = strcmp(via, "legacy") == 0 ? OBS_PROFILE_LEGACY : OBS_PROFILE_V1;
  obs_batch_decode(b, format, &limits, c->now_ms);
  return copy;
}

/* Where `b` differs from the first b->nops rows of `v`; NULL when it does not. */
static const char *rows_differ(const obs_batch *b, const vector *v) {
  if (b->nops > v->nrows) return "more rows than expected";
  for (uint32_t i = 0; i < b->nops; i++) {
    const obs_batch_line *line = &b->lines[i];
    if (line->len == v->rows[i].len && memcmp(b->json.p + line->off, v->rows[i].p, line->len) == 0) continue;
    printf("    row %u is       %.*s", i, (int)(line->len < 3000 ? line->len : 3000), b->json.p + line->off);
    printf("    row %u should be %.*s", i, (int)(v->rows[i].len < 3000 ? v->rows[i].len : 3000), v->rows[i].p);
    return "a row differs";
  }
  return NULL;
}

static const char *rejects_differ(const obs_batch *b, const vector *v) {
  const cJSON *rejects = item_of(v->json, "rejects");
  bool same = b->nrejects == (uint32_t)cJSON_GetArraySize(rejects);
  for (uint32_t i = 0; i < b->nrejects; i++) {
    const cJSON *want = cJSON_GetArrayItem(rejects, (int)i);
    const obs_batch_rejected *is = &b->rejects[i];
    if ((uint64_t)is->offset + is->length > b->size) return "a reject's bytes lie outside of the message";
    if (want != NULL && is->index == (uint32_t)item_of(want, "index")->valueint &&
        strcmp(is->reason, text_of(want, "reason")) == 0) {
      continue;
    }
    if (same || i < 5) {
      printf("    reject is %u %s, should be %d %s\n", is->index, is->reason,
             want != NULL ? item_of(want, "index")->valueint : -1, want != NULL ? text_of(want, "reason") : "none");
    }
    same = false;
  }
  return same ? NULL : "the rejects differ";
}

/* The topic's bytes without the NUL; -1 when the vector has none. */
static long topic_length(const vector *v, obs_buf *out) {
  const char *plain = text_of(v->json, "topic"), *hex = text_of(v->json, "topic_hex");
  if (plain != NULL) obs_buf_puts(out, plain);
  if (hex != NULL) append_hex(out, hex);
  return plain == NULL && hex == NULL ? -1 : (long)out->len;
}

static const char *topic_differs(const obs_batch *b, const vector *v) {
  obs_buf want = {0};
  bool same = topic_length(v, &want) < 0 || obs_str_eq(b->topic, (obs_str){want.p, (uint32_t)want.len, 0});
  obs_buf_fini(&want);
  return same ? NULL : "the topic differs";
}

static void test_every_vector(void **state) {
  const corpus *c = *state;
  obs_batch b;
  unsigned failed = 0;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  assert_true(c->count >= 60);
  for (size_t i = 0; i < c->count; i++) {
    const vector *v = &c->vectors[i];
    const cJSON *via;
    cJSON_ArrayForEach(via, item_of(v->json, "via")) {
      uint8_t *copy = decode(&b, c, v, via->valuestring, v->input.p, v->input.len);
      const char *wrong = b.nops < v->nrows ? "a row is missing" : rows_differ(&b, v);
      const char *rejects = rejects_differ(&b, v);
      if (wrong == NULL) wrong = rejects;
      if (wrong == NULL && strcmp(via->valuestring, "bus") == 0) wrong = topic_differs(&b, v);
      if (wrong != NULL) printf("  %s (%s): %s\n", v->name, via->valuestring, wrong);
      failed += wrong != NULL;
      free(copy);
    }
  }
  obs_batch_fini(&b);
  assert_int_equal(failed, 0);
}

static bool is_boundary(const vector *v, size_t cut) {
  const cJSON *at;
  cJSON_ArrayForEach(at, item_of(v->json, "boundaries")) {
    if ((size_t)at->valueint == cut) return true;
  }
  return false;
}

static bool is_stamped(const vector *v) {
  return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(v->json, "stamped"));
}

/* The reason that a message cut to `cut` bytes must be refused with; empty when the cut falls between two ops. */
static void reason_of_cut(const obs_batch *b, const vector *v, long topic, size_t cut, char out[64]) {
  size_t from = is_stamped(v) ? (size_t)(topic += OBS_STAMP_BYTES) + 1 : 0; /* what places count from */
  size_t space = (size_t)(topic + 1);                                       /* past the NUL */
  while (space < cut && strchr(" \t\r\n", v->input.p[space]) != NULL && v->input.p[space] != '\0') space++;
  if (topic >= 0 && cut <= (size_t)topic + 1) {
    snprintf(out, 64, "message: no payload after the topic");
  } else if (space == cut) {
    snprintf(out, 64, "message: empty");
  } else if (is_boundary(v, cut)) {
    out[0] = '\0';
  } else {
    snprintf(out, 64, "%s: truncated at byte %zu", b->msgpack ? "msgpack" : "json", cut - from);
  }
}

static const char *cut_differs(const obs_batch *b, const vector *v, long topic, size_t cut) {
  char reason[64];
  reason_of_cut(b, v, topic, cut, reason);
  if (b->nrejects != (reason[0] != '\0')) return b->nrejects == 0 ? "no reject" : "a reject too many";
  if (b->nrejects == 1 && b->rejects[0].index != b->nops) return "the reject's index is wrong";
  if (b->nrejects == 1 && strcmp(b->rejects[0].reason, reason) != 0) {
    printf("    reason is `%s`, should be `%s`\n", b->rejects[0].reason, reason);
    return "the reason differs";
  }
  return rows_differ(b, v);
}

static void test_cut_at_every_byte(void **state) {
  const corpus *c = *state;
  obs_batch b;
  unsigned failed = 0;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  for (size_t i = 0; i < c->count; i++) {
    const vector *v = &c->vectors[i];
    if (cJSON_GetArraySize(item_of(v->json, "rejects")) > 0) continue;
    if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(v->json, "cut"))) continue;
    const char *via = cJSON_GetArrayItem(item_of(v->json, "via"), 0)->valuestring;
    obs_buf topic = {0};
    long topic_len = topic_length(v, &topic);
    obs_buf_fini(&topic);
    if (v->input.len > (1u << 20)) continue; /* mostly white space: every cut is a boundary */
    size_t step = v->input.len > 8192 ? v->input.len / 61 : 1;
    for (size_t cut = 1; cut < v->input.len && failed < 20; cut += step) {
      uint8_t *copy = decode(&b, c, v, via, v->input.p, cut);
      const char *wrong = cut_differs(&b, v, topic_len, cut);
      if (wrong != NULL) printf("  %s cut to %zu of %zu bytes: %s\n", v->name, cut, v->input.len, wrong);
      failed += wrong != NULL;
      free(copy);
    }
  }
  obs_batch_fini(&b);
  assert_int_equal(failed, 0);
}

/* Whatever is decoded from a damaged message, every row is one line of JSON that replays. */
static void check_rows_replay(const obs_batch *b, const vector *v, obs_batch *row) {
  for (uint32_t i = 0; i < b->nops; i++) {
    const char *line = b->json.p + b->lines[i].off, *reason = NULL;
    size_t len = b->lines[i].len - 1;
    assert_int_equal(line[len], '\n');
    obs_batch_reset(row);
    bool ok = memchr(line, '\n', len) == NULL && obs_batch_decode_row(row, line, len, &reason);
    if (!ok) fail_msg("%s, damaged: a row does not replay (%s): %.*s", v->name, reason, (int)len, line);
  }
}

static void test_damaged_bytes(void **state) {
  static const uint8_t values[] = {0x00, 0x22, 0x5c, 0x7d, 0x80, 0x91, 0xc1, 0xdd, 0xdf, 0xff};
  const corpus *c = *state;
  obs_batch b, row;
  assert_int_equal(obs_batch_init(&b), OBSERVER_E_OK);
  assert_int_equal(obs_batch_init(&row), OBSERVER_E_OK);
  for (size_t i = 0; i < c->count; i++) {
    const vector *v = &c->vectors[i];
    if (v->input.len > 512) continue;
    const cJSON *via = cJSON_GetArrayItem(item_of(v->json, "via"), 0);
    for (size_t at = 0; at < v->input.len; at++) {
      char was = v->input.p[at];
      for (size_t k = 0; k < sizeof(values); k++) {
        v->input.p[at] = (char)values[k];
        uint8_t *copy = decode(&b, c, v, via->valuestring, v->input.p, v->input.len);
        check_rows_replay(&b, v, &row);
        free(copy);
      }
      v->input.p[at] = was;
    }
  }
  obs_batch_fini(&row);
  obs_batch_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_vector),
      cmocka_unit_test(test_cut_at_every_byte),
      cmocka_unit_test(test_damaged_bytes),
  };
  return cmocka_run_group_tests_name("vectors", tests, load, unload);
}
