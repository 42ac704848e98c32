/* What the shape of a text shows: an error page in place of an answer, a text that breaks off, one that goes in
 * circles. */
#include "base/utf8.h"
#include "learn/reviews/rules.h"
#include "learn/reviews/words.h"

#include <stdlib.h>
#include <xxhash.h>

/* ---- error pages ----
 *
 * A page of HTML or XML stands in place of the answer when it begins the text and its title, headings or message speak
 * of an error, a login or a check for robots; so does the status line of an HTTP answer alone. */

static const char page_begins[] = "<!doctype html|<html|<head|<body|<title|<h1|<?xml|<error";
static const char page_elements[] = "title|h1|h2|pre|code|message|center|p";
static const char page_says[] =
    "error|errors|not found|forbidden|unauthorized|bad gateway|gateway|unavailable|access "
    "denied|denied|timeout|time-out|"
    "timed out|just a moment|attention required|captcha|sign in|log in|login|maintenance|blocked|too many requests|"
    "bad request|not allowed|moved permanently|redirecting|cannot get|cannot post|something went wrong|"
    "checking your browser|verify you are human|session expired|accessdenied|nosuchkey|"
    "fehler|nicht gefunden|wartung*|anmelden|zugriff verweigert|mantenimiento|no encontrada|iniciar sesión|"
    "erreur|introuvable|se connecter|错误|維護|维护|登录|登入|找不到|エラー|メンテナンス|ログイン|見つかりません";
static const char reasons[] =
    "bad request|unauthorized|payment required|forbidden|not found|page not found|method not allowed|request timeout|"
    "request time-out|conflict|gone|payload too large|request entity too large|too many requests|internal server error|"
    "internal error|not implemented|bad gateway|service unavailable|service temporarily unavailable|temporarily "
    "unavailable|"
    "gateway timeout|gateway time-out";
static const char proxies[] = "upstream connect error or disconnect/reset before headers|no healthy upstream|"
                              "upstream request timeout|default backend - 404";

static size_t skip_spaces(obs_str low, size_t at) {
  while (at < low.len && obs_words_is_space(low.p[at])) at++;
  return at;
}

static bool begins_with(obs_str low, size_t at, const char *list) {
  for (obs_str p; obs_words_next(&list, &p);)
    if (low.len - at >= p.len && memcmp(low.p + at, p.p, p.len) == 0) return true;
  return false;
}

/* Where the page begins: at the start or behind a label (`Response: `). low.len: there is none. */
static size_t page_begin(obs_str low) {
  enum { LABEL = 32 };
  for (size_t at = 0; at < low.len && at < LABEL; at++) {
    bool labelled = at == 0 || low.p[at - 1] == ':' || (at > 1 && low.p[at - 2] == ':');
    if (low.p[at] == '<' && labelled && begins_with(low, at, page_begins)) return at;
    if (!obs_words_is_word(low.p[at]) && strchr(" :/.()", low.p[at]) == NULL) break;
  }
  return low.len;
}

static bool is_status(obs_str s) {
  return s.len == 3 && (s.p[0] == '4' || s.p[0] == '5') && obs_words_is_digit(s.p[1]) && obs_words_is_digit(s.p[2]);
}

/* The status that an element begins with: `503`, `HTTP 413 Request Entity Too Large`, and not `500 welders`,
 * `555-1234`. */
static obs_review_hit bad_status(obs_str text) {
  size_t at = skip_spaces(text, 0), end;
  if (begins_with(text, at, "http ")) at = skip_spaces(text, at + 5);
  if (at + 3 > text.len || !is_status(obs_str_slice(text, (uint32_t)at, 3))) return (obs_review_hit){0};
  for (end = at + 3; end < text.len && strchr(" :-|.\r\n\t", text.p[end]) != NULL;) end++;
  if (end < text.len && (end == at + 3 || obs_words_at(text, end, reasons).end == 0)) return (obs_review_hit){0};
  return (obs_review_hit){obs_str_slice(text, (uint32_t)at, 3), 1};
}

/* The first words of an element that speak of an error. */
static obs_review_hit bad_words(obs_str text) {
  obs_words_span at = obs_words_anywhere(text, page_says);
  return at.end > 0 ? (obs_review_hit){obs_words_of(text, at), 1} : bad_status(text);
}

