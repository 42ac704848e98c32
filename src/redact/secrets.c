/* Secrets: how each is found. One row a thing that a secret begins with or stands behind. */
#include "redact/internal.h"
#include "redact/token.h"

#include <strings.h>

enum { AUTH_MIN = 8, BEARER_MIN = 16, PEM_MIN = 16, NAME_LONGEST = 40, AWS_LENGTH = 40 };

/* ---- what the finders share ---- */

static bool is_of(const char *set, char c) {
  return c != '\0' && strchr(set, c) != NULL;
}

static bool are_hex(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!obs_redact_is_hex(p[i])) return false;
  }
  return true;
}

/* \n, \x0a and \u000a, as they stand in JSON inside a string and in what programs print of their strings; %20 of a URL;
 * the end of a terminal's colour, ESC [ 3 1 m. */
bool obs_redact_ends_escape(const obs_redact_scan *s, size_t at) {
  enum { COLOUR = 12 };
  size_t n = at - s->from, i = at - 1;
  const char *end = s->p + at;
  if (n >= 2 && end[-2] == '\\' && is_of("abefnrtv0", end[-1])) return true;
  if (n >= 3 && end[-3] == '%' && are_hex(end - 2, 2)) return true;
  if (n >= 4 && end[-4] == '\\' && end[-3] == 'x' && are_hex(end - 2, 2)) return true;
  if (n >= 6 && end[-6] == '\\' && end[-5] == 'u' && are_hex(end - 4, 4)) return true;
  if (n < 2 || end[-1] != 'm') return false;
  while (i > s->from && at - i < COLOUR && (obs_redact_is_digit(s->p[i - 1]) || s->p[i - 1] == ';')) i--;
  return i > s->from && s->p[i - 1] == '[';
}

bool obs_redact_begins(const obs_redact_scan *s, size_t at) {
  if (at == s->from || !obs_redact_is_alnum(s->p[at - 1]) || obs_redact_ends_escape(s, at)) return true;
  if (!s->raw && !s->loose) return false;
  /* The letter or digit may be of an escape, \n or \u000a, or of the length of a string in msgpack. */
  for (size_t i = at; i-- > s->from && at - i <= 6;) {
    if (s->p[i] == '\\' || (unsigned char)s->p[i] >= 0x80) return true;
  }
  return false;
}

static bool ends_url(char c) {
  return (unsigned char)c <= ' ' || is_of("\"'<>`|^", c);
}

static bool is_in_run(obs_redact_run_kind kind, char c) {
  static const struct {
    const char *also;
    bool inverted;
  } kinds[] = {
#define KIND(name, also, inverted) {also, inverted},
      OBS_REDACT_RUNS(KIND)
#undef KIND
  };
  if (kinds[kind].inverted) return (unsigned char)c > ' ' && !is_of(kinds[kind].also, c);
  return obs_redact_is_alnum(c) || is_of(kinds[kind].also, c);
}

size_t obs_redact_run(const obs_redact_scan *s, size_t at, obs_redact_run_kind kind) {
  size_t *known = &s->memo->runs[kind].at, *known_end = &s->memo->runs[kind].end, i = at;
  if (at >= *known && at < *known_end) return *known_end - at;
  size_t stop = at < *known ? *known : s->n;
  while (i < stop && is_in_run(kind, s->p[i])) i++;
  if (i == *known && at < *known) i = *known_end; /* it leads into the one that is known */
  if (i >= *known_end) {
    *known = at;
    *known_end = i;
  }
  return i - at;
}

static bool found(obs_redact_match *out, uint8_t kind, size_t at, size_t end) {
  *out = (obs_redact_match){at, end, kind};
  return true;
}

static bool has_digit(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (obs_redact_is_digit(p[i])) return true;
  }
  return false;
}

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind a name: `: `, `=`, `": "`, `\": \"`, ` => `. Where the value begins; `at` when nothing separates. */
static size_t skip_separator(const obs_redact_scan *s, size_t at) {
  size_t i = at;
  bool separates = false;
  for (; i < s->n && is_of(" \t\"'\\:=>,", s->p[i]); i++) {
    separates = separates || s->p[i] == ':' || s->p[i] == '=' || s->p[i] == ',';
    if (i - at > 12) return at;
  }
  return separates ? i : at;
}

/* ---- keys of providers ---- */

/* The literal, then a run. */
static bool find_key(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  if (!obs_redact_begins(s, at)) return false;
  size_t head = strlen(row->literal), run = obs_redact_run(s, at + head, row->run), end = at + head + run;
  bool whole = run >= row->min;
  if (row->exact && run > row->min && is_of("-_", s->p[at + head + row->min])) end = at + head + row->min;
  bool cut = row->cut && run < row->min && run >= row->min / 2 && run >= AUTH_MIN && (end == s->n || s->raw);
  return (whole || cut) && found(out, row->kind, at, end);
}

