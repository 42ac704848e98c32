/* The book: what fires, what each receiver was told of it, and when the difference is due.
 *
 * Told is only what was answered, so whatever fails or is cut off is still different, and comes again by itself. When
 * something is due depends on the message about the same rule that was answered last: a receiver that was away does not
 * get what it missed at once, and an alert that flaps does not push the next message away.
 */
#include "base/clock.h"
#include "base/log.h"
#include "notify/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

/* DEBOUNCE_MS: alerts that come together go to an Alertmanager in one post. */
enum { DEBOUNCE_MS = 500, LONGEST_MS = OBS_NOTIFY_HOUR_MS };

const char *const obs_notify_says_names[OBS_NOTIFY_SAYS] = {"same", "firing", "resolved", "over", "still"};
const char *const obs_notify_reason_names[OBS_NOTIFY_REASONS] = {"change", "repeat", "digest", "keep"};

static bool is_news(obs_notify_says says) {
  return says == OBS_NOTIFY_BEGUN || says == OBS_NOTIFY_ENDED || says == OBS_NOTIFY_OVER;
}

/* ---- slots and rules ---- */

uint32_t obs_notify_slot_of(obs_notify *n, obs_str name) {
  uint32_t spare = UINT32_MAX;
  for (uint32_t i = OBS_NOTIFY_SLOTS; i-- > 0;) {
    if (n->slots[i].name[0] == '\0')
      spare = i;
    else if (obs_str_is(name, n->slots[i].name))
      return i;
  }
  if (spare == UINT32_MAX || name.len == 0 || name.len > OBS_NOTIFY_NAME_MAX) return UINT32_MAX;
  memcpy(n->slots[spare].name, name.p, name.len);
  n->slots[spare].name[name.len] = '\0';
  return spare;
}

/* Whether nothing is to be remembered of a rule without alerts. */
static bool is_forgotten(const obs_notify *n, const obs_notify_rule *rule, int64_t now) {
  int64_t interval = n->config != NULL ? n->config->interval_ms : LONGEST_MS;
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++)
    if (rule->groups[i].last_ms != 0 && rule->groups[i].last_ms + interval > now) return false;
  return rule->entries == 0;
}

uint32_t obs_notify_rule_of(obs_notify *n, const char *name) {
  for (uint32_t i = 0; i < n->rules.n; i++)
    if (strcmp(n->rules.at[i].name, name) == 0) return i;
  if (n->rules.n == OBS_NOTIFY_RULES) {
    for (uint32_t i = 0; i < n->rules.n; i++) {
      if (!is_forgotten(n, &n->rules.at[i], obs_clock_receipt_ms())) continue;
      n->rules.at[i] = (obs_notify_rule){0};
      snprintf(n->rules.at[i].name, sizeof n->rules.at[i].name, "%s", name);
      return i;
    }
    return UINT32_MAX;
  }
  obs_notify_rule *rule = OBS_VEC_PUSH(&n->rules);
  if (rule == NULL) return UINT32_MAX;
  snprintf(rule->name, sizeof rule->name, "%s", name);
  return n->rules.n - 1;
}

/* ---- entries ---- */

obs_notify_entry *obs_notify_book_find(obs_notify *n, uint64_t fingerprint) {
  uint32_t place;
  return obs_map_get(&n->places, fingerprint, &place) ? &n->entries.at[place] : NULL;
}

static uint32_t place_of(const obs_notify *n, const obs_notify_entry *e) {
  return (uint32_t)(e - n->entries.at);
}

static void take_away(obs_notify *n, obs_notify_entry *e) {
  obs_map_remove(&n->places, e->facts->fingerprint);
  n->rules.at[e->rule].entries--;
  obs_notify_facts_release(e->facts);
  *e = (obs_notify_entry){.rule = n->spare};
  n->spare = place_of(n, e) + 1;
  n->nentries--;
}

/* Whether it is over, and no receiver believes that it fires. */
static bool is_past(const obs_notify_entry *e) {
  if (e->facts == NULL || e->firing || !e->said) return false;
  for (uint32_t s = 0; s < OBS_NOTIFY_SLOTS; s++)
    if (e->told[s].state != OBS_NOTIFY_TOLD_NOTHING) return false;
  return true;
}