/* What the elements of a page say. */
static obs_review_hit page_error(obs_str low, size_t from) {
  enum { ELEMENTS = 8, LONGEST = 120 };
  uint32_t looked = 0;
  for (size_t at = from; at < low.len && looked < ELEMENTS; at++) {
    if (low.p[at] != '<') continue;
    obs_words_span name = obs_words_at(low, at + 1, page_elements);
    const char *close = name.end > 0 ? memchr(low.p + name.end, '>', low.len - name.end) : NULL;
    if (name.end > 0 && close == NULL) break;
    if (close == NULL) continue;
    size_t begin = (size_t)(close - low.p) + 1, end = begin;
    while (end < low.len && low.p[end] != '<') end++;
    looked++;
    obs_review_hit hit =
        bad_words(obs_str_slice(low, (uint32_t)begin, (uint32_t)(end - begin > LONGEST ? LONGEST : end - begin)));
    if (hit.count > 0) return hit;
  }
  return (obs_review_hit){0};
}

/* `HTTP/1.1 503 Service Unavailable`, `404 page not found`: a line of its own, first in the text. */
static obs_review_hit status_line(obs_str lines) {
  const char *nl = memchr(lines.p, '\n', lines.len);
  obs_str line = obs_str_slice(lines, 0, nl != NULL ? (uint32_t)(nl - lines.p) : lines.len);
  size_t at = 0;
  if (begins_with(line, 0, "http/")) {
    while (at < line.len && line.p[at] != ' ') at++;
    at = skip_spaces(line, at);
  } else if (begins_with(line, 0, "http ")) {
    at = 5;
  }
  if (line.len - at < 4 || !is_status(obs_str_slice(line, (uint32_t)at, 3)) || obs_words_is_word(line.p[at + 3]))
    return (obs_review_hit){0};
  size_t word = at + 3;
  while (word < line.len && strchr(" :-|", line.p[word]) != NULL) word++;
  obs_words_span reason = obs_words_at(line, word, reasons);
  size_t end = reason.end;
  while (end > 0 && end < line.len && strchr(".! ", line.p[end]) != NULL) end++;
  if (reason.end == 0 || end < line.len) return (obs_review_hit){0};
  return (obs_review_hit){obs_str_slice(line, (uint32_t)at, (uint32_t)(reason.end - at)), 1};
}

obs_review_hit obs_review_page(obs_str low, obs_str lines) {
  size_t at = page_begin(low);
  if (at < low.len) return page_error(low, at);
  if (begins_with(low, 0, proxies)) return (obs_review_hit){obs_utf8_cut_str(low, 60), 1};
  return low.len > 0 ? status_line(lines) : (obs_review_hit){0};
}

/* ---- texts that break off ----
 *
 * The end is looked at: a code block, a bracket or JSON that is not closed, a comma, a word that must be followed by
 * another (`the`, `because`). Which words those are is told by the language that most such words of the text are of. A
 * sentence without its mark shows only beside others that have theirs, the more of them, the more. */

typedef struct {
  const char *end;    /* no sentence ends in them */
  const char *rarely; /* nor in these, where sentences have marks, or in a long one */
} ends_row;

static const ends_row languages[] = {
    {"the|a|an|and|or|but|of|because|if|whose|than|their|its|our|your|my|from|into|which|where|while|although|whether|"
     "until|were|be|been|will|would|could|into|onto|nor|neither|either|every|each|these|those|such",
     "to|with|by|for|that|as|at|when|is|are|was|has|have|had|in|on|it|this|not|can|should|may|who|after|before|about|"
     "his|"
     "her|through|via|per|between|without|during|then|so|also|only|i|we|they|he|she"},
    {"der|dem|den|des|eine|einen|einem|einer|eines|und|oder|aber|weil|dass|ob|von|zum|zur|für|im|am|ins|vom|deren|"
     "dessen|"
     "sowie|sondern|damit|obwohl|falls|wenn|bei|durch|ohne|gegen|zwischen|wegen",
     "das|die|ein|mit|als|auf|an|in|zu|nach|über|unter|vor|aus|um|ist|sind|wird|werden|hat|haben|nicht|auch|sich|kann|"
     "muss"},
    {"el|la|los|las|un|una|unos|unas|y|o|e|de|del|al|que|con|por|para|en|su|sus|mi|lo|si|porque|cuando|donde|sin|sobre|"
     "entre|hasta|desde|pero|aunque|como",
     "se|es|son|está|están|fue|ha|han|no|más|muy"},
    {"le|la|les|un|une|des|du|de|et|ou|que|qui|dans|pour|avec|par|au|aux|son|sa|ses|leur|leurs|ce|cette|ces|mais|donc|"
     "car|"
     "lorsque|dont|où|sans|entre|chez|quand|puisque|afin",
     "en|sur|est|sont|a|ont|pas|plus|très|se|à"},
};
static const char joined_ends[] =
    "and then|and finally|and also|and therefore|and thus|and afterwards|the new|the old|the following|the current|"
    "the main|a new|a few|one of the|und dann|und danach|und schließlich|y luego|y después|y finalmente|y entonces|"
    "et puis|et ensuite|et enfin|et finalement";
