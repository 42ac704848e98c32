#include "learn/playbooks/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

/* COUNTED_OPS: an effect is written anew, without an edit, when the window of facts is half way past what was written,
 * so that a restart and the window's end lose nothing that was counted. */
enum { SUCCESSES = 5, SUCCESSES_EACH = 3, COUNTED_OPS = OBS_FACTS_ROWS / 2 };

#define SEED_DO UINT64_C(0x9ae16a3b2f90404f)
#define SEED_DONT UINT64_C(0xc949d7c7509e6557)

void obs_playbook_put(char *to, obs_str text, uint32_t max) {
  size_t n = obs_utf8_cut(text.p, text.len, max);
  for (size_t i = 0; i < n; i++) to[i] = text.p[i] != '\0' ? text.p[i] : ' ';
  to[n] = '\0';
}

/* ---- entries ---- */

/* p->n: there is none. */
static uint32_t place_of(const obs_playbooks *p, uint64_t id) {
  uint32_t at = 0;
  while (at < p->n && p->entries[at]->id != id) at++;
  return at;
}

static bool is_older(const obs_playbook_view *a, const obs_playbook_view *b) {
  int64_t x = obs_playbook_last_edit(a).time_ms, y = obs_playbook_last_edit(b).time_ms;
  return x != y ? x < y : a->number < b->number;
}

/* Puts an entry in its place, that of the one edited longest ago when there is no other. */
static bool store(obs_playbooks *p, const obs_playbook_view *e) {
  uint32_t at = place_of(p, e->id);
  if (at == p->n && p->n == OBS_PLAYBOOK_ENTRIES) {
    at = 0;
    for (uint32_t i = 1; i < p->n; i++)
      if (is_older(p->entries[i], p->entries[at])) at = i;
  }
  obs_playbook_view *fresh = NULL;
  if (at == p->n && (fresh = malloc(sizeof(*fresh))) == NULL) return false;
  pthread_mutex_lock(&p->lock); /* only around the copy: this thread alone writes entries, and reads them unlocked */
  if (fresh != NULL) p->entries[p->n++] = fresh;
  *p->entries[at] = *e;
  pthread_mutex_unlock(&p->lock);
  return true;
}

/* ---- open ---- */

static bool fold(void *arg, const cJSON *row, const char **why) {
  obs_playbook_view e;
  if (!obs_playbook_read(row, &e, why)) return false;
  *why = "no memory";
  return store(arg, &e);
}

static int by_number(const void *a, const void *b) {
  const obs_playbook_view *x = *(obs_playbook_view *const *)a, *y = *(obs_playbook_view *const *)b;
  return (x->number > y->number) - (x->number < y->number);
}

static obs_playbook_change change_of(const obs_playbook_view *e) {
  return e->nhistory > 0 ? obs_playbook_last_edit(e).change : OBS_PLAYBOOK_UPDATED;
}

/* On the learning thread, as every append is. */
static void carry(void *arg, obs_buf *out) {
  const obs_playbooks *p = arg;
  const obs_playbook_view *list[OBS_PLAYBOOK_ENTRIES];
  memcpy(list, p->entries, p->n * sizeof(*list));
  qsort(list, p->n, sizeof(*list), by_number);
  for (uint32_t i = 0; i < p->n; i++) {
    obs_json_writer w = obs_json_write(out);
    obs_json_object(&w, NULL);
    obs_json_u64(&w, "id", list[i]->number);
    obs_json_id(&w, "entry", list[i]->id);
    obs_playbook_write(list[i], change_of(list[i]), true, &w);
    obs_json_end(&w);
    obs_buf_putc(out, '\n');
  }
}

