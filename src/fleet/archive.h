/* The archive: a directory that wanders with the fleet's leader, kept in the bucket of checkpoints.
 *
 * The value of the key `leader` in OBSERVER_LEASES is its manifest: who leads, and each file with its chunks. Who
 * begins to lead restores the directory, unless the one on its disk is a later state of the same, and claims the key by
 * compare-and-set at the revision that it has read; each later write is one at the revision that it knows. So of two
 * leaders one writes, and the other one is refused (LOCKED) and has to stop.
 *
 *   {"v":1, "worker", "run": 16 zeros when it was given up, "by": the run that wrote it, "partitions": how many it
 *    reads, "made_ms", "bytes", "files": [{"name", "bytes", "chunks": ["<run>.<number>:<hash>:<bytes>", ...]}, ...]}
 *   OBSERVER_CHECKPOINTS: leader.<run>.<number>, OBS_ARCHIVE_CHUNK bytes at most
 *
 * A chunk whose bytes are in the manifest before is not sent again, wherever in which file it is; a key is never used
 * for other bytes, so that a leader which goes on by mistake removes nothing of another one's. Not archived: locks,
 * what is of the machine (`redact.key`, sockets, directories) and files that are about to be renamed (`*.new`). In the
 * directory, `lineage` says of which runs' state it is.
 *
 * Threads: one. Memory: the manifest, at most OBS_ARCHIVE_MANIFEST bytes, and a chunk. Failure: errors of the bucket
 * are those of nats/jetstream.h; IO: the disk. */
#ifndef OBS_FLEET_ARCHIVE_H
#define OBS_FLEET_ARCHIVE_H

#include "nats/jetstream.h"

enum { OBS_ARCHIVE_CHUNK = 256 << 10, OBS_ARCHIVE_MANIFEST = 768 << 10, OBS_ARCHIVE_MAX = 1 << 30 };

typedef struct obs_archive obs_archive;

typedef struct {
  obs_nats_kv *leases, *chunks; /* outlive it */
  const char *parent, *name;    /* the directory is PARENT/NAME; it is made when it is not there */
  uint64_t worker, run;
} obs_archive_opts;

observer_err obs_archive_open(const obs_archive_opts *opts, obs_archive **out);
/* NULL is allowed. */
void obs_archive_close(obs_archive *a);

/* What the manifest says of who leads. `run` 0: nobody does. NOTFOUND: there is none. */
typedef struct {
  uint64_t worker, run;
} obs_archive_holder;
observer_err obs_archive_look(obs_archive *a, obs_archive_holder *out, char *why);
/* Makes the directory what the manifest says that was looked at last, and claims it. LOCKED: another one was faster.
 * CORRUPT: chunks are missing; NEWER: it is of a later version; nothing was changed. */
observer_err obs_archive_take(obs_archive *a, char *why);
/* Begins with the directory as it is, where the archive is of no use. */
observer_err obs_archive_take_anew(obs_archive *a, char *why);
/* Whether obs_archive_take found the directory on the disk to be the latest state; of the log. */
bool obs_archive_was_here(const obs_archive *a);
/* Archives the directory; `gives`: and gives it up. `partitions`: for the manifest. LOCKED: another one leads. */
observer_err obs_archive_write(obs_archive *a, uint32_t partitions, bool gives, char *why);
/* Bytes of the directory as archived last; those that were sent since that was asked last. */
uint64_t obs_archive_bytes(const obs_archive *a);
uint64_t obs_archive_take_sent(obs_archive *a);

#endif
