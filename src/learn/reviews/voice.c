/* What a text says in its own voice: without what it quotes.
 *
 * A text that is nothing but one quotation, one code block or a JSON answer is unwrapped first: then what stands in it
 * is what was said. After that quotations, code and quoted lines are left out; `""` stands in their place. */
#include "learn/reviews/rules.h"
#include "learn/reviews/words.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

/* How quotations begin and end. `tight`: a mark that is also an apostrophe or a prime; it opens before a word, behind
 * none, and closes behind a word, before none. */
static const struct {
  obs_str open, close, other; /* other: another mark that closes, or empty */
  bool tight;
} quotes[] = {
    {OBS_STR("\""), OBS_STR("\""), OBS_STR(""), false},
    {OBS_STR("`"), OBS_STR("`"), OBS_STR(""), false},
    {OBS_STR("'"), OBS_STR("'"), OBS_STR("\xe2\x80\x99"), true},
    {OBS_STR("\xe2\x80\x98"), OBS_STR("\xe2\x80\x99"), OBS_STR("'"), true},             /* ‘ ’ */
    {OBS_STR("\xe2\x80\x9c"), OBS_STR("\xe2\x80\x9d"), OBS_STR(""), false},             /* “ ” */
    {OBS_STR("\xe2\x80\x9e"), OBS_STR("\xe2\x80\x9c"), OBS_STR("\xe2\x80\x9d"), false}, /* „ “ */
    {OBS_STR("\xc2\xab"), OBS_STR("\xc2\xbb"), OBS_STR(""), false},                     /* « » */
    {OBS_STR("\xc2\xbb"), OBS_STR("\xc2\xab"), OBS_STR(""), false},                     /* » « */
    {OBS_STR("\xe3\x80\x8c"), OBS_STR("\xe3\x80\x8d"), OBS_STR(""), false},             /* 「 」 */
    {OBS_STR("\xe3\x80\x8e"), OBS_STR("\xe3\x80\x8f"), OBS_STR(""), false},             /* 『 』 */
};

static bool stands(obs_str s, size_t at, obs_str what) {
  return what.len > 0 && at + what.len <= s.len && memcmp(s.p + at, what.p, what.len) == 0;
}

static bool is_blank_line(obs_str s, size_t at) {
  return at + 1 < s.len && s.p[at] == '\n' && (s.p[at + 1] == '\n' || s.p[at + 1] == '\r');
}

/* Where the quotation that begins at `at` ends; 0: none begins there. It ends in its paragraph. */
static size_t quotation_end(obs_str s, size_t at) {
  enum { LONGEST = 1000 };
  for (size_t i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++) {
    if (!stands(s, at, quotes[i].open)) continue;
    size_t from = at + quotes[i].open.len;
    if (quotes[i].tight &&
        ((at > 0 && obs_words_is_word(s.p[at - 1])) || from >= s.len || obs_words_is_space(s.p[from])))
      return 0;
    for (size_t k = from; k < s.len && k - from < LONGEST && !is_blank_line(s, k); k++) {
      if (s.p[k] == '\\') {
        k++;
        continue;
      }
      size_t len = stands(s, k, quotes[i].close)   ? quotes[i].close.len
                   : stands(s, k, quotes[i].other) ? quotes[i].other.len
                                                   : 0;
      if (len == 0) continue;
      bool inside =
          quotes[i].tight && (obs_words_is_space(s.p[k - 1]) || (k + len < s.len && obs_words_is_word(s.p[k + len])));
      if (!inside) return k + len;
    }
    return 0;
  }
  return 0;
}

static obs_str trim(obs_str s) {
  while (s.len > 0 && obs_words_is_space(s.p[0])) s = obs_str_slice(s, 1, UINT32_MAX);
  while (s.len > 0 && obs_words_is_space(s.p[s.len - 1])) s.len--;
  return s;
}

static size_t line_end(obs_str s, size_t at) {
  const char *nl = memchr(s.p + at, '\n', s.len - at);
  return nl != NULL ? (size_t)(nl - s.p) + 1 : s.len;
}

