#include "cluster/former_rule.h"

#include "base/utf8.h"

#include <strings.h>
#include <xxhash.h>

enum { TOKENS = 96, BYTES = 2048 }; /* of a text; the rest was not looked at */

typedef struct {
  const char *p;
  uint16_t len;
  bool value; /* varied */
  bool word;  /* no punctuation; values are words */
  bool glued; /* no white space before it */
} token;

/* What a byte is, and what a word has that holds it. */
enum {
  LETTER = 1, /* a to z, _ and bytes beyond ASCII */
  UPPER = 2,
  DIGIT = 4,
  DOT = 8,
  SLASH = 16,
  AT = 32,
  OTHER = 64,  /* stands in words, is no letter: - + * $ and so on */
  SPACE = 128, /* control characters too */
  SPLIT = 256  /* punctuation that is a token of its own */
};

typedef struct {
  token *t;
  size_t n;
} mask;

static const uint16_t classes[256] = {
    [0 ... ' '] = SPACE,
    ['!'] = OTHER,
    ['"' ... '#'] = SPLIT,
    ['$' ... '&'] = OTHER,
    ['\'' ... ')'] = SPLIT,
    ['*' ... '+'] = OTHER,
    [','] = SPLIT,
    ['-'] = OTHER,
    ['.'] = DOT,
    ['/'] = SLASH,
    ['0' ... '9'] = DIGIT,
    [':' ... '>'] = SPLIT,
    ['?'] = OTHER,
    ['@'] = AT,
    ['A' ... 'Z'] = UPPER,
    ['['] = SPLIT,
    ['\\'] = OTHER,
    [']'] = SPLIT,
    ['^'] = OTHER,
    ['_'] = LETTER,
    ['`'] = OTHER,
    ['a' ... 'z'] = LETTER,
    ['{' ... '}'] = SPLIT,
    ['~'] = OTHER,
    [127] = SPACE,
    [128 ... 255] = LETTER,
};

static unsigned class_of(char c) {
  return classes[(unsigned char)c];
}

static bool is_one_of(const char *const *list, size_t n, const token *t) {
  char first = (char)(t->p[0] | 0x20); /* most words are told apart by it; the lists are in lower case */
  for (size_t i = 0; i < n; i++) {
    if (list[i][0] == first && strlen(list[i]) == t->len && strncasecmp(list[i], t->p, t->len) == 0) return true;
  }
  return false;
}
#define IS_ONE_OF(list, t) is_one_of(list, sizeof(list) / sizeof((list)[0]), t)

/* A day or a month. */
static bool is_date(const token *t) {
  static const char *const names[] = {"mon",      "tue",     "wed",       "thu",      "fri",    "sat",       "sun",
                                      "monday",   "tuesday", "wednesday", "thursday", "friday", "saturday",  "sunday",
                                      "jan",      "feb",     "mar",       "apr",      "may",    "jun",       "jul",
                                      "aug",      "sep",     "oct",       "nov",      "dec",    "january",   "february",
                                      "march",    "april",   "june",      "july",     "august", "september", "october",
                                      "november", "december"};
  return t->len >= 3 && t->len <= 9 && IS_ONE_OF(names, t);
}

static bool is_unit(const token *t) {
  static const char *const units[] = {"ns",    "us",   "ms",     "s",       "sec", "secs",   "second", "seconds",
                                      "min",   "mins", "minute", "minutes", "h",   "hr",     "hrs",    "hour",
                                      "hours", "day",  "days",   "b",       "kb",  "mb",     "gb",     "tb",
                                      "kib",   "mib",  "gib",    "tib",     "%",   "percent"};
  return t->len <= 7 && IS_ONE_OF(units, t);
}

static bool is(const token *t, char c) {
  return !t->value && t->len == 1 && t->p[0] == c;
}

/* Between two values `t[0]` and `t[2]`: one with the value behind it, or the comma of a list. */
static bool is_joint(const token *t) {
  if (t->value || t->len != 1 || !t->glued) return false;
  return t->p[0] == ',' || (t[1].glued && strchr(":#|=-", t->p[0]) != NULL);
}