static const char wide_ends[] =
    "并且|而且|因为|因此|所以|但是|如果|以及|和|与|或|或者|把|被|对|从|向|为了|由于|並且|因為|"
    "は|が|を|に|と|ため|また|および|ので|ながら";

enum { LANGUAGES = sizeof(languages) / sizeof(languages[0]) };

static obs_str word_before(obs_str low, size_t end) {
  size_t from = end;
  while (from > 0 && obs_words_is_word(low.p[from - 1])) from--;
  return obs_str_slice(low, (uint32_t)from, (uint32_t)(end - from));
}

/* The language most of whose words stand in the text; of several the first. */
static const ends_row *language_of(obs_str low) {
  uint32_t best = 0, most = 0;
  for (uint32_t k = 0; k < LANGUAGES; k++) {
    uint32_t n = 0;
    for (size_t at = 0, end; at < low.len; at = end + 1) {
      end = at;
      while (end < low.len && obs_words_is_word(low.p[end])) end++;
      obs_str w = obs_str_slice(low, (uint32_t)at, (uint32_t)(end - at));
      if (w.len > 0 && w.len < 10 &&
          (obs_words_is_one_of(w, languages[k].end) || obs_words_is_one_of(w, languages[k].rarely)))
        n++;
    }
    if (n > most) {
      most = n;
      best = k;
    }
  }
  return &languages[best];
}

/* Where the bracket is that is never closed; text.len: none. Smileys and `a)` are none. */
static size_t open_bracket(obs_str text) {
  static const char opens[] = "([{", closes[] = ")]}";
  enum { DEPTH = 64 };
  size_t stack[DEPTH];
  uint32_t n = 0;
  for (uint32_t i = 0; i < text.len; i++) {
    const char *open = memchr(opens, text.p[i], 3), *close = memchr(closes, text.p[i], 3);
    bool smiley = i > 0 && strchr(":;=-", text.p[i - 1]) != NULL;
    if (open != NULL && !smiley && n < DEPTH) stack[n++] = i;
    if (close != NULL && n > 0 && text.p[stack[n - 1]] == opens[close - closes]) n--;
  }
  return n > 0 ? stack[0] : text.len;
}

/* Whether JSON begins the text and does not end in it. */
static bool is_open_json(obs_str text) {
  bool quoted = false;
  int depth = 0;
  if (text.len < 2 || (text.p[0] != '{' && text.p[0] != '[') || memchr(text.p, '"', text.len) == NULL) return false;
  for (uint32_t i = 0; i < text.len; i++) {
    char c = text.p[i];
    if (quoted && c == '\\')
      i++;
    else if (c == '"')
      quoted = !quoted;
    else if (!quoted)
      depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
    if (depth == 0) return false; /* it ends, or was none */
  }
  return true;
}

static bool ends_in_wide_mark(obs_str own, size_t end) {
  static const char marks[] = "\xe3\x80\x82|\xef\xbc\x81|\xef\xbc\x9f"; /* 。 ！ ？ */
  return end >= 3 && obs_words_at(own, end - 3, marks).end == end;
}

/* Where a quotation begins that is never closed (those that are stand as `""`), in the last paragraph; own.len: none.
 */
