#include "cluster/mask.h"

#include "cluster/groups.h"
#include "cluster/reading.h"
#include "cluster/words.h"
#include "redact/token.h"

/* TEXT_TOKENS: a longer message quotes something, behind the last colon of its first PREFIX tokens. */
enum { TEXT_TOKENS = 60, PREFIX_TOKENS = 32 };

typedef struct {
  obs_mask_token *t;
  size_t n;
  const char *begin, *end; /* of the message */
  const char *unquoted;    /* the quote that ends a request line or a message */
  bool commas;
} mask;

/* The next token, not counted yet. Written in place: a copy of what was just written in single bytes would wait. */
static obs_mask_token *begin_token(mask *m, const char *p, size_t len, bool glued) {
  obs_mask_token *t = &m->t[m->n];
  *t = (obs_mask_token){.p = p, .len = (uint16_t)len, .glued = glued};
  return t;
}

static bool is(const obs_mask_token *t, char c) {
  return t->sign == c;
}

static bool is_word(const obs_mask_token *t, const char *word) {
  return !t->value && t->len == strlen(word) && memcmp(t->p, word, t->len) == 0;
}

/* ---- values ---- */

/* What a value is like, for the list that it stands in. */
static unsigned likeness(const obs_mask_token *t) {
  unsigned class = obs_word_class(t->p[0]);
  bool hex = true;
  for (uint16_t i = 0; i < t->len; i++) hex = hex && obs_word_is_hex(t->p[i]);
  if (hex || class == OBS_WORD_DIGIT || class == OBS_WORD_OTHER) return OBS_WORD_DIGIT; /* 17, -1, $3, 9f */
  if (class != OBS_WORD_LETTER && class != OBS_WORD_UPPER) return class;
  return memchr(t->p, '.', t->len) != NULL ? OBS_WORD_DOT : 0x10000u + (unsigned char)t->p[0]; /* hosts; node1, node2 */
}

/* Between two values `t[0]` and `t[2]`: one with the value behind it, or the comma of a list. */
static bool is_joint(const obs_mask_token *t) {
  if (t->sign == 0 || !t->glued) return false;
  if (t->sign == ',' && !t[1].glued) return likeness(&t[-1]) == likeness(&t[1]);
  bool joins = is(t, ':') || is(t, '#') || is(t, '|') || is(t, '=') || is(t, '-');
  return t->sign == ',' || (t[1].glued && joins);
}

static bool is_quoted(const obs_mask_token *t) {
  return t->value && (t->p[0] == '"' || t->p[0] == '\'' || t->p[0] == '`');
}

/* Belongs to the value that it stands before: <1, #42. */
static bool is_prefix(char c) {
  return c == '<' || c == '>' || c == '~' || c == '+' || c == '-' || c == '#';
}

/* `'a', 'b', and 'c'`: how many tokens stand between the last value and the one before it, 0 when it ends no list. */
static size_t and_between(const mask *m) {
  const obs_mask_token *last = &m->t[m->n - 1];
  if (m->n < 3 || !is_quoted(last) || last[-1].value || !last[-1].word || !obs_word_is_and(&last[-1])) return 0;
  if (is_quoted(&last[-2])) return 1;
  return m->n >= 4 && is(&last[-2], ',') && is_quoted(&last[-3]) ? 2 : 0;
}

/* `name==1.2`, `name>=1.2`: with the last value, what version of something. */
static bool is_requirement(const mask *m) {
  const obs_mask_token *last = &m->t[m->n - 1];
  return m->n >= 4 && last->glued && is(&last[-1], '=') && last[-1].glued && last[-2].glued &&
         (is(&last[-2], '=') || is(&last[-2], '>') || is(&last[-2], '<')) && last[-3].word;
}

