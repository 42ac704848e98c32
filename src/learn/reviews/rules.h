/* The rules of a review: what a text shows by itself, beside open clusters, recorded outcomes and earlier reviews.
 *
 * Each rule that has something to say leaves a finding with a weight: log odds that the text is fit to be used, below 0
 * against it. Their sum decides when it is at least OBS_REVIEW_DECISIVE from 0; its logistic is the confidence either
 * way. A sum of 0 or more means accept; else the finding with most against it says whether to reject or to cycle.
 * Reads clusters and the ring's last OBS_REVIEW_LOOK ops, so not for NNG's threads; nothing else is shared. */
#ifndef OBS_LEARN_REVIEWS_RULES_H
#define OBS_LEARN_REVIEWS_RULES_H

#include "cluster/clusters.h"
#include "learn/evidence.h"

enum {
  OBS_REVIEW_LOOK = 2000,
  OBS_REVIEW_SEQS = 5,      /* of a finding */
  OBS_REVIEW_FINDINGS = 16, /* one a rule at most */
  OBS_REVIEW_OPS = 8,       /* recorded ops that bear on a text, for a model */
  OBS_REVIEW_FINDING_TEXT = 240,
  OBS_REVIEW_CHAIN_MS = 3600000 /* the same text of the same asker later than this is no repetition */
};

#define OBS_REVIEW_DECISIVE 2.0

#define OBS_REVIEW_VERDICTS(X)                                                                                         \
  X(ACCEPT, "accept")                                                                                                  \
  X(REJECT, "reject")                                                                                                  \
  X(CYCLE, "cycle")

typedef enum {
#define OBS_REVIEW_VERDICT_ENUM(verdict, name) OBS_REVIEW_##verdict,
  OBS_REVIEW_VERDICTS(OBS_REVIEW_VERDICT_ENUM)
#undef OBS_REVIEW_VERDICT_ENUM
      OBS_REVIEW_VERDICT_COUNT
} obs_review_verdict;

extern const char *const obs_review_verdict_names[OBS_REVIEW_VERDICT_COUNT];
/* text.p NULL: false. */
bool obs_review_verdict_parse(obs_str text, obs_review_verdict *out);

/* X(rule, name, weight, verdict it leads to, its sentence in the notes) */
#define OBS_REVIEW_RULES(X)                                                                                            \
  X(EMPTY, "empty", -6.0, REJECT, "There is no answer to judge.")                                                      \
  X(REFUSAL, "refusal", -4.5, REJECT, "It refuses the task: give the task to another agent, or change the request.")   \
  X(INSTRUCTIONS, "instructions", -3.5, REJECT, "It gives its reader orders instead of an answer.")                    \
  X(KNOWN_FAILURE, "known_failure", -4.0, REJECT, "It is a known failure of this endpoint.")                           \
  X(FAILED, "failed", -3.0, CYCLE, "It says that it failed.")                                                          \
  X(ERROR_PAGE, "error_page", -4.0, CYCLE, "It is an error page, not an answer: find out why the call failed.")        \
  X(CUT_OFF, "cut_off", -2.5, CYCLE, "It breaks off: ask for the whole answer.")                                       \
  X(LOOP, "loop", -4.0, CYCLE, "It repeats itself instead of answering: ask again.")                                   \
  X(HEDGE, "hedge", -2.5, CYCLE, "By its own words nobody checked it: have it run or verified first.")                 \
  X(CONTRADICTION, "contradiction", -4.0, REJECT, "It contradicts what was recorded.")                                 \
  X(REPEATED, "repeated", -4.5, CYCLE, "The same was tried before: change something before the next attempt.")         \
  X(PLACEHOLDER, "placeholder", -3.0, CYCLE, "It contains placeholders: have them filled in.")                         \
  X(UNSUPPORTED, "unsupported", -1.2, CYCLE, "It makes claims without figures; ask what was measured, and where.")     \
  X(CONFIRMED, "confirmed", 1.5, ACCEPT, "What was recorded agrees with it.")                                          \
  X(CONCRETE, "concrete", 1.0, ACCEPT, "It gives numbers or places that can be checked.")

typedef enum {
#define OBS_REVIEW_RULE_ENUM(rule, name, weight, toward, note) OBS_REVIEW_RULE_##rule,
  OBS_REVIEW_RULES(OBS_REVIEW_RULE_ENUM)
#undef OBS_REVIEW_RULE_ENUM
      OBS_REVIEW_RULE_COUNT
} obs_review_rule;

typedef struct {
  const char *name;
  double weight;
  obs_review_verdict toward;
  const char *note;
} obs_review_rule_row;
extern const obs_review_rule_row obs_review_rules[OBS_REVIEW_RULE_COUNT];

/* What an op and a context can have in common, the most telling first. */
#define OBS_REVIEW_KEYS(X)                                                                                             \
  X(op_id)                                                                                                             \
  X(cycle_id)                                                                                                          \
  X(session_id)                                                                                                        \
  X(sig_hash)

typedef enum {
#define OBS_REVIEW_KEY_ENUM(key) OBS_REVIEW_KEY_##key,
  OBS_REVIEW_KEYS(OBS_REVIEW_KEY_ENUM)
#undef OBS_REVIEW_KEY_ENUM
      OBS_REVIEW_KEY_COUNT
} obs_review_key;

