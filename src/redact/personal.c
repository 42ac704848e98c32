/* Personal data: e-mail addresses, card and phone numbers. */
#include "redact/internal.h"
#include "redact/token.h"

#include <strings.h>

static bool found(obs_redact_match *out, uint8_t kind, size_t at, size_t end) {
  *out = (obs_redact_match){at, end, kind};
  return true;
}

static bool is_of(const char *set, char c) {
  return c != '\0' && strchr(set, c) != NULL;
}

/* A letter or a digit of any script; of what is beyond ASCII, all but the punctuation of Latin-1, General Punctuation
 * and its like, and that of CJK. */
static bool is_word_byte(const obs_redact_scan *s, size_t i) {
  const uint8_t *p = (const uint8_t *)s->p;
  size_t first = i;
  if (p[i] < 0x80) return obs_redact_is_alnum(s->p[i]);
  while (first > 0 && i - first < 3 && (p[first] & 0xc0) == 0x80) first--;
  return p[first] != 0xc2 && p[first] != 0xe2 && !(p[first] == 0xe3 && first + 1 < s->n && p[first + 1] == 0x80);
}

/* A word goes on, or begins, at `i`; a token is one. */
static bool is_word_at(const obs_redact_scan *s, size_t i) {
  return i < s->n && (is_word_byte(s, i) || obs_redact_token(s->p + i, s->n - i) > 0);
}

static bool is_digit_at(const obs_redact_scan *s, size_t i) {
  return i < s->n && obs_redact_is_digit(s->p[i]);
}

/* ---- e-mail addresses ---- */

/* Ends of names that are no domains: of files, and of units of systemd. */
static bool is_other_end(const char *p, size_t n) {
  static const char *const ends[] = {"png",  "jpg",   "jpeg",  "gif",    "webp",    "svg",   "css",    "js",
                                     "json", "html",  "xml",   "yaml",   "yml",     "log",   "txt",    "jar",
                                     "java", "so",    "py",    "class",  "service", "timer", "socket", "mount",
                                     "path", "slice", "scope", "target", "device",  "text"};
  for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
    if (strlen(ends[i]) == n && strncasecmp(ends[i], p, n) == 0) return true;
  }
  return false;
}

/* The domain from `at` on: names with dots between them, the last one of letters. 0: none; else where it ends. */
static size_t domain_end(const obs_redact_scan *s, size_t at) {
  size_t i = at, last = 0, good = 0;
  bool letters = true, dotted = false, wide = false;
  for (last = i; i <= s->n; i++) {
    char c = i < s->n ? s->p[i] : '\0';
    if (i < s->n && (c == '-' || is_word_byte(s, i))) {
      letters = letters && c != '-' && !obs_redact_is_digit(c);
      wide = wide || (unsigned char)c >= 0x80;
      continue;
    }
    if (i == last) break; /* two dots, or one at the begin */
    if (dotted && letters && i - last >= 2 && (wide || i - last <= 24) && !is_other_end(s->p + last, i - last))
      good = i;
    if (dotted && !(letters && i - last >= 2) && c != '.') good = 0;
    if (c != '.') break;
    dotted = letters = true;
    wide = false;
    last = i + 1;
  }
  return good;
}

/* `sign` bytes at `at` are the @, or its escape in a URL. */
static bool find_address(const obs_redact_scan *s, size_t at, size_t sign, uint8_t kind, obs_redact_match *out) {
  enum { LOCAL = 64 };
  size_t begin = at;
  while (begin > s->from && at - begin < LOCAL && (is_word_byte(s, begin - 1) || is_of("._%+'-", s->p[begin - 1])))
    begin--;
  while (begin < at && is_of(".%'-", s->p[begin])) begin++;
  if (begin == at || s->p[at - 1] == '.') return false;
  for (size_t i = at - 1; i > begin && !s->raw; i--) {
    if (obs_redact_ends_escape(s, i)) begin = i;
  }
  if (at - begin == 3 && memcmp(s->p + begin, "git", 3) == 0 && !s->raw) return false; /* git@github.com:... */
  if (at + sign >= s->n || !is_word_byte(s, at + sign)) return false;
  size_t end = domain_end(s, at + sign);
  return s->raw || (end > 0 && found(out, kind, begin, end));
}

static bool find_email(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  return find_address(s, at, 1, row->kind, out);
}

/* alice%40example.com, in a URL. */
static bool find_escaped_email(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  return find_address(s, at, 3, row->kind, out);
}

/* ---- numbers ---- */

/* Digits with single separators between them. */
typedef struct {
  size_t at, end;
  uint8_t n, groups;
  uint8_t group[8]; /* digits of each; groups beyond are not told apart */
  char digits[20];
  char separator; /* between them; 0: none, or several */
  bool long_run;  /* more digits than any number has */
} number;

