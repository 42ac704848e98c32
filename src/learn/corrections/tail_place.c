#include "learn/corrections/tail_place.h"

#include "jsonl/file.h"
#include "learn/corrections/corrections_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { ROW_MAX = OBS_CORRECTIONS_FILE_LINE_MAX + 1, END_BYTES = 4096, HASH_DIGITS = 16 };

static const char prefix[] = "correction:";

uint64_t obs_corrections_file_hash(const char *row, size_t len) {
  return XXH3_64bits(row, len);
}

void obs_corrections_file_op_id(const obs_corrections_file_place *place, char out[OBS_CORRECTIONS_FILE_OP_ID_MAX]) {
  snprintf(out, OBS_CORRECTIONS_FILE_OP_ID_MAX, "%s%" PRIu64 "-%" PRIu64 ":%016" PRIx64, prefix, place->start,
           place->end, place->hash);
}

bool obs_corrections_file_place_valid(const obs_corrections_file_place *place) {
  return place->end <= INT64_MAX && place->start <= place->end && place->end - place->start <= ROW_MAX;
}

/* The number up to `until`, in decimal or hexadecimal digits as obs_corrections_file_op_id writes them. */
static bool take_number(const char **p, char until, int base, uint64_t *out) {
  const char *digits = base == 16 ? "0123456789abcdef" : "0123456789";
  size_t n = strspn(*p, digits);
  if (n == 0 || (*p)[n] != until) return false;
  char *end;
  *out = strtoull(*p, &end, base); /* beyond 64 bits it is the largest, which no place has */
  *p = end + (until != '\0');
  return true;
}

bool obs_corrections_file_place_of(obs_str op_id, obs_corrections_file_place *out) {
  char text[OBS_CORRECTIONS_FILE_OP_ID_MAX];
  const size_t head = sizeof(prefix) - 1;
  if (op_id.len <= head + HASH_DIGITS || op_id.len >= sizeof(text) || memcmp(op_id.p, prefix, head) != 0) return false;
  memcpy(text, op_id.p, op_id.len);
  text[op_id.len] = '\0';
  const char *p = text + head;
  return strlen(text) == op_id.len && take_number(&p, '-', 10, &out->start) && take_number(&p, ':', 10, &out->end) &&
         strlen(p) == HASH_DIGITS && take_number(&p, '\0', 16, &out->hash) && obs_corrections_file_place_valid(out) &&
         out->end > 0;
}

static observer_err hash_at(int fd, uint64_t start, uint64_t end, uint64_t *hash) {
  size_t len = (size_t)(end - start);
  char *row = malloc(len + 1);
  if (row == NULL) return OBSERVER_E_NOMEM;
  ssize_t n = obs_file_read_at(fd, row, len, start);
  observer_err err = n < 0 ? OBSERVER_E_IO : (size_t)n < len ? OBSERVER_E_NOTFOUND : OBSERVER_E_OK;
  if (err == OBSERVER_E_OK) *hash = obs_corrections_file_hash(row, len > 0 && row[len - 1] == '\n' ? len - 1 : len);
  free(row);
  return err;
}

observer_err obs_corrections_file_verify(int fd, const obs_corrections_file_place *place) {
  uint64_t hash;
  if (place->end == 0) return OBSERVER_E_OK;
  observer_err err = hash_at(fd, place->start, place->end, &hash);
  return err == OBSERVER_E_OK && hash != place->hash ? OBSERVER_E_NOTFOUND : err;
}

observer_err obs_corrections_file_place_at_end(int fd, uint64_t end, obs_corrections_file_place *out) {
  *out = (obs_corrections_file_place){.start = end > END_BYTES ? end - END_BYTES : 0, .end = end};
  return hash_at(fd, out->start, end, &out->hash);
}
