#include "alerts/alerts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/row.h"
#include "base/thread.h"
#include "jsonl/records.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* Beyond so many transitions that wait for the disk or for notify, states stand still. */
enum { OUTBOX = 4096, KEPT_ROWS = 1000 };

typedef struct {
  obs_alert alert;
  uint64_t row; /* number of its row; 0: not written yet */
  bool told;
} transition;

struct obs_alerts {
  obs_alerts_opts opts;
  char *path; /* of the rules' file; NULL: none */
  obs_records *records;

  pthread_mutex_t turn_lock; /* guards a turn and the change of `rules`; taken before `lock`, held across the disk */
  pthread_mutex_t lock;      /* guards down to `problem` */
  bool locks_made;
  obs_rules *rules;
  obs_engine *engine;
  OBS_VEC(transition) open; /* what fires, with the row that says so */
  obs_alert *resolved;      /* a ring */
  uint32_t nresolved, next_resolved;
  char *problem; /* of the rules' file; NULL: none */

  bool loaded;
  /* With turn_lock. */
  OBS_VEC(transition) outbox; /* oldest first */
  obs_engine_look look;
  bool orphans;   /* after the start or a reload: `open` may have alerts whose rule is gone */
  bool said;      /* after the start or a reload, what fires */
  uint32_t again; /* place in `open` of the next one to be said */

  pthread_t thread;
  bool started;
  pthread_mutex_t stop_lock; /* guards `stopping`; no other lock under it */
  pthread_cond_t wake;
  bool stop_made, stopping;

  _Atomic uint32_t count_rules, count_groups, count_states[OBS_ALERT_STATES];
  _Atomic uint64_t count_fired, count_held, row_failures;
  _Atomic bool broken;
};

/* ---- what fires and what did ---- */

static transition *find_open(obs_alerts *a, uint64_t fingerprint) {
  for (uint32_t i = 0; i < a->open.n; i++)
    if (a->open.at[i].alert.fingerprint == fingerprint) return &a->open.at[i];
  return NULL;
}

/* A row: what it says is so from now on. False: no memory. */
static bool note_row(obs_alerts *a, const obs_alert *x, uint64_t row) {
  transition *open = find_open(a, x->fingerprint);
  if (x->state == OBS_ALERT_FIRING) {
    if (open == NULL) open = OBS_VEC_PUSH(&a->open);
    if (open == NULL) return false;
    *open = (transition){.alert = *x, .row = row};
    return true;
  }
  if (open != NULL) *open = a->open.at[--a->open.n];
  a->resolved[a->next_resolved] = *x;
  a->next_resolved = (a->next_resolved + 1) % OBS_ALERTS_RESOLVED;
  if (a->nresolved < OBS_ALERTS_RESOLVED) a->nresolved++;
  return true;
}

static bool fold_row(void *arg, const cJSON *row, const char **why) {
  obs_alerts *a = arg;
  obs_alert x;
  uint64_t id = 0;
  if (!obs_alert_read(row, &x, why)) return false;
  (void)obs_row_u64(row, "id", &id);
  return note_row(a, &x, id);
}

/* The rows that a new file begins with: those that say what fires. */
static void carry_rows(void *arg, obs_buf *out) {
  obs_alerts *a = arg;
  pthread_mutex_lock(&a->lock);
  for (uint32_t i = 0; i < a->open.n; i++) {
    obs_json_writer w = obs_json_write(out);
    obs_json_object(&w, NULL);
    obs_json_u64(&w, "id", a->open.at[i].row);
    obs_json_u64(&w, "v", OBS_RECORDS_VERSION);
    obs_alert_put(&w, &a->open.at[i].alert);
    obs_json_end(&w);
    obs_buf_putc(out, '\n');
  }
  pthread_mutex_unlock(&a->lock);
}

/* ---- the rules' file ---- */

/* Rules of the file, and an engine of them; then their receivers, which are in force at once, so that nothing may fail
 * behind that. NULL: `faults` says why, and all is as it was. */