static number read_number(const obs_redact_scan *s, size_t at, const char *separators) {
  number x = {.at = at, .groups = 1};
  bool mixed = false;
  size_t i = at;
  for (; i < s->n; i++) {
    char c = s->p[i];
    if (obs_redact_is_digit(c)) {
      if (x.n == sizeof(x.digits)) {
        x.long_run = true;
        break;
      }
      x.digits[x.n++] = c;
      if (x.groups <= sizeof(x.group)) x.group[x.groups - 1]++;
      x.end = i + 1;
      continue;
    }
    if (!is_of(separators, c) || !is_digit_at(s, i + 1)) break;
    mixed = mixed || (x.separator != 0 && x.separator != c);
    x.separator = c;
    x.groups++;
  }
  if (mixed) x.separator = 0;
  return x;
}

/* Nothing that makes an id, a path, a version or a decimal of it stands around. */
static bool stands_alone(const obs_redact_scan *s, size_t at, size_t end) {
  bool before =
      at == s->from || obs_redact_ends_escape(s, at) || !(is_word_byte(s, at - 1) || is_of("_-./:#+@", s->p[at - 1]));
  bool after = end == s->n ||
               !(is_word_at(s, end) || is_of("_-/:@%", s->p[end]) || (s->p[end] == '.' && is_word_at(s, end + 1)));
  return before && after;
}

static bool is_luhn(const char *digits, size_t n) {
  unsigned sum = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned d = (unsigned)(digits[n - 1 - i] - '0') << (i & 1);
    sum += d > 9 ? d - 9 : d;
  }
  return sum % 10 == 0;
}

static bool is_card(const number *x) {
  static const struct {
    uint16_t first, last; /* of the first four digits */
    uint32_t lengths;     /* a bit each */
  } issuers[] = {{4000, 4999, 1u << 13 | 1u << 16 | 1u << 19},
                 {5100, 5599, 1u << 16},
                 {2221, 2720, 1u << 16},
                 {3400, 3499, 1u << 15},
                 {3700, 3799, 1u << 15},
                 {6011, 6011, 1u << 16},
                 {6440, 6599, 1u << 16},
                 {3000, 3059, 1u << 14},
                 {3600, 3699, 1u << 14},
                 {3800, 3999, 1u << 14},
                 {3528, 3589, 1u << 16},
                 {6200, 6299, 1u << 16 | 1u << 17 | 1u << 18 | 1u << 19}};
  if (x->n < 13 || x->n > 19 || x->long_run) return false;
  bool grouped = x->groups == 1 || (x->separator != 0 && x->groups >= 3 && x->groups <= 5 && x->group[0] == 4);
  unsigned head = 0;
  for (size_t i = 0; i < 4; i++) head = head * 10 + (unsigned)(x->digits[i] - '0');
  for (size_t i = 0; grouped && i < sizeof(issuers) / sizeof(issuers[0]); i++) {
    if (head >= issuers[i].first && head <= issuers[i].last && (issuers[i].lengths & 1u << x->n) != 0)
      return is_luhn(x->digits, x->n);
  }
  return false;
}

/* As in North America: no area and no exchange begins with 0 or 1. */
static bool is_nanp(const char *ten) {
  return ten[0] >= '2' && ten[3] >= '2';
}

/* `Phone: `, `call `: a word for a phone stands before the number. */
static bool is_called_phone(const obs_redact_scan *s, size_t at) {
  /* Not `call` or `cell`, which have numbers of their own. */
  static const char *const words[] = {"phone", "tel", "telefon", "telephone", "mobile", "handy", "fax", "whatsapp"};
  enum { BETWEEN = 6 };
  size_t i = at;
  if (at == s->from || (unsigned char)s->p[at - 1] > '\\') return false; /* most numbers stand behind a letter */
  while (i > s->from && at - i < BETWEEN && is_of(" .:=\"'\\", s->p[i - 1])) i--;
  for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
    size_t n = strlen(words[k]);
    if (i >= s->from + n && strncasecmp(s->p + i - n, words[k], n) == 0 && obs_redact_begins(s, i - n)) return i < at;
  }
  return false;
}

/* 415-555-0100, 415.555.0100; behind a word for it also what a country's own form may be. */
static bool is_national(const obs_redact_scan *s, const number *x) {
  bool american = x->n == 10 && is_nanp(x->digits);
  if (american && x->groups == 3 && x->group[0] == 3 && x->group[1] == 3 &&
      (x->separator == '-' || x->separator == '.'))
    return true;
  if (!is_called_phone(s, x->at)) return false;
  return american || (x->digits[0] == '0' && x->digits[1] != '0' && x->n >= 9 && x->n <= 12);
}

