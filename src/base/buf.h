/* A growable byte buffer and a byte-string view.
 *
 * Ownership: the embedder owns the buffer; `obs_buf_fini` frees it. Not thread-safe. A failed growth sets `oom` and
 * turns every later append into a no-op, so that a writer checks once, at the end. */
#ifndef OBS_BASE_BUF_H
#define OBS_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A view of bytes that somebody else owns; not NUL-terminated. */
typedef struct {
  const char *p;
  uint32_t len;
  uint32_t plain; /* 1: known to be ASCII that JSON needs no escape for; 0: not known */
} obs_str;

#define OBS_STR(literal) ((obs_str){(literal), sizeof(literal) - 1, 1})

/* Of a C string. */
static inline obs_str obs_str_of(const char *text) {
  return (obs_str){text, (uint32_t)strlen(text), 0};
}

static inline bool obs_str_eq(obs_str a, obs_str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

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
/* The same for a C string that is not trusted to be UTF-8: bad bytes become U+FFFD. */
void obs_buf_json_cstr(obs_buf *b, const char *s);
void obs_buf_base64(obs_buf *b, const void *p, size_t n);

#endif