static obs_rules *read_rules(obs_alerts *a, obs_engine **engine, obs_buf *faults) {
  char why[512] = "";
  obs_rules *r = a->path != NULL ? obs_rules_read_file(a->path, faults) : obs_rules_read(NULL, 0, faults);
  *engine = r != NULL ? obs_engine_open(r) : NULL;
  bool ok = *engine != NULL;
  if (ok && a->opts.receivers != NULL) ok = a->opts.receivers(a->opts.arg, r, why, sizeof(why));
  if (ok) return r;
  if (*why != '\0') obs_buf_printf(faults, "%s\n", why);
  if (*engine != NULL) obs_engine_close(*engine);
  *engine = NULL;
  obs_rules_free(r);
  return NULL;
}

/* Says that the file is broken, or that it is not any more. */
static void set_problem(obs_alerts *a, obs_buf *faults) {
  char *text = NULL;
  if (faults != NULL) {
    while (faults->len > 0 && faults->p[faults->len - 1] == '\n') faults->len--;
    obs_str said = faults->oom || faults->len == 0 ? OBS_STR("out of memory") : obs_buf_view(faults);
    text = strndup(said.p, said.len);
    for (const char *p = said.p, *end = p + said.len, *newline; p < end; p = newline + 1) {
      newline = memchr(p, '\n', (size_t)(end - p));
      if (newline == NULL) newline = end;
      obs_log_error("alerts", "%s: %.*s", a->path != NULL ? a->path : "rules", (int)(newline - p), p);
    }
  }
  pthread_mutex_lock(&a->lock);
  char *before = a->problem;
  a->problem = text;
  pthread_mutex_unlock(&a->lock);
  atomic_store(&a->broken, faults != NULL);
  free(before);
}

bool obs_alerts_reload(obs_alerts *a) {
  obs_buf faults = {0};
  obs_engine *engine = NULL;
  obs_rules *before = NULL;
  pthread_mutex_lock(&a->turn_lock);
  obs_rules *rules = read_rules(a, &engine, &faults);
  bool ok = rules != NULL;
  if (ok) {
    pthread_mutex_lock(&a->lock);
    /* What fired and has no rule any more is resolved by the next turn: it is in `open` and not in the engine. */
    obs_engine_take(engine, a->engine, obs_clock_receipt_ms(), NULL, NULL);
    before = a->rules;
    a->engine = engine;
    a->rules = rules;
    pthread_mutex_unlock(&a->lock);
    a->orphans = true;
    a->said = false; /* receivers that are new hear of what fires */
    a->again = 0;
    obs_log_info("alerts", "%u rules, %s", rules->n, a->path != NULL ? a->path : "the shipped ones");
  }
  pthread_mutex_unlock(&a->turn_lock);
  set_problem(a, ok ? NULL : &faults);
  obs_rules_free(before);
  obs_buf_fini(&faults);
  return ok;
}

/* ---- construction ---- */

observer_err obs_alerts_open(const obs_alerts_opts *opts, obs_alerts **out, char *error_text, size_t error_size) {
  obs_buf faults = {0};
  observer_err err = OBSERVER_E_NOMEM;
  obs_alerts *a = calloc(1, sizeof(*a));
  *out = NULL;
  error_text[0] = '\0';
  if (a == NULL) return err;
  a->opts = *opts;
  a->locks_made = pthread_mutex_init(&a->lock, NULL) == 0 && pthread_mutex_init(&a->turn_lock, NULL) == 0;
  a->stop_made = pthread_mutex_init(&a->stop_lock, NULL) == 0 && obs_thread_cond_init(&a->wake) == OBSERVER_E_OK;
  a->resolved = calloc(OBS_ALERTS_RESOLVED, sizeof(*a->resolved));
  if (!a->locks_made || !a->stop_made || a->resolved == NULL) goto fail;
  if (opts->rules != NULL && (a->path = strdup(opts->rules)) == NULL) goto fail;
  a->rules = read_rules(a, &a->engine, &faults);
  if (a->rules == NULL) {
    set_problem(a, &faults);
    obs_log_error("alerts", "the shipped rules stand until the file is right");
    a->rules = obs_rules_read(NULL, 0, &faults);
    if (a->rules == NULL || (a->engine = obs_engine_open(a->rules)) == NULL) goto fail;
  }
  const obs_records_opts records = {
      .dir = opts->dir, .name = "alerts.jsonl", .kept = KEPT_ROWS, .fold = fold_row, .carry = carry_rows, .arg = a};
  if ((err = obs_records_open(&records, &a->records, error_text, error_size)) != OBSERVER_E_OK) goto fail;
  obs_buf_fini(&faults);
  *out = a;
  return OBSERVER_E_OK;
fail:
  obs_buf_fini(&faults);
  obs_alerts_close(a);
  if (error_text[0] == '\0') (void)snprintf(error_text, error_size, "alerts: %s", observer_strerror(err));
  return err;
}