/* In a full book, what is over before a receiver that is away heard of it makes room for what fires: else nobody would
 * hear of anything any more. False: there is none. */
static bool make_room(obs_notify *n) {
  for (uint32_t i = 0; n->entries.at != NULL && i < n->entries.n; i++) {
    obs_notify_entry *e = &n->entries.at[n->hand];
    n->hand = (n->hand + 1) % n->entries.n;
    if (!is_past(e)) continue;
    take_away(n, e);
    n->counts.suppressed[OBS_NOTIFY_WHY_FULL]++;
    return true;
  }
  return false;
}

/* A new one with these facts. NULL: no room; the facts are the caller's then. */
static obs_notify_entry *add(obs_notify *n, obs_notify_facts *facts) {
  if (n->nentries == OBS_NOTIFY_ALERTS && !make_room(n)) return NULL;
  uint32_t rule = obs_notify_rule_of(n, facts->rule);
  if (rule == UINT32_MAX) return NULL;
  obs_notify_entry *e = n->spare != 0 ? &n->entries.at[n->spare - 1] : OBS_VEC_PUSH(&n->entries);
  if (e == NULL) return NULL;
  uint32_t next = n->spare != 0 ? e->rule : 0;
  if (!obs_map_put(&n->places, facts->fingerprint, place_of(n, e))) {
    if (n->spare == 0) n->entries.n--;
    return NULL;
  }
  n->spare = next;
  n->nentries++;
  n->rules.at[rule].entries++;
  *e = (obs_notify_entry){.facts = facts, .rule = rule, .silenced_by = obs_notify_silenced_by(n, facts)};
  return e;
}

bool obs_notify_book_drop(obs_notify *n, obs_notify_entry *e) {
  if (e->firing || !e->said) return false;
  for (uint32_t s = 0; s < OBS_NOTIFY_SLOTS; s++)
    if (is_news(obs_notify_book_says(n, e, s))) return false;
  take_away(n, e);
  return true;
}

obs_notify_says obs_notify_book_says(const obs_notify *n, const obs_notify_entry *e, uint32_t slot) {
  const obs_notify_receiver *r = n->slots[slot].receiver;
  const obs_notify_told *told = &e->told[slot];
  bool wanted = (e->wanted & UINT32_C(1) << slot) != 0;
  if (r == NULL || !e->said) return OBS_NOTIFY_SAME;
  if (told->state != OBS_NOTIFY_TOLD_NOTHING) {
    if (!e->firing) return r->ends ? OBS_NOTIFY_ENDED : OBS_NOTIFY_SAME;
    if (!wanted) return OBS_NOTIFY_SAME;
    return told->state == OBS_NOTIFY_TOLD_UNSURE ? OBS_NOTIFY_BEGUN : OBS_NOTIFY_STILL;
  }
  if (!wanted || e->silenced_by != 0) return OBS_NOTIFY_SAME;
  if (e->firing) return OBS_NOTIFY_BEGUN;
  return told->times != e->times ? OBS_NOTIFY_OVER : OBS_NOTIFY_SAME;
}

/* Which receivers it is for: those that its rule names, else the default ones. */
static void aim(const obs_notify *n, obs_notify_entry *e) {
  e->wanted = 0;
  for (uint32_t s = 0; s < OBS_NOTIFY_SLOTS; s++) {
    const obs_notify_receiver *r = n->slots[s].receiver;
    bool named = false;
    for (uint32_t i = 0; r != NULL && i < e->facts->nreceivers; i++)
      named = named || strcmp(e->facts->receivers[i], r->name) == 0;
    if (r != NULL && (e->facts->nreceivers > 0 ? named : r->by_default)) e->wanted |= UINT32_C(1) << s;
  }
}

void obs_notify_book_aim(obs_notify *n) {
  for (uint32_t i = 0; i < n->entries.n; i++) {
    obs_notify_entry *e = &n->entries.at[i];
    if (e->facts == NULL) continue;
    aim(n, e);
    (void)obs_notify_book_drop(n, e);
  }
}

obs_notify_entry *obs_notify_book_remember(obs_notify *n, obs_notify_facts *facts) {
  obs_notify_entry *e = obs_notify_book_find(n, facts->fingerprint);
  if (e == NULL) {
    e = add(n, facts);
    if (e == NULL) obs_notify_facts_release(facts);
    return e;
  }
  obs_notify_facts_release(e->facts);
  e->facts = facts;
  return e;
}

