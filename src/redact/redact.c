#include "redact/internal.h"

#include "redact/token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
  const char *name;
  bool all;
} kinds[OBS_REDACT_KIND_COUNT] = {
#define KIND(kind, only_all, text) {#kind, only_all},
    OBS_REDACT_BUILT_IN(KIND)
#undef KIND
};

static const char *kind_name(const obs_redact *r, uint8_t kind) {
  if (kind < OBS_REDACT_KIND_COUNT) return kinds[kind].name;
  return obs_redact_pattern_name(r->patterns[kind - OBS_REDACT_KIND_COUNT]);
}

/* ---- open, close ---- */

/* Each kind has a key of its own, HMAC(key, kind), so that one text as two kinds has nothing in common. */
static bool make_keys(obs_redact *r, const uint8_t key[OBS_REDACT_KEY_BYTES]) {
  r->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
  if (r->sha256 == NULL) return false;
  for (size_t kind = 0; kind < OBS_REDACT_KIND_COUNT + r->npatterns; kind++) {
    const char *name = kind_name(r, (uint8_t)kind);
    unsigned int size = 0;
    if (HMAC(r->sha256, key, OBS_REDACT_KEY_BYTES, (const uint8_t *)name, strlen(name), r->keys[kind], &size) == NULL)
      return false;
  }
  return true;
}

static void add_rows(obs_redact *r, const obs_redact_row *rows, size_t n) {
  for (size_t i = 0; i < n; i++) r->rows[r->nrows++] = &rows[i];
}

/* A pattern's literal stands among the rows: where it is found, the text is looked through. */
static bool find_pattern(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  (void)at, (void)row, (void)out;
  return s->raw; /* the pattern itself finds the match (obs_redact_next) */
}

static bool open_patterns(obs_redact *r, const char *const *patterns, size_t n, char *error, size_t size,
                          observer_err *err) {
  for (size_t i = 0; i < n; i++) {
    *err = obs_redact_pattern_open(patterns[i], &r->patterns[i], error, size);
    if (*err != OBSERVER_E_OK) return false;
    r->npatterns++;
    const char *name = obs_redact_pattern_name(r->patterns[i]), *literal = obs_redact_pattern_literal(r->patterns[i]);
    for (size_t k = 0; k < i; k++) {
      if (strcmp(obs_redact_pattern_name(r->patterns[k]), name) != 0) continue;
      (void)snprintf(error, size, "redact-pattern %s: the name is given twice", name);
      *err = OBSERVER_E_INVALID;
      return false;
    }
    if (literal == NULL) {
      r->every = true;
      continue;
    }
    r->literals[i] = (obs_redact_row){.literal = literal, .find = find_pattern};
    add_rows(r, &r->literals[i], 1);
  }
  return true;
}

static bool open_prefilter(obs_redact *r) {
  obs_prefilter_literal *literals = calloc(r->nrows + 1, sizeof(*literals));
  if (literals == NULL) return false;
  for (size_t i = 0; i < r->nrows; i++)
    literals[i] = (obs_prefilter_literal){r->rows[i]->literal, r->rows[i]->hook, r->rows[i]->fold};
  r->prefilter = obs_prefilter_open(literals, r->nrows, OBS_PREFILTER_BEST);
  free(literals);
  return r->prefilter != NULL;
}