/* A value that follows another one, or almost. */
static void settle_value(mask *m) {
  for (;;) {
    obs_mask_token *last = &m->t[m->n - 1];
    size_t between;
    if (m->n >= 2 && last[-1].value) {
      m->n--;
    } else if (m->n >= 2 && last[-1].word && obs_word_is_date(&last[-1])) {
      last[-1].value = true;
    } else if (m->n >= 2 && last->glued && last[-1].len == 1 && is_prefix(last[-1].p[0])) {
      last[-1].value = last[-1].word = true;
      last[-1].sign = 0;
      m->n--;
    } else if (m->n >= 3 && is_joint(&last[-1]) && last[-2].value) {
      m->n -= 2;
    } else if (is_requirement(m)) {
      last[-3].value = true;
      m->n -= 3;
    } else if ((between = and_between(m)) > 0) {
      m->n -= between + 1;
    } else {
      return;
    }
  }
}

/* What a host, a module or a file is called. */
static bool is_name(const obs_mask_token *t) {
  enum { NAME = OBS_WORD_LETTER | OBS_WORD_UPPER | OBS_WORD_DOT };
  for (uint16_t i = 0; i < t->len; i++) {
    if ((obs_word_class(t->p[i]) & NAME) == 0) return false;
  }
  return t->word;
}

/* name:443 names a host, and name://... what is at it. */
static bool is_address(const mask *m, const obs_mask_token *t, unsigned has) {
  bool port = has == OBS_WORD_DIGIT && t->len <= 5, authority = t->len >= 2 && memcmp(t->p, "//", 2) == 0;
  if (!(port || authority) || !t->glued || m->n < 2) return false;
  const obs_mask_token *colon = &m->t[m->n - 1];
  return is(colon, ':') && colon->glued && is_name(&colon[-1]);
}

/* ---- codes ---- */

static bool leads_to_code(char sign) {
  return sign == ':' || sign == '=' || sign == '(' || sign == '[' || sign == '#' || sign == '"' || sign == '\'';
}

/* Behind `HTTP/1.1`, or the request line that it ends. */
static bool follows_http(const mask *m, const char *p) {
  while (p > m->begin && (p[-1] == ' ' || p[-1] == '"')) p--;
  while (p > m->begin && (obs_word_class(p[-1]) & (OBS_WORD_DIGIT | OBS_WORD_DOT)) != 0) p--;
  return p - m->begin >= 5 && memcmp(p - 5, "HTTP/", 5) == 0;
}

/* What stands before the next token names it as a code: `status: `, `(code=`, `exited with `, `HTTP/1.1 `. */
static int names_code(const mask *m) {
  size_t i = m->n;
  for (int signs = 0; i > 0 && m->t[i - 1].sign != 0; i--) {
    if (++signs > 2 || !leads_to_code(m->t[i - 1].sign)) return 0;
  }
  if (i == 0) return 0;
  const obs_mask_token *t = &m->t[i - 1];
  if (t->value) return follows_http(m, m->t[m->n].p) ? OBS_WORD_STATUS : 0;
  if (is_word(t, "with") && i > 1) return is_word(&t[-1], "exited") ? OBS_WORD_NUMBERED : 0;
  int kind = obs_word_names_code(t);
  if (kind == OBS_WORD_NUMBERED && i > 1 && t[-1].word && obs_word_names_code(&t[-1]) == OBS_WORD_STATUS)
    return OBS_WORD_STATUS; /* status code */
  /* An error's own number stands right behind the word; a colon begins what the error is. */
  bool is_error = t->len >= 5 && (t->p[t->len - 5] | 0x20) == 'e' && (t->p[t->len - 1] | 0x20) == 'r';
  return is_error && i < m->n ? 0 : kind;
}

static bool begins_with(const char *p, const char *end, const char *word) {
  size_t n = strlen(word);
  return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 && (p + n == end || !(p[n] >= 'a' && p[n] <= 'z'));
}

/* Small letters behind a number: of a status they say why (`not found`) or go on (`from`, `after`); of a count they say
 * of what (`rows`). */
