#include "fleet/rows.h"

#include "base/json_cursor.h"
#include "base/vec.h"

#include <stdio.h>
#include <stdlib.h>

enum { CURSOR_ROOM = OBS_FLEET_ROWS_CURSOR + 1, DEPTH_MAX = OBS_JSON_DEPTH - 8 };
static const char cursor_parameter[] = "cursor=";

typedef struct {
  int64_t at_ms;
  obs_str from, members; /* of the edge's body */
} row;

typedef enum { MISSING, ANSWERED } edge_state;

typedef struct {
  char who[OBS_FLEET_ASK_WHO_MAX + 1];
  char more[sizeof cursor_parameter + OBS_FLEET_ROWS_CURSOR]; /* "cursor=..."; "": from the newest on */
  edge_state state;
  bool away;
  char *body; /* NULL: none came */
  uint32_t len;
  OBS_VEC(row) rows;
  uint32_t given;         /* rows that are on the page */
  char next[CURSOR_ROOM]; /* behind all rows; "": there are no more */
} edge;

struct obs_fleet_rows {
  const char *list;
  bool goes_on;
  edge *edges; /* OBS_FLEET_ASK_MEMBERS, sorted by name */
  uint32_t n;
  obs_fleet_member *members;
  uint16_t fault_status;
  obs_buf fault;
  bool no_memory;
};

obs_fleet_rows *obs_fleet_rows_open(const char *list) {
  obs_fleet_rows *r = calloc(1, sizeof *r);
  if (r == NULL) return NULL;
  r->list = list;
  r->edges = calloc(OBS_FLEET_ASK_MEMBERS, sizeof *r->edges);
  r->members = calloc(OBS_FLEET_ASK_MEMBERS, sizeof *r->members);
  if (r->edges != NULL && r->members != NULL) return r;
  obs_fleet_rows_close(r);
  return NULL;
}

void obs_fleet_rows_close(obs_fleet_rows *r) {
  if (r == NULL) return;
  for (uint32_t i = 0; r->edges != NULL && i < r->n; i++) {
    free(r->edges[i].body);
    OBS_VEC_FINI(&r->edges[i].rows);
  }
  free(r->edges);
  free(r->members);
  obs_buf_fini(&r->fault);
  free(r);
}

/* The edge of that name, which becomes one if there is room; NULL: there is none. */
static edge *find(obs_fleet_rows *r, const char *who) {
  uint32_t i = 0;
  while (i < r->n && strcmp(r->edges[i].who, who) < 0) i++;
  if (i < r->n && strcmp(r->edges[i].who, who) == 0) return &r->edges[i];
  if (r->n == OBS_FLEET_ASK_MEMBERS) return NULL;
  memmove(&r->edges[i + 1], &r->edges[i], (r->n - i) * sizeof *r->edges);
  r->n++;
  r->edges[i] = (edge){.state = MISSING};
  (void)snprintf(r->edges[i].who, sizeof r->edges[i].who, "%s", who);
  return &r->edges[i];
}

bool obs_fleet_rows_expect(obs_fleet_rows *r, const char *who, bool away) {
  edge *e = NULL;
  for (uint32_t i = 0; r->goes_on && e == NULL && i < r->n; i++)
    if (strcmp(r->edges[i].who, who) == 0) e = &r->edges[i];
  if (!r->goes_on) e = find(r, who);
  if (e != NULL) e->away = away;
  return r->goes_on || e != NULL;
}

/* ---- the cursor ---- */