/* The same with digits in it, and a run without a hyphen: `sk-` begins words as well. */
static bool find_sk_key(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  if (at < s->memo->no_sk_key || !find_key(s, at, row, out)) return false;
  size_t longest = 0, run = 0;
  for (size_t i = at + 3; i < out->end; i++) {
    run = s->p[i] == '-' ? 0 : run + 1;
    if (run > longest) longest = run;
  }
  if (s->raw || (longest >= row->min && has_digit(s->p + at, out->end - at))) return true;
  s->memo->no_sk_key = out->end; /* what is not in all of the run is not in its end either */
  return false;
}

/* https://hooks.slack.com/services/T000/B000/xxxx: who knows the path may post. */
static bool find_hook(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  size_t begin = at + strlen(row->literal), run = obs_redact_run(s, begin, OBS_REDACT_RUN_HOOK);
  return run >= row->min && found(out, row->kind, begin, begin + run);
}

/* `AccountKey=`, of Azure's connection strings. */
static bool find_account_key(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  enum { LEAST = 40 };
  size_t begin = at + strlen(row->literal), run = obs_redact_run(s, begin, OBS_REDACT_RUN_ACCOUNT_KEY);
  return run >= LEAST && found(out, row->kind, begin, begin + run);
}

/* ---- AWS ---- */

/* Of just that length, behind the name. In a raw scan the value may be anywhere near. */
static bool find_aws_secret(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  size_t end = at + strlen(row->literal), begin = skip_separator(s, end);
  if (s->raw) return found(out, row->kind, at, end);
  return begin > end && obs_redact_run(s, begin, OBS_REDACT_RUN_AWS_SECRET) == AWS_LENGTH &&
         found(out, row->kind, begin, begin + AWS_LENGTH);
}

/* ---- tokens and headers ---- */

static bool find_jwt(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  enum { HEADER = 10, PAYLOAD = 8 };
  if (!obs_redact_begins(s, at)) return false;
  size_t header = obs_redact_run(s, at, OBS_REDACT_RUN_JWT_HEADER), end = at + header;
  if (header < HEADER || end >= s->n || s->p[end] != '.') return false;
  size_t payload = obs_redact_run(s, end + 1, OBS_REDACT_RUN_JWT_PAYLOAD);
  if (payload < PAYLOAD) return false;
  end += 1 + payload;
  for (int more = 0; more < 3 && end < s->n && s->p[end] == '.'; more++) { /* a signature; an encrypted one has three */
    size_t run = obs_redact_run(s, end + 1, OBS_REDACT_RUN_JWT_MORE);
    if (run == 0) break;
    end += 1 + run;
  }
  return found(out, row->kind, at, end);
}

static int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (obs_redact_is_digit(c)) return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  return c == '/' || c == '_' ? 63 : -1;
}

/* Base64 of `user:password`, as far as it goes. */
static bool is_basic(const char *p, size_t n) {
  uint32_t bits = 0, have = 0;
  bool colon = false;
  for (size_t i = 0; i < n && p[i] != '='; i++) {
    bits = bits << 6 | (uint32_t)base64_digit(p[i]);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    unsigned char c = (unsigned char)(bits >> have);
    if (c < ' ' || c == 127) return false;
    colon = colon || c == ':';
  }
  return colon;
}

/* Words, and numbers beside them: `authentication-failed-1`, `policy-12345`. */
static bool is_phrase(const char *p, size_t n) {
  bool separated = false;
  for (size_t i = 1; i < n; i++) {
    bool word = obs_redact_is_alnum(p[i]), before = obs_redact_is_alnum(p[i - 1]);
    if (p[i] >= 'A' && p[i] <= 'Z' && before) return false;
    if (word && before && obs_redact_is_digit(p[i]) != obs_redact_is_digit(p[i - 1])) return false;
    if (!word && p[i] != '-' && p[i] != '_' && p[i] != '.') return false;
    separated = separated || !word;
  }
  return separated;
}

/* What stands in the place of a credential where there is none: `Bearer token`, `Bearer authentication failed`. */
static bool is_credential(const char *p, size_t n, size_t min) {
  return n >= min || (n >= AUTH_MIN && has_digit(p, n));
}

static size_t skip_spaces(const obs_redact_scan *s, size_t at) {
  while (at < s->n && (s->p[at] == ' ' || s->p[at] == '\t' || s->p[at] == '+')) at++;
  return at;
}

/* A quote before the credential, which may be escaped. */
static size_t skip_quote(const obs_redact_scan *s, size_t at) {
  size_t i = at;
  while (i < s->n && i - at < 3 && s->p[i] == '\\') i++;
  return i < s->n && (s->p[i] == '"' || s->p[i] == '\'') ? i + 1 : at;
}

/* A key that has its own kind keeps it, so that it has one token with and without the header. */
static bool is_key(const obs_redact_scan *s, size_t at, size_t n, obs_redact_match *out);

/* The credential at `begin`, which is said to be one. */
static bool take_credential(const obs_redact_scan *s, size_t begin, size_t min, uint8_t kind, obs_redact_match *out) {
  size_t run = obs_redact_run(s, begin, OBS_REDACT_RUN_CREDENTIAL);
  while (run > 0 && is_of(".:,", s->p[begin + run - 1])) run--; /* of the sentence */
  if (!is_credential(s->p + begin, run, min)) return false;
  return is_key(s, begin, run, out) || found(out, kind, begin, begin + run);
}

