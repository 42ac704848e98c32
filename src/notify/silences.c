/* Silences: what operators do not want to hear of, until when, and who says so.
 *
 *   {"id","time","event":"set","matchers":[{"name","value","glob"}],"from","until","author","comment"}
 *   {"id","time","event":"end","silence"}
 *
 * The number of its row is a silence's id. Those that are over stay in memory until their place is needed. */
#include "base/clock.h"
#include "base/glob.h"
#include "base/json.h"
#include "base/row.h"
#include "notify/internal.h"
#include "options/options.h"

#include <stdio.h>
#include <stdlib.h>

enum { VALUE_MAX = 256, AUTHOR_MAX = 100, COMMENT_MAX = 500 };
static const int64_t longest_ms = INT64_C(365) * 86400000;

/* ---- one silence ---- */

static void fini(obs_notify_silence *s) {
  for (uint32_t i = 0; i < s->nmatchers; i++) {
    free(s->matchers[i].name);
    free(s->matchers[i].value);
  }
  free(s->author);
  free(s->comment);
  *s = (obs_notify_silence){0};
}

bool obs_notify_silence_is_over(const obs_notify_silence *s, int64_t now) {
  return s->id == 0 || s->until_ms <= now;
}

static bool matches(const obs_notify_silence *s, const obs_notify_facts *f) {
  for (uint32_t i = 0; i < s->nmatchers; i++) {
    const obs_notify_matcher *m = &s->matchers[i];
    const char *value = obs_notify_facts_label(f, m->name);
    if (value == NULL) return false;
    if (m->glob ? !obs_glob_matches(obs_str_of(m->value), obs_str_of(value)) : strcmp(m->value, value) != 0)
      return false;
  }
  return true;
}

/* What its row and the list have in common. */
static void put_members(const obs_notify_silence *s, obs_json_writer *w) {
  obs_json_array(w, "matchers");
  for (uint32_t i = 0; i < s->nmatchers; i++) {
    obs_json_object(w, NULL);
    obs_json_cstr(w, "name", s->matchers[i].name);
    obs_json_cstr(w, "value", s->matchers[i].value);
    obs_json_bool(w, "glob", s->matchers[i].glob);
    obs_json_end(w);
  }
  obs_json_end(w);
  obs_json_time(w, "from", s->from_ms);
  obs_json_time(w, "until", s->until_ms);
  obs_json_cstr(w, "author", s->author);
  obs_json_cstr(w, "comment", s->comment);
}

static void put(const obs_notify_silence *s, int64_t now, obs_json_writer *w) {
  obs_json_object(w, NULL);
  obs_json_u64(w, "id", s->id);
  obs_json_cstr(w, "state", obs_notify_silence_is_over(s, now) ? "ended" : "active");
  put_members(s, w);
  obs_json_end(w);
}

/* The row of its beginning. */
static void put_row(const obs_notify_silence *s, obs_json_writer *w) {
  obs_json_time(w, "time", s->from_ms);
  obs_json_cstr(w, "event", "set");
  put_members(s, w);
}

/* ---- reading one, from a request or a row ---- */

static bool fail(char *error, size_t size, const char *why) {
  snprintf(error, size, "%s", why);
  return false;
}

/* A text of at most `max` bytes without control characters, but for a comment's ends of lines. */
static bool take_text(const cJSON *value, size_t max, bool lines, char **out) {
  const char *text = cJSON_GetStringValue(value);
  if (text == NULL || strlen(text) > max) return false;
  for (const char *p = text; *p != '\0'; p++)
    if ((unsigned char)*p < ' ' && !(lines && *p == '\n')) return false;
  *out = strdup(text);
  return *out != NULL;
}

static bool take_matcher(obs_notify_silence *s, const cJSON *item, char *error, size_t size) {
  obs_notify_matcher *m = &s->matchers[s->nmatchers++];
  const cJSON *member;
  bool glob = false;
  if (!cJSON_IsObject(item)) return fail(error, size, "matchers: each must be an object with name and value");
  cJSON_ArrayForEach(member, item) {
    if (strcmp(member->string, "name") != 0 && strcmp(member->string, "value") != 0 &&
        strcmp(member->string, "glob") != 0)
      return fail(error, size, "matchers: each has name, value and glob");
  }
  const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "name");
  const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, "value");
  if (!take_text(name, OBS_NOTIFY_NAME_MAX, false, &m->name) || *m->name == '\0')
    return fail(error, size, "matchers: name must be a text: rule, severity or what the rule groups by");
  if (!take_text(value, VALUE_MAX, false, &m->value))
    return fail(error, size, "matchers: value must be a text of at most 256 bytes");
  if (cJSON_GetObjectItemCaseSensitive(item, "glob") != NULL && !obs_row_bool(item, "glob", &glob))
    return fail(error, size, "matchers: glob must be true or false");
  m->glob = glob;
  return true;
}