/* ---- transitions ---- */

/* When what is new in a group is due. */
static int64_t due_at(const obs_notify *n, const obs_notify_group *g) {
  int64_t first = g->first_ms + n->config->wait_ms;
  int64_t next = g->last_ms != 0 ? g->last_ms + n->config->interval_ms : 0;
  return first > next ? first : next;
}

void obs_notify_book_wake(obs_notify *n, uint32_t slot, int64_t when) {
  obs_notify_slot *s = &n->slots[slot];
  if (!s->running || when >= s->planned_ms) return;
  s->planned_ms = when;
  pthread_cond_signal(&s->wake);
}

/* Something is new to a slot: its thread is to look in time. */
static void announce(obs_notify *n, const obs_notify_entry *e, uint32_t slot, int64_t now) {
  obs_notify_slot *s = &n->slots[slot];
  obs_notify_group *g = &n->rules.at[e->rule].groups[slot];
  int64_t *first = obs_notify_type_groups(s->receiver->type) ? &g->first_ms : &s->first_ms;
  if (*first == 0) *first = now;
  obs_notify_book_wake(n, slot, first == &g->first_ms ? due_at(n, g) : s->first_ms + DEBOUNCE_MS);
}

/* It begins or ends: what that means for each receiver. `untold`: bits of slots that an earlier change was not told to.
 */
static void change(obs_notify *n, obs_notify_entry *e, uint32_t untold, int64_t now) {
  bool silenced = false, held = false;
  for (uint32_t i = 0; i < OBS_NOTIFY_SLOTS; i++) {
    obs_notify_slot *s = &n->slots[i];
    obs_notify_told *told = &e->told[i];
    if (s->receiver == NULL) continue;
    bool unaware = told->state == OBS_NOTIFY_TOLD_NOTHING;
    if (!e->firing && (unaware ? e->silenced_by != 0 : !s->receiver->ends)) *told = (obs_notify_told){0, e->times};
    silenced = silenced || (e->silenced_by != 0 && unaware && (e->wanted & UINT32_C(1) << i) != 0);
    if (!is_news(obs_notify_book_says(n, e, i))) continue;
    announce(n, e, i, now);
    if (!s->holding) continue;
    *(e->firing ? &s->held_fired : &s->held_ended) += 1;
    held = true;
  }
  if (silenced) n->counts.suppressed[OBS_NOTIFY_WHY_SILENCED]++;
  if (held) n->counts.suppressed[OBS_NOTIFY_WHY_PER_HOUR]++;
  if (untold != 0 && !held) n->counts.suppressed[OBS_NOTIFY_WHY_FLAPPING]++;
}

observer_err obs_notify_book_take(obs_notify *n, obs_notify_facts *facts, bool firing, int64_t now, bool *changed) {
  obs_notify_entry *e = obs_notify_book_find(n, facts->fingerprint);
  *changed = false;
  if (e == NULL && !firing) { /* nobody heard of it */
    obs_notify_facts_release(facts);
    return OBSERVER_E_OK;
  }
  uint32_t untold = 0;
  if (e == NULL) {
    e = add(n, facts);
    if (e == NULL) {
      obs_notify_facts_release(facts);
      n->counts.suppressed[OBS_NOTIFY_WHY_FULL]++;
      return OBSERVER_E_FULL;
    }
    *changed = true;
  } else {
    *changed = e->firing != firing || (firing && e->facts->fired_ms != facts->fired_ms);
    for (uint32_t s = 0; s < OBS_NOTIFY_SLOTS; s++)
      if (is_news(obs_notify_book_says(n, e, s))) untold |= UINT32_C(1) << s;
    obs_notify_facts_release(e->facts);
    e->facts = facts;
  }
  bool unsaid = !e->said;
  e->said = true;
  e->firing = firing;
  aim(n, e);
  if (*changed && firing) e->times++;
  if (*changed || unsaid) change(n, e, untold, now);
  for (uint32_t s = 0; unsaid && s < OBS_NOTIFY_SLOTS; s++) /* it may know, and is to be told that it still fires */
    obs_notify_book_wake(n, s, now + DEBOUNCE_MS);
  (void)obs_notify_book_drop(n, e);
  return OBSERVER_E_OK;
}

