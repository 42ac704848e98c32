/* Why an op, a record or a message was not taken: few and fixed classes, for counting. The reason in words is beside
 * it. */
#ifndef OBS_OP_REJECT_H
#define OBS_OP_REJECT_H

#define OBS_REJECT_MAP(X)                                                                                              \
  X(VALUE, "value")   /* a member is missing, or has a wrong type or value */                                          \
  X(SYNTAX, "syntax") /* the message cannot be read (on) */                                                            \
  X(LIMIT, "limit")   /* too long, too many, too deep */                                                               \
  X(SOURCE, "source") /* its key may not speak as that source */                                                       \
  X(MEMORY, "memory")                                                                                                  \
  X(QUEUE, "queue") /* the queue was full, and nobody could be told to wait */                                         \
  X(DISK, "disk")   /* the daemon stopped before the disk took it */

typedef enum {
#define OBS_REJECT_ENUM(name, text) OBS_REJECT_##name,
  OBS_REJECT_MAP(OBS_REJECT_ENUM)
#undef OBS_REJECT_ENUM
      OBS_REJECT_CLASSES
} obs_reject_class;

extern const char *const obs_reject_class_names[OBS_REJECT_CLASSES];

#endif
