/* What a text says of itself in its own voice (voice.c): that it refuses, that nobody checked it, or that the work was
 * not done. */
#include "learn/reviews/phrases.h"

#include "learn/reviews/rules.h"
#include "learn/reviews/undone.h"
#include "learn/reviews/words.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

typedef struct {
  size_t from, end;
} range; /* of a sentence in the text */

static obs_str until(obs_str own, size_t end) {
  return (obs_str){own.p, (uint32_t)end, 0};
}

/* ---- how it ended ---- */

static bool stands_in(obs_str own, range s, const char *list) {
  return obs_words_find(until(own, s.end), s.from, s.end, list).end > 0;
}

/* Whether the sentence tells of a success: a word for one, with no denial close before it. */
static bool tells_success(obs_str own, range s) {
  enum { DENIAL = 16 }; /* bytes before it */
  for (obs_words_span w = {s.from, s.from};
       (w = obs_words_find(until(own, s.end), w.end, s.end, obs_undone_success)).end > 0;) {
    size_t near = w.at > s.from + DENIAL ? w.at - DENIAL : s.from;
    while (near < w.at && ((unsigned char)own.p[near] & 0xc0) == 0x80) near++;
    if (!stands_in(own, (range){near, w.at}, obs_undone_denied)) return true;
  }
  return false;
}

/* Whether what stands between `from` and `end` tells of a success; `after`: as of what came in the end. */
static bool ends_well(obs_str own, size_t from, size_t end, bool after) {
  for (size_t at = from, next; at < end; at = next) {
    next = obs_words_sentence_end(own, at);
    const range s = {at, next < end ? next : end};
    if (tells_success(own, s) && (!after || stands_in(own, s, obs_undone_after))) return true;
  }
  return false;
}

/* ---- refusals ---- */

/* A mark between two clauses stands at `at`. */
static bool is_clause_mark(obs_str own, size_t at) {
  static const char wide[] = "\xef\xbc\x8c|\xe3\x80\x81"; /* ， 、 */
  return strchr(",;:", own.p[at]) != NULL || (obs_words_is_wide(own.p[at]) && obs_words_at(own, at, wide).end > 0);
}

/* Where the clause ends that goes on at `at`. */
static size_t clause_end(obs_str own, size_t at, size_t end) {
  while (at < end && !is_clause_mark(own, at)) at++;
  return at;
}

/* Words of somebody else: behind a colon that has more than a label (`Answer:`) before it. */
static bool is_reported(obs_str own, size_t from, size_t at) {
  uint32_t words = 0;
  for (size_t i = from; i < at; i++) {
    if (own.p[i] == ' ' && i > from) words++;
    if (own.p[i] == ':' && words > 0) return true;
  }
  return false;
}

/* Whether a clause before `at` begins with a condition. */
static bool is_conditional(obs_str own, size_t from, size_t at) {
  for (obs_words_span w = {from, from}; (w = obs_words_find(own, w.end, at, obs_phrase_if)).end > 0;) {
    size_t before = w.at;
    while (before > from && own.p[before - 1] == ' ') before--;
    if (before == from || !obs_words_is_word(own.p[before - 1]) || obs_words_is_wide(own.p[w.at])) return true;
  }
  return false;
}

/* The row's lists after the first, which stands at `first`. end 0: they do not follow. */
static obs_words_span follow(obs_str own, range s, const obs_phrase_row *row, obs_words_span first) {
  obs_str text = until(own, s.end);
  obs_words_span last = first;
  for (size_t i = 1; i < COUNT(row->words) && row->words[i] != NULL; i++) {
    bool is_last = i + 1 == COUNT(row->words) || row->words[i + 1] == NULL;
    obs_words_span next = obs_words_find(text, last.end, last.end + row->reach[i - 1], row->words[i]);
    bool apart = is_last && clause_end(own, last.end, next.at) < next.at;
    size_t behind = last.end < s.end && own.p[last.end] == ' ' ? last.end + 1 : last.end;
    if (next.end == 0 || apart || obs_words_at(text, behind, obs_phrase_only).end > 0) return (obs_words_span){0, 0};
    last = next;
  }
  size_t behind = last.end < s.end && own.p[last.end] == ' ' ? last.end + 1 : last.end;
  if (row->unless != NULL && obs_words_at(text, behind, row->unless).end > 0) return (obs_words_span){0, 0};
  return (obs_words_span){first.at, last.end};
}

/* Whether the row stands in the sentence, not under a condition and not as words of somebody else; from its first word
 * to its last. end 0: it does not. */
static obs_words_span says(obs_str own, range s, const obs_phrase_row *row) {
  obs_str text = until(own, s.end);
  while (s.from < s.end && obs_words_is_space(own.p[s.from])) s.from++;
  for (size_t at = s.from; at < s.end; at++) {
    obs_words_span first =
        row->starts ? obs_words_at(text, at, row->words[0]) : obs_words_find(text, at, s.end, row->words[0]);
    if (first.end == 0) break;
    at = first.at;
    obs_words_span found = follow(own, s, row, first);
    if (found.end > 0 && !is_conditional(text, s.from, found.at) && !is_reported(own, s.from, found.at)) return found;
    if (row->starts) break;
  }
  return (obs_words_span){0, 0};
}

typedef struct {
  obs_words_span at;
  bool task;
} refusal;