void obs_alerts_close(obs_alerts *a) {
  if (a == NULL) return;
  obs_alerts_stop(a);
  obs_records_close(a->records);
  obs_engine_close(a->engine);
  obs_rules_free(a->rules);
  obs_engine_look_fini(&a->look);
  OBS_VEC_FINI(&a->open);
  OBS_VEC_FINI(&a->outbox);
  free(a->resolved);
  free(a->problem);
  free(a->path);
  if (a->locks_made) {
    pthread_mutex_destroy(&a->lock);
    pthread_mutex_destroy(&a->turn_lock);
  }
  if (a->stop_made) {
    pthread_mutex_destroy(&a->stop_lock);
    pthread_cond_destroy(&a->wake);
  }
  free(a);
}

/* ---- the follower ---- */

void obs_alerts_apply(void *alerts, obs_batch *b, uint64_t first_seq, int64_t now_ms) {
  obs_alerts *a = alerts;
  (void)now_ms;
  uint64_t seq = first_seq;
  pthread_mutex_lock(&a->lock);
  for (uint32_t i = 0; i < b->nops; i++) {
    if (b->lines[i].duplicate) continue;
    const obs_op *op = &b->ops[i];
    obs_engine_op(a->engine, op, op->unknown_count > 0 ? b->unknown + op->unknown_first : NULL, seq++);
  }
  pthread_mutex_unlock(&a->lock);
}

void obs_alerts_apply_row(void *alerts, const obs_op *op, const obs_op_unknown *unknown, uint64_t seq, int64_t now_ms) {
  obs_alerts *a = alerts;
  (void)now_ms;
  obs_engine_op(a->engine, op, unknown, seq);
}

observer_err obs_alerts_save(void *alerts, obs_buf *out) {
  obs_alerts *a = alerts;
  pthread_mutex_lock(&a->lock);
  obs_engine_save(a->engine, out);
  pthread_mutex_unlock(&a->lock);
  return out->oom ? OBSERVER_E_NOMEM : OBSERVER_E_OK;
}

observer_err obs_alerts_load(void *alerts, const void *data, size_t len) {
  obs_alerts *a = alerts;
  obs_engine *fresh = obs_engine_open(a->rules);
  if (fresh == NULL) return OBSERVER_E_NOMEM;
  observer_err err = obs_engine_load(fresh, data, len);
  if (err != OBSERVER_E_OK) {
    obs_engine_close(fresh);
    return err;
  }
  obs_engine_close(a->engine);
  a->engine = fresh;
  a->loaded = true;
  return OBSERVER_E_OK;
}

/* ---- a turn ---- */

/* The outbox has room. */
static void on_event(void *arg, const obs_alert *x) {
  obs_alerts *a = arg;
  transition *t = OBS_VEC_PUSH(&a->outbox);
  if (t != NULL) *t = (transition){.alert = *x};
}

static bool note_alive(void *arg, const obs_alert *x) {
  return x->state == OBS_ALERT_PENDING || obs_map_put(arg, x->fingerprint, 0);
}

/* What the rows say fires and no rule knows any more is over. Only new rules make such; rows that wait to be written
 * are older. */
static void resolve_orphans(obs_alerts *a, int64_t now_ms) {
  obs_map alive = {0};
  if (!a->orphans || a->outbox.n > 0) return;
  if (!obs_map_init(&alive, OBS_ENGINE_ACTIVE)) return; /* in the next turn */
  a->orphans = false;
  pthread_mutex_lock(&a->lock);
  obs_engine_each(a->engine, note_alive, &alive);
  for (uint32_t i = 0; i < a->open.n; i++) {
    if (obs_map_get(&alive, a->open.at[i].alert.fingerprint, NULL)) continue;
    obs_alert gone = a->open.at[i].alert;
    gone.state = OBS_ALERT_RESOLVED;
    gone.resolved_ms = now_ms;
    on_event(a, &gone);
  }
  pthread_mutex_unlock(&a->lock);
  obs_map_fini(&alive);
}