/* 415-555-0100 stands at `at`, whatever is around it. */
static bool is_american_form(const obs_redact_scan *s, size_t at) {
  static const char form[] = "ddd-ddd-dddd";
  if (at + sizeof(form) - 1 > s->n || !is_of("-.", s->p[at + 3])) return false;
  for (size_t i = 0; i < sizeof(form) - 1; i++) {
    if (form[i] == 'd' ? !is_digit_at(s, at + i) : !is_of("-.", s->p[at + i])) return false;
  }
  return true;
}

/* In a raw scan digits before and behind a number may belong to something else: to the length of its string, to what
 * comes after it. */
static bool may_be_number(const obs_redact_scan *s, size_t at) {
  enum { CARD_MIN = 13, LENGTH_BYTES = 4 };
  for (size_t i = at; i <= at + LENGTH_BYTES && is_digit_at(s, i); i++) {
    if (is_american_form(s, i)) return true;
  }
  if (is_called_phone(s, at)) return true;
  number x = read_number(s, at, " -");
  return x.n >= CARD_MIN || x.long_run;
}

/* A run of digits begins at `at`. */
static bool find_number(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  (void)row;
  if (s->raw) return may_be_number(s, at);
  if (at > s->from && obs_redact_is_digit(s->p[at - 1])) return false; /* in its middle */
  number x = read_number(s, at, " -");
  if (stands_alone(s, x.at, x.end) && is_card(&x)) return found(out, OBS_REDACT_CARD, x.at, x.end);
  x = read_number(s, at, " -./");
  if (!x.long_run && x.n >= 9 && x.n <= 12 && is_national(s, &x) && stands_alone(s, x.at, x.end))
    return found(out, OBS_REDACT_PHONE, x.at, x.end);
  return false;
}

/* (415) 555-0100 */
static bool find_area(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  size_t i = at + 4; /* behind the digits of the area */
  char ten[10];
  if (i >= s->n || s->p[i] != ')') return false;
  i++;
  if (i < s->n && s->p[i] == ' ') i++;
  number x = read_number(s, i, "-. ");
  bool form = is_digit_at(s, i) && x.n == 7 && x.groups == 2 && x.group[0] == 3;
  if (s->raw) return x.n >= 7;
  if (!form || (at > s->from && is_word_byte(s, at - 1) && !obs_redact_ends_escape(s, at)) || is_word_at(s, x.end))
    return false;
  memcpy(ten, s->p + at + 1, 3);
  memcpy(ten + 3, x.digits, 7);
  return is_nanp(ten) && found(out, row->kind, at, x.end);
}

/* +49 30 901820, +1 (415) 555-0100: a plus sign, and 8 to 15 digits. */
static bool find_international(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  enum { LEAST = 8, MOST = 15, UNBROKEN = 10 };
  char digits[MOST + 1];
  size_t n = 0, end = at + 1;
  bool broken = false;
  for (size_t i = at + 1; i < s->n && n <= MOST; i++) {
    char c = s->p[i];
    if (obs_redact_is_digit(c)) {
      digits[n++] = c; /* one more than MOST fits */
      end = i + 1;
    } else if (is_of(" -./()", c) && i + 1 < s->n && (is_digit_at(s, i + 1) || is_of(" (", s->p[i + 1]) || c == '(')) {
      broken = true;
      if (i - end > 2) break;
    } else {
      break;
    }
  }
  if (s->raw) return n >= LEAST;
  bool before =
      at == s->from || obs_redact_ends_escape(s, at) || !(is_word_byte(s, at - 1) || is_of("_+-./", s->p[at - 1]));
  bool after = end == s->n || !(is_word_at(s, end) || s->p[end] == '_');
  if (!before || !after || n < (broken ? LEAST : UNBROKEN) || n > MOST || digits[0] == '0') return false;
  if (digits[0] == '1' && (n != 11 || !is_nanp(digits + 1))) return false;
  return found(out, row->kind, at, end);
}

const obs_redact_row obs_redact_personal_rows[] = {
    {.literal = "@\2\2", .all = true, .kind = OBS_REDACT_EMAIL, .find = find_email},
    {.literal = "%40", .all = true, .kind = OBS_REDACT_EMAIL, .find = find_escaped_email},
    {.literal = "+\1\2", .all = true, .kind = OBS_REDACT_PHONE, .find = find_international},
    {.literal = "+(\1", .all = true, .kind = OBS_REDACT_PHONE, .find = find_international},
    {.literal = "(\1\1", .all = true, .kind = OBS_REDACT_PHONE, .find = find_area},
    {.literal = "\1\1\1", .all = true, .kind = OBS_REDACT_CARD, .find = find_number},
    {.literal = "\1\1 ", .all = true, .kind = OBS_REDACT_PHONE, .find = find_number},
    {.literal = "\1\1.", .all = true, .kind = OBS_REDACT_PHONE, .find = find_number},
};
const size_t obs_redact_personal_count = sizeof(obs_redact_personal_rows) / sizeof(obs_redact_personal_rows[0]);
