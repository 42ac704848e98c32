/* Texts and whole messages. A message is walked string by string, loosely: what is no well-formed JSON or msgpack is
 * text like any other, so that what is refused later, and kept, is redacted as well. What is not a match is copied as
 * it stands, with its escapes: so a message that is well-formed stays so. */
#include "base/msgpack_cursor.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "redact/internal.h"

#include <stdlib.h>

/* LEVELS: JSON in a string of JSON in a string. */
enum { LEVELS = 3 };

typedef struct {
  obs_redact *r;
  obs_buf *out;
  const char *p;
  size_t size;
  size_t hit;  /* of p: the first place, from where the walk is, at which a match may be found */
  size_t done; /* of p: written, or not needed */
  bool changed, loose;
  uint32_t string_max; /* 0: a text may become as long as it likes */
  obs_redact_match *matches;
  uint32_t n, cap;
  obs_buf plain[LEVELS]; /* texts without their escapes */
  obs_buf name;          /* the string before this one, which may say what this one is */
} walk;

static walk begin_walk(obs_redact *r, obs_str in, uint32_t string_max, obs_buf *out) {
  size_t hit = in.len > 0 ? obs_redact_next_hit(r, in.p, in.len, 0) : 0;
  return (walk){.r = r, .out = out, .p = in.p, .size = in.len, .hit = hit, .string_max = string_max};
}

/* True: something was redacted, and `out` has it all. */
static bool end_walk(walk *w) {
  for (size_t i = 0; i < LEVELS; i++) {
    if (w->plain[i].oom) w->out->oom = true;
    obs_buf_fini(&w->plain[i]);
  }
  if (w->name.oom) w->out->oom = true;
  obs_buf_fini(&w->name);
  free(w->matches);
  if (w->changed) obs_buf_append(w->out, w->p + w->done, w->size - w->done);
  return w->changed || w->out->oom;
}

static void copy_to(walk *w, size_t at) {
  obs_buf_append(w->out, w->p + w->done, at - w->done);
  w->done = at;
  w->changed = true;
}

/* ---- escapes ---- */

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of `\u....` at `p`; -1: it is none. */
static int32_t read_code(const char *p, size_t n) {
  int32_t code = 0;
  if (n < 6 || p[0] != '\\' || p[1] != 'u') return -1;
  for (size_t i = 2; i < 6; i++) {
    int digit = hex_digit(p[i]);
    if (digit < 0) return -1;
    code = code << 4 | digit;
  }
  return code;
}

static size_t put_utf8(uint32_t code, char out[4]) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const uint8_t heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = n; i-- > 1; code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
  out[0] = (char)(heads[n] | code);
  return n;
}

/* One character of an escaped text, or one of its bytes: how many bytes it takes, and what it stands for. Of what is
 * escaped twice, `inner`, only the escapes that hide something are undone; the rest may be a path. */
static size_t read_escape(const char *p, size_t n, bool inner, char out[4], size_t *len) {
  static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
  out[0] = *p;
  *len = 1;
  if (n < 2 || *p != '\\') return 1;
  int32_t code = read_code(p, n), low = code >= 0xd800 && code < 0xdc00 ? read_code(p + 6, n - 6) : -1;
  if (low >= 0xdc00 && low < 0xe000) {
    *len = put_utf8(0x10000 + ((uint32_t)(code - 0xd800) << 10) + (uint32_t)(low - 0xdc00), out);
    return 12;
  }
  if (code >= 0) {
    *len = put_utf8((uint32_t)code, out);
    return 6;
  }
  const char *at = p[1] != '\0' ? strchr(names, p[1]) : NULL;
  if (at == NULL || (inner && p[1] != '/')) return 1;
  out[0] = bytes[at - names];
  return 2;
}

static void undo_escapes(const char *p, size_t n, bool inner, obs_buf *out) {
  char bytes[4];
  size_t len;
  out->len = 0;
  for (size_t i = 0; i < n;) {
    i += read_escape(p + i, n - i, inner, bytes, &len);
    obs_buf_append(out, bytes, len);
  }
}