static bool counts_things(const char *p, const char *end) {
  static const char *const of_status[] = {
      "from",         "for",      "after",         "while",       "when",    "on",        "in",       "at",
      "by",           "and",      "but",           "or",          "as",      "because",   "via",      "to",
      "with",         "is",       "was",           "response",    "status",  "error",     "code",     "bad",
      "not",          "too",      "gone",          "page",        "service", "gateway",   "internal", "forbidden",
      "unauthorized", "conflict", "unprocessable", "unavailable", "payment", "method",    "request",  "payload",
      "resource",     "server",   "temporarily",   "upstream",    "timeout", "overloaded"};
  static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", "Hz", "MHz", "GHz"};
  for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
    if (begins_with(p, end, units[i])) return true;
  }
  if (p == end || *p < 'a' || *p > 'z') return false;
  for (size_t i = 0; i < sizeof(of_status) / sizeof(of_status[0]); i++) {
    if (begins_with(p, end, of_status[i])) return false;
  }
  return true;
}

/* 4xx and 5xx without a name: at the begin, or behind `returned` and the like, when no counted thing follows. */
static bool is_bare_status(const mask *m, const obs_mask_token *t) {
  static const char *const verbs[] = {"returned", "with",      "got",      "response",
                                      "received", "responded", "answered", "said"};
  if (t->len != 3 || (t->p[0] != '4' && t->p[0] != '5')) return false;
  const char *p = t->p + t->len;
  if (p < m->end && *p == ' ') {
    p++;
    if (counts_things(p, m->end)) return false;
    if (p < m->end && *p >= 'a' && *p <= 'z' && m->n == 0) return false;
  } else if (p < m->end && strchr(":,;.)\"", *p) == NULL && *p != '\n') {
    return false;
  }
  if (m->n == 0) return true;
  for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
    if (is_word(&m->t[m->n - 1], verbs[i])) return true;
  }
  return false;
}

/* P2002, 42P01, 203/EXEC: a code of capitals and digits. */
static bool is_code_word(const obs_mask_token *t) {
  if (t->len > 10 || t->len < 2) return false;
  for (uint16_t i = 0; i < t->len; i++) {
    if ((obs_word_class(t->p[i]) & (OBS_WORD_UPPER | OBS_WORD_DIGIT)) == 0 && strchr("-_/", t->p[i]) == NULL)
      return false;
  }
  return true;
}

/* A number that tells kinds apart. How many went well by a status under 400 does not. */
static bool is_code(const mask *m, const obs_mask_token *t) {
  bool number = obs_word_is_number(t->p, t->len);
  if (!number && !is_code_word(t)) return false;
  int kind = names_code(m);
  if (!number) return kind != 0 && kind != OBS_WORD_SIGNAL;
  if (kind == OBS_WORD_SIGNAL) return t->len <= 2 && t->p[0] != '-'; /* that of a radio is larger, or negative */
  if (kind == OBS_WORD_STATUS && t->len == 3 && t->p[0] >= '1' && t->p[0] <= '3') return false;
  if (kind == OBS_WORD_STATUS && t->len > 3 && (t->p[1] | 0x20) != 'x') return false; /* no status is that long */
  return kind != 0 || is_bare_status(m, t);
}

/* ---- words ---- */

/* `tickTime set to 2000`: a name that something is set to is a constant, whatever it looks like. */
static void note_setting(mask *m) {
  static const char *const verbs[] = {"set", "changed", "reset", "defaults"};
  if (m->n < 2) return;
  obs_mask_token *verb = &m->t[m->n - 1], *name = &verb[-1];
  for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
    if (!is_word(verb, verbs[i]) || !name->word || (name->value && !name->soft)) continue;
    name->value = false;
    name->fixed = true;
  }
}

/* Data like a number, behind a `=`. */
static bool is_flag(const obs_mask_token *t) {
  return is_word(t, "true") || is_word(t, "false") || is_word(t, "True") || is_word(t, "False");
}

