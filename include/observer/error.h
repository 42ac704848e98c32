/* The one list of error codes, shared by every module and by libobserver.
 *
 * Functions that can fail return an `observer_err`: 0 is success, everything else is a code of this table. Predicates
 * return bool. Where a caller can use errno, the function's comment says so. */
#ifndef OBSERVER_ERROR_H
#define OBSERVER_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#define OBSERVER_ERR_MAP(X)                                                                                            \
  X(OK, "ok")                                                                                                          \
  X(NOMEM, "out of memory")                                                                                            \
  X(INVALID, "invalid argument")                                                                                       \
  X(IO, "input/output error")                                                                                          \
  X(NOSPC, "no space left on device")                                                                                  \
  X(LOCKED, "in use by another process")                                                                               \
  X(CORRUPT, "corrupt data")                                                                                           \
  X(NOTFOUND, "not found")                                                                                             \
  X(FULL, "queue is full")                                                                                             \
  X(CLOSED, "closed")                                                                                                  \
  X(TIMEDOUT, "timed out")                                                                                             \
  X(ADDRINUSE, "address in use")                                                                                       \
  X(NET, "network error")                                                                                              \
  X(FORKED, "opened by another process: not usable after fork")                                                        \
  X(DENIED, "not permitted")                                                                                           \
  X(NEWER, "written by a newer version")

typedef enum {
#define OBSERVER_ERR_ENUM(name, text) OBSERVER_E_##name,
  OBSERVER_ERR_MAP(OBSERVER_ERR_ENUM)
#undef OBSERVER_ERR_ENUM
} observer_err;

/* The text of a code. Never NULL; static storage. */
const char *observer_strerror(observer_err err);

#ifdef __cplusplus
}
#endif

#endif