static bool find_bearer(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  if (!obs_redact_begins(s, at)) return false;
  size_t end = at + strlen(row->literal), begin = skip_quote(s, skip_spaces(s, end));
  size_t run = obs_redact_run(s, begin, OBS_REDACT_RUN_CREDENTIAL);
  if (s->raw) return run >= AUTH_MIN && found(out, row->kind, at, end);
  if (is_phrase(s->p + begin, run)) return false;
  return take_credential(s, begin, BEARER_MIN, row->kind, out);
}

static bool find_basic(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  if (!obs_redact_begins(s, at)) return false;
  size_t end = at + strlen(row->literal), begin = skip_spaces(s, end),
         run = obs_redact_run(s, begin, OBS_REDACT_RUN_BASIC);
  if (run < 4 || !(s->raw || is_basic(s->p + begin, run))) return false;
  return found(out, row->kind, begin, begin + run);
}

/* A scheme before the credential of an Authorization header, and the space behind it. */
static size_t skip_scheme(const obs_redact_scan *s, size_t at) {
  static const char *const schemes[] = {"bearer", "basic", "token", "apikey", "api-key", "key", "digest", "negotiate"};
  for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
    size_t n = strlen(schemes[i]);
    if (s->n - at <= n || strncasecmp(s->p + at, schemes[i], n) != 0 || !is_of(" \t", s->p[at + n])) continue;
    return skip_spaces(s, at + n);
  }
  return at;
}

static bool find_authorization(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  size_t end = at + strlen(row->literal), begin = skip_separator(s, end);
  if (s->raw) /* in msgpack something else separates */
    return !(end + 1 < s->n && s->p[end] == ' ' && obs_redact_is_alnum(s->p[end + 1])) &&
           found(out, row->kind, at, end);
  if (begin == end) return false;
  size_t value = skip_scheme(s, begin);
  if (value == begin && is_phrase(s->p + value, obs_redact_run(s, value, OBS_REDACT_RUN_CREDENTIAL))) return false;
  return take_credential(s, value, value > begin ? AUTH_MIN : BEARER_MIN, row->kind, out);
}

/* ---- private keys ---- */

/* `\n` as two characters, or white space. */
static size_t skip_break(const obs_redact_scan *s, size_t at) {
  for (;;) {
    if (at < s->n && is_space(s->p[at]))
      at++;
    else if (at + 1 < s->n && s->p[at] == '\\' && (s->p[at + 1] == 'n' || s->p[at + 1] == 'r'))
      at += 2;
    else if (at + 2 < s->n && s->p[at] == '\\' && s->p[at + 1] == '\\')
      at++;
    else
      return at;
  }
}

/* The lines of base64 from `at` on, with headers of RFC 1421 before them. *longest: the longest line. */
static size_t pem_body(const obs_redact_scan *s, size_t at, size_t *longest) {
  static const char *const heads[] = {"Proc-Type:", "DEK-Info:"};
  size_t end = at;
  *longest = 0;
  for (;;) {
    size_t i = skip_break(s, end), run = obs_redact_run(s, i, OBS_REDACT_RUN_PEM_LINE), head = 0;
    for (size_t k = 0; k < 2 && *longest == 0; k++) {
      if (s->n - i > strlen(heads[k]) && memcmp(s->p + i, heads[k], strlen(heads[k])) == 0)
        head = obs_redact_run(s, i, OBS_REDACT_RUN_PEM_HEAD);
    }
    if (run == 0 && head == 0) return end;
    if (head == 0 && run > *longest) *longest = run;
    if (head == 0 && *longest < PEM_MIN) return end; /* a sentence about keys */
    end = i + (head > 0 ? head : run);
  }
}

/* Whether `-----BEGIN ` or `-----END ` stands before the words that end in PRIVATE KEY at `at`; where it begins. */
static bool pem_mark(const obs_redact_scan *s, size_t at, const char *mark, size_t *begin) {
  enum { WORDS = 24 };
  size_t n = strlen(mark), i = at;
  while (i > s->from && at - i < WORDS && (s->p[i - 1] == ' ' || (s->p[i - 1] >= 'A' && s->p[i - 1] <= 'Z'))) {
    i--;
    if (i >= s->from + n - 1 && i + 1 >= n && memcmp(s->p + i + 1 - n, mark, n) == 0) {
      *begin = i + 1 - n;
      return true;
    }
  }
  return false;
}