/* The text to judge, and its context; p NULL: not known. */
typedef struct {
  obs_str text;
  obs_str endpoint, task_class, staffer_id;
  obs_str keys[OBS_REVIEW_KEY_COUNT];
  obs_str said;     /* the context, when it is a text */
  uint32_t attempt; /* 0: not given */
  bool is_op;       /* an op is judged; the text is its output_summary */
  int8_t success;   /* of the op: 0 or 1; -1: not given */
  int64_t time_ms;  /* of the op; INT64_MIN: not given */
} obs_review_subject;

/* Reviews of the same text in the same chain of attempts. */
typedef struct {
  uint32_t count;
  uint64_t last;              /* id of the latest; 0: it is still open */
  bool answered;              /* the latest was accepted as the same attempt: this asks again, and is no repetition */
  obs_review_verdict verdict; /* of the latest */
} obs_review_earlier;

/* What was recorded about it. */
typedef struct {
  uint64_t seq; /* 0: nothing */
  int64_t time_ms;
  bool success, same_endpoint;
  char error[OBS_REVIEW_FINDING_TEXT / 2];
} obs_review_outcome;

typedef struct {
  obs_review_outcome last[OBS_REVIEW_KEY_COUNT]; /* of the endpoint, when it has one, else of any */
  uint64_t repeats[OBS_REVIEW_SEQS];             /* failures with the same text in the same context, latest first */
  uint32_t nrepeats;
  uint64_t near[OBS_REVIEW_OPS]; /* the ops that bear on it most */
  uint32_t nnear;
} obs_review_record;

typedef struct {
  obs_review_rule rule;
  double weight;
  obs_review_verdict toward;
  uint64_t cluster; /* 0: none */
  uint64_t seqs[OBS_REVIEW_SEQS];
  uint32_t nseqs;
  char text[OBS_REVIEW_FINDING_TEXT];
} obs_review_finding;

typedef struct {
  obs_review_finding findings[OBS_REVIEW_FINDINGS];
  uint32_t n;
  double sum;
  obs_review_verdict verdict;
  double confidence;
  bool decisive;
} obs_review_judgement;

typedef struct {
  const obs_review_subject *subject;
  obs_clusters *clusters; /* NULL: none */
  const obs_review_record *record;
  const obs_review_earlier *earlier;
} obs_review_case;

void obs_review_look(const obs_evidence *e, const obs_review_subject *s, obs_review_record *out);
/* NOMEM: no judgement. */
observer_err obs_review_judge(const obs_review_case *c, obs_review_judgement *out);
/* The notes of the findings that speak for the verdict, at most three sentences; nothing where no rule applies. */
void obs_review_notes(const obs_review_judgement *j, obs_buf *out);

/* ---- of texts (text.c) ---- */

/* Whether both are the same but for white space. */
bool obs_review_same_text(obs_str a, obs_str b);
/* Of the text but for its white space. */
uint64_t obs_review_text_hash(obs_str text);

/* A phrase that was found, as it stands in the text; p NULL: none. */
typedef struct {
  obs_str phrase;
  uint32_t count;
} obs_review_hit;

/* `low` is the text as obs_review_lower gives it: ASCII in lower case, white space as one space. */
void obs_review_lower(obs_str text, obs_buf *low);
bool obs_review_is_empty(obs_str low);
obs_review_hit obs_review_orders(obs_str low);
/* `said` and `own`: the text in its own voice (below); `low` is all of it, with code, whose gaps are gaps of the
 * answer. */
obs_review_hit obs_review_placeholder(obs_str said, obs_str own, obs_str low);
/* How an error message begins, where the text is one. */
obs_review_hit obs_review_error(obs_str low);
/* Claims in sentences that neither hold a number or a path nor stand beside one that does. */
obs_review_hit obs_review_unsupported(obs_str low);
/* The first number or path; the same between `from` and `end`. p NULL: there is none. */
obs_str obs_review_concrete(obs_str low);
obs_str obs_review_support(obs_str low, size_t from, size_t end);
/* 1: it claims success; -1: failure; 0: neither, or both. */
int obs_review_claim(obs_str low);

/* ---- in its own voice (voice.c, phrases.c) ---- */

/* `said` is the text without what it quotes, a line end where a paragraph or a list item begins; `own` is the same in
 * lower case (obs_words_lower, with lines). */
void obs_review_said(obs_str text, obs_buf *said);
/* Whether a code block of the text is not closed. */
bool obs_review_block_is_open(obs_str text);

/* It refuses: in the first sentence that says something; elsewhere only the task as a whole, and where the text gives
 * nothing that can be used. */
obs_review_hit obs_review_refusal(obs_str own);

/* It concludes that the work was not done: no success is told after that. */
obs_review_hit obs_review_undone(obs_str own);

typedef enum {
  OBS_REVIEW_NO_HEDGE,
  OBS_REVIEW_GUESSED,   /* doubt, in a text without a number or path */
  OBS_REVIEW_BELIEVED,  /* `should work`, with nothing in the sentence to check it by */
  OBS_REVIEW_UNCHECKED, /* `I did not run it` */
} obs_review_hedge_kind;

typedef struct {
  obs_review_hedge_kind kind;
  obs_review_hit hit;
} obs_review_hedge;

obs_review_hedge obs_review_hedges(obs_str own);

/* ---- by its shape (shape.c) ---- */

/* An error page or a status line in place of an answer. `lines`: the text in lower case with its line ends. */
obs_review_hit obs_review_page(obs_str low, obs_str lines);

typedef struct {
  double part; /* how sure it is, 0: it does not break off */
  obs_str end; /* the text's last characters */
} obs_review_cut;

obs_review_cut obs_review_breaks_off(obs_str text, obs_str own);
/* The same words again and again; `count` says how often. */
obs_review_hit obs_review_loop(obs_str own);

#endif
