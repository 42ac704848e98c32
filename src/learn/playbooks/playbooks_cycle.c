/* What changes the entries: the successes of the ring and the effects, once in a few cycles, and the "don't"s. */
#include "base/clock.h"
#include "base/log.h"
#include "learn/playbooks/internal.h"

#include <stdlib.h>

/* COUNTED_OPS: an effect is written anew, without an edit, when the window of facts is half way past what was written.
 */
enum { SUCCESSES = 5, SUCCESSES_EACH = 3, COUNTED_OPS = OBS_FACTS_ROWS / 2 };

static uint64_t ops_of(const obs_before_after *e) {
  return e->before.ops + e->after.ops;
}

/* ---- effects ---- */

/* Counted aside, then put in place at once. */
static void count(obs_playbooks *p, const obs_facts_view *view) {
  obs_before_after *effects = calloc((size_t)p->n + 1, sizeof(*effects));
  obs_before_after_scope *scopes = calloc((size_t)p->n + 1, sizeof(*scopes));
  observer_err err = effects != NULL && scopes != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
  if (err == OBSERVER_E_OK) {
    for (uint32_t i = 0; i < p->n; i++) {
      const obs_playbook *e = p->entries[i];
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
    obs_log_warn("learn", "playbooks: effects not counted: %s", observer_strerror(err));
  }
  free(effects);
  free(scopes);
}

static bool is_known(const obs_before_after *e) {
  return e->before.ops >= OBS_PLAYBOOK_PROOF && e->after.ops >= OBS_PLAYBOOK_PROOF;
}

static bool harms(const obs_before_after *e) {
  return is_known(e) && obs_before_after_compare(e, OBS_BEFORE_AFTER_PROVEN).low > 0;
}

/* It does no more: fewer fail than before. */
static bool has_recovered(const obs_before_after *e) {
  return is_known(e) && obs_before_after_compare(e, OBS_BEFORE_AFTER_SHOWN).difference <= 0;
}

static void judge(obs_playbooks *p, const _Atomic bool *stop, int64_t now_ms) {
  /* Edits put an entry where it was. */
  for (uint32_t i = 0; i < p->n && !atomic_load(stop); i++) {
    obs_playbook e = *p->entries[i];
    obs_playbook_change change = OBS_PLAYBOOK_COUNTED;
    if (!e.retired && harms(&e.effect))
      change = OBS_PLAYBOOK_RETIRED;
    else if (e.retired && has_recovered(&e.effect))
      change = OBS_PLAYBOOK_REVIVED;
    else if (ops_of(&e.effect) == e.written_ops || e.effect.through_seq < e.written_seq + COUNTED_OPS)
      continue;
    if (change != OBS_PLAYBOOK_COUNTED) e.retired = change == OBS_PLAYBOOK_RETIRED;
    (void)obs_playbooks_edit(p, &e, change, OBS_PLAYBOOK_BIT(effect), now_ms);
  }
}

/* ---- what worked ---- */

static uint64_t last_seq(const obs_facts_view *view) {
  return view->n > 0 ? view->seq[view->n - 1] : 0;
}

/* True: there was an edit. */
static bool consolidate_one(obs_playbooks *p, const obs_facts_view *view, const obs_playbook_ring *ring,
                            const obs_playbook_group *g, int64_t now_ms) {
  uint64_t id = obs_playbook_id(false, obs_str_of(g->endpoint), 0);
  const obs_playbook *have = obs_playbooks_find(p, id);
  obs_playbook e = {.id = id, .created_ms = now_ms, .created_seq = last_seq(view)};
  obs_playbook_change change = OBS_PLAYBOOK_CREATED;
  uint32_t fields = 0;
  if (have != NULL) {
    fields = obs_playbook_news(ring, g, have);
    if (fields == 0) return false;
    e = *have;
    change = e.retired ? OBS_PLAYBOOK_REVIVED : OBS_PLAYBOOK_UPDATED;
  }
  obs_playbook_describe(ring, g, &e);
  /* What was never judged, or says something else since it was, begins anew. */
  if (change != OBS_PLAYBOOK_UPDATED || e.effect.before.ops < OBS_PLAYBOOK_PROOF) obs_playbook_begin(&e, view, 0);
  e.retired = false;
  if (!obs_playbooks_edit(p, &e, change, fields, now_ms)) return false;
  obs_playbook_tell(p->opts.gateway, g);
  return true;
}

static void consolidate(obs_playbooks *p, const obs_facts_view *view, const _Atomic bool *stop, int64_t now_ms) {
  obs_playbook_ring ring;
  uint32_t edits = 0, places = OBS_PLAYBOOK_ENTRIES / 2; /* the others are for what does not work */
  if (!obs_playbook_ring_gather(&p->opts.evidence, &ring)) {
    obs_log_warn("learn", "playbooks: the ring's successes not read: %s", observer_strerror(OBSERVER_E_NOMEM));
  } else if (ring.successes >= SUCCESSES) {
    for (uint32_t i = 0; i < ring.n && i < places && edits < OBS_PLAYBOOK_EACH && !atomic_load(stop); i++) {
      if (ring.groups[i].n < SUCCESSES_EACH) break;
      if (consolidate_one(p, view, &ring, &ring.groups[i], now_ms)) edits++;
    }
  }
  obs_playbook_ring_fini(&ring);
}

void obs_playbooks_cycle(obs_playbooks *p, const _Atomic bool *stop) {
  obs_facts_view view = {0};
  int64_t now_ms = obs_clock_wall_ms();
  observer_err err = obs_facts_snapshot(p->opts.facts, &view);
  if (err == OBSERVER_E_OK) {
    count(p, &view);
    judge(p, stop, now_ms);
    consolidate(p, &view, stop, now_ms);
  } else {
    obs_log_warn("learn", "playbooks: the window of facts not read: %s", observer_strerror(err));
  }
  obs_facts_view_fini(&view);
}

/* ---- what does not ---- */

static int by_value(const void *a, const void *b) {
  const uint64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

static void describe_dont(const obs_loop_dont *d, obs_playbook *e) {
  static const obs_str none = {"", 0, 1};
  e->cluster = d->cluster;
  e->analysis = d->analysis;
  obs_playbook_put(e->endpoint, d->endpoint.p != NULL ? d->endpoint : none, OBS_PLAYBOOK_NAME);
  obs_playbook_put(e->task_class, d->task_class.p != NULL ? d->task_class : none, OBS_PLAYBOOK_NAME);
  obs_playbook_put(e->text, d->text, OBS_PLAYBOOK_TEXT);
  e->nevidence = d->nseqs < OBS_PLAYBOOK_EVIDENCE ? d->nseqs : OBS_PLAYBOOK_EVIDENCE;
  for (uint32_t i = 0; i < e->nevidence; i++) e->evidence[i] = d->seqs[i];
  qsort(e->evidence, e->nevidence, sizeof(*e->evidence), by_value);
}

/* What is new about it; the evidence alone is not. */
static uint32_t dont_news(const obs_playbook *had, const obs_playbook *e) {
  uint32_t fields = 0;
  if (strcmp(had->text, e->text) != 0) fields |= OBS_PLAYBOOK_BIT(text);
  if (strcmp(had->endpoint, e->endpoint) != 0) fields |= OBS_PLAYBOOK_BIT(endpoint);
  if (strcmp(had->task_class, e->task_class) != 0) fields |= OBS_PLAYBOOK_BIT(task_class);
  return fields;
}

/* Before is what the entry is to mend: from its cluster's first failure on. */
static void begin_dont(const obs_playbooks *p, obs_playbook *e) {
  obs_facts_view view = {0};
  observer_err err = obs_facts_snapshot(p->opts.facts, &view);
  if (err == OBSERVER_E_OK) {
    uint64_t first = obs_before_after_first_failure(&view, e->cluster);
    if (e->nevidence > 0 && (first == 0 || e->evidence[0] < first)) first = e->evidence[0];
    obs_playbook_begin(e, &view, first);
    if (e->created_seq == 0) e->created_seq = last_seq(&view);
  } else {
    obs_log_warn("learn", "playbooks: the effect of an entry not begun: %s", observer_strerror(err));
  }
  obs_facts_view_fini(&view);
}

void obs_playbooks_dont(void *playbooks, const obs_loop_dont *d) {
  obs_playbooks *p = playbooks;
  uint64_t id = obs_playbook_id(true, d->endpoint, d->cluster);
  const obs_playbook *have = obs_playbooks_find(p, id);
  obs_playbook e = {.id = id, .dont = true, .created_ms = d->time_ms};
  obs_playbook_change change = OBS_PLAYBOOK_CREATED;
  uint32_t fields = 0;
  if (have != NULL) e = *have;
  describe_dont(d, &e);
  if (e.text[0] == '\0') return;
  if (have != NULL) {
    fields = dont_news(have, &e);
    if (fields == 0) return;
    change = e.retired ? OBS_PLAYBOOK_REVIVED : OBS_PLAYBOOK_UPDATED;
  }
  bool elsewhere = (fields & (OBS_PLAYBOOK_BIT(endpoint) | OBS_PLAYBOOK_BIT(task_class))) != 0;
  if (change != OBS_PLAYBOOK_UPDATED || elsewhere || e.effect.before.ops < OBS_PLAYBOOK_PROOF) begin_dont(p, &e);
  e.retired = false;
  (void)obs_playbooks_edit(p, &e, change, fields, d->time_ms);
}