static bool take_matchers(obs_notify_silence *s, const cJSON *value, char *error, size_t size) {
  const cJSON *item;
  int n = cJSON_GetArraySize(value);
  if (!cJSON_IsArray(value) || n == 0 || n > OBS_NOTIFY_MATCHERS)
    return fail(error, size, "matchers: must be an array of 1 to 8 objects with name and value");
  cJSON_ArrayForEach(item, value) {
    if (!take_matcher(s, item, error, size)) return false;
  }
  return true;
}

/* What a request and a row have in common. */
static bool take(obs_notify_silence *s, const cJSON *body, const char *author, char *error, size_t size) {
  const cJSON *by = cJSON_GetObjectItemCaseSensitive(body, "author");
  const cJSON *comment = cJSON_GetObjectItemCaseSensitive(body, "comment");
  if (!take_matchers(s, cJSON_GetObjectItemCaseSensitive(body, "matchers"), error, size)) return false;
  if (by == NULL)
    s->author = strdup(author);
  else if (!take_text(by, AUTHOR_MAX, false, &s->author))
    return fail(error, size, "author: must be a text of at most 100 bytes");
  if (comment == NULL)
    s->comment = strdup("");
  else if (!take_text(comment, COMMENT_MAX, true, &s->comment))
    return fail(error, size, "comment: must be a text of at most 500 bytes");
  return (s->author != NULL && s->comment != NULL) || fail(error, size, observer_strerror(OBSERVER_E_NOMEM));
}

/* `until` or `for`. */
static bool take_end(obs_notify_silence *s, const cJSON *body, int64_t now, char *error, size_t size) {
  const cJSON *until = cJSON_GetObjectItemCaseSensitive(body, "until");
  const cJSON *length = cJSON_GetObjectItemCaseSensitive(body, "for");
  uint64_t ms = 0;
  s->from_ms = now;
  if ((until == NULL) == (length == NULL)) return fail(error, size, "until: needs one of until and for");
  if (until != NULL && (!obs_row_time(body, "until", &s->until_ms) || s->until_ms <= now))
    return fail(error, size, "until: must be a time to come, such as 2026-12-01T08:00:00Z");
  if (length != NULL) {
    if (!cJSON_IsString(length) || !obs_option_read_duration(length->valuestring, &ms) || ms < 1000 ||
        ms > (uint64_t)longest_ms)
      return fail(error, size, "for: must be a duration from 1s to 365d, such as 2h");
    s->until_ms = now + (int64_t)ms;
  }
  return s->until_ms - now <= longest_ms || fail(error, size, "until: must be within 365 days");
}

static bool take_request(obs_notify_silence *s, const cJSON *body, const char *author, int64_t now, char *error,
                         size_t size) {
  static const char *const known[] = {"matchers", "until", "for", "author", "comment"};
  const cJSON *member;
  if (!cJSON_IsObject(body)) return fail(error, size, "must be a JSON object with matchers and until or for");
  cJSON_ArrayForEach(member, body) {
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) found = found || strcmp(known[i], member->string) == 0;
    if (found) continue;
    snprintf(error, size, "%.64s: not known here: a silence has matchers, until or for, author and comment",
             member->string);
    return false;
  }
  return take(s, body, author, error, size) && take_end(s, body, now, error, size);
}

/* ---- all of them ---- */

/* Where a new one goes: a free place, a new one, that of the one that has been over longest. NULL: no room. */
static obs_notify_silence *find_place(obs_notify *n, int64_t now) {
  obs_notify_silence *oldest = NULL;
  if (n->silences.n < OBS_NOTIFY_SILENCES) return OBS_VEC_PUSH(&n->silences);
  for (uint32_t i = 0; i < n->silences.n; i++) {
    obs_notify_silence *s = &n->silences.at[i];
    if (obs_notify_silence_is_over(s, now) && (oldest == NULL || s->until_ms < oldest->until_ms)) oldest = s;
  }
  if (oldest != NULL) fini(oldest);
  return oldest;
}

static obs_notify_silence *find(obs_notify *n, uint64_t id) {
  for (uint32_t i = 0; i < n->silences.n; i++)
    if (n->silences.at[i].id == id) return &n->silences.at[i];
  return NULL;
}

