/* Structured logs on stderr, as text or JSON, one line a record, rate-limited per cause.
 *
 * Thread-safe. A record is one write(2). Records of one call site beyond 10 a second are counted, not written; the next
 * one that passes says how many were left out. Nothing that is logged acts on a terminal (base/terminal.h). */
#ifndef OBS_BASE_LOG_H
#define OBS_BASE_LOG_H

#include "base/buf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { OBS_LOG_DEBUG, OBS_LOG_INFO, OBS_LOG_WARN, OBS_LOG_ERROR } obs_log_level;
typedef enum { OBS_LOG_TEXT, OBS_LOG_JSON } obs_log_format;

/* One per call site, static. */
typedef struct {
  _Atomic uint64_t second;
  _Atomic uint32_t in_second;
  _Atomic uint32_t left_out;
} obs_log_site;

void obs_log_setup(obs_log_level level, obs_log_format format);
/* What every record's text goes through before it is cut and written: appends what is written in its place, or returns
 * false to leave it. Any thread calls it; it is there until no thread logs that may have seen it. NULL: none. */
typedef bool (*obs_log_filter)(void *arg, obs_str text, obs_buf *out);
void obs_log_set_filter(obs_log_filter filter, void *arg);
bool obs_log_enabled(obs_log_level level);
/* `module` is the folder's name: "journal", "bridge" ... */
void obs_log_write(obs_log_site *site, obs_log_level level, const char *module, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A record at level info, not limited, that has members: as text the message, a colon and the object; as JSON the
 * message with the object's members behind it. `object` is a JSON object that is not empty. */
void obs_log_members(const char *module, const char *message, obs_str object);
/* What ends the program, whatever the level: as text the line behind `PROGRAM: `, as JSON a record of level error. */
void obs_log_fatal(const char *program, const char *line);

#define OBS_LOG(level, module, ...)                                                                                    \
  do {                                                                                                                 \
    static obs_log_site obs_site_;                                                                                     \
    if (obs_log_enabled(level)) obs_log_write(&obs_site_, level, module, __VA_ARGS__);                                 \
  } while (0)

#define obs_log_debug(module, ...) OBS_LOG(OBS_LOG_DEBUG, module, __VA_ARGS__)
#define obs_log_info(module, ...) OBS_LOG(OBS_LOG_INFO, module, __VA_ARGS__)
#define obs_log_warn(module, ...) OBS_LOG(OBS_LOG_WARN, module, __VA_ARGS__)
#define obs_log_error(module, ...) OBS_LOG(OBS_LOG_ERROR, module, __VA_ARGS__)

#endif