observer_err obs_redact_open(obs_redact_kinds which, const char *const *patterns, size_t n,
                             const uint8_t key[OBS_REDACT_KEY_BYTES], obs_redact **out, char *error, size_t size) {
  observer_err err = OBSERVER_E_NOMEM;
  *out = NULL;
  if (size > 0) error[0] = '\0';
  if (which == OBS_REDACT_OFF && n == 0) return OBSERVER_E_OK;
  if (n > OBS_REDACT_PATTERNS_MAX) {
    (void)snprintf(error, size, "redact-pattern: more than %d patterns", OBS_REDACT_PATTERNS_MAX);
    return OBSERVER_E_INVALID;
  }
  obs_redact *r = calloc(1, sizeof(*r));
  if (r != NULL)
    r->rows =
        calloc(obs_redact_escape_count + obs_redact_secret_count + obs_redact_personal_count + n, sizeof(*r->rows));
  if (r == NULL || r->rows == NULL) goto fail;
  r->kinds = which;
  add_rows(r, obs_redact_escape_rows, obs_redact_escape_count);
  if (which != OBS_REDACT_OFF) add_rows(r, obs_redact_secret_rows, obs_redact_secret_count);
  if (which == OBS_REDACT_ALL) add_rows(r, obs_redact_personal_rows, obs_redact_personal_count);
  if (!open_patterns(r, patterns, n, error, size, &err)) goto fail;
  err = OBSERVER_E_NOMEM;
  if (!make_keys(r, key) || !open_prefilter(r)) goto fail;
  *out = r;
  return OBSERVER_E_OK;
fail:
  if (size > 0 && error[0] == '\0') (void)snprintf(error, size, "redaction: %s", observer_strerror(err));
  obs_redact_close(r);
  return err;
}

void obs_redact_close(obs_redact *r) {
  if (r == NULL) return;
  for (size_t i = 0; i < r->npatterns; i++) obs_redact_pattern_close(r->patterns[i]);
  obs_prefilter_close(r->prefilter);
  free(r->rows);
  EVP_MD_free(r->sha256);
  explicit_bzero(r->keys, sizeof(r->keys));
  free(r);
}

size_t obs_redact_get_counts(const obs_redact *r, obs_redact_count out[OBS_REDACT_ALL_KINDS], uint64_t *failures) {
  size_t n = 0;
  *failures = 0;
  if (r == NULL) return 0;
  *failures = atomic_load_explicit(&r->failures, memory_order_relaxed);
  for (size_t kind = 0; kind < OBS_REDACT_KIND_COUNT + r->npatterns; kind++) {
    bool on = kind >= OBS_REDACT_KIND_COUNT || r->kinds == OBS_REDACT_ALL ||
              (r->kinds == OBS_REDACT_SECRETS && !kinds[kind].all);
    if (!on) continue;
    uint64_t count = atomic_load_explicit(&r->counts[kind], memory_order_relaxed);
    out[n++] = (obs_redact_count){kind_name(r, (uint8_t)kind), count};
  }
  return n;
}

/* ---- tokens ---- */

size_t obs_redact_token_length(const obs_redact *r, uint8_t kind) {
  return strlen(kind_name(r, kind)) + OBS_REDACT_HEX + 3;
}

size_t obs_redact_make_token(obs_redact *r, uint8_t kind, const char *p, size_t n, char out[OBS_REDACT_TOKEN_MAX]) {
  static const char digits[] = "0123456789abcdef";
  const char *name = kind_name(r, kind);
  size_t len = strlen(name), at = 0;
  uint8_t digest[EVP_MAX_MD_SIZE] = {0};
  unsigned int size = 0;
  if (HMAC(r->sha256, r->keys[kind], OBS_REDACT_KEY_BYTES, (const uint8_t *)p, n, digest, &size) == NULL) return 0;
  atomic_fetch_add_explicit(&r->counts[kind], 1, memory_order_relaxed);
  out[at++] = '[';
  memcpy(out + at, name, len);
  at += len;
  out[at++] = '_';
  for (size_t i = 0; i < OBS_REDACT_HEX; i++) out[at++] = digits[i % 2 == 0 ? digest[i / 2] >> 4 : digest[i / 2] & 15];
  out[at++] = ']';
  return at;
}

/* ---- matches ---- */

static bool find_built_in(const obs_redact *r, const obs_redact_scan *s, obs_redact_match *out) {
  size_t at = s->from;
  while ((at = obs_prefilter_next(r->prefilter, s->p, at, s->n)) < s->n) {
    size_t i = 0, row, place;
    while (obs_prefilter_literal_at(r->prefilter, s->p, s->n, s->from, at, &i, &row, &place)) {
      if (r->rows[row]->find(s, place, r->rows[row], out)) return true;
    }
    at++;
  }
  return false;
}

