/* Patterns of the configuration, with PCRE2: compiled to machine code where that is possible, with limits, and in any
 * UTF-8, also where it is broken. */
#include "redact/internal.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

/* What a match may take: beyond it the pattern explodes. */
enum { MATCH_LIMIT = 50000, DEPTH_LIMIT = 5000, HEAP_KIB = 4096, LITERAL_MIN = 3, LITERAL_MAX = 32 };

struct obs_redact_pattern {
  char name[OBS_REDACT_NAME_MAX + 1];
  char literal[LITERAL_MAX + 1];
  pcre2_code *code;
  pcre2_match_context *limits;
};

const char *obs_redact_pattern_name(const obs_redact_pattern *p) {
  return p->name;
}

const char *obs_redact_pattern_literal(const obs_redact_pattern *p) {
  return p->literal[0] != '\0' ? p->literal : NULL;
}

void obs_redact_pattern_close(obs_redact_pattern *p) {
  if (p == NULL) return;
  pcre2_code_free(p->code);
  pcre2_match_context_free(p->limits);
  free(p);
}

/* ---- what every match contains ---- */

static bool is_plain(char c) {
  return obs_redact_is_alnum(c) || (c != '\0' && strchr(" _-/:@=,;%&<>~!'`", c) != NULL);
}

/* Behind a group, a class or an escape at `p`, which is one item of the pattern; NULL: this cannot be told. */
static const char *skip_item(const char *p) {
  if (*p == '\\') return p[1] != '\0' && strchr("bBdDsSwWK.-/+*?()[]{}|^$", p[1]) != NULL ? p + 2 : NULL;
  if (*p == '[') {
    const char *q = p + 1;
    if (*q == '^') q++;
    if (*q == ']') q++;
    for (; *q != '\0' && *q != ']'; q++) {
      if (*q == '[') return NULL; /* [:alpha:] */
      if (*q == '\\' && *++q == '\0') return NULL;
    }
    return *q == ']' ? q + 1 : NULL;
  }
  if (*p == '(') {
    if (p[1] == '?' && p[2] != ':') return NULL;
    if (p[1] == '*') return NULL;
    int depth = 0;
    for (const char *q = p; *q != '\0';) {
      if (*q == '(') {
        if (q[1] == '*' || (q[1] == '?' && q[2] != ':')) return NULL;
        depth++;
        q++;
      } else if (*q == ')') {
        q++;
        if (--depth == 0) return q;
      } else if (*q == '[' || *q == '\\') {
        q = skip_item(q);
        if (q == NULL) return NULL;
      } else {
        q++;
      }
    }
    return NULL;
  }
  return p + 1;
}

/* The longest run of plain letters outside of groups, none of which may be left out: for the prefilter. Where the
 * pattern has alternatives or anything that is not known here, there is none. */
static void find_literal(const char *regex, char out[LITERAL_MAX + 1]) {
  char run[LITERAL_MAX + 1];
  size_t n = 0, best = 0;
  out[0] = '\0';
  for (const char *p = regex; *p != '\0';) {
    const char *next = skip_item(p);
    if (next == NULL || *p == '|') {
      out[0] = '\0';
      return;
    }
    bool repeated = *next == '*' || *next == '?' || *next == '{', plain = is_plain(*p) && !repeated && n < LITERAL_MAX;
    if (plain) {
      run[n++] = *p;
      if (n > best) {
        best = n;
        memcpy(out, run, n);
        out[n] = '\0';
      }
    }
    if (!plain || *next == '+') n = 0;
    p = next;
    if (repeated && *p == '{') { /* `{2,3}`: what stands in it is no text */
      while (*p != '\0' && *p != '}') p++;
    }
  }
  if (best < LITERAL_MIN) out[0] = '\0';
}

/* ---- open ---- */

static bool is_built_in(const char *name) {
  static const char *const names[] = {
#define NAME(kind, all, text) #kind,
      OBS_REDACT_BUILT_IN(NAME)
#undef NAME
  };
  for (size_t i = 0; i < OBS_REDACT_KIND_COUNT; i++) {
    if (strcmp(names[i], name) == 0) return true;
  }
  return false;
}

