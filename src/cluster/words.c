#include "cluster/words.h"

#include <strings.h>

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

static bool is_one_of(const char *const *list, size_t n, const char *p, size_t len) {
  char first = (char)(p[0] | 0x20); /* most words are told apart by it; the lists are in lower case */
  for (size_t i = 0; i < n; i++) {
    if (list[i][0] == first && strlen(list[i]) == len && strncasecmp(list[i], p, len) == 0) return true;
  }
  return false;
}
#define IS_ONE_OF(list, p, len) is_one_of(list, sizeof(list) / sizeof((list)[0]), p, len)

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
  return t->len <= 7 && IS_ONE_OF(units, t->p, t->len);
}

bool obs_word_is_and(const obs_mask_token *t) {
  static const char *const words[] = {"and", "or", "und", "oder", "et", "ou", "y", "o"};
  return t->len <= 4 && IS_ONE_OF(words, t->p, t->len);
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

int obs_word_names_code(const obs_mask_token *t) {
  /* The last four letters tell nearly all words apart from them. */
  static const struct {
    char tail[4];
    const char *name;
    int kind;
  } names[] = {{"code", "code", OBS_WORD_NUMBERED},       {"atus", "status", OBS_WORD_STATUS},
               {"http", "http", OBS_WORD_STATUS},         {"rror", "error", OBS_WORD_NUMBERED},
               {"rrno", "errno", OBS_WORD_NUMBERED},      {"exit", "exit", OBS_WORD_NUMBERED},
               {"grpc", "grpc", OBS_WORD_NUMBERED},       {"gnal", "signal", OBS_WORD_NUMBERED},
               {"tate", "sqlstate", OBS_WORD_NUMBERED},   {"sult", "hresult", OBS_WORD_NUMBERED},
               {"code", "returncode", OBS_WORD_NUMBERED}, {"code", "exitcode", OBS_WORD_NUMBERED},
               {"code", "errorcode", OBS_WORD_NUMBERED},  {"code", "statuscode", OBS_WORD_STATUS},
               {"ited", "exited", OBS_WORD_NUMBERED}};
  if (t->len < 4 || t->value) return 0;
  char tail[4];
  for (int i = 0; i < 4; i++) tail[i] = (char)(t->p[t->len - 4 + i] | 0x20);
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    if (memcmp(names[i].tail, tail, 4) == 0 && ends_with_word(t, names[i].name)) return names[i].kind;
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
         IS_ONE_OF(names, p, len);
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
         IS_ONE_OF(names, dot + 1, n);
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
static bool is_hex(const char *p, size_t len) {
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
    return (len >= 8 && is_hex(p, len)) || (len <= 9 && (p[0] | 0x20) == 'n' && IS_ONE_OF(nothing, p, len)) ||
                   (len == 9 && IS_ONE_OF(nothing, p, len))
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

/* ---- for the miner ---- */

/* Each pair is a difference that matters. */
static const char *const opposites[] = {
    "start",     "stop",      "started",   "stopped",    "starting",     "stopping",  "open",     "close",
    "opened",    "closed",    "opening",   "closing",    "allow",        "deny",      "allowed",  "denied",
    "accept",    "reject",    "accepted",  "rejected",   "refused",      "success",   "failure",  "succeeded",
    "failed",    "up",        "down",      "on",         "off",          "enable",    "disable",  "enabled",
    "disabled",  "connect",   "connected", "disconnect", "disconnected", "true",      "false",    "startup",
    "shutdown",  "login",     "logout",    "added",      "removed",      "enter",     "exit",     "entering",
    "leaving",   "begin",     "end",       "online",     "offline",      "yes",       "no",       "read",
    "write",     "send",      "receive",   "sent",       "received",     "acquired",  "released", "valid",
    "invalid",   "known",     "unknown",   "created",    "deleted",      "attached",  "detached", "mounted",
    "unmounted", "locked",    "unlocked",  "passed",     "granted",      "revoked",   "lost",     "restored",
    "not",       "timeout",   "full",      "empty",      "healthy",      "unhealthy", "pass",     "fail",
    "active",    "inactive",  "push",      "pull",       "upload",       "download",  "create",   "delete",
    "add",       "remove",    "lock",      "unlock",     "insert",       "update",    "reading",  "writing",
    "sending",   "receiving", "minimum",   "maximum",
};

bool obs_word_has_opposite(const obs_mask_token *t) {
  return IS_ONE_OF(opposites, t->p, t->len);
}

bool obs_word_is_label(const obs_mask_token *t) {
  static const char *const classes[] = {"Error", "Exception", "Fault", "Failure", "Warning"};
  size_t upper = 0, lower = 0;
  for (uint16_t i = 0; i < t->len; i++) {
    upper += t->p[i] >= 'A' && t->p[i] <= 'Z';
    lower += (unsigned char)t->p[i] >= 'a';
  }
  if (upper >= 2 && lower == 0) return true;
  for (size_t i = 0; upper > 0 && i < sizeof(classes) / sizeof(classes[0]); i++) {
    size_t n = strlen(classes[i]);
    if (t->len > n && memcmp(t->p + t->len - n, classes[i], n) == 0) return true;
  }
  return false;
}

/* Of data; which one was expected or found is a value. */
static bool is_data_type(const obs_mask_token *t) {
  static const char *const names[] = {"integer", "int",     "string",   "str",        "boolean", "bool",
                                      "number",  "float",   "double",   "list",       "array",   "object",
                                      "dict",    "map",     "tuple",    "dictionary", "date",    "bytes",
                                      "long",    "decimal", "datetime", "set",        "uuid",    "url"};
  return IS_ONE_OF(names, t->p, t->len);
}

/* Words behind which a capital begins a name rather than a sentence. */
static bool is_before_name(const obs_mask_token *t) {
  static const char *const words[] = {"for", "of", "in", "to", "from", "by", "near", "with", "at", "on", "the"};
  return !t->value && t->word && IS_ONE_OF(words, t->p, t->len);
}

/* What has a name, which stands right behind: `user alice`. */
static bool has_name(const obs_mask_token *t) {
  static const char *const things[] = {
      "user",   "agent",   "tool",      "container", "pod",      "node",      "host",    "server",    "service",
      "model",  "project", "table",     "column",    "field",    "function",  "method",  "queue",     "topic",
      "bucket", "role",    "group",     "worker",    "database", "device",    "city",    "customer",  "plugin",
      "module", "package", "partition", "shard",     "cluster",  "namespace", "account", "collection"};
  return !t->value && t->word && IS_ONE_OF(things, t->p, t->len);
}

/* A verb or an adjective, which is no name: it says what became of the thing. */
static bool is_said_of(const obs_mask_token *t) {
  static const char *const verbs[] = {"is",  "was",   "has",  "had",   "does", "did",
                                      "can", "could", "will", "would", "may",  "must"};
  const char *end = t->p + t->len;
  return IS_ONE_OF(verbs, t->p, t->len) ||
         (t->len > 4 && (memcmp(end - 2, "ed", 2) == 0 || memcmp(end - 3, "ing", 3) == 0));
}

bool obs_word_is_name(const obs_mask_token *t, const obs_mask_token *before) {
  bool capital = t->p[0] >= 'A' && t->p[0] <= 'Z';
  if (is_data_type(t) || (capital && before != NULL && is_before_name(before))) return true;
  if (before != NULL && has_name(before) && !is_said_of(t)) return true;
  for (uint16_t i = 1; i + 1 < t->len; i++) {
    if (strchr("_./*@", t->p[i]) != NULL) return true;
    bool upper = t->p[i] >= 'A' && t->p[i] <= 'Z', after_lower = t->p[i - 1] >= 'a' && t->p[i - 1] <= 'z';
    if (upper && after_lower) return true;
  }
  return false;
}