/* Writes the row of a transition. False: later. */
static bool write_row(obs_alerts *a, transition *t) {
  obs_buf row = {0};
  obs_json_writer w = {.out = &row, .depth = 1};
  uint64_t id = 0;
  obs_alert_put(&w, &t->alert);
  observer_err err = row.oom ? OBSERVER_E_NOMEM : obs_records_append(a->records, &row, &id);
  obs_buf_fini(&row);
  if (err != OBSERVER_E_OK) {
    atomic_fetch_add(&a->row_failures, 1);
    return false;
  }
  t->row = id;
  pthread_mutex_lock(&a->lock);
  bool noted = note_row(a, &t->alert, t->row);
  pthread_mutex_unlock(&a->lock);
  if (!noted) obs_log_error("alerts", "%s: no memory to remember that it fires", t->alert.rule);
  return true;
}

static observer_err notify(obs_alerts *a, const obs_alert *x, bool again) {
  if (a->opts.notify == NULL) return OBSERVER_E_OK;
  const obs_rule *rule = obs_rules_find(a->rules, x->rule);
  observer_err err = a->opts.notify(a->opts.arg, x, rule, again);
  if (err != OBSERVER_E_OK && err != OBSERVER_E_FULL)
    obs_log_error("alerts", "%s: nobody is told: %s", x->rule, observer_strerror(err));
  return err;
}

/* What fired before the start, or the reload. False: there was no room, it goes on in the next turn. */
static bool say_again(obs_alerts *a) {
  if (a->said) return true;
  for (; a->again < a->open.n; a->again++) /* nobody else changes it: rows are written by this thread */
    if (notify(a, &a->open.at[a->again].alert, true) == OBSERVER_E_FULL) return false;
  a->said = true;
  if (a->opts.settled != NULL) a->opts.settled(a->opts.arg);
  return true;
}

/* Rows first, then those who want to know, in order. When the disk takes no rows they are told all the same, for that
 * may be what the alert is about; the rows follow when there is room. */
static void deliver(obs_alerts *a) {
  uint32_t done = 0;
  bool rows = true;
  if (!say_again(a)) return;
  for (uint32_t i = 0; i < a->outbox.n; i++) {
    transition *t = &a->outbox.at[i];
    if (rows && t->row == 0) rows = write_row(a, t);
    if (t->told) continue;
    if (notify(a, &t->alert, false) == OBSERVER_E_FULL) break;
    t->told = true;
    obs_log_info("alerts", "%s %s: %s", t->alert.rule, obs_alert_state_names[t->alert.state], t->alert.text);
  }
  while (done < a->outbox.n && a->outbox.at[done].told && a->outbox.at[done].row != 0) done++;
  a->outbox.n -= done;
  if (done > 0 && a->outbox.n > 0) memmove(a->outbox.at, a->outbox.at + done, a->outbox.n * sizeof(*a->outbox.at));
}

/* With the lock. */
static void count(obs_alerts *a) {
  uint32_t groups = 0, states[OBS_ALERT_STATES] = {0};
  uint64_t fired = 0;
  for (uint32_t i = 0; i < obs_engine_rules(a->engine); i++) {
    obs_engine_rule r;
    obs_engine_get_rule(a->engine, i, &r);
    groups += r.groups;
    fired += r.fired;
    for (int s = 0; s < OBS_ALERT_STATES; s++) states[s] += r.counts[s];
  }
  states[OBS_ALERT_RESOLVED] = a->nresolved;
  atomic_store(&a->count_rules, obs_engine_rules(a->engine));
  atomic_store(&a->count_groups, groups);
  atomic_store(&a->count_fired, fired);
  atomic_store(&a->count_held, obs_engine_held_back(a->engine));
  for (int s = 0; s < OBS_ALERT_STATES; s++) atomic_store(&a->count_states[s], states[s]);
}

