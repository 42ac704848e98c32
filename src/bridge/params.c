#include "bridge/params.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>

/* The first letter of a cursor: its format. */
static const char cursor_format = 'a', walk_format = 'w';

static bool refuse(char *error, size_t size, obs_str name, const char *why) {
  (void)snprintf(error, size, "%.*s: %s", (int)(name.len < 64 ? name.len : 64), name.p, why);
  return false;
}

/* ---- the query string ---- */

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* Appends `in` decoded and points `out` at it; the buffer has room already, so that it does not move. */
static bool unescape(obs_buf *bytes, obs_str in, obs_str *out) {
  size_t start = bytes->len;
  for (uint32_t i = 0; i < in.len; i++) {
    char c = in.p[i] == '+' ? ' ' : in.p[i];
    if (c == '%') {
      if (in.len - i < 3 || hex_digit(in.p[i + 1]) < 0 || hex_digit(in.p[i + 2]) < 0) return false;
      c = (char)(hex_digit(in.p[i + 1]) * 16 + hex_digit(in.p[i + 2]));
      i += 2;
    }
    obs_buf_putc(bytes, c);
  }
  *out = (obs_str){bytes->p + start, (uint32_t)(bytes->len - start), 0};
  return true;
}

/* Takes what stands before the first `at` off `rest`, and the separator. */
static obs_str cut(obs_str *rest, char at) {
  const char *found = rest->len > 0 ? memchr(rest->p, at, rest->len) : NULL;
  uint32_t n = found ? (uint32_t)(found - rest->p) : rest->len;
  obs_str head = obs_str_slice(*rest, 0, n);
  *rest = obs_str_slice(*rest, found ? n + 1 : n, UINT32_MAX);
  return head;
}

/* Points `text` at its redacted form, in `room`, where there is one. False: no memory. */
static bool redact_part(obs_redact *redact, obs_buf *room, obs_str *text) {
  if (obs_redact_text(redact, *text, room)) *text = obs_buf_view(room);
  return !room->oom;
}

bool obs_params_decode(obs_params_query *q, obs_str text, obs_redact *redact, char *error, size_t size) {
  *q = (obs_params_query){0};
  if (!obs_buf_reserve(&q->bytes, text.len + 1)) {
    (void)snprintf(error, size, "out of memory");
    return false;
  }
  while (text.len > 0) {
    obs_str pair = cut(&text, '&'), name, value;
    if (pair.len == 0) continue;
    obs_str raw_name = cut(&pair, '=');
    if (!unescape(&q->bytes, raw_name, &name) || !unescape(&q->bytes, pair, &value))
      return refuse(error, size, raw_name, "invalid percent-escape");
    if (value.len == 0) return refuse(error, size, name, "must not be empty");
    if (q->count == OBS_PARAMS_MAX) return refuse(error, size, name, "too many parameters: at most 32");
    obs_buf *room = &q->redacted[2 * q->count];
    if (!redact_part(redact, &room[0], &name) || !redact_part(redact, &room[1], &value))
      return refuse(error, size, name, observer_strerror(OBSERVER_E_NOMEM));
    q->params[q->count].name = name;
    q->params[q->count++].value = value;
  }
  return true;
}

void obs_params_query_fini(obs_params_query *q) {
  obs_buf_fini(&q->bytes);
  for (size_t i = 0; i < 2 * OBS_PARAMS_MAX; i++) obs_buf_fini(&q->redacted[i]);
}

/* ---- values ---- */

void obs_params_cursor_format(uint64_t below, char out[OBS_PARAMS_CURSOR_LEN + 1]) {
  (void)snprintf(out, OBS_PARAMS_CURSOR_LEN + 1, "%c%" PRIx64, cursor_format, below);
}

bool obs_params_cursor_parse(obs_str text, uint64_t *below) {
  char again[OBS_PARAMS_CURSOR_LEN + 1];
  uint64_t v = 0;
  if (text.len < 2 || text.len > OBS_PARAMS_CURSOR_LEN || text.p[0] != cursor_format) return false;
  for (uint32_t i = 1; i < text.len; i++) {
    int digit = hex_digit(text.p[i]);
    if (digit < 0) return false;
    v = v << 4 | (uint64_t)digit;
  }
  obs_params_cursor_format(v, again); /* one spelling only: no leading zeros, no capitals */
  *below = v;
  return v != 0 && obs_str_is(text, again);
}