observer_err obs_playbooks_open(const obs_playbooks_opts *opts, obs_playbooks **out, char *error_text, size_t size) {
  observer_err err = OBSERVER_E_NOMEM;
  snprintf(error_text, size, "playbooks: %s", observer_strerror(err));
  *out = NULL;
  obs_playbooks *p = calloc(1, sizeof(*p));
  if (p == NULL) return err;
  /* Questions are answered from the entries; no row needs to stay in memory. */
  obs_records_opts records = {
      .dir = opts->dir, .name = "playbooks.jsonl", .kept = 1, .fold = fold, .carry = carry, .arg = p};
  p->opts = *opts;
  p->lock_made = pthread_mutex_init(&p->lock, NULL) == 0;
  if (p->lock_made) err = obs_records_open(&records, &p->records, error_text, size);
  if (err != OBSERVER_E_OK) {
    obs_playbooks_close(p);
    return err;
  }
  error_text[0] = '\0';
  *out = p;
  return err;
}

void obs_playbooks_close(void *playbooks) {
  obs_playbooks *p = playbooks;
  if (p == NULL) return;
  obs_records_close(p->records);
  for (uint32_t i = 0; i < p->n; i++) free(p->entries[i]);
  if (p->lock_made) pthread_mutex_destroy(&p->lock);
  free(p);
}

/* ---- edits ---- */

uint64_t obs_playbook_counted(const obs_before_after *e) {
  return e->ended * OBS_SINCE_WINDOW_OPS + e->windows[e->ended % OBS_SINCE_WINDOWS].ops;
}

/* Writes an edited copy of an entry (or a new one), then puts it in its place and publishes it. False: it could not be
 * written, all is as it was. */
static bool edit(obs_playbooks *p, obs_playbook_view *edited, obs_playbook_change change, uint32_t fields,
                 int64_t now_ms) {
  obs_buf members = {0};
  obs_json_writer w = {.out = &members, .depth = 1};
  if (change != OBS_PLAYBOOK_COUNTED) {
    uint32_t version = obs_playbook_last_edit(edited).version + 1;
    if (edited->nhistory == OBS_PLAYBOOK_HISTORY) {
      memmove(edited->history, edited->history + 1, (OBS_PLAYBOOK_HISTORY - 1) * sizeof(*edited->history));
      edited->nhistory--;
    }
    edited->history[edited->nhistory++] = (obs_playbook_edit){version, change, fields, now_ms};
  }
  edited->written_seq = edited->effect.through_seq;
  edited->written_ops = obs_playbook_counted(&edited->effect);
  edited->written_blocks = edited->uplift.blocks;
  obs_json_id(&w, "entry", edited->id);
  size_t announced = obs_playbook_write(edited, change, true, &w);
  bool ok = obs_records_append(p->records, &members, &edited->number) == OBSERVER_E_OK && store(p, edited);
  if (ok && change != OBS_PLAYBOOK_COUNTED)
    obs_announce_row(&p->opts.announce, "playbook", edited->number, (obs_str){members.p, (uint32_t)announced, 0});
  obs_buf_fini(&members);
  return ok;
}

/* Begins an entry's effect: `view` is before, what comes later is since. */
static void begin_effect(obs_playbook_view *e, const obs_facts_view *view) {
  obs_before_after_scope scope = {obs_str_of(e->endpoint), obs_str_of(e->task_class), &e->effect};
  if (obs_before_after_begin(view, &scope) != OBSERVER_E_OK)
    obs_log_warn("learn", "playbooks: cannot read what preceded an entry: %s", observer_strerror(OBSERVER_E_NOMEM));
  e->uplift = (obs_uplift){0};
}

/* ---- the cycle ---- */

/* Counts the effects aside, then puts them in place at once. */
static void count_effects(obs_playbooks *p, const obs_facts_view *view) {
  obs_before_after *effects = calloc((size_t)p->n + 1, sizeof(*effects));
  obs_before_after_scope *scopes = calloc((size_t)p->n + 1, sizeof(*scopes));
  observer_err err = effects != NULL && scopes != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
  if (err == OBSERVER_E_OK) {
    for (uint32_t i = 0; i < p->n; i++) {
      const obs_playbook_view *e = p->entries[i];
      effects[i] = e->effect;
      scopes[i] = (obs_before_after_scope){obs_str_of(e->endpoint), obs_str_of(e->task_class), &effects[i]};
    }
    err = obs_before_after_count(view, scopes, p->n);
  }
  if (err == OBSERVER_E_OK) {
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = 0; i < p->n; i++) p->entries[i]->effect = effects[i];
    pthread_mutex_unlock(&p->lock);
  } else {
    obs_log_warn("learn", "playbooks: cannot count effects: %s", observer_strerror(err));
  }
  free(effects);
  free(scopes);
}

