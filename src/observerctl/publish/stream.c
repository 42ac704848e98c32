#include "observerctl/publish/stream.h"

#include "base/json_cursor.h"
#include "base/msgpack_cursor.h"

#include <stdio.h>

enum { CHARACTER_MAX = 4 }; /* bytes */
static const char mark[] = {'\xef', '\xbb', '\xbf'};

void obs_stream_init(obs_stream *s) {
  *s = (obs_stream){.line = 1};
}

void obs_stream_fini(obs_stream *s) {
  obs_buf_fini(&s->buf);
}

char *obs_stream_room(obs_stream *s, size_t n) {
  size_t rest = s->buf.len - s->at;
  if (s->at > 0 && rest > 0) memmove(s->buf.p, s->buf.p + s->at, rest);
  s->offset += s->at;
  s->buf.len = rest;
  s->at = 0;
  return obs_buf_reserve(&s->buf, n) ? s->buf.p + s->buf.len : NULL;
}

void obs_stream_fed(obs_stream *s, size_t n) {
  s->buf.len += n;
  if (n == 0) s->ended = true;
}

static size_t rest(const obs_stream *s) {
  return s->buf.len - s->at;
}

/* Moves on to `to`, counting lines. */
static void pass(obs_stream *s, size_t to) {
  const char *end = s->buf.p + to;
  for (const char *p = s->buf.p + s->at; p < end; s->line++) {
    p = memchr(p, '\n', (size_t)(end - p));
    if (p == NULL) break;
    p++;
  }
  s->at = to;
  s->tried = 0;
}

/* The item at s->at: its number and line are set now, before the stream moves on. */
static void begin(obs_stream *s, obs_stream_item *out) {
  *out = (obs_stream_item){.line = s->format == OBS_STREAM_JSON ? s->line : 0, .offset = s->offset + s->at};
}

static obs_stream_result bad(obs_stream *s, obs_stream_item *out, const char *reason) {
  if (reason != s->reason) snprintf(s->reason, sizeof(s->reason), "%s", reason);
  out->number = ++s->number;
  out->reason = s->reason;
  return OBS_STREAM_BAD;
}

static obs_stream_result bad_too_large(obs_stream *s, obs_stream_item *out, int most) {
  snprintf(s->reason, sizeof(s->reason), "larger than %d bytes", most);
  return bad(s, out, s->reason);
}

/* A whole value of `len` bytes at s->at. */
static obs_stream_result whole(obs_stream *s, obs_stream_item *out, size_t len, bool is_map) {
  out->p = s->buf.p + s->at;
  pass(s, s->at + len);
  if (is_map && len <= OBS_STREAM_RECORD_BYTES) {
    out->len = len;
    out->number = ++s->number;
    return OBS_STREAM_RECORD;
  }
  out->p = NULL;
  return is_map ? bad_too_large(s, out, OBS_STREAM_RECORD_BYTES) : bad(s, out, "must be a map");
}

/* Over what has come from s->at on. */
static obs_cursor cursor_at(const obs_stream *s) {
  return obs_cursor_of(s->buf.p + s->at, rest(s));
}

static obs_stream_result broken(obs_stream *s, obs_stream_item *out, const obs_cursor *c) {
  obs_cursor_reason(c, s->reason, sizeof(s->reason));
  return bad(s, out, s->reason);
}

/* ---- JSON ---- */

/* A byte order mark that is whole, at s->at. */
static bool pass_mark(obs_stream *s) {
  obs_cursor c = cursor_at(s);
  bool there = obs_json_cursor_mark(&c);
  if (there) pass(s, s->at + (size_t)(c.p - c.base));
  return there;
}

/* The rest may be the beginning of one. */
static bool is_part_of_mark(const obs_stream *s) {
  return rest(s) > 0 && rest(s) < sizeof(mark) && !s->ended && memcmp(s->buf.p + s->at, mark, rest(s)) == 0;
}

/* True when a line that starts with `{` was found. */
static bool resume(obs_stream *s) {
  while (rest(s) > 0) {
    const char *newline = memchr(s->buf.p + s->at, '\n', rest(s));
    if (newline == NULL) {
      pass(s, s->buf.len);
      return false;
    }
    pass(s, (size_t)(newline - s->buf.p));
    if (rest(s) < 1 + sizeof(mark) + 1 && !s->ended) return false;
    pass(s, s->at + 1);
    pass_mark(s);
    if (rest(s) == 0 || s->buf.p[s->at] != '{') continue;
    s->skipping = false;
    if (s->array != OBS_ARRAY_NONE) s->array = OBS_ARRAY_BROKEN;
    return true;
  }
  return false;
}

static void pass_space(obs_stream *s) {
  size_t to = s->at;
  while (to < s->buf.len && obs_json_cursor_is_space((uint8_t)s->buf.p[to])) to++;
  pass(s, to);
}

/* Brackets and commas of an array of records; of one that had a broken record, wherever they stand. True when something
 * was taken. */
static bool take_punctuation(obs_stream *s) {
  char c = s->buf.p[s->at];
  bool broken = s->array == OBS_ARRAY_BROKEN;
  bool opens = (s->array == OBS_ARRAY_NONE || broken) && c == '[';
  bool closes = (s->array == OBS_ARRAY_FIRST || s->array == OBS_ARRAY_BEHIND || broken) && c == ']';
  bool separates = (s->array == OBS_ARRAY_BEHIND || broken) && c == ',';
  if (!opens && !closes && !separates) return false;
  if (opens || closes)
    s->array = opens ? OBS_ARRAY_FIRST : OBS_ARRAY_NONE;
  else if (!broken)
    s->array = OBS_ARRAY_ELEMENT;
  pass(s, s->at + 1);
  return true;
}