static size_t open_quotation(obs_str own) {
  static const char wide[] = "\xe2\x80\x9c|\xe2\x80\x9e|\xc2\xab|\xe3\x80\x8c|\xe3\x80\x8e"; /* “ „ « 「 『 */
  size_t from = own.len;
  while (from > 0 && own.p[from - 1] != '\n') from--;
  for (size_t i = from; i + 1 < own.len; i++) {
    const bool begins = i == from || strchr(" (:", own.p[i - 1]) != NULL;
    if (own.p[i] == '"' && own.p[i + 1] == '"')
      i++;
    else if (own.p[i] == '"' && begins && !obs_words_is_space(own.p[i + 1]))
      return i;
    else if ((unsigned char)own.p[i] >= 0xc2 && obs_words_at(own, i, wide).end > 0)
      return i;
  }
  return own.len;
}

/* Sentences of more than three words that end in their mark; of a script without spaces, of more than three characters.
 */
static uint32_t marked_sentences(obs_str own) {
  uint32_t n = 0;
  for (size_t from = 0, end; from < own.len; from = end) {
    end = obs_words_sentence_end(own, from);
    uint32_t words = 0;
    for (size_t i = from; i < end; i++) words += own.p[i] == ' ' || obs_words_is_wide(own.p[i]) ? 1 : 0;
    if (words >= 3 && (strchr(".!?", own.p[end - 1]) != NULL || ends_in_wide_mark(own, end))) n++;
  }
  return n;
}

typedef struct {
  size_t from; /* where the last sentence begins */
  uint32_t words;
  bool prose; /* no list or table, and it does not end in a number or path */
  bool plain; /* ... nor holds one */
} last_sentence;

static last_sentence find_last(obs_str own) {
  last_sentence s = {0};
  for (size_t end; (end = obs_words_sentence_end(own, s.from)) < own.len;) s.from = end;
  s.from = skip_spaces(own, s.from);
  size_t word = own.len; /* the last one */
  while (word > s.from && !obs_words_is_space(own.p[word - 1])) word--;
  for (size_t i = s.from; i < own.len; i++) s.words += own.p[i] == ' ' || obs_words_is_wide(own.p[i]) ? 1 : 0;
  s.words++;
  s.prose =
      s.from < own.len && strchr("-*#|>+\"", own.p[s.from]) == NULL && obs_review_support(own, word, own.len).p == NULL;
  s.plain = s.prose && obs_review_support(own, s.from, own.len).p == NULL;
  return s;
}

static obs_review_cut cut(double part, obs_str own) {
  enum { SHOWN = 40 };
  size_t from = own.len > SHOWN ? own.len - SHOWN : 0;
  while (from < own.len && ((unsigned char)own.p[from] & 0xc0) == 0x80) from++;
  return (obs_review_cut){part, obs_str_slice(own, (uint32_t)from, UINT32_MAX)};
}

/* The end as one mark shows it: how sure. `last` is no letter. */
static double part_of_mark(char last, const last_sentence *s) {
  if (last == ',' || (last == '(' && s->words > 1)) return 1;
  return last == ':' && s->words >= 4 ? 0.6 : 0; /* what it announces is missing */
}

/* A script without spaces ends in a comma, or a word that another must follow. */
static bool ends_wide(obs_str own) {
  static const char commas[] = "\xef\xbc\x8c|\xe3\x80\x81"; /* ， 、 */
  if (own.len >= 3 && obs_words_at(own, own.len - 3, commas).end > 0) return true;
  for (uint32_t n = 3; n <= 6 && n <= own.len; n += 3) {
    obs_str end = obs_str_slice(own, own.len - n, UINT32_MAX);
    if (obs_words_is_wide(end.p[0]) && obs_words_is_one_of(end, wide_ends)) return true;
  }
  return false;
}

/* The last word is one that another must follow. `marked`: sentences that end in their mark. */
static bool ends_in_word(obs_str own, const last_sentence *s, uint32_t marked) {
  enum { SHORT = 20, LONG_SENTENCE = 8 };
  const ends_row *language = language_of(own);
  const char *list = joined_ends;
  obs_str word = word_before(own, own.len);
  bool among_others = s->words > 2 || marked > 0 || s->from > SHORT;
  if (among_others && obs_words_is_one_of(word, language->end)) return true;
  if (s->words < 3) return false;
  for (obs_str p; obs_words_next(&list, &p);)
    if (p.len < own.len && obs_str_eq(obs_str_slice(own, own.len - p.len, p.len), p)) return true;
  return (marked > 0 || s->words >= LONG_SENTENCE) && obs_words_is_one_of(word, language->rarely);
}

