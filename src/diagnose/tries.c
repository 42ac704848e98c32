#include "diagnose/tries.h"

#include <string.h>
#include <strings.h>

enum {
  NEAR = 48,      /* bytes of an input's head and end that are looked at */
  MOST_DIGITS = 3 /* of the number of a try */
};

/* X(word in lower case, the number of the first op that is not the first try) */
#define TRY_WORDS(X)                                                                                                   \
  X("attempt", 2)                                                                                                      \
  X("try", 2)                                                                                                          \
  X("retry", 1)                                                                                                        \
  X("versuch", 2)                                                                                                      \
  X("wiederholung", 1)                                                                                                 \
  X("tentative", 2)                                                                                                    \
  X("essai", 2)                                                                                                        \
  X("intento", 2)                                                                                                      \
  X("reintento", 1)                                                                                                    \
  X("尝试", 2)                                                                                                         \
  X("重试", 1)                                                                                                         \
  X("試行", 2)                                                                                                         \
  X("再試行", 1)                                                                                                       \
  X("リトライ", 1)                                                                                                     \
  X("回目", 2)

static const struct {
  const char *text;
  uint8_t len, again_from;
} words[] = {
#define TRY_WORD(text, from) {text, sizeof(text) - 1, from},
    TRY_WORDS(TRY_WORD)
#undef TRY_WORD
};

typedef struct {
  const char *p, *end;
} span;

/* Bytes that the words, or the number before one, begin with: all else is passed over at once. */
static const bool begins[256] = {
    ['0' ... '9'] = true, ['a'] = true, ['A'] = true, ['t'] = true,  ['T'] = true, ['r'] = true,
    ['R'] = true,         ['v'] = true, ['V'] = true, ['w'] = true,  ['W'] = true, ['e'] = true,
    ['E'] = true,         ['i'] = true, ['I'] = true, [0xe3] = true, /* リ */
    [0xe5] = true,                                                   /* 尝 再 回 */
    [0xe7] = true,                                                   /* 第 */
    [0xe8] = true,                                                   /* 試 */
    [0xe9] = true,                                                   /* 重 */
};

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Most texts differ in their first byte, so that is looked at before all else. */
static bool take(span *s, const char *text) {
  if (s->p == s->end || (*s->p | 0x20) != (*text | 0x20)) return false;
  size_t n = strlen(text);
  if ((size_t)(s->end - s->p) < n || strncasecmp(s->p, text, n) != 0) return false;
  s->p += n;
  return true;
}

/* What may stand around the words, in its order of trying. */
static bool take_any(span *s, const char *const *texts) {
  for (; *texts; texts++)
    if (take(s, *texts)) return true;
  return false;
}
static const char *const spaces[] = {" ", "\t", "\n", "\r", "　", NULL};
static const char *const openers[] = {"(", "[", "<", "{", "#", "（", "【", "［", NULL};
static const char *const signs[] = {"#", ":", "=", "no.", "nr.", "n°", "nº", "number", "_", "-", "第", "：", NULL};
static const char *const totals[] = {"/", "of", "von", "sur", "de", "共", "out of", NULL};
static const char *const ordinals[] = {"st", "nd", "rd", "th", ".º", ".ª", "º", "ª", "ème", "e", ".", "次", NULL};
static const char *const closers[] = {")", "]", ">", "}", ".", "!", "）", "】", "］", "。", NULL};
static const char *const separators[] = {")", "]", ">",  "}",  ":",  "-",  ",",  ";",  ".", "|",
                                         "–", "—", "）", "】", "］", "：", "，", "。", NULL};

static void skip(span *s, const char *const *texts) {
  while (take_any(s, texts)) {
  }
}

static bool take_word(span *s, int *again_from) {
  for (size_t k = 0; k < sizeof words / sizeof words[0]; k++) {
    span t = *s;
    if (!take(&t, words[k].text) || (t.p < t.end && is_letter(*t.p) && is_letter(t.p[-1]))) continue;
    *again_from = words[k].again_from;
    *s = t;
    return true;
  }
  return false;
}

static bool take_number(span *s, int *number) {
  const char *from = s->p;
  for (*number = 0; s->p < s->end && is_digit(*s->p) && s->p - from <= MOST_DIGITS; s->p++)
    *number = *number * 10 + (*s->p - '0');
  return s->p > from && s->p - from <= MOST_DIGITS;
}

