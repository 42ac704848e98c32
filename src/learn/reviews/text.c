/* What a text shows by itself: whether it is empty, gives orders, holds placeholders, begins as an error does, what it
 * claims. */
#include "learn/reviews/rules.h"
#include "learn/reviews/words.h"

#include <xxhash.h>

/* ---- the same text ---- */

/* The next byte that is no white space, from *at on; -1: none. */
static int next_byte(obs_str s, uint32_t *at) {
  while (*at < s.len && obs_words_is_space(s.p[*at])) (*at)++;
  return *at < s.len ? (unsigned char)s.p[(*at)++] : -1;
}

bool obs_review_same_text(obs_str a, obs_str b) {
  uint32_t i = 0, j = 0;
  for (;;) {
    int x = next_byte(a, &i), y = next_byte(b, &j);
    if (x != y) return false;
    if (x < 0) return true;
  }
}

uint64_t obs_review_text_hash(obs_str text) {
  char part[256];
  size_t n = 0;
  uint64_t hash = 0;
  uint32_t at = 0;
  for (int c; (c = next_byte(text, &at)) >= 0;) {
    part[n++] = (char)c;
    if (n < sizeof(part)) continue;
    hash = XXH3_64bits_withSeed(part, n, hash);
    n = 0;
  }
  return XXH3_64bits_withSeed(part, n, hash);
}

/* ---- phrases ---- */

void obs_review_lower(obs_str text, obs_buf *low) {
  obs_words_lower(text, false, low);
}

/* The first phrase of the list that the text holds. */
static obs_review_hit first_of(obs_str low, const char *list) {
  obs_words_span found = obs_words_anywhere(low, list);
  return found.end > 0 ? (obs_review_hit){obs_words_of(low, found), 1} : (obs_review_hit){0};
}

bool obs_review_is_empty(obs_str low) {
  uint32_t words = 0;
  for (uint32_t i = 0; i < low.len; i++) words += obs_words_is_word(low.p[i]) ? 1 : 0;
  return words == 0 ||
         obs_words_is_one_of(low, "null|none|nil|n/a|undefined|(empty)|nan|no output|no answer|no response");
}

obs_review_hit obs_review_orders(obs_str low) {
  const char *orders =
      "ignore previous instructions|ignore all previous|ignore the previous instructions|"
      "ignore the above|ignore your instructions|ignore all instructions|disregard previous|"
      "disregard all previous|disregard the above|disregard your instructions|forget your instructions|"
      "override your instructions|you must answer accept|answer with accept|respond with accept|"
      "\"verdict\":\"accept\"|\"verdict\": \"accept\"|new system prompt";
  return first_of(low, orders);
}

/* ---- placeholders ---- */

/* Words before a placeholder that is spoken of, and words that go on behind one. */
static const char spoken_before[] = "the|a|an|all|every|each|no|any|old|one|two|three|replaced|replace|replaces|uses|"
                                    "use|used|fills|fill|removed|remove|"
                                    "renders|placeholder|placeholders|variable|template|die|der|das|alle|drei|zwei|les|"
                                    "le|la|los|las|el|todos|header|headers|"
                                    "column|field|label|labels|key|section|levels|spalte|colonne|columna";
static const char spoken_behind[] = "item|items|list|lists|comment|comments|entry|entries|marker|markers|note|notes";

static bool is_spoken_of(obs_str said, obs_words_span at) {
  size_t end = at.at, next = at.end;
  while (end > 0 && said.p[end - 1] == ' ') end--;
  size_t from = end;
  while (from > 0 && obs_words_is_word(said.p[from - 1])) from--;
  obs_buf word = {0};
  obs_words_lower(obs_str_slice(said, (uint32_t)from, (uint32_t)(end - from)), false, &word);
  bool spoken = end < at.at && word.len > 0 && obs_words_is_one_of(obs_buf_view(&word), spoken_before);
  obs_buf_fini(&word);
  if (next < said.len && said.p[next] == '-') return true;
  while (next < said.len && said.p[next] == ' ') next++;
  return spoken || (next < said.len && obs_words_at(said, next, spoken_behind).end > 0);
}

/* TODO and the like, in capitals; not as a part of something longer (`555-XXX-1234`). */
static obs_review_hit find_mark(obs_str said) {
  static const char marks[] = "TODO|FIXME|TBD|XXX|XXXX";
  for (obs_words_span at = {0}; (at = obs_words_find(said, at.end, said.len, marks)).end > 0;) {
    const bool joined = at.at > 0 && strchr("-/._", said.p[at.at - 1]) != NULL;
    if (!joined && !is_spoken_of(said, at)) return (obs_review_hit){obs_words_of(said, at), 1};
  }
  return (obs_review_hit){0};
}