/* The word that was begun behind the last token. */
static void push_word(mask *m, unsigned has) {
  obs_mask_token *t = &m->t[m->n];
  t->word = true;
  if ((has & OBS_WORD_DIGIT) != 0) {
    bool stop = t->p[t->len - 1] == '.' && t->len > 1;
    t->len -= stop; /* of the sentence */
    t->fixed = is_code(m, t);
    if (!t->fixed) t->len += stop;
    if (stop && memchr(t->p, '.', t->len - 1u) == NULL) has &= ~(unsigned)OBS_WORD_DOT;
  }
  int varies = t->fixed ? 0 : obs_word_varies(t->p, t->len, has);
  if (varies == 0 && m->n > 1 && is(&t[-1], '=') && is_flag(t)) varies = OBS_WORD_VARIES;
  if (varies == 0) {
    if (m->n > 0 && t[-1].value && obs_word_is_unit(t)) return; /* it belongs to the value */
    if (t->len == 2 && t->p[0] == 't' && t->p[1] == 'o') note_setting(m);
    m->n++;
    return;
  }
  t->value = true;
  t->soft = varies == OBS_WORD_SOFT;
  if (is_address(m, t, has)) { /* so does the name, and the colon between them */
    t[-2].value = true;
    m->n--;
  } else {
    m->n++;
  }
  settle_value(m);
}

/* Behind `A.b`, `()` says that it is a function, which can be searched for in source; so does `::`. */
static const char *end_of_function(const char *p, const char *q, const char *end) {
  if (q + 1 < end && q[0] == '(' && q[1] == ')' && (obs_word_class(*p) & (OBS_WORD_LETTER | OBS_WORD_UPPER)) != 0)
    return q + 2;
  return NULL;
}

/* ---- signs ---- */

/* `[type=missing, input_value=3]` behind a text: its details, which the text stands for. */
static bool drop_details(mask *m, char open) {
  size_t i = m->n, pairs = 0, commas = 0;
  while (i > 0 && !is(&m->t[i - 1], open)) {
    i--;
    pairs += is(&m->t[i], '=');
    commas += is(&m->t[i], ',');
  }
  if (i < 3 || m->t[i - 1].glued || pairs < 2 || commas == 0) return false;
  m->n = i - 1;
  return true;
}

/* `{ email: <*> }`: names with values, none of which says what failed, are one value. */
static bool join_members(mask *m) {
  static const char *const telling[] = {"code", "status", "error", "message", "msg", "type", "kind", "reason", "errno"};
  size_t i = m->n;
  while (i >= 3 && m->t[i - 1].value && is(&m->t[i - 2], ':') && m->t[i - 3].word) {
    for (size_t k = 0; k < sizeof(telling) / sizeof(telling[0]); k++) {
      if (is_word(&m->t[i - 3], telling[k])) return false;
    }
    i -= 3;
    if (i > 0 && is(&m->t[i - 1], ',')) i--;
  }
  if (i == m->n || i == 0 || !is(&m->t[i - 1], '{')) return false;
  m->n = i;
  m->t[i - 1].sign = 0;
  m->t[i - 1].word = m->t[i - 1].value = true;
  settle_value(m);
  return true;
}

/* At a bracket that closes: whether it and all that it holds are dropped. `()`, and `(<*>)` or `name{<*>}` behind
 * something, tell nothing of the kind. */
static bool close_bracket(mask *m, char open) {
  obs_mask_token *last = &m->t[m->n - 1];
  if (is(last, open)) {
    m->n--;
    return true;
  }
  if (m->n > 2 && last->value && is(&last[-1], open) && (open == '(' || last[-1].glued)) {
    m->n -= 2;
    return true;
  }
  if (open == '{' ? join_members(m) : drop_details(m, open)) return true;
  bool label = open == '(' && m->n >= 2 && last->word && is(&last[-1], open); /* (NotFound) */
  bool capital = (obs_word_class(last->p[0]) & OBS_WORD_UPPER) != 0;
  if (label && capital && memchr(last->p, '.', last->len) == NULL) last->fixed = true;
  return false;
}

/* `Unexpected token }`: the sign is what is spoken of. */
static bool names_sign(const obs_mask_token *t) {
  static const char *const names[] = {"token", "character", "char", "symbol", "delimiter", "byte"};
  if (t->len < 4 || t->len > 9) return false;
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    if (is_word(t, names[i])) return true;
  }
  return false;
}

