#include "base/row.h"
#include "learn/playbooks/internal.h"

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

obs_playbook_edit obs_playbook_last_edit(const obs_playbook_view *e) {
  return e->nhistory > 0 ? e->history[e->nhistory - 1] : (obs_playbook_edit){0};
}

/* ---- writing ---- */

static void put_text(obs_json_writer *w, const char *name, const char *text) {
  obs_json_text(w, name, text[0] != '\0' ? obs_str_of(text) : (obs_str){0});
}

/* At most six decimals. */
static void put_number(obs_json_writer *w, const char *name, bool known, double v) {
  if (known)
    obs_json_double(w, name, round(v * 1e6) / 1e6);
  else
    obs_json_null(w, name);
}

static void put_count(obs_json_writer *w, const char *name, bool known, uint64_t v) {
  if (known)
    obs_json_u64(w, name, v);
  else
    obs_json_null(w, name);
}

static void put_values(obs_json_writer *w, const char *name, const obs_playbook_values *list) {
  obs_json_array(w, name);
  for (uint32_t i = 0; i < list->n; i++) {
    obs_json_object(w, NULL);
    obs_json_text(w, "value", obs_str_of(list->v[i].text));
    obs_json_u64(w, "count", list->v[i].count);
    obs_json_end(w);
  }
  obs_json_end(w);
}

static void put_side(obs_json_writer *w, const char *name, obs_before_after_side s) {
  obs_json_object(w, name);
  obs_json_u64(w, "ops", s.ops);
  obs_json_u64(w, "failures", s.failures);
  put_number(w, "rate", s.ops > 0, s.ops > 0 ? (double)s.failures / (double)s.ops : 0);
  obs_json_end(w);
}

static obs_before_after_side side_of(obs_uplift_arm a) {
  return (obs_before_after_side){a.trials, a.failures};
}

/* null: nobody asked, or there is nobody to compare them with. */
static void put_uplift(const obs_playbook_view *e, bool kept, obs_json_writer *w) {
  const obs_uplift *u = &e->uplift;
  if (u->blocks == 0) {
    obs_json_null(w, "uplift");
    return;
  }
  obs_uplift_interval i = obs_uplift_change(u);
  obs_json_object(w, "uplift");
  put_side(w, "advised", side_of(u->advised));
  put_side(w, "others", side_of(u->others));
  put_number(w, "difference", true, i.difference);
  put_number(w, "low", true, i.low);
  put_number(w, "high", true, i.high);
  put_number(w, "log_e_worse", true, obs_uplift_worse(u));
  put_number(w, "log_e_better", true, obs_uplift_better(u));
  obs_json_u64(w, "blocks", u->blocks);
  if (kept) {
    const double sums[] = {u->weight, u->advised_sum, u->others_sum};
    obs_json_array(w, "sums");
    for (int k = 0; k < 3; k++) obs_json_double(w, NULL, round(sums[k] * 1e9) / 1e9);
    obs_json_end(w);
    obs_json_array(w, "log_lr");
    for (int k = 0; k < OBS_UPLIFT_GRID; k++) obs_json_double(w, NULL, round(u->log_lr[k] * 1e9) / 1e9);
    obs_json_end(w);
  }
  obs_json_end(w);
}

static void put_effect(const obs_playbook_view *e, bool kept, obs_json_writer *w) {
  const obs_before_after *f = &e->effect;
  const obs_before_after_side since = obs_before_after_since(f);
  bool both = f->before.ops > 0 && since.ops > 0;
  obs_json_object(w, "effect");
  put_side(w, "before", f->before);
  put_side(w, "after", since);
  put_number(w, "difference", both, f->change.difference);
  put_number(w, "low", both, f->change.low);
  put_number(w, "high", both, f->change.high);
  obs_json_u64(w, "since_seq", f->since_seq);
  obs_json_u64(w, "through_seq", f->through_seq);
  obs_json_cstr(w, "basis", e->uplift.blocks == 0 ? "since" : e->holdout ? "holdout" : "exposure");
  put_uplift(e, kept, w);
  if (kept) {
    obs_json_u64(w, "ended", f->ended);
    obs_json_array(w, "windows"); /* the ring as it is */
    for (int k = 0; k < OBS_SINCE_WINDOWS; k++) {
      const uint64_t counts[] = {f->windows[k].ops, f->windows[k].failures};
      obs_json_u64s(w, NULL, counts, 2);
    }
    obs_json_end(w);
  }
  obs_json_end(w);
}