/* Whether a word varies from one message of a kind to the next. */
static bool is_value(const token *t, unsigned has) {
  static const char *const nothing[] = {"null", "nil", "undefined", "nan"}; /* stand where a value would */
  const char *p = t->p;
  size_t len = t->len;
  if ((has & DIGIT) != 0) return true;
  if ((has & SLASH) != 0) { /* a path begins at the root, or has three parts: `read/write` is none */
    const char *first = memchr(p, '/', len);
    if (first == p && len > 1) return true;
    if (first != NULL && memchr(first + 1, '/', len - (size_t)(first + 1 - p)) != NULL) return true;
  }
  if ((has & AT) != 0 && len > 2 && memchr(p + 1, '@', len - 2) != NULL) return true;
  /* A host: labels in lower case with dots between them. The dot at the end of a sentence is none. */
  if ((has & (UPPER | SLASH | AT)) == 0 && (has & DOT) != 0) {
    size_t n = p[len - 1] == '.' ? len - 1 : len;
    if (p[0] != '.' && memchr(p, '.', n) != NULL && memmem(p, n, "..", 2) == NULL) return true;
  }
  return len <= 9 && IS_ONE_OF(nothing, t);
}

/* A value that follows another one, or almost. */
static void settle_value(mask *m) {
  for (;;) {
    token *last = &m->t[m->n - 1];
    if (m->n >= 2 && last[-1].value) {
      m->n--;
    } else if (m->n >= 2 && !last[-1].value && is_date(&last[-1])) {
      last[-1].value = true;
    } else if (m->n >= 2 && last->glued && last[-1].len == 1 && strchr("<>~+-", last[-1].p[0]) != NULL) {
      last[-1].value = last[-1].word = true;
      m->n--;
    } else if (m->n >= 3 && is_joint(&last[-1]) && last[-2].value) {
      m->n -= 2;
    } else {
      return;
    }
  }
}

static bool is_name(const token *t) {
  for (uint16_t i = 0; i < t->len; i++) {
    if ((class_of(t->p[i]) & (LETTER | UPPER)) == 0) return false;
  }
  return t->word;
}

/* name:443 names a host, and name://... what is at it. */
static bool is_address(const mask *m, const token *t, unsigned has) {
  bool port = has == DIGIT && t->len <= 5, authority = t->len > 2 && memcmp(t->p, "//", 2) == 0;
  if (!(port || authority) || !t->glued || m->n < 2) return false;
  const token *colon = &m->t[m->n - 1];
  return is(colon, ':') && colon->glued && is_name(&colon[-1]);
}

static void push_word(mask *m, token t, unsigned has) {
  t.value = is_value(&t, has);
  if (!t.value && m->n > 0 && m->t[m->n - 1].value && is_unit(&t)) return; /* it belongs to the value */
  if (t.value && is_address(m, &t, has)) { /* so does the name, and the colon between them */
    m->t[m->n - 2].value = true;
    m->n--;
  } else {
    m->t[m->n++] = t;
  }
  if (t.value) settle_value(m);
}

static void push_split(mask *m, token t) {
  static const char pairs[] = "()[]{}";
  if (t.p[0] == '#' && m->n > 0 && is(&m->t[m->n - 1], '#')) return;
  m->t[m->n++] = t;
  const char *close = strchr(pairs, t.p[0]);
  if (close == NULL || (close - pairs) % 2 == 0) return;
  /* `()`, and `(<*>)` or `name{<*>}` behind something, tell nothing of the kind. */
  char open = close[-1];
  if (m->n >= 2 && is(&m->t[m->n - 2], open))
    m->n -= 2;
  else if (m->n > 3 && m->t[m->n - 2].value && is(&m->t[m->n - 3], open) && (open == '(' || m->t[m->n - 3].glued))
    m->n -= 3;
}

/* The end of what is quoted from `p` (at a quote) on; NULL when it is no quotation of a value: too long, across a
 * line, or an apostrophe. */
static const char *quote_end(const char *p, const char *end, bool glued) {
  enum { QUOTED_MAX = 200 };
  if (glued && *p == '\'') return NULL;
  size_t n = (size_t)(end - p) - 1;
  const char *q = memchr(p + 1, *p, n < QUOTED_MAX ? n : QUOTED_MAX);
  if (q == NULL || q == p + 1) return NULL;
  bool ends = q + 1 == end || (class_of(q[1]) & (LETTER | UPPER | DIGIT)) == 0;
  return ends ? q : NULL;
}