/* The lines of base64 that end before `at`: where the first of them begins. */
static size_t pem_body_before(const obs_redact_scan *s, size_t at, size_t *longest) {
  size_t begin = at;
  *longest = 0;
  for (bool last = true;; last = false) {
    size_t i = begin, end;
    while (i > s->from && (is_space(s->p[i - 1]) ||
                           (i > s->from + 1 && s->p[i - 2] == '\\' && (s->p[i - 1] == 'n' || s->p[i - 1] == 'r'))))
      i -= is_space(s->p[i - 1]) ? 1 : 2;
    end = i;
    while (i > s->from && (obs_redact_is_alnum(s->p[i - 1]) || is_of("+/=", s->p[i - 1])) &&
           !(i > s->from + 1 && s->p[i - 2] == '\\'))
      i--;
    if (end == i || (!last && end - i < PEM_MIN)) return begin;
    if (end - i > *longest) *longest = end - i;
    begin = i;
  }
}

static size_t skip_mark(const obs_redact_scan *s, size_t at) {
  while (at < s->n && (s->p[at] == ' ' || (s->p[at] >= 'A' && s->p[at] <= 'Z'))) at++;
  while (at < s->n && s->p[at] == '-') at++;
  return at;
}

/* In a quotation, a diff, a listing, a log or a source, something stands before each line of a key, or behind it. How
 * far it is to the next line, and to the end's mark, with headers or the last line between. */
enum { LINE_MIN = 40, LINE_GAP = 64, MARK_GAP = 160 };

static bool is_key_line(const char *p, size_t n) {
  size_t slashes = 0;
  for (size_t i = 0; i < n; i++) slashes += p[i] == '/';
  return n >= LINE_MIN && slashes * 10 <= n; /* a path has more */
}

static bool is_break(const obs_redact_scan *s, size_t at) {
  return s->p[at] == '\n' || (s->p[at] == '\\' && at + 1 < s->n && s->p[at + 1] == 'n');
}

/* Where the next line of base64 on another line than `at` ends; 0: none is near. */
static size_t next_key_line(const obs_redact_scan *s, size_t at, size_t gap) {
  bool broken = false;
  for (size_t i = at; i < s->n && i - at < gap;) {
    size_t run = obs_redact_run(s, i, OBS_REDACT_RUN_PEM_LINE);
    if (broken && is_key_line(s->p + i, run)) return i + run;
    broken = broken || is_break(s, i);
    i += run > 0 ? run : 1;
  }
  return 0;
}

/* Where the last line of base64 on another line than `at` begins; `at`: none is near. */
static size_t last_key_line(const obs_redact_scan *s, size_t at, size_t gap) {
  bool broken = false;
  for (size_t i = at; i > s->from && at - i < gap;) {
    size_t j = i;
    while (j > s->from && is_in_run(OBS_REDACT_RUN_PEM_LINE, s->p[j - 1])) j--;
    if (broken && is_key_line(s->p + j, i - j)) return j;
    i = j < i ? j : i - 1;
    broken = broken || is_break(s, i);
  }
  return at;
}

/* The end of such a body behind `at`, with its mark; 0: there is none. */
static size_t marked_body(const obs_redact_scan *s, size_t at) {
  static const char end_mark[] = "-----END ";
  size_t end = 0, next = next_key_line(s, at, MARK_GAP);
  for (; next > 0; next = next_key_line(s, end, LINE_GAP)) end = next;
  if (end == 0) return 0;
  size_t left = s->n - end;
  const char *mark = memmem(s->p + end, left < MARK_GAP ? left : MARK_GAP, end_mark, sizeof(end_mark) - 1);
  return mark != NULL ? skip_mark(s, (size_t)(mark - s->p) + sizeof(end_mark) - 1) : end;
}

static size_t marked_body_before(const obs_redact_scan *s, size_t at) {
  size_t begin = last_key_line(s, at, MARK_GAP), next = begin;
  do {
    begin = next;
    next = last_key_line(s, begin, LINE_GAP);
  } while (next < begin);
  return begin;
}

static bool find_private_key(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  static const char begin_mark[] = "-----BEGIN ", end_mark[] = "-----END ";
  size_t begin, longest;
  if (s->raw) return found(out, row->kind, at, at + strlen(row->literal));
  if (pem_mark(s, at, begin_mark, &begin)) {
    size_t end = pem_body(s, skip_mark(s, at), &longest), i = skip_break(s, end);
    if (s->n - i >= sizeof(end_mark) - 1 && memcmp(s->p + i, end_mark, sizeof(end_mark) - 1) == 0)
      return longest >= PEM_MIN && found(out, row->kind, begin, skip_mark(s, i + sizeof(end_mark) - 1));
    size_t marked = marked_body(s, end);
    if (marked > 0) return found(out, row->kind, begin, marked);
    return longest >= PEM_MIN && found(out, row->kind, begin, end);
  }
  if (!pem_mark(s, at, end_mark, &begin)) return false; /* the end of one whose begin was cut off */
  size_t body = pem_body_before(s, begin, &longest);
  if (longest < PEM_MIN) {
    body = marked_body_before(s, begin);
    if (body == begin) return false;
  }
  return found(out, row->kind, body, skip_mark(s, at));
}

/* ---- URLs ---- */

/* Stands for a password where none is shown: ***, xxx, <password>, %s, a token, [redacted], REDACTED, and variables:
 * ${DB_PASSWORD}, $DB_PASSWORD, {password}. */