/* Whether there is an escape that hides something: \/ or \u. */
static bool has_inner_escape(const char *p, size_t n) {
  for (const char *q = p; (q = memchr(q, '\\', (size_t)(p + n - q))) != NULL; q++) {
    if (p + n - q > 2 && (q[1] == '/' || q[1] == 'u')) return true;
  }
  return false;
}

/* Matches of the plain text become those of the escaped one. */
static void map_back(walk *w, uint32_t first, const char *p, size_t n, bool inner) {
  char bytes[4];
  size_t at = 0, plain = 0, len;
  for (uint32_t i = first; i < w->n; i++) {
    size_t *places[] = {&w->matches[i].at, &w->matches[i].end};
    for (size_t k = 0; k < 2; k++) {
      for (; plain < *places[k] && at < n; plain += len) at += read_escape(p + at, n - at, inner, bytes, &len);
      *places[k] = at;
    }
  }
}

/* ---- a text ---- */

static void add_match(walk *w, obs_redact_match match) {
  if (obs_vec_reserve((void **)&w->matches, &w->cap, w->n + 1, sizeof(*w->matches)))
    w->matches[w->n++] = match;
  else
    w->out->oom = true;
}

/* Adds the matches of a text, in its own places. */
static void collect(walk *w, const char *p, size_t n, uint32_t level) {
  bool escaped = level == 0 ? memchr(p, '\\', n) != NULL : level < LEVELS && has_inner_escape(p, n);
  if (escaped) {
    uint32_t first = w->n;
    obs_buf *plain = &w->plain[level];
    undo_escapes(p, n, level > 0, plain);
    if (plain->oom) return;
    collect(w, obs_buf_view(plain).p, plain->len, level + 1);
    map_back(w, first, p, n, level > 0);
    return;
  }
  obs_redact_match match;
  obs_redact_matches all = obs_redact_look(w->r, p, n);
  all.scan.loose = w->loose;
  while (obs_redact_next(&all, &match)) add_match(w, match);
}

/* What a match says, without escapes: one secret has one token however it was written. */
static obs_str plain_of(walk *w, const char *p, size_t n, uint32_t level, obs_buf *room) {
  obs_str text = {p, (uint32_t)n, 0};
  obs_buf twice = {0};
  if (level == 0 && memchr(p, '\\', n) != NULL) {
    undo_escapes(p, n, false, room);
    text = obs_buf_view(room);
  }
  for (uint32_t i = 1; i < LEVELS && has_inner_escape(text.p, text.len); i++) {
    undo_escapes(text.p, text.len, true, &twice);
    obs_buf old = *room;
    *room = twice;
    twice = old;
    text = obs_buf_view(room);
  }
  if (twice.oom || room->oom) w->out->oom = true;
  obs_buf_fini(&twice);
  return text;
}

/* How long the text of `n` bytes will be. *tight: a token may not be longer than what it stands for. */
static size_t written_length(const walk *w, size_t n, bool *tight) {
  size_t loose = n, close = n;
  for (uint32_t i = 0; i < w->n; i++) {
    size_t was = w->matches[i].end - w->matches[i].at, token = obs_redact_token_length(w->r, w->matches[i].kind);
    loose += token - was;
    close -= token < was ? was - token : 0;
  }
  *tight = w->string_max > 0 && n <= w->string_max && loose > w->string_max;
  return *tight ? close : loose;
}

/* Writes the text at `at` with its matches as tokens. */
static void write_text(walk *w, size_t at, size_t n, uint32_t level) {
  char token[OBS_REDACT_TOKEN_MAX];
  obs_buf room = {0};
  bool tight;
  (void)written_length(w, n, &tight);
  for (uint32_t i = 0; i < w->n; i++) {
    obs_redact_match m = w->matches[i];
    copy_to(w, at + m.at);
    obs_str text = plain_of(w, w->p + at + m.at, m.end - m.at, level, &room);
    size_t len = obs_redact_make_token(w->r, m.kind, text.p, text.len, token);
    if (len == 0) w->out->oom = true;
    obs_buf_append(w->out, token, tight && len > m.end - m.at ? m.end - m.at : len);
    w->done = at + m.end;
  }
  copy_to(w, at + n);
  obs_buf_fini(&room);
}