/* Whether the line at `at` opens or closes a code block. */
static bool is_fence(obs_str s, size_t at) {
  for (int i = 0; i < 3 && at < s.len && s.p[at] == ' '; i++) at++;
  return stands(s, at, OBS_STR("```")) || stands(s, at, OBS_STR("~~~"));
}

/* Behind the code block that begins at the line `at`; the text's end when it is not closed. */
static size_t block_end(obs_str s, size_t at) {
  for (at = line_end(s, at); at < s.len; at = line_end(s, at))
    if (is_fence(s, at)) return line_end(s, at);
  return s.len;
}

bool obs_review_block_is_open(obs_str text) {
  bool open = false;
  for (size_t at = 0; at < text.len; at = line_end(text, at)) open ^= is_fence(text, at);
  return open;
}

/* ---- what is wrapped ---- */

/* The text of a JSON answer, copied to `room`; p NULL: it is none. */
static obs_str json_answer(obs_str s, obs_buf *room) {
  static const char *const members[] = {"answer", "text",     "content", "message",
                                        "output", "response", "result",  "reply"};
  obs_str out = {0};
  if (s.len == 0 || s.p[0] != '{') return out;
  cJSON *json = cJSON_ParseWithLength(s.p, s.len);
  for (size_t i = 0; i < sizeof(members) / sizeof(members[0]) && out.p == NULL; i++) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, members[i]));
    if (text == NULL) continue;
    obs_buf_puts(room, text);
    out = obs_buf_view(room);
  }
  cJSON_Delete(json);
  return out;
}

/* Takes off what is around the whole text, once. */
static obs_str unwrap(obs_str s, obs_buf *room) {
  s = trim(s);
  if (s.len == 0) return s;
  if (is_fence(s, 0) && block_end(s, 0) == s.len) {
    size_t from = line_end(s, 0), end = s.len;
    while (end > from && s.p[end - 1] != '\n') end--; /* the closing fence */
    return trim(obs_str_slice(s, (uint32_t)from, (uint32_t)(end > from ? end - from : 0)));
  }
  for (size_t i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++) {
    if (!stands(s, 0, quotes[i].open) || quotation_end(s, 0) != s.len) continue;
    uint32_t from = quotes[i].open.len;
    return trim(obs_str_slice(s, from, s.len > 2 * from ? s.len - 2 * from : 0));
  }
  obs_str answer = json_answer(s, room);
  return answer.p != NULL ? trim(answer) : s;
}

/* ---- what is left out ---- */

/* Whether a line begins a paragraph, a list item, a heading or a row of a table. */
static bool begins_block(obs_str s, size_t at) {
  while (at < s.len && (s.p[at] == ' ' || s.p[at] == '\t')) at++;
  if (at >= s.len || strchr("\r\n-*#|+>", s.p[at]) != NULL || is_fence(s, at)) return true;
  size_t digits = at;
  while (digits < s.len && obs_words_is_digit(s.p[digits])) digits++;
  return digits > at && digits < s.len && (s.p[digits] == '.' || s.p[digits] == ')');
}

void obs_review_said(obs_str text, obs_buf *said) {
  obs_buf outer = {0}, inner = {0};
  obs_str s = unwrap(unwrap(text, &outer), &inner);
  for (size_t at = 0, end; at < s.len; at = end) {
    bool begins = at == 0 || s.p[at - 1] == '\n';
    if (begins && is_fence(s, at)) {
      end = block_end(s, at);
      obs_buf_puts(said, "\"\"\n");
    } else if (begins && s.p[at] == '>') {
      end = line_end(s, at);
      obs_buf_puts(said, "\"\"\n");
    } else if ((end = quotation_end(s, at)) > 0) {
      obs_buf_puts(said, "\"\"");
    } else {
      end = at + 1;
      bool breaks = s.p[at] == '\n' && begins_block(s, end);
      obs_buf_putc(said, s.p[at] == '\n' && !breaks ? ' ' : s.p[at]);
    }
  }
  said->oom = said->oom || outer.oom || inner.oom;
  obs_buf_fini(&inner);
  obs_buf_fini(&outer);
}