static void make_turn(obs_alerts *a) {
  int64_t now_ms = obs_clock_receipt_ms();
  pthread_mutex_lock(&a->turn_lock);
  bool room = a->outbox.n < OUTBOX && OBS_VEC_RESERVE(&a->outbox, a->outbox.n + 2 * OBS_ENGINE_ACTIVE);
  if (a->opts.self != NULL) a->opts.self(a->opts.arg, &a->look.self);
  if (room && obs_engine_look_at(a->rules, a->opts.clusters, now_ms, &a->look)) {
    for (uint32_t i = 0; i < a->rules->n; i++) {
      pthread_mutex_lock(&a->lock);
      obs_engine_turn(a->engine, i, &a->look, now_ms, on_event, a);
      if (i + 1 == a->rules->n) count(a);
      pthread_mutex_unlock(&a->lock);
      if (a->outbox.n + OBS_ENGINE_ACTIVE > a->outbox.cap) break; /* the others have theirs in a second */
    }
    resolve_orphans(a, now_ms);
  }
  deliver(a);
  pthread_mutex_unlock(&a->turn_lock);
}

static void *run(void *alerts) {
  obs_alerts *a = alerts;
  pthread_mutex_lock(&a->stop_lock);
  while (!a->stopping) {
    pthread_mutex_unlock(&a->stop_lock);
    uint64_t began = obs_clock_mono_ms();
    make_turn(a);
    uint64_t took = obs_clock_mono_ms() - began;
    pthread_mutex_lock(&a->stop_lock);
    uint64_t end = obs_clock_mono_ms() + (took < OBS_ALERTS_TURN_MS ? OBS_ALERTS_TURN_MS - took : 1);
    for (uint64_t now; !a->stopping && (now = obs_clock_mono_ms()) < end;)
      obs_thread_cond_wait_ms(&a->wake, &a->stop_lock, end - now);
  }
  pthread_mutex_unlock(&a->stop_lock);
  return NULL;
}

observer_err obs_alerts_start(obs_alerts *a, bool whole) {
  obs_engine_begin(a->engine, obs_clock_receipt_ms(), whole || a->loaded);
  for (uint32_t i = 0; i < a->open.n; i++) (void)obs_engine_adopt(a->engine, &a->open.at[i].alert); /* else an orphan */
  for (uint32_t i = 0; i < a->nresolved; i++) obs_engine_number_from(a->engine, a->resolved[i].number);
  a->orphans = true;
  observer_err err = obs_thread_start(&a->thread, "obs:alerts", run, a);
  a->started = err == OBSERVER_E_OK;
  return err;
}

void obs_alerts_stop(obs_alerts *a) {
  if (!a->started) return;
  pthread_mutex_lock(&a->stop_lock);
  a->stopping = true;
  pthread_cond_signal(&a->wake);
  pthread_mutex_unlock(&a->stop_lock);
  pthread_join(a->thread, NULL);
  a->started = false;
}

/* ---- views ---- */

void obs_alerts_get_counts(obs_alerts *a, obs_alerts_counts *out) {
  *out = (obs_alerts_counts){.rules = atomic_load(&a->count_rules),
                             .groups = atomic_load(&a->count_groups),
                             .fired = atomic_load(&a->count_fired),
                             .held_back = atomic_load(&a->count_held),
                             .row_failures = atomic_load(&a->row_failures),
                             .broken = atomic_load(&a->broken)};
  for (int s = 0; s < OBS_ALERT_STATES; s++) out->states[s] = atomic_load(&a->count_states[s]);
}

typedef struct {
  const obs_alerts_filter *filter;
  OBS_VEC(const obs_alert *) rows;
  bool oom;
} collector;

static bool collect(void *arg, const obs_alert *x) {
  collector *c = arg;
  const obs_alerts_filter *f = c->filter;
  if (f->state >= 0 && (int)x->state != f->state) return true;
  if (f->rule.p != NULL && !obs_str_is(f->rule, x->rule)) return true;
  if (f->page.before > 0 && x->number >= f->page.before) return true;
  const obs_alert **row = OBS_VEC_PUSH(&c->rows);
  c->oom = row == NULL;
  if (row != NULL) *row = x;
  return row != NULL;
}

static int newest_first(const void *a, const void *b) {
  uint64_t x = (*(const obs_alert *const *)a)->number, y = (*(const obs_alert *const *)b)->number;
  return (x < y) - (x > y);
}