/* What the string before this one says of it. */
static void look_by_name(walk *w, obs_str text, uint32_t level) {
  obs_redact_match named;
  obs_str plain = text;
  bool escaped = level == 0 && memchr(text.p, '\\', text.len) != NULL;
  if (w->name.len == 0 || w->r->kinds == OBS_REDACT_OFF) return;
  if (escaped) {
    undo_escapes(text.p, text.len, false, &w->plain[0]);
    plain = obs_buf_view(&w->plain[0]);
  }
  if (!obs_redact_is_named(obs_buf_view(&w->name), plain, &named)) return;
  add_match(w, named);
  if (escaped) map_back(w, 0, text.p, text.len, false);
}

/* Whether a match may be in the text of `n` bytes at `at`; texts are asked for in their order. */
static bool may_match(walk *w, size_t at, size_t n) {
  if (w->hit < at) w->hit = obs_redact_next_hit(w->r, w->p, w->size, at);
  return w->hit < at + n;
}

/* Finds the matches of the text of `n` bytes at `at`. */
static bool look(walk *w, size_t at, size_t n, uint32_t level) {
  const obs_str text = {w->p + at, (uint32_t)n, 0};
  w->n = 0;
  if (n == 0) return false;
  if (may_match(w, at, n)) collect(w, text.p, n, level);
  if (w->n == 0) look_by_name(w, text, level);
  return w->n > 0;
}

static void walk_text(walk *w, size_t at, size_t n, uint32_t level) {
  if (look(w, at, n, level)) write_text(w, at, n, level);
}

/* The string at `at` may be the name of the next one: then it hits itself. In JSON it may have escapes. */
static void note_name(walk *w, size_t at, size_t n, bool json) {
  const char *p = w->p + at;
  enum { NAME_LONGEST = 64, ESCAPE = 6 };
  w->name.len = 0;
  if (n == 0 || n > (size_t)NAME_LONGEST * ESCAPE || !may_match(w, at, n)) return;
  if (json && memchr(p, '\\', n) != NULL)
    undo_escapes(p, n, false, &w->name);
  else
    obs_buf_append(&w->name, p, n);
  if (w->name.len > NAME_LONGEST) w->name.len = 0;
}

/* ---- JSON ---- */

/* What stands between the strings of well-formed JSON. */
static bool is_between_strings(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (p[i] == '\0' || strchr("{}[]:,-+.0123456789eE \t\r\ntruefalsn", p[i]) == NULL) return false;
  }
  return true;
}

/* The quote that ends the string whose content begins at `at`; n: none does. */
static size_t string_end(const char *p, size_t at, size_t n) {
  while (at < n && p[at] != '"') at += p[at] == '\\' ? 2 : 1;
  return at < n ? at : n;
}

static void walk_json(walk *w, size_t n) {
  for (size_t at = 0; at < n;) {
    const char *quote = memchr(w->p + at, '"', n - at);
    size_t begin = quote != NULL ? (size_t)(quote - w->p) : n;
    if (!is_between_strings(w->p + at, begin - at)) {
      w->name.len = 0;
      walk_text(w, at, begin - at, 0);
    }
    if (begin == n) return;
    size_t end = string_end(w->p, begin + 1, n);
    walk_text(w, begin + 1, end - begin - 1, 0);
    note_name(w, begin + 1, end - begin - 1, true);
    at = end + 1;
  }
}

/* ---- msgpack ---- */

/* The head of a string of `n` bytes, or of bytes, as the one was that began with `byte`. */
static void put_head(obs_buf *out, uint8_t byte, size_t n) {
  bool bytes = byte >= 0xc4 && byte <= 0xc6;
  unsigned size = n < 256 ? 1 : n < 65536 ? 2 : 4;
  if (!bytes && n < 32) {
    obs_buf_putc(out, (char)(0xa0 | n));
    return;
  }
  obs_buf_putc(out, (char)((bytes ? 0xc4 : 0xd9) + (size == 4 ? 2 : size - 1)));
  while (size-- > 0) obs_buf_putc(out, (char)(n >> 8 * size));
}

