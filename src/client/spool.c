#include "client/spool.h"

#include "client/spool_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* BODY_MAX: more than a message may have. */
enum { MAGIC = 0x4f627352, BODY_MAX = 8 * 1024 * 1024, SCAN = 64 * 1024, RAW = 1, WHOLE = 2 };

typedef struct {
  uint32_t magic, flags, nops, ntags;
  uint64_t len, instance, serial;
  uint64_t body_sum; /* of tags and message */
  uint64_t head_sum; /* of all above */
} head;

struct obs_client_spool {
  obs_client_spool_file file;
  uint64_t max;
  bool sync;
  uint64_t settled, read_at, end;
  uint64_t surveyed; /* damage before it was counted when the file was opened */
};

static uint64_t head_sum(const head *h) {
  return obs_client_spool_sum(h, offsetof(head, head_sum), 0);
}

static uint64_t record_size(const head *h) {
  return sizeof(*h) + h->ntags * sizeof(void *) + h->len;
}

static bool head_valid(const head *h) {
  return h->magic == MAGIC && h->head_sum == head_sum(h) && h->ntags <= OBS_CLIENT_SPOOL_TAGS_MAX && h->len > 0 &&
         h->len <= BODY_MAX;
}

/* ---- reading ---- */

typedef enum { GOOD, BAD_HEAD, BAD_BODY, SHORT, NO_MEMORY, NO_READ } look;

/* Where the next valid head after `at` is; the end when there is none. NO_MEMORY, NO_READ: not known. */
static look find_head(const obs_client_spool *s, uint64_t at, uint64_t *found) {
  char *piece = malloc(SCAN + sizeof(head));
  look result = piece != NULL ? GOOD : NO_MEMORY;
  *found = s->end;
  while (result == GOOD && at + sizeof(head) <= s->end && *found == s->end) {
    size_t n = s->end - at < SCAN + sizeof(head) ? (size_t)(s->end - at) : SCAN + sizeof(head);
    if (!obs_client_spool_get(&s->file, at, piece, n)) result = NO_READ;
    for (size_t i = 0; result == GOOD && i + sizeof(head) <= n && *found == s->end; i++) {
      head h;
      memcpy(&h, piece + i, sizeof(h));
      if (head_valid(&h)) *found = at + i;
    }
    at += n - sizeof(head) + 1;
  }
  free(piece);
  return result;
}

static look read_body(const obs_client_spool *s, const head *h, uint64_t at, void **tags, nng_msg **body) {
  size_t tag_bytes = h->ntags * sizeof(void *);
  nng_msg *msg;
  if (nng_msg_alloc(&msg, (size_t)h->len) != 0) return NO_MEMORY;
  look result = GOOD;
  if (!obs_client_spool_get(&s->file, at + sizeof(*h), tags, tag_bytes) ||
      !obs_client_spool_get(&s->file, at + sizeof(*h) + tag_bytes, nng_msg_body(msg), (size_t)h->len)) {
    result = NO_READ;
  } else if (obs_client_spool_sum(nng_msg_body(msg), (size_t)h->len, obs_client_spool_sum(tags, tag_bytes, 0)) !=
             h->body_sum) {
    result = BAD_BODY;
  }
  if (result == GOOD)
    *body = msg;
  else
    nng_msg_free(msg);
  return result;
}

static look read_at(const obs_client_spool *s, uint64_t at, head *h, void **tags, nng_msg **body) {
  if (s->end - at < sizeof(*h)) return SHORT;
  if (!obs_client_spool_get(&s->file, at, h, sizeof(*h))) return NO_READ;
  if (!head_valid(h)) return BAD_HEAD;
  if (record_size(h) > s->end - at) return SHORT;
  return read_body(s, h, at, tags, body);
}

obs_client_spool_read_result obs_client_spool_read(obs_client_spool *s, obs_client_record *r, void **tags,
                                                   uint32_t max_tags, nng_msg **body, uint64_t *damaged) {
  void *all_tags[OBS_CLIENT_SPOOL_TAGS_MAX];
  head h;
  while (s->read_at < s->end) {
    uint64_t next = s->read_at;
    look result = read_at(s, s->read_at, &h, all_tags, body);
    if (result == BAD_BODY) next += record_size(&h);
    if (result == BAD_HEAD || result == SHORT) result = find_head(s, s->read_at + 1, &next);
    if (result == NO_MEMORY) return OBS_SPOOL_NOMEM;
    if (result == NO_READ) return OBS_SPOOL_UNREADABLE;
    if (next == s->read_at) {
      uint32_t ntags = h.ntags < max_tags ? h.ntags : max_tags;
      *r = (obs_client_record){s->read_at, record_size(&h), h.instance,           h.serial,
                               h.nops,     ntags,           (h.flags & RAW) != 0, (h.flags & WHOLE) != 0};
      if (ntags > 0) memcpy(tags, all_tags, ntags * sizeof(void *));
      s->read_at += r->size;
      return OBS_SPOOL_RECORD;
    }
    if (s->read_at >= s->surveyed) ++*damaged;
    s->read_at = next;
  }
  return OBS_SPOOL_END;
}