uint64_t obs_notify_silenced_by(const obs_notify *n, const obs_notify_facts *f) {
  int64_t now = obs_clock_receipt_ms();
  for (uint32_t i = 0; i < n->silences.n; i++) {
    const obs_notify_silence *s = &n->silences.at[i];
    if (!obs_notify_silence_is_over(s, now) && matches(s, f)) return s->id;
  }
  return 0;
}

/* What one that has begun (id not 0) or ended holds back, or no more. */
static void apply(obs_notify *n, uint64_t ended) {
  for (uint32_t i = 0; i < n->entries.n; i++) {
    obs_notify_entry *e = &n->entries.at[i];
    if (e->facts != NULL && (e->silenced_by == 0 || e->silenced_by == ended))
      e->silenced_by = obs_notify_silenced_by(n, e->facts);
  }
}

int64_t obs_notify_silences_expire(obs_notify *n, int64_t now) {
  int64_t next = INT64_MAX;
  for (uint32_t i = 0; i < n->silences.n; i++) {
    obs_notify_silence *s = &n->silences.at[i];
    if (obs_notify_silence_is_over(s, now)) {
      if (s->in_force) apply(n, s->id);
      s->in_force = false;
    } else if (s->until_ms < next) {
      next = s->until_ms;
    }
  }
  return next;
}

static void wake_all(obs_notify *n) {
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++) obs_notify_book_wake(n, i, 0);
}

/* ---- rows ---- */

static bool fold(void *arg, const cJSON *row, const char **why) {
  obs_notify *n = arg;
  char error[160];
  obs_notify_silence s = {.in_force = true}, *place;
  uint64_t id = 0;
  obs_str event = obs_row_text(row, "event");
  int64_t now = obs_clock_receipt_ms();
  (void)obs_row_u64(row, "id", &s.id);
  *why = "silence: must be the number of a row";
  if (obs_str_is(event, "end")) {
    int64_t time = now;
    if (!obs_row_u64(row, "silence", &id)) return false;
    (void)obs_row_time(row, "time", &time);
    place = find(n, id);
    if (place != NULL && place->until_ms > time) place->until_ms = time;
    return true;
  }
  *why = "not a silence";
  if (!obs_str_is(event, "set") || !obs_row_time(row, "from", &s.from_ms) || !obs_row_time(row, "until", &s.until_ms) ||
      !take(&s, row, "", error, sizeof error)) {
    fini(&s);
    return false;
  }
  place = find_place(n, now);
  if (place != NULL)
    *place = s;
  else
    fini(&s);
  *why = "more silences than there may be";
  return place != NULL;
}

/* A file that is turned over begins with the ones in force. */
static void carry(void *arg, obs_buf *out) {
  obs_notify *n = arg;
  int64_t now = obs_clock_receipt_ms();
  pthread_mutex_lock(&n->lock);
  for (uint32_t i = 0; i < n->silences.n; i++) {
    const obs_notify_silence *s = &n->silences.at[i];
    if (obs_notify_silence_is_over(s, now)) continue;
    obs_json_writer w = obs_json_write(out);
    obs_json_object(&w, NULL);
    obs_json_u64(&w, "id", s->id);
    put_row(s, &w);
    obs_json_end(&w);
    obs_buf_putc(out, '\n');
  }
  pthread_mutex_unlock(&n->lock);
}

observer_err obs_notify_silences_open(obs_notify *n, char *error_text, size_t error_size) {
  const obs_records_opts opts = {
      .dir = n->opts.dir, .name = "silences.jsonl", .kept = 1, .fold = fold, .carry = carry, .arg = n};
  return obs_records_open(&opts, &n->silence_rows, error_text, error_size);
}

void obs_notify_silences_fini(obs_notify *n) {
  for (uint32_t i = 0; i < n->silences.n; i++) fini(&n->silences.at[i]);
  OBS_VEC_FINI(&n->silences);
  obs_records_close(n->silence_rows);
}

/* ---- setting and ending one ---- */

static bool is_full(obs_notify *n, int64_t now) {
  uint32_t active = 0;
  pthread_mutex_lock(&n->lock);
  for (uint32_t i = 0; i < n->silences.n; i++) active += !obs_notify_silence_is_over(&n->silences.at[i], now);
  pthread_mutex_unlock(&n->lock);
  return active >= OBS_NOTIFY_SILENCES;
}

