/* The ledger notifications.jsonl: what is about to be sent, and what was answered. From it a restart knows what each
 * receiver was told.
 *
 *   {"id","time","event":"send","message","receiver","type","reason","rule","alerts":[ALERT]}
 *   {"id","time","event":"end","send","message","receiver","result":"sent|failed","status","ms","error"}
 *   {"id","time","event":"known","receiver","alerts":[ALERT],"times":[...],"groups":[{"rule","send","last"}]}
 *     when the file is turned over: what it was told, when it had messages within the last hour, and the last one about
 *     each rule
 *   ALERT:
 * {"alert","says":"firing|resolved|over|unsure","rule","severity","labels":{...},"text","path","since","fired"}
 *
 * A `send` without an `end` may have been received or not: what it says fires is UNSURE, and is sent again. */
#include "base/clock.h"
#include "base/json.h"
#include "base/row.h"
#include "notify/internal.h"

#include <math.h>

/* ---- rows ---- */

static void put_alert(obs_json_writer *w, const obs_notify_facts *f, const char *says) {
  obs_json_object(w, NULL);
  obs_json_id(w, "alert", f->fingerprint);
  obs_json_cstr(w, "says", says);
  obs_json_cstr(w, "rule", f->rule);
  obs_json_cstr(w, "severity", obs_notify_severity_names[f->severity]);
  obs_json_object(w, "labels");
  for (uint32_t i = 0; i < f->nlabels; i++) {
    obs_json_key(w, obs_str_of(f->labels[i].name));
    obs_json_cstr(w, NULL, f->labels[i].value);
  }
  obs_json_end(w);
  obs_json_cstr(w, "text", f->text);
  obs_json_cstr(w, "path", f->path);
  obs_json_time(w, "since", f->since_ms);
  obs_json_time(w, "fired", f->fired_ms);
  obs_json_end(w);
}

static void put_send(const obs_notify_message *m, const obs_notify_receiver *r, obs_json_writer *w) {
  obs_json_time(w, "time", m->now_ms);
  obs_json_cstr(w, "event", "send");
  obs_json_id(w, "message", m->id);
  obs_json_cstr(w, "receiver", r->name);
  obs_json_cstr(w, "type", obs_notify_type_names[r->type]);
  obs_json_cstr(w, "reason", obs_notify_reason_names[m->reason]);
  obs_json_cstr(w, "rule", m->rule);
  obs_json_array(w, "alerts"); /* what still fires it knows already */
  for (uint32_t i = 0; i < m->items.n; i++)
    if (m->items.at[i].says != OBS_NOTIFY_STILL)
      put_alert(w, m->items.at[i].facts, obs_notify_says_names[m->items.at[i].says]);
  obs_json_end(w);
}

void obs_notify_ledger_begin(obs_notify *n, obs_notify_message *m, const obs_notify_receiver *r) {
  obs_notify_slot *s = &n->slots[m->slot];
  obs_buf row = {0};
  if (m->reason == OBS_NOTIFY_KEEP) return;
  obs_json_writer w = {.out = &row, .depth = 1};
  put_send(m, r, &w);
  (void)obs_records_append(n->ledger, &row, &m->row); /* a failure is logged there */
  pthread_mutex_lock(&n->lock);
  obs_buf_fini(&s->in_flight);
  w = obs_json_write(&s->in_flight);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "id", m->row);
  obs_json_members(&w, obs_buf_view(&row));
  obs_json_end(&w);
  obs_buf_putc(&s->in_flight, '\n');
  pthread_mutex_unlock(&n->lock);
  obs_buf_fini(&row);
}

void obs_notify_ledger_end(obs_notify *n, const obs_notify_message *m, const obs_notify_receiver *r,
                           const obs_notify_result *result) {
  obs_buf row = {0};
  if (m->reason == OBS_NOTIFY_KEEP) return;
  obs_json_writer w = {.out = &row, .depth = 1};
  obs_json_time(&w, "time", result->at_ms);
  obs_json_cstr(&w, "event", "end");
  obs_json_u64(&w, "send", m->row);
  obs_json_id(&w, "message", m->id);
  obs_json_cstr(&w, "receiver", r->name);
  obs_json_cstr(&w, "result", result->ok ? "sent" : "failed");
  obs_json_u64_or_null(&w, "status", (uint64_t)result->status);
  obs_json_u64(&w, "ms", result->ms);
  obs_json_cstr(&w, "error", result->error[0] != '\0' ? result->error : NULL);
  (void)obs_records_append(n->ledger, &row, NULL);
  obs_buf_fini(&row);
}

/* ---- turning over ---- */