/* Has the trials of the entries that are advised counted, and those of the others no more. */
static void watch(obs_playbooks *p) {
  obs_exposure_scope *scopes = calloc((size_t)p->n + 1, sizeof(*scopes));
  observer_err err = scopes != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
  uint32_t n = 0;
  for (uint32_t i = 0; scopes != NULL && i < p->n; i++) {
    const obs_playbook_view *e = p->entries[i];
    if (!e->retired) scopes[n++] = (obs_exposure_scope){e->id, obs_str_of(e->endpoint), obs_str_of(e->task_class)};
  }
  if (err == OBSERVER_E_OK) err = obs_exposure_watch(p->opts.exposure, scopes, n);
  if (err != OBSERVER_E_OK) obs_log_warn("learn", "playbooks: cannot count trials: %s", observer_strerror(err));
  free(scopes);
}

/* Takes the blocks of trials that are complete. With a holdout the others are those who asked too, and only chance has
 * parted them; without, they are those who did not ask. */
static void take_trials(obs_playbooks *p, int64_t now_ms) {
  bool holdout = obs_exposure_holdout(p->opts.exposure) > 0;
  obs_exposure_arm others = holdout ? OBS_EXPOSURE_HELD : OBS_EXPOSURE_NONE;
  for (uint32_t i = 0; i < p->n; i++) {
    obs_playbook_view *e = p->entries[i];
    obs_uplift u = e->holdout == holdout ? e->uplift : (obs_uplift){0};
    obs_exposure_block b;
    bool taken = e->holdout != holdout;
    while (obs_exposure_take(p->opts.exposure, e->id, now_ms, &b)) {
      obs_uplift_add(&u, (obs_uplift_arm){b.trials[OBS_EXPOSURE_SERVED], b.failures[OBS_EXPOSURE_SERVED]},
                     (obs_uplift_arm){b.trials[others], b.failures[others]});
      taken = true;
    }
    if (!taken) continue;
    pthread_mutex_lock(&p->lock);
    e->uplift = u;
    e->holdout = holdout;
    pthread_mutex_unlock(&p->lock);
  }
}

/* Whether both are of some op. */
static bool overlap(const obs_playbook_view *a, const obs_playbook_view *b) {
  bool endpoints = a->endpoint[0] == '\0' || b->endpoint[0] == '\0' || strcmp(a->endpoint, b->endpoint) == 0;
  bool classes = a->task_class[0] == '\0' || b->task_class[0] == '\0' || strcmp(a->task_class, b->task_class) == 0;
  return endpoints && classes;
}

/* The e-values of all entries that have evidence, and the least one that is acted on. */
static double least_e_value(const obs_playbooks *p) {
  double log_e[OBS_PLAYBOOK_ENTRIES];
  uint32_t n = 0;
  for (uint32_t i = 0; i < p->n; i++)
    if (!p->entries[i]->retired && p->entries[i]->uplift.blocks > 0)
      log_e[n++] = obs_uplift_worse(&p->entries[i]->uplift);
  return obs_uplift_threshold(log_e, n);
}

/* Retires what does harm. What sessions are told changes with it, so for the entries beside it the evidence begins
 * anew: one at a time, the last edited first, until the rest does no harm. */