static void push_sign(mask *m, char sign) {
  obs_mask_token *t = &m->t[m->n], *last = m->n > 0 ? t - 1 : t;
  t->sign = sign;
  if (m->n == 0) {
    m->n++;
    return;
  }
  char open = 0;
  switch (sign) {
  case '#':
    if (t->glued && (last->value || is(last, '#'))) return;
    break;
  case '=':
    if (!last->soft) break;
    last->value = false; /* a setting's name */
    last->fixed = true;
    break;
  case ',':
    m->commas = true;
    break;
  case ')':
    open = '(';
    break;
  case ']':
    open = '[';
    break;
  case '}':
    open = '{';
    break;
  default:
    break;
  }
  if (!t->glued && sign != ':' && last->word && names_sign(last)) {
    t->sign = 0;
    t->value = t->word = true;
  } else if (open != 0 && close_bracket(m, open)) {
    return;
  }
  m->n++;
}

/* ---- quotations ---- */

static bool is_wordly(char c) {
  return (obs_word_class(c) & (OBS_WORD_LETTER | OBS_WORD_UPPER | OBS_WORD_DIGIT)) != 0;
}

/* `"GET /path HTTP/1.1"` */
static bool is_request(const char *p, const char *q) {
  const char *space = memchr(p + 1, ' ', (size_t)(q - p - 1));
  return space != NULL && obs_word_is_method(p + 1, (size_t)(space - p - 1));
}

/* `msg="connection lost"`: it is quoted as the format wants it, and says what failed. */
static bool is_message(const mask *m, const char *p, const char *q) {
  static const char *const keys[] = {"msg", "message", "error", "err", "errmsg"};
  if (m->n < 2 || memchr(p, ' ', (size_t)(q - p)) == NULL) return false;
  const obs_mask_token *sign = &m->t[m->n - 1], *key = &sign[-1];
  for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
    if (is_word(key, keys[i])) return is(sign, '=') || (is(sign, ':') && i == 1);
  }
  return false;
}

static bool is_one_word(const char *p, const char *q) {
  for (const char *c = p + 1; c < q; c++) {
    if ((obs_word_class(*c) & (OBS_WORD_LETTER | OBS_WORD_UPPER)) == 0) return false;
  }
  return true;
}

/* The quotation that was begun behind the last token. */
static void push_quoted(mask *m) {
  obs_mask_token *t = &m->t[m->n];
  const char *last = t->p + t->len - 1;
  const obs_mask_token *before = m->n > 0 ? t - 1 : NULL;
  if (before != NULL && m->n > 1 && (is(before, ':') || is(before, '='))) before--;
  bool state =
      before != NULL && before->word && !before->value && is_one_word(t->p, last) && obs_word_names_state(before);
  t->word = true;
  t->fixed = state || (obs_word_is_number(t->p + 1, (size_t)(last - t->p - 1)) && names_code(m) != 0);
  t->value = !t->fixed;
  m->n++;
  if (t->value) settle_value(m);
}

/* ---- addresses ---- */

/* An address, with the brackets and the port around it. */
static bool push_address(mask *m, const char *p, const char *end, bool glued, const char **after) {
  const char *q = obs_word_address_end(p, end);
  if (q == NULL) return false;
  if (m->n > 0 && is(&m->t[m->n - 1], '[') && m->t[m->n - 1].p + 1 == p && q < end && *q == ']') {
    glued = m->t[m->n - 1].glued;
    p--;
    q++;
    m->n--;
  }
  obs_mask_token *t = begin_token(m, p, (size_t)(q - p), glued);
  t->value = t->word = true;
  m->n++;
  settle_value(m);
  *after = q;
  return true;
}

/* ---- all together ---- */