/* The mark of the last sentence is missing: as telling as others have theirs. */
static double part_of_missing(obs_str own, const last_sentence *s, uint32_t marked) {
  enum { LONG_WITH_NUMBER = 10, LONG_WIDE = 12, MARKED = 3 };
  static const double parts[] = {0, 0, 0.35, 0.5, 0.75, 1};
  const uint32_t most = sizeof(parts) / sizeof(parts[0]) - 1, least = marked > 2 ? 4 : 8;
  const bool wide = own.len >= 3 && obs_words_is_wide(own.p[own.len - 3]);
  if (wide) return s->prose && s->words >= LONG_WIDE && marked >= MARKED ? 1 : 0;
  if (s->prose && !s->plain) return s->words >= LONG_WITH_NUMBER && marked >= MARKED ? 1 : 0;
  return s->plain && s->words >= least ? parts[marked < most ? marked : most] : 0;
}

obs_review_cut obs_review_breaks_off(obs_str text, obs_str own) {
  const obs_review_cut no = {0, {NULL, 0, 0}};
  while (text.len > 0 && obs_words_is_space(text.p[0])) text = obs_str_slice(text, 1, UINT32_MAX);
  if (obs_review_block_is_open(text) || is_open_json(text)) return cut(1, text);
  if (own.len == 0 || text.p[0] == '<') return no;
  last_sentence s = find_last(own);
  uint32_t marked = marked_sentences(own);
  double part = 0;
  if (!obs_words_is_word(own.p[own.len - 1]))
    part = part_of_mark(own.p[own.len - 1], &s);
  else if (ends_wide(own) || ends_in_word(own, &s, marked) ||
           ((open_bracket(own) < own.len || open_quotation(own) < own.len) && s.words + marked >= 8))
    part = 1;
  else
    part = part_of_missing(own, &s, marked);
  return part > 0 ? cut(part, own) : no;
}

/* ---- texts that go in circles ----
 *
 * A word, or a few in the same order, again and again, for at least half of the text. Numbers are never the same, so
 * that tables and test logs are none. */

enum { WORDS = 4096, PERIOD = 24 };

/* Hashes of the text's words; a character of a script without spaces is one. */
static uint32_t hash_words(obs_str own, uint64_t *hashes) {
  uint32_t n = 0;
  for (size_t at = 0; at < own.len && n < WORDS;) {
    size_t from = at++;
    if (!obs_words_is_word(own.p[from])) continue;
    bool letters = !obs_words_is_digit(own.p[from]);
    if (obs_words_is_wide(own.p[from])) {
      while (at < own.len && ((unsigned char)own.p[at] & 0xc0) == 0x80) at++;
    } else {
      while (at < own.len && obs_words_is_word(own.p[at]) && !obs_words_is_wide(own.p[at])) {
        letters = letters && !obs_words_is_digit(own.p[at]);
        at++;
      }
    }
    hashes[n] = letters ? XXH3_64bits(own.p + from, at - from) : n;
    n++;
  }
  return n;
}

obs_review_hit obs_review_loop(obs_str own) {
  enum { TIMES_WORD = 8, TIMES_PHRASE = 5 };
  obs_review_hit out = {0};
  uint64_t *hashes = malloc(WORDS * sizeof(*hashes));
  if (hashes == NULL) return out;
  uint32_t n = hash_words(own, hashes);
  for (uint32_t period = 1; period <= PERIOD && out.count == 0; period++) {
    uint32_t same = 0, most = 0;
    for (uint32_t i = period; i < n; i++) {
      same = hashes[i] == hashes[i - period] ? same + 1 : 0;
      if (same > most) most = same;
    }
    uint32_t times = most / period + 1;
    if (times >= (period == 1 ? TIMES_WORD : TIMES_PHRASE) && 2 * (most + period) >= n) out.count = times;
  }
  free(hashes);
  return out;
}
