#include "base/buf.h"
#include "base/msgpack_cursor.h"
#include "client/encode.h"
#include "client/internal.h"
#include "client/mp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* UNKNOWN_MAX: the daemon's limit. */
enum { UNKNOWN_MAX = 64, ENTRIES_MAX = OBS_CLIENT_FIELDS + UNKNOWN_MAX };

/* One pair: `at` is where its key begins in the builder's bytes. */
typedef struct {
  size_t at, value_at, end;
  int field; /* of the table, or -1 */
} entry;

struct observer_builder {
  obs_buf bytes; /* pairs; those of fields that were set again are left behind */
  entry entries[ENTRIES_MAX];
  uint32_t n, unknown;
  observer_err err;
};

/* ---- kinds ---- */

typedef enum {
  TEXT_VALUE = 1,
  INT_VALUE = 2,
  REAL_VALUE = 4,
  BOOL_VALUE = 8,
  OTHER_VALUE = 16,
  ANY_VALUE = 31
} kind_of_value;

enum {
  takes_TIME = TEXT_VALUE,
  takes_TEXT = TEXT_VALUE,
  takes_BOOL = BOOL_VALUE,
  takes_DURATION = INT_VALUE | REAL_VALUE,
  takes_INT = INT_VALUE | REAL_VALUE,
  takes_JSON = ANY_VALUE
};

static const struct {
  const char *name;
  unsigned takes;
} fields[OBS_CLIENT_FIELDS] = {
#define FIELD(name, kind, required, rule) {#name, takes_##kind},
    OBSERVER_OP_FIELDS(FIELD)
#undef FIELD
};

static int find_field(const char *name) {
  for (int i = 0; i < OBS_CLIENT_FIELDS; i++) {
    if (strcmp(fields[i].name, name) == 0) return i;
  }
  return -1;
}

/* ---- entries ---- */

static void fail(observer_builder *b, observer_err err) {
  if (b->err == OBSERVER_E_OK) b->err = err;
}

/* Whether there is a builder and a name to set something of. */
static bool can_set(observer_builder *b, const char *name) {
  if (b == NULL) return false;
  if (name == NULL) fail(b, OBSERVER_E_INVALID);
  return name != NULL;
}

/* Sets `name` to an encoded value of that kind, in the place of an earlier one. */
static void set(observer_builder *b, const char *name, kind_of_value kind, const char *value, size_t len) {
  int field = find_field(name);
  size_t name_len = strlen(name), at = b->bytes.len;
  if (b->err != OBSERVER_E_OK) return;
  if (name_len == 0 || !obs_client_text_valid(name, name_len) || (field >= 0 && (fields[field].takes & kind) == 0) ||
      len > OBS_CLIENT_OP_MAX) {
    fail(b, OBSERVER_E_INVALID);
    return;
  }
  if (!obs_buf_reserve(&b->bytes, OBS_MP_HEAD_MAX + name_len + len)) {
    fail(b, OBSERVER_E_NOMEM);
    return;
  }
  char *key = b->bytes.p + at, *key_end = obs_mp_str(key, name, name_len);
  size_t key_len = (size_t)(key_end - key);
  entry *e = b->entries, *end = b->entries + b->n;
  while (e < end && (e->value_at - e->at != key_len || memcmp(b->bytes.p + e->at, key, key_len) != 0)) e++;
  if (e == end) {
    if (field < 0 && b->unknown++ == UNKNOWN_MAX) {
      fail(b, OBSERVER_E_INVALID);
      return;
    }
    b->n++;
  }
  memcpy(key_end, value, len);
  b->bytes.len += key_len + len;
  *e = (entry){at, at + key_len, b->bytes.len, field};
}

/* ---- the interface ---- */

observer_builder *observer_builder_new(void) {
  return calloc(1, sizeof(observer_builder));
}

void observer_builder_free(observer_builder *b) {
  if (b == NULL) return;
  obs_buf_fini(&b->bytes);
  free(b);
}

void observer_builder_reset(observer_builder *b) {
  if (b == NULL) return;
  obs_buf_reset(&b->bytes, OBS_CLIENT_OP_MAX);
  b->n = b->unknown = 0;
  b->err = OBSERVER_E_OK;
}

void observer_builder_text(observer_builder *b, const char *name, const char *value) {
  size_t n = value != NULL ? strlen(value) : 0;
  if (!can_set(b, name)) return;
  if (value == NULL || !obs_client_text_valid(value, n)) {
    fail(b, OBSERVER_E_INVALID);
    return;
  }
  char *bytes = malloc(n + OBS_MP_HEAD_MAX);
  if (bytes == NULL) {
    fail(b, OBSERVER_E_NOMEM);
    return;
  }
  set(b, name, TEXT_VALUE, bytes, (size_t)(obs_mp_str(bytes, value, n) - bytes));
  free(bytes);
}

