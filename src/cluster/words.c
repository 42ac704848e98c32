#include "cluster/words.h"

#include <strings.h>

/* QUOTED: of what is in single quotes, which are apostrophes too. */
enum { QUOTED_MAX = 200 };

const uint16_t obs_word_classes[256] = {
    [0 ... ' '] = OBS_WORD_SPACE,
    ['!'] = OBS_WORD_OTHER,
    ['"' ... '#'] = OBS_WORD_SPLIT,
    ['$' ... '&'] = OBS_WORD_OTHER,
    ['\'' ... ')'] = OBS_WORD_SPLIT,
    ['*' ... '+'] = OBS_WORD_OTHER,
    [','] = OBS_WORD_SPLIT,
    ['-'] = OBS_WORD_OTHER,
    ['.'] = OBS_WORD_DOT,
    ['/'] = OBS_WORD_SLASH,
    ['0' ... '9'] = OBS_WORD_DIGIT,
    [':' ... '>'] = OBS_WORD_SPLIT,
    ['?'] = OBS_WORD_OTHER,
    ['@'] = OBS_WORD_AT,
    ['A' ... 'Z'] = OBS_WORD_UPPER,
    ['['] = OBS_WORD_SPLIT,
    ['\\'] = OBS_WORD_BACK,
    [']'] = OBS_WORD_SPLIT,
    ['^'] = OBS_WORD_OTHER,
    ['_'] = OBS_WORD_LETTER,
    ['`'] = OBS_WORD_SPLIT,
    ['a' ... 'z'] = OBS_WORD_LETTER,
    ['{' ... '}'] = OBS_WORD_SPLIT,
    ['~'] = OBS_WORD_OTHER,
    [127] = OBS_WORD_SPACE,
    [128 ... 0xC1] = OBS_WORD_LETTER,
    [0xC2] = OBS_WORD_WIDE,
    [0xC3 ... 0xE1] = OBS_WORD_LETTER,
    [0xE2 ... 0xEF] = OBS_WORD_WIDE,
    [0xF0 ... 255] = OBS_WORD_LETTER,
};

/* ---- characters beyond ASCII ---- */

static uint32_t code_point(const char *p, const char *end, uint32_t *len) {
  const unsigned char *b = (const unsigned char *)p;
  size_t room = (size_t)(end - p);
  if (b[0] >= 0xE0 && room >= 3 && (b[1] & 0xC0) == 0x80 && (b[2] & 0xC0) == 0x80) {
    *len = 3;
    return (uint32_t)(b[0] & 15) << 12 | (uint32_t)(b[1] & 63) << 6 | (b[2] & 63);
  }
  if (b[0] < 0xE0 && room >= 2 && (b[1] & 0xC0) == 0x80) {
    *len = 2;
    return (uint32_t)(b[0] & 31) << 6 | (b[1] & 63);
  }
  *len = 1; /* no UTF-8: a letter like any other byte */
  return 'a';
}

/* Signs that have an ASCII character of the same use. */
static const struct {
  uint16_t code;
  char sign;
} signs[] = {{0x2013, '-'}, {0x2014, '-'}, {0x2026, '.'}, {0x2192, '>'}, {0x3001, ','}, {0x3002, '.'}, {0x3008, '<'},
             {0x3009, '>'}, {0x3010, '['}, {0x3011, ']'}, {0x3014, '['}, {0x3015, ']'}, {0x30FB, '-'}, {0x2022, '-'}};

static const struct {
  uint16_t code;
  const char *close;
} quotes[] = {{0xAB, "\xc2\xbb"},       {0x2018, "\xe2\x80\x99"}, {0x201A, "\xe2\x80\x98"},
              {0x201C, "\xe2\x80\x9d"}, {0x201E, "\xe2\x80\x9c"}, {0x2039, "\xe2\x80\xba"},
              {0x300A, "\xe3\x80\x8b"}, {0x300C, "\xe3\x80\x8d"}, {0x300E, "\xe3\x80\x8f"}};