/* The last `len` bytes, under eight, as memcpy into a zeroed number gives them. In loads that may overlap: a copy byte
 * by byte would make the number wait for its bytes' stores, a tenth of all that a failure costs here. */
static uint64_t tail_bytes(const char *p, size_t len) {
  uint32_t low, high;
  if (len >= 4) {
    memcpy(&low, p, 4);
    memcpy(&high, p + len - 4, 4);
    return low | (uint64_t)high << 8 * (len - 4);
  }
  if (len == 0) return 0;
  const uint8_t *b = (const uint8_t *)p;
  return b[0] | (uint64_t)b[len / 2] << 8 * (len / 2) | (uint64_t)b[len - 1] << 8 * (len - 1);
}

/* Of a word; eight bytes a step, as every word of every failure comes here. */
static uint32_t hash_bytes(const char *p, size_t len) {
  uint64_t h = 0x9E3779B97F4A7C15u ^ len;
  for (; len >= 8; p += 8, len -= 8) {
    uint64_t v;
    memcpy(&v, p, 8);
    h = (h ^ v) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
  }
  h = (h ^ tail_bytes(p, len)) * 0xD6E8FEB86659FD93u;
  return (uint32_t)(h ^ (h >> 32));
}

static size_t split(obs_str message, token tokens[TOKENS]) {
  mask m = {tokens, 0};
  const char *p = message.p, *end = p + message.len;
  bool glued = false;
  while (p < end && m.n < TOKENS) {
    unsigned has = class_of(*p);
    if (has == SPACE) {
      p++;
      glued = false;
      continue;
    }
    token t = {.p = p, .len = 1, .glued = glued};
    const char *quote = has == SPLIT && (*p == '"' || *p == '\'') ? quote_end(p, end, glued) : NULL;
    if (quote != NULL) {
      t.len = (uint16_t)(quote + 1 - p);
      t.value = t.word = true;
      m.t[m.n++] = t;
      settle_value(&m);
    } else if (has == SPLIT) {
      push_split(&m, t);
    } else {
      const char *q = p + 1;
      for (unsigned c; q < end && ((c = class_of(*q)) & (SPACE | SPLIT)) == 0; q++) has |= c;
      t.len = (uint16_t)(q - p);
      t.word = true;
      push_word(&m, t, has);
    }
    p += t.len;
    glued = true;
  }
  return m.n;
}

/* ---- ids ---- */

uint64_t obs_former_rule_mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9FB21C651E98DF25u;
  return h ^ (h >> 29);
}

uint64_t obs_former_rule_sig(obs_str sig_hash) {
  return XXH3_64bits_withSeed(sig_hash.p, sig_hash.len, 1);
}

uint64_t obs_former_rule_scope(const obs_op *op) {
  uint64_t h = XXH3_64bits(op->endpoint.p, op->endpoint.len);
  return OBS_HAS(op, event_kind) ? XXH3_64bits_withSeed(op->event_kind.p, op->event_kind.len, h) : h;
}

uint64_t obs_former_rule_form(const obs_op *op, uint64_t scope) {
  const uint64_t seed = 0x9E3779B97F4A7C15u;
  token tokens[TOKENS];
  bool error = OBS_HAS(op, error) && op->error.len > 0;
  obs_str text = error ? op->error : OBS_HAS(op, output_summary) ? op->output_summary : OBS_STR("");
  size_t n = split((obs_str){text.p, (uint32_t)obs_utf8_cut(text.p, text.len, BYTES), 0}, tokens);
  uint64_t sum = 0;
  for (size_t i = 0; i < n; i++) {
    uint64_t word = tokens[i].value ? 1 : hash_bytes(tokens[i].p, tokens[i].len);
    sum += obs_former_rule_mix(obs_former_rule_mix(seed, i), word << 1 | 1);
  }
  return obs_former_rule_mix(obs_former_rule_mix(scope + seed, n), sum);
}