void observer_builder_int(observer_builder *b, const char *name, int64_t value) {
  char bytes[OBS_MP_HEAD_MAX];
  if (!can_set(b, name)) return;
  if (value < 0 && find_field(name) == OBS_CLIENT_FIELD_duration_ms) fail(b, OBSERVER_E_INVALID);
  set(b, name, INT_VALUE, bytes, (size_t)(obs_mp_int(bytes, value) - bytes));
}

void observer_builder_real(observer_builder *b, const char *name, double value) {
  char bytes[OBS_MP_HEAD_MAX];
  uint64_t bits;
  if (!can_set(b, name)) return;
  if (!isfinite(value) || (value < 0 && find_field(name) == OBS_CLIENT_FIELD_duration_ms)) fail(b, OBSERVER_E_INVALID);
  memcpy(&bits, &value, sizeof(bits));
  bytes[0] = (char)0xcb;
  set(b, name, REAL_VALUE, bytes, (size_t)(obs_mp_be(bytes + 1, bits, 8) - bytes));
}

void observer_builder_bool(observer_builder *b, const char *name, bool value) {
  char byte[1];
  if (!can_set(b, name)) return;
  set(b, name, BOOL_VALUE, byte, (size_t)(obs_mp_bool(byte, value) - byte));
}

void observer_builder_msgpack(observer_builder *b, const char *name, const void *value, size_t len) {
  static const kind_of_value kinds[] = {
      [OBS_VALUE_NULL] = OTHER_VALUE, [OBS_VALUE_SKIPPED] = OTHER_VALUE, [OBS_VALUE_BOOL] = BOOL_VALUE,
      [OBS_VALUE_INT] = INT_VALUE,    [OBS_VALUE_BIG] = INT_VALUE,       [OBS_VALUE_FLOAT] = REAL_VALUE,
      [OBS_VALUE_TEXT] = TEXT_VALUE,  [OBS_VALUE_TREE] = OTHER_VALUE};
  if (!can_set(b, name)) return;
  obs_cursor c = obs_cursor_of(value, len);
  obs_cursor_value v;
  if (value == NULL || !obs_client_msgpack_valid(value, len, OBS_CLIENT_DEPTH_MAX) || !obs_msgpack_cursor_value(&c, &v))
    fail(b, OBSERVER_E_INVALID);
  else
    set(b, name, kinds[v.kind], value, len);
}

/* ---- publishing ---- */

static char *write_entries(char *p, const void *arg) {
  const observer_builder *b = arg;
  for (uint32_t i = 0; i < b->n; i++) {
    const entry *e = &b->entries[i];
    memcpy(p, b->bytes.p + e->at, e->end - e->at);
    p += e->end - e->at;
  }
  return p;
}

/* NULL when the field is not set. */
static const entry *entry_of(const observer_builder *b, obs_client_field field) {
  for (uint32_t i = 0; i < b->n; i++) {
    if (b->entries[i].field == (int)field) return &b->entries[i];
  }
  return NULL;
}

observer_err observer_builder_publish(observer_builder *b, observer_client *client, int32_t block_ms, void *tag) {
  if (client == NULL) return OBSERVER_E_INVALID;
  if (client->generation != obs_client_generation()) return OBSERVER_E_FORKED;
  if (b == NULL) return obs_client_refuse(client, OBSERVER_E_INVALID);
  const entry *endpoint = entry_of(b, OBS_CLIENT_FIELD_endpoint);
  if (b->err == OBSERVER_E_NOMEM) return obs_client_refuse(client, OBSERVER_E_NOMEM);
  bool named = endpoint != NULL && endpoint->end - endpoint->value_at > 1; /* an empty text is its marker alone */
  if (b->err != OBSERVER_E_OK || !named) return obs_client_refuse(client, OBSERVER_E_INVALID);
  obs_client_pairs pairs = {.n = b->n, .write = write_entries, .arg = b};
  for (uint32_t i = 0; i < b->n; i++) pairs.size += b->entries[i].end - b->entries[i].at;
  pairs.has_timestamp = entry_of(b, OBS_CLIENT_FIELD_timestamp) != NULL;
  pairs.has_source = entry_of(b, OBS_CLIENT_FIELD_source) != NULL;
  pairs.has_op_id = entry_of(b, OBS_CLIENT_FIELD_op_id) != NULL;
  return obs_client_publish(client, &pairs, block_ms, tag);
}