obs_word_wide_char obs_word_wide(const char *p, const char *end) {
  obs_word_wide_char w = {.kind = OBS_WIDE_WORD};
  uint32_t c = code_point(p, end, &w.len);
  for (size_t i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++) {
    if (quotes[i].code != c) continue;
    w.kind = OBS_WIDE_QUOTE;
    w.close = quotes[i].close;
    return w;
  }
  for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
    if (signs[i].code == c) w.sign = signs[i].sign;
  }
  if (c >= 0xFF01 && c <= 0xFF5E) { /* the fullwidth forms of ASCII */
    char ascii = (char)(c - 0xFF01 + '!');
    unsigned class = obs_word_class(ascii);
    if (class == OBS_WORD_DIGIT)
      w.kind = OBS_WIDE_DIGIT;
    else if ((class & (OBS_WORD_LETTER | OBS_WORD_UPPER)) == 0)
      w.sign = ascii;
  }
  if (w.sign != 0)
    w.kind = OBS_WIDE_SIGN;
  else if (c == 0xA0 || c == 0x3000 || (c >= 0x2000 && c <= 0x200B) || c == 0x202F || c == 0xFEFF)
    w.kind = OBS_WIDE_SPACE;
  else if (w.kind == OBS_WIDE_WORD && c >= 0x2E80 && c < 0xFB00)
    w.kind = OBS_WIDE_SCRIPT; /* kana, ideographs, Hangul */
  return w;
}

/* ---- lists of words ---- */

bool obs_word_is_one_of(const char *const *list, size_t n, const char *p, size_t len) {
  char first = (char)(p[0] | 0x20); /* most words are told apart by it; the lists are in lower case */
  for (size_t i = 0; i < n; i++) {
    if (list[i][0] == first && strlen(list[i]) == len && strncasecmp(list[i], p, len) == 0) return true;
  }
  return false;
}

/* Three letters in lower case, as a number. */
#define LETTERS(a, b, c) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16)

bool obs_word_is_date(const obs_mask_token *t) {
  static const struct {
    uint32_t first;
    const char *rest;
  } names[] = {{LETTERS('m', 'o', 'n'), "day"},    {LETTERS('t', 'u', 'e'), "sday"}, {LETTERS('w', 'e', 'd'), "nesday"},
               {LETTERS('t', 'h', 'u'), "rsday"},  {LETTERS('f', 'r', 'i'), "day"},  {LETTERS('s', 'a', 't'), "urday"},
               {LETTERS('s', 'u', 'n'), "day"},    {LETTERS('j', 'a', 'n'), "uary"}, {LETTERS('f', 'e', 'b'), "ruary"},
               {LETTERS('m', 'a', 'r'), "ch"},     {LETTERS('a', 'p', 'r'), "il"},   {LETTERS('m', 'a', 'y'), ""},
               {LETTERS('j', 'u', 'n'), "e"},      {LETTERS('j', 'u', 'l'), "y"},    {LETTERS('a', 'u', 'g'), "ust"},
               {LETTERS('s', 'e', 'p'), "tember"}, {LETTERS('o', 'c', 't'), "ober"}, {LETTERS('n', 'o', 'v'), "ember"},
               {LETTERS('d', 'e', 'c'), "ember"}};
  if (t->len < 3 || t->len > 9) return false;
  uint32_t first = LETTERS(t->p[0] | 0x20, t->p[1] | 0x20, t->p[2] | 0x20);
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    if (names[i].first != first) continue;
    size_t rest = strlen(names[i].rest);
    return t->len == 3 || (t->len == 3 + rest && strncasecmp(t->p + 3, names[i].rest, rest) == 0);
  }
  return false;
}

bool obs_word_is_unit(const obs_mask_token *t) {
  static const char *const units[] = {"ns",    "us",   "ms",     "s",       "sec", "secs",   "second", "seconds",
                                      "min",   "mins", "minute", "minutes", "h",   "hr",     "hrs",    "hour",
                                      "hours", "day",  "days",   "b",       "kb",  "mb",     "gb",     "tb",
                                      "kib",   "mib",  "gib",    "tib",     "%",   "percent"};
  return t->len <= 7 && OBS_WORD_IS_ONE_OF(units, t->p, t->len);
}

