#include "diagnose/error_kinds.h"

#include "diagnose/error_words.h"

#include <pthread.h>

const char *const obs_error_kind_names[OBS_ERROR_KIND_COUNT] = {
#define KIND_NAME(kind, name, phrase) name,
    OBS_ERROR_KINDS(KIND_NAME)
#undef KIND_NAME
};

const char *const obs_error_kind_phrases[OBS_ERROR_KIND_COUNT] = {
#define KIND_PHRASE(kind, name, phrase) phrase,
    OBS_ERROR_KINDS(KIND_PHRASE)
#undef KIND_PHRASE
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- letters ----
 *
 * What a byte is: a look into a table, as each byte of each failure is asked for it. */

enum {
  UPPER = 1,
  LOWER = 2,
  DIGIT = 4,
  NARROW = 8, /* begins a letter of two bytes: accents, Greek, Cyrillic; what begins with C2 is a mark */
  REST = 16,  /* of a character of several bytes */
  WIDE = 32,  /* begins a character of three bytes or more: in these scripts each may begin a word */
  QUOTE = 64,
  NO_PATH = 128, /* ends a path */
  LETTER = UPPER | LOWER
};

static uint8_t classes[256];

static bool is(char c, int class) {
  return (classes[(unsigned char)c] & class) != 0;
}

static void make_classes(void) {
  for (int c = 0; c < 256; c++)
    classes[c] = (uint8_t)(c <= ' '                ? NO_PATH
                           : c >= 'A' && c <= 'Z'  ? UPPER
                           : c >= 'a' && c <= 'z'  ? LOWER
                           : c >= '0' && c <= '9'  ? DIGIT
                           : c >= 0xe0             ? WIDE
                           : c >= 0xc3             ? NARROW
                           : c >= 0x80 && c < 0xc0 ? REST
                                                   : 0);
  for (const char *p = ",;:()[]{}<>|"; *p; p++) classes[(unsigned char)*p] |= NO_PATH;
  for (const char *p = "\"'`"; *p; p++) classes[(unsigned char)*p] |= NO_PATH | QUOTE;
}

/* `RateLimit` has a word at its `L`, `APITimeout` one at its `T`. `at` is behind the text's start. */
static bool is_hump(const char *at, const char *end) {
  if (!is(*at, UPPER)) return false;
  if (is(at[-1], UPPER)) return at + 1 < end && is(at[1], LOWER);
  return is(at[-1], LOWER);
}

static bool ends_word(const char *at, const char *end) {
  return at >= end || !is(*at, LETTER | DIGIT | NARROW) || is_hump(at, end);
}

/* ---- statuses ---- */

static const struct {
  obs_error_kind kind;
  const char *digits;
} statuses[] = {
    {OBS_ERROR_RATE_LIMIT, "429"},
    {OBS_ERROR_TIMEOUT, "408 504 522 524 598 599"},
    {OBS_ERROR_REFUSED, "502 503 520 521 523"},
    {OBS_ERROR_AUTH, "401 403 407 511 525 526"},
    {OBS_ERROR_RESOURCE, "402 423 507 509 529"},
    {OBS_ERROR_CRASH, "500 134 136 137 139"}, /* and a program's end by SIGABRT, SIGFPE, SIGKILL, SIGSEGV */
    {OBS_ERROR_NOT_FOUND, "404 410"},
    {OBS_ERROR_VALIDATION, "400 405 406 409 411 412 413 414 415 416 417 422 428 431 501 505"},
};

/* Whether a number that follows a word is a status: SURE behind `status`; MAYBE behind `error`, where it may also count
 * things; AS_BEFORE behind words that may stand between. */
typedef enum { NO, MAYBE, SURE, AS_BEFORE } announced;

static const struct {
  announced status;
  const char *words;
} announcers[] = {
    {SURE, "http|https|status|code|statuscode|errorcode"},
    {MAYBE, "error|err|returned|returns|response|responded|replied|answered|received|got|server|said|failed"},
    {AS_BEFORE, "with|and|was|the|from|has|been|its|this"},
};

/* ---- the table of words, by how they begin: made once ---- */

typedef struct {
  const char *word, *rest; /* rest: what must follow within some words; NULL: nothing */
  uint32_t head;
  uint8_t len, rest_len, kind, status;
  uint8_t space; /* where its first one is; 0: none */
  bool weak, whole;
  bool same; /* first words as the pattern before */
} pattern;

enum { BUCKET_BITS = 11, BUCKETS = 1 << BUCKET_BITS };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pattern patterns[OBS_ERROR_WORDS_MOST];
static uint32_t npatterns;
static uint16_t first_of[BUCKETS + 1]; /* patterns[first_of[b]] to patterns[first_of[b + 1] - 1] are in bucket b */

/* Three bytes in lower case, what separates words as a space: equal where a pattern may stand. */
static uint32_t head_of(char a, char b, char c) {
  uint32_t x = (unsigned char)(a | 0x20), y = (unsigned char)(b | 0x20);
  uint32_t z = is(c, LETTER | NARROW | REST | WIDE) ? (unsigned char)(c | 0x20) : ' ';
  return x | y << 8 | z << 16;
}

static uint32_t bucket_of(uint32_t head) {
  return (head * 0x9e3779b1U) >> (32 - BUCKET_BITS);
}

static announced announced_by(obs_str word) {
  for (size_t i = 0; i < COUNT(announcers); i++)
    for (const char *p = announcers[i].words; *p;) {
      size_t len = strcspn(p, "|");
      if (len == word.len && memcmp(p, word.p, len) == 0) return announcers[i].status;
      p += len + (p[len] == '|' ? 1 : 0);
    }
  return NO;
}

static void add_pattern(pattern *all, const pattern *x) {
  if (npatterns < OBS_ERROR_WORDS_MOST) all[npatterns++] = *x;
}

/* The phrases of a list, `|` between them. */
static void add_list(pattern *all, const char *list, pattern x) {
  for (const char *p = list; *p;) {
    size_t len = strcspn(p, "|");
    const char *next = p + len + (p[len] == '|' ? 1 : 0);
    pattern one = x;
    if (p[len - 1] == '$') {
      one.whole = true;
      len--;
    }
    const char *gap = memchr(p, '~', len);
    if (gap != NULL) {
      one.rest = gap + 1;
      one.rest_len = (uint8_t)(p + len - one.rest);
      len = (size_t)(gap - p);
    }
    size_t last = len; /* word of it */
    while (last > 0 && p[last - 1] != ' ') last--;
    one.word = p;
    one.len = (uint8_t)len;
    const char *space = memchr(p, ' ', len);
    one.space = (uint8_t)(space != NULL ? space - p : 0);
    one.status = (uint8_t)announced_by((obs_str){p + last, (uint32_t)(len - last), 0});
    one.head = head_of(p[0], p[1], p[2]);
    add_pattern(all, &one);
    if (p[2] == ' ') { /* `no such` is also `NoSuch` */
      one.head = head_of(p[0], p[1], p[3]);
      add_pattern(all, &one);
    }
    p = next;
  }
}

static void make_tables(void) {
  static pattern all[OBS_ERROR_WORDS_MOST];
  uint16_t next[BUCKETS];
  make_classes();
  for (size_t i = 0; i < COUNT(obs_error_words); i++)
    add_list(all, obs_error_words[i].phrases,
             (pattern){.kind = (uint8_t)obs_error_words[i].kind, .weak = obs_error_words[i].weak});
  for (size_t i = 0; i < COUNT(announcers); i++)
    add_list(all, announcers[i].words, (pattern){.kind = OBS_ERROR_UNKNOWN, .whole = true});
  for (uint32_t i = 0; i < npatterns; i++) first_of[bucket_of(all[i].head) + 1]++;
  for (uint32_t b = 0; b < BUCKETS; b++) first_of[b + 1] = (uint16_t)(first_of[b] + first_of[b + 1]);
  memcpy(next, first_of, sizeof(next));
  for (uint32_t i = 0; i < npatterns; i++) patterns[next[bucket_of(all[i].head)]++] = all[i];
  for (uint32_t i = 1; i < npatterns; i++) {
    pattern *x = &patterns[i];
    x->same = x[-1].head == x->head && x[-1].len == x->len && x->space == 0 && memcmp(x[-1].word, x->word, x->len) == 0;
  }
}

/* How many bytes of the text at `p` the word takes; 0: it does not stand there. */
static size_t prefix(const char *p, const char *end, const char *word, size_t len) {
  const char *at = p;
  for (size_t i = 0; i < len; i++) {
    if (at >= end) return 0;
    char c = *at, w = word[i];
    if (c == w || (is(c, UPPER) && (c | 0x20) == w)) {
      at++;
    } else if (w == ' ') {
      if (c == '_' || c == '-' || c == '\n')
        at++;
      else if (!is_hump(at, end))
        return 0;
    } else if (i > 0 && (unsigned char)word[i - 1] == 0xc3 && (unsigned char)c < 0xa0 &&
               (unsigned char)(c | 0x20) == (unsigned char)w) {
      at++; /* a capital with an accent */
    } else {
      return 0;
    }
  }
  return (size_t)(at - p);
}

/* Phrases with the same first word (`connection`) differ in their second: most are told apart by how that begins. */
static bool differs(const pattern *x, const char *p, const char *end) {
  const char *at = p + x->space;
  return x->space > 0 && at + 1 < end && !is(*at, UPPER) && ((at[1] ^ x->word[x->space + 1]) & ~0x20) != 0;
}

/* Where words begin behind the first ones of a phrase that goes on later in the sentence. */
typedef struct {
  const char *behind; /* NULL: not looked for yet */
  const char *at[16];
  uint32_t n;
} word_starts;

static void find_starts(word_starts *s, const char *at, const char *end) {
  enum { REACH = 64 };
  if (end - at > REACH) end = at + REACH;
  s->behind = at;
  s->n = 0;
  for (; at < end && s->n < COUNT(s->at); at++) {
    if (is(*at, WIDE) || (is(*at, LETTER | NARROW) && !is(at[-1], LETTER | NARROW | REST))) s->at[s->n++] = at;
    if (*at == '\n' || ((*at == '.' || *at == ';') && at + 1 < end && at[1] == ' ')) return;
  }
}

/* Whether the words that must follow do: `at` is behind the first ones. */
static bool goes_on(const pattern *x, const char *at, const char *end, word_starts *s) {
  if (x->rest == NULL) return true;
  if (s->behind != at) find_starts(s, at, end);
  for (uint32_t i = 0; i < s->n; i++)
    if ((*s->at[i] | 0x20) == (*x->rest | 0x20) && prefix(s->at[i], end, x->rest, x->rest_len) > 0) return true;
  return false;
}

/* The longest pattern that stands at `p`. */
static const pattern *match(const char *p, const char *end, size_t *taken) {
  const pattern *best = NULL;
  word_starts starts;
  starts.behind = NULL;
  starts.n = 0;
  *taken = 0;
  if (end - p < 3) return NULL;
  uint32_t head = head_of(p[0], p[1], p[2]), bucket = bucket_of(head);
  size_t n = 0;
  for (uint32_t i = first_of[bucket]; i < first_of[bucket + 1]; i++) {
    const pattern *x = &patterns[i];
    if (x->head != head || differs(x, p, end)) continue;
    if (!x->same) n = prefix(p, end, x->word, x->len);
    if (n <= *taken || (x->whole && !ends_word(p + n, end) && !(x->status != NO && is(p[n], DIGIT)))) continue;
    if (!goes_on(x, p + n, end, &starts)) continue;
    best = x;
    *taken = n;
  }
  return best;
}

/* `at` is behind a number: does a word follow that it counts? */
static bool counts_something(const char *at, const char *end) {
  static const char *const others[] = {"from", "for", "on", "when", "at", "after",    "while", "in",
                                       "and",  "but", "or", "to",   "by", "response", "error", "status"};
  if (end - at < 2 || *at != ' ' || !is(at[1], LOWER)) return false;
  at++;
  for (size_t i = 0; i < COUNT(others); i++) {
    size_t n = strlen(others[i]);
    if (prefix(at, end, others[i], n) == n && ends_word(at + n, end)) return false;
  }
  return true;
}

/* Of the three digits at `p`. */
static obs_error_kind kind_of_status(const char *p, const char *end, announced status) {
  bool fraction = end - p > 4 && p[3] == '.' && is(p[4], DIGIT);
  if (fraction || (status == MAYBE && counts_something(p + 3, end))) return OBS_ERROR_UNKNOWN;
  for (size_t i = 0; i < COUNT(statuses); i++) {
    for (const char *d = statuses[i].digits;; d += 4) {
      if (memcmp(p, d, 3) == 0) return statuses[i].kind;
      if (d[3] == '\0') break;
    }
  }
  return OBS_ERROR_UNKNOWN;
}

/* ---- names ---- */

/* The end of a single quoted word that begins at `p`, which is a name; `p`: there is none. */
static const char *name_end(const char *begin, const char *p, const char *end) {
  enum { LONGEST = 64 };
  if (p > begin && is(p[-1], LETTER | DIGIT)) return p; /* an apostrophe, or the end of a quotation */
  const char *close = p + 1;
  while (close < end && close - p < LONGEST && *close != *p && (unsigned char)*close > ' ') close++;
  if (close >= end || *close != *p) return p;
  /* "code":"rate_limit_exceeded" */
  const char *before = p;
  while (before > begin && (before[-1] == ' ' || before[-1] == '\\')) before--;
  bool value = before - begin >= 2 && before[-1] == ':' && is(before[-2], QUOTE);
  return value ? p : close;
}

/* `timeout=30`, `timeout_ms`: `at` is behind the word. */
static bool is_setting(const char *at, const char *end) {
  static const char *const units[] = {"_ms", "_s", "_sec", "_secs", "_seconds"};
  if (at < end && *at == '=') return true;
  for (size_t i = 0; at < end && *at == '_' && i < COUNT(units); i++) {
    size_t n = strlen(units[i]);
    if ((size_t)(end - at) >= n && memcmp(at, units[i], n) == 0 && ends_word(at + n, end)) return true;
  }
  return false;
}

/* ---- a text ---- */

typedef struct {
  obs_error_kind sure, weak;
} verdict;

/* What says more wins: a lower kind, but not UNKNOWN. */
static obs_error_kind better(obs_error_kind a, obs_error_kind b) {
  if (a == OBS_ERROR_UNKNOWN) return b;
  return b != OBS_ERROR_UNKNOWN && b < a ? b : a;
}

/* Reads from `p` to `end`; `status`: what a number at the start would be. */
static void read_part(const char *p, const char *end, announced status, verdict *v) {
  const char *begin = p, *name = p; /* up to `name` the words are a quoted name */
  while (p < end && v->sure != OBS_ERROR_RATE_LIMIT) {
    const char *word = p;
    if (is(*p, LETTER | NARROW | WIDE)) {
      size_t taken;
      const pattern *x = match(p, end, &taken);
      if (x != NULL && x->kind != OBS_ERROR_UNKNOWN) {
        obs_error_kind *as = x->weak || p < name || is_setting(p + taken, end) ? &v->weak : &v->sure;
        *as = better(*as, x->kind);
      }
      p += taken > 0 ? taken : 1;
      if (is(*word, WIDE))
        while (p < end && is(*p, REST)) p++;
      else
        while (p < end && (is(*p, LOWER | NARROW | REST) || (is(*p, UPPER) && !is_hump(p, end)))) p++;
      if (x == NULL)
        status = p - word <= 2 ? status : NO; /* `returned a 503` */
      else if (x->status != AS_BEFORE)
        status = x->status;
    } else if (is(*p, DIGIT)) {
      while (p < end && is(*p, DIGIT)) p++;
      if (status != NO && p - word == 3 && ends_word(p, end))
        v->sure = better(v->sure, kind_of_status(word, end, status));
      /* of `HTTP/1.1 503` the last number is the status */
      if (word == begin || (word[-1] != '/' && word[-1] != '.')) status = NO;
      while (p < end && is(*p, DIGIT | LETTER)) p++;
    } else if (*p == '/' && p + 1 < end && is(p[1], LETTER)) {
      while (p < end && !is(*p, NO_PATH)) p++;
    } else {
      if (is(*p, QUOTE) && p >= name) name = name_end(begin, p, end);
      p++;
    }
  }
}

obs_error_kind obs_error_kinds_of(obs_str error) {
  enum { PART = OBS_ERROR_KINDS_BYTES };
  verdict v = {OBS_ERROR_UNKNOWN, OBS_ERROR_UNKNOWN};
  const char *end = error.p + error.len;
  (void)pthread_once(&once, make_tables);
  if (error.len <= 2 * PART) {
    read_part(error.p, end, MAYBE, &v);
  } else {
    read_part(error.p, error.p + PART, MAYBE, &v);
    const char *tail = end - PART;
    while (tail < end && is(*tail, LETTER | DIGIT | NARROW | REST)) tail++; /* half a word */
    read_part(tail, end, NO, &v);
  }
  return v.sure != OBS_ERROR_UNKNOWN ? v.sure : v.weak;
}

/* ---- deploys ---- */

static const char *const deploys[] = {"deploy",  "redeploy",     "release",  "restart",  "reboot",
                                      "rollout", "rollback",     "config",   "reconfig", "migrat",
                                      "upgrade", "feature flag", "roll out", "roll back"};

bool obs_error_kinds_is_deploy(obs_str name) {
  const char *end = name.p + name.len;
  (void)pthread_once(&once, make_tables);
  for (const char *p = name.p; p < end; p++) {
    if (!is(*p, LETTER)) continue;
    for (size_t i = 0; i < COUNT(deploys); i++)
      if (prefix(p, end, deploys[i], strlen(deploys[i])) > 0) return true;
    while (p + 1 < end && is(p[1], LETTER)) p++;
  }
  return false;
}