void obs_params_walk_format(const obs_page_walk *w, char out[OBS_PARAMS_WALK_LEN + 1]) {
  (void)snprintf(out, OBS_PARAMS_WALK_LEN + 1, "%c%" PRIx64 "-%" PRIx64 "-%x-%" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%d",
                 walk_format, w->through, (uint64_t)w->began_ms, w->order, w->at.key, w->at.then, w->at.id,
                 w->at.changed ? 1 : 0);
}

bool obs_params_walk_parse(obs_str text, obs_page_walk *out) {
  enum { MEMBERS = 7, DIGITS = 16 };
  char again[OBS_PARAMS_WALK_LEN + 1];
  uint64_t v[MEMBERS] = {0};
  obs_str rest = obs_str_slice(text, 1, UINT32_MAX);
  if (text.len == 0 || text.len > OBS_PARAMS_WALK_LEN || text.p[0] != walk_format) return false;
  for (int i = 0; i < MEMBERS; i++) {
    obs_str digits = cut(&rest, '-');
    if (digits.len > DIGITS) return false;
    for (uint32_t k = 0; k < digits.len; k++) {
      int digit = hex_digit(digits.p[k]);
      if (digit < 0) return false;
      v[i] = v[i] << 4 | (uint64_t)digit;
    }
  }
  *out = (obs_page_walk){.through = v[0],
                         .began_ms = (int64_t)v[1],
                         .order = (uint32_t)v[2],
                         .at = {.key = v[3], .then = v[4], .id = v[5], .changed = v[6] != 0}};
  obs_params_walk_format(out, again); /* one spelling only */
  return out->through != 0 && obs_str_is(text, again);
}

static bool parse_i64(obs_str v, int64_t *out) {
  bool negative = v.len > 0 && v.p[0] == '-';
  int64_t n = 0;
  if (v.len == (negative ? 1u : 0u) || v.len > 18) return false; /* 18 digits: no overflow, and far beyond any date */
  for (uint32_t i = negative ? 1 : 0; i < v.len; i++) {
    if (v.p[i] < '0' || v.p[i] > '9') return false;
    n = n * 10 + (v.p[i] - '0');
  }
  *out = negative ? -n : n;
  return true;
}

bool obs_params_number_parse(obs_str text, uint64_t *out) {
  int64_t n;
  if (!parse_i64(text, &n) || n <= 0) return false;
  *out = (uint64_t)n;
  return true;
}

/* Adds the numbers of `v` to those that are there, each at its place. */
static bool add_seqs(obs_params_seqs *seqs, obs_str v) {
  while (v.len > 0) {
    bool last = memchr(v.p, ',', v.len) == NULL;
    uint64_t seq;
    if (!obs_params_number_parse(cut(&v, ','), &seq) || (v.len == 0 && !last)) return false;
    uint32_t i = seqs->n;
    while (i > 0 && seqs->at[i - 1] < seq) i--;
    if (i > 0 && seqs->at[i - 1] == seq) continue;
    if (seqs->n == OBS_PARAMS_SEQS) return false;
    memmove(&seqs->at[i + 1], &seqs->at[i], (seqs->n - i) * sizeof(seqs->at[0]));
    seqs->at[i] = seq;
    seqs->n++;
  }
  return true;
}

/* Numbers of other lengths are milliseconds, as they always were here. */
static bool parse_time(obs_str v, int64_t *out) {
  enum { MILLISECONDS_DIGITS = 13 };
  return obs_clock_parse_epoch(v.p, v.len, out) || (v.len < MILLISECONDS_DIGITS && parse_i64(v, out)) ||
         obs_clock_parse(v.p, v.len, out);
}

