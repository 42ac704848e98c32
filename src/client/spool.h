/* The spool file: packets that outlive their process until they are acknowledged.
 *
 * Format, version 1, in the byte order of the machine (a spool does not travel): a header of 64 bytes, then records,
 * each a head with its own checksum, the tags, the message. Records are only appended. What is acknowledged is a
 * position in the header, kept twice so that a torn write leaves one; a position that is too low only sends ops again
 * that the daemon knows. When everything is acknowledged the file is emptied; when it is full and a quarter of it is
 * acknowledged, the rest is copied into a new file that takes its place.
 *
 * Locking: flock on the file, held as long as it is open. One thread at a time. */
#ifndef OBS_CLIENT_SPOOL_H
#define OBS_CLIENT_SPOOL_H

#include "client/body.h"

#include <observer/error.h>
#include <stdbool.h>
#include <stdint.h>

/* As many tags as a packet has ops. */
enum { OBS_CLIENT_SPOOL_TAGS_MAX = 1000 };

typedef struct obs_client_spool obs_client_spool;

/* One record. */
typedef struct {
  uint64_t at, size; /* in the file */
  uint64_t instance; /* of the client that wrote it: its tags mean nothing to another */
  uint64_t serial;
  uint32_t nops, ntags;
  bool raw, whole;
} obs_client_record;

/* Opens or creates. A torn end is cut off; damaged records are skipped. *ops and *damaged: how many ops wait, how many
 * places were skipped. IO, LOCKED, CORRUPT (not a spool, or of a later version: left as it is), NOMEM; `text` says why.
 */
observer_err obs_client_spool_open(const char *path, uint64_t max_bytes, bool sync, obs_client_spool **out,
                                   uint64_t *ops, uint64_t *damaged, char *text, size_t size);
void obs_client_spool_close(obs_client_spool *s);

/* Appends; sets r->at and r->size. *shift: by how much the positions of all earlier records have gone down, because the
 * file was rewritten. False: it could not be written, the file is as before. */
bool obs_client_spool_append(obs_client_spool *s, obs_client_record *r, void *const *tags, const void *body, size_t len,
                             uint64_t *shift);
/* Where the next record to be read begins; records before it are the caller's. */
uint64_t obs_client_spool_read_at(const obs_client_spool *s);
void obs_client_spool_set_read_at(obs_client_spool *s, uint64_t at);
bool obs_client_spool_at_end(const obs_client_spool *s);

typedef enum { OBS_SPOOL_RECORD, OBS_SPOOL_END, OBS_SPOOL_NOMEM, OBS_SPOOL_UNREADABLE } obs_client_spool_read_result;
/* Reads the next record: its message, and `tags`, room for `max_tags`, of which r->ntags are filled in. Damaged records
 * are skipped and counted in *damaged. UNREADABLE: the file cannot be read now. */
obs_client_spool_read_result obs_client_spool_read(obs_client_spool *s, obs_client_record *r, void **tags,
                                                   uint32_t max_tags, obs_client_body **body, uint64_t *damaged);
/* Everything before `at` is acknowledged. */
void obs_client_spool_settled(obs_client_spool *s, uint64_t at);
/* Bytes of records that are not acknowledged. */
uint64_t obs_client_spool_live(const obs_client_spool *s);

#endif