static bool is_cursor(obs_str text) {
  if (text.len > OBS_FLEET_ROWS_CURSOR) return false;
  for (uint32_t i = 0; i < text.len; i++) {
    char c = text.p[i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-')) return false;
  }
  return true;
}

/* `<edge>.<cursor>`, behind the edges that there are. */
static bool take_entry(obs_fleet_rows *r, obs_str entry) {
  char who[OBS_FLEET_ASK_WHO_MAX + 1];
  const char *dot = entry.len > 0 ? memchr(entry.p, '.', entry.len) : NULL;
  if (dot == NULL || !obs_fleet_ask_is_name(entry.p, (size_t)(dot - entry.p))) return false;
  obs_str cursor = obs_str_slice(entry, (uint32_t)(dot - entry.p) + 1, UINT32_MAX);
  (void)snprintf(who, sizeof who, "%.*s", (int)(dot - entry.p), entry.p);
  if (!is_cursor(cursor) || (r->n > 0 && strcmp(r->edges[r->n - 1].who, who) >= 0)) return false;
  edge *e = find(r, who);
  if (e == NULL) return false;
  if (cursor.len > 0) (void)snprintf(e->more, sizeof e->more, "%s%.*s", cursor_parameter, (int)cursor.len, cursor.p);
  return true;
}

bool obs_fleet_rows_go_on(obs_fleet_rows *r, obs_str cursor) {
  uint32_t skip = (uint32_t)strlen(r->list);
  if (cursor.len > OBS_FLEET_ROWS_CURSORS || cursor.len < skip + 1 || memcmp(cursor.p, r->list, skip) != 0 ||
      cursor.p[skip] != '-')
    return false;
  obs_str rest = obs_str_slice(cursor, skip + 1, UINT32_MAX);
  for (bool last = false; !last;) {
    const char *end = rest.len > 0 ? memchr(rest.p, '_', rest.len) : NULL;
    uint32_t n = end != NULL ? (uint32_t)(end - rest.p) : rest.len;
    if (!take_entry(r, obs_str_slice(rest, 0, n))) return false;
    last = end == NULL;
    rest = obs_str_slice(rest, n + 1, UINT32_MAX);
  }
  r->goes_on = true;
  return true;
}

/* Where the edge goes on; false: it is at its end. */
static bool place_of(const edge *e, obs_str *cursor) {
  if (e->state == MISSING)
    *cursor = e->more[0] != '\0' ? obs_str_of(e->more + sizeof cursor_parameter - 1) : OBS_STR("");
  else
    *cursor = e->given < e->rows.n ? e->rows.at[e->given].from : obs_str_of(e->next);
  return e->state == MISSING || cursor->len > 0;
}

/* Whether one that has answered has more. */
static bool has_more(const obs_fleet_rows *r) {
  obs_str cursor;
  for (uint32_t i = 0; i < r->n; i++)
    if (r->edges[i].state == ANSWERED && place_of(&r->edges[i], &cursor)) return true;
  return false;
}

/* Empty: nobody has more but those that are missing. */
static void put_cursor(const obs_fleet_rows *r, obs_buf *out) {
  if (!has_more(r)) return;
  obs_buf_puts(out, r->list);
  obs_buf_putc(out, '-');
  size_t begin = out->len;
  for (uint32_t i = 0; i < r->n; i++) {
    obs_str cursor;
    if (!place_of(&r->edges[i], &cursor)) continue;
    if (out->len > begin) obs_buf_putc(out, '_');
    obs_buf_puts(out, r->edges[i].who);
    obs_buf_putc(out, '.');
    obs_buf_append(out, cursor.p, cursor.len);
  }
}

/* ---- asking ---- */

void obs_fleet_rows_ask(obs_fleet_rows *r, obs_fleet_question *q) {
  for (uint32_t i = 0; i < r->n; i++) {
    memcpy(r->members[i].who, r->edges[i].who, sizeof r->members[i].who);
    r->members[i].away = r->edges[i].away;
    r->members[i].more = r->edges[i].more[0] != '\0' ? r->edges[i].more : NULL;
  }
  q->members = r->members;
  q->nmembers = r->n;
  q->only = r->goes_on;
}

/* `{"at":N,"from":"...",` and the members behind them. */
static bool take_row(obs_cursor *c, row *out) {
  static const char *const names[] = {"at", "from"};
  obs_cursor_value key, v[2];
  obs_json_cursor_shape shape = {.valid = true};
  const char *begin = (const char *)c->p;
  obs_cursor whole = *c;
  if (!obs_json_cursor_scan(&whole, &shape) || !shape.valid || shape.depth > DEPTH_MAX) return false;
  if (!obs_json_cursor_take(c, '{')) return false;
  for (int i = 0; i < 2; i++) {
    if (!obs_json_cursor_key(c, &key) || !obs_str_is(key.s, names[i]) || !obs_json_cursor_value(c, &v[i])) return false;
    obs_json_cursor_space(c);
    if (!obs_json_cursor_take(c, ',')) return false;
  }
  if (v[0].kind != OBS_VALUE_INT || v[1].kind != OBS_VALUE_TEXT || v[1].s.len == 0 || !is_cursor(v[1].s)) return false;
  obs_json_cursor_space(c);
  size_t skipped = (size_t)((const char *)c->p - begin), size = (size_t)((const char *)whole.p - begin);
  *out = (row){v[0].i, v[1].s, {(const char *)c->p, (uint32_t)(size - skipped - 1), 0}};
  *c = whole;
  return true;
}

static bool take_rows(obs_cursor *c, edge *e, bool *no_memory) {
  if (!obs_json_cursor_take(c, '[')) return false;
  obs_json_cursor_space(c);
  if (obs_json_cursor_take(c, ']')) return true;
  for (;;) {
    row *x = OBS_VEC_PUSH(&e->rows);
    *no_memory = x == NULL;
    obs_json_cursor_space(c);
    if (x == NULL || !take_row(c, x)) return false;
    obs_json_cursor_space(c);
    if (obs_json_cursor_take(c, ']')) return true;
    if (!obs_json_cursor_take(c, ',')) return false;
  }
}

/* An edge's page: the list, `next_cursor`, and members that are not looked at. */
static bool take_page(const char *list, obs_str body, edge *e, bool *no_memory) {
  obs_cursor c = obs_cursor_of(body.p, body.len);
  bool has_list = false, has_next = false;
  obs_json_cursor_space(&c);
  if (!obs_json_cursor_take(&c, '{')) return false;
  for (;;) {
    obs_cursor_value key, v;
    if (!obs_json_cursor_key(&c, &key)) return false;
    if (obs_str_is(key.s, list)) {
      if (has_list || !take_rows(&c, e, no_memory)) return false;
      has_list = true;
    } else if (obs_str_is(key.s, "next_cursor")) {
      if (has_next || !obs_json_cursor_value(&c, &v)) return false;
      if (v.kind == OBS_VALUE_TEXT ? v.s.len == 0 || !is_cursor(v.s) : v.kind != OBS_VALUE_NULL) return false;
      if (v.kind == OBS_VALUE_TEXT) (void)snprintf(e->next, sizeof e->next, "%.*s", (int)v.s.len, v.s.p);
      has_next = true;
    } else if (!obs_json_cursor_skip(&c)) {
      return false;
    }
    obs_json_cursor_space(&c);
    if (obs_json_cursor_take(&c, '}')) return has_list && has_next;
    if (!obs_json_cursor_take(&c, ',')) return false;
  }
}

static void take_fault(obs_fleet_rows *r, const obs_fleet_reply *reply) {
  if (r->fault_status != 0) return;
  obs_json_cursor_shape shape = {.valid = true};
  obs_cursor c = obs_cursor_of(reply->body.p, reply->body.len);
  if (!obs_json_cursor_scan(&c, &shape) || !shape.valid) return;
  r->fault_status = reply->status;
  obs_buf_append(&r->fault, reply->body.p, (size_t)(c.p - c.base));
}

/* Keeps the body of an answer; NULL: it is none, or there is no memory. */
static edge *keep(obs_fleet_rows *r, const obs_fleet_reply *reply) {
  edge *e = find(r, reply->who);
  if (reply->status >= 400 && reply->status < 500) take_fault(r, reply);
  if (e == NULL || e->body != NULL || reply->status != 200) return NULL;
  e->body = malloc(reply->body.len + 1);
  r->no_memory |= e->body == NULL;
  if (e->body == NULL) return NULL;
  memcpy(e->body, reply->body.p, reply->body.len);
  e->len = reply->body.len;
  e->state = ANSWERED;
  return e;
}

static void drop(edge *e) {
  e->state = MISSING;
  e->next[0] = '\0';
  OBS_VEC_FINI(&e->rows);
}

void obs_fleet_rows_take(void *rows, const obs_fleet_reply *reply) {
  obs_fleet_rows *r = rows;
  edge *e = keep(r, reply);
  if (e != NULL && !take_page(r->list, (obs_str){e->body, e->len, 0}, e, &r->no_memory)) drop(e);
}

void obs_fleet_rows_keep(void *rows, const obs_fleet_reply *reply) {
  (void)keep(rows, reply);
}

obs_fleet_rows_edge obs_fleet_rows_at(const obs_fleet_rows *r, uint32_t i) {
  if (i >= r->n) return (obs_fleet_rows_edge){.who = NULL};
  const edge *e = &r->edges[i];
  return (obs_fleet_rows_edge){.who = e->who,
                               .cursor =
                                   e->more[0] != '\0' ? obs_str_of(e->more + sizeof cursor_parameter - 1) : OBS_STR(""),
                               .body = e->state == ANSWERED ? (obs_str){e->body, e->len, 0} : (obs_str){0}};
}

void obs_fleet_rows_drop(obs_fleet_rows *r, uint32_t i) {
  drop(&r->edges[i]);
}

void obs_fleet_rows_set_next(obs_fleet_rows *r, uint32_t i, const char *cursor) {
  (void)snprintf(r->edges[i].next, sizeof r->edges[i].next, "%s", cursor);
}

obs_str obs_fleet_rows_fault(const obs_fleet_rows *r, uint16_t *status) {
  *status = r->fault_status;
  return r->fault_status != 0 ? obs_buf_view(&r->fault) : (obs_str){0};
}

uint32_t obs_fleet_rows_answered(const obs_fleet_rows *r) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < r->n; i++) n += r->edges[i].state == ANSWERED;
  return n;
}