/* One row for each receiver. Their numbers are the first ones, which no row of this file has any more. */
static void carry_slot(obs_notify *n, uint32_t slot, uint64_t id, obs_buf *out) {
  const obs_notify_slot *s = &n->slots[slot];
  obs_json_writer w = obs_json_write(out);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "id", id);
  obs_json_time(&w, "time", obs_clock_receipt_ms());
  obs_json_cstr(&w, "event", "known");
  obs_json_cstr(&w, "receiver", s->name);
  obs_json_array(&w, "alerts");
  for (uint32_t i = 0; i < n->entries.n; i++) {
    const obs_notify_entry *e = &n->entries.at[i];
    if (e->facts == NULL || e->told[slot].state == OBS_NOTIFY_TOLD_NOTHING) continue;
    put_alert(&w, e->facts, e->told[slot].state == OBS_NOTIFY_TOLD_FIRING ? "firing" : "unsure");
  }
  obs_json_end(&w);
  obs_json_array(&w, "times");
  for (uint32_t i = 0; i < s->nhour; i++) obs_json_time(&w, NULL, s->hour[i]);
  obs_json_end(&w);
  obs_json_array(&w, "groups");
  for (uint32_t i = 0; i < n->rules.n; i++) {
    const obs_notify_group *g = &n->rules.at[i].groups[slot];
    if (g->last_ms == 0) continue;
    obs_json_object(&w, NULL);
    obs_json_cstr(&w, "rule", n->rules.at[i].name);
    obs_json_u64(&w, "send", g->last_row);
    obs_json_time(&w, "last", g->last_ms);
    obs_json_end(&w);
  }
  obs_json_end(&w);
  obs_json_end(&w);
  obs_buf_putc(out, '\n');
  obs_buf_append(out, s->in_flight.p, s->in_flight.len);
}

static void carry(void *arg, obs_buf *out) {
  obs_notify *n = arg;
  pthread_mutex_lock(&n->lock);
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++)
    if (n->slots[i].name[0] != '\0') carry_slot(n, i, i + 1, out);
  pthread_mutex_unlock(&n->lock);
}

/* ---- reading ---- */

static obs_notify_facts *read_alert(const cJSON *row) {
  obs_notify_alert a = {.value = NAN, .threshold = NAN, .text = "", .path = "/"};
  const cJSON *item;
  obs_str severity = obs_row_text(row, "severity");
  if (!obs_row_id(row, "alert", &a.fingerprint) || obs_row_text(row, "rule").p == NULL) return NULL;
  a.rule = obs_row_text(row, "rule").p; /* cJSON's texts end in NUL */
  if (obs_row_text(row, "text").p != NULL) a.text = obs_row_text(row, "text").p;
  if (obs_row_text(row, "path").p != NULL) a.path = obs_row_text(row, "path").p;
  (void)obs_row_time(row, "since", &a.since_ms);
  (void)obs_row_time(row, "fired", &a.fired_ms);
  for (int i = 0; i < OBS_NOTIFY_SEVERITIES; i++)
    if (obs_str_is(severity, obs_notify_severity_names[i])) a.severity = (obs_notify_severity)i;
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(row, "labels")) {
    if (a.nlabels < OBS_NOTIFY_LABELS && cJSON_IsString(item))
      a.labels[a.nlabels++] = (obs_notify_label){item->string, item->valuestring};
  }
  return obs_notify_facts_make(&a, NULL); /* it was redacted when it was written */
}

/* Frees one that nobody was told of, or whose end everybody knows. */
static void forget_untold(obs_notify *n, obs_notify_entry *e) {
  for (uint32_t s = 0; s < OBS_NOTIFY_SLOTS; s++)
    if (e->told[s].state != OBS_NOTIFY_TOLD_NOTHING) return;
  e->firing = false;
  e->said = true;
  (void)obs_notify_book_drop(n, e);
}

/* What an alert of a row does to what a slot was told. `sent`: it was answered. */
static void take_alert(obs_notify *n, uint32_t slot, const cJSON *row, bool sent) {
  obs_str says = obs_row_text(row, "says");
  bool fires = obs_str_is(says, "firing"), over = obs_str_is(says, "over");
  obs_notify_facts *facts = read_alert(row);
  if (facts == NULL) return;
  if ((sent && over) || obs_str_is(says, "resolved")) { /* an end that was not answered is still to be told */
    obs_notify_entry *known = obs_notify_book_find(n, facts->fingerprint);
    obs_notify_facts_release(facts);
    if (!sent || known == NULL) return;
    known->told[slot].state = OBS_NOTIFY_TOLD_NOTHING;
    forget_untold(n, known);
    return;
  }
  obs_notify_entry *e = obs_notify_book_remember(n, facts);
  if (e == NULL) return;
  e->firing = true; /* until it is said otherwise, or nothing is said */
  e->times = 1;
  e->told[slot] = (obs_notify_told){sent && fires ? OBS_NOTIFY_TOLD_FIRING : OBS_NOTIFY_TOLD_UNSURE, 1};
}

static void take_alerts(obs_notify *n, uint32_t slot, const cJSON *row, bool sent) {
  const cJSON *item;
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(row, "alerts")) {
    take_alert(n, slot, item, sent);
  }
}

