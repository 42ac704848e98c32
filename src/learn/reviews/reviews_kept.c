/* The last results, and how they come back from their rows. */
#include "learn/member.h"
#include "learn/reviews/internal.h"

#include <inttypes.h>
#include <stdlib.h>

void obs_review_results_add(obs_review_results *r, const obs_review_kept *k) {
  obs_review_kept *place = &r->last[r->n++ % OBS_REVIEWS_KEPT];
  free(place->text);
  *place = *k;
}

void obs_review_results_fini(obs_review_results *r) {
  for (uint32_t i = 0; i < OBS_REVIEWS_KEPT; i++) free(r->last[i].text);
}

/* The i-th from the latest; NULL: there is none. */
static const obs_review_kept *at(const obs_review_results *r, uint64_t i) {
  return i < r->n && i < OBS_REVIEWS_KEPT ? &r->last[(r->n - 1 - i) % OBS_REVIEWS_KEPT] : NULL;
}

const obs_review_kept *obs_review_results_find(const obs_review_results *r, uint64_t id) {
  const obs_review_kept *k;
  for (uint64_t i = 0; (k = at(r, i)) != NULL; i++)
    if (k->id == id) return k;
  return NULL;
}

void obs_review_results_earlier(const obs_review_results *r, const obs_review_job *job, obs_review_earlier *out) {
  *out = (obs_review_earlier){0};
  const obs_review_kept *k;
  for (uint64_t i = 0; (k = at(r, i)) != NULL; i++) {
    if (k->text_hash != job->text_hash || k->context_hash != job->context_hash) continue;
    if (out->count++ > 0) continue; /* the latest says how it went */
    out->last = k->id;
    out->verdict = k->verdict;
    out->answered = k->verdict == OBS_REVIEW_ACCEPT && job->attempt != 0 && k->attempt == job->attempt;
  }
}

static bool attempt_of(const cJSON *row, uint32_t *out) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, "attempt");
  if (cJSON_IsNull(item)) return true;
  if (!cJSON_IsNumber(item) || !(item->valuedouble >= 1 && item->valuedouble <= UINT32_MAX)) return false;
  *out = (uint32_t)item->valuedouble;
  return true;
}

bool obs_review_kept_of_row(const cJSON *row, obs_review_kept *out) {
  obs_buf text = {0};
  *out = (obs_review_kept){0};
  bool ok = obs_member_id(row, "review", &out->id) && obs_member_id(row, "text_hash", &out->text_hash) &&
            obs_member_id(row, "context_hash", &out->context_hash) && attempt_of(row, &out->attempt);
  obs_buf_printf(&text, "{\"id\":\"%016" PRIx64 "\",", out->id);
  ok = ok && obs_review_result_of_row(row, &out->verdict, &text);
  obs_buf_putc(&text, '}');
  if (!ok || text.oom) {
    obs_buf_fini(&text);
    return false;
  }
  out->text = text.p;
  out->len = (uint32_t)text.len;
  return true;
}
