#include "learn/reviews/words.h"

#include "redact/token.h"

bool obs_words_is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

bool obs_words_is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool obs_words_is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || obs_words_is_digit(c) || c == '_' ||
         (unsigned char)c >= 0x80;
}

bool obs_words_is_wide(char c) {
  return (unsigned char)c >= 0xe3;
}

/* ---- lower case ---- */

/* What is written in another way: the bytes, and what stands for them. */
static const struct {
  obs_str bytes;
  char as;
} written[] = {
    {OBS_STR("\xe2\x80\x99"), '\''}, /* the typographic apostrophe */
    {OBS_STR("\xc2\xa0"), ' '},      /* spaces that are none in ASCII */
    {OBS_STR("\xe2\x80\xaf"), ' '},
    {OBS_STR("\xe3\x80\x80"), ' '},
};

static void put_space(obs_buf *low, char c) {
  char last = low->len > 0 ? low->p[low->len - 1] : '\n';
  if (last == '\n') return;
  if (last != ' ')
    obs_buf_putc(low, c);
  else
    low->p[low->len - 1] = c;
}

void obs_words_lower(obs_str text, bool lines, obs_buf *low) {
  if (!obs_buf_reserve(low, text.len + 1)) return;
  for (uint32_t i = 0; i < text.len; i++) {
    char c = text.p[i];
    size_t token = c == '[' ? obs_redact_token(text.p + i, text.len - i) : 0;
    if (token > 0) { /* as evidence it can be searched for */
      obs_buf_append(low, text.p + i, token);
      i += (uint32_t)token - 1;
      continue;
    }
    for (size_t k = 0; (unsigned char)c >= 0x80 && k < sizeof(written) / sizeof(written[0]); k++) {
      obs_str w = written[k].bytes;
      if (!obs_str_eq(obs_str_slice(text, i, w.len), w)) continue;
      i += w.len - 1;
      c = written[k].as;
    }
    bool accent = i > 0 && (unsigned char)text.p[i - 1] == 0xc3 && (unsigned char)c >= 0x80 && (unsigned char)c <= 0x9e;
    if (obs_words_is_space(c))
      put_space(low, lines && c == '\n' ? '\n' : ' ');
    else
      obs_buf_putc(low, (c >= 'A' && c <= 'Z') || (accent && (unsigned char)c != 0x97) ? (char)(c | 0x20) : c);
  }
  while (low->len > 0 && obs_words_is_space(low->p[low->len - 1])) low->len--;
}

/* ---- phrases ---- */

bool obs_words_next(const char **list, obs_str *phrase) {
  *phrase = (obs_str){*list, (uint32_t)strcspn(*list, "|"), 0};
  *list += phrase->len + ((*list)[phrase->len] == '|' ? 1 : 0);
  return phrase->len > 0;
}

bool obs_words_is_one_of(obs_str text, const char *list) {
  for (obs_str p; obs_words_next(&list, &p);)
    if (obs_str_eq(text, p)) return true;
  return false;
}

/* Whether the character that ends before `at` is a letter of a script with words. */
static bool letter_before(obs_str low, size_t at) {
  if (at == 0 || !obs_words_is_word(low.p[at - 1])) return false;
  if ((unsigned char)low.p[at - 1] < 0x80) return true;
  size_t lead = at - 1;
  while (lead > 0 && ((unsigned char)low.p[lead] & 0xc0) == 0x80) lead--;
  return (unsigned char)low.p[lead] >= 0xc3 && (unsigned char)low.p[lead] < 0xe2;
}

static bool letter_at(obs_str low, size_t at) {
  if (at >= low.len || !obs_words_is_word(low.p[at])) return false;
  return (unsigned char)low.p[at] < 0x80 || ((unsigned char)low.p[at] >= 0xc3 && (unsigned char)low.p[at] < 0xe2);
}

static bool stands(obs_str low, size_t at, const char *word, size_t len) {
  return low.len - at >= len && memcmp(low.p + at, word, len) == 0;
}

static bool is_mark(char c) {
  return c == '*' || c == '$' || c == '!';
}