static void put_head(const obs_playbook_view *e, obs_playbook_change change, obs_json_writer *w) {
  const obs_playbook_edit last = obs_playbook_last_edit(e);
  obs_json_u64(w, "version", last.version);
  obs_json_time(w, "time", last.time_ms);
  obs_json_cstr(w, "change", obs_playbook_change_names[change]);
  obs_json_cstr(w, "kind", e->dont ? "dont" : "do");
  put_text(w, "endpoint", e->endpoint);
  put_text(w, "task_class", e->task_class);
  if (e->dont)
    obs_json_id(w, "cluster", e->cluster);
  else
    obs_json_null(w, "cluster");
  put_count(w, "analysis", e->dont, e->analysis);
  put_text(w, "text", e->text);
}

void obs_playbook_write_light(const obs_playbook_view *e, obs_playbook_change change, obs_json_writer *w) {
  put_head(e, change, w);
  put_count(w, "successes", !e->dont, e->successes);
  obs_json_u64s(w, "evidence", e->evidence, e->nevidence);
  obs_json_time(w, "created", e->created_ms);
  put_effect(e, false, w);
  obs_json_bool(w, "retired", e->retired);
}

size_t obs_playbook_write(const obs_playbook_view *e, obs_playbook_change change, bool kept, obs_json_writer *w) {
  put_head(e, change, w);
  put_text(w, "pattern", e->pattern);
  put_number(w, "pattern_share", !e->dont && e->pattern[0] != '\0', e->pattern_share);
  obs_json_array(w, "recent");
  for (uint32_t i = 0; i < e->nrecent; i++) obs_json_text(w, NULL, obs_str_of(e->recent[i]));
  obs_json_end(w);
  put_count(w, "successes", !e->dont, e->successes);
  put_number(w, "avg_ms", !e->dont && e->p95_ms > 0, e->avg_ms); /* else nobody measured */
  put_count(w, "p50_ms", !e->dont && e->p95_ms > 0, e->p50_ms);
  put_count(w, "p95_ms", !e->dont && e->p95_ms > 0, e->p95_ms);
  put_values(w, "staffers", &e->staffers);
  put_values(w, "task_classes", &e->task_classes);
  obs_json_u64s(w, "evidence", e->evidence, e->nevidence);
  obs_json_time(w, "created", e->created_ms);
  obs_json_u64(w, "created_seq", e->created_seq);
  put_effect(e, kept, w);
  obs_json_bool(w, "retired", e->retired);
  size_t announced = w->out->len; /* the feed gets all but the history */
  obs_json_array(w, "history");
  for (const obs_playbook_edit *h = e->history; h < e->history + e->nhistory; h++) {
    obs_json_object(w, NULL);
    obs_json_u64(w, "version", h->version);
    obs_json_time(w, "time", h->time_ms);
    obs_json_cstr(w, "change", obs_playbook_change_names[h->change]);
    obs_json_array(w, "fields");
    for (uint32_t k = 0; k < OBS_PLAYBOOK_FIELD_COUNT; k++)
      if ((h->fields & (1u << k)) != 0) obs_json_cstr(w, NULL, field_names[k]);
    obs_json_end(w);
    obs_json_end(w);
  }
  obs_json_end(w);
  return announced;
}

/* ---- reading: what is absent or of another type is 0 or empty ---- */

static const cJSON *member(const cJSON *map, const char *name) {
  return cJSON_GetObjectItemCaseSensitive(map, name);
}

