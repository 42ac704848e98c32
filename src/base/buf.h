/* A growable byte buffer.
 *
 * Ownership: the embedder owns the buffer; `obs_buf_fini` frees it. Not thread-safe. A failed growth sets `oom` and
 * turns every later append into a no-op, so that a writer checks once, at the end. */
#ifndef OBS_BASE_BUF_H
#define OBS_BASE_BUF_H

#include "base/str.h"

#include <stddef.h>

typedef struct {
  char *p;
  size_t len, cap;
  bool oom;
} obs_buf;

/* What it holds; p is never NULL. */
static inline obs_str obs_buf_view(const obs_buf *b) {
  return (obs_str){b->p != NULL ? b->p : "", (uint32_t)b->len, 0};
}

void obs_buf_fini(obs_buf *b);
/* Empties; gives the memory back when more than `keep` bytes are held. */
void obs_buf_reset(obs_buf *b, size_t keep);
/* Makes room for `n` more bytes. False (and `oom`) when there is no memory. */
bool obs_buf_reserve(obs_buf *b, size_t n);
void obs_buf_append(obs_buf *b, const void *p, size_t n);
void obs_buf_puts(obs_buf *b, const char *s);
void obs_buf_putc(obs_buf *b, char c);
void obs_buf_printf(obs_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void obs_buf_i64(obs_buf *b, int64_t v);
void obs_buf_u64(obs_buf *b, uint64_t v);
/* Appends `s` as a JSON string with its quotes, escaped as JSON.stringify does. `s` must be valid UTF-8. */
void obs_buf_json_str(obs_buf *b, obs_str s);
/* The same for bytes that are not trusted to be UTF-8: bad ones become U+FFFD. */
void obs_buf_json_bytes(obs_buf *b, const void *p, size_t n);
void obs_buf_json_cstr(obs_buf *b, const char *s);

#endif