static bool is_placeholder(const char *p, size_t n) {
  static const char *const words[] = {"redacted", "masked", "hidden", "filtered", "removed"};
  enum { VARIABLE = 40 };
  size_t same = 1, word = 0;
  if (n == 0 || p[0] == '<' || (n > 1 && (p[0] == '$' || p[0] == '{') && p[1] == '{')) return true;
  if (obs_redact_token(p, n) == n || (n == 2 && p[0] == '%' && is_of("sdv", p[1]))) return true;
  while (same < n && p[same] == p[0]) same++;
  if (same == n && is_of("*xX.", p[0])) return true;
  bool open = is_of("[({$%", p[0]);
  size_t from = open ? 1 : 0;
  while (from + word < n && word <= VARIABLE && (obs_redact_is_alnum(p[from + word]) || p[from + word] == '_')) word++;
  if (word == 0 || word > VARIABLE || n > from + word + 1) return false;
  if (n == from + word + 1 && !(open && is_of("])}%", p[from + word]))) return false;
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    if (strlen(words[i]) == word && strncasecmp(words[i], p + from, word) == 0) return true;
  }
  if (p[0] == '{' || (p[0] == '%' && n == from + word + 1)) return true; /* {pw}, %PW% */
  if (p[0] != '$' || n != from + word || obs_redact_is_digit(p[1])) return false;
  for (size_t i = 1; i < n; i++) { /* $PW: a password that begins with $ has other letters, too */
    if (p[i] >= 'a' && p[i] <= 'z') return false;
  }
  return true;
}

static bool is_port(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!obs_redact_is_digit(p[i])) return false;
  }
  return true;
}

/* `://user:password@host`: the last `@` before the path, and before another URL. A password that has a slash in it is
 * found where what stands behind the colon is no port. */
static bool find_userinfo(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  enum { FAR = 512 };
  size_t begin = at + strlen(row->literal), i = begin, sign = 0, colon = 0, limit = begin + FAR;
  for (; i < s->n && i < limit && !ends_url(s->p[i]); i++) {
    char c = s->p[i];
    if (c == ':' && s->n - i > 2 && (s->p[i + 1] == '/' || s->p[i + 1] == '\\') && is_of("/\\", s->p[i + 2])) break;
    if (c == ':' && colon == 0 && sign == 0) colon = i;
    if (c == '@') sign = i;
    if (!is_of("/?#\\", c)) continue;
    if (sign > 0 || colon == 0 || is_port(s->p + colon + 1, i - colon - 1)) break;
  }
  if (s->raw) return sign > 0 && colon > 0 && found(out, row->kind, at, begin);
  if (sign == 0 || colon == 0 || colon > sign || is_placeholder(s->p + colon + 1, sign - colon - 1)) return false;
  return is_key(s, colon + 1, sign - colon - 1, out) || found(out, row->kind, colon + 1, sign);
}

/* The parameter's name ends in a word for a secret: `access_token`, `apiKey`, `X-Amz-Signature`; not `page_token`. */
static bool is_secret_name(const char *p, size_t n, size_t *min) {
  static const struct {
    const char *word;
    uint8_t min; /* bytes of a value */
  } words[] = {{"password", 1},        {"passphrase", 1}, {"passwd", 1},     {"pwd", 1},        {"pass", 4},
               {"token", 8},           {"secret", 4},     {"sig", 8},        {"signature", 8},  {"api_key", 6},
               {"apikey", 6},          {"api-key", 6},    {"access_key", 8}, {"secret_key", 8}, {"auth_key", 8},
               {"accesskey", 8},       {"auth", 8},       {"credential", 8}, {"jwt", 8},        {"secretkey", 8},
               {"subscription-key", 8}};
  static const char *const others[] = {"page", "next", "sync", "continuation", "csrf", "cursor", "sort"};
  for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
    if (n > strlen(others[i]) && strncasecmp(p, others[i], strlen(others[i])) == 0) return false;
  }
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    size_t len = strlen(words[i].word), left = n - len;
    if (n < len || strncasecmp(p + left, words[i].word, len) != 0) continue;
    bool word =
        left == 0 || !obs_redact_is_alnum(p[left - 1]) || (p[left] >= 'A' && p[left] <= 'Z' && p[left - 1] >= 'a');
    if (!word) continue;
    *min = words[i].min;
    return true;
  }
  return false;
}

/* `?token=...`, `&sig=...`, `;password=...`: the literal is the end of the name with its `=`. */
static bool find_parameter(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  size_t begin = at + strlen(row->literal), name = begin - 1, end = begin, min = 0;
  while (name > s->from && begin - name < NAME_LONGEST &&
         (obs_redact_is_alnum(s->p[name - 1]) || is_of("_-.", s->p[name - 1])))
    name--;
  if (name == s->from || !is_of("?&;#", s->p[name - 1]) || !is_secret_name(s->p + name, begin - 1 - name, &min))
    return false;
  /* Such a value would go on into the strings behind it, as heads of msgpack may stand in it: its own string is asked.
   */
  if (s->raw) return found(out, row->kind, at, begin);
  end += obs_redact_run(s, begin, OBS_REDACT_RUN_PARAMETER);
  size_t token = obs_redact_token(s->p + begin, s->n - begin);
  size_t closed = end < s->n && is_of("])}", s->p[end]) ? end + 1 : end; /* [redacted], {token} */
  if (token > 0 || end - begin < min || is_placeholder(s->p + begin, end - begin) ||
      is_placeholder(s->p + begin, closed - begin))
    return false;
  return is_key(s, begin, end - begin, out) || found(out, row->kind, begin, end);
}

