/* The ways by which a message comes in. */
#ifndef OBS_OP_TRANSPORT_H
#define OBS_OP_TRANSPORT_H

#define OBS_TRANSPORT_MAP(X)                                                                                           \
  X(PULL, "pull")                                                                                                      \
  X(SUB, "sub")                                                                                                        \
  X(REP, "rep")                                                                                                        \
  X(HTTP, "http")                                                                                                      \
  X(TAIL, "tail") /* the file of corrections */

typedef enum {
#define OBS_TRANSPORT_ENUM(name, text) OBS_TRANSPORT_##name,
  OBS_TRANSPORT_MAP(OBS_TRANSPORT_ENUM)
#undef OBS_TRANSPORT_ENUM
      OBS_TRANSPORT_COUNT
} obs_transport;

extern const char *const obs_transport_names[OBS_TRANSPORT_COUNT];

#endif