size_t obs_redact_next_hit(const obs_redact *r, const char *p, size_t n, size_t at) {
  obs_redact_match match;
  if (r->every) return at;
  at = obs_prefilter_next(r->prefilter, p, at, n);
  if (at == n) return n; /* as most texts: nothing was made for them */
  obs_redact_memo memo = {0};
  const obs_redact_scan s = {.p = p, .n = n, .raw = true, .memo = &memo};
  do {
    size_t i = 0, row, place;
    while (obs_prefilter_literal_at(r->prefilter, p, n, 0, at, &i, &row, &place)) {
      if (r->rows[row]->find(&s, place, r->rows[row], &match)) return at;
    }
    at = obs_prefilter_next(r->prefilter, p, at + 1, n);
  } while (at < n);
  return n;
}

bool obs_redact_hits(const obs_redact *r, const char *p, size_t n) {
  return r != NULL && n > 0 && obs_redact_next_hit(r, p, n, 0) < n;
}

/* Inside of a token, whose digits and letters a pattern may like. */
static bool is_in_token(const char *p, size_t n, size_t at, size_t end) {
  for (size_t i = at + 1; i-- > 0 && at - i < OBS_REDACT_TOKEN_MAX;) {
    if (p[i] != '[') continue;
    size_t token = obs_redact_token(p + i, n - i);
    return token > 0 && end <= i + token;
  }
  return false;
}

/* The next match of a source: 0 the built-in kinds, then the patterns. */
static void find_next(obs_redact_matches *m, size_t source) {
  obs_redact_match *next = &m->next[source];
  obs_redact_scan s = m->scan;
  s.memo = &m->memo;
  *next = (obs_redact_match){s.n, s.n, 0};
  if (source == 0) {
    obs_redact_match match;
    while (m->r->kinds != OBS_REDACT_OFF && find_built_in(m->r, &s, &match)) {
      if (!is_in_token(s.p, s.n, match.at, match.end)) {
        *next = match;
        return;
      }
      s.from = match.end;
    }
    return;
  }
  size_t at, end;
  bool failed = false;
  while (s.from < s.n && obs_redact_pattern_find(m->r->patterns[source - 1], s.p, s.n, s.from, &at, &end, &failed)) {
    if (at >= m->scan.from && !is_in_token(s.p, s.n, at, end)) {
      *next = (obs_redact_match){at, end, (uint8_t)(OBS_REDACT_KIND_COUNT + source - 1)};
      return;
    }
    s.from = end > s.from ? end : s.from + 1;
  }
  if (!failed) return;
  atomic_fetch_add_explicit(&m->r->failures, 1, memory_order_relaxed);
  m->whole = true;
  *next = (obs_redact_match){0, s.n, (uint8_t)(OBS_REDACT_KIND_COUNT + source - 1)};
}

obs_redact_matches obs_redact_look(obs_redact *r, const char *p, size_t n) {
  return (obs_redact_matches){.r = r, .scan = {.p = p, .n = n}};
}

bool obs_redact_next(obs_redact_matches *m, obs_redact_match *out) {
  size_t sources = 1 + m->r->npatterns, best = 0;
  if (m->whole || m->scan.from >= m->scan.n) return false;
  for (size_t i = 0; i < sources && !m->whole; i++) {
    if (!m->begun || m->next[i].at < m->scan.from) find_next(m, i);
    if (m->whole) best = i;
  }
  m->begun = true;
  for (size_t i = 0; i < sources && !m->whole; i++) {
    if (m->next[i].at < m->next[best].at) best = i;
  }
  *out = m->next[best];
  if (m->whole) out->at = m->scan.from; /* what came before has gone already */
  if (out->at >= m->scan.n) return false;
  m->scan.from = out->end;
  return true;
}