bool obs_word_is_and(const obs_mask_token *t) {
  static const char *const words[] = {"and", "or", "und", "oder", "et", "ou", "y", "o"};
  return t->len <= 4 && OBS_WORD_IS_ONE_OF(words, t->p, t->len);
}

/* ---- codes and states ---- */

/* The last word of an identifier: of statusCode and exit_status, but not of barcode. */
static bool ends_with_word(const obs_mask_token *t, const char *name) {
  size_t n = strlen(name);
  if (t->len < n || strncasecmp(t->p + t->len - n, name, n) != 0) return false;
  if (t->len == n) return true;
  char before = t->p[t->len - n - 1], first = t->p[t->len - n];
  bool upper = first >= 'A' && first <= 'Z', before_upper = before >= 'A' && before <= 'Z';
  return before == '_' || before == '-' || (upper && !before_upper);
}

/* Of an identifier that ends in one of these, what stands before: exitStatus is one, keyCode and battery_status are
 * not. */
static bool is_code_of(const char *p, size_t len) {
  static const char *const kinds[] = {"error",    "err",    "exit", "status", "return", "ret",
                                      "response", "result", "http", "grpc",   "reply",  "fault"};
  while (len > 0 && (p[len - 1] == '_' || p[len - 1] == '-')) len--;
  if (len == 0) return true;
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    size_t n = strlen(kinds[i]);
    if (len >= n && strncasecmp(p + len - n, kinds[i], n) == 0) return true;
  }
  return false;
}

int obs_word_names_code(const obs_mask_token *t) {
  /* The last four letters tell nearly all words apart from them. */
  static const struct {
    char tail[4];
    const char *name;
    int kind;
  } names[] = {{"code", "code", OBS_WORD_NUMBERED},       {"atus", "status", OBS_WORD_STATUS},
               {"http", "http", OBS_WORD_STATUS},         {"rror", "error", OBS_WORD_NUMBERED},
               {"rrno", "errno", OBS_WORD_NUMBERED},      {"exit", "exit", OBS_WORD_NUMBERED},
               {"grpc", "grpc", OBS_WORD_NUMBERED},       {"gnal", "signal", OBS_WORD_SIGNAL},
               {"tate", "sqlstate", OBS_WORD_NUMBERED},   {"sult", "hresult", OBS_WORD_NUMBERED},
               {"code", "returncode", OBS_WORD_NUMBERED}, {"code", "exitcode", OBS_WORD_NUMBERED},
               {"code", "errorcode", OBS_WORD_NUMBERED},  {"code", "statuscode", OBS_WORD_STATUS},
               {"ited", "exited", OBS_WORD_NUMBERED}};
  if (t->len < 4 || t->value) return 0;
  char tail[4];
  for (int i = 0; i < 4; i++) tail[i] = (char)(t->p[t->len - 4 + i] | 0x20);
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    if (memcmp(names[i].tail, tail, 4) != 0 || !ends_with_word(t, names[i].name)) continue;
    bool any = i > 1; /* a code or a status may be of anything */
    if (any || is_code_of(t->p, t->len - strlen(names[i].name))) return names[i].kind;
  }
  return 0;
}

bool obs_word_names_state(const obs_mask_token *t) {
  static const char *const names[] = {"state",     "phase", "mode",     "reason",  "level",  "result",
                                      "condition", "stage", "severity", "outcome", "status", "code"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    if (ends_with_word(t, names[i])) return true;
  }
  return false;
}