static void retire(obs_playbooks *p, const _Atomic bool *stop, int64_t now_ms) {
  double least = least_e_value(p);
  while (!atomic_load(stop)) {
    uint32_t worst = p->n;
    for (uint32_t i = 0; i < p->n; i++) {
      const obs_playbook_view *e = p->entries[i];
      if (!e->retired && e->uplift.blocks > 0 && obs_uplift_worse(&e->uplift) >= least &&
          (worst == p->n || is_older(p->entries[worst], e)))
        worst = i;
    }
    if (worst == p->n) return;
    obs_playbook_view e = *p->entries[worst];
    e.retired = true;
    memset(e.effect.windows, 0, sizeof(e.effect.windows));
    e.effect.ended = 0;
    if (!edit(p, &e, OBS_PLAYBOOK_RETIRED, OBS_PLAYBOOK_BIT(effect), now_ms)) return;
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = 0; i < p->n; i++)
      if (!p->entries[i]->retired && overlap(&e, p->entries[i])) p->entries[i]->uplift = (obs_uplift){0};
    pthread_mutex_unlock(&p->lock);
  }
}

/* Whether its endpoint has been as well as before for long enough: the windows that ended since it was retired count.
 */
static bool is_over(const obs_playbook_view *e) {
  enum { MOST = OBS_SINCE_WINDOWS - 1 }; /* one is open */
  uint32_t retired = 0, rest = 1;
  obs_before_after_side sum = {0, 0};
  for (uint32_t i = 0; i < e->nhistory; i++) retired += e->history[i].change == OBS_PLAYBOOK_RETIRED;
  for (; retired > 1 && rest < MOST; retired--) rest = 2 * rest < MOST ? 2 * rest : MOST;
  if (e->effect.ended < rest) return false;
  for (uint32_t i = 1; i <= rest; i++) {
    const obs_before_after_side *w = &e->effect.windows[(e->effect.ended - i) % OBS_SINCE_WINDOWS];
    sum.ops += w->ops;
    sum.failures += w->failures;
  }
  const obs_before_after_side *before = &e->effect.before;
  return before->ops == 0 || (double)sum.failures * (double)before->ops <= (double)before->failures * (double)sum.ops;
}

/* Revives what may come back, and writes counts that have gone far: half way to the end of the window of facts, or a
 * tenth more blocks than were written, so that a restart loses little. Edits put an entry where it was. */
static void keep(obs_playbooks *p, const _Atomic bool *stop, int64_t now_ms) {
  for (uint32_t i = 0; i < p->n && !atomic_load(stop); i++) {
    obs_playbook_view e = *p->entries[i];
    bool far = obs_playbook_counted(&e.effect) != e.written_ops && e.effect.through_seq >= e.written_seq + COUNTED_OPS;
    bool more = e.uplift.blocks < e.written_blocks || e.uplift.blocks > e.written_blocks + e.written_blocks / 10;
    obs_playbook_change change = OBS_PLAYBOOK_COUNTED;
    if (e.retired && is_over(&e)) {
      change = OBS_PLAYBOOK_REVIVED;
      e.retired = false;
      e.uplift = (obs_uplift){0};
    } else if (!far && !more) {
      continue;
    }
    (void)edit(p, &e, change, OBS_PLAYBOOK_BIT(effect), now_ms);
  }
}

/* Writes what is new of the endpoints with most successes into their entries. */
static void consolidate(obs_playbooks *p, const obs_facts_view *view, const _Atomic bool *stop, int64_t now_ms) {
  obs_playbook_ring ring;
  uint32_t edits = 0, places = OBS_PLAYBOOK_ENTRIES / 2; /* the other half is for "don't"s */
  bool read = obs_playbook_ring_gather(&p->opts.evidence, &ring);
  if (!read)
    obs_log_warn("learn", "playbooks: cannot read the ring's successes: %s", observer_strerror(OBSERVER_E_NOMEM));
  if (!read || ring.successes < SUCCESSES) places = 0;
  for (uint32_t i = 0; i < ring.groups.n && i < places && edits < OBS_PLAYBOOK_EACH && !atomic_load(stop); i++) {
    const obs_playbook_group *g = &ring.groups.at[i];
    if (g->successes < SUCCESSES_EACH) break;
    uint64_t id = XXH3_64bits_withSeed(g->endpoint, strlen(g->endpoint), SEED_DO);
    uint32_t at = place_of(p, id), fields = 0;
    obs_playbook_view e = {.id = id, .created_ms = now_ms, .created_seq = obs_before_after_last(view)};
    obs_playbook_change change = OBS_PLAYBOOK_CREATED;
    if (at < p->n) {
      e = *p->entries[at];
      fields = obs_playbook_news(&ring, g, &e);
      /* More of the same does not make a retired entry another one. */
      if (fields == 0 || (e.retired && (fields & OBS_PLAYBOOK_BIT(pattern)) == 0)) continue;
      change = e.retired ? OBS_PLAYBOOK_REVIVED : OBS_PLAYBOOK_UPDATED;
    }
    obs_playbook_describe(&ring, g, &e);
    /* An effect begins anew for an entry that is new, revived, or of which too little was known before. */
    if (change != OBS_PLAYBOOK_UPDATED || e.effect.before.ops < OBS_PLAYBOOK_PROOF) begin_effect(&e, view);
    e.retired = false;
    if (!edit(p, &e, change, fields, now_ms)) continue;
    obs_playbook_log(p->opts.gateway, g);
    edits++;
  }
  obs_playbook_ring_fini(&ring);
}

