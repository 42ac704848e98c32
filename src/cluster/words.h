/* What words and signs are: the tables of masking (mask.h). traits.h has those of the miner.
 * Pure functions of their input: any thread. */
#ifndef OBS_CLUSTER_WORDS_H
#define OBS_CLUSTER_WORDS_H

#include "cluster/mask.h"

/* What a byte is, and what a word has that holds it. */
enum {
  OBS_WORD_LETTER = 1, /* a to z, _ and bytes beyond ASCII */
  OBS_WORD_UPPER = 2,
  OBS_WORD_DIGIT = 4,
  OBS_WORD_DOT = 8,
  OBS_WORD_SLASH = 16,
  OBS_WORD_AT = 32,
  OBS_WORD_OTHER = 64,  /* stands in words, is no letter: - + * $ and so on */
  OBS_WORD_SPACE = 128, /* control characters too */
  OBS_WORD_SPLIT = 256, /* punctuation that is a token of its own */
  OBS_WORD_BACK = 512,  /* a backslash */
  OBS_WORD_WIDE = 1024  /* begins a character that obs_word_wide knows */
};

extern const uint16_t obs_word_classes[256];

static inline unsigned obs_word_class(char c) {
  return obs_word_classes[(unsigned char)c];
}

/* A character beyond ASCII that does not simply stand in a word. */
typedef struct {
  uint32_t len; /* bytes */
  char sign;    /* punctuation: the ASCII character that it is like; else 0 */
  char kind;    /* a letter of a `word`, of a `script` without spaces, a `digit`, `space`, `punctuation`, a `quote` */
  const char *close; /* of a quote: what ends it */
} obs_word_wide_char;

enum { OBS_WIDE_WORD, OBS_WIDE_SCRIPT, OBS_WIDE_DIGIT, OBS_WIDE_SPACE, OBS_WIDE_SIGN, OBS_WIDE_QUOTE };

/* Of the character at `p`, whose first byte is of the class WIDE. */
obs_word_wide_char obs_word_wide(const char *p, const char *end);

enum { OBS_WORD_VARIES = 1, OBS_WORD_SOFT };
/* Whether a word varies from one message of a kind to the next; `has`: the classes of its bytes. SOFT: as a name would
 * that something may be set to. 0: it is a constant. */
int obs_word_varies(const char *p, size_t len, unsigned has);

/* A day or a month. */
bool obs_word_is_date(const obs_mask_token *t);
bool obs_word_is_unit(const obs_mask_token *t);
/* and, or: between the last two of a list. */
bool obs_word_is_and(const obs_mask_token *t);

enum { OBS_WORD_NUMBERED = 1, OBS_WORD_STATUS, OBS_WORD_SIGNAL };
/* What names the number behind it: `exit`, `errorCode`; STATUS: of HTTP. 0: nothing. */
int obs_word_names_code(const obs_mask_token *t);
/* `state`, `phase`, `reason` and the names of codes: what follows is one of a few words that matter. */
bool obs_word_names_state(const obs_mask_token *t);
/* 17, -32602, 0x80070005. */
bool obs_word_is_number(const char *p, size_t len);
/* GET, POST: the method of a request line. */
bool obs_word_is_method(const char *p, size_t len);

/* The quote that ends what begins at the quote `p`; NULL when it is no quotation, but an apostrophe. `glued`: something
 * stands right before it. */
const char *obs_word_quote_end(const char *p, const char *end, bool glued);
bool obs_word_is_hex(char c);
/* The end of an IPv6 address in any form, or of a hardware address, that begins at `p`; NULL: there is none. */
const char *obs_word_address_end(const char *p, const char *end);

/* Of a token as it counts for its kind: the same for all values, for a sign in any script, for singular and plural. */
uint32_t obs_word_hash(const obs_mask_token *t);

/* Whether the word is in a list of words in lower case, whatever its own case. */
bool obs_word_is_one_of(const char *const *list, size_t n, const char *p, size_t len);
#define OBS_WORD_IS_ONE_OF(list, p, len) obs_word_is_one_of(list, sizeof(list) / sizeof((list)[0]), p, len)

#endif