/* Reads through everything that waits. What no valid record follows is the end of a write that a crash cut short. */
static observer_err survey(obs_client_spool *s, uint64_t *ops, uint64_t *damaged) {
  uint64_t good = s->settled, before = 0;
  *ops = *damaged = 0;
  for (;;) {
    obs_client_record r;
    nng_msg *body;
    obs_client_spool_read_result result = obs_client_spool_read(s, &r, NULL, 0, &body, damaged);
    if (result == OBS_SPOOL_NOMEM) return OBSERVER_E_NOMEM;
    if (result == OBS_SPOOL_UNREADABLE) return OBSERVER_E_IO;
    if (result == OBS_SPOOL_END) break;
    nng_msg_free(body);
    *ops += r.nops;
    good = s->read_at;
    before = *damaged;
  }
  *damaged = before;
  s->end = s->surveyed = good;
  s->read_at = s->settled;
  return obs_client_spool_cut(&s->file, good) ? OBSERVER_E_OK : OBSERVER_E_IO;
}

/* ---- life ---- */

observer_err obs_client_spool_open(const char *path, uint64_t max_bytes, bool sync, obs_client_spool **out,
                                   uint64_t *ops, uint64_t *damaged, char *text, size_t size) {
  obs_client_spool *s = calloc(1, sizeof(*s));
  if (s == NULL) return OBSERVER_E_NOMEM;
  s->max = max_bytes;
  s->sync = sync;
  observer_err err = obs_client_spool_file_open(&s->file, path, &s->settled, &s->end, text, size);
  if (err != OBSERVER_E_OK) {
    free(s);
    return err;
  }
  s->read_at = s->settled;
  err = survey(s, ops, damaged);
  if (err != OBSERVER_E_OK) {
    snprintf(text, size, "spool %s: %s", path, err == OBSERVER_E_IO ? strerror(errno) : observer_strerror(err));
    obs_client_spool_close(s);
    return err;
  }
  if (s->end == s->settled) obs_client_spool_settled(s, s->end);
  *out = s;
  return OBSERVER_E_OK;
}

void obs_client_spool_close(obs_client_spool *s) {
  if (s == NULL) return;
  obs_client_spool_file_close(&s->file);
  free(s);
}

/* ---- writing ---- */

static bool make_room(obs_client_spool *s, uint64_t size, uint64_t *shift) {
  uint64_t gain = s->settled - OBS_CLIENT_SPOOL_HEADER;
  *shift = 0;
  if (s->end + size <= s->max || gain < s->max / 4) return true;
  if (!obs_client_spool_rewrite(&s->file, s->settled, s->end)) return false;
  s->settled -= gain;
  s->read_at -= gain;
  s->end -= gain;
  s->surveyed = s->surveyed > gain ? s->surveyed - gain : 0;
  *shift = gain;
  return true;
}

bool obs_client_spool_append(obs_client_spool *s, obs_client_record *r, void *const *tags, const void *body, size_t len,
                             uint64_t *shift) {
  size_t tag_bytes = r->ntags * sizeof(void *);
  head h = {.magic = MAGIC,
            .flags = (r->raw ? RAW : 0) | (r->whole ? WHOLE : 0),
            .nops = r->nops,
            .ntags = r->ntags,
            .len = len};
  h.instance = r->instance;
  h.serial = r->serial;
  h.body_sum = obs_client_spool_sum(body, len, obs_client_spool_sum(tags, tag_bytes, 0));
  h.head_sum = head_sum(&h);
  r->size = record_size(&h);
  if (!make_room(s, r->size, shift)) return false;
  r->at = s->end;
  if (!obs_client_spool_put(&s->file, r->at, &h, sizeof(h)) ||
      !obs_client_spool_put(&s->file, r->at + sizeof(h), tags, tag_bytes) ||
      !obs_client_spool_put(&s->file, r->at + sizeof(h) + tag_bytes, body, len) ||
      (s->sync && !obs_client_spool_sync(&s->file))) {
    /* Should the cut fail too, the next append writes over it, and a torn end is no harm. */
    (void)obs_client_spool_cut(&s->file, s->end);
    return false;
  }
  s->end += r->size;
  return true;
}

uint64_t obs_client_spool_read_at(const obs_client_spool *s) {
  return s->read_at;
}

void obs_client_spool_set_read_at(obs_client_spool *s, uint64_t at) {
  s->read_at = at;
}

bool obs_client_spool_at_end(const obs_client_spool *s) {
  return s->read_at >= s->end;
}

uint64_t obs_client_spool_live(const obs_client_spool *s) {
  return s->end - s->settled;
}

/* The position first: after a crash in between, the file is as it was, and is sent again. */
void obs_client_spool_settled(obs_client_spool *s, uint64_t at) {
  bool all = at == s->end;
  s->settled = at;
  if (!obs_client_spool_mark(&s->file, all ? OBS_CLIENT_SPOOL_HEADER : at) || !all) return;
  if (obs_client_spool_cut(&s->file, OBS_CLIENT_SPOOL_HEADER)) {
    s->settled = s->read_at = s->end = s->surveyed = OBS_CLIENT_SPOOL_HEADER;
  }
}