static void note_sent(obs_notify *n, uint32_t slot, const cJSON *send, uint64_t number, int64_t time) {
  obs_notify_slot *s = &n->slots[slot];
  const cJSON *item, *alerts = cJSON_GetObjectItemCaseSensitive(send, "alerts");
  const obs_notify_group group = {.last_ms = time, .last_row = number};
  obs_str rule = obs_row_text(send, "rule");
  take_alerts(n, slot, send, true);
  uint32_t place = rule.p != NULL ? obs_notify_rule_of(n, rule.p) : UINT32_MAX;
  if (place != UINT32_MAX) n->rules.at[place].groups[slot] = group;
  cJSON_ArrayForEach(item, alerts) {
    const char *name = obs_row_text(item, "rule").p;
    place = name != NULL ? obs_notify_rule_of(n, name) : UINT32_MAX;
    if (place != UINT32_MAX) n->rules.at[place].groups[slot] = group;
  }
  if (s->nhour == OBS_NOTIFY_PER_HOUR_MAX) memmove(s->hour, s->hour + 1, --s->nhour * sizeof *s->hour);
  s->hour[s->nhour++] = time;
}

/* It was cut off: by kill -9, or by a stop. */
static void leave_open(obs_notify *n, uint32_t slot) {
  obs_notify_slot *s = &n->slots[slot];
  if (s->open == NULL) return;
  take_alerts(n, slot, s->open, false);
  (void)obs_row_id(s->open, "message", &s->unsure);
  cJSON_Delete(s->open);
  s->open = NULL;
}

static void take_hour(obs_notify_slot *s, const cJSON *times) {
  const cJSON *item;
  s->nhour = 0;
  cJSON_ArrayForEach(item, times) {
    obs_str text = obs_row_item_text(item);
    if (s->nhour < OBS_NOTIFY_PER_HOUR_MAX && text.p != NULL && obs_clock_parse(text.p, text.len, &s->hour[s->nhour]))
      s->nhour++;
  }
}

static void take_groups(obs_notify *n, uint32_t slot, const cJSON *groups) {
  const cJSON *item;
  cJSON_ArrayForEach(item, groups) {
    const char *rule = obs_row_text(item, "rule").p;
    uint32_t place = rule != NULL ? obs_notify_rule_of(n, rule) : UINT32_MAX;
    if (place == UINT32_MAX) continue;
    (void)obs_row_time(item, "last", &n->rules.at[place].groups[slot].last_ms);
    (void)obs_row_u64(item, "send", &n->rules.at[place].groups[slot].last_row);
  }
}

static void take_end(obs_notify *n, uint32_t slot, const cJSON *row, int64_t time) {
  obs_notify_slot *s = &n->slots[slot];
  uint64_t number = 0, of = 0;
  if (s->open == NULL || !obs_row_u64(row, "send", &number) || !obs_row_u64(s->open, "id", &of) || of != number) return;
  if (obs_str_is(obs_row_text(row, "result"), "sent")) note_sent(n, slot, s->open, number, time);
  cJSON_Delete(s->open);
  s->open = NULL;
}

static bool fold(void *arg, const cJSON *row, const char **why) {
  obs_notify *n = arg;
  obs_str event = obs_row_text(row, "event"), receiver = obs_row_text(row, "receiver");
  int64_t time;
  *why = "time: must be an ISO 8601 time";
  if (!obs_row_time(row, "time", &time)) return false;
  *why = "receiver: must be a name";
  if (receiver.p == NULL || receiver.len == 0 || receiver.len > OBS_NOTIFY_NAME_MAX) return false;
  *why = "event: must be send, end or known";
  uint32_t slot = obs_notify_slot_of(n, receiver);
  if (slot == UINT32_MAX) return true; /* of former receivers there are more than are remembered */
  if (obs_str_is(event, "send")) {
    leave_open(n, slot);
    n->slots[slot].open = cJSON_Duplicate(row, true);
  } else if (obs_str_is(event, "end")) {
    take_end(n, slot, row, time);
  } else if (obs_str_is(event, "known")) {
    take_alerts(n, slot, row, true);
    take_hour(&n->slots[slot], cJSON_GetObjectItemCaseSensitive(row, "times"));
    take_groups(n, slot, cJSON_GetObjectItemCaseSensitive(row, "groups"));
  } else {
    return false;
  }
  return true;
}

observer_err obs_notify_ledger_open(obs_notify *n, char *error_text, size_t error_size) {
  const obs_records_opts opts = {.dir = n->opts.dir,
                                 .name = "notifications.jsonl",
                                 .kept = 1,
                                 .turn_bytes = n->opts.turn_bytes,
                                 .fold = fold,
                                 .carry = carry,
                                 .arg = n};
  observer_err err = obs_records_open(&opts, &n->ledger, error_text, error_size);
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++) leave_open(n, i);
  return err;
}
