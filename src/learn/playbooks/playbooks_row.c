/* An entry as JSON, and back. */
#include "base/clock.h"
#include "learn/member.h"
#include "learn/playbooks/internal.h"

#include <inttypes.h>
#include <math.h>

const char *const obs_playbook_change_names[OBS_PLAYBOOK_CHANGE_COUNT] = {
#define CHANGE_NAME(name, text) text,
    OBS_PLAYBOOK_CHANGES(CHANGE_NAME)
#undef CHANGE_NAME
};

static const char *const field_names[OBS_PLAYBOOK_FIELD_COUNT] = {
#define FIELD_NAME(name) #name,
    OBS_PLAYBOOK_FIELDS(FIELD_NAME)
#undef FIELD_NAME
};

static const obs_playbook_edit *last_edit(const obs_playbook *e) {
  static const obs_playbook_edit none = {0};
  return e->nhistory > 0 ? &e->history[e->nhistory - 1] : &none;
}

int64_t obs_playbook_edited(const obs_playbook *e) {
  return last_edit(e)->time_ms;
}

/* ---- writing ---- */

static void put_text(obs_buf *out, const char *name, const char *text) {
  obs_buf_printf(out, ",\"%s\":", name);
  if (text[0] != '\0')
    obs_buf_json_str(out, obs_str_of(text));
  else
    obs_buf_puts(out, "null");
}

static void put_time(obs_buf *out, const char *name, int64_t ms) {
  char text[OBS_ISO8601_LEN + 1];
  obs_clock_format(ms, text);
  obs_buf_printf(out, ",\"%s\":\"%s\"", name, text);
}

/* At most six decimals, none that say nothing. */
static void put_number(obs_buf *out, const char *name, bool known, double v) {
  if (known)
    obs_buf_printf(out, ",\"%s\":%.15g", name, round(v * 1e6) / 1e6);
  else
    obs_buf_printf(out, ",\"%s\":null", name);
}

static void put_values(obs_buf *out, const char *name, const obs_playbook_values *list) {
  obs_buf_printf(out, ",\"%s\":[", name);
  for (uint32_t i = 0; i < list->n; i++) {
    obs_buf_puts(out, i > 0 ? ",{\"value\":" : "{\"value\":");
    obs_buf_json_str(out, obs_str_of(list->v[i].text));
    obs_buf_printf(out, ",\"count\":%" PRIu64 "}", list->v[i].count);
  }
  obs_buf_putc(out, ']');
}

static void put_recent(obs_buf *out, const obs_playbook *e) {
  obs_buf_puts(out, ",\"recent\":[");
  for (uint32_t i = 0; i < e->nrecent; i++) {
    if (i > 0) obs_buf_putc(out, ',');
    obs_buf_json_str(out, obs_str_of(e->recent[i]));
  }
  obs_buf_putc(out, ']');
}

static void put_side(obs_buf *out, const char *name, obs_before_after_side s) {
  obs_buf_printf(out, "\"%s\":{\"ops\":%" PRIu64 ",\"failures\":%" PRIu64, name, s.ops, s.failures);
  put_number(out, "rate", s.ops > 0, s.ops > 0 ? (double)s.failures / (double)s.ops : 0);
  obs_buf_putc(out, '}');
}

static void put_effect(obs_buf *out, const obs_before_after *e) {
  bool both = e->before.ops > 0 && e->after.ops > 0;
  obs_before_after_interval i = {0};
  if (both) i = obs_before_after_compare(e, OBS_BEFORE_AFTER_SHOWN);
  obs_buf_puts(out, ",\"effect\":{");
  put_side(out, "before", e->before);
  obs_buf_putc(out, ',');
  put_side(out, "after", e->after);
  put_number(out, "difference", both, i.difference);
  put_number(out, "low", both, i.low);
  put_number(out, "high", both, i.high);
  obs_buf_printf(out, ",\"since_seq\":%" PRIu64 ",\"through_seq\":%" PRIu64 "}", e->since_seq, e->through_seq);
}

static void put_edit(obs_buf *out, const obs_playbook_edit *h) {
  bool any = false;
  obs_buf_printf(out, "{\"version\":%" PRIu32, h->version);
  put_time(out, "time", h->time_ms);
  obs_buf_printf(out, ",\"change\":\"%s\",\"fields\":[", obs_playbook_change_names[h->change]);
  for (uint32_t i = 0; i < OBS_PLAYBOOK_FIELD_COUNT; i++) {
    if ((h->fields & (1u << i)) == 0) continue;
    obs_buf_printf(out, "%s\"%s\"", any ? "," : "", field_names[i]);
    any = true;
  }
  obs_buf_puts(out, "]}");
}