static obs_stream_result json_value(obs_stream *s, obs_stream_item *out) {
  char first = s->buf.p[s->at];
  if ((unsigned char)first >= 0x80 && rest(s) < CHARACTER_MAX && !s->ended)
    return OBS_STREAM_MORE; /* to name it whole */
  begin(s, out);
  /* Only bytes that came since the last look can have ended the object. */
  if (first == '{' && s->tried > 0 && rest(s) <= OBS_STREAM_HELD_BYTES && !s->ended &&
      memchr(s->buf.p + s->at + s->tried, '}', rest(s) - s->tried) == NULL)
    return OBS_STREAM_MORE;
  obs_cursor c = cursor_at(s);
  if (s->array == OBS_ARRAY_BEHIND ? obs_json_cursor_unexpected(&c) : obs_json_cursor_skip(&c)) {
    bool delimited = first == '{' || first == '[' || first == '"' || c.p < c.end || s->ended;
    if (!delimited) return OBS_STREAM_MORE;
    if (s->array != OBS_ARRAY_NONE && s->array != OBS_ARRAY_BROKEN) s->array = OBS_ARRAY_BEHIND;
    return whole(s, out, (size_t)(c.p - c.base), first == '{');
  }
  if (!obs_cursor_is_truncated(&c) || s->ended) {
    size_t behind = (size_t)(c.p - c.base);
    pass(s, behind > 0 ? s->at + behind - 1 : s->at);
    s->skipping = true;
    return broken(s, out, &c);
  }
  s->tried = rest(s);
  if (s->tried <= OBS_STREAM_HELD_BYTES) return OBS_STREAM_MORE;
  pass(s, s->buf.len);
  s->skipping = true;
  return bad_too_large(s, out, OBS_STREAM_HELD_BYTES);
}

static obs_stream_result json_next(obs_stream *s, obs_stream_item *out) {
  if (s->skipping && !resume(s)) {
    if (s->ended) s->array = OBS_ARRAY_NONE;
    return OBS_STREAM_MORE;
  }
  do {
    do pass_space(s);
    while (s->array == OBS_ARRAY_NONE && pass_mark(s)); /* of files that were joined */
    if (s->array == OBS_ARRAY_NONE && is_part_of_mark(s)) return OBS_STREAM_MORE;
    if (rest(s) == 0) {
      begin(s, out);
      bool open = s->ended && s->array != OBS_ARRAY_NONE && s->array != OBS_ARRAY_BROKEN;
      if (open) s->array = OBS_ARRAY_NONE;
      return open ? bad(s, out, "json: truncated: the array is not closed") : OBS_STREAM_MORE;
    }
  } while (take_punctuation(s));
  return json_value(s, out);
}

/* ---- msgpack ---- */

static obs_stream_result msgpack_broken(obs_stream *s, obs_stream_item *out, const obs_cursor *c) {
  bool more = obs_cursor_is_truncated(c) && !s->ended;
  s->tried = rest(s);
  if (more && s->tried <= OBS_STREAM_HELD_BYTES) return OBS_STREAM_MORE;
  s->dead = true;
  s->left = 0;
  return more ? bad_too_large(s, out, OBS_STREAM_HELD_BYTES) : broken(s, out, c);
}

static obs_stream_result msgpack_next(obs_stream *s, obs_stream_item *out) {
  uint32_t count = 0;
  begin(s, out);
  obs_cursor c = cursor_at(s);
  while (s->left == 0 && c.p < c.end && obs_msgpack_cursor_is_array(&c)) {
    if (!obs_msgpack_cursor_array(&c, &count)) return msgpack_broken(s, out, &c);
    s->left = count;
    pass(s, (size_t)(c.p - (const uint8_t *)s->buf.p));
    begin(s, out);
    c.base = c.p;
  }
  if (rest(s) == 0) {
    if (!s->ended || s->left == 0) return OBS_STREAM_MORE;
    snprintf(s->reason, sizeof(s->reason), "msgpack: truncated: %llu more records were announced",
             (unsigned long long)s->left);
    s->left = 0;
    return bad(s, out, s->reason);
  }
  bool is_map = obs_msgpack_cursor_is_map(&c);
  if (!obs_msgpack_cursor_skip(&c)) return msgpack_broken(s, out, &c);
  if (s->left > 0) s->left--;
  return whole(s, out, (size_t)(c.p - c.base), is_map);
}

/* ---- */

/* A byte-order mark is passed over: its first byte would be msgpack. */
static bool recognise(obs_stream *s) {
  if (s->format != OBS_STREAM_UNKNOWN) return true;
  if (rest(s) == 0 || is_part_of_mark(s)) return false;
  s->format = pass_mark(s) || (unsigned char)s->buf.p[0] < 0x80 ? OBS_STREAM_JSON : OBS_STREAM_MSGPACK;
  return true;
}

obs_stream_result obs_stream_next(obs_stream *s, obs_stream_item *out) {
  *out = (obs_stream_item){0};
  if (!recognise(s)) return OBS_STREAM_MORE;
  if (s->dead) {
    s->at = s->buf.len;
    return OBS_STREAM_MORE;
  }
  return s->format == OBS_STREAM_JSON ? json_next(s, out) : msgpack_next(s, out);
}