static uint64_t number(const cJSON *map, const char *name) {
  uint64_t n = 0;
  (void)obs_row_u64(map, name, &n);
  return n;
}

static double fraction(const cJSON *map, const char *name) {
  double v = 0;
  return obs_row_double(map, name, &v) && v >= 0 ? v : 0;
}

static int64_t instant(const cJSON *map, const char *name) {
  int64_t ms = 0;
  (void)obs_row_time(map, name, &ms);
  return ms;
}

static int name_index(obs_str s, const char *const *names, int n) {
  for (int i = 0; s.p != NULL && i < n; i++)
    if (obs_str_is(s, names[i])) return i;
  return -1;
}

static void read_values(const cJSON *list, obs_playbook_values *out) {
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    if (out->n == OBS_PLAYBOOK_VALUES) break;
    obs_playbook_value *v = &out->v[out->n];
    obs_playbook_put(v->text, obs_row_text(item, "value"), OBS_PLAYBOOK_NAME);
    v->count = number(item, "count");
    if (v->text[0] != '\0') out->n++;
  }
}

static obs_before_after_side read_side(const cJSON *map) {
  obs_before_after_side s = {number(map, "ops"), number(map, "failures")};
  if (s.failures > s.ops) s.failures = s.ops;
  return s;
}

static void read_numbers(const cJSON *list, double *out, int n) {
  const cJSON *item;
  int at = 0;
  cJSON_ArrayForEach(item, list) {
    if (at == n) return;
    out[at++] = cJSON_IsNumber(item) ? item->valuedouble : 0;
  }
}

/* Of a row of 0.1 there are no windows: what was counted since is the first one. */
static obs_before_after read_effect(const cJSON *map) {
  const cJSON *windows = member(map, "windows"), *item;
  obs_before_after f = {.before = read_side(member(map, "before")),
                        .ended = number(map, "ended"),
                        .since_seq = number(map, "since_seq"),
                        .through_seq = number(map, "through_seq")};
  int at = 0;
  cJSON_ArrayForEach(item, windows) {
    double counts[2] = {0, 0};
    if (at == OBS_SINCE_WINDOWS) break;
    read_numbers(item, counts, 2);
    if (counts[0] >= 0 && counts[1] >= 0 && counts[1] <= counts[0] && counts[0] <= 0x1p53)
      f.windows[at] = (obs_before_after_side){(uint64_t)counts[0], (uint64_t)counts[1]};
    at++;
  }
  if (windows == NULL) f.windows[f.ended % OBS_SINCE_WINDOWS] = read_side(member(map, "after"));
  obs_before_after_settle(&f);
  return f;
}

static obs_uplift read_uplift(const cJSON *map) {
  obs_before_after_side advised = read_side(member(map, "advised")), others = read_side(member(map, "others"));
  double sums[3] = {0, 0, 0};
  obs_uplift u = {.advised = {advised.ops, advised.failures},
                  .others = {others.ops, others.failures},
                  .blocks = (uint32_t)number(map, "blocks")};
  read_numbers(member(map, "sums"), sums, 3);
  read_numbers(member(map, "log_lr"), u.log_lr, OBS_UPLIFT_GRID);
  u.weight = sums[0]; /* all three are rounded in the row */
  u.advised_sum = fmin(fmax(sums[1], 0), u.weight);
  u.others_sum = fmin(fmax(sums[2], 0), u.weight);
  bool possible = u.blocks > 0 && u.weight > 0 && u.advised.trials > 0 && u.others.trials > 0;
  return possible ? u : (obs_uplift){0};
}

