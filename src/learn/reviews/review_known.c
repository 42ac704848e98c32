/* Known failures: the templates of an endpoint's open clusters, looked for in a text.
 *
 * Both are masked as failures are (mask.h), and the template's tokens must come one after the other in a line of the
 * text, a `<*>` standing for any one token. A template of fewer than two words that stay the same says too little. */
#include "base/clock.h"
#include "base/utf8.h"
#include "cluster/mask.h"
#include "learn/reviews/review_rules.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEMPLATES = 50, TEXT_TOKENS = 1024, WORDS_LEAST = 2 };

#define ANY "obsanyvalue"

typedef struct {
  obs_mask_token *tokens; /* lines, an empty token behind each */
  size_t n, words;        /* words: without punctuation and line ends */
} masked_text;

static observer_err mask_lines(obs_str text, masked_text *out) {
  obs_mask_token line[OBS_MASK_TOKENS];
  *out = (masked_text){.tokens = malloc(TEXT_TOKENS * sizeof(obs_mask_token))};
  if (out->tokens == NULL) return OBSERVER_E_NOMEM;
  for (size_t at = 0; at < text.len;) {
    const char *nl = memchr(text.p + at, '\n', text.len - at);
    size_t end = nl != NULL ? (size_t)(nl - text.p) : text.len;
    size_t n = obs_mask((obs_str){text.p + at, (uint32_t)(end - at), 0}, line);
    if (out->n + n + 1 > TEXT_TOKENS) break;
    memcpy(out->tokens + out->n, line, n * sizeof(*line));
    out->n += n;
    out->tokens[out->n++] = (obs_mask_token){.p = ""};
    for (size_t i = 0; i < n; i++) out->words += line[i].word ? 1 : 0;
    at = end + 1;
  }
  return OBSERVER_E_OK;
}

static bool same_token(const obs_mask_token *t, const obs_mask_token *x) {
  if (t->value) return x->word;
  return !x->value && t->hash == x->hash && t->len == x->len && memcmp(t->p, x->p, t->len) == 0;
}

static bool stands_in(const obs_mask_token *t, size_t n, const masked_text *text) {
  for (size_t from = 0; from + n <= text->n; from++) {
    size_t i = 0;
    while (i < n && same_token(&t[i], &text->tokens[from + i])) i++;
    if (i == n) return true;
  }
  return false;
}

/* Tokens of a template; `buf` holds their bytes. */
static size_t template_tokens(const char *template, obs_buf *buf, obs_mask_token tokens[OBS_MASK_TOKENS]) {
  for (const char *p = template; *p != '\0';) {
    const char *any = strstr(p, "<*>");
    obs_buf_append(buf, p, any != NULL ? (size_t)(any - p) : strlen(p));
    if (any == NULL) break;
    obs_buf_puts(buf, ANY);
    p = any + 3;
  }
  if (buf->oom || buf->len == 0) return 0;
  size_t n = obs_mask(obs_buf_view(buf), tokens);
  for (size_t i = 0; i < n; i++)
    if (tokens[i].len == sizeof(ANY) - 1 && memcmp(tokens[i].p, ANY, sizeof(ANY) - 1) == 0) tokens[i].value = true;
  return n;
}

/* The share of the text's words that the template covers; 0: it does not stand there. */
static double share_of(const char *template, const masked_text *text) {
  obs_mask_token tokens[OBS_MASK_TOKENS];
  obs_buf buf = {0};
  size_t n = template_tokens(template, &buf, tokens), words = 0, fixed = 0;
  for (size_t i = 0; i < n; i++) {
    words += tokens[i].word ? 1 : 0;
    fixed += tokens[i].word && !tokens[i].value ? 1 : 0;
  }
  bool is_there = fixed >= WORDS_LEAST && stands_in(tokens, n, text);
  obs_buf_fini(&buf);
  if (!is_there || text->words == 0) return 0;
  double share = (double)words / (double)text->words;
  return share < 1 ? share : 1;
}

static const char *member(const cJSON *row, const char *name) {
  const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, name));
  return s != NULL ? s : "";
}

static void describe(const cJSON *row, const char *template, obs_review_finding *out) {
  const char *id = member(row, "id");
  int n = snprintf(out->text, sizeof(out->text), "matches `%s`, %s at this endpoint", template, member(row, "state"));
  if (n >= (int)sizeof(out->text)) out->text[obs_utf8_cut(out->text, sizeof(out->text) - 1, sizeof(out->text) - 1)] = 0;
  if (!obs_cluster_id_parse(obs_str_of(id), &out->cluster)) out->cluster = 0;
  const cJSON *seq;
  out->nseqs = 0;
  cJSON_ArrayForEach(seq, cJSON_GetObjectItemCaseSensitive(row, "samples")) {
    if (out->nseqs < OBS_REVIEW_SEQS && cJSON_IsNumber(seq)) out->seqs[out->nseqs++] = (uint64_t)seq->valuedouble;
  }
}

static void look_through(const cJSON *rows, const masked_text *text, uint32_t least, obs_review_finding *out,
                         double *share) {
  const cJSON *row;
  cJSON_ArrayForEach(row, rows) {
    const char *template = member(row, "template");
    if (strcmp(member(row, "state"), obs_cluster_state_names[OBS_CLUSTER_RESOLVED]) == 0) continue;
    if (cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(row, "count")) < least) continue;
    double covered = share_of(template, text);
    if (covered <= *share) continue;
    *share = covered;
    describe(row, template, out);
  }
}

observer_err obs_review_known(obs_clusters *clusters, obs_str endpoint, obs_str text, uint32_t least,
                              obs_review_finding *out, double *share) {
  *share = 0;
  if (clusters == NULL || endpoint.p == NULL) return OBSERVER_E_OK;
  obs_clusters_filter f = {.endpoint = endpoint, .state = -1, .since_ms = INT64_MIN, .limit = TEMPLATES};
  obs_buf list = {0};
  uint32_t total;
  masked_text masked = {0};
  cJSON *rows = NULL;
  observer_err err = obs_clusters_list_json(clusters, &f, obs_clock_wall_ms(), &list, &total);
  if (err == OBSERVER_E_OK && total > 0) {
    rows = cJSON_ParseWithLength(list.p, list.len);
    err = rows != NULL ? mask_lines(text, &masked) : OBSERVER_E_NOMEM;
  }
  if (err == OBSERVER_E_OK && rows != NULL) look_through(rows, &masked, least, out, share);
  free(masked.tokens);
  cJSON_Delete(rows);
  obs_buf_fini(&list);
  return err;
}