/* The string whose head is at `head` and whose content is at `at`. */
static void walk_string(walk *w, size_t head, size_t at, size_t n) {
  bool tight;
  if (!look(w, at, n, 1)) return;
  copy_to(w, head);
  put_head(w->out, (uint8_t)w->p[head], written_length(w, n, &tight));
  w->done = at;
  write_text(w, at, n, 1);
}

/* What keeps its length: stars stand for the matches. An ext, whose head may say it in five ways; and what is broken or
 * cut off, which must not become whole by growing. Nothing of either is recorded. */
static void walk_fixed(walk *w, size_t at, size_t n) {
  if (!look(w, at, n, 1)) return;
  for (uint32_t i = 0; i < w->n; i++) {
    copy_to(w, at + w->matches[i].at);
    for (size_t k = w->matches[i].at; k < w->matches[i].end; k++) obs_buf_putc(w->out, '*');
    w->done = at + w->matches[i].end;
  }
}

static void walk_msgpack(walk *w, size_t n) {
  obs_cursor c = obs_cursor_of(w->p, n);
  obs_msgpack_cursor_header h;
  while (c.p < c.end) {
    size_t head = (size_t)(c.p - c.base);
    bool whole = obs_msgpack_cursor_head(&c, &h);
    size_t at = (size_t)(c.p - c.base);
    if (!whole) {
      walk_fixed(w, at, n - at);
      return;
    }
    if (h.type == OBS_MSGPACK_STR) {
      walk_string(w, head, at, h.n);
      note_name(w, at, h.n, false);
      c.p += h.n;
    } else if (h.type == OBS_MSGPACK_EXT) {
      walk_fixed(w, at, h.n);
      c.p += h.n;
    } else if (h.type != OBS_MSGPACK_ARRAY) {
      w->name.len = 0;
    }
  }
}

/* ---- all of it ---- */

static void walk_plain(walk *w, size_t n) {
  walk_text(w, 0, n, 1);
}

/* What may be any format, without changing a length: where it is msgpack, it is read after this. */
static void walk_unknown(walk *w, size_t n) {
  w->loose = true;
  walk_fixed(w, 0, n);
}

static bool walk_once(obs_redact *r, void (*how)(walk *w, size_t n), obs_str in, uint32_t string_max, obs_buf *out) {
  walk w = begin_walk(r, in, string_max, out);
  if (w.hit < w.size) how(&w, w.size);
  return end_walk(&w);
}

/* Until nothing more is found: a token ends the word that it stands in, so that what was glued to a secret may be seen
 * only now. Then redacting it again changes nothing. */
static bool walk_all(obs_redact *r, void (*how)(walk *w, size_t n), obs_str in, uint32_t string_max, obs_buf *out) {
  enum { PASSES = 8 };
  obs_buf text = {0}, next = {0};
  if (!walk_once(r, how, in, string_max, &text)) return false;
  for (int i = 1; i < PASSES && !text.oom && walk_once(r, how, obs_buf_view(&text), string_max, &next); i++) {
    obs_buf_fini(&text);
    text = next;
    next = (obs_buf){0};
  }
  if (text.oom) out->oom = true;
  obs_buf_append(out, text.p, text.len);
  obs_buf_fini(&text);
  obs_buf_fini(&next);
  return true;
}

bool obs_redact_text(obs_redact *r, obs_str text, obs_buf *out) {
  return r != NULL && walk_all(r, walk_plain, text, 0, out);
}

bool obs_redact_message(obs_redact *r, obs_redact_format format, const void *p, size_t n, uint32_t string_bytes,
                        obs_buf *out) {
  const obs_str message = {p, (uint32_t)n, 0};
  return r != NULL && walk_all(r, format == OBS_REDACT_JSON ? walk_json : walk_msgpack, message, string_bytes, out);
}