static bool refuses(obs_str own, range s, refusal *out) {
  for (size_t i = 0; i < COUNT(obs_refusals); i++) {
    *out = (refusal){says(own, s, &obs_refusals[i].row), obs_refusals[i].task};
    if (out->at.end > 0) return true;
  }
  return false;
}

/* What could not be done at first, and was done then, is no refusal. */
static bool is_overcome(obs_str own, range s, size_t from) {
  return stands_in(own, s, obs_undone_before) && ends_well(own, from, own.len, true);
}

obs_review_hit obs_review_refusal(obs_str own) {
  enum { COURTESY = 100 };
  size_t opening = 0; /* where the first sentence begins, with the courtesies before it */
  bool opens = true;
  refusal r;
  for (size_t from = 0, end; from < own.len; from = end) {
    end = obs_words_sentence_end(own, from);
    range s = {opens ? opening : from, end};
    if (refuses(own, s, &r) && !is_overcome(own, s, r.at.end)) {
      bool partly =
          obs_review_support(own, clause_end(own, r.at.end, end), own.len).p != NULL; /* it goes on with more */
      bool nothing = obs_review_support(own, 0, own.len).p == NULL;
      if (r.task ? opens || nothing : opens && !partly) return (obs_review_hit){obs_words_of(own, r.at), 1};
    }
    bool courtesy = end - from < COURTESY && obs_words_find(until(own, end), from, end, obs_refusal_courtesy).end > 0;
    opens = opens && courtesy;
  }
  return (obs_review_hit){0};
}

/* ---- hedges ---- */

/* Whether the sentence only believes that it works, and gives nothing that can be checked. */
static bool believes(obs_str own, range s, const obs_phrase_hedge *row, obs_words_span *found) {
  obs_str text = until(own, s.end);
  obs_words_span doubt = obs_words_find(text, s.from, s.end, row->doubt);
  if (doubt.end == 0 || obs_words_find(text, s.from, s.end, row->works).end == 0) return false;
  if (obs_review_support(own, s.from, s.end).p != NULL) return false;
  *found = doubt;
  return true;
}

obs_review_hedge obs_review_hedges(obs_str own) {
  obs_words_span at;
  obs_review_hit guess = {0};
  bool bare = obs_review_support(own, 0, own.len).p == NULL;
  for (size_t from = 0, end; from < own.len; from = end) {
    end = obs_words_sentence_end(own, from);
    range s = {from, end};
    for (size_t i = 0; i < COUNT(obs_unchecked); i++) {
      at = says(own, s, &obs_unchecked[i]);
      if (at.end > 0) return (obs_review_hedge){OBS_REVIEW_UNCHECKED, {obs_words_of(own, at), 1}};
    }
    at = bare ? says(own, s, &obs_unchecked_part) : (obs_words_span){0, 0};
    if (at.end > 0) return (obs_review_hedge){OBS_REVIEW_UNCHECKED, {obs_words_of(own, at), 1}};
    for (size_t i = 0; i < COUNT(obs_hedges); i++) {
      const obs_phrase_hedge *row = &obs_hedges[i];
      if (believes(own, s, row, &at)) return (obs_review_hedge){OBS_REVIEW_BELIEVED, {obs_words_of(own, at), 1}};
      at = obs_words_find(until(own, end), from, end, row->guess);
      if (at.end > 0 && guess.count == 0) guess = (obs_review_hit){obs_words_of(own, at), 1};
    }
  }
  if (guess.count > 0 && bare) return (obs_review_hedge){OBS_REVIEW_GUESSED, guess};
  return (obs_review_hedge){OBS_REVIEW_NO_HEDGE, {{NULL, 0, 0}, 0}};
}

/* ---- work that was not done ---- */

/* Whether the words at `at` are the text's own conclusion: not of an earlier time, not a question, and no success came
 * after them. Where it is not said of the whole task, any success makes it a part. */
static bool concludes(obs_str own, range s, obs_words_span at, obs_undone_what what) {
  enum { NEAR = 2 };
  const size_t clause = clause_end(own, at.end, s.end);
  const range near = {at.at, at.end + NEAR < s.end ? at.end + NEAR : s.end};
  const bool whole = what == OBS_UNDONE_ALL || stands_in(own, (range){at.at, s.end}, obs_undone_task) ||
                     stands_in(own, near, obs_undone_it);
  size_t begin = s.from;
  while (begin < s.end && obs_words_is_space(own.p[begin])) begin++;
  if (obs_words_at(own, begin, obs_undone_general).end > 0) return false;
  if (stands_in(own, s, obs_undone_before) || memchr(own.p + at.end, '?', s.end - at.end) != NULL) return false;
  if (ends_well(own, at.end, own.len, true)) return false;
  if (whole) return true;
  return what != OBS_UNDONE_TASK && obs_review_support(own, at.end, clause).p == NULL &&
         !stands_in(own, (range){at.at, s.end}, obs_undone_part) && !ends_well(own, 0, s.from, false) &&
         !ends_well(own, at.end, own.len, false);
}

obs_review_hit obs_review_undone(obs_str own) {
  for (size_t from = 0, end; from < own.len; from = end) {
    end = obs_words_sentence_end(own, from);
    const range s = {from, end};
    for (size_t i = 0; i < COUNT(obs_undone); i++) {
      const obs_words_span at = says(own, s, &obs_undone[i].row);
      if (at.end > 0 && concludes(own, s, at, obs_undone[i].what)) return (obs_review_hit){obs_words_of(own, at), 1};
    }
  }
  return (obs_review_hit){0};
}
