/* Looking for phrases in a text in lower case.
 *
 * A list of phrases is one text with `|` between them. A phrase stands as whole words; with a `*` at its end its last
 * word may go on (`assist*`), with a `!` a mark or the text's end follows, with a `$` the same or a word that begins
 * another clause (`yet`, `but`). Letters with accents are letters; the scripts that write no spaces (Chinese, Japanese)
 * have no words, and a phrase of theirs matches anywhere. */
#ifndef OBS_LEARN_REVIEWS_WORDS_H
#define OBS_LEARN_REVIEWS_WORDS_H

#include "base/buf.h"

typedef struct {
  size_t at, end; /* end 0: nowhere */
} obs_words_span;

bool obs_words_is_space(char c);
bool obs_words_is_digit(char c);
/* ASCII letters, digits and `_`; bytes beyond ASCII are letters. */
bool obs_words_is_word(char c);
/* Begins a character of a script without spaces, or one of its marks. */
bool obs_words_is_wide(char c);

/* Appends `text`: ASCII and Latin letters in lower case, white space as one space, typographic apostrophes as `'`. With
 * `lines` a line end stays one. What stands for something redacted stays as it is. */
void obs_words_lower(obs_str text, bool lines, obs_buf *low);

/* Takes the next phrase off a list; false: there is none. */
bool obs_words_next(const char **list, obs_str *phrase);
/* Whether `text` is one of the list. */
bool obs_words_is_one_of(obs_str text, const char *list);
/* The first phrase of the list that begins at `from` or later, before `limit`; of several at one place the longest. */
obs_words_span obs_words_find(obs_str low, size_t from, size_t limit, const char *list);
/* Whether a phrase of the list stands at `at`. */
obs_words_span obs_words_at(obs_str low, size_t at, const char *list);
/* The first phrase of the list that stands anywhere. */
obs_words_span obs_words_anywhere(obs_str low, const char *list);

/* Where the sentence that begins at `from` ends: behind its mark, or at a space when it goes on for some 2,000 bytes.
 */
size_t obs_words_sentence_end(obs_str low, size_t from);

static inline obs_str obs_words_of(obs_str low, obs_words_span s) {
  return (obs_str){low.p + s.at, (uint32_t)(s.end - s.at), 0};
}

#endif