void obs_notify_book_settle(obs_notify *n, int64_t now) {
  for (uint32_t i = 0; i < n->entries.n; i++) {
    obs_notify_entry *e = &n->entries.at[i];
    if (e->facts == NULL || e->said) continue;
    e->said = true;
    e->firing = false;
    e->facts->resolved_ms = now;
    aim(n, e);
    change(n, e, 0, now);
    (void)obs_notify_book_drop(n, e);
  }
}

/* ---- messages ---- */

void obs_notify_message_fini(obs_notify *n, obs_notify_message *m) {
  pthread_mutex_lock(&n->lock);
  for (uint32_t i = 0; i < m->items.n; i++) obs_notify_facts_release(m->items.at[i].facts);
  pthread_mutex_unlock(&n->lock);
  OBS_VEC_FINI(&m->items);
}

/* Adds what is to be said of an alert, if there is room. False: no memory. */
static bool put_item(obs_notify_message *m, const obs_notify_entry *e, obs_notify_says says) {
  m->counts[says]++;
  if (m->items.n == OBS_NOTIFY_ITEMS) return true;
  obs_notify_item *item = OBS_VEC_PUSH(&m->items);
  if (item == NULL) return false;
  const obs_notify_told *told = &e->told[m->slot];
  *item = (obs_notify_item){obs_notify_facts_hold(e->facts), says, e->times,
                            e->times > told->times ? e->times - told->times : 0};
  m->maybe_again = m->maybe_again || told->state == OBS_NOTIFY_TOLD_UNSURE;
  return true;
}

/* All of the kinds wanted, of one rule or (UINT32_MAX) of all. */
static bool put_items(obs_notify *n, obs_notify_message *m, uint32_t rule, bool news) {
  for (uint32_t i = 0; i < n->entries.n; i++) {
    const obs_notify_entry *e = &n->entries.at[i];
    if (e->facts == NULL || (rule != UINT32_MAX && e->rule != rule)) continue;
    obs_notify_says says = obs_notify_book_says(n, e, m->slot);
    if (news ? is_news(says) : says == OBS_NOTIFY_STILL && e->silenced_by == 0)
      if (!put_item(m, e, says)) return false;
  }
  return true;
}

static void make_id(const obs_notify *n, obs_notify_message *m, uint64_t last_row) {
  const char *name = n->slots[m->slot].name;
  XXH64_hash_t h = XXH64(name, strlen(name), last_row + (uint64_t)m->held_since_ms);
  for (uint32_t i = 0; i < m->items.n; i++) {
    const obs_notify_item *item = &m->items.at[i];
    const uint64_t parts[] = {item->facts->fingerprint, (uint64_t)item->facts->fired_ms, item->says};
    h = XXH64(parts, sizeof parts, h);
  }
  m->id = h;
  m->maybe_again = m->maybe_again || h == n->slots[m->slot].unsure;
}

/* False: no memory; it is tried again. */
static bool make_message(obs_notify *n, obs_notify_message *m, uint32_t rule) {
  obs_notify_slot *s = &n->slots[m->slot];
  bool ok = m->reason == OBS_NOTIFY_REPEAT || put_items(n, m, rule, true);
  ok = ok && put_items(n, m, rule, false);
  if (!ok) return false;
  if (rule != UINT32_MAX) m->rule = m->items.at[0].facts->rule;
  make_id(n, m, rule != UINT32_MAX ? n->rules.at[rule].groups[m->slot].last_row : 0);
  if (s->nhour + 1 >= n->config->per_hour) {
    m->per_hour = n->config->per_hour;
    m->until_ms = (s->nhour > 0 ? s->hour[0] : m->now_ms) + OBS_NOTIFY_HOUR_MS;
  }
  return true;
}

/* Gives back what a message holds when there is no memory for the rest. */
static bool give_up(obs_notify_message *m) {
  for (uint32_t i = 0; i < m->items.n; i++) obs_notify_facts_release(m->items.at[i].facts);
  OBS_VEC_FINI(&m->items);
  return false;
}

static void sooner(int64_t *wake, int64_t when) {
  if (when < *wake) *wake = when;
}

/* ---- what is due to an Alertmanager: what is new at once, and what fires again and again ---- */

