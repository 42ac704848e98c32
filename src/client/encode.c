#include <msgpack.h>
#include <observer/observer.h>
#include <string.h>

/* Each kind of field: whether it is there, and how it is written. */
static bool has_TEXT(observer_TEXT v) {
  return v != NULL;
}
static bool has_INT(observer_INT v) {
  return v.set;
}
static bool has_BOOL(observer_BOOL v) {
  return v != OBSERVER_UNSET;
}
static bool has_JSON(observer_JSON v) {
  return v.msgpack != NULL;
}

static int put_TEXT(msgpack_packer *pk, observer_TEXT v) {
  size_t n = strlen(v);
  return msgpack_pack_str(pk, n) != 0 ? -1 : msgpack_pack_str_body(pk, v, n);
}

static int put_INT(msgpack_packer *pk, observer_INT v) {
  return msgpack_pack_int64(pk, v.value);
}

static int put_BOOL(msgpack_packer *pk, observer_BOOL v) {
  return v == OBSERVER_TRUE ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
}

static int put_JSON(msgpack_packer *pk, observer_JSON v) {
  return pk->callback(pk->data, v.msgpack, v.len);
}

#define has_TIME has_TEXT
#define put_TIME put_TEXT
#define has_DURATION has_INT
#define put_DURATION put_INT

static size_t count_fields(const observer_op *op) {
  size_t n = 0;
#define COUNT(name, kind, required, rule) n += has_##kind(op->name);
  OBSERVER_OP_FIELDS(COUNT)
#undef COUNT
  return n;
}

static int pack_op(msgpack_packer *pk, const observer_op *op) {
  int rc = msgpack_pack_map(pk, count_fields(op));
#define PACK(name, kind, required, rule)                                                                               \
  if (rc == 0 && has_##kind(op->name)) {                                                                               \
    rc = put_TEXT(pk, #name);                                                                                          \
    if (rc == 0) rc = put_##kind(pk, op->name);                                                                        \
  }
  OBSERVER_OP_FIELDS(PACK)
#undef PACK
  return rc;
}

observer_err observer_encode(const observer_op *ops, size_t n, void **bytes, size_t *len) {
  msgpack_sbuffer out;
  msgpack_packer pk;
  msgpack_sbuffer_init(&out);
  msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
  int rc = msgpack_pack_array(&pk, n);
  for (size_t i = 0; i < n && rc == 0; i++) rc = pack_op(&pk, &ops[i]);
  *len = out.size;
  *bytes = rc == 0 ? msgpack_sbuffer_release(&out) : NULL;
  msgpack_sbuffer_destroy(&out);
  return *bytes != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}