bool obs_word_is_number(const char *p, size_t len) {
  size_t i = len > 1 && (p[0] == '-' || p[0] == '+') ? 1 : 0;
  bool hex = len > i + 2 && p[i] == '0' && (p[i + 1] | 0x20) == 'x';
  if (hex) i += 2;
  if (len == i || len > 12) return false;
  for (; i < len; i++) {
    bool digit = p[i] >= '0' && p[i] <= '9', letter = hex && (p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f';
    if (!digit && !letter) return false;
  }
  return true;
}

bool obs_word_is_method(const char *p, size_t len) {
  static const char *const names[] = {"get", "put", "post", "head", "patch", "delete", "options", "connect", "trace"};
  return len >= 3 && len <= 7 && p[0] >= 'A' && p[0] <= 'Z' && p[len - 1] >= 'A' && p[len - 1] <= 'Z' &&
         OBS_WORD_IS_ONE_OF(names, p, len);
}

/* ---- what varies ---- */

/* The last label is that of a host or a file; a longer one is that of a module or a setting: `socket.timeout`. Or the
 * first one is that of a host's name backwards, as programs are called on phones. */
static bool is_host_or_file(const char *p, size_t len) {
  static const char *const names[] = {"local",   "internal", "example", "localdomain", "localhost", "invalid",
                                      "cluster", "network",  "cloud",   "online",      "corp"};
  const char *dot = memrchr(p, '.', len);
  size_t n = len - (size_t)(dot + 1 - p);
  bool backwards =
      len > 4 && p[3] == '.' && (memcmp(p, "com", 3) == 0 || memcmp(p, "org", 3) == 0 || memcmp(p, "net", 3) == 0);
  return (n >= 2 && n <= 4 && len > 3) || (backwards && memchr(p + 4, '.', len - 4) != NULL) ||
         OBS_WORD_IS_ONE_OF(names, dot + 1, n);
}

static bool is_dashed_mac(const char *p, size_t len) {
  if (len != 17) return false;
  for (size_t i = 0; i < len; i++) {
    char c = (char)(p[i] | 0x20);
    if (i % 3 == 2 ? p[i] != '-' : c < 'a' || c > 'f') return false; /* digits are values anyway */
  }
  return true;
}

/* deadbeef: eight letters and more, all of them hex digits. */
static bool is_hex_word(const char *p, size_t len) {
  for (size_t i = 0; i < len; i++) {
    char c = (char)(p[i] | 0x20);
    if (c < 'a' || c > 'f') return false;
  }
  return len >= 8;
}

static bool is_path(const char *p, size_t len) {
  const char *first = memchr(p, '/', len);
  if (first == p && len > 1) return true;
  if (memchr(first + 1, '/', len - (size_t)(first + 1 - p)) != NULL)
    return true;                         /* three parts: `read/write` is none */
  const char *dot = memchr(p, '.', len); /* src/main.c, example.com/a; but not the end of a sentence */
  return dot != NULL && dot + 1 < p + len;
}

int obs_word_varies(const char *p, size_t len, unsigned has) {
  static const char *const nothing[] = {"null", "nil", "undefined", "nan"}; /* stand where a value would */
  if ((has & OBS_WORD_DIGIT) != 0) return OBS_WORD_VARIES;
  if ((has & ~(unsigned)(OBS_WORD_LETTER | OBS_WORD_UPPER)) == 0) /* most words */
    return (len >= 8 && is_hex_word(p, len)) ||
                   (len <= 9 && (p[0] | 0x20) == 'n' && OBS_WORD_IS_ONE_OF(nothing, p, len)) ||
                   (len == 9 && OBS_WORD_IS_ONE_OF(nothing, p, len))
               ? OBS_WORD_VARIES
               : 0;
  if ((has & OBS_WORD_SLASH) != 0 && is_path(p, len)) return OBS_WORD_VARIES;
  if ((has & OBS_WORD_BACK) != 0 && len > 2) return OBS_WORD_VARIES; /* a path of Windows, or DOMAIN\user */
  if ((has & OBS_WORD_AT) != 0 && len > 2 && memchr(p + 1, '@', len - 2) != NULL) return OBS_WORD_VARIES;
  if ((has & OBS_WORD_OTHER) != 0 && (memmem(p, len, "***", 3) != NULL || is_dashed_mac(p, len)))
    return OBS_WORD_VARIES;
  if ((has & (OBS_WORD_UPPER | OBS_WORD_SLASH | OBS_WORD_AT)) == 0 && (has & OBS_WORD_DOT) != 0) {
    size_t n = p[len - 1] == '.' ? len - 1 : len; /* the dot at the end of a sentence is no part of it */
    if (p[0] != '.' && memchr(p, '.', n) != NULL && memmem(p, n, "..", 2) == NULL && is_host_or_file(p, n))
      return OBS_WORD_SOFT;
  }
  return 0;
}

/* ---- quotations and addresses ---- */

static bool is_wordly(char c) {
  return (obs_word_class(c) & (OBS_WORD_LETTER | OBS_WORD_UPPER | OBS_WORD_DIGIT)) != 0;
}

const char *obs_word_quote_end(const char *p, const char *end, bool glued) {
  if (glued && *p == '\'' && is_wordly(p[-1])) return NULL;
  size_t n = (size_t)(end - p) - 1;
  if (*p == '\'' && n > QUOTED_MAX) n = QUOTED_MAX;
  for (const char *q = p + 1; (q = memchr(q, *p, n - (size_t)(q - p - 1))) != NULL; q++) {
    if (q == p + 1 && q + 1 < end && (q[1] == *p || glued)) return NULL;
    bool ends = (q + 1 == end || !is_wordly(q[1])) && q[-1] != '\\';
    if (ends) return q;
  }
  if (*p != '`') return NULL;
  const char *q = memchr(p + 1, '\'', n < QUOTED_MAX ? n : QUOTED_MAX); /* `as it was done once' */
  return q != NULL && q > p + 1 && (q + 1 == end || !is_wordly(q[1])) ? q : NULL;
}

bool obs_word_is_hex(char c) {
  char l = (char)(c | 0x20);
  return (c >= '0' && c <= '9') || (l >= 'a' && l <= 'f');
}

const char *obs_word_address_end(const char *p, const char *end) {
  size_t groups = 0, pairs = 0, colons = 0, doubles = 0, digits = 0, full = 0;
  const char *q = p;
  while (q < end) {
    const char *begin = q;
    while (q < end && obs_word_is_hex(*q)) digits += *q >= '0' && *q <= '9', q++;
    size_t n = (size_t)(q - begin);
    if (n > 4) return NULL;
    groups += n > 0;
    pairs += n == 2;
    full += n == 4;
    if (q >= end || *q != ':') break;
    if (n == 0 && colons > 0 && q[-1] != ':') return NULL;
    q++;
    colons++;
    if (q < end && *q == ':') {
      q++;
      colons++;
      doubles++;
    }
  }
  if (q < end && *q == '.' && groups > 0 && colons > 1) { /* ::ffff:10.0.0.1 */
    while (q < end && ((*q >= '0' && *q <= '9') || *q == '.')) q++;
    if (q[-1] == '.') q--;
  }
  if (colons < 2 || doubles > 1) return NULL;
  if (q[-1] == ':' && q[-2] != ':') { /* `::1: refused` */
    q--;
    colons--;
  }
  if (q < end && *q == '%') {
    while (q < end && (is_wordly(*q) || *q == '%')) q++;
  }
  if (q < end && *q == '/' && q + 1 < end && q[1] >= '0' && q[1] <= '9') {
    for (q++; q < end && *q >= '0' && *q <= '9';) q++;
  }
  if (q < end && is_wordly(*q)) return NULL;
  bool v6 = doubles == 1 ? digits > 0 || full == groups : colons == 7;
  bool hardware = doubles == 0 && pairs == groups && groups >= 6;
  return v6 || hardware ? q : NULL;
}

/* ---- hashes ---- */

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

/* Words are the same with and without the dot of a sentence, in singular and plural. */
uint32_t obs_word_hash(const obs_mask_token *t) {
  if (t->value) return 1;
  if (t->sign != 0) return 2 + (uint32_t)(unsigned char)t->sign;
  size_t len = t->len;
  while (len > 1 && t->p[len - 1] == '.') len--;
  if (len > 3 && t->p[len - 1] == 's' && strchr("sui", t->p[len - 2]) == NULL) len--;
  return hash_bytes(t->p, len);
}