void obs_playbooks_cycle(obs_playbooks *p, const _Atomic bool *stop) {
  obs_facts_view view = {0};
  int64_t now_ms = obs_clock_receipt_ms();
  observer_err err = obs_facts_snapshot(p->opts.facts, &view);
  if (err == OBSERVER_E_OK) {
    count_effects(p, &view);
    if (p->opts.exposure != NULL) take_trials(p, now_ms);
    retire(p, stop, now_ms);
    keep(p, stop, now_ms);
    consolidate(p, &view, stop, now_ms);
    if (p->opts.exposure != NULL) watch(p);
  } else {
    obs_log_warn("learn", "playbooks: cannot read the window of facts: %s", observer_strerror(err));
  }
  obs_facts_view_fini(&view);
}

/* ---- "don't"s ---- */

static int by_value(const void *a, const void *b) {
  const uint64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

void obs_playbooks_dont(void *playbooks, const obs_loop_dont *d) {
  obs_playbooks *p = playbooks;
  uint64_t id = XXH3_64bits_withSeed(&d->cluster, sizeof(d->cluster), SEED_DONT);
  uint32_t at = place_of(p, id), fields = 0;
  const obs_playbook_view *have = at < p->n ? p->entries[at] : NULL;
  obs_playbook_view e = {.id = id, .dont = true, .created_ms = d->time_ms};
  obs_playbook_change change = OBS_PLAYBOOK_CREATED;
  if (have != NULL) e = *have;
  e.cluster = d->cluster;
  e.analysis = d->analysis;
  obs_playbook_put(e.endpoint, d->endpoint, OBS_PLAYBOOK_NAME);
  obs_playbook_put(e.task_class, d->task_class, OBS_PLAYBOOK_NAME);
  obs_playbook_put(e.text, d->text, OBS_PLAYBOOK_TEXT);
  e.nevidence = d->nseqs < OBS_PLAYBOOK_EVIDENCE ? d->nseqs : OBS_PLAYBOOK_EVIDENCE;
  for (uint32_t i = 0; i < e.nevidence; i++) e.evidence[i] = d->seqs[i];
  qsort(e.evidence, e.nevidence, sizeof(*e.evidence), by_value);
  if (e.text[0] == '\0') return;

  bool elsewhere = false;
  if (have != NULL) { /* other evidence alone is nothing new */
    if (strcmp(have->text, e.text) != 0) fields |= OBS_PLAYBOOK_BIT(text);
    if (strcmp(have->endpoint, e.endpoint) != 0) fields |= OBS_PLAYBOOK_BIT(endpoint);
    if (strcmp(have->task_class, e.task_class) != 0) fields |= OBS_PLAYBOOK_BIT(task_class);
    if (fields == 0) return;
    elsewhere = (fields & (OBS_PLAYBOOK_BIT(endpoint) | OBS_PLAYBOOK_BIT(task_class))) != 0;
    change = e.retired ? OBS_PLAYBOOK_REVIVED : OBS_PLAYBOOK_UPDATED;
  }
  if (change != OBS_PLAYBOOK_UPDATED || elsewhere || e.effect.before.ops < OBS_PLAYBOOK_PROOF) {
    obs_facts_view own = {0};
    observer_err err = d->facts == NULL ? obs_facts_snapshot(p->opts.facts, &own) : OBSERVER_E_OK;
    const obs_facts_view *view = d->facts != NULL ? d->facts : &own;
    if (err == OBSERVER_E_OK) {
      begin_effect(&e, view);
      if (e.created_seq == 0) e.created_seq = obs_before_after_last(view);
    } else {
      obs_log_warn("learn", "playbooks: cannot begin to measure the effect of an entry: %s", observer_strerror(err));
    }
    obs_facts_view_fini(&own);
  }
  e.retired = false;
  (void)edit(p, &e, change, fields, d->time_ms);
}

/* ---- views; any thread ---- */

/* Names are kept cut. */
static bool is_name(const char *have, obs_str want) {
  if (want.p == NULL) return true;
  return have[0] != '\0' && obs_str_eq(obs_str_of(have), obs_utf8_cut_str(want, OBS_PLAYBOOK_NAME));
}

static bool matches(const obs_playbook_view *e, const obs_playbooks_filter *f) {
  if (e->retired && !f->retired) return false;
  if (f->kind.p != NULL && !obs_str_is(f->kind, e->dont ? "dont" : "do")) return false;
  if (!is_name(e->endpoint, f->endpoint)) return false;
  bool of_class = is_name(e->task_class, f->task_class);
  for (uint32_t i = 0; i < e->task_classes.n && !of_class; i++)
    of_class = is_name(e->task_classes.v[i].text, f->task_class);
  return of_class;
}

void obs_playbooks_get_counts(obs_playbooks *p, obs_playbooks_counts *out) {
  *out = (obs_playbooks_counts){0};
  pthread_mutex_lock(&p->lock);
  for (uint32_t i = 0; i < p->n; i++) out->entries[p->entries[i]->dont][p->entries[i]->retired]++;
  pthread_mutex_unlock(&p->lock);
}

observer_err obs_playbooks_each(obs_playbooks *p, const obs_playbooks_filter *f,
                                bool (*fn)(void *arg, const obs_playbook_view *entry), void *arg, obs_page_end *end) {
  const uint32_t rows = obs_page_rows(&f->page);
  obs_page_place list[OBS_PLAYBOOK_ENTRIES];
  obs_page_walk walk = f->page.walk;
  uint32_t n = 0, i = 0;
  *end = (obs_page_end){.counted = true};
  walk.order = OBS_PLAYBOOK_ORDER;
  pthread_mutex_lock(&p->lock);
  for (uint32_t k = 0; k < p->n; k++) {
    const obs_playbook_view *e = p->entries[k];
    if (f->page.walk.through == 0 && e->number > walk.through) walk.through = e->number;
    if (!matches(e, f)) continue;
    end->total++;
    int64_t edited_ms = obs_playbook_last_edit(e).time_ms;
    list[n] = (obs_page_place){.id = e->id, .key = edited_ms > 0 ? (uint64_t)edited_ms : 0, .then = e->number};
    if (obs_page_walk_has(&f->page.walk, 0, e->number, &list[n])) n++;
  }
  if (n > 1) qsort(list, n, sizeof(*list), obs_page_compare);
  /* Copies of some 4 KB each, so that `fn` may print, or call back, while the learning thread edits. */
  uint32_t most = n < rows ? n : rows;
  obs_playbook_view *copies = calloc((size_t)most + 1, sizeof(*copies));
  for (uint32_t k = 0; copies != NULL && k < most; k++) copies[k] = *p->entries[place_of(p, list[k].id)];
  pthread_mutex_unlock(&p->lock);
  if (copies == NULL) return OBSERVER_E_NOMEM;
  for (; i < most && fn(arg, &copies[i]); i++) walk.at = list[i];
  obs_page_end_after(end, i, n, rows);
  end->walk = walk;
  free(copies);
  return OBSERVER_E_OK;
}

static void put_entry(obs_json_writer *w, const obs_playbook_view *e, bool light) {
  obs_json_object(w, NULL);
  obs_json_id(w, "id", e->id);
  if (light)
    obs_playbook_write_light(e, change_of(e), w);
  else
    obs_playbook_write(e, change_of(e), false, w);
  obs_json_end(w);
}

typedef struct {
  obs_page_fill fill;
  bool light;
} page_writer;

static bool put_listed(void *arg, const obs_playbook_view *e) {
  page_writer *p = arg;
  obs_page_begin_row(&p->fill);
  put_entry(p->fill.w, e, p->light);
  return obs_page_end_row(&p->fill);
}

observer_err obs_playbooks_list_json(obs_playbooks *p, const obs_playbooks_filter *f, obs_buf *out, obs_page_end *end) {
  obs_json_writer w = obs_json_write(out);
  obs_json_array(&w, NULL);
  page_writer page = {obs_page_fill_begin(&f->page, &w), !f->page.full};
  observer_err err = obs_playbooks_each(p, f, put_listed, &page, end);
  obs_json_end(&w);
  return out->oom ? OBSERVER_E_NOMEM : err;
}

bool obs_playbooks_one_json(void *playbooks, uint64_t id, obs_buf *out) {
  obs_playbooks *p = playbooks;
  obs_playbook_view e;
  obs_json_writer w = obs_json_write(out);
  pthread_mutex_lock(&p->lock);
  uint32_t at = place_of(p, id);
  bool found = at < p->n;
  if (found) e = *p->entries[at];
  pthread_mutex_unlock(&p->lock);
  if (found) put_entry(&w, &e, false);
  return found;
}

static uint32_t list_ids(void *playbooks, const obs_hex_range *r, uint64_t *out, uint32_t max) {
  obs_playbooks *p = playbooks;
  uint32_t n = 0;
  pthread_mutex_lock(&p->lock);
  for (uint32_t i = 0; i < p->n && n < max; i++)
    if (obs_hex_within(r, p->entries[i]->id)) out[n++] = p->entries[i]->id;
  pthread_mutex_unlock(&p->lock);
  return n;
}

/* ---- the loop ---- */

static observer_err open_loop(obs_loop_tools *tools, void **loop, char *error_text, size_t size) {
  obs_playbooks *p = NULL;
  obs_playbooks_opts opts = {.dir = tools->opts->dir,
                             .facts = tools->facts,
                             .exposure = tools->exposure,
                             .evidence = tools->evidence,
                             .gateway = tools->gateway,
                             .announce = tools->opts->announce};
  observer_err err = obs_playbooks_open(&opts, &p, error_text, size);
  *loop = p;
  if (err != OBSERVER_E_OK) return err;
  p->every = tools->opts->playbook_cycles != 0 ? tools->opts->playbook_cycles : OBS_PLAYBOOK_CYCLES;
  tools->dont = obs_playbooks_dont;
  tools->dont_arg = p;
  return err;
}

static void run_loop(void *loop, const obs_loop_turn *turn) {
  obs_playbooks *p = loop;
  if (turn->cycle / p->every <= p->consolidated) return;
  p->consolidated = turn->cycle / p->every;
  obs_playbooks_cycle(p, turn->stop);
}

static observer_err put_page(void *loop, const void *filter, obs_buf *out, obs_page_end *end) {
  return obs_playbooks_list_json(loop, filter, out, end);
}

static obs_records *records_of(void *loop) {
  return ((obs_playbooks *)loop)->records;
}

const obs_loop obs_playbooks_loop = {.name = "playbooks",
                                     .open = open_loop,
                                     .cycle = run_loop,
                                     .close = obs_playbooks_close,
                                     .page = put_page,
                                     .walk = OBS_PLAYBOOK_ORDER,
                                     .one = obs_playbooks_one_json,
                                     .ids = list_ids,
                                     .records = records_of};