/* Whether a clause may end at `at`: what follows is a mark, or with `$` a word that begins another one. */
static bool ends_clause(obs_str low, size_t at, char mark) {
  static const char words[] =
      "yet|so far|though|but|and|now|again|too|either|however|ahora|maintenant|aber|und|jetzt|pero|ya|mais|et|"
      "already|on my|here";
  while (at < low.len && low.p[at] == ' ') at++;
  if (at == low.len || !letter_at(low, at)) return at == low.len || !obs_words_is_digit(low.p[at]);
  const char *list = words;
  for (obs_str p; mark == '$' && obs_words_next(&list, &p);)
    if (stands(low, at, p.p, p.len) && !letter_at(low, at + p.len)) return true;
  return false;
}

/* Where the phrase that stands at `at` ends; 0: it does not. */
static size_t end_of(obs_str low, size_t at, obs_str phrase) {
  char mark = phrase.p[phrase.len - 1];
  size_t len = phrase.len - (is_mark(mark) ? 1 : 0), end = at + len;
  if (!stands(low, at, phrase.p, len)) return 0;
  char first = phrase.p[0], last = phrase.p[len - 1];
  bool wide_end = (unsigned char)last >= 0x80 && !letter_before((obs_str){phrase.p, (uint32_t)len, 0}, len);
  if (obs_words_is_word(first) && !obs_words_is_wide(first) && letter_before(low, at)) return 0;
  if (mark != '*' && obs_words_is_word(last) && !wide_end && letter_at(low, end)) return 0;
  return (mark == '$' || mark == '!') && !ends_clause(low, end, mark) ? 0 : end;
}

obs_words_span obs_words_at(obs_str low, size_t at, const char *list) {
  obs_words_span best = {at, 0};
  for (obs_str p; at < low.len && obs_words_next(&list, &p);) {
    size_t end = end_of(low, at, p);
    if (end > best.end) best.end = end;
  }
  return best;
}

obs_words_span obs_words_find(obs_str low, size_t from, size_t limit, const char *list) {
  obs_words_span best = {0};
  if (limit > low.len) limit = low.len;
  for (obs_str p; obs_words_next(&list, &p);) {
    char mark = p.p[p.len - 1];
    size_t len = p.len - (is_mark(mark) ? 1 : 0);
    size_t first = best.end > 0 ? best.at + 1 : limit; /* it must begin before this */
    size_t hay = low.len - first > len ? first + len : low.len;
    for (size_t at = from; at < limit; at++) {
      const char *found = memmem(low.p + at, hay - at, p.p, len);
      if (found == NULL) break;
      at = (size_t)(found - low.p);
      if (at >= limit || (best.end > 0 && at > best.at)) break;
      size_t end = end_of(low, at, p);
      if (end == 0) continue;
      if (best.end == 0 || at < best.at || end > best.end) best = (obs_words_span){at, end};
      break;
    }
  }
  return best;
}

obs_words_span obs_words_anywhere(obs_str low, const char *list) {
  return obs_words_find(low, 0, low.len, list);
}

size_t obs_words_sentence_end(obs_str low, size_t from) {
  static const char wide[] = "\xe3\x80\x82|\xef\xbc\x81|\xef\xbc\x9f|\xef\xbc\x9b"; /* 。 ！ ？ ； */
  enum {
    LONG = 2000,
    LONGEST = 4000
  }; /* what looks for several phrases in one sentence must not take a page for one */
  for (size_t i = from; i < low.len; i++) {
    char c = low.p[i];
    bool too_long = i - from > LONG && (c == ' ' || (i - from > LONGEST && ((unsigned char)c & 0xc0) != 0x80));
    if (too_long) return i;
    if (c == '\n') return i + 1;
    if (strchr(".!?;", c) != NULL && (i + 1 == low.len || low.p[i + 1] == ' ' || low.p[i + 1] == '\n')) return i + 1;
    if (!obs_words_is_wide(c)) continue;
    obs_words_span mark = obs_words_at(low, i, wide);
    if (mark.end > 0) return mark.end;
  }
  return low.len;
}