/* ---- the answer ---- */

/* Whose row is the next; NULL: the page ends here. */
static edge *next_of(obs_fleet_rows *r) {
  edge *best = NULL;
  for (uint32_t i = 0; i < r->n; i++) {
    edge *e = &r->edges[i];
    if (e->state == MISSING) continue;
    if (e->given == e->rows.n && e->next[0] != '\0') return NULL; /* what it has next may be later than all */
    if (e->given == e->rows.n) continue;
    if (best == NULL || e->rows.at[e->given].at_ms > best->rows.at[best->given].at_ms) best = e;
  }
  return best;
}

static void put_names(const obs_fleet_rows *r, edge_state state, const char *name, obs_json_writer *w) {
  obs_json_array(w, name);
  for (uint32_t i = 0; i < r->n; i++)
    if (r->edges[i].state == state) obs_json_cstr(w, NULL, r->edges[i].who);
  obs_json_end(w);
}

void obs_fleet_rows_put_cluster(const obs_fleet_rows *r, obs_json_writer *w) {
  obs_json_object(w, "cluster");
  put_names(r, ANSWERED, "edges", w);
  put_names(r, MISSING, "missing", w);
  obs_json_end(w);
}

bool obs_fleet_rows_put_cursor(const obs_fleet_rows *r, obs_json_writer *w) {
  obs_buf cursor = {0};
  put_cursor(r, &cursor);
  obs_json_text(w, "next_cursor", cursor.len > 0 ? obs_buf_view(&cursor) : (obs_str){0});
  bool good = !cursor.oom;
  obs_buf_fini(&cursor);
  return good;
}

observer_err obs_fleet_rows_put(obs_fleet_rows *r, const obs_page *page, obs_json_writer *w) {
  obs_json_array(w, r->list);
  obs_page_fill fill = obs_page_fill_begin(page, w);
  for (edge *e; fill.rows < fill.limit && (e = next_of(r)) != NULL; e->given++) {
    obs_page_begin_row(&fill);
    obs_json_object(w, NULL);
    obs_json_cstr(w, "edge", e->who);
    obs_json_members(w, e->rows.at[e->given].members);
    obs_json_end(w);
    if (!obs_page_end_row(&fill)) break;
  }
  obs_json_end(w);
  obs_fleet_rows_put_cluster(r, w);
  bool good = obs_fleet_rows_put_cursor(r, w) && !r->no_memory;
  bool missing = obs_fleet_rows_answered(r) < r->n;
  obs_json_bool(w, "complete", !missing && (!has_more(r) || fill.rows == fill.limit));
  return good && !w->out->oom ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

void obs_fleet_rows_put_place(obs_json_writer *w, int64_t at_ms, const char *from) {
  obs_json_i64(w, "at", at_ms);
  obs_json_cstr(w, "from", from);
}
