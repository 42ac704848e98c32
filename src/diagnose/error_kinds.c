#include "diagnose/error_kinds.h"

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

/* `word` begins a word of the text; `whole`: it must end there too. */
typedef struct {
  const char *word;
  obs_error_kind kind;
  bool whole;
} pattern;

enum { LETTERS = 26, PER_LETTER = 12 };

#define STEM(word, kind)                                                                                               \
  { word, OBS_ERROR_##kind, false }
#define WHOLE(word, kind)                                                                                              \
  { word, OBS_ERROR_##kind, true }

/* By first letter. */
static const pattern words[LETTERS][PER_LETTER] = {
    ['a' - 'a'] = {STEM("access denied", AUTH), STEM("authenticat", AUTH), STEM("authoriz", AUTH), STEM("abort", CRASH),
                   STEM("assert", CRASH), STEM("api key", AUTH)},
    ['b' - 'a'] = {STEM("broken pipe", REFUSED), STEM("bad request", VALIDATION), STEM("bad gateway", REFUSED)},
    ['c' - 'a'] = {STEM("connection refused", REFUSED), STEM("connection reset", REFUSED),
                   STEM("connection closed", REFUSED), STEM("connection aborted", REFUSED), STEM("crash", CRASH),
                   STEM("core dump", CRASH), STEM("context length", RESOURCE), STEM("credential", AUTH),
                   STEM("capacity", RESOURCE), STEM("certificate", AUTH), STEM("cannot parse", VALIDATION)},
    ['d' - 'a'] = {STEM("deadline exceeded", TIMEOUT), STEM("disk full", RESOURCE), STEM("does not exist", NOT_FOUND),
                   STEM("denied", AUTH), STEM("dns", REFUSED)},
    ['e' - 'a'] = {WHOLE("etimedout", TIMEOUT), WHOLE("econnrefused", REFUSED), WHOLE("econnreset", REFUSED),
                   WHOLE("ehostunreach", REFUSED), WHOLE("enotfound", REFUSED), WHOLE("enoent", NOT_FOUND),
                   WHOLE("enospc", RESOURCE), WHOLE("enomem", RESOURCE), WHOLE("eacces", AUTH),
                   WHOLE("emfile", RESOURCE), WHOLE("epipe", REFUSED), STEM("exhausted", RESOURCE)},
    ['f' - 'a'] = {STEM("forbidden", AUTH), STEM("fatal", CRASH), STEM("format error", VALIDATION)},
    ['g' - 'a'] = {STEM("gateway time", TIMEOUT)},
    ['h' - 'a'] = {STEM("host unreachable", REFUSED), STEM("hang up", REFUSED)},
    ['i' - 'a'] = {STEM("invalid", VALIDATION), STEM("insufficient permission", AUTH), STEM("insufficient", RESOURCE),
                   STEM("illegal", VALIDATION), STEM("internal server error", CRASH)},
    ['k' - 'a'] = {WHOLE("killed", CRASH)},
    ['m' - 'a'] = {STEM("malformed", VALIDATION), STEM("missing", VALIDATION), STEM("must be", VALIDATION),
                   STEM("must not", VALIDATION), STEM("mismatch", VALIDATION)},
    ['n' - 'a'] = {STEM("not found", NOT_FOUND), STEM("no such", NOT_FOUND), STEM("no space", RESOURCE),
                   STEM("not authorized", AUTH), STEM("not permitted", AUTH), STEM("no route", REFUSED),
                   STEM("network unreachable", REFUSED), STEM("network is unreachable", REFUSED),
                   STEM("null pointer", CRASH), STEM("not allowed", AUTH)},
    ['o' - 'a'] = {STEM("out of memory", RESOURCE), STEM("out of disk", RESOURCE), WHOLE("oom", RESOURCE),
                   STEM("overload", RESOURCE)},
    ['p' - 'a'] = {STEM("permission", AUTH), STEM("panic", CRASH), STEM("parse error", VALIDATION),
                   STEM("pool exhausted", RESOURCE)},
    ['q' - 'a'] = {STEM("quota", RATE_LIMIT)},
    ['r' - 'a'] = {STEM("rate limit", RATE_LIMIT), STEM("ratelimit", RATE_LIMIT), STEM("refused", REFUSED),
                   STEM("required", VALIDATION), STEM("resource temporarily", RESOURCE)},
    ['s' - 'a'] = {STEM("schema", VALIDATION), STEM("segmentation", CRASH), STEM("segfault", CRASH),
                   WHOLE("sigsegv", CRASH), WHOLE("sigkill", CRASH), STEM("stack overflow", CRASH),
                   STEM("slow down", RATE_LIMIT), STEM("socket hang up", REFUSED), STEM("stack trace", CRASH),
                   STEM("syntax error", VALIDATION), STEM("service unavailable", REFUSED)},
    ['t' - 'a'] = {STEM("timeout", TIMEOUT), STEM("time out", TIMEOUT), STEM("timed out", TIMEOUT),
                   STEM("too many requests", RATE_LIMIT), STEM("throttl", RATE_LIMIT), STEM("too many open", RESOURCE),
                   STEM("type error", VALIDATION), STEM("typeerror", CRASH), STEM("token expired", AUTH),
                   STEM("took too long", TIMEOUT)},
    ['u' - 'a'] = {STEM("unauthor", AUTH), STEM("unreachable", REFUSED), STEM("unknown field", VALIDATION),
                   STEM("unexpected token", VALIDATION), STEM("unhandled", CRASH), STEM("uncaught", CRASH),
                   STEM("unavailable", REFUSED), STEM("unprocessable", VALIDATION), STEM("unsupported", VALIDATION)},
    ['v' - 'a'] = {STEM("validat", VALIDATION), STEM("violat", VALIDATION)},
};

static const struct {
  const char digits[4];
  obs_error_kind kind;
} statuses[] = {
    {"429", OBS_ERROR_RATE_LIMIT}, {"408", OBS_ERROR_TIMEOUT},    {"504", OBS_ERROR_TIMEOUT},
    {"502", OBS_ERROR_REFUSED},    {"503", OBS_ERROR_REFUSED},    {"401", OBS_ERROR_AUTH},
    {"403", OBS_ERROR_AUTH},       {"500", OBS_ERROR_CRASH},      {"404", OBS_ERROR_NOT_FOUND},
    {"410", OBS_ERROR_NOT_FOUND},  {"400", OBS_ERROR_VALIDATION}, {"422", OBS_ERROR_VALIDATION},
};

static const char *const before_status[] = {"http", "status", "code", "error", "returned", "response"};
static const char *const deploys[] = {"deploy",  "redeploy",     "release",  "restart",  "reboot",
                                      "rollout", "rollback",     "config",   "reconfig", "migrat",
                                      "upgrade", "feature flag", "roll out", "roll back"};

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}
static bool is_letter(char c) {
  return lower(c) >= 'a' && lower(c) <= 'z';
}
static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* How much of the text at `p` the pattern takes, 0: it does not stand there. */
static size_t prefix(const char *p, const char *end, const char *word) {
  size_t n = 0;
  for (; word[n]; n++) {
    if (p + n >= end) return 0;
    char c = lower(p[n]);
    if (c != word[n] && !(word[n] == ' ' && (c == '_' || c == '-'))) return 0;
  }
  return n;
}

static bool ends_word(const char *p, const char *end) {
  return p >= end || !(is_letter(*p) || is_digit(*p));
}

static obs_error_kind kind_of_word(const char *p, const char *end) {
  const pattern *letter = words[lower(*p) - 'a'];
  for (int i = 0; i < PER_LETTER && letter[i].word; i++) {
    size_t n = prefix(p, end, letter[i].word);
    if (n > 0 && (!letter[i].whole || ends_word(p + n, end))) return letter[i].kind;
  }
  return OBS_ERROR_UNKNOWN;
}

static obs_error_kind kind_of_status(const char *p, const char *end) {
  if (end - p < 3 || !ends_word(p + 3, end)) return OBS_ERROR_UNKNOWN;
  for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
    if (memcmp(p, statuses[i].digits, 3) == 0) return statuses[i].kind;
  return OBS_ERROR_UNKNOWN;
}

static bool announces_status(const char *p, const char *end) {
  for (size_t i = 0; i < sizeof(before_status) / sizeof(before_status[0]); i++) {
    size_t n = prefix(p, end, before_status[i]);
    if (n > 0 && ends_word(p + n, end)) return true;
  }
  return false;
}

/* What says more wins: a lower kind, but not UNKNOWN. */
static obs_error_kind better(obs_error_kind a, obs_error_kind b) {
  if (a == OBS_ERROR_UNKNOWN) return b;
  return b != OBS_ERROR_UNKNOWN && b < a ? b : a;
}

obs_error_kind obs_error_kinds_of(obs_str error) {
  const char *p = error.p, *end = p + (error.len < OBS_ERROR_KINDS_BYTES ? error.len : OBS_ERROR_KINDS_BYTES);
  obs_error_kind kind = OBS_ERROR_UNKNOWN;
  bool status = true; /* a number here is one */
  while (p < end && kind != OBS_ERROR_RATE_LIMIT) {
    if (is_letter(*p)) {
      kind = better(kind, kind_of_word(p, end));
      status = announces_status(p, end);
      while (p < end && is_letter(*p)) p++;
    } else if (is_digit(*p)) {
      if (status) kind = better(kind, kind_of_status(p, end));
      status = false;
      while (p < end && (is_digit(*p) || is_letter(*p))) p++;
    } else {
      p++;
    }
  }
  return kind;
}

bool obs_error_kinds_is_deploy(obs_str name) {
  const char *end = name.p + name.len;
  for (const char *p = name.p; p < end; p++) {
    if (!is_letter(*p)) continue;
    for (size_t i = 0; i < sizeof(deploys) / sizeof(deploys[0]); i++)
      if (prefix(p, end, deploys[i]) > 0) return true;
    while (p + 1 < end && is_letter(p[1])) p++;
  }
  return false;
}