/* A character beyond ASCII that begins no ordinary word. Returns what is behind the token. */
static const char *push_wide(mask *m, const char *p, const char *end, bool *glued) {
  obs_word_wide_char w = obs_word_wide(p, end);
  obs_mask_token *t = begin_token(m, p, w.len, *glued);
  const char *q = p + w.len;
  *glued = w.kind != OBS_WIDE_SPACE;
  if (w.kind == OBS_WIDE_SPACE) return q;
  if (w.kind == OBS_WIDE_SIGN) {
    push_sign(m, w.sign);
    return q;
  }
  if (w.kind == OBS_WIDE_QUOTE) {
    const char *close = memmem(q, (size_t)(end - q), w.close, strlen(w.close));
    if (close != NULL) {
      q = close + strlen(w.close);
      t->len = (uint16_t)(q - p);
      t->value = t->word = true;
      m->n++;
      settle_value(m);
      return q;
    }
    push_sign(m, '"');
    return q;
  }
  while (q < end && obs_word_class(*q) == OBS_WORD_WIDE) { /* a run of one kind */
    obs_word_wide_char next = obs_word_wide(q, end);
    if (next.kind != w.kind) break;
    q += next.len;
  }
  t->len = (uint16_t)(q - p);
  push_word(m, w.kind == OBS_WIDE_DIGIT ? OBS_WORD_DIGIT : OBS_WORD_LETTER);
  return q;
}

/* The end of the word at `p`, and what it has. */
static const char *word_end(const char *p, const char *end, unsigned *has) {
  enum { STOPS = OBS_WORD_SPACE | OBS_WORD_SPLIT | OBS_WORD_WIDE };
  const char *q = p;
  unsigned all = *has, c = 0;
  for (;;) {
    while (q < end && ((c = obs_word_class(*q)) & STOPS) == 0) {
      all |= c;
      q++;
    }
    size_t token = q < end && *q == '[' ? obs_redact_token(q, (size_t)(end - q)) : 0;
    if (token > 0) { /* a part of the word, as what it stands for was */
      all |= OBS_WORD_DIGIT;
      q += token;
      continue;
    }
    if (q == end || c != OBS_WORD_WIDE) break;
    obs_word_wide_char w = obs_word_wide(q, end);
    if (w.kind != OBS_WIDE_WORD && !(w.kind == OBS_WIDE_SIGN && w.len < 3)) break;
    all |= OBS_WORD_LETTER;
    q += w.len;
  }
  *has = all;
  return q;
}

/* `C:\Program Files\x`: the words of a path of Windows, with the spaces between them. */
static const char *path_end(const char *q, const char *end) {
  unsigned has = 0;
  q = word_end(q, end, &has);
  while (q + 1 < end && *q == ' ') {
    has = 0;
    const char *next = word_end(q + 1, end, &has);
    if ((has & OBS_WORD_BACK) == 0) break;
    q = next;
  }
  return q;
}

static const char *push_plain(mask *m, const char *p, const char *end, bool glued) {
  unsigned has = 0;
  const char *q = word_end(p, end, &has), *after;
  bool function = false;
  if (q < end && (*q == ':' || *q == '(')) {
    if (*q == ':' && q - p <= 4 && obs_word_is_hex(*p) && push_address(m, p, end, glued, &after)) return after;
    if (q + 1 < end && q - p == 1 && q[0] == ':' && q[1] == '\\') {
      q = path_end(q + 1, end); /* C:\ */
      has |= OBS_WORD_BACK;
    }
    while (q + 2 < end && q[0] == ':' && q[1] == ':' && is_wordly(q[2]) && (has & OBS_WORD_SLASH) == 0) {
      q = word_end(q + 2, end, &has);
      function = true;
    }
    const char *call = end_of_function(p, q, end);
    if (call != NULL) {
      q = call;
      function = true;
    }
  } else if ((has & OBS_WORD_BACK) != 0) {
    q = path_end(q, end);
  }
  obs_mask_token *t = begin_token(m, p, (size_t)(q - p), glued);
  if (!function) {
    push_word(m, has);
  } else {
    t->word = t->fixed = true;
    m->n++;
  }
  return q;
}

/* A word that reading marked as a constant. */
static const char *push_constant(mask *m, const char *p, const char *end, bool glued) {
  const char *q = p;
  while (q < end && obs_word_class(*q) != OBS_WORD_SPACE) q++;
  if (q == p) return q;
  obs_mask_token *t = begin_token(m, p, (size_t)(q - p), glued);
  t->word = t->fixed = true;
  m->n++;
  return q;
}