/* Durable, then in force. */
static observer_err set(obs_notify *n, obs_notify_silence *s, uint64_t *id, obs_buf *out) {
  obs_buf row = {0};
  obs_json_writer w = {.out = &row, .depth = 1};
  put_row(s, &w);
  observer_err err = obs_records_append(n->silence_rows, &row, &s->id);
  obs_buf_fini(&row);
  if (err != OBSERVER_E_OK) return err;
  *id = s->id;
  pthread_mutex_lock(&n->lock);
  obs_notify_silence *place = find_place(n, s->from_ms);
  if (place != NULL) {
    *place = *s;
    place->in_force = true;
    w = obs_json_write(out);
    put(place, s->from_ms, &w);
    *s = (obs_notify_silence){0};
    apply(n, 0);
    wake_all(n); /* to know when it ends */
  }
  pthread_mutex_unlock(&n->lock);
  return place != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

observer_err obs_notify_silence_add(obs_notify *n, const cJSON *body, const char *author, uint64_t *id, obs_buf *out,
                                    char *error, size_t size) {
  obs_notify_silence s = {0};
  int64_t now = obs_clock_receipt_ms();
  observer_err err = OBSERVER_E_INVALID;
  *id = 0;
  if (take_request(&s, body, author, now, error, size)) {
    pthread_mutex_lock(&n->silencing);
    err = is_full(n, now) ? OBSERVER_E_FULL : set(n, &s, id, out);
    pthread_mutex_unlock(&n->silencing);
    if (err == OBSERVER_E_FULL) snprintf(error, size, "there are %d silences: end one first", OBS_NOTIFY_SILENCES);
    if (err != OBSERVER_E_OK && err != OBSERVER_E_FULL)
      snprintf(error, size, "silences.jsonl cannot be written: %s", observer_strerror(err));
  }
  fini(&s);
  return err;
}

observer_err obs_notify_silence_end(obs_notify *n, uint64_t id, obs_buf *out) {
  obs_buf row = {0};
  int64_t now = obs_clock_receipt_ms();
  pthread_mutex_lock(&n->silencing);
  pthread_mutex_lock(&n->lock);
  const obs_notify_silence *found = find(n, id);
  bool active = found != NULL && !obs_notify_silence_is_over(found, now);
  pthread_mutex_unlock(&n->lock);
  observer_err err = OBSERVER_E_NOTFOUND;
  if (active) {
    obs_json_writer w = {.out = &row, .depth = 1};
    obs_json_time(&w, "time", now);
    obs_json_cstr(&w, "event", "end");
    obs_json_u64(&w, "silence", id);
    err = obs_records_append(n->silence_rows, &row, NULL);
  }
  if (err == OBSERVER_E_OK) {
    pthread_mutex_lock(&n->lock);
    obs_notify_silence *s = find(n, id); /* `silencing` keeps it there */
    s->until_ms = now;
    obs_json_writer w = obs_json_write(out);
    put(s, now, &w);
    (void)obs_notify_silences_expire(n, now);
    wake_all(n);
    pthread_mutex_unlock(&n->lock);
  }
  pthread_mutex_unlock(&n->silencing);
  obs_buf_fini(&row);
  return err;
}

/* ---- views ---- */

void obs_notify_silences(obs_notify *n, const obs_page *page, bool ended, obs_buf *out, obs_page_end *end) {
  int64_t now = obs_clock_receipt_ms();
  obs_json_writer w = obs_json_write(out);
  obs_json_array(&w, NULL);
  *end = (obs_page_end){.complete = true, .counted = true};
  obs_page_fill fill = obs_page_fill_begin(page, &w);
  pthread_mutex_lock(&n->lock);
  for (uint64_t below = page->before != 0 ? page->before : UINT64_MAX;; below = end->next) {
    const obs_notify_silence *s = NULL; /* the newest one below */
    for (uint32_t i = 0; i < n->silences.n; i++) {
      const obs_notify_silence *at = &n->silences.at[i];
      if (at->id == 0 || at->id >= below || (s != NULL && at->id < s->id)) continue;
      if (ended || !obs_notify_silence_is_over(at, now)) s = at;
    }
    if (s == NULL) break;
    if (fill.rows == obs_page_rows(page)) {
      end->more = true;
      break;
    }
    obs_page_begin_row(&fill);
    put(s, now, &w);
    if (!obs_page_end_row(&fill)) {
      end->more = true;
      end->complete = false;
      break;
    }
    end->next = s->id;
  }
  for (uint32_t i = 0; i < n->silences.n; i++)
    end->total += n->silences.at[i].id != 0 && (ended || !obs_notify_silence_is_over(&n->silences.at[i], now));
  pthread_mutex_unlock(&n->lock);
  obs_json_end(&w);
}