static void put_history(obs_buf *out, const obs_playbook *e) {
  obs_buf_puts(out, ",\"history\":[");
  for (uint32_t i = 0; i < e->nhistory; i++) {
    if (i > 0) obs_buf_putc(out, ',');
    put_edit(out, &e->history[i]);
  }
  obs_buf_putc(out, ']');
}

static void put_origin(obs_buf *out, const obs_playbook *e) {
  put_text(out, "endpoint", e->endpoint);
  put_text(out, "task_class", e->task_class);
  if (e->dont)
    obs_buf_printf(out, ",\"cluster\":\"%016" PRIx64 "\",\"analysis\":%" PRIu64, e->cluster, e->analysis);
  else
    obs_buf_puts(out, ",\"cluster\":null,\"analysis\":null");
}

static void put_successes(obs_buf *out, const obs_playbook *e) {
  bool known = !e->dont;
  put_text(out, "pattern", e->pattern);
  put_number(out, "pattern_share", known && e->pattern[0] != '\0', e->pattern_share);
  put_recent(out, e);
  put_number(out, "successes", known, (double)e->successes);
  put_number(out, "avg_ms", known, e->avg_ms);
  put_number(out, "p50_ms", known, (double)e->p50_ms);
  put_number(out, "p95_ms", known, (double)e->p95_ms);
  put_values(out, "staffers", &e->staffers);
  put_values(out, "task_classes", &e->task_classes);
}

void obs_playbook_members(const obs_playbook *e, obs_playbook_change change, obs_buf *out) {
  obs_buf_printf(out, "\"version\":%" PRIu32, last_edit(e)->version);
  put_time(out, "time", last_edit(e)->time_ms);
  obs_buf_printf(out, ",\"change\":\"%s\",\"kind\":\"%s\"", obs_playbook_change_names[change], e->dont ? "dont" : "do");
  put_origin(out, e);
  put_text(out, "text", e->text);
  put_successes(out, e);
  obs_member_put_seqs(out, "evidence", e->evidence, e->nevidence);
  put_time(out, "created", e->created_ms);
  obs_buf_printf(out, ",\"created_seq\":%" PRIu64, e->created_seq);
  put_effect(out, &e->effect);
  obs_buf_printf(out, ",\"retired\":%s", e->retired ? "true" : "false");
  put_history(out, e);
}

/* ---- reading ---- */

static const cJSON *member(const cJSON *map, const char *name) {
  return cJSON_GetObjectItemCaseSensitive(map, name);
}

/* 0 when it is none, or not there. */
static uint64_t number(const cJSON *map, const char *name) {
  uint64_t n = 0;
  (void)obs_member_u64(map, name, &n);
  return n;
}

static double fraction(const cJSON *map, const char *name) {
  const cJSON *v = member(map, name);
  return cJSON_IsNumber(v) && v->valuedouble >= 0 ? v->valuedouble : 0;
}

static void text(const cJSON *v, char *to, uint32_t max) {
  obs_str s = obs_str_of(cJSON_IsString(v) ? v->valuestring : "");
  obs_playbook_put(to, s, max);
}

static int64_t instant(const cJSON *map, const char *name) {
  int64_t ms = 0;
  return obs_member_time(map, name, &ms) ? ms : 0;
}

static int name_index(const cJSON *v, const char *const *names, int n) {
  for (int i = 0; cJSON_IsString(v) && i < n; i++)
    if (strcmp(v->valuestring, names[i]) == 0) return i;
  return -1;
}

static void read_values(const cJSON *list, obs_playbook_values *out) {
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    if (out->n == OBS_PLAYBOOK_VALUES) break;
    obs_playbook_value *v = &out->v[out->n];
    text(member(item, "value"), v->text, OBS_PLAYBOOK_NAME);
    v->count = number(item, "count");
    if (v->text[0] != '\0') out->n++;
  }
}

