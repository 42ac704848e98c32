#include "observerctl/ask/cite.h"

#include "observerctl/cli/args.h"
#include "observerctl/cli/term.h"
#include "observerctl/cli/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS_MAX = 18 };

static void add(obs_cite *c, uint64_t seq) {
  for (unsigned i = 0; i < c->n; i++)
    if (c->seqs[i] == seq) return;
  if (seq > 0 && c->n < OBS_CITE_MAX) c->seqs[c->n++] = seq;
}

void obs_cite_numbers(obs_cite *c, const cJSON *seqs) {
  const cJSON *seq;
  if (cJSON_IsNumber(seqs) && seqs->valuedouble >= 1) add(c, (uint64_t)seqs->valuedouble);
  if (!cJSON_IsArray(seqs)) return;
  cJSON_ArrayForEach(seq, seqs) {
    if (cJSON_IsNumber(seq) && seq->valuedouble >= 1) add(c, (uint64_t)seq->valuedouble);
  }
}

/* The number at `p`, and those that go on from it. Returns what follows. */
static const char *add_numbers(obs_cite *c, const char *p) {
  static const char *const joints[] = {", ", " and ", " to "};
  for (size_t i = 0; i < sizeof(joints) / sizeof(joints[0]);) {
    size_t digits = strspn(p, "0123456789");
    if (digits == 0 || digits > DIGITS_MAX) return p;
    add(c, strtoull(p, NULL, 10));
    p += digits;
    for (i = 0; i < sizeof(joints) / sizeof(joints[0]); i++) {
      size_t n = strlen(joints[i]);
      if (strncmp(p, joints[i], n) != 0 || !isdigit((unsigned char)p[n])) continue;
      p += n;
      break;
    }
  }
  return p;
}

void obs_cite_text(obs_cite *c, const char *text) {
  static const char *const words[] = {"op ", "ops ", "seq "};
  for (const char *p = text; *p != '\0';) {
    const char *behind = p + 1;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
      size_t n = strlen(words[i]);
      if (strncmp(p, words[i], n) == 0 && (p == text || !isalnum((unsigned char)p[-1]))) behind = add_numbers(c, p + n);
    }
    p = behind;
  }
}

void obs_cite_end(const obs_cite *c, const obs_args *args) {
  if (c->n == 0) return;
  printf("\n%sevidence:%s observerctl op", obs_term_style(stdout, OBS_STYLE_DIM),
         obs_term_style(stdout, OBS_STYLE_PLAIN));
  for (unsigned i = 0; i < c->n; i++) printf(" %" PRIu64, c->seqs[i]);
  if (obs_options_origin(&args->options, "url") == OBS_OPTION_FLAG)
    obs_text_printf(stdout, " --url %s", obs_args_text(args, "url"));
  putchar('\n');
}
