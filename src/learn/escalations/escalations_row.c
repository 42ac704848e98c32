/* Escalations as rows: written, folded, carried over, shown. */
#include "base/clock.h"
#include "base/utf8.h"
#include "learn/escalations/internal.h"
#include "learn/member.h"

#include <inttypes.h>

enum { ANSWER_TEXT = 16 << 10 };

const char *const obs_escalation_reasons[OBS_ESCALATION_REASON_COUNT] = {
#define REASON_TEXT(name, text) text,
    OBS_ESCALATION_REASONS(REASON_TEXT)
#undef REASON_TEXT
};

static void put_text(obs_buf *out, const char *name, const char *text) {
  obs_buf_printf(out, ",\"%s\":", name);
  if (text != NULL)
    obs_buf_json_cstr(out, text);
  else
    obs_buf_puts(out, "null");
}

static void put_number(obs_buf *out, const char *name, uint64_t n) {
  obs_buf_printf(out, n != 0 ? ",\"%s\":%" PRIu64 : ",\"%s\":null", name, n);
}

/* Template and commonest endpoint, as the cluster shows them. */
static void put_cluster(const obs_escalations *e, const obs_escalation *x, obs_buf *out) {
  obs_buf text = {0};
  cJSON *json = NULL;
  if (obs_clusters_one_json(e->opts.clusters, x->mark.id, x->time_ms, &text) && !text.oom)
    json = cJSON_ParseWithLength(text.p, text.len);
  const cJSON *endpoints = cJSON_GetObjectItemCaseSensitive(json, "endpoints");
  put_text(out, "template", obs_member_text(json, "template").p);
  put_text(out, "endpoint", endpoints != NULL && endpoints->child != NULL ? endpoints->child->string : NULL);
  cJSON_Delete(json);
  obs_buf_fini(&text);
}

static void put_answer(const obs_escalation *x, obs_buf *out) {
  const obs_buf *body = &x->answer.body;
  obs_buf text = {0};
  if (body->len == 0) {
    put_text(out, "answer", NULL);
    return;
  }
  obs_buf_append(&text, body->p, obs_utf8_cut(body->p, body->len, ANSWER_TEXT));
  obs_buf_putc(&text, '\0');
  put_text(out, "answer", text.oom ? NULL : text.p);
  obs_buf_fini(&text);
}

void obs_escalation_put_row(const obs_escalations *e, const obs_escalation *x, obs_buf *out) {
  char time[OBS_ISO8601_LEN + 1];
  obs_clock_format(x->time_ms, time);
  obs_buf_printf(out, "\"time\":\"%s\",\"cluster\":\"%016" PRIx64 "\",\"episode\":%" PRIu32, time, x->mark.id,
                 x->mark.episode);
  put_cluster(e, x, out);
  obs_buf_printf(out, ",\"count\":%" PRIu64 ",\"recent\":%" PRIu64 ",\"last_seq\":%" PRIu64, x->mark.count, x->recent,
                 x->mark.last_seq);
  put_text(out, "reason", obs_escalation_reasons[x->reason]);
  put_number(out, "analysis", x->analysis);
  obs_buf_puts(out, x->sent ? ",\"sent\":true" : ",\"sent\":false");
  put_number(out, "status", (uint64_t)x->answer.status);
  put_answer(x, out);
  put_text(out, "error", x->error);
  obs_buf_printf(out, ",\"ms\":%" PRIu32, x->answer.ms);
}

/* ---- folding ---- */

bool obs_escalations_fold(void *escalations, const cJSON *row, const char **why) {
  obs_escalation_entry entry = {0};
  uint64_t id, episode;
  *why = "not an escalation";
  if (!obs_member_id(row, "cluster", &id) || !obs_member_time(row, "time", &entry.time_ms)) return false;
  if (!obs_member_u64(row, "id", &entry.head.number) || !obs_member_u64(row, "episode", &episode) ||
      !obs_member_u64(row, "last_seq", &entry.last_seq))
    return false;
  entry.episode = (uint32_t)episode;
  obs_escalations_remember(escalations, id, &entry);
  return true;
}

void obs_escalations_carry(void *escalations, obs_buf *out) {
  const obs_escalations *e = escalations;
  for (uint32_t i = 0; i < e->table.n; i++) {
    const obs_escalation_entry *entry = obs_cluster_memory_at(&e->table, i);
    char time[OBS_ISO8601_LEN + 1];
    obs_clock_format(entry->time_ms, time);
    obs_buf_printf(out,
                   "{\"id\":%" PRIu64 ",\"time\":\"%s\",\"cluster\":\"%016" PRIx64
                   "\",\"carried\":true,\"episode\":%" PRIu32 ",\"last_seq\":%" PRIu64 "}\n",
                   entry->head.number, time, entry->head.cluster, entry->episode, entry->last_seq);
  }
}

/* ---- views ---- */

typedef struct {
  obs_clusters *clusters;
  bool by_cluster;
  uint64_t cluster;
} question;

static bool matches(void *arg, const cJSON *row) {
  const question *q = arg;
  uint64_t id;
  if (cJSON_HasObjectItem(row, "carried")) return false;
  if (!q->by_cluster) return true;
  return obs_member_id(row, "cluster", &id) && (id == q->cluster || obs_clusters_now(q->clusters, id) == q->cluster);
}

observer_err obs_escalations_page(obs_escalations *e, const obs_escalations_filter *f, obs_buf *out, uint64_t *next) {
  question q = {.clusters = e->opts.clusters, .by_cluster = f->cluster.p != NULL};
  *next = 0;
  if (q.by_cluster && !obs_cluster_id_parse(f->cluster, &q.cluster)) {
    obs_buf_puts(out, "[]");
    return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
  }
  if (q.by_cluster) q.cluster = obs_clusters_now(q.clusters, q.cluster);
  return obs_records_page(e->records, matches, &q, f->before, f->limit, out, next);
}