/* The escape `hex` stands at `at`: %3A, or %3a. */
static bool is_percent(const obs_redact_scan *s, size_t at, const char *hex) {
  return s->n - at >= 3 && s->p[at] == '%' && strncasecmp(s->p + at + 1, hex, 2) == 0;
}

/* `%3A%2F%2Fuser%3Apassword%40host`: a URL in a parameter of another one. */
static bool find_percent_userinfo(const obs_redact_scan *s, size_t at, const obs_redact_row *row,
                                  obs_redact_match *out) {
  enum { FAR = 512 };
  size_t begin = at + strlen(row->literal), sign = 0, colon = 0;
  for (size_t i = begin; i < s->n && i < begin + FAR && !ends_url(s->p[i]) && s->p[i] != '&'; i++) {
    if (is_percent(s, i, "2F") || is_percent(s, i, "3F") || is_percent(s, i, "26")) break;
    if (colon == 0 && is_percent(s, i, "3A")) colon = i + 3;
    if (colon > 0 && is_percent(s, i, "40")) sign = i;
  }
  if (sign == 0 || sign == colon) return false;
  if (s->raw) return found(out, row->kind, at, begin);
  return !is_placeholder(s->p + colon, sign - colon) &&
         (is_key(s, colon, sign - colon, out) || found(out, row->kind, colon, sign));
}

/* `%3Ftoken%3D...`, `%26sig%3D...`: the same. */
static bool find_percent_parameter(const obs_redact_scan *s, size_t at, const obs_redact_row *row,
                                   obs_redact_match *out) {
  size_t begin = at + strlen(row->literal), name = at, min = 0;
  while (name > s->from && at - name < NAME_LONGEST &&
         (obs_redact_is_alnum(s->p[name - 1]) || is_of("_-.", s->p[name - 1])))
    name--;
  if (name == s->from || s->p[name - 1] != '%') return false;
  name--;
  if (!is_percent(s, name, "3F") && !is_percent(s, name, "26") && !is_percent(s, name, "3B")) return false;
  if (at - name < 4 || !is_secret_name(s->p + name + 3, at - name - 3, &min)) return false;
  size_t run = obs_redact_run(s, begin, OBS_REDACT_RUN_PERCENT);
  const char *next = memmem(s->p + begin, run, "%26", 3);
  if (next != NULL) run = (size_t)(next - s->p) - begin;
  if (run < min || is_placeholder(s->p + begin, run)) return false;
  return is_key(s, begin, run, out) || found(out, row->kind, begin, begin + run);
}

/* ---- escapes ---- */

/* In a message, an escape may hide a letter of anything: its strings are looked through one by one. */
static bool find_escape(const obs_redact_scan *s, size_t at, const obs_redact_row *row, obs_redact_match *out) {
  (void)at, (void)row, (void)out;
  return s->raw;
}

const obs_redact_row obs_redact_escape_rows[] = {
    {.literal = "\\u00\1", .hook = 1, .find = find_escape},
    {.literal = "\\/\2", .find = find_escape},
};
const size_t obs_redact_escape_count = sizeof(obs_redact_escape_rows) / sizeof(obs_redact_escape_rows[0]);

/* ---- the rows ---- */

#define KEY(text, place, runs, least)                                                                                  \
  {                                                                                                                    \
    .literal = (text), .hook = (place), .kind = OBS_REDACT_API_KEY, .find = find_key, .run = OBS_REDACT_RUN_##runs,    \
    .min = (least), .cut = true                                                                                        \
  }
#define EXACT(text, place, runs, length)                                                                               \
  {                                                                                                                    \
    .literal = (text), .hook = (place), .kind = OBS_REDACT_API_KEY, .find = find_key, .run = OBS_REDACT_RUN_##runs,    \
    .min = (length), .exact = true, .cut = true                                                                        \
  }
#define SK_KEY(text, place, least)                                                                                     \
  {                                                                                                                    \
    .literal = (text), .hook = (place), .kind = OBS_REDACT_API_KEY, .find = find_sk_key, .run = OBS_REDACT_RUN_WORD,   \
    .min = (least)                                                                                                     \
  }
#define NAMED(text, place)                                                                                             \
  { .literal = (text), .hook = (place), .fold = true, .kind = OBS_REDACT_AWS_SECRET, .find = find_aws_secret }
#define PARAMETER(text)                                                                                                \
  { .literal = (text), .hook = 0, .fold = true, .kind = OBS_REDACT_URL_SECRET, .find = find_parameter }

