/* libobserver: what producers need to speak to an observer.
 *
 * An op is a struct made from the field table of op.h, so that it can be written with designated initialisers:
 *
 *   observer_op op = {.endpoint = "/v1/chat", .success = OBSERVER_TRUE, .duration_ms = OBSERVER_INT(12)};
 *
 * What is left out is not sent. All functions are thread-safe: they share no state. */
#ifndef OBSERVER_OBSERVER_H
#define OBSERVER_OBSERVER_H

#include <observer/error.h>
#include <observer/op.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A boolean that may be left out. C's `true` is OBSERVER_TRUE. */
typedef enum { OBSERVER_FALSE = -1, OBSERVER_UNSET = 0, OBSERVER_TRUE = 1 } observer_bool;

/* An integer that may be left out. */
typedef struct {
  int64_t value;
  bool set;
} observer_int;
#define OBSERVER_INT(number) ((observer_int){(number), true})

typedef const char *observer_TIME; /* texts are NUL-terminated UTF-8; NULL: left out */
typedef const char *observer_TEXT;
typedef observer_bool observer_BOOL;
typedef observer_int observer_DURATION;
typedef observer_int observer_INT;
typedef struct {
  const void *msgpack; /* one msgpack value; NULL: left out */
  size_t len;
} observer_JSON;

typedef struct {
#define OBSERVER_OP_MEMBER(name, kind, required, rule) observer_##kind name;
  OBSERVER_OP_FIELDS(OBSERVER_OP_MEMBER)
#undef OBSERVER_OP_MEMBER
} observer_op;

/* Encodes `n` ops as one bus message: a msgpack array of maps. The caller frees *bytes. NOMEM. */
observer_err observer_encode(const observer_op *ops, size_t n, void **bytes, size_t *len);

#ifdef __cplusplus
}
#endif

#endif