/* The name in capitals. NULL: it is one; else what is wrong. */
static const char *read_name(const char *spec, size_t n, char out[OBS_REDACT_NAME_MAX + 1]) {
  if (n == 0 || n > OBS_REDACT_NAME_MAX) return "the name must have 1 to 32 characters";
  for (size_t i = 0; i < n; i++) {
    char c = spec[i];
    if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    bool ok = (c >= 'A' && c <= 'Z') || (i > 0 && (obs_redact_is_digit(c) || c == '_'));
    if (!ok) return "the name must be of letters, digits and _, and begin with a letter";
    out[i] = c;
  }
  out[n] = '\0';
  return is_built_in(out) ? "the name is that of a built-in kind" : NULL;
}

static observer_err fail(char *error, size_t size, const char *spec, size_t name, const char *why) {
  (void)snprintf(error, size, "redact-pattern %.*s: %s", (int)(name < OBS_REDACT_NAME_MAX ? name : OBS_REDACT_NAME_MAX),
                 spec, why);
  return OBSERVER_E_INVALID;
}

observer_err obs_redact_pattern_open(const char *spec, obs_redact_pattern **out, char *error, size_t size) {
  const char *equals = strchr(spec, '=');
  *out = NULL;
  if (equals == NULL || equals[1] == '\0') return fail(error, size, spec, strlen(spec), "must be NAME=REGEX");
  size_t name = (size_t)(equals - spec), place;
  int code;
  obs_redact_pattern *p = calloc(1, sizeof(*p));
  if (p == NULL) return OBSERVER_E_NOMEM;
  const char *wrong = read_name(spec, name, p->name);
  if (wrong != NULL) {
    obs_redact_pattern_close(p);
    return fail(error, size, spec, name, wrong);
  }
  p->code = pcre2_compile((PCRE2_SPTR)(equals + 1), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_MATCH_INVALID_UTF, &code,
                          &place, NULL);
  if (p->code == NULL) {
    char why[160], text[200];
    if (pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why)) < 0) why[0] = '\0';
    (void)snprintf(text, sizeof(text), "at character %zu of the expression: %s", place + 1, why);
    obs_redact_pattern_close(p);
    return fail(error, size, spec, name, text);
  }
  (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without it matching is slower, and the same */
  p->limits = pcre2_match_context_create(NULL);
  if (p->limits == NULL) {
    obs_redact_pattern_close(p);
    return OBSERVER_E_NOMEM;
  }
  (void)pcre2_set_match_limit(p->limits, MATCH_LIMIT);
  (void)pcre2_set_depth_limit(p->limits, DEPTH_LIMIT);
  (void)pcre2_set_heap_limit(p->limits, HEAP_KIB);
  find_literal(equals + 1, p->literal);
  *out = p;
  return OBSERVER_E_OK;
}

bool obs_redact_pattern_find(const obs_redact_pattern *p, const char *text, size_t n, size_t from, size_t *at,
                             size_t *end, bool *failed) {
  pcre2_match_data *data = pcre2_match_data_create(1, NULL);
  int rc = data != NULL ? pcre2_match(p->code, (PCRE2_SPTR)text, n, from, PCRE2_NOTEMPTY, data, p->limits)
                        : PCRE2_ERROR_NOMEMORY;
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* its stack is small; without it the limits above hold */
    rc = pcre2_match(p->code, (PCRE2_SPTR)text, n, from, PCRE2_NOTEMPTY | PCRE2_NO_JIT, data, p->limits);
  *failed = rc < 0 && rc != PCRE2_ERROR_NOMATCH;
  if (rc >= 0) {
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(data);
    *at = place[0];
    *end = place[1];
    if (*end <= *at) { /* \K in a lookahead can do that */
      *failed = true;
      rc = PCRE2_ERROR_NOMATCH;
    }
  }
  pcre2_match_data_free(data);
  return rc >= 0;
}