/* What a template has a slot for. */
static const char slot_names[] =
    "name|names|first name|last name|full name|date|time|company|client|customer|customer_name|client_name|recipient|"
    "sender|title|address|email|phone|city|position|product|amount|user|username|user_name|first_name|last_name|"
    "firma|datum|vorname|nachname|adresse|betrag|kunde*|empfänger|nom|prénom|société|destinataire|nombre|fecha|empresa|"
    "cliente|destinatario|"
    "姓名|名字|日期|公司|客户|お名前|名前|氏名|日付|会社";
static const char slot_orders[] = "your|insert|enter|ihr|ihren|votre|su|tu";
static const char greetings[] =
    "dear|hi|hello|hey|hallo|liebe|lieber|geehrte|geehrter|frau|herr|bonjour|cher|chère|hola|estimado|estimada|"
    "querido|querida|señor|señora";

static bool is_capital(char c) {
  return (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

/* Whether a word of greeting stands before `at`. */
static bool is_greeted(obs_str said, size_t at) {
  while (at > 0 && said.p[at - 1] == ' ') at--;
  size_t from = at;
  while (from > 0 && obs_words_is_word(said.p[from - 1])) from--;
  obs_buf word = {0};
  obs_words_lower(obs_str_slice(said, (uint32_t)from, (uint32_t)(at - from)), false, &word);
  const bool greeted = word.len > 0 && obs_words_is_one_of(obs_buf_view(&word), greetings);
  obs_buf_fini(&word);
  return greeted;
}

/* Whether what stands between the marks is the name of a slot: `[Customer Name]`, `<your name>`; `{name}` and `%NAME%`
 * behind a greeting only; of `{{customer}}` any name. */
static bool is_slot(obs_str said, size_t at, obs_str inner, char open) {
  bool digits = false, spaces = false, small = false, other = false;
  for (uint32_t i = 0; i < inner.len; i++) {
    const char c = inner.p[i];
    digits |= obs_words_is_digit(c);
    spaces |= c == ' ' || c == '_';
    small |= c >= 'a' && c <= 'z';
    other |= !obs_words_is_word(c) && strchr(" .'-|", c) == NULL;
  }
  if (inner.len == 0 || other) return false;
  if (open == '2') return true;
  obs_buf low = {0};
  obs_words_lower(inner, false, &low);
  const bool names = obs_words_anywhere(obs_buf_view(&low), slot_names).end > 0;
  const bool asks = low.len > 0 && obs_words_at(obs_buf_view(&low), 0, slot_orders).end > 0;
  obs_buf_fini(&low);
  if (digits || !names) return false;
  if (open == '[') return asks || is_capital(inner.p[0]);
  if (open == '<') return asks || spaces || !small;
  return is_greeted(said, at);
}

/* Where the slot that begins at `at` ends; 0: none begins there. */
static size_t slot_end(obs_str said, size_t at) {
  enum { LONGEST = 40 };
  static const char opens[] = "[<{%", closes[] = "]>}%";
  const char *open = memchr(opens, said.p[at], sizeof(opens) - 1);
  if (open == NULL || (at > 0 && (obs_words_is_word(said.p[at - 1]) || strchr("$/\\[", said.p[at - 1]) != NULL) &&
                       !obs_words_is_wide(said.p[at > 2 ? at - 3 : 0])))
    return 0;
  const bool twice = *open == '{' && at + 1 < said.len && said.p[at + 1] == '{';
  const size_t from = at + (twice ? 2 : 1);
  size_t end = from;
  while (end < said.len && end - from < LONGEST && said.p[end] != closes[open - opens] && said.p[end] != '\n') end++;
  if (end >= said.len || said.p[end] != closes[open - opens]) return 0;
  if (twice && (end + 1 >= said.len || said.p[end + 1] != '}')) return 0;
  const size_t behind = end + (twice ? 2 : 1);
  if (behind < said.len && strchr("([", said.p[behind]) != NULL) return 0; /* a link */
  return is_slot(said, at, obs_str_slice(said, (uint32_t)from, (uint32_t)(end - from)), twice ? '2' : *open) ? behind
                                                                                                             : 0;
}

static obs_review_hit find_slot(obs_str said) {
  for (size_t at = 0; at < said.len; at++) {
    const obs_words_span span = {at, slot_end(said, at)};
    if (span.end > 0 && !is_spoken_of(said, span)) return (obs_review_hit){obs_words_of(said, span), 1};
  }
  return (obs_review_hit){0};
}

obs_review_hit obs_review_placeholder(obs_str said, obs_str own, obs_str low) {
  static const char fillers[] = "<your |<your_|<your-|<insert |[insert |[your |your_api_key|your-api-key|<placeholder|"
                                "[placeholder|placeholder text|implement me|to be filled in|to be determined|"
                                "your code here|rest of the code|rest of code|goes here";
  obs_review_hit hit = find_mark(said);
  if (hit.count == 0) hit = find_slot(said);
  if (hit.count > 0) return hit;
  hit = first_of(low, fillers);
  return hit.count > 0 || first_of(own, "lorem ipsum").count == 0 ? hit : first_of(low, "lorem ipsum");
}

/* What opens an error message rather than an answer that speaks of one. */
obs_review_hit obs_review_error(obs_str low) {
  const char *opens = "error:|fatal:|panic:|fatal error:|internal server error|uncaught exception|unhandled exception|"
                      "exception in thread|traceback (most recent call last)|{\"error\":\"|{\"error\": \"|{\"error\":{|"
                      "{\"error\": {";
  for (obs_str p; obs_words_next(&opens, &p);)
    if (obs_str_eq(obs_str_slice(low, 0, p.len), p)) return (obs_review_hit){{low.p, p.len, 0}, 1};
  return (obs_review_hit){0};
}

/* ---- claims ---- */

/* A word that says where to look: /var/log/x, src/main.c, parser.py. */
static bool is_path(obs_str w) {
  uint32_t slashes = 0, dot = 0;
  for (uint32_t i = 0; i < w.len; i++) {
    slashes += w.p[i] == '/' ? 1 : 0;
    if (w.p[i] == '.' && i + 1 < w.len) dot = i;
  }
  if (slashes > 0 && w.len > 2) return w.p[0] == '/' || w.p[0] == '~' || slashes > 1 || dot > 0;
  return dot >= 2 && w.len - dot - 1 <= 4 && obs_words_is_word(w.p[dot - 1]) && obs_words_is_word(w.p[w.len - 1]);
}

obs_str obs_review_support(obs_str low, size_t from, size_t end) {
  while (from < end) {
    while (from < end && obs_words_is_space(low.p[from])) from++;
    size_t stop = from;
    bool number = false;
    for (; stop < end && !obs_words_is_space(low.p[stop]); stop++) number |= obs_words_is_digit(low.p[stop]);
    obs_str w = {low.p + from, (uint32_t)(stop - from), 0};
    while (w.len > 0 && strchr(".,;:!?)\"'`", w.p[w.len - 1]) != NULL) w.len--;
    if (w.len > 0 && (number || is_path(w))) return w;
    from = stop;
  }
  return (obs_str){0};
}

obs_str obs_review_concrete(obs_str low) {
  return obs_review_support(low, 0, low.len);
}

obs_review_hit obs_review_unsupported(obs_str low) {
  static const char claims[] =
      "significantly|substantially|dramatically|drastically|considerably|greatly|vastly|much faster|"
      "much better|far better|far faster|a lot faster|a lot better|way faster|faster than before|"
      "better than before|highly optimized|fully optimized|all tests pass|all tests passed|"
      "all the tests pass|tests are passing|all checks pass|everything works|works perfectly|"
      "works flawlessly|works as expected|works great|no issues|no problems|fully tested|"
      "thoroughly tested|production ready|production-ready|should work now|completely fixed|"
      "fully working|fully functional|never fails|always works|faster|more efficient|sped up|speedup|"
      "improved|improves|optimized|reduced|increased";
  obs_review_hit out = {0};
  size_t before = 0; /* where the sentence before begins */
  for (size_t from = 0, end; from < low.len; before = from, from = end) {
    end = obs_words_sentence_end(low, from);
    obs_review_hit hit = first_of(obs_str_slice(low, (uint32_t)from, (uint32_t)(end - from)), claims);
    if (hit.count == 0 || obs_review_support(low, before, obs_words_sentence_end(low, end)).p != NULL) continue;
    if (out.count++ == 0) out.phrase = hit.phrase;
  }
  return out;
}

/* ---- success or failure ---- */

int obs_review_claim(obs_str low) {
  static const char successes[] =
      "succeeded|success|successful|successfully|completed|done|finished|fixed|resolved|passes|passed|"
      "pass|filled|works|deployed|delivered|ok";
  static const char failures[] =
      "failed|fails|failure|failures|error|errors|refused|unsuccessful|crashed|aborted|unable|"
      "incomplete|broken|timeout|rejected";
  static const char denials[] = "not|no|never|without|nothing|none|0|zero|cannot|hardly|fixed|resolved";
  enum { REACH = 3 }; /* so many words further a denial still counts */
  bool good = false, bad = false;
  uint32_t denied = 0, at = 0;
  while (at < low.len) {
    uint32_t from = at++;
    if (!obs_words_is_word(low.p[from])) continue;
    while (at < low.len && (obs_words_is_word(low.p[at]) || low.p[at] == '\'')) at++;
    obs_str w = obs_str_slice(low, from, at - from);
    bool success = obs_words_is_one_of(w, successes);
    if (denied == 0) {
      good |= success;
      bad |= obs_words_is_one_of(w, failures);
    } else {
      bad |= success; /* `not done` is a claim of failure; `no errors` is no claim by itself */
    }
    if (obs_words_is_one_of(w, denials) || (w.len > 3 && memcmp(w.p + w.len - 3, "n't", 3) == 0))
      denied = REACH;
    else if (denied > 0)
      denied--;
  }
  return good == bad ? 0 : good ? 1 : -1;
}