bool obs_playbook_read(const cJSON *row, obs_playbook_view *e, const char **why) {
  static const char *const kinds[] = {"do", "dont"};
  obs_str endpoint = obs_row_text(row, "endpoint");
  int kind = name_index(obs_row_text(row, "kind"), kinds, 2);
  const cJSON *item, *effect = member(row, "effect");
  *e = (obs_playbook_view){.number = number(row, "id"), .dont = kind == 1};
  *why = "entry: must be 16 hex digits";
  if (!obs_row_id(row, "entry", &e->id)) return false;
  *why = "kind: must be do or dont";
  if (kind < 0) return false;
  *why = "cluster: must be 16 hex digits";
  if (e->dont && !obs_row_id(row, "cluster", &e->cluster)) return false;
  *why = "endpoint: must be a text";
  if (!e->dont && (endpoint.p == NULL || endpoint.len == 0)) return false;

  obs_playbook_put(e->endpoint, endpoint, OBS_PLAYBOOK_NAME);
  obs_playbook_put(e->task_class, obs_row_text(row, "task_class"), OBS_PLAYBOOK_NAME);
  obs_playbook_put(e->text, obs_row_text(row, "text"), OBS_PLAYBOOK_TEXT);
  e->analysis = number(row, "analysis");
  (void)obs_row_bool(row, "retired", &e->retired);
  e->created_ms = instant(row, "created");
  e->created_seq = number(row, "created_seq");
  obs_playbook_put(e->pattern, obs_row_text(row, "pattern"), OBS_PLAYBOOK_TEXT);
  e->pattern_share = fraction(row, "pattern_share");
  e->successes = number(row, "successes");
  e->avg_ms = fraction(row, "avg_ms");
  e->p50_ms = number(row, "p50_ms");
  e->p95_ms = number(row, "p95_ms");
  cJSON_ArrayForEach(item, member(row, "recent")) {
    if (e->nrecent == OBS_PLAYBOOK_RECENT) break;
    obs_playbook_put(e->recent[e->nrecent++], obs_row_item_text(item), OBS_PLAYBOOK_SUMMARY);
  }
  cJSON_ArrayForEach(item, member(row, "evidence")) {
    if (e->nevidence == OBS_PLAYBOOK_EVIDENCE) break;
    /* Beyond 2^53 a double no longer tells two seqs apart. */
    if (cJSON_IsNumber(item) && item->valuedouble >= 1 && item->valuedouble <= 0x1p53)
      e->evidence[e->nevidence++] = (uint64_t)item->valuedouble;
  }
  read_values(member(row, "staffers"), &e->staffers);
  read_values(member(row, "task_classes"), &e->task_classes);
  e->effect = read_effect(effect);
  e->uplift = read_uplift(member(effect, "uplift"));
  e->holdout = obs_str_is(obs_row_text(effect, "basis"), "holdout");
  /* What is counted from here on is not in a row yet. */
  e->written_seq = e->effect.through_seq;
  e->written_ops = obs_playbook_counted(&e->effect);
  e->written_blocks = e->uplift.blocks;
  const cJSON *history = member(row, "history"), *field;
  int skip = cJSON_GetArraySize(history) - OBS_PLAYBOOK_HISTORY; /* the oldest, if a later version kept more */
  cJSON_ArrayForEach(item, history) {
    if (skip-- > 0) continue;
    obs_playbook_edit *h = &e->history[e->nhistory++];
    int change = name_index(obs_row_text(item, "change"), obs_playbook_change_names, OBS_PLAYBOOK_CHANGE_COUNT);
    *h = (obs_playbook_edit){.version = (uint32_t)number(item, "version"),
                             /* A change of a later version is some update here. */
                             .change = change >= 0 ? (obs_playbook_change)change : OBS_PLAYBOOK_UPDATED,
                             .time_ms = instant(item, "time")};
    cJSON_ArrayForEach(field, member(item, "fields")) {
      int at = name_index(obs_row_item_text(field), field_names, OBS_PLAYBOOK_FIELD_COUNT);
      if (at >= 0) h->fields |= 1u << at;
    }
  }
  *why = "history: must not be empty";
  if (e->nhistory == 0) return false;
  *why = "text: must be a text";
  return e->text[0] != '\0';
}