static bool due_post(obs_notify *n, obs_notify_message *m, int64_t *wake) {
  obs_notify_slot *s = &n->slots[m->slot];
  bool news = false, still = false;
  for (uint32_t i = 0; i < n->entries.n; i++) {
    const obs_notify_entry *e = &n->entries.at[i];
    if (e->facts == NULL) continue;
    obs_notify_says says = obs_notify_book_says(n, e, m->slot);
    news = news || is_news(says);
    still = still || says == OBS_NOTIFY_STILL;
  }
  if (!news) s->first_ms = 0;
  if (news && s->first_ms == 0) s->first_ms = m->now_ms;
  bool change = news && m->now_ms >= s->first_ms + DEBOUNCE_MS, keep = still && m->now_ms >= s->resend_ms;
  if (news && !change) sooner(wake, s->first_ms + DEBOUNCE_MS);
  if (still && !keep) sooner(wake, s->resend_ms);
  if (!change && !keep) return false;

  m->reason = change ? OBS_NOTIFY_CHANGE : OBS_NOTIFY_KEEP;
  if (!change && s->resend_at == 0) s->round_ms = m->now_ms;
  for (uint32_t i = change ? 0 : s->resend_at; i < n->entries.n && m->items.n < OBS_NOTIFY_POST_ITEMS; i++) {
    const obs_notify_entry *e = &n->entries.at[i];
    if (e->facts == NULL) continue;
    m->next_at = i + 1;
    obs_notify_says says = obs_notify_book_says(n, e, m->slot);
    if ((change ? is_news(says) : says == OBS_NOTIFY_STILL) && !put_item(m, e, says)) {
      sooner(wake, m->now_ms + 1000);
      return give_up(m);
    }
  }
  if (m->items.n < OBS_NOTIFY_POST_ITEMS) m->next_at = 0;
  make_id(n, m, 0);
  return true;
}

/* ---- what is due to people and to programs of theirs ---- */

/* Counts for each rule what is new and what still fires. */
static void look_through(obs_notify *n, uint32_t slot, uint32_t counts[OBS_NOTIFY_SAYS]) {
  for (uint32_t i = 0; i < n->rules.n; i++) n->rules.at[i].news = n->rules.at[i].still = 0;
  for (uint32_t i = 0; i < n->entries.n; i++) {
    const obs_notify_entry *e = &n->entries.at[i];
    if (e->facts == NULL) continue;
    obs_notify_says says = obs_notify_book_says(n, e, slot);
    counts[says]++;
    if (is_news(says))
      n->rules.at[e->rule].news++;
    else if (says == OBS_NOTIFY_STILL && e->silenced_by == 0)
      n->rules.at[e->rule].still++;
  }
}

/* The rule whose message is due first; UINT32_MAX: none. */
static uint32_t first_due(obs_notify *n, uint32_t slot, int64_t now, int64_t *at) {
  uint32_t best = UINT32_MAX;
  *at = INT64_MAX;
  for (uint32_t i = 0; i < n->rules.n; i++) {
    obs_notify_rule *rule = &n->rules.at[i];
    obs_notify_group *g = &rule->groups[slot];
    if (rule->news == 0) g->first_ms = 0;
    if (rule->news > 0 && g->first_ms == 0) g->first_ms = now;
    if (rule->news == 0 && rule->still == 0) continue;
    int64_t due = rule->news > 0 ? due_at(n, g) : g->last_ms + n->config->repeat_ms;
    if (due >= *at) continue;
    *at = due;
    best = i;
  }
  return best;
}

static void begin_to_hold(obs_notify *n, obs_notify_slot *s, const uint32_t counts[OBS_NOTIFY_SAYS], int64_t now) {
  s->holding = true;
  s->held_since_ms = now;
  s->held_fired = counts[OBS_NOTIFY_BEGUN] + counts[OBS_NOTIFY_OVER];
  s->held_ended = counts[OBS_NOTIFY_ENDED] + counts[OBS_NOTIFY_OVER];
  n->counts.suppressed[OBS_NOTIFY_WHY_PER_HOUR] += s->held_fired + s->held_ended;
  obs_log_warn("notify",
               "receiver %s had %u messages within an hour: what comes now is held back and told in one digest",
               s->name, (unsigned)n->config->per_hour);
}