const obs_redact_row obs_redact_secret_rows[] = {
    /* OpenAI, Anthropic, OpenRouter, DeepSeek, Langfuse and others: sk-, sk-proj-, sk-ant-api03-, sk-or-v1-, sk-lf- */
    KEY("sk-proj-", 2, WORD, 20),
    KEY("sk-svcacct-", 2, WORD, 20),
    KEY("sk-ant-", 2, WORD, 20),
    KEY("sk-or-v1-", 4, PLAIN, 32),
    KEY("sk-lf-", 2, HYPHEN, 32),
    SK_KEY("sk-", 0, 20),
    /* Stripe */
    KEY("sk_live_", 1, UNDERSCORE, 16),
    KEY("sk_test_", 1, UNDERSCORE, 16),
    KEY("rk_live_", 1, UNDERSCORE, 16),
    KEY("rk_test_", 1, UNDERSCORE, 16),
    KEY("whsec_", 3, BASE64, 24),
    /* AWS: ids of keys */
    EXACT("AKIA", 0, PLAIN, 16),
    EXACT("ASIA", 0, PLAIN, 16),
    /* GitHub */
    KEY("ghp_", 1, PLAIN, 36),
    KEY("gho_", 1, PLAIN, 36),
    KEY("ghu_", 1, PLAIN, 36),
    KEY("ghs_", 1, PLAIN, 36),
    KEY("ghr_", 1, PLAIN, 36),
    KEY("github_pat_", 8, UNDERSCORE, 50),
    /* GitLab */
    KEY("glpat-", 1, DOTTED, 20),
    KEY("gldt-", 1, DOTTED, 20),
    KEY("glrt-", 1, DOTTED, 20),
    KEY("glptt-", 1, DOTTED, 20),
    KEY("glcbt-", 1, DOTTED, 20),
    KEY("glft-", 1, DOTTED, 20),
    KEY("glsoat-", 2, DOTTED, 20),
    KEY("glimt-", 2, DOTTED, 20),
    KEY("glagent-", 0, DOTTED, 40),
    /* Slack */
    KEY("xoxb-", 0, HYPHEN, 20),
    KEY("xoxp-", 0, HYPHEN, 20),
    KEY("xoxa-", 0, HYPHEN, 20),
    KEY("xoxr-", 0, HYPHEN, 20),
    KEY("xoxs-", 0, HYPHEN, 20),
    KEY("xoxe-", 0, HYPHEN, 20),
    KEY("xoxe.xox", 0, HYPHEN, 20),
    KEY("xapp-", 0, HYPHEN, 20),
    {.literal = "hooks.slack.com/services/", .hook = 9, .kind = OBS_REDACT_API_KEY, .find = find_hook, .min = 20},
    /* Google: API keys, OAuth's clients and tokens */
    EXACT("AIza", 0, WORD, 35),
    EXACT("GOCSPX-", 1, WORD, 28),
    KEY("ya29.", 1, DOTTED, 30),
    /* Hugging Face, Groq, xAI, Perplexity, Replicate */
    KEY("hf_", 0, PLAIN, 34),
    KEY("gsk_", 0, PLAIN, 40),
    KEY("xai-", 0, PLAIN, 60),
    KEY("pplx-", 1, PLAIN, 40),
    KEY("r8_", 0, PLAIN, 37),
    /* SendGrid, npm, PyPI, Shopify, DigitalOcean */
    KEY("SG.", 0, DOTTED, 60),
    EXACT("npm_", 1, PLAIN, 36),
    KEY("pypi-AgE", 1, WORD, 40),
    EXACT("shpat_", 0, PLAIN, 32),
    EXACT("shpca_", 0, PLAIN, 32),
    EXACT("shppa_", 0, PLAIN, 32),
    EXACT("shpss_", 0, PLAIN, 32),
    EXACT("dop_v1_", 3, PLAIN, 64),
    EXACT("doo_v1_", 3, PLAIN, 64),
    EXACT("dor_v1_", 3, PLAIN, 64),
    /* Vault, Databricks, Grafana, Sentry, Postman, Docker */
    KEY("hvs.", 0, WORD, 24),
    EXACT("dapi", 0, PLAIN, 32),
    EXACT("glsa_", 1, UNDERSCORE, 41),
    KEY("sntrys_", 0, BASE64_WORD, 60),
    EXACT("PMAK-", 0, HYPHEN, 59),
    KEY("dckr_pat_", 0, WORD, 27),
    /* Azure's storage */
    {.literal = "AccountKey=", .hook = 5, .kind = OBS_REDACT_API_KEY, .find = find_account_key},
    /* ours */
    KEY("obs_i_", 1, UNDERSCORE, 56),
    KEY("obs_r_", 1, UNDERSCORE, 56),
    KEY("obs_a_", 1, UNDERSCORE, 56),

    NAMED("secret_access_key", 12),
    NAMED("secret-access-key", 12),
    NAMED("secretaccesskey", 10),
    NAMED("aws_secret_key", 1),
    NAMED("awssecretkey", 1),

    {.literal = "eyJ", .kind = OBS_REDACT_JWT, .find = find_jwt},
    {.literal = "bearer ", .hook = 3, .fold = true, .kind = OBS_REDACT_AUTH, .find = find_bearer},
    {.literal = "bearer\t", .hook = 3, .fold = true, .kind = OBS_REDACT_AUTH, .find = find_bearer},
    {.literal = "bearer\\t", .hook = 3, .fold = true, .kind = OBS_REDACT_AUTH, .find = find_bearer},
    {.literal = "bearer%20", .hook = 3, .fold = true, .kind = OBS_REDACT_AUTH, .find = find_bearer},
    {.literal = "basic ", .hook = 2, .fold = true, .kind = OBS_REDACT_AUTH, .find = find_basic},
    {.literal = "authorization", .hook = 5, .fold = true, .kind = OBS_REDACT_AUTH, .find = find_authorization},
    {.literal = "x-api-key", .hook = 0, .fold = true, .kind = OBS_REDACT_AUTH, .find = find_authorization},
    {.literal = "x-goog-api-key", .hook = 0, .fold = true, .kind = OBS_REDACT_AUTH, .find = find_authorization},
    {.literal = "x-auth-token", .hook = 0, .fold = true, .kind = OBS_REDACT_AUTH, .find = find_authorization},
    {.literal = "x-access-token", .hook = 0, .fold = true, .kind = OBS_REDACT_AUTH, .find = find_authorization},
    {.literal = "x-amz-security-token", .hook = 1, .fold = true, .kind = OBS_REDACT_AUTH, .find = find_authorization},
    {.literal = "PRIVATE KEY", .hook = 3, .kind = OBS_REDACT_PRIVATE_KEY, .find = find_private_key},

    {.literal = "://", .kind = OBS_REDACT_URL_PASSWORD, .find = find_userinfo},
    {.literal = ":\\/\\/", .kind = OBS_REDACT_URL_PASSWORD, .find = find_userinfo},
    {.literal = "%3a%2f%2f", .fold = true, .kind = OBS_REDACT_URL_PASSWORD, .find = find_percent_userinfo},
    {.literal = "%3d", .fold = true, .kind = OBS_REDACT_URL_SECRET, .find = find_percent_parameter},
    PARAMETER("rd="),
    PARAMETER("se="),
    PARAMETER("wd="),
    PARAMETER("ss="),
    PARAMETER("en="),
    PARAMETER("et="),
    PARAMETER("ig="),
    PARAMETER("re="),
    PARAMETER("ey="),
    PARAMETER("th="),
    PARAMETER("al="),
    PARAMETER("wt="),
};
const size_t obs_redact_secret_count = sizeof(obs_redact_secret_rows) / sizeof(obs_redact_secret_rows[0]);