static void read_lists(const cJSON *row, obs_playbook *e) {
  const cJSON *item;
  cJSON_ArrayForEach(item, member(row, "recent")) {
    if (e->nrecent == OBS_PLAYBOOK_RECENT) break;
    text(item, e->recent[e->nrecent++], OBS_PLAYBOOK_SUMMARY);
  }
  cJSON_ArrayForEach(item, member(row, "evidence")) {
    if (e->nevidence == OBS_PLAYBOOK_EVIDENCE) break;
    if (cJSON_IsNumber(item) && item->valuedouble >= 1 && item->valuedouble <= 9007199254740992.0)
      e->evidence[e->nevidence++] = (uint64_t)item->valuedouble;
  }
  read_values(member(row, "staffers"), &e->staffers);
  read_values(member(row, "task_classes"), &e->task_classes);
}

static void read_effect(const cJSON *map, obs_before_after *e) {
  const cJSON *before = member(map, "before"), *after = member(map, "after");
  e->before = (obs_before_after_side){number(before, "ops"), number(before, "failures")};
  e->after = (obs_before_after_side){number(after, "ops"), number(after, "failures")};
  if (e->before.failures > e->before.ops) e->before.failures = e->before.ops;
  if (e->after.failures > e->after.ops) e->after.failures = e->after.ops;
  e->since_seq = number(map, "since_seq");
  e->through_seq = number(map, "through_seq");
}

static void read_edit(const cJSON *item, obs_playbook_edit *h) {
  const cJSON *field;
  int change = name_index(member(item, "change"), obs_playbook_change_names, OBS_PLAYBOOK_CHANGE_COUNT);
  *h = (obs_playbook_edit){.version = (uint32_t)number(item, "version"),
                           .change = change >= 0 ? (obs_playbook_change)change : OBS_PLAYBOOK_UPDATED,
                           .time_ms = instant(item, "time")};
  cJSON_ArrayForEach(field, member(item, "fields")) {
    int at = name_index(field, field_names, OBS_PLAYBOOK_FIELD_COUNT);
    if (at >= 0) h->fields |= 1u << at;
  }
}

static void read_history(const cJSON *list, obs_playbook *e) {
  const cJSON *item;
  int skip = cJSON_GetArraySize(list) - OBS_PLAYBOOK_HISTORY;
  cJSON_ArrayForEach(item, list) {
    if (skip-- <= 0) read_edit(item, &e->history[e->nhistory++]);
  }
}

static bool read_origin(const cJSON *row, obs_playbook *e, const char **why) {
  static const char *const kinds[] = {"do", "dont"};
  int kind = name_index(member(row, "kind"), kinds, 2);
  *why = NULL;
  if (!obs_member_id(row, "entry", &e->id))
    *why = "entry: must be 16 hex digits";
  else if (kind < 0)
    *why = "kind: must be do or dont";
  else if (kind == 1 && !obs_member_id(row, "cluster", &e->cluster))
    *why = "cluster: must be 16 hex digits";
  else if (kind == 0 && (!cJSON_IsString(member(row, "endpoint")) || member(row, "endpoint")->valuestring[0] == '\0'))
    *why = "endpoint: must be a text";
  e->dont = kind == 1;
  return *why == NULL;
}

static void read_successes(const cJSON *row, obs_playbook *e) {
  text(member(row, "pattern"), e->pattern, OBS_PLAYBOOK_TEXT);
  e->pattern_share = fraction(row, "pattern_share");
  e->successes = number(row, "successes");
  e->avg_ms = fraction(row, "avg_ms");
  e->p50_ms = number(row, "p50_ms");
  e->p95_ms = number(row, "p95_ms");
}

bool obs_playbook_read(const cJSON *row, obs_playbook *e, const char **why) {
  *e = (obs_playbook){.number = number(row, "id")};
  if (!read_origin(row, e, why)) return false;
  text(member(row, "endpoint"), e->endpoint, OBS_PLAYBOOK_NAME);
  text(member(row, "task_class"), e->task_class, OBS_PLAYBOOK_NAME);
  text(member(row, "text"), e->text, OBS_PLAYBOOK_TEXT);
  e->analysis = number(row, "analysis");
  e->retired = cJSON_IsTrue(member(row, "retired"));
  e->created_ms = instant(row, "created");
  e->created_seq = number(row, "created_seq");
  read_successes(row, e);
  read_lists(row, e);
  read_effect(member(row, "effect"), &e->effect);
  read_history(member(row, "history"), e);
  e->written_seq = e->effect.through_seq;
  e->written_ops = e->effect.before.ops + e->effect.after.ops;
  if (e->text[0] != '\0' && e->nhistory > 0) return true;
  *why = e->nhistory > 0 ? "text: must be a text" : "history: must not be empty";
  return false;
}