/* "2/5", "2 of 5"; what is no total is left where it is. */
static void skip_total(span *s) {
  span t = *s;
  int total;
  skip(&t, spaces);
  if (!take_any(&t, totals)) return;
  skip(&t, spaces);
  if (take_number(&t, &total)) *s = t;
}

/* "attempt #2 of 5", "2nd attempt", "第2次尝试". */
static bool take_try(span *s, bool *again) {
  int number, again_from;
  span t = *s;
  if (take_word(&t, &again_from)) {
    skip(&t, spaces);
    if (take_any(&t, signs)) skip(&t, spaces);
    if (!take_number(&t, &number)) return false;
    skip_total(&t);
  } else {
    (void)take(&t, "第");
    if (!take_number(&t, &number)) return false;
    (void)take_any(&t, ordinals);
    skip(&t, spaces);
    if (!take_word(&t, &again_from)) return false;
  }
  *again = number >= again_from;
  *s = t;
  return true;
}

/* At the head: what is left of the input begins behind it. */
static bool find_head(obs_str input, span *left, bool *again) {
  span s = {input.p, input.p + (input.len < NEAR ? input.len : NEAR)};
  skip(&s, spaces);
  skip(&s, openers);
  if (s.p == s.end || !begins[(unsigned char)*s.p] || !take_try(&s, again)) return false;
  skip(&s, spaces);
  if (!take_any(&s, separators)) return false; /* "retry 3 failed payments" */
  s.end = input.p + input.len;
  do skip(&s, spaces);
  while (take_any(&s, separators));
  if (s.p == s.end) return false;
  *left = s;
  return true;
}

static bool ends_before(const char *from, const char *at, const char *text) {
  size_t n = strlen(text);
  return (size_t)(at - from) >= n && memcmp(at - n, text, n) == 0;
}

static bool trim(span *s, const char *const *texts) {
  for (; *texts; texts++) {
    if (!ends_before(s->p, s->end, *texts)) continue;
    s->end -= strlen(*texts);
    return true;
  }
  return false;
}

/* At the end: what is left of the input ends before it. */
static bool find_end(obs_str input, span *left, bool *again) {
  const char *const end = input.p + input.len;
  const char *p = input.len > NEAR ? end - NEAR : input.p;
  for (; p < end; p++) {
    if (!begins[(unsigned char)*p]) continue;
    if (p > input.p && ((is_letter(p[-1]) && is_letter(*p)) || (is_digit(p[-1]) && is_digit(*p)))) continue;
    span s = {p, end};
    if (!take_try(&s, again)) continue;
    skip(&s, spaces);
    skip(&s, closers);
    if (s.p == s.end) break;
  }
  if (p == end) return false;
  span s = {input.p, p};
  static const char *const opened[] = {"-", ",", ":", ";", "|", "–", "—", "，", "：", NULL};
  while (trim(&s, spaces) || trim(&s, openers) || trim(&s, opened)) {
  }
  if (s.p == s.end) return false;
  *left = s;
  return true;
}

/* Most inputs end in a letter that ends none of the words: those need no closer look. */
static bool may_end(obs_str input) {
  span s = {input.p, input.p + input.len};
  while (s.p < s.end && !is_letter(s.end[-1]) && !is_digit(s.end[-1]) && (trim(&s, closers) || trim(&s, spaces))) {
  }
  if (s.p == s.end) return false;
  if (is_digit(s.end[-1])) return true;
  for (size_t k = 0; k < sizeof words / sizeof words[0]; k++) {
    const size_t len = words[k].len;
    if ((s.end[-1] | 0x20) != (words[k].text[len - 1] | 0x20) || (size_t)(s.end - s.p) < len) continue;
    if (strncasecmp(s.end - len, words[k].text, len) == 0) return true;
  }
  return false;
}

obs_tries obs_tries_of(obs_str input) {
  obs_tries t = {{NULL, 0, 0}, false};
  bool again = false;
  span left = {input.p, input.p + input.len};
  if (input.len > 0 && (find_head(input, &left, &again) || (may_end(input) && find_end(input, &left, &again))))
    t.again = again;
  t.task = (obs_str){left.p, (uint32_t)(left.end - left.p), 0};
  return t;
}