/* The colour codes of a terminal. */
static const char *skip_escape(const char *p, const char *end) {
  const char *q = p + 2;
  while (q < end && ((*q >= '0' && *q <= '9') || *q == ';')) q++;
  return q < end && ((*q | 0x20) >= 'a' && (*q | 0x20) <= 'z') ? q + 1 : p + 1;
}

/* What is quoted at length, behind a colon: one value. */
static void cut_text(mask *m) {
  size_t colon = 0;
  for (size_t i = 1; i + 1 < m->n && i < PREFIX_TOKENS; i++) {
    if (is(&m->t[i], ':') && !m->t[i + 1].glued) colon = i;
  }
  if (colon == 0) return;
  obs_mask_token *text = &m->t[colon + 1];
  *text = (obs_mask_token){.p = text->p, .len = (uint16_t)(m->end - text->p), .value = true, .word = true};
  m->n = colon + 2;
}

/* What begins with an ASCII sign: a quotation, an address, or the sign itself. Returns what is behind it. */
static const char *push_split(mask *m, const char *p, bool glued) {
  const char *end = m->end, *after;
  bool mark = (*p == '"' || *p == '\'' || *p == '`') && p != m->unquoted;
  const char *quote = mark ? obs_word_quote_end(p, end, glued) : NULL;
  if (mark && quote == NULL && *p == '`' && p + 1 < end && !glued && m->n > 0 && is(&m->t[m->n - 1], ':'))
    quote = end - 1; /* cut off */
  if (quote != NULL && (is_request(p, quote) || is_message(m, p, quote))) {
    m->unquoted = quote;
    quote = NULL;
  }
  bool begins = !glued || !is_wordly(p[-1]);
  if (*p == ':' && p + 1 < end && p[1] == ':' && begins && push_address(m, p, end, glued, &after)) return after;
  (void)begin_token(m, p, quote != NULL ? (size_t)(quote + 1 - p) : 1, glued);
  if (quote == NULL)
    push_sign(m, *p);
  else
    push_quoted(m);
  return quote != NULL ? quote + 1 : p + 1;
}

size_t obs_mask(obs_str message, obs_mask_token tokens[OBS_MASK_TOKENS]) {
  const char *p = message.p, *end = p + (message.len < OBS_MASK_BYTES ? message.len : OBS_MASK_BYTES);
  mask m = {.t = tokens, .begin = p, .end = end};
  bool glued = false;
  while (p < end && m.n < OBS_MASK_TOKENS) {
    unsigned class = obs_word_class(*p);
    if (class == OBS_WORD_SPACE) {
      if (*p == OBS_READING_CONSTANT) {
        p = push_constant(&m, p + 1, end, glued);
        continue;
      }
      p = *p == '\x1b' && p + 1 < end && p[1] == '[' ? skip_escape(p, end) : p + 1;
      glued = false;
    } else if (class == OBS_WORD_SPLIT && (*p != '[' || obs_redact_token(p, (size_t)(end - p)) == 0)) {
      p = push_split(&m, p, glued);
      glued = true;
    } else if (class == OBS_WORD_WIDE && obs_word_wide(p, end).kind != OBS_WIDE_WORD) {
      p = push_wide(&m, p, end, &glued);
    } else {
      p = push_plain(&m, p, end, glued);
      glued = true;
    }
  }
  if (m.n > TEXT_TOKENS) cut_text(&m);
  if (m.commas) m.n = obs_group_join_lists(tokens, m.n);
  for (size_t i = 0; i < m.n; i++) tokens[i].hash = obs_word_hash(&tokens[i]);
  return obs_group_join_repeats(tokens, m.n);
}

void obs_mask_template(const obs_mask_token *tokens, size_t n, obs_buf *out) {
  for (size_t i = 0; i < n; i++) {
    if (i > 0 && !tokens[i].glued) obs_buf_putc(out, ' ');
    if (tokens[i].value)
      obs_buf_puts(out, "<*>");
    else
      obs_buf_append(out, tokens[i].p, tokens[i].len);
  }
}