/* The place of the choice that `v` is; -1, with `why` naming them all: none. */
static int choose(const obs_param *p, obs_str v, char *why, size_t size) {
  for (size_t i = 0; i < p->nchoices; i++)
    if (obs_str_is(v, p->choices[i])) return (int)i;
  size_t n = (size_t)snprintf(why, size, p->nchoices == 1 ? "only `%s` is supported" : "must be %s", p->choices[0]);
  for (size_t i = 1; i < p->nchoices && n < size; i++)
    n += (size_t)snprintf(why + n, size - n, i + 1 < p->nchoices ? ", %s" : " or %s", p->choices[i]);
  return -1;
}

static uint32_t limit_of(const obs_param *p) {
  return p->most != 0 ? p->most : OBS_PARAMS_LIMIT_MAX;
}

/* Stores the value in its member. False: `why` says what is wrong with it. */
static bool store(const obs_param *p, obs_str v, void *at, char *why, size_t size) {
  const char *wrong = NULL;
  obs_hex_range ids;
  int64_t n = 0;
  int place;
  switch (p->kind) {
  case OBS_PARAM_BYTES:
    *(obs_str *)at = v;
    break;
  case OBS_PARAM_TEXT:
    *(obs_str *)at = v;
    if (!obs_utf8_valid(v.p, v.len)) wrong = "must be valid UTF-8";
    break;
  case OBS_PARAM_CLUSTER:
    *(obs_str *)at = v;
    if (!obs_hex_parse_prefix(v, &ids)) wrong = "must be a cluster id (16 hex digits) or its first 4 digits or more";
    break;
  case OBS_PARAM_WORD:
    *(obs_str *)at = v;
    return choose(p, v, why, size) >= 0;
  case OBS_PARAM_CHOICE:
    place = choose(p, v, why, size);
    memcpy(at, &place, sizeof(place)); /* the member may be an enumeration */
    return place >= 0;
  case OBS_PARAM_BOOL:
  case OBS_PARAM_EITHER:
    if (!obs_str_is(v, "true") && !obs_str_is(v, "false"))
      wrong = "must be true or false";
    else if (p->kind == OBS_PARAM_BOOL)
      *(bool *)at = v.p[0] == 't';
    else
      *(int8_t *)at = v.p[0] == 't';
    break;
  case OBS_PARAM_TIME:
    if (!parse_time(v, at))
      wrong = "must be an ISO 8601 time (with + sent as %2B), epoch seconds (10 digits) or milliseconds (13)";
    break;
  case OBS_PARAM_LIMIT:
    if (!parse_i64(v, &n) || n < 1 || n > limit_of(p)) {
      (void)snprintf(why, size, "must be a number from 1 to %u", limit_of(p));
      return false;
    }
    *(uint32_t *)at = (uint32_t)n;
    break;
  case OBS_PARAM_COUNT:
    if (!parse_i64(v, &n) || n < 0) wrong = "must be a whole number, 0 or more";
    *(uint64_t *)at = (uint64_t)n;
    break;
  case OBS_PARAM_NEXT_CURSOR:
    if (!obs_params_cursor_parse(v, at)) wrong = "must be a next_cursor of an earlier answer";
    break;
  case OBS_PARAM_WALK:
    if (!obs_params_walk_parse(v, at)) wrong = "must be a next_cursor of an earlier answer";
    break;
  case OBS_PARAM_SEQS:
    if (!add_seqs(at, v)) wrong = "must be op numbers (seqs) separated by commas, at most 100";
    break;
  }
  if (wrong != NULL) (void)snprintf(why, size, "%s", wrong);
  return wrong == NULL;
}

bool obs_params_read(const obs_params *params, const obs_params_query *q, void *filter, char *error, size_t size) {
  memcpy(filter, params->defaults, params->size);
  for (size_t i = 0; i < q->count; i++) {
    const obs_param *p = params->list, *end = p + params->n;
    char why[160];
    while (p < end && !obs_str_is(q->params[i].name, p->name)) p++;
    if (p == end) return refuse(error, size, q->params[i].name, "unknown parameter");
    for (size_t k = 0; k < i && p->kind != OBS_PARAM_SEQS; k++)
      if (obs_str_eq(q->params[k].name, q->params[i].name))
        return refuse(error, size, q->params[i].name, "given twice");
    if (!store(p, q->params[i].value, (char *)filter + p->at, why, sizeof why))
      return refuse(error, size, q->params[i].name, why);
  }
  return true;
}