static bool is_key(const obs_redact_scan *s, size_t at, size_t n, obs_redact_match *out) {
  obs_redact_memo memo = {0};
  const obs_redact_scan alone = {.p = s->p + at, .n = n, .memo = &memo};
  for (size_t i = 0; i < obs_redact_secret_count; i++) {
    const obs_redact_row *row = &obs_redact_secret_rows[i];
    size_t len = strlen(row->literal);
    bool key = row->kind == OBS_REDACT_API_KEY || row->kind == OBS_REDACT_JWT;
    if (!key || len > n || memcmp(alone.p, row->literal, len) != 0 || !row->find(&alone, 0, row, out)) continue;
    if (out->at != 0 || out->end != n) continue;
    out->at += at;
    out->end += at;
    return true;
  }
  return false;
}

/* ---- what a name says ---- */

static bool is_one_of(obs_str name, const char *const *names, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (strlen(names[i]) == name.len && strncasecmp(names[i], name.p, name.len) == 0) return true;
  }
  return false;
}

bool obs_redact_is_named(obs_str name, obs_str value, obs_redact_match *out) {
  static const char *const headers[] = {"authorization", "proxy-authorization", "x-api-key",           "x-goog-api-key",
                                        "x-auth-token",  "x-access-token",      "x-amz-security-token"};
  obs_redact_memo memo = {0};
  const obs_redact_scan s = {.p = value.p, .n = value.len, .memo = &memo};
  if (is_one_of(name, headers, sizeof(headers) / sizeof(headers[0]))) {
    size_t begin = skip_scheme(&s, 0);
    return take_credential(&s, begin, begin > 0 ? AUTH_MIN : BEARER_MIN, OBS_REDACT_AUTH, out);
  }
  if (value.len != AWS_LENGTH || obs_redact_run(&s, 0, OBS_REDACT_RUN_AWS_SECRET) != AWS_LENGTH) return false;
  for (size_t i = 0; i < obs_redact_secret_count; i++) {
    const obs_redact_row *row = &obs_redact_secret_rows[i];
    size_t len = strlen(row->literal);
    if (row->find == find_aws_secret && name.len >= len && strncasecmp(name.p + name.len - len, row->literal, len) == 0)
      return found(out, row->kind, 0, value.len);
  }
  return false;
}