static void forget_old_hours(obs_notify_slot *s, int64_t now) {
  uint32_t old = 0;
  while (old < s->nhour && s->hour[old] + OBS_NOTIFY_HOUR_MS <= now) old++;
  memmove(s->hour, s->hour + old, (s->nhour - old) * sizeof *s->hour);
  s->nhour -= old;
}

static bool due_message(obs_notify *n, obs_notify_message *m, int64_t *wake) {
  obs_notify_slot *s = &n->slots[m->slot];
  uint32_t counts[OBS_NOTIFY_SAYS] = {0};
  int64_t at;
  forget_old_hours(s, m->now_ms);
  look_through(n, m->slot, counts);
  uint32_t rule = first_due(n, m->slot, m->now_ms, &at);
  bool due = rule != UINT32_MAX && at <= m->now_ms;
  if (!due) sooner(wake, at);
  if (s->nhour >= n->config->per_hour) {
    if (due && n->rules.at[rule].news > 0 && !s->holding) begin_to_hold(n, s, counts, m->now_ms);
    if (due || s->holding) sooner(wake, s->hour[s->nhour - n->config->per_hour] + OBS_NOTIFY_HOUR_MS);
    return false;
  }
  if (s->holding) {
    m->reason = OBS_NOTIFY_DIGEST;
    m->held_fired = s->held_fired;
    m->held_ended = s->held_ended;
    m->held_since_ms = s->held_since_ms;
    rule = UINT32_MAX;
  } else if (!due) {
    return false;
  } else {
    m->reason = n->rules.at[rule].news > 0 ? OBS_NOTIFY_CHANGE : OBS_NOTIFY_REPEAT;
  }
  if (make_message(n, m, rule)) return true;
  sooner(wake, m->now_ms + 1000);
  return give_up(m);
}

bool obs_notify_book_due(obs_notify *n, uint32_t slot, int64_t now, obs_notify_message *m, int64_t *wake) {
  obs_notify_slot *s = &n->slots[slot];
  *m = (obs_notify_message){.slot = slot, .now_ms = now};
  *wake = now + LONGEST_MS;
  sooner(wake, obs_notify_silences_expire(n, now));
  uint64_t pause = obs_breaker_wait_ms(&s->breaker, (uint64_t)now);
  if (pause > 0) {
    sooner(wake, now + (int64_t)pause);
    return false;
  }
  return obs_notify_type_groups(s->receiver->type) ? due_message(n, m, wake) : due_post(n, m, wake);
}

/* ---- what was answered ---- */

static void note_group(obs_notify *n, uint32_t rule, const obs_notify_message *m, int64_t now) {
  n->rules.at[rule].groups[m->slot] = (obs_notify_group){.last_ms = now, .last_row = m->row};
}

void obs_notify_book_told(obs_notify *n, const obs_notify_message *m, int64_t now) {
  obs_notify_slot *s = &n->slots[m->slot];
  for (uint32_t i = 0; i < m->items.n; i++) {
    const obs_notify_item *item = &m->items.at[i];
    obs_notify_entry *e = obs_notify_book_find(n, item->facts->fingerprint);
    if (e == NULL) continue;
    bool fires = item->says == OBS_NOTIFY_BEGUN || item->says == OBS_NOTIFY_STILL;
    e->told[m->slot] = (obs_notify_told){fires ? OBS_NOTIFY_TOLD_FIRING : OBS_NOTIFY_TOLD_NOTHING, item->times};
    e->notified_ms = now;
    note_group(n, e->rule, m, now);
    (void)obs_notify_book_drop(n, e);
  }
  s->unsure = 0;
  s->first_ms = 0;
  if (m->reason == OBS_NOTIFY_KEEP) {
    s->resend_at = m->next_at;
    if (m->next_at == 0) s->resend_ms = s->round_ms + s->receiver->resend_ms;
  }
  if (!obs_notify_type_groups(s->receiver->type)) {
    if (s->resend_ms == 0) s->resend_ms = now + s->receiver->resend_ms;
    return;
  }
  if (m->reason == OBS_NOTIFY_DIGEST) {
    s->holding = false;
    s->held_fired = s->held_ended = 0;
  }
  if (s->nhour == OBS_NOTIFY_PER_HOUR_MAX) memmove(s->hour, s->hour + 1, --s->nhour * sizeof *s->hour);
  s->hour[s->nhour++] = now;
}