/* Copies what is on the page. Returns how many; *left: how many there are in all. */
static obs_alert *copy_page(obs_alerts *a, const obs_alerts_filter *f, uint32_t *n, uint32_t *left) {
  collector c = {.filter = f};
  obs_alert *rows = NULL;
  pthread_mutex_lock(&a->lock);
  obs_engine_each(a->engine, collect, &c);
  for (uint32_t i = 0; i < a->nresolved && !c.oom; i++) (void)collect(&c, &a->resolved[i]);
  *left = c.rows.n;
  *n = c.rows.n < obs_page_rows(&f->page) ? c.rows.n : obs_page_rows(&f->page);
  if (!c.oom) rows = malloc((*n > 0 ? *n : 1) * sizeof(*rows));
  if (rows != NULL && c.rows.n > 0) qsort(c.rows.at, c.rows.n, sizeof(*c.rows.at), newest_first);
  for (uint32_t i = 0; rows != NULL && i < *n; i++) rows[i] = *c.rows.at[i];
  pthread_mutex_unlock(&a->lock);
  OBS_VEC_FINI(&c.rows);
  return rows;
}

static void put_row(obs_alerts *a, obs_json_writer *w, const obs_alert *x) {
  obs_alerts_look look = {0};
  if (a->opts.look != NULL) a->opts.look(a->opts.arg, x, &look);
  obs_json_object(w, NULL);
  obs_alert_put(w, x);
  obs_json_u64_or_null(w, "silenced_by", look.silenced_by);
  obs_json_time_or_null(w, "notified", look.notified_ms);
  obs_json_end(w);
}

observer_err obs_alerts_list(obs_alerts *a, const obs_alerts_filter *f, obs_json_writer *w, obs_page_end *end) {
  uint32_t n, left, given = 0;
  obs_alerts_counts counts;
  obs_alert *rows = copy_page(a, f, &n, &left);
  if (rows == NULL) return OBSERVER_E_NOMEM;
  obs_json_array(w, "alerts");
  obs_page_fill fill = obs_page_fill_begin(&f->page, w);
  for (; given < n; given++) {
    obs_page_begin_row(&fill);
    put_row(a, w, &rows[given]);
    if (!obs_page_end_row(&fill)) break;
  }
  obs_json_end(w);
  obs_alerts_get_counts(a, &counts);
  obs_json_u64(w, "firing", counts.states[OBS_ALERT_FIRING] + counts.states[OBS_ALERT_RECOVERING]);
  obs_json_u64(w, "pending", counts.states[OBS_ALERT_PENDING]);
  obs_json_u64(w, "held_back", counts.held_back);
  *end = (obs_page_end){.next = given > 0 ? rows[given - 1].number : 0};
  obs_page_end_after(end, given, left, obs_page_rows(&f->page));
  free(rows);
  return OBSERVER_E_OK;
}

static void put_rule(obs_json_writer *w, const obs_rule *r, const obs_engine_rule *now) {
  obs_json_object(w, NULL);
  obs_json_cstr(w, "id", r->id);
  obs_json_cstr(w, "on", obs_rule_form_names[r->form]);
  obs_json_cstr(w, "severity", obs_rule_severity_names[r->severity]);
  obs_json_cstr(w, "text", r->text);
  obs_json_raw(w, "definition", obs_str_of(r->definition));
  obs_json_bool(w, "builtin", r->builtin);
  obs_json_u64(w, "groups", now->groups);
  obs_json_u64(w, "firing", now->counts[OBS_ALERT_FIRING] + now->counts[OBS_ALERT_RECOVERING]);
  obs_json_u64(w, "pending", now->counts[OBS_ALERT_PENDING]);
  obs_json_u64(w, "fired_total", now->fired);
  obs_json_time_or_null(w, "last_fired", now->last_fired_ms);
  obs_json_u64(w, "not_numbers", now->not_numbers);
  obs_json_end(w);
}

void obs_alerts_put_rules(obs_alerts *a, obs_json_writer *w) {
  pthread_mutex_lock(&a->lock);
  obs_json_bytes(w, "file", a->path, a->path != NULL ? strlen(a->path) : 0);
  obs_json_bytes(w, "problem", a->problem, a->problem != NULL ? strlen(a->problem) : 0);
  obs_json_array(w, "rules");
  for (uint32_t i = 0; i < a->rules->n; i++) {
    obs_engine_rule now;
    obs_engine_get_rule(a->engine, i, &now);
    put_rule(w, &a->rules->at[i], &now);
  }
  obs_json_end(w);
  pthread_mutex_unlock(&a->lock);
}
