/* audit.jsonl: what was done to the keys and the daemon, and who was refused (proto/access.md has the rows).
 *
 * What an admin did is written at once; refusals are counted by who, where and what, and written once a minute at most.
 * Bounded: 1,024 places for refusals a minute, then "others"; the file is turned over to audit.1.jsonl at 32 MiB. Rows
 * that cannot be written wait, 1 MiB of them at most; what is more than that is lost, counted and logged. No row holds
 * a secret.
 * Writing waits for the disk: not on NNG's threads. Counting never waits; any thread. */
#ifndef OBS_ACCESS_AUDIT_H
#define OBS_ACCESS_AUDIT_H

#include "base/buf.h"

enum {
  OBS_AUDIT_PLACES = 1024,
  OBS_AUDIT_REQUEST_MAX = 128,
  OBS_AUDIT_EVERY_MS = 60000,
  OBS_AUDIT_WAITING_MAX = 1 << 20
};

typedef struct obs_audit obs_audit;

/* `path`: DIRECTORY/NAME; NULL: nothing is written. The file is made with the first row. NULL: no memory. */
obs_audit *obs_audit_open(const char *path);
/* Writes what is left. NULL is allowed. */
void obs_audit_close(obs_audit *a);

/* Appends a row of something that was done. `key`, `detail`: NULL: there is none. */
void obs_audit_put(obs_buf *rows, const char *what, const char *key, const char *detail);
/* Writes rows, after those that wait. */
void obs_audit_write(obs_audit *a, const obs_buf *rows);

/* `n` refusals. `network`: see peer.h. `key`: "": none. `request` is text of the peer's, of which OBS_AUDIT_REQUEST_MAX
 * bytes count. */
void obs_audit_refused(obs_audit *a, const char *network, const char *key, const char *request, unsigned status,
                       uint32_t n);
/* Writes the refusals when OBS_AUDIT_EVERY_MS have passed since the last time, by the monotonic clock, and what waits.
 */
void obs_audit_tick(obs_audit *a, uint64_t now_ms);
/* Rows that were lost. Any thread; waits for nobody's write. */
uint64_t obs_audit_lost(const obs_audit *a);

#endif