/* ---- bytes of any kind ---- */

/* Of what stands at every second or fourth byte, with NULs between, how many bytes make a text. */
static bool has_wide_text(const uint8_t *b, size_t n, size_t width) {
  enum { LEAST = 6 };
  size_t lengths[4] = {0}; /* of the text that ends before `i`, for each remainder of i */
  for (size_t i = 0; i + width <= n; i++) {
    bool wide = (b[i] >= ' ' && b[i] < 127) || b[i] == '\t' || b[i] == '\n' || b[i] == '\r';
    for (size_t k = 1; k < width; k++) wide = wide && b[i + k] == 0;
    lengths[i % width] = wide ? lengths[i % width] + 1 : 0;
    if (lengths[i % width] >= LEAST) return true;
  }
  return false;
}

/* gzip, zlib, zstd, xz, bzip2, or text in words of two or four bytes, also behind something else. */
bool obs_redact_is_opaque(const void *p, size_t n) {
  const uint8_t *b = p;
  static const char *const starts[] = {
      "\x1f\x8b", "x\x9c", "x\x01", "x\xda", "\x28\xb5\x2f\xfd", "\xfd\x37\x7a\x58\x5a", "BZh", "\xff\xfe", "\xfe\xff"};
  for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
    size_t len = strlen(starts[i]);
    if (n >= len && memcmp(b, starts[i], len) == 0) return true;
  }
  return n > 0 && memchr(b, 0, n) != NULL && (has_wide_text(b, n, 2) || has_wide_text(b, n, 4));
}

/* One map or array of msgpack with nothing behind it: no text is one. */
static bool is_packed(const uint8_t *p, size_t n) {
  obs_cursor c = obs_cursor_of(p, n);
  bool container = n > 0 && ((p[0] & 0xe0) == 0x80 || (p[0] >= 0xdc && p[0] <= 0xdf));
  return container && obs_msgpack_cursor_skip(&c) && c.p == c.end;
}

typedef struct {
  obs_redact *r;
  obs_buf text; /* so far */
  bool changed;
} passes;

static void pass(passes *x, void (*how)(walk *w, size_t n)) {
  obs_buf next = {0};
  if (!walk_all(x->r, how, obs_buf_view(&x->text), 0, &next)) return;
  obs_buf_fini(&x->text);
  x->text = next;
  x->changed = true;
}

/* Appends the payload as it is after redaction. What begins like msgpack may as well be a text in any encoding, and
 * what begins like a text may be the rest of a broken message. */
static bool redact_payload(obs_redact *r, const uint8_t *p, size_t n, obs_buf *out) {
  passes x = {.r = r};
  obs_buf_append(&x.text, p, n);
  if (is_packed(p, n)) {
    pass(&x, walk_msgpack);
  } else if (obs_utf8_valid((const char *)p, n)) {
    pass(&x, walk_json);
  } else {
    if (p[0] < 0x80) pass(&x, walk_json);
    pass(&x, walk_unknown);
    if (p[0] >= 0x80) pass(&x, walk_msgpack);
  }
  if (x.text.oom) out->oom = true;
  obs_buf_append(out, x.text.p, x.text.len);
  obs_buf_fini(&x.text);
  return x.changed;
}

bool obs_redact_bytes(obs_redact *r, const void *p, size_t n, obs_buf *out) {
  if (r == NULL || n == 0) return false;
  const uint8_t *begin = p, *nul = memchr(p, 0, n), *payload = begin;
  if (nul != NULL && nul + 1 < begin + n && !is_packed(begin, n)) payload = nul + 1;
  const obs_str topic = {p, (uint32_t)(payload - begin), 0};
  obs_buf clean = {0};
  bool changed = topic.len > 0 && redact_payload(r, begin, topic.len, &clean);
  changed = redact_payload(r, payload, n - topic.len, &clean) || changed;
  if (clean.oom) out->oom = true;
  if (changed) obs_buf_append(out, clean.p, clean.len);
  obs_buf_fini(&clean);
  return changed || out->oom;
}
